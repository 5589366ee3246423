//! How many RRsets a second one core signs, with each algorithm: the whole of `sign_rrset`, canonical data in, RRSIG data
//! out. Prints one line an algorithm; runs for SECONDS each (3).

#![allow(clippy::print_stdout, reason = "its purpose")]

use std::time::{Duration, Instant};

use ring::rand::SystemRandom;
use steerd::dnssec::key::{Algorithm, SigningKey};
use steerd::dnssec::policy::Policy;
use steerd::dnssec::rrsig::sign_rrset;

fn main() {
    let secs = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(3);
    let policy = Policy::default();
    for algorithm in [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519] {
        let key = SigningKey::generate(algorithm, false, &SystemRandom::new()).expect("a key");
        let (apex, owner) = (b"\x07example\x03com\x00", b"\x03www\x07example\x03com\x00");
        let (start, mut count) = (Instant::now(), 0u32);
        let elapsed = loop {
            for last in 0..=255 {
                let validity = policy.validity(owner, 1, 1_800_000_000);
                let made = sign_rrset(&key, apex, owner, 1, 300, &[[192, 0, 2, last]], validity);
                std::hint::black_box(made.expect("a signature"));
                count += 1;
            }
            let elapsed = start.elapsed();
            if elapsed >= Duration::from_secs(secs) {
                break elapsed;
            }
        };
        let each = elapsed / count;
        println!(
            "{algorithm}: {:.0} signatures/s, {each:.1?} each",
            f64::from(count) / elapsed.as_secs_f64()
        );
    }
}
