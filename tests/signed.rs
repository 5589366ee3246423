//! Signed zones as validators see them: delv, Unbound, dnssec-verify and ldns-verify-zone, on steered and static names, while
//! members flap, configurations change and keys roll.
//!
//! `SIGNED_SECS` is how long members flap under Unbound (10).
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use steerd::wire::message::{Header, Rtype};
use steerd::wire::name::{Name, uncompressed_len};
use steerd::wire::record::Record;

mod common;
#[path = "common/zones.rs"]
#[allow(dead_code, reason = "the comparisons use all of it")]
mod zones;

use common::backend::{Backend, Manner};
use common::dns::{TcpClient, framed};
use common::{Process, Server, config, run_steerd, run_tool, tool, wait_for, wait_until};

/// Flag AD: the resolver has validated the answer (RFC 4035 §3.2.3).
const FLAG_AD: u16 = 0x0020;

const NAMES: &str = "
globalnames:
  www.t.example: web
  '*.apps.t.example': {pool: web, ttl: 20}
  six.t.example: six
  t.example: web
  mail0.t.example: web
pools:
  web: {lb_method: wrr, members: [192.0.2.200, 192.0.2.201, '2001:db8::200'], monitor: forced, monitor_params: {status: up}}
  six: {lb_method: wrr, max_addrs_returned: 2, members: [192.0.2.200, 192.0.2.201], monitor: forced, monitor_params: {status: up}}
";

/// A server with the zones of the comparisons, the large one signed.
fn start(dnssec: &str) -> (Server, Vec<Name>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let names = zones::write(folder.path());
    // The zone below is not signed: a DS record would say that it is.
    let file = folder.path().join("t.zone");
    let text = std::fs::read_to_string(&file).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("kid DS")).collect();
    // A TTL of a week is longer than signatures usually have left.
    std::fs::write(&file, kept.join("\n") + "\nweek 604800 A 192.0.2.77\n").unwrap();
    let at = folder.path().display();
    let zones = format!(
        "zones:\n  t.example: {{file: {at}/t.zone, dnssec: {dnssec}}}\n  kid.t.example: {{file: {at}/kid.zone}}\n  \
         other.example: {{file: {at}/other.zone}}\n"
    );
    let settings = format!("workers: 1, state_dir: {at}/state");
    let server = Server::start(&config(&settings, &format!("{NAMES}{zones}")));
    (server, names, folder)
}

fn dig(server: SocketAddr, arguments: &[&str]) -> String {
    let (at, port) = (format!("@{}", server.ip()), server.port().to_string());
    run_tool("dig", &[&[&*at, "-p", &port, "+norecurse", "+tries=1", "+time=10"], arguments].concat())
}

/// The keys of a zone that have the SEP flag, each as DNSKEY data in text.
fn trust_anchors(server: SocketAddr, zone: &str) -> Vec<String> {
    let keys = dig(server, &[zone, "DNSKEY", "+short"]);
    keys.lines().filter(|line| line.starts_with("257 ")).map(str::to_owned).collect()
}

/// A validating resolver in front of a server.
fn unbound(server: SocketAddr, folder: &Path) -> (Process, SocketAddr) {
    for _ in 0..10 {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let anchors: String = trust_anchors(server, "t.example")
            .iter()
            .map(|key| format!("  trust-anchor: \"t.example. DNSKEY {key}\"\n"))
            .collect();
        let stub = |zone: &str| {
            format!("stub-zone:\n  name: \"{zone}\"\n  stub-addr: {}@{}\n", server.ip(), server.port())
        };
        let text = format!(
            "server:\n  directory: \"{folder}\"\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  logfile: \"\"\n  \
             use-syslog: no\n  do-daemonize: no\n  num-threads: 1\n  interface: 127.0.0.1\n  port: {port}\n  \
             # Nothing can leave this machine from there.\n  outgoing-interface: 127.0.0.1\n  do-ip6: no\n  \
             do-not-query-localhost: no\n  module-config: \"validator iterator\"\n  val-log-level: 2\n  cache-max-ttl: 0\n  \
             cache-max-negative-ttl: 0\n  target-fetch-policy: \"0 0 0 0 0\"\n{anchors}\
             remote-control:\n  control-enable: no\n{}{}{}",
            stub("t.example"),
            stub("kid.t.example"),
            stub("other.example"),
            folder = folder.display(),
        );
        let file = folder.join("unbound.conf");
        std::fs::write(&file, text).unwrap();
        let mut process = Process::start(tool("unbound").arg("-d").arg("-c").arg(&file));
        let started = wait_for("unbound to start or to end", || {
            let started = process.errors.all().iter().any(|line| line.contains("start of service"));
            (started || !process.is_running()).then_some(started)
        });
        if started {
            return (process, SocketAddr::from(([127, 0, 0, 1], port)));
        }
        eprintln!("unbound: {:#?}", process.errors.all());
    }
    panic!("unbound does not start");
}

fn query(id: u16, name: &Name, rtype: Rtype, recursive: bool) -> Vec<u8> {
    let flags = if recursive { 0x0100 } else { 0 };
    let header = Header { id, flags, qdcount: 1, ancount: 0, nscount: 0, arcount: 1 };
    let mut octets = header.to_octets().to_vec();
    octets.extend(name.as_wire());
    octets.extend(rtype.0.to_be_bytes());
    octets.extend([0, 1, 0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0]);
    octets
}

/// Asks many questions, some at a time; gives the flags of each reply.
fn ask_all(resolver: SocketAddr, questions: &[(Name, Rtype)]) -> Vec<u16> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(resolver).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut flags = Vec::new();
    for window in questions.chunks(40) {
        for ((name, rtype), id) in window.iter().zip(0..) {
            socket.send(&query(id, name, *rtype, true)).unwrap();
        }
        let mut replies = BTreeMap::new();
        let mut buffer = [0; 65_535];
        while replies.len() < window.len() {
            let len = socket.recv(&mut buffer).expect("a reply of the resolver");
            let header = Header::read(&buffer[..len]).unwrap();
            replies.insert(header.id, header.flags);
        }
        flags.extend(replies.into_values());
    }
    flags
}

/// Names that lead outside what is served here, where nobody can follow; and names for which a wildcard stands that owns nothing
/// itself, whose proof (NSEC of an empty non-terminal) Unbound 1.17 does not take.
fn leads_outside(name: &Name) -> bool {
    let text = name.to_string();
    ["bare", "cut", "plain", "sib", "outside", "dnout", "dnlong"].iter().any(|word| text.contains(word))
}

#[test]
fn unbound_validates_every_answer_of_a_signed_zone() {
    let (server, names, folder) = start("{}");
    let (_process, resolver) = unbound(server.dns(), folder.path());
    let more = ["www", "x.www", "foo.apps", "a.b.apps", "apps", "six"]
        .map(|name| Name::from_text(&format!("{name}.t.example")).unwrap());
    let all: Vec<Name> = names.into_iter().chain(more).filter(|name| !leads_outside(name)).collect();
    let types = [Rtype::A, Rtype::AAAA, Rtype::MX, Rtype::TXT];
    let questions: Vec<(Name, Rtype)> =
        all.iter().flat_map(|name| types.map(|rtype| (*name, rtype))).collect();
    let replies = ask_all(resolver, &questions);
    let mut validated = 0;
    for ((name, rtype), flags) in questions.iter().zip(&replies) {
        let text = name.to_string();
        assert!(matches!(flags & 0xF, 0 | 3), "{text} {rtype:?}: flags {flags:04x}");
        // What leads into a zone that is not signed is proved only as far as there.
        let is_insecure =
            ["kid.t.", "tokid", "toother", "other.example."].iter().any(|word| text.contains(word));
        assert!(is_insecure || flags & FLAG_AD != 0, "{text} {rtype:?} was not validated: {flags:04x}");
        validated += usize::from(flags & FLAG_AD != 0);
    }
    eprintln!("{} answers, {validated} validated, none refused", replies.len());
}

#[test]
fn delv_validates_every_kind_of_answer() {
    for algorithm in ["13", "15"] {
        let (server, _, folder) = start(&format!("{{algorithm: {algorithm}}}"));
        let anchors = trust_anchors(server.dns(), "t.example");
        let key: Vec<&str> = anchors[0].splitn(4, ' ').collect();
        let text = format!(
            "trust-anchors {{ t.example. static-key {} {} {} \"{}\"; }};\n",
            key[0],
            key[1],
            key[2],
            key[3].replace(' ', "")
        );
        let file = folder.path().join("anchors");
        std::fs::write(&file, text).unwrap();
        let (port, file) = (server.dns().port().to_string(), file.display().to_string());
        for (name, rtype, positive) in [
            ("www", "A", true),
            ("www", "AAAA", true),
            ("www", "TXT", false),
            ("foo.apps", "A", true),
            ("six", "A", true),
            ("six", "AAAA", false),
            ("apps", "A", false),
            ("host0", "A", true),
            ("nothing-here", "A", false),
            ("a.b.nothing-here", "A", false),
            ("b.c.deep0", "A", false),
            ("q.wild0", "A", true),
            ("q.wild0", "TXT", false),
            ("z.x.wild0", "A", false),
            ("third0", "A", true),
            ("towild0", "A", true),
            ("a.b.dn0", "A", true),
            ("cut0", "DS", true),
            ("sib0", "DS", false),
            ("kid", "DS", false),
            ("mail0", "A", true),
            ("mail0", "MX", true),
        ] {
            let name = format!("{name}.t.example");
            let arguments = ["@127.0.0.1", "-p", &port, "-a", &file, "+root=t.example", &name, rtype];
            let output = tool("delv").args(arguments).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            let expected =
                if positive { "; fully validated" } else { "; negative response, fully validated" };
            assert!(text.contains(expected), "algorithm {algorithm}, {name} {rtype}:\n{text}");
        }
    }
}

/// All records of a signed zone, found by walking its NSEC chain, as a zone file that any tool reads.
fn walk(server: SocketAddr, apex: &str) -> (String, usize) {
    let mut client = TcpClient::new(server);
    let mut ask = |name: &Name, rtype: Rtype| -> Vec<(Name, u16, u32, Vec<u8>)> {
        client.send(&framed(&query(1, name, rtype, false)));
        let reply = client.receive().expect("a reply");
        let len = reply.len();
        let header = Header::read(&reply).unwrap();
        assert_eq!(header.flags & 0x020F, 0, "{name} {rtype:?}");
        let mut at = 12 + uncompressed_len(&reply, 12).unwrap() + 4;
        let mut records = Vec::new();
        for _ in 0..header.ancount + header.nscount {
            let (owner, _) = Name::read(&reply, at).unwrap();
            let record = Record::read(&reply[..len], at).unwrap();
            at = record.end;
            records.push((owner, record.rtype.0, record.ttl, expanded(&reply[..len], &record)));
        }
        records
    };
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
        let mut types = Vec::new();
        let mut bitmap = &data[next_len..];
        while let [window, len, rest @ ..] = bitmap {
            for (at, octet) in rest[..usize::from(*len)].iter().enumerate() {
                let of_octet = (0..8).filter(|bit| octet & (0x80 >> bit) != 0);
                types.extend(of_octet.map(|bit| u16::from(*window) << 8 | (at * 8 + bit) as u16));
            }
            bitmap = &rest[usize::from(*len)..];
        }
        let of_types =
            types.into_iter().filter(|rtype| *rtype != 46).flat_map(|rtype| ask(&name, Rtype(rtype)));
        let all: Vec<_> = nsec.iter().cloned().chain(of_types).collect();
        for (owner, rtype, ttl, data) in all {
            // Of a zone below that is served here too, the SOA is none of this zone's.
            if owner == name && (rtype != 6 || name == first) {
                let hex: String = data.iter().map(|octet| format!("{octet:02x}")).collect();
                lines.insert(format!("{owner} {ttl} IN TYPE{rtype} \\# {} {hex}", data.len()));
            }
        }
        if next == first {
            break;
        }
        name = next;
    }
    (lines.into_iter().collect::<Vec<_>>().join("\n") + "\n", owners)
}

/// A record's data with its names written out.
fn expanded(message: &[u8], record: &Record<'_>) -> Vec<u8> {
    let at = record.end - record.rdata.len();
    let (before, names) = match record.rtype.0 {
        2 | 5 | 12 | 39 => (0, 1),
        6 => (0, 2),
        15 => (2, 1),
        _ => return record.rdata.to_vec(),
    };
    let mut data = message[at..at + before].to_vec();
    let mut end = at + before;
    for _ in 0..names {
        let (name, behind) = Name::read(message, end).unwrap();
        data.extend(name.as_wire());
        end = behind;
    }
    data.extend(&message[end..record.end]);
    data
}

#[test]
fn the_whole_zone_is_one_that_dnssec_verify_and_ldns_verify_zone_accept() {
    for dnssec in ["{}", "{algorithm: 15, split_keys: on}"] {
        let (server, _, folder) = start(dnssec);
        let (text, owners) = walk(server.dns(), "t.example");
        assert!(owners > 2000, "{owners} owners");
        let file = folder.path().join("walked.zone");
        // Addresses below cuts are in no chain, and the tools want them.
        let source = std::fs::read_to_string(folder.path().join("t.zone")).unwrap();
        let glue = source.lines().filter(|line| line.starts_with("ns.cut") || line.starts_with("ns1.kid"));
        let glue: Vec<String> = glue.map(|line| line.replacen(' ', ".t.example. 300 IN ", 1)).collect();
        std::fs::write(&file, text + &glue.join("\n") + "\n").unwrap();
        let path = file.display().to_string();
        run_tool("dnssec-verify", &["-q", "-z", "-o", "t.example", &path]);
        run_tool("ldns-verify-zone", &[&path]);
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
