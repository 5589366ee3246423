//! A signed zone on a server of its own, and those who validate what it answers: Unbound and delv.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::net::SocketAddr;
use std::path::Path;

use steerd::wire::message::{Header, Rtype};
use steerd::wire::name::{Name, uncompressed_len};
use steerd::wire::record::Record;

use crate::common::dns::{TcpClient, framed};
pub(crate) use crate::common::resolver::{FLAG_AD, ask_all, query};
use crate::common::unbound::start_unbound;
use crate::common::{Process, Server, config, run_tool, tool};
use crate::zones;

pub(crate) const NAMES: &str = "
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

/// A server with the zones of the comparisons, the large one signed as `dnssec` says.
pub(crate) fn start(dnssec: &str) -> (Server, Vec<Name>, tempfile::TempDir) {
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

pub(crate) fn dig(server: SocketAddr, arguments: &[&str]) -> String {
    let (at, port) = (format!("@{}", server.ip()), server.port().to_string());
    run_tool("dig", &[&[&*at, "-p", &port, "+norecurse", "+tries=1", "+time=10"], arguments].concat())
}

/// The keys of a zone that have the SEP flag, each as DNSKEY data in text.
pub(crate) fn trust_anchors(server: SocketAddr, zone: &str) -> Vec<String> {
    let keys = dig(server, &[zone, "DNSKEY", "+short"]);
    keys.lines().filter(|line| line.starts_with("257 ")).map(str::to_owned).collect()
}

/// A validating resolver in front of a server.
pub(crate) fn unbound(server: SocketAddr, folder: &Path) -> (Process, SocketAddr) {
    let anchors: String = trust_anchors(server, "t.example")
        .iter()
        .map(|key| format!("  trust-anchor: \"t.example. DNSKEY {key}\"\n"))
        .collect();
    let settings = format!(
        "  module-config: \"validator iterator\"\n  val-log-level: 2\n  cache-max-ttl: 0\n  cache-max-negative-ttl: 0\n{anchors}"
    );
    start_unbound(server, folder, &settings, &["t.example", "kid.t.example", "other.example"])
}

/// Names that lead outside what is served here, where nobody can follow; and names for which a wildcard stands that owns nothing
/// itself, whose proof (NSEC of an empty non-terminal) Unbound 1.17 does not take.
pub(crate) fn leads_outside(name: &Name) -> bool {
    let text = name.to_string();
    ["bare", "cut", "plain", "sib", "outside", "dnout", "dnlong"].iter().any(|word| text.contains(word))
}

/// Asks Unbound for every name; each answer must be validated.
pub(crate) fn check_with_unbound(dnssec: &str) {
    let (server, names, folder) = start(dnssec);
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

/// Asks delv for a name of each kind, with both algorithms; each answer must be validated.
pub(crate) fn check_with_delv(more: &str) {
    for algorithm in ["13", "15"] {
        let (server, _, folder) = start(&format!("{{algorithm: {algorithm}{more}}}"));
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

/// A record: owner, type, TTL, data with its names written out.
pub(crate) type Told = (Name, u16, u32, Vec<u8>);

/// The records of a reply's answer and authority sections.
pub(crate) fn ask_over_tcp(client: &mut TcpClient, name: &Name, rtype: Rtype) -> Vec<Told> {
    client.send(&framed(&query(1, name, rtype, false)));
    let reply = client.receive().expect("a reply");
    let header = Header::read(&reply).unwrap();
    assert!(matches!(header.flags & 0x020F, 0 | 3), "{name} {rtype:?}: {:04x}", header.flags);
    let mut at = 12 + uncompressed_len(&reply, 12).unwrap() + 4;
    let mut records = Vec::new();
    for _ in 0..header.ancount + header.nscount {
        let (owner, _) = Name::read(&reply, at).unwrap();
        let record = Record::read(&reply, at).unwrap();
        at = record.end;
        records.push((owner, record.rtype.0, record.ttl, expanded(&reply, &record)));
    }
    records
}

/// A record as a line of a zone file that any tool reads.
pub(crate) fn line(told: &Told) -> String {
    let (owner, rtype, ttl, data) = told;
    let hex: String = data.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("{owner} {ttl} IN TYPE{rtype} \\# {} {hex}", data.len())
}

/// The types of a bitmap.
pub(crate) fn types_of(mut bitmap: &[u8]) -> Vec<u16> {
    let mut types = Vec::new();
    while let [window, len, rest @ ..] = bitmap {
        for (at, octet) in rest[..usize::from(*len)].iter().enumerate() {
            let of_octet = (0..8).filter(|bit| octet & (0x80 >> bit) != 0);
            types.extend(of_octet.map(|bit| u16::from(*window) << 8 | (at * 8 + bit) as u16));
        }
        bitmap = &rest[usize::from(*len)..];
    }
    types
}

/// What dnssec-verify and ldns-verify-zone say of these lines, with the glue of the zone's file.
pub(crate) fn check_whole_zone(folder: &Path, lines: &str) {
    let file = folder.join("whole.zone");
    // Addresses below cuts are in no chain, and the tools want them.
    let source = std::fs::read_to_string(folder.join("t.zone")).unwrap();
    let glue = source.lines().filter(|line| line.starts_with("ns.cut") || line.starts_with("ns1.kid"));
    let glue: Vec<String> = glue.map(|line| line.replacen(' ', ".t.example. 300 IN ", 1)).collect();
    std::fs::write(&file, format!("{lines}\n{}\n", glue.join("\n"))).unwrap();
    let path = file.display().to_string();
    run_tool("dnssec-verify", &["-q", "-z", "-o", "t.example", &path]);
    run_tool("ldns-verify-zone", &[&path]);
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
