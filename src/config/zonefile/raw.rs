//! Records as a zone file gave them, packed: thirteen octets of head, the owner below the apex, the data.
//!
//! An arena of blocks that never move, so reading never holds anything twice. Nothing here judges a record.

use std::path::PathBuf;
use std::sync::Arc;

use super::fault::ZoneFault;
use crate::wire::message::Rtype;

/// Octets of a block; a record never lies in two. The largest record has 255 + 13 + 65,535.
const BLOCK_OCTETS: usize = 1 << 20;
/// Bits of a handle that are the offset inside a block.
const OFFSET_BITS: u32 = BLOCK_OCTETS.trailing_zeros();
/// Most blocks a handle of 32 bits can tell apart: 4 GiB of records.
const MAX_BLOCKS: usize = 1 << (u32::BITS - OFFSET_BITS);
/// Octets before a record's owner: length of the owner, type, TTL, length of the data, line.
const HEAD_OCTETS: usize = 1 + 2 + 4 + 2 + 4;

/// The records of a zone in the order of its files.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct RawZone {
    blocks: Vec<Vec<u8>>,
    count: usize,
    /// Where another file begins: handle of its first record, and the file. Ascending.
    runs: Vec<(u32, u16)>,
    /// Names of the files as shown, by number.
    names: Vec<Arc<str>>,
    /// Every file that was read, by number.
    pub(in crate::config) files: Vec<PathBuf>,
    /// What is suspicious.
    pub(in crate::config) warnings: Vec<ZoneFault>,
}

/// A record of a [`RawZone`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct RawRecord<'z> {
    /// The labels below the apex in lower case, without the apex and without a final zero; empty is the apex itself.
    pub(in crate::config) owner: &'z [u8],
    /// The type.
    pub(in crate::config) rtype: Rtype,
    /// The TTL.
    pub(in crate::config) ttl_secs: u32,
    /// The data in wire form, uncompressed, in the case it was written.
    pub(in crate::config) rdata: &'z [u8],
    /// Number of the file.
    pub(in crate::config) file: u16,
    /// The line on which the entry begins.
    pub(in crate::config) line: u32,
}

/// The zone has more octets of records than a handle can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl RawZone {
    /// Number of records.
    pub(in crate::config) fn len(&self) -> usize {
        self.count
    }

    /// The records in the order of the files, each with its handle.
    pub(in crate::config) fn iter(&self) -> impl Iterator<Item = (u32, RawRecord<'_>)> {
        let (mut block, mut at) = (0, 0);
        let mut runs = self.runs.iter().peekable();
        let mut file = 0;
        std::iter::from_fn(move || {
            if self.blocks.get(block)?.len() == at {
                (block, at) = (block + 1, 0);
                self.blocks.get(block)?;
            }
            let handle = join(block, at);
            while let Some(&(_, next)) = runs.next_if(|(first, _)| *first <= handle) {
                file = next;
            }
            let (record, octets) = self.decode(handle, file);
            at += octets;
            Some((handle, record))
        })
    }

    /// The record of a handle.
    ///
    /// # Panics
    /// When the handle is none that [`RawZone::iter`] gave.
    pub(in crate::config) fn get(&self, handle: u32) -> RawRecord<'_> {
        let run = self.runs.partition_point(|(first, _)| *first <= handle);
        let file = run.checked_sub(1).map_or(0, |run| self.runs[run].1);
        self.decode(handle, file).0
    }

    /// The file as shown, and the line, where a record's entry begins.
    pub(in crate::config) fn place(&self, record: &RawRecord<'_>) -> (&Arc<str>, u32) {
        (&self.names[usize::from(record.file)], record.line)
    }

    /// The zone's own file as shown.
    pub(in crate::config) fn name(&self) -> &Arc<str> {
        &self.names[0]
    }

    /// The files' names as shown, by number.
    pub(super) fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Takes a file, and gives its number; `None` when there are too many.
    pub(super) fn add_file(&mut self, path: PathBuf, name: &str) -> Option<u16> {
        if let Some(known) = self.files.iter().position(|file| *file == path) {
            return u16::try_from(known).ok();
        }
        let number = u16::try_from(self.files.len()).ok()?;
        self.files.push(path);
        self.names.push(Arc::from(name));
        Some(number)
    }

    /// Takes a record.
    pub(super) fn push(&mut self, record: &RawRecord<'_>) -> Result<(), Full> {
        let octets = HEAD_OCTETS + record.owner.len() + record.rdata.len();
        if self.blocks.last().is_none_or(|block| block.len() + octets > BLOCK_OCTETS) {
            if self.blocks.len() == MAX_BLOCKS {
                return Err(Full);
            }
            // The first one grows, so that a small zone stays small; those behind it come whole.
            let whole = if self.blocks.is_empty() { 0 } else { BLOCK_OCTETS };
            self.blocks.push(Vec::with_capacity(whole));
        }
        let number = self.blocks.len() - 1;
        let Some(block) = self.blocks.last_mut() else { return Err(Full) };
        let handle = join(number, block.len());
        if self.runs.last().is_none_or(|(_, file)| *file != record.file) {
            self.runs.push((handle, record.file));
        }
        // Both lengths were checked when the record was read: a name has at most 255 octets, data at most 65,535.
        block.push(record.owner.len() as u8);
        block.extend_from_slice(&record.rtype.0.to_le_bytes());
        block.extend_from_slice(&record.ttl_secs.to_le_bytes());
        block.extend_from_slice(&(record.rdata.len() as u16).to_le_bytes());
        block.extend_from_slice(&record.line.to_le_bytes());
        block.extend_from_slice(record.owner);
        block.extend_from_slice(record.rdata);
        self.count += 1;
        Ok(())
    }

    /// Octets of memory.
    #[cfg(test)]
    pub(super) fn octets(&self) -> usize {
        self.blocks.iter().map(Vec::capacity).sum()
    }

    /// Gives back what the last block holds in reserve.
    pub(super) fn shrink(&mut self) {
        if let Some(block) = self.blocks.last_mut() {
            block.shrink_to_fit();
        }
    }

    /// The record at a handle, and its octets in all.
    fn decode(&self, handle: u32, file: u16) -> (RawRecord<'_>, usize) {
        let (block, at) = split(handle);
        let octets = &self.blocks[block][at..];
        let u16_at = |at: usize| u16::from_le_bytes([octets[at], octets[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let owner_end = HEAD_OCTETS + usize::from(octets[0]);
        let end = owner_end + usize::from(u16_at(7));
        let record = RawRecord {
            owner: &octets[HEAD_OCTETS..owner_end],
            rtype: Rtype(u16_at(1)),
            ttl_secs: u32_at(3),
            rdata: &octets[owner_end..end],
            file,
            line: u32_at(9),
        };
        (record, end)
    }
}

/// Block and offset of a handle.
fn split(handle: u32) -> (usize, usize) {
    ((handle >> OFFSET_BITS) as usize, handle as usize & (BLOCK_OCTETS - 1))
}

/// The handle of a block and an offset. An offset of a whole block is the next block's first.
fn join(block: usize, at: usize) -> u32 {
    ((block << OFFSET_BITS) + at) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_of_many_blocks_come_back_in_order_and_by_handle() {
        let data = vec![7; 60_000];
        let mut zone = RawZone::default();
        let record = |i: u32| RawRecord {
            owner: b"\x01a",
            rtype: Rtype::A,
            ttl_secs: i,
            rdata: &data[..i as usize * 997 % 60_000],
            file: (i / 40) as u16,
            line: i,
        };
        for i in 0..100 {
            zone.push(&record(i)).unwrap();
        }
        assert!(zone.blocks.len() > 1);
        assert_eq!((zone.len(), zone.iter().count()), (100, 100));
        for (i, (handle, found)) in zone.iter().enumerate() {
            assert_eq!((found, zone.get(handle)), (record(i as u32), record(i as u32)));
        }
    }

    #[test]
    fn a_block_filled_to_its_end_is_left_for_the_next() {
        let data = vec![0; 65_523];
        let mut zone = RawZone::default();
        // 16 records of 65,536 octets are a block.
        for line in 0..33 {
            let record =
                RawRecord { owner: b"", rtype: Rtype::TXT, ttl_secs: 0, rdata: &data, file: 0, line };
            zone.push(&record).unwrap();
        }
        assert_eq!(zone.blocks[0].len(), BLOCK_OCTETS);
        assert!(zone.iter().map(|(_, record)| record.line).eq(0..33));
    }

    proptest! {
        #[test]
        fn any_records_come_back(
            records in prop::collection::vec(
                (prop::collection::vec(any::<u8>(), 0..255), any::<(u16, u32, u16, u32)>(), prop::collection::vec(any::<u8>(), 0..300)),
                0..20
            )
        ) {
            let raw: Vec<RawRecord<'_>> = records
                .iter()
                .map(|(owner, (rtype, ttl_secs, file, line), rdata)| RawRecord {
                    owner, rtype: Rtype(*rtype), ttl_secs: *ttl_secs, rdata, file: *file, line: *line,
                })
                .collect();
            let mut zone = RawZone::default();
            for record in &raw { zone.push(record).unwrap(); }
            prop_assert!(zone.iter().map(|(_, record)| record).eq(raw.iter().copied()));
            prop_assert!(zone.iter().all(|(handle, record)| zone.get(handle) == record));
        }
    }
}
