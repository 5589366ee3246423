//! Draws a diagnostic like rustc does: headline, place, the source line, a caret, and what would be accepted.
//!
//! Lines may hold tabs, wide characters, control characters, or be very long: what is drawn is printable, aligned in a
//! terminal's columns, and at most `MAX_WINDOW_CHARS` characters of the line. Never colours anything.

use std::fmt;

use super::report::{Diagnostic, Severity, Span};

/// Most characters of a source line that are drawn.
const MAX_WINDOW_CHARS: usize = 100;
/// Characters drawn before the place when the line is cut.
const WINDOW_LEAD_CHARS: usize = 40;
/// A tab is drawn as this many spaces.
const TAB: &str = "    ";

/// The part of a source line that is drawn, and where the caret goes, both in terminal columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    text: String,
    caret_at: usize,
    caret_len: usize,
}

impl Excerpt {
    /// Cuts a window around `span` out of its line.
    pub(super) fn new(line: &str, span: Span) -> Excerpt {
        let start = (span.column as usize).saturating_sub(1);
        let end = start + (span.len as usize).max(1);
        let skip = if line.chars().nth(MAX_WINDOW_CHARS).is_some() {
            start.saturating_sub(WINDOW_LEAD_CHARS)
        } else {
            0
        };
        let mut excerpt = Excerpt { text: String::new(), caret_at: 0, caret_len: 0 };
        if skip > 0 {
            excerpt.text.push('…');
            excerpt.caret_at += 1;
        }
        for (index, c) in line.chars().enumerate().skip(skip) {
            if index == skip + MAX_WINDOW_CHARS {
                excerpt.text.push('…');
                break;
            }
            let width = push_visible(&mut excerpt.text, c);
            if index < start {
                excerpt.caret_at += width;
            } else if index < end {
                excerpt.caret_len += width;
            }
        }
        excerpt.caret_len = excerpt.caret_len.max(1);
        excerpt
    }
}

/// Appends a character as it can be shown; returns the terminal columns it takes.
fn push_visible(text: &mut String, c: char) -> usize {
    match c {
        '\t' => {
            text.push_str(TAB);
            TAB.len()
        }
        c if c.is_control()
            || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}') =>
        {
            text.push('\u{FFFD}');
            1
        }
        c => {
            text.push(c);
            columns(c)
        }
    }
}

/// Terminal columns of a printable character; the blocks of Unicode's East Asian Width that matter in practice.
fn columns(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036F | 0x1AB0..=0x1AFF | 0x20D0..=0x20FF | 0xFE00..=0xFE0F | 0xFE20..=0xFE2F => 0,
        0x1100..=0x115F
        | 0x2E80..=0xA4CF
        | 0xAC00..=0xD7A3
        | 0xF900..=0xFAFF
        | 0xFE30..=0xFE6F
        | 0xFF00..=0xFF60
        | 0xFFE0..=0xFFE6
        | 0x1F300..=0x1FAFF
        | 0x20000..=0x3FFFD => 2,
        _ => 1,
    }
}

/// Writes the whole diagnostic without a final line break.
pub(super) fn write_diagnostic(diagnostic: &Diagnostic, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    write!(f, "{severity}: {}", diagnostic.cause)?;
    let help = diagnostic.cause.help();
    let Some(span) = diagnostic.span else {
        write!(f, "\n  --> {}", diagnostic.file)?;
        return match help {
            Some(help) => write!(f, "\n   = {help}"),
            None => Ok(()),
        };
    };
    let gutter = span.line.to_string().len() + 1;
    write!(f, "\n{:gutter$}--> {}:{}:{}", "", diagnostic.file, span.line, span.column)?;
    let help = help.unwrap_or_default();
    let Some(excerpt) = &diagnostic.excerpt else {
        return if help.is_empty() { Ok(()) } else { write!(f, "\n{:gutter$} = {help}", "") };
    };
    write!(f, "\n{:gutter$} |\n{:>gutter$} | {}", "", span.line, excerpt.text)?;
    let (at, carets) = (excerpt.caret_at, "^".repeat(excerpt.caret_len));
    write!(f, "\n{:gutter$} | {:at$}{carets}", "", "")?;
    if help.is_empty() { Ok(()) } else { write!(f, " {help}") }
}

#[cfg(test)]
mod tests {
    use super::super::cause::{Cause, Found, Known};
    use super::*;
    use proptest::prelude::*;

    fn diagnostic(line: &str, span: Span) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            file: "lb.yaml".into(),
            span: Some(span),
            cause: Cause::UndefinedPool {
                name: Found::new("wiki"),
                closest: None,
                known: Known::new(["myapp"].into_iter()),
            },
            excerpt: Some(Excerpt::new(line, span)),
        }
    }

    #[test]
    fn a_diagnostic_is_drawn_like_rustc_does() {
        let shown = diagnostic("        pool: wiki", Span { line: 3, column: 15, len: 4 }).to_string();
        let expected = "error: pool `wiki` is not defined\n  --> lb.yaml:3:15\n   |\n 3 |         pool: wiki\n   |               ^^^^ known pools are `myapp`";
        assert_eq!(shown, expected);
    }

    #[test]
    fn tabs_and_wide_characters_keep_the_caret_in_its_column() {
        let excerpt = Excerpt::new("\t池: x", Span { line: 1, column: 5, len: 1 });
        assert_eq!((excerpt.text.as_str(), excerpt.caret_at, excerpt.caret_len), ("    池: x", 8, 1));
    }

    #[test]
    fn a_long_line_is_cut_to_a_window_around_the_place() {
        let line = format!("{}here{}", "a".repeat(5000), "b".repeat(5000));
        let excerpt = Excerpt::new(&line, Span { line: 1, column: 5001, len: 4 });
        assert!(excerpt.text.chars().count() <= MAX_WINDOW_CHARS + 2);
        assert!(excerpt.text.starts_with('…') && excerpt.text.ends_with('…'));
        assert_eq!(excerpt.text.chars().skip(excerpt.caret_at).take(4).collect::<String>(), "here");
    }

    proptest! {
        #[test]
        fn excerpts_are_bounded_and_printable(line in "\\PC{0,300}|.{0,300}", column in 0u32..400, len in 0u32..400) {
            let excerpt = Excerpt::new(&line, Span { line: 1, column, len });
            prop_assert!(!excerpt.text.contains(char::is_control));
            prop_assert!(excerpt.text.chars().count() <= (MAX_WINDOW_CHARS + 2) * TAB.len());
            prop_assert!((1..=MAX_WINDOW_CHARS * TAB.len()).contains(&excerpt.caret_len));
        }
    }
}
