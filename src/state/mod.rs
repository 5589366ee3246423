//! Memory that both planes see: written by the control side or the health keeper, read by the packet path.

/// Verdicts of the probes, under a sequence lock.
pub mod health_table;
/// The qname index.
pub mod names;
/// Which region an address lies in.
pub mod topology;
