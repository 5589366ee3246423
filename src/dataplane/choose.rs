//! What is answered: policy, without octets.
//!
//! Which member comes next is not decided here but by the pool's rotation, when the reply is rendered.

use std::net::IpAddr;

use super::lookup::{Found, InZone};
use super::parse::Query;
use crate::state::pool::Family;
use crate::state::rotation::{DrawFrom, RotationTable};
use crate::state::snapshot::{Binding, Shape, Snapshot};
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
        in_zone: InZone<'s>,
    },
    /// A static RRset.
    Static(&'s Template, InZone<'s>),
    /// The minimal answer to ANY (RFC 8482 §4.2).
    Hinfo,
    /// One TXT record of class CH.
    Chaos(&'s [u8]),
    /// The name exists, the type does not.
    NoData(InZone<'s>),
    /// The name does not exist.
    NxDomain(InZone<'s>),
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
    if let Some(pool_id) = in_zone.zone.refused_with_pool {
        let pool = &snapshot.pools[pool_id as usize];
        if rotations.is_exhausted(pool_id as usize, pool, &snapshot.health) {
            return Choice::Refused;
        }
    }
    match shape {
        None => Choice::NxDomain(in_zone),
        Some(shape) => choose_rrset(snapshot, client, query, shape, in_zone),
    }
}

#[inline]
fn choose_rrset<'s>(
    snapshot: &'s Snapshot,
    client: IpAddr,
    query: &Query<'_>,
    shape: &'s Shape,
    in_zone: InZone<'s>,
) -> Choice<'s> {
    if let Some(binding) = shape.binding {
        match query.qtype {
            Rtype::A => return choose_pool(snapshot, client, query, binding, Family::V4, in_zone),
            Rtype::AAAA => return choose_pool(snapshot, client, query, binding, Family::V6, in_zone),
            _ => {}
        }
    }
    if let Some(rrset) = shape.rrsets.iter().find(|rrset| rrset.rtype == query.qtype) {
        return Choice::Static(&rrset.template, in_zone);
    }
    let owns_something = shape.binding.is_some() || !shape.rrsets.is_empty();
    if query.qtype == Rtype::ANY && owns_something {
        return Choice::Hinfo;
    }
    Choice::NoData(in_zone)
}

#[inline]
fn choose_pool<'s>(
    snapshot: &'s Snapshot,
    client: IpAddr,
    query: &Query<'_>,
    binding: Binding,
    family: Family,
    in_zone: InZone<'s>,
) -> Choice<'s> {
    let pool_id = binding.pool as usize;
    let pool = &snapshot.pools[pool_id];
    let family = pool.family(family);
    if !family.has_members {
        return Choice::NoData(in_zone);
    }
    let (mut scope, mut scope_len) = (0, 0);
    if !family.regions.is_empty() {
        let subnet = query.client_subnet.and_then(|subnet| subnet.address());
        let place = snapshot.topology.lookup(subnet.unwrap_or(client));
        if let Some(region) = place.region
            && let Ok(index) = family.regions.binary_search(&region)
        {
            scope = 1 + index;
        }
        scope_len = place.uniform_len;
    }
    let from = DrawFrom { pool_id, pool, family, scope };
    Choice::Pool { from, ttl_secs: binding.ttl_secs, scope_len, in_zone }
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
