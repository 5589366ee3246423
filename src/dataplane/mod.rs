//! The packet path: from a query's octets to a reply's.
//!
//! Nothing here allocates, locks, logs, reads a clock or makes a system call per query. State, time and transport
//! arrive as arguments, so the same code serves UDP, TCP, benches, fuzzing and explanations.
#![cfg_attr(not(test), deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros))]

/// What a chain of aliases has passed.
mod chain;
/// Questions about the server itself.
mod chaos;
/// Which pool answers, and for whom.
pub mod choose;
/// Who is answered, and how often.
pub mod guard;
/// Proofs that something is not there.
mod denial;
/// Query name to what it owns.
pub mod lookup;
/// Octets to a query, or to a reason why not.
pub mod parse;
/// The answers that take no detour.
mod plain;
/// The reply's octets around its records.
pub mod render;
/// What is answered where it takes more than one RRset.
pub mod resolve;
/// The whole life of a query.
pub mod respond;
/// The records of a reply.
mod sections;
/// What is noted of an answer on its way.
pub mod trace;
/// What all steps of one answer share.
pub mod turn;
/// The loop that joins sockets and `respond`.
pub mod worker;
