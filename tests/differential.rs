//! The same zones in steerd, NSD and Knot: every name × type × DO asked of each, the answers compared section by section.
//! What differs must be listed here with its reason; one difference that is not fails the test.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use steerd::wire::name::Name;

mod common;
#[path = "common/peers.rs"]
mod peers;
#[path = "common/zones.rs"]
mod zones;

use common::{Server, config};
use peers::{Content, Peer, knot, nsd, query};

/// A type whose addresses of its targets only Knot adds.
const HTTPS: u16 = 65;

/// Why an answer of steerd may differ from a peer's. `None`: it may not. From NSD's none does.
fn reason(peer: &str, rtype: u16, ours: &Content, theirs: &Content, minimal: bool) -> Option<&'static str> {
    if peer != "knotd" {
        return None;
    }
    let [our_answer, our_authority, our_additional] = &ours.sections;
    let [their_answer, their_authority, their_additional] = &theirs.sections;
    if their_answer.is_subset(our_answer) && their_answer.iter().any(|record| leaves_its_zone(record)) {
        return Some("Knot follows aliases inside one zone; steerd, as NSD, into all zones it serves");
    }
    let same = ours.flags == theirs.flags && our_answer == their_answer && !our_answer.is_empty();
    if same && minimal && our_authority == their_authority && our_additional.is_subset(their_additional) {
        return Some(
            "Knot adds addresses of what an answer names; steerd only with `minimal_responses: off`",
        );
    }
    let only_servers = our_authority.iter().all(|record| record.contains(" TYPE2 "));
    let has_addresses = their_additional.is_subset(our_additional) || rtype == HTTPS;
    if same && !minimal && their_authority.is_empty() && only_servers && has_addresses {
        return Some("Knot never adds the zone's name servers; steerd with `minimal_responses: off`, as NSD");
    }
    None
}

/// Whether a record is an alias for a name in another zone.
fn leaves_its_zone(record: &str) -> bool {
    let zone_of = |name: &str| {
        let inside = |apex: &&str| name == format!("{apex}.") || name.ends_with(&format!(".{apex}."));
        zones::FILES.iter().map(|(apex, _)| *apex).filter(inside).max_by_key(|apex| apex.len())
    };
    let words: Vec<&str> = record.split_whitespace().collect();
    match words[..] {
        [owner, _, "TYPE5", target] => zone_of(target).is_some_and(|zone| zone_of(owner) != Some(zone)),
        _ => false,
    }
}

fn compare(minimal: bool) {
    let folder = tempfile::tempdir().unwrap();
    let names = zones::write(folder.path());
    let setting = if minimal { "workers: 1" } else { "workers: 1, minimal_responses: off" };
    let mut zone_section = String::from("zones:\n");
    for (apex, file) in zones::FILES {
        zone_section += &format!("  {apex}: {{file: {}/{file}}}\n", folder.path().display());
    }
    let server = Server::start(&config(setting, &zone_section));
    for (apex, _) in zones::FILES {
        let served = format!("steerd_zone_file{{zone=\"{apex}.\",version=\"current\"}}");
        assert_eq!(server.metric(&served), 1.0, "{:#?}", server.log());
    }
    let ours = Peer::new("steerd", server.dns(), None);
    let peers = [nsd(folder.path(), zones::FILES, minimal), knot(folder.path(), zones::FILES)];
    let mut explained: BTreeMap<String, usize> = BTreeMap::new();
    let mut unexplained = Vec::new();
    let mut asked = 0;
    let questions: Vec<(Name, u16, bool)> = names
        .iter()
        .flat_map(|name| {
            zones::TYPES.iter().flat_map(move |rtype| [(*name, *rtype, false), (*name, *rtype, true)])
        })
        .collect();
    for window in questions.chunks(32) {
        let queries: Vec<Vec<u8>> = window
            .iter()
            .zip(1..)
            .map(|((name, rtype, dnssec), id)| query(id, name, *rtype, *dnssec))
            .collect();
        let of_us = ours.ask_all(&queries);
        for peer in &peers {
            for (((name, rtype, dnssec), ours), theirs) in
                window.iter().zip(&of_us).zip(peer.ask_all(&queries))
            {
                asked += 1;
                if *ours == theirs {
                    continue;
                }
                match reason(peer.name, *rtype, ours, &theirs, minimal) {
                    Some(reason) => *explained.entry(format!("{}: {reason}", peer.name)).or_default() += 1,
                    None => unexplained.push(format!(
                        "{} {name} TYPE{rtype} do={dnssec}\n steerd {:04x} {:#?}\n {} {:04x} {:#?}",
                        peer.name, ours.flags, ours.sections, peer.name, theirs.flags, theirs.sections
                    )),
                }
            }
        }
    }
    eprintln!("{} names, {asked} answers compared, minimal responses {minimal}", names.len());
    for (reason, count) in &explained {
        eprintln!("{count} differ: {reason}");
    }
    // One of each kind of name: the others are alike.
    let kind = |difference: &str| -> String {
        difference.split("\n steerd").next().unwrap().chars().filter(|c| !c.is_ascii_digit()).collect()
    };
    let mut kinds = BTreeSet::new();
    for difference in unexplained.iter().filter(|difference| kinds.insert(kind(difference))).take(20) {
        eprintln!("{difference}");
    }
    assert!(unexplained.is_empty(), "{} answers differ without a reason", unexplained.len());
    assert!(names.len() >= 5000 || !minimal, "{} names", names.len());
}

#[test]
fn minimal_answers_are_those_of_nsd_and_knot() {
    compare(true);
}

#[test]
fn full_answers_are_those_of_nsd_and_knot() {
    compare(false);
}
