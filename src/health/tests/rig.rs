//! Servers that behave as told, and the engine under test.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::config::model::{HttpProbe, Pool, Probe, TlsProbe};
use crate::health::reason::Reason;
use crate::health::status::{MemberStatus, Status, TargetStatus};
use crate::health::{Engine, Plan};
use crate::state::health_table::{HealthTable, State, Word};

/// How long a test waits for what must happen: only a failing test waits so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A listener on a port of the kernel's choice that hands each connection to a function, in a thread of its own.
pub(super) struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    acceptor: Option<JoinHandle<()>>,
    stopping: Arc<AtomicUsize>,
}

impl Server {
    pub(super) fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
        Server::start_on(Ipv4Addr::LOCALHOST.into(), serve)
    }

    pub(super) fn start_on(ip: IpAddr, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, stopping) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (count, stop, serve) = (accepted.clone(), stopping.clone(), Arc::new(serve));
        let acceptor = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) > 0 {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let (serve, Ok(stream)) = (serve.clone(), stream) else { continue };
                thread::spawn(move || serve(stream));
            }
        });
        Server { address, accepted, acceptor: Some(acceptor), stopping }
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections accepted so far.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(1, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        self.acceptor.take().unwrap().join().unwrap();
    }
}

/// Says these pieces, each as a segment of its own, after the request's head; then keeps the connection open until the
/// prober ends it.
pub(super) fn says(pieces: &'static [&'static [u8]]) -> impl Fn(TcpStream) + Send + Sync + 'static {
    move |mut stream| {
        stream.set_nodelay(true).unwrap();
        drop(read_head(&mut stream));
        for piece in pieces {
            if stream.write_all(piece).is_err() {
                return;
            }
            // Long enough for the prober to see this piece alone most of the time; nothing depends on it.
            thread::park_timeout(Duration::from_millis(2));
        }
        drain(&mut stream);
    }
}

/// As [`says`], without waiting for a request, and closing at the end.
pub(super) fn says_and_closes(
    pieces: &'static [&'static [u8]],
) -> impl Fn(TcpStream) + Send + Sync + 'static {
    move |mut stream| {
        for piece in pieces {
            drop(stream.write_all(piece));
        }
        drop(stream.shutdown(std::net::Shutdown::Write));
        drain(&mut stream);
    }
}

/// Takes everything and says nothing.
pub(super) fn mute(mut stream: TcpStream) {
    drain(&mut stream);
}

/// Reads until the peer ends the connection.
pub(super) fn drain(stream: &mut TcpStream) -> Vec<u8> {
    let mut octets = Vec::new();
    drop(stream.read_to_end(&mut octets));
    octets
}

/// Reads up to the empty line, or to the end.
pub(super) fn read_head(stream: &mut impl Read) -> Vec<u8> {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut octet), Ok(1)) {
        head.push(octet[0]);
    }
    head
}

/// A port of 127.0.0.1 on which nothing listens, kept from others while the value lives.
pub(super) struct DeadPort(socket2::Socket, pub(super) u16);

impl DeadPort {
    pub(super) fn take() -> DeadPort {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        DeadPort(socket, port)
    }

    /// From now on it listens, but nobody accepts.
    pub(super) fn listen(&self, backlog: i32) {
        self.0.listen(backlog).unwrap();
    }
}

pub(super) fn http(port: u16) -> HttpProbe {
    HttpProbe {
        port,
        tls: None,
        method: "GET".into(),
        path: "/healthz".into(),
        host: None,
        expected_codes: vec![(200, 200)],
        headers: Vec::new(),
        body: None,
        match_re: None,
        match_limit: 65_536,
    }
}

pub(super) fn https(port: u16, verify: bool) -> Probe {
    let server_name = Some("www.example.com".to_string());
    Probe::Http(HttpProbe {
        tls: Some(TlsProbe { verify, server_name, ..TlsProbe::default() }),
        ..http(port)
    })
}

pub(super) fn content(port: u16, send: &[u8], match_re: &str) -> Probe {
    Probe::TcpContent { port, send: send.to_vec(), match_re: Some(match_re.into()) }
}

/// A plan for these pools with a table of its own.
pub(super) fn plan(pools: &[Pool]) -> Plan {
    Plan::new(pools, Arc::new(HealthTable::new(pools.iter().map(|pool| pool.members.len()))))
}

/// An engine, and the table it writes at present.
pub(super) struct Rig {
    pub(super) engine: Engine,
    pub(super) table: Arc<HealthTable>,
}

impl Rig {
    /// One prober thread at work on these pools.
    pub(super) fn start(pools: &[Pool]) -> Rig {
        Rig::over(Engine::start(1, 7).unwrap(), pools)
    }

    /// This engine at work on these pools.
    pub(super) fn over(engine: Engine, pools: &[Pool]) -> Rig {
        let mut rig = Rig { engine, table: Arc::new(HealthTable::new([])) };
        rig.adopt(pools);
        rig
    }

    /// Goes over to other pools, and waits until they are published. Returns the states the new table had then.
    pub(super) fn adopt(&mut self, pools: &[Pool]) -> Vec<Vec<Word>> {
        self.adopt_plan(plan(pools))
    }

    /// As [`Rig::adopt`], for a plan that was tampered with.
    pub(super) fn adopt_plan(&mut self, plan: Plan) -> Vec<Vec<Word>> {
        let (sender, receiver) = crossbeam::channel::bounded(1);
        let published = plan.table.clone();
        self.table = published.clone();
        let publish = move || sender.send(words(&published)).unwrap();
        self.engine.adopt(plan, Box::new(publish)).unwrap();
        receiver.recv_timeout(PATIENCE).unwrap()
    }

    /// Waits until the board satisfies this.
    pub(super) fn wait(&self, what: &str, satisfied: impl Fn(&Status) -> bool) -> Status {
        let board = self.engine.status();
        let end = Instant::now() + PATIENCE;
        loop {
            let status = board.snapshot();
            if satisfied(&status) {
                return status;
            }
            assert!(Instant::now() < end, "waited in vain for {what}: {status:?}");
            thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// Waits for the first outcome of every member.
    pub(super) fn first_outcomes(&self) -> Status {
        self.wait("first outcomes", |status| {
            // The count comes last, when words are written; what is forced is never counted.
            let is_there = |of: &TargetStatus| match of.reason {
                Some(Reason::Forced { .. }) => true,
                Some(_) => of.succeeded + of.failed + of.inconclusive > 0,
                None => false,
            };
            status.pools.iter().flat_map(|pool| &pool.members).all(|member| is_there(&member.health))
        })
    }
}

/// Waits until this holds.
pub(super) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// A copy of a table.
pub(super) fn words(table: &HealthTable) -> Vec<Vec<Word>> {
    (0..table.pool_count())
        .map(|pool| {
            let mut words = vec![Word::default(); table.member_count(pool)];
            while table.read(pool, &mut words).is_none() {}
            words
        })
        .collect()
}

/// State and reason of a member.
pub(super) fn verdict(member: &MemberStatus) -> (State, String) {
    let reason = member.health.reason.as_ref().map(ToString::to_string);
    (member.health.state.state, reason.unwrap_or_default())
}
