//! Text to logical entries (RFC 1035 §5.1): quotes, backslashes, comments and parentheses are understood here, and here
//! alone places are known. The text is read through a window and never held as a whole.
//!
//! Knows no directive, name or type.

use std::io::{self, Read};
use std::ops::Range;

use super::fault::ZoneCause;

/// Octets of the window; it grows for an entry that is longer, up to [`MAX_ENTRY_OCTETS`].
const WINDOW_OCTETS: usize = 64 << 10;
/// Longest entry, comments included. Data of 65,535 octets, each written as `\DDD`, fits four times.
const MAX_ENTRY_OCTETS: usize = 1 << 20;

/// A word of an entry: its octets without quotation marks, its escapes as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    begin: u32,
    end: u32,
    /// Whether it stood between quotation marks.
    pub(super) quoted: bool,
    /// Whether nothing stands between it and the one before (`key="value"`).
    pub(super) glued: bool,
}

/// A record or a directive, however many lines it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'w> {
    text: &'w [u8],
    /// The line it begins on.
    pub(super) line: u32,
    /// Whether it begins with white space: its owner is that of the record before.
    pub(super) indented: bool,
    tokens: &'w [Token],
    /// What makes it unreadable, and the offset where.
    pub(super) fault: Option<(u32, &'w ZoneCause)>,
}

impl<'w> Entry<'w> {
    /// Its words; at least one, unless there is a fault.
    pub(super) fn tokens(&self) -> &'w [Token] {
        self.tokens
    }

    /// The octets of a word.
    pub(super) fn octets(&self, token: Token) -> &'w [u8] {
        &self.text[token.begin as usize..token.end as usize]
    }

    /// Line and column of a word; of a quoted one, those of the quotation mark.
    pub(super) fn place(&self, token: Token) -> (u32, u32) {
        self.place_at(token.begin - u32::from(token.quoted))
    }

    /// Line and column, both from 1, of an offset. Columns count characters.
    pub(super) fn place_at(&self, offset: u32) -> (u32, u32) {
        let before = &self.text[..offset as usize];
        let line = self.line + count_lines(before);
        let begin = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        // Octets that continue a UTF-8 character are none of their own.
        let column = before[begin..].iter().filter(|octet| *octet & 0xC0 != 0x80).count();
        (line, column as u32 + 1)
    }
}

/// Line breaks in a text.
fn count_lines(text: &[u8]) -> u32 {
    memchr::memchr_iter(b'\n', text).count() as u32
}

/// Cuts a text into entries.
pub(super) struct Splitter<R> {
    input: R,
    window: Vec<u8>,
    /// What is not yet cut: `window[start..end]`.
    start: usize,
    end: usize,
    /// Number of the line that begins at `start`.
    line: u32,
    /// Nothing more can be read.
    at_end: bool,
    tokens: Vec<Token>,
    fault: Option<(u32, ZoneCause)>,
}

impl<R: Read> Splitter<R> {
    /// Cuts what `input` gives; a byte order mark is left out.
    pub(super) fn new(input: R) -> Splitter<R> {
        Splitter {
            input,
            window: Vec::new(),
            start: 0,
            end: 0,
            line: 0,
            at_end: false,
            tokens: Vec::new(),
            fault: None,
        }
    }

    /// The next physical line without its break, where all of it is in the window; [`Splitter::take`] moves behind it.
    pub(super) fn line(&mut self) -> io::Result<Option<(&[u8], u32)>> {
        self.begin()?;
        let mut end = memchr::memchr(b'\n', &self.window[self.start..self.end]);
        if end.is_none() && self.fill()? {
            end = memchr::memchr(b'\n', &self.window[self.start..self.end]);
        }
        Ok(end.map(|len| (&self.window[self.start..self.start + len], self.line)))
    }

    /// Moves behind a line of so many octets that [`Splitter::line`] gave.
    pub(super) fn take(&mut self, line_octets: usize) {
        self.start += line_octets + 1;
        self.line += 1;
    }

    /// The next entry that is not empty; `None` at the end.
    pub(super) fn entry(&mut self) -> io::Result<Option<Entry<'_>>> {
        let Some((range, line)) = self.cut()? else { return Ok(None) };
        let text = &self.window[range];
        let indented = matches!(text[0], b' ' | b'\t' | b'\r');
        let fault = self.fault.as_ref().map(|(at, cause)| (*at, cause));
        Ok(Some(Entry { text, line, indented, tokens: &self.tokens, fault }))
    }

    /// Where the next entry lies in the window, and its line.
    fn cut(&mut self) -> io::Result<Option<(Range<usize>, u32)>> {
        self.begin()?;
        loop {
            self.tokens.clear();
            self.fault = None;
            let text = &self.window[self.start..self.end];
            let mut scan =
                Scan { text, at: 0, at_end: self.at_end, tokens: &mut self.tokens, fault: &mut self.fault };
            let consumed = match scan.run() {
                Extent::Whole(consumed) => consumed,
                Extent::More(open) => {
                    if text.len() < MAX_ENTRY_OCTETS && !self.at_end {
                        self.fill()?;
                        continue;
                    }
                    let restart = open.and_then(|open| restart_behind(text, open));
                    self.fault = Some(match open {
                        Some(open) => (open, ZoneCause::OpenParenthesis),
                        None => (0, ZoneCause::EntryTooLong { limit_octets: MAX_ENTRY_OCTETS }),
                    });
                    // Where nothing looks like the beginning of an entry, nothing more can be said about the file.
                    self.at_end |= restart.is_none();
                    let consumed = restart.unwrap_or(text.len());
                    self.tokens.retain(|token| token.end as usize <= consumed);
                    consumed
                }
            };
            let (range, line) = (self.start..self.start + consumed, self.line);
            self.line += count_lines(&self.window[range.clone()]);
            self.start = range.end;
            if consumed == 0 {
                return Ok(None);
            }
            if !self.tokens.is_empty() || self.fault.is_some() {
                return Ok(Some((range, line)));
            }
        }
    }

    /// Reads the first octets.
    fn begin(&mut self) -> io::Result<()> {
        const BOM: &[u8] = b"\xEF\xBB\xBF";
        if self.line > 0 {
            return Ok(());
        }
        self.line = 1;
        while self.end < BOM.len() && self.fill()? {}
        if self.window[..self.end].starts_with(BOM) {
            self.start = BOM.len();
        }
        Ok(())
    }

    /// Reads more octets behind those that are there; false at the end of the input.
    fn fill(&mut self) -> io::Result<bool> {
        if self.at_end {
            return Ok(false);
        }
        self.window.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.end == self.window.len() {
            self.window.resize((self.window.len() * 2).max(WINDOW_OCTETS), 0);
        }
        let before = self.end;
        // Whole windows, so that what has to be looked at again is not looked at often.
        while self.end < self.window.len() && !self.at_end {
            match self.input.read(&mut self.window[self.end..]) {
                Ok(0) => self.at_end = true,
                Ok(octets) => self.end += octets,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.end > before)
    }
}

/// How far an entry goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// So many octets, its line break included.
    Whole(usize),
    /// It goes on behind the text; there may be an open parenthesis.
    More(Option<u32>),
}

/// A walk over one entry.
struct Scan<'t> {
    text: &'t [u8],
    at: usize,
    /// Nothing follows the text.
    at_end: bool,
    tokens: &'t mut Vec<Token>,
    fault: &'t mut Option<(u32, ZoneCause)>,
}

impl Scan<'_> {
    /// Walks to the end of the entry.
    fn run(&mut self) -> Extent {
        let mut depth = 0_usize;
        let mut opened = 0;
        let mut glued = false;
        loop {
            let Some(&octet) = self.text.get(self.at) else {
                return match (depth, self.at_end) {
                    (0, true) => Extent::Whole(self.at),
                    (0, false) => Extent::More(None),
                    (_, _) => Extent::More(Some(opened)),
                };
            };
            match octet {
                b'\n' if depth == 0 => return Extent::Whole(self.at + 1),
                b'\n' | b' ' | b'\t' | b'\r' => (self.at, glued) = (self.at + 1, false),
                b';' => {
                    let rest = &self.text[self.at..];
                    self.at += memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                }
                b'(' => {
                    if depth == 0 {
                        opened = self.at as u32;
                    }
                    depth += 1;
                    (self.at, glued) = (self.at + 1, false);
                }
                b')' => {
                    if depth == 0 {
                        self.note(self.at, ZoneCause::CloseParenthesis);
                    }
                    depth = depth.saturating_sub(1);
                    (self.at, glued) = (self.at + 1, false);
                }
                _ => {
                    self.token(octet == b'"', glued);
                    glued = true;
                }
            }
        }
    }

    /// Walks over a word.
    fn token(&mut self, quoted: bool, glued: bool) {
        let mark = self.at;
        self.at += usize::from(quoted);
        let begin = self.at;
        let mut closed = !quoted;
        while let Some(&octet) = self.text.get(self.at) {
            match octet {
                b'\n' => break,
                b'"' if quoted => {
                    closed = true;
                    break;
                }
                b' ' | b'\t' | b'\r' | b'(' | b')' | b';' | b'"' if !quoted => break,
                b'\\' => {
                    self.at += 1;
                    match self.text.get(self.at) {
                        Some(b' '..=b'~') => self.at += 1,
                        Some(b'\n') | None => self.note(self.at - 1, ZoneCause::Escape),
                        // Told by the next turn.
                        Some(_) => {}
                    }
                    continue;
                }
                b' '..=b'~' | b'\t' => {}
                // The end of a line, as some systems write it; a missing quotation mark is what has to be told.
                b'\r' if self.text.get(self.at + 1).is_none_or(|next| *next == b'\n') => {}
                octet => self.note(self.at, ZoneCause::Octet { octet }),
            }
            self.at += 1;
        }
        let token = Token { begin: begin as u32, end: self.at as u32, quoted, glued };
        self.tokens.push(token);
        if closed {
            self.at += usize::from(quoted);
        } else {
            self.note(mark, ZoneCause::OpenQuote);
        }
    }

    /// Keeps what makes the entry unreadable; the first is told.
    fn note(&mut self, at: usize, cause: ZoneCause) {
        self.fault.get_or_insert((at as u32, cause));
    }
}

/// Behind a parenthesis that is never closed, the line that looks like the beginning of the next entry: one that begins
/// with a word in the first column.
fn restart_behind(text: &[u8], open: u32) -> Option<usize> {
    let breaks = memchr::memchr_iter(b'\n', &text[open as usize..]).map(|at| open as usize + at + 1);
    let is_word = |octet: &u8| !matches!(octet, b' ' | b'\t' | b'\r' | b'\n' | b')' | b';');
    breaks.into_iter().find(|at| text.get(*at).is_some_and(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives octets one, two or three at a time.
    struct Drops<'t>(&'t [u8], usize);

    impl Read for Drops<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 = self.1 % 3 + 1;
            let len = self.1.min(self.0.len()).min(into.len());
            into[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }

    /// The entries of a text: line, words (quoted ones between bars, glued ones behind a plus), fault and its place.
    fn entries(text: &[u8]) -> Vec<String> {
        let read = |mut splitter: Splitter<&mut dyn Read>| {
            let mut all = Vec::new();
            while let Some(entry) = splitter.entry().unwrap() {
                let mut line = format!("{}{}", entry.line, if entry.indented { "-" } else { ":" });
                for token in entry.tokens() {
                    let word = String::from_utf8_lossy(entry.octets(*token)).into_owned();
                    let glue = if token.glued { "+" } else { " " };
                    line += &if token.quoted { format!("{glue}|{word}|") } else { format!("{glue}{word}") };
                }
                if let Some((at, cause)) = entry.fault {
                    let (at_line, column) = entry.place_at(at);
                    line = format!("{line} !{at_line}:{column} {cause:?}");
                }
                all.push(line);
            }
            all
        };
        let whole = read(Splitter::new(&mut { text }));
        assert_eq!(whole, read(Splitter::new(&mut Drops(text, 0))), "read in drops");
        whole
    }

    #[test]
    fn an_entry_ends_with_its_line_unless_parentheses_are_open() {
        let text = b"a A 1 ; x ( \" \n\n ; only\n  \t\n  B (\n 2 ; )\n 3\n) 4\nc D";
        assert_eq!(entries(text), ["1: a A 1", "5- B 2 3 4", "9: c D"]);
        assert_eq!(entries(b""), [""; 0]);
        assert_eq!(entries(b"\n\n"), [""; 0]);
    }

    #[test]
    fn quotes_and_backslashes_hide_what_would_end_a_word() {
        let text = br#"a\ b "c ; ( \" d" e\;f "" k="v w"x "#;
        assert_eq!(entries(text), [r#"1: a\ b |c ; ( \" d| e\;f || k=+|v w|+x"#]);
    }

    #[test]
    fn other_systems_line_breaks_and_a_byte_order_mark_are_no_text() {
        assert_eq!(entries(b"\xEF\xBB\xBFa A 1\r\n B 2\r\n\r\n"), ["1: a A 1", "2- B 2"]);
    }

    #[test]
    fn faults_have_their_place_and_the_next_entry_is_read() {
        assert_eq!(entries(b"a ) b\nc"), ["1: a b !1:3 CloseParenthesis", "2: c"]);
        assert_eq!(entries(b"a \"b c\nd"), ["1: a |b c| !1:3 OpenQuote", "2: d"]);
        assert_eq!(entries(b"a (\n \"b c\n) d\ne"), ["1: a |b c| d !2:2 OpenQuote", "4: e"]);
        assert_eq!(entries(b"a b\\\nc"), ["1: a b\\ !1:4 Escape", "2: c"]);
        assert_eq!(entries("\u{fc}x \u{e4}\n".as_bytes()), ["1: \u{fc}x \u{e4} !1:1 Octet { octet: 195 }"]);
        assert_eq!(
            entries("; \u{fc}\nx ( ; \u{fc}\n\u{e4})".as_bytes()),
            ["2: x \u{e4} !3:1 Octet { octet: 195 }"]
        );
        assert_eq!(entries(b"a \x01b \"\t\x7f\"\n"), ["1: a \x01b |\t\x7f| !1:3 Octet { octet: 1 }"]);
        assert!(entries("( ; \u{fc}\n\u{fc}\u{fc}".as_bytes())[0].contains("1:1 OpenParenthesis"));
    }

    #[test]
    fn behind_a_parenthesis_never_closed_reading_goes_on_where_an_entry_seems_to_begin() {
        let text = b"@ SOA a b (\n 1 2\n; x\n 3 4 5\nc A 1\n D ( 2 )\n";
        assert_eq!(entries(text)[0].split('!').nth(1), Some("1:11 OpenParenthesis"));
        assert_eq!(entries(text)[1..], ["5: c A 1", "6- D 2"]);
    }

    #[test]
    fn an_entry_may_be_longer_than_the_window_but_has_a_bound() {
        let long = format!("a ( {} )\nb", "x \n".repeat(100_000));
        let read = entries(long.as_bytes());
        assert_eq!((read.len(), read[0].matches('x').count(), &read[1][..]), (2, 100_000, "100002: b"));
        let read = entries(format!("{}\nb", "x".repeat(2 << 20)).as_bytes());
        assert!(read.len() == 1 && read[0].contains("EntryTooLong"));
    }

    #[test]
    fn lines_are_lent_one_by_one() {
        let mut splitter = Splitter::new(&b"a b\n\nc (\n) d\ne"[..]);
        let mut seen = Vec::new();
        while let Some((line, number)) = splitter.line().unwrap() {
            let len = line.len();
            if line.contains(&b'(') {
                let entry = splitter.entry().unwrap().unwrap();
                seen.push((entry.line, entry.tokens().len()));
                continue;
            }
            seen.push((number, len));
            splitter.take(len);
        }
        assert_eq!(seen, [(1, 3), (2, 0), (3, 2)]);
        assert_eq!(splitter.entry().unwrap().map(|entry| (entry.line, entry.tokens().len())), Some((5, 1)));
    }

    proptest! {
        #[test]
        fn any_octets_are_cut_and_words_keep_to_their_alphabet(text in prop::collection::vec(
            prop_oneof![5 => prop::sample::select(b"ab \n\t\r\"\\();".to_vec()), 1 => any::<u8>()], 0..200
        )) {
            let mut splitter = Splitter::new(&text[..]);
            let mut line = 0;
            while let Some(entry) = splitter.entry().unwrap() {
                prop_assert!(entry.line > line);
                line = entry.line;
                prop_assert!(entry.fault.is_some() || !entry.tokens().is_empty());
                for token in entry.tokens() {
                    let (at, column) = entry.place(*token);
                    prop_assert!(at >= entry.line && column >= 1);
                    if entry.fault.is_none() {
                        prop_assert!(entry.octets(*token).iter().all(|o| matches!(o, b' '..=b'~' | b'\t')));
                    }
                }
            }
            entries(&text);
        }
    }
}
