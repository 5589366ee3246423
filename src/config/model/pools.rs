//! Pools, how a member is chosen of them, and members.
//!
//! Values only, as validated; nothing here chooses or probes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Hysteresis, Monitor};
use crate::state::coordinates::Coordinates;

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
    /// How members are probed.
    pub monitor: Arc<Monitor>,
    /// When the pool counts as up for who refers to it.
    pub up_when: UpWhen,
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
}

/// One address of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The address that is answered, and probed unless `monitor_ip` says otherwise.
    pub ip: IpAddr,
    /// The member's name in logs, metrics and explanations, 1..=256 characters.
    pub name: String,
    /// Share of the draws, 0..=65535; 0 is probed and never drawn.
    pub weight: u32,
    /// `false`: as if not listed, but still probed.
    pub enabled: bool,
    /// The address that is probed in place of `ip`: the member's own `monitor_ip`, else that of the monitor.
    pub monitor_ip: Option<IpAddr>,
    /// Where it is; `None`: where its region is.
    pub coordinates: Option<Coordinates>,
}

impl Member {
    /// The address that is probed.
    pub fn probed_at(&self) -> IpAddr {
        self.monitor_ip.unwrap_or(self.ip)
    }
}
