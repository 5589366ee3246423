//! Calls `respond` with one kind of query a given number of times: the program that `perf/respond` runs under callgrind.
//! Usage: respond_loop KIND COUNT.

use std::hint::black_box;
use std::net::IpAddr;

use steerd::dataplane::respond::{Outcome, Transport, WorkerState, respond};

mod fixture;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().unwrap_or_default();
    let count: u32 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1);
    let kinds = fixture::kinds();
    let Some((_, query)) = kinds.iter().find(|(name, _)| *name == kind) else {
        let names: Vec<_> = kinds.iter().map(|(name, _)| *name).collect();
        eprintln!("usage: respond_loop KIND COUNT, where KIND is one of {}", names.join(" "));
        std::process::exit(2);
    };
    let mut generation = fixture::generation();
    let mut worker = WorkerState::default();
    let mut reply = [0; 4096];
    let client = IpAddr::from([10, 1, 2, 3]);
    for _ in 0..count {
        let outcome = respond(
            &mut generation,
            &mut worker,
            client,
            Transport::Udp,
            black_box(query),
            black_box(&mut reply),
        );
        assert!(matches!(black_box(outcome), Outcome::Reply(_)));
    }
}
