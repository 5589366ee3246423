//! The validated model to a snapshot: names into the index, records into wire form, members into regions.
//!
//! Cannot fail: everything that could be wrong was found when the model was made. Reads no file and no clock.

use std::sync::Arc;
use std::time::Duration;

use super::guard::{compile_cookies, compile_rates};
use super::model::Config;
use crate::state::health_table::HealthTable;
use crate::state::snapshot::{Protocol, Snapshot};
use crate::state::topology::{RegionId, Topology};
use crate::wire::edns::{Understood, opt_record};

/// What stands at apexes, and which of them a name lies in.
mod apexes;
/// What workers take along to the next generation.
mod carry;
/// Owner names into the index.
mod names;
/// Pools, families, regions.
mod pools;
/// Records of zone files.
mod zones;

pub(super) use apexes::Apexes;
pub use apexes::SYNTHESIZED_NS;
pub use carry::carry;
use names::Owners;
use pools::compile_pool;

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
        bindings: owners.bindings.into(),
        zones: owners.zones.into(),
        health: Arc::new(HealthTable::new(pools.iter().map(|pool| usize::from(pool.rules.member_count)))),
        pools: pools.into(),
        topology,
        protocol: Protocol {
            edns_udp_size: config.server.edns_udp_size,
            opt: opt_record(config.server.edns_udp_size),
            nsid: config.server.nsid.as_deref().map(|text| text.as_bytes().into()),
            keepalive: keepalive(config.server.tcp_idle_timeout).to_be_bytes(),
            minimal_responses: config.server.minimal_responses,
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
