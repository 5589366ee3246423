//! Pools, how a member is chosen of them, and members.
//!
//! Values only, as validated; nothing here chooses or probes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Hysteresis, Monitors, OwnerName};
use crate::state::coordinates::Coordinates;
use crate::state::pool::Family;
pub use crate::state::tree::Part;

/// Members, and how one is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// The pool's name, 1..=256 characters.
    pub name: String,
    /// How members are chosen.
    pub method: Method,
    /// What is answered when no member can be drawn.
    pub fallback: Fallback,
    /// Most addresses in one answer, 1..=1024.
    pub max_addrs_returned: u16,
    /// Members in the order of the file, 1..=1024; no two have the same address.
    pub members: Vec<Member>,
    /// What all clients together ask of it, in the unit of weights, 1..=1,000,000,000; see [`Pool::demand_units`].
    pub demand: Option<u32>,
    /// How members are probed.
    pub monitors: Arc<Monitors>,
    /// When the pool counts as up for who refers to it.
    pub up_when: UpWhen,
    /// How it is made of pools, where it has others for members; these' members follow its own then.
    pub tree: Option<Arc<Tree>>,
}

impl Pool {
    /// The number of the pool that lists a member, of which it has its monitor: `own`, this pool's number, or that of one below.
    pub fn origin(&self, own: usize, member: usize) -> usize {
        let origin = self.tree.as_ref().and_then(|tree| tree.origins.get(member));
        origin.map_or(own, |origin| *origin as usize)
    }
}

/// A pool and the pools below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// By member of the pool the number of the pool that lists it. Members of one pool stand together.
    pub origins: Vec<u32>,
    /// The pools, each before those among its members; the first is the pool itself.
    pub nodes: Vec<Node>,
}

/// A pool of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its number.
    pub pool: u32,
    /// How items are chosen; by chance (`random`) is by weight below the first.
    pub method: Method,
    /// When it counts as up for the pool above it.
    pub up_when: UpWhen,
    /// Its members and pools that count at all, in listed order.
    pub items: Vec<Item>,
}

/// A member or a pool among the members of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Which one.
    pub part: Part,
    /// Its share, 1..=65535.
    pub weight: u32,
    /// Number of a pool's region, where one is given; a member's is that of its address.
    pub region: Option<u16>,
}

impl Pool {
    /// What all clients together ask of the pool, in the unit of weights: `demand`, else the weight of the enabled members, of
    /// `fogroup` that of as many of the first of these as are drawn.
    pub fn demand_units(&self) -> u64 {
        let weights = || Family::ALL.map(|family| self.serving_weight(family)).iter().sum();
        self.demand.map_or_else(weights, u64::from)
    }

    /// What the members of a family weigh that serve all clients together when all are up: of `fogroup` the first ones, in a pool
    /// of pools those of the pools that serve.
    pub fn serving_weight(&self, family: Family) -> u64 {
        let weight = |member: &Member| match member.enabled && member.is_of(family) {
            true => u64::from(member.weight),
            false => 0,
        };
        let first = |method: &Method| match method {
            Method::Fogroup { first } => usize::from(*first),
            _ => usize::MAX,
        };
        let Some(tree) = &self.tree else {
            let weights = self.members.iter().map(weight).filter(|weight| *weight > 0);
            return weights.take(first(&self.method)).sum();
        };
        // Whoever refers to a pool stands before it.
        let mut of_nodes = vec![0; tree.nodes.len()];
        for (at, node) in tree.nodes.iter().enumerate().rev() {
            let of_item = |item: &Item| match item.part {
                Part::Member(member) => weight(&self.members[usize::from(member)]),
                Part::Node(below) => of_nodes[usize::from(below)],
            };
            let weights = node.items.iter().map(of_item).filter(|weight| *weight > 0);
            of_nodes[at] = weights.take(first(&node.method)).sum();
        }
        of_nodes[0]
    }
}

impl Pool {
    /// Whether a name bound to it may be answered with an alias.
    pub fn has_aliases(&self) -> bool {
        self.aliases().next().is_some()
    }

    /// The names that it may be answered with.
    pub fn aliases(&self) -> impl Iterator<Item = &OwnerName> {
        let fallback = match &self.fallback {
            Fallback::Cname(name) => Some(name),
            Fallback::Any | Fallback::Refuse | Fallback::Nodata | Fallback::Addresses(_) => None,
        };
        self.members.iter().filter_map(|member| member.cname.as_ref()).chain(fallback)
    }
}

/// When a pool counts as up: both must hold. It changes no answer of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpWhen {
    /// Members that are UP and weigh something. 1..=1024.
    pub min_up: u16,
    /// Hundredths of the members' weight that is UP. 0..=100.
    pub weight_percent: u8,
}

impl Default for UpWhen {
    fn default() -> UpWhen {
        UpWhen { min_up: 1, weight_percent: 0 }
    }
}

/// How members are chosen (`lb_method`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Exact weighted rotation.
    Wrr,
    /// Weighted rotation over the members in the client's region; none UP there: in the next one, or over all.
    Twrr {
        /// Where is looked for members after the client's own region; `None`: anywhere.
        next: Option<Orders>,
    },
    /// The first UP members in listed order.
    Fogroup {
        /// How many of them, 1..=1024.
        first: u16,
    },
    /// Weighted, by chance.
    Random,
    /// Weighted, by the client's network.
    Hash {
        /// Length of an IPv4 client's network, 1..=32.
        prefix_v4: u8,
        /// Length of an IPv6 client's network, 1..=128.
        prefix_v6: u8,
    },
    /// Weighted rotation over the members nearest to the client; none UP there: over the next ones.
    Nearest,
    /// Weighted rotation over the members in the region of the lowest latency from the client; none UP there: in the next one.
    Latency {
        /// Index of the table.
        table: u32,
        /// What keeps the region that was the first before.
        hysteresis: Hysteresis,
    },
}

/// Orders of regions for clients of each region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Orders {
    /// By the number of the clients' region.
    pub by_region: BTreeMap<u16, Order>,
    /// For clients of all other regions; `None`: their own and then anywhere.
    pub others: Option<Order>,
}

/// Regions in which members are sought, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Order {
    /// Numbers of regions.
    pub regions: Vec<u16>,
    /// Whether all others follow.
    pub then_anywhere: bool,
}

/// What is answered when no member can be drawn (`fallback`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Every member of weight above 0, whatever its state.
    Any,
    /// REFUSED.
    Refuse,
    /// NOERROR without an answer.
    Nodata,
    /// These addresses, in rotation; 1..=1024, no two equal.
    Addresses(Vec<IpAddr>),
    /// An alias of this name, for every type.
    Cname(OwnerName),
}

/// One address of a pool, or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The address that is answered, and probed unless a `monitor_ip` says otherwise. Of a name, one that stands for it where
    /// members are told apart by address: of the prefix that leads nowhere (RFC 6666).
    pub ip: IpAddr,
    /// The name that is answered in place of an address, as an alias.
    pub cname: Option<OwnerName>,
    /// The name that its address belongs to.
    pub hostname: Option<OwnerName>,
    /// The member's name in logs, metrics and explanations, 1..=256 characters.
    pub name: String,
    /// Share of the draws, 0..=65535; 0 is probed and never drawn.
    pub weight: u32,
    /// The most that it can carry of the pool's demand, in the unit of weights, 1..=1,000,000,000; `None`: any.
    pub capacity: Option<u32>,
    /// `false`: as if not listed, but still probed.
    pub enabled: bool,
    /// The address that is probed in place of `ip`, whatever its monitors say.
    pub monitor_ip: Option<IpAddr>,
    /// Where it is; `None`: where its region is.
    pub coordinates: Option<Coordinates>,
}

impl Member {
    /// The host that it is: its own name, or the one its address belongs to.
    pub fn host(&self) -> Option<&OwnerName> {
        self.hostname.as_ref().or(self.cname.as_ref())
    }

    /// Whether it is answered to queries for a family: a name is to both.
    pub fn is_of(&self, family: Family) -> bool {
        self.cname.is_some() || Family::of(self.ip) == family
    }

    /// Its address or name for people.
    pub fn shown(&self) -> String {
        self.cname.as_ref().map_or_else(|| self.ip.to_string(), ToString::to_string)
    }
}
