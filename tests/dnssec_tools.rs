//! Keys and signatures against programs that nobody here wrote: BIND's tools and ldns.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use steerd::dnssec::canonical::{canonical_name_cmp, canonical_records};
use steerd::dnssec::denial;
use steerd::dnssec::key::Algorithm;
use steerd::dnssec::keyfile::Times;
use steerd::dnssec::keyset::KeySet;
use steerd::dnssec::keystore::Keystore;
use steerd::dnssec::policy::Policy;
use steerd::dnssec::rollover::{Refusal, State};
use steerd::dnssec::rrsig::sign_rrset;
use steerd::dnssec::rtype;
use steerd::wire::name::Name;

mod common;

use common::{run_steerd, run_tool, tool};

const ZONE: &str = "example.test.";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[track_caller]
fn steerd(arguments: &[&str]) -> String {
    let output = run_steerd(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The one error a refusal prints.
#[track_caller]
fn refused(arguments: &[&str]) -> String {
    let Output { status, stderr, .. } = run_steerd(arguments);
    let errors = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{arguments:?}: {errors}");
    assert!(errors.starts_with("steerd: "), "{errors}");
    errors
}

fn wire(name: &str) -> Vec<u8> {
    Name::from_text(name).unwrap().as_wire().to_vec()
}

fn name(wire: &[u8]) -> String {
    Name::from_wire(wire).unwrap().to_string()
}

/// What the tiny zone holds: owner, type, and data as text and as octets.
fn records() -> Vec<(&'static str, u16, &'static str, Vec<u8>)> {
    let soa = [&wire(&format!("ns.{ZONE}"))[..], &wire(&format!("Host.{ZONE}"))].concat();
    let numbers: Vec<u8> = [1u32, 3600, 900, 604_800, 300].into_iter().flat_map(u32::to_be_bytes).collect();
    vec![
        (ZONE, 6, "ns.example.test. Host.example.test. 1 3600 900 604800 300", [soa, numbers].concat()),
        (ZONE, 2, "NS.example.test.", wire("NS.example.test")),
        (ZONE, 15, "10 Mail.Example.test.", [&[0, 10][..], &wire("Mail.Example.test")].concat()),
        ("ns.example.test.", 1, "192.0.2.53", vec![192, 0, 2, 53]),
        ("mail.example.test.", 1, "192.0.2.26", vec![192, 0, 2, 26]),
        ("mail.example.test.", 1, "192.0.2.25", vec![192, 0, 2, 25]),
        ("mail.example.test.", 16, "\"b\"", b"\x01b".to_vec()),
        ("mail.example.test.", 16, "\"a\"", b"\x01a".to_vec()),
        ("*.wild.example.test.", 1, "192.0.2.1", vec![192, 0, 2, 1]),
        ("alias.example.test.", 5, "Mail.example.test.", wire("Mail.example.test")),
        ("deep.empty.example.test.", 1, "192.0.2.2", vec![192, 0, 2, 2]),
        ("cut.example.test.", 2, "ns.elsewhere.test.", wire("ns.elsewhere.test")),
    ]
}

fn type_text(of: u16) -> String {
    match of {
        1 => "A".into(),
        2 => "NS".into(),
        5 => "CNAME".into(),
        6 => "SOA".into(),
        15 => "MX".into(),
        16 => "TXT".into(),
        rtype::RRSIG => "RRSIG".into(),
        rtype::NSEC => "NSEC".into(),
        rtype::DNSKEY => "DNSKEY".into(),
        rtype::NSEC3PARAM => "NSEC3PARAM".into(),
        rtype::CDS => "CDS".into(),
        rtype::CDNSKEY => "CDNSKEY".into(),
        other => format!("TYPE{other}"),
    }
}

type Rrsets = BTreeMap<(Vec<u8>, u16), Vec<Vec<u8>>>;

/// The zone as text, each RRset signed by the key set, with an NSEC or NSEC3 chain.
fn signed_zone(set: &KeySet, policy: &Policy, is_nsec3: bool) -> String {
    let apex = wire(ZONE);
    let mut zone = String::new();
    let mut rrsets = Rrsets::new();
    for (owner, of, data, octets) in records() {
        writeln!(zone, "{owner} 300 IN {} {data}", type_text(of)).unwrap();
        rrsets.entry((wire(owner), of)).or_default().push(octets);
    }
    for (of, records) in
        [(rtype::DNSKEY, &set.dnskey), (rtype::CDS, &set.cds), (rtype::CDNSKEY, &set.cdnskey)]
    {
        for rdata in records {
            writeln!(zone, "{ZONE} 300 IN {} {}", type_text(of), key_data(of, rdata)).unwrap();
            rrsets.entry((apex.clone(), of)).or_default().push(rdata.clone());
        }
    }
    if is_nsec3 {
        let rdata = denial::nsec3param_rdata().to_vec();
        writeln!(zone, "{ZONE} 300 IN NSEC3PARAM 1 0 0 -").unwrap();
        rrsets.insert((apex.clone(), rtype::NSEC3PARAM), vec![rdata]);
    }
    let cut = wire("cut.example.test");
    let mut owners: Vec<Vec<u8>> = rrsets.keys().map(|(owner, _)| owner.clone()).collect();
    owners.dedup();
    let types = |owner: &[u8], extra: &[u16]| -> Vec<u16> {
        let own = rrsets.keys().filter(|(of, _)| of == owner).map(|(_, of)| *of);
        own.chain(extra.iter().copied()).collect()
    };
    let mut chain = Rrsets::new();
    if is_nsec3 {
        // Names that exist only because others lie below them.
        owners.extend([wire("wild.example.test"), wire("empty.example.test")]);
        let mut hashes: Vec<_> =
            owners.iter().map(|owner| (denial::nsec3_hash(owner), owner.clone())).collect();
        hashes.sort();
        for (at, (hash, owner)) in hashes.iter().enumerate() {
            let next = hashes[(at + 1) % hashes.len()].0;
            let is_signed = *owner != cut && rrsets.keys().any(|(of, _)| of == owner);
            let types = types(owner, if is_signed { &[rtype::RRSIG] } else { &[] });
            let at = denial::nsec3_owner(hash, &apex).unwrap();
            let text: Vec<String> = sorted(&types).into_iter().map(type_text).collect();
            let next_text = String::from_utf8(denial::base32_hex(&next).to_vec()).unwrap();
            writeln!(zone, "{} 300 IN NSEC3 1 0 0 - {next_text} {}", name(&at), text.join(" ")).unwrap();
            chain.insert((at, rtype::NSEC3), vec![denial::nsec3_rdata(&next, false, types)]);
        }
    } else {
        owners.sort_by(|a, b| canonical_name_cmp(a, b));
        for (at, owner) in owners.iter().enumerate() {
            let next = &owners[(at + 1) % owners.len()];
            let types = types(owner, &[rtype::RRSIG, rtype::NSEC]);
            let text: Vec<String> = sorted(&types).into_iter().map(type_text).collect();
            writeln!(zone, "{} 300 IN NSEC {} {}", name(owner), name(next), text.join(" ")).unwrap();
            chain.insert((owner.clone(), rtype::NSEC), vec![denial::nsec_rdata(next, types)]);
        }
    }
    for ((owner, of), records) in rrsets.iter().chain(&chain) {
        // The NS RRset of a cut is the child's.
        if *owner == cut && *of == 2 {
            continue;
        }
        let records = canonical_records(*of, records.iter().map(Vec::as_slice));
        for key in set.signers(*of) {
            let validity = policy.validity(owner, *of, now());
            let rrsig = sign_rrset(key, &apex, owner, *of, 300, &records, validity).unwrap();
            let number = |at: usize| u32::from_be_bytes(rrsig[at..at + 4].try_into().unwrap());
            let covered = if *of == rtype::NSEC3 { "NSEC3".into() } else { type_text(*of) };
            let (algorithm, labels, tag) = (rrsig[2], rrsig[3], key.tag());
            let signature = STANDARD.encode(&rrsig[18 + apex.len()..]);
            let times = format!("{} {} {}", number(4), number(8), number(12));
            let owner = name(owner);
            writeln!(
                zone,
                "{owner} 300 IN RRSIG {covered} {algorithm} {labels} {times} {tag} {ZONE} {signature}"
            )
            .unwrap();
        }
    }
    zone
}

fn sorted(types: &[u16]) -> Vec<u16> {
    let mut types = types.to_vec();
    types.sort_unstable();
    types
}

/// DNSKEY, CDNSKEY and CDS data as text.
fn key_data(of: u16, rdata: &[u8]) -> String {
    let number = u16::from_be_bytes([rdata[0], rdata[1]]);
    if of == rtype::CDS {
        let hex: String = rdata[4..].iter().map(|octet| format!("{octet:02x}")).collect();
        return format!("{number} {} {} {hex}", rdata[2], rdata[3]);
    }
    format!("{number} {} {} {}", rdata[2], rdata[3], STANDARD.encode(&rdata[4..]))
}

/// Signs the tiny zone with what the folder holds and has both programs verify it.
#[track_caller]
fn sign_and_verify(folder: &Path, is_nsec3: bool) {
    let store = Keystore::open(folder, &Name::from_text(ZONE).unwrap()).unwrap();
    // As after the first TTL, so that CDS and CDNSKEY are there.
    store
        .advance(None, now(), |state| {
            for key in &mut state.keys {
                if let Some(track) = &mut key.ksk {
                    track.stage = steerd::dnssec::rollover::KskStage::Ready;
                }
            }
            Ok(())
        })
        .unwrap();
    let advance = store.advance(None, now(), |_| Ok(())).unwrap();
    let set = KeySet::new(&advance.state, &advance.keys).unwrap();
    let zone = signed_zone(&set, &advance.state.policy, is_nsec3);
    let path = folder.join("zone.signed");
    std::fs::write(&path, &zone).unwrap();
    let is_combined = set.dnskey.len() == 1;
    let bind: &[&str] =
        if is_combined { &["-z", "-o", ZONE, text(&path)] } else { &["-o", ZONE, text(&path)] };
    run_tool("dnssec-verify", bind);
    run_tool("ldns-verify-zone", &[text(&path)]);
    // That they do look: one octet of an answer is another.
    std::fs::write(&path, zone.replacen("IN A 192.0.2.26", "IN A 192.0.2.27", 1)).unwrap();
    for (program, arguments) in [("dnssec-verify", bind), ("ldns-verify-zone", &[text(&path)])] {
        assert!(!tool(program).args(arguments).output().unwrap().status.success(), "{program}");
    }
}

#[test]
fn zones_signed_with_our_keys_verify_with_nsec_and_nsec3() {
    for algorithm in ["13", "15"] {
        for roles in [&[][..], &["--ksk", "--zsk"]] {
            for is_nsec3 in [false, true] {
                let folder = tempfile::tempdir().unwrap();
                let keygen =
                    ["dnssec", "keygen", ZONE, "--algorithm", algorithm, "--dir", text(folder.path())];
                if roles.is_empty() {
                    steerd(&keygen);
                }
                for role in roles {
                    steerd(&[&keygen[..], &[role]].concat());
                }
                sign_and_verify(folder.path(), is_nsec3);
            }
        }
    }
}

#[test]
fn keys_of_bind_are_taken_as_they_are() {
    for algorithm in ["ECDSAP256SHA256", "ED25519"] {
        let folder = tempfile::tempdir().unwrap();
        let arguments = ["-q", "-K", text(folder.path()), "-a", algorithm];
        let ksk = run_tool("dnssec-keygen", &[&arguments[..], &["-f", "KSK", ZONE]].concat());
        run_tool("dnssec-keygen", &[&arguments[..], &[ZONE]].concat());
        let file = folder.path().join(format!("{}.key", ksk.trim()));
        let theirs = run_tool("dnssec-dsfromkey", &["-2", text(&file)]);
        assert_eq!(steerd(&["dnssec", "ds", text(&file)]), theirs);
        assert_eq!(steerd(&["dnssec", "ds", ZONE, "--dir", text(folder.path())]), theirs);
        let theirs = run_tool("dnssec-dsfromkey", &["-a", "SHA-384", text(&file)]);
        assert_eq!(steerd(&["dnssec", "ds", text(&file), "--digest", "4"]), theirs);
        sign_and_verify(folder.path(), false);
    }
}

#[test]
fn bind_signs_with_our_keys() {
    for algorithm in ["13", "15"] {
        let folder = tempfile::tempdir().unwrap();
        let keygen = ["dnssec", "keygen", ZONE, "--algorithm", algorithm, "--dir", text(folder.path())];
        let ksk = steerd(&[&keygen[..], &["--ksk"]].concat());
        steerd(&[&keygen[..], &["--zsk"]].concat());
        let file = folder.path().join(format!("{}.key", ksk.trim()));
        let theirs = run_tool("dnssec-dsfromkey", &[text(&file)]);
        assert_eq!(steerd(&["dnssec", "ds", text(&file)]), theirs);
        let (zone, signed) = (folder.path().join("zone"), folder.path().join("zone.signed"));
        let lines = records()
            .into_iter()
            .map(|(owner, of, data, _)| format!("{owner} 300 IN {} {data}\n", type_text(of)));
        std::fs::write(&zone, lines.collect::<String>()).unwrap();
        let folder = text(folder.path());
        run_tool(
            "dnssec-signzone",
            &["-q", "-S", "-K", folder, "-d", folder, "-o", ZONE, "-f", text(&signed), text(&zone)],
        );
        run_tool("dnssec-verify", &["-o", ZONE, text(&signed)]);
    }
}

#[test]
fn the_command_line_leads_through_the_first_rollover() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let in_keys = ["--dir", text(&keys)];
    let run = |verb: &[&str]| steerd(&[&["dnssec"], verb, &in_keys].concat());
    let refused = |verb: &[&str]| refused(&[&["dnssec"], verb, &in_keys].concat());
    assert!(refused(&["status", ZONE]).contains("No such file"));
    let stem = run(&["keygen", ZONE]);
    let private = keys.join(format!("{}.private", stem.trim()));
    assert_eq!(std::fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(run(&["status", ZONE]).contains("no state yet"));
    assert!(run(&["ds", ZONE]).contains(" 13 2 "));
    // The first state; the key is not served yet, so nothing is confirmed and no DS is wanted.
    let report = run(&["rollover", ZONE, "--ksk"]);
    assert!(report.contains("the rollover begins when the one under way has ended"), "{report}");
    assert!(report.contains("not served yet"), "{report}");
    assert!(refused(&["rollover", ZONE, "--ds-published"]).contains("no key waits"));
    assert!(refused(&["ds", ZONE]).contains("wants no DS"));
    assert!(refused(&["rollover", ZONE, "--rebuild"]).contains("nothing to rebuild"));
    let status = run(&["status", ZONE]);
    assert!(status.contains("active since") && status.contains("next:"), "{status}");
    // A key that others may read is said to be missing, and why.
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o644)).unwrap();
    let errors = refused(&["status", ZONE]);
    assert!(errors.contains("missing or unusable") && errors.contains("mode 0644"), "{errors}");
    std::fs::set_permissions(&private, std::fs::Permissions::from_mode(0o600)).unwrap();
    // A torn state is kept aside.
    let state = keys.join("example.test.rollover.json");
    std::fs::write(&state, "{").unwrap();
    for verb in [&["status", ZONE][..], &["ds", ZONE], &["rollover", ZONE, "--zsk"]] {
        assert!(refused(verb).contains("--rebuild"), "{verb:?}");
    }
    assert!(run(&["rollover", ZONE, "--rebuild"]).contains("kept as"));
    assert!(run(&["status", ZONE]).contains("not served yet"));
    for wrong in [
        &["keygen", ZONE, "--algorithm", "8"][..],
        &["keygen", "a..b"],
        &["keygen", ZONE, "--ksk", "--zsk"],
        &["rollover", ZONE],
        &["rollover", ZONE, "--ksk", "--zsk"],
    ] {
        assert_eq!(run_steerd(&[&["dnssec"], wrong, &in_keys].concat()).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_ds_is_wanted_confirmed_and_the_rollover_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let in_keys = ["--dir", text(folder.path())];
    let run = |verb: &[&str]| steerd(&[&["dnssec"], verb, &in_keys].concat());
    let store = Keystore::open(folder.path(), &Name::from_text(ZONE).unwrap()).unwrap();
    // Three days ago the zone was signed and served for the first time.
    let past = now() - 3 * 86_400;
    let made = store.generate(Algorithm::Ed25519, true, &[], Times::used_from(past)).unwrap();
    let serve = |state: &mut State| -> Result<(), Refusal> {
        state.served(state.revision, state.last_seen);
        Ok(())
    };
    store.advance(None, past, |_| Ok(())).unwrap();
    store.advance(None, past, serve).unwrap();
    store.advance(None, now(), |_| Ok(())).unwrap();
    let ds = run(&["ds", ZONE]);
    let status = run(&["status", ZONE]);
    assert!(status.contains(&format!("to be put at the parent: {ds}")), "{status}");
    assert!(status.contains("1 d 1 h after `--ds-published`"), "{status}");
    let other =
        refused(&[&["dnssec", "rollover", ZONE, "--ds-published", "--key", "1"], &in_keys[..]].concat());
    assert!(other.contains("no key with the tag 1"), "{other}");
    let report = run(&["rollover", ZONE, "--ds-published", "--key", &made.key.tag().to_string()]);
    assert!(report.contains("submitted since"), "{report}");
    assert_eq!(run(&["ds", ZONE]), ds);
    // Asked for now, the rollover begins when the first DS is known everywhere.
    assert!(run(&["rollover", ZONE, "--ksk"]).contains("begins when the one under way has ended"));
    let later = store.advance(None, now() + 2 * 86_400, |_| Ok(())).unwrap();
    assert_eq!((later.state.keys.len(), later.keys.len()), (2, 2));
    // And now the clock has gone back, as far as the state can tell.
    for verb in [&["status", ZONE][..], &["rollover", ZONE, "--zsk"]] {
        let errors = refused(&[&["dnssec"], verb, &in_keys].concat());
        assert!(errors.contains("the clock went back"), "{errors}");
    }
    run(&["rollover", ZONE, "--accept-clock"]);
    run(&["status", ZONE]);
}

#[test]
fn every_verb_shows_an_example() {
    for verb in [
        &["--help"][..],
        &["keygen", "--help"],
        &["ds", "--help"],
        &["status", "--help"],
        &["rollover", "--help"],
    ] {
        assert!(steerd(&[&["dnssec"], verb].concat()).contains("Example"), "{verb:?}");
    }
}
