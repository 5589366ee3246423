//! The judges of replies, opened to the fuzzer only.

use std::sync::Arc;
use std::time::Duration;

use super::{Carrier, Ending, Leg, Script};
use crate::config::model::{Discipline, DnsProbe, DnsTransport, HttpProbe, Monitor, Probe, Sources};
use crate::health::advice::Advice;
use crate::health::machine::Outcome;
use crate::health::reason::Reason;
use crate::wire::message::{Rcode, Rtype};
use crate::wire::name::Name;

/// What may follow the octets judged.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    /// More of them.
    More,
    /// The connection's end.
    Close,
    /// Nothing that is looked at: the limit is reached.
    Limit,
    /// The budget's end.
    Timeout,
}

/// A verdict: what it is, why, and what a target says of itself.
pub type Verdict = (Outcome, Reason, Option<Advice>);

/// A monitor that judges replies.
pub struct Judge {
    script: Script,
    leg: Leg,
}

impl Judge {
    fn new(probe: Probe, carrier: Carrier, seed: u64) -> Judge {
        let second = Duration::from_secs(1);
        let source = Sources::default();
        let discipline = Discipline::default();
        let monitor =
            Monitor { probe, interval: second, timeout: second, retries: 0, rise: 1, source, discipline };
        Judge { script: Script::new(&Arc::new(monitor)), leg: Leg { carrier, seed } }
    }

    /// One that expects these codes, inclusive ranges, and perhaps this in the first octets of the body.
    pub fn http(expected_codes: &[(u16, u16)], match_re: Option<(&str, u32)>) -> Judge {
        let probe = Probe::Http(HttpProbe {
            port: 80,
            tls: None,
            method: "GET".into(),
            path: "/".into(),
            host: None,
            expected_codes: expected_codes.to_vec(),
            headers: Vec::new(),
            body: None,
            match_re: match_re.map(|(pattern, _)| pattern.into()),
            match_limit: match_re.map_or(1, |(_, limit)| limit),
        });
        Judge::new(probe, Carrier::Stream, 0)
    }

    /// One that asks for addresses of this name with this identifier, and expects NOERROR and these addresses.
    pub fn dns(qname: Name, id: u16, addresses: &[std::net::IpAddr], is_stream: bool) -> Judge {
        let probe = Probe::Dns(DnsProbe {
            port: 53,
            qname,
            qtype: Rtype::A,
            transport: if is_stream { DnsTransport::Tcp } else { DnsTransport::Udp },
            rcodes: vec![Rcode::NOERROR],
            addresses: addresses.to_vec(),
        });
        Judge::new(probe, if is_stream { Carrier::Stream } else { Carrier::Datagram }, id.into())
    }

    /// One that reads a line.
    pub fn agent() -> Judge {
        Judge::new(Probe::Agent { port: 1, send: Vec::new() }, Carrier::Stream, 0)
    }

    /// One that looks for the reply to an echo request; on a raw socket, or on one of datagrams.
    pub fn icmp(seed: u64, is_raw: bool) -> Judge {
        Judge::new(Probe::Icmp, if is_raw { Carrier::RawEcho } else { Carrier::Echo }, seed)
    }

    /// The octets that it sends.
    pub fn request(&self) -> Vec<u8> {
        let mut octets = Vec::new();
        self.script.write_request(std::net::Ipv4Addr::LOCALHOST.into(), self.leg, &mut octets);
        octets
    }

    /// Most octets that it looks at.
    pub fn receive_limit(&self) -> usize {
        self.script.receive_limit()
    }

    /// The verdict, or `None` while it may still change.
    pub fn judge(&self, received: &[u8], then: Then) -> Option<Verdict> {
        let ending = match then {
            Then::More => Ending::Open,
            Then::Close => Ending::Closed,
            Then::Limit => Ending::Full,
            Then::Timeout => Ending::TimedOut,
        };
        let conclusion = self.script.judge(received, ending, self.leg)?;
        Some((conclusion.outcome, conclusion.reason, conclusion.advice))
    }
}
