//! Outcomes of probes to the state of a target: a pure function.
//!
//! UNKNOWN at the start; UP after `rise` consecutive successes, DOWN after `retries` + 1 consecutive failures, from
//! whatever state (the first verdict needs the same counts). A success forgets the failures and the other way round.
//! It never reads a clock and never sees an address.

use crate::state::health_table::State;

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

/// The state of a target with what it takes to change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MemberState {
    /// The verdict in force.
    pub state: State,
    /// Consecutive successes; 0 after a failure. Stops counting at `u32::MAX`.
    pub successes: u32,
    /// Consecutive failures; 0 after a success. Stops counting at `u32::MAX`.
    pub failures: u32,
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
pub fn step(before: MemberState, outcome: Outcome, rise: u32, retries: u32) -> (MemberState, Option<Change>) {
    let mut after = before;
    match outcome {
        Outcome::Inconclusive => return (before, None),
        Outcome::Success => {
            after.failures = 0;
            after.successes = before.successes.saturating_add(1);
            if after.successes >= rise {
                after.state = State::Up;
            }
        }
        Outcome::Failure => {
            after.successes = 0;
            after.failures = before.failures.saturating_add(1);
            if after.failures > retries {
                after.state = State::Down;
            }
        }
    }
    let change =
        (after.state != before.state).then_some(Change { previous: before.state, state: after.state });
    (after, change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(outcomes: &[Outcome], rise: u32, retries: u32) -> (MemberState, Vec<Change>) {
        let mut changes = Vec::new();
        let mut state = MemberState::default();
        for outcome in outcomes {
            let (after, change) = step(state, *outcome, rise, retries);
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
        let before = MemberState { state: State::Up, successes: 0, failures: 2 };
        assert_eq!(step(before, Outcome::Inconclusive, 1, 2), (before, None));
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
                let (after, change) = step(state, history[end - 1], rise, retries);
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
    }
}
