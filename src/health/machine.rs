//! Outcomes of probes to the state of a target: a pure function, time an argument.
//!
//! UNKNOWN at the start; UP after `rise` consecutive successes, DOWN after `retries` + 1 consecutive failures, from
//! whatever state (the first verdict needs the same counts). A success forgets the failures and the other way round.
//! Two things may keep a DOWN target from UP for longer, and never an UP one from DOWN:
//!
//! * `hold_down`: its successes must span this time.
//! * `damping`, after RFC 2439: each change between UP and DOWN adds `FLAP_PENALTY` to a penalty that halves every
//!   `half_life` and is at most `CEILING_TIMES` times `suppress`. A target that goes DOWN with a penalty above `suppress` stays so
//!   until the penalty is below `reuse`: no longer than `half_life` * log2(`CEILING_TIMES` * `suppress` / `reuse`) after it
//!   went DOWN, and then until its next success.
//!
//! A target that came from DOWN to UP carries a tenth of its weight at first and all of it after `warmup`, in
//! `WARMUP_STEPS` steps. First verdicts are taken as they are.
//!
//! It never reads a clock and never sees an address.

use std::time::Duration;

use crate::config::model::Monitor;
use crate::state::health_table::{State, WHOLE_PERMILLE};

/// What a change between UP and DOWN adds to the penalty.
pub const FLAP_PENALTY: u32 = 1000;
/// The penalty is at most this often `suppress`, so that the longest flapping is forgotten in a known time.
pub const CEILING_TIMES: u32 = 4;
/// Most changes of weight in a warm-up: each has every worker rebuild rotations.
pub const WARMUP_STEPS: u64 = 18;
/// Thousandths of its weight with which a target begins to warm up.
const COLD_PERMILLE: u64 = 100;
/// Starts of probes are at least this part of their interval apart, in hundredths (`schedule`).
const CLOSEST_PERCENT: u64 = 95;

/// What one probe says of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The target did what its monitor expects.
    Success,
    /// It did not.
    Failure,
    /// The probe could not be made for a reason of this machine's own: says nothing of the target.
    Inconclusive,
}

/// What it takes to change a verdict, times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Consecutive successes that make UP, at least 1.
    pub rise: u32,
    /// Consecutive failures that are forgiven.
    pub retries: u32,
    /// Time that the successes of a DOWN target must span.
    pub hold_down_ms: u64,
    /// Time in which a target that came UP again gets all of its weight.
    pub warmup_ms: u64,
    /// What is made of flapping.
    pub damping: Option<DampingRules>,
}

/// When a target that flaps is kept DOWN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DampingRules {
    /// Time in which a penalty halves, above 0.
    pub half_life_ms: u64,
    /// Penalty above which a target that goes DOWN stays so.
    pub suppress: u32,
    /// Penalty below which it may be UP again, at most `suppress`.
    pub reuse: u32,
}

impl Rules {
    /// Those of a monitor.
    pub fn of(monitor: &Monitor) -> Rules {
        let discipline = &monitor.discipline;
        Rules {
            hold_down_ms: millis(discipline.hold_down),
            warmup_ms: millis(discipline.warmup),
            damping: discipline.damping.map(|damping| DampingRules {
                half_life_ms: millis(damping.half_life).max(1),
                suppress: damping.suppress,
                reuse: damping.reuse,
            }),
            ..Rules::counting(monitor)
        }
    }

    /// Counts alone: what decides when the next probe is due.
    pub fn counting(monitor: &Monitor) -> Rules {
        let (rise, retries) = (monitor.rise, monitor.retries);
        Rules { rise, retries, hold_down_ms: 0, warmup_ms: 0, damping: None }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The state of a target with what it takes to change it. Times are milliseconds of one clock, whichever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MemberState {
    /// The verdict in force.
    pub state: State,
    /// Consecutive successes; 0 after a failure. Stops counting at `u32::MAX`.
    pub successes: u32,
    /// Consecutive failures; 0 after a success. Stops counting at `u32::MAX`.
    pub failures: u32,
    /// When the first of the successes was; of no meaning without any.
    pub good_since_ms: u64,
    /// The penalty for flapping, as it was at `flipped_ms`.
    pub penalty: u32,
    /// When the state last changed between UP and DOWN.
    pub flipped_ms: u64,
    /// Whether it is kept DOWN for flapping.
    pub suppressed: bool,
    /// Whether it came from DOWN to UP at `flipped_ms` and has not been seen with its whole weight since.
    pub warming: bool,
}

/// A change of the verdict; the two always differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The verdict until now.
    pub previous: State,
    /// The verdict from now on.
    pub state: State,
}

/// Takes one outcome into account.
pub fn step(
    before: MemberState,
    outcome: Outcome,
    rules: &Rules,
    now_ms: u64,
) -> (MemberState, Option<Change>) {
    let mut after = before;
    match outcome {
        Outcome::Inconclusive => return (before, None),
        Outcome::Success => {
            after.failures = 0;
            after.successes = before.successes.saturating_add(1);
            if before.successes == 0 {
                after.good_since_ms = now_ms;
            }
            if after.successes >= rules.rise && after.state != State::Up && !after.is_held(rules, now_ms) {
                after.turn(State::Up, rules, now_ms);
            }
        }
        Outcome::Failure => {
            after.successes = 0;
            after.failures = before.failures.saturating_add(1);
            if after.failures > rules.retries && after.state != State::Down {
                after.turn(State::Down, rules, now_ms);
            }
        }
    }
    let change =
        (after.state != before.state).then_some(Change { previous: before.state, state: after.state });
    (after, change)
}

/// Takes one outcome into account while verdicts are frozen: it counts, and changes nothing.
pub fn hold(before: MemberState, outcome: Outcome, now_ms: u64) -> MemberState {
    let patient = Rules { rise: u32::MAX, retries: u32::MAX, hold_down_ms: 0, warmup_ms: 0, damping: None };
    step(before, outcome, &patient, now_ms).0
}

impl MemberState {
    /// The same without failures that may have been the prober's own.
    #[must_use]
    pub fn acquitted(self) -> MemberState {
        if self.state == State::Down { self } else { MemberState { failures: 0, ..self } }
    }

    /// Whether a target that has its successes is kept from UP.
    fn is_held(&self, rules: &Rules, now_ms: u64) -> bool {
        self.state == State::Down
            && (now_ms.saturating_sub(self.good_since_ms) < rules.hold_down_ms
                || self.is_suppressed(rules, now_ms))
    }

    /// Whether it is kept DOWN for flapping.
    pub fn is_suppressed(&self, rules: &Rules, now_ms: u64) -> bool {
        let Some(damping) = rules.damping else { return false };
        self.suppressed && self.penalty_at(rules, now_ms) >= damping.reuse
    }

    /// The penalty for flapping that is left.
    pub fn penalty_at(&self, rules: &Rules, now_ms: u64) -> u32 {
        let Some(damping) = rules.damping else { return 0 };
        let half_lives = now_ms.saturating_sub(self.flipped_ms) as f64 / damping.half_life_ms as f64;
        (f64::from(self.penalty) * (-half_lives).exp2()) as u32
    }

    /// The same with another state, and what follows from that.
    #[must_use]
    pub fn turned(mut self, state: State, rules: &Rules, now_ms: u64) -> MemberState {
        self.turn(state, rules, now_ms);
        self
    }

    /// Changes the state, and what follows from that.
    fn turn(&mut self, state: State, rules: &Rules, now_ms: u64) {
        if self.state != State::Unknown {
            if let Some(damping) = rules.damping {
                let ceiling = damping.suppress.saturating_mul(CEILING_TIMES);
                self.penalty = (self.penalty_at(rules, now_ms).saturating_add(FLAP_PENALTY)).min(ceiling);
                self.suppressed = state == State::Down && self.penalty > damping.suppress;
            }
            self.flipped_ms = now_ms;
            self.warming = state == State::Up && rules.warmup_ms > 0;
        }
        self.state = state;
    }

    /// Thousandths of its weight that a target carries, and when that changes next.
    pub fn warmth(&self, rules: &Rules, now_ms: u64) -> (u16, Option<u64>) {
        let elapsed_ms = now_ms.saturating_sub(self.flipped_ms);
        if !self.warming || self.state != State::Up || elapsed_ms >= rules.warmup_ms {
            return (WHOLE_PERMILLE, None);
        }
        let step = elapsed_ms.saturating_mul(WARMUP_STEPS) / rules.warmup_ms;
        let permille = COLD_PERMILLE + (u64::from(WHOLE_PERMILLE) - COLD_PERMILLE) * step / WARMUP_STEPS;
        let next_ms = self.flipped_ms + ((step + 1) * rules.warmup_ms).div_ceil(WARMUP_STEPS);
        (permille as u16, Some(next_ms))
    }

    /// Whether the next probe is wanted soon: a verdict is about to be found, or in doubt.
    pub fn is_pressing(&self) -> bool {
        match self.state {
            State::Unknown => true,
            State::Up => self.failures > 0,
            State::Down => false,
        }
    }

    /// The least number of seconds until the verdict can change, whenever until the next outcome it is asked for; at
    /// least 1. The next outcome may come at any moment, so it counts for no time.
    pub fn flip_secs(&self, monitor: &Monitor) -> u16 {
        let soonest = monitor.discipline.retry_interval.unwrap_or(monitor.interval).min(monitor.interval);
        let apart = |probes: u32, pace: Duration| millis(pace) * u64::from(probes) * CLOSEST_PERCENT / 100;
        let to_down = || apart(monitor.retries.saturating_sub(self.failures), soonest);
        let to_up = |pace| apart(monitor.rise.saturating_sub(self.successes.saturating_add(1)), pace);
        let ms = match self.state {
            State::Up => to_down(),
            State::Unknown => to_down().min(to_up(soonest)),
            // While there is a success, part of the time to hold it down may have gone by.
            State::Down if self.successes == 0 => {
                to_up(monitor.interval).max(millis(monitor.discipline.hold_down))
            }
            State::Down => to_up(monitor.interval),
        };
        u16::try_from(ms / 1000).unwrap_or(u16::MAX).max(1)
    }
}

#[cfg(not(steerd_loom))]
#[cfg(test)]
mod tests;
