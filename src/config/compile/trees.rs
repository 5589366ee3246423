//! Trees of pools: which region each item is in, where each pool looks for whom, and for which clients that comes to the same.
//!
//! Cannot fail; knows no addresses but those of members, by which they are in a region.

use std::sync::Arc;

use super::pools::region_of;
use super::preferences::{Clients, Item as Place, preferences};
use crate::config::model;
use crate::config::model::Part;
use crate::state::preference::{Preference, Preferences};
use crate::state::topology::{RegionId, Topology};
use crate::state::tree::{Item, Node, Tree, UpRule};

/// A tree, and where its clients look: a scope for all that look the same way at every pool of it.
pub(super) struct CompiledTree {
    pub(super) tree: Arc<Tree>,
    pub(super) preferences: Preferences,
    /// By member the place of the first item of the pool itself that it is or is below of.
    pub(super) places: Vec<Option<RegionId>>,
}

/// Compiles a tree over a pool's members.
pub(super) fn compile_tree(
    model: &model::Tree,
    members: &[model::Member],
    topology: &Topology,
    clients: &Clients<'_>,
) -> CompiledTree {
    let region_of: Vec<Option<RegionId>> =
        members.iter().map(|member| region_of(topology, clients, member)).collect();
    let mut only = vec![None; model.nodes.len()];
    for at in (0..model.nodes.len()).rev() {
        only[at] = only_region(&model.nodes[at], &region_of, &only);
    }
    let mut items = Vec::new();
    let mut nodes = Vec::with_capacity(model.nodes.len());
    for node in &model.nodes {
        let region = |item: &model::Item| match item.part {
            Part::Member(member) => region_of[usize::from(member)],
            Part::Node(below) => item.region.map(RegionId).or(only[usize::from(below)]),
        };
        let coordinates = |item: &model::Item| match item.part {
            Part::Member(member) => members[usize::from(member)].coordinates,
            Part::Node(_) => None,
        };
        let place = |item| Place { region: region(item), coordinates: coordinates(item) };
        let places: Vec<Place> = node.items.iter().map(place).collect();
        let sought = preferences(&node.method, node.pool, &places, clients);
        let first = items.len();
        let placed = node.items.iter().zip(sought.places);
        items.extend(placed.map(|(item, region)| Item { part: item.part, weight: item.weight, region }));
        let first_up = match node.method {
            model::Method::Fogroup { first } => first,
            _ => u16::MAX,
        };
        let model::UpWhen { min_up, weight_percent } = node.up_when;
        let up_rule = UpRule { min_up, weight_percent };
        nodes.push(Node { items: first..items.len(), first_up, up_rule, preferences: sought.preferences });
    }
    let place_of = places_of(model, &items, members.len());
    let (tree, by_region) = Tree::new(nodes, items, clients.number_count());
    // What the pool itself looks at says most of a scope; what follows after nobody is there is the tree's own matter.
    let of_scope = |scope| {
        let regions = tree.preference(scope, 0).map(|preference| preference.regions.clone());
        Preference { regions: regions.unwrap_or_default(), then_anywhere: false }
    };
    let distinct = (1..tree.scope_count()).map(of_scope).collect();
    let places = tree.preferences(0).places().to_vec();
    CompiledTree {
        preferences: Preferences::of_scopes(distinct, by_region).among(places),
        tree: Arc::new(tree),
        places: place_of,
    }
}

/// By member the place of the item of the first node under which it hangs.
fn places_of(model: &model::Tree, items: &[Item], member_count: usize) -> Vec<Option<RegionId>> {
    let mut of_members = vec![None; member_count];
    let mut of_nodes: Vec<Option<Option<RegionId>>> = vec![None; model.nodes.len()];
    for (at, node) in model.nodes.iter().enumerate() {
        for (number, item) in node.items.iter().enumerate() {
            // The first node's items are the first ones.
            let place = if at == 0 { items[number].region } else { of_nodes[at].flatten() };
            match item.part {
                Part::Member(member) => of_members[usize::from(member)] = place,
                Part::Node(below) => _ = of_nodes[usize::from(below)].get_or_insert(place),
            }
        }
    }
    of_members
}

/// The one region that all members below a node are in.
fn only_region(
    node: &model::Node,
    region_of: &[Option<RegionId>],
    only: &[Option<RegionId>],
) -> Option<RegionId> {
    let mut regions = node.items.iter().map(|item| match item.part {
        Part::Member(member) => region_of[usize::from(member)],
        Part::Node(below) => item.region.map(RegionId).or(only[usize::from(below)]),
    });
    let first = regions.next()??;
    regions.all(|region| region == Some(first)).then_some(first)
}
