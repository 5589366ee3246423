//! The result as text and as JSON: on what machine, of which versions, when; costs, and the ratios of each to each.
#![expect(clippy::print_stdout, reason = "a program whose result is what it prints")]

use std::fs;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::Arguments;
use crate::figures::{Outcome, Run, Series, Spread};
use crate::peers::Peer;
use crate::process::Running;

/// What is measured, where, on whom; before the rounds.
pub(crate) fn introduce(arguments: &Arguments, seed: u64, servers: &[(Series, Peer, Running)]) {
    let what = if arguments.latency { "latency of answers" } else { "CPU time of a server a query" };
    println!("# compare: {what}; {}", subtitle(arguments));
    println!("# {}, load {}", machine(), load_average());
    println!(
        "# {} rounds of {} s after {} s, seed {seed}",
        arguments.rounds, arguments.seconds, arguments.warmup
    );
    for (series, _, running) in servers {
        let version = version(arguments, series.name, series.package);
        println!("#   {:<15} {} ({version}; process {})", series.name, series.what, running.serving);
    }
}

/// What is asked and how.
pub(crate) fn subtitle(arguments: &Arguments) -> String {
    let transport = match arguments.transport.as_str() {
        "udp" => "UDP",
        "tcp" => "TCP, pipelined",
        _ => "TCP, one connection a query",
    };
    let edns = if arguments.ecs {
        ", EDNS and client subnet"
    } else if arguments.edns {
        ", EDNS"
    } else {
        ""
    };
    format!("queries {}, {transport}{edns}; {}", arguments.queries, date())
}

/// The tables.
pub(crate) fn print(arguments: &Arguments, all: &[Series]) {
    let base = base(all);
    println!();
    println!(
        "{:<15} {:>8} {:>7} {:>7}  {:<19} {:>7} {:>6} {:>7} {:>7} {:>8}  rounds",
        "server",
        "ns/query",
        "user",
        "system",
        format!("÷ {}", base.map_or("-", |base| base.name)),
        "kq/s",
        "busy",
        "lost %",
        "p99 µs",
        "PSS MiB"
    );
    for one in all {
        let counted = one.counted().count();
        let rounds = format!("{counted} of {}", one.rounds.len());
        let Some(cpu) = median(one, |run| run.cpu_ns) else {
            println!("{:<15} {:>8}  {rounds}", one.name, "-");
            continue;
        };
        let figure = |figure: fn(&Run) -> f64| median(one, figure).unwrap_or(f64::NAN);
        println!(
            "{:<15} {cpu:>8.0} {:>7.0} {:>7.0}  {:<19} {:>7.0} {:>5.0}% {:>7.3} {:>7.0} {:>8.1}  {rounds}",
            one.name,
            figure(|run| run.user_ns),
            figure(|run| run.system_ns),
            base.and_then(|base| one.ratio_to(base)).map_or("-".to_owned(), ratio),
            figure(|run| run.qps) / 1e3,
            figure(|run| run.busy) * 100.0,
            figure(|run| run.lost) * 100.0,
            figure(|run| run.p99_us),
            one.memory_mib,
        );
    }
    println!(
        "(medians of rounds; user and system by the kernel's ticks, so rough; PSS: memory of all its processes)"
    );
    for subject in all.iter().filter(|one| one.name.starts_with("steerd")) {
        println!(
            "\n{} ÷, median [least–most] of ratios within a round; less is faster; where the median is with 95 %",
            subject.name
        );
        for other in all.iter().filter(|other| other.name != subject.name) {
            let spread = subject.ratio_to(other);
            let confident =
                spread.map_or(String::new(), |one| format!("{:.3}–{:.3}", one.confident.0, one.confident.1));
            println!("  {:<15} {:<22} {confident}", other.name, spread.map_or("-".to_owned(), ratio));
        }
    }
    let discarded: usize = all.iter().map(|one| one.rounds.len() - one.counted().count()).sum();
    println!(
        "\n{discarded} rounds discarded (a wrong answer, over {} % lost, or a core less than {:.0} % busy)",
        arguments.max_loss * 100.0,
        arguments.least_busy() * 100.0
    );
}

/// Everything of every server.
pub(crate) fn costs(arguments: &Arguments, all: &[Series]) -> Value {
    let servers = all.iter().map(|one| (one.name.to_owned(), series_json(arguments, one, all)));
    servers.collect::<Map<_, _>>().into()
}

/// What was measured of the servers, with how it was.
pub(crate) fn json(arguments: &Arguments, seed: u64, servers: Value) -> Value {
    json!({
        "date": date(), "machine": machine(), "seed": seed, "queries": arguments.queries,
        "transport": arguments.transport, "edns": arguments.edns || arguments.ecs, "ecs": arguments.ecs,
        "rounds": arguments.rounds, "seconds": arguments.seconds, "servers": servers,
    })
}

fn series_json(arguments: &Arguments, one: &Series, all: &[Series]) -> Value {
    let rounds: Vec<Value> = one
        .rounds
        .iter()
        .map(|outcome| match outcome {
            Outcome::Discarded(why) => json!({"discarded": why}),
            Outcome::Counted(run) => json!({
                "cpu_ns": run.cpu_ns, "user_ns": run.user_ns, "system_ns": run.system_ns, "qps": run.qps,
                "busy": run.busy, "lost": run.lost, "latency_p99_us": run.p99_us,
            }),
        })
        .collect();
    let ratios: Map<String, Value> = all
        .iter()
        .filter_map(|other| Some((other.name.to_owned(), one.ratio_to(other)?.to_json())))
        .collect();
    json!({
        "what": one.what, "version": version(arguments, one.name, one.package), "pss_mib": one.memory_mib,
        "cpu_ns": one.spread(|run| run.cpu_ns).map(Spread::to_json), "user_ns": median(one, |run| run.user_ns),
        "system_ns": median(one, |run| run.system_ns), "qps": one.spread(|run| run.qps).map(Spread::to_json),
        "ratio_to": ratios, "rounds": rounds,
    })
}

fn median(one: &Series, figure: impl Fn(&Run) -> f64) -> Option<f64> {
    one.spread(figure).map(|spread| spread.median)
}

/// The server that the main table's ratios refer to: the ceiling, or where it cannot take part gdnsd.
fn base(all: &[Series]) -> Option<&Series> {
    let named = |name: &str| all.iter().find(|one| one.name == name);
    named("echo").or_else(|| named("gdnsd-weighted")).or_else(|| all.first())
}

fn ratio(spread: Spread) -> String {
    format!("{:.3} [{:.3}–{:.3}]", spread.median, spread.min, spread.max)
}

fn version(arguments: &Arguments, name: &str, package: Option<&str>) -> String {
    let mut command = match (package, &arguments.other) {
        (Some(package), _) => {
            let mut command = Command::new("dpkg-query");
            command.args(["-W", "-f", "${Version}", package]);
            command
        }
        (None, Some(other)) if name == "steerd-other" => Command::new(other),
        (None, _) => Command::new(arguments.programs.join("steerd")),
    };
    if package.is_none() {
        command.arg("--version");
    }
    let output = command.output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    output.ok().filter(|text| !text.is_empty()).unwrap_or("version unknown".to_owned())
}

fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model);
    let cores = info.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{}, {cores} cores, Linux {}", model.unwrap_or("unknown CPU"), kernel.trim())
}

fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

fn date() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
