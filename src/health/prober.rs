//! The probe thread: an event loop over timers, connections and a mailbox.
//!
//! Each target has a slot; a slot is idle (a timer holds its next start), waiting for room, or in flight (a timer holds
//! the end of its budget). So a slot has one timer at most, and a target one probe at most. Every change bumps the
//! slot's generation, which is part of its token and of its timer: whatever arrives late is recognised and ignored.
//!
//! # Bounds
//! `IN_FLIGHT_MAX` connections a thread; one timer that counts, and one or two outdated ones, a target. The mailbox
//! is emptied at every turn, so it holds at most what the keeper posts during one. When the keeper does not keep up,
//! this thread waits for it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam::channel::Sender;
use mio::{Events, Poll, Token, Waker};
use parking_lot::Mutex;

use super::keeper::Message;
use super::machine::{MemberState, Outcome, Rules, step};
use super::probe::attempt::{Attempt, Recollection, Tools};
use super::probe::{Conclusion, Means, Script};
use super::reason::{ProberFault, Reason};
use super::schedule::{Prng, Schedule};
use super::status::ThreadCounters;

/// Probes under way in one thread: as many descriptors, and with TLS some 50 KiB each. With 100,000 targets that all
/// hang for half of their interval, four threads are needed; with fewer, starts are late and say so.
pub(super) const IN_FLIGHT_MAX: usize = 16 * 1024;
/// Events taken from the kernel at once.
const EVENTS: usize = 1024;
/// Timers served between two looks at the kernel's events, so that after a standstill replies are not left waiting
/// behind thousands of starts.
const TIMERS_PER_TURN: usize = 256;
/// The mailbox's token; slots never reach it, their index has 32 bits and so has the generation.
const MAIL: Token = Token(usize::MAX);

const _: () = assert!(usize::BITS == 64, "a token holds a slot's index and generation");

/// A target's number: never given twice, so that a late report cannot be taken for another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TargetId(pub(super) u64);

/// What a thread needs to probe a target.
pub(super) struct Job {
    pub(super) id: TargetId,
    pub(super) address: IpAddr,
    pub(super) script: Arc<Script>,
    pub(super) schedule: Schedule,
    /// What the target's outcomes alone make of it, beginning with its state: when the next probe is wanted.
    pub(super) course: MemberState,
    /// What is kept from one probe to the next.
    pub(super) recollection: Recollection,
    /// What was last told of a target that is only looked at, and when.
    pub(super) told: Option<(Conclusion, Instant)>,
}

/// What became of one probe.
pub(super) struct Report {
    pub(super) target: TargetId,
    pub(super) conclusion: Conclusion,
    /// From start to verdict.
    pub(super) duration: Duration,
    pub(super) verdict_at: Instant,
}

/// An order of the keeper.
pub(super) enum Order {
    /// Probe this from now on.
    Begin(Box<Job>),
    /// Never again.
    End(TargetId),
    /// So many at once at most.
    Limit(usize),
    /// End the thread.
    Stop,
}

/// The way from the keeper to a prober thread. Posting never waits, so keeper and prober cannot wait for each other.
pub(super) struct Mailbox {
    orders: Mutex<Vec<Order>>,
    waker: Waker,
}

impl Mailbox {
    /// Hands over orders; they are carried out in this order.
    pub(super) fn post(&self, orders: impl IntoIterator<Item = Order>) {
        self.orders.lock().extend(orders);
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake a probe thread");
        }
    }
}

/// A thread's state.
pub(super) struct Prober {
    poll: Poll,
    mailbox: Arc<Mailbox>,
    reports: Sender<Message>,
    counters: Arc<ThreadCounters>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    slot_of: HashMap<TargetId, u32>,
    timers: BinaryHeap<Reverse<(Instant, Ticket)>>,
    /// Due, but `in_flight_max` was reached.
    waiting: VecDeque<Ticket>,
    in_flight: usize,
    in_flight_max: usize,
    prng: Prng,
    tools: Tools,
    stopped: bool,
}

/// A target of this thread.
struct Slot {
    generation: u32,
    /// `None`: the slot is free.
    job: Option<Box<Job>>,
    flight: Option<Box<UnderWay>>,
}

/// A probe under way.
struct UnderWay {
    flight: Attempt,
    started: Instant,
}

/// A slot at one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ticket {
    slot: u32,
    generation: u32,
}

impl Ticket {
    fn token(self) -> Token {
        Token((self.generation as usize) << 32 | self.slot as usize)
    }

    fn of(token: Token) -> Ticket {
        Ticket { slot: token.0 as u32, generation: (token.0 >> 32) as u32 }
    }
}

impl Prober {
    /// A thread's state and its mailbox.
    ///
    /// # Errors
    /// When the kernel gives no epoll instance or eventfd.
    pub(super) fn new(
        seed: u64,
        in_flight_max: usize,
        reports: Sender<Message>,
        counters: Arc<ThreadCounters>,
    ) -> io::Result<(Prober, Arc<Mailbox>)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), MAIL)?;
        let mailbox = Arc::new(Mailbox { orders: Mutex::new(Vec::new()), waker });
        let prober = Prober {
            poll,
            mailbox: mailbox.clone(),
            reports,
            counters,
            slots: Vec::new(),
            free: Vec::new(),
            slot_of: HashMap::new(),
            timers: BinaryHeap::new(),
            waiting: VecDeque::new(),
            in_flight: 0,
            in_flight_max,
            prng: Prng::new(seed),
            tools: Tools::new(),
            stopped: false,
        };
        Ok((prober, mailbox))
    }

    /// Probes until told to stop.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.stopped {
            let patience = self.patience();
            if let Err(error) = self.poll.poll(&mut events, patience) {
                if error.kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                tracing::error!(%error, "probe thread cannot wait for events: its members keep their last state");
                return;
            }
            // Replies before timers: what came in time is not made late by this thread.
            for event in &events {
                match event.token() {
                    MAIL => self.read_mail(),
                    token => self.advance(Ticket::of(token)),
                }
            }
            self.serve_timers();
            self.serve_waiting();
        }
    }

    /// Whether no probe more may be under way. What was killed is, until it is gone.
    fn is_full(&self) -> bool {
        self.in_flight + self.tools.dying() >= self.in_flight_max
    }

    /// How long nothing needs to be done but for events.
    fn patience(&mut self) -> Option<Duration> {
        let reaping = self.tools.reap();
        if !self.waiting.is_empty() && !self.is_full() {
            return Some(Duration::ZERO);
        }
        let timer = self.timers.peek().map(|Reverse((due, _))| due.saturating_duration_since(Instant::now()));
        timer.into_iter().chain(reaping).min()
    }

    fn read_mail(&mut self) {
        let orders = std::mem::take(&mut *self.mailbox.orders.lock());
        for order in orders {
            match order {
                Order::Begin(job) => self.take_in(job),
                Order::End(id) => self.dismiss(id),
                Order::Limit(limit) => self.in_flight_max = limit,
                Order::Stop => self.stopped = true,
            }
        }
    }

    fn take_in(&mut self, job: Box<Job>) {
        let (id, due) = (job.id, job.schedule.due());
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, job: None, flight: None });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.job = Some(job);
        let ticket = slot.renew(index);
        self.slot_of.insert(id, index);
        self.timers.push(Reverse((due, ticket)));
    }

    fn dismiss(&mut self, id: TargetId) {
        let Some(index) = self.slot_of.remove(&id) else { return };
        let slot = &mut self.slots[index as usize];
        slot.job = None;
        slot.renew(index);
        if let Some(under_way) = slot.flight.take() {
            self.land(*under_way);
        }
        self.free.push(index);
    }

    fn serve_timers(&mut self) {
        let now = Instant::now();
        for _ in 0..TIMERS_PER_TURN {
            match self.timers.peek() {
                Some(Reverse((due, _))) if *due <= now => {}
                _ => return,
            }
            let Some(Reverse((_, ticket))) = self.timers.pop() else { return };
            let is_full = self.is_full();
            let slot = &mut self.slots[ticket.slot as usize];
            if slot.generation != ticket.generation {
                continue;
            }
            match (&slot.job, &mut slot.flight) {
                (Some(job), Some(under_way)) => {
                    let conclusion = under_way.flight.time_out(&job.script, &mut self.tools);
                    self.conclude(ticket.slot, conclusion);
                }
                (Some(_), None) if !is_full => self.start(ticket.slot),
                (Some(_), None) => self.waiting.push_back(ticket),
                (None, _) => {}
            }
        }
    }

    fn serve_waiting(&mut self) {
        for _ in 0..TIMERS_PER_TURN {
            if self.is_full() {
                return self.give_up_waiting();
            }
            let Some(ticket) = self.waiting.pop_front() else { return };
            if self.slots[ticket.slot as usize].generation == ticket.generation {
                self.start(ticket.slot);
            }
        }
    }

    /// Gives up on programs that have waited for room for an interval: what this machine does not get to is no verdict, and
    /// neither is it silence.
    fn give_up_waiting(&mut self) {
        let now = Instant::now();
        while let Some(ticket) = self.waiting.front().copied() {
            let slot = &self.slots[ticket.slot as usize];
            let job = slot.job.as_ref().filter(|_| slot.generation == ticket.generation);
            match job {
                Some(job) if job.script.means() != Means::Program => return,
                Some(job)
                    if now.saturating_duration_since(job.schedule.due()) < job.script.monitor.interval =>
                {
                    return;
                }
                Some(_) => {
                    self.waiting.pop_front();
                    let reason = Reason::Prober(ProberFault::Programs);
                    let outcome = Outcome::Inconclusive;
                    self.report(ticket.slot, now, Conclusion { outcome, reason, advice: None });
                }
                None => _ = self.waiting.pop_front(),
            }
        }
    }

    fn start(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let Some(job) = &mut slot.job else { return };
        let started = Instant::now();
        self.counters.lateness.record(started.saturating_duration_since(job.schedule.due()));
        self.counters.started.fetch_add(1, Ordering::Relaxed);
        let deadline = started + job.script.monitor.timeout;
        match Attempt::open(&job.script, job.address, self.prng.next_bits(), &mut job.recollection) {
            Ok(flight) => {
                let ticket = slot.renew(index);
                let mut under_way = Box::new(UnderWay { flight, started });
                let registered = under_way.flight.register(self.poll.registry(), ticket.token());
                slot.flight = Some(under_way);
                self.in_flight += 1;
                self.counters.in_flight.store(self.in_flight as u64, Ordering::Relaxed);
                match registered {
                    Ok(()) => self.timers.push(Reverse((deadline, ticket))),
                    Err(error) => self.conclude(index, not_registered(&error)),
                }
            }
            Err(conclusion) => self.report(index, started, conclusion),
        }
    }

    fn advance(&mut self, ticket: Ticket) {
        let Some(slot) = self.slots.get_mut(ticket.slot as usize) else { return };
        if slot.generation != ticket.generation {
            return;
        }
        let (Some(job), Some(under_way)) = (&slot.job, &mut slot.flight) else { return };
        let verdict = under_way.flight.advance(&job.script, &mut self.tools).or_else(|| {
            // The flight may go on with another socket; the old one took its registration along.
            let registered = under_way.flight.register(self.poll.registry(), ticket.token());
            registered.err().map(|error| not_registered(&error))
        });
        if let Some(conclusion) = verdict {
            self.conclude(ticket.slot, conclusion);
        }
    }

    /// Ends the slot's flight with a verdict.
    fn conclude(&mut self, index: u32, conclusion: Conclusion) {
        let Some(under_way) = self.slots[index as usize].flight.take() else { return };
        let started = under_way.started;
        // The verdict first: closing the connection can wait.
        self.report(index, started, conclusion);
        self.land(*under_way);
    }

    /// Sends the verdict and sets the timer of the next start.
    fn report(&mut self, index: u32, started: Instant, conclusion: Conclusion) {
        let slot = &mut self.slots[index as usize];
        let ticket = slot.renew(index);
        let Some(job) = &mut slot.job else { return };
        let verdict_at = Instant::now();
        let duration = verdict_at - started;
        let look_pause = job.script.look_pause();
        if let Some(pause) = look_pause {
            // The last look before an interval is over is the one that is told of.
            let is_told = |(told, at): &(Conclusion, Instant)| {
                *told == conclusion && started + pause / 2 < *at + job.script.monitor.interval
            };
            // While a verdict is in doubt each look counts.
            if !job.course.is_pressing() && job.told.as_ref().is_some_and(is_told) {
                job.schedule.hasten(started, verdict_at, pause, &mut self.prng);
                self.timers.push(Reverse((job.schedule.due(), ticket)));
                return;
            }
            job.told = Some((conclusion.clone(), started));
        }
        if conclusion.outcome == Outcome::Inconclusive {
            self.counters.inconclusive.fetch_add(1, Ordering::Relaxed);
        }
        let rules = Rules::counting(&job.script.monitor);
        job.course = step(job.course, conclusion.outcome, &rules, 0).0;
        let report = Report { target: job.id, conclusion, duration, verdict_at };
        // Without a keeper there is no one to probe for.
        self.stopped |= self.reports.send(Message::Report(report)).is_err();
        let pressed = job.script.monitor.discipline.retry_interval.filter(|_| job.course.is_pressing());
        match look_pause.or(pressed) {
            Some(pause) => job.schedule.hasten(started, verdict_at, pause, &mut self.prng),
            None => job.schedule.advance(started, verdict_at, &mut self.prng),
        }
        self.timers.push(Reverse((job.schedule.due(), ticket)));
    }

    /// Closes a connection and takes its buffers back.
    fn land(&mut self, under_way: UnderWay) {
        self.tools.recycle(under_way.flight);
        self.in_flight -= 1;
        self.counters.in_flight.store(self.in_flight as u64, Ordering::Relaxed);
    }
}

/// The verdict where the kernel does not tell of a socket's events.
fn not_registered(error: &io::Error) -> Conclusion {
    Conclusion { outcome: Outcome::Inconclusive, reason: Reason::of_local_error(error), advice: None }
}

impl Slot {
    /// Makes every ticket given out so far an outdated one.
    fn renew(&mut self, index: u32) -> Ticket {
        self.generation = self.generation.wrapping_add(1);
        Ticket { slot: index, generation: self.generation }
    }
}
