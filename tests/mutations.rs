//! Bent queries through `respond`: no panic, and every reply keeps the rules of all replies.
//!
//! `STEERD_MUTATIONS` sets how many (default 200,000), `STEERD_MUTATION_SEED` where the series begins. For a long run:
//! `STEERD_MUTATIONS=10000000 cargo test --release --test mutations`.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::panic::AssertUnwindSafe;
use std::path::Path;

use steerd::dataplane::respond::{Outcome, Transport, WorkerState, respond};
use steerd::wire::message::Rtype;

#[path = "../perf/fixture.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the benches")]
mod fixture;
#[path = "common/detours.rs"]
mod detours;
#[path = "common/reply.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod reply;

use fixture::{Opt, query};

/// SplitMix64 (Steele, Lea and Flood 2014): a series that anybody can repeat.
struct Series(u64);

impl Series {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Where the zone files are.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");

/// Whole queries that are bent: every kind of answer, and shapes that none of them has.
fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds: Vec<(String, Vec<u8>)> =
        fixture::kinds().into_iter().map(|(kind, message)| (kind.to_owned(), message)).collect();
    seeds.extend(detours::kinds());
    let longest = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(49), "example.com".to_owned()];
    seeds.push(("longest-name".into(), query(&longest.join("."), Rtype::A, Opt::ClientSubnet)));
    seeds.push(("root".into(), query(".", Rtype::NS, Opt::Plain)));
    seeds.push(("ent".into(), query("b.example.com", Rtype::A, Opt::Plain)));
    let mut chaos = query("version.bind", Rtype::TXT, Opt::Plain);
    chaos[29] = 3;
    seeds.push(("chaos".into(), chaos));
    let mut notify = query("example.com", Rtype::SOA, Opt::None);
    notify[2] = 0x24;
    seeds.push(("notify".into(), notify));
    // A cookie without a question, and every option at once.
    let mut alone = query("example.com", Rtype::A, Opt::Cookie);
    alone.drain(12..12 + "example.com".len() + 2 + 4);
    alone[5] = 0;
    seeds.push(("cookie-alone".into(), alone));
    let mut all = query("www.example.com", Rtype::A, Opt::Cookie);
    let more = [0, 3, 0, 0, 0, 8, 0, 7, 0, 1, 24, 0, 10, 1, 2, 0, 11, 0, 0, 0, 12, 0, 2, 0, 0];
    let length_at = all.len() - 28 - 1;
    all[length_at] += more.len() as u8;
    all.extend(more);
    seeds.push(("every-option".into(), all));
    seeds
}

/// Changes `message` in one to eight ways.
fn bend(series: &mut Series, message: &mut Vec<u8>, seeds: &[(String, Vec<u8>)]) {
    for _ in 0..=series.below(8) {
        let at = series.below(message.len());
        match series.below(9) {
            0 | 1 if !message.is_empty() => message[at] ^= 1 << series.below(8),
            2 if !message.is_empty() => message[at] = series.next() as u8,
            3 => message.truncate(at),
            4 => message.insert(at, series.next() as u8),
            5 if !message.is_empty() => drop(message.remove(at)),
            6 => {
                // A count of a section, or the type and class behind the name.
                let field = 4 + 2 * series.below(4);
                if let Some(count) = message.get_mut(field + 1) {
                    *count = [0, 1, 2, 255][series.below(4)];
                }
            }
            7 => {
                let other = &seeds[series.below(seeds.len())].1;
                let from = series.below(other.len());
                message.truncate(at);
                message.extend_from_slice(&other[from..]);
            }
            _ => {
                // A piece of itself once more: records and options doubled.
                let len = series.below(24).min(message.len() - at);
                let piece = message[at..at + len].to_vec();
                message.extend_from_slice(&piece);
            }
        }
    }
}

/// A number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[test]
fn bent_queries_get_a_proper_reply_or_none() {
    let count = setting("STEERD_MUTATIONS", 200_000);
    let first = setting("STEERD_MUTATION_SEED", 0);
    let seeds = seeds();
    // Answers that are minimal, and others; zones that are not signed, and others.
    let full = "minimal_responses: off, ";
    let mut generations = [
        detours::config(DATA, ""),
        detours::config(DATA, full),
        detours::signed(DATA, "", "nsec"),
        detours::signed(DATA, full, "nsec3"),
        detours::signed(DATA, "", "nsec3"),
    ]
    .map(|text| fixture::generation_of(&text));
    let mut worker = WorkerState::default();
    let mut buffer = vec![0xA5; 65_535];
    let (mut replies, mut drops) = (0u64, 0u64);
    for number in first..first + count {
        // Each number is a series of its own: a failure is repeated by its number alone.
        let mut series = Series(number);
        let mut message = seeds[series.below(seeds.len())].1.clone();
        bend(&mut series, &mut message, &seeds);
        let client =
            if series.below(2) == 0 { fixture::CLIENT } else { [10, 1, series.next() as u8, 1].into() };
        let transport = if series.below(4) == 0 { Transport::Tcp } else { Transport::Udp };
        let which = series.below(generations.len());
        let generation = &mut generations[which];
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
            match respond(generation, &mut worker, client, transport, &message, &mut buffer) {
                Outcome::Drop(_) => {
                    assert!(message.len() < 12 || message[2] & 0x80 != 0, "a query was dropped");
                    false
                }
                Outcome::Reply(len) => {
                    assert!(message.len() >= 12 && message[2] & 0x80 == 0, "an answer to no query");
                    reply::assert_reply(&message, &buffer[..len], transport == Transport::Udp);
                    true
                }
            }
        }));
        match outcome {
            Ok(true) => replies += 1,
            Ok(false) => drops += 1,
            Err(_) => panic!("STEERD_MUTATION_SEED={number} STEERD_MUTATIONS=1 repeats it: {message:02x?}"),
        }
    }
    println!("{count} bent queries: {replies} replies, {drops} dropped");
    assert!(count < 1000 || (replies > count / 2 && drops > 0), "the mixture is worth something");
}

/// The seeds of the fuzz targets are these queries, so that they cannot fall behind. `STEERD_WRITE_SEEDS=1` writes them.
#[test]
fn fuzz_seeds_are_the_queries_of_this_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    let mut files = Vec::new();
    let mut stream = Vec::new();
    for (name, message) in seeds() {
        files.push((folder.join("respond").join(&name), message.clone()));
        files.push((folder.join("wire").join(&name), message.clone()));
        stream.extend_from_slice(&(message.len() as u16).to_be_bytes());
        stream.extend_from_slice(&message);
    }
    files.push((folder.join("framing/unfinished"), stream[..stream.len() - 1].to_vec()));
    files.push((folder.join("framing/short"), [&stream[..], b"\x00\x05hello"].concat()));
    files.push((folder.join("framing/whole"), stream));
    for (path, octets) in files {
        if std::env::var_os("STEERD_WRITE_SEEDS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &octets).unwrap();
        }
        let found = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(found == octets, "{} is outdated: STEERD_WRITE_SEEDS=1", path.display());
    }
}
