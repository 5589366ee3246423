//! How long signatures and keys live: times, waits and jitter, as plain numbers (RFC 6781 §4.4, RFC 7583 §2.3).
//!
//! Reads no clock and draws no random number: jitter comes from the owner's name, so that a signature made again at the
//! same time ends at the same time, and the signatures of a zone do not end together.

use super::key::{Algorithm, Digest, PublicKey};
use super::rrsig::{Standing, Validity};

/// Seconds of an hour and of a day.
const HOUR: u32 = 3600;
const DAY: u32 = 24 * HOUR;

/// Whether one key signs everything, or one the keys and another the zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One key with flags 257 for both.
    Combined,
    /// A KSK and a ZSK.
    Split,
}

/// TTLs that decide how long caches remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttls {
    /// Of the DNSKEY RRset.
    pub dnskey_secs: u32,
    /// The largest of the zone, that of negative answers included.
    pub zone_secs: u32,
    /// Of the DS RRset at the parent.
    pub ds_secs: u32,
}

impl Ttls {
    /// The larger of each.
    pub fn max(self, other: Ttls) -> Ttls {
        Ttls {
            dnskey_secs: self.dnskey_secs.max(other.dnskey_secs),
            zone_secs: self.zone_secs.max(other.zone_secs),
            ds_secs: self.ds_secs.max(other.ds_secs),
        }
    }

    /// The largest of all.
    pub fn largest_secs(self) -> u32 {
        self.dnskey_secs.max(self.zone_secs).max(self.ds_secs)
    }
}

/// How a zone is signed and its keys are rolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Algorithm of the first keys; later ones keep that of the keys in use.
    pub algorithm: Algorithm,
    /// Combined key, or KSK and ZSK.
    pub layout: Layout,
    /// Digests of the CDS records.
    pub digests: Vec<Digest>,
    /// How long a signature holds.
    pub signature_secs: u32,
    /// How much sooner or later it ends, by its owner's name.
    pub jitter_secs: u32,
    /// How long before its end it is made again.
    pub refresh_secs: u32,
    /// How much sooner than that it may be made again beside others, so that passes are few; see [`Policy::window_secs`].
    pub batch_secs: u32,
    /// How far back it begins, for validators whose clocks are slow.
    pub lead_secs: u32,
    /// After how long the ZSK is rolled; `None` only by request. Says nothing about a combined key.
    pub zsk_lifetime_secs: Option<u32>,
    /// After how long the KSK or the combined key is rolled; `None` only by request.
    pub ksk_lifetime_secs: Option<u32>,
    /// TTLs as they are now.
    pub ttls: Ttls,
    /// How long it takes until every server of the zone, or of its parent, serves what one serves.
    pub propagation_secs: u32,
    /// Largest TTL that caches may go by from before there was a state: of the unsigned zone, or of a state that is lost.
    pub former_ttl_secs: u32,
    /// Ask the parent to remove the DS (RFC 8078 §4), the first step of taking a zone out of DNSSEC.
    pub is_ds_withdrawn: bool,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            algorithm: Algorithm::EcdsaP256Sha256,
            layout: Layout::Combined,
            digests: vec![Digest::Sha256],
            signature_secs: 14 * DAY,
            jitter_secs: DAY,
            refresh_secs: 7 * DAY,
            batch_secs: 6 * HOUR,
            lead_secs: HOUR,
            zsk_lifetime_secs: None,
            ksk_lifetime_secs: None,
            ttls: Ttls { dnskey_secs: HOUR, zone_secs: DAY, ds_secs: DAY },
            propagation_secs: HOUR,
            former_ttl_secs: DAY,
            is_ds_withdrawn: false,
        }
    }
}

/// Why a policy would break a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// RFC 1982 arithmetic is defined over half the circle.
    #[error("signatures of more than 10 years")]
    SignatureTooLong,
    /// A signature would be due as soon as it is made.
    #[error("a signature must hold longer than refresh and jitter together")]
    RefreshTooLong,
    /// A signature could expire in a cache, or before every server has its successor.
    #[error("refresh must be at least the largest TTL of the zone and the propagation together")]
    RefreshTooShort,
    /// The next rollover would begin before the last one has ended.
    #[error("a key's lifetime must be longer than a rollover takes ({needed_secs} s)")]
    LifetimeTooShort {
        /// How long it takes.
        needed_secs: u64,
    },
    /// A DS without a digest.
    #[error("at least one digest is needed")]
    NoDigest,
}

impl Policy {
    /// The default for a zone that has keys: their algorithm and layout.
    pub fn like<'a>(keys: impl IntoIterator<Item = &'a PublicKey> + Clone) -> Policy {
        let is_split = keys.clone().into_iter().any(|key| !key.is_ksk());
        let default = Policy::default();
        let algorithm = keys.into_iter().next().map_or(default.algorithm, PublicKey::algorithm);
        Policy { algorithm, layout: if is_split { Layout::Split } else { Layout::Combined }, ..default }
    }

    /// Whether the times fit together.
    ///
    /// # Errors
    /// [`PolicyError`], the first one found.
    pub fn check(&self) -> Result<(), PolicyError> {
        let sum = |a: u32, b: u32| u64::from(a) + u64::from(b);
        if u64::from(self.signature_secs) + sum(self.jitter_secs, self.lead_secs) > 3650 * u64::from(DAY) {
            return Err(PolicyError::SignatureTooLong);
        }
        if u64::from(self.signature_secs) <= sum(self.refresh_secs, self.jitter_secs) {
            return Err(PolicyError::RefreshTooLong);
        }
        let held = self.ttls.dnskey_secs.max(self.ttls.zone_secs);
        if u64::from(self.refresh_secs) < sum(held, self.propagation_secs) {
            return Err(PolicyError::RefreshTooShort);
        }
        if self.digests.is_empty() {
            return Err(PolicyError::NoDigest);
        }
        let needed_secs = self.rollover_secs();
        let lifetimes = [self.zsk_lifetime_secs, self.ksk_lifetime_secs];
        if lifetimes.into_iter().flatten().any(|lifetime| u64::from(lifetime) <= needed_secs) {
            return Err(PolicyError::LifetimeTooShort { needed_secs });
        }
        Ok(())
    }

    /// From when until when a signature made at `now` over an RRset of `owner` holds.
    pub fn validity(&self, owner: &[u8], rtype: u16, now: u64) -> Validity {
        let spread = 2 * u64::from(self.jitter_secs) + 1;
        let jitter = hash(owner, rtype) % spread;
        let end = now + u64::from(self.signature_secs) + jitter
            - u64::from(self.jitter_secs.min(self.signature_secs));
        // The low 32 bits are the time on RFC 4034's circle.
        Validity { inception: now.wrapping_sub(u64::from(self.lead_secs)) as u32, expiration: end as u32 }
    }

    /// How long a rollover may take: publish, wait for the parent, retire. A key's lifetime must be longer.
    pub fn rollover_secs(&self) -> u64 {
        3 * (u64::from(self.ttls.largest_secs()) + u64::from(self.propagation_secs))
    }

    /// How long before it is due a signature is made again, when a pass is made for others. A pass costs the compiling of
    /// the whole configuration, and ends are spread: without a window some second of some weeks would each have a pass. At
    /// most an eighth of `refresh_secs`, for early work is more work; and what was just made is never in it.
    pub fn window_secs(&self) -> u32 {
        let fresh_secs = self.signature_secs.saturating_sub(self.jitter_secs);
        let spare_secs = fresh_secs.saturating_sub(self.refresh_secs);
        self.batch_secs.min(self.refresh_secs / 8).min(spare_secs / 2)
    }

    /// Whether a signature is to be made again at `now`. One whose inception lies ahead is kept: the clock went back, and
    /// what were made now would expire the sooner the more it did.
    pub fn is_due(&self, validity: Validity, now: u64) -> bool {
        self.has_at_most(self.refresh_secs, validity, now)
    }

    /// Whether a pass that is made at `now` makes a signature again: it is due, or will be within the window.
    pub fn is_of_pass(&self, validity: Validity, now: u64) -> bool {
        self.has_at_most(self.refresh_secs.saturating_add(self.window_secs()), validity, now)
    }

    /// The first time at which a signature that holds at `now` is due; that is when `is_due` begins to be true.
    pub fn due_at(&self, validity: Validity, now: u64) -> u64 {
        match validity.at(now) {
            Standing::Holds(left_secs) => now + u64::from(left_secs.saturating_sub(self.refresh_secs)),
            Standing::Ahead | Standing::Expired => now,
        }
    }

    fn has_at_most(&self, secs: u32, validity: Validity, now: u64) -> bool {
        match validity.at(now) {
            Standing::Ahead => false,
            Standing::Holds(left_secs) => left_secs <= secs,
            Standing::Expired => true,
        }
    }
}

/// FNV-1a of an RRset's owner and type: the same everywhere and always, which is all that jitter needs.
fn hash(owner: &[u8], rtype: u16) -> u64 {
    let octets = owner.iter().copied().chain(rtype.to_be_bytes());
    let hash = octets.fold(0xCBF2_9CE4_8422_2325, |hash: u64, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x100_0000_01B3)
    });
    // The low bits of FNV are its weakest.
    hash ^ hash >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_default_holds_and_each_fault_is_named() {
        let good = Policy::default();
        assert_eq!(good.check(), Ok(()));
        let with = |change: fn(&mut Policy)| {
            let mut policy = good.clone();
            change(&mut policy);
            policy.check().unwrap_err()
        };
        assert_eq!(with(|p| p.signature_secs = u32::MAX), PolicyError::SignatureTooLong);
        assert_eq!(with(|p| p.refresh_secs = 13 * DAY), PolicyError::RefreshTooLong);
        assert_eq!(with(|p| p.refresh_secs = DAY), PolicyError::RefreshTooShort);
        assert_eq!(with(|p| p.digests.clear()), PolicyError::NoDigest);
        assert!(matches!(with(|p| p.zsk_lifetime_secs = Some(DAY)), PolicyError::LifetimeTooShort { .. }));
    }

    #[test]
    fn a_signature_is_made_again_while_it_still_holds_and_never_under_a_clock_that_went_back() {
        let policy = Policy::default();
        let now = 1_800_000_000;
        let validity = policy.validity(b"\x01a\x00", 1, now);
        assert!(!policy.is_due(validity, now));
        assert!(policy.is_due(validity, now + u64::from(9 * DAY)));
        assert!(policy.is_due(validity, now + u64::from(20 * DAY)));
        assert!(!policy.is_due(validity, now - u64::from(2 * HOUR)));
    }

    #[test]
    fn ends_are_spread_over_the_jitter() {
        let policy = Policy::default();
        let ends: Vec<u32> = (0..1000u32)
            .map(|n| policy.validity(format!("\x05h{n:04}\x00").as_bytes(), 1, 0).expiration)
            .collect();
        let (first, last) = (*ends.iter().min().unwrap(), *ends.iter().max().unwrap());
        assert!(first < 13 * DAY + DAY / 50 && last > 15 * DAY - DAY / 50, "{first} {last}");
        // No tenth of the span has twice its share.
        for tenth in 0..10 {
            let from = 13 * DAY + tenth * 2 * DAY / 10;
            let count = ends.iter().filter(|&&end| (from..from + 2 * DAY / 10).contains(&end)).count();
            assert!((50..200).contains(&count), "{tenth}: {count}");
        }
    }

    proptest! {
        #[test]
        fn due_begins_in_the_very_second_that_was_foretold(now in 0u64..1 << 33, later in 0u64..6 * 86_400) {
            let policy = Policy::default();
            let validity = policy.validity(b"\x01a\x00", 1, now);
            let due = policy.due_at(validity, now + later.min(5 * 86_400));
            prop_assert!(policy.is_due(validity, due) && !policy.is_due(validity, due - 1));
            prop_assert_eq!(validity.at(due), Standing::Holds(policy.refresh_secs));
        }

        #[test]
        fn what_was_just_made_is_of_no_pass(spare in 1u32..10_000, refresh in 1u32..10_000, jitter in 0u32..10_000) {
            let policy = Policy {
                signature_secs: refresh + jitter + spare,
                refresh_secs: refresh,
                jitter_secs: jitter,
                ttls: Ttls { dnskey_secs: 0, zone_secs: 0, ds_secs: 0 },
                propagation_secs: 0,
                ..Policy::default()
            };
            prop_assert_eq!(policy.check(), Ok(()));
            let validity = policy.validity(b"\x01a\x00", 1, 1_800_000_000);
            prop_assert!(!policy.is_of_pass(validity, 1_800_000_000));
        }

        #[test]
        fn a_fresh_signature_always_holds(owner in prop::collection::vec(any::<u8>(), 0..20), now in 0u64..1 << 33) {
            let policy = Policy::default();
            match policy.validity(&owner, 1, now).at(now) {
                Standing::Holds(left) => prop_assert!((13 * DAY..=15 * DAY).contains(&left)),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
