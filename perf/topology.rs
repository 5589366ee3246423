//! A large topology in one process: `topology FILE` loads and compiles a configuration, tells time and memory of each phase, and
//! what a lookup takes at random addresses, at random ones that prefixes hold, and at a few hot ones.
//!
//! `topology --prefixes N SEED` prints N prefixes with regions instead, as `topology_prefixes` takes them: three of four IPv4, of
//! the lengths of routing tables, nested and side by side, none twice. `topology --count FILE ROUNDS` only looks up
//! so many addresses, for counting instructions.
#![expect(clippy::print_stdout, reason = "a program whose result is what it prints")]

use std::collections::HashSet;
use std::hint::black_box;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Instant;

use ipnet::IpNet;
use steerd::config::{self, compile::compile};
use steerd::state::topology::Topology;

mod phase;

use phase::timed;

/// Regions of the prefixes that are printed.
const REGIONS: u64 = 1000;
/// Addresses that are looked up in turn; enough that a cache does not hold what they lead to.
const ADDRESSES: usize = 1 << 20;
/// Addresses of those who ask most.
const HOT: usize = 64;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--prefixes", count, seed] => print_prefixes(count.parse()?, seed.parse()?),
        ["--count", file, rounds] => count(file, rounds.parse()?),
        [file] => measure(file),
        _ => Err("usage: topology FILE | --prefixes N SEED | --count FILE ROUNDS".into()),
    }
}

/// Numbers that are the same for the same seed (Steele, Lea and Flood 2014).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// Below `bound`; the error of the remainder does not matter here.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn prefix(&mut self) -> IpNet {
        if self.below(4) > 0 {
            // As many as announced: most /24, some shorter, some of hosts.
            let len = match self.below(100) {
                0..60 => 24,
                60..90 => 12 + self.below(12),
                _ => 25 + self.below(8),
            };
            let address =
                Ipv4Addr::from_bits((1 + self.below(223)) as u32 * 0x0100_0000 + self.below(1 << 24) as u32);
            IpNet::new_assert(address.into(), len as u8).trunc()
        } else {
            let len = [32, 36, 40, 44, 48, 48, 48, 56, 64][self.below(9) as usize];
            let bits = 0x2000 + u128::from(self.below(0x1000));
            let address = bits << 112 | u128::from(self.next()) << 48 | u128::from(self.next() >> 16);
            IpNet::new_assert(Ipv6Addr::from_bits(address).into(), len).trunc()
        }
    }
}

fn print_prefixes(count: usize, seed: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = Numbers(seed);
    let mut known = HashSet::new();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    while known.len() < count {
        let prefix = numbers.prefix();
        if known.insert(prefix) {
            writeln!(out, "{prefix} r{}", numbers.below(REGIONS))?;
        }
    }
    Ok(out.flush()?)
}

fn measure(file: &str) -> Result<(), Box<dyn std::error::Error>> {
    println!("{:<28} {:>9} {:>13} {:>13}", "phase", "ms", "VmRSS MiB", "VmHWM MiB");
    let loaded = timed("read and check", || config::load(Path::new(file), None));
    let config = loaded.map_err(|report| report.to_string())?.config;
    let prefixes: Vec<IpNet> = config.topology.prefixes.iter().map(|(net, _)| *net).collect();
    let snapshot = timed("compile", || compile(&config, 1));
    timed("free the model", || drop(config));
    println!(
        "{} prefixes, {} ranges, {} kinds of clients, locations to {:.1} km",
        prefixes.len(),
        snapshot.topology.range_count(),
        snapshot.clients.class_count(),
        snapshot.clients.error_km()
    );
    println!("{:<28} {:>9} {:>13}", "lookups", "ns each", "in a region");
    let mut numbers = Numbers(1);
    let random4 = |numbers: &mut Numbers| IpAddr::from(Ipv4Addr::from_bits(numbers.next() as u32));
    let random6 = |numbers: &mut Numbers| {
        IpAddr::from(Ipv6Addr::from_bits(
            0x2 << 124 | u128::from(numbers.next()) << 60 | u128::from(numbers.next() >> 4),
        ))
    };
    let of = |is_ipv4: bool| {
        prefixes.iter().filter(|net| net.addr().is_ipv4() == is_ipv4).copied().collect::<Vec<_>>()
    };
    let (v4, v6) = (of(true), of(false));
    lookups("IPv4, random", &snapshot.topology, &mut || random4(&mut numbers), ADDRESSES);
    lookups("IPv4, in prefixes", &snapshot.topology, &mut || inside(&v4, &mut numbers), ADDRESSES);
    lookups("IPv4, hot", &snapshot.topology, &mut || inside(&v4, &mut numbers), HOT);
    lookups("IPv6, random", &snapshot.topology, &mut || random6(&mut numbers), ADDRESSES);
    lookups("IPv6, in prefixes", &snapshot.topology, &mut || inside(&v6, &mut numbers), ADDRESSES);
    lookups("IPv6, hot", &snapshot.topology, &mut || inside(&v6, &mut numbers), HOT);
    Ok(())
}

/// An address of one of these prefixes.
fn inside(prefixes: &[IpNet], numbers: &mut Numbers) -> IpAddr {
    if prefixes.is_empty() {
        return IpAddr::from([0, 0, 0, 0]);
    }
    let prefix = prefixes[numbers.below(prefixes.len() as u64) as usize];
    match prefix {
        IpNet::V4(net) => {
            (net.network() | Ipv4Addr::from_bits(numbers.next() as u32) & net.hostmask()).into()
        }
        IpNet::V6(net) => {
            let random = u128::from(numbers.next()) << 64 | u128::from(numbers.next());
            (net.network() | Ipv6Addr::from_bits(random) & net.hostmask()).into()
        }
    }
}

/// One lookup after the other, each beginning when the one before has ended, as queries do.
fn lookups(name: &str, topology: &Topology, address: &mut dyn FnMut() -> IpAddr, count: usize) {
    let addresses: Vec<IpAddr> = (0..count).map(|_| address()).collect();
    let mut found = 0;
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        found = 0;
        let started = Instant::now();
        let mut at = 0;
        for _ in 0..ADDRESSES {
            let one = topology.lookup(addresses[at]);
            found += usize::from(one.region.is_some());
            // The next one hangs on what was found; no length is above 128.
            at = (at + 1 + usize::from(black_box(one.uniform_len) > 128)) & (count - 1);
        }
        best = best.min(started.elapsed().as_secs_f64() * 1e9 / ADDRESSES as f64);
    }
    let share = black_box(found) as f64 / ADDRESSES as f64 * 100.0;
    println!("{name:<28} {best:>9.1} {share:>12.0}%");
}

/// Looks up addresses of prefixes, and nothing else in between.
fn count(file: &str, rounds: usize) -> Result<(), Box<dyn std::error::Error>> {
    let config = config::load(Path::new(file), None).map_err(|report| report.to_string())?.config;
    let prefixes: Vec<IpNet> = config.topology.prefixes.iter().map(|(net, _)| *net).collect();
    let topology = compile(&config, 1).topology;
    let mut numbers = Numbers(1);
    let addresses: Vec<IpAddr> = (0..rounds).map(|_| inside(&prefixes, &mut numbers)).collect();
    look_up_all(&topology, &addresses);
    Ok(())
}

/// Apart from the rest, so that its instructions can be told.
#[inline(never)]
fn look_up_all(topology: &Topology, addresses: &[IpAddr]) {
    for address in addresses {
        black_box(topology.lookup(black_box(*address)));
    }
}
