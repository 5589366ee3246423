//! A pool as the packet path needs it: per address family the members that can be drawn and their records in wire form.
//!
//! Immutable, shared by all workers. Where a worker stands in a pool's rotation is in `rotation`.

use std::net::IpAddr;
use std::sync::Arc;

use super::hash_slots::HashSlots;
use super::preference::{Preference, Preferences};
use super::room::Room;
use super::rrset::POINTER_TO_QNAME;
use super::topology::RegionId;
use super::tree::Tree;
use crate::wire::message::{Class, Rtype};

/// Offset of the TTL in an address record whose owner is a pointer.
pub const RECORD_TTL_AT: usize = 6;

/// Octets of an A record: pointer, type, class, TTL, length and address.
pub const A_RECORD_OCTETS: usize = 16;
/// Octets of an AAAA record.
pub const AAAA_RECORD_OCTETS: usize = 28;

/// An address family, which is also a record type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

impl Family {
    /// Both families.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// Octets of one address record: pointer, type, class, TTL, length, address.
    #[inline]
    pub const fn record_octets(self) -> usize {
        match self {
            Family::V4 => A_RECORD_OCTETS,
            Family::V6 => AAAA_RECORD_OCTETS,
        }
    }

    /// The family whose addresses a query type asks for.
    #[inline(always)]
    pub fn asked_by(qtype: Rtype) -> Option<Family> {
        match qtype {
            Rtype::A => Some(Family::V4),
            Rtype::AAAA => Some(Family::V6),
            _ => None,
        }
    }

    /// The record type.
    pub fn rtype(self) -> Rtype {
        match self {
            Family::V4 => Rtype::A,
            Family::V6 => Rtype::AAAA,
        }
    }

    /// The family of an address.
    pub fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }
}

/// How the next answer is chosen of what can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Exact weighted rotation (`wrr`, and inside a region what goes by regions).
    Weighted,
    /// By chance, weighted (`random`).
    Random,
    /// By the client's network, weighted (`hash`).
    Hashed,
    /// Exact weighted rotation of the first so many in listed order (`fogroup`).
    FirstUp(u16),
}

/// What is answered when no member can be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fallback {
    /// All members of weight above 0, whatever their state.
    Any,
    /// REFUSED.
    Refuse,
    /// NOERROR without an answer.
    NoData,
    /// The addresses that follow the members among the candidates.
    Addresses,
}

/// What a draw needs to know of the pool as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolRules {
    /// Number of the pool in the snapshot.
    pub pool_id: u32,
    /// Index of the pool's first member among the members of all pools (for counters).
    pub first_member: u32,
    /// Number of members, both families, as the health table counts them.
    pub member_count: u16,
    /// Most addresses in one answer.
    pub max_addrs_returned: u16,
    /// How members are chosen.
    pub method: Method,
    /// What is answered when no member can be drawn.
    pub fallback: Fallback,
}

/// A pool of one snapshot.
pub struct Pool {
    /// What holds for both families.
    pub rules: PoolRules,
    /// The pool's members of family v4.
    pub v4: FamilyPool,
    /// The pool's members of family v6.
    pub v6: FamilyPool,
}

impl Pool {
    /// The part that answers queries for a family.
    #[inline(always)]
    pub fn family(&self, family: Family) -> &FamilyPool {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

/// An address that may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Index of the member in the pool; of a fallback address its index behind the members.
    pub member: u16,
    /// Share of the draws, above 0: members of weight 0 and disabled ones are no candidates.
    pub weight: u32,
    /// The member's region.
    pub region: Option<RegionId>,
}

impl Candidate {
    /// Whether it is in one of these regions.
    pub fn is_in(&self, regions: &[RegionId]) -> bool {
        self.region.is_some_and(|region| regions.contains(&region))
    }
}

/// The members of one address family.
pub struct FamilyPool {
    /// The pool's rules once more, so that a draw looks in one place.
    pub rules: PoolRules,
    /// The family.
    pub family: Family,
    /// Whether the pool lists any enabled member of the family: without one, the answer is NODATA, not the fallback.
    pub has_members: bool,
    /// What can be drawn, in listed order; then, from `fallback_at`, the fallback addresses.
    pub candidates: Box<[Candidate]>,
    /// Index of the first fallback address among the candidates.
    pub fallback_at: usize,
    /// One record a candidate, TTL left 0.
    pub records: Box<[u8]>,
    /// Whether the client's address matters: because of preferences or slots.
    pub is_by_client: bool,
    /// Where members are sought for clients of a region; none where all clients are alike.
    pub preferences: Preferences,
    /// The slots of clients' networks, where the method is [`Method::Hashed`].
    pub slots: Option<HashSlots>,
    /// How shares come about where the pool has other pools for members.
    pub tree: Option<Leaves>,
    /// How load is divided where members have a capacity.
    pub room: Option<Room>,
    /// Index of the first of the rotations: over all members, then one for each region.
    pub first_rotation: u32,
}

/// A tree of pools, and who of a family its leaves are.
pub struct Leaves {
    /// The tree, of both families.
    pub tree: Arc<Tree>,
    /// By member of the pool the candidate with its address; [`NO_CANDIDATE`] for those of the other family.
    pub candidate_of: Box<[u16]>,
}

/// No candidate's index.
pub const NO_CANDIDATE: u16 = u16::MAX;

impl FamilyPool {
    /// An empty part of a pool.
    pub fn empty(rules: PoolRules, family: Family) -> FamilyPool {
        FamilyPool {
            rules,
            family,
            has_members: false,
            candidates: Box::default(),
            fallback_at: 0,
            records: Box::default(),
            is_by_client: false,
            preferences: Preferences::default(),
            slots: None,
            tree: None,
            room: None,
            first_rotation: 0,
        }
    }

    /// Number of rotations: one over all, one for each preference.
    pub fn rotation_count(&self) -> usize {
        1 + self.preferences.distinct().len()
    }

    /// The preference of a scope; none for that of all members.
    #[inline]
    pub fn preference(&self, scope: usize) -> Option<&Preference> {
        self.preferences.distinct().get(scope.checked_sub(1)?)
    }

    /// The most candidates that a scope's rotation is made of.
    pub fn most_in_scope(&self, scope: usize) -> usize {
        let fallbacks = self.candidates.len() - self.fallback_at;
        match self.preference(scope) {
            // Whoever is not found there is sought in the rotation over all.
            Some(preference) if preference.then_anywhere && self.room.is_none() => {
                let is_there = |candidate: &&Candidate| candidate.is_in(&preference.regions);
                self.candidates[..self.fallback_at].iter().filter(is_there).count()
            }
            _ => self.fallback_at.max(fallbacks),
        }
    }
}

/// Appends the record of an address, its TTL 0 and its owner the query name.
///
/// # Panics
/// When `address` is not of `family`: the two are told apart before a pool is built.
pub fn push_record(records: &mut Vec<u8>, family: Family, address: IpAddr) {
    let before = records.len();
    let rtype = family.rtype();
    records.extend(POINTER_TO_QNAME);
    records.extend(rtype.0.to_be_bytes());
    records.extend(Class::IN.0.to_be_bytes());
    records.extend([0; 4]);
    match address {
        IpAddr::V4(v4) => {
            records.extend([0, 4]);
            records.extend(v4.octets());
        }
        IpAddr::V6(v6) => {
            records.extend([0, 16]);
            records.extend(v6.octets());
        }
    }
    assert_eq!(records.len() - before, family.record_octets(), "{address} is not of family {family:?}");
}
