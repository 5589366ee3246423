//! Signals to commands: SIGHUP reloads, SIGTERM and SIGINT stop.

use std::io;

use crossbeam::channel::{TrySendError, bounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::control::supervisor::Commands;

/// Starts listening for signals.
///
/// # Errors
/// When the kernel gives no pipe or thread.
pub(super) fn listen() -> io::Result<Commands> {
    // One of each may wait: a reload that waits reads the files after this moment, and to stop once is enough.
    let (reload_sender, reload) = bounded(1);
    let (stop_sender, stop) = bounded(1);
    let mut signals = Signals::new([SIGHUP, SIGTERM, SIGINT])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            let sender = if signal == SIGHUP { &reload_sender } else { &stop_sender };
            match sender.try_send(()) {
                Ok(()) | Err(TrySendError::Full(())) => {}
                Err(TrySendError::Disconnected(())) => return,
            }
        }
    })?;
    Ok(Commands { reload, stop })
}
