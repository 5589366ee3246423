//! Rotations against what they promise, with simple counting as the oracle.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::state::health_table::{Flags, State};
use crate::state::pool::{Candidate, Fallback, Method, PoolRules, push_record};
use crate::state::preference::Preferences;
use crate::state::topology::RegionId;

/// One IPv4 pool; members are (weight, region), their addresses 192.0.2.index or 198.51.x.y for fallback ones.
fn pool(
    method: Method,
    fallback: Fallback,
    max: u16,
    members: &[(u32, Option<u16>)],
    fallbacks: usize,
) -> Pool {
    let mut records = Vec::new();
    let mut candidates = Vec::new();
    for (member, (weight, region)) in members.iter().enumerate().filter(|(_, (weight, _))| *weight > 0) {
        candidates.push(Candidate { member: member as u16, weight: *weight, region: region.map(RegionId) });
        push_record(&mut records, Family::V4, IpAddr::from([192, 0, (member >> 8) as u8, member as u8]));
    }
    let fallback_at = candidates.len();
    for extra in 0..fallbacks {
        candidates.push(Candidate { member: (members.len() + extra) as u16, weight: 1, region: None });
        push_record(&mut records, Family::V4, IpAddr::from([198, 51, 100, extra as u8]));
    }
    let regions: Vec<RegionId> = candidates.iter().filter_map(|c: &Candidate| c.region).collect();
    let preferences = Preferences::own_region_first(regions);
    let rules = PoolRules {
        pool_id: 0,
        first_member: 0,
        member_count: members.len() as u16,
        max_addrs_returned: max,
        method,
        fallback,
    };
    let v4 = FamilyPool {
        rules,
        family: Family::V4,
        has_members: !members.is_empty(),
        candidates: candidates.into(),
        fallback_at,
        records: records.into(),
        is_by_client: !preferences.is_empty(),
        preferences,
        slots: None,
        tree: None,
        room: None,
        first_rotation: 0,
    };
    let first_rotation = v4.rotation_count() as u32;
    Pool { rules, v4, v6: FamilyPool { first_rotation, ..FamilyPool::empty(rules, Family::V6) } }
}

/// Members in place of records.
mod picked;
/// The methods beside weighted rotation.
mod methods;

struct Bench {
    pool: Pool,
    table: RotationTable,
    health: HealthTable,
}

impl Bench {
    fn new(pool: Pool) -> Bench {
        let table = RotationTable::new(std::slice::from_ref(&pool), 0);
        let health = HealthTable::new([usize::from(pool.rules.member_count)]);
        Bench { pool, table, health }
    }

    fn set(&self, states: &[State]) {
        self.set_words(states.iter().map(|s| Word::new(*s, 1)));
    }

    fn set_words(&self, words: impl IntoIterator<Item = Word>) {
        self.health.write(0, words.into_iter().enumerate());
    }

    fn draw(&mut self, scope: usize) -> Result<Vec<[u8; 4]>, Source> {
        let mut out = [0; 16 * 1024];
        match self.table.draw(&self.health, &self.pool.v4, scope, Ttl::fixed(30), &mut out) {
            Drawn { count: 0, source } => Err(source),
            Drawn { count, .. } => Ok(out
                .chunks(A_RECORD_OCTETS)
                .take(count as usize)
                .map(|r| {
                    assert_eq!(r[..12], [0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
                    [r[12], r[13], r[14], r[15]]
                })
                .collect()),
        }
    }
}

fn member(index: usize) -> [u8; 4] {
    [192, 0, (index >> 8) as u8, index as u8]
}

const ALL_UP: [State; 1024] = [State::Up; 1024];

#[test]
fn three_to_one_is_exact_over_every_cycle() {
    for weights in [[3, 1], [300, 100], [30_000, 10_000]] {
        let members = weights.map(|w| (w, None));
        let mut bench = Bench::new(pool(Method::Weighted, Fallback::Any, 1, &members, 0));
        bench.set(&ALL_UP[..2]);
        let first = (0..4000).filter(|_| bench.draw(0).unwrap() == [member(0)]).count();
        assert_eq!(first, 3000);
        let counts: Vec<u64> = bench.table.draw_counts().iter().map(|c| c.load(Ordering::Relaxed)).collect();
        assert_eq!(counts, [3000, 1000]);
    }
}

#[test]
fn two_addresses_of_ten_to_one_are_always_distinct() {
    let mut bench = Bench::new(pool(Method::Weighted, Fallback::Any, 2, &[(10, None), (1, None)], 0));
    bench.set(&ALL_UP[..2]);
    let mut led = HashMap::new();
    for _ in 0..1100 {
        let answer = bench.draw(0).unwrap();
        assert_eq!(answer.iter().collect::<HashSet<_>>().len(), 2);
        *led.entry(answer[0]).or_insert(0) += 1;
    }
    assert_eq!(led[&member(0)], 1000);
}

#[test]
fn members_down_or_of_weight_zero_are_not_drawn_and_unknown_ones_only_without_an_up_one() {
    let mut bench =
        Bench::new(pool(Method::Weighted, Fallback::Any, 4, &[(1, None), (0, None), (1, None)], 0));
    assert_eq!(bench.draw(0).unwrap().len(), 2, "nobody has a verdict: both of weight 1");
    bench.set(&[State::Unknown, State::Up, State::Up]);
    assert_eq!(bench.draw(0).unwrap(), [member(2)]);
    bench.set(&[State::Unknown, State::Up, State::Down]);
    assert_eq!(bench.draw(0).unwrap(), [member(0)], "no drawable member is UP");
    bench.set(&[State::Down, State::Up, State::Down]);
    assert_eq!(bench.draw(0).unwrap().len(), 2, "fallback any: all of weight above 0");
}

#[test]
fn fallbacks_answer_when_nothing_can_be_drawn() {
    let down = [State::Down; 2];
    for (fallback, expected) in [
        (Fallback::Refuse, Err(Source::Empty)),
        (Fallback::NoData, Err(Source::Empty)),
        (Fallback::Any, Ok(2)),
    ] {
        let mut bench = Bench::new(pool(Method::Weighted, fallback, 2, &[(1, None), (1, None)], 0));
        bench.set(&down);
        assert_eq!(bench.draw(0).map(|a| a.len()), expected);
        let exhausted = bench.table.is_exhausted(&bench.health, &bench.pool);
        assert_eq!(exhausted, fallback != Fallback::Any);
    }
    let mut bench = Bench::new(pool(Method::Weighted, Fallback::Addresses, 2, &[(1, None), (1, None)], 3));
    bench.set(&down);
    let answer = bench.draw(0).unwrap();
    assert!(answer.len() == 2 && answer.iter().all(|a| a[0] == 198));
    bench.set(&[State::Up, State::Down]);
    assert_eq!(bench.draw(0).unwrap(), [member(0)]);
}

#[test]
fn first_up_gives_one_address_in_listed_order_and_any_rotates_over_all() {
    let mut bench =
        Bench::new(pool(Method::FirstUp(1), Fallback::Any, 3, &[(1, None), (5, None), (1, None)], 0));
    bench.set(&[State::Down, State::Up, State::Up]);
    assert_eq!(bench.draw(0).unwrap(), [member(1)]);
    assert_eq!(bench.draw(0).unwrap(), [member(1)]);
    bench.set(&[State::Up; 3]);
    assert_eq!(bench.draw(0).unwrap(), [member(0)]);
    bench.set(&[State::Down; 3]);
    assert_eq!(bench.draw(0).unwrap().len(), 3);
}

#[test]
fn region_is_left_only_when_nobody_there_is_up() {
    let members = [(1, Some(7)), (1, Some(7)), (1, Some(9))];
    let mut bench = Bench::new(pool(Method::Weighted, Fallback::Any, 3, &members, 0));
    assert_eq!(bench.draw(2).unwrap(), [member(2)], "before any verdict the region holds too");
    bench.set(&[State::Up; 3]);
    assert_eq!(bench.draw(0).unwrap().len(), 3);
    assert_eq!(bench.draw(2).unwrap(), [member(2)]);
    assert_eq!(bench.draw(1).unwrap().len(), 2);
    bench.set(&[State::Up, State::Down, State::Down]);
    assert_eq!(bench.draw(1).unwrap(), [member(0)]);
    assert_eq!(bench.draw(2).unwrap(), [member(0)], "nobody in region 9: anywhere");
}

#[test]
fn answer_that_does_not_fit_is_not_written_in_part() {
    let mut bench = Bench::new(pool(Method::Weighted, Fallback::Any, 2, &[(1, None), (1, None)], 0));
    bench.set(&ALL_UP[..2]);
    let mut out = [0; 31];
    let drawn = bench.table.draw(&bench.health, &bench.pool.v4, 0, Ttl::fixed(1), &mut out);
    assert_eq!((drawn, out), (Drawn { count: 0, source: Source::Up }, [0; 31]));
}

#[test]
fn positions_and_counts_are_carried_into_a_new_table() {
    let members = [(2, None), (1, None), (1, None)];
    let mut bench = Bench::new(pool(Method::Weighted, Fallback::Any, 1, &members, 0));
    bench.set(&ALL_UP[..3]);
    let mut reference = Bench::new(pool(Method::Weighted, Fallback::Any, 1, &members, 0));
    reference.set(&ALL_UP[..3]);
    for _ in 0..5 {
        assert_eq!(bench.draw(0), reference.draw(0));
    }
    let mut next = RotationTable::new(std::slice::from_ref(&bench.pool), 77);
    let carry = Carry { rotations: vec![(0, 0), (1, 1)], members: vec![(0, 0), (1, 1), (2, 2)] };
    next.carry_from(&bench.table, &carry);
    bench.table = next;
    for _ in 0..7 {
        assert_eq!(bench.draw(0), reference.draw(0));
    }
    let total: u64 = bench.table.draw_counts().iter().map(|c| c.load(Ordering::Relaxed)).sum();
    assert_eq!(total, 12);
}

#[test]
fn member_that_is_up_and_weighs_nothing_is_not_drawn() {
    let members = [(1, None), (1, None), (1, None)];
    let mut bench = Bench::new(pool(Method::Weighted, Fallback::Any, 3, &members, 0));
    let up = Word::new(State::Up, 1);
    let drained = up.with_permille(0).with_flags(Flags::DRAINING);
    bench.set_words([drained, up, up.with_weight_override(Some(0))]);
    assert_eq!(bench.draw(0).unwrap(), [member(1)]);
    bench.set_words([drained, Word::new(State::Down, 1), Word::new(State::Down, 1)]);
    let answer: HashSet<_> = bench.draw(0).unwrap().into_iter().collect();
    assert_eq!(answer, HashSet::from([member(1), member(2)]), "fallback any: all but the drained one");
    bench.set_words([drained, drained, up.with_weight_override(Some(0))]);
    let answer: HashSet<_> = bench.draw(0).unwrap().into_iter().collect();
    assert_eq!(answer, HashSet::from([member(0), member(1)]), "all are drained: better these than none");
}

#[test]
fn frozen_states_are_told_by_the_source_and_leave_the_usual_way() {
    let mut bench = Bench::new(pool(Method::Weighted, Fallback::Any, 1, &[(1, None), (1, None)], 0));
    let frozen = Word::new(State::Up, 1).with_flags(Flags::FROZEN);
    bench.set_words([frozen, frozen]);
    let mut out = [0; MAX_RECORD_OCTETS];
    let Bench { pool, table, health } = &mut bench;
    assert_eq!(
        table.draw(health, &pool.v4, 0, Ttl::fixed(30), &mut out),
        Drawn { count: 1, source: Source::Frozen }
    );
    assert_eq!(table.draw_single(health, &pool.v4, 0, Ttl::fixed(30), &mut out), None);
    bench.set(&ALL_UP[..2]);
    let Bench { pool, table, health } = &mut bench;
    assert_eq!(
        table.draw(health, &pool.v4, 0, Ttl::fixed(30), &mut out),
        Drawn { count: 1, source: Source::Up }
    );
    assert_eq!(table.draw_single(health, &pool.v4, 0, Ttl::fixed(30), &mut out), Some(()));
}

#[test]
fn ttl_follows_the_nearest_flip_of_whom_may_be_answered() {
    let ttl_of = |bench: &mut Bench, ttl: Ttl| {
        let mut out = [0; MAX_RECORD_OCTETS];
        let Bench { pool, table, health } = bench;
        let single = table.draw_single(health, &pool.v4, 0, ttl, &mut out);
        let told = |out: &[u8]| u32::from_be_bytes(out[6..10].try_into().unwrap());
        let by_single = single.map(|()| told(&out));
        table.draw(health, &pool.v4, 0, ttl, &mut out);
        assert!(by_single.is_none_or(|secs| secs == told(&out)), "both ways tell the same");
        told(&out)
    };
    let mut bench =
        Bench::new(pool(Method::Weighted, Fallback::Addresses, 1, &[(1, None), (1, None), (1, None)], 1));
    let (up, down) = (Word::new(State::Up, 1), Word::new(State::Down, 1));
    let dynamic = Ttl::dynamic(60, 5);
    for (words, expected) in [
        ([up.with_flip_secs(20), up.with_flip_secs(40), down.with_flip_secs(1)], 20),
        ([up.with_flip_secs(200), up, down.with_flip_secs(1)], 60),
        ([up.with_flip_secs(1), up, down], 5),
        ([up, up, up], 60),
        ([down.with_flip_secs(30), down.with_flip_secs(10), down], 10),
    ] {
        bench.set_words(words);
        // The first draw brings the rotation up to date.
        ttl_of(&mut bench, dynamic);
        assert_eq!(ttl_of(&mut bench, dynamic), expected, "{words:?}");
        assert_eq!(ttl_of(&mut bench, Ttl::fixed(30)), 30);
    }
}

#[test]
fn shares_follow_overrides_and_thousandths_exactly() {
    let members = [(1, None), (65_535, None), (3, None)];
    let mut bench = Bench::new(pool(Method::Weighted, Fallback::Any, 1, &members, 0));
    let up = Word::new(State::Up, 1);
    bench.set_words([
        up.with_weight_override(Some(4)),
        up.with_weight_override(Some(8)).with_permille(250),
        up.with_permille(500),
    ]);
    for _ in 0..75 {
        bench.draw(0).unwrap();
    }
    let counts: Vec<u64> = bench.table.draw_counts().iter().map(|c| c.load(Ordering::Relaxed)).collect();
    assert_eq!(counts, [40, 20, 15], "4 : 2 : 1.5");
}

#[test]
fn cycle_too_long_for_its_numbers_is_scaled_down_and_nobody_is_lost() {
    let members: Vec<_> = (0..1024).map(|_| (65_535, None)).collect();
    let mut bench = Bench::new(pool(Method::Weighted, Fallback::Any, 1, &members, 0));
    let up = Word::new(State::Up, 1);
    bench.set_words((0..1024).map(|m| match m {
        0 => up.with_weight_override(Some(1)).with_permille(1),
        _ => up.with_permille(1000 - (m % 7)),
    }));
    bench.draw(0).unwrap();
    let rotation = &bench.table.rotations[0];
    assert!(u64::from(rotation.total) <= 1 << 31 && rotation.total > 1 << 29, "{}", rotation.total);
    let ends: Vec<u32> = bench.table.entries[..1024].iter().map(|entry| entry.end).collect();
    assert_eq!(ends[0], 1);
    assert!(ends.is_sorted_by(|a, b| a < b), "everybody has a share");
    for _ in 0..100_000 {
        bench.draw(0).unwrap();
    }
}

fn states() -> impl Strategy<Value = State> {
    prop_oneof![3 => Just(State::Up), 1 => Just(State::Down), 1 => Just(State::Unknown)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn every_cycle_is_exact_every_answer_distinct_and_only_the_healthy_are_in_it(
        members in prop::collection::vec((0u32..60, states()), 1..24), max in 1u16..12, seed in any::<u32>(),
    ) {
        let weights: Vec<_> = members.iter().map(|(w, _)| (*w, None)).collect();
        let states: Vec<_> = members.iter().map(|(_, s)| *s).collect();
        let mut bench = Bench::new(pool(Method::Weighted, Fallback::NoData, max, &weights, 0));
        bench.table = RotationTable::new(std::slice::from_ref(&bench.pool), seed);
        bench.set(&states);
        let any_up = members.iter().any(|(w, s)| *w > 0 && *s == State::Up);
        let wanted = if any_up { State::Up } else { State::Unknown };
        let drawable: Vec<usize> = (0..members.len()).filter(|i| members[*i].0 > 0 && states[*i] == wanted).collect();
        if drawable.is_empty() {
            prop_assert_eq!(bench.draw(0), Err(Source::Empty));
            return Ok(());
        }
        let total: u32 = drawable.iter().map(|i| members[*i].0).sum();
        let take = usize::from(max).min(drawable.len());
        let mut led: HashMap<[u8; 4], u32> = HashMap::new();
        let mut seen: HashMap<[u8; 4], u32> = HashMap::new();
        for _ in 0..total {
            let answer = bench.draw(0).unwrap();
            prop_assert_eq!(answer.len(), take);
            let distinct: HashSet<_> = answer.iter().copied().collect();
            prop_assert_eq!(distinct.len(), take, "{:?}", answer);
            *led.entry(answer[0]).or_default() += 1;
            for address in answer { *seen.entry(address).or_default() += 1; }
        }
        for i in drawable.iter().copied() {
            prop_assert_eq!(led.get(&member(i)).copied().unwrap_or(0), members[i].0, "leads in proportion to its weight");
            if u64::from(members[i].0) * take as u64 >= u64::from(total) || take == drawable.len() {
                prop_assert_eq!(seen[&member(i)], total, "a share above 1/k is in every answer");
            }
        }
        prop_assert_eq!(led.values().sum::<u32>(), total);
    }

    #[test]
    fn rebuilt_rotation_equals_a_new_one_but_for_its_position(
        weights in prop::collection::vec(1u32..9, 2..10), flips in prop::collection::vec((any::<prop::sample::Index>(), states()), 1..40),
    ) {
        let members: Vec<_> = weights.iter().map(|w| (*w, None)).collect();
        let mut bench = Bench::new(pool(Method::Weighted, Fallback::Any, 2, &members, 0));
        let mut current = vec![State::Unknown; members.len()];
        for (index, state) in flips {
            let at = index.index(current.len());
            current[at] = state;
            bench.health.write(0, [(at, Word::new(state, 5))]);
            let mut fresh = Bench::new(pool(Method::Weighted, Fallback::Any, 2, &members, 0));
            fresh.set(&current);
            let cycle = weights.iter().sum::<u32>();
            let count = |bench: &mut Bench| {
                let mut led: HashMap<[u8; 4], u32> = HashMap::new();
                // Twice a multiple of every possible reduced cycle is not needed: one full unreduced cycle of the drawable.
                let drawable: Vec<usize> = [State::Up, State::Unknown].into_iter()
                    .map(|s| (0..members.len()).filter(|i| current[*i] == s).collect::<Vec<_>>())
                    .find(|d| !d.is_empty()).unwrap_or_else(|| (0..members.len()).collect());
                for _ in 0..drawable.iter().map(|i| weights[*i]).sum::<u32>().min(cycle) {
                    *led.entry(bench.draw(0).unwrap()[0]).or_default() += 1;
                }
                led
            };
            prop_assert_eq!(count(&mut bench), count(&mut fresh));
        }
    }
}

proptest! {
    #[test]
    fn every_answer_is_one_of_few_sets_and_says_which(
        weights in prop::collection::vec(1u32..40, 1..12),
        max in 2u16..8,
        down in prop::collection::vec(any::<bool>(), 12),
    ) {
        let members: Vec<_> = weights.iter().map(|weight| (*weight, None)).collect();
        let mut bench = Bench::new(pool(Method::Weighted, Fallback::Any, max, &members, 0));
        let states: Vec<State> =
            down.iter().take(members.len()).map(|is_down| if *is_down { State::Down } else { State::Up }).collect();
        bench.set(&states);
        let (sequence, sets) = bench.table.sets(&bench.health, &bench.pool.v4, 0).unwrap();
        prop_assert!(sets.len() <= members.len(), "{} sets of {} members", sets.len(), members.len());
        prop_assert_eq!(bench.table.settled(&bench.health, &bench.pool.v4, 0), (0, sequence));
        let mut seen = HashSet::new();
        for _ in 0..2000 {
            let mut out = [0; 1024];
            let (drawn, set) = bench.table.draw_set(&bench.pool.v4, 0, Ttl::fixed(30), &mut out);
            let answer: HashSet<[u8; 4]> = out
                .chunks(A_RECORD_OCTETS)
                .take(drawn.count as usize)
                .filter_map(|record| record.last_chunk().copied())
                .collect();
            let expected: HashSet<[u8; 4]> = sets[set].iter().map(|index| member(usize::from(*index))).collect();
            prop_assert_eq!(sets[set].len(), drawn.count as usize);
            prop_assert_eq!(answer, expected);
            seen.insert(set);
        }
        prop_assert_eq!(seen.len(), sets.len(), "a set that is never drawn");
    }
}

#[test]
fn nobody_to_draw_is_no_set() {
    let mut bench = Bench::new(pool(Method::Weighted, Fallback::Refuse, 3, &[(1, None)], 0));
    bench.set(&[State::Down]);
    assert_eq!(bench.table.sets(&bench.health, &bench.pool.v4, 0).unwrap().1, Vec::<Vec<u16>>::new());
}
