//! Owner names into the index: globalnames, apexes, records of zone files, and what exists because something below it does.
//!
//! Cannot fail; what clashes was found when the model was made.

use std::collections::HashMap;

use super::apexes::{Apex, Apexes, Synthesized, block, has_room_below, ns, soa};
use super::zones::compile_zone;
use crate::config::model::{self, Config, ZoneRecords};
use crate::state::names::{Flags, NameIndexBuilder};
use crate::state::snapshot::{Binding, ParentSide, Zone};
use crate::wire::name::suffixes;

/// The label of a wildcard with its length.
const ASTERISK: &[u8] = b"\x01*";

/// Owner names with what they own; equal bindings are one.
pub(super) struct Owners {
    pub(super) names: NameIndexBuilder,
    pub(super) bindings: Vec<Option<Binding>>,
    pub(super) zones: Vec<Zone>,
    by_binding: HashMap<Binding, u32>,
}

impl Owners {
    pub(super) fn compile(config: &Config) -> Owners {
        let records: usize =
            config.zones.iter().map(|zone| zone.records.data().map_or(0, |data| data.len())).sum();
        let octets =
            config.zones.iter().filter_map(|zone| zone.records.data()).map(|data| data.block_octets()).sum();
        let capacity = config.globalnames.len() + config.zones.len() + records;
        let mut owners = Owners {
            names: NameIndexBuilder::with_capacity(capacity, octets),
            bindings: vec![None],
            zones: Vec::new(),
            by_binding: HashMap::new(),
        };
        let apexes = Apexes::new(config.zones.iter().map(|zone| &zone.apex));
        for zone in &config.zones {
            owners.add_zone(zone, &apexes);
        }
        let steered = Steered::new(config, &apexes, &mut owners);
        for (id, zone) in config.zones.iter().enumerate() {
            if let Some(data) = zone.records.data() {
                compile_zone(config, id as u32, zone, data, &apexes, &steered, &mut owners);
            }
        }
        owners.add_globalnames(config, &apexes);
        for (id, zone) in config.zones.iter().enumerate() {
            let apex = zone.apex.as_wire();
            owners.names.insert(apex, 0, id as u32, apex.len() as u8);
        }
        let names = config.globalnames.iter().map(|g| g.name.as_wire()).chain(apexes.iter());
        for name in names {
            owners.add_enclosers(name);
        }
        owners
    }

    /// A configured zone, its file left out.
    fn add_zone(&mut self, zone: &model::Zone, apexes: &Apexes<'_>) {
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
            is_loaded: !matches!(zone.records, ZoneRecords::Failed),
        });
    }

    fn add_globalnames(&mut self, config: &Config, apexes: &Apexes<'_>) {
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
                    });
                    self.zones.len() as u32 - 1
                });
                (zone, wire.len() as u8)
            });
            let binding = self.binding_of(Binding { pool: global.pool, ttl_secs: global.ttl_secs });
            // Where a zone file has the name too, it is there already, with this binding.
            self.names.insert(wire, binding, zone, apex_len);
        }
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

/// Globalnames that lie in zones with a file, where a static name may be the same.
pub(super) struct Steered<'c>(HashMap<&'c [u8], u32>);

impl<'c> Steered<'c> {
    fn new(config: &'c Config, apexes: &Apexes<'_>, owners: &mut Owners) -> Steered<'c> {
        if config.zones.iter().all(|zone| zone.records.data().is_none()) {
            return Steered(HashMap::new());
        }
        let has_file = |zone: u32| config.zones[zone as usize].records.data().is_some();
        let inside = config
            .globalnames
            .iter()
            .filter(|global| apexes.above(global.name.as_wire()).is_some_and(|(zone, _)| has_file(zone)));
        let bound = inside.map(|global| {
            let binding = Binding { pool: global.pool, ttl_secs: global.ttl_secs };
            (global.name.as_wire(), owners.binding_of(binding))
        });
        Steered(bound.collect())
    }

    /// The binding of a name; 0 for most.
    pub(super) fn binding_of(&self, name: &[u8]) -> u32 {
        if self.0.is_empty() { 0 } else { self.0.get(name).copied().unwrap_or(0) }
    }
}
