//! Latencies in log-linear buckets: 64 for each doubling, so a quantile is at most 1.6 % too high.
//!
//! Recording never allocates; the whole range of u64 nanoseconds has a bucket.

/// Buckets for each power of two.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Values below 2 × STEPS have a bucket each; then 64 for each of the remaining powers of two.
const BUCKETS: usize = (STEPS * (64 - STEP_BITS as u64 + 1)) as usize;

/// Counts of latencies in nanoseconds.
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    /// All buckets empty.
    pub(crate) fn new() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], total: 0, max: 0 }
    }

    /// Empties all buckets, in place.
    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
        (self.total, self.max) = (0, 0);
    }

    /// Counts one latency, so many times.
    pub(crate) fn record(&mut self, nanos: u64, times: u64) {
        if times > 0 {
            self.counts[bucket(nanos)] += times;
            self.total += times;
            self.max = self.max.max(nanos);
        }
    }

    /// The upper end of the bucket below which the share `part` (0 to 1) of all latencies lies; 0 when there are none.
    pub(crate) fn quantile(&self, part: f64) -> u64 {
        let wanted = (self.total as f64 * part).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_end(at).min(self.max);
            }
        }
        self.max
    }

    /// The longest latency, exactly.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }
}

fn bucket(nanos: u64) -> usize {
    // The number of octaves above the linear part; each halves the resolution.
    let octave = (u64::BITS - nanos.leading_zeros()).saturating_sub(STEP_BITS + 1);
    (u64::from(octave) * STEPS + (nanos >> octave)) as usize
}

fn upper_end(at: usize) -> u64 {
    let at = at as u64;
    let octave = (at / STEPS).saturating_sub(1);
    let start = at - octave * STEPS;
    (((u128::from(start) + 1) << octave) - 1).min(u128::from(u64::MAX)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn a_quantile_is_never_too_low_and_at_most_a_64th_too_high() {
        let mut random = Random::new(7);
        let mut histogram = Histogram::new();
        let mut values: Vec<u64> =
            (0..10_000).map(|_| u64::from(random.next()) >> random.below(32)).collect();
        values.iter().for_each(|value| histogram.record(*value, 1));
        values.sort_unstable();
        for part in [0.001, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = values[((values.len() as f64 * part).ceil() as usize).max(1) - 1];
            let found = histogram.quantile(part);
            assert!(found >= exact && found <= exact + exact / STEPS, "{part}: {found} for {exact}");
        }
        assert_eq!(histogram.max(), values[values.len() - 1]);
    }

    #[test]
    fn the_longest_latency_has_a_bucket() {
        let mut histogram = Histogram::new();
        histogram.record(u64::MAX, 1);
        assert_eq!(histogram.quantile(0.5), u64::MAX);
    }
}
