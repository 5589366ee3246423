//! What a worker waits on: its epoll, its sockets, its waker. A worker's loop is
//!
//! ```text
//! loop {
//!     io.wait(None)?;                        // sleeps only if nothing is known to be ready
//!     .. stop? ..
//!     let now = io.now();
//!     io.udp_turn(&mut batch, &mut desk);    // the length of the reply in slot.reply, 0 for none
//!     io.tcp_turn(now, |peer, message, reply| ..);
//! }
//! ```
//!
//! # Invariants
//! - Nothing ready is forgotten: events are edges, so each sets a mark that stays until a call says "nothing there".
//! - Nobody starves: with datagrams alone pending, epoll is asked every `TURNS_PER_POLL` turns; with streams
//!   pending, every turn, for their work is longer.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};

use super::limits::ConnectionLimits;
use super::listen::Endpoint;
use super::tcp::{StreamAction, TcpIo, TcpTally};
use super::udp::UdpIo;
use crate::sys::mmsg::{Batch, Slot};

/// Batches of one datagram socket a turn, while it has any; the share of datagrams where streams are busy too.
const TURN_BATCHES: usize = 4;
/// Turns of a busy worker between two looks at epoll: 256 datagrams of each listen address at full batches, half a millisecond
/// for one.
const TURNS_PER_POLL: u32 = 4;
/// Events taken from epoll at once.
const EVENTS: usize = 256;
/// Listen addresses of a worker at most: room between the token ranges.
const MAX_ENDPOINTS: usize = 1024;

const WAKER: usize = 0;
const UDP: usize = WAKER + 1;
const LISTENERS: usize = UDP + MAX_ENDPOINTS;
const STREAMS: usize = LISTENERS + MAX_ENDPOINTS;

/// What became of datagrams in one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpTally {
    /// Queries received.
    pub received: u32,
    /// Replies handed to the kernel.
    pub sent: u32,
    /// Replies refused by it.
    pub dropped: u32,
    /// Receives that failed.
    pub errors: u32,
}

/// Who answers datagrams.
pub trait DatagramDesk {
    /// A batch has arrived: the moment to take up what changed meanwhile, for all of it alike.
    fn begin_batch(&mut self);

    /// Answers one query into `slot.reply`; returns the reply's length, 0 for none.
    fn answer(&mut self, slot: Slot<'_>) -> usize;

    /// Whether this batch's queries are for [`DatagramDesk::answer_limited`]: asked once a batch, so that who never limits does
    /// not pay for it query by query.
    fn is_limiting(&self) -> bool {
        false
    }

    /// The same as `answer`, for who must not be answered too often.
    fn answer_limited(&mut self, slot: Slot<'_>) -> usize {
        self.answer(slot)
    }
}

/// The sockets of one worker.
#[derive(Debug)]
pub struct WorkerIo {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    udp: Vec<UdpIo>,
    tcp: TcpIo,
    now: Instant,
    turns_since_poll: u32,
}

impl WorkerIo {
    /// Takes over a worker's endpoints, one a listen address. `limits` is the same for all workers.
    ///
    /// # Errors
    /// What epoll reported; or more than 1,024 endpoints.
    pub fn new(
        endpoints: Vec<Endpoint>,
        limits: Arc<ConnectionLimits>,
        tcp_idle_timeout: Duration,
    ) -> io::Result<WorkerIo> {
        if endpoints.len() > MAX_ENDPOINTS {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "more than 1024 listen addresses"));
        }
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), Token(WAKER))?);
        let mut udp = Vec::with_capacity(endpoints.len());
        let mut tcp = TcpIo::new(limits, tcp_idle_timeout, STREAMS);
        for (index, endpoint) in endpoints.into_iter().enumerate() {
            udp.push(UdpIo::new(poll.registry(), Token(UDP + index), endpoint.udp)?);
            tcp.add_listener(poll.registry(), Token(LISTENERS + index), endpoint.tcp)?;
        }
        let events = Events::with_capacity(EVENTS);
        // The first wait looks at epoll before anything is served.
        let turns_since_poll = TURNS_PER_POLL;
        Ok(WorkerIo { poll, events, waker, udp, tcp, now: Instant::now(), turns_since_poll })
    }

    /// Has the kernel poll the network device for so many microseconds before it lets this worker sleep.
    ///
    /// # Errors
    /// What setsockopt or ioctl reported; some sockets may have it then. Datagrams come and go all the same.
    pub fn set_busy_poll(&self, microseconds: u16) -> io::Result<()> {
        for socket in &self.udp {
            socket.set_busy_poll(microseconds)?;
        }
        crate::sys::socket::busy_poll_while_waiting(&self.poll, microseconds)
    }

    /// Ends a sleep in `wait`, now or the next one. May be used from any thread.
    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// Returns when there may be something to do: at once if that is known already, else when a socket, the waker, a
    /// connection's timeout or `longest` says so. Reads the clock where it looked at epoll and a connection needs it.
    ///
    /// # Errors
    /// What epoll reported, other than an interruption; none is expected of an open descriptor.
    pub fn wait(&mut self, longest: Option<Duration>) -> io::Result<()> {
        let streams_pending = self.tcp.has_work();
        if streams_pending || self.udp.iter().any(UdpIo::is_ready) {
            if streams_pending || self.turns_since_poll >= TURNS_PER_POLL {
                self.look(Some(Duration::ZERO))?;
            } else {
                self.turns_since_poll += 1;
            }
        } else {
            let until_deadline =
                self.tcp.deadline().map(|deadline| deadline.saturating_duration_since(self.now));
            self.look([until_deadline, longest].into_iter().flatten().min())?;
        }
        Ok(())
    }

    /// Whether there is hardly room for more connections.
    pub fn connections_are_scarce(&self) -> bool {
        self.tcp.are_scarce()
    }

    /// The time, as `wait` read it last: at most `TURNS_PER_POLL` turns ago where there are connections, else older.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// One bounded turn of the datagrams: each batch is announced, then `desk` is given each query with the room for its
    /// reply. Nothing is allocated and no clock read.
    pub fn udp_turn(&mut self, batch: &mut Batch, desk: &mut impl DatagramDesk) -> UdpTally {
        let mut tally = UdpTally::default();
        for socket in &mut self.udp {
            for _ in 0..TURN_BATCHES {
                let errors_before = socket.receive_errors();
                let count = socket.receive(batch);
                tally.errors += (socket.receive_errors() - errors_before) as u32;
                if count == 0 {
                    break;
                }
                desk.begin_batch();
                if desk.is_limiting() {
                    batch.answer_each(|slot| desk.answer_limited(slot));
                } else {
                    batch.answer_each(|slot| desk.answer(slot));
                }
                let sent = socket.send(batch);
                tally.received += count as u32;
                tally.sent += sent.sent;
                tally.dropped += sent.dropped;
            }
        }
        tally
    }

    /// One bounded turn of the streams. `handler` is given the peer, a message of at least 12 octets, and room for a
    /// reply of 65,535 octets. Call it every round: it costs nothing where nothing is due.
    pub fn tcp_turn<H>(&mut self, now: Instant, handler: H) -> TcpTally
    where
        H: FnMut(std::net::SocketAddr, &[u8], &mut [u8]) -> StreamAction,
    {
        if self.tcp.is_idle() {
            return TcpTally::default();
        }
        self.tcp.turn(self.poll.registry(), now, handler)
    }

    /// Asks epoll and notes what it reports.
    fn look(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.turns_since_poll = 0;
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            outcome => outcome?,
        }
        for event in &self.events {
            match event.token().0 {
                WAKER => {}
                token @ UDP..LISTENERS => {
                    if let Some(socket) = self.udp.get_mut(token - UDP) {
                        socket.set_ready();
                    }
                }
                token @ LISTENERS..STREAMS => self.tcp.note_listener(token - LISTENERS),
                STREAMS.. => self.tcp.note(event),
            }
        }
        if !self.tcp.is_idle() {
            self.now = Instant::now();
        }
        Ok(())
    }
}
