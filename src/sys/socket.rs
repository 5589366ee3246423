//! Socket options that socket2 does not offer. All are set once, before the socket carries traffic.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Packets that one busy poll takes from the device at most; the kernel's own weight of a poll.
const BUSY_POLL_PACKETS: u16 = 64;
/// Cores that packets can be steered to: a classic BPF program has at most 4,096 instructions, two a core.
pub const MAX_STEERED: usize = 2000;
/// Return the accumulator (<linux/filter.h>).
const BPF_A: u32 = 0x10;

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

/// Has a listener report a connection when its first octets have come, not when it is established (TCP_DEFER_ACCEPT of
/// tcp(7)): a second without any, and it is reported all the same. Until then the kernel keeps it as a request, which costs no
/// file and none of the places for connections; too many of those are answered with cookies, and then nothing is deferred.
///
/// # Errors
/// What setsockopt reported.
pub fn accept_with_data(listener: BorrowedFd<'_>) -> io::Result<()> {
    set_option(listener, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 1)
}

/// Has the kernel poll the network device's queue for up to so many microseconds when it is asked for what the socket does
/// not have, and leave the device's interrupts off meanwhile (SO_BUSY_POLL, SO_PREFER_BUSY_POLL of socket(7)).
///
/// # Errors
/// What setsockopt reported: EPERM without CAP_NET_ADMIN.
pub fn busy_poll(socket: BorrowedFd<'_>, microseconds: u16) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_BUSY_POLL, microseconds.into())?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_PREFER_BUSY_POLL, 1)
}

/// The same while an epoll instance is waited for, which the options of its sockets do not bring about
/// (EPIOCSPARAMS of <linux/eventpoll.h>, Linux 6.9).
///
/// # Errors
/// What ioctl reported: ENOTTY from an older kernel, EPERM without CAP_NET_ADMIN.
#[expect(unsafe_code, reason = "ioctl is a foreign function")]
pub fn busy_poll_while_waiting<E: AsRawFd>(epoll: &E, microseconds: u16) -> io::Result<()> {
    let parameters = libc::epoll_params {
        busy_poll_usecs: microseconds.into(),
        busy_poll_budget: BUSY_POLL_PACKETS,
        prefer_busy_poll: 1,
        __pad: 0,
    };
    // SAFETY: `parameters` is of the type this request reads and lives through the call, which writes nothing. A
    // descriptor of another kind is an error, not undefined.
    let outcome = unsafe { libc::ioctl(epoll.as_raw_fd(), libc::EPIOCSPARAMS, &raw const parameters) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives each packet for the sockets that share a port to the one whose core received it; `cores` are in the order in which
/// the sockets came to the port. A packet received on another core goes to a socket by that core's number. To be set
/// on one of the sockets (SO_ATTACH_REUSEPORT_CBPF of socket(7)).
///
/// # Errors
/// What setsockopt reported; more cores than [`MAX_STEERED`].
#[expect(unsafe_code, reason = "setsockopt is a foreign function")]
pub fn steer_by_core(socket: BorrowedFd<'_>, cores: &[u32]) -> io::Result<()> {
    let mut program = steering_program(cores)?;
    let header = libc::sock_fprog { len: program.len() as libc::c_ushort, filter: program.as_mut_ptr() };
    // SAFETY: the pointer and the length describe `header`, whose own pointer and length describe `program`; both live
    // through the call, and the kernel copies them. The descriptor is open, for it is borrowed.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const header).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Classic BPF (<linux/filter.h>): the number of the core, then for each socket "is it yours?", last the remainder.
fn steering_program(cores: &[u32]) -> io::Result<Vec<libc::sock_filter>> {
    let count = u32::try_from(cores.len()).unwrap_or(u32::MAX);
    if cores.is_empty() || cores.len() > MAX_STEERED {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{count} cores to steer by")));
    }
    let op = |code: u32, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let core_number = (libc::SKF_AD_OFF + libc::SKF_AD_CPU) as u32;
    let mut program = vec![op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, core_number)];
    // Where worker and core have the same number, the remainder alone says so.
    if !cores.iter().zip(0..).all(|(core, number)| *core == number) {
        for (core, number) in cores.iter().zip(0..) {
            // If not equal, past the return.
            program.push(op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, *core));
            program.push(op(libc::BPF_RET | libc::BPF_K, 0, number));
        }
    }
    program.push(op(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, 0, count));
    program.push(op(libc::BPF_RET | BPF_A, 0, 0));
    Ok(program)
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
    fn busy_polling_is_accepted_or_refused_for_want_of_a_capability_or_a_kernel() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let poll = mio::Poll::new().unwrap();
        for outcome in [busy_poll(socket.as_fd(), 50), busy_poll_while_waiting(&poll, 50)] {
            let number = outcome.err().and_then(|error| error.raw_os_error());
            assert!(matches!(number, None | Some(libc::EPERM | libc::ENOTTY)), "{number:?}");
        }
        assert!(busy_poll_while_waiting(&socket, 50).is_err(), "no epoll instance");
    }

    #[test]
    fn a_steering_program_has_two_instructions_a_core_or_just_the_remainder() {
        assert_eq!(steering_program(&[0, 1, 2]).unwrap().len(), 3);
        assert_eq!(steering_program(&[1, 0]).unwrap().len(), 3 + 2 * 2);
        assert!(steering_program(&[7; MAX_STEERED]).unwrap().len() <= libc::BPF_MAXINSNS as usize);
        assert!(steering_program(&[]).is_err());
        assert!(steering_program(&[7; MAX_STEERED + 1]).is_err());
    }

    #[test]
    fn an_option_of_the_wrong_kind_is_an_error_not_a_silence() {
        let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
        let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
        assert!(ignore_path_mtu(socket.as_fd(), &address).is_err());
    }
}
