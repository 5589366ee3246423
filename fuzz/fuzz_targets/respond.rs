//! Any octets through `respond`, over both transports: no panic, no amplification, and a reply that is one.
#![no_main]

use std::cell::RefCell;
use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use steerd::dataplane::respond::{Outcome, Transport, WorkerState, respond};
use steerd::state::publish::Generation;

#[path = "../../perf/fixture.rs"]
#[allow(dead_code, reason = "shared with the benches, which use more of it")]
mod fixture;
#[path = "../../tests/common/reply.rs"]
mod reply;

thread_local! {
    static WORKER: RefCell<(Generation, WorkerState)> = RefCell::new((fixture::generation(), WorkerState::default()));
}

fuzz_target!(|query: &[u8]| {
    WORKER.with_borrow_mut(|(generation, worker)| {
        let client = IpAddr::from([10, 1, 2, query.first().copied().unwrap_or(0)]);
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut buffer = [0xA5; 65_535];
            match respond(generation, worker, client, transport, query, &mut buffer) {
                Outcome::Drop(_) => assert!(query.len() < 12 || query[2] & 0x80 != 0),
                Outcome::Reply(len) => reply::assert_reply(query, &buffer[..len], transport == Transport::Udp),
            }
        }
    });
});
