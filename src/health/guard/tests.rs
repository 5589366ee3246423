//! The guard against what it promises, and its sums against counting anew.

use super::*;
use proptest::prelude::*;

const RULES: Rules = Rules { share_percent: 50, thaw_percent: 75, window_ms: 10_000, min_targets: 3 };

/// This many UP targets, each with an address of its own, and this many canaries behind them.
fn guard(targets: u32, canaries: u32) -> Guard {
    let watched = |seat| Watched { seat, is_canary: seat >= targets, is_up: seat < targets };
    Guard::new(Some(RULES), (0..targets + canaries).map(watched), &Guard::default())
}

/// A probe that began half a second before its outcome.
fn probe(guard: &mut Guard, target: usize, succeeded: bool, now_ms: u64) -> Turn {
    guard.observe(target, succeeded, now_ms - 500, now_ms)
}

#[test]
fn more_than_the_share_within_the_window_freezes_and_slower_failures_do_not() {
    let mut fast = guard(6, 0);
    for target in 0..3 {
        assert_eq!(probe(&mut fast, target, false, 1000), Turn::Stay);
    }
    assert_eq!(probe(&mut fast, 3, false, 2000), Turn::Freeze(Cause::Share));
    assert_eq!(fast.figures(), Figures { addresses: 6, failing: 4, canaries: 0, canaries_failing: 0 });
    let mut slow = guard(6, 0);
    for target in 0..6 {
        assert_eq!(probe(&mut slow, target, false, 1000 + 6000 * target as u64), Turn::Stay);
        slow.note_state(target, false);
    }
}

#[test]
fn few_targets_prove_nothing() {
    let mut guard = guard(2, 0);
    assert_eq!(probe(&mut guard, 0, false, 1000), Turn::Stay);
    assert_eq!(probe(&mut guard, 1, false, 1000), Turn::Stay);
}

#[test]
fn address_with_many_targets_is_one() {
    let watched = |target: u32| Watched { seat: target / 8, is_canary: false, is_up: true };
    let mut guard = Guard::new(Some(RULES), (0..16).map(watched), &Guard::default());
    for target in 0..16 {
        assert_eq!(probe(&mut guard, target, false, 1000), Turn::Stay, "two addresses are fewer than three");
    }
    assert_eq!(guard.figures().failing, 2);
}

#[test]
fn what_fell_within_the_window_counts_and_is_named_when_it_freezes() {
    let mut guard = guard(4, 0);
    for target in 0..2 {
        probe(&mut guard, target, false, 1000);
        guard.note_state(target, false);
    }
    assert_eq!(probe(&mut guard, 2, false, 5000), Turn::Freeze(Cause::Share), "three of four");
    assert_eq!(guard.fallen(), [0, 1]);
}

#[test]
fn thaws_when_enough_answer_and_never_by_time() {
    let mut guard = guard(4, 0);
    for target in 0..3 {
        probe(&mut guard, target, false, 1000);
    }
    assert_eq!(guard.frozen_ms(), Some(1000));
    for now_ms in [100_000, 100_000_000] {
        assert_eq!(probe(&mut guard, 0, false, now_ms), Turn::Stay);
    }
    let late = guard.observe(0, true, 900, 100_000_001);
    assert_eq!(late, Turn::Stay, "a probe begun before the freeze proves nothing");
    assert_eq!(probe(&mut guard, 0, true, 200_000_000), Turn::Stay);
    assert_eq!(probe(&mut guard, 1, true, 200_000_001), Turn::Stay);
    assert_eq!(probe(&mut guard, 2, true, 200_000_002), Turn::Thaw(Cause::Share), "three of four answer");
    assert!(guard.is_outdated(200_000_002) && !guard.is_outdated(200_000_003));
}

#[test]
fn canaries_that_answer_tell_a_real_failure_and_it_does_not_freeze_again() {
    let mut guard = guard(4, 2);
    for target in 0..3 {
        probe(&mut guard, target, false, 1000);
    }
    assert_eq!(guard.frozen_ms(), Some(1000), "the canaries have not been asked since");
    assert_eq!(probe(&mut guard, 4, true, 2000), Turn::Thaw(Cause::Canaries), "half of them");
    for target in 0..3 {
        assert_eq!(probe(&mut guard, target, false, 3000), Turn::Stay, "known by now");
        guard.note_state(target, false);
    }
    assert_eq!(guard.figures().addresses, 1);
}

#[test]
fn canaries_that_all_fail_freeze_and_their_return_thaws() {
    let mut guard = guard(4, 2);
    assert_eq!(probe(&mut guard, 5, true, 500), Turn::Stay);
    assert_eq!(probe(&mut guard, 4, false, 1000), Turn::Stay);
    assert_eq!(probe(&mut guard, 5, false, 2000), Turn::Freeze(Cause::Canaries));
    assert_eq!(probe(&mut guard, 5, true, 3000), Turn::Thaw(Cause::Canaries));
    assert_eq!(probe(&mut guard, 5, false, 4000), Turn::Freeze(Cause::Canaries));
    for target in 0..2 {
        assert_eq!(probe(&mut guard, target, true, 5000), Turn::Stay);
    }
    assert_eq!(
        probe(&mut guard, 2, true, 5000),
        Turn::Thaw(Cause::Share),
        "the targets answer: it is the canaries"
    );
    assert_eq!(probe(&mut guard, 5, false, 6000), Turn::Stay, "and that is known by now");
}

#[test]
fn new_plan_goes_on_frozen_and_a_plan_without_rules_thaws() {
    let mut before = guard(4, 0);
    for target in 0..3 {
        probe(&mut before, target, false, 1000);
    }
    let watched = [Watched { seat: 0, is_canary: false, is_up: true }];
    let mut after = Guard::new(Some(RULES), watched, &before);
    assert_eq!(after.frozen_ms(), Some(1000));
    assert_eq!(probe(&mut after, 0, true, 5000), Turn::Thaw(Cause::Share));
    assert_eq!(Guard::new(None, watched, &before).frozen_ms(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn sums_are_what_counting_says_and_turns_alternate_by_evidence(
        seats in prop::collection::vec((0u32..6, any::<bool>()), 1..14), canaries in 0usize..3,
        outcomes in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 0u64..4000, 0u32..3), 0..200),
    ) {
        let count = seats.len() + canaries;
        let watched = seats.iter().map(|(seat, is_up)| Watched { seat: *seat, is_canary: false, is_up: *is_up })
            .chain((0..canaries).map(|c| Watched { seat: 10 + c as u32, is_canary: true, is_up: false }));
        let mut guard = Guard::new(Some(RULES), watched, &Guard::default());
        let mut now_ms = 10_000;
        for (index, succeeded, pause_ms, change) in outcomes {
            now_ms += pause_ms;
            let target = index.index(count);
            let before = guard.frozen_ms();
            let turn = guard.observe(target, succeeded, now_ms - 100, now_ms);
            match turn {
                Turn::Stay => prop_assert_eq!(guard.frozen_ms(), before),
                Turn::Freeze(_) => {
                    prop_assert!(before.is_none() && guard.frozen_ms() == Some(now_ms) && !succeeded);
                }
                Turn::Thaw(_) => {
                    prop_assert!(before.is_some() && guard.frozen_ms().is_none());
                    prop_assert!(guard.recent.is_empty());
                }
            }
            if guard.frozen_ms().is_none() && target < seats.len() && change > 0 {
                guard.note_state(target, change == 1);
            }
            let anew = |holds: &dyn Fn(&Seat) -> bool| guard.seats.iter().filter(|seat| holds(seat)).count() as u32;
            prop_assert_eq!(guard.addresses, anew(&|seat| seat.is_counted()));
            prop_assert_eq!(guard.failing, anew(&|seat| seat.is_failing()));
            prop_assert_eq!(guard.proved, anew(&|seat| seat.is_proved()));
            for (number, seat) in guard.seats.iter().enumerate() {
                let of = |holds: &dyn Fn(&Slot) -> bool| {
                    guard.slots.iter().filter(|slot| slot.seat as usize == number && holds(slot)).count() as u32
                };
                prop_assert_eq!(seat.counted, of(&|slot| slot.counts));
                prop_assert_eq!(seat.failing, of(&|slot| slot.is_failing));
            }
            prop_assert!(guard.slots.iter().all(|slot| slot.counts == (slot.is_up || slot.is_failing)));
            let failing = guard.slots.iter().filter(|slot| slot.is_canary && slot.run_ms.is_some()).count();
            prop_assert_eq!(guard.canaries_failing as usize, failing);
        }
    }

    #[test]
    fn link_that_is_cut_flips_nobody_whatever_the_order(
        count in 3usize..40, retries in 0u32..3, seed in any::<u64>(), cut_at in 1000u64..2000,
    ) {
        // Every target is probed once an interval of five seconds, each at its own time.
        let mut guard = guard(count as u32, 0);
        let mut prng = crate::health::schedule::Prng::new(seed);
        let phases: Vec<u64> = (0..count).map(|_| prng.next_bits() % 5000).collect();
        let mut failures = vec![0u32; count];
        let mut is_up = vec![true; count];
        let mut events: Vec<(u64, usize)> =
            (0..12).flat_map(|round| phases.iter().enumerate().map(move |(t, p)| (1000 + round * 5000 + p, t))).collect();
        events.sort_unstable();
        for (now_ms, target) in events {
            let succeeded = now_ms < cut_at;
            if let Turn::Freeze(_) = probe(&mut guard, target, succeeded, now_ms) {
                for fallen in guard.fallen() {
                    is_up[fallen] = true;
                    guard.note_state(fallen, true);
                }
            }
            failures[target] = if succeeded { 0 } else { failures[target] + 1 };
            if guard.frozen_ms().is_none() && failures[target] > retries {
                is_up[target] = false;
                guard.note_state(target, false);
            }
        }
        prop_assert!(guard.frozen_ms().is_some() && is_up.iter().all(|up| *up));
    }
}

#[test]
fn canaries_that_never_answered_freeze_nothing() {
    let mut guard = guard(3, 1);
    assert_eq!(probe(&mut guard, 3, false, 1000), Turn::Stay);
    assert_eq!(probe(&mut guard, 3, true, 2000), Turn::Stay);
    assert_eq!(probe(&mut guard, 3, false, 3000), Turn::Freeze(Cause::Canaries));
    for turn in 0..100 {
        probe(&mut guard, 0, turn % 2 == 0, 4000 + turn);
    }
    assert!(guard.recent.is_empty());
}

#[test]
fn what_is_known_outlives_an_adoption() {
    let mut before = guard(6, 0);
    for target in 0..3 {
        probe(&mut before, target, false, 1000);
    }
    let watched = |seat| Watched { seat, is_canary: false, is_up: true };
    let mut after = Guard::new(Some(RULES), (0..6).map(watched), &before);
    after.take_over(&before, (0..6).map(|old| (5 - old, old)));
    assert_eq!(after.figures(), before.figures());
    assert_eq!(probe(&mut after, 0, false, 2000), Turn::Freeze(Cause::Share));
}
