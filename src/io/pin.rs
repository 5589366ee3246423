//! The core a worker runs on, and those that are left to all else. A worker that stays on one core keeps its caches and its
//! counters' lines there; one that has the core to itself is never late because of a probe or a reload.

use core_affinity::CoreId;

use crate::sys::limits::confine;
/// Called by threads of the control side that nobody waits for: workers go before them.
pub use crate::sys::limits::stand_back;

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

    /// Leaves to so many workers the cores to which they are pinned: the calling thread, and those it starts from now on,
    /// keep to the others. False, and nothing is changed, where there are no others.
    ///
    /// # Errors
    /// What the system said; nothing is changed then.
    pub fn leave_to_workers(&self, workers: usize) -> std::io::Result<bool> {
        match self.0.get(workers..) {
            Some(others) if !others.is_empty() => confine(others.iter().map(|core| core.id)).map(|()| true),
            _ => Ok(false),
        }
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
    fn cores_without_a_worker_are_for_all_else() {
        let cores = Cores::available();
        let count = cores.count();
        for workers in 1..=count {
            let all = cores.clone();
            let left = std::thread::spawn(move || {
                assert_eq!(all.leave_to_workers(workers).unwrap(), workers < count);
                // A worker is started by such a thread, and pinned all the same.
                let worker = all.clone();
                assert!(std::thread::spawn(move || worker.pin_current_thread(0)).join().unwrap());
                Cores::available().0
            });
            let expected = if workers < count { &cores.0[workers..] } else { &cores.0[..] };
            assert_eq!(left.join().unwrap(), expected);
        }
    }

    #[test]
    fn without_a_list_of_cores_nothing_is_pinned() {
        let none = Cores(Vec::new());
        assert_eq!(none.count(), 1);
        assert!(!none.pin_current_thread(0) && !none.leave_to_workers(1).unwrap());
    }
}
