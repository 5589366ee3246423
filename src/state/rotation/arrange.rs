//! From a pool's health words to a rotation: who is in it, in which order, and the steps through it.
//!
//! Runs when a pool's health has moved, on the worker's thread: linear in the pool's members, and without allocation.

use super::{Entry, MAX_MEMBERS, MIN_GUIDE, Rotation, Source, UNCOUNTED};
use crate::state::health_table::{Flags, State, WHOLE_PERMILLE, Word};
use crate::state::pool::{Candidate, Fallback, FamilyPool, Leaves, Method, NO_CANDIDATE, Pool};
use crate::state::room::{self, Room};
use crate::state::topology::RegionId;
use crate::state::tree::{Reach, Scratch};

/// The longest cycle: a position and a step of it fit 32 bits together.
const MAX_TOTAL: u64 = 1 << 31;

/// A smaller part of a load than this is what rounding leaves.
const LEAST_PART: f64 = 1e-9;
/// What a whole load is in numbers, where a tree divides it.
const WHOLE_FLOW: f64 = (1u64 << 30) as f64;

/// Room in which a rotation is made, beside its own.
pub(super) struct Desk {
    /// By entry its weight.
    pub(super) weights: Box<[u64; MAX_MEMBERS]>,
    /// Where trees are evaluated.
    pub(super) tree: Scratch,
    /// Where load is divided.
    room: room::Scratch,
}

impl Desk {
    /// For rotations of these pools.
    pub(super) fn new(pools: &[Pool]) -> Desk {
        let rooms =
            pools.iter().flat_map(|pool| [&pool.v4, &pool.v6]).filter_map(|family| family.room.as_ref());
        Desk { weights: Box::new([0; MAX_MEMBERS]), tree: Scratch::default(), room: room::Scratch::of(rooms) }
    }
}

/// Writes the candidates that a rotation is made of to the beginning of `entries`, and their weights to the desk; returns what
/// they are, and how many.
pub(super) fn choose_candidates(
    words: &[Word],
    family: &FamilyPool,
    scope: usize,
    entries: &mut [Entry],
    desk: &mut Desk,
) -> (Source, usize) {
    choose_of(false, words, family, scope, entries, desk)
}

/// The same, or with `all` every member that can be drawn in listed order, as if each could be the first.
pub(super) fn choose_of(
    all: bool,
    words: &[Word],
    family: &FamilyPool,
    scope: usize,
    entries: &mut [Entry],
    desk: &mut Desk,
) -> (Source, usize) {
    let is_frozen = words.first().is_some_and(|word| word.flags().has_any(Flags::FROZEN));
    let of_up = if is_frozen { Source::Frozen } else { Source::Up };
    let (state, len) = match (&family.tree, &family.room) {
        (Some(leaves), _) => choose_leaves(words, family, leaves, scope, entries, desk),
        // All in listed order hang on nobody's room.
        (None, Some(room)) if !(all && matches!(family.rules.method, Method::FirstUp(_))) => {
            choose_with_room(words, family, room, scope, entries, desk)
        }
        (None, _) => {
            let most = match family.rules.method {
                Method::FirstUp(most) if !all => usize::from(most),
                _ => MAX_MEMBERS,
            };
            let (state, len) = choose_members(most, words, family, scope, entries);
            weigh_members(words, family, &entries[..len], desk);
            (state, len)
        }
    };
    if len > 0 {
        return (if state == State::Up { of_up } else { Source::Unknown }, len);
    }
    let len = choose_fallback(words, family, scope, entries);
    weigh_members(words, family, &entries[..len], desk);
    if len == 0 { (Source::Empty, 0) } else { (Source::Fallback, len) }
}

/// Chooses of a tree's leaves those with a part of the load, each address once, and weighs them by it; returns in which state they
/// are, and how many.
pub(super) fn choose_leaves(
    words: &[Word],
    family: &FamilyPool,
    leaves: &Leaves,
    scope: usize,
    entries: &mut [Entry],
    desk: &mut Desk,
) -> (State, usize) {
    let Leaves { tree, candidate_of } = leaves;
    let candidate = |member: u16| {
        candidate_of.get(usize::from(member)).copied().filter(|candidate| *candidate != NO_CANDIDATE)
    };
    // Pools below what they must have up are better than none; so are members without a verdict.
    let reaches = [(State::Up, true), (State::Up, false), (State::Unknown, false)];
    let mut flow = |(state, is_strict)| {
        let is_there = |member| candidate(member).is_some();
        tree.flow(scope, words, Reach { state, is_strict }, is_there, &mut desk.tree)
    };
    let Some((state, _)) = reaches.into_iter().find(|reach| flow(*reach)) else { return (State::Unknown, 0) };
    let weights = &mut desk.weights[..family.fallback_at];
    weights.fill(0);
    for member in 0..family.rules.member_count {
        let flow = desk.tree.flow_of(member);
        if let Some(candidate) = candidate(member).filter(|_| flow > 0.0) {
            weights[usize::from(candidate)] += ((flow * WHOLE_FLOW).round() as u64).max(1);
        }
    }
    let len = fill(entries, family, (0..family.fallback_at).filter(|candidate| weights[*candidate] > 0));
    for (at, entry) in entries[..len].iter().enumerate() {
        weights[at] = weights[usize::from(entry.candidate)];
    }
    (state, len)
}

/// Chooses of the members those that get a part of the scope's load, and weighs them by it; returns in which state they are, and how
/// many.
fn choose_with_room(
    words: &[Word],
    family: &FamilyPool,
    room: &Room,
    scope: usize,
    entries: &mut [Entry],
    desk: &mut Desk,
) -> (State, usize) {
    let members = &family.candidates[..family.fallback_at];
    let state = state_in_reach(words, family, scope);
    let now = |at: usize| {
        let word = words[usize::from(members[at].member)];
        let weight = if word.state() == state { weight_of(words, &members[at]) } else { 0 };
        let part = f64::from(word.permille()) / f64::from(WHOLE_PERMILLE);
        (weight as f64 / f64::from(WHOLE_PERMILLE), part)
    };
    if !room.divide(scope, now, &mut desk.room) {
        return (state, 0);
    }
    let shares = &desk.room.shares()[..members.len()];
    let whole: f64 = shares.iter().sum();
    let len = fill(entries, family, (0..members.len()).filter(|at| shares[*at] > whole * LEAST_PART));
    for (entry, weight) in entries[..len].iter().zip(desk.weights.iter_mut()) {
        *weight = ((shares[usize::from(entry.candidate)] / whole * WHOLE_FLOW).round() as u64).max(1);
    }
    (state, len)
}

/// UP, if anybody can be drawn that is where a scope's clients may be sent; else UNKNOWN.
fn state_in_reach(words: &[Word], family: &FamilyPool, scope: usize) -> State {
    let preference = family.preference(scope);
    let is_in_reach = |candidate: &Candidate| {
        preference.is_none_or(|preference| preference.then_anywhere || candidate.is_in(&preference.regions))
    };
    let is_up = |candidate: &Candidate| {
        words[usize::from(candidate.member)].state() == State::Up && weight_of(words, candidate) > 0
    };
    let any_up = family.candidates[..family.fallback_at].iter().any(|c| is_in_reach(c) && is_up(c));
    if any_up { State::Up } else { State::Unknown }
}

/// Chooses of the members those that can be drawn, as the method and the scope's preference have it; returns in which state they
/// are, and how many.
fn choose_members(
    most: usize,
    words: &[Word],
    family: &FamilyPool,
    scope: usize,
    entries: &mut [Entry],
) -> (State, usize) {
    // What nothing is to be drawn of is as if it were not there, in whatever state.
    let is_drawable = |candidate: &Candidate, state: State| {
        words[usize::from(candidate.member)].state() == state && weight_of(words, candidate) > 0
    };
    let preference = family.preference(scope);
    let members = &family.candidates[..family.fallback_at];
    let state = state_in_reach(words, family, scope);
    let mut fill_from = |region: Option<RegionId>| {
        let is_there = |candidate: &Candidate| region.is_none() || candidate.region == region;
        let found = members.iter().enumerate().filter(|(_, c)| is_there(c) && is_drawable(c, state));
        fill(entries, family, found.map(|(index, _)| index).take(most))
    };
    let len = match preference {
        None => fill_from(None),
        Some(preference) => {
            let lens = preference.regions.iter().map(|region| fill_from(Some(*region)));
            lens.into_iter().find(|len| *len > 0).unwrap_or(0)
        }
    };
    (state, len)
}

/// Chooses what is answered when nobody can be drawn; returns how many.
fn choose_fallback(words: &[Word], family: &FamilyPool, scope: usize, entries: &mut [Entry]) -> usize {
    let all = || family.candidates.iter().enumerate();
    match family.rules.fallback {
        // Then the rotation over all is looked to, which has the fallback.
        _ if family.preference(scope).is_some_and(|preference| preference.then_anywhere) => 0,
        Fallback::Any => {
            let members = || all().take(family.fallback_at);
            let weighed = members().filter(|(_, c)| weight_of(words, c) > 0).map(|(index, _)| index);
            match fill(entries, family, weighed) {
                // All are drained: better these than none.
                0 => {
                    let based = members().filter(|(_, c)| based_on(words, c).0 > 0).map(|(index, _)| index);
                    fill(entries, family, based)
                }
                len => len,
            }
        }
        Fallback::Addresses => fill(entries, family, family.fallback_at..family.candidates.len()),
        Fallback::Refuse | Fallback::NoData => 0,
    }
}

/// The weight of a candidate before anything is held back, and the thousandths of it that count.
pub(super) fn based_on(words: &[Word], candidate: &Candidate) -> (u32, u16) {
    // Fallback addresses are numbered behind the members, and have no word.
    match words.get(usize::from(candidate.member)) {
        Some(word) => (word.base_weight(candidate.weight), word.permille()),
        None => (candidate.weight, WHOLE_PERMILLE),
    }
}

/// The weight of a candidate that counts, in thousandths.
fn weight_of(words: &[Word], candidate: &Candidate) -> u64 {
    let (base, permille) = based_on(words, candidate);
    u64::from(base) * u64::from(permille)
}

fn fill(entries: &mut [Entry], family: &FamilyPool, candidates: impl Iterator<Item = usize>) -> usize {
    let mut len = 0;
    for (entry, candidate) in entries.iter_mut().zip(candidates) {
        let member = family.candidates[candidate].member;
        // Fallback addresses are numbered behind the members.
        let is_member = member < family.rules.member_count;
        let counter = if is_member { family.rules.first_member + u32::from(member) } else { UNCOUNTED };
        *entry = Entry { end: 0, candidate: candidate as u16, counter };
        len += 1;
    }
    len
}

/// Weighs members by what counts of their weight.
fn weigh_members(words: &[Word], family: &FamilyPool, entries: &[Entry], desk: &mut Desk) {
    let candidate = |entry: &Entry| &family.candidates[usize::from(entry.candidate)];
    // Without anything that counts the entries are a fallback of drained members, by what they would weigh.
    let counts = entries.iter().any(|entry| weight_of(words, candidate(entry)) > 0);
    for (entry, weight) in entries.iter().zip(desk.weights.iter_mut()) {
        *weight = match counts {
            true => weight_of(words, candidate(entry)),
            false => u64::from(based_on(words, candidate(entry)).0),
        };
    }
}

/// Gives each entry its weight, for now in the place of its end, in the smallest whole numbers of the same proportions; where
/// a cycle of these would be too long, in numbers scaled down to fit, each 1 at least. Returns their sum.
fn weigh(weights: &[u64], entries: &mut [Entry]) -> u32 {
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let whole: u64 = weights.iter().map(|weight| weight / divisor).sum();
    // Half of what fits, since what is rounded up to 1 comes on top: MAX_MEMBERS at most.
    let fits = |weight: u64| if whole <= MAX_TOTAL { weight } else { weight * (MAX_TOTAL / 2) / whole };
    let mut total = 0;
    for (entry, weight) in entries.iter_mut().zip(weights) {
        entry.end = fits(weight / divisor).max(1) as u32;
        total += entry.end;
    }
    total
}

/// The least time to a change of state of a member that may be answered. Where fallback addresses are, it is that of any
/// member, for one that comes UP ends that. 0: nothing is known of any.
fn flip_secs(words: &[Word], family: &FamilyPool, entries: &[Entry]) -> u16 {
    let word = |candidate: &Candidate| words.get(usize::from(candidate.member));
    let known = |flips: &mut dyn Iterator<Item = u16>| flips.filter(|secs| *secs > 0).min().unwrap_or(0);
    let of_entries = || entries.iter().map(|entry| &family.candidates[usize::from(entry.candidate)]);
    if of_entries().all(|candidate| word(candidate).is_none()) {
        return known(&mut words.iter().map(|word| word.flip_secs()));
    }
    known(&mut of_entries().filter_map(word).map(|word| word.flip_secs()))
}

/// Fills in everything that follows from the chosen candidates: order, running sums, guide, steps.
pub(super) fn arrange(
    rotation: &mut Rotation,
    words: &[Word],
    family: &FamilyPool,
    entries: &mut [Entry],
    guide: &mut [u16],
    desk: &Desk,
) {
    rotation.flip_secs = flip_secs(words, family, entries);
    let take = usize::from(family.rules.max_addrs_returned).min(entries.len());
    let total = weigh(&desk.weights[..entries.len()], entries);
    let certain = split_certain(entries, take, total);
    let mut sum = 0;
    let mut certain_total = 0;
    for (index, entry) in entries.iter_mut().enumerate() {
        sum += entry.end;
        entry.end = sum;
        if index < certain {
            certain_total = sum;
        }
    }
    rotation.take = take as u16;
    rotation.certain = certain as u16;
    rotation.total = total;
    rotation.certain_total = certain_total;
    let rest_total = total - certain_total;
    rotation.step = coprime_step(total);
    rotation.rest_step = coprime_step(rest_total);
    rotation.position = rotation.position.checked_rem(total).unwrap_or(0);
    rotation.rest_position = rotation.rest_position.checked_rem(rest_total).unwrap_or(0);
    // The finest guide that fits: with small weights one entry a position, and then no search is left.
    let room = guide_len(entries.len());
    let mut shift = 0;
    while (total.saturating_sub(1) >> shift) as usize >= room {
        shift += 1;
    }
    rotation.guide_shift = shift;
    let mut entry = 0;
    for (block, slot) in guide.iter_mut().enumerate().take(room) {
        let first = (block as u64) << shift;
        while entry + 1 < entries.len() && u64::from(entries[entry].end) <= first {
            entry += 1;
        }
        *slot = entry as u16;
    }
}

/// Moves the members that are in every answer of `take` to the front, keeping the order within both parts; returns
/// their number. A member is certain when its weight (in the place of its end) times the samples left is at least the weight left.
fn split_certain(entries: &mut [Entry], take: usize, total: u32) -> usize {
    if take >= entries.len() {
        return entries.len();
    }
    if take <= 1 {
        return 0;
    }
    let mut certain = 0;
    let mut rest_total = u64::from(total);
    loop {
        let samples = (take - certain) as u64;
        let found = entries[certain..]
            .iter()
            .position(|entry| samples > 0 && u64::from(entry.end) * samples >= rest_total);
        let Some(found) = found else { return certain };
        entries[certain..=certain + found].rotate_right(1);
        rest_total -= u64::from(entries[certain].end);
        certain += 1;
    }
}

/// A step near total / φ without a common divisor: the golden ratio spreads any run of positions evenly.
fn coprime_step(total: u32) -> u32 {
    if total < 2 {
        return 0;
    }
    let near = ((u64::from(total) * 0x9E37_79B9) >> 32) as u32;
    (near.max(1)..total).find(|step| gcd(u64::from(*step), u64::from(total)) == 1).unwrap_or(1)
}

pub(crate) fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Guide entries for a rotation of so many candidates: two blocks a candidate keep the search to about one step.
pub(super) fn guide_len(candidates: usize) -> usize {
    (2 * candidates).next_power_of_two().max(MIN_GUIDE)
}
