//! RRsets of one owner put into wire form once, so that an answer is a copy: the side that reads them.
//!
//! The owner of every record is a compression pointer to the query name, which is always at offset 12 of a reply; where an
//! RRset answers for another name, its copy is told the place. Names that end in the zone's apex may end in a pointer to it;
//! since the apex begins at a different place of each reply, an RRset lists where its apex pointers stand, and a copy fills
//! them in. RRSIG records stand behind the records they sign: with them or without is a matter of length.
//!
//! Allocates nothing, never panics; `rrset_builder` writes what is read here.

use super::names::hash_name;
use super::pool::RECORD_TTL_AT;
use crate::wire::message::Rtype;
use crate::wire::record::RECORD_FIXED_OCTETS;

/// A compression pointer to the query name, which follows the header directly.
pub const POINTER_TO_QNAME: [u8; 2] = [0xC0, QNAME_AT as u8];
/// Offset of the query name in every message.
pub const QNAME_AT: u16 = 12;
/// Furthest offset a compression pointer reaches (RFC 1035 §4.1.4).
pub const MAX_POINTER: usize = 0x3FFF;

/// Most names that an answer follows aliases to, so that it has at most one CNAME record more. Chains of a zone file are no
/// longer; longer ones come of DNAME and wildcard records that lead to themselves.
pub const MAX_LINKS: usize = 8;

/// Octets of a block before its entries: how many there are, and three more for the alignment of what follows.
pub(super) const BLOCK_HEAD: usize = 4;
/// Octets of an entry.
pub(super) const ENTRY: usize = 16;
/// Octets of an extra before its records.
pub(super) const EXTRA_HEAD: usize = 12;
/// An entry's flag: extras follow.
pub(super) const HAS_EXTRAS: u8 = 1;

/// Where in a message a name begins, and where its zone's apex does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Offset of the owner, within reach of a pointer.
    pub owner_at: u16,
    /// Offset of the apex, within reach of a pointer.
    pub apex_at: u16,
}

/// What a copy came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Octets.
    pub len: usize,
    /// Records.
    pub count: u16,
}

/// The RRsets of one name: `count u8, 3 spare`, that many entries, then what they point to.
#[derive(Clone, Copy)]
pub struct Block<'s>(&'s [u8]);

impl<'s> Block<'s> {
    /// No RRset at all.
    pub const EMPTY: Block<'static> = Block(&[0; BLOCK_HEAD]);

    /// The block that begins here; octets behind it do not matter.
    #[inline]
    pub fn at(octets: &'s [u8]) -> Block<'s> {
        Block(octets)
    }

    /// Whether the name owns nothing of its own.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.0.first().is_none_or(|count| *count == 0)
    }

    /// The RRset of a type.
    #[inline(always)]
    pub fn get(self, rtype: Rtype) -> Option<Rrset<'s>> {
        let wanted = rtype.0.to_le_bytes();
        let head = self.heads().find(|head| head[..2] == wanted)?;
        Rrset::at(self.0, head)
    }

    /// An RRset that is signed, whichever comes first.
    pub fn any_signed(self) -> Option<Rrset<'s>> {
        { self.heads() }.filter_map(|head| Rrset::at(self.0, head)).find(|rrset| rrset.signature_count() > 0)
    }

    /// The entries, in the order in which they were added.
    #[inline(always)]
    fn heads(self) -> impl Iterator<Item = &'s [u8; ENTRY]> {
        let count = self.0.first().map_or(0, |count| usize::from(*count));
        self.0.get(BLOCK_HEAD..).unwrap_or_default().as_chunks::<ENTRY>().0.iter().take(count)
    }
}

/// An RRset of one owner.
///
/// An entry has: type u16, records u16, offset of the octets from the block's beginning u32, octets of the records u16, octets
/// of their signatures u16, signatures u8, apex pointers u8, octets of the target u8, flags u8. At the offset stand the
/// records, the signatures, the offsets of the apex pointers (u16 each), the target, the extras.
#[derive(Clone, Copy)]
pub struct Rrset<'s> {
    head: &'s [u8; ENTRY],
    /// Everything from the first record on.
    octets: &'s [u8],
}

impl<'s> Rrset<'s> {
    /// The RRset of an entry of a block.
    #[inline(always)]
    fn at(block: &'s [u8], head: &'s [u8; ENTRY]) -> Option<Rrset<'s>> {
        let at = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        Some(Rrset { head, octets: block.get(at as usize..)? })
    }

    /// Its type.
    #[inline]
    pub fn rtype(self) -> Rtype {
        Rtype(u16::from_le_bytes([self.head[0], self.head[1]]))
    }

    /// Number of records, signatures left out.
    #[inline]
    pub fn record_count(self) -> u16 {
        u16::from_le_bytes([self.head[2], self.head[3]])
    }

    /// Octets of the records.
    #[inline]
    pub fn records_len(self) -> usize {
        usize::from(u16::from_le_bytes([self.head[8], self.head[9]]))
    }

    /// Octets of a copy with signatures or without.
    #[inline(always)]
    pub fn len(self, signed: bool) -> usize {
        self.records_len() + if signed { self.signatures_len() } else { 0 }
    }

    #[inline]
    fn signatures_len(self) -> usize {
        usize::from(u16::from_le_bytes([self.head[10], self.head[11]]))
    }

    /// Number of RRSIG records.
    #[inline]
    pub fn signature_count(self) -> u16 {
        u16::from(self.head[12])
    }

    /// What follows records and signatures.
    #[inline]
    fn tail(self) -> &'s [u8] {
        self.octets.get(self.records_len() + self.signatures_len()..).unwrap_or_default()
    }

    /// Where the apex pointers stand, from the first record on.
    #[inline]
    fn apex_pointers(self) -> &'s [[u8; 2]] {
        let count = usize::from(self.head[13]);
        self.tail().as_chunks().0.get(..count).unwrap_or_default()
    }

    /// The one name a CNAME or DNAME record leads to, in lower-case wire form; empty for other types.
    #[inline]
    pub fn target(self) -> &'s [u8] {
        let at = usize::from(self.head[13]) * 2;
        self.tail().get(at..at + usize::from(self.head[14])).unwrap_or_default()
    }

    /// The TTL of the records as it stands in them.
    #[inline]
    pub fn ttl(self) -> [u8; 4] {
        self.octets.get(RECORD_TTL_AT..).and_then(|ttl| ttl.first_chunk()).copied().unwrap_or_default()
    }

    /// Whether there are [`Rrset::extras`].
    #[inline(always)]
    pub fn has_extras(self) -> bool {
        self.head[15] & HAS_EXTRAS != 0
    }

    /// Addresses of names inside the records, for the additional section.
    pub fn extras(self) -> Extras<'s> {
        let at = usize::from(self.head[13]) * 2 + usize::from(self.head[14]);
        match self.tail().get(at..).and_then(|rest| rest.split_first_chunk()) {
            Some((count, rest)) if self.head[15] & HAS_EXTRAS != 0 => {
                Extras { left: u16::from_le_bytes(*count), rest }
            }
            _ => Extras { left: 0, rest: &[] },
        }
    }

    /// Copies the records, and with `signed` their signatures, to the beginning of `into`. `None` when it is too short; then
    /// nothing of use is in it.
    #[inline(always)]
    pub fn write(self, place: Place, signed: bool, into: &mut [u8]) -> Option<Written> {
        let (mut len, mut count) = (self.records_len(), self.record_count());
        if signed {
            len += self.signatures_len();
            count += self.signature_count();
        }
        let into = into.get_mut(..len)?;
        into.copy_from_slice(self.octets.get(..len)?);
        // All pointers are made for the query name, which most records belong to, and which the apex may be.
        if place.apex_at != QNAME_AT && self.head[13] > 0 {
            self.point_to_apex(place.apex_at, into)?;
        }
        if place.owner_at != QNAME_AT {
            match count {
                1 => *into.first_chunk_mut()? = (0xC000 | place.owner_at).to_be_bytes(),
                _ => point_owners(place.owner_at, into),
            }
        }
        Some(Written { len, count })
    }

    /// Lets the apex pointers of a copy lead to the apex.
    #[inline(always)]
    fn point_to_apex(self, apex_at: u16, copy: &mut [u8]) -> Option<()> {
        let pointer = (0xC000 | apex_at).to_be_bytes();
        for at in self.apex_pointers() {
            let at = usize::from(u16::from_le_bytes(*at));
            *copy.get_mut(at..)?.first_chunk_mut()? = pointer;
        }
        Some(())
    }

    /// The same with the owner spelled out, for a name that stands nowhere in the message yet: its labels below the apex, then
    /// a pointer to that. `at` is the offset of `into` in the message.
    pub fn write_spelled(
        self,
        labels: &[u8],
        apex_at: u16,
        at: usize,
        signed: bool,
        into: &mut [u8],
    ) -> Option<Written> {
        let owner_at = u16::try_from(at).ok().filter(|at| usize::from(*at) <= MAX_POINTER)?;
        let head = into.get_mut(..labels.len())?;
        head.copy_from_slice(labels);
        // The first record's own owner becomes the pointer behind the labels; the others lead to the whole.
        let written = self.write(Place { owner_at, apex_at }, signed, into.get_mut(labels.len()..)?)?;
        into.get_mut(labels.len()..labels.len() + 2)?.copy_from_slice(&(0xC000 | apex_at).to_be_bytes());
        Some(Written { len: written.len + labels.len(), ..written })
    }
}

/// What tells a host's name from most others, whatever its case.
pub fn host_mark(name: &[u8]) -> u16 {
    hash_name(name) as u16
}

/// Lets every record of `records`, whose owners are pointers, belong to the name at `owner_at`.
pub fn point_owners(owner_at: u16, records: &mut [u8]) {
    let pointer = (0xC000 | owner_at).to_be_bytes();
    let mut at = 0;
    while let Some(record) = records.get_mut(at..at + 2 + RECORD_FIXED_OCTETS) {
        record[..2].copy_from_slice(&pointer);
        let rdata_len = u16::from_be_bytes([record[RECORD_FIXED_OCTETS], record[RECORD_FIXED_OCTETS + 1]]);
        at += 2 + RECORD_FIXED_OCTETS + usize::from(rdata_len);
    }
}

/// Addresses of one name inside an RRset's records.
///
/// In octets: offset of the name from the first record u16, records u16, their octets u16, octets of their signatures u16,
/// signatures u8, whether it is needed u8, mark of the name u16; then records and signatures.
#[derive(Clone, Copy)]
pub struct Extra<'s> {
    head: &'s [u8; EXTRA_HEAD],
    octets: &'s [u8],
}

impl<'s> Extra<'s> {
    /// Offset of the name they belong to, from the RRset's first record on.
    pub fn name_at(self) -> usize {
        usize::from(u16::from_le_bytes([self.head[0], self.head[1]]))
    }

    /// Whether the RRset is of no use without: glue of a name server below the cut (RFC 9471 §3).
    pub fn is_needed(self) -> bool {
        self.head[9] != 0
    }

    /// Whether these may be the records of a type that belong to the name with this mark. Rarely others are taken for them.
    pub fn may_be(self, rtype: Rtype, mark: u16) -> bool {
        let own = Some(&rtype.0.to_be_bytes());
        self.octets.get(2..).and_then(|rest| rest.first_chunk()) == own
            && self.head[10..] == mark.to_le_bytes()
    }

    /// Copies the records, and with `signed` their signatures, for the owner at `owner_at`.
    pub fn write(self, owner_at: u16, signed: bool, into: &mut [u8]) -> Option<Written> {
        let field = |at: usize| u16::from_le_bytes([self.head[at], self.head[at + 1]]);
        let signatures = if signed { (usize::from(field(6)), u16::from(self.head[8])) } else { (0, 0) };
        let written = Written { len: usize::from(field(4)) + signatures.0, count: field(2) + signatures.1 };
        let into = into.get_mut(..written.len)?;
        into.copy_from_slice(self.octets.get(..written.len)?);
        point_owners(owner_at, into);
        Some(written)
    }
}

/// The extras of an RRset.
pub struct Extras<'s> {
    left: u16,
    rest: &'s [u8],
}

impl<'s> Iterator for Extras<'s> {
    type Item = Extra<'s>;

    fn next(&mut self) -> Option<Extra<'s>> {
        self.left = self.left.checked_sub(1)?;
        let (head, rest) = self.rest.split_first_chunk::<EXTRA_HEAD>()?;
        let field = |at: usize| usize::from(u16::from_le_bytes([head[at], head[at + 1]]));
        let (octets, rest) = rest.split_at_checked(field(4) + field(6))?;
        self.rest = rest;
        Some(Extra { head, octets })
    }
}

#[cfg(test)]
mod tests;
