//! The qname index: every owner name of a snapshot in one open-addressing table over one arena.
//!
//! A name is folded to lower case and hashed once, eight octets at a time; a lookup that hits touches a slot, and the
//! record it leads to (node and name side by side). A miss walks up the ancestors, beginning no deeper than the
//! deepest owner, so that a query name with many labels costs no more than the configuration's own depth.
//!
//! Built once, then never changed; lookups allocate nothing and never panic.

use crate::wire::name::{MAX_NAME_OCTETS, suffixes};

/// Octets read at a time.
const WORD: usize = 8;
/// Octets of a record before its name: shape, zone, length of the name, length of the apex.
const RECORD_HEAD: usize = 10;
/// Records begin at multiples of this, so that 32-bit offsets reach 16 GiB.
const RECORD_ALIGN: usize = 4;
/// Slots are at most this part full: linear probing stays under two probes for a hit.
const MAX_LOAD_PERCENT: usize = 60;

/// A query name folded to lower case, with its hash. Reused from query to query.
#[derive(Clone)]
pub struct FoldedName {
    /// The name, then at least eight zero octets.
    octets: [u8; MAX_NAME_OCTETS + 1 + WORD],
    len: usize,
    hash: u64,
}

impl Default for FoldedName {
    fn default() -> FoldedName {
        FoldedName { octets: [0; MAX_NAME_OCTETS + 1 + WORD], len: 0, hash: 0 }
    }
}

impl FoldedName {
    /// Folds and hashes an uncompressed wire-form name; octets beyond 255 are not looked at.
    #[inline]
    pub fn fold(&mut self, wire: &[u8]) {
        let wire = &wire[..wire.len().min(MAX_NAME_OCTETS)];
        let mut hash = HASH_SEED;
        let (words, tail) = wire.as_chunks::<WORD>();
        let mut at = 0;
        for word in words {
            let folded = lowercase(u64::from_le_bytes(*word));
            self.octets[at..at + WORD].copy_from_slice(&folded.to_le_bytes());
            hash = mix(hash, folded);
            at += WORD;
        }
        let folded = lowercase(tail_word(wire, tail.len()));
        // Writes zeros behind the name as well: the next word read there is always known.
        self.octets[at..at + WORD].copy_from_slice(&folded.to_le_bytes());
        self.len = wire.len();
        self.hash = finish(mix(hash, folded), wire.len());
    }

    /// The folded name in wire form.
    #[inline]
    pub fn as_wire(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

const HASH_SEED: u64 = 0x9E37_79B9_7F4A_7C15;
const HASH_MULTIPLIER: u64 = 0xD6E8_FEB8_6659_FD93;

/// One round: a full 64×64 multiplication folded to 64 bits (the core of wyhash).
#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    let product = u128::from(hash ^ word) * u128::from(HASH_MULTIPLIER);
    (product as u64) ^ (product >> 64) as u64
}

#[inline]
fn finish(hash: u64, len: usize) -> u64 {
    mix(hash, len as u64)
}

/// ASCII letters of eight octets to lower case. A label's length octet is at most 63 and so is never a letter.
#[inline]
fn lowercase(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    let low_bits = word & !HIGH;
    let at_least_a = low_bits + (0x80 - u64::from(b'A')) * ONES;
    let above_z = low_bits + (0x7F - u64::from(b'Z')) * ONES;
    let upper = (at_least_a ^ above_z) & !word & HIGH;
    word | upper >> 2
}

/// The same hash as [`FoldedName::fold`] gives, of a name already in lower case.
fn hash_lower(lower: &[u8]) -> u64 {
    let (words, tail) = lower.as_chunks::<WORD>();
    let hash = words.iter().fold(HASH_SEED, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    finish(mix(hash, tail_word(lower, tail.len())), lower.len())
}

/// The last `tail_len` octets of a name as a word, zeros behind them. Read as the name's last eight octets, shifted: to
/// copy so few octets of a length unknown to the compiler is a call of memcpy.
#[inline]
fn tail_word(wire: &[u8], tail_len: usize) -> u64 {
    match wire.last_chunk::<WORD>() {
        // Without a tail all eight octets are shifted out.
        Some(last) => u64::from_le_bytes(*last).checked_shr((8 * (WORD - tail_len)) as u32).unwrap_or(0),
        None => wire.iter().rev().fold(0, |word, octet| word << 8 | u64::from(*octet)),
    }
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

    /// Finds a name or its closest encloser.
    #[inline]
    pub fn lookup(&self, name: &FoldedName) -> Lookup {
        match self.find(name.as_wire(), name.hash) {
            Some(node) => Lookup::Exact(node),
            None => self.closest_encloser(name.as_wire()),
        }
    }

    fn closest_encloser(&self, lower: &[u8]) -> Lookup {
        // Suffixes count the root: a name of n labels has n + 1.
        let depth = suffixes(lower).count();
        let too_deep = depth.saturating_sub(self.max_labels + 1);
        for suffix in suffixes(lower).skip(too_deep.max(1)) {
            if let Some(node) = self.find(suffix, hash_lower(suffix)) {
                return Lookup::Encloser(node);
            }
        }
        Lookup::Nothing
    }

    #[inline]
    fn find(&self, lower: &[u8], hash: u64) -> Option<Node> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if slot >> 32 == hash >> 32 {
                let (node, name) = record(&self.arena, slot as u32);
                if name == lower {
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
    let at = offset as usize * RECORD_ALIGN;
    let head = &arena[at..at + RECORD_HEAD];
    let node = Node {
        shape: u32::from_le_bytes([head[0], head[1], head[2], head[3]]),
        zone: u32::from_le_bytes([head[4], head[5], head[6], head[7]]),
        name_len: head[8],
        apex_len: head[9],
    };
    let name_at = at + RECORD_HEAD;
    (node, &arena[name_at..name_at + usize::from(node.name_len)])
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
        self.slot_of(lower, hash_lower(lower)).ok().map(|at| record(&self.arena, self.slots[at] as u32).0)
    }

    /// Adds a name in lower-case wire form; returns `false`, changing nothing, when it is there already.
    pub fn insert(&mut self, lower: &[u8], shape: u32, zone: u32, apex_len: u8) -> bool {
        if (self.len + 1) * 100 > self.slots.len() * MAX_LOAD_PERCENT {
            self.grow();
        }
        let hash = hash_lower(lower);
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
            let hash = hash_lower(record(&self.arena, slot as u32).1);
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

    fn fold(text: &str) -> FoldedName {
        let mut folded = FoldedName::default();
        folded.fold(&wire(text));
        folded
    }

    #[test]
    fn folding_is_that_of_ascii_and_leaves_no_trace_of_a_longer_name() {
        let mut folded = FoldedName::default();
        folded.fold(&wire("a-very-long-name.with-many-octets.EXAMPLE.com"));
        folded.fold(&wire("WWW.[@Z`{.example"));
        assert_eq!(folded.as_wire(), wire("www.[@z`{.example"));
        assert_eq!(folded.hash, hash_lower(&wire("www.[@z`{.example")));
        let all: Vec<u8> = (0..=255).collect();
        for eight in all.chunks(8) {
            let word = lowercase(u64::from_le_bytes(eight.try_into().unwrap()));
            assert_eq!(word.to_le_bytes().to_vec(), eight.to_ascii_lowercase());
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
        assert_eq!(index.lookup(&fold("EXAMPLE.com")), Lookup::Exact(apex));
        assert_eq!(index.lookup(&fold("x.y.z.example.com")), Lookup::Encloser(apex));
        assert!(matches!(index.lookup(&fold("x.A.b.example.com")), Lookup::Encloser(n) if n.shape == 2));
        assert_eq!(index.lookup(&fold("com")), Lookup::Nothing);
        assert_eq!(index.lookup(&fold("example.org")), Lookup::Nothing);
        assert_eq!(index.lookup(&fold(&"a.".repeat(127))), Lookup::Nothing);
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
                let found = match index.lookup(&fold(&query)) {
                    Lookup::Exact(node) => Some((true, node.shape)),
                    Lookup::Encloser(node) => Some((false, node.shape)),
                    Lookup::Nothing => None,
                };
                prop_assert_eq!(found, expected, "{}", query);
            }
        }
    }
}
