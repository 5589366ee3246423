//! Every `unsafe` of the project: thin, safe wrappers around what the kernel offers and no crate wraps.
//!
//! # Invariants
//! - A block is preceded by a SAFETY comment that names what must hold and who keeps it.
//! - Nothing here knows DNS, decides anything or keeps state beyond the buffers of a `mmsg::Batch`.

/// Socket options, set before a socket carries traffic.
pub mod socket;

/// Datagrams in batches: recvmmsg, sendmmsg and the buffers they share.
pub mod mmsg;

/// The memory of a batch.
mod arena;

/// Programs that this process starts.
pub mod process;

/// Limits of the process.
pub mod limits;

/// Large blocks of memory.
pub mod heap;
