//! Records of a zone file into wire form: RRsets behind their owners, cuts with their glue, the apex beside its zone.
//!
//! Cannot fail: what no message holds was refused when the zone was read.

use std::collections::HashMap;

use super::apexes::Apexes;
use super::names::{Owners, Steered};
use super::seal::{Links, Sealer, steered_types};
use super::signing::Signing;
use crate::config::model::{self, Config};
use crate::config::zone::assemble::is_made_by_signing;
use crate::config::zone::{ZoneData, ancestors, labels_below, whole_name};
use crate::config::zonefile::{RawRecord, canonical_rdata, names_in};
use crate::state::name_map::NameMap;
use crate::state::names::Flags;
use crate::state::pool::Pool;
use crate::state::rrset_builder::{NameAt, RrsetBuilder, push_block};
use crate::wire::message::Rtype;

/// The label of a wildcard with its length.
const ASTERISK: &[u8] = b"\x01*";
/// Where the numbers of an SOA record's data begin, from its end: MINIMUM is the last of them.
const MINIMUM_FROM_END: usize = 4;

/// What a zone is compiled beside.
pub(super) struct Beside<'c> {
    pub(super) config: &'c Config,
    pub(super) apexes: &'c Apexes<'c>,
    pub(super) steered: &'c Steered<'c>,
    pub(super) pools: &'c [Pool],
    pub(super) signing: &'c Signing,
}

/// Adds the records of the zone with this number to the index; gives what is to finish its chain, if it is signed.
pub(super) fn compile_zone<'c>(
    beside: &Beside<'c>,
    id: u32,
    data: &'c ZoneData,
    owners: &mut Owners,
) -> Option<Sealer<'c>> {
    let Beside { config, apexes, steered, pools, signing } = *beside;
    let zone = &config.zones[id as usize];
    let apex = zone.apex.as_wire();
    let addresses = Addresses::collect(data, apex, config.server.minimal_responses);
    let sealer = signing.of(&zone.apex).map(|signing| {
        let links = match zone.dnssec.as_ref().map(|dnssec| dnssec.denial) {
            Some(model::Denial::Nsec3) => Links::Nsec3(Default::default()),
            Some(model::Denial::Nsec) | None => Links::of_names(apex, id, data, apexes, steered),
        };
        Sealer::new(signing, apex, negative_ttl_of(zone, data), links)
    });
    let compiler = Compiler { apex, data, addresses, steered, pools, sealer };
    owners.names.insert(apex, steered.binding_of(apex), id, apex.len() as u8);
    let mut has_apex = false;
    if data.is_renamed(&[]) {
        owners.names.add_flags(apex, Flags::DNAME);
    }
    let mut name = Vec::new();
    data.for_each_owner(|records| {
        let Some(owner) = records.first().map(|record| record.owner) else { return };
        // Names that only signing made, such as those of NSEC3 records, do not exist (RFC 5155 §7.2.8).
        if data.hidden_below(owner).is_some() || records.iter().all(|record| is_made_by_signing(record.rtype))
        {
            return;
        }
        name.clear();
        name.extend_from_slice(owner);
        name.extend_from_slice(apex);
        if owner.is_empty() {
            has_apex = true;
            compiler.compile_apex(zone, records, &mut owners.zones[id as usize]);
            return;
        }
        match apexes.above(&name) {
            Some((of, _)) if of == id => {}
            // Below the apex of another zone that is served here: what is said of it here is the parent's side, or nothing.
            Some((below, apex_len)) => {
                if usize::from(apex_len) == name.len()
                    && let Some(parent) = &mut owners.zones[below as usize].parent
                {
                    let mut rrsets = compiler.rrsets(records, |rtype| rtype == Rtype::DS);
                    if data.is_cut(owner) {
                        compiler.link(&name, &mut rrsets, Some(Rtype::NS));
                    }
                    let mut block = Vec::new();
                    push_block(&rrsets, &mut block);
                    parent.block = block.into();
                }
                return;
            }
            None => return,
        }
        let is_cut = data.is_cut(owner);
        let mut rrsets = match is_cut {
            true => compiler.rrsets(records, |rtype| matches!(rtype, Rtype::NS | Rtype::DS)),
            false => compiler.rrsets(records, |_| true),
        };
        compiler.link(&name, &mut rrsets, None);
        let mut flags = if is_cut { Flags::CUT } else { Flags::NONE };
        if data.is_renamed(owner) && !is_cut {
            flags = flags.and(Flags::DNAME);
        }
        if records.iter().any(|record| record.rtype == Rtype::CNAME) {
            flags = flags.and(Flags::CNAME);
        }
        let binding = steered.binding_of(&name);
        let block = |arena: &mut Vec<u8>| {
            if !rrsets.is_empty() {
                push_block(&rrsets, arena);
            }
        };
        let is_new = owners.names.insert_with(&name, binding, id, apex.len() as u8, flags, block);
        debug_assert!(is_new, "an owner is there before its records");
    });
    compiler.sealer.as_ref()?;
    if !has_apex {
        compiler.compile_apex(zone, &[], &mut owners.zones[id as usize]);
    }
    compiler.compile_steered(id, apexes, owners);
    compiler.sealer
}

/// TTL of negative answers (RFC 2308 §3): the smaller of the SOA's own and its MINIMUM.
fn negative_ttl_of(zone: &model::Zone, data: &ZoneData) -> u32 {
    let soa = data.records().find(|record| record.rtype == Rtype::SOA);
    soa.map_or(zone.soa.ttl_secs.min(zone.soa.minimum_secs), |soa| soa.ttl_secs.min(minimum_of(soa.rdata)))
}

/// Adds what exists because something exists below it; once all owners are there, some of which are such names too.
pub(super) fn add_enclosers(apex: &[u8], id: u32, data: &ZoneData, apexes: &Apexes<'_>, owners: &mut Owners) {
    let mut name = Vec::new();
    let mut last: &[u8] = &[];
    for record in data.records() {
        let owner = record.owner;
        // Most owners lie right below the apex, and are no wildcards.
        let is_deep = owner.first().is_some_and(|len| usize::from(*len) + 1 < owner.len());
        let is_shallow = !is_deep && !owner.starts_with(ASTERISK);
        if is_shallow || owner == last || is_made_by_signing(record.rtype) {
            continue;
        }
        last = owner;
        name.clear();
        name.extend_from_slice(owner);
        name.extend_from_slice(apex);
        if data.hidden_below(owner).is_none() && apexes.above(&name).is_some_and(|(of, _)| of == id) {
            owners.add_enclosers(&name);
        }
    }
}

struct Compiler<'z> {
    apex: &'z [u8],
    data: &'z ZoneData,
    addresses: Addresses<'z>,
    steered: &'z Steered<'z>,
    pools: &'z [Pool],
    /// What signs it, if it is signed.
    sealer: Option<Sealer<'z>>,
}

impl Compiler<'_> {
    /// The apex with what the configuration gives where the file has none.
    fn compile_apex(
        &self,
        zone: &model::Zone,
        records: &[RawRecord<'_>],
        into: &mut crate::state::snapshot::Zone,
    ) {
        let of_config = super::apexes::Apex::Of(self.apex);
        let (soa_rdata, _) = super::apexes::soa_data(&zone.soa, &zone.ns, &of_config);
        let given =
            |rtype, ttl_secs, rdata| RawRecord { owner: &[], rtype, ttl_secs, rdata, file: 0, line: 0 };
        let mut records = records.to_vec();
        if !self.data.has_soa {
            records.push(given(Rtype::SOA, zone.soa.ttl_secs, &soa_rdata));
        }
        if !self.data.has_ns {
            records.extend(zone.ns.iter().map(|name| given(Rtype::NS, zone.ns_ttl_secs, name.as_wire())));
        }
        let mut rrsets = self.rrsets(&records, |_| true);
        rrsets.extend(self.sealer.iter().flat_map(Sealer::of_apex));
        self.link(self.apex, &mut rrsets, None);
        let mut block = Vec::new();
        push_block(&rrsets, &mut block);
        into.apex = block.into();
        if let Some(soa) = records.iter().find(|record| record.rtype == Rtype::SOA) {
            let mut negative = Vec::new();
            push_block(&[self.rrset(&[*soa], minimum_of(soa.rdata).min(soa.ttl_secs))], &mut negative);
            into.negative = negative.into();
        }
    }

    /// Names that have no record but what signing makes.
    fn compile_steered(&self, id: u32, apexes: &Apexes<'_>, owners: &mut Owners) {
        for name in self.steered.names() {
            let is_own = apexes.above(name).is_some_and(|(of, _)| of == id);
            if !is_own || owners.names.get(name).is_some() {
                continue;
            }
            let mut rrsets = Vec::new();
            self.link(name, &mut rrsets, None);
            let binding = self.steered.binding_of(name);
            let block = |arena: &mut Vec<u8>| {
                if !rrsets.is_empty() {
                    push_block(&rrsets, arena);
                }
            };
            owners.names.insert_with(name, binding, id, self.apex.len() as u8, Flags::NONE, block);
        }
    }

    /// Takes an owner of these RRsets into the chain, where the zone is signed. `beside` is a type that is not among them.
    fn link(&self, name: &[u8], rrsets: &mut Vec<RrsetBuilder>, beside: Option<Rtype>) {
        let Some(sealer) = &self.sealer else { return };
        let pool = self.steered.pool_of(name).map(|pool| &self.pools[pool as usize]);
        let of_pool = pool.into_iter().flat_map(steered_types);
        let types: Vec<Rtype> = rrsets.iter().map(RrsetBuilder::rtype).chain(beside).chain(of_pool).collect();
        rrsets.extend(sealer.link(name, types.into_iter()));
    }

    /// The RRsets of an owner, of the types that are wanted.
    fn rrsets(&self, records: &[RawRecord<'_>], wanted: impl Fn(Rtype) -> bool) -> Vec<RrsetBuilder> {
        // The keys of a zone that is signed here are those that sign it.
        let is_made = |rtype: Rtype| {
            let is_key = matches!(rtype, Rtype::DNSKEY | Rtype::CDS | Rtype::CDNSKEY);
            is_made_by_signing(rtype) || is_key && self.sealer.is_some()
        };
        let is_wanted = |record: &&RawRecord<'_>| wanted(record.rtype) && !is_made(record.rtype);
        // Most owners have one record.
        if let [only] = records {
            return [only]
                .into_iter()
                .filter(is_wanted)
                .map(|only| self.rrset(&[*only], only.ttl_secs))
                .collect();
        }
        let mut sorted: Vec<(RawRecord<'_>, Vec<u8>)> = records
            .iter()
            .filter(is_wanted)
            .map(|record| {
                let mut canonical = Vec::new();
                canonical_rdata(record.rtype, record.rdata, &mut canonical);
                (*record, canonical)
            })
            .collect();
        sorted.sort_by(|(a, a_data), (b, b_data)| (a.rtype, a_data).cmp(&(b.rtype, b_data)));
        sorted.dedup_by(|(again, data), (first, first_data)| {
            let is_same = again.rtype == first.rtype && data == first_data;
            if is_same {
                first.ttl_secs = first.ttl_secs.min(again.ttl_secs);
            }
            is_same
        });
        let by_type = sorted.chunk_by(|(a, _), (b, _)| a.rtype == b.rtype);
        by_type
            .map(|of_type| {
                let records: Vec<RawRecord<'_>> = of_type.iter().map(|(record, _)| *record).collect();
                let ttl_secs = records.iter().map(|record| record.ttl_secs).min().unwrap_or(0);
                self.rrset(&records, ttl_secs)
            })
            .collect()
    }

    /// One RRset, with the addresses of what it names.
    fn rrset(&self, records: &[RawRecord<'_>], ttl_secs: u32) -> RrsetBuilder {
        let rtype = records.first().map_or(Rtype(0), |record| record.rtype);
        let mut rrset = RrsetBuilder::new(rtype);
        for record in records {
            let begin = rrset.len();
            let mut names = Vec::new();
            let compressible = names_in(rtype, record.rdata).filter(|name| name.compressible);
            names.extend(compressible.map(|name| NameAt { at: name.at, len: name.len }));
            if rrset.push(ttl_secs, record.rdata, &names, self.apex).is_err() {
                debug_assert!(false, "too large an RRset was not refused");
                break;
            }
            if matches!(rtype, Rtype::CNAME | Rtype::DNAME) {
                rrset.set_target(&record.rdata.to_ascii_lowercase());
            }
            if let Some(at) = named_host(rtype) {
                self.addresses.add_to(&mut rrset, record, begin, at);
            }
        }
        let owner = records.first().map_or(&[][..], |record| record.owner);
        // What is said at a cut of the zone below is that zone's to sign.
        let is_signed = rtype != Rtype::NS || owner.is_empty();
        if let Some(sealer) = self.sealer.as_ref().filter(|_| is_signed) {
            let original_secs = records.iter().map(|record| record.ttl_secs).min().unwrap_or(ttl_secs);
            let name = whole_name(owner, self.apex);
            let data = records.iter().map(|record| record.rdata);
            sealer.seal(&mut rrset, &name, (rtype, ttl_secs, original_secs), data);
        }
        rrset
    }
}

/// MINIMUM of an SOA record's data.
fn minimum_of(rdata: &[u8]) -> u32 {
    let at = rdata.len().saturating_sub(MINIMUM_FROM_END);
    rdata[at..].first_chunk().map_or(0, |octets| u32::from_be_bytes(*octets))
}

/// Where in the data of a type stands the host whose addresses go along (RFC 1035 §3.3, RFC 2782).
fn named_host(rtype: Rtype) -> Option<usize> {
    match rtype {
        Rtype::NS => Some(0),
        Rtype::MX => Some(2),
        Rtype::SRV => Some(6),
        _ => None,
    }
}

/// Addresses of the hosts that records name: glue, and where answers are not minimal all others too.
struct Addresses<'z> {
    apex: &'z [u8],
    data: &'z ZoneData,
    /// By owner, as labels below the apex; A and AAAA.
    of: NameMap<Box<[u8]>, [Option<RrsetBuilder>; 2]>,
    is_minimal: bool,
}

impl<'z> Addresses<'z> {
    fn collect(data: &'z ZoneData, apex: &'z [u8], is_minimal: bool) -> Addresses<'z> {
        let mut addresses = Addresses { apex, data, of: NameMap::default(), is_minimal };
        for record in data.records() {
            if let Some(host) = addresses.wanted_by(&record) {
                addresses.of.entry(host).or_default();
            }
        }
        if addresses.of.is_empty() {
            return addresses;
        }
        let mut wildcards: HashMap<Box<[u8]>, [Option<RrsetBuilder>; 2]> = HashMap::new();
        data.for_each_owner(|records| {
            let Some(owner) = records.first().map(|record| record.owner) else { return };
            if let Some(slots) = addresses.of.get_mut(owner) {
                *slots = addresses_of(records);
            } else if let Some(above) = owner.strip_prefix(ASTERISK) {
                wildcards.insert(above.into(), addresses_of(records));
            }
        });
        if !wildcards.is_empty() {
            addresses.synthesize(&wildcards);
        }
        addresses
    }

    /// Gives hosts that do not exist the addresses of the wildcard that stands for them (RFC 4592 §3.3.1).
    fn synthesize(&mut self, wildcards: &HashMap<Box<[u8]>, [Option<RrsetBuilder>; 2]>) {
        let missing = self.of.iter().filter(|(_, slots)| slots.iter().all(Option::is_none));
        let missing: Vec<Box<[u8]>> = missing.map(|(host, _)| host.clone()).collect();
        let missing: Vec<&[u8]> = missing.iter().map(|host| &host[..]).collect();
        // Steered names are not looked at: what they block is of use at most.
        for (host, encloser) in self.data.enclosers_of_missing(&missing, std::iter::empty()) {
            if let Some(slots) = wildcards.get(encloser) {
                self.of.insert(host.into(), slots.clone());
            }
        }
    }

    /// The host of this zone whose addresses go along with a record, as labels below the apex.
    fn wanted_by(&self, record: &RawRecord<'_>) -> Option<Box<[u8]>> {
        let at = named_host(record.rtype)?;
        // Whoever asks for name servers is about to ask them.
        if self.is_minimal && record.rtype != Rtype::NS {
            return None;
        }
        let host = record.rdata.get(at..)?.to_ascii_lowercase();
        labels_below(&host, self.apex).map(Into::into)
    }

    /// Adds the addresses of the host that stands `at` octets into the data of a record that begins at `begin`.
    fn add_to(&self, rrset: &mut RrsetBuilder, record: &RawRecord<'_>, begin: usize, at: usize) {
        let Some(host) = self.wanted_by(record) else { return };
        let Some(slots) = self.of.get(&host) else { return };
        let at_cut = record.rtype == Rtype::NS && self.data.is_cut(record.owner);
        // Without the address of a server below the cut nobody finds it (RFC 9471 §2.1).
        let is_needed = at_cut && host.ends_with(record.owner) && is_at_or_below(&host, record.owner);
        // An address below some other cut is not this server's to tell, but as glue.
        if !at_cut && (self.data.hidden_below(&host).is_some() || self.data.is_cut(&host)) {
            return;
        }
        let name = whole_name(&host, self.apex);
        for addresses in slots.iter().flatten() {
            rrset.add_extra(RrsetBuilder::name_place(begin, at), is_needed, &name, addresses);
        }
    }
}

/// The A and AAAA RRsets among the records of an owner.
fn addresses_of(records: &[RawRecord<'_>]) -> [Option<RrsetBuilder>; 2] {
    [Rtype::A, Rtype::AAAA].map(|rtype| {
        let of_type = || records.iter().filter(|record| record.rtype == rtype);
        let ttl_secs = of_type().map(|record| record.ttl_secs).min()?;
        let mut rrset = RrsetBuilder::new(rtype);
        let mut data: Vec<&[u8]> = of_type().map(|record| record.rdata).collect();
        data.sort_unstable();
        data.dedup();
        for rdata in data {
            // Too many addresses for a message: those that fit.
            if rrset.push(ttl_secs, rdata, &[], &[]).is_err() {
                break;
            }
        }
        Some(rrset)
    })
}

/// Whether labels below the apex are those of `above`, or lie below them.
fn is_at_or_below(labels: &[u8], above: &[u8]) -> bool {
    labels == above || ancestors(labels).any(|ancestor| ancestor == above)
}
