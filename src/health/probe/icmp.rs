//! `icmp`: one echo request, and the reply to it (RFC 792, RFC 4443 §4).
//!
//! Over a datagram socket of ICMP where the kernel lets this process have one (it then sets the identifier and delivers
//! this socket's replies only), else over a raw one, which sees what others ask of the same address too. A reply counts
//! if type, sequence number and payload are right, on a raw socket the identifier besides; all else is passed over.

use std::net::IpAddr;

use super::{Carrier, Conclusion, Leg};
use crate::health::reason::Reason;

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;
/// Type, code, checksum, identifier, sequence number.
const HEADER_OCTETS: usize = 8;
/// What every payload begins with; the probe's own eight octets follow.
const MARK: &[u8; 8] = b"steerd: ";
/// Most octets of a reply that are looked at: an IPv4 header with all options, and what was sent.
pub(super) const RECEIVE_MAX_OCTETS: usize = 60 + HEADER_OCTETS + 16;

/// Identifier, sequence number and payload of a probe with this seed.
fn parts(seed: u64) -> ([u8; 2], [u8; 2], [u8; 16]) {
    let [a, b, c, d, ..] = seed.to_be_bytes();
    let mut payload = [0; 16];
    payload[..8].copy_from_slice(MARK);
    payload[8..].copy_from_slice(&seed.to_be_bytes());
    ([a, b], [c, d], payload)
}

pub(super) fn write_request(address: IpAddr, seed: u64, into: &mut Vec<u8>) {
    let (identifier, sequence, payload) = parts(seed);
    let from = into.len();
    into.push(if address.is_ipv4() { ECHO_REQUEST } else { ECHO_REQUEST_V6 });
    into.extend_from_slice(&[0; 3]);
    into.extend_from_slice(&identifier);
    into.extend_from_slice(&sequence);
    into.extend_from_slice(&payload);
    // Over IPv6 the kernel sums, since the addresses are part of it (RFC 3542 §3.1).
    if address.is_ipv4() {
        let sum = checksum(&into[from..]);
        into[from + 2..from + 4].copy_from_slice(&sum.to_be_bytes());
    }
}

/// The verdict on one datagram; `None`: it is of someone else.
pub(super) fn judge(datagram: &[u8], leg: Leg) -> Option<Conclusion> {
    let (identifier, sequence, payload) = parts(leg.seed);
    let is_raw = leg.carrier == Carrier::RawEcho;
    let message = match datagram.first() {
        // A raw socket of IPv4 has the header too; no type of ICMP that counts looks like its first octet.
        Some(first) if is_raw && first >> 4 == 4 => datagram.get(usize::from(first & 0xF) * 4..)?,
        _ => datagram,
    };
    let (header, rest) = message.split_first_chunk::<HEADER_OCTETS>()?;
    let is_reply = matches!(header[..2], [ECHO_REPLY | ECHO_REPLY_V6, 0]);
    let is_own = header[6..] == sequence && rest == payload && (!is_raw || header[4..6] == identifier);
    (is_reply && is_own).then(|| Conclusion::success(Reason::Echoed))
}

/// The Internet checksum (RFC 1071) of an even number of octets.
fn checksum(octets: &[u8]) -> u16 {
    let sum: u32 = octets.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xFFFF) + (sum >> 16);
    !((folded & 0xFFFF) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 0x1234_5678_9ABC_DEF0;

    fn leg(carrier: Carrier) -> Leg {
        Leg { carrier, seed: SEED }
    }

    fn request(address: &str) -> Vec<u8> {
        let mut octets = Vec::new();
        write_request(address.parse().unwrap(), SEED, &mut octets);
        octets
    }

    fn reply(address: &str) -> Vec<u8> {
        let mut octets = request(address);
        octets[0] = if octets[0] == ECHO_REQUEST { ECHO_REPLY } else { ECHO_REPLY_V6 };
        octets
    }

    fn counts(datagram: &[u8], carrier: Carrier) -> bool {
        judge(datagram, leg(carrier)).is_some()
    }

    #[test]
    fn request_sums_to_nothing_over_ipv4_and_is_left_to_the_kernel_over_ipv6() {
        let octets = request("192.0.2.1");
        assert_eq!((octets[0], octets.len(), checksum(&octets)), (8, 24, 0));
        assert_eq!(octets[4..8], [0x12, 0x34, 0x56, 0x78]);
        assert_eq!(&octets[8..16], MARK);
        assert_eq!(request("2001:db8::1")[..4], [128, 0, 0, 0]);
    }

    #[test]
    fn only_the_own_reply_counts() {
        for address in ["192.0.2.1", "2001:db8::1"] {
            let reply = reply(address);
            for carrier in [Carrier::Echo, Carrier::RawEcho] {
                assert!(counts(&reply, carrier));
                assert!(!counts(&request(address), carrier), "what a raw socket sees of its own on loopback");
                for end in 0..reply.len() {
                    assert!(!counts(&reply[..end], carrier), "cut at {end}");
                }
                // All octets but the checksum, which the kernel has checked, and on a datagram socket the identifier.
                for at in (0..reply.len()).filter(|at| !(2..4).contains(at)) {
                    let mut other = reply.clone();
                    other[at] ^= 1;
                    let is_kernels = carrier == Carrier::Echo && (4..6).contains(&at);
                    assert_eq!(counts(&other, carrier), is_kernels, "octet {at}");
                }
            }
        }
    }

    #[test]
    fn ipv4_header_of_a_raw_socket_is_passed_over() {
        let mut datagram = [&[0x46][..], &[0; 23]].concat();
        datagram.extend(reply("192.0.2.1"));
        assert!(counts(&datagram, Carrier::RawEcho));
        assert!(!counts(&datagram, Carrier::Echo));
        assert!(!counts(&[0x4F], Carrier::RawEcho));
    }
}
