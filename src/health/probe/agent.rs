//! `agent`: one line of text by which a target tells its state and the share it wants, as HAProxy's agent-check has it.
//!
//! Words in any order and case, divided by blanks, tabs or commas, up to a line end: `up`, `ready`, `drain`, `maint`,
//! `down`, `stopped`, `fail`, a percentage of the weight, `maxconn:N` (which says nothing to a name server). What follows a
//! `#` is for people. Words that nobody knows are passed over where others are known.
//! Unlike HAProxy, a reply is not remembered: see `health::advice`.
//!
//! At most `LINE_MAX_OCTETS` are looked at.

use std::sync::Arc;

use super::{Conclusion, Ending};
use crate::health::advice::Advice;
use crate::health::machine::Outcome;
use crate::health::reason::{Reason, peer_text};

/// Longest line, its end included: room for every word there is and a sentence.
pub(super) const LINE_MAX_OCTETS: usize = 256;
/// Highest percentage that thousandths in 16 bits can say; what is above counts as this, as in HAProxy what is above 256.
const PERCENT_MAX: u32 = 6553;

/// The conversation of `agent`.
pub(super) struct Agent {
    pub(super) port: u16,
    pub(super) send: Arc<[u8]>,
}

/// A line as far as it was read.
#[derive(Default)]
struct Line {
    is_down: bool,
    drains: bool,
    in_maintenance: bool,
    weight_permille: Option<u16>,
    known_words: usize,
}

impl Agent {
    pub(super) fn new(port: u16, send: &[u8]) -> Agent {
        Agent { port, send: send.into() }
    }

    pub(super) fn judge(&self, received: &[u8], ending: Ending) -> Option<Conclusion> {
        match received.iter().position(|octet| matches!(octet, b'\n' | b'\r' | 0)) {
            Some(end) => Some(judge_line(&received[..end])),
            None => match ending {
                Ending::Open | Ending::TimedOut => None,
                Ending::Closed if received.is_empty() => None,
                Ending::Closed => Some(judge_line(received)),
                Ending::Full => {
                    Some(Conclusion::failure(Reason::AgentEndless { limit_octets: LINE_MAX_OCTETS }))
                }
            },
        }
    }
}

/// What the words of a line come to.
pub(in crate::health) struct Words {
    pub(in crate::health) outcome: Outcome,
    pub(in crate::health) advice: Advice,
}

/// Reads a line; `None`: no word of it is known.
pub(in crate::health) fn read_words(octets: &[u8]) -> Option<Words> {
    let said = octets.split(|octet| *octet == b'#').next().unwrap_or_default();
    let mut line = Line::default();
    for word in said.split(|octet| matches!(octet, b' ' | b'\t' | b',')).filter(|word| !word.is_empty()) {
        line.take(word);
    }
    if line.known_words == 0 {
        return None;
    }
    let outcome = if line.is_down || line.in_maintenance { Outcome::Failure } else { Outcome::Success };
    let advice = Advice { weight_permille: line.weight_permille, drain: line.drains };
    Some(Words { outcome, advice })
}

fn judge_line(octets: &[u8]) -> Conclusion {
    let line = peer_text(octets);
    match read_words(octets) {
        Some(Words { outcome, advice }) => {
            Conclusion { outcome, reason: Reason::AgentSays { line }, advice: Some(advice) }
        }
        None => Conclusion::failure(Reason::AgentUnknown { line }),
    }
}

impl Line {
    /// Takes a word into account: of two that contradict each other the later one counts.
    fn take(&mut self, word: &[u8]) {
        let is = |text: &str| word.eq_ignore_ascii_case(text.as_bytes());
        if is("up") {
            self.is_down = false;
        } else if is("down") || is("stopped") || is("fail") || is("failed") {
            self.is_down = true;
        } else if is("ready") {
            (self.drains, self.in_maintenance) = (false, false);
        } else if is("drain") {
            (self.drains, self.in_maintenance) = (true, false);
        } else if is("maint") {
            (self.drains, self.in_maintenance) = (false, true);
        } else if let Some(percent) = percentage(word) {
            self.weight_permille = Some((percent * 10) as u16);
        } else if !word.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"maxconn:")) {
            return;
        }
        self.known_words += 1;
    }
}

/// `75%`, at most [`PERCENT_MAX`].
fn percentage(word: &[u8]) -> Option<u32> {
    let digits = word.strip_suffix(b"%")?;
    let number = |total: u32, digit: &u8| (total * 10 + u32::from(digit - b'0')).min(PERCENT_MAX);
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| digits.iter().fold(0, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Failure, Success};

    fn judged(received: &[u8], ending: Ending) -> Option<Conclusion> {
        Agent::new(1, b"").judge(received, ending)
    }

    #[test]
    fn words_make_state_weight_and_drain() {
        let plain = (None, false);
        for (line, outcome, (weight_permille, drain)) in [
            ("up", Success, plain),
            ("ready", Success, plain),
            ("UP 75%", Success, (Some(750), false)),
            ("50%", Success, (Some(500), false)),
            ("0%,ready", Success, (Some(0), false)),
            ("up\t100% maxconn:30", Success, (Some(1000), false)),
            ("99999999999%", Success, (Some(65_530), false)),
            ("drain", Success, (None, true)),
            ("up drain 10%", Success, (Some(100), true)),
            ("drain ready", Success, plain),
            ("down", Failure, plain),
            ("down # disk is full, drain", Failure, plain),
            ("stopped", Failure, plain),
            ("fail", Failure, plain),
            ("failed", Failure, plain),
            ("maint", Failure, plain),
            ("down drain", Failure, (None, true)),
            ("hello up", Success, plain),
            ("down up", Success, plain),
        ] {
            let conclusion = judged(format!("{line}\r\n").as_bytes(), Ending::Open).unwrap();
            assert_eq!(conclusion.outcome, outcome, "{line}");
            assert_eq!(conclusion.advice, Some(Advice { weight_permille, drain }), "{line}");
            assert_eq!(conclusion.reason.to_string(), format!("agent: {}", line.replace('\t', "\\t")));
            assert_eq!(judged(line.as_bytes(), Ending::Closed), Some(conclusion), "the end ends a line too");
        }
    }

    #[test]
    fn line_that_says_nothing_known_is_a_failure_without_advice() {
        for (line, shown) in [
            (&b"hello\n"[..], "agent: not understood: `hello`"),
            (b"\n", "agent: not understood: ``"),
            (b"-5% 7 %\n", "agent: not understood: `-5% 7 %`"),
            (b"\x1b[31m\xff\n", "agent: not understood: `\\u{1b}[31m\u{fffd}`"),
            (b"# up\n", "agent: not understood: `# up`"),
        ] {
            let conclusion = judged(line, Ending::Open).unwrap();
            assert_eq!((conclusion.outcome, conclusion.advice), (Failure, None));
            assert_eq!(conclusion.reason.to_string(), shown);
        }
    }

    #[test]
    fn every_split_waits_for_the_line_end_and_then_stays() {
        let reply = b"up 75%\r\ndown\r\n";
        for end in 0..reply.len() {
            let conclusion = judged(&reply[..end], Ending::Open);
            assert_eq!(conclusion.is_some(), end > 6, "{end}");
            if let Some(conclusion) = conclusion {
                assert_eq!(conclusion.reason.to_string(), "agent: up 75%");
            }
        }
        assert_eq!(judged(b"", Ending::Closed), None, "left to the reason of all monitors");
        assert_eq!(judged(b"up", Ending::TimedOut), None);
        let endless = judged(&[b'u'; LINE_MAX_OCTETS], Ending::Full).unwrap();
        assert_eq!(endless.reason.to_string(), "agent: no line end in 256 octets");
    }
}
