//! Draws of members in place of their records are those of records; lists have everybody that can be drawn.

use super::*;
use crate::state::hash_slots::HashSlots;

/// The addresses that are picked, by the records of the candidates.
fn pick(bench: &mut Bench, scope: usize, moves: bool) -> Result<Vec<[u8; 4]>, Source> {
    let mut picks = [0; MAX_MEMBERS];
    let family = &bench.pool.v4;
    let picked = bench.table.pick(&bench.health, family, scope, moves, &mut picks);
    let address = |candidate: &u16| {
        let record = &family.records[usize::from(*candidate) * A_RECORD_OCTETS..][..A_RECORD_OCTETS];
        [record[12], record[13], record[14], record[15]]
    };
    match picked.count {
        0 => Err(picked.source),
        count => Ok(picks[..count].iter().map(address).collect()),
    }
}

fn state(number: u8) -> State {
    [State::Up, State::Down, State::Unknown][usize::from(number % 3)]
}

proptest! {
    #[test]
    fn picks_are_what_draws_give_and_move_as_these_do(
        members in prop::collection::vec((0u32..6, prop::option::of(0u16..3)), 1..12),
        states in prop::collection::vec(any::<u8>(), 12),
        max in 1u16..5,
        kind in 0usize..5,
        fallback in 0usize..3,
        turns in prop::collection::vec((any::<bool>(), any::<u8>()), 1..40),
    ) {
        let method = [Method::Weighted, Method::FirstUp(2), Method::Random, Method::Hashed, Method::Weighted][kind];
        let fallback = [Fallback::Any, Fallback::NoData, Fallback::Addresses][fallback];
        let make = || {
            let mut pool = pool(method, fallback, max, &members, 2);
            if method == Method::Hashed {
                let candidates = &pool.v4.candidates[..pool.v4.fallback_at];
                let weighted: Vec<(IpAddr, u32)> =
                    candidates.iter().map(|c| (IpAddr::from(member(usize::from(c.member))), c.weight)).collect();
                pool.v4.preferences = Preferences::default();
                pool.v4.slots = (!weighted.is_empty()).then(|| HashSlots::new(&weighted, [24, 56]));
            }
            let bench = Bench::new(pool);
            bench.set_words((0..members.len()).map(|at| Word::new(state(states[at]), 1)));
            bench
        };
        let (mut drawing, mut picking) = (make(), make());
        let scopes = picking.pool.v4.rotation_count();
        for (peeks, scope) in turns {
            let scope = match picking.pool.v4.slots {
                Some(_) => hashed_scope(usize::from(scope)),
                None => usize::from(scope) % scopes,
            };
            let peeked = peeks.then(|| pick(&mut picking, scope, false));
            let picked = pick(&mut picking, scope, true);
            prop_assert!(peeked.is_none_or(|peeked| peeked == picked));
            prop_assert_eq!(picked, drawing.draw(scope));
        }
        let counts = |bench: &Bench| -> Vec<u64> {
            bench.table.draw_counts().iter().map(|count| count.load(Ordering::Relaxed)).collect()
        };
        prop_assert_eq!(counts(&picking), counts(&drawing));
    }
}

/// Who is listed in a scope, with weights in thousandths; what they are, and how soon that may change.
fn list(bench: &mut Bench, scope: usize) -> (Vec<(u16, u64)>, Source, u16) {
    let mut listed = Vec::new();
    let family = &bench.pool.v4;
    let (source, flip_secs) =
        bench.table.list(&bench.health, family, scope, |one| listed.push((one.member, one.weight)));
    (listed, source, flip_secs)
}

#[test]
fn list_has_all_that_can_be_drawn_with_the_weights_that_count() {
    let members = [(2, Some(1)), (1, Some(1)), (5, Some(2)), (0, None)];
    let mut bench = Bench::new(pool(Method::FirstUp(1), Fallback::Any, 1, &members, 0));
    let scope = bench.pool.v4.preferences.scope_of(RegionId(1));
    let (up, down) = (Word::new(State::Up, 1), Word::new(State::Down, 1));
    bench.set_words([up, down, up.with_permille(300).with_flip_secs(9), up]);
    // Of those that come one after the other all are told.
    assert_eq!(list(&mut bench, 0), (vec![(0, 2000), (2, 1500)], Source::Up, 9));
    assert_eq!(list(&mut bench, scope), (vec![(0, 2000)], Source::Up, 0));
    bench.set_words([down, down, up, up]);
    assert_eq!(list(&mut bench, scope), (vec![(2, 5000)], Source::Up, 0));
    bench.set_words([down, Word::new(State::Unknown, 1), down, up]);
    assert_eq!(list(&mut bench, 0), (vec![(1, 1000)], Source::Unknown, 0));
    bench.set_words([down; 4]);
    assert_eq!(list(&mut bench, 0), (vec![(0, 2000), (1, 1000), (2, 5000)], Source::Fallback, 0));
    // All are drained: better these than none.
    bench.set_words([down.with_permille(0); 4]);
    assert_eq!(list(&mut bench, 0), (vec![(0, 2000), (1, 1000), (2, 5000)], Source::Fallback, 0));
    let mut refusing = Bench::new(pool(Method::Weighted, Fallback::Refuse, 1, &members, 0));
    refusing.set_words([down; 4]);
    assert_eq!(list(&mut refusing, 0), (Vec::new(), Source::Empty, 0));
}
