//! The stream listeners of a worker and their connections: admission, turns, expiry.
//!
//! The caller reports events (`TcpIo::note`) and gives turns (`TcpIo::turn`); between them the worker serves
//! datagrams. A turn has a bound on everything it does, and what it leaves undone is known to `has_work`, so an edge
//! is never waited for twice.
//!
//! # Invariants
//! - The idle time of a connection runs from its accept, its last complete query or the last time its peer had taken all
//!   that was owed, whichever is latest. Octets of an unfinished query or reply do not count: who drips is closed.
//! - Memory: an idle connection holds its socket and about 200 octets; the worst peer makes it hold
//!   `MAX_STREAM_OCTETS` (209 KiB), so all of them hold less than the connection limit times that. What the kernel holds
//!   of a connection besides is its own affair (net.ipv4.tcp_rmem, tcp_wmem, and tcp_mem for all).
//!
//! Never reads a clock, never blocks.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

pub use super::framing::StreamAction;
pub use super::stream::MAX_STREAM_OCTETS;

use super::framing::Stop;
use super::limits::{ConnectionLimits, Permit, Refusal};
use super::recency::Recency;
use super::stream::{Ending, Outcome, Stream, Workbench};
use crate::sys::limits::is_shortage;

/// Queries a turn over all connections: the share of streams where datagrams are busy too, some tenths of a millisecond.
const TURN_QUERIES: u32 = 128;
/// Connections served a turn, for those that send much and complete nothing.
const TURN_STREAMS: usize = 64;
/// Connections accepted a turn.
const TURN_ACCEPTS: u32 = 32;
/// Connections expired a turn.
const TURN_EXPIRIES: u32 = 64;
/// How far from the oldest on a connection to evict is looked for.
const EVICTION_SEARCH: usize = 64;
/// A connection that is owed a reply makes room for another only when it has got nowhere for so long.
const OWED_GRACE: Duration = Duration::from_secs(2);
/// How long accepting rests when files or memory have run out and no connection closes meanwhile.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

/// What became of connections in one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpTally {
    /// Taken.
    pub accepted: u32,
    /// Refused, for there were too many in all.
    pub refused_total: u32,
    /// Refused, for their client had too many.
    pub refused_client: u32,
    /// Accepts that failed.
    pub accept_errors: u32,
    /// Closed to make room for another.
    pub evicted: u32,
    /// Closed after the idle timeout.
    pub timed_out: u32,
    /// Ended by the peer, by an error, or by the caller.
    pub closed: u32,
    /// Closed for a message shorter than a header.
    pub short: u32,
}

/// All that a worker has to do with streams.
#[derive(Debug)]
pub struct TcpIo {
    listeners: Vec<Listener>,
    streams: Recency<Stream>,
    /// Streams to serve, first come first served. May name one that has gone: `queued` of the stream decides.
    queue: VecDeque<usize>,
    bench: Workbench,
    limits: Arc<ConnectionLimits>,
    idle_timeout: Duration,
    /// Where the tokens of streams begin.
    first_token: usize,
    paused_until: Option<Instant>,
    /// Turns that accepted, modulo the size of the type.
    turns: usize,
}

#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    ready: bool,
}

impl TcpIo {
    /// No listener and no connection yet. Tokens from `first_token` on are for its connections.
    pub(super) fn new(limits: Arc<ConnectionLimits>, idle_timeout: Duration, first_token: usize) -> TcpIo {
        TcpIo {
            listeners: Vec::new(),
            streams: Recency::new(),
            queue: VecDeque::new(),
            bench: Workbench::new(),
            limits,
            idle_timeout,
            first_token,
            paused_until: None,
            turns: 0,
        }
    }

    /// Whether there is hardly room for more connections, over all workers.
    pub(super) fn are_scarce(&self) -> bool {
        self.limits.is_scarce()
    }

    /// Takes over a listening, non-blocking socket. It counts as ready: somebody may have come before.
    pub(super) fn add_listener(
        &mut self,
        registry: &Registry,
        token: Token,
        socket: std::net::TcpListener,
    ) -> io::Result<()> {
        let mut socket = TcpListener::from_std(socket);
        registry.register(&mut socket, token, Interest::READABLE)?;
        self.listeners.push(Listener { socket, ready: true });
        Ok(())
    }

    /// Notes that a listener has connections to accept.
    pub(super) fn note_listener(&mut self, index: usize) {
        if let Some(listener) = self.listeners.get_mut(index) {
            listener.ready = true;
        }
    }

    /// Notes what was reported of the connection with this token.
    pub(super) fn note(&mut self, event: &Event) {
        let key = event.token().0.wrapping_sub(self.first_token);
        if let Some(stream) = self.streams.get_mut(key) {
            stream.note(event);
            if !std::mem::replace(&mut stream.queued, true) {
                self.queue.push_back(key);
            }
        }
    }

    /// Whether a turn has something to do without any further event.
    pub(super) fn has_work(&self) -> bool {
        !self.queue.is_empty() || (self.paused_until.is_none() && self.listeners.iter().any(|one| one.ready))
    }

    /// Nobody is connected or wants to be: a turn would do nothing, whatever the time.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.streams.is_empty() && self.paused_until.is_none() && !self.has_work()
    }

    /// When a turn will next have something to do if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let expiry = self.streams.oldest().and_then(|(_, since)| since.checked_add(self.idle_timeout));
        [expiry, self.paused_until].into_iter().flatten().min()
    }

    /// Accepts, serves and expires, each within its bound; who is accepted is served in the same turn.
    pub(super) fn turn<H>(&mut self, registry: &Registry, now: Instant, mut handler: H) -> TcpTally
    where
        H: FnMut(SocketAddr, &[u8], &mut [u8]) -> StreamAction,
    {
        let mut tally = TcpTally::default();
        self.accept(now, &mut tally);
        self.serve(registry, now, &mut tally, &mut handler);
        self.expire(now, &mut tally);
        tally
    }

    //--- Serving

    fn serve<H>(&mut self, registry: &Registry, now: Instant, tally: &mut TcpTally, handler: &mut H)
    where
        H: FnMut(SocketAddr, &[u8], &mut [u8]) -> StreamAction,
    {
        let mut queries_left = TURN_QUERIES;
        for _ in 0..self.queue.len().min(TURN_STREAMS) {
            if queries_left == 0 {
                break;
            }
            let Some(key) = self.queue.pop_front() else { break };
            let Some(stream) = self.streams.get_mut(key) else { continue };
            if !std::mem::take(&mut stream.queued) {
                continue;
            }
            let turn = stream.serve(registry, &mut self.bench, &mut queries_left, handler);
            match turn.outcome {
                Outcome::Wait => {}
                Outcome::Again => {
                    stream.queued = true;
                    self.queue.push_back(key);
                }
                Outcome::Ended(ending) => {
                    match ending {
                        Ending::Peer | Ending::Stop(Stop::Caller) => tally.closed += 1,
                        Ending::Stop(Stop::Short) => tally.short += 1,
                    }
                    self.close(key);
                    continue;
                }
            }
            if turn.progress {
                self.streams.touch(key, now);
            }
        }
    }

    /// Closes what has been idle for too long. A stream that waits to be served is served first: if it then made no
    /// progress, the next turn closes it.
    fn expire(&mut self, now: Instant, tally: &mut TcpTally) {
        for _ in 0..TURN_EXPIRIES {
            let Some((key, since)) = self.streams.oldest() else { return };
            let queued = self.streams.get_mut(key).is_some_and(|stream| stream.queued);
            if queued || now.saturating_duration_since(since) < self.idle_timeout {
                return;
            }
            tally.timed_out += 1;
            self.close(key);
        }
    }

    fn close(&mut self, key: usize) {
        if let Some(stream) = self.streams.remove(key) {
            stream.retire(&mut self.bench);
            // A file is free again.
            self.paused_until = None;
        }
    }

    //--- Admission

    fn accept(&mut self, now: Instant, tally: &mut TcpTally) {
        if self.paused_until.is_some_and(|until| now < until) {
            return;
        }
        self.paused_until = None;
        let mut accepts_left = TURN_ACCEPTS;
        // Another listener begins each turn, so that a flood on one does not shut the others.
        self.turns = self.turns.wrapping_add(1);
        let (first, count) = (self.turns, self.listeners.len());
        for index in (0..count).map(|index| first.wrapping_add(index) % count) {
            while self.listeners[index].ready && accepts_left > 0 {
                accepts_left -= 1;
                match self.listeners[index].socket.accept() {
                    Ok((socket, peer)) => self.admit(socket, peer, now, tally),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        self.listeners[index].ready = false;
                    }
                    Err(error) => {
                        tally.accept_errors += 1;
                        if is_shortage(&error) {
                            self.paused_until = Some(now + SHORTAGE_PAUSE);
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Makes a connection of an accepted socket, or drops it, which closes it.
    fn admit(&mut self, socket: TcpStream, peer: SocketAddr, now: Instant, tally: &mut TcpTally) {
        let permit = match self.claim(peer, now, tally) {
            Ok(permit) => permit,
            Err(Refusal::Total) => return tally.refused_total += 1,
            Err(Refusal::Client) => return tally.refused_client += 1,
        };
        let key = self.streams.next_key();
        let mut stream = Stream::new(Token(self.first_token + key), socket, peer, permit);
        stream.queued = true;
        self.streams.insert(stream, now);
        self.queue.push_back(key);
        tally.accepted += 1;
    }

    /// A permit for `peer`, if need be in the place of the connection of this worker that is idle longest, or else of the one
    /// that takes what it is owed most slowly.
    fn claim(&mut self, peer: SocketAddr, now: Instant, tally: &mut TcpTally) -> Result<Permit, Refusal> {
        match self.limits.claim(peer.ip()) {
            Err(Refusal::Total) => {}
            decided => return decided,
        }
        let idle = self.streams.iter().take(EVICTION_SEARCH).find(|(_, stream)| !stream.is_pending());
        let idle = idle.map(|(key, _)| key);
        let is_stuck = |since| now.saturating_duration_since(since) >= OWED_GRACE;
        let stuck = || self.streams.oldest().filter(|(_, since)| is_stuck(*since)).map(|(key, _)| key);
        let Some(key) = idle.or_else(stuck) else { return Err(Refusal::Total) };
        self.close(key);
        tally.evicted += 1;
        self.limits.claim(peer.ip())
    }
}
