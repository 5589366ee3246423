//! How late probes start: a histogram of fixed size, written by one thread without a lock and read by any.
//!
//! Buckets are logarithmic with eight parts to an octave, so a quantile is at most 12.5 % too high, from 1 µs to nine
//! hours. It never allocates after construction.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// log2 of the parts an octave has.
const PART_BITS: u32 = 3;
/// Largest power of two of microseconds with buckets of its own (2^35 µs, nine hours); longer ones join the last bucket.
const LAST_OCTAVE: u32 = 35;
/// Number of buckets.
const BUCKETS: usize = ((LAST_OCTAVE - PART_BITS + 2) << PART_BITS) as usize;

/// The bucket of a duration in microseconds.
fn bucket(micros: u64) -> usize {
    let parts = 1u64 << PART_BITS;
    if micros < parts {
        return micros as usize;
    }
    let octave = 63 - micros.leading_zeros();
    let part = (micros >> (octave - PART_BITS)) & (parts - 1);
    ((((octave - PART_BITS + 1) << PART_BITS) as u64 + part) as usize).min(BUCKETS - 1)
}

/// The largest duration, in microseconds, that a bucket holds (of the last one: that is its own).
fn upper_micros(bucket: usize) -> u64 {
    let parts = 1u64 << PART_BITS;
    let bucket = bucket as u64;
    if bucket < parts {
        return bucket;
    }
    let octave = (bucket >> PART_BITS) as u32 + PART_BITS - 1;
    let part = bucket & (parts - 1);
    ((parts + part + 1) << (octave - PART_BITS)) - 1
}

/// The cells one prober thread writes.
pub(super) struct Recorder {
    buckets: Box<[AtomicU64]>,
    sum_micros: AtomicU64,
    max_micros: AtomicU64,
}

impl Recorder {
    /// All zero.
    pub(super) fn new() -> Recorder {
        Recorder {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum_micros: AtomicU64::new(0),
            max_micros: AtomicU64::new(0),
        }
    }

    /// Counts one. All orderings are relaxed: the cells are statistics, nothing is published through them.
    pub(super) fn record(&self, late: Duration) {
        let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(micros)].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
        self.max_micros.fetch_max(micros, Ordering::Relaxed);
    }

    /// Adds these counts to a histogram.
    pub(super) fn add_to(&self, histogram: &mut Histogram) {
        for (total, cell) in histogram.buckets.iter_mut().zip(&self.buckets) {
            *total += cell.load(Ordering::Relaxed);
        }
        histogram.sum_micros += self.sum_micros.load(Ordering::Relaxed);
        histogram.max_micros = histogram.max_micros.max(self.max_micros.load(Ordering::Relaxed));
    }
}

/// A copy of the counts, of one thread or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    buckets: Vec<u64>,
    sum_micros: u64,
    max_micros: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { buckets: vec![0; BUCKETS], sum_micros: 0, max_micros: 0 }
    }
}

impl Histogram {
    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All of them added up.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_micros)
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_micros(self.max_micros)
    }

    /// The duration that the share `quantile` (0.0..=1.0) of them did not pass; zero when there are none. Never below
    /// the true value, at most 12.5 % above it.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let count = self.count();
        let rank = ((count as f64 * quantile).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        for (bucket, held) in self.buckets.iter().enumerate() {
            seen += held;
            if seen >= rank {
                let upper = if bucket == BUCKETS - 1 { u64::MAX } else { upper_micros(bucket) };
                return Duration::from_micros(upper.min(self.max_micros));
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for b in 0..BUCKETS - 1 {
            assert_eq!(bucket(upper_micros(b)), b);
            assert_eq!(bucket(upper_micros(b) + 1), b + 1);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn empty_histogram_is_all_zero() {
        let histogram = Histogram::default();
        assert_eq!(
            (histogram.count(), histogram.quantile(0.99), histogram.max()),
            (0, Duration::ZERO, Duration::ZERO)
        );
    }

    proptest! {
        #[test]
        fn quantiles_are_never_too_low_and_at_most_an_eighth_too_high(
            mut micros in prop::collection::vec(0u64..20_000_000, 1..300),
            quantile in 0.0f64..=1.0,
        ) {
            let recorder = Recorder::new();
            for m in &micros {
                recorder.record(Duration::from_micros(*m));
            }
            let mut histogram = Histogram::default();
            recorder.add_to(&mut histogram);
            micros.sort_unstable();
            let rank = ((micros.len() as f64 * quantile).ceil() as usize).clamp(1, micros.len());
            let truth = micros[rank - 1];
            let found = histogram.quantile(quantile).as_micros() as u64;
            prop_assert!(found >= truth && found <= truth + truth / 8, "{found} for {truth}");
            prop_assert_eq!(histogram.count(), micros.len() as u64);
            prop_assert_eq!(histogram.max().as_micros() as u64, *micros.last().unwrap());
            prop_assert_eq!(histogram.sum().as_micros() as u64, micros.iter().sum::<u64>());
        }
    }
}
