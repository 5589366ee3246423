//! `steerd check`: every mistake of a configuration in one run.

use std::io::Write;

use super::ConfigFiles;
use crate::config::load;
use crate::config::report::Severity;
use crate::config::zone::ZoneData;

/// Reads the configuration and reports; the error is what is printed.
pub(super) fn run(files: ConfigFiles) -> Result<(), String> {
    match load(&files.config, files.topology.as_deref()) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                // Nobody may be reading.
                let _ = writeln!(std::io::stderr(), "{warning}");
            }
            for fault in loaded.zones.iter().flat_map(|zone| &zone.faults) {
                let _ = writeln!(std::io::stderr(), "{}: {fault}", word(fault.severity));
            }
            let refused = loaded.zones.iter().filter(|zone| !zone.is_usable());
            let refused: Vec<String> = refused.map(|zone| zone.apex.to_string()).collect();
            if !refused.is_empty() {
                return Err(format!("zones that cannot be served: {}", refused.join(", ")));
            }
            let config = &loaded.config;
            let data = config.zones.iter().filter_map(|zone| zone.records.data());
            let records: usize = data.map(ZoneData::len).sum();
            let faults: usize = loaded.zones.iter().map(|zone| zone.faults.len()).sum();
            let warnings = loaded.warnings.len() + faults;
            let line = format!(
                "{}: ok ({} names, {} pools, {} zones with {records} records, {} prefixes, {warnings} warnings)",
                files.config.display(),
                config.globalnames.len(),
                config.pools.len(),
                config.zones.len(),
                config.topology.prefixes.len(),
            );
            // A closed pipe is the reader's choice, not an error of the configuration.
            let _ = writeln!(std::io::stdout(), "{line}");
            Ok(())
        }
        Err(report) => Err(format!("the configuration is refused\n{report}")),
    }
}

/// What a line about a zone begins with.
fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}
