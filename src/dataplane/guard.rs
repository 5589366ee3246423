//! Who is answered, and how often: cookies (RFC 7873, RFC 9018) and response rate limiting.
//!
//! Cookies are judged where a query has one, before it is answered; rates where a reply stands ready. Queries without a
//! cookie pay nothing, servers without rates one test a batch. Time arrives from outside, memory is that of the generation;
//! nothing a client sends makes anything grow.

use std::net::IpAddr;

use super::respond::{Outcome, WorkerState, respond};
use super::turn::Transport;
use crate::state::buckets::{Buckets, Key, Verdict};
use crate::state::counters::{Counter, Counters};
use crate::state::guard::Guard;
use crate::state::policy::{CookiePolicy, RatePolicy, Require, ResponseClass};
use crate::state::publish::Generation;
use crate::wire::cookie::{COOKIE_OPTION_OCTETS, Cookie, Standing};
use crate::wire::edns::{MIN_UDP_SIZE, OPT_RCODE_AT};
use crate::wire::message::{FLAG_AA, FLAG_TC, HEADER_OCTETS, Header, QUESTION_TAIL_OCTETS, Rcode, Rtype};
use crate::wire::name::uncompressed_len;
use crate::wire::record::Record;

/// What is said to a query with a cookie.
pub(super) struct Judgement {
    /// The COOKIE option of the reply.
    pub(super) option: [u8; COOKIE_OPTION_OCTETS],
    /// What the query's cookie is worth.
    pub(super) standing: Standing,
    /// Whether the query is answered; else BADCOOKIE is.
    pub(super) admitted: bool,
}

/// Judges the cookie of a query.
#[inline(never)]
pub(super) fn judge_cookie(
    guard: &mut Guard,
    policy: &CookiePolicy,
    counters: &Counters,
    client: IpAddr,
    transport: Transport,
    cookie: Cookie<'_>,
) -> Judgement {
    let now_secs = guard.now().unix_secs;
    let standing = cookie.standing(&policy.secrets, now_secs, client);
    guard.standing = Some(standing);
    let (counter, is_valid) = match standing {
        Standing::Absent => (Counter::CookieNew, false),
        Standing::Invalid => (Counter::CookieBad, false),
        Standing::Stale | Standing::Fresh => (Counter::CookieValid, true),
    };
    counters.bump(counter);
    let is_udp = transport == Transport::Udp;
    if is_udp && is_valid {
        guard.note_known();
    }
    let required = match policy.require {
        Require::Never => false,
        Require::UnderLoad => guard.is_under_load(policy.load_qps),
        Require::Always => true,
    };
    // A connection proves the address as well as a cookie does (RFC 7873 §5.2.3: BADCOOKIE is for UDP).
    let admitted = is_valid || !(required && is_udp);
    Judgement { option: cookie.option(standing, &policy.secrets, now_secs, client), standing, admitted }
}

/// Whether rates are limited: datagrams are then for [`answer_limited`].
#[inline]
pub fn is_limiting(generation: &Generation) -> bool {
    // A table is there where there are rates.
    !generation.buckets.is_empty()
}

/// Answers a datagram, if it is one that is answered, as often as its client's rate allows; returns the reply's octets, 0 for
/// none. Without rates it only answers.
pub fn answer_limited(
    generation: &mut Generation,
    worker: &mut WorkerState,
    client: IpAddr,
    query: &[u8],
    reply: &mut [u8],
) -> usize {
    generation.guard.standing = None;
    let Outcome::Reply(len) = respond(generation, worker, client, Transport::Udp, query, reply) else {
        return 0;
    };
    let Generation { snapshot, buckets, guard, .. } = generation;
    let (Some(policy), Some(reply)) = (&snapshot.protocol.rates, reply.get_mut(..len)) else { return len };
    limit(policy, buckets, guard, &worker.counters, client, reply)
}

/// What of a reply is sent: all of it, little of it, or nothing.
fn limit(
    policy: &RatePolicy,
    buckets: &mut Buckets,
    guard: &Guard,
    counters: &Counters,
    client: IpAddr,
    reply: &mut [u8],
) -> usize {
    let is_known = matches!(guard.standing, Some(Standing::Fresh | Standing::Stale));
    // Before anything is counted: who is exempt uses up nobody's rate.
    if is_known || policy.exempt.lookup(client).region.is_some() {
        return reply.len();
    }
    let class = class_of(reply);
    let (network, is_v6) = policy.network(client);
    let key = Key { network, is_v6, class: class as u8 };
    let verdict = buckets.take(key, &policy.rates, policy.slip, guard.now().ticks);
    if verdict == Verdict::Within {
        return reply.len();
    }
    let slips = verdict == Verdict::Slip && can_slip(class, guard.standing);
    counters.bump(counter_of(class, slips));
    match (policy.log_only, slips) {
        (true, _) => reply.len(),
        (false, true) => shorten(reply, guard.standing.is_some()),
        (false, false) => 0,
    }
}

/// Whether a client can be told that it is over its rate: an error stays one over TCP, but a cookie always helps.
fn can_slip(class: ResponseClass, standing: Option<Standing>) -> bool {
    class != ResponseClass::Error || standing.is_some()
}

/// The class of a reply, read off its own header.
#[inline]
fn class_of(reply: &[u8]) -> ResponseClass {
    let Some(header) = Header::read(reply) else { return ResponseClass::Error };
    let has_answer = header.ancount > 0 || header.flags & FLAG_TC != 0;
    match Rcode(header.flags & 0x000F) {
        _ if reply.len() > usize::from(MIN_UDP_SIZE) => ResponseClass::Large,
        Rcode::NOERROR if has_answer => ResponseClass::Answer,
        Rcode::NOERROR if header.flags & FLAG_AA != 0 => ResponseClass::NoData,
        Rcode::NOERROR if header.nscount > 0 => ResponseClass::Referral,
        Rcode::NXDOMAIN => ResponseClass::NxDomain,
        // BADVERS among them, whose code is above the header's four bits.
        _ => ResponseClass::Error,
    }
}

/// Leaves header, question and OPT record of a reply, as BADCOOKIE where the OPT record has a cookie for the client to come
/// again with, else truncated; returns the octets.
fn shorten(reply: &mut [u8], has_cookie: bool) -> usize {
    let Some(header) = Header::read(reply) else { return 0 };
    let question_end = match header.qdcount {
        0 => HEADER_OCTETS,
        _ => {
            HEADER_OCTETS + uncompressed_len(reply, HEADER_OCTETS).unwrap_or_default() + QUESTION_TAIL_OCTETS
        }
    };
    let mut end = question_end;
    if let Some((start, opt_end)) = find_opt(reply, question_end, header) {
        reply.copy_within(start..opt_end, question_end);
        end += opt_end - start;
    }
    let flags = if has_cookie {
        reply[question_end + OPT_RCODE_AT] = (Rcode::BADCOOKIE.0 >> 4) as u8;
        header.flags & !(FLAG_AA | FLAG_TC | 0x000F) | Rcode::BADCOOKIE.0 & 0x000F
    } else {
        header.flags | FLAG_TC
    };
    let arcount = u16::from(end > question_end);
    let header = Header { flags, ancount: 0, nscount: 0, arcount, ..header };
    reply[..HEADER_OCTETS].copy_from_slice(&header.to_octets());
    end
}

/// Where a reply has its OPT record.
fn find_opt(reply: &[u8], mut at: usize, header: Header) -> Option<(usize, usize)> {
    for _ in 0..u32::from(header.ancount) + u32::from(header.nscount) + u32::from(header.arcount) {
        let record = Record::read(reply, at).ok()?;
        if record.rtype == Rtype::OPT {
            return Some((at, record.end));
        }
        at = record.end;
    }
    None
}

/// What counts a reply over its rate.
fn counter_of(class: ResponseClass, slips: bool) -> Counter {
    match (class, slips) {
        (ResponseClass::Answer, false) => Counter::RrlDroppedAnswer,
        (ResponseClass::NoData, false) => Counter::RrlDroppedNoData,
        (ResponseClass::NxDomain, false) => Counter::RrlDroppedNxDomain,
        (ResponseClass::Referral, false) => Counter::RrlDroppedReferral,
        (ResponseClass::Error, false) => Counter::RrlDroppedError,
        (ResponseClass::Large, false) => Counter::RrlDroppedLarge,
        (ResponseClass::Answer, true) => Counter::RrlSlippedAnswer,
        (ResponseClass::NoData, true) => Counter::RrlSlippedNoData,
        (ResponseClass::NxDomain, true) => Counter::RrlSlippedNxDomain,
        (ResponseClass::Referral, true) => Counter::RrlSlippedReferral,
        (ResponseClass::Error, true) => Counter::RrlSlippedError,
        (ResponseClass::Large, true) => Counter::RrlSlippedLarge,
    }
}
