//! The socket of a probe: made, bound where a source is configured, and told its peer. Never waits.
//!
//! With a source, the kernel gives a TCP connection a port when it is bound and not when its peer is known: as many
//! probes at once leave from one source as it has ephemeral ports, some 28,000.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::{Carrier, Conclusion, Script};
use crate::health::reason::{ProberFault, Reason};

/// The number of Linux for a connection that is being opened.
const EINPROGRESS: i32 = 115;
// Those by which a kernel says that ICMP is not for this process.
const EPERM: i32 = 1;
const EACCES: i32 = 13;
const EPROTONOSUPPORT: i32 = 93;

/// A socket on its way to the endpoint, and what it turned out to be.
///
/// # Errors
/// The verdict, where it is known already.
pub(super) fn open(
    script: &Script,
    endpoint: SocketAddr,
    carrier: Carrier,
) -> Result<(Socket, Carrier), Conclusion> {
    let (socket, carrier) = make(endpoint, carrier).map_err(Conclusion::failure)?;
    let local = |error: io::Error| Conclusion::failure(Reason::of_local_error(&error));
    if carrier == Carrier::Stream {
        socket.set_linger(Some(Duration::ZERO)).map_err(local)?;
        if script.tls().is_some() {
            // A handshake is several small writes; none of them shall wait for an acknowledgement.
            socket.set_tcp_nodelay(true).map_err(local)?;
        }
    }
    if let Some(source) = script.monitor.source.toward(endpoint.ip()) {
        socket.bind(&SocketAddr::new(source, 0).into()).map_err(local)?;
    }
    match socket.connect(&endpoint.into()) {
        Ok(()) => Ok((socket, carrier)),
        // EINPROGRESS, of which the standard library has no kind yet; `take_error` tells what became of it.
        Err(error) if error.raw_os_error() == Some(EINPROGRESS) => Ok((socket, carrier)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok((socket, carrier)),
        Err(error) => Err(Conclusion::failure(Reason::of_connect_error(&error))),
    }
}

fn make(endpoint: SocketAddr, carrier: Carrier) -> Result<(Socket, Carrier), Reason> {
    let domain = Domain::for_address(endpoint);
    let icmp = if endpoint.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
    let made = match carrier {
        Carrier::Stream => Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP)),
        Carrier::Datagram => Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP)),
        Carrier::Echo | Carrier::RawEcho => {
            match Socket::new(domain, Type::DGRAM.nonblocking(), Some(icmp)) {
                Ok(socket) => return Ok((socket, Carrier::Echo)),
                Err(error) if is_forbidden(&error) => {
                    return match Socket::new(domain, Type::RAW.nonblocking(), Some(icmp)) {
                        Ok(socket) => Ok((socket, Carrier::RawEcho)),
                        Err(error) if is_forbidden(&error) => Err(Reason::Prober(ProberFault::Icmp)),
                        Err(error) => Err(Reason::of_local_error(&error)),
                    };
                }
                Err(error) => Err(error),
            }
        }
    };
    made.map(|socket| (socket, carrier)).map_err(|error| Reason::of_local_error(&error))
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EPERM | EACCES | EPROTONOSUPPORT))
}
