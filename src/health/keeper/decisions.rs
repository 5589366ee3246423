//! What operators have decided, as of members: found once for each decision and plan, so that another decision costs one more look
//! at every member, and the end of one none.

use std::collections::HashMap;

use super::{Keeper, now_secs};
use crate::health::overrides::{Effect, InPool};
use crate::health::plan::Place;

/// Members that decisions concern, by the decisions' numbers, which are never given twice.
///
/// # Bounds
/// Those of the decisions in force: `MAX_OVERRIDES` times the members, eight octets each.
#[derive(Default)]
pub(super) struct Concerned(HashMap<u64, Box<[Place]>>);

impl Concerned {
    /// Forgets all: members are others now.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Keeper {
    /// Derives what the overrides come to; returns how many members each concerns.
    pub(super) fn apply_overrides(&mut self) -> Vec<usize> {
        let now_secs = u64::from(now_secs());
        let ends_secs = self.overrides.next_end_secs(now_secs);
        // What ends is looked at by the wall clock, so by that it must have ended.
        let ends_ms =
            ends_secs.map(|secs| self.clock.now_ms().saturating_add((secs - now_secs).saturating_mul(1000)));
        self.override_ends_ms = ends_ms;
        let list = &self.overrides.list;
        let pools = &self.roster.sheet.pools;
        let known = &mut self.concerned.0;
        known.retain(|id, _| list.iter().any(|one| one.id == *id));
        for one in list.iter() {
            known.entry(one.id).or_insert_with(|| {
                // Of the pools that list members of others.
                let mut there: HashMap<&str, InPool<'_>> = HashMap::new();
                let mut places = Vec::new();
                for (index, pool) in pools.iter().enumerate() {
                    let wanted = one.target.in_pool(&pool.name);
                    for (number, member) in pool.members.iter().enumerate() {
                        let region = member.region.as_deref();
                        let is_meant = wanted.selects(&member.name, member.address, region)
                            || member.listed_as().is_some_and(|(pool, name)| {
                                let wanted = there.entry(pool).or_insert_with(|| one.target.in_pool(pool));
                                wanted.selects(name, member.address, region)
                            });
                        if is_meant {
                            places.push(Place { pool: index as u32, member: number as u32 });
                        }
                    }
                }
                places.into()
            });
        }
        self.effects.clear();
        if !list.is_empty() {
            self.effects.extend(pools.iter().map(|pool| vec![Effect::default(); pool.members.len()]));
        }
        for one in list.iter().filter(|one| one.holds(now_secs)) {
            for place in &known[&one.id] {
                self.effects[place.pool as usize][place.member as usize].take(one);
            }
        }
        list.iter().map(|one| known[&one.id].len()).collect()
    }
}
