//! Two topologies laid over each other: which clients are in which region before and after, and for how wide a prefix an answer
//! by region holds.
//!
//! The addresses fall into ranges in which both topologies are of one region each; these fall into blocks, prefixes as wide as
//! fit, in which the scope is one besides. Exact; knows no pools.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::side::{PlaceId, Side, place_of};
use crate::config::model::Topology;

/// Clients that are in one region before and in one after.
#[derive(Clone, Copy, Debug)]
pub struct Patch {
    /// The place before.
    pub old: PlaceId,
    /// The place after.
    pub new: PlaceId,
    /// Its part of the addresses of the place before; IPv4 and IPv6 count half each where that has both.
    pub part_of_old: f64,
    /// The same of the place after.
    pub part_of_new: f64,
    /// The widest prefix of it.
    pub example: IpNet,
}

/// A prefix with something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedBlock {
    /// The prefix.
    pub net: IpNet,
    /// The region before.
    pub old: Option<String>,
    /// The region after.
    pub new: Option<String>,
    /// Scope of an answer by region before and after.
    pub scope_lens: [u8; 2],
}

/// What is found.
#[derive(Debug, Default)]
pub struct Terrain {
    /// By place before and place after, ascending.
    pub patches: Vec<Patch>,
    /// Blocks of another region, the widest first, as many as asked for; and how many there are.
    pub moved: (Vec<ChangedBlock>, usize),
    /// Blocks of the same region and another scope, likewise.
    pub rescoped: (Vec<ChangedBlock>, usize),
}

/// A range of addresses of one family, as numbers.
type Range = (u128, u128);

#[derive(Default)]
struct Extent {
    /// Addresses of IPv4 and of IPv6.
    sizes: [f64; 2],
    example: Option<IpNet>,
}

/// Lays the topologies of two sides over each other; of each list of blocks at most `top`.
pub fn survey(old: &Side, new: &Side, top: usize) -> Terrain {
    let mut terrain = Terrain::default();
    let mut extents: BTreeMap<(PlaceId, PlaceId), Extent> = BTreeMap::new();
    let name = |side: &Side, place| side.region_name(place).map(str::to_owned);
    for (at, bits) in [32u8, 128].into_iter().enumerate() {
        let topologies = [old, new].map(|side| &side.generation.snapshot.topology);
        let starts = topologies.map(|topology| topology.starts(bits == 32));
        // Beside regions, names say where places are.
        let is_same = starts[0] == starts[1] && old.config.topology == new.config.topology;
        for (first, last) in ranges(starts, bits) {
            let address = address(first, bits);
            let places = (place_of(old.lookup(address).region), place_of(new.lookup(address).region));
            let extent = extents.entry(places).or_default();
            extent.sizes[at] += (last - first) as f64 + 1.0;
            let (widest, len) = widest((first, last), bits);
            if extent.example.is_none_or(|example| example.prefix_len() > len) {
                extent.example = IpNet::new(self::address(widest, bits), len).ok();
            }
            if is_same {
                continue;
            }
            let names = (name(old, places.0), name(new, places.1));
            for (first, len) in blocks((first, last), bits) {
                let address = self::address(first, bits);
                let scope_lens = [old.lookup(address).uniform_len, new.lookup(address).uniform_len];
                let is_moved = names.0 != names.1;
                if !is_moved && scope_lens[0] == scope_lens[1] {
                    continue;
                }
                let Ok(net) = IpNet::new(address, len) else { continue };
                let (kept, count) = if is_moved { &mut terrain.moved } else { &mut terrain.rescoped };
                *count += 1;
                let (old, new) = names.clone();
                keep_widest(kept, ChangedBlock { net, old, new, scope_lens }, top);
            }
        }
    }
    let mut sums: [BTreeMap<PlaceId, [f64; 2]>; 2] = Default::default();
    for ((old, new), extent) in &extents {
        for (sums, place) in sums.iter_mut().zip([old, new]) {
            let sum = sums.entry(*place).or_default();
            (0..2).for_each(|at| sum[at] += extent.sizes[at]);
        }
    }
    let part = |sizes: &[f64; 2], sums: &[f64; 2]| {
        let families = sums.iter().filter(|sum| **sum > 0.0).count() as f64;
        let of = |at: usize| if sums[at] > 0.0 { sizes[at] / sums[at] / families } else { 0.0 };
        of(0) + of(1)
    };
    terrain.patches = extents
        .into_iter()
        .filter_map(|((old, new), extent)| {
            Some(Patch {
                old,
                new,
                part_of_old: part(&extent.sizes, sums[0].get(&old)?),
                part_of_new: part(&extent.sizes, sums[1].get(&new)?),
                example: extent.example?,
            })
        })
        .collect();
    terrain
}

/// Prefixes of a topology that no client matches, because longer ones cover them whole.
pub fn shadowed(topology: &Topology) -> Vec<IpNet> {
    let mut nets: Vec<IpNet> = topology.prefixes.iter().map(|(net, _)| *net).collect();
    // Outer prefixes before inner ones, IPv4 first.
    nets.sort_by_key(|net| (net.addr(), net.prefix_len()));
    let mut found = Vec::new();
    // What is open, and up to which address the prefixes right within it have followed each other without a gap.
    let mut open: Vec<(IpNet, Option<IpAddr>)> = Vec::new();
    let mut close = |(net, covered): (IpNet, Option<IpAddr>)| {
        if covered == Some(net.broadcast()) {
            found.push(net);
        }
    };
    for net in nets {
        while let Some(outer) = open.pop_if(|(outer, _)| !outer.contains(&net)) {
            close(outer);
        }
        if let Some((outer, covered)) = open.last_mut() {
            let follows = match *covered {
                None => net.network() == outer.network(),
                Some(last) => number(last).checked_add(1) == Some(number(net.network())),
            };
            if follows {
                *covered = Some(net.broadcast());
            }
        }
        open.push((net, None));
    }
    while let Some(outer) = open.pop() {
        close(outer);
    }
    found.sort();
    found
}

/// The ranges in which both topologies are of one number each, by where theirs begin; ascending.
fn ranges(starts: [Vec<u128>; 2], bits: u8) -> Vec<Range> {
    let mut starts = starts.concat();
    starts.sort_unstable();
    starts.dedup();
    let end = u128::MAX >> (128 - u32::from(bits));
    starts.retain(|start| *start <= end);
    let lasts: Vec<u128> = starts.iter().skip(1).map(|start| start - 1).chain([end]).collect();
    starts.into_iter().zip(lasts).collect()
}

/// A range as prefixes, each as wide as fits, with their lengths.
fn blocks((first, last): Range, bits: u8) -> impl Iterator<Item = (u128, u8)> {
    let mut next = Some(first);
    std::iter::from_fn(move || {
        let first = next?;
        // As many host bits as the beginning has zeros and the rest has room for.
        let aligned = first.trailing_zeros().min(u32::from(bits));
        let room = match (last - first).checked_add(1) {
            Some(count) => count.ilog2(),
            None => 128,
        };
        let host_bits = aligned.min(room);
        let end = first + u128::MAX.checked_shr(128 - host_bits).unwrap_or(0);
        next = if end >= last { None } else { Some(end + 1) };
        Some((first, bits - host_bits as u8))
    })
}

fn widest(range: Range, bits: u8) -> (u128, u8) {
    blocks(range, bits).min_by_key(|(_, len)| *len).unwrap_or((range.0, bits))
}

/// Keeps the widest blocks in order, IPv4 and IPv6 by how much of their space they are.
fn keep_widest(kept: &mut Vec<ChangedBlock>, block: ChangedBlock, top: usize) {
    let key = |block: &ChangedBlock| (block.net.prefix_len(), block.net.addr());
    let at = kept.partition_point(|known| key(known) <= key(&block));
    if at < top {
        kept.insert(at, block);
        kept.truncate(top);
    }
}

/// An address as a number.
pub fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// A number as an address of so many bits.
pub fn address(number: u128, bits: u8) -> IpAddr {
    match bits {
        32 => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
        _ => IpAddr::V6(Ipv6Addr::from_bits(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology(nets: &[&str]) -> Topology {
        Topology {
            regions: vec!["a".into()],
            prefixes: nets.iter().map(|net| (net.parse().unwrap(), 0)).collect(),
            ..Topology::default()
        }
    }

    #[test]
    fn ranges_fall_into_the_widest_blocks() {
        let of = |first: &str, last: &str, bits| {
            let range = (number(first.parse().unwrap()), number(last.parse().unwrap()));
            let nets = blocks(range, bits).map(|(first, len)| format!("{}/{len}", address(first, bits)));
            nets.collect::<Vec<_>>()
        };
        assert_eq!(of("0.0.0.0", "255.255.255.255", 32), ["0.0.0.0/0"]);
        assert_eq!(
            of("10.0.0.1", "10.0.0.6", 32),
            ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/31", "10.0.0.6/32"]
        );
        assert_eq!(of("255.255.255.255", "255.255.255.255", 32), ["255.255.255.255/32"]);
        assert_eq!(of("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128), ["::/0"]);
        assert_eq!(of("::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128).len(), 128);
    }

    #[test]
    fn prefixes_that_longer_ones_cover_whole_are_found() {
        let nets = ["10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "10.128.0.0/10", "::/0", "::/1", "8000::/1"];
        let found = shadowed(&topology(&nets));
        assert_eq!(found, ["10.0.0.0/8".parse().unwrap(), "::/0".parse::<IpNet>().unwrap()]);
        assert!(shadowed(&topology(&["10.0.0.0/8", "10.0.0.0/9"])).is_empty());
    }

    #[test]
    fn ranges_are_cut_at_every_edge() {
        let found = ranges([vec![0, 0x0A00_0000, 0x0B00_0000], vec![0, 0x0A80_0000, 0x0B00_0000]], 32);
        let edges: Vec<IpAddr> = found.iter().map(|(first, _)| address(*first, 32)).collect();
        let expected = ["0.0.0.0", "10.0.0.0", "10.128.0.0", "11.0.0.0"];
        assert_eq!(edges, expected.map(|text| text.parse::<IpAddr>().unwrap()));
        assert_eq!(found.last().unwrap().1, u128::from(u32::MAX));
    }
}
