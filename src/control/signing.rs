//! Zones that are signed: their keys, their signatures from pass to pass, and when something is due.
//!
//! Whatever goes wrong here leaves a zone as it was served, for as long as its signatures hold; after that it is served not at
//! all. Nothing here makes an unsigned zone out of a signed one. Time is given.
//!
//! A pass compiles the whole configuration, so it is made only when something will come of it: keys are looked at by
//! themselves (`attend`), and signatures that are due within a window are made together (`Policy::window_secs`).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::sets::SetZone;
use crate::config::Mark;
use crate::config::compile::signing::{Signatures, Signing, ZoneSigning};
use crate::config::compile::{compile_signed, largest_ttls};
use crate::config::dnssec::{DnssecError, key_folder, policy_of};
use crate::config::model::{Config, Dnssec, OwnerName, Zone};
use crate::dnssec::key::Digest;
use crate::dnssec::keyfile::Times;
use crate::dnssec::keyset::KeySet;
use crate::dnssec::keystore::{Advance, Keystore};
use crate::dnssec::policy::Policy;
use crate::dnssec::{rtype, sigfile};
use crate::state::snapshot::Snapshot;
use crate::wire::name::Name;

/// How long after a pass that has failed another one is tried; each failure doubles it.
const RETRY_SECS: u64 = 60;
/// The longest of these waits: somebody who has mended the cause should not wait long for its effect.
const MAX_RETRY_SECS: u64 = 300;
/// The shortest time between two writes of a zone's signatures: reloads may follow each other by the second.
const KEEP_SECS: u64 = 60;
/// Folder of the signatures below `state_dir`.
const SIGNATURE_FOLDER: &str = "signatures";

/// The signed zones of a server.
#[derive(Default)]
pub(super) struct Signer {
    /// Those whose keys are known; what could not be signed is among them, so that it is tried again.
    zones: HashMap<OwnerName, SignedZone>,
    /// Those that should be signed and are not, so that nothing of them is served.
    withheld: BTreeSet<OwnerName>,
    /// Whether one of them may be signed by trying again.
    is_to_retry: bool,
    /// Those that had keys since the start: they are never given new ones, for the old ones may only be out of reach.
    had_keys: HashSet<OwnerName>,
    /// First keys made since the start.
    keys_made: HashMap<OwnerName, u64>,
    /// Not before this time is anything tried again.
    retry_at: u64,
    /// Passes that came to nothing since the last one that was as it should be.
    failures: u32,
    /// Threads that may sign.
    threads: usize,
}

/// One of them.
struct SignedZone {
    /// The keys to sign with.
    keys: KeySet,
    /// The keys of what is served.
    served: Option<KeySet>,
    policy: Policy,
    signatures: Signatures,
    /// When the next signature should be made again.
    next_due: u64,
    /// When the first signature that is served ends.
    first_end: u64,
    /// When the keys want to be looked at.
    wake_at: Option<u64>,
    /// The state of the keys as it was left: the command line changes it too.
    state_file: PathBuf,
    state_mark: Option<Mark>,
    /// Whether the keys have changed since the zone was signed.
    is_stale: bool,
    /// Whether the state of the keys does not know yet which ones are served.
    is_unnoted: bool,
    /// Signatures made since the start.
    made: u64,
    /// Since when the signatures on disk are older than these.
    unkept_since: Option<u64>,
    /// When they were last written, or when that was last tried.
    kept_at: u64,
}

/// The keys of a zone as they were found.
struct Found {
    advance: Advance,
    state_file: PathBuf,
    state_mark: Option<Mark>,
}

/// What is told of a signed zone.
pub(super) struct SignedFigures {
    pub(super) zone: String,
    /// 0 while it is not served.
    pub(super) first_end: u64,
    pub(super) made: u64,
    pub(super) keys_made: u64,
}

impl Signer {
    /// Signs with so many threads where there is much to sign.
    pub(super) fn new(threads: usize) -> Signer {
        Signer { threads, ..Signer::default() }
    }

    /// Compiles a configuration with its zones signed. A zone that cannot be is not served; the third value has their names.
    /// What comes of it is to be told: by `served`, or by `not_served`.
    pub(super) fn compile(
        &mut self,
        config: &Config,
        generation: u64,
        now: u64,
    ) -> (Snapshot, Signing, Vec<OwnerName>) {
        let mut signing = Signing::default();
        let mut unsigned = Vec::new();
        let largest = match config.zones.iter().any(|zone| zone.dnssec.is_some()) {
            true => largest_ttls(config.zones.iter(), &config.globalnames),
            false => Vec::new(),
        };
        for (zone, largest) in config.zones.iter().zip(largest) {
            let Some(dnssec) = &zone.dnssec else { continue };
            // Without its records there is nothing to sign, and its pools must not be answered unsigned.
            if zone.records.data().is_none() {
                unsigned.push(zone.apex.clone());
                continue;
            }
            let policy = policy_of(dnssec, largest.of_all_secs);
            match self.prepare(config, zone, dnssec, policy, now) {
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
                let signatures = signing.remove(&apex);
                self.give_back(&apex, signatures.unwrap_or_default());
                unsigned.push(apex);
            }
        }
    }

    /// What a zone is signed with: its keys as they now are, else those of the last time.
    fn prepare(
        &mut self,
        config: &Config,
        zone: &Zone,
        dnssec: &Dnssec,
        policy: Policy,
        now: u64,
    ) -> Option<ZoneSigning> {
        let apex = &zone.apex;
        let mut may_sign = true;
        match self.advance(config, zone, dnssec, &policy, now) {
            Ok(found) => {
                tell(apex, &found.advance);
                may_sign = found.advance.may_sign();
                self.had_keys.insert(apex.clone());
                match KeySet::new(&found.advance.state, &found.advance.keys) {
                    Ok(keys) => self.take_keys(config, apex, keys, policy, found, now),
                    Err(error) => tracing::error!(zone = %apex, "{error}"),
                }
            }
            Err(error) => tracing::error!(zone = %apex, "the zone's keys cannot be used: {error}"),
        }
        let zone = self.zones.get_mut(apex)?;
        let known = std::mem::take(&mut zone.signatures);
        let signing = ZoneSigning::new(zone.keys.clone(), zone.policy.clone(), now, may_sign, known);
        Some(signing.with_threads(self.threads))
    }

    /// Goes by these keys from now on. The first time, the signatures on disk are read.
    fn take_keys(
        &mut self,
        config: &Config,
        apex: &OwnerName,
        keys: KeySet,
        policy: Policy,
        found: Found,
        now: u64,
    ) {
        let Found { advance: Advance { wake_at, .. }, state_file, state_mark } = found;
        match self.zones.get_mut(apex) {
            Some(known) => {
                (known.keys, known.policy, known.wake_at) = (keys, policy, wake_at);
                (known.state_file, known.state_mark) = (state_file, state_mark);
            }
            None => {
                let signatures = signatures_on_disk(config, apex, &keys);
                let zone = SignedZone {
                    keys,
                    served: None,
                    policy,
                    signatures,
                    next_due: now,
                    first_end: u64::MAX,
                    wake_at,
                    state_file,
                    state_mark,
                    is_stale: false,
                    is_unnoted: false,
                    made: 0,
                    unkept_since: None,
                    kept_at: 0,
                };
                self.zones.insert(apex.clone(), zone);
            }
        }
    }

    fn give_back(&mut self, apex: &OwnerName, signatures: Signatures) {
        if let Some(zone) = self.zones.get_mut(apex) {
            zone.signatures = signatures;
        }
    }

    /// Notes that what was compiled is not served, and what it left to be tried again.
    pub(super) fn not_served(&mut self, signing: Signing, now: u64) {
        for (apex, signatures) in signing.give_back() {
            self.give_back(&apex, signatures);
        }
        self.put_off(now);
    }

    /// Notes what is served now; the waits of keys begin with it, unless some worker does not serve it yet. Returns what is to be
    /// signed as health moves.
    pub(super) fn served(
        &mut self,
        config: &Config,
        signing: Signing,
        is_everywhere: bool,
        now: u64,
    ) -> Vec<SetZone> {
        let mut set_zones = Vec::new();
        let should_be = config.zones.iter().filter(|zone| zone.dnssec.is_some());
        self.withheld = should_be.map(|zone| zone.apex.clone()).collect();
        self.zones.retain(|apex, _| self.withheld.contains(apex));
        self.had_keys.retain(|apex| self.withheld.contains(apex));
        for (apex, signed) in signing.finish() {
            self.withheld.remove(&apex);
            let Some(zone) = self.zones.get_mut(&apex) else { continue };
            if signed.made > 0 {
                tracing::info!(zone = %apex, signatures = signed.made, "signed");
                zone.unkept_since.get_or_insert(now);
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
                    keys: signed.keys.clone(),
                    policy: zone.policy.clone(),
                    names: signed.sets,
                });
            }
            zone.signatures = signed.signatures;
            (zone.next_due, zone.first_end) = (signed.next_due, signed.first_end);
            zone.made += signed.made;
            (zone.served, zone.is_stale, zone.is_unnoted) = (Some(signed.keys), false, true);
            if is_everywhere {
                zone.look(config, &apex, now);
            } else {
                zone.wake_at = Some(now);
            }
        }
        for apex in &self.withheld {
            // Nothing of it is served, so nothing of it is due, but that it is tried again.
            if let Some(zone) = self.zones.get_mut(apex) {
                (zone.next_due, zone.first_end, zone.wake_at) = (u64::MAX, u64::MAX, None);
            }
        }
        // A zone without records is signed when its file can be read, which a reload finds out.
        let lacks_signer = |zone: &Zone| zone.records.data().is_some() && self.withheld.contains(&zone.apex);
        self.is_to_retry = config.zones.iter().any(lacks_signer);
        // What is due all the same will not go away by trying at once.
        if !self.is_to_retry && self.zones.values().all(|zone| zone.next_due > now) {
            (self.failures, self.retry_at) = (0, now);
        } else {
            self.put_off(now);
        }
        set_zones
    }

    /// Whether a pass is due: for a signature, for keys that have changed, or for a zone that is not served. Looks at the keys
    /// where that is due, which alone makes no pass. `is_everywhere`: whether each worker serves what was served last.
    pub(super) fn is_due(&mut self, config: &Config, is_everywhere: bool, now: u64) -> bool {
        for (apex, zone) in &mut self.zones {
            let mark = Mark::of(&zone.state_file);
            let has_changed = mark != zone.state_mark;
            if self.withheld.contains(apex) {
                // Somebody has done something about it.
                if has_changed {
                    (zone.state_mark, self.retry_at) = (mark, now);
                }
                continue;
            }
            // The waits of keys must not begin before the last worker has come along.
            let may_look = is_everywhere || !zone.is_unnoted;
            if may_look && (has_changed || zone.wake_at.is_some_and(|at| at <= now)) {
                zone.look(config, apex, now);
            }
        }
        let is_wanted = |zone: &SignedZone| zone.next_due <= now || zone.is_stale;
        if now < self.retry_at {
            return false;
        }
        if self.zones.values().any(is_wanted) {
            return true;
        }
        if !self.is_to_retry {
            return false;
        }
        let may_come_back = self.may_come_back(config, now);
        if !may_come_back {
            self.put_off(now);
        }
        may_come_back
    }

    /// Whether a pass could sign a zone that is not served: it has keys, and a clock that it may be signed by. Looking costs
    /// little beside a pass that would come to nothing.
    fn may_come_back(&mut self, config: &Config, now: u64) -> bool {
        let largest = largest_ttls(config.zones.iter(), &config.globalnames);
        config.zones.iter().zip(largest).any(|(zone, largest)| {
            let Some(dnssec) = zone.dnssec.as_ref().filter(|_| self.withheld.contains(&zone.apex)) else {
                return false;
            };
            if zone.records.data().is_none() {
                return false;
            }
            match self.advance(config, zone, dnssec, &policy_of(dnssec, largest.of_all_secs), now) {
                Ok(Found { advance, .. }) => {
                    tell(&zone.apex, &advance);
                    advance.may_sign() && KeySet::new(&advance.state, &advance.keys).is_ok()
                }
                Err(error) => {
                    tracing::error!(zone = %zone.apex, "the zone is SERVFAIL, and its keys still cannot be used: {error}");
                    // Those that it had would do.
                    self.zones.contains_key(&zone.apex)
                }
            }
        })
    }

    /// Notes that a pass has failed. The next one is not later than the end of the first signature that is served: then the zone
    /// is answered no more.
    pub(super) fn put_off(&mut self, now: u64) {
        let wait = (RETRY_SECS << self.failures.min(8)).min(MAX_RETRY_SECS);
        self.failures += 1;
        let ends = self.zones.values().map(|zone| zone.first_end).filter(|end| *end > now);
        self.retry_at = (now + wait).min(ends.min().unwrap_or(u64::MAX));
    }

    /// Whether what is served of a zone still holds.
    pub(super) fn holds(&self, apex: &OwnerName, now: u64) -> bool {
        self.zones.get(apex).is_some_and(|zone| zone.first_end != u64::MAX && zone.first_end > now)
    }

    /// Writes the signatures of a zone where those on disk are older, of one zone a call: seconds of main's time for a large
    /// one, and never a worker's. `at_end`: of all zones, however lately they were written.
    pub(super) fn keep(&mut self, config: &Config, at_end: bool, now: u64) {
        let Some(folder) = signature_folder(config) else { return };
        for (apex, zone) in &mut self.zones {
            if zone.unkept_since.is_none() || !at_end && now < zone.kept_at + KEEP_SECS {
                continue;
            }
            (zone.unkept_since, zone.kept_at) = (None, now);
            let Some(key) = zone.served.as_ref().and_then(|keys| keys.signers(rtype::NSEC).first()) else {
                continue;
            };
            if let Err(error) = sigfile::write(&folder, apex.as_wire(), key, zone.signatures.entries()) {
                tracing::warn!(zone = %apex, "signatures are not kept, and the next start makes them anew: {error}");
                zone.unkept_since = Some(now);
            }
            if !at_end {
                return;
            }
        }
    }

    /// What is told of each zone.
    pub(super) fn figures(&self) -> Vec<SignedFigures> {
        let names: BTreeSet<&OwnerName> = self.zones.keys().chain(&self.withheld).collect();
        let figures = |apex: &OwnerName| {
            let zone = self.zones.get(apex);
            let is_served = !self.withheld.contains(apex);
            SignedFigures {
                zone: apex.to_string(),
                first_end: zone.filter(|_| is_served).map_or(0, |zone| zone.first_end),
                made: zone.map_or(0, |zone| zone.made),
                keys_made: self.keys_made.get(apex).copied().unwrap_or_default(),
            }
        };
        let mut all: Vec<SignedFigures> = names.into_iter().map(figures).collect();
        all.sort_by(|a, b| a.zone.cmp(&b.zone));
        all
    }

    /// Lets the keys of a zone go on to what is due; makes the first ones where they are kept below the state directory.
    fn advance(
        &mut self,
        config: &Config,
        zone: &Zone,
        dnssec: &Dnssec,
        policy: &Policy,
        now: u64,
    ) -> Result<Found, DnssecError> {
        let apex = &zone.apex;
        let name = name_of(apex);
        let folder = key_folder(dnssec, config.server.state_dir.as_deref(), &apex.to_string())?;
        policy.check()?;
        let is_first = dnssec.keys.is_none() && !self.had_keys.contains(apex);
        let keystore = match is_first {
            // A zone that has keys is never given new ones: they may only be out of reach.
            true if !dnssec.generate_keys && !folder.exists() => return Err(DnssecError::NoKeys(folder)),
            true => Keystore::create(&folder, &name)?,
            false => Keystore::open(&folder, &name)?,
        };
        let is_new = is_first && keystore.state()?.is_none() && {
            let listing = keystore.keys()?;
            listing.keys.is_empty() && listing.faults.is_empty()
        };
        if is_new {
            if !dnssec.generate_keys {
                return Err(DnssecError::NoKeys(folder));
            }
            self.make_first_keys(apex, &keystore, dnssec, &folder, now)?;
        }
        // Before the state is read: what is changed from now on is seen.
        let mark = Mark::of(&keystore.state_path());
        let advance = keystore.advance(Some(policy), now, |_| Ok(()))?;
        Ok(Found { advance, state_file: keystore.state_path(), state_mark: mark })
    }

    fn make_first_keys(
        &mut self,
        apex: &OwnerName,
        keystore: &Keystore,
        dnssec: &Dnssec,
        folder: &Path,
        now: u64,
    ) -> Result<(), DnssecError> {
        let times = Times { created: Some(now), publish: Some(now), activate: Some(now), ..Times::default() };
        let roles: &[bool] = if dnssec.split_keys { &[true, false] } else { &[true] };
        for &is_ksk in roles {
            let key = keystore.generate(dnssec.algorithm, is_ksk, &[], times)?;
            *self.keys_made.entry(apex.clone()).or_default() += 1;
            let (tag, folder) = (key.key.tag(), folder.display());
            if is_ksk {
                tracing::warn!(
                    zone = %apex,
                    tag,
                    %folder,
                    ds = key.key.public().ds_text(keystore.zone(), Digest::Sha256),
                    "the zone has no keys here, and a key was made. If a DS of another key is at the parent, the zone is \
                     bogus now: stop, and give the directory back that has its key. Else publish this DS once `steerd dnssec \
                     status` wants it, and then set dnssec.generate_keys to off"
                );
            } else {
                tracing::info!(zone = %apex, tag, %folder, "a key was made");
            }
        }
        Ok(())
    }
}

impl SignedZone {
    /// Looks at the keys, and lets them go on to what is due; notes that they are served, if that is not noted yet. Whether the
    /// zone is to be signed with other keys stands in `is_stale` then.
    fn look(&mut self, config: &Config, apex: &OwnerName, now: u64) {
        match self.look_again(config, apex, now) {
            Ok(Some(advance)) => {
                tell(apex, &advance);
                match KeySet::new(&advance.state, &advance.keys) {
                    Ok(keys) => {
                        self.is_stale = self.served.as_ref().is_none_or(|served| !served.is_same(&keys))
                    }
                    Err(error) => tracing::error!(zone = %apex, "{error}"),
                }
            }
            // Another pass will say what is wrong, or that all is well.
            Ok(None) => self.is_stale = true,
            Err(error) => {
                tracing::error!(zone = %apex, "the state of the keys cannot be kept: {error}");
                self.wake_at = Some(now + RETRY_SECS);
                self.state_mark = Mark::of(&self.state_file);
            }
        }
    }

    fn look_again(
        &mut self,
        config: &Config,
        apex: &OwnerName,
        now: u64,
    ) -> Result<Option<Advance>, DnssecError> {
        let zone = config.zones.iter().find(|zone| zone.apex == *apex);
        let Some(dnssec) = zone.and_then(|zone| zone.dnssec.as_ref()) else { return Ok(None) };
        let folder = key_folder(dnssec, config.server.state_dir.as_deref(), &apex.to_string())?;
        let keystore = Keystore::open(&folder, &name_of(apex))?;
        let revision = self.served.as_ref().map(|keys| keys.revision).filter(|_| self.is_unnoted);
        let advance = keystore.advance(Some(&self.policy), now, |state| {
            if let Some(revision) = revision {
                state.served(revision, now);
            }
            Ok(())
        })?;
        self.is_unnoted = false;
        self.wake_at = advance.wake_at;
        self.state_mark = Mark::of(&self.state_file);
        // Somebody may have changed it before the mark was taken.
        if keystore.state()?.as_ref() != Some(&advance.state) {
            self.wake_at = Some(now);
        }
        Ok(Some(advance))
    }
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

/// Where signatures are kept, if anything is.
fn signature_folder(config: &Config) -> Option<PathBuf> {
    config.server.state_dir.as_deref().map(|state_dir| state_dir.join(SIGNATURE_FOLDER))
}

/// The signatures of the process before; none where they cannot be used.
fn signatures_on_disk(config: &Config, apex: &OwnerName, keys: &KeySet) -> Signatures {
    let Some(folder) = signature_folder(config) else { return Signatures::default() };
    match sigfile::read(&folder, apex.as_wire(), keys.signers(rtype::NSEC)) {
        Ok(Some(entries)) => {
            tracing::info!(zone = %apex, signatures = entries.len(), "signatures were read from disk");
            Signatures::from_entries(entries)
        }
        Ok(None) => Signatures::default(),
        Err(error) => {
            tracing::warn!(zone = %apex, "the signatures on disk are not used, new ones are made: {error}");
            Signatures::default()
        }
    }
}

fn name_of(apex: &OwnerName) -> Name {
    Name::from_wire(apex.as_wire()).unwrap_or(Name::ROOT)
}

#[cfg(test)]
mod tests;
