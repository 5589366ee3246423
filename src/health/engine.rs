//! Threads and channels of the probe engine: start, adopt, shut down.
//!
//! `threads` prober threads, one keeper, one herald. It does nothing by itself before a plan is adopted, and it never
//! outlives its handle: dropping it ends and joins the threads. A thread that ends before shows in `is_alive`, for the
//! owner to act upon; the engine does not restart it.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam::channel::{Sender, bounded};

use super::herald;
use super::keeper::{Keeper, MESSAGES_MAX, Message};
use super::plan::Plan;
use super::prober::{IN_FLIGHT_MAX, Prober};
use super::status::{StatusBoard, ThreadCounters};

/// The keeper has ended: no plan can be adopted any more, and no state changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the health keeper is gone")]
pub struct EngineGone;

/// The running probe engine.
pub struct Engine {
    messages: Sender<Message>,
    board: Arc<StatusBoard>,
    /// In the order in which they end.
    threads: Vec<JoinHandle<()>>,
}

impl Engine {
    /// Starts this many prober threads (at least one) and what belongs to them. The seed decides spread and jitter.
    ///
    /// # Errors
    /// When the kernel gives no thread, epoll instance or eventfd.
    pub fn start(threads: u16, seed: u64) -> io::Result<Engine> {
        Engine::start_bounded(threads, seed, IN_FLIGHT_MAX)
    }

    /// As [`Engine::start`], with this many probes under way a thread at most.
    pub(super) fn start_bounded(threads: u16, seed: u64, in_flight_max: usize) -> io::Result<Engine> {
        let (sender, receiver) = bounded(MESSAGES_MAX);
        let counters: Vec<_> = (0..threads.max(1)).map(|_| Arc::new(ThreadCounters::new())).collect();
        let board = Arc::new(StatusBoard::new(counters.iter().cloned()));
        let mut probers = Vec::new();
        let mut mailboxes = Vec::new();
        for (index, counters) in counters.into_iter().enumerate() {
            let (prober, mailbox) =
                Prober::new(seed ^ (index as u64 + 1), in_flight_max, sender.clone(), counters)?;
            probers.push(prober);
            mailboxes.push(mailbox);
        }
        let (mouth, news) = herald::news_channel(board.clone());
        let keeper = Keeper::new(receiver, mailboxes, board.clone(), mouth, seed);

        // From here on an error drops the handle, which ends what was started.
        let mut engine = Engine { messages: sender, board, threads: Vec::new() };
        let keeper = thread::Builder::new().name("health-keeper".into()).spawn(|| keeper.run())?;
        engine.threads.push(keeper);
        for (index, prober) in probers.into_iter().enumerate() {
            let name = format!("health-probe-{index}");
            engine.threads.push(thread::Builder::new().name(name).spawn(|| prober.run())?);
        }
        let board = engine.board.clone();
        let herald = thread::Builder::new().name("health-herald".into());
        engine.threads.push(herald.spawn(move || herald::run(&news, &board))?);
        Ok(engine)
    }

    /// Goes over to a new plan. The keeper fills the plan's table with what is known of targets it already probes,
    /// calls `publish` once (it makes the new table the one that is read; it should be quick, verdicts wait for it),
    /// and from then on writes the new table only. Returns before that.
    ///
    /// # Errors
    /// When the keeper has ended; `publish` is dropped uncalled. Should it end before it gets to this plan, `publish`
    /// is dropped just so, but later.
    pub fn adopt(&self, plan: Plan, publish: Box<dyn FnOnce() + Send>) -> Result<(), EngineGone> {
        self.messages.send(Message::Adopt(Box::new(plan), publish)).map_err(|_| EngineGone)
    }

    /// Whether all of its threads still run. One that does not has panicked, or a prober could not wait for events:
    /// states are frozen from then on, some or all, and only another engine can help.
    pub fn is_alive(&self) -> bool {
        !self.threads.iter().any(JoinHandle::is_finished)
    }

    /// What is known of members and engine.
    pub fn status(&self) -> Arc<StatusBoard> {
        self.board.clone()
    }

    /// Ends all threads and waits for them. Probes under way are dropped, what the log has not said yet is still said.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // An error: the keeper is gone already, and whoever waits for it sees its channel closed.
        drop(self.messages.send(Message::Stop));
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a health thread has panicked");
            }
        }
    }
}
