//! Verdicts of the probes as the packet path sees them: one 64-bit word a member, grouped by pool, each group under a
//! sequence lock.
//!
//! One thread writes (the keeper of `health/`), every worker reads. A reader never waits: while a write is under way
//! it is told so and goes on with what it had. Nothing here allocates after construction.
//!
//! # Memory ordering
//! The writer makes the sequence odd (relaxed store, then a release fence), stores the words (relaxed), and makes it
//! even again (release store). A reader loads the sequence (acquire), loads the words (relaxed), and loads the
//! sequence once more behind an acquire fence. If any word it saw was new, the release fence makes the odd sequence
//! visible to the second load, so the two differ and the read is thrown away. Checked with loom in the tests below.

#[cfg(steerd_loom)]
use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(steerd_loom))]
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// What the probes say of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum State {
    /// No verdict yet: drawn only where the pool has no UP member.
    #[default]
    Unknown,
    /// Enough consecutive successes.
    Up,
    /// Enough consecutive failures.
    Down,
}

impl State {
    /// The word used in logs, metrics and the admin API.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Unknown => "unknown",
            State::Up => "up",
            State::Down => "down",
        }
    }
}

/// One member's health as a single word, so that it is never seen half-written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Word(u64);

impl Word {
    /// Packs a state and the time it holds since, in seconds of the Unix epoch (good until 2106).
    pub fn new(state: State, since_secs: u32) -> Word {
        let state = match state {
            State::Unknown => 0,
            State::Up => 1,
            State::Down => 2,
        };
        Word(u64::from(since_secs) << 32 | state)
    }

    /// The packed state.
    pub fn state(self) -> State {
        match self.0 & 3 {
            1 => State::Up,
            2 => State::Down,
            // 0, and 3, which the only constructor never writes.
            _ => State::Unknown,
        }
    }

    /// Since when, in seconds of the Unix epoch.
    pub fn since_secs(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The words of every pool of one snapshot. Pools are numbered as in the snapshot, members as in the pool.
pub struct HealthTable {
    /// Per pool: even when at rest, odd while the writer is inside.
    sequences: Box<[AtomicU64]>,
    /// Per pool the index of its first word, and one more for the end.
    firsts: Box<[u32]>,
    words: Box<[AtomicU64]>,
}

impl HealthTable {
    /// A table for pools with these numbers of members, all UNKNOWN.
    pub fn new(member_counts: impl IntoIterator<Item = usize>) -> HealthTable {
        let mut firsts = vec![0u32];
        let mut total = 0u32;
        for count in member_counts {
            total += count as u32;
            firsts.push(total);
        }
        HealthTable {
            sequences: (1..firsts.len()).map(|_| AtomicU64::new(0)).collect(),
            words: (0..total).map(|_| AtomicU64::new(Word::default().0)).collect(),
            firsts: firsts.into_boxed_slice(),
        }
    }

    /// Number of pools.
    pub fn pool_count(&self) -> usize {
        self.sequences.len()
    }

    /// Number of members of a pool.
    ///
    /// # Panics
    /// When `pool` is not a pool of this table.
    pub fn member_count(&self, pool: usize) -> usize {
        (self.firsts[pool + 1] - self.firsts[pool]) as usize
    }

    /// The pool's sequence number: has it moved since the words were last read? Odd means a write is under way. `None` when
    /// `pool` is not a pool of this table.
    #[inline(always)]
    pub fn sequence(&self, pool: usize) -> Option<u64> {
        // Relaxed: only compared for change; `read` does its own acquire before any word is looked at.
        self.sequences.get(pool).map(|sequence| sequence.load(Ordering::Relaxed))
    }

    /// Copies a pool's words into `into` and returns the sequence number they belong to; `None` when the writer was
    /// inside meanwhile (then `into` holds nothing of use). Never waits.
    ///
    /// # Panics
    /// When `pool` is not a pool of this table, or `into` is not exactly as long as the pool has members.
    pub fn read(&self, pool: usize, into: &mut [Word]) -> Option<u64> {
        let words = self.pool_words(pool);
        assert_eq!(words.len(), into.len(), "one word a member");
        // Acquire: the words below are loaded no earlier than this, and are at least as new as this sequence.
        let before = self.sequences[pool].load(Ordering::Acquire);
        if before & 1 == 1 {
            return None;
        }
        for (to, word) in into.iter_mut().zip(words) {
            *to = Word(word.load(Ordering::Relaxed));
        }
        // Acquire fence: pairs with the writer's release fence; a new word seen above makes its odd sequence seen below.
        fence(Ordering::Acquire);
        let after = self.sequences[pool].load(Ordering::Relaxed);
        (before == after).then_some(before)
    }

    /// Copies a pool's words one by one, each whole, but perhaps not all of the same change.
    ///
    /// # Panics
    /// As [`Self::read`].
    pub fn read_each(&self, pool: usize, into: &mut [Word]) {
        let words = self.pool_words(pool);
        assert_eq!(words.len(), into.len(), "one word a member");
        for (to, word) in into.iter_mut().zip(words) {
            // Relaxed: every word stands for itself.
            *to = Word(word.load(Ordering::Relaxed));
        }
    }

    /// Publishes new words of one pool as one change: a reader sees all of them or none.
    ///
    /// # Invariants
    /// Only one thread may call this for a given table; a second one would break the sequence's parity. The health
    /// keeper is the only caller, and it owns the table's write side for as long as the table is current.
    ///
    /// # Panics
    /// When `pool` or a member is not of this table.
    pub fn write(&self, pool: usize, changes: impl IntoIterator<Item = (usize, Word)>) {
        let sequence = &self.sequences[pool];
        let words = self.pool_words(pool);
        // Relaxed: this thread is the only writer, so it reads its own last store.
        let before = sequence.load(Ordering::Relaxed);
        sequence.store(before + 1, Ordering::Relaxed);
        // Release fence: no word below becomes visible before the odd sequence.
        fence(Ordering::Release);
        for (member, word) in changes {
            words[member].store(word.0, Ordering::Relaxed);
        }
        // Release: every word above is visible to whoever sees the new even sequence.
        sequence.store(before + 2, Ordering::Release);
    }

    fn pool_words(&self, pool: usize) -> &[AtomicU64] {
        &self.words[self.firsts[pool] as usize..self.firsts[pool + 1] as usize]
    }
}

#[cfg(all(test, not(steerd_loom)))]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back_as_written_and_the_sequence_moves() {
        let table = HealthTable::new([2, 0, 3]);
        assert_eq!((table.pool_count(), table.member_count(1), table.member_count(2)), (3, 0, 3));
        let before = table.sequence(2).unwrap();
        table.write(2, [(1, Word::new(State::Down, 7)), (2, Word::new(State::Up, 9))]);
        let mut words = [Word::default(); 3];
        let sequence = table.read(2, &mut words).unwrap();
        assert!(sequence > before && Some(sequence) == table.sequence(2));
        assert_eq!(words.map(Word::state), [State::Unknown, State::Down, State::Up]);
        assert_eq!(words[2].since_secs(), 9);
        let mut each = [Word::default(); 3];
        table.read_each(2, &mut each);
        assert_eq!(each, words);
        assert_eq!(table.sequence(0), Some(0), "other pools are untouched");
    }

    #[test]
    fn reader_beside_a_busy_writer_never_sees_a_mixture() {
        let table = HealthTable::new([4]);
        let rounds = 20_000u32;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=rounds {
                    table.write(0, (0..4).map(|m| (m, Word::new(State::Up, round))));
                }
            });
            let mut words = [Word::default(); 4];
            while words[0].since_secs() < rounds {
                let mut read = [Word::default(); 4];
                if table.read(0, &mut read).is_some() {
                    assert!(read.iter().all(|w| *w == read[0]), "torn: {read:?}");
                    words = read;
                }
            }
        });
    }
}

#[cfg(all(test, steerd_loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;

    #[test]
    fn a_read_that_succeeds_is_never_torn() {
        loom::model(|| {
            let table = Arc::new(HealthTable::new([2]));
            let writer = {
                let table = table.clone();
                loom::thread::spawn(move || {
                    for round in 1..=2 {
                        table.write(0, (0..2).map(|m| (m, Word::new(State::Up, round))));
                    }
                })
            };
            let mut words = [Word::default(); 2];
            if let Some(sequence) = table.read(0, &mut words) {
                assert_eq!(words[0], words[1], "torn read at sequence {sequence}");
                assert_eq!(u64::from(words[0].since_secs()) * 2, sequence, "words of another sequence");
            }
            writer.join().unwrap();
        });
    }
}
