//! What is answered: policy, without octets.
//!
//! Which member comes next is not decided here but by the pool's rotation, when the reply is rendered.

use std::net::IpAddr;

use super::lookup::{Found, InZone};
use super::parse::Query;
use crate::state::pool::{Family, FamilyPool};
use crate::state::rotation::{DrawFrom, RotationTable};
use crate::state::snapshot::Snapshot;
use crate::state::template::Template;
use crate::wire::message::{Class, Rtype};

/// What goes into the reply.
#[derive(Clone, Copy)]
pub enum Choice<'s> {
    /// Addresses drawn from a pool.
    Pool {
        /// The pool, its family and its scope.
        from: DrawFrom<'s>,
        /// TTL of the records in seconds.
        ttl_secs: u32,
        /// For whom the same answer holds: the client subnet's scope.
        scope_len: u8,
        /// The zone, for a negative answer when nothing can be drawn.
        in_zone: InZone,
    },
    /// A static RRset.
    Static(&'s Template, InZone),
    /// The minimal answer to ANY (RFC 8482 §4.2).
    Hinfo,
    /// One TXT record of class CH.
    Chaos(&'s [u8]),
    /// The name exists, the type does not.
    NoData(InZone),
    /// The name does not exist.
    NxDomain(InZone),
    /// Not to be answered here.
    Refused,
}

/// Decides what a query is answered with.
#[inline]
pub fn choose<'s>(
    snapshot: &'s Snapshot,
    rotations: &mut RotationTable,
    client: IpAddr,
    query: &Query<'_>,
    found: Found<'s>,
) -> Choice<'s> {
    if let Found::Name(shape, in_zone) = found
        && let Some(binding) = shape.binding
        && let Some(family) = Family::asked_by(query.qtype)
    {
        let pool = &snapshot.pools[binding.pool as usize];
        let family = pool.family(family);
        if family.has_members {
            let (scope, scope_len) = choose_scope(snapshot, client, query, family);
            let from = DrawFrom { pool_id: binding.pool as usize, pool, family, scope };
            return Choice::Pool { from, ttl_secs: binding.ttl_secs, scope_len, in_zone };
        }
    }
    choose_static(snapshot, rotations, query, found)
}

/// Which rotation of a pool's family is the client's, and for whom the same holds.
#[inline]
fn choose_scope(snapshot: &Snapshot, client: IpAddr, query: &Query<'_>, family: &FamilyPool) -> (usize, u8) {
    if family.regions.is_empty() {
        return (0, 0);
    }
    let subnet = query.client_subnet.and_then(|subnet| subnet.address());
    let place = snapshot.topology.lookup(subnet.unwrap_or(client));
    let index = place.region.and_then(|region| family.regions.binary_search(&region).ok());
    (index.map_or(0, |index| 1 + index), place.uniform_len)
}

/// Everything that is not drawn.
#[inline(never)]
fn choose_static<'s>(
    snapshot: &'s Snapshot,
    rotations: &mut RotationTable,
    query: &Query<'_>,
    found: Found<'s>,
) -> Choice<'s> {
    let (shape, in_zone) = match found {
        Found::Name(shape, in_zone) => (Some(shape), in_zone),
        Found::NxDomain(in_zone) => (None, in_zone),
        Found::Chaos => return chaos(snapshot, query),
        Found::Refused => return Choice::Refused,
    };
    // Zone transfers are not offered.
    if matches!(query.qtype, Rtype::AXFR | Rtype::IXFR) {
        return Choice::Refused;
    }
    if let Some(pool_id) = in_zone.zone(snapshot).refused_with_pool {
        let pool = &snapshot.pools[pool_id as usize];
        if rotations.is_exhausted(pool_id as usize, pool, &snapshot.health) {
            return Choice::Refused;
        }
    }
    let Some(shape) = shape else { return Choice::NxDomain(in_zone) };
    if let Some(rrset) = shape.rrsets.iter().find(|rrset| rrset.rtype == query.qtype) {
        return Choice::Static(&rrset.template, in_zone);
    }
    let owns_something = shape.binding.is_some() || !shape.rrsets.is_empty();
    if query.qtype == Rtype::ANY && owns_something {
        return Choice::Hinfo;
    }
    Choice::NoData(in_zone)
}

/// Questions about the server itself, by convention in class CH (RFC 4892 §2 for `id.server`).
#[cold]
fn chaos<'s>(snapshot: &'s Snapshot, query: &Query<'_>) -> Choice<'s> {
    debug_assert_eq!(query.qclass, Class::CH);
    if !matches!(query.qtype, Rtype::TXT | Rtype::ANY) {
        return Choice::Refused;
    }
    let is = |name: &[u8]| query.qname().eq_ignore_ascii_case(name);
    let text = if is(b"\x07version\x04bind\x00") || is(b"\x07version\x06server\x00") {
        &snapshot.protocol.version
    } else if is(b"\x02id\x06server\x00") || is(b"\x08hostname\x04bind\x00") {
        &snapshot.protocol.id
    } else {
        &None
    };
    text.as_deref().map_or(Choice::Refused, Choice::Chaos)
}
