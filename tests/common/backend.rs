//! Servers that are probed: real sockets, behaving as told, counting who comes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls::pki_types::PrivateKeyDer;

/// How often a port is given up because another address has it taken.
const PORT_ATTEMPTS: usize = 64;

/// What a backend does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// An HTTP reply with this status.
    Http(u16),
    /// The same inside TLS.
    Https(u16),
    /// Says this, then closes.
    Says(&'static str),
    /// Takes everything, says nothing.
    Mute,
}

/// One listening address.
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    accepted: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    acceptor: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Backend {
    /// A backend on a port of the kernel's choice.
    pub fn start(address: Ipv4Addr, manner: Manner) -> Backend {
        Backend::listening(TcpListener::bind((address, 0)).unwrap(), manner)
    }

    /// Backends on several addresses with one port.
    pub fn start_all(addresses: &[Ipv4Addr], manner: Manner) -> Vec<Backend> {
        for _ in 0..PORT_ATTEMPTS {
            let first = TcpListener::bind((addresses[0], 0)).unwrap();
            let port = first.local_addr().unwrap().port();
            let others = addresses[1..].iter().map_while(|a| TcpListener::bind((*a, port)).ok());
            let listeners: Vec<_> = std::iter::once(first).chain(others).collect();
            if listeners.len() == addresses.len() {
                return listeners.into_iter().map(|one| Backend::listening(one, manner)).collect();
            }
        }
        panic!("no port is free on all of {addresses:?}");
    }

    fn listening(listener: TcpListener, manner: Manner) -> Backend {
        let mut backend = Backend {
            address: listener.local_addr().unwrap(),
            manner: Arc::new(Mutex::new(manner)),
            accepted: Arc::default(),
            requests: Arc::default(),
            acceptor: None,
        };
        backend.serve(listener);
        backend
    }

    fn serve(&mut self, listener: TcpListener) {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let (manner, accepted, requests) =
            (self.manner.clone(), self.accepted.clone(), self.requests.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                accepted.fetch_add(1, Ordering::SeqCst);
                let (manner, requests) = (*manner.lock().unwrap(), requests.clone());
                std::thread::spawn(move || attend(stream, manner, &requests));
            }
        });
        self.acceptor = Some((stop, thread));
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Behaves otherwise from the next connection on.
    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Stops listening: connections are refused.
    pub fn close(&mut self) {
        let Some((stop, thread)) = self.acceptor.take() else { return };
        stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        thread.join().unwrap();
    }

    /// Listens again.
    pub fn reopen(&mut self) {
        self.serve(TcpListener::bind(self.address).unwrap());
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Heads of the HTTP requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.close();
    }
}

/// A loopback address and port where nothing listens and nobody else can: bound, never listening.
pub struct DeadPort {
    _socket: socket2::Socket,
    /// The address.
    pub address: SocketAddr,
}

impl DeadPort {
    /// Takes a port of this address.
    pub fn take(address: Ipv4Addr) -> DeadPort {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        DeadPort { _socket: socket, address }
    }
}

/// One connection; errors are the prober's going away.
fn attend(mut stream: TcpStream, manner: Manner, requests: &Mutex<Vec<String>>) {
    match manner {
        Manner::Http(status) => drop(answer(&mut stream, status, requests)),
        Manner::Https(status) => {
            let Ok(connection) = rustls::ServerConnection::new(tls_config()) else { return };
            let mut tls = rustls::StreamOwned::new(connection, stream);
            drop(answer(&mut tls, status, requests));
        }
        Manner::Says(text) => drop(stream.write_all(text.as_bytes())),
        Manner::Mute => drop(stream.read_to_end(&mut Vec::new())),
    }
}

fn answer(
    stream: &mut (impl Read + Write),
    status: u16,
    requests: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut head = String::new();
    let mut reader = BufReader::new(&mut *stream);
    while reader.read_line(&mut head)? > 2 {}
    if head.is_empty() {
        return Ok(());
    }
    requests.lock().unwrap().push(head);
    write!(stream, "HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    stream.flush()
}

/// A certificate made for this run.
fn tls_config() -> Arc<rustls::ServerConfig> {
    static CONFIG: std::sync::OnceLock<Arc<rustls::ServerConfig>> = std::sync::OnceLock::new();
    CONFIG
        .get_or_init(|| {
            let made = rcgen::generate_simple_self_signed(vec!["probe.test".to_owned()]).unwrap();
            let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key)
                .unwrap();
            Arc::new(config)
        })
        .clone()
}
