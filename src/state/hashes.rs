//! The NSEC3 records of a signed zone in the order of their hashes, and which of them prove what of a name (RFC 5155 §7.2).
//!
//! Their owners are no names of the zone (RFC 5155 §7.2.8), so they have an arena of their own. Of a name that exists two
//! records are known ahead: its own, and the one that speaks of the wildcard below it; only what lies between is searched by
//! hash. Made once with the zone; a search allocates nothing.

use super::names::{NameIndex, Record};
use super::rrset::{Block, Rrset};
use crate::wire::message::Rtype;
use crate::wire::sha1::SHA1_OCTETS;

/// Octets of a hash in base32.
pub const HASH_DIGITS: usize = SHA1_OCTETS * 8 / 5;
/// Octets of a hash that are not in the order's numbers.
const TAIL: usize = SHA1_OCTETS - 8;
/// Records begin at multiples of this, so that 32-bit offsets reach 16 GiB.
const RECORD_ALIGN: usize = 4;
/// Octets of a record before its RRset: the hash's tail, the owner's label with its length, up to the next multiple.
const RECORD_HEAD: usize = (TAIL + 1 + HASH_DIGITS).next_multiple_of(RECORD_ALIGN);

/// A hash.
pub type Hash = [u8; SHA1_OCTETS];

/// The records of a zone.
pub struct Hashes {
    /// The first eight octets of each hash.
    order: Sorted,
    /// Where in the arena each record begins.
    at: Box<[u32]>,
    arena: Box<[u8]>,
    /// Names by where they stand in the index.
    names: Sorted,
    /// The records of each: its own, and the one of the wildcard below it.
    of_names: Box<[OfName]>,
}

/// The records that a name has; numbers in the order of hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfName {
    /// Its own.
    pub own: u32,
    /// That of the wildcard below it; where there is none, the one that says so.
    pub wildcard: u32,
}

/// A record that is to be in a zone.
pub struct NewRecord {
    /// The hash of the name it is about.
    pub hash: Hash,
    /// The same in base32, the owner's first label.
    pub digits: [u8; HASH_DIGITS],
    /// A block of the one RRset.
    pub block: Box<[u8]>,
}

/// A name of the zone, or one that a record of it is about.
pub struct NewName {
    /// Where it stands in the index of names.
    pub at: u32,
    /// Its hash.
    pub own: Hash,
    /// That of the wildcard below it; `None` where there is no room for one.
    pub wildcard: Option<Hash>,
}

impl Hashes {
    /// Of records sorted by their hashes, none twice, and of names in any order. `None` where it is too much for an index of
    /// 32 bits.
    pub fn new(records: &[NewRecord], mut names: Vec<NewName>) -> Option<Hashes> {
        let mut arena = Vec::new();
        let mut at = Vec::with_capacity(records.len());
        for NewRecord { hash, digits, block } in records {
            at.push(u32::try_from(arena.len() / RECORD_ALIGN).ok()?);
            let begin = arena.len();
            arena.extend_from_slice(&hash[8..]);
            arena.push(HASH_DIGITS as u8);
            arena.extend_from_slice(digits);
            arena.resize(begin + RECORD_HEAD, 0);
            arena.extend_from_slice(block);
            arena.resize(arena.len().next_multiple_of(RECORD_ALIGN), 0);
        }
        let order = Sorted::new(records.iter().map(|record| head_of(&record.hash)).collect());
        let mut hashes = Hashes {
            order,
            at: at.into(),
            arena: arena.into(),
            names: Sorted::new([].into()),
            of_names: [].into(),
        };
        names.sort_unstable_by_key(|name| name.at);
        let of_name = |name: &NewName| {
            let own = hashes.matching_or_covering(&name.own);
            OfName { own, wildcard: name.wildcard.map_or(own, |hash| hashes.matching_or_covering(&hash)) }
        };
        let of_names = names.iter().map(of_name).collect();
        hashes.names = Sorted::new(names.iter().map(|name| u64::from(name.at)).collect());
        hashes.of_names = of_names;
        Some(hashes)
    }

    /// The records of a name that is in this zone's chain.
    pub fn of_name(&self, names: &NameIndex, record: Record<'_>) -> Option<OfName> {
        let key = u64::from(names.place_of(record));
        let at = self.names.rank(key);
        (*self.names.keys.get(at)? == key).then_some(())?;
        self.of_names.get(at).copied()
    }

    /// The record that covers a hash which no name of the zone has: the last one before it, or the last of all.
    pub fn covering(&self, hash: &Hash) -> u32 {
        let before = self.rank(hash);
        before.checked_sub(1).unwrap_or(self.at.len().saturating_sub(1)) as u32
    }

    /// The record of a hash, else the one that covers it.
    fn matching_or_covering(&self, hash: &Hash) -> u32 {
        let at = self.rank(hash);
        let is_match = self.order.keys.get(at) == Some(&head_of(hash)) && self.tail(at) == &hash[8..];
        if is_match { at as u32 } else { self.covering(hash) }
    }

    /// How many hashes are before this one.
    fn rank(&self, hash: &Hash) -> usize {
        let head = head_of(hash);
        let mut at = self.order.rank(head);
        // Those that begin alike, of which there is hardly ever one.
        while self.order.keys.get(at) == Some(&head) && self.tail(at) < &hash[8..] {
            at += 1;
        }
        at
    }

    /// The octets of a hash that are not in the order's number.
    fn tail(&self, at: usize) -> &[u8] {
        self.record(at).and_then(|record| record.get(..TAIL)).unwrap_or_default()
    }

    fn record(&self, at: usize) -> Option<&[u8]> {
        self.arena.get(*self.at.get(at)? as usize * RECORD_ALIGN..)
    }

    /// A record by its number: the first label of its owner, which the apex follows, and the RRset.
    pub fn nsec3(&self, at: u32) -> Option<(&[u8], Rrset<'_>)> {
        let record = self.record(at as usize)?;
        let label = record.get(TAIL..TAIL + 1 + HASH_DIGITS)?;
        Some((label, Block::at(record.get(RECORD_HEAD..)?).get(Rtype::NSEC3)?))
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }
}

/// The first octets of a hash, which nearly always tell it from all others.
fn head_of(hash: &Hash) -> u64 {
    hash.first_chunk().map_or(0, |head| u64::from_be_bytes(*head))
}

/// Numbers in ascending order, with a table over their first bits: where they are evenly spread, a search looks at one entry of
/// that and at few numbers, however many there are.
struct Sorted {
    keys: Box<[u64]>,
    /// How many numbers are before each range, and all of them behind the last.
    roots: Box<[u32]>,
    base: u64,
    /// A number's range is its distance from the base without these bits.
    shift: u32,
}

impl Sorted {
    /// At most 2³² numbers.
    fn new(keys: Box<[u64]>) -> Sorted {
        let (base, last) = (keys.first().copied().unwrap_or(0), keys.last().copied().unwrap_or(0));
        let span = last - base;
        let ranges_bits = keys.len().max(1).next_power_of_two().ilog2();
        let shift = (u64::BITS - span.leading_zeros()).saturating_sub(ranges_bits).min(u64::BITS - 1);
        let ranges = (span >> shift) + 1;
        let mut roots = Vec::with_capacity(ranges as usize + 1);
        let mut before = 0;
        for range in 0..=ranges {
            before += keys[before..].partition_point(|key| (key - base) >> shift < range);
            roots.push(before as u32);
        }
        Sorted { keys, roots: roots.into(), base, shift }
    }

    /// How many numbers are smaller.
    fn rank(&self, key: u64) -> usize {
        let Some(above) = key.checked_sub(self.base) else { return 0 };
        let range = (above >> self.shift) as usize;
        let Some([from, to, ..]) = self.roots.get(range..) else { return self.keys.len() };
        let from = *from as usize;
        let few = self.keys.get(from..*to as usize).unwrap_or_default();
        from + few.partition_point(|other| *other < key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::names::NameIndexBuilder;
    use crate::state::rrset_builder::{RrsetBuilder, push_block};
    use proptest::prelude::*;

    fn hashes(all: &[Hash], names: Vec<NewName>) -> Hashes {
        let record = |(at, hash): (usize, &Hash)| {
            let mut rrset = RrsetBuilder::new(Rtype::NSEC3);
            rrset.push(60, &[at as u8; 30], &[], &[]).unwrap();
            let mut block = Vec::new();
            push_block(&[rrset], &mut block);
            NewRecord { hash: *hash, digits: [b'0' + at as u8 % 10; HASH_DIGITS], block: block.into() }
        };
        let records: Vec<NewRecord> = all.iter().enumerate().map(record).collect();
        Hashes::new(&records, names).unwrap()
    }

    /// A hash that differs from others like it only where a search looks last.
    fn alike(last: u8) -> Hash {
        let mut hash = [7; SHA1_OCTETS];
        hash[SHA1_OCTETS - 1] = last;
        hash
    }

    #[test]
    fn hashes_that_begin_alike_are_told_apart() {
        let of = hashes(&[[1; 20], alike(10), alike(20), alike(30), [9; 20]], Vec::new());
        for (hash, covering) in
            [(alike(0), 0), (alike(15), 1), (alike(25), 2), (alike(255), 3), ([255; 20], 4), ([0; 20], 4)]
        {
            assert_eq!(of.covering(&hash), covering);
        }
        assert_eq!([10, 20, 30].map(|last| of.matching_or_covering(&alike(last))), [1, 2, 3]);
        assert_eq!(of.matching_or_covering(&alike(21)), 2);
    }

    #[test]
    fn one_record_covers_everything() {
        let of = hashes(&[[5; 20]], Vec::new());
        assert_eq!([[0; 20], [255; 20]].map(|hash| of.covering(&hash)), [0, 0]);
        let (label, rrset) = of.nsec3(0).unwrap();
        assert_eq!((label[0], &label[1..], rrset.record_count()), (32, &[b'0'; 32][..], 1));
        assert!(of.nsec3(1).is_none());
    }

    #[test]
    fn names_have_their_own_record_and_that_of_their_wildcard() {
        let mut builder = NameIndexBuilder::with_capacity(3, 0);
        let wires = [&b"\x01a\x00"[..], b"\x01b\x00", b"\x01c\x00"];
        for wire in wires {
            builder.insert(wire, 0, 0, 1);
        }
        let at = wires.map(|wire| builder.offset_of(wire).unwrap());
        let index = builder.finish();
        let names = vec![
            NewName { at: at[1], own: [4; 20], wildcard: None },
            NewName { at: at[0], own: [2; 20], wildcard: Some([3; 20]) },
        ];
        let of = hashes(&[[2; 20], [4; 20]], names);
        let of_name = |wire: &[u8]| of.of_name(&index, index.find(wire).unwrap());
        assert_eq!(of_name(wires[0]), Some(OfName { own: 0, wildcard: 0 }));
        assert_eq!(of_name(wires[1]), Some(OfName { own: 1, wildcard: 1 }));
        assert_eq!(of_name(wires[2]), None);
    }

    proptest! {
        #[test]
        fn a_search_agrees_with_a_walk(
            mut keys in prop::collection::vec(prop_oneof![any::<u64>(), 0u64..200, Just(u64::MAX)], 0..80),
            sought in prop::collection::vec(prop_oneof![any::<u64>(), 0u64..220, Just(u64::MAX)], 1..40),
        ) {
            keys.sort_unstable();
            let sorted = Sorted::new(keys.clone().into());
            for key in sought.iter().chain(&keys) {
                prop_assert_eq!(sorted.rank(*key), keys.iter().filter(|other| *other < key).count());
            }
        }
    }
}
