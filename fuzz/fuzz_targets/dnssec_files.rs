//! Any text as a key file or as a state of rollovers: no panic; what is read is written and read again the same; and a step
//! from any state that is read leaves one that can be read, with as much signing as before.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steerd::dnssec::key::PublicKey;
use steerd::dnssec::keyfile::{Times, parse_private, parse_public, private_text, public_text};
use steerd::dnssec::rollover::json::{from_json, to_json};
use steerd::dnssec::rollover::{State, ZskStage, step};

const ZONE: &[u8] = b"\x07example\x00";
const PUBLIC: &str = "example. IN DNSKEY 257 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==";

fn zone_signers(state: &State) -> usize {
    let signs = |stage| matches!(stage, ZskStage::Active | ZskStage::Retired);
    state.keys.iter().filter(|key| signs(key.zsk_stage())).count()
}

fuzz_target!(|octets: &[u8]| {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    if let Ok((owner, public)) = parse_public(text) {
        let written = public_text(&owner, &public, &Times::default());
        assert_eq!(parse_public(&written), Ok((owner, public)));
    }
    let (_, public) = parse_public(PUBLIC).expect("a key");
    if let Ok((key, times)) = parse_private(text, &public) {
        let (again, same) = parse_private(&private_text(&key, &times), &public).expect("written");
        assert_eq!((again.public(), same), (key.public(), times));
    }
    if let Ok(state) = from_json(text, ZONE) {
        assert_eq!(from_json(&to_json(&state), ZONE).as_ref(), Ok(&state));
        let available: Vec<&PublicKey> = state.keys.iter().map(|key| &key.public).collect();
        let stepped = step(&state, &state.policy, &available, state.last_seen).state;
        assert_eq!(from_json(&to_json(&stepped), ZONE).as_ref(), Ok(&stepped));
        assert!(zone_signers(&stepped) > 0 || zone_signers(&state) == 0);
    }
});
