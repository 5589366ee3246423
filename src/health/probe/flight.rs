//! One probe under way: a non-blocking connection that carries a script through connect, handshake, send and receive.
//!
//! Driven by readiness and by the budget's end; a call never waits. Every connection is closed with a reset (linger 0)
//! once the verdict is known: 10,000 probes every five seconds would otherwise leave 120,000 sockets in TIME_WAIT and
//! run out of local ports. The exception is a probe whose last act was to send: there a reset could overtake its own
//! octets, so it closes in order.
//!
//! # Bounds
//! One descriptor; what is received is bounded by the script. Octets are received into a buffer of the thread and
//! kept in one that the thread lends.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream as StdStream};
use std::time::Duration;

use mio::net::TcpStream;
use rustls::ClientConnection;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{Conclusion, Ending, Script, tls};
use crate::health::reason::{Phase, Reason};

/// Octets asked of the kernel at once.
const READ_OCTETS: usize = 16 * 1024;
/// Buffers kept for the next probe. A probe holds one only from its first octet received to its verdict, so few are in
/// use at once; more are made when needed, and freed.
const BUFFERS_KEPT: usize = 256;
/// A script is asked anew whenever octets came, this many times; later only when what was received has grown by a
/// sixteenth, so that a peer that drips octets cannot make it search the same ones thousands of times.
const JUDGED_ALWAYS_TIMES: u32 = 256;
/// Most octets read from a peer under TLS: a handshake with long chains and all a script looks at, and a peer that
/// sends empty records for ever costs no more than this.
const SEALED_MAX_OCTETS: usize = 512 * 1024;

/// What the flights of one thread share.
pub(in crate::health) struct Tools {
    scratch: Box<[u8]>,
    buffers: Vec<Vec<u8>>,
}

impl Tools {
    /// For one thread.
    pub(in crate::health) fn new() -> Tools {
        Tools { scratch: vec![0; READ_OCTETS].into_boxed_slice(), buffers: Vec::with_capacity(BUFFERS_KEPT) }
    }

    fn lend(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    /// Takes back what a flight that ended still holds.
    pub(in crate::health) fn recycle(&mut self, flight: Flight) {
        for mut buffer in [flight.outgoing, flight.received] {
            if buffer.capacity() > 0 && self.buffers.len() < BUFFERS_KEPT {
                buffer.clear();
                buffer.shrink_to(READ_OCTETS);
                self.buffers.push(buffer);
            }
        }
    }
}

/// One probe under way.
pub(in crate::health) struct Flight {
    stream: TcpStream,
    address: IpAddr,
    phase: Phase,
    /// Present from the end of the connect phase on, if the script is inside TLS.
    tls: Option<Box<Sealed>>,
    outgoing: Vec<u8>,
    sent_octets: usize,
    received: Vec<u8>,
    /// How much of `received` has been judged, and how often.
    judged_octets: usize,
    judged_times: u32,
}

/// Whether a phase is over.
enum Progress {
    /// The next one may begin.
    Done,
    /// The kernel has nothing for us now.
    Blocked,
}

impl Flight {
    /// Begins to connect.
    ///
    /// # Errors
    /// The verdict, where it is known already.
    pub(in crate::health) fn open(script: &Script, address: IpAddr) -> Result<Flight, Conclusion> {
        if let Some(conclusion) = script.impediment() {
            return Err(conclusion);
        }
        let endpoint = script.endpoint(address);
        let socket =
            Socket::new(Domain::for_address(endpoint), Type::STREAM.nonblocking(), Some(Protocol::TCP))
                .and_then(|socket| {
                    socket.set_linger(Some(Duration::ZERO))?;
                    if script.tls().is_some() {
                        // A handshake is several small writes; none of them shall wait for an acknowledgement.
                        socket.set_tcp_nodelay(true)?;
                    }
                    Ok(socket)
                })
                .map_err(|error| Conclusion::failure(Reason::of_local_error(&error)))?;
        match socket.connect(&endpoint.into()) {
            Ok(()) => {}
            // EINPROGRESS, of which the standard library has no kind yet; `take_error` tells what became of it.
            Err(error) if error.raw_os_error() == Some(EINPROGRESS) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Conclusion::failure(Reason::of_connect_error(&error))),
        }
        Ok(Flight {
            stream: TcpStream::from_std(StdStream::from(socket)),
            address,
            phase: Phase::Connect,
            tls: None,
            outgoing: Vec::new(),
            sent_octets: 0,
            received: Vec::new(),
            judged_octets: 0,
            judged_times: 0,
        })
    }

    /// What is registered with the event loop.
    pub(in crate::health) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Goes as far as the kernel lets it; the verdict, once there is one.
    pub(in crate::health) fn advance(&mut self, script: &Script, tools: &mut Tools) -> Option<Conclusion> {
        loop {
            let progress = match self.phase {
                Phase::Connect => self.connect(script, tools),
                Phase::TlsHandshake => self.handshake(),
                Phase::Send => self.send(),
                Phase::Receive => return self.receive(script, tools),
            };
            match progress {
                Ok(Progress::Blocked) => return None,
                Ok(Progress::Done) => {}
                Err(reason) => return Some(Conclusion::failure(reason)),
            }
            self.phase = match self.phase {
                Phase::Connect if self.tls.is_some() => Phase::TlsHandshake,
                Phase::Connect | Phase::TlsHandshake => Phase::Send,
                Phase::Send | Phase::Receive => {
                    if self.sent_octets == self.outgoing.len()
                        && let Some(conclusion) = script.judge_sent()
                    {
                        self.close_in_order_if_sent();
                        return Some(conclusion);
                    }
                    Phase::Receive
                }
            };
        }
    }

    /// The verdict at the end of the budget. What the kernel holds already is still looked at: it came in time, and
    /// that this thread did not get to it is not the target's fault.
    pub(in crate::health) fn time_out(&mut self, script: &Script, tools: &mut Tools) -> Conclusion {
        if let Some(conclusion) = self.advance(script, tools) {
            return conclusion;
        }
        match self.phase {
            Phase::Receive => script.judge(&self.received, Ending::TimedOut),
            Phase::Connect | Phase::TlsHandshake | Phase::Send => None,
        }
        .unwrap_or_else(|| script.timed_out(self.phase))
    }

    fn connect(&mut self, script: &Script, tools: &mut Tools) -> Result<Progress, Reason> {
        match self.stream.take_error() {
            Ok(None) => {}
            Ok(Some(error)) | Err(error) => return Err(Reason::of_connect_error(&error)),
        }
        if let Err(error) = self.stream.peer_addr() {
            return match error.kind() {
                io::ErrorKind::NotConnected => Ok(Progress::Blocked),
                _ => Err(Reason::of_connect_error(&error)),
            };
        }
        let mut outgoing = tools.lend();
        script.write_request(self.address, &mut outgoing);
        if let Some(tls) = script.tls() {
            let mut client = tls.connect(self.address)?;
            // Kept by the client until the handshake is done, then sealed. The default limit is 64 KiB.
            client.writer().write_all(&outgoing).map_err(|error| Reason::Tls(error.to_string().into()))?;
            outgoing.clear();
            self.tls = Some(Box::new(Sealed { client, octets: 0 }));
        }
        self.outgoing = outgoing;
        Ok(Progress::Done)
    }

    fn handshake(&mut self) -> Result<Progress, Reason> {
        let Some(tls) = &mut self.tls else { return Ok(Progress::Done) };
        loop {
            let wrote = tls.flush(&mut self.stream);
            if !tls.client.is_handshaking() {
                return Ok(Progress::Done);
            }
            match tls.read(&mut self.stream) {
                Ok(0) => return Err(Reason::TlsClosed),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return match error.kind() {
                        // A write that failed for good: the peer has no last words either.
                        io::ErrorKind::WouldBlock if wrote.is_err() => Err(Reason::TlsClosed),
                        io::ErrorKind::WouldBlock => Ok(Progress::Blocked),
                        _ => Err(tls_reason(&error).unwrap_or(Reason::TlsClosed)),
                    };
                }
            }
        }
    }

    fn send(&mut self) -> Result<Progress, Reason> {
        // A peer that does not take our octets may have answered all the same (a server too busy to read, say): an
        // error here is not the verdict, what can be received is.
        if let Some(tls) = &mut self.tls {
            return Ok(tls.flush(&mut self.stream).unwrap_or(Progress::Done));
        }
        while self.sent_octets < self.outgoing.len() {
            match self.stream.write(&self.outgoing[self.sent_octets..]) {
                Ok(0) => break,
                Ok(octets) => self.sent_octets += octets,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        Ok(Progress::Done)
    }

    fn receive(&mut self, script: &Script, tools: &mut Tools) -> Option<Conclusion> {
        let limit = script.receive_limit();
        loop {
            let room = limit.saturating_sub(self.received.len()).min(READ_OCTETS);
            if room == 0 {
                return script.judge(&self.received, Ending::Full);
            }
            let read = match &mut self.tls {
                Some(tls) => tls.receive(&mut self.stream, &mut tools.scratch[..room]),
                None => self.stream.read(&mut tools.scratch[..room]),
            };
            match read {
                Ok(0) => return script.judge(&self.received, Ending::Closed),
                Ok(octets) => {
                    if self.received.capacity() == 0 {
                        self.received = tools.lend();
                    }
                    self.received.extend_from_slice(&tools.scratch[..octets]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.judge_so_far(script),
                Err(error) => {
                    // What came before the error may be all the script wants.
                    return match (script.judge(&self.received, Ending::Open), tls_reason(&error)) {
                        (Some(conclusion), _) => Some(conclusion),
                        (None, Some(reason)) => Some(Conclusion::failure(reason)),
                        (None, None) => script.judge(&self.received, Ending::Closed),
                    };
                }
            }
        }
    }

    fn judge_so_far(&mut self, script: &Script) -> Option<Conclusion> {
        let fresh = self.received.len() - self.judged_octets;
        if fresh == 0 || (self.judged_times >= JUDGED_ALWAYS_TIMES && fresh <= self.judged_octets / 16) {
            return None;
        }
        self.judged_octets = self.received.len();
        self.judged_times += 1;
        script.judge(&self.received, Ending::Open)
    }

    /// Lets the kernel deliver what was sent before the connection ends, where sending was all that was asked.
    fn close_in_order_if_sent(&self) {
        if self.sent_octets > 0 {
            // If this fails the connection is reset as all others are.
            drop(SockRef::from(&self.stream).set_linger(None));
        }
    }
}

/// The number of Linux for a connection that is being opened.
const EINPROGRESS: i32 = 115;

/// A TLS client over a non-blocking connection.
struct Sealed {
    client: ClientConnection,
    /// Read from the peer so far.
    octets: usize,
}

impl Sealed {
    /// Hands sealed octets to the kernel.
    fn flush(&mut self, stream: &mut TcpStream) -> io::Result<Progress> {
        while self.client.wants_write() {
            match self.client.write_tls(stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Progress::Done)
    }

    /// Reads sealed octets and opens them; 0 at the end of the connection.
    fn read(&mut self, stream: &mut TcpStream) -> io::Result<usize> {
        let octets = self.client.read_tls(stream)?;
        self.octets += octets;
        if self.octets > SEALED_MAX_OCTETS {
            return Err(io::Error::other(rustls::Error::General("peer sends without end".into())));
        }
        if let Err(error) = self.client.process_new_packets() {
            // The alert is a courtesy to the peer's log: not worth an error of its own.
            drop(self.flush(stream));
            return Err(io::Error::other(error));
        }
        Ok(octets)
    }

    /// Takes opened octets; 0 at the end of the connection, with or without the peer's close_notify.
    fn receive(&mut self, stream: &mut TcpStream, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.client.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            self.read(stream)?;
            // Answers to the peer's messages (a key update, say); an error shows at the next read.
            drop(self.flush(stream));
        }
    }
}

/// The reason inside an error, if it is of TLS and not of the connection.
fn tls_reason(error: &io::Error) -> Option<Reason> {
    error.get_ref()?.downcast_ref::<rustls::Error>().map(tls::reason_of)
}
