//! steerd: an authoritative DNS server that answers with the healthy members of a pool.
//!
//! The map of the house, in the order a query, a verdict and a configuration pass through it (ARCHITECTURE.md).

/// YAML to a validated model to a snapshot.
pub mod config;
/// The packet path: query octets to reply octets.
pub mod dataplane;
/// Probes, verdicts and the one writer of the health table.
pub mod health;
/// Datagrams and streams; knows no DNS beyond the length frame of TCP.
pub mod io;
/// The only memory that both the packet path and the control side see.
pub mod state;
/// Every `unsafe` of the project, behind safe wrappers.
pub mod sys;
/// Octets to meaning and back; no policy, no allocation, a panic contract.
pub mod wire;
