//! Any octets through `respond`, over both transports, and through a worker that wants cookies and limits rates: no panic, no
//! amplification, and a reply that is one.
#![no_main]

use std::cell::RefCell;
use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use steerd::dataplane::guard::answer_limited;
use steerd::dataplane::respond::{Outcome, Transport, WorkerState, respond};
use steerd::state::clock::Now;
use steerd::state::publish::Generation;

#[path = "../../perf/fixture.rs"]
#[allow(dead_code, reason = "shared with the benches, which use more of it")]
mod fixture;
#[path = "../../tests/common/detours.rs"]
#[allow(dead_code, reason = "the queries are among the seeds")]
mod detours;
#[path = "../../tests/common/reply.rs"]
mod reply;

/// Where the zone files are.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data");
/// Everything that may be refused is, some of the time.
const GUARDED: &str = "cookies: {require: always}, rrl: {responses: 1, slip: 2}, ";
/// Everything that may be added is.
const FULL: &str = "minimal_responses: off, ";

thread_local! {
    static WORKERS: RefCell<[(Generation, WorkerState); 4]> = RefCell::new(
        [
            detours::config(DATA, ""),
            detours::config(DATA, FULL),
            detours::signed(DATA, "", "nsec"),
            detours::signed(DATA, FULL, "nsec3"),
        ]
        .map(|text| (fixture::generation_of(&text), WorkerState::default())),
    );
    static GUARD: RefCell<(Generation, WorkerState, u32)> = RefCell::new((
        fixture::generation_of(&detours::config(DATA, GUARDED)),
        WorkerState::default(),
        0,
    ));
}

fuzz_target!(|query: &[u8]| {
    // The cookies among the seeds are those of the first.
    let client = IpAddr::from([10, 1, 2, 3 ^ (query.first().copied().unwrap_or(0) & 1)]);
    WORKERS.with_borrow_mut(|workers| {
        for (generation, worker) in workers {
            for transport in [Transport::Udp, Transport::Tcp] {
                let mut buffer = [0xA5; 65_535];
                match respond(generation, worker, client, transport, query, &mut buffer) {
                    Outcome::Drop(_) => assert!(query.len() < 12 || query[2] & 0x80 != 0),
                    Outcome::Reply(len) => reply::assert_reply(query, &buffer[..len], transport == Transport::Udp),
                }
            }
        }
    });
    GUARD.with_borrow_mut(|(generation, worker, ticks)| {
        let mut buffer = [0xA5; 4096];
        // Now and then there are tokens again; the date stands still, and cookies with it.
        *ticks = ticks.wrapping_add(3);
        generation.guard.begin_batch(Now { ticks: *ticks, unix_secs: 0 }, &worker.counters);
        for _ in 0..3 {
            match answer_limited(generation, worker, client, query, &mut buffer) {
                0 => {}
                len => reply::assert_reply(query, &buffer[..len], true),
            }
        }
    });
});
