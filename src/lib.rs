//! steerd: an authoritative DNS server that answers with the healthy members of a pool.
//!
//! The map of the house, in the order a query, a verdict and a configuration pass through it (ARCHITECTURE.md).

/// Octets to meaning and back; no policy, no allocation, a panic contract.
pub mod wire;
/// The only memory that both the packet path and the control side see.
pub mod state;
/// Every `unsafe` of the project: system calls that no safe crate wraps.
pub mod sys;
/// Datagrams and streams of a worker; knows no DNS.
pub mod io;
/// The packet path: query octets to reply octets.
pub mod dataplane;
/// YAML to a validated model to a snapshot.
pub mod config;
/// Keys, signatures, proofs of denial and rollovers; pure but for the folder of the keys.
pub mod dnssec;
/// Probes, verdicts and the one writer of the health table.
pub mod health;
/// The process's life, metrics and the admin listener.
pub mod control;
/// The command line.
pub mod cli;
