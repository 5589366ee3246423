//! The topology to numbers: of regions, and of kinds of clients where pools tell more of them apart than regions.
//!
//! Kinds are made only where a pool goes by distances, or by latencies of prefixes. There are numbers for 65,534 of them: where
//! databases know more places, places share the cells of a grid, as fine as there are numbers for. Cannot fail.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::latency::{View, view};
use crate::config::model::{self, Config, Method};
use crate::state::clients::{Choices, Chosen, ClientClass, Clients, LocatedBy, MAX_CLASSES};
use crate::state::coordinates::grid_error_km;
use crate::state::partition::{NONE, Partition};
use crate::state::topology::{RegionId, Topology};

/// The finest grid, in degrees: 1.2 km.
const FINEST_STEP: f64 = 1.0 / 64.0;
/// The coarsest one.
const COARSEST_STEP: f64 = 32.0;

/// Where clients are, as numbers.
pub(in crate::config) struct Located {
    pub(super) topology: Topology,
    pub(super) clients: Clients,
    /// What tables of latencies say, each once.
    pub(super) views: Vec<View>,
    /// By number of the pool which of them is its.
    pub(super) view_of: HashMap<u32, usize>,
    /// What pools prefer now.
    pub(super) choices: Choices,
}

impl Located {
    /// Which number each address has.
    pub(in crate::config) fn topology(&self) -> &Topology {
        &self.topology
    }
}

/// Numbers the regions and clients of a configuration.
pub(in crate::config) fn locate(config: &Config) -> Located {
    let topology = &config.topology;
    let mut located = Located {
        topology: Topology::freeze(Partition::default()),
        clients: Clients::default(),
        views: Vec::new(),
        view_of: HashMap::new(),
        choices: Choices::default(),
    };
    let by_distance = config.pools.iter().any(|pool| pool.method == Method::Nearest);
    let by_latency = config.pools.iter().any(|pool| matches!(pool.method, Method::Latency { .. }));
    let regions = topology.region_partition();
    if by_latency {
        make_views(config, &regions, &mut located);
    }
    let views: Vec<Partition> =
        located.views.iter().map(|view| Partition::of_prefixes(view.by_prefix.iter().copied())).collect();
    let own: Vec<ClientClass> = (0..topology.regions.len() as u16)
        .map(|region| ClientClass {
            region: Some(RegionId(region)),
            location: topology.coordinates.get(&region).map(|at| (*at, LocatedBy::Region)),
            orders: vec![None; views.len()].into(),
        })
        .collect();
    if !by_distance && located.views.iter().all(|view| view.by_prefix.is_empty()) {
        located.clients = Clients::new(own, Vec::new(), 0.0, 0);
        located.topology = Topology::freeze(regions);
        return located;
    }
    drop(regions);
    let (partition, kinds) = distinguish(topology, by_distance, &views, &own);
    drop(views);
    let Numbered { numbers, classes, step, unnumbered } = number(&own, kinds);
    let error_km = if step > 0.0 { grid_error_km(step) } else { 0.0 };
    located.clients = Clients::new(own, classes, error_km, unnumbered);
    located.topology = Topology::freeze(partition.relabelled(|kind| match kind {
        NONE => NONE,
        kind => numbers[kind as usize],
    }));
    located
}

/// What the tables mean to the pools that have them.
fn make_views(config: &Config, regions: &Partition, located: &mut Located) {
    for (number, pool) in (0..).zip(&config.pools) {
        let Method::Latency { table, hysteresis } = pool.method else { continue };
        let inhabited: BTreeSet<u16> = pool
            .members
            .iter()
            .filter_map(|member| u16::try_from(regions.value_at(member.ip)).ok())
            // Pools among the members may have a region of their own.
            .chain(
                pool.tree
                    .iter()
                    .flat_map(|tree| &tree.nodes)
                    .flat_map(|node| &node.items)
                    .filter_map(|item| item.region),
            )
            .collect();
        let former: Option<&Chosen> = config.choices.0.get(&pool.name).map(|chosen| &**chosen);
        let table = &config.latencies[table as usize];
        let (view, chosen) = view(table, hysteresis, &inhabited, former, &config.topology.regions);
        let at = located.views.iter().position(|known| *known == view).unwrap_or_else(|| {
            located.views.push(view);
            located.views.len() - 1
        });
        located.view_of.insert(number, at);
        located.choices.0.insert(pool.name.clone(), Arc::new(chosen));
    }
}

/// Cuts all addresses into those of which the same is known; the values are indices of what that is.
fn distinguish(
    topology: &model::Topology,
    by_distance: bool,
    views: &[Partition],
    own: &[ClientClass],
) -> (Partition, Vec<ClientClass>) {
    let of_prefixes = topology.prefixes.iter().map(|(net, region)| (*net, u32::from(*region)));
    let of_prefixes = Partition::of_prefixes(of_prefixes);
    let nothing = Partition::default();
    let databases = topology.located.as_ref().map_or(&nothing, |located| &located.partition);
    let layers: Vec<&Partition> = [&of_prefixes, databases].into_iter().chain(views).collect();
    let mut kinds: Vec<ClientClass> = Vec::new();
    let mut numbers: HashMap<ClientClass, u32> = HashMap::new();
    let mut by_values: HashMap<Box<[u32]>, u32> = HashMap::new();
    let partition = Partition::merged(&layers, |values| {
        if let Some(number) = by_values.get(values) {
            return *number;
        }
        let record = topology.located.as_ref().and_then(|located| located.record(values[1]));
        let of_prefix = u16::try_from(values[0]).ok();
        let region = of_prefix.or(record.and_then(|record| record.region));
        let of_region = |region: Option<u16>| own[usize::from(region?)].location;
        let of_database = record.and_then(|record| record.coordinates).map(|at| (at, LocatedBy::Database));
        // Who gives a prefix by hand knows better than a database.
        let location = of_region(of_prefix).or(of_database).or_else(|| of_region(region));
        let kind = ClientClass {
            region: region.map(RegionId),
            location: location.filter(|_| by_distance),
            orders: values[2..].iter().map(|order| (*order != NONE).then_some(*order)).collect(),
        };
        let says_nothing =
            kind.region.is_none() && kind.location.is_none() && kind.orders.iter().all(Option::is_none);
        let number = match says_nothing {
            true => NONE,
            false => *numbers.entry(kind).or_insert_with_key(|kind| {
                kinds.push(kind.clone());
                kinds.len() as u32 - 1
            }),
        };
        by_values.insert(values.into(), number);
        number
    });
    (partition, kinds)
}

/// Kinds of clients with numbers.
struct Numbered {
    /// By index of a kind its number.
    numbers: Vec<u32>,
    classes: Vec<ClientClass>,
    /// Width of the grid's cells in degrees; 0: there is none.
    step: f64,
    unnumbered: usize,
}

/// Numbers kinds of clients behind the regions.
fn number(own: &[ClientClass], kinds: Vec<ClientClass>) -> Numbered {
    let on_grid = |kind: &ClientClass, step: f64| match kind.location {
        Some((at, LocatedBy::Database)) if step > 0.0 => {
            ClientClass { location: Some((at.on_grid(step), LocatedBy::Database)), ..kind.clone() }
        }
        _ => kind.clone(),
    };
    let room = MAX_CLASSES - own.len();
    let mut step = 0.0;
    let fits = |step| kinds.iter().map(|kind| on_grid(kind, step)).collect::<HashSet<_>>().len() <= room;
    while kinds.len() > room && step < COARSEST_STEP && !fits(step) {
        step = if step == 0.0 { FINEST_STEP } else { step * 2.0 };
    }
    let mut known: HashMap<ClientClass, u32> = HashMap::new();
    for kind in own {
        // What is known of a region alone is the region; where distances do not count, without its coordinates.
        for location in [kind.location, None] {
            known.insert(
                ClientClass { location, ..kind.clone() },
                kind.region.map_or(NONE, |region| region.0.into()),
            );
        }
    }
    let mut numbered = Numbered { numbers: Vec::new(), classes: Vec::new(), step, unnumbered: 0 };
    for kind in &kinds {
        let kind = on_grid(kind, step);
        let number = match known.get(&kind) {
            Some(number) => *number,
            None if numbered.classes.len() < room => {
                let number = (own.len() + numbered.classes.len()) as u32;
                known.insert(kind.clone(), number);
                numbered.classes.push(kind);
                number
            }
            None => {
                numbered.unnumbered += 1;
                kind.region.map_or(NONE, |region| region.0.into())
            }
        };
        numbered.numbers.push(number);
    }
    numbered
}
