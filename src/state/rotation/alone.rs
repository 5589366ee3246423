//! Draws of a single address where neither the rotation's position nor nothing at all decides: by chance, by the client's network.
//!
//! For the usual query alone: of members that are UP, from a rotation that is up to date. All else is the longer way's.

use super::{Entry, MAX_RECORD_OCTETS, RotationTable, Source, count_draw, entry_at, write_record};
use crate::state::health_table::HealthTable;
use crate::state::pool::{A_RECORD_OCTETS, AAAA_RECORD_OCTETS, Family, FamilyPool, Method};
use crate::state::ttl::Ttl;

impl RotationTable {
    /// As [`RotationTable::draw_single`], for scopes for which it never draws ([`is_hashed`](super::is_hashed)).
    #[inline(never)]
    pub fn draw_alone(
        &mut self,
        health: &HealthTable,
        family: &FamilyPool,
        scope: usize,
        ttl: Ttl,
        into: &mut [u8; MAX_RECORD_OCTETS],
    ) -> Option<()> {
        let at = family.first_rotation as usize;
        let rotation = self.rotations.get_mut(at)?;
        let is_usual = rotation.take == 1
            && rotation.source == Source::Up
            && Some(rotation.sequence) == health.sequence(family.rules.pool_id as usize);
        if !is_usual {
            return None;
        }
        let ttl_secs = ttl.told(rotation.flip_secs);
        let entry: Entry = if family.rules.method == Method::Random {
            self.chance.roll_leader(rotation);
            *self.entries.get(entry_at(rotation, &self.entries, &self.guide, rotation.position)?)?
        } else {
            self.first_of_slot(at, family, scope)?
        };
        match family.family {
            Family::V4 => write_record::<A_RECORD_OCTETS>(family, entry.candidate, ttl_secs, into),
            Family::V6 => write_record::<AAAA_RECORD_OCTETS>(family, entry.candidate, ttl_secs, into),
        }?;
        count_draw(&self.draws, &entry);
        Some(())
    }
}
