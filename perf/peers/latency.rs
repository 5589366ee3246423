//! `perf/compare --latency`: how long answers take while a server has 10, 50 or 90 % of its own highest rate to answer.
//!
//! Queries are sent at fixed times whatever comes back, and latency counts from when each was due, so that a server that
//! stands still is charged with all who wait meanwhile. Servers and shares are interleaved and shuffled in each round.
#![expect(clippy::print_stdout, reason = "a program whose result is what it prints")]

use serde_json::{Map, Value, json};

use crate::figures::{Series, Spread};
use crate::peers::Peer;
use crate::process::Running;
use crate::{Arguments, Failure, order, run_load};

/// Of the highest rate, in per cent.
const SHARES: [u32; 3] = [10, 50, 90];

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
}

/// Asks every server for its highest rate, then all of them in rounds.
///
/// # Errors
/// The load failed, or a server answers wrongly.
pub(crate) fn measure(
    arguments: &Arguments,
    servers: &[(Series, Peer, Running)],
    seed: u64,
) -> Result<Vec<Waits>, Failure> {
    let mut waits = Vec::new();
    for (series, peer, running) in servers {
        let figures = ask(arguments, peer, running, seed, None)?;
        let peak_qps = figures["qps"].as_f64().unwrap_or_default();
        waits.push(Waits { name: series.name, peak_qps, runs: Default::default() });
    }
    let mut shuffle = seed;
    for round in 0..arguments.rounds {
        for turn in order(servers.len() * SHARES.len(), &mut shuffle) {
            let (at, share) = (turn / SHARES.len(), turn % SHARES.len());
            let (_, peer, running) = &servers[at];
            let rate = waits[at].peak_qps * f64::from(SHARES[share]) / 100.0;
            let figures = ask(arguments, peer, running, seed + round as u64, Some(rate))?;
            let figure = |key: &str| figures[key].as_f64().unwrap_or(f64::NAN);
            waits[at].runs[share].push(Wait {
                p50_us: figure("latency-us-p50"),
                p99_us: figure("latency-us-p99"),
                p999_us: figure("latency-us-p99.9"),
                lost: figure("lost") / (figure("lost") + figure("right")).max(1.0),
            });
        }
    }
    Ok(waits)
}

fn ask(
    arguments: &Arguments,
    peer: &Peer,
    running: &Running,
    seed: u64,
    rate: Option<f64>,
) -> Result<Value, Failure> {
    running.check_owner(&arguments.transport)?;
    let mut load = arguments.load(peer, running);
    load.args(["--seed", &seed.to_string(), "--seconds", &arguments.seconds.to_string()]);
    load.args(["--warmup", &arguments.warmup.to_string(), "--timeout-ms", "1000"]);
    if let Some(rate) = rate {
        load.args(["--rate", &rate.to_string()]);
    }
    let figures = run_load(&mut load)?;
    match figures["wrong"].as_u64() {
        Some(0) => Ok(figures),
        wrong => Err(format!("{}: {} wrong answers", peer.name, wrong.unwrap_or_default()).into()),
    }
}

/// The table.
pub(crate) fn print(all: &[Waits]) {
    println!(
        "\n{:<15} {:>6} {:>8} {:>9} {:>9} {:>9} {:>8}",
        "server", "load", "kq/s", "p50 µs", "p99 µs", "p99.9 µs", "lost %"
    );
    for one in all {
        for (share, runs) in SHARES.iter().zip(&one.runs) {
            let median = |figure: fn(&Wait) -> f64| median(runs, figure).map_or(f64::NAN, |one| one.median);
            let lost = median(|run| run.lost);
            // Who never got an answer has waited longest of all.
            let waited = |figure, share: f64| {
                if lost > 1.0 - share { "lost".to_owned() } else { format!("{:.0}", median(figure)) }
            };
            println!(
                "{:<15} {share:>5}% {:>8.1} {:>9} {:>9} {:>9} {:>8.3}",
                one.name,
                one.peak_qps * f64::from(*share) / 1e5,
                waited(|run| run.p50_us, 0.5),
                waited(|run| run.p99_us, 0.99),
                waited(|run| run.p999_us, 0.999),
                lost * 100.0,
            );
        }
    }
    println!(
        "(medians of rounds; load: of each server's own highest rate; lost: more were lost than the percentile leaves)"
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
