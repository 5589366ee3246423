//! Where clients look for what a pool lists, by the pool's method: an order of regions, or of places, for each kind of clients.
//!
//! Works for anything that has a place, members or others; knows no addresses and no health.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use super::clients::Located;
use super::demand::Populated;
use super::latency::View;
use crate::config::model::{Method, Orders, Topology};
use crate::state::clients::{ClientClass, Clients as Kinds};
use crate::state::coordinates::Coordinates;
use crate::state::preference::{Place, Preference, Preferences};
use crate::state::topology::RegionId;

/// Most orders of a pool by distance or latency: each is a rotation of every worker. Where there are more, they are cut to
/// fewer places, behind which anywhere follows; by their first places alone there are no more than there are members.
const MAX_ORDERS: usize = 1024;
/// Places of an order before anywhere follows.
const MOST_PLACES: [usize; 4] = [8, 4, 2, 1];

/// Something that clients are sent to, as far as its place matters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Item {
    /// The region it is in.
    pub(super) region: Option<RegionId>,
    /// Where it is, if that is known of itself.
    pub(super) coordinates: Option<Coordinates>,
}

/// All that clients are told apart by.
pub(in crate::config) struct Clients<'c> {
    kinds: &'c Kinds,
    views: &'c [View],
    view_of: &'c HashMap<u32, usize>,
    /// Names of regions.
    regions: &'c [String],
    /// Which numbers somebody has.
    populated: Populated,
    /// What has been made: pools often have members in the same places.
    known: RefCell<HashMap<Asked, Preferences>>,
}

/// What preferences follow from, beside the clients.
#[derive(PartialEq, Eq, Hash)]
enum Asked {
    Region(Option<Orders>, Vec<RegionId>),
    Distance(Vec<Place>),
    Latency(usize, Vec<RegionId>),
}

impl<'c> Clients<'c> {
    pub(in crate::config) fn new(located: &'c Located, topology: &'c Topology) -> Clients<'c> {
        let Located { clients, views, view_of, .. } = located;
        let populated = Populated::new(topology, clients);
        let regions = &topology.regions;
        Clients { kinds: clients, views, view_of, regions, populated, known: RefCell::default() }
    }

    /// What follows from this, made once.
    fn once(&self, asked: Asked, make: impl FnOnce() -> Preferences) -> Preferences {
        if let Some(known) = self.known.borrow().get(&asked) {
            return known.clone();
        }
        let made = make();
        self.known.borrow_mut().insert(asked, made.clone());
        made
    }

    /// Which numbers somebody has.
    pub(in crate::config) fn populated(&self) -> &Populated {
        &self.populated
    }

    /// Numbers that clients may have, from 0 on.
    pub(super) fn number_count(&self) -> usize {
        self.kinds.iter().count()
    }

    /// What is known of a region's or a kind's number.
    pub(super) fn region_of(&self, number: RegionId) -> Option<RegionId> {
        self.kinds.region_of(number)
    }
}

/// Orders of places, and where the items are.
#[derive(Debug, Default)]
pub(super) struct Sought {
    /// What clients prefer; empty where all are alike.
    pub(super) preferences: Preferences,
    /// For each item the number of its place, as the preferences have it.
    pub(super) places: Vec<Option<RegionId>>,
}

/// Where clients look for these items of a pool.
pub(super) fn preferences(method: &Method, pool_id: u32, items: &[Item], clients: &Clients<'_>) -> Sought {
    let regions = || items.iter().map(|item| item.region).collect::<Vec<_>>();
    match method {
        Method::Twrr { next } => {
            let places = regions();
            let asked = Asked::Region(next.clone(), inhabited(&places));
            Sought { preferences: clients.once(asked, || by_region(next.as_ref(), &places, clients)), places }
        }
        Method::Nearest => by_distance(items, clients),
        Method::Latency { .. } => {
            let places = regions();
            let view =
                clients.view_of.get(&pool_id).and_then(|view| clients.views.get(*view).zip(Some(*view)));
            let preferences = view.map(|(view, at)| {
                let asked = Asked::Latency(at, inhabited(&places));
                clients.once(asked, || by_latency(view, at, &places, clients))
            });
            Sought { preferences: preferences.unwrap_or_default(), places }
        }
        Method::Wrr | Method::Fogroup { .. } | Method::Random | Method::Hash { .. } => {
            Sought { preferences: Preferences::default(), places: regions() }
        }
    }
}

/// The regions that have anybody.
fn inhabited(places: &[Option<RegionId>]) -> Vec<RegionId> {
    let mut regions: Vec<RegionId> = places.iter().copied().flatten().collect();
    regions.sort_unstable();
    regions.dedup();
    regions
}

/// The client's own region first, and then those that follow it.
fn by_region(orders: Option<&Orders>, places: &[Option<RegionId>], clients: &Clients<'_>) -> Preferences {
    let inhabited: HashSet<RegionId> = places.iter().copied().flatten().collect();
    if orders.is_none() && clients.kinds.class_count() == 0 {
        return Preferences::own_region_first(inhabited);
    }
    let of_client = |(number, class): (RegionId, &ClientClass)| {
        let client = class.region?;
        let order = orders.and_then(|orders| orders.by_region.get(&client.0).or(orders.others.as_ref()));
        let next = order.map_or(&[][..], |order| &order.regions).iter().filter(|region| **region != client.0);
        let regions = std::iter::once(client).chain(next.copied().map(RegionId));
        let regions: Box<[RegionId]> = regions.filter(|region| inhabited.contains(region)).collect();
        let then_anywhere = order.is_none_or(|order| order.then_anywhere);
        // Anywhere is where clients without a preference look.
        (!regions.is_empty() || !then_anywhere).then_some((number, Preference { regions, then_anywhere }))
    };
    Preferences::new(clients.kinds.iter().filter_map(of_client))
}

/// The nearest place first.
fn by_distance(items: &[Item], clients: &Clients<'_>) -> Sought {
    let mut places: Vec<Place> = Vec::new();
    let mut numbers: HashMap<Coordinates, u16> = HashMap::new();
    let mut place_of = |item: &Item| {
        let region = item.region.and_then(|region| clients.kinds.get(region).zip(Some(region)));
        let of_region = || region.and_then(|(class, _)| class.location).map(|(at, _)| at);
        let coordinates = item.coordinates.or_else(of_region)?;
        let number = *numbers.entry(coordinates).or_insert_with(|| {
            let region = item.coordinates.is_none().then_some(region).flatten();
            let name = region.and_then(|(_, region)| clients.regions.get(usize::from(region.0)).cloned());
            let name = name
                .unwrap_or_else(|| format!("{}/{}", coordinates.latitude(), coordinates.longitude()))
                .into();
            places.push(Place { name, coordinates });
            places.len() as u16 - 1
        });
        Some(RegionId(number))
    };
    let of_items: Vec<Option<RegionId>> = items.iter().map(&mut place_of).collect();
    let asked = Asked::Distance(places.clone());
    let preferences = clients.once(asked, || to_nearest(&places, clients));
    Sought { preferences, places: of_items }
}

/// The places in the order of their distances from each kind of clients.
fn to_nearest(places: &[Place], clients: &Clients<'_>) -> Preferences {
    let points: Vec<[f64; 3]> = places.iter().map(|place| place.coordinates.on_unit_globe()).collect();
    let mut orders: HashMap<Coordinates, Vec<RegionId>> = HashMap::new();
    let mut of_clients = Vec::new();
    for (number, class) in clients.kinds.iter() {
        if let Some((at, _)) = class.location.filter(|_| !points.is_empty()) {
            let order = orders.entry(at).or_insert_with(|| nearest(at, &points));
            of_clients.push((number, order.clone()));
        }
    }
    bounded(of_clients).among(places.to_vec())
}

/// The nearest of these points, the first one first; of equally near ones the first listed.
fn nearest(at: Coordinates, points: &[[f64; 3]]) -> Vec<RegionId> {
    let from = at.on_unit_globe();
    let square = |point: &[f64; 3]| from.iter().zip(point).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let mut order: Vec<(f64, u16)> = points.iter().map(square).zip(0..).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    order.into_iter().take(MOST_PLACES[0]).map(|(_, place)| RegionId(place)).collect()
}

/// The region of the lowest latency first.
fn by_latency(view: &View, at: usize, places: &[Option<RegionId>], clients: &Clients<'_>) -> Preferences {
    let inhabited: HashSet<RegionId> = places.iter().copied().flatten().collect();
    let of_client = |(number, class): (RegionId, &ClientClass)| {
        let of_prefix = class.orders.get(at).copied().flatten();
        let order = of_prefix.or_else(|| view.by_region.get(&class.region?.0).copied())?;
        let regions = view.orders[order as usize].iter().copied().map(RegionId);
        let regions: Vec<RegionId> = regions.filter(|region| inhabited.contains(region)).collect();
        (!regions.is_empty()).then_some((number, regions))
    };
    bounded(clients.kinds.iter().filter_map(of_client).collect())
}

/// As many places of these orders as there is room for, and then anywhere.
fn bounded(orders: Vec<(RegionId, Vec<RegionId>)>) -> Preferences {
    let cut = |order: &[RegionId], most: usize| order[..order.len().min(most)].to_vec();
    let fits = |most: &usize| {
        let distinct: HashSet<Vec<RegionId>> = orders.iter().map(|(_, order)| cut(order, *most)).collect();
        distinct.len() <= MAX_ORDERS
    };
    let most = MOST_PLACES.into_iter().find(fits).unwrap_or(1);
    Preferences::new(orders.iter().map(|(number, order)| {
        let regions = cut(order, most).into();
        (*number, Preference { regions, then_anywhere: true })
    }))
}
