//! The rollovers against a model of the world: servers that serve what a key set says, a parent, and caches that hold what
//! was served as long as its TTL lets them. At random times, with lost files, restarts and clocks that go back, whatever a
//! validator may have put together must validate.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use ring::rand::SystemRandom;

use super::adopt::{AdoptError, adopt, note_change, times_of_successor};
use super::json::{StateError, from_json, to_json};
use super::*;
use crate::dnssec::key::{Algorithm, SigningKey};
use crate::dnssec::keyfile::Times;
use crate::dnssec::keyset::{KeySet, KeySetError};
use crate::dnssec::policy::Layout;

const ZONE: &[u8] = b"\x07example\x00";
const START: u64 = 1_800_000_000;
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

type Tags = BTreeSet<u16>;

/// Keys with different tags, made once: half of them with flags 257.
fn pool() -> &'static [Arc<SigningKey>] {
    static POOL: OnceLock<Vec<Arc<SigningKey>>> = OnceLock::new();
    POOL.get_or_init(|| {
        let mut keys: Vec<Arc<SigningKey>> = Vec::new();
        while keys.len() < 128 {
            let key =
                SigningKey::generate(Algorithm::Ed25519, keys.len() % 2 == 0, &SystemRandom::new()).unwrap();
            if keys.iter().all(|other| other.tag() != key.tag()) {
                keys.push(Arc::new(key));
            }
        }
        keys
    })
}

/// The keys and times that the files of `made` hold.
fn files(made: &[usize], times: &[Times]) -> Vec<(PublicKey, Times)> {
    made.iter().zip(times).map(|(&at, times)| (pool()[at].public().clone(), *times)).collect()
}

/// What a server serves from a time on.
#[derive(Clone, Default, PartialEq)]
struct Served {
    at: u64,
    published: Tags,
    key_signers: Tags,
    zone_signers: Tags,
    cds: Tags,
    dnskey_secs: u64,
    zone_secs: u64,
}

struct World {
    now: u64,
    policy: Policy,
    state: State,
    /// Keys made so far, by their place in the pool.
    made: Vec<usize>,
    /// The times of their files.
    times: Vec<Times>,
    /// Keys whose files are lost.
    lost: Tags,
    served: Vec<Served>,
    parent: Vec<(u64, Tags)>,
    ds_secs: u64,
}

fn tags(rdatas: &[Vec<u8>]) -> Tags {
    // A DS begins with the tag of its key.
    rdatas.iter().map(|rdata| u16::from_be_bytes([rdata[0], rdata[1]])).collect()
}

/// The entries of a history that caches may hold at `now`: still served, or their time to live not over since.
fn cached<T>(history: &[T], now: u64, span: impl Fn(&T) -> (u64, u64)) -> impl Iterator<Item = &T> {
    let ends = history.iter().skip(1).map(|next| Some(span(next).0)).collect::<Vec<_>>();
    let ends = ends.into_iter().chain([None]).collect::<Vec<_>>();
    let holds: Vec<bool> = history
        .iter()
        .zip(ends)
        .map(|(entry, end)| end.is_none_or(|end| end + span(entry).1 > now))
        .collect();
    history.iter().zip(holds).filter(|(_, holds)| *holds).map(|(entry, _)| entry)
}

impl World {
    fn new(layout: Layout, policy: Policy) -> World {
        let policy = Policy { layout, algorithm: Algorithm::Ed25519, ..policy };
        let made: Vec<usize> = if layout == Layout::Combined { vec![0] } else { vec![0, 1] };
        let times = vec![Times::used_from(START); made.len()];
        let state = adopt(ZONE, &policy, &files(&made, &times), START).unwrap();
        let (zone_secs, ds_secs) = (u64::from(policy.ttls.zone_secs), u64::from(policy.ttls.ds_secs));
        let unsigned = Served { zone_secs, dnskey_secs: zone_secs, ..Served::default() };
        let parent = vec![(0, Tags::new())];
        World {
            now: START,
            policy,
            state,
            made,
            times,
            lost: Tags::new(),
            served: vec![unsigned],
            parent,
            ds_secs,
        }
    }

    fn available(&self) -> Vec<Arc<SigningKey>> {
        let keys = self.made.iter().map(|&at| pool()[at].clone());
        keys.filter(|key| !self.lost.contains(&key.tag())).collect()
    }

    /// Steps until nothing is to be made, as `Keystore::advance` does.
    fn step(&mut self) -> Step {
        loop {
            let keys = self.available();
            let available: Vec<&PublicKey> = keys.iter().map(|key| key.public()).collect();
            let step = step(&self.state, &self.policy, &available, self.now);
            self.state = step.state.clone();
            for (id, change) in &step.changes {
                let at = self.made.iter().position(|&at| pool()[at].tag() == id.tag).unwrap();
                let key = self.state.keys.iter().find(|key| key.id() == *id).unwrap();
                note_change(&mut self.times[at], key, *change, self.now);
            }
            if step.actions.is_empty() {
                return step;
            }
            for &Action::Generate { role, .. } in &step.actions {
                let fits = |at: &usize| (at % 2 == 0) == role.is_ksk() && !self.made.contains(at);
                let at = (0..pool().len()).find(fits).unwrap();
                self.made.push(at);
                self.times.push(times_of_successor(role, self.now));
                self.state.introduce(pool()[at].public(), role, self.now).unwrap();
            }
        }
    }

    /// Serves what the state says, if somebody can sign it; returns the revision served.
    fn serve(&mut self) -> Option<u64> {
        let set = KeySet::new(&self.state, &self.available()).ok()?;
        let signers = |of: u16| set.signers(of).iter().map(|key| key.tag()).collect();
        let published = set.dnskey.iter().map(|rdata| crate::dnssec::key::key_tag(rdata)).collect();
        let last_at = self.served.last().unwrap().at;
        let served = Served {
            at: last_at,
            published,
            key_signers: signers(48),
            zone_signers: signers(1),
            cds: tags(&set.cds),
            dnskey_secs: u64::from(set.ttl_secs),
            zone_secs: u64::from(self.state.policy.ttls.zone_secs),
        };
        if self.served.last() != Some(&served) {
            self.served.push(Served { at: self.now, ..served });
        }
        Some(set.revision)
    }

    fn serve_and_say_so(&mut self) {
        if let Some(revision) = self.serve() {
            self.state.served(revision, self.now);
        }
    }

    /// The parent's DS RRset becomes what `change` makes of it and of the CDS RRset.
    fn change_parent(&mut self, change: impl Fn(&Tags, &Tags) -> Tags) {
        let cds = &self.served.last().unwrap().cds;
        if !cds.is_empty() {
            let next = change(&self.parent.last().unwrap().1, cds);
            if self.parent.last().unwrap().1 != next {
                self.parent.push((self.now, next));
            }
        }
    }

    fn confirm(&mut self) {
        let at_parent = self.parent.last().unwrap().1.clone();
        for tag in at_parent {
            // Refused for keys that do not wait.
            let _ = self.state.ds_published(Some(tag), self.now);
        }
    }

    /// Every combination of what caches may hold has to validate.
    fn check(&self) -> Result<(), TestCaseError> {
        let propagation = u64::from(self.policy.propagation_secs);
        let (now, ds_secs) = (self.now, self.ds_secs);
        let keys: Vec<&Served> = cached(&self.served, now, |s| (s.at, s.dnskey_secs + propagation)).collect();
        let data: Vec<&Served> = cached(&self.served, now, |s| (s.at, s.zone_secs + propagation)).collect();
        for (_, ds) in cached(&self.parent, now, |(at, _)| (*at, ds_secs + propagation)) {
            for keys in keys.iter().filter(|_| !ds.is_empty()) {
                let is_trusted = |tag: &u16| keys.published.contains(tag) && keys.key_signers.contains(tag);
                prop_assert!(ds.iter().any(is_trusted), "DS {ds:?}, DNSKEY {:?}", keys.published);
                for data in &data {
                    prop_assert!(
                        !data.zone_signers.is_disjoint(&keys.published),
                        "signed by {:?}, DNSKEY {:?}",
                        data.zone_signers,
                        keys.published
                    );
                }
            }
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Event {
    Wait(u64),
    Step,
    Serve,
    ServeAndSaySo,
    ParentFollows,
    ParentAdds,
    ParentTakesOne,
    Confirm,
    RequestKsk,
    RequestZsk,
    Restart,
    ClockBack(u64),
    /// The state is lost; the files are not.
    Rebuild,
    Lose(usize),
    FindAll,
    Ttls(u32, u32),
    Layout(bool),
    /// Everything a well-kept server and parent do, several times so many seconds apart.
    Diligence(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..4 * DAY).prop_map(Event::Wait),
        2 => (0..2 * HOUR).prop_map(Event::Wait),
        6 => Just(Event::Step),
        2 => Just(Event::Serve),
        4 => Just(Event::ServeAndSaySo),
        2 => Just(Event::ParentFollows),
        1 => Just(Event::ParentAdds),
        1 => Just(Event::ParentTakesOne),
        3 => Just(Event::Confirm),
        1 => Just(Event::RequestKsk),
        1 => Just(Event::RequestZsk),
        1 => Just(Event::Restart),
        1 => (301..400 * DAY).prop_map(Event::ClockBack),
        1 => Just(Event::Rebuild),
        1 => (0usize..8).prop_map(Event::Lose),
        2 => Just(Event::FindAll),
        1 => (60u32..200_000, 60u32..200_000).prop_map(|(dnskey, zone)| Event::Ttls(dnskey, zone)),
        1 => any::<bool>().prop_map(Event::Layout),
        2 => Just(Event::Diligence(3 * DAY)),
        5 => (HOUR / 2..8 * HOUR).prop_map(Event::Diligence),
    ]
}

impl World {
    fn happen(&mut self, event: &Event) -> Result<(), TestCaseError> {
        match event {
            Event::Wait(secs) => self.now += secs,
            Event::Step => drop(self.step()),
            Event::Serve => drop(self.serve()),
            Event::ServeAndSaySo => self.serve_and_say_so(),
            Event::ParentFollows => self.change_parent(|_, cds| cds.clone()),
            Event::ParentAdds => self.change_parent(|ds, cds| ds | cds),
            Event::ParentTakesOne => {
                // Some parents hold one DS only: the newest.
                let newest = self.state.keys.iter().rev().map(|key| key.public.tag());
                let newest: Vec<u16> = newest.collect();
                self.change_parent(|_, cds| {
                    newest.iter().copied().filter(|tag| cds.contains(tag)).take(1).collect()
                });
            }
            Event::Confirm => self.confirm(),
            Event::RequestKsk => self.state.is_ksk_requested = true,
            Event::RequestZsk => self.state.is_zsk_requested = true,
            Event::Restart => {
                let again = from_json(&to_json(&self.state), ZONE).unwrap();
                prop_assert_eq!(&again, &self.state);
                self.state = again;
            }
            Event::ClockBack(secs) => {
                let (before, now) = (self.state.clone(), self.now);
                self.now = self.state.last_seen - secs;
                let keys = self.available();
                let available: Vec<&PublicKey> = keys.iter().map(|key| key.public()).collect();
                let step = step(&self.state, &self.policy, &available, self.now);
                prop_assert_eq!(&step.state, &before);
                let is_clock = matches!(step.faults[..], [Fault::ClockBackwards { .. }]);
                prop_assert!(is_clock);
                self.state.served(u64::MAX, self.now);
                self.confirm();
                prop_assert_eq!(&self.state, &before);
                self.now = now;
            }
            Event::Rebuild => {
                let files = files(&self.made, &self.times);
                self.state = adopt(ZONE, &self.policy, &files, self.now).unwrap();
                // Revisions begin anew, and so does what has been served of them.
            }
            Event::Lose(at) => {
                let tag = self.made.iter().nth_back(at % self.made.len()).map(|&at| pool()[at].tag());
                self.lost.extend(tag);
                let before = self.state.clone();
                let step = self.step();
                let is_needed = before.keys.iter().any(|k| k.is_needed() && Some(k.public.tag()) == tag);
                if is_needed {
                    prop_assert!(!step.faults.is_empty());
                    prop_assert_eq!(&step.state.keys, &before.keys);
                }
            }
            Event::FindAll => self.lost.clear(),
            Event::Ttls(dnskey_secs, zone_secs) => {
                self.policy.ttls =
                    Ttls { dnskey_secs: *dnskey_secs, zone_secs: *zone_secs, ..self.policy.ttls };
            }
            Event::Layout(is_combined) => {
                self.policy.layout = if *is_combined { Layout::Combined } else { Layout::Split };
            }
            Event::Diligence(secs) => {
                self.lost.clear();
                for _ in 0..6 {
                    self.step();
                    self.serve_and_say_so();
                    self.check()?;
                    self.change_parent(|_, cds| cds.clone());
                    self.check()?;
                    self.confirm();
                    self.now += secs;
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn whatever_caches_hold_validates_at_any_time(
        is_combined: bool,
        lifetimes: (Option<bool>, Option<bool>),
        events in prop::collection::vec(event(), 0..60),
    ) {
        let layout = if is_combined { Layout::Combined } else { Layout::Split };
        let lifetime = |is_short: Option<bool>| is_short.map(|short| if short { 30 * DAY as u32 } else { 200 * DAY as u32 });
        let policy = Policy {
            zsk_lifetime_secs: lifetime(lifetimes.0),
            ksk_lifetime_secs: lifetime(lifetimes.1),
            ..Policy::default()
        };
        let mut world = World::new(layout, policy);
        for event in &events {
            // The pool bounds how many rollovers a run can make.
            if world.made.len() > 50 {
                break;
            }
            world.happen(event)?;
            world.check()?;
        }
        // Never without somebody who signs, whatever has happened, once the files are back.
        world.lost.clear();
        prop_assert!(KeySet::new(&world.state, &world.available()).is_ok());
    }
}

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
    assert_eq!(with("\"last_seen\"", "\"last\""), StateError::Field("last_seen"));
}
