//! The `zones` section: apexes of one's own, their name servers and SOA fields (RFC 1035 §3.3.13, RFC 2308).
//!
//! `server.ns` and `server.soa` have the same shape and are read by the same functions. Zone files are `zone`'s.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cause::{Cause, Found};
use super::decode::{Decoder, Field, Placed, Read, Section, key};
use super::dnssec::{Lifetimes, read_dnssec};
use super::events::Scalar;
use super::model::{OwnerName, SoaFields, Zone, ZoneRecords};
use super::report::Span;
use super::scalars::{integer, name, parse_name, text_octets};
use super::server::join;
use super::zone::ZoneData;
use super::zone::assemble::Given;
use crate::wire::name::Name;

/// Longest path (Linux's PATH_MAX).
pub(super) const MAX_PATH_OCTETS: usize = 4096;
/// Most name servers of a zone; more would not fit a referral.
const MAX_NAME_SERVERS: usize = 32;
/// Largest TTL (RFC 2181 §8) and, as BIND does, largest time of an SOA record.
pub(super) const MAX_TTL_SECS: u64 = 0x7FFF_FFFF;
/// TTL of NS records unless told otherwise; an hour, so that a moved name server is found soon.
const DEFAULT_NS_TTL_SECS: u32 = 3600;
/// Negative answers kept for longer are most likely a mistake (RFC 2308 §5: "values of one to three hours").
pub(super) const LONG_NEGATIVE_TTL_SECS: u32 = 86_400;

pub(super) static ZONE: Section = Section {
    title: "a zone",
    keys: &[key("file"), key("ns"), key("soa"), key("ns_ttl"), key("dnssec")],
    may_be_empty: false,
};

pub(super) static SOA: Section = Section {
    title: "`soa`",
    keys: &[
        key("mname"),
        key("rname"),
        key("serial"),
        key("refresh"),
        key("retry"),
        key("expire"),
        key("minimum"),
        key("ttl"),
    ],
    may_be_empty: true,
};

/// SOA fields, and the places of what may be warned about.
#[derive(Debug)]
pub(super) struct ReadSoa {
    pub(super) fields: SoaFields,
    names: Vec<Placed<Name>>,
}

/// A zone, and where its name servers stand.
#[derive(Debug)]
pub(super) struct ReadZone {
    pub(super) zone: Zone,
    /// Where its records are.
    pub(super) file: Option<PathBuf>,
    /// Which of its records the configuration gives.
    pub(super) given: Given,
    /// Where it speaks of signing.
    pub(super) dnssec_at: Option<Span>,
    /// Where it speaks of lifetimes of keys.
    pub(super) lifetimes_at: Lifetimes<Option<Span>>,
    pub(super) name_servers: Vec<Placed<Name>>,
}

/// Reads the section; the second value tells whether there is any entry, right or wrong. `directory` is what relative paths
/// are relative to.
pub(super) fn read_zones<'t>(
    d: &mut Decoder<'t, '_>,
    field: Field<'t>,
    directory: Option<&Path>,
) -> Read<(Vec<ReadZone>, bool)> {
    let mut zones = Vec::new();
    let mut first_places: HashMap<OwnerName, Span> = HashMap::new();
    let mut any = false;
    d.entries(field, |d, field| {
        any = true;
        let at = field.at;
        let apex = match parse_name(&field.name) {
            Ok(name) => OwnerName::new(&name),
            Err(cause) => {
                d.error(at, cause);
                OwnerName::new(&Name::ROOT)
            }
        };
        if let Some(first) = first_places.get(&apex) {
            let item = Found::new(&field.name);
            d.error(at, Cause::Duplicate { what: "zone", item, first_line: first.line });
        } else if apex.as_wire().len() > 1 || field.name == "." {
            first_places.insert(apex.clone(), at);
        }
        zones.extend(read_zone(d, field, apex, directory)?);
        Ok(())
    })?;
    Ok((zones, any))
}

fn read_zone<'t>(
    d: &mut Decoder<'t, '_>,
    field: Field<'t>,
    apex: OwnerName,
    directory: Option<&Path>,
) -> Read<Option<ReadZone>> {
    let at = field.at;
    let mut file = None;
    let mut dnssec = None;
    let mut name_servers = Vec::new();
    let mut soa = None;
    let mut ns_ttl_secs = DEFAULT_NS_TTL_SECS;
    let seen = d.section(field, &ZONE, |d, name, field| {
        match name {
            "file" => {
                let path = d.value(field, |scalar| text_octets(&scalar.text, MAX_PATH_OCTETS))?;
                file = path.map(|path| join(directory, &path.value));
            }
            "ns" => name_servers = read_name_servers(d, field)?.unwrap_or_default(),
            "soa" => soa = read_soa(d, field)?,
            "dnssec" => dnssec = read_dnssec(d, field, &apex, directory)?,
            "ns_ttl" => {
                let read = d.value(field, integer(0..=MAX_TTL_SECS))?;
                ns_ttl_secs = read.map_or(ns_ttl_secs, |read| read.value);
            }
            _ => d.skip(&field.node)?,
        }
        Ok(())
    })?;
    let Some(seen) = seen else { return Ok(None) };
    if seen.place("ns").is_none() && seen.place("file").is_none() {
        let accepted = "the names of its name servers, or a `file` that has them";
        d.error(at, Cause::MissingKey { key: "ns", section: ZONE.title, accepted });
    }
    let given = Given {
        soa: seen.place("soa").is_some(),
        ns: seen.place("ns").is_some(),
        signatures: dnssec.is_some(),
    };
    let soa_names = soa.iter().flat_map(|soa: &ReadSoa| &soa.names);
    for Placed { value, span } in soa_names.chain(&name_servers) {
        if repeats_origin(value.to_lowercase().as_wire(), apex.as_wire()) {
            d.warning(*span, Cause::RepeatsOrigin { name: Found::new(&value.to_string()) });
        }
    }
    let ns = name_servers.iter().map(|server| server.value).collect();
    let soa = soa.map(|soa| soa.fields).unwrap_or_default();
    // A zone that is signed has records of its own, if only those of signing.
    let records = match dnssec {
        Some(_) if file.is_none() => ZoneRecords::Loaded(Arc::new(ZoneData::empty())),
        _ => ZoneRecords::None,
    };
    let lifetimes_at = dnssec.as_ref().map_or_else(Lifetimes::default, |read| read.lifetimes_at);
    let dnssec = dnssec.map(|read| read.dnssec);
    let zone = Zone { apex, ns, ns_ttl_secs, soa, records, dnssec };
    let dnssec_at = seen.place("dnssec");
    Ok(Some(ReadZone { zone, file, given, dnssec_at, lifetimes_at, name_servers }))
}

/// Reads `ns`: one name or a list of them, no two equal.
pub(super) fn read_name_servers<'t>(
    d: &mut Decoder<'t, '_>,
    field: Field<'t>,
) -> Read<Option<Vec<Placed<Name>>>> {
    let mut servers: Vec<Placed<Name>> = Vec::new();
    let at = field.at;
    let mut too_many = false;
    let count = d.list(field, "ns", |d, item| {
        let Some(read) = d.value(item, name)? else { return Ok(()) };
        if servers.len() == MAX_NAME_SERVERS {
            too_many = true;
        } else if let Some(first) = servers.iter().find(|server| server.value == read.value) {
            let item = Found::new(&read.value.to_string());
            let cause = Cause::Duplicate { what: "name server", item, first_line: first.span.line };
            d.error(read.span, cause);
        } else {
            servers.push(read);
        }
        Ok(())
    })?;
    if too_many {
        d.error(at, Cause::TooMany { what: "name servers", limit: MAX_NAME_SERVERS });
    }
    Ok(count.map(|_| servers))
}

/// Reads `soa`.
pub(super) fn read_soa<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Option<ReadSoa>> {
    let mut fields = SoaFields::default();
    let mut names = Vec::new();
    let at = field.at;
    let seen = d.section(field, &SOA, |d, key, field| {
        let (slot, max) = match key {
            "mname" => {
                let read = d.value(field, name)?;
                fields.mname = read.map(|read| read.value);
                names.extend(read);
                return Ok(());
            }
            "rname" => {
                let read = d.value(field, mailbox)?;
                fields.rname = read.map(|read| read.value);
                names.extend(read);
                return Ok(());
            }
            "serial" => (&mut fields.serial, u64::from(u32::MAX)),
            "refresh" => (&mut fields.refresh_secs, MAX_TTL_SECS),
            "retry" => (&mut fields.retry_secs, MAX_TTL_SECS),
            "expire" => (&mut fields.expire_secs, MAX_TTL_SECS),
            "minimum" => (&mut fields.minimum_secs, MAX_TTL_SECS),
            "ttl" => (&mut fields.ttl_secs, MAX_TTL_SECS),
            _ => return d.skip(&field.node),
        };
        if let Some(read) = d.value(field, integer(0..=max))? {
            *slot = read.value;
        }
        Ok(())
    })?;
    let Some(seen) = seen else { return Ok(None) };
    let place = |key| seen.place(key).unwrap_or(at);
    let SoaFields { refresh_secs, retry_secs, expire_secs, minimum_secs, .. } = fields;
    if minimum_secs > LONG_NEGATIVE_TTL_SECS {
        d.warning(place("minimum"), Cause::LongNegativeTtl { minimum_secs });
    }
    if expire_secs <= refresh_secs.saturating_add(retry_secs) {
        d.warning(place("expire"), Cause::ShortExpire { expire_secs, refresh_secs, retry_secs });
    }
    if retry_secs > refresh_secs {
        d.warning(place("retry"), Cause::LongRetry { retry_secs, refresh_secs });
    }
    Ok(Some(ReadSoa { fields, names }))
}

/// A mailbox in the form of a name (RFC 1035 §8); an `@` gets the name that was meant.
fn mailbox(scalar: &Scalar<'_>) -> Result<Name, Cause> {
    match scalar.text.split_once('@') {
        None => name(scalar),
        Some((local, domain)) => {
            let suggestion = Found::new(&format!("{}.{domain}", local.replace('.', "\\.")));
            Err(Cause::MailboxAt { text: Found::new(&scalar.text), suggestion })
        }
    }
}

/// `ns1.example.com.example.com` in `example.com`: what a missing final dot makes of a name in a zone file. Both in lower-case
/// wire form.
pub(super) fn repeats_origin(name: &[u8], apex: &[u8]) -> bool {
    let Some(labels) = apex.split_last().map(|(_, labels)| labels).filter(|l| !l.is_empty()) else {
        return false;
    };
    let twice = [labels, apex].concat();
    crate::wire::name::suffixes(name).any(|suffix| suffix == twice)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{errors, loaded, warnings};

    #[test]
    fn zones_are_read_with_defaults() {
        let config = loaded(
            "zones:\n  Example.com.:\n    ns: [ns1.example.net, ns2.example.net]\n    soa: {minimum: 5}\n",
        );
        let zone = &config.zones[0];
        assert_eq!(zone.apex.to_string(), "example.com.");
        assert_eq!((zone.ns.len(), zone.ns_ttl_secs, zone.soa.minimum_secs), (2, 3600, 5));
        assert_eq!((zone.soa.mname, zone.soa.refresh_secs), (None, 7200));
    }

    #[test]
    fn each_bad_zone_is_an_error_at_its_place() {
        let text = "zones:\n  example.com: {soa: {rname: host.master@example.com}}\n  EXAMPLE.com.: {ns: [a., A.], flie: x}\n  \
                    a..b: {ns: []}\n  example.net: {ns: a., soa: {serial: 4294967296, ttl: 2147483648, minimum: 1h}}\n";
        assert_eq!(
            errors(text),
            [
                "2:3: `ns` is missing in a zone (accepted are the names of its name servers, or a `file` that has them)",
                "2:30: `host.master@example.com` is not a domain name: a mailbox is written with a dot in place of the `@` (did you mean `host\\.master.example.com`?)",
                "3:3: the zone `EXAMPLE.com.` is given twice (first given on line 2)",
                "3:27: the name server `A.` is given twice (first given on line 3)",
                "3:32: unknown key `flie` in a zone (did you mean `file`?)",
                "4:3: `a..b` is not a domain name: the name has an empty label (two dots in a row)",
                "4:14: `ns` is empty",
                "5:39: `4294967296` is out of range (accepted are 0 to 4294967295)",
                "5:56: `2147483648` is out of range (accepted are 0 to 2147483647)",
                "5:77: `1h` is not a whole number (accepted are 0 to 2147483647)",
            ]
        );
    }

    #[test]
    fn suspicious_zones_are_warned_about() {
        let text = "zones:\n  example.com:\n    ns: [ns1.example.com, ns2.example.com.example.com]\n    soa:\n      \
                    rname: hostmaster.example.com.example.com\n      minimum: 86401\n      expire: 10\n      retry: 9000\n";
        assert_eq!(
            warnings(text),
            [
                "3:10: the name server `ns1.example.com.` lies inside this zone, but is no globalname: it has no address",
                "3:27: `ns2.example.com.example.com.` repeats the name of its zone (names are absolute here: leave out the second one)",
                "3:27: the name server `ns2.example.com.example.com.` lies inside this zone, but is no globalname: it has no address",
                "5:14: `hostmaster.example.com.example.com.` repeats the name of its zone (names are absolute here: leave out the second one)",
                "6:7: a minimum of 86401 s: resolvers may keep a negative answer for longer than a day (RFC 2308 suggests one to three hours)",
                "7:7: expire (10 s) is not longer than refresh and retry together (7200 + 9000 s)",
                "8:7: retry (9000 s) is longer than refresh (7200 s)",
            ]
        );
    }
}
