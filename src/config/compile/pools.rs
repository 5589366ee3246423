//! Pools of the model to pools of a snapshot: members into families and regions, addresses into records.
//!
//! Cannot fail; knows no names.

use std::collections::HashMap;
use std::net::IpAddr;

use super::demand::{family_demands, scope_parts};
use super::preferences::{Clients, Item, preferences};
use super::trees::{CompiledTree, compile_tree};
use crate::config::model;
use crate::state::hash_slots::HashSlots;
use crate::state::pool::{
    Candidate, Fallback, Family, FamilyPool, Leaves, Method, NO_CANDIDATE, Pool, PoolRules, push_record,
};
use crate::state::preference::Preferences;
use crate::state::room::{Room, Vessel};
use crate::state::topology::{RegionId, Topology};

/// Compiles a pool; `first_member` and `first_rotation` count over all pools before it.
pub(in crate::config) fn compile_pool(
    model: &model::Pool,
    topology: &Topology,
    clients: &Clients<'_>,
    pool_id: u32,
    first_member: u32,
    first_rotation: u32,
) -> Pool {
    let (fallback, addresses) = match &model.fallback {
        model::Fallback::Any => (Fallback::Any, &[][..]),
        model::Fallback::Refuse => (Fallback::Refuse, &[][..]),
        model::Fallback::Nodata => (Fallback::NoData, &[][..]),
        model::Fallback::Addresses(addresses) => (Fallback::Addresses, &addresses[..]),
        // What stands in for the pool is none of its records.
        model::Fallback::Cname(_) => (Fallback::NoData, &[][..]),
    };
    let method = match model.method {
        // Its tree knows who the first ones are.
        model::Method::Fogroup { .. } if model.tree.is_some() => Method::Weighted,
        model::Method::Wrr
        | model::Method::Twrr { .. }
        | model::Method::Nearest
        | model::Method::Latency { .. } => Method::Weighted,
        model::Method::Fogroup { first } => Method::FirstUp(first),
        model::Method::Random => Method::Random,
        model::Method::Hash { .. } => Method::Hashed,
    };
    let rules = PoolRules {
        pool_id,
        first_member,
        member_count: model.members.len() as u16,
        max_addrs_returned: model.max_addrs_returned,
        method,
        fallback,
    };
    let tree = model.tree.as_deref().map(|tree| compile_tree(tree, &model.members, topology, clients));
    let of = |family, first_rotation| {
        let tree = tree.as_ref();
        compile_family(model, rules, family, addresses, tree, (topology, clients), first_rotation)
    };
    let v4 = of(Family::V4, first_rotation);
    let first_rotation = first_rotation + v4.rotation_count() as u32;
    let v6 = of(Family::V6, first_rotation);
    Pool { rules, v4, v6 }
}

fn compile_family(
    model: &model::Pool,
    rules: PoolRules,
    family: Family,
    fallbacks: &[IpAddr],
    tree: Option<&CompiledTree>,
    (topology, clients): (&Topology, &Clients<'_>),
    first_rotation: u32,
) -> FamilyPool {
    let mut candidates = Vec::new();
    let mut items = Vec::new();
    let mut records = Vec::new();
    let mut has_members = false;
    let mut candidate_of = vec![NO_CANDIDATE; if tree.is_some() { model.members.len() } else { 0 }];
    let mut known: HashMap<IpAddr, u16> = HashMap::new();
    for (index, member) in model.members.iter().enumerate() {
        if !member.is_of(family) || !member.enabled {
            continue;
        }
        has_members = true;
        if member.weight > 0 {
            // Several pools of a tree may have the same address.
            if let Some(candidate_of) = candidate_of.get_mut(index) {
                let next = candidates.len() as u16;
                *candidate_of = *known.entry(member.ip).or_insert(next);
                if *candidate_of != next {
                    continue;
                }
            }
            let region = region_of(topology, clients, member);
            items.push(Item { region, coordinates: member.coordinates });
            candidates.push(Candidate { member: index as u16, weight: member.weight, region: None });
            push_record(&mut records, family, record_address(member, family));
        }
    }
    let fallback_at = candidates.len();
    for (index, address) in fallbacks.iter().enumerate().filter(|(_, a)| Family::of(**a) == family) {
        candidates.push(Candidate { member: (model.members.len() + index) as u16, weight: 1, region: None });
        push_record(&mut records, family, *address);
    }
    let sought = preferences(&model.method, rules.pool_id, &items, clients);
    for (candidate, place) in candidates.iter_mut().zip(sought.places) {
        candidate.region = match tree {
            Some(tree) => tree.places[usize::from(candidate.member)],
            None => place,
        };
    }
    // A tree has its own, at each of its pools.
    let preferences = tree.map_or(sought.preferences, |tree| tree.preferences.clone());
    let slots = match model.method {
        model::Method::Hash { prefix_v4, prefix_v6 } if fallback_at > 0 => {
            let address =
                |candidate: &Candidate| (model.members[usize::from(candidate.member)].ip, candidate.weight);
            let weighted: Vec<(IpAddr, u32)> = candidates[..fallback_at].iter().map(address).collect();
            Some(HashSlots::new(&weighted, [prefix_v4, prefix_v6]))
        }
        // Its scope leads past the usual rotation.
        model::Method::Random if preferences.is_empty() => Some(HashSlots::chance()),
        _ => None,
    };
    let room = compile_room(model, family, &candidates[..fallback_at], &preferences, clients);
    FamilyPool {
        rules,
        family,
        has_members,
        candidates: candidates.into(),
        fallback_at,
        records: records.into(),
        is_by_client: !preferences.is_empty() || slots.is_some(),
        preferences,
        slots,
        tree: tree.map(|tree| Leaves { tree: tree.tree.clone(), candidate_of: candidate_of.into() }),
        room,
        first_rotation,
    }
}

/// The region of a member; a name is everywhere, and in none.
pub(super) fn region_of(
    topology: &Topology,
    clients: &Clients<'_>,
    member: &model::Member,
) -> Option<RegionId> {
    let located = || topology.lookup(member.ip).region.and_then(|number| clients.region_of(number));
    if member.cname.is_some() { None } else { located() }
}

/// The address in a member's record; that of a name is never told, and keeps the records in step with the candidates.
fn record_address(member: &model::Member, family: Family) -> IpAddr {
    match (&member.cname, family) {
        (None, _) => member.ip,
        (Some(_), Family::V4) => IpAddr::from([0; 4]),
        (Some(_), Family::V6) => IpAddr::from([0; 16]),
    }
}

/// How load is divided, where a member has a capacity and neither clients' networks nor other pools decide.
fn compile_room(
    model: &model::Pool,
    family: Family,
    members: &[Candidate],
    preferences: &Preferences,
    clients: &Clients<'_>,
) -> Option<Room> {
    let of = |candidate: &Candidate| &model.members[usize::from(candidate.member)];
    let is_bound = members.iter().any(|candidate| of(candidate).capacity.is_some());
    if !is_bound || model.tree.is_some() || matches!(model.method, model::Method::Hash { .. }) {
        return None;
    }
    let vessel = |candidate: &Candidate| Vessel {
        weight: candidate.weight,
        capacity: of(candidate).capacity,
        region: candidate.region,
    };
    let vessels: Vec<Vessel> = members.iter().map(vessel).collect();
    let first_up = match model.method {
        model::Method::Fogroup { first } => Some(first),
        _ => None,
    };
    let demand = family_demands(model)[family as usize];
    let parts = scope_parts(members, preferences, clients.populated());
    let demands = parts.into_iter().map(|part| part * demand).collect();
    Some(Room::new(&vessels, preferences, demands, first_up))
}
