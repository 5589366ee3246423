//! The thread that logs: state changes and the prober's own troubles, one line each.
//!
//! A log that is stuck (a full pipe, a slow disk) stops this thread and nothing else: verdicts go on into the table.
//! It relies on the log's writer not to panic on an error of writing: this thread must not end before the keeper does.
//!
//! # Bounds
//! `NEWS_MAX` items wait; what comes on top is dropped and counted, as is all that is said once this thread has ended.
//! It logs the count itself.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam::channel::{Receiver, Sender, bounded};

use super::guard::{Figures, Turn};
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
    /// One of its monitors changed its mind, whatever became of the member.
    MonitorChanged {
        /// The monitor's name.
        monitor: Arc<str>,
        /// Its verdict.
        change: Change,
    },
    /// It could not be probed, and neither could others since this was last said.
    NotProbed {
        /// How many probes of whatever target, this one included.
        probes: u64,
    },
}

/// What is to be said.
pub(super) enum Item {
    /// Of a member.
    Member(News),
    /// Of the prober itself.
    Guard(Turn, Figures),
}

/// The keeper's end.
pub(super) struct Mouth {
    news: Sender<Item>,
    board: Arc<StatusBoard>,
}

/// The two ends of the way to the herald.
pub(super) fn news_channel(board: Arc<StatusBoard>) -> (Mouth, Receiver<Item>) {
    let (sender, receiver) = bounded(NEWS_MAX);
    (Mouth { news: sender, board }, receiver)
}

impl Mouth {
    /// Says it without waiting.
    pub(super) fn say(&self, news: News) {
        self.send(Item::Member(news));
    }

    /// Says that verdicts are frozen, or that they count again, without waiting.
    pub(super) fn say_turn(&self, turn: Turn, figures: Figures) {
        self.send(Item::Guard(turn, figures));
    }

    fn send(&self, news: Item) {
        // Full: the log is stuck. Disconnected: the herald has ended. Either way this will never be logged.
        if self.news.try_send(news).is_err() {
            self.board.unlogged.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Logs until the keeper is gone and everything has been said.
pub(super) fn run(news: &Receiver<Item>, board: &StatusBoard) {
    let mut unlogged_said = 0;
    for item in news {
        match item {
            Item::Member(news) => log(&news),
            Item::Guard(turn, figures) => log_turn(turn, figures),
        }
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

fn log_turn(turn: Turn, figures: Figures) {
    let Figures { addresses, failing, canaries, canaries_failing } = figures;
    match turn {
        Turn::Stay => {}
        Turn::Freeze(cause) => tracing::error!(
            ?cause,
            addresses,
            failing,
            canaries,
            canaries_failing,
            "PROBES ARE NOT TRUSTED: too many targets fail at once, so every state stays as it was"
        ),
        Turn::Thaw(cause) => tracing::warn!(
            ?cause,
            addresses,
            failing,
            canaries,
            canaries_failing,
            "probes are trusted again: states follow them"
        ),
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
        Event::MonitorChanged { monitor, change: Change { previous, state } } => tracing::info!(
            %pool, %member, %address, %monitor, state = state.as_str(), previous_state = previous.as_str(), %reason,
            "monitor says {}", state.as_str()
        ),
        Event::NotProbed { probes } => tracing::warn!(
            %pool, %member, %address, %reason, probes, "cannot probe: states are kept as they are"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    use parking_lot::Mutex;

    /// A log in memory.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn news(event: Event) -> News {
        let reason = Reason::UnexpectedStatus { status: 503, expected: [(200, 200)].into() };
        News {
            pool: "web".into(),
            member: "web1".into(),
            address: "192.0.2.1".parse().unwrap(),
            reason,
            event,
        }
    }

    fn went_down() -> News {
        news(Event::Changed(Change { previous: State::Up, state: State::Down }))
    }

    #[test]
    fn change_is_one_line_with_who_what_and_why() {
        let lines = Lines::default();
        let sink = lines.clone();
        let subscriber =
            tracing_subscriber::fmt().json().with_writer(move || sink.clone()).without_time().finish();
        tracing::subscriber::with_default(subscriber, || log(&went_down()));
        let line: serde_json::Value = serde_json::from_slice(&lines.0.lock()).unwrap();
        assert_eq!(line["level"], "WARN");
        for (field, value) in [
            ("message", "member is down"),
            ("pool", "web"),
            ("member", "web1"),
            ("address", "192.0.2.1"),
            ("state", "down"),
            ("previous_state", "up"),
            ("reason", "status 503, expected 200"),
        ] {
            assert_eq!(line["fields"][field], value, "{line}");
        }
    }

    #[test]
    fn what_no_herald_will_ever_log_is_counted() {
        let board = Arc::new(StatusBoard::new([]));
        let (mouth, receiver) = news_channel(board.clone());
        mouth.say(went_down());
        drop(receiver);
        mouth.say(went_down());
        assert_eq!(board.engine().unlogged, 1);
    }

    #[test]
    fn stuck_log_never_makes_the_keeper_wait_and_what_is_dropped_is_counted() {
        let board = Arc::new(StatusBoard::new([]));
        let (mouth, receiver) = news_channel(board.clone());
        for _ in 0..NEWS_MAX + 3 {
            mouth.say(went_down());
        }
        assert_eq!(receiver.len(), NEWS_MAX);
        assert_eq!(board.engine().unlogged, 3);
    }
}
