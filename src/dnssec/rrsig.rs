//! Signatures over RRsets (RFC 4034 §3, §6): what is signed, the record that comes of it, and when it holds.
//!
//! Times are 32 bits with serial number arithmetic (RFC 4034 §3.1.5, RFC 1982), so 2038 and 2106 are days like others.

use super::canonical::rrsig_labels;
use super::key::{KeyError, PublicKey, SIGNATURE_OCTETS, SigningKey};
use crate::wire::name::uncompressed_len;

/// Octets of RRSIG data before the signer's name.
const RRSIG_HEAD: usize = 18;
/// Class IN.
const CLASS_IN: u16 = 1;

/// From when until when a signature holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub inception: u32,
    /// Not after.
    pub expiration: u32,
}

/// How a signature stands at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its inception lies ahead: the clock is wrong, or was.
    Ahead,
    /// It holds, for so many seconds more.
    Holds(u32),
    /// Its expiration is past: it must not be served.
    Expired,
}

/// Serial number arithmetic: how far `a` lies behind `b`, negative when before (RFC 1982 §3.2).
fn distance(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

impl Validity {
    /// How a signature with these times stands at `now`, seconds since 1970.
    pub fn at(self, now: u64) -> Standing {
        // The low 32 bits are the time on RFC 4034's circle.
        let now = now as u32;
        let left = distance(self.expiration, now);
        if distance(now, self.inception) < 0 {
            // On the circle "long expired" looks like "far ahead": whatever is past its end is expired.
            if left < 0 { Standing::Expired } else { Standing::Ahead }
        } else if left < 0 {
            Standing::Expired
        } else {
            Standing::Holds(left as u32)
        }
    }

    /// The times of RRSIG data; `None` when it is too short for them.
    pub fn of_rrsig(rdata: &[u8]) -> Option<Validity> {
        let expiration = u32::from_be_bytes(*rdata.get(8..)?.first_chunk()?);
        let inception = u32::from_be_bytes(*rdata.get(12..)?.first_chunk()?);
        Some(Validity { inception, expiration })
    }
}

/// Which of two signatures over the same data to serve at `now`: one that holds, the longest; else none, for an expired
/// one must not be served, and one whose inception lies ahead is refused by validators.
pub fn better(one: Validity, other: Validity, now: u64) -> Option<Validity> {
    match (one.at(now), other.at(now)) {
        (Standing::Holds(a), Standing::Holds(b)) => Some(if a >= b { one } else { other }),
        (Standing::Holds(_), _) => Some(one),
        (_, Standing::Holds(_)) => Some(other),
        _ => None,
    }
}

/// RRSIG data without the signature, and room for one (RFC 4034 §3.1): for `signed_data`, and to put a signature behind.
pub fn rrsig_head(
    key: &PublicKey,
    signer_apex: &[u8],
    owner: &[u8],
    rtype: u16,
    ttl: u32,
    validity: Validity,
) -> Vec<u8> {
    let mut head = Vec::with_capacity(RRSIG_HEAD + signer_apex.len() + SIGNATURE_OCTETS);
    head.extend_from_slice(&rtype.to_be_bytes());
    head.extend_from_slice(&[key.algorithm().number(), rrsig_labels(owner)]);
    for field in [ttl, validity.expiration, validity.inception] {
        head.extend_from_slice(&field.to_be_bytes());
    }
    head.extend_from_slice(&key.tag().to_be_bytes());
    head.extend_from_slice(signer_apex);
    head
}

/// What is signed (RFC 4034 §3.1.8.1): the RRSIG's data without signature, then the records.
pub fn signed_data(head: &[u8], owner: &[u8], rtype: u16, ttl: u32, records: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let octets: usize = records.iter().map(|rdata| rdata.as_ref().len() + owner.len() + 10).sum();
    let mut to = Vec::with_capacity(head.len() + octets);
    to.extend_from_slice(head);
    for rdata in records {
        let rdata = rdata.as_ref();
        to.extend_from_slice(owner);
        to.extend_from_slice(&rtype.to_be_bytes());
        to.extend_from_slice(&CLASS_IN.to_be_bytes());
        to.extend_from_slice(&ttl.to_be_bytes());
        // Rdata of a record cannot be longer than its length field.
        to.extend_from_slice(&(rdata.len() as u16).to_be_bytes());
        to.extend_from_slice(rdata);
    }
    to
}

/// RRSIG data for one RRset by one key.
///
/// `records` are as `canonical::canonical_records` makes them: canonical, sorted, each once. `owner` and `signer_apex` are
/// lower-case wire form; of what a wildcard makes, the owner is the wildcard itself (`*.x`), so that one signature serves
/// every name it stands for (RFC 4035 §5.3.2). `ttl` becomes the original TTL.
///
/// # Errors
/// [`KeyError::Generate`] when the system gives no nonce.
pub fn sign_rrset(
    key: &SigningKey,
    signer_apex: &[u8],
    owner: &[u8],
    rtype: u16,
    ttl: u32,
    records: &[impl AsRef<[u8]>],
    validity: Validity,
) -> Result<Vec<u8>, KeyError> {
    let mut rdata = rrsig_head(key.public(), signer_apex, owner, rtype, ttl, validity);
    let signed = signed_data(&rdata, owner, rtype, ttl, records);
    key.sign(&signed, &mut rdata)?;
    Ok(rdata)
}

/// Whether RRSIG data is this key's signature over the RRset; its times are not looked at.
pub fn verify_rrset(
    key: &PublicKey,
    owner: &[u8],
    rtype: u16,
    records: &[impl AsRef<[u8]>],
    rrsig: &[u8],
) -> bool {
    let Ok(signer_octets) = uncompressed_len(rrsig, RRSIG_HEAD) else { return false };
    let Some((head, signature)) = rrsig.split_at_checked(RRSIG_HEAD + signer_octets) else { return false };
    let Some(&ttl) = head[4..].first_chunk() else { return false };
    let signed = signed_data(head, owner, rtype, u32::from_be_bytes(ttl), records);
    head[..2] == rtype.to_be_bytes()
        && head[2] == key.algorithm().number()
        && head[3] == rrsig_labels(owner)
        && head[16..18] == key.tag().to_be_bytes()
        && key.verifies(&signed, signature)
}

#[cfg(test)]
mod tests {
    use super::super::key::Algorithm;
    use super::super::timestamp;
    use super::*;
    use crate::wire::name::Name;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;
    use ring::rand::SystemRandom;

    fn wire(text: &str) -> Vec<u8> {
        Name::from_text(text).unwrap().as_wire().to_vec()
    }

    fn key(algorithm: Algorithm, private: &str, public: &str) -> SigningKey {
        let public = PublicKey::new(algorithm, true, &STANDARD.decode(public).unwrap()).unwrap();
        SigningKey::new(public, &STANDARD.decode(private).unwrap()).unwrap()
    }

    fn validity(inception: &str, expiration: &str) -> Validity {
        let time = |text| timestamp::parse(text).unwrap() as u32;
        Validity { inception: time(inception), expiration: time(expiration) }
    }

    #[test]
    fn rfc_6605_section_6_1_signature_verifies_and_ours_looks_like_it() {
        let key = key(
            Algorithm::EcdsaP256Sha256,
            "GU6SnQ/Ou+xC5RumuIUIuJZteXT2z0O/ok1s38Et6mQ=",
            "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
        );
        let (apex, owner) = (wire("example.net"), wire("www.example.net"));
        let records = [[192, 0, 2, 1]];
        let times = validity("20100812100439", "20100909100439");
        let ours = sign_rrset(&key, &apex, &owner, 1, 3600, &records, times).unwrap();
        let signature =
            "qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw==";
        let split = ours.len() - SIGNATURE_OCTETS;
        let theirs = [&ours[..split], &STANDARD.decode(signature).unwrap()].concat();
        assert_eq!(&ours[16..18], 55648u16.to_be_bytes());
        assert!(verify_rrset(key.public(), &owner, 1, &records, &ours));
        assert!(verify_rrset(key.public(), &owner, 1, &records, &theirs));
        assert_eq!(Validity::of_rrsig(&ours), Some(times));
    }

    /// RFC 8080 §6.1, with the corrections of errata 4935: signatures over the MX of example.com.
    #[test]
    fn rfc_8080_section_6_1_signatures_come_out_octet_for_octet() {
        for (private, public, tag, signature) in [
            (
                "ODIyNjAzODQ2MjgwODAxMjI2NDUxOTAyMDQxNDIyNjI=",
                "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
                3613u16,
                "oL9krJun7xfBOIWcGHi7mag5/hdZrKWw15jPGrHpjQeRAvTdszaPD+QLs3fx8A4M3e23mRZ9VrbpMngwcrqNAg==",
            ),
            (
                "DSSF3o0s0f+ElWzj9E/Osxw8hLpk55chkmx0LYN5WiY=",
                "zPnZ/QwEe7S8C5SPz2OfS5RR40ATk2/rYnE9xHIEijs=",
                35217,
                "zXQ0bkYgQTEFyfLyi9QoiY6D8ZdYo4wyUhVioYZXFdT410QPRITQSqJSnzQoSm5poJ7gD7AQR0O7KuI5k2pcBg==",
            ),
        ] {
            let key = key(Algorithm::Ed25519, private, public);
            assert_eq!(key.tag(), tag);
            let (apex, records) = (wire("example.com"), [[&[0, 10][..], &wire("mail.example.com")].concat()]);
            let times = validity("20150729220000", "20150819220000");
            // The document writes the times as 1440021600 and 1438207200.
            assert_eq!((times.expiration, times.inception), (1_440_021_600, 1_438_207_200));
            let rrsig = sign_rrset(&key, &apex, &apex, 15, 3600, &records, times).unwrap();
            let split = rrsig.len() - SIGNATURE_OCTETS;
            assert_eq!(STANDARD.encode(&rrsig[split..]), signature);
        }
    }

    #[test]
    fn a_wildcard_is_signed_as_itself_with_one_label_less() {
        let key = SigningKey::generate(Algorithm::Ed25519, false, &SystemRandom::new()).unwrap();
        let times = Validity { inception: 0, expiration: 1 };
        let rrsig =
            sign_rrset(&key, &wire("x.test"), &wire("*.x.test"), 1, 5, &[[192, 0, 2, 1]], times).unwrap();
        assert_eq!(rrsig[3], 2);
        assert!(verify_rrset(key.public(), &wire("*.x.test"), 1, &[[192, 0, 2, 1]], &rrsig));
        assert!(!verify_rrset(key.public(), &wire("a.x.test"), 1, &[[192, 0, 2, 1]], &rrsig));
    }

    #[test]
    fn an_expired_signature_is_never_the_better_one() {
        let old = Validity { inception: 100, expiration: 200 };
        let new = Validity { inception: 150, expiration: 300 };
        let ahead = Validity { inception: 400, expiration: 500 };
        assert_eq!(
            (old.at(99), old.at(100), old.at(200)),
            (Standing::Ahead, Standing::Holds(100), Standing::Holds(0))
        );
        assert_eq!(old.at(201), Standing::Expired);
        assert_eq!(better(old, new, 160), Some(new));
        // The clock went back: the older one still holds, the newer one not yet.
        assert_eq!(better(old, new, 120), Some(old));
        assert_eq!(better(old, ahead, 300), None);
    }

    proptest! {
        #[test]
        fn time_goes_round_the_circle(start in any::<u32>(), len in 1u32..0x3FFF_FFFF, offset in 0u32..0x3FFF_FFFF) {
            let validity = Validity { inception: start, expiration: start.wrapping_add(len) };
            let now = u64::from(start.wrapping_add(offset));
            let expected = if offset <= len { Standing::Holds(len - offset) } else { Standing::Expired };
            prop_assert_eq!(validity.at(now), expected);
            prop_assert_eq!(validity.at(now + (1 << 32)), expected);
            if offset > 0 {
                prop_assert_eq!(validity.at(u64::from(start.wrapping_sub(offset))), Standing::Ahead);
            }
        }
    }
}
