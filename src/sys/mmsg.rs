//! Datagrams in batches: up to `BATCH` queries by one recvmmsg, their replies by one sendmmsg.
//!
//! A `Batch` owns all that the two calls need (headers, addresses, control data, buffers) in one allocation made at
//! start-up. The headers point into that allocation. Incoming ones are written once; what the kernel writes back into them is
//! the same in each round, but for a wildcard listener. Of outgoing ones each reply sets length, peer and control data. There the control data of a query (its destination address, RFC 3542
//! §6.2) is edited in place and becomes that of its reply, so the reply leaves from the address that was asked.
//!
//! # Invariants
//! - The allocation never moves and is reached only through `Batch::arena`, so the headers' pointers stay good.
//! - `replies` ≤ `received` ≤ `BATCH`: incoming headers below `received` hold a query of this round, outgoing headers
//!   below `replies` a reply to one.
//! - All headers are set for `link`.
//!
//! Never allocates after construction, never reads a clock, never blocks: both calls say MSG_DONTWAIT.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use super::arena::{Arena, source_of_reply};

/// Datagrams a call. Measured: perf/README.md, "Batches".
pub const BATCH: usize = 16;
/// Largest query taken whole; no sane query comes near. A longer one is cut and flagged.
pub const QUERY_OCTETS: usize = 4096;
/// Largest reply over UDP; as large as the EDNS sizes that make sense (RFC 9715 asks for 1400 or less).
pub const REPLY_OCTETS: usize = 4096;
/// How often a full send buffer is tried again before the rest of a batch is dropped.
const SEND_ATTEMPTS: u32 = 4;

/// What the headers of a socket's datagrams look like; the same for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// IPv6, and IPv6 only; else IPv4.
    pub(super) is_v6: bool,
    /// The kernel tells each datagram's destination: a wildcard listener (`socket::report_destination`).
    pub(super) tells_destination: bool,
}

impl Link {
    /// That of a socket bound to `address`.
    pub fn new(address: &SocketAddr) -> Link {
        Link { is_v6: address.is_ipv6(), tells_destination: address.ip().is_unspecified() }
    }
}

/// One query, the room for its reply, and who asked.
#[derive(Debug)]
pub struct Slot<'a> {
    /// The query's octets, at most [`QUERY_OCTETS`].
    pub query: &'a [u8],
    /// Room for the reply, [`REPLY_OCTETS`]; what it holds before is left over from earlier rounds.
    pub reply: &'a mut [u8],
    /// The sender's address.
    pub client: IpAddr,
    /// The sender's port.
    pub port: u16,
    /// The datagram was longer than [`QUERY_OCTETS`] and `query` is only its beginning.
    pub truncated: bool,
}

/// What became of the replies of one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendTally {
    /// Handed to the kernel.
    pub sent: u32,
    /// Refused by it: no route, forbidden by a filter, send buffer full for too long.
    pub dropped: u32,
}

/// The buffers of one worker's datagrams.
#[derive(Debug)]
pub struct Batch {
    arena: NonNull<Arena>,
    link: Link,
    /// Queries of this round.
    received: usize,
    /// Replies to send.
    replies: usize,
}

// SAFETY: the arena belongs to this Batch alone and its pointers point only into it, so it may change threads whole.
#[expect(unsafe_code, reason = "the arena's inner pointers hide that the value is self-contained")]
unsafe impl Send for Batch {}

impl Batch {
    /// Allocates and links the buffers.
    pub fn new() -> Batch {
        let link = Link { is_v6: false, tells_destination: false };
        let mut batch = Batch { arena: Arena::allocate(), link, received: 0, replies: 0 };
        batch.arena_mut().set_link(link);
        batch
    }

    /// Takes what waits on `socket`, at most [`BATCH`] datagrams, and forgets the former round. 0: nothing waits. Fewer
    /// than [`BATCH`]: the kernel has found the socket empty behind them (or met an error, which the next call returns).
    ///
    /// # Errors
    /// What recvmmsg reported, other than "nothing there" and "interrupted" (which is tried again).
    #[inline]
    #[expect(unsafe_code, reason = "recvmmsg is a foreign function")]
    pub fn receive(&mut self, socket: BorrowedFd<'_>, link: Link) -> io::Result<usize> {
        let used = std::mem::take(&mut self.received);
        self.replies = 0;
        if link != self.link {
            self.link = link;
            self.arena_mut().set_link(link);
        } else if link.tells_destination {
            self.arena_mut().restore_control(used);
        }
        loop {
            // SAFETY: `incoming` has BATCH headers, each pointing to live parts of the arena with lengths that are at
            // most theirs (`Arena::allocate`, `Arena::set_link`); `&mut self` means nobody else looks at them.
            let count = unsafe {
                libc::recvmmsg(
                    socket.as_raw_fd(),
                    (&raw mut (*self.arena.as_ptr()).incoming).cast(),
                    BATCH as libc::c_uint,
                    libc::MSG_DONTWAIT as _,
                    std::ptr::null_mut(),
                )
            };
            if let Ok(count) = usize::try_from(count) {
                self.received = count.min(BATCH);
                return Ok(self.received);
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN) => return Ok(0),
                _ => return Err(error),
            }
        }
    }

    /// Has `answer` write the reply to each query of this round, in order; it returns the reply's length, 0 for none.
    ///
    /// # Panics
    /// If a length exceeds [`REPLY_OCTETS`].
    #[inline]
    pub fn answer_each(&mut self, mut answer: impl FnMut(Slot<'_>) -> usize) {
        let Link { is_v6, tells_destination } = self.link;
        let received = self.received;
        let arena = self.arena_mut();
        let mut replies = 0;
        // Of fixed length, so that no index below needs a check.
        for index in 0..BATCH {
            if index == received {
                break;
            }
            let message = &mut arena.incoming[index];
            let name = &arena.names[index];
            let reply_length = answer(Slot {
                query: &arena.queries[index].0[..(message.msg_len as usize).min(QUERY_OCTETS)],
                reply: &mut arena.replies[index].0[..REPLY_OCTETS],
                client: if is_v6 { name.ip_v6() } else { name.ip_v4() },
                port: name.port(),
                truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            });
            if reply_length == 0 {
                continue;
            }
            assert!(reply_length <= REPLY_OCTETS, "a reply of {reply_length} octets");
            // One reply a query and `replies` ≤ `index`: there is an outgoing header left.
            let reply = &mut arena.outgoing[replies.min(index)].msg_hdr;
            let vector = &mut arena.reply_vectors[index];
            vector.iov_len = reply_length;
            // Already so unless a query before had no reply, in this round or in the header's last one.
            if !std::ptr::eq(reply.msg_iov, vector) {
                reply.msg_iov = vector;
                reply.msg_name = message.msg_hdr.msg_name;
                reply.msg_control = message.msg_hdr.msg_control;
            }
            if tells_destination {
                reply.msg_controllen = source_of_reply(&mut message.msg_hdr) as _;
            }
            replies += 1;
        }
        self.replies = replies;
    }

    /// Sends the replies in the order of their queries, each to its query's sender and from the address it was sent to.
    /// A datagram that cannot be sent never holds up those behind it. Afterwards no reply is left.
    #[inline]
    #[expect(unsafe_code, reason = "sendmmsg is a foreign function")]
    pub fn send(&mut self, socket: BorrowedFd<'_>) -> SendTally {
        let count = std::mem::take(&mut self.replies);
        let mut tally = SendTally::default();
        let (mut next, mut attempts) = (0, 0);
        while next < count {
            // SAFETY: `answer_each` made the first `count` outgoing headers point into the arena, with the lengths of
            // what they point to; next < count ≤ BATCH, so the pointer and the number stay inside.
            let sent = unsafe {
                let outgoing: *mut libc::mmsghdr = (&raw mut (*self.arena.as_ptr()).outgoing).cast();
                let rest = (count - next) as libc::c_uint;
                libc::sendmmsg(socket.as_raw_fd(), outgoing.add(next), rest, libc::MSG_DONTWAIT as _)
            };
            if let Ok(sent @ 1..) = u32::try_from(sent) {
                tally.sent += sent;
                next += sent as usize;
                continue;
            }
            // The error is that of the datagram at `next`: sendmmsg reports one only for the first it is given.
            let error = io::Error::last_os_error().raw_os_error();
            if !matches!(error, Some(libc::EAGAIN | libc::EINTR | libc::ENOBUFS)) {
                tally.dropped += 1;
                next += 1;
            } else if attempts < SEND_ATTEMPTS {
                attempts += 1;
                std::thread::yield_now();
            } else {
                break;
            }
        }
        tally.dropped += (count - next) as u32;
        tally
    }

    #[inline]
    #[expect(unsafe_code, reason = "the one way to the arena")]
    fn arena_mut(&mut self) -> &mut Arena {
        // SAFETY: `arena` came from a Box in `Arena::allocate`, is freed only by Drop, and `&mut self` makes this the
        // only reference. Of the pointers stored in the headers the kernel uses all, never while it lives; and
        // `answer_each` that of a message's control data, which it does not reach in any other way meanwhile.
        unsafe { self.arena.as_mut() }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Batch::new()
    }
}

impl Drop for Batch {
    #[expect(unsafe_code, reason = "the arena was leaked from a Box")]
    fn drop(&mut self) {
        // SAFETY: `arena` is the pointer that `Arena::allocate` got by leaking a Box, and nobody uses it after drop.
        drop(unsafe { Box::from_raw(self.arena.as_ptr()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Duration;

    fn server(address: &str) -> UdpSocket {
        UdpSocket::bind(address).unwrap()
    }

    /// A client connected to `to`, so that it hears replies only from there.
    fn client(from: &str, to: SocketAddr) -> UdpSocket {
        let client = UdpSocket::bind(from).unwrap();
        client.connect(to).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client
    }

    /// Loopback delivers before send returns, so what was sent is there.
    fn receive_all(batch: &mut Batch, socket: &UdpSocket, expected: usize) {
        let link = Link::new(&socket.local_addr().unwrap());
        assert_eq!(batch.receive(socket.as_fd(), link).unwrap(), expected);
    }

    /// What was in each slot: the octets, the sender, whether they are all.
    type Seen = Vec<(Vec<u8>, SocketAddr, bool)>;

    /// Answers the queries that `choose` names by their place with themselves.
    fn echo_if(batch: &mut Batch, choose: impl Fn(usize) -> bool) -> Seen {
        let mut seen = Vec::new();
        batch.answer_each(|slot| {
            let length = slot.query.len();
            slot.reply[..length].copy_from_slice(slot.query);
            seen.push((slot.query.to_vec(), SocketAddr::new(slot.client, slot.port), !slot.truncated));
            if choose(seen.len() - 1) { length } else { 0 }
        });
        seen
    }

    fn echo(batch: &mut Batch) -> Seen {
        echo_if(batch, |_| true)
    }

    fn heard(client: &UdpSocket) -> Vec<u8> {
        let mut buffer = [0; 65_536];
        let length = client.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    }

    #[test]
    fn an_empty_socket_yields_nothing_and_does_not_block() {
        let server = server("127.0.0.1:0");
        let mut batch = Batch::new();
        receive_all(&mut batch, &server, 0);
        assert!(echo(&mut batch).is_empty());
        assert_eq!(batch.send(server.as_fd()), SendTally::default());
    }

    #[test]
    fn each_reply_of_a_batch_goes_to_the_peer_that_asked() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let server = server(address);
            let to = server.local_addr().unwrap();
            let clients: Vec<_> = (0..BATCH).map(|_| client(address, to)).collect();
            let mut batch = Batch::new();
            for round in 0..3u8 {
                for (number, client) in clients.iter().enumerate() {
                    client.send(&[round, number as u8, 7, 7]).unwrap();
                }
                receive_all(&mut batch, &server, BATCH);
                for ((_, peer, whole), client) in echo(&mut batch).into_iter().zip(&clients) {
                    assert_eq!((peer, whole), (client.local_addr().unwrap(), true));
                }
                assert_eq!(batch.send(server.as_fd()), SendTally { sent: BATCH as u32, dropped: 0 });
                for (number, client) in clients.iter().enumerate() {
                    assert_eq!(heard(client), [round, number as u8, 7, 7]);
                }
            }
        }
    }

    #[test]
    fn slots_without_a_reply_are_skipped_and_a_reply_is_sent_once() {
        let server = server("127.0.0.1:0");
        let client = client("127.0.0.1:0", server.local_addr().unwrap());
        let mut batch = Batch::new();
        // Headers that skipped queries in one round carry other replies in the next.
        for chosen in [&[1, 4][..], &[0, 1, 2, 3, 4], &[2], &[], &[0, 3, 4], &[0, 1, 2, 3, 4]] {
            (0..5u8).for_each(|number| assert_eq!(client.send(&[number]).unwrap(), 1));
            receive_all(&mut batch, &server, 5);
            echo_if(&mut batch, |index| chosen.contains(&index));
            assert_eq!(batch.send(server.as_fd()).sent, chosen.len() as u32);
            assert_eq!(batch.send(server.as_fd()), SendTally::default());
            chosen.iter().for_each(|index| assert_eq!(heard(&client), [*index as u8]));
        }
    }

    #[test]
    fn one_batch_serves_sockets_of_every_kind_in_turn() {
        let kinds =
            [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("0.0.0.0:0", "127.0.0.2"), ("[::]:0", "::1")];
        let pairs: Vec<_> = kinds
            .iter()
            .map(|(bound, asked)| {
                let server = server(bound);
                let address = server.local_addr().unwrap();
                if address.ip().is_unspecified() {
                    socket::report_destination(server.as_fd(), &address).unwrap();
                }
                let from = if address.is_ipv4() { "127.0.0.3:0" } else { "[::1]:0" };
                let client = client(from, SocketAddr::new(asked.parse().unwrap(), address.port()));
                (server, client)
            })
            .collect();
        let mut batch = Batch::new();
        for round in 0..3u8 {
            for (server, client) in pairs.iter().chain(pairs.iter().rev()) {
                (0..3).for_each(|number| assert_eq!(client.send(&[round, number]).unwrap(), 2));
                receive_all(&mut batch, server, 3);
                assert!(echo(&mut batch).iter().all(|seen| seen.1 == client.local_addr().unwrap()));
                assert_eq!(batch.send(server.as_fd()).sent, 3);
                (0..3).for_each(|number| assert_eq!(heard(client), [round, number]));
            }
        }
    }

    #[test]
    fn a_datagram_longer_than_the_buffer_is_flagged_and_the_next_round_is_clean() {
        let server = server("127.0.0.1:0");
        let client = client("127.0.0.1:0", server.local_addr().unwrap());
        client.send(&[1; QUERY_OCTETS + 1]).unwrap();
        client.send(&[2; QUERY_OCTETS]).unwrap();
        client.send(&[]).unwrap();
        let mut batch = Batch::new();
        receive_all(&mut batch, &server, 3);
        let seen: Vec<_> =
            echo(&mut batch).into_iter().map(|(query, _, whole)| (query.len(), whole)).collect();
        assert_eq!(seen, [(QUERY_OCTETS, false), (QUERY_OCTETS, true), (0, true)]);
        client.send(b"after").unwrap();
        receive_all(&mut batch, &server, 1);
        assert_eq!(echo(&mut batch), [(b"after".to_vec(), client.local_addr().unwrap(), true)]);
    }

    #[test]
    fn a_reply_that_cannot_be_sent_is_dropped_and_those_behind_it_are_not() {
        let server = server("127.0.0.1:0");
        let client = client("127.0.0.1:0", server.local_addr().unwrap());
        (0..4u8).for_each(|number| assert_eq!(client.send(&[number]).unwrap(), 1));
        let mut batch = Batch::new();
        receive_all(&mut batch, &server, 4);
        echo(&mut batch);
        // Nothing can be sent to port 0: EINVAL for this datagram alone.
        batch.arena_mut().names[1].0[2..4].fill(0);
        batch.arena_mut().names[3].0[2..4].fill(0);
        assert_eq!(batch.send(server.as_fd()), SendTally { sent: 2, dropped: 2 });
        assert_eq!((heard(&client), heard(&client)), (vec![0], vec![2]));
    }

    #[test]
    fn a_wildcard_socket_answers_from_the_address_asked() {
        for (bound, asked, from) in [("0.0.0.0:0", "127.0.0.2", "127.0.0.3:0"), ("[::]:0", "::1", "[::1]:0")]
        {
            let server = server(bound);
            let address = server.local_addr().unwrap();
            socket::report_destination(server.as_fd(), &address).unwrap();
            let client = client(from, SocketAddr::new(asked.parse().unwrap(), address.port()));
            let mut batch = Batch::new();
            for round in 0..3u8 {
                client.send(&[round]).unwrap();
                receive_all(&mut batch, &server, 1);
                echo(&mut batch);
                assert_eq!(batch.send(server.as_fd()).sent, 1);
                assert_eq!(heard(&client), [round]);
            }
        }
    }

    #[test]
    fn a_batch_can_move_to_another_thread_with_its_round() {
        let server = server("127.0.0.1:0");
        let client = client("127.0.0.1:0", server.local_addr().unwrap());
        client.send(b"x").unwrap();
        let mut batch = Batch::new();
        receive_all(&mut batch, &server, 1);
        std::thread::spawn(move || {
            echo(&mut batch);
            assert_eq!(batch.send(server.as_fd()).sent, 1);
        })
        .join()
        .unwrap();
        assert_eq!(heard(&client), b"x");
    }

    #[test]
    #[should_panic(expected = "a reply of 4097 octets")]
    fn a_reply_longer_than_its_room_is_never_sent() {
        let server = server("127.0.0.1:0");
        let client = client("127.0.0.1:0", server.local_addr().unwrap());
        client.send(b"x").unwrap();
        let mut batch = Batch::new();
        receive_all(&mut batch, &server, 1);
        batch.answer_each(|slot| slot.reply.len() + 1);
    }
}
