//! Whole servers under test: the real binary on loopback, what it logs, what it counts, and what it answers.
//!
//! Everything waits with a bounded deadline and for a reason; nothing here passes or fails on speed.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(unreachable_pub, reason = "shared by several test binaries")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// HTTP, TLS and TCP servers that are probed.
pub mod backend;
/// A clock that the test sets.
pub mod clock;
/// A small DNS client.
pub mod dns;
/// Databases of places by address.
pub mod mmdb;
/// Numbers that look random.
pub mod numbers;
/// What is true of every reply.
pub mod reply;
/// Questions to a resolver.
pub mod resolver;
/// Unbound in front of a server.
pub mod unbound;

use dns::{Query, Reply, Via};

/// How long a test waits for what must happen: only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Polls until `look` gives something.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Polls until `look` holds.
#[track_caller]
pub fn wait_until(what: &str, mut look: impl FnMut() -> bool) {
    wait_for(what, || look().then_some(()));
}

/// A configuration: a `server` section with ports of the kernel's choice and `settings`, then `rest`.
pub fn config(settings: &str, rest: &str) -> String {
    let listen = if settings.contains("listen:") { "" } else { "listen: '127.0.0.1:0', " };
    format!("server: {{{listen}admin: '127.0.0.1:0', {settings}}}\n{rest}")
}

/// Everything a process writes to a pipe, line by line.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Reads on a thread of its own until the end.
    pub fn collect(pipe: impl Read + Send + 'static) -> (Lines, JoinHandle<()>) {
        let lines = Lines::default();
        let sink = lines.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                sink.0.lock().unwrap().push(line);
            }
        });
        (lines, reader)
    }

    /// What there is so far.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Waits for a line that contains all of `parts`.
    #[track_caller]
    pub fn wait(&self, parts: &[&str]) -> String {
        wait_for(&format!("a line with {parts:?}"), || {
            self.all().into_iter().find(|line| parts.iter().all(|part| line.contains(part)))
        })
    }
}

/// A child process that does not outlive its test.
pub struct Process {
    child: Child,
    /// Standard error.
    pub errors: Lines,
    /// Standard output.
    pub output: Lines,
    readers: Vec<JoinHandle<()>>,
    name: String,
}

impl Process {
    /// Starts a program with both of its outputs read.
    pub fn start(command: &mut Command) -> Process {
        let name = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let stderr: ChildStderr = child.stderr.take().unwrap();
        let (errors, one) = Lines::collect(stderr);
        let (output, two) = Lines::collect(child.stdout.take().unwrap());
        Process { child, errors, output, readers: vec![one, two], name }
    }

    /// Starts a program whose standard error goes elsewhere.
    pub fn start_with_errors(command: &mut Command, errors: impl Into<Stdio>) -> Process {
        let name = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        // The builder holds an end of the pipe until it is given another.
        command.stderr(Stdio::null());
        let (output, reader) = Lines::collect(child.stdout.take().unwrap());
        Process { child, errors: Lines::default(), output, readers: vec![reader], name }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends it a signal by name.
    pub fn signal(&self, name: &str) {
        // The shell's own `kill`, so that no further program is needed.
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.id())]).status();
        assert!(status.unwrap().success(), "kill -{name}");
    }

    /// Waits for its end and for the end of its output.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let status =
            wait_for(&format!("the end of {}", self.name), || self.child.try_wait().expect("own child"));
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors: it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            eprintln!("--- {}", self.name);
            let lines = [self.output.all(), self.errors.all()].concat();
            // The end tells; a large pool begins with a line a member.
            for line in &lines[lines.len().saturating_sub(40)..] {
                eprintln!("{line}");
            }
        }
    }
}

/// A running steerd.
pub struct Server {
    /// The process.
    pub process: Process,
    /// Addresses served.
    pub listening: Vec<SocketAddr>,
    /// The admin listener.
    pub admin: SocketAddr,
    folder: TempDir,
}

impl Server {
    /// Starts steerd with a configuration and waits until it serves. A configuration without a `server` section gets one
    /// with one worker.
    #[track_caller]
    pub fn start(text: &str) -> Server {
        Server::start_with(text, |_| Vec::new())
    }

    /// The same, with further arguments made from the folder of the configuration.
    #[track_caller]
    pub fn start_with(text: &str, arguments: impl FnOnce(&Path) -> Vec<String>) -> Server {
        Server::start_as(steerd(), text, arguments)
    }

    /// The same by another command: steerd with changes, or a program that runs it.
    #[track_caller]
    pub fn start_command(text: &str, command: Command) -> Server {
        Server::start_as(command, text, |_| Vec::new())
    }

    /// The same by another command, with further arguments.
    #[track_caller]
    pub fn start_as(
        mut command: Command,
        text: &str,
        arguments: impl FnOnce(&Path) -> Vec<String>,
    ) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let text = if text.contains("server:") { text.to_owned() } else { config("workers: 1", text) };
        std::fs::write(folder.path().join("steerd.yaml"), text).unwrap();
        command.args(["serve", "--log-format", "json", "-c"]).arg(folder.path().join("steerd.yaml"));
        command.args(arguments(folder.path()));
        let mut process = Process::start(&mut command);
        wait_until("the server to serve", || {
            let served = process.errors.all().iter().any(|line| line.contains("\"message\":\"serving\""));
            assert!(served || process.is_running(), "the server has ended: {:#?}", process.errors.all());
            served
        });
        let addresses = |message: &str| -> Vec<SocketAddr> {
            let lines = process.errors.all();
            let events = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let own = events.filter(|event| event["message"].as_str().unwrap().starts_with(message));
            own.map(|event| event["address"].as_str().unwrap().parse().unwrap()).collect()
        };
        let (listening, admin) = (addresses("listening"), addresses("admin listening")[0]);
        Server { process, listening, admin, folder }
    }

    /// The first address served.
    pub fn dns(&self) -> SocketAddr {
        self.listening[0]
    }

    /// A file beside the configuration.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces the configuration as a careful editor does: whole, by renaming.
    pub fn write_config(&self, text: &str) {
        self.write_file("steerd.yaml", text);
    }

    /// Replaces a file beside the configuration.
    pub fn write_file(&self, name: &str, text: &str) {
        self.write_octets(name, text.as_bytes());
    }

    /// The same with a file that is no text.
    pub fn write_octets(&self, name: &str, octets: &[u8]) {
        let new = self.file(&format!("{name}.new"));
        std::fs::write(&new, octets).unwrap();
        std::fs::rename(new, self.file(name)).unwrap();
    }

    /// Replaces the configuration, asks for a reload and waits until it is in force.
    #[track_caller]
    pub fn reload(&self, text: &str) {
        let before = self.metric("steerd_config_reloads_total");
        self.write_config(text);
        self.process.signal("HUP");
        wait_until("the reload", || self.metric("steerd_config_reloads_total") > before);
    }

    /// All log lines so far.
    pub fn log(&self) -> Vec<Value> {
        self.process.errors.all().iter().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// Waits for a log line that has all these fields; a number is compared as it is printed.
    #[track_caller]
    pub fn log_line(&self, fields: &[(&str, &str)]) -> Value {
        wait_for(&format!("a log line with {fields:?}"), || {
            self.log().into_iter().find(|event| has_fields(event, fields))
        })
    }

    /// Waits until a pool's member is logged to have changed for this reason.
    #[track_caller]
    pub fn change(&self, member: &str, state: &str, reason: &str) -> Value {
        self.log_line(&[("member", member), ("state", state), ("reason", reason)])
    }

    /// Waits until a member of any pool is in this state.
    #[track_caller]
    pub fn wait_state(&self, member: &str, state: &str) {
        wait_until(&format!("{member} to be {state}"), || {
            let metrics = self.metrics();
            let (member, state) = (format!("member=\"{member}\""), format!("state=\"{state}\""));
            metrics.keys().any(|key| {
                key.starts_with("steerd_member_state{") && key.contains(&member) && key.contains(&state)
            })
        });
    }

    /// Everything counted.
    #[track_caller]
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let page = http(self.admin, "GET", "/metrics");
        let mut metrics = BTreeMap::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a metric: {line}"));
            let value = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
            assert!(metrics.insert(name.to_owned(), value).is_none(), "{name} twice");
        }
        metrics
    }

    /// One metric.
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        *self.metrics().get(name).unwrap_or_else(|| panic!("no metric {name}"))
    }

    /// Asks once.
    #[track_caller]
    pub fn ask(&self, via: Via, query: &Query) -> Reply {
        dns::ask(self.dns(), via, query)
    }

    /// Asks over UDP for the addresses of a name.
    #[track_caller]
    pub fn addresses(&self, qname: &str) -> Vec<String> {
        self.ask(Via::Udp, &Query::a(qname)).addresses()
    }

    /// Asks over UDP and over TCP. Both replies must read as `expected` (see [`Reply::text`]), and each must move these
    /// counters by these numbers and no other counter of replies, drops and pool answers.
    #[track_caller]
    pub fn expect(&self, query: &Query, expected: &str, counters: &[(&str, u64)]) {
        for via in [Via::Udp, Via::Tcp] {
            self.expect_via(via, query, expected, counters);
        }
    }

    /// The same over one transport.
    #[track_caller]
    pub fn expect_via(&self, via: Via, query: &Query, expected: &str, counters: &[(&str, u64)]) -> Reply {
        let before = self.metrics();
        let reply = self.ask(via, query);
        let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(reply.text().lines().collect::<Vec<_>>(), expected, "over {via:?}");
        let transport = match via {
            Via::Udp => "steerd_queries_total{transport=\"udp\"}",
            Via::Tcp => "steerd_queries_total{transport=\"tcp\"}",
        };
        let counters: Vec<(&str, u64)> = [(transport, 1)].iter().chain(counters).copied().collect();
        self.assert_counted(&before, &counters);
        reply
    }

    /// Waits until the counters have moved by these numbers since `before`; the other counters of queries, replies, drops
    /// and pool answers must not have moved.
    #[track_caller]
    pub fn assert_counted(&self, before: &BTreeMap<String, f64>, counters: &[(&str, u64)]) {
        let watched = ["steerd_queries", "steerd_responses", "steerd_dropped", "steerd_pool_answers"];
        let moved = || -> BTreeMap<String, u64> {
            let now = self.metrics();
            let is_watched = |name: &str| {
                watched.iter().any(|prefix| name.starts_with(prefix))
                    || counters.iter().any(|(counter, _)| *counter == name)
            };
            let deltas = now.iter().filter(|(name, _)| is_watched(name)).map(|(name, value)| {
                (name.clone(), (value - before.get(name).copied().unwrap_or(0.0)) as u64)
            });
            deltas.filter(|(_, delta)| *delta != 0).collect()
        };
        let expected: BTreeMap<String, u64> =
            counters.iter().map(|(name, delta)| ((*name).to_owned(), *delta)).collect();
        let deadline = Instant::now() + Duration::from_secs(5);
        // A count may be seen a moment after the reply.
        while moved() != expected && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(2));
        }
        assert_eq!(moved(), expected, "what was counted");
    }

    /// Asks it to end, as an init system does, and waits for it.
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        self.process.signal("TERM");
        self.process.wait()
    }
}

/// Whether a log line has all these fields.
pub fn has_fields(event: &Value, fields: &[(&str, &str)]) -> bool {
    fields.iter().all(|(name, value)| match &event[*name] {
        Value::String(text) => text == value,
        Value::Number(number) => {
            serde_json::from_str(value).is_ok_and(|wanted: serde_json::Number| wanted == *number)
        }
        _ => false,
    })
}

/// The command under test.
pub fn steerd() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steerd"));
    command.env_remove("STEERD_LOG");
    command
}

/// Runs steerd to its end.
#[track_caller]
pub fn run_steerd(arguments: &[&str]) -> Output {
    steerd().args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// A program that is not ours, and the Debian package it comes in.
pub fn tool(program: &str) -> Command {
    let package = match program {
        "dig" | "delv" => "bind9-dnsutils",
        "kdig" => "knot-dnsutils",
        "drill" | "ldns-signzone" | "ldns-verify-zone" => "ldnsutils",
        "dnssec-keygen" | "dnssec-dsfromkey" | "dnssec-signzone" | "dnssec-verify" => "bind9-utils",
        "dnsperf" => "dnsperf",
        "unbound" => "unbound",
        "nsd" => "nsd",
        "knotd" => "knot",
        "nginx" => "nginx-light",
        "ip" => "iproute2",
        "nsenter" | "setpriv" | "unshare" => "util-linux",
        "openssl" => "openssl",
        "mmdblookup" => "mmdb-bin",
        other => panic!("no package known for {other}"),
    };
    let folders = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = folders.split(':').map(|folder| Path::new(folder).join(program)).find(|path| path.is_file());
    let path = found.unwrap_or_else(|| panic!("{program} is not installed: apt-get install -y {package}"));
    Command::new(path)
}

/// Runs a program that is not ours to its end; it must succeed.
#[track_caller]
pub fn run_tool(program: &str, arguments: &[&str]) -> String {
    let output = tool(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{text}\n{errors}", output.status);
    text
}

/// One HTTP request; the body of a reply with status 200.
#[track_caller]
pub fn http(address: SocketAddr, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP reply: {reply}"));
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}
