//! What is answered where it takes more than one RRset to say it: aliases, referrals, wildcards, what goes along
//! (RFC 1034 §4.3.2, RFC 2308, RFC 4592, RFC 6604, RFC 6672).
//!
//! One step answers for one name; a CNAME or DNAME leads to the next, wherever in the server's own zones that lies. The
//! response code and what is in the authority section are the last step's.

/// Zone cuts.
mod cuts;
/// Names that are steered to more than addresses.
mod steered;

use super::chain::{Seen, Target, first_name};
use super::chaos::answer_other_class;
use super::choose::{PoolChoice, choose_any_pool, choose_either_family};
use super::denial::Proofs;
use super::lookup::{Found, InZone, Owner, locate, place};
use super::parse::Query;
use super::render::{Body, HINFO_RECORD, count_source, room};
use super::sections::{Section, Sections};
use super::trace::{Draw, Off, Step, Trace};
use super::turn::Turn;
use crate::state::counters::Counter;
use crate::state::names::Flags;
use crate::state::pool::{Fallback, FamilyPool};
use crate::state::rotation::{Drawn, Source};
use crate::state::rrset::{MAX_POINTER, Place, QNAME_AT, Rrset, Written, host_mark, point_owners};
use crate::state::snapshot::{SignedFamily, Zone};
use crate::wire::edns::ExtendedError;
use crate::wire::message::{Class, FLAG_AA, Rcode, Rtype};
use crate::wire::name::MAX_NAME_OCTETS;

/// Writes what a query is answered with; `owner` is its name where that exists.
#[inline(never)]
pub(super) fn resolve<T: Trace>(
    trace: T,
    turn: Turn<'_>,
    query: Query<'_>,
    owner: Option<Owner<'_>>,
    reply: &mut [u8],
) -> Body {
    let snapshot = turn.snapshot;
    let into = room(snapshot, turn.transport, query, reply);
    if query.qclass() != Class::IN {
        trace.note(|| Step::OtherClass);
        return answer_other_class(turn, query, into);
    }
    let found = place(snapshot, query.qname(), owner);
    trace.note(|| Step::Name { name: query.qname(), found });
    let Some(in_zone) = found.in_zone() else {
        return Body::refused(Some(ExtendedError::NotAuthoritative));
    };
    // Zone transfers are not offered.
    if matches!(query.qtype(), Rtype::AXFR | Rtype::IXFR) {
        trace.note(|| Step::Transfer);
        return Body::refused(None);
    }
    let zone = in_zone.zone(snapshot);
    let mut turn = turn;
    if (!zone.is_loaded || zone.refused_with_pool.is_some())
        && let Some(body) = withheld(trace, &mut turn, query, found, zone)
    {
        return body;
    }
    let signed = query.wants_signatures();
    let sections = Sections::new(into, query.asked.len());
    let proofs = Proofs::default();
    let mut resolution =
        Resolution { turn, trace, query, sections, signed, scope_len: 0, extended: None, proofs };
    let end = match resolution.step(query.qname(), QNAME_AT, found, None) {
        Next::Done(end) => end,
        Next::Follow(next) => resolution.follow(next),
    };
    resolution.body(end)
}

/// What is said for a zone that cannot answer now, but for its pools.
#[cold]
fn withheld<T: Trace>(
    trace: T,
    turn: &mut Turn<'_>,
    query: Query<'_>,
    found: Found<'_>,
    zone: &Zone,
) -> Option<Body> {
    let snapshot = turn.snapshot;
    // A pool answers whatever is known of the zone beside it.
    if let Found::Exact(owner) | Found::Wildcard(owner) = found
        && (choose_any_pool(Off, snapshot, turn.client, query, owner).is_some()
            || steered::is_answered(snapshot, owner, query.qtype()))
    {
        return None;
    }
    if !zone.is_loaded {
        trace.note(|| Step::ZoneNotLoaded);
        return Some(Body::failed(ExtendedError::ZoneNotLoaded));
    }
    let pool = zone.refused_with_pool?;
    let is_exhausted = turn.rotations.is_exhausted(&snapshot.health, &snapshot.pools[pool as usize]);
    if is_exhausted {
        trace.note(|| Step::ZoneRefused { pool });
    }
    is_exhausted.then(|| Body::refused(Some(ExtendedError::NoMemberUp)))
}

/// What a step leaves to do.
enum Next<'s> {
    /// Nothing.
    Done(End),
    /// To answer for another name.
    Follow(Alias<'s>),
}

/// A name that a CNAME record leads to.
#[derive(Clone, Copy)]
struct Alias<'s> {
    /// Its octets where they are known; those of a synthesized one stand uncompressed in the reply.
    target: Option<&'s [u8]>,
    /// Where in the message it begins.
    at: u16,
    /// The owner of the DNAME record that it was made from.
    dname: Option<Owner<'s>>,
}

/// How an answer ends.
#[derive(Clone, Copy)]
struct End {
    rcode: Rcode,
    counter: Counter,
    is_authoritative: bool,
}

impl End {
    const ANSWERED: End = End { rcode: Rcode::NOERROR, counter: Counter::Answered, is_authoritative: true };
    const NO_DATA: End = End { counter: Counter::NoData, ..End::ANSWERED };
    const NO_NAME: End = End { rcode: Rcode::NXDOMAIN, counter: Counter::NxDomain, ..End::ANSWERED };
    const REFERRED: End = End { counter: Counter::Referral, is_authoritative: false, ..End::ANSWERED };
    const TOO_LONG: End = End { rcode: Rcode::YXDOMAIN, counter: Counter::YxDomain, ..End::ANSWERED };
    const FAILED: End = End { rcode: Rcode::SERVFAIL, counter: Counter::ServFail, is_authoritative: false };
    const REFUSED: End = End { rcode: Rcode::REFUSED, counter: Counter::Refused, is_authoritative: false };
}

/// An answer that is being put together.
struct Resolution<'t, 'r, T> {
    turn: Turn<'t>,
    /// Who is told what is done.
    trace: T,
    query: Query<'t>,
    sections: Sections<'r>,
    /// Whether signatures go along.
    signed: bool,
    scope_len: u8,
    extended: Option<ExtendedError>,
    /// What of the answer proves that something is not there.
    proofs: Proofs,
}

impl<'t, T: Trace> Resolution<'t, '_, T> {
    /// Answers for one name, which begins at `name_at` of the message; `seen` is what the answer has passed already.
    fn step(&mut self, name: &[u8], name_at: u16, found: Found<'t>, seen: Option<&Seen<'t>>) -> Next<'t> {
        let snapshot = self.turn.snapshot;
        let Some(in_zone) = found.in_zone() else { return Next::Done(End::ANSWERED) };
        let place = place_of(name, name_at, in_zone);
        match found {
            Found::Exact(owner) => self.answer(owner, name, place),
            Found::Wildcard(owner) => {
                if self.signed {
                    self.proofs.only_wildcard(snapshot, name, owner, in_zone, place.apex_at);
                }
                let next = self.answer(owner, name, place);
                if self.signed && matches!(&next, Next::Done(end) if end.counter == Counter::NoData) {
                    self.proofs.encloser_of(snapshot, owner, in_zone, place.apex_at);
                }
                next
            }
            Found::Cut(cut) => {
                let is_itself = cut.name_len() == name.len();
                Next::Done(match self.query.qtype() {
                    Rtype::DS if is_itself => self.answer_at_cut(cut, place),
                    // The parent's record of the chain; the zone below has one of its own.
                    Rtype::NSEC if is_itself && in_zone.zone(snapshot).has_nsec() => {
                        self.answer_at_cut(cut, place)
                    }
                    _ => self.refer(cut, name, place),
                })
            }
            Found::Dname(owner) => self.rename(owner, name, place, seen),
            Found::Missing(encloser) => {
                let end = self.deny(in_zone.zone(snapshot).negative_soa(), place, End::NO_NAME);
                if self.signed {
                    self.proofs.no_name(snapshot, name, encloser, in_zone, place.apex_at);
                }
                Next::Done(end)
            }
            Found::Outside => Next::Done(End::ANSWERED),
        }
    }

    /// Goes from name to name until one has an end.
    #[inline(never)]
    fn follow(&mut self, mut next: Alias<'t>) -> End {
        let mut seen = Seen::new(self.query.qname());
        while !self.sections.is_truncated() {
            let mut name = Target::EMPTY;
            name.set(next.target.unwrap_or_else(|| first_name(self.sections.written_from(next.at))));
            if !seen.add(name.as_wire(), next.dname) {
                break;
            }
            let found = locate(self.turn.snapshot, name.as_wire());
            self.trace.note(|| Step::Name { name: name.as_wire(), found });
            if found.in_zone().is_none_or(|in_zone| !self.may_go_on(in_zone)) {
                break;
            }
            match self.step(name.as_wire(), next.at, found, Some(&seen)) {
                Next::Done(end) => return end,
                Next::Follow(alias) => next = alias,
            }
        }
        End::ANSWERED
    }

    /// Whether a chain may go on in a zone: where it may not, the resolver asks there itself and is told why.
    fn may_go_on(&mut self, in_zone: InZone) -> bool {
        let Turn { snapshot, rotations, .. } = &mut self.turn;
        let zone = in_zone.zone(snapshot);
        let refuses = zone
            .refused_with_pool
            .is_some_and(|pool| rotations.is_exhausted(&snapshot.health, &snapshot.pools[pool as usize]));
        zone.is_loaded && !refuses
    }

    /// Answers from what a name owns.
    fn answer(&mut self, owner: Owner<'t>, name: &[u8], place: Place) -> Next<'t> {
        let snapshot = self.turn.snapshot;
        let qtype = self.query.qtype();
        if qtype == Rtype::DS && owner.is_apex() {
            return Next::Done(self.answer_ds_of_apex(owner, name, place));
        }
        if owner.flags().has(Flags::STEERED)
            && let Some(next) = self.answer_steered(owner, place)
        {
            return next;
        }
        let choice = match choose_any_pool(self.trace, snapshot, self.turn.client, self.query, owner) {
            None if qtype == Rtype::ANY && self.signed => self.choose_for_any(owner),
            choice => choice,
        };
        if let Some(choice) = choice {
            return Next::Done(self.draw(choice, owner, place));
        }
        let block = owner.block(snapshot);
        if let Some(rrset) = block.get(qtype) {
            self.trace.note(|| Step::Records { rtype: qtype });
            let at = self.sections.next_at();
            if self.sections.put(Section::Answer, rrset, place, self.signed) {
                if !owner.in_zone().zone(snapshot).is_minimal {
                    self.add_name_servers(owner, place, name);
                }
                self.write_proofs();
                self.sections.put_extras(rrset, at, self.signed, None);
            }
            return Next::Done(End::ANSWERED);
        }
        let is_own = place.owner_at == QNAME_AT;
        // In a signed zone only what is signed: HINFO would be refused by who validates. Any one RRset will do (RFC 8482 §4.1).
        if qtype == Rtype::ANY
            && self.signed
            && owner.in_zone().zone(snapshot).denial.is_some()
            && let Some(rrset) = block.get(Rtype::NSEC).or_else(|| block.any_signed())
        {
            self.trace.note(|| Step::Minimal);
            self.sections.put(Section::Answer, rrset, place, true);
            return Next::Done(End::ANSWERED);
        }
        if qtype == Rtype::ANY && is_own && owner.owns_something(snapshot) {
            self.trace.note(|| Step::Minimal);
            self.sections.put_parts(Section::Answer, 1, &[HINFO_RECORD]);
            return Next::Done(End::ANSWERED);
        }
        match block.get(Rtype::CNAME) {
            Some(alias) => {
                self.trace.note(|| Step::Alias);
                let record_at = self.sections.next_at();
                let is_written = self.sections.put(Section::Answer, alias, place, self.signed);
                match record_at.filter(|_| is_written).and_then(target_at) {
                    Some(at) => Next::Follow(Alias { target: Some(alias.target()), at, dname: None }),
                    None => Next::Done(End::ANSWERED),
                }
            }
            None => Next::Done(self.deny_type(owner, place)),
        }
    }

    /// The pool that answers for ANY in a signed zone, where the name has no other signed RRset.
    #[cold]
    fn choose_for_any(&self, owner: Owner<'t>) -> Option<PoolChoice<'t>> {
        let snapshot = self.turn.snapshot;
        owner.in_zone().zone(snapshot).denial.as_ref()?;
        match owner.block(snapshot).any_signed() {
            Some(_) => None,
            None => choose_either_family(self.trace, snapshot, self.turn.client, self.query, owner),
        }
    }

    /// Says that a name has not the type asked for, and proves it.
    fn deny_type(&mut self, owner: Owner<'t>, place: Place) -> End {
        self.trace.note(|| Step::NoData);
        let snapshot = self.turn.snapshot;
        let in_zone = owner.in_zone();
        let end = self.deny(in_zone.zone(snapshot).negative_soa(), place, End::NO_DATA);
        if self.signed {
            self.proofs.no_data(snapshot, owner, in_zone, place.apex_at);
        }
        end
    }

    /// Answers with addresses of a pool.
    fn draw(&mut self, choice: PoolChoice<'t>, owner: Owner<'t>, place: Place) -> End {
        let Turn { snapshot, counters, .. } = self.turn;
        let PoolChoice { family, scope, ttl, scope_len } = choice;
        self.scope_len = self.scope_len.max(scope_len);
        let signed = owner.binding(snapshot).map_or(0, |binding| binding.signed);
        if self.signed
            && signed > 0
            && let Some(name) = snapshot.signed.get(signed as usize)
        {
            return self.draw_signed(choice, &name.families[family.family as usize], owner, place);
        }
        self.note_draw(choice, false);
        let rest = self.sections.rest();
        let drawn = self.turn.rotations.draw(&snapshot.health, family, scope, ttl, rest);
        match (drawn, family.rules.fallback) {
            (Drawn { count: count @ 1.., source }, _) => {
                let len = count as usize * family.family.record_octets();
                if place.owner_at != QNAME_AT {
                    point_owners(place.owner_at, &mut rest[..len]);
                }
                self.extended = count_source(counters, source);
                self.sections.take(Section::Answer, Some(Written { len, count: count as u16 }));
                End::ANSWERED
            }
            (Drawn { source: Source::Empty, .. }, _) => self.exhausted(family, owner, place),
            _ => {
                self.sections.take(Section::Answer, None);
                End::ANSWERED
            }
        }
    }

    /// Says what is about to be drawn.
    #[inline(always)]
    fn note_draw(&mut self, choice: PoolChoice<'t>, is_alone: bool) {
        let PoolChoice { family, scope, ttl, .. } = choice;
        let Turn { snapshot, rotations, .. } = &mut self.turn;
        self.trace.before_draw(rotations, Draw { health: &snapshot.health, family, scope, ttl, is_alone });
    }

    /// Answers with the signed addresses of a pool: a set of them where that is signed for the health there is, else one alone,
    /// which is signed ahead, so that no answer waits for a signature.
    fn draw_signed(
        &mut self,
        choice: PoolChoice<'t>,
        signatures: &'t SignedFamily,
        owner: Owner<'t>,
        place: Place,
    ) -> End {
        if !signatures.sets.is_empty() && self.draw_signed_set(choice, signatures, place).is_some() {
            return End::ANSWERED;
        }
        let Turn { snapshot, counters, .. } = self.turn;
        let PoolChoice { family, scope, ttl, .. } = choice;
        self.note_draw(choice, true);
        let rest = self.sections.rest();
        let (candidate, source) = self.turn.rotations.draw_one(&snapshot.health, family, scope, ttl, rest);
        if source == Source::Empty {
            return self.exhausted(family, owner, place);
        }
        let written = candidate.and_then(|candidate| {
            let len = family.family.record_octets();
            let signatures_of = signatures.of(candidate)?;
            rest.get_mut(len..len + signatures_of.len())?.copy_from_slice(signatures_of);
            let len = len + signatures_of.len();
            if place.owner_at != QNAME_AT {
                point_owners(place.owner_at, &mut rest[..len]);
            }
            Some(Written { len, count: 1 + signatures.count_each })
        });
        if self.sections.take(Section::Answer, written) {
            self.extended = count_source(counters, source);
        }
        End::ANSWERED
    }

    /// Answers with several addresses and the signature over them; `None`, and nothing written, where there is none.
    fn draw_signed_set(
        &mut self,
        choice: PoolChoice<'t>,
        signatures: &'t SignedFamily,
        place: Place,
    ) -> Option<()> {
        let Turn { snapshot, counters, .. } = self.turn;
        let PoolChoice { family, scope, ttl, .. } = choice;
        let rotations = &mut *self.turn.rotations;
        let (scope, sequence) = rotations.settled(&snapshot.health, family, scope);
        let sets = signatures.sets.get(scope).filter(|sets| sets.are_of(sequence))?;
        let draw = Draw { health: &snapshot.health, family, scope, ttl, is_alone: false };
        self.trace.before_draw(rotations, draw);
        let rest = self.sections.rest();
        let (drawn, set) = rotations.draw_set(family, scope, ttl, rest);
        // Nobody to draw has no set either; what is said then is not said here.
        (drawn.source != Source::Empty).then_some(())?;
        let len = drawn.count as usize * family.family.record_octets();
        if drawn.count == 0 || rest.len() < len + sets.octets_each() {
            self.sections.take(Section::Answer, None);
            return Some(());
        }
        // Nothing is read where they are being replaced just now.
        let len = len + sets.read(sequence, set, &mut rest[len..])?;
        if place.owner_at != QNAME_AT {
            point_owners(place.owner_at, &mut rest[..len]);
        }
        let written = Written { len, count: drawn.count as u16 + signatures.count_each };
        if self.sections.take(Section::Answer, Some(written)) {
            self.extended = count_source(counters, drawn.source);
        }
        Some(())
    }

    /// What a pool says that has nobody to answer with.
    fn exhausted(&mut self, family: &FamilyPool, owner: Owner<'t>, place: Place) -> End {
        self.trace.note(|| Step::Exhausted { family });
        self.turn.counters.bump(Counter::Exhausted);
        self.extended = Some(ExtendedError::NoMemberUp);
        let is_signed = owner.binding(self.turn.snapshot).is_some_and(|binding| binding.signed > 0);
        match family.rules.fallback {
            Fallback::Refuse if place.owner_at == QNAME_AT => End::REFUSED,
            // Behind an alias that is no refusal: the resolver asks there itself, and gets it.
            Fallback::Refuse => End::ANSWERED,
            // The chain says that there is an address: a denial would be taken for a forgery.
            _ if is_signed && !family.candidates.is_empty() => End::FAILED,
            _ => self.deny_type(owner, place),
        }
    }

    /// Gives what is below a DNAME record its other name (RFC 6672 §3.2).
    fn rename(&mut self, owner: Owner<'t>, name: &[u8], place: Place, seen: Option<&Seen<'t>>) -> Next<'t> {
        let Some(dname) = owner.block(self.turn.snapshot).get(Rtype::DNAME) else {
            return Next::Done(End::ANSWERED);
        };
        self.trace.note(|| Step::Alias);
        let prefix = &name[..name.len() - owner.name_len()];
        let dname_place = Place { owner_at: place.owner_at + prefix.len() as u16, ..place };
        // A chain that comes by again has the record already (RFC 2181 §5).
        let is_new = seen.is_none_or(|seen| !seen.has_dname(owner));
        if is_new && !self.sections.put(Section::Answer, dname, dname_place, self.signed) {
            return Next::Done(End::ANSWERED);
        }
        let rdata_len = prefix.len() + dname.target().len();
        if rdata_len > MAX_NAME_OCTETS {
            return Next::Done(End::TOO_LONG);
        }
        let ttl = dname.ttl();
        let record_at = self.sections.next_at();
        let [owner_high, owner_low] = (0xC000 | place.owner_at).to_be_bytes();
        let head = [owner_high, owner_low, 0, Rtype::CNAME.0 as u8, 0, Class::IN.0 as u8];
        let parts = [&head[..], &ttl, &[0, rdata_len as u8], prefix, dname.target()];
        let is_written = self.sections.put_parts(Section::Answer, 1, &parts);
        match record_at.filter(|_| is_written && !is_about_aliases(self.query.qtype())).and_then(target_at) {
            Some(at) => Next::Follow(Alias { target: None, at, dname: Some(owner) }),
            None => Next::Done(End::ANSWERED),
        }
    }

    /// Says that there is nothing, and for how long that may be remembered (RFC 2308 §2).
    fn deny(&mut self, soa: Option<Rrset<'t>>, place: Place, end: End) -> End {
        if let Some(soa) = soa {
            let apex = Place { owner_at: place.apex_at, ..place };
            self.sections.put(Section::Authority, soa, apex, self.signed);
        }
        end
    }

    /// Adds the zone's name servers to an answer, where they are not the answer themselves.
    fn add_name_servers(&mut self, owner: Owner<'t>, place: Place, name: &[u8]) {
        let zone = owner.in_zone().zone(self.turn.snapshot);
        let Some(servers) = zone.apex().get(Rtype::NS) else { return };
        if owner.is_apex() && self.query.qtype() == Rtype::NS {
            return;
        }
        let at = self.sections.next_at();
        let apex = Place { owner_at: place.apex_at, ..place };
        // Of use, not needed: no room is no truncation.
        if let Some(written) = servers.write(apex, self.signed, self.sections.rest()) {
            self.sections.take(Section::Authority, Some(written));
            self.write_proofs();
            let answered = (self.query.qtype(), host_mark(name));
            self.sections.put_extras(servers, at, self.signed, Some(answered));
        }
    }

    /// Writes the proofs that are needed so far: before anything of the additional section.
    fn write_proofs(&mut self) {
        if self.proofs.are_pending() {
            self.proofs.write(&mut self.sections, self.turn.snapshot);
        }
    }

    /// The reply's body.
    fn body(mut self, end: End) -> Body {
        self.write_proofs();
        let flags = if end.is_authoritative { FLAG_AA } else { 0 };
        let mut body = Body::of_sections(&self.sections, end.rcode, flags, end.counter);
        (body.scope_len, body.extended) = (self.scope_len, self.extended);
        body
    }
}

/// Where a name and its zone's apex stand, the name beginning at `name_at`.
fn place_of(name: &[u8], name_at: u16, in_zone: InZone) -> Place {
    let below_apex = name.len() - usize::from(in_zone.apex_len);
    Place { owner_at: name_at, apex_at: name_at + below_apex as u16 }
}

/// Where the data begins of a record with a pointer for owner, if a pointer to the end of the longest name there reaches.
fn target_at(record_at: u16) -> Option<u16> {
    let at = record_at + 12;
    (usize::from(at) + MAX_NAME_OCTETS <= MAX_POINTER).then_some(at)
}

/// Whether a CNAME record is itself what a query asks for.
fn is_about_aliases(qtype: Rtype) -> bool {
    matches!(qtype, Rtype::CNAME | Rtype::ANY)
}
