//! What the keeper takes over from one plan to the next: a pure comparison.
//!
//! A target that is in both (same address, equal monitor) goes on as if nothing had happened: state, counts, totals,
//! place in the schedule. Only if its monitor could not be carried out on this machine (no trusted roots, say) is its
//! probing begun anew, with whatever is there now. A new target whose member was there before with other parameters begins with that member's
//! state, but with its own counts, so that an edited parameter flips nobody to UNKNOWN. All others begin as the last run of the
//! process left them, if that is known, counts included; else UNKNOWN.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::combination::Combined;
use super::machine::{Change, MemberState};
use super::plan::{Place, Plan, PlanMember, PlanPool};
use super::probe::Script;
use super::prober::TargetId;
use super::reason::Reason;
use super::status::{Sheet, TargetStatus};
use super::store::Saved;
use crate::config::model::Monitor;
use crate::state::health_table::State;

/// The targets the keeper keeps; their states are on the sheet.
pub(super) struct Roster {
    pub(super) scripts: Vec<Arc<Script>>,
    pub(super) targets: Vec<Kept>,
    pub(super) sheet: Arc<Sheet>,
}

/// One target of the roster.
pub(super) struct Kept {
    /// `None`: never probed.
    pub(super) id: Option<TargetId>,
    pub(super) address: IpAddr,
    /// Index into [`Roster::scripts`].
    pub(super) script: u32,
    pub(super) places: Vec<Place>,
    /// When what was pushed holds no longer, for who is pushed; `None`: it does not already.
    pub(super) silent_ms: Option<u64>,
    /// For how long what was pushed last was said to hold.
    pub(super) holds: Duration,
}

/// What a target of the new plan begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inheritance {
    /// Everything of this old target, which it is.
    All(usize),
    /// What is known of this old target, which it is, but with a job of its own: the old one cannot be carried out.
    AllButJob(usize),
    /// The state of this old target.
    StateOf(usize),
    /// Nothing.
    None,
}

/// What each target of the plan begins with. An old target that no one inherits everything of has ended.
pub(super) fn inheritances(old: &Roster, plan: &Plan) -> Vec<Inheritance> {
    // By content once a monitor, by number once a target.
    let old_scripts: HashMap<&Monitor, u32> =
        old.scripts.iter().enumerate().map(|(index, script)| (&*script.monitor, index as u32)).collect();
    let same_script: Vec<Option<u32>> =
        plan.scripts.iter().map(|script| old_scripts.get(&*script.monitor).copied()).collect();
    let impeded: Vec<bool> = old.scripts.iter().map(|script| script.impediment().is_some()).collect();
    // Most are where they were: the others alone are worth a map.
    let old_targets: OnceCell<HashMap<(IpAddr, u32), usize>> = OnceCell::new();
    let listed =
        || old.targets.iter().enumerate().map(|(index, kept)| ((kept.address, kept.script), index)).collect();
    let find = |at: usize, address: IpAddr, script: u32| {
        let same_place = old.targets.get(at).filter(|kept| (kept.address, kept.script) == (address, script));
        match same_place {
            Some(_) => Some(at),
            None => old_targets.get_or_init(listed).get(&(address, script)).copied(),
        }
    };

    let mut heirs: Vec<Inheritance> = plan
        .targets
        .iter()
        .enumerate()
        .map(|(at, target)| {
            let Some(script) = same_script[target.script as usize] else { return Inheritance::None };
            match find(at, target.address, script) {
                Some(index) if impeded[script as usize] => Inheritance::AllButJob(index),
                Some(index) => Inheritance::All(index),
                None => Inheritance::None,
            }
        })
        .collect();
    if heirs.contains(&Inheritance::None) {
        inherit_by_place(old, plan, &mut heirs);
    }
    heirs
}

/// For targets that are new: the first of their places that was there before and has a verdict.
fn inherit_by_place(old: &Roster, plan: &Plan, heirs: &mut [Inheritance]) {
    let member_of = members_of(&old.sheet);
    for (index, (target, heir)) in plan.targets.iter().zip(heirs).enumerate() {
        if *heir != Inheritance::None {
            continue;
        }
        let inherited = target.places.iter().find_map(|place| {
            let pool = &plan.pools[place.pool as usize];
            let member = &pool.members[place.member as usize];
            let before = member_of.get(&key_of(pool, member))?;
            let position = member.targets.iter().position(|target| *target as usize == index)?;
            old.sheet.testator(before, position, member.targets.len())
        });
        if let Some(old_target) = inherited {
            *heir = Inheritance::StateOf(old_target);
        }
    }
}

/// What a member is known by from plan to plan: its pool, the one that lists it, its address.
type MemberKey<'p> = (&'p str, Option<&'p str>, IpAddr);

fn key_of<'p>(pool: &'p PlanPool, member: &'p PlanMember) -> MemberKey<'p> {
    (&pool.name, member.origin.as_deref(), member.address)
}

/// The members of a sheet by what they are known by.
pub(super) fn members_of(sheet: &Sheet) -> HashMap<MemberKey<'_>, &PlanMember> {
    let of_pool = |pool: &'_ PlanPool| pool.members.len();
    let mut member_of = HashMap::with_capacity(sheet.pools.iter().map(of_pool).sum());
    for pool in &sheet.pools {
        member_of.extend(pool.members.iter().map(|member| (key_of(pool, member), member)));
    }
    member_of
}

impl Sheet {
    /// The target of a member whose state the one in this position inherits, which has so many monitors now: its predecessor, or
    /// where their number is another, one whose state is the member's.
    fn testator(&self, member: &PlanMember, position: usize, count: usize) -> Option<usize> {
        let state_of = |target: u32| self.targets[target as usize].lock().state.state;
        let target = if member.targets.len() == count {
            *member.targets.get(position)?
        } else {
            let state = match &member.several {
                Some(several) => self.combined[several.index as usize].lock().verdict.state,
                None => state_of(member.targets[0]),
            };
            *member.targets.iter().find(|target| state_of(**target) == state)?
        };
        (state_of(target) != State::Unknown).then_some(target as usize)
    }

    /// The verdict over a member, and since when it holds.
    pub(super) fn verdict_of(&self, member: &PlanMember) -> Combined {
        match &member.several {
            Some(several) => self.combined[several.index as usize].lock().clone(),
            None => {
                let status = self.targets[member.targets[0] as usize].lock();
                Combined::of(status.state, status.since_secs)
            }
        }
    }
}

/// What the members of a new plan that have several monitors begin with, by their number: the verdict of the same member
/// before, as long as it is the same; and those that are another one now, by pool and member, with what they were.
pub(super) fn first_combined(
    old: &Sheet,
    pools: &[PlanPool],
    statuses: &[TargetStatus],
    (now_ms, now_secs): (u64, u32),
) -> (Vec<Combined>, Vec<(Place, Change)>) {
    let (mut all, mut changes) = (Vec::new(), Vec::new());
    if pools.iter().flat_map(|pool| &pool.members).all(|member| member.several.is_none()) {
        return (all, changes);
    }
    let member_of = members_of(old);
    for (pool_index, pool) in pools.iter().enumerate() {
        for (member_index, member) in pool.members.iter().enumerate() {
            let Some(several) = &member.several else { continue };
            let targets = member.targets.iter().map(|target| &statuses[*target as usize]);
            let targets: Vec<(State, u32)> = targets.map(|of| (of.state.state, of.since_secs)).collect();
            let fresh = Combined::first(&targets, several.quorum.needed);
            let before = member_of.get(&key_of(pool, member)).map(|before| old.verdict_of(before));
            let previous = before.as_ref().map_or(State::Unknown, |before| before.verdict.state);
            let state = fresh.verdict.state;
            let begun = match before {
                Some(before) if previous == state => before,
                Some(mut before) if previous != State::Unknown => {
                    before.turn(state, &several.quorum, now_ms, now_secs);
                    let place = Place { pool: pool_index as u32, member: member_index as u32 };
                    changes.push((place, Change { previous, state }));
                    before
                }
                Some(_) | None => fresh,
            };
            debug_assert_eq!(all.len(), several.index as usize);
            all.push(begun);
        }
    }
    (all, changes)
}

/// The status a target begins with, given the one it inherits. A forced one has its verdict at once.
pub(super) fn first_status(
    inheritance: Inheritance,
    inherited: TargetStatus,
    recalled: Option<Saved>,
    forced: Option<bool>,
    now_secs: u32,
) -> TargetStatus {
    let mut status = match inheritance {
        Inheritance::All(_) | Inheritance::AllButJob(_) => inherited,
        Inheritance::StateOf(_) => TargetStatus {
            state: MemberState { state: inherited.state.state, ..MemberState::default() },
            since_secs: inherited.since_secs,
            reason: inherited.reason,
            changed: inherited.changed,
            ..TargetStatus::default()
        },
        Inheritance::None => match recalled {
            Some(Saved { state, since_secs }) => {
                TargetStatus { state, since_secs, ..TargetStatus::default() }
            }
            None => TargetStatus::default(),
        },
    };
    if let Some(up) = forced {
        let state = if up { State::Up } else { State::Down };
        if status.state.state != state {
            status.since_secs = now_secs;
        }
        status.state = MemberState { state, ..MemberState::default() };
        status.reason = Some(Reason::Forced { up });
    }
    status
}

#[cfg(not(steerd_loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::Pool;
    use crate::health::tests::{forced_monitor, pool, tcp_monitor};
    use crate::state::health_table::HealthTable;
    use parking_lot::Mutex;

    fn plan(pools: &[Pool]) -> Plan {
        Plan::new(pools, Arc::new(HealthTable::new(pools.iter().map(|pool| pool.members.len()))))
    }

    /// A roster of this plan, every target in `state`.
    fn roster(plan: Plan, state: State) -> Roster {
        let status = TargetStatus {
            state: MemberState { state, successes: 3, ..MemberState::default() },
            since_secs: 7,
            succeeded: 9,
            ..TargetStatus::default()
        };
        let kept = |target: crate::health::plan::PlanTarget| Kept {
            id: None,
            address: target.address,
            script: target.script,
            places: target.places,
            silent_ms: None,
            holds: Duration::ZERO,
        };
        let targets: Vec<_> = plan.targets.into_iter().map(kept).collect();
        let statuses = targets.iter().map(|_| Mutex::new(status.clone())).collect();
        Roster {
            scripts: plan.scripts,
            targets,
            sheet: Arc::new(Sheet {
                pools: plan.pools,
                targets: statuses,
                combined: Box::default(),
                keys: Box::default(),
                table: plan.table,
            }),
        }
    }

    #[test]
    fn same_target_inherits_everything_wherever_it_is_listed_now() {
        let old = roster(plan(&[pool("a", tcp_monitor(80), &["127.0.0.1", "127.0.0.2"])]), State::Up);
        let new = plan(&[
            pool("b", tcp_monitor(80), &["127.0.0.2"]),
            pool("a", tcp_monitor(80), &["127.0.0.3", "127.0.0.1"]),
        ]);
        let expected = [Inheritance::All(1), Inheritance::None, Inheritance::All(0)];
        assert_eq!(inheritances(&old, &new), expected);
    }

    #[test]
    fn same_target_begins_anew_where_its_monitor_could_not_be_carried_out_and_keeps_what_is_known() {
        let pools = [
            pool("a", tcp_monitor(80), &["127.0.0.1", "127.0.0.2"]),
            pool("b", tcp_monitor(81), &["127.0.0.1"]),
        ];
        let mut old = roster(plan(&pools), State::Up);
        old.scripts[0] = Arc::new(Script::impeded(&pools[0].monitors.list[0].monitor));
        let expected = [Inheritance::AllButJob(0), Inheritance::AllButJob(1), Inheritance::All(2)];
        assert_eq!(inheritances(&old, &plan(&pools)), expected);
        let inherited = old.sheet.targets[0].lock().clone();
        assert_eq!(first_status(expected[0], inherited.clone(), None, None, 100), inherited);
    }

    #[test]
    fn edited_monitor_keeps_the_state_of_the_same_member_of_the_same_pool_only() {
        let old = roster(plan(&[pool("a", tcp_monitor(80), &["127.0.0.1"])]), State::Down);
        let edited = plan(&[pool("a", tcp_monitor(81), &["127.0.0.1"])]);
        assert_eq!(inheritances(&old, &edited), [Inheritance::StateOf(0)]);
        let elsewhere = plan(&[pool("b", tcp_monitor(81), &["127.0.0.1"])]);
        assert_eq!(inheritances(&old, &elsewhere), [Inheritance::None]);
        let undecided = roster(plan(&[pool("a", tcp_monitor(80), &["127.0.0.1"])]), State::Unknown);
        assert_eq!(inheritances(&undecided, &edited), [Inheritance::None]);
    }

    #[test]
    fn inherited_state_comes_without_counts_and_with_its_age() {
        let old = roster(plan(&[pool("a", forced_monitor(true), &["127.0.0.1"])]), State::Up);
        let inherited = old.sheet.targets[0].lock().clone();
        let status = first_status(Inheritance::StateOf(0), inherited.clone(), None, None, 100);
        assert_eq!(status.state, MemberState { state: State::Up, ..MemberState::default() });
        assert_eq!((status.since_secs, status.succeeded), (7, 0));
        assert_eq!(first_status(Inheritance::All(0), inherited, None, None, 100).succeeded, 9);
    }

    #[test]
    fn what_the_last_run_knew_holds_for_targets_that_nobody_here_knows() {
        let state = MemberState { state: State::Up, failures: 2, ..MemberState::default() };
        let saved = Saved { state, since_secs: 5 };
        let status = first_status(Inheritance::None, TargetStatus::default(), Some(saved), None, 100);
        assert_eq!((status.state, status.since_secs, status.reason), (state, 5, None));
        let known = TargetStatus { since_secs: 9, ..TargetStatus::default() };
        let status = first_status(Inheritance::All(0), known.clone(), Some(saved), None, 100);
        assert_eq!(status, known);
    }

    #[test]
    fn forced_verdict_holds_at_once_and_keeps_its_age_where_nothing_changes() {
        let up = TargetStatus {
            state: MemberState { state: State::Up, ..MemberState::default() },
            since_secs: 7,
            ..TargetStatus::default()
        };
        let kept = first_status(Inheritance::StateOf(0), up.clone(), None, Some(true), 100);
        assert_eq!((kept.state.state, kept.since_secs), (State::Up, 7));
        let flipped = first_status(Inheritance::StateOf(0), up, None, Some(false), 100);
        assert_eq!((flipped.state.state, flipped.since_secs), (State::Down, 100));
        let new = first_status(Inheritance::None, TargetStatus::default(), None, Some(true), 100);
        assert_eq!((new.state.state, new.since_secs), (State::Up, 100));
    }
}
