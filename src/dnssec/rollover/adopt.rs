//! The first state of a zone, from the keys in its folder and the times in their files; and what changes of a state mean for
//! those times, so that a lost state can be rebuilt, and other programs can go on with the keys.
//!
//! Used once, at the first start or to rebuild a lost state. It takes the cautious reading wherever files do not tell: they
//! do not say whether a DS is at the parent, so somebody has to confirm it; until then no KSK is rolled.
//!
//! A zone without keys is refused, never given new ones: its keys may only be out of reach (a folder not mounted), and new
//! ones would not be those the parent vouches for.

use super::step::clock;
use super::{Change, KeyState, KskStage, MAX_KEYS, Remembered, Role, State, Track, ZskStage};
use crate::dnssec::key::{Algorithm, PublicKey};
use crate::dnssec::keyfile::Times;
use crate::dnssec::policy::{Policy, Ttls};

/// The first KSK and ZSK of a zone are made within that.
const TOGETHER_SECS: u64 = 3600;

/// Why the keys of a folder cannot sign a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdoptError {
    /// No key with flags 257 that is in use.
    #[error("there is no KSK or combined key in use (`steerd dnssec keygen ZONE` makes one)")]
    NoKsk,
    /// RFC 4035 §2.2 wants every RRset signed with every algorithm.
    #[error(
        "there are keys of two algorithms, {0} and {1}: one algorithm signs a zone (move the others away)"
    )]
    Algorithms(Algorithm, Algorithm),
    /// Two keys with one tag.
    #[error("two keys have the tag {0}")]
    SameTag(u16),
    /// A clock that has lost its time, or keys made under one.
    #[error("the clock is {0} s behind the making of the newest key: set it right")]
    Clock(u64),
    /// More keys than a state holds.
    #[error("more than {MAX_KEYS} keys")]
    TooMany,
}

/// The state of a zone whose folder holds `keys`.
///
/// # Errors
/// [`AdoptError`] when they cannot sign it.
pub fn adopt(
    zone: &[u8],
    policy: &Policy,
    keys: &[(PublicKey, Times)],
    now: u64,
) -> Result<State, AdoptError> {
    let is_past = |time: Option<u64>| time.is_some_and(|time| time <= now);
    // Made, but not to be published (`dnssec-keygen -G`).
    let is_kept_back =
        |times: &Times| times.created.is_some() && times.publish.is_none() && times.activate.is_none();
    let is_used = |times: &Times| !is_past(times.delete) && !is_kept_back(times);
    let usable: Vec<&(PublicKey, Times)> = keys.iter().filter(|(_, times)| is_used(times)).collect();
    if usable.len() > MAX_KEYS {
        return Err(AdoptError::TooMany);
    }
    if let Some((first, _)) = usable.first()
        && let Some((other, _)) = usable.iter().find(|(key, _)| key.algorithm() != first.algorithm())
    {
        return Err(AdoptError::Algorithms(first.algorithm(), other.algorithm()));
    }
    let newest = usable.iter().filter_map(|(_, times)| times.created).max().unwrap_or(0);
    let now = clock(newest, now).ok_or(AdoptError::Clock(newest.saturating_sub(now)))?;
    if !usable.iter().any(|(key, times)| key.is_ksk() && !is_past(times.inactive)) {
        return Err(AdoptError::NoKsk);
    }
    let has_zsk =
        usable.iter().any(|(key, times)| !key.is_ksk() && zsk_stage(times, now) == ZskStage::Active);
    let mut state = State::new(zone, policy.clone(), now);
    // A server may still speak of what it served by a former state: revisions of this one are beyond those.
    let revision = now;
    state.revision = revision;
    let former = policy.former_ttl_secs;
    let ttls = Ttls { dnskey_secs: former, zone_secs: former, ds_secs: former };
    state.remembered = Some(Remembered { ttls, revision, until: None });
    for (public, times) in usable {
        if state.keys.iter().any(|key| key.public.tag() == public.tag()) {
            return Err(AdoptError::SameTag(public.tag()));
        }
        let created = times.created.unwrap_or(now).min(now);
        let stage = match public.is_ksk() {
            true if has_zsk => has_signed_zone(times, keys).then_some(ZskStage::Retired),
            // Without a ZSK it is combined keys that sign the zone.
            true | false => Some(zsk_stage(times, now)),
        };
        let zsk = stage.map(|stage| {
            let mut track = Track::new(stage, now, revision);
            track.not_before = times.activate.unwrap_or(0);
            if stage == ZskStage::Active {
                track.decided = times.activate.unwrap_or(created).min(now);
            }
            track
        });
        let ksk = public.is_ksk().then(|| {
            let stage = match times.sync_publish {
                _ if is_past(times.inactive) => KskStage::Retired,
                sync if is_past(sync) => KskStage::Ready,
                _ => KskStage::Published,
            };
            let mut track = Track::new(stage, now, revision);
            track.not_before = times.sync_publish.unwrap_or(0);
            track
        });
        state.keys.push(KeyState { public: public.clone(), created, zsk, ksk });
    }
    settle_zsk(&mut state);
    Ok(state)
}

/// What a ZSK with these times does.
fn zsk_stage(times: &Times, now: u64) -> ZskStage {
    let is_past = |time: Option<u64>| time.is_some_and(|time| time <= now);
    match (times.publish, times.activate) {
        _ if is_past(times.inactive) => ZskStage::Retired,
        (_, Some(activate)) if activate > now => ZskStage::Published,
        (Some(_), None) => ZskStage::Published,
        // A file without times at all is of a time when keys had none, and were simply used.
        _ => ZskStage::Active,
    }
}

/// Whether a key with flags 257 signed the zone before a ZSK did, for caches may hold its signatures: when it began to
/// sign, no ZSK did, those of files that are left.
fn has_signed_zone(times: &Times, keys: &[(PublicKey, Times)]) -> bool {
    let Some(began) = times.activate else { return false };
    let mut zsks = keys.iter().filter(|(key, _)| !key.is_ksk());
    !zsks.any(|(_, zsk)| zsk.activate.is_none_or(|activate| activate <= began + TOGETHER_SECS))
}

/// One ZSK is active: the one that has been longest, for every cache has it. Others that are said to be take over when
/// every cache has them too.
fn settle_zsk(state: &mut State) {
    let active = |key: &KeyState| key.zsk.filter(|track| track.stage == ZskStage::Active);
    let oldest = state.keys.iter().filter_map(|key| Some((active(key)?.decided, key.id()))).min();
    let (revision, now) = (state.revision, state.last_seen);
    for key in &mut state.keys {
        let is_oldest = oldest.is_some_and(|(_, id)| id == key.id());
        if active(key).is_some() && !is_oldest {
            key.zsk = Some(Track::new(ZskStage::Published, now, revision));
        }
    }
}

/// The times of a key made for a rollover: published at once; a KSK signs at once too.
pub fn times_of_successor(role: Role, now: u64) -> Times {
    let activate = (role == Role::Ksk).then_some(now);
    Times { created: Some(now), publish: Some(now), activate, ..Times::default() }
}

/// What a change of `key`, as it is after it, means for the times of its file.
pub fn note_change(times: &mut Times, key: &KeyState, change: Change, now: u64) {
    let signs_keys = !matches!(key.ksk_stage(), KskStage::Retired | KskStage::Removed);
    let signs_zone = matches!(key.zsk_stage(), ZskStage::Published | ZskStage::Active);
    match change {
        Change::ZskActive => times.activate = Some(now),
        Change::KskReady => times.sync_publish = Some(now),
        // A combined key may go on with its other half.
        Change::ZskRetired | Change::KskRetired if !signs_keys && !signs_zone => times.inactive = Some(now),
        Change::ZskRemoved | Change::KskRemoved if !key.is_published() => times.delete = Some(now),
        _ => {}
    }
}
