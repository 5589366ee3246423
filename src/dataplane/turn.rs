//! What all steps of one answer share: how the query came, what it is answered from, why it gets no reply.
//!
//! Plain data; decides nothing.

use std::net::IpAddr;

use crate::state::counters::Counters;
use crate::state::guard::Guard;
use crate::state::rotation::RotationTable;
use crate::state::snapshot::Snapshot;

/// Why a message gets no reply at all.
// As wide as a length, so that an outcome is returned in two registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum DropReason {
    /// Fewer than 12 octets: there is no identifier to answer to.
    Short,
    /// QR is set: answering responses would let two servers talk for ever.
    Response,
}

/// How the query came, and so how large a reply may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram: 512 octets, or what EDNS agrees on.
    Udp,
    /// A stream: 65,535 octets.
    Tcp,
    /// A stream, while there is hardly room for another one: who asks how long it may idle is told to close.
    ScarceTcp,
}

impl Transport {
    /// Whether it is a stream.
    #[inline(always)]
    pub fn is_stream(self) -> bool {
        self != Transport::Udp
    }
}

/// What answering one message draws on. Handed on by value: it is put together in memory only where a way leaves the usual one.
pub(super) struct Turn<'t> {
    pub(super) snapshot: &'t Snapshot,
    pub(super) rotations: &'t mut RotationTable,
    pub(super) counters: &'t Counters,
    pub(super) client: &'t IpAddr,
    pub(super) transport: Transport,
    pub(super) guard: &'t mut Guard,
}
