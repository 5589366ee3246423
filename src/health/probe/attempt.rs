//! One probe under way, by whatever means: a conversation over a socket, a program, or a look at a file that is over as it
//! begins.
//!
//! # Bounds
//! Programs that were killed are waited for without waiting: until the kernel is done with them they count as under way.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use mio::{Registry, Token};

use super::file::Seen;
use super::flight::{self, Flight};
use super::program::{Dying, Run};
use super::{Conclusion, Exchange, Script};
use crate::health::reason::Phase;

/// How soon to look again whether what was killed is gone.
const REAP_PAUSE: Duration = Duration::from_millis(5);

/// One probe under way.
pub(in crate::health) enum Attempt {
    /// Over a socket.
    Flight(Flight),
    /// By a program.
    Run(Run),
}

/// What is kept of a target from one probe to the next.
#[derive(Default)]
pub(in crate::health) struct Recollection {
    file: Seen,
}

/// What the probes of one thread share.
pub(in crate::health) struct Tools {
    flight: flight::Tools,
    dying: Vec<Dying>,
}

impl Tools {
    /// For one thread.
    pub(in crate::health) fn new() -> Tools {
        Tools { flight: flight::Tools::new(), dying: Vec::new() }
    }

    /// Ends an attempt and takes back what it holds.
    pub(in crate::health) fn recycle(&mut self, attempt: Attempt) {
        match attempt {
            Attempt::Flight(flight) => self.flight.recycle(flight),
            Attempt::Run(run) => self.dying.extend(run.kill()),
        }
    }

    /// Programs that were killed and are not gone yet.
    pub(in crate::health) fn dying(&self) -> usize {
        self.dying.len()
    }

    /// Waits for those that are gone; when to look again, if there are others.
    pub(in crate::health) fn reap(&mut self) -> Option<Duration> {
        self.dying.retain_mut(|dying| !dying.is_gone());
        (!self.dying.is_empty()).then_some(REAP_PAUSE)
    }
}

impl Attempt {
    /// Begins. The seed, random octets, is what a reply is known by.
    ///
    /// # Errors
    /// The verdict, where it is known already.
    pub(in crate::health) fn open(
        script: &Script,
        address: IpAddr,
        seed: u64,
        recollection: &mut Recollection,
    ) -> Result<Attempt, Conclusion> {
        match &script.exchange {
            Exchange::Program(program) => program.start(address).map(Attempt::Run),
            Exchange::File(file) => Err(file.look(address, &mut recollection.file, SystemTime::now())),
            _ => Flight::open(script, address, seed).map(Attempt::Flight),
        }
    }

    /// Makes it known to the event loop, as far as it is not yet.
    ///
    /// # Errors
    /// When the kernel takes no more.
    pub(in crate::health) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Attempt::Flight(flight) => flight.register(registry, token),
            Attempt::Run(run) => run.register(registry, token),
        }
    }

    /// Goes as far as the kernel lets it; the verdict, once there is one.
    pub(in crate::health) fn advance(&mut self, script: &Script, tools: &mut Tools) -> Option<Conclusion> {
        match self {
            Attempt::Flight(flight) => flight.advance(script, &mut tools.flight),
            Attempt::Run(run) => run.advance(),
        }
    }

    /// The verdict at the end of the budget.
    pub(in crate::health) fn time_out(&mut self, script: &Script, tools: &mut Tools) -> Conclusion {
        match self {
            Attempt::Flight(flight) => flight.time_out(script, &mut tools.flight),
            // What ended in time has ended, though this thread did not get to it.
            Attempt::Run(run) => run.advance().unwrap_or_else(|| script.timed_out(Phase::Run)),
        }
    }
}
