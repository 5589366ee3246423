//! When probes start: the first ones spread, the later ones on a grid of one interval with a little jitter. Pure:
//! time and randomness arrive as arguments.
//!
//! The jitter is drawn around a grid and not added up, so the mean distance of two starts is exactly the interval and
//! nothing drifts. The next start is decided when a probe has ended, so a probe never overlaps its predecessor.

use std::time::{Duration, Instant};

/// First probes start no faster than this many a second over all threads (fewer when the interval is over before):
/// soon for a small configuration, no avalanche for a large one.
const FIRST_PROBES_PER_SEC: u32 = 5000;

/// More new targets than this are spread over their interval from the second probe on: what began within seconds would go
/// on in bursts of that length.
const BURST_TARGETS: usize = FIRST_PROBES_PER_SEC as usize;

/// A start lies within 1/40 of the interval (2.5 %) of its grid point, so two starts are within 5 % of one interval.
const JITTER_DIVISOR: u64 = 40;

/// SplitMix64: eight octets of state, every seed good, and enough to keep probes from marching in step. Not for secrets.
#[derive(Clone, Debug)]
pub struct Prng(u64);

impl Prng {
    /// The sequence that belongs to this seed.
    pub fn new(seed: u64) -> Prng {
        Prng(seed)
    }

    /// The next 64 bits.
    pub fn next_bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..=most`, every one as likely as any other to within 2^-64.
    fn up_to(&mut self, most: u64) -> u64 {
        ((u128::from(self.next_bits()) * (u128::from(most) + 1)) >> 64) as u64
    }
}

/// When one target is probed.
#[derive(Clone, Debug)]
pub struct Schedule {
    interval: Duration,
    timeout: Duration,
    /// Where the start behind the one that is due would be without jitter.
    grid: Instant,
    due: Instant,
}

impl Schedule {
    /// The first start of the target that is number `index` of `count` new ones; the second follows within an interval.
    ///
    /// # Panics
    /// When `count` is 0.
    pub fn first(
        now: Instant,
        index: usize,
        count: usize,
        interval: Duration,
        timeout: Duration,
        prng: &mut Prng,
    ) -> Schedule {
        let window = (Duration::from_secs(count as u64) / FIRST_PROBES_PER_SEC).min(interval);
        // One start in each of `count` equal parts of the window, somewhere inside its part.
        let part_nanos = (window.as_nanos() / count as u128) as u64;
        let delay_nanos = part_nanos * index as u64 + prng.up_to(part_nanos);
        let due = now + Duration::from_nanos(delay_nanos);
        let grid = if count > BURST_TARGETS {
            // From one window to one interval behind the first, each in its own part of the interval.
            let part = interval.mul_f64(index as f64 / count as f64);
            now + window + part
        } else {
            due + interval
        };
        Schedule { interval, timeout, grid, due }
    }

    /// When the next probe shall start.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Moves on to a start this soon after the last one, which ran from `started` to `ended`; the interval counts from there.
    pub fn hasten(&mut self, started: Instant, ended: Instant, pause: Duration, prng: &mut Prng) {
        let most_nanos = pause.as_nanos() as u64 / JITTER_DIVISOR;
        let jittered = started + pause - Duration::from_nanos(most_nanos)
            + Duration::from_nanos(prng.up_to(2 * most_nanos));
        self.due = jittered.max(ended.min(started + self.timeout));
        self.grid = self.due + self.interval;
    }

    /// Moves on to the next start, after a probe that ran from `started` to `ended`.
    pub fn advance(&mut self, started: Instant, ended: Instant, prng: &mut Prng) {
        // After a standstill of this machine: one probe at once, not one for every interval missed.
        let missed = ended.saturating_duration_since(self.grid).as_nanos() / self.interval.as_nanos().max(1);
        self.grid += self.interval.saturating_mul(missed.min(u128::from(u32::MAX)) as u32);

        let most_nanos = self.interval.as_nanos() as u64 / JITTER_DIVISOR;
        let jitter_nanos = prng.up_to(2 * most_nanos);
        let jittered = self.grid - Duration::from_nanos(most_nanos) + Duration::from_nanos(jitter_nanos);
        // A probe that used its whole budget may end after that. The budget, not the actual end, is the bound, so that
        // an end the prober itself was late to see counts as lateness of the next start.
        self.due = jittered.max(ended.min(started + self.timeout));
        self.grid += self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INTERVAL: Duration = Duration::from_secs(5);
    const TIMEOUT: Duration = Duration::from_secs(1);

    #[test]
    fn few_targets_are_probed_at_once_and_many_are_spread_evenly() {
        let now = Instant::now();
        let mut prng = Prng::new(1);
        for (count, window) in [
            (1, Duration::from_micros(200)),
            (100, Duration::from_millis(20)),
            (10_000, Duration::from_secs(2)),
            (100_000, INTERVAL),
        ] {
            let delays: Vec<_> = (0..count)
                .map(|index| {
                    Schedule::first(now, index, count, INTERVAL, TIMEOUT, &mut prng).due().duration_since(now)
                })
                .collect();
            assert!(delays.iter().all(|delay| *delay <= window), "{count} targets within {window:?}");
            assert!(delays.is_sorted(), "each in its own part of the window");
            let in_first_half = delays.iter().filter(|delay| **delay < window / 2).count();
            assert!(in_first_half >= count / 2 && in_first_half <= count / 2 + 1, "{count}: {in_first_half}");
        }
    }

    #[test]
    fn many_targets_go_on_spread_over_their_interval() {
        let now = Instant::now();
        let mut prng = Prng::new(1);
        let interval = Duration::from_secs(60);
        let count = 100_000;
        let mut starts_by_second = [0; 85];
        for index in 0..count {
            let mut schedule = Schedule::first(now, index, count, interval, TIMEOUT, &mut prng);
            let first = schedule.due();
            schedule.advance(first, first, &mut prng);
            let distance = schedule.due() - first;
            assert!(distance <= interval + interval / 40, "{index} after {distance:?}");
            starts_by_second[(schedule.due() - now).as_secs() as usize] += 1;
            let second = schedule.due();
            schedule.advance(second, second, &mut prng);
            assert!(schedule.due() - second >= interval * 95 / 100);
        }
        // First probes take 20 s, the second ones the 60 s behind them: 1,667 a second.
        assert!(
            starts_by_second[22..78].iter().all(|starts| (1500..1850).contains(starts)),
            "{starts_by_second:?}"
        );
    }

    #[test]
    fn standstill_costs_one_late_probe_and_not_one_for_every_interval() {
        let now = Instant::now();
        let mut prng = Prng::new(2);
        let mut schedule = Schedule::first(now, 0, 1, INTERVAL, TIMEOUT, &mut prng);
        let resumed = now + Duration::from_secs(1000);
        schedule.advance(schedule.due(), resumed, &mut prng);
        assert!(schedule.due() <= resumed + INTERVAL + INTERVAL / 40);
        assert!(schedule.due() + INTERVAL + INTERVAL / 40 >= resumed);
    }

    #[test]
    fn probe_that_uses_the_whole_interval_is_followed_at_once_and_never_overlapped() {
        let now = Instant::now();
        let mut prng = Prng::new(3);
        let mut schedule = Schedule::first(now, 0, 1, INTERVAL, INTERVAL, &mut prng);
        for _ in 0..100 {
            let started = schedule.due();
            let ended = started + INTERVAL;
            schedule.advance(started, ended, &mut prng);
            assert!(schedule.due() >= ended);
            assert!(schedule.due() <= ended + INTERVAL / 10);
        }
    }

    #[test]
    fn late_end_of_the_prober_itself_shows_as_lateness() {
        let now = Instant::now();
        let mut prng = Prng::new(4);
        let mut schedule = Schedule::first(now, 0, 1, INTERVAL, INTERVAL, &mut prng);
        let started = schedule.due();
        schedule.advance(started, started + INTERVAL + Duration::from_secs(1), &mut prng);
        assert!(schedule.due() <= started + INTERVAL + INTERVAL / 40);
    }

    proptest! {
        #[test]
        fn hastened_start_is_within_five_percent_of_its_pause_and_the_interval_counts_from_there(
            seed: u64, pause_ms in 100u64..5000,
        ) {
            let pause = Duration::from_millis(pause_ms);
            let mut prng = Prng::new(seed);
            let mut schedule = Schedule::first(Instant::now(), 0, 1, INTERVAL, TIMEOUT, &mut prng);
            let started = schedule.due();
            schedule.hasten(started, started, pause, &mut prng);
            let distance = schedule.due() - started;
            prop_assert!(distance >= pause * 95 / 100 && distance <= pause * 105 / 100);
            let hastened = schedule.due();
            schedule.advance(hastened, hastened, &mut prng);
            let distance = schedule.due() - hastened;
            prop_assert!(distance >= INTERVAL * 95 / 100 && distance <= INTERVAL * 105 / 100);
        }

        #[test]
        fn starts_never_drift_and_stay_within_five_percent_of_the_interval(
            seed: u64,
            interval_ms in 100u64..3_600_000,
            timeout_permille in 1u64..900,
        ) {
            let interval = Duration::from_millis(interval_ms);
            let timeout = interval * timeout_permille as u32 / 1000;
            let mut prng = Prng::new(seed);
            let first = Schedule::first(Instant::now(), 0, 1, interval, timeout, &mut prng);
            let mut schedule = first.clone();
            for round in 1..=200u32 {
                let previous = schedule.due();
                schedule.advance(previous, previous + timeout, &mut prng);
                let distance = schedule.due() - previous;
                prop_assert!(distance >= interval * 95 / 100 && distance <= interval * 105 / 100);
                let grid = first.due() + interval * round;
                let off = schedule.due().max(grid) - schedule.due().min(grid);
                prop_assert!(off <= interval / 40, "round {} is {:?} off", round, off);
            }
        }
    }
}
