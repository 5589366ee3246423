//! Captures of queries: classic pcap and pcapng, as tcpdump and others write them.
//!
//! DNS over UDP in IPv4 or IPv6, on Ethernet with or without VLAN tags, Linux cooked or as IP alone. Every packet that is not
//! taken is counted by why. A packet is read into a buffer that never grows past the longest there is; names nobody.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::clients::Client;
use crate::dataplane::parse::{Rejection, parse_any};
use crate::dataplane::turn::DropReason;
use crate::state::pool::Family;
use crate::wire::edns::Understood;
use crate::wire::name::Name;

/// Octets of a packet or block at most: what tcpdump captures at most, and room for options of a block.
const MAX_BLOCK_OCTETS: usize = 1 << 19;
/// Interfaces of a pcapng section at most.
const MAX_INTERFACES: usize = 1024;
const SECTION: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const ORDER_MAGIC: u32 = 0x1A2B_3C4D;
const UDP: u8 = 17;

/// What a capture held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Packets.
    pub packets: u64,
    /// Queries for addresses, which are taken.
    pub queries: u64,
    /// Of these, with a client-subnet option, whose network is taken in place of the source.
    pub with_subnet: u64,
    /// Queries for other types.
    pub other_types: u64,
    /// Packets of which too little was captured.
    pub truncated: u64,
    /// Fragments of packets.
    pub fragments: u64,
    /// What is no well-formed query over UDP to the ports looked at.
    pub others: u64,
    /// Whether the file ends within a packet.
    pub is_cut: bool,
}

/// Why a capture is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CaptureFault {
    /// The system gives no more of it.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A link layer that is not read here.
    #[error(
        "link type {0} is not read (accepted are Ethernet, Linux cooked, raw IP and BSD loopback: 1, 113, 276, 101, 12, 14, 228, 229, 0, 108)"
    )]
    LinkType(u32),
    /// A packet that cannot be.
    #[error(
        "packet {packet} of {octets} octets cannot be: the file is damaged (accepted are at most {MAX_BLOCK_OCTETS})"
    )]
    Length {
        /// Its number.
        packet: u64,
        /// What it says.
        octets: u64,
    },
    /// A packet of an interface that is not there.
    #[error("packet {packet} is of an interface that the file does not have")]
    Interface {
        /// Its number.
        packet: u64,
    },
}

/// Whether a file that begins so is a capture.
pub fn is_capture(head: &[u8]) -> bool {
    head.first_chunk().is_some_and(|magic| {
        let magic = u32::from_be_bytes(*magic);
        magic == SECTION || order_of(magic).is_some()
    })
}

/// Whether a classic file's numbers begin with the least octet; in microseconds or nanoseconds.
fn order_of(magic: u32) -> Option<bool> {
    match magic {
        0xA1B2_C3D4 | 0xA1B2_3C4D => Some(false),
        0xD4C3_B2A1 | 0x4D3C_B2A1 => Some(true),
        _ => None,
    }
}

/// Reads all queries to one of these ports.
pub(super) fn read(
    file: &mut impl Read,
    ports: &[u16],
    take: &mut impl FnMut(Client),
) -> Result<Captured, CaptureFault> {
    let mut reader =
        Reader { file, is_little: false, buffer: Vec::new(), captured: Captured::default(), ports };
    let mut magic = [0; 4];
    reader.file.read_exact(&mut magic)?;
    let magic = u32::from_be_bytes(magic);
    let read = match order_of(magic) {
        Some(is_little) => {
            reader.is_little = is_little;
            reader.read_classic(take)
        }
        None => reader.read_blocks(take),
    };
    match read {
        Err(CaptureFault::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
            reader.captured.is_cut = true;
        }
        other => other?,
    }
    Ok(reader.captured)
}

struct Reader<'r, R> {
    file: &'r mut R,
    is_little: bool,
    buffer: Vec<u8>,
    captured: Captured,
    ports: &'r [u16],
}

impl<R: Read> Reader<'_, R> {
    fn number(&self, octets: [u8; 4]) -> u32 {
        if self.is_little { u32::from_le_bytes(octets) } else { u32::from_be_bytes(octets) }
    }

    /// The number at an offset of the buffer; 0 behind its end.
    fn number_at(&self, at: usize) -> u32 {
        let octets = self.buffer.get(at..).and_then(|from| from.first_chunk());
        octets.map_or(0, |octets| self.number(*octets))
    }

    /// Fills the buffer; `None` at the end of the file.
    fn fill(&mut self, octets: u32) -> Result<Option<()>, CaptureFault> {
        if octets as usize > MAX_BLOCK_OCTETS {
            let packet = self.captured.packets + 1;
            return Err(CaptureFault::Length { packet, octets: octets.into() });
        }
        self.buffer.resize(octets as usize, 0);
        let mut filled = 0;
        while let Some(rest) = self.buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read(rest) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(()))
    }

    /// As [`Self::fill`], where there must be something.
    fn fill_surely(&mut self, octets: u32) -> Result<(), CaptureFault> {
        match self.fill(octets)? {
            None if octets > 0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            _ => Ok(()),
        }
    }

    fn read_classic(&mut self, take: &mut impl FnMut(Client)) -> Result<(), CaptureFault> {
        self.fill_surely(20)?;
        // The upper half tells of checksums behind packets.
        let link = self.number_at(16) & 0xFFFF;
        check_link(link)?;
        while self.fill(16)?.is_some() {
            let [len, original] = [self.number_at(8), self.number_at(12)];
            self.fill_surely(len)?;
            self.packet(link, 0..len as usize, original > len, take);
        }
        Ok(())
    }

    fn read_blocks(&mut self, take: &mut impl FnMut(Client)) -> Result<(), CaptureFault> {
        let mut links: Vec<(u32, u32)> = Vec::new();
        let mut kind = SECTION;
        loop {
            if kind == SECTION {
                // Its length comes before what tells how to read it.
                self.fill_surely(8)?;
                self.is_little = self.number_at(4) != ORDER_MAGIC;
                links.clear();
                let rest = self.number_at(0).saturating_sub(12);
                self.fill_surely(rest)?;
            } else {
                self.fill_surely(4)?;
                let rest = self.number_at(0).saturating_sub(8);
                self.fill_surely(rest)?;
                let body = self.buffer.len().saturating_sub(4);
                match kind {
                    INTERFACE if links.len() < MAX_INTERFACES => {
                        let [a, b, ..] = self.number_at(0).to_be_bytes();
                        let [.., c, d] = self.number_at(0).to_be_bytes();
                        let link = if self.is_little { [c, d] } else { [a, b] };
                        links.push((u16::from_be_bytes(link).into(), self.number_at(4)));
                    }
                    ENHANCED_PACKET => {
                        let link = self.link(&links, self.number_at(0) as usize)?;
                        let [len, original] = [self.number_at(12), self.number_at(16)];
                        let end = (20 + len as usize).min(body);
                        self.packet(link.0, 20..end.max(20), original > len, take);
                    }
                    SIMPLE_PACKET => {
                        let link = self.link(&links, 0)?;
                        let original = self.number_at(0);
                        let most = if link.1 == 0 { u32::MAX } else { link.1 };
                        let end = (4 + original.min(most) as usize).min(body);
                        self.packet(link.0, 4..end.max(4), original as usize > end - 4, take);
                    }
                    _ => {}
                }
            }
            if self.fill(4)?.is_none() {
                return Ok(());
            }
            // A section's type reads the same either way.
            kind = self.number_at(0);
        }
    }

    fn link(&self, links: &[(u32, u32)], at: usize) -> Result<(u32, u32), CaptureFault> {
        let packet = self.captured.packets + 1;
        let link = *links.get(at).ok_or(CaptureFault::Interface { packet })?;
        check_link(link.0)?;
        Ok(link)
    }

    fn packet(
        &mut self,
        link: u32,
        range: std::ops::Range<usize>,
        is_truncated: bool,
        take: &mut impl FnMut(Client),
    ) {
        let captured = &mut self.captured;
        captured.packets += 1;
        let found = datagram(link, self.buffer.get(range).unwrap_or_default());
        match found.and_then(|datagram| query(&datagram, self.ports)) {
            Ok((client, has_subnet)) => {
                captured.queries += 1;
                captured.with_subnet += u64::from(has_subnet);
                take(client);
            }
            Err(Skip::OtherType) => captured.other_types += 1,
            Err(Skip::Fragment) => captured.fragments += 1,
            Err(Skip::Short) if is_truncated => captured.truncated += 1,
            Err(Skip::Short | Skip::Other) => captured.others += 1,
        }
    }
}

fn check_link(link: u32) -> Result<(), CaptureFault> {
    match link {
        0 | 1 | 12 | 14 | 101 | 108 | 113 | 228 | 229 | 276 => Ok(()),
        other => Err(CaptureFault::LinkType(other)),
    }
}

/// Why a packet is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skip {
    Short,
    Fragment,
    OtherType,
    Other,
}

/// A UDP datagram.
struct Datagram<'p> {
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

fn datagram(link: u32, frame: &[u8]) -> Result<Datagram<'_>, Skip> {
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

fn query(datagram: &Datagram<'_>, ports: &[u16]) -> Result<(Client, bool), Skip> {
    if !ports.contains(&datagram.port) {
        return Err(Skip::Other);
    }
    let understood = Understood { client_subnet: true, cookies: false };
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
