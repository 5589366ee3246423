//! `steerd demo`: what steerd does, on loopback alone, without a file: three HTTP backends with real sockets, real probes,
//! real answers, and a way to make a backend fail.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{LogOptions, signals};
use crate::control::logging;
use crate::control::supervisor::{Source, Supervisor};

/// The backends: every address of 127.0.0.0/8 is this machine.
const BACKENDS: [Backend; 3] = [
    Backend { address: Ipv4Addr::new(127, 0, 0, 11), name: "east-1", weight: 3 },
    Backend { address: Ipv4Addr::new(127, 0, 0, 12), name: "east-2", weight: 2 },
    Backend { address: Ipv4Addr::new(127, 0, 0, 13), name: "west-1", weight: 1 },
];
/// How often a port chosen for the first backend is given up because another has it taken.
const PORT_ATTEMPTS: usize = 32;
/// Longest wait for a request's lines; a demo's clients are a probe and a person with curl.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Request lines and fields read at most.
const REQUEST_LINES: usize = 64;

struct Backend {
    address: Ipv4Addr,
    name: &'static str,
    weight: u32,
}

/// Runs until stopped; the error is what is printed.
pub(super) fn run(listen: SocketAddr, admin: SocketAddr, log: &LogOptions) -> Result<(), String> {
    let _flush = logging::start(log.format());
    let port = start_backends().map_err(|error| format!("cannot start the demo's backends: {error}"))?;
    let source = Source::Embedded { name: "demo.yaml", text: config(listen, admin, port) };
    let commands = signals::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let supervisor = Supervisor::start(source).map_err(|error| error.to_string())?;
    let dns = supervisor.listening().first().copied().unwrap_or(listen);
    let admin = supervisor.admin_address().unwrap_or(admin);
    // A closed pipe: whoever started the demo does not want to read this.
    let _ = write!(io::stdout(), "{}", help(dns, admin, port)).and_then(|()| io::stdout().flush());
    supervisor.run(&commands).map_err(|error| error.to_string())
}

/// The demo's configuration, also an example of how short one is.
fn config(listen: SocketAddr, admin: SocketAddr, port: u16) -> String {
    let members: Vec<String> = BACKENDS
        .iter()
        .map(|b| format!("      {}: {{name: {}, weight: {}}}", b.address, b.name, b.weight))
        .collect();
    let members = members.join("\n");
    let pool = |name: &str, method: &str, max: u16| {
        format!(
            "  {name}:
    lb_method: {method}
    fallback: any
    max_addrs_returned: {max}
    members:
{members}
    monitor: http
    monitor_params: {{hostname: www.demo.test, url_path: /healthz, port: {port}, interval: 1, timeout: 0.5, retries: 1}}
"
        )
    };
    format!(
        "server: {{listen: ['{listen}'], admin: '{admin}'}}
zones:
  demo.test: {{ns: [localhost]}}
globalnames:
  www.demo.test: {{pool: weighted, ttl: 5}}
  geo.demo.test: {{pool: regional, ttl: 5}}
  first.demo.test: {{pool: ordered, ttl: 5}}
topology:
  east: [127.0.0.11/32, 127.0.0.12/32, 10.1.0.0/16]
  west: [127.0.0.13/32, 10.2.0.0/16]
pools:
{}{}{}",
        pool("weighted", "wrr", 1),
        pool("regional", "twrr", 2),
        pool("ordered", "fogroup", 1)
    )
}

fn help(dns: SocketAddr, admin: SocketAddr, port: u16) -> String {
    let dig = format!("dig @{} -p {} +short", dns.ip(), dns.port());
    let [first, ..] = BACKENDS;
    let address = first.address;
    format!(
        "
steerd demo: DNS on {dns} (UDP and TCP), metrics on http://{admin}/metrics, state on http://{admin}/state
Three HTTP backends answer on 127.0.0.11, .12 and .13, port {port}; each is probed once a second.

Ask, several times (weights 3:2:1):
  {dig} www.demo.test
By the client's place (EDNS client subnet; 10.1/16 is east, 10.2/16 is west):
  {dig} geo.demo.test +subnet=10.1.2.0/24
  {dig} geo.demo.test +subnet=10.2.2.0/24
The first healthy one:
  {dig} first.demo.test

Make a backend fail, watch the log line here, and ask again:
  curl -X POST http://{address}:{port}/fail
  {dig} first.demo.test
And heal it:
  curl -X POST http://{address}:{port}/heal

Ctrl-C stops.

"
    )
}

/// Starts the backends on one port, a thread each; returns the port.
fn start_backends() -> io::Result<u16> {
    let listeners = bind_backends()?;
    let port = listeners[0].local_addr()?.port();
    for (listener, backend) in listeners.into_iter().zip(BACKENDS) {
        let healthy = Arc::new(AtomicBool::new(true));
        std::thread::Builder::new().name(backend.name.into()).spawn(move || {
            for connection in listener.incoming().flatten() {
                // One at a time: the clients are a probe and a person. An error concerns that client alone.
                let _ = answer(connection, backend.name, &healthy);
            }
        })?;
    }
    Ok(port)
}

/// A port that is free on all three addresses.
fn bind_backends() -> io::Result<Vec<TcpListener>> {
    let mut last = io::Error::other("no port is free on all backend addresses");
    for _ in 0..PORT_ATTEMPTS {
        let first = TcpListener::bind((BACKENDS[0].address, 0))?;
        let port = first.local_addr()?.port();
        let mut listeners = vec![first];
        for backend in &BACKENDS[1..] {
            match TcpListener::bind((backend.address, port)) {
                Ok(listener) => listeners.push(listener),
                Err(error) => last = error,
            }
        }
        if listeners.len() == BACKENDS.len() {
            return Ok(listeners);
        }
    }
    Err(last)
}

/// One HTTP request: `/healthz` tells the health, POST `/fail` and `/heal` change it, all else greets.
fn answer(connection: TcpStream, name: &str, healthy: &AtomicBool) -> io::Result<()> {
    connection.set_read_timeout(Some(REQUEST_TIMEOUT))?;
    connection.set_write_timeout(Some(REQUEST_TIMEOUT))?;
    let mut lines = BufReader::new(&connection).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines.take(REQUEST_LINES) {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match (method, path) {
        ("POST", "/fail") => healthy.store(false, Ordering::Relaxed),
        ("POST", "/heal") => healthy.store(true, Ordering::Relaxed),
        _ => {}
    }
    let is_healthy = healthy.load(Ordering::Relaxed);
    let status = if path == "/healthz" && !is_healthy { "503 Service Unavailable" } else { "200 OK" };
    let body = format!("{name} is {}\n", if is_healthy { "healthy" } else { "failing" });
    write!(
        &connection,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_of_the_demo_loads_without_a_warning() {
        let text = config(([127, 0, 0, 1], 5300).into(), ([127, 0, 0, 1], 8053).into(), 8080);
        let loaded = crate::config::load_str("demo.yaml", &text).unwrap_or_else(|report| panic!("{report}"));
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        assert_eq!(loaded.config.globalnames.len(), 3);
    }
}
