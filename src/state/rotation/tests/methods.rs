//! Draws by chance, by the client's network and by preference, against what they promise.

use super::*;
use crate::state::hash_slots::HashSlots;
use crate::state::health_table::Flags;
use crate::state::preference::Preference;

const DRAWS: usize = 100_000;

/// How often each member leads, of many draws for the scopes that `scope_of` gives.
fn led(bench: &mut Bench, draws: usize, mut scope_of: impl FnMut(usize) -> usize) -> HashMap<[u8; 4], usize> {
    let mut led = HashMap::new();
    for draw in 0..draws {
        let answer = bench.draw(scope_of(draw)).unwrap();
        *led.entry(answer[0]).or_insert(0) += 1;
    }
    led
}

fn hashed(max: u16, weights: &[u32]) -> Bench {
    let members: Vec<_> = weights.iter().map(|weight| (*weight, None)).collect();
    let mut pool = pool(Method::Hashed, Fallback::Any, max, &members, 0);
    let addresses: Vec<(IpAddr, u32)> =
        weights.iter().enumerate().map(|(at, weight)| (IpAddr::from(member(at)), *weight)).collect();
    pool.v4.slots = Some(HashSlots::new(&addresses, [24, 56]));
    pool.v4.is_by_client = true;
    Bench::new(pool)
}

fn client(number: usize) -> IpAddr {
    IpAddr::from((number as u32 * 256 + 7).to_be_bytes())
}

fn scope_of(bench: &Bench, number: usize) -> usize {
    hashed_scope(bench.pool.v4.slots.as_ref().unwrap().slot_of(client(number)).0)
}

#[test]
fn chance_shares_by_weight() {
    let weights = [1, 2, 3, 10];
    let mut bench =
        Bench::new(pool(Method::Random, Fallback::Any, 1, &weights.map(|weight| (weight, None)), 0));
    bench.set(&ALL_UP[..4]);
    let led = led(&mut bench, DRAWS, |_| 0);
    for (at, weight) in weights.into_iter().enumerate() {
        let (share, theory) = (led[&member(at)] as f64 / DRAWS as f64, f64::from(weight) / 16.0);
        // Six standard deviations.
        let bound = 6.0 * (theory * (1.0 - theory) / DRAWS as f64).sqrt();
        eprintln!(
            "random, weight {weight} of 16: {share:.4}, theory {theory:.4}, error {:+.4}",
            share - theory
        );
        assert!((share - theory).abs() < bound, "{share} for {theory}");
    }
    // Chance has no rhythm: the same member twice in a row as often as its share says.
    let twice = (0..DRAWS).filter(|_| bench.draw(0).unwrap() == bench.draw(0).unwrap()).count() as f64;
    let theory: f64 = weights.iter().map(|weight| (f64::from(*weight) / 16.0).powi(2)).sum();
    assert!((twice / DRAWS as f64 - theory).abs() < 0.01, "{twice}");
}

#[test]
fn chance_draws_distinct_addresses_each_as_often_as_its_weight_allows() {
    let weights = [1, 2, 3, 4];
    let mut bench =
        Bench::new(pool(Method::Random, Fallback::Any, 2, &weights.map(|weight| (weight, None)), 0));
    bench.set(&ALL_UP[..4]);
    let mut in_answer = HashMap::new();
    for _ in 0..DRAWS {
        let answer = bench.draw(0).unwrap();
        assert!(answer.len() == 2 && answer[0] != answer[1]);
        answer.iter().for_each(|address| *in_answer.entry(*address).or_insert(0) += 1);
    }
    for (at, weight) in weights.into_iter().enumerate() {
        let share = f64::from(in_answer[&member(at)]) / DRAWS as f64;
        assert!((share - f64::from(weight) / 5.0).abs() < 0.01, "weight {weight}: {share}");
    }
}

#[test]
fn networks_share_by_weight_and_stay_where_they_are() {
    let weights = [1, 2, 3, 10];
    let mut bench = hashed(1, &weights);
    bench.set(&ALL_UP[..4]);
    let mut at_first = Vec::new();
    let mut led = HashMap::new();
    for number in 0..DRAWS {
        let answer = bench.draw(scope_of(&bench, number)).unwrap();
        *led.entry(answer[0]).or_insert(0) += 1;
        at_first.push(answer[0]);
    }
    for (at, weight) in weights.into_iter().enumerate() {
        let (share, theory) = (f64::from(led[&member(at)]) / DRAWS as f64, f64::from(weight) / 16.0);
        eprintln!(
            "hash, weight {weight} of 16: {share:.4}, theory {theory:.4}, error {:+.4}",
            share - theory
        );
        assert!((share - theory).abs() < 0.01, "{share} for {theory}");
    }
    for number in (0..DRAWS).step_by(17) {
        assert_eq!(bench.draw(scope_of(&bench, number)).unwrap()[0], at_first[number]);
    }
}

#[test]
fn member_that_fails_moves_its_own_networks_alone_and_gets_them_back() {
    for count in [2usize, 5, 10, 40] {
        let mut bench = hashed(1, &vec![1; count]);
        bench.set(&ALL_UP[..count]);
        let before: Vec<_> =
            (0..DRAWS).map(|number| bench.draw(scope_of(&bench, number)).unwrap()[0]).collect();
        let mut states = ALL_UP[..count].to_vec();
        states[1] = State::Down;
        bench.set(&states);
        let mut moved = 0;
        let mut took_over = HashSet::new();
        for (number, before) in before.iter().enumerate() {
            let now = bench.draw(scope_of(&bench, number)).unwrap()[0];
            assert_ne!(now, member(1));
            if now != *before {
                assert_eq!(*before, member(1), "a network of another member was moved");
                took_over.insert(now);
                moved += 1;
            }
        }
        let share = moved as f64 / DRAWS as f64;
        eprintln!(
            "hash, one of {count} lost: {share:.4} of the networks moved, {:.3} times 1/n",
            share * count as f64
        );
        assert!(share <= 1.05 / count as f64, "{share} of {count}");
        assert!(took_over.len() * 2 >= count - 1, "{} of {count} took over", took_over.len());
        bench.set(&ALL_UP[..count]);
        let after: Vec<_> =
            (0..DRAWS).map(|number| bench.draw(scope_of(&bench, number)).unwrap()[0]).collect();
        assert_eq!(before, after);
    }
}

#[test]
fn member_with_half_its_weight_keeps_half_of_its_networks() {
    let mut bench = hashed(1, &[1; 4]);
    bench.set(&ALL_UP[..4]);
    let before: Vec<_> = (0..DRAWS).map(|number| bench.draw(scope_of(&bench, number)).unwrap()[0]).collect();
    bench.health.write(0, [(2, Word::new(State::Up, 1).with_permille(500))]);
    let mut kept = 0;
    for (number, before) in before.iter().enumerate() {
        let now = bench.draw(scope_of(&bench, number)).unwrap()[0];
        if now == *before {
            kept += usize::from(now == member(2));
        } else {
            assert_eq!(*before, member(2), "a network of another member was moved");
        }
    }
    let share = kept as f64 / DRAWS as f64;
    assert!((0.115..0.135).contains(&share), "{share}");
    // A draining member has no network while there is another.
    bench.health.write(0, [(2, Word::new(State::Up, 1).with_permille(0).with_flags(Flags::DRAINING))]);
    assert!(!led(&mut bench, 1000, |number| hashed_scope(number % 1024)).contains_key(&member(2)));
}

#[test]
fn networks_get_several_addresses_and_whoever_is_left() {
    let mut bench = hashed(3, &[1; 20]);
    let mut states = [State::Down; 20];
    bench.set(&ALL_UP[..20]);
    let all = bench.draw(hashed_scope(5)).unwrap();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 3);
    for up in 0..20 {
        states = [State::Down; 20];
        states[up] = State::Up;
        bench.set(&states);
        assert_eq!(bench.draw(hashed_scope(5)).unwrap(), [member(up)]);
    }
    states[0] = State::Up;
    bench.set(&states);
    assert_eq!(bench.draw(hashed_scope(9)).unwrap().iter().collect::<HashSet<_>>().len(), 2);
    // Nobody is UP: all, by the fallback, still each network the same.
    bench.set(&[State::Down; 20]);
    let fallback = bench.draw(hashed_scope(5)).unwrap();
    assert_eq!((fallback.len(), &fallback), (3, &bench.draw(hashed_scope(5)).unwrap()));
    let mut into = [0; MAX_RECORD_OCTETS];
    assert_eq!(
        bench.table.draw_one(&bench.health, &bench.pool.v4, hashed_scope(5), Ttl::fixed(30), &mut into).1,
        Source::Fallback
    );
    assert_eq!(into[12..16], fallback[0]);
}

#[test]
fn first_two_of_the_list_that_are_up_share_the_draws() {
    let mut bench = Bench::new(pool(
        Method::FirstUp(2),
        Fallback::Any,
        1,
        &[(1, None), (3, None), (1, None), (1, None)],
        0,
    ));
    bench.set(&[State::Up, State::Up, State::Up, State::Up]);
    assert_eq!(led(&mut bench, 400, |_| 0), HashMap::from([(member(0), 100), (member(1), 300)]));
    bench.set(&[State::Down, State::Up, State::Down, State::Up]);
    assert_eq!(led(&mut bench, 400, |_| 0), HashMap::from([(member(1), 300), (member(3), 100)]));
}

#[test]
fn regions_follow_in_order_and_then_the_fallback() {
    let members = [(1, Some(1)), (1, Some(1)), (1, Some(2)), (1, Some(3))];
    let mut pool = pool(Method::Weighted, Fallback::Refuse, 1, &members, 0);
    let order = |regions: &[u16], then_anywhere| Preference {
        regions: regions.iter().map(|region| RegionId(*region)).collect(),
        then_anywhere,
    };
    pool.v4.preferences =
        Preferences::new([(RegionId(1), order(&[1, 2], false)), (RegionId(2), order(&[2], true))]);
    let (first, second) =
        (pool.v4.preferences.scope_of(RegionId(1)), pool.v4.preferences.scope_of(RegionId(2)));
    let mut bench = Bench::new(pool);
    use State::{Down, Unknown, Up};
    bench.set(&[Up, Up, Up, Up]);
    assert_eq!(led(&mut bench, 100, |_| first), HashMap::from([(member(0), 50), (member(1), 50)]));
    bench.set(&[Down, Down, Up, Up]);
    assert_eq!(led(&mut bench, 100, |_| first), HashMap::from([(member(2), 100)]));
    // Nobody in either region, somebody elsewhere: not for those who may not go there.
    bench.set(&[Down, Down, Down, Up]);
    assert_eq!(bench.draw(first), Err(Source::Empty));
    assert_eq!(led(&mut bench, 100, |_| second), HashMap::from([(member(3), 100)]));
    // Whoever has no verdict is drawn where nobody of those in reach is up.
    bench.set(&[Unknown, Down, Down, Up]);
    assert_eq!(led(&mut bench, 10, |_| first), HashMap::from([(member(0), 10)]));
    assert_eq!(led(&mut bench, 10, |_| 0), HashMap::from([(member(3), 10)]));
}

#[test]
fn networks_get_several_addresses_whichever_of_the_members_weigh_most() {
    // The last one is in every answer of two by weight, and so comes first among those that are arranged.
    let mut bench = hashed(2, &[1, 1, 1, 10]);
    bench.set(&ALL_UP[..4]);
    let led = led(&mut bench, DRAWS, |draw| hashed_scope(draw % 1024));
    for (at, weight) in [1, 1, 1, 10].into_iter().enumerate() {
        let (share, theory) = (led[&member(at)] as f64 / DRAWS as f64, f64::from(weight) / 13.0);
        assert!((share - theory).abs() < 0.01, "{share} for {theory}");
    }
}
