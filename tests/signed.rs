//! Signed zones as validators see them: delv, Unbound, dnssec-verify and ldns-verify-zone, on steered and static names, while
//! members flap, configurations change and keys roll.
//!
//! `SIGNED_SECS` is how long members flap under Unbound (10).
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use steerd::wire::message::Rtype;
use steerd::wire::name::{Name, uncompressed_len};

mod common;
#[path = "common/signed.rs"]
mod signed;
#[path = "common/zones.rs"]
#[allow(dead_code, reason = "the comparisons use all of it")]
mod zones;

use common::backend::{Backend, Manner};
use common::dns::TcpClient;
use common::{Server, config, run_steerd, wait_until};
use signed::{
    FLAG_AD, Told, ask_all, ask_over_tcp, check_whole_zone, check_with_delv, check_with_unbound, dig, line,
    start, trust_anchors, types_of, unbound,
};

#[test]
fn unbound_validates_every_answer_of_a_signed_zone() {
    check_with_unbound("{}");
}

#[test]
fn delv_validates_every_kind_of_answer() {
    check_with_delv("");
}

/// All records of a signed zone, found by walking its NSEC chain, as lines of a zone file.
fn walk(server: SocketAddr, apex: &str) -> (String, usize) {
    let mut client = TcpClient::new(server);
    let mut ask = |name: &Name, rtype: Rtype| ask_over_tcp(&mut client, name, rtype);
    let first = Name::from_text(apex).unwrap();
    let mut name = first;
    let mut lines = BTreeSet::new();
    let mut owners = 0;
    loop {
        owners += 1;
        let mut nsec = ask(&name, Rtype::NSEC);
        // At the apex of a zone below that is served here too, only DS is the parent's to answer.
        if name != first && !nsec.iter().any(|(owner, rtype, ..)| *owner == name && *rtype == 47) {
            nsec = ask(&name, Rtype::DS);
        }
        let own = |rtype: u16| nsec.iter().find(move |(owner, r, ..)| *owner == name && *r == rtype);
        let (_, _, _, data) = own(47).unwrap_or_else(|| panic!("{name} has no NSEC record"));
        let next_len = uncompressed_len(data, 0).unwrap();
        let next = Name::from_wire(&data[..next_len]).unwrap();
        let types = types_of(&data[next_len..]).into_iter().filter(|rtype| *rtype != 46);
        let of_types: Vec<_> = types.flat_map(|rtype| ask(&name, Rtype(rtype))).collect();
        // Of a zone below that is served here too, the SOA is none of this zone's.
        let is_own = |told: &&Told| told.0 == name && (told.1 != 6 || name == first);
        lines.extend(nsec.iter().chain(&of_types).filter(is_own).map(line));
        if next == first {
            break;
        }
        name = next;
    }
    (lines.into_iter().collect::<Vec<_>>().join("\n"), owners)
}

#[test]
fn the_whole_zone_is_one_that_dnssec_verify_and_ldns_verify_zone_accept() {
    for dnssec in ["{}", "{algorithm: 15, split_keys: on}"] {
        let (server, _, folder) = start(dnssec);
        let (lines, owners) = walk(server.dns(), "t.example");
        assert!(owners > 2000, "{owners} owners");
        check_whole_zone(folder.path(), &lines);
    }
}

#[test]
fn nothing_is_bogus_while_members_flap_and_weights_change() {
    let addresses: Vec<Ipv4Addr> = (1..=4).map(|n| Ipv4Addr::new(127, 81, 0, n)).collect();
    let backends = Backend::start_all(&addresses, Manner::Http(200));
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display().to_string();
    let port = backends[0].port();
    let text = |weight: usize| {
        let members: Vec<String> = addresses.iter().map(|ip| format!("{ip}: {{weight: {weight}}}")).collect();
        config(
            &format!("workers: 1, state_dir: {at}/state"),
            &format!(
                "globalnames:\n  www.t.example: {{pool: web, ttl: 1}}\n  '*.apps.t.example': {{pool: web, ttl: 1}}\npools:\n  web:\n    \
                 lb_method: wrr\n    max_addrs_returned: 2\n    fallback: any\n    members: {{{}}}\n    monitor: http\n    \
                 monitor_params: {{port: {port}, url_path: /, interval: 200ms, timeout: 100ms, retries: 0}}\nzones:\n  t.example: {{ns: [ns.other.example], dnssec: {{}}}}\n",
                members.join(", ")
            ),
        )
    };
    let server = Server::start(&text(1));
    let (_process, resolver) = unbound(server.dns(), folder.path());
    let name = |text: &str| Name::from_text(text).unwrap();
    let questions: Vec<(Name, Rtype)> = (0..40)
        .flat_map(|n| {
            [
                (name("www.t.example"), Rtype::A),
                (name(&format!("a{n}.apps.t.example")), Rtype::A),
                (name("www.t.example"), Rtype::AAAA),
                (name(&format!("no{n}.t.example")), Rtype::A),
            ]
        })
        .collect();
    let secs = std::env::var("SIGNED_SECS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let end = Instant::now() + Duration::from_secs(secs);
    let (mut asked, mut round) = (0, 0);
    while Instant::now() < end {
        round += 1;
        backends[round % 4].behave(if round % 8 < 4 { Manner::Http(500) } else { Manner::Http(200) });
        if round % 5 == 0 {
            server.reload(&text(1 + round % 7));
        }
        for flags in ask_all(resolver, &questions) {
            assert!(matches!(flags & 0xF, 0 | 3), "bogus in round {round}: {flags:04x}");
            assert!(flags & FLAG_AD != 0, "not validated in round {round}: {flags:04x}");
            asked += 1;
        }
    }
    let made = server.metric("steerd_zone_signatures_made_total{zone=\"t.example.\"}");
    let sets = server.metric("steerd_set_signatures_made_total");
    eprintln!(
        "{asked} answers in {round} rounds validated, none bogus; {made} signatures made ahead in all, {sets} over sets of addresses"
    );
    // All were made at the start: neither a failover nor a reload makes any.
    assert!(made < 40.0, "{made} signatures");
    // Of two names, over at most four sets in each of 16 states.
    assert!((1.0..=128.0).contains(&sets), "{sets} signatures over sets");
}

#[test]
fn key_that_is_lost_leaves_what_is_served_as_it_is_and_a_start_without_it_serves_nothing() {
    let (server, _, folder) = start("{}");
    let keys = folder.path().join("state/keys/t.example");
    for entry in std::fs::read_dir(&keys).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "private") {
            std::fs::rename(&path, folder.path().join("kept.private")).unwrap();
        }
    }
    let text = std::fs::read_to_string(server.file("steerd.yaml")).unwrap();
    server.reload(&text.replace("ttl: 20", "ttl: 21"));
    let answer = dig(server.dns(), &["www.t.example", "A", "+dnssec"]);
    assert!(answer.contains("RRSIG") && answer.contains("status: NOERROR"), "{answer}");
    assert!(server.log().iter().any(|line| line["level"] == "ERROR"), "{:#?}", server.log());
    server.stop();
    let server = Server::start(&text);
    for name in ["www.t.example", "host0.t.example", "foo.apps.t.example"] {
        let answer = dig(server.dns(), &[name, "A"]);
        assert!(answer.contains("status: SERVFAIL"), "an unsigned answer: {answer}");
    }
    assert!(dig(server.dns(), &["www.other.example", "A"]).contains("status: NOERROR"));
}

#[test]
fn rollover_of_the_zone_key_begins_when_it_is_asked_for_and_the_zone_stays_valid() {
    let (server, _, folder) = start("{split_keys: on}");
    let (_process, resolver) = unbound(server.dns(), folder.path());
    let questions = [(Name::from_text("www.t.example").unwrap(), Rtype::A)];
    assert!(ask_all(resolver, &questions)[0] & FLAG_AD != 0);
    let keys = folder.path().join("state/keys/t.example").display().to_string();
    let count = || dig(server.dns(), &["t.example", "DNSKEY", "+short"]).lines().count();
    assert_eq!(count(), 2);
    let output = run_steerd(&["dnssec", "rollover", "t.example", "--zsk", "--dir", &keys]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_until("the new key to be published", || count() == 3);
    assert!(ask_all(resolver, &questions)[0] & FLAG_AD != 0);
    // Only the keys were signed anew.
    server.log_line(&[("message", "signed"), ("signatures", "1")]);
}

#[test]
fn signed_zone_without_its_records_is_not_answered_unsigned_and_its_keys_are_made_once() {
    let (server, _, folder) = start("{}");
    let keys = || trust_anchors(server.dns(), "t.example");
    let before = keys();
    assert_eq!(before.len(), 1);
    // Keys out of reach are not replaced by new ones.
    let at = folder.path().join("state/keys/t.example");
    std::fs::rename(&at, folder.path().join("elsewhere")).unwrap();
    server.log_line(&[("level", "ERROR")]);
    let text = std::fs::read_to_string(server.file("steerd.yaml")).unwrap();
    server.reload(&text.replace("ttl: 20", "ttl: 22"));
    assert_eq!(keys(), before);
    server.stop();
    std::fs::rename(folder.path().join("elsewhere"), &at).unwrap();
    std::fs::write(folder.path().join("t.zone"), "@ A nonsense\n").unwrap();
    let server = Server::start(&text);
    for name in ["www.t.example", "foo.apps.t.example", "host0.t.example"] {
        let answer = dig(server.dns(), &[name, "A"]);
        assert!(answer.contains("status: SERVFAIL"), "an unsigned answer: {answer}");
    }
}

#[test]
fn restart_serves_the_signatures_that_were_made_and_a_foreign_file_is_no_harm() {
    let (server, _, folder) = start("{}");
    server.log_line(&[("level", "WARN"), ("zone", "t.example.")]);
    let signature = |server: &Server| {
        let answer = dig(server.dns(), &["host0.t.example", "A", "+dnssec", "+short"]);
        answer.lines().find(|line| line.starts_with("A 13 ")).unwrap_or_else(|| panic!("{answer}")).to_owned()
    };
    let before = signature(&server);
    let text = std::fs::read_to_string(server.file("steerd.yaml")).unwrap();
    server.stop();
    // ECDSA draws a number for each: the same octets are the same signature.
    let server = Server::start(&text);
    server.log_line(&[("message", "signatures were read from disk")]);
    assert_eq!(signature(&server), before);
    server.stop();
    std::fs::write(folder.path().join("state/signatures/t.example.sigs"), "nobody's").unwrap();
    let server = Server::start(&text);
    assert_ne!(signature(&server), before);
    // Without its keys the zone is given none where that is not wanted.
    server.stop();
    std::fs::rename(folder.path().join("state"), folder.path().join("elsewhere")).unwrap();
    let server = Server::start(&text.replace("dnssec: {}", "dnssec: {generate_keys: off}"));
    assert!(dig(server.dns(), &["www.t.example", "A"]).contains("status: SERVFAIL"));
    assert!(!folder.path().join("state/keys").exists());
}
