//! Queries pipelined over TCP connections (RFC 7766 §6.2.1.1): each connection keeps its window full.
//!
//! A connection that the server closes is opened again; what was outstanding on it is lost. Allocates nothing once it
//! runs, except for a connection that is opened again.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};

use crate::Failure;
use crate::queries::{MAX_QUERY_OCTETS, Queries};
use crate::run::{Measured, Plan, Run};
use crate::slots::Slots;
use crate::tally::Lost;

/// Room for replies not yet complete; a message has at most 65,535 octets and two of length (RFC 1035 §4.2.2).
const READ_OCTETS: usize = 128 * 1024;
/// Room for queries that the kernel has not taken yet.
const WRITE_OCTETS: usize = 32 * 1024;

/// A SYN that finds the listen queue full is sent again after 1 s; the kernel itself would try for two minutes.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// How queries are spread over connections.
pub(crate) struct Shape {
    /// Connections, all open from the start.
    pub(crate) connections: usize,
    /// Most queries outstanding on one of them.
    pub(crate) window: usize,
    /// Most queries in one write.
    pub(crate) batch: usize,
}

/// Asks until the plan is over.
///
/// # Errors
/// What the kernel said.
pub(crate) fn ask(
    server: SocketAddr,
    shape: &Shape,
    plan: Plan,
    queries: &Queries,
) -> Result<Measured, Failure> {
    let mut connections = (0..shape.connections)
        .map(|_| Connection::open(server, shape.window))
        .collect::<Result<Vec<_>, _>>()?;
    let mut run = Run::start(plan, queries);
    loop {
        let now = run.now();
        let mut active = false;
        for connection in &mut connections {
            let came = connection.slots.outstanding() > 0 && connection.turn_in(&mut run);
            active |= came;
            if run.sending() {
                if connection.closed {
                    connection.reopen(server)?;
                }
                // What is free is used at once when nothing more comes: a server that holds small segments back until the
                // last one is acknowledged (Nagle) would wait 40 ms for that if we waited for it.
                if connection.slots.free() >= shape.batch || !came {
                    connection.fill(shape.batch, &mut run);
                }
            }
            connection.flush();
            if connection.closed {
                connection.slots.expire(u64::MAX, Lost::Closed, &mut run.tally);
            }
        }
        if let Some(before) = run.expiry(now) {
            for connection in &mut connections {
                connection.slots.expire(before, Lost::Timeout, &mut run.tally);
            }
        }
        let outstanding = || connections.iter().map(|connection| connection.slots.outstanding()).sum();
        if !run.advance(run.now(), outstanding)? {
            let outstanding = outstanding();
            return Ok(run.finish(outstanding));
        }
        idle(&mut run, now, active, &connections)?;
    }
}

fn idle(run: &mut Run<'_>, now: u64, active: bool, connections: &[Connection]) -> nix::Result<()> {
    // The first few are enough to be woken by; a connection with queries unwritten is looked at after 1 ms at most.
    const WATCHED: usize = 64;
    let Some(first) = connections.first() else { return Ok(()) };
    let mut watched: [PollFd<'_>; WATCHED] = std::array::from_fn(|at| {
        PollFd::new(connections.get(at).unwrap_or(first).stream.as_fd(), PollFlags::POLLIN)
    });
    run.idle(now, active, &mut watched[..connections.len().min(WATCHED)])
}

struct Connection {
    stream: TcpStream,
    slots: Slots,
    /// Octets read, of which a message may be incomplete.
    input: Vec<u8>,
    read: usize,
    output: Vec<u8>,
    /// What of `output` is queries, and what of that is written.
    filled: usize,
    written: usize,
    closed: bool,
}

impl Connection {
    fn open(server: SocketAddr, window: usize) -> std::io::Result<Connection> {
        Ok(Connection {
            stream: connect(server)?,
            slots: Slots::new(window),
            input: vec![0; READ_OCTETS],
            read: 0,
            output: vec![0; WRITE_OCTETS],
            filled: 0,
            written: 0,
            closed: false,
        })
    }

    fn reopen(&mut self, server: SocketAddr) -> std::io::Result<()> {
        self.stream = connect(server)?;
        (self.read, self.filled, self.written, self.closed) = (0, 0, 0, false);
        Ok(())
    }

    /// Takes in what has come; true when that was anything.
    fn turn_in(&mut self, run: &mut Run<'_>) -> bool {
        match self.stream.read(&mut self.input[self.read..]) {
            Ok(0) => self.closed = true,
            Ok(len) => self.read += len,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return false;
            }
            Err(_) => self.closed = true,
        }
        let now = run.now();
        let mut at = 0;
        while let Some((len, rest)) = self.input[at..self.read].split_first_chunk() {
            let Some(reply) = rest.get(..usize::from(u16::from_be_bytes(*len))) else { break };
            at += 2 + reply.len();
            if let Some((number, since)) = self.slots.settle(reply, &mut run.tally) {
                run.tally.judge(run.queries, number, reply, now.saturating_sub(since));
            }
        }
        self.input.copy_within(at..self.read, 0);
        self.read -= at;
        true
    }

    /// Appends up to `batch` queries to what is to be written.
    fn fill(&mut self, batch: usize, run: &mut Run<'_>) {
        let now = run.now();
        for _ in 0..batch {
            if self.output.len() - self.filled < 2 + MAX_QUERY_OCTETS {
                return;
            }
            let number = run.queries.draw(&mut run.random);
            let Some(id) = self.slots.take(number, now) else { return };
            let (prefix, message) = self.output[self.filled..].split_at_mut(2);
            let len = run.queries.write(number, id, &mut run.random, message);
            prefix.copy_from_slice(&(len as u16).to_be_bytes());
            self.filled += 2 + len;
            run.tally.sent += 1;
        }
    }

    /// Writes what the kernel takes.
    fn flush(&mut self) {
        if self.written == self.filled || self.closed {
            return;
        }
        match self.stream.write(&self.output[self.written..self.filled]) {
            Ok(len) => self.written += len,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.closed = true,
        }
        if self.written == self.filled {
            (self.written, self.filled) = (0, 0);
        }
    }
}

fn connect(server: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, CONNECT_LIMIT)?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}
