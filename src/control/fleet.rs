//! The worker threads as a whole: start, hand over generations, stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::live::WorkerView;
use crate::config::model::Server;
use crate::dataplane::worker::Worker;
use crate::io::limits::ConnectionLimits;
use crate::io::listen::Endpoint;
use crate::io::pin::Cores;
use crate::io::reactor::WorkerIo;
use crate::state::clock::Clock;
use crate::state::counters::Counters;
use crate::state::guard::Guard;
use crate::state::publish::{Generation, Mailbox, buckets_for};
use crate::state::rotation::{Carry, RotationTable};
use crate::state::snapshot::Snapshot;

/// How long the workers may take to adopt before it is logged: they do it between two batches.
const SLOW_ADOPTION: Duration = Duration::from_secs(2);
/// How long the control side waits for it in all: a worker that takes longer is stuck, and the control side must go on.
const ADOPTION_LIMIT: Duration = Duration::from_secs(30);

/// How long a worker is waited for that was late the last time.
const LATE_LIMIT: Duration = Duration::from_millis(100);

/// Wakes a worker out of its wait.
type Wake = Arc<dyn Fn() + Send + Sync>;

/// All workers.
pub(super) struct Fleet {
    workers: Vec<Hand>,
    stop: Arc<AtomicBool>,
}

/// One worker as seen from outside.
struct Hand {
    mailbox: Arc<Mailbox>,
    counters: Arc<Counters>,
    wake: Wake,
    thread: JoinHandle<std::io::Result<()>>,
    /// Whether it did not come when it was last waited for.
    is_late: bool,
}

/// What is posted to the workers once the health keeper has filled the table.
pub(super) struct Handover {
    generations: Vec<(Arc<Mailbox>, Box<Generation>, Wake)>,
}

impl Handover {
    /// Posts the generations; quick, as the keeper waits for it.
    pub(super) fn post(self) {
        for (mailbox, generation, wake) in self.generations {
            mailbox.post(generation);
            wake();
        }
    }
}

impl Fleet {
    /// Starts one thread for each element of `endpoints` (the sockets of one worker), pinned to a core each.
    ///
    /// # Errors
    /// When the kernel gives no thread or epoll instance.
    pub(super) fn start(
        endpoints: Vec<Vec<Endpoint>>,
        snapshot: &Arc<Snapshot>,
        limits: &Arc<ConnectionLimits>,
        server: &Server,
        cores: &Cores,
        clock: &Arc<Clock>,
    ) -> std::io::Result<(Fleet, Vec<Arc<[AtomicU64]>>)> {
        let mut fleet = Fleet { workers: Vec::new(), stop: Arc::new(AtomicBool::new(false)) };
        let mut draws = Vec::new();
        for (index, endpoints) in endpoints.into_iter().enumerate() {
            let generation = Box::new(Generation::first(snapshot.clone(), index as u32));
            draws.push(generation.rotations.draw_counts());
            let started = WorkerIo::new(endpoints, limits.clone(), server.tcp_idle_timeout)
                .inspect(|io| set_busy_poll(io, server.busy_poll_us, index))
                .and_then(|io| fleet.start_worker(index, io, generation, cores.clone(), clock.clone()));
            if let Err(error) = started {
                fleet.stop();
                return Err(error);
            }
        }
        Ok((fleet, draws))
    }

    fn start_worker(
        &mut self,
        index: usize,
        io: WorkerIo,
        generation: Box<Generation>,
        cores: Cores,
        clock: Arc<Clock>,
    ) -> std::io::Result<()> {
        let waker = io.waker();
        let mailbox = Arc::new(Mailbox::new(generation.snapshot.generation));
        let counters = Arc::new(Counters::default());
        let mut worker =
            Worker::new(io, generation, counters.clone(), mailbox.clone(), clock, self.stop.clone());
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            if !cores.pin_current_thread(index) {
                tracing::warn!(worker = index, "the worker could not be pinned to a core");
            }
            let outcome = worker.run();
            if let Err(error) = &outcome {
                tracing::error!(worker = index, %error, "the worker has stopped");
            }
            outcome
        })?;
        let wake: Wake = Arc::new(move || {
            if let Err(error) = waker.wake() {
                tracing::error!(worker = index, %error, "the worker cannot be woken");
            }
        });
        self.workers.push(Hand { mailbox, counters, wake, thread, is_late: false });
        Ok(())
    }

    /// What may be seen of each worker.
    pub(super) fn views(&self) -> Box<[WorkerView]> {
        let view =
            |hand: &Hand| WorkerView { counters: hand.counters.clone(), mailbox: hand.mailbox.clone() };
        self.workers.iter().map(view).collect()
    }

    /// Prepares a generation for every worker: all memory that adopting needs is allocated here. `carry` is what lives on from
    /// the generation `before`; a worker that still answers from an older one, whose positions these are not, begins anew.
    pub(super) fn prepare(
        &self,
        snapshot: &Arc<Snapshot>,
        carry: Carry,
        before: u64,
    ) -> (Handover, Vec<Arc<[AtomicU64]>>) {
        let carry = Arc::new(carry);
        let mut draws = Vec::new();
        let mut generations = Vec::new();
        for (index, hand) in self.workers.iter().enumerate() {
            let rotations = RotationTable::new(&snapshot.pools, index as u32);
            draws.push(rotations.draw_counts());
            let buckets = buckets_for(snapshot);
            let carry = match hand.mailbox.adopted() == before {
                true => carry.clone(),
                false => Arc::default(),
            };
            // What a late worker has retired since: the room is needed.
            hand.mailbox.collect_retired();
            let (snapshot, guard) = (snapshot.clone(), Guard::default());
            let generation = Generation { snapshot, rotations, buckets, guard, carry };
            let generation = Box::new(generation);
            generations.push((hand.mailbox.clone(), generation, hand.wake.clone()));
        }
        (Handover { generations }, draws)
    }

    /// Waits until every worker answers from this generation, and frees what they have retired. False when one does not come,
    /// as when its machine stood still or it is stuck: it finds the generation, or a newer one, when it goes on. Who was late
    /// the last time is not waited for again: the others' changes, new signatures among them, are not to hang on it.
    pub(super) fn await_adoption(&mut self, generation: u64) -> bool {
        self.await_adoption_within(generation, ADOPTION_LIMIT)
    }

    fn await_adoption_within(&mut self, generation: u64, limit: Duration) -> bool {
        let started = Instant::now();
        let mut said = false;
        let mut all = true;
        for (index, hand) in self.workers.iter_mut().enumerate() {
            let limit = if hand.is_late { LATE_LIMIT } else { limit };
            hand.is_late = false;
            while hand.mailbox.adopted() != generation {
                let waited = started.elapsed();
                if waited > SLOW_ADOPTION && !said {
                    tracing::warn!(worker = index, generation, "the worker is slow to adopt a configuration");
                    said = true;
                }
                if waited > limit || hand.thread.is_finished() {
                    tracing::error!(
                        worker = index,
                        generation,
                        "the worker does not adopt the configuration"
                    );
                    (hand.is_late, all) = (true, false);
                    break;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
            hand.mailbox.collect_retired();
        }
        all
    }

    /// Whether every worker answers from this generation.
    pub(super) fn is_at(&self, generation: u64) -> bool {
        self.workers.iter().all(|hand| hand.mailbox.adopted() == generation)
    }

    /// True when a worker has ended although nobody asked it to.
    pub(super) fn has_lost_a_worker(&self) -> bool {
        self.workers.iter().any(|hand| hand.thread.is_finished())
    }

    /// Stops all workers and waits for them.
    pub(super) fn stop(self) {
        // Relaxed: the wake-up behind it orders the flag.
        self.stop.store(true, Ordering::Relaxed);
        for hand in &self.workers {
            (hand.wake)();
        }
        for hand in self.workers {
            if hand.thread.join().is_err() {
                tracing::error!("a worker has panicked");
            }
        }
    }
}

/// Has the kernel poll for a worker if the configuration says so. Refused, the server works all the same: one line says it.
fn set_busy_poll(io: &WorkerIo, busy_poll_us: u16, worker: usize) {
    if busy_poll_us == 0 {
        return;
    }
    if let Err(error) = io.set_busy_poll(busy_poll_us)
        && worker == 0
    {
        tracing::warn!(%error, "server.busy_poll_us is without effect (CAP_NET_ADMIN and Linux 6.9 are needed)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::compile::compile;
    use crate::config::load_str;

    fn snapshot(generation: u64) -> Arc<Snapshot> {
        let text = "globalnames: {a.test: p}\npools: {p: {lb_method: wrr, members: [192.0.2.1], monitor: forced, monitor_params: {status: up}}}\n";
        Arc::new(compile(&load_str("a.yaml", text).unwrap().config, generation))
    }

    /// A fleet of workers that adopt when they are told to, each with what it answers from.
    #[expect(clippy::vec_box, reason = "a mailbox exchanges boxes")]
    fn fleet(workers: usize) -> (Fleet, Vec<Box<Generation>>) {
        let first = snapshot(1);
        let mut fleet = Fleet { workers: Vec::new(), stop: Arc::new(AtomicBool::new(false)) };
        for _ in 0..workers {
            let stop = fleet.stop.clone();
            let thread = std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::thread::park_timeout(Duration::from_millis(1));
                }
                Ok(())
            });
            fleet.workers.push(Hand {
                mailbox: Arc::new(Mailbox::new(1)),
                counters: Arc::default(),
                wake: Arc::new(|| ()),
                thread,
                is_late: false,
            });
        }
        let generations = (0..workers as u32).map(|seed| Box::new(Generation::first(first.clone(), seed)));
        (fleet, generations.collect())
    }

    #[test]
    fn late_worker_holds_up_nobody_and_comes_along_when_it_goes_on() {
        let (mut fleet, mut workers) = fleet(2);
        let mailboxes: Vec<_> = fleet.workers.iter().map(|hand| hand.mailbox.clone()).collect();
        // Positions that only a worker at the generation before has: taken over by another, they would be out of its bounds.
        let carry = || Carry { rotations: vec![(0, 0)], members: vec![(0, 0)] };
        let limit = Duration::from_millis(1);
        for generation in 2..5 {
            fleet.prepare(&snapshot(generation), carry(), generation - 1).0.post();
            assert!(mailboxes[0].adopt(&mut workers[0]));
            assert!(!fleet.await_adoption_within(generation, limit) && !fleet.is_at(generation));
            assert_eq!((mailboxes[0].adopted(), mailboxes[1].adopted()), (generation, 1));
        }
        let started = Instant::now();
        assert!(!fleet.await_adoption(4), "who was late is not waited for again");
        assert!(started.elapsed() < ADOPTION_LIMIT / 2);
        assert!(mailboxes[1].adopt(&mut workers[1]));
        assert_eq!((workers[1].snapshot.generation, workers[1].carry.rotations.len()), (4, 0));
        assert!(fleet.await_adoption(4) && fleet.is_at(4));
        fleet.prepare(&snapshot(5), carry(), 4).0.post();
        for (mailbox, worker) in mailboxes.iter().zip(&mut workers) {
            assert!(mailbox.adopt(worker));
            assert_eq!(worker.carry.rotations.len(), 1);
        }
        assert!(fleet.await_adoption(5));
        fleet.stop();
    }
}
