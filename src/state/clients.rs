//! What a number of the topology stands for: a region, or clients of a region that are alike in more than that.
//!
//! The numbers below that of the regions are regions of which nothing further is known; those above them are kinds of clients,
//! told apart by where on the globe they are and by what tables of latencies say. Control side only: the packet path knows the
//! numbers alone.

use std::collections::HashMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::coordinates::Coordinates;
use super::topology::RegionId;

/// Most numbers there can be, regions included; two values of 16 bits are kept for "none".
pub const MAX_CLASSES: usize = 65_534;

/// The region that each client of a latency table was sent to first, by pool: what hysteresis goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices(pub HashMap<String, Arc<Chosen>>);

/// Of one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Names of regions of members.
    pub regions: Vec<Box<str>>,
    /// By name of the clients' region the index of the chosen one.
    pub by_region: HashMap<Box<str>, u16>,
    /// By prefix of the clients.
    pub by_prefix: HashMap<IpNet, u16>,
}

/// Who said where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LocatedBy {
    /// The coordinates of its region.
    Region,
    /// A database.
    Database,
}

/// Clients that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientClass {
    /// Their region.
    pub region: Option<RegionId>,
    /// Where they are, and who said so.
    pub location: Option<(Coordinates, LocatedBy)>,
    /// By view of a table of latencies: the number of their order in it, where a prefix of the table holds them.
    pub orders: Box<[Option<u32>]>,
}

/// All that clients are told apart by.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    regions: Box<[ClientClass]>,
    classes: Box<[ClientClass]>,
    /// How far the middle of a cell may be from who is in it; 0: locations are exact.
    error_km: f64,
    /// Kinds of clients for which there was no number, so that they are but of their region.
    unnumbered: usize,
}

impl Clients {
    /// Of regions and, numbered behind them, kinds of clients.
    pub fn new(
        regions: Vec<ClientClass>,
        classes: Vec<ClientClass>,
        error_km: f64,
        unnumbered: usize,
    ) -> Clients {
        debug_assert!(regions.len() + classes.len() <= MAX_CLASSES);
        Clients { regions: regions.into(), classes: classes.into(), error_km, unnumbered }
    }

    /// All numbers with what they stand for.
    pub fn iter(&self) -> impl Iterator<Item = (RegionId, &ClientClass)> {
        (0..).map(RegionId).zip(self.regions.iter().chain(&self.classes))
    }

    /// What a number stands for.
    pub fn get(&self, number: RegionId) -> Option<&ClientClass> {
        let at = usize::from(number.0);
        self.regions.get(at).or_else(|| self.classes.get(at.checked_sub(self.regions.len())?))
    }

    /// The region that a number stands for or lies in.
    pub fn region_of(&self, number: RegionId) -> Option<RegionId> {
        self.get(number)?.region
    }

    /// Number of kinds of clients beside the regions.
    pub fn class_count(&self) -> usize {
        self.classes.len()
    }

    /// How far a location may be from where a client is said to be; 0: not at all.
    pub fn error_km(&self) -> f64 {
        self.error_km
    }

    /// Kinds of clients that found no number.
    pub fn unnumbered(&self) -> usize {
        self.unnumbered
    }
}
