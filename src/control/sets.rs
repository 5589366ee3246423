//! The thread that signs answers of several addresses: whenever a pool's health has moved, the few sets that its rotations now
//! answer with are signed for each name that is bound to it.
//!
//! Nothing waits for it. Until the sets of new health are signed, a signed name is answered one address at a time, and that is
//! signed ahead; so a failover is no later for it. It has no part in anything unsigned, and never touches health.
//!
//! # Bounds
//! As many signatures as `config::compile` made room for, and twice as many kept for sets that come back, as those of a member
//! that flaps do.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::live::unix_secs;
use crate::config::compile::signatures::Digest;
use crate::config::compile::signing::{SteeredSets, digest_of};
use crate::config::model::OwnerName;
use crate::dnssec::canonical::canonical_records;
use crate::dnssec::key::{KeyError, SigningKey};
use crate::dnssec::keyset::KeySet;
use crate::dnssec::policy::Policy;
use crate::dnssec::rrsig::{Standing, Validity, sign_rrset};
use crate::state::pool::{Family, FamilyPool};
use crate::state::rotation::RotationTable;
use crate::state::rrset_builder::{RECORD_HEAD_OCTETS, push_record};
use crate::state::snapshot::Snapshot;
use crate::wire::message::Rtype;

/// Time between two looks at the health of pools.
const LOOK: Duration = Duration::from_millis(20);
/// Time between two looks at the ends of signatures, in seconds.
const LOOK_AT_ENDS_SECS: u64 = 60;
/// How far the clock may go back without anything being made of it.
const CLOCK_SLACK_SECS: u64 = 300;
/// How long after a failure a name is tried again.
const RETRY_SECS: u64 = 60;
/// Signatures kept at least for sets that come back.
const KEPT_MIN: usize = 1024;
/// Passes for which a signature is kept without being used, when there are too many.
const KEPT_PASSES: u64 = 4;

/// What is to be signed from now on.
pub(super) struct SetWork {
    /// Where health is read and signatures go.
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) zones: Vec<SetZone>,
}

/// The names of a zone, and what they are signed with.
pub(super) struct SetZone {
    pub(super) apex: OwnerName,
    pub(super) keys: KeySet,
    pub(super) policy: Policy,
    pub(super) names: Vec<SteeredSets>,
}

/// What is told of it.
#[derive(Default)]
pub(super) struct SetFigures {
    /// Signatures made since the start.
    pub(super) made: AtomicU64,
    /// Names whose sets are not signed for the health there is.
    pub(super) waiting: AtomicU64,
}

/// The running thread; it ends when this is dropped.
pub(super) struct SetSigner {
    work: Option<Sender<SetWork>>,
    figures: Arc<SetFigures>,
    thread: Option<JoinHandle<()>>,
}

impl SetSigner {
    /// Starts the thread; it does nothing before it has work.
    ///
    /// # Errors
    /// When the kernel gives no thread.
    pub(super) fn start() -> std::io::Result<SetSigner> {
        let (work, orders) = bounded(1);
        let figures = Arc::<SetFigures>::default();
        let shared = figures.clone();
        let thread =
            std::thread::Builder::new().name("sign-sets".into()).spawn(move || run(&orders, &shared))?;
        Ok(SetSigner { work: Some(work), figures, thread: Some(thread) })
    }

    /// Leaves what it did and does this.
    pub(super) fn take_up(&self, work: SetWork) {
        let gone = self.work.as_ref().is_none_or(|to| to.send(work).is_err());
        if gone {
            tracing::error!(
                "signed names are answered one address at a time: the thread that signs sets is gone"
            );
        }
    }

    /// What is told of it.
    pub(super) fn figures(&self) -> Arc<SetFigures> {
        self.figures.clone()
    }
}

impl Drop for SetSigner {
    fn drop(&mut self) {
        drop(self.work.take());
        // An error: it has panicked, which the log says.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn run(orders: &Receiver<SetWork>, figures: &SetFigures) {
    let mut kept = Kept::default();
    let mut next = orders.recv().ok();
    while let Some(work) = next {
        let mut desk = Desk::new(work);
        // Names are handed over only by a clock that signs whole zones.
        kept.latest = 0;
        next = loop {
            let waiting = desk.pass(&mut kept, unix_secs(), || !orders.is_empty());
            // Relaxed: figures stand alone.
            figures.waiting.store(waiting as u64, Ordering::Relaxed);
            figures.made.store(kept.made, Ordering::Relaxed);
            // Without names there is nothing to look at.
            let told = if desk.names.is_empty() {
                orders.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                orders.recv_timeout(LOOK)
            };
            match told {
                Ok(work) => break Some(work),
                Err(RecvTimeoutError::Disconnected) => break None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        };
        // What it leaves behind is read for as long as workers have it, and nobody looks at its ends any more.
        desk.withdraw_all();
    }
}

/// Signatures as they were made.
#[derive(Default)]
struct Kept {
    signatures: HashMap<Digest, KeptOne>,
    /// Counts passes in which something was signed.
    pass: u64,
    /// The latest time of such a pass.
    latest: u64,
    made: u64,
}

struct KeptOne {
    rdata: Box<[u8]>,
    validity: Validity,
    used: u64,
}

impl Kept {
    /// A signature over an RRset, an old one where that holds.
    fn sign(
        &mut self,
        key: &SigningKey,
        zone: &SetZone,
        owner: &[u8],
        (rtype, ttl_secs): (Rtype, u32),
        records: &[Vec<u8>],
        now: u64,
    ) -> Result<&KeptOne, KeyError> {
        let digest = digest_of(key, owner, rtype, ttl_secs, records);
        let is_fit = |kept: &KeptOne| {
            matches!(kept.validity.at(now), Standing::Holds(_)) && !zone.policy.is_of_pass(kept.validity, now)
        };
        if !self.signatures.get(&digest).is_some_and(is_fit) {
            let validity = zone.policy.validity(owner, rtype.0, now);
            let rdata =
                sign_rrset(key, zone.apex.as_wire(), owner, rtype.0, ttl_secs, records, validity)?.into();
            self.made += 1;
            self.signatures.insert(digest, KeptOne { rdata, validity, used: 0 });
        }
        let pass = self.pass;
        let kept = self.signatures.entry(digest).and_modify(|kept| kept.used = pass);
        match kept {
            std::collections::hash_map::Entry::Occupied(kept) => Ok(kept.into_mut()),
            std::collections::hash_map::Entry::Vacant(_) => Err(KeyError::Generate),
        }
    }

    /// Forgets what was not used for long, where there is more than is worth keeping.
    fn forget_beyond(&mut self, most: usize) {
        if self.signatures.len() > most {
            let since = self.pass.saturating_sub(KEPT_PASSES);
            self.signatures.retain(|_, kept| kept.used >= since);
        }
        if self.signatures.len() > most {
            self.signatures.clear();
        }
    }
}

/// A name with the times of its signatures.
struct SignedName {
    /// Index of its zone in the work.
    zone: usize,
    sets: SteeredSets,
    /// From this time on one of them is due.
    due: u64,
    /// Not before this time is it tried again, where it could not be signed.
    retry_at: u64,
}

/// What is signed now.
struct Desk {
    work: SetWork,
    rotations: RotationTable,
    /// By pool.
    names: Vec<SignedName>,
    groups: Vec<Group>,
    /// Signatures there is room for.
    room: usize,
    next_look_at_ends: u64,
}

/// The names of one pool.
struct Group {
    pool: u32,
    names: Range<usize>,
    /// The health that all of them are signed for; `None`: not all are.
    done_at: Option<u64>,
    /// How many are not.
    waiting: usize,
}

/// The sets of one rotation and the health they are of.
type Sets = Option<(u64, Vec<Vec<u16>>)>;

impl Desk {
    fn new(mut work: SetWork) -> Desk {
        let rotations = RotationTable::new(&work.snapshot.pools, 0);
        let mut names = Vec::new();
        for (zone, of) in work.zones.iter_mut().enumerate() {
            let sets = std::mem::take(&mut of.names);
            names.extend(sets.into_iter().map(|sets| SignedName { zone, sets, due: u64::MAX, retry_at: 0 }));
        }
        names.sort_by_key(|name| name.sets.pool);
        let mut groups: Vec<Group> = Vec::new();
        for (at, name) in names.iter().enumerate() {
            match groups.last_mut().filter(|group| group.pool == name.sets.pool) {
                Some(group) => group.names.end = at + 1,
                None => {
                    groups.push(Group { pool: name.sets.pool, names: at..at + 1, done_at: None, waiting: 0 });
                }
            }
        }
        let mut desk = Desk { work, rotations, names, groups, room: 0, next_look_at_ends: 0 };
        desk.room = desk.regions().map(|(_, _, sets)| sets.capacity()).sum();
        desk
    }

    /// Every table of every name.
    fn regions(
        &self,
    ) -> impl Iterator<Item = (&SignedName, usize, &crate::state::set_signatures::SetSignatures)> {
        self.names.iter().flat_map(|name| {
            let signed = &self.work.snapshot.signed[name.sets.signed as usize];
            let families = signed.families.iter().enumerate();
            families.flat_map(move |(family, of)| of.sets.iter().map(move |sets| (name, family, sets)))
        })
    }

    /// Leaves nothing in force.
    fn withdraw_all(&self) {
        self.regions().for_each(|(_, _, sets)| sets.withdraw());
    }

    /// Signs what health or time asks for, until it is told that there is something else to do; returns how many names are still
    /// without signatures of their sets.
    fn pass(&mut self, kept: &mut Kept, now: u64, is_called: impl Fn() -> bool) -> usize {
        let looks_at_ends = now >= self.next_look_at_ends || now + LOOK_AT_ENDS_SECS < self.next_look_at_ends;
        if looks_at_ends {
            self.next_look_at_ends = now + LOOK_AT_ENDS_SECS;
        }
        if now + CLOCK_SLACK_SECS < kept.latest {
            // What is signed now might end too soon: one address at a time was signed ahead, by a better clock.
            self.withdraw_all();
            self.groups.iter_mut().for_each(|group| group.done_at = None);
            return self.names.len();
        }
        let mut found: HashMap<(u32, usize, usize), Sets> = HashMap::new();
        let mut names = std::mem::take(&mut self.names);
        let mut groups = std::mem::take(&mut self.groups);
        let mut has_signed = false;
        for group in &mut groups {
            let sequence = self.work.snapshot.health.sequence(group.pool as usize);
            if group.done_at == sequence && sequence.is_some() && !looks_at_ends {
                continue;
            }
            let mut waiting = 0;
            for name in &mut names[group.names.clone()] {
                let is_due = looks_at_ends && now >= name.due;
                if !is_due && self.is_signed(name) {
                    continue;
                }
                if now < name.retry_at || is_called() {
                    waiting += 1;
                    continue;
                }
                if !has_signed {
                    has_signed = true;
                    kept.pass += 1;
                    kept.latest = kept.latest.max(now);
                }
                match self.sign_name(name, kept, &mut found, now) {
                    Ok(true) => {}
                    Ok(false) => waiting += 1,
                    Err(error) => {
                        waiting += 1;
                        let apex = &self.work.zones[name.zone].apex;
                        tracing::error!(zone = %apex, "sets of addresses cannot be signed: {error}");
                        self.withdraw(name);
                        name.retry_at = now + RETRY_SECS;
                    }
                }
            }
            group.waiting = waiting;
            // If health has moved meanwhile, this is not what it is at, and the next pass looks again.
            group.done_at = sequence.filter(|_| waiting == 0);
        }
        let waiting = groups.iter().map(|group| group.waiting).sum();
        (self.names, self.groups) = (names, groups);
        if has_signed {
            kept.forget_beyond((2 * self.room).max(KEPT_MIN));
        }
        waiting
    }

    /// Whether all of a name's tables are of the health there is.
    fn is_signed(&self, name: &SignedName) -> bool {
        let snapshot = &self.work.snapshot;
        let Some(sequence) = snapshot.health.sequence(name.sets.pool as usize) else { return true };
        let signed = &snapshot.signed[name.sets.signed as usize];
        signed.families.iter().flat_map(|family| family.sets.iter()).all(|sets| sets.are_of(sequence))
    }

    fn withdraw(&self, name: &SignedName) {
        let signed = &self.work.snapshot.signed[name.sets.signed as usize];
        signed.families.iter().flat_map(|family| family.sets.iter()).for_each(|sets| sets.withdraw());
    }

    /// Signs the sets of a name; false where health is being written.
    fn sign_name(
        &mut self,
        name: &mut SignedName,
        kept: &mut Kept,
        found: &mut HashMap<(u32, usize, usize), Sets>,
        now: u64,
    ) -> Result<bool, KeyError> {
        let snapshot = self.work.snapshot.clone();
        let pool = &snapshot.pools[name.sets.pool as usize];
        let zone = &self.work.zones[name.zone];
        name.due = u64::MAX;
        let mut is_whole = true;
        for (at, family) in [&pool.v4, &pool.v6].into_iter().enumerate() {
            let signed = &snapshot.signed[name.sets.signed as usize].families[at];
            for (scope, table) in signed.sets.iter().enumerate() {
                let sets = found
                    .entry((name.sets.pool, at, scope))
                    .or_insert_with(|| self.rotations.sets(&snapshot.health, family, scope));
                let Some((sequence, sets)) = sets else {
                    is_whole = false;
                    continue;
                };
                let mut records = Vec::with_capacity(sets.len());
                for set in sets.iter() {
                    records.push(sign_set(name, zone, kept, family, set, now)?);
                }
                table.publish(*sequence, records.iter().map(Vec::as_slice));
            }
        }
        Ok(is_whole)
    }
}

/// The RRSIG records over one set of a name; notes the times of the signatures at the name.
fn sign_set(
    name: &mut SignedName,
    zone: &SetZone,
    kept: &mut Kept,
    family: &FamilyPool,
    set: &[u16],
    now: u64,
) -> Result<Vec<u8>, KeyError> {
    let rtype = match family.family {
        Family::V4 => Rtype::A,
        Family::V6 => Rtype::AAAA,
    };
    let len = family.family.record_octets();
    let addresses = set.iter().filter_map(|candidate| {
        family.records.get(usize::from(*candidate) * len..)?.get(RECORD_HEAD_OCTETS..len)
    });
    let records = canonical_records(rtype.0, addresses);
    let ttl_secs = name.sets.ttl_secs;
    let mut octets = Vec::new();
    for key in zone.keys.signers(rtype.0) {
        let one = kept.sign(key, zone, &name.sets.name, (rtype, ttl_secs), &records, now)?;
        name.due = name.due.min(zone.policy.due_at(one.validity, now));
        push_record(&mut octets, Rtype::RRSIG, ttl_secs, &one.rdata);
    }
    Ok(octets)
}

#[cfg(test)]
mod tests;
