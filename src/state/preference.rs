//! Where members are sought for a client: in which regions, in which order.
//!
//! Made with the pool, whatever the method: of the client's own region, of a list, of distances or of latencies. Knows no
//! addresses and no health.

use std::collections::HashMap;
use std::sync::Arc;

use super::coordinates::Coordinates;
use super::topology::RegionId;

/// Regions of this number and above are searched for, unless most of them have a preference; those below have a table, so that
/// a pool has at most 128 octets of it.
const TABLED_REGIONS: u16 = 64;

/// An order of regions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Preference {
    /// Regions of members, the first choice first.
    pub regions: Box<[RegionId]>,
    /// Whether members anywhere follow before the fallback does.
    pub then_anywhere: bool,
}

/// Where members are, where that is not their region: numbered in place of regions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// What people call it.
    pub name: Box<str>,
    /// Where it is.
    pub coordinates: Coordinates,
}

/// The preferences of a pool's clients, by their region. Copies share their parts.
#[derive(Clone, Debug, Default)]
pub struct Preferences {
    /// Each once: scope 1 + index.
    distinct: Arc<[Preference]>,
    /// Regions of clients, ascending, with their scopes; those that the table lacks.
    by_region: Arc<[(RegionId, u16)]>,
    /// The scope of each region up to the last, or to [`TABLED_REGIONS`].
    table: Arc<[u16]>,
    /// What the numbers in `distinct` stand for; empty: regions.
    places: Arc<[Place]>,
}

impl Preferences {
    /// Of these regions of clients; of a region given twice the first holds.
    pub fn new(of: impl IntoIterator<Item = (RegionId, Preference)>) -> Preferences {
        let mut distinct: Vec<Preference> = Vec::new();
        let mut scopes: HashMap<Preference, u16> = HashMap::new();
        let mut by_region: Vec<(RegionId, u16)> = Vec::new();
        for (region, preference) in of {
            let scope = *scopes.entry(preference).or_insert_with_key(|preference| {
                distinct.push(preference.clone());
                distinct.len() as u16
            });
            by_region.push((region, scope));
        }
        by_region.sort_by_key(|(region, _)| *region);
        by_region.dedup_by_key(|(region, _)| *region);
        Preferences::of_scopes(distinct, by_region)
    }

    /// Of these preferences, that at index i of scope i + 1, and the scopes of regions of clients, ascending.
    pub fn of_scopes(distinct: Vec<Preference>, mut by_region: Vec<(RegionId, u16)>) -> Preferences {
        let last = by_region.last().map_or(0, |(last, _)| usize::from(last.0) + 1);
        // Where most have one, the table is no larger than what is searched.
        let is_dense = by_region.len() * 2 >= last;
        let behind = if is_dense { last } else { last.min(usize::from(TABLED_REGIONS)) };
        let mut table = vec![0; behind];
        for (region, scope) in &by_region {
            if let Some(entry) = table.get_mut(usize::from(region.0)) {
                *entry = *scope;
            }
        }
        by_region.retain(|(region, _)| usize::from(region.0) >= behind);
        Preferences {
            table: table.into(),
            distinct: distinct.into(),
            by_region: by_region.into(),
            places: Arc::default(),
        }
    }

    /// The same with numbers that stand for places instead of regions.
    pub fn among(self, places: Vec<Place>) -> Preferences {
        Preferences { places: places.into(), ..self }
    }

    /// What the numbers in preferences stand for; empty: regions.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Clients of each of these regions look there and then anywhere.
    pub fn own_region_first(regions: impl IntoIterator<Item = RegionId>) -> Preferences {
        let mut regions: Vec<RegionId> = regions.into_iter().collect();
        regions.sort_unstable();
        regions.dedup();
        let own = |region: RegionId| Preference { regions: [region].into(), then_anywhere: true };
        Preferences::new(regions.into_iter().map(|region| (region, own(region))))
    }

    /// The preferences, each once; that at index i is of scope i + 1.
    pub fn distinct(&self) -> &[Preference] {
        &self.distinct
    }

    /// True without any: then all clients are alike.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.distinct.is_empty()
    }

    /// The scope of clients of a region; 0, which is that of all members, where it has no preference.
    #[inline(always)]
    pub fn scope_of(&self, region: RegionId) -> usize {
        match self.table.get(usize::from(region.0)) {
            Some(scope) => usize::from(*scope),
            None => search(&self.by_region, region),
        }
    }
}

#[inline(never)]
fn search(by_region: &[(RegionId, u16)], region: RegionId) -> usize {
    let found = by_region.binary_search_by_key(&region, |(region, _)| *region);
    found.map_or(0, |at| usize::from(by_region[at].1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_with_the_same_order_share_a_scope_and_others_have_none() {
        let order = |regions: &[u16]| Preference {
            regions: regions.iter().map(|region| RegionId(*region)).collect(),
            then_anywhere: false,
        };
        let preferences = Preferences::new([
            (RegionId(900), order(&[1, 2])),
            (RegionId(3), order(&[2])),
            (RegionId(5), order(&[1, 2])),
            (RegionId(5), order(&[2])),
        ]);
        assert_eq!(preferences.distinct().len(), 2);
        let scopes = [0, 3, 4, 5, 63, 64, 899, 900, 901].map(|region| preferences.scope_of(RegionId(region)));
        assert_eq!(scopes, [0, 2, 0, 1, 0, 0, 0, 1, 0]);
        assert!(Preferences::default().is_empty());
        assert_eq!(Preferences::default().scope_of(RegionId(0)), 0);
    }

    #[test]
    fn own_regions_are_numbered_in_order() {
        let preferences = Preferences::own_region_first([7, 2, 7, 70].map(RegionId));
        let scopes = [2, 7, 70, 71].map(|region| preferences.scope_of(RegionId(region)));
        assert_eq!((preferences.distinct().len(), scopes), (3, [1, 2, 3, 0]));
    }

    #[test]
    fn where_most_have_a_preference_nobody_is_searched_for() {
        let preferences = Preferences::own_region_first((0..5000).map(RegionId));
        assert_eq!((preferences.table.len(), preferences.by_region.len()), (5000, 0));
        let scopes = [0, 4999, 5000].map(|region| preferences.scope_of(RegionId(region)));
        assert_eq!(scopes, [1, 5000, 0]);
    }
}
