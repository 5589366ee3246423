//! Proofs that something is not there: NSEC records of the authority section (RFC 4035 §3.1.3).
//!
//! Everything is signed already; what is chosen here is only which records go along.

use super::lookup::{InZone, Owner};
use super::sections::{Section, Sections};
use crate::state::rrset::MAX_LINKS;
use crate::state::snapshot::Snapshot;
use crate::wire::message::Rtype;
use crate::wire::name::MAX_NAME_OCTETS;

/// Most NSEC records of an answer: one for each alias that a wildcard stands for, two for what they lead to.
const MAX_PROOFS: usize = MAX_LINKS + 2;

/// The NSEC records of an answer, by owner: one may prove two things and is said once. They are written together, behind all
/// that is answered.
#[derive(Default)]
pub(super) struct Proofs<'s> {
    needed: [Option<Proof<'s>>; MAX_PROOFS],
    /// How many of them are written.
    written: usize,
}

/// One of them: its owner, and where the apex of its zone stands.
#[derive(Clone, Copy)]
struct Proof<'s> {
    owner: Owner<'s>,
    in_zone: InZone,
    apex_at: u16,
}

impl<'s> Proofs<'s> {
    /// That a name which owns an NSEC record, or is an empty non-terminal, has not the type asked for.
    pub(super) fn no_data(
        &mut self,
        snapshot: &'s Snapshot,
        owner: Owner<'s>,
        in_zone: InZone,
        apex_at: u16,
    ) {
        if owner.block_in(snapshot, in_zone.zone).get(Rtype::NSEC).is_some() {
            self.need(owner, in_zone, apex_at);
        } else {
            self.no_name(snapshot, owner.name(), in_zone, apex_at);
        }
    }

    /// That a name owns nothing.
    pub(super) fn no_name(&mut self, snapshot: &'s Snapshot, name: &[u8], in_zone: InZone, apex_at: u16) {
        if let Some(covering) = Owner::covering(snapshot, name, in_zone) {
            self.need(covering, in_zone, apex_at);
        }
    }

    /// That no wildcard stands for a name with this closest encloser.
    pub(super) fn no_wildcard(
        &mut self,
        snapshot: &'s Snapshot,
        encloser: Owner<'s>,
        in_zone: InZone,
        apex_at: u16,
    ) {
        let mut wildcard = [0; MAX_NAME_OCTETS];
        let above = encloser.name();
        // Below a name without room for a label nothing can be.
        let Some(name) = wildcard.get_mut(..above.len() + 2) else { return };
        name[..2].copy_from_slice(b"\x01*");
        name[2..].copy_from_slice(above);
        self.no_name(snapshot, name, in_zone, apex_at);
    }

    fn need(&mut self, owner: Owner<'s>, in_zone: InZone, apex_at: u16) {
        // An apex has a record of its own zone, and one of the zone above.
        let is_same = |known: &Proof<'_>| known.owner.is(owner) && known.in_zone.zone == in_zone.zone;
        if self.needed.iter().flatten().any(is_same) {
            return;
        }
        if let Some(slot) = self.needed.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(Proof { owner, in_zone, apex_at });
        }
    }

    /// Writes what is needed and not written yet to the authority section.
    pub(super) fn write(&mut self, sections: &mut Sections<'_>, snapshot: &'s Snapshot) {
        for proof in self.needed.iter().skip(self.written).flatten() {
            self.written += 1;
            let Proof { owner, in_zone, apex_at } = *proof;
            let Some(nsec) = owner.block_in(snapshot, in_zone.zone).get(Rtype::NSEC) else { continue };
            let labels = &owner.name()[..owner.name_len() - usize::from(in_zone.apex_len)];
            let at = sections.next_at().map_or(usize::MAX, usize::from);
            let written = nsec.write_spelled(labels, apex_at, at, true, sections.rest());
            sections.take(Section::Authority, written);
        }
    }
}
