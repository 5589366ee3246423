//! `steerd serve`: answer queries from a configuration file until stopped.

use super::{ConfigFiles, LogOptions, signals};
use crate::control::logging;
use crate::control::supervisor::{Source, StartError, Supervisor};

/// Runs until stopped; the error is what is printed.
pub(super) fn run(files: ConfigFiles, log: &LogOptions) -> Result<(), String> {
    let _flush = logging::start(log.format());
    let source = Source::Files { config: files.config, topology: files.topology };
    let commands = signals::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let supervisor = Supervisor::start(source).map_err(|error| match error {
        // A report has many lines; they begin on a line of their own.
        StartError::Config(report) => format!("the configuration is refused\n{report}"),
        other => other.to_string(),
    })?;
    supervisor.run(&commands).map_err(|error| error.to_string())
}
