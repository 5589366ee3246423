//! Proofs that something is not there: NSEC records (RFC 4035 §3.1.3) or NSEC3 records (RFC 5155 §7.2) of the authority section.
//!
//! Everything is signed already; what is chosen here is only which records go along.

use super::lookup::{InZone, Owner};
use super::sections::{Section, Sections};
use crate::state::chain::Chain;
use crate::state::hashes::{Hash, Hashes};
use crate::state::rrset::MAX_LINKS;
use crate::state::snapshot::{Denial, Snapshot};
use crate::wire::message::Rtype;
use crate::wire::name::{MAX_NAME_OCTETS, suffixes};
use crate::wire::sha1::sha1;

/// Most records of an answer's proofs: one for each alias that a wildcard stands for, and for what they lead to two NSEC or three
/// NSEC3 records.
const MAX_PROOFS: usize = MAX_LINKS + 3;

/// The proofs of an answer: a record may prove two things and is said once. They are written together, behind all that is
/// answered.
#[derive(Default)]
pub(super) struct Proofs {
    needed: [Proof; MAX_PROOFS],
    count: u8,
    /// How many of them are written.
    written: u8,
}

/// One of them.
#[derive(Clone, Copy, Default)]
struct Proof {
    /// Index of the zone it is of: an apex has a record of its own zone, and one of the zone above.
    zone: u32,
    /// Where it is: an owner's place in the index of names, or the number of a hash.
    at: u32,
    /// Where in the message the zone's apex stands.
    apex_at: u16,
    apex_len: u8,
}

impl Proofs {
    /// That a name which exists has not the type asked for.
    pub(super) fn no_data(&mut self, snapshot: &Snapshot, owner: Owner<'_>, in_zone: InZone, apex_at: u16) {
        match &in_zone.zone(snapshot).denial {
            Some(Denial::Nsec(_)) if owner.block_in(snapshot, in_zone.zone).get(Rtype::NSEC).is_some() => {
                self.need(owner.place(snapshot), in_zone, apex_at);
            }
            // An empty non-terminal has no record of its own.
            Some(Denial::Nsec(chain)) => self.gap(snapshot, chain, owner.name(), in_zone, apex_at),
            Some(Denial::Nsec3(hashes)) => self.no_data_hashed(snapshot, hashes, owner, in_zone, apex_at),
            None => {}
        }
    }

    /// That neither a name nor a wildcard that stands for it is there; `encloser` is the closest one.
    pub(super) fn no_name(
        &mut self,
        snapshot: &Snapshot,
        name: &[u8],
        encloser: Owner<'_>,
        in_zone: InZone,
        apex_at: u16,
    ) {
        match &in_zone.zone(snapshot).denial {
            Some(Denial::Nsec(chain)) => {
                self.gap(snapshot, chain, name, in_zone, apex_at);
                let mut wildcard = [0; MAX_NAME_OCTETS];
                let above = encloser.name();
                // Below a name without room for a label nothing can be.
                let Some(name) = wildcard.get_mut(..above.len() + 2) else { return };
                name[..2].copy_from_slice(b"\x01*");
                name[2..].copy_from_slice(above);
                self.gap(snapshot, chain, name, in_zone, apex_at);
            }
            Some(Denial::Nsec3(hashes)) => {
                if let Some(of_name) = encloser.hashed_in(snapshot, hashes) {
                    self.need(of_name.own, in_zone, apex_at);
                    self.next_closer(hashes, name, encloser.name_len(), in_zone, apex_at);
                    self.need(of_name.wildcard, in_zone, apex_at);
                }
            }
            None => {}
        }
    }

    /// That a name itself is not there, so that a wildcard stands for it (RFC 4035 §3.1.3.3, RFC 5155 §7.2.6).
    pub(super) fn only_wildcard(
        &mut self,
        snapshot: &Snapshot,
        name: &[u8],
        wildcard: Owner<'_>,
        in_zone: InZone,
        apex_at: u16,
    ) {
        match &in_zone.zone(snapshot).denial {
            Some(Denial::Nsec(chain)) => self.gap(snapshot, chain, name, in_zone, apex_at),
            Some(Denial::Nsec3(hashes)) => {
                self.next_closer(hashes, name, above(wildcard.name()).len(), in_zone, apex_at);
            }
            None => {}
        }
    }

    /// Which wildcard it is that has not the type asked for: the signature that would tell is not in the answer (RFC 5155 §7.2.5).
    #[inline(never)]
    pub(super) fn encloser_of(
        &mut self,
        snapshot: &Snapshot,
        wildcard: Owner<'_>,
        in_zone: InZone,
        apex_at: u16,
    ) {
        if let Some(Denial::Nsec3(hashes)) = &in_zone.zone(snapshot).denial
            && let Some(encloser) = Owner::find(snapshot, above(wildcard.name()))
            && let Some(of_name) = encloser.hashed_in(snapshot, hashes)
        {
            self.need(of_name.own, in_zone, apex_at);
        }
    }

    /// That the zone below a cut is not signed, where its NSEC record does not say so (RFC 5155 §7.2.7).
    #[inline(never)]
    pub(super) fn unsigned_below(
        &mut self,
        snapshot: &Snapshot,
        cut: Owner<'_>,
        in_zone: InZone,
        apex_at: u16,
    ) {
        if let Some(Denial::Nsec3(hashes)) = &in_zone.zone(snapshot).denial {
            self.no_data_hashed(snapshot, hashes, cut, in_zone, apex_at);
        }
    }

    /// That a name owns nothing, by the order of names.
    fn gap(&mut self, snapshot: &Snapshot, chain: &Chain, name: &[u8], in_zone: InZone, apex_at: u16) {
        if let Some(covering) = chain.covering(&snapshot.names, name, usize::from(in_zone.apex_len)) {
            self.need(covering, in_zone, apex_at);
        }
    }

    /// The record of a name, else the proof that the zone knows nothing of it: an apex whose zone above does not delegate it.
    fn no_data_hashed(
        &mut self,
        snapshot: &Snapshot,
        hashes: &Hashes,
        owner: Owner<'_>,
        in_zone: InZone,
        apex_at: u16,
    ) {
        if let Some(of_name) = owner.hashed_in(snapshot, hashes) {
            return self.need(of_name.own, in_zone, apex_at);
        }
        let known = |name| Owner::find(snapshot, name)?.hashed_in(snapshot, hashes).map(|of| (name, of));
        if let Some((encloser, of_name)) = suffixes(owner.name()).skip(1).find_map(known) {
            self.need(of_name.own, in_zone, apex_at);
            self.next_closer(hashes, owner.name(), encloser.len(), in_zone, apex_at);
        }
    }

    /// That nothing lies between the closest encloser, of this length, and a name below it: it covers the next closer name
    /// (RFC 5155 §1.3).
    fn next_closer(
        &mut self,
        hashes: &Hashes,
        name: &[u8],
        encloser_len: usize,
        in_zone: InZone,
        apex_at: u16,
    ) {
        if let Some(next_closer) = suffixes(name).find(|suffix| above(suffix).len() == encloser_len) {
            self.need(hashes.covering(&hash_of(next_closer)), in_zone, apex_at);
        }
    }

    fn need(&mut self, at: u32, in_zone: InZone, apex_at: u16) {
        let InZone { zone, apex_len } = in_zone;
        let known = self.needed.iter().take(usize::from(self.count));
        if { known }.any(|known| known.at == at && known.zone == zone) {
            return;
        }
        if let Some(slot) = self.needed.get_mut(usize::from(self.count)) {
            *slot = Proof { zone, at, apex_at, apex_len };
            self.count += 1;
        }
    }

    /// Whether anything is needed that is not written yet.
    #[inline(always)]
    pub(super) fn are_pending(&self) -> bool {
        self.written < self.count
    }

    /// Writes what is needed and not written yet to the authority section.
    pub(super) fn write(&mut self, sections: &mut Sections<'_>, snapshot: &Snapshot) {
        let pending = self.needed.iter().take(usize::from(self.count)).skip(usize::from(self.written));
        for Proof { zone, at, apex_at, apex_len } in pending.copied() {
            let rrset = match &snapshot.zones[zone as usize].denial {
                Some(Denial::Nsec(_)) => Owner::at(snapshot, at).and_then(|owner| {
                    let labels = owner.name().get(..owner.name_len() - usize::from(apex_len))?;
                    Some((labels, owner.block_in(snapshot, zone).get(Rtype::NSEC)?))
                }),
                Some(Denial::Nsec3(hashes)) => hashes.nsec3(at),
                None => None,
            };
            let Some((labels, rrset)) = rrset else { continue };
            let here = sections.next_at().map_or(usize::MAX, usize::from);
            let written = rrset.write_spelled(labels, apex_at, here, true, sections.rest());
            sections.take(Section::Authority, written);
        }
        self.written = self.count;
    }
}

/// A name without its first label.
fn above(name: &[u8]) -> &[u8] {
    name.first().and_then(|len| name.get(usize::from(*len) + 1..)).unwrap_or_default()
}

/// The hash of a name in any case: no salt, no additional iterations (RFC 5155 §5, RFC 9276 §3.1).
fn hash_of(name: &[u8]) -> Hash {
    let mut lower = [0; MAX_NAME_OCTETS];
    let Some(lower) = lower.get_mut(..name.len()) else { return Hash::default() };
    lower.copy_from_slice(name);
    // Length octets are at most 63 and so never look like letters.
    lower.make_ascii_lowercase();
    sha1(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_closer_name_has_one_label_more_than_the_encloser() {
        let name = b"\x01a\x02bb\x03www\x07example\x00";
        let next = |len: usize| suffixes(name).find(|suffix| above(suffix).len() == len);
        assert_eq!(next(9), Some(&name[5..]));
        assert_eq!(next(13), Some(&name[2..]));
        assert_eq!(next(name.len()), None);
        assert_eq!((above(b"\x00"), above(b""), above(b"\x05ab")), (&[][..], &[][..], &[][..]));
    }

    #[test]
    fn a_hash_is_that_of_the_lower_case_name() {
        assert_eq!(hash_of(b"\x03WwW\x07eXample\x00"), sha1(b"\x03www\x07example\x00"));
        assert_eq!(hash_of(&[0x41; MAX_NAME_OCTETS]), sha1(&[0x61; MAX_NAME_OCTETS]));
    }
}
