//! What names are answered with that are steered to more than addresses: aliases in place of a pool or of one of its members,
//! hosts of services and of mail, service bindings (RFC 2782, RFC 1035 §3.3.9, RFC 9460).
//!
//! Out of the way of addresses alone, which come here only where a pool has names among its members or for its fallback. While a
//! name is an alias it is one for every type, so that resolvers see one node (RFC 1034 §3.6.2). In signed zones there are only
//! aliases in place of a pool, whose signatures are made ahead.

use super::{Alias, End, Next, Place, Resolution, Section, is_about_aliases, place_of, target_at};
use crate::dataplane::choose::{PoolChoice, choose_members};
use crate::dataplane::lookup::{Found, Owner, locate};
use crate::dataplane::render::count_source;
use crate::dataplane::trace::{Off, Step, Trace};
use crate::state::pool::{Family, FamilyPool, Method, RECORD_TTL_AT};
use crate::state::rotation::{MAX_MEMBERS, Picked, Picks, Source, gcd};
use crate::state::rrset::{MAX_POINTER, Written, point_owners};
use crate::state::snapshot::Snapshot;
use crate::state::steered::{AliasRecord, HEAD_OCTETS, PoolNames, Service, Steered, To, head};
use crate::wire::message::Rtype;

/// Between two hosts of a pool whose members come one after the other.
const PRIORITY_STEP: u16 = 10;
/// Keys of the hints, and octets before one's addresses (RFC 9460 §14.3.2, §2.2).
const HINT_KEYS: [u16; 2] = [4, 6];
const HINT_HEAD_OCTETS: usize = 4;

/// Whether a name has something of a type whatever is known of its zone.
pub(super) fn is_answered(snapshot: &Snapshot, owner: Owner<'_>, qtype: Rtype) -> bool {
    owner.steered(snapshot).is_some_and(|steered| {
        let is_address = steered.to.has_addresses() && Family::asked_by(qtype).is_some();
        is_address || steered.to.rtype() == Some(qtype)
    })
}

impl<'t, T: Trace> Resolution<'t, '_, T> {
    /// Answers for a name that is steered to more than addresses; `None`: like any other.
    pub(super) fn answer_steered(&mut self, owner: Owner<'t>, place: Place) -> Option<Next<'t>> {
        let snapshot = self.turn.snapshot;
        let steered = owner.steered(snapshot)?;
        let names = snapshot.pool_names.get(steered.pool as usize)?.as_ref();
        if let Some(names) = names.filter(|_| steered.to.has_addresses()) {
            let next = self.stand_in(steered, names, place);
            if let Some(next) = next.or_else(|| self.draw_named(steered, names, owner, place)) {
                return Some(next);
            }
        }
        if steered.to.rtype() != Some(self.query.qtype()) {
            return None;
        }
        Some(Next::Done(match &steered.to {
            To::Addresses => return None,
            To::Service(service) => self.bind_service(steered, service, names, owner, place),
            To::Srv { .. } | To::Mx { .. } => self.name_hosts(steered, names, owner, place),
        }))
    }

    /// Who of a pool's family answers, and for whom that holds.
    fn members_of(&mut self, steered: &Steered, family: Family) -> Option<PoolChoice<'t>> {
        let snapshot = self.turn.snapshot;
        let of = (steered.pool, steered.ttl);
        let choice = choose_members(self.trace, snapshot, self.turn.client, self.query, of, family)?;
        self.scope_len = self.scope_len.max(choice.scope_len);
        Some(choice)
    }

    fn pick(&mut self, choice: PoolChoice<'t>, moves: bool, picks: &mut Picks) -> Picked {
        let PoolChoice { family, scope, .. } = choice;
        self.turn.rotations.pick(&self.turn.snapshot.health, family, scope, moves, picks)
    }

    /// The alias that stands for a pool of which nobody can be drawn in any family.
    fn stand_in(&mut self, steered: &Steered, names: &'t PoolNames, place: Place) -> Option<Next<'t>> {
        let alias = names.fallback.as_ref()?;
        let snapshot = self.turn.snapshot;
        // What signing makes stands beside an alias (RFC 4034 §3, §4).
        if steered.signed > 0 && matches!(self.query.qtype(), Rtype::NSEC | Rtype::RRSIG) {
            return None;
        }
        let of = (steered.pool, steered.ttl);
        let mut picks = [0; MAX_MEMBERS];
        let (mut flip_secs, mut scope_len) = (0, 0);
        let (mut any_drawn, mut any_exhausted) = (false, false);
        for family in Family::ALL {
            let choice = choose_members(Off, snapshot, self.turn.client, self.query, of, family);
            let Some(choice) = choice else { continue };
            let picked = self.pick(choice, false, &mut picks);
            scope_len = scope_len.max(choice.scope_len);
            match picked.source {
                Source::Empty => any_exhausted = true,
                _ => any_drawn = true,
            }
            flip_secs = sooner(flip_secs, picked.flip_secs);
        }
        self.scope_len = self.scope_len.max(scope_len);
        // The chain of a signed zone says that there are addresses of both: one of them cannot be denied.
        let stands_in = if steered.signed > 0 { any_exhausted || !any_drawn } else { !any_drawn };
        if !stands_in {
            return None;
        }
        for family in Family::ALL {
            if let Some(choice) = self.members_of(steered, family) {
                self.note_draw(choice, false);
                self.trace.note(|| Step::Exhausted { family: choice.family });
            }
        }
        self.extended = count_source(self.turn.counters, Source::Fallback);
        let next = self.put_alias(alias, steered.ttl.told(flip_secs), place);
        if self.signed
            && let Some(signed) = snapshot.signed.get(steered.signed as usize)
        {
            self.put_alias_signatures(&signed.alias, place);
        }
        Some(next)
    }

    /// The signatures of the alias that was put last.
    fn put_alias_signatures(&mut self, (records, count): &(Box<[u8]>, u16), place: Place) {
        if *count == 0 || self.sections.is_truncated() {
            return;
        }
        let rest = self.sections.rest();
        let written = rest.get_mut(..records.len()).map(|into| {
            into.copy_from_slice(records);
            point_owners(place.owner_at, into);
            Written { len: records.len(), count: *count }
        });
        self.sections.take(Section::Answer, written);
    }

    /// Answers from a pool some of whose members are names: for addresses with the next draw, for other types with what that
    /// would be, where it is a name.
    fn draw_named(
        &mut self,
        steered: &Steered,
        names: &'t PoolNames,
        owner: Owner<'t>,
        place: Place,
    ) -> Option<Next<'t>> {
        if !names.has_name_members() {
            return None;
        }
        let asked = Family::asked_by(self.query.qtype());
        let choice = match asked {
            Some(family) => self.members_of(steered, family),
            None => self.members_of(steered, Family::V4).or_else(|| self.members_of(steered, Family::V6)),
        };
        let Some(choice) = choice else { return asked.map(|_| Next::Done(self.deny_type(owner, place))) };
        self.note_draw(choice, false);
        let mut picks = [0; MAX_MEMBERS];
        let Picked { count, source, flip_secs } = self.pick(choice, asked.is_some(), &mut picks);
        let family = choice.family;
        let picks = &picks[..count];
        let Some(leader) = picks.first() else {
            return asked.map(|_| Next::Done(self.exhausted(family, owner, place)));
        };
        let ttl_secs = steered.ttl.told(flip_secs);
        if let Some(alias) = alias_of(family, names, *leader) {
            self.extended = count_source(self.turn.counters, source);
            return Some(self.put_alias(alias, ttl_secs, place));
        }
        asked?;
        let written =
            write_addresses(family, Some(names), picks, ttl_secs, place.owner_at, self.sections.rest());
        if self.sections.take(Section::Answer, written) {
            self.extended = count_source(self.turn.counters, source);
        }
        Some(Next::Done(End::ANSWERED))
    }

    /// Answers with an alias, and goes on where that leads.
    fn put_alias(&mut self, alias: &'t AliasRecord, ttl_secs: u32, place: Place) -> Next<'t> {
        self.trace.note(|| Step::Alias);
        let record_at = self.sections.next_at();
        let (rtype, length) = alias.octets().split_at(RECORD_TTL_AT);
        let pointer = (0xC000 | place.owner_at).to_be_bytes();
        let parts = [&pointer[..], &rtype[2..], &ttl_secs.to_be_bytes(), &length[4..]];
        let is_written = self.sections.put_parts(Section::Answer, 1, &parts);
        let goes_on = is_written && !is_about_aliases(self.query.qtype());
        match record_at.filter(|_| goes_on).and_then(target_at) {
            Some(at) => Next::Follow(Alias { target: Some(alias.target()), at, dname: None }),
            None => Next::Done(End::ANSWERED),
        }
    }

    /// Answers with the binding of a service, whose hints are the addresses that the pool's next draws give: they are hinted at,
    /// not drawn, so that who asks for both gets the same, and shares stay those of the draws.
    fn bind_service(
        &mut self,
        steered: &Steered,
        service: &'t Service,
        names: Option<&'t PoolNames>,
        owner: Owner<'t>,
        place: Place,
    ) -> End {
        let mut len = HEAD_OCTETS + service.head.len();
        let (mut flip_secs, mut drawn_from, mut exhausted) = (0, None, None);
        let mut fits = true;
        for (family, key) in Family::ALL.into_iter().zip(HINT_KEYS).filter(|_| service.hints) {
            let Some(choice) = self.members_of(steered, family) else { continue };
            self.note_draw(choice, false);
            let mut picks = [0; MAX_MEMBERS];
            let picked = self.pick(choice, false, &mut picks);
            flip_secs = sooner(flip_secs, picked.flip_secs);
            if picked.count == 0 {
                exhausted = Some(choice.family);
                continue;
            }
            drawn_from.get_or_insert(picked.source);
            let into = self.sections.rest().get_mut(len..).unwrap_or_default();
            match write_hint(choice.family, key, names, &picks[..picked.count], into) {
                Some(written) => len += written,
                None => fits = false,
            }
        }
        if let (None, Some(family)) = (drawn_from, exhausted) {
            return self.exhausted(family, owner, place);
        }
        self.trace.note(|| Step::Made { rtype: service.rtype });
        let rdata_len = len + service.tail.len() - HEAD_OCTETS;
        let head = head(service.rtype, steered.ttl.told(flip_secs), rdata_len);
        let rest = self.sections.rest();
        let written = rest.get_mut(..len + service.tail.len()).filter(|_| fits).map(|record| {
            let (before, behind) = record.split_at_mut(HEAD_OCTETS);
            before.copy_from_slice(&head);
            before[..2].copy_from_slice(&(0xC000 | place.owner_at).to_be_bytes());
            behind[..service.head.len()].copy_from_slice(&service.head);
            behind[len - HEAD_OCTETS..].copy_from_slice(&service.tail);
            Written { len: record.len(), count: 1 }
        });
        if self.sections.take(Section::Answer, written)
            && let Some(source) = drawn_from
        {
            self.extended = count_source(self.turn.counters, source);
        }
        End::ANSWERED
    }

    /// Answers with every host of a pool that can be drawn, each once.
    fn name_hosts(
        &mut self,
        steered: &Steered,
        names: Option<&'t PoolNames>,
        owner: Owner<'t>,
        place: Place,
    ) -> End {
        let Some(names) = names else { return self.deny_type(owner, place) };
        // Weights by host, of each family: a host may be a member of both, which makes it no larger.
        let mut weights = [[0u64; MAX_MEMBERS]; 2];
        let mut found = [None; 2];
        let mut any_family = None;
        for (at, family) in Family::ALL.into_iter().enumerate() {
            let Some(choice) = self.members_of(steered, family) else { continue };
            self.note_draw(choice, false);
            any_family.get_or_insert(choice.family);
            let PoolChoice { family, scope, .. } = choice;
            let weights = &mut weights[at];
            found[at] = Some(self.turn.rotations.list(&self.turn.snapshot.health, family, scope, |listed| {
                let host = names.host_of.get(usize::from(listed.member));
                if let Some(weight) = host.and_then(|host| weights.get_mut(usize::from(*host))) {
                    *weight += listed.weight;
                }
            }));
        }
        let Some(family) = any_family else { return self.deny_type(owner, place) };
        let (source, flip_secs) = merge(&mut weights, found);
        let [weights, _] = &mut weights;
        let weights = &mut weights[..names.hosts.len().min(MAX_MEMBERS)];
        if source == Source::Empty || weights.iter().all(|weight| *weight == 0) {
            return self.exhausted(family, owner, place);
        }
        scale(weights);
        self.trace.note(|| Step::Made { rtype: self.query.qtype() });
        if self.put_hosts(steered, names, weights, steered.ttl.told(flip_secs), place, family) {
            self.extended = count_source(self.turn.counters, source);
        }
        End::ANSWERED
    }

    /// Writes one record a host that has a weight, all or none, and the addresses of those that are known here.
    fn put_hosts(
        &mut self,
        steered: &Steered,
        names: &'t PoolNames,
        weights: &[u64],
        ttl_secs: u32,
        place: Place,
        family: &FamilyPool,
    ) -> bool {
        let hosts = || names.hosts.iter().zip(weights).filter(|(_, weight)| **weight > 0);
        let fields_len = if matches!(steered.to, To::Srv { .. }) { 6 } else { 2 };
        let len: usize = hosts().map(|(host, _)| HEAD_OCTETS + fields_len + host.len()).sum();
        if self.sections.rest().len() < len {
            return self.sections.take(Section::Answer, None);
        }
        let begin = self.sections.next_at();
        let step = if let Method::FirstUp(_) = family.rules.method { PRIORITY_STEP } else { 0 };
        let pointer = (0xC000 | place.owner_at).to_be_bytes();
        let mut rank: u16 = 0;
        for (host, weight) in hosts() {
            let fields = match steered.to {
                To::Srv { port, priority } => [priority.saturating_add(rank), *weight as u16, port],
                To::Mx { preference } => [preference.saturating_add(rank), 0, 0],
                To::Addresses | To::Service(_) => [0; 3],
            };
            let mut octets = [0; 6];
            octets.as_chunks_mut().0.iter_mut().zip(fields).for_each(|(to, field)| *to = field.to_be_bytes());
            let head = head(self.query.qtype(), ttl_secs, fields_len + host.len());
            self.sections.put_parts(Section::Answer, 1, &[&pointer, &head[2..], &octets[..fields_len], host]);
            rank = rank.saturating_add(step);
        }
        // Proofs of wildcards that led here stand before what is additional.
        self.write_proofs();
        let mut record_at = begin.map(usize::from);
        for (host, _) in hosts() {
            let host_at = record_at.map(|at| at + HEAD_OCTETS + fields_len);
            record_at = host_at.map(|at| at + host.len());
            if let Some(at) = host_at.filter(|at| *at <= MAX_POINTER) {
                self.add_addresses(host, at as u16);
            }
        }
        true
    }

    /// Adds the addresses of a host that stands at `at` of the message, where they are known here and asked for by nobody in vain.
    fn add_addresses(&mut self, host: &[u8], at: u16) {
        let snapshot = self.turn.snapshot;
        let (Found::Exact(owner) | Found::Wildcard(owner)) = locate(snapshot, host) else { return };
        let in_zone = owner.in_zone();
        let zone = in_zone.zone(snapshot);
        // Of a signed zone nothing goes out without its signatures.
        if zone.is_minimal || !zone.is_loaded || zone.denial.is_some() {
            return;
        }
        let mut picks = [0; MAX_MEMBERS];
        for family in Family::ALL {
            let written = match owner.binding(snapshot) {
                Some(binding) => {
                    let of = (binding.pool, binding.ttl);
                    let client = self.turn.client;
                    let Some(choice) = choose_members(Off, snapshot, client, self.query, of, family) else {
                        continue;
                    };
                    self.scope_len = self.scope_len.max(choice.scope_len);
                    let picked = self.pick(choice, false, &mut picks);
                    let ttl_secs = binding.ttl.told(picked.flip_secs);
                    let picks = &picks[..picked.count];
                    write_addresses(choice.family, None, picks, ttl_secs, at, self.sections.rest())
                }
                None => owner
                    .block(snapshot)
                    .get(family.rtype())
                    .and_then(|rrset| rrset.write(place_of(host, at, in_zone), false, self.sections.rest())),
            };
            // Of use, not needed: no room is no truncation.
            if written.is_some() {
                self.sections.take(Section::Additional, written);
            }
        }
    }
}

/// The alias that a candidate is.
fn alias_of<'t>(family: &FamilyPool, names: &'t PoolNames, candidate: u16) -> Option<&'t AliasRecord> {
    names.alias(family.candidates.get(usize::from(candidate))?.member)
}

/// The records of candidates that are addresses, of the name at `owner_at`; `None` where they do not all fit.
fn write_addresses(
    family: &FamilyPool,
    names: Option<&PoolNames>,
    picks: &[u16],
    ttl_secs: u32,
    owner_at: u16,
    into: &mut [u8],
) -> Option<Written> {
    let each = family.family.record_octets();
    let mut written = Written::default();
    for candidate in picks {
        if names.is_some_and(|names| alias_of(family, names, *candidate).is_some()) {
            continue;
        }
        let record = family.records.get(usize::from(*candidate) * each..)?.get(..each)?;
        let to = into.get_mut(written.len..written.len + each)?;
        to.copy_from_slice(record);
        to.get_mut(RECORD_TTL_AT..RECORD_TTL_AT + 4)?.copy_from_slice(&ttl_secs.to_be_bytes());
        written = Written { len: written.len + each, count: written.count + 1 };
    }
    point_owners(owner_at, into.get_mut(..written.len)?);
    Some(written)
}

/// A parameter with the addresses of candidates that are some; returns its octets, 0 where none is. `None`: it does not fit.
fn write_hint(
    family: &FamilyPool,
    key: u16,
    names: Option<&PoolNames>,
    picks: &[u16],
    into: &mut [u8],
) -> Option<usize> {
    let each = family.family.record_octets();
    let mut len = HINT_HEAD_OCTETS;
    for candidate in picks {
        if names.is_some_and(|names| alias_of(family, names, *candidate).is_some()) {
            continue;
        }
        let record = family.records.get(usize::from(*candidate) * each..)?.get(..each)?;
        let address = record.get(HEAD_OCTETS..)?;
        into.get_mut(len..len + address.len())?.copy_from_slice(address);
        len += address.len();
    }
    if len == HINT_HEAD_OCTETS {
        return Some(0);
    }
    let ([k0, k1], [l0, l1]) = (key.to_be_bytes(), ((len - HINT_HEAD_OCTETS) as u16).to_be_bytes());
    *into.first_chunk_mut()? = [k0, k1, l0, l1];
    Some(len)
}

/// The lesser of two times to a change of state; 0: nothing is known of that.
fn sooner(one: u16, other: u16) -> u16 {
    match (one, other) {
        (0, known) | (known, 0) => known,
        (one, other) => one.min(other),
    }
}

/// Leaves of both families what comes of the better source, the larger weight of a host, in the first; returns that source, and
/// the least time to a change.
fn merge(weights: &mut [[u64; MAX_MEMBERS]; 2], found: [Option<(Source, u16)>; 2]) -> (Source, u16) {
    let rank = |source: Source| match source {
        Source::Up | Source::Frozen => 0,
        Source::Unknown => 1,
        Source::Fallback => 2,
        Source::Empty => 3,
    };
    let best = found.iter().flatten().min_by_key(|(source, _)| rank(*source));
    let Some(&(source, _)) = best else { return (Source::Empty, 0) };
    let mut flip_secs = 0;
    for (found, weights) in found.iter().zip(weights.iter_mut()) {
        match found {
            Some((of, secs)) if rank(*of) == rank(source) => flip_secs = sooner(flip_secs, *secs),
            _ => weights.fill(0),
        }
    }
    let [first, second] = weights;
    first.iter_mut().zip(second).for_each(|(first, second)| *first = (*first).max(*second));
    (source, flip_secs)
}

/// Weights in thousandths to numbers of the same proportions that an SRV record holds, 1 at least: those of the configuration
/// where all of these count.
fn scale(weights: &mut [u64]) {
    let common = weights.iter().copied().fold(0, gcd).max(1);
    let divisor = if common % 1000 == 0 { 1000 } else { common };
    let most = weights.iter().copied().max().unwrap_or(0) / divisor;
    for weight in weights.iter_mut().filter(|weight| **weight > 0) {
        let whole = *weight / divisor;
        let fitting = match most {
            0..=0xFFFF => whole,
            _ => (u128::from(whole) * 0xFFFF / u128::from(most)) as u64,
        };
        *weight = fitting.max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn weights_that_all_count_are_told_as_configured() {
        let mut weights = [10_000, 0, 20_000, 65_535_000];
        scale(&mut weights);
        assert_eq!(weights, [10, 0, 20, 65_535]);
        let mut warming = [100, 1000];
        scale(&mut warming);
        assert_eq!(warming, [1, 10]);
    }

    proptest! {
        #[test]
        fn weights_fit_and_keep_their_proportions(
            weights in prop::collection::vec(0u64..=65_535_000_000, 1..40),
        ) {
            let mut scaled = weights.clone();
            scale(&mut scaled);
            let most = weights.iter().copied().max().unwrap_or(0);
            for (before, after) in weights.iter().zip(&scaled) {
                prop_assert_eq!(*before == 0, *after == 0);
                prop_assert!(*after <= 65_535);
                // What is rounded off is below one part in 65,535 of the largest.
                let share = *before as f64 / most.max(1) as f64;
                let told = *after as f64 / scaled.iter().copied().max().unwrap_or(1).max(1) as f64;
                prop_assert!((share - told).abs() <= 2.0 / 65_535.0, "{share} {told}");
            }
        }
    }

    #[test]
    fn better_source_wins_over_the_other_family() {
        let mut weights = [[0; MAX_MEMBERS]; 2];
        (weights[0][0], weights[1][0], weights[1][1]) = (3, 5, 7);
        let mut both = weights;
        assert_eq!(merge(&mut both, [Some((Source::Up, 4)), Some((Source::Up, 2))]), (Source::Up, 2));
        assert_eq!(both[0][..2], [5, 7]);
        let mut one = weights;
        assert_eq!(merge(&mut one, [Some((Source::Up, 4)), Some((Source::Fallback, 2))]), (Source::Up, 4));
        assert_eq!(one[0][..2], [3, 0]);
        assert_eq!(merge(&mut weights, [None, None]), (Source::Empty, 0));
    }
}
