//! What each single failure puts on the other members of a pool: by the pool's own rotations, so by whatever steers it.
//!
//! A pool's demand is spread over its clients: of each region as much as the members there weigh; a region without any, and
//! clients outside every region, count as the lightest region that has some. By the client's network all slots count alike. A and
//! AAAA have the demand that the members of their family weigh. Probes nobody, and changes no health but of the table it is given.

use std::collections::BTreeMap;

use super::cause::{Cause, Found};
use super::compile::compile_pool;
use super::model;
use super::report::Span;
use crate::state::health_table::{HealthTable, State, Word};
use crate::state::pool::{Family, FamilyPool, Pool};
use crate::state::rotation::{RotationTable, hashed_scope};
use crate::state::topology::{RegionId, Topology};

/// Above its capacity is who carries more than this part of it above: sums of shares are rounded.
const SLACK: f64 = 1e-9;
/// Failures of a pool that are tried at load at most; those of the heaviest members come first, then regions.
const MAX_TRIED: usize = 64;
/// Members looked at in all trials of one load: some hundredths of a second.
const MAX_LOOKS: usize = 20_000_000;
/// In pools of more scopes times members a scope is looked at again only where who fails was drawn.
const MAX_WHOLE: usize = 1 << 16;

/// Who fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// Nobody.
    Nobody,
    /// A member, by its index.
    Member(u16),
    /// All members in a region, of which there is one at least.
    Region(RegionId, Vec<u16>),
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
pub fn failures(pool: &Pool) -> Vec<Failed> {
    let mut members: Vec<u16> = Vec::new();
    let mut regions: BTreeMap<RegionId, Vec<u16>> = BTreeMap::new();
    for family in [&pool.v4, &pool.v6] {
        for candidate in &family.candidates[..family.fallback_at] {
            members.push(candidate.member);
            if let Some(region) = candidate.region {
                regions.entry(region).or_default().push(candidate.member);
            }
        }
    }
    members.sort_unstable();
    let members = members.into_iter().map(Failed::Member);
    let regions = regions.into_iter().map(|(region, members)| Failed::Region(region, members));
    [Failed::Nobody].into_iter().chain(members).chain(regions).collect()
}

/// What of the demand is asked for in A, and what in AAAA.
pub fn family_demands(model: &model::Pool) -> [f64; 2] {
    let most = match model.method {
        model::Method::Fogroup { first } => usize::from(first),
        _ => usize::MAX,
    };
    let weights = Family::ALL.map(|family| {
        let enabled = model.members.iter().filter(|m| m.enabled && Family::of(m.ip) == family);
        enabled.take(most).map(|member| f64::from(member.weight)).sum::<f64>()
    });
    let all = weights[0] + weights[1];
    weights.map(|weight| if all > 0.0 { model.demand_units() as f64 * weight / all } else { 0.0 })
}

/// Which places clients can be in.
pub struct Populated {
    /// Whether there are addresses outside every region.
    pub outside: bool,
    /// By region, whether it has prefixes.
    pub regions: Vec<bool>,
}

impl Populated {
    /// Of a topology.
    pub fn new(topology: &model::Topology) -> Populated {
        let mut regions = vec![false; topology.regions.len()];
        for (_, region) in &topology.prefixes {
            regions[usize::from(*region)] = true;
        }
        let whole = topology.prefixes.iter().filter(|(net, _)| net.prefix_len() == 0).count();
        Populated { outside: whole < 2, regions }
    }
}

/// The part of a family's demand in each place: outside every region, then by region; in sum 1.
pub fn region_parts(family: &FamilyPool, populated: &Populated) -> Vec<f64> {
    let mut parts = vec![0.0; 1 + populated.regions.len()];
    for candidate in &family.candidates[..family.fallback_at] {
        parts[candidate.region.map_or(0, |region| 1 + usize::from(region.0))] += f64::from(candidate.weight);
    }
    let lightest = parts.iter().copied().filter(|part| *part > 0.0).fold(f64::INFINITY, f64::min);
    let lightest = if lightest.is_finite() { lightest } else { 1.0 };
    let is_there = std::iter::once(populated.outside).chain(populated.regions.iter().copied());
    for (part, is_there) in parts.iter_mut().zip(is_there) {
        if !is_there {
            *part = 0.0;
        } else if *part == 0.0 {
            *part = lightest;
        }
    }
    let sum: f64 = parts.iter().sum();
    parts.iter().map(|part| part / sum.max(f64::MIN_POSITIVE)).collect()
}

/// The scopes of a family with the part of its demand in each.
pub fn scopes(family: &FamilyPool, populated: &Populated) -> Vec<(usize, f64)> {
    if let Some(slots) = &family.slots {
        return (0..slots.len()).map(|slot| (hashed_scope(slot), 1.0 / slots.len() as f64)).collect();
    }
    if family.preferences.is_empty() {
        return vec![(0, 1.0)];
    }
    let mut parts = vec![0.0; family.rotation_count()];
    for (place, part) in region_parts(family, populated).into_iter().enumerate() {
        let region = place.checked_sub(1).map(|region| RegionId(region as u16));
        parts[region.map_or(0, |region| family.preferences.scope_of(region))] += part;
    }
    parts.into_iter().enumerate().filter(|(_, part)| *part > 0.0).collect()
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
        Trial { pool, health, rotations, words, scopes, drawn }
    }

    /// What each member carries when these fail, in share units.
    pub fn loads(&mut self, failed: &Failed) -> Vec<f64> {
        let members = failed.members();
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
            let whole = family.slots.is_some() || scopes.len() * self.words.len() <= MAX_WHOLE;
            let member = |candidate: u16| usize::from(family.candidates[usize::from(candidate)].member);
            for scope in scopes {
                let was_drawn =
                    |(at, _): &(u16, f64)| is_failed.get(member(*at)).is_some_and(|failed| *failed);
                let drawn = if whole || scope.drawn.iter().any(was_drawn) {
                    self.rotations.shares(self.health, family, scope.number, &mut self.drawn);
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
        }
        let risen = members.iter().map(|at| (usize::from(*at), self.words[usize::from(*at)]));
        self.health.write(pool_id, risen);
        loads
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
pub(super) fn warn_of_overload<'p>(
    pools: impl Iterator<Item = (Span, &'p model::Pool)>,
    topology: &model::Topology,
    mut warn: impl FnMut(Span, Cause),
) {
    let mut places = None;
    let mut looks = MAX_LOOKS;
    for (at, model) in pools.filter(|(_, pool)| pool.members.iter().any(|m| m.capacity.is_some())) {
        let (compiled, populated) = places.get_or_insert_with(|| {
            let prefixes: Vec<_> = topology.prefixes.iter().map(|(net, r)| (*net, RegionId(*r))).collect();
            (Topology::new(&prefixes), Populated::new(topology))
        });
        let members = model.members.len();
        let scopes = match model.method {
            // A slot's order is made of all members.
            model::Method::Hash { .. } => 64 * members,
            model::Method::Twrr { .. } => members.min(1 + topology.regions.len()),
            _ => 1,
        };
        let each = (scopes * members).max(1);
        let pool_name = Found::new(&model.name);
        let Some(left) = looks.checked_sub(2 * each) else {
            warn(at, Cause::Untried { pool: pool_name, tried: 0, count: members });
            continue;
        };
        looks = left;
        let pool = [compile_pool(model, compiled, topology.regions.len(), 0, 0, 0)];
        let health = HealthTable::new([members]);
        health.write(0, (0..members).map(|member| (member, Word::new(State::Up, 0))));
        let mut rotations = RotationTable::new(&pool, 0);
        let spread = [&pool[0].v4, &pool[0].v6].map(|family| self::scopes(family, populated));
        let mut trial = Trial::new(&pool[0], &health, &mut rotations, family_demands(model), spread);
        let mut failures = failures(&pool[0]);
        // A region of one is that one.
        failures.retain(|failed| !matches!(failed, Failed::Region(_, members) if members.len() < 2));
        failures.sort_by_key(|failed| match failed {
            Failed::Nobody => (0, 0),
            Failed::Member(member) => (1, u32::MAX - model.members[usize::from(*member)].weight),
            Failed::Region(..) => (2, 0),
        });
        let tried = MAX_TRIED.min(1 + looks / each).min(failures.len());
        looks = looks.saturating_sub(tried * each);
        let mut worst: Option<(f64, &Failed, &model::Member, f64, u32)> = None;
        let mut cases = 0;
        for failed in &failures[..tried] {
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
        if let Some((_, failed, carrier, load, capacity)) = worst {
            let failed = match failed {
                Failed::Nobody => "with nobody failed".to_owned(),
                Failed::Member(member) => {
                    format!("if {} fails", Found::new(&model.members[usize::from(*member)].name))
                }
                Failed::Region(region, _) => {
                    format!("if region {} fails", Found::new(&topology.regions[usize::from(region.0)]))
                }
            };
            let (carrier, load) = (Found::new(&carrier.name), units_text(load));
            warn(at, Cause::Overload { pool: pool_name, failed, carrier, load, capacity, cases });
        } else if tried < failures.len() {
            warn(at, Cause::Untried { pool: pool_name, tried, count: failures.len() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{loaded, warnings};
    use super::*;

    fn text(method: &str, members: &str, more: &str) -> String {
        format!(
            "globalnames: {{a.example: web}}\nserver: {{ns: [ns.example.net]}}\npools:\n  web:\n    lb_method: {method}\n    \
             members: {members}\n    monitor: forced\n    monitor_params: {{status: up}}\n{more}"
        )
    }

    #[test]
    fn overload_by_a_single_failure_is_warned_about_once_a_pool() {
        // 300 in all: either of the others takes half of 100 or of 200, by weight 1 : 1 or 1 : 2.
        let members =
            "{192.0.2.1: {weight: 100}, 192.0.2.2: {weight: 100, capacity: 120}, 192.0.2.3: {weight: 100}}";
        assert_eq!(
            warnings(&text("wrr", members, "")),
            [
                "4:3: pool `web`: if `192.0.2.1` fails, `192.0.2.2` carries 150 of its 120 (the worst of 2 cases; `steerd plan \
                 --n-1` shows all)"
            ]
        );
        let enough = members.replace("120", "150");
        assert!(warnings(&text("wrr", &enough, "")).is_empty());
        assert_eq!(
            warnings(&text("wrr", &enough, "    demand: 600\n")),
            [
                "4:3: pool `web`: if `192.0.2.1` fails, `192.0.2.2` carries 300 of its 150 (the worst of 3 cases; `steerd plan \
                 --n-1` shows all)"
            ]
        );
    }

    #[test]
    fn loads_are_those_of_the_rotation() {
        let topology = "topology: {a: [10.1.0.0/16], b: [10.2.0.0/16], c: [10.3.0.0/16]}\n";
        let members = "{10.1.0.1: {weight: 10}, 10.1.0.2: {weight: 10}, 10.2.0.1: {weight: 5}}";
        let config = loaded(&text("twrr", members, topology));
        let snapshot = crate::config::compile::compile(&config, 1);
        let (model, pool) = (&config.pools[0], &snapshot.pools[0]);
        snapshot.health.write(0, (0..3).map(|member| (member, Word::new(State::Up, 0))));
        let mut rotations = RotationTable::new(&snapshot.pools, 3);
        let populated = Populated::new(&config.topology);
        // Outside and c count as b does: 5, 20, 5, 5 of 35.
        let parts = region_parts(&pool.v4, &populated);
        assert_eq!(parts.iter().map(|part| (part * 35.0).round()).collect::<Vec<_>>(), [5.0, 20.0, 5.0, 5.0]);
        let spread = [&pool.v4, &pool.v6].map(|family| scopes(family, &populated));
        let mut trial = Trial::new(pool, &snapshot.health, &mut rotations, family_demands(model), spread);
        let mut loads = |failed: &Failed| -> Vec<f64> {
            trial.loads(failed).iter().map(|load| (load * 7.0).round()).collect()
        };
        // In units of 25 / 35 = 5 / 7: 20 of a, and 10 of the others by 10 : 10 : 5.
        assert_eq!(loads(&Failed::Nobody), [70.0, 70.0, 35.0]);
        // a to its other; outside and c by 10 : 5.
        assert_eq!(loads(&Failed::Member(0)), [0.0, 133.0, 42.0]);
        assert_eq!(loads(&Failed::Region(RegionId(0), vec![0, 1])), [0.0, 0.0, 175.0]);
        assert_eq!(loads(&Failed::Nobody), [70.0, 70.0, 35.0], "nothing is left of a trial");
        assert_eq!(failures(pool).len(), 1 + 3 + 2);
    }
}
