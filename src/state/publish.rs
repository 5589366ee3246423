//! Handing a new snapshot to a worker, and the old one back, without a lock.
//!
//! The control side prepares everything a worker needs (the snapshot and the rotations sized for it), so that adopting
//! is an exchange of two pointers between batches and a copy of what is carried over (some nanoseconds a member); what is retired is freed by the control side, not on the packet path.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::atomic::AtomicCell;

use super::buckets::Buckets;
use super::guard::Guard;
use super::rotation::{Carry, RotationTable};
use super::snapshot::Snapshot;

/// What a worker adopts as a whole.
pub struct Generation {
    /// What to answer with.
    pub snapshot: Arc<Snapshot>,
    /// The worker's own positions in the snapshot's pools.
    pub rotations: RotationTable,
    /// The worker's own counts of replies by client network; without places where nothing is limited.
    pub buckets: Buckets,
    /// What the worker knows of the time and its load, whatever the generation.
    pub guard: Guard,
    /// What of the positions before lives on.
    pub carry: Arc<Carry>,
}

impl Generation {
    /// A first generation, which has nothing to carry over.
    pub fn first(snapshot: Arc<Snapshot>, seed: u32) -> Generation {
        let rotations = RotationTable::new(&snapshot.pools, seed);
        let buckets = buckets_for(&snapshot);
        Generation { snapshot, rotations, buckets, guard: Guard::default(), carry: Arc::default() }
    }
}

/// An empty table for what a snapshot limits.
pub fn buckets_for(snapshot: &Snapshot) -> Buckets {
    match snapshot.protocol.rates {
        Some(_) => {
            // Two numbers that no client can know: std seeds its hashers from the system's random source.
            let state = RandomState::new();
            Buckets::new([state.hash_one(0u8), state.hash_one(1u8)])
        }
        None => Buckets::default(),
    }
}

/// The slot between the control side and one worker.
pub struct Mailbox {
    /// Number of the newest generation that was put in; lets the worker look without taking.
    posted: AtomicU64,
    incoming: AtomicCell<Option<Box<Generation>>>,
    retired: AtomicCell<Option<Box<Generation>>>,
    /// Number of the generation the worker answers from.
    adopted: AtomicU64,
}

impl Mailbox {
    /// The mailbox of a worker that starts with this generation.
    pub fn new(generation: u64) -> Mailbox {
        Mailbox {
            posted: AtomicU64::new(generation),
            incoming: AtomicCell::new(None),
            retired: AtomicCell::new(None),
            adopted: AtomicU64::new(generation),
        }
    }

    /// Control side: offers a generation, in place of one that was offered and not adopted yet. Its carry refers to the
    /// generation that the worker answers from, or is empty.
    pub fn post(&self, generation: Box<Generation>) {
        let number = generation.snapshot.generation;
        self.incoming.store(Some(generation));
        // Release: whoever sees the number sees the generation.
        self.posted.store(number, Ordering::Release);
    }

    /// Control side: frees what the worker has retired.
    pub fn collect_retired(&self) {
        drop(self.retired.take());
    }

    /// The generation the worker answers from.
    pub fn adopted(&self) -> u64 {
        // Acquire: the worker's use of the generation before happens before this.
        self.adopted.load(Ordering::Acquire)
    }

    /// Worker: exchanges its generation for a newer one, if there is one; true when it did. Two loads when there is none.
    #[inline]
    pub fn adopt(&self, current: &mut Box<Generation>) -> bool {
        if self.posted.load(Ordering::Acquire) == current.snapshot.generation {
            return false;
        }
        self.exchange(current)
    }

    #[cold]
    fn exchange(&self, current: &mut Box<Generation>) -> bool {
        let Some(mut next) = self.incoming.take() else { return false };
        next.rotations.carry_from(&current.rotations, &next.carry);
        next.buckets.carry_from(&mut current.buckets);
        next.guard = std::mem::take(&mut current.guard);
        let old = std::mem::replace(current, next);
        // The control side empties `retired` before it posts again, so this frees nothing here.
        self.retired.store(Some(old));
        // Release: pairs with the acquire in `adopted`.
        self.adopted.store(current.snapshot.generation, Ordering::Release);
        true
    }
}

const _: () = assert!(AtomicCell::<Option<Box<Generation>>>::is_lock_free());
