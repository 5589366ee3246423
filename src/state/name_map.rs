//! Maps by name whose hash is that of the qname index: names of a zone by the million would spend more on the standard hash
//! than on all else.
//!
//! The hash has no secret, as that of the index: who writes the files of a zone can choose names that collide. Names that
//! clients ask for get into neither.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use super::names::hash_name;

/// A map by names in lower-case wire form, or parts of such.
pub type NameMap<K, V> = HashMap<K, V, BuildHasherDefault<NameHasher>>;
/// A set of such names.
pub type NameSet<K> = HashSet<K, BuildHasherDefault<NameHasher>>;

/// Hashes one slice of octets.
#[derive(Clone, Debug, Default)]
pub struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, name: &[u8]) {
        self.0 ^= hash_name(name);
    }

    /// The length of a slice, which comes before it: its hash has that in it already.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_and_borrowed_names_are_the_same_key() {
        let names: Vec<Vec<u8>> = (0..200).map(|len| vec![b'a' + len % 26; usize::from(len)]).collect();
        let map: NameMap<Box<[u8]>, usize> = names.iter().map(|name| (&name[..]).into()).zip(0..).collect();
        assert_eq!(map.len(), names.len());
        for (at, name) in names.iter().enumerate() {
            assert_eq!(map.get(&name[..]), Some(&at));
        }
        assert_eq!(map.get(&b"other"[..]), None);
    }
}
