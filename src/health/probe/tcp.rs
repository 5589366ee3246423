//! `tcp_content`: octets sent as configured, a pattern searched in what comes back.
//!
//! The pattern is searched, ignoring case, in all octets received so far (they need not be UTF-8), and succeeds as
//! soon as it matches. Without a pattern, connecting and sending suffices. At most `RECEIVE_MAX_OCTETS` are looked at.

use std::sync::Arc;
use std::time::Duration;

use super::pattern::Pattern;
use super::{Conclusion, Ending};
use crate::health::reason::Reason;

/// Most octets of a reply that are searched: banners and status pages are far smaller, and a target that never stops
/// sending costs no more than this.
pub(super) const RECEIVE_MAX_OCTETS: usize = 64 * 1024;

/// The conversation of `tcp_content`.
pub(super) struct Content {
    pub(super) port: u16,
    pub(super) send: Arc<[u8]>,
    pattern: Option<Pattern>,
    budget: Duration,
}

impl Content {
    pub(super) fn new(port: u16, send: &[u8], match_re: Option<&str>, budget: Duration) -> Content {
        Content { port, send: send.into(), pattern: match_re.map(Pattern::new), budget }
    }

    /// Whether the pattern is unusable.
    pub(super) fn is_broken(&self) -> bool {
        self.pattern.as_ref().is_some_and(Pattern::is_broken)
    }

    pub(super) fn judge_sent(&self) -> Option<Conclusion> {
        match &self.pattern {
            Some(_) => None,
            None if self.send.is_empty() => Some(Conclusion::success(Reason::Connected)),
            None => Some(Conclusion::success(Reason::Sent)),
        }
    }

    pub(super) fn judge(&self, received: &[u8], ending: Ending) -> Option<Conclusion> {
        let pattern = self.pattern.as_ref()?;
        // A pattern that matches nothing at all must still not succeed before the target has said something.
        let heard = !received.is_empty() || ending == Ending::Closed;
        if heard && pattern.is_match(received) {
            return Some(Conclusion::success(Reason::Matched { pattern: pattern.text.clone() }));
        }
        let pattern = pattern.text.clone();
        match ending {
            Ending::Open => None,
            Ending::Closed if received.is_empty() => Some(Conclusion::failure(Reason::NoReply)),
            Ending::Closed | Ending::Full => Some(Conclusion::failure(Reason::NoMatch { pattern })),
            Ending::TimedOut if received.is_empty() => None,
            Ending::TimedOut => {
                Some(Conclusion::failure(Reason::NoMatchInTime { pattern, budget: self.budget }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::machine::Outcome;

    fn content(match_re: Option<&str>) -> Content {
        Content::new(25, b"", match_re, Duration::from_secs(1))
    }

    fn outcome(match_re: &str, received: &[u8], ending: Ending) -> Option<Outcome> {
        content(Some(match_re)).judge(received, ending).map(|conclusion| conclusion.outcome)
    }

    #[test]
    fn pattern_is_searched_in_all_octets_so_far_ignoring_case() {
        assert_eq!(outcome("^220 .*ready", b"220 mx RE", Ending::Open), None);
        assert_eq!(outcome("^220 .*ready", b"220 mx READY\r\n", Ending::Open), Some(Outcome::Success));
        assert_eq!(outcome("GRÜN", "alles grün".as_bytes(), Ending::Open), Some(Outcome::Success));
    }

    #[test]
    fn octets_need_not_be_utf8() {
        assert_eq!(outcome("pong$", b"\xff\xfe\x00pong", Ending::Open), Some(Outcome::Success));
        assert_eq!(outcome(r"(?-u)\xff\xfe", b"..\xff\xfe", Ending::Open), Some(Outcome::Success));
    }

    #[test]
    fn end_without_a_match_is_a_failure_that_names_the_pattern() {
        for (received, ending, text) in [
            (&b"no"[..], Ending::Closed, "reply does not match `yes`"),
            (b"no", Ending::Full, "reply does not match `yes`"),
            (b"no", Ending::TimedOut, "reply does not match `yes` within 1000 ms"),
            (b"", Ending::Closed, "connection closed without a reply"),
        ] {
            let conclusion = content(Some("yes")).judge(received, ending).unwrap();
            assert_eq!(
                (conclusion.outcome, conclusion.reason.to_string()),
                (Outcome::Failure, text.to_string())
            );
        }
        assert_eq!(outcome("yes", b"", Ending::TimedOut), None, "the timeout itself is the reason");
    }

    #[test]
    fn pattern_that_matches_nothing_waits_for_the_target_to_speak_or_close() {
        assert_eq!(outcome(".*", b"", Ending::Open), None);
        assert_eq!(outcome(".*", b"", Ending::TimedOut), None);
        assert_eq!(outcome(".*", b"x", Ending::Open), Some(Outcome::Success));
        assert_eq!(outcome("^$", b"", Ending::Closed), Some(Outcome::Success));
    }

    #[test]
    fn without_a_pattern_sending_suffices() {
        assert_eq!(content(None).judge_sent().map(|c| c.reason), Some(Reason::Connected));
        assert_eq!(content(Some("x")).judge_sent(), None);
    }
}
