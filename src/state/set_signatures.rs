//! Signatures over the sets of addresses that one rotation answers with: made in the background, read by every worker.
//!
//! One thread writes, all workers read, and none of them waits: each table is under a sequence lock, as the health words are.
//! Which health the signatures belong to stands beside them, so that a worker whose rotation is of other health does without.
//! Nothing here allocates after construction.
//!
//! # Memory ordering
//! As in `health_table`: the writer makes the version odd (relaxed, then a release fence), stores (relaxed), and makes it even
//! again (release). A reader loads the version (acquire), what it wants (relaxed), and behind an acquire fence the version once
//! more; if the two differ, what it read is thrown away.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Octets of one word.
const WORD: usize = size_of::<u64>();
/// No health sequence at rest: those are even.
const OF_NOTHING: u64 = 1;

/// The RRSIG records of a name for every set of one rotation.
pub struct SetSignatures {
    /// Even at rest, odd while the writer is inside.
    version: AtomicU64,
    /// The health sequence that the signatures belong to.
    sequence: AtomicU64,
    /// Octets of the records of one set.
    octets_each: usize,
    /// The records, each set's in whole words.
    words: Box<[AtomicU64]>,
}

impl SetSignatures {
    /// Room for this many sets of records of so many octets each; nothing is signed yet.
    pub fn new(sets: usize, octets_each: usize) -> SetSignatures {
        let words = sets * octets_each.div_ceil(WORD);
        SetSignatures {
            version: AtomicU64::new(0),
            sequence: AtomicU64::new(OF_NOTHING),
            octets_each,
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Sets there is room for.
    pub fn capacity(&self) -> usize {
        self.words.len() / self.octets_each.div_ceil(WORD).max(1)
    }

    /// Octets of the records of one set.
    pub fn octets_each(&self) -> usize {
        self.octets_each
    }

    /// Whether the signatures are those of this health.
    pub fn are_of(&self, sequence: u64) -> bool {
        // Relaxed: `read` looks again, in order.
        self.sequence.load(Ordering::Relaxed) == sequence
    }

    /// Copies the records of a set to the beginning of `into`; returns their octets. `None`: they are not of this health, just
    /// being replaced, or do not fit. Never waits.
    pub fn read(&self, sequence: u64, set: usize, into: &mut [u8]) -> Option<usize> {
        let words_each = self.octets_each.div_ceil(WORD);
        let words = self.words.get(set * words_each..)?.get(..words_each)?;
        let into = into.get_mut(..self.octets_each)?;
        // Acquire: what follows is loaded no earlier, and is at least as new as this version.
        let before = self.version.load(Ordering::Acquire);
        if before & 1 == 1 || self.sequence.load(Ordering::Relaxed) != sequence {
            return None;
        }
        for (to, word) in into.chunks_mut(WORD).zip(words) {
            to.copy_from_slice(&word.load(Ordering::Relaxed).to_be_bytes()[..to.len()]);
        }
        // Acquire fence: pairs with the writer's release fence; a new word seen above makes its odd version seen below.
        fence(Ordering::Acquire);
        (self.version.load(Ordering::Relaxed) == before).then_some(self.octets_each)
    }

    /// Replaces all of it by the records of the sets of this health, in the order of the sets; what is too long or too many for
    /// the room there is leaves nothing in force.
    ///
    /// # Invariants
    /// Only one thread may call this and [`SetSignatures::withdraw`] for a given table, as for the health words.
    pub fn publish<'r>(&self, sequence: u64, records: impl ExactSizeIterator<Item = &'r [u8]>) {
        if records.len() > self.capacity() {
            return self.withdraw();
        }
        self.write(|| {
            let words_each = self.octets_each.div_ceil(WORD).max(1);
            let mut sequence = sequence;
            for (record, words) in records.zip(self.words.chunks(words_each)) {
                if record.len() != self.octets_each {
                    sequence = OF_NOTHING;
                }
                for (octets, word) in record.chunks(WORD).zip(words) {
                    let mut whole = [0; WORD];
                    whole[..octets.len()].copy_from_slice(octets);
                    word.store(u64::from_be_bytes(whole), Ordering::Relaxed);
                }
            }
            sequence
        });
    }

    /// Leaves nothing in force.
    pub fn withdraw(&self) {
        self.write(|| OF_NOTHING);
    }

    fn write(&self, inside: impl FnOnce() -> u64) {
        // Relaxed: this thread is the only writer, so it reads its own last store.
        let before = self.version.load(Ordering::Relaxed);
        self.version.store(before + 1, Ordering::Relaxed);
        // Release fence: nothing below becomes visible before the odd version.
        fence(Ordering::Release);
        let sequence = inside();
        self.sequence.store(sequence, Ordering::Relaxed);
        // Release: all of it is visible to whoever sees the even version.
        self.version.store(before + 2, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn records(fill: u8, sets: usize, octets: usize) -> Vec<Vec<u8>> {
        (0..sets).map(|set| vec![fill ^ set as u8; octets]).collect()
    }

    #[test]
    fn what_is_published_is_read_for_its_health_alone() {
        let table = SetSignatures::new(3, 21);
        let mut into = [0; 64];
        assert_eq!((table.capacity(), table.read(0, 0, &mut into)), (3, None));
        let all = records(0x50, 3, 21);
        table.publish(4, all.iter().map(Vec::as_slice));
        for (set, record) in all.iter().enumerate() {
            assert_eq!(table.read(4, set, &mut into), Some(21));
            assert_eq!(into[..21], record[..]);
        }
        assert!(table.are_of(4));
        assert_eq!(table.read(6, 0, &mut into), None, "other health");
        assert_eq!(table.read(4, 3, &mut into), None, "no such set");
        assert_eq!(table.read(4, 0, &mut [0; 20]), None, "no room");
        table.withdraw();
        assert_eq!(table.read(4, 0, &mut into), None);
    }

    #[test]
    fn what_has_no_room_is_not_in_force() {
        let table = SetSignatures::new(2, 8);
        for all in [records(1, 3, 8), records(1, 2, 9), records(1, 1, 7)] {
            table.publish(2, all.iter().map(Vec::as_slice));
            assert!(!table.are_of(2), "{} records of {} octets", all.len(), all[0].len());
        }
        table.publish(2, records(1, 1, 8).iter().map(Vec::as_slice));
        assert!(table.are_of(2), "fewer sets than there is room for");
    }

    /// Signatures of one health are made again and again, so that only the version tells them apart.
    #[test]
    fn nothing_half_written_is_read() {
        let table = SetSignatures::new(2, 96);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..20_000u32 {
                    let all = records(round as u8, 2, 96);
                    table.publish(2, all.iter().map(Vec::as_slice));
                }
                done.store(true, Ordering::Relaxed);
            });
            let mut into = [0; 96];
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) || reads == 0 {
                if table.read(2, 1, &mut into).is_some() {
                    reads += 1;
                    assert!(into.iter().all(|octet| *octet == into[0]), "torn");
                }
            }
        });
    }
}
