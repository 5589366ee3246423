//! A worker's loop, driven by real sockets on loopback: an echo server in a thread, or turn by turn in the test's own.
//!
//! Time is simulated by what is added to a turn's `now`; nothing sleeps, and every wait for the other side has a
//! deadline far beyond what it takes.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::limits::ConnectionLimits;
use super::listen::{ListenOptions, bind};
use super::reactor::{DatagramDesk, UdpTally, WorkerIo};
use super::tcp::{StreamAction, TcpTally};
use crate::sys::mmsg::{Batch, Slot};

const PATIENCE: Duration = Duration::from_secs(30);
/// Far beyond `PATIENCE`: only simulated time expires a connection.
const IDLE: Duration = Duration::from_secs(100);
/// Octets of the reply to a message of kind `B`.
const BIG: usize = 60_000;

/// Framing, order, ends, fairness, slow peers.
mod streams;

/// Timeouts, limits, eviction, shortage.
mod admission;

//----------- The server under test ------------------------------------------------------------------------------

/// Echoes; the third octet of a message asks for something else.
fn respond(message: &[u8], reply: &mut [u8]) -> StreamAction {
    match message[2] {
        b'B' => {
            reply[..BIG].fill(message[3]);
            StreamAction::Reply(BIG)
        }
        b'C' => StreamAction::Close,
        _ => {
            reply[..message.len()].copy_from_slice(message);
            StreamAction::Reply(message.len())
        }
    }
}

/// Answers every datagram with itself.
struct Echo;

impl DatagramDesk for Echo {
    fn begin_batch(&mut self) {}

    fn answer(&mut self, slot: Slot<'_>) -> usize {
        slot.reply[..slot.query.len()].copy_from_slice(slot.query);
        slot.query.len()
    }
}

fn serve_datagrams(io: &mut WorkerIo, batch: &mut Batch) -> UdpTally {
    io.udp_turn(batch, &mut Echo)
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Milliseconds that the server's time is ahead.
    ahead_ms: AtomicU64,
    /// Messages seen on streams.
    messages: AtomicU64,
    tally: Mutex<TcpTally>,
}

struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    limits: Arc<ConnectionLimits>,
    waker: Arc<mio::Waker>,
    thread: Option<JoinHandle<()>>,
}

impl AddAssign for TcpTally {
    fn add_assign(&mut self, other: TcpTally) {
        self.accepted += other.accepted;
        self.refused_total += other.refused_total;
        self.refused_client += other.refused_client;
        self.accept_errors += other.accept_errors;
        self.evicted += other.evicted;
        self.timed_out += other.timed_out;
        self.closed += other.closed;
        self.short += other.short;
    }
}

fn worker_io(address: &str, limits: &Arc<ConnectionLimits>) -> (SocketAddr, WorkerIo) {
    let endpoints = bind(address.parse().unwrap(), 1, &ListenOptions::default()).unwrap();
    let address = endpoints[0].address;
    (address, WorkerIo::new(endpoints, Arc::clone(limits), IDLE).unwrap())
}

impl Server {
    fn start(address: &str, max_total: u32, max_per_client: u16) -> Server {
        let limits = ConnectionLimits::new(max_total, max_per_client);
        let (address, mut io) = worker_io(address, &limits);
        let waker = io.waker();
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let mut batch = Batch::new();
            loop {
                io.wait(None).unwrap();
                if theirs.stop.load(Ordering::Acquire) {
                    return;
                }
                serve_datagrams(&mut io, &mut batch);
                let now = io.now() + Duration::from_millis(theirs.ahead_ms.load(Ordering::Acquire));
                let tally = io.tcp_turn(now, |_, message, reply| {
                    theirs.messages.fetch_add(1, Ordering::Relaxed);
                    respond(message, reply)
                });
                *theirs.tally.lock().unwrap() += tally;
            }
        });
        Server { address, shared, limits, waker, thread: Some(thread) }
    }

    fn on_loopback() -> Server {
        Server::start("127.0.0.1:0", 1000, 1000)
    }

    fn tally(&self) -> TcpTally {
        *self.shared.tally.lock().unwrap()
    }

    fn advance(&self, by: Duration) {
        self.shared.ahead_ms.fetch_add(by.as_millis() as u64, Ordering::AcqRel);
        self.waker.wake().unwrap();
    }

    fn tcp(&self) -> TcpStream {
        self.tcp_from(Ipv4Addr::LOCALHOST)
    }

    fn tcp_from(&self, from: Ipv4Addr) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        socket.connect(&self.address.into()).unwrap();
        socket.set_tcp_nodelay(true).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn udp_echo_works(&self) {
        let client = udp(self.address);
        client.send(b"a datagram").unwrap();
        assert_eq!(client.recv(&mut [0; 64]).unwrap(), 10);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.waker.wake().unwrap();
        let outcome = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            outcome.unwrap();
            assert_eq!(self.limits.open(), 0, "a stopped worker gives back every permit");
        }
    }
}

//----------- The other side -------------------------------------------------------------------------------------

fn udp(to: SocketAddr) -> UdpSocket {
    let from: IpAddr = if to.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { "::1".parse().unwrap() };
    let client = UdpSocket::bind((from, 0)).unwrap();
    client.connect(to).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = (message.len() as u16).to_be_bytes().to_vec();
    frame.extend_from_slice(message);
    frame
}

/// A message of `length` octets that carries a number, of a kind.
fn message(kind: u8, number: u16, length: usize) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    let mut message = vec![high, low, kind, low];
    message.resize(length, low);
    message
}

fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    message
}

fn ask(stream: &mut TcpStream, number: u16) {
    let query = message(b'Q', number, 40);
    stream.write_all(&frame(&query)).unwrap();
    assert_eq!(read_frame(stream), query);
}

/// Reads until the server has closed, in whichever way.
fn closed_by_server(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 16]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

//----------- Datagrams ------------------------------------------------------------------------------------------

#[test]
fn many_datagrams_of_many_peers_are_each_answered_to_their_sender() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = Server::start(address, 10, 10);
        let clients: Vec<_> = (0..20).map(|_| udp(server.address)).collect();
        for (number, client) in clients.iter().enumerate() {
            (0..10u8).for_each(|query| assert_eq!(client.send(&[number as u8, query]).unwrap(), 2));
        }
        for (number, client) in clients.iter().enumerate() {
            let mut heard = HashSet::new();
            for _ in 0..10 {
                let mut reply = [0; 8];
                assert_eq!(client.recv(&mut reply).unwrap(), 2);
                assert_eq!(usize::from(reply[0]), number);
                heard.insert(reply[1]);
            }
            assert_eq!(heard.len(), 10);
        }
    }
}

/// A batch with room left is not read after: what comes just then must raise an edge. Clients that send the moment a reply
/// comes, one and many at a time, meet that moment again and again; a datagram forgotten is one nobody wakes up for.
#[test]
fn what_comes_just_after_a_short_batch_is_not_forgotten() {
    let server = Server::on_loopback();
    let address = server.address;
    let clients: Vec<_> = (1..=4)
        .map(|burst: usize| {
            std::thread::spawn(move || {
                let client = udp(address);
                for round in 0..1500u32 {
                    // Also batches that are full, and those just short of it.
                    let burst = if round % 100 == 0 { 15 + burst % 3 } else { burst };
                    (0..burst).for_each(|_| assert_eq!(client.send(&round.to_be_bytes()).unwrap(), 4));
                    for _ in 0..burst {
                        let mut reply = [0; 8];
                        assert_eq!(client.recv(&mut reply).expect("a reply"), 4, "round {round}");
                        assert_eq!(reply[..4], round.to_be_bytes());
                    }
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn a_short_batch_is_read_once_and_the_next_datagram_wakes() {
    let limits = ConnectionLimits::new(10, 10);
    let (address, mut io) = worker_io("127.0.0.1:0", &limits);
    let client = udp(address);
    let mut batch = Batch::new();
    let one = UdpTally { received: 1, sent: 1, ..Default::default() };
    for _ in 0..5 {
        assert_eq!(client.send(b"x").unwrap(), 1);
        io.wait(Some(PATIENCE)).unwrap();
        assert_eq!(serve_datagrams(&mut io, &mut batch), one);
        // Nothing is known to be ready: this turn asks the kernel for nothing.
        assert_eq!(serve_datagrams(&mut io, &mut batch), UdpTally::default());
        // Here before the wait begins.
        assert_eq!(client.send(b"x").unwrap(), 1);
        assert_eq!(
            serve_datagrams(&mut io, &mut batch),
            UdpTally::default(),
            "not looked for without an event"
        );
        io.wait(Some(PATIENCE)).unwrap();
        assert_eq!(serve_datagrams(&mut io, &mut batch), one);
    }
}

#[test]
fn a_wildcard_listener_answers_from_the_address_that_was_asked() {
    for (bound, asked) in [("0.0.0.0:0", "127.0.0.2"), ("0.0.0.0:0", "127.0.0.1"), ("[::]:0", "::1")] {
        let server = Server::start(bound, 10, 10);
        let client = udp(SocketAddr::new(asked.parse().unwrap(), server.address.port()));
        client.send(b"where").unwrap();
        assert_eq!(
            client.recv(&mut [0; 8]).unwrap(),
            5,
            "a connected socket hears only the address it asked"
        );
    }
}

#[test]
fn a_wake_ends_a_sleep_without_a_limit() {
    let limits = ConnectionLimits::new(1, 1);
    let (_, mut io) = worker_io("127.0.0.1:0", &limits);
    let waker = io.waker();
    // What counts as ready at the start is looked at, and found empty.
    serve_datagrams(&mut io, &mut Batch::new());
    io.tcp_turn(io.now(), |_, _, _| StreamAction::Close);
    let other = std::thread::spawn(move || waker.wake().unwrap());
    io.wait(None).unwrap();
    other.join().unwrap();
}

#[test]
fn a_flood_of_datagrams_does_not_keep_a_connection_from_being_served() {
    let limits = ConnectionLimits::new(10, 10);
    let (address, mut io) = worker_io("127.0.0.1:0", &limits);
    let flood = udp(address);
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(&frame(&message(b'Q', 1, 12))).unwrap();
    let mut batch = Batch::new();
    let mut answered = 0;
    let mut turns = 0;
    while answered == 0 {
        turns += 1;
        assert!(turns < 100, "the socket is never empty, yet epoll must be asked");
        (0..100).for_each(|_| assert_eq!(flood.send(b"flood").unwrap(), 5));
        io.wait(None).unwrap();
        assert_eq!(
            serve_datagrams(&mut io, &mut batch),
            UdpTally { received: 64, sent: 64, ..Default::default() }
        );
        io.tcp_turn(io.now(), |_, message, reply| {
            answered += 1;
            respond(message, reply)
        });
    }
}
