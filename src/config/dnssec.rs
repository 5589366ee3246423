//! The `dnssec` section of a zone: whether it is signed, with what, and where its keys are.
//!
//! Opens no key: keys are the control side's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cause::Cause;
use super::decode::{Decoder, Field, Read, Section, key};
use super::model::{Denial, Dnssec, OwnerName};
use super::scalars::{boolean, duration, text_octets, word};
use super::server::join;
use super::zones::MAX_PATH_OCTETS;
use crate::dnssec::denial::MAX_NSEC3_APEX_OCTETS;
use crate::dnssec::key::Algorithm;
use crate::dnssec::keystore::StoreError;
use crate::dnssec::policy::PolicyError;

/// Algorithms by the names they are configured with.
const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("13", Algorithm::EcdsaP256Sha256),
    ("ECDSAP256SHA256", Algorithm::EcdsaP256Sha256),
    ("15", Algorithm::Ed25519),
    ("ED25519", Algorithm::Ed25519),
];
const ALGORITHM_WORDS: &str = "`13` (ECDSAP256SHA256), `15` (ED25519)";
/// Ways of denial by name.
const DENIALS: &[(&str, Denial)] = &[("nsec", Denial::Nsec), ("nsec3", Denial::Nsec3)];
const DENIAL_WORDS: &str = "`nsec`, `nsec3`";
/// The shortest life of a key, and the longest.
const MIN_LIFETIME: Duration = Duration::from_secs(86_400);
const MAX_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);

pub(super) static DNSSEC: Section = Section {
    title: "`dnssec`",
    keys: &[
        key("enabled"),
        key("algorithm"),
        key("split_keys"),
        key("keys"),
        key("zsk_lifetime"),
        key("ksk_lifetime"),
        key("denial"),
    ],
    may_be_empty: true,
};

/// Reads the section of the zone `apex`; `None` where it is not signed. `directory` is what a relative `keys` is relative to.
pub(super) fn read_dnssec<'t>(
    d: &mut Decoder<'t, '_>,
    field: Field<'t>,
    apex: &OwnerName,
    directory: Option<&Path>,
) -> Read<Option<Dnssec>> {
    let mut dnssec = Dnssec {
        algorithm: Algorithm::EcdsaP256Sha256,
        split_keys: false,
        keys: None,
        zsk_lifetime: None,
        ksk_lifetime: None,
        denial: Denial::Nsec,
    };
    let mut enabled = true;
    d.section(field, &DNSSEC, |d, name, field| {
        match name {
            "enabled" => enabled = d.value(field, boolean)?.is_none_or(|read| read.value),
            "algorithm" => {
                let read = d.value(field, word(ALGORITHMS, ALGORITHM_WORDS))?;
                dnssec.algorithm = read.map_or(dnssec.algorithm, |read| read.value);
            }
            "split_keys" => dnssec.split_keys = d.value(field, boolean)?.is_some_and(|read| read.value),
            "keys" => {
                let path = d.value(field, |scalar| text_octets(&scalar.text, MAX_PATH_OCTETS))?;
                dnssec.keys = path.map(|path| join(directory, &path.value));
            }
            "zsk_lifetime" => {
                let read = d.value(field, duration(MIN_LIFETIME, MAX_LIFETIME))?;
                dnssec.zsk_lifetime = read.map(|read| read.value);
            }
            "ksk_lifetime" => {
                let read = d.value(field, duration(MIN_LIFETIME, MAX_LIFETIME))?;
                dnssec.ksk_lifetime = read.map(|read| read.value);
            }
            "denial" => {
                let Some(read) = d.value(field, word(DENIALS, DENIAL_WORDS))? else { return Ok(()) };
                if read.value == Denial::Nsec3 && apex.as_wire().len() > MAX_NSEC3_APEX_OCTETS {
                    d.error(read.span, Cause::NoRoomForHashes { limit: MAX_NSEC3_APEX_OCTETS });
                }
                dnssec.denial = read.value;
            }
            _ => d.skip(&field.node)?,
        }
        Ok(())
    })?;
    Ok(enabled.then_some(dnssec))
}

/// Why a zone's keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DnssecError {
    /// Nowhere to look.
    #[error("neither `keys` nor `server.state_dir` is given")]
    NoFolder,
    /// The folder, or a file in it.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Times that do not fit together.
    #[error("{0}")]
    Policy(#[from] PolicyError),
}

/// Where the keys of a zone are: as configured, else below `state_dir`.
///
/// # Errors
/// When there is neither.
pub(crate) fn key_folder(
    dnssec: &Dnssec,
    state_dir: Option<&Path>,
    apex: &str,
) -> Result<PathBuf, DnssecError> {
    match (&dnssec.keys, state_dir) {
        (Some(keys), _) => Ok(keys.clone()),
        // A name has no `/` of its own but by an escape.
        (None, Some(state_dir)) => {
            Ok(state_dir.join("keys").join(apex.trim_end_matches('.').replace('/', "\\047")))
        }
        (None, None) => Err(DnssecError::NoFolder),
    }
}
