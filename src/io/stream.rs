//! One stream: frames in, replies out (RFC 7766: pipelining, replies in order, several in one segment).
//!
//! A turn of a stream reads into a buffer of the worker, answers straight from it into another buffer of the worker,
//! and writes all replies at once. A stream owns memory only for what a turn leaves over: the beginning of a message
//! whose end has not come, whole messages beyond the turn's share, and replies the peer does not take.
//!
//! # Invariants
//! - Back-pressure: nothing is read and nothing is answered while a reply is unsent. So a stream holds at most one
//!   turn's replies (`STAGE_OCTETS`) and at most an unfinished message and one read (`MAX_HELD_INPUT`).
//! - A whole message that is held, or a socket that may have more, leads to `Outcome::Again`, never to waiting for
//!   an edge that will not come.
//! - A peer that has sent FIN still gets every reply to what it asked before.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::framing::{MAX_MESSAGE, PREFIX, Stop, StreamAction, answer, begins_with_frame};
use super::limits::Permit;

/// What one read takes at most: some 300 queries, and small enough to stay in the first-level cache.
const READ_OCTETS: usize = 16 * 1024;
/// Room for the replies of one write; one more reply is begun as long as the largest still fits.
const STAGE_OCTETS: usize = 64 * 1024 + PREFIX + MAX_MESSAGE;
/// What a stream holds of its peer's octets at most: a message without its last octet, then a read.
const MAX_HELD_INPUT: usize = PREFIX + MAX_MESSAGE + READ_OCTETS;
/// Memory of one stream at worst, 209 KiB: a peer that pipelines, then takes nothing. An idle stream holds none.
pub const MAX_STREAM_OCTETS: usize = MAX_HELD_INPUT + STAGE_OCTETS;
/// Queries of one stream a turn, so that a flood on one does not starve the others.
const STREAM_QUERIES: u32 = 64;
/// Reads of one stream a turn, so that large messages do not either.
const STREAM_READS: u32 = 4;
/// Buffers kept for the next stream that needs one, and the largest worth keeping.
const POOL_BUFFERS: usize = 64;
const POOL_BUFFER_OCTETS: usize = 16 * 1024;

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The peer finished or reset it, or it failed.
    Peer,
    /// Nothing after this message is to be answered.
    Stop(Stop),
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing to do until the kernel reports something.
    Wait,
    /// There is more to do now: give it another turn.
    Again,
    /// To be dropped.
    Ended(Ending),
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) outcome: Outcome,
    /// A message was completed or octets were taken by the peer: the idle time starts anew.
    pub(super) progress: bool,
}

/// The buffers that all streams of a worker use in turn, and those kept for reuse.
#[derive(Debug)]
pub(super) struct Workbench {
    read: Box<[u8]>,
    stage: Box<[u8]>,
    pool: Vec<Vec<u8>>,
}

impl Workbench {
    pub(super) fn new() -> Workbench {
        let zeroed = |octets| vec![0; octets].into_boxed_slice();
        Workbench { read: zeroed(READ_OCTETS), stage: zeroed(STAGE_OCTETS), pool: Vec::new() }
    }

    /// Takes a buffer back, if it is of a size to keep.
    fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.pool.len() < POOL_BUFFERS && (1..=POOL_BUFFER_OCTETS).contains(&buffer.capacity()) {
            buffer.clear();
            self.pool.push(buffer);
        }
    }

    fn take(&mut self) -> Vec<u8> {
        self.pool.pop().unwrap_or_default()
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    peer: SocketAddr,
    token: Token,
    /// Octets received and not yet answered; empty but for what a turn left over.
    input: Vec<u8>,
    /// Octets of replies that the peer has not taken, from `output_sent` on.
    output: Vec<u8>,
    output_sent: usize,
    /// A read may find something.
    readable: bool,
    /// Neither direction works any more.
    failed: bool,
    /// The kernel reported an end: reads go on until one says so itself.
    hung_up: bool,
    /// A read found the end.
    finished: bool,
    /// Nothing more is answered; drop when `output` is gone.
    stop: Option<Stop>,
    /// Whether epoll knows the socket: not before a first read has found that there is something to wait for.
    is_registered: bool,
    watches_writable: bool,
    /// Stands in the worker's list of streams to serve.
    pub(super) queued: bool,
    _permit: Permit,
}

impl Stream {
    /// Takes over an accepted socket. It counts as readable: who connects mostly sends at once, and is then answered in the
    /// turn that accepted.
    pub(super) fn new(token: Token, socket: TcpStream, peer: SocketAddr, permit: Permit) -> Stream {
        Stream {
            socket,
            peer,
            token,
            input: Vec::new(),
            output: Vec::new(),
            output_sent: 0,
            readable: true,
            failed: false,
            hung_up: false,
            finished: false,
            stop: None,
            is_registered: false,
            watches_writable: false,
            queued: false,
            _permit: permit,
        }
    }

    /// Notes what the kernel reported.
    pub(super) fn note(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.hung_up |= event.is_read_closed() || event.is_error();
        self.failed |= event.is_error();
    }

    /// Whether dropping the stream now would lose a reply or a query that has come.
    pub(super) fn is_pending(&self) -> bool {
        self.queued || !self.output.is_empty()
    }

    /// Gives its buffers back. The socket closes when the stream is dropped.
    pub(super) fn retire(self, bench: &mut Workbench) {
        bench.recycle(self.input);
        bench.recycle(self.output);
    }

    /// Does what can be done now, within the stream's share of a turn and `queries_left`.
    pub(super) fn serve<H>(
        &mut self,
        registry: &Registry,
        bench: &mut Workbench,
        queries_left: &mut u32,
        handler: &mut H,
    ) -> Turn
    where
        H: FnMut(SocketAddr, &[u8], &mut [u8]) -> StreamAction,
    {
        let share = (*queries_left).min(STREAM_QUERIES);
        let mut left = share;
        let mut progress = false;
        let outcome = self.advance(bench, &mut left, &mut progress, handler);
        *queries_left -= share - left;
        progress |= left < share;
        let outcome = match outcome {
            Outcome::Wait => self.watch(registry).map_or(Outcome::Ended(Ending::Peer), |()| outcome),
            Outcome::Again | Outcome::Ended(_) => outcome,
        };
        Turn { outcome, progress }
    }

    fn advance<H>(
        &mut self,
        bench: &mut Workbench,
        queries_left: &mut u32,
        progress: &mut bool,
        handler: &mut H,
    ) -> Outcome
    where
        H: FnMut(SocketAddr, &[u8], &mut [u8]) -> StreamAction,
    {
        if self.failed {
            // Reset: what was asked can no longer be answered.
            return Outcome::Ended(Ending::Peer);
        }
        let mut reads_left = STREAM_READS;
        loop {
            match self.flush(bench) {
                Ok(taken) => *progress |= taken,
                Err(_) => return Outcome::Ended(Ending::Peer),
            }
            if !self.output.is_empty() {
                return Outcome::Wait;
            }
            if let Some(stop) = self.stop {
                return Outcome::Ended(Ending::Stop(stop));
            }
            let held = begins_with_frame(&self.input);
            match (held, self.finished, self.readable) {
                (false, true, _) => return Outcome::Ended(Ending::Peer),
                (false, false, false) => return Outcome::Wait,
                _ => {}
            }
            if *queries_left == 0 || (!held && reads_left == 0) {
                return Outcome::Again;
            }
            let result = if held {
                self.answer_held(bench, queries_left, handler)
            } else {
                reads_left -= 1;
                self.read_and_answer(bench, queries_left, handler)
            };
            if result.is_err() {
                return Outcome::Ended(Ending::Peer);
            }
        }
    }

    /// Reads once. Where nothing was held, whole messages are answered without having been copied.
    fn read_and_answer<H>(
        &mut self,
        bench: &mut Workbench,
        queries_left: &mut u32,
        handler: &mut H,
    ) -> io::Result<()>
    where
        H: FnMut(SocketAddr, &[u8], &mut [u8]) -> StreamAction,
    {
        let count = match self.socket.read(&mut bench.read) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        };
        if count == 0 {
            self.finished = true;
            return Ok(());
        }
        // A short read has emptied a stream (epoll(7)); whatever comes after it is a new edge.
        self.readable = count == bench.read.len() || self.hung_up;
        if !self.input.is_empty() {
            grow(&mut self.input, count, MAX_HELD_INPUT);
            self.input.extend_from_slice(&bench.read[..count]);
            return Ok(());
        }
        let answered = answer(&bench.read[..count], self.peer, &mut bench.stage, queries_left, handler);
        self.stop = answered.stop;
        if answered.consumed < count && self.stop.is_none() {
            let mut input = bench.take();
            grow(&mut input, count - answered.consumed, MAX_HELD_INPUT);
            input.extend_from_slice(&bench.read[answered.consumed..count]);
            self.input = input;
        }
        self.write_stage(bench, answered.staged)
    }

    /// Answers messages left over from earlier reads.
    fn answer_held<H>(
        &mut self,
        bench: &mut Workbench,
        queries_left: &mut u32,
        handler: &mut H,
    ) -> io::Result<()>
    where
        H: FnMut(SocketAddr, &[u8], &mut [u8]) -> StreamAction,
    {
        let answered = answer(&self.input, self.peer, &mut bench.stage, queries_left, handler);
        self.stop = answered.stop;
        if answered.consumed == self.input.len() {
            bench.recycle(std::mem::take(&mut self.input));
        } else {
            self.input.drain(..answered.consumed);
        }
        self.write_stage(bench, answered.staged)
    }

    /// Writes the staged replies; what the peer does not take now is kept.
    fn write_stage(&mut self, bench: &mut Workbench, staged: usize) -> io::Result<()> {
        let taken = write_some(&mut self.socket, &bench.stage[..staged])?;
        if taken < staged {
            let mut output = bench.take();
            grow(&mut output, staged - taken, STAGE_OCTETS);
            output.extend_from_slice(&bench.stage[taken..staged]);
            self.output = output;
            self.output_sent = 0;
        }
        Ok(())
    }

    /// Writes what is still owed. Returns whether the peer has now taken all of it: who takes a little at a time makes no
    /// progress, else a few octets in time would hold a connection for ever.
    fn flush(&mut self, bench: &mut Workbench) -> io::Result<bool> {
        if self.output.is_empty() {
            return Ok(false);
        }
        let taken = write_some(&mut self.socket, &self.output[self.output_sent..])?;
        self.output_sent += taken;
        let is_done = self.output_sent == self.output.len();
        if is_done {
            bench.recycle(std::mem::take(&mut self.output));
            self.output_sent = 0;
        }
        Ok(is_done)
    }

    /// Asks to be told of what comes, and from the first unsent reply on, also when the peer takes more. Registering looks
    /// at the state anew, so what came meanwhile, or room that did, is not missed.
    fn watch(&mut self, registry: &Registry) -> io::Result<()> {
        let watches_writable = self.watches_writable || !self.output.is_empty();
        if self.is_registered && watches_writable == self.watches_writable {
            return Ok(());
        }
        self.watches_writable = watches_writable;
        let interest =
            if watches_writable { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        if std::mem::replace(&mut self.is_registered, true) {
            registry.reregister(&mut self.socket, self.token, interest)
        } else {
            registry.register(&mut self.socket, self.token, interest)
        }
    }
}

/// Writes until all is taken or the peer takes no more.
fn write_some(socket: &mut TcpStream, octets: &[u8]) -> io::Result<usize> {
    let mut taken = 0;
    while taken < octets.len() {
        match socket.write(&octets[taken..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => taken += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(taken)
}

/// Makes room for `more` octets: doubling, so that a peer that drips costs no copy an octet, but never past `limit`.
fn grow(buffer: &mut Vec<u8>, more: usize, limit: usize) {
    let needed = buffer.len() + more;
    if needed > buffer.capacity() {
        let target = needed.max((buffer.capacity() * 2).min(limit)).max(512);
        buffer.reserve_exact(target - buffer.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_grow_by_doubling_up_to_their_limit() {
        let mut buffer = Vec::new();
        let mut growths = 0;
        for _ in 0..MAX_HELD_INPUT {
            let before = buffer.capacity();
            grow(&mut buffer, 1, MAX_HELD_INPUT);
            growths += u32::from(buffer.capacity() != before);
            buffer.push(0);
        }
        assert!(growths <= 9, "{growths} reallocations");
        assert_eq!(buffer.capacity(), MAX_HELD_INPUT);
    }

    #[test]
    fn only_buffers_of_a_size_to_keep_are_recycled_and_only_so_many() {
        let mut bench = Workbench::new();
        bench.recycle(Vec::new());
        bench.recycle(Vec::with_capacity(POOL_BUFFER_OCTETS + 1));
        assert!(bench.pool.is_empty());
        (0..2 * POOL_BUFFERS).for_each(|_| bench.recycle(vec![1; 100]));
        assert_eq!(bench.pool.len(), POOL_BUFFERS);
        assert!(bench.take().is_empty());
    }
}
