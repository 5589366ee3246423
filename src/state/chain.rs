//! The order of a signed zone's names: which NSEC record proves that a name is not there (RFC 4034 §6.1, RFC 4035 §3.1.3).
//!
//! Made once with the zone; a search allocates nothing. The NSEC records themselves stand behind their owners.

use super::names::NameIndex;
use crate::wire::name::{canonical_cmp, canonical_prefix};

/// The owners of NSEC records in canonical order; the apex is the first.
#[derive(Default)]
pub struct Chain {
    /// What most comparisons come to: the first octets of each owner's sort key.
    prefixes: Box<[u64]>,
    /// Where in the index each owner stands.
    at: Box<[u32]>,
}

impl Chain {
    /// Of owners in canonical order, each given as its labels below the apex with its place in the index.
    pub fn new<'n>(owners: impl Iterator<Item = (&'n [u8], u32)>) -> Chain {
        let (prefixes, at): (Vec<u64>, Vec<u32>) =
            owners.map(|(labels, at)| (canonical_prefix(labels), at)).unzip();
        Chain { prefixes: prefixes.into(), at: at.into() }
    }

    /// Where the owner stands whose NSEC record covers a name that is not an owner itself: the last one before it. `None` only
    /// without any.
    pub fn covering(&self, names: &NameIndex, name: &[u8], apex_len: usize) -> Option<u32> {
        let labels = name.get(..name.len().checked_sub(apex_len)?)?;
        let prefix = canonical_prefix(labels);
        let below = self.prefixes.partition_point(|other| *other < prefix);
        // Of those that begin alike, by all of the name.
        let alike = self.prefixes[below..].partition_point(|other| *other == prefix);
        let is_before =
            |at: &u32| names.at(*at).is_some_and(|record| canonical_cmp(record.name(), name).is_lt());
        let before = below + self.at.get(below..below + alike)?.partition_point(is_before);
        self.at.get(before.checked_sub(1)?).copied()
    }

    /// Number of owners.
    pub fn len(&self) -> usize {
        self.at.len()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }
}
