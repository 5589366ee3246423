//! The core a worker runs on. A worker that stays on one core keeps its caches and its counters' lines there.

/// Called by threads of the control side that nobody waits for: workers go before them.
pub use crate::sys::limits::stand_back;
use core_affinity::CoreId;

/// The cores this process may use, as it was started (a cpuset or taskset narrows them).
///
/// # Invariants
/// Taken before any thread is pinned: a pinned thread, and those it starts, see only their own core.
#[derive(Clone, Debug)]
pub struct Cores(Vec<CoreId>);

impl Cores {
    /// The cores open to the calling thread; none where the system does not tell.
    pub fn available() -> Cores {
        Cores(core_affinity::get_core_ids().unwrap_or_default())
    }

    /// How many there are; at least 1, for something runs this.
    pub fn count(&self) -> usize {
        self.0.len().max(1)
    }

    /// The number of the core to which each of so many workers is pinned; `None` where two would share one.
    pub fn of_workers(&self, workers: usize) -> Option<Vec<u32>> {
        let cores = self.0.get(..workers)?;
        cores.iter().map(|core| u32::try_from(core.id).ok()).collect()
    }

    /// Binds the calling thread to core number `worker`, counted round the available ones. False: it was not possible
    /// and the thread floats, which costs speed and nothing else.
    pub fn pin_current_thread(&self, worker: usize) -> bool {
        match self.0.get(worker % self.count()) {
            Some(core) => core_affinity::set_for_current(*core),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_sees_one_core_and_numbers_wrap_round() {
        let cores = Cores::available();
        let count = cores.count();
        for worker in [0, count - 1, count, 3 * count] {
            let cores = cores.clone();
            let seen = std::thread::spawn(move || {
                assert!(cores.pin_current_thread(worker));
                Cores::available().0
            })
            .join()
            .unwrap();
            assert_eq!(seen, [Cores::available().0[worker % count]]);
        }
    }

    #[test]
    fn each_worker_has_a_core_of_its_own_or_none_has() {
        let cores = Cores(vec![CoreId { id: 3 }, CoreId { id: 5 }]);
        assert_eq!(cores.of_workers(1), Some(vec![3]));
        assert_eq!(cores.of_workers(2), Some(vec![3, 5]));
        assert_eq!(cores.of_workers(3), None);
    }

    #[test]
    fn without_a_list_of_cores_nothing_is_pinned() {
        let none = Cores(Vec::new());
        assert_eq!(none.count(), 1);
        assert!(!none.pin_current_thread(0));
    }
}
