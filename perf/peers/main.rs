//! `perf/compare`: what a query costs steerd and its peers, side by side.
//!
//! Every server runs on core 0 with one worker and serves the same zone; the load (`perf/load`) runs on core 1. Rounds are
//! interleaved and shuffled, and what is reported is the ratio within a round: absolute costs drift. A run with wrong
//! answers, losses or an idle server is never counted. Files: `peers` (who, and their configuration), `process` (starting,
//! proving and stopping them), `figures` (medians and ratios), `latency`, `report` and `picture` (what comes out).

use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use serde_json::Value;

mod figures;
mod latency;
mod peers;
mod picture;
mod process;
mod report;

use figures::{Outcome, Run, Series};
use peers::Peer;
use process::Running;

/// Why nothing can be measured.
type Failure = Box<dyn std::error::Error>;

/// The cores of servers and of the load.
const SERVER_CORE: &str = "0";
const LOAD_CORE: &str = "1";
/// What a query costs steerd and its peers, side by side.
#[derive(Parser)]
#[command(name = "perf/compare")]
pub(crate) struct Arguments {
    /// Peers by name or by the start of it (gdnsd); default all. steerd and both echoes always take part.
    peers: Vec<String>,
    /// Rounds.
    #[arg(long, default_value_t = 6)]
    rounds: usize,
    /// Measured seconds of one server in one round.
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Seconds before them that do not count.
    #[arg(long, default_value_t = 0.3)]
    warmup: f64,
    /// What is asked: mix, www, static, nxdomain, names:COUNT.
    #[arg(long, default_value = "mix")]
    queries: String,
    /// udp, tcp (pipelined) or tcp-once (one connection a query).
    #[arg(long, default_value = "udp", value_parser = ["udp", "tcp", "tcp-once"])]
    transport: String,
    /// TCP connections at once; with tcp-once, Knot loses some above 10, for which it listens with room.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Queries have an OPT record.
    #[arg(long)]
    edns: bool,
    /// Queries have a client subnet, too, each another one.
    #[arg(long)]
    ecs: bool,
    /// Measure how long answers take at 10, 50 and 90 % of each server's highest rate, instead of what they cost. UDP only.
    #[arg(long, conflicts_with_all = ["transport", "svg"])]
    latency: bool,
    /// Least busy share of the server's core; default 0.9, with tcp-once 0 because the client is the bottleneck there.
    #[arg(long)]
    min_busy: Option<f64>,
    /// Largest share of queries that may be lost.
    #[arg(long, default_value_t = 0.001)]
    max_loss: f64,
    /// Another steerd program, which takes part as steerd-other.
    #[arg(long)]
    other: Option<PathBuf>,
    /// Seed of the order of servers; default: from the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// Write everything to this file as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw the costs into this SVG file.
    #[arg(long)]
    svg: Option<PathBuf>,
    /// Where the built programs are.
    #[arg(long, hide = true)]
    programs: PathBuf,
    /// Directory for the configuration and logs of all servers.
    #[arg(long, hide = true)]
    scratch: PathBuf,
}

impl Arguments {
    fn least_busy(&self) -> f64 {
        self.min_busy.unwrap_or(if self.transport == "tcp-once" { 0.0 } else { 0.9 })
    }

    /// The arguments that every call of the load has.
    fn load(&self, peer: &Peer, server: &Running) -> Command {
        let mut load = Command::new(self.programs.join("examples/load"));
        load.args(["--json", "--core", LOAD_CORE, "--server", &server.address.to_string()]);
        load.args(["--transport", &self.transport, "--queries", peer.queries.unwrap_or(&self.queries)]);
        load.args(["--check", if peer.answers_everything { "header" } else { "all" }]);
        if self.transport != "udp" {
            load.args(["--sockets", &self.connections.to_string()]);
        }
        load.args(self.edns.then_some("--edns"));
        load.args(self.ecs.then_some("--ecs"));
        load
    }
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let clock = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
    let seed = arguments.seed.unwrap_or(clock % 1_000_000);
    let mut servers = Vec::new();
    for peer in peers::chosen(&arguments)? {
        let mut running = Running::start(&peer, &arguments)?;
        running.prove(&peer, &arguments)?;
        servers.push((Series::new(&peer), peer, running));
    }
    report::introduce(&arguments, seed, &servers);
    let write = |servers: Value| match &arguments.json {
        Some(path) => std::fs::write(path, report::json(&arguments, seed, servers).to_string() + "\n"),
        None => Ok(()),
    };
    let mut shuffle = seed;
    for round in 0..if arguments.latency { latency::PEAK_ROUNDS } else { arguments.rounds } {
        for at in order(servers.len(), &mut shuffle) {
            let (series, peer, running) = &mut servers[at];
            let outcome = measure(&arguments, peer, running, seed + round as u64)?;
            if let Outcome::Discarded(why) = &outcome {
                eprintln!("round {}: {} discarded: {why}", round + 1, peer.name);
            }
            series.rounds.push(outcome);
            series.memory_mib = running.memory_mib();
        }
    }
    if arguments.latency {
        let waits = latency::measure(&arguments, &servers, seed)?;
        latency::print(&arguments, &waits);
        return Ok(write(latency::json(&waits))?);
    }
    let series: Vec<Series> = servers.into_iter().map(|(series, ..)| series).collect();
    report::print(&arguments, &series);
    write(report::costs(&arguments, &series))?;
    if let Some(path) = &arguments.svg {
        std::fs::write(path, picture::draw(&series, &report::subtitle(&arguments)))?;
    }
    if series.iter().all(|one| one.counted().count() > 0) {
        Ok(())
    } else {
        Err("a server has no round that counts".into())
    }
}

/// One round of one server.
fn measure(arguments: &Arguments, peer: &Peer, running: &mut Running, seed: u64) -> Result<Outcome, Failure> {
    running.check_owner(&arguments.transport)?;
    let mut load = arguments.load(peer, running);
    load.args(["--pid", &running.serving.to_string(), "--seed", &seed.to_string()]);
    load.args(["--seconds", &arguments.seconds.to_string(), "--warmup", &arguments.warmup.to_string()]);
    let figures = run_load(&mut load)?;
    let figure = |key: &str| figures[key].as_f64().unwrap_or(f64::NAN);
    let run = Run {
        cpu_ns: figure("cpu-ns"),
        user_ns: figure("cpu-ns-user"),
        system_ns: figure("cpu-ns-system"),
        qps: figure("qps"),
        busy: figure("server-busy"),
        lost: figure("lost") / (figure("lost") + figure("right") + figure("wrong")).max(1.0),
        p99_us: figure("latency-us-p99"),
    };
    Ok(if figure("replies") < 1.0 {
        Outcome::Discarded("no answers".to_owned())
    } else if let Some(why) = wrong(&figures) {
        Outcome::Discarded(why)
    } else if run.lost > arguments.max_loss {
        Outcome::Discarded(format!("{:.2} % lost", run.lost * 100.0))
    } else if run.busy < arguments.least_busy() {
        Outcome::Discarded(format!("its core was {:.0} % busy with it", run.busy * 100.0))
    } else {
        Outcome::Counted(run)
    })
}

/// What was wrong with answers, if any were.
fn wrong(figures: &Value) -> Option<String> {
    let parts = figures.as_object().into_iter().flatten();
    let parts = parts.filter(|(key, value)| key.starts_with("wrong-") && value.as_u64() != Some(0));
    let reasons: Vec<String> = parts.map(|(key, value)| format!("{key} {value}")).collect();
    (figures["wrong"] != 0).then(|| format!("{} wrong answers ({})", figures["wrong"], reasons.join(", ")))
}

/// Runs the load to its end; its figures.
///
/// # Errors
/// It failed, or said nothing.
fn run_load(load: &mut Command) -> Result<Value, Failure> {
    let output = load.output()?;
    if !output.status.success() {
        return Err(format!("load: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A random order (Fisher and Yates, numbers by SplitMix64).
fn order(count: usize, state: &mut u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        order.swap(last, ((mixed ^ (mixed >> 31)) % (last as u64 + 1)) as usize);
    }
    order
}
