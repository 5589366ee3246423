//! Names of two configurations held against each other: which are only in one, and which have another pool.

use std::collections::HashMap;

use super::compare::{Comparison, Top};
use super::side::Side;

/// Notes what becomes of names; of each list the first `top` are kept.
pub(super) fn compare_names(old: &Side, new: &Side, top: usize, into: &mut Comparison) {
    let pool_name = |side: &Side, pool: u32| side.pool(pool as usize).name.clone();
    let mut before: HashMap<&[u8], u32> =
        old.config.globalnames.iter().map(|global| (global.name.as_wire(), global.pool)).collect();
    for global in new.config.globalnames.iter() {
        match before.remove(global.name.as_wire()) {
            None => push(&mut into.names_added, top, || global.name.to_string()),
            Some(pool) if old.pool(pool as usize).name != new.pool(global.pool as usize).name => {
                let pools = [pool_name(old, pool), pool_name(new, global.pool)];
                push(&mut into.names_moved, top, || (global.name.to_string(), pools));
            }
            Some(_) => {}
        }
    }
    // In the order of the file.
    for global in old.config.globalnames.iter().filter(|global| before.contains_key(global.name.as_wire())) {
        push(&mut into.names_removed, top, || global.name.to_string());
    }
}

fn push<T>(list: &mut Top<T>, top: usize, item: impl FnOnce() -> T) {
    if list.0.len() < top {
        list.0.push(item());
    }
    list.1 += 1;
}
