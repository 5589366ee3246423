//! One worker: its sockets, its generation of the configuration, and the loop that joins them.
//!
//! The loop only moves octets between `io` and `respond`; it decides nothing. A new generation is adopted between
//! batches, so that every query of a batch is answered from one configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::guard::{answer_limited, is_limiting};
use super::respond::{Outcome, Transport, WorkerState, respond};
use crate::io::reactor::{DatagramDesk, UdpTally, WorkerIo};
use crate::io::tcp::{StreamAction, TcpTally};
use crate::io::udp::{Batch, Slot};
use crate::state::clock::Clock;
use crate::state::counters::{Counter, Counters};
use crate::state::publish::{Generation, Mailbox};

/// A worker, ready to run on a thread of its own.
pub struct Worker {
    io: WorkerIo,
    batch: Batch,
    desk: Desk,
    stop: Arc<AtomicBool>,
}

/// The worker without its sockets: what answers, whatever the transport.
struct Desk {
    generation: Box<Generation>,
    state: WorkerState,
    mailbox: Arc<Mailbox>,
    clock: Arc<Clock>,
}

impl Worker {
    /// Puts a worker together; `mailbox` was made for the number of `generation`.
    pub fn new(
        io: WorkerIo,
        generation: Box<Generation>,
        counters: Arc<Counters>,
        mailbox: Arc<Mailbox>,
        clock: Arc<Clock>,
        stop: Arc<AtomicBool>,
    ) -> Worker {
        let desk = Desk { generation, state: WorkerState::new(counters), mailbox, clock };
        Worker { io, batch: Batch::new(), desk, stop }
    }

    /// Answers queries until `stop` is set and the worker woken.
    ///
    /// # Errors
    /// What epoll reported; the worker cannot go on then.
    pub fn run(&mut self) -> std::io::Result<()> {
        loop {
            self.io.wait(None)?;
            // Relaxed: the flag carries nothing but itself, and the wake-up orders it.
            if self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let datagrams = self.io.udp_turn(&mut self.batch, &mut self.desk);
            // Also without a query: an idle worker must not hold on to what was replaced.
            self.desk.begin_batch();
            let desk = &mut self.desk;
            let now = self.io.now();
            let transport =
                if self.io.connections_are_scarce() { Transport::ScarceTcp } else { Transport::Tcp };
            let streams = self.io.tcp_turn(now, |peer, message, reply| {
                match respond(&mut desk.generation, &mut desk.state, peer.ip(), transport, message, reply) {
                    Outcome::Reply(len) => StreamAction::Reply(len),
                    // What is no query over TCP will not become one: nothing more is expected of this peer.
                    Outcome::Drop(_) => StreamAction::Close,
                }
            });
            count(&self.desk.state.counters, datagrams, streams);
        }
    }
}

impl DatagramDesk for Desk {
    /// Adopts a newer generation, if there is one, and takes up the time.
    #[inline]
    fn begin_batch(&mut self) {
        if self.mailbox.adopt(&mut self.generation) {
            self.state.counters.bump(Counter::Adopted);
        }
        self.generation.guard.begin_batch(self.clock.now(), &self.state.counters);
        let rebuilds = self.generation.rotations.take_rebuilds();
        if rebuilds > 0 {
            self.state.counters.add(Counter::Rebuilds, rebuilds);
        }
    }

    #[inline]
    fn answer(&mut self, slot: Slot<'_>) -> usize {
        if let Some(dropped) = unanswerable(slot.truncated, slot.port) {
            self.state.counters.bump(dropped);
            return 0;
        }
        match respond(
            &mut self.generation,
            &mut self.state,
            slot.client,
            Transport::Udp,
            slot.query,
            slot.reply,
        ) {
            Outcome::Reply(len) => len,
            Outcome::Drop(_) => 0,
        }
    }

    #[inline]
    fn is_limiting(&self) -> bool {
        is_limiting(&self.generation)
    }

    #[inline(never)]
    fn answer_limited(&mut self, slot: Slot<'_>) -> usize {
        if let Some(dropped) = unanswerable(slot.truncated, slot.port) {
            self.state.counters.bump(dropped);
            return 0;
        }
        answer_limited(&mut self.generation, &mut self.state, slot.client, slot.query, slot.reply)
    }
}

/// Why a datagram gets no reply whatever is in it.
#[inline]
fn unanswerable(truncated: bool, port: u16) -> Option<Counter> {
    match (truncated, port) {
        (true, _) => Some(Counter::DropOversize),
        (false, 0) => Some(Counter::DropPort),
        (false, _) => None,
    }
}

/// Adds what the transports report to the counters.
fn count(counters: &Counters, datagrams: UdpTally, streams: TcpTally) {
    for (counter, count) in
        [(Counter::DropSend, datagrams.dropped), (Counter::SocketErrors, datagrams.errors)]
    {
        if count > 0 {
            counters.add(counter, u64::from(count));
        }
    }
    if streams == TcpTally::default() {
        return;
    }
    for (counter, count) in [
        (Counter::TcpAccepted, streams.accepted),
        (Counter::TcpRefusedTotal, streams.refused_total),
        (Counter::TcpRefusedClient, streams.refused_client),
        (Counter::TcpEvicted, streams.evicted),
        (Counter::TcpTimedOut, streams.timed_out),
        (Counter::TcpMalformed, streams.short),
        (Counter::TcpClosed, streams.closed),
        (Counter::SocketErrors, streams.accept_errors),
    ] {
        counters.add(counter, u64::from(count));
    }
}
