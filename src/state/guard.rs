//! What a worker knows of the time, of its load, and of the query in hand: what is decided by in `dataplane/guard`.
//!
//! Reads no clock. It goes with the generation, so that the packet path reaches both by one pointer, and is carried over from
//! one to the next.

use super::clock::{Now, TICKS_PER_SEC};
use super::counters::{Counter, Counters};
use crate::wire::cookie::Standing;

/// One worker's.
#[derive(Default)]
pub struct Guard {
    now: Now,
    /// UDP queries with a valid cookie so far.
    known: u64,
    /// When the second began in which queries are counted, and how many unknown ones there had been.
    window_tick: u32,
    window_start: u64,
    /// Unknown queries in the last whole second, or in this one if they are more already.
    unknown_qps: u64,
    /// What the cookie of the query in hand is worth; kept up only where rates are limited.
    pub standing: Option<Standing>,
}

impl Guard {
    /// Takes up the time, and where a second is over, the load. Once a batch.
    #[inline]
    pub fn begin_batch(&mut self, now: Now, counters: &Counters) {
        if now != self.now {
            self.advance(now, counters);
        }
    }

    #[cold]
    fn advance(&mut self, now: Now, counters: &Counters) {
        self.now = now;
        let unknown = counters.get(Counter::UdpQueries).saturating_sub(self.known);
        let count = unknown.saturating_sub(self.window_start);
        let ticks = now.ticks.wrapping_sub(self.window_tick);
        if ticks >= TICKS_PER_SEC {
            self.unknown_qps = count * u64::from(TICKS_PER_SEC) / u64::from(ticks);
            (self.window_tick, self.window_start) = (now.ticks, unknown);
        } else {
            // A flood is noticed before its first second is over.
            self.unknown_qps = self.unknown_qps.max(count);
        }
    }

    /// The time of this batch.
    #[inline]
    pub fn now(&self) -> Now {
        self.now
    }

    /// Counts a UDP query with a valid cookie.
    #[inline]
    pub fn note_known(&mut self) {
        self.known += 1;
    }

    /// Whether more than so many UDP queries a second come without a valid cookie.
    #[inline]
    pub fn is_under_load(&self, load_qps: u32) -> bool {
        self.unknown_qps > u64::from(load_qps)
    }
}
