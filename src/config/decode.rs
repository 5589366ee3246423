//! From a stream of nodes to mappings with known keys, lists and single values: what every section of the file shares.
//!
//! Every function reads exactly one node whatever it finds, and reports instead of returning errors, so that the next key
//! is read in any case; only a stream that has broken stops everything (`Stop`). Knows no section and no key.

use std::borrow::Cow;
use std::collections::VecDeque;

use super::cause::{Cause, Found, Kind};
use super::events::{Events, Fault, Node, Scalar, Step};
use super::report::{FileId, Findings, Span};
use super::suggest;

/// Most keys a section may know.
const MAX_KEYS: usize = 40;

/// The stream cannot be read any further; why has been reported.
#[derive(Debug)]
pub(super) struct Stop;

/// The outcome of reading one node: `None` inside when it was refused and reported.
pub(super) type Read<T> = Result<T, Stop>;

/// A key of a section, and the other words for it.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) aliases: &'static [&'static str],
}

/// A key without aliases.
pub(super) const fn key(name: &'static str) -> Key {
    Key { name, aliases: &[] }
}

/// A key with one other word for it.
pub(super) const fn key_or(name: &'static str, aliases: &'static [&'static str]) -> Key {
    Key { name, aliases }
}

/// A mapping whose keys are fixed.
#[derive(Debug)]
pub(super) struct Section {
    /// What it is called in a message, with its article.
    pub(super) title: &'static str,
    /// Its keys, at most [`MAX_KEYS`].
    pub(super) keys: &'static [Key],
    /// Whether nothing at all stands for an empty mapping.
    pub(super) may_be_empty: bool,
}

/// A value with the key it stands under.
#[derive(Debug)]
pub(super) struct Field<'t> {
    /// The key; for items of a list, the list's.
    pub(super) name: Cow<'t, str>,
    /// The key's place.
    pub(super) at: Span,
    /// The value, or its beginning.
    pub(super) node: Node<'t>,
}

/// A value with its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

/// The keys that were found in a section of at most so many.
#[derive(Clone, Debug)]
pub(super) struct Seen<const KEYS: usize = MAX_KEYS> {
    section: &'static Section,
    places: [Option<Span>; KEYS],
}

impl<const KEYS: usize> Seen<KEYS> {
    fn new(section: &'static Section) -> Seen<KEYS> {
        debug_assert!(section.keys.len() <= KEYS);
        Seen { section, places: [None; KEYS] }
    }

    /// Where a key stands.
    pub(super) fn place(&self, name: &str) -> Option<Span> {
        let index = self.section.keys.iter().position(|key| key.name == name)?;
        self.places[index]
    }
}

/// Reads nodes of one file and reports what is wrong with them.
pub(super) struct Decoder<'t, 'f> {
    events: Events<'t>,
    findings: &'f mut Findings,
    file: FileId,
}

impl<'t, 'f> Decoder<'t, 'f> {
    /// A decoder at the beginning of `text`.
    pub(super) fn new(text: &'t str, file: FileId, findings: &'f mut Findings) -> Decoder<'t, 'f> {
        Decoder { events: Events::new(text), findings, file }
    }

    /// The file it reads.
    pub(super) fn file(&self) -> FileId {
        self.file
    }

    /// Reports an error.
    pub(super) fn error(&mut self, span: Span, cause: Cause) {
        self.findings.error(self.file, span, cause);
    }

    /// Reports a warning.
    pub(super) fn warning(&mut self, span: Span, cause: Cause) {
        self.findings.warning(self.file, span, cause);
    }

    /// The root node; an empty document is reported.
    pub(super) fn root(&mut self) -> Read<Field<'t>> {
        match self.events.root() {
            Ok(Some(node)) => Ok(Field { name: Cow::Borrowed("the file"), at: node.span(), node }),
            Ok(None) => {
                self.findings.error(self.file, None, Cause::Empty);
                Err(Stop)
            }
            Err(fault) => Err(self.stop(fault)),
        }
    }

    /// Makes sure that nothing follows the root node.
    pub(super) fn finish(&mut self) -> Read<()> {
        self.events.finish().map_err(|fault| self.stop(fault))
    }

    fn stop(&mut self, fault: Fault) -> Stop {
        if let Cause::Syntax(_) = fault.cause {
            self.findings.forget_last_missing();
        }
        self.findings.error(self.file, fault.span, fault.cause);
        Stop
    }

    fn next(&mut self) -> Read<Step<'t>> {
        match self.events.next() {
            Ok(step) => Ok(step),
            Err(fault) => Err(self.stop(fault)),
        }
    }

    /// Reads the rest of a node without looking at it.
    pub(super) fn skip(&mut self, node: &Node<'t>) -> Read<()> {
        let mut open = usize::from(!matches!(node, Node::Scalar(_)));
        while open > 0 {
            match self.next()? {
                Step::End => open -= 1,
                Step::Node(Node::Scalar(_)) => {}
                Step::Node(Node::List(_) | Node::Mapping(_)) => open += 1,
            }
        }
        Ok(())
    }

    /// Reports a node of the wrong kind, or none at all, and reads past it.
    pub(super) fn refuse(&mut self, field: &Field<'t>, expected: Kind) -> Read<()> {
        match &field.node {
            Node::Scalar(scalar) if scalar.is_null() => {
                self.error(field.at, Cause::NoValue { key: Found::new(&field.name) });
            }
            node => self.error(node.span(), Cause::WrongKind { expected, found: node.kind() }),
        }
        self.skip(&field.node)
    }

    /// Reads a single value with `parse`.
    pub(super) fn value<T>(
        &mut self,
        field: Field<'t>,
        parse: impl FnOnce(&Scalar<'t>) -> Result<T, Cause>,
    ) -> Read<Option<Placed<T>>> {
        match &field.node {
            Node::Scalar(scalar) if !scalar.is_null() => match parse(scalar) {
                Ok(value) => Ok(Some(Placed { value, span: scalar.span })),
                Err(cause) => {
                    self.error(scalar.span, cause);
                    Ok(None)
                }
            },
            _ => self.refuse(&field, Kind::Scalar).map(|()| None),
        }
    }

    /// Reads a list, or a single value in place of a list of one; `read` is given each item.
    ///
    /// Returns the number of items; `None` when the node is of another kind. An empty list is reported.
    pub(super) fn list(
        &mut self,
        field: Field<'t>,
        key: &'static str,
        mut read: impl FnMut(&mut Self, Field<'t>) -> Read<()>,
    ) -> Read<Option<usize>> {
        match &field.node {
            Node::Scalar(scalar) if !scalar.is_null() => {
                read(self, field)?;
                Ok(Some(1))
            }
            Node::List(span) => {
                let span = *span;
                let count = self.items(field.name.clone(), read)?;
                if count == 0 {
                    self.error(span, Cause::EmptyList { key });
                }
                Ok(Some(count))
            }
            _ => self.refuse(&field, Kind::ListOrScalar).map(|()| None),
        }
    }

    /// Reads the items of a list that has begun.
    pub(super) fn items(
        &mut self,
        name: Cow<'t, str>,
        mut read: impl FnMut(&mut Self, Field<'t>) -> Read<()>,
    ) -> Read<usize> {
        let mut count = 0;
        while let Step::Node(node) = self.next()? {
            count += 1;
            read(self, Field { name: name.clone(), at: node.span(), node })?;
        }
        Ok(count)
    }

    /// Reads a mapping whose keys are the user's own; `read` is given each of them. Returns whether it is one.
    pub(super) fn entries(
        &mut self,
        field: Field<'t>,
        mut read: impl FnMut(&mut Self, Field<'t>) -> Read<()>,
    ) -> Read<bool> {
        match &field.node {
            Node::Scalar(scalar) if scalar.is_null() => return Ok(true),
            Node::Mapping(_) => {}
            Node::Scalar(_) | Node::List(_) => return self.refuse(&field, Kind::Mapping).map(|()| false),
        }
        self.open_entries(&mut read)?;
        Ok(true)
    }

    /// Reads the keys and values of a mapping that has begun.
    pub(super) fn open_entries(
        &mut self,
        read: &mut impl FnMut(&mut Self, Field<'t>) -> Read<()>,
    ) -> Read<()> {
        while let Some(key) = self.next_key()? {
            let node = self.value_node()?;
            if key.plain && key.text == "<<" {
                self.error(key.span, Cause::MergeKeyHere);
                self.skip(&node)?;
                continue;
            }
            read(self, Field { name: key.text, at: key.span, node })?;
        }
        Ok(())
    }

    /// Reads a mapping whose keys are fixed; `read` is given each known key under its canonical name, once.
    ///
    /// Unknown and repeated keys are reported. `None`: no mapping, reported. Keys of a `<<` mapping count only where the
    /// mapping itself has none.
    pub(super) fn section(
        &mut self,
        field: Field<'t>,
        section: &'static Section,
        read: impl FnMut(&mut Self, &'static str, Field<'t>) -> Read<()>,
    ) -> Read<Option<Seen>> {
        self.small_section(field, section, read)
    }

    /// The same for a section of at most `KEYS` keys: what is read a million times is not cleared and moved for 40.
    pub(super) fn small_section<const KEYS: usize>(
        &mut self,
        field: Field<'t>,
        section: &'static Section,
        mut read: impl FnMut(&mut Self, &'static str, Field<'t>) -> Read<()>,
    ) -> Read<Option<Seen<KEYS>>> {
        let mut seen = Seen::new(section);
        match &field.node {
            Node::Scalar(scalar) if scalar.is_null() && section.may_be_empty => return Ok(Some(seen)),
            Node::Mapping(_) => {}
            Node::Scalar(_) | Node::List(_) => return self.refuse(&field, Kind::Mapping).map(|()| None),
        }
        let mut merged = VecDeque::from(self.section_entries(&mut seen, None, &mut read)?);
        // Merged mappings stand in order of precedence, and each may name others behind itself.
        while let Some(steps) = merged.pop_front() {
            self.events.replay(steps);
            let own = seen.places;
            let deeper = self.section_entries(&mut seen, Some(own), &mut read)?;
            deeper.into_iter().rev().for_each(|steps| merged.push_front(steps));
        }
        Ok(Some(seen))
    }

    /// Reads the entries of a section that has begun; returns the mappings that `<<` names. `overridden` are keys that
    /// are already given where this one is merged into, and are left out in silence.
    fn section_entries<const KEYS: usize>(
        &mut self,
        seen: &mut Seen<KEYS>,
        overridden: Option<[Option<Span>; KEYS]>,
        read: &mut impl FnMut(&mut Self, &'static str, Field<'t>) -> Read<()>,
    ) -> Read<Vec<Vec<Step<'t>>>> {
        let mut merged = Vec::new();
        while let Some(key) = self.next_key()? {
            let node = self.value_node()?;
            let known = seen.section.keys.iter().enumerate().find(|(_, known)| {
                known.name == key.text || known.aliases.iter().any(|alias| *alias == key.text)
            });
            let Some((index, known)) = known else {
                if key.plain && key.text == "<<" {
                    self.capture_merged(&node, &mut merged)?;
                } else {
                    self.unknown_key(&key, seen.section);
                    self.skip(&node)?;
                }
                continue;
            };
            if overridden.is_some_and(|own| own[index].is_some()) {
                self.skip(&node)?;
                continue;
            }
            if let Some(first) = seen.places[index] {
                self.repeated_key(&key, known, first);
                self.skip(&node)?;
                continue;
            }
            seen.places[index] = Some(key.span);
            read(self, known.name, Field { name: key.text, at: key.span, node })?;
        }
        Ok(merged)
    }

    /// The next key of the open mapping; a key that is no single value is reported with its value left out.
    fn next_key(&mut self) -> Read<Option<Scalar<'t>>> {
        loop {
            match self.next()? {
                Step::End => return Ok(None),
                Step::Node(Node::Scalar(scalar)) => return Ok(Some(scalar)),
                Step::Node(node) => {
                    self.error(node.span(), Cause::KeyKind { found: node.kind() });
                    self.skip(&node)?;
                    let value = self.value_node()?;
                    self.skip(&value)?;
                }
            }
        }
    }

    /// The node behind a key. The parser puts an empty scalar where the file has none.
    fn value_node(&mut self) -> Read<Node<'t>> {
        match self.next()? {
            Step::Node(node) => Ok(node),
            Step::End => {
                self.findings.error(self.file, None, Cause::Empty);
                Err(Stop)
            }
        }
    }

    /// Keeps the mapping or mappings of a `<<` for later.
    fn capture_merged(&mut self, node: &Node<'t>, merged: &mut Vec<Vec<Step<'t>>>) -> Read<()> {
        match node {
            Node::Mapping(span) => {
                let steps = self.events.capture_mapping(*span).map_err(|fault| self.stop(fault))?;
                merged.push(steps);
                Ok(())
            }
            Node::List(_) => self
                .items(Cow::Borrowed("<<"), |d, item| match &item.node {
                    Node::Mapping(_) => d.capture_merged(&item.node, merged),
                    other => {
                        d.error(other.span(), Cause::MergeValue { found: other.kind() });
                        d.skip(other)
                    }
                })
                .map(|_| ()),
            Node::Scalar(scalar) => {
                self.error(scalar.span, Cause::MergeValue { found: Kind::Scalar });
                Ok(())
            }
        }
    }

    fn unknown_key(&mut self, key: &Scalar<'t>, section: &'static Section) {
        let words =
            section.keys.iter().flat_map(|key| std::iter::once(key.name).chain(key.aliases.iter().copied()));
        let closest = suggest::closest(&key.text, words);
        let accepted = section.keys.iter().map(|key| key.name).collect();
        let cause =
            Cause::UnknownKey { key: Found::new(&key.text), section: section.title, closest, accepted };
        self.error(key.span, cause);
    }

    fn repeated_key(&mut self, key: &Scalar<'t>, known: &'static Key, first: Span) {
        let found = Found::new(&key.text);
        let cause = if known.aliases.is_empty() {
            Cause::DuplicateKey { key: found, first_line: first.line }
        } else {
            let other = if known.name == key.text { known.aliases[0] } else { known.name };
            Cause::DuplicateAlias { key: found, other, first_line: first.line }
        };
        self.error(key.span, cause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static PARTS: Section =
        Section { title: "a part", keys: &[key("a"), key_or("b", &["bee"])], may_be_empty: false };

    /// Reads `text` as a [`PARTS`]; what was read, and what was reported.
    fn decode(text: &str) -> (Vec<String>, Vec<String>) {
        let mut findings = Findings::default();
        let mut values = Vec::new();
        let mut decoder = Decoder::new(text, FileId(0), &mut findings);
        let read = decoder.root().and_then(|root| {
            decoder.section(root, &PARTS, |d, name, field| {
                let value = d.value(field, |scalar| Ok(scalar.text.to_string()))?;
                values.extend(value.map(|value| format!("{name}={}", value.value)));
                Ok(())
            })
        });
        assert!(read.is_err() || decoder.finish().is_ok());
        let report = findings.finish(&[("f".into(), text)]);
        let reported = report.diagnostics().iter().map(|d| d.brief().to_string()).collect();
        (values, reported)
    }

    #[test]
    fn known_keys_and_aliases_are_read() {
        assert_eq!(decode("{a: 1, bee: 2}"), (vec!["a=1".to_owned(), "b=2".to_owned()], vec![]));
    }

    #[test]
    fn each_fault_of_a_section_is_reported_and_the_rest_is_read() {
        let (values, reported) = decode("c: 1\na: [x]\nbe:\nb:\n? [k]\n: v\nbee: 1\n");
        assert!(values.is_empty());
        assert_eq!(
            reported,
            [
                "f:1:1: unknown key `c` in a part (did you mean `a`?)",
                "f:2:4: expected a single value, found a list",
                "f:3:1: unknown key `be` in a part (did you mean `b`?)",
                "f:4:1: `b` has no value",
                "f:5:3: a key must be a single value, found a list",
                "f:7:1: `bee` and `b` are the same key (first given on line 4)",
            ]
        );
    }

    #[test]
    fn merged_mappings_give_what_the_mapping_itself_leaves_out() {
        let (values, reported) = decode("<<: [{a: 1}, {a: 2, b: 3, <<: {b: 4}}]\nb: 5\n");
        assert_eq!((values, reported), (vec!["b=5".to_owned(), "a=1".to_owned()], vec![]));
        let (values, reported) = decode("<<: 1\na: 1\n");
        assert_eq!(values, ["a=1"]);
        assert_eq!(reported, ["f:1:5: `<<` takes a mapping or a list of mappings, found a single value"]);
    }
}
