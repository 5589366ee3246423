//! What a change of the configuration does to traffic, and what failures do: shares as the rotations have them, nothing sampled.
//!
//! Two configurations are compiled as a worker would have them; clients are told apart as their pools tell them apart; what
//! either would answer is read off the rotations, and held against the other. A member's share is how often it is the first
//! address of an answer. Serves nobody, probes nobody and writes nothing.

/// Who asks: lines or a capture.
pub mod clients;
/// Two sides held against each other.
pub mod compare;
/// What is asked of which pool.
mod demand;
/// What each single failure puts on the others.
pub mod failures;
/// As JSON.
mod json;
/// Shares that have been read off rotations.
mod known;
/// Names before and after.
mod names;
/// A captured frame.
pub mod packet;
/// Captures of queries.
pub mod pcap;
/// One of the two configurations.
pub mod side;
/// Two topologies laid over each other.
pub mod terrain;
/// For people.
mod text;
