//! Draws of every method, and of pools with a capacity, against shares worked out by hand.

use super::*;

#[test]
fn draws_for_all_regions_together_bring_nobody_more_than_there_is_room_for() {
    // 20 in each region, which are all there are, so 60 in all; each member has room for half as much again.
    let text = "globalnames: {n.example: p}\ntopology: {r0: 10.0.0.0/16, r1: 10.1.0.0/16, r2: [0.0.0.0/0, \"::/0\"]}\npools:\n  p:\n    \
                lb_method: twrr\n    next: {r0: [r1, anywhere], r1: [r2, anywhere], r2: [r0, anywhere]}\n    members:\n";
    let members: String = (0..3u8)
        .flat_map(|region| (1..3u8).map(move |number| (region, number)))
        .map(|(region, number)| format!("    - {{ip: 10.{region}.0.{number}, weight: 10, capacity: 15}}\n"))
        .collect();
    let text = format!("{text}{members}    monitor: tcp\n    monitor_params: {{port: 9}}\n");
    for (down, expected) in [
        (&[][..], [[10.0, 10.0], [10.0, 10.0], [10.0, 10.0]]),
        // 15 of the 20 fit beside it, 5 go on to the next region.
        (&[(0, 1)], [[0.0, 15.0], [12.5, 12.5], [10.0, 10.0]]),
        // 20 go on, 10 of which find room there, and then anywhere.
        (&[(0, 1), (0, 2)], [[0.0, 0.0], [15.0, 15.0], [15.0, 15.0]]),
        // 45 is all the room there is for 60: all are equally beyond it.
        (&[(0, 1), (0, 2), (1, 1)], [[0.0, 0.0], [0.0, 20.0], [20.0, 20.0]]),
    ] {
        let state = |_, ip: Ipv4Addr| match down.contains(&(ip.octets()[1], ip.octets()[3])) {
            true => State::Down,
            false => State::Up,
        };
        let mut compiled = Compiled::new(&text, state);
        let mut loads: BTreeMap<Ipv4Addr, f64> = BTreeMap::new();
        for client in 0..3 {
            for (who, share) in compiled.drawn(0, Some(client)) {
                *loads.entry(who).or_insert(0.0) += share * 20.0;
            }
        }
        let of =
            |region: u8, number: u8| loads.get(&Ipv4Addr::new(10, region, 0, number)).copied().unwrap_or(0.0);
        let found = [0, 1, 2].map(|region| [of(region, 1), of(region, 2)]);
        let errors = found.iter().flatten().zip(expected.iter().flatten()).map(|(a, b)| (a - b).abs());
        let error = errors.fold(0.0, f64::max);
        eprintln!("down {down:?}: {found:.3?}, largest error {error:.4} of 10");
        assert!(error < 0.005, "{found:?} {expected:?}");
    }
}

#[test]
fn every_method_draws_by_weight_among_those_it_chooses() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table");
    std::fs::write(&table, "r0 r1 10\nr0 r0 20\nr1 r0 5\nr1 r2 6\n").unwrap();
    let text = format!(
        "globalnames: {{wrr.example: wrr, twrr.example: twrr, next.example: next, first.example: first, random.example: random, \
         near.example: near, fast.example: fast}}
topology:
  r0: {{prefixes: [10.0.0.0/16], coordinates: [52.5, 13.4]}}
  r1: {{prefixes: [10.1.0.0/16], coordinates: [40.7, -74.0]}}
  r2: {{prefixes: [10.2.0.0/16], coordinates: [48.9, 2.4]}}
pools:
  wrr: &pool
    lb_method: wrr
    members: {{10.0.0.1: {{weight: 5}}, 10.0.0.2: {{weight: 2}}, 10.1.0.1: {{weight: 3}}, 10.1.0.2: , 10.2.0.1: {{weight: 7}}}}
    monitor: tcp
    monitor_params: {{port: 9}}
  twrr: {{<<: *pool, lb_method: twrr}}
  next: {{<<: *pool, lb_method: twrr, next: [r2, r0]}}
  first: {{<<: *pool, lb_method: fogroup, first: 3}}
  random: {{<<: *pool, lb_method: random}}
  near: {{<<: *pool, lb_method: nearest}}
  fast: {{<<: *pool, lb_method: latency, table: {}}}
",
        table.display()
    );
    let weights = [((0, 1), 5.0), ((0, 2), 2.0), ((1, 1), 3.0), ((1, 2), 1.0), ((2, 1), 7.0)];
    let all: &[u8] = &[0, 1, 2];
    // Method, client, who is down, and the regions that are drawn from; of `first` the first three that are up.
    for (pool, name, client, down, regions) in [
        (0, "wrr", None, &[][..], all),
        (0, "wrr", None, &[(2, 1)], all),
        (1, "twrr", Some(0), &[], &[0]),
        (1, "twrr", Some(0), &[(0, 1)], &[0]),
        (1, "twrr", Some(1), &[(1, 1), (1, 2)], all),
        (2, "twrr, next", Some(1), &[(1, 1), (1, 2)], &[2]),
        (2, "twrr, next", Some(1), &[(1, 1), (1, 2), (2, 1)], &[0]),
        (3, "fogroup", Some(1), &[(0, 1)], all),
        (4, "random", Some(1), &[], all),
        (5, "nearest", Some(0), &[], &[0]),
        (5, "nearest", Some(0), &[(0, 1), (0, 2)], &[2]),
        (5, "nearest", Some(0), &[(0, 1), (0, 2), (2, 1)], &[1]),
        (6, "latency", Some(0), &[], &[1]),
        (6, "latency", Some(0), &[(1, 1), (1, 2)], &[0]),
        (6, "latency", Some(1), &[(0, 1), (0, 2)], &[2]),
    ] {
        let is_down = |who: (u8, u8)| down.contains(&who);
        let mut chosen: Vec<_> = weights
            .iter()
            .filter(|((region, number), _)| !is_down((*region, *number)) && regions.contains(region))
            .collect();
        if pool == 3 {
            chosen.truncate(3);
        }
        let whole: f64 = chosen.iter().map(|(_, weight)| weight).sum();
        let theory: BTreeMap<Ipv4Addr, f64> = chosen
            .iter()
            .map(|((region, number), weight)| (address(*region, *number), weight / whole))
            .collect();
        let state = |_, ip: Ipv4Addr| match is_down((ip.octets()[1], ip.octets()[3])) {
            true => State::Down,
            false => State::Up,
        };
        let mut compiled = Compiled::new(&text, state);
        let error = largest_error(&compiled.drawn(pool, client), &theory);
        eprintln!("{name}, client {client:?}, down {down:?}: {} members, error {error:.6}", theory.len());
        // A rotation is exact but for the cycle that is begun; chance is within six standard deviations.
        assert!(error < if name == "random" { 0.009 } else { 0.0002 }, "{error} {theory:?}");
    }
}
