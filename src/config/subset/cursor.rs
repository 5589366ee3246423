//! A place in a text, and what the subset's reader does there: spaces, line breaks, comments, scalars.
//!
//! Knows no structure. All that it goes over is ASCII, but comments, so that an octet is a column.

use crate::config::report::Span;

/// What is read behind the last octet: a last line may lack its break.
const END_OF_TEXT: u8 = b'\n';

/// The text is not of this part of YAML, or not for certain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beyond;

/// A [`Step`](super::Step) before its text is cut out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Token {
    Scalar { begin: u32, end: u32, plain: bool, span: Span },
    List(Span),
    Mapping(Span),
    End,
}

/// A place in a text.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'t> {
    pub(super) text: &'t str,
    /// Offset of the next octet.
    pub(super) at: usize,
    /// Line, from 1.
    line: u32,
    /// Offset at which the line begins.
    line_at: usize,
}

impl<'t> Cursor<'t> {
    /// The beginning of a text.
    pub(super) fn new(text: &'t str) -> Cursor<'t> {
        Cursor { text, at: 0, line: 1, line_at: 0 }
    }

    /// Goes to the first character of the next line that has more than a comment; its column, -1 behind the last line.
    pub(super) fn find_line(&mut self) -> Result<i32, Beyond> {
        let octets = self.text.as_bytes();
        loop {
            self.skip_spaces();
            match octets.get(self.at) {
                None => return Ok(-1),
                Some(b'\n') => self.new_line(),
                Some(b'#') => self.comment()?,
                Some(_) => return Ok(self.column()),
            }
        }
    }

    /// Goes over spaces and line breaks; true when there was any line break.
    #[inline]
    pub(super) fn skip_breaks(&mut self) -> bool {
        self.skip_spaces();
        if self.peek() != b'\n' {
            return false;
        }
        while self.at < self.text.len() && self.peek() == b'\n' {
            self.new_line();
            self.skip_spaces();
        }
        true
    }

    /// A scalar that ends on its line; what follows it is the next character.
    #[inline]
    pub(super) fn scalar<const IN_FLOW: bool>(&mut self) -> Result<Token, Beyond> {
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
    pub(super) fn end_line(&mut self) -> Result<(), Beyond> {
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

    /// The next character; a line break at the end of the text.
    #[inline]
    pub(super) fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(END_OF_TEXT)
    }

    /// The character behind the next.
    #[inline]
    pub(super) fn peek_behind(&self) -> u8 {
        self.text.as_bytes().get(self.at + 1).copied().unwrap_or(END_OF_TEXT)
    }

    /// Whether the next character begins an item of a block list.
    #[inline]
    pub(super) fn is_dash(&self) -> bool {
        self.peek() == b'-' && matches!(self.peek_behind(), b' ' | b'\n')
    }

    /// Whether the next character ends a key.
    #[inline]
    pub(super) fn is_colon(&self) -> bool {
        self.peek() == b':' && matches!(self.peek_behind(), b' ' | b'\n')
    }

    fn is_document_marker(&self) -> bool {
        self.at == self.line_at && matches!(self.text.as_bytes()[self.at..].get(..3), Some(b"---" | b"..."))
    }

    /// Goes over spaces.
    #[inline]
    pub(super) fn skip_spaces(&mut self) {
        self.at += self.spaces_from(self.at);
    }

    /// Number of spaces at an offset.
    #[inline]
    pub(super) fn spaces_from(&self, at: usize) -> usize {
        self.text.as_bytes()[at..].iter().take_while(|octet| **octet == b' ').count()
    }

    /// Column, from 0, of the next octet.
    #[inline]
    pub(super) fn column(&self) -> i32 {
        self.column_of(self.at) as i32
    }

    /// Column, from 0, of an offset on this line: everything before it is ASCII.
    #[inline]
    fn column_of(&self, at: usize) -> u32 {
        (at - self.line_at) as u32
    }

    /// A place on this line.
    #[inline]
    pub(super) fn span(&self, at: usize, len: usize) -> Span {
        Span { line: self.line, column: self.column_of(at) + 1, len: len as u32 }
    }

    fn new_line(&mut self) {
        self.at += 1;
        self.line += 1;
        self.line_at = self.at;
    }
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
