//! The thread that owns the table's write side: outcomes in, states out.
//!
//! For each report: one step of the state machine, and if it changes the state, the table is written before anything
//! else is done. Logging is the herald's; a stuck log delays nothing here. Adopting a plan seeds the new table, has it
//! published, and only then goes on with the next report, so no verdict is lost between two tables.
//!
//! # Bounds
//! `MESSAGES_MAX` messages wait; a prober that finds no room waits for it (it never makes the keeper wait).

/// What operators have decided.
mod decisions;
/// What is known, shown.
mod display;
/// What is pushed.
mod pushes;

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::Mutex;

use decisions::Concerned;
use display::NotProbed;
pub(super) use pushes::{Outdated, Pushed};

use super::adoption::{Inheritance, Kept, Roster, first_combined, first_status, inheritances};
use super::clock::Clock;
use super::combination::reason_of;
use super::guard::{self, Guard, Turn, Watched};
use super::herald::{Event, Mouth};
use super::machine::{Change, Outcome, Rules, hold, step};
use super::overrides::{Effect, Overrides};
use super::plan::{Plan, PlanTarget};
use super::probe::attempt::Recollection;
use super::probe::{Conclusion, Means, Script};
use super::prober::{Job, Mailbox, Order, Report, TargetId};
use super::reason::Reason;
use super::schedule::{Prng, Schedule};
use super::status::{ChangeTimes, Sheet, StatusBoard, TargetStatus};
use super::store::{Key, Saved};
use super::words::Writer;
use crate::state::health_table::{HealthTable, State};

/// Messages that wait for the keeper: 0.8 s of the largest fleet designed for (100,000 targets every 10 s), which is
/// more than adopting a plan of that size takes.
pub(super) const MESSAGES_MAX: usize = 8 * 1024;

/// Probers behind those of sockets, in this order.
#[derive(Clone, Copy)]
pub(super) enum Special {
    /// One that runs programs.
    Programs,
    /// One that looks at files.
    Files,
}

impl Special {
    /// How many there are.
    pub(super) const COUNT: usize = 2;
}

/// What the keeper is told.
pub(super) enum Message {
    /// A probe has ended.
    Report(Report),
    /// A new plan, and what makes its table the one that is read.
    Adopt(Box<Plan>, Box<dyn FnOnce() + Send>),
    /// Overrides in place of those in force; told is how many members each concerns.
    Override(Overrides, Sender<Vec<usize>>),
    /// What was pushed, by targets of this sheet; told is whether it is still the one in force.
    Push(Arc<Sheet>, Vec<Pushed>, Sender<Result<(), Outdated>>),
    /// End the thread, and the probers with it.
    Stop,
}

/// The thread's state.
pub(super) struct Keeper {
    messages: Receiver<Message>,
    probers: Vec<Arc<Mailbox>>,
    board: Arc<StatusBoard>,
    mouth: Mouth,
    clock: Clock,
    writer: Writer,
    roster: Roster,
    index_of: HashMap<TargetId, u32>,
    next_id: u64,
    /// What the last run of the process knew, until the first plan is adopted.
    recalled: HashMap<Key, Saved>,
    prng: Prng,
    not_probed: NotProbed,
    guard: Guard,
    overrides: Overrides,
    /// What they come to, by pool and member; empty where none is made.
    effects: Vec<Vec<Effect>>,
    /// Whom each of them concerns.
    concerned: Concerned,
    /// When the next one ends.
    override_ends_ms: Option<u64>,
    /// When words change by the time alone, with the target. A set: whoever is shown again meanwhile is due once.
    agenda: BTreeSet<(u64, u32)>,
    /// When what was pushed holds no longer, with the target; those it was renewed for have another time by then.
    silences: BTreeSet<(u64, u32)>,
}

impl Keeper {
    /// A keeper without targets.
    pub(super) fn new(
        messages: Receiver<Message>,
        probers: Vec<Arc<Mailbox>>,
        board: Arc<StatusBoard>,
        mouth: Mouth,
        recalled: HashMap<Key, Saved>,
        seed: u64,
    ) -> Keeper {
        let sheet = Arc::new(Sheet::empty());
        Keeper {
            messages,
            probers,
            board,
            mouth,
            clock: Clock::start(),
            writer: Writer::new(Arc::new(HealthTable::new([]))),
            roster: Roster { scripts: Vec::new(), targets: Vec::new(), sheet },
            index_of: HashMap::new(),
            next_id: 0,
            recalled,
            prng: Prng::new(seed),
            not_probed: NotProbed::default(),
            guard: Guard::default(),
            overrides: Overrides::default(),
            effects: Vec::new(),
            concerned: Concerned::default(),
            override_ends_ms: None,
            agenda: BTreeSet::new(),
            silences: BTreeSet::new(),
        }
    }

    /// Keeps until told to stop, then ends the probers.
    pub(super) fn run(mut self) {
        loop {
            match self.next_message() {
                Ok(Message::Report(report)) => self.take(report),
                Ok(Message::Adopt(plan, publish)) => self.adopt(*plan, publish),
                Ok(Message::Override(overrides, told)) => {
                    self.overrides = overrides;
                    let counts = self.apply_overrides();
                    self.show_all(self.clock.now_ms());
                    *self.board.overrides.lock() = self.overrides.clone();
                    // An error: nobody waits any more.
                    let _ = told.try_send(counts);
                }
                Ok(Message::Push(sheet, pushes, told)) => {
                    // An error: nobody waits any more.
                    let _ = told.try_send(self.take_pushes(&sheet, pushes));
                }
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.serve_agenda();
        }
    }

    /// The next message, or that something is due by the time alone.
    fn next_message(&self) -> Result<Message, RecvTimeoutError> {
        let warmer_ms = self.agenda.first().map(|(due_ms, _)| *due_ms);
        let silent_ms = self.silences.first().map(|(due_ms, _)| *due_ms);
        match [warmer_ms, silent_ms, self.override_ends_ms].into_iter().flatten().min() {
            Some(due_ms) => self.messages.recv_deadline(self.clock.instant(due_ms)),
            None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Gives targets that warm up the weight that is due.
    fn serve_agenda(&mut self) {
        if self.override_ends_ms.is_some_and(|ends_ms| ends_ms <= self.clock.now_ms()) {
            self.apply_overrides();
            self.show_all(self.clock.now_ms());
        }
        self.serve_silences();
        while let Some((due_ms, index)) = self.agenda.first().copied() {
            let now_ms = self.clock.now_ms();
            if due_ms > now_ms {
                return;
            }
            self.agenda.pop_first();
            self.show(index as usize, now_ms);
        }
    }

    /// One outcome: machine, table, board, log, in this order.
    fn take(&mut self, report: Report) {
        // A target that has ended meanwhile: its last outcome concerns no one.
        let Some(index) = self.index_of.get(&report.target).map(|index| *index as usize) else { return };
        let Report { conclusion, duration, verdict_at, .. } = report;

        let now_ms = self.clock.ms(verdict_at);
        let is_remote = self.roster.scripts[self.roster.targets[index].script as usize].is_remote();
        let outcome = match is_remote {
            true => self.ask_guard(index, conclusion.outcome, duration, now_ms),
            false => conclusion.outcome,
        };
        self.settle(index, conclusion, outcome, verdict_at, Some(duration));
    }

    /// Takes an outcome into account, which may count for another than it is.
    fn settle(
        &mut self,
        index: usize,
        conclusion: Conclusion,
        outcome: Outcome,
        verdict_at: Instant,
        duration: Option<Duration>,
    ) {
        let now_ms = self.clock.ms(verdict_at);
        let kept = &self.roster.targets[index];
        let script = &self.roster.scripts[kept.script as usize];
        let monitor = &script.monitor;
        let mut status = self.roster.sheet.targets[index].lock();
        let before = status.state;
        // What this machine is asked says nothing of whether it reaches others.
        let (state, change) = match self.guard.frozen_ms().filter(|_| script.is_remote()) {
            None => step(before, outcome, &Rules::of(monitor), now_ms),
            // An answer cannot be the prober's failure, and a first verdict overturns none.
            Some(_) if before.state == State::Unknown && outcome == Outcome::Success => {
                step(before, outcome, &Rules::of(monitor), now_ms)
            }
            Some(_) => (hold(before, outcome, now_ms), None),
        };
        if let Some(Change { state: State::Down, .. }) = change {
            status.before_fall = Some((before.acquitted(), status.since_secs));
        }
        status.state = state;
        status.reason = Some(conclusion.reason.clone());
        let is_other = match conclusion.advice {
            Some(advice) => std::mem::replace(&mut status.advice, advice) != advice,
            None => false,
        };
        if change.is_some() {
            status.since_secs = now_secs();
            let is_member = script.is_remote() && !kept.places.is_empty();
            self.guard.note_state(index, is_member && state.state == State::Up);
        }
        // Most outcomes change nothing that a word tells.
        if change.is_some() || is_other || state.flip_secs(monitor) != before.flip_secs(monitor) {
            drop(status);
            self.show(index, now_ms);
            status = self.roster.sheet.targets[index].lock();
        }
        if change.is_some() {
            status.changed = Some(ChangeTimes { verdict_at, written_at: Instant::now() });
        }
        // Counted last: who sees the count finds the words written.
        status.last_duration = duration.or(status.last_duration);
        match conclusion.outcome {
            Outcome::Success => status.succeeded += 1,
            Outcome::Failure => status.failed += 1,
            Outcome::Inconclusive => status.inconclusive += 1,
        }
        drop(status);

        if let Some(change) = change {
            self.say_change(index, change, &conclusion.reason);
        } else if conclusion.outcome == Outcome::Inconclusive {
            self.say_not_probed(index, conclusion.reason, verdict_at);
        }
    }

    /// Lets the guard see an outcome, and does what it says; returns what the outcome counts for.
    fn ask_guard(&mut self, index: usize, outcome: Outcome, duration: Duration, now_ms: u64) -> Outcome {
        if outcome == Outcome::Inconclusive {
            return outcome;
        }
        let succeeded = outcome == Outcome::Success;
        let started_ms = now_ms.saturating_sub(duration.as_millis() as u64);
        let turn = self.guard.observe(index, succeeded, started_ms, now_ms);
        let sheet = self.roster.sheet.clone();
        match turn {
            Turn::Stay => {}
            Turn::Freeze(_) => {
                for fallen in self.guard.fallen() {
                    let mut status = sheet.targets[fallen].lock();
                    if let Some((state, since_secs)) = status.before_fall.take() {
                        (status.state, status.since_secs) = (state, since_secs);
                        self.guard.note_state(fallen, state.state == State::Up);
                    }
                }
                self.restore_combined();
            }
            Turn::Thaw(_) => {
                for target in &sheet.targets {
                    let mut status = target.lock();
                    status.state = status.state.acquitted();
                }
            }
        }
        let figures = self.guard.figures();
        let mut told = self.board.guard.lock();
        told.figures = figures;
        if turn != Turn::Stay {
            told.frozen_since_secs = self.guard.frozen_ms().map(|_| now_secs());
            told.freezes += u64::from(matches!(turn, Turn::Freeze(_)));
            drop(told);
            self.show_all(now_ms);
            self.mouth.say_turn(turn, figures);
        }
        // Begun before the thaw, it may have failed for the reason that is gone.
        if !succeeded && self.guard.is_outdated(started_ms) { Outcome::Inconclusive } else { outcome }
    }

    /// Goes over to a new plan.
    fn adopt(&mut self, plan: Plan, publish: Box<dyn FnOnce() + Send>) {
        let heirs = inheritances(&self.roster, &plan);
        let (now_secs, now_ms) = (now_secs(), self.clock.now_ms());
        let Plan { table, scripts, identities, targets, pools, guard, exec_processes } = plan;
        let recalled = std::mem::take(&mut self.recalled);

        let mut statuses = Vec::with_capacity(targets.len());
        let mut changes = Vec::new();
        let mut keys = Vec::with_capacity(targets.len());
        for (index, (target, heir)) in targets.iter().zip(&heirs).enumerate() {
            let inherited = match heir {
                Inheritance::All(old) | Inheritance::AllButJob(old) | Inheritance::StateOf(old) => {
                    self.roster.sheet.targets[*old].lock().clone()
                }
                Inheritance::None => TargetStatus::default(),
            };
            let previous = inherited.state.state;
            let forced = scripts[target.script as usize].forced();
            let key = identities[target.script as usize].map(|identity| (identity, target.address));
            keys.push(key);
            let recalled = key.and_then(|key| recalled.get(&key)).map(|saved| saved.not_after(now_ms));
            let status = first_status(*heir, inherited, recalled, forced, now_secs);
            if forced.is_some() && status.state.state != previous {
                changes.push((index, Change { previous, state: status.state.state }));
            }
            statuses.push(status);
        }
        let (combined, combined_changes) =
            first_combined(&self.roster.sheet, &pools, &statuses, (now_ms, now_secs));
        let sheet = Arc::new(Sheet {
            pools,
            targets: statuses.into_iter().map(Mutex::new).collect(),
            combined: combined.into_iter().map(Mutex::new).collect(),
            keys: keys.into(),
            table,
        });
        self.guard = guard_of(guard, &scripts, &targets, &sheet, &self.guard, &heirs);
        {
            let mut told = self.board.guard.lock();
            told.figures = self.guard.figures();
            told.frozen_since_secs = told.frozen_since_secs.filter(|_| self.guard.frozen_ms().is_some());
        }
        self.board.replace(sheet.clone());
        self.writer = Writer::new(sheet.table.clone());
        self.agenda.clear();
        let silences = self.silences_of(&scripts, &targets, &heirs, now_ms);
        let orders =
            self.exchange_roster(Roster { scripts, targets: Vec::new(), sheet }, targets, &heirs, silences);
        self.concerned.clear();
        self.apply_overrides();
        self.show_all(now_ms);
        publish();

        let limit = Order::Limit(usize::from(exec_processes));
        self.probers[self.mailbox_of(Means::Program, TargetId(0))].post([limit]);
        for (prober, orders) in self.probers.iter().zip(orders) {
            prober.post(orders);
        }
        for (index, change) in changes {
            let reason = Reason::Forced { up: change.state == State::Up };
            self.say_change(index, change, &reason);
        }
        for (place, change) in combined_changes {
            let member = &self.roster.sheet.pools[place.pool as usize].members[place.member as usize];
            let several = member.several.as_ref();
            let reason = several
                .and_then(|it| reason_of(change.state, &self.roster.sheet.statuses(member), &it.quorum));
            self.say(place, reason.unwrap_or(Reason::Reloaded), Event::Changed(change));
        }
    }

    /// Which of the probers finds out.
    fn mailbox_of(&self, means: Means, id: TargetId) -> usize {
        let sockets = self.probers.len() - Special::COUNT;
        match means {
            Means::Program => sockets + Special::Programs as usize,
            Means::File => sockets + Special::Files as usize,
            Means::Socket | Means::Push | Means::Forced => (id.0 % sockets as u64) as usize,
        }
    }

    /// Numbers the targets and replaces the roster; what each prober has to begin and to end.
    fn exchange_roster(
        &mut self,
        mut roster: Roster,
        targets: Vec<PlanTarget>,
        heirs: &[Inheritance],
        silences: Vec<(Option<u64>, Duration)>,
    ) -> Vec<Vec<Order>> {
        let mut orders: Vec<Vec<Order>> = self.probers.iter().map(|_| Vec::new()).collect();
        let is_probed = |target: &PlanTarget| roster.scripts[target.script as usize].is_probed();
        let fresh_count = targets
            .iter()
            .zip(heirs)
            .filter(|(target, heir)| !matches!(heir, Inheritance::All(_)) && is_probed(target))
            .count();
        let mut fresh = 0;
        let mut lives_on = vec![false; self.roster.targets.len()];
        let now = Instant::now();
        for (index, ((target, heir), silence)) in targets.into_iter().zip(heirs).zip(silences).enumerate() {
            let script = &roster.scripts[target.script as usize];
            let id = match heir {
                Inheritance::All(old) => {
                    lives_on[*old] = true;
                    let id = self.roster.targets[*old].id;
                    if *old != index {
                        self.index_of.extend(id.map(|id| (id, index as u32)));
                    }
                    id
                }
                Inheritance::AllButJob(_) | Inheritance::StateOf(_) | Inheritance::None
                    if !script.is_probed() =>
                {
                    None
                }
                Inheritance::AllButJob(_) | Inheritance::StateOf(_) | Inheritance::None => {
                    let id = TargetId(self.next_id);
                    self.next_id += 1;
                    let (interval, timeout) = (script.monitor.interval, script.monitor.timeout);
                    let schedule =
                        Schedule::first(now, fresh, fresh_count, interval, timeout, &mut self.prng);
                    fresh += 1;
                    let course = roster.sheet.targets[index].lock().state;
                    let mailbox = self.mailbox_of(script.means(), id);
                    let (address, script) = (target.address, script.clone());
                    let recollection = Recollection::default();
                    let job = Job { id, address, script, schedule, course, recollection, told: None };
                    orders[mailbox].push(Order::Begin(Box::new(job)));
                    self.index_of.insert(id, index as u32);
                    Some(id)
                }
            };
            let PlanTarget { address, script, places, .. } = target;
            let (silent_ms, holds) = silence;
            roster.targets.push(Kept { id, address, script, places, silent_ms, holds });
        }
        for (kept, _) in self.roster.targets.iter().zip(lives_on).filter(|(_, lives_on)| !lives_on) {
            if let Some(id) = kept.id {
                self.index_of.remove(&id);
                let means = self.roster.scripts[kept.script as usize].means();
                orders[self.mailbox_of(means, id)].push(Order::End(id));
            }
        }
        self.roster = roster;
        orders
    }
}

/// However the keeper ends, by a panic too, the probers end with it: without it they probe for no one, and whoever
/// joins them would wait for ever.
impl Drop for Keeper {
    fn drop(&mut self) {
        for prober in &self.probers {
            prober.post([Order::Stop]);
        }
    }
}

/// The watch over the targets of a plan that are probed, or none of the kind.
fn guard_of(
    rules: Option<guard::Rules>,
    scripts: &[Arc<Script>],
    targets: &[PlanTarget],
    sheet: &Sheet,
    before: &Guard,
    heirs: &[Inheritance],
) -> Guard {
    let mut seats: HashMap<IpAddr, u32> = HashMap::new();
    let watched = targets.iter().zip(&sheet.targets).map(|(target, status)| {
        let next = seats.len() as u32;
        let seat = *seats.entry(target.address).or_insert(next);
        let is_probed = scripts[target.script as usize].is_remote();
        let is_member = is_probed && !target.places.is_empty();
        let is_up = is_member && status.lock().state.state == State::Up;
        Watched { seat, is_canary: target.is_canary && is_probed, is_up }
    });
    let mut guard = Guard::new(rules, watched, before);
    let lives_on = |(new, heir): (usize, &Inheritance)| match heir {
        Inheritance::All(old) | Inheritance::AllButJob(old) => Some((new, *old)),
        Inheritance::StateOf(_) | Inheritance::None => None,
    };
    guard.take_over(before, heirs.iter().enumerate().filter_map(lives_on));
    guard
}

/// Seconds of the Unix epoch; a clock before 1970 or after 2106 stops at the bound.
fn now_secs() -> u32 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since_epoch.as_secs()).unwrap_or(u32::MAX)
}
