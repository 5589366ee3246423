//! What is known of every member and of the engine, for the admin API and metrics.
//!
//! Written by the keeper (one short lock a target) and the prober threads (relaxed counters), read by anyone: a reader
//! never holds a lock for longer than it takes to copy one target, so it cannot hold a verdict back. It is no part of
//! the packet path.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::advice::Advice;
use super::combination::{Combined, status_of};
use super::guard::Figures;
use super::lateness::{Histogram, Recorder};
use super::machine::MemberState;
use super::overrides::Overrides;
use super::plan::{PlanMember, PlanPool};
use super::reason::Reason;
use super::store::{Key, Saved};
use crate::state::health_table::{HealthTable, PoolWord, Word};

/// The live board.
pub struct StatusBoard {
    sheet: Mutex<Arc<Sheet>>,
    threads: Box<[Arc<ThreadCounters>]>,
    /// As the keeper last left it.
    pub(super) guard: Mutex<GuardStatus>,
    /// In force, ended ones included.
    pub(super) overrides: Mutex<Overrides>,
    /// State changes and other events whose log line was dropped: the log was stuck, or the herald has ended.
    pub(super) unlogged: AtomicU64,
}

/// The board of one plan.
pub(super) struct Sheet {
    pub(super) pools: Box<[PlanPool]>,
    /// By target; a member names those of its monitors.
    pub(super) targets: Box<[Mutex<TargetStatus>]>,
    /// By number of the members that have several monitors.
    pub(super) combined: Box<[Mutex<Combined>]>,
    /// By target what is kept of it over a restart; `None`: nothing.
    pub(super) keys: Box<[Option<Key>]>,
    /// What is in force.
    pub(super) table: Arc<HealthTable>,
}

impl Sheet {
    /// One of nothing.
    pub(super) fn empty() -> Sheet {
        let table = Arc::new(HealthTable::new([]));
        Sheet {
            pools: Box::default(),
            targets: Box::default(),
            combined: Box::default(),
            keys: Box::default(),
            table,
        }
    }

    /// What is known of a member's targets, in the order of its monitors.
    pub(super) fn statuses(&self, member: &PlanMember) -> Vec<TargetStatus> {
        member.targets.iter().map(|target| self.targets[*target as usize].lock().clone()).collect()
    }
}

impl Sheet {
    /// A copy of what is known of a member whose word is this.
    fn member(&self, member: &PlanMember, word: Word) -> MemberStatus {
        let mut statuses = self.statuses(member);
        let (health, monitors) = match &member.several {
            None => (statuses.swap_remove(0), Vec::new()),
            Some(several) => {
                let combined = self.combined[several.index as usize].lock().clone();
                let whole = status_of(several, &combined, &statuses);
                let labels = several.quorum.labels.iter().cloned();
                let named = labels.zip(statuses).map(|(name, health)| MonitorStatus { name, health });
                (whole, named.collect())
            }
        };
        MemberStatus {
            name: member.name.clone(),
            address: member.address,
            cname: member.cname.clone(),
            targets: member.targets.clone(),
            weight: if member.enabled { member.weight } else { 0 },
            word,
            health,
            monitors,
        }
    }
}

/// What is known of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetStatus {
    /// The verdict, with the consecutive successes and failures.
    pub state: MemberState,
    /// Since when the state holds, in seconds of the Unix epoch; 0 while it was UNKNOWN from the start.
    pub since_secs: u32,
    /// Why the last outcome was what it was; `None` before the first.
    pub reason: Option<Reason>,
    /// Probes that succeeded.
    pub succeeded: u64,
    /// Probes that failed.
    pub failed: u64,
    /// Probes that could not be made for a reason of this machine's own.
    pub inconclusive: u64,
    /// From the last probe's start to its verdict.
    pub last_duration: Option<Duration>,
    /// What it last said of itself.
    pub advice: Advice,
    /// What it was before it last went DOWN, in case that was the prober's fault.
    pub(super) before_fall: Option<(MemberState, u32)>,
    /// When the last change of state happened in this process.
    pub changed: Option<ChangeTimes>,
}

/// The way of a verdict that changed a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeTimes {
    /// When the prober thread had the verdict.
    pub verdict_at: Instant,
    /// When the health table had it, for every worker to see.
    pub written_at: Instant,
}

/// The counters one prober thread writes. All accesses are relaxed: nothing is published through them.
pub(super) struct ThreadCounters {
    pub(super) in_flight: AtomicU64,
    pub(super) started: AtomicU64,
    pub(super) inconclusive: AtomicU64,
    pub(super) lateness: Recorder,
}

impl ThreadCounters {
    /// All zero.
    pub(super) fn new() -> ThreadCounters {
        ThreadCounters {
            in_flight: AtomicU64::new(0),
            started: AtomicU64::new(0),
            inconclusive: AtomicU64::new(0),
            lateness: Recorder::new(),
        }
    }
}

/// Whether verdicts are frozen, and by what figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardStatus {
    /// Since when verdicts are frozen, in seconds of the Unix epoch; `None`: they are not.
    pub frozen_since_secs: Option<u32>,
    /// How often they were.
    pub freezes: u64,
    /// Addresses and canaries.
    pub figures: Figures,
}

/// A copy of the board.
#[derive(Clone, Debug)]
pub struct Status {
    /// Pools in the order of the configuration.
    pub pools: Vec<PoolStatus>,
    /// The engine itself.
    pub engine: EngineStatus,
}

/// A pool's members.
#[derive(Clone, Debug)]
pub struct PoolStatus {
    /// The pool's name.
    pub name: Arc<str>,
    /// What is said of it as a whole.
    pub word: PoolWord,
    /// Members in the order of the configuration.
    pub members: Vec<MemberStatus>,
}

/// What is known of one member.
#[derive(Clone, Debug)]
pub struct MemberStatus {
    /// The member's name.
    pub name: Arc<str>,
    /// The address that is answered.
    pub address: IpAddr,
    /// The name that is answered in its place, where the member is one.
    pub cname: Option<Arc<str>>,
    /// Numbers of its targets, one a monitor: members that share a probe have the same.
    pub targets: Box<[u32]>,
    /// Its weight as configured; 0 when it is disabled.
    pub weight: u32,
    /// What is in force: the state that answers are made by, and the weight.
    pub word: Word,
    /// What its probes say.
    pub health: TargetStatus,
    /// The same by monitor, where it has several.
    pub monitors: Vec<MonitorStatus>,
}

/// What is known of one of a member's monitors.
#[derive(Clone, Debug)]
pub struct MonitorStatus {
    /// Its name, else its kind.
    pub name: Arc<str>,
    /// What its probes say.
    pub health: TargetStatus,
}

impl MemberStatus {
    /// Its address, or the name that it is, for people.
    pub fn shown(&self) -> String {
        self.cname.as_ref().map_or_else(|| self.address.to_string(), ToString::to_string)
    }
}

/// The probe engine as a whole, since it was started.
#[derive(Clone, Debug, Default)]
pub struct EngineStatus {
    /// Whether verdicts are frozen.
    pub guard: GuardStatus,
    /// Different targets of the current plan, forced ones included.
    pub targets: usize,
    /// Probes under way.
    pub in_flight: u64,
    /// Probes started.
    pub started: u64,
    /// Probes that could not be made for a reason of this machine's own.
    pub inconclusive: u64,
    /// State changes and other events whose log line was dropped: the log was stuck, or the herald has ended.
    pub unlogged: u64,
    /// How much later than planned probes started.
    pub lateness: Histogram,
}

impl StatusBoard {
    /// A board without targets, over the counters of these threads.
    pub(super) fn new(threads: impl IntoIterator<Item = Arc<ThreadCounters>>) -> StatusBoard {
        StatusBoard {
            sheet: Mutex::new(Arc::new(Sheet::empty())),
            threads: threads.into_iter().collect(),
            guard: Mutex::default(),
            overrides: Mutex::default(),
            unlogged: AtomicU64::new(0),
        }
    }

    /// Begins a new sheet; copies being made of the old one are finished from the old one.
    pub(super) fn replace(&self, sheet: Arc<Sheet>) {
        *self.sheet.lock() = sheet;
    }

    /// The board of the plan in force.
    pub(super) fn sheet(&self) -> Arc<Sheet> {
        self.sheet.lock().clone()
    }

    /// A copy of everything. Each target is copied at one instant, the whole is not.
    pub fn snapshot(&self) -> Status {
        let sheet = self.sheet.lock().clone();
        let pools = sheet.pools.iter().enumerate().map(|(index, pool)| {
            let mut words = vec![Word::default(); pool.members.len()];
            if sheet.table.read(index, &mut words).is_none() {
                sheet.table.read_each(index, &mut words);
            }
            let members = pool.members.iter().zip(words).map(|(member, word)| sheet.member(member, word));
            let word = sheet.table.pool_word(index).unwrap_or_default();
            PoolStatus { name: pool.name.clone(), word, members: members.collect() }
        });
        Status { pools: pools.collect(), engine: self.engine() }
    }

    /// What operators have decided, ended decisions included.
    pub fn overrides(&self) -> Overrides {
        self.overrides.lock().clone()
    }

    /// What is kept of every target over a restart.
    pub(super) fn saved(&self) -> Vec<(Key, Saved)> {
        let sheet = self.sheet.lock().clone();
        let keyed = sheet.keys.iter().zip(&sheet.targets);
        keyed
            .filter_map(|(key, target)| {
                let target = target.lock();
                Some(((*key)?, Saved { state: target.state, since_secs: target.since_secs }))
            })
            .collect()
    }

    /// The engine's own figures alone.
    pub fn engine(&self) -> EngineStatus {
        let mut engine = EngineStatus {
            guard: *self.guard.lock(),
            targets: self.sheet.lock().targets.len(),
            unlogged: self.unlogged.load(Ordering::Relaxed),
            ..EngineStatus::default()
        };
        for thread in &self.threads {
            engine.in_flight += thread.in_flight.load(Ordering::Relaxed);
            engine.started += thread.started.load(Ordering::Relaxed);
            engine.inconclusive += thread.inconclusive.load(Ordering::Relaxed);
            thread.lateness.add_to(&mut engine.lateness);
        }
        engine
    }
}
