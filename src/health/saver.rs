//! The thread that writes states to disk: every few seconds where they are others, and at the end.
//!
//! It reads the status board as anybody does; a disk that is stuck stops this thread and nothing else.
//!
//! # Bounds
//! One file and one temporary beside it, some 100 octets a target.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam::channel::{Receiver, RecvTimeoutError};

use super::status::StatusBoard;
use super::store::{Key, Refusal, Saved, decode, encode, lines};

/// Name of the file below the state directory.
const FILE: &str = "health.state";
/// Name of what becomes that file.
const TEMPORARY: &str = "health.state.new";
/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(5);
/// A file is written again after this time though nothing changed: its age is the age of what it says.
const REFRESH: Duration = Duration::from_secs(60);

/// Where states are kept over a restart.
#[derive(Clone, Debug)]
pub struct Memory {
    /// The state directory.
    pub folder: PathBuf,
    /// What was saved longer ago is forgotten.
    pub max_age: Duration,
}

impl Memory {
    /// What was saved, if there is anything of use; says so if there is something else.
    pub(super) fn recall(&self) -> HashMap<Key, Saved> {
        match self.read() {
            Ok(targets) => {
                tracing::info!(targets = targets.len(), "states of the last run are taken up");
                return targets;
            }
            Err(Unusable::Missing) => {}
            Err(unusable) => {
                let path = self.folder.join(FILE);
                tracing::warn!(path = %path.display(), %unusable, "states of the last run are not used");
            }
        }
        HashMap::new()
    }

    /// The same, said to nobody.
    pub(super) fn read(&self) -> Result<HashMap<Key, Saved>, Unusable> {
        let octets = fs::read(self.folder.join(FILE)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Unusable::Missing,
            _ => Unusable::Unreadable(error),
        })?;
        Ok(decode(&octets, unix_secs(), self.max_age.as_secs())?)
    }
}

/// Why nothing saved is used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// Nothing was.
    #[error("there is none")]
    Missing,
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(io::Error),
    /// It is of no use.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Saves until the other end of `stop` is gone, and then once more.
pub(super) fn run(memory: &Memory, board: &Arc<StatusBoard>, stop: &Receiver<()>) {
    let mut written: Option<(String, Instant)> = None;
    let mut has_failed = false;
    loop {
        let is_last = stop.recv_timeout(PERIOD) != Err(RecvTimeoutError::Timeout);
        let lines = lines(board.saved().into_iter());
        let is_due = written.as_ref().is_none_or(|(before, at)| *before != lines || at.elapsed() >= REFRESH);
        // Nothing is known yet, and what is there may be of use to the next start.
        let says_nothing = lines.is_empty() && written.is_none();
        if (is_due || is_last) && !says_nothing {
            match write(&memory.folder, &encode(&lines, unix_secs())) {
                Ok(()) => {
                    written = Some((lines, Instant::now()));
                    has_failed = false;
                }
                Err(error) if !has_failed => {
                    tracing::warn!(folder = %memory.folder.display(), %error, "states cannot be saved");
                    has_failed = true;
                }
                Err(_) => {}
            }
        }
        if is_last {
            return;
        }
    }
}

/// Replaces the file; whoever reads it finds the old one or the new one, also after a loss of power.
fn write(folder: &Path, text: &str) -> io::Result<()> {
    let temporary = folder.join(TEMPORARY);
    let mut file = File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(FILE))?;
    File::open(folder)?.sync_all()
}

fn unix_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
