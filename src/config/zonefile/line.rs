//! Usual lines read fast: an owner of plain characters or none, perhaps a TTL in seconds and `IN`, and one of the types
//! A, AAAA, NS, CNAME, PTR, MX and TXT (one quoted text without escapes), on one line. Several times the speed of the
//! general way, and files of a million names consist of little else.
//!
//! It is never asked to be right about anything else: in doubt it says nothing, and the general way reads the line. What
//! it says is the same as that would (`agreement` holds both against each other). No line is at fault here.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::units::MAX_TTL_SECS;
use crate::wire::message::Rtype;
use crate::wire::name::{MAX_LABEL_OCTETS, MAX_NAME_OCTETS};

/// A record as its line gives it; owner and data are in the buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plain {
    /// Whether the line names an owner.
    pub(super) has_owner: bool,
    /// The column of its first word.
    pub(super) column: u32,
    /// The TTL, where it is given.
    pub(super) ttl_secs: Option<u32>,
    /// The type.
    pub(super) rtype: Rtype,
}

/// Reads a line without its break. `origin` is in wire form; `owner` and `rdata` are emptied before, and hold nothing of
/// use when there is no answer.
pub(super) fn read(line: &[u8], origin: &[u8], owner: &mut Vec<u8>, rdata: &mut Vec<u8>) -> Option<Plain> {
    owner.clear();
    rdata.clear();
    let mut words = Words { rest: line };
    let has_owner = !matches!(line.first()?, b' ' | b'\t');
    let column = if has_owner { 1 } else { 1 + words.skip_space() as u32 };
    if has_owner {
        name(words.word()?, origin, owner)?;
    }
    let (mut ttl_secs, mut class_given) = (None, false);
    let rtype = loop {
        let word = words.word()?;
        if word[0].is_ascii_digit() && ttl_secs.is_none() {
            ttl_secs = Some(number(word, 10).filter(|secs| *secs <= MAX_TTL_SECS)?);
        } else if word.eq_ignore_ascii_case(b"IN") && !class_given {
            class_given = true;
        } else {
            break rtype_of(word)?;
        }
    };
    match rtype {
        Rtype::A => rdata.extend_from_slice(&parsed::<Ipv4Addr>(words.word()?)?.octets()),
        Rtype::AAAA => rdata.extend_from_slice(&parsed::<Ipv6Addr>(words.word()?)?.octets()),
        Rtype::TXT => text(&mut words, rdata)?,
        MX => {
            let preference = u16::try_from(number(words.word()?, 5)?).ok()?;
            rdata.extend_from_slice(&preference.to_be_bytes());
            name(words.word()?, origin, rdata)?;
        }
        _ => name(words.word()?, origin, rdata)?,
    }
    words.is_at_end().then_some(Plain { has_owner, column, ttl_secs, rtype })
}

const CNAME: Rtype = Rtype(5);
const PTR: Rtype = Rtype(12);
const MX: Rtype = Rtype(15);

fn rtype_of(word: &[u8]) -> Option<Rtype> {
    const NAMES: [(&[u8], Rtype); 7] = [
        (b"A", Rtype::A),
        (b"AAAA", Rtype::AAAA),
        (b"CNAME", CNAME),
        (b"NS", Rtype::NS),
        (b"MX", MX),
        (b"TXT", Rtype::TXT),
        (b"PTR", PTR),
    ];
    NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, rtype)| *rtype)
}

/// What is left of a line.
struct Words<'l> {
    rest: &'l [u8],
}

impl<'l> Words<'l> {
    /// Number of blanks skipped.
    fn skip_space(&mut self) -> usize {
        let blanks = self.rest.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
        self.rest = &self.rest[blanks..];
        blanks
    }

    /// The next word of plain characters, which a blank or the line's end must follow.
    fn word(&mut self) -> Option<&'l [u8]> {
        self.skip_space();
        let len = self.rest.iter().take_while(|octet| is_plain(**octet)).count();
        let (word, rest) = self.rest.split_at(len);
        self.rest = rest;
        (len > 0 && matches!(rest.first(), None | Some(b' ' | b'\t' | b'\r'))).then_some(word)
    }

    /// Whether only blanks and a comment follow.
    fn is_at_end(&mut self) -> bool {
        self.skip_space();
        matches!(self.rest, [] | [b'\r'] | [b';', ..])
    }
}

/// Letters, digits and what stands in names and addresses without a meaning of its own.
fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_' | b'*' | b':')
}

/// Appends a name in wire form.
fn name(word: &[u8], origin: &[u8], into: &mut Vec<u8>) -> Option<()> {
    let begin = into.len();
    let (stem, absolute) = match word.strip_suffix(b".") {
        Some(stem) => (stem, true),
        None => (word, false),
    };
    for label in stem.split(|octet| *octet == b'.') {
        if label.is_empty() || label.len() > MAX_LABEL_OCTETS {
            return None;
        }
        into.push(label.len() as u8);
        into.extend_from_slice(label);
    }
    into.extend_from_slice(if absolute { &[0] } else { origin });
    (into.len() - begin <= MAX_NAME_OCTETS).then_some(())
}

/// Appends a quoted text as a character string.
fn text(words: &mut Words<'_>, into: &mut Vec<u8>) -> Option<()> {
    words.skip_space();
    let rest = words.rest.strip_prefix(b"\"")?;
    let len = memchr::memchr(b'"', rest)?;
    let (text, rest) = rest.split_at(len);
    if !text.iter().all(|octet| matches!(octet, b' '..=b'~') && *octet != b'\\') {
        return None;
    }
    into.push(u8::try_from(len).ok()?);
    into.extend_from_slice(text);
    words.rest = &rest[1..];
    Some(())
}

/// At most so many decimal digits.
fn number(word: &[u8], digits: usize) -> Option<u32> {
    let value = word.iter().try_fold(0_u64, |value, digit| {
        digit.is_ascii_digit().then(|| value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
    })?;
    u32::try_from(value).ok().filter(|_| word.len() <= digits)
}

fn parsed<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}
