//! The thread that logs: state changes and the prober's own troubles, one line each.
//!
//! A log that is stuck (a full pipe, a slow disk) stops this thread and nothing else: verdicts go on into the table.
//!
//! # Bounds
//! [`NEWS_MAX`] items wait; what comes on top is dropped and counted, and the count is logged.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use super::machine::Change;
use super::reason::Reason;
use super::status::StatusBoard;
use crate::state::health_table::State;

/// State changes that wait to be logged: a large site going down at once, at some 100 octets each.
const NEWS_MAX: usize = 16 * 1024;

/// Something an operator should know.
pub(super) struct News {
    pub(super) pool: Arc<str>,
    pub(super) member: Arc<str>,
    pub(super) address: IpAddr,
    pub(super) reason: Reason,
    pub(super) event: Event,
}

/// What happened to the member.
pub(super) enum Event {
    /// Its state changed.
    Changed(Change),
    /// It could not be probed, and neither could others since this was last said.
    NotProbed {
        /// How many probes of whatever target, this one included.
        probes: u64,
    },
}

/// The keeper's end.
pub(super) struct Mouth {
    news: Sender<News>,
    board: Arc<StatusBoard>,
}

/// The two ends of the way to the herald.
pub(super) fn news_channel(board: Arc<StatusBoard>) -> (Mouth, Receiver<News>) {
    let (sender, receiver) = bounded(NEWS_MAX);
    (Mouth { news: sender, board }, receiver)
}

impl Mouth {
    /// Says it without waiting.
    pub(super) fn say(&self, news: News) {
        if let Err(TrySendError::Full(_)) = self.news.try_send(news) {
            self.board.unlogged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Logs until the keeper is gone and everything has been said.
pub(super) fn run(news: &Receiver<News>, board: &StatusBoard) {
    let mut unlogged_said = 0;
    for item in news {
        log(&item);
        let unlogged = board.unlogged.load(Ordering::Relaxed);
        if unlogged > unlogged_said && news.is_empty() {
            tracing::warn!(
                count = unlogged - unlogged_said,
                "health events not logged: the log was too slow"
            );
            unlogged_said = unlogged;
        }
    }
}

fn log(news: &News) {
    let News { pool, member, address, reason, event } = news;
    match event {
        Event::Changed(Change { previous, state }) => {
            let (word, previous) = (state.as_str(), previous.as_str());
            match state {
                State::Up | State::Unknown => tracing::info!(
                    %pool, %member, %address, state = word, previous_state = previous, %reason, "member is {word}"
                ),
                State::Down => tracing::warn!(
                    %pool, %member, %address, state = word, previous_state = previous, %reason, "member is {word}"
                ),
            }
        }
        Event::NotProbed { probes } => tracing::warn!(
            %pool, %member, %address, %reason, probes, "cannot probe: states are kept as they are"
        ),
    }
}
