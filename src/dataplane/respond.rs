//! The whole life of a query, sans I/O: octets and facts in, an outcome out.
//!
//! UDP, TCP, benches, fuzz targets and tests all call `respond`; nothing else knows how to answer.

use std::net::IpAddr;
use std::sync::Arc;

use super::choose::{PoolChoice, choose_pool};
use super::guard::{Judgement, judge_cookie};
use super::lookup::{Owner, lookup, place};
use super::parse::{Query, Rejection, parse_any, parse_trusting, parse_with_options};
use super::plain::{answer_plainly, deny_plainly, draw_many};
use super::render::{Bare, Told, copy_asked, drawn_body, finish, render_bare, room_for_one};
use super::resolve::resolve;
use super::trace::{Draw, Off, Step, Trace};
use super::turn::Turn;
pub use super::turn::{DropReason, Transport};
use crate::state::counters::{Counter, Counters};
use crate::state::publish::Generation;
use crate::state::rotation::{Drawn, Source, is_hashed};
use crate::wire::cookie::{Cookie, Standing};
use crate::wire::message::Rcode;

/// What a reply buffer must hold at least: header, longest question, OPT with the longest client subnet, and then some.
pub const MIN_REPLY_OCTETS: usize = 512;

/// What becomes of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Send this many octets of the reply buffer.
    Reply(usize),
    /// Send nothing.
    Drop(DropReason),
}

/// What one worker keeps from query to query.
#[derive(Default)]
pub struct WorkerState {
    /// The worker's counters, shared with the control side.
    pub counters: Arc<Counters>,
}

impl WorkerState {
    /// A worker's state that counts into `counters`.
    pub fn new(counters: Arc<Counters>) -> WorkerState {
        WorkerState { counters }
    }
}

/// Answers one message from `client`; the reply is at the beginning of `reply`.
///
/// # Panics
/// When `reply` is shorter than [`MIN_REPLY_OCTETS`]. Never because of the octets of `message`.
#[inline(never)]
pub fn respond(
    generation: &mut Generation,
    worker: &mut WorkerState,
    client: IpAddr,
    transport: Transport,
    message: &[u8],
    reply: &mut [u8],
) -> Outcome {
    respond_traced(Off, generation, worker, &client, transport, message, reply)
}

/// The same for who wants to know why.
///
/// # Panics
/// As [`respond`].
#[inline(always)]
pub fn respond_traced<T: Trace>(
    trace: T,
    generation: &mut Generation,
    worker: &mut WorkerState,
    client: &IpAddr,
    transport: Transport,
    message: &[u8],
    reply: &mut [u8],
) -> Outcome {
    assert!(reply.len() >= MIN_REPLY_OCTETS, "reply buffer too short");
    let counters = &*worker.counters;
    counters.bump(if transport.is_stream() { Counter::TcpQueries } else { Counter::UdpQueries });
    let Generation { snapshot, rotations, guard, .. } = generation;
    let turn = Turn { snapshot, rotations, counters, client, transport, guard };
    match parse_trusting(message) {
        Some(query) => match lookup(turn.snapshot, query) {
            Some(owner) => Outcome::Reply(answer(trace, turn, query, owner, None, reply)),
            None => respond_to_absent(trace, turn, query, message, reply),
        },
        None => respond_to_options(trace, turn, message, reply),
    }
}

/// Answers a query for a name that is not there, or that was taken for a name and is none.
#[inline(never)]
fn respond_to_absent<T: Trace>(
    trace: T,
    turn: Turn<'_>,
    query: Query<'_>,
    message: &[u8],
    reply: &mut [u8],
) -> Outcome {
    if query.is_whole() {
        Outcome::Reply(answer_absent(trace, turn, query, None, reply))
    } else {
        respond_to_options(trace, turn, message, reply)
    }
}

/// Answers a query that has options in its OPT record: resolvers that tell a client subnet or a cookie.
#[inline(never)]
fn respond_to_options<T: Trace>(trace: T, turn: Turn<'_>, message: &[u8], reply: &mut [u8]) -> Outcome {
    match parse_with_options(message, turn.snapshot.protocol.understood) {
        Some(query) => Outcome::Reply(admit_and_answer(trace, turn, query, reply)),
        None => respond_to_any(trace, turn, message, reply),
    }
}

/// Answers a message that does not look like most queries: rejects it, or answers it like any other.
#[inline(never)]
fn respond_to_any<T: Trace>(trace: T, mut turn: Turn<'_>, message: &[u8], reply: &mut [u8]) -> Outcome {
    let (snapshot, counters) = (turn.snapshot, turn.counters);
    match parse_any(message, snapshot.protocol.understood) {
        Ok(query) => Outcome::Reply(admit_and_answer(trace, turn, query, reply)),
        Err(Rejection::Fault(fault)) => {
            let judged =
                fault.cookie(snapshot.protocol.understood).and_then(|cookie| judge(&mut turn, cookie));
            let told = judged.as_ref().map(|judged| &judged.option);
            Outcome::Reply(render_bare(snapshot, counters, &Bare::error(&fault, told), reply))
        }
        Err(Rejection::Cookie(fault, cookie)) => {
            let judged = judge(&mut turn, cookie);
            let told = judged.as_ref().map(|judged| &judged.option);
            let rcode = match &judged {
                // "the response SHALL have the RCODE BADCOOKIE if the Server Cookie sent with the query was invalid"
                // (RFC 7873 §5.4), over whatever transport.
                Some(judged) if judged.standing == Standing::Invalid => Rcode::BADCOOKIE,
                Some(_) => Rcode::NOERROR,
                None => Rcode::FORMERR,
            };
            Outcome::Reply(render_bare(
                snapshot,
                counters,
                &Bare { rcode, ..Bare::error(&fault, told) },
                reply,
            ))
        }
        Err(Rejection::Drop(reason)) => {
            turn.counters.bump(match reason {
                DropReason::Short => Counter::DropShort,
                DropReason::Response => Counter::DropResponse,
            });
            Outcome::Drop(reason)
        }
    }
}

/// What the cookie of a message is worth; `None` where cookies are off.
fn judge(turn: &mut Turn<'_>, cookie: Cookie<'_>) -> Option<Judgement> {
    let policy = turn.snapshot.protocol.cookies.as_ref()?;
    Some(judge_cookie(turn.guard, policy, turn.counters, *turn.client, turn.transport, cookie))
}

/// Answers a query that was read in one of the longer ways, if its cookie lets it; returns the reply's octets.
#[inline(always)]
fn admit_and_answer<T: Trace>(trace: T, mut turn: Turn<'_>, query: Query<'_>, reply: &mut [u8]) -> usize {
    let judged;
    let told = match query.cookie().and_then(|cookie| judge(&mut turn, cookie)) {
        None => None,
        Some(judgement) => {
            judged = judgement;
            if !judged.admitted {
                let Turn { snapshot, counters, .. } = turn;
                let (asked, edns, rcode) = (query.asked, query.edns, Rcode::BADCOOKIE);
                let bare = Bare { asked, edns, rcode, told: Some(&judged.option) };
                return render_bare(snapshot, counters, &bare, reply);
            }
            Some(&judged.option)
        }
    };
    match lookup(turn.snapshot, query) {
        Some(owner) => answer(trace, turn, query, owner, told, reply),
        None => answer_absent(trace, turn, query, told, reply),
    }
}

/// Answers a query whose name exists; returns the reply's octets. All of it is inlined and handed on by value, so that what
/// is known of the query stays in registers on its way to a pool's answer; whatever is not drawn is one call out of line.
#[inline(always)]
fn answer<T: Trace>(
    trace: T,
    turn: Turn<'_>,
    query: Query<'_>,
    owner: Owner<'_>,
    told: Told<'_>,
    reply: &mut [u8],
) -> usize {
    let Turn { snapshot, rotations, counters, client, transport, guard } = turn;
    let Some(small) = reply.first_chunk_mut::<MIN_REPLY_OCTETS>() else { return 0 };
    copy_asked(query.asked, small);
    trace.note(|| {
        let name = query.qname();
        Step::Name { name, found: place(snapshot, name, Some(owner)) }
    });
    let choice = choose_pool(trace, snapshot, client, query, owner);
    if let Some(PoolChoice { family, scope, ttl, .. }) = choice {
        let health = &snapshot.health;
        trace.before_draw(rotations, Draw { health, family, scope, ttl, is_alone: false });
    }
    if let Some(PoolChoice { family, scope, ttl, scope_len }) = choice
        && let Some(into) = room_for_one(query, small)
        && match is_hashed(scope) {
            false => rotations.draw_single(&snapshot.health, family, scope, ttl, into),
            true => rotations.draw_alone(&snapshot.health, family, scope, ttl, into),
        }
        .is_some()
    {
        let body = drawn_body(counters, family, scope_len, Drawn { count: 1, source: Source::Up });
        return finish(snapshot, counters, transport, query, body, told, small);
    }
    let turn = Turn { snapshot, rotations, counters, client, transport, guard };
    let body = match choice {
        Some(_) => draw_many(trace, turn, query, owner, reply),
        None => match answer_plainly(trace, &turn, query, owner, reply) {
            Some(body) => body,
            None => resolve(trace, turn, query, Some(owner), reply),
        },
    };
    finish(snapshot, counters, transport, query, body, told, reply)
}

/// Answers a query whose name does not exist, or not in its class; returns the reply's octets.
#[inline(never)]
fn answer_absent<T: Trace>(
    trace: T,
    turn: Turn<'_>,
    query: Query<'_>,
    told: Told<'_>,
    reply: &mut [u8],
) -> usize {
    let Turn { snapshot, counters, transport, .. } = turn;
    copy_asked(query.asked, reply);
    let body = match deny_plainly(trace, &turn, query, reply) {
        Some(body) => body,
        None => resolve(trace, turn, query, None, reply),
    };
    finish(snapshot, counters, transport, query, body, told, reply)
}
