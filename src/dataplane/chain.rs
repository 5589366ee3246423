//! What a chain of aliases has passed: it goes to no name twice, and not on for ever.
//!
//! Made only where there is an alias; lies on the stack.

use super::lookup::Owner;
use crate::state::rrset::MAX_LINKS;
use crate::wire::name::{MAX_NAME_OCTETS, uncompressed_len};

/// Names that were answered for, and DNAME records that are in the answer.
pub(super) struct Seen<'s> {
    qname: &'s [u8],
    names: [Target; MAX_LINKS],
    dnames: [Option<Owner<'s>>; MAX_LINKS],
    links: usize,
}

impl<'s> Seen<'s> {
    /// Nothing but the query name.
    pub(super) fn new(qname: &'s [u8]) -> Seen<'s> {
        Seen { qname, names: [const { Target::EMPTY }; MAX_LINKS], dnames: [None; MAX_LINKS], links: 0 }
    }

    /// Goes on to a name, perhaps by a DNAME record; false where the chain ends: it has been there, or is long enough.
    pub(super) fn add(&mut self, name: &[u8], dname: Option<Owner<'s>>) -> bool {
        let is_new = |seen: &[u8]| !seen.eq_ignore_ascii_case(name);
        let passed = &self.names[..self.links];
        if self.links == MAX_LINKS || !is_new(self.qname) || !passed.iter().all(|seen| is_new(seen.as_wire()))
        {
            return false;
        }
        self.names[self.links].set(name);
        self.dnames[self.links] = dname;
        self.links += 1;
        true
    }

    /// Whether the DNAME record of an owner is in the answer.
    pub(super) fn has_dname(&self, owner: Owner<'_>) -> bool {
        self.dnames.iter().flatten().any(|dname| dname.is(owner))
    }
}

/// A name that is followed.
pub(super) struct Target {
    octets: [u8; MAX_NAME_OCTETS],
    len: u8,
}

impl Target {
    pub(super) const EMPTY: Target = Target { octets: [0; MAX_NAME_OCTETS], len: 0 };

    pub(super) fn set(&mut self, name: &[u8]) {
        if let Some(octets) = self.octets.get_mut(..name.len()) {
            octets.copy_from_slice(name);
            self.len = name.len() as u8;
        }
    }

    pub(super) fn as_wire(&self) -> &[u8] {
        &self.octets[..usize::from(self.len)]
    }
}

/// The uncompressed name that octets begin with.
pub(super) fn first_name(octets: &[u8]) -> &[u8] {
    uncompressed_len(octets, 0).ok().and_then(|len| octets.get(..len)).unwrap_or(&[0])
}
