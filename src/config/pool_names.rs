//! Names in pools: members that are names, hosts of members, and the alias that stands for a pool.
//!
//! Reads their keys; what they may be used for is checked with the names that use them (`steered`).

use std::net::{IpAddr, Ipv6Addr};

use super::decode::{Decoder, Field, Placed, Read, Section, key};
use super::model::{Fallback, Member, Monitors, NamedMonitor, OwnerName, Probe};
use super::report::Span;
use super::steered::{SteeredCause, host};
use crate::config::cause::{Cause, Found};

/// A fallback that is an alias.
pub(super) static FALLBACK: Section =
    Section { title: "`fallback`", keys: &[key("cname")], may_be_empty: false };

/// The prefix whose addresses lead nowhere (RFC 6666): those of members that are names.
const NOWHERE: [u8; 8] = [1, 0, 0, 0, 0, 0, 0, 0];

/// Reads the keys of a member that are names.
pub(super) fn read_member_name<'t>(
    d: &mut Decoder<'t, '_>,
    key: &'static str,
    field: Field<'t>,
    member: &mut Member,
) -> Read<()> {
    let into = match key {
        "cname" => &mut member.cname,
        "hostname" => &mut member.hostname,
        _ => return d.skip(&field.node),
    };
    *into = d.value(field, host)?.map(|name| name.value);
    Ok(())
}

/// A member that is a name: it is told from others by an address made of that, and called by it.
pub(super) fn finish_named(
    d: &mut Decoder<'_, '_>,
    mut member: Member,
    at: Span,
    has_ip: bool,
) -> Placed<Member> {
    if has_ip {
        d.error(at, SteeredCause::IpAndCname.into());
    }
    if let Some(cname) = &member.cname {
        member.ip = stand_in(cname);
        if member.name.is_empty() {
            member.name = cname.to_string();
        }
    }
    Placed { value: member, span: at }
}

/// An address that leads nowhere and belongs to a name: the same in every configuration.
fn stand_in(name: &OwnerName) -> IpAddr {
    // FNV-1a: spread is all that is asked, and the standard library's hash may change.
    let hash = name.as_wire().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&NOWHERE);
    octets[8..].copy_from_slice(&hash.to_be_bytes());
    IpAddr::V6(Ipv6Addr::from(octets))
}

/// Reports members that are names, and of which nothing is said that could be probed.
pub(super) fn check_probed(
    d: &mut Decoder<'_, '_>,
    members: &[Member],
    places: &[Span],
    monitors: &Monitors,
) {
    let is_probed = |one: &NamedMonitor| {
        !matches!(one.monitor.probe, Probe::Forced { .. } | Probe::Push { .. }) && one.monitor_ip.is_none()
    };
    if !monitors.list.iter().any(is_probed) {
        return;
    }
    for (member, at) in members.iter().zip(places) {
        if member.cname.is_some() && member.monitor_ip.is_none() {
            d.error(*at, SteeredCause::NothingToProbe { name: Found::new(&member.shown()) }.into());
        }
    }
}

/// Reads a fallback that is a mapping: `{cname: NAME}`.
pub(super) fn read_alias<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Fallback> {
    let at = field.at;
    let mut name = None;
    let seen = d.small_section::<1>(field, &FALLBACK, |d, _, field| {
        name = d.value(field, host)?;
        Ok(())
    })?;
    if seen.is_some_and(|seen| seen.place("cname").is_none()) {
        d.error(at, Cause::MissingKey { key: "cname", section: FALLBACK.title, accepted: "" });
    }
    Ok(name.map_or(Fallback::Any, |name| Fallback::Cname(name.value)))
}
