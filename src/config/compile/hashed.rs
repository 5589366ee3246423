//! The NSEC3 chain of a zone (RFC 5155 §7.1, RFC 9276 §3.1: no salt, no additional iterations, no opt-out).
//!
//! Every name that the index has of a zone is in it, empty non-terminals too, and so are its cuts: what exists for a query has a
//! record. Which types a name has is told while the zone is compiled.

use std::cell::RefCell;
use std::collections::HashMap;

use super::seal::Sealer;
use super::signing::SigningError;
use crate::dnssec::denial::{base32_hex, nsec3_hash, nsec3_owner, nsec3_rdata};
use crate::state::hashes::{Hash, Hashes, NewName, NewRecord};
use crate::state::names::NameIndexBuilder;
use crate::state::rrset_builder::push_block;
use crate::wire::message::Rtype;
use crate::wire::name::MAX_NAME_OCTETS;

/// Names with the types they own, as they are told.
#[derive(Default)]
pub(super) struct Typed(RefCell<HashMap<Box<[u8]>, Vec<Rtype>>>);

impl Typed {
    /// Notes an owner of these types.
    pub(super) fn note(&self, apex: &[u8], owner: &[u8], types: impl Iterator<Item = Rtype>) {
        let mut types: Vec<Rtype> = types.collect();
        // Of an unsigned delegation nothing is signed (RFC 5155 §7.1).
        if types.iter().any(|rtype| *rtype != Rtype::NS || owner == apex) {
            types.push(Rtype::RRSIG);
        }
        self.0.borrow_mut().insert(owner.into(), types);
    }

    /// The chain over these names and those at `places` of the index; `None` where it cannot be made, which the zone then is
    /// told.
    pub(super) fn into_hashes(
        self,
        sealer: &Sealer<'_>,
        names: &NameIndexBuilder,
        places: &[u32],
    ) -> Option<Hashes> {
        let typed = self.0.into_inner();
        let mut links: Vec<Link> = places.iter().map(|at| Link::new(names.name_at(*at), *at)).collect();
        // Cuts that are apexes of zones served here are names of those.
        let own = |name: &[u8]| places.binary_search(&names.offset_of(name)?).ok();
        let others = typed.keys().filter(|name| own(name).is_none());
        links.extend(others.filter_map(|name| Some(Link::new(name, names.offset_of(name)?))));
        links.sort_unstable_by_key(|link| link.hash);
        if has_twins(&links) {
            sealer.fail(SigningError::SameHash);
            return None;
        }
        let next = links.iter().cycle().skip(1);
        let mut records = Vec::with_capacity(links.len());
        for (link, next) in links.iter().zip(next) {
            let types = typed.get(names.name_at(link.at)).into_iter().flatten();
            let rdata = nsec3_rdata(&next.hash, false, types.map(|rtype| rtype.0));
            let Some(owner) = nsec3_owner(&link.hash, sealer.apex()) else {
                sealer.fail(SigningError::ApexTooLong);
                return None;
            };
            let mut block = Vec::new();
            push_block(&[sealer.nsec3(&owner, rdata)], &mut block);
            records.push(NewRecord { hash: link.hash, digits: base32_hex(&link.hash), block: block.into() });
        }
        let names = links.iter().map(|link| NewName {
            at: link.at,
            own: link.hash,
            wildcard: wildcard_below(names.name_at(link.at)).map(|name| nsec3_hash(&name)),
        });
        let hashes = Hashes::new(&records, names.collect());
        if hashes.is_none() {
            sealer.fail(SigningError::TooLarge);
        }
        hashes
    }
}

/// A name of the chain.
struct Link {
    hash: Hash,
    /// Its place in the index.
    at: u32,
}

impl Link {
    fn new(name: &[u8], at: u32) -> Link {
        Link { hash: nsec3_hash(name), at }
    }
}

/// Whether two names that follow each other have the same hash (RFC 5155 §7.1, step 7).
fn has_twins(sorted: &[Link]) -> bool {
    sorted.windows(2).any(|pair| pair[0].hash == pair[1].hash)
}

/// The wildcard directly below a name, where there is room for its label.
fn wildcard_below(name: &[u8]) -> Option<Vec<u8>> {
    let wildcard = [b"\x01*", name].concat();
    (wildcard.len() <= MAX_NAME_OCTETS).then_some(wildcard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_with_one_hash_are_found() {
        let links = |hashes: &[u8]| -> Vec<Link> {
            hashes.iter().zip(0..).map(|(first, at)| Link { hash: [*first; 20], at }).collect()
        };
        assert!(has_twins(&links(&[1, 2, 2, 3])));
        assert!(!has_twins(&links(&[1, 2, 3])) && !has_twins(&links(&[1])) && !has_twins(&[]));
    }

    #[test]
    fn only_what_is_signed_has_signatures() {
        let apex = b"\x07example\x00";
        let of = |owner: &[u8], types: &[Rtype]| {
            let typed = Typed::default();
            typed.note(apex, owner, types.iter().copied());
            typed.0.into_inner().remove(owner).unwrap()
        };
        assert_eq!(of(b"\x01c\x07example\x00", &[Rtype::NS]), [Rtype::NS]);
        assert_eq!(of(b"\x01c\x07example\x00", &[Rtype::NS, Rtype::DS])[2..], [Rtype::RRSIG]);
        assert_eq!(of(apex, &[Rtype::NS])[1..], [Rtype::RRSIG]);
        assert_eq!(of(b"\x01e\x07example\x00", &[]), []);
    }

    #[test]
    fn a_wildcard_needs_room() {
        assert_eq!(wildcard_below(b"\x01a\x00").unwrap(), b"\x01*\x01a\x00");
        assert!(wildcard_below(&[1; 253]).is_some() && wildcard_below(&[1; 254]).is_none());
    }
}
