//! The `dnssec` section of a zone: whether it is signed, with what, and where its keys are.
//!
//! Opens no key: keys are the control side's.
//!
//! # Why keys are made by themselves, and when they should not be
//! An empty state directory is what a first start finds, and what a restart finds whose volume is not mounted; no file can tell
//! the two apart, for the file would be on the volume. Made in the first case, keys are what was wanted; in the second they
//! break the chain of trust, and the zone is bogus until the DS is replaced. Only the operator knows which case it is: it
//! turns with the moment at which the DS is published. So `generate_keys` is on, a zone is signed with two characters of
//! configuration, and whoever publishes the DS sets it to off; from then on a zone without its keys is SERVFAIL, which ends
//! with the mounting of the volume, where a zone with wrong keys would stay in caches. While it is on, each making is a
//! warning in the log with the DS, and counted (`steerd_zone_keys_made_total`); `steerd check` says where keys are and
//! whether a start would make some. Rollovers make successors either way: these do not break the chain.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cause::Cause;
use super::compile::LargestTtl;
use super::decode::{Decoder, Field, Read, Section, key};
use super::model::{Denial, Dnssec, OwnerName, Zone};
use super::report::{FileId, Findings, Span};
use super::scalars::{boolean, duration, text_octets, word};
use super::server::join;
use super::zones::MAX_PATH_OCTETS;
use crate::dnssec::denial::MAX_NSEC3_APEX_OCTETS;
use crate::dnssec::key::Algorithm;
use crate::dnssec::keystore::{Keystore, StoreError};
use crate::dnssec::policy::{Layout, Policy, PolicyError, Ttls};
use crate::wire::name::Name;

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
/// TTL of DNSKEY, CDS and CDNSKEY.
const DNSKEY_TTL_SECS: u32 = 3600;
/// TTLs beyond a year count as a year: no validator keeps a record longer than its signature holds (RFC 4035 §5.3.3), and
/// signatures of decades are signatures that nobody can take back.
const MAX_COUNTED_TTL_SECS: u32 = 366 * 86_400;

pub(super) static DNSSEC: Section = Section {
    title: "`dnssec`",
    keys: &[
        key("enabled"),
        key("algorithm"),
        key("split_keys"),
        key("keys"),
        key("generate_keys"),
        key("zsk_lifetime"),
        key("ksk_lifetime"),
        key("denial"),
    ],
    may_be_empty: true,
};

/// The section as read, with the places of what can only be judged once the zone is known.
#[derive(Debug)]
pub(super) struct ReadDnssec {
    pub(super) dnssec: Dnssec,
    pub(super) lifetimes_at: Lifetimes<Option<Span>>,
}

/// Something of each lifetime.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lifetimes<T> {
    zsk: T,
    ksk: T,
}

/// Reads the section of the zone `apex`; `None` where it is not signed. `directory` is what a relative `keys` is relative to.
pub(super) fn read_dnssec<'t>(
    d: &mut Decoder<'t, '_>,
    field: Field<'t>,
    apex: &OwnerName,
    directory: Option<&Path>,
) -> Read<Option<ReadDnssec>> {
    let mut dnssec = Dnssec {
        algorithm: Algorithm::EcdsaP256Sha256,
        split_keys: false,
        keys: None,
        generate_keys: true,
        zsk_lifetime: None,
        ksk_lifetime: None,
        denial: Denial::Nsec,
    };
    let mut enabled = true;
    let seen = d.section(field, &DNSSEC, |d, name, field| {
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
            "generate_keys" => {
                dnssec.generate_keys = d.value(field, boolean)?.is_none_or(|read| read.value);
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
    let place = |key| seen.as_ref().and_then(|seen| seen.place(key));
    let lifetimes_at = Lifetimes { zsk: place("zsk_lifetime"), ksk: place("ksk_lifetime") };
    Ok(enabled.then_some(ReadDnssec { dnssec, lifetimes_at }))
}

/// Judges the lifetimes of keys beside the TTLs of the zone. What the configuration alone makes too short is an error; a zone's
/// file forbids nothing, so where its TTLs do, the lifetime is longer than configured, and that is said.
pub(super) fn check_lifetimes(
    dnssec: &Dnssec,
    at: Lifetimes<Option<Span>>,
    largest: LargestTtl,
    findings: &mut Findings,
) {
    let needed = |ttl_secs| Duration::from_secs(unstretched_policy(dnssec, ttl_secs).rollover_secs());
    let (by_config, by_all) = (needed(largest.configured_secs), needed(largest.of_all_secs));
    let lifetimes =
        [(dnssec.zsk_lifetime, at.zsk, "zsk_lifetime"), (dnssec.ksk_lifetime, at.ksk, "ksk_lifetime")];
    for (lifetime, at, field) in lifetimes {
        match lifetime {
            Some(lifetime) if lifetime <= by_config => {
                findings.error(FileId(0), at, Cause::LifetimeTooShort { field, lifetime, needed: by_config });
            }
            Some(lifetime) if lifetime <= by_all => {
                findings.warning(FileId(0), at, Cause::LifetimeStretched { field, lifetime, needed: by_all });
            }
            Some(_) | None => {}
        }
    }
}

/// How a zone is signed whose largest TTL is this. Its times always fit together.
pub(crate) fn policy_of(dnssec: &Dnssec, largest_ttl_secs: u32) -> Policy {
    let policy = unstretched_policy(dnssec, largest_ttl_secs);
    // Both are far below what 32 bits hold.
    let least = (policy.rollover_secs() + 1) as u32;
    let stretched = |secs: Option<u32>| secs.map(|secs| secs.max(least));
    Policy {
        zsk_lifetime_secs: stretched(policy.zsk_lifetime_secs),
        ksk_lifetime_secs: stretched(policy.ksk_lifetime_secs),
        ..policy
    }
}

fn unstretched_policy(dnssec: &Dnssec, largest_ttl_secs: u32) -> Policy {
    let secs = |duration: Option<Duration>| {
        duration.map(|duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX))
    };
    let default = Policy::default();
    let zone_secs = largest_ttl_secs.min(MAX_COUNTED_TTL_SECS);
    let ttls = Ttls { dnskey_secs: DNSKEY_TTL_SECS, zone_secs, ..default.ttls };
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

/// Why a zone's keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DnssecError {
    /// Nowhere to look.
    #[error("neither `keys` nor `server.state_dir` is given")]
    NoFolder,
    /// The folder, or a file in it.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// None are there, and none may be made.
    #[error(
        "{0}: no key of the zone, and none is made here: is the directory mounted? The first ones are made by `steerd dnssec \
         keygen`, or below state_dir by a start with `generate_keys: on`"
    )]
    NoKeys(PathBuf),
    /// Times that do not fit together.
    #[error("{0}")]
    Policy(#[from] PolicyError),
}

impl DnssecError {
    /// Whether the system does not let this user look.
    pub(crate) fn is_denied(&self) -> bool {
        let Self::Store(StoreError::Io { error, .. }) = self else { return false };
        error.kind() == std::io::ErrorKind::PermissionDenied
    }
}

/// What a start would find of a zone's keys.
#[derive(Debug)]
pub(crate) enum FoundKeys {
    /// So many usable ones.
    There {
        /// How many.
        count: usize,
        /// Where.
        folder: PathBuf,
    },
    /// None; it would make the first there.
    ToBeMade(PathBuf),
}

impl FoundKeys {
    /// Looks where the keys should be; changes nothing.
    ///
    /// # Errors
    /// When there are none and none may be made, or one of them cannot be used.
    pub(crate) fn of(
        zone: &Zone,
        dnssec: &Dnssec,
        state_dir: Option<&Path>,
    ) -> Result<FoundKeys, DnssecError> {
        let folder = key_folder(dnssec, state_dir, &zone.apex.to_string())?;
        let lacks = |folder| match dnssec.keys.is_none() && dnssec.generate_keys {
            true => Ok(FoundKeys::ToBeMade(folder)),
            false => Err(DnssecError::NoKeys(folder)),
        };
        let name = Name::from_wire(zone.apex.as_wire()).unwrap_or(Name::ROOT);
        let keystore = match Keystore::open(&folder, &name) {
            Err(StoreError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => {
                return lacks(folder);
            }
            opened => opened?,
        };
        let has_state = keystore.state()?.is_some();
        let mut listing = keystore.keys()?;
        match listing.faults.pop() {
            Some(fault) => Err(fault.into()),
            None if listing.keys.is_empty() && !has_state => lacks(folder),
            None if listing.keys.is_empty() => Err(DnssecError::NoKeys(folder)),
            None => Ok(FoundKeys::There { count: listing.keys.len(), folder }),
        }
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{errors, loaded, warnings};
    use super::*;

    fn text(more: &str, dnssec: &str) -> String {
        format!(
            "server: {{state_dir: /nowhere}}\nzones:\n  example.com:\n    ns: a.\n{more}    dnssec:\n{dnssec}"
        )
    }

    #[test]
    fn lifetime_that_a_rollover_does_not_fit_into_is_refused_where_it_stands() {
        let short = text("", "      zsk_lifetime: 72h\n      ksk_lifetime: 75h\n");
        assert_eq!(
            errors(&short),
            [
                "6:7: `zsk_lifetime` of 72h is shorter than a rollover of the zone's keys may take (accepted are 76h and more, or lower TTLs)",
                "7:7: `ksk_lifetime` of 75h is shorter than a rollover of the zone's keys may take (accepted are 76h and more, or lower TTLs)",
            ]
        );
        assert_eq!(warnings(&text("", "      zsk_lifetime: 76h\n      ksk_lifetime: 76h\n")), [""; 0]);
        // Longer TTLs, longer rollovers.
        let long = text("    ns_ttl: 604800\n", "      zsk_lifetime: 76h\n");
        assert_eq!(errors(&long).len(), 1, "{:?}", errors(&long));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zone");
        std::fs::write(&file, "@ 604800 TXT long\n").unwrap();
        let more = format!("    file: {}\n    soa: {{}}\n", file.display());
        // What a file does takes nothing away.
        let found = warnings(&text(&more, "      zsk_lifetime: 76h\n"));
        let expected = "8:7: `zsk_lifetime` of 76h is shorter than a rollover of the zone's keys may take beside the TTLs of the zone's file: keys live 508h";
        assert!(found.iter().any(|line| line.starts_with(expected)), "{found:#?}");
    }

    #[test]
    fn first_keys_are_made_unless_told_otherwise() {
        let of = |dnssec: &str| loaded(&text("", dnssec)).zones[0].dnssec.clone().unwrap().generate_keys;
        assert!(of("      algorithm: 15\n") && of("      generate_keys: on\n"));
        assert!(!of("      generate_keys: off\n"));
    }

    proptest! {
        #[test]
        fn times_of_every_policy_fit_together(ttl in any::<u32>(), zsk in 86_400u64.., ksk in 86_400u64..) {
            let most = MAX_LIFETIME.as_secs();
            let dnssec = Dnssec {
                denial: Denial::Nsec,
                algorithm: Algorithm::Ed25519,
                split_keys: true,
                keys: None,
                generate_keys: true,
                zsk_lifetime: Some(Duration::from_secs(zsk.min(most))),
                ksk_lifetime: Some(Duration::from_secs(ksk.min(most))),
            };
            prop_assert_eq!(policy_of(&dnssec, ttl).check(), Ok(()));
        }
    }
}
