//! Zones that are signed: their keys, their signatures from pass to pass, and when something is due.
//!
//! Whatever goes wrong here leaves a zone as it was served, for as long as its signatures hold; after that it is served not at
//! all. Nothing here makes an unsigned zone out of a signed one. Time is given.

use std::collections::HashMap;
use std::path::PathBuf;

use super::sets::SetZone;
use crate::config::Mark;
use crate::config::compile::signing::{Signatures, Signing, ZoneSigning};
use crate::config::compile::{compile_signed, largest_ttl};
use crate::config::dnssec::{DnssecError, key_folder};
use crate::config::model::{Config, Dnssec, OwnerName, Zone};
use crate::dnssec::keyfile::Times;
use crate::dnssec::keyset::KeySet;
use crate::dnssec::keystore::{Advance, Keystore};
use crate::dnssec::policy::{Layout, Policy, Ttls};
use crate::state::snapshot::Snapshot;
use crate::wire::name::Name;

/// How long after a pass that has failed another one is tried.
const RETRY_SECS: u64 = 60;
/// TTL of DNSKEY, CDS and CDNSKEY.
const DNSKEY_TTL_SECS: u32 = 3600;

/// The signed zones of a server.
#[derive(Default)]
pub(super) struct Signer {
    zones: HashMap<OwnerName, SignedZone>,
    /// Not before this time is anything tried again.
    retry_at: u64,
}

/// One of them.
struct SignedZone {
    keys: KeySet,
    policy: Policy,
    signatures: Signatures,
    /// When the next signature should be made again.
    next_due: u64,
    /// When the first signature that is served ends.
    first_end: u64,
    /// When the keys want to go on.
    wake_at: Option<u64>,
    /// The state of the keys as it was left: the command line changes it too.
    state_file: PathBuf,
    state_mark: Option<Mark>,
    /// Signatures made since the start.
    made: u64,
}

/// What is told of a signed zone.
pub(super) struct SignedFigures {
    pub(super) zone: String,
    pub(super) first_end: u64,
    pub(super) made: u64,
}

impl Signer {
    /// Compiles a configuration with its zones signed. A zone that cannot be is not served; the second value has their names.
    pub(super) fn compile(
        &mut self,
        config: &Config,
        generation: u64,
        now: u64,
    ) -> (Snapshot, Signing, Vec<OwnerName>) {
        let mut signing = Signing::default();
        let mut unsigned = Vec::new();
        for zone in &config.zones {
            let Some(dnssec) = &zone.dnssec else { continue };
            // Without its records there is nothing to sign, and its pools must not be answered unsigned.
            if zone.records.data().is_none() {
                unsigned.push(zone.apex.clone());
                continue;
            }
            match self.prepare(config, zone, dnssec, now) {
                Some(prepared) => signing.add(zone.apex.clone(), prepared),
                None => unsigned.push(zone.apex.clone()),
            }
        }
        loop {
            let snapshot = compile_signed(config, generation, &signing);
            let failures = signing.failures();
            if failures.is_empty() {
                return (snapshot, signing, unsigned);
            }
            for (apex, error) in failures {
                tracing::error!(zone = %apex, "the zone cannot be signed: {error}");
                signing.remove(&apex);
                unsigned.push(apex);
            }
        }
    }

    /// What a zone is signed with: its keys as they now are, else those of the last time.
    fn prepare(&mut self, config: &Config, zone: &Zone, dnssec: &Dnssec, now: u64) -> Option<ZoneSigning> {
        let apex = &zone.apex;
        let mut may_sign = true;
        let is_known = self.zones.contains_key(apex);
        match advance(config, zone, dnssec, is_known, now) {
            Ok((advance, policy, keystore)) => {
                tell(apex, &advance);
                may_sign = advance.may_sign();
                match KeySet::new(&advance.state, &advance.keys) {
                    Ok(keys) => {
                        let known = self.zones.remove(apex);
                        let zone = SignedZone {
                            keys,
                            policy,
                            wake_at: advance.wake_at,
                            state_file: keystore.state_path(),
                            state_mark: Mark::of(&keystore.state_path()),
                            next_due: known.as_ref().map_or(now, |known| known.next_due),
                            first_end: known.as_ref().map_or(u64::MAX, |known| known.first_end),
                            made: known.as_ref().map_or(0, |known| known.made),
                            signatures: known.map(|known| known.signatures).unwrap_or_default(),
                        };
                        self.zones.insert(apex.clone(), zone);
                    }
                    Err(error) => tracing::error!(zone = %apex, "{error}"),
                }
            }
            Err(error) => tracing::error!(zone = %apex, "the zone's keys cannot be used: {error}"),
        }
        let zone = self.zones.get(apex)?;
        let known = zone.signatures.clone();
        Some(ZoneSigning::new(zone.keys.clone(), zone.policy.clone(), now, may_sign, known))
    }

    /// Notes what is served now; the waits of keys begin with it. Returns what is to be signed as health moves.
    pub(super) fn served(&mut self, config: &Config, signing: Signing, now: u64) -> Vec<SetZone> {
        let mut served = HashMap::new();
        let mut set_zones = Vec::new();
        for (apex, signed) in signing.finish() {
            let Some(mut zone) = self.zones.remove(&apex) else { continue };
            if signed.made > 0 {
                tracing::info!(zone = %apex, signatures = signed.made, "signed");
            }
            if signed.singles > 0 {
                tracing::warn!(
                    zone = %apex,
                    names = signed.singles,
                    "answered one address at a time: there are more sets of several than signatures are made for"
                );
            }
            if !signed.sets.is_empty() {
                set_zones.push(SetZone {
                    apex: apex.clone(),
                    keys: zone.keys.clone(),
                    policy: zone.policy.clone(),
                    names: signed.sets,
                });
            }
            zone.signatures = signed.signatures;
            (zone.next_due, zone.first_end) = (signed.next_due, signed.first_end);
            zone.made += signed.made;
            let folder = config.zones.iter().find(|other| other.apex == apex).and_then(|of| {
                let dnssec = of.dnssec.as_ref()?;
                key_folder(dnssec, config.server.state_dir.as_deref(), &apex.to_string()).ok()
            });
            let keystore = folder.and_then(|folder| Keystore::open(&folder, &name_of(&apex)).ok());
            if let Some(keystore) = keystore {
                let noted = keystore.advance(Some(&zone.policy), now, |state| {
                    state.served(signed.revision, now);
                    Ok(())
                });
                match noted {
                    Ok(advance) => zone.wake_at = advance.wake_at,
                    Err(error) => {
                        tracing::error!(zone = %apex, "the state of the keys cannot be kept: {error}")
                    }
                }
                zone.state_mark = Mark::of(&zone.state_file);
            }
            served.insert(apex, zone);
        }
        // What is due all the same will not go away by trying at once.
        let is_still_due = |zone: &SignedZone| {
            zone.next_due <= now
                || zone.wake_at.is_some_and(|at| at <= now)
                || Mark::of(&zone.state_file) != zone.state_mark
        };
        self.retry_at = if served.values().any(is_still_due) { now + RETRY_SECS } else { now };
        self.zones = served;
        set_zones
    }

    /// Whether a pass is due: for a signature, for a key, or because somebody has changed the state of the keys.
    pub(super) fn is_due(&self, now: u64) -> bool {
        now >= self.retry_at
            && self.zones.values().any(|zone| {
                zone.next_due <= now
                    || zone.wake_at.is_some_and(|at| at <= now)
                    || Mark::of(&zone.state_file) != zone.state_mark
            })
    }

    /// Notes that a pass has failed.
    pub(super) fn put_off(&mut self, now: u64) {
        self.retry_at = now + RETRY_SECS;
    }

    /// Whether what is served of a zone still holds.
    pub(super) fn holds(&self, apex: &OwnerName, now: u64) -> bool {
        self.zones.get(apex).is_some_and(|zone| zone.first_end != u64::MAX && zone.first_end > now)
    }

    /// What is told of each zone.
    pub(super) fn figures(&self) -> Vec<SignedFigures> {
        let figures = |(apex, zone): (&OwnerName, &SignedZone)| SignedFigures {
            zone: apex.to_string(),
            first_end: zone.first_end,
            made: zone.made,
        };
        let mut all: Vec<SignedFigures> = self.zones.iter().map(figures).collect();
        all.sort_by(|a, b| a.zone.cmp(&b.zone));
        all
    }
}

/// Lets the keys of a zone go on to what is due; makes the first ones where they are kept below the state directory.
fn advance(
    config: &Config,
    zone: &Zone,
    dnssec: &Dnssec,
    is_known: bool,
    now: u64,
) -> Result<(Advance, Policy, Keystore), DnssecError> {
    let apex = &zone.apex;
    let name = name_of(apex);
    let folder = key_folder(dnssec, config.server.state_dir.as_deref(), &apex.to_string())?;
    let policy = policy_of(config, zone, dnssec);
    policy.check()?;
    let keystore = match dnssec.keys {
        None if !is_known => Keystore::create(&folder, &name)?,
        // A zone that has keys is never given new ones: they may only be out of reach.
        _ => Keystore::open(&folder, &name)?,
    };
    let is_new = dnssec.keys.is_none() && !is_known && keystore.state()?.is_none() && {
        let listing = keystore.keys()?;
        listing.keys.is_empty() && listing.faults.is_empty()
    };
    if is_new {
        let times = Times { created: Some(now), publish: Some(now), activate: Some(now), ..Times::default() };
        let roles: &[bool] = if dnssec.split_keys { &[true, false] } else { &[true] };
        for &is_ksk in roles {
            let key = keystore.generate(dnssec.algorithm, is_ksk, &[], times)?;
            let tag = key.key.tag();
            tracing::info!(zone = %apex, tag, is_ksk, folder = %folder.display(), "a key was made");
        }
    }
    let advance = keystore.advance(Some(&policy), now, |_| Ok(()))?;
    Ok((advance, policy, keystore))
}

/// Says what has changed of a zone's keys, and what is wrong with them.
fn tell(apex: &OwnerName, advance: &Advance) {
    for (key, change) in &advance.changes {
        tracing::info!(zone = %apex, %key, ?change, "a key has gone on");
    }
    for fault in &advance.faults {
        tracing::error!(zone = %apex, "{fault}");
    }
    for file in &advance.broken_files {
        tracing::error!(zone = %apex, "{file}");
    }
}

fn policy_of(config: &Config, zone: &Zone, dnssec: &Dnssec) -> Policy {
    let secs = |duration: Option<std::time::Duration>| {
        duration.map(|duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX))
    };
    let default = Policy::default();
    let ttls = Ttls { dnskey_secs: DNSKEY_TTL_SECS, zone_secs: largest_ttl(config, zone), ..default.ttls };
    // No signature may end while a cache still has what it covers: long TTLs make signatures hold longer.
    let refresh_secs = default.refresh_secs.max(ttls.largest_secs().saturating_add(default.propagation_secs));
    let least = refresh_secs.saturating_add(default.jitter_secs).saturating_add(default.refresh_secs);
    Policy {
        refresh_secs,
        signature_secs: default.signature_secs.max(least),
        algorithm: dnssec.algorithm,
        layout: if dnssec.split_keys { Layout::Split } else { Layout::Combined },
        zsk_lifetime_secs: secs(dnssec.zsk_lifetime),
        ksk_lifetime_secs: secs(dnssec.ksk_lifetime),
        ttls,
        ..default
    }
}

fn name_of(apex: &OwnerName) -> Name {
    Name::from_wire(apex.as_wire()).unwrap_or(Name::ROOT)
}
