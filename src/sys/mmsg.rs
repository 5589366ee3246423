//! Datagrams in batches: up to `BATCH` queries by one recvmmsg, their replies by one sendmmsg.
//!
//! A `Batch` owns all that the two calls need (headers, addresses, control data, buffers) in one allocation made at
//! start-up. The headers point into that allocation and are written once; a round only restores the few fields the
//! kernel changes. The control data of a query (its destination address, RFC 3542 §6.2; present only on a wildcard
//! listener) is edited in place and becomes that of its reply, so the reply leaves from the address that was asked.
//!
//! # Invariants
//! - The allocation never moves and is reached only through `Batch::arena`, so the headers' pointers stay good.
//! - `received` ≤ `BATCH`: slots below it hold a query of this round.
//!
//! Never allocates after construction, never reads a clock, never blocks: both calls say MSG_DONTWAIT.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use super::arena::{Arena, CONTROL_OCTETS, NAME_OCTETS, source_of_reply};

/// Datagrams a call. Measured: 8 to 16 did best, 64 was worse (its buffers leave the first-level cache).
pub const BATCH: usize = 16;
/// Largest query taken whole; no sane query comes near. A longer one is cut and flagged.
pub const QUERY_OCTETS: usize = 4096;
/// Largest reply over UDP; as large as the EDNS sizes that make sense (RFC 9715 asks for 1400 or less).
pub const REPLY_OCTETS: usize = 4096;
/// How often a full send buffer is tried again before the rest of a batch is dropped.
const SEND_ATTEMPTS: u32 = 4;

/// One query, the room for its reply, and who asked.
#[derive(Debug)]
pub struct Slot<'a> {
    /// The query's octets, at most [`QUERY_OCTETS`].
    pub query: &'a [u8],
    /// Room for the reply, [`REPLY_OCTETS`]; what it holds before is left over from earlier rounds.
    pub reply: &'a mut [u8],
    /// The sender's address and port.
    pub peer: SocketAddr,
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
    /// Slots that hold a query of this round.
    received: usize,
    /// Length of each slot's reply, 0 where there is none.
    reply_len: [u16; BATCH],
}

const _: () = assert!(REPLY_OCTETS <= u16::MAX as usize);

// SAFETY: the arena belongs to this Batch alone and its pointers point only into it, so it may change threads whole.
#[expect(unsafe_code, reason = "the arena's inner pointers hide that the value is self-contained")]
unsafe impl Send for Batch {}

impl Batch {
    /// Allocates and links the buffers.
    pub fn new() -> Batch {
        Batch { arena: Arena::allocate(), received: 0, reply_len: [0; BATCH] }
    }

    /// Takes what waits on `socket`, at most [`BATCH`] datagrams, and forgets the former round. 0: nothing waits.
    ///
    /// # Errors
    /// What recvmmsg reported, other than "nothing there" and "interrupted" (which is tried again).
    #[expect(unsafe_code, reason = "recvmmsg is a foreign function")]
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let used = std::mem::take(&mut self.received);
        self.reply_len = [0; BATCH];
        for message in &mut self.arena_mut().incoming[..used] {
            message.msg_hdr.msg_namelen = NAME_OCTETS as _;
            message.msg_hdr.msg_controllen = CONTROL_OCTETS as _;
        }
        loop {
            // SAFETY: `incoming` has BATCH headers, each pointing to live parts of the arena with their true lengths
            // (set by `Arena::allocate`, lengths restored above); `&mut self` means nobody else looks at them.
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
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Ok(0),
                _ => return Err(error),
            }
        }
    }

    /// Number of queries of this round.
    pub fn len(&self) -> usize {
        self.received
    }

    /// Whether this round brought nothing.
    pub fn is_empty(&self) -> bool {
        self.received == 0
    }

    /// The query in slot `index` together with the room for its reply.
    ///
    /// # Panics
    /// If `index` is not below what `receive` returned.
    pub fn slot(&mut self, index: usize) -> Slot<'_> {
        assert!(index < self.received, "slot {index} holds no query");
        let arena = self.arena_mut();
        let message = &arena.incoming[index];
        let length = (message.msg_len as usize).min(QUERY_OCTETS);
        Slot {
            query: &arena.queries[index].0[..length],
            reply: &mut arena.replies[index].0[..REPLY_OCTETS],
            peer: arena.names[index].decode(),
            truncated: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        }
    }

    /// Marks the first `length` octets of the reply buffer of slot `index` to be sent; 0 means no reply.
    ///
    /// # Panics
    /// If `index` is not below what `receive` returned or `length` exceeds [`REPLY_OCTETS`].
    pub fn set_reply(&mut self, index: usize, length: usize) {
        assert!(
            index < self.received && length <= REPLY_OCTETS,
            "no such reply: slot {index}, {length} octets"
        );
        self.reply_len[index] = length as u16;
    }

    /// Sends the marked replies, in slot order, each to its query's sender and from the address it was sent to.
    /// A datagram that cannot be sent never holds up those behind it. Afterwards no reply is marked.
    #[expect(unsafe_code, reason = "sendmmsg is a foreign function")]
    pub fn send(&mut self, socket: BorrowedFd<'_>) -> SendTally {
        let count = self.prepare_replies();
        let mut tally = SendTally::default();
        let (mut next, mut attempts) = (0, 0);
        while next < count {
            // SAFETY: `prepare_replies` filled the first `count` outgoing headers with pointers into the arena and
            // the lengths of what they point to; next < count ≤ BATCH, so the pointer and the number stay inside.
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
            let error = io::Error::last_os_error();
            let busy = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
                || error.raw_os_error() == Some(libc::ENOBUFS);
            if !busy {
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

    /// Lines up the outgoing headers of the marked replies, without gaps, and returns their number.
    fn prepare_replies(&mut self) -> usize {
        let received = self.received;
        let lengths = std::mem::replace(&mut self.reply_len, [0; BATCH]);
        let arena = self.arena_mut();
        let mut count = 0;
        for (index, length) in
            lengths.into_iter().enumerate().take(received).filter(|(_, length)| *length > 0)
        {
            arena.reply_vectors[index].iov_len = usize::from(length);
            let vector = &raw mut arena.reply_vectors[index];
            let query = &mut arena.incoming[index].msg_hdr;
            let reply = &mut arena.outgoing[count].msg_hdr;
            reply.msg_name = query.msg_name;
            reply.msg_namelen = query.msg_namelen;
            reply.msg_iov = vector;
            reply.msg_iovlen = 1;
            let control = source_of_reply(query);
            reply.msg_control = if control == 0 { std::ptr::null_mut() } else { query.msg_control };
            reply.msg_controllen = control as _;
            count += 1;
        }
        count
    }

    #[expect(unsafe_code, reason = "the one way to the arena")]
    fn arena_mut(&mut self) -> &mut Arena {
        // SAFETY: `arena` came from a Box in `Arena::allocate`, is freed only by Drop, and `&mut self` makes this the
        // only reference. The pointers stored in the headers are used by the kernel alone, never while it lives.
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
        // SAFETY: `arena` is the pointer that `Arena::allocate` got from Box::into_raw, and nobody uses it after drop.
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
        assert_eq!(batch.receive(socket.as_fd()).unwrap(), expected);
        assert_eq!(batch.len(), expected);
    }

    fn echo(batch: &mut Batch, index: usize) {
        let slot = batch.slot(index);
        let length = slot.query.len();
        slot.reply[..length].copy_from_slice(slot.query);
        batch.set_reply(index, length);
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
        assert_eq!(batch.receive(server.as_fd()).unwrap(), 0);
        assert!(batch.is_empty());
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
                for (index, client) in clients.iter().enumerate() {
                    assert_eq!(batch.slot(index).peer, client.local_addr().unwrap());
                    assert!(!batch.slot(index).truncated);
                    echo(&mut batch, index);
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
        (0..5u8).for_each(|number| assert_eq!(client.send(&[number]).unwrap(), 1));
        let mut batch = Batch::new();
        receive_all(&mut batch, &server, 5);
        echo(&mut batch, 1);
        echo(&mut batch, 4);
        assert_eq!(batch.send(server.as_fd()).sent, 2);
        assert_eq!(batch.send(server.as_fd()), SendTally::default());
        assert_eq!((heard(&client), heard(&client)), (vec![1], vec![4]));
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
        assert!(batch.slot(0).truncated && batch.slot(0).query.len() == QUERY_OCTETS);
        assert!(!batch.slot(1).truncated && batch.slot(1).query.len() == QUERY_OCTETS);
        assert!(!batch.slot(2).truncated && batch.slot(2).query.is_empty());
        client.send(b"after").unwrap();
        receive_all(&mut batch, &server, 1);
        assert!(!batch.slot(0).truncated && batch.slot(0).query == b"after");
    }

    #[test]
    fn a_reply_that_cannot_be_sent_is_dropped_and_those_behind_it_are_not() {
        let server = server("127.0.0.1:0");
        let client = client("127.0.0.1:0", server.local_addr().unwrap());
        (0..4u8).for_each(|number| assert_eq!(client.send(&[number]).unwrap(), 1));
        let mut batch = Batch::new();
        receive_all(&mut batch, &server, 4);
        (0..4).for_each(|index| echo(&mut batch, index));
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
                echo(&mut batch, 0);
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
            echo(&mut batch, 0);
            assert_eq!(batch.send(server.as_fd()).sent, 1);
        })
        .join()
        .unwrap();
        assert_eq!(heard(&client), b"x");
    }

    #[test]
    #[should_panic(expected = "holds no query")]
    fn a_slot_of_an_earlier_round_is_out_of_reach() {
        Batch::new().slot(0);
    }
}
