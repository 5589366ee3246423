//! Zones signed with NSEC3: as validators see them, as a whole, and beside the chain that ldns-signzone makes and what NSD and
//! Knot answer from it.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use steerd::wire::message::Rtype;
use steerd::wire::name::Name;

mod common;
#[path = "common/peers.rs"]
mod peers;
#[path = "common/signed.rs"]
mod signed;
#[path = "common/zones.rs"]
#[allow(dead_code, reason = "the comparisons use all of it")]
mod zones;

use common::dns::TcpClient;
use common::{Server, config, run_tool};
use peers::{Content, Peer, knot, nsd};
use signed::{
    Told, ask_over_tcp, check_whole_zone, check_with_delv, check_with_unbound, dig, line, start, types_of,
};

const NSEC: u16 = 47;
const NSEC3: u16 = 50;
const NSEC3PARAM: u16 = 51;
/// A type that no name owns.
const NOBODYS: Rtype = Rtype(65_401);
/// Names that are tried in order to hit the smallest gap: some hundred times as many as there are owners, times those sought.
const MAX_TRIES: u32 = 4_000_000;

#[test]
fn unbound_validates_every_answer_of_a_zone_with_nsec3() {
    check_with_unbound("{denial: nsec3}");
}

#[test]
fn delv_validates_every_kind_of_answer_of_a_zone_with_nsec3() {
    check_with_delv(", denial: nsec3");
}

/// The hash of a lower-case name.
fn sha1(wire: &[u8]) -> [u8; 20] {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, wire).as_ref().try_into().unwrap()
}

/// The first label of the NSEC3 record of a name.
fn hashed(name: &Name) -> String {
    base32(&sha1(name.to_lowercase().as_wire()))
}

fn base32(octets: &[u8]) -> String {
    let bit = |at: usize| octets[at / 8] >> (7 - at % 8) & 1;
    let digit = |five: usize| (0..5).fold(0, |value, at| value << 1 | bit(five * 5 + at));
    let digits = (0..octets.len() * 8 / 5).map(digit);
    digits.map(|value| char::from(b"0123456789abcdefghijklmnopqrstuv"[usize::from(value)])).collect()
}

fn label_of(owner: &Name) -> String {
    let wire = owner.to_lowercase();
    String::from_utf8_lossy(&wire.as_wire()[1..33]).into_owned()
}

/// A chain: the next hash and the types of each.
type Chain = BTreeMap<String, (String, BTreeSet<u16>)>;

/// Reads the data of an NSEC3 record without salt.
fn link(data: &[u8]) -> (String, BTreeSet<u16>) {
    assert_eq!(data[..6], [1, 0, 0, 0, 0, 20], "SHA-1, no opt-out, no further iterations, no salt");
    (base32(&data[6..26]), types_of(&data[26..]).into_iter().collect())
}

/// What a server tells of a zone to who knows all of its names.
struct Gathered {
    lines: BTreeSet<String>,
    chain: Chain,
}

impl Gathered {
    fn take(&mut self, all: Vec<Told>, name: &Name) {
        for told in all {
            let (owner, rtype, _, data) = &told;
            let covered = if *rtype == 46 { u16::from_be_bytes([data[0], data[1]]) } else { *rtype };
            if *rtype == NSEC3 {
                self.chain.insert(label_of(owner), link(data));
            }
            // Of a zone below that is served here too, the SOA is none of this zone's.
            if covered == NSEC3 || owner == name && (covered != 6 || name.to_string() == "t.example.") {
                self.lines.insert(line(&told));
            }
        }
    }
}

/// All records of a signed zone. Hashes lead to no names, so these are given, with the ones that exist because of them.
fn gather(server: SocketAddr, apex: &str, names: &BTreeSet<String>) -> Gathered {
    let mut client = TcpClient::new(server);
    let mut all = Gathered { lines: BTreeSet::new(), chain: Chain::new() };
    let mut known = BTreeMap::new();
    for text in names {
        let name = Name::from_text(text).unwrap();
        known.insert(hashed(&name), name);
        // Nobody's type leads to the name's own record, or to a referral. At a cut DS is this zone's, and so is the denial. An
        // alias is told of as what lies right above a name that is not there.
        all.take(ask_over_tcp(&mut client, &name, NOBODYS), &name);
        all.take(ask_over_tcp(&mut client, &name, Rtype::DS), &name);
        if let Ok(below) = Name::from_text(&format!("nobody.{text}")) {
            all.take(ask_over_tcp(&mut client, &below, NOBODYS), &name);
        }
    }
    // The record of a signed delegation is never an answer about itself: what lies in its gap shows it.
    let owners: Vec<[u8; 20]> = known
        .values()
        .map(|name| sha1(name.to_lowercase().as_wire()))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let mut missing: Vec<bool> = owners.iter().map(|hash| !all.chain.contains_key(&base32(hash))).collect();
    let apex_wire = Name::from_text(apex).unwrap();
    let mut left = missing.iter().filter(|missing| **missing).count();
    let mut in_gaps = Vec::new();
    eprintln!("{left} of {} names are not seen yet", owners.len());
    let mut wire = [&b"\x08aaaaaaaa"[..], apex_wire.as_wire()].concat();
    for number in 0..MAX_TRIES {
        if left == 0 {
            break;
        }
        // The number in letters: eight times three bits.
        for (at, letter) in wire[1..9].iter_mut().enumerate() {
            *letter = b'a' + (number >> (3 * at) & 7) as u8;
        }
        let hash = sha1(&wire);
        let behind = owners.partition_point(|owner| *owner < hash);
        let before = (behind + owners.len() - 1) % owners.len();
        if std::mem::take(&mut missing[before]) {
            left -= 1;
            in_gaps.push(Name::from_wire(&wire).unwrap());
        }
    }
    let missed: Vec<&Name> = owners
        .iter()
        .zip(&missing)
        .filter(|(_, missing)| **missing)
        .map(|(hash, _)| &known[&base32(hash)])
        .take(9)
        .collect();
    assert_eq!(left, 0, "gaps that no name lies in: {missed:?}");
    // The search takes longer than a connection may idle.
    let mut client = TcpClient::new(server);
    for name in in_gaps {
        all.take(ask_over_tcp(&mut client, &name, Rtype::A), &name);
    }
    for (hash, name) in &known {
        let (_, types) = all.chain.get(hash).unwrap_or_else(|| panic!("{name} has no record")).clone();
        for rtype in types.into_iter().filter(|rtype| *rtype != 46) {
            all.take(ask_over_tcp(&mut client, name, Rtype(rtype)), name);
        }
    }
    all
}

/// The names of the large zone, those without records among them; names below cuts and DNAME records are none.
fn names_of(folder: &Path, steered: &[&str]) -> BTreeSet<String> {
    let source = std::fs::read_to_string(folder.join("t.zone")).unwrap();
    let mut names = BTreeSet::from(["t.example".to_owned()]);
    let owners = source.lines().filter(|line| !line.starts_with(['$', '@']));
    let owners = owners.map(|line| line.split(' ').next().unwrap().to_lowercase());
    for owner in owners.chain(steered.iter().map(|name| (*name).to_owned())) {
        if owner.starts_with("ns.cut") || owner.starts_with("ns.sib") || owner == "ns1.kid" {
            continue;
        }
        // An escaped dot is none.
        let dots = owner.match_indices('.').map(|(at, _)| at).filter(|at| !owner[..*at].ends_with('\\'));
        for at in dots.map(|at| at + 1).chain([0]) {
            names.insert(format!("{}.t.example", &owner[at..]));
        }
    }
    names
}

#[test]
fn the_whole_zone_with_nsec3_is_one_that_dnssec_verify_and_ldns_verify_zone_accept() {
    for dnssec in ["{denial: nsec3}", "{denial: nsec3, algorithm: 15, split_keys: on}"] {
        let (server, _, folder) = start(dnssec);
        let names = names_of(folder.path(), &["www", "*.apps", "six", "mail0"]);
        let all = gather(server.dns(), "t.example", &names);
        assert!(names.len() > 2000, "{} names", names.len());
        assert_eq!(all.chain.len(), names.len(), "no record is of anything else");
        let lines: Vec<String> = all.lines.into_iter().collect();
        check_whole_zone(folder.path(), &lines.join("\n"));
    }
}

/// The large zone signed by ldns-signzone; gives its chain.
fn signed_by_ldns(folder: &Path) -> Chain {
    let run = |program: &str, arguments: &[&str]| run_tool(program, arguments);
    let at = folder.display().to_string();
    let key = run("dnssec-keygen", &["-q", "-K", &at, "-a", "ECDSAP256SHA256", "-f", "KSK", "t.example"]);
    let key = format!("{at}/{}", key.trim());
    let (source, signed) = (format!("{at}/t.zone"), format!("{at}/signed.zone"));
    run("ldns-signzone", &["-n", "-t", "0", "-o", "t.example", "-f", &signed, &source, &key]);
    let mut chain = Chain::new();
    for line in std::fs::read_to_string(&signed).unwrap().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [owner, _, "IN", "NSEC3", "1", flags, "0", salt, next, types @ ..] = &words[..] {
            assert_eq!((*flags, *salt), ("0", "-"), "{line}");
            let types = types.iter().map(|name| zones::type_number(name));
            chain.insert(owner[..32].to_owned(), ((*next).to_owned(), types.collect()));
        }
    }
    chain
}

/// A server with the large zone, no name of it steered.
fn plain(folder: &Path) -> Server {
    let at = folder.display();
    let mut text = format!("zones:\n  t.example: {{file: {at}/t.zone, dnssec: {{denial: nsec3}}}}\n");
    for (apex, file) in &zones::FILES[1..] {
        text += &format!("  {apex}: {{file: {at}/{file}}}\n");
    }
    Server::start(&config(&format!("workers: 1, state_dir: {at}/state"), &text))
}

#[test]
fn the_chain_is_the_one_that_ldns_makes() {
    let folder = tempfile::tempdir().unwrap();
    zones::write(folder.path());
    let mut theirs = signed_by_ldns(folder.path());
    let server = plain(folder.path());
    let mut ours = gather(server.dns(), "t.example", &names_of(folder.path(), &[])).chain;
    let apex = hashed(&Name::from_text("t.example").unwrap());
    // Keys for the parent are steerd's own (RFC 7344).
    for chain in [&mut ours, &mut theirs] {
        let (_, types) = chain.get_mut(&apex).unwrap();
        assert!(types.contains(&NSEC3PARAM), "{types:?}");
        types.retain(|rtype| ![59, 60].contains(rtype));
    }
    let different: Vec<_> = ours.iter().filter(|(hash, link)| theirs.get(*hash) != Some(link)).collect();
    assert!(ours == theirs, "{} and {} records, other ones: {different:?}", ours.len(), theirs.len());
    assert!(ours.len() > 2000 && ours.values().any(|(_, types)| types.is_empty()), "{}", ours.len());
    assert!(ours.values().any(|(_, types)| *types == BTreeSet::from([2])), "an unsigned delegation");
}

/// A reply as far as it does not depend on keys: of signatures, what they are over. Additional records prove nothing, and are
/// compared elsewhere.
fn comparable(content: &Content) -> Content {
    let shorten = |record: &String| match record.split_once(" TYPE46 ") {
        Some((owner, data)) => format!("{owner} TYPE46 {}", &data[..16]),
        None => record.clone(),
    };
    let [answer, authority, _] =
        content.sections.each_ref().map(|records| records.iter().map(shorten).collect());
    let sections = [answer, authority, BTreeSet::new()];
    Content { flags: content.flags, sections }
}

/// Why an answer may differ from a peer's. `None`: it may not.
fn reason(peer: &str, name: &Name, rtype: u16, ours: &Content, theirs: &Content) -> Option<&'static str> {
    let (our_answer, their_answer) = (&ours.sections[0], &theirs.sections[0]);
    let has = |records: &BTreeSet<String>, part: &str| records.iter().any(|record| record.contains(part));
    if rtype == NSEC3PARAM && has(our_answer, " 60 TYPE51 ") && has(their_answer, " 3600 TYPE51 ") {
        return Some("the TTL of NSEC3PARAM is as one likes");
    }
    let is_alias = has(our_answer, " TYPE5 ");
    match peer {
        "knotd" if rtype == NSEC && is_alias && their_answer.is_empty() => {
            Some("Knot does not follow aliases for NSEC")
        }
        "nsd" if rtype == NSEC3 && is_alias && their_answer.is_empty() => {
            Some("NSD does not follow aliases for NSEC3")
        }
        "knotd" if is_alias && (has(our_answer, "kid.t.example.") || has(our_answer, "other.example.")) => {
            Some("Knot follows aliases inside one zone; steerd, as NSD, into all zones it serves")
        }
        "nsd"
            if name.as_wire().starts_with(b"\x01*")
                && ours.sections[1].is_subset(&theirs.sections[1])
                && their_answer.is_empty() =>
        {
            Some("NSD proves the closest encloser of a wildcard that is asked for itself, which exists")
        }
        _ => None,
    }
}

#[test]
fn proofs_are_those_of_nsd_and_knot() {
    let folder = tempfile::tempdir().unwrap();
    let names = zones::write(folder.path());
    let chain = signed_by_ldns(folder.path());
    let server = plain(folder.path());
    let files: Vec<(&str, &str)> =
        [("t.example", "signed.zone")].into_iter().chain(zones::FILES[1..].iter().copied()).collect();
    let ours = Peer::new("steerd", server.dns(), None);
    let peers = [nsd(folder.path(), &files, true), knot(folder.path(), &files)];
    // What hashes and what chains begin with are names like any other, and mostly not there (RFC 5155 §7.2.8).
    let hashes = chain.keys().take(20).map(|hash| Name::from_text(&format!("{hash}.t.example")).unwrap());
    let names: Vec<Name> = names.into_iter().chain(hashes).collect();
    let types = [1, 2, 5, 15, 16, 39, 43, NSEC, NSEC3, NSEC3PARAM, NOBODYS.0];
    let questions: Vec<(Name, u16)> =
        names.iter().flat_map(|name| types.map(|rtype| (*name, rtype))).collect();
    let mut explained: BTreeMap<String, usize> = BTreeMap::new();
    let mut kinds = BTreeMap::new();
    let mut count = 0;
    for window in questions.chunks(32) {
        let queries: Vec<Vec<u8>> =
            window.iter().zip(1..).map(|((name, rtype), id)| peers::query(id, name, *rtype, true)).collect();
        let of_us = ours.ask_all(&queries);
        for peer in &peers {
            for (((name, rtype), ours), theirs) in window.iter().zip(&of_us).zip(peer.ask_all(&queries)) {
                let (ours, theirs) = (comparable(ours), comparable(&theirs));
                count += 1;
                if ours == theirs {
                    continue;
                }
                match reason(peer.name, name, *rtype, &ours, &theirs) {
                    Some(reason) => *explained.entry(format!("{}: {reason}", peer.name)).or_default() += 1,
                    None => {
                        let kind: String = name.to_string().chars().filter(|c| !c.is_ascii_digit()).collect();
                        let text = format!(
                            "{} {name} TYPE{rtype}\n steerd {:04x} {:#?}\n {} {:04x} {:#?}",
                            peer.name, ours.flags, ours.sections, peer.name, theirs.flags, theirs.sections
                        );
                        kinds.entry((peer.name, kind, *rtype)).or_insert(text);
                    }
                }
            }
        }
    }
    eprintln!("{} names, {count} answers compared; explained: {explained:#?}", names.len());
    for text in kinds.values().take(20) {
        eprintln!("{text}");
    }
    assert!(kinds.is_empty(), "{} kinds of answers differ without a reason: {:?}", kinds.len(), kinds.keys());
}

#[test]
fn a_zone_goes_over_to_nsec3_and_back_while_it_is_served() {
    let (server, _, _folder) = start("{}");
    let text = std::fs::read_to_string(server.file("steerd.yaml")).unwrap();
    let denial = || {
        let answer = dig(server.dns(), &["nothing-here.t.example", "A", "+dnssec"]);
        ["NSEC", "NSEC3"].map(|rtype| answer.split_whitespace().any(|word| word == rtype))
    };
    assert_eq!(denial(), [true, false]);
    server.reload(&text.replace("dnssec: {}", "dnssec: {denial: nsec3}"));
    assert_eq!(denial(), [false, true]);
    assert!(dig(server.dns(), &["t.example", "NSEC3PARAM", "+short"]).starts_with("1 0 0 -"));
    server.reload(&text);
    assert_eq!(denial(), [true, false]);
}
