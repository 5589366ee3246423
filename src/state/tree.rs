//! Pools of pools: a tree whose leaves are the members of one pool, so that a draw costs what a pool of addresses costs.
//!
//! A node is a pool, its items are members or further nodes. Whoever rebuilds a rotation asks the tree for the share of each
//! member: first it looks from the leaves up which nodes have anybody, then it lets the load flow from the root down, at each node
//! to the items that the node's method chooses. Pools that several others refer to are one node, so the work is linear in the
//! items. Reads no address, knows no rotation, and allocates nothing once made.

use std::ops::Range;

use super::health_table::{State, WHOLE_PERMILLE, Word};
use super::preference::{Preference, Preferences};
use super::rotation::MAX_MEMBERS;
use super::topology::RegionId;

/// Most nodes of a tree: as many pools, the tree's own among them.
pub const MAX_NODES: usize = 256;
/// Most pools below one another, the tree's own not counted.
pub const MAX_DEPTH: usize = 8;
/// Most ways in which clients' regions matter to all nodes together.
pub const MAX_SCOPES: usize = 4096;
/// Most items of all nodes together.
pub const MAX_ITEMS: usize = 4096;

/// When a pool counts as up for who refers to it: both must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpRule {
    /// Items that are up and weigh something, 1 at least.
    pub min_up: u16,
    /// Hundredths of the items' weight that is up. 0..=100.
    pub weight_percent: u8,
}

/// What an item of a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The member of this index.
    Member(u16),
    /// The node of this index, behind that whose item it is.
    Node(u16),
}

/// An item of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is.
    pub part: Part,
    /// Its share at its node, as configured.
    pub weight: u32,
    /// Its region, by which nodes with preferences choose.
    pub region: Option<RegionId>,
}

/// A pool of the tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its items in listed order, within [`Tree::new`]'s.
    pub items: Range<usize>,
    /// Most of its items that are answered from, the first ones; [`u16::MAX`]: all.
    pub first_up: u16,
    /// When it counts as up.
    pub up_rule: UpRule,
    /// Where it looks, by the client's region.
    pub preferences: Preferences,
}

/// A tree of pools, the same for both families.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Whoever refers to a node stands before it; the first is the pool itself.
    nodes: Box<[Node]>,
    items: Box<[Item]>,
    /// By scope of the whole tree the scopes of the nodes' preferences, a row each.
    scopes: Box<[u16]>,
}

/// How far the members' states are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The state that counts.
    pub state: State,
    /// Whether nodes that do not count as up are passed over.
    pub is_strict: bool,
}

/// What a node has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NodeState {
    /// Whether it counts as up.
    pub counts: bool,
    /// Whether load can flow to it.
    pub is_open: bool,
    /// Its part of the whole load, 0..=1.
    pub flow: f64,
}

/// Room for one evaluation.
pub struct Scratch {
    nodes: Box<[NodeState]>,
    /// By item its weight, where load may flow to it.
    weights: Box<[f64]>,
    /// By member.
    flows: Box<[f64]>,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch {
            nodes: vec![NodeState::default(); MAX_NODES].into(),
            weights: vec![0.0; MAX_ITEMS].into(),
            flows: vec![0.0; MAX_MEMBERS].into(),
        }
    }
}

impl Scratch {
    /// A member's part of the whole load, as of the last [`Tree::flow`].
    pub fn flow_of(&self, member: u16) -> f64 {
        self.flows.get(usize::from(member)).copied().unwrap_or(0.0)
    }

    /// What the nodes have come to.
    pub fn nodes(&self) -> &[NodeState] {
        &self.nodes
    }
}

impl Tree {
    /// A tree of these nodes, which clients of so many numbers may ask for. Returned with it are the scopes of those clients whose
    /// region matters, from 1 on.
    ///
    /// # Panics
    /// When a node is referred to by itself or by one behind it, or there are no nodes, or more of them or of items than there may
    /// be.
    pub fn new(nodes: Vec<Node>, items: Vec<Item>, number_count: usize) -> (Tree, Vec<(RegionId, u16)>) {
        assert!((1..=MAX_NODES).contains(&nodes.len()), "a tree has 1 to {MAX_NODES} nodes");
        assert!(items.len() <= MAX_ITEMS, "a tree has at most {MAX_ITEMS} items");
        for (at, node) in nodes.iter().enumerate() {
            for item in &items[node.items.clone()] {
                assert!(
                    !matches!(item.part, Part::Node(below) if usize::from(below) <= at),
                    "nodes are in order"
                );
            }
        }
        let mut scopes = vec![0; nodes.len()];
        let mut by_region = Vec::new();
        if nodes.iter().any(|node| !node.preferences.is_empty()) {
            let mut known = std::collections::HashMap::new();
            known.insert(scopes.clone(), 0);
            for region in (0..number_count).map(|region| RegionId(region as u16)) {
                // Each scope is a rotation of every worker: where there are more, the rest is as without a region.
                if known.len() > MAX_SCOPES {
                    break;
                }
                let row: Vec<u16> =
                    nodes.iter().map(|node| node.preferences.scope_of(region) as u16).collect();
                let next = known.len() as u16;
                let scope = *known.entry(row).or_insert_with_key(|row| {
                    scopes.extend(row);
                    next
                });
                if scope > 0 {
                    by_region.push((region, scope));
                }
            }
        }
        (Tree { nodes: nodes.into(), items: items.into(), scopes: scopes.into() }, by_region)
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never: the pool itself is a node.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Number of scopes, that of clients without a region among them.
    pub fn scope_count(&self) -> usize {
        self.scopes.len() / self.nodes.len()
    }

    /// Where a node looks for whom.
    ///
    /// # Panics
    /// When there is no such node.
    pub fn preferences(&self, node: usize) -> &Preferences {
        &self.nodes[node].preferences
    }

    /// Where a node looks for clients of a scope; `None`: at all of its items.
    pub fn preference(&self, scope: usize, node: usize) -> Option<&Preference> {
        let of_node = *self.scopes.get(scope * self.nodes.len() + node)?;
        self.nodes[node].preferences.distinct().get(usize::from(of_node).checked_sub(1)?)
    }

    /// Whether the pool itself counts as up.
    pub fn counts(&self, words: &[Word], scratch: &mut Scratch) -> bool {
        self.count(words, scratch);
        scratch.nodes[0].counts
    }

    /// Lets the load of a scope's clients flow to the members in reach, and tells whether there is any; `is_there`: the members
    /// that count, those of a family.
    pub fn flow(
        &self,
        scope: usize,
        words: &[Word],
        reach: Reach,
        is_there: impl Fn(u16) -> bool,
        scratch: &mut Scratch,
    ) -> bool {
        if reach.is_strict {
            self.count(words, scratch);
        }
        let Scratch { nodes, weights, flows } = scratch;
        flows.fill(0.0);
        for at in (0..self.nodes.len()).rev() {
            for index in self.nodes[at].items.clone() {
                let item = &self.items[index];
                weights[index] = match item.part {
                    // In thousandths, as members'.
                    Part::Node(node) if nodes[usize::from(node)].is_open => {
                        f64::from(item.weight) * f64::from(WHOLE_PERMILLE)
                    }
                    Part::Member(member) if is_there(member) => {
                        drawable_weight(item, words, member, reach.state)
                    }
                    Part::Node(_) | Part::Member(_) => 0.0,
                };
            }
            self.keep_chosen(at, scope, weights);
            let is_any = weights[self.nodes[at].items.clone()].iter().any(|weight| *weight > 0.0);
            // What the pool itself counts as is said to whoever refers to it, and changes no answer of its own.
            let is_passed = reach.is_strict && at > 0 && !nodes[at].counts;
            nodes[at].is_open = is_any && !is_passed;
            nodes[at].flow = 0.0;
        }
        if !nodes[0].is_open {
            return false;
        }
        nodes[0].flow = 1.0;
        for at in 0..self.nodes.len() {
            let flow = nodes[at].flow;
            let range = self.nodes[at].items.clone();
            let total: f64 = weights[range.clone()].iter().sum();
            if flow == 0.0 || total == 0.0 {
                continue;
            }
            for (item, weight) in self.items[range.clone()].iter().zip(&weights[range]) {
                let part = flow * weight / total;
                match item.part {
                    Part::Node(node) => nodes[usize::from(node)].flow += part,
                    Part::Member(member) => flows[usize::from(member)] += part,
                }
            }
        }
        true
    }

    /// Leaves those items of a node their weight that its method chooses of all that have one.
    fn keep_chosen(&self, at: usize, scope: usize, weights: &mut [f64]) {
        let node = &self.nodes[at];
        let (items, weights) = (&self.items[node.items.clone()], &mut weights[node.items.clone()]);
        if let Some(preference) = self.preference(scope, at) {
            let is_open = |region: &&RegionId| {
                items
                    .iter()
                    .zip(&*weights)
                    .any(|(item, weight)| *weight > 0.0 && item.region == Some(**region))
            };
            let region = preference.regions.iter().find(is_open);
            if region.is_some() || !preference.then_anywhere {
                for (item, weight) in items.iter().zip(&mut *weights) {
                    if region.is_none() || item.region.as_ref() != region {
                        *weight = 0.0;
                    }
                }
            }
        }
        weights
            .iter_mut()
            .filter(|weight| **weight > 0.0)
            .skip(usize::from(node.first_up))
            .for_each(|w| *w = 0.0);
    }

    /// Judges of every node whether it counts as up.
    fn count(&self, words: &[Word], scratch: &mut Scratch) {
        for at in (0..self.nodes.len()).rev() {
            let node = &self.nodes[at];
            let (mut up_count, mut up_weight, mut weight) = (0u32, 0u64, 0u64);
            for item in &self.items[node.items.clone()] {
                let (base, is_up) = match item.part {
                    Part::Node(node) => (item.weight, scratch.nodes[usize::from(node)].counts),
                    Part::Member(member) => {
                        let word = words.get(usize::from(member)).copied().unwrap_or_default();
                        let is_up = word.state() == State::Up && word.permille() > 0;
                        (word.base_weight(item.weight), is_up)
                    }
                };
                weight += u64::from(base);
                if base > 0 && is_up {
                    up_count += 1;
                    up_weight += u64::from(base);
                }
            }
            let UpRule { min_up, weight_percent } = node.up_rule;
            scratch.nodes[at].counts =
                up_count >= u32::from(min_up.max(1)) && up_weight * 100 >= weight * u64::from(weight_percent);
        }
    }
}

/// The weight of a member that is in the state; else 0.
fn drawable_weight(item: &Item, words: &[Word], member: u16, state: State) -> f64 {
    let word = words.get(usize::from(member)).copied().unwrap_or_default();
    if word.state() == state { word.effective_weight(item.weight) as f64 } else { 0.0 }
}
