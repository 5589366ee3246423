//! DNS wire format: octets to meaning and back (RFC 1035, RFC 6891, RFC 7871).
//!
//! # Panic contract
//! No function here panics on any octets, however malformed, at any offset; each returns a `error::WireError`.
//! A writer that runs out of room says so and writes nothing beyond it. Nothing here allocates, logs, or knows what
//! a zone or a pool is.
#![cfg_attr(not(test), deny(clippy::disallowed_types, clippy::disallowed_methods, clippy::disallowed_macros))]

/// DNS cookies.
pub mod cookie;
/// The OPT record and the client-subnet option.
pub mod edns;
/// What can be wrong with octets, and the response code for it.
pub mod error;
/// Header and codes.
pub mod message;
/// Domain names.
pub mod name;
/// A walk over resource records.
pub mod record;
/// SHA-1, for NSEC3.
pub mod sha1;
/// A bounded writer.
pub mod writer;
