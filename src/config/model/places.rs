//! Where clients are, and where members: regions, prefixes, databases, tables of latencies.
//!
//! Values only, as validated; nothing here looks anything up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use crate::state::coordinates::Coordinates;
use crate::state::partition::{NONE, Partition};

/// Regions and their prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Names of regions; a region's number is its index. At most 65,534.
    pub regions: Vec<String>,
    /// Prefixes with the region's number, host bits clear, no prefix twice; IPv4-mapped ones already IPv4.
    pub prefixes: Vec<(IpNet, u16)>,
    /// Where regions are; those of no coordinates are missing.
    pub coordinates: BTreeMap<u16, Coordinates>,
    /// What databases say of addresses.
    pub located: Option<Arc<Located>>,
}

impl Topology {
    /// By address the number of its region: of the longest prefix that holds it, else what databases say.
    pub fn region_partition(&self) -> Partition {
        let of_prefixes = self.prefixes.iter().map(|(net, region)| (*net, u32::from(*region)));
        let of_prefixes = Partition::of_prefixes(of_prefixes);
        let Some(located) = &self.located else { return of_prefixes };
        Partition::merged(&[&of_prefixes, &located.partition], |values| match values[0] {
            NONE => located.region(values[1]).map_or(NONE, u32::from),
            region => region,
        })
    }
}

/// What databases say of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Located {
    /// By address the index of a record.
    pub partition: Partition,
    /// Each once.
    pub records: Vec<LocatedRecord>,
}

impl Located {
    /// What a value of the partition stands for.
    pub fn record(&self, value: u32) -> Option<LocatedRecord> {
        self.records.get(value as usize).copied()
    }

    /// The region of it.
    pub fn region(&self, value: u32) -> Option<u16> {
        self.record(value)?.region
    }
}

/// What is known of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LocatedRecord {
    /// Number of its region.
    pub region: Option<u16>,
    /// Where it is.
    pub coordinates: Option<Coordinates>,
}

/// How much better another region must be to be preferred to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hysteresis {
    /// By more than so many millionths of a second. 0..=60,000,000.
    Micros(u32),
    /// By more than so many hundredths of the former latency. 0..=99.
    Percent(u8),
}

/// Latencies from clients to regions of members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LatencyTable {
    /// The file.
    pub path: PathBuf,
    /// Regions with millionths of a second, the lowest first; none twice.
    pub rows: Vec<Vec<(u16, u32)>>,
    /// Rows of the clients of a region.
    pub by_region: BTreeMap<u16, u32>,
    /// Rows of the clients in a prefix, none twice; the longest counts, and before that of the region.
    pub by_prefix: Vec<(IpNet, u32)>,
}
