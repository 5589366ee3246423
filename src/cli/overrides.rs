//! `steerd override`: what an operator decides over members, at the running server.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::config::{self, model::Config};
use crate::control::overrides::request;

/// What can be done.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Decide over members, whatever probes say of them
    #[command(
        after_help = "Members are named by name, address, POOL/MEMBER, a pattern of these with * and ?, or region:NAME. Of two\noverrides of the same member the later one counts. up, down: its state; drain: no new clients, but for want of anybody\nelse; disable: as if not listed; weight=N: in place of the configured one.\n\nExamples:\n  steerd override add drain web1-dc1 -c steerd.yaml --reason 'new kernel' --owner ana --expires 2h\n  steerd override add down region:dc1 -c steerd.yaml\n  steerd override add weight=5 'web/192.0.2.*' --state-dir /var/lib/steerd"
    )]
    Add {
        /// up, down, drain, disable or weight=N
        #[arg(value_parser = order)]
        order: (Word, Option<u16>),
        /// Members
        target: String,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        /// By whom
        #[arg(long, default_value = "")]
        owner: String,
        /// After how long it ends by itself: 90s, 30m, 2h or 7d
        #[arg(long, value_parser = lifetime, value_name = "TIME")]
        expires: Option<Duration>,
        #[command(flatten)]
        server: Server,
    },
    /// Show what is decided, and how many members each decision concerns
    List {
        #[command(flatten)]
        server: Server,
    },
    /// Take a decision back
    Remove {
        /// Its number, as `list` shows it
        id: u64,
        #[command(flatten)]
        server: Server,
    },
}

/// Which server.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct Server {
    /// Configuration file, for its server.state_dir
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The state directory itself
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// What is decided.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Word {
    Up,
    Down,
    Drain,
    Disable,
    Weight,
}

fn order(text: &str) -> Result<(Word, Option<u16>), String> {
    let (word, weight) = text.split_once('=').map_or((text, None), |(word, weight)| (word, Some(weight)));
    let accepted = || {
        format!("`{text}` is not accepted (accepted are up, down, drain, disable and weight=N, N 0 to 65535)")
    };
    let word = Word::from_str(word, false).map_err(|_| accepted())?;
    match (word, weight) {
        (Word::Weight, Some(weight)) => Ok((word, Some(weight.parse().map_err(|_| accepted())?))),
        (Word::Weight, None) | (_, Some(_)) => Err(accepted()),
        (_, None) => Ok((word, None)),
    }
}

fn lifetime(text: &str) -> Result<Duration, String> {
    let accepted = || format!("`{text}` is no time (accepted are 90s, 30m, 2h and 7d)");
    let unit_at = text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at)).ok_or_else(accepted)?;
    let (number, unit) = text.split_at(unit_at);
    let unit_secs: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(accepted()),
    };
    let secs = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_secs));
    secs.filter(|secs| *secs > 0).map(Duration::from_secs).ok_or_else(accepted)
}

impl Server {
    /// Its state directory.
    ///
    /// # Errors
    /// Why that is not known.
    pub(super) fn state_dir(self) -> Result<PathBuf, String> {
        if let Some(state_dir) = self.state_dir {
            return Ok(state_dir);
        }
        let file = self.config.ok_or("neither --config nor --state-dir is given")?;
        let Config { server, .. } = config::load(&file, None).map_err(|report| report.to_string())?.config;
        server
            .state_dir
            .ok_or_else(|| format!("{} has no server.state_dir: the server listens there", file.display()))
    }
}

/// Runs the verb.
///
/// # Errors
/// What went wrong, for standard error.
pub(super) fn run(verb: Verb) -> Result<(), String> {
    let (server, asked) = match verb {
        Verb::Add { order: (word, weight), target, reason, owner, expires, server } => {
            let order = word.to_possible_value().map(|value| value.get_name().to_owned());
            let expires_in_secs = expires.map(|expires| expires.as_secs());
            let asked = json!({
                "verb": "add", "order": order, "weight": weight, "target": target, "reason": reason, "owner": owner,
                "expires_in_secs": expires_in_secs,
            });
            (server, asked)
        }
        Verb::List { server } => (server, json!({ "verb": "list" })),
        Verb::Remove { id, server } => (server, json!({ "verb": "remove", "id": id })),
    };
    let reply = request(&server.state_dir()?, &asked).map_err(|error| error.to_string())?;
    print(&reply).map_err(|error| format!("cannot write: {error}"))
}

/// One line an override.
fn print(reply: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let none = Vec::new();
    let list = reply["overrides"].as_array().unwrap_or(&none);
    if list.is_empty() {
        return writeln!(out, "no overrides");
    }
    for one in list {
        let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
        let order = match one["weight"].as_u64() {
            Some(weight) => format!("weight={weight}"),
            None => text("order"),
        };
        write!(out, "{} {order} {} ({} members)", one["id"], text("target"), one["members"])?;
        for (label, value) in [("owner", text("owner")), ("reason", text("reason"))] {
            if !value.is_empty() {
                write!(out, ", {label}: {value}")?;
            }
        }
        match one["expires"].as_u64() {
            Some(secs) => writeln!(out, ", ends at {secs} (Unix time)")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_times_are_read_as_written() {
        assert!(order("down").is_ok_and(|order| order == (Word::Down, None)));
        assert!(order("weight=0").is_ok_and(|order| order == (Word::Weight, Some(0))));
        for bad in ["", "weight", "weight=65536", "up=1", "off"] {
            assert!(order(bad).is_err(), "{bad}");
        }
        assert_eq!(lifetime("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(lifetime("2h"), Ok(Duration::from_secs(7200)));
        for bad in ["", "0s", "2", "h", "2ä", "-1m", "99999999999999999999d"] {
            assert!(lifetime(bad).is_err(), "{bad}");
        }
    }
}
