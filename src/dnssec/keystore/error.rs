//! What can be wrong with the folder of the keys, one variant a cause, each with the file it is about.

use std::io;
use std::path::{Path, PathBuf};

use super::files::MAX_FILE_OCTETS;
use crate::dnssec::keyfile::KeyFileError;
use crate::dnssec::rollover::Refusal;
use crate::dnssec::rollover::adopt::AdoptError;
use crate::dnssec::rollover::json::StateError;

/// What is wrong with a folder or a file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system refused.
    #[error("{path}: {error}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Others may read a private key.
    #[error("{path}: mode {mode:04o} lets others at a private key (chmod 600)")]
    FileMode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Anybody may put keys into the folder.
    #[error("{path}: mode {mode:04o} lets everybody write into a folder of keys (chmod o-w)")]
    FolderMode {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not a plain file, or far too large.
    #[error("{path}: not a plain file of less than {MAX_FILE_OCTETS} octets")]
    NotAFile {
        /// What it is called.
        path: PathBuf,
    },
    /// The file is there already.
    #[error("{path}: exists already, and is not overwritten")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// What the file holds.
    #[error("{path}: {error}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: KeyFileError,
    },
    /// The state is not usable; nothing was changed.
    #[error("{path}: {error}; `steerd dnssec rollover ZONE --rebuild` begins anew from the keys")]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: StateError,
    },
    /// The keys do not make a signed zone.
    #[error("{path}: {error}")]
    Adopt {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: AdoptError,
    },
    /// What was asked for is not possible now.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Somebody else holds the lock.
    #[error("{path}: somebody else is changing the keys")]
    Busy {
        /// The folder.
        path: PathBuf,
    },
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError + '_ {
    move |error| StoreError::Io { path: path.to_owned(), error }
}
