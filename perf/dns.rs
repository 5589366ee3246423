//! The little of DNS that a measuring client needs, with std alone: it shares no code with what it measures.
//!
//! Included by path from the programs beside it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// How long a reply may take before the query counts as lost.
const REPLY_TIMEOUT: Duration = Duration::from_millis(500);
/// Largest reply read.
const REPLY_OCTETS: usize = 2048;

/// What a reply to an A query says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Response code, 0 to 15.
    pub(crate) rcode: u8,
    /// Addresses of the A records in the answer section, in their order.
    pub(crate) addresses: Vec<Ipv4Addr>,
}

impl Answer {
    /// True when an address is in the answer twice.
    pub(crate) fn repeats(&self) -> bool {
        (1..self.addresses.len()).any(|at| self.addresses[..at].contains(&self.addresses[at]))
    }
}

/// A connected socket that queries one server.
pub(crate) struct Client {
    socket: UdpSocket,
    next_id: u16,
}

impl Client {
    /// A socket of its own, so that the kernel may steer it to another worker than the next one's.
    ///
    /// # Errors
    /// What the kernel said.
    pub(crate) fn connect(server: SocketAddr) -> io::Result<Client> {
        let local: SocketAddr =
            if server.is_ipv4() { ([127, 0, 0, 1], 0).into() } else { "[::1]:0".parse().unwrap_or(server) };
        let socket = UdpSocket::bind(local)?;
        socket.connect(server)?;
        socket.set_read_timeout(Some(REPLY_TIMEOUT))?;
        Ok(Client { socket, next_id: 1 })
    }

    /// Sends a query for A; returns its id.
    ///
    /// # Errors
    /// What the kernel said.
    pub(crate) fn send(&mut self, name: &str) -> io::Result<u16> {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.socket.send(&query(id, name))?;
        Ok(id)
    }

    /// Waits for a reply; `None` when none came in time. A reply that cannot be read has rcode 255.
    ///
    /// # Errors
    /// What the kernel said.
    pub(crate) fn receive(&mut self) -> io::Result<Option<(u16, Answer)>> {
        let mut reply = [0; REPLY_OCTETS];
        match self.socket.recv(&mut reply) {
            Ok(len) => {
                let reply = &reply[..len];
                let id = reply.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
                Ok(Some((id, answer(reply).unwrap_or(Answer { rcode: 255, addresses: Vec::new() }))))
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks once; `None` when no reply with the query's id came in time.
    ///
    /// # Errors
    /// What the kernel said.
    pub(crate) fn ask(&mut self, name: &str) -> io::Result<Option<Answer>> {
        let id = self.send(name)?;
        while let Some((got, answer)) = self.receive()? {
            // An older id: the reply to a query that was given up.
            if got == id {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }
}

fn query(id: u16, name: &str) -> Vec<u8> {
    let mut octets = Vec::with_capacity(64);
    octets.extend(id.to_be_bytes());
    octets.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        octets.push(label.len() as u8);
        octets.extend(label.as_bytes());
    }
    octets.extend([0, 0, 1, 0, 1]);
    octets
}

/// Reads a reply; `None` when it is broken, truncated or no response.
fn answer(reply: &[u8]) -> Option<Answer> {
    let word = |at: usize| Some(u16::from_be_bytes([*reply.get(at)?, *reply.get(at + 1)?]));
    let flags = word(2)?;
    if flags & 0x8200 != 0x8000 || word(4)? != 1 {
        return None;
    }
    let mut at = skip_name(reply, 12)? + 4;
    let mut addresses = Vec::with_capacity(usize::from(word(6)?));
    for _ in 0..word(6)? {
        at = skip_name(reply, at)?;
        let len = usize::from(word(at + 8)?);
        let data = reply.get(at + 10..at + 10 + len)?;
        if let (1, Ok(octets)) = (word(at)?, <[u8; 4]>::try_from(data)) {
            addresses.push(octets.into());
        }
        at += 10 + len;
    }
    Some(Answer { rcode: (flags & 15) as u8, addresses })
}

fn skip_name(reply: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *reply.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer >= 0xC0 => return Some(at + 2),
            len => at += 1 + usize::from(len),
        }
    }
}
