//! A reader for the part of YAML that large files keep to: block mappings and lists, flow collections, plain and quoted
//! scalars that end on their line, comments. Many times the general parser's speed; hands out slices of the text.
//!
//! It is never asked to be right about anything else: a first walk over the text finds out whether all of it is of this
//! part, and if not, or in doubt, the general parser reads the whole. So nothing here reports an error, and whatever is
//! accepted gives the same nodes at the same places as the general parser (`agreement` holds both against each other).
//!
//! Not of this part: anchors, aliases, tags, directives, several documents, scalars over several lines, escapes, explicit
//! keys (`?`), keys without a value, tabs, carriage returns, and characters outside ASCII except in comments.

use std::borrow::Cow;

use super::events::{Node, Scalar, Step};
use super::report::Span;
use cursor::{Beyond, Cursor, Token};

/// Places and scalars of a text.
mod cursor;

/// Deepest nesting of this part; deeper documents are the general parser's, which has its own bound.
const MAX_LEVELS: usize = 16;
/// Longest key. YAML 1.2 §7.4.2 ends an implicit key at 1024 characters.
const MAX_KEY_OCTETS: usize = 1000;
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
    cursor: Cursor<'t>,
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
        i32::try_from(text.len()).ok()?;
        let reader = Subset {
            cursor: Cursor::new(text),
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
                let text = Cow::Borrowed(&self.cursor.text[begin as usize..end as usize]);
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
                    self.column = self.cursor.find_line()?;
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
        self.column = self.cursor.find_line()?;
        if self.column == 0 && self.cursor.text[self.cursor.at..].starts_with("---") {
            self.cursor.at += 3;
            self.cursor.end_line()?;
            self.column = self.cursor.find_line()?;
        }
        match self.cursor.peek() {
            _ if self.column < 0 => Err(Beyond),
            b'{' | b'[' => self.open_flow(),
            _ => self.open_block(),
        }
    }

    /// Ends collections before the line's first character, or begins what stands there.
    fn unwind(&mut self) -> Result<Option<Token>, Beyond> {
        let Some(&Level { kind, indent }) = self.levels[..self.depth].last() else {
            // A second root, or text behind it.
            return Err(Beyond);
        };
        let dash = self.cursor.is_dash();
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
        let span = self.cursor.span(self.cursor.at, 0);
        let indent = self.cursor.column();
        if self.cursor.is_dash() {
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
        let spaces = self.cursor.spaces_from(self.cursor.at + 1);
        Ok(Token::List(self.cursor.span(self.cursor.at + 1 + spaces, 0)))
    }

    fn block_key(&mut self) -> Result<Token, Beyond> {
        let begin = self.cursor.at;
        let scalar = self.cursor.scalar::<false>()?;
        if self.cursor.at - begin > MAX_KEY_OCTETS || !self.cursor.is_colon() {
            return Err(Beyond);
        }
        self.colon();
        self.state = State::BlockValue;
        Ok(scalar)
    }

    fn block_value(&mut self) -> Result<Option<Token>, Beyond> {
        self.cursor.skip_spaces();
        self.state = State::Line;
        match self.cursor.peek() {
            b'\n' | b'#' => {
                self.cursor.end_line()?;
                Ok(None)
            }
            b'{' | b'[' => {
                self.waiting = None;
                self.open_flow().map(Some)
            }
            _ => {
                self.waiting = None;
                let scalar = self.cursor.scalar::<false>()?;
                self.cursor.end_line()?;
                Ok(Some(scalar))
            }
        }
    }

    fn block_item(&mut self) -> Result<Option<Token>, Beyond> {
        self.cursor.at += 1;
        self.cursor.skip_spaces();
        self.state = State::Line;
        match self.cursor.peek() {
            b'\n' => {
                self.waiting = Some(self.cursor.span(self.cursor.at, 0));
                Ok(None)
            }
            b'{' | b'[' => self.open_flow().map(Some),
            // A comment moves the place of what follows; a list in a list is rare.
            b'#' => Err(Beyond),
            _ if self.cursor.is_dash() => Err(Beyond),
            _ => {
                let begin = self.cursor.at;
                let scalar = self.cursor.scalar::<false>()?;
                if self.cursor.is_colon() {
                    self.cursor.at = begin;
                    return self.open_block().map(Some);
                }
                self.cursor.end_line()?;
                Ok(Some(scalar))
            }
        }
    }

    /// Begins a flow collection. The general parser counts the spaces behind the bracket as part of it.
    fn open_flow(&mut self) -> Result<Token, Beyond> {
        let begin = self.cursor.at;
        let mapping = self.cursor.peek() == b'{';
        let indent = self.levels[..self.depth].last().map_or(-1, |level| level.indent);
        self.push(if mapping { Kind::FlowMapping } else { Kind::FlowList }, indent)?;
        self.cursor.at += 1;
        self.cursor.skip_spaces();
        let span = self.cursor.span(begin, self.cursor.at - begin);
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
        if self.cursor.peek() == b'}' {
            return self.close_flow();
        }
        let scalar = self.cursor.scalar::<true>()?;
        let quoted = matches!(scalar, Token::Scalar { plain: false, .. });
        let adjacent = self.cursor.peek() == b':' && !matches!(self.cursor.peek_behind(), b',' | b'}' | b']');
        if !(self.cursor.is_colon() || quoted && adjacent) {
            return Err(Beyond);
        }
        self.colon();
        self.state = State::FlowValue;
        Ok(scalar)
    }

    fn flow_value(&mut self) -> Result<Token, Beyond> {
        self.flow_gap()?;
        let place = self.waiting.take();
        match self.cursor.peek() {
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
        match self.cursor.peek() {
            b']' => self.close_flow(),
            b'{' | b'[' => self.open_flow(),
            _ => self.flow_scalar(),
        }
    }

    fn flow_scalar(&mut self) -> Result<Token, Beyond> {
        let scalar = self.cursor.scalar::<true>()?;
        self.state = State::FlowNext;
        Ok(scalar)
    }

    fn flow_next(&mut self) -> Result<Option<Token>, Beyond> {
        // Were it neither a comma nor an end on a line below a plain scalar, the scalar would go on there.
        self.flow_gap()?;
        let kind = self.levels[self.depth - 1].kind;
        match (self.cursor.peek(), kind) {
            (b',', Kind::FlowMapping) => self.state = State::FlowKey,
            (b',', _) => self.state = State::FlowItem,
            (b'}', Kind::FlowMapping) | (b']', Kind::FlowList) => return self.close_flow().map(Some),
            _ => return Err(Beyond),
        }
        self.cursor.at += 1;
        Ok(None)
    }

    /// Ends a flow collection, and the line with it when it stands in no other.
    fn close_flow(&mut self) -> Result<Token, Beyond> {
        self.cursor.at += 1;
        self.depth -= 1;
        match self.levels[..self.depth].last() {
            Some(Level { kind: Kind::FlowMapping | Kind::FlowList, .. }) => self.state = State::FlowNext,
            Some(_) => {
                self.cursor.end_line()?;
                self.state = State::Line;
            }
            None => {
                self.cursor.end_line()?;
                self.column = self.cursor.find_line()?;
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
        if !self.cursor.skip_breaks() {
            return Ok(());
        }
        let indent = self.levels[..self.depth].last().map_or(-1, |level| level.indent);
        if self.cursor.column() > indent { Ok(()) } else { Err(Beyond) }
    }

    /// Notes the place of the value that belongs to the colon, and goes behind it.
    fn colon(&mut self) {
        self.waiting = Some(self.cursor.span(self.cursor.at, 0));
        self.cursor.at += 1;
    }

    fn push(&mut self, kind: Kind, indent: i32) -> Result<(), Beyond> {
        *self.levels.get_mut(self.depth).ok_or(Beyond)? = Level { kind, indent };
        self.depth += 1;
        Ok(())
    }
}

/// A value that is not there.
fn empty(span: Span) -> Token {
    Token::Scalar { begin: 0, end: 0, plain: true, span }
}
