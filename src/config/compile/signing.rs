//! Signatures for what is compiled: those there are, as long as they hold well, and new ones where they do not.
//!
//! Keys, policy and time are given; what is made is handed back to be kept, so that compiling again signs what is due alone.
//! Few signatures are made where they are wanted. Where there are many, compiling gathers them, some threads make them, and
//! the configuration is compiled a second time, which finds them all: compiling is cheap beside signing.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use ring::digest::{Context, SHA256};

pub use super::signatures::Signatures;
use super::signatures::{Digest, Made};
use crate::config::model::OwnerName;
use crate::dnssec::key::{KeyError, SIGNATURE_OCTETS, SigningKey};
use crate::dnssec::keyset::KeySet;
use crate::dnssec::policy::Policy;
use crate::dnssec::rrsig::{Standing, Validity, rrsig_head, signed_data};
use crate::wire::message::Rtype;

/// A steered name whose answers of several addresses are to be signed as health moves.
#[derive(Clone, Debug)]
pub struct SteeredSets {
    /// The name, a wildcard among them, in lower-case wire form.
    pub name: Box<[u8]>,
    /// TTL of its answers in seconds.
    pub ttl_secs: u32,
    /// Index of its pool in the snapshot.
    pub pool: u32,
    /// Index of its signatures in the snapshot.
    pub signed: u32,
}

/// Signatures that are made one by one before the others are gathered: so many cost less than compiling again.
const MADE_AT_ONCE: u64 = 512;
/// Signatures gathered before they are made, some hundred octets each: enough for threads to be worth their start.
const MAX_GATHERED: usize = 65_536;

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
    /// Threads that sign. With one, nothing is gathered.
    threads: Cell<usize>,
    signatures: RefCell<Signatures>,
    gathered: RefCell<Vec<Job>>,
    /// Whether something was gathered, so that what was compiled lacks signatures.
    is_incomplete: Cell<bool>,
    made: Cell<u64>,
    next_due: Cell<u64>,
    first_end: Cell<u64>,
    failure: RefCell<Option<SigningError>>,
    sets: RefCell<Vec<SteeredSets>>,
    singles: Cell<usize>,
}

/// A signature to be made.
#[derive(Debug)]
struct Job {
    digest: Digest,
    key: Arc<SigningKey>,
    data: Vec<u8>,
    validity: Validity,
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
    /// The keys that are in it.
    pub keys: KeySet,
    /// Names whose answers of several addresses are still to be signed.
    pub sets: Vec<SteeredSets>,
    /// Names that are answered one address at a time, because there are too many sets of several.
    pub singles: usize,
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

    /// Forgets what another compile has noted.
    pub(super) fn begin(&self) {
        for zone in self.zones.values() {
            zone.sets.borrow_mut().clear();
            zone.singles.set(0);
        }
    }

    /// Makes what was gathered; true when there was anything, and the configuration is to be compiled again.
    pub(super) fn complete(&self) -> bool {
        let mut any = false;
        for zone in self.zones.values() {
            any |= zone.complete();
        }
        any
    }

    /// Leaves out a zone that could not be signed; its signatures, for another attempt.
    pub fn remove(&mut self, apex: &OwnerName) -> Option<Signatures> {
        self.zones.remove(apex).map(ZoneSigning::give_back)
    }

    /// Zones whose signing has failed, each with the reason.
    pub fn failures(&self) -> Vec<(OwnerName, SigningError)> {
        let failed =
            |(apex, zone): (&OwnerName, &ZoneSigning)| Some((apex.clone(), zone.failure.borrow().clone()?));
        self.zones.iter().filter_map(failed).collect()
    }

    /// What signing came to, once it is served: signatures that are not are forgotten.
    pub fn finish(self) -> impl Iterator<Item = (OwnerName, Signed)> {
        self.zones.into_iter().map(|(apex, zone)| {
            let mut signatures = zone.signatures.into_inner();
            signatures.end_served();
            let signed = Signed {
                signatures,
                made: zone.made.get(),
                next_due: zone.next_due.get(),
                first_end: zone.first_end.get(),
                failure: zone.failure.into_inner(),
                keys: zone.keys,
                // What may not be signed is answered with what is signed ahead.
                sets: if zone.may_sign { zone.sets.into_inner() } else { Vec::new() },
                singles: zone.singles.get(),
            };
            (apex, signed)
        })
    }

    /// The signatures of an attempt that is not served.
    pub fn give_back(self) -> impl Iterator<Item = (OwnerName, Signatures)> {
        self.zones.into_iter().map(|(apex, zone)| (apex, zone.give_back()))
    }
}

impl ZoneSigning {
    /// Nothing is signed yet; `known` are the signatures of the last time.
    pub fn new(keys: KeySet, policy: Policy, now: u64, may_sign: bool, known: Signatures) -> ZoneSigning {
        ZoneSigning {
            keys,
            policy,
            now,
            may_sign,
            threads: Cell::new(1),
            signatures: RefCell::new(known),
            gathered: RefCell::default(),
            is_incomplete: Cell::new(false),
            made: Cell::new(0),
            next_due: Cell::new(u64::MAX),
            first_end: Cell::new(u64::MAX),
            failure: RefCell::new(None),
            sets: RefCell::default(),
            singles: Cell::new(0),
        }
    }

    /// Notes a name whose sets of addresses are to be signed.
    pub(super) fn note_sets(&self, sets: SteeredSets) {
        self.sets.borrow_mut().push(sets);
    }

    /// Notes a name whose sets there is no room for.
    pub(super) fn note_single(&self) {
        self.singles.set(self.singles.get() + 1);
    }

    /// Signs with so many threads where there is much to sign.
    pub fn with_threads(self, threads: usize) -> ZoneSigning {
        self.threads.set(threads.max(1));
        self
    }

    fn give_back(self) -> Signatures {
        let mut signatures = self.signatures.into_inner();
        signatures.end_unserved();
        signatures
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
        key: &Arc<SigningKey>,
        apex: &[u8],
        owner: &[u8],
        rtype: Rtype,
        ttl_secs: u32,
        records: &[Vec<u8>],
    ) -> Option<Box<[u8]>> {
        let digest = digest_of(key, owner, rtype, ttl_secs, records);
        let is_reusable = |validity: Validity| {
            let holds = matches!(validity.at(self.now), Standing::Holds(_));
            holds && !(self.may_sign && self.policy.is_of_pass(validity, self.now))
        };
        let head = |validity| rrsig_head(key.public(), apex, owner, rtype.0, ttl_secs, validity);
        let known = self.signatures.borrow_mut().find(&digest, is_reusable);
        if let Some(made) = known {
            self.note(made.validity);
            return Some(whole(head(made.validity), &made.signature));
        }
        if !self.may_sign {
            self.failure.borrow_mut().get_or_insert(SigningError::MayNotSign);
            return None;
        }
        let validity = self.policy.validity(owner, rtype.0, self.now);
        let head = head(validity);
        let data = signed_data(&head, owner, rtype.0, ttl_secs, records);
        let job = Job { digest, key: key.clone(), data, validity };
        if self.threads.get() > 1 && self.made.get() >= MADE_AT_ONCE {
            // Something of the right length stands for it until it is compiled again.
            self.gather(job);
            return Some(whole(head, &[0; SIGNATURE_OCTETS]));
        }
        let signature = self.take(&job, job.sign())?;
        self.note(validity);
        Some(whole(head, &signature))
    }

    /// Notes when a signature that is served is due, and when it ends.
    fn note(&self, validity: Validity) {
        // Times of a signature are 32 bits of a circle; what holds ends within half of it.
        let left = u64::from(validity.expiration.wrapping_sub(self.now as u32));
        self.first_end.set(self.first_end.get().min(self.now + left));
        self.next_due.set(self.next_due.get().min(self.policy.due_at(validity, self.now)));
    }

    /// Keeps what came of a signature to be made.
    fn take(
        &self,
        job: &Job,
        signature: Result<[u8; SIGNATURE_OCTETS], KeyError>,
    ) -> Option<[u8; SIGNATURE_OCTETS]> {
        match signature {
            Ok(signature) => {
                self.made.set(self.made.get() + 1);
                self.signatures.borrow_mut().insert(job.digest, Made { validity: job.validity, signature });
                Some(signature)
            }
            Err(error) => {
                self.failure.borrow_mut().get_or_insert(error.into());
                None
            }
        }
    }

    fn gather(&self, job: Job) {
        self.is_incomplete.set(true);
        let is_full = {
            let mut gathered = self.gathered.borrow_mut();
            gathered.push(job);
            gathered.len() == MAX_GATHERED
        };
        if is_full {
            self.make_gathered();
        }
    }

    /// Makes what was gathered, each thread a part of it. The same comes of it whoever makes which part.
    fn make_gathered(&self) {
        let jobs = self.gathered.take();
        if jobs.is_empty() {
            return;
        }
        let parts: Vec<&[Job]> = jobs.chunks(jobs.len().div_ceil(self.threads.get())).collect();
        let sign_all = |part: &[Job]| part.iter().map(Job::sign).collect::<Vec<_>>();
        let made: Vec<Vec<_>> = std::thread::scope(|scope| {
            let threads: Vec<_> = parts
                .iter()
                .map(|part| {
                    std::thread::Builder::new().name("sign".into()).spawn_scoped(scope, || sign_all(part))
                })
                .collect();
            // Without a thread, or after its panic, the part is made here.
            let joined = threads.into_iter().zip(&parts).map(|(thread, part)| {
                thread.ok().and_then(|thread| thread.join().ok()).unwrap_or_else(|| sign_all(part))
            });
            joined.collect()
        });
        for (job, signature) in jobs.iter().zip(made.into_iter().flatten()) {
            self.take(job, signature);
        }
    }

    /// Makes what is still gathered; from now on each signature is made where it is wanted. True when compiling must be repeated.
    fn complete(&self) -> bool {
        self.make_gathered();
        self.threads.set(1);
        self.is_incomplete.take()
    }

    /// Notes that a signature found no room.
    pub(super) fn fail(&self, error: SigningError) {
        self.failure.borrow_mut().get_or_insert(error);
    }
}

impl Job {
    fn sign(&self) -> Result<[u8; SIGNATURE_OCTETS], KeyError> {
        let mut signature = Vec::with_capacity(SIGNATURE_OCTETS);
        self.key.sign(&self.data, &mut signature)?;
        signature.try_into().map_err(|_| KeyError::Generate)
    }
}

/// RRSIG data with its signature.
fn whole(mut head: Vec<u8>, signature: &[u8; SIGNATURE_OCTETS]) -> Box<[u8]> {
    head.extend_from_slice(signature);
    head.into()
}

/// What a signature of this key over an RRset is kept under.
pub fn digest_of(key: &SigningKey, owner: &[u8], rtype: Rtype, ttl_secs: u32, records: &[Vec<u8>]) -> Digest {
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

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;

    use super::*;
    use crate::dnssec::key::Algorithm;
    use crate::dnssec::keyfile::Times;
    use crate::dnssec::rollover::adopt::adopt;
    use crate::dnssec::rrsig::verify_rrset;

    const APEX: &[u8] = b"\x07example\x04test\x00";
    const START: u64 = 1_800_000_000;
    const DAY: u64 = 86_400;

    fn keys(algorithm: Algorithm) -> KeySet {
        let policy = Policy { algorithm, ..Policy::default() };
        let key = SigningKey::generate(algorithm, true, &SystemRandom::new()).unwrap();
        let times = Times::used_from(START);
        let state = adopt(APEX, &policy, &[(key.public().clone(), times)], START).unwrap();
        KeySet::new(&state, &[Arc::new(key)]).unwrap()
    }

    fn owner(n: u32) -> Vec<u8> {
        let label = format!("host{n}");
        [&[label.len() as u8], label.as_bytes(), APEX].concat()
    }

    /// Owners and data of so many RRsets.
    fn zone(count: u32) -> Vec<(Vec<u8>, [Vec<u8>; 1])> {
        (0..count).map(|n| (owner(n), [n.to_be_bytes().to_vec()])).collect()
    }

    /// Signs a zone as compiling does, twice where it has to be.
    fn sign_all(signing: &ZoneSigning, zone: &[(Vec<u8>, [Vec<u8>; 1])]) -> Vec<Box<[u8]>> {
        let once = || {
            let mut all = Vec::with_capacity(zone.len());
            for (owner, records) in zone {
                all.extend(signing.sign(APEX, owner, Rtype::A, 300, records));
            }
            all
        };
        let made = once();
        if signing.complete() { once() } else { made }
    }

    fn finish(signing: ZoneSigning) -> Signed {
        let mut all = Signing::default();
        all.add(OwnerName::new(&crate::wire::name::Name::from_wire(APEX).unwrap()), signing);
        all.finish().next().unwrap().1
    }

    #[test]
    fn in_sixty_days_passes_are_few_and_nothing_served_ever_has_less_than_its_rest() {
        const COUNT: u32 = 10_000;
        // Without optimization, ECDSA takes a third of the time of Ed25519.
        let keys = keys(Algorithm::EcdsaP256Sha256);
        let (policy, zone) = (Policy::default(), zone(COUNT));
        let (mut known, mut now, mut passes) = (Signatures::default(), START, Vec::new());
        let mut made = 0;
        while now < START + 60 * DAY {
            let signing = ZoneSigning::new(keys.clone(), policy.clone(), now, true, known);
            let rrsigs = sign_all(&signing, &zone);
            let signed = finish(signing);
            assert!(signed.made > 0, "a pass that makes nothing at {}", now - START);
            assert!(signed.next_due > now);
            // Until the next pass the shortest rest is what was promised, and not for want of a pass.
            let end = |rdata: &[u8]| Validity::of_rrsig(rdata).unwrap();
            let rests = rrsigs.iter().map(|rdata| match end(rdata).at(signed.next_due) {
                Standing::Holds(left) => left,
                other => panic!("{other:?}"),
            });
            assert_eq!(rests.min(), Some(policy.refresh_secs));
            (passes, made) = (passes.into_iter().chain([now]).collect(), made + signed.made);
            (known, now) = (signed.signatures, signed.next_due);
            assert_eq!(known.len(), COUNT as usize);
        }
        let a_day = |from: u64| passes.iter().filter(|at| (from..from + DAY).contains(at)).count();
        let most = passes.iter().map(|at| a_day(*at)).max().unwrap();
        eprintln!("{} passes in 60 days, at most {most} a day, {made} signatures made", passes.len());
        assert!(most <= 5, "{most} passes in a day");
        // Work done early is little: every week each of them is made once, and a twenty-eighth more.
        assert!(made <= u64::from(COUNT) * 10, "{made}");
    }

    #[test]
    fn threads_make_what_one_makes() {
        const COUNT: u32 = 3000;
        let (keys, policy, zone) = (keys(Algorithm::Ed25519), Policy::default(), zone(COUNT));
        let sign = |threads| {
            let known = Signatures::default();
            let signing =
                ZoneSigning::new(keys.clone(), policy.clone(), START, true, known).with_threads(threads);
            let rrsigs = sign_all(&signing, &zone);
            (rrsigs, finish(signing))
        };
        let (one, of_one) = sign(1);
        for threads in [2, 3, 64] {
            let (many, of_many) = sign(threads);
            // Ed25519 has no random part.
            assert!(one == many, "{threads} threads");
            assert_eq!((of_one.made, of_one.next_due), (of_many.made, of_many.next_due));
            assert_eq!((of_many.first_end, of_many.failure), (of_one.first_end, None));
        }
        let key = keys.signers(1)[0].public();
        for (rdata, n) in one.iter().zip(0u32..) {
            assert!(verify_rrset(key, &owner(n), 1, &[n.to_be_bytes()], rdata));
        }
    }

    #[test]
    fn what_is_not_served_is_given_back_with_what_is() {
        let keys = keys(Algorithm::Ed25519);
        let pass = |known, count| {
            let signing = ZoneSigning::new(keys.clone(), Policy::default(), START, true, known);
            sign_all(&signing, &zone(count));
            signing
        };
        let served = finish(pass(Signatures::default(), 10)).signatures;
        // Passes that fail keep what is served, and what the last one has made.
        let given = pass(served, 20).give_back();
        assert_eq!(given.len(), 20);
        let given = pass(given, 5).give_back();
        assert_eq!(given.len(), 10);
        let signed = finish(pass(given, 10));
        assert_eq!((signed.made, signed.signatures.len()), (0, 10));
        // On disk and back nothing is lost.
        let entries: Vec<_> = signed.signatures.entries().collect();
        let signed = finish(pass(Signatures::from_entries(entries), 10));
        assert_eq!(signed.made, 0);
    }

    #[test]
    fn without_leave_to_sign_nothing_is_made_however_many_threads() {
        let signing = ZoneSigning::new(
            keys(Algorithm::Ed25519),
            Policy::default(),
            START,
            false,
            Signatures::default(),
        );
        assert!(sign_all(&signing.with_threads(4), &zone(3)).is_empty());
    }
}
