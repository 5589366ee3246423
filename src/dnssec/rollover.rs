//! The life of a zone's keys: what each one publishes and signs, told by a state that survives restarts.
//!
//! A key has up to two tracks, one for each thing it does; a combined key has both, so its rollover is the two at once.
//!
//! ```text
//! ZSK track  Published -> Active -> Retired -> Removed                        pre-publish (RFC 7583 §3.2.1)
//! KSK track  Published -> Ready -> Submitted -> Active -> Retired -> Removed  double DS, below
//! ```
//!
//! A new KSK is published and signs the DNSKEY RRset beside the old one; when every cache knows it, its DS is wanted at the
//! parent beside the old one's (`Ready`: CDS and CDNSKEY name both). Somebody confirms that it is there; one DS TTL later
//! every cache knows it, and the old key goes. This is the double-DS rollover with the new DNSKEY published first (RFC 7583
//! §3.3.3): parents that check a DS against the zone, or hold only one, stay safe too.
//!
//! # Invariants
//! - A wait begins when what is waited for is *served*, as the server says (`State::served`), not when it was decided.
//! - A key whose DS may be all that a cache knows is published and signs the DNSKEY RRset; a key whose signatures a cache
//!   may hold is published. A test holds this against a model of caches, at random times.
//! - A clock that went back, or a missing key, stops every change; nothing here ends signing.

use super::key::{KeyId, PublicKey};
use super::policy::{Policy, Ttls};

/// What changes when.
pub mod step;
/// The first state, from the keys there are.
pub mod adopt;
/// The state as JSON.
pub mod json;
#[cfg(test)]
mod tests;

pub use step::{Action, Change, Fault, Pending, Step, When, pending, step};

/// Keys a state may hold; rollovers of one zone overlap by two or three, and removed keys are forgotten.
pub const MAX_KEYS: usize = 64;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Signs the keys; its DS is at the parent.
    Ksk,
    /// Signs the zone.
    Zsk,
    /// Both.
    Combined,
}

impl Role {
    /// Whether keys of this role sign the DNSKEY RRset, and have flags 257.
    pub fn is_ksk(self) -> bool {
        matches!(self, Role::Ksk | Role::Combined)
    }

    /// Whether keys of this role sign the zone.
    pub fn is_zsk(self) -> bool {
        matches!(self, Role::Zsk | Role::Combined)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Role::Ksk => "KSK",
            Role::Zsk => "ZSK",
            Role::Combined => "combined key",
        })
    }
}

/// Where a key is as a ZSK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZskStage {
    /// In the DNSKEY RRset, signing nothing, until every cache has it.
    Published,
    /// Signs the zone.
    Active,
    /// Still in the DNSKEY RRset, because caches hold its signatures.
    Retired,
    /// Gone.
    Removed,
}

/// Where a key is as a KSK. In every stage but `Removed` it signs the DNSKEY RRset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KskStage {
    /// In the DNSKEY RRset, until every cache has it.
    Published,
    /// Its DS is wanted at the parent; CDS and CDNSKEY say so.
    Ready,
    /// Its DS is at the parent, until every cache has it.
    Submitted,
    /// The key the zone is trusted by.
    Active,
    /// Its DS is to be removed from the parent.
    Retired,
    /// Gone.
    Removed,
}

/// A stage, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Track<S> {
    /// The stage.
    pub stage: S,
    /// When it was decided (for `Submitted`: when the DS was confirmed).
    pub decided: u64,
    /// The revision of the state that brought it.
    pub revision: u64,
    /// When a server first served it; `None` until one has.
    pub served: Option<u64>,
    /// A time before which the next stage is not entered, from an imported key's file.
    pub not_before: u64,
}

impl<S> Track<S> {
    /// A stage just entered.
    pub(super) fn new(stage: S, now: u64, revision: u64) -> Track<S> {
        Track { stage, decided: now, revision, served: None, not_before: 0 }
    }
}

/// One key and its tracks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// The public key; so a lost file does not take the key out of the DNSKEY RRset.
    pub public: PublicKey,
    /// When it came into the state.
    pub created: u64,
    /// As a ZSK.
    pub zsk: Option<Track<ZskStage>>,
    /// As a KSK.
    pub ksk: Option<Track<KskStage>>,
}

impl KeyState {
    /// What tells it from the others.
    pub fn id(&self) -> KeyId {
        self.public.id()
    }

    /// The ZSK stage, `Removed` without that track.
    pub fn zsk_stage(&self) -> ZskStage {
        self.zsk.map_or(ZskStage::Removed, |track| track.stage)
    }

    /// The KSK stage, `Removed` without that track.
    pub fn ksk_stage(&self) -> KskStage {
        self.ksk.map_or(KskStage::Removed, |track| track.stage)
    }

    /// Whether it is in the DNSKEY RRset.
    pub fn is_published(&self) -> bool {
        self.zsk_stage() != ZskStage::Removed || self.ksk_stage() != KskStage::Removed
    }

    /// Whether its private half has to be there: it signs, or is about to.
    pub fn is_needed(&self) -> bool {
        matches!(self.zsk_stage(), ZskStage::Published | ZskStage::Active)
            || !matches!(self.ksk_stage(), KskStage::Retired | KskStage::Removed)
    }

    /// What it is for.
    pub fn role(&self) -> Role {
        match (self.ksk.is_some(), self.zsk.is_some()) {
            (true, true) => Role::Combined,
            (true, false) => Role::Ksk,
            (false, _) => Role::Zsk,
        }
    }
}

/// TTLs that caches may still go by after the zone has lowered them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// As they were.
    pub ttls: Ttls,
    /// The revision of the state that lowered them.
    pub revision: u64,
    /// Until when; `None` while no server has served the lower ones.
    pub until: Option<u64>,
}

/// Everything that is known about the keys of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The apex, lower-case wire form.
    pub zone: Vec<u8>,
    /// Grows with every change of what is published or signs.
    pub revision: u64,
    /// The latest time any step was made at.
    pub last_seen: u64,
    /// The keys, removed ones for a while included.
    pub keys: Vec<KeyState>,
    /// A rollover of the KSK (or combined key) was asked for.
    pub is_ksk_requested: bool,
    /// A rollover of the ZSK (or combined key) was asked for.
    pub is_zsk_requested: bool,
    /// The policy of the last step.
    pub policy: Policy,
    /// TTLs from before they were lowered.
    pub remembered: Option<Remembered>,
}

/// Why the state cannot be changed as somebody wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No KSK waits for its DS.
    #[error("no key waits for its DS at the parent")]
    NoneWaits,
    /// Several do.
    #[error("keys {0} and {1} both wait for their DS: say which one with --key TAG")]
    Several(u16, u16),
    /// No such key, or not in that stage.
    #[error("no key with the tag {0} is in such a state")]
    NoSuchKey(u16),
    /// It is all there is.
    #[error(
        "key {0} is the only one of its kind, or its DS is at the parent: without it the zone would break"
    )]
    OnlyKey(u16),
    /// The clock went back.
    #[error("the clock went back by {0} s: set it right, or accept it with --accept-clock")]
    Clock(u64),
    /// The tag is taken, or there are too many keys.
    #[error("key {0} cannot be taken in: its tag is taken, or there are too many keys")]
    Taken(u16),
}

impl State {
    /// A state without a key, which `adopt` fills.
    fn new(zone: &[u8], policy: Policy, now: u64) -> State {
        State {
            zone: zone.to_ascii_lowercase(),
            revision: 0,
            last_seen: now,
            keys: Vec::new(),
            is_ksk_requested: false,
            is_zsk_requested: false,
            policy,
            remembered: None,
        }
    }

    /// Takes in a key that was made for an [`Action::Generate`].
    ///
    /// # Errors
    /// [`Refusal::Taken`] when its tag is (make another), [`Refusal::Clock`].
    pub fn introduce(&mut self, public: &PublicKey, role: Role, now: u64) -> Result<(), Refusal> {
        let now = self.clock(now)?;
        let tag = public.tag();
        if self.keys.len() >= MAX_KEYS || self.keys.iter().any(|key| key.public.tag() == tag) {
            return Err(Refusal::Taken(tag));
        }
        self.revision += 1;
        let revision = self.revision;
        self.keys.push(KeyState {
            public: public.clone(),
            created: now,
            zsk: role.is_zsk().then(|| Track::new(ZskStage::Published, now, revision)),
            ksk: role.is_ksk().then(|| Track::new(KskStage::Published, now, revision)),
        });
        self.is_ksk_requested &= !role.is_ksk();
        self.is_zsk_requested &= !role.is_zsk();
        Ok(())
    }

    /// A server has served, since `now`, what this state said at `revision` (`KeySet::revision`).
    pub fn served(&mut self, revision: u64, now: u64) {
        let Ok(now) = self.clock(now) else { return };
        for key in &mut self.keys {
            if let Some(track) = &mut key.zsk {
                note_served(track, revision, now);
            }
            if let Some(track) = &mut key.ksk {
                note_served(track, revision, now);
            }
        }
        let propagation = u64::from(self.policy.propagation_secs);
        if let Some(remembered) = self.remembered.as_mut().filter(|r| r.revision <= revision) {
            let largest = u64::from(remembered.ttls.largest_secs());
            remembered.until.get_or_insert(now + largest + propagation);
        }
    }

    /// Somebody has seen the DS of a waiting KSK at the parent: the key with this tag, or the only one that waits.
    ///
    /// # Errors
    /// [`Refusal`]; nothing is changed then.
    pub fn ds_published(&mut self, tag: Option<u16>, now: u64) -> Result<KeyId, Refusal> {
        let now = self.clock(now)?;
        let waits = |key: &KeyState| key.ksk_stage() == KskStage::Ready;
        let waiting: Vec<u16> = self.keys.iter().filter(|k| waits(k)).map(|k| k.public.tag()).collect();
        let tag = match (tag, waiting.as_slice()) {
            (Some(tag), _) if waiting.contains(&tag) => tag,
            (Some(tag), _) => return Err(Refusal::NoSuchKey(tag)),
            (None, []) => return Err(Refusal::NoneWaits),
            (None, &[tag]) => tag,
            (None, &[one, other, ..]) => return Err(Refusal::Several(one, other)),
        };
        self.revision += 1;
        let revision = self.revision;
        let key = self.key_mut(tag).ok_or(Refusal::NoSuchKey(tag))?;
        key.ksk = Some(Track::new(KskStage::Submitted, now, revision));
        Ok(key.id())
    }

    /// Gives up an incoming key, whose file is lost for instance, before anything depends on it.
    ///
    /// # Errors
    /// [`Refusal`]; nothing is changed then.
    pub fn abandon(&mut self, tag: u16, now: u64) -> Result<KeyId, Refusal> {
        let now = self.clock(now)?;
        let others = |state: &State, is_it: fn(&KeyState) -> bool| {
            state.keys.iter().any(|key| key.public.tag() != tag && is_it(key))
        };
        let key = self.keys.iter().find(|key| key.public.tag() == tag && key.is_published());
        let key = key.ok_or(Refusal::NoSuchKey(tag))?;
        let is_zsk_free = key.zsk.is_none()
            || key.zsk_stage() == ZskStage::Published
                && others(self, |other| other.zsk_stage() == ZskStage::Active);
        let is_ksk_free = key.ksk.is_none()
            || matches!(key.ksk_stage(), KskStage::Published | KskStage::Ready)
                && others(self, |other| other.ksk_stage() == KskStage::Active);
        if !(is_zsk_free && is_ksk_free) {
            return Err(Refusal::OnlyKey(tag));
        }
        self.revision += 1;
        let revision = self.revision;
        let key = self.key_mut(tag).ok_or(Refusal::NoSuchKey(tag))?;
        key.zsk = key.zsk.map(|_| Track::new(ZskStage::Removed, now, revision));
        key.ksk = key.ksk.map(|_| Track::new(KskStage::Removed, now, revision));
        Ok(key.id())
    }

    /// Goes by a clock that went back: waits that have begun begin anew, none is shortened.
    pub fn accept_clock(&mut self, now: u64) {
        self.last_seen = now;
        for key in &mut self.keys {
            key.created = key.created.min(now);
            if let Some(track) = &mut key.zsk {
                restart_waits(track, now);
            }
            if let Some(track) = &mut key.ksk {
                restart_waits(track, now);
            }
        }
        let propagation = u64::from(self.policy.propagation_secs);
        if let Some(remembered) = &mut self.remembered {
            let largest = u64::from(remembered.ttls.largest_secs());
            remembered.until = remembered.until.map(|_| now + largest + propagation);
        }
    }

    /// The time to go by: a step of seconds back, as time servers make them, is held up.
    fn clock(&self, now: u64) -> Result<u64, Refusal> {
        match step::clock(self.last_seen, now) {
            Some(now) => Ok(now),
            None => Err(Refusal::Clock(self.last_seen - now)),
        }
    }

    fn key_mut(&mut self, tag: u16) -> Option<&mut KeyState> {
        self.keys.iter_mut().find(|key| key.public.tag() == tag && key.is_published())
    }
}

fn note_served<S>(track: &mut Track<S>, revision: u64, now: u64) {
    if track.served.is_none() && track.revision <= revision {
        track.served = Some(now);
    }
}

/// The times of a track under a clock that went back to `now`.
fn restart_waits<S>(track: &mut Track<S>, now: u64) {
    track.decided = now;
    track.served = track.served.map(|_| now);
    track.not_before = track.not_before.min(now);
}
