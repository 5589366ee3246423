//! The whole life of a query, sans I/O: octets and facts in, an outcome out.
//!
//! UDP, TCP, benches, fuzz targets and tests all call `respond`; nothing else knows how to answer.

use std::net::IpAddr;
use std::sync::Arc;

use super::choose::{PoolChoice, choose_pool};
use super::lookup::lookup;
use super::parse::{Query, Rejection, parse_any, parse_plain};
use super::render::{copy_asked, drawn_body, finish, render_error, room_for_one, write_fixed, write_pool};
use crate::state::counters::{Counter, Counters};
use crate::state::publish::Generation;

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

/// Why a message gets no reply at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Fewer than 12 octets: there is no identifier to answer to.
    Short,
    /// QR is set: answering responses would let two servers talk for ever.
    Response,
}

/// How the query came, and so how large a reply may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram: 512 octets, or what EDNS agrees on.
    Udp,
    /// A stream: 65,535 octets.
    Tcp,
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
    assert!(reply.len() >= MIN_REPLY_OCTETS, "reply buffer too short");
    let counters = &*worker.counters;
    counters.bump(match transport {
        Transport::Udp => Counter::UdpQueries,
        Transport::Tcp => Counter::TcpQueries,
    });
    match parse_plain(message) {
        Some(query) if !query.has_options() => {
            Outcome::Reply(answer(generation, counters, client, transport, query, reply))
        }
        Some(query) => respond_to_options(generation, counters, client, transport, query, message, reply),
        None => respond_to_any(generation, counters, client, transport, message, reply),
    }
}

/// Answers a query that has options in its OPT record: resolvers that tell a client subnet or a cookie.
#[inline(never)]
fn respond_to_options(
    generation: &mut Generation,
    counters: &Counters,
    client: IpAddr,
    transport: Transport,
    query: Query<'_>,
    message: &[u8],
    reply: &mut [u8],
) -> Outcome {
    match query.with_options(generation.snapshot.protocol.client_subnet) {
        Ok(query) => Outcome::Reply(answer(generation, counters, client, transport, query, reply)),
        Err(_) => respond_to_any(generation, counters, client, transport, message, reply),
    }
}

/// Answers a message that does not look like most queries: rejects it, or answers it like any other.
#[inline(never)]
fn respond_to_any(
    generation: &mut Generation,
    counters: &Counters,
    client: IpAddr,
    transport: Transport,
    message: &[u8],
    reply: &mut [u8],
) -> Outcome {
    match parse_any(message, generation.snapshot.protocol.client_subnet) {
        Ok(query) => Outcome::Reply(answer(generation, counters, client, transport, query, reply)),
        Err(Rejection::Fault(fault)) => {
            Outcome::Reply(render_error(&generation.snapshot, counters, &fault, reply))
        }
        Err(Rejection::Drop(reason)) => {
            counters.bump(match reason {
                DropReason::Short => Counter::DropShort,
                DropReason::Response => Counter::DropResponse,
            });
            Outcome::Drop(reason)
        }
    }
}

/// Answers a query; returns the reply's octets. All of it is inlined and handed on by value, so that what is known of
/// the query stays in registers on its way to a pool's answer; whatever is not drawn is one call out of line.
#[inline(always)]
fn answer(
    generation: &mut Generation,
    counters: &Counters,
    client: IpAddr,
    transport: Transport,
    query: Query<'_>,
    reply: &mut [u8],
) -> usize {
    let Generation { snapshot, rotations, .. } = generation;
    let snapshot = &**snapshot;
    let Some(small) = reply.first_chunk_mut::<MIN_REPLY_OCTETS>() else { return 0 };
    copy_asked(query.asked, small);
    let owner = lookup(snapshot, query);
    let choice = owner.and_then(|owner| choose_pool(snapshot, client, query, owner));
    if let Some(PoolChoice { family, scope, ttl_secs, scope_len }) = choice
        && let Some(into) = room_for_one(query, small)
    {
        let drawn = rotations.draw_single(&snapshot.health, family, scope, ttl_secs, into);
        if drawn.count > 0 {
            let body = drawn_body(counters, family, scope_len, drawn);
            return finish(snapshot, counters, query, body, small);
        }
    }
    let body = match owner {
        Some(owner) if choice.is_some() => {
            write_pool(snapshot, rotations, counters, client, transport, query, owner, reply)
        }
        owner => write_fixed(snapshot, rotations, transport, query, owner, reply),
    };
    finish(snapshot, counters, query, body, reply)
}
