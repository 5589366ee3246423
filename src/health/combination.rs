//! What the monitors of a member come to together: pure, time an argument.
//!
//! With N of them that must pass, a member is UP while at least N say UP, DOWN when fewer than N can still say so (those that are
//! UNKNOWN may), and UNKNOWN in between. That is monotone: no member is worse for a monitor that is better.
//!
//! Each monitor's verdict is its own, counts, hold-down and damping included. What belongs to the member is since when the
//! combined verdict holds, and its warm-up.

use std::sync::Arc;

use super::machine::{MemberState, Rules};
use super::plan::Several;
use super::reason::Reason;
use super::status::TargetStatus;
use crate::config::model::Monitors;
use crate::state::health_table::State;

/// How many monitors must pass, and what they are called: the same for all members that have them.
#[derive(Debug)]
pub(super) struct Quorum {
    /// By monitor.
    pub(super) labels: Box<[Arc<str>]>,
    /// 1..=their number.
    pub(super) needed: u8,
    /// The longest warm-up of any of them.
    pub(super) warmup_ms: u64,
}

impl Quorum {
    /// Of these monitors.
    pub(super) fn of(monitors: &Monitors) -> Quorum {
        let mut labels: Vec<Arc<str>> = Vec::with_capacity(monitors.list.len());
        for (index, one) in monitors.list.iter().enumerate() {
            let plain = one.name.as_deref().unwrap_or(one.monitor.probe.kind());
            let is_taken = labels.iter().any(|label| &**label == plain);
            labels.push(if is_taken { format!("{plain}-{}", index + 1).into() } else { plain.into() });
        }
        let longest = monitors.list.iter().map(|one| one.monitor.discipline.warmup).max();
        let warmup_ms = longest.unwrap_or_default().as_millis() as u64;
        Quorum { labels: labels.into(), needed: monitors.pass, warmup_ms }
    }

    /// Rules under which a combined verdict changes: at once, and with a warm-up.
    pub(super) fn rules(&self) -> Rules {
        Rules { rise: 1, retries: 0, hold_down_ms: 0, warmup_ms: self.warmup_ms, damping: None }
    }
}

/// The verdict of several.
pub(super) fn state_of(states: impl Iterator<Item = State>, needed: u8) -> State {
    let (mut up, mut undecided) = (0u32, 0u32);
    for state in states {
        match state {
            State::Up => up += 1,
            State::Unknown => undecided += 1,
            State::Down => {}
        }
    }
    let needed = u32::from(needed);
    match (up >= needed, up + undecided >= needed) {
        (true, _) => State::Up,
        (false, true) => State::Unknown,
        (false, false) => State::Down,
    }
}

/// A combined verdict, with what is the member's own of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Combined {
    /// The verdict, and its warm-up; counts are those of its monitors.
    pub(super) verdict: MemberState,
    /// Since when it holds, in seconds of the Unix epoch; 0 while it was UNKNOWN from the start.
    pub(super) since_secs: u32,
    /// What it was before it last went DOWN, in case that was the prober's fault.
    before_fall: Option<(MemberState, u32)>,
}

impl Combined {
    /// The one that follows from these targets, each with its state and since when that holds, where nothing else is known.
    pub(super) fn first(targets: &[(State, u32)], needed: u8) -> Combined {
        let state = state_of(targets.iter().map(|(state, _)| *state), needed);
        let mut deciding: Vec<u32> =
            targets.iter().filter(|(of, _)| *of == state).map(|(_, since_secs)| *since_secs).collect();
        deciding.sort_unstable();
        // It is UP since the last needed one came, and DOWN since the first one went that it could not do without.
        let decisive = match state {
            State::Up => usize::from(needed) - 1,
            State::Down => targets.len() - usize::from(needed),
            State::Unknown => usize::MAX,
        };
        let since_secs = deciding.get(decisive).copied().unwrap_or(0);
        let verdict = MemberState { state, ..MemberState::default() };
        Combined { verdict, since_secs, before_fall: None }
    }

    /// That of one monitor alone.
    pub(super) fn of(verdict: MemberState, since_secs: u32) -> Combined {
        Combined { verdict, since_secs, before_fall: None }
    }

    /// Goes over to another verdict.
    pub(super) fn turn(&mut self, state: State, quorum: &Quorum, now_ms: u64, now_secs: u32) {
        if state == State::Down {
            self.before_fall = Some((self.verdict, self.since_secs));
        }
        self.verdict = self.verdict.turned(state, &quorum.rules(), now_ms);
        self.since_secs = now_secs;
    }

    /// Takes a fall back that was the prober's own.
    pub(super) fn restore(&mut self, state: State) {
        match self.before_fall.take() {
            Some((before, since_secs)) if before.state == state => {
                (self.verdict, self.since_secs) = (before, since_secs);
            }
            _ => self.verdict.state = state,
        }
    }
}

/// The monitor that decides, by its number: of those whose state is the verdict the one that came to it last.
fn decider(verdict: State, statuses: &[TargetStatus]) -> usize {
    let agreeing = statuses.iter().enumerate().filter(|(_, status)| status.state.state == verdict);
    // Of equals the first in their order.
    agreeing
        .rev()
        .max_by_key(|(_, status)| (status.since_secs, status.state.flipped_ms))
        .map_or(0, |(index, _)| index)
}

/// Why a member is what it is.
pub(super) fn reason_of(verdict: State, statuses: &[TargetStatus], quorum: &Quorum) -> Option<Reason> {
    let deciding = decider(verdict, statuses);
    let up = statuses.iter().filter(|status| status.state.state == State::Up).count();
    Some(Reason::Several {
        up: up as u8,
        total: statuses.len() as u8,
        needed: quorum.needed,
        monitor: quorum.labels.get(deciding)?.clone(),
        reason: Arc::new(statuses.get(deciding)?.reason.clone()?),
    })
}

/// What is known of a member with several monitors, as of one target: counts are sums, and the rest is that of the verdict.
pub(super) fn status_of(several: &Several, combined: &Combined, statuses: &[TargetStatus]) -> TargetStatus {
    let verdict = combined.verdict;
    let sum = |of: fn(&TargetStatus) -> u64| statuses.iter().map(of).sum();
    TargetStatus {
        state: MemberState {
            penalty: statuses.iter().map(|status| status.state.penalty).max().unwrap_or(0),
            suppressed: statuses.iter().any(|status| status.state.suppressed),
            ..verdict
        },
        since_secs: combined.since_secs,
        reason: reason_of(verdict.state, statuses, &several.quorum),
        succeeded: sum(|status| status.succeeded),
        failed: sum(|status| status.failed),
        inconclusive: sum(|status| status.inconclusive),
        last_duration: statuses.iter().filter_map(|status| status.last_duration).max(),
        advice: statuses.iter().fold(Default::default(), |all, status| status.advice.and(all)),
        before_fall: None,
        changed: statuses.iter().filter_map(|status| status.changed).max_by_key(|times| times.written_at),
    }
}

#[cfg(not(steerd_loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::advice::Advice;
    use proptest::prelude::*;

    const STATES: [State; 3] = [State::Down, State::Unknown, State::Up];

    /// How good a state is.
    fn rank(state: State) -> usize {
        STATES.iter().position(|one| *one == state).unwrap()
    }

    fn states() -> impl Strategy<Value = Vec<State>> {
        prop::collection::vec(prop::sample::select(&STATES[..]), 1..=8)
    }

    proptest! {
        #[test]
        fn no_member_is_worse_for_a_better_monitor(
            before in states(), at in any::<prop::sample::Index>(), needed in 1u8..=8,
        ) {
            let needed = needed.min(before.len() as u8);
            let at = at.index(before.len());
            let worse = state_of(before.iter().copied(), needed);
            for better in &STATES[rank(before[at])..] {
                let mut after = before.clone();
                after[at] = *better;
                prop_assert!(rank(state_of(after.into_iter(), needed)) >= rank(worse));
            }
        }

        #[test]
        fn verdict_is_what_every_way_to_decide_the_undecided_agrees_on(before in states(), needed in 1u8..=8) {
            let needed = needed.min(before.len() as u8);
            let decided = |undecided: State| {
                let states = before.iter().map(|state| if *state == State::Unknown { undecided } else { *state });
                state_of(states, needed)
            };
            let expected = if decided(State::Down) == decided(State::Up) { decided(State::Up) } else { State::Unknown };
            prop_assert_eq!(state_of(before.iter().copied(), needed), expected);
        }

        #[test]
        fn asking_for_more_never_makes_a_member_better(before in states(), needed in 1u8..8) {
            prop_assume!(usize::from(needed) < before.len());
            let fewer = state_of(before.iter().copied(), needed);
            prop_assert!(rank(state_of(before.iter().copied(), needed + 1)) <= rank(fewer));
        }
    }

    #[test]
    fn all_any_and_some_of_three() {
        use State::{Down, Unknown, Up};
        for (states, all, two, any) in [
            ([Up, Up, Up], Up, Up, Up),
            ([Up, Up, Down], Down, Up, Up),
            ([Up, Down, Down], Down, Down, Up),
            ([Down, Down, Down], Down, Down, Down),
            ([Up, Unknown, Down], Down, Unknown, Up),
            ([Up, Up, Unknown], Unknown, Up, Up),
            ([Unknown, Unknown, Down], Down, Unknown, Unknown),
        ] {
            for (needed, expected) in [(3, all), (2, two), (1, any)] {
                assert_eq!(state_of(states.into_iter(), needed), expected, "{needed} of {states:?}");
            }
        }
    }

    #[test]
    fn verdict_of_a_restart_is_as_old_as_the_monitor_that_decided_it() {
        use State::{Down, Unknown, Up};
        for (targets, needed, since_secs) in [
            (&[(Up, 5), (Up, 9), (Up, 7)][..], 3, 9),
            (&[(Up, 5), (Up, 9), (Up, 7)], 2, 7),
            (&[(Up, 5), (Down, 9), (Down, 7)], 3, 7),
            (&[(Up, 5), (Down, 9), (Down, 7)], 2, 9),
            (&[(Up, 5), (Unknown, 0)], 2, 0),
        ] {
            assert_eq!(Combined::first(targets, needed).since_secs, since_secs, "{needed} of {targets:?}");
        }
    }

    #[test]
    fn reason_names_the_monitor_that_decided_last_and_advice_is_the_least() {
        let status = |state, since_secs, up, permille| TargetStatus {
            state: MemberState { state, ..MemberState::default() },
            since_secs,
            reason: Some(Reason::Forced { up }),
            advice: Advice { weight_permille: permille, drain: permille == Some(500) },
            succeeded: 2,
            ..TargetStatus::default()
        };
        let statuses = [
            status(State::Up, 9, true, Some(700)),
            status(State::Down, 3, false, None),
            status(State::Down, 7, false, Some(500)),
        ];
        let labels = ["tcp", "http", "deep"].map(Arc::from).into();
        let quorum = Quorum { labels, needed: 2, warmup_ms: 0 };
        let reason = reason_of(State::Down, &statuses, &quorum).unwrap();
        assert_eq!(reason.to_string(), "1 of 3 monitors up, 2 needed: deep \"forced down\"");
        let several = Several { quorum: Arc::new(quorum), index: 0 };
        let combined = Combined::first(&[(State::Up, 9), (State::Down, 3), (State::Down, 7)], 2);
        let whole = status_of(&several, &combined, &statuses);
        assert_eq!((whole.state.state, whole.since_secs, whole.succeeded), (State::Down, 7, 6));
        assert_eq!(whole.advice, Advice { weight_permille: Some(500), drain: true });
    }

    #[test]
    fn fall_that_was_the_probers_own_is_taken_back_with_its_age() {
        let quorum = Quorum { labels: Box::default(), needed: 1, warmup_ms: 1000 };
        let mut combined = Combined::first(&[(State::Up, 5)], 1);
        combined.turn(State::Down, &quorum, 100, 9);
        assert_eq!((combined.verdict.state, combined.since_secs), (State::Down, 9));
        combined.restore(State::Up);
        assert_eq!(
            (combined.verdict.state, combined.since_secs, combined.verdict.warming),
            (State::Up, 5, false)
        );
        combined.turn(State::Down, &quorum, 200, 11);
        combined.turn(State::Up, &quorum, 300, 12);
        assert!(combined.verdict.warming, "a member that really came back warms up");
    }
}
