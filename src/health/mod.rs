//! Probes and verdicts: from the pools of a configuration to the words of the health table.
//!
//! ```text
//! Plan -> keeper -> mailbox -> prober (schedule -> attempt -> judge) -> report -> keeper (guard, machine, combination, words) -> HealthTable
//!                                                                                   |-> StatusBoard (saver), herald (log)
//! ```
//! A *target* is an address with a monitor; equal ones are probed once and their verdict goes to every *place* (pool,
//! member) that lists them. A few prober threads carry thousands of probes each, all of it non-blocking, so a dead
//! target costs a slot and never a thread. One keeper thread turns outcomes into states and is the only writer of the
//! table. A member with several monitors has as many targets, whose verdicts the keeper combines. Two more prober threads run programs
//! and look at files; what is pushed comes to the keeper from outside (`push`).
//!
//! # Invariants
//! * Only the keeper writes a `HealthTable` it has adopted.
//! * A target never has two probes in flight.
//! * What is the prober's own fault (no descriptors, no ports, no buffers) never changes a state.
//! * Nothing the log, the board's readers or a target do can hold a verdict back from the table.
//!
//! It never resolves names, never follows redirects, and knows nothing of queries.

/// What the keeper takes over from one plan to the next; pure.
mod adoption;
/// What a target says of itself beside being up or down.
pub mod advice;
/// The time that states are reckoned in.
mod clock;
/// What the monitors of a member come to together; pure.
mod combination;
/// Threads and channels: start, adopt, shut down.
mod engine;
/// Whether it is the prober that fails; pure.
pub mod guard;
/// The thread that logs, so that a stuck log never delays a verdict.
mod herald;
/// The thread that owns the table's write side.
mod keeper;
/// How late probes start, as a histogram.
pub mod lateness;
/// Outcomes to states; pure.
pub mod machine;
/// States without a server.
pub mod offline;
/// What an operator has decided over members.
pub mod overrides;
/// Pools to targets: what is probed, once each, and where its verdict goes.
pub mod plan;
/// What one probe says and what it waits for, one file a monitor.
mod probe;
/// The probe thread: an event loop over timers and connections.
mod prober;
/// The way of what is pushed into the engine.
pub mod push;
/// Why an outcome is what it is.
pub mod reason;
/// Writes states to disk.
mod saver;
/// When a probe starts: spread, interval and jitter; pure.
pub mod schedule;
/// What is known of every member and of the engine, for API and metrics.
pub mod status;
/// States that outlive the process, as a file; pure.
mod store;
/// What is known of a target, as words of the table.
mod words;

pub use engine::{Engine, EngineGone, Overrider};
pub use plan::Plan;
#[cfg(fuzzing)]
#[doc(hidden)]
pub use probe::fuzzing;
pub use saver::Memory;
pub use status::{Status, StatusBoard};

#[cfg(not(steerd_loom))]
#[cfg(test)]
pub(crate) mod tests;
