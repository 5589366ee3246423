//! Which sets of addresses a rotation answers with. They are few, so that each can be signed before it is drawn.
//!
//! With `rest` the weight of the members that are sampled and s the samples, an answer's samples lie rest/s apart, so the set
//! depends on where the first one lies modulo that distance alone. In units in which the distance is whole, it changes where a
//! member ends modulo the distance: at no more places than there are members.

use super::arrange::gcd;
use super::{Drawn, Entry, NEVER_BUILT, Rotation, RotationTable, advance, entry_at};
use crate::state::health_table::HealthTable;
use crate::state::pool::{A_RECORD_OCTETS, AAAA_RECORD_OCTETS, Family, FamilyPool};
use crate::state::ttl::Ttl;

/// The sets of one rotation, as the leader's position tells them apart.
#[derive(Clone, Copy, Default)]
pub(super) struct Sets {
    /// The distance of two samples, in units of which a weight has `factor`. At least 1.
    distance: u32,
    factor: u16,
    /// How many sets there are.
    count: u16,
}

/// Finds where the set changes, for entries that are arranged, and writes that to the beginning of `bounds`: ascending, from 0 on,
/// each where the next set begins.
pub(super) fn find_sets(rotation: &Rotation, entries: &[Entry], bounds: &mut [u32]) -> Sets {
    let rest_total = rotation.total - rotation.certain_total;
    let samples = u32::from(rotation.take - rotation.certain);
    let common = gcd(rest_total.into(), samples.into()).max(1) as u32;
    let (distance, factor) = ((rest_total / common).max(1), (samples / common) as u16);
    let mut count = 0;
    let rest = entries.iter().skip(usize::from(rotation.certain));
    // The last one ends where the cycle begins, at 0.
    let ends = rest.map(|entry| u64::from(entry.end - rotation.certain_total) * u64::from(factor));
    for (bound, end) in bounds.iter_mut().zip(ends) {
        *bound = (end % u64::from(distance)) as u32;
        count += 1;
    }
    let Some(found) = bounds.get_mut(..count).filter(|found| !found.is_empty()) else {
        // Whoever is drawn is in every answer.
        bounds.iter_mut().take(1).for_each(|bound| *bound = 0);
        return Sets { distance, factor, count: 1 };
    };
    found.sort_unstable();
    let mut last = 0;
    for at in 1..count {
        if found[at] != found[last] {
            last += 1;
            found[last] = found[at];
        }
    }
    Sets { distance, factor, count: last as u16 + 1 }
}

impl Sets {
    /// The number of the set whose first sample is at `start` of the rest's cycle.
    fn number_of(self, bounds: &[u32], start: u32) -> usize {
        let at = (u64::from(start) * u64::from(self.factor) % u64::from(self.distance.max(1))) as u32;
        let bounds = bounds.get(..usize::from(self.count)).unwrap_or_default();
        bounds.partition_point(|bound| *bound <= at).saturating_sub(1)
    }
}

impl RotationTable {
    /// The scope whose rotation a draw is made from, and the health it is built of.
    pub fn settled(&mut self, health: &HealthTable, family: &FamilyPool, scope: usize) -> (usize, u64) {
        let at = self.settle(health, family, scope);
        (at - family.first_rotation as usize, self.rotations[at].sequence)
    }

    /// Draws from the rotation that [`RotationTable::settled`] has told, as it was then: whatever health does meanwhile, the set,
    /// whose number is told, is one of that sequence.
    pub fn draw_set(
        &mut self,
        family: &FamilyPool,
        scope: usize,
        ttl: Ttl,
        into: &mut [u8],
    ) -> (Drawn, usize) {
        let at = family.first_rotation as usize + scope;
        let (drawn, start) = match family.family {
            Family::V4 => self.write_records::<A_RECORD_OCTETS>(at, family, ttl, into),
            Family::V6 => self.write_records::<AAAA_RECORD_OCTETS>(at, family, ttl, into),
        };
        let rotation = &self.rotations[at];
        let bounds = self.bounds.get(rotation.entries_at as usize..).unwrap_or_default();
        (drawn, rotation.sets.number_of(bounds, start))
    }

    /// The sets that a scope's rotation answers with, each as its candidates, and the health it is built of; `None` while that is
    /// being written. For who signs them: this allocates.
    pub fn sets(
        &mut self,
        health: &HealthTable,
        family: &FamilyPool,
        scope: usize,
    ) -> Option<(u64, Vec<Vec<u16>>)> {
        let at = self.fresh(health, family, scope);
        let rotation = &self.rotations[at];
        if rotation.sequence == NEVER_BUILT {
            return None;
        }
        if rotation.take == 0 {
            return Some((rotation.sequence, Vec::new()));
        }
        let Sets { distance, factor, count } = rotation.sets;
        let first = rotation.entries_at as usize;
        let certain = &self.entries[first..first + usize::from(rotation.certain)];
        let rest_total = rotation.total - rotation.certain_total;
        let samples = u32::from(rotation.take - rotation.certain);
        let bounds = &self.bounds[first..first + usize::from(count)];
        let set_from = |bound: &u32| {
            let sampled = (0..samples).filter_map(|sample| {
                let at = u64::from(*bound) + u64::from(sample) * u64::from(distance);
                let position =
                    rotation.certain_total + advance((at / u64::from(factor)) as u32, 0, rest_total);
                Some(self.entries[entry_at(rotation, &self.entries, &self.guide, position)?].candidate)
            });
            certain.iter().map(|entry| entry.candidate).chain(sampled).collect()
        };
        Some((rotation.sequence, bounds.iter().map(set_from).collect()))
    }
}
