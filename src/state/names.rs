//! The qname index: every owner name of a snapshot in one open-addressing table over one arena.
//!
//! A query name is hashed as it came, sixteen octets at a time with the bit that tells upper from lower case set, and
//! compared with the lower-case name it leads to; nothing is copied. A lookup that hits touches a slot, and the record
//! it leads to: node, name and the name's static RRsets side by side. A miss walks up the ancestors, beginning no deeper than
//! the deepest owner, so that a query name with many labels costs no more than the configuration's own depth. Names below a
//! zone cut or a DNAME are not in here: whatever lies there has the cut for its closest encloser.
//!
//! Built once, then never changed; lookups allocate nothing and never panic.

use super::rrset::Block;
use crate::wire::name::suffixes;

/// Octets read at a time: two words.
const PAIR: usize = 16;
/// Octets that can be read from the beginning of any record's name: the longest name and one more. The arena ends with as
/// many, so that one check of bounds serves a whole record.
const WINDOW: usize = 256;
/// Octets of a record before its name: binding, zone, length of the name, length of the apex, flags.
const RECORD_HEAD: usize = 12;
/// Records begin at multiples of this, so that 32-bit offsets reach 16 GiB.
const RECORD_ALIGN: usize = 4;
/// Slots are at most this part full: linear probing stays under two probes for a hit.
const MAX_LOAD_PERCENT: usize = 60;

const ONES: u64 = 0x0101_0101_0101_0101;
/// The bit in which upper and lower case of an ASCII letter differ, in each of eight octets.
const CASE: u64 = 0x20 * ONES;
const HASH_SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const HASH_MULTIPLIER: u64 = 0xD6E8_FEB8_6659_FD93;

/// The hash of a wire-form name, the same whatever its case. Octets that differ only in the case bit without being
/// letters share a hash too; the comparison tells them apart.
#[inline(never)]
pub(crate) fn hash_name(wire: &[u8]) -> u64 {
    let seed = HASH_SEED ^ wire.len() as u64;
    if let Some((first, last)) = ends(wire) {
        return hash_ends(wire.len(), first, last);
    }
    match wire.last_chunk() {
        Some(last) => {
            // All whole pairs that end before the last octet, then the last pair, which may overlap them: reading octets
            // twice is cheaper than copying a tail of unknown length.
            let (pairs, _) = wire[..wire.len() - 1].as_chunks();
            mix_pair(pairs.iter().fold(seed, mix_pair), last)
        }
        None => {
            let (first, second) = short_words(wire);
            mix(seed, first, second)
        }
    }
}

/// First and last pair of a name of 16 to 32 octets, as most are: they may overlap, and are all of it.
#[inline(always)]
fn ends(wire: &[u8]) -> Option<(&[u8; PAIR], &[u8; PAIR])> {
    if wire.len() > 2 * PAIR {
        return None;
    }
    Some((wire.first_chunk()?, wire.last_chunk()?))
}

/// The hash of a name by its ends.
#[inline(always)]
fn hash_ends(len: usize, first: &[u8; PAIR], last: &[u8; PAIR]) -> u64 {
    mix_pair(mix_pair(HASH_SEED ^ len as u64, first), last)
}

#[inline(always)]
fn mix_pair(hash: u64, pair: &[u8; PAIR]) -> u64 {
    let both = u128::from_le_bytes(*pair);
    mix(hash, both as u64, (both >> 64) as u64)
}

/// Whether a name, in any case, is the name `lower`, which is in lower case and followed by anything.
fn is_same_name(name: &[u8], lower: &[u8; WINDOW]) -> bool {
    let Some(lower) = lower.get(..name.len()) else { return false };
    let ends = (name.last_chunk(), lower.last_chunk());
    let (Some(last), Some(lower_last)) = ends else {
        let ((first, second), (lower_first, lower_second)) = (short_words(name), short_words(lower));
        return to_lowercase(first) == lower_first && to_lowercase(second) == lower_second;
    };
    let pairs = name.as_chunks().0.iter().zip(lower.as_chunks().0);
    is_same_pair(last, lower_last) && { pairs }.all(|(pair, lower)| is_same_pair(pair, lower))
}

/// Whether sixteen octets, in any case, are those of `lower`. A label's length octet is at most 63 and so is never a letter.
fn is_same_pair(pair: &[u8; PAIR], lower: &[u8; PAIR]) -> bool {
    let mut folded = *pair;
    folded.make_ascii_lowercase();
    folded == *lower
}

/// Fewer than sixteen octets as two words, which may overlap.
#[inline]
fn short_words(wire: &[u8]) -> (u64, u64) {
    match (wire.first_chunk(), wire.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => (wire.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet)), 0),
    }
}

/// One round: a full 64×64 multiplication folded to 64 bits (the core of wyhash).
#[inline(always)]
fn mix(hash: u64, first: u64, second: u64) -> u64 {
    let product = u128::from((first | CASE) ^ HASH_MULTIPLIER) * u128::from((second | CASE) ^ hash);
    (product as u64) ^ (product >> 64) as u64
}

/// ASCII letters of eight octets to lower case. A label's length octet is at most 63 and so is never a letter.
#[inline]
fn to_lowercase(word: u64) -> u64 {
    const HIGH: u64 = 0x80 * ONES;
    let low_bits = word & !HIGH;
    let at_least_a = low_bits + (0x80 - u64::from(b'A')) * ONES;
    let above_z = low_bits + (0x7F - u64::from(b'Z')) * ONES;
    let upper = (at_least_a ^ above_z) & !word & HIGH;
    word | upper >> 2
}

/// What an owner name leads to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Index of what ties the name to a pool; 0: nothing does.
    pub binding: u32,
    /// Index of the zone the name lies in.
    pub zone: u32,
    /// Length in octets of the name itself.
    pub name_len: u8,
    /// Length in octets of the zone's apex: a suffix of the name.
    pub apex_len: u8,
    /// What is special about the name.
    pub flags: Flags,
}

/// What is special about a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// Nothing.
    pub const NONE: Flags = Flags(0);
    /// Static RRsets stand behind the name.
    pub const BLOCK: Flags = Flags(1);
    /// A zone cut: what lies at and below it is another server's (RFC 1034 §4.2.1).
    pub const CUT: Flags = Flags(2);
    /// Owns a DNAME record.
    pub const DNAME: Flags = Flags(4);
    /// Owns a CNAME record.
    pub const CNAME: Flags = Flags(8);
    /// The wildcard name directly below exists (RFC 4592 §2.1.1).
    pub const WILDCARD_BELOW: Flags = Flags(16);
    /// Steered in more ways than to addresses ([`super::steered::Steered`]).
    pub const STEERED: Flags = Flags(32);

    /// Whether all of `flags` are set.
    #[inline(always)]
    pub fn has(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Whether any of `flags` is set.
    #[inline(always)]
    pub fn has_any(self, flags: Flags) -> bool {
        self.0 & flags.0 != 0
    }

    /// Both together.
    pub const fn and(self, flags: Flags) -> Flags {
        Flags(self.0 | flags.0)
    }
}

/// The frozen index.
pub struct NameIndex {
    /// High 32 bits: the hash's high half; low 32 bits: record offset / 4, where 0 is an empty slot.
    slots: Box<[u64]>,
    arena: Box<[u8]>,
    len: usize,
    /// Labels of the deepest owner name.
    max_labels: usize,
}

impl NameIndex {
    /// Number of owner names, empty non-terminals included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without any owner name.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Finds a name, in any case.
    #[inline(always)]
    pub fn find(&self, name: &[u8]) -> Option<Record<'_>> {
        let record = self.first_of_hash(name)?;
        // Nearly always: the first record of this hash is the name's, and the query in lower case.
        if record.is_plainly(name) || record.is_of(name) { Some(record) } else { self.find_any(name) }
    }

    /// The first record of the name's hash. A call of its own: inlined, its loop would push the rest of the query's life out of
    /// the registers. It compares no octets, which would hold too many of them itself.
    #[inline(never)]
    fn first_of_hash(&self, name: &[u8]) -> Option<Record<'_>> {
        let hash = match ends(name) {
            Some((first, last)) => hash_ends(name.len(), first, last),
            None => hash_name(name),
        };
        self.probe(hash, |_| true)
    }

    /// Finds a name of any length, whatever its hash shares.
    #[inline(never)]
    fn find_any(&self, name: &[u8]) -> Option<Record<'_>> {
        self.probe(hash_name(name), |record| record.is_of(name))
    }

    /// The first record of this hash that is sought.
    #[inline(always)]
    fn probe(&self, hash: u64, is_sought: impl Fn(Record<'_>) -> bool) -> Option<Record<'_>> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = *self.slots.get(at)?;
            if slot == 0 {
                return None;
            }
            if slot >> 32 == hash >> 32 {
                let record = record(&self.arena, slot as u32)?;
                if is_sought(record) {
                    return Some(record);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// The closest encloser of a name that does not exist (RFC 4592 §2.1): its longest existing ancestor.
    pub fn closest_encloser(&self, name: &[u8]) -> Option<Record<'_>> {
        // Suffixes count the root: a name of n labels has n + 1.
        let depth = suffixes(name).count();
        let too_deep = depth.saturating_sub(self.max_labels + 1);
        suffixes(name).skip(too_deep.max(1)).find_map(|suffix| self.find(suffix))
    }

    /// The record at a place that [`NameIndexBuilder::offset_of`] gave.
    #[inline]
    pub fn at(&self, offset: u32) -> Option<Record<'_>> {
        record(&self.arena, offset)
    }

    /// The place of a record of this index.
    pub fn place_of(&self, record: Record<'_>) -> u32 {
        (self.octets_before(record) / RECORD_ALIGN) as u32
    }

    /// Where in the arena a record begins: it is a window of that.
    #[inline(always)]
    fn octets_before(&self, record: Record<'_>) -> usize {
        (record.0.as_ptr().addr()).wrapping_sub(self.arena.as_ptr().addr())
    }

    /// The static RRsets of a name, those of an apex left out: they belong to its zone.
    #[inline]
    pub fn block(&self, record: Record<'_>) -> Block<'_> {
        let node = record.node();
        if !node.flags.has(Flags::BLOCK) {
            return Block::EMPTY;
        }
        let at = self.octets_before(record) + block_offset(node.name_len);
        Block::at(self.arena.get(at..).unwrap_or_default())
    }
}

/// Where a name leads: its node, then its octets in lower case, then whatever comes next in the arena.
#[derive(Clone, Copy)]
pub struct Record<'i>(&'i [u8; RECORD_HEAD + WINDOW]);

impl<'i> Record<'i> {
    /// The name in lower case.
    #[inline]
    pub fn name(self) -> &'i [u8] {
        self.0.get(RECORD_HEAD..RECORD_HEAD + usize::from(self.node().name_len)).unwrap_or_default()
    }

    /// What the name leads to.
    #[inline(always)]
    pub fn node(self) -> Node {
        self.0.first_chunk().map_or(Node::default(), node_of)
    }

    /// Whether both are one: records are told apart by where they stand.
    pub fn is(self, other: Record<'_>) -> bool {
        std::ptr::eq(self.0, other.0)
    }

    /// Whether this is the record of `name`, in any case.
    #[inline(never)]
    fn is_of(self, name: &[u8]) -> bool {
        let Some(lower) = self.0.last_chunk() else { return false };
        usize::from(self.node().name_len) == name.len() && is_same_name(name, lower)
    }

    /// Whether this is the record of `name`, which has 16 to 32 octets and is in lower case.
    #[inline(always)]
    fn is_plainly(self, name: &[u8]) -> bool {
        let Some((first, last)) = ends(name) else { return false };
        let Some(lower) = self.0.last_chunk::<WINDOW>() else { return false };
        let lower_last = lower.get(name.len().wrapping_sub(PAIR)..).and_then(|tail| tail.first_chunk());
        usize::from(self.node().name_len) == name.len()
            && lower.first_chunk() == Some(first)
            && lower_last == Some(last)
    }
}

/// The record at `offset` (in units of [`RECORD_ALIGN`]).
#[inline(always)]
fn record(arena: &[u8], offset: u32) -> Option<Record<'_>> {
    Some(Record(arena.get(offset as usize * RECORD_ALIGN..)?.first_chunk()?))
}

#[inline(always)]
fn node_of(head: &[u8; RECORD_HEAD]) -> Node {
    Node {
        binding: u32::from_le_bytes([head[0], head[1], head[2], head[3]]),
        zone: u32::from_le_bytes([head[4], head[5], head[6], head[7]]),
        name_len: head[8],
        apex_len: head[9],
        flags: Flags(u16::from_le_bytes([head[10], head[11]])),
    }
}

/// Where in a record its RRsets begin.
#[inline(always)]
fn block_offset(name_len: u8) -> usize {
    (RECORD_HEAD + usize::from(name_len)).next_multiple_of(RECORD_ALIGN)
}

/// The node and the name of the record at `offset`, while the arena still grows.
fn head_and_name(arena: &[u8], offset: u32) -> (Node, &[u8]) {
    let rest = &arena[offset as usize * RECORD_ALIGN..];
    let (head, rest) = rest.split_first_chunk().expect("an offset of this arena leads to a record");
    let node = node_of(head);
    (node, &rest[..usize::from(node.name_len)])
}

/// Collects owner names before they are frozen.
pub struct NameIndexBuilder {
    slots: Vec<u64>,
    arena: Vec<u8>,
    len: usize,
    max_labels: usize,
}

impl NameIndexBuilder {
    /// An empty builder with room for about `names` names whose static RRsets have `block_octets` in all.
    pub fn with_capacity(names: usize, block_octets: usize) -> NameIndexBuilder {
        let slots = (names * 100 / MAX_LOAD_PERCENT + 8).next_power_of_two();
        // Offset 0 means an empty slot, so the first record starts behind a hole. 40: a typical record, padded.
        let mut arena = Vec::with_capacity(RECORD_ALIGN + names * 40 + block_octets + WINDOW);
        arena.resize(RECORD_ALIGN, 0);
        NameIndexBuilder { slots: vec![0; slots], arena, len: 0, max_labels: 0 }
    }

    /// The node of a name in lower-case wire form.
    pub fn get(&self, lower: &[u8]) -> Option<Node> {
        self.slot_of(lower, hash_name(lower))
            .ok()
            .map(|at| head_and_name(&self.arena, self.slots[at] as u32).0)
    }

    /// Adds a name in lower-case wire form that owns no static RRsets; returns `false`, changing nothing, when it is there
    /// already.
    pub fn insert(&mut self, lower: &[u8], binding: u32, zone: u32, apex_len: u8) -> bool {
        self.insert_with(lower, binding, zone, apex_len, Flags::NONE, |_| ())
    }

    /// The same with flags, and with static RRsets where `block` appends any.
    pub fn insert_with(
        &mut self,
        lower: &[u8],
        binding: u32,
        zone: u32,
        apex_len: u8,
        flags: Flags,
        block: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        if (self.len + 1) * 100 > self.slots.len() * MAX_LOAD_PERCENT {
            self.grow();
        }
        let hash = hash_name(lower);
        let Err(free) = self.slot_of(lower, hash) else { return false };
        let offset = (self.arena.len() / RECORD_ALIGN) as u32;
        self.arena.extend_from_slice(&binding.to_le_bytes());
        self.arena.extend_from_slice(&zone.to_le_bytes());
        self.arena.extend_from_slice(&[lower.len() as u8, apex_len]);
        self.arena.extend_from_slice(&flags.0.to_le_bytes());
        self.arena.extend_from_slice(lower);
        self.align();
        let block_at = self.arena.len();
        block(&mut self.arena);
        if self.arena.len() > block_at {
            self.set_flags(offset, Flags::BLOCK);
            self.align();
        }
        self.slots[free] = (hash >> 32) << 32 | u64::from(offset);
        self.len += 1;
        self.max_labels = self.max_labels.max(suffixes(lower).count() - 1);
        true
    }

    /// Where a name stands, if it is there.
    pub fn offset_of(&self, lower: &[u8]) -> Option<u32> {
        self.slot_of(lower, hash_name(lower)).ok().map(|at| self.slots[at] as u32)
    }

    /// The places of all names with their nodes, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Node)> {
        let taken = self.slots.iter().map(|slot| *slot as u32).filter(|offset| *offset != 0);
        taken.map(|offset| (offset, head_and_name(&self.arena, offset).0))
    }

    /// The name at a place that [`NameIndexBuilder::offset_of`] or [`NameIndexBuilder::iter`] gave.
    pub fn name_at(&self, offset: u32) -> &[u8] {
        head_and_name(&self.arena, offset).1
    }

    /// Adds flags to a name that is there; `false` where it is not.
    pub fn add_flags(&mut self, lower: &[u8], flags: Flags) -> bool {
        let Ok(at) = self.slot_of(lower, hash_name(lower)) else { return false };
        self.set_flags(self.slots[at] as u32, flags);
        true
    }

    fn set_flags(&mut self, offset: u32, flags: Flags) {
        let at = offset as usize * RECORD_ALIGN + RECORD_HEAD - 2;
        let both = Flags(u16::from_le_bytes([self.arena[at], self.arena[at + 1]])).and(flags);
        self.arena[at..at + 2].copy_from_slice(&both.0.to_le_bytes());
    }

    fn align(&mut self) {
        self.arena.resize(self.arena.len().next_multiple_of(RECORD_ALIGN), 0);
    }

    /// Freezes the index.
    pub fn finish(mut self) -> NameIndex {
        self.arena.resize(self.arena.len() + WINDOW, 0);
        NameIndex {
            slots: self.slots.into_boxed_slice(),
            arena: self.arena.into_boxed_slice(),
            len: self.len,
            max_labels: self.max_labels,
        }
    }

    /// The slot that holds the name, or the empty one where it belongs.
    fn slot_of(&self, lower: &[u8], hash: u64) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return Err(at);
            }
            if slot >> 32 == hash >> 32 && head_and_name(&self.arena, slot as u32).1 == lower {
                return Ok(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let mut slots = vec![0; self.slots.len() * 2];
        let mask = slots.len() - 1;
        for &slot in self.slots.iter().filter(|slot| **slot != 0) {
            let hash = hash_name(head_and_name(&self.arena, slot as u32).1);
            let mut at = hash as usize & mask;
            while slots[at] != 0 {
                at = (at + 1) & mask;
            }
            slots[at] = slot;
        }
        self.slots = slots;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::name::Name;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn wire(text: &str) -> Vec<u8> {
        Name::from_text(text).unwrap().as_wire().to_vec()
    }

    /// The name itself (true) or its closest encloser.
    fn found(index: &NameIndex, text: &str) -> Option<(bool, Node)> {
        let name = wire(text);
        let exact = index.find(&name).map(|record| (true, record.node()));
        exact.or_else(|| index.closest_encloser(&name).map(|record| (false, record.node())))
    }

    fn same(name: &[u8], lower: &[u8]) -> bool {
        let mut window = [0xEE; WINDOW];
        window[..lower.len()].copy_from_slice(lower);
        is_same_name(name, &window)
    }

    #[test]
    fn case_is_that_of_ascii_letters_alone() {
        let all: Vec<u8> = (0..=255).collect();
        for eight in all.chunks(8) {
            let word = to_lowercase(u64::from_le_bytes(eight.try_into().unwrap()));
            assert_eq!(word.to_le_bytes().to_vec(), eight.to_ascii_lowercase());
        }
        for text in ["a", "ab.c", "abcdef", "abcdefg", "abc.defgh", "a.[@z`{.example.com", "abcdefghijklmno"]
        {
            let (lower, upper) = (wire(text), wire(text).to_ascii_uppercase());
            assert!(same(&upper, &lower) && hash_name(&upper) == hash_name(&lower), "{text}");
            for at in 0..lower.len() {
                let mut other = lower.clone();
                other[at] ^= 0x20;
                let is_letter = lower[at].is_ascii_alphabetic();
                assert_eq!(same(&other, &lower), is_letter, "{text} at {at}");
            }
            assert!(!same(&lower[1..], &lower[..lower.len() - 1]));
        }
    }

    #[test]
    fn miss_gives_the_closest_encloser() {
        let mut builder = NameIndexBuilder::with_capacity(2, 0);
        assert!(builder.insert(&wire("example.com"), 1, 7, 13));
        assert!(builder.insert(&wire("a.b.example.com"), 2, 7, 13));
        assert!(!builder.insert(&wire("example.com"), 3, 7, 13));
        let index = builder.finish();
        let found = |text: &str| found(&index, text);
        let apex = Node { binding: 1, zone: 7, name_len: 13, apex_len: 13, flags: Flags::NONE };
        assert_eq!(found("EXAMPLE.com"), Some((true, apex)));
        assert_eq!(found("x.y.z.example.com"), Some((false, apex)));
        assert!(matches!(found("x.A.b.example.com"), Some((false, n)) if n.binding == 2));
        assert_eq!(found("com"), None);
        assert_eq!(found("example.org"), None);
        assert_eq!(found(&"a.".repeat(127)), None);
    }

    proptest! {
        #[test]
        fn index_agrees_with_a_map_of_strings(
            names in prop::collection::vec("[a-cA-C]{1,2}(\\.[a-c]{1,2}){0,4}", 1..120),
            queries in prop::collection::vec("[a-cA-C]{1,2}(\\.[a-cA-C]{1,2}){0,5}", 1..60),
        ) {
            let mut oracle = HashMap::new();
            let mut builder = NameIndexBuilder::with_capacity(1, 0);
            for (i, text) in names.iter().enumerate() {
                let text = text.to_lowercase();
                let inserted = builder.insert(&wire(&text), i as u32, 0, 0);
                prop_assert_eq!(inserted, !oracle.contains_key(&text));
                oracle.entry(text).or_insert(i as u32);
            }
            let index = builder.finish();
            prop_assert_eq!(index.len(), oracle.len());
            for query in queries {
                let lower = query.to_lowercase();
                let ancestors = lower.match_indices('.').map(|(at, _)| &lower[at + 1..]);
                let expected = oracle.get(&lower).map(|s| (true, *s))
                    .or_else(|| ancestors.into_iter().find_map(|a| oracle.get(a)).map(|s| (false, *s)));
                let found = found(&index, &query).map(|(exact, node)| (exact, node.binding));
                prop_assert_eq!(found, expected, "{}", query);
            }
        }
    }
}
