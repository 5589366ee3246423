//! Threads and channels of the probe engine: start, adopt, shut down.
//!
//! `threads` prober threads, one of programs and one of files, one keeper, one herald, and where states outlive the process, one saver. It does nothing by itself before a plan is adopted, and it never
//! outlives its handle: dropping it ends and joins the threads. A thread that ends before shows in `is_alive`, for the
//! owner to act upon; the engine does not restart it.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Sender, bounded};

use super::herald;
use super::keeper::{Keeper, MESSAGES_MAX, Message, Special};
use super::overrides::{Override, Overrides};
use super::plan::Plan;
use super::prober::{IN_FLIGHT_MAX, Prober};
use super::push::Pusher;
use super::saver::{self, Memory};
use super::status::{StatusBoard, ThreadCounters};

/// Longest wait for the keeper, which may be adopting a large plan.
const OVERRIDE_PATIENCE: Duration = Duration::from_secs(10);

/// The keeper has ended: no plan can be adopted any more, and no state changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the health keeper is gone")]
pub struct EngineGone;

/// The way of overrides into the engine; it may outlive it.
#[derive(Clone)]
pub struct Overrider(Sender<Message>);

impl Overrider {
    /// Puts these in force in place of all others; returns how many members each of them concerns, once they are.
    ///
    /// # Errors
    /// When the keeper has ended, or is busy for longer than is waited for.
    pub fn put_in_force(&self, overrides: Arc<[Override]>) -> Result<Vec<usize>, EngineGone> {
        let (done, told) = bounded(1);
        self.0.send(Message::Override(Overrides { list: overrides }, done)).map_err(|_| EngineGone)?;
        told.recv_timeout(OVERRIDE_PATIENCE).map_err(|_| EngineGone)
    }
}

/// The running probe engine.
pub struct Engine {
    messages: Sender<Message>,
    board: Arc<StatusBoard>,
    /// In the order in which they end.
    threads: Vec<JoinHandle<()>>,
    /// What writes states to disk, and what it lives by. It ends last, and nobody's verdict hangs on it.
    saver: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Engine {
    /// Starts this many prober threads (at least one) and what belongs to them. The seed decides spread and jitter.
    ///
    /// # Errors
    /// When the kernel gives no thread, epoll instance or eventfd.
    pub fn start(threads: u16, seed: u64) -> io::Result<Engine> {
        Engine::start_bounded(threads, seed, IN_FLIGHT_MAX, None)
    }

    /// As [`Engine::start`], beginning with what the last run left in this memory, and leaving what it knows there.
    ///
    /// # Errors
    /// As [`Engine::start`]; a memory that is of no use is none.
    pub fn start_with(threads: u16, seed: u64, memory: Option<Memory>) -> io::Result<Engine> {
        Engine::start_bounded(threads, seed, IN_FLIGHT_MAX, memory)
    }

    /// As [`Engine::start`], with this many probes under way a thread at most.
    pub(super) fn start_bounded(
        threads: u16,
        seed: u64,
        in_flight_max: usize,
        memory: Option<Memory>,
    ) -> io::Result<Engine> {
        let (sender, receiver) = bounded(MESSAGES_MAX);
        let sockets = usize::from(threads.max(1));
        let counters: Vec<_> =
            (0..sockets + Special::COUNT).map(|_| Arc::new(ThreadCounters::new())).collect();
        let board = Arc::new(StatusBoard::new(counters.iter().cloned()));
        let mut probers = Vec::new();
        let mut mailboxes = Vec::new();
        for (index, counters) in counters.into_iter().enumerate() {
            let (prober, mailbox) =
                Prober::new(seed ^ (index as u64 + 1), in_flight_max, sender.clone(), counters)?;
            probers.push(prober);
            mailboxes.push(mailbox);
        }
        let recalled = memory.as_ref().map(Memory::recall).unwrap_or_default();
        let (mouth, news) = herald::news_channel(board.clone());
        let keeper = Keeper::new(receiver, mailboxes, board.clone(), mouth, recalled, seed);

        // From here on an error drops the handle, which ends what was started.
        let mut engine = Engine { messages: sender, board, threads: Vec::new(), saver: None };
        let keeper = thread::Builder::new().name("health-keeper".into()).spawn(|| keeper.run())?;
        engine.threads.push(keeper);
        for (index, prober) in probers.into_iter().enumerate() {
            let name = match index.checked_sub(sockets) {
                None => format!("health-probe-{index}"),
                Some(special) if special == Special::Programs as usize => "health-exec".into(),
                Some(_) => "health-file".into(),
            };
            engine.threads.push(thread::Builder::new().name(name).spawn(|| prober.run())?);
        }
        let board = engine.board.clone();
        let herald = thread::Builder::new().name("health-herald".into());
        engine.threads.push(herald.spawn(move || herald::run(&news, &board))?);
        if let Some(memory) = memory {
            let (stop, stopped) = bounded(0);
            let board = engine.board.clone();
            let saver = thread::Builder::new().name("health-saver".into());
            engine.saver = Some((stop, saver.spawn(move || saver::run(&memory, &board, &stopped))?));
        }
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

    /// The way of what is pushed into it.
    pub fn pusher(&self) -> Pusher {
        Pusher::new(self.messages.clone(), self.board.clone())
    }

    /// The way of overrides into it.
    pub fn overrider(&self) -> Overrider {
        Overrider(self.messages.clone())
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
        let saver = self.saver.take();
        // What it saves last is what the keeper knew last, so the keeper goes first; letting go of the channel tells it.
        let saver = saver.into_iter().map(|(stop, thread)| (Some(stop), thread));
        for (stop, thread) in self.threads.drain(..).map(|thread| (None, thread)).chain(saver) {
            drop(stop);
            if thread.join().is_err() {
                tracing::error!("a health thread has panicked");
            }
        }
    }
}
