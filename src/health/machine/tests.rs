//! The state machine against what it promises: the whole history as the oracle, and bounds on every time.

use super::*;
use crate::config::model::{Damping, Discipline};
use crate::health::tests::tcp_monitor;
use proptest::prelude::*;

const fn counts(rise: u32, retries: u32) -> Rules {
    Rules { rise, retries, hold_down_ms: 0, warmup_ms: 0, damping: None }
}

fn run(outcomes: &[Outcome], rise: u32, retries: u32) -> (MemberState, Vec<Change>) {
    let mut changes = Vec::new();
    let mut state = MemberState::default();
    for outcome in outcomes {
        let (after, change) = step(state, *outcome, &counts(rise, retries), 0);
        state = after;
        changes.extend(change);
    }
    (state, changes)
}

#[test]
fn first_verdict_needs_the_same_counts_as_any_other() {
    use Outcome::{Failure, Success};
    assert_eq!(run(&[Success], 2, 2).0.state, State::Unknown);
    assert_eq!(run(&[Success, Success], 2, 2).0.state, State::Up);
    assert_eq!(run(&[Failure, Failure], 2, 2).0.state, State::Unknown);
    assert_eq!(run(&[Failure, Failure, Failure], 2, 2).0.state, State::Down);
}

#[test]
fn success_forgets_failures_and_failure_forgets_successes() {
    use Outcome::{Failure, Success};
    let (state, changes) = run(&[Success, Failure, Failure, Success, Failure, Failure], 1, 2);
    assert_eq!((state.state, state.failures, state.successes), (State::Up, 2, 0));
    assert_eq!(changes.len(), 1);
    let (state, _) = run(&[Failure, Success, Failure, Success], 2, 0);
    assert_eq!((state.state, state.failures, state.successes), (State::Down, 0, 1));
}

#[test]
fn inconclusive_outcome_changes_nothing_not_even_the_counts() {
    let before = MemberState { state: State::Up, failures: 2, ..MemberState::default() };
    assert_eq!(step(before, Outcome::Inconclusive, &counts(1, 2), 9), (before, None));
}

/// The oracle: looks at the whole history anew at every step.
fn verdict_by_history(history: &[Outcome], rise: usize, retries: usize) -> State {
    let history: Vec<_> = history.iter().filter(|o| **o != Outcome::Inconclusive).copied().collect();
    let ends_with = |end: usize, outcome, count: usize| {
        end >= count && history[end - count..end].iter().all(|o| *o == outcome)
    };
    (1..=history.len())
        .rev()
        .find_map(|end| {
            if ends_with(end, Outcome::Success, rise) {
                Some(State::Up)
            } else if ends_with(end, Outcome::Failure, retries + 1) {
                Some(State::Down)
            } else {
                None
            }
        })
        .unwrap_or(State::Unknown)
}

fn down() -> MemberState {
    MemberState { state: State::Down, failures: 3, ..MemberState::default() }
}

#[test]
fn recovered_target_must_have_been_good_for_the_hold_down() {
    let rules = Rules { hold_down_ms: 30_000, ..counts(2, 0) };
    let mut state = down();
    for now_ms in [5000, 15_000, 25_000, 34_999] {
        state = step(state, Outcome::Success, &rules, now_ms).0;
        assert_eq!(state.state, State::Down, "at {now_ms}");
    }
    let failed = step(state, Outcome::Failure, &rules, 34_999).0;
    assert_eq!(step(state, Outcome::Success, &rules, 35_000).0.state, State::Up);
    let again = step(failed, Outcome::Success, &rules, 36_000).0;
    assert_eq!((again.state, again.good_since_ms), (State::Down, 36_000), "a failure begins it anew");
    let first = step(MemberState::default(), Outcome::Success, &Rules { rise: 1, ..rules }, 0).0;
    assert_eq!(first.state, State::Up, "a first verdict is not held");
}

#[test]
fn flapping_target_is_kept_down_until_its_penalty_has_decayed() {
    let damping = DampingRules { half_life_ms: 60_000, suppress: 3000, reuse: 1500 };
    let rules = Rules { damping: Some(damping), ..counts(1, 0) };
    let mut state = step(MemberState::default(), Outcome::Success, &rules, 0).0;
    let mut now_ms = 0;
    for outcome in [Outcome::Failure, Outcome::Success, Outcome::Failure, Outcome::Success, Outcome::Failure]
    {
        now_ms += 1000;
        state = step(state, outcome, &rules, now_ms).0;
    }
    assert!(state.state == State::Down && state.suppressed, "{state:?}");
    assert!((4800..5000).contains(&state.penalty), "five changes within five seconds: {}", state.penalty);
    // 4,9xx is below 1,500 after 1.7 half-lives.
    assert_eq!(step(state, Outcome::Success, &rules, now_ms + 100_000).0.state, State::Down);
    assert_eq!(step(state, Outcome::Success, &rules, now_ms + 104_000).0.state, State::Up);
    assert_eq!(state.penalty_at(&rules, now_ms + 60_000), state.penalty / 2);
}

#[test]
fn warm_up_goes_from_a_tenth_to_all_and_only_after_down() {
    let rules = Rules { warmup_ms: 90_000, ..counts(1, 0) };
    let first = step(MemberState::default(), Outcome::Success, &rules, 7).0;
    assert_eq!(first.warmth(&rules, 7), (1000, None), "first verdicts are taken as they are");
    let up = step(down(), Outcome::Success, &rules, 1000).0;
    assert_eq!(up.warmth(&rules, 1000), (100, Some(6000)));
    assert_eq!(up.warmth(&rules, 46_000), (550, Some(51_000)));
    assert_eq!(up.warmth(&rules, 90_999), (950, Some(91_000)));
    assert_eq!(up.warmth(&rules, 91_000), (1000, None));
}

#[test]
fn next_probe_presses_while_a_verdict_is_in_doubt() {
    let of = |state, failures| MemberState { state, failures, ..MemberState::default() }.is_pressing();
    assert!(of(State::Unknown, 0) && of(State::Unknown, 1) && of(State::Up, 1));
    assert!(!of(State::Up, 0) && !of(State::Down, 1) && !of(State::Down, 0));
}

proptest! {
    #[test]
    fn state_is_what_the_whole_history_says(
        history in prop::collection::vec(
            prop_oneof![Just(Outcome::Success), Just(Outcome::Failure), Just(Outcome::Inconclusive)], 0..60),
        rise in 1u32..6,
        retries in 0u32..6,
    ) {
        let mut state = MemberState::default();
        for end in 1..=history.len() {
            let (after, change) = step(state, history[end - 1], &counts(rise, retries), end as u64);
            let expected = verdict_by_history(&history[..end], rise as usize, retries as usize);
            prop_assert_eq!(after.state, expected);
            prop_assert_eq!(change.is_some(), after.state != state.state);
            if let Some(change) = change {
                prop_assert_eq!((change.previous, change.state), (state.state, after.state));
            }
            prop_assert!(after.successes == 0 || after.failures == 0);
            state = after;
        }
    }

    #[test]
    fn nobody_is_held_longer_than_the_rules_say_nor_kept_from_going_down(
        flips in prop::collection::vec((any::<bool>(), 1u64..20_000), 1..120),
        rise in 1u32..4, retries in 0u32..4, hold_down_ms in 0u64..40_000,
        half_life_ms in 1000u64..100_000, suppress in 1000u32..20_000, reuse_percent in 5u32..=100,
    ) {
        let reuse = (suppress * reuse_percent / 100).max(1);
        let damping = DampingRules { half_life_ms, suppress, reuse };
        let rules = Rules { hold_down_ms, damping: Some(damping), ..counts(rise, retries) };
        let longest_ms = (half_life_ms as f64
            * (f64::from(CEILING_TIMES) * f64::from(suppress) / f64::from(reuse)).log2()).ceil() as u64 + 1;
        let (mut state, mut free) = (MemberState::default(), MemberState::default());
        let mut now_ms = 0;
        for (good, pause_ms) in flips {
            now_ms += pause_ms;
            let outcome = if good { Outcome::Success } else { Outcome::Failure };
            state = step(state, outcome, &rules, now_ms).0;
            free = step(free, outcome, &counts(rise, retries), now_ms).0;
            prop_assert!(state.penalty <= suppress.saturating_mul(CEILING_TIMES));
            // Without discipline: the same, or UP already.
            prop_assert!(state.state == free.state || (state.state, free.state) == (State::Down, State::Up));
            if state.state == State::Down {
                let held_ms = now_ms - state.flipped_ms;
                prop_assert!(!state.is_suppressed(&rules, now_ms) || held_ms <= longest_ms);
                // From here on it only succeeds: it is UP by the later of the two bounds and its counts.
                let begun = if state.successes > 0 { state.good_since_ms } else { now_ms };
                let by_ms = (state.flipped_ms + longest_ms).max(begun + hold_down_ms).max(now_ms);
                let mut later = state;
                for _ in 0..rise { later = step(later, Outcome::Success, &rules, now_ms).0; }
                later = step(later, Outcome::Success, &rules, by_ms).0;
                prop_assert_eq!(later.state, State::Up);
            }
        }
    }

    #[test]
    fn warm_up_rises_in_few_steps_and_names_each_of_them(warmup_ms in 1u64..3_600_000, began_ms in 0u64..1 << 40) {
        let rules = Rules { warmup_ms, ..counts(1, 0) };
        let up = step(down(), Outcome::Success, &rules, began_ms).0;
        let (mut now_ms, mut last, mut changes) = (began_ms, 0, 0);
        loop {
            let (permille, next_ms) = up.warmth(&rules, now_ms);
            prop_assert!(permille > last && permille <= 1000, "{} after {}", permille, last);
            last = permille;
            changes += 1;
            let Some(next_ms) = next_ms else { break };
            prop_assert!(next_ms > now_ms && next_ms <= began_ms + warmup_ms);
            prop_assert_eq!(up.warmth(&rules, next_ms - 1).0, permille, "nothing changes before");
            now_ms = next_ms;
        }
        prop_assert!(last == 1000 && changes <= 20);
    }

    #[test]
    fn no_verdict_changes_before_the_seconds_told(
        rise in 1u32..5, retries in 0u32..5, interval_ms in 1000u64..60_000, retry_percent in 10u64..=100,
        outcomes in prop::collection::vec(any::<bool>(), 0..40), hold_down_secs in 0u64..20,
    ) {
        let interval = Duration::from_millis(interval_ms);
        let retry_interval = interval * retry_percent as u32 / 100;
        let hold_down = Duration::from_secs(hold_down_secs);
        let discipline = Discipline { retry_interval: Some(retry_interval), hold_down, ..Discipline::default() };
        let monitor = Monitor { interval, rise, retries, discipline, ..(*tcp_monitor(1)).clone() };
        let rules = Rules::of(&monitor);
        let mut state = MemberState::default();
        let (mut now_ms, mut told) = (0u64, Vec::new());
        for good in outcomes {
            // The fastest that probes may follow each other.
            let pace = if state.is_pressing() { retry_interval } else { interval };
            now_ms += millis(pace) * 95 / 100;
            let outcome = if good { Outcome::Success } else { Outcome::Failure };
            let (after, change) = step(state, outcome, &rules, now_ms);
            if change.is_some() {
                // What was told just before this outcome counts from then, so it may be 1 s, which stands for none.
                for (at_ms, secs) in told.drain(..) {
                    let secs: u16 = secs;
                    prop_assert!(secs == 1 || now_ms >= at_ms + u64::from(secs) * 1000, "{} of {}", secs, now_ms - at_ms);
                }
            }
            state = after;
            // Asked for as late as may be: just before the next outcome.
            let pace = if state.is_pressing() { retry_interval } else { interval };
            told.push((now_ms + millis(pace) * 95 / 100, state.flip_secs(&monitor)));
        }
    }
}

#[test]
fn rules_are_those_of_the_monitor() {
    let damping = Damping { half_life: Duration::from_secs(60), suppress: 3000, reuse: 1500 };
    let discipline = Discipline { damping: Some(damping), ..Discipline::default() };
    let monitor = Monitor { rise: 2, discipline, ..(*tcp_monitor(1)).clone() };
    let rules = Rules::of(&monitor);
    assert_eq!(rules.damping, Some(DampingRules { half_life_ms: 60_000, suppress: 3000, reuse: 1500 }));
    assert_eq!(Rules::counting(&monitor), counts(2, 0));
}
