//! Octets to a query, or to a reason why not (RFC 1035 §4, RFC 6891, RFC 7871, RFC 9619).

use super::respond::DropReason;
use crate::state::names::FoldedName;
use crate::wire::edns::{ClientSubnet, Edns};
use crate::wire::error::WireError;
use crate::wire::message::{Class, FLAG_QR, HEADER_OCTETS, Header, QUESTION_TAIL_OCTETS, Rtype};
use crate::wire::name::uncompressed_len;
use crate::wire::record::Record;

/// A well-formed query. The name in lower case is where the caller had it folded to.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The header as received.
    pub header: Header,
    /// The question as received, its case kept: name, type, class.
    pub question: &'a [u8],
    /// Octets of the query name.
    pub qname_len: usize,
    /// Query type.
    pub qtype: Rtype,
    /// Query class.
    pub qclass: Class,
    /// The OPT record.
    pub edns: Option<Edns<'a>>,
    /// The client subnet, where it is to be used.
    pub client_subnet: Option<ClientSubnet>,
}

/// A message that is no query to be answered from data.
#[derive(Clone, Copy, Debug)]
pub enum Rejection<'a> {
    /// No reply at all.
    Drop(DropReason),
    /// An error reply.
    Fault(Fault<'a>),
}

/// What an error reply is made of.
#[derive(Clone, Copy, Debug)]
pub struct Fault<'a> {
    /// The header as received.
    pub header: Header,
    /// The question, where it could be read.
    pub question: &'a [u8],
    /// The OPT record, where one was read.
    pub edns: Option<Edns<'a>>,
    /// What is wrong.
    pub error: WireError,
}

/// Reads a message; `qname` receives the query name, folded and hashed.
#[inline]
pub fn parse<'a>(
    message: &'a [u8],
    qname: &mut FoldedName,
    use_client_subnet: bool,
) -> Result<Query<'a>, Rejection<'a>> {
    let header = Header::read(message).ok_or(Rejection::Drop(DropReason::Short))?;
    if header.flags & FLAG_QR != 0 {
        return Err(Rejection::Drop(DropReason::Response));
    }
    let mut fault = Fault { header, question: &[], edns: None, error: WireError::Opcode };
    if header.opcode() != 0 {
        return Err(Rejection::Fault(fault));
    }
    match read_body(message, &mut fault, use_client_subnet) {
        Ok(query) => {
            qname.fold(&query.question[..query.qname_len]);
            Ok(query)
        }
        Err(error) => Err(Rejection::Fault(Fault { error, ..fault })),
    }
}

/// Reads what follows the header; what is known when an error strikes is left in `fault`.
#[inline]
fn read_body<'a>(
    message: &'a [u8],
    fault: &mut Fault<'a>,
    use_client_subnet: bool,
) -> Result<Query<'a>, WireError> {
    let header = fault.header;
    if header.qdcount != 1 {
        return Err(WireError::QuestionCount);
    }
    // Nothing precedes the question's name that it could point to, so it is never compressed.
    let qname_len = uncompressed_len(message, HEADER_OCTETS)?;
    let tail_at = HEADER_OCTETS + qname_len;
    let question_end = tail_at + QUESTION_TAIL_OCTETS;
    let question = message.get(HEADER_OCTETS..question_end).ok_or(WireError::Truncated)?;
    fault.question = question;
    let field = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    let (qtype, qclass) = (Rtype(field(tail_at)), Class(field(tail_at + 2)));
    if u32::from(header.ancount) + u32::from(header.nscount) + u32::from(header.arcount) != 0 {
        read_records(message, question_end, fault)?;
    }
    let mut client_subnet = None;
    if let Some(edns) = &fault.edns {
        if edns.version != 0 {
            return Err(WireError::EdnsVersion);
        }
        if use_client_subnet && !edns.options.is_empty() {
            client_subnet = edns.client_subnet()?;
        }
    }
    if qtype == Rtype::OPT {
        return Err(WireError::QueryType);
    }
    Ok(Query { header, question, qname_len, qtype, qclass, edns: fault.edns, client_subnet })
}

/// Walks over the records behind the question; the OPT record goes into `fault`, all others are only checked to be
/// whole. Octets behind the last record are not looked at.
fn read_records<'a>(message: &'a [u8], mut at: usize, fault: &mut Fault<'a>) -> Result<(), WireError> {
    let header = fault.header;
    for _ in 0..u32::from(header.ancount) + u32::from(header.nscount) {
        at = Record::read(message, at)?.end;
    }
    for _ in 0..header.arcount {
        let record = Record::read(message, at)?;
        at = record.end;
        if record.rtype == Rtype::OPT {
            if fault.edns.is_some() {
                return Err(WireError::Opt);
            }
            fault.edns = Some(Edns::from_record(&record)?);
        }
    }
    Ok(())
}
