//! The whole life of a query, sans I/O: octets and facts in, an outcome out.
//!
//! UDP, TCP, benches, fuzz targets and tests all call `respond`; nothing else knows how to answer.

use std::net::IpAddr;
use std::sync::Arc;

use super::choose::choose;
use super::lookup::lookup;
use super::parse::{Rejection, parse};
use super::render::{render, render_error};
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
/// When `reply` is shorter than [`MIN_REPLY_OCTETS`]. Never because of the octets of `query`.
#[inline]
pub fn respond(
    generation: &mut Generation,
    worker: &mut WorkerState,
    client: IpAddr,
    transport: Transport,
    query: &[u8],
    reply: &mut [u8],
) -> Outcome {
    assert!(reply.len() >= MIN_REPLY_OCTETS, "reply buffer too short");
    let Generation { snapshot, rotations, .. } = generation;
    let WorkerState { counters } = worker;
    counters.bump(match transport {
        Transport::Udp => Counter::UdpQueries,
        Transport::Tcp => Counter::TcpQueries,
    });
    let query = match parse(query, snapshot.protocol.client_subnet) {
        Ok(query) => query,
        Err(Rejection::Drop(reason)) => {
            counters.bump(match reason {
                DropReason::Short => Counter::DropShort,
                DropReason::Response => Counter::DropResponse,
            });
            return Outcome::Drop(reason);
        }
        Err(Rejection::Fault(fault)) => {
            return Outcome::Reply(render_error(snapshot, counters, &fault, reply));
        }
    };
    let found = lookup(snapshot, &query);
    let choice = choose(snapshot, rotations, client, &query, found);
    Outcome::Reply(render(snapshot, rotations, counters, transport, &query, choice, reply))
}
