//! Signatures for what is compiled: those there are, as long as they hold well, and new ones where they do not.
//!
//! Keys, policy and time are given; what is made is handed back to be kept, so that compiling again signs what is due alone.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use ring::digest::{Context, SHA256};

use crate::config::model::OwnerName;
use crate::dnssec::key::{KeyError, SigningKey};
use crate::dnssec::keyset::KeySet;
use crate::dnssec::policy::Policy;
use crate::dnssec::rrsig::{Standing, Validity, sign_rrset};
use crate::wire::message::Rtype;

/// What tells one signature from all others: a hash over the key and all that is signed, times left out.
type Digest = [u8; 32];

/// A signature with its times.
#[derive(Clone, Debug)]
struct Made {
    rdata: Box<[u8]>,
    validity: Validity,
}

/// The signatures of a zone.
#[derive(Clone, Debug, Default)]
pub struct Signatures(HashMap<Digest, Made>);

/// What a zone is signed with.
#[derive(Debug)]
pub struct ZoneSigning {
    /// What is published, and who signs.
    pub keys: KeySet,
    /// For how long.
    pub policy: Policy,
    /// Seconds of the Unix epoch.
    pub now: u64,
    /// Whether new signatures may be made.
    pub may_sign: bool,
    /// Those of the last time.
    pub known: Signatures,
    used: RefCell<Signatures>,
    made: Cell<u64>,
    next_due: Cell<u64>,
    first_end: Cell<u64>,
    failure: RefCell<Option<SigningError>>,
}

/// Why a zone could not be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// The system gave no random number, or the key is of no use.
    #[error("signing fails: {0}")]
    Key(#[from] KeyError),
    /// The clock went back, so that new signatures would expire too soon.
    #[error(
        "something new must be signed, but the clock is behind what it was (steerd dnssec rollover --accept-clock)"
    )]
    MayNotSign,
    /// More signatures than a message has room for.
    #[error("an RRset has more signatures than fit beside it")]
    TooLarge,
    /// Two names that NSEC3 cannot tell apart.
    #[error("two names have the same SHA-1 hash, which NSEC3 cannot prove anything with: set `denial: nsec`")]
    SameHash,
    /// No name below the apex has room for a hash.
    #[error("the apex leaves no room for the hashes of NSEC3: set `denial: nsec`")]
    ApexTooLong,
}

/// What signing a zone came to.
#[derive(Debug)]
pub struct Signed {
    /// The signatures, for the next time.
    pub signatures: Signatures,
    /// How many of them are new.
    pub made: u64,
    /// When the first of them should be made again, in seconds of the Unix epoch.
    pub next_due: u64,
    /// When the first of them ends.
    pub first_end: u64,
    /// Why the zone is not fit to be served, if it is not.
    pub failure: Option<SigningError>,
    /// The revision of the keys that is in it.
    pub revision: u64,
}

/// What the zones of a configuration are signed with. A zone that should be signed and is not in here is not served at all.
#[derive(Debug, Default)]
pub struct Signing {
    zones: HashMap<OwnerName, ZoneSigning>,
}

impl Signing {
    /// Signs a zone.
    pub fn add(&mut self, apex: OwnerName, zone: ZoneSigning) {
        self.zones.insert(apex, zone);
    }

    /// What a zone is signed with.
    pub(super) fn of(&self, apex: &OwnerName) -> Option<&ZoneSigning> {
        self.zones.get(apex)
    }

    /// Leaves out a zone that could not be signed.
    pub fn remove(&mut self, apex: &OwnerName) {
        self.zones.remove(apex);
    }

    /// Zones whose signing has failed, each with the reason.
    pub fn failures(&self) -> Vec<(OwnerName, SigningError)> {
        let failed =
            |(apex, zone): (&OwnerName, &ZoneSigning)| Some((apex.clone(), zone.failure.borrow().clone()?));
        self.zones.iter().filter_map(failed).collect()
    }

    /// What signing came to.
    pub fn finish(self) -> impl Iterator<Item = (OwnerName, Signed)> {
        self.zones.into_iter().map(|(apex, zone)| {
            let signed = Signed {
                signatures: zone.used.into_inner(),
                made: zone.made.get(),
                next_due: zone.next_due.get(),
                first_end: zone.first_end.get(),
                failure: zone.failure.into_inner(),
                revision: zone.keys.revision,
            };
            (apex, signed)
        })
    }
}

impl ZoneSigning {
    /// Nothing is signed yet.
    pub fn new(keys: KeySet, policy: Policy, now: u64, may_sign: bool, known: Signatures) -> ZoneSigning {
        ZoneSigning {
            keys,
            policy,
            now,
            may_sign,
            known,
            used: RefCell::default(),
            made: Cell::new(0),
            next_due: Cell::new(u64::MAX),
            first_end: Cell::new(u64::MAX),
            failure: RefCell::new(None),
        }
    }

    /// RRSIG data over an RRset, one for each key that signs its type. `records` are canonical, sorted and unique.
    pub(super) fn sign(
        &self,
        apex: &[u8],
        owner: &[u8],
        rtype: Rtype,
        ttl_secs: u32,
        records: &[Vec<u8>],
    ) -> Vec<Box<[u8]>> {
        let signers = self.keys.signers(rtype.0);
        signers.iter().filter_map(|key| self.sign_with(key, apex, owner, rtype, ttl_secs, records)).collect()
    }

    fn sign_with(
        &self,
        key: &SigningKey,
        apex: &[u8],
        owner: &[u8],
        rtype: Rtype,
        ttl_secs: u32,
        records: &[Vec<u8>],
    ) -> Option<Box<[u8]>> {
        let digest = digest_of(key, owner, rtype, ttl_secs, records);
        let reusable = |made: &&Made| {
            let holds = matches!(made.validity.at(self.now), Standing::Holds(_));
            holds && !(self.may_sign && self.policy.is_due(made.validity, self.now))
        };
        let known = self.known.0.get(&digest).filter(reusable).cloned();
        let made = match known {
            Some(made) => made,
            None if !self.may_sign => {
                self.failure.borrow_mut().get_or_insert(SigningError::MayNotSign);
                return None;
            }
            None => {
                let validity = self.policy.validity(owner, rtype.0, self.now);
                match sign_rrset(key, apex, owner, rtype.0, ttl_secs, records, validity) {
                    Ok(rdata) => {
                        self.made.set(self.made.get() + 1);
                        Made { rdata: rdata.into(), validity }
                    }
                    Err(error) => {
                        self.failure.borrow_mut().get_or_insert(error.into());
                        return None;
                    }
                }
            }
        };
        // Times of a signature are 32 bits of a circle; what holds ends within half of it.
        let left = u64::from(made.validity.expiration.wrapping_sub(self.now as u32));
        self.first_end.set(self.first_end.get().min(self.now + left));
        let due = (self.now + left).saturating_sub(u64::from(self.policy.refresh_secs));
        self.next_due.set(self.next_due.get().min(due));
        let rdata = made.rdata.clone();
        self.used.borrow_mut().0.insert(digest, made);
        Some(rdata)
    }

    /// Notes that a signature found no room.
    pub(super) fn fail(&self, error: SigningError) {
        self.failure.borrow_mut().get_or_insert(error);
    }
}

fn digest_of(key: &SigningKey, owner: &[u8], rtype: Rtype, ttl_secs: u32, records: &[Vec<u8>]) -> Digest {
    let mut context = Context::new(&SHA256);
    context.update(&key.dnskey_rdata());
    context.update(owner);
    context.update(&rtype.0.to_be_bytes());
    context.update(&ttl_secs.to_be_bytes());
    for rdata in records {
        context.update(&(rdata.len() as u16).to_be_bytes());
        context.update(rdata);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}
