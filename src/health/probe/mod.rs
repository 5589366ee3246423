//! What one probe says and what it waits for, one file a monitor.
//!
//! A `Script` is the pure part: the octets to send and the judgement of the octets received so far. A
//! `Flight` is the socket that carries it. A script knows no sockets, a flight no HTTP; another monitor is another file
//! with a request and a judgement.
//!
//! # Bounds
//! What is received is bounded by `Script::receive_limit`; it never grows with what a target sends.

/// `agent`: a line of words.
pub(super) mod agent;
/// One probe under way, by whatever means.
pub(super) mod attempt;
/// Bodies of HTTP replies.
mod body;
/// What is asked of a certificate beside its chain.
mod certificate;
/// `dns`: a query and its reply.
mod dns;
/// `file`: what a file says.
mod file;
/// The socket that carries a script: connect, handshake, send, receive.
mod flight;
/// The judges of replies, opened to the fuzzer.
#[cfg(fuzzing)]
pub mod fuzzing;
/// HTTP/1.1 request, status line and body.
mod http;
/// `icmp`: an echo request and its reply.
mod icmp;
/// `match_re`.
mod pattern;
/// `exec`: a program and its exit code.
mod program;
/// Sockets of every kind that probes need.
mod socket;
/// `tcp_content`: octets sent, a pattern searched in the reply.
mod tcp;
/// Client configuration and certificate verification.
pub(super) mod tls;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::config::model::{Monitor, Probe};
use crate::health::advice::Advice;
use crate::health::machine::Outcome;
use crate::health::reason::{Phase, ProberFault, Reason};

/// What a probe came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conclusion {
    /// For the state machine.
    pub(super) outcome: Outcome,
    /// For people.
    pub(super) reason: Reason,
    /// What the target says of its weight, for the keeper; only agents say anything.
    pub(super) advice: Option<Advice>,
}

impl Conclusion {
    fn success(reason: Reason) -> Conclusion {
        Conclusion { outcome: Outcome::Success, reason, advice: None }
    }

    /// A failure of the target, or no verdict where the reason is the prober's own fault.
    fn failure(reason: Reason) -> Conclusion {
        let outcome = match reason {
            Reason::Prober(_) => Outcome::Inconclusive,
            _ => Outcome::Failure,
        };
        Conclusion { outcome, reason, advice: None }
    }
}

/// What carries a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    /// A TCP connection.
    Stream,
    /// UDP.
    Datagram,
    /// A datagram socket of ICMP.
    Echo,
    /// A raw socket of ICMP.
    RawEcho,
}

/// What request and judgement of one probe have in common.
#[derive(Clone, Copy, Debug)]
struct Leg {
    carrier: Carrier,
    /// Random octets by which a reply is known as this probe's.
    seed: u64,
}

/// Whether more octets may follow those received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// They may.
    Open,
    /// The peer closed or broke the connection.
    Closed,
    /// The script's limit is reached.
    Full,
    /// The budget is spent.
    TimedOut,
}

/// A monitor made ready: patterns compiled, TLS configured. Shared by all targets with an equal monitor.
pub(super) struct Script {
    /// The monitor this was made of.
    pub(super) monitor: Arc<Monitor>,
    exchange: Exchange,
}

/// The conversation of a probe.
enum Exchange {
    /// The connection opens; nothing is said.
    Connect { port: u16 },
    /// Octets and a pattern.
    Content(tcp::Content),
    /// A request and a reply, perhaps inside TLS.
    Http(http::Http),
    /// A handshake, and nothing inside.
    Tls { port: u16, tls: tls::Tls },
    /// A query.
    Dns(dns::Dns),
    /// An echo request.
    Icmp,
    /// A line.
    Agent(agent::Agent),
    /// A program of this machine.
    Program(program::Program),
    /// A file of this machine.
    File(file::Script),
    /// Nothing is asked: somebody says it.
    Push,
    /// Nothing at all.
    Forced { up: bool },
}

/// Who finds out what a monitor wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Means {
    /// A thread of sockets.
    Socket,
    /// The thread of programs.
    Program,
    /// The thread of files.
    File,
    /// Whoever pushes.
    Push,
    /// Nobody: the verdict is given.
    Forced,
}

impl Script {
    /// Makes a monitor ready. For `verify: true` this reads the machine's trusted roots, once a process.
    pub(super) fn new(monitor: &Arc<Monitor>) -> Script {
        let exchange = match &monitor.probe {
            Probe::Tcp { port } => Exchange::Connect { port: *port },
            Probe::TcpContent { port, send, match_re } => {
                Exchange::Content(tcp::Content::new(*port, send, match_re.as_deref(), monitor.timeout))
            }
            Probe::Http(probe) => Exchange::Http(http::Http::new(probe)),
            Probe::Tls { port, tls } => Exchange::Tls { port: *port, tls: tls::Tls::new(tls) },
            Probe::Dns(probe) => Exchange::Dns(dns::Dns::new(probe)),
            Probe::Icmp => Exchange::Icmp,
            Probe::Agent { port, send } => Exchange::Agent(agent::Agent::new(*port, send)),
            Probe::Exec { command } => Exchange::Program(program::Program::new(command)),
            Probe::File { path, missing_up } => Exchange::File(file::Script::new(path, *missing_up)),
            Probe::Push { .. } => Exchange::Push,
            Probe::Forced { up } => Exchange::Forced { up: *up },
        };
        Script { monitor: monitor.clone(), exchange }
    }

    /// What a monitor is made to on a machine that lacks something (trusted roots, say): it cannot be carried out.
    #[cfg(all(test, not(steerd_loom)))]
    pub(super) fn impeded(monitor: &Arc<Monitor>) -> Script {
        let broken = tcp::Content::new(0, b"", Some("("), monitor.timeout);
        Script { monitor: monitor.clone(), exchange: Exchange::Content(broken) }
    }

    /// Who finds out.
    pub(super) fn means(&self) -> Means {
        match self.exchange {
            Exchange::Connect { .. }
            | Exchange::Content(_)
            | Exchange::Http(_)
            | Exchange::Tls { .. }
            | Exchange::Dns(_)
            | Exchange::Icmp
            | Exchange::Agent(_) => Means::Socket,
            Exchange::Program(_) => Means::Program,
            Exchange::File(_) => Means::File,
            Exchange::Push => Means::Push,
            Exchange::Forced { .. } => Means::Forced,
        }
    }

    /// The verdict that is given without a probe.
    pub(super) fn forced(&self) -> Option<bool> {
        if let Exchange::Forced { up } = self.exchange { Some(up) } else { None }
    }

    /// Whether a prober finds out.
    pub(super) fn is_probed(&self) -> bool {
        matches!(self.means(), Means::Socket | Means::Program | Means::File)
    }

    /// Whether its outcomes hang on whether this machine reaches others.
    pub(super) fn is_remote(&self) -> bool {
        matches!(self.means(), Means::Socket | Means::Program)
    }

    /// Time between two probes of which only those are told of that say something else, or that the interval asks for.
    pub(super) fn look_pause(&self) -> Option<Duration> {
        let Monitor { interval, ref discipline, .. } = *self.monitor;
        matches!(self.exchange, Exchange::File(_))
            .then(|| file::Script::pause(discipline.retry_interval, interval))
    }

    /// What the conversation begins on.
    fn carrier(&self) -> Carrier {
        match &self.exchange {
            Exchange::Dns(dns) => dns.carrier(),
            Exchange::Icmp => Carrier::Echo,
            Exchange::Connect { .. }
            | Exchange::Content(_)
            | Exchange::Http(_)
            | Exchange::Tls { .. }
            | Exchange::Agent(_)
            | Exchange::Program(_)
            | Exchange::File(_)
            | Exchange::Push
            | Exchange::Forced { .. } => Carrier::Stream,
        }
    }

    /// Where a target of this address is probed.
    fn endpoint(&self, address: IpAddr) -> SocketAddr {
        let port = match &self.exchange {
            Exchange::Connect { port } | Exchange::Tls { port, .. } => *port,
            Exchange::Content(content) => content.port,
            Exchange::Http(http) => http.port,
            Exchange::Dns(dns) => dns.port,
            Exchange::Agent(agent) => agent.port,
            // ICMP has none, and forced ones are never probed.
            Exchange::Icmp
            | Exchange::Program(_)
            | Exchange::File(_)
            | Exchange::Push
            | Exchange::Forced { .. } => 0,
        };
        SocketAddr::new(address, port)
    }

    /// The TLS part, if the conversation is inside TLS.
    fn tls(&self) -> Option<&tls::Tls> {
        match &self.exchange {
            Exchange::Http(http) => http.tls.as_ref(),
            Exchange::Tls { tls, .. } => Some(tls),
            Exchange::Connect { .. }
            | Exchange::Content(_)
            | Exchange::Dns(_)
            | Exchange::Icmp
            | Exchange::Agent(_)
            | Exchange::Program(_)
            | Exchange::File(_)
            | Exchange::Push
            | Exchange::Forced { .. } => None,
        }
    }

    /// Whether nothing is said inside TLS.
    fn ends_with_handshake(&self) -> bool {
        matches!(self.exchange, Exchange::Tls { .. })
    }

    /// Appends the octets to send to a target of this address.
    fn write_request(&self, address: IpAddr, leg: Leg, into: &mut Vec<u8>) {
        match &self.exchange {
            Exchange::Connect { .. }
            | Exchange::Tls { .. }
            | Exchange::Program(_)
            | Exchange::File(_)
            | Exchange::Push
            | Exchange::Forced { .. } => {}
            Exchange::Content(content) => into.extend_from_slice(&content.send),
            Exchange::Http(http) => http.write_request(address, into),
            Exchange::Dns(dns) => dns.write_request(leg, into),
            Exchange::Icmp => icmp::write_request(address, leg.seed, into),
            Exchange::Agent(agent) => into.extend_from_slice(&agent.send),
        }
    }

    /// The verdict that needs no reply, once everything has been sent.
    fn judge_sent(&self) -> Option<Conclusion> {
        match &self.exchange {
            Exchange::Connect { .. } => Some(Conclusion::success(Reason::Connected)),
            Exchange::Content(content) => content.judge_sent(),
            Exchange::Http(_)
            | Exchange::Tls { .. }
            | Exchange::Dns(_)
            | Exchange::Icmp
            | Exchange::Agent(_) => None,
            Exchange::Program(_) | Exchange::File(_) | Exchange::Push => None,
            Exchange::Forced { up } => Some(Conclusion::success(Reason::Forced { up: *up })),
        }
    }

    /// Most octets of a reply that are looked at.
    fn receive_limit(&self) -> usize {
        match &self.exchange {
            Exchange::Connect { .. }
            | Exchange::Tls { .. }
            | Exchange::Program(_)
            | Exchange::File(_)
            | Exchange::Push
            | Exchange::Forced { .. } => 0,
            Exchange::Content(_) => tcp::RECEIVE_MAX_OCTETS,
            Exchange::Http(http) => http.receive_limit(),
            Exchange::Dns(_) => dns::RECEIVE_MAX_OCTETS,
            Exchange::Icmp => icmp::RECEIVE_MAX_OCTETS,
            Exchange::Agent(_) => agent::LINE_MAX_OCTETS,
        }
    }

    /// The verdict on what has been received, or `None` while it may still change (over a stream never when nothing can
    /// follow). Over a stream that is all octets so far, else one datagram.
    fn judge(&self, received: &[u8], ending: Ending, leg: Leg) -> Option<Conclusion> {
        let verdict = match &self.exchange {
            Exchange::Connect { .. }
            | Exchange::Tls { .. }
            | Exchange::Program(_)
            | Exchange::File(_)
            | Exchange::Push
            | Exchange::Forced { .. } => None,
            Exchange::Content(content) => content.judge(received, ending),
            Exchange::Http(http) => http.judge(received, ending),
            Exchange::Dns(dns) => dns.judge(received, ending, leg),
            Exchange::Icmp => icmp::judge(received, leg),
            Exchange::Agent(agent) => agent.judge(received, ending),
        };
        match (verdict, ending) {
            (Some(conclusion), _) => Some(conclusion),
            (None, Ending::Open) => None,
            (None, Ending::TimedOut) => Some(self.timed_out(Phase::Receive)),
            (None, Ending::Closed | Ending::Full) => Some(Conclusion::failure(Reason::NoReply)),
        }
    }

    /// Whether this datagram says that the conversation goes on over a stream.
    fn goes_on_over_stream(&self, datagram: &[u8], leg: Leg) -> bool {
        match &self.exchange {
            Exchange::Dns(dns) => dns.is_truncated(datagram, leg),
            Exchange::Connect { .. }
            | Exchange::Content(_)
            | Exchange::Http(_)
            | Exchange::Tls { .. }
            | Exchange::Icmp
            | Exchange::Agent(_)
            | Exchange::Program(_)
            | Exchange::File(_)
            | Exchange::Push
            | Exchange::Forced { .. } => false,
        }
    }

    /// The verdict when the budget is spent in this phase.
    fn timed_out(&self, phase: Phase) -> Conclusion {
        Conclusion::failure(Reason::Timeout { phase, budget: self.monitor.timeout })
    }

    /// A verdict for a monitor that cannot be carried out on this machine, known before anything is sent.
    pub(super) fn impediment(&self) -> Option<Conclusion> {
        let is_broken = match &self.exchange {
            Exchange::Content(content) => content.is_broken(),
            Exchange::Http(http) => http.is_broken(),
            Exchange::Connect { .. }
            | Exchange::Tls { .. }
            | Exchange::Dns(_)
            | Exchange::Icmp
            | Exchange::Agent(_)
            | Exchange::Program(_)
            | Exchange::File(_)
            | Exchange::Push
            | Exchange::Forced { .. } => false,
        };
        let broken = is_broken.then_some(Reason::Prober(ProberFault::Pattern));
        broken.or_else(|| self.tls()?.impediment()).map(Conclusion::failure)
    }
}
