//! Any text to both readers of YAML: what the fast one accepts, both see alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steerd::config::agree;

fuzz_target!(|octets: &[u8]| {
    if let Ok(text) = std::str::from_utf8(octets) {
        agree(text);
    }
});
