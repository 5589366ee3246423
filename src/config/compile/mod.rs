//! The validated model to a snapshot: names into the index, records into wire form, members into regions.
//!
//! Cannot fail: everything that could be wrong was found when the model was made. Reads no file and no clock.

use std::sync::Arc;
use std::time::Duration;

use super::guard::{compile_cookies, compile_rates};
use super::model::{Config, GlobalNames, Zone};
use crate::state::health_table::HealthTable;
use crate::state::snapshot::{Protocol, Snapshot};
use crate::wire::edns::{Understood, opt_record};

/// What stands at apexes, and which of them a name lies in.
mod apexes;
/// What workers take along to the next generation.
mod carry;
/// The NSEC3 chain of a zone.
mod hashed;
/// Regions and clients to numbers.
mod clients;
/// Tables of latencies to orders.
mod latency;
/// Owner names into the index.
mod names;
/// Pools, families, regions.
mod pools;
/// Orders of regions.
mod preferences;
/// How demand is spread over clients.
pub mod demand;
/// Trees of pools.
mod trees;
/// What signing adds to a zone.
mod seal;
/// Signatures for what is compiled.
pub mod signing;
/// What names are steered to beside addresses.
mod steered;
/// Signatures from pass to pass.
pub mod signatures;
/// Records of zone files.
mod zones;

pub(super) use apexes::Apexes;
pub use apexes::SYNTHESIZED_NS;
pub use carry::carry;
pub(super) use clients::locate;
use names::Owners;
pub(super) use pools::compile_pool;
pub(super) use preferences::Clients;
use signing::Signing;

/// Compiles a configuration without signed zones: what should be signed is not served.
pub fn compile(config: &Config, generation: u64) -> Snapshot {
    compile_signed(config, generation, &Signing::default())
}

/// Compiles a configuration; every member is UNKNOWN until the health keeper says otherwise.
pub fn compile_signed(config: &Config, generation: u64, signing: &Signing) -> Snapshot {
    let snapshot = compile_once(config, generation, signing);
    if !signing.complete() {
        return snapshot;
    }
    // The first one lacks the signatures that have now been made; two beside each other would take their room twice.
    drop(snapshot);
    compile_once(config, generation, signing)
}

fn compile_once(config: &Config, generation: u64, signing: &Signing) -> Snapshot {
    signing.begin();
    let located = locate(config);
    let (mut first_member, mut first_rotation) = (0, 0);
    let mut pools = Vec::with_capacity(config.pools.len());
    let clients = Clients::new(&located, &config.topology);
    for model in &config.pools {
        let pool = compile_pool(
            model,
            &located.topology,
            &clients,
            pools.len() as u32,
            first_member,
            first_rotation,
        );
        first_member += u32::from(pool.rules.member_count);
        first_rotation += (pool.v4.rotation_count() + pool.v6.rotation_count()) as u32;
        pools.push(pool);
    }
    let owners = Owners::compile(config, &pools, signing);
    let cookies = compile_cookies(&config.server.cookies);
    Snapshot {
        generation,
        names: owners.names.finish(),
        signed: owners.signed.into(),
        bindings: owners.bindings.into(),
        steered: owners.steered.into(),
        pool_names: owners.pool_names.into(),
        zones: owners.zones.into(),
        health: Arc::new(HealthTable::new(pools.iter().map(|pool| usize::from(pool.rules.member_count)))),
        pools: pools.into(),
        topology: located.topology,
        clients: located.clients,
        choices: Arc::new(located.choices),
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

/// The largest TTLs of each zone in order, of those that the configuration gives and of all: how long caches may remember any
/// of it. Zones that are not signed, of which nobody asks it, have 0.
pub(crate) fn largest_ttls<'z>(
    zones: impl Iterator<Item = &'z Zone> + Clone,
    globalnames: &GlobalNames,
) -> Vec<LargestTtl> {
    let mut largest: Vec<LargestTtl> = Vec::new();
    let mut any = false;
    for zone in zones.clone() {
        if zone.dnssec.is_none() {
            largest.push(LargestTtl::default());
            continue;
        }
        any = true;
        let of_file =
            zone.records.data().into_iter().flat_map(|data| data.records()).map(|r| r.ttl_secs).max();
        let given = zone.soa.ttl_secs.max(zone.soa.minimum_secs).max(zone.ns_ttl_secs);
        largest.push(LargestTtl { configured_secs: given, of_all_secs: given.max(of_file.unwrap_or(0)) });
    }
    if any {
        let apexes = Apexes::new(zones.clone().map(|zone| &zone.apex));
        for global in globalnames.iter() {
            let Some((home, _)) = apexes.above(global.name.as_wire()) else { continue };
            let of = &mut largest[home as usize];
            of.configured_secs = of.configured_secs.max(global.ttl.max_secs());
            of.of_all_secs = of.of_all_secs.max(global.ttl.max_secs());
        }
    }
    largest
}

/// The largest TTLs of a zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LargestTtl {
    /// Of what the configuration gives.
    pub(crate) configured_secs: u32,
    /// Of the zone's file besides.
    pub(crate) of_all_secs: u32,
}

/// An idle timeout as RFC 7828 tells it, in units of 100 ms; the longest that may be configured is an hour.
fn keepalive(idle: Duration) -> u16 {
    u16::try_from(idle.as_millis() / 100).unwrap_or(u16::MAX)
}
