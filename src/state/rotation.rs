//! Where one worker stands in each pool's rotation, and the draw itself.
//!
//! A rotation is derived from the pool's health words and rebuilt by the worker when the pool's sequence number has
//! moved; while the writer is inside, the worker goes on with what it has. All memory is allocated when the table is
//! made, sized by the snapshot: a rebuild or a draw allocates nothing, locks nothing and never waits.
//!
//! # The rotation
//! Weights are divided by their greatest common divisor; their sum W is the length of a cycle. A position walks
//! through 0..W in steps of a number near W/φ that has no divisor in common with W, so that a full cycle visits every
//! position once (exact shares) and neighbours in time are far apart (even interleaving). The member whose weight
//! covers the position leads the answer.
//!
//! Answers of k addresses are systematic samples with probability proportional to weight (Madow 1949): members whose
//! share exceeds 1/k are in every answer; the rest is sampled at k' evenly spaced positions, which cannot fall on the
//! same member twice. Hence the addresses of one answer are distinct, each member appears as often as its weight
//! allows, and the number of distinct sets is at most the number of members.

/// Draws of one address by chance or by network.
mod alone;
/// From health words to a rotation.
mod arrange;
/// Draws by chance.
mod chance;
/// What the next draw will give.
mod foretell;
/// Draws by the client's network.
mod hashed;
/// All members that can be drawn, at once.
mod listed;
/// Draws of members in place of their records.
mod picked;
/// Which sets of addresses there are.
mod sets;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use arrange::gcd;
use arrange::{Desk, arrange, choose_candidates, guide_len};
use chance::Chance;
pub use foretell::Foretold;
use hashed::spread_hashed;
pub use hashed::{hashed_scope, is_hashed};
pub use listed::Listed;
pub use picked::{Picked, Picks};
use sets::{Sets, find_sets};

use super::health_table::{HealthTable, Word};
use super::pool::{A_RECORD_OCTETS, AAAA_RECORD_OCTETS, Family, FamilyPool, Method, Pool, RECORD_TTL_AT};
use super::ttl::Ttl;

/// Most members of a pool; also the most fallback addresses.
pub const MAX_MEMBERS: usize = 1024;
/// Octets of an address record at most.
pub const MAX_RECORD_OCTETS: usize = AAAA_RECORD_OCTETS;
/// Never a sequence number at rest (those are even): a rotation that was not built yet.
const NEVER_BUILT: u64 = u64::MAX;
/// Guide entries at least; small weights then need no search at all.
const MIN_GUIDE: usize = 16;

/// What a draw wrote. Two numbers, so that they are returned in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Records written. 0: there is nothing to draw ([`Source::Empty`]), or the records do not all fit and no part of them
    /// may go alone (RFC 2181 §9).
    pub count: u32,
    /// What the members were drawn from.
    pub source: Source,
}

/// Which members a rotation is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// UP members.
    Up,
    /// Members that were UP when the probes were last trusted.
    Frozen,
    /// No member is UP: those without a verdict.
    Unknown,
    /// No member can be drawn: the fallback's addresses.
    Fallback,
    /// Nothing at all; for a region: look at the rotation over all.
    Empty,
}

/// The rotation of one (pool, family, scope) in one worker: a cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Rotation {
    /// Health sequence it was built from.
    sequence: u64,
    source: Source,
    /// Where the next leader is sought, 0..total.
    position: u32,
    /// Added to `position` for each draw.
    step: u32,
    /// W: sum of all weights.
    total: u32,
    /// Sum of the weights of the members that are in every answer; they come first in the order.
    certain_total: u32,
    /// Where the next sample of the rest begins when a certain member leads, 0..rest total.
    rest_position: u32,
    rest_step: u32,
    /// Addresses in an answer.
    take: u16,
    /// How many of them are in every answer.
    certain: u16,
    /// Above every fixed TTL where answers are single addresses of members that are UP, as most are; else 0.
    usual_below: u32,
    /// The least number of seconds until the state of a member changes that may be answered; 0: nothing is known of that.
    flip_secs: u16,
    /// Whether clients' networks decide; the entries are those of all members then, each with its share.
    is_hashed: bool,
    /// Position >> shift is the index into the guide.
    guide_shift: u8,
    /// Where this rotation's entries are.
    entries_at: u32,
    /// Where its guide is.
    guide_at: u32,
    /// Its sets, where answers have several addresses.
    sets: Sets,
}

const _: () = assert!(size_of::<Rotation>() == 64, "a rotation is a cache line");

/// A candidate's place in a rotation.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// Running sum of the weights: the entry covers the positions from the end of the one before it to this.
    end: u32,
    /// Index of the candidate.
    candidate: u16,
    /// Index of the member among those of all pools, by which its draws are counted; [`UNCOUNTED`] for a fallback
    /// address.
    counter: u32,
}

/// No member's number: pools have at most 2^16 members of 2^16 pools.
const UNCOUNTED: u32 = u32::MAX;

/// The rotations and draw counters of one worker.
pub struct RotationTable {
    rotations: Box<[Rotation]>,
    /// Per rotation its candidates, the certain ones first.
    entries: Box<[Entry]>,
    /// For each block of positions the first entry that covers one of them.
    guide: Box<[u16]>,
    /// Per rotation where its sets begin; as many places as entries.
    bounds: Box<[u32]>,
    /// Answers led by each member, over all pools; the control side reads them.
    draws: Arc<[AtomicU64]>,
    words: Box<[Word; MAX_MEMBERS]>,
    desk: Desk,
    /// What chance goes by.
    chance: Chance,
    /// Rotations rebuilt so far.
    rebuilds: u64,
}

/// Which rotations and members of an old table live on in a new one: pairs of old and new index.
#[derive(Default)]
pub struct Carry {
    /// Indices of rotations.
    pub rotations: Vec<(u32, u32)>,
    /// Indices of members over all pools.
    pub members: Vec<(u32, u32)>,
}

impl RotationTable {
    /// Memory for every rotation of these pools; none is built yet. The seed moves their first positions, so that
    /// workers do not all begin with the same member.
    pub fn new(pools: &[Pool], seed: u32) -> RotationTable {
        let mut rotations = Vec::new();
        let (mut entries, mut guide) = (0, 0);
        for family in pools.iter().flat_map(|pool| [&pool.v4, &pool.v6]) {
            for scope in 0..family.rotation_count() {
                let len = family.most_in_scope(scope);
                rotations.push(Rotation {
                    sequence: NEVER_BUILT,
                    source: Source::Empty,
                    position: seed.wrapping_mul(0x9E37_79B9),
                    step: 0,
                    total: 0,
                    certain_total: 0,
                    rest_position: 0,
                    rest_step: 0,
                    take: 0,
                    certain: 0,
                    usual_below: 0,
                    flip_secs: 0,
                    is_hashed: false,
                    guide_shift: 0,
                    entries_at: entries,
                    guide_at: guide,
                    sets: Sets::default(),
                });
                entries += len as u32;
                guide += guide_len(len) as u32;
            }
        }
        let members: usize = pools.iter().map(|pool| usize::from(pool.rules.member_count)).sum();
        RotationTable {
            rotations: rotations.into(),
            entries: vec![Entry::default(); entries as usize].into(),
            guide: vec![0; guide as usize].into(),
            bounds: vec![0; entries as usize].into(),
            draws: (0..members).map(|_| AtomicU64::new(0)).collect(),
            words: Box::new([Word::default(); MAX_MEMBERS]),
            desk: Desk::new(pools),
            chance: Chance::new(seed),
            rebuilds: 0,
        }
    }

    /// Answers led by each member since the start, for the control side; members are numbered over all pools.
    pub fn draw_counts(&self) -> Arc<[AtomicU64]> {
        self.draws.clone()
    }

    /// Rotations rebuilt since the last call.
    pub fn take_rebuilds(&mut self) -> u64 {
        std::mem::take(&mut self.rebuilds)
    }

    /// Takes over positions and counts from the table of the snapshot before.
    ///
    /// # Panics
    /// When an index of `carry` is not of these two tables.
    pub fn carry_from(&mut self, old: &RotationTable, carry: &Carry) {
        for &(from, to) in &carry.rotations {
            let (from, to) = (&old.rotations[from as usize], &mut self.rotations[to as usize]);
            // Taken modulo the cycle when the rotation is built.
            to.position = from.position;
            to.rest_position = from.rest_position;
        }
        for &(from, to) in &carry.members {
            // Relaxed: this worker is the only writer of both.
            let count = old.draws[from as usize].load(Ordering::Relaxed);
            self.draws[to as usize].store(count, Ordering::Relaxed);
        }
    }

    /// Draws the next answer of a family in a scope (0: all members; else that of the client's region among the family's
    /// regions) and writes its record to the beginning of `into`, if it is a single one of a member that is UP and the rotation
    /// is up to date; else writes and moves nothing, and is `None`: [`RotationTable::draw`] is to be asked.
    // A call of its own: inlined, it would push the rest of the query's life out of the registers. Without a call within,
    // that of a panic among them, it keeps to few of them itself.
    #[inline(never)]
    pub fn draw_single(
        &mut self,
        health: &HealthTable,
        family: &FamilyPool,
        scope: usize,
        ttl: Ttl,
        into: &mut [u8; MAX_RECORD_OCTETS],
    ) -> Option<()> {
        let rotation = self.rotations.get_mut(family.first_rotation as usize + scope)?;
        let sequence = health.sequence(family.rules.pool_id as usize)?;
        if rotation.sequence != sequence {
            return None;
        }
        let ttl_secs = if ttl.is_below(rotation.usual_below) {
            ttl.max_secs_if_fixed()
        } else if rotation.usual_below == 0 {
            return None;
        } else {
            ttl.told(rotation.flip_secs)
        };
        let leader = entry_at(rotation, &self.entries, &self.guide, rotation.position)?;
        let entry = self.entries.get(leader)?;
        match family.family {
            Family::V4 => write_record::<A_RECORD_OCTETS>(family, entry.candidate, ttl_secs, into),
            Family::V6 => write_record::<AAAA_RECORD_OCTETS>(family, entry.candidate, ttl_secs, into),
        }?;
        rotation.position = advance(rotation.position, rotation.step, rotation.total);
        count_draw(&self.draws, entry);
        Some(())
    }

    /// Draws the next answer of a family in a scope and writes its records, all or none, to the beginning of `into`.
    ///
    /// # Panics
    /// When the family, the health table and this table are not of the same snapshot.
    pub fn draw(
        &mut self,
        health: &HealthTable,
        family: &FamilyPool,
        scope: usize,
        ttl: Ttl,
        into: &mut [u8],
    ) -> Drawn {
        let at = self.settle(health, family, scope);
        if self.rotations[at].is_hashed {
            return self.draw_hashed(at, family, scope, ttl, into);
        }
        let (drawn, _) = match family.family {
            Family::V4 => self.write_records::<A_RECORD_OCTETS>(at, family, ttl, into),
            Family::V6 => self.write_records::<AAAA_RECORD_OCTETS>(at, family, ttl, into),
        };
        drawn
    }

    /// Draws the next answer's first address alone, and writes its record to the beginning of `into`; returns which candidate it
    /// is. `None`: there is nothing to draw, or the record does not fit; the second value tells what from.
    pub fn draw_one(
        &mut self,
        health: &HealthTable,
        family: &FamilyPool,
        scope: usize,
        ttl: Ttl,
        into: &mut [u8],
    ) -> (Option<u16>, Source) {
        let at = self.settle(health, family, scope);
        if self.rotations[at].is_hashed {
            return self.draw_one_hashed(at, family, scope, ttl, into);
        }
        self.roll(at, family);
        let rotation = &mut self.rotations[at];
        let source = rotation.source;
        if source == Source::Empty {
            return (None, source);
        }
        let Some(leader) = entry_at(rotation, &self.entries, &self.guide, rotation.position) else {
            return (None, source);
        };
        let ttl_secs = ttl.told(rotation.flip_secs);
        let Some(into) = into.first_chunk_mut() else { return (None, source) };
        let entry = &self.entries[leader];
        let written = match family.family {
            Family::V4 => write_record::<A_RECORD_OCTETS>(family, entry.candidate, ttl_secs, into),
            Family::V6 => write_record::<AAAA_RECORD_OCTETS>(family, entry.candidate, ttl_secs, into),
        };
        if written.is_none() {
            return (None, source);
        }
        rotation.position = advance(rotation.position, rotation.step, rotation.total);
        count_draw(&self.draws, entry);
        (Some(entry.candidate), source)
    }

    /// The rotation to draw from: the scope's own, or the one over all where the scope has nobody; up to date.
    fn settle(&mut self, health: &HealthTable, family: &FamilyPool, scope: usize) -> usize {
        if is_hashed(scope) {
            return self.fresh(health, family, 0);
        }
        let at = self.fresh(health, family, scope);
        let goes_on = || family.preference(scope).is_some_and(|preference| preference.then_anywhere);
        if self.rotations[at].source == Source::Empty && goes_on() {
            return self.fresh(health, family, 0);
        }
        at
    }

    /// The index of a rotation, rebuilt if the pool's health has moved.
    fn fresh(&mut self, health: &HealthTable, family: &FamilyPool, scope: usize) -> usize {
        let at = family.first_rotation as usize + scope;
        if Some(self.rotations[at].sequence) != health.sequence(family.rules.pool_id as usize) {
            self.rebuild(at, health, family, scope);
        }
        at
    }

    /// Whether nothing of the pool can be drawn in either family: what refuses a whole synthesized zone.
    pub fn is_exhausted(&mut self, health: &HealthTable, pool: &Pool) -> bool {
        [&pool.v4, &pool.v6].into_iter().all(|family| {
            let at = self.fresh(health, family, 0);
            self.rotations[at].source == Source::Empty
        })
    }

    /// Copies the records of the next answer and moves the rotation on; the second value is where among those that are not in
    /// every answer the first sample was taken.
    fn write_records<const OCTETS: usize>(
        &mut self,
        at: usize,
        family: &FamilyPool,
        ttl: Ttl,
        into: &mut [u8],
    ) -> (Drawn, u32) {
        self.roll(at, family);
        let rotation = &mut self.rotations[at];
        let (source, take) = (rotation.source, usize::from(rotation.take));
        let (slots, _) = into.as_chunks_mut::<OCTETS>();
        let Some((first, others)) = slots.get_mut(..take).and_then(|slots| slots.split_first_mut()) else {
            return (Drawn { count: 0, source }, 0);
        };
        let (records, _) = family.records.as_chunks::<OCTETS>();
        let ttl = ttl.told(rotation.flip_secs).to_be_bytes();
        let position = rotation.position;
        let Some(leader) = entry_at(rotation, &self.entries, &self.guide, position) else {
            return (Drawn { count: 0, source }, 0);
        };
        let entry = &self.entries[leader];
        put(first, &records[usize::from(entry.candidate)], ttl);
        rotation.position = advance(position, rotation.step, rotation.total);
        count_draw(&self.draws, entry);
        let start = if others.is_empty() {
            position
        } else {
            write_others(rotation, &self.entries, &self.guide, leader, position, |index, candidate| {
                put(&mut others[index], &records[usize::from(candidate)], ttl);
            })
        };
        (Drawn { count: take as u32, source }, start)
    }

    /// Derives a rotation anew from the pool's health words; leaves it as it is while the writer is inside.
    fn rebuild(&mut self, at: usize, health: &HealthTable, family: &FamilyPool, scope: usize) {
        let pool_id = family.rules.pool_id as usize;
        let words = &mut self.words[..usize::from(family.rules.member_count)];
        let sequence = match health.read(pool_id, words) {
            Some(sequence) => sequence,
            None if self.rotations[at].sequence == NEVER_BUILT => {
                // Nothing to go on with: each word as it is, perhaps of two changes, and another look at the next query.
                health.read_each(pool_id, words);
                NEVER_BUILT
            }
            None => return,
        };
        self.rebuilds += 1;
        let rotation = &mut self.rotations[at];
        let entries_at = rotation.entries_at as usize;
        let room = &mut self.entries[entries_at..];
        let (source, len) = choose_candidates(words, family, scope, room, &mut self.desk);
        rotation.sequence = sequence;
        rotation.source = source;
        let entries = &mut self.entries[entries_at..entries_at + len];
        let guide_at = rotation.guide_at as usize;
        arrange(rotation, words, family, entries, &mut self.guide[guide_at..], &self.desk);
        if family.rules.max_addrs_returned > 1 {
            rotation.sets = find_sets(rotation, entries, &mut self.bounds[entries_at..]);
        }
        // Addresses beside the members are in no slot.
        rotation.is_hashed = family.rules.method == Method::Hashed
            && entries.iter().all(|entry| entry.counter != UNCOUNTED)
            && len > 0;
        if rotation.is_hashed {
            let members = &mut self.entries[entries_at..entries_at + family.fallback_at];
            spread_hashed(family, members, len);
        }
        let is_usual = rotation.take == 1
            && source == Source::Up
            && !matches!(family.rules.method, Method::Random | Method::Hashed);
        rotation.usual_below = if is_usual { Ttl::ALL_FIXED } else { 0 };
    }
}

/// Counts an answer for the member that leads it.
#[inline(always)]
fn count_draw(draws: &[AtomicU64], entry: &Entry) {
    // Out of bounds only for what is not counted.
    if let Some(cell) = draws.get(entry.counter as usize) {
        // Relaxed load and store: one writer, and the reader needs no order with anything else.
        cell.store(cell.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// One record to the beginning of `into`, where there is one. Its length is known at compile time, so that the
/// copy is a move or two instead of a call.
#[inline(always)]
fn write_record<const OCTETS: usize>(
    family: &FamilyPool,
    candidate: u16,
    ttl_secs: u32,
    into: &mut [u8; MAX_RECORD_OCTETS],
) -> Option<()> {
    let record = family.records.as_chunks::<OCTETS>().0.get(usize::from(candidate))?;
    put(into.first_chunk_mut()?, record, ttl_secs.to_be_bytes());
    Some(())
}

/// A record into its place, with its TTL.
#[inline(always)]
fn put<const OCTETS: usize>(slot: &mut [u8; OCTETS], record: &[u8; OCTETS], ttl: [u8; 4]) {
    *slot = *record;
    slot[RECORD_TTL_AT..RECORD_TTL_AT + 4].copy_from_slice(&ttl);
}

/// The index, among all entries, of the one that covers a position; every position of a rotation's cycle has one.
#[inline(always)]
fn entry_at(rotation: &Rotation, entries: &[Entry], guide: &[u16], position: u32) -> Option<usize> {
    let block = (position >> rotation.guide_shift) as usize;
    let mut entry =
        rotation.entries_at as usize + usize::from(*guide.get(rotation.guide_at as usize + block)?);
    while entries.get(entry)?.end <= position {
        entry += 1;
    }
    Some(entry)
}

/// The addresses behind the leader, by `put` (index behind the leader, candidate); returns where the first sample of those that
/// are not in every answer was taken.
#[inline(never)]
fn write_others(
    rotation: &mut Rotation,
    entries: &[Entry],
    guide: &[u16],
    leader: usize,
    position: u32,
    mut put: impl FnMut(usize, u16),
) -> u32 {
    let first_entry = rotation.entries_at as usize;
    let first_uncertain = first_entry + usize::from(rotation.certain);
    let rest_total = rotation.total - rotation.certain_total;
    let samples = u32::from(rotation.take - rotation.certain);
    let mut index = 0;
    let mut put_entry = |entry: usize| {
        put(index, entries[entry].candidate);
        index += 1;
    };
    for entry in (first_entry..first_uncertain).filter(|entry| *entry != leader) {
        put_entry(entry);
    }
    // The first sample is the leader itself, unless a certain member leads.
    let (start, first) = if leader < first_uncertain {
        let start = rotation.rest_position;
        rotation.rest_position = advance(start, rotation.rest_step, rest_total);
        (start, 0)
    } else {
        (position - rotation.certain_total, 1)
    };
    for sample in first..samples {
        let offset = (u64::from(sample) * u64::from(rest_total) / u64::from(samples)) as u32;
        let position = rotation.certain_total + advance(start, offset, rest_total);
        put_entry(
            entry_at(rotation, entries, guide, position).expect("a position of the cycle has an entry"),
        );
    }
    start
}

/// `position + step` modulo `total`; both are below it, or `total` is 0.
#[inline]
fn advance(position: u32, step: u32, total: u32) -> u32 {
    // Sums of weights stay at or below 2^31 and steps below them, so this cannot overflow.
    let next = position + step;
    if next >= total { next - total } else { next }
}

#[cfg(test)]
mod tests;
