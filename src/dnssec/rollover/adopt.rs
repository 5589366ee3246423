//! The first state of a zone: from the keys in its folder and the times in their files.
//!
//! Used once, at the first start or to rebuild a lost state. It takes the cautious reading wherever files do not tell: they
//! do not say whether a DS is at the parent, so somebody has to confirm it; until then no KSK is rolled.
//!
//! A zone without keys is refused, never given new ones: its keys may only be out of reach (a folder not mounted), and new
//! ones would not be those the parent vouches for.

use super::{KeyState, KskStage, MAX_KEYS, State, Track, ZskStage};
use crate::dnssec::key::{Algorithm, PublicKey};
use crate::dnssec::keyfile::Times;
use crate::dnssec::policy::Policy;

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
    let usable: Vec<&(PublicKey, Times)> = keys.iter().filter(|(_, times)| !is_past(times.delete)).collect();
    if usable.len() > MAX_KEYS {
        return Err(AdoptError::TooMany);
    }
    if let Some((first, _)) = usable.first()
        && let Some((other, _)) = usable.iter().find(|(key, _)| key.algorithm() != first.algorithm())
    {
        return Err(AdoptError::Algorithms(first.algorithm(), other.algorithm()));
    }
    if !usable.iter().any(|(key, times)| key.is_ksk() && !is_past(times.inactive)) {
        return Err(AdoptError::NoKsk);
    }
    let is_combined = usable.iter().all(|(key, _)| key.is_ksk());
    let mut state = State::new(zone, policy.clone(), now);
    state.revision = 1;
    for (public, times) in usable {
        if state.keys.iter().any(|key| key.public.tag() == public.tag()) {
            return Err(AdoptError::SameTag(public.tag()));
        }
        let created = times.created.unwrap_or(now).min(now);
        let is_zsk = is_combined || !public.is_ksk();
        let zsk = is_zsk.then(|| {
            let stage = match times.activate {
                _ if is_past(times.inactive) => ZskStage::Retired,
                Some(activate) if activate > now => ZskStage::Published,
                _ => ZskStage::Active,
            };
            let mut track = Track::new(stage, now, 1);
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
            let mut track = Track::new(stage, now, 1);
            track.not_before = times.sync_publish.unwrap_or(0);
            track
        });
        state.keys.push(KeyState { public: public.clone(), created, zsk, ksk });
    }
    settle_zsk(&mut state);
    Ok(state)
}

/// One ZSK is active: the one that became so last. The others' signatures may still be in caches.
fn settle_zsk(state: &mut State) {
    let active = |key: &KeyState| key.zsk.filter(|track| track.stage == ZskStage::Active);
    let newest = state.keys.iter().filter_map(|key| Some((active(key)?.decided, key.id()))).max();
    let (revision, now) = (state.revision, state.last_seen);
    for key in &mut state.keys {
        let is_newest = newest.is_some_and(|(_, id)| id == key.id());
        if active(key).is_some() && !is_newest {
            key.zsk = Some(Track::new(ZskStage::Retired, now, revision));
        }
    }
}
