//! Which pool answers a query, and for whom: policy, without octets.
//!
//! Which member comes next is not decided here but by the pool's rotation, when the reply is rendered; what no pool answers is
//! `resolve`'s.

use std::net::IpAddr;

use super::lookup::Owner;
use super::parse::Query;
use super::trace::{ClientPlace, Step, Trace};
use crate::state::pool::{Family, FamilyPool};
use crate::state::rotation::hashed_scope;
use crate::state::snapshot::{Binding, Snapshot};
use crate::state::topology::Match;
use crate::state::ttl::Ttl;

/// Addresses to be drawn from a pool.
#[derive(Clone, Copy)]
pub struct PoolChoice<'s> {
    /// The pool's members of the family asked for.
    pub family: &'s FamilyPool,
    /// Which of the family's rotations: 0 over all, else that of a region.
    pub scope: usize,
    /// TTL of the records.
    pub ttl: Ttl,
    /// For whom the same answer holds: the client subnet's scope.
    pub scope_len: u8,
}

/// Decides from which pool a query is answered, if from any, where addresses are all it takes: not where signatures go along.
#[inline(always)]
pub fn choose_pool<'s, T: Trace>(
    trace: T,
    snapshot: &'s Snapshot,
    client: &IpAddr,
    query: Query<'_>,
    owner: Owner<'s>,
) -> Option<PoolChoice<'s>> {
    let binding = owner.binding(snapshot)?;
    if binding.signed != 0 && query.wants_signatures() {
        return None;
    }
    choose_bound(trace, snapshot, client, query, binding)
}

/// Decides from which pool a query is answered, if from any, whatever goes along.
pub fn choose_any_pool<'s, T: Trace>(
    trace: T,
    snapshot: &'s Snapshot,
    client: &IpAddr,
    query: Query<'_>,
    owner: Owner<'s>,
) -> Option<PoolChoice<'s>> {
    choose_bound(trace, snapshot, client, query, owner.binding(snapshot)?)
}

/// Decides from which pool a query for addresses of whatever family is answered, if from any.
pub fn choose_either_family<'s, T: Trace>(
    trace: T,
    snapshot: &'s Snapshot,
    client: &IpAddr,
    query: Query<'_>,
    owner: Owner<'s>,
) -> Option<PoolChoice<'s>> {
    let binding = owner.binding(snapshot)?;
    let of = |family| choose_in_family(trace, snapshot, client, query, binding, family);
    of(Family::V4).or_else(|| of(Family::V6))
}

/// Decides who of a pool's family answers, whatever was asked.
pub fn choose_members<'s, T: Trace>(
    trace: T,
    snapshot: &'s Snapshot,
    client: &IpAddr,
    query: Query<'_>,
    (pool, ttl): (u32, Ttl),
    family: Family,
) -> Option<PoolChoice<'s>> {
    choose_in_family(trace, snapshot, client, query, Binding { pool, ttl, signed: 0 }, family)
}

#[inline(always)]
fn choose_bound<'s, T: Trace>(
    trace: T,
    snapshot: &'s Snapshot,
    client: &IpAddr,
    query: Query<'_>,
    binding: Binding,
) -> Option<PoolChoice<'s>> {
    choose_in_family(trace, snapshot, client, query, binding, Family::asked_by(query.qtype())?)
}

#[inline(always)]
fn choose_in_family<'s, T: Trace>(
    trace: T,
    snapshot: &'s Snapshot,
    client: &IpAddr,
    query: Query<'_>,
    binding: Binding,
    family: Family,
) -> Option<PoolChoice<'s>> {
    let family = snapshot.pools[binding.pool as usize].family(family);
    if !family.has_members {
        trace.note(|| Step::NoFamily { pool: binding.pool });
        return None;
    }
    let (scope, scope_len) = choose_scope(trace, snapshot, client, query, family);
    Some(PoolChoice { family, scope, ttl: binding.ttl, scope_len })
}

/// Which rotation of a pool's family is the client's, and for whom the same holds.
#[inline(always)]
fn choose_scope<T: Trace>(
    trace: T,
    snapshot: &Snapshot,
    client: &IpAddr,
    query: Query<'_>,
    family: &FamilyPool,
) -> (usize, u8) {
    let note = |address, is_subnet, place| trace.note(|| Step::Client { family, address, is_subnet, place });
    if !family.is_by_client {
        note(*client, false, ClientPlace::Anywhere);
        return (0, 0);
    }
    let subnet = query.options.client_subnet.and_then(|subnet| subnet.address());
    let address = subnet.unwrap_or(*client);
    if let Some(slots) = &family.slots {
        let (slot, prefix_len) = slots.slot_of(address);
        match slots.is_chance() {
            true => note(address, subnet.is_some(), ClientPlace::Anywhere),
            false => note(address, subnet.is_some(), ClientPlace::Slot { slot, prefix_len }),
        }
        return (hashed_scope(slot), prefix_len);
    }
    let place = snapshot.topology.lookup(address);
    let Match { region, uniform_len } = place;
    note(address, subnet.is_some(), ClientPlace::Region { region, uniform_len });
    (place.region.map_or(0, |region| family.preferences.scope_of(region)), place.uniform_len)
}
