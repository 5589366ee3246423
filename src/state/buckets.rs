//! Token buckets in a table of fixed size: how many replies each client network has had lately.
//!
//! A bucket fills by its rate every second and holds what one second brings. The table is made once and never grows; where a
//! set is full, the bucket that would soonest be full again makes room, and whoever comes next begins with a full one.
//!
//! # Invariants
//! - A bucket is found by its whole key, never by a hash of it: no client is charged for another's replies.
//! - Forgetting a bucket only gives: at every moment each key has had at least as many replies granted as a bucket of its
//!   own, never forgotten, would have granted it. (Not reply by reply: what was given may be missing a moment later.)

use super::clock::TICKS_PER_SEC;

/// Largest rate, in replies a second.
pub const MAX_RATE: u32 = 1_000_000;

/// Octets of a table, one a worker: more than 49,000 buckets. Only buckets that are not full need a place, and none stays
/// below full for more than a second after its last reply.
const TABLE_OCTETS: usize = 1 << 20;
const SETS: usize = TABLE_OCTETS / size_of::<Set>();
const BUCKETS_A_SET: usize = 3;
const _: () = assert!(SETS.is_power_of_two() && size_of::<Set>() == 64);

/// Whose bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The client's network.
    pub network: u64,
    /// Whether that is of IPv6.
    pub is_v6: bool,
    /// The class of the replies, below the number of rates given.
    pub class: u8,
}

/// What becomes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is within its rate.
    Within,
    /// It is over its rate.
    Over,
    /// It is over its rate, and the one of `slip` that is to be told so.
    Slip,
}

/// The table of one worker; empty where nothing is limited.
#[derive(Default)]
pub struct Buckets {
    sets: Box<[Set]>,
    /// Makes the places of keys unforeseeable.
    seed: [u64; 2],
}

#[derive(Clone, Copy)]
#[repr(align(64))]
struct Set([Bucket; BUCKETS_A_SET]);

/// Twenty octets. Tokens are tenths of a reply, so that a tick brings as many as a second brings replies.
#[derive(Clone, Copy)]
#[repr(C)]
struct Bucket {
    network: [u32; 2],
    /// As they were at `tick`.
    tokens: u32,
    tick: u32,
    /// Class and family; [`FREE`] where there is no bucket.
    kind: u8,
    /// Replies over the rate since the last one that slipped.
    over: u8,
}

const FREE: u8 = u8::MAX;
const TOKENS_A_REPLY: u32 = TICKS_PER_SEC;
const V6: u8 = 0x80;

impl Bucket {
    const EMPTY: Bucket = Bucket { network: [0; 2], tokens: 0, tick: 0, kind: FREE, over: 0 };

    /// Tokens by now at this rate.
    #[inline]
    fn tokens_at(&self, rate: u32, tick: u32) -> u32 {
        let ticks = tick.wrapping_sub(self.tick).min(TICKS_PER_SEC);
        (self.tokens + ticks * rate).min(capacity(rate))
    }

    /// How long it takes to be full again, in units that only compare.
    fn time_to_full(&self, rates: &[u32], tick: u32) -> u64 {
        // A class that is not limited any more, or none at all: nothing is lost with it.
        let rate = rates.get(usize::from(self.kind & !V6)).copied().unwrap_or(0);
        let missing = capacity(rate) - self.tokens_at(rate, tick);
        (u64::from(missing) << 20) / u64::from(rate.max(1))
    }
}

/// Tokens of a full bucket: what a second brings.
#[inline]
fn capacity(rate: u32) -> u32 {
    rate * TOKENS_A_REPLY
}

impl Buckets {
    /// A table with every bucket full. `seed` should be known to nobody.
    pub fn new(seed: [u64; 2]) -> Buckets {
        Buckets { sets: vec![Set([Bucket::EMPTY; BUCKETS_A_SET]); SETS].into(), seed }
    }

    /// Whether it has no place at all.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Takes over what another table knows, which is given this one's memory; only where both have places.
    pub fn carry_from(&mut self, other: &mut Buckets) {
        if !self.is_empty() && !other.is_empty() {
            std::mem::swap(self, other);
        }
    }

    /// Grants a reply, or says that it is over the rate of its class. `rates` are replies a second by class, 0 without a
    /// limit, none above [`MAX_RATE`]; of `slip` replies over it one slips, none where that is 0.
    pub fn take(&mut self, key: Key, rates: &[u32], slip: u8, tick: u32) -> Verdict {
        let rate = rates.get(usize::from(key.class)).copied().unwrap_or(0);
        if rate == 0 || self.is_empty() {
            return Verdict::Within;
        }
        let kind = key.class | if key.is_v6 { V6 } else { 0 };
        let network = [(key.network >> 32) as u32, key.network as u32];
        let place = self.place(key.network, kind);
        let Set(set) = &mut self.sets[place];
        let found = set.iter().position(|bucket| bucket.kind == kind && bucket.network == network);
        let index = found.unwrap_or_else(|| soonest_full(set, rates, tick));
        let bucket = &mut set[index];
        if found.is_none() {
            *bucket = Bucket { network, tokens: capacity(rate), tick, kind, over: 0 };
        }
        bucket.tokens = bucket.tokens_at(rate, tick);
        bucket.tick = tick;
        if bucket.tokens >= TOKENS_A_REPLY {
            bucket.tokens -= TOKENS_A_REPLY;
            return Verdict::Within;
        }
        bucket.over = bucket.over.saturating_add(1);
        if slip == 0 || bucket.over < slip {
            return Verdict::Over;
        }
        bucket.over = 0;
        Verdict::Slip
    }

    /// The set of a key: a product of both halves with numbers nobody knows, folded.
    #[inline]
    fn place(&self, network: u64, kind: u8) -> usize {
        let product =
            u128::from(network ^ self.seed[0]) * u128::from(self.seed[1].rotate_left(u32::from(kind)) | 1);
        ((product >> 64) as u64 ^ product as u64) as usize & (self.sets.len() - 1)
    }
}

/// The bucket with which least is lost.
fn soonest_full(set: &[Bucket; BUCKETS_A_SET], rates: &[u32], tick: u32) -> usize {
    let mut best = (0, u64::MAX);
    for (index, bucket) in set.iter().enumerate() {
        let time = bucket.time_to_full(rates, tick);
        if time < best.1 {
            best = (index, time);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const SEED: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xD6E8_FEB8_6659_FD93];

    fn key(network: u64) -> Key {
        Key { network, is_v6: false, class: 0 }
    }

    /// A table of one set, where everybody meets.
    fn crowded() -> Buckets {
        Buckets { sets: vec![Set([Bucket::EMPTY; BUCKETS_A_SET])].into(), seed: SEED }
    }

    /// A bucket for each key, none ever forgotten: tokens at a tick.
    #[derive(Default)]
    struct Exact(HashMap<(u64, u8), (u64, u32)>);

    impl Exact {
        fn take(&mut self, key: Key, rate: u32, tick: u32) -> bool {
            let full = u64::from(rate) * 10;
            let (tokens, at) = self.0.entry((key.network, key.class)).or_insert((full, tick));
            *tokens = full.min(*tokens + u64::from(tick - *at) * u64::from(rate));
            *at = tick;
            let granted = *tokens >= 10;
            *tokens -= if granted { 10 } else { 0 };
            granted
        }
    }

    #[test]
    fn second_brings_so_many_replies_and_no_more_are_saved() {
        let mut buckets = Buckets::new(SEED);
        let mut granted = |count: u32, tick| {
            (0..count).filter(|_| buckets.take(key(1), &[5], 0, tick) == Verdict::Within).count()
        };
        assert_eq!(granted(100, 0), 5);
        assert_eq!(granted(100, 1), 0, "half a reply");
        assert_eq!(granted(100, 2), 1);
        assert_eq!(granted(100, 12), 5);
        assert_eq!(granted(100, 1_000_000), 5, "one second's, however long it was");
    }

    #[test]
    fn networks_families_and_classes_do_not_count_together() {
        let mut buckets = Buckets::new(SEED);
        let rates = [1, 1];
        for network in [1, 2, 1 << 40] {
            for is_v6 in [false, true] {
                for class in [0, 1] {
                    let key = Key { network, is_v6, class };
                    assert_eq!(buckets.take(key, &rates, 0, 0), Verdict::Within, "{key:?}");
                    assert_eq!(buckets.take(key, &rates, 0, 0), Verdict::Over, "{key:?}");
                }
            }
        }
    }

    #[test]
    fn every_slipth_reply_over_the_rate_slips() {
        for (slip, expected) in [(0, "......"), (1, "ssssss"), (2, ".s.s.s"), (3, "..s..s")] {
            let mut buckets = Buckets::new(SEED);
            assert_eq!(buckets.take(key(1), &[1], slip, 0), Verdict::Within);
            let seen: String = (0..6)
                .map(|_| if buckets.take(key(1), &[1], slip, 0) == Verdict::Slip { 's' } else { '.' })
                .collect();
            assert_eq!(seen, expected, "slip {slip}");
        }
    }

    #[test]
    fn class_without_a_rate_and_table_without_places_limit_nobody() {
        let mut buckets = Buckets::new(SEED);
        assert!((0..1000).all(|_| buckets.take(key(1), &[0], 2, 0) == Verdict::Within));
        let mut none = Buckets::default();
        assert!((0..1000).all(|_| none.take(key(1), &[1], 2, 0) == Verdict::Within));
    }

    #[test]
    fn worst_offender_keeps_its_place_when_a_flood_of_others_comes() {
        let mut buckets = crowded();
        while buckets.take(key(0), &[100], 0, 0) == Verdict::Within {}
        for network in 1..10_000 {
            assert_eq!(buckets.take(key(network), &[100], 0, 0), Verdict::Within);
        }
        assert_eq!(buckets.take(key(0), &[100], 0, 0), Verdict::Over);
    }

    #[test]
    fn what_is_known_is_carried_over_and_only_where_there_is_something() {
        let mut old = Buckets::new(SEED);
        assert_eq!(old.take(key(1), &[1], 0, 0), Verdict::Within);
        let mut next = Buckets::new([1, 2]);
        next.carry_from(&mut old);
        assert_eq!(next.take(key(1), &[1], 0, 0), Verdict::Over);
        let mut off = Buckets::default();
        off.carry_from(&mut next);
        assert!(off.is_empty() && !next.is_empty());
    }

    #[test]
    fn ticks_may_begin_anew() {
        let mut buckets = Buckets::new(SEED);
        assert_eq!(buckets.take(key(1), &[1], 0, u32::MAX - 4), Verdict::Within);
        assert_eq!(buckets.take(key(1), &[1], 0, 3), Verdict::Over);
        assert_eq!(buckets.take(key(1), &[1], 0, 5), Verdict::Within);
    }

    #[test]
    fn highest_rate_does_not_overflow() {
        let mut buckets = Buckets::new(SEED);
        for tick in 0..20 {
            assert_eq!(buckets.take(key(1), &[MAX_RATE], 0, tick), Verdict::Within);
        }
    }

    proptest! {
        /// Asked of at random: at every moment each key has had at least as much as from a bucket of its own.
        #[test]
        fn nobody_ever_has_less_than_from_a_bucket_of_its_own(
            queries in prop::collection::vec((0u64..12, 0u8..2, 0u32..4), 1..600), rates in [1u32..6, 1u32..6],
        ) {
            let (mut table, mut exact, mut tick) = (crowded(), Exact::default(), 0);
            let mut granted: HashMap<(u64, u8), (u32, u32)> = HashMap::new();
            for (network, class, ticks) in queries {
                tick += ticks / 2;
                let key = Key { network, is_v6: false, class };
                let (ours, own) = granted.entry((network, class)).or_default();
                *ours += u32::from(table.take(key, &rates, 2, tick) == Verdict::Within);
                *own += u32::from(exact.take(key, rates[usize::from(class)], tick));
                prop_assert!(*ours >= *own, "{key:?}: {ours} granted, {own} by a bucket of its own");
            }
        }

        /// As long as nobody is forgotten, the table is exact, reply by reply.
        #[test]
        fn table_with_room_for_all_is_exact(
            queries in prop::collection::vec((0u64..3, 0u32..4), 1..600), rate in 1u32..6,
        ) {
            let (mut table, mut exact, mut tick) = (crowded(), Exact::default(), 0);
            for (network, ticks) in queries {
                tick += ticks / 2;
                let granted = table.take(key(network), &[rate], 2, tick) == Verdict::Within;
                prop_assert_eq!(granted, exact.take(key(network), rate, tick));
            }
        }
    }
}
