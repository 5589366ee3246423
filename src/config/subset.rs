//! A reader for the part of YAML that large files keep to: block mappings and lists, flow collections, plain and quoted
//! scalars that end on their line, comments. Ten times the general parser's speed; hands out slices of the text.
//!
//! It is never asked to be right about anything else: a first walk over the text finds out whether all of it is of this
//! part, and if not, or in doubt, the general parser reads the whole. So nothing here reports an error, and whatever is
//! accepted gives the same nodes at the same places as the general parser (`subset_tests` holds both against each other).
//!
//! Not of this part: anchors, aliases, tags, directives, several documents, scalars over several lines, escapes, explicit
//! keys (`?`), keys without a value, tabs, carriage returns, and characters outside ASCII except in comments.

use std::borrow::Cow;

use super::events::{Node, Scalar, Step};
use super::report::Span;

/// Deepest nesting of this part; deeper documents are the general parser's, which has its own bound.
const MAX_LEVELS: usize = 16;
/// Longest key. YAML 1.2 §7.4.2 ends an implicit key at 1024 characters.
const MAX_KEY_OCTETS: usize = 1000;
/// What is read behind the last octet: a last line may lack its break.
const END_OF_TEXT: u8 = b'\n';

/// The text is not of this part of YAML, or not for certain.
#[derive(Clone, Copy, Debug)]
struct Beyond;

/// A [`Step`] before its text is cut out.
#[derive(Clone, Copy, Debug)]
enum Token {
    Scalar { begin: u32, end: u32, plain: bool, span: Span },
    List(Span),
    Mapping(Span),
    End,
}

/// What a collection is, and how its entries are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    BlockMapping,
    BlockList,
    /// A block list that begins in the column of the key it belongs to.
    IndentlessList,
    FlowMapping,
    FlowList,
}

/// An open collection.
#[derive(Clone, Copy, Debug)]
struct Level {
    kind: Kind,
    /// Column, from 0, of its keys or dashes; in flow style, that of the block collection around it, -1 where none is.
    indent: i32,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The root node.
    Root,
    /// A line; what is before it has been read to its end.
    Line,
    /// A line whose first character is the next to be read: collections may end before it.
    Unwind,
    /// A key of a block mapping.
    BlockKey,
    /// What stands behind the colon of a block mapping.
    BlockValue,
    /// A dash and its item.
    BlockItem,
    /// A key of a flow mapping, or its end.
    FlowKey,
    /// What stands behind the colon of a flow mapping.
    FlowValue,
    /// An item of a flow list, or its end.
    FlowItem,
    /// A comma or the end of a flow collection.
    FlowNext,
    /// Nothing.
    Done,
}

/// A stream of nodes over a text that is of this part of YAML.
#[derive(Clone, Debug)]
pub(super) struct Subset<'t> {
    text: &'t str,
    /// Offset of the next octet.
    at: usize,
    /// Line, from 1.
    line: u32,
    /// Offset at which the line begins.
    line_at: usize,
    state: State,
    /// A key or dash that has no value yet: where it would be.
    waiting: Option<Span>,
    /// Column of the line's first character, -1 behind the last line; meant for [`State::Unwind`].
    column: i32,
    levels: [Level; MAX_LEVELS],
    depth: usize,
}

impl<'t> Subset<'t> {
    /// A reader of the whole text; `None` when it is not of this part of YAML.
    pub(super) fn over(text: &'t str) -> Option<Subset<'t>> {
        // Places are 32-bit numbers.
        u32::try_from(text.len()).ok()?;
        let reader = Subset {
            text,
            at: 0,
            line: 1,
            line_at: 0,
            state: State::Root,
            waiting: None,
            column: 0,
            levels: [Level { kind: Kind::BlockMapping, indent: -1 }; MAX_LEVELS],
            depth: 0,
        };
        let mut first = reader.clone();
        while first.state != State::Done {
            first.token().ok()?;
        }
        Some(reader)
    }

    /// The next node or end; `None` behind the last.
    pub(super) fn next(&mut self) -> Option<Step<'t>> {
        // What `over` has walked over holds no fault.
        let token = if self.state == State::Done { None } else { self.token().ok() };
        token.map(|token| match token {
            Token::Scalar { begin, end, plain, span } => {
                let text = Cow::Borrowed(&self.text[begin as usize..end as usize]);
                Step::Node(Node::Scalar(Scalar { text, plain, span }))
            }
            Token::List(span) => Step::Node(Node::List(span)),
            Token::Mapping(span) => Step::Node(Node::Mapping(span)),
            Token::End => Step::End,
        })
    }

    fn token(&mut self) -> Result<Token, Beyond> {
        loop {
            let token = match self.state {
                State::Root => Some(self.root()?),
                State::Line => {
                    self.find_line()?;
                    self.state = State::Unwind;
                    None
                }
                State::Unwind => self.unwind()?,
                State::BlockKey => Some(self.block_key()?),
                State::BlockValue => self.block_value()?,
                State::BlockItem => self.block_item()?,
                State::FlowKey => Some(self.flow_key()?),
                State::FlowValue => Some(self.flow_value()?),
                State::FlowItem => Some(self.flow_item()?),
                State::FlowNext => self.flow_next()?,
                State::Done => Some(Token::End),
            };
            if let Some(token) = token {
                return Ok(token);
            }
        }
    }

    /// The root collection, behind a `---` or not.
    fn root(&mut self) -> Result<Token, Beyond> {
        self.find_line()?;
        if self.column == 0 && self.text[self.at..].starts_with("---") {
            self.at += 3;
            self.end_line()?;
            self.find_line()?;
        }
        match self.peek() {
            _ if self.column < 0 => Err(Beyond),
            b'{' | b'[' => self.open_flow(),
            _ => self.open_block(),
        }
    }

    /// Goes to the first character of the next line that has more than a comment.
    fn find_line(&mut self) -> Result<(), Beyond> {
        let octets = self.text.as_bytes();
        loop {
            let spaces = octets[self.at..].iter().take_while(|octet| **octet == b' ').count();
            self.at += spaces;
            match octets.get(self.at) {
                None => {
                    self.column = -1;
                    return Ok(());
                }
                Some(b'\n') => self.new_line(),
                Some(b'#') => self.comment()?,
                Some(_) => {
                    self.column = self.column_of(self.at) as i32;
                    return Ok(());
                }
            }
        }
    }

    /// Ends collections before the line's first character, or begins what stands there.
    fn unwind(&mut self) -> Result<Option<Token>, Beyond> {
        let Some(&Level { kind, indent }) = self.levels[..self.depth].last() else {
            // A second root, or text behind it.
            return Err(Beyond);
        };
        let dash = self.is_dash();
        if let Some(span) = self.waiting {
            if self.column > indent {
                self.waiting = None;
                return self.open_block().map(Some);
            }
            if self.column == indent && kind == Kind::BlockMapping && dash {
                self.waiting = None;
                return self.open_indentless().map(Some);
            }
            self.waiting = None;
            return Ok(Some(empty(span)));
        }
        if self.column < indent || (self.column == indent && kind == Kind::IndentlessList && !dash) {
            self.depth -= 1;
            self.state = if self.depth == 0 && self.column < 0 { State::Done } else { State::Unwind };
            return Ok(Some(Token::End));
        }
        self.state = match kind {
            _ if self.column > indent => return Err(Beyond),
            Kind::BlockMapping if !dash => State::BlockKey,
            Kind::BlockList | Kind::IndentlessList if dash => State::BlockItem,
            _ => return Err(Beyond),
        };
        Ok(None)
    }

    /// Begins the block collection whose first key or dash is the next character.
    fn open_block(&mut self) -> Result<Token, Beyond> {
        let span = self.span(self.at, 0);
        let indent = self.column_of(self.at) as i32;
        if self.is_dash() {
            self.push(Kind::BlockList, indent)?;
            self.state = State::BlockItem;
            Ok(Token::List(span))
        } else {
            self.push(Kind::BlockMapping, indent)?;
            self.state = State::BlockKey;
            Ok(Token::Mapping(span))
        }
    }

    /// Begins a list in the column of its key. The general parser places it behind the first dash.
    fn open_indentless(&mut self) -> Result<Token, Beyond> {
        self.push(Kind::IndentlessList, self.column)?;
        self.state = State::BlockItem;
        let spaces = self.spaces_from(self.at + 1);
        Ok(Token::List(self.span(self.at + 1 + spaces, 0)))
    }

    fn block_key(&mut self) -> Result<Token, Beyond> {
        let begin = self.at;
        let scalar = self.scalar::<false>()?;
        if self.at - begin > MAX_KEY_OCTETS || !self.is_colon() {
            return Err(Beyond);
        }
        self.colon();
        self.state = State::BlockValue;
        Ok(scalar)
    }

    fn block_value(&mut self) -> Result<Option<Token>, Beyond> {
        self.skip_spaces();
        self.state = State::Line;
        match self.peek() {
            b'\n' | b'#' => {
                self.end_line()?;
                Ok(None)
            }
            b'{' | b'[' => {
                self.waiting = None;
                self.open_flow().map(Some)
            }
            _ => {
                self.waiting = None;
                let scalar = self.scalar::<false>()?;
                self.end_line()?;
                Ok(Some(scalar))
            }
        }
    }

    fn block_item(&mut self) -> Result<Option<Token>, Beyond> {
        self.at += 1;
        self.skip_spaces();
        self.state = State::Line;
        match self.peek() {
            b'\n' => {
                self.waiting = Some(self.span(self.at, 0));
                Ok(None)
            }
            b'{' | b'[' => self.open_flow().map(Some),
            // A comment moves the place of what follows; a list in a list is rare.
            b'#' => Err(Beyond),
            _ if self.is_dash() => Err(Beyond),
            _ => {
                let begin = self.at;
                let scalar = self.scalar::<false>()?;
                if self.is_colon() {
                    self.at = begin;
                    return self.open_block().map(Some);
                }
                self.end_line()?;
                Ok(Some(scalar))
            }
        }
    }

    /// Begins a flow collection. The general parser counts the spaces behind the bracket as part of it.
    fn open_flow(&mut self) -> Result<Token, Beyond> {
        let begin = self.at;
        let mapping = self.peek() == b'{';
        let indent = self.levels[..self.depth].last().map_or(-1, |level| level.indent);
        self.push(if mapping { Kind::FlowMapping } else { Kind::FlowList }, indent)?;
        self.at += 1;
        self.skip_spaces();
        let span = self.span(begin, self.at - begin);
        if mapping {
            self.state = State::FlowKey;
            Ok(Token::Mapping(span))
        } else {
            self.state = State::FlowItem;
            Ok(Token::List(span))
        }
    }

    fn flow_key(&mut self) -> Result<Token, Beyond> {
        self.flow_gap()?;
        if self.peek() == b'}' {
            return self.close_flow();
        }
        let scalar = self.scalar::<true>()?;
        let quoted = matches!(scalar, Token::Scalar { plain: false, .. });
        let adjacent = self.peek() == b':' && !matches!(self.peek_behind(), b',' | b'}' | b']');
        if !(self.is_colon() || quoted && adjacent) {
            return Err(Beyond);
        }
        self.colon();
        self.state = State::FlowValue;
        Ok(scalar)
    }

    fn flow_value(&mut self) -> Result<Token, Beyond> {
        self.flow_gap()?;
        let place = self.waiting.take();
        match self.peek() {
            b',' | b'}' => {
                self.state = State::FlowNext;
                Ok(empty(place.ok_or(Beyond)?))
            }
            b'{' | b'[' => self.open_flow(),
            _ => self.flow_scalar(),
        }
    }

    fn flow_item(&mut self) -> Result<Token, Beyond> {
        self.flow_gap()?;
        match self.peek() {
            b']' => self.close_flow(),
            b'{' | b'[' => self.open_flow(),
            _ => self.flow_scalar(),
        }
    }

    fn flow_scalar(&mut self) -> Result<Token, Beyond> {
        let scalar = self.scalar::<true>()?;
        self.state = State::FlowNext;
        Ok(scalar)
    }

    fn flow_next(&mut self) -> Result<Option<Token>, Beyond> {
        // Were it neither a comma nor an end on a line below a plain scalar, the scalar would go on there.
        self.flow_gap()?;
        let kind = self.levels[self.depth - 1].kind;
        match (self.peek(), kind) {
            (b',', Kind::FlowMapping) => self.state = State::FlowKey,
            (b',', _) => self.state = State::FlowItem,
            (b'}', Kind::FlowMapping) | (b']', Kind::FlowList) => return self.close_flow().map(Some),
            _ => return Err(Beyond),
        }
        self.at += 1;
        Ok(None)
    }

    /// Ends a flow collection, and the line with it when it stands in no other.
    fn close_flow(&mut self) -> Result<Token, Beyond> {
        self.at += 1;
        self.depth -= 1;
        match self.levels[..self.depth].last() {
            Some(Level { kind: Kind::FlowMapping | Kind::FlowList, .. }) => self.state = State::FlowNext,
            Some(_) => {
                self.end_line()?;
                self.state = State::Line;
            }
            None => {
                self.end_line()?;
                self.find_line()?;
                if self.column >= 0 {
                    return Err(Beyond);
                }
                self.state = State::Done;
            }
        }
        Ok(Token::End)
    }

    /// Spaces and line breaks between the tokens of a flow collection. Lines stand deeper than the block around it.
    fn flow_gap(&mut self) -> Result<(), Beyond> {
        self.skip_spaces();
        if self.peek() != b'\n' {
            return Ok(());
        }
        while self.at < self.text.len() && self.peek() == b'\n' {
            self.new_line();
            self.skip_spaces();
        }
        let indent = self.levels[..self.depth].last().map_or(-1, |level| level.indent);
        if self.column_of(self.at) as i32 > indent { Ok(()) } else { Err(Beyond) }
    }

    /// A scalar that ends on its line; what follows it is the next character.
    #[inline]
    fn scalar<const IN_FLOW: bool>(&mut self) -> Result<Token, Beyond> {
        let begin = self.at;
        let octets = self.text.as_bytes();
        let first = self.peek();
        if first == b'"' || first == b'\'' {
            return self.quoted(first);
        }
        if !begins_plain(first, self.peek_behind()) || self.is_document_marker() {
            return Err(Beyond);
        }
        let mut at = begin;
        let mut word = begin;
        // Behind the last word before the one at `word`.
        let mut end = begin;
        loop {
            at += octets[at..].iter().take_while(|octet| class(**octet) == Class::Plain).count();
            let behind = octets.get(at + 1).copied().unwrap_or(END_OF_TEXT);
            match octets.get(at).map_or(Class::Break, |octet| class(*octet)) {
                Class::Break => break,
                Class::Flow if IN_FLOW => break,
                Class::Colon if matches!(class(behind), Class::Space | Class::Break) => break,
                Class::Colon if IN_FLOW && class(behind) == Class::Flow => break,
                // A comment begins behind a space only.
                Class::Hash if at == word => break,
                Class::Plain | Class::Flow | Class::Colon | Class::Hash => at += 1,
                Class::Space => {
                    end = at;
                    at += self.spaces_from(at);
                    word = at;
                    // In flow style a dash of its own is an error in some places.
                    if IN_FLOW && octets.get(at) == Some(&b'-') {
                        return Err(Beyond);
                    }
                }
                Class::Other => return Err(Beyond),
            }
        }
        if at > word {
            end = at;
        }
        self.at = end;
        let span = self.span(begin, end - begin);
        Ok(Token::Scalar { begin: begin as u32, end: end as u32, plain: true, span })
    }

    fn quoted(&mut self, quote: u8) -> Result<Token, Beyond> {
        let begin = self.at;
        let octets = self.text.as_bytes();
        let inside = begin + 1;
        let len = octets[inside..]
            .iter()
            .position(|octet| !matches!(octet, b' '..=b'~') || *octet == quote || *octet == b'\\');
        let end = inside + len.ok_or(Beyond)?;
        // Two single quotes are one inside a scalar.
        if octets[end] != quote || octets.get(end + 1) == Some(&quote) {
            return Err(Beyond);
        }
        self.at = end + 1;
        // The general parser counts what follows up to the next token as part of it, a comment included.
        self.skip_spaces();
        if self.peek() == b'#' {
            return Err(Beyond);
        }
        let span = self.span(begin, self.at - begin);
        Ok(Token::Scalar { begin: inside as u32, end: end as u32, plain: false, span })
    }

    /// The rest of a line that holds nothing but a comment.
    fn end_line(&mut self) -> Result<(), Beyond> {
        let begin = self.at;
        self.skip_spaces();
        match self.peek() {
            b'\n' => Ok(()),
            b'#' if self.at > begin || self.text.as_bytes()[..begin].ends_with(b" ") => self.comment(),
            _ => Err(Beyond),
        }
    }

    /// Goes to the end of the line. Characters outside ASCII may stand here, since nothing follows that has a column;
    /// byte order marks begin with 0xEF, and are an error in some places.
    fn comment(&mut self) -> Result<(), Beyond> {
        let rest = &self.text.as_bytes()[self.at..];
        let len = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        if rest[..len].iter().any(|octet| matches!(octet, 0..=8 | 11..=31 | 127 | 0xEF)) {
            return Err(Beyond);
        }
        self.at += len;
        Ok(())
    }

    /// Notes the place of the value that belongs to the colon, and goes behind it.
    fn colon(&mut self) {
        self.waiting = Some(self.span(self.at, 0));
        self.at += 1;
    }

    fn push(&mut self, kind: Kind, indent: i32) -> Result<(), Beyond> {
        *self.levels.get_mut(self.depth).ok_or(Beyond)? = Level { kind, indent };
        self.depth += 1;
        Ok(())
    }

    fn new_line(&mut self) {
        self.at += 1;
        self.line += 1;
        self.line_at = self.at;
    }

    /// The next character; a line break at the end of the text.
    #[inline]
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(END_OF_TEXT)
    }

    /// The character behind the next.
    #[inline]
    fn peek_behind(&self) -> u8 {
        self.text.as_bytes().get(self.at + 1).copied().unwrap_or(END_OF_TEXT)
    }

    /// Whether the next character begins an item of a block list.
    #[inline]
    fn is_dash(&self) -> bool {
        self.peek() == b'-' && matches!(self.peek_behind(), b' ' | b'\n')
    }

    /// Whether the next character ends a key.
    #[inline]
    fn is_colon(&self) -> bool {
        self.peek() == b':' && matches!(self.peek_behind(), b' ' | b'\n')
    }

    fn is_document_marker(&self) -> bool {
        self.at == self.line_at && matches!(self.text.as_bytes()[self.at..].get(..3), Some(b"---" | b"..."))
    }

    #[inline]
    fn skip_spaces(&mut self) {
        self.at += self.spaces_from(self.at);
    }

    #[inline]
    fn spaces_from(&self, at: usize) -> usize {
        self.text.as_bytes()[at..].iter().take_while(|octet| **octet == b' ').count()
    }

    /// Column, from 0, of an offset on this line: everything before it is ASCII.
    #[inline]
    fn column_of(&self, at: usize) -> u32 {
        (at - self.line_at) as u32
    }

    #[inline]
    fn span(&self, at: usize, len: usize) -> Span {
        Span { line: self.line, column: self.column_of(at) + 1, len: len as u32 }
    }
}

/// A value that is not there.
fn empty(span: Span) -> Token {
    Token::Scalar { begin: 0, end: 0, plain: true, span }
}

/// What an octet may mean inside a plain scalar.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Nothing but itself.
    Plain,
    Space,
    Break,
    Colon,
    Hash,
    /// The indicators that end a scalar inside flow collections.
    Flow,
    /// Not of this part of YAML.
    Other,
}

static CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut octet = b'!';
    while octet <= b'~' {
        classes[octet as usize] = match octet {
            b':' => Class::Colon,
            b'#' => Class::Hash,
            b',' | b'[' | b']' | b'{' | b'}' => Class::Flow,
            _ => Class::Plain,
        };
        octet += 1;
    }
    classes[b' ' as usize] = Class::Space;
    classes[b'\n' as usize] = Class::Break;
    classes
};

#[inline]
fn class(octet: u8) -> Class {
    CLASSES[usize::from(octet)]
}

/// Whether a plain scalar certainly begins here.
#[inline]
fn begins_plain(first: u8, second: u8) -> bool {
    match first {
        b'0'..=b'9'
        | b'A'..=b'Z'
        | b'a'..=b'z'
        | b'_'
        | b'.'
        | b'/'
        | b'~'
        | b'+'
        | b'<'
        | b'='
        | b'('
        | b'$'
        | b'^' => true,
        b'-' => second.is_ascii_alphanumeric(),
        _ => false,
    }
}
