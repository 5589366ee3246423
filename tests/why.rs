//! `steerd why` says what `respond` does: held against it for random configurations, states and clients, and as a command.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;
use steerd::config::compile::compile;
use steerd::config::load_str;
use steerd::control::why::{Asked, Event, explain};
use steerd::dataplane::respond::{Outcome, WorkerState, respond};
use steerd::state::health_table::{Flags, State, Word};
use steerd::state::publish::Generation;
use steerd::wire::message::{HEADER_OCTETS, Header, Rtype};
use steerd::wire::name::skip;
use steerd::wire::record::Record;

mod common;

use common::numbers::Numbers;
use common::{Server, config as config_text, run_steerd};

const REGIONS: u64 = 4;

/// One pool of whatever kind behind `www.example.com`, perhaps of other pools, an alias to it in a zone of its own, and a wildcard.
fn config(numbers: &mut Numbers) -> String {
    let below: &[&str] = if numbers.is(3) { &["near", "far"] } else { &[] };
    let mut pools = pool(numbers, "web", below);
    below.iter().for_each(|name| pools.push_str(&pool(numbers, name, &[])));
    let ttl = if numbers.is(2) { "30".to_owned() } else { "{max: 60, min: 3}".to_owned() };
    let mut topology = String::new();
    for region in 0..REGIONS {
        let prefixes = format!("[10.{region}.0.0/16, '2001:db8:{region}::/48']");
        write!(topology, "r{region}: {{prefixes: {prefixes}, coordinates: [{}, 7]}}, ", 10 * region).unwrap();
    }
    format!(
        "globalnames:\n  www.example.com: {{pool: web, ttl: {ttl}}}\n  '*.apps.example.com': {{pool: web, ttl: {ttl}}}\n\
         topology: {{{topology}}}\nzones: {{example.com: {{ns: [ns.example.net]}}}}\npools:\n{pools}"
    )
}

/// A pool of addresses, and of these pools.
fn pool(numbers: &mut Numbers, name: &str, below: &[&str]) -> String {
    let count = u64::from(below.is_empty()) + numbers.below(10);
    let is_flat = name == "web" && below.is_empty();
    let methods: &[&str] = &["wrr", "twrr", "fogroup", "random", "nearest", "hash"];
    let method = numbers.of(if is_flat { methods } else { &methods[..5] });
    let mut pool = format!("  {name}:\n    lb_method: {method}\n");
    let mut line = |text: String| writeln!(pool, "    {text}").unwrap();
    match method {
        "fogroup" => line(format!("first: {}", 1 + numbers.below(4))),
        "twrr" if numbers.is(2) => {
            let mut order: Vec<String> =
                (0..numbers.below(3)).map(|at| format!("r{}", (at + numbers.below(2)) % REGIONS)).collect();
            order.dedup();
            if order.is_empty() || numbers.is(2) {
                order.push("anywhere".into());
            }
            line(format!("next: [{}]", order.join(", ")));
        }
        _ => {}
    }
    let fallback = numbers.of(&["any", "refuse", "nodata", "[203.0.113.1, 203.0.113.2, '2001:db8:ff::1']"]);
    line(format!("fallback: {fallback}"));
    line(format!("max_addrs_returned: {}", 1 + numbers.below(4)));
    line(format!("min_up: {}", 1 + numbers.below(2)));
    line("monitor: forced".into());
    line("monitor_params: {status: up}".into());
    line("members:".into());
    for of in below {
        line(format!("- {{pool: {of}, weight: {}, enabled: {}}}", numbers.of(&[1, 1, 2, 5]), !numbers.is(8)));
    }
    for index in 0..count {
        let region = numbers.below(REGIONS + 1);
        let address = match numbers.is(4) {
            true => format!("'2001:db8:{region}::{}'", index + 1),
            false => format!("10.{region}.0.{}", index + 1),
        };
        let (weight, enabled) = (numbers.of(&[0, 1, 1, 2, 3, 10, 65_535]), !numbers.is(8));
        let capacity =
            if numbers.is(3) { format!(", capacity: {}", 1 + numbers.below(12)) } else { String::new() };
        line(format!("- {{ip: {address}, name: m{index}, weight: {weight}, enabled: {enabled}{capacity}}}"));
    }
    pool
}

fn word(numbers: &mut Numbers) -> Word {
    let state = numbers.of(&[State::Up, State::Up, State::Down, State::Unknown]);
    let flags = Flags::FROZEN.when(numbers.is(12)).and(Flags::FORCED.when(numbers.is(8)));
    let weight = if numbers.is(6) { Some(numbers.of(&[0, 1, 5, 1000])) } else { None };
    Word::new(state, numbers.below(2000) as u32)
        .with_flags(flags)
        .with_permille(numbers.of(&[1000, 1000, 1000, 500, 0]))
        .with_weight_override(weight)
        .with_flip_secs(numbers.below(100) as u16)
}

fn address(numbers: &mut Numbers, is_v6: bool) -> IpAddr {
    let (region, last) = (numbers.below(REGIONS + 2) as u8, numbers.below(200) as u8);
    let near = numbers.below(8) as u8;
    match is_v6 {
        true => IpAddr::from([0x20, 1, 0xd, 0xb8, 0, region, near, 0, 0, 0, 0, 0, 0, 0, 0, last]),
        false => IpAddr::from([10, region, near, last]),
    }
}

/// Addresses and TTLs of the answer section.
fn answers(message: &[u8]) -> Vec<(IpAddr, u32)> {
    let header = Header::read(message).unwrap();
    let mut at = skip(message, HEADER_OCTETS).unwrap() + 4;
    let mut answers = Vec::new();
    for _ in 0..header.ancount {
        let record = Record::read(message, at).unwrap();
        at = record.end;
        match record.rtype {
            Rtype::A => {
                answers.push((IpAddr::from(*record.rdata.first_chunk::<4>().unwrap()), record.ttl));
            }
            Rtype::AAAA => {
                answers.push((IpAddr::from(*record.rdata.first_chunk::<16>().unwrap()), record.ttl));
            }
            _ => {}
        }
    }
    answers
}

#[test]
fn why_agrees_with_the_wire_for_ten_thousand_random_configurations_states_and_clients() {
    const CONFIGS: u64 = 500;
    const QUERIES: u64 = 20;
    let mut numbers = Numbers(7);
    let (mut answered, mut several) = (0, 0);
    for round in 0..CONFIGS {
        let text = config(&mut numbers);
        let config = load_str("test.yaml", &text).unwrap_or_else(|report| panic!("{report}\n{text}")).config;
        let snapshot = Arc::new(compile(&config, round + 1));
        let seed = numbers.below(1 << 32) as u32;
        // Two workers that stand at the same place: one is asked why, the other asked.
        let mut explained = Generation::first(snapshot.clone(), seed);
        let mut asked_next = Generation::first(snapshot.clone(), seed);
        let mut worker = WorkerState::default();
        let members = config.pools[0].members.len();
        for _ in 0..QUERIES {
            if numbers.is(2) {
                let words: Vec<Word> = (0..members).map(|_| word(&mut numbers)).collect();
                snapshot.health.write(0, words.into_iter().enumerate());
            }
            let name = numbers.of(&["www.example.com", "WWW.example.com", "x.y.apps.example.com"]);
            let is_v6 = numbers.is(3);
            let client = address(&mut numbers, is_v6);
            let mut asked = Asked::new(name, numbers.of(&["A", "A", "AAAA"]), client).unwrap();
            // Whatever the limit of a datagram: what is cut off is another matter.
            asked.is_tcp = true;
            if numbers.is(2) {
                let is_v6 = numbers.is(3);
                let net = ipnet::IpNet::from(address(&mut numbers, is_v6));
                asked.subnet = Some(ipnet::IpNet::new(net.addr(), numbers.of(&[0, 16, 20, 24, 32])).unwrap());
            }
            let explanation = explain(&config, &mut explained, &asked, &|_, _| None, 3000);
            let mut reply = [0; 65_535];
            let outcome = respond(
                &mut asked_next,
                &mut worker,
                client,
                asked.transport(),
                &asked.to_octets(),
                &mut reply,
            );
            let Outcome::Reply(len) = outcome else { panic!("no reply") };
            let on_the_wire = answers(&reply[..len]);
            let addresses: Vec<IpAddr> = on_the_wire.iter().map(|(address, _)| *address).collect();
            assert_eq!(explanation.addresses(), addresses, "round {round}: {explanation}\n{text}");
            let told: Vec<IpAddr> =
                explanation.reply.iter().flat_map(|r| &r.sections[0]).filter_map(|r| r.address).collect();
            assert_eq!(told, addresses, "round {round}: what why itself answered");
            let pool = explanation.events.iter().find_map(|event| match event {
                Event::Pool(pool) => Some(pool),
                _ => None,
            });
            if let Some(pool) = pool {
                for (_, ttl) in &on_the_wire {
                    assert_eq!(*ttl, pool.ttl.told_secs, "round {round}: {explanation}\n{text}");
                }
                // Whoever is drawn has a share, and whoever has one may be drawn.
                for (_, address) in &pool.answer {
                    // Several pools of a tree may have the same address.
                    let mut rows = pool.members.iter().filter(|row| row.address == *address);
                    assert!(rows.any(|row| row.share.is_some()), "round {round}: {explanation}\n{text}");
                }
            }
            // Both forms can be told of anything.
            assert!(explanation.to_json()["steps"].as_array().is_some_and(|steps| !steps.is_empty()));
            answered += u32::from(!addresses.is_empty());
            several += u32::from(addresses.len() > 1);
        }
    }
    assert!(answered > 5000 && several > 2000, "{answered} answers with addresses, {several} with several");
}

const ZONE: &str = "server: {state_dir: state}
globalnames: {www.test: {pool: web, ttl: 30}}
topology: {dc1: 192.0.2.0/25, dc2: 192.0.2.128/25}
pools:
  web:
    lb_method: twrr
    members: {192.0.2.1: {name: one, weight: 3}, 192.0.2.2: {name: two}, 192.0.2.129: {name: far}}
    monitor: tcp
    monitor_params: {port: 80}
";

/// What the command prints about `www.test`; panics where it fails.
fn why(text: &str, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("steerd.yaml");
    std::fs::write(&file, text).unwrap();
    let output = run_steerd(&[&["why", "-c", file.to_str().unwrap()], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn steps_are_told_in_order_for_people() {
    let arguments =
        ["www.test", "--ecs", "192.0.2.130/32", "--assume", "far=down", "--assume", "192.0.2.2=unknown"];
    let told = why(ZONE, &arguments);
    let told = told.split_once("\n\n").unwrap().1;
    assert_eq!(
        told,
        "1. www.test. exists, in zone www.test.
2. client 192.0.2.130 (of the client subnet): region dc2, as all of its /25
3. pool web, A: twrr: weighted rotation by region; at most 1 addresses, fallback any
   looked for in dc2, then anywhere: nobody there, so anywhere
      member  address      region  state    for  weight  share  why
   *  one     192.0.2.1    dc1     up       -    3       1/1    can be drawn; taken for up
      two     192.0.2.2    dc1     unknown  -    1       -      no verdict yet, and others are up; assumed
      far     192.0.2.129  dc2     down     -    1       -      down; assumed
   drawn from members that are up: one (192.0.2.1), at position 0 of 1
   TTL 30: fixed

reply: NOERROR, authoritative, for all of the subnet's /25, 65 octets
  answer: www.test. 30 IN A 192.0.2.1
"
    );
}

#[test]
fn json_has_the_same_for_programs() {
    let told: Value =
        serde_json::from_str(&why(ZONE, &["www.test", "--client", "192.0.2.9", "--json"])).unwrap();
    let draw = told["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&draw["step"], &draw["pool"], &draw["source"]),
        (&"draw".into(), &"web".into(), &"up".into())
    );
    assert_eq!(draw["members"].as_array().unwrap().len(), 3);
    assert_eq!(draw["drawn"][0]["address"], told["reply"]["answer"][0]["data"]);
    assert_eq!(told["steps"][1]["region"], "dc1");
}

#[test]
fn names_without_a_pool_are_explained_too() {
    for (arguments, expected) in [
        (&["nowhere.test"][..], "is of no zone and no globalname of this server"),
        (&["www.test", "TXT"], "it has no such records: NODATA"),
        (&["www.test", "AAAA"], "pool web lists no enabled member of this family"),
        (&["www.test", "ANY"], "ANY is answered with as little as may be"),
        (&["www.test", "AXFR"], "transfers are not offered"),
    ] {
        let told = why(ZONE, arguments);
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
}

#[test]
fn every_name_of_the_full_configuration_is_explained() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/full.yaml");
    let config = steerd::config::load(file.as_ref(), None).unwrap().config;
    for global in config.globalnames.iter() {
        use steerd::config::model::Extra;
        let rtype = match global.extra {
            None | Some(Extra::Service(_)) => "A",
            Some(Extra::Srv { .. }) => "SRV",
            Some(Extra::Mx { .. }) => "MX",
        };
        let name = global.name.to_string();
        let output = run_steerd(&["why", "-c", file, &name, rtype, "--state-dir", "/nonexistent"]);
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && told.contains("\n3. pool "), "{}: {told}", global.name);
    }
}

#[test]
fn what_cannot_be_asked_says_what_can() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("steerd.yaml");
    std::fs::write(&file, ZONE).unwrap();
    for (arguments, code, expected) in [
        (&["www..test"][..], 1, "is no name"),
        (&["www.test", "NONSENSE"], 1, "is no record type"),
        (&["www.test", "--ecs", "x"], 1, "is no prefix"),
        (&["www.test", "--assume", "three=down"], 1, "`three` is no member"),
        (&["www.test", "--assume", "one=off"], 2, "accepted are MEMBER=up"),
        (&["www.test", "--client", "one"], 2, "invalid IP address"),
    ] {
        let output = run_steerd(&[&["why", "-c", file.to_str().unwrap()], arguments].concat());
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
    }
}

#[test]
fn running_server_explains_what_is_in_force_after_overrides_and_reloads() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().to_str().unwrap();
    let text = |members: &str| {
        config_text(
            &format!("state_dir: {folder}"),
            &format!(
                "globalnames: {{www.test: web}}
pools: {{web: {{lb_method: fogroup, members: {members}, monitor: forced, monitor_params: {{status: up}}}}}}
"
            ),
        )
    };
    let ask = |arguments: &[&str]| {
        let output = run_steerd(&[&["why", "www.test", "--state-dir", folder], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let server = Server::start(&text("{127.77.0.1: {name: one}, 127.77.0.2: {name: two}}"));
    let told = ask(&[]);
    assert!(told.contains("configuration generation 1\n"), "{told}");
    assert!(told.contains("drawn from members that are up: one (127.77.0.1)"), "{told}");
    assert!(run_steerd(&["override", "add", "down", "one", "--state-dir", folder]).status.success());
    let told: Value = serde_json::from_str(&ask(&["--json"])).unwrap();
    let draw = told["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(draw["drawn"][0]["name"], "two");
    assert_eq!(
        (&draw["members"][0]["overridden"], &draw["members"][0]["state"]),
        (&true.into(), &"down".into())
    );
    assert_eq!(server.addresses("www.test"), ["127.77.0.2"]);
    server.reload(&text("{127.77.0.1: {name: one}, 127.77.0.3: {name: three}}"));
    let told = ask(&[]);
    assert!(
        told.contains("configuration generation 2\n") && told.contains("up: three (127.77.0.3)"),
        "{told}"
    );
    assert!(server.stop().success());
    // Without the server the override still counts.
    let file = state.path().join("steerd.yaml");
    std::fs::write(&file, text("{127.77.0.1: {name: one}, 127.77.0.3: {name: three}}")).unwrap();
    let output = run_steerd(&["why", "www.test", "-c", file.to_str().unwrap()]);
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("1 overrides in force") && told.contains("up: three (127.77.0.3)"), "{told}");
    let refused = run_steerd(&["why", "www.test", "--state-dir", folder]);
    assert!(String::from_utf8(refused.stderr).unwrap().contains("is steerd running"));
}
