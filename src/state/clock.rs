//! The time as the packet path knows it: coarse, written by a thread of the control side, loaded once a batch.
//!
//! Reads no clock itself: whoever sets it does. Ticks never go back, whatever becomes of the machine's date.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::utils::CachePadded;

/// Ticks a second.
pub const TICKS_PER_SEC: u32 = 10;

/// A moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Ticks of 100 ms since the start; after 13 years it begins anew, so that only differences count.
    pub ticks: u32,
    /// Seconds of the Unix epoch, the low 32 bits: what cookies are stamped with (RFC 9018 §4.3).
    pub unix_secs: u32,
}

/// The moment, shared.
// On a line of its own: it is written ten times a second and read by every worker.
#[derive(Default)]
pub struct Clock(CachePadded<AtomicU64>);

impl Clock {
    /// A clock that shows this moment.
    pub fn new(now: Now) -> Clock {
        let clock = Clock::default();
        clock.set(now);
        clock
    }

    /// Sets it; one thread does.
    pub fn set(&self, now: Now) {
        // Relaxed: the moment stands alone, and both halves of it are one word.
        self.0.store(u64::from(now.ticks) << 32 | u64::from(now.unix_secs), Ordering::Relaxed);
    }

    /// Reads it.
    #[inline]
    pub fn now(&self) -> Now {
        let word = self.0.load(Ordering::Relaxed);
        Now { ticks: (word >> 32) as u32, unix_secs: word as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_shows_what_it_was_set_to() {
        for now in
            [Now::default(), Now { ticks: u32::MAX, unix_secs: 1 }, Now { ticks: 1, unix_secs: u32::MAX }]
        {
            let clock = Clock::new(now);
            assert_eq!(clock.now(), now);
            clock.set(Now { ticks: 7, ..now });
            assert_eq!(clock.now().ticks, 7);
        }
    }
}
