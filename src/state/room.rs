//! Members with a capacity: how the load of all clients of a pool is divided when some are missing, so that nobody gets more than
//! there is room for while there is room elsewhere.
//!
//! Load is water that is poured into vessels. Clients of each scope bring their demand, in the unit of weights; in each round it
//! is poured into the next region of their order, to members by weight, each up to its capacity, and what does not fit goes on to
//! the round behind it. Scopes that want the same region at once share its room by what they bring, so the division hangs on no
//! order among them. Nobody's load falls when another member fails: water only rises.
//!
//! Done when a rotation is rebuilt, for one scope at a time; a draw costs nothing of it. Knows no states; allocates nothing once
//! made.

use std::ops::Range;

use super::preference::Preferences;
use super::topology::RegionId;

/// Less than this part of the whole demand is nothing: what rounding leaves.
const NOTHING: f64 = 1e-9;

/// A member as its room is told of.
#[derive(Clone, Copy, Debug)]
pub struct Vessel {
    /// As configured; above 0.
    pub weight: u32,
    /// In the unit of weights; `None`: without a bound.
    pub capacity: Option<u32>,
    /// Its region, as the preferences number them.
    pub region: Option<RegionId>,
}

/// The room in a family of a pool.
#[derive(Clone, Debug)]
pub struct Room {
    /// By candidate; infinite without a bound.
    capacities: Box<[f64]>,
    /// Candidates, those of a group together.
    by_group: Box<[u16]>,
    /// By group its part of `by_group`.
    groups: Box<[Range<usize>]>,
    /// By scope what its clients bring.
    demands: Box<[f64]>,
    /// By scope the groups that it looks at, in order, and whether all others follow.
    orders: Box<[(Box<[u16]>, bool)]>,
    /// The most groups that a scope looks at.
    rounds: usize,
    /// Whether members stand in listed order, and how many of the first ones share.
    first_up: Option<usize>,
}

/// Room for one division.
#[derive(Default)]
pub struct Scratch {
    /// By candidate: what its weight is now; 0: nothing can be drawn of it.
    weights: Box<[f64]>,
    /// By candidate its capacity as of now.
    capacities: Box<[f64]>,
    /// By candidate what is left of that.
    rest: Box<[f64]>,
    /// By candidate what one pouring brought.
    poured: Box<[f64]>,
    /// By candidate what the scope asked for brings it.
    shares: Box<[f64]>,
    /// Candidates by how soon they are full.
    order: Box<[(f64, u16)]>,
    /// By scope what has not found room.
    left: Box<[f64]>,
    /// By group what is brought to it.
    wants: Box<[f64]>,
    /// By group which part of that it takes.
    takes: Box<[f64]>,
}

impl Scratch {
    /// As large as the largest of these needs.
    pub fn of<'r>(rooms: impl Iterator<Item = &'r Room> + Clone) -> Scratch {
        let most = |count: fn(&Room) -> usize| rooms.clone().map(count).max().unwrap_or(0);
        let zeros = |len: usize| -> Box<[f64]> { vec![0.0; len].into() };
        let candidates = most(|room| room.capacities.len());
        let groups = most(|room| room.groups.len());
        Scratch {
            weights: zeros(candidates),
            capacities: zeros(candidates),
            rest: zeros(candidates),
            poured: zeros(candidates),
            shares: zeros(candidates),
            order: vec![(0.0, 0); candidates].into(),
            left: zeros(most(|room| room.demands.len())),
            wants: zeros(groups),
            takes: zeros(groups),
        }
    }

    /// By candidate its part of the last scope's load, in the unit of weights.
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }
}

impl Room {
    /// Of these candidates. `demands`: by scope what its clients bring; `first_up`: in listed order, so many of the first ones
    /// together.
    ///
    /// # Panics
    /// When there is not one demand for each scope.
    pub fn new(
        vessels: &[Vessel],
        preferences: &Preferences,
        demands: Vec<f64>,
        first_up: Option<u16>,
    ) -> Room {
        assert_eq!(demands.len(), 1 + preferences.distinct().len(), "one demand a scope");
        let mut regions: Vec<Option<RegionId>> = match preferences.is_empty() {
            true => vec![None],
            false => vessels.iter().map(|vessel| vessel.region).collect(),
        };
        regions.sort_unstable();
        regions.dedup();
        let group_of = |region: Option<RegionId>| regions.binary_search(&region).ok().map(|at| at as u16);
        let mut by_group = Vec::with_capacity(vessels.len());
        let mut groups = Vec::with_capacity(regions.len());
        for region in &regions {
            let first = by_group.len();
            let members = vessels.iter().zip(0u16..);
            let is_there = |vessel: &Vessel| preferences.is_empty() || vessel.region == *region;
            by_group.extend(members.filter(|(vessel, _)| is_there(vessel)).map(|(_, at)| at));
            groups.push(first..by_group.len());
        }
        let of_all = (Box::from([]), true);
        let of = |preference: &super::preference::Preference| {
            let order = preference.regions.iter().filter_map(|region| group_of(Some(*region)));
            (order.collect::<Box<[u16]>>(), preference.then_anywhere)
        };
        let orders: Box<[(Box<[u16]>, bool)]> =
            std::iter::once(of_all).chain(preferences.distinct().iter().map(of)).collect();
        Room {
            capacities: vessels.iter().map(|one| one.capacity.map_or(f64::INFINITY, f64::from)).collect(),
            by_group: by_group.into(),
            groups: groups.into(),
            demands: demands.into(),
            rounds: orders.iter().map(|(order, _)| order.len()).max().unwrap_or(0),
            orders,
            first_up: first_up.map(usize::from),
        }
    }

    /// By scope what its clients bring, in the unit of weights.
    pub fn demands(&self) -> &[f64] {
        &self.demands
    }

    /// Divides the load; `now` tells of each candidate its weight, 0 where nothing can be drawn of it, and the part of its capacity
    /// that it has. The scope's shares are left in `scratch`; false: there is nobody for it.
    pub fn divide(&self, scope: usize, now: impl Fn(usize) -> (f64, f64), scratch: &mut Scratch) -> bool {
        let count = self.capacities.len();
        for at in 0..count {
            let (weight, part) = now(at);
            scratch.weights[at] = weight;
            scratch.capacities[at] = if weight > 0.0 { self.capacities[at] * part } else { 0.0 };
        }
        scratch.rest[..count].copy_from_slice(&scratch.capacities[..count]);
        scratch.shares.fill(0.0);
        scratch.left[..self.demands.len()].copy_from_slice(&self.demands);
        match self.first_up {
            Some(first) => self.pour_in_order(first, scratch),
            None => self.pour_by_scope(scope, scratch),
        }
        self.pour_over(scope, scratch);
        if scratch.shares[..count].iter().all(|share| *share <= 0.0) {
            self.pour_a_drop(scope, scratch);
        }
        scratch.shares[..count].iter().any(|share| *share > 0.0)
    }

    /// To the first ones together, and then to one after the other.
    fn pour_in_order(&self, first: usize, scratch: &mut Scratch) {
        let count = self.capacities.len();
        let mut begin = 0;
        let mut width = first;
        while begin < count && scratch.left[0] > self.demands[0] * NOTHING {
            let mut end = begin;
            let mut found = 0;
            while end < count && found < width {
                found += usize::from(scratch.weights[end] > 0.0);
                end += 1;
            }
            let took = pour(scratch.left[0], (begin..end).map(|at| at as u16), scratch);
            for at in begin..end {
                scratch.shares[at] += scratch.poured[at];
            }
            scratch.left[0] -= took;
            (begin, width) = (end, 1);
        }
    }

    /// In rounds, each scope to the next region of its order, and at last to all.
    fn pour_by_scope(&self, scope: usize, scratch: &mut Scratch) {
        for round in 0..self.rounds {
            scratch.wants[..self.groups.len()].fill(0.0);
            for ((order, _), left) in self.orders.iter().zip(&scratch.left) {
                if let Some(group) = order.get(round) {
                    scratch.wants[usize::from(*group)] += left;
                }
            }
            let looked_at = self.orders[scope].0.get(round).copied().map(usize::from);
            for group in 0..self.groups.len() {
                let want = scratch.wants[group];
                scratch.takes[group] = 0.0;
                if want <= 0.0 {
                    continue;
                }
                let members = &self.by_group[self.groups[group].clone()];
                let took = pour(want, members.iter().copied(), scratch);
                scratch.takes[group] = took / want;
                if looked_at == Some(group) {
                    let own = scratch.left[scope] / want;
                    for at in members.iter().copied().map(usize::from) {
                        scratch.shares[at] += scratch.poured[at] * own;
                    }
                }
            }
            for ((order, _), left) in self.orders.iter().zip(&mut scratch.left) {
                if let Some(group) = order.get(round) {
                    *left *= 1.0 - scratch.takes[usize::from(*group)];
                }
            }
        }
        let goes_on = |scope: usize| self.orders[scope].1;
        let want: f64 = (0..self.orders.len()).filter(|at| goes_on(*at)).map(|at| scratch.left[at]).sum();
        if want <= 0.0 {
            return;
        }
        let took = pour(want, 0..self.capacities.len() as u16, scratch);
        let own = if goes_on(scope) { scratch.left[scope] / want } else { 0.0 };
        for at in 0..self.capacities.len() {
            scratch.shares[at] += scratch.poured[at] * own;
        }
        for at in (0..self.orders.len()).filter(|at| goes_on(*at)) {
            scratch.left[at] *= 1.0 - took / want;
        }
    }

    /// Whether a scope's clients may be sent to a candidate's group at all.
    fn reaches(&self, scope: usize, group: usize) -> bool {
        let (order, goes_on) = &self.orders[scope];
        *goes_on || order.iter().any(|one| usize::from(*one) == group)
    }

    /// What found no room, over all in reach, each by its capacity, so that none is further beyond it than the others.
    fn pour_over(&self, scope: usize, scratch: &mut Scratch) {
        let left = scratch.left[scope];
        if left <= self.demands[scope] * NOTHING {
            return;
        }
        let reached = |group: &usize| self.reaches(scope, *group);
        let members = || {
            let groups = (0..self.groups.len()).filter(reached);
            groups.flat_map(|group| &self.by_group[self.groups[group].clone()]).copied().map(usize::from)
        };
        let whole: f64 = members().map(|at| scratch.capacities[at]).sum();
        if whole > 0.0 && whole.is_finite() {
            members().for_each(|at| scratch.shares[at] += left * scratch.capacities[at] / whole);
        }
    }

    /// For clients that bring nothing to speak of: where the next of them would go.
    fn pour_a_drop(&self, scope: usize, scratch: &mut Scratch) {
        let Scratch { weights, capacities, rest, shares, .. } = scratch;
        let (order, goes_on) = &self.orders[scope];
        let has_room = |at: usize| weights[at] > 0.0 && rest[at] > capacities[at] * NOTHING;
        let all = || 0..self.capacities.len();
        for group in order.iter().map(|group| &self.by_group[self.groups[usize::from(*group)].clone()]) {
            let members = || group.iter().copied().map(usize::from);
            if members().any(has_room) {
                return members().filter(|at| has_room(*at)).for_each(|at| shares[at] = weights[at]);
            }
        }
        if *goes_on && all().any(has_room) {
            let most = self.first_up.unwrap_or(usize::MAX);
            return all().filter(|at| has_room(*at)).take(most).for_each(|at| shares[at] = weights[at]);
        }
        for group in (0..self.groups.len()).filter(|group| self.reaches(scope, *group)) {
            for at in self.by_group[self.groups[group].clone()].iter().copied().map(usize::from) {
                shares[at] = if capacities[at].is_finite() { capacities[at] } else { weights[at] };
            }
        }
    }
}

/// Pours so much to these candidates by weight, each up to what is left of its capacity; tells how much went in, and leaves in
/// `scratch.poured` who got what.
fn pour(amount: f64, members: impl Iterator<Item = u16> + Clone, scratch: &mut Scratch) -> f64 {
    let Scratch { weights, rest, poured, order, .. } = scratch;
    let mut len = 0;
    let mut weight = 0.0;
    for at in members {
        let index = usize::from(at);
        poured[index] = 0.0;
        if weights[index] > 0.0 && rest[index] > 0.0 {
            order[len] = (rest[index] / weights[index], at);
            weight += weights[index];
            len += 1;
        }
    }
    let order = &mut order[..len];
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    // The level rises; whoever is full first leaves the others what it does not take.
    let mut left = amount;
    let mut took = 0.0;
    for (full_at, at) in order.iter() {
        let index = usize::from(*at);
        let level = left / weight;
        let part = if *full_at <= level { rest[index] } else { weights[index] * level };
        poured[index] = part;
        rest[index] -= part;
        took += part;
        left = (left - part).max(0.0);
        weight -= weights[index];
    }
    took.min(amount)
}

#[cfg(test)]
mod tests {
    use super::super::preference::Preference;
    use super::*;
    use proptest::prelude::*;

    /// Shares of every scope, with these candidates down.
    fn divided(room: &Room, weights: &[u32], down: &[usize]) -> Vec<Vec<f64>> {
        let mut scratch = Scratch::of(std::iter::once(room));
        let now = |at: usize| (if down.contains(&at) { 0.0 } else { f64::from(weights[at]) }, 1.0);
        let of = |scope| {
            room.divide(scope, now, &mut scratch);
            scratch.shares()[..weights.len()].to_vec()
        };
        (0..room.demands().len()).map(of).collect()
    }

    /// What each candidate carries of all scopes that bring something.
    fn loads(room: &Room, weights: &[u32], down: &[usize]) -> Vec<f64> {
        let mut loads = vec![0.0; weights.len()];
        for (shares, demand) in divided(room, weights, down).iter().zip(room.demands()) {
            let whole: f64 = shares.iter().sum();
            if whole > 0.0 {
                loads.iter_mut().zip(shares).for_each(|(load, share)| *load += share * demand / whole);
            }
        }
        loads
    }

    fn flat(weights: &[u32], capacities: &[Option<u32>], first_up: Option<u16>) -> Room {
        let vessel = |(weight, capacity): (&u32, &Option<u32>)| Vessel {
            weight: *weight,
            capacity: *capacity,
            region: None,
        };
        let vessels: Vec<Vessel> = weights.iter().zip(capacities).map(vessel).collect();
        let serving = weights.iter().take(first_up.map_or(usize::MAX, usize::from));
        let demand = serving.map(|weight| f64::from(*weight)).sum();
        Room::new(&vessels, &Preferences::default(), vec![demand], first_up)
    }

    #[test]
    fn what_one_leaves_goes_to_the_others_up_to_their_room() {
        let weights = [40, 30, 20, 10];
        let room = flat(&weights, &[Some(50), Some(35), Some(60), None], None);
        assert_eq!(loads(&room, &weights, &[]), [40.0, 30.0, 20.0, 10.0]);
        // Without the first: 30, 20 and 10 would be 50, 33.3 and 16.7, but the second has room for 35.
        let rounded =
            |loads: Vec<f64>| loads.iter().map(|load| (load * 1e6).round() / 1e6).collect::<Vec<_>>();
        assert_eq!(rounded(loads(&room, &weights, &[0])), [0.0, 35.0, 43.333333, 21.666667]);
        // There is room for 95 of 100: nobody is further beyond it than another.
        assert_eq!(rounded(loads(&room, &weights, &[0, 3])), [0.0, 36.842105, 63.157895, 0.0]);
    }

    #[test]
    fn in_listed_order_the_next_one_takes_what_does_not_fit() {
        let weights = [100, 50, 50];
        let room = flat(&weights, &[Some(100), Some(60), Some(60)], Some(1));
        assert_eq!(loads(&room, &weights, &[]), [100.0, 0.0, 0.0]);
        assert_eq!(loads(&room, &weights, &[0]), [0.0, 60.0, 40.0]);
        assert_eq!(loads(&room, &weights, &[0, 1]), [0.0, 0.0, 100.0]);
    }

    type Drawn = (Vec<(u32, Option<u32>, Option<u16>)>, Vec<(Vec<u16>, bool)>, Vec<bool>);

    fn drawn() -> impl Strategy<Value = Drawn> {
        let member = (1u32..20, prop::option::weighted(0.8, 1u32..60), prop::option::weighted(0.9, 0u16..4));
        let order = (prop::collection::vec(0u16..4, 0..4), any::<bool>());
        (
            prop::collection::vec(member, 1..9),
            prop::collection::vec(order, 0..5),
            prop::collection::vec(prop::bool::weighted(0.3), 9),
        )
    }

    fn room_of((members, orders, _): &Drawn) -> Room {
        let vessel = |&(weight, capacity, region): &(u32, Option<u32>, Option<u16>)| Vessel {
            weight,
            capacity,
            region: region.map(RegionId),
        };
        let vessels: Vec<Vessel> = members.iter().map(vessel).collect();
        let of = |(client, (regions, then_anywhere)): (usize, &(Vec<u16>, bool))| {
            let mut seen = Vec::new();
            for region in regions.iter().map(|region| RegionId(*region)) {
                if !seen.contains(&region) && vessels.iter().any(|vessel| vessel.region == Some(region)) {
                    seen.push(region);
                }
            }
            (RegionId(client as u16), Preference { regions: seen.into(), then_anywhere: *then_anywhere })
        };
        let preferences = Preferences::new(orders.iter().enumerate().map(of));
        // Each scope brings what is where it goes first; that of all what is in no region.
        let weight = |region: Option<RegionId>| -> f64 {
            let there = vessels.iter().filter(|vessel| vessel.region == region || preferences.is_empty());
            there.map(|vessel| f64::from(vessel.weight)).sum()
        };
        let first =
            |preference: &Preference| preference.regions.first().map_or(0.0, |region| weight(Some(*region)));
        let demands = std::iter::once(weight(None)).chain(preferences.distinct().iter().map(first)).collect();
        Room::new(&vessels, &preferences, demands, None)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]
        #[test]
        fn nobody_is_above_capacity_while_there_is_room_in_reach(drawn in drawn()) {
            let room = room_of(&drawn);
            let weights: Vec<u32> = drawn.0.iter().map(|member| member.0).collect();
            let down: Vec<usize> = (0..weights.len()).filter(|at| drawn.2[*at]).collect();
            let loads = loads(&room, &weights, &down);
            for (at, load) in loads.iter().enumerate() {
                prop_assert!(!down.contains(&at) || *load == 0.0);
                if *load <= room.capacities[at] * 1.000_001 {
                    continue;
                }
                let members_of = |scope: usize| -> Vec<usize> {
                    let groups = (0..room.groups.len()).filter(|group| room.reaches(scope, *group));
                    groups.flat_map(|group| &room.by_group[room.groups[group].clone()]).map(|at| usize::from(*at)).collect()
                };
                let is_full = |other: usize| {
                    down.contains(&other) || loads[other] >= room.capacities[other] * 0.999_999
                };
                let is_without_choice = |scope: usize| {
                    members_of(scope).contains(&at) && members_of(scope).into_iter().all(is_full)
                };
                prop_assert!((0..room.orders.len()).any(is_without_choice), "{} of {:?}: {:?}", at, room, loads);
            }
        }

        #[test]
        fn all_that_is_brought_arrives_and_nobody_loses_by_anothers_failure(drawn in drawn(), fails in 0usize..9) {
            let room = room_of(&drawn);
            let weights: Vec<u32> = drawn.0.iter().map(|member| member.0).collect();
            let mut down: Vec<usize> = (0..weights.len()).filter(|at| drawn.2[*at]).collect();
            for (scope, (shares, demand)) in divided(&room, &weights, &down).iter().zip(room.demands()).enumerate() {
                let whole: f64 = shares.iter().sum();
                let reached = (0..room.groups.len()).filter(|group| room.reaches(scope, *group));
                let mut members = reached.flat_map(|group| &room.by_group[room.groups[group].clone()]);
                let is_any = members.any(|at| !down.contains(&usize::from(*at)));
                prop_assert_eq!(whole > 0.0, is_any);
                prop_assert!(!is_any || *demand == 0.0 || (whole / demand - 1.0).abs() < 1e-6, "{} {}", whole, demand);
            }
            let before = loads(&room, &weights, &down);
            down.push(fails % weights.len());
            let after = loads(&room, &weights, &down);
            for at in (0..weights.len()).filter(|at| !down.contains(at)) {
                prop_assert!(after[at] >= before[at] * 0.999_999 - 1e-9, "{}: {:?} {:?} {:?}", at, room, before, after);
            }
        }
    }
}
