//! Pools of the model to pools of a snapshot: members into families and regions, addresses into records.
//!
//! Cannot fail; knows no names.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::config::model;
use crate::config::model::Orders;
use crate::state::hash_slots::HashSlots;
use crate::state::pool::{Candidate, Fallback, Family, FamilyPool, Method, Pool, PoolRules, push_record};
use crate::state::preference::{Preference, Preferences};
use crate::state::topology::{RegionId, Topology};

/// Compiles a pool; `first_member` and `first_rotation` count over all pools before it.
pub(super) fn compile_pool(
    model: &model::Pool,
    topology: &Topology,
    region_count: usize,
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
        model::Method::Wrr | model::Method::Twrr { .. } => Method::Weighted,
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
    let v4 = compile_family(model, rules, Family::V4, addresses, (topology, region_count), first_rotation);
    let first_rotation = first_rotation + v4.rotation_count() as u32;
    let v6 = compile_family(model, rules, Family::V6, addresses, (topology, region_count), first_rotation);
    Pool { rules, v4, v6 }
}

fn compile_family(
    model: &model::Pool,
    rules: PoolRules,
    family: Family,
    fallbacks: &[IpAddr],
    (topology, region_count): (&Topology, usize),
    first_rotation: u32,
) -> FamilyPool {
    let mut candidates = Vec::new();
    let mut records = Vec::new();
    let mut has_members = false;
    for (index, member) in model.members.iter().enumerate() {
        if !member.is_of(family) || !member.enabled {
            continue;
        }
        has_members = true;
        if member.weight > 0 {
            let region = region_of(topology, member);
            candidates.push(Candidate { member: index as u16, weight: member.weight, region });
            push_record(&mut records, family, record_address(member, family));
        }
    }
    let fallback_at = candidates.len();
    for (index, address) in fallbacks.iter().enumerate().filter(|(_, a)| Family::of(**a) == family) {
        candidates.push(Candidate { member: (model.members.len() + index) as u16, weight: 1, region: None });
        push_record(&mut records, family, *address);
    }
    let preferences = match &model.method {
        model::Method::Twrr { next } => preferences(next.as_ref(), &candidates[..fallback_at], region_count),
        _ => Preferences::default(),
    };
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

/// The region of a member; a name is everywhere, and in none.
fn region_of(topology: &Topology, member: &model::Member) -> Option<RegionId> {
    if member.cname.is_some() { None } else { topology.lookup(member.ip).region }
}

/// The address in a member's record; that of a name is never told, and keeps the records in step with the candidates.
fn record_address(member: &model::Member, family: Family) -> IpAddr {
    match (&member.cname, family) {
        (None, _) => member.ip,
        (Some(_), Family::V4) => IpAddr::from([0; 4]),
        (Some(_), Family::V6) => IpAddr::from([0; 16]),
    }
}

/// Where the clients of each region look for members, as far as there are any.
fn preferences(orders: Option<&Orders>, members: &[Candidate], region_count: usize) -> Preferences {
    let own = members.iter().filter_map(|member| member.region);
    let Some(orders) = orders else { return Preferences::own_region_first(own) };
    let inhabited: HashSet<RegionId> = own.collect();
    let of_client = |client: u16| {
        let order = orders.by_region.get(&client).or(orders.others.as_ref());
        let next = order.map_or(&[][..], |order| &order.regions).iter().filter(|region| **region != client);
        let regions = std::iter::once(client).chain(next.copied()).map(RegionId);
        let regions: Box<[RegionId]> = regions.filter(|region| inhabited.contains(region)).collect();
        let then_anywhere = order.is_none_or(|order| order.then_anywhere);
        // Anywhere is where clients without a preference look.
        (!regions.is_empty() || !then_anywhere)
            .then_some((RegionId(client), Preference { regions, then_anywhere }))
    };
    Preferences::new((0..region_count as u16).filter_map(of_client))
}
