//! Reading and writing in the folder of the keys: modes, whole files or none, and the lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::StoredKey;
use super::error::{StoreError, io_error};
use crate::dnssec::key::PublicKey;
use crate::dnssec::keyfile::{self, KeyFileError};
use crate::wire::name::Name;

/// Key files have less than 1 KiB, a state of `MAX_KEYS` keys less than 64.
pub(super) const MAX_FILE_OCTETS: u64 = 256 * 1024;
/// How often and how long apart a lock is tried: whoever has it needs milliseconds.
const LOCK_ATTEMPTS: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Whether a file of that name may be there already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    New,
    Replace,
}

/// Reads a key by the name of its `.key` file: both files, their modes, and whether all three tell of the same key.
///
/// # Errors
/// [`StoreError`], one variant a cause.
pub fn read_key(path: &Path) -> Result<(Name, StoredKey), StoreError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| StoreError::KeyFile { path, error }
    };
    let (owner, public) = read_public(path)?;
    let private_path = path.with_extension("private");
    let (text, mode) = read_file(&private_path)?;
    if mode & 0o077 != 0 {
        return Err(StoreError::FileMode { path: private_path, mode });
    }
    let (key, times) = keyfile::parse_private(&text, &public).map_err(at(&private_path))?;
    Ok((owner, StoredKey { key: Arc::new(key), times }))
}

/// Reads a `.key` file alone.
///
/// # Errors
/// [`StoreError`], one variant a cause.
pub fn read_public(path: &Path) -> Result<(Name, PublicKey), StoreError> {
    let at = |error| StoreError::KeyFile { path: path.to_owned(), error };
    let (text, _) = read_file(path)?;
    let (owner, public) = keyfile::parse_public(&text).map_err(at)?;
    let stem = keyfile::file_stem(owner.as_wire(), public.id());
    if path.file_stem().is_none_or(|found| found != stem.as_str()) {
        return Err(at(KeyFileError::Name(stem)));
    }
    Ok((owner, public))
}

/// A file's text and mode. The mode is that of what was opened, not of what the name leads to later.
pub(super) fn read_file(path: &Path) -> Result<(String, u32), StoreError> {
    // A pipe would keep its opener waiting.
    if !fs::metadata(path).map_err(io_error(path))?.is_file() {
        return Err(StoreError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(io_error(path))?;
    let metadata = file.metadata().map_err(io_error(path))?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_OCTETS {
        return Err(StoreError::NotAFile { path: path.to_owned() });
    }
    let mut text = String::new();
    file.take(MAX_FILE_OCTETS).read_to_string(&mut text).map_err(io_error(path))?;
    Ok((text, metadata.mode() & 0o7777))
}

/// Writes a file whole: under a name of its own, synced, then under the right one.
pub(super) fn write_file(
    folder: &Path,
    name: &str,
    text: &str,
    mode: u32,
    naming: Naming,
) -> Result<(), StoreError> {
    let path = folder.join(name);
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&temporary)(error)),
        _ => {}
    }
    let written = write_temporary(folder, &temporary, text, mode).and_then(|()| match naming {
        Naming::New => fs::hard_link(&temporary, &path).and_then(|()| fs::remove_file(&temporary)),
        Naming::Replace => fs::rename(&temporary, &path),
    });
    if let Err(error) = written {
        // What is in the way of the file itself is told; the temporary one is only litter.
        let _ = fs::remove_file(&temporary);
        return Err(match error.kind() {
            io::ErrorKind::AlreadyExists => StoreError::Exists { path },
            _ => StoreError::Io { path, error },
        });
    }
    // The name lives in the folder.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error(folder))
}

fn write_temporary(folder: &Path, path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    let (own, folder) = (file.metadata()?, fs::metadata(folder)?);
    // What root makes by hand must stay readable for the server that runs as the folder's owner.
    if own.uid() == 0 && folder.uid() != 0 {
        fchown(&file, Some(folder.uid()), Some(folder.gid()))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Holds the folder against all others who change keys; ends with the value.
pub(super) fn lock(folder: &Path) -> Result<File, StoreError> {
    let file = File::open(folder).map_err(io_error(folder))?;
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(io_error(folder)(error)),
        }
    }
    Err(StoreError::Busy { path: folder.to_owned() })
}
