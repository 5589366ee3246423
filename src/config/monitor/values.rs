//! Values that only a monitor's parameters have: headers, pins, query types, response codes, addresses.

use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::DnsName;

use super::super::cause::{Cause, Found};
use super::super::decode::{Decoder, Field, Read};
use super::super::events::Scalar;
use super::super::model::{DNS_RCODES, Sources};
use super::super::report::Span;
use super::super::scalars::{address, text_octets};
use super::super::suggest;
use super::cause::ParameterCause;
use super::{MAX_CODES, refuse_characters};
use crate::wire::message::{Rcode, Rtype};

/// Headers of a request: with paths and bodies at their longest still what servers accept and sockets take at once.
const MAX_HEADERS: usize = 16;
const MAX_HEADER_NAME_OCTETS: usize = 64;
const MAX_HEADER_VALUE_OCTETS: usize = 1024;
/// The old pin and the new one, and some.
const MAX_PINS: usize = 8;
/// Addresses that an answer must have.
const MAX_ADDRESSES: usize = 16;

/// Types by name; others are written `TYPE123` (RFC 3597 §5).
const QUERY_TYPES: [(&str, u16); 16] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("NAPTR", 35),
    ("DS", 43),
    ("DNSKEY", 48),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("ANY", 255),
    ("CAA", 257),
];
const QUERY_TYPE_WORDS: &str = "A, AAAA, SOA, NS and other types of data; any by its number, as TYPE65280";
const RCODE_WORDS: &str = "NOERROR, NXDOMAIN, REFUSED and the other names of codes up to 10";
/// Headers that frame a message or name its host.
const RESERVED_HEADERS: [(&str, &str); 7] = [
    ("host", "use the parameter `hostname`"),
    ("content-length", "it follows from the parameter `body`"),
    ("transfer-encoding", "use the parameter `body`"),
    ("connection", "a probe's connection ends with it"),
    ("upgrade", "a probe's connection ends with it"),
    ("expect", "a probe sends its body at once"),
    ("te", "trailers are not read"),
];

/// Reads `headers`.
pub(super) fn read_headers<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Vec<(String, String)>> {
    let at = field.at;
    let mut headers: Vec<(String, String, Span)> = Vec::new();
    d.entries(field, |d, field| {
        let (name, at) = (field.name.to_string(), field.at);
        if let Err(cause) = check_header_name(&name, &headers) {
            d.error(at, cause);
        }
        if let Some(value) = d.value(field, |scalar| header_value(&scalar.text))? {
            headers.push((name, value.value, at));
        }
        Ok(())
    })?;
    if headers.len() > MAX_HEADERS {
        d.error(at, Cause::TooMany { what: "`headers`", limit: MAX_HEADERS });
    }
    Ok(headers.into_iter().map(|(name, value, _)| (name, value)).collect())
}

fn check_header_name(name: &str, before: &[(String, String, Span)]) -> Result<(), Cause> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    refuse_characters(name, "a header's name", is_token)?;
    text_octets(name, MAX_HEADER_NAME_OCTETS)?;
    if let Some((_, instead)) = RESERVED_HEADERS.iter().find(|(own, _)| name.eq_ignore_ascii_case(own)) {
        return Err(ParameterCause::ReservedHeader { name: Found::new(name), instead }.into());
    }
    match before.iter().find(|(other, ..)| other.eq_ignore_ascii_case(name)) {
        Some((_, _, first)) => {
            Err(Cause::Duplicate { what: "header", item: Found::new(name), first_line: first.line })
        }
        None => Ok(()),
    }
}

/// Whatever ends no line (RFC 9110 §5.5).
fn header_value(text: &str) -> Result<String, Cause> {
    refuse_characters(text, "a header's value", |c| c == '\t' || !c.is_control())?;
    text_octets(text, MAX_HEADER_VALUE_OCTETS)
}

/// Reads a list of at most `limit` values.
fn read_list<'t, T>(
    d: &mut Decoder<'t, '_>,
    field: Field<'t>,
    (key, what, limit): (&'static str, &'static str, usize),
    parse: impl Fn(&Scalar<'_>) -> Result<T, Cause>,
) -> Read<Vec<T>> {
    let at = field.at;
    let mut values = Vec::new();
    let count = d.list(field, key, |d, item| {
        values.extend(d.value(item, &parse)?.map(|value| value.value));
        Ok(())
    })?;
    if count.is_some_and(|count| count > limit) {
        d.error(at, Cause::TooMany { what, limit });
    }
    Ok(values)
}

/// Reads `pinned_sha256`.
pub(super) fn read_pins<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Vec<[u8; 32]>> {
    read_list(d, field, ("pinned_sha256", "items in `pinned_sha256`", MAX_PINS), |s| pin(&s.text))
}

/// A SHA-256 as `openssl x509 -fingerprint` and `curl --pinnedpubkey` write it.
fn pin(text: &str) -> Result<[u8; 32], Cause> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let of_hex = || {
        let pair = |at: usize| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
        let is_hex = digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let octets: Vec<u8> = (0..64).step_by(2).map_while(pair).collect();
        octets.try_into().ok().filter(|_| is_hex)
    };
    let of_base64 = || {
        let text = text.strip_prefix("sha256//").unwrap_or(text);
        BASE64_STANDARD.decode(text).ok()?.try_into().ok()
    };
    of_hex().or_else(of_base64).ok_or_else(|| ParameterCause::NotPin { text: Found::new(text) }.into())
}

/// A name that a TLS client sends.
pub(super) fn tls_name(scalar: &Scalar<'_>) -> Result<String, Cause> {
    let is_address = scalar.text.parse::<IpAddr>().is_ok();
    match DnsName::try_from(&*scalar.text) {
        Ok(name) if !is_address => Ok(name.as_ref().trim_end_matches('.').to_owned()),
        _ => Err(Cause::NotServerName { text: Found::new(&scalar.text) }),
    }
}

/// A type of data: transfers and OPT are no questions that one message answers.
pub(super) fn query_type(scalar: &Scalar<'_>) -> Result<Rtype, Cause> {
    let upper = scalar.text.to_ascii_uppercase();
    let by_number = || {
        let digits = upper.strip_prefix("TYPE").filter(|rest| rest.bytes().all(|b| b.is_ascii_digit()))?;
        digits.parse().ok().filter(|number| !matches!(number, 0 | 41 | 249..=254))
    };
    let by_name = QUERY_TYPES.iter().find(|(word, _)| *word == upper).map(|(_, number)| *number);
    by_name.or_else(by_number).map(Rtype).ok_or_else(|| Cause::NotOneOf {
        text: Found::new(&scalar.text),
        closest: suggest::closest(&upper, QUERY_TYPES.iter().map(|(word, _)| *word)),
        accepted: QUERY_TYPE_WORDS,
    })
}

/// Reads `expected_rcode`.
pub(super) fn read_rcodes<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Vec<Rcode>> {
    read_list(d, field, ("expected_rcode", "items in `expected_rcode`", MAX_CODES), |scalar| {
        let upper = scalar.text.to_ascii_uppercase();
        let known = DNS_RCODES.iter().find(|(word, _)| *word == upper);
        known.map(|(_, rcode)| *rcode).ok_or_else(|| Cause::NotOneOf {
            text: Found::new(&scalar.text),
            closest: suggest::closest(&upper, DNS_RCODES.iter().map(|(word, _)| *word)),
            accepted: RCODE_WORDS,
        })
    })
}

/// Reads `expected_addresses`.
pub(super) fn read_addresses<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Vec<IpAddr>> {
    let what = ("expected_addresses", "items in `expected_addresses`", MAX_ADDRESSES);
    read_list(d, field, what, |scalar| address(&scalar.text))
}

/// Reads `source`.
pub(super) fn read_sources<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Sources> {
    let mut sources = Sources::default();
    d.list(field, "source", |d, item| {
        let Some(read) = d.value(item, |scalar| probe_address(&scalar.text))? else { return Ok(()) };
        let (family, is_second) = match read.value {
            IpAddr::V4(v4) => ("IPv4", sources.v4.replace(v4).is_some()),
            IpAddr::V6(v6) => ("IPv6", sources.v6.replace(v6).is_some()),
        };
        if is_second {
            d.error(read.span, ParameterCause::SecondSource { family }.into());
        }
        Ok(())
    })?;
    Ok(sources)
}

/// An address that a probe can be sent to or from.
pub(in super::super) fn probe_address(text: &str) -> Result<IpAddr, Cause> {
    let address = address(text)?;
    let is_refused = match address {
        IpAddr::V4(v4) => v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local(),
    };
    match is_refused {
        true => Err(ParameterCause::NotProbeAddress { text: Found::new(text) }.into()),
        false => Ok(address),
    }
}
