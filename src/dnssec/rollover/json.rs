//! The state as JSON, with a version: what is written is read back the same, and what is not of this server is refused
//! with its cause, never guessed at.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{KeyState, KskStage, Remembered, State, Track, ZskStage};
use crate::dnssec::key::{Algorithm, Digest, PublicKey};
use crate::dnssec::policy::{Layout, Policy, Ttls};
use crate::wire::name::Name;

/// What the file says it is.
const FORMAT: &str = "steerd dnssec state";
/// Largest number read: sums of two never overflow, and as a time it is beyond all.
const MAX_NUMBER: u64 = 1 << 53;
/// The version written and read.
const VERSION: u64 = 1;

/// Why a text is no state of this zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// Cut off, or never JSON.
    #[error("it is no JSON, or cut off: {0}")]
    Json(String),
    /// JSON of another kind.
    #[error("it is no state of DNSSEC keys")]
    Format,
    /// Of another release.
    #[error("it is of version {0}, this release knows version {VERSION}")]
    Version(u64),
    /// Of another zone.
    #[error("it is of the zone {0}")]
    Zone(String),
    /// A field lacks or says what cannot be.
    #[error("its field {0} is missing or wrong")]
    Field(&'static str),
}

/// The state as text.
pub fn to_json(state: &State) -> String {
    let policy = &state.policy;
    let keys: Vec<Value> = state.keys.iter().map(key_to_json).collect();
    let value = json!({
        "format": FORMAT,
        "version": VERSION,
        "zone": zone_text(&state.zone),
        "revision": state.revision,
        "last_seen": state.last_seen,
        "ksk_requested": state.is_ksk_requested,
        "zsk_requested": state.is_zsk_requested,
        "remembered": state.remembered.map(|r| json!({
            "ttls": ttls_to_json(r.ttls), "revision": r.revision, "until": r.until,
        })),
        "policy": {
            "algorithm": policy.algorithm.number(),
            "combined": policy.layout == Layout::Combined,
            "digests": policy.digests.iter().map(|digest| digest.number()).collect::<Vec<u8>>(),
            "signature_secs": policy.signature_secs,
            "jitter_secs": policy.jitter_secs,
            "refresh_secs": policy.refresh_secs,
            "batch_secs": policy.batch_secs,
            "lead_secs": policy.lead_secs,
            "zsk_lifetime_secs": policy.zsk_lifetime_secs,
            "ksk_lifetime_secs": policy.ksk_lifetime_secs,
            "ttls": ttls_to_json(policy.ttls),
            "propagation_secs": policy.propagation_secs,
            "former_ttl_secs": policy.former_ttl_secs,
            "ds_withdrawn": policy.is_ds_withdrawn,
        },
        "keys": keys,
    });
    format!("{value:#}\n")
}

fn zone_text(zone: &[u8]) -> String {
    Name::from_wire(zone).map_or_else(|_| String::new(), |name| name.to_string())
}

fn ttls_to_json(ttls: Ttls) -> Value {
    json!({"dnskey_secs": ttls.dnskey_secs, "zone_secs": ttls.zone_secs, "ds_secs": ttls.ds_secs})
}

fn key_to_json(key: &KeyState) -> Value {
    json!({
        "tag": key.public.tag(),
        "algorithm": key.public.algorithm().number(),
        "flags": key.public.flags(),
        "public_key": STANDARD.encode(key.public.octets()),
        "created": key.created,
        "zsk": key.zsk.map(|track| track_to_json(track, zsk_word(track.stage))),
        "ksk": key.ksk.map(|track| track_to_json(track, ksk_word(track.stage))),
    })
}

fn track_to_json<S>(track: Track<S>, stage: &str) -> Value {
    json!({
        "stage": stage,
        "decided": track.decided,
        "revision": track.revision,
        "served": track.served,
        "not_before": track.not_before,
    })
}

/// The word for a stage, also what people are shown.
pub fn zsk_word(stage: ZskStage) -> &'static str {
    match stage {
        ZskStage::Published => "published",
        ZskStage::Active => "active",
        ZskStage::Retired => "retired",
        ZskStage::Removed => "removed",
    }
}

/// The word for a stage, also what people are shown.
pub fn ksk_word(stage: KskStage) -> &'static str {
    match stage {
        KskStage::Published => "published",
        KskStage::Ready => "ready",
        KskStage::Submitted => "submitted",
        KskStage::Active => "active",
        KskStage::Retired => "retired",
        KskStage::Removed => "removed",
    }
}

/// Fields of one JSON object, each read with its name for the error.
struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn of(value: &'a Value, name: &'static str) -> Result<Fields<'a>, StateError> {
        value.as_object().map(Fields).ok_or(StateError::Field(name))
    }

    fn value(&self, name: &'static str) -> Result<&'a Value, StateError> {
        self.0.get(name).ok_or(StateError::Field(name))
    }

    fn number<N: TryFrom<u64>>(&self, name: &'static str) -> Result<N, StateError> {
        let number = self.value(name)?.as_u64().filter(|number| *number <= MAX_NUMBER);
        let number = number.ok_or(StateError::Field(name))?;
        N::try_from(number).map_err(|_| StateError::Field(name))
    }

    fn optional<N: TryFrom<u64>>(&self, name: &'static str) -> Result<Option<N>, StateError> {
        if self.value(name)?.is_null() { Ok(None) } else { self.number(name).map(Some) }
    }

    fn boolean(&self, name: &'static str) -> Result<bool, StateError> {
        self.value(name)?.as_bool().ok_or(StateError::Field(name))
    }

    fn text(&self, name: &'static str) -> Result<&'a str, StateError> {
        self.value(name)?.as_str().ok_or(StateError::Field(name))
    }

    fn list(&self, name: &'static str) -> Result<&'a [Value], StateError> {
        self.value(name)?.as_array().map(Vec::as_slice).ok_or(StateError::Field(name))
    }

    fn ttls(&self) -> Result<Ttls, StateError> {
        let fields = Fields::of(self.value("ttls")?, "ttls")?;
        Ok(Ttls {
            dnskey_secs: fields.number("dnskey_secs")?,
            zone_secs: fields.number("zone_secs")?,
            ds_secs: fields.number("ds_secs")?,
        })
    }

    fn track<S: Copy>(
        &self,
        name: &'static str,
        stages: &[S],
        word: fn(S) -> &'static str,
    ) -> Result<Option<Track<S>>, StateError> {
        let value = self.value(name)?;
        if value.is_null() {
            return Ok(None);
        }
        let fields = Fields::of(value, name)?;
        let text = fields.text("stage")?;
        let stage = stages.iter().copied().find(|&stage| word(stage) == text);
        Ok(Some(Track {
            stage: stage.ok_or(StateError::Field("stage"))?,
            decided: fields.number("decided")?,
            revision: fields.number("revision")?,
            served: fields.optional("served")?,
            not_before: fields.number("not_before")?,
        }))
    }
}

/// Reads the state of `zone`.
///
/// # Errors
/// [`StateError`], one variant a cause.
pub fn from_json(text: &str, zone: &[u8]) -> Result<State, StateError> {
    let value: Value = serde_json::from_str(text).map_err(|error| StateError::Json(error.to_string()))?;
    let fields = value.as_object().map(Fields).ok_or(StateError::Format)?;
    if fields.text("format").map_err(|_| StateError::Format)? != FORMAT {
        return Err(StateError::Format);
    }
    let version = fields.number("version")?;
    if version != VERSION {
        return Err(StateError::Version(version));
    }
    let found = fields.text("zone")?;
    if !found.eq_ignore_ascii_case(&zone_text(zone)) {
        return Err(StateError::Zone(found.to_owned()));
    }
    let keys = fields.list("keys")?.iter().map(key_from_json).collect::<Result<Vec<_>, _>>()?;
    let is_twice =
        |(at, key): (usize, &KeyState)| keys[..at].iter().any(|other| other.public.tag() == key.public.tag());
    if keys.len() > super::MAX_KEYS || keys.iter().enumerate().any(is_twice) {
        return Err(StateError::Field("keys"));
    }
    let remembered = fields.value("remembered")?;
    let remembered = match remembered.is_null() {
        true => None,
        false => {
            let fields = Fields::of(remembered, "remembered")?;
            Some(Remembered {
                ttls: fields.ttls()?,
                revision: fields.number("revision")?,
                until: fields.optional("until")?,
            })
        }
    };
    Ok(State {
        zone: zone.to_ascii_lowercase(),
        revision: fields.number("revision")?,
        last_seen: fields.number("last_seen")?,
        keys,
        is_ksk_requested: fields.boolean("ksk_requested")?,
        is_zsk_requested: fields.boolean("zsk_requested")?,
        policy: policy_from_json(fields.value("policy")?)?,
        remembered,
    })
}

fn policy_from_json(value: &Value) -> Result<Policy, StateError> {
    let fields = Fields::of(value, "policy")?;
    let digest = |value: &Value| match value.as_u64() {
        Some(2) => Ok(Digest::Sha256),
        Some(4) => Ok(Digest::Sha384),
        _ => Err(StateError::Field("digests")),
    };
    Ok(Policy {
        algorithm: algorithm(&fields)?,
        layout: if fields.boolean("combined")? { Layout::Combined } else { Layout::Split },
        digests: fields.list("digests")?.iter().map(digest).collect::<Result<_, _>>()?,
        signature_secs: fields.number("signature_secs")?,
        jitter_secs: fields.number("jitter_secs")?,
        refresh_secs: fields.number("refresh_secs")?,
        // States of before there were windows have none.
        batch_secs: match fields.0.contains_key("batch_secs") {
            true => fields.number("batch_secs")?,
            false => Policy::default().batch_secs,
        },
        lead_secs: fields.number("lead_secs")?,
        zsk_lifetime_secs: fields.optional("zsk_lifetime_secs")?,
        ksk_lifetime_secs: fields.optional("ksk_lifetime_secs")?,
        ttls: fields.ttls()?,
        propagation_secs: fields.number("propagation_secs")?,
        former_ttl_secs: fields.number("former_ttl_secs")?,
        is_ds_withdrawn: fields.boolean("ds_withdrawn")?,
    })
}

fn algorithm(fields: &Fields<'_>) -> Result<Algorithm, StateError> {
    Algorithm::from_number(fields.number("algorithm")?).ok_or(StateError::Field("algorithm"))
}

fn key_from_json(value: &Value) -> Result<KeyState, StateError> {
    use KskStage as K;
    use ZskStage as Z;
    let fields = Fields::of(value, "keys")?;
    let octets = STANDARD.decode(fields.text("public_key")?).map_err(|_| StateError::Field("public_key"))?;
    let is_ksk = match fields.number::<u16>("flags")? {
        256 => false,
        257 => true,
        _ => return Err(StateError::Field("flags")),
    };
    let public =
        PublicKey::new(algorithm(&fields)?, is_ksk, &octets).map_err(|_| StateError::Field("public_key"))?;
    if fields.number::<u16>("tag")? != public.tag() {
        return Err(StateError::Field("tag"));
    }
    let zsk_stages = [Z::Published, Z::Active, Z::Retired, Z::Removed];
    let ksk_stages = [K::Published, K::Ready, K::Submitted, K::Active, K::Retired, K::Removed];
    Ok(KeyState {
        public,
        created: fields.number("created")?,
        zsk: fields.track("zsk", &zsk_stages, zsk_word)?,
        ksk: fields.track("ksk", &ksk_stages, ksk_word)?,
    })
}
