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
