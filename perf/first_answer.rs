//! From exec to the first answer with a small configuration: `first_answer STEERD [STARTS]` starts it again and again,
//! asks from before it listens, and prints times and resident memory as `key value` lines.
#![expect(clippy::print_stdout, reason = "a program whose result is what it prints")]

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

mod dns;
use dns::Client;

type Failure = Box<dyn std::error::Error>;

/// Starts unless the command line says otherwise.
const STARTS: usize = 50;
/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(5);
/// Pause between two questions: what the figures are exact to.
const PAUSE: Duration = Duration::from_micros(50);
/// By then every thread has started, and what it touches at its start is resident.
const SETTLED: Duration = Duration::from_millis(100);

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let steerd = arguments.next().ok_or("usage: first_answer STEERD [STARTS]")?;
    let starts = arguments.next().map_or(Ok(STARTS), |starts| starts.parse())?;
    // A port that was free a moment ago.
    let address = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    let file = std::env::temp_dir().join(format!("first-answer-{}.yaml", std::process::id()));
    std::fs::write(&file, configuration(address))?;
    let runs: Result<Vec<_>, Failure> = (0..starts)
        .map(|_| {
            let started = Instant::now();
            let command =
                Command::new(&steerd).arg("serve").arg("-c").arg(&file).stderr(Stdio::null()).spawn();
            let mut child = Stopped(command?);
            let ms = first_answer(address, started, &mut child.0)?;
            std::thread::sleep(SETTLED);
            Ok((ms, resident_kib(child.0.id())?))
        })
        .collect();
    std::fs::remove_file(&file)?;
    let (mut times, mut sizes): (Vec<f64>, Vec<u64>) = runs?.into_iter().unzip();
    times.sort_by(f64::total_cmp);
    sizes.sort_unstable();
    let last = starts.checked_sub(1).ok_or("no starts")?;
    println!("starts {starts}");
    println!("min-ms {:.2}\np50-ms {:.2}\np90-ms {:.2}", times[0], times[last / 2], times[last * 9 / 10]);
    println!("rss-kib {}", sizes[last]);
    Ok(())
}

/// Two pools without probes.
fn configuration(listen: SocketAddr) -> String {
    let pool = |name: &str, members: &str| {
        format!(
            "  {name}:\n    lb_method: wrr\n    monitor: forced\n    monitor_params: {{status: up}}\n    members: {members}\n"
        )
    };
    format!(
        "server: {{listen: [\"{listen}\"]}}\nglobalnames:\n  a.example: {{pool: one}}\n  b.example: {{pool: two}}\npools:\n{}{}",
        pool("one", "{192.0.2.1: {}, 192.0.2.2: {weight: 3}}"),
        pool("two", "{192.0.2.3: {}}"),
    )
}

/// Asks until an answer comes; the time since `started` in milliseconds.
fn first_answer(server: SocketAddr, started: Instant, child: &mut Child) -> Result<f64, Failure> {
    let mut client = Client::connect(server)?;
    while started.elapsed() < LIMIT {
        // An error: nobody listens yet.
        if let Ok(Some(answer)) = client.ask("a.example") {
            let ms = started.elapsed().as_secs_f64() * 1000.0;
            let right = answer.rcode == 0 && answer.addresses.len() == 1 && !answer.repeats();
            return if right { Ok(ms) } else { Err(format!("wrong: {answer:?}").into()) };
        }
        if let Some(status) = child.try_wait()? {
            return Err(format!("steerd has ended: {status}").into());
        }
        std::thread::sleep(PAUSE);
    }
    Err("no answer".into())
}

/// VmRSS of a process (proc(5)).
fn resident_kib(pid: u32) -> Result<u64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// A process that ends with this.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
