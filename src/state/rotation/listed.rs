//! All members that can be drawn, at once: for answers that name every one of them and leave the choice to the client.
//!
//! Whoever the rotation of a scope would be made of is listed, with its effective weight; of `fogroup` all that are UP, for these
//! clients fail over themselves. Derived from the health words with each call, without allocation: what is asked so is asked
//! seldom.

use super::arrange::{based_on, choose_of};
use super::hashed::is_hashed;
use super::{Entry, MAX_MEMBERS, RotationTable, Source};
use crate::state::health_table::HealthTable;
use crate::state::pool::FamilyPool;

/// A member that is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Index of the member in the pool, of a fallback address behind all members.
    pub member: u16,
    /// Its effective weight in thousandths; where a tree of pools or room decides, its part of what all members weigh.
    pub weight: u64,
}

impl RotationTable {
    /// Gives every member of a family that can be drawn in a scope, in listed order; returns what they are, and the least time in
    /// seconds to a change of state of one of them, where any is known, else 0.
    pub fn list(
        &mut self,
        health: &HealthTable,
        family: &FamilyPool,
        scope: usize,
        mut each: impl FnMut(Listed),
    ) -> (Source, u16) {
        let pool_id = family.rules.pool_id as usize;
        let words = &mut self.words[..usize::from(family.rules.member_count)];
        if health.read(pool_id, words).is_none() {
            // The writer is inside: each word as it is, perhaps of two changes, for one answer.
            health.read_each(pool_id, words);
        }
        let mut entries = [Entry::default(); MAX_MEMBERS];
        let scope = if is_hashed(scope) { 0 } else { scope };
        let mut found = choose_of(true, words, family, scope, &mut entries, &mut self.desk);
        if found.1 == 0 && family.preference(scope).is_some_and(|preference| preference.then_anywhere) {
            found = choose_of(true, words, family, 0, &mut entries, &mut self.desk);
        }
        let (source, len) = found;
        let candidates =
            || entries[..len].iter().map(|entry| &family.candidates[usize::from(entry.candidate)]);
        // Without anything that counts they are a fallback of drained members, weighed by what they would weigh.
        let counts = candidates().any(|candidate| {
            let (base, permille) = based_on(words, candidate);
            base > 0 && permille > 0
        });
        // Parts of a load are told as parts of what the family's members weigh, so that families may be compared.
        let is_part = source != Source::Fallback && (family.tree.is_some() || family.room.is_some());
        let whole: u64 = self.desk.weights[..len].iter().sum();
        let members = &family.candidates[..family.fallback_at];
        let of_all: u64 = members
            .iter()
            .map(|candidate| {
                let (base, permille) = based_on(words, candidate);
                u64::from(base) * u64::from(permille)
            })
            .sum();
        let told = |weight: u64| match (is_part, counts) {
            (true, _) => ((u128::from(weight) * u128::from(of_all) / u128::from(whole.max(1))) as u64).max(1),
            (false, true) => weight,
            (false, false) => weight * 1000,
        };
        let mut flip_secs = 0;
        for (candidate, weight) in candidates().zip(self.desk.weights.iter()) {
            each(Listed { member: candidate.member, weight: told(*weight) });
            let flip = words.get(usize::from(candidate.member)).map_or(0, |word| word.flip_secs());
            if flip > 0 && (flip_secs == 0 || flip < flip_secs) {
                flip_secs = flip;
            }
        }
        (source, flip_secs)
    }
}
