//! Which region an address lies in, and over how wide a prefix that holds.
//!
//! Made of a partition of all addresses (`state/partition`), frozen into sorted arrays of range starts (one range for
//! each maximal run of addresses with the same region) with a root table over the leading bits. Where a root entry lies
//! in one range, the entry is the answer; else a lookup is a binary search among the entry's ranges, and the uniform
//! prefix follows from the neighbouring starts by two XORs, so no per-prefix depth is stored. Lookups allocate nothing.

use std::net::IpAddr;

use ipnet::IpNet;

use super::partition::{Address, Line, Partition};

/// A region's number; above those of the regions, that of a kind of clients (`state/clients`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegionId(pub u16);

/// Stands for "no region" inside the arrays; region numbers stay below it.
const NO_REGION: u16 = u16::MAX;

/// What a lookup found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match {
    /// The region of the longest prefix that holds the address.
    pub region: Option<RegionId>,
    /// Length of the shortest prefix around the address in which every address has this same region: the client-subnet
    /// scope (RFC 7871 §7.2.1).
    pub uniform_len: u8,
}

/// The frozen map from addresses to regions.
pub struct Topology {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

impl Topology {
    /// Builds the map; of equal prefixes the last wins (the configuration refuses them).
    pub fn new(prefixes: &[(IpNet, RegionId)]) -> Topology {
        let values = prefixes.iter().map(|(net, region)| (*net, u32::from(region.0)));
        Topology::freeze(Partition::of_prefixes(values))
    }

    /// Freezes a partition whose values are numbers of regions, or [`NONE`](super::partition::NONE).
    pub fn freeze(partition: Partition) -> Topology {
        Topology { v4: Ranges::freeze(partition.v4), v6: Ranges::freeze(partition.v6) }
    }

    /// Finds an address. An IPv4-mapped IPv6 address is an IPv6 one: its scope is counted in 128 bits, and the sockets, being
    /// of one family each, never give one.
    #[inline(always)]
    pub fn lookup(&self, address: IpAddr) -> Match {
        match address {
            IpAddr::V4(v4) => self.v4.lookup(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.lookup(v6.to_bits()),
        }
    }

    /// Where ranges of equal region begin in a family, ascending from 0 on.
    pub fn starts(&self, is_ipv4: bool) -> Vec<u128> {
        match is_ipv4 {
            true => self.v4.starts.iter().map(|start| u128::from(*start)).collect(),
            false => self.v6.starts.to_vec(),
        }
    }

    /// Number of ranges of equal region, both families.
    pub fn range_count(&self) -> usize {
        self.v4.starts.len() + self.v6.starts.len()
    }
}

/// Leading bits the root table tells apart at most: 65,536 entries.
const MAX_ROOT_BITS: u32 = 16;

struct Ranges<A> {
    /// First address of each range, ascending; the first is 0, so that every address has a range.
    starts: Box<[A]>,
    regions: Box<[u16]>,
    /// For each value of the leading `root_bits`: the match, where it is the same for all of them, or [`SPLIT`] with the
    /// index of a split.
    root: Box<[u32]>,
    root_bits: u32,
    /// First and last range of the root entries that hold several.
    splits: Box<[(u32, u32)]>,
}

/// Marks a root entry whose addresses differ; the others are the region with the uniform length above it.
const SPLIT: u32 = 1 << 31;
const UNIFORM_SHIFT: u32 = 16;

impl<A: Address> Ranges<A> {
    fn freeze(line: Line<A>) -> Ranges<A> {
        let Line { starts, values } = line;
        let regions: Vec<u16> =
            values.into_iter().map(|value| u16::try_from(value).unwrap_or(NO_REGION)).collect();
        // Where two ranges meet, a prefix ends: no shorter table tells all of them apart.
        let longest = |starts: &[A]| starts.iter().skip(1).map(|start| A::BITS - start.zeros()).max();
        let longest = longest(&starts).unwrap_or(0);
        let wanted = starts.len().next_power_of_two().trailing_zeros() + 1;
        let root_bits = wanted.max(longest).min(MAX_ROOT_BITS);
        let mut ranges = Ranges {
            starts: starts.into(),
            regions: regions.into(),
            root: Box::default(),
            root_bits,
            splits: Box::default(),
        };
        let mut root = vec![0; 1 << root_bits];
        let mut splits = Vec::new();
        ranges.fill(&mut root, &mut splits, 0, 0);
        ranges.root = root.into();
        ranges.splits = splits.into();
        ranges
    }

    /// Fills the root entries of the block whose leading `depth` bits are `lead`. The shortest prefix around an address in
    /// which everything is of one region is the largest such block that holds it.
    fn fill(&self, entries: &mut [u32], splits: &mut Vec<(u32, u32)>, lead: usize, depth: u32) {
        let first = if depth == 0 { A::ZERO } else { A::from_lead(lead, depth) };
        let low = self.starts.partition_point(|start| *start <= first) - 1;
        let high = match lead + 1 {
            behind if behind < 1 << depth => {
                let behind = A::from_lead(behind, depth);
                self.starts.partition_point(|start| *start < behind) - 1
            }
            _ => self.starts.len() - 1,
        };
        if low == high {
            entries.fill(u32::from(self.regions[low]) | depth << UNIFORM_SHIFT);
        } else if let [entry] = entries {
            *entry = SPLIT | splits.len() as u32;
            splits.push((low as u32, high as u32));
        } else {
            let (left, right) = entries.split_at_mut(entries.len() / 2);
            self.fill(left, splits, lead * 2, depth + 1);
            self.fill(right, splits, lead * 2 + 1, depth + 1);
        }
    }

    #[inline(always)]
    fn lookup(&self, address: A) -> Match {
        let entry = self.root[address.lead(self.root_bits)];
        if entry & SPLIT != 0 {
            return self.lookup_split(address, entry & !SPLIT);
        }
        Match { region: region(entry as u16), uniform_len: (entry >> UNIFORM_SHIFT) as u8 }
    }

    #[inline(never)]
    fn lookup_split(&self, address: A, split: u32) -> Match {
        let (low, high) = self.splits[split as usize];
        let (low, high) = (low as usize, high as usize);
        // The range is the last one in low..=high that starts at or before the address.
        let at = low + self.starts[low + 1..=high].partition_point(|start| *start <= address);
        // A prefix around the address leaves the range as soon as it holds the last address before it or the first behind.
        let below = if at == 0 { 0 } else { address.common_bits(self.starts[at].previous()) + 1 };
        let above = self.starts.get(at + 1).map_or(0, |next| address.common_bits(*next) + 1);
        Match { region: region(self.regions[at]), uniform_len: below.max(above).min(A::BITS) as u8 }
    }
}

#[inline(always)]
fn region(number: u16) -> Option<RegionId> {
    (number != NO_REGION).then_some(RegionId(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn topology(prefixes: &[(&str, u16)]) -> Topology {
        let prefixes: Vec<_> = prefixes.iter().map(|(p, r)| (p.parse().unwrap(), RegionId(*r))).collect();
        Topology::new(&prefixes)
    }

    fn at(topology: &Topology, address: &str) -> (Option<u16>, u8) {
        let found = topology.lookup(address.parse().unwrap());
        (found.region.map(|r| r.0), found.uniform_len)
    }

    #[test]
    fn longest_prefix_wins_and_scope_is_where_the_answer_is_uniform() {
        let t = topology(&[("10.0.0.0/8", 1), ("10.1.0.0/16", 2), ("10.1.2.0/24", 1), ("2001:db8::/32", 3)]);
        assert_eq!(at(&t, "10.200.0.1"), (Some(1), 9));
        assert_eq!(at(&t, "10.1.2.3"), (Some(1), 24));
        assert_eq!(at(&t, "10.1.3.3"), (Some(2), 24));
        assert_eq!(at(&t, "10.1.255.1"), (Some(2), 17));
        assert_eq!(at(&t, "192.0.2.1"), (None, 1));
        assert_eq!(at(&t, "11.0.0.0"), (None, 8));
        assert_eq!(at(&t, "::ffff:10.1.2.3"), (None, 3), "a prefix of 24 bits would be all of ::/24");
        assert_eq!(at(&t, "2001:db8::1"), (Some(3), 32));
        assert_eq!(at(&t, "ffff::1"), (None, 1));
    }

    #[test]
    fn without_prefixes_everything_is_uniform() {
        let t = topology(&[]);
        assert_eq!(at(&t, "192.0.2.1"), (None, 0));
        assert_eq!(at(&t, "::1"), (None, 0));
        assert_eq!(at(&topology(&[("0.0.0.0/0", 4)]), "192.0.2.1"), (Some(4), 0));
    }

    #[test]
    fn adjoining_prefixes_of_one_region_are_one_range() {
        let t = topology(&[("10.0.0.0/9", 1), ("10.128.0.0/9", 1)]);
        assert_eq!(t.range_count(), 3 + 1);
        assert_eq!(at(&t, "10.0.0.1"), (Some(1), 8));
        let last = topology(&[("255.255.255.255/32", 1), ("0.0.0.0/32", 2)]);
        assert_eq!(at(&last, "255.255.255.255"), (Some(1), 32));
        assert_eq!(at(&last, "0.0.0.0"), (Some(2), 32));
    }

    fn prefix() -> impl Strategy<Value = (IpNet, RegionId)> {
        // Few distinct bits, so that prefixes nest and adjoin.
        let v4 = (any::<u32>(), 0u8..=32).prop_map(|(bits, len)| {
            let address = std::net::Ipv4Addr::from_bits(bits & 0xC300_00C3);
            IpNet::new(IpAddr::V4(address), len).unwrap().trunc()
        });
        let v6 = (any::<u128>(), 0u8..=128).prop_map(|(bits, len)| {
            let address = std::net::Ipv6Addr::from_bits(bits & 0xC000_0000_0003_0000_0000_0000_0000_0003);
            IpNet::new(IpAddr::V6(address), len).unwrap().trunc()
        });
        (prop_oneof![v4, v6], (0u16..3).prop_map(RegionId))
    }

    fn oracle(prefixes: &[(IpNet, RegionId)], address: IpAddr) -> Option<RegionId> {
        let holding = prefixes.iter().filter(|(net, _)| net.contains(&address));
        // The last of equal prefixes: max_by_key returns the last maximum.
        holding.max_by_key(|(net, _)| net.prefix_len()).map(|(_, region)| *region)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(600))]
        #[test]
        fn lookup_agrees_with_a_linear_scan_and_scope_is_exact(
            prefixes in prop::collection::vec(prefix(), 0..40), pick in any::<prop::sample::Index>(), noise in any::<u128>(),
        ) {
            let topology = Topology::new(&prefixes);
            let mut edges: Vec<IpAddr> = vec![IpAddr::from(noise.to_be_bytes()), IpAddr::from((noise as u32).to_be_bytes())];
            for (net, _) in &prefixes {
                edges.extend([net.network(), net.broadcast()]);
            }
            let address = edges[pick.index(edges.len())];
            let found = topology.lookup(address);
            prop_assert_eq!(found.region, oracle(&prefixes, address), "{}", address);
            // Uniform inside the scope: every prefix edge inside it gives the same region.
            let scope = IpNet::new(address, found.uniform_len).unwrap().trunc();
            for edge in edges.iter().filter(|e| scope.contains(*e)) {
                prop_assert_eq!(oracle(&prefixes, *edge), found.region, "{} in {}", edge, scope);
            }
            // And no wider prefix is: one bit less holds an address of another region.
            if found.uniform_len > 0 {
                let wider = IpNet::new(address, found.uniform_len - 1).unwrap().trunc();
                let mut probes = edges.clone();
                for (net, _) in &prefixes {
                    match (net.network(), net.broadcast()) {
                        (IpAddr::V4(a), IpAddr::V4(b)) => probes.extend([
                            IpAddr::from(a.to_bits().wrapping_sub(1).to_be_bytes()), IpAddr::from(b.to_bits().wrapping_add(1).to_be_bytes())]),
                        (IpAddr::V6(a), IpAddr::V6(b)) => probes.extend([
                            IpAddr::from(a.to_bits().wrapping_sub(1).to_be_bytes()), IpAddr::from(b.to_bits().wrapping_add(1).to_be_bytes())]),
                        _ => {}
                    }
                }
                probes.extend([wider.network(), wider.broadcast()]);
                prop_assert!(probes.iter().any(|p| wider.contains(p) && oracle(&prefixes, *p) != found.region), "{} could be wider", scope);
            }
        }
    }
}
