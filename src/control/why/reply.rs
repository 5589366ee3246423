//! What a reply says, as it stands in its octets. Asks nobody how it came about.

use std::fmt::Write;
use std::net::IpAddr;

use super::query::TypeName;
use crate::wire::edns::{OPTION_CLIENT_SUBNET, OPTION_EXTENDED_ERROR};
use crate::wire::error::WireError;
use crate::wire::message::{FLAG_AA, FLAG_TC, HEADER_OCTETS, Header, QUESTION_TAIL_OCTETS, Rtype};
use crate::wire::name::{self, Name};
use crate::wire::record::Record;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyText {
    /// Its octets.
    pub octets: usize,
    /// The response code by its name, or its number.
    pub rcode: String,
    /// Whether it is authoritative.
    pub is_authoritative: bool,
    /// Whether it did not fit.
    pub is_truncated: bool,
    /// For how many bits of the client's address it holds, where a client subnet was sent.
    pub scope_len: Option<u8>,
    /// The extended error with its text (RFC 8914).
    pub extended: Option<(u16, String)>,
    /// By section: answer, authority, additional without OPT.
    pub sections: [Vec<RecordText>; 3],
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordText {
    /// Its owner.
    pub owner: String,
    /// In seconds.
    pub ttl_secs: u32,
    /// Its type.
    pub rtype: String,
    /// Its data in text form.
    pub data: String,
    /// The address, of one that is such.
    pub address: Option<IpAddr>,
}

/// Reads a reply with one question; `None`: it is none.
pub(super) fn decode(message: &[u8]) -> Option<ReplyText> {
    read(message).ok()
}

fn read(message: &[u8]) -> Result<ReplyText, WireError> {
    let header = Header::read(message).ok_or(WireError::Truncated)?;
    let mut at = HEADER_OCTETS;
    for _ in 0..header.qdcount {
        at = name::skip(message, at)? + QUESTION_TAIL_OCTETS;
    }
    let mut rcode = header.flags & 0xf;
    let mut reply = ReplyText {
        octets: message.len(),
        rcode: String::new(),
        is_authoritative: header.flags & FLAG_AA != 0,
        is_truncated: header.flags & FLAG_TC != 0,
        scope_len: None,
        extended: None,
        sections: Default::default(),
    };
    for (section, count) in [header.ancount, header.nscount, header.arcount].into_iter().enumerate() {
        for _ in 0..count {
            let record = Record::read(message, at)?;
            if record.rtype == Rtype::OPT {
                rcode |= ((record.ttl >> 24) as u16) << 4;
                read_options(record.rdata, &mut reply);
            } else {
                reply.sections[section].push(record_text(message, at, &record)?);
            }
            at = record.end;
        }
    }
    reply.rcode = match rcode {
        0 => "NOERROR".into(),
        1 => "FORMERR".into(),
        2 => "SERVFAIL".into(),
        3 => "NXDOMAIN".into(),
        4 => "NOTIMP".into(),
        5 => "REFUSED".into(),
        6 => "YXDOMAIN".into(),
        16 => "BADVERS".into(),
        23 => "BADCOOKIE".into(),
        other => other.to_string(),
    };
    Ok(reply)
}

fn read_options(mut options: &[u8], reply: &mut ReplyText) {
    while let Some((&[code_high, code_low, high, low], rest)) = options.split_first_chunk() {
        let Some((data, behind)) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low]))) else {
            return;
        };
        options = behind;
        match (u16::from_be_bytes([code_high, code_low]), data) {
            (OPTION_CLIENT_SUBNET, [_, _, _, scope_len, ..]) => reply.scope_len = Some(*scope_len),
            (OPTION_EXTENDED_ERROR, [high, low, text @ ..]) => {
                let code = u16::from_be_bytes([*high, *low]);
                reply.extended = Some((code, extended_text(code, text)));
            }
            _ => {}
        }
    }
}

/// What comes with an extended error, else its name in the registry of RFC 8914 §5.2.
fn extended_text(code: u16, text: &[u8]) -> String {
    match (text, code) {
        ([], 20) => "not authoritative".into(),
        (text, _) => String::from_utf8_lossy(text).into_owned(),
    }
}

fn record_text(message: &[u8], at: usize, record: &Record<'_>) -> Result<RecordText, WireError> {
    let rdata_at = record.end - record.rdata.len();
    let name_at = |at: usize| Name::read(message, at);
    let mut address = None;
    let data = match (record.rtype, record.rdata) {
        (Rtype::A, &[a, b, c, d]) => {
            address = Some(IpAddr::from([a, b, c, d]));
            IpAddr::from([a, b, c, d]).to_string()
        }
        (Rtype::AAAA, rdata) if rdata.len() == 16 => {
            let octets: [u8; 16] = rdata.try_into().map_err(|_| WireError::Truncated)?;
            address = Some(IpAddr::from(octets));
            IpAddr::from(octets).to_string()
        }
        (Rtype::NS | Rtype::CNAME | Rtype::DNAME, _) => name_at(rdata_at)?.0.to_string(),
        (Rtype::MX, [high, low, ..]) => {
            format!("{} {}", u16::from_be_bytes([*high, *low]), name_at(rdata_at + 2)?.0)
        }
        (Rtype::SRV, [p0, p1, w0, w1, port0, port1, ..]) => {
            let [priority, weight, port] = [[*p0, *p1], [*w0, *w1], [*port0, *port1]].map(u16::from_be_bytes);
            format!("{priority} {weight} {port} {}", name_at(rdata_at + 6)?.0)
        }
        (Rtype::HTTPS | Rtype::SVCB, rdata) => match service_text(message, rdata_at, rdata) {
            Some(text) => text,
            None => unknown(rdata),
        },
        (Rtype::SOA, _) => {
            let (mname, behind) = name_at(rdata_at)?;
            let (rname, behind) = name_at(behind)?;
            let mut text = format!("{mname} {rname}");
            for number in message.get(behind..record.end).unwrap_or_default().as_chunks::<4>().0 {
                // Writing to a String cannot fail.
                let _ = write!(text, " {}", u32::from_be_bytes(*number));
            }
            text
        }
        (_, rdata) => unknown(rdata),
    };
    Ok(RecordText {
        owner: name_at(at)?.0.to_string(),
        ttl_secs: record.ttl,
        rtype: TypeName(record.rtype).to_string(),
        data,
        address,
    })
}

/// A service binding (RFC 9460 §2.1); `None`: it is not in that form.
fn service_text(message: &[u8], rdata_at: usize, rdata: &[u8]) -> Option<String> {
    let priority = u16::from_be_bytes(*rdata.first_chunk()?);
    let (target, end) = Name::read(message, rdata_at + 2).ok()?;
    let mut text = format!("{priority} {target}");
    let mut rest = rdata.get(end - rdata_at..)?;
    while let Some((&[k0, k1, l0, l1], behind)) = rest.split_first_chunk() {
        let (value, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
        rest = behind;
        text.push(' ');
        text.push_str(&parameter_text(u16::from_be_bytes([k0, k1]), value)?);
    }
    rest.is_empty().then_some(text)
}

/// A parameter of a service binding (RFC 9460 §14.3.2, RFC 9461 §5).
fn parameter_text(key: u16, value: &[u8]) -> Option<String> {
    let addresses = |addresses: Vec<String>| addresses.join(",");
    Some(match key {
        1 => {
            let mut protocols = Vec::new();
            let mut rest = value;
            while let Some((len, behind)) = rest.split_first() {
                let (protocol, behind) = behind.split_at_checked(usize::from(*len))?;
                protocols.push(protocol.escape_ascii().to_string());
                rest = behind;
            }
            format!("alpn={}", protocols.join(","))
        }
        3 => format!("port={}", u16::from_be_bytes(value.try_into().ok()?)),
        4 => {
            let v4 = value.as_chunks::<4>().0.iter().map(|octets| IpAddr::from(*octets).to_string());
            format!("ipv4hint={}", addresses(v4.collect()))
        }
        6 => {
            let v6 = value.as_chunks::<16>().0.iter().map(|octets| IpAddr::from(*octets).to_string());
            format!("ipv6hint={}", addresses(v6.collect()))
        }
        7 => format!("dohpath={}", value.escape_ascii()),
        key => format!("key{key}={}", value.escape_ascii()),
    })
}

/// Data of any type (RFC 3597 §5).
fn unknown(rdata: &[u8]) -> String {
    let mut text = format!("\\# {}", rdata.len());
    if !rdata.is_empty() {
        text.push(' ');
    }
    for octet in rdata {
        let _ = write!(text, "{octet:02x}");
    }
    text
}
