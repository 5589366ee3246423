//! Key pairs: algorithms 13 (ECDSA P-256, RFC 6605) and 15 (Ed25519, RFC 8080), key tags, DNSKEY and DS data (RFC 4034).
//!
//! A `SigningKey` exists only if its private half belongs to its public one. No private octet is ever in a `Debug` text.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use ring::{digest, error::Unspecified, hmac};

use crate::wire::name::Name;

/// Octets of the private key, for both algorithms.
pub const PRIVATE_KEY_OCTETS: usize = 32;
/// Octets of a signature, for both algorithms.
pub const SIGNATURE_OCTETS: usize = 64;
/// DNSKEY flag: the key is one of the zone (RFC 4034 §2.1.1).
const FLAG_ZONE: u16 = 0x0100;
/// DNSKEY flag: secure entry point, a key whose DS the parent has (RFC 4034 §2.1.1).
const FLAG_SEP: u16 = 0x0001;
/// The only protocol value (RFC 4034 §2.1.2).
const PROTOCOL: u8 = 3;
/// Octets of DNSKEY data before the public key.
const DNSKEY_HEAD: usize = 4;

/// A signing algorithm (RFC 8624 recommends these two).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// Number 13, RFC 6605.
    EcdsaP256Sha256,
    /// Number 15, RFC 8080.
    Ed25519,
}

impl Algorithm {
    /// The algorithm of a number.
    pub fn from_number(number: u8) -> Option<Algorithm> {
        match number {
            13 => Some(Algorithm::EcdsaP256Sha256),
            15 => Some(Algorithm::Ed25519),
            _ => None,
        }
    }

    /// The number in records.
    pub fn number(self) -> u8 {
        match self {
            Algorithm::EcdsaP256Sha256 => 13,
            Algorithm::Ed25519 => 15,
        }
    }

    /// The name in the IANA registry.
    pub fn mnemonic(self) -> &'static str {
        match self {
            Algorithm::EcdsaP256Sha256 => "ECDSAP256SHA256",
            Algorithm::Ed25519 => "ED25519",
        }
    }

    /// Octets of a public key in a DNSKEY record.
    pub fn public_key_octets(self) -> usize {
        match self {
            Algorithm::EcdsaP256Sha256 => 64,
            Algorithm::Ed25519 => 32,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mnemonic())
    }
}

/// The digest of a DS record. SHA-1 is never made (RFC 8624 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// Number 2, RFC 4509.
    Sha256,
    /// Number 4, RFC 6605.
    Sha384,
}

impl Digest {
    /// The number in records.
    pub fn number(self) -> u8 {
        match self {
            Digest::Sha256 => 2,
            Digest::Sha384 => 4,
        }
    }
}

/// What tells the keys of a zone apart. Two keys of one store never share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The key tag (RFC 4034 appendix B).
    pub tag: u16,
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.tag, self.algorithm)
    }
}

/// Why octets are no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The system gave no random octets, or the library refused to make a key.
    #[error("the system gave no key")]
    Generate,
    /// An algorithm other than 13 and 15.
    #[error("algorithm {0} is not supported (13, ECDSAP256SHA256, and 15, ED25519, are)")]
    Algorithm(u8),
    /// Flags other than 256 and 257.
    #[error("flags {0} are not those of a zone's key (256 or 257; a revoked key cannot be used)")]
    Flags(u16),
    /// A protocol other than 3.
    #[error("protocol {0} is not 3")]
    Protocol(u8),
    /// Too few or too many octets.
    #[error("a public key of {found} octets (the algorithm has {expected})")]
    PublicKeyLength {
        /// What there is.
        found: usize,
        /// What the algorithm has.
        expected: usize,
    },
    /// A private key is 32 octets for both algorithms.
    #[error("a private key of {0} octets (32 are needed)")]
    PrivateKeyLength(usize),
    /// The halves are not of one key.
    #[error("the private key does not belong to the public key")]
    Mismatch,
}

/// The public half, with the flags of its DNSKEY record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    is_ksk: bool,
    octets: Vec<u8>,
    /// Computed once; every signature names it.
    tag: u16,
}

impl PublicKey {
    /// Takes DNSKEY data apart.
    ///
    /// # Errors
    /// [`KeyError`] for what is not a key of ours.
    pub fn from_rdata(rdata: &[u8]) -> Result<PublicKey, KeyError> {
        let &[flags_high, flags_low, protocol, algorithm, ref octets @ ..] = rdata else {
            return Err(KeyError::PublicKeyLength { found: 0, expected: PRIVATE_KEY_OCTETS });
        };
        let flags = u16::from_be_bytes([flags_high, flags_low]);
        if protocol != PROTOCOL {
            return Err(KeyError::Protocol(protocol));
        }
        let algorithm = Algorithm::from_number(algorithm).ok_or(KeyError::Algorithm(algorithm))?;
        if flags & !FLAG_SEP != FLAG_ZONE {
            return Err(KeyError::Flags(flags));
        }
        PublicKey::new(algorithm, flags & FLAG_SEP != 0, octets)
    }

    /// A public key of an algorithm.
    ///
    /// # Errors
    /// [`KeyError::PublicKeyLength`].
    pub fn new(algorithm: Algorithm, is_ksk: bool, octets: &[u8]) -> Result<PublicKey, KeyError> {
        let expected = algorithm.public_key_octets();
        if octets.len() != expected {
            return Err(KeyError::PublicKeyLength { found: octets.len(), expected });
        }
        let mut key = PublicKey { algorithm, is_ksk, octets: octets.to_vec(), tag: 0 };
        key.tag = key_tag(&key.dnskey_rdata());
        Ok(key)
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether the flags say secure entry point (257), as those of a KSK and of a combined key do.
    pub fn is_ksk(&self) -> bool {
        self.is_ksk
    }

    /// The flags of the DNSKEY record: 256 or 257.
    pub fn flags(&self) -> u16 {
        if self.is_ksk { FLAG_ZONE | FLAG_SEP } else { FLAG_ZONE }
    }

    /// The key itself, as it stands in a DNSKEY record.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// The data of the DNSKEY (and CDNSKEY) record.
    pub fn dnskey_rdata(&self) -> Vec<u8> {
        let mut rdata = Vec::with_capacity(DNSKEY_HEAD + self.octets.len());
        rdata.extend_from_slice(&self.flags().to_be_bytes());
        rdata.extend_from_slice(&[PROTOCOL, self.algorithm.number()]);
        rdata.extend_from_slice(&self.octets);
        rdata
    }

    /// The key tag.
    pub fn tag(&self) -> u16 {
        self.tag
    }

    /// What tells this key from the others of its zone.
    pub fn id(&self) -> KeyId {
        KeyId { algorithm: self.algorithm, tag: self.tag }
    }

    /// The data of the DS (and CDS) record (RFC 4034 §5.1); `owner` is the apex in lower-case wire form.
    pub fn ds_rdata(&self, owner: &[u8], kind: Digest) -> Vec<u8> {
        let dnskey = self.dnskey_rdata();
        let algorithm = match kind {
            Digest::Sha256 => &digest::SHA256,
            Digest::Sha384 => &digest::SHA384,
        };
        let mut context = digest::Context::new(algorithm);
        context.update(&owner.to_ascii_lowercase());
        context.update(&dnskey);
        let value = context.finish();
        let mut rdata = self.tag.to_be_bytes().to_vec();
        rdata.extend_from_slice(&[self.algorithm.number(), kind.number()]);
        rdata.extend_from_slice(value.as_ref());
        rdata
    }

    /// The DS record as parents take it; `owner` is the apex.
    pub fn ds_text(&self, owner: &Name, kind: Digest) -> String {
        let rdata = self.ds_rdata(owner.as_wire(), kind);
        let hex: String = rdata.iter().skip(4).map(|octet| format!("{octet:02X}")).collect();
        format!("{owner} IN DS {} {} {} {hex}", self.tag(), self.algorithm().number(), kind.number())
    }

    /// Whether a signature over `data` is this key's.
    pub fn verifies(&self, data: &[u8], signature: &[u8]) -> bool {
        let verdict: Result<(), Unspecified> = match self.algorithm {
            Algorithm::EcdsaP256Sha256 => {
                let key =
                    signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, self.point());
                key.verify(data, signature)
            }
            Algorithm::Ed25519 => {
                signature::UnparsedPublicKey::new(&signature::ED25519, &self.octets).verify(data, signature)
            }
        };
        verdict.is_ok()
    }

    /// An uncompressed point as SEC 1 writes it; RFC 6605 §4 leaves the first octet out.
    fn point(&self) -> Vec<u8> {
        [&[4], self.octets.as_slice()].concat()
    }
}

/// The tag of DNSKEY data (RFC 4034 appendix B).
pub fn key_tag(dnskey_rdata: &[u8]) -> u16 {
    let sum: u32 = dnskey_rdata
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .fold(0, u32::wrapping_add);
    (sum.wrapping_add(sum >> 16) & 0xFFFF) as u16
}

/// The two private forms ring has.
enum Pair {
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// A key that signs.
pub struct SigningKey {
    public: PublicKey,
    pair: Pair,
    /// As the key file holds it; ring does not give it back.
    private: [u8; PRIVATE_KEY_OCTETS],
    /// Nonces of ECDSA.
    random: SystemRandom,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, flags {})", self.public.id(), self.public.flags())
    }
}

impl SigningKey {
    /// Makes a new key; `is_ksk` sets flags 257 (a KSK or a combined key), else 256.
    ///
    /// # Errors
    /// [`KeyError::Generate`] when there is no randomness.
    pub fn generate(
        algorithm: Algorithm,
        is_ksk: bool,
        random: &dyn SecureRandom,
    ) -> Result<SigningKey, KeyError> {
        let mut private = [0; PRIVATE_KEY_OCTETS];
        match algorithm {
            Algorithm::EcdsaP256Sha256 => {
                let document =
                    EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, random)
                        .map_err(|_| KeyError::Generate)?;
                // RFC 5958 with RFC 5915 inside, all lengths fixed: the scalar at 36, the point's x and y at 74.
                let octets = document.as_ref();
                let (scalar, point) = (octets.get(36..68), octets.get(74..138));
                let (Some(scalar), Some(point)) = (scalar, point) else { return Err(KeyError::Generate) };
                private.copy_from_slice(scalar);
                SigningKey::new(PublicKey::new(algorithm, is_ksk, point)?, &private)
            }
            Algorithm::Ed25519 => {
                random.fill(&mut private).map_err(|_| KeyError::Generate)?;
                let pair = Ed25519KeyPair::from_seed_unchecked(&private).map_err(|_| KeyError::Generate)?;
                SigningKey::new(PublicKey::new(algorithm, is_ksk, pair.public_key().as_ref())?, &private)
            }
        }
    }

    /// Joins the two halves of a key.
    ///
    /// # Errors
    /// [`KeyError::Mismatch`] when they are not of one key, [`KeyError::PrivateKeyLength`].
    pub fn new(public: PublicKey, private: &[u8]) -> Result<SigningKey, KeyError> {
        let length = KeyError::PrivateKeyLength(private.len());
        let private: [u8; PRIVATE_KEY_OCTETS] = private.try_into().map_err(|_| length)?;
        let random = SystemRandom::new();
        let pair = match public.algorithm {
            Algorithm::EcdsaP256Sha256 => {
                let pair = EcdsaKeyPair::from_private_key_and_public_key(
                    &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
                    &private,
                    &public.point(),
                    &random,
                );
                Pair::Ecdsa(Box::new(pair.map_err(|_| KeyError::Mismatch)?))
            }
            Algorithm::Ed25519 => {
                let pair = Ed25519KeyPair::from_seed_and_public_key(&private, &public.octets);
                Pair::Ed25519(Box::new(pair.map_err(|_| KeyError::Mismatch)?))
            }
        };
        Ok(SigningKey { public, pair, private, random })
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The key tag.
    pub fn tag(&self) -> u16 {
        self.public.tag()
    }

    /// The data of the DNSKEY record.
    pub fn dnskey_rdata(&self) -> Vec<u8> {
        self.public.dnskey_rdata()
    }

    /// The data of the DS record.
    pub fn ds_rdata(&self, owner: &[u8], kind: Digest) -> Vec<u8> {
        self.public.ds_rdata(owner, kind)
    }

    /// Appends the signature over `data`, 64 octets.
    ///
    /// # Errors
    /// [`KeyError::Generate`] when the system gives no nonce; nothing is appended then.
    pub fn sign(&self, data: &[u8], signature: &mut Vec<u8>) -> Result<(), KeyError> {
        match &self.pair {
            Pair::Ecdsa(pair) => {
                let made = pair.sign(&self.random, data).map_err(|_| KeyError::Generate)?;
                signature.extend_from_slice(made.as_ref());
            }
            Pair::Ed25519(pair) => signature.extend_from_slice(pair.sign(data).as_ref()),
        }
        Ok(())
    }

    /// A key for message authentication codes that only who has the private key can have; `purpose` tells uses apart.
    pub(in crate::dnssec) fn mac_key(&self, purpose: &[u8]) -> hmac::Key {
        let root = hmac::Key::new(hmac::HMAC_SHA256, &self.private);
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, purpose).as_ref())
    }

    /// The private octets, for the key file alone.
    pub(in crate::dnssec) fn private(&self) -> &[u8; PRIVATE_KEY_OCTETS] {
        &self.private
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let pair = |p: &[u8]| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    /// RFC 6605 §6.1.
    const RFC6605_PUBLIC: &str =
        "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==";
    const RFC6605_PRIVATE: &str = "GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=";

    #[test]
    fn rfc_6605_section_6_1_tag_and_ds() {
        let public =
            PublicKey::new(Algorithm::EcdsaP256Sha256, true, &STANDARD.decode(RFC6605_PUBLIC).unwrap())
                .unwrap();
        assert_eq!((public.tag(), public.flags()), (55648, 257));
        let ds = public.ds_rdata(b"\x07example\x03net\x00", Digest::Sha256);
        let expected = hex("d960 0d02 b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17");
        assert_eq!(ds, expected);
        let private = STANDARD.decode(RFC6605_PRIVATE).unwrap();
        let key = SigningKey::new(public, &private).unwrap();
        let mut signature = Vec::new();
        key.sign(b"data", &mut signature).unwrap();
        assert!(key.public().verifies(b"data", &signature) && !key.public().verifies(b"datb", &signature));
    }

    #[test]
    fn rfc_4034_section_5_4_and_rfc_4509_section_2_3_digests_are_over_owner_and_dnskey() {
        // The key is RSA, so only the arithmetic is tested: tag and digest of any DNSKEY data.
        let key = "AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZDRD99WYwYqUSdjMmmAphXdvx\
                   egXd/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9XzcnOf+EPbtG9DMBmADjFDc2w/rljwvFw==";
        let rdata = [&[1, 0, 3, 5][..], &STANDARD.decode(key).unwrap()].concat();
        assert_eq!(key_tag(&rdata), 60485);
        let owner = b"\x05dskey\x07example\x03com\x00";
        let sha256 = digest::digest(&digest::SHA256, &[&owner[..], &rdata].concat());
        assert_eq!(sha256.as_ref(), hex("D4B7D520E7BB5F0F67674A0CCEB1E3E0614B93C4F9E99B8383F6A1E4469DA50A"));
    }

    #[test]
    fn generated_keys_sign_and_survive_being_taken_apart() {
        for algorithm in [Algorithm::EcdsaP256Sha256, Algorithm::Ed25519] {
            let key = SigningKey::generate(algorithm, true, &SystemRandom::new()).unwrap();
            let public = PublicKey::from_rdata(&key.dnskey_rdata()).unwrap();
            assert_eq!(&public, key.public());
            let again = SigningKey::new(public, key.private()).unwrap();
            let mut signature = Vec::new();
            again.sign(b"x", &mut signature).unwrap();
            assert_eq!(signature.len(), SIGNATURE_OCTETS);
            assert!(key.public().verifies(b"x", &signature));
            let other = SigningKey::generate(algorithm, true, &SystemRandom::new()).unwrap();
            assert_eq!(
                SigningKey::new(other.public().clone(), key.private()).unwrap_err(),
                KeyError::Mismatch
            );
            let debug = format!("{key:?}");
            assert!(debug.contains(&key.tag().to_string()) && debug.len() < 64, "{debug}");
        }
    }

    #[test]
    fn what_is_no_key_of_ours_is_refused_with_its_cause() {
        for (head, octets, error) in [
            ([1, 0, 3, 8], 64, KeyError::Algorithm(8)),
            ([1, 0, 4, 13], 64, KeyError::Protocol(4)),
            ([1, 129, 3, 13], 64, KeyError::Flags(0x181)),
            ([0, 0, 3, 13], 64, KeyError::Flags(0)),
            ([1, 0, 3, 13], 63, KeyError::PublicKeyLength { found: 63, expected: 64 }),
            ([1, 0, 3, 15], 64, KeyError::PublicKeyLength { found: 64, expected: 32 }),
        ] {
            let rdata = [&head[..], &vec![7; octets]].concat();
            assert_eq!(PublicKey::from_rdata(&rdata), Err(error));
        }
    }
}
