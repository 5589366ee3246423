//! Binds the sockets of all workers to a listen address: one datagram socket and one stream listener a worker.
//!
//! SO_REUSEPORT lets workers share a port, but would let a second, forgotten instance share it too, in silence. So the
//! first socket binds *without* the option, which fails if anybody holds the port in any way that overlaps; only then
//! it gets the option, and its siblings bind beside it. A second instance meets the same first step and is refused.
//!
//! IPv6 sockets carry IPv6 only (no v4-mapped peers): `0.0.0.0` and `[::]` are two listen addresses.
//! Never resolves a name, never changes a route or an address of the machine.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, Socket, Type};

/// Called by the control side before it binds: each connection is a file.
pub use crate::sys::limits::raise_file_limit;

use crate::sys::socket;

/// How often a port chosen by the kernel for UDP is given up because TCP cannot have it.
const PORT_ATTEMPTS: u32 = 64;

/// What is asked of the kernel for each socket.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// SO_RCVBUF of a datagram socket; the kernel may give less. Its default holds only about 270 small queries.
    pub receive_buffer_octets: u32,
    /// SO_SNDBUF of a datagram socket.
    pub send_buffer_octets: u32,
    /// Connections the kernel may complete ahead of accept; it caps this at net.core.somaxconn.
    pub backlog: i32,
    /// The core of each worker: a packet is given to the worker of the core that received it, or if there is none, to
    /// one by the core's number. `None`: the kernel's hash over addresses and ports decides.
    pub steer_by_core: Option<Vec<u32>>,
}

/// The buffers of a datagram socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// Octets as asked for, not doubled for the kernel's own book-keeping (socket(7)).
    pub receive_octets: u32,
    /// The same.
    pub send_octets: u32,
}

impl Default for ListenOptions {
    fn default() -> Self {
        ListenOptions {
            receive_buffer_octets: 4 << 20,
            send_buffer_octets: 1 << 20,
            backlog: 1024,
            steer_by_core: None,
        }
    }
}

/// What one worker listens on at one address. Both sockets have the same address and port and are non-blocking.
#[derive(Debug)]
pub struct Endpoint {
    /// The address as bound: a port 0 has become the port the kernel chose.
    pub address: SocketAddr,
    /// Datagrams.
    pub udp: UdpSocket,
    /// Streams.
    pub tcp: TcpListener,
}

impl Endpoint {
    /// What the kernel gave the datagram socket.
    ///
    /// # Errors
    /// What getsockopt reported.
    pub fn buffers(&self) -> io::Result<Buffers> {
        let socket = socket2::SockRef::from(&self.udp);
        let halved = |octets: usize| u32::try_from(octets / 2).unwrap_or(u32::MAX);
        Ok(Buffers {
            receive_octets: halved(socket.recv_buffer_size()?),
            send_octets: halved(socket.send_buffer_size()?),
        })
    }
}

/// The transport of a socket, as it stands in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
}

impl std::fmt::Display for Transport {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        })
    }
}

/// Why a listen address cannot be had. One variant a cause, each one line.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process, or another `listen` entry, has the port.
    #[error(
        "cannot listen on {transport} {address}: address in use (another instance, or another listen entry?)"
    )]
    InUse {
        /// The address asked for.
        address: SocketAddr,
        /// The transport that failed.
        transport: Transport,
    },
    /// The process may not bind there.
    #[error("cannot listen on {transport} {address}: permission denied{}", privileged_port_hint(address))]
    PermissionDenied {
        /// The address asked for.
        address: SocketAddr,
        /// The transport that failed.
        transport: Transport,
    },
    /// No interface has the address.
    #[error("cannot listen on {transport} {address}: this machine has no such address")]
    NoSuchAddress {
        /// The address asked for.
        address: SocketAddr,
        /// The transport that failed.
        transport: Transport,
    },
    /// Anything else.
    #[error("cannot listen on {transport} {address}: {error}")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// The transport that failed.
        transport: Transport,
        /// What the kernel said.
        error: io::Error,
    },
}

/// Binds `workers` endpoints (at least one) to `address`.
///
/// # Errors
/// [`ListenError`]; nothing stays bound then.
pub fn bind(
    address: SocketAddr,
    workers: usize,
    options: &ListenOptions,
) -> Result<Vec<Endpoint>, ListenError> {
    let workers = workers.max(1);
    let mut attempt = 0;
    loop {
        attempt += 1;
        let udp = sockets(address, workers, Transport::Udp, options)?;
        let bound = udp[0].0;
        match sockets(bound, workers, Transport::Tcp, options) {
            Ok(tcp) => {
                let pairs = udp.into_iter().zip(tcp);
                let endpoint = |((_, udp), (_, tcp)): ((_, Socket), (_, Socket))| Endpoint {
                    address: bound,
                    udp: udp.into(),
                    tcp: tcp.into(),
                };
                return Ok(pairs.map(endpoint).collect());
            }
            Err(ListenError::InUse { .. }) if address.port() == 0 && attempt < PORT_ATTEMPTS => {}
            Err(error) => return Err(error),
        }
    }
}

/// The sockets of all workers for one transport, the first of them bound alone.
fn sockets(
    address: SocketAddr,
    workers: usize,
    transport: Transport,
    options: &ListenOptions,
) -> Result<Vec<(SocketAddr, Socket)>, ListenError> {
    let classify = |error| ListenError::classify(address, transport, error);
    let first = open(address, transport, false, options).map_err(classify)?;
    let bound = first.local_addr().map_err(classify)?.as_socket().unwrap_or(address);
    if workers > 1 {
        first.set_reuse_port(true).map_err(classify)?;
    }
    let mut all = vec![(bound, first)];
    for _ in 1..workers {
        all.push((bound, open(bound, transport, true, options).map_err(classify)?));
    }
    if let (Some(cores), 2..) = (&options.steer_by_core, workers) {
        // One program for all: the kernel numbers them in the order in which they came to share the port.
        socket::steer_by_core(all[0].1.as_fd(), cores).map_err(classify)?;
    }
    Ok(all)
}

/// One socket, bound and (TCP) listening.
fn open(
    address: SocketAddr,
    transport: Transport,
    reuse_port: bool,
    options: &ListenOptions,
) -> io::Result<Socket> {
    let (kind, protocol) = match transport {
        Transport::Udp => (Type::DGRAM, Protocol::UDP),
        Transport::Tcp => (Type::STREAM, Protocol::TCP),
    };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    match transport {
        Transport::Udp => {
            socket::ignore_path_mtu(socket.as_fd(), &address)?;
            socket::set_buffers(socket.as_fd(), options.receive_buffer_octets, options.send_buffer_octets)?;
            if address.ip().is_unspecified() {
                socket::report_destination(socket.as_fd(), &address)?;
            }
            socket.bind(&address.into())?;
        }
        Transport::Tcp => {
            // Connections of a former run in TIME_WAIT must not stop a restart; a listener still does.
            socket.set_reuse_address(true)?;
            // Inherited by accepted connections: a reply never waits for the acknowledgement of another.
            socket.set_tcp_nodelay(true)?;
            // A client of DNS speaks first: one event instead of two, and no place taken by who says nothing.
            socket::accept_with_data(socket.as_fd())?;
            socket.bind(&address.into())?;
            socket.listen(options.backlog)?;
        }
    }
    Ok(socket)
}

impl ListenError {
    fn classify(address: SocketAddr, transport: Transport, error: io::Error) -> ListenError {
        match error.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse { address, transport },
            io::ErrorKind::PermissionDenied => ListenError::PermissionDenied { address, transport },
            io::ErrorKind::AddrNotAvailable => ListenError::NoSuchAddress { address, transport },
            _ => ListenError::Other { address, transport, error },
        }
    }
}

/// What helps against a refused port below 1024.
fn privileged_port_hint(address: &SocketAddr) -> &'static str {
    match address.port() {
        0 | 1024.. => "",
        1..1024 => " (ports below 1024 need CAP_NET_BIND_SERVICE)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::pin::Cores;
    use std::collections::HashSet;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::{Duration, Instant};

    fn bind_here(address: &str, workers: usize) -> Result<Vec<Endpoint>, ListenError> {
        bind(address.parse().unwrap(), workers, &ListenOptions::default())
    }

    fn in_use(outcome: Result<Vec<Endpoint>, ListenError>) -> bool {
        matches!(outcome, Err(ListenError::InUse { .. }))
    }

    /// Calls `attempt` until it says which worker it reached, for all `workers`; the kernel's hash decides.
    fn reaches_every_worker(workers: usize, mut attempt: impl FnMut() -> usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut reached = HashSet::new();
        while reached.len() < workers {
            assert!(Instant::now() < deadline, "reached only {reached:?}");
            reached.insert(attempt());
        }
    }

    #[test]
    fn all_workers_share_one_port_and_each_gets_datagrams_and_connections() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let endpoints = bind_here(address, 3).unwrap();
            let at = endpoints[0].address;
            assert_ne!(at.port(), 0);
            for endpoint in &endpoints {
                assert_eq!(endpoint.udp.local_addr().unwrap(), at);
                assert_eq!(endpoint.tcp.local_addr().unwrap(), at);
            }
            reaches_every_worker(3, || {
                let client = UdpSocket::bind(SocketAddr::new(at.ip(), 0)).unwrap();
                client.send_to(b"x", at).unwrap();
                let mut buffer = [0; 8];
                let got: Vec<_> =
                    (0..3).filter(|worker| endpoints[*worker].udp.recv_from(&mut buffer).is_ok()).collect();
                assert_eq!(got.len(), 1, "one datagram reaches one worker");
                got[0]
            });
            reaches_every_worker(3, || {
                let mut client = TcpStream::connect(at).unwrap();
                let (worker, mut accepted) = loop {
                    let found =
                        (0..3).find_map(|worker| Some((worker, endpoints[worker].tcp.accept().ok()?.0)));
                    if let Some(found) = found {
                        break found;
                    }
                };
                assert!(accepted.nodelay().unwrap(), "inherited from the listener");
                accepted.write_all(b"y").unwrap();
                client.read_exact(&mut [0]).unwrap();
                worker
            });
        }
    }

    #[test]
    fn a_worker_gets_what_its_core_received() {
        let cores = Cores::available();
        let Some(numbers) = cores.of_workers(cores.count()) else { panic!("no list of cores") };
        // The other way round, so that it is not by chance.
        let workers = numbers.len();
        let reversed = numbers.iter().rev().copied().collect();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let options =
                ListenOptions { steer_by_core: Some(Vec::clone(&reversed)), ..ListenOptions::default() };
            let endpoints = bind(address.parse().unwrap(), workers, &options).unwrap();
            for (core, worker) in (0..workers).rev().enumerate() {
                let (cores, to) = (cores.clone(), endpoints[0].address);
                // Loopback receives on the core that sends.
                std::thread::spawn(move || {
                    assert!(cores.pin_current_thread(core));
                    for _ in 0..20 {
                        let client = UdpSocket::bind(SocketAddr::new(to.ip(), 0)).unwrap();
                        client.send_to(b"x", to).unwrap();
                    }
                })
                .join()
                .unwrap();
                let mut buffer = [0; 8];
                let got: Vec<usize> = endpoints
                    .iter()
                    .map(|endpoint| std::iter::from_fn(|| endpoint.udp.recv_from(&mut buffer).ok()).count())
                    .collect();
                assert_eq!((got[worker], got.iter().sum()), (20, 20), "core {core}: {got:?}");
            }
        }
    }

    #[test]
    fn buffers_are_told_as_they_were_asked_for() {
        let options = ListenOptions {
            receive_buffer_octets: 65_536,
            send_buffer_octets: 32_768,
            ..ListenOptions::default()
        };
        let endpoints = bind("127.0.0.1:0".parse().unwrap(), 2, &options).unwrap();
        let expected = Buffers { receive_octets: 65_536, send_octets: 32_768 };
        endpoints.iter().for_each(|endpoint| assert_eq!(endpoint.buffers().unwrap(), expected));
    }

    #[test]
    fn a_second_instance_is_refused_however_many_workers_either_has() {
        for (first, second) in [(1, 1), (1, 3), (3, 1), (3, 3)] {
            let held = bind_here("127.0.0.1:0", first).unwrap();
            let again = bind(held[0].address, second, &ListenOptions::default());
            assert!(in_use(again), "{first} workers, then {second}");
            let address = held[0].address;
            drop(held);
            assert!(bind(address, second, &ListenOptions::default()).is_ok(), "free again once closed");
        }
    }

    #[test]
    fn a_wildcard_and_a_specific_listener_of_one_port_exclude_each_other() {
        for (wildcard, specific) in [("0.0.0.0", "127.0.0.1"), ("[::]", "[::1]")] {
            let held = bind_here(&format!("{wildcard}:0"), 2).unwrap();
            assert!(in_use(bind_here(&format!("{specific}:{}", held[0].address.port()), 2)));
            let held = bind_here(&format!("{specific}:0"), 2).unwrap();
            assert!(in_use(bind_here(&format!("{wildcard}:{}", held[0].address.port()), 2)));
        }
    }

    #[test]
    fn a_port_held_with_reuse_port_by_anybody_else_is_refused() {
        for (kind, transport) in [(Type::DGRAM, Transport::Udp), (Type::STREAM, Transport::Tcp)] {
            let stranger = Socket::new(Domain::IPV4, kind, None).unwrap();
            stranger.set_reuse_port(true).unwrap();
            stranger.set_reuse_address(kind == Type::STREAM).unwrap();
            stranger.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
            if kind == Type::STREAM {
                stranger.listen(1).unwrap();
            }
            let address = stranger.local_addr().unwrap().as_socket().unwrap();
            match bind(address, 2, &ListenOptions::default()) {
                Err(ListenError::InUse { transport: which, .. }) => assert_eq!(which, transport),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_wildcards_of_both_families_can_share_a_port() {
        let v4 = bind_here("0.0.0.0:0", 2).unwrap();
        assert!(bind_here(&format!("[::]:{}", v4[0].address.port()), 2).is_ok());
    }

    #[test]
    fn an_address_the_machine_does_not_have_is_named_in_one_line() {
        let address = "192.0.2.1:5300".parse().unwrap();
        let error = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let error = ListenError::classify(address, Transport::Udp, error);
        assert!(matches!(error, ListenError::NoSuchAddress { .. }));
        assert_eq!(
            error.to_string(),
            "cannot listen on UDP 192.0.2.1:5300: this machine has no such address"
        );
    }

    #[test]
    fn a_refused_low_port_names_the_capability_and_a_high_one_does_not() {
        let denied = |address: &str| {
            let error = io::Error::from(io::ErrorKind::PermissionDenied);
            ListenError::classify(address.parse().unwrap(), Transport::Udp, error).to_string()
        };
        assert!(denied("127.0.0.1:53").ends_with("(ports below 1024 need CAP_NET_BIND_SERVICE)"));
        assert!(denied("127.0.0.1:5300").ends_with("permission denied"));
    }
}
