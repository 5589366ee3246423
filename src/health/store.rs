//! States that outlive the process: what a file of them says, and how it is read again. Pure.
//!
//! ```text
//! steerd-health 1
//! saved 1795000000
//! 91b0d2c4a6e8f017 192.0.2.1 up 1794990000 0 2 0 1843 1794990000123 -
//! sha256 <64 hexadecimal digits over all lines above>
//! ```
//! A line is a target: what is probed (hashed), address, state, since when, successes and failures in a row, since when it has been
//! good, penalty for flapping and the time of the last flip, and whether it is suppressed (`s`). UNKNOWN targets are left out.
//! A file is taken whole or not at all. What is probed is told by the monitor's kind and parameters without times and counts, so
//! that an edited interval forgets nobody.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::IpAddr;

use ring::digest::{SHA256, digest};

use super::machine::MemberState;
use crate::config::model::{Monitor, Probe};
use crate::state::health_table::State;

/// The format's name and version.
const MAGIC: &str = "steerd-health";
const VERSION: u32 = 1;
/// A file may have been saved so much later than now: clocks are set.
const AHEAD_MAX_SECS: u64 = 60;

/// What is probed where.
pub(super) type Key = (u64, IpAddr);

/// What is probed, as a number that is the same in every process. Monitors that differ in times and counts have the same.
pub(super) fn identity(monitor: &Monitor) -> Option<u64> {
    let text = match &monitor.probe {
        Probe::Forced { .. } => return None,
        Probe::Push { pool, .. } => format!("push {pool:?}"),
        probe => format!("{probe:?} from {:?}", monitor.source),
    };
    let hash = digest(&SHA256, text.as_bytes());
    Some(u64::from_be_bytes(*hash.as_ref().first_chunk()?))
}

/// What is kept of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) state: MemberState,
    pub(super) since_secs: u32,
}

impl Saved {
    /// The same with no time later than this: the clock may have been ahead when it was saved.
    pub(super) fn not_after(mut self, now_ms: u64) -> Saved {
        self.state.good_since_ms = self.state.good_since_ms.min(now_ms);
        self.state.flipped_ms = self.state.flipped_ms.min(now_ms);
        self
    }
}

/// Why a file is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// Not a file of states.
    #[error("it is no file of states")]
    Foreign,
    /// Of a version that is not known here.
    #[error("its version is {version}, and this program reads {VERSION}")]
    Version { version: u32 },
    /// Cut short or changed.
    #[error("it is damaged: its checksum is not that of its lines")]
    Damaged,
    /// Whole, but with a line that this version would not write.
    #[error("line {line} is not understood")]
    Line { line: usize },
    /// Saved too long ago.
    #[error("it was saved {age_secs} s ago, and `server.state_max_age` is {max_secs} s")]
    Old { age_secs: u64, max_secs: u64 },
    /// Saved in what is the future now.
    #[error("it was saved {ahead_secs} s from now: this machine's clock was set back")]
    Future { ahead_secs: u64 },
}

/// The file of these targets, its date and checksum left out; equal for what need not be written again.
pub(super) fn lines(targets: impl Iterator<Item = (Key, Saved)>) -> String {
    let mut text = String::new();
    for ((identity, address), Saved { state: member, since_secs }) in targets {
        // Counts that decide nothing are left out, so that a quiet fleet writes nothing.
        let (word, successes, failures) = match member.state {
            State::Unknown => continue,
            State::Up => ("up", 0, member.failures),
            State::Down => ("down", member.successes, 0),
        };
        let good_since_ms = if successes > 0 { member.good_since_ms } else { 0 };
        let suppressed = if member.suppressed { "s" } else { "-" };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{identity:016x} {address} {word} {since_secs} {successes} {failures} {good_since_ms} {} {} {suppressed}",
            member.penalty, member.flipped_ms
        );
    }
    text
}

/// The whole file.
pub(super) fn encode(lines: &str, saved_secs: u64) -> String {
    let mut text = format!("{MAGIC} {VERSION}\nsaved {saved_secs}\n{lines}");
    let checksum = checksum(&text);
    text.push_str(&checksum);
    text
}

fn checksum(text: &str) -> String {
    let mut line = String::from("sha256 ");
    for octet in digest(&SHA256, text.as_bytes()).as_ref() {
        let _ = write!(line, "{octet:02x}");
    }
    line.push('\n');
    line
}

/// Reads a file again. The same target twice: the first.
///
/// # Errors
/// [`Refusal`]: nothing of it is of use then.
pub(super) fn decode(
    octets: &[u8],
    now_secs: u64,
    max_age_secs: u64,
) -> Result<HashMap<Key, Saved>, Refusal> {
    let head = octets.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| Refusal::Foreign)?;
    let version = head.strip_prefix(MAGIC).and_then(|rest| rest.strip_prefix(' ')).ok_or(Refusal::Foreign)?;
    match version.parse() {
        Ok(VERSION) => {}
        Ok(version) => return Err(Refusal::Version { version }),
        Err(_) => return Err(Refusal::Foreign),
    }
    let text = std::str::from_utf8(octets).map_err(|_| Refusal::Damaged)?;
    let body_len = text.len().checked_sub(checksum("").len()).ok_or(Refusal::Damaged)?;
    let (body, last) = text.split_at_checked(body_len).ok_or(Refusal::Damaged)?;
    if checksum(body) != last {
        return Err(Refusal::Damaged);
    }
    let mut lines = body.lines().enumerate().skip(1);
    let saved_secs = lines.next().and_then(|(_, line)| line.strip_prefix("saved ")?.parse::<u64>().ok());
    let saved_secs = saved_secs.ok_or(Refusal::Line { line: 2 })?;
    if saved_secs > now_secs + AHEAD_MAX_SECS {
        return Err(Refusal::Future { ahead_secs: saved_secs - now_secs });
    }
    let age_secs = now_secs.saturating_sub(saved_secs);
    if age_secs > max_age_secs {
        return Err(Refusal::Old { age_secs, max_secs: max_age_secs });
    }
    let mut targets = HashMap::new();
    for (index, line) in lines {
        let (key, saved) = parse(line).ok_or(Refusal::Line { line: index + 1 })?;
        targets.entry(key).or_insert(saved);
    }
    Ok(targets)
}

fn parse(line: &str) -> Option<(Key, Saved)> {
    let mut fields = line.split(' ');
    let identity = u64::from_str_radix(fields.next()?, 16).ok()?;
    let address = fields.next()?.parse().ok()?;
    let state = match fields.next()? {
        "up" => State::Up,
        "down" => State::Down,
        _ => return None,
    };
    let since_secs = fields.next()?.parse().ok()?;
    let member = MemberState {
        state,
        successes: fields.next()?.parse().ok()?,
        failures: fields.next()?.parse().ok()?,
        good_since_ms: fields.next()?.parse().ok()?,
        penalty: fields.next()?.parse().ok()?,
        flipped_ms: fields.next()?.parse().ok()?,
        suppressed: match fields.next()? {
            "s" => true,
            "-" => false,
            _ => return None,
        },
        // Whoever was UP before this start has its clients.
        warming: false,
    };
    fields.next().is_none().then_some(((identity, address), Saved { state: member, since_secs }))
}

#[cfg(not(steerd_loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::tests::{forced_monitor, tcp_monitor};
    use proptest::prelude::*;

    fn saved() -> impl Strategy<Value = (Key, Saved)> {
        let numbers =
            (any::<u64>(), any::<u32>(), any::<u32>(), 1u32..9, any::<u32>(), any::<u64>(), any::<u64>());
        (numbers, any::<bool>(), any::<bool>()).prop_map(|(numbers, up, suppressed)| {
            let (identity, address, since_secs, count, penalty, flipped_ms, good_since_ms) = numbers;
            let state = if up { State::Up } else { State::Down };
            let (successes, failures) = if up { (0, count) } else { (count, 0) };
            let good_since_ms = if up { 0 } else { good_since_ms };
            let state = MemberState {
                state,
                successes,
                failures,
                good_since_ms,
                penalty,
                flipped_ms,
                suppressed,
                warming: false,
            };
            ((identity, IpAddr::from(address.to_be_bytes())), Saved { state, since_secs })
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(targets in prop::collection::hash_map(any::<u8>(), saved(), 0..20)) {
            let targets: HashMap<Key, Saved> = targets.into_values().collect();
            let text = encode(&lines(targets.clone().into_iter()), 1000);
            prop_assert_eq!(decode(text.as_bytes(), 1000, 0), Ok(targets));
        }

        #[test]
        fn torn_or_changed_file_is_refused_whole(
            targets in prop::collection::vec(saved(), 1..6), at in any::<prop::sample::Index>(), bit in 0u32..8,
        ) {
            let text = encode(&lines(targets.into_iter()), 1000).into_bytes();
            let at = at.index(text.len());
            prop_assert!(decode(&text[..at], 1000, 0).is_err());
            let mut changed = text.clone();
            changed[at] ^= 1 << bit;
            prop_assert!(decode(&changed, 1000, 0).is_err());
        }

        #[test]
        fn any_octets_are_refused_or_read_without_a_panic(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&octets, 0, 0).is_err());
        }
    }

    #[test]
    fn foreign_newer_old_and_future_files_say_what_they_are() {
        let text = encode("", 1000);
        assert_eq!(decode(text.as_bytes(), 1100, 100), Ok(HashMap::new()));
        for (text, now_secs, refusal) in [
            ("", 0, Refusal::Foreign),
            ("{}", 0, Refusal::Foreign),
            ("steerd-health 2\nwhatever", 0, Refusal::Version { version: 2 }),
            ("steerd-health 1\n", 0, Refusal::Damaged),
            (&*text, 1101, Refusal::Old { age_secs: 101, max_secs: 100 }),
            (&*text, 900, Refusal::Future { ahead_secs: 100 }),
            (&*encode("nonsense\n", 1000), 1000, Refusal::Line { line: 3 }),
        ] {
            assert_eq!(decode(text.as_bytes(), now_secs, 100), Err(refusal));
        }
    }

    #[test]
    fn times_of_a_clock_that_was_ahead_are_now() {
        let state = MemberState { good_since_ms: 90, flipped_ms: 70, ..MemberState::default() };
        let saved = Saved { state, since_secs: 0 }.not_after(80);
        assert_eq!((saved.state.good_since_ms, saved.state.flipped_ms), (80, 70));
    }

    #[test]
    fn same_probe_is_the_same_target_whatever_its_times() {
        let monitor = tcp_monitor(80);
        let edited = Monitor { retries: 9, rise: 9, ..(*monitor).clone() };
        assert_eq!(identity(&monitor), identity(&edited));
        assert_ne!(identity(&monitor), identity(&tcp_monitor(81)));
        assert_eq!(identity(&forced_monitor(true)), None);
    }
}
