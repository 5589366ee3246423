//! Pools of pools: shares against a reference that walks down each tree by itself, and what a
//! server with such pools says. Shares of every method and by capacity are `shares`, mistakes `mistakes`.

#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv4Addr;

#[path = "../common/mod.rs"]
mod common;
mod mistakes;
mod shares;

use common::backend::{Backend, Manner};
use common::{Server, config, run_steerd, wait_until};

use proptest::prelude::*;
use steerd::config::{compile::compile, load_str};
use steerd::state::health_table::{State, Word};
use steerd::state::rotation::{RotationTable, Source};
use steerd::state::snapshot::Snapshot;
use steerd::state::topology::RegionId;
use steerd::state::ttl::Ttl;

/// Draws of a distribution.
const DRAWS: usize = 120_000;
const REGIONS: u8 = 3;

/// A pool as drawn up for a test; pools refer to those behind them.
#[derive(Clone, Debug)]
struct Drafted {
    method: Method,
    items: Vec<(Part, u32)>,
    min_up: u16,
    threshold: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Wrr,
    Fogroup(u16),
    Twrr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// 10.region.0.number
    Address(u8, u8),
    Pool(usize),
}

fn address(region: u8, number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, region, 0, number)
}

fn text_of(pools: &[Drafted]) -> String {
    let mut text = String::from("topology:\n");
    for region in 0..REGIONS {
        text.push_str(&format!("  r{region}: 10.{region}.0.0/16\n"));
    }
    text.push_str("globalnames:\n");
    for at in 0..pools.len() {
        text.push_str(&format!("  n{at}.example: p{at}\n"));
    }
    text.push_str("pools:\n");
    for (at, pool) in pools.iter().enumerate() {
        let method = match pool.method {
            Method::Wrr => "wrr".into(),
            Method::Fogroup(first) => format!("fogroup\n    first: {first}"),
            Method::Twrr => "twrr".to_owned(),
        };
        text.push_str(&format!("  p{at}:\n    lb_method: {method}\n    min_up: {}\n", pool.min_up));
        text.push_str(&format!("    up_threshold: {}%\n    members:\n", pool.threshold));
        for (part, weight) in &pool.items {
            match part {
                Part::Address(region, number) => {
                    text.push_str(&format!(
                        "    - {{ip: {}, weight: {weight}}}\n",
                        address(*region, *number)
                    ));
                }
                Part::Pool(below) => text.push_str(&format!("    - {{pool: p{below}, weight: {weight}}}\n")),
            }
        }
        text.push_str("    monitor: tcp\n    monitor_params: {port: 9}\n");
    }
    text
}

/// The reference: shares by walking down, one pool at a time.
struct Reference<'p> {
    pools: &'p [Drafted],
    /// By pool and address.
    states: &'p HashMap<(usize, Ipv4Addr), State>,
}

impl Reference<'_> {
    fn counts(&self, pool: usize) -> bool {
        let (mut count, mut up, mut all) = (0, 0, 0);
        for (part, weight) in &self.pools[pool].items {
            let is_up = match part {
                Part::Address(region, number) => self.states[&(pool, address(*region, *number))] == State::Up,
                Part::Pool(below) => self.counts(*below),
            };
            all += weight;
            if is_up {
                (count, up) = (count + 1, up + weight);
            }
        }
        count >= self.pools[pool].min_up && up * 100 >= all * u32::from(self.pools[pool].threshold)
    }

    fn regions(&self, part: Part) -> HashSet<u8> {
        match part {
            Part::Address(region, _) => HashSet::from([region]),
            Part::Pool(below) => {
                self.pools[below].items.iter().flat_map(|(part, _)| self.regions(*part)).collect()
            }
        }
    }

    /// Of a pool below another with `strict`.
    fn shares_below(
        &self,
        pool: usize,
        client: Option<u8>,
        state: State,
        strict: bool,
    ) -> BTreeMap<Ipv4Addr, f64> {
        if strict && !self.counts(pool) {
            return BTreeMap::new();
        }
        self.shares(pool, client, state, strict)
    }

    fn shares(&self, pool: usize, client: Option<u8>, state: State, strict: bool) -> BTreeMap<Ipv4Addr, f64> {
        let mut open: Vec<(Part, u32, BTreeMap<Ipv4Addr, f64>)> = Vec::new();
        for (part, weight) in &self.pools[pool].items {
            let below = match part {
                Part::Address(region, number) => {
                    let address = address(*region, *number);
                    let is_there = self.states[&(pool, address)] == state;
                    is_there.then_some((address, 1.0)).into_iter().collect()
                }
                Part::Pool(below) => self.shares_below(*below, client, state, strict),
            };
            if !below.is_empty() {
                open.push((*part, *weight, below));
            }
        }
        match (self.pools[pool].method, client) {
            (Method::Fogroup(first), _) => open.truncate(first.into()),
            (Method::Twrr, Some(client)) => {
                let is_own = |part: Part| self.regions(part) == HashSet::from([client]);
                if open.iter().any(|(part, ..)| is_own(*part)) {
                    open.retain(|(part, ..)| is_own(*part));
                }
            }
            (Method::Twrr, None) | (Method::Wrr, _) => {}
        }
        let total: u32 = open.iter().map(|(_, weight, _)| weight).sum();
        let mut shares = BTreeMap::new();
        for (_, weight, below) in open {
            for (address, share) in below {
                *shares.entry(address).or_insert(0.0) += share * f64::from(weight) / f64::from(total);
            }
        }
        shares
    }

    fn answer(&self, pool: usize, client: Option<u8>) -> (Source, BTreeMap<Ipv4Addr, f64>) {
        for (state, strict, source) in [
            (State::Up, true, Source::Up),
            (State::Up, false, Source::Up),
            (State::Unknown, false, Source::Unknown),
        ] {
            let shares = self.shares(pool, client, state, strict);
            if !shares.is_empty() {
                return (source, shares);
            }
        }
        (Source::Fallback, BTreeMap::new())
    }
}

/// A configuration compiled, with states written as the keeper writes them.
struct Compiled {
    snapshot: Snapshot,
    table: RotationTable,
}

impl Compiled {
    fn new(text: &str, state_of: impl Fn(usize, Ipv4Addr) -> State) -> Compiled {
        let config = load_str("f", text).unwrap_or_else(|report| panic!("{report}\n{text}")).config;
        let snapshot = compile(&config, 1);
        for (id, pool) in config.pools.iter().enumerate() {
            let word = |(at, member): (usize, &steerd::config::model::Member)| {
                let ip = match member.ip {
                    std::net::IpAddr::V4(ip) => ip,
                    std::net::IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
                };
                (at, Word::new(state_of(pool.origin(id, at), ip), 1))
            };
            snapshot.health.write(id, pool.members.iter().enumerate().map(word));
        }
        let table = RotationTable::new(&snapshot.pools, 7);
        Compiled { snapshot, table }
    }

    fn scope(&self, pool: usize, client: Option<u8>) -> usize {
        client.map_or(0, |region| self.snapshot.pools[pool].v4.preferences.scope_of(RegionId(region.into())))
    }

    fn shares(&mut self, pool: usize, client: Option<u8>) -> (Source, BTreeMap<Ipv4Addr, f64>) {
        let scope = self.scope(pool, client);
        let family = &self.snapshot.pools[pool].v4;
        let foretold = self.table.foretell(&self.snapshot.health, family, scope, false);
        let address = |candidate: u16| {
            let record = &family.records[usize::from(candidate) * 16 + 12..];
            Ipv4Addr::new(record[0], record[1], record[2], record[3])
        };
        let total = f64::from(foretold.total);
        let shares = foretold.shares.iter().map(|(who, part)| (address(*who), f64::from(*part) / total));
        (foretold.source, shares.collect())
    }

    /// The distribution of answers, each of one address.
    fn drawn(&mut self, pool: usize, client: Option<u8>) -> BTreeMap<Ipv4Addr, f64> {
        let scope = self.scope(pool, client);
        let mut counts = BTreeMap::new();
        for _ in 0..DRAWS {
            let mut record = [0; 28];
            let family = &self.snapshot.pools[pool].v4;
            self.table.draw(&self.snapshot.health, family, scope, Ttl::fixed(5), &mut record);
            *counts.entry(Ipv4Addr::new(record[12], record[13], record[14], record[15])).or_insert(0) += 1;
        }
        counts.into_iter().map(|(who, count)| (who, f64::from(count) / DRAWS as f64)).collect()
    }
}

fn largest_error(found: &BTreeMap<Ipv4Addr, f64>, theory: &BTreeMap<Ipv4Addr, f64>) -> f64 {
    let who: HashSet<&Ipv4Addr> = found.keys().chain(theory.keys()).collect();
    let of = |shares: &BTreeMap<Ipv4Addr, f64>, who| shares.get(who).copied().unwrap_or(0.0);
    who.into_iter().map(|who| (of(found, who) - of(theory, who)).abs()).fold(0.0, f64::max)
}

/// Place, then failover, then weight: what is made of geography, failover and weights elsewhere.
fn three_deep() -> Vec<Drafted> {
    let of =
        |method, items: &[(Part, u32)]| Drafted { method, items: items.to_vec(), min_up: 1, threshold: 1 };
    let rows = |region, first: u8| -> Vec<(Part, u32)> {
        (0..3).map(|at| (Part::Address(region, first + at), u32::from(at) + 1)).collect()
    };
    vec![
        of(Method::Twrr, &[(Part::Pool(1), 2), (Part::Pool(2), 1)]),
        of(Method::Fogroup(1), &[(Part::Pool(3), 1), (Part::Pool(4), 1)]),
        of(Method::Fogroup(1), &[(Part::Pool(5), 1), (Part::Pool(6), 1)]),
        of(Method::Wrr, &rows(0, 1)),
        Drafted { min_up: 2, ..of(Method::Wrr, &rows(0, 11)) },
        of(Method::Wrr, &rows(1, 1)),
        of(Method::Wrr, &rows(1, 11)),
    ]
}

#[test]
fn draws_of_a_tree_of_three_levels_follow_place_failover_and_weight() {
    let pools = three_deep();
    let text = text_of(&pools);
    let down_in = |down: &'static [u8]| {
        move |_: usize, ip: Ipv4Addr| match ip.octets() {
            [_, 0, _, number] if down.contains(&number) => State::Down,
            _ => State::Up,
        }
    };
    for down in [&[][..], &[2], &[1, 2, 3], &[1, 2, 3, 11], &[1, 2, 3, 11, 12], &[1, 2, 3, 11, 12, 13]] {
        let mut states = HashMap::new();
        for (at, pool) in pools.iter().enumerate() {
            for (part, _) in &pool.items {
                if let Part::Address(region, number) = part {
                    let ip = address(*region, *number);
                    states.insert((at, ip), down_in(down)(at, ip));
                }
            }
        }
        let reference = Reference { pools: &pools, states: &states };
        let mut compiled = Compiled::new(&text, down_in(down));
        for client in [None, Some(0), Some(1), Some(2)] {
            let (source, theory) = reference.answer(0, client);
            assert_eq!(source, Source::Up);
            let error = largest_error(&compiled.drawn(0, client), &theory);
            eprintln!("down {down:?}, client {client:?}: {} members, error {error:.6}", theory.len());
            assert!(error < 0.0001, "{error} {theory:?}");
        }
    }
}

fn drafts() -> impl Strategy<Value = Vec<Drafted>> {
    let item = (any::<bool>(), 0..REGIONS, 1u8..6, any::<prop::sample::Index>(), 1u32..20);
    let method = prop_oneof![Just(Method::Wrr), (1u16..4).prop_map(Method::Fogroup), Just(Method::Twrr)];
    let pool = (method, prop::collection::vec(item, 1..6), 1u16..3, 1u8..60);
    prop::collection::vec(pool, 1..7).prop_map(|pools| {
        let count = pools.len();
        let draft = |(at, (method, items, min_up, threshold)): (usize, (Method, Vec<_>, u16, u8))| {
            let mut seen = HashSet::new();
            let part =
                |(is_pool, region, number, below, weight): (bool, u8, u8, prop::sample::Index, u32)| {
                    let behind = count - at - 1;
                    let part = match is_pool && behind > 0 {
                        true => Part::Pool(at + 1 + below.index(behind)),
                        false => Part::Address(region, number),
                    };
                    seen.insert(part).then_some((part, weight))
                };
            Drafted { method, items: items.into_iter().filter_map(part).collect(), min_up, threshold }
        };
        pools.into_iter().enumerate().map(draft).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]
    #[test]
    fn shares_are_those_of_walking_down(pools in drafts(), seeds in prop::collection::vec(0u8..5, 64)) {
        let mut states = HashMap::new();
        for (at, pool) in pools.iter().enumerate() {
            for (part, _) in &pool.items {
                if let Part::Address(region, number) = part {
                    let seed = seeds[(at * 17 + usize::from(*region) * 5 + usize::from(*number)) % 64];
                    let state = [State::Up, State::Up, State::Down, State::Down, State::Unknown][usize::from(seed)];
                    states.insert((at, address(*region, *number)), state);
                }
            }
        }
        let reference = Reference { pools: &pools, states: &states };
        let mut compiled = Compiled::new(&text_of(&pools), |pool, ip| states[&(pool, ip)]);
        for (pool, drafted) in pools.iter().enumerate() {
            if !drafted.items.iter().any(|(part, _)| matches!(part, Part::Pool(_))) {
                continue;
            }
            for client in [None, Some(0), Some(1), Some(2)] {
                let (source, theory) = reference.answer(pool, client);
                let (found_source, found) = compiled.shares(pool, client);
                prop_assert_eq!(source, found_source);
                if source != Source::Fallback {
                    prop_assert!(largest_error(&found, &theory) < 1e-6, "{:?} {:?}", found, theory);
                }
            }
        }
    }
}

#[test]
fn an_address_of_two_pools_is_answered_once() {
    let text = "globalnames: {n.example: top}\npools:\n  top: {lb_method: wrr, max_addrs_returned: 3, members: [{pool: a}, {pool: b}]}\n  \
                a: {lb_method: wrr, members: [192.0.2.1, 192.0.2.2], monitor: tcp, monitor_params: {port: 1}}\n  \
                b: {lb_method: wrr, members: [192.0.2.2, 192.0.2.3], monitor: tcp, monitor_params: {port: 2}}\n";
    let mut compiled = Compiled::new(text, |_, _| State::Up);
    let (_, shares) = compiled.shares(0, None);
    let expected = BTreeMap::from([
        (Ipv4Addr::new(192, 0, 2, 1), 0.25),
        (Ipv4Addr::new(192, 0, 2, 2), 0.5),
        (Ipv4Addr::new(192, 0, 2, 3), 0.25),
    ]);
    assert_eq!(shares, expected);
    // One monitor fails it, the other does not: half of it is left.
    let mut compiled = Compiled::new(text, |pool, ip| match (pool, ip.octets()[3]) {
        (1, 2) => State::Down,
        _ => State::Up,
    });
    assert_eq!(compiled.shares(0, None).1[&Ipv4Addr::new(192, 0, 2, 2)], 0.25);
}

#[test]
fn pools_follow_what_becomes_of_members_of_their_pools() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().to_str().unwrap();
    let addresses = [Ipv4Addr::new(127, 78, 0, 1), Ipv4Addr::new(127, 78, 0, 2)];
    let mut backends = Backend::start_all(&addresses, Manner::Mute);
    let port = backends[0].port();
    let text = config(
        &format!("state_dir: {folder}"),
        &format!(
            "globalnames: {{www.test: top}}
pools:
  top: {{lb_method: fogroup, fallback: nodata, members: [{{pool: near}}, {{pool: far}}]}}
  near:
    lb_method: wrr
    min_up: 2
    members: {{127.78.0.1: {{name: one}}, 127.78.0.2: {{name: two}}}}
    monitor: tcp
    monitor_params: {{port: {port}, interval: 100ms, timeout: 100ms, retries: 0}}
  far: {{lb_method: wrr, members: [{{ip: 127.78.0.3, name: three}}], monitor: forced, monitor_params: {{status: up}}}}
"
        ),
    );
    let server = Server::start(&text);
    let pair = |server: &Server| {
        let mut both = [server.addresses("www.test"), server.addresses("www.test")].concat();
        both.sort();
        both
    };
    wait_until("both near members answer", || pair(&server) == ["127.78.0.1", "127.78.0.2"]);
    let up = |pool: &str| server.metric(&format!("steerd_pool_up{{pool=\"{pool}\"}}"));
    assert_eq!((up("top"), up("near")), (1.0, 1.0));

    backends[0].close();
    wait_until("one of two is not enough", || pair(&server) == ["127.78.0.3", "127.78.0.3"]);
    assert_eq!((up("top"), up("near")), (1.0, 0.0));

    // What is decided over a member of `far` holds wherever that is a member.
    let run = |arguments: &[&str]| {
        let output = run_steerd(&[arguments, &["--state-dir", folder]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(&["override", "add", "down", "far/three"]).contains("(2 members)"));
    wait_until("too few are better than none", || pair(&server) == ["127.78.0.2", "127.78.0.2"]);
    assert_eq!((up("top"), up("near")), (0.0, 0.0));

    backends[0].reopen();
    wait_until("both are back", || pair(&server) == ["127.78.0.1", "127.78.0.2"]);
    let told = run_steerd(&["why", "www.test", "--live", "--state-dir", folder]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("pool near: up, 100.00 % of the load; wrr"), "{told}");
    assert!(told.contains("pool far: not up, nobody in it can be drawn"), "{told}");
    assert!(told.contains("near/one"), "{told}");
}

#[test]
fn what_does_not_count_is_as_if_not_listed() {
    let text = "globalnames: {n.example: top, m.example: order}\npools:\n  top: {lb_method: wrr, members: [{pool: a}, {pool: b, enabled: off}, {pool: c, weight: 0}]}\n  \
                a: {lb_method: wrr, members: [10.0.0.1], monitor: tcp, monitor_params: {port: 1}}\n  \
                b: {lb_method: wrr, members: [10.0.0.2, \"::2\"], monitor: tcp, monitor_params: {port: 1}}\n  \
                c: {lb_method: wrr, members: [10.0.0.3], monitor: tcp, monitor_params: {port: 1}}\n  \
                order: {lb_method: fogroup, monitor: tcp, monitor_params: {port: 2}, members: [{ip: 10.0.1.1, weight: 0}, \
                {ip: 10.0.1.2, weight: 10, capacity: 20}, {ip: 10.0.1.3, weight: 10}]}\n";
    // Nobody is up, so the fallback is any member of weight above 0.
    let mut compiled = Compiled::new(text, |_, _| State::Down);
    let (source, shares) = compiled.shares(0, None);
    assert_eq!((source, shares), (Source::Fallback, BTreeMap::from([(Ipv4Addr::new(10, 0, 0, 1), 1.0)])));
    assert!(!compiled.snapshot.pools[0].v6.has_members);
    // The first one that counts serves all.
    let mut compiled = Compiled::new(text, |_, _| State::Up);
    let order = compiled.snapshot.pools.len() - 1;
    assert_eq!(compiled.shares(order, None).1, BTreeMap::from([(Ipv4Addr::new(10, 0, 1, 2), 1.0)]));
}
