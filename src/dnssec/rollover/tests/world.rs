//! The rollovers against a model of the world: servers that serve what a key set says, a parent, and caches that hold what
//! was served as long as its TTL lets them. At random times, with lost files, restarts and clocks that go back, whatever a
//! validator may have put together must validate.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use ring::rand::SystemRandom;

use super::super::adopt::{adopt, note_change, times_of_successor};
use super::super::json::{from_json, to_json};
use super::super::*;
use crate::dnssec::key::{Algorithm, SigningKey};
use crate::dnssec::keyfile::Times;
use crate::dnssec::keyset::KeySet;
use crate::dnssec::policy::{Layout, Ttls};

pub(super) const ZONE: &[u8] = b"\x07example\x00";
pub(super) const START: u64 = 1_800_000_000;
pub(super) const HOUR: u64 = 3600;
pub(super) const DAY: u64 = 24 * HOUR;

pub(super) type Tags = BTreeSet<u16>;

/// Keys with different tags, made once: half of them with flags 257.
pub(super) fn pool() -> &'static [Arc<SigningKey>] {
    static POOL: OnceLock<Vec<Arc<SigningKey>>> = OnceLock::new();
    POOL.get_or_init(|| {
        let mut keys: Vec<Arc<SigningKey>> = Vec::new();
        while keys.len() < 128 {
            let key =
                SigningKey::generate(Algorithm::Ed25519, keys.len().is_multiple_of(2), &SystemRandom::new())
                    .unwrap();
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
pub(super) struct Served {
    pub(super) at: u64,
    pub(super) published: Tags,
    pub(super) key_signers: Tags,
    pub(super) zone_signers: Tags,
    pub(super) cds: Tags,
    pub(super) dnskey_secs: u64,
    pub(super) zone_secs: u64,
}

pub(super) struct World {
    pub(super) now: u64,
    pub(super) policy: Policy,
    pub(super) state: State,
    /// Keys made so far, by their place in the pool.
    pub(super) made: Vec<usize>,
    /// The times of their files.
    pub(super) times: Vec<Times>,
    /// Keys whose files are lost.
    pub(super) lost: Tags,
    pub(super) served: Vec<Served>,
    pub(super) parent: Vec<(u64, Tags)>,
    pub(super) ds_secs: u64,
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
    pub(super) fn new(layout: Layout, policy: Policy) -> World {
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

    pub(super) fn available(&self) -> Vec<Arc<SigningKey>> {
        let keys = self.made.iter().map(|&at| pool()[at].clone());
        keys.filter(|key| !self.lost.contains(&key.tag())).collect()
    }

    /// Steps until nothing is to be made, as `Keystore::advance` does.
    pub(super) fn step(&mut self) -> Step {
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
                let fits = |at: &usize| at.is_multiple_of(2) == role.is_ksk() && !self.made.contains(at);
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

    pub(super) fn serve_and_say_so(&mut self) {
        if let Some(revision) = self.serve() {
            self.state.served(revision, self.now);
        }
    }

    /// The parent's DS RRset becomes what `change` makes of it and of the CDS RRset.
    pub(super) fn change_parent(&mut self, change: impl Fn(&Tags, &Tags) -> Tags) {
        let cds = &self.served.last().unwrap().cds;
        if !cds.is_empty() {
            let next = change(&self.parent.last().unwrap().1, cds);
            if self.parent.last().unwrap().1 != next {
                self.parent.push((self.now, next));
            }
        }
    }

    pub(super) fn confirm(&mut self) {
        let at_parent = self.parent.last().unwrap().1.clone();
        for tag in at_parent {
            // Refused for keys that do not wait.
            let _ = self.state.ds_published(Some(tag), self.now);
        }
    }

    /// Every combination of what caches may hold has to validate.
    pub(super) fn check(&self) -> Result<(), TestCaseError> {
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
        1 => (60u32..86_400, 60u32..86_400).prop_map(|(dnskey, zone)| Event::Ttls(dnskey, zone)),
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
                // What was served by the former state says nothing about this one.
                let served = self.state.clone();
                self.state.served(served.revision - 1, self.now);
                prop_assert_eq!(&self.state, &served);
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
