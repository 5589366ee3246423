//! `steerd check`: every mistake of a configuration in one run, and whether signed zones have their keys. Makes none.

use std::io::Write;

use super::ConfigFiles;
use crate::config::dnssec::FoundKeys;
use crate::config::load;
use crate::config::model::Config;
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
            let keys = keys_of(config);
            for (_, text) in keys.iter().filter(|(severity, _)| *severity == Some(Severity::Warning)) {
                let _ = writeln!(std::io::stderr(), "warning: {text}");
            }
            let lacking = keys.iter().filter(|(severity, _)| *severity == Some(Severity::Error));
            let lacking: Vec<&str> = lacking.map(|(_, text)| text.as_str()).collect();
            if !lacking.is_empty() {
                return Err(format!(
                    "zones that cannot be signed, and so not be served:\n{}",
                    lacking.join("\n")
                ));
            }
            // A closed pipe is the reader's choice, not an error of the configuration.
            let _ = writeln!(std::io::stdout(), "{line}");
            for (_, text) in keys.iter().filter(|(severity, _)| severity.is_none()) {
                let _ = writeln!(std::io::stdout(), "{text}");
            }
            Ok(())
        }
        Err(report) => Err(format!("the configuration is refused\n{report}")),
    }
}

/// The keys of each signed zone as a start would find them: in words, and how bad that is.
fn keys_of(config: &Config) -> Vec<(Option<Severity>, String)> {
    let signed = config.zones.iter().filter_map(|zone| Some((zone, zone.dnssec.as_ref()?)));
    let told = signed.map(|(zone, dnssec)| {
        let apex = &zone.apex;
        match FoundKeys::of(zone, dnssec, config.server.state_dir.as_deref()) {
            Ok(FoundKeys::There { count, folder }) => {
                (None, format!("{apex} is signed: {count} keys in {}", folder.display()))
            }
            Ok(FoundKeys::ToBeMade(folder)) => (
                Some(Severity::Warning),
                format!(
                    "{apex} has no keys in {}: the next start makes some, with which the zone is bogus if a DS of others is at \
                     the parent (then give their directory back, and set `dnssec.generate_keys: off`)",
                    folder.display()
                ),
            ),
            // Whoever checks may be somebody else than who serves.
            Err(error) if error.is_denied() => {
                (Some(Severity::Warning), format!("{apex}: the keys cannot be looked at: {error}"))
            }
            Err(error) => (Some(Severity::Error), format!("{apex}: {error}")),
        }
    });
    told.collect()
}

/// What a line about a zone begins with.
fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}
