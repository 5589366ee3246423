//! Sets of addresses signed as health and time move, both given.

use super::*;
use crate::config::compile::compile_signed;
use crate::config::compile::signing::{Signatures, Signing, ZoneSigning};
use crate::dnssec::key::{Algorithm, SigningKey};
use crate::dnssec::keyfile::Times;
use crate::dnssec::rollover::adopt::adopt;
use crate::dnssec::rrsig::verify_rrset;
use crate::state::health_table::{State, Word};
use crate::state::ttl::Ttl;

const NOW: u64 = 1_800_000_000;
const DAY: u64 = 86_400;
const TEXT: &str = "
server: {listen: ['127.0.0.1:5300']}
globalnames:
  www.t.example: web
  '*.t.example': web
pools:
  web: {lb_method: wrr, max_addrs_returned: 2, members: {192.0.2.1: {weight: 3}, 192.0.2.2: , 192.0.2.3: , 192.0.2.4: , '2001:db8::1': }, monitor: forced, monitor_params: {status: up}}
zones:
  t.example: {ns: [ns.example.net], dnssec: {keys: none}}
";

/// A desk with every member of its pool in this state, and the key that signs.
fn desk(state: State) -> (Desk, Arc<SigningKey>) {
    let config = crate::config::load_str("test", TEXT).unwrap().config;
    let key = SigningKey::generate(Algorithm::EcdsaP256Sha256, true, &ring::rand::SystemRandom::new());
    let key = Arc::new(key.unwrap());
    let policy = Policy::default();
    let times = Times { created: Some(NOW), publish: Some(NOW), activate: Some(NOW), ..Times::default() };
    let of_key = (key.public().clone(), times);
    let state_of_keys = adopt(config.zones[0].apex.as_wire(), &policy, &[of_key], NOW).unwrap();
    let keys = KeySet::new(&state_of_keys, std::slice::from_ref(&key)).unwrap();
    let mut signing = Signing::default();
    let zone = ZoneSigning::new(keys.clone(), policy.clone(), NOW, true, Signatures::default());
    signing.add(config.zones[0].apex.clone(), zone);
    let snapshot = Arc::new(compile_signed(&config, 1, &signing));
    let (apex, signed) = signing.finish().next().unwrap();
    assert_eq!((signed.failure, signed.sets.len()), (None, 2));
    set_health(&snapshot, [state; 5]);
    let zones = vec![SetZone { apex, keys, policy, names: signed.sets }];
    (Desk::new(SetWork { snapshot, zones }), key)
}

fn set_health(snapshot: &Snapshot, states: [State; 5]) {
    snapshot.health.write(0, states.iter().enumerate().map(|(at, state)| (at, Word::new(*state, 1))));
}

/// Draws answers for both names and checks the signature over each set; returns how many sets there were.
fn check_answers(desk: &Desk, key: &SigningKey) -> usize {
    let snapshot = &desk.work.snapshot;
    let mut rotations = RotationTable::new(&snapshot.pools, 7);
    let mut seen = std::collections::BTreeSet::new();
    for name in &desk.names {
        let pool = &snapshot.pools[0];
        let table = &snapshot.signed[name.sets.signed as usize].families[0].sets[0];
        for _ in 0..40 {
            let (_, sequence) = rotations.settled(&snapshot.health, &pool.v4, 0);
            let mut into = [0; 512];
            let (drawn, set) = rotations.draw_set(&pool.v4, 0, Ttl::fixed(60), &mut into);
            let len = drawn.count as usize * 16;
            let read = table.read(sequence, set, &mut into[len..]).expect("a signature");
            let addresses = into[..len].chunks(16).map(|record| &record[12..]);
            let records = canonical_records(Rtype::A.0, addresses);
            let rdata = &into[len + RECORD_HEAD_OCTETS..len + read];
            let valid = verify_rrset(key.public(), &name.sets.name, Rtype::A.0, &records, rdata);
            assert!(valid, "{set}: {records:?}");
            seen.insert(records);
        }
    }
    seen.len()
}

#[test]
fn every_set_is_signed_for_the_health_there_is_and_what_comes_back_is_not_signed_again() {
    let (mut desk, key) = desk(State::Up);
    let mut kept = Kept::default();
    assert_eq!(desk.pass(&mut kept, NOW, || false), 0);
    let sets = check_answers(&desk, &key);
    let snapshot = desk.work.snapshot.clone();
    // Two names, one address of the other family each besides.
    assert_eq!(kept.made, 2 * (sets as u64 + 1));
    // Nothing has moved.
    let before = kept.made;
    assert_eq!((desk.pass(&mut kept, NOW + 1, || false), kept.made), (0, before));
    // A member fails: until it is signed for, nothing is read.
    set_health(&snapshot, [State::Down, State::Up, State::Up, State::Up, State::Up]);
    let sequence = snapshot.health.sequence(0).unwrap();
    assert!(desk.regions().all(|(_, _, table)| !table.are_of(sequence)));
    assert_eq!(desk.pass(&mut kept, NOW + 2, || false), 0);
    check_answers(&desk, &key);
    let after = kept.made;
    assert!(after > before);
    for round in 0..20 {
        let first = if round % 2 == 0 { State::Up } else { State::Down };
        set_health(&snapshot, [first, State::Up, State::Up, State::Up, State::Up]);
        assert_eq!(desk.pass(&mut kept, NOW + 3 + round, || false), 0);
        check_answers(&desk, &key);
    }
    assert_eq!(kept.made, after, "a member that flaps makes signatures");
    desk.withdraw_all();
    let sequence = snapshot.health.sequence(0).unwrap();
    assert!(desk.regions().all(|(_, _, table)| !table.are_of(sequence)));
}

#[test]
fn signatures_are_made_again_in_time_and_none_is_left_that_lies_ahead() {
    let (mut desk, key) = desk(State::Up);
    let mut kept = Kept::default();
    desk.pass(&mut kept, NOW, || false);
    let made = kept.made;
    for day in 1..60 {
        let now = NOW + day * DAY;
        assert_eq!(desk.pass(&mut kept, now, || false), 0);
        for one in kept.signatures.values() {
            let Standing::Holds(left) = one.validity.at(now) else { panic!("day {day}: {:?}", one.validity) };
            assert!(left >= desk.work.zones[0].policy.refresh_secs, "day {day}: {left} s left");
        }
    }
    assert!((made * 5..made * 12).contains(&kept.made), "{made}, then {}", kept.made);
    check_answers(&desk, &key);
    // The clock goes back: what would be signed might end too soon, so nothing is, and what there is goes.
    let before = kept.made;
    assert_eq!((desk.pass(&mut kept, NOW, || false), kept.made), (2, before));
    let sequence = desk.work.snapshot.health.sequence(0).unwrap();
    assert!(desk.regions().all(|(_, _, table)| !table.are_of(sequence)));
    // It is right again: what was signed still holds.
    assert_eq!((desk.pass(&mut kept, NOW + 59 * DAY, || false), kept.made), (0, before));
    check_answers(&desk, &key);
}

#[test]
fn work_that_waits_is_not_kept_waiting() {
    let (mut desk, _) = desk(State::Up);
    let mut kept = Kept::default();
    assert_eq!((desk.pass(&mut kept, NOW, || true), kept.made), (2, 0));
}

#[test]
fn what_is_kept_is_bounded() {
    let (mut desk, _) = desk(State::Up);
    desk.room = 0;
    let mut kept = Kept::default();
    for name in 0..3 * KEPT_MIN {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&name.to_be_bytes());
        let validity = Validity { inception: NOW as u32, expiration: NOW as u32 + 9 };
        kept.signatures.insert(digest, KeptOne { rdata: Box::default(), validity, used: 0 });
    }
    kept.pass = 10;
    desk.pass(&mut kept, NOW, || false);
    assert!(kept.signatures.len() <= KEPT_MIN, "{}", kept.signatures.len());
    assert!(!kept.signatures.is_empty(), "what is in use was forgotten");
}
