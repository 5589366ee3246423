//! What the keeper knows, shown: words into the table, changes to the herald. A member with several monitors gets its verdict
//! here, when one of theirs is another.

use std::time::{Duration, Instant};

use super::{Keeper, now_secs};
use crate::health::adoption::Roster;
use crate::health::combination::{reason_of, state_of};
use crate::health::herald::{Event, News};
use crate::health::machine::Change;
use crate::health::overrides::Effect;
use crate::health::plan::Place;
use crate::health::reason::Reason;
use crate::health::words::{Verdict, member_word};

/// One warning about probes that could not be made in this time, whatever their number.
const NOT_PROBED_PAUSE: Duration = Duration::from_secs(10);

/// What has to be said about probes that could not be made.
#[derive(Default)]
pub(super) struct NotProbed {
    said_at: Option<Instant>,
    unsaid: u64,
}

impl Keeper {
    /// Writes the words of a target's places, where they are others now.
    pub(super) fn show(&mut self, index: usize, now_ms: u64) {
        let is_frozen = self.guard.frozen_ms().is_some();
        let mut due_ms: Option<u64> = None;
        for at in 0..self.roster.targets[index].places.len() {
            let place = self.roster.targets[index].places[at];
            let turned = self.combine(place, now_ms);
            let effect = effect_of(&self.effects, place.pool as usize, place.member as usize);
            let (word, next_ms) = member_word(&self.verdict(place, now_ms), &effect, is_frozen, now_ms);
            let pools = &self.roster.sheet.pools;
            self.writer.write(pools, place.pool as usize, place.member as usize, word);
            due_ms = due_ms.into_iter().chain(next_ms).min();
            if let Some((change, reason)) = turned {
                self.say(place, reason, Event::Changed(change));
            }
        }
        if let Some(due_ms) = due_ms {
            self.agenda.insert((due_ms, index as u32));
        }
    }

    /// What probes say of a member.
    fn verdict(&self, place: Place, now_ms: u64) -> Verdict {
        let Roster { scripts, targets, sheet } = &self.roster;
        let script_of = |target: u32| &*scripts[targets[target as usize].script as usize];
        let member = &sheet.pools[place.pool as usize].members[place.member as usize];
        match &member.several {
            None => {
                let target = member.targets[0];
                Verdict::of_target(&sheet.targets[target as usize].lock(), script_of(target), now_ms)
            }
            Some(several) => {
                let scripts = member.targets.iter().map(|target| script_of(*target));
                let each: Vec<_> = sheet.statuses(member).into_iter().zip(scripts).collect();
                let combined = sheet.combined[several.index as usize].lock();
                Verdict::of_several(&combined, &several.quorum, &each, now_ms)
            }
        }
    }

    /// Combines the verdicts of a member's monitors anew, where it has several; what is to be said of that, if it is another.
    fn combine(&self, place: Place, now_ms: u64) -> Option<(Change, Reason)> {
        let sheet = &self.roster.sheet;
        let member = &sheet.pools[place.pool as usize].members[place.member as usize];
        let several = member.several.as_ref()?;
        let states = member.targets.iter().map(|target| sheet.targets[*target as usize].lock().state.state);
        let state = state_of(states, several.quorum.needed);
        let mut combined = sheet.combined[several.index as usize].lock();
        let previous = combined.verdict.state;
        if previous == state {
            return None;
        }
        combined.turn(state, &several.quorum, now_ms, now_secs());
        drop(combined);
        let reason = reason_of(state, &sheet.statuses(member), &several.quorum)?;
        Some((Change { previous, state }, reason))
    }

    /// Takes back what became of members for falls of their monitors that were the prober's own.
    pub(super) fn restore_combined(&self) {
        let sheet = &self.roster.sheet;
        for member in sheet.pools.iter().flat_map(|pool| &pool.members) {
            let Some(several) = &member.several else { continue };
            let states =
                member.targets.iter().map(|target| sheet.targets[*target as usize].lock().state.state);
            let state = state_of(states, several.quorum.needed);
            let mut combined = sheet.combined[several.index as usize].lock();
            if combined.verdict.state != state {
                combined.restore(state);
            }
        }
    }

    /// Writes the words of every pool, where they are others now.
    pub(super) fn show_all(&mut self, now_ms: u64) {
        let is_frozen = self.guard.frozen_ms().is_some();
        let sheet = self.roster.sheet.clone();
        for (index, pool) in sheet.pools.iter().enumerate() {
            let mut words = Vec::with_capacity(pool.members.len());
            for (member, planned) in pool.members.iter().enumerate() {
                let place = Place { pool: index as u32, member: member as u32 };
                let effect = effect_of(&self.effects, index, member);
                let (word, due_ms) = member_word(&self.verdict(place, now_ms), &effect, is_frozen, now_ms);
                self.agenda.extend(due_ms.map(|due_ms| (due_ms, planned.targets[0])));
                words.push(word);
            }
            self.writer.write_pool(&sheet.pools, index, is_frozen, words.into_iter());
        }
    }

    /// Says it of every member that has the target: of one with several monitors as of this monitor alone.
    pub(super) fn say_change(&self, index: usize, change: Change, reason: &Reason) {
        for place in &self.roster.targets[index].places {
            let member = &self.roster.sheet.pools[place.pool as usize].members[place.member as usize];
            let position = member.targets.iter().position(|target| *target as usize == index);
            let label = member.several.as_ref().zip(position).map(|(it, at)| it.quorum.labels[at].clone());
            let event = match label {
                None => Event::Changed(change),
                Some(monitor) => Event::MonitorChanged { monitor, change },
            };
            self.say(*place, reason.clone(), event);
        }
    }

    pub(super) fn say(&self, place: Place, reason: Reason, event: Event) {
        let pool = &self.roster.sheet.pools[place.pool as usize];
        let member = &pool.members[place.member as usize];
        // The pool that lists it says it, not every one above.
        if member.origin.is_some() {
            return;
        }
        let (pool, address) = (pool.name.clone(), member.address);
        self.mouth.say(News { pool, member: member.name.clone(), address, reason, event });
    }

    pub(super) fn say_not_probed(&mut self, index: usize, reason: Reason, now: Instant) {
        self.not_probed.unsaid += 1;
        let said_at = self.not_probed.said_at;
        if said_at.is_none_or(|said_at| now.saturating_duration_since(said_at) >= NOT_PROBED_PAUSE) {
            let probes = std::mem::take(&mut self.not_probed.unsaid);
            self.not_probed.said_at = Some(now);
            let event = Event::NotProbed { probes };
            let kept = &self.roster.targets[index];
            let pools = &self.roster.sheet.pools;
            let is_listed =
                |at: &&Place| pools[at.pool as usize].members[at.member as usize].origin.is_none();
            match kept.places.iter().find(is_listed) {
                Some(place) => self.say(*place, reason, event),
                // A canary that is no pool's member has no place.
                None => {
                    let (pool, member) = ("prober_guard".into(), "canary".into());
                    self.mouth.say(News { pool, member, address: kept.address, reason, event });
                }
            }
        }
    }
}

/// What is decided over a member.
fn effect_of(effects: &[Vec<Effect>], pool: usize, member: usize) -> Effect {
    effects.get(pool).and_then(|members| members.get(member)).copied().unwrap_or_default()
}
