//! Owner names into the index: globalnames, apexes, records of zone files, and what exists because something below it does.
//!
//! Cannot fail; what clashes was found when the model was made.

use std::collections::HashMap;

use super::apexes::{Apex, Apexes, Synthesized, block, has_room_below, ns, soa};
use super::seal::{Sealer, SetRoom, sign_steered};
use super::signing::{Signing, SteeredSets};
use super::steered::{pool_names, steered as steered_to};
use super::zones::{Beside, add_enclosers, compile_zone};
use crate::config::model::{self, Config, GlobalName, ZoneRecords};
use crate::state::name_map::NameMap;
use crate::state::names::{Flags, NameIndexBuilder};
use crate::state::pool::Pool;
use crate::state::snapshot::{Binding, ParentSide, SignedName, Zone};
use crate::state::steered::{AliasRecord, PoolNames, Steered as SteeredTo};
use crate::state::ttl::Ttl;
use crate::wire::name::suffixes;

/// The label of a wildcard with its length.
const ASTERISK: &[u8] = b"\x01*";

/// Owner names with what they own; equal bindings are one.
pub(super) struct Owners {
    pub(super) names: NameIndexBuilder,
    pub(super) bindings: Vec<Option<Binding>>,
    pub(super) zones: Vec<Zone>,
    pub(super) signed: Vec<SignedName>,
    by_binding: HashMap<Binding, u32>,
    /// What else bindings are steered to, by their index as far as any is.
    pub(super) steered: Vec<Option<SteeredTo>>,
    /// By binding and what it is steered to.
    by_steered: HashMap<(Binding, u32), u32>,
    /// Names of the pools' members.
    pub(super) pool_names: Vec<Option<PoolNames>>,
}

impl Owners {
    pub(super) fn compile(config: &Config, pools: &[Pool], signing: &Signing) -> Owners {
        let owners: usize =
            config.zones.iter().map(|zone| zone.records.data().map_or(0, |data| data.owner_count())).sum();
        let octets =
            config.zones.iter().filter_map(|zone| zone.records.data()).map(|data| data.block_octets()).sum();
        let capacity = config.globalnames.len() + config.zones.len() + owners;
        let mut owners = Owners {
            names: NameIndexBuilder::with_capacity(capacity, octets),
            bindings: vec![None],
            zones: Vec::new(),
            signed: vec![SignedName::default()],
            by_binding: HashMap::new(),
            steered: Vec::new(),
            by_steered: HashMap::new(),
            pool_names: config.pools.iter().map(pool_names).collect(),
        };
        let apexes = Apexes::new(config.zones.iter().map(|zone| &zone.apex));
        for zone in &config.zones {
            owners.add_zone(zone, &apexes, signing, config.server.minimal_responses);
        }
        let steered = Steered::new(config, pools, &apexes, signing, &mut owners);
        let beside = Beside { config, apexes: &apexes, steered: &steered, pools, signing };
        let mut sealers = Vec::new();
        for (id, zone) in config.zones.iter().enumerate() {
            if let Some(data) = zone.records.data() {
                let sealer = compile_zone(&beside, id as u32, data, &mut owners);
                sealers.extend(sealer.map(|sealer| (id as u32, sealer)));
            }
        }
        owners.add_globalnames(config, &apexes, &steered);
        for (id, zone) in config.zones.iter().enumerate() {
            let apex = zone.apex.as_wire();
            owners.names.insert(apex, 0, id as u32, apex.len() as u8);
        }
        // Only now: a name that exists because of one below it may have something of its own.
        for (id, zone) in config.zones.iter().enumerate() {
            if let Some(data) = zone.records.data() {
                add_enclosers(zone.apex.as_wire(), id as u32, data, &apexes, &mut owners);
            }
        }
        let names = config.globalnames.iter().map(|g| g.name.as_wire()).chain(apexes.iter());
        for name in names {
            owners.add_enclosers(name);
        }
        owners.finish_chains(sealers);
        owners
    }

    /// Lets signed zones prove what is not there, now that all that is there is known.
    fn finish_chains(&mut self, sealers: Vec<(u32, Sealer<'_>)>) {
        let hashed = sealers.iter().filter(|(_, sealer)| sealer.is_hashed());
        let mut places: HashMap<u32, Vec<u32>> = hashed.map(|(zone, _)| (*zone, Vec::new())).collect();
        if !places.is_empty() {
            for (at, node) in self.names.iter() {
                if let Some(places) = places.get_mut(&node.zone) {
                    places.push(at);
                }
            }
        }
        for (zone, sealer) in sealers {
            let mut places = places.remove(&zone).unwrap_or_default();
            places.sort_unstable();
            self.zones[zone as usize].denial = sealer.into_denial(&self.names, &places);
        }
    }

    /// A configured zone, its file left out.
    fn add_zone(&mut self, zone: &model::Zone, apexes: &Apexes<'_>, signing: &Signing, is_minimal: bool) {
        let apex = Apex::Of(zone.apex.as_wire());
        let fields = &zone.soa;
        let own_soa = |ttl_secs| soa(fields, &zone.ns, &apex, ttl_secs);
        // What lies above the apex itself.
        let above = suffixes(zone.apex.as_wire()).nth(1).and_then(|above| apexes.above(above));
        self.zones.push(Zone {
            apex: block([own_soa(fields.ttl_secs), ns(&zone.ns, zone.ns_ttl_secs, &apex)]),
            negative: block([own_soa(fields.ttl_secs.min(fields.minimum_secs))]),
            refused_with_pool: None,
            parent: above.map(|(zone, apex_len)| ParentSide { zone, apex_len, block: block([]) }),
            is_loaded: !matches!(zone.records, ZoneRecords::Failed) && !is_withheld(zone, signing),
            is_minimal,
            denial: None,
        });
    }

    fn add_globalnames(&mut self, config: &Config, apexes: &Apexes<'_>, steered: &Steered<'_>) {
        // By whether there is room below the name.
        let synthesized = [false, true].map(|has_room| Synthesized::new(config, has_room));
        let mut own_zones: HashMap<(Option<u32>, bool), u32> = HashMap::new();
        for global in config.globalnames.iter() {
            let wire = global.name.as_wire();
            let (zone, apex_len) = apexes.above(wire).unwrap_or_else(|| {
                let refuses = config.pools[global.pool as usize].fallback == model::Fallback::Refuse;
                let refused_with_pool = refuses.then_some(global.pool);
                let has_room = has_room_below(wire);
                let zone = *own_zones.entry((refused_with_pool, has_room)).or_insert_with(|| {
                    let Synthesized { negative, apex } = &synthesized[usize::from(has_room)];
                    self.zones.push(Zone {
                        apex: apex.clone(),
                        negative: negative.clone(),
                        refused_with_pool,
                        parent: None,
                        is_loaded: true,
                        is_minimal: config.server.minimal_responses,
                        denial: None,
                    });
                    self.zones.len() as u32 - 1
                });
                (zone, wire.len() as u8)
            });
            let binding = match steered.bindings.get(wire) {
                Some((binding, _)) => *binding,
                None => self.bind(&global, Binding { pool: global.pool, ttl: global.ttl, signed: 0 }),
            };
            // Where its zone has a file, it is there already.
            if self.names.get(wire).is_none() {
                self.names.insert(wire, binding, zone, apex_len);
            }
            if self.steered.get(binding as usize).is_some_and(Option::is_some) {
                self.names.add_flags(wire, Flags::STEERED);
            }
        }
    }

    /// The index of a name's binding, and of what it is steered to besides.
    fn bind(&mut self, global: &GlobalName<'_>, binding: Binding) -> u32 {
        let names = self.pool_names.get(binding.pool as usize).and_then(Option::as_ref);
        if global.extra.is_none() && names.is_none() {
            return self.binding_of(binding);
        }
        if let Some(known) = self.by_steered.get(&(binding, global.extra_id)) {
            return *known;
        }
        let Some((steered, has_addresses)) = steered_to(global, binding, names) else {
            return self.binding_of(binding);
        };
        let index = self.bindings.len() as u32;
        self.bindings.push(has_addresses.then_some(binding));
        self.steered.resize(self.bindings.len(), None);
        self.steered[index as usize] = Some(steered);
        self.by_steered.insert((binding, global.extra_id), index);
        index
    }

    /// The index of a binding.
    pub(super) fn binding_of(&mut self, binding: Binding) -> u32 {
        let Owners { bindings, by_binding, .. } = self;
        *by_binding.entry(binding).or_insert_with(|| {
            bindings.push(Some(binding));
            bindings.len() as u32 - 1
        })
    }

    /// Adds the names between `name` and the next one above it that is there: they exist because something exists below them
    /// (RFC 4592 §2.2.2), else a resolver that asks label by label (RFC 9156) would be told that nothing is there. A wildcard is
    /// noted at the name above it.
    pub(super) fn add_enclosers(&mut self, name: &[u8]) {
        let ancestors = || suffixes(name).skip(1);
        let Some((above, encloser)) = ancestors()
            .enumerate()
            .find_map(|(at, ancestor)| self.names.get(ancestor).map(|node| (at, node)))
        else {
            return;
        };
        // Below a cut or a DNAME nothing exists in this zone, whatever other zones are served further below.
        if encloser.flags.has_any(Flags::CUT.and(Flags::DNAME)) {
            return;
        }
        // An apex lies in its own zone: nothing between it and the zone above is of it.
        for ancestor in ancestors().take(above) {
            self.names.insert(ancestor, 0, encloser.zone, encloser.apex_len);
        }
        // A wildcard that owns nothing is one as well: what it stands for exists and owns nothing (RFC 4592 §2.2.3, §3.3.2).
        for parent in suffixes(name).take(above + 1).filter_map(|name| name.strip_prefix(ASTERISK)) {
            self.names.add_flags(parent, Flags::WILDCARD_BELOW);
        }
    }
}

/// Whether a zone that should be signed is not: nothing of it may be served then, its pools least of all.
pub(super) fn is_withheld(zone: &model::Zone, signing: &Signing) -> bool {
    zone.dnssec.is_some() && (signing.of(&zone.apex).is_none() || zone.records.data().is_none())
}

/// Globalnames that lie in zones with a file, where a static name may be the same.
#[derive(Default)]
pub(super) struct Steered<'c> {
    bindings: NameMap<&'c [u8], (u32, u32)>,
}

impl<'c> Steered<'c> {
    fn new(
        config: &'c Config,
        pools: &[Pool],
        apexes: &Apexes<'_>,
        signing: &Signing,
        owners: &mut Owners,
    ) -> Steered<'c> {
        let mut steered = Steered::default();
        if config.zones.iter().all(|zone| zone.records.data().is_none() && zone.dnssec.is_none()) {
            return steered;
        }
        let mut room = SetRoom::default();
        for global in config.globalnames.iter() {
            let name = global.name.as_wire();
            let home = apexes.above(name).map(|(zone, _)| &config.zones[zone as usize]);
            let of_interest = |zone: &&model::Zone| zone.records.data().is_some() || zone.dnssec.is_some();
            let Some(zone) = home.filter(of_interest) else { continue };
            let mut binding = Binding { pool: global.pool, ttl: global.ttl, signed: 0 };
            if is_withheld(zone, signing) {
                steered.bindings.insert(name, (0, global.pool));
                continue;
            }
            if let Some(signing) = signing.of(&zone.apex) {
                let pool = &pools[global.pool as usize];
                // What is signed is told as it is signed, or a validator would have to doubt it (RFC 4035 §5.3.3).
                let ttl_secs = global.ttl.max_secs();
                binding.ttl = Ttl::fixed(ttl_secs);
                let names = owners.pool_names[global.pool as usize].as_ref();
                let stand_in = names.and_then(|names| names.fallback.as_ref()).map(AliasRecord::target);
                let of = (pool, stand_in);
                let (signed, has_room) =
                    sign_steered(signing, zone.apex.as_wire(), name, ttl_secs, of, &mut room);
                binding.signed = owners.signed.len() as u32;
                if signed.families.iter().any(|family| !family.sets.is_empty()) {
                    signing.note_sets(SteeredSets {
                        name: name.into(),
                        ttl_secs,
                        pool: global.pool,
                        signed: binding.signed,
                    });
                }
                if !has_room {
                    signing.note_single();
                }
                owners.signed.push(signed);
            }
            let binding = owners.bind(&global, binding);
            steered.bindings.insert(name, (binding, global.pool));
        }
        steered
    }

    /// The binding of a name; 0 for most.
    pub(super) fn binding_of(&self, name: &[u8]) -> u32 {
        if self.bindings.is_empty() { 0 } else { self.bindings.get(name).map_or(0, |(binding, _)| *binding) }
    }

    /// The pool of a name.
    pub(super) fn pool_of(&self, name: &[u8]) -> Option<u32> {
        self.bindings.get(name).map(|(_, pool)| *pool)
    }

    /// All names.
    pub(super) fn names(&self) -> impl Iterator<Item = &'c [u8]> {
        self.bindings.keys().copied()
    }
}
