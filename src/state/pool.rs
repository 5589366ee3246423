//! A pool as the packet path needs it: per address family the members that can be drawn and their records in wire form.
//!
//! Immutable, shared by all workers. Where a worker stands in a pool's rotation is in `rotation`.

use std::net::IpAddr;

use super::rrset::POINTER_TO_QNAME;
use super::topology::RegionId;
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

    /// The family of an address.
    pub fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }
}

/// How members are chosen. Named by DESIGN's `lb_method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Exact weighted rotation (`wrr`).
    Weighted,
    /// Weighted rotation over the members of the client's region, else over all (`twrr`).
    Regional,
    /// The first UP member in listed order (`fogroup`).
    FirstUp,
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
    /// Region of the member's address.
    pub region: Option<RegionId>,
}

/// Regions of this number and above are searched for; those below have a table, so that a pool has at most 128 octets of it.
const TABLED_REGIONS: u16 = 64;

/// The regions of a pool's members.
#[derive(Clone, Debug, Default)]
pub struct Regions {
    ascending: Box<[RegionId]>,
    /// The scope of each region up to the pool's last, or to [`TABLED_REGIONS`].
    scopes: Box<[u16]>,
}

impl Regions {
    /// Of these regions, in any order and however often.
    pub fn new(mut regions: Vec<RegionId>) -> Regions {
        regions.sort_unstable();
        regions.dedup();
        let behind = regions.last().map_or(0, |last| (last.0 + 1).min(TABLED_REGIONS));
        let scope = |number| regions.binary_search(&RegionId(number)).map_or(0, |at| 1 + at as u16);
        Regions { scopes: (0..behind).map(scope).collect(), ascending: regions.into() }
    }

    /// The regions, ascending.
    pub fn ascending(&self) -> &[RegionId] {
        &self.ascending
    }

    /// True without any region.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.ascending.is_empty()
    }

    /// The scope of a region, 1 + its place among these; 0, which is that of all members, where it is not among them.
    #[inline(always)]
    pub fn scope_of(&self, region: RegionId) -> usize {
        match self.scopes.get(usize::from(region.0)) {
            Some(scope) => usize::from(*scope),
            None => self.search(region),
        }
    }

    #[inline(never)]
    fn search(&self, region: RegionId) -> usize {
        self.ascending.binary_search(&region).map_or(0, |at| 1 + at)
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
    /// Regions that have candidates; none unless the method is `Regional`.
    pub regions: Regions,
    /// Index of the first of the rotations: over all members, then one for each region.
    pub first_rotation: u32,
}

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
            regions: Regions::default(),
            first_rotation: 0,
        }
    }

    /// Number of rotations: one over all, one for each region.
    pub fn rotation_count(&self) -> usize {
        1 + self.regions.ascending.len()
    }

    /// Candidates of the rotation `scope` (0: all), fallback addresses left out.
    pub fn in_scope(&self, scope: usize) -> impl Iterator<Item = (usize, &Candidate)> {
        let region = scope.checked_sub(1).map(|r| self.regions.ascending[r]);
        let members = self.candidates[..self.fallback_at].iter().enumerate();
        members.filter(move |(_, candidate)| region.is_none() || candidate.region == region)
    }
}

/// Appends the record of an address, its TTL 0 and its owner the query name.
///
/// # Panics
/// When `address` is not of `family`: the two are told apart before a pool is built.
pub fn push_record(records: &mut Vec<u8>, family: Family, address: IpAddr) {
    let before = records.len();
    let rtype = match family {
        Family::V4 => Rtype::A,
        Family::V6 => Rtype::AAAA,
    };
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
