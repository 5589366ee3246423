//! Draws of members in place of their records: where a member is a name, and where addresses go into other data than their own.
//!
//! The same members that a draw of records gives, by the same functions.

use super::{MAX_MEMBERS, RotationTable, Source, count_draw, entry_at, write_others};
use crate::state::health_table::HealthTable;
use crate::state::pool::{FamilyPool, Method};

/// The candidates of a draw, the leader first.
pub type Picks = [u16; MAX_MEMBERS];

/// What was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picked {
    /// How many candidates; 0: there is nothing to draw.
    pub count: usize,
    /// What they were drawn from.
    pub source: Source,
    /// The least time in seconds to a change of state of a member that may be answered; 0: nothing is known of that.
    pub flip_secs: u16,
}

impl RotationTable {
    /// The candidates that the next draw of a family gives in a scope. Only with `moves` it is made; else it still is the next one.
    ///
    /// # Panics
    /// As [`RotationTable::draw`].
    pub fn pick(
        &mut self,
        health: &HealthTable,
        family: &FamilyPool,
        scope: usize,
        moves: bool,
        into: &mut Picks,
    ) -> Picked {
        let at = self.settle(health, family, scope);
        let mut rotation = self.rotations[at];
        let (source, flip_secs) = (rotation.source, rotation.flip_secs);
        let mut count = 0;
        let mut push = |candidate| {
            if let Some(slot) = into.get_mut(count) {
                *slot = candidate;
                count += 1;
            }
            count
        };
        let mut leading = None;
        if rotation.is_hashed {
            let take = usize::from(rotation.take);
            self.for_each_hashed(at, family, scope, |entry| {
                leading.get_or_insert(*entry);
                push(entry.candidate) < take
            });
        } else if source != Source::Empty {
            if family.rules.method == Method::Random {
                match moves {
                    true => self.chance.roll(&mut rotation),
                    false => self.chance.clone().roll(&mut rotation),
                }
            }
            let position = rotation.position;
            if let Some(leader) = entry_at(&rotation, &self.entries, &self.guide, position) {
                leading = self.entries.get(leader).copied();
                push(self.entries[leader].candidate);
                rotation.position = super::advance(position, rotation.step, rotation.total);
                if rotation.take > 1 {
                    let others = |_, candidate| _ = push(candidate);
                    write_others(&mut rotation, &self.entries, &self.guide, leader, position, others);
                }
            }
        }
        if moves {
            self.rotations[at] = rotation;
            if let Some(entry) = leading {
                count_draw(&self.draws, &entry);
            }
        }
        Picked { count, source, flip_secs }
    }
}
