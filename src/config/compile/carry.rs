//! What a worker takes along from one generation to the next: where it stands in rotations, what it counted of members.
//!
//! Finds what is the same by name; decides nothing else.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::config::model::Config;
use crate::state::pool::{Family, FamilyPool};
use crate::state::preference::Preference;
use crate::state::rotation::Carry;
use crate::state::snapshot::Snapshot;
use crate::state::topology::RegionId;

/// What of the rotations and counters lives on: the same pool's same family and region, the same member's address.
pub fn carry(old: &Snapshot, old_config: &Config, new: &Snapshot, new_config: &Config) -> Carry {
    let mut carry = Carry::default();
    let old_ids: HashMap<&str, usize> =
        old_config.pools.iter().enumerate().map(|(id, pool)| (pool.name.as_str(), id)).collect();
    for (new_id, model) in new_config.pools.iter().enumerate() {
        let Some(&old_id) = old_ids.get(model.name.as_str()) else { continue };
        let (old_pool, new_pool) = (&old.pools[old_id], &new.pools[new_id]);
        for family in Family::ALL {
            let (from, to) = (old_pool.family(family), new_pool.family(family));
            carry.rotations.push((from.first_rotation, to.first_rotation));
            let places: HashMap<(Vec<&str>, bool), u32> =
                from.preferences.distinct().iter().map(|of| key(old_config, from, of)).zip(1..).collect();
            for (preference, scope) in to.preferences.distinct().iter().zip(1..) {
                if let Some(before) = places.get(&key(new_config, to, preference)) {
                    carry.rotations.push((from.first_rotation + before, to.first_rotation + scope));
                }
            }
        }
        // Of an address that several pools of a tree have, the first one is counted.
        let old_members: HashMap<IpAddr, usize> =
            old_config.pools[old_id].members.iter().enumerate().rev().map(|(i, m)| (m.ip, i)).collect();
        for (at, member) in model.members.iter().enumerate() {
            if let Some(&before) = old_members.get(&member.ip) {
                carry.members.push((
                    old_pool.rules.first_member + before as u32,
                    new_pool.rules.first_member + at as u32,
                ));
            }
        }
    }
    carry
}

/// What tells a preference from others in any configuration: the names of its regions or places.
fn key<'c>(config: &'c Config, family: &'c FamilyPool, preference: &Preference) -> (Vec<&'c str>, bool) {
    let name = |number: &RegionId| match family.preferences.places() {
        [] => config.topology.regions[usize::from(number.0)].as_str(),
        places => &*places[usize::from(number.0)].name,
    };
    (preference.regions.iter().map(name).collect(), preference.then_anywhere)
}
