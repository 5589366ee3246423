//! The answers that take no detour: an RRset of the name asked for, or the SOA record that says there is none; a pool's addresses,
//! where they are several.
//!
//! Says the same as `resolve` or nothing: what is left to that is `None` here. Apart, because it is what most queries come to.

use super::choose::{PoolChoice, choose_pool};
use super::denial::Proofs;
use super::lookup::{Found, InZone, Owner};
use super::parse::Query;
use super::render::{Body, HINFO_RECORD, drawn_body, room, room_for};
use super::resolve::resolve;
use super::sections::{Section, Sections};
use super::trace::{Off, Step, Trace};
use super::turn::Turn;
use crate::state::counters::Counter;
use crate::state::names::Flags;
use crate::state::pool::Fallback;
use crate::state::rotation::Source;
use crate::state::rrset::{Place, QNAME_AT, Rrset, Written};
use crate::wire::edns::ExtendedError;
use crate::wire::message::{Class, FLAG_AA, Rcode, Rtype};

/// What leads a name that exists elsewhere or makes its records, and what makes up names below one that does.
const DETOURS: Flags = Flags::CUT.and(Flags::CNAME).and(Flags::STEERED);
const DETOURS_BELOW: Flags = Flags::CUT.and(Flags::DNAME).and(Flags::WILDCARD_BELOW);

/// Answers for a name that exists and draws from no pool.
#[inline(never)]
pub(super) fn answer_plainly<T: Trace>(
    trace: T,
    turn: &Turn<'_>,
    query: Query<'_>,
    owner: Owner<'_>,
    reply: &mut [u8],
) -> Option<Body> {
    let snapshot = turn.snapshot;
    let in_zone = owner.in_zone();
    let zone = in_zone.zone(snapshot);
    let qtype = query.qtype();
    if owner.flags().has_any(DETOURS) || !zone.is_plain() {
        return None;
    }
    if is_special(qtype) {
        if zone.denial.is_some() {
            return None;
        }
        let is_any = qtype == Rtype::ANY && owner.owns_something(snapshot);
        return is_any.then(|| {
            trace.note(|| Step::Minimal);
            write_hinfo(turn, query, reply)
        });
    }
    let place = place_in(query, in_zone);
    match owner.block(snapshot).get(qtype) {
        Some(rrset) if zone.is_minimal && !rrset.has_extras() => {
            trace.note(|| Step::Records { rtype: qtype });
            Some(write_answer(turn, query, rrset, place, reply))
        }
        // What is not there must be proved to who asks for proofs.
        None if zone.denial.is_some() && query.wants_signatures() => None,
        Some(_) => None,
        None => {
            trace.note(|| Step::NoData);
            let soa = zone.negative_soa()?;
            Some(write_negative(turn, query, soa, place, (Rcode::NOERROR, Counter::NoData), reply))
        }
    }
}

/// Answers for a name that does not exist.
#[inline(never)]
pub(super) fn deny_plainly<T: Trace>(
    trace: T,
    turn: &Turn<'_>,
    query: Query<'_>,
    reply: &mut [u8],
) -> Option<Body> {
    let snapshot = turn.snapshot;
    if query.qclass() != Class::IN {
        return None;
    }
    let Some(encloser) = Owner::closest_encloser(snapshot, query.qname()) else {
        trace.note(|| Step::Name { name: query.qname(), found: Found::Outside });
        return Some(Body::refused(Some(ExtendedError::NotAuthoritative)));
    };
    let in_zone = encloser.in_zone();
    let zone = in_zone.zone(snapshot);
    if encloser.flags().has_any(DETOURS_BELOW) || !zone.is_plain() || is_special(query.qtype()) {
        return None;
    }
    trace.note(|| Step::Name { name: query.qname(), found: Found::Missing(encloser) });
    let place = place_in(query, in_zone);
    if zone.denial.is_some() && query.wants_signatures() {
        return Some(deny_with_proof(turn, query, encloser, place, reply));
    }
    Some(write_negative(
        turn,
        query,
        zone.negative_soa()?,
        place,
        (Rcode::NXDOMAIN, Counter::NxDomain),
        reply,
    ))
}

/// Says that a name does not exist, and proves it: a flood of such names costs two searches and no signature.
#[inline(never)]
fn deny_with_proof(
    turn: &Turn<'_>,
    query: Query<'_>,
    encloser: Owner<'_>,
    place: Place,
    reply: &mut [u8],
) -> Body {
    let snapshot = turn.snapshot;
    let (in_zone, apex_at) = (encloser.in_zone(), place.apex_at);
    let into = room(snapshot, turn.transport, query, reply);
    let mut sections = Sections::new(into, query.asked.len());
    if let Some(soa) = in_zone.zone(snapshot).negative_soa() {
        sections.put(Section::Authority, soa, Place { owner_at: apex_at, apex_at }, true);
    }
    let mut proofs = Proofs::default();
    proofs.no_name(snapshot, query.qname(), encloser, in_zone, apex_at);
    proofs.write(&mut sections, snapshot);
    Body::of_sections(&sections, Rcode::NXDOMAIN, FLAG_AA, Counter::NxDomain)
}

/// Answers from a pool in more than one record; what comes to none is resolved like anything else.
#[inline(never)]
pub(super) fn draw_many<T: Trace>(
    trace: T,
    turn: Turn<'_>,
    query: Query<'_>,
    owner: Owner<'_>,
    reply: &mut [u8],
) -> Body {
    let Turn { snapshot, rotations, counters, client, transport, guard } = turn;
    // Decided again rather than handed on: handing it on would cost every answer of one record.
    if let Some(PoolChoice { family, scope, ttl, scope_len }) =
        choose_pool(Off, snapshot, client, query, owner)
    {
        let into = room(snapshot, transport, query, reply);
        let drawn = rotations.draw(&snapshot.health, family, scope, ttl, into);
        if drawn.count > 0 {
            return drawn_body(counters, family, scope_len, drawn);
        }
        if drawn.source == Source::Empty && family.rules.fallback == Fallback::Refuse {
            counters.bump(Counter::Exhausted);
            trace.note(|| Step::Exhausted { family });
            let mut body = Body::refused(Some(ExtendedError::NoMemberUp));
            body.scope_len = scope_len;
            return body;
        }
    }
    let turn = Turn { snapshot, rotations, counters, client, transport, guard };
    resolve(trace, turn, query, Some(owner), reply)
}

/// Types that are asked of something else than a name's own RRsets: DS of the zone above, transfers and ANY of all of them.
#[inline(always)]
fn is_special(qtype: Rtype) -> bool {
    qtype == Rtype::DS || (Rtype::IXFR..=Rtype::ANY).contains(&qtype)
}

/// Where the query name and its zone's apex stand.
#[inline(always)]
fn place_in(query: Query<'_>, in_zone: InZone) -> Place {
    let below_apex = query.qname().len() - usize::from(in_zone.apex_len);
    Place { owner_at: QNAME_AT, apex_at: QNAME_AT + below_apex as u16 }
}

#[inline(always)]
fn write_answer(turn: &Turn<'_>, query: Query<'_>, rrset: Rrset<'_>, place: Place, reply: &mut [u8]) -> Body {
    let signed = query.wants_signatures();
    match rrset.write(place, signed, room_for(turn, query, rrset.len(signed), reply)) {
        Some(written) => Body::one_section(true, written, Rcode::NOERROR, Counter::Answered),
        None => Body::truncated(Rcode::NOERROR),
    }
}

/// The minimal answer to ANY.
#[inline(never)]
fn write_hinfo(turn: &Turn<'_>, query: Query<'_>, reply: &mut [u8]) -> Body {
    match room(turn.snapshot, turn.transport, query, reply).first_chunk_mut() {
        Some(into) => {
            *into = *HINFO_RECORD;
            let written = Written { len: HINFO_RECORD.len(), count: 1 };
            Body::one_section(true, written, Rcode::NOERROR, Counter::Answered)
        }
        None => Body::truncated(Rcode::NOERROR),
    }
}

/// The zone's SOA in the authority section (RFC 2308 §2).
#[inline(always)]
fn write_negative(
    turn: &Turn<'_>,
    query: Query<'_>,
    soa: Rrset<'_>,
    place: Place,
    (rcode, counter): (Rcode, Counter),
    reply: &mut [u8],
) -> Body {
    let into = room_for(turn, query, soa.len(false), reply);
    // Signatures go along where a proof does, and that is not written here.
    match soa.write(Place { owner_at: place.apex_at, ..place }, false, into) {
        Some(written) => Body::one_section(false, written, rcode, counter),
        None => Body::truncated(rcode),
    }
}
