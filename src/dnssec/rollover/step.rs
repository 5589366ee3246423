//! What changes when: `pending` lists every coming change with its time, `step` makes those that are due.
//!
//! Pure: the same state, policy and time give the same step. `steerd dnssec status` prints what `pending` says, so what it
//! foretells is what will be done.

use super::{KeyState, KskStage, Role, State, Track, ZskStage};
use crate::dnssec::key::{Algorithm, KeyId, PublicKey};
use crate::dnssec::policy::{Layout, Policy, Ttls};

/// A clock may go back so far unnoticed, as time servers set it.
const CLOCK_TOLERANCE_SECS: u64 = 300;
/// How soon to look again after a fault.
const RETRY_SECS: u64 = 60;
/// How long a removed key stays in the state, to be seen by people.
const FORGET_SECS: u64 = 90 * 86_400;
/// Removed keys kept at most: where TTLs are short, rollovers are many.
const MAX_REMOVED: usize = 8;
/// Changes of one step; each moves one of at most `MAX_KEYS` keys forward on one of two tracks of six stages.
const MAX_CHANGES: usize = super::MAX_KEYS * 12;

/// A change of what a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A successor is made.
    Generate(Role),
    /// It signs the zone.
    ZskActive,
    /// It does so no longer.
    ZskRetired,
    /// It leaves the DNSKEY RRset (unless it is a KSK too).
    ZskRemoved,
    /// Its DS is wanted at the parent.
    KskReady,
    /// Every cache knows its DS.
    KskActive,
    /// Its DS is to be removed from the parent.
    KskRetired,
    /// It leaves the DNSKEY RRset (unless it is a ZSK too).
    KskRemoved,
}

/// When a change comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Then, or at the next step if that is past.
    At(u64),
    /// So many seconds after a server has served what the state says.
    AfterServed(u64),
    /// So many seconds after somebody has confirmed that the DS is at the parent.
    AfterConfirmation(u64),
}

/// A change to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The key; `None` for one that is to be made.
    pub key: Option<KeyId>,
    /// What changes.
    pub change: Change,
    /// When.
    pub when: When,
}

/// What the caller has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a key, keep it on disk, then `State::introduce` it and step again.
    Generate {
        /// Its algorithm.
        algorithm: Algorithm,
        /// What it is for.
        role: Role,
    },
}

/// Why nothing changes, or not what was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing is changed, and signatures there are should be kept, until the clock is right.
    #[error("the clock went back by {by_secs} s: keys and signatures stay as they are")]
    ClockBackwards {
        /// How far.
        by_secs: u64,
    },
    /// Nothing is changed until it is back.
    #[error("the private key of {key} is missing or unusable: keys stay as they are")]
    KeyMissing {
        /// Which.
        key: KeyId,
    },
    /// The policy names another algorithm than the keys have; successors keep theirs.
    #[error("algorithm {wanted} is configured, but the zone's keys are {used}: an algorithm is not rolled")]
    AlgorithmKept {
        /// That of the policy.
        wanted: Algorithm,
        /// That of the keys.
        used: Algorithm,
    },
}

/// What came of a step.
#[derive(Clone, Debug)]
pub struct Step {
    /// The new state.
    pub state: State,
    /// What the caller has to do.
    pub actions: Vec<Action>,
    /// What has changed.
    pub changes: Vec<(KeyId, Change)>,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// When the next step is worth making; `None` when only a person or the server can bring a change.
    pub wake_at: Option<u64>,
}

/// The time to go by: never before the last one. `None` when the clock went back further than it may.
pub(in crate::dnssec) fn clock(last_seen: u64, now: u64) -> Option<u64> {
    (now + CLOCK_TOLERANCE_SECS >= last_seen).then_some(now.max(last_seen))
}

/// How long caches and servers take to forget or to learn.
struct Waits {
    dnskey_secs: u64,
    data_secs: u64,
    ds_secs: u64,
}

impl Waits {
    fn of(state: &State, policy: &Policy) -> Waits {
        let ttls: Ttls = state.remembered.map_or(policy.ttls, |remembered| remembered.ttls.max(policy.ttls));
        let propagation = u64::from(policy.propagation_secs);
        let wait = |ttl: u32| u64::from(ttl) + propagation;
        Waits {
            dnskey_secs: wait(ttls.dnskey_secs),
            data_secs: wait(ttls.zone_secs.max(ttls.dnskey_secs)),
            ds_secs: wait(ttls.ds_secs),
        }
    }
}

/// When something served is known everywhere.
fn after_served<S>(track: Track<S>, wait_secs: u64) -> When {
    track
        .served
        .map_or(When::AfterServed(wait_secs), |served| When::At((served + wait_secs).max(track.not_before)))
}

/// Every change to come.
pub fn pending(state: &State, policy: &Policy) -> Vec<Pending> {
    let waits = Waits::of(state, policy);
    let has_ksk = |wanted: &[KskStage]| state.keys.iter().any(|key| wanted.contains(&key.ksk_stage()));
    let has_zsk = |wanted: &[ZskStage]| state.keys.iter().any(|key| wanted.contains(&key.zsk_stage()));
    let mut found = Vec::new();
    for key in &state.keys {
        let mut push = |change, when| found.push(Pending { key: Some(key.id()), change, when });
        match key.zsk.map(|track| (track.stage, track)) {
            Some((ZskStage::Published, track)) => {
                // Without a predecessor there are no signatures yet that anybody could prefer.
                let is_first = !has_zsk(&[ZskStage::Active, ZskStage::Retired]);
                let known = after_served(track, waits.dnskey_secs);
                push(Change::ZskActive, if is_first { When::At(0) } else { known });
            }
            // While nobody else signs the zone, it does (imported keys at the end of their time).
            Some((ZskStage::Retired, track)) if has_zsk(&[ZskStage::Active]) => {
                push(Change::ZskRemoved, after_served(track, waits.data_secs));
            }
            Some((ZskStage::Active | ZskStage::Retired | ZskStage::Removed, _)) | None => {}
        }
        match key.ksk.map(|track| (track.stage, track)) {
            Some((KskStage::Published, track)) => {
                // Before the first DS caches hold what was not signed, too.
                let is_rollover = has_ksk(&[KskStage::Active]);
                let wait = if is_rollover { waits.dnskey_secs } else { waits.data_secs };
                push(Change::KskReady, after_served(track, wait));
            }
            Some((KskStage::Ready, _)) => push(Change::KskActive, When::AfterConfirmation(waits.ds_secs)),
            Some((KskStage::Submitted, track)) => {
                push(Change::KskActive, When::At(track.decided + waits.ds_secs));
            }
            // While no other DS is known to be at the parent, its may be the one that is.
            Some((KskStage::Retired, track)) if has_ksk(&[KskStage::Active]) => {
                push(Change::KskRemoved, after_served(track, waits.dnskey_secs));
            }
            Some((KskStage::Active | KskStage::Retired | KskStage::Removed, _)) | None => {}
        }
    }
    found.extend(successors(state, policy, &waits));
    found
}

/// The successors to come: on request, at the end of a lifetime, or because a ZSK lacks. One rollover at a time on a track.
fn successors(state: &State, policy: &Policy, waits: &Waits) -> impl Iterator<Item = Pending> {
    let in_zsk = |key: &&KeyState| matches!(key.zsk_stage(), ZskStage::Published | ZskStage::Retired);
    let in_ksk = |key: &&KeyState| !matches!(key.ksk_stage(), KskStage::Active | KskStage::Removed);
    let zsk = state.keys.iter().find_map(|key| key.zsk.filter(|track| track.stage == ZskStage::Active));
    let ksk = state.keys.iter().find_map(|key| key.ksk.filter(|track| track.stage == KskStage::Active));
    let is_zsk_idle = !state.keys.iter().any(|key| in_zsk(&key));
    let is_ksk_idle = ksk.is_some() && !state.keys.iter().any(|key| in_ksk(&key));
    let lacks_zsk = zsk.is_none() && !state.keys.iter().any(|key| key.zsk_stage() == ZskStage::Published);
    // As soon before the end of its lifetime as its successor takes to become known.
    let end = |since: u64, lifetime: Option<u32>, wait: u64| {
        lifetime.map(|lifetime| since + u64::from(lifetime).saturating_sub(wait))
    };
    let ksk_end = ksk.and_then(|track| end(track.decided, policy.ksk_lifetime_secs, waits.dnskey_secs));
    let zsk_end = zsk.and_then(|track| end(track.decided, policy.zsk_lifetime_secs, waits.dnskey_secs));
    let requested = |is_requested: bool| is_requested.then_some(0);
    let (of_ksk, of_zsk) = (requested(state.is_ksk_requested), requested(state.is_zsk_requested));
    let wanted = match policy.layout {
        _ if lacks_zsk => [Some((Role::Zsk, 0)), None],
        Layout::Combined => {
            let at = of_ksk.or(of_zsk).or(ksk_end).filter(|_| is_ksk_idle && is_zsk_idle);
            [at.map(|at| (Role::Combined, at)), None]
        }
        Layout::Split => [
            of_ksk.or(ksk_end).filter(|_| is_ksk_idle).map(|at| (Role::Ksk, at)),
            of_zsk.or(zsk_end).filter(|_| is_zsk_idle).map(|at| (Role::Zsk, at)),
        ],
    };
    wanted.into_iter().flatten().map(|(role, at)| Pending {
        key: None,
        change: Change::Generate(role),
        when: When::At(at),
    })
}

/// Makes every change that is due at `now`. `available` are the public keys whose private halves are at hand.
pub fn step(state: &State, policy: &Policy, available: &[&PublicKey], now: u64) -> Step {
    let mut step = Step {
        state: state.clone(),
        actions: Vec::new(),
        changes: Vec::new(),
        faults: Vec::new(),
        wake_at: None,
    };
    let Some(now) = clock(state.last_seen, now) else {
        step.faults.push(Fault::ClockBackwards { by_secs: state.last_seen - now });
        step.wake_at = Some(now + RETRY_SECS);
        return step;
    };
    step.state.last_seen = now;
    take_policy(&mut step.state, policy, now);
    let is_missing = |key: &&KeyState| key.is_needed() && !available.contains(&&key.public);
    let missing = state.keys.iter().filter(is_missing).map(|key| Fault::KeyMissing { key: key.id() });
    step.faults.extend(missing);
    if !step.faults.is_empty() {
        step.wake_at = Some(now + RETRY_SECS);
        return step;
    }
    for _ in 0..MAX_CHANGES {
        let is_due = |p: &Pending| matches!(p.when, When::At(at) if at <= now);
        let due = pending(&step.state, policy).into_iter().find(|p| is_due(p) && p.key.is_some());
        let Some(Pending { key: Some(key), change, .. }) = due else { break };
        apply(&mut step, key, change, now);
    }
    forget(&mut step.state.keys, now);
    let used = step.state.keys.iter().find(|key| key.is_published()).map(|key| key.public.algorithm());
    let algorithm = used.unwrap_or(policy.algorithm);
    if algorithm != policy.algorithm {
        step.faults.push(Fault::AlgorithmKept { wanted: policy.algorithm, used: algorithm });
    }
    for coming in pending(&step.state, policy) {
        match (coming.change, coming.when) {
            (Change::Generate(role), When::At(at)) if at <= now => {
                step.actions.push(Action::Generate { algorithm, role });
            }
            (_, When::At(at)) => step.wake_at = Some(step.wake_at.map_or(at, |wake: u64| wake.min(at))),
            (_, When::AfterServed(_) | When::AfterConfirmation(_)) => {}
        }
    }
    step
}

/// Goes by a policy from now on, and remembers TTLs that it lowers: caches go by them until they are over.
fn take_policy(state: &mut State, policy: &Policy, now: u64) {
    let is_over = |until: Option<u64>| until.is_some_and(|until| until <= now);
    state.remembered = state.remembered.filter(|remembered| !is_over(remembered.until));
    let before = state.policy.ttls;
    if before.max(policy.ttls) != policy.ttls {
        let ttls = state.remembered.map_or(before, |remembered| remembered.ttls.max(before));
        state.revision += 1;
        state.remembered = Some(super::Remembered { ttls, revision: state.revision, until: None });
    }
    state.policy = policy.clone();
}

/// Makes one change.
fn apply(step: &mut Step, id: KeyId, change: Change, now: u64) {
    step.state.revision += 1;
    let revision = step.state.revision;
    let is_signing = if step.state.keys.iter().any(|key| key.zsk_stage() == ZskStage::Active) {
        ZskStage::Active
    } else {
        ZskStage::Retired
    };
    for key in &mut step.state.keys {
        let is_it = key.id() == id;
        let made = match change {
            // Whoever signed until now retires now.
            Change::ZskActive if !is_it && key.zsk_stage() == is_signing => Change::ZskRetired,
            Change::KskActive if !is_it && key.ksk_stage() == KskStage::Active => Change::KskRetired,
            _ if is_it => change,
            _ => continue,
        };
        let zsk = |stage| Some(Track::new(stage, now, revision));
        let ksk = |stage| Some(Track::new(stage, now, revision));
        match made {
            Change::ZskActive => key.zsk = zsk(ZskStage::Active),
            Change::ZskRetired => key.zsk = zsk(ZskStage::Retired),
            Change::ZskRemoved => key.zsk = zsk(ZskStage::Removed),
            Change::KskReady => key.ksk = ksk(KskStage::Ready),
            Change::KskActive => key.ksk = ksk(KskStage::Active),
            Change::KskRetired => key.ksk = ksk(KskStage::Retired),
            Change::KskRemoved => key.ksk = ksk(KskStage::Removed),
            Change::Generate(_) => continue,
        }
        step.changes.push((key.id(), made));
    }
}

/// Drops keys that were removed long ago, and the oldest where there are many.
fn forget(keys: &mut Vec<KeyState>, now: u64) {
    keys.retain(|key| key.is_published() || removed_at(key) + FORGET_SECS > now);
    let mut surplus = keys.iter().filter(|key| !key.is_published()).count().saturating_sub(MAX_REMOVED);
    keys.retain(|key| {
        let is_dropped = surplus > 0 && !key.is_published();
        surplus -= usize::from(is_dropped);
        !is_dropped
    });
}

/// When a key that is no longer published left.
fn removed_at(key: &KeyState) -> u64 {
    let zsk = key.zsk.map_or(0, |track| track.decided);
    let ksk = key.ksk.map_or(0, |track| track.decided);
    zsk.max(ksk)
}
