//! Pools that are members of other pools: what is read of them, and how a tree becomes one list of members.
//!
//! Pools are known by name until all are read. Judges what spans pools: loops, depth, numbers. Draws nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::cause::{Cause, Found, Known};
use super::decode::{Decoder, Field, Placed, Read, Seen};
use super::model::{Item, Method, Node, Part, Pool, Tree};
use super::pools::{MAX_NAME_CHARS, ReadPool};
use super::report::{FileId, Findings};
use super::scalars::text_chars;
use super::suggest::closest;
use crate::state::rotation::MAX_MEMBERS;
use crate::state::tree::{MAX_DEPTH, MAX_ITEMS, MAX_NODES};

/// One reason a pool cannot be a member.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NestedCause {
    /// A pool of this name does not exist.
    #[error("the pool {name} is a member and not defined in `pools`")]
    Undefined { name: Found, closest: Option<Found>, known: Known },
    /// A pool that is in itself.
    #[error("the pool {first} is a member of itself: {path}")]
    Loop { first: Found, path: String },
    /// Pools too far below one another.
    #[error("more than {MAX_DEPTH} pools lie below one another")]
    TooDeep,
    /// Too much of something in a tree.
    #[error("with the members of its pools it has {count} {what}, beyond {limit}")]
    TooMany { what: &'static str, count: usize, limit: usize },
    /// A pool that chooses by clients' networks above or below others.
    #[error("the pool {name} chooses by `hash`, which is for pools of addresses that are no members")]
    Hash { name: Found },
    /// A pool of names below others.
    #[error(
        "the pool {name} has members that are names, which a pool among the members of another cannot have"
    )]
    Named { name: Found },
    /// A key that an address may have and a pool not, or the other way round.
    #[error("`{key}` is for members that are {of}")]
    KeyOf { key: &'static str, of: &'static str },
    /// The same pool twice.
    #[error("the pool {name} is given twice")]
    Twice { name: Found, first_line: u32 },
}

impl NestedCause {
    /// What would be accepted.
    pub fn help(&self) -> Option<String> {
        match self {
            NestedCause::Undefined { closest: Some(closest), .. } => Some(format!("did you mean {closest}?")),
            NestedCause::Undefined { known, .. } => Some(format!("defined are {known}")),
            NestedCause::Twice { first_line, .. } => Some(format!("first given on line {first_line}")),
            NestedCause::Hash { .. } => {
                Some("accepted are `wrr`, `twrr`, `fogroup` and the others above addresses".into())
            }
            _ => None,
        }
    }
}

impl From<NestedCause> for Cause {
    fn from(cause: NestedCause) -> Cause {
        Cause::Nested(cause)
    }
}

/// A pool among the members of another.
#[derive(Clone, Debug)]
pub(super) struct ReadNested {
    /// Its name.
    pub(super) pool: Placed<String>,
    /// Its share.
    pub(super) weight: u32,
    /// Whether it counts at all.
    pub(super) enabled: bool,
    /// The region it is chosen by.
    pub(super) region: Option<Placed<String>>,
    /// How many addresses are listed before it.
    pub(super) behind: usize,
}

/// What is read of a member of a list before it is known to be a pool.
#[derive(Debug, Default)]
pub(super) struct NestedKeys {
    pool: Option<Placed<String>>,
    region: Option<Placed<String>>,
}

impl NestedKeys {
    /// Reads `pool` or `region`; false for another key.
    pub(super) fn read<'t>(
        &mut self,
        d: &mut Decoder<'t, '_>,
        key: &str,
        field: &mut Option<Field<'t>>,
    ) -> Read<bool> {
        let into = match key {
            "pool" => &mut self.pool,
            "region" => &mut self.region,
            _ => return Ok(false),
        };
        if let Some(field) = field.take() {
            *into = d.value(field, |scalar| text_chars(&scalar.text, MAX_NAME_CHARS))?;
        }
        Ok(true)
    }

    /// The pool, if it is one: with what was read as of any member, and the places of its keys.
    pub(super) fn finish<const KEYS: usize>(
        self,
        d: &mut Decoder<'_, '_>,
        weight: u32,
        enabled: bool,
        seen: &Seen<KEYS>,
    ) -> Option<ReadNested> {
        let (others, of): (&[&str], _) = match seen.place("pool") {
            Some(_) => {
                (&["ip", "name", "monitor_ip", "hostname", "cname", "capacity", "coordinates"], "addresses")
            }
            None => (&["region"], "pools"),
        };
        for key in others {
            if let Some(span) = seen.place(key) {
                d.error(span, NestedCause::KeyOf { key, of }.into());
            }
        }
        Some(ReadNested { pool: self.pool?, weight, enabled, region: self.region, behind: 0 })
    }
}

/// Gives pools with other pools for members the members of these, and their trees. Pools that others refer to are marked in
/// `used`.
pub(super) fn nest(
    pools: &mut [ReadPool],
    regions: &HashMap<&str, u16>,
    used: &mut [bool],
    findings: &mut Findings,
) {
    if pools.iter().all(|pool| pool.nested.is_empty()) {
        return;
    }
    let Some(below) = find_all(pools, used, findings) else { return };
    if !check_loops(pools, &below, findings) {
        return;
    }
    let mut trees = Vec::new();
    for (at, pool) in pools.iter().enumerate().filter(|(_, pool)| !pool.nested.is_empty()) {
        match tree_of(at, pools, &below, regions, findings) {
            Ok(tree) => trees.extend(tree.map(|tree| (at, tree))),
            Err(cause) => findings.error(FileId(0), pool.at, cause.into()),
        }
    }
    let own: Vec<Option<Pool>> = pools.iter().map(|read| read.pool.clone()).collect();
    for (at, tree) in trees {
        let Some(pool) = &mut pools[at].pool else { continue };
        for node in &tree.nodes[1..] {
            let Some(of) = &own[node.pool as usize] else { continue };
            pool.members.extend(of.members.iter().cloned().map(|mut member| {
                member.name = format!("{}/{}", of.name, member.name);
                member
            }));
        }
        pool.tree = Some(Arc::new(tree));
    }
}

/// By pool the pools among its members. `None`: one does not exist.
fn find_all(pools: &[ReadPool], used: &mut [bool], findings: &mut Findings) -> Option<Vec<Vec<usize>>> {
    let names: Vec<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
    let indices: HashMap<&str, usize> = names.iter().copied().zip(0..).collect();
    let mut all_there = true;
    let mut below = Vec::with_capacity(pools.len());
    for pool in pools {
        let mut here = Vec::new();
        for ReadNested { pool: Placed { value: name, span }, .. } in &pool.nested {
            match indices.get(name.as_str()) {
                Some(at) => {
                    used[*at] = true;
                    here.push(*at);
                }
                None => {
                    all_there = false;
                    let cause = NestedCause::Undefined {
                        name: Found::new(name),
                        closest: closest(name, names.iter().copied()).map(Found::new),
                        known: Known::new(names.iter().copied()),
                    };
                    findings.error(FileId(0), *span, cause.into());
                }
            }
        }
        below.push(here);
    }
    if !all_there {
        used.fill(true);
    }
    all_there.then_some(below)
}

/// Reports pools that are in themselves, and what lies too deep; false if there is any.
fn check_loops(pools: &[ReadPool], below: &[Vec<usize>], findings: &mut Findings) -> bool {
    /// How far a pool has been looked at: not at all, on the way down to the present one, or wholly with its depth.
    #[derive(Clone, Copy)]
    enum Seen {
        Not,
        Above,
        Depth(usize),
    }
    let mut seen = vec![Seen::Not; pools.len()];
    let mut fine = true;
    for root in 0..pools.len() {
        if !matches!(seen[root], Seen::Not) {
            continue;
        }
        // Pools on the way down, each with the place of the next one to look at.
        let mut way: Vec<(usize, usize)> = vec![(root, 0)];
        seen[root] = Seen::Above;
        while let Some((at, next)) = way.last_mut() {
            let at = *at;
            let Some(&child) = below[at].get(*next) else {
                let deepest = below[at].iter().map(|child| match seen[*child] {
                    Seen::Depth(depth) => depth + 1,
                    Seen::Not | Seen::Above => 0,
                });
                let depth = deepest.max().unwrap_or(0);
                if depth == MAX_DEPTH + 1 {
                    fine = false;
                    findings.error(FileId(0), pools[at].at, NestedCause::TooDeep.into());
                }
                seen[at] = Seen::Depth(depth);
                way.pop();
                continue;
            };
            let place = pools[at].nested[*next].pool.span;
            *next += 1;
            match seen[child] {
                Seen::Not => {
                    seen[child] = Seen::Above;
                    way.push((child, 0));
                }
                Seen::Above => {
                    fine = false;
                    let from = way.iter().position(|(pool, _)| *pool == child).unwrap_or(0);
                    let names = way[from..].iter().map(|(pool, _)| *pool).chain([child]);
                    let path: Vec<&str> = names.map(|pool| pools[pool].name.as_str()).collect();
                    let path = Found::new(&path.join(" > ")).to_string();
                    let cause = NestedCause::Loop { first: Found::new(&pools[child].name), path };
                    findings.error(FileId(0), place, cause.into());
                }
                Seen::Depth(_) => {}
            }
        }
    }
    fine
}

/// The tree of a pool; `None`: one of its pools has errors of its own.
fn tree_of(
    root: usize,
    pools: &[ReadPool],
    below: &[Vec<usize>],
    regions: &HashMap<&str, u16>,
    findings: &mut Findings,
) -> Result<Option<Tree>, NestedCause> {
    let order = in_order(root, pools, below);
    if order.len() > MAX_NODES {
        return Err(NestedCause::TooMany { what: "pools", count: order.len(), limit: MAX_NODES });
    }
    let node_of: HashMap<usize, u16> = order.iter().copied().zip(0..).collect();
    let mut tree = Tree { origins: Vec::new(), nodes: Vec::new() };
    let mut item_count = 0;
    for &at in &order {
        let ReadPool { pool: Some(pool), nested, .. } = &pools[at] else { return Ok(None) };
        if matches!(pool.method, Method::Hash { .. }) {
            return Err(NestedCause::Hash { name: Found::new(&pool.name) });
        }
        if at != root && pool.members.iter().any(|member| member.cname.is_some()) {
            return Err(NestedCause::Named { name: Found::new(&pool.name) });
        }
        let first = tree.origins.len();
        let mut items = Vec::new();
        let mut nested = nested.iter().zip(&below[at]).peekable();
        for index in 0..=pool.members.len() {
            while let Some((one, child)) = nested.next_if(|(one, _)| one.behind <= index) {
                let region = one.region.as_ref().and_then(|named| find_region(named, regions, findings));
                if one.enabled && one.weight > 0 {
                    items.push(Item { part: Part::Node(node_of[child]), weight: one.weight, region });
                }
            }
            // The place behind the last one is for pools alone.
            let Some(member) = pool.members.get(index) else { continue };
            if member.enabled && member.weight > 0 && first + index < MAX_MEMBERS {
                let part = Part::Member((first + index) as u16);
                items.push(Item { part, weight: member.weight, region: None });
            }
        }
        tree.origins.extend(std::iter::repeat_n(at as u32, pool.members.len()));
        item_count += items.len();
        let (method, up_when) = (pool.method.clone(), pool.up_when);
        tree.nodes.push(Node { pool: at as u32, method, up_when, items });
    }
    for (what, count, limit) in
        [("members", tree.origins.len(), MAX_MEMBERS), ("members and pools", item_count, MAX_ITEMS)]
    {
        if count > limit {
            return Err(NestedCause::TooMany { what, count, limit });
        }
    }
    Ok(Some(tree))
}

/// The pools below one that count at all, whoever refers to another before it. There is no loop.
fn in_order(root: usize, pools: &[ReadPool], below: &[Vec<usize>]) -> Vec<usize> {
    let counting = |at: usize| {
        let counts = |nested: &ReadNested| nested.enabled && nested.weight > 0;
        // From the last one on, so that turned round they stand as listed.
        pools[at]
            .nested
            .iter()
            .zip(&below[at])
            .rev()
            .filter(move |(one, _)| counts(one))
            .map(|(_, child)| *child)
    };
    let mut order = Vec::new();
    let mut seen = HashSet::from([root]);
    let mut way = vec![(root, 0)];
    while let Some((at, next)) = way.last_mut() {
        match counting(*at).nth(*next) {
            Some(child) => {
                *next += 1;
                if seen.insert(child) {
                    way.push((child, 0));
                }
            }
            None => {
                order.push(*at);
                way.pop();
            }
        }
    }
    order.reverse();
    order
}

fn find_region(named: &Placed<String>, regions: &HashMap<&str, u16>, findings: &mut Findings) -> Option<u16> {
    let found = regions.get(named.value.as_str()).copied();
    if found.is_none() {
        let closest = closest(&named.value, regions.keys().copied()).map(Found::new);
        let cause = Cause::UnknownRegion { name: Found::new(&named.value), closest };
        findings.error(FileId(0), named.span, cause);
    }
    found
}
