//! Two sides held against each other: shares of members, pools and regions before and after, by place of the clients.
//!
//! A shift is half the sum of the differences of shares: the part of the traffic that some members lose and others gain. What
//! moves is the mean of the shifts of all places, which is more where clients change places with each other. In a fixed order,
//! whatever the input's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use super::clients::{ClientsError, Told, read_clients};
use super::demand::{Class, Demand, Unit};
use super::known::{FIRST_ADDRESS, Known};
use super::names::compare_names;
use super::packet::OnlyQueries;
use super::side::{ANY_SLOT, Answer, Kind, Side};
use super::terrain::{ChangedBlock, shadowed, survey};
use crate::state::pool::Family;

/// Less is no change but rounding.
pub const EPSILON: f64 = 1e-9;
/// The port of DNS.
const DNS_PORT: u16 = 53;

/// The first ones of a list, and how many there are.
pub type Top<T> = (Vec<T>, usize);

/// Before and after.
pub type Both<T> = [T; 2];

/// What changes.
#[derive(Debug, Default)]
pub struct Comparison {
    /// What is to be known about states.
    pub notes: Vec<String>,
    /// What the file of clients was.
    pub told: Option<Told>,
    /// Families of pools that are there before and after, or on one side alone.
    pub units: Vec<UnitChange>,
    /// Of all traffic together.
    pub whole: Change,
    /// Traffic of regions.
    pub regions: Vec<(String, Both<f64>)>,
    /// Pools only after.
    pub pools_added: Vec<String>,
    /// Pools only before.
    pub pools_removed: Vec<String>,
    /// Names only after.
    pub names_added: Top<String>,
    /// Names only before.
    pub names_removed: Top<String>,
    /// Names of another pool, with both.
    pub names_moved: Top<(String, Both<String>)>,
    /// Prefixes whose clients are of another region.
    pub moved: Top<ChangedBlock>,
    /// Prefixes for which an answer by region holds for more or fewer clients.
    pub rescoped: Top<ChangedBlock>,
    /// Prefixes of the topologies that no client matches.
    pub shadowed: Both<Vec<IpNet>>,
    /// Parts of the told clients that are outside every region, and that ask for what no pool has addresses for.
    pub outside: Both<f64>,
    /// See there.
    pub no_pool: Both<f64>,
    /// Told clients of more than one region, which count as their first address.
    pub spanning: u64,
}

/// How much changes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Change {
    /// What some lose and others gain, 0..=1.
    pub shift: f64,
    /// What is answered otherwise, 0..=1.
    pub moved: f64,
}

/// A family of a pool.
#[derive(Debug)]
pub struct UnitChange {
    /// The pool.
    pub pool: String,
    /// `A` or `AAAA`.
    pub family: &'static str,
    /// Its part of all traffic.
    pub parts: Both<f64>,
    /// `None`: the pool is on one side alone.
    pub change: Option<Change>,
    /// Addresses in order, with shares.
    pub rows: Vec<Row>,
    /// Regions of members, in order; `-` is none.
    pub regions: Vec<(String, Both<f64>)>,
    /// Places whose clients are answered otherwise, the most traffic first.
    pub classes: Top<ClassChange>,
    /// Places where members are not what is answered, likewise.
    pub without_members: Top<ClassChange>,
    /// Whether it is members, a fallback or nothing as before wherever clients are.
    pub is_of_same_kind: bool,
    /// For which clients an answer holds, where that changes.
    pub scopes: Option<Both<String>>,
}

/// An address.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Who it is.
    pub address: IpAddr,
    /// The member's name; of a fallback's address nothing.
    pub name: Option<String>,
    /// Its share before and after.
    pub shares: Both<f64>,
}

/// Clients of one place before and one after.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassChange {
    /// The places.
    pub places: Both<String>,
    /// One of the clients.
    pub example: Option<IpNet>,
    /// Their part of the unit's traffic.
    pub weight: f64,
    /// The shift among them alone.
    pub shift: f64,
    /// What they are answered with.
    pub answers: Both<Answer>,
}

/// Compares; without a file of clients everybody asks. Of long lists the first `top` are kept.
///
/// # Errors
/// [`ClientsError`]
pub fn compare(
    old: &mut Side,
    new: &mut Side,
    clients: Option<&Path>,
    top: usize,
) -> Result<Comparison, ClientsError> {
    let terrain = survey(old, new, top);
    let mut demand = Demand::new(old, new);
    let told = match clients {
        None => {
            demand.everybody(old, new, &terrain);
            None
        }
        Some(path) => {
            let listens = [&*old, &*new].into_iter().flat_map(|side| &side.config.server.listen);
            let ports: Vec<u16> = listens.map(|listen| listen.port()).chain([DNS_PORT]).collect();
            let reads_subnets = old.config.server.ecs || new.config.server.ecs;
            let only = OnlyQueries { ports: &ports, reads_subnets };
            Some(read_clients(path, only, |client| demand.add(&client, old, new))?)
        }
    };
    let mut whole: BTreeMap<Option<IpAddr>, Both<f64>> = BTreeMap::new();
    let mut regions: BTreeMap<String, Both<f64>> = BTreeMap::new();
    let mut moved = 0.0;
    let mut units = Vec::with_capacity(demand.units.len());
    for unit in &demand.units {
        let change = compare_unit(unit, &demand, old, new, top);
        let mut told = [0.0; 2];
        for row in &change.rows {
            let of = whole.entry(Some(row.address)).or_default();
            for at in 0..2 {
                of[at] += row.shares[at] * change.parts[at];
                told[at] += row.shares[at] * change.parts[at];
            }
        }
        for (name, shares) in &change.regions {
            let of = regions.entry(name.clone()).or_default();
            (0..2).for_each(|at| of[at] += shares[at] * change.parts[at]);
        }
        let nobody = whole.entry(None).or_default();
        (0..2).for_each(|at| nobody[at] += change.parts[at] - told[at]);
        // Of a pool on one side alone all is answered otherwise.
        moved += match change.change {
            Some(Change { moved, .. }) => {
                let [before, after] = change.parts;
                moved * before.min(after) + (before - after).abs() / 2.0
            }
            None => (change.parts[0] + change.parts[1]) / 2.0,
        };
        units.push(change);
    }
    let part = |weights: [f64; 2]| weights.map(|weight| weight / demand.total.max(f64::MIN_POSITIVE));
    let names = |side: &Side| -> BTreeSet<String> {
        side.config.pools.iter().map(|pool| pool.name.clone()).collect()
    };
    let (before, after) = (names(old), names(new));
    let mut comparison = Comparison {
        notes: notes(old, new),
        told,
        units,
        whole: Change { shift: distance(whole.values()), moved: moved.min(1.0) },
        regions: regions.into_iter().collect(),
        pools_added: after.difference(&before).cloned().collect(),
        pools_removed: before.difference(&after).cloned().collect(),
        moved: terrain.moved,
        rescoped: terrain.rescoped,
        shadowed: [shadowed(&old.config.topology), shadowed(&new.config.topology)],
        outside: part(demand.outside),
        no_pool: part(demand.no_pool),
        spanning: demand.spanning,
        ..Comparison::default()
    };
    compare_names(old, new, top, &mut comparison);
    Ok(comparison)
}

impl Comparison {
    /// Whether nothing at all is answered otherwise.
    pub fn is_unchanged(&self) -> bool {
        let is_still = |unit: &UnitChange| {
            unit.change.is_some_and(|change| change.moved <= EPSILON)
                && unit.scopes.is_none()
                && unit.is_of_same_kind
        };
        let lists = [&self.moved.1, &self.rescoped.1, &self.names_added.1, &self.names_removed.1];
        self.units.iter().all(is_still)
            && self.whole.shift <= EPSILON
            && lists.into_iter().all(|count| *count == 0)
            && self.names_moved.1 == 0
            && self.pools_added.is_empty()
            && self.pools_removed.is_empty()
    }

    /// What is shifted by more than `most`, 0..=1: the whole, and families of pools.
    pub fn above(&self, most: f64) -> Vec<(String, f64)> {
        let whole = (self.whole.shift > most + EPSILON).then(|| ("all traffic".to_owned(), self.whole.shift));
        let units = self.units.iter().filter_map(|unit| {
            let shift = unit.change?.shift;
            (shift > most + EPSILON).then(|| (format!("pool {} ({})", unit.pool, unit.family), shift))
        });
        units.chain(whole).collect()
    }
}

fn notes(old: &Side, new: &Side) -> Vec<String> {
    let of = |label: &'static str, side: &Side| {
        side.notes.iter().map(|note| format!("{label}: {note}")).collect::<Vec<_>>()
    };
    let mut notes = [of("before", old), of("after", new)].concat();
    let on = [old, new].map(|side| if side.config.server.ecs { "on" } else { "off" });
    if on[0] != on[1] {
        let [before, after] = on;
        notes.push(format!(
            "server.ecs is {before} before and {after} after: clients here are those of subnets, not their resolvers"
        ));
    }
    notes
}

/// Half the sum of the differences.
fn distance<'s>(shares: impl Iterator<Item = &'s Both<f64>>) -> f64 {
    shares.map(|[before, after]| (after - before).abs()).sum::<f64>() / 2.0
}

fn compare_unit(unit: &Unit, demand: &Demand, old: &mut Side, new: &mut Side, top: usize) -> UnitChange {
    let classes = demand.classes(unit);
    let mut book = Known::new(unit);
    let mut totals: Vec<Both<f64>> = vec![[0.0; 2]; FIRST_ADDRESS];
    let mut differences: Vec<f64> = Vec::new();
    let (mut moved, mut changed, mut without) = (0.0, Vec::new(), Vec::new());
    for class in &classes {
        let [before, after] = class.places;
        let keys = [book.learn(0, old, before), book.learn(1, new, after)];
        totals.resize(FIRST_ADDRESS + book.addresses.len(), [0.0; 2]);
        differences.resize(totals.len(), 0.0);
        let mut answers = [Answer::NoPool; 2];
        for at in 0..2 {
            let Some(shares) = book.known[at].get(&keys[at]) else { continue };
            answers[at] = shares.answer;
            for (index, share) in &shares.of {
                totals[*index][at] += share * class.weight;
                differences[*index] += if at == 0 { -share } else { *share };
            }
        }
        let mut shift = 0.0;
        for shares in (0..2).filter_map(|at| book.known[at].get(&keys[at])) {
            for (index, _) in &shares.of {
                shift += std::mem::take(&mut differences[*index]).abs() / 2.0;
            }
        }
        moved += shift * class.weight;
        let is_odd = answers.iter().any(|answer| *answer != Answer::Members);
        if shift > EPSILON || is_odd {
            let row = || ClassChange {
                places: [place_text(unit, 0, old, class), place_text(unit, 1, new, class)],
                example: class.example,
                weight: class.weight,
                shift,
                answers,
            };
            if shift > EPSILON {
                changed.push(row());
            }
            if is_odd {
                without.push(row());
            }
        }
    }
    let mut rows: Vec<Row> = std::iter::zip(&book.addresses, totals.iter().skip(FIRST_ADDRESS))
        .map(|(address, shares)| Row {
            address: *address,
            name: name_of(new, unit.pools[1], *address).or_else(|| name_of(old, unit.pools[0], *address)),
            shares: *shares,
        })
        .collect();
    rows.sort_by_key(|row| row.address);
    let mut regions: BTreeMap<String, Both<f64>> = BTreeMap::new();
    for row in &rows {
        for (at, side) in [&*old, &*new].into_iter().enumerate() {
            if row.shares[at] > 0.0 {
                let region = side.region_of(row.address).unwrap_or("-").to_owned();
                regions.entry(region).or_default()[at] += row.shares[at];
            }
        }
    }
    let is_in_both = unit.pools.iter().all(Option::is_some);
    let scopes = (is_in_both && unit.kinds[0] != unit.kinds[1]).then(|| unit.kinds.map(scope_text));
    UnitChange {
        pool: unit.pool.clone(),
        family: match unit.family {
            Family::V4 => "A",
            Family::V6 => "AAAA",
        },
        parts: demand.parts(unit),
        change: is_in_both.then(|| Change { shift: distance(totals.iter()), moved }),
        rows,
        regions: regions.into_iter().collect(),
        classes: first(changed, top),
        is_of_same_kind: without.iter().all(|class| class.answers[0] == class.answers[1]),
        without_members: first(without, top),
        scopes,
    }
}

/// The classes by traffic that is answered otherwise, then by traffic.
fn first(mut classes: Vec<ClassChange>, top: usize) -> Top<ClassChange> {
    let count = classes.len();
    // Stable: equal ones stay in the order of their places.
    classes.sort_by(|a, b| {
        let by_shift = (b.weight * b.shift).total_cmp(&(a.weight * a.shift));
        by_shift.then(b.weight.total_cmp(&a.weight))
    });
    classes.truncate(top);
    (classes, count)
}

fn place_text(unit: &Unit, at: usize, side: &Side, class: &Class) -> String {
    match (unit.kinds[at], class.places[at]) {
        _ if unit.pools[at].is_none() => "-".to_owned(),
        (Kind::All, _) => "all clients".to_owned(),
        (Kind::Region, place) => side.region_name(place).unwrap_or("outside every region").to_owned(),
        (Kind::Hash(_), ANY_SLOT) => "all networks".to_owned(),
        (Kind::Hash(_), slot) => format!("slot {slot}"),
    }
}

fn scope_text(kind: Kind) -> String {
    match kind {
        Kind::All => "/0".to_owned(),
        Kind::Region => "by region".to_owned(),
        Kind::Hash([v4, v6]) => format!("/{v4} (IPv6: /{v6})"),
    }
}

fn name_of(side: &Side, pool: Option<usize>, address: IpAddr) -> Option<String> {
    let member = side.pool(pool?).members.iter().find(|member| member.ip == address)?;
    Some(member.name.clone())
}
