//! `exec`: a program of this machine, its exit code, and the first line of what it says.
//!
//! No shell: the arguments are the program's as configured, `{ip}` in them replaced by the probed address. It runs in `/`, with
//! nothing to read, `PATH` and `LC_ALL=C` as its whole environment, and as the leader of a process group of its own. When it
//! ends, or its time does, everything in that group is killed; what leaves the group on purpose (`setsid`) is its own.
//!
//! # Bounds
//! Three descriptors. `SAID_MAX_OCTETS` of each of its outputs are kept, and what exceeds `OUTPUT_MAX_OCTETS` ends it.

use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::unix::pipe::Receiver;
use mio::{Interest, Registry, Token};

use super::Conclusion;
use crate::health::machine::Outcome;
use crate::health::reason::{Local, Reason, peer_text};
use crate::sys::process::{has_ended, kill_group, watch};

/// Where a program finds others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The part of an output that a line is looked for in.
const SAID_MAX_OCTETS: usize = 1024;
/// Both outputs together: what says more has gone wrong.
const OUTPUT_MAX_OCTETS: usize = 1 << 20;
/// Octets asked of the kernel at once.
const READ_OCTETS: usize = 4096;

/// The program as configured.
pub(super) struct Program {
    command: Box<[String]>,
}

impl Program {
    pub(super) fn new(command: &[String]) -> Program {
        Program { command: command.into() }
    }

    /// Starts it for a target of this address.
    ///
    /// # Errors
    /// The verdict, where it is known already.
    pub(super) fn start(&self, address: IpAddr) -> Result<Run, Conclusion> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(Conclusion::failure(Reason::NoReply));
        };
        let address = address.to_string();
        let spawned = Command::new(program)
            .args(arguments.iter().map(|argument| argument.replace("{ip}", &address)))
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.map_err(|error| Conclusion::failure(not_started(program, &error)))?;
        let stdout = child.stdout.take().map(Receiver::from);
        let stderr = child.stderr.take().map(Receiver::from);
        let watched = watch(child.id());
        let mut run = Run {
            child: Some(child),
            watched: None,
            outputs: [Output::new(stdout), Output::new(stderr)],
            octets: 0,
            is_unregistered: true,
        };
        let prepared = watched.and_then(|watched| {
            run.watched = Some(watched);
            run.outputs
                .iter()
                .filter_map(|output| output.pipe.as_ref())
                .try_for_each(|p| p.set_nonblocking(true))
        });
        // An error: dropping it ends the program.
        prepared.map_err(|error| Conclusion::failure(Reason::of_local_error(&error)))?;
        Ok(run)
    }
}

/// What it means that a program cannot be started: mostly that it is not there, at times that this machine lacks something.
fn not_started(program: &str, error: &io::Error) -> Reason {
    match Reason::of_local_shortage(error) {
        Some(shortage) => shortage,
        None => Reason::Local(Local::NotStarted {
            program: peer_text(program.as_bytes()),
            number: error.raw_os_error().unwrap_or(0),
        }),
    }
}

/// One of a program's outputs.
struct Output {
    /// `None`: it has ended.
    pipe: Option<Receiver>,
    said: Vec<u8>,
}

impl Output {
    fn new(pipe: Option<Receiver>) -> Output {
        Output { pipe, said: Vec::new() }
    }

    /// Takes what there is, up to this many octets; returns how many it were.
    fn drain(&mut self, room: usize) -> usize {
        let mut taken = 0;
        let mut chunk = [0; READ_OCTETS];
        while taken < room {
            let Some(pipe) = &mut self.pipe else { break };
            match pipe.read(&mut chunk) {
                Ok(0) => self.pipe = None,
                Ok(octets) => {
                    taken += octets;
                    let kept = octets.min(SAID_MAX_OCTETS - self.said.len());
                    self.said.extend_from_slice(&chunk[..kept]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.pipe = None,
            }
        }
        taken
    }

    /// The first line that is not blank.
    fn line(&self) -> Option<&[u8]> {
        self.said.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty())
    }
}

/// A program under way.
pub(in crate::health) struct Run {
    /// `None`: it was given to who waits for it.
    child: Option<Child>,
    watched: Option<OwnedFd>,
    outputs: [Output; 2],
    octets: usize,
    is_unregistered: bool,
}

impl Run {
    /// Makes its end and its outputs known to the event loop, once.
    ///
    /// # Errors
    /// When the kernel takes no more.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if !std::mem::take(&mut self.is_unregistered) {
            return Ok(());
        }
        for pipe in self.outputs.iter_mut().filter_map(|output| output.pipe.as_mut()) {
            pipe.register(registry, token, Interest::READABLE)?;
        }
        match &self.watched {
            Some(watched) => SourceFd(&watched.as_raw_fd()).register(registry, token, Interest::READABLE),
            None => Ok(()),
        }
    }

    /// Reads what it has said; the verdict, once it has ended.
    pub(super) fn advance(&mut self) -> Option<Conclusion> {
        // Looked at before its outputs: what it said is there when it has ended.
        let has_ended = self.watched.as_ref().is_some_and(|watched| has_ended(watched.as_fd()));
        for output in &mut self.outputs {
            self.octets += output.drain(OUTPUT_MAX_OCTETS + 1 - self.octets.min(OUTPUT_MAX_OCTETS));
        }
        if self.octets > OUTPUT_MAX_OCTETS {
            let limit_octets = OUTPUT_MAX_OCTETS;
            return Some(Conclusion::failure(Reason::Local(Local::Verbose { limit_octets })));
        }
        if !has_ended {
            return None;
        }
        let child = self.child.as_mut()?;
        // What it left behind goes with it; its number is its own until it is waited for.
        kill_group(child.id());
        let status = child.wait();
        self.child = None;
        Some(match status {
            Ok(status) => self.judge(status),
            Err(error) => Conclusion::failure(Reason::of_local_error(&error)),
        })
    }

    fn judge(&self, status: ExitStatus) -> Conclusion {
        let [stdout, stderr] = &self.outputs;
        // Who fails says why on the one that is for it; plugins of monitoring systems say everything on the other.
        let line = match status.success() {
            true => stdout.line(),
            false => stderr.line().or(stdout.line()),
        };
        let said = peer_text(line.unwrap_or_default());
        let outcome = if status.success() { Outcome::Success } else { Outcome::Failure };
        let reason = match (status.code(), status.signal()) {
            (Some(code), _) => Local::Exited { code, said },
            (None, signal) => Local::Killed { signal: signal.unwrap_or(0), said },
        };
        Conclusion { outcome, reason: Reason::Local(reason), advice: None }
    }

    /// Ends it and all that it has started; what is left to wait for.
    pub(super) fn kill(mut self) -> Option<Dying> {
        let child = self.child.take()?;
        kill_group(child.id());
        Some(Dying(child))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            kill_group(child.id());
            drop(Dying(child));
        }
    }
}

/// A program that was killed, until the kernel is done with it.
pub(super) struct Dying(Child);

impl Dying {
    /// Whether it is gone for good.
    pub(super) fn is_gone(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Dying {
    fn drop(&mut self) {
        // It was killed, and mostly waited for already; only a kernel that is stuck keeps it.
        drop(self.0.wait());
    }
}
