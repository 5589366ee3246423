//! What is known of a target, as words of the table: a member's, and from its members' a pool's.
//!
//! The writer keeps what it wrote, so that only what differs is written: each write has every worker rebuild the pool's
//! rotations. It never decides over a state.

use std::sync::Arc;

use super::advice::Advice;
use super::combination::{Combined, Quorum};
use super::machine::Rules;
use super::overrides::Effect;
use super::plan::PlanPool;
use super::probe::Script;
use super::status::TargetStatus;
use crate::state::health_table::{Flags, HealthTable, PoolWord, State, WHOLE_PERMILLE, Word};
use crate::state::tree::Scratch;

/// What probes say of a member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub(super) state: State,
    pub(super) since_secs: u32,
    /// Least time until it can change; 0: it never does by itself.
    flip_secs: u16,
    advice: Advice,
    /// Thousandths of its weight that its warm-up leaves it.
    warmth_permille: u16,
    /// When that changes by the time alone.
    next_ms: Option<u64>,
}

impl Verdict {
    /// Of one monitor alone.
    pub(super) fn of_target(status: &TargetStatus, script: &Script, now_ms: u64) -> Verdict {
        let (warmth_permille, next_ms) = status.state.warmth(&Rules::of(&script.monitor), now_ms);
        Verdict {
            state: status.state.state,
            since_secs: status.since_secs,
            flip_secs: flip_secs(status, script).unwrap_or(0),
            advice: status.advice,
            warmth_permille,
            next_ms,
        }
    }

    /// Of several: each with its target's status and script. None of them can change before the first of them does.
    pub(super) fn of_several(
        combined: &Combined,
        quorum: &Quorum,
        targets: &[(TargetStatus, &Script)],
        now_ms: u64,
    ) -> Verdict {
        let (warmth_permille, next_ms) = combined.verdict.warmth(&quorum.rules(), now_ms);
        let soonest = targets.iter().filter_map(|(status, script)| flip_secs(status, script)).min();
        Verdict {
            state: combined.verdict.state,
            since_secs: combined.since_secs,
            flip_secs: soonest.unwrap_or(0),
            advice: targets.iter().fold(Advice::default(), |all, (status, _)| all.and(status.advice)),
            warmth_permille,
            next_ms,
        }
    }
}

/// Least time until a target's verdict can change; `None`: it does not hang on outcomes.
fn flip_secs(status: &TargetStatus, script: &Script) -> Option<u16> {
    script.forced().is_none().then(|| status.state.flip_secs(&script.monitor))
}

/// The word of a member, and when it changes by the time alone.
pub(super) fn member_word(
    verdict: &Verdict,
    effect: &Effect,
    is_frozen: bool,
    now_ms: u64,
) -> (Word, Option<u64>) {
    let Advice { weight_permille, drain } = verdict.advice;
    let is_draining = drain || effect.drain;
    let advised = weight_permille.unwrap_or(WHOLE_PERMILLE).min(WHOLE_PERMILLE);
    let warmed = u32::from(verdict.warmth_permille) * u32::from(advised) / 1000;
    let permille = if is_draining { 0 } else { warmed };
    // What is advised above 0 stays so, however cold.
    let permille = if advised > 0 && !is_draining { permille.max(1) } else { permille };
    // What does not hang on outcomes is not changed by one, but by its end.
    let (flip_secs, again_ms) = match effect.state {
        Some(_) => effect.flip_secs(now_ms),
        None => (verdict.flip_secs, None),
    };
    let flags = Flags::FORCED
        .when(effect.is_any())
        .and(Flags::FROZEN.when(is_frozen))
        .and(Flags::DRAINING.when(is_draining));
    let (state, since_secs) = match effect.state {
        Some(state) => (state, effect.since_secs),
        None => (verdict.state, verdict.since_secs),
    };
    let word = Word::new(state, since_secs)
        .with_flags(flags)
        .with_flip_secs(flip_secs)
        .with_permille(permille as u16)
        .with_weight_override(effect.weight);
    (word, verdict.next_ms.into_iter().chain(again_ms).min())
}

/// Whether a pool counts as up: enough members that are UP and weigh something, and enough of the weight with them. A member
/// that is drained does not count; one that warms up does, with all of its weight.
pub(super) fn is_up(pool: &PlanPool, words: &[Word], scratch: &mut Scratch) -> bool {
    if let Some(tree) = &pool.tree {
        return tree.counts(words, scratch);
    }
    let (mut up_count, mut up_weight, mut weight) = (0u32, 0u64, 0u64);
    for (member, word) in pool.members.iter().zip(words) {
        let base = if member.enabled { u64::from(word.base_weight(member.weight)) } else { 0 };
        weight += base;
        if base > 0 && word.state() == State::Up && word.permille() > 0 {
            up_count += 1;
            up_weight += base;
        }
    }
    let share = u64::from(pool.up_when.weight_percent);
    up_count >= u32::from(pool.up_when.min_up.max(1)) && up_weight * 100 >= weight * share
}

/// The table's write side.
pub(super) struct Writer {
    table: Arc<HealthTable>,
    words: Vec<Vec<Word>>,
    of_pools: Vec<PoolWord>,
    /// Where trees are evaluated.
    scratch: Scratch,
}

impl Writer {
    /// Over a table that nobody has written yet.
    pub(super) fn new(table: Arc<HealthTable>) -> Writer {
        let words = (0..table.pool_count()).map(|pool| vec![Word::default(); table.member_count(pool)]);
        let of_pools = vec![PoolWord::default(); table.pool_count()];
        Writer { words: words.collect(), of_pools, scratch: Scratch::default(), table }
    }

    /// Writes one member's word, if it is another.
    pub(super) fn write(&mut self, pools: &[PlanPool], pool: usize, member: usize, word: Word) {
        let kept = &mut self.words[pool][member];
        if *kept == word {
            return;
        }
        *kept = word;
        self.of_pools[pool].is_up = is_up(&pools[pool], &self.words[pool], &mut self.scratch);
        self.table.write_pool(pool, self.of_pools[pool], [(member, word)]);
    }

    /// Writes a whole pool's words as one change, if any is another.
    pub(super) fn write_pool(
        &mut self,
        pools: &[PlanPool],
        pool: usize,
        is_frozen: bool,
        words: impl Iterator<Item = Word>,
    ) {
        let words: Vec<Word> = words.collect();
        let of_pool = PoolWord { is_up: is_up(&pools[pool], &words, &mut self.scratch), is_frozen };
        if self.words[pool] != words || self.of_pools[pool] != of_pool {
            self.table.write_pool(pool, of_pool, words.iter().copied().enumerate());
            self.words[pool] = words;
            self.of_pools[pool] = of_pool;
        }
    }
}

#[cfg(not(steerd_loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::UpWhen;
    use crate::health::machine::MemberState;
    use crate::health::plan::Plan;
    use crate::health::tests::{pool, tcp_monitor};

    fn status(state: State) -> TargetStatus {
        let state = MemberState { state, ..MemberState::default() };
        TargetStatus { state, since_secs: 7, ..TargetStatus::default() }
    }

    fn word(status: &TargetStatus, effect: &Effect) -> Word {
        let script = Script::new(&tcp_monitor(1));
        member_word(&Verdict::of_target(status, &script, 0), effect, false, 0).0
    }

    #[test]
    fn advice_holds_weight_back_or_all_of_it() {
        let mut up = status(State::Up);
        assert_eq!(word(&up, &Effect::default()), Word::new(State::Up, 7).with_flip_secs(1));
        up.advice.weight_permille = Some(300);
        assert_eq!(word(&up, &Effect::default()).permille(), 300);
        up.advice.weight_permille = Some(0);
        assert_eq!(word(&up, &Effect::default()).permille(), 0);
        up.advice = Advice { weight_permille: Some(300), drain: true };
        let drained = word(&up, &Effect::default());
        assert!(drained.permille() == 0 && drained.flags().has_any(Flags::DRAINING));
    }

    #[test]
    fn override_stands_before_what_probes_say() {
        let down = Effect { state: Some(State::Down), since_secs: 9, ..Effect::default() };
        let forced = word(&status(State::Up), &down);
        assert_eq!((forced.state(), forced.since_secs(), forced.flip_secs()), (State::Down, 9, 0));
        assert!(forced.flags().has_any(Flags::FORCED));
        let weighed = word(&status(State::Up), &Effect { weight: Some(5), ..Effect::default() });
        assert_eq!((weighed.state(), weighed.weight_override()), (State::Up, Some(5)));
        let drained = word(&status(State::Up), &Effect { drain: true, ..Effect::default() });
        assert!(drained.permille() == 0 && drained.flags().has_any(Flags::DRAINING));
    }

    #[test]
    fn pool_is_up_with_enough_members_and_enough_of_the_weight() {
        let mut model = pool("a", tcp_monitor(80), &["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]);
        model.members[0].weight = 5;
        model.members[3].enabled = false;
        let up = Word::new(State::Up, 1);
        let down = Word::new(State::Down, 1);
        for (min_up, weight_percent, words, expected) in [
            (1, 0, [down, down, down, up], false),
            (1, 0, [down, up, down, down], true),
            (2, 0, [up, down, down, up], false),
            (2, 0, [up, up, down, down], true),
            (1, 71, [up, down, down, down], true),
            (1, 72, [up, down, down, down], false),
            (1, 50, [down, up, up, down], false),
            (1, 0, [up.with_permille(0), down, down, down], false),
            (1, 50, [up.with_permille(100), down, down, down], true),
            (1, 50, [down, up.with_weight_override(Some(20)), down, down], true),
        ] {
            model.up_when = UpWhen { min_up, weight_percent };
            let pools = [model.clone()];
            let plan = Plan::new(&pools, Arc::new(HealthTable::new([4])));
            let is_up = is_up(&plan.pools[0], &words, &mut Scratch::default());
            assert_eq!(is_up, expected, "{min_up} {weight_percent} {words:?}");
        }
    }

    #[test]
    fn only_what_differs_is_written() {
        let table = Arc::new(HealthTable::new([2]));
        let pools = [pool("a", tcp_monitor(80), &["127.0.0.1", "127.0.0.2"])];
        let plan = Plan::new(&pools, table.clone());
        let mut writer = Writer::new(table.clone());
        let up = Word::new(State::Up, 1);
        writer.write(&plan.pools, 0, 1, up);
        writer.write(&plan.pools, 0, 1, up);
        assert_eq!(table.sequence(0), Some(2));
        assert_eq!(table.pool_word(0), Some(PoolWord { is_up: true, is_frozen: false }));
        writer.write_pool(&plan.pools, 0, false, [Word::default(), up].into_iter());
        assert_eq!(table.sequence(0), Some(2));
        writer.write_pool(&plan.pools, 0, true, [Word::default(), up].into_iter());
        assert_eq!(table.pool_word(0), Some(PoolWord { is_up: true, is_frozen: true }));
    }
}
