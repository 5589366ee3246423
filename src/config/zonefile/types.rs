//! What the data of each record type consists of: one table, from which names are found, put in canonical form and
//! checked, and from which types that `domain` has no text form for are read (`text`).
//!
//! Never panics on any octets. Types without a row are opaque (RFC 3597).

use std::ops::Range;

use crate::wire::message::Rtype;
use crate::wire::name::uncompressed_len;

/// A field of a record's data: what it is on the wire, and in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// A number of 8 bits.
    U8,
    /// A number of 16 bits.
    U16,
    /// A number of 32 bits.
    U32,
    /// A number of 64 bits.
    U64,
    /// 16 bits, in text a number or the name of a record type.
    Type,
    /// 16 bits, in text a number or the name of a certificate format (RFC 4398 §2.1).
    CertType,
    /// 8 bits, in text a number or the name of a DNSSEC algorithm.
    Algorithm,
    /// 8 bits, in text a number or `NOTIFY` (RFC 9859 §2.1).
    Scheme,
    /// A domain name.
    Name(Naming),
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// 64 bits, in text four groups of hexadecimal digits with colons (RFC 6742 §2.1.2).
    Locator,
    /// So many octets, in text pairs of hexadecimal digits with hyphens (RFC 7043).
    Eui(usize),
    /// A character string.
    Text,
    /// One character string or more.
    Texts,
    /// A character string that may be left out.
    OptionalText,
    /// The rest, in text one string without a length octet (RFC 7553 §4.3).
    LongText,
    /// The rest, in text hexadecimal.
    Hex,
    /// The rest, in text hexadecimal with `0x` before it and dots anywhere (RFC 1706 §7).
    Nsap,
    /// The rest, in text Base64.
    Base64,
    /// A type bitmap (RFC 4034 §4.1.2); may be empty.
    Bitmap,
    /// Service parameters (RFC 9460 §2.2).
    Params,
    /// A location (RFC 1876).
    Location,
    /// Address prefixes (RFC 3123).
    Prefixes,
    /// Host identity, its key and rendezvous servers (RFC 8005 §5).
    HostIdentity,
    /// Gateway type, algorithm, gateway (RFC 4025 §2.1).
    IpsecGateway,
    /// Discovery flag, relay type, relay (RFC 8777 §4.2).
    AmtRelay,
    /// Prefix length, address suffix, prefix name (RFC 2874 §3.1).
    A6,
    /// Anything, in text only as `\#`.
    Opaque,
}

/// What may be done with a name in a record's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// May be compressed (RFC 3597 §4), is in lower case when signed.
    Compressible,
    /// Is in lower case when signed (RFC 4034 §6.2, RFC 6840 §5.1).
    Folded,
    /// Stays as it is.
    Verbatim,
}

use Field::{
    A6, Algorithm, AmtRelay, Base64, Bitmap, CertType, Eui, Hex, HostIdentity, IpsecGateway, Ipv4, Ipv6,
    Location, Locator, LongText, Name, Nsap, Opaque, OptionalText, Params, Prefixes, Scheme, Text, Texts,
    Type, U8, U16, U32, U64,
};
use Naming::{Compressible, Folded, Verbatim};

/// The fields of a type's data; `None` for types nobody here knows, whose data is opaque.
pub(super) fn fields(rtype: Rtype) -> Option<&'static [Field]> {
    Some(match rtype.0 {
        1 => &[Ipv4],
        // NS MD MF CNAME MB MG MR PTR
        2..=5 | 7..=9 | 12 => &[Name(Compressible)],
        6 => &[Name(Compressible), Name(Compressible), U32, U32, U32, U32, U32],
        // NULL EID NIMLOC ATMA SINK, and HHIT BRID
        10 | 31 | 32 | 34 | 40 => &[Opaque],
        67 | 68 => &[Base64],
        // WKS
        11 => &[Ipv4, U8, Opaque],
        13 => &[Text, Text],
        14 => &[Name(Compressible), Name(Compressible)],
        15 => &[U16, Name(Compressible)],
        // TXT NINFO SPF AVC RESINFO WALLET CLA
        16 | 56 | 99 | 258 | 261..=263 => &[Texts],
        // RP
        17 => &[Name(Folded), Name(Folded)],
        // AFSDB RT KX
        18 | 21 | 36 => &[U16, Name(Folded)],
        // X25 ISDN
        19 => &[Text],
        20 => &[Text, OptionalText],
        // NSAP NSAP-PTR
        22 => &[Nsap],
        23 => &[Name(Verbatim)],
        // SIG RRSIG
        24 | 46 => &[Type, Algorithm, U8, U32, U32, U32, U16, Name(Folded), Base64],
        // KEY DNSKEY RKEY CDNSKEY
        25 | 48 | 57 | 60 => &[U16, U8, Algorithm, Base64],
        // PX
        26 => &[U16, Name(Folded), Name(Folded)],
        // GPOS
        27 => &[Text, Text, Text],
        28 => &[Ipv6],
        29 => &[Location],
        // NXT
        30 => &[Name(Folded), Opaque],
        33 => &[U16, U16, U16, Name(Folded)],
        // NAPTR
        35 => &[U16, U16, Text, Text, Text, Name(Folded)],
        37 => &[CertType, U16, Algorithm, Base64],
        38 => &[A6],
        // DNAME
        39 => &[Name(Folded)],
        42 => &[Prefixes],
        // DS CDS TA DLV
        43 | 59 | 32768 | 32769 => &[U16, Algorithm, U8, Hex],
        // SSHFP
        44 => &[U8, U8, Hex],
        45 => &[U8, IpsecGateway, Base64],
        // NSEC
        47 => &[Name(Verbatim), Bitmap],
        // DHCID OPENPGPKEY
        49 | 61 => &[Base64],
        // NSEC3: the hash is a string of octets with a length before it, as the salt is
        50 => &[U8, U8, U16, Text, Text, Bitmap],
        51 => &[U8, U8, U16, Text],
        // TLSA SMIMEA
        52 | 53 => &[U8, U8, U8, Hex],
        55 => &[HostIdentity],
        // TALINK
        58 => &[Name(Verbatim), Name(Verbatim)],
        62 => &[U32, U16, Bitmap],
        // ZONEMD
        63 => &[U32, U8, U8, Hex],
        // SVCB HTTPS
        64 | 65 => &[U16, Name(Verbatim), Params],
        // DSYNC
        66 => &[Type, Scheme, U16, Name(Verbatim)],
        // NID L32 L64 LP
        104 | 106 => &[U16, Locator],
        105 => &[U16, Ipv4],
        107 => &[U16, Name(Verbatim)],
        108 => &[Eui(6)],
        109 => &[Eui(8)],
        // URI
        256 => &[U16, U16, LongText],
        // CAA: the tag is a string, the value the rest
        257 => &[U8, Text, LongText],
        // DOA
        259 => &[U32, U32, U8, Text, Base64],
        260 => &[U8, AmtRelay],
        // IPN
        264 => &[U64],
        _ => return None,
    })
}

/// Why octets are not the data of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataFault {
    /// They end inside a field.
    #[error("they end inside a field")]
    Short,
    /// There are more than the fields take.
    #[error("there are {0} octets too many")]
    Rest(usize),
    /// No domain name, or a compressed one.
    #[error("a domain name in them is malformed or compressed")]
    Name,
    /// A type bitmap with windows out of order, empty ones or zeros at their end.
    #[error("the type bitmap is malformed")]
    Bitmap,
    /// Service parameters out of order, twice or too long.
    #[error("the service parameters are malformed")]
    Params,
    /// A location that is none.
    #[error("the location is malformed")]
    Location,
    /// Address prefixes that are none.
    #[error("the address prefixes are malformed")]
    Prefixes,
    /// A number that has no meaning in its field.
    #[error("a field has a value without meaning")]
    Value,
}

/// A name inside a record's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct NameField {
    /// Offset of its first octet.
    pub(in crate::config) at: usize,
    /// Octets, the root's included.
    pub(in crate::config) len: usize,
    /// Whether it may be compressed (RFC 3597 §4).
    pub(in crate::config) compressible: bool,
}

/// The names inside a record's data, in their order; ends at the first octets that are none.
pub(in crate::config) fn names_in(rtype: Rtype, rdata: &[u8]) -> impl Iterator<Item = NameField> {
    Walk::over(rtype, rdata).map_while(Result::ok).filter_map(|part| {
        let naming = part.naming?;
        Some(NameField {
            at: part.range.start,
            len: part.range.len(),
            compressible: naming == Naming::Compressible,
        })
    })
}

/// Appends the canonical form of a record's data (RFC 4034 §6.2, RFC 6840 §5.1): names of the listed types in lower case.
pub(in crate::config) fn canonical_rdata(rtype: Rtype, rdata: &[u8], into: &mut Vec<u8>) {
    let begin = into.len();
    into.extend_from_slice(rdata);
    for part in Walk::over(rtype, rdata).map_while(Result::ok) {
        if matches!(part.naming, Some(Compressible | Folded)) {
            // Length octets are at most 63 and so never look like letters.
            into[begin + part.range.start..begin + part.range.end].make_ascii_lowercase();
        }
    }
}

/// Checks that octets are data of a type.
pub(super) fn check(rtype: Rtype, rdata: &[u8]) -> Result<(), DataFault> {
    Walk::over(rtype, rdata).try_for_each(|part| part.map(drop))
}

/// The octets of a field, or of a name inside of one.
struct Part {
    range: Range<usize>,
    naming: Option<Naming>,
}

/// A walk over the fields of a record's data; ends with the first fault.
struct Walk<'r> {
    rdata: &'r [u8],
    fields: std::slice::Iter<'static, Field>,
    at: usize,
    /// Rendezvous servers, names without number, take what is left.
    names_to_end: bool,
    /// The whole has been walked over.
    done: bool,
}

impl<'r> Walk<'r> {
    fn over(rtype: Rtype, rdata: &'r [u8]) -> Walk<'r> {
        let fields = fields(rtype).unwrap_or(&[Opaque]).iter();
        Walk { rdata, fields, at: 0, names_to_end: false, done: false }
    }

    /// So many octets.
    fn octets(&self, len: usize) -> Result<Part, DataFault> {
        let range = self.at..self.at + len;
        if range.end > self.rdata.len() { Err(DataFault::Short) } else { Ok(Part { range, naming: None }) }
    }

    /// A domain name behind some octets.
    fn name(&self, behind: usize, naming: Naming) -> Result<Part, DataFault> {
        let at = self.at + behind;
        let len = uncompressed_len(self.rdata, at).map_err(|_| DataFault::Name)?;
        Ok(Part { range: at..at + len, naming: Some(naming) })
    }

    /// A length octet and what it counts.
    fn text(&self) -> Result<Part, DataFault> {
        let len = *self.rdata.get(self.at).ok_or(DataFault::Short)?;
        self.octets(1 + usize::from(len))
    }

    /// All that is left, if it passes.
    fn rest(&self, passes: fn(&[u8]) -> bool, fault: DataFault) -> Result<Part, DataFault> {
        let rest = &self.rdata[self.at..];
        if passes(rest) { self.octets(rest.len()) } else { Err(fault) }
    }

    fn field(&mut self, field: Field) -> Result<Part, DataFault> {
        let rest = &self.rdata[self.at..];
        match field {
            U8 | Algorithm | Scheme => self.octets(1),
            U16 | Type | CertType => self.octets(2),
            U32 | Ipv4 => self.octets(4),
            U64 | Locator => self.octets(8),
            Ipv6 => self.octets(16),
            Eui(len) => self.octets(len),
            Name(naming) => self.name(0, naming),
            Text => self.text(),
            OptionalText if rest.is_empty() => self.octets(0),
            OptionalText => self.text(),
            Texts => self.rest(are_texts, DataFault::Short),
            LongText | Hex | Nsap | Base64 | Opaque => self.octets(rest.len()),
            Bitmap => self.rest(is_bitmap, DataFault::Bitmap),
            Params => self.rest(are_params, DataFault::Params),
            Location => self.rest(is_location, DataFault::Location),
            Prefixes => self.rest(are_prefixes, DataFault::Prefixes),
            HostIdentity => {
                let &[hit_len, _, high, low, ..] = rest else { return Err(DataFault::Short) };
                self.names_to_end = true;
                self.octets(4 + usize::from(hit_len) + usize::from(u16::from_be_bytes([high, low])))
            }
            IpsecGateway => match rest {
                [0, _, ..] => self.octets(2),
                [1, _, ..] => self.octets(2 + 4),
                [2, _, ..] => self.octets(2 + 16),
                [3, _, ..] => self.name(2, Verbatim),
                [_, _, ..] => Err(DataFault::Value),
                _ => Err(DataFault::Short),
            },
            AmtRelay => match rest.first().map(|kind| kind & 0x7F) {
                Some(0) => self.octets(1),
                Some(1) => self.octets(1 + 4),
                Some(2) => self.octets(1 + 16),
                Some(3) => self.name(1, Verbatim),
                Some(_) => Err(DataFault::Value),
                None => Err(DataFault::Short),
            },
            A6 => match rest.first() {
                Some(0) => self.octets(1 + 16),
                Some(&bits @ 1..=128) => {
                    let suffix = (128 - usize::from(bits)).div_ceil(8);
                    if rest.len() < 1 + suffix {
                        Err(DataFault::Short)
                    } else {
                        self.name(1 + suffix, Folded)
                    }
                }
                Some(_) => Err(DataFault::Value),
                None => Err(DataFault::Short),
            },
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Part, DataFault>;

    fn next(&mut self) -> Option<Result<Part, DataFault>> {
        if self.done {
            return None;
        }
        let part = match self.fields.next() {
            Some(&field) => self.field(field),
            None if self.at == self.rdata.len() => {
                self.done = true;
                return None;
            }
            None if self.names_to_end => self.name(0, Verbatim),
            None => Err(DataFault::Rest(self.rdata.len() - self.at)),
        };
        match &part {
            Ok(part) => self.at = part.range.end,
            Err(_) => self.done = true,
        }
        Some(part)
    }
}

/// One character string or more, and nothing else.
fn are_texts(mut octets: &[u8]) -> bool {
    let mut any = false;
    while let Some((&len, rest)) = octets.split_first() {
        let Some(behind) = rest.get(usize::from(len)..) else { return false };
        (octets, any) = (behind, true);
    }
    any
}

/// Windows in ascending order, each of 1 to 32 octets, the last not zero.
fn is_bitmap(mut octets: &[u8]) -> bool {
    let mut least = 0;
    while let [window, len @ 1..=32, rest @ ..] = octets {
        let Some((bits, behind)) = rest.split_at_checked(usize::from(*len)) else { return false };
        if u16::from(*window) < least || bits.last() == Some(&0) {
            return false;
        }
        (least, octets) = (u16::from(*window) + 1, behind);
    }
    octets.is_empty()
}

/// Parameters with ascending keys.
fn are_params(mut octets: &[u8]) -> bool {
    let mut least = 0;
    while let [key_high, key_low, len_high, len_low, rest @ ..] = octets {
        let key = u16::from_be_bytes([*key_high, *key_low]);
        let Some(behind) = rest.get(usize::from(u16::from_be_bytes([*len_high, *len_low]))..) else {
            return false;
        };
        if u32::from(key) < least {
            return false;
        }
        (least, octets) = (u32::from(key) + 1, behind);
    }
    octets.is_empty()
}

/// Version 0 and 16 octets, sizes and precisions as a digit and a power of ten.
fn is_location(octets: &[u8]) -> bool {
    let is_size = |octet: &u8| octet >> 4 <= 9 && octet & 0x0F <= 9;
    octets.len() == 16 && octets[0] == 0 && octets[1..4].iter().all(is_size)
}

/// Prefixes of IPv4 and IPv6 without zeros at their end; those of other families as they are.
fn are_prefixes(mut octets: &[u8]) -> bool {
    while let [family_high, family_low, bits, flags, rest @ ..] = octets {
        let Some((address, behind)) = rest.split_at_checked(usize::from(flags & 0x7F)) else { return false };
        let limit = match u16::from_be_bytes([*family_high, *family_low]) {
            1 => 4,
            2 => 16,
            _ => usize::from(u8::MAX),
        };
        if address.len() > limit || usize::from(*bits) > 8 * limit || address.last() == Some(&0) {
            return false;
        }
        octets = behind;
    }
    octets.is_empty()
}
