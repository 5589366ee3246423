//! How long after a verdict the answers change: `failover FLIPS WORKERS`.
//!
//! Server, backend and client are in this one process, so that the verdict (`TargetStatus::changed`) and the answers are
//! read off one clock. The pool has two members and answers with both; one of them stops and starts listening. While
//! queries run at full speed (closed loop, 64 outstanding) the client notes from when on no answer has the member, which is
//! no earlier than the first without it, and when one last had it. A failover is measured from the verdict of the probe that makes the member DOWN.
#![expect(clippy::print_stdout, reason = "a program whose result is what it prints")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use steerd::control::supervisor::{Commands, Source, Supervisor};
use steerd::health::StatusBoard;
use steerd::health::status::ChangeTimes;
use steerd::state::health_table::State;

#[expect(dead_code, reason = "shared with other programs")]
mod dns;

type Failure = Box<dyn std::error::Error>;

const STEADY: Ipv4Addr = Ipv4Addr::new(127, 0, 3, 1);
const FLAPPING: Ipv4Addr = Ipv4Addr::new(127, 0, 3, 2);
const NAME: &str = "www.example.com";
/// Sockets of the client, each with [`WINDOW`] queries outstanding: both workers get some.
const SOCKETS: usize = 8;
const WINDOW: usize = 8;
/// A member that has not changed its state by then never will.
const FLIP_LIMIT: Duration = Duration::from_secs(10);
/// How long answers are watched behind a change.
const SETTLE: Duration = Duration::from_millis(20);

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let flips: usize = arguments.next().ok_or("usage: failover FLIPS WORKERS")?.parse()?;
    let workers: u32 = arguments.next().ok_or("usage: failover FLIPS WORKERS")?.parse()?;
    let steady = TcpListener::bind((STEADY, 0))?;
    let port = steady.local_addr()?.port();
    std::thread::spawn(move || steady.incoming().for_each(drop));

    let source = Source::Embedded { name: "failover.yaml", text: config(port, workers) };
    let supervisor = Supervisor::start(source)?;
    let server = supervisor.listening()[0];
    let board = supervisor.status();
    let (stop, stopped) = crossbeam::channel::bounded(1);
    let commands = Commands { reload: crossbeam::channel::never(), stop: stopped };
    let running = std::thread::spawn(move || supervisor.run(&commands));

    let sight = Arc::new(Sight::new());
    let client = {
        let sight = sight.clone();
        std::thread::spawn(move || query(server, &sight))
    };
    let measured = measure(flips, port, &board, &sight);
    sight.stop.store(true, Ordering::Relaxed);
    let tally = client.join().map_err(|_| "the client has panicked")??;
    stop.send(())?;
    running.join().map_err(|_| "the server has panicked")??;
    let mut measured = measured?;

    print_spread("verdict -> table", &mut measured.written);
    print_spread("verdict -> first answer without it", &mut measured.first_without);
    print_spread("verdict -> from here none has it", &mut measured.settled);
    print_spread("verdict -> last answer with it", &mut measured.last_with);
    println!(
        "answers {} in {:.1} s, lost {}, wrong {}",
        tally.answers,
        tally.length.as_secs_f64(),
        tally.lost,
        tally.wrong
    );
    let p99 = quantile(&measured.first_without, 0.99);
    let verdict = if p99 < Duration::from_millis(5) { "met" } else { "MISSED" };
    println!(
        "target: p99 of the first answer without it under 5 ms over {flips} flips: {verdict} ({p99:.1?})"
    );
    if tally.wrong > 0 || tally.lost > 0 { Err("answers were lost or wrong".into()) } else { Ok(()) }
}

fn config(port: u16, workers: u32) -> String {
    format!(
        "server: {{listen: ['127.0.0.1:0'], workers: {workers}}}
globalnames: {{{NAME}: {{pool: web, ttl: 5}}}}
pools:
  web:
    lb_method: wrr
    max_addrs_returned: 2
    members: {{{STEADY}: {{}}, {FLAPPING}: {{}}}}
    monitor: tcp
    monitor_params: {{port: {port}, interval: 0.1, timeout: 0.1, retries: 0, rise: 1}}
"
    )
}

/// What the client sees, as nanoseconds since a common origin; written by the client, read by the flipping thread.
struct Sight {
    origin: Instant,
    stop: AtomicBool,
    /// When an answer last had the flapping member.
    last_with: AtomicU64,
    /// Set before the member fails: the next answer without it is the first.
    armed: AtomicBool,
    /// When the first answer without it came.
    first_without: AtomicU64,
    /// When an answer last lacked it directly behind one that had it: from there on none has it. With several sockets and
    /// workers that is later than the first without it, by what was already under way.
    settled: AtomicU64,
}

impl Sight {
    fn new() -> Sight {
        let zero = || AtomicU64::new(0);
        Sight {
            origin: Instant::now(),
            stop: AtomicBool::new(false),
            last_with: zero(),
            armed: AtomicBool::new(false),
            first_without: zero(),
            settled: zero(),
        }
    }

    fn since(&self, from: Instant, cell: &AtomicU64) -> Duration {
        let at = self.origin + Duration::from_nanos(cell.load(Ordering::Relaxed));
        // An answer from before the verdict counts as 0.
        at.saturating_duration_since(from)
    }
}

struct Tally {
    answers: u64,
    lost: u64,
    wrong: u64,
    length: Duration,
}

/// Keeps the windows of all sockets full until told to stop.
fn query(server: SocketAddr, sight: &Sight) -> std::io::Result<Tally> {
    let mut clients: Vec<_> = (0..SOCKETS).map(|_| dns::Client::connect(server)).collect::<Result<_, _>>()?;
    for client in &mut clients {
        for _ in 0..WINDOW {
            client.send(NAME)?;
        }
    }
    let mut tally = Tally { answers: 0, lost: 0, wrong: 0, length: Duration::ZERO };
    let started = Instant::now();
    let mut had_it = true;
    while !sight.stop.load(Ordering::Relaxed) {
        for client in &mut clients {
            let Some((_, answer)) = client.receive()? else {
                tally.lost += WINDOW as u64;
                for _ in 0..WINDOW {
                    client.send(NAME)?;
                }
                continue;
            };
            client.send(NAME)?;
            tally.answers += 1;
            let has_it = answer.addresses.contains(&FLAPPING);
            if answer.rcode != 0
                || !answer.addresses.contains(&STEADY)
                || answer.addresses.len() != 1 + usize::from(has_it)
            {
                tally.wrong += 1;
            }
            if has_it || had_it {
                let now = sight.origin.elapsed().as_nanos() as u64;
                let cell = if has_it { &sight.last_with } else { &sight.settled };
                cell.store(now, Ordering::Relaxed);
                if !has_it && sight.armed.swap(false, Ordering::Relaxed) {
                    sight.first_without.store(now, Ordering::Relaxed);
                }
            }
            had_it = has_it;
        }
    }
    tally.length = started.elapsed();
    Ok(tally)
}

#[derive(Default)]
struct Measured {
    written: Vec<Duration>,
    first_without: Vec<Duration>,
    settled: Vec<Duration>,
    last_with: Vec<Duration>,
}

/// Lets the member go down and come up again.
fn measure(flips: usize, port: u16, board: &StatusBoard, sight: &Sight) -> Result<Measured, Failure> {
    let mut measured = Measured::default();
    for flip in 0..flips {
        let listener = TcpListener::bind((FLAPPING, port))?;
        listener.set_nonblocking(true)?;
        await_state(board, State::Up, || drop(listener.accept()))?;
        // A phase of its own for each flip: probes and flips must not run in step.
        std::thread::sleep(SETTLE + Duration::from_micros(flip as u64 * 997 % 60_000));
        sight.armed.store(true, Ordering::Relaxed);
        drop(listener);
        let times = await_state(board, State::Down, || ())?;
        std::thread::sleep(SETTLE);
        measured.written.push(times.written_at - times.verdict_at);
        measured.first_without.push(sight.since(times.verdict_at, &sight.first_without));
        measured.settled.push(sight.since(times.verdict_at, &sight.settled));
        measured.last_with.push(sight.since(times.verdict_at, &sight.last_with));
    }
    Ok(measured)
}

/// Waits until the flapping member is in `state`, looking once a millisecond.
fn await_state(
    board: &StatusBoard,
    state: State,
    mut meanwhile: impl FnMut(),
) -> Result<ChangeTimes, Failure> {
    let started = Instant::now();
    while started.elapsed() < FLIP_LIMIT {
        let status = board.snapshot();
        let health = &status.pools[0].members[1].health;
        if let (true, Some(times)) = (health.state.state == state, health.changed) {
            return Ok(times);
        }
        meanwhile();
        std::thread::sleep(Duration::from_millis(1));
    }
    Err("the member does not change its state".into())
}

/// Sorted before it is asked.
fn quantile(sorted: &[Duration], quantile: f64) -> Duration {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or_default()
}

fn print_spread(what: &str, durations: &mut [Duration]) {
    durations.sort();
    let at = |q| quantile(durations, q);
    println!(
        "{what:<36} min {:>9.1?}  p50 {:>9.1?}  p99 {:>9.1?}  max {:>9.1?}",
        at(0.0),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
