//! Load for a DNS server that checks every answer: `load --server ADDRESS:PORT ...`; `--help` tells the rest.
//!
//! One thread. It shares no code with what it measures. Without `--rate` it is a closed loop: as many queries as the
//! windows allow. Its files: `queries` (what is asked), `slots` (what is outstanding), `tally` (what came of it), `udp`,
//! `tcp` and `tcp_once` (how it is asked), `run` (for how long), `server` (what it costs the other side).

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

mod histogram;
mod queries;
mod random;
mod report;
mod run;
mod server;
mod slots;
mod tally;
mod tcp;
mod tcp_once;
mod udp;

/// Why a run could not be made.
type Failure = Box<dyn std::error::Error>;

/// Queries as fast as a server answers them, or at a rate; every answer is checked.
#[derive(Parser)]
struct Arguments {
    /// Address and port of the server.
    #[arg(long)]
    server: SocketAddr,
    /// How queries are sent: over UDP, pipelined over TCP connections, or one TCP connection a query.
    #[arg(long, value_enum, default_value = "udp")]
    transport: Transport,
    /// What is asked: mix, www, static, nxdomain, names:COUNT, or a file of `name type rcode min-answers` lines.
    #[arg(long, default_value = "mix")]
    queries: String,
    /// Add an OPT record.
    #[arg(long)]
    edns: bool,
    /// Add a client subnet, another one in each query; implies --edns.
    #[arg(long)]
    ecs: bool,
    /// Measured time.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Time before it that does not count.
    #[arg(long, default_value_t = 0.3)]
    warmup: f64,
    /// Sockets, or connections; default 8, with --rate 64, with tcp-once 64.
    #[arg(long)]
    sockets: Option<usize>,
    /// Queries outstanding on each socket; default 22, with --rate 1024. With tcp-once always 1.
    #[arg(long)]
    window: Option<usize>,
    /// Most queries in one send.
    #[arg(long, default_value_t = 11)]
    batch: usize,
    /// Queries a second, due at fixed times whatever comes back; latency counts from when a query was due. UDP only.
    #[arg(long)]
    rate: Option<f64>,
    /// With --rate: queries are due together every so many microseconds, with sleep in between, so that the core can be
    /// shared; 0: each at its own time, waited for without sleep.
    #[arg(long, default_value_t = 0)]
    tick_us: u32,
    /// After so many milliseconds a query without an answer is lost.
    #[arg(long, default_value_t = 100)]
    timeout_ms: u64,
    /// Check everything, or id, QR and question alone.
    #[arg(long, value_enum, default_value = "all")]
    check: Check,
    /// With tcp-once: close connections instead of resetting them.
    #[arg(long)]
    close: bool,
    /// With tcp-once: how many addresses from 127.16.0.1 on connections come from, where the server is in 127.0.0.0/8.
    #[arg(long, default_value_t = 64)]
    sources: u32,
    /// Run on this core alone.
    #[arg(long)]
    core: Option<usize>,
    /// Process id of the server: its CPU time is taken.
    #[arg(long)]
    pid: Option<i32>,
    /// Seed of the choice of queries.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Transport {
    Udp,
    Tcp,
    TcpOnce,
}

#[derive(Clone, Copy, ValueEnum)]
enum Check {
    All,
    Header,
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    if let Some(core) = arguments.core {
        let mut cores = CpuSet::new();
        cores.set(core)?;
        sched_setaffinity(Pid::from_raw(0), &cores)?;
    }
    let measured = ask(&arguments)?;
    report::print(report::figures(&measured), arguments.json);
    Ok(())
}

fn ask(arguments: &Arguments) -> Result<run::Measured, Failure> {
    let edns = match (arguments.ecs, arguments.edns) {
        (true, _) => queries::Edns::ClientSubnet,
        (false, true) => queries::Edns::On,
        (false, false) => queries::Edns::Off,
    };
    let queries = queries::Queries::load(&arguments.queries, edns)?;
    let plan = run::Plan {
        warmup: Duration::try_from_secs_f64(arguments.warmup)?,
        length: Duration::try_from_secs_f64(arguments.seconds)?,
        timeout: Duration::from_millis(arguments.timeout_ms),
        strictness: match arguments.check {
            Check::All => tally::Strictness::All,
            Check::Header => tally::Strictness::Header,
        },
        server: arguments.pid.map(server::Server::find).transpose()?,
        seed: arguments.seed,
    };
    let (sockets, window) = match (arguments.transport, arguments.rate) {
        // 176 in all. A receive buffer of the default size (212,992 octets) holds some 250 small queries, and 190 while it is
        // being emptied, as the kernel gives room back late; a server that has to wait for its core must not lose any.
        (Transport::Udp | Transport::Tcp, None) => (8, 22),
        (Transport::Udp, Some(_)) => (64, 1024),
        (Transport::TcpOnce, None) => (64, 1),
        (Transport::Tcp | Transport::TcpOnce, Some(_)) => return Err("--rate needs --transport udp".into()),
    };
    let sockets = arguments.sockets.unwrap_or(sockets);
    let window = arguments.window.unwrap_or(window);
    let batch = arguments.batch.min(window);
    within("--sockets", sockets, 16384)?;
    within("--window", window, 16384)?;
    within("--batch", batch, udp::MAX_BATCH)?;
    if arguments.rate.is_some_and(|rate| !(rate > 0.0 && rate < 1e8)) {
        return Err("--rate is out of range".into());
    }
    let server = arguments.server;
    match arguments.transport {
        Transport::Udp => {
            let shape = udp::Shape {
                sockets,
                window,
                batch,
                rate: arguments.rate,
                tick_ns: u64::from(arguments.tick_us) * 1000,
            };
            udp::ask(server, &shape, plan, &queries)
        }
        Transport::Tcp => {
            tcp::ask(server, &tcp::Shape { connections: sockets, window, batch }, plan, &queries)
        }
        Transport::TcpOnce => {
            let shape = tcp_once::Shape {
                connections: sockets,
                reset: !arguments.close,
                sources: arguments.sources.clamp(1, 65_000),
            };
            tcp_once::ask(server, &shape, plan, &queries)
        }
    }
}

fn within(what: &str, value: usize, limit: usize) -> Result<(), Failure> {
    if (1..=limit).contains(&value) { Ok(()) } else { Err(format!("{what} must be 1 to {limit}").into()) }
}
