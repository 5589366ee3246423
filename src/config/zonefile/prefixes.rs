//! The text form of APL records (RFC 3123 §5): `[!]family:address/bits`.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The octets of one address prefix.
pub(super) fn read(word: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(word).ok()?;
    let (negated, text) = match text.strip_prefix('!') {
        Some(rest) => (0x80, rest),
        None => (0, text),
    };
    let (family, text) = text.split_once(':')?;
    let (address, bits) = text.split_once('/')?;
    let (family, address) = match family {
        "1" => (1, address.parse::<Ipv4Addr>().ok()?.octets().to_vec()),
        "2" => (2, address.parse::<Ipv6Addr>().ok()?.octets().to_vec()),
        _ => return None,
    };
    let bits: u8 = super::text::number(bits.as_bytes())?;
    if usize::from(bits) > 8 * address.len() {
        return None;
    }
    // "trailing zero octets do not bear any information […] they MUST NOT be included".
    let len = address.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
    Some([&[0, family, bits, negated | len as u8], &address[..len]].concat())
}
