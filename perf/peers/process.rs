//! Running servers: each is started once on its core, proven to be the one that answers, and stopped by its process id.

use std::collections::HashSet;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::time::ClockId;
use nix::unistd::Pid;

use crate::peers::Peer;
use crate::{Arguments, Failure, SERVER_CORE, run_load};

/// How long a server may take from its start to its first right answer; a million names take some seconds.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to end.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// A server of ours that runs.
pub(crate) struct Running {
    child: Child,
    /// Where it answers.
    pub(crate) address: SocketAddr,
    /// The process that does the work: the child, or one of its children.
    pub(crate) serving: i32,
    name: &'static str,
    log: PathBuf,
}

impl Running {
    /// Starts it on its core, on a port that nobody else has.
    ///
    /// # Errors
    /// It cannot be configured or started.
    pub(crate) fn start(peer: &Peer, arguments: &Arguments) -> Result<Running, Failure> {
        let scratch = arguments.scratch.join(peer.name);
        fs::create_dir_all(&scratch)?;
        let port = free_port()?;
        let command = peer.prepare(arguments, &scratch, port)?;
        let log = scratch.join("log");
        let output = File::create(&log)?;
        // setpriv and taskset become the server itself, with this process id; it ends when this program does, however.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "taskset", "-c", SERVER_CORE])
            .args(&command)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .map_err(|error| format!("setpriv: {error}"))?;
        let serving = child.id() as i32;
        Ok(Running { child, address: (Ipv4Addr::LOCALHOST, port).into(), serving, name: peer.name, log })
    }

    /// Waits until queries are answered rightly, and finds the process that answers them.
    ///
    /// # Errors
    /// There is no right answer, or it is another process's.
    pub(crate) fn prove(&mut self, peer: &Peer, arguments: &Arguments) -> Result<(), Failure> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.fault(&format!("ended with {status}")));
            }
            let mut probe = arguments.load(peer, self);
            probe.args(["--seconds", "0.05", "--warmup", "0", "--window", "1", "--timeout-ms", "200"]);
            // An error: it does not listen yet.
            let seen = run_load(&mut probe).map_err(|error| error.to_string());
            let answers = match &seen {
                Ok(figures) => {
                    figures["right"].as_u64().filter(|_| figures["wrong"] == 0 && figures["lost"] == 0)
                }
                Err(_) => None,
            };
            if answers.is_some_and(|answers| answers > 0) {
                break;
            }
            if Instant::now() > deadline {
                let seen = seen.map_or_else(|error| error, |figures| figures.to_string());
                return Err(self.fault(&format!("does not answer rightly: {seen}")));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.check_owner(&arguments.transport)?;
        let before: Vec<(i32, Duration)> = self.tree().into_iter().map(|pid| (pid, cpu_time(pid))).collect();
        let mut load = arguments.load(peer, self);
        run_load(load.args(["--seconds", "0.2", "--warmup", "0"]))?;
        let busiest = before.into_iter().max_by_key(|(pid, before)| cpu_time(*pid).saturating_sub(*before));
        self.serving = busiest.map_or(self.serving, |(pid, _)| pid);
        Ok(())
    }

    /// Every socket on the server's port must belong to the processes we started.
    ///
    /// # Errors
    /// One does not, or there is none.
    pub(crate) fn check_owner(&self, transport: &str) -> Result<(), Failure> {
        let table = if transport == "udp" { "/proc/net/udp" } else { "/proc/net/tcp" };
        // State 0A is LISTEN, 07 a UDP socket that is not connected.
        let state = if transport == "udp" { "07" } else { "0A" };
        let port = format!(":{:04X}", self.address.port());
        let text = fs::read_to_string(table)?;
        let sockets: Vec<String> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|fields| fields.len() > 9 && fields[1].ends_with(&port) && fields[3] == state)
            .map(|fields| format!("socket:[{}]", fields[9]))
            .collect();
        let ours: HashSet<String> = self.tree().into_iter().flat_map(descriptors).collect();
        if sockets.is_empty() {
            return Err(self.fault("does not listen any more"));
        }
        if sockets.iter().all(|socket| ours.contains(socket)) {
            Ok(())
        } else {
            Err(self.fault("shares its port with a process that is not ours"))
        }
    }

    /// Memory of all its processes, shared pages divided among those that share them (PSS).
    pub(crate) fn memory_mib(&self) -> f64 {
        let kib = |pid: i32| -> Option<f64> {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            text.lines()
                .find_map(|line| line.strip_prefix("Pss:"))?
                .trim()
                .trim_end_matches(" kB")
                .parse()
                .ok()
        };
        self.tree().into_iter().filter_map(kib).sum::<f64>() / 1024.0
    }

    /// The child and all that descend from it.
    fn tree(&self) -> Vec<i32> {
        let parents: Vec<(i32, i32)> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter_map(|pid: i32| Some((pid, parent(pid)?)))
            .collect();
        let mut tree = vec![self.child.id() as i32];
        let mut at = 0;
        while let Some(pid) = tree.get(at).copied() {
            tree.extend(parents.iter().filter(|(_, parent)| *parent == pid).map(|(pid, _)| *pid));
            at += 1;
        }
        tree
    }

    fn fault(&self, what: &str) -> Failure {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        format!("{} {what}\n{}", self.name, lines[lines.len().saturating_sub(5)..].join("\n")).into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// A port that is free over UDP and TCP.
fn free_port() -> Result<u16, Failure> {
    for _ in 0..100 {
        let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let port = udp.local_addr()?.port();
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return Ok(port);
        }
    }
    Err("no port is free".into())
}

/// Field 4 of proc_pid_stat(5), the second behind the name, which ends with `)`.
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn descriptors(pid: i32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_str()?.to_owned())).collect()
}

fn cpu_time(pid: i32) -> Duration {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid));
    clock.and_then(ClockId::now).map_or(Duration::ZERO, Duration::from)
}
