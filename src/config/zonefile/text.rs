//! The text form of the record types that `domain` does not read, made to wire form from the table of fields; and the
//! words of all of them: names, numbers, strings.
//!
//! What it writes passes `types::check`.

use std::str::FromStr;

use domain::base::iana::Rtype as Mnemonic;
use domain::utils::{base16, base64};

use super::types::{Field, fields};
use super::{location, prefixes};
use crate::wire::message::Rtype;
use crate::wire::name::{Name, NameTextError};

/// A word of a record's data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<'e> {
    /// Its octets, printable ASCII or a tab, escapes as written.
    pub(super) octets: &'e [u8],
    /// Whether it stood between quotation marks.
    pub(super) quoted: bool,
    /// Whether nothing stands between it and the one before.
    pub(super) glued: bool,
}

/// Why a word is not what its field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordFault {
    /// It is no domain name.
    Name(NameTextError),
    /// Anything else, in words.
    Reason(&'static str),
}

/// A fault and the number of the word; one behind the last where something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadWord {
    pub(super) index: usize,
    pub(super) fault: WordFault,
}

/// Who reads the data of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextForm {
    /// The `domain` crate.
    Domain,
    /// [`read`].
    Own,
    /// Nobody: there is only `\#`.
    None,
}

/// Who reads the data of this type.
pub(super) fn text_form(rtype: Rtype) -> TextForm {
    match rtype.0 {
        1..=9 | 12..=17 | 28 | 33 | 35 | 39 | 43..=48 | 50..=52 | 59 | 60 | 61 | 63..=65 | 257 => {
            TextForm::Domain
        }
        18..=23 | 25..=27 | 29 | 36 | 37 | 42 | 49 | 53 | 55..=58 | 62 | 66..=68 | 99 | 104..=109 => {
            TextForm::Own
        }
        256 | 258 | 260..=264 | 32768 | 32769 => TextForm::Own,
        _ => TextForm::None,
    }
}

/// The number of a record type: a name of the IANA registry in either case, or `TYPE` and a number.
pub(super) fn read_type(word: &[u8]) -> Option<Rtype> {
    if word.eq_ignore_ascii_case(b"NSAP-PTR") {
        return Some(Rtype(23));
    }
    let text = std::str::from_utf8(word).ok()?;
    Mnemonic::from_str(text).ok().map(|mnemonic| Rtype(mnemonic.to_int()))
}

/// The name of a record type.
pub(in crate::config) fn shown_type(rtype: Rtype) -> String {
    Mnemonic::from_int(rtype.0).to_string()
}

/// A domain name; without a final dot it is relative to the origin.
pub(super) fn read_name(word: &[u8], origin: &Name) -> Result<Name, NameTextError> {
    if word == b"@" {
        return Ok(*origin);
    }
    let text = String::from_utf8_lossy(word);
    let name = Name::from_text(&text)?;
    let backslashes = |stem: &[u8]| stem.iter().rev().take_while(|octet| **octet == b'\\').count();
    if word.split_last().is_some_and(|(last, stem)| *last == b'.' && backslashes(stem) % 2 == 0) {
        return Ok(name);
    }
    let labels = name.as_wire().split_last().map_or(&[][..], |(_, labels)| labels);
    Name::from_wire(&[labels, origin.as_wire()].concat()).map_err(|_| NameTextError::NameTooLong)
}

/// A character string without its escapes.
pub(super) fn unescape(word: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&octet, behind)) = rest.split_first() {
        rest = behind;
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        let (&first, behind) = rest.split_first()?;
        if !first.is_ascii_digit() {
            (rest, _) = (behind, octets.push(first));
            continue;
        }
        let (digits, behind) = rest.split_at_checked(3)?;
        octets.push(number(digits)?);
        rest = behind;
    }
    Some(octets)
}

/// Decimal digits and nothing else.
pub(super) fn number<N: FromStr>(word: &[u8]) -> Option<N> {
    let digits = std::str::from_utf8(word).ok().filter(|_| word.iter().all(u8::is_ascii_digit))?;
    digits.parse().ok()
}

/// The number of a DNSSEC algorithm: decimal, or a name of the IANA registry.
pub(super) fn algorithm(word: &[u8]) -> Option<u8> {
    const NAMES: [(&str, u8); 19] = [
        ("RSAMD5", 1),
        ("DH", 2),
        ("DSA", 3),
        ("ECC", 4),
        ("RSASHA1", 5),
        ("NSEC3DSA", 6),
        ("DSA-NSEC3-SHA1", 6),
        ("NSEC3RSASHA1", 7),
        ("RSASHA1-NSEC3-SHA1", 7),
        ("RSASHA256", 8),
        ("RSASHA512", 10),
        ("ECCGOST", 12),
        ("ECC-GOST", 12),
        ("ECDSAP256SHA256", 13),
        ("ECDSAP384SHA384", 14),
        ("ED25519", 15),
        ("ED448", 16),
        ("PRIVATEDNS", 253),
        ("PRIVATEOID", 254),
    ];
    number(word).or_else(|| named(word, &NAMES))
}

/// The number behind a name, in either case.
fn named<N: Copy>(word: &[u8], names: &[(&str, N)]) -> Option<N> {
    names.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word)).map(|(_, number)| *number)
}

/// Reads the data of a type whose [`text_form`] is [`TextForm::Own`]; appends it to `into`.
pub(super) fn read(
    rtype: Rtype,
    words: &[Word<'_>],
    origin: &Name,
    into: &mut Vec<u8>,
) -> Result<(), BadWord> {
    let mut reader = Reader { words, at: 0, origin, into };
    for field in fields(rtype).unwrap_or_default() {
        // A fault is that of the word last taken; what is missing would stand behind the last.
        reader.field(*field).map_err(|fault| BadWord { index: reader.at.max(1) - 1, fault })?;
    }
    match reader.at == words.len() {
        true => Ok(()),
        false => Err(BadWord { index: reader.at, fault: WordFault::Reason("nothing more may follow") }),
    }
}

/// The words of a record and the octets they become.
struct Reader<'r, 'e> {
    words: &'r [Word<'e>],
    at: usize,
    origin: &'r Name,
    into: &'r mut Vec<u8>,
}

impl<'e> Reader<'_, 'e> {
    fn field(&mut self, field: Field) -> Result<(), WordFault> {
        let bad = WordFault::Reason;
        match field {
            Field::U8 => self.number::<u8, 1>(u8::to_be_bytes, "expected a number from 0 to 255"),
            Field::U16 => self.number::<u16, 2>(u16::to_be_bytes, "expected a number from 0 to 65535"),
            Field::U32 => self.number::<u32, 4>(u32::to_be_bytes, "expected a number from 0 to 4294967295"),
            Field::U64 => self.number::<u64, 8>(u64::to_be_bytes, "expected a number of 64 bits"),
            Field::Type => {
                let word = self.word("expected a record type")?;
                let value = number(word).or_else(|| read_type(word).map(|rtype| rtype.0));
                self.put(&value.ok_or(bad("expected a record type"))?.to_be_bytes())
            }
            Field::CertType => {
                const NAMES: [(&str, u16); 10] = [
                    ("PKIX", 1),
                    ("SPKI", 2),
                    ("PGP", 3),
                    ("IPKIX", 4),
                    ("ISPKI", 5),
                    ("IPGP", 6),
                    ("ACPKIX", 7),
                    ("IACPKIX", 8),
                    ("URI", 253),
                    ("OID", 254),
                ];
                let word = self.word("expected a certificate type")?;
                let value = number(word).or_else(|| named(word, &NAMES));
                self.put(
                    &value
                        .ok_or(bad("expected a certificate type such as `PKIX`, or its number"))?
                        .to_be_bytes(),
                )
            }
            Field::Algorithm => {
                let value = algorithm(self.word("expected an algorithm")?);
                self.put(&[value.ok_or(bad("expected a DNSSEC algorithm such as `ED25519`, or its number"))?])
            }
            Field::Scheme => {
                let word = self.word("expected a scheme")?;
                let value = number(word).or_else(|| named(word, &[("NOTIFY", 1)]));
                self.put(&[value.ok_or(bad("expected `NOTIFY` or a number from 0 to 255"))?])
            }
            Field::Name(_) => self.name(),
            Field::Ipv4 => self.ipv4(),
            Field::Ipv6 => self.ipv6(),
            Field::Locator => {
                let octets = locator(self.word("expected a locator")?);
                self.put(
                    &octets.ok_or(bad("expected four groups of hexadecimal digits, as in `2001:db8:1:2`"))?,
                )
            }
            Field::Eui(len) => {
                let octets = eui(self.word("expected an address")?, len);
                self.put(
                    &octets.ok_or(bad("expected pairs of hexadecimal digits, as in `00-00-5e-00-53-2a`"))?,
                )
            }
            Field::Text => self.text(),
            Field::Texts => {
                self.text()?;
                while self.at < self.words.len() {
                    self.text()?;
                }
                Ok(())
            }
            Field::OptionalText if self.at == self.words.len() => Ok(()),
            Field::OptionalText => self.text(),
            Field::LongText => {
                let octets = unescape(self.word("expected a text")?).ok_or(bad("expected a text"))?;
                self.put(&octets)
            }
            Field::Hex => self.rest("expected hexadecimal digits", |text| base16::decode(text).ok()),
            Field::Base64 => self.rest("expected Base64", |text| base64::decode(text).ok()),
            Field::Nsap => {
                let digits = self.word("expected an NSAP address")?.strip_prefix(b"0x").unwrap_or_default();
                let text: String = digits.iter().filter(|o| **o != b'.').map(|o| char::from(*o)).collect();
                let octets: Option<Vec<u8>> =
                    base16::decode(&text).ok().filter(|octets: &Vec<u8>| !octets.is_empty());
                self.put(&octets.ok_or(bad("expected `0x` and hexadecimal digits"))?)
            }
            Field::Bitmap => self.bitmap(),
            Field::Location => {
                let words: Vec<&[u8]> = self.words[self.at..].iter().map(|word| word.octets).collect();
                self.at = self.words.len();
                self.put(&location::read(&words).map_err(bad)?)
            }
            Field::Prefixes => {
                while self.at < self.words.len() {
                    let octets = prefixes::read(self.word("expected a prefix")?);
                    self.put(
                        &octets
                            .ok_or(bad("expected prefixes such as `1:192.0.2.0/24` or `!2:2001:db8::/32`"))?,
                    )?;
                }
                Ok(())
            }
            Field::HostIdentity => self.host_identity(),
            Field::AmtRelay => self.amt_relay(),
            Field::Params | Field::IpsecGateway | Field::A6 | Field::Opaque => {
                Err(bad("there is no text form"))
            }
        }
    }

    /// The next word.
    fn word(&mut self, expected: &'static str) -> Result<&'e [u8], WordFault> {
        let word = self.words.get(self.at);
        self.at += 1;
        word.map(|word| word.octets).ok_or(WordFault::Reason(expected))
    }

    fn put(&mut self, octets: &[u8]) -> Result<(), WordFault> {
        self.into.extend_from_slice(octets);
        Ok(())
    }

    fn number<N: FromStr, const OCTETS: usize>(
        &mut self,
        to_octets: fn(N) -> [u8; OCTETS],
        expected: &'static str,
    ) -> Result<(), WordFault> {
        let value = number(self.word(expected)?).ok_or(WordFault::Reason(expected))?;
        self.put(&to_octets(value))
    }

    fn name(&mut self) -> Result<(), WordFault> {
        let name = read_name(self.word("expected a domain name")?, self.origin).map_err(WordFault::Name)?;
        self.put(name.as_wire())
    }

    fn ipv4(&mut self) -> Result<(), WordFault> {
        let expected = "expected an IPv4 address";
        let address: Option<std::net::Ipv4Addr> = parsed(self.word(expected)?);
        self.put(&address.ok_or(WordFault::Reason(expected))?.octets())
    }

    fn ipv6(&mut self) -> Result<(), WordFault> {
        let expected = "expected an IPv6 address";
        let address: Option<std::net::Ipv6Addr> = parsed(self.word(expected)?);
        self.put(&address.ok_or(WordFault::Reason(expected))?.octets())
    }

    fn text(&mut self) -> Result<(), WordFault> {
        let octets = unescape(self.word("expected a text")?).ok_or(WordFault::Reason("expected a text"))?;
        let len = u8::try_from(octets.len());
        let len =
            len.map_err(|_| WordFault::Reason("a text has at most 255 octets: split it into several"))?;
        self.into.push(len);
        self.put(&octets)
    }

    /// All words that are left as one.
    fn rest(&mut self, expected: &'static str, decode: fn(&str) -> Option<Vec<u8>>) -> Result<(), WordFault> {
        let mut text = String::new();
        text.push_str(&String::from_utf8_lossy(self.word(expected)?));
        while self.at < self.words.len() {
            text.push_str(&String::from_utf8_lossy(self.word(expected)?));
        }
        let octets = decode(&text).filter(|octets| !octets.is_empty());
        self.put(&octets.ok_or(WordFault::Reason(expected))?)
    }

    /// Record types to windows of 256 (RFC 4034 §4.1.2).
    fn bitmap(&mut self) -> Result<(), WordFault> {
        let mut types = Vec::new();
        while self.at < self.words.len() {
            let word = self.word("expected a record type")?;
            types.push(
                read_type(word).ok_or(WordFault::Reason("expected record types such as `A` and `NS`"))?.0,
            );
        }
        types.sort_unstable();
        for window in types.chunk_by(|a, b| a >> 8 == b >> 8) {
            let mut bits = [0_u8; 32];
            for rtype in window {
                bits[usize::from(rtype & 0xFF) / 8] |= 0x80 >> (rtype & 7);
            }
            let len = 1 + usize::from(window[window.len() - 1] & 0xFF) / 8;
            self.put(&[(window[0] >> 8) as u8, len as u8])?;
            self.put(&bits[..len])?;
        }
        Ok(())
    }

    /// RFC 8005 §6: algorithm, HIT, public key, and as many names as there are servers.
    fn host_identity(&mut self) -> Result<(), WordFault> {
        let bad = WordFault::Reason;
        let algorithm: Option<u8> = number(self.word("expected an algorithm")?);
        let algorithm = algorithm.ok_or(bad("expected a number from 0 to 255"))?;
        let hit = String::from_utf8_lossy(self.word("expected a HIT")?);
        let hit: Option<Vec<u8>> = base16::decode(&hit).ok();
        let hit = hit.filter(|hit| !hit.is_empty()).ok_or(bad("expected a HIT in hexadecimal digits"))?;
        let hit_len = u8::try_from(hit.len()).map_err(|_| bad("a HIT has at most 255 octets"))?;
        let key = String::from_utf8_lossy(self.word("expected a public key")?);
        let key: Option<Vec<u8>> = base64::decode(&key).ok();
        let key = key.filter(|key| !key.is_empty()).ok_or(bad("expected a public key in Base64"))?;
        let key_len = u16::try_from(key.len()).map_err(|_| bad("a public key has at most 65535 octets"))?;
        self.put(&[hit_len, algorithm])?;
        self.put(&key_len.to_be_bytes())?;
        self.put(&hit)?;
        self.put(&key)?;
        while self.at < self.words.len() {
            self.name()?;
        }
        Ok(())
    }

    /// RFC 8777 §4.3: discovery flag, type, relay.
    fn amt_relay(&mut self) -> Result<(), WordFault> {
        let flag = match self.word("expected the flag `0` or `1`")? {
            b"0" => 0,
            b"1" => 0x80,
            _ => return Err(WordFault::Reason("expected the flag `0` or `1`")),
        };
        let kind: Option<u8> = number(self.word("expected a relay type")?).filter(|kind| *kind <= 3);
        let kind = kind.ok_or(WordFault::Reason("expected a relay type from 0 to 3"))?;
        self.into.push(flag | kind);
        match kind {
            0 if self.word("expected `.`")? == b"." => Ok(()),
            0 => Err(WordFault::Reason("expected `.`, as the relay type is 0")),
            1 => self.ipv4(),
            2 => self.ipv6(),
            _ => self.name(),
        }
    }
}

/// What the standard library reads.
fn parsed<T: FromStr>(word: &[u8]) -> Option<T> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// Four groups of up to four hexadecimal digits.
fn locator(word: &[u8]) -> Option<[u8; 8]> {
    let mut octets = [0; 8];
    let mut groups = word.split(|octet| *octet == b':');
    for pair in octets.chunks_exact_mut(2) {
        let group = groups.next().filter(|group| (1..=4).contains(&group.len()))?;
        pair.copy_from_slice(&hexadecimal(group)?.to_be_bytes());
    }
    groups.next().is_none().then_some(octets)
}

/// Pairs of hexadecimal digits with hyphens.
fn eui(word: &[u8], len: usize) -> Option<Vec<u8>> {
    let pairs = word.split(|octet| *octet == b'-');
    let pairs = pairs.map(|pair| hexadecimal(pair).filter(|_| pair.len() == 2).map(|value| value as u8));
    pairs.collect::<Option<Vec<u8>>>().filter(|octets| octets.len() == len)
}

/// Hexadecimal digits and nothing else.
fn hexadecimal(digits: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(digits).ok().filter(|_| digits.iter().all(u8::is_ascii_hexdigit))?;
    u16::from_str_radix(text, 16).ok()
}
