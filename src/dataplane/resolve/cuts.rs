//! What is answered at and below zone cuts: referrals, DS, and the parent's side of an apex (RFC 1034 §4.3.2, RFC 4035 §3.1.4.1).
//!
//! Knows no pool.

use super::{End, Place, Resolution};
use crate::dataplane::lookup::{Found, InZone, Owner, locate};
use crate::dataplane::sections::Section;
use crate::dataplane::trace::{Step, Trace};
use crate::state::rrset::{Block, QNAME_AT};
use crate::wire::edns::ExtendedError;
use crate::wire::message::Rtype;
use crate::wire::name::suffixes;

impl<'t, T: Trace> Resolution<'t, '_, T> {
    /// Answers at a zone cut for what belongs to this side of it (RFC 4035 §3.1.4.1).
    pub(super) fn answer_at_cut(&mut self, cut: Owner<'t>, place: Place) -> End {
        let snapshot = self.turn.snapshot;
        match cut.block(snapshot).get(self.query.qtype()) {
            Some(rrset) => {
                self.sections.put(Section::Answer, rrset, place, self.signed);
                End::ANSWERED
            }
            None => self.deny_type(cut, place),
        }
    }

    /// Answers for DS at an apex: for the zone above, if that is here too.
    pub(super) fn answer_ds_of_apex(&mut self, owner: Owner<'t>, name: &[u8], place: Place) -> End {
        let snapshot = self.turn.snapshot;
        let zone = owner.in_zone().zone(snapshot);
        let Some(parent) = &zone.parent else { return self.deny_type(owner, place) };
        let above = InZone { zone: parent.zone, apex_len: parent.apex_len };
        // The target of an alias may be no more than a pointer to this apex: the one above stands where that leads.
        let spelled_at = self.sections.follow_pointers(place.owner_at);
        let apex_at = spelled_at + (owner.name_len() - usize::from(parent.apex_len)) as u16;
        let place = Place { apex_at, ..place };
        if !above.zone(snapshot).is_loaded {
            // Behind an alias the resolver asks there itself, and is told so.
            if place.owner_at != QNAME_AT {
                return End::ANSWERED;
            }
            self.extended = Some(ExtendedError::ZoneNotLoaded);
            return End::FAILED;
        }
        // The zone right above may be delegated itself: then its servers know.
        let right_above = suffixes(name).nth(1).unwrap_or(&[0]);
        if let Found::Cut(cut) = locate(snapshot, right_above)
            && cut.in_zone().zone == parent.zone
        {
            return self.refer(cut, name, Place { owner_at: spelled_at, ..place });
        }
        match Block::at(&parent.block).get(Rtype::DS) {
            Some(rrset) => {
                self.sections.put(Section::Answer, rrset, place, self.signed);
                End::ANSWERED
            }
            None => {
                let end = self.deny(above.zone(snapshot).negative_soa(), place, End::NO_DATA);
                if self.signed {
                    self.proofs.no_data(snapshot, owner, above, place.apex_at);
                }
                end
            }
        }
    }

    /// Refers to the servers of the zone below a cut (RFC 1034 §4.3.2 step 3b), with the glue that this needs (RFC 9471).
    pub(super) fn refer(&mut self, cut: Owner<'t>, name: &[u8], place: Place) -> End {
        self.trace.note(|| Step::Referral);
        let block = cut.block(self.turn.snapshot);
        let owner_at = place.owner_at + (name.len() - cut.name_len()) as u16;
        let place = Place { owner_at, ..place };
        if let Some(servers) = block.get(Rtype::NS) {
            let at = self.sections.next_at();
            if self.sections.put(Section::Authority, servers, place, false) {
                // Of use only to who can prove it: in an unsigned zone nobody can.
                let proof = block.get(Rtype::DS).or_else(|| block.get(Rtype::NSEC));
                match proof.filter(|proof| self.signed && proof.signature_count() > 0) {
                    Some(proof) => _ = self.sections.put(Section::Authority, proof, place, true),
                    None if self.signed => {
                        let snapshot = self.turn.snapshot;
                        self.proofs.unsigned_below(snapshot, cut, cut.in_zone(), place.apex_at);
                    }
                    None => {}
                }
                self.write_proofs();
                self.sections.put_extras(servers, at, self.signed, None);
            }
        }
        // AA is about the first owner: behind an alias it stays (RFC 1035 §4.1.1).
        let is_authoritative = self.sections.count(Section::Answer) > 0;
        End { is_authoritative, ..End::REFERRED }
    }
}
