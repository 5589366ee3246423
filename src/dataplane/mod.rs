//! The packet path: from a query's octets to a reply's.
//!
//! Nothing here allocates, locks, logs, reads a clock or makes a system call per query. State, time and transport
//! arrive as arguments, so the same code serves UDP, TCP, benches, fuzzing and explanations.
#![cfg_attr(not(test), deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros))]

/// What is answered, and to whom it applies.
pub mod choose;
/// Who is answered, and how often.
pub mod guard;
/// Query name to what it owns.
pub mod lookup;
/// Octets to a query, or to a reason why not.
pub mod parse;
/// The reply's octets.
pub mod render;
/// The whole life of a query.
pub mod respond;
/// What all steps of one answer share.
pub mod turn;
/// The loop that joins sockets and `respond`.
pub mod worker;
