//! What a unit's rotations have said so far: shares by side and scope, asked for once each.

use std::collections::HashMap;
use std::net::IpAddr;

use super::demand::Unit;
use super::side::{ANY_SLOT, Answer, PlaceId, Shares, Side};

/// Shares with addresses as indices; those of nobody are at [`NODATA`] or [`REFUSED`].
pub(super) struct Indexed {
    pub(super) of: Vec<(usize, f64)>,
    pub(super) answer: Answer,
}

const NODATA: usize = 0;
const REFUSED: usize = 1;
/// Addresses come behind these.
pub(super) const FIRST_ADDRESS: usize = 2;

/// Shares of a unit that are known, by side and scope.
pub(super) struct Known<'u> {
    unit: &'u Unit,
    pub(super) known: [HashMap<usize, Indexed>; 2],
    indices: HashMap<IpAddr, usize>,
    pub(super) addresses: Vec<IpAddr>,
}

impl<'u> Known<'u> {
    pub(super) fn new(unit: &'u Unit) -> Known<'u> {
        Known { unit, known: Default::default(), indices: HashMap::new(), addresses: Vec::new() }
    }

    /// The key under which the shares of a place are known, made if need be.
    pub(super) fn learn(&mut self, at: usize, side: &mut Side, place: PlaceId) -> usize {
        let unit = self.unit;
        let kind = unit.kinds[at];
        let key = match unit.pools[at] {
            None => 0,
            Some(_) if place == ANY_SLOT => usize::MAX,
            Some(pool) => side.scope(pool, unit.family, kind, place),
        };
        if self.known[at].contains_key(&key) {
            return key;
        }
        let Shares { of, answer } = match unit.pools[at] {
            None => Shares { of: Vec::new(), answer: Answer::NoPool },
            Some(pool) => side.shares(pool, unit.family, kind, place),
        };
        let mut indexed: Vec<(usize, f64)> = Vec::with_capacity(of.len().max(1));
        for (address, share) in of {
            let next = FIRST_ADDRESS + self.addresses.len();
            let index = *self.indices.entry(address).or_insert(next);
            if index == next {
                self.addresses.push(address);
            }
            indexed.push((index, share));
        }
        if indexed.is_empty() {
            indexed.push((if answer == Answer::Refused { REFUSED } else { NODATA }, 1.0));
        }
        self.known[at].insert(key, Indexed { of: indexed, answer });
        key
    }
}
