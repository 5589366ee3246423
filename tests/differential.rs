//! The same zones in steerd, NSD and Knot: every name × type × DO asked of each, the answers compared section by section.
//! What differs must be listed here with its reason; one difference that is not fails the test.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use steerd::wire::message::{Header, Rtype};
use steerd::wire::name::{Name, uncompressed_len};
use steerd::wire::record::Record;

mod common;

use common::{Process, Server, config, tool, wait_for};

#[path = "common/zones.rs"]
mod zones;

/// A type whose addresses of its targets only Knot adds.
const HTTPS: u16 = 65;
/// Flags that are compared: QR, AA, TC, RA, and the response code.
const COMPARED_FLAGS: u16 = 0x868F;

/// A reply without its octets' order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Content {
    flags: u16,
    sections: [BTreeSet<String>; 3],
}

/// Reads a reply; names in the data of types that may be compressed are written out.
fn content(reply: &[u8]) -> Content {
    let header = Header::read(reply).unwrap();
    let mut at = 12;
    for _ in 0..header.qdcount {
        at += uncompressed_len(reply, at).unwrap() + 4;
    }
    let mut content = Content { flags: header.flags & COMPARED_FLAGS, ..Content::default() };
    let counts = [header.ancount, header.nscount, header.arcount];
    for (section, count) in content.sections.iter_mut().zip(counts) {
        for _ in 0..count {
            let owner = Name::read(reply, at).unwrap().0.to_lowercase();
            let record = Record::read(reply, at).unwrap();
            at = record.end;
            if record.rtype != Rtype::OPT {
                let data = data_text(reply, &record);
                assert!(
                    section.insert(format!("{owner} {} TYPE{} {data}", record.ttl, record.rtype.0)),
                    "{owner} twice"
                );
            }
        }
    }
    assert_eq!(at, reply.len(), "nothing behind the last record");
    content
}

fn data_text(message: &[u8], record: &Record<'_>) -> String {
    let at = record.end - record.rdata.len();
    // Octets before the names, names, and then octets again.
    let (before, names) = match record.rtype.0 {
        2 | 5 | 12 | 39 => (0, 1),
        6 => (0, 2),
        15 => (2, 1),
        _ => (record.rdata.len(), 0),
    };
    let mut text: String = message[at..at + before].iter().map(|octet| format!("{octet:02x}")).collect();
    let mut end = at + before;
    for _ in 0..names {
        let (name, behind) = Name::read(message, end).unwrap();
        text += &format!(" {}", name.to_lowercase());
        end = behind;
    }
    text += &message[end..record.end].iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    text
}

/// A server that answers from the zones, and a socket towards it.
struct Peer {
    name: &'static str,
    socket: UdpSocket,
    _process: Option<Process>,
}

impl Peer {
    fn new(name: &'static str, address: SocketAddr, process: Option<Process>) -> Peer {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Peer { name, socket, _process: process }
    }

    /// Sends several queries at once, and gives the replies in the order of the queries.
    fn ask_all(&self, queries: &[Vec<u8>]) -> Vec<Content> {
        let mut replies: BTreeMap<u16, Content> = BTreeMap::new();
        for query in queries {
            self.socket.send(query).unwrap();
        }
        let mut buffer = [0; 65_535];
        while replies.len() < queries.len() {
            let len = self.socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{}: {error}", self.name));
            let id = u16::from_be_bytes([buffer[0], buffer[1]]);
            replies.insert(id, content(&buffer[..len]));
        }
        queries.iter().map(|query| replies[&u16::from_be_bytes([query[0], query[1]])].clone()).collect()
    }
}

/// Starts a peer that takes `write(port)` as its configuration; another port is tried where one is taken.
fn start_peer(name: &'static str, folder: &Path, arguments: &[&str], write: impl Fn(u16) -> String) -> Peer {
    for _ in 0..10 {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = folder.join(format!("{name}.conf"));
        std::fs::write(&file, write(port)).unwrap();
        let mut process = Process::start(tool(name).args(arguments).arg("-c").arg(&file));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        // Zones may be loaded after the socket is open, each by itself.
        let serves = |apex: &str| {
            // A socket each: an answer that comes late is nobody's.
            let probe = UdpSocket::bind("127.0.0.1:0").unwrap();
            probe.connect(address).unwrap();
            probe.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let apex = Name::from_text(apex).unwrap();
            let _ = probe.send(&query(1, &apex, Rtype::SOA.0, false));
            let mut reply = [0; 4096];
            probe.recv(&mut reply).is_ok_and(|len| content(&reply[..len]).flags == 0x8400)
        };
        let started = wait_for("the peer to answer or to end", || {
            let all = zones::FILES.iter().all(|(apex, _)| serves(apex));
            if all { Some(true) } else { (!process.is_running()).then_some(false) }
        });
        if started {
            return Peer::new(name, address, Some(process));
        }
        eprintln!("{name}: {:#?} {:#?}", process.errors.all(), process.output.all());
    }
    panic!("{name} does not start");
}

fn nsd(folder: &Path, minimal: bool) -> Peer {
    let minimal = if minimal { "yes" } else { "no" };
    start_peer("nsd", folder, &["-d"], |port| {
        let at = folder.display();
        let mut text = format!(
            "server:\n  ip-address: 127.0.0.1@{port}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{at}\"\n  \
             database: \"\"\n  pidfile: \"{at}/nsd.pid\"\n  xfrdfile: \"{at}/xfrd\"\n  xfrdir: \"{at}\"\n  \
             zonelistfile: \"{at}/zone.list\"\n  minimal-responses: {minimal}\n  rrl-ratelimit: 0\n  \
             refuse-any: no\n  ipv4-edns-size: 1232\n\
             remote-control:\n  control-enable: no\n"
        );
        for (apex, file) in zones::FILES {
            text += &format!("zone:\n  name: {apex}\n  zonefile: {file}\n");
        }
        text
    })
}

fn knot(folder: &Path) -> Peer {
    start_peer("knotd", folder, &[], |port| {
        let at = folder.display();
        let mut text = format!(
            "server:\n  listen: 127.0.0.1@{port}\n  rundir: {at}\n  udp-max-payload: 1232\n\
             log:\n- target: stderr\n  any: warning\ndatabase:\n  storage: {at}\n\
             template:\n- id: default\n  storage: {at}\n  semantic-checks: off\n  zonefile-load: whole\n  journal-content: none\n\
             zone:\n"
        );
        for (apex, file) in zones::FILES {
            text += &format!("- domain: {apex}\n  file: {file}\n");
        }
        text
    })
}

fn query(id: u16, name: &Name, rtype: u16, dnssec_ok: bool) -> Vec<u8> {
    let header = Header { id, flags: 0, qdcount: 1, ancount: 0, nscount: 0, arcount: 1 };
    let mut octets = header.to_octets().to_vec();
    octets.extend(name.as_wire());
    octets.extend(rtype.to_be_bytes());
    octets.extend([0, 1]);
    octets.extend([0, 0, 41, 0x10, 0, 0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    octets
}

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
    let peers = [nsd(folder.path(), minimal), knot(folder.path())];
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
