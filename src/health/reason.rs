//! Why an outcome is what it is: one variant a cause, rendered for logs, metrics and the admin API.
//!
//! Cheap to copy about: whatever text a variant needs is shared. It never decides anything.

/// Where this machine was asked.
mod local;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use local::Local;

use crate::config::model::DNS_RCODES;
use crate::wire::message::Rcode;

/// The part of a peer's text that is shown.
const PEER_TEXT_MAX_CHARS: usize = 80;

/// Why an outcome is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The connection opened, and that was all that was asked.
    Connected,
    /// The octets to send were taken, and no answer was asked for.
    Sent,
    /// The reply matches the monitor's pattern.
    Matched {
        /// The pattern as configured.
        pattern: Arc<str>,
    },
    /// An expected HTTP status.
    Status {
        /// The status code.
        status: u16,
    },
    /// A TLS handshake was all that was asked.
    Handshake {
        /// Whole days until the certificate expires, where it was looked at.
        days_left: Option<i64>,
    },
    /// An expected DNS reply.
    DnsAnswered {
        /// The response code.
        rcode: Rcode,
        /// Records in its answer section.
        answers: u16,
    },
    /// The echo request was answered.
    Echoed,
    /// An agent's line: a success or a failure, as it says.
    AgentSays {
        /// The line, fit to be shown.
        line: Arc<str>,
    },
    /// No probe: the verdict is configured.
    Forced {
        /// The verdict.
        up: bool,
    },
    /// This machine was asked.
    Local(Local),
    /// Nothing was found out: the configuration makes another verdict of what is known.
    Reloaded,
    /// Several monitors, and the one that decides.
    Several {
        /// Those that are UP.
        up: u8,
        /// All of them.
        total: u8,
        /// Those that must be.
        needed: u8,
        /// The name of the one that decides.
        monitor: Arc<str>,
        /// Why it is what it is.
        reason: Arc<Reason>,
    },
    /// The connection did not open.
    Connect(ConnectFault),
    /// The budget was spent.
    Timeout {
        /// What was under way.
        phase: Phase,
        /// The budget.
        budget: Duration,
    },
    /// Another HTTP status than expected.
    UnexpectedStatus {
        /// The status code.
        status: u16,
        /// The inclusive ranges expected.
        expected: Arc<[(u16, u16)]>,
    },
    /// The reply does not begin with a status line of HTTP/1.
    NotHttp,
    /// The connection ended first.
    NoStatusLine,
    /// The reply went on without a final status line.
    HeadTooLong {
        /// How much was read.
        limit_octets: usize,
    },
    /// The reply ended, or reached its limit, without a match.
    NoMatch {
        /// The pattern as configured.
        pattern: Arc<str>,
    },
    /// Something was received until the budget was spent, but no match.
    NoMatchInTime {
        /// The pattern as configured.
        pattern: Arc<str>,
        /// The budget.
        budget: Duration,
    },
    /// The connection ended without a single octet.
    NoReply,
    /// The header fields of an HTTP reply are malformed, or too many.
    HttpFields,
    /// The connection ended inside the header fields of an HTTP reply.
    HttpFieldsCut,
    /// The connection ended inside the body of an HTTP reply.
    HttpBodyCut,
    /// The body of an HTTP reply is coded in a way that is not read.
    HttpBodyCoding {
        /// Its transfer coding, fit to be shown.
        coding: Arc<str>,
    },
    /// The chunks of an HTTP reply's body are malformed.
    HttpChunks,
    /// The octets around the chunks of an HTTP reply's body outgrow the body.
    HttpBodyFrames {
        /// How much was read.
        limit_octets: usize,
    },
    /// Another DNS response code than expected.
    DnsRcode {
        /// The response code.
        rcode: Rcode,
        /// Those expected.
        expected: Arc<[Rcode]>,
    },
    /// An expected address is not in the answer.
    DnsLacks {
        /// The first that is not.
        address: IpAddr,
    },
    /// What came is cut short or no DNS message.
    DnsMalformed,
    /// Over TCP, a message that does not answer the query.
    DnsForeign,
    /// A datagram did not reach its target, as the network says.
    Undelivered(ConnectFault),
    /// No word of an agent's line is known.
    AgentUnknown {
        /// The line, fit to be shown.
        line: Arc<str>,
    },
    /// An agent's line does not end.
    AgentEndless {
        /// How much was read.
        limit_octets: usize,
    },
    /// The certificate expires too soon, or has.
    CertificateExpires {
        /// Whole days left; negative once expired.
        days_left: i64,
        /// How many there should be.
        least_days: u16,
    },
    /// The certificate is none of the pinned ones.
    CertificatePin {
        /// Its SHA-256, in hexadecimal.
        sha256: Arc<str>,
    },
    /// The peer's certificate was refused.
    TlsCertificate(Arc<str>),
    /// TLS failed otherwise.
    Tls(Arc<str>),
    /// The connection ended in the handshake.
    TlsClosed,
    /// The probe could not be made for a reason of this machine's own.
    Prober(ProberFault),
}

/// Why a connection did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectFault {
    /// Nothing listens there.
    Refused,
    /// No way there, or a router says so.
    NoRoute,
    /// The peer reset it.
    Reset,
    /// The kernel gave up before the budget was spent.
    TimedOut,
    /// A local rule forbids it.
    Forbidden,
    /// Another error of the operating system, by number.
    Other(i32),
}

/// What a probe was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for the connection to open.
    Connect,
    /// In the TLS handshake.
    TlsHandshake,
    /// Waiting for the peer to take our octets.
    Send,
    /// Waiting for the peer's octets.
    Receive,
    /// A program runs.
    Run,
}

/// What this machine lacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProberFault {
    /// File descriptors (`RLIMIT_NOFILE`, or the system's).
    Descriptors,
    /// Local ports or addresses.
    Ports,
    /// Memory for sockets.
    Buffers,
    /// The address family.
    Family,
    /// Usable trusted roots, for `verify: true`.
    Roots(Arc<str>),
    /// A pattern that compiles; the configuration lets none other pass.
    Pattern,
    /// The right to send ICMP echo requests.
    Icmp,
    /// Room for another program, for as long as it was waited for.
    Programs,
    /// Another error of the operating system, by number.
    Other(i32),
}

// Numbers of Linux on the architectures steerd is built for: the standard library gives these no `ErrorKind`.
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const EAFNOSUPPORT: i32 = 97;
const EADDRINUSE: i32 = 98;
const EADDRNOTAVAIL: i32 = 99;
const ENOBUFS: i32 = 105;

impl Reason {
    /// The cause of an error while a connection opens: the member's, or this machine's own.
    pub(super) fn of_connect_error(error: &io::Error) -> Reason {
        let number = error.raw_os_error().unwrap_or(0);
        match number {
            ENFILE | EMFILE => return Reason::Prober(ProberFault::Descriptors),
            EAGAIN | EADDRINUSE | EADDRNOTAVAIL => return Reason::Prober(ProberFault::Ports),
            ENOMEM | ENOBUFS => return Reason::Prober(ProberFault::Buffers),
            EAFNOSUPPORT => return Reason::Prober(ProberFault::Family),
            _ => {}
        }
        Reason::Connect(match error.kind() {
            io::ErrorKind::ConnectionRefused => ConnectFault::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ConnectFault::NoRoute,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => ConnectFault::Reset,
            io::ErrorKind::TimedOut => ConnectFault::TimedOut,
            io::ErrorKind::PermissionDenied => ConnectFault::Forbidden,
            _ => ConnectFault::Other(number),
        })
    }

    /// The cause of an error while a datagram is sent or waited for.
    pub(super) fn of_datagram_error(error: &io::Error) -> Reason {
        match Reason::of_connect_error(error) {
            Reason::Connect(fault) => Reason::Undelivered(fault),
            other => other,
        }
    }

    /// The cause of an error where it is that this machine has run out of something.
    pub(super) fn of_local_shortage(error: &io::Error) -> Option<Reason> {
        match error.raw_os_error() {
            Some(EMFILE | ENFILE) => Some(Reason::Prober(ProberFault::Descriptors)),
            Some(number @ (EAGAIN | ENOMEM)) => Some(Reason::Prober(ProberFault::Other(number))),
            _ => None,
        }
    }

    /// The cause of an error that is this machine's own, whatever it is.
    pub(super) fn of_local_error(error: &io::Error) -> Reason {
        match Reason::of_connect_error(error) {
            local @ Reason::Prober(_) => local,
            _ => Reason::Prober(ProberFault::Other(error.raw_os_error().unwrap_or(0))),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Connected => f.write_str("connected"),
            Reason::Sent => f.write_str("connected and sent"),
            Reason::Matched { pattern } => write!(f, "reply matches `{pattern}`"),
            Reason::Status { status } => write!(f, "status {status}"),
            Reason::Handshake { days_left: None } => f.write_str("TLS handshake done"),
            Reason::Handshake { days_left: Some(days) } => {
                write!(f, "TLS handshake done, certificate has {days} {} left", plural(*days, "day", "days"))
            }
            Reason::DnsAnswered { rcode, answers } => {
                let noun = plural(i64::from(*answers), "answer", "answers");
                write!(f, "{}, {answers} {noun}", RcodeWord(*rcode))
            }
            Reason::Echoed => f.write_str("echo reply"),
            Reason::AgentSays { line } => write!(f, "agent: {line}"),
            Reason::Forced { up } => write!(f, "forced {}", if *up { "up" } else { "down" }),
            Reason::Local(local) => write!(f, "{local}"),
            Reason::Reloaded => f.write_str("the configuration is another"),
            Reason::Several { up, total, needed, monitor, reason } => {
                write!(f, "{up} of {total} monitors up, {needed} needed: {monitor} \"{reason}\"")
            }
            Reason::Connect(fault) => write!(f, "connect: {fault}"),
            Reason::Timeout { phase, budget } => {
                write!(f, "timeout after {} ms in {phase}", budget.as_millis())
            }
            Reason::UnexpectedStatus { status, expected } => {
                write!(f, "status {status}, expected ")?;
                fmt_ranges(f, expected)
            }
            Reason::NotHttp => f.write_str("reply is not HTTP/1"),
            Reason::NoStatusLine => f.write_str("connection closed before a status line"),
            Reason::HeadTooLong { limit_octets } => {
                write!(f, "no final status line in {limit_octets} octets")
            }
            Reason::NoMatch { pattern } => write!(f, "reply does not match `{pattern}`"),
            Reason::NoMatchInTime { pattern, budget } => {
                write!(f, "reply does not match `{pattern}` within {} ms", budget.as_millis())
            }
            Reason::NoReply => f.write_str("connection closed without a reply"),
            Reason::HttpFields => f.write_str("header fields of the reply are malformed or too long"),
            Reason::HttpFieldsCut => f.write_str("connection closed within the header fields"),
            Reason::HttpBodyCut => f.write_str("connection closed within the body"),
            Reason::HttpBodyCoding { coding } => write!(f, "body is coded as `{coding}`, which is not read"),
            Reason::HttpChunks => f.write_str("chunks of the body are malformed"),
            Reason::HttpBodyFrames { limit_octets } => {
                write!(f, "chunks of the body are too small: no end in {limit_octets} octets")
            }
            Reason::DnsRcode { rcode, expected } => {
                write!(f, "rcode {}, expected ", RcodeWord(*rcode))?;
                fmt_list(f, expected.iter().map(|rcode| RcodeWord(*rcode)))
            }
            Reason::DnsLacks { address } => write!(f, "answer lacks {address}"),
            Reason::DnsMalformed => f.write_str("reply is no whole DNS message"),
            Reason::DnsForeign => f.write_str("reply to another question"),
            // What a closed UDP port has its host say (RFC 792): the probe was waiting for a reply then.
            Reason::Undelivered(ConnectFault::Refused) => f.write_str("receive: port unreachable"),
            Reason::Undelivered(fault) => write!(f, "receive: {fault}"),
            Reason::AgentUnknown { line } => write!(f, "agent: not understood: `{line}`"),
            Reason::AgentEndless { limit_octets } => write!(f, "agent: no line end in {limit_octets} octets"),
            Reason::CertificateExpires { days_left, .. } if *days_left < 0 => {
                write!(f, "tls: certificate expired {} {} ago", -days_left, plural(-days_left, "day", "days"))
            }
            Reason::CertificateExpires { days_left, least_days } => {
                let noun = plural(*days_left, "day", "days");
                write!(f, "tls: certificate has {days_left} {noun} left, at least {least_days} expected")
            }
            Reason::CertificatePin { sha256 } => {
                write!(f, "tls: certificate fits no pin: its sha256 is {sha256}")
            }
            Reason::TlsCertificate(what) => write!(f, "tls: certificate {what}"),
            Reason::Tls(what) => write!(f, "tls: {what}"),
            Reason::TlsClosed => f.write_str("tls: connection closed in the handshake"),
            Reason::Prober(fault) => write!(f, "prober: {fault}"),
        }
    }
}

/// Items with commas between them.
fn fmt_list(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item = impl fmt::Display>) -> fmt::Result {
    for (index, item) in items.enumerate() {
        write!(f, "{}{item}", if index > 0 { ", " } else { "" })?;
    }
    Ok(())
}

/// Inclusive ranges as an operator writes them: `200, 300-399`.
fn fmt_ranges(f: &mut fmt::Formatter<'_>, ranges: &[(u16, u16)]) -> fmt::Result {
    for (index, (low, high)) in ranges.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        if low == high {
            write!(f, "{low}")?;
        } else {
            write!(f, "{low}-{high}")?;
        }
    }
    Ok(())
}

impl fmt::Display for ConnectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectFault::Refused => f.write_str("refused"),
            ConnectFault::NoRoute => f.write_str("no route"),
            ConnectFault::Reset => f.write_str("reset"),
            ConnectFault::TimedOut => f.write_str("timed out"),
            ConnectFault::Forbidden => f.write_str("not permitted"),
            ConnectFault::Other(number) => fmt_os_error(f, *number),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Connect => "connect",
            Phase::TlsHandshake => "TLS handshake",
            Phase::Send => "send",
            Phase::Receive => "receive",
            Phase::Run => "run",
        })
    }
}

impl fmt::Display for ProberFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProberFault::Descriptors => f.write_str("out of file descriptors"),
            ProberFault::Ports => f.write_str("no local address or port"),
            ProberFault::Buffers => f.write_str("out of socket memory"),
            ProberFault::Family => f.write_str("address family not supported"),
            ProberFault::Roots(what) => write!(f, "no trusted roots: {what}"),
            ProberFault::Pattern => f.write_str("match_re does not compile"),
            ProberFault::Icmp => f.write_str(
                "ICMP is not permitted: put the group of this process into net.ipv4.ping_group_range (sysctl), or give it \
                 CAP_NET_RAW",
            ),
            ProberFault::Programs => f.write_str(
                "as many programs run as may (server.exec_processes), and none ended within an interval",
            ),
            ProberFault::Other(number) => fmt_os_error(f, *number),
        }
    }
}

/// A response code as operators know it (RFC 6895 §2.3).
struct RcodeWord(Rcode);

impl fmt::Display for RcodeWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DNS_RCODES.iter().find(|(_, rcode)| *rcode == self.0) {
            Some((word, _)) => f.write_str(word),
            None => write!(f, "{}", self.0.0),
        }
    }
}

fn plural(count: i64, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// Octets of a peer as text that is fit for a log: clipped, control characters escaped.
pub(super) fn peer_text(octets: &[u8]) -> Arc<str> {
    let mut text = String::new();
    for c in String::from_utf8_lossy(octets).chars().take(PEER_TEXT_MAX_CHARS) {
        match c {
            c if c.is_control() => text.extend(c.escape_default()),
            c => text.push(c),
        }
    }
    text.into()
}

/// The operating system's words for an error number.
fn fmt_os_error(f: &mut fmt::Formatter<'_>, number: i32) -> fmt::Result {
    write!(f, "{}", io::Error::from_raw_os_error(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_read_as_an_operator_expects() {
        let budget = Duration::from_secs(1);
        for (reason, text) in [
            (Reason::Connect(ConnectFault::Refused), "connect: refused"),
            (Reason::Connect(ConnectFault::NoRoute), "connect: no route"),
            (Reason::Timeout { phase: Phase::Connect, budget }, "timeout after 1000 ms in connect"),
            (
                Reason::Timeout { phase: Phase::TlsHandshake, budget },
                "timeout after 1000 ms in TLS handshake",
            ),
            (
                Reason::UnexpectedStatus { status: 503, expected: [(200, 200)].into() },
                "status 503, expected 200",
            ),
            (
                Reason::UnexpectedStatus { status: 503, expected: [(200, 204), (301, 301)].into() },
                "status 503, expected 200-204, 301",
            ),
            (Reason::NoMatch { pattern: "^ok".into() }, "reply does not match `^ok`"),
            (Reason::NoStatusLine, "connection closed before a status line"),
            (Reason::TlsCertificate("expired".into()), "tls: certificate expired"),
            (Reason::Prober(ProberFault::Descriptors), "prober: out of file descriptors"),
        ] {
            assert_eq!(reason.to_string(), text);
        }
    }

    #[test]
    fn lack_of_descriptors_ports_and_buffers_is_the_probers_fault() {
        for number in [EMFILE, ENFILE, EADDRNOTAVAIL, ENOBUFS, ENOMEM, EAFNOSUPPORT] {
            let reason = Reason::of_connect_error(&io::Error::from_raw_os_error(number));
            assert!(matches!(reason, Reason::Prober(_)), "{reason}");
        }
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(Reason::of_connect_error(&refused), Reason::Connect(ConnectFault::Refused));
        assert!(matches!(Reason::of_local_error(&refused), Reason::Prober(ProberFault::Other(_))));
    }
}
