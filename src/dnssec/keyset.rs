//! What the keys of a zone publish and sign now: the DNSKEY, CDS and CDNSKEY RRsets, and who signs what.
//!
//! # Invariants
//! A `KeySet` always has somebody who signs the zone and somebody who signs the keys, and whom validators may trust. Where
//! there is nobody, there is an error: the caller keeps the signatures it has until they expire, and then serves nothing.

use std::sync::Arc;

use super::canonical::canonical_records;
use super::key::{KeyId, SigningKey};
use super::rollover::{KeyState, KskStage, State, ZskStage};
use super::rtype;

/// The RRsets the keys make, and the keys that sign.
#[derive(Clone, Debug)]
pub struct KeySet {
    /// The revision of the state, for `State::served` once this is served.
    pub revision: u64,
    /// TTL of the three RRsets.
    pub ttl_secs: u32,
    /// DNSKEY data, canonical.
    pub dnskey: Vec<Vec<u8>>,
    /// CDS data, canonical; none while no DS is wanted.
    pub cds: Vec<Vec<u8>>,
    /// CDNSKEY data, canonical; none while no DS is wanted.
    pub cdnskey: Vec<Vec<u8>>,
    key_signers: Vec<Arc<SigningKey>>,
    zone_signers: Vec<Arc<SigningKey>>,
}

/// Why there is nobody to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// The private half of a key that the zone stands on.
    #[error("the private key of {0} is missing or unusable, and it signs the {1}")]
    Missing(KeyId, &'static str),
    /// The state names nobody.
    #[error("no key signs the {0}")]
    Nobody(&'static str),
}

impl KeySet {
    /// The key set of a state, with the private keys there are.
    ///
    /// # Errors
    /// [`KeySetError`]; a missing key that nothing stands on yet, or no longer, is no error.
    pub fn new(state: &State, keys: &[Arc<SigningKey>]) -> Result<KeySet, KeySetError> {
        let find = |key: &KeyState| keys.iter().find(|k| *k.public() == key.public).cloned();
        let published: Vec<&KeyState> = state.keys.iter().filter(|key| key.is_published()).collect();
        // Those that validators may stand on; a newcomer or one that leaves signs the keys besides.
        let trusted = |key: &KeyState| matches!(key.ksk_stage(), KskStage::Active | KskStage::Submitted);
        let has_trusted = published.iter().any(|key| trusted(key));
        let mut key_signers = Vec::new();
        for key in published.iter().filter(|key| key.ksk_stage() != KskStage::Removed) {
            match find(key) {
                Some(signer) => key_signers.push(signer),
                None if trusted(key) || !has_trusted => return Err(KeySetError::Missing(key.id(), "keys")),
                None => {}
            }
        }
        let is_active = |key: &KeyState| key.zsk_stage() == ZskStage::Active;
        // Without an active ZSK (keys imported at the end of their time) the retired one goes on.
        let has_active = published.iter().any(|key| is_active(key));
        let signs = |key: &KeyState| {
            if has_active { is_active(key) } else { key.zsk_stage() == ZskStage::Retired }
        };
        let mut zone_signers = Vec::new();
        for key in published.iter().filter(|key| signs(key)) {
            zone_signers.push(find(key).ok_or(KeySetError::Missing(key.id(), "zone"))?);
        }
        if key_signers.is_empty() {
            return Err(KeySetError::Nobody("keys"));
        }
        if zone_signers.is_empty() {
            return Err(KeySetError::Nobody("zone"));
        }
        let dnskey: Vec<Vec<u8>> = published.iter().map(|key| key.public.dnskey_rdata()).collect();
        let (cds, cdnskey) = child_records(state);
        Ok(KeySet {
            revision: state.revision,
            ttl_secs: state.policy.ttls.dnskey_secs,
            dnskey: canonical_records(rtype::DNSKEY, dnskey.iter().map(Vec::as_slice)),
            cds: canonical_records(rtype::CDS, cds.iter().map(Vec::as_slice)),
            cdnskey: canonical_records(rtype::CDNSKEY, cdnskey.iter().map(Vec::as_slice)),
            key_signers,
            zone_signers,
        })
    }

    /// Whether what is published and who signs is the same.
    pub fn is_same(&self, other: &KeySet) -> bool {
        let publics =
            |keys: &[Arc<SigningKey>]| -> Vec<_> { keys.iter().map(|key| key.public().clone()).collect() };
        (self.revision, self.ttl_secs) == (other.revision, other.ttl_secs)
            && (&self.dnskey, &self.cds, &self.cdnskey) == (&other.dnskey, &other.cds, &other.cdnskey)
            && publics(&self.key_signers) == publics(&other.key_signers)
            && publics(&self.zone_signers) == publics(&other.zone_signers)
    }

    /// Who signs an RRset of this type: the KSKs DNSKEY, CDS and CDNSKEY, the ZSK all else.
    pub fn signers(&self, of: u16) -> &[Arc<SigningKey>] {
        match of {
            rtype::DNSKEY | rtype::CDS | rtype::CDNSKEY => &self.key_signers,
            _ => &self.zone_signers,
        }
    }
}

/// CDS and CDNSKEY data (RFC 7344): what the DS RRset should be. In a rollover, both keys.
fn child_records(state: &State) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    if state.policy.is_ds_withdrawn {
        // RFC 8078 §4: "CDS 0 0 0 0" with one zero octet of digest; CDNSKEY "0 3 0 0".
        return (vec![vec![0; 5]], vec![vec![0, 0, 3, 0, 0]]);
    }
    let is_wanted =
        |key: &&KeyState| matches!(key.ksk_stage(), KskStage::Ready | KskStage::Submitted | KskStage::Active);
    let wanted = || state.keys.iter().filter(is_wanted);
    let digests = &state.policy.digests;
    let cds = wanted().flat_map(|key| digests.iter().map(|&digest| key.public.ds_rdata(&state.zone, digest)));
    (cds.collect(), wanted().map(|key| key.public.dnskey_rdata()).collect())
}
