//! `steerd plan`: shares, shifts and loads against numbers worked out by hand and against sampled answers, and as a command.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::Output;

use serde_json::Value;
use steerd::config::load_str;
use steerd::control::plan::compare::{Comparison, compare};
use steerd::control::plan::side::{Answer, Side, place_of};
use steerd::control::why::Asked;
use steerd::dataplane::respond::{Outcome, WorkerState, respond};
use steerd::state::pool::Family;
use steerd::wire::message::{HEADER_OCTETS, Header, Rtype};
use steerd::wire::name::skip;
use steerd::wire::record::Record;

mod common;

use common::numbers::Numbers;
use common::{Server, config as config_text, run_steerd};

const REGIONS: u64 = 3;

/// Two pools of whatever kind behind three names.
fn random_config(numbers: &mut Numbers) -> String {
    let mut text = String::from("server: {ns: [ns.example.net]}\ntopology:\n");
    for region in 0..REGIONS {
        let more = numbers.below(3);
        writeln!(
            text,
            "  r{region}: [10.{region}.0.0/16, '2001:db8:{region}::/48', 10.{}.{more}.0/24]",
            region + 9
        )
        .unwrap();
    }
    let pool = |numbers: &mut Numbers| numbers.of(&["web", "api"]);
    let names = [pool(numbers), pool(numbers), pool(numbers)];
    writeln!(
        text,
        "globalnames: {{a.example: {}, b.example: {}, c.example: {}}}",
        names[0], names[1], names[2]
    )
    .unwrap();
    text.push_str("pools:\n");
    for name in ["web", "api"] {
        let method = numbers.of(&["wrr", "twrr", "fogroup", "random", "hash"]);
        writeln!(
            text,
            "  {name}:\n    lb_method: {method}\n    monitor: forced\n    monitor_params: {{status: up}}"
        )
        .unwrap();
        let fallback = numbers.of(&["any", "refuse", "nodata", "[203.0.113.1, 203.0.113.2]"]);
        writeln!(text, "    fallback: {fallback}\n    max_addrs_returned: {}", 1 + numbers.below(3)).unwrap();
        if method == "fogroup" {
            writeln!(text, "    first: {}", 1 + numbers.below(3)).unwrap();
        }
        if method == "twrr" && numbers.below(2) == 0 {
            text.push_str("    next: [r1]\n");
        }
        text.push_str("    members:\n");
        for index in 0..1 + numbers.below(5) {
            let region = numbers.below(REGIONS + 1);
            let address = match numbers.below(4) {
                0 => format!("'2001:db8:{region}::{}'", index + 1),
                _ => format!("10.{region}.0.{}", index + 1),
            };
            let weight = numbers.of(&[0, 1, 1, 2, 3, 10]);
            writeln!(text, "      {address}: {{name: m{index}, weight: {weight}}}").unwrap();
        }
    }
    text
}

fn side(text: &str) -> Side {
    let config = load_str("test.yaml", text).unwrap_or_else(|report| panic!("{report}\n{text}")).config;
    Side::new(config, &[], false)
}

fn compared(old: &str, new: &str) -> Comparison {
    compare(&mut side(old), &mut side(new), None, 10).unwrap()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

#[test]
fn shares_sum_up_and_shifts_are_symmetric_for_random_changes() {
    let mut numbers = Numbers(11);
    let (mut shifted, mut empty) = (0, 0);
    for round in 0..120 {
        let (old, new) = (random_config(&mut numbers), random_config(&mut numbers));
        let (there, back) = (compared(&old, &new), compared(&new, &old));
        for unit in &there.units {
            for at in 0..2 {
                let sum: f64 = unit.rows.iter().map(|row| row.shares[at]).sum();
                let nobody: f64 =
                    unit.without_members.0.iter().filter(|c| is_empty(c.answers[at])).map(|c| c.weight).sum();
                assert!(close(sum + nobody, 1.0), "round {round}: {sum} + {nobody}\n{there}\n{old}\n{new}");
                empty += u32::from(nobody > 0.0);
                let regions: f64 = unit.regions.iter().map(|(_, shares)| shares[at]).sum();
                assert!(close(regions, sum), "round {round}");
            }
            let other = back.units.iter().find(|o| (&o.pool, o.family) == (&unit.pool, unit.family)).unwrap();
            let (change, other) = (unit.change.unwrap(), other.change.unwrap());
            assert!(
                close(change.shift, other.shift) && close(change.moved, other.moved),
                "round {round}: {there}{back}"
            );
            assert!(
                change.shift <= change.moved + 1e-9 && change.moved <= 1.0 + 1e-9,
                "round {round}: {change:?}"
            );
            shifted += u32::from(change.shift > 0.01);
        }
        assert!(close(there.whole.shift, back.whole.shift), "round {round}");
        assert!(compared(&old, &old).is_unchanged(), "round {round}: {old}");
        // The same text for the same input: nothing hangs on the order of a hash table.
        assert_eq!(there.to_string(), compared(&old, &new).to_string());
    }
    assert!(shifted > 100 && empty > 20, "{shifted} shifts, {empty} places without anybody");
}

fn is_empty(answer: Answer) -> bool {
    matches!(answer, Answer::NoData | Answer::Refused | Answer::NoPool)
}

/// The first address of an answer.
fn first_address(message: &[u8]) -> Option<IpAddr> {
    let header = Header::read(message)?;
    let at = skip(message, HEADER_OCTETS).ok()? + 4;
    if header.ancount == 0 {
        return None;
    }
    let record = Record::read(message, at).ok()?;
    match record.rtype {
        Rtype::A => Some(IpAddr::from(*record.rdata.first_chunk::<4>()?)),
        Rtype::AAAA => Some(IpAddr::from(*record.rdata.first_chunk::<16>()?)),
        _ => None,
    }
}

#[test]
fn shares_are_those_of_sampled_answers() {
    const DRAWS: u32 = 10_000;
    let mut numbers = Numbers(23);
    let (mut worst, mut cases) = (0.0f64, 0);
    for round in 0..60 {
        let text = random_config(&mut numbers);
        let mut side = side(&text);
        let bound = side.config.globalnames.iter().next().unwrap();
        let (pool, name) = (bound.pool as usize, bound.name.to_string());
        let family = numbers.of(&[Family::V4, Family::V6]);
        let rtype = if family == Family::V4 { "A" } else { "AAAA" };
        let client = IpAddr::from([10, numbers.below(REGIONS + 1) as u8, numbers.below(250) as u8, 7]);
        let asked = Asked::new(&name, rtype, client).unwrap();
        let kind = side.kind(pool, family);
        let place = match kind {
            steerd::control::plan::side::Kind::Hash(lens) => {
                steerd::state::hash_slots::finest_slot(client, lens) as u32
            }
            _ => place_of(side.lookup(client).region),
        };
        let shares = side.shares(pool, family, kind, place);
        let mut counts = std::collections::HashMap::new();
        let (mut worker, mut reply) = (WorkerState::default(), vec![0; 65_535]);
        for _ in 0..DRAWS {
            let outcome = respond(
                &mut side.generation,
                &mut worker,
                client,
                asked.transport(),
                &asked.to_octets(),
                &mut reply,
            );
            let Outcome::Reply(len) = outcome else { panic!("round {round}: no reply") };
            *counts.entry(first_address(&reply[..len])).or_insert(0u32) += 1;
        }
        if is_empty(shares.answer) {
            assert_eq!(counts.keys().collect::<Vec<_>>(), [&None], "round {round}: {text}");
            continue;
        }
        assert!(close(shares.of.iter().map(|(_, share)| share).sum(), 1.0), "round {round}");
        for (address, share) in &shares.of {
            let found = f64::from(counts.remove(&Some(*address)).unwrap_or(0)) / f64::from(DRAWS);
            worst = worst.max((found - share).abs());
            // Four standard deviations of chance at most; rotations are exact.
            assert!((found - share).abs() < 0.02, "round {round}: {address} {found} of {share}\n{text}");
        }
        assert!(counts.is_empty(), "round {round}: {counts:?}\n{text}");
        cases += 1;
    }
    assert!(cases > 30, "{cases}");
    println!(
        "{} draws, {cases} places with addresses: worst error of a share {:.3} %",
        60 * DRAWS,
        worst * 100.0
    );
}

struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Files {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Files(folder)
    }

    /// Runs `plan`; arguments that name a file of the folder are made paths.
    fn plan(&self, arguments: &[&str]) -> Output {
        let path = |argument: &&str| {
            let path = self.0.path().join(argument);
            if path.exists() { path.to_str().unwrap().to_owned() } else { (*argument).to_owned() }
        };
        let arguments: Vec<String> = arguments.iter().map(path).collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run_steerd(&[&["plan"], &arguments[..]].concat())
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.plan(&[arguments, &["--json"]].concat());
        assert!(output.status.code() != Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

const OLD: &str = "server: {ns: [ns.example.net]}
globalnames: {www.example.com: web, api.example.com: api}
topology: {dc1: [10.1.0.0/16], dc2: [10.2.0.0/16]}
pools:
  web:
    lb_method: twrr
    members: {10.1.0.1: {name: a, weight: 3, capacity: 4}, 10.1.0.2: {weight: 1}, 10.2.0.1: {name: c, weight: 4, capacity: 5}}
    monitor: forced
    monitor_params: {status: up}
  api:
    lb_method: wrr
    members: {10.1.0.9: {weight: 1}, 10.2.0.9: {weight: 1}, '2001:db8::9': }
    monitor: forced
    monitor_params: {status: up}
";

#[test]
fn golden_change_of_weights_and_regions() {
    // a and b change from 3 : 1 to 1 : 1, half of dc1 becomes dc2, api from 1 : 1 to 1 : 3.
    let new = OLD
        .replace("10.1.0.2: {weight: 1}", "10.1.0.2: {weight: 3}")
        .replace("dc2: [10.2.0.0/16]", "dc2: [10.2.0.0/16, 10.1.128.0/17]")
        .replace("10.2.0.9: {weight: 1}", "10.2.0.9: {weight: 3}");
    let files = Files::new(&[
        ("old.yaml", OLD),
        ("new.yaml", &new),
        (
            "clients.txt",
            "# who\n10.1.0.5 3 www.example.com\n10.1.200.0/24 1 www.example.com A\n10.9.0.0/16 4\n",
        ),
    ]);
    let told = files.json(&["old.yaml", "new.yaml", "--clients", "clients.txt"]);
    let web = &told["pools"][0];
    // Of the line without a name half is for www.example.com: 3 of dc1, 1 from dc1 to dc2, 2 outside, of 6.
    // Before: dc1 3 : 1 (4 of 6), outside 3 : 1 : 4 (2 of 6). After: dc1 1 : 1 (3 of 6), dc2 (1 of 6), outside 3 : 3 : 4.
    let share = |at: usize, when: &str| web["members"][at]["share"][when].as_f64().unwrap();
    let before =
        [4.0 / 6.0 * 0.75 + 2.0 / 6.0 * 0.375, 4.0 / 6.0 * 0.25 + 2.0 / 6.0 * 0.125, 2.0 / 6.0 * 0.5];
    let after = [3.0 / 6.0 * 0.5 + 0.1, 3.0 / 6.0 * 0.5 + 0.1, 1.0 / 6.0 + 2.0 / 6.0 * 0.4];
    for at in 0..3 {
        assert!((share(at, "before") - before[at]).abs() < 1e-6, "{at}: {web:#}");
        assert!((share(at, "after") - after[at]).abs() < 1e-6, "{at}: {web:#}");
    }
    assert!((web["shift"].as_f64().unwrap() - (before[0] - after[0])).abs() < 1e-6, "{web:#}");
    let worst = &web["clients"]["first"][0];
    assert_eq!((&worst["before"]["place"], &worst["after"]["place"]), (&"dc1".into(), &"dc2".into()));
    assert_eq!((&worst["shift"], &worst["example"]), (&1.0.into(), &"10.1.200.0/24".into()));
    // www.example.com: 4 by name and half of 4; api a quarter of 4 for A and AAAA each.
    assert_eq!(web["traffic"]["before"], 0.75);
    let api = &told["pools"][1];
    assert_eq!(
        (&api["type"], &api["shift"], &api["traffic"]["after"]),
        (&"A".into(), &0.25.into(), &0.125.into())
    );
    assert_eq!(told["pools"][2]["shift"], 0.0);
    assert_eq!(told["clients_outside_every_region"]["before"], 0.5);
    assert_eq!(told["prefixes_moved"]["count"], 1);
    assert_eq!(told["prefixes_moved"]["first"][0]["prefix"], "10.1.128.0/17");
    assert_eq!(told["prefixes_rescoped"]["first"][0]["prefix"], "10.1.0.0/17");
    assert_eq!(told["prefixes_rescoped"]["first"][0]["after"]["scope_len"], 17);
    let text = String::from_utf8(files.plan(&["old.yaml", "new.yaml"]).stdout).unwrap();
    for part in
        ["pool web (A): shift ", "10.1.128.0/17: dc1 -> dc2", "10.1.0.0/17: client-subnet scope /16 -> /17"]
    {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn exit_code_says_whether_a_threshold_is_passed() {
    let new = OLD.replace("10.2.0.9: {weight: 1}", "10.2.0.9: {weight: 3}");
    let files = Files::new(&[("old.yaml", OLD), ("new.yaml", &new), ("bad.yaml", "pools: 7\n")]);
    for (arguments, code, output, errors) in [
        (&["old.yaml", "old.yaml", "--max-shift", "0%"][..], 0, "no change\n", ""),
        (&["old.yaml", "new.yaml"], 0, "pool api (A): shift 25.00 %", ""),
        (&["old.yaml", "new.yaml", "--max-shift", "25%"], 0, "", ""),
        (
            &["old.yaml", "new.yaml", "--max-shift", "24.9"],
            3,
            "all traffic: shift 6.25 %",
            "pool api (A): a shift of 25.00 % is above --max-shift 24.9%",
        ),
        (
            &["old.yaml", "new.yaml", "--max-shift", "5%"],
            3,
            "",
            "all traffic: a shift of 6.25 % is above --max-shift 5%",
        ),
        (&["old.yaml", "bad.yaml"], 1, "", "the configuration is refused"),
        (&["old.yaml", "new.yaml", "--clients", "missing.txt"], 1, "", "missing.txt: cannot be read"),
        (&["old.yaml", "new.yaml", "--assume", "nobody=down"], 1, "", "`nobody` is no member"),
        (&["old.yaml"], 2, "", "<NEW>"),
        (&["old.yaml", "new.yaml", "--max-shift", "much"], 2, "", "accepted are 10%"),
        (&["--n-1", "old.yaml", "--max-load", "160%"], 0, "region dc1", ""),
        (&["--n-1", "old.yaml"], 3, "8/5 !", "one load is above --max-load 100%"),
        (&["--n-1", "old.yaml", "new.yaml"], 2, "", "cannot be used with"),
    ] {
        let told = files.plan(arguments);
        let (stdout, stderr) =
            (String::from_utf8(told.stdout).unwrap(), String::from_utf8(told.stderr).unwrap());
        assert_eq!(told.status.code(), Some(code), "{arguments:?}: {stdout}{stderr}");
        assert!(stdout.contains(output) && stderr.contains(errors), "{arguments:?}: {stdout}{stderr}");
    }
}

#[test]
fn golden_loads_of_single_failures() {
    let files = Files::new(&[("old.yaml", OLD)]);
    let told = files.json(&["--n-1", "old.yaml"]);
    let web = &told["pools"][0];
    assert_eq!((&web["demand"], &told["overloads"]), (&8.into(), &1.into()));
    // Demand 8 in equal thirds of dc1, dc2 and outside, which goes 3 : 1 : 4. a down: dc1 all to b, outside 1 : 4. c down: 3 : 1,
    // but a has room for 4.
    let third = 8.0 / 3.0;
    for (case, failed, loads) in [
        (0, "nobody", [3.0, 1.0, 4.0]),
        (1, "a", [0.0, third + third / 5.0, third + third * 4.0 / 5.0]),
        (2, "10.1.0.2", [third + third * 3.0 / 7.0, 0.0, third + third * 4.0 / 7.0]),
        (3, "c", [4.0, 4.0, 0.0]),
        (4, "dc1", [0.0, 0.0, 8.0]),
        (5, "dc2", [4.0, 4.0, 0.0]),
    ] {
        let found = &web["cases"][case];
        assert_eq!(found["failed"], failed);
        for (at, load) in loads.iter().enumerate() {
            assert!((found["loads"][at].as_f64().unwrap() - load).abs() < 1e-6, "{found:#}");
        }
    }
    assert_eq!(web["cases"][4]["overloaded"], serde_json::json!([2]));
    assert_eq!(told["pools"][1]["demand"], 3);
}

#[test]
fn check_warns_of_the_worst_single_failure() {
    let files = Files::new(&[("old.yaml", OLD)]);
    let told = run_steerd(&["check", "-c", files.0.path().join("old.yaml").to_str().unwrap()]);
    let errors = String::from_utf8(told.stderr).unwrap();
    assert!(told.status.success(), "{errors}");
    assert!(errors.contains("pool `web`: if region `dc1` fails, `c` carries 8 of its 5"), "{errors}");
    assert_eq!(errors.matches("carries 8 of its").count(), 1, "{errors}");
    let enough = Files::new(&[(
        "old.yaml",
        &OLD.replace("capacity: 5", "capacity: 8").replace("capacity: 4", "capacity: 6"),
    )]);
    let told = run_steerd(&["check", "-c", enough.0.path().join("old.yaml").to_str().unwrap()]);
    assert!(!String::from_utf8(told.stderr).unwrap().contains("carries"));
}

#[test]
fn answers_without_members_and_changed_pools_are_told() {
    let old = OLD.replace("lb_method: wrr\n", "lb_method: wrr\n    fallback: nodata\n");
    let new = old
        .replace("fallback: nodata", "fallback: [203.0.113.1]")
        .replace("  web:\n", "  shop:\n")
        .replace("www.example.com: web", "www.example.com: shop, new.example.com: api");
    let files = Files::new(&[("old.yaml", &old), ("new.yaml", &new)]);
    let told = files.json(&["old.yaml", "new.yaml", "--assume", "10.*.0.9=down"]);
    assert_eq!(
        (&told["pools_added"], &told["pools_removed"]),
        (&serde_json::json!(["shop"]), &serde_json::json!(["web"]))
    );
    assert_eq!(told["names_added"], serde_json::json!({"count": 1, "first": ["new.example.com."]}));
    assert_eq!(told["names_moved"]["first"][0]["after"], "shop");
    let api = told["pools"]
        .as_array()
        .unwrap()
        .iter()
        .find(|unit| unit["pool"] == "api" && unit["type"] == "A")
        .unwrap();
    let class = &api["without_members"]["first"][0];
    assert_eq!(
        (&class["before"]["answer"], &class["after"]["answer"]),
        (&"NODATA".into(), &"fallback".into())
    );
    assert_eq!((&api["shift"], &api["members"][0]["address"]), (&1.0.into(), &"203.0.113.1".into()));
    let shop = told["pools"].as_array().unwrap().iter().find(|unit| unit["pool"] == "shop").unwrap();
    assert_eq!((&shop["shift"], &shop["traffic"]["before"]), (&Value::Null, &0.0.into()));
}

#[test]
fn clients_of_hashed_pools_have_one_member_each() {
    let hash = |members: &str| {
        format!(
            "server: {{ns: [ns.example.net]}}\nglobalnames: {{h.example: h}}\npools:\n  h: {{lb_method: hash, members: {members}, \
             monitor: forced, monitor_params: {{status: up}}}}\n"
        )
    };
    let (old, new) = (hash("[192.0.2.1, 192.0.2.2, 192.0.2.3]"), hash("[192.0.2.1, 192.0.2.2]"));
    let files = Files::new(&[("old.yaml", &old), ("new.yaml", &new), ("clients", "10.0.0.0/22\n")]);
    let told = files.json(&["old.yaml", "new.yaml", "--clients", "clients", "--top", "1000"]);
    // Four networks of /24: each with the member that `why` tells too.
    for (file, when) in [("old.yaml", "before"), ("new.yaml", "after")] {
        let mut counts = std::collections::BTreeMap::new();
        for network in 0..4 {
            let path = files.0.path().join(file);
            let client = format!("10.0.{network}.1");
            let told = run_steerd(&[
                "why",
                "h.example",
                "-c",
                path.to_str().unwrap(),
                "--client",
                &client,
                "--json",
            ]);
            let told: Value = serde_json::from_slice(&told.stdout).unwrap();
            *counts.entry(told["reply"]["answer"][0]["data"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        for member in told["pools"][0]["members"].as_array().unwrap() {
            let count = counts.remove(member["address"].as_str().unwrap()).unwrap_or(0);
            assert_eq!(member["share"][when].as_f64().unwrap(), f64::from(count) / 4.0, "{told:#}");
        }
        assert!(counts.is_empty(), "{counts:?}");
    }
}

#[test]
fn captures_of_real_queries_are_read_in_every_form() {
    let new = OLD.replace("10.1.0.2: {weight: 1}", "10.1.0.2: {weight: 3}");
    let files = Files::new(&[("old.yaml", OLD), ("new.yaml", &new)]);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures");
    for name in ["ethernet.pcap", "cooked.pcap", "ethernet.pcapng", "nanoseconds.pcap"] {
        let told = files.json(&["old.yaml", "new.yaml", "--clients", folder.join(name).to_str().unwrap()]);
        let clients = &told["clients"];
        for (field, count) in
            [("packets", 28), ("queries", 8), ("with_subnet", 1), ("other_types", 1), ("others", 19)]
        {
            assert_eq!(clients[field], count, "{name}: {clients}");
        }
        // Three of dc1 and two of dc2, one of them by its client subnet: 3 of 5 go from 3 : 1 to 1 : 1.
        let web = &told["pools"][0];
        assert_eq!(
            (&web["shift"], &web["traffic"]["before"]),
            (&0.15.into(), &0.625.into()),
            "{name}: {web:#}"
        );
        assert_eq!(told["clients_of_no_pool"]["after"], 0.25);
    }
    let told =
        files.json(&["old.yaml", "new.yaml", "--clients", folder.join("short.pcap").to_str().unwrap()]);
    assert_eq!((&told["clients"]["queries"], &told["clients"]["truncated"]), (&6.into(), &10.into()));
    // Without client subnets every query is its sender's.
    let deaf = OLD.replace("{ns: [ns.example.net]}", "{ns: [ns.example.net], ecs: off}");
    std::fs::write(files.0.path().join("deaf.yaml"), deaf).unwrap();
    let ethernet = folder.join("ethernet.pcap");
    let told = files.json(&["deaf.yaml", "deaf.yaml", "--clients", ethernet.to_str().unwrap()]);
    assert_eq!((&told["clients"]["with_subnet"], &told["unchanged"]), (&0.into(), &true.into()));
    // A file that ends within a packet, and one that is damaged.
    let whole = std::fs::read(folder.join("ethernet.pcap")).unwrap();
    std::fs::write(files.0.path().join("cut.pcap"), &whole[..2000]).unwrap();
    assert_eq!(files.json(&["old.yaml", "new.yaml", "--clients", "cut.pcap"])["clients"]["is_cut"], true);
    let damaged = [&whole[..24], &[0xFF; 64]].concat();
    std::fs::write(files.0.path().join("damaged.pcap"), damaged).unwrap();
    let told = files.plan(&["old.yaml", "new.yaml", "--clients", "damaged.pcap"]);
    assert_eq!(told.status.code(), Some(1));
    assert!(String::from_utf8(told.stderr).unwrap().contains("the file is damaged"));
}

#[test]
fn million_lines_of_clients_are_read_and_wrong_ones_named() {
    let new = OLD.replace("10.1.0.2: {weight: 1}", "10.1.0.2: {weight: 3}");
    let files = Files::new(&[("old.yaml", OLD), ("new.yaml", &new)]);
    let path = files.0.path().join("clients.txt");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    for line in 0..1_000_000u32 {
        let [_, b, c, d] = line.to_be_bytes();
        writeln!(file, "10.{}.{c}.{d} 1 www.example.com", 1 + b % 2).unwrap();
    }
    file.flush().unwrap();
    let told = files.json(&["old.yaml", "new.yaml", "--clients", "clients.txt"]);
    assert_eq!(told["clients"]["lines"], 1_000_000);
    // Blocks of 65,536 by turns; the last one is short: 8 of dc1, 7 and 16,960 of dc2.
    let share = 8.0 * 65_536.0 / 1_000_000.0;
    assert!(
        (told["pools"][0]["shift"].as_f64().unwrap() - share / 4.0).abs() < 1e-6,
        "{:#}",
        told["pools"][0]
    );
    std::fs::write(&path, "10.1.0.0/16\n10.1.0/16\n\n10.2.0.0/16 1 www.example.com MX\n").unwrap();
    let told = files.plan(&["old.yaml", "new.yaml", "--clients", "clients.txt"]);
    let errors = String::from_utf8(told.stderr).unwrap();
    assert_eq!(told.status.code(), Some(1));
    for part in
        ["clients.txt:2: client: `10.1.0/16` is no prefix", "clients.txt:4: type: `MX` is not accepted"]
    {
        assert!(errors.contains(part), "{errors}");
    }
}

#[test]
fn states_of_the_server_count_where_they_are_asked_for() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().to_str().unwrap();
    let text = config_text(
        &format!("state_dir: {folder}"),
        "globalnames: {www.test: web}
pools: {web: {lb_method: wrr, members: {127.77.0.1: {name: one}, 127.77.0.2: {name: two}}, monitor: forced, monitor_params: {status: up}}}
",
    );
    let server = Server::start(&text);
    assert!(run_steerd(&["override", "add", "down", "one", "--state-dir", folder]).status.success());
    assert!(server.stop().success());
    let files = Files::new(&[
        ("old.yaml", &text),
        ("new.yaml", &text.replace("{name: two}", "{name: two, weight: 3}")),
    ]);
    let shift = |arguments: &[&str]| {
        let told = files.json(&[&["old.yaml", "new.yaml"], arguments].concat());
        (told["pools"][0]["shift"].clone(), told["notes"].as_array().unwrap().len())
    };
    assert_eq!(shift(&[]), (0.25.into(), 0));
    assert_eq!(shift(&["--state"]), (0.0.into(), 2), "only two is up, with all of it");
    assert_eq!(shift(&["--state", "--assume", "one=up"]), (0.25.into(), 2));
}
