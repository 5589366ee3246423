//! One generation of everything a worker needs to answer: immutable, shared by all workers, replaced as a whole.
//!
//! Made by `config::compile`. Only the health words behind it change while it is in use.

use std::net::IpAddr;
use std::sync::Arc;

use super::chain::Chain;
use super::clients::{Choices, Clients};
use super::hashes::Hashes;
use super::health_table::HealthTable;
use super::names::NameIndex;
use super::policy::{CookiePolicy, RatePolicy};
use super::pool::Pool;
use super::rrset::{Block, Rrset};
use super::set_signatures::SetSignatures;
use super::steered::{PoolNames, Steered};
use super::topology::{RegionId, Topology};
use super::ttl::Ttl;
use crate::wire::edns::{OPT_PADDED_OCTETS, Understood};
use crate::wire::message::Rtype;

/// A generation.
pub struct Snapshot {
    /// Counts up with every configuration that went live.
    pub generation: u64,
    /// Owner names.
    pub names: NameIndex,
    /// Ties of names to pools, shared by names with the same; the first is none at all.
    pub bindings: Box<[Option<Binding>]>,
    /// What else bindings are steered to, where any is: in the same places.
    pub steered: Box<[Option<Steered>]>,
    /// Names in place of members, by pool: none where a pool has addresses alone.
    pub pool_names: Box<[Option<PoolNames>]>,
    /// Signatures of steered names; the first is of none.
    pub signed: Box<[SignedName]>,
    /// Zones, the synthesized ones among them.
    pub zones: Box<[Zone]>,
    /// Pools.
    pub pools: Box<[Pool]>,
    /// Regions of addresses.
    pub topology: Topology,
    /// What the numbers of the topology stand for.
    pub clients: Clients,
    /// Which regions pools prefer by tables of latencies, for the next one to go by.
    pub choices: Arc<Choices>,
    /// Health of the pools' members.
    pub health: Arc<HealthTable>,
    /// Switches and limits of the protocol.
    pub protocol: Protocol,
}

impl Snapshot {
    /// The region of an address.
    pub fn region_of(&self, address: IpAddr) -> Option<RegionId> {
        self.clients.region_of(self.topology.lookup(address).region?)
    }
}

/// A name's tie to a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binding {
    /// Index of the pool.
    pub pool: u32,
    /// TTL of the answers.
    pub ttl: Ttl,
    /// Index of the name's signatures, for signatures belong to names; 0: its zone is not signed.
    pub signed: u32,
}

/// The signatures of a steered name: one for each address that can be drawn, made ahead, so that no answer waits for one and no
/// failover makes any.
#[derive(Default)]
pub struct SignedName {
    /// By family: A, AAAA.
    pub families: [SignedFamily; 2],
    /// Those over the alias that stands for the pool when nobody can be drawn: records, and how many.
    pub alias: (Box<[u8]>, u16),
}

/// The RRSIG records of a name's RRsets of one family.
#[derive(Default)]
pub struct SignedFamily {
    /// The records over each candidate alone, one behind the other, their owner a pointer to the query name.
    pub records: Box<[u8]>,
    /// Octets of the records of one candidate.
    pub octets_each: u16,
    /// Records of one candidate: one a key that signs.
    pub count_each: u16,
    /// By scope of the pool's rotations the records over each set of several addresses, made as health moves; none where answers
    /// are of one address.
    pub sets: Box<[SetSignatures]>,
}

impl SignedFamily {
    /// The records over the address of a candidate.
    pub fn of(&self, candidate: u16) -> Option<&[u8]> {
        let len = usize::from(self.octets_each);
        self.records.get(usize::from(candidate) * len..)?.get(..len)
    }
}

/// What all names of a zone share.
pub struct Zone {
    /// The block of the apex's own RRsets.
    pub apex: Box<[u8]>,
    /// The block of one SOA record for negative answers, its TTL the smaller of its own and MINIMUM (RFC 2308 §3).
    pub negative: Box<[u8]>,
    /// The pool whose exhaustion refuses the whole zone: a synthesized apex with the fallback `refuse`.
    pub refused_with_pool: Option<u32>,
    /// What the zone above says of this one, where both are served here.
    pub parent: Option<ParentSide>,
    /// False for a zone whose data could not be read: nothing is known of it.
    pub is_loaded: bool,
    /// Whether its answers leave out what nobody asked for.
    pub is_minimal: bool,
    /// What proves that something is not there, in a signed zone.
    pub denial: Option<Denial>,
}

/// How a signed zone proves that something is not there.
pub enum Denial {
    /// By the order of its names.
    Nsec(Chain),
    /// By the order of their hashes (RFC 5155).
    Nsec3(Box<Hashes>),
}

impl Zone {
    /// Whether it answers whatever the state of its pools, because its data is there.
    #[inline(always)]
    pub fn is_plain(&self) -> bool {
        self.is_loaded && self.refused_with_pool.is_none()
    }

    /// Whether its names own NSEC records.
    pub fn has_nsec(&self) -> bool {
        matches!(self.denial, Some(Denial::Nsec(_)))
    }

    /// The RRsets of the apex.
    #[inline]
    pub fn apex(&self) -> Block<'_> {
        Block::at(&self.apex)
    }

    /// The SOA record of negative answers.
    #[inline]
    pub fn negative_soa(&self) -> Option<Rrset<'_>> {
        Block::at(&self.negative).get(Rtype::SOA)
    }
}

/// What belongs to the parent's side of a zone cut (RFC 4035 §3.1.4.1): DS, and the denial of it.
pub struct ParentSide {
    /// Index of the zone above.
    pub zone: u32,
    /// Octets of its apex.
    pub apex_len: u8,
    /// The block of the RRsets at the cut that are the parent's.
    pub block: Box<[u8]>,
}

/// Switches and limits of the protocol.
pub struct Protocol {
    /// Largest UDP reply in octets, also the size offered in return.
    pub edns_udp_size: u16,
    /// The OPT record of a reply without options, padded: that size, response code and flags 0.
    pub opt: [u8; OPT_PADDED_OCTETS],
    /// The server's identifier, for who asks for it (RFC 5001).
    pub nsid: Option<Box<[u8]>>,
    /// How long a TCP connection may idle, in units of 100 ms (RFC 7828 §3.1).
    pub keepalive: [u8; 2],
    /// Which options are read at all; cookies are where there is a policy for them.
    pub understood: Understood,
    /// Cookies.
    pub cookies: Option<CookiePolicy>,
    /// How many replies over UDP one client network gets; `None`: as many as it asks for.
    pub rates: Option<RatePolicy>,
    /// Data of the TXT record for `version.bind` and `version.server` in class CH.
    pub version: Option<Box<[u8]>>,
    /// Data of the TXT record for `id.server` and `hostname.bind` in class CH.
    pub id: Option<Box<[u8]>>,
}
