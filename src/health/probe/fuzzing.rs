//! The judge of HTTP replies, opened to the fuzzer only.

use std::sync::Arc;
use std::time::Duration;

use super::{Ending, Script};
use crate::config::model::{HttpProbe, Monitor, Probe};
use crate::health::machine::Outcome;
use crate::health::reason::Reason;

/// What may follow the octets judged.
#[derive(Clone, Copy, Debug)]
pub enum Then {
    /// More of them.
    More,
    /// The connection's end.
    Close,
    /// Nothing that is looked at: the limit is reached.
    Limit,
    /// The budget's end.
    Timeout,
}

/// A monitor that judges replies.
pub struct HttpJudge(Script);

impl HttpJudge {
    /// One that expects these codes, inclusive ranges.
    pub fn new(expected_codes: &[(u16, u16)]) -> HttpJudge {
        let probe = Probe::Http(HttpProbe {
            port: 80,
            tls: None,
            method: "GET".into(),
            path: "/".into(),
            host: None,
            expected_codes: expected_codes.to_vec(),
        });
        let second = Duration::from_secs(1);
        HttpJudge(Script::new(&Arc::new(Monitor {
            probe,
            interval: second,
            timeout: second,
            retries: 0,
            rise: 1,
            discipline: Discipline::default(),
        })))
    }

    /// The verdict, or `None` while it may still change.
    pub fn judge(&self, received: &[u8], then: Then) -> Option<(Outcome, Reason)> {
        let ending = match then {
            Then::More => Ending::Open,
            Then::Close => Ending::Closed,
            Then::Limit => Ending::Full,
            Then::Timeout => Ending::TimedOut,
        };
        self.0.judge(received, ending).map(|conclusion| (conclusion.outcome, conclusion.reason))
    }
}
