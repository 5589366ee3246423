//! The reply's octets around its records: header, the question as it was asked, OPT; and how large it may be.
//!
//! A reply never exceeds what its transport carries; what does not fit sets TC. An error reply is never larger than the question
//! with header and OPT.

use super::parse::{Fault, Query};
use super::sections::{Section, Sections};
use super::turn::{Transport, Turn};
use crate::state::counters::{Counter, Counters};
use crate::state::pool::FamilyPool;
use crate::state::rotation::{Drawn, MAX_RECORD_OCTETS, Source};
use crate::state::rrset::Written;
use crate::state::snapshot::Snapshot;
use crate::wire::cookie::{COOKIE_OPTION_OCTETS, OPTION_COOKIE};
use crate::wire::edns::{
    Edns, ExtendedError, FLAG_DO, MIN_UDP_SIZE, OPT_FIXED_OCTETS, OPT_FLAGS_AT, OPT_RCODE_AT,
    OPTION_EXTENDED_ERROR, OPTION_HEAD_OCTETS, OPTION_KEEPALIVE, OPTION_NSID, OPTION_PADDING, Options,
    PADDING_BLOCK_OCTETS, write_option,
};
use crate::wire::message::{FLAG_AA, FLAG_QR, FLAG_RD, FLAG_TC, HEADER_OCTETS, OPCODE_MASK, Rcode};

/// The answer to ANY: HINFO "RFC8482", "" of the query name, for an hour (RFC 8482 §4.2).
pub(super) const HINFO_RECORD: &[u8; 21] = b"\xC0\x0C\x00\x0D\x00\x01\x00\x00\x0E\x10\x00\x09\x07RFC8482\x00";

/// The COOKIE option of a reply, where it has one.
pub type Told<'a> = Option<&'a [u8; COOKIE_OPTION_OCTETS]>;

/// What stands between question and OPT. Small enough to be returned in registers.
#[derive(Clone, Copy)]
pub struct Body {
    len_octets: u32,
    /// Header flags with the lower bits of the response code.
    flags: u16,
    ancount: u16,
    nscount: u16,
    /// Records of the additional section, OPT left out.
    arcount: u16,
    /// For whom the answer holds: the client subnet's scope.
    pub(super) scope_len: u8,
    counter: Counter,
    /// What is told beside the response code.
    pub(super) extended: Option<ExtendedError>,
}

impl Body {
    /// A reply without any record.
    #[inline(always)]
    fn empty(rcode: Rcode, flags: u16, counter: Counter) -> Body {
        let flags = flags | rcode.0 & 0x000F;
        Body {
            len_octets: 0,
            flags,
            ancount: 0,
            nscount: 0,
            arcount: 0,
            scope_len: 0,
            counter,
            extended: None,
        }
    }

    /// A reply with answer records.
    #[inline(always)]
    fn answer(count: u16, len_octets: u32) -> Body {
        let empty = Body::empty(Rcode::NOERROR, FLAG_AA, Counter::Answered);
        Body { ancount: count, len_octets, ..empty }
    }

    /// A reply of one RRset: its answer, or the authority of a negative one.
    #[inline(always)]
    pub(super) fn one_section(is_answer: bool, written: Written, rcode: Rcode, counter: Counter) -> Body {
        let (ancount, nscount) = if is_answer { (written.count, 0) } else { (0, written.count) };
        let empty = Body::empty(rcode, FLAG_AA, counter);
        Body { ancount, nscount, len_octets: written.len as u32, ..empty }
    }

    /// A reply whose RRset does not fit.
    pub(super) fn truncated(rcode: Rcode) -> Body {
        Body::empty(rcode, FLAG_AA | FLAG_TC, Counter::Truncated)
    }

    /// A reply with these sections; what did not fit into them sets TC.
    pub(super) fn of_sections(sections: &Sections<'_>, rcode: Rcode, flags: u16, counter: Counter) -> Body {
        let truncated = sections.is_truncated();
        let (flags, counter) =
            if truncated { (flags | FLAG_TC, Counter::Truncated) } else { (flags, counter) };
        Body {
            len_octets: sections.len() as u32,
            ancount: sections.count(Section::Answer),
            nscount: sections.count(Section::Authority),
            arcount: sections.count(Section::Additional),
            ..Body::empty(rcode, flags, counter)
        }
    }

    /// Not to be answered here, and why, where that is worth telling.
    pub(super) fn refused(extended: Option<ExtendedError>) -> Body {
        Body { extended, ..Body::empty(Rcode::REFUSED, 0, Counter::Refused) }
    }

    /// To be answered here, but not possible.
    pub(super) fn failed(extended: ExtendedError) -> Body {
        Body { extended: Some(extended), ..Body::empty(Rcode::SERVFAIL, 0, Counter::ServFail) }
    }
}

/// Where a single address record goes: behind the question. It fits whatever the client takes: 12 octets of header, 259 of
/// question, this record and 137 of OPT with its longest options are less than the 512 that every reply may have.
#[inline(always)]
pub fn room_for_one<'r>(query: Query<'_>, reply: &'r mut [u8]) -> Option<&'r mut [u8; MAX_RECORD_OCTETS]> {
    reply.get_mut(query.asked.len()..)?.first_chunk_mut()
}

/// Octets of an OPT record with its longest options, padding and extended errors left out: they take what is left.
const MAX_OPT_OCTETS: usize = 137;

/// Where a body of so many octets goes. Most fit whatever the client takes, and need no further look.
#[inline(always)]
pub(super) fn room_for<'r>(
    turn: &Turn<'_>,
    query: Query<'_>,
    len: usize,
    reply: &'r mut [u8],
) -> &'r mut [u8] {
    let begin = query.asked.len();
    if begin + len + MAX_OPT_OCTETS <= usize::from(MIN_UDP_SIZE) {
        return reply.get_mut(begin..begin + len).unwrap_or_default();
    }
    room(turn.snapshot, turn.transport, query, reply)
}

/// Where any body goes: behind the question, as long as the transport and an OPT record leave it.
pub(super) fn room<'r>(
    snapshot: &Snapshot,
    transport: Transport,
    query: Query<'_>,
    reply: &'r mut [u8],
) -> &'r mut [u8] {
    let opt_octets = query.edns.map_or(0, |_| {
        let options = query.options;
        let subnet_octets = options.client_subnet.map_or(0, |subnet| subnet.len_octets());
        let told_octets = if options.ask_the_server() { told_octets(snapshot, transport, query) } else { 0 };
        OPT_FIXED_OCTETS + subnet_octets + told_octets
    });
    let body_end = limit(snapshot, transport, query).min(reply.len()) - opt_octets;
    &mut reply[query.asked.len()..body_end]
}

/// Octets of the options that are not about names. Padding is not among them: it takes what is left.
#[cold]
fn told_octets(snapshot: &Snapshot, transport: Transport, query: Query<'_>) -> usize {
    let cookie = if query.options.has_cookie() { COOKIE_OPTION_OCTETS } else { 0 };
    let nsid = asked_nsid(snapshot, query.options).map_or(0, |nsid| OPTION_HEAD_OCTETS + nsid.len());
    let has_keepalive = query.options.keepalive() && transport.is_stream();
    let keepalive = OPTION_HEAD_OCTETS + size_of_val(&snapshot.protocol.keepalive);
    cookie + nsid + if has_keepalive { keepalive } else { 0 }
}

/// Most octets of a reply.
fn limit(snapshot: &Snapshot, transport: Transport, query: Query<'_>) -> usize {
    match transport {
        Transport::Tcp | Transport::ScarceTcp => usize::from(u16::MAX),
        Transport::Udp => {
            let offered = query.edns.map_or(MIN_UDP_SIZE, |edns| edns.udp_size());
            usize::from(offered.min(snapshot.protocol.edns_udp_size))
        }
    }
}

/// The server's identifier, if it has one and is asked for it.
fn asked_nsid<'s>(snapshot: &'s Snapshot, options: Options<'_>) -> Option<&'s [u8]> {
    if options.nsid() { snapshot.protocol.nsid.as_deref() } else { None }
}

/// Puts header and OPT around the body, the query's header and question being there already; returns the reply's octets.
#[inline(always)]
pub fn finish(
    snapshot: &Snapshot,
    counters: &Counters,
    transport: Transport,
    query: Query<'_>,
    body: Body,
    told: Told<'_>,
    reply: &mut [u8],
) -> usize {
    counters.bump(body.counter);
    write_header(reply, 1, body, query.edns.is_some());
    let mut end = query.asked.len() + body.len_octets as usize;
    if let Some(edns) = query.edns {
        counters.bump(Counter::Edns);
        end += write_opt(snapshot, edns, &mut reply[end..]);
        let opt_end = end;
        if let Some(subnet) = query.options.client_subnet {
            counters.bump(Counter::ClientSubnet);
            end += subnet.write(body.scope_len, &mut reply[end..]).unwrap_or(0);
        }
        if query.options.ask_the_server() || body.extended.is_some() {
            let limit = limit(snapshot, transport, query).min(reply.len());
            end = write_options(snapshot, transport, query.options, body, told, &mut reply[..limit], end);
        }
        if end > opt_end
            && let Some(rdlength) = reply[..opt_end].last_chunk_mut()
        {
            *rdlength = ((end - opt_end) as u16).to_be_bytes();
        }
    }
    end
}

/// A reply without records: header, what could be read of the question, OPT.
pub struct Bare<'a> {
    /// The header as received, and the question where it could be read.
    pub asked: &'a [u8],
    /// The OPT record, where one was read.
    pub edns: Option<Edns<'a>>,
    /// What is said.
    pub rcode: Rcode,
    /// The COOKIE option.
    pub told: Told<'a>,
}

impl<'a> Bare<'a> {
    /// The reply to a message that is no proper query.
    pub fn error(fault: &Fault<'a>, told: Told<'a>) -> Bare<'a> {
        Bare { asked: fault.asked, edns: fault.edns, rcode: Rcode::from(fault.error), told }
    }
}

/// Writes a reply without records; returns its octets.
#[cold]
pub fn render_bare(snapshot: &Snapshot, counters: &Counters, bare: &Bare<'_>, reply: &mut [u8]) -> usize {
    let &Bare { asked, edns, rcode, told } = bare;
    let counter = match rcode {
        Rcode::NOERROR => Counter::NoData,
        Rcode::NOTIMP => Counter::NotImp,
        Rcode::BADVERS => Counter::BadVers,
        Rcode::BADCOOKIE => Counter::BadCookie,
        _ => Counter::FormErr,
    };
    counters.bump(counter);
    let mut end = asked.len();
    reply[..end].copy_from_slice(asked);
    let qdcount = u64::from(end > HEADER_OCTETS);
    write_header(reply, qdcount, Body::empty(rcode, 0, counter), edns.is_some());
    if let Some(edns) = edns {
        counters.bump(Counter::Edns);
        let opt_at = end;
        end += write_opt(snapshot, edns, &mut reply[end..]);
        reply[opt_at + OPT_RCODE_AT] = (rcode.0 >> 4) as u8;
        if let Some(told) = told {
            reply[end - 2..end].copy_from_slice(&(told.len() as u16).to_be_bytes());
            reply[end..end + told.len()].copy_from_slice(told);
            end += told.len();
        }
    }
    end
}

/// The body of a pool's answer that was drawn.
#[inline(always)]
pub fn drawn_body(counters: &Counters, family: &FamilyPool, scope_len: u8, drawn: Drawn) -> Body {
    let extended = count_source(counters, drawn.source);
    let len_octets = drawn.count * family.family.record_octets() as u32;
    Body { scope_len, extended, ..Body::answer(drawn.count as u16, len_octets) }
}

/// Counts what an answer was drawn from; returns what is told about it.
#[inline(always)]
pub(super) fn count_source(counters: &Counters, source: Source) -> Option<ExtendedError> {
    counters.bump(match source {
        Source::Up | Source::Frozen => Counter::FromUp,
        Source::Unknown => Counter::FromUnknown,
        Source::Fallback => Counter::FromFallback,
        Source::Empty => Counter::Exhausted,
    });
    match source {
        Source::Fallback => Some(ExtendedError::NoMemberUp),
        Source::Frozen => Some(ExtendedError::StaleHealth),
        Source::Up | Source::Unknown | Source::Empty => None,
    }
}

/// The header, where that of the query stands already. AD and CD are cleared, as RFC 4035 §3.1.6 asks of an authoritative
/// server.
#[inline(always)]
fn write_header(reply: &mut [u8], qdcount: u64, body: Body, has_opt: bool) {
    let asked_flags = u16::from_be_bytes([reply[2], reply[3]]);
    let flags = FLAG_QR | asked_flags & (OPCODE_MASK | FLAG_RD) | body.flags;
    let arcount = u64::from(body.arcount) + u64::from(has_opt);
    let counts = qdcount << 48 | u64::from(body.ancount) << 32 | u64::from(body.nscount) << 16 | arcount;
    reply[2..4].copy_from_slice(&flags.to_be_bytes());
    reply[4..HEADER_OCTETS].copy_from_slice(&counts.to_be_bytes());
}

/// Copies header and question in pieces of a length known at compile time, which may overlap: a few moves instead of a
/// call.
#[inline(always)]
pub fn copy_asked(asked: &[u8], reply: &mut [u8]) {
    #[inline(always)]
    fn ends<const N: usize>(asked: &[u8], reply: &mut [u8]) -> Option<()> {
        let (first, last) = (asked.first_chunk::<N>()?, asked.last_chunk::<N>()?);
        *reply.first_chunk_mut::<N>()? = *first;
        *reply.get_mut(asked.len() - N..)?.first_chunk_mut::<N>()? = *last;
        Some(())
    }
    let copied = match asked.len() {
        33..=64 => ends::<32>(asked, reply),
        17..=32 => ends::<16>(asked, reply),
        _ => None,
    };
    if copied.is_none() {
        reply[..asked.len()].copy_from_slice(asked);
    }
}

/// The OPT record without options, DO as it was asked; returns its octets.
#[inline(always)]
fn write_opt(snapshot: &Snapshot, edns: Edns<'_>, into: &mut [u8]) -> usize {
    let opt = &snapshot.protocol.opt;
    match into.first_chunk_mut() {
        // What is behind the record is overwritten by what follows, or not sent.
        Some(padded) => *padded = *opt,
        None => into[..OPT_FIXED_OCTETS].copy_from_slice(&opt[..OPT_FIXED_OCTETS]),
    }
    into[OPT_FLAGS_AT] = if edns.dnssec_ok() { (FLAG_DO >> 8) as u8 } else { 0 };
    OPT_FIXED_OCTETS
}

/// Writes what the OPT record has beside the client subnet, from `end` on; returns where it ends. There is room for what was
/// asked for; an extended error goes along where it fits. `reply` is as much as may be sent.
#[inline(never)]
fn write_options(
    snapshot: &Snapshot,
    transport: Transport,
    options: Options<'_>,
    body: Body,
    told: Told<'_>,
    reply: &mut [u8],
    mut end: usize,
) -> usize {
    let mut put = |code, data: &[u8]| end += write_option(code, data, &mut reply[end..]).unwrap_or(0);
    if options.ask_the_server() {
        if let Some(told) = told {
            put(OPTION_COOKIE, &told[OPTION_HEAD_OCTETS..]);
        }
        if let Some(nsid) = asked_nsid(snapshot, options) {
            put(OPTION_NSID, nsid);
        }
        // Not over UDP, which has no connection (RFC 7828 §3.2.2).
        if options.keepalive() && transport.is_stream() {
            // 0 asks to close as soon as what is outstanding has come (RFC 7828 §3.2.2).
            let is_scarce = transport == Transport::ScarceTcp;
            put(OPTION_KEEPALIVE, if is_scarce { &[0, 0] } else { &snapshot.protocol.keepalive });
        }
    }
    if let Some(error) = body.extended {
        put(OPTION_EXTENDED_ERROR, error.data());
    }
    // Over UDP a longer reply would serve who asks in another's name (RFC 7830 §6).
    if options.padding() && transport.is_stream() {
        end = write_padding(reply, end);
    }
    end
}

/// Pads a reply that ends at `end` to a whole number of blocks (RFC 8467 §4.1), or as far as it may go; returns where it ends
/// then. To be written last (RFC 7830 §3).
#[cold]
fn write_padding(reply: &mut [u8], end: usize) -> usize {
    let data_at = end + OPTION_HEAD_OCTETS;
    let padded = data_at.next_multiple_of(PADDING_BLOCK_OCTETS).min(reply.len());
    let Some(data) = reply.get_mut(data_at..padded) else { return end };
    data.fill(0);
    let [len_high, len_low] = (data.len() as u16).to_be_bytes();
    let [code_high, code_low] = OPTION_PADDING.to_be_bytes();
    reply[end..data_at].copy_from_slice(&[code_high, code_low, len_high, len_low]);
    padded
}
