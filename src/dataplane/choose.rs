//! What is answered: policy, without octets.
//!
//! Which member comes next is not decided here but by the pool's rotation, when the reply is rendered.

use std::net::IpAddr;

use super::lookup::{InZone, Owner, enclosing_zone};
use super::parse::Query;
use crate::state::pool::{Family, FamilyPool};
use crate::state::rotation::RotationTable;
use crate::state::snapshot::Snapshot;
use crate::state::template::Template;
use crate::wire::edns::ExtendedError;
use crate::wire::message::{Class, Rtype};

/// Addresses to be drawn from a pool.
#[derive(Clone, Copy)]
pub struct PoolChoice<'s> {
    /// The pool's members of the family asked for.
    pub family: &'s FamilyPool,
    /// Which of the family's rotations: 0 over all, else that of a region.
    pub scope: usize,
    /// TTL of the records in seconds.
    pub ttl_secs: u32,
    /// For whom the same answer holds: the client subnet's scope.
    pub scope_len: u8,
}

/// Everything that is not drawn.
#[derive(Clone, Copy)]
pub enum FixedChoice<'s> {
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
    /// Not to be answered here, and why, where that is worth telling.
    Refused(Option<ExtendedError>),
}

/// Decides from which pool a query is answered, if from any.
#[inline(always)]
pub fn choose_pool<'s>(
    snapshot: &'s Snapshot,
    client: &IpAddr,
    query: Query<'_>,
    owner: Owner<'s>,
) -> Option<PoolChoice<'s>> {
    let binding = owner.shape(snapshot).binding?;
    let family = Family::asked_by(query.qtype())?;
    let family = snapshot.pools[binding.pool as usize].family(family);
    if !family.has_members {
        return None;
    }
    let (scope, scope_len) = choose_scope(snapshot, client, query, family);
    Some(PoolChoice { family, scope, ttl_secs: binding.ttl_secs, scope_len })
}

/// Which rotation of a pool's family is the client's, and for whom the same holds.
#[inline(always)]
fn choose_scope(snapshot: &Snapshot, client: &IpAddr, query: Query<'_>, family: &FamilyPool) -> (usize, u8) {
    if family.regions.is_empty() {
        return (0, 0);
    }
    let subnet = query.options.client_subnet.and_then(|subnet| subnet.address());
    let place = snapshot.topology.lookup(subnet.unwrap_or(*client));
    (place.region.map_or(0, |region| family.regions.scope_of(region)), place.uniform_len)
}

/// Decides what a query is answered with that no pool answers.
pub fn choose_fixed<'s>(
    snapshot: &'s Snapshot,
    rotations: &mut RotationTable,
    query: &Query<'_>,
    owner: Option<Owner<'s>>,
) -> FixedChoice<'s> {
    match query.qclass() {
        Class::IN => {}
        Class::CH => return chaos(snapshot, query),
        _ => return FixedChoice::Refused(None),
    }
    let Some(in_zone) = owner.map(Owner::in_zone).or_else(|| enclosing_zone(snapshot, query)) else {
        return FixedChoice::Refused(Some(ExtendedError::NotAuthoritative));
    };
    // Zone transfers are not offered.
    if matches!(query.qtype(), Rtype::AXFR | Rtype::IXFR) {
        return FixedChoice::Refused(None);
    }
    if let Some(pool_id) = in_zone.zone(snapshot).refused_with_pool {
        let pool = &snapshot.pools[pool_id as usize];
        if rotations.is_exhausted(&snapshot.health, pool) {
            return FixedChoice::Refused(Some(ExtendedError::NoMemberUp));
        }
    }
    let Some(owner) = owner else { return FixedChoice::NxDomain(in_zone) };
    let shape = owner.shape(snapshot);
    if let Some(rrset) = shape.rrsets.iter().find(|rrset| rrset.rtype == query.qtype()) {
        return FixedChoice::Static(&rrset.template, in_zone);
    }
    let owns_something = shape.binding.is_some() || !shape.rrsets.is_empty();
    if query.qtype() == Rtype::ANY && owns_something {
        return FixedChoice::Hinfo;
    }
    FixedChoice::NoData(in_zone)
}

/// Questions about the server itself, by convention in class CH (RFC 4892 §2 for `id.server`).
#[cold]
fn chaos<'s>(snapshot: &'s Snapshot, query: &Query<'_>) -> FixedChoice<'s> {
    debug_assert_eq!(query.qclass(), Class::CH);
    if !matches!(query.qtype(), Rtype::TXT | Rtype::ANY) {
        return FixedChoice::Refused(None);
    }
    let is = |name: &[u8]| query.qname().eq_ignore_ascii_case(name);
    let text = if is(b"\x07version\x04bind\x00") || is(b"\x07version\x06server\x00") {
        &snapshot.protocol.version
    } else if is(b"\x02id\x06server\x00") || is(b"\x08hostname\x04bind\x00") {
        &snapshot.protocol.id
    } else {
        &None
    };
    text.as_deref().map_or(FixedChoice::Refused(None), FixedChoice::Chaos)
}
