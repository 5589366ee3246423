//! What forbids serving a zone whose records can all be read.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::config::zone::{ZoneData, labels_below, whole_name};
use crate::config::zonefile;

#[test]
fn zone_without_fault_is_not_complained_about() {
    assert_eq!(
        said("a A 192.0.2.1\na TXT \"x\"\nb CNAME a\nd DNAME a\nd A 192.0.2.1\n*.w A 192.0.2.2\n"),
        [""; 0]
    );
}

#[test]
fn apex_needs_soa_and_name_servers_from_one_side() {
    let only = "zones: {example.com: {file: z}}\n";
    assert_eq!(
        said_with(only, "$TTL 5\na A 192.0.2.1\n"),
        [
            "error z: the zone has no SOA record: put one at its apex, or give `soa` in the configuration",
            "error z: the zone has no NS records at its apex: put them there, or give `ns` in the configuration",
        ]
    );
    let given =
        "zones: {example.com: {file: z, ns: [ns1.example.net, ns2.example.net], soa: {minimum: 60}}}\n";
    assert_eq!(said_with(given, "$TTL 5\na A 192.0.2.1\n"), [""; 0]);
    assert_eq!(
        said_with(given, HEAD),
        [
            "warning z: the zone file has its own: `soa` of the configuration is not used; remove one of the two",
            "warning z: the zone file has its own: `ns` of the configuration is not used; remove one of the two",
        ]
    );
}

#[test]
fn alias_stands_alone_and_leads_to_one_name() {
    assert_eq!(
        said(
            "a CNAME b\na TXT \"x\"\nb CNAME c.test.\nb CNAME d.test.\nc CNAME D.test.\nc CNAME d.TEST.\nd DNAME x.test.\nd DNAME y.test.\n"
        ),
        [
            "error z:7: `a.example.com.` has a CNAME record and others beside it: remove the CNAME, or all the others (RFC 2181 section 10.1)",
            "error z:9: `b.example.com.` has a second CNAME record that leads elsewhere: a name has one",
            "error z:13: `d.example.com.` has a second DNAME record that leads elsewhere: a name has one",
        ]
    );
    let beside = "`example.com.` has a CNAME record and others beside it: remove the CNAME, or all the others (RFC 2181 section 10.1)";
    assert_eq!(said("@ CNAME a\n"), [format!("error z:2: {beside}")]);
    // What is beside it may be the configuration's.
    let given =
        "zones: {example.com: {file: z, ns: [ns1.example.net, ns2.example.net], soa: {minimum: 60}}}\n";
    assert_eq!(said_with(given, "@ 5 CNAME a\n"), [format!("error z:1: {beside}")]);
}

#[test]
fn wildcards_own_neither_cuts_nor_dnames() {
    assert_eq!(
        said("*.a NS ns.test.\n*.b DNAME x.test.\nx.*.c NS ns.test.\n"),
        [
            "error z:6: NS records of a wildcard have no meaning (RFC 4592 section 4): give each name its own",
            "error z:7: DNAME records of a wildcard have no meaning (RFC 4592 section 4): give each name its own",
        ]
    );
}

#[test]
fn chains_end_within_as_many_names_as_are_followed() {
    let chain = |links: u32| -> String {
        (0..links).fold(String::new(), |mut text, at| {
            writeln!(text, "c{at} CNAME c{}", at + 1).unwrap();
            text
        })
    };
    assert_eq!(said(&chain(8)), [""; 0]);
    assert_eq!(
        said(&chain(9)),
        [
            "error z:6: the CNAME records from `c0.example.com.` on are a chain of more than 8: lead to the last name directly"
        ]
    );
    let looped = "on lead back to themselves: one of them must lead to a name with data";
    assert_eq!(
        said("a CNAME b\nb CNAME A\nself CNAME SELF\nto CNAME a\n"),
        [("6", "a"), ("7", "b"), ("8", "self"), ("9", "to")].map(|(line, name)| format!(
            "error z:{line}: the CNAME records from `{name}.example.com.` {looped}"
        ))
    );
    // What leads out of the zone is not followed here.
    assert_eq!(said("a CNAME b.test.\nb CNAME nothing\n"), [""; 0]);
}

#[test]
fn what_is_hidden_is_told_once_for_each_cut_and_dname() {
    assert_eq!(
        said(
            "cut NS ns.cut\ncut TXT \"x\"\nns.cut A 192.0.2.1\nx.cut TXT \"y\"\ny.cut TXT \"z\"\nd DNAME e\nx.d A 192.0.2.1\ny.d A 192.0.2.1\n"
        ),
        [
            "warning z:7: this is hidden by the NS records of `cut.example.com.` and never answered: remove it, or those",
            "warning z:9: this is hidden by the NS records of `cut.example.com.` and never answered: remove it, or those",
            "warning z:12: this is hidden by the DNAME records of `d.example.com.` and never answered: remove it, or those",
        ]
    );
    // Below the topmost of them all others are hidden too.
    assert_eq!(
        said("cut NS ns.test.\nx.cut NS ns.test.\n"),
        [
            "warning z:7: this is hidden by the NS records of `cut.example.com.` and never answered: remove it, or those"
        ]
    );
}

#[test]
fn ttls_of_a_set_are_one() {
    assert_eq!(
        said("a 60 A 192.0.2.1\na 70 A 192.0.2.2\na 50 A 192.0.2.3\na 9 TXT \"x\"\n"),
        [
            "warning z:7: records of one name and type have one TTL, here 60 s and 70 s are given: 50 s is used for all"
        ]
    );
}

#[test]
fn signatures_are_left_out_and_that_is_said_once() {
    let nsec = "a NSEC b.example.com. A\nb NSEC a.example.com. A\na A 192.0.2.1\nc CNAME a\nc NSEC a.example.com. CNAME\n";
    assert_eq!(
        said(nsec),
        [
            "warning z:6: RRSIG, NSEC and NSEC3 records of the file are not served: give the file as it is before signing"
        ]
    );
}

#[test]
fn sets_too_large_for_any_message_and_owners_of_too_many_types_are_refused() {
    let mut text = String::new();
    for at in 0..280 {
        writeln!(text, "big TXT \"{at:0>250}\"").unwrap();
    }
    assert_eq!(
        said(&text),
        [
            "error z:6: the TXT records of `big.example.com.` have more octets than any message holds: remove some"
        ]
    );
    let types = |owner: &str, count: u32| {
        (0..count).fold(String::new(), |mut text, at| {
            writeln!(text, "{owner} TYPE{} \\# 0", 1000 + at).unwrap();
            text
        })
    };
    assert_eq!(said(&types("a", 255)), [""; 0]);
    assert_eq!(said(&types("a", 256)), ["error z:6: `a.example.com.` has records of more than 255 types"]);
    // An apex has SOA and NS as well, whoever gives them.
    assert_eq!(said(&types("@", 253)), [""; 0]);
    assert_eq!(said(&types("@", 254)), ["error z:2: `example.com.` has records of more than 255 types"]);
    let given =
        "zones: {example.com: {file: z, ns: [ns1.example.net, ns2.example.net], soa: {minimum: 60}}}\n";
    let text = types("@ 5", 254);
    assert_eq!(said_with(given, &text), ["error z:1: `example.com.` has records of more than 255 types"]);
    // Signing adds NSEC everywhere, and the keys at the apex.
    let signed = "server: {state_dir: /nowhere}\nzones: {example.com: {file: z, dnssec: {}}}\n";
    let said = |records: &str| said_with(signed, &format!("{HEAD}{records}"));
    let text = |owner: &str, limit: u32| {
        format!(
            "`{owner}` has records of more than {limit} types beside those that signing adds: remove some"
        )
    };
    assert_eq!(said(&types("a", 254)), [""; 0]);
    assert_eq!(said(&types("a", 255)), [format!("error z:6: {}", text("a.example.com.", 254))]);
    assert_eq!(said(&types("@", 249)), [""; 0]);
    assert_eq!(said(&types("@", 250)), [format!("error z:2: {}", text("example.com.", 249))]);
}

#[test]
fn faults_of_includes_are_at_their_places() {
    let folder = folder(
        "zones: {example.com: {file: z}}\n",
        &[("z", &format!("{HEAD}a A 192.0.2.1\n$INCLUDE y sub\n")), ("y", "b A 192.0.2.1\nb CNAME a\n")],
    );
    let loaded = load_in(&folder).unwrap();
    assert_eq!(
        shown(&loaded.zones[0].faults, folder.path()),
        [
            "error y:1: `b.sub.example.com.` has a CNAME record and others beside it: remove the CNAME, or all the others (RFC 2181 section 10.1)"
        ]
    );
    assert!(loaded.config.zones[0].records.data().is_none());
}

/// Records of few names in any order: cuts, DNAMEs and hosts above and below each other.
fn records() -> impl Strategy<Value = Vec<(String, &'static str)>> {
    let label = prop::sample::select(&["a", "b", "*"][..]);
    let owner = prop::collection::vec(label, 1..4).prop_map(|labels| labels.join("."));
    let data =
        prop::sample::select(&["A 192.0.2.1", "A 192.0.2.2", "TXT x", "NS x.test.", "DNAME x.test."][..]);
    prop::collection::vec((owner, data), 0..12)
}

proptest! {
    /// Every owner is visited once with all its records, in whatever order they stand; what hides it is what a walk upwards
    /// from it finds last.
    #[test]
    fn owners_are_visited_once_and_hidden_by_the_topmost(records in records()) {
        const APEX: &[u8] = b"\x07example\x03com\x00";
        let text = records.iter().fold(HEAD.to_owned(), |text, (owner, data)| format!("{text}{owner} {data}\n"));
        let raw = zonefile::read_text("z", text.as_bytes(), None, APEX).unwrap();
        let mut faults = zonefile::Faults::default();
        let given = crate::config::zone::assemble::Given { soa: false, ns: false, signatures: false };
        let zone: Option<ZoneData> = crate::config::zone::assemble::assemble(raw, APEX, given, &mut faults);
        let Some(zone) = zone else { return Ok(()) };
        let mut visited = Vec::new();
        let mut count = 0;
        zone.for_each_owner(|group| {
            assert!(group.iter().all(|record| record.owner == group[0].owner));
            visited.push(group[0].owner.to_vec());
            count += group.len();
        });
        prop_assert_eq!(count, zone.len());
        let different: std::collections::HashSet<&Vec<u8>> = visited.iter().collect();
        prop_assert_eq!(different.len(), visited.len());
        for owner in &visited {
            let name = whole_name(owner, APEX);
            prop_assert_eq!(labels_below(&name, APEX), Some(&owner[..]));
            let mut hidden = None;
            let mut above = &owner[..];
            while let Some((len, rest)) = above.split_first() {
                above = &rest[usize::from(*len)..];
                let hides = |record: &zonefile::RawRecord<'_>| {
                    use crate::wire::message::Rtype;
                    record.owner == above
                        && (record.rtype == Rtype::DNAME || record.rtype == Rtype::NS && !above.is_empty())
                };
                if zone.records().any(|record| hides(&record)) {
                    hidden = Some(above);
                }
            }
            prop_assert_eq!(zone.hidden_below(owner), hidden);
        }
    }
}
