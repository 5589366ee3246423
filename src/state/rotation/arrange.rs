//! From a pool's health words to a rotation: who is in it, in which order, and the steps through it.
//!
//! Runs when a pool's health has moved, on the worker's thread: linear in the pool's members, and without allocation.

use super::{Entry, MAX_MEMBERS, MIN_GUIDE, Rotation, Source, UNCOUNTED};
use crate::state::health_table::{State, Word};
use crate::state::pool::{Candidate, Fallback, FamilyPool, Method};

/// Writes the candidates that a rotation is made of to the beginning of `entries`; returns what they are, and how many.
pub(super) fn choose_candidates(
    words: &[Word],
    family: &FamilyPool,
    scope: usize,
    entries: &mut [Entry],
) -> (Source, usize) {
    let state_of = |candidate: &Candidate| words[usize::from(candidate.member)].state();
    let any_up = family.candidates[..family.fallback_at].iter().any(|c| state_of(c) == State::Up);
    let (state, source) = if any_up { (State::Up, Source::Up) } else { (State::Unknown, Source::Unknown) };
    let most = match family.rules.method {
        Method::FirstUp => 1,
        Method::Weighted | Method::Regional => MAX_MEMBERS,
    };
    let drawable = family.in_scope(scope).filter(|(_, c)| state_of(c) == state).map(|(index, _)| index);
    let len = fill(entries, family, drawable.take(most));
    if len > 0 {
        return (source, len);
    }
    let fallback = match family.rules.fallback {
        // A region without anybody looks to the rotation over all, which has the fallback.
        _ if scope > 0 => 0..0,
        Fallback::Any => 0..family.fallback_at,
        Fallback::Addresses => family.fallback_at..family.candidates.len(),
        Fallback::Refuse | Fallback::NoData => 0..0,
    };
    match fill(entries, family, fallback) {
        0 => (Source::Empty, 0),
        len => (Source::Fallback, len),
    }
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

/// Fills in everything that follows from the chosen candidates: order, running sums, guide, steps.
pub(super) fn arrange(
    rotation: &mut Rotation,
    family: &FamilyPool,
    entries: &mut [Entry],
    guide: &mut [u16],
) {
    let weight = |entry: &Entry| family.candidates[usize::from(entry.candidate)].weight;
    let divisor = entries.iter().map(weight).fold(0, gcd).max(1);
    let take = usize::from(family.rules.max_addrs_returned).min(entries.len());
    let total: u32 = entries.iter().map(|entry| weight(entry) / divisor).sum();
    let certain = split_certain(entries, take, total, |entry| weight(entry) / divisor);
    let mut sum = 0;
    let mut certain_total = 0;
    for (index, entry) in entries.iter_mut().enumerate() {
        sum += weight(entry) / divisor;
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
/// their number. A member is certain when its weight times the samples left is at least the weight left.
fn split_certain(entries: &mut [Entry], take: usize, total: u32, weight: impl Fn(&Entry) -> u32) -> usize {
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
            .position(|entry| samples > 0 && u64::from(weight(entry)) * samples >= rest_total);
        let Some(found) = found else { return certain };
        entries[certain..=certain + found].rotate_right(1);
        rest_total -= u64::from(weight(&entries[certain]));
        certain += 1;
    }
}

/// A step near total / φ without a common divisor: the golden ratio spreads any run of positions evenly.
fn coprime_step(total: u32) -> u32 {
    if total < 2 {
        return 0;
    }
    let near = ((u64::from(total) * 0x9E37_79B9) >> 32) as u32;
    (near.max(1)..total).find(|step| gcd(*step, total) == 1).unwrap_or(1)
}

pub(super) fn gcd(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Guide entries for a rotation of so many candidates: two blocks a candidate keep the search to about one step.
pub(super) fn guide_len(candidates: usize) -> usize {
    (2 * candidates).next_power_of_two().max(MIN_GUIDE)
}
