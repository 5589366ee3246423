//! Draws by the client's network: the first member in the order of its slot that can be drawn.
//!
//! A member that is down, or has only a share of its clients, is passed over in its own slots alone: all other clients stay where
//! they are.

use super::{Drawn, Entry, Rotation, RotationTable, Source, count_draw, put};
use crate::state::hash_slots::{HashSlots, MAX_ORDER};
use crate::state::pool::{A_RECORD_OCTETS, AAAA_RECORD_OCTETS, Family, FamilyPool};
use crate::state::ttl::Ttl;

/// Above every scope of preferences: the scope is a slot.
const HASHED: usize = 1 << 31;
/// A member's share of its own slots, where it is whole.
const WHOLE: u64 = 1 << 16;

/// The scope of clients whose network is in a slot.
pub fn hashed_scope(slot: usize) -> usize {
    HASHED | slot
}

/// Whether a scope is a slot: of networks, or that of chance.
#[inline(always)]
pub fn is_hashed(scope: usize) -> bool {
    scope >= HASHED
}

/// Puts the first `len` entries, which have their weights summed up, to the places of their candidates, each with its share of its
/// own slots in place of the sum; 0 is who is not drawn.
pub(super) fn spread_hashed(family: &FamilyPool, members: &mut [Entry], len: usize) {
    // Shares go by how much of its configured weight a member has; whoever has most of it keeps all of its slots.
    let ratio = |weight: u32, entry: &Entry| {
        (u64::from(weight) << 20) / u64::from(family.candidates[usize::from(entry.candidate)].weight.max(1))
    };
    for at in (1..len).rev() {
        members[at].end -= members[at - 1].end;
    }
    // Those that are in every answer were put first.
    members[..len].sort_unstable_by_key(|entry| entry.candidate);
    let most = members[..len].iter().map(|entry| ratio(entry.end, entry)).max().unwrap_or(0).max(1);
    let mut next = members.len();
    for at in (0..len).rev() {
        let entry = members[at];
        let place = usize::from(entry.candidate);
        members[place + 1..next].iter_mut().for_each(|entry| entry.end = 0);
        members[place] = Entry { end: (ratio(entry.end, &entry) * WHOLE / most).max(1) as u32, ..entry };
        next = place;
    }
    members[..next].iter_mut().for_each(|entry| entry.end = 0);
}

impl RotationTable {
    /// Draws for a client's slot, as [`RotationTable::draw`] does.
    pub(super) fn draw_hashed(
        &mut self,
        at: usize,
        family: &FamilyPool,
        scope: usize,
        ttl: Ttl,
        into: &mut [u8],
    ) -> Drawn {
        match family.family {
            Family::V4 => self.write_hashed::<A_RECORD_OCTETS>(at, family, scope, ttl, into),
            Family::V6 => self.write_hashed::<AAAA_RECORD_OCTETS>(at, family, scope, ttl, into),
        }
    }

    fn write_hashed<const OCTETS: usize>(
        &mut self,
        at: usize,
        family: &FamilyPool,
        scope: usize,
        ttl: Ttl,
        into: &mut [u8],
    ) -> Drawn {
        let rotation = &self.rotations[at];
        let (source, take) = (rotation.source, usize::from(rotation.take));
        let ttl = ttl.told(rotation.flip_secs).to_be_bytes();
        let Some(slots) = into.as_chunks_mut::<OCTETS>().0.get_mut(..take) else {
            return Drawn { count: 0, source };
        };
        let (records, _) = family.records.as_chunks::<OCTETS>();
        let mut count = 0;
        let mut leader = None;
        self.for_each_hashed(at, family, scope, |entry| {
            if let (Some(slot), Some(record)) =
                (slots.get_mut(count), records.get(usize::from(entry.candidate)))
            {
                put(slot, record, ttl);
                count += 1;
            }
            leader.get_or_insert(*entry);
            count < take
        });
        if let Some(leader) = leader {
            count_draw(&self.draws, &leader);
        }
        Drawn { count: count as u32, source }
    }

    /// Draws for a client's slot, as [`RotationTable::draw_one`] does.
    pub(super) fn draw_one_hashed(
        &mut self,
        at: usize,
        family: &FamilyPool,
        scope: usize,
        ttl: Ttl,
        into: &mut [u8],
    ) -> (Option<u16>, Source) {
        let Rotation { source, flip_secs, .. } = self.rotations[at];
        let ttl_secs = ttl.told(flip_secs);
        let mut leader = None;
        self.for_each_hashed(at, family, scope, |entry| {
            leader = Some(*entry);
            false
        });
        let written = leader.and_then(|leader| {
            let into = into.first_chunk_mut()?;
            match family.family {
                Family::V4 => {
                    super::write_record::<A_RECORD_OCTETS>(family, leader.candidate, ttl_secs, into)
                }
                Family::V6 => {
                    super::write_record::<AAAA_RECORD_OCTETS>(family, leader.candidate, ttl_secs, into)
                }
            }?;
            count_draw(&self.draws, &leader);
            Some(leader.candidate)
        });
        (written, source)
    }

    /// The first member for a slot that is drawn: most often the first of its order.
    #[inline]
    pub(super) fn first_of_slot(&self, at: usize, family: &FamilyPool, scope: usize) -> Option<Entry> {
        let rotation = &self.rotations[at];
        let slots = family.slots.as_ref().filter(|_| rotation.is_hashed)?;
        let slot = scope & (HASHED - 1);
        let first = *slots.order(slot).first()?;
        // The order has members of this rotation alone; another one's entry would not be of this candidate.
        let entry = self.entries.get(rotation.entries_at as usize + usize::from(first))?;
        if entry.end as u64 >= WHOLE {
            return Some(*entry);
        }
        let mut leader = None;
        self.for_each_hashed(at, family, scope, |entry| {
            leader = Some(*entry);
            false
        });
        leader
    }

    /// Gives the members for a slot, the first choice first, each once, until `take` has enough.
    pub(super) fn for_each_hashed(
        &self,
        at: usize,
        family: &FamilyPool,
        scope: usize,
        mut take: impl FnMut(&Entry) -> bool,
    ) {
        let Some(slots) = &family.slots else { return };
        let first = self.rotations[at].entries_at as usize;
        let Some(members) = self.entries.get(first..first + family.fallback_at) else { return };
        let slot = scope & (HASHED - 1);
        let order = slots.order(slot);
        let drawable = |member: &u16| members.get(usize::from(*member)).filter(|entry| entry.end > 0);
        let is_kept = |entry: &Entry| HashSlots::is_kept(slot, entry.candidate, entry.end);
        let mut passed = [false; MAX_ORDER];
        for (member, passed) in order.iter().zip(&mut passed) {
            let Some(entry) = drawable(member) else { continue };
            if !is_kept(entry) {
                *passed = true;
            } else if !take(entry) {
                return;
            }
        }
        // Those that have less than all of their clients, before nobody.
        for (member, _) in order.iter().zip(passed).filter(|(_, passed)| *passed) {
            if let Some(entry) = drawable(member)
                && !take(entry)
            {
                return;
            }
        }
        let (before, from) = members.split_at(slot % members.len().max(1));
        for entry in from.iter().chain(before).filter(|entry| entry.end > 0) {
            if !order.contains(&entry.candidate) && !take(entry) {
                return;
            }
        }
    }
}
