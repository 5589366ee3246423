//! The validated model to a snapshot: names into the index, records into wire form, members into regions.
//!
//! Cannot fail: everything that could be wrong was found when the model was made. Reads no file and no clock.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::guard::{compile_cookies, compile_rates};
use super::model::{self, Config, SoaFields};
use crate::state::health_table::HealthTable;
use crate::state::names::NameIndexBuilder;
use crate::state::pool::{
    Candidate, Fallback, Family, FamilyPool, Method, Pool, PoolRules, Regions, push_record,
};
use crate::state::rotation::Carry;
use crate::state::snapshot::{Binding, Protocol, Rrset, Shape, Snapshot, Zone};
use crate::state::template::{Template, TemplateBuilder, TemplateName};
use crate::state::topology::{RegionId, Topology};
use crate::wire::edns::{Understood, opt_record};
use crate::wire::message::Rtype;
use crate::wire::name::{MAX_NAME_OCTETS, Name, suffixes};

/// Name server of a synthesized apex when `server.ns` is empty: it can never resolve (RFC 6761 §6.4), so nobody is led
/// to a host that is no name server, and whoever reads it sees what is missing.
pub const SYNTHESIZED_NS: &str = "ns.invalid.";
/// TTL of the NS RRset of a synthesized apex.
const SYNTHESIZED_NS_TTL_SECS: u32 = 86_400;
/// Mailbox of a zone without `rname`: this label below the apex (RFC 2142 §7).
const DEFAULT_MAILBOX: &[u8] = b"hostmaster";

/// Compiles a configuration; every member is UNKNOWN until the health keeper says otherwise.
pub fn compile(config: &Config, generation: u64) -> Snapshot {
    let prefixes: Vec<_> = config.topology.prefixes.iter().map(|(net, r)| (*net, RegionId(*r))).collect();
    let topology = Topology::new(&prefixes);
    let (mut first_member, mut first_rotation) = (0, 0);
    let mut pools = Vec::with_capacity(config.pools.len());
    for model in &config.pools {
        let pool = compile_pool(model, &topology, pools.len() as u32, first_member, first_rotation);
        first_member += u32::from(pool.rules.member_count);
        first_rotation += (pool.v4.rotation_count() + pool.v6.rotation_count()) as u32;
        pools.push(pool);
    }
    let owners = Owners::compile(config);
    let cookies = compile_cookies(&config.server.cookies);
    Snapshot {
        generation,
        names: owners.names.finish(),
        shapes: owners.shapes.into(),
        zones: owners.zones.into(),
        health: Arc::new(HealthTable::new(pools.iter().map(|pool| usize::from(pool.rules.member_count)))),
        pools: pools.into(),
        topology,
        protocol: Protocol {
            edns_udp_size: config.server.edns_udp_size,
            opt: opt_record(config.server.edns_udp_size),
            nsid: config.server.nsid.as_deref().map(|text| text.as_bytes().into()),
            keepalive: keepalive(config.server.tcp_idle_timeout).to_be_bytes(),
            understood: Understood { client_subnet: config.server.ecs, cookies: cookies.is_some() },
            cookies,
            rates: config.server.rates.as_ref().map(compile_rates),
            version: config.server.version.as_deref().map(|text| text.as_bytes().into()),
            id: config.server.id.as_deref().map(|text| text.as_bytes().into()),
        },
    }
}

/// An idle timeout as RFC 7828 tells it, in units of 100 ms; the longest that may be configured is an hour.
fn keepalive(idle: Duration) -> u16 {
    u16::try_from(idle.as_millis() / 100).unwrap_or(u16::MAX)
}

/// What of the rotations and counters lives on: the same pool's same family and region, the same member's address.
pub fn carry(old: &Snapshot, old_config: &Config, new: &Snapshot, new_config: &Config) -> Carry {
    let mut carry = Carry::default();
    let old_ids: HashMap<&str, usize> =
        old_config.pools.iter().enumerate().map(|(id, pool)| (pool.name.as_str(), id)).collect();
    let region_name =
        |config: &'_ Config, region: RegionId| config.topology.regions[usize::from(region.0)].clone();
    for (new_id, model) in new_config.pools.iter().enumerate() {
        let Some(&old_id) = old_ids.get(model.name.as_str()) else { continue };
        let (old_pool, new_pool) = (&old.pools[old_id], &new.pools[new_id]);
        for family in Family::ALL {
            let (from, to) = (old_pool.family(family), new_pool.family(family));
            carry.rotations.push((from.first_rotation, to.first_rotation));
            for (at, region) in to.regions.ascending().iter().enumerate() {
                let name = region_name(new_config, *region);
                if let Some(before) =
                    from.regions.ascending().iter().position(|r| region_name(old_config, *r) == name)
                {
                    let (from, to) =
                        (from.first_rotation + 1 + before as u32, to.first_rotation + 1 + at as u32);
                    carry.rotations.push((from, to));
                }
            }
        }
        let old_members: HashMap<IpAddr, usize> =
            old_config.pools[old_id].members.iter().enumerate().map(|(i, m)| (m.ip, i)).collect();
        for (at, member) in model.members.iter().enumerate() {
            if let Some(&before) = old_members.get(&member.ip) {
                carry.members.push((
                    old_pool.rules.first_member + before as u32,
                    new_pool.rules.first_member + at as u32,
                ));
            }
        }
    }
    carry
}

fn compile_pool(
    model: &model::Pool,
    topology: &Topology,
    pool_id: u32,
    first_member: u32,
    first_rotation: u32,
) -> Pool {
    let (fallback, addresses) = match &model.fallback {
        model::Fallback::Any => (Fallback::Any, &[][..]),
        model::Fallback::Refuse => (Fallback::Refuse, &[][..]),
        model::Fallback::Nodata => (Fallback::NoData, &[][..]),
        model::Fallback::Addresses(addresses) => (Fallback::Addresses, &addresses[..]),
    };
    let method = match model.method {
        model::Method::Wrr => Method::Weighted,
        model::Method::Twrr => Method::Regional,
        model::Method::Fogroup => Method::FirstUp,
    };
    let rules = PoolRules {
        pool_id,
        first_member,
        member_count: model.members.len() as u16,
        max_addrs_returned: model.max_addrs_returned,
        method,
        fallback,
    };
    let v4 = compile_family(model, rules, Family::V4, addresses, topology, first_rotation);
    let first_rotation = first_rotation + v4.rotation_count() as u32;
    let v6 = compile_family(model, rules, Family::V6, addresses, topology, first_rotation);
    Pool { rules, v4, v6 }
}

fn compile_family(
    model: &model::Pool,
    rules: PoolRules,
    family: Family,
    fallbacks: &[IpAddr],
    topology: &Topology,
    first_rotation: u32,
) -> FamilyPool {
    let mut candidates = Vec::new();
    let mut records = Vec::new();
    let mut has_members = false;
    for (index, member) in model.members.iter().enumerate() {
        if Family::of(member.ip) != family || !member.enabled {
            continue;
        }
        has_members = true;
        if member.weight > 0 {
            let region = topology.lookup(member.ip).region;
            candidates.push(Candidate { member: index as u16, weight: member.weight, region });
            push_record(&mut records, family, member.ip);
        }
    }
    let fallback_at = candidates.len();
    for (index, address) in fallbacks.iter().enumerate().filter(|(_, a)| Family::of(**a) == family) {
        candidates.push(Candidate { member: (model.members.len() + index) as u16, weight: 1, region: None });
        push_record(&mut records, family, *address);
    }
    let mut regions = Vec::new();
    if model.method == model::Method::Twrr {
        regions.extend(candidates.iter().filter_map(|candidate| candidate.region));
    }
    FamilyPool {
        rules,
        family,
        has_members,
        candidates: candidates.into(),
        fallback_at,
        records: records.into(),
        regions: Regions::new(regions),
        first_rotation,
    }
}

/// Owner names with what they own; equal shapes are one.
struct Owners {
    names: NameIndexBuilder,
    shapes: Vec<Shape>,
    zones: Vec<Zone>,
}

impl Owners {
    fn compile(config: &Config) -> Owners {
        let capacity = config.globalnames.len() + config.zones.len();
        let mut owners = Owners {
            names: NameIndexBuilder::with_capacity(capacity),
            shapes: Vec::new(),
            zones: Vec::new(),
        };
        let nothing = owners.add_shape(Shape { binding: None, rrsets: Box::default() });
        let apexes = Apexes::new(config.zones.iter().map(|zone| &zone.apex));
        let apex_rrsets: Vec<Box<[Rrset]>> = config.zones.iter().map(|zone| owners.add_zone(zone)).collect();
        owners.add_globalnames(config, &apexes, &apex_rrsets);
        for (id, zone) in config.zones.iter().enumerate() {
            let apex = zone.apex.as_wire();
            if owners.names.get(apex).is_none() {
                let shape = owners.add_shape(Shape { binding: None, rrsets: apex_rrsets[id].clone() });
                owners.names.insert(apex, shape, id as u32, apex.len() as u8);
            }
        }
        let names = config.globalnames.iter().map(|g| g.name.as_wire()).chain(apexes.iter());
        for name in names {
            owners.add_empty_non_terminals(name, nothing);
        }
        owners
    }

    /// A configured zone; returns the RRsets of its apex.
    fn add_zone(&mut self, zone: &model::Zone) -> Box<[Rrset]> {
        let rname = rname(&zone.soa, has_room_below(zone.apex.as_wire()));
        let negative_soa = soa(&zone.soa, &zone.ns, rname, zone.soa.ttl_secs.min(zone.soa.minimum_secs));
        self.zones.push(Zone { negative_soa, refused_with_pool: None });
        Box::new([
            Rrset { rtype: Rtype::SOA, template: soa(&zone.soa, &zone.ns, rname, zone.soa.ttl_secs) },
            Rrset { rtype: Rtype::NS, template: ns(&zone.ns, zone.ns_ttl_secs) },
        ])
    }

    fn add_globalnames(&mut self, config: &Config, apexes: &Apexes<'_>, apex_rrsets: &[Box<[Rrset]>]) {
        // By whether there is room below the name.
        let synthesized = [false, true].map(|has_room| Synthesized::new(config, has_room));
        let mut own_zones: HashMap<(Option<u32>, bool), u32> = HashMap::new();
        // Shapes by (binding, apex RRsets), where the RRsets are told apart by where they come from.
        let mut shapes: HashMap<(Binding, Apex), u32> = HashMap::new();
        for global in config.globalnames.iter() {
            let wire = global.name.as_wire();
            let binding = Binding { pool: global.pool, ttl_secs: global.ttl_secs };
            let home = apexes.above(wire);
            let (zone, apex_len, apex) = match home {
                Some((zone, apex_len)) if usize::from(apex_len) == wire.len() => {
                    (zone, apex_len, Apex::Zone(zone))
                }
                Some((zone, apex_len)) => (zone, apex_len, Apex::None),
                None => {
                    let refuses = config.pools[global.pool as usize].fallback == model::Fallback::Refuse;
                    let refused_with_pool = refuses.then_some(global.pool);
                    let has_room = has_room_below(wire);
                    let zone = *own_zones.entry((refused_with_pool, has_room)).or_insert_with(|| {
                        let negative_soa = synthesized[usize::from(has_room)].negative_soa.clone();
                        self.zones.push(Zone { negative_soa, refused_with_pool });
                        self.zones.len() as u32 - 1
                    });
                    (zone, wire.len() as u8, Apex::Synthesized { has_room })
                }
            };
            let shape = *shapes.entry((binding, apex)).or_insert_with(|| {
                let rrsets = match apex {
                    Apex::None => Box::default(),
                    Apex::Zone(zone) => apex_rrsets[zone as usize].clone(),
                    Apex::Synthesized { has_room } => synthesized[usize::from(has_room)].rrsets.clone(),
                };
                self.shapes.push(Shape { binding: Some(binding), rrsets });
                self.shapes.len() as u32 - 1
            });
            self.names.insert(wire, shape, zone, apex_len);
        }
    }

    /// Adds the names between `name` and the next zone apex above it: they exist because something exists below them
    /// (RFC 4592 §2.2.2), else a resolver that asks label by label (RFC 9156) would be told that nothing is there.
    fn add_empty_non_terminals(&mut self, name: &[u8], nothing: u32) {
        let ancestors = || suffixes(name).skip(1);
        let Some((above, encloser)) = ancestors()
            .enumerate()
            .find_map(|(at, ancestor)| self.names.get(ancestor).map(|node| (at, node)))
        else {
            return;
        };
        for ancestor in ancestors().take(above) {
            self.names.insert(ancestor, nothing, encloser.zone, encloser.apex_len);
        }
    }

    fn add_shape(&mut self, shape: Shape) -> u32 {
        self.shapes.push(shape);
        self.shapes.len() as u32 - 1
    }
}

/// The apexes of zones, to find the one that a name lies in.
pub(super) struct Apexes<'z> {
    /// Each with its index.
    by_name: HashMap<&'z [u8], u32>,
    /// Lengths that apexes have: most ancestors of a name need not be looked up.
    lens: [bool; 256],
}

impl<'z> Apexes<'z> {
    /// The apexes in order.
    pub(super) fn new(apexes: impl Iterator<Item = &'z model::OwnerName>) -> Apexes<'z> {
        let by_name: HashMap<&[u8], u32> = apexes.map(model::OwnerName::as_wire).zip(0..).collect();
        let mut lens = [false; 256];
        by_name.keys().for_each(|apex| lens[apex.len()] = true);
        Apexes { by_name, lens }
    }

    /// Index and length of the closest apex at or above a name in lower-case wire form.
    pub(super) fn above(&self, name: &[u8]) -> Option<(u32, u8)> {
        suffixes(name)
            .filter(|suffix| self.lens[suffix.len()])
            .find_map(|suffix| self.by_name.get(suffix).map(|id| (*id, suffix.len() as u8)))
    }

    fn iter(&self) -> impl Iterator<Item = &'z [u8]> {
        self.by_name.keys().copied()
    }
}

/// Which RRsets beside its addresses a globalname owns.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Apex {
    None,
    Zone(u32),
    Synthesized { has_room: bool },
}

/// What globalnames outside every zone share.
struct Synthesized {
    negative_soa: Template,
    rrsets: Box<[Rrset]>,
}

impl Synthesized {
    fn new(config: &Config, has_room: bool) -> Synthesized {
        let fields = &config.server.soa;
        let rname = rname(fields, has_room);
        let fallback_ns = [Name::from_text(SYNTHESIZED_NS).unwrap_or(Name::ROOT)];
        let servers = if config.server.ns.is_empty() { &fallback_ns[..] } else { &config.server.ns[..] };
        Synthesized {
            negative_soa: soa(fields, servers, rname, fields.ttl_secs.min(fields.minimum_secs)),
            rrsets: Box::new([
                Rrset { rtype: Rtype::SOA, template: soa(fields, servers, rname, fields.ttl_secs) },
                Rrset { rtype: Rtype::NS, template: ns(servers, SYNTHESIZED_NS_TTL_SECS) },
            ]),
        }
    }
}

/// Whether the default mailbox below an apex is a name: it has at most 255 octets (RFC 1035 §3.1).
fn has_room_below(apex: &[u8]) -> bool {
    1 + DEFAULT_MAILBOX.len() + apex.len() <= MAX_NAME_OCTETS
}

/// The mailbox of an SOA record: the configured one, else the default one where it is a name, else none.
fn rname(fields: &SoaFields, has_room: bool) -> TemplateName<'_> {
    match &fields.rname {
        Some(rname) => TemplateName::Full(rname),
        None if has_room => TemplateName::BelowApex(DEFAULT_MAILBOX),
        None => TemplateName::Full(&Name::ROOT),
    }
}

/// The SOA RRset of an apex (RFC 1035 §3.3.13).
fn soa(fields: &SoaFields, servers: &[Name], rname: TemplateName<'_>, ttl_secs: u32) -> Template {
    let mut builder = TemplateBuilder::new();
    builder.apex_record(Rtype::SOA, ttl_secs, |rdata| {
        let mname = fields.mname.as_ref().or(servers.first()).unwrap_or(&Name::ROOT);
        rdata.name(TemplateName::Full(mname));
        rdata.name(rname);
        for number in
            [fields.serial, fields.refresh_secs, fields.retry_secs, fields.expire_secs, fields.minimum_secs]
        {
            rdata.u32(number);
        }
    });
    builder.finish()
}

/// The NS RRset of an apex.
fn ns(servers: &[Name], ttl_secs: u32) -> Template {
    let mut builder = TemplateBuilder::new();
    for server in servers {
        builder.apex_record(Rtype::NS, ttl_secs, |rdata| rdata.name(TemplateName::Full(server)));
    }
    builder.finish()
}
