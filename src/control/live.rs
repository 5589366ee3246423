//! What is live now: shared between the supervisor, which replaces it, and everybody who reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::RwLock;

use super::sets::SetFigures;
use super::signing::SignedFigures;
use crate::config::zone::choose::Served;
use crate::health::{Status, StatusBoard};
use crate::io::limits::ConnectionLimits;
use crate::state::counters::Counters;
use crate::state::publish::Mailbox;

/// What reports are made of.
pub(super) struct Live {
    /// One a worker.
    pub(super) workers: Box<[WorkerView]>,
    /// What the probes know.
    pub(super) board: Arc<StatusBoard>,
    /// Signed answers of several addresses.
    pub(super) sets: Arc<SetFigures>,
    /// TCP connections.
    pub(super) limits: Arc<ConnectionLimits>,
    /// The generation that all workers answer from, with what belongs to it. Held for writing while a generation is
    /// handed over, so that a report never pairs the members of one with the figures of another.
    pub(super) current: RwLock<Arc<Current>>,
    /// Number of the newest generation that all workers have adopted.
    pub(super) adopted: AtomicU64,
    /// Configurations that were read and refused.
    pub(super) reloads_failed: AtomicU64,
    /// Configurations that went live after the first.
    pub(super) reloads: AtomicU64,
    /// When the configuration in force went live, in seconds of the Unix epoch.
    pub(super) configured_at_secs: AtomicU64,
    /// When the process started, in seconds of the Unix epoch.
    pub(super) started_at_secs: u64,
}

impl Live {
    /// The current generation with the status of its members.
    pub(super) fn figures(&self) -> (Arc<Current>, Status) {
        let current = self.current.read();
        (current.clone(), self.board.snapshot())
    }

    /// Whether every worker answers from the configuration in force, or from one that is just replacing it.
    pub(super) fn is_healthy(&self) -> bool {
        let adopted = self.adopted.load(Ordering::Relaxed);
        self.workers.iter().all(|worker| worker.mailbox.adopted() >= adopted)
    }
}

/// What may be seen of a worker from outside.
pub(super) struct WorkerView {
    pub(super) counters: Arc<Counters>,
    pub(super) mailbox: Arc<Mailbox>,
}

/// One generation's figures.
pub(super) struct Current {
    /// Its number.
    pub(super) generation: u64,
    /// Names in the index, empty non-terminals among them.
    pub(super) names: usize,
    /// Ranges of the topology.
    pub(super) topology_ranges: usize,
    /// Zones with a file, and which version of it is served.
    pub(super) zones: Vec<(String, Served)>,
    /// Signed zones.
    pub(super) signed: Vec<SignedFigures>,
    /// Per worker the answers led by each member, members numbered over all pools.
    pub(super) draws: Vec<Arc<[AtomicU64]>>,
}

impl Current {
    /// Answers led by a member, over all workers.
    pub(super) fn draws_of(&self, member: usize) -> u64 {
        // Relaxed: counts stand alone.
        self.draws
            .iter()
            .filter_map(|worker| worker.get(member))
            .map(|cell| cell.load(Ordering::Relaxed))
            .sum()
    }
}

/// Seconds of the Unix epoch; 0 on a clock before it.
pub(super) fn unix_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
