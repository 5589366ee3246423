//! Octets to a query, or to a reason why not (RFC 1035 §4, RFC 6891, RFC 7871, RFC 7873, RFC 9619).

use super::turn::DropReason;
use crate::wire::cookie::Cookie;
use crate::wire::edns::{Edns, Options, Understood};
use crate::wire::error::WireError;
use crate::wire::message::{Class, FLAG_QR, HEADER_OCTETS, Header, OPCODE_MASK, QUESTION_TAIL_OCTETS, Rtype};
use crate::wire::name::{MAX_NAME_OCTETS, uncompressed_len};
use crate::wire::record::Record;

/// A well-formed query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// Header and question as received, the question's case kept: what a reply begins with. More than 16 octets.
    pub asked: &'a [u8],
    /// The OPT record.
    pub edns: Option<Edns<'a>>,
    /// What the options of that record ask for.
    pub options: Options<'a>,
}

impl<'a> Query<'a> {
    /// A query without options.
    #[inline(always)]
    fn new(asked: &'a [u8], edns: Option<Edns<'a>>) -> Query<'a> {
        Query { asked, edns, options: Options::default() }
    }

    /// Whether what is held for the question is exactly one: a name by its labels, then type and class.
    pub fn is_whole(&self) -> bool {
        uncompressed_len(self.asked, HEADER_OCTETS) == Ok(self.qname().len())
    }

    /// The query with what its options ask for.
    ///
    /// # Errors
    /// What is wrong with the options.
    #[inline]
    fn with_options(self, understood: Understood) -> Result<Query<'a>, WireError> {
        let options = match self.edns {
            Some(edns) => edns.read_options(understood)?,
            None => Options::default(),
        };
        Ok(Query { options, ..self })
    }

    /// The cookies of its options.
    #[inline(always)]
    pub fn cookie(&self) -> Option<Cookie<'a>> {
        self.edns?.cookie(self.options)
    }

    /// Query type.
    #[inline(always)]
    pub fn qtype(&self) -> Rtype {
        Rtype(u16::from_be_bytes([self.tail()[0], self.tail()[1]]))
    }

    /// Whether DNSSEC records are wanted.
    #[inline(always)]
    pub fn wants_signatures(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok())
    }

    /// Query class.
    #[inline(always)]
    pub fn qclass(&self) -> Class {
        Class(u16::from_be_bytes([self.tail()[2], self.tail()[3]]))
    }

    /// Type and class, read where they are needed: kept apart, they would only be moved about.
    #[inline(always)]
    fn tail(&self) -> [u8; QUESTION_TAIL_OCTETS] {
        self.asked.last_chunk().copied().unwrap_or_default()
    }

    /// The header's flags as received.
    #[inline(always)]
    pub fn flags(&self) -> u16 {
        self.asked.first_chunk().map_or(0, |&[_, _, high, low]| u16::from_be_bytes([high, low]))
    }

    /// The query name as received.
    #[inline(always)]
    pub fn qname(&self) -> &'a [u8] {
        &self.asked[HEADER_OCTETS..self.asked.len() - QUESTION_TAIL_OCTETS]
    }
}

/// A message that is no query to be answered from data.
#[derive(Clone, Copy, Debug)]
pub enum Rejection<'a> {
    /// No reply at all.
    Drop(DropReason),
    /// An error reply.
    Fault(Fault<'a>),
    /// No question, but a cookie: the client asks for a server cookie, or whether its own is still good (RFC 7873 §5.4).
    Cookie(Fault<'a>, Cookie<'a>),
}

/// What an error reply is made of.
#[derive(Clone, Copy, Debug)]
pub struct Fault<'a> {
    /// The header's flags as received.
    pub flags: u16,
    /// The header as received, and the question where it could be read.
    pub asked: &'a [u8],
    /// The OPT record, where one was read.
    pub edns: Option<Edns<'a>>,
    /// What is wrong.
    pub error: WireError,
}

impl<'a> Fault<'a> {
    /// The cookie that came along, where the message is whole enough to have one: a client that has had cookies from a server
    /// may take a reply without one for a forged one.
    pub fn cookie(&self, understood: Understood) -> Option<Cookie<'a>> {
        let edns = self.edns.filter(|edns| edns.version() == 0 && understood.cookies)?;
        match self.error {
            WireError::Opt | WireError::Truncated => None,
            _ => edns.cookie(edns.read_options(understood).ok()?),
        }
    }
}

/// Reads what nearly every query is: one question, then nothing or an OPT record of version 0 without options. That the name
/// is as long as the message leaves room for is taken on trust, not walked over: a name of the index that is found in its
/// place proves it, because names in wire form say themselves where they end. Whoever finds none asks [`Query::is_whole`].
/// `None` for anything else, which is for the ways below to judge. Kept apart so that this way carries no error with it.
#[inline(always)]
pub fn parse_trusting(message: &[u8]) -> Option<Query<'_>> {
    let head: &[u8; HEADER_OCTETS] = message.first_chunk()?;
    if (FLAG_QR | OPCODE_MASK).to_be_bytes()[0] & head[2] != 0 {
        return None;
    }
    let (asked, edns) = match section_counts(head) {
        ONE_QUESTION => (message, None),
        ONE_QUESTION_AND_OPT => {
            let (asked, opt) = message.split_last_chunk()?;
            (asked, Some(Edns::without_options(opt)?))
        }
        _ => return None,
    };
    // One octet of name at least, the root's; and no more than a name has.
    if !(1..=MAX_NAME_OCTETS).contains(&asked.len().wrapping_sub(HEADER_OCTETS + QUESTION_TAIL_OCTETS)) {
        return None;
    }
    Some(Query::new(asked, edns)).filter(|query| query.qtype() != Rtype::OPT)
}

/// Reads what nearly all other queries are: one question and an OPT record of version 0 with options, such as a client subnet
/// or a cookie. `None` for anything else, wrong options among it, which is then for [`parse_any`] to judge.
#[inline(always)]
pub fn parse_with_options(message: &[u8], understood: Understood) -> Option<Query<'_>> {
    let head: &[u8; HEADER_OCTETS] = message.first_chunk()?;
    if (FLAG_QR | OPCODE_MASK).to_be_bytes()[0] & head[2] != 0 || section_counts(head) != ONE_QUESTION_AND_OPT
    {
        return None;
    }
    let asked_len = HEADER_OCTETS + uncompressed_len(message, HEADER_OCTETS).ok()? + QUESTION_TAIL_OCTETS;
    let (asked, rest) = message.split_at_checked(asked_len)?;
    let edns = Edns::alone(rest).filter(|opt| opt.version() == 0)?;
    let query = Query::new(asked, Some(edns)).with_options(understood).ok()?;
    Some(query).filter(|query| query.qtype() != Rtype::OPT)
}

/// QDCOUNT, ANCOUNT, NSCOUNT and ARCOUNT as one number.
#[inline(always)]
fn section_counts(head: &[u8; HEADER_OCTETS]) -> u64 {
    let [_, _, _, _, counts @ ..] = *head;
    u64::from_be_bytes(counts)
}

const ONE_QUESTION: u64 = 1 << 48;
const ONE_QUESTION_AND_OPT: u64 = ONE_QUESTION | 1;

/// Reads any message, and says what is wrong with it.
#[inline(never)]
pub fn parse_any(message: &[u8], understood: Understood) -> Result<Query<'_>, Rejection<'_>> {
    let header = Header::read(message).ok_or(Rejection::Drop(DropReason::Short))?;
    if header.flags & FLAG_QR != 0 {
        return Err(Rejection::Drop(DropReason::Response));
    }
    let asked = &message[..HEADER_OCTETS];
    let mut fault = Fault { flags: header.flags, asked, edns: None, error: WireError::Opcode };
    let read = read_body(message, header, &mut fault, understood);
    if header.opcode() != 0 {
        // Question and OPT are repeated as far as they could be read: OPT answers OPT (RFC 6891 §6.1.1).
        return Err(Rejection::Fault(fault));
    }
    read.map_err(|error| {
        let fault = Fault { error, ..fault };
        match fault.cookie(understood) {
            Some(cookie) if header.qdcount == 0 => Rejection::Cookie(fault, cookie),
            _ => Rejection::Fault(fault),
        }
    })
}

/// Reads what follows the header; what is known when an error strikes is left in `fault`.
fn read_body<'a>(
    message: &'a [u8],
    header: Header,
    fault: &mut Fault<'a>,
    understood: Understood,
) -> Result<Query<'a>, WireError> {
    if header.qdcount != 1 {
        if header.qdcount == 0 {
            read_records(message, HEADER_OCTETS, header, fault)?;
        }
        return Err(WireError::QuestionCount);
    }
    // Nothing precedes the question's name that it could point to, so it is never compressed.
    let asked_len = HEADER_OCTETS + uncompressed_len(message, HEADER_OCTETS)? + QUESTION_TAIL_OCTETS;
    let asked = message.get(..asked_len).ok_or(WireError::Truncated)?;
    fault.asked = asked;
    read_records(message, asked_len, header, fault)?;
    if fault.edns.is_some_and(|edns| edns.version() != 0) {
        return Err(WireError::EdnsVersion);
    }
    let query = Query::new(asked, fault.edns).with_options(understood)?;
    if query.qtype() == Rtype::OPT {
        return Err(WireError::QueryType);
    }
    Ok(query)
}

/// Walks over the records behind the question; the OPT record goes into `fault`, all others are only checked to be
/// whole. Octets behind the last record are not looked at.
fn read_records<'a>(
    message: &'a [u8],
    mut at: usize,
    header: Header,
    fault: &mut Fault<'a>,
) -> Result<(), WireError> {
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
            fault.edns = Some(Edns::from_record(message, &record)?);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::name::Name;
    use proptest::prelude::*;

    const ALL: Understood = Understood { client_subnet: true, cookies: true };
    const QUESTION: &[u8] = b"\x03wWw\x07example\x03com\x00\x00\x01\x00\x01";

    fn message(counts: [u16; 4], flags: u16, body: &[&[u8]]) -> Vec<u8> {
        let [qdcount, ancount, nscount, arcount] = counts;
        let header = Header { id: 7, flags, qdcount, ancount, nscount, arcount };
        [&header.to_octets()[..], &body.concat()].concat()
    }

    fn error(message: &[u8]) -> WireError {
        match parse_any(message, ALL) {
            Err(Rejection::Fault(fault)) => fault.error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn query_is_read_with_its_question_as_asked() {
        let opt = b"\x00\x00\x29\x02\x58\x00\x00\x80\x00\x00\x0b\x00\x08\x00\x07\x00\x01\x18\x00\x0a\x01\x02";
        let octets = message([1, 0, 0, 1], 0x0100, &[QUESTION, opt]);
        let query = parse_any(&octets, ALL).unwrap();
        assert_eq!((&query.asked[12..], query.qname(), query.qtype()), (QUESTION, &QUESTION[..17], Rtype::A));
        let edns = query.edns.unwrap();
        assert_eq!((edns.udp_size(), edns.dnssec_ok()), (600, true));
        assert!(query.options.client_subnet.is_some());
        assert!(parse_any(&octets, Understood::default()).unwrap().options.client_subnet.is_none());
    }

    #[test]
    fn records_beside_opt_are_passed_over_and_octets_behind_the_last_one_too() {
        let record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04abcd";
        let opt = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
        let octets = message([1, 1, 1, 3], 0, &[QUESTION, record, record, record, opt, record, b"garbage"]);
        let query = parse_any(&octets, ALL).unwrap();
        assert_eq!(query.edns.unwrap().udp_size(), 1232);
    }

    #[test]
    fn each_fault_has_its_error() {
        let opt = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
        let notify = message([1, 0, 0, 1], 0x2000, &[QUESTION, opt]);
        let Err(Rejection::Fault(fault)) = parse_any(&notify, ALL) else { panic!("NOTIFY is not served") };
        assert!(fault.edns.is_some() && fault.asked.ends_with(QUESTION), "what could be read is repeated");
        for (octets, expected) in [
            (message([0, 0, 0, 0], 0, &[]), WireError::QuestionCount),
            (message([2, 0, 0, 0], 0, &[QUESTION, QUESTION]), WireError::QuestionCount),
            (message([1, 0, 0, 0], 0x2000, &[QUESTION]), WireError::Opcode),
            (message([1, 0, 0, 0], 0, &[&QUESTION[..20]]), WireError::Truncated),
            (message([1, 0, 0, 0], 0, &[b"\xc0\x0c\x00\x01\x00\x01"]), WireError::Pointer),
            (message([1, 0, 0, 0], 0, &[b"\x41\x00\x00\x01\x00\x01"]), WireError::LabelType),
            (message([1, 0, 0, 1], 0, &[QUESTION]), WireError::Truncated),
            (message([1, 0, 0, 2], 0, &[QUESTION, opt, opt]), WireError::Opt),
            (message([1, 0, 0, 1], 0, &[QUESTION, b"\x01a", opt]), WireError::Opt),
            (
                message([1, 0, 0, 1], 0, &[QUESTION, b"\0\0\x29\x04\xd0\0\x01\0\0\0\0"]),
                WireError::EdnsVersion,
            ),
            (
                message([1, 0, 0, 1], 0, &[QUESTION, b"\0\0\x29\x04\xd0\0\0\0\0\0\x03\0\x08\0"]),
                WireError::OptionLength,
            ),
            (
                message([1, 0, 0, 1], 0, &[QUESTION, b"\0\0\x29\x04\xd0\0\0\0\0\0\x04\0\x08\0\0"]),
                WireError::ClientSubnet,
            ),
            (message([1, 0, 0, 0], 0, &[b"\x00\x00\x29\x00\x01"]), WireError::QueryType),
        ] {
            assert_eq!(error(&octets), expected, "{octets:02x?}");
        }
    }

    #[test]
    fn cookie_without_a_question_is_a_query_of_its_own() {
        let opt = [b"\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08", &b"12345678"[..]].concat();
        let whole = message([0, 0, 0, 1], 0, &[&opt]);
        let Err(Rejection::Cookie(fault, cookie)) = parse_any(&whole, ALL) else {
            panic!("a cookie was sent")
        };
        assert_eq!((fault.asked, cookie), (&whole[..12], Cookie::read(b"12345678").unwrap()));
        let is_fault =
            |octets: &[u8], understood| matches!(parse_any(octets, understood), Err(Rejection::Fault(_)));
        assert!(is_fault(&whole, Understood { cookies: false, ..ALL }), "as any server without cookies");
        assert!(is_fault(&message([0, 0, 0, 1], 0x2000, &[&opt]), ALL), "NOTIFY");
        assert!(is_fault(&message([0, 0, 0, 2], 0, &[&opt, &opt]), ALL), "two OPT records");
        assert!(is_fault(&message([0, 0, 0, 2], 0, &[&opt]), ALL), "cut short");
        assert!(is_fault(&message([2, 0, 0, 1], 0, &[QUESTION, QUESTION, &opt]), ALL), "two questions");
    }

    #[test]
    fn what_cannot_be_answered_is_dropped() {
        let drop_of = |octets: &[u8]| match parse_any(octets, ALL) {
            Err(Rejection::Drop(reason)) => reason,
            other => panic!("{other:?}"),
        };
        let whole = message([1, 0, 0, 0], 0, &[QUESTION]);
        assert_eq!(drop_of(&whole[..11]), DropReason::Short);
        assert_eq!(drop_of(&message([1, 0, 0, 0], 0x8000, &[QUESTION])), DropReason::Response);
    }

    proptest! {
        #[test]
        fn short_ways_read_what_the_general_one_reads(
            labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..9), 0..5), tail in any::<[u8; 4]>(),
            opt in prop::option::of((any::<[u8; 6]>(), prop::collection::vec(any::<u8>(), 0..16))),
            flip in prop::option::of((any::<prop::sample::Index>(), any::<u8>())), client_subnet in any::<bool>(), cookies in any::<bool>(),
        ) {
            let mut body: Vec<u8> = labels.iter().flat_map(|l| [&[l.len() as u8][..], l].concat()).collect();
            body.push(0);
            body.extend(tail);
            if let Some((fixed, options)) = &opt {
                body.extend([0, 0, 41]);
                body.extend(fixed);
                body.extend((options.len() as u16).to_be_bytes());
                body.extend(options);
            }
            let mut octets = message([1, 0, 0, u16::from(opt.is_some())], 0x0100, &[&body]);
            if let Some((at, bits)) = flip {
                let at = at.index(octets.len());
                octets[at] ^= bits;
            }
            let understood = Understood { client_subnet, cookies };
            let any = parse_any(&octets, understood);
            if let Some(trusted) = parse_trusting(&octets) {
                // What is no name cannot be found in the index; what is one was read rightly.
                prop_assert_eq!(trusted.is_whole(), Name::from_wire(trusted.qname()).is_ok());
                if trusted.is_whole() {
                    prop_assert_eq!(Some(trusted), any.as_ref().ok().copied());
                }
            }
            if let Some(query) = parse_with_options(&octets, understood) {
                prop_assert_eq!(Some(query), any.ok());
            }
        }

        #[test]
        fn any_octets_give_a_query_or_a_rejection(octets in prop::collection::vec(any::<u8>(), 0..300), whole in any::<bool>()) {
            let mut octets = octets;
            if whole && octets.len() >= 12 {
                octets[2] &= 0x07;
                octets[4..12].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 1]);
            }
            if let Ok(query) = parse_any(&octets, ALL) {
                prop_assert!(octets.starts_with(query.asked) && query.qname().ends_with(&[0]));
            }
        }
    }
}
