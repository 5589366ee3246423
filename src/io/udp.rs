//! One non-blocking datagram socket, read and written in batches.
//!
//! Readiness is edge-triggered: once reported, the socket counts as ready until a receive finds it empty. That is also
//! what a batch with room left says: recvmmsg asks for more until the kernel has none (it takes no timeout here), so what
//! comes after it raises another edge (epoll(7): an edge a change of state). Should it have stopped for an error instead,
//! the next datagram's edge brings both to light; without IP_RECVERR no error of another's making reaches this socket (udp(7)).
//! An error is counted and tried again a bounded number of times; it never stops the worker.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::sys::mmsg::{BATCH, Link, SendTally};
/// What callers of `io` need of a batch: the data plane does not import `sys`.
pub use crate::sys::mmsg::{Batch, Slot};

/// Errors in a row after which the socket waits for the kernel to report it again.
const ERRORS_IN_A_ROW: u32 = 8;

/// A datagram socket of one worker.
#[derive(Debug)]
pub struct UdpIo {
    socket: UdpSocket,
    link: Link,
    ready: bool,
    receive_errors: u64,
    errors_in_a_row: u32,
}

impl UdpIo {
    /// Takes over a bound, non-blocking socket. It counts as ready: something may have come before registration.
    ///
    /// # Errors
    /// What the registration reported.
    pub(super) fn new(registry: &Registry, token: Token, socket: UdpSocket) -> io::Result<UdpIo> {
        registry.register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)?;
        let link = Link::new(&socket.local_addr()?);
        Ok(UdpIo { socket, link, ready: true, receive_errors: 0, errors_in_a_row: 0 })
    }

    /// Has the kernel poll the device for so many microseconds where this socket has nothing.
    ///
    /// # Errors
    /// What setsockopt reported.
    pub(super) fn set_busy_poll(&self, microseconds: u16) -> io::Result<()> {
        crate::sys::socket::busy_poll(self.socket.as_fd(), microseconds)
    }

    /// Whether a receive may find something.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Errors of receive since the start.
    pub fn receive_errors(&self) -> u64 {
        self.receive_errors
    }

    /// Takes what waits into `batch` and returns how many queries that is. No system call where nothing is ready.
    #[inline]
    pub fn receive(&mut self, batch: &mut Batch) -> usize {
        if !self.ready {
            return 0;
        }
        match batch.receive(self.socket.as_fd(), self.link) {
            Ok(count) => {
                self.errors_in_a_row = 0;
                self.ready = count == BATCH;
                count
            }
            Err(_) => {
                self.receive_errors += 1;
                self.errors_in_a_row += 1;
                if self.errors_in_a_row >= ERRORS_IN_A_ROW {
                    self.errors_in_a_row = 0;
                    self.ready = false;
                }
                0
            }
        }
    }

    /// Sends the replies marked in `batch`, which must hold queries of this socket.
    pub fn send(&mut self, batch: &mut Batch) -> SendTally {
        batch.send(self.socket.as_fd())
    }

    pub(super) fn set_ready(&mut self) {
        self.ready = true;
    }
}
