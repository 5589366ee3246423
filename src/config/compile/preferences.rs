//! Where clients look for what a pool lists, by the pool's method: an order of regions for clients of each region.
//!
//! Works for anything that has a place, members or others; knows no addresses and no health.

use std::collections::HashSet;

use crate::config::model::{Method, Orders};
use crate::state::preference::{Preference, Preferences};
use crate::state::topology::RegionId;

/// Something that clients are sent to, as far as its place matters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Item {
    /// The region it is in.
    pub(super) region: Option<RegionId>,
}

/// All that clients are told apart by.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Clients {
    /// Number of regions; clients in none are alike.
    pub(in crate::config) region_count: usize,
}

/// Orders of places, and where the items are.
#[derive(Debug, Default)]
pub(super) struct Sought {
    /// What clients prefer; empty where all are alike.
    pub(super) preferences: Preferences,
    /// For each item the number of its place, as the preferences have it.
    pub(super) places: Vec<Option<RegionId>>,
}

/// Where clients look for these items.
pub(super) fn preferences(method: &Method, items: &[Item], clients: &Clients) -> Sought {
    let places: Vec<Option<RegionId>> = items.iter().map(|item| item.region).collect();
    let preferences = match method {
        Method::Twrr { next } => by_region(next.as_ref(), &places, clients),
        Method::Wrr | Method::Fogroup { .. } | Method::Random | Method::Hash { .. } => Preferences::default(),
    };
    Sought { preferences, places }
}

/// The client's own region first, and then those that follow it.
fn by_region(orders: Option<&Orders>, places: &[Option<RegionId>], clients: &Clients) -> Preferences {
    let own = places.iter().copied().flatten();
    let Some(orders) = orders else { return Preferences::own_region_first(own) };
    let inhabited: HashSet<RegionId> = own.collect();
    let of_client = |client: u16| {
        let order = orders.by_region.get(&client).or(orders.others.as_ref());
        let next = order.map_or(&[][..], |order| &order.regions).iter().filter(|region| **region != client);
        let regions = std::iter::once(client).chain(next.copied()).map(RegionId);
        let regions: Box<[RegionId]> = regions.filter(|region| inhabited.contains(region)).collect();
        let then_anywhere = order.is_none_or(|order| order.then_anywhere);
        // Anywhere is where clients without a preference look.
        (!regions.is_empty() || !then_anywhere)
            .then_some((RegionId(client), Preference { regions, then_anywhere }))
    };
    Preferences::new((0..clients.region_count as u16).filter_map(of_client))
}
