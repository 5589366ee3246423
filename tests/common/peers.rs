//! NSD and Knot beside steerd: the same questions to each, and replies as sets of records.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use steerd::wire::message::{Header, Rtype};
use steerd::wire::name::{Name, uncompressed_len};
use steerd::wire::record::Record;

use crate::common::{Process, tool, wait_for};

/// Zones and their files.
pub(crate) type Files<'f> = &'f [(&'f str, &'f str)];

/// Flags that are compared: QR, AA, TC, RA, and the response code.
const COMPARED_FLAGS: u16 = 0x868F;

/// A reply without its octets' order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) flags: u16,
    pub(crate) sections: [BTreeSet<String>; 3],
}

/// Reads a reply; names in the data of types that may be compressed are written out.
pub(crate) fn content(reply: &[u8]) -> Content {
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
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    socket: UdpSocket,
    _process: Option<Process>,
}

impl Peer {
    pub(crate) fn new(name: &'static str, address: SocketAddr, process: Option<Process>) -> Peer {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Peer { name, socket, _process: process }
    }

    /// Sends several queries at once, and gives the replies in the order of the queries.
    pub(crate) fn ask_all(&self, queries: &[Vec<u8>]) -> Vec<Content> {
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
fn start_peer(
    name: &'static str,
    folder: &Path,
    files: Files<'_>,
    arguments: &[&str],
    write: impl Fn(u16) -> String,
) -> Peer {
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
            let all = files.iter().all(|(apex, _)| serves(apex));
            if all { Some(true) } else { (!process.is_running()).then_some(false) }
        });
        if started {
            return Peer::new(name, address, Some(process));
        }
        eprintln!("{name}: {:#?} {:#?}", process.errors.all(), process.output.all());
    }
    panic!("{name} does not start");
}

/// NSD with these zones.
pub(crate) fn nsd(folder: &Path, files: Files<'_>, minimal: bool) -> Peer {
    let minimal = if minimal { "yes" } else { "no" };
    start_peer("nsd", folder, files, &["-d"], |port| {
        let at = folder.display();
        let mut text = format!(
            "server:\n  ip-address: 127.0.0.1@{port}\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{at}\"\n  \
             database: \"\"\n  pidfile: \"{at}/nsd.pid\"\n  xfrdfile: \"{at}/xfrd\"\n  xfrdir: \"{at}\"\n  \
             zonelistfile: \"{at}/zone.list\"\n  minimal-responses: {minimal}\n  rrl-ratelimit: 0\n  \
             refuse-any: no\n  ipv4-edns-size: 1232\n\
             remote-control:\n  control-enable: no\n"
        );
        for (apex, file) in files {
            text += &format!("zone:\n  name: {apex}\n  zonefile: {file}\n");
        }
        text
    })
}

/// Knot with these zones.
pub(crate) fn knot(folder: &Path, files: Files<'_>) -> Peer {
    start_peer("knotd", folder, files, &[], |port| {
        let at = folder.display();
        let mut text = format!(
            "server:\n  listen: 127.0.0.1@{port}\n  rundir: {at}\n  udp-max-payload: 1232\n\
             log:\n- target: stderr\n  any: warning\ndatabase:\n  storage: {at}\n\
             template:\n- id: default\n  storage: {at}\n  semantic-checks: off\n  zonefile-load: whole\n  journal-content: none\n\
             zone:\n"
        );
        for (apex, file) in files {
            text += &format!("- domain: {apex}\n  file: {file}\n");
        }
        text
    })
}

/// A query's octets.
pub(crate) fn query(id: u16, name: &Name, rtype: u16, dnssec_ok: bool) -> Vec<u8> {
    let header = Header { id, flags: 0, qdcount: 1, ancount: 0, nscount: 0, arcount: 1 };
    let mut octets = header.to_octets().to_vec();
    octets.extend(name.as_wire());
    octets.extend(rtype.to_be_bytes());
    octets.extend([0, 1]);
    octets.extend([0, 0, 41, 0x10, 0, 0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    octets
}
