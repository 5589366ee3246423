//! Zones with a file: records grouped by owner and judged as a whole, kept from load to load, and what their parents need.
//!
//! What a record says is `zonefile`'s; how a name is answered is `compile`'s and the packet path's.

/// Records of one owner together.
mod order;
/// Records to a zone, and what forbids that.
pub(super) mod assemble;
/// What can be wrong with a zone as a whole.
pub mod cause;
/// Which version of each zone is served.
pub mod choose;
/// Zones as last read: what did not change is not read again, what is broken keeps its last good version.
pub mod keep;
/// What makes a delegation fail in practice.
pub(super) mod findings;
/// What the zone above must be told.
pub mod delegation;

use std::collections::HashMap;

use super::zonefile::{RawRecord, RawZone};
use crate::state::name_map::NameSet;

/// The records of a zone, fit to be served.
#[derive(Debug)]
pub struct ZoneData {
    raw: RawZone,
    /// Handles with those of an owner together, where the file does not keep them together itself.
    order: Option<Box<[u32]>>,
    /// Number of different owners.
    owner_count: usize,
    /// Owners, as labels below the apex, of NS records there: zone cuts.
    cuts: NameSet<Box<[u8]>>,
    /// Owners of DNAME records.
    dnames: NameSet<Box<[u8]>>,
    /// Whether there is an SOA record, and NS records at the apex.
    pub(super) has_soa: bool,
    pub(super) has_ns: bool,
}

impl ZoneData {
    /// No record at all: a zone that has none but those the configuration gives.
    pub(super) fn empty() -> ZoneData {
        ZoneData {
            raw: RawZone::default(),
            order: None,
            owner_count: 0,
            cuts: Default::default(),
            dnames: Default::default(),
            has_soa: false,
            has_ns: false,
        }
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// True without any.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of owners.
    pub(super) fn owner_count(&self) -> usize {
        self.owner_count
    }

    /// About as many octets as the records take when they are put into wire form: owner, type, class, TTL and length each,
    /// and the entry of their RRset.
    pub(super) fn block_octets(&self) -> usize {
        self.raw.iter().map(|(_, record)| 36 + record.rdata.len()).sum()
    }

    /// Every record, in the order of the files.
    pub(super) fn records(&self) -> impl Iterator<Item = RawRecord<'_>> {
        self.raw.iter().map(|(_, record)| record)
    }

    /// The file as shown, and the line, where a record's entry begins.
    pub(super) fn place(&self, record: &RawRecord<'_>) -> (&std::sync::Arc<str>, u32) {
        self.raw.place(record)
    }

    /// The zone's own file as shown.
    pub(super) fn file_name(&self) -> &std::sync::Arc<str> {
        self.raw.name()
    }

    /// Calls `visit` with all records of each owner.
    pub(super) fn for_each_owner(&self, mut visit: impl FnMut(&[RawRecord<'_>])) {
        let mut group: Vec<RawRecord<'_>> = Vec::new();
        let ordered = self.order.iter().flatten().map(|handle| self.raw.get(*handle));
        let in_file = self.records().take(if self.order.is_some() { 0 } else { usize::MAX });
        for record in ordered.chain(in_file) {
            if group.first().is_some_and(|first| first.owner != record.owner) {
                visit(&group);
                group.clear();
            }
            group.push(record);
        }
        if !group.is_empty() {
            visit(&group);
        }
    }

    /// Whether an owner is a zone cut.
    pub(super) fn is_cut(&self, owner: &[u8]) -> bool {
        !self.cuts.is_empty() && self.cuts.contains(owner)
    }

    /// Those of `names` that do not exist, each with its closest encloser, whose wildcard stands for it (RFC 4592 §3.3.1);
    /// `beside` are names that exist though no record is theirs. All as labels below the apex.
    pub(super) fn enclosers_of_missing<'n, 'b>(
        &self,
        names: &[&'n [u8]],
        beside: impl Iterator<Item = &'b [u8]>,
    ) -> HashMap<&'n [u8], &'n [u8]> {
        let mut exists: HashMap<&[u8], bool> = HashMap::new();
        for name in names {
            exists.extend(ancestors(name).chain([*name]).map(|name| (name, name.is_empty())));
        }
        let mut note = |owner: &[u8]| {
            for name in ancestors(owner).chain([owner]) {
                if let Some(known) = exists.get_mut(name) {
                    *known = true;
                }
            }
        };
        beside.for_each(&mut note);
        let own = self.records().filter(|record| !assemble::is_made_by_signing(record.rtype));
        own.for_each(|record| note(record.owner));
        let missing = names.iter().filter(|name| !exists[**name]);
        missing.filter_map(|name| Some((*name, ancestors(name).find(|above| exists[*above])?))).collect()
    }

    /// Whether an owner has a DNAME record.
    pub(super) fn is_renamed(&self, owner: &[u8]) -> bool {
        !self.dnames.is_empty() && self.dnames.contains(owner)
    }

    /// What hides an owner, given as labels below the apex: the closest cut or DNAME above it.
    pub(super) fn hidden_below<'o>(&self, owner: &'o [u8]) -> Option<&'o [u8]> {
        if self.cuts.is_empty() && self.dnames.is_empty() {
            return None;
        }
        // The topmost counts: below it nothing is, cuts among it.
        ancestors(owner).filter(|above| self.cuts.contains(*above) || self.dnames.contains(*above)).last()
    }
}

#[cfg(test)]
mod tests;

/// The labels above an owner that is given as labels below the apex, closest first, the apex (no labels) last.
pub(super) fn ancestors(owner: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = owner;
    std::iter::from_fn(move || {
        let step = usize::from(*rest.first()?) + 1;
        rest = rest.get(step..)?;
        Some(rest)
    })
}

/// The owner of a name in lower-case wire form that lies at or below `apex`, as labels below it.
pub(super) fn labels_below<'n>(name: &'n [u8], apex: &[u8]) -> Option<&'n [u8]> {
    let labels = name.len().checked_sub(apex.len())?;
    let is_inside = crate::wire::name::suffixes(name).any(|suffix| suffix == apex);
    is_inside.then(|| &name[..labels])
}

/// The whole name of an owner.
pub(super) fn whole_name(owner: &[u8], apex: &[u8]) -> Vec<u8> {
    [owner, apex].concat()
}
