//! Zones as a whole: every cause with its text and place, what parents are told, and which version is served.

mod delegation;
mod findings;
mod versions;
mod whole;

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::config::report::Severity;
use crate::config::zonefile::ZoneFault;
use crate::config::{Loaded, Report, load};

/// SOA, NS and an address of a zone that nothing can be said against; what follows begins on line 6.
const HEAD: &str =
    "$TTL 300\n@ SOA ns1 host 1 7200 900 1209600 60\n@ NS ns1\n@ NS ns2.example.net.\nns1 A 192.0.2.53\n";

const POOL: &str =
    "pools: {p: {lb_method: wrr, members: [192.0.2.1], monitor: forced, monitor_params: {status: up}}}\n";

/// A folder with a configuration and zone files.
fn folder(config: &str, files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("c", config)].iter().chain(files) {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn load_in(folder: &TempDir) -> Result<Loaded, Report> {
    load(&folder.path().join("c"), None)
}

/// What is wrong, as it is shown, the folder left out.
fn shown(faults: &[ZoneFault], folder: &Path) -> Vec<String> {
    let folder = format!("{}/", folder.display());
    let word = |fault: &ZoneFault| match fault.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    faults.iter().map(|fault| format!("{} {}", word(fault), fault.to_string().replace(&folder, ""))).collect()
}

/// What is said of the file `z` of `example.com`.
fn said_with(config: &str, text: &str) -> Vec<String> {
    let folder = folder(config, &[("z", text)]);
    let loaded = load_in(&folder).unwrap_or_else(|report| panic!("{report}"));
    shown(&loaded.zones[0].faults, folder.path())
}

/// The same of [`HEAD`] and further records, beside nothing.
fn said(records: &str) -> Vec<String> {
    said_with("zones: {example.com: {file: z}}\n", &format!("{HEAD}{records}"))
}
