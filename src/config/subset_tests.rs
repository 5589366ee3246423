//! The reader of the subset against the general parser, by documents made at random and by every short text.

use proptest::prelude::*;

use super::agreement::agree;

/// Numbers that decide how a document is written.
struct Choices<'c>(std::slice::Iter<'c, u8>);

impl Choices<'_> {
    /// A number below `bound`; 0 once there are no more.
    fn pick(&mut self, bound: u8) -> u8 {
        self.0.next().map_or(0, |choice| choice % bound)
    }

    fn of<'w>(&mut self, words: &[&'w str]) -> &'w str {
        words[usize::from(self.pick(words.len() as u8))]
    }
}

const SCALARS: [&str; 24] = [
    "web",
    "30",
    "n1.example.com",
    "2001:db8::1",
    "-1",
    "~",
    "null",
    "yes",
    "0x10",
    "1_000",
    "a b",
    "a  b",
    "x#y",
    "a:b",
    "'q'",
    "\"q r\"",
    "'*.example'",
    "\"\"",
    "''",
    "http://a/b?c=d&e",
    "10s",
    "'a # b'",
    "\"a: b\"",
    "<<",
];

/// A scalar that may stand anywhere.
fn scalar(c: &mut Choices<'_>) -> &'static str {
    c.of(&SCALARS)
}

fn flow(c: &mut Choices<'_>, depth: usize, gap: &str, out: &mut String) {
    let mapping = c.pick(3) > 0;
    out.push(if mapping { '{' } else { '[' });
    for at in 0..c.pick(4) {
        if at > 0 {
            out.push(',');
        }
        out.push_str(if c.pick(6) == 0 { gap } else { c.of(&["", " ", "  "]) });
        if mapping {
            out.push_str(scalar(c));
            out.push_str(c.of(&[": ", ":  "]));
        }
        match c.pick(6) {
            0 if depth > 0 => flow(c, depth - 1, gap, out),
            1 if mapping => {}
            _ => out.push_str(scalar(c)),
        }
    }
    out.push_str(if c.pick(6) == 0 { gap } else { c.of(&["", " "]) });
    out.push(if mapping { '}' } else { ']' });
}

fn end_line(c: &mut Choices<'_>, out: &mut String) {
    out.push_str(c.of(&["\n", "\n", "\n", "\n", " \n", " # é\n", "\n\n", "\n   # x: y\n", "\n#\n"]));
}

/// A block collection at a column; its first line begins where the text ends.
fn block(c: &mut Choices<'_>, depth: usize, column: usize, list: bool, out: &mut String) {
    let spaces = " ".repeat(column);
    for at in 0..c.pick(4) + 1 {
        if at > 0 {
            out.push_str(&spaces);
        }
        out.push_str(if list { "-" } else { scalar(c) });
        if !list {
            out.push(':');
        }
        match c.pick(7) {
            0 if depth > 0 => {
                end_line_after(c, list, out);
                let deeper = column + 1 + usize::from(c.pick(3));
                out.push_str(&" ".repeat(deeper));
                let inner_list = c.pick(2) == 0;
                block(c, depth - 1, deeper, inner_list, out);
            }
            1 if depth > 0 && !list => {
                end_line(c, out);
                out.push_str(&spaces);
                block(c, depth - 1, column, true, out);
            }
            2 if depth > 0 && list => {
                out.push(' ');
                block(c, depth - 1, column + 2, false, out);
            }
            3 => end_line_after(c, list, out),
            4 | 5 => {
                out.push_str(c.of(&[" ", "  "]));
                flow(c, 2, &format!("\n{spaces}  "), out);
                end_line(c, out);
            }
            _ => {
                out.push_str(c.of(&[" ", "  "]));
                out.push_str(scalar(c));
                out.push('\n');
            }
        }
    }
}

fn end_line_after(c: &mut Choices<'_>, dash: bool, out: &mut String) {
    if dash { out.push('\n') } else { end_line(c, out) }
}

/// A document of the subset.
fn document(choices: &[u8]) -> String {
    let mut c = Choices(choices.iter());
    let mut out = String::from(c.of(&["", "", "---\n", "# a\n\n", "--- # b\n", "  "]));
    let column = if out == "  " { 2 } else { 0 };
    match c.pick(8) {
        0 => flow(&mut c, 3, "\n ", &mut out),
        1 => block(&mut c, 4, column, true, &mut out),
        _ => block(&mut c, 4, column, false, &mut out),
    }
    if c.pick(4) == 1 {
        out.truncate(out.trim_end_matches('\n').len());
    }
    out
}

/// What is put into a document to spoil it.
const SPOILERS: [&str; 44] = [
    " ", "  ", "\n", "\n\n", "\n ", "\n  ", "\n    ", ":", ": ", " :", "-", "- ", "\n- ", " - ", "#", " #",
    "{", "}", "[", "]", ",", ", ", "\t", "\r\n", "\r", "---", "\n---\n", "\n...\n", "&a ", "*a", "!",
    "!!str ", "'", "\"", "\\", "? ", "|\n", ">\n", "é", "\u{feff}", "%", "\u{85}", "a: b", "a",
];

/// A place in the text, given as a share of it.
fn place(text: &str, share: u16) -> usize {
    let at = usize::from(share) * (text.len() + 1) / (usize::from(u16::MAX) + 1);
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

fn spoil(text: &mut String, (kind, from, to): (u8, u16, u16)) {
    let (a, b) = (place(text, from), place(text, to));
    match kind % 8 {
        0 => {
            let end = (a..=text.len()).find(|at| *at > a && text.is_char_boundary(*at)).unwrap_or(a);
            text.replace_range(a..end, "");
        }
        1 if a < b && b - a < 20 => text.replace_range(a..b, ""),
        2 => {
            let line = text[a..].lines().next().unwrap_or_default().to_owned();
            text.insert_str(b, &line);
        }
        _ => text.insert_str(a, SPOILERS[usize::from(to) % SPOILERS.len()]),
    }
}

/// A number from the environment, for longer runs than a test's.
fn from_environment(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

#[test]
fn every_short_text_of_indicators_is_read_alike_or_left_alone() {
    const ALPHABET: &[u8] = b"a \n:-,{}[]#\"'.";
    let (mut accepted, mut all) = (0, 0);
    for len in 0..=from_environment("STEERD_SUBSET_LEN", 4) {
        for number in 0..ALPHABET.len().pow(len) {
            let digits = (0..len).map(|at| number / ALPHABET.len().pow(at) % ALPHABET.len());
            let text: String = digits.map(|digit| char::from(ALPHABET[digit])).collect();
            accepted += usize::from(agree(&text));
            all += 1;
        }
    }
    println!("{accepted} of {all} texts are of the subset");
    assert!(accepted > 30);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(from_environment("PROPTEST_CASES", 2000)))]

    #[test]
    fn documents_of_the_subset_are_accepted_and_read_alike(choices in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = document(&choices);
        prop_assert!(agree(&text), "not accepted: {text:?}");
    }

    #[test]
    fn spoilt_documents_are_read_alike_or_left_alone(
        choices in prop::collection::vec(any::<u8>(), 0..120),
        spoilers in prop::collection::vec(any::<(u8, u16, u16)>(), 1..5),
    ) {
        let mut text = document(&choices);
        spoilers.into_iter().for_each(|spoiler| spoil(&mut text, spoiler));
        agree(&text);
    }

    #[test]
    fn heaps_of_tokens_are_read_alike_or_left_alone(picks in prop::collection::vec(any::<u8>(), 0..14)) {
        let words = SPOILERS.iter().chain(&SCALARS).collect::<Vec<_>>();
        let text: String = picks.iter().map(|pick| *words[usize::from(*pick) % words.len()]).collect();
        agree(&text);
    }
}
