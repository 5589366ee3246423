//! The time that states are reckoned in: milliseconds of the Unix epoch as they were at the start, and from there on steady.
//!
//! So it never jumps within a process, and means the same in the next one.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock that began at some instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Instant,
    began_ms: u64,
}

impl Clock {
    /// One that begins now.
    pub(super) fn start() -> Clock {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { began: Instant::now(), began_ms: since_epoch.as_millis() as u64 }
    }

    /// An instant in this time.
    pub(super) fn ms(&self, at: Instant) -> u64 {
        self.began_ms + at.saturating_duration_since(self.began).as_millis() as u64
    }

    /// Now.
    pub(super) fn now_ms(&self) -> u64 {
        self.ms(Instant::now())
    }

    /// The instant of a time.
    pub(super) fn instant(&self, ms: u64) -> Instant {
        self.began + Duration::from_millis(ms.saturating_sub(self.began_ms))
    }
}
