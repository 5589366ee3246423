//! `steerd push`: the state of members that are not probed, told to the running server.

use std::io::{self, BufRead, Read, Write};
use std::time::Duration;

use clap::Args;

use super::overrides::Server;
use crate::control::pushes::{Push, TTL, push};

/// Lines of one run; more are a mistake more likely than a fleet.
const MAX_LINES: usize = 100_000;
const MAX_LINE_OCTETS: u64 = 4096;

/// What is pushed.
#[derive(Args)]
pub(super) struct Pushes {
    /// Name of the pool; - reads lines `POOL MEMBER STATE [ttl=TIME] [# REASON]`
    pool: String,
    /// The member's name or address
    member: Option<String>,
    /// up, down, drain, maint, ready and a share such as 75%, in one or several words
    #[arg(value_name = "STATE")]
    says: Vec<String>,
    /// For how long it holds, 1s to 24h; as configured where it is not given
    #[arg(long, value_parser = ttl, value_name = "TIME")]
    ttl: Option<Duration>,
    /// Why
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    server: Server,
}

fn ttl(text: &str) -> Result<Duration, String> {
    let accepted = || format!("`{text}` is not accepted (accepted are 1s to 24h, such as 90s, 30m and 2h)");
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(accepted)?;
    let (number, unit) = text.split_at(unit_at);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(accepted()),
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms));
    ms.map(Duration::from_millis).filter(|ttl| TTL.contains(ttl)).ok_or_else(accepted)
}

/// Runs the verb.
///
/// # Errors
/// What went wrong, for standard error.
pub(super) fn run(pushes: Pushes) -> Result<(), String> {
    let Pushes { pool, member, says, ttl, reason, server } = pushes;
    let list = match (&*pool, member) {
        ("-", None) => read_lines(io::stdin().lock())?,
        (_, Some(member)) if !says.is_empty() => {
            vec![Push { pool, member, says: says.join(" "), ttl, why: reason }]
        }
        _ => return Err("a pool, a member and its state are needed, or - for lines of them".into()),
    };
    let pushed = push(&server.state_dir()?, &list).map_err(|error| error.to_string())?;
    writeln!(io::stdout(), "{pushed} pushed").map_err(|error| format!("cannot write: {error}"))
}

/// Reads lines; empty ones and those that begin with `#` are passed over.
fn read_lines(mut input: impl BufRead) -> Result<Vec<Push>, String> {
    let mut list = Vec::new();
    for number in 1.. {
        let mut line = Vec::new();
        let read = input.by_ref().take(MAX_LINE_OCTETS).read_until(b'\n', &mut line);
        let octets = read.map_err(|error| format!("standard input cannot be read: {error}"))?;
        if octets == 0 {
            break;
        }
        if number > MAX_LINES {
            return Err(format!("more than {MAX_LINES} lines"));
        }
        if octets as u64 == MAX_LINE_OCTETS && !line.ends_with(b"\n") {
            return Err(format!("line {number} is longer than {MAX_LINE_OCTETS} octets"));
        }
        let line = String::from_utf8(line).map_err(|_| format!("line {number} is not UTF-8"))?;
        if !matches!(line.trim().chars().next(), None | Some('#')) {
            list.push(read_line(&line).map_err(|error| format!("line {number}: {error}"))?);
        }
    }
    if list.is_empty() { Err("nothing to push: standard input has no line".into()) } else { Ok(list) }
}

/// `POOL MEMBER STATE [ttl=TIME] [# REASON]`.
fn read_line(line: &str) -> Result<Push, String> {
    let (said, why) = line.split_once('#').unwrap_or((line, ""));
    let mut words = said.split_whitespace();
    let (Some(pool), Some(member)) = (words.next(), words.next()) else {
        return Err("accepted is POOL MEMBER STATE [ttl=TIME] [# REASON]".into());
    };
    let mut holds = None;
    let mut says = Vec::new();
    for word in words {
        match word.strip_prefix("ttl=") {
            Some(time) => holds = Some(ttl(time)?),
            None => says.push(word),
        }
    }
    if says.is_empty() {
        return Err("there is no state (accepted is POOL MEMBER STATE [ttl=TIME] [# REASON])".into());
    }
    let (pool, member) = (pool.to_owned(), member.to_owned());
    Ok(Push { pool, member, says: says.join(" "), ttl: holds, why: why.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_a_pool_a_member_a_state_and_perhaps_more() {
        let text = "web web1 up 75% ttl=30s # all well\n\n# a comment\nweb 192.0.2.1 down\n";
        let list = read_lines(text.as_bytes()).unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!((&*list[0].says, &*list[0].why), ("up 75%", "all well"));
        assert_eq!(list[0].ttl, Some(Duration::from_secs(30)));
        assert_eq!((&*list[1].member, &*list[1].says, list[1].ttl), ("192.0.2.1", "down", None));
        for (text, error) in [
            ("", "nothing to push: standard input has no line"),
            ("web\n", "line 1: accepted is POOL MEMBER STATE [ttl=TIME] [# REASON]"),
            (
                "a b up\nweb web1 ttl=1s\n",
                "line 2: there is no state (accepted is POOL MEMBER STATE [ttl=TIME] [# REASON])",
            ),
            (
                "a b up ttl=25h",
                "line 1: `25h` is not accepted (accepted are 1s to 24h, such as 90s, 30m and 2h)",
            ),
            (&*"x".repeat(5000), "line 1 is longer than 4096 octets"),
        ] {
            assert_eq!(read_lines(text.as_bytes()), Err(error.to_owned()));
        }
    }

    #[test]
    fn times_to_live_are_bounded() {
        assert_eq!(ttl("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(ttl("24h"), Ok(Duration::from_secs(86_400)));
        for bad in ["", "5", "999ms", "25h", "1d", "-1s", "99999999999999999999s"] {
            assert!(ttl(bad).is_err(), "{bad}");
        }
    }
}
