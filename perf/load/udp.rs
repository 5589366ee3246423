//! Queries over UDP: connected sockets, many queries a send (UDP_SEGMENT), many replies a receive (recvmmsg).
//!
//! Closed loop: each socket keeps its window full. Open loop: queries are due at a fixed rate whatever comes back, and
//! their latency counts from when they were due. Allocates nothing once it runs.

use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, send, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;

use crate::Failure;
use crate::queries::{MAX_QUERY_OCTETS, Queries};
use crate::run::{Measured, Plan, Run};
use crate::slots::Slots;
use crate::tally::Lost;

/// Most queries in one send; 64 is the kernel's limit (UDP_MAX_SEGMENTS of older ones).
pub(crate) const MAX_BATCH: usize = 64;
/// Replies read at once.
const RECEIVE: usize = 32;
/// Longest reply looked at; larger ones are cut, which no check minds.
const REPLY_OCTETS: usize = 2048;

/// How queries are spread over sockets and time.
pub(crate) struct Shape {
    /// Sockets, each from a port of its own.
    pub(crate) sockets: usize,
    /// Most queries outstanding on one socket.
    pub(crate) window: usize,
    /// Most queries in one send.
    pub(crate) batch: usize,
    /// Queries a second; `None`: as many as the windows allow.
    pub(crate) rate: Option<f64>,
    /// Nanoseconds between the times at which queries of such a rate are due, all of them at once, with sleep in between;
    /// 0: each at a time of its own, without sleep.
    pub(crate) tick_ns: u64,
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
    let mut socks =
        (0..shape.sockets).map(|_| Sock::connect(server, shape.window)).collect::<Result<Vec<_>, _>>()?;
    if shape.tick_ns > 0 {
        // What sleeps sees replies late: the kernel tells when they came.
        for sock in &socks {
            setsockopt(&sock.socket, sockopt::ReceiveTimestampns, &true)?;
        }
    }
    let watched: Vec<UdpSocket> =
        socks.iter().map(|sock| sock.socket.try_clone()).collect::<Result<_, _>>()?;
    let mut watched: Vec<PollFd<'_>> =
        watched.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)).collect();
    let mut receiver = Receiver::new();
    let mut sender = Sender::new(queries, shape.batch);
    let mut run = Run::start(plan, queries);
    let mut pace =
        shape.rate.map(|rate| Pace { interval_ns: 1e9 / rate, tick_ns: shape.tick_ns, sent: 0, turn: 0 });
    loop {
        let began = run.now();
        let mut active = false;
        for sock in &mut socks {
            if sock.slots.outstanding() > 0 {
                active |= receiver.receive(sock, &mut run)?;
            }
            if pace.is_none() && run.sending() {
                while sock.slots.free() >= shape.batch && sender.fill(&mut run, sock) {}
            }
        }
        if let Some(pace) = &mut pace
            && run.sending()
        {
            active |= sender.due(&mut run, pace, &mut socks);
        }
        if let Some(before) = run.expiry(began) {
            for sock in &mut socks {
                sock.slots.expire(before, Lost::Timeout, &mut run.tally);
            }
        }
        let outstanding = || socks.iter().map(|sock| sock.slots.outstanding()).sum();
        if !run.advance(run.now(), outstanding)? {
            let outstanding = outstanding();
            return Ok(run.finish(outstanding));
        }
        match &pace {
            // The clock says when to send next: what sleeps may wake up late.
            Some(Pace { tick_ns: 0, .. }) if run.sending() => {
                if !active {
                    run.idled(began);
                }
            }
            Some(pace) if run.sending() => {
                if !active {
                    run.doze(began, pace.next_tick(began));
                }
            }
            _ => run.idle(began, active, &mut watched)?,
        }
    }
}

/// When queries are due.
struct Pace {
    interval_ns: f64,
    tick_ns: u64,
    sent: u64,
    /// The socket that is next.
    turn: usize,
}

struct Sock {
    socket: UdpSocket,
    slots: Slots,
    /// The length of segments that is set.
    segment: usize,
}

impl Sock {
    fn connect(server: SocketAddr, window: usize) -> std::io::Result<Sock> {
        let local: SocketAddr =
            if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(local)?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        Ok(Sock { socket, slots: Slots::new(window), segment: 0 })
    }
}

struct Receiver {
    headers: MultiHeaders<SockaddrStorage>,
    octets: Vec<u8>,
}

impl Receiver {
    fn new() -> Receiver {
        Receiver {
            headers: MultiHeaders::preallocate(RECEIVE, Some(nix::cmsg_space!(TimeSpec))),
            octets: vec![0; RECEIVE * REPLY_OCTETS],
        }
    }

    /// Reads what has come to one socket, once; true when that was anything.
    fn receive(&mut self, sock: &mut Sock, run: &mut Run<'_>) -> nix::Result<bool> {
        let mut rest = &mut self.octets[..];
        let mut buffers: [[IoSliceMut<'_>; 1]; RECEIVE] = std::array::from_fn(|_| {
            let (buffer, after) = std::mem::take(&mut rest).split_at_mut(REPLY_OCTETS);
            rest = after;
            [IoSliceMut::new(buffer)]
        });
        let fd = sock.socket.as_raw_fd();
        let received = match recvmmsg(fd, &mut self.headers, &mut buffers, MsgFlags::MSG_DONTWAIT, None) {
            Ok(received) => received,
            // ECONNREFUSED: nobody listens; the queries time out.
            Err(nix::Error::EAGAIN | nix::Error::EINTR | nix::Error::ECONNREFUSED) => return Ok(false),
            Err(error) => return Err(error),
        };
        let (now, epoch) = (run.now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let mut active = false;
        for message in received {
            active = true;
            let stamp = message.cmsgs()?.find_map(|message| match message {
                ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
                _ => None,
            });
            let waited = stamp.map_or(Duration::ZERO, |stamp| epoch.saturating_sub(stamp));
            let came = now.saturating_sub(waited.as_nanos() as u64);
            let reply = message.iovs().next().unwrap_or_default();
            if let Some((number, since)) = sock.slots.settle(reply, &mut run.tally) {
                run.tally.judge(run.queries, number, reply, came.saturating_sub(since));
            }
        }
        Ok(active)
    }
}

/// Queries of one length that wait until they fill a send.
#[derive(Clone)]
struct Pending {
    count: usize,
    queries: [(u32, u64); MAX_BATCH],
}

struct Sender {
    /// By class of length: the segments of one send have one length.
    pending: Vec<Pending>,
    batch: usize,
    octets: [u8; MAX_BATCH * MAX_QUERY_OCTETS],
}

impl Sender {
    fn new(queries: &Queries, batch: usize) -> Box<Sender> {
        let pending = vec![Pending { count: 0, queries: [(0, 0); MAX_BATCH] }; queries.classes()];
        Box::new(Sender { pending, batch, octets: [0; MAX_BATCH * MAX_QUERY_OCTETS] })
    }

    /// Draws one query; the class that is full with it, if any.
    fn draw(&mut self, run: &mut Run<'_>, due_ns: u64) -> Option<usize> {
        let number = run.queries.draw(&mut run.random);
        let class = usize::from(run.queries.get(number).class);
        let pending = &mut self.pending[class];
        pending.queries[pending.count] = (number, due_ns);
        pending.count += 1;
        (pending.count == self.batch).then_some(class)
    }

    /// Draws until one class of length is full and sends that; false when the kernel took nothing.
    fn fill(&mut self, run: &mut Run<'_>, sock: &mut Sock) -> bool {
        loop {
            if let Some(class) = self.draw(run, 0) {
                let now = run.now();
                self.pending[class].queries.iter_mut().for_each(|(_, due)| *due = now);
                return self.send(class, run, sock);
            }
        }
    }

    /// Sends all that is due by now, each class over a socket of its own turn; true when anything was.
    fn due(&mut self, run: &mut Run<'_>, pace: &mut Pace, socks: &mut [Sock]) -> bool {
        let due = (pace.last_tick(run.now()) as f64 / pace.interval_ns) as u64;
        if due <= pace.sent {
            return false;
        }
        // Bounded, so that replies are read in between however far behind we are.
        for _ in 0..(due - pace.sent).min(socks.len() as u64 * self.batch as u64) {
            let due_ns = pace.next_tick((pace.sent as f64 * pace.interval_ns) as u64);
            pace.sent += 1;
            if let Some(class) = self.draw(run, due_ns) {
                self.send(class, run, pace.next(socks));
            }
        }
        for class in 0..self.pending.len() {
            if self.pending[class].count > 0 {
                self.send(class, run, pace.next(socks));
            }
        }
        true
    }

    /// Sends the queries of one class as segments of one datagram; false when that failed.
    fn send(&mut self, class: usize, run: &mut Run<'_>, sock: &mut Sock) -> bool {
        let pending = &mut self.pending[class];
        let count = std::mem::take(&mut pending.count);
        let mut ids = [0; MAX_BATCH];
        let (mut taken, mut end, mut segment) = (0, 0, 0);
        for &(number, due_ns) in &pending.queries[..count] {
            let Some(id) = sock.slots.take(number, due_ns) else {
                run.tally.lost(Lost::NoSlot, 1);
                continue;
            };
            segment = run.queries.write(number, id, &mut run.random, &mut self.octets[end..]);
            end += segment;
            ids[taken] = id;
            taken += 1;
        }
        if taken == 0 {
            return false;
        }
        // A single query, too, is cut at the length that is set.
        let cut =
            if taken > 1 { sock.segment != segment } else { sock.segment != 0 && sock.segment < segment };
        if cut {
            if setsockopt(&sock.socket, sockopt::UdpGsoSegment, &(segment as i32)).is_err() {
                return Self::unsent(&ids[..taken], run, sock);
            }
            sock.segment = segment;
        }
        match send(sock.socket.as_raw_fd(), &self.octets[..end], MsgFlags::MSG_DONTWAIT) {
            Ok(_) => {
                let now = run.now();
                for &(_, due_ns) in &pending.queries[..count] {
                    run.tally.behind.record(now.saturating_sub(due_ns), 1);
                }
                run.tally.sent += taken as u64;
                true
            }
            Err(_) => Self::unsent(&ids[..taken], run, sock),
        }
    }

    fn unsent(ids: &[u16], run: &mut Run<'_>, sock: &mut Sock) -> bool {
        ids.iter().for_each(|id| sock.slots.release(*id));
        run.tally.lost(Lost::Unsent, ids.len() as u64);
        false
    }
}

impl Pace {
    /// The tick at this time, or the last one before it.
    fn last_tick(&self, now: u64) -> u64 {
        now.checked_div(self.tick_ns).map_or(now, |ticks| ticks * self.tick_ns)
    }

    /// The first tick behind this time; without ticks the time itself.
    fn next_tick(&self, now: u64) -> u64 {
        now.checked_div(self.tick_ns).map_or(now, |ticks| (ticks + 1) * self.tick_ns)
    }

    fn next<'s>(&mut self, socks: &'s mut [Sock]) -> &'s mut Sock {
        self.turn = (self.turn + 1) % socks.len();
        &mut socks[self.turn]
    }
}
