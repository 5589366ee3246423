//! What signing adds to a zone: RRSIG records, the keys, and the chain that proves what is not there (RFC 4034, RFC 4035 §2,
//! RFC 5155 §7.1).
//!
//! Names do not change with health, so the whole chain is made once; steered names have a signature for each address they
//! may be answered with, and are in the chain with the types they may be answered for.

use std::collections::HashMap;

use super::apexes::Apexes;
use super::hashed::Typed;
use super::names::Steered;
use super::signing::{SigningError, ZoneSigning};
use crate::config::zone::assemble::is_made_by_signing;
use crate::config::zone::{ZoneData, whole_name};
use crate::dnssec::canonical::{canonical_name_cmp, canonical_records};
use crate::dnssec::denial::{nsec_rdata, nsec3param_rdata};
use crate::state::chain::Chain;
use crate::state::names::NameIndexBuilder;
use crate::state::pool::{Family, FamilyPool, Method, Pool};
use crate::state::rrset_builder::{RECORD_HEAD_OCTETS, RrsetBuilder, push_record};
use crate::state::set_signatures::SetSignatures;
use crate::state::snapshot::{Denial, SignedFamily, SignedName};
use crate::wire::message::Rtype;

/// Signs what is compiled of one zone.
pub(super) struct Sealer<'s> {
    signing: &'s ZoneSigning,
    apex: &'s [u8],
    /// TTL of the NSEC or NSEC3 records: that of negative answers (RFC 9077).
    nsec_ttl_secs: u32,
    links: Links,
}

/// What the chain goes through.
pub(super) enum Links {
    /// Names.
    Nsec {
        /// The owners of NSEC records in canonical order.
        order: Vec<Box<[u8]>>,
        /// Where each owner is in that order.
        place: HashMap<Box<[u8]>, usize>,
    },
    /// Hashes of names, which are all known only in the end.
    Nsec3(Typed),
}

impl Links {
    /// NSEC records for the zone with this number.
    pub(super) fn of_names(
        apex: &[u8],
        id: u32,
        data: &ZoneData,
        apexes: &Apexes<'_>,
        steered: &Steered<'_>,
    ) -> Links {
        let is_own = |name: &[u8]| apexes.above(name).is_some_and(|(of, _)| of == id);
        let mut order: Vec<Box<[u8]>> = vec![apex.into()];
        data.for_each_owner(|records| {
            let Some(owner) = records.first().map(|record| record.owner) else { return };
            // Names that only signing made do not exist.
            if records.iter().all(|record| is_made_by_signing(record.rtype)) {
                return;
            }
            let name = whole_name(owner, apex);
            // Glue is not in the chain; a cut is, even where the zone below it is served here too.
            if data.hidden_below(owner).is_none() && (is_own(&name) || data.is_cut(owner)) {
                order.push(name.into());
            }
        });
        order.extend(steered.names().filter(|name| is_own(name)).map(Box::from));
        order.sort_by(|a, b| canonical_name_cmp(a, b));
        order.dedup();
        let place = order.iter().cloned().zip(0..).collect();
        Links::Nsec { order, place }
    }
}

impl<'s> Sealer<'s> {
    /// For a zone whose chain is this.
    pub(super) fn new(
        signing: &'s ZoneSigning,
        apex: &'s [u8],
        nsec_ttl_secs: u32,
        links: Links,
    ) -> Sealer<'s> {
        Sealer { signing, apex, nsec_ttl_secs, links }
    }

    /// Whether the chain goes through hashes.
    pub(super) fn is_hashed(&self) -> bool {
        matches!(self.links, Links::Nsec3(_))
    }

    /// The finished chain, once all names are in the index; `places` are those of the zone's in ascending order, of use where
    /// the chain goes through hashes.
    pub(super) fn into_denial(mut self, names: &NameIndexBuilder, places: &[u32]) -> Option<Denial> {
        match std::mem::replace(&mut self.links, Links::Nsec3(Typed::default())) {
            Links::Nsec { order, .. } => {
                let placed = order
                    .iter()
                    .filter_map(|name| Some((&name[..name.len() - self.apex.len()], names.offset_of(name)?)));
                Some(Denial::Nsec(Chain::new(placed)))
            }
            Links::Nsec3(typed) => {
                typed.into_hashes(&self, names, places).map(|hashes| Denial::Nsec3(hashes.into()))
            }
        }
    }

    /// The zone's apex.
    pub(super) fn apex(&self) -> &[u8] {
        self.apex
    }

    /// Notes why the zone cannot be signed.
    pub(super) fn fail(&self, error: SigningError) {
        self.signing.fail(error);
    }

    /// Signs an RRset; `ttl_secs` is what it is served with, `original_secs` what the zone says.
    pub(super) fn seal<'r>(
        &self,
        rrset: &mut RrsetBuilder,
        owner: &[u8],
        (rtype, ttl_secs, original_secs): (Rtype, u32, u32),
        records: impl IntoIterator<Item = &'r [u8]>,
    ) {
        let records = canonical_records(rtype.0, records);
        for rdata in self.signing.sign(self.apex, owner, rtype, original_secs, &records) {
            if rrset.sign(ttl_secs, &rdata).is_err() {
                self.signing.fail(SigningError::TooLarge);
            }
        }
    }

    /// A signed RRset that signing itself makes; `records` are canonical.
    fn made(&self, owner: &[u8], rtype: Rtype, ttl_secs: u32, records: &[Vec<u8>]) -> RrsetBuilder {
        let mut rrset = RrsetBuilder::new(rtype);
        for rdata in records {
            if rrset.push(ttl_secs, rdata, &[], &[]).is_err() {
                self.signing.fail(SigningError::TooLarge);
            }
        }
        self.seal(&mut rrset, owner, (rtype, ttl_secs, ttl_secs), records.iter().map(Vec::as_slice));
        rrset
    }

    /// What the apex owns besides: DNSKEY, CDS and CDNSKEY where there are any, and how names are hashed where they are.
    pub(super) fn of_apex(&self) -> Vec<RrsetBuilder> {
        let keys = &self.signing.keys;
        let sets = [(Rtype::DNSKEY, &keys.dnskey), (Rtype::CDS, &keys.cds), (Rtype::CDNSKEY, &keys.cdnskey)];
        let there = sets.into_iter().filter(|(_, records)| !records.is_empty());
        let made = there.map(|(rtype, records)| self.made(self.apex, rtype, keys.ttl_secs, records));
        let parameters = self.is_hashed().then(|| {
            let rdata = nsec3param_rdata().to_vec();
            self.made(self.apex, Rtype::NSEC3PARAM, self.nsec_ttl_secs, &[rdata])
        });
        made.chain(parameters).collect()
    }

    /// Takes an owner of these types into the chain; gives its NSEC record, if that is what it gets.
    pub(super) fn link(&self, owner: &[u8], types: impl Iterator<Item = Rtype>) -> Option<RrsetBuilder> {
        let (order, place) = match &self.links {
            Links::Nsec { order, place } => (order, place),
            Links::Nsec3(typed) => {
                typed.note(self.apex, owner, types);
                return None;
            }
        };
        let next = place.get(owner).map_or(0, |place| (place + 1) % order.len());
        let own = [Rtype::RRSIG, Rtype::NSEC].into_iter();
        let rdata = nsec_rdata(&order[next], types.chain(own).map(|rtype| rtype.0));
        Some(self.made(owner, Rtype::NSEC, self.nsec_ttl_secs, &[rdata]))
    }

    /// An NSEC3 record.
    pub(super) fn nsec3(&self, owner: &[u8], rdata: Vec<u8>) -> RrsetBuilder {
        self.made(owner, Rtype::NSEC3, self.nsec_ttl_secs, &[rdata])
    }
}

/// The types that a steered name may be answered for.
pub(super) fn steered_types(pool: &Pool) -> impl Iterator<Item = Rtype> {
    let families = [(&pool.v4, Rtype::A), (&pool.v6, Rtype::AAAA)];
    // Without members of a family there is no answer, whatever addresses the fallback has.
    let is_answered = |family: &FamilyPool| family.has_members && !family.candidates.is_empty();
    families.into_iter().filter(move |(family, _)| is_answered(family)).map(|(_, rtype)| rtype)
}

/// Signatures over sets of addresses that there is room for in a configuration: some 30 MiB, which one core signs in seven seconds.
/// Names beyond it are answered one address at a time.
const MAX_SET_SIGNATURES: usize = 1 << 18;

/// How many more signatures over sets there is room for.
pub(super) struct SetRoom(usize);

impl Default for SetRoom {
    fn default() -> SetRoom {
        SetRoom(MAX_SET_SIGNATURES)
    }
}

impl SetRoom {
    fn take(&mut self, count: usize) -> bool {
        match self.0.checked_sub(count) {
            Some(left) => {
                self.0 = left;
                true
            }
            None => false,
        }
    }
}

/// Signatures over each address that a name may be answered with, over the alias that may stand for them, and room for those over several; the second value is whether
/// there was room.
pub(super) fn sign_steered(
    signing: &ZoneSigning,
    apex: &[u8],
    name: &[u8],
    ttl_secs: u32,
    (pool, stand_in): (&Pool, Option<&[u8]>),
    room: &mut SetRoom,
) -> (SignedName, bool) {
    let mut has_room = true;
    let mut sign = |family: &FamilyPool| {
        let mut signed = match family.family {
            Family::V4 => sign_family::<4>(signing, apex, name, ttl_secs, family, Rtype::A),
            Family::V6 => sign_family::<16>(signing, apex, name, ttl_secs, family, Rtype::AAAA),
        };
        let set_counts = set_counts(family);
        if room.take(set_counts.iter().sum::<usize>() * usize::from(signed.count_each)) {
            let octets_each = usize::from(signed.octets_each);
            signed.sets = set_counts.iter().map(|sets| SetSignatures::new(*sets, octets_each)).collect();
        } else {
            has_room = false;
        }
        signed
    };
    let families = [sign(&pool.v4), sign(&pool.v6)];
    let alias = stand_in.map_or_else(Default::default, |target| {
        let rrsigs = signing.sign(apex, name, Rtype::CNAME, ttl_secs, &[target.to_vec()]);
        let mut records = Vec::new();
        rrsigs.iter().for_each(|rdata| push_record(&mut records, Rtype::RRSIG, ttl_secs, rdata));
        (records.into(), rrsigs.len() as u16)
    });
    (SignedName { families, alias }, has_room)
}

/// How many sets of several addresses each rotation of a family may have: no more than it has candidates.
fn set_counts(family: &FamilyPool) -> Vec<usize> {
    // What networks of clients are led to is of as many sets as there are networks.
    let is_of_one = matches!(family.rules.method, Method::FirstUp(1) | Method::Hashed);
    if family.rules.max_addrs_returned < 2 || is_of_one || family.candidates.is_empty() {
        return Vec::new();
    }
    (0..family.rotation_count()).map(|scope| family.most_in_scope(scope)).collect()
}

fn sign_family<const ADDRESS: usize>(
    signing: &ZoneSigning,
    apex: &[u8],
    name: &[u8],
    ttl_secs: u32,
    family: &FamilyPool,
    rtype: Rtype,
) -> SignedFamily {
    let mut signed = SignedFamily::default();
    let mut octets = Vec::new();
    for record in family.records.chunks_exact(RECORD_HEAD_OCTETS + ADDRESS) {
        let begin = octets.len();
        let rdata = record[RECORD_HEAD_OCTETS..].to_vec();
        let rrsigs = signing.sign(apex, name, rtype, ttl_secs, &[rdata]);
        signed.count_each = rrsigs.len() as u16;
        for rdata in rrsigs {
            push_record(&mut octets, Rtype::RRSIG, ttl_secs, &rdata);
        }
        signed.octets_each = (octets.len() - begin) as u16;
    }
    signed.records = octets.into();
    signed
}
