//! The folder of a zone's keys: BIND's key files, and beside them the state of the rollovers, `<zone>rollover.json`.
//!
//! Private keys are made with mode 0600, never over an existing file, and refused when others may read them. All writing is
//! whole or not at all: a new file, synced, then named. Whoever changes the state holds a lock on the folder from reading
//! to writing, so the server and the command line never undo each other's work.
//!
//! A state that cannot be read is never overwritten; `set_state_aside` keeps it under another name.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::rand::SystemRandom;

use super::key::{Algorithm, KeyId, PublicKey, SigningKey};
use super::keyfile::{self, KeyFileError, Times};
use super::policy::Policy;
use super::rollover::adopt::{adopt, note_change, times_of_successor};
use super::rollover::json::{from_json, to_json};
use super::rollover::{Action, Change, Fault, Refusal, Role, State, step};
use crate::wire::name::Name;

/// What can be wrong.
mod error;
/// Modes, whole files, the lock.
mod files;
#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use files::{read_key, read_public};

use error::io_error;
use files::{Naming, lock, read_file, write_file};

/// New keys until one's tag is free; two of 65,536 tags meet rarely.
const GENERATE_ATTEMPTS: usize = 64;
/// Steps of one `advance`: each makes at most two keys.
const MAX_STEPS: usize = 4;

/// A key with the times of its file.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// The key.
    pub key: Arc<SigningKey>,
    /// The times.
    pub times: Times,
}

/// What the folder holds of a zone.
#[derive(Debug, Default)]
pub struct Listing {
    /// The usable keys, by algorithm and tag.
    pub keys: Vec<StoredKey>,
    /// What is wrong with the others.
    pub faults: Vec<StoreError>,
}

/// What came of `advance`.
#[derive(Debug)]
pub struct Advance {
    /// The state as it now is on disk.
    pub state: State,
    /// The usable keys.
    pub keys: Vec<Arc<SigningKey>>,
    /// What has changed.
    pub changes: Vec<(KeyId, Change)>,
    /// What is wrong, as far as it concerns keys in use.
    pub faults: Vec<Fault>,
    /// Files that could not be read, or whose times could not be written.
    pub broken_files: Vec<StoreError>,
    /// When to come again.
    pub wake_at: Option<u64>,
}

impl Advance {
    /// Whether new signatures may be made: not under a clock that went back, for they would expire too soon.
    pub fn may_sign(&self) -> bool {
        !self.faults.iter().any(|fault| matches!(fault, Fault::ClockBackwards { .. }))
    }
}

/// The folder of one zone's keys; several zones may share a folder.
#[derive(Clone, Debug)]
pub struct Keystore {
    folder: PathBuf,
    zone: Name,
}

impl Keystore {
    /// Opens a folder.
    ///
    /// # Errors
    /// [`StoreError`] when it is none, or everybody may write into it.
    pub fn open(folder: &Path, zone: &Name) -> Result<Keystore, StoreError> {
        let metadata = fs::metadata(folder).map_err(io_error(folder))?;
        if !metadata.is_dir() {
            return Err(StoreError::Io {
                path: folder.to_owned(),
                error: io::ErrorKind::NotADirectory.into(),
            });
        }
        if metadata.mode() & 0o002 != 0 {
            return Err(StoreError::FolderMode { path: folder.to_owned(), mode: metadata.mode() & 0o7777 });
        }
        Ok(Keystore { folder: folder.to_owned(), zone: zone.to_lowercase() })
    }

    /// Opens a folder, and makes it with mode 0700 where there is none.
    ///
    /// # Errors
    /// [`StoreError`] as for `open`, or when it cannot be made.
    pub fn create(folder: &Path, zone: &Name) -> Result<Keystore, StoreError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io_error(folder))?;
        Keystore::open(folder, zone)
    }

    /// The apex.
    pub fn zone(&self) -> &Name {
        &self.zone
    }

    /// Where the state is kept.
    pub fn state_path(&self) -> PathBuf {
        self.folder.join(format!("{}rollover.json", keyfile::zone_file_name(self.zone.as_wire())))
    }

    /// The zone's keys. A file that cannot be used is a fault of its own and hides no other key.
    ///
    /// # Errors
    /// [`StoreError::Io`] when the folder cannot be read.
    pub fn keys(&self) -> Result<Listing, StoreError> {
        let prefix = format!("K{}+", keyfile::zone_file_name(self.zone.as_wire()));
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(io_error(&self.folder))? {
            let path = entry.map_err(io_error(&self.folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(&prefix) && name.ends_with(".key") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut listing = Listing::default();
        for path in paths {
            match read_key(&path) {
                Ok((owner, key)) if owner == self.zone => listing.keys.push(key),
                Ok((owner, _)) => {
                    let error = KeyFileError::Owner(owner.to_string());
                    listing.faults.push(StoreError::KeyFile { path, error });
                }
                Err(error) => listing.faults.push(error),
            }
        }
        Ok(listing)
    }

    /// Makes a key and keeps it on disk; its tag is none of `taken` and of no file's.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be made or written.
    pub fn generate(
        &self,
        algorithm: Algorithm,
        is_ksk: bool,
        taken: &[u16],
        times: Times,
    ) -> Result<StoredKey, StoreError> {
        let listing = self.keys()?;
        let mut last = StoreError::Exists { path: self.folder.clone() };
        for _ in 0..GENERATE_ATTEMPTS {
            let key = SigningKey::generate(algorithm, is_ksk, &SystemRandom::new())
                .map_err(|error| StoreError::KeyFile { path: self.folder.clone(), error: error.into() })?;
            let tag = key.tag();
            if taken.contains(&tag) || listing.keys.iter().any(|other| other.key.tag() == tag) {
                continue;
            }
            match self.write_key(&key, &times, Naming::New) {
                Ok(()) => return Ok(StoredKey { key: Arc::new(key), times }),
                // A file under this tag that is no usable key.
                Err(error @ StoreError::Exists { .. }) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Writes both files of a key; the public one last, for it is the one that is looked for.
    fn write_key(&self, key: &SigningKey, times: &Times, naming: Naming) -> Result<(), StoreError> {
        let stem = keyfile::file_stem(self.zone.as_wire(), key.public().id());
        let (private, public) = (format!("{stem}.private"), format!("{stem}.key"));
        let public_path = self.folder.join(&public);
        if naming == Naming::New && public_path.exists() {
            return Err(StoreError::Exists { path: public_path });
        }
        write_file(&self.folder, &private, &keyfile::private_text(key, times), 0o600, naming)?;
        write_file(
            &self.folder,
            &public,
            &keyfile::public_text(&self.zone, key.public(), times),
            0o644,
            naming,
        )
    }

    /// The state on disk; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::State`] when it is torn or of something else.
    pub fn state(&self) -> Result<Option<State>, StoreError> {
        let path = self.state_path();
        match read_file(&path) {
            Ok((text, _)) => match from_json(&text, self.zone.as_wire()) {
                Ok(state) => Ok(Some(state)),
                Err(error) => Err(StoreError::State { path, error }),
            },
            Err(StoreError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts the state's file out of the way, so that the next `advance` begins anew from the keys; returns its new name.
    ///
    /// # Errors
    /// [`StoreError::Io`] when there is none.
    pub fn set_state_aside(&self, now: u64) -> Result<PathBuf, StoreError> {
        let _lock = lock(&self.folder)?;
        let path = self.state_path();
        let aside = path.with_extension(format!("json.{now}"));
        fs::rename(&path, &aside).map_err(io_error(&path))?;
        Ok(aside)
    }

    /// The one way to change a state: reads it (or makes the first from the keys), lets `edit` change it, makes every step
    /// that is due with the keys that takes, and writes it. Without a policy that of the last time holds.
    ///
    /// # Errors
    /// [`StoreError`]; the state on disk is then what it was.
    pub fn advance(
        &self,
        policy: Option<&Policy>,
        now: u64,
        edit: impl FnOnce(&mut State) -> Result<(), Refusal>,
    ) -> Result<Advance, StoreError> {
        let _lock = lock(&self.folder)?;
        let mut listing = self.keys()?;
        let before = self.state()?;
        let mut state = match &before {
            Some(state) => state.clone(),
            None => self.first_state(policy, &mut listing, now)?,
        };
        edit(&mut state)?;
        let mut changes = Vec::new();
        let mut rounds = 0;
        let last = loop {
            let policy = policy.unwrap_or(&state.policy).clone();
            let available: Vec<&PublicKey> = listing.keys.iter().map(|stored| stored.key.public()).collect();
            let step = step(&state, &policy, &available, now);
            state = step.state.clone();
            changes.extend_from_slice(&step.changes);
            rounds += 1;
            if step.actions.is_empty() || rounds == MAX_STEPS {
                break step;
            }
            for &Action::Generate { algorithm, role } in &step.actions {
                listing.keys.push(self.introduce(&mut state, algorithm, role, now)?);
            }
        };
        if before.as_ref() != Some(&state) {
            let name = self.state_path();
            let name = name.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            write_file(&self.folder, name, &to_json(&state), 0o644, Naming::Replace)?;
        }
        // After the state, which is what counts; the files' times are for other programs and for a rebuild.
        if let Err(fault) = self.note_times(&mut listing.keys, &changes, &state) {
            listing.faults.push(fault);
        }
        Ok(Advance {
            state,
            keys: listing.keys.into_iter().map(|stored| stored.key).collect(),
            changes,
            faults: last.faults,
            broken_files: listing.faults,
            wake_at: last.wake_at,
        })
    }

    /// The first state. A file that cannot be read may be the very key the parent vouches for: then there is none.
    fn first_state(
        &self,
        policy: Option<&Policy>,
        listing: &mut Listing,
        now: u64,
    ) -> Result<State, StoreError> {
        if let Some(fault) = listing.faults.pop() {
            return Err(fault);
        }
        let keys: Vec<(PublicKey, Times)> =
            listing.keys.iter().map(|stored| (stored.key.public().clone(), stored.times)).collect();
        let policy = policy.cloned().unwrap_or_else(|| Policy::like(keys.iter().map(|(key, _)| key)));
        adopt(self.zone.as_wire(), &policy, &keys, now)
            .map_err(|error| StoreError::Adopt { path: self.folder.clone(), error })
    }

    /// Makes a key for a rollover.
    fn introduce(
        &self,
        state: &mut State,
        algorithm: Algorithm,
        role: Role,
        now: u64,
    ) -> Result<StoredKey, StoreError> {
        let taken: Vec<u16> = state.keys.iter().map(|key| key.public.tag()).collect();
        let times = times_of_successor(role, now);
        let stored = self.generate(algorithm, role.is_ksk(), &taken, times)?;
        state.introduce(stored.key.public(), role, now)?;
        Ok(stored)
    }

    /// Writes what has changed into the times of the key files.
    fn note_times(
        &self,
        keys: &mut [StoredKey],
        changes: &[(KeyId, Change)],
        state: &State,
    ) -> Result<(), StoreError> {
        for stored in keys {
            let before = stored.times;
            let public = stored.key.public();
            let Some(key) = state.keys.iter().find(|key| key.public == *public) else { continue };
            for (_, change) in changes.iter().filter(|(id, _)| *id == public.id()) {
                note_change(&mut stored.times, key, *change, state.last_seen);
            }
            if stored.times != before {
                self.write_key(&stored.key, &stored.times, Naming::Replace)?;
            }
        }
        Ok(())
    }
}
