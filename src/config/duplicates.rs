//! Equal items in long lists: a million names or prefixes, in the memory of one number and one hash each.
//!
//! Exact whatever the hashes: items whose hashes agree are compared. Never holds a copy of an item.

use std::hash::{BuildHasher, RandomState};

/// For each item that equals an earlier one: (its index, the index of the first such item), in order of the first number.
///
/// At most `u32::MAX` items are looked at; a file within its size limit cannot hold more.
pub(super) fn repeated<T: std::hash::Hash + Eq>(
    items: impl Iterator<Item = T> + Clone,
) -> Vec<(usize, usize)> {
    let hasher = RandomState::new();
    let mut hashes: Vec<(u64, u32)> =
        items.clone().zip(0u32..).map(|(item, index)| (hasher.hash_one(&item), index)).collect();
    hashes.sort_unstable();
    let runs: Vec<&[(u64, u32)]> = hashes.chunk_by(|a, b| a.0 == b.0).filter(|run| run.len() > 1).collect();
    if runs.is_empty() {
        return Vec::new();
    }
    let items: Vec<T> = items.collect();
    let mut pairs = Vec::new();
    for run in runs {
        let mut firsts: Vec<usize> = Vec::new();
        for index in run.iter().map(|(_, index)| *index as usize) {
            match firsts.iter().find(|first| items[**first] == items[index]) {
                Some(first) => pairs.push((index, *first)),
                None => firsts.push(index),
            }
        }
    }
    pairs.sort_unstable();
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn repeated_items_agree_with_a_simple_search(items in prop::collection::vec(0u8..20, 0..60)) {
            let expected: Vec<(usize, usize)> = (0..items.len())
                .filter_map(|i| items[..i].iter().position(|x| *x == items[i]).map(|first| (i, first)))
                .collect();
            prop_assert_eq!(repeated(items.iter()), expected);
        }
    }
}
