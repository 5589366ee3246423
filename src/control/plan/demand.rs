//! What clients ask of which pool: kept by the places that pools tell apart, not by client, so that a file of any length fits.
//!
//! Without a file, a region's clients weigh as `config::failures` says, by the configuration before and by the one after, and
//! the larger part counts; they are spread evenly over the region's addresses. Names count alike, and A as AAAA.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use super::clients::Client;
use super::side::{ANY_SLOT, Kind, PlaceId, Side, place_of};
use super::terrain::{Terrain, address, number};
use crate::config::compile::demand::{Populated, number_parts};
use crate::state::hash_slots::{MAX_SLOTS, finest_slot};
use crate::state::pool::Family;
use crate::wire::name::Name;

/// Networks that a client's prefix is taken for at most, where pools tell its networks apart.
const MAX_NETWORKS: u32 = 256;
/// Names whose pools are remembered at most; then the next are looked up anew.
const MAX_REMEMBERED: usize = 1 << 20;

/// A name in wire form, and what is asked for.
type Asked = (Box<[u8]>, Family);

/// A family of a pool, before and after.
pub(super) struct Unit {
    /// The pool's name.
    pub pool: String,
    /// The family.
    pub family: Family,
    /// The pool's index before and after.
    pub pools: [Option<usize>; 2],
    /// How it tells clients apart.
    pub kinds: [Kind; 2],
    /// Names that lead to it, as a part of all names, halved where the pool has both families.
    pub name_parts: [f64; 2],
    /// Weight of what was asked of it by name.
    pub named: [f64; 2],
    shape: usize,
    own: Classes,
}

/// Clients that are in one place before and in one after.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Class {
    /// Their places.
    pub places: [PlaceId; 2],
    /// How much they are.
    pub weight: f64,
    /// One of them.
    pub example: Option<IpNet>,
}

#[derive(Default)]
struct Classes(HashMap<[PlaceId; 2], (f64, Option<IpNet>)>);

impl Classes {
    fn add(&mut self, places: [PlaceId; 2], weight: f64, example: Option<IpNet>) {
        let class = self.0.entry(places).or_insert((0.0, example));
        class.0 += weight;
    }
}

/// What is asked of all pools.
pub(super) struct Demand {
    /// The units, by the order of the pools after, then of those only before.
    pub units: Vec<Unit>,
    /// Weight of clients that ask for all names alike.
    pub common_weight: f64,
    /// Weight of all.
    pub total: f64,
    /// Weight of queries for names that lead to no pool with members of the family, before and after.
    pub no_pool: [f64; 2],
    /// Weight of clients outside every region, before and after.
    pub outside: [f64; 2],
    /// Clients whose prefix is of more than one region, before or after: they count as its first address.
    pub spanning: u64,
    shapes: Vec<[Kind; 2]>,
    common: Vec<Classes>,
    remembered: HashMap<Asked, [Option<usize>; 2]>,
    by_pool: [HashMap<(usize, Family), usize>; 2],
}

impl Demand {
    /// Nothing asked yet.
    pub(super) fn new(old: &Side, new: &Side) -> Demand {
        let index = |side: &Side| -> HashMap<String, usize> {
            side.config.pools.iter().map(|pool| pool.name.clone()).zip(0..).collect()
        };
        let (of_old, of_new) = (index(old), index(new));
        let mut order: Vec<[Option<usize>; 2]> = Vec::new();
        for (at, pool) in new.config.pools.iter().enumerate() {
            order.push([of_old.get(&pool.name).copied(), Some(at)]);
        }
        for (at, pool) in old.config.pools.iter().enumerate() {
            if !of_new.contains_key(&pool.name) {
                order.push([Some(at), None]);
            }
        }
        let counts = [old, new].map(|side| {
            let mut counts = vec![0u64; side.config.pools.len()];
            side.config.globalnames.iter().for_each(|global| counts[global.pool as usize] += 1);
            (counts, side.config.globalnames.len().max(1) as f64)
        });
        let mut demand = Demand {
            units: Vec::new(),
            common_weight: 0.0,
            total: 0.0,
            no_pool: [0.0; 2],
            outside: [0.0; 2],
            spanning: 0,
            shapes: Vec::new(),
            common: Vec::new(),
            remembered: HashMap::new(),
            by_pool: Default::default(),
        };
        for pools in order {
            let has = |side: &Side, pool: Option<usize>, family| {
                pool.is_some_and(|pool| side.family(pool, family).has_members)
            };
            let families: Vec<Family> = Family::ALL
                .into_iter()
                .filter(|family| has(old, pools[0], *family) || has(new, pools[1], *family))
                .collect();
            for family in &families {
                let kind = |side: &Side, pool: Option<usize>| {
                    pool.map_or(Kind::All, |pool| side.kind(pool, *family))
                };
                let kinds = [kind(old, pools[0]), kind(new, pools[1])];
                let part = |at: usize| {
                    let (counts, all) = &counts[at];
                    pools[at].map_or(0.0, |pool| counts[pool] as f64 / all / families.len() as f64)
                };
                let shape = demand.shape(kinds);
                for (of, pool) in demand.by_pool.iter_mut().zip(pools) {
                    if let Some(pool) = pool {
                        of.insert((pool, *family), demand.units.len());
                    }
                }
                let pool = match pools {
                    [_, Some(pool)] => &new.pool(pool).name,
                    [Some(pool), None] => &old.pool(pool).name,
                    [None, None] => continue,
                };
                demand.units.push(Unit {
                    pool: pool.clone(),
                    family: *family,
                    pools,
                    kinds,
                    name_parts: [part(0), part(1)],
                    named: [0.0; 2],
                    shape,
                    own: Classes::default(),
                });
            }
        }
        demand
    }

    fn shape(&mut self, kinds: [Kind; 2]) -> usize {
        self.shapes.iter().position(|known| *known == kinds).unwrap_or_else(|| {
            self.shapes.push(kinds);
            self.common.push(Classes::default());
            self.shapes.len() - 1
        })
    }

    /// Everybody asks, as the topologies and the members' weights have it.
    pub(super) fn everybody(&mut self, old: &Side, new: &Side, terrain: &Terrain) {
        (self.common_weight, self.total) = (1.0, 1.0);
        let sides = [old, new];
        let populated =
            sides.map(|side| Populated::new(&side.config.topology, &side.generation.snapshot.clients));
        for (shape, classes) in self.shapes.iter().zip(&mut self.common) {
            match shape {
                [Kind::Hash(a), Kind::Hash(b)] if a == b => {
                    let each = 1.0 / MAX_SLOTS as f64;
                    (0..MAX_SLOTS as u32).for_each(|slot| classes.add([slot; 2], each, None));
                }
                [Kind::Region, _] | [_, Kind::Region] => {}
                kinds => classes.add(kinds.map(any), 1.0, None),
            }
        }
        for unit in self.units.iter_mut().filter(|unit| unit.kinds.contains(&Kind::Region)) {
            let parts: [Option<Vec<f64>>; 2] = std::array::from_fn(|at| {
                let pool = unit.pools[at].filter(|_| unit.kinds[at] == Kind::Region)?;
                let family = sides[at].family(pool, unit.family);
                let members = &family.candidates[..family.fallback_at];
                Some(number_parts(members, &family.preferences, &populated[at]))
            });
            for patch in &terrain.patches {
                let of = |at: usize, place: PlaceId, part: f64| {
                    parts[at].as_ref().map_or(0.0, |parts| parts[place as usize] * part)
                };
                let weight = of(0, patch.old, patch.part_of_old).max(of(1, patch.new, patch.part_of_new));
                let place = |kind, place| if kind == Kind::Region { place } else { any(kind) };
                let places = [place(unit.kinds[0], patch.old), place(unit.kinds[1], patch.new)];
                if weight > 0.0 {
                    unit.own.add(places, weight, Some(patch.example));
                }
            }
        }
    }

    /// A client asks.
    pub(super) fn add(&mut self, client: &Client, old: &mut Side, new: &mut Side) {
        let Client { net, weight, asks } = client;
        self.total += weight;
        let (first, len) = (net.network(), net.prefix_len());
        let matches = [old.lookup(first), new.lookup(first)];
        self.spanning += u64::from(matches.iter().any(|found| found.uniform_len > len));
        for (outside, found) in self.outside.iter_mut().zip(&matches) {
            if found.region.is_none() {
                *outside += weight;
            }
        }
        let regions = matches.map(|found| place_of(found.region));
        let Some((name, family)) = asks else {
            self.common_weight += weight;
            for (shape, classes) in self.shapes.iter().zip(&mut self.common) {
                spread(classes, *shape, regions, *net, *weight);
            }
            return;
        };
        let pools = self.pools_of(name, *family, old, new);
        let mut taken = None;
        for (at, pool) in pools.into_iter().enumerate() {
            let unit = pool.and_then(|pool| self.by_pool[at].get(&(pool, *family)).copied());
            let Some(index) = unit else {
                self.no_pool[at] += weight;
                continue;
            };
            let unit = &mut self.units[index];
            unit.named[at] += weight;
            if taken != Some(index) {
                spread(&mut unit.own, self.shapes[unit.shape], regions, *net, *weight);
                taken = Some(index);
            }
        }
    }

    fn pools_of(
        &mut self,
        name: &Name,
        family: Family,
        old: &mut Side,
        new: &mut Side,
    ) -> [Option<usize>; 2] {
        let key = (Box::from(name.as_wire()), family);
        if let Some(known) = self.remembered.get(&key) {
            return *known;
        }
        let pools = [old.pool_of(name, family), new.pool_of(name, family)];
        if self.remembered.len() < MAX_REMEMBERED {
            self.remembered.insert(key, pools);
        }
        pools
    }

    /// Who asks something of a unit, in sum 1, ascending by places.
    pub(super) fn classes(&self, unit: &Unit) -> Vec<Class> {
        let scale = match unit.name_parts[0].max(unit.name_parts[1]) {
            // No name leads there: who would ask is all there is to tell.
            0.0 => 1.0,
            part => part,
        };
        let mut classes: BTreeMap<[PlaceId; 2], (f64, Option<IpNet>)> = BTreeMap::new();
        let common = self.common[unit.shape].0.iter().map(|(places, class)| (places, class, scale));
        for (places, (weight, example), scale) in
            common.chain(unit.own.0.iter().map(|(places, class)| (places, class, 1.0)))
        {
            let class = classes.entry(*places).or_insert((0.0, *example));
            class.0 += weight * scale;
            class.1 = class.1.or(*example);
        }
        let sum: f64 = classes.values().map(|(weight, _)| weight).sum();
        let sum = sum.max(f64::MIN_POSITIVE);
        let class = |(places, (weight, example))| Class { places, weight: weight / sum, example };
        classes.into_iter().map(class).collect()
    }

    /// The unit's part of all traffic, before and after.
    pub(super) fn parts(&self, unit: &Unit) -> [f64; 2] {
        let total = self.total.max(f64::MIN_POSITIVE);
        std::array::from_fn(|at| (self.common_weight * unit.name_parts[at] + unit.named[at]) / total)
    }
}

/// All places of a kind as one.
fn any(kind: Kind) -> PlaceId {
    match kind {
        Kind::Hash(_) => ANY_SLOT,
        Kind::All | Kind::Region => 0,
    }
}

/// Adds a client, whose prefix counts as its networks where these are told apart, or as some of them evenly apart.
fn spread(classes: &mut Classes, kinds: [Kind; 2], regions: [PlaceId; 2], net: IpNet, weight: f64) {
    let bits = net.max_prefix_len();
    let longest = kinds.iter().filter_map(|kind| match kind {
        Kind::Hash([v4, v6]) => Some(if bits == 32 { *v4 } else { *v6 }),
        Kind::All | Kind::Region => None,
    });
    let more = longest.max().map_or(0, |len| len.saturating_sub(net.prefix_len()));
    let count = 1u32.checked_shl(more.into()).map_or(MAX_NETWORKS, |count| count.min(MAX_NETWORKS));
    let step_bits = bits - net.prefix_len() - count.ilog2() as u8;
    let first = number(net.network());
    for at in 0..count {
        let one: IpAddr = match at {
            0 => net.network(),
            at => address(first + (u128::from(at) << step_bits), bits),
        };
        let place = |side: usize| match kinds[side] {
            Kind::All => 0,
            Kind::Region => regions[side],
            Kind::Hash(lens) => finest_slot(one, lens) as PlaceId,
        };
        let example = if count == 1 { Some(net) } else { IpNet::new(one, bits - step_bits).ok() };
        classes.add([place(0), place(1)], weight / f64::from(count), example);
    }
}
