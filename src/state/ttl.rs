//! The TTL of a pool's answers: fixed, or as long as no state can change.
//!
//! In the 32 bits that a fixed one needs, so that the usual answer, of a fixed one, pays one comparison that it had to make anyway.

use std::fmt;

/// Set where the TTL follows the state; a fixed one is below it (RFC 2181 §8).
const DYNAMIC: u32 = 1 << 31;
/// Bits of the least TTL, below those of the largest.
const MIN_BITS: u32 = 15;

/// The TTL of a pool's answers in seconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ttl(u32);

impl Ttl {
    /// The largest that may follow the state.
    pub const MAX_DYNAMIC: u32 = u16::MAX as u32;
    /// The largest least one.
    pub const MAX_MIN: u32 = (1 << MIN_BITS) - 1;

    /// Always this; at most 2^31-1.
    pub const fn fixed(secs: u32) -> Ttl {
        Ttl(secs & !DYNAMIC)
    }

    /// As long as no state can change, at most `max` and at least `min`, which are kept to [`Self::MAX_DYNAMIC`] and
    /// [`Self::MAX_MIN`].
    pub fn dynamic(max: u32, min: u32) -> Ttl {
        let (max, min) = (max.min(Ttl::MAX_DYNAMIC), min.min(Ttl::MAX_MIN));
        Ttl(DYNAMIC | max << MIN_BITS | min.min(max))
    }

    /// The largest that is ever told.
    pub const fn max_secs(self) -> u32 {
        if self.0 & DYNAMIC == 0 { self.0 } else { (self.0 & !DYNAMIC) >> MIN_BITS }
    }

    /// The least that is ever told.
    pub const fn min_secs(self) -> u32 {
        if self.0 & DYNAMIC == 0 { self.0 } else { self.0 & Ttl::MAX_MIN }
    }

    /// What is told when no state can change for so many seconds; 0: nothing is known of that.
    #[inline(always)]
    pub fn told(self, flip_secs: u16) -> u32 {
        if self.0 & DYNAMIC == 0 {
            return self.0;
        }
        let (max, min) = (self.max_secs(), self.min_secs());
        // 0 becomes the largest there is.
        let bound = u32::from(flip_secs).wrapping_sub(1);
        if bound < max { flip_secs.into() } else { max }.max(min)
    }

    /// What decides with one comparison whether a draw is the usual one: true for fixed ones where `usual_below` is
    /// [`Self::ALL_FIXED`], and for none where it is 0.
    #[inline(always)]
    pub fn is_below(self, usual_below: u32) -> bool {
        self.0 < usual_below
    }

    /// What is told, of one that is known to be fixed.
    #[inline(always)]
    pub fn max_secs_if_fixed(self) -> u32 {
        self.0
    }

    /// Above all fixed ones.
    pub const ALL_FIXED: u32 = DYNAMIC;
}

impl fmt::Debug for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 & DYNAMIC {
            0 => write!(f, "{}", self.0),
            _ => write!(f, "{}..{}", self.min_secs(), self.max_secs()),
        }
    }
}

#[cfg(not(steerd_loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn dynamic_one_is_between_its_bounds_and_no_longer_than_the_time_to_a_flip(
            max in 1u32..=65_535, min in 1u32..=32_767, flip_secs: u16,
        ) {
            let min = min.min(max);
            let ttl = Ttl::dynamic(max, min);
            prop_assert_eq!((ttl.max_secs(), ttl.min_secs()), (max, min));
            let bound = if flip_secs == 0 { max } else { u32::from(flip_secs) };
            prop_assert_eq!(ttl.told(flip_secs), bound.clamp(min, max));
            prop_assert!(!ttl.is_below(Ttl::ALL_FIXED) && !ttl.is_below(0));
        }

        #[test]
        fn fixed_one_is_told_as_it_is(secs in 0u32..1 << 31, flip_secs: u16) {
            let ttl = Ttl::fixed(secs);
            prop_assert_eq!((ttl.told(flip_secs), ttl.max_secs()), (secs, secs));
            prop_assert!(ttl.is_below(Ttl::ALL_FIXED) && !ttl.is_below(0));
        }
    }
}
