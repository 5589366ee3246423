//! Parts of a monitor that several probes share, or that need a type of their own.
//!
//! Values only, as validated; nothing here reads a file or opens a socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Probe;
use crate::wire::message::{Rcode, Rtype};
use crate::wire::name::Name;

/// Addresses that probes are sent from, one a family; the kernel chooses where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sources {
    /// For IPv4 targets.
    pub v4: Option<Ipv4Addr>,
    /// For IPv6 targets.
    pub v6: Option<Ipv6Addr>,
}

impl Sources {
    /// The one for this target.
    pub fn toward(self, target: IpAddr) -> Option<IpAddr> {
        match target {
            IpAddr::V4(_) => self.v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.v6.map(IpAddr::V6),
        }
    }

    /// Whether the kernel chooses for both families.
    pub fn is_empty(self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }
}

impl Probe {
    /// Its monitor's word in configurations.
    pub fn kind(&self) -> &'static str {
        match self {
            Probe::Tcp { .. } => "tcp",
            Probe::TcpContent { .. } => "tcp_content",
            Probe::Http(http) if http.tls.is_some() => "https",
            Probe::Http(_) => "http",
            Probe::Tls { .. } => "tls",
            Probe::Dns(_) => "dns",
            Probe::Icmp => "icmp",
            Probe::Agent { .. } => "agent",
            Probe::Exec { .. } => "exec",
            Probe::File { .. } => "file",
            Probe::Push { .. } => "push",
            Probe::Forced { .. } => "forced",
        }
    }
}

/// The request of an `http` or `https` monitor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpProbe {
    /// Port, 1..=65535 (default 80, with TLS 443).
    pub port: u16,
    /// `Some`: inside TLS.
    pub tls: Option<TlsProbe>,
    /// Request method, a token of RFC 9110 §5.6.2 (default GET).
    pub method: String,
    /// Request target, sent byte for byte; begins with `/`.
    pub path: String,
    /// The Host field's value; `None`: the member's address (never with a port, as in polaris-gslb).
    pub host: Option<String>,
    /// Status codes that mean success: 1..=8 inclusive ranges inside 100..=599.
    pub expected_codes: Vec<(u16, u16)>,
    /// Further header fields in the order they are sent; at most 16. None of them frames the message or names the host.
    pub headers: Vec<(String, String)>,
    /// Content of the request, at most 4096 octets.
    pub body: Option<Vec<u8>>,
    /// Pattern searched in the reply's body as in [`super::Probe::TcpContent`]; `None`: the status suffices.
    pub match_re: Option<String>,
    /// Octets of the body that are searched, 1..=65536.
    pub match_limit: u32,
}

/// The TLS part of a `tls` or `https` monitor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TlsProbe {
    /// Whether the certificate chain and name must verify against the machine's own roots (off by default, as in the seed).
    pub verify: bool,
    /// Server name indication and name to verify; `None`: none is sent, and the member's address is verified.
    pub server_name: Option<String>,
    /// Days that the server's certificate must still be valid, 0..=3650.
    pub min_days_left: Option<u16>,
    /// SHA-256 of the certificate or of its public key (SubjectPublicKeyInfo), one of which must fit; at most 8. Empty: any.
    pub pins: Vec<[u8; 32]>,
}

/// Response codes by the names of the registry (RFC 6895 §2.3) that fit a message without EDNS.
pub const DNS_RCODES: &[(&str, Rcode)] = &[
    ("NOERROR", Rcode(0)),
    ("FORMERR", Rcode(1)),
    ("SERVFAIL", Rcode(2)),
    ("NXDOMAIN", Rcode(3)),
    ("NOTIMP", Rcode(4)),
    ("REFUSED", Rcode(5)),
    ("YXDOMAIN", Rcode(6)),
    ("YXRRSET", Rcode(7)),
    ("NXRRSET", Rcode(8)),
    ("NOTAUTH", Rcode(9)),
    ("NOTZONE", Rcode(10)),
];

/// The query of a `dns` monitor, and what its reply must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsProbe {
    /// Port, 1..=65535 (default 53).
    pub port: u16,
    /// The name asked for, in class IN.
    pub qname: Name,
    /// The type asked for (default A).
    pub qtype: Rtype,
    /// What carries the query.
    pub transport: DnsTransport,
    /// Response codes that mean success, 1..=8; without EDNS, so 0..=15.
    pub rcodes: Vec<Rcode>,
    /// Addresses that must all be in the answer section, at most 16.
    pub addresses: Vec<IpAddr>,
}

/// What carries the query of a `dns` monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DnsTransport {
    /// UDP; a truncated reply has the query repeated over TCP.
    Udp,
    /// TCP at once.
    Tcp,
}

impl std::hash::Hash for DnsProbe {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let DnsProbe { port, qname, qtype, transport, rcodes, addresses } = self;
        // Names are equal whatever their case.
        qname.to_lowercase().as_wire().hash(state);
        (port, qtype, transport, rcodes, addresses).hash(state);
    }
}
