//! What one probe says and what it waits for, one file a monitor.
//!
//! A `Script` is the pure part: the octets to send and the judgement of the octets received so far. A
//! `Flight` is the connection that carries it. A script knows no sockets, a flight no HTTP; another
//! monitor over TCP or TLS is another file with a request and a judgement.
//!
//! # Bounds
//! What is received is bounded by `Script::receive_limit`; it never grows with what a target sends.

/// The connection that carries a script: connect, handshake, send, receive.
pub(super) mod flight;
/// The judge of HTTP replies, opened to the fuzzer.
#[cfg(fuzzing)]
pub mod fuzzing;
/// HTTP/1.1 request and status line.
mod http;
/// `tcp_content`: octets sent, a pattern searched in the reply.
mod tcp;
/// Client configuration and certificate verification.
pub(super) mod tls;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::config::model::{Monitor, Probe};
use crate::health::machine::{Advice, Outcome};
use crate::health::reason::{Phase, ProberFault, Reason};

/// What a probe came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conclusion {
    /// For the state machine.
    pub(super) outcome: Outcome,
    /// For people.
    pub(super) reason: Reason,
    /// What the target said of itself; `None`: nothing.
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
    /// A request and a status line, perhaps inside TLS.
    Http(http::Http),
    /// Nothing at all.
    Forced { up: bool },
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

    /// The verdict that is given without a probe.
    pub(super) fn forced(&self) -> Option<bool> {
        match self.exchange {
            Exchange::Forced { up } => Some(up),
            Exchange::Connect { .. } | Exchange::Content(_) | Exchange::Http(_) => None,
        }
    }

    /// Where a member of this address is probed.
    fn endpoint(&self, address: IpAddr) -> SocketAddr {
        let port = match &self.exchange {
            Exchange::Connect { port } => *port,
            Exchange::Content(content) => content.port,
            Exchange::Http(http) => http.port,
            // Never probed.
            Exchange::Forced { .. } => 0,
        };
        SocketAddr::new(address, port)
    }

    /// The TLS part, if the conversation is inside TLS.
    fn tls(&self) -> Option<&tls::Tls> {
        match &self.exchange {
            Exchange::Http(http) => http.tls.as_ref(),
            Exchange::Connect { .. } | Exchange::Content(_) | Exchange::Forced { .. } => None,
        }
    }

    /// Appends the octets to send to a member of this address.
    fn write_request(&self, address: IpAddr, into: &mut Vec<u8>) {
        match &self.exchange {
            Exchange::Connect { .. } | Exchange::Forced { .. } => {}
            Exchange::Content(content) => into.extend_from_slice(&content.send),
            Exchange::Http(http) => http.write_request(address, into),
        }
    }

    /// The verdict that needs no reply, once everything has been sent.
    fn judge_sent(&self) -> Option<Conclusion> {
        match &self.exchange {
            Exchange::Connect { .. } => Some(Conclusion::success(Reason::Connected)),
            Exchange::Content(content) => content.judge_sent(),
            Exchange::Http(_) => None,
            Exchange::Forced { up } => Some(Conclusion::success(Reason::Forced { up: *up })),
        }
    }

    /// Most octets of a reply that are looked at.
    fn receive_limit(&self) -> usize {
        match &self.exchange {
            Exchange::Connect { .. } | Exchange::Forced { .. } => 0,
            Exchange::Content(_) => tcp::RECEIVE_MAX_OCTETS,
            Exchange::Http(_) => http::HEAD_MAX_OCTETS,
        }
    }

    /// The verdict on what has been received, or `None` while it may still change (never when nothing can follow).
    fn judge(&self, received: &[u8], ending: Ending) -> Option<Conclusion> {
        let verdict = match &self.exchange {
            Exchange::Connect { .. } | Exchange::Forced { .. } => None,
            Exchange::Content(content) => content.judge(received, ending),
            Exchange::Http(http) => http.judge(received, ending),
        };
        match (verdict, ending) {
            (Some(conclusion), _) => Some(conclusion),
            (None, Ending::Open) => None,
            (None, Ending::TimedOut) => Some(self.timed_out(Phase::Receive)),
            (None, Ending::Closed | Ending::Full) => Some(Conclusion::failure(Reason::NoReply)),
        }
    }

    /// The verdict when the budget is spent in this phase.
    fn timed_out(&self, phase: Phase) -> Conclusion {
        Conclusion::failure(Reason::Timeout { phase, budget: self.monitor.timeout })
    }

    /// A verdict for a monitor that cannot be carried out on this machine, known before anything is sent.
    pub(super) fn impediment(&self) -> Option<Conclusion> {
        match &self.exchange {
            Exchange::Content(content) => {
                content.is_broken().then(|| Conclusion::failure(Reason::Prober(ProberFault::Pattern)))
            }
            Exchange::Http(http) => http.tls.as_ref()?.impediment().map(Conclusion::failure),
            Exchange::Connect { .. } | Exchange::Forced { .. } => None,
        }
    }
}
