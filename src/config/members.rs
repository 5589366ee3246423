//! The `members` of a pool: addresses, names, other pools.
//!
//! A map by address or a list; their order is kept. Knows one pool; what spans pools is `nested`'s.

use std::collections::HashMap;
use std::net::IpAddr;

use super::cause::{Cause, Found, Kind};
use super::decode::{Decoder, Field, Placed, Read, Section, key};
use super::events::Node;
use super::model::Member;
use super::monitor::probe_address;
use super::nested::{NestedCause, NestedKeys, ReadNested};
use super::place::selectors::read_coordinates;
use super::pool_names::{finish_named, read_member_name};
use super::pools::{MAX_NAME_CHARS, MAX_UNITS};
use super::report::Span;
use super::scalars::{address, boolean, integer, text_chars};
use crate::state::rotation::MAX_MEMBERS;

const DEFAULT_WEIGHT: u32 = 1;

/// Room for the keys of a member: there may be very many.
const MEMBER_KEYS: usize = 12;

/// A member under its address.
static MEMBER: Section = Section {
    title: "a member",
    keys: &[
        key("name"),
        key("weight"),
        key("capacity"),
        key("enabled"),
        key("monitor_ip"),
        key("hostname"),
        key("coordinates"),
    ],
    may_be_empty: true,
};

/// A member of a list.
pub(super) static LISTED_MEMBER: Section = Section {
    title: "a member",
    keys: &[
        key("ip"),
        key("pool"),
        key("region"),
        key("name"),
        key("weight"),
        key("capacity"),
        key("enabled"),
        key("monitor_ip"),
        key("hostname"),
        key("cname"),
        key("coordinates"),
    ],
    may_be_empty: false,
};

/// Reads `members`: a map by address, or a list of mappings with `ip`, `cname` or `pool`, or of addresses. The places of addresses
/// and names stand beside, and pools.
pub(super) fn read_members<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<ReadMembers> {
    let (mut members, mut places) = (Vec::new(), Vec::new());
    let mut nested: Vec<ReadNested> = Vec::new();
    let mut first_lines: HashMap<IpAddr, u32> = HashMap::new();
    let at = field.at;
    let mut total = 0;
    let mut take = |d: &mut Decoder<'t, '_>, member: Listed| {
        total += 1;
        let Placed { value: member, span } = match member {
            Listed::Member(member) => member,
            Listed::Pool(pool) => {
                return take_nested(d, &mut nested, ReadNested { behind: members.len(), ..pool });
            }
            Listed::Wrong => return,
        };
        if let Some(&first_line) = first_lines.get(&member.ip) {
            let item = Found::new(&member.shown());
            d.error(span, Cause::Duplicate { what: "member", item, first_line });
            return;
        }
        first_lines.insert(member.ip, span.line);
        members.push(member);
        places.push(span);
    };
    match &field.node {
        Node::Mapping(_) => d.open_entries(&mut |d, field| {
            let member = read_member(d, field)?;
            take(d, member.map_or(Listed::Wrong, Listed::Member));
            Ok(())
        })?,
        Node::List(_) => {
            d.items(field.name.clone(), |d, item| {
                let member = read_listed_member(d, item)?;
                take(d, member);
                Ok(())
            })?;
        }
        Node::Scalar(_) => {
            d.refuse(&field, Kind::MappingOrList)?;
            return Ok((members, places, nested));
        }
    }
    match total {
        0 => d.error(at, Cause::EmptyList { key: "members" }),
        1..=MAX_MEMBERS => {}
        _ => d.error(at, Cause::TooMany { what: "members in a pool", limit: MAX_MEMBERS }),
    }
    Ok((members, places, nested))
}

/// Members, their places, and the pools among them.
pub(super) type ReadMembers = (Vec<Member>, Vec<Span>, Vec<ReadNested>);

/// A member of a list.
enum Listed {
    /// An address, or a name.
    Member(Placed<Member>),
    Pool(ReadNested),
    /// What was wrong has been said.
    Wrong,
}

fn take_nested(d: &mut Decoder<'_, '_>, nested: &mut Vec<ReadNested>, one: ReadNested) {
    match nested.iter().find(|other| other.pool.value == one.pool.value) {
        Some(first) => {
            let (name, first_line) = (Found::new(&one.pool.value), first.pool.span.line);
            d.error(one.pool.span, NestedCause::Twice { name, first_line }.into());
        }
        None => nested.push(one),
    }
}

/// A member under its address.
fn read_member<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Option<Placed<Member>>> {
    let at = field.at;
    let ip = address(&field.name);
    let mut member = new_member();
    d.small_section::<MEMBER_KEYS>(field, &MEMBER, |d, key, field| {
        read_member_key(d, key, field, &mut member)
    })?;
    match ip {
        Ok(ip) => Ok(Some(finish_member(d, member, Placed { value: ip, span: at }))),
        Err(cause) => {
            d.error(at, cause);
            Ok(None)
        }
    }
}

/// A member in a list: a mapping with `ip` or `pool`, or an address alone.
fn read_listed_member<'t>(d: &mut Decoder<'t, '_>, item: Field<'t>) -> Read<Listed> {
    if let Node::Scalar(_) = item.node {
        let ip = d.value(item, |scalar| address(&scalar.text))?;
        return Ok(ip.map_or(Listed::Wrong, |ip| Listed::Member(finish_member(d, new_member(), ip))));
    }
    let at = item.at;
    let mut member = new_member();
    let mut ip = None;
    let mut nested = NestedKeys::default();
    let seen = d.small_section::<MEMBER_KEYS>(item, &LISTED_MEMBER, |d, key, field| {
        let mut field = Some(field);
        if nested.read(d, key, &mut field)? {
            return Ok(());
        }
        let Some(field) = field else { return Ok(()) };
        if key == "ip" {
            ip = d.value(field, |scalar| address(&scalar.text))?;
            return Ok(());
        }
        read_member_key(d, key, field, &mut member)
    })?;
    let Some(seen) = seen else { return Ok(Listed::Wrong) };
    let is_pool = seen.place("pool").is_some();
    if let Some(pool) = nested.finish(d, member.weight, member.enabled, &seen) {
        return Ok(Listed::Pool(pool));
    }
    if seen.place("cname").is_some() && !is_pool {
        let is_read = member.cname.is_some();
        let named = is_read.then(|| finish_named(d, member, at, seen.place("ip").is_some()));
        return Ok(named.map_or(Listed::Wrong, Listed::Member));
    }
    if seen.place("ip").is_none() && !is_pool {
        let accepted = "IPv4 and IPv6 addresses, or in its place `pool` with a pool's name";
        d.error(at, Cause::MissingKey { key: "ip", section: LISTED_MEMBER.title, accepted });
    }
    Ok(ip.map_or(Listed::Wrong, |ip| Listed::Member(finish_member(d, member, ip))))
}

fn read_member_key<'t>(
    d: &mut Decoder<'t, '_>,
    key: &'static str,
    field: Field<'t>,
    member: &mut Member,
) -> Read<()> {
    match key {
        "name" => {
            let name = d.value(field, |scalar| text_chars(&scalar.text, MAX_NAME_CHARS))?;
            member.name = name.map(|name| name.value).unwrap_or_default();
        }
        "weight" => {
            let weight = d.value(field, integer(0..=65_535))?;
            member.weight = weight.map_or(DEFAULT_WEIGHT, |weight| weight.value);
        }
        "capacity" => {
            member.capacity = d.value(field, integer(1..=MAX_UNITS))?.map(|capacity| capacity.value);
        }
        "enabled" => member.enabled = d.value(field, boolean)?.is_none_or(|enabled| enabled.value),
        "monitor_ip" => {
            let ip = d.value(field, |scalar| probe_address(&scalar.text))?;
            member.monitor_ip = ip.map(|ip| ip.value);
        }
        "coordinates" => member.coordinates = read_coordinates(d, field)?,
        _ => read_member_name(d, key, field, member)?,
    }
    Ok(())
}

/// A member of which nothing is known yet.
fn new_member() -> Member {
    let ip = IpAddr::from([0, 0, 0, 0]);
    Member {
        ip,
        cname: None,
        hostname: None,
        name: String::new(),
        weight: DEFAULT_WEIGHT,
        capacity: None,
        enabled: true,
        monitor_ip: None,
        coordinates: None,
    }
}

/// Gives a member its address, and where it has no name of its own, the address as name.
fn finish_member(d: &mut Decoder<'_, '_>, mut member: Member, ip: Placed<IpAddr>) -> Placed<Member> {
    warn_if_unreachable(d, &ip);
    member.ip = ip.value;
    if member.name.is_empty() {
        member.name = ip.value.to_string();
    }
    Placed { value: member, span: ip.span }
}

/// Warns about an address that no client can open a connection to, wherever it stands.
pub(super) fn warn_if_unreachable(d: &mut Decoder<'_, '_>, ip: &Placed<IpAddr>) {
    let address = ip.value;
    let is_unreachable = match address {
        IpAddr::V4(v4) => v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast(),
        // A record has no room for the interface that a link-local address needs.
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local(),
    };
    if is_unreachable {
        d.warning(ip.span, Cause::UnreachableAddress { address });
    }
}
