//! `dns`: one query of class IN, and what its reply says (RFC 1035): response code and addresses.
//!
//! Sent without EDNS, recursion desired, so that authoritative servers and resolvers of any age answer. A reply counts if
//! identifier, operation code and question are the query's. Over UDP what does not count is passed over; over TCP it is a
//! failure. A truncated reply over UDP says that the query is to be repeated over TCP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::{Carrier, Conclusion, Ending, Leg};
use crate::config::model::{DnsProbe, DnsTransport};
use crate::health::reason::Reason;
use crate::wire::message::{
    Class, FLAG_QR, FLAG_RD, FLAG_TC, HEADER_OCTETS, Header, QUESTION_TAIL_OCTETS, Rcode, Rtype,
};
use crate::wire::name::Name;
use crate::wire::record::Record;

/// A message over TCP with its length before it (RFC 1035 §4.2.2); no message is longer.
pub(super) const RECEIVE_MAX_OCTETS: usize = 2 + 65_535;
/// The low four bits of the response code.
const RCODE_MASK: u16 = 0x000F;

/// The conversation of `dns`.
pub(super) struct Dns {
    pub(super) port: u16,
    transport: DnsTransport,
    qname: Name,
    qtype: Rtype,
    rcodes: Arc<[Rcode]>,
    addresses: Box<[IpAddr]>,
}

impl Dns {
    pub(super) fn new(probe: &DnsProbe) -> Dns {
        Dns {
            port: probe.port,
            transport: probe.transport,
            qname: probe.qname,
            qtype: probe.qtype,
            rcodes: probe.rcodes.as_slice().into(),
            addresses: probe.addresses.as_slice().into(),
        }
    }

    pub(super) fn carrier(&self) -> Carrier {
        match self.transport {
            DnsTransport::Udp => Carrier::Datagram,
            DnsTransport::Tcp => Carrier::Stream,
        }
    }

    pub(super) fn write_request(&self, leg: Leg, into: &mut Vec<u8>) {
        let octets = HEADER_OCTETS + self.qname.as_wire().len() + QUESTION_TAIL_OCTETS;
        if leg.carrier == Carrier::Stream {
            into.extend_from_slice(&(octets as u16).to_be_bytes());
        }
        let header = Header { id: id(leg), flags: FLAG_RD, qdcount: 1, ancount: 0, nscount: 0, arcount: 0 };
        into.extend_from_slice(&header.to_octets());
        into.extend_from_slice(self.qname.as_wire());
        into.extend_from_slice(&self.qtype.0.to_be_bytes());
        into.extend_from_slice(&Class::IN.0.to_be_bytes());
    }

    /// Over TCP the verdict on all octets so far, else on one datagram.
    pub(super) fn judge(&self, received: &[u8], ending: Ending, leg: Leg) -> Option<Conclusion> {
        if leg.carrier != Carrier::Stream {
            let (header, answers_at) = self.own_reply(received, leg)?;
            let is_truncated = header.flags & FLAG_TC != 0;
            return (!is_truncated).then(|| self.judge_reply(received, header, answers_at));
        }
        let whole = received.split_first_chunk().and_then(|(length, rest)| {
            let octets = usize::from(u16::from_be_bytes(*length));
            rest.get(..octets)
        });
        let Some(message) = whole else {
            let is_cut = ending == Ending::Closed && !received.is_empty();
            return is_cut.then(|| Conclusion::failure(Reason::DnsMalformed));
        };
        match self.own_reply(message, leg) {
            Some((header, answers_at)) => Some(self.judge_reply(message, header, answers_at)),
            None => Some(Conclusion::failure(Reason::DnsForeign)),
        }
    }

    /// Whether this datagram is a reply that has the query repeated over TCP.
    pub(super) fn is_truncated(&self, datagram: &[u8], leg: Leg) -> bool {
        self.own_reply(datagram, leg).is_some_and(|(header, _)| header.flags & FLAG_TC != 0)
    }

    /// The header of a reply to the query of this leg, and where its answers begin.
    fn own_reply(&self, message: &[u8], leg: Leg) -> Option<(Header, usize)> {
        let header = Header::read(message)?;
        if header.id != id(leg) || header.flags & FLAG_QR == 0 || header.opcode() != 0 {
            return None;
        }
        // Servers that could not read the question, or did not want to, may leave it out.
        if header.qdcount == 0 && rcode(header) != Rcode::NOERROR {
            return Some((header, HEADER_OCTETS));
        }
        let (qname, tail_at) = Name::read(message, HEADER_OCTETS).ok()?;
        let tail: &[u8; QUESTION_TAIL_OCTETS] = message.get(tail_at..)?.first_chunk()?;
        let [a, b] = self.qtype.0.to_be_bytes();
        let [c, d] = Class::IN.0.to_be_bytes();
        let is_own = header.qdcount == 1 && qname == self.qname && *tail == [a, b, c, d];
        is_own.then_some((header, tail_at + QUESTION_TAIL_OCTETS))
    }

    fn judge_reply(&self, message: &[u8], header: Header, answers_at: usize) -> Conclusion {
        let rcode = rcode(header);
        if !self.rcodes.contains(&rcode) {
            return Conclusion::failure(Reason::DnsRcode { rcode, expected: self.rcodes.clone() });
        }
        let mut missing = self.addresses.to_vec();
        let mut at = answers_at;
        for _ in 0..header.ancount {
            let Ok(record) = Record::read(message, at) else {
                return Conclusion::failure(Reason::DnsMalformed);
            };
            at = record.end;
            if let Some(address) = address(&record) {
                missing.retain(|expected| *expected != address);
            }
        }
        match missing.first() {
            Some(address) => Conclusion::failure(Reason::DnsLacks { address: *address }),
            None => Conclusion::success(Reason::DnsAnswered { rcode, answers: header.ancount }),
        }
    }
}

/// The identifier of a probe's query.
fn id(leg: Leg) -> u16 {
    leg.seed as u16
}

fn rcode(header: Header) -> Rcode {
    Rcode(header.flags & RCODE_MASK)
}

/// The address in an A or AAAA record.
fn address(record: &Record<'_>) -> Option<IpAddr> {
    match (record.class, record.rtype) {
        (Class::IN, Rtype::A) => <[u8; 4]>::try_from(record.rdata).ok().map(|a| Ipv4Addr::from(a).into()),
        (Class::IN, Rtype::AAAA) => <[u8; 16]>::try_from(record.rdata).ok().map(|a| Ipv6Addr::from(a).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::machine::Outcome;
    use proptest::prelude::*;

    const UDP: Leg = Leg { carrier: Carrier::Datagram, seed: 0xABCD_1234 };
    const TCP: Leg = Leg { carrier: Carrier::Stream, seed: 0xABCD_1234 };

    fn dns(rcodes: &[Rcode], addresses: &[&str]) -> Dns {
        Dns::new(&DnsProbe {
            port: 53,
            qname: Name::from_text("www.example.com").unwrap(),
            qtype: Rtype::A,
            transport: DnsTransport::Udp,
            rcodes: rcodes.to_vec(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        })
    }

    /// A reply with these flags and as many A records as there are addresses.
    fn reply(flags: u16, addresses: &[[u8; 4]]) -> Vec<u8> {
        let mut message = Vec::new();
        dns(&[], &[]).write_request(UDP, &mut message);
        message[2..4].copy_from_slice(&(FLAG_QR | flags).to_be_bytes());
        message[7] = addresses.len() as u8;
        for address in addresses {
            message.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04");
            message.extend_from_slice(address);
        }
        message
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        [&(message.len() as u16).to_be_bytes()[..], message].concat()
    }

    fn text(dns: &Dns, received: &[u8], ending: Ending, leg: Leg) -> String {
        dns.judge(received, ending, leg)
            .map_or_else(|| "waits".into(), |conclusion| conclusion.reason.to_string())
    }

    #[test]
    fn query_is_exact_and_framed_over_tcp() {
        let mut query = Vec::new();
        dns(&[], &[]).write_request(UDP, &mut query);
        let expected =
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01";
        assert_eq!(query, expected);
        let mut over_tcp = Vec::new();
        dns(&[], &[]).write_request(TCP, &mut over_tcp);
        assert_eq!(over_tcp, framed(&query));
    }

    #[test]
    fn rcode_and_addresses_decide() {
        let usual = dns(&[Rcode::NOERROR], &[]);
        let two = reply(0, &[[192, 0, 2, 1], [192, 0, 2, 2]]);
        assert_eq!(text(&usual, &two, Ending::Open, UDP), "NOERROR, 2 answers");
        assert_eq!(text(&usual, &reply(0, &[]), Ending::Open, UDP), "NOERROR, 0 answers");
        let refused = reply(5, &[]);
        assert_eq!(text(&usual, &refused, Ending::Open, UDP), "rcode REFUSED, expected NOERROR");
        let lenient = dns(&[Rcode::NOERROR, Rcode::REFUSED], &[]);
        assert_eq!(text(&lenient, &refused, Ending::Open, UDP), "REFUSED, 0 answers");
        let both = dns(&[Rcode::NOERROR], &["192.0.2.2", "192.0.2.1"]);
        assert_eq!(text(&both, &two, Ending::Open, UDP), "NOERROR, 2 answers");
        let third = dns(&[Rcode::NOERROR], &["192.0.2.2", "192.0.2.3"]);
        assert_eq!(text(&third, &two, Ending::Open, UDP), "answer lacks 192.0.2.3");
        assert_eq!(text(&usual, &two[..two.len() - 1], Ending::Open, UDP), "reply is no whole DNS message");
        let header_only = [&refused[..4], &[0; 8]].concat();
        assert_eq!(text(&usual, &header_only, Ending::Open, UDP), "rcode REFUSED, expected NOERROR");
    }

    #[test]
    fn only_the_reply_to_the_own_question_counts() {
        let usual = dns(&[Rcode::NOERROR], &[]);
        let good = reply(0, &[]);
        let question = HEADER_OCTETS..good.len();
        for at in [0, 1, 2, 5].into_iter().chain(question) {
            let mut other = good.clone();
            other[at] ^= if at == 2 { 0x80 } else { 1 };
            assert_eq!(text(&usual, &other, Ending::Open, UDP), "waits", "octet {at}");
            let over_tcp = text(&usual, &framed(&other), Ending::Open, TCP);
            assert_eq!(over_tcp, "reply to another question", "octet {at}");
        }
        let mut upper = good;
        upper[HEADER_OCTETS + 1] = b'W';
        assert_eq!(text(&usual, &upper, Ending::Open, UDP), "NOERROR, 0 answers");
        assert_eq!(text(&usual, b"", Ending::TimedOut, UDP), "waits");
    }

    #[test]
    fn truncated_reply_has_the_query_repeated_only_over_udp() {
        let usual = dns(&[Rcode::NOERROR], &[]);
        let truncated = reply(FLAG_TC, &[]);
        assert_eq!(text(&usual, &truncated, Ending::Open, UDP), "waits");
        assert!(usual.is_truncated(&truncated, UDP));
        assert!(!usual.is_truncated(&reply(0, &[]), UDP));
        let foreign = Leg { seed: 7, ..UDP };
        assert!(!usual.is_truncated(&truncated, foreign));
        assert_eq!(text(&usual, &framed(&truncated), Ending::Open, TCP), "NOERROR, 0 answers");
    }

    #[test]
    fn every_split_over_tcp_waits_for_the_whole_message() {
        let usual = dns(&[Rcode::NOERROR], &["192.0.2.1"]);
        let octets = framed(&reply(0, &[[192, 0, 2, 1]]));
        for end in 0..octets.len() {
            assert_eq!(text(&usual, &octets[..end], Ending::Open, TCP), "waits", "{end}");
            assert_eq!(text(&usual, &octets[..end], Ending::TimedOut, TCP), "waits", "{end}");
            let cut = if end == 0 { "waits" } else { "reply is no whole DNS message" };
            assert_eq!(text(&usual, &octets[..end], Ending::Closed, TCP), cut, "{end}");
        }
        assert_eq!(text(&usual, &octets, Ending::Open, TCP), "NOERROR, 1 answer");
        let more = [&octets[..], b"more"].concat();
        assert_eq!(text(&usual, &more, Ending::Open, TCP), "NOERROR, 1 answer");
    }

    proptest! {
        #[test]
        fn no_reply_makes_it_panic_and_success_needs_every_address(
            change in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let dns = dns(&[Rcode::NOERROR], &["192.0.2.1"]);
            let mut message = reply(0, &[[192, 0, 2, 1]]);
            for (at, octet) in change {
                let at = at.index(message.len());
                message[at] = octet;
            }
            message.truncate(cut.index(message.len() + 1));
            if let Some(conclusion) = dns.judge(&message, Ending::Open, UDP) {
                let has_address = message.windows(4).any(|octets| octets == [192, 0, 2, 1]);
                prop_assert!(conclusion.outcome == Outcome::Failure || has_address);
            }
        }
    }
}
