//! The YAML of one document as a stream of nodes, pulled one at a time: aliases replaced by what they stand for, every node
//! with its place.
//!
//! No tree is built: a file of a million names costs its text and nothing more. Only anchored nodes are kept. What a file
//! can make us do is bounded: depth, the nodes kept for anchors, and the nodes that aliases unfold into. Knows no key.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput};

use super::cause::{Cause, Kind};
use super::report::Span;
use super::subset::Subset;

/// Deepest nesting; the schema needs 6.
const MAX_DEPTH: usize = 32;
/// Nodes kept for anchors, about 80 octets each.
const MAX_KEPT_NODES: usize = 1_000_000;
/// Nodes read through aliases: a million names with an alias each need six million.
const MAX_REPLAYED_NODES: usize = 10_000_000;

/// A single value.
#[derive(Clone, Debug)]
pub(super) struct Scalar<'t> {
    /// The text, its escapes resolved.
    pub(super) text: Cow<'t, str>,
    /// Whether it stood without quotation marks and is no block text, and so may be a number or empty.
    pub(super) plain: bool,
    /// Its place.
    pub(super) span: Span,
}

impl Scalar<'_> {
    /// True for what YAML 1.2 §10.2.1.1 calls null, nothing at all included.
    pub(super) fn is_null(&self) -> bool {
        self.plain && matches!(&*self.text, "" | "~" | "null" | "Null" | "NULL")
    }
}

/// The beginning of a node, or all of it when it is a scalar.
#[derive(Clone, Debug)]
pub(super) enum Node<'t> {
    /// A single value.
    Scalar(Scalar<'t>),
    /// A list begins; its items follow, then an end.
    List(Span),
    /// A mapping begins; keys and values follow in turn, then an end.
    Mapping(Span),
}

impl Node<'_> {
    /// Where it begins.
    pub(super) fn span(&self) -> Span {
        match self {
            Node::Scalar(scalar) => scalar.span,
            Node::List(span) | Node::Mapping(span) => *span,
        }
    }

    /// What it is.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Node::Scalar(_) => Kind::Scalar,
            Node::List(_) => Kind::List,
            Node::Mapping(_) => Kind::Mapping,
        }
    }
}

/// A node, or the end of the innermost open list or mapping.
#[derive(Clone, Debug)]
pub(super) enum Step<'t> {
    Node(Node<'t>),
    End,
}

/// Why the stream cannot be read any further, and where.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) span: Option<Span>,
    pub(super) cause: Cause,
}

/// What is kept of an anchored node.
#[derive(Clone, Debug)]
enum Kept<'t> {
    Step(Step<'t>),
    Alias(usize, Span),
}

/// An anchored node whose end has not come yet.
struct OpenAnchor {
    id: usize,
    from: usize,
    depth: usize,
}

/// Where nodes come from while the parser waits.
enum Replay<'t> {
    /// Part of what is kept for anchors.
    Anchor(Range<usize>),
    /// A captured mapping.
    Captured(std::vec::IntoIter<Step<'t>>),
}

/// Who reads the text.
enum Reader<'t> {
    /// The fast reader of what large files keep to.
    Subset(Subset<'t>),
    /// The general parser.
    Yaml(Box<Parser<'t, StrInput<'t>>>),
}

/// The stream of one document's nodes.
pub(super) struct Events<'t> {
    reader: Reader<'t>,
    kept: Vec<Kept<'t>>,
    anchors: HashMap<usize, Range<usize>>,
    open_anchors: Vec<OpenAnchor>,
    replays: Vec<Replay<'t>>,
    replayed: usize,
    max_replayed: usize,
    depth: usize,
}

impl<'t> Events<'t> {
    /// A stream over `text`.
    pub(super) fn new(text: &'t str) -> Events<'t> {
        let yaml = || Reader::Yaml(Box::new(Parser::new_from_str(text)));
        Events::of(Subset::over(text).map_or_else(yaml, Reader::Subset))
    }

    /// The same, read by the general parser whatever the text.
    #[cfg(any(test, fuzzing))]
    pub(super) fn general(text: &'t str) -> Events<'t> {
        Events::of(Reader::Yaml(Box::new(Parser::new_from_str(text))))
    }

    fn of(reader: Reader<'t>) -> Events<'t> {
        Events {
            reader,
            kept: Vec::new(),
            anchors: HashMap::new(),
            open_anchors: Vec::new(),
            replays: Vec::new(),
            replayed: 0,
            max_replayed: MAX_REPLAYED_NODES,
            depth: 0,
        }
    }

    /// The document's root node; `None` when the text holds no document.
    ///
    /// # Errors
    /// [`Fault`] when this is not YAML.
    pub(super) fn root(&mut self) -> Result<Option<Node<'t>>, Fault> {
        while let Reader::Yaml(parser) = &mut self.reader {
            match pull(parser)?.0 {
                Event::StreamEnd => return Ok(None),
                Event::DocumentStart(_) => break,
                _ => {}
            }
        }
        match self.next()? {
            Step::Node(node) => Ok(Some(node)),
            Step::End => Ok(None),
        }
    }

    /// Reads what follows the root node: nothing but the end.
    ///
    /// # Errors
    /// [`Fault`] when a second document follows, or something that is not YAML.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        // The subset has one document, and its reader has seen the end of it.
        while let Reader::Yaml(parser) = &mut self.reader {
            match pull(parser)? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentStart(_), span) => {
                    return Err(Fault { span: Some(span), cause: Cause::SecondDocument });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The next node or end inside the document.
    ///
    /// # Errors
    /// [`Fault`] when this is not YAML, or more than we are willing to read.
    pub(super) fn next(&mut self) -> Result<Step<'t>, Fault> {
        loop {
            if let Some(replay) = self.replays.last_mut() {
                let kept = match replay {
                    Replay::Anchor(range) => range.next().map(|index| self.kept[index].clone()),
                    Replay::Captured(steps) => steps.next().map(Kept::Step),
                };
                match kept {
                    None => _ = self.replays.pop(),
                    Some(Kept::Step(step)) => return self.replayed(step),
                    Some(Kept::Alias(id, span)) => self.enter_alias(id, span)?,
                }
                continue;
            }
            let parser = match &mut self.reader {
                Reader::Yaml(parser) => parser,
                Reader::Subset(subset) => {
                    // As below: whoever reads past the end has finished everything.
                    let Some(step) = subset.next() else { return Ok(Step::End) };
                    self.follow(&step)?;
                    return Ok(step);
                }
            };
            let (event, span) = pull(parser)?;
            let (step, anchor, tag) = match event {
                Event::Alias(id) => {
                    self.keep(span, || Kept::Alias(id, span))?;
                    self.enter_alias(id, span)?;
                    continue;
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let plain = matches!(style, ScalarStyle::Plain);
                    (Step::Node(Node::Scalar(Scalar { text, plain, span })), anchor, tag)
                }
                Event::SequenceStart(anchor, tag) => (Step::Node(Node::List(span)), anchor, tag),
                Event::MappingStart(anchor, tag) => (Step::Node(Node::Mapping(span)), anchor, tag),
                Event::SequenceEnd | Event::MappingEnd => (Step::End, 0, None),
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => continue,
                // Whoever reads past the document's end has finished every list and mapping: nothing is left to hand out.
                Event::DocumentEnd | Event::StreamEnd => return Ok(Step::End),
            };
            if tag.is_some() {
                return Err(Fault { span: Some(span), cause: Cause::Tag });
            }
            return self.parsed(step, anchor, span);
        }
    }

    /// Reads the rest of a mapping that has begun, to be read later by [`Events::replay`]; its end is included.
    ///
    /// # Errors
    /// As for [`Events::next`].
    pub(super) fn capture_mapping(&mut self, span: Span) -> Result<Vec<Step<'t>>, Fault> {
        let mut steps = Vec::new();
        let outside = self.depth - 1;
        while self.depth > outside {
            steps.push(self.next()?);
            if steps.len() > MAX_KEPT_NODES {
                return Err(Fault {
                    span: Some(span),
                    cause: Cause::AnchorsTooLarge { limit: MAX_KEPT_NODES },
                });
            }
        }
        Ok(steps)
    }

    /// Puts captured steps before whatever comes next, as if their mapping had just begun.
    pub(super) fn replay(&mut self, steps: Vec<Step<'t>>) {
        self.depth += 1;
        self.replays.push(Replay::Captured(steps.into_iter()));
    }

    /// Follows a step of the parser: depth, anchors that begin and end here, and what is kept for them.
    fn parsed(&mut self, step: Step<'t>, anchor: usize, span: Span) -> Result<Step<'t>, Fault> {
        let from = self.kept.len();
        if anchor > 0 {
            self.open_anchors.push(OpenAnchor { id: anchor, from, depth: self.depth });
        }
        self.keep(span, || Kept::Step(step.clone()))?;
        self.follow(&step)?;
        while let Some(open) = self.open_anchors.last().filter(|open| open.depth == self.depth) {
            self.anchors.insert(open.id, open.from..self.kept.len());
            self.open_anchors.pop();
        }
        Ok(step)
    }

    /// Follows a step that is read again.
    fn replayed(&mut self, step: Step<'t>) -> Result<Step<'t>, Fault> {
        self.replayed += 1;
        let span = match &step {
            Step::Node(node) => node.span(),
            Step::End => Span::default(),
        };
        if self.replayed > self.max_replayed {
            let cause = Cause::AliasesTooLarge { limit: self.max_replayed };
            return Err(Fault { span: Some(span), cause });
        }
        self.follow(&step)?;
        Ok(step)
    }

    /// Counts the depth.
    fn follow(&mut self, step: &Step<'t>) -> Result<(), Fault> {
        match step {
            Step::Node(Node::Scalar(_)) => {}
            Step::Node(Node::List(span) | Node::Mapping(span)) => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(Fault { span: Some(*span), cause: Cause::TooDeep { limit: MAX_DEPTH } });
                }
            }
            Step::End => self.depth -= 1,
        }
        Ok(())
    }

    /// Keeps a step while an anchored node is being read.
    fn keep(&mut self, span: Span, step: impl FnOnce() -> Kept<'t>) -> Result<(), Fault> {
        if self.open_anchors.is_empty() {
            return Ok(());
        }
        if self.kept.len() == MAX_KEPT_NODES {
            return Err(Fault { span: Some(span), cause: Cause::AnchorsTooLarge { limit: MAX_KEPT_NODES } });
        }
        self.kept.push(step());
        Ok(())
    }

    /// Continues with what an alias stands for.
    fn enter_alias(&mut self, id: usize, span: Span) -> Result<(), Fault> {
        let Some(range) = self.anchors.get(&id) else {
            return Err(Fault { span: Some(span), cause: Cause::AliasInsideItself });
        };
        self.replays.push(Replay::Anchor(range.clone()));
        Ok(())
    }
}

/// One event of the parser, with our kind of span.
fn pull<'t>(parser: &mut Parser<'t, StrInput<'t>>) -> Result<(Event<'t>, Span), Fault> {
    match parser.next_event() {
        None => Ok((Event::StreamEnd, Span::default())),
        Some(Ok((event, span))) => {
            let len = if span.end.line() == span.start.line() { span.len() } else { usize::MAX };
            Ok((event, span_of(&span.start, len)))
        }
        Some(Err(error)) => Err(syntax_fault(&error)),
    }
}

fn span_of(start: &Marker, len: usize) -> Span {
    let clip = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Span { line: clip(start.line()), column: clip(start.col() + 1), len: clip(len) }
}

fn syntax_fault(error: &ScanError) -> Fault {
    Fault { span: Some(span_of(error.marker(), 1)), cause: Cause::Syntax(error.info().to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document in one line: `{` and `[` for beginnings, `/` for ends.
    fn shown(text: &str) -> Result<String, Cause> {
        let mut events = Events { max_replayed: 1000, ..Events::new(text) };
        let mut shown = String::new();
        let mut next = events.root().map_err(|fault| fault.cause)?.map(Step::Node);
        while let Some(step) = next {
            match &step {
                Step::Node(Node::Scalar(scalar)) => shown.push_str(&format!("{} ", scalar.text)),
                Step::Node(Node::List(_)) => shown.push('['),
                Step::Node(Node::Mapping(_)) => shown.push('{'),
                Step::End => shown.push('/'),
            }
            next = match events.depth {
                0 => None,
                _ => Some(events.next().map_err(|fault| fault.cause)?),
            };
        }
        events.finish().map_err(|fault| fault.cause)?;
        Ok(shown)
    }

    #[test]
    fn block_and_flow_style_are_the_same_stream() {
        assert_eq!(shown("a:\n  - b\n  - c: d\n").unwrap(), "{a [b {c d ///");
        assert_eq!(shown("{a: [b, {c: d}]}").unwrap(), "{a [b {c d ///");
        assert_eq!(shown("").unwrap(), "");
        assert_eq!(shown("# nothing\n").unwrap(), "");
    }

    #[test]
    fn aliases_are_replaced_by_what_they_stand_for() {
        assert_eq!(
            shown("a: &x {b: &y c}\nd: *x\ne: *y\nf: *x\n").unwrap(),
            "{a {b c /d {b c /e c f {b c //"
        );
        assert_eq!(shown("a: &x 1\nb: &y [*x, *x]\nc: [*y, *x]").unwrap(), "{a 1 b [1 1 /c [[1 1 /1 //");
    }

    #[test]
    fn an_alias_inside_its_own_anchor_is_an_error() {
        assert_eq!(shown("a: &x [*x]"), Err(Cause::AliasInsideItself));
    }

    #[test]
    fn a_billion_laughs_end_at_the_bound() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..10 {
            let aliases = vec![format!("*a{}", n - 1); 10].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
        }
        assert_eq!(shown(&text), Err(Cause::AliasesTooLarge { limit: 1000 }));
    }

    #[test]
    fn nesting_documents_and_tags_are_refused() {
        assert_eq!(shown(&"[".repeat(100)), Err(Cause::TooDeep { limit: MAX_DEPTH }));
        assert_eq!(shown("a: b\n---\nc: d\n"), Err(Cause::SecondDocument));
        assert_eq!(shown("a: !!str b\n"), Err(Cause::Tag));
        assert!(matches!(shown("a: [b\n"), Err(Cause::Syntax(_))));
        assert!(matches!(shown("a: *b\n"), Err(Cause::Syntax(_))));
    }

    #[test]
    fn captured_mappings_are_read_later() {
        let mut events = Events::new("{a: {b: c}, d: e}");
        events.root().unwrap();
        events.next().unwrap();
        let Step::Node(Node::Mapping(span)) = events.next().unwrap() else { panic!("no mapping") };
        let steps = events.capture_mapping(span).unwrap();
        assert_eq!(steps.len(), 3);
        assert!(matches!(events.next().unwrap(), Step::Node(Node::Scalar(scalar)) if scalar.text == "d"));
        events.replay(steps);
        assert!(matches!(events.next().unwrap(), Step::Node(Node::Scalar(scalar)) if scalar.text == "b"));
    }
}
