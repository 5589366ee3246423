//! Socket options that socket2 does not offer. All are set once, before the socket carries traffic.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Asks the kernel to say, with every datagram, to which of the machine's addresses it was sent (IP_PKTINFO,
/// RFC 3542 §6.2 for IPv6). Needed only on a wildcard listener, which must answer from the address asked.
///
/// # Errors
/// What setsockopt reported.
pub fn report_destination(socket: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
        SocketAddr::V6(_) => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

/// Makes the kernel ignore what others claim the path MTU to be, and never set DF: a forged "fragmentation needed"
/// can then neither shrink a reply into fragments (the fragmentation attacks on DNS) nor stop it.
///
/// # Errors
/// What setsockopt reported.
pub fn ignore_path_mtu(socket: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => {
            set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT)
        }
        SocketAddr::V6(_) => {
            set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT)
        }
    }
}

/// Asks for socket buffers of these sizes: beyond the system's maximum where the process may (CAP_NET_ADMIN), else up
/// to it. The kernel's cut is not an error.
///
/// # Errors
/// What setsockopt reported for the plain option.
pub fn set_buffers(socket: BorrowedFd<'_>, receive_octets: u32, send_octets: u32) -> io::Result<()> {
    for (octets, forced, plain) in [
        (receive_octets, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        (send_octets, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
    ] {
        let octets = libc::c_int::try_from(octets).unwrap_or(libc::c_int::MAX);
        if set_option(socket, libc::SOL_SOCKET, forced, octets).is_err() {
            set_option(socket, libc::SOL_SOCKET, plain, octets)?;
        }
    }
    Ok(())
}

/// One integer option.
#[expect(unsafe_code, reason = "setsockopt is a foreign function")]
fn set_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which lives through the call; the kernel only reads it.
    // The descriptor is open, for it is borrowed.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn every_option_is_accepted_on_sockets_of_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let socket = UdpSocket::bind(address).unwrap();
            let address = socket.local_addr().unwrap();
            report_destination(socket.as_fd(), &address).unwrap();
            ignore_path_mtu(socket.as_fd(), &address).unwrap();
            set_buffers(socket.as_fd(), 1 << 18, 1 << 18).unwrap();
        }
    }

    #[test]
    fn an_option_of_the_wrong_kind_is_an_error_not_a_silence() {
        let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        assert!(ignore_path_mtu(socket.as_fd(), &address).is_err());
    }
}
