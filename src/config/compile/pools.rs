//! Pools of the model to pools of a snapshot: members into families and regions, addresses into records.
//!
//! Cannot fail; knows no names.

use std::net::IpAddr;

use super::preferences::{Clients, Item, preferences};
use crate::config::model;
use crate::state::hash_slots::HashSlots;
use crate::state::pool::{Candidate, Fallback, Family, FamilyPool, Method, Pool, PoolRules, push_record};
use crate::state::topology::Topology;

/// Compiles a pool; `first_member` and `first_rotation` count over all pools before it.
pub(super) fn compile_pool(
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
    };
    let method = match model.method {
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
    let v4 = compile_family(model, rules, Family::V4, addresses, (topology, clients), first_rotation);
    let first_rotation = first_rotation + v4.rotation_count() as u32;
    let v6 = compile_family(model, rules, Family::V6, addresses, (topology, clients), first_rotation);
    Pool { rules, v4, v6 }
}

fn compile_family(
    model: &model::Pool,
    rules: PoolRules,
    family: Family,
    fallbacks: &[IpAddr],
    (topology, clients): (&Topology, &Clients<'_>),
    first_rotation: u32,
) -> FamilyPool {
    let mut candidates = Vec::new();
    let mut items = Vec::new();
    let mut records = Vec::new();
    let mut has_members = false;
    for (index, member) in model.members.iter().enumerate() {
        if Family::of(member.ip) != family || !member.enabled {
            continue;
        }
        has_members = true;
        if member.weight > 0 {
            let region = topology.lookup(member.ip).region.and_then(|number| clients.region_of(number));
            items.push(Item { region, coordinates: member.coordinates });
            candidates.push(Candidate { member: index as u16, weight: member.weight, region: None });
            push_record(&mut records, family, member.ip);
        }
    }
    let fallback_at = candidates.len();
    for (index, address) in fallbacks.iter().enumerate().filter(|(_, a)| Family::of(**a) == family) {
        candidates.push(Candidate { member: (model.members.len() + index) as u16, weight: 1, region: None });
        push_record(&mut records, family, *address);
    }
    let sought = preferences(&model.method, rules.pool_id, &items, clients);
    for (candidate, place) in candidates.iter_mut().zip(sought.places) {
        candidate.region = place;
    }
    let preferences = sought.preferences;
    let slots = match model.method {
        model::Method::Hash { prefix_v4, prefix_v6 } if fallback_at > 0 => {
            let address =
                |candidate: &Candidate| (model.members[usize::from(candidate.member)].ip, candidate.weight);
            let weighted: Vec<(IpAddr, u32)> = candidates[..fallback_at].iter().map(address).collect();
            Some(HashSlots::new(&weighted, [prefix_v4, prefix_v6]))
        }
        _ => None,
    };
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
        first_rotation,
    }
}
