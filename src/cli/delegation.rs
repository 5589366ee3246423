//! `steerd delegation`: what the zone above must be told.

use std::io::Write;

use super::ConfigFiles;
use crate::config::load;
use crate::config::zone::delegation::Delegation;

/// Prints the records for the parent of `zone`; the error is what is printed.
pub(super) fn run(files: ConfigFiles, zone: &str) -> Result<(), String> {
    let loaded = load(&files.config, files.topology.as_deref())
        .map_err(|report| format!("the configuration is refused\n{report}"))?;
    let delegation = Delegation::of(&loaded, zone).map_err(|error| error.to_string())?;
    // A closed pipe is the reader's choice.
    let _ = write!(std::io::stdout(), "{delegation}");
    Ok(())
}
