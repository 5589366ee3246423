//! Datagrams and streams of one worker: who listens, what has arrived, what goes back. Knows no DNS beyond the
//! two-octet length before a message on a stream (RFC 1035 §4.2.2, RFC 7766 §8).
//!
//! # Invariants
//! - A worker owns its sockets: the only thing workers share is `limits::ConnectionLimits`, atomic counters.
//! - No peer can make a worker wait: every socket is non-blocking, every turn has a bound on its work, and what a
//!   peer may make us hold is bounded.
//! - The clock is read at most once a turn, by `reactor::WorkerIo::wait`, and only where connections need it; everything
//!   else is given the time.

/// Binds the sockets of all workers to a listen address, refusing to share it with another process.
pub mod listen;

/// The core a worker runs on.
pub mod pin;

/// What a worker waits on: its epoll, its sockets, its waker.
pub mod reactor;

/// One non-blocking datagram socket, read and written in batches.
pub mod udp;

/// The stream listeners of a worker and their connections: admission, turns, expiry.
pub mod tcp;

/// One stream: reads, back-pressure, writes.
mod stream;

/// Messages behind their lengths, and the answers to them; pure.
pub mod framing;

/// How many connections there may be, in all and per client, over all workers.
pub mod limits;

/// A slab in order of recency, for expiry and eviction.
mod recency;

/// Called once at start-up by the control side.
pub use crate::sys::heap::give_back_large_blocks;

#[cfg(test)]
mod tests;
