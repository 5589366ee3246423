//! The memory behind a batch of datagrams: what recvmmsg(2) and sendmmsg(2) are given, linked once.
//!
//! # Invariants
//! Pointers in the headers point into the same arena, which never moves: it is made by `Arena::allocate` alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr::NonNull;

use super::mmsg::{BATCH, Link, QUERY_OCTETS, REPLY_OCTETS};

/// Distance of two query slots. Not a multiple of 4096, or the first lines of all slots would share one cache set.
const QUERY_STRIDE: usize = QUERY_OCTETS + 128;
/// Distance of two reply slots, for the same reason.
const REPLY_STRIDE: usize = REPLY_OCTETS + 256;
/// Room for one IP_PKTINFO or IPV6_PKTINFO item.
pub(super) const CONTROL_OCTETS: usize = 40;
/// Room for a sockaddr_in6, the larger of the two.
pub(super) const NAME_OCTETS: usize = 32;

/// All memory of a batch. Mirrors `struct mmsghdr` of <sys/socket.h> (recvmmsg(2), sendmmsg(2)).
#[derive(Debug)]
#[repr(C)]
pub(super) struct Arena {
    pub(super) incoming: [libc::mmsghdr; BATCH],
    pub(super) outgoing: [libc::mmsghdr; BATCH],
    query_vectors: [libc::iovec; BATCH],
    pub(super) reply_vectors: [libc::iovec; BATCH],
    pub(super) names: [Name; BATCH],
    controls: [Control; BATCH],
    pub(super) queries: [Buffer<QUERY_STRIDE>; BATCH],
    pub(super) replies: [Buffer<REPLY_STRIDE>; BATCH],
}

/// The octets of one datagram.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Buffer<const STRIDE: usize>(pub(super) [u8; STRIDE]);

/// A `struct sockaddr_in` or `sockaddr_in6`, as octets.
#[derive(Debug)]
#[repr(C, align(8))]
pub(super) struct Name(pub(super) [u8; NAME_OCTETS]);

/// Control data, aligned as `struct cmsghdr` asks.
#[derive(Debug)]
#[repr(C, align(8))]
pub(super) struct Control([u8; CONTROL_OCTETS]);

const _: () = assert!(align_of::<libc::cmsghdr>() <= 8 && NAME_OCTETS >= size_of::<libc::sockaddr_in6>());

impl Arena {
    /// A zeroed arena whose headers point to their own parts.
    #[expect(unsafe_code, reason = "zeroed memory as C structures")]
    pub(super) fn allocate() -> NonNull<Arena> {
        // SAFETY: an Arena is integers and raw pointers, for which all-zero octets are a value.
        let arena: &'static mut Arena = Box::leak(unsafe { Box::<Arena>::new_zeroed().assume_init() });
        let arena = NonNull::from(arena);
        let base = arena.as_ptr();
        for index in 0..BATCH {
            // SAFETY: `base` is live and exclusively ours, `index` is below the length of every array; the stored
            // pointers are derived from `base` itself, so they stay valid beside later uses of it.
            unsafe {
                (*base).query_vectors[index].iov_base = (&raw mut (*base).queries[index]).cast();
                (*base).query_vectors[index].iov_len = QUERY_OCTETS;
                (*base).reply_vectors[index].iov_base = (&raw mut (*base).replies[index]).cast();
                let query = &raw mut (*base).incoming[index].msg_hdr;
                (*query).msg_iov = &raw mut (*base).query_vectors[index];
                let reply = &raw mut (*base).outgoing[index].msg_hdr;
                (*reply).msg_iov = &raw mut (*base).reply_vectors[index];
                for header in [query, reply] {
                    (*header).msg_name = (&raw mut (*base).names[index]).cast();
                    (*header).msg_iovlen = 1;
                    (*header).msg_control = (&raw mut (*base).controls[index]).cast();
                }
            }
        }
        arena
    }

    /// Sets the lengths that are the same for all datagrams of a socket. The kernel writes back into a query's header how
    /// long the sender's address is, which is what it was given, and how much control data there is: the same nothing,
    /// or what `restore_control` undoes.
    pub(super) fn set_link(&mut self, link: Link) {
        let name = if link.is_v6 { size_of::<libc::sockaddr_in6>() } else { size_of::<libc::sockaddr_in>() };
        for header in self.incoming.iter_mut().chain(&mut self.outgoing) {
            header.msg_hdr.msg_namelen = name as _;
            header.msg_hdr.msg_controllen = 0;
        }
        if link.tells_destination {
            self.restore_control(BATCH);
        }
    }

    /// Makes room again for the control data of the first `used` queries.
    #[inline]
    pub(super) fn restore_control(&mut self, used: usize) {
        for message in self.incoming.iter_mut().take(used) {
            message.msg_hdr.msg_controllen = CONTROL_OCTETS as _;
        }
    }
}

impl Name {
    /// The port; it stands at the same place in both families.
    #[inline]
    pub(super) fn port(&self) -> u16 {
        u16::from_be_bytes([self.0[2], self.0[3]])
    }

    /// The address in a `sockaddr_in`.
    #[inline]
    pub(super) fn ip_v4(&self) -> IpAddr {
        let [_, _, _, _, a, b, c, d, ..] = self.0;
        Ipv4Addr::new(a, b, c, d).into()
    }

    /// The address in a `sockaddr_in6`.
    #[inline]
    pub(super) fn ip_v6(&self) -> IpAddr {
        let mut octets = [0; 16];
        octets.copy_from_slice(&self.0[8..24]);
        Ipv6Addr::from(octets).into()
    }
}

/// Makes a query's control data that of its reply, in place: the destination becomes the source. The interface is
/// left to routing, but for link-local addresses, which mean nothing without one (RFC 4007 §6). Returns the length
/// of the control data, 0 where there is none.
#[expect(unsafe_code, reason = "control messages are C structures behind pointers")]
pub(super) fn source_of_reply(query: &mut libc::msghdr) -> usize {
    if query.msg_controllen == 0 || query.msg_flags & libc::MSG_CTRUNC != 0 {
        return 0;
    }
    // SAFETY: `msg_control` points to this slot's Control (kept by `Arena::allocate`), aligned for cmsghdr, and the
    // kernel set `msg_controllen` to how much of it is filled, which CMSG_FIRSTHDR checks against a header. The data
    // is touched only after `cmsg_len` has shown that it is all there; it lies 16 octets in, aligned for the structs.
    unsafe {
        let item = libc::CMSG_FIRSTHDR(query);
        if item.is_null() {
            return 0;
        }
        let v4_octets = size_of::<libc::in_pktinfo>() as u32;
        let v6_octets = size_of::<libc::in6_pktinfo>() as u32;
        let length = (*item).cmsg_len as usize;
        match ((*item).cmsg_level, (*item).cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) if length >= libc::CMSG_LEN(v4_octets) as usize => {
                let info: *mut libc::in_pktinfo = libc::CMSG_DATA(item).cast();
                (*info).ipi_ifindex = 0;
                libc::CMSG_SPACE(v4_octets) as usize
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if length >= libc::CMSG_LEN(v6_octets) as usize => {
                let info: *mut libc::in6_pktinfo = libc::CMSG_DATA(item).cast();
                if !Ipv6Addr::from((*info).ipi6_addr.s6_addr).is_unicast_link_local() {
                    (*info).ipi6_ifindex = 0;
                }
                libc::CMSG_SPACE(v6_octets) as usize
            }
            _ => 0,
        }
    }
}
