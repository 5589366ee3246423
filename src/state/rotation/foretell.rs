//! What the next draw will give, and out of what: for who explains answers. Moves nothing on, and allocates.
//!
//! It reads the same rotation by the same functions as the draw itself does, on copies of what that would move.

use super::arrange::choose_leaves;
use super::{Entry, RotationTable, Source, entry_at, write_others};
use crate::state::health_table::{HealthTable, Word};
use crate::state::pool::{FamilyPool, Method};
use crate::state::tree::NodeState;

/// The next draw.
#[derive(Clone, Debug, PartialEq)]
pub struct Foretold {
    /// The scope that is drawn from: 0 is that of all members.
    pub scope: usize,
    /// What the members are drawn from.
    pub source: Source,
    /// Candidates that can be drawn, each with its part of the cycle; where clients' networks decide, with its share of its own
    /// slots, of 65,536.
    pub shares: Vec<(u16, u32)>,
    /// Sum of the parts: the length of the cycle.
    pub total: u32,
    /// Where in the cycle the leader is sought.
    pub position: u32,
    /// Whether clients' networks decide.
    pub is_hashed: bool,
    /// Candidates of the answer, the leader first.
    pub answer: Vec<u16>,
    /// The least time in seconds to a change of state of a member that may be answered; 0: nothing is known of that.
    pub flip_secs: u16,
    /// What the pools of a tree have come to, where the pool is one.
    pub nodes: Vec<NodeState>,
}

impl RotationTable {
    /// How the clients of a scope are shared out: writes each candidate with the part of the answers that it leads, in sum 1, or
    /// nothing where nobody can be drawn. Tells what they are drawn from. Brings the rotation up to date.
    ///
    /// # Panics
    /// As [`RotationTable::draw`].
    pub fn shares(
        &mut self,
        health: &HealthTable,
        family: &FamilyPool,
        scope: usize,
        into: &mut Vec<(u16, f64)>,
    ) -> Source {
        into.clear();
        let at = self.settle(health, family, scope);
        let rotation = &self.rotations[at];
        let source = rotation.source;
        if source == Source::Empty {
            return source;
        }
        if rotation.is_hashed {
            self.for_each_hashed(at, family, scope, |entry| {
                into.push((entry.candidate, 1.0));
                false
            });
            return source;
        }
        let mut end = 0;
        for entry in &self.entries[rotation.entries_at as usize..] {
            into.push((entry.candidate, f64::from(entry.end - end) / f64::from(rotation.total)));
            end = entry.end;
            if end >= rotation.total {
                break;
            }
        }
        source
    }

    /// What [`RotationTable::draw`] will give next, if there is room for it; `is_alone`: what [`RotationTable::draw_one`] will.
    /// Brings the rotation up to date, as these do.
    ///
    /// # Panics
    /// As [`RotationTable::draw`].
    pub fn foretell(
        &mut self,
        health: &HealthTable,
        family: &FamilyPool,
        scope: usize,
        is_alone: bool,
    ) -> Foretold {
        let at = self.settle(health, family, scope);
        let mut rotation = self.rotations[at];
        let first = rotation.entries_at as usize;
        let most = if is_alone { 1 } else { usize::from(rotation.take) };
        let mut answer = Vec::new();
        let mut shares = Vec::new();
        if rotation.is_hashed {
            let members = &self.entries[first..first + family.fallback_at];
            let drawable = members.iter().filter(|entry| entry.end > 0);
            shares.extend(drawable.map(|entry| (entry.candidate, entry.end)));
            self.for_each_hashed(at, family, scope, |entry| {
                answer.push(entry.candidate);
                answer.len() < most
            });
        } else if rotation.source != Source::Empty {
            let mut chance = self.chance.clone();
            if family.rules.method == Method::Random {
                chance.roll(&mut rotation);
            }
            let mut end = 0;
            for entry in &self.entries[first..] {
                shares.push((entry.candidate, entry.end - end));
                end = entry.end;
                if end >= rotation.total {
                    break;
                }
            }
            let position = rotation.position;
            if let Some(leader) = entry_at(&rotation, &self.entries, &self.guide, position) {
                answer.push(self.entries[leader].candidate);
                if most > 1 {
                    let others = |_, candidate| answer.push(candidate);
                    write_others(&mut rotation, &self.entries, &self.guide, leader, position, others);
                }
                rotation.position = position;
            }
        }
        let nodes = self.foretell_nodes(health, family, scope);
        Foretold {
            scope: at - family.first_rotation as usize,
            source: rotation.source,
            shares,
            total: rotation.total,
            position: rotation.position,
            is_hashed: rotation.is_hashed,
            answer,
            flip_secs: rotation.flip_secs,
            nodes,
        }
    }

    /// What the nodes of the family's tree come to for a scope's clients; nothing without a tree.
    fn foretell_nodes(&mut self, health: &HealthTable, family: &FamilyPool, scope: usize) -> Vec<NodeState> {
        let Some(leaves) = &family.tree else { return Vec::new() };
        let pool_id = family.rules.pool_id as usize;
        let mut words = vec![Word::default(); usize::from(family.rules.member_count)];
        if health.read(pool_id, &mut words).is_none() {
            health.read_each(pool_id, &mut words);
        }
        let mut entries = vec![Entry::default(); family.fallback_at];
        choose_leaves(&words, family, leaves, scope, &mut entries, &mut self.desk);
        self.desk.tree.nodes()[..leaves.tree.len()].to_vec()
    }
}
