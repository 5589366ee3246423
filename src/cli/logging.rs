//! Where log lines go and how they look: standard error, text or JSON, level from `STEERD_LOG` (default `info`).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use super::{LogFormat, LogOptions};

/// Name of the environment variable that holds the filter (`debug`, `steerd::health=debug,info`, ...).
const FILTER_VARIABLE: &str = "STEERD_LOG";

/// Sets up logging for the whole process.
pub(super) fn start(options: &LogOptions) {
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .with_env_var(FILTER_VARIABLE)
        .from_env_lossy();
    let base =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match options.log_format {
        LogFormat::Json => base.json().flatten_event(true).init(),
        LogFormat::Text => base.with_ansi(std::io::stderr().is_terminal()).init(),
    }
}
