//! Where log lines go and how they look: standard error, text or JSON, level from `STEERD_LOG` (default `info`).
//!
//! Lines pass through a bounded queue to a thread of their own. A reader that does not read, or has gone, costs lines,
//! which are counted; it never makes the server wait or fail.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Name of the environment variable that holds the filter (`debug`, `steerd::health=debug,info`, ...).
const FILTER_VARIABLE: &str = "STEERD_LOG";
/// Lines that may wait: a large site going down at once. At some 200 octets each, 3 MiB.
const QUEUE_LINES: usize = 16 * 1024;

static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people; in colour on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sets up logging for the whole process. What waits is written when the guard is dropped, for at most a second.
#[must_use = "the queue is flushed when this is dropped"]
pub fn start(format: Format) -> WorkerGuard {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .with_env_var(FILTER_VARIABLE)
        .from_env_lossy();
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(QUEUE_LINES)
        .thread_name("log")
        .finish(std::io::stderr());
    // An error: logging was set up before, and that counter stays.
    let _ = DROPPED.set(writer.error_counter());
    // Internal errors would be printed with a macro that panics when standard error is closed.
    let base =
        tracing_subscriber::fmt().with_env_filter(filter).with_target(false).log_internal_errors(false);
    match format {
        Format::Json => base.json().flatten_event(true).with_writer(writer).init(),
        Format::Text => base.with_ansi(std::io::stderr().is_terminal()).with_writer(writer).init(),
    }
    guard
}

/// Lines that were dropped because the log's reader was too slow.
pub(super) fn dropped_lines() -> u64 {
    DROPPED.get().map_or(0, |counter| counter.dropped_lines() as u64)
}
