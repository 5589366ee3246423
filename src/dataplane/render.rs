//! The reply's octets: header, the question as it was asked, at most one RRset, OPT.
//!
//! A reply never exceeds what its transport carries; what does not fit sets TC and leaves the whole RRset out
//! (RFC 2181 §9). An error reply is never larger than the question with header and OPT.

use super::choose::Choice;
use super::lookup::InZone;
use super::parse::{Fault, Query};
use super::respond::Transport;
use crate::state::counters::{Counter, Counters};
use crate::state::rotation::{Draw, RotationTable, Source};
use crate::state::snapshot::Snapshot;
use crate::wire::edns::{ClientSubnet, Edns, FLAG_DO, MIN_UDP_SIZE, OPT_FIXED_OCTETS};
use crate::wire::message::{FLAG_AA, FLAG_QR, FLAG_RD, FLAG_TC, HEADER_OCTETS, OPCODE_MASK, Rcode, Rtype};

/// The answer to ANY: HINFO "RFC8482", "" of the query name, for an hour (RFC 8482 §4.2).
const HINFO_RECORD: &[u8] = b"\xC0\x0C\x00\x0D\x00\x01\x00\x00\x0E\x10\x00\x09\x07RFC8482\x00";
/// Head of a TXT record of class CH for the query name, TTL 0.
const CHAOS_TXT_HEAD: &[u8] = b"\xC0\x0C\x00\x10\x00\x03\x00\x00\x00\x00";

/// What stands between question and OPT.
struct Body {
    rcode: Rcode,
    flags: u16,
    ancount: u16,
    nscount: u16,
    len_octets: usize,
    scope_len: u8,
    counter: Counter,
}

impl Body {
    /// A reply without any record.
    fn empty(rcode: Rcode, flags: u16, counter: Counter) -> Body {
        Body { rcode, flags, ancount: 0, nscount: 0, len_octets: 0, scope_len: 0, counter }
    }

    /// A reply with answer records.
    fn answer(count: u16, len_octets: usize) -> Body {
        Body { ancount: count, len_octets, ..Body::empty(Rcode::NOERROR, FLAG_AA, Counter::Answered) }
    }

    fn truncated() -> Body {
        Body::empty(Rcode::NOERROR, FLAG_AA | FLAG_TC, Counter::Truncated)
    }

    fn refused() -> Body {
        Body::empty(Rcode::REFUSED, 0, Counter::Refused)
    }
}

/// Writes the reply to a query; returns its octets.
#[inline]
pub fn render(
    snapshot: &Snapshot,
    rotations: &mut RotationTable,
    counters: &Counters,
    transport: Transport,
    query: &Query<'_>,
    choice: Choice<'_>,
    reply: &mut [u8],
) -> usize {
    let body_at = query.asked.len();
    let limit = match transport {
        Transport::Tcp => usize::from(u16::MAX),
        Transport::Udp => {
            let offered = query.edns.map_or(MIN_UDP_SIZE, |edns| edns.udp_size);
            usize::from(offered.min(snapshot.protocol.edns_udp_size))
        }
    };
    let subnet_octets = query.client_subnet.map_or(0, |subnet| subnet.len_octets());
    let opt_octets = query.edns.map_or(0, |_| OPT_FIXED_OCTETS + subnet_octets);
    // 12 + 259 + 35 octets at the most: the 512 that every reply may have always leave room for a body.
    let body_end = limit.min(reply.len()) - opt_octets;
    let body = write_body(snapshot, rotations, counters, query, choice, &mut reply[body_at..body_end]);
    counters.bump(body.counter);
    write_head(reply, query.flags, query.asked, &body, query.edns.is_some());
    let mut end = body_at + body.len_octets;
    if let Some(edns) = &query.edns {
        counters.bump(Counter::Edns);
        if query.client_subnet.is_some() {
            counters.bump(Counter::ClientSubnet);
        }
        end += write_opt(snapshot, edns, body.rcode, query.client_subnet, body.scope_len, &mut reply[end..]);
    }
    end
}

/// Writes the reply to a message that is no proper query; returns its octets.
#[cold]
pub fn render_error(snapshot: &Snapshot, counters: &Counters, fault: &Fault<'_>, reply: &mut [u8]) -> usize {
    let rcode = Rcode::from(fault.error);
    let counter = match rcode {
        Rcode::NOTIMP => Counter::NotImp,
        Rcode::BADVERS => Counter::BadVers,
        _ => Counter::FormErr,
    };
    counters.bump(counter);
    write_head(reply, fault.flags, fault.asked, &Body::empty(rcode, 0, counter), fault.edns.is_some());
    let mut end = fault.asked.len();
    if let Some(edns) = &fault.edns {
        counters.bump(Counter::Edns);
        end += write_opt(snapshot, edns, rcode, None, 0, &mut reply[end..]);
    }
    end
}

#[inline]
fn write_body(
    snapshot: &Snapshot,
    rotations: &mut RotationTable,
    counters: &Counters,
    query: &Query<'_>,
    choice: Choice<'_>,
    into: &mut [u8],
) -> Body {
    match choice {
        Choice::Pool { from, ttl_secs, scope_len, in_zone } => {
            let body = match rotations.draw(from, &snapshot.health, ttl_secs, into) {
                Draw::Records { count, len_octets, source } => {
                    counters.bump(match source {
                        Source::Up => Counter::FromUp,
                        Source::Unknown => Counter::FromUnknown,
                        Source::Fallback | Source::Empty => Counter::FromFallback,
                    });
                    Body::answer(count, len_octets)
                }
                Draw::TooLarge => Body::truncated(),
                Draw::NoData => {
                    counters.bump(Counter::Exhausted);
                    write_negative(snapshot, query, Rcode::NOERROR, Counter::NoData, in_zone, into)
                }
                Draw::Refuse => {
                    counters.bump(Counter::Exhausted);
                    Body::refused()
                }
            };
            Body { scope_len, ..body }
        }
        Choice::Static(template, in_zone) => match template.write(in_zone.apex_offset(query), into) {
            Some(len_octets) => Body::answer(template.record_count(), len_octets),
            None => Body::truncated(),
        },
        Choice::Hinfo => write_parts(&[HINFO_RECORD], into),
        Choice::Chaos(text) => {
            let len = [0, (text.len() + 1) as u8, text.len() as u8];
            // RDLENGTH is two octets: a text of 255 octets has 256 with its length.
            let len = if text.len() == 255 { [1, 0, 255] } else { len };
            write_parts(&[CHAOS_TXT_HEAD, &len, text], into)
        }
        Choice::NoData(in_zone) => {
            write_negative(snapshot, query, Rcode::NOERROR, Counter::NoData, in_zone, into)
        }
        Choice::NxDomain(in_zone) => {
            write_negative(snapshot, query, Rcode::NXDOMAIN, Counter::NxDomain, in_zone, into)
        }
        Choice::Refused => Body::refused(),
    }
}

/// One record from its parts.
#[cold]
fn write_parts(parts: &[&[u8]], into: &mut [u8]) -> Body {
    let mut at = 0;
    for part in parts {
        let Some(to) = into.get_mut(at..at + part.len()) else { return Body::truncated() };
        to.copy_from_slice(part);
        at += part.len();
    }
    Body::answer(1, at)
}

/// The zone's SOA in the authority section (RFC 2308 §2).
#[inline(never)]
fn write_negative(
    snapshot: &Snapshot,
    query: &Query<'_>,
    rcode: Rcode,
    counter: Counter,
    in_zone: InZone,
    into: &mut [u8],
) -> Body {
    match in_zone.zone(snapshot).negative_soa.write(in_zone.apex_offset(query), into) {
        Some(len_octets) => Body { nscount: 1, len_octets, ..Body::empty(rcode, FLAG_AA, counter) },
        None => Body { rcode, ..Body::truncated() },
    }
}

/// Header and question. AD and CD are cleared, as RFC 4035 §3.1.6 asks of an authoritative server.
#[inline]
fn write_head(reply: &mut [u8], asked_flags: u16, asked: &[u8], body: &Body, has_opt: bool) {
    reply[..asked.len()].copy_from_slice(asked);
    let flags = FLAG_QR | asked_flags & (OPCODE_MASK | FLAG_RD) | body.flags | body.rcode.0 & 0x000F;
    let qdcount = u64::from(asked.len() > HEADER_OCTETS);
    let counts =
        qdcount << 48 | u64::from(body.ancount) << 32 | u64::from(body.nscount) << 16 | u64::from(has_opt);
    reply[2..4].copy_from_slice(&flags.to_be_bytes());
    reply[4..HEADER_OCTETS].copy_from_slice(&counts.to_be_bytes());
}

/// The OPT record: our UDP size, the upper bits of the response code, version 0, DO as it was asked; returns its octets.
#[inline]
fn write_opt(
    snapshot: &Snapshot,
    edns: &Edns<'_>,
    rcode: Rcode,
    subnet: Option<ClientSubnet>,
    scope_len: u8,
    into: &mut [u8],
) -> usize {
    let (fixed, options) = into.split_at_mut(OPT_FIXED_OCTETS);
    let options_len = subnet.and_then(|subnet| subnet.write(scope_len, options)).unwrap_or(0);
    let flags = if edns.dnssec_ok { FLAG_DO } else { 0 };
    fixed[0] = 0;
    fixed[1..3].copy_from_slice(&Rtype::OPT.0.to_be_bytes());
    fixed[3..5].copy_from_slice(&snapshot.protocol.edns_udp_size.to_be_bytes());
    fixed[5] = (rcode.0 >> 4) as u8;
    fixed[6] = 0;
    fixed[7..9].copy_from_slice(&flags.to_be_bytes());
    fixed[9..11].copy_from_slice(&(options_len as u16).to_be_bytes());
    OPT_FIXED_OCTETS + options_len
}
