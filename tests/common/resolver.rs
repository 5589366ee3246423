//! Questions to a resolver, some at a time, and the flags of its replies.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use steerd::wire::message::{Header, Rtype};
use steerd::wire::name::Name;

/// Flag AD: the resolver has validated the answer (RFC 4035 §3.2.3).
pub const FLAG_AD: u16 = 0x0020;

/// A query with DO.
pub fn query(id: u16, name: &Name, rtype: Rtype, recursive: bool) -> Vec<u8> {
    let flags = if recursive { 0x0100 } else { 0 };
    let header = Header { id, flags, qdcount: 1, ancount: 0, nscount: 0, arcount: 1 };
    let mut octets = header.to_octets().to_vec();
    octets.extend(name.as_wire());
    octets.extend(rtype.0.to_be_bytes());
    octets.extend([0, 1, 0, 0, 41, 0x10, 0, 0, 0, 0x80, 0, 0, 0]);
    octets
}

/// Asks many questions, some at a time; gives the flags of each reply.
pub fn ask_all(resolver: SocketAddr, questions: &[(Name, Rtype)]) -> Vec<u16> {
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
