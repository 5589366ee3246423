//! The words of one record: TTL, class and type, and its data to wire form.
//!
//! Remembers nothing from one record to the next; what a missing TTL or owner means is `reader`'s.

use super::super::cause::Found;
use super::entries::{Entry, Token};
use super::fault::ZoneCause;
use super::scanner::{Scanner, Substitute};
use super::text::{self, TextForm, Word, WordFault, number, read_name, read_type, shown_type, text_form};
use super::types::{Field, check, fields};
use super::units::{BadSeconds, MAX_TTL_SECS, read_seconds};
use crate::wire::message::Rtype;
use crate::wire::name::Name;

/// Line and column.
pub(super) type Place = (u32, u32);
/// What is wrong, and where.
pub(super) type Placed = (Place, ZoneCause);

/// What stands between a record's owner and its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The TTL, where it is given.
    pub(super) ttl_secs: Option<u32>,
    /// The type.
    pub(super) rtype: Rtype,
    /// Number of the first word of the data.
    pub(super) data: usize,
}

/// The text of a word, for a message.
pub(super) fn found(entry: &Entry<'_>, token: Token) -> Found {
    Found::new(&String::from_utf8_lossy(entry.octets(token)))
}

/// Reads TTL, class and type, which begin with the word `first`; the first two may be missing, and stand in either order.
pub(super) fn read_head(entry: &Entry<'_>, first: usize) -> Result<Head, Placed> {
    let (mut ttl_secs, mut class_given) = (None, false);
    let mut last = None;
    for (index, &token) in entry.tokens().iter().enumerate().skip(first) {
        let at = entry.place(token);
        let octets = entry.octets(token);
        if token.quoted {
            return Err((at, ZoneCause::Quoted { text: found(entry, token) }));
        }
        match class_of(octets) {
            _ if ttl_secs.is_none() && octets[0].is_ascii_digit() => {
                ttl_secs = Some(read_ttl(octets).map_err(|cause| (at, cause))?);
            }
            Some(true) if !class_given => class_given = true,
            Some(false) => return Err((at, ZoneCause::Class { text: found(entry, token) })),
            _ => {
                let rtype =
                    read_type(octets).ok_or((at, ZoneCause::NotType { text: found(entry, token) }))?;
                // RFC 6895 §3.1: questions and pseudo records; type 0 is reserved, 41 is OPT.
                if matches!(rtype.0, 0 | 41 | 128..=255) {
                    return Err((at, ZoneCause::MetaType { text: found(entry, token) }));
                }
                return Ok(Head { ttl_secs, rtype, data: index + 1 });
            }
        }
        last = Some(at);
    }
    let before = first.checked_sub(1).map(|owner| entry.place(entry.tokens()[owner]));
    Err((last.or(before).unwrap_or((entry.line, 0)), ZoneCause::NoType))
}

/// Reads a TTL.
pub(super) fn read_ttl(octets: &[u8]) -> Result<u32, ZoneCause> {
    let text = || Found::new(&String::from_utf8_lossy(octets));
    match read_seconds(octets) {
        Ok(secs) if secs <= MAX_TTL_SECS => Ok(secs),
        Ok(_) | Err(BadSeconds::TooLarge) => Err(ZoneCause::TtlRange { text: text() }),
        Err(BadSeconds::NotSeconds) => Err(ZoneCause::NotTtl { text: text() }),
    }
}

/// Whether a word is a class, and if so, whether it is IN.
fn class_of(octets: &[u8]) -> Option<bool> {
    // `ANY` is refused as a type.
    const OTHERS: [&str; 7] = ["CH", "CHAOS", "HS", "HESIOD", "CS", "CSNET", "NONE"];
    if octets.eq_ignore_ascii_case(b"IN") {
        return Some(true);
    }
    let generic = octets.get(..5).filter(|prefix| prefix.eq_ignore_ascii_case(b"CLASS"));
    if let Some(value) = generic.and_then(|_| number::<u16>(&octets[5..])) {
        return Some(value == 1);
    }
    OTHERS.iter().any(|other| octets.eq_ignore_ascii_case(other.as_bytes())).then_some(false)
}

/// Reads a record's data, which begins with the word `first`; `into` is emptied before.
pub(super) fn read_data(
    entry: &Entry<'_>,
    head: Head,
    origin: &Name,
    scanner: &mut Scanner,
    into: &mut Vec<u8>,
) -> Result<(), Placed> {
    into.clear();
    let rtype = head.rtype;
    let tokens = &entry.tokens()[head.data..];
    // Where nothing stands, the fault is that of the type.
    let place = |word: usize| {
        let token = tokens.get(word).or(tokens.last()).unwrap_or(&entry.tokens()[head.data - 1]);
        entry.place(*token)
    };
    let words: Vec<Word<'_>> = tokens
        .iter()
        .map(|token| Word { octets: entry.octets(*token), quoted: token.quoted, glued: token.glued })
        .collect();
    if words.first().is_some_and(|word| !word.quoted && word.octets == b"\\#") {
        return read_generic(rtype, &words[1..], into).map_err(|cause| (place(1), cause));
    }
    let bad = |reason: &str| data_fault(rtype, reason);
    match text_form(rtype) {
        TextForm::None => Err((place(0), ZoneCause::NoTextForm { rtype: shown(rtype) })),
        TextForm::Own => text::read(rtype, &words, origin, into).map_err(|fault| {
            let cause = match fault.fault {
                WordFault::Name(error) => ZoneCause::NotName { text: quote(words.get(fault.index)), error },
                WordFault::Reason(reason) => bad(reason),
            };
            (place(fault.index), cause)
        }),
        TextForm::Domain => {
            let substitutes = substitutes(rtype, &words, origin);
            let substitutes = substitutes.map_err(|(word, cause)| (place(word), cause))?;
            scanner
                .data(rtype, &words, &substitutes, into)
                .map_err(|fault| (place(fault.word.unwrap_or_default()), bad(&fault.reason)))?;
            // What `domain` takes and the table does not is one of both's mistakes: never served.
            check(rtype, into).map_err(|fault| (place(0), bad(&fault.to_string())))
        }
    }?;
    match into.len() {
        0..=0xFFFF => Ok(()),
        _ => Err((place(0), ZoneCause::DataTooLong)),
    }
}

/// What is put in the place of words that `domain` does not take as BIND does, by number of the word: timers with units,
/// algorithms with names, the origin as `@`. Names are checked, of which `domain` lets through some that are none.
fn substitutes(
    rtype: Rtype,
    words: &[Word<'_>],
    origin: &Name,
) -> Result<Vec<(usize, Substitute)>, (usize, ZoneCause)> {
    let mut found = Vec::new();
    let mut index = 0;
    let name = |index: usize, word: &Word<'_>, found: &mut Vec<(usize, Substitute)>| {
        check_name(word, origin).map_err(|cause| (index, cause))?;
        found.extend((word.octets == b"@").then_some((index, Substitute::Origin)));
        Ok(())
    };
    for field in fields(rtype).unwrap_or_default() {
        let Some(word) = words.get(index) else { break };
        match field {
            Field::Name(_) => name(index, word, &mut found)?,
            // Gateway type and algorithm stand before it (RFC 4025 §3.1).
            Field::IpsecGateway => {
                let gateway = words.get(index + 2).filter(|_| word.octets == b"3");
                if let Some(gateway) = gateway {
                    name(index + 2, gateway, &mut found)?;
                }
                index += 2;
            }
            Field::Algorithm if number::<u8>(word.octets).is_none() => {
                let value = text::algorithm(word.octets);
                found.extend(value.map(|value| (index, Substitute::Number(u32::from(value)))));
            }
            // Refresh, retry, expire and minimum; the serial is no time.
            Field::U32 if rtype == Rtype::SOA && index > 2 => {
                let secs = read_seconds(word.octets).map_err(|_| {
                    let reason = "refresh, retry, expire and minimum are seconds, or numbers with units";
                    (index, data_fault(rtype, reason))
                })?;
                found.push((index, Substitute::Number(secs)));
            }
            _ => {}
        }
        index += 1;
    }
    Ok(found)
}

/// Checks a word that `domain` is to read as a name.
fn check_name(word: &Word<'_>, origin: &Name) -> Result<(), ZoneCause> {
    let read = read_name(word.octets, origin);
    read.map(drop).map_err(|error| ZoneCause::NotName { text: quote(Some(word)), error })
}

/// Reads what stands behind `\#` (RFC 3597 §5): the number of octets, and as many in hexadecimal. Data of types whose form
/// is known is held against it.
fn read_generic(rtype: Rtype, words: &[Word<'_>], into: &mut Vec<u8>) -> Result<(), ZoneCause> {
    let (len, digits) = words.split_first().ok_or(ZoneCause::NotGeneric)?;
    let stated: u16 = number(len.octets).ok_or(ZoneCause::NotGeneric)?;
    let text: String = digits.iter().map(|word| String::from_utf8_lossy(word.octets)).collect();
    let octets: Vec<u8> = domain::utils::base16::decode(&text).map_err(|_| ZoneCause::NotGeneric)?;
    if octets.len() != usize::from(stated) {
        return Err(ZoneCause::GenericLength { stated, found: octets.len() });
    }
    check(rtype, &octets).map_err(|fault| ZoneCause::GenericData { rtype: shown(rtype), fault })?;
    into.extend_from_slice(&octets);
    Ok(())
}

fn quote(word: Option<&Word<'_>>) -> Found {
    Found::new(&String::from_utf8_lossy(word.map_or(b"", |word| word.octets)))
}

fn shown(rtype: Rtype) -> Found {
    Found::new(&shown_type(rtype))
}

fn data_fault(rtype: Rtype, reason: &str) -> ZoneCause {
    ZoneCause::Data { rtype: shown(rtype), reason: reason.into(), form: form(rtype) }
}

/// What is accepted as the data of a type: an example, or the RFC.
fn form(rtype: Rtype) -> &'static str {
    match rtype.0 {
        1 => "an IPv4 address such as `192.0.2.1`",
        28 => "an IPv6 address such as `2001:db8::1`",
        2 | 5 | 12 | 39 => "one domain name",
        6 => "`ns.example.com. hostmaster.example.com. SERIAL REFRESH RETRY EXPIRE MINIMUM`",
        13 => "two texts",
        15 => "a preference and a name, as in `10 mail.example.com.`",
        16 | 99 => "texts of at most 255 octets each, quoted where they have spaces",
        33 => "priority, weight, port and a name, as in `0 5 5060 sip.example.com.`",
        35 => "as in `100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:info@example.com!\" .`",
        43 | 59 => "key tag, algorithm, digest type and the digest in hexadecimal",
        44 => "algorithm, fingerprint type and the fingerprint in hexadecimal",
        46 => "what a signer writes (RFC 4034 §3.2)",
        47 => "the next name and record types (RFC 4034 §4.2)",
        48 | 60 => "flags, 3, algorithm and the key in Base64",
        52 | 53 => "usage, selector, matching type and the data in hexadecimal",
        64 | 65 => "as in `1 . alpn=\"h2,h3\" ipv4hint=192.0.2.1` (RFC 9460 §2.1)",
        256 => "as in `10 1 \"https://www.example.com/\"`",
        257 => "as in `0 issue \"ca.example.net\"`",
        29 => "as in `52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m`",
        42 => "as in `1:192.0.2.0/24 !2:2001:db8::/32`",
        _ => "the form of the type's RFC, or `\\# LENGTH HEX`",
    }
}
