//! How what all clients ask of a pool is spread over them: where nothing is said of it, so that each place carries what its members
//! weigh when all are up.
//!
//! Clients whose first choice is a place bring together what the members there weigh. Those without a choice, and those outside
//! every region, count as the lightest place that has somebody. By the client's network all slots count alike. A and AAAA have the
//! demand that the members of their family weigh. Knows no states.

use std::collections::HashMap;

use crate::config::model;
use crate::state::clients::Clients;
use crate::state::hash_slots::HashSlots;
use crate::state::pool::{Candidate, Family, FamilyPool};
use crate::state::preference::Preferences;
use crate::state::rotation::hashed_scope;
use crate::state::topology::RegionId;

/// What of the demand is asked for in A, and what in AAAA.
pub fn family_demands(model: &model::Pool) -> [f64; 2] {
    let weights = Family::ALL.map(|family| model.serving_weight(family) as f64);
    let all = weights[0] + weights[1];
    weights.map(|weight| if all > 0.0 { model.demand_units() as f64 * weight / all } else { 0.0 })
}

/// Which numbers clients have.
#[derive(Clone, Debug, Default)]
pub struct Populated {
    /// Whether there are addresses outside every region.
    pub outside: bool,
    /// By number of a region or a kind of clients, whether it has addresses.
    pub numbers: Vec<bool>,
}

impl Populated {
    /// Of a topology, whose numbers stand for these.
    pub fn new(topology: &model::Topology, clients: &Clients) -> Populated {
        // Whether a database has somebody in a region is not looked for; kinds are made for somebody.
        let by_database = topology.located.is_some();
        let regions = topology.regions.len();
        let mut numbers: Vec<bool> =
            clients.iter().map(|(at, _)| by_database || usize::from(at.0) >= regions).collect();
        for (_, region) in &topology.prefixes {
            numbers[usize::from(*region)] = true;
        }
        let whole = topology.prefixes.iter().filter(|(net, _)| net.prefix_len() == 0).count();
        Populated { outside: whole < 2, numbers }
    }
}

/// The part of a family's demand that clients outside every region bring, then by number; in sum 1.
pub fn number_parts(members: &[Candidate], preferences: &Preferences, populated: &Populated) -> Vec<f64> {
    let mut weights: HashMap<Option<RegionId>, f64> = HashMap::new();
    for member in members {
        *weights.entry(member.region).or_default() += f64::from(member.weight);
    }
    let lightest = weights.values().copied().fold(f64::INFINITY, f64::min);
    let lightest = if lightest.is_finite() { lightest } else { 1.0 };
    let first_of = |number: usize| -> Option<RegionId> {
        let scope = preferences.scope_of(RegionId(number as u16)).checked_sub(1)?;
        preferences.distinct().get(scope)?.regions.first().copied()
    };
    let firsts: Vec<Option<RegionId>> = (0..populated.numbers.len()).map(first_of).collect();
    let mut rivals: HashMap<RegionId, u32> = HashMap::new();
    for (first, _) in firsts.iter().zip(&populated.numbers).filter(|(_, is_there)| **is_there) {
        first.iter().for_each(|first| *rivals.entry(*first).or_default() += 1);
    }
    let of_number = |(first, is_there): (&Option<RegionId>, &bool)| match first {
        _ if !is_there => 0.0,
        None => lightest,
        Some(first) => weights.get(&Some(*first)).copied().unwrap_or(lightest) / f64::from(rivals[first]),
    };
    let outside = if populated.outside { weights.get(&None).copied().unwrap_or(lightest) } else { 0.0 };
    let mut parts: Vec<f64> =
        std::iter::once(outside).chain(firsts.iter().zip(&populated.numbers).map(of_number)).collect();
    let sum: f64 = parts.iter().sum();
    parts.iter_mut().for_each(|part| *part /= sum.max(f64::MIN_POSITIVE));
    parts
}

/// The same by scope.
pub(super) fn scope_parts(
    members: &[Candidate],
    preferences: &Preferences,
    populated: &Populated,
) -> Vec<f64> {
    let mut parts = vec![0.0; 1 + preferences.distinct().len()];
    if preferences.is_empty() {
        parts[0] = 1.0;
        return parts;
    }
    for (place, part) in number_parts(members, preferences, populated).into_iter().enumerate() {
        let number = place.checked_sub(1).map(|number| RegionId(number as u16));
        parts[number.map_or(0, |number| preferences.scope_of(number))] += part;
    }
    parts
}

/// The scopes of a family that have somebody, with the part of its demand in each.
pub fn scopes(family: &FamilyPool, populated: &Populated) -> Vec<(usize, f64)> {
    if let Some(slots) = family.slots.as_ref().filter(|slots: &&HashSlots| !slots.is_chance()) {
        return (0..slots.len()).map(|slot| (hashed_scope(slot), 1.0 / slots.len() as f64)).collect();
    }
    let parts = scope_parts(&family.candidates[..family.fallback_at], &family.preferences, populated);
    parts.into_iter().enumerate().filter(|(_, part)| *part > 0.0).collect()
}
