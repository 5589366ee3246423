//! The qname index: every owner name of a snapshot in one open-addressing table over one arena.
//!
//! A query name is hashed as it came, eight octets at a time with the bit that tells upper from lower case set, and
//! compared with the lower-case name it leads to; nothing is copied. A lookup that hits touches a slot, and the record
//! it leads to (node and name side by side). A miss walks up the ancestors, beginning no deeper than the deepest
//! owner, so that a query name with many labels costs no more than the configuration's own depth.
//!
//! Built once, then never changed; lookups allocate nothing and never panic.

use crate::wire::name::suffixes;

/// Octets read at a time.
const WORD: usize = 8;
/// Octets of a record before its name: shape, zone, length of the name, length of the apex.
const RECORD_HEAD: usize = 10;
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
#[inline]
fn hash_name(wire: &[u8]) -> u64 {
    let seed = HASH_SEED ^ wire.len() as u64;
    let Some((words, last)) = words_of(wire) else { return mix(seed, short_word(wire) | CASE) };
    let hash = words.iter().fold(seed, |hash, word| mix(hash, u64::from_le_bytes(*word) | CASE));
    mix(hash, u64::from_le_bytes(*last) | CASE)
}

/// Whether a name, in any case, is the name `lower`, which is in lower case.
#[inline]
fn is_same_name(name: &[u8], lower: &[u8]) -> bool {
    if name.len() != lower.len() {
        return false;
    }
    let same = |word: u64, lower: u64| word == lower || to_lowercase(word) == lower;
    match (words_of(name), words_of(lower)) {
        (Some((words, last)), Some((lower_words, lower_last))) => {
            let pairs = words.iter().zip(lower_words);
            let mut all =
                pairs.map(|(word, lower)| same(u64::from_le_bytes(*word), u64::from_le_bytes(*lower)));
            all.all(|same| same) && same(u64::from_le_bytes(*last), u64::from_le_bytes(*lower_last))
        }
        _ => same(short_word(name), short_word(lower)),
    }
}

/// All whole words that end before the last octet, and the last eight octets, which may overlap them: reading these
/// twice is cheaper than copying a tail of unknown length. `None` for fewer than eight octets.
#[inline]
fn words_of(wire: &[u8]) -> Option<(&[[u8; WORD]], &[u8; WORD])> {
    let last = wire.last_chunk()?;
    let (words, _) = wire[..wire.len() - 1].as_chunks();
    Some((words, last))
}

/// Fewer than eight octets as a word.
fn short_word(wire: &[u8]) -> u64 {
    wire.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet))
}

/// One round: a full 64×64 multiplication folded to 64 bits (the core of wyhash).
#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * u128::from(HASH_MULTIPLIER);
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Index of the shape: what the name owns.
    pub shape: u32,
    /// Index of the zone the name lies in.
    pub zone: u32,
    /// Length in octets of the name itself.
    pub name_len: u8,
    /// Length in octets of the zone's apex: a suffix of the name.
    pub apex_len: u8,
}

/// What a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The name itself.
    Exact(Node),
    /// The closest encloser (RFC 4592 §2.1): the longest existing ancestor.
    Encloser(Node),
    /// Neither the name nor any ancestor.
    Nothing,
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

    /// Finds a name, in any case, or its closest encloser.
    #[inline]
    pub fn lookup(&self, name: &[u8]) -> Lookup {
        match self.find(name) {
            Some(node) => Lookup::Exact(node),
            None => self.closest_encloser(name),
        }
    }

    #[inline(never)]
    fn closest_encloser(&self, name: &[u8]) -> Lookup {
        // Suffixes count the root: a name of n labels has n + 1.
        let depth = suffixes(name).count();
        let too_deep = depth.saturating_sub(self.max_labels + 1);
        for suffix in suffixes(name).skip(too_deep.max(1)) {
            if let Some(node) = self.find(suffix) {
                return Lookup::Encloser(node);
            }
        }
        Lookup::Nothing
    }

    #[inline]
    fn find(&self, name: &[u8]) -> Option<Node> {
        let hash = hash_name(name);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if slot >> 32 == hash >> 32 {
                let (node, lower) = record(&self.arena, slot as u32);
                if is_same_name(name, lower) {
                    return Some(node);
                }
            }
            at = (at + 1) & mask;
        }
    }
}

/// The node and the name of the record at `offset` (in units of [`RECORD_ALIGN`]).
#[inline]
fn record(arena: &[u8], offset: u32) -> (Node, &[u8]) {
    let rest = &arena[offset as usize * RECORD_ALIGN..];
    let (head, rest) = rest.split_at(RECORD_HEAD);
    let node = Node {
        shape: u32::from_le_bytes([head[0], head[1], head[2], head[3]]),
        zone: u32::from_le_bytes([head[4], head[5], head[6], head[7]]),
        name_len: head[8],
        apex_len: head[9],
    };
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
    /// An empty builder with room for about `names` names.
    pub fn with_capacity(names: usize) -> NameIndexBuilder {
        let slots = (names * 100 / MAX_LOAD_PERCENT + 8).next_power_of_two();
        // Offset 0 means an empty slot, so the first record starts behind a hole. 40: a typical record, padded.
        let mut arena = Vec::with_capacity(RECORD_ALIGN + names * 40);
        arena.resize(RECORD_ALIGN, 0);
        NameIndexBuilder { slots: vec![0; slots], arena, len: 0, max_labels: 0 }
    }

    /// The node of a name in lower-case wire form.
    pub fn get(&self, lower: &[u8]) -> Option<Node> {
        self.slot_of(lower, hash_name(lower)).ok().map(|at| record(&self.arena, self.slots[at] as u32).0)
    }

    /// Adds a name in lower-case wire form; returns `false`, changing nothing, when it is there already.
    pub fn insert(&mut self, lower: &[u8], shape: u32, zone: u32, apex_len: u8) -> bool {
        if (self.len + 1) * 100 > self.slots.len() * MAX_LOAD_PERCENT {
            self.grow();
        }
        let hash = hash_name(lower);
        let Err(free) = self.slot_of(lower, hash) else { return false };
        let offset = (self.arena.len() / RECORD_ALIGN) as u32;
        self.arena.extend_from_slice(&shape.to_le_bytes());
        self.arena.extend_from_slice(&zone.to_le_bytes());
        self.arena.extend_from_slice(&[lower.len() as u8, apex_len]);
        self.arena.extend_from_slice(lower);
        self.arena.resize(self.arena.len().next_multiple_of(RECORD_ALIGN), 0);
        self.slots[free] = (hash >> 32) << 32 | u64::from(offset);
        self.len += 1;
        self.max_labels = self.max_labels.max(suffixes(lower).count() - 1);
        true
    }

    /// Freezes the index.
    pub fn finish(self) -> NameIndex {
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
            if slot >> 32 == hash >> 32 && record(&self.arena, slot as u32).1 == lower {
                return Ok(at);
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let mut slots = vec![0; self.slots.len() * 2];
        let mask = slots.len() - 1;
        for &slot in self.slots.iter().filter(|slot| **slot != 0) {
            let hash = hash_name(record(&self.arena, slot as u32).1);
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
            assert!(is_same_name(&upper, &lower) && hash_name(&upper) == hash_name(&lower), "{text}");
            for at in 0..lower.len() {
                let mut other = lower.clone();
                other[at] ^= 0x20;
                let is_letter = lower[at].is_ascii_alphabetic();
                assert_eq!(is_same_name(&other, &lower), is_letter, "{text} at {at}");
            }
            assert!(!is_same_name(&lower[1..], &lower));
        }
    }

    #[test]
    fn miss_gives_the_closest_encloser() {
        let mut builder = NameIndexBuilder::with_capacity(2);
        assert!(builder.insert(&wire("example.com"), 1, 7, 13));
        assert!(builder.insert(&wire("a.b.example.com"), 2, 7, 13));
        assert!(!builder.insert(&wire("example.com"), 3, 7, 13));
        let index = builder.finish();
        let apex = Node { shape: 1, zone: 7, name_len: 13, apex_len: 13 };
        assert_eq!(index.lookup(&wire("EXAMPLE.com")), Lookup::Exact(apex));
        assert_eq!(index.lookup(&wire("x.y.z.example.com")), Lookup::Encloser(apex));
        assert!(matches!(index.lookup(&wire("x.A.b.example.com")), Lookup::Encloser(n) if n.shape == 2));
        assert_eq!(index.lookup(&wire("com")), Lookup::Nothing);
        assert_eq!(index.lookup(&wire("example.org")), Lookup::Nothing);
        assert_eq!(index.lookup(&wire(&"a.".repeat(127))), Lookup::Nothing);
    }

    proptest! {
        #[test]
        fn index_agrees_with_a_map_of_strings(
            names in prop::collection::vec("[a-cA-C]{1,2}(\\.[a-c]{1,2}){0,4}", 1..120),
            queries in prop::collection::vec("[a-cA-C]{1,2}(\\.[a-cA-C]{1,2}){0,5}", 1..60),
        ) {
            let mut oracle = HashMap::new();
            let mut builder = NameIndexBuilder::with_capacity(1);
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
                let found = match index.lookup(&wire(&query)) {
                    Lookup::Exact(node) => Some((true, node.shape)),
                    Lookup::Encloser(node) => Some((false, node.shape)),
                    Lookup::Nothing => None,
                };
                prop_assert_eq!(found, expected, "{}", query);
            }
        }
    }
}
