//! Why the server does not start, does not go on, or does not take a configuration: one variant a cause.

use std::path::PathBuf;

use crate::config::Report;
use crate::health::EngineGone;
use crate::io::listen::ListenError;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(Report),
    /// A listen address cannot be had.
    #[error("{0}")]
    Listen(#[from] ListenError),
    /// The admin address cannot be had.
    #[error("cannot listen on admin address {address}: {error}")]
    Admin {
        /// The address asked for.
        address: std::net::SocketAddr,
        /// What the kernel said.
        error: std::io::Error,
    },
    /// The state directory cannot be used.
    #[error("cannot use state_dir {path}: {error}")]
    StateDir {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        error: std::io::Error,
    },
    /// Another process uses the state directory.
    #[error("state_dir {path} is in use by another steerd")]
    StateDirLocked {
        /// The directory.
        path: PathBuf,
    },
    /// The kernel gave no thread, epoll instance or descriptor.
    #[error("cannot start: {0}")]
    Resources(std::io::Error),
}

/// Why the server ended although nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A worker's thread has ended; its log line says why.
    #[error("a worker has stopped; its sockets would answer nobody")]
    WorkerLost,
    /// A thread of the health engine has ended; its log line says why.
    #[error("a health thread has stopped; states would never change again")]
    HealthLost,
}

/// Why a configuration is not in force after a reload.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    /// It has mistakes.
    #[error("the configuration is refused; the one in force stays")]
    Refused {
        /// How many.
        errors: usize,
    },
    /// A zone that is served signed could not be signed in it.
    #[error("{zone} could not be signed anew; the configuration in force stays")]
    Unsigned {
        /// The zone.
        zone: String,
    },
    /// It was handed over, but not by every worker taken.
    #[error(
        "a worker has not adopted the configuration: it answers from the one before until it goes on; if it does not, restart \
         the server"
    )]
    NotAdopted,
    /// Nobody would tell the workers about health.
    #[error("{0}; the configuration in force stays")]
    Health(#[from] EngineGone),
}
