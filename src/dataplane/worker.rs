//! One worker: its sockets, its generation of the configuration, and the loop that joins them.
//!
//! The loop only moves octets between `io` and [`respond`]; it decides nothing. A new generation is adopted between
//! batches, so that every query of a batch is answered from one configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::respond::{Outcome, Transport, WorkerState, respond};
use crate::io::framing::StreamAction;
use crate::io::reactor::WorkerIo;
use crate::io::tcp::TcpTally;
use crate::io::udp::Batch;
use crate::state::counters::{Counter, Counters};
use crate::state::publish::{Generation, Mailbox};

/// A worker, ready to run on a thread of its own.
pub struct Worker {
    io: WorkerIo,
    batch: Batch,
    generation: Box<Generation>,
    state: WorkerState,
    mailbox: Arc<Mailbox>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    /// Puts a worker together; `mailbox` was made for the number of `generation`.
    pub fn new(
        io: WorkerIo,
        generation: Box<Generation>,
        counters: Arc<Counters>,
        mailbox: Arc<Mailbox>,
        stop: Arc<AtomicBool>,
    ) -> Worker {
        Worker { io, batch: Batch::new(), generation, state: WorkerState::new(counters), mailbox, stop }
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
            for index in 0..self.io.udp_len() {
                self.datagrams(index);
            }
            self.streams();
        }
    }

    /// One batch of one socket.
    #[inline]
    fn datagrams(&mut self, index: usize) {
        let count = self.io.receive(index, &mut self.batch);
        // Behind the receive: a query that arrives after a configuration was published is answered from it.
        self.adopt();
        if count == 0 {
            return;
        }
        for at in 0..count {
            let slot = self.batch.slot(at);
            if let Some(dropped) = unanswerable(slot.truncated, slot.peer.port()) {
                self.state.counters.bump(dropped);
                continue;
            }
            let client = slot.peer.ip();
            let generation = &mut *self.generation;
            match respond(generation, &mut self.state, client, Transport::Udp, slot.query, slot.reply) {
                Outcome::Reply(len) => self.batch.set_reply(at, len),
                Outcome::Drop(_) => {}
            }
        }
        let tally = self.io.send(index, &mut self.batch);
        if tally.dropped > 0 {
            self.state.counters.add(Counter::DropSend, u64::from(tally.dropped));
        }
    }

    /// One turn of the TCP connections.
    fn streams(&mut self) {
        self.adopt();
        let (generation, state) = (&mut *self.generation, &mut self.state);
        let now = self.io.now();
        let tally = self.io.tcp_turn(now, |peer, message, reply| {
            match respond(generation, state, peer.ip(), Transport::Tcp, message, reply) {
                Outcome::Reply(len) => StreamAction::Reply(len),
                // What is no query over TCP will not become one: nothing more is expected of this peer.
                Outcome::Drop(_) => StreamAction::Close,
            }
        });
        count_streams(&self.state.counters, tally);
    }

    #[inline]
    fn adopt(&mut self) {
        if self.mailbox.adopt(&mut self.generation) {
            self.state.counters.bump(Counter::Adopted);
        }
        let rebuilds = self.generation.rotations.take_rebuilds();
        if rebuilds > 0 {
            self.state.counters.add(Counter::Rebuilds, rebuilds);
        }
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

fn count_streams(counters: &Counters, tally: TcpTally) {
    if tally == TcpTally::default() {
        return;
    }
    for (counter, count) in [
        (Counter::TcpAccepted, tally.accepted),
        (Counter::TcpRefusedTotal, tally.refused_total),
        (Counter::TcpRefusedClient, tally.refused_client),
        (Counter::TcpEvicted, tally.evicted),
        (Counter::TcpTimedOut, tally.timed_out),
        (Counter::TcpMalformed, tally.short),
        (Counter::TcpClosed, tally.closed),
        (Counter::SocketErrors, tally.accept_errors),
    ] {
        counters.add(counter, u64::from(count));
    }
}
