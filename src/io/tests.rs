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
use super::reactor::WorkerIo;
use super::tcp::{StreamAction, TcpTally};
use crate::sys::mmsg::Batch;

const PATIENCE: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(10);
/// Octets of the reply to a message of kind `B`.
const BIG: usize = 60_000;

//----------- The server under test ------------------------------------------------------------------------------

/// Echoes; the third octet of a message asks for something else.
fn respond(message: &[u8], reply: &mut [u8]) -> StreamAction {
    match message[2] {
        b'B' => {
            reply[..BIG].fill(message[3]);
            StreamAction::Reply(BIG)
        }
        b'N' => StreamAction::NoReply,
        b'C' => StreamAction::Close,
        _ => {
            reply[..message.len()].copy_from_slice(message);
            StreamAction::Reply(message.len())
        }
    }
}

fn serve_datagrams(io: &mut WorkerIo, batch: &mut Batch) {
    for index in 0..io.udp_len() {
        for slot in 0..io.receive(index, batch) {
            let one = batch.slot(slot);
            let length = one.query.len();
            one.reply[..length].copy_from_slice(one.query);
            batch.set_reply(slot, length);
        }
        io.send(index, batch);
    }
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
        (0..20).for_each(|_| assert_eq!(flood.send(b"flood").unwrap(), 5));
        io.wait(None).unwrap();
        assert_eq!(io.receive(0, &mut batch), 16);
        io.tcp_turn(io.now(), |_, message, reply| {
            answered += 1;
            respond(message, reply)
        });
    }
}

//----------- Streams: framing and order -------------------------------------------------------------------------

#[test]
fn a_thousand_queries_in_one_write_are_answered_in_order() {
    let server = Server::on_loopback();
    let mut client = server.tcp();
    let queries: Vec<_> =
        (0..1000).map(|number| message(b'Q', number, 12 + usize::from(number % 90))).collect();
    client.write_all(&queries.iter().flat_map(|query| frame(query)).collect::<Vec<_>>()).unwrap();
    queries.iter().for_each(|query| assert_eq!(read_frame(&mut client), *query));
    assert_eq!(server.tally().accepted, 1);
}

#[test]
fn a_query_that_comes_octet_by_octet_is_answered() {
    let server = Server::on_loopback();
    let mut client = server.tcp();
    for number in 0..3 {
        let query = message(b'Q', number, 50);
        frame(&query).iter().for_each(|octet| client.write_all(&[*octet]).unwrap());
        assert_eq!(read_frame(&mut client), query);
    }
}

#[test]
fn segments_that_cut_queries_anywhere_change_nothing() {
    let server = Server::on_loopback();
    let queries: Vec<_> = (0..40).map(|number| message(b'Q', number, 12 + 7 * usize::from(number))).collect();
    let all: Vec<_> = queries.iter().flat_map(|query| frame(query)).collect();
    for size in [1, 2, 3, 13, 97, 1000] {
        let mut client = server.tcp();
        all.chunks(size).for_each(|segment| client.write_all(segment).unwrap());
        queries.iter().for_each(|query| assert_eq!(read_frame(&mut client), *query));
    }
}

#[test]
fn messages_of_the_largest_size_pass_in_both_directions() {
    let server = Server::on_loopback();
    let mut client = server.tcp();
    let mut reader = client.try_clone().unwrap();
    let queries: Vec<_> = (0..20).map(|number| message(b'Q', number, 65_535)).collect();
    let expected = queries.clone();
    let reading = std::thread::spawn(move || {
        expected.iter().for_each(|query| assert!(read_frame(&mut reader) == *query));
    });
    queries.iter().for_each(|query| client.write_all(&frame(query)).unwrap());
    reading.join().unwrap();
}

#[test]
fn a_half_closed_peer_gets_every_reply_and_then_the_end() {
    let server = Server::on_loopback();
    let mut client = server.tcp();
    let queries: Vec<_> = (0..500).map(|number| message(b'Q', number, 40)).collect();
    let mut all: Vec<_> = queries.iter().flat_map(|query| frame(query)).collect();
    all.extend_from_slice(&[0, 40, 1, 2, 3]);
    client.write_all(&all).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    queries.iter().for_each(|query| assert_eq!(read_frame(&mut client), *query));
    assert!(closed_by_server(&mut client));
    until("the end is counted", || server.tally().closed == 1);
}

#[test]
fn a_message_shorter_than_a_header_closes_after_the_replies_before_it() {
    let server = Server::on_loopback();
    for short in [0, 11] {
        let mut client = server.tcp();
        let query = message(b'Q', 7, 40);
        client.write_all(&[frame(&query), frame(&vec![1; short])].concat()).unwrap();
        assert_eq!(read_frame(&mut client), query);
        assert!(closed_by_server(&mut client));
    }
    until("both are counted", || server.tally().short == 2);
}

#[test]
fn the_caller_may_stay_silent_or_close() {
    let server = Server::on_loopback();
    let mut client = server.tcp();
    let queries = [message(b'N', 1, 12), message(b'Q', 2, 12), message(b'C', 3, 12), message(b'Q', 4, 12)];
    client.write_all(&queries.iter().flat_map(|query| frame(query)).collect::<Vec<_>>()).unwrap();
    assert_eq!(read_frame(&mut client), queries[1]);
    assert!(closed_by_server(&mut client));
}

#[test]
fn a_reset_connection_is_closed_and_its_permit_comes_back() {
    let server = Server::on_loopback();
    let mut client = server.tcp();
    ask(&mut client, 1);
    assert_eq!(server.limits.open(), 1);
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    until("the reset is seen", || server.tally().closed == 1 && server.limits.open() == 0);
}

//----------- Streams: fairness and slow peers -------------------------------------------------------------------

#[test]
fn a_turn_answers_a_share_and_the_rest_follows_without_a_new_event() {
    let limits = ConnectionLimits::new(10, 10);
    let (address, mut io) = worker_io("127.0.0.1:0", &limits);
    let mut client = TcpStream::connect(address).unwrap();
    let queries: Vec<_> = (0..1000).flat_map(|number| frame(&message(b'Q', number, 12))).collect();
    client.write_all(&queries).unwrap();
    let mut shares = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    while shares.iter().sum::<u32>() < 1000 {
        assert!(Instant::now() < deadline);
        io.wait(Some(PATIENCE)).unwrap();
        serve_datagrams(&mut io, &mut Batch::new());
        let mut share = 0;
        io.tcp_turn(io.now(), |_, message, reply| {
            share += 1;
            respond(message, reply)
        });
        shares.push(share);
    }
    assert!(shares.iter().all(|share| *share <= 64), "{shares:?}");
    let mut replies = vec![0; queries.len()];
    client.read_exact(&mut replies).unwrap();
    assert!(replies == queries);
}

#[test]
fn a_peer_that_does_not_read_is_held_back_and_nobody_else_notices() {
    const MOST: u16 = 5000;
    let server = Server::on_loopback();
    let mut slow = server.tcp();
    let mut other = server.tcp();
    slow.set_nonblocking(true).unwrap();
    let queries: Vec<_> = (0..MOST).flat_map(|number| frame(&message(b'B', number, 200))).collect();
    // Writes until the server has long stopped reading; between attempts others are served.
    let (mut written, mut stalled) = (0, 0);
    while stalled < 200 && written < queries.len() {
        match slow.write(&queries[written..]) {
            Ok(count) => (written, stalled) = (written + count, 0),
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                stalled += 1;
            }
        }
        server.udp_echo_works();
        ask(&mut other, 1);
    }
    let answered = server.shared.messages.load(Ordering::Relaxed) as usize;
    assert!(answered * BIG < 64 << 20, "answered {answered} queries that nobody reads");
    // Now it reads, and gets all it asked for.
    slow.set_nonblocking(false).unwrap();
    let whole = written / 202;
    for number in 0..whole {
        let reply = read_frame(&mut slow);
        assert!(reply.len() == BIG && reply.iter().all(|octet| *octet == number as u8), "reply {number}");
    }
    server.udp_echo_works();
}

#[test]
fn a_peer_that_takes_nothing_for_the_idle_timeout_is_closed() {
    let server = Server::on_loopback();
    let mut slow = server.tcp();
    let queries: Vec<_> = (0..600).flat_map(|number| frame(&message(b'B', number, 12))).collect();
    slow.write_all(&queries).unwrap();
    // The count stands still once the buffers of the kernel are full: 600 × 60,000 octets do not fit.
    let mut still = (0, 0);
    until("replies stop", || {
        server.udp_echo_works();
        let answered = server.shared.messages.load(Ordering::Relaxed);
        still = if still.0 == answered { (answered, still.1 + 1) } else { (answered, 0) };
        answered > 0 && still.1 > 200
    });
    assert!(still.0 < 600, "all of it fitted, nothing was shown");
    server.advance(IDLE + Duration::from_secs(1));
    until("it is timed out", || server.tally().timed_out == 1 && server.limits.open() == 0);
}

//----------- Streams: time and numbers --------------------------------------------------------------------------

#[test]
fn an_idle_connection_is_closed_and_one_that_asked_since_is_not() {
    let server = Server::on_loopback();
    let (mut idle, mut busy) = (server.tcp(), server.tcp());
    ask(&mut idle, 1);
    ask(&mut busy, 1);
    server.advance(Duration::from_secs(6));
    ask(&mut busy, 2);
    server.advance(Duration::from_secs(6));
    assert!(closed_by_server(&mut idle));
    ask(&mut busy, 3);
    assert_eq!(server.tally().timed_out, 1);
}

#[test]
fn a_connection_that_never_asks_is_closed_too() {
    let server = Server::on_loopback();
    let mut silent = server.tcp();
    until("accepted", || server.tally().accepted == 1);
    server.advance(IDLE + Duration::from_secs(1));
    assert!(closed_by_server(&mut silent));
}

#[test]
fn dripping_octets_does_not_keep_a_connection() {
    let server = Server::on_loopback();
    let mut dripping = server.tcp();
    let mut witness = server.tcp();
    ask(&mut dripping, 1);
    for second in 0..=11 {
        // After its end has come a drip may fail, which is what this is about.
        let _ = dripping.write_all(&[40]);
        server.advance(Duration::from_secs(1));
        ask(&mut witness, second);
    }
    assert!(closed_by_server(&mut dripping));
    until("counted", || server.tally().timed_out == 1);
    ask(&mut witness, 12);
}

#[test]
fn a_client_over_its_limit_is_refused_and_others_are_not() {
    let server = Server::start("127.0.0.1:0", 1000, 3);
    let mut held: Vec<_> = (0..3).map(|_| server.tcp()).collect();
    held.iter_mut().for_each(|client| ask(client, 1));
    assert!(closed_by_server(&mut server.tcp()));
    assert_eq!(server.tally().refused_client, 1);
    // One chance in 65,536 for each that it shares the first one's counter; all of them, none.
    let others = (2..6).map(|last| {
        let mut other = server.tcp_from(Ipv4Addr::new(127, 0, 0, last));
        other.write_all(&frame(&message(b'Q', 1, 12))).unwrap();
        !closed_by_server(&mut other)
    });
    assert!(others.filter(|served| *served).count() > 0);
    held.pop();
    until("its place comes back", || {
        let mut again = server.tcp();
        let _ = again.write_all(&frame(&message(b'Q', 1, 12)));
        !closed_by_server(&mut again)
    });
}

#[test]
fn at_the_total_limit_the_longest_idle_connection_makes_room() {
    let server = Server::start("127.0.0.1:0", 2, 1000);
    let (mut first, mut second) = (server.tcp(), server.tcp());
    ask(&mut first, 1);
    ask(&mut second, 1);
    ask(&mut first, 2);
    let mut third = server.tcp();
    ask(&mut third, 1);
    assert!(closed_by_server(&mut second), "asked longest ago");
    ask(&mut first, 3);
    assert_eq!((server.tally().evicted, server.limits.open()), (1, 2));
}

#[test]
fn at_the_total_limit_a_connection_that_is_owed_a_reply_is_not_evicted() {
    let limits = ConnectionLimits::new(1, 10);
    let (address, mut io) = worker_io("127.0.0.1:0", &limits);
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all(&frame(&message(b'B', 1, 12)).repeat(600)).unwrap();
    let mut total = TcpTally::default();
    let mut quiet = 0;
    let deadline = Instant::now() + PATIENCE;
    while quiet < 50 {
        assert!(Instant::now() < deadline);
        io.wait(Some(Duration::from_millis(1))).unwrap();
        serve_datagrams(&mut io, &mut Batch::new());
        let mut answered = 0;
        total += io.tcp_turn(io.now(), |_, message, reply| {
            answered += 1;
            respond(message, reply)
        });
        quiet = if total.accepted == 1 && answered == 0 { quiet + 1 } else { 0 };
    }
    let mut refused = TcpStream::connect(address).unwrap();
    while total.refused_total == 0 {
        assert!(Instant::now() < deadline);
        io.wait(Some(Duration::from_millis(1))).unwrap();
        serve_datagrams(&mut io, &mut Batch::new());
        total += io.tcp_turn(io.now(), |_, message, reply| respond(message, reply));
    }
    assert!(closed_by_server(&mut refused));
    assert_eq!((total.evicted, io.tcp_open()), (0, 1));
}

//----------- Shortage -------------------------------------------------------------------------------------------

/// Runs the test below in a process of its own, for a limit of files concerns all of a process.
#[test]
fn running_out_of_files_pauses_accepting_instead_of_spinning() {
    let test = "io::tests::with_few_files_accepting_pauses_and_goes_on";
    let command = format!("ulimit -n 64 && exec \"$0\" --exact {test} --ignored --test-threads=1");
    let this = std::env::current_exe().unwrap();
    let output = std::process::Command::new("sh").arg("-c").arg(command).arg(this).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
}

#[test]
#[ignore = "uses all files of its process; run by running_out_of_files_pauses_accepting_instead_of_spinning"]
fn with_few_files_accepting_pauses_and_goes_on() {
    let limits = ConnectionLimits::new(10, 10);
    let (address, mut io) = worker_io("127.0.0.1:0", &limits);
    serve_datagrams(&mut io, &mut Batch::new());
    let echo = |_: SocketAddr, message: &[u8], reply: &mut [u8]| respond(message, reply);
    assert_eq!(io.tcp_turn(io.now(), echo), TcpTally::default());
    let mut clients: Vec<_> = (0..2).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut files = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        assert!(files.len() < 1000, "the limit is not in force");
        files.push(file);
    }
    io.wait(Some(PATIENCE)).unwrap();
    let now = io.now();
    assert_eq!(io.tcp_turn(now, echo).accept_errors, 1);
    assert_eq!(io.tcp_turn(now, echo), TcpTally::default(), "resting");
    // The pause bounds the sleep; after it, accepting is tried and rests again.
    io.wait(None).unwrap();
    assert_eq!(io.tcp_turn(now + Duration::from_millis(100), echo).accept_errors, 1);
    drop(files);
    assert_eq!(io.tcp_turn(now + Duration::from_millis(200), echo).accepted, 2);
    clients.iter_mut().for_each(|client| client.write_all(&frame(&message(b'Q', 1, 12))).unwrap());
}
