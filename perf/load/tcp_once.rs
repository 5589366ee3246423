//! One TCP connection for each query, many of them under way at once, in one thread.
//!
//! Connections are reset after the reply, which leaves nothing behind, or closed, which leaves TIME_WAIT on this side.
//! On loopback a connection stands when connect(2) returns, so the query is written at once; elsewhere it waits. Latency
//! counts from before the connection is made. A connection costs this side as much as the server or more: look at how
//! busy the server's core was before reading anything into the rate. Allocates nothing once it runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc::linger;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, bind, connect, recv, send, setsockopt,
    socket, sockopt,
};

use crate::Failure;
use crate::queries::{MAX_QUERY_OCTETS, Queries};
use crate::run::{Measured, Plan, Run};
use crate::tally::{Lost, Tally, Wrong};

/// Replies looked at at once.
const EVENTS: usize = 64;
/// Longest reply that is read; a longer one counts as wrong.
const REPLY_OCTETS: usize = 4096;
/// The first address that connections come from, within 127.0.0.0/8.
const FIRST_SOURCE: Ipv4Addr = Ipv4Addr::new(127, 16, 0, 1);

/// How many connections, and their end.
pub(crate) struct Shape {
    /// Under way at once.
    pub(crate) connections: usize,
    /// Whether they are reset rather than closed.
    pub(crate) reset: bool,
    /// How many source addresses: the ports of one last for some 28,000 connections in TIME_WAIT.
    pub(crate) sources: u32,
}

/// Asks until the plan is over.
///
/// # Errors
/// What the kernel said; not what it said about a single connection, which counts as lost.
pub(crate) fn ask(
    server: SocketAddr,
    shape: &Shape,
    plan: Plan,
    queries: &Queries,
) -> Result<Measured, Failure> {
    let mut asker = Asker {
        server,
        local: matches!(server.ip(), IpAddr::V4(address) if address.is_loopback()),
        shape,
        epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
        connections: (0..shape.connections).map(|_| Connection::new()).collect(),
        opened: 0,
    };
    let mut events = [EpollEvent::empty(); EVENTS];
    let mut run = Run::start(plan, queries);
    loop {
        if run.sending() {
            for at in 0..asker.connections.len() {
                if asker.connections[at].fd.is_none() {
                    asker.open(at, &mut run)?;
                }
            }
        }
        let waiting_since = run.now();
        let ready = match asker.epoll.wait(&mut events, EpollTimeout::from(1u8)) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        run.idled(waiting_since);
        for event in &events[..ready] {
            let at = event.data() as usize;
            asker.proceed(at, &mut run)?;
            if run.sending() && asker.connections[at].fd.is_none() {
                asker.open(at, &mut run)?;
            }
        }
        let now = run.now();
        if let Some(before) = run.expiry(now) {
            for connection in &mut asker.connections {
                if connection.since_ns < before {
                    connection.lose(Lost::Timeout, &mut run.tally);
                }
            }
        }
        let outstanding = || asker.connections.iter().filter(|connection| connection.fd.is_some()).count();
        if !run.advance(now, outstanding)? {
            let outstanding = outstanding();
            return Ok(run.finish(outstanding));
        }
    }
}

struct Asker<'s> {
    server: SocketAddr,
    /// The server is in 127.0.0.0/8, so that any address of it can be the source.
    local: bool,
    shape: &'s Shape,
    epoll: Epoll,
    connections: Vec<Connection>,
    opened: u32,
}

/// A place for a connection.
struct Connection {
    fd: Option<OwnedFd>,
    since_ns: u64,
    query: u32,
    id: u16,
    /// The query has been written.
    written: bool,
    message: [u8; 2 + MAX_QUERY_OCTETS],
    len: usize,
    reply: [u8; REPLY_OCTETS],
    read: usize,
}

impl Connection {
    fn new() -> Connection {
        Connection {
            fd: None,
            since_ns: 0,
            query: 0,
            id: 0,
            written: false,
            message: [0; 2 + MAX_QUERY_OCTETS],
            len: 0,
            reply: [0; REPLY_OCTETS],
            read: 0,
        }
    }

    fn lose(&mut self, why: Lost, tally: &mut Tally) {
        if self.fd.take().is_some() {
            tally.lost(why, 1);
        }
    }

    /// The whole reply, once it is there.
    fn whole(&self) -> Option<&[u8]> {
        let (len, rest) = self.reply[..self.read].split_first_chunk()?;
        rest.get(..usize::from(u16::from_be_bytes(*len)))
    }
}

impl Asker<'_> {
    /// Opens a connection in place `at` and writes its query if that can be done at once.
    fn open(&mut self, at: usize, run: &mut Run<'_>) -> nix::Result<()> {
        let number = run.queries.draw(&mut run.random);
        let id = run.random.next() as u16;
        let since_ns = run.now();
        let fd = self.connect()?;
        let connection = &mut self.connections[at];
        connection.len = 2 + run.queries.write(number, id, &mut run.random, &mut connection.message[2..]);
        let prefix = (connection.len as u16 - 2).to_be_bytes();
        connection.message[..2].copy_from_slice(&prefix);
        (connection.query, connection.id, connection.since_ns) = (number, id, since_ns);
        (connection.written, connection.read) = (false, 0);
        connection.fd = Some(fd);
        run.tally.sent += 1;
        self.opened = self.opened.wrapping_add(1);
        self.write(at, run);
        let connection = &self.connections[at];
        let Some(fd) = &connection.fd else { return Ok(()) };
        let wanted =
            if connection.written { EpollFlags::EPOLLIN } else { EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT };
        // A closed descriptor leaves the set by itself.
        self.epoll.add(fd, EpollEvent::new(wanted, at as u64))
    }

    fn connect(&self) -> nix::Result<OwnedFd> {
        let family = if self.server.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(family, SockType::Stream, flags, None)?;
        if self.shape.reset {
            setsockopt(&fd, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 })?;
        }
        if self.local {
            // The port is chosen when the whole address pair is known: one port then serves many connections.
            setsockopt(&fd, sockopt::IpBindAddressNoPort, &true)?;
            let source = Ipv4Addr::from_bits(FIRST_SOURCE.to_bits() + self.opened % self.shape.sources);
            bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::from((source, 0))))?;
        }
        match connect(fd.as_raw_fd(), &SockaddrStorage::from(self.server)) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(fd),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, at: usize, run: &mut Run<'_>) {
        let connection = &mut self.connections[at];
        let Some(fd) = &connection.fd else { return };
        // A query fits into an empty send buffer: it is written whole or not at all.
        match send(fd.as_raw_fd(), &connection.message[..connection.len], MsgFlags::MSG_NOSIGNAL) {
            Ok(_) => connection.written = true,
            Err(Errno::EAGAIN | Errno::ENOTCONN) => {}
            Err(_) => connection.lose(Lost::Closed, &mut run.tally),
        }
    }

    /// Does what the connection in place `at` is ready for.
    fn proceed(&mut self, at: usize, run: &mut Run<'_>) -> nix::Result<()> {
        if !self.connections[at].written {
            self.write(at, run);
            if let Connection { fd: Some(fd), written: true, .. } = &self.connections[at] {
                self.epoll.modify(fd, &mut EpollEvent::new(EpollFlags::EPOLLIN, at as u64))?;
            }
            return Ok(());
        }
        let connection = &mut self.connections[at];
        let Some(fd) = &connection.fd else { return Ok(()) };
        match recv(fd.as_raw_fd(), &mut connection.reply[connection.read..], MsgFlags::empty()) {
            Ok(0) => {
                // Closed early, or a reply longer than the buffer.
                connection.lose(Lost::Closed, &mut run.tally);
            }
            Ok(len) => {
                connection.read += len;
                if let Some(reply) = connection.whole() {
                    let latency_ns = run.now().saturating_sub(connection.since_ns);
                    if reply.first_chunk() == Some(&connection.id.to_be_bytes()) {
                        run.tally.judge(run.queries, connection.query, reply, latency_ns);
                    } else {
                        run.tally.wrong(Wrong::Id);
                    }
                    connection.fd = None;
                }
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => connection.lose(Lost::Closed, &mut run.tally),
        }
        Ok(())
    }
}
