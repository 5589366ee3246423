//! Answering a query allocates nothing: every kind of answer, malformed packets, and rotations rebuilt by a health flip.
#![expect(unsafe_code, reason = "a global allocator is an unsafe trait")]
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::IpAddr;

use steerd::dataplane::respond::{Outcome, Transport, WorkerState, respond};
use steerd::state::health_table::{State, Word};
use steerd::state::publish::Generation;
use steerd::wire::message::Rtype;

#[path = "../perf/fixture.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the benches")]
mod fixture;

use fixture::{Opt, query};

thread_local! {
    /// Calls of the allocator by this thread. Needs neither a lazy start nor a destructor, so it never allocates itself.
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

impl Counting {
    fn count() {
        // An error: the thread is ending, and nobody asks any more.
        let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
    }
}

// SAFETY: every call is passed to the system's allocator with its arguments unchanged, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Counting::count();
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Counting::count();
        // SAFETY: `pointer` came from `System` through this allocator, with the same layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        Counting::count();
        // SAFETY: `pointer` came from `System` through this allocator, with the same layout.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Calls of the allocator while `work` runs.
fn calls_in(work: impl FnOnce()) -> u64 {
    let before = CALLS.with(Cell::get);
    work();
    CALLS.with(Cell::get) - before
}

/// Answers `message` many times over both transports and checks that nothing is allocated or freed.
#[track_caller]
fn assert_free(generation: &mut Generation, worker: &mut WorkerState, what: &str, message: &[u8]) {
    let mut reply = vec![0; 65_535];
    let calls = calls_in(|| {
        for client in [IpAddr::from([10, 1, 2, 3]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1u16])] {
            for transport in [Transport::Udp, Transport::Tcp] {
                for _ in 0..10 {
                    std::hint::black_box(respond(generation, worker, client, transport, message, &mut reply));
                }
            }
        }
    });
    assert_eq!(calls, 0, "{what}");
}

#[test]
fn the_counter_counts() {
    assert_eq!(calls_in(|| drop(std::hint::black_box(Box::new(1u64)))), 2, "one allocation, one release");
}

#[test]
fn no_kind_of_answer_allocates() {
    let (mut generation, mut worker) = (fixture::generation(), WorkerState::default());
    for (kind, message) in fixture::kinds() {
        assert_free(&mut generation, &mut worker, kind, &message);
    }
    let mut chaos = query("version.bind", Rtype::TXT, Opt::Plain);
    let class_at = 12 + "version.bind".len() + 2 + 2;
    chaos[class_at + 1] = 3;
    assert_free(&mut generation, &mut worker, "class CH", &chaos);
    let mut asks_much = query("www.example.com", Rtype::A, Opt::Plain);
    let length_at = asks_much.len() - 1;
    asks_much[length_at] = 8;
    asks_much.extend([0, 3, 0, 0, 0, 11, 0, 0]);
    assert_free(&mut generation, &mut worker, "identifier and keepalive", &asks_much);
    assert_free(&mut generation, &mut worker, "transfer", &query("example.com", Rtype::AXFR, Opt::None));
}

/// What the fixture has none of: an answer too large for a datagram, and every fallback.
const CORNERS: &str = "
globalnames: {big.test: big, any.test: any, nodata.test: nodata, addresses.test: addresses, refuse.test: refuse}
pools:
  big: {lb_method: wrr, max_addrs_returned: 100, members: [BIG], monitor: forced, monitor_params: {status: up}}
  any: {lb_method: fogroup, fallback: any, members: [192.0.2.1, 192.0.2.2], monitor: forced, monitor_params: {status: down}}
  nodata: {lb_method: wrr, fallback: nodata, members: [192.0.2.3], monitor: forced, monitor_params: {status: down}}
  addresses: {lb_method: wrr, fallback: [192.0.2.99], members: [192.0.2.4], monitor: forced, monitor_params: {status: down}}
  refuse: {lb_method: wrr, fallback: refuse, members: [192.0.2.5], monitor: forced, monitor_params: {status: down}}
";

#[test]
fn truncated_answers_and_fallbacks_allocate_nothing() {
    let members: Vec<String> = (1..=100).map(|last| format!("198.51.100.{last}")).collect();
    let text = CORNERS.replace("BIG", &members.join(", "));
    let loaded = steerd::config::load_str("corners.yaml", &text).unwrap_or_else(|report| panic!("{report}"));
    let snapshot = std::sync::Arc::new(steerd::config::compile::compile(&loaded.config, 1));
    for (pool, model) in snapshot.pools.iter().enumerate() {
        let state = if pool == 0 { State::Up } else { State::Down };
        let words = (0..usize::from(model.rules.member_count)).map(|member| (member, Word::new(state, 1)));
        snapshot.health.write(pool, words);
    }
    let (mut generation, mut worker) = (Generation::first(snapshot, 1), WorkerState::default());
    for name in ["big.test", "any.test", "nodata.test", "addresses.test", "refuse.test", "below.refuse.test"]
    {
        for opt in [Opt::None, Opt::Plain, Opt::ClientSubnet] {
            assert_free(&mut generation, &mut worker, name, &query(name, Rtype::A, opt));
        }
    }
    // The answers were those that were meant.
    use steerd::state::counters::Counter;
    for counter in
        [Counter::Truncated, Counter::Answered, Counter::FromFallback, Counter::NoData, Counter::Refused]
    {
        assert!(worker.counters.get(counter) > 0, "{counter:?}");
    }
}

#[test]
fn no_malformed_packet_allocates() {
    let (mut generation, mut worker) = (fixture::generation(), WorkerState::default());
    for (kind, message) in fixture::kinds() {
        for len in 0..message.len() {
            assert_free(&mut generation, &mut worker, kind, &message[..len]);
        }
        for bit in 0..message.len() * 8 {
            let mut bent = message.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_free(&mut generation, &mut worker, kind, &bent);
        }
    }
}

#[test]
fn rotations_rebuilt_after_a_flip_allocate_nothing() {
    let (mut generation, mut worker) = (fixture::generation(), WorkerState::default());
    let questions: Vec<Vec<u8>> = fixture::kinds().into_iter().map(|(_, message)| message).collect();
    let mut reply = vec![0; 65_535];
    for flip in 0..64u32 {
        // Every pool changes: UP, DOWN and UNKNOWN in all mixtures of four members.
        let snapshot = generation.snapshot.clone();
        for (pool, model) in snapshot.pools.iter().enumerate() {
            let state = |member: usize| match (flip >> (member % 4)) % 3 {
                0 => State::Up,
                1 => State::Down,
                _ => State::Unknown,
            };
            let words =
                (0..usize::from(model.rules.member_count)).map(|m| (m, Word::new(state(m), flip + 2)));
            snapshot.health.write(pool, words);
        }
        generation.rotations.take_rebuilds();
        let calls = calls_in(|| {
            for message in &questions {
                let client = IpAddr::from([198, 51, 100, 7]);
                let outcome =
                    respond(&mut generation, &mut worker, client, Transport::Udp, message, &mut reply);
                assert!(matches!(outcome, Outcome::Reply(_)));
            }
        });
        assert!(generation.rotations.take_rebuilds() > 0, "flip {flip} was seen");
        assert_eq!(calls, 0, "flip {flip}");
    }
}
