//! Any text as a configuration: no panic, and every complaint names a place; what loads also compiles.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steerd::config::{compile::compile, load_str};

fuzz_target!(|octets: &[u8]| {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    match load_str("fuzz.yaml", text) {
        Ok(loaded) => drop(compile(&loaded.config, 1)),
        Err(report) => assert!(report.to_string().contains("fuzz.yaml"), "{report}"),
    }
});
