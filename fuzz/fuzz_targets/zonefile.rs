//! Any octets as a zone file: no panic, usual lines read fast give what the general way gives, and whatever is read is
//! well-formed wire data.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steerd::config::zone_agrees;
use steerd::wire::name::Name;

fuzz_target!(|octets: &[u8]| {
    // Alike by any name; this one is short enough to be found by chance.
    let Ok(apex) = Name::from_text("a.b") else { return };
    let _ = zone_agrees(octets, &apex);
});
