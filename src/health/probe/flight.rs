//! One probe under way: a non-blocking socket that carries a script through connect, handshake, send and receive.
//!
//! Driven by readiness and by the budget's end; a call never waits. Every connection is closed with a reset (linger 0)
//! once the verdict is known: 10,000 probes every five seconds would otherwise leave 120,000 sockets in TIME_WAIT and
//! run out of local ports. The exception is a probe whose last act was to send: there a reset could overtake its own
//! octets, so it closes in order.
//!
//! A conversation of datagrams has the same phases; each datagram is judged by itself, and what is not the reply to this
//! probe is passed over. It may go on over a stream (DNS, truncated): then the flight has another socket from there on,
//! and the same budget.
//!
//! # Bounds
//! One descriptor; what is received is bounded by the script. Octets are received into a buffer of the thread and
//! kept in one that the thread lends.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::time::SystemTime;

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustls::ClientConnection;
use socket2::Socket;

use super::{Carrier, Conclusion, Ending, Leg, Script, socket, tls};
use crate::health::reason::{Phase, Reason};

/// Octets asked of the kernel at once.
const READ_OCTETS: usize = 16 * 1024;
/// Buffers kept for the next probe. A probe holds one only from its first octet received to its verdict, so few are in
/// use at once; more are made when needed, and freed.
const BUFFERS_KEPT: usize = 256;
/// A script is asked anew whenever octets came, this many times; later only when what was received has grown by a
/// sixteenth, so that a peer that drips octets cannot make it search the same ones thousands of times.
const JUDGED_ALWAYS_TIMES: u32 = 256;
/// Datagrams passed over in one probe; what comes after them is not looked at. A raw socket gets the replies to others
/// that probe the same address at the same time, and a peer that floods costs no more than this.
const FOREIGN_DATAGRAMS_MAX: u32 = 4096;
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
    socket: Socket,
    /// Whether the event loop does not know the socket yet.
    is_unregistered: bool,
    leg: Leg,
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
    foreign_datagrams: u32,
}

/// Whether a phase is over.
enum Progress {
    /// The next one may begin.
    Done,
    /// The kernel has nothing for us now.
    Blocked,
}

impl Flight {
    /// Begins to connect. The seed, random octets, is what a reply is known by.
    ///
    /// # Errors
    /// The verdict, where it is known already.
    pub(in crate::health) fn open(script: &Script, address: IpAddr, seed: u64) -> Result<Flight, Conclusion> {
        if let Some(conclusion) = script.impediment() {
            return Err(conclusion);
        }
        let (socket, carrier) = socket::open(script, script.endpoint(address), script.carrier())?;
        Ok(Flight {
            socket,
            is_unregistered: true,
            leg: Leg { carrier, seed },
            address,
            phase: Phase::Connect,
            tls: None,
            outgoing: Vec::new(),
            sent_octets: 0,
            received: Vec::new(),
            judged_octets: 0,
            judged_times: 0,
            foreign_datagrams: 0,
        })
    }

    /// Makes the socket known to the event loop, if it is not yet: before anything else, and whenever `advance` has come
    /// to no verdict.
    ///
    /// # Errors
    /// When the kernel takes no more.
    pub(in crate::health) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if std::mem::take(&mut self.is_unregistered) {
            let both = Interest::READABLE | Interest::WRITABLE;
            return SourceFd(&self.socket.as_raw_fd()).register(registry, token, both);
        }
        Ok(())
    }

    /// Goes as far as the kernel lets it; the verdict, once there is one.
    pub(in crate::health) fn advance(&mut self, script: &Script, tools: &mut Tools) -> Option<Conclusion> {
        loop {
            let progress = match self.phase {
                Phase::Connect => self.connect(script, tools),
                Phase::TlsHandshake => self.handshake(),
                Phase::Send => self.send(),
                Phase::Receive if self.leg.carrier == Carrier::Stream => return self.receive(script, tools),
                // Never of a socket.
                Phase::Run => return None,
                Phase::Receive => match self.receive_datagrams(script, tools) {
                    Ok(progress) => Ok(progress),
                    Err(conclusion) => return Some(conclusion),
                },
            };
            match progress {
                Ok(Progress::Blocked) => return None,
                Ok(Progress::Done) => {}
                Err(reason) => return Some(Conclusion::failure(reason)),
            }
            self.phase = match self.phase {
                Phase::Connect if self.tls.is_some() => Phase::TlsHandshake,
                Phase::Connect => Phase::Send,
                Phase::TlsHandshake => match self.judge_peer(script) {
                    Ok(None) => Phase::Send,
                    Ok(Some(conclusion)) => return Some(conclusion),
                    Err(reason) => return Some(Conclusion::failure(reason)),
                },
                // Datagrams ended with the news that a stream goes on; it is there already.
                Phase::Receive | Phase::Run => Phase::Connect,
                Phase::Send => {
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
            Phase::Receive => script.judge(&self.received, Ending::TimedOut, self.leg),
            Phase::Connect | Phase::TlsHandshake | Phase::Send | Phase::Run => None,
        }
        .unwrap_or_else(|| script.timed_out(self.phase))
    }

    fn connect(&mut self, script: &Script, tools: &mut Tools) -> Result<Progress, Reason> {
        if self.leg.carrier == Carrier::Stream {
            match self.socket.take_error() {
                Ok(None) => {}
                Ok(Some(error)) | Err(error) => return Err(Reason::of_connect_error(&error)),
            }
            if let Err(error) = self.socket.peer_addr() {
                return match error.kind() {
                    io::ErrorKind::NotConnected => Ok(Progress::Blocked),
                    _ => Err(Reason::of_connect_error(&error)),
                };
            }
        }
        let mut outgoing = match self.outgoing.capacity() {
            0 => tools.lend(),
            _ => std::mem::take(&mut self.outgoing),
        };
        script.write_request(self.address, self.leg, &mut outgoing);
        if let Some(tls) = script.tls() {
            let mut client = tls.connect(self.address)?;
            // A peer whose certificate is to be looked at hears nothing before. What others hear is kept by the client until
            // the handshake is done, then sealed.
            if !tls.asks_for_certificate() {
                seal(&mut client, &mut outgoing)?;
            }
            self.tls = Some(Box::new(Sealed { client, octets: 0 }));
        }
        self.outgoing = outgoing;
        Ok(Progress::Done)
    }

    fn handshake(&mut self) -> Result<Progress, Reason> {
        let Some(tls) = &mut self.tls else { return Ok(Progress::Done) };
        loop {
            let wrote = tls.flush(&self.socket);
            if !tls.client.is_handshaking() {
                return Ok(Progress::Done);
            }
            match tls.read(&self.socket) {
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

    /// Looks at the certificate behind a handshake; the verdict, where that was all that was asked.
    fn judge_peer(&mut self, script: &Script) -> Result<Option<Conclusion>, Reason> {
        let (Some(sealed), Some(tls)) = (&mut self.tls, script.tls()) else { return Ok(None) };
        // The end of the handshake, and word of the connection's: a courtesy to the peer's log.
        if script.ends_with_handshake() {
            sealed.client.send_close_notify();
            drop(sealed.flush(&self.socket));
        }
        let days_left = tls.judge_peer(&sealed.client, SystemTime::now())?;
        seal(&mut sealed.client, &mut self.outgoing)?;
        Ok(script.ends_with_handshake().then(|| Conclusion::success(Reason::Handshake { days_left })))
    }

    fn send(&mut self) -> Result<Progress, Reason> {
        // A peer that does not take our octets may have answered all the same (a server too busy to read, say): an
        // error here is not the verdict, what can be received is.
        if let Some(tls) = &mut self.tls {
            return Ok(tls.flush(&self.socket).unwrap_or(Progress::Done));
        }
        while self.sent_octets < self.outgoing.len() {
            match (&self.socket).write(&self.outgoing[self.sent_octets..]) {
                Ok(0) => break,
                Ok(octets) => self.sent_octets += octets,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if self.leg.carrier != Carrier::Stream => {
                    return Err(Reason::of_datagram_error(&error));
                }
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
                return script.judge(&self.received, Ending::Full, self.leg);
            }
            let read = match &mut self.tls {
                Some(tls) => tls.receive(&self.socket, &mut tools.scratch[..room]),
                None => (&self.socket).read(&mut tools.scratch[..room]),
            };
            match read {
                Ok(0) => return script.judge(&self.received, Ending::Closed, self.leg),
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
                    return match (script.judge(&self.received, Ending::Open, self.leg), tls_reason(&error)) {
                        (Some(conclusion), _) => Some(conclusion),
                        (None, Some(reason)) => Some(Conclusion::failure(reason)),
                        (None, None) => script.judge(&self.received, Ending::Closed, self.leg),
                    };
                }
            }
        }
    }

    /// Judges one datagram after the other. `Done`: the conversation goes on over a stream, which this flight has from now
    /// on.
    fn receive_datagrams(&mut self, script: &Script, tools: &mut Tools) -> Result<Progress, Conclusion> {
        let room = script.receive_limit().min(READ_OCTETS);
        while self.foreign_datagrams < FOREIGN_DATAGRAMS_MAX {
            match (&self.socket).read(&mut tools.scratch[..room]) {
                Ok(octets) => {
                    let datagram = &tools.scratch[..octets];
                    if let Some(conclusion) = script.judge(datagram, Ending::Open, self.leg) {
                        return Err(conclusion);
                    }
                    if script.goes_on_over_stream(datagram, self.leg) {
                        let endpoint = script.endpoint(self.address);
                        (self.socket, self.leg.carrier) = socket::open(script, endpoint, Carrier::Stream)?;
                        self.is_unregistered = true;
                        self.outgoing.clear();
                        self.sent_octets = 0;
                        return Ok(Progress::Done);
                    }
                    self.foreign_datagrams += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Blocked),
                Err(error) => return Err(Conclusion::failure(Reason::of_datagram_error(&error))),
            }
        }
        Ok(Progress::Blocked)
    }

    fn judge_so_far(&mut self, script: &Script) -> Option<Conclusion> {
        let fresh = self.received.len() - self.judged_octets;
        if fresh == 0 || (self.judged_times >= JUDGED_ALWAYS_TIMES && fresh <= self.judged_octets / 16) {
            return None;
        }
        self.judged_octets = self.received.len();
        self.judged_times += 1;
        script.judge(&self.received, Ending::Open, self.leg)
    }

    /// Lets the kernel deliver what was sent before the connection ends, where sending was all that was asked.
    fn close_in_order_if_sent(&self) {
        if self.sent_octets > 0 {
            // If this fails the connection is reset as all others are.
            drop(self.socket.set_linger(None));
        }
    }
}

/// A TLS client over a non-blocking connection.
struct Sealed {
    client: ClientConnection,
    /// Read from the peer so far.
    octets: usize,
}

impl Sealed {
    /// Hands sealed octets to the kernel.
    fn flush(&mut self, mut socket: &Socket) -> io::Result<Progress> {
        while self.client.wants_write() {
            match self.client.write_tls(&mut socket) {
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
    fn read(&mut self, mut socket: &Socket) -> io::Result<usize> {
        let octets = self.client.read_tls(&mut socket)?;
        self.octets += octets;
        if self.octets > SEALED_MAX_OCTETS {
            return Err(io::Error::other(rustls::Error::General("peer sends without end".into())));
        }
        if let Err(error) = self.client.process_new_packets() {
            // The alert is a courtesy to the peer's log: not worth an error of its own.
            drop(self.flush(socket));
            return Err(io::Error::other(error));
        }
        Ok(octets)
    }

    /// Takes opened octets; 0 at the end of the connection, with or without the peer's close_notify.
    fn receive(&mut self, socket: &Socket, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.client.reader().read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            self.read(socket)?;
            // Answers to the peer's messages (a key update, say); an error shows at the next read.
            drop(self.flush(socket));
        }
    }
}

/// Hands octets to a client, which has room for 64 KiB by default.
fn seal(client: &mut ClientConnection, outgoing: &mut Vec<u8>) -> Result<(), Reason> {
    client.writer().write_all(outgoing).map_err(|error| Reason::Tls(error.to_string().into()))?;
    outgoing.clear();
    Ok(())
}

/// The reason inside an error, if it is of TLS and not of the connection.
fn tls_reason(error: &io::Error) -> Option<Reason> {
    error.get_ref()?.downcast_ref::<rustls::Error>().map(tls::reason_of)
}
