//! The steps of an answer as what they say to people: names in place of numbers.
//!
//! Values only.

use std::net::IpAddr;

use crate::state::clients::LocatedBy;
use crate::state::coordinates::Coordinates;
use crate::state::health_table::State;
use crate::state::rotation::Source;
use crate::wire::message::Rtype;

/// A step.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// What a name leads to.
    Name(NameEvent),
    /// Another class than IN.
    OtherClass,
    /// A transfer was asked for.
    Transfer,
    /// The zone's data could not be read.
    ZoneNotLoaded,
    /// The whole zone is refused with this pool.
    ZoneRefused {
        /// The pool's name.
        pool: String,
    },
    /// Who asks.
    Client(ClientEvent),
    /// The pool lists nobody of the family.
    NoFamily {
        /// The pool's name.
        pool: String,
    },
    /// What is drawn, and out of what.
    Pool(Box<PoolEvent>),
    /// Nobody can be drawn.
    Exhausted {
        /// The pool's name.
        pool: String,
        /// What is then answered.
        fallback: String,
    },
    /// An RRset of the name's own.
    Records {
        /// Its type.
        rtype: Rtype,
    },
    /// Records are made of who can be drawn.
    Made {
        /// Their type.
        rtype: Rtype,
    },
    /// Nothing of the type.
    NoData,
    /// The minimal answer to ANY.
    Minimal,
    /// A CNAME or DNAME record leads on.
    Alias,
    /// The name is delegated.
    Referral,
}

/// What a name leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameEvent {
    /// The name.
    pub name: String,
    /// `itself`, `wildcard`, `cut`, `dname`, `missing` or `outside`.
    pub found: &'static str,
    /// What was found: the name, the wildcard, the cut, the owner of the DNAME record, or the closest encloser.
    pub owner: Option<String>,
    /// The apex of its zone.
    pub zone: Option<String>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientEvent {
    /// The address that counts.
    pub address: IpAddr,
    /// Whether it is of the client-subnet option.
    pub is_subnet: bool,
    /// Where that is.
    pub place: Place,
}

/// Where a client is.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// It does not matter.
    Anywhere,
    /// In a region or in none, as all of the prefix of this length.
    Region {
        /// The region's name.
        name: Option<String>,
        /// The prefix's length.
        uniform_len: u8,
        /// Where on the globe, if that counts anywhere.
        location: Option<Location>,
    },
    /// In a slot, as all of its network.
    Slot {
        /// The slot's number.
        slot: usize,
        /// The network's length.
        prefix_len: u8,
    },
}

/// Where on the globe clients are.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    /// The place.
    pub coordinates: Coordinates,
    /// Who said so.
    pub by: LocatedBy,
    /// How far it may be from what was said; 0: it is that.
    pub error_km: f64,
}

/// Where members are looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Sought {
    /// The region or place.
    pub name: String,
    /// How far it is from the client, where that counts.
    pub km: Option<f64>,
    /// The latency from the client, where that counts.
    pub millis: Option<f64>,
}

/// A draw.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolEvent {
    /// The pool's name.
    pub pool: String,
    /// A or AAAA.
    pub family: &'static str,
    /// `lb_method` with what belongs to it.
    pub method: String,
    /// What is answered when nobody can be drawn.
    pub fallback: String,
    /// Most addresses in an answer.
    pub max_addrs_returned: u16,
    /// Regions or places that are looked at in this order, and whether anywhere follows.
    pub looked_in: Option<(Vec<Sought>, bool)>,
    /// Whether in the end members were looked for anywhere.
    pub is_anywhere: bool,
    /// What the members were drawn from.
    pub source: Source,
    /// The pools of its tree, itself the first, where it has other pools for members.
    pub nodes: Vec<NodeRow>,
    /// The family's members in listed order, fallback addresses behind them where these are drawn.
    pub members: Vec<MemberRow>,
    /// Sum of the shares.
    pub total: u32,
    /// Where among them the first is sought; of no meaning where a client's network decides.
    pub position: u32,
    /// Whether a client's network decides.
    pub is_hashed: bool,
    /// Who is drawn, with name and address (of a member that is a name, that), the first one first.
    pub answer: Vec<(String, String)>,
    /// The TTL.
    pub ttl: TtlEvent,
}

/// A pool of a tree.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeRow {
    /// Its name.
    pub pool: String,
    /// `lb_method` with what belongs to it.
    pub method: String,
    /// Whether it counts as up.
    pub counts_as_up: bool,
    /// Regions that are looked at in it, and whether anywhere follows.
    pub looked_in: Option<(Vec<Sought>, bool)>,
    /// Millionths of the load that flow through it; `None`: nobody in it can be drawn.
    pub share_millionths: Option<u32>,
}

/// How a TTL comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TtlEvent {
    /// What is told.
    pub told_secs: u32,
    /// The largest.
    pub max_secs: u32,
    /// The least; of a fixed one the same.
    pub min_secs: u32,
    /// How soon a state can change; 0: nothing is known of that.
    pub flip_secs: u16,
}

/// A member, or an address of the fallback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRow {
    /// Its name.
    pub name: String,
    /// Its address, or the name that it is.
    pub address: String,
    /// Its region.
    pub region: Option<String>,
    /// The state in force.
    pub state: Option<State>,
    /// For how long, in seconds, if that is known.
    pub age_secs: Option<u64>,
    /// Why, as far as that is known.
    pub reason: Option<String>,
    /// As configured; 0 when disabled.
    pub weight: u32,
    /// Its room, in the unit of weights.
    pub capacity: Option<u32>,
    /// In place of the weight.
    pub weight_override: Option<u32>,
    /// Thousandths of it that count.
    pub permille: u16,
    /// Whether an operator has decided over it.
    pub is_overridden: bool,
    /// Whether its state is frozen.
    pub is_frozen: bool,
    /// Its part of the draws; `None`: it cannot be drawn.
    pub share: Option<u32>,
    /// Why it can be drawn or not.
    pub standing: &'static str,
}
