//! What is noted of an answer on its way, for who wants it explained: nothing, unless somebody asks.
//!
//! Every step of `respond` is generic over a `Trace`, which is handed on by value. `Off` is of no octets and notes nothing, so
//! that what answers queries is the same code as without it; what explains is given another, and explains what is done, not what
//! should be. A trace decides nothing. (Said in `control/why.rs`, where one is that collects.)

use std::net::IpAddr;

use super::lookup::Found;
use crate::state::health_table::HealthTable;
use crate::state::pool::FamilyPool;
use crate::state::rotation::RotationTable;
use crate::state::topology::RegionId;
use crate::state::ttl::Ttl;
use crate::wire::message::Rtype;

/// Who is told the steps of an answer.
pub trait Trace: Copy {
    /// Notes a step, which is made up only where somebody listens.
    fn note<'s>(self, step: impl FnOnce() -> Step<'s>);

    /// Looks at what is about to be drawn.
    fn before_draw(self, rotations: &mut RotationTable, draw: Draw<'_>);
}

/// Nobody is told.
#[derive(Clone, Copy, Debug)]
pub struct Off;

impl Trace for Off {
    #[inline(always)]
    fn note<'s>(self, _step: impl FnOnce() -> Step<'s>) {}

    #[inline(always)]
    fn before_draw(self, _rotations: &mut RotationTable, _draw: Draw<'_>) {}
}

/// Why a client is taken for where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientPlace {
    /// All clients are alike to the pool.
    Anywhere,
    /// By its region.
    Region {
        /// The region of its address.
        region: Option<RegionId>,
        /// Length of the prefix around it that is of that region.
        uniform_len: u8,
    },
    /// By the slot of its network.
    Slot {
        /// The slot.
        slot: usize,
        /// Length of the network.
        prefix_len: u8,
    },
}

/// A step of an answer.
#[derive(Clone, Copy)]
pub enum Step<'s> {
    /// What a name leads to.
    Name {
        /// The name in wire form.
        name: &'s [u8],
        /// What it leads to.
        found: Found<'s>,
    },
    /// Another class than IN.
    OtherClass,
    /// A transfer was asked for, and is not offered.
    Transfer,
    /// The data of the name's zone could not be read.
    ZoneNotLoaded,
    /// Everything in the name's zone is refused, for nobody is there in its pool.
    ZoneRefused {
        /// The pool.
        pool: u32,
    },
    /// The name is tied to a pool, and who asks is looked up.
    Client {
        /// The pool's members of the family asked for.
        family: &'s FamilyPool,
        /// The address that counts.
        address: IpAddr,
        /// Whether it is of the client-subnet option, rather than the packet's.
        is_subnet: bool,
        /// Where that is.
        place: ClientPlace,
    },
    /// The pool has no members of the family asked for.
    NoFamily {
        /// The pool.
        pool: u32,
    },
    /// Nobody can be drawn, and no fallback has addresses.
    Exhausted {
        /// The pool's members of the family asked for.
        family: &'s FamilyPool,
    },
    /// An RRset of the name's own is the answer.
    Records {
        /// Its type.
        rtype: Rtype,
    },
    /// Records are made of who can be drawn.
    Made {
        /// Their type.
        rtype: Rtype,
    },
    /// The name owns nothing of the type asked for.
    NoData,
    /// The minimal answer to ANY (RFC 8482).
    Minimal,
    /// A CNAME or DNAME record leads on.
    Alias,
    /// The name lies below a zone cut.
    Referral,
}

/// What is about to be drawn.
#[derive(Clone, Copy)]
pub struct Draw<'s> {
    /// States of members.
    pub health: &'s HealthTable,
    /// The pool's members of the family asked for.
    pub family: &'s FamilyPool,
    /// Whose rotation is asked: that of the client's region or slot.
    pub scope: usize,
    /// The TTL that is told.
    pub ttl: Ttl,
    /// Whether one address is drawn alone, because it has a signature of its own.
    pub is_alone: bool,
}
