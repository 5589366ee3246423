//! The rollovers, hour by hour, and what a state refuses.

use ring::rand::SystemRandom;

use super::adopt::{AdoptError, adopt};
use super::json::{StateError, from_json, to_json};
use super::*;
use crate::dnssec::key::{Algorithm, SigningKey};
use crate::dnssec::keyfile::Times;
use crate::dnssec::keyset::{KeySet, KeySetError};
use crate::dnssec::policy::Layout;

/// A model of servers, a parent and caches.
mod world;

use world::{DAY, HOUR, START, World, ZONE, pool};

/// Lets time pass in steps of an hour with a server and a parent that do their work at once; what changed, and after how
/// many hours.
fn run(world: &mut World, hours: u64) -> Vec<(u64, u16, Change)> {
    let mut log = Vec::new();
    for hour in 0..hours {
        for (key, change) in world.step().changes {
            log.push((hour, key.tag, change));
        }
        world.serve_and_say_so();
        world.change_parent(|_, cds| cds.clone());
        world.confirm();
        world.check().unwrap();
        world.now += HOUR;
    }
    log
}

#[test]
fn a_new_zone_asks_for_its_ds_only_when_nothing_unsigned_is_left_in_caches() {
    let mut world = World::new(Layout::Split, Policy::default());
    let (ksk, zsk) = (pool()[0].tag(), pool()[1].tag());
    assert!(world.state.keys.iter().any(|k| k.public.tag() == zsk && k.zsk_stage() == ZskStage::Active));
    // Largest TTL and propagation: 25 hours; the DS's TTL and propagation: 25 more.
    assert_eq!(run(&mut world, 100), [(25, ksk, Change::KskReady), (50, ksk, Change::KskActive)]);
    assert_eq!(pending(&world.state, &world.policy), []);
}

#[test]
fn a_zsk_is_published_then_signs_then_retires() {
    let mut world = World::new(Layout::Split, Policy::default());
    run(&mut world, 100);
    world.state.is_zsk_requested = true;
    let log = run(&mut world, 100);
    let (old, new) = (pool()[1].tag(), pool()[3].tag());
    // DNSKEY TTL and propagation: 2 hours; zone TTL and propagation: 25.
    let expected = [(2, old, Change::ZskRetired), (2, new, Change::ZskActive), (27, old, Change::ZskRemoved)];
    assert_eq!(log, expected);
    assert!(!world.state.is_zsk_requested);
}

#[test]
fn a_ksk_has_both_ds_at_the_parent_before_the_old_one_goes() {
    let mut world = World::new(Layout::Split, Policy::default());
    run(&mut world, 100);
    world.state.is_ksk_requested = true;
    let (old, new) = (pool()[0].tag(), pool()[2].tag());
    let log = run(&mut world, 100);
    let expected = [
        (2, new, Change::KskReady),
        (27, old, Change::KskRetired),
        (27, new, Change::KskActive),
        (29, old, Change::KskRemoved),
    ];
    assert_eq!(log, expected);
    let parents: Vec<Vec<u16>> = world.parent.iter().map(|(_, ds)| ds.iter().copied().collect()).collect();
    let mut both = vec![old, new];
    both.sort_unstable();
    assert!(parents.contains(&both) && parents.last() == Some(&vec![new]), "{parents:?}");
}

#[test]
fn a_ksk_without_confirmation_waits_for_ever_with_both_keys() {
    let mut world = World::new(Layout::Combined, Policy::default());
    run(&mut world, 100);
    world.state.is_zsk_requested = true;
    for _ in 0..1000 {
        world.step();
        world.serve_and_say_so();
        world.now += DAY;
    }
    let stages: Vec<KskStage> = world.state.keys.iter().map(KeyState::ksk_stage).collect();
    assert_eq!(stages, [KskStage::Active, KskStage::Ready]);
    // The zone's half of the combined key did not have to wait.
    assert_eq!(world.state.keys[1].zsk_stage(), ZskStage::Active);
    let set = KeySet::new(&world.state, &world.available()).unwrap();
    assert_eq!((set.dnskey.len(), set.cds.len(), set.cdnskey.len()), (2, 2, 2));
    assert_eq!((set.signers(48).len(), set.signers(59).len(), set.signers(1).len()), (2, 2, 1));
}

#[test]
fn lifetimes_roll_keys_by_themselves() {
    let lifetime = Some(30 * DAY as u32);
    let policy = Policy { zsk_lifetime_secs: lifetime, ksk_lifetime_secs: lifetime, ..Policy::default() };
    for layout in [Layout::Split, Layout::Combined] {
        let mut world = World::new(layout, policy.clone());
        let log = run(&mut world, 24 * 365);
        let count = |wanted: Change| log.iter().filter(|(_, _, change)| *change == wanted).count();
        assert!((10..=13).contains(&count(Change::KskActive)), "{layout:?}: {log:?}");
        assert!((10..=13).contains(&count(Change::ZskRetired)), "{layout:?}: {log:?}");
        // Removed keys are forgotten.
        assert!(world.state.keys.len() < 16);
    }
}

#[test]
fn a_zone_turns_from_combined_to_split_and_back() {
    let mut world = World::new(Layout::Combined, Policy::default());
    run(&mut world, 100);
    for (layout, published) in [(Layout::Split, 2), (Layout::Combined, 1)] {
        world.policy.layout = layout;
        (world.state.is_ksk_requested, world.state.is_zsk_requested) = (true, true);
        run(&mut world, 200);
        let set = KeySet::new(&world.state, &world.available()).unwrap();
        assert_eq!(set.dnskey.len(), published, "{layout:?}");
    }
}

#[test]
fn a_missing_key_stops_rollovers_but_not_those_who_can_still_sign() {
    let mut world = World::new(Layout::Split, Policy::default());
    run(&mut world, 100);
    world.state.is_zsk_requested = true;
    world.step();
    world.serve_and_say_so();
    // The newcomer's file is lost: the active one goes on, and the newcomer stays in the DNSKEY RRset.
    let new = pool()[3].tag();
    world.lost.insert(new);
    world.now += 10 * DAY;
    let step = world.step();
    assert!(matches!(step.faults[..], [Fault::KeyMissing { key }] if key.tag == new), "{:?}", step.faults);
    assert!(step.wake_at.is_some() && step.changes.is_empty());
    let set = KeySet::new(&world.state, &world.available()).unwrap();
    assert_eq!((set.dnskey.len(), set.signers(1)[0].tag()), (3, pool()[1].tag()));
    // An active one's is: nobody signs, and that is an error, not an unsigned zone.
    world.lost.insert(pool()[1].tag());
    let error = KeySet::new(&world.state, &world.available()).unwrap_err();
    assert_eq!(error, KeySetError::Missing(pool()[1].public().id(), "zone"));
    world.lost = [pool()[0].tag()].into();
    let error = KeySet::new(&world.state, &world.available()).unwrap_err();
    assert_eq!(error, KeySetError::Missing(pool()[0].public().id(), "keys"));
    // Given up, the newcomer is out of the way.
    assert_eq!(world.state.abandon(pool()[1].tag(), world.now), Err(Refusal::OnlyKey(pool()[1].tag())));
    world.state.abandon(new, world.now).unwrap();
    world.lost = [new].into();
    assert_eq!(world.step().faults, []);
}

#[test]
fn a_clock_that_went_back_can_be_accepted_and_shortens_no_wait() {
    let mut world = World::new(Layout::Split, Policy::default());
    run(&mut world, 30);
    // Time has not gone back, only the clock: what was served is as long ago as it was.
    world.now -= 365 * DAY;
    for served in &mut world.served {
        served.at = served.at.saturating_sub(365 * DAY);
    }
    for (at, _) in &mut world.parent {
        *at = at.saturating_sub(365 * DAY);
    }
    assert!(matches!(world.state.ds_published(None, world.now), Err(Refusal::Clock(_))));
    world.state.accept_clock(world.now);
    // The parent had the DS, and it had been confirmed: the wait begins again.
    let log = run(&mut world, 30);
    assert_eq!(log, [(25, pool()[0].tag(), Change::KskActive)]);
}

#[test]
fn lowered_ttls_count_until_caches_have_forgotten_the_higher_ones() {
    let mut world = World::new(Layout::Split, Policy::default());
    run(&mut world, 100);
    world.policy.ttls.zone_secs = 60;
    world.state.is_zsk_requested = true;
    let log = run(&mut world, 20);
    assert!(log.iter().all(|(_, _, change)| *change != Change::ZskRemoved), "{log:?}");
    let log = run(&mut world, 20);
    assert_eq!(log.len(), 1, "{log:?}");
}

#[test]
fn confirmation_is_refused_where_no_key_or_two_wait() {
    let mut world = World::new(Layout::Combined, Policy::default());
    assert_eq!(world.state.ds_published(None, START), Err(Refusal::NoneWaits));
    assert_eq!(world.state.ds_published(Some(1), START), Err(Refusal::NoSuchKey(1)));
    let ready = Times { sync_publish: Some(START - DAY), ..Times::default() };
    let keys = [(pool()[0].public().clone(), ready), (pool()[2].public().clone(), ready)];
    let mut state = adopt(ZONE, &world.policy, &keys, START).unwrap();
    let (one, other) = (pool()[0].tag(), pool()[2].tag());
    assert_eq!(state.ds_published(None, START), Err(Refusal::Several(one, other)));
    assert_eq!(state.ds_published(Some(other), START).unwrap().tag, other);
    assert_eq!(state.ds_published(None, START).unwrap().tag, one);
    world.step();
}

#[test]
fn keys_are_adopted_by_the_times_of_their_files() {
    let policy = Policy::default();
    let public = |at: usize| pool()[at].public().clone();
    let past = |days: u64| Some(START - days * DAY);
    assert_eq!(adopt(ZONE, &policy, &[], START), Err(AdoptError::NoKsk));
    assert_eq!(adopt(ZONE, &policy, &[(public(1), Times::default())], START), Err(AdoptError::NoKsk));
    let gone = Times { delete: past(1), ..Times::default() };
    assert_eq!(adopt(ZONE, &policy, &[(public(0), gone)], START), Err(AdoptError::NoKsk));
    let kept_back = Times { created: past(1), ..Times::default() };
    assert_eq!(adopt(ZONE, &policy, &[(public(0), kept_back)], START), Err(AdoptError::NoKsk));
    let early = Times { created: Some(START + DAY), activate: past(1), ..Times::default() };
    assert_eq!(adopt(ZONE, &policy, &[(public(0), early)], START), Err(AdoptError::Clock(DAY)));
    let ecdsa = SigningKey::generate(Algorithm::EcdsaP256Sha256, false, &SystemRandom::new()).unwrap();
    let mixed = [(public(0), Times::default()), (ecdsa.public().clone(), Times::default())];
    assert!(matches!(adopt(ZONE, &policy, &mixed, START), Err(AdoptError::Algorithms(..))));
    let twice = [(public(0), Times::default()), (public(0), Times::default())];
    assert_eq!(adopt(ZONE, &policy, &twice, START), Err(AdoptError::SameTag(pool()[0].tag())));
    // A ZSK rollover of BIND under way: one retired, one active, one to come.
    let retired = Times { activate: past(90), inactive: past(1), ..Times::default() };
    let active = Times { activate: past(1), publish: past(9), ..Times::default() };
    let coming = Times { activate: Some(START + DAY), publish: past(0), ..Times::default() };
    let keys = [(public(0), active), (public(1), retired), (public(3), active), (public(5), coming)];
    let state = adopt(ZONE, &policy, &keys, START).unwrap();
    let stages: Vec<ZskStage> = state.keys.iter().map(KeyState::zsk_stage).collect();
    assert_eq!(stages, [ZskStage::Removed, ZskStage::Retired, ZskStage::Active, ZskStage::Published]);
    assert_eq!(state.keys[0].role(), Role::Ksk);
    assert_eq!(state.keys[3].zsk.unwrap().not_before, START + DAY);
}

#[test]
fn keys_at_the_end_of_their_time_go_on_until_others_can() {
    let mut world = World::new(Layout::Split, Policy { former_ttl_secs: 0, ..Policy::default() });
    // Another program has retired the ZSK, and one of two KSKs: whose DS is at the parent nobody knows.
    let over = Times { inactive: Some(START - DAY), ..Times::used_from(START - 9 * DAY) };
    world.made.push(2);
    world.times = vec![over, over, Times::used_from(START - 2 * DAY)];
    let files: Vec<(PublicKey, Times)> =
        [0, 1, 2].into_iter().map(|at| (pool()[at].public().clone(), world.times[at])).collect();
    world.state =
        adopt(ZONE, &Policy { layout: Layout::Split, ..world.policy.clone() }, &files, START).unwrap();
    // Those with flags 257 sign where no ZSK does, and the retired ZSK stays for its signatures.
    let zsk = pool()[1].tag();
    let set = KeySet::new(&world.state, &world.available()).unwrap();
    assert_eq!((set.dnskey.len(), set.signers(48).len()), (3, 2));
    for track in world.state.keys.iter_mut().filter(|key| key.public.is_ksk()) {
        track.zsk = None;
    }
    let set = KeySet::new(&world.state, &world.available()).unwrap();
    assert_eq!(set.signers(1)[0].tag(), zsk);
    let log = run(&mut world, 200);
    let hour = |tag: u16, wanted: Change| {
        let found = log.iter().find(|(_, of, change)| (*of, *change) == (tag, wanted));
        found.unwrap_or_else(|| panic!("{tag} {wanted:?} in {log:?}")).0
    };
    assert_eq!(hour(zsk, Change::ZskRetired) + 25, hour(zsk, Change::ZskRemoved));
    let (old, new) = (pool()[0].tag(), pool()[2].tag());
    assert_eq!(hour(new, Change::KskActive), hour(old, Change::KskRemoved));
}

#[test]
fn a_ds_can_be_withdrawn() {
    let mut world = World::new(Layout::Combined, Policy { is_ds_withdrawn: true, ..Policy::default() });
    world.step();
    let set = KeySet::new(&world.state, &world.available()).unwrap();
    // RFC 8078 §4: CDS 0 0 0 00, CDNSKEY 0 3 0 AA==
    assert_eq!((set.cds, set.cdnskey), (vec![vec![0; 5]], vec![vec![0, 0, 3, 0, 0]]));
}

#[test]
fn what_is_no_state_of_this_zone_is_refused_with_its_cause() {
    let text = to_json(&World::new(Layout::Split, Policy::default()).state);
    assert!(from_json(&text, ZONE).is_ok());
    for end in 0..text.trim_end().len() {
        assert!(matches!(from_json(&text[..end], ZONE), Err(StateError::Json(_))), "cut at {end}");
    }
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} in {text}");
        from_json(&text.replacen(from, to, 1), ZONE).unwrap_err()
    };
    assert_eq!(from_json(&text, b"\x05other\x00").unwrap_err(), StateError::Zone("example.".into()));
    assert_eq!(from_json("[]", ZONE).unwrap_err(), StateError::Format);
    assert_eq!(from_json("{}", ZONE).unwrap_err(), StateError::Format);
    assert_eq!(with("\"version\": 1", "\"version\": 2"), StateError::Version(2));
    assert_eq!(with("\"stage\": \"active\"", "\"stage\": \"gone\""), StateError::Field("stage"));
    assert_eq!(with("\"flags\": 257", "\"flags\": 256"), StateError::Field("tag"));
    assert_eq!(with("\"decided\": 1", "\"decided\": -1"), StateError::Field("decided"));
    assert_eq!(with("\"decided\": 1", "\"decided\": 9999999999"), StateError::Field("decided"));
    assert_eq!(with("\"last_seen\"", "\"last\""), StateError::Field("last_seen"));
}
