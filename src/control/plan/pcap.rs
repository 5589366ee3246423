//! Captures of queries: classic pcap and pcapng, as tcpdump and others write them.
//!
//! DNS over UDP in IPv4 or IPv6, on Ethernet with or without VLAN tags, Linux cooked or as IP alone. Every packet that is not
//! taken is counted by why. A packet is read into a buffer that never grows past the longest there is; names nobody.

use std::io::{self, Read};

use super::clients::Client;
use super::packet::{OnlyQueries, Skip, datagram, query};

/// Octets of a packet or block at most: what tcpdump captures at most, and room for options of a block.
const MAX_BLOCK_OCTETS: usize = 1 << 19;
/// Interfaces of a pcapng section at most.
const MAX_INTERFACES: usize = 1024;
const SECTION: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const ORDER_MAGIC: u32 = 0x1A2B_3C4D;

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

/// Reads those queries.
pub(super) fn read(
    file: &mut impl Read,
    only: OnlyQueries<'_>,
    take: &mut impl FnMut(Client),
) -> Result<Captured, CaptureFault> {
    let mut reader =
        Reader { file, is_little: false, buffer: Vec::new(), captured: Captured::default(), only };
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
    only: OnlyQueries<'r>,
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
        match found.and_then(|datagram| query(&datagram, self.only)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(file: &[u8]) -> Result<Captured, CaptureFault> {
        read(&mut &*file, OnlyQueries { ports: &[53], reads_subnets: true }, &mut |_| {})
    }

    #[test]
    fn damaged_captures_neither_panic_nor_lose_a_packet() {
        let files: [&[u8]; 3] = [
            include_bytes!("../../../tests/data/captures/ethernet.pcap"),
            include_bytes!("../../../tests/data/captures/ethernet.pcapng"),
            include_bytes!("../../../tests/data/captures/cooked.pcap"),
        ];
        let mut random = 1u64;
        let mut next = |end: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % end
        };
        let mut read_whole = 0;
        for round in 0..6000 {
            let mut file = files[round % 3].to_vec();
            for _ in 0..1 + next(4) {
                let at = next(file.len());
                file[at] = next(256) as u8;
            }
            file.truncate(file.len() - if next(4) == 0 { next(file.len()) } else { 0 });
            let Ok(captured) = counts(&file) else { continue };
            let Captured { packets, queries, other_types, truncated, fragments, others, .. } = captured;
            assert_eq!(queries + other_types + truncated + fragments + others, packets, "round {round}");
            read_whole += u64::from(packets == 28);
        }
        assert!(read_whole > 1000, "{read_whole}");
    }
}
