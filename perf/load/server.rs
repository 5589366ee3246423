//! What the measured process costs: its CPU clock, which is exact, and its user and system times, which are not.
//!
//! The kernel finds out about user and system time at its ticks and scales the two to the exact sum, so the split of a
//! short run is rough. Time of threads that have ended is included, that of child processes is not.

use std::fs;
use std::time::Duration;

use nix::time::ClockId;
use nix::unistd::Pid;

/// A process by its id.
pub(crate) struct Server {
    pid: i32,
    clock: ClockId,
}

/// CPU time of a process.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// By its CPU clock.
    pub(crate) cpu: Duration,
    /// Ticks in user mode.
    user: u64,
    /// Ticks in system mode.
    system: u64,
}

impl Server {
    /// The process, which must run.
    ///
    /// # Errors
    /// There is no such process.
    pub(crate) fn find(pid: i32) -> nix::Result<Server> {
        let server = Server { pid, clock: ClockId::pid_cpu_clock_id(Pid::from_raw(pid))? };
        server.cost()?;
        Ok(server)
    }

    /// What it has cost so far.
    ///
    /// # Errors
    /// The process has gone.
    pub(crate) fn cost(&self) -> nix::Result<Cost> {
        let now = self.clock.now()?;
        let (user, system) = self.ticks().ok_or(nix::Error::ESRCH)?;
        Ok(Cost { cpu: now.into(), user, system })
    }

    /// utime and stime, fields 14 and 15 of proc_pid_stat(5); the second field may contain spaces and ends with `)`.
    fn ticks(&self) -> Option<(u64, u64)> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    }
}

impl Cost {
    /// The cost between two readings.
    pub(crate) fn since(&self, earlier: &Cost) -> Cost {
        Cost {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            user: self.user - earlier.user,
            system: self.system - earlier.system,
        }
    }

    /// The share of it spent in user mode, 0 to 1.
    pub(crate) fn user_part(&self) -> f64 {
        self.user as f64 / ((self.user + self.system) as f64).max(1.0)
    }
}
