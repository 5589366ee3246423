//! Files of lines: fields between blanks, the rest of a line behind `#` a comment.
//!
//! Knows where each field stands, so that what is wrong with it has a place.

use super::super::report::Span;

/// A line with something in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'t> {
    text: &'t str,
    number: u32,
}

/// A field of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word<'t> {
    pub(super) text: &'t str,
    pub(super) span: Span,
}

/// The lines of a text that are neither empty nor comments.
pub(super) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    // As the excerpts of diagnostics have them: YAML 1.2 §5.4.
    let mut rest = Some(text);
    let mut number = 0;
    std::iter::from_fn(move || {
        loop {
            let all = rest?;
            number += 1;
            let end = memchr::memchr2(b'\n', b'\r', all.as_bytes());
            let line = &all[..end.unwrap_or(all.len())];
            rest = end.map(|end| &all[end + if all[end..].starts_with("\r\n") { 2 } else { 1 }..]);
            let line = memchr::memchr(b'#', line.as_bytes()).map_or(line, |comment| &line[..comment]);
            if line.bytes().any(|octet| !octet.is_ascii_whitespace()) {
                return Some(Line { text: line, number });
            }
        }
    })
}

impl<'t> Line<'t> {
    /// Its fields.
    pub(super) fn words(self) -> impl Iterator<Item = Word<'t>> {
        self.text.split_ascii_whitespace().map(move |text| Word { text, span: self.span_of(text) })
    }

    /// The place behind its last field.
    pub(super) fn end(self) -> Span {
        Span { line: self.number, column: self.text.trim_ascii_end().chars().count() as u32 + 1, len: 1 }
    }

    fn span_of(self, word: &str) -> Span {
        let at = word.as_ptr().addr() - self.text.as_ptr().addr();
        let count = |text: &str| if text.is_ascii() { text.len() } else { text.chars().count() } as u32;
        Span { line: self.number, column: count(&self.text[..at]) + 1, len: count(word) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_places_and_comments_count_as_lines() {
        let text = "# head\n\na b # more\r\n  é\tc\r  \n# end";
        let found: Vec<(String, u32, u32, u32)> = lines(text)
            .flat_map(Line::words)
            .map(|word| (word.text.to_owned(), word.span.line, word.span.column, word.span.len))
            .collect();
        let expected = [("a", 3, 1, 1), ("b", 3, 3, 1), ("é", 4, 3, 1), ("c", 4, 5, 1)];
        assert_eq!(found, expected.map(|(text, line, column, len)| (text.to_owned(), line, column, len)));
        assert_eq!(lines(text).last().unwrap().end(), Span { line: 4, column: 6, len: 1 });
        assert_eq!(lines("").count(), 0);
    }
}
