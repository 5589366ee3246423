//! The thread that keeps the workers' clock going: ten times a second it says what time it is.
//!
//! A thread of its own, because main may be busy for seconds with a reload, and a clock that stands still would limit clients
//! whose tokens have long come back. It does nothing else.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{RecvTimeoutError, Sender, bounded};

use super::live::unix_secs;
use crate::state::clock::{Clock, Now, TICKS_PER_SEC};

/// Time between two looks at the clock.
const TICK: Duration = Duration::from_millis(1000 / TICKS_PER_SEC as u64);

/// The running thread; it ends when this is dropped.
pub(super) struct Ticker {
    clock: Arc<Clock>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts the thread; the clock is right from the beginning.
    ///
    /// # Errors
    /// When the kernel gives no thread.
    pub(super) fn start() -> std::io::Result<Ticker> {
        let began = Instant::now();
        let clock = Arc::new(Clock::new(now_since(began)));
        let (stop, stopped) = bounded::<()>(0);
        let shared = clock.clone();
        let thread = std::thread::Builder::new().name("clock".into()).spawn(move || {
            // Nobody sends: the other end goes away, or a tick is over.
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                shared.set(now_since(began));
            }
        })?;
        Ok(Ticker { clock, stop: Some(stop), thread: Some(thread) })
    }

    /// What it sets.
    pub(super) fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        // An error: it has panicked, which the log says.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The moment; ticks are whole ones since `began`, so that a late thread loses none.
fn now_since(began: Instant) -> Now {
    let ticks = began.elapsed().as_millis() / TICK.as_millis();
    Now { ticks: ticks as u32, unix_secs: unix_secs() as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_goes_on_and_knows_the_date() {
        let ticker = Ticker::start().unwrap();
        let first = ticker.clock().now();
        assert!(first.unix_secs > 1_600_000_000);
        let deadline = Instant::now() + Duration::from_secs(30);
        while ticker.clock().now().ticks == first.ticks {
            assert!(Instant::now() < deadline, "the clock stands still");
            std::thread::yield_now();
        }
    }
}
