//! What every way of asking shares: the clock, the phases of a run, and waiting without burning a core for nothing.

use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollTimeout, poll};

use crate::queries::Queries;
use crate::random::Random;
use crate::server::{Cost, Server};
use crate::tally::{Lost, Strictness, Tally};

/// How long sockets are read in vain before the kernel is asked to wake us: sleeping at once would have the server pay for
/// waking us for nearly every reply.
const SPIN_NS: u64 = 50_000;
/// The longest wait for a reply before the clock is looked at again.
const WAIT_MS: u8 = 1;
/// How often outstanding queries are searched for lost ones.
const EXPIRE_EVERY_NS: u64 = 5_000_000;

/// How long, how strictly, against whom.
pub(crate) struct Plan {
    /// Not measured, at the start.
    pub(crate) warmup: Duration,
    /// Measured.
    pub(crate) length: Duration,
    /// After that a query without an answer is lost.
    pub(crate) timeout: Duration,
    /// How replies are checked.
    pub(crate) strictness: Strictness,
    /// The process whose CPU time is taken.
    pub(crate) server: Option<Server>,
    /// Seed of the choice of queries.
    pub(crate) seed: u64,
}

/// Where a run is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Warmup,
    Measured,
    /// Nothing is sent any more; outstanding replies are awaited.
    Drain,
}

/// What was measured.
pub(crate) struct Measured {
    /// How long it took.
    pub(crate) length: Duration,
    /// Replies within that time, whatever their worth.
    pub(crate) replies: u64,
    /// What it cost the server.
    pub(crate) cost: Option<Cost>,
    /// Share of that time in which there was nothing to do: how much faster the load could have been.
    pub(crate) idle: f64,
    /// The counts, including those of the replies that came after the end.
    pub(crate) tally: Tally,
}

/// A run under way.
pub(crate) struct Run<'q> {
    /// What is asked.
    pub(crate) queries: &'q Queries,
    /// What came of it.
    pub(crate) tally: Tally,
    /// Chooses queries.
    pub(crate) random: Random,
    plan: Plan,
    origin: Instant,
    phase: Phase,
    phase_since_ns: u64,
    cost_before: Option<Cost>,
    measured: Option<(Duration, u64, Option<Cost>)>,
    idle_ns: u64,
    measured_idle_ns: u64,
    /// When a reply last came.
    active_ns: u64,
    expired_ns: u64,
}

impl<'q> Run<'q> {
    /// Starts the clock of the warm-up.
    pub(crate) fn start(plan: Plan, queries: &'q Queries) -> Run<'q> {
        Run {
            queries,
            tally: Tally::new(plan.strictness, plan.timeout),
            random: Random::new(plan.seed),
            plan,
            origin: Instant::now(),
            phase: Phase::Warmup,
            phase_since_ns: 0,
            cost_before: None,
            measured: None,
            idle_ns: 0,
            measured_idle_ns: 0,
            active_ns: 0,
            expired_ns: 0,
        }
    }

    /// Nanoseconds since the start.
    pub(crate) fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// True as long as new queries are wanted.
    pub(crate) fn sending(&self) -> bool {
        self.phase != Phase::Drain
    }

    /// Moves on to the next phase when it is time; false when the run is over.
    ///
    /// # Errors
    /// The server has gone.
    pub(crate) fn advance(&mut self, now: u64, outstanding: impl FnOnce() -> usize) -> nix::Result<bool> {
        let passed = Duration::from_nanos(now - self.phase_since_ns);
        match self.phase {
            Phase::Warmup if passed >= self.plan.warmup => {
                self.tally.clear();
                self.idle_ns = 0;
                self.cost_before = self.plan.server.as_ref().map(Server::cost).transpose()?;
                self.phase = Phase::Measured;
                self.phase_since_ns = self.now();
            }
            Phase::Measured if passed >= self.plan.length => {
                let after = self.plan.server.as_ref().map(Server::cost).transpose()?;
                let cost = after.zip(self.cost_before).map(|(after, before)| after.since(&before));
                let length = Duration::from_nanos(self.now() - self.phase_since_ns);
                self.measured = Some((length, self.tally.replies(), cost));
                self.measured_idle_ns = self.idle_ns;
                self.phase = Phase::Drain;
                self.phase_since_ns = now;
            }
            Phase::Drain => return Ok(outstanding() > 0 && passed <= self.plan.timeout * 2),
            Phase::Warmup | Phase::Measured => {}
        }
        Ok(true)
    }

    /// Before which instant an outstanding query is lost, when it is time to look; then `Some`.
    pub(crate) fn expiry(&mut self, now: u64) -> Option<u64> {
        if now < self.expired_ns + EXPIRE_EVERY_NS {
            return None;
        }
        self.expired_ns = now;
        now.checked_sub(self.plan.timeout.as_nanos() as u64)
    }

    /// Counts the time of a pass over all sockets that found nothing.
    pub(crate) fn idled(&mut self, since_ns: u64) {
        self.idle_ns += self.now() - since_ns;
    }

    /// Behind a pass that began at `now`: sleeps until one of the sockets has something, when nothing has come for a while;
    /// at most 1 ms.
    ///
    /// # Errors
    /// What the kernel said.
    pub(crate) fn idle(&mut self, now: u64, active: bool, sockets: &mut [PollFd<'_>]) -> nix::Result<()> {
        if active {
            self.active_ns = now;
        } else if now > self.active_ns + SPIN_NS {
            match poll(sockets, PollTimeout::from(WAIT_MS)) {
                Err(nix::Error::EINTR) | Ok(_) => {}
                Err(error) => return Err(error),
            }
        }
        if !active {
            self.idled(now);
        }
        Ok(())
    }

    /// Behind a pass that began at `now` and found nothing: sleeps until a time, whatever comes meanwhile.
    pub(crate) fn doze(&mut self, now: u64, until: u64) {
        std::thread::sleep(Duration::from_nanos(until.saturating_sub(self.now())));
        self.idled(now);
    }

    /// The result. Queries still outstanding are lost.
    pub(crate) fn finish(mut self, outstanding: usize) -> Measured {
        self.tally.lost(Lost::Timeout, outstanding as u64);
        let (length, replies, cost) = self.measured.unwrap_or_default();
        let idle = self.measured_idle_ns as f64 / (length.as_nanos() as f64).max(1.0);
        Measured { length, replies, cost, idle, tally: self.tally }
    }
}
