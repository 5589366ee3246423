//! `perf/compare --latency`: how long answers take while a server has 10, 50 or 90 % of its own highest rate to answer.
//!
//! Queries are sent at fixed times whatever comes back, and latency counts from when each was due, so that a server that
//! stands still is charged with all who wait meanwhile; who never gets an answer has waited longest of all. Servers and
//! shares are interleaved and shuffled in each round. A run with wrong answers, or in which the load fell behind, is
//! discarded and said.
#![expect(clippy::print_stdout, reason = "a program whose result is what it prints")]

use serde_json::{Map, Value, json};

use crate::figures::{Series, Spread};
use crate::peers::Peer;
use crate::process::Running;
use crate::{Arguments, Failure, order, run_load, wrong};

/// Saturating rounds before the others: their median is a server's highest rate.
pub(crate) const PEAK_ROUNDS: usize = 3;

/// Of the highest rate, in per cent.
const SHARES: [u32; 3] = [10, 50, 90];
/// How long an answer is waited for: far beyond any p99 seen, yet short, as a run with losses ends only so long after.
const TIMEOUT_MS: u32 = 250;
/// A run in which the load sent a smaller share of what was due asked for less than it says.
const LEAST_SENT: f64 = 0.99;

/// What one server has shown.
pub(crate) struct Waits {
    name: &'static str,
    peak_qps: f64,
    /// By share.
    runs: [Vec<Wait>; SHARES.len()],
}

/// One run: microseconds, and the share of queries lost.
struct Wait {
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    lost: f64,
    /// How late the load itself was with one query in a thousand.
    behind_us: f64,
}

/// Asks all servers at shares of the highest rates that their saturating rounds have shown.
///
/// # Errors
/// The load failed, or a server has no saturating round, or no run at some share, that counts.
pub(crate) fn measure(
    arguments: &Arguments,
    servers: &[(Series, Peer, Running)],
    seed: u64,
) -> Result<Vec<Waits>, Failure> {
    let mut waits = Vec::new();
    for (series, ..) in servers {
        let peak = series.spread(|run| run.qps);
        let peak = peak.ok_or_else(|| format!("no saturating round of {} counts", series.name))?;
        waits.push(Waits { name: series.name, peak_qps: peak.median, runs: Default::default() });
    }
    let mut shuffle = seed;
    for round in 0..arguments.rounds {
        for turn in order(servers.len() * SHARES.len(), &mut shuffle) {
            let (at, share) = (turn / SHARES.len(), turn % SHARES.len());
            let (_, peer, running) = &servers[at];
            let rate = waits[at].peak_qps * f64::from(SHARES[share]) / 100.0;
            let figures = ask(arguments, peer, running, seed + round as u64, rate)?;
            let figure = |key: &str| figures[key].as_f64().unwrap_or(f64::NAN);
            let sent =
                (figure("sent") + figure("lost-no-slot") + figure("lost-unsent")) / figure("seconds") / rate;
            let late = (sent < LEAST_SENT)
                .then(|| format!("the load sent only {:.1} % of what was due", sent * 100.0));
            if let Some(why) = wrong(&figures).or(late) {
                eprintln!("round {}: {} at {} % discarded: {why}", round + 1, peer.name, SHARES[share]);
                continue;
            }
            waits[at].runs[share].push(Wait {
                p50_us: figure("latency-us-p50"),
                p99_us: figure("latency-us-p99"),
                p999_us: figure("latency-us-p99.9"),
                lost: figure("lost") / (figure("lost") + figure("right")).max(1.0),
                behind_us: figure("behind-us-p99.9"),
            });
        }
    }
    match waits.iter().find(|one| one.runs.iter().any(Vec::is_empty)) {
        Some(one) => Err(format!("no run of {} counts at some share", one.name).into()),
        None => Ok(waits),
    }
}

fn ask(
    arguments: &Arguments,
    peer: &Peer,
    running: &Running,
    seed: u64,
    rate: f64,
) -> Result<Value, Failure> {
    running.check_owner(&arguments.transport)?;
    let mut load = arguments.load(peer, running);
    load.args(["--seed", &seed.to_string(), "--seconds", &arguments.seconds.to_string()]);
    load.args(["--warmup", &arguments.warmup.to_string(), "--timeout-ms", &TIMEOUT_MS.to_string()]);
    run_load(load.args(["--rate", &rate.to_string()]))
}

/// The table.
pub(crate) fn print(arguments: &Arguments, all: &[Waits]) {
    println!(
        "\n{:<15} {:>6} {:>8} {:>9} {:>9} {:>9} {:>15} {:>9}  rounds",
        "server", "load", "kq/s", "p50 µs", "p99 µs", "p99.9 µs", "lost % [most]", "behind µs"
    );
    for one in all {
        for (share, runs) in SHARES.iter().zip(&one.runs) {
            let median = |figure: fn(&Wait) -> f64| median(runs, figure).map_or(f64::NAN, |one| one.median);
            // A median hides the one round that lost a tenth.
            let lost = Spread::of(runs.iter().map(|run| run.lost * 100.0))
                .map_or_else(String::new, |lost| format!("{:.3} [{:.3}]", lost.median, lost.max));
            let waited = |figure| match median(figure) {
                // Of two middle values one was lost at least.
                us if us >= f64::from(TIMEOUT_MS) * 500.0 => "lost".to_owned(),
                us => format!("{us:.0}"),
            };
            println!(
                "{:<15} {share:>5}% {:>8.1} {:>9} {:>9} {:>9} {:>15} {:>9.0}  {} of {}",
                one.name,
                one.peak_qps * f64::from(*share) / 1e5,
                waited(|run| run.p50_us),
                waited(|run| run.p99_us),
                waited(|run| run.p999_us),
                lost,
                median(|run| run.behind_us),
                runs.len(),
                arguments.rounds,
            );
        }
    }
    println!(
        "(medians of rounds; load: of each server's own highest rate; lost: at least half of the rounds lost more than the percentile leaves; \
         behind: how late the load itself was, p99.9)"
    );
}

/// Everything.
pub(crate) fn json(all: &[Waits]) -> Value {
    let spread = |runs: &[Wait], figure| median(runs, figure).map(Spread::to_json);
    let shares = |one: &Waits| -> Map<String, Value> {
        let each = SHARES.iter().zip(&one.runs).map(|(share, runs)| {
            let figures = json!({
                "p50_us": spread(runs, |run| run.p50_us), "p99_us": spread(runs, |run| run.p99_us),
                "p999_us": spread(runs, |run| run.p999_us), "lost": spread(runs, |run| run.lost),
                "behind_us": spread(runs, |run| run.behind_us), "rounds": runs.len(),
            });
            (share.to_string(), figures)
        });
        each.collect()
    };
    all.iter()
        .map(|one| (one.name.to_owned(), json!({"peak_qps": one.peak_qps, "shares": shares(one)})))
        .collect::<Map<_, _>>()
        .into()
}

fn median(runs: &[Wait], figure: fn(&Wait) -> f64) -> Option<Spread> {
    Spread::of(runs.iter().map(figure))
}
