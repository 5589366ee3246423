//! The signatures of a zone from pass to pass, found by what they sign.
//!
//! Knows no key and no time. A pass marks what it uses: one that goes live forgets all else, one that fails keeps also what
//! is served, so at most two versions of a zone are ever held.

use std::collections::HashMap;

use crate::dnssec::key::SIGNATURE_OCTETS;
use crate::dnssec::rrsig::Validity;
use crate::dnssec::sigfile::Entry;

/// What tells one signature from all others: a hash over the key and all that is signed, times left out.
pub type Digest = [u8; 32];

/// A signature with its times; the rest of its record is what is signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    pub(super) validity: Validity,
    pub(super) signature: [u8; SIGNATURE_OCTETS],
}

/// A signature, and who has use for it.
#[derive(Clone, Copy, Debug)]
struct Kept {
    made: Made,
    /// It is in what is served.
    is_served: bool,
    /// It is in what is being compiled.
    is_used: bool,
}

/// The signatures of a zone.
#[derive(Clone, Debug, Default)]
pub struct Signatures(HashMap<Digest, Kept>);

impl Signatures {
    /// What was kept of another time.
    pub fn from_entries(entries: impl IntoIterator<Item = Entry>) -> Signatures {
        let kept = entries.into_iter().map(|Entry { digest, validity, signature }| {
            (digest, Kept { made: Made { validity, signature }, is_served: true, is_used: false })
        });
        Signatures(kept.collect())
    }

    /// All of them, to be kept.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = Entry> {
        self.0.iter().map(|(digest, Kept { made: Made { validity, signature }, .. })| Entry {
            digest: *digest,
            validity: *validity,
            signature: *signature,
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one over these data, if it can be used in this pass.
    pub(super) fn find(&mut self, digest: &Digest, is_usable: impl Fn(Validity) -> bool) -> Option<Made> {
        let kept = self.0.get_mut(digest).filter(|kept| is_usable(kept.made.validity))?;
        kept.is_used = true;
        Some(kept.made)
    }

    pub(super) fn insert(&mut self, digest: Digest, made: Made) {
        let is_served = self.0.get(&digest).is_some_and(|before| before.is_served);
        self.0.insert(digest, Kept { made, is_served, is_used: true });
    }

    /// This pass is served: what it did not use is forgotten.
    pub(super) fn end_served(&mut self) {
        self.end(|kept| {
            kept.is_served = kept.is_used;
            kept.is_used
        });
    }

    /// This pass is not served, but another one may want what it has made.
    pub(super) fn end_unserved(&mut self) {
        self.end(|kept| kept.is_served || kept.is_used);
    }

    fn end(&mut self, is_kept: impl Fn(&mut Kept) -> bool) {
        self.0.retain(|_, kept| {
            let stays = is_kept(kept);
            kept.is_used = false;
            stays
        });
        if self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to_fit();
        }
    }
}
