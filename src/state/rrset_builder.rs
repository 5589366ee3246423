//! RRsets of one owner put into wire form: the side that writes what `rrset` reads.
//!
//! Used by `config::compile` alone, once a configuration.

use super::rrset::{BLOCK_HEAD, ENTRY, HAS_EXTRAS, POINTER_TO_QNAME, host_mark};
use crate::wire::message::{Class, Rtype};

/// Most octets that the records of an RRset, or its signatures, may have: a message has no more.
pub const MAX_RRSET_OCTETS: usize = 64_000;
/// Octets of a record before its data: a pointer to its owner, type, class, TTL and length.
pub const RECORD_HEAD_OCTETS: usize = 12;
/// Most RRsets of an owner: their number is one octet.
pub const MAX_TYPES: usize = 255;
/// Most apex pointers of an RRset: their number is one octet. Further names are written in full.
const MAX_APEX_POINTERS: usize = 255;

/// A name inside a record's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAt {
    /// Its offset.
    pub at: usize,
    /// Its octets, the root's included.
    pub len: usize,
}

/// An RRset that is too large for any message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an RRset of more than 64,000 octets fits no message")]
pub struct TooLarge;

/// Puts one RRset together, record by record.
#[derive(Clone)]
pub struct RrsetBuilder {
    rtype: Rtype,
    records: Vec<u8>,
    count: u16,
    signatures: Vec<u8>,
    signature_count: u8,
    apex_pointers: Vec<u16>,
    target: Vec<u8>,
    extras: Vec<u8>,
    extra_count: u16,
}

impl RrsetBuilder {
    /// An RRset without records.
    pub fn new(rtype: Rtype) -> RrsetBuilder {
        RrsetBuilder {
            rtype,
            records: Vec::new(),
            count: 0,
            signatures: Vec::new(),
            signature_count: 0,
            apex_pointers: Vec::new(),
            target: Vec::new(),
            extras: Vec::new(),
            extra_count: 0,
        }
    }

    /// Adds a record. Of its data, `names` may end in a pointer to `apex` (lower case) where they lie below it; returns where
    /// each of them begins, from the first record on.
    ///
    /// # Errors
    /// [`TooLarge`]; then nothing was added.
    pub fn push(
        &mut self,
        ttl_secs: u32,
        rdata: &[u8],
        names: &[NameAt],
        apex: &[u8],
    ) -> Result<(), TooLarge> {
        if self.records.len() + RECORD_HEAD_OCTETS + rdata.len() > MAX_RRSET_OCTETS {
            return Err(TooLarge);
        }
        self.count += 1;
        // Most RRsets have one record, and this is all that is ever allocated for it.
        self.records.reserve(RECORD_HEAD_OCTETS + rdata.len());
        push_head(&mut self.records, self.rtype, ttl_secs);
        let length_at = self.records.len();
        self.records.extend([0, 0]);
        let mut done = 0;
        for name in names {
            let (from, to) = (name.at, name.at + name.len);
            let Some(apex_from) = apex_within(&rdata[from..to], apex).map(|at| from + at) else { continue };
            if self.apex_pointers.len() == MAX_APEX_POINTERS {
                break;
            }
            self.records.extend_from_slice(&rdata[done..apex_from]);
            self.apex_pointers.push(self.records.len() as u16);
            // Right already where the query name is the apex.
            self.records.extend(POINTER_TO_QNAME);
            done = to;
        }
        self.records.extend_from_slice(&rdata[done..]);
        let len = (self.records.len() - length_at - 2) as u16;
        self.records[length_at..length_at + 2].copy_from_slice(&len.to_be_bytes());
        Ok(())
    }

    /// Its type.
    pub fn rtype(&self) -> Rtype {
        self.rtype
    }

    /// Octets of the records so far: where the next one begins.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True before the first record.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds an RRSIG record over the records.
    ///
    /// # Errors
    /// [`TooLarge`]; then nothing was added.
    pub fn sign(&mut self, ttl_secs: u32, rdata: &[u8]) -> Result<(), TooLarge> {
        if self.signatures.len() + RECORD_HEAD_OCTETS + rdata.len() > MAX_RRSET_OCTETS
            || self.signature_count == u8::MAX
        {
            return Err(TooLarge);
        }
        self.signature_count += 1;
        push_record(&mut self.signatures, Rtype::RRSIG, ttl_secs, rdata);
        Ok(())
    }

    /// Names the one target of a CNAME or DNAME, in lower-case wire form.
    pub fn set_target(&mut self, lower: &[u8]) {
        self.target = lower.to_vec();
    }

    /// Adds the addresses of `host`, a name in wire form that begins `name_at` octets behind the beginning of the records; `of`
    /// has them, with their signatures. Left out where it would be too large.
    pub fn add_extra(&mut self, name_at: usize, needed: bool, host: &[u8], of: &RrsetBuilder) {
        let Ok(name_at) = u16::try_from(name_at) else { return };
        if self.extras.len() + of.records.len() > MAX_RRSET_OCTETS {
            return;
        }
        self.extra_count += 1;
        for field in [name_at, of.count, of.records.len() as u16, of.signatures.len() as u16] {
            self.extras.extend(field.to_le_bytes());
        }
        self.extras.extend([of.signature_count, u8::from(needed)]);
        self.extras.extend(host_mark(host).to_le_bytes());
        self.extras.extend_from_slice(&of.records);
        self.extras.extend_from_slice(&of.signatures);
    }

    /// Where the name at `in_rdata` of the data of the record that begins at `record_at` stands.
    pub fn name_place(record_at: usize, in_rdata: usize) -> usize {
        record_at + RECORD_HEAD_OCTETS + in_rdata
    }
}

/// Appends a block of these RRsets (at most [`MAX_TYPES`]) to `into`.
pub fn push_block(rrsets: &[RrsetBuilder], into: &mut Vec<u8>) {
    let block_at = into.len();
    into.extend([rrsets.len() as u8, 0, 0, 0]);
    let mut at = BLOCK_HEAD + rrsets.len() * ENTRY;
    for rrset in rrsets {
        let extras = rrset.extra_count > 0;
        into.extend(rrset.rtype.0.to_le_bytes());
        into.extend(rrset.count.to_le_bytes());
        into.extend((at as u32).to_le_bytes());
        into.extend((rrset.records.len() as u16).to_le_bytes());
        into.extend((rrset.signatures.len() as u16).to_le_bytes());
        let (pointers, target) = (rrset.apex_pointers.len() as u8, rrset.target.len() as u8);
        into.extend([rrset.signature_count, pointers, target, if extras { HAS_EXTRAS } else { 0 }]);
        at +=
            rrset.records.len() + rrset.signatures.len() + rrset.apex_pointers.len() * 2 + rrset.target.len();
        at += if extras { 2 + rrset.extras.len() } else { 0 };
    }
    for rrset in rrsets {
        into.extend_from_slice(&rrset.records);
        into.extend_from_slice(&rrset.signatures);
        rrset.apex_pointers.iter().for_each(|at| into.extend(at.to_le_bytes()));
        into.extend_from_slice(&rrset.target);
        if rrset.extra_count > 0 {
            into.extend(rrset.extra_count.to_le_bytes());
            into.extend_from_slice(&rrset.extras);
        }
    }
    debug_assert_eq!(into.len() - block_at, at);
}

/// Appends a record of the query name, nothing of it compressed. Its data has at most 65,535 octets.
pub fn push_record(into: &mut Vec<u8>, rtype: Rtype, ttl_secs: u32, rdata: &[u8]) {
    push_head(into, rtype, ttl_secs);
    into.extend((rdata.len() as u16).to_be_bytes());
    into.extend_from_slice(rdata);
}

fn push_head(into: &mut Vec<u8>, rtype: Rtype, ttl_secs: u32) {
    into.extend(POINTER_TO_QNAME);
    into.extend(rtype.0.to_be_bytes());
    into.extend(Class::IN.0.to_be_bytes());
    into.extend(ttl_secs.to_be_bytes());
}

/// Where a name in wire form becomes `apex`, which is not the root: a pointer would gain nothing there.
fn apex_within(name: &[u8], apex: &[u8]) -> Option<usize> {
    let at = name.len().checked_sub(apex.len()).filter(|_| apex.len() > 1)?;
    let is_suffix = crate::wire::name::suffixes(name).any(|suffix| suffix.len() == apex.len());
    (is_suffix && name[at..].eq_ignore_ascii_case(apex)).then_some(at)
}
