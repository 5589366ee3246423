//! Domain names: wire form, text form, case folding (RFC 1034 §3.1, RFC 1035 §3.1 and §5.1, RFC 4343).
//!
//! A `Name` is always absolute, uncompressed and at most 255 octets. Nothing here follows a compression
//! pointer except `Name::read`, which only ever moves to smaller offsets and so always ends.

use std::cmp::Ordering;
use std::fmt;

use super::error::WireError;

/// Longest name in wire form, the root's octet included (RFC 1035 §3.1).
pub const MAX_NAME_OCTETS: usize = 255;
/// Longest label (RFC 1035 §3.1).
pub const MAX_LABEL_OCTETS: usize = 63;

/// Why text is not a domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameTextError {
    /// No characters at all (the root is written `.`).
    #[error("the name is empty")]
    Empty,
    /// Two dots in a row, or a leading dot.
    #[error("the name has an empty label (two dots in a row)")]
    EmptyLabel,
    /// A label of more than 63 octets.
    #[error("a label is longer than 63 octets")]
    LabelTooLong,
    /// More than 255 octets in wire form.
    #[error("the name is longer than 255 octets")]
    NameTooLong,
    /// A backslash not followed by a character or by three digits up to 255.
    #[error("a backslash must be followed by a character or by three digits up to 255")]
    Escape,
    /// White space, a control character or a character outside ASCII; write it as `\DDD`.
    #[error(
        "the character {0:?} is not allowed (write it as \\DDD, or an international name in its xn-- form)"
    )]
    Character(char),
}

/// An absolute domain name in uncompressed wire form, held inline.
///
/// # Invariants
/// `octets[..len]` is a sequence of labels of 1..=63 octets ended by the root's zero octet; `len` is 1..=255.
#[derive(Clone, Copy)]
pub struct Name {
    octets: [u8; MAX_NAME_OCTETS],
    len: u8,
}

impl Name {
    /// The root.
    pub const ROOT: Name = Name { octets: [0; MAX_NAME_OCTETS], len: 1 };

    /// Reads presentation format (RFC 1035 §5.1); a final dot may be left out, `\X` and `\DDD` escapes are understood.
    ///
    /// # Errors
    /// [`NameTextError`], one variant a cause.
    pub fn from_text(text: &str) -> Result<Name, NameTextError> {
        if text.is_empty() {
            return Err(NameTextError::Empty);
        }
        if text == "." {
            return Ok(Name::ROOT);
        }
        let mut name = Name { octets: [0; MAX_NAME_OCTETS], len: 0 };
        let mut label_at = 0;
        let mut at = 1;
        let mut chars = text.chars();
        let mut ended_by_dot = false;
        while let Some(c) = chars.next() {
            if c == '.' {
                name.end_label(label_at, at)?;
                (label_at, at) = (at, at + 1);
                ended_by_dot = true;
                continue;
            }
            ended_by_dot = false;
            let octet = match c {
                '\\' => read_escape(&mut chars)?,
                '!'..='~' => c as u8,
                _ => return Err(NameTextError::Character(c)),
            };
            *name.octets.get_mut(at).ok_or(NameTextError::NameTooLong)? = octet;
            at += 1;
        }
        if !ended_by_dot {
            name.end_label(label_at, at)?;
            label_at = at;
        }
        *name.octets.get_mut(label_at).ok_or(NameTextError::NameTooLong)? = 0;
        name.len = (label_at + 1) as u8;
        Ok(name)
    }

    /// Writes the length octet of the label that starts at `label_at` and ends before `end`.
    fn end_label(&mut self, label_at: usize, end: usize) -> Result<(), NameTextError> {
        let len = end - label_at - 1;
        match len {
            0 => Err(NameTextError::EmptyLabel),
            1..=MAX_LABEL_OCTETS => {
                *self.octets.get_mut(label_at).ok_or(NameTextError::NameTooLong)? = len as u8;
                Ok(())
            }
            _ => Err(NameTextError::LabelTooLong),
        }
    }

    /// Takes a name from uncompressed wire form; `octets` must be exactly one name.
    ///
    /// # Errors
    /// [`WireError`] when it is not.
    pub fn from_wire(octets: &[u8]) -> Result<Name, WireError> {
        let len = uncompressed_len(octets, 0)?;
        if len != octets.len() {
            return Err(WireError::Truncated);
        }
        let mut name = Name { octets: [0; MAX_NAME_OCTETS], len: len as u8 };
        name.octets[..len].copy_from_slice(octets);
        Ok(name)
    }

    /// Reads a possibly compressed name of a message at `offset`; returns it with the offset behind it.
    ///
    /// A pointer must lead to a smaller offset than any before it: "a prior occurrence" (RFC 1035 §4.1.4).
    ///
    /// # Errors
    /// [`WireError`] when the octets are no name.
    pub fn read(message: &[u8], offset: usize) -> Result<(Name, usize), WireError> {
        let mut name = Name { octets: [0; MAX_NAME_OCTETS], len: 0 };
        let mut len = 0;
        let mut at = offset;
        let mut floor = offset;
        let mut behind = None;
        loop {
            let octet = *message.get(at).ok_or(WireError::Truncated)?;
            match octet {
                0 => {
                    *name.octets.get_mut(len).ok_or(WireError::NameTooLong)? = 0;
                    name.len = (len + 1) as u8;
                    return Ok((name, behind.unwrap_or(at + 1)));
                }
                1..=63 => {
                    let size = usize::from(octet) + 1;
                    let label = message.get(at..at + size).ok_or(WireError::Truncated)?;
                    name.octets
                        .get_mut(len..len + size)
                        .ok_or(WireError::NameTooLong)?
                        .copy_from_slice(label);
                    len += size;
                    at += size;
                }
                192..=255 => {
                    let low = *message.get(at + 1).ok_or(WireError::Truncated)?;
                    let target = usize::from(octet & 0x3F) << 8 | usize::from(low);
                    if target >= floor {
                        return Err(WireError::Pointer);
                    }
                    behind.get_or_insert(at + 2);
                    floor = target;
                    at = target;
                }
                64..=191 => return Err(WireError::LabelType),
            }
        }
    }

    /// The wire form, the root's octet included: 1..=255 octets.
    pub fn as_wire(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }

    /// The same name with ASCII letters in lower case (RFC 4343 §3).
    pub fn to_lowercase(&self) -> Name {
        let mut lower = *self;
        // Length octets are at most 63 and so never look like letters.
        lower.octets[..usize::from(self.len)].make_ascii_lowercase();
        lower
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.as_wire().eq_ignore_ascii_case(other.as_wire())
    }
}

impl Eq for Name {}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_wire(self.as_wire(), f)
    }
}

/// Writes an uncompressed wire-form name in presentation format with its final dot (RFC 1035 §5.1, RFC 4343 §2.1).
///
/// # Errors
/// Only those of the formatter.
pub fn fmt_wire(wire: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if wire.len() <= 1 {
        return f.write_str(".");
    }
    for label in labels(wire) {
        for &octet in label {
            match octet {
                b'.' | b'\\' | b'"' | b';' | b'@' | b'$' | b'(' | b')' => {
                    write!(f, "\\{}", char::from(octet))?
                }
                b'!'..=b'~' => write!(f, "{}", char::from(octet))?,
                _ => write!(f, "\\{octet:03}")?,
            }
        }
        f.write_str(".")?;
    }
    Ok(())
}

/// The labels of an uncompressed wire-form name, leftmost first, the root left out. Stops at the first fault.
fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    suffixes(wire)
        .filter_map(|suffix| suffix.get(1..1 + usize::from(*suffix.first()?)))
        .filter(|l| !l.is_empty())
}

/// A name and all its ancestors, the name itself first and the root last.
pub fn suffixes(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(wire).filter(|w| !w.is_empty());
    std::iter::from_fn(move || {
        let current = rest?;
        let step = usize::from(current[0]) + 1;
        rest = if step == 1 { None } else { current.get(step..).filter(|r| !r.is_empty()) };
        Some(current)
    })
}

/// Canonical order of names in uncompressed wire form (RFC 4034 §6.1): by labels from the right, each as lower-case octets.
pub fn canonical_cmp(a: &[u8], b: &[u8]) -> Ordering {
    let (a_starts, b_starts) = (LabelStarts::of(a), LabelStarts::of(b));
    let of_a = a_starts.as_slice().iter().rev().map(|&start| label_at(a, start));
    let of_b = b_starts.as_slice().iter().rev().map(|&start| label_at(b, start));
    for (x, y) in of_a.zip(of_b) {
        match x.iter().map(u8::to_ascii_lowercase).cmp(y.iter().map(u8::to_ascii_lowercase)) {
            Ordering::Equal => {}
            other => return other,
        }
    }
    a_starts.count.cmp(&b_starts.count)
}

/// Most labels of a name, the root left out.
const MAX_LABELS: usize = 127;

/// Where the labels of a name begin, the root left out.
struct LabelStarts {
    starts: [u8; MAX_LABELS],
    count: usize,
}

impl LabelStarts {
    fn of(name: &[u8]) -> LabelStarts {
        let mut found = LabelStarts { starts: [0; MAX_LABELS], count: 0 };
        let mut at = 0;
        while let Some(len) = name.get(at).filter(|len| **len > 0)
            && let Some(start) = found.starts.get_mut(found.count)
        {
            *start = at as u8;
            found.count += 1;
            at += usize::from(*len) + 1;
        }
        found
    }

    fn as_slice(&self) -> &[u8] {
        &self.starts[..self.count]
    }
}

/// The label whose length octet stands here; what is no label is empty.
fn label_at(name: &[u8], start: u8) -> &[u8] {
    let at = usize::from(start);
    let len = name.get(at).copied().map_or(0, usize::from);
    name.get(at + 1..at + 1 + len).unwrap_or_default()
}

/// The first eight octets by which names sort canonically, of the labels below an apex (`labels`, without the root): labels from
/// the apex outwards in lower case, each ended by 0, the octets 0 and 1 as 1 1 and 1 2. Where two of these differ, so does the
/// order of the names.
pub fn canonical_prefix(labels: &[u8]) -> u64 {
    let starts = LabelStarts::of(labels);
    let mut octets = [0; 8];
    let mut at = 0;
    'all: for &start in starts.as_slice().iter().rev() {
        for &octet in label_at(labels, start) {
            let pair = match octet.to_ascii_lowercase() {
                low @ 0..=1 => [1, low + 1],
                plain => [plain, 0],
            };
            let len = if pair[0] == 1 { 2 } else { 1 };
            for &octet in &pair[..len] {
                let Some(slot) = octets.get_mut(at) else { break 'all };
                *slot = octet;
                at += 1;
            }
        }
        // The end of the label: 0, which is there already.
        at += 1;
        if at >= octets.len() {
            break;
        }
    }
    u64::from_be_bytes(octets)
}

/// Length in octets of the uncompressed name at `offset`, the root's octet included.
///
/// # Errors
/// A pointer is [`WireError::Pointer`]; other faults as for [`Name::read`].
#[inline]
pub fn uncompressed_len(message: &[u8], offset: usize) -> Result<usize, WireError> {
    let mut at = offset;
    let end = loop {
        let octet = *message.get(at).ok_or(WireError::Truncated)?;
        at += usize::from(octet) + 1;
        // One comparison a label: 0 wraps around.
        if octet.wrapping_sub(1) >= MAX_LABEL_OCTETS as u8 {
            break octet;
        }
    };
    match end {
        0 if at - offset <= MAX_NAME_OCTETS => Ok(at - offset),
        0 => Err(WireError::NameTooLong),
        64..=191 => Err(WireError::LabelType),
        _ => Err(WireError::Pointer),
    }
}

/// Offset behind the possibly compressed name at `offset`; the pointer's target is not looked at.
///
/// # Errors
/// [`WireError`] when the octets are no name.
pub fn skip(message: &[u8], offset: usize) -> Result<usize, WireError> {
    let mut at = offset;
    loop {
        let octet = *message.get(at).ok_or(WireError::Truncated)?;
        match octet {
            0 => return Ok(at + 1),
            1..=63 => at += usize::from(octet) + 1,
            64..=191 => return Err(WireError::LabelType),
            192..=255 => {
                return if at + 2 <= message.len() { Ok(at + 2) } else { Err(WireError::Truncated) };
            }
        }
        if at - offset >= MAX_NAME_OCTETS {
            return Err(WireError::NameTooLong);
        }
    }
}

/// What stands behind a backslash: three digits up to 255, or one printable character.
fn read_escape(chars: &mut std::str::Chars<'_>) -> Result<u8, NameTextError> {
    let first = chars.next().ok_or(NameTextError::Escape)?;
    if !first.is_ascii_digit() {
        return if first.is_ascii_graphic() { Ok(first as u8) } else { Err(NameTextError::Escape) };
    }
    let mut value = first as u32 - '0' as u32;
    for _ in 0..2 {
        let digit = chars.next().and_then(|c| c.to_digit(10)).ok_or(NameTextError::Escape)?;
        value = value * 10 + digit;
    }
    u8::try_from(value).map_err(|_| NameTextError::Escape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    #[test]
    fn text_becomes_wire_form_with_or_without_final_dot() {
        assert_eq!(name("www.Example.com").as_wire(), b"\x03www\x07Example\x03com\x00");
        assert_eq!(name("www.example.com."), name("WWW.EXAMPLE.COM"));
        assert_eq!(name(".").as_wire(), b"\x00");
        assert_eq!(name(r"a\.b.c\032\\d").as_wire(), b"\x03a.b\x04c \\d\x00");
    }

    #[test]
    fn text_faults_each_have_their_variant() {
        let long_label = "a".repeat(64);
        let long_name = format!("{}.", "a".repeat(63)).repeat(4);
        for (text, error) in [
            ("", NameTextError::Empty),
            ("a..b", NameTextError::EmptyLabel),
            (".a", NameTextError::EmptyLabel),
            (&long_label, NameTextError::LabelTooLong),
            (&long_name, NameTextError::NameTooLong),
            ("a\\", NameTextError::Escape),
            ("a\\256", NameTextError::Escape),
            ("a\\25", NameTextError::Escape),
            ("a b", NameTextError::Character(' ')),
            ("bücher.example", NameTextError::Character('ü')),
        ] {
            assert_eq!(Name::from_text(text), Err(error), "{text}");
        }
    }

    #[test]
    fn name_of_255_octets_is_the_longest() {
        let three = format!("{}.", "a".repeat(63)).repeat(3);
        assert_eq!(name(&format!("{three}{}", "b".repeat(61))).as_wire().len(), 255);
        assert_eq!(Name::from_text(&format!("{three}{}", "b".repeat(62))), Err(NameTextError::NameTooLong));
    }

    #[test]
    fn pointers_only_lead_backwards() {
        let message = b"\x03com\x00\x01a\xc0\x00\xc0\x05\xc0\x09";
        assert_eq!(Name::read(message, 5).unwrap(), (name("a.com"), 9));
        assert_eq!(Name::read(message, 9).unwrap(), (name("a.com"), 11));
        assert_eq!(Name::read(message, 11).unwrap(), (name("a.com"), 13));
        assert_eq!(Name::read(b"\xc0\x00", 0), Err(WireError::Pointer));
        assert_eq!(Name::read(b"\x01a\xc0\x00", 0), Err(WireError::Pointer));
    }

    proptest! {
        #[test]
        fn any_name_survives_text_and_wire(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..12)) {
            let mut wire = Vec::new();
            for label in &labels { wire.push(label.len() as u8); wire.extend_from_slice(label); }
            wire.push(0);
            let name = Name::from_wire(&wire).unwrap();
            let again = Name::from_text(&name.to_string()).unwrap();
            prop_assert_eq!(again.as_wire(), &wire[..]);
            prop_assert_eq!(skip(&wire, 0).unwrap(), wire.len());
            prop_assert!(super::labels(&wire).eq(labels.iter().map(|label| &label[..])));
        }

        #[test]
        fn readers_never_panic_and_stay_inside(octets in prop::collection::vec(any::<u8>(), 0..600), at in 0usize..610) {
            if let Ok((name, behind)) = Name::read(&octets, at) {
                prop_assert!(behind <= octets.len() && name.as_wire().len() <= 255);
            }
            if let Ok(behind) = skip(&octets, at) { prop_assert!(behind <= octets.len()); }
            if let Ok(len) = uncompressed_len(&octets, at) { prop_assert!(at + len <= octets.len() && len <= 255); }
        }
    }
}
