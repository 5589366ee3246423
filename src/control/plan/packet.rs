//! A captured frame to the query in it: Ethernet with or without VLAN tags, Linux cooked or IP alone; IPv4 or IPv6; UDP; DNS.
//!
//! Reads in place and never panics, whatever the octets; knows no file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::clients::Client;
use crate::dataplane::parse::{Rejection, parse_any};
use crate::dataplane::turn::DropReason;
use crate::state::pool::Family;
use crate::wire::edns::Understood;
use crate::wire::name::Name;

/// The protocol number of UDP.
const UDP: u8 = 17;

/// Which queries are taken.
#[derive(Clone, Copy, Debug)]
pub struct OnlyQueries<'p> {
    /// Those to one of these ports.
    pub ports: &'p [u16],
    /// Whether the network of a client-subnet option is taken in place of the source.
    pub reads_subnets: bool,
}

/// Why a packet is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    Short,
    Fragment,
    OtherType,
    Other,
}

/// A UDP datagram.
pub(super) struct Datagram<'p> {
    source: IpAddr,
    port: u16,
    payload: &'p [u8],
}

fn split(octets: &[u8], at: usize) -> Result<(&[u8], &[u8]), Skip> {
    octets.split_at_checked(at).ok_or(Skip::Short)
}

fn two(octets: &[u8], at: usize) -> Result<u16, Skip> {
    octets
        .get(at..)
        .and_then(|from| from.first_chunk())
        .map(|two| u16::from_be_bytes(*two))
        .ok_or(Skip::Short)
}

/// The datagram in a frame of a link type.
pub(super) fn datagram(link: u32, frame: &[u8]) -> Result<Datagram<'_>, Skip> {
    let packet = match link {
        1 | 113 | 276 => {
            let (type_at, mut behind) = match link {
                1 => (12, 14),
                113 => (14, 16),
                _ => (0, 20),
            };
            let mut kind = two(frame, type_at)?;
            // Tags of VLANs, one within the other.
            while matches!(kind, 0x8100 | 0x88A8 | 0x9100) {
                kind = two(frame, behind + 2)?;
                behind += 4;
            }
            if !matches!(kind, 0x0800 | 0x86DD) {
                return Err(Skip::Other);
            }
            split(frame, behind)?.1
        }
        0 | 108 => split(frame, 4)?.1,
        _ => frame,
    };
    match packet.first().ok_or(Skip::Short)? >> 4 {
        4 => datagram_v4(packet),
        6 => datagram_v6(packet),
        _ => Err(Skip::Other),
    }
}

fn datagram_v4(packet: &[u8]) -> Result<Datagram<'_>, Skip> {
    let (head, _) = split(packet, 20)?;
    if head[9] != UDP {
        return Err(Skip::Other);
    }
    if two(head, 6)? & 0x3FFF != 0 {
        return Err(Skip::Fragment);
    }
    let source = Ipv4Addr::new(head[12], head[13], head[14], head[15]);
    let (_, udp) = split(packet, usize::from(head[0] & 0xF) * 4)?;
    udp_payload(source.into(), udp)
}

fn datagram_v6(packet: &[u8]) -> Result<Datagram<'_>, Skip> {
    let (head, mut rest) = split(packet, 40)?;
    let source: [u8; 16] = head[8..24].try_into().map_err(|_| Skip::Short)?;
    let mut next = head[6];
    loop {
        match next {
            UDP => return udp_payload(Ipv6Addr::from(source).into(), rest),
            44 => return Err(Skip::Fragment),
            // Hop-by-hop options, routing, destination options.
            0 | 43 | 60 => {
                let (extension, _) = split(rest, 2)?;
                next = extension[0];
                rest = split(rest, (usize::from(extension[1]) + 1) * 8)?.1;
            }
            _ => return Err(Skip::Other),
        }
    }
}

fn udp_payload(source: IpAddr, udp: &[u8]) -> Result<Datagram<'_>, Skip> {
    let (head, payload) = split(udp, 8)?;
    let len = usize::from(two(head, 4)?).checked_sub(8).ok_or(Skip::Other)?;
    Ok(Datagram { source, port: two(head, 2)?, payload: split(payload, len)?.0 })
}

/// The query in a datagram, and whether it counts by a client subnet.
pub(super) fn query(datagram: &Datagram<'_>, only: OnlyQueries<'_>) -> Result<(Client, bool), Skip> {
    if !only.ports.contains(&datagram.port) {
        return Err(Skip::Other);
    }
    let understood = Understood { client_subnet: only.reads_subnets, cookies: false };
    let query = parse_any(datagram.payload, understood).map_err(|rejection| match rejection {
        Rejection::Drop(DropReason::Short) => Skip::Short,
        _ => Skip::Other,
    })?;
    let family = Family::asked_by(query.qtype()).ok_or(Skip::OtherType)?;
    let name = Name::from_wire(query.qname()).map_err(|_| Skip::Other)?.to_lowercase();
    let subnet = query.options.client_subnet.and_then(|subnet| {
        let address = subnet.address()?;
        IpNet::new(address, subnet.source_len()).ok()
    });
    let net = subnet.unwrap_or_else(|| datagram.source.into()).trunc();
    Ok((Client { net, weight: 1.0, asks: Some((name, family)) }, subnet.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_vlans_and_extension_headers_are_passed() {
        let query = |flags: u8| {
            let mut message = vec![0, 7, flags, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            message.extend(b"\x03www\x07example\x03com\0\0\x01\0\x01");
            message
        };
        let udp = |port: u16, payload: &[u8]| {
            let len = (8 + payload.len() as u16).to_be_bytes();
            [&[0x30, 0x39], &port.to_be_bytes()[..], &len, &[0, 0], payload].concat()
        };
        let v4 = |fragment: u8, udp: &[u8]| {
            [&[0x45, 0, 0, 0, 0, 0, fragment, 0, 64, 17, 0, 0, 10, 1, 0, 7, 10, 0, 0, 1], udp].concat()
        };
        let v6 = |udp: &[u8]| {
            let mut packet = vec![0x60, 0, 0, 0, 0, 0, 0, 64];
            packet.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
            packet.extend([0; 16]);
            // Hop-by-hop options, then destination options of sixteen octets.
            packet.extend([60, 0, 1, 4, 0, 0, 0, 0]);
            packet.extend([17, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            packet.extend(udp);
            packet
        };
        let ethernet = |tags: &[u8], kind: [u8; 2], packet: &[u8]| [&[0; 12], tags, &kind, packet].concat();
        let take = |link, frame: &[u8]| {
            datagram(link, frame).and_then(|datagram| {
                super::query(&datagram, OnlyQueries { ports: &[53], reads_subnets: true })
                    .map(|(client, _)| client.net)
            })
        };
        let plain = v4(0, &udp(53, &query(0)));
        let source: IpNet = "10.1.0.7/32".parse().unwrap();
        assert_eq!(take(1, &ethernet(&[], [8, 0], &plain)), Ok(source));
        assert_eq!(take(1, &ethernet(&[0x81, 0, 0, 5], [8, 0], &plain)), Ok(source));
        assert_eq!(take(1, &ethernet(&[0x88, 0xA8, 0, 5, 0x81, 0, 0, 6], [8, 0], &plain)), Ok(source));
        assert_eq!(take(101, &plain), Ok(source));
        let of_v6 = v6(&udp(53, &query(0)));
        assert_eq!(take(1, &ethernet(&[], [0x86, 0xDD], &of_v6)), Ok("2001:db8::7/128".parse().unwrap()));
        assert_eq!(take(101, &v4(0, &udp(5353, &query(0)))), Err(Skip::Other), "another port");
        assert_eq!(take(101, &v4(0, &udp(53, &query(0x80)))), Err(Skip::Other), "a response");
        assert_eq!(take(101, &v4(0x20, &udp(53, &query(0)))), Err(Skip::Fragment));
        assert_eq!(take(101, &plain[..40]), Err(Skip::Short));
        assert_eq!(take(1, &ethernet(&[], [8, 6], &plain)), Err(Skip::Other), "ARP");
    }
}
