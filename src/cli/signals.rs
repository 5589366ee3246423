//! Signals to commands: SIGHUP reloads, SIGTERM and SIGINT stop.

use std::io;

use crossbeam::channel::{Receiver, Sender, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::control::supervisor::Command;

/// Commands that may wait: a reload that waits already covers any that come on top.
const COMMANDS_MAX: usize = 4;

/// Starts listening for signals; the sender is for whoever else has commands.
///
/// # Errors
/// When the kernel gives no pipe or thread.
pub(super) fn listen() -> io::Result<(Sender<Command>, Receiver<Command>)> {
    let (sender, receiver) = bounded(COMMANDS_MAX);
    let mut signals = Signals::new([SIGHUP, SIGTERM, SIGINT])?;
    let commands = sender.clone();
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let sent = match signal {
                // Full: a reload waits already, and it will read the files after this moment.
                SIGHUP => commands.try_send(Command::Reload).is_ok() || commands.is_full(),
                _ => commands.send(Command::Stop).is_ok(),
            };
            if !sent {
                return;
            }
        }
    })?;
    Ok((sender, receiver))
}
