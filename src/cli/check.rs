//! `steerd check`: every mistake of a configuration in one run.

use std::io::Write;

use super::ConfigFiles;
use crate::config::load;

/// Reads the configuration and reports; the error is what is printed.
pub(super) fn run(files: ConfigFiles) -> Result<(), String> {
    match load(&files.config, files.topology.as_deref()) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                // Nobody may be reading.
                let _ = writeln!(std::io::stderr(), "{warning}");
            }
            let config = &loaded.config;
            let line = format!(
                "{}: ok ({} names, {} pools, {} zones, {} prefixes, {} warnings)",
                files.config.display(),
                config.globalnames.len(),
                config.pools.len(),
                config.zones.len(),
                config.topology.prefixes.len(),
                loaded.warnings.len()
            );
            // A closed pipe is the reader's choice, not an error of the configuration.
            let _ = writeln!(std::io::stdout(), "{line}");
            Ok(())
        }
        Err(report) => Err(format!("the configuration is refused\n{report}")),
    }
}
