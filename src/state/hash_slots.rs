//! Which member a client's network belongs to: weighted rendezvous hashing, worked out ahead.
//!
//! Networks fall into slots by a hash that every server with the same pool makes alike, and each slot has an order of members: by
//! a hash of slot and member over the member's weight (Thaler and Ravishankar 1998; weighted after Schindelhauer and
//! Schomaker 2005). A member that fails leaves the slots of all others as they are. First places are given out so that each member
//! has its share of them to within one slot. Nothing here knows health; it is read and never changed.

use std::net::IpAddr;

/// Members of a slot's order at most: who has lost so many at once is led to any of the others.
pub const MAX_ORDER: usize = 8;
/// Slots at least and at most, and how many a member has between.
const MIN_SLOTS: usize = 1 << 10;
/// See above; a client's slot in a pool of fewer is this one modulo their number.
pub const MAX_SLOTS: usize = 1 << 14;
const SLOTS_EACH: usize = 64;

/// The slots of one address family of a pool.
#[derive(Clone, Debug)]
pub struct HashSlots {
    /// Length of a client's network, by which it is known: of IPv4, of IPv6.
    prefix_lens: [u8; 2],
    /// Members in each slot's order.
    order_len: usize,
    /// The orders, one behind the other, as indices of candidates.
    orders: Box<[u16]>,
    /// One less than the number of slots, which is a power of two.
    mask: u64,
}

impl HashSlots {
    /// For members of these addresses and weights above 0, known by their index. Clients are told apart by networks of these
    /// lengths (IPv4, IPv6).
    pub fn new(members: &[(IpAddr, u32)], prefix_lens: [u8; 2]) -> HashSlots {
        let slots = slot_count(members.len());
        let order_len = members.len().min(MAX_ORDER);
        let mut quotas = quotas(members, slots);
        let mut orders = Vec::with_capacity(slots * order_len);
        let mut scored: Vec<(f64, u16)> = Vec::with_capacity(members.len());
        // Slots in an order that has nothing to do with any member.
        for slot in 0..slots {
            scored.clear();
            scored.extend(
                members
                    .iter()
                    .zip(0..)
                    .map(|((address, weight), index)| (score(slot as u64, *address, *weight), index)),
            );
            // A weight and a hash say which comes first; equal ones are as good as never.
            scored.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let first = scored.iter().position(|(_, member)| quotas[usize::from(*member)] > 0).unwrap_or(0);
            if let Some((_, member)) = scored.get(first) {
                quotas[usize::from(*member)] = quotas[usize::from(*member)].saturating_sub(1);
            }
            if let Some(to_front) = scored.get_mut(..=first) {
                to_front.rotate_right(1);
            }
            orders.extend(scored.iter().take(order_len).map(|(_, member)| *member));
        }
        HashSlots { prefix_lens, order_len, orders: orders.into(), mask: slots as u64 - 1 }
    }

    /// One slot without an order, in which all clients are: where chance decides.
    pub fn chance() -> HashSlots {
        HashSlots { prefix_lens: [0; 2], order_len: 0, orders: Box::default(), mask: 0 }
    }

    /// Whether it is that one.
    pub fn is_chance(&self) -> bool {
        self.order_len == 0
    }

    /// The slot of a client, and the length of the network that shares it.
    pub fn slot_of(&self, client: IpAddr) -> (usize, u8) {
        if self.is_chance() {
            return (0, 0);
        }
        let (hash, len) = hash_of(client, self.prefix_lens);
        ((hash & self.mask) as usize, len)
    }

    /// Lengths of networks that clients are told apart by: of IPv4, of IPv6.
    pub fn prefix_lens(&self) -> [u8; 2] {
        self.prefix_lens
    }

    /// The members of a slot, the first choice first.
    #[inline]
    pub fn order(&self, slot: usize) -> &[u16] {
        self.orders
            .get(slot * self.order_len..)
            .and_then(|from| from.get(..self.order_len))
            .unwrap_or_default()
    }

    /// Whether a member that has only a share of its clients has those of this slot; `share` is of 65,536. The more its share
    /// the more slots, and never another one for it.
    #[inline]
    pub fn is_kept(slot: usize, member: u16, share: u32) -> bool {
        share > (mix((slot as u64) << 16 | u64::from(member)) & 0xFFFF) as u32
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.mask as usize + 1
    }

    /// Never: there is always a slot.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// How many slots a pool of so many members has.
pub fn slot_count(members: usize) -> usize {
    (SLOTS_EACH * members).next_power_of_two().clamp(MIN_SLOTS, MAX_SLOTS)
}

/// The slot of a client in a pool of [`MAX_SLOTS`].
pub fn finest_slot(client: IpAddr, prefix_lens: [u8; 2]) -> usize {
    (hash_of(client, prefix_lens).0 & (MAX_SLOTS as u64 - 1)) as usize
}

/// The hash of a client's network, and the network's length.
#[inline(always)]
fn hash_of(client: IpAddr, prefix_lens: [u8; 2]) -> (u64, u8) {
    let (bits, width, family, len) = match client {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32, 4, prefix_lens[0].min(32)),
        IpAddr::V6(v6) => (u128::from(v6), 128, 6, prefix_lens[1].min(128)),
    };
    let network = bits.checked_shr(width - u32::from(len)).unwrap_or(0);
    (mix(mix(network as u64 ^ family << 56) ^ (network >> 64) as u64), len)
}

/// How many slots each member is first in: its share, rounded so that all are given out, and one at least.
fn quotas(members: &[(IpAddr, u32)], slots: usize) -> Vec<usize> {
    let total: u64 = members.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mut sum = 0;
    let mut given = 0;
    members
        .iter()
        .map(|(_, weight)| {
            sum += u64::from(*weight);
            let until = (sum * slots as u64 / total.max(1)) as usize;
            let quota = until.saturating_sub(given).max(1);
            given += quota;
            quota
        })
        .collect()
}

/// The smaller, the sooner a member comes in a slot: exponentially distributed, its weight the rate.
fn score(slot: u64, address: IpAddr, weight: u32) -> f64 {
    let bits = match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    };
    let hash = mix(mix(bits as u64 ^ mix(slot)) ^ (bits >> 64) as u64);
    // In (0, 1], in steps of 2^-53.
    let uniform = ((hash >> 11) + 1) as f64 / (1u64 << 53) as f64;
    -uniform.ln() / f64::from(weight.max(1))
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood 2014).
fn mix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn members(weights: &[u32]) -> Vec<(IpAddr, u32)> {
        weights.iter().zip(1..).map(|(weight, last)| (IpAddr::from([192, 0, 2, last]), *weight)).collect()
    }

    #[test]
    fn every_order_has_each_member_once_and_first_places_are_shares() {
        let weights = [1, 2, 3, 10];
        let slots = HashSlots::new(&members(&weights), [24, 56]);
        let mut first = [0usize; 4];
        for slot in 0..slots.len() {
            let order = slots.order(slot);
            assert_eq!(order.iter().collect::<HashSet<_>>().len(), 4);
            first[usize::from(order[0])] += 1;
        }
        for (count, weight) in first.iter().zip(weights) {
            assert!(count.abs_diff(slots.len() * weight as usize / 16) <= 1, "{first:?} of {}", slots.len());
        }
    }

    #[test]
    fn a_member_more_moves_hardly_more_than_its_share() {
        let four = HashSlots::new(&members(&[1; 4]), [24, 56]);
        let five = HashSlots::new(&members(&[1; 5]), [24, 56]);
        assert_eq!(four.len(), five.len());
        let moved = (0..four.len()).filter(|slot| four.order(*slot)[0] != five.order(*slot)[0]).count();
        assert!(moved * 100 < four.len() * 25, "{moved} of {} slots", four.len());
    }

    #[test]
    fn clients_of_one_network_share_a_slot_and_slots_are_used_alike() {
        let slots = HashSlots::new(&members(&[1; 3]), [24, 56]);
        let of = |text: &str| slots.slot_of(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("192.0.2.254"));
        assert_ne!(of("192.0.2.1").0, of("192.0.3.1").0);
        assert_eq!(of("2001:db8:0:ff::1"), of("2001:db8::1"));
        assert_eq!((of("192.0.2.1").1, of("2001:db8::1").1), (24, 56));
        let mut used = vec![0u32; slots.len()];
        for network in 0..100 * slots.len() as u32 {
            used[slots.slot_of(IpAddr::from((network << 8).to_be_bytes())).0] += 1;
        }
        assert!(used.iter().all(|count| (40..180).contains(count)), "{:?}", used.iter().minmax_of());
        let all = HashSlots::new(&members(&[1]), [0, 0]);
        assert_eq!(all.slot_of("192.0.2.1".parse().unwrap()), all.slot_of("198.51.100.1".parse().unwrap()));
    }

    trait MinMax {
        fn minmax_of(self) -> (u32, u32);
    }

    impl<'a, I: Iterator<Item = &'a u32> + Clone> MinMax for I {
        fn minmax_of(self) -> (u32, u32) {
            (self.clone().min().copied().unwrap_or(0), self.max().copied().unwrap_or(0))
        }
    }

    #[test]
    fn smaller_share_keeps_some_of_the_same_slots() {
        let kept = |share: u32| -> HashSet<usize> {
            (0..4096).filter(|slot| HashSlots::is_kept(*slot, 3, share)).collect()
        };
        assert_eq!((kept(0).len(), kept(65_536).len()), (0, 4096));
        let (quarter, half) = (kept(16_384), kept(32_768));
        assert!(quarter.is_subset(&half));
        assert!((800..1250).contains(&quarter.len()) && (1850..2250).contains(&half.len()));
    }
}
