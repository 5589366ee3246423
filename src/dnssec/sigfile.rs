//! The signatures of a zone on disk, so that a restart makes none that still holds: `ZONE.sigs`, mode 0600.
//!
//! Checking a signature costs more than making one, so a file of which each had to be checked would be worth nothing. What is
//! read is trusted for another reason: behind it stands a message authentication code whose key is derived from the private
//! key of the zone. Only who could have made the signatures could have made the file, and a torn, mixed up, foreign or
//! altered file is found out as a whole, before anything of it is used. No sample is checked besides.
//!
//! Times are no secret and go along under the code, and whoever uses a signature asks whether it holds. A file is whole or
//! not there: a new one, synced, then named. Losing it costs time only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::hmac;

use super::key::{KeyId, SIGNATURE_OCTETS, SigningKey};
use super::keyfile::zone_file_name;
use super::rrsig::Validity;

/// What the file is, and of which layout.
const MAGIC: &[u8; 12] = b"steerd sigs\x01";
/// What the code's key is derived for.
const PURPOSE: &[u8] = b"steerd signatures on disk, 1";
/// Octets of one entry: digest, two times, signature.
const ENTRY_OCTETS: usize = 32 + 4 + 4 + SIGNATURE_OCTETS;
/// Octets of the code.
const CODE_OCTETS: usize = 32;
/// Most signatures of a file, some 800 MiB: those of 4 million names. A larger zone is signed at each start.
const MAX_ENTRIES: u64 = 8_000_000;

/// A signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What tells what is signed, and by whom.
    pub digest: [u8; 32],
    /// From when until when it holds.
    pub validity: Validity,
    /// The signature.
    pub signature: [u8; SIGNATURE_OCTETS],
}

/// Why a file is not used, or not written.
#[derive(Debug, thiserror::Error)]
pub enum SigFileError {
    /// The system refused.
    #[error("{path}: {error}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Another kind of file, or of another release.
    #[error("{path}: no file of signatures of this release")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Of another zone.
    #[error("{path}: signatures of another zone")]
    Zone {
        /// The file.
        path: PathBuf,
    },
    /// Made with a key that signs no longer, as after a rollover.
    #[error("{path}: made when key {tag} signed the zone, which it does not now")]
    Key {
        /// The file.
        path: PathBuf,
        /// The key's tag.
        tag: u16,
    },
    /// Torn or altered.
    #[error("{path}: torn or altered")]
    Broken {
        /// The file.
        path: PathBuf,
    },
    /// Beyond the bound.
    #[error("{path}: {count} signatures are more than are kept ({MAX_ENTRIES}); each start makes them anew")]
    TooMany {
        /// The file.
        path: PathBuf,
        /// How many.
        count: u64,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> SigFileError + '_ {
    move |error| SigFileError::Io { path: path.to_owned(), error }
}

/// Where the signatures of a zone are; `zone` in wire form.
pub fn path_of(folder: &Path, zone: &[u8]) -> PathBuf {
    folder.join(format!("{}sigs", zone_file_name(zone)))
}

/// What stands before the entries.
fn header(zone: &[u8], key: KeyId, count: u64) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.push(key.algorithm.number());
    header.extend(key.tag.to_be_bytes());
    header.extend(count.to_be_bytes());
    // A name has at most 255 octets.
    header.push(zone.len() as u8);
    header.extend(zone.to_ascii_lowercase());
    header
}

/// Writes the signatures of a zone in place of those that are there; makes the folder. `key` is one that signs the zone.
///
/// # Errors
/// [`SigFileError::Io`], [`SigFileError::TooMany`]; what was there before is still there then.
pub fn write(
    folder: &Path,
    zone: &[u8],
    key: &SigningKey,
    entries: impl ExactSizeIterator<Item = Entry>,
) -> Result<(), SigFileError> {
    let path = path_of(folder, zone);
    let count = entries.len() as u64;
    if count > MAX_ENTRIES {
        return Err(SigFileError::TooMany { path, count });
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io_error(folder))?;
    let temporary = path.with_extension(format!("sigs.{}", std::process::id()));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&temporary)(error)),
        _ => {}
    }
    let written = write_to(&temporary, zone, key, entries).and_then(|()| fs::rename(&temporary, &path));
    if let Err(error) = written {
        // What went wrong is told; the temporary file is only litter.
        let _ = fs::remove_file(&temporary);
        return Err(SigFileError::Io { path, error });
    }
    // The name lives in the folder.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error(folder))
}

fn write_to(
    path: &Path,
    zone: &[u8],
    key: &SigningKey,
    entries: impl ExactSizeIterator<Item = Entry>,
) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut file = BufWriter::with_capacity(1 << 16, file);
    let mut code = hmac::Context::with_key(&key.mac_key(PURPOSE));
    let header = header(zone, key.public().id(), entries.len() as u64);
    code.update(&header);
    file.write_all(&header)?;
    for entry in entries {
        let mut octets = [0; ENTRY_OCTETS];
        octets[..32].copy_from_slice(&entry.digest);
        octets[32..36].copy_from_slice(&entry.validity.inception.to_be_bytes());
        octets[36..40].copy_from_slice(&entry.validity.expiration.to_be_bytes());
        octets[40..].copy_from_slice(&entry.signature);
        code.update(&octets);
        file.write_all(&octets)?;
    }
    file.write_all(code.sign().as_ref())?;
    file.into_inner()?.sync_all()
}

/// Reads the signatures of a zone, `None` where there is no file. `keys` are those that sign the zone now.
///
/// # Errors
/// [`SigFileError`]; nothing of the file may be used then.
pub fn read(
    folder: &Path,
    zone: &[u8],
    keys: &[Arc<SigningKey>],
) -> Result<Option<Vec<Entry>>, SigFileError> {
    let path = path_of(folder, zone);
    // A pipe would keep its opener waiting.
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(SigFileError::Foreign { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SigFileError::Io { path, error }),
    }
    let file = File::open(&path).map_err(io_error(&path))?;
    let octets = file.metadata().map_err(io_error(&path))?.len();
    let mut file = BufReader::with_capacity(1 << 16, file);
    let mut take = |into: &mut [u8]| match file.read_exact(into) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(SigFileError::Broken { path: path.clone() })
        }
        Err(error) => Err(SigFileError::Io { path: path.clone(), error }),
    };
    let mut head = [0; MAGIC.len() + 1 + 2 + 8 + 1];
    take(&mut head)?;
    let (magic, rest) = head.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(SigFileError::Foreign { path });
    }
    let [algorithm, tag @ .., zone_octets] = rest else { return Err(SigFileError::Broken { path }) };
    let (tag, count) = tag.split_at(2);
    let tag = u16::from_be_bytes([tag[0], tag[1]]);
    let count = count.first_chunk().map_or(u64::MAX, |count| u64::from_be_bytes(*count));
    if count > MAX_ENTRIES {
        return Err(SigFileError::TooMany { path, count });
    }
    let mut of_zone = vec![0; usize::from(*zone_octets)];
    take(&mut of_zone)?;
    if !of_zone.eq_ignore_ascii_case(zone) {
        return Err(SigFileError::Zone { path });
    }
    let whole = (head.len() + of_zone.len() + CODE_OCTETS) as u64 + count * ENTRY_OCTETS as u64;
    if octets != whole {
        return Err(SigFileError::Broken { path });
    }
    let is_it = |key: &&Arc<SigningKey>| key.tag() == tag && key.public().algorithm().number() == *algorithm;
    let Some(key) = keys.iter().find(is_it) else { return Err(SigFileError::Key { path, tag }) };
    let code_key = key.mac_key(PURPOSE);
    let mut code = hmac::Context::with_key(&code_key);
    code.update(&head);
    code.update(&of_zone);
    let mut entries = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let mut octets = [0; ENTRY_OCTETS];
        take(&mut octets)?;
        code.update(&octets);
        entries.push(entry_of(&octets));
    }
    let mut found = [0; CODE_OCTETS];
    take(&mut found)?;
    // A few octets of a file that was read already tell nobody anything by how long they take.
    if code.sign().as_ref() != found {
        return Err(SigFileError::Broken { path });
    }
    Ok(Some(entries))
}

fn entry_of(octets: &[u8; ENTRY_OCTETS]) -> Entry {
    let mut entry = Entry {
        digest: [0; 32],
        validity: Validity { inception: 0, expiration: 0 },
        signature: [0; SIGNATURE_OCTETS],
    };
    entry.digest.copy_from_slice(&octets[..32]);
    let time = |at: usize| u32::from_be_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
    entry.validity = Validity { inception: time(32), expiration: time(36) };
    entry.signature.copy_from_slice(&octets[40..]);
    entry
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use ring::rand::SystemRandom;

    use super::super::key::Algorithm;
    use super::*;

    const ZONE: &[u8] = b"\x07example\x04test\x00";

    fn key() -> Arc<SigningKey> {
        Arc::new(SigningKey::generate(Algorithm::Ed25519, true, &SystemRandom::new()).unwrap())
    }

    fn entries(count: u8) -> Vec<Entry> {
        let entry = |n: u8| Entry {
            digest: [n; 32],
            validity: Validity { inception: u32::from(n), expiration: 1000 + u32::from(n) },
            signature: [n ^ 0xFF; 64],
        };
        (0..count).map(entry).collect()
    }

    #[test]
    fn signatures_come_back_from_a_file_that_only_its_owner_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, key) = (folder.path().join("signatures"), key());
        assert!(read(&folder, ZONE, std::slice::from_ref(&key)).unwrap().is_none());
        for count in [0, 1, 200, 3] {
            write(&folder, ZONE, &key, entries(count).into_iter()).unwrap();
            assert_eq!(read(&folder, ZONE, std::slice::from_ref(&key)).unwrap(), Some(entries(count)));
        }
        let path = path_of(&folder, ZONE);
        assert_eq!(path.file_name().unwrap(), "example.test.sigs");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no litter");
    }

    #[test]
    fn whatever_is_cut_off_or_changed_nothing_of_the_file_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, key) = (folder.path(), key());
        write(folder, ZONE, &key, entries(3).into_iter()).unwrap();
        let path = path_of(folder, ZONE);
        let good = fs::read(&path).unwrap();
        for len in 0..good.len() {
            fs::write(&path, &good[..len]).unwrap();
            assert!(read(folder, ZONE, std::slice::from_ref(&key)).is_err(), "{len} octets");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x11;
            fs::write(&path, &bad).unwrap();
            // Letters of the zone's name have their case bit elsewhere.
            assert!(read(folder, ZONE, std::slice::from_ref(&key)).is_err(), "octet {at}");
        }
        fs::write(&path, [&good[..], &[0]].concat()).unwrap();
        assert!(matches!(read(folder, ZONE, std::slice::from_ref(&key)), Err(SigFileError::Broken { .. })));
        fs::write(&path, "a text of somebody else's, which is none of ours").unwrap();
        assert!(matches!(read(folder, ZONE, std::slice::from_ref(&key)), Err(SigFileError::Foreign { .. })));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(read(folder, ZONE, &[key]), Err(SigFileError::Foreign { .. })));
    }

    #[test]
    fn a_file_of_another_zone_or_key_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let (folder, key, other) = (folder.path(), key(), self::key());
        write(folder, ZONE, &key, entries(3).into_iter()).unwrap();
        let error = read(folder, ZONE, &[other]).unwrap_err();
        assert!(matches!(error, SigFileError::Key { .. } | SigFileError::Broken { .. }), "{error}");
        let other_zone = b"\x07another\x04test\x00";
        fs::rename(path_of(folder, ZONE), path_of(folder, other_zone)).unwrap();
        assert!(matches!(read(folder, other_zone, &[key]), Err(SigFileError::Zone { .. })));
    }
}
