//! What is pushed: taken as it is said, for as long as it holds, and what is made of silence.
//!
//! A push is a verdict: no counts, and no freeze either, since it does not come over this machine's probes. A target that has not
//! been heard of since it is known gets one time to live of patience.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Keeper;
use crate::config::model::Probe;
use crate::health::adoption::Inheritance;
use crate::health::advice::Advice;
use crate::health::machine::Outcome;
use crate::health::plan::PlanTarget;
use crate::health::probe::{Conclusion, Script};
use crate::health::reason::{Local, Reason};
use crate::health::status::Sheet;

/// The targets are numbered anew by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::health) struct Outdated;

/// What was said of a target.
pub(in crate::health) struct Pushed {
    pub(in crate::health) target: u32,
    pub(in crate::health) conclusion: Conclusion,
    /// For how long it holds; `None`: as configured.
    pub(in crate::health) ttl: Option<Duration>,
}

impl Keeper {
    /// Takes all of what was pushed, or nothing.
    pub(super) fn take_pushes(&mut self, sheet: &Arc<Sheet>, pushes: Vec<Pushed>) -> Result<(), Outdated> {
        if !Arc::ptr_eq(sheet, &self.roster.sheet) {
            return Err(Outdated);
        }
        let now = Instant::now();
        for Pushed { target, conclusion, ttl } in pushes {
            let kept = &mut self.roster.targets[target as usize];
            let Probe::Push { ttl: usual, .. } = self.roster.scripts[kept.script as usize].monitor.probe
            else {
                continue;
            };
            if let Some(before) = kept.silent_ms {
                self.silences.remove(&(before, target));
            }
            let silent_ms = self.clock.ms(now) + ttl.unwrap_or(usual).as_millis() as u64;
            (kept.silent_ms, kept.holds) = (Some(silent_ms), ttl.unwrap_or(usual));
            self.silences.insert((silent_ms, target));
            let outcome = conclusion.outcome;
            self.settle(target as usize, conclusion, outcome, now, None);
        }
        Ok(())
    }

    /// Gives targets that were silent for too long the verdict that is configured for it.
    pub(super) fn serve_silences(&mut self) {
        while let Some((due_ms, target)) = self.silences.first().copied() {
            let now = Instant::now();
            if due_ms > self.clock.ms(now) {
                return;
            }
            self.silences.pop_first();
            let kept = &mut self.roster.targets[target as usize];
            kept.silent_ms = None;
            let ttl = kept.holds;
            let Probe::Push { silence_up, .. } = self.roster.scripts[kept.script as usize].monitor.probe
            else {
                continue;
            };
            let outcome = if silence_up { Outcome::Success } else { Outcome::Failure };
            let reason = Reason::Local(Local::Silent { ttl });
            // Nothing of what was said holds any more.
            let conclusion = Conclusion { outcome, reason, advice: Some(Advice::default()) };
            self.settle(target as usize, conclusion, outcome, now, None);
        }
    }

    /// When each target of a new plan is silent for too long: as it was, where it is the same one, else a time to live from now.
    pub(super) fn silences_of(
        &mut self,
        scripts: &[Arc<Script>],
        targets: &[PlanTarget],
        heirs: &[Inheritance],
        now_ms: u64,
    ) -> Vec<(Option<u64>, Duration)> {
        let mut silences = BTreeSet::new();
        let of_target = |(index, (target, heir)): (usize, (&PlanTarget, &Inheritance))| {
            let Probe::Push { ttl, .. } = scripts[target.script as usize].monitor.probe else {
                return (None, Duration::ZERO);
            };
            let (silent_ms, holds) = match heir {
                Inheritance::All(old) | Inheritance::AllButJob(old) => {
                    let kept = &self.roster.targets[*old];
                    (kept.silent_ms, kept.holds)
                }
                Inheritance::StateOf(_) | Inheritance::None => (Some(now_ms + ttl.as_millis() as u64), ttl),
            };
            silences.extend(silent_ms.map(|silent_ms| (silent_ms, index as u32)));
            (silent_ms, holds)
        };
        let all = targets.iter().zip(heirs).enumerate().map(of_target).collect();
        self.silences = silences;
        all
    }
}
