//! What a table of latencies means to one pool: for each of its clients the regions of the pool's members, the best first.
//!
//! The region that was the first before stays so until another one is better by more than the hysteresis. Cannot fail; knows no
//! addresses of members.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ipnet::IpNet;

use crate::config::model::{Hysteresis, LatencyTable};
use crate::state::clients::Chosen;

/// Orders of regions by client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Each once.
    pub(super) orders: Vec<Box<[u16]>>,
    /// Index of the order of the clients of a region.
    pub(super) by_region: BTreeMap<u16, u32>,
    /// Index of the order of the clients in a prefix.
    pub(super) by_prefix: Vec<(IpNet, u32)>,
}

/// Of a pool whose members are in these regions; `names` are those of all regions.
pub(super) fn view(
    table: &LatencyTable,
    hysteresis: Hysteresis,
    inhabited: &BTreeSet<u16>,
    former: Option<&Chosen>,
    names: &[String],
) -> (View, Chosen) {
    let numbers: HashMap<&str, u16> = names.iter().map(String::as_str).zip(0..).collect();
    let formers: Vec<Option<u16>> = former.map_or_else(Vec::new, |former| {
        former.regions.iter().map(|name| numbers.get(&**name).copied()).collect()
    });
    let former_number = |index: Option<&u16>| formers.get(usize::from(*index?)).copied().flatten();
    let mut view = View::default();
    let mut chosen = Chosen::default();
    let mut known: HashMap<Box<[u16]>, u32> = HashMap::new();
    let mut chosen_numbers: HashMap<u16, u16> = HashMap::new();
    let mut take = |row: u32, former: Option<u16>| -> Option<(u32, u16)> {
        let order = order(&table.rows[row as usize], hysteresis, inhabited, former)?;
        let first = order[0];
        let number = *known.entry(order).or_insert_with_key(|order| {
            view.orders.push(order.clone());
            view.orders.len() as u32 - 1
        });
        let choice = *chosen_numbers.entry(first).or_insert_with(|| {
            chosen.regions.push(names[usize::from(first)].as_str().into());
            chosen.regions.len() as u16 - 1
        });
        Some((number, choice))
    };
    for (region, row) in &table.by_region {
        let name = names[usize::from(*region)].as_str();
        let before = former.and_then(|former| former_number(former.by_region.get(name)));
        if let Some((order, choice)) = take(*row, before) {
            view.by_region.insert(*region, order);
            chosen.by_region.insert(name.into(), choice);
        }
    }
    for (prefix, row) in &table.by_prefix {
        let before = former.and_then(|former| former_number(former.by_prefix.get(prefix)));
        if let Some((order, choice)) = take(*row, before) {
            view.by_prefix.push((*prefix, order));
            chosen.by_prefix.insert(*prefix, choice);
        }
    }
    (view, chosen)
}

/// The regions of a row that have members; `None` where there are none.
fn order(
    row: &[(u16, u32)],
    hysteresis: Hysteresis,
    inhabited: &BTreeSet<u16>,
    former: Option<u16>,
) -> Option<Box<[u16]>> {
    let mut found: Vec<(u16, u32)> =
        row.iter().filter(|(region, _)| inhabited.contains(region)).copied().collect();
    let (_, best) = *found.first()?;
    let at = found.iter().position(|(region, _)| Some(*region) == former).unwrap_or(0);
    let before = found[at].1;
    let margin = match hysteresis {
        Hysteresis::Micros(micros) => u64::from(micros),
        Hysteresis::Percent(percent) => u64::from(before) * u64::from(percent) / 100,
    };
    if u64::from(before - best) <= margin {
        found[..=at].rotate_right(1);
    }
    Some(found.into_iter().map(|(region, _)| region).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXED: Hysteresis = Hysteresis::Micros(10_000);

    fn ordered(row: &[(u16, u32)], hysteresis: Hysteresis, former: Option<u16>) -> Vec<u16> {
        let mut row: Vec<(u16, u32)> = row.iter().map(|(region, ms)| (*region, ms * 1000)).collect();
        row.sort_by_key(|(region, micros)| (*micros, *region));
        order(&row, hysteresis, &BTreeSet::from([1, 2, 3]), former).map_or_else(Vec::new, Vec::from)
    }

    #[test]
    fn the_lowest_is_the_first_and_regions_without_members_are_left_out() {
        assert_eq!(ordered(&[(3, 30), (1, 10), (9, 1), (2, 20)], FIXED, None), [1, 2, 3]);
        assert!(ordered(&[(9, 1)], FIXED, None).is_empty());
        assert_eq!(
            ordered(&[(2, 10), (1, 10)], FIXED, None),
            [1, 2],
            "equal ones in the order of the topology"
        );
    }

    #[test]
    fn the_former_first_stays_until_another_is_better_by_more() {
        assert_eq!(ordered(&[(1, 10), (2, 15), (3, 20)], FIXED, Some(3)), [3, 1, 2]);
        assert_eq!(ordered(&[(1, 9), (2, 15), (3, 20)], FIXED, Some(3)), [1, 2, 3]);
        let share = Hysteresis::Percent(20);
        assert_eq!(ordered(&[(1, 80), (2, 100)], share, Some(2)), [2, 1]);
        assert_eq!(ordered(&[(1, 79), (2, 100)], share, Some(2)), [1, 2]);
        assert_eq!(ordered(&[(1, 79), (2, 100)], share, Some(9)), [1, 2], "who has no members any more");
        assert_eq!(ordered(&[(1, 10), (2, 10)], Hysteresis::Micros(0), Some(2)), [2, 1]);
    }

    #[test]
    fn choices_are_found_again_by_name_whatever_the_numbers() {
        let names = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let prefix: IpNet = "10.0.0.0/8".parse().unwrap();
        let table = |rows: Vec<Vec<(u16, u32)>>| LatencyTable {
            rows,
            by_region: BTreeMap::from([(0, 0)]),
            by_prefix: vec![(prefix, 1)],
            ..LatencyTable::default()
        };
        let before = table(vec![vec![(1, 10_000), (2, 15_000)], vec![(2, 5_000), (1, 6_000)]]);
        let (view, chosen) = super::view(&before, FIXED, &BTreeSet::from([1, 2]), None, &names("a b c"));
        assert_eq!(view.orders, [Box::from([1, 2]), Box::from([2, 1])]);
        assert_eq!((view.by_region[&0], view.by_prefix[0].1), (0, 1));
        // The same regions under other numbers, and the other one a little better.
        let after = table(vec![vec![(1, 10_000), (2, 15_000)], vec![(1, 5_000), (2, 6_000)]]);
        let (view, _) = super::view(&after, FIXED, &BTreeSet::from([1, 2]), Some(&chosen), &names("a c b"));
        assert_eq!(view.orders, [Box::from([2, 1]), Box::from([1, 2])]);
        assert_eq!((view.by_region[&0], view.by_prefix[0].1), (0, 1));
    }
}
