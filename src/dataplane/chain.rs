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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{compile::compile, load_str};
    use crate::dataplane::lookup::{Found, locate};
    use crate::state::snapshot::Snapshot;
    use proptest::prelude::*;

    /// Names that exist in [`snapshot`], by number, in wire form.
    fn owner_name(number: u8) -> Vec<u8> {
        vec![1, b'a' + number % 6, 4, b't', b'e', b's', b't', 0]
    }

    fn snapshot() -> Snapshot {
        let text = "globalnames: {a.test: p, b.test: p, c.test: p, d.test: p, e.test: p, f.test: p}\n\
                    pools: {p: {lb_method: wrr, members: [192.0.2.1], monitor: forced, monitor_params: {status: up}}}\n";
        compile(&load_str("f", text).unwrap_or_else(|report| panic!("{report}")).config, 1)
    }

    fn owner(snapshot: &Snapshot, number: u8) -> Owner<'_> {
        match locate(snapshot, &owner_name(number)) {
            Found::Exact(owner) => owner,
            _ => panic!("it exists"),
        }
    }

    /// A name of few letters in any case, so that names come again.
    fn name() -> impl Strategy<Value = Vec<u8>> {
        const LABELS: &[&[u8]] = &[b"\x01a", b"\x01A", b"\x01b", b"\x02ab", b"\x02aB", b"\x01@", b"\x01`"];
        let label = prop::sample::select(LABELS);
        prop::collection::vec(label, 0..3).prop_map(|labels| [labels.concat(), vec![0]].concat())
    }

    proptest! {
        /// A list that everything is compared with says the same.
        #[test]
        fn chain_goes_to_no_name_twice_and_not_on_for_ever(
            qname in name(),
            steps in prop::collection::vec((name(), prop::option::of(any::<u8>())), 0..24),
        ) {
            let snapshot = snapshot();
            let mut seen = Seen::new(&qname);
            let mut names = vec![qname.to_ascii_lowercase()];
            let mut dnames: Vec<u8> = Vec::new();
            for (name, dname) in &steps {
                let lower = name.to_ascii_lowercase();
                let expected = names.len() <= MAX_LINKS && !names.contains(&lower);
                prop_assert_eq!(seen.add(name, dname.map(|number| owner(&snapshot, number))), expected);
                if expected {
                    names.push(lower);
                    dnames.extend(dname.map(|number| number % 6));
                }
                for number in 0..6 {
                    prop_assert_eq!(seen.has_dname(owner(&snapshot, number)), dnames.contains(&number));
                }
            }
            prop_assert!(names.len() <= MAX_LINKS + 1);
        }

        #[test]
        fn target_is_what_it_was_set_to(names in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4)) {
            let mut target = Target::EMPTY;
            let mut expected: &[u8] = &[];
            for name in &names {
                target.set(name);
                if name.len() <= MAX_NAME_OCTETS {
                    expected = name;
                }
                prop_assert_eq!(target.as_wire(), expected);
            }
        }

        /// What stands before a name's end is that name; what is none is the root.
        #[test]
        fn first_name_ends_where_its_name_does(name in name(), behind in prop::collection::vec(any::<u8>(), 0..8)) {
            let octets = [&name[..], &behind].concat();
            prop_assert_eq!(first_name(&octets), &name[..]);
            prop_assert_eq!(first_name(&name[..name.len() - 1]), &[0][..]);
        }
    }
}
