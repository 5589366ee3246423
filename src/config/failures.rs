//! What each single failure puts on the other members of a pool: by the pool's own rotations, so by whatever steers it.
//!
//! A pool's demand is spread over its clients as `compile/demand` says. Probes nobody, and changes no health but of the table it is
//! given.

use std::collections::{BTreeMap, HashSet};

use super::cause::{Cause, Found, Overload};
use super::compile::demand::{family_demands, scopes};
use super::compile::{Clients, compile_pool, locate};
use super::model;
use super::report::Span;
use crate::state::hash_slots::slot_count;
use crate::state::health_table::{HealthTable, State, Word};
use crate::state::pool::{FamilyPool, NO_CANDIDATE, Pool};
use crate::state::rotation::RotationTable;
use crate::state::topology::RegionId;

/// Above its capacity is who carries more than this part of it above: sums of shares are rounded.
const SLACK: f64 = 1e-9;
/// Members looked at in all trials of one load at most: about a tenth of a second. Enough for every failure of a pool of 1024; of
/// `hash`, whose slots have to be made for it, of some 128.
const MAX_LOOKS: usize = 5_000_000;
/// What making a slot's order costs for each member, in such looks.
const SLOT_LOOKS: usize = 4;
/// In pools of more scopes times members a scope is looked at again only where who fails was drawn.
const MAX_WHOLE: usize = 1 << 16;

/// Who fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// Nobody.
    Nobody,
    /// A member, by its index.
    Member(u16),
    /// All members in a region or place of this name, of which there is one at least.
    Region(String, Vec<u16>),
}

impl Failed {
    /// Indices of the members.
    pub fn members(&self) -> &[u16] {
        match self {
            Failed::Nobody => &[],
            Failed::Member(member) => std::slice::from_ref(member),
            Failed::Region(_, members) => members,
        }
    }
}

/// Nobody, each member that can be drawn, and each region that has some.
pub fn failures(pool: &Pool, regions: &[String]) -> Vec<Failed> {
    let mut members: Vec<u16> = Vec::new();
    let mut by_region: BTreeMap<String, Vec<u16>> = BTreeMap::new();
    for family in [&pool.v4, &pool.v6] {
        for candidate in &family.candidates[..family.fallback_at] {
            members.push(candidate.member);
            if let Some(name) = candidate.region.and_then(|number| place_name(family, number, regions)) {
                by_region.entry(name.to_owned()).or_default().push(candidate.member);
            }
        }
    }
    members.sort_unstable();
    let members = members.into_iter().map(Failed::Member);
    let regions = by_region.into_iter().map(|(region, members)| Failed::Region(region, members));
    [Failed::Nobody].into_iter().chain(members).chain(regions).collect()
}

/// What people call a region, or a place in its stead.
fn place_name<'n>(family: &'n FamilyPool, number: RegionId, regions: &'n [String]) -> Option<&'n str> {
    let at = usize::from(number.0);
    match family.preferences.places() {
        [] => regions.get(at).map(String::as_str),
        places => places.get(at).map(|place| &*place.name),
    }
}

/// A pool whose members fail as told.
pub struct Trial<'s> {
    pool: &'s Pool,
    health: &'s HealthTable,
    rotations: &'s mut RotationTable,
    /// States when nobody fails.
    words: Vec<Word>,
    /// By family its scopes, the demand of each, and who is drawn there when nobody fails.
    scopes: [Vec<Scope>; 2],
    drawn: Vec<(u16, f64)>,
    /// Members looked at so far.
    looks: usize,
}

struct Scope {
    number: usize,
    units: f64,
    drawn: Box<[(u16, f64)]>,
}

impl<'s> Trial<'s> {
    /// A trial, whose table nobody else writes. By family its demand, and how it is spread over scopes.
    pub fn new(
        pool: &'s Pool,
        health: &'s HealthTable,
        rotations: &'s mut RotationTable,
        demands: [f64; 2],
        spread: [Vec<(usize, f64)>; 2],
    ) -> Trial<'s> {
        let mut words = vec![Word::default(); usize::from(pool.rules.member_count)];
        health.read_each(pool.rules.pool_id as usize, &mut words);
        let mut drawn = Vec::new();
        let mut of = |family: &FamilyPool, demand: f64, spread: &[(usize, f64)]| {
            let scope = |(number, part): &(usize, f64)| {
                rotations.shares(health, family, *number, &mut drawn);
                Scope { number: *number, units: part * demand, drawn: drawn.as_slice().into() }
            };
            spread.iter().map(scope).collect::<Vec<_>>()
        };
        let scopes = [of(&pool.v4, demands[0], &spread[0]), of(&pool.v6, demands[1], &spread[1])];
        let looks =
            [&pool.v4, &pool.v6].into_iter().zip(&scopes).map(|(family, scopes)| looks(family, scopes.len()));
        let looks = looks.sum();
        Trial { pool, health, rotations, words, scopes, drawn, looks }
    }

    /// Members looked at so far, which is what time it takes goes by.
    pub fn looks(&self) -> usize {
        self.looks
    }

    /// These members, and those of the same address in other pools of a tree, which fails as one.
    fn with_twins(&self, members: &[u16]) -> Vec<u16> {
        let mut all = members.to_vec();
        for leaves in [&self.pool.v4, &self.pool.v6].into_iter().filter_map(|family| family.tree.as_ref()) {
            let candidate = |member: u16| leaves.candidate_of.get(usize::from(member)).copied();
            let failed: HashSet<u16> = members.iter().filter_map(|member| candidate(*member)).collect();
            let twins = (0..self.pool.rules.member_count).filter(|member| {
                candidate(*member).is_some_and(|at| at != NO_CANDIDATE && failed.contains(&at))
            });
            all.extend(twins.filter(|member| !members.contains(member)));
        }
        all
    }

    /// What each member carries when these fail, in share units.
    pub fn loads(&mut self, failed: &Failed) -> Vec<f64> {
        let members = &self.with_twins(failed.members())[..];
        let pool_id = self.pool.rules.pool_id as usize;
        let down = |word: Word| {
            let overridden = Word::new(State::Down, 0).with_weight_override(word.weight_override());
            overridden.with_permille(word.permille())
        };
        let fallen = members.iter().map(|at| (usize::from(*at), down(self.words[usize::from(*at)])));
        self.health.write(pool_id, fallen);
        let mut is_failed = vec![false; self.words.len()];
        members.iter().for_each(|at| is_failed[usize::from(*at)] = true);
        let mut loads = vec![0.0; self.words.len()];
        for (family, scopes) in [&self.pool.v4, &self.pool.v6].into_iter().zip(&self.scopes) {
            // What has no room in one scope is in the way of others.
            let is_coupled = family.slots.is_some() || family.room.is_some() || family.tree.is_some();
            let whole = is_coupled || scopes.len() * self.words.len() <= MAX_WHOLE;
            let member = |candidate: u16| usize::from(family.candidates[usize::from(candidate)].member);
            let mut renewed = 0;
            for scope in scopes {
                let was_drawn =
                    |(at, _): &(u16, f64)| is_failed.get(member(*at)).is_some_and(|failed| *failed);
                let drawn = if whole || scope.drawn.iter().any(was_drawn) {
                    self.rotations.shares(self.health, family, scope.number, &mut self.drawn);
                    renewed += 1;
                    &self.drawn[..]
                } else {
                    &scope.drawn
                };
                for (candidate, share) in drawn {
                    // Addresses of the fallback are no members.
                    if let Some(load) = loads.get_mut(member(*candidate)) {
                        *load += share * scope.units;
                    }
                }
            }
            self.looks += looks(family, renewed);
        }
        let risen = members.iter().map(|at| (usize::from(*at), self.words[usize::from(*at)]));
        self.health.write(pool_id, risen);
        loads
    }
}

/// What so many scopes of a family cost: each a look at all members; a slot hardly more than one.
fn looks(family: &FamilyPool, scopes: usize) -> usize {
    match &family.slots {
        Some(_) => scopes + family.candidates.len(),
        None => scopes * family.candidates.len(),
    }
}

/// Whether a load is above `most` times a capacity.
pub fn is_above(load: f64, capacity: u32, most: f64) -> bool {
    load > f64::from(capacity) * most * (1.0 + SLACK)
}

/// A load for people: whole, or with one decimal.
pub fn units_text(load: f64) -> String {
    let text = format!("{load:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Warns of each pool in which a single failure overloads somebody that has a capacity.
pub(super) fn warn_of_overload(config: &model::Config, places: &[Span], mut warn: impl FnMut(Span, Cause)) {
    let mut located = None;
    let mut left = MAX_LOOKS;
    let mut untried: Option<(Span, Cause)> = None;
    let topology = &config.topology;
    for (number, (model, at)) in (0..).zip(config.pools.iter().zip(places.iter().copied())) {
        if !model.members.iter().any(|member| member.capacity.is_some()) {
            continue;
        }
        let located = located.get_or_insert_with(|| locate(config));
        let clients = Clients::new(located, topology);
        let members = model.members.len();
        let to_make = match model.method {
            model::Method::Hash { .. } => slot_count(members) * members * SLOT_LOOKS,
            model::Method::Twrr { .. } | model::Method::Nearest | model::Method::Latency { .. } => {
                members * members.min(1 + topology.regions.len())
            }
            model::Method::Wrr | model::Method::Fogroup { .. } | model::Method::Random => members,
        };
        let mut give_up = |tried, count| match &mut untried {
            Some((_, Cause::Untried { more, .. })) => *more += 1,
            _ => {
                untried = Some((at, Cause::Untried { pool: Found::new(&model.name), tried, count, more: 0 }))
            }
        };
        if to_make > left {
            give_up(0, members);
            continue;
        }
        left -= to_make;
        let mut pool = compile_pool(model, located.topology(), &clients, number, 0, 0);
        // Alone in its table.
        for rules in [&mut pool.rules, &mut pool.v4.rules, &mut pool.v6.rules] {
            rules.pool_id = 0;
        }
        let pool = [pool];
        let health = HealthTable::new([members]);
        health.write(0, (0..members).map(|member| (member, Word::new(State::Up, 0))));
        let mut rotations = RotationTable::new(&pool, 0);
        let spread = [&pool[0].v4, &pool[0].v6].map(|family| scopes(family, clients.populated()));
        let mut trial = Trial::new(&pool[0], &health, &mut rotations, family_demands(model), spread);
        let mut failures = failures(&pool[0], &topology.regions);
        // A region of one is that one.
        failures.retain(|failed| !matches!(failed, Failed::Region(_, members) if members.len() < 2));
        failures.sort_by_key(|failed| match failed {
            Failed::Nobody => (0, 0),
            Failed::Member(member) => (1, u32::MAX - model.members[usize::from(*member)].weight),
            Failed::Region(..) => (2, 0),
        });
        let mut worst: Option<(f64, &Failed, &model::Member, f64, u32)> = None;
        let (mut cases, mut tried) = (0, 0);
        for failed in &failures {
            if trial.looks() > left {
                break;
            }
            tried += 1;
            let loads = trial.loads(failed);
            for (member, load) in model.members.iter().zip(loads) {
                let Some(capacity) = member.capacity else { continue };
                if is_above(load, capacity, 1.0) {
                    cases += 1;
                    let ratio = load / f64::from(capacity);
                    if worst.as_ref().is_none_or(|(most, ..)| ratio > *most) {
                        worst = Some((ratio, failed, member, load, capacity));
                    }
                }
            }
        }
        left = left.saturating_sub(trial.looks());
        if let Some((_, failed, carrier, load, capacity)) = worst {
            let failed = match failed {
                Failed::Nobody => "with nobody failed".to_owned(),
                Failed::Member(member) => {
                    format!("if {} fails", Found::new(&model.members[usize::from(*member)].name))
                }
                Failed::Region(region, _) => format!("if region {} fails", Found::new(region)),
            };
            let (carrier, load) = (Found::new(&carrier.name), units_text(load));
            let pool = Found::new(&model.name);
            let overload = Overload { pool, failed, carrier, load, capacity, cases };
            warn(at, Cause::Overload(Box::new(overload)));
        } else if tried < failures.len() {
            give_up(tried, failures.len());
        }
    }
    if let Some((at, cause)) = untried {
        warn(at, cause);
    }
}

#[cfg(test)]
mod tests;
