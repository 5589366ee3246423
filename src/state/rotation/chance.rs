//! Draws by chance: where the next leader is sought is no step from the last one but drawn.
//!
//! Good enough to share load, and nothing to keep a secret with: who sees enough answers can tell the next.

use super::{Rotation, RotationTable};
use crate::state::pool::{FamilyPool, Method};

/// A generator of numbers: xorshift64* (Vigna 2016), seeded with what the worker was given.
#[derive(Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u32) -> Chance {
        // Never 0, which would stay 0.
        Chance(u64::from(seed) << 32 | 0x9E37_79B9)
    }

    /// A number below `end`, or 0; each as likely but for one part in 2^32 / `end`.
    fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        ((high * u64::from(end)) >> 32) as u32
    }

    /// Moves a rotation anywhere, as far as the leader goes.
    #[inline]
    pub(super) fn roll_leader(&mut self, rotation: &mut Rotation) {
        rotation.position = self.below(rotation.total);
    }

    /// Moves a rotation anywhere.
    #[inline]
    pub(super) fn roll(&mut self, rotation: &mut Rotation) {
        self.roll_leader(rotation);
        if rotation.take == 1 {
            return;
        }
        let rest_total = rotation.total - rotation.certain_total;
        rotation.rest_position = self.below(rest_total);
    }
}

impl RotationTable {
    /// Moves a rotation to where chance has it, if that is the pool's method.
    #[inline]
    pub(super) fn roll(&mut self, at: usize, family: &FamilyPool) {
        if family.rules.method != Method::Random {
            return;
        }
        self.chance.roll(&mut self.rotations[at]);
    }
}
