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

#[path = "common/detours.rs"]
mod detours;

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

#[test]
fn no_answer_from_a_zone_file_allocates() {
    use steerd::state::counters::Counter;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data");
    let full = "minimal_responses: off, ";
    for text in [
        detours::config(folder, ""),
        detours::config(folder, full),
        detours::signed(folder, "", "nsec"),
        detours::signed(folder, full, "nsec3"),
        detours::signed(folder, "", "nsec3"),
    ] {
        let mut generation = fixture::generation_of(&text);
        let mut worker = WorkerState::default();
        for (kind, message) in detours::kinds() {
            assert_free(&mut generation, &mut worker, &kind, &message);
        }
        // The answers were those that were meant.
        for counter in [
            Counter::Answered,
            Counter::NoData,
            Counter::NxDomain,
            Counter::Referral,
            Counter::Refused,
            Counter::ServFail,
            Counter::YxDomain,
            Counter::Truncated,
            Counter::FromUp,
            Counter::Exhausted,
        ] {
            assert!(worker.counters.get(counter) > 0, "{counter:?}");
        }
    }
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

/// Cookies must be had and rates are low: every way of refusing an answer.
const GUARDED: &str =
    "server: {cookies: {require: under_load, load_qps: 1000}, rrl: {responses: 5, slip: 2}, ";

/// The fixture with cookies and rates.
fn guarded() -> Generation {
    let text = fixture::CONFIG.replacen("server: {", GUARDED, 1);
    assert_ne!(text, fixture::CONFIG, "the fixture has a server section");
    fixture::generation_of(&text)
}

/// A datagram's way without a socket.
fn datagram(
    generation: &mut Generation,
    worker: &mut WorkerState,
    client: IpAddr,
    query: &[u8],
    reply: &mut [u8],
) -> usize {
    steerd::dataplane::guard::answer_limited(generation, worker, client, query, reply)
}

#[test]
fn flood_from_a_million_networks_takes_no_memory_and_holds_up_nobody_who_has_a_cookie() {
    use steerd::state::clock::Now;
    use steerd::state::counters::Counter;
    const NETWORKS: u32 = 1_500_000;
    let (mut generation, mut worker) = (guarded(), WorkerState::default());
    let (plain, asks) = (query("www.example.com", Rtype::A, Opt::Plain), {
        let mut asks = query("www.example.com", Rtype::A, Opt::Cookie);
        // The client cookie alone, as from an address that is not its own.
        asks.truncate(asks.len() - 16);
        let at = asks.len();
        asks[at - 13] = 12;
        asks[at - 9] = 8;
        asks
    });
    // Their network is flooded as well.
    let honest: Vec<(IpAddr, Vec<u8>)> =
        [IpAddr::from([10, 1, 2, 3]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1u16])]
            .into_iter()
            .map(|client| {
                let mut known = query("www.example.com", Rtype::A, Opt::Cookie);
                let at = known.len() - 28;
                known[at..].copy_from_slice(&fixture::cookie_option(client));
                (client, known)
            })
            .collect();
    let mut reply = vec![0; 4096];
    let (mut refused, mut asked) = (0, 0);
    let calls = calls_in(|| {
        for number in 0..NETWORKS {
            let [_, a, b, c] = number.to_be_bytes();
            let spoofed = match number % 4 {
                0 => IpAddr::from([0x2001, 0xdb8, u16::from(a), u16::from_be_bytes([b, c]), 0, 0, 0, 1]),
                1 => IpAddr::from([10, 1, 2, c]),
                _ => IpAddr::from([a.wrapping_add(11), b, c, 9]),
            };
            let message = if number % 3 == 0 { &asks } else { &plain };
            let len = datagram(&mut generation, &mut worker, spoofed, message, &mut reply);
            assert!(len <= message.len() + 28 + 16, "{len} octets for {}", message.len());
            if number % 1000 == 0 {
                // A million and a half in fifteen seconds; the date does not matter here.
                generation.guard.begin_batch(Now { ticks: number / 10_000, unix_secs: 0 }, &worker.counters);
                for (client, known) in &honest {
                    let len = datagram(&mut generation, &mut worker, *client, known, &mut reply);
                    asked += 1;
                    refused +=
                        u32::from(len == 0 || reply[3] & 15 != 0 || reply[2] & 2 != 0 || reply[7] != 1);
                }
            }
        }
    });
    assert_eq!(
        (calls, refused, asked),
        (0, 0, 2 * NETWORKS / 1000),
        "allocations, honest queries refused and asked"
    );
    assert!(worker.counters.get(Counter::BadCookie) > u64::from(NETWORKS) / 4, "the load was seen");
    assert!(
        worker.counters.get(Counter::RrlDroppedAnswer) > u64::from(NETWORKS) / 8,
        "their network was over its rate"
    );
    assert_eq!(worker.counters.get(Counter::CookieValid), u64::from(asked));
}

#[test]
fn limiting_allocates_nothing_whatever_is_asked() {
    let (mut generation, mut worker) = (guarded(), WorkerState::default());
    let mut reply = vec![0; 4096];
    let mut messages: Vec<Vec<u8>> = fixture::kinds().into_iter().map(|(_, message)| message).collect();
    let mut alone = query("www.example.com", Rtype::A, Opt::Cookie);
    alone.drain(12..12 + 21);
    alone[5] = 0;
    messages.push(alone);
    let calls = calls_in(|| {
        for message in &messages {
            for client in [[10, 1, 2, 4], [192, 0, 2, 5], [10, 1, 2, 3]] {
                for _ in 0..50 {
                    std::hint::black_box(datagram(
                        &mut generation,
                        &mut worker,
                        client.into(),
                        message,
                        &mut reply,
                    ));
                }
            }
        }
    });
    assert_eq!(calls, 0);
    use steerd::state::counters::Counter;
    for counter in
        [Counter::RrlSlippedAnswer, Counter::RrlDroppedNxDomain, Counter::RrlDroppedError, Counter::CookieBad]
    {
        assert!(worker.counters.get(counter) > 0, "{counter:?}");
    }
}
