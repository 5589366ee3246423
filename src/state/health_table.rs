//! Verdicts of the probes as the packet path sees them: two 64-bit words a member and one a pool, grouped by pool, each
//! group under a sequence lock.
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

/// What is true of a member beside its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Flags(u8);

impl Flags {
    /// The state is an operator's, not the probes'.
    pub const FORCED: Flags = Flags(1);
    /// The state is the last good one: the probes are not trusted at the moment.
    pub const FROZEN: Flags = Flags(2);
    /// It shall get no new clients, though it may be UP.
    pub const DRAINING: Flags = Flags(4);

    /// Both.
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// These where `condition` holds, else none.
    pub const fn when(self, condition: bool) -> Flags {
        if condition { self } else { Flags(0) }
    }

    /// Whether one of these is set.
    pub const fn has_any(self, flags: Flags) -> bool {
        self.0 & flags.0 != 0
    }
}

/// Thousandths of a weight that is whole.
pub const WHOLE_PERMILLE: u16 = 1000;
/// The largest weight that an override may give.
pub const MAX_WEIGHT: u32 = 65_535;

/// One member's health in two words of 64 bits; the pool's sequence lock makes them one.
///
/// All zero is what holds before anything is known: UNKNOWN, of the whole configured weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Word {
    /// Since when (32 bits), seconds to a flip (16), flags (8), state (8).
    verdict: u64,
    /// What is missing of the weight in thousandths (16), whether there is an override (16), the override (32), from below.
    weight: u64,
}

impl Word {
    /// A state and the time it holds since, in seconds of the Unix epoch (good until 2106), of the whole weight.
    pub fn new(state: State, since_secs: u32) -> Word {
        let state = match state {
            State::Unknown => 0,
            State::Up => 1,
            State::Down => 2,
        };
        Word { verdict: u64::from(since_secs) << 32 | state, weight: 0 }
    }

    /// The same with these flags and no others.
    #[must_use]
    pub fn with_flags(self, flags: Flags) -> Word {
        Word { verdict: self.verdict & !0xff00 | u64::from(flags.0) << 8, ..self }
    }

    /// The same with so many seconds to the earliest change of the verdict; 0: no bound is known.
    #[must_use]
    pub fn with_flip_secs(self, flip_secs: u16) -> Word {
        Word { verdict: self.verdict & !0xffff_0000 | u64::from(flip_secs) << 16, ..self }
    }

    /// The same with so many thousandths of its weight; more than all is all.
    #[must_use]
    pub fn with_permille(self, permille: u16) -> Word {
        let missing = WHOLE_PERMILLE.saturating_sub(permille);
        Word { weight: self.weight & !0xffff | u64::from(missing), ..self }
    }

    /// The same with a weight in place of the configured one, [`MAX_WEIGHT`] at most.
    #[must_use]
    pub fn with_weight_override(self, weight: Option<u32>) -> Word {
        let given = weight.map_or(0, |weight| u64::from(weight.min(MAX_WEIGHT)) << 32 | 1 << 16);
        Word { weight: self.weight & 0xffff | given, ..self }
    }

    /// The packed state.
    pub fn state(self) -> State {
        match self.verdict & 0xff {
            1 => State::Up,
            2 => State::Down,
            // 0, and what the only constructor never writes.
            _ => State::Unknown,
        }
    }

    /// Since when, in seconds of the Unix epoch.
    pub fn since_secs(self) -> u32 {
        (self.verdict >> 32) as u32
    }

    /// What else is true of it.
    pub fn flags(self) -> Flags {
        Flags((self.verdict >> 8) as u8)
    }

    /// The least number of seconds until its verdict could change; 0: no bound is known.
    pub fn flip_secs(self) -> u16 {
        (self.verdict >> 16) as u16
    }

    /// Thousandths of its weight that count, 0..=1000.
    pub fn permille(self) -> u16 {
        WHOLE_PERMILLE.saturating_sub(self.weight as u16)
    }

    /// The weight in place of the configured one.
    pub fn weight_override(self) -> Option<u32> {
        (self.weight & 1 << 16 != 0).then_some((self.weight >> 32) as u32)
    }

    /// The weight that counts when nothing is held back, given the configured one.
    pub fn base_weight(self, configured: u32) -> u32 {
        self.weight_override().unwrap_or(configured)
    }

    /// The weight that counts, in thousandths, given the configured one.
    pub fn effective_weight(self, configured: u32) -> u64 {
        u64::from(self.base_weight(configured)) * u64::from(self.permille())
    }
}

/// What is said of a pool as a whole, for whoever refers to it; all zero is what holds before anything is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PoolWord {
    /// Whether it counts as up: enough of its members, and enough of its weight.
    pub is_up: bool,
    /// Whether its members' states are frozen.
    pub is_frozen: bool,
}

impl PoolWord {
    fn pack(self) -> u64 {
        u64::from(self.is_up) | u64::from(self.is_frozen) << 1
    }

    fn unpack(word: u64) -> PoolWord {
        PoolWord { is_up: word & 1 != 0, is_frozen: word & 2 != 0 }
    }
}

/// The words of every pool of one snapshot. Pools are numbered as in the snapshot, members as in the pool.
pub struct HealthTable {
    /// Per pool: even when at rest, odd while the writer is inside.
    sequences: Box<[AtomicU64]>,
    /// Per pool the index of its first word, and one more for the end.
    firsts: Box<[u32]>,
    /// Per member two: what [`Word`] packs.
    words: Box<[[AtomicU64; 2]]>,
    /// Per pool what [`PoolWord`] packs.
    pools: Box<[AtomicU64]>,
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
            words: (0..total).map(|_| [AtomicU64::new(0), AtomicU64::new(0)]).collect(),
            pools: (1..firsts.len()).map(|_| AtomicU64::new(0)).collect(),
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
            *to = load(word);
        }
        // Acquire fence: pairs with the writer's release fence; a new word seen above makes its odd sequence seen below.
        fence(Ordering::Acquire);
        let after = self.sequences[pool].load(Ordering::Relaxed);
        (before == after).then_some(before)
    }

    /// Copies a pool's words one by one, perhaps not all of the same change: not even the two of a member, each of which
    /// means something by itself.
    ///
    /// # Panics
    /// As [`Self::read`].
    pub fn read_each(&self, pool: usize, into: &mut [Word]) {
        let words = self.pool_words(pool);
        assert_eq!(words.len(), into.len(), "one word a member");
        for (to, word) in into.iter_mut().zip(words) {
            *to = load(word);
        }
    }

    /// What is said of the pool as a whole. `None` when `pool` is not a pool of this table.
    pub fn pool_word(&self, pool: usize) -> Option<PoolWord> {
        // Relaxed: a word stands for itself.
        self.pools.get(pool).map(|word| PoolWord::unpack(word.load(Ordering::Relaxed)))
    }

    /// Publishes new words of members of one pool as one change: a reader sees all of them or none.
    ///
    /// # Invariants
    /// Only one thread may call this for a given table; a second one would break the sequence's parity. The health
    /// keeper is the only caller, and it owns the table's write side for as long as the table is current.
    ///
    /// # Panics
    /// When `pool` or a member is not of this table.
    pub fn write(&self, pool: usize, changes: impl IntoIterator<Item = (usize, Word)>) {
        // Relaxed: this thread is the only writer, so it reads its own last store.
        let of_pool = PoolWord::unpack(self.pools[pool].load(Ordering::Relaxed));
        self.write_pool(pool, of_pool, changes);
    }

    /// As [`Self::write`], and what is said of the pool as a whole with it.
    ///
    /// # Panics
    /// As [`Self::write`].
    pub fn write_pool(
        &self,
        pool: usize,
        of_pool: PoolWord,
        changes: impl IntoIterator<Item = (usize, Word)>,
    ) {
        let sequence = &self.sequences[pool];
        let words = self.pool_words(pool);
        // Relaxed: this thread is the only writer, so it reads its own last store.
        let before = sequence.load(Ordering::Relaxed);
        sequence.store(before + 1, Ordering::Relaxed);
        // Release fence: no word below becomes visible before the odd sequence.
        fence(Ordering::Release);
        for (member, word) in changes {
            words[member][0].store(word.verdict, Ordering::Relaxed);
            words[member][1].store(word.weight, Ordering::Relaxed);
        }
        self.pools[pool].store(of_pool.pack(), Ordering::Relaxed);
        // Release: every word above is visible to whoever sees the new even sequence.
        sequence.store(before + 2, Ordering::Release);
    }

    fn pool_words(&self, pool: usize) -> &[[AtomicU64; 2]] {
        &self.words[self.firsts[pool] as usize..self.firsts[pool + 1] as usize]
    }
}

fn load([verdict, weight]: &[AtomicU64; 2]) -> Word {
    // Relaxed: whether the two belong together is the sequence's to say.
    Word { verdict: verdict.load(Ordering::Relaxed), weight: weight.load(Ordering::Relaxed) }
}

#[cfg(all(test, not(steerd_loom)))]
mod tests {
    use super::*;

    /// Both halves of it tell the round.
    fn word(round: u32) -> Word {
        Word::new(State::Up, round).with_weight_override(Some(round & 0xffff))
    }

    #[test]
    fn every_part_of_a_word_is_read_back_beside_every_other() {
        let flags = Flags::FORCED.and(Flags::DRAINING);
        let word = Word::new(State::Down, u32::MAX)
            .with_flags(flags)
            .with_flip_secs(0xabcd)
            .with_permille(1)
            .with_weight_override(Some(MAX_WEIGHT));
        assert_eq!((word.state(), word.since_secs()), (State::Down, u32::MAX));
        assert_eq!((word.flags(), word.flip_secs(), word.permille()), (flags, 0xabcd, 1));
        assert_eq!((word.weight_override(), word.effective_weight(3)), (Some(65_535), 65_535));
        let plain =
            word.with_weight_override(None).with_permille(2000).with_flip_secs(0).with_flags(Flags(0));
        assert_eq!(plain, Word::new(State::Down, u32::MAX));
        assert_eq!((plain.permille(), plain.effective_weight(3)), (1000, 3000));
        assert_eq!(word.with_weight_override(Some(0)).effective_weight(3), 0);
        assert_eq!((Word::default().state(), Word::default().permille()), (State::Unknown, 1000));
    }

    #[test]
    fn what_is_said_of_a_pool_is_read_back() {
        let table = HealthTable::new([1, 1]);
        table.write_pool(1, PoolWord { is_up: true, is_frozen: false }, []);
        table.write(1, [(0, Word::new(State::Up, 1))]);
        assert_eq!(table.pool_word(0), Some(PoolWord::default()));
        assert_eq!(table.pool_word(1), Some(PoolWord { is_up: true, is_frozen: false }));
        assert_eq!(table.pool_word(2), None);
    }

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
                    table.write(0, (0..4).map(|m| (m, word(round))));
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

    /// Both halves of it tell the round.
    fn word(round: u32) -> Word {
        Word::new(State::Up, round).with_weight_override(Some(round))
    }

    #[test]
    fn a_read_that_succeeds_is_never_torn() {
        loom::model(|| {
            let table = Arc::new(HealthTable::new([2]));
            let writer = {
                let table = table.clone();
                loom::thread::spawn(move || {
                    for round in 1..=2 {
                        table.write(0, (0..2).map(|m| (m, word(round))));
                    }
                })
            };
            let mut words = [Word::default(); 2];
            if let Some(sequence) = table.read(0, &mut words) {
                assert_eq!(words[0], words[1], "torn read at sequence {sequence}");
                assert_eq!(u64::from(words[0].since_secs()) * 2, sequence, "words of another sequence");
                assert_eq!(words[0].weight_override().unwrap_or(0), words[0].since_secs(), "two halves");
            }
            writer.join().unwrap();
        });
    }
}
