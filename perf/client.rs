//! The client behind the scripts of perf/: asks, checks every answer, prints counts as `key value` lines.
//!
//! ```text
//! client rotation SERVER NAME QUERIES SOCKETS        who led how many answers, and whether any address came twice
//! client check SERVER SECONDS NAME COUNT ADDRESS...  every answer has COUNT distinct addresses, all of them listed
//! client first SERVER NAME                           returns with the first answer, within 60 s
//! client port                                        a port that is free for UDP and TCP on 127.0.0.1
//! client start SERVER NAME STARTS COMMAND...         milliseconds from running COMMAND to its first answer; its memory
//! client names SERVER NAMES QUERIES ADDRESS...       random names of perf/names exist, their neighbours do not
//! ```
#![expect(clippy::print_stdout, reason = "a program whose result is what it prints")]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

mod dns;
use dns::{Answer, Client};

type Failure = Box<dyn std::error::Error>;

/// Sockets of `check`: enough that every worker gets some.
const CHECK_SOCKETS: usize = 16;
/// Pause of `check` between two rounds: it is there to look at answers, not to load the server.
const CHECK_PAUSE: Duration = Duration::from_millis(2);
/// Pause of `first` and `start` between two tries: what the figures are exact to.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
/// By then every thread of a server has started, and what it touches at its start is resident.
const SETTLED: Duration = Duration::from_millis(100);
/// Longest wait of `first` and `start`.
const FIRST_LIMIT: Duration = Duration::from_secs(60);
const NOERROR: u8 = 0;
const NXDOMAIN: u8 = 3;
const REFUSED: u8 = 5;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["rotation", server, name, queries, sockets] => {
            rotation(server.parse()?, name, queries.parse()?, sockets.parse()?)
        }
        ["check", server, seconds, name, count, ref allowed @ ..] => {
            let seconds = Duration::from_secs(seconds.parse()?);
            check(server.parse()?, seconds, name, count.parse()?, &addresses(allowed)?)
        }
        ["first", server, name] => first(server.parse()?, name, || Ok(true)),
        ["port"] => free_port(),
        ["start", server, name, starts, program, ref arguments @ ..] => {
            start(server.parse()?, name, starts.parse()?, program, arguments)
        }
        ["names", server, names, queries, ref allowed @ ..] => {
            names_answer(server.parse()?, names.parse()?, queries.parse()?, &addresses(allowed)?)
        }
        _ => Err("usage: see the head of perf/client.rs".into()),
    }
}

fn addresses(texts: &[&str]) -> Result<Vec<Ipv4Addr>, Failure> {
    Ok(texts.iter().map(|text| text.parse()).collect::<Result<_, _>>()?)
}

fn connect(server: SocketAddr, sockets: usize) -> Result<Vec<Client>, Failure> {
    Ok((0..sockets).map(|_| Client::connect(server)).collect::<Result<_, _>>()?)
}

/// One query after the other, socket by socket.
fn rotation(server: SocketAddr, name: &str, queries: usize, sockets: usize) -> Result<(), Failure> {
    let mut clients = connect(server, sockets)?;
    let mut leads: BTreeMap<Ipv4Addr, u64> = BTreeMap::new();
    let mut sizes: BTreeMap<usize, u64> = BTreeMap::new();
    let (mut lost, mut wrong, mut repeated) = (0, 0, 0);
    for at in 0..queries {
        match clients[at % sockets].ask(name)? {
            None => lost += 1,
            Some(answer) if answer.rcode != NOERROR || answer.addresses.is_empty() => wrong += 1,
            Some(answer) => {
                repeated += u64::from(answer.repeats());
                *sizes.entry(answer.addresses.len()).or_default() += 1;
                *leads.entry(answer.addresses[0]).or_default() += 1;
            }
        }
    }
    println!("queries {queries}\nlost {lost}\nwrong {wrong}\nrepeated {repeated}");
    for (size, count) in sizes {
        println!("size-{size} {count}");
    }
    for (address, count) in leads {
        println!("{address} {count}");
    }
    Ok(())
}

fn check(
    server: SocketAddr,
    length: Duration,
    name: &str,
    count: usize,
    allowed: &[Ipv4Addr],
) -> Result<(), Failure> {
    let mut clients = connect(server, CHECK_SOCKETS)?;
    let (mut sent, mut lost, mut wrong) = (0u64, 0u64, 0u64);
    let started = Instant::now();
    while started.elapsed() < length {
        for client in &mut clients {
            sent += 1;
            match client.ask(name)? {
                None => lost += 1,
                Some(answer) if is_right(&answer, count, allowed) => {}
                Some(answer) => {
                    wrong += 1;
                    eprintln!("wrong answer for {name}: {answer:?}");
                }
            }
        }
        std::thread::sleep(CHECK_PAUSE);
    }
    println!("sent {sent}\nlost {lost}\nwrong {wrong}");
    Ok(())
}

fn is_right(answer: &Answer, count: usize, allowed: &[Ipv4Addr]) -> bool {
    answer.rcode == NOERROR
        && answer.addresses.len() == count
        && !answer.repeats()
        && answer.addresses.iter().all(|address| allowed.contains(address))
}

/// Asks until an answer comes, which must be right, as long as the server is `alive`.
fn first(
    server: SocketAddr,
    name: &str,
    mut alive: impl FnMut() -> std::io::Result<bool>,
) -> Result<(), Failure> {
    let mut client = Client::connect(server)?;
    let began = Instant::now();
    while began.elapsed() < FIRST_LIMIT {
        // An error: nobody listens yet.
        if let Ok(Some(answer)) = client.ask(name) {
            let right = answer.rcode == NOERROR && !answer.addresses.is_empty() && !answer.repeats();
            return if right { Ok(()) } else { Err(format!("wrong: {answer:?}").into()) };
        }
        if !alive()? {
            return Err("the server has ended".into());
        }
        std::thread::sleep(FIRST_PAUSE);
    }
    Err("no answer".into())
}

/// A port from the kernel that both protocols have free at this moment.
fn free_port() -> Result<(), Failure> {
    for _ in 0..100 {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            println!("{port}");
            return Ok(());
        }
    }
    Err("no port is free for both UDP and TCP".into())
}

/// Runs a server again and again, each time to its first answer.
fn start(
    server: SocketAddr,
    name: &str,
    starts: usize,
    program: &str,
    arguments: &[&str],
) -> Result<(), Failure> {
    let (mut times, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..starts {
        let began = Instant::now();
        let mut command = Command::new(program);
        let mut process =
            Stopped(command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
        first(server, name, || Ok(process.0.try_wait()?.is_none()))?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(SETTLED);
        sizes.push(resident_kib(process.0.id())?);
    }
    times.sort_by(f64::total_cmp);
    let last = starts.checked_sub(1).ok_or("no starts")?;
    println!("starts {starts}");
    println!("min-ms {:.2}\np50-ms {:.2}\np90-ms {:.2}", times[0], times[last / 2], times[last * 9 / 10]);
    println!("rss-kib {}", sizes.iter().max().ok_or("no starts")?);
    Ok(())
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

/// Names are those of perf/names: n0.example.com, n1.example.com and so on.
fn names_answer(server: SocketAddr, names: u64, queries: u64, allowed: &[Ipv4Addr]) -> Result<(), Failure> {
    let mut clients = connect(server, CHECK_SOCKETS)?;
    let mut random = 0x2545_F491_4F6C_DD1Du64;
    let (mut lost, mut wrong) = (0u64, 0u64);
    let mut asked = BTreeMap::from([("right", 0u64), ("nxdomain", 0), ("refused", 0)]);
    for at in 0..queries {
        // xorshift64: spread over all names, the same in every run.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let index = random % names;
        // One in eight is a name beside or below an existing one, one in eight lies outside the zone.
        let (kind, name, rcode) = match at % 8 {
            0 => ("nxdomain", format!("x.n{index}.example.com"), NXDOMAIN),
            1 => ("nxdomain", format!("n{}.example.com", names + index), NXDOMAIN),
            2 => ("refused", format!("n{index}.example.org"), REFUSED),
            _ => ("right", format!("n{index}.example.com"), NOERROR),
        };
        *asked.entry(kind).or_default() += 1;
        match clients[at as usize % CHECK_SOCKETS].ask(&name)? {
            None => lost += 1,
            Some(answer) if rcode == NOERROR && is_right(&answer, 1, allowed) => {}
            Some(answer) if rcode != NOERROR && answer.rcode == rcode && answer.addresses.is_empty() => {}
            Some(answer) => {
                wrong += 1;
                eprintln!("wrong answer for {name}: {answer:?}");
            }
        }
    }
    println!("queries {queries}\nlost {lost}\nwrong {wrong}");
    for (kind, count) in asked {
        println!("{kind} {count}");
    }
    Ok(())
}
