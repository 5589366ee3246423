//! Denial of existence: type bitmaps (RFC 4034 §4.1.2), NSEC data, NSEC3 hashes and data (RFC 5155) with no iterations
//! and no salt (RFC 9276 §3.1).
//!
//! Makes record data from what it is told; which names are in the chain and in what order the caller knows
//! (`canonical::canonical_name_cmp` for NSEC, order of hashes for NSEC3).

use crate::wire::name::MAX_NAME_OCTETS;
use crate::wire::sha1::{SHA1_OCTETS, sha1};

/// Octets of a SHA-1 hash.
pub const NSEC3_HASH_OCTETS: usize = SHA1_OCTETS;
/// The only hash algorithm of NSEC3 (RFC 5155 §11).
const NSEC3_SHA1: u8 = 1;
/// NSEC3 flag: unsigned delegations may lie in the gap (RFC 5155 §3.1.2.1).
const FLAG_OPT_OUT: u8 = 1;
/// Digits of base32 with extended hex alphabet, in lower case, as owner names are (RFC 4648 §7, RFC 5155 §3.3).
const BASE32_HEX: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
/// Characters of a hash in base32: 20 octets without remainder, so never padded.
const NSEC3_LABEL_OCTETS: usize = NSEC3_HASH_OCTETS * 8 / 5;
/// Longest apex below which there is room for a hash.
pub const MAX_NSEC3_APEX_OCTETS: usize = MAX_NAME_OCTETS - 1 - NSEC3_LABEL_OCTETS;

/// The bitmap of types, in any order, each as often as it likes.
pub fn type_bitmap(types: impl IntoIterator<Item = u16>) -> Vec<u8> {
    let mut types: Vec<u16> = types.into_iter().collect();
    types.sort_unstable();
    types.dedup();
    let mut bitmap = Vec::with_capacity(8);
    for window in types.chunk_by(|a, b| a >> 8 == b >> 8) {
        let mut bits = [0u8; 32];
        let mut octets = 0;
        for &rtype in window {
            let low = usize::from(rtype & 0xFF);
            bits[low / 8] |= 0x80 >> (low % 8);
            octets = low / 8 + 1;
        }
        // A window has at least one type, and at most 32 octets.
        bitmap.extend_from_slice(&[(window[0] >> 8) as u8, octets as u8]);
        bitmap.extend_from_slice(&bits[..octets]);
    }
    bitmap
}

/// The data of an NSEC record; `next` is the next owner in the zone, the apex behind the last one. `types` must name NSEC
/// and RRSIG themselves.
pub fn nsec_rdata(next: &[u8], types: impl IntoIterator<Item = u16>) -> Vec<u8> {
    [next, &type_bitmap(types)].concat()
}

/// The hash of a lower-case name as this server's NSEC3 chains have it.
pub fn nsec3_hash(name: &[u8]) -> [u8; NSEC3_HASH_OCTETS] {
    sha1(name)
}

/// The data of an NSEC3 record; `next` is the next hash of the chain. An empty non-terminal has no types.
pub fn nsec3_rdata(
    next: &[u8; NSEC3_HASH_OCTETS],
    is_opt_out: bool,
    types: impl IntoIterator<Item = u16>,
) -> Vec<u8> {
    let flags = if is_opt_out { FLAG_OPT_OUT } else { 0 };
    // Algorithm, flags, iterations, salt length, hash length.
    let head = [NSEC3_SHA1, flags, 0, 0, 0, NSEC3_HASH_OCTETS as u8];
    [&head, &next[..], &type_bitmap(types)].concat()
}

/// The data of the NSEC3PARAM record; its flags are always zero (RFC 5155 §4.1.2).
pub fn nsec3param_rdata() -> [u8; 5] {
    [NSEC3_SHA1, 0, 0, 0, 0]
}

/// The owner of an NSEC3 record: the hash as one label in front of the apex. An apex of more than [`MAX_NSEC3_APEX_OCTETS`]
/// has no room for it: `None`, and such a zone must use NSEC.
pub fn nsec3_owner(hash: &[u8; NSEC3_HASH_OCTETS], apex: &[u8]) -> Option<Vec<u8>> {
    let mut owner = Vec::with_capacity(1 + NSEC3_LABEL_OCTETS + apex.len());
    owner.push(NSEC3_LABEL_OCTETS as u8);
    owner.extend_from_slice(&base32_hex(hash));
    owner.extend_from_slice(apex);
    (owner.len() <= MAX_NAME_OCTETS).then_some(owner)
}

/// A hash in base32 with extended hex alphabet.
pub fn base32_hex(hash: &[u8; NSEC3_HASH_OCTETS]) -> [u8; NSEC3_LABEL_OCTETS] {
    let mut text = [0; NSEC3_LABEL_OCTETS];
    for (five, eight) in hash.chunks_exact(5).zip(text.chunks_exact_mut(8)) {
        let value = five.iter().fold(0u64, |value, &octet| value << 8 | u64::from(octet));
        for (digit, to) in eight.iter_mut().enumerate() {
            *to = BASE32_HEX[(value >> (35 - 5 * digit) & 31) as usize];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::name::Name;
    use proptest::prelude::*;
    use ring::digest;
    use std::collections::BTreeSet;

    fn wire(text: &str) -> Vec<u8> {
        Name::from_text(text).unwrap().as_wire().to_vec()
    }

    #[test]
    fn rfc_4034_section_4_3_example() {
        // alfa.example.com. NSEC host.example.com. ( A MX RRSIG NSEC TYPE1234 )
        let expected = b"\x04host\x07example\x03com\x00\x00\x06\x40\x01\x00\x00\x00\x03\x04\x1b\
            \x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20";
        assert_eq!(nsec_rdata(&wire("host.example.com"), [1234, 1, 15, 46, 47, 1]), expected);
        assert!(type_bitmap([]).is_empty());
    }

    #[test]
    fn rfc_5155_appendix_a_hashes() {
        for (name, hash) in [
            ("example", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"),
            ("a.example", "35mthgpgcu1qg68fab165klnsnk3dpvl"),
            ("ai.example", "gjeqe526plbf1g8mklp59enfd789njgi"),
            ("ns1.example", "2t7b4g4vsa5smi47k61mv5bv1a22bojr"),
            ("ns2.example", "q04jkcevqvmu85r014c7dkba38o0ji5r"),
            ("w.example", "k8udemvp1j2f7eg6jebps17vp3n8i58h"),
            ("*.w.example", "r53bq7cc2uvmubfu5ocmm6pers9tk9en"),
            ("x.w.example", "b4um86eghhds6nea196smvmlo4ors995"),
            ("y.w.example", "ji6neoaepv8b5o6k4ev33abha8ht9fgc"),
            ("x.y.w.example", "2vptu5timamqttgl4luu9kg21e0aor3s"),
            ("xx.example", "t644ebqk9bibcna874givr6joj62mlhv"),
        ] {
            // With a salt and further iterations, of which this server's chains have none (RFC 5155 §5).
            let once = |octets: &[u8]| sha1(&[octets, &[0xAA, 0xBB, 0xCC, 0xDD]].concat());
            let made = (0..12).fold(once(&wire(name)), |hash, _| once(&hash));
            assert_eq!(std::str::from_utf8(&base32_hex(&made)).unwrap(), hash, "{name}");
        }
    }

    #[test]
    fn nsec3_records_have_no_iterations_and_no_salt() {
        let hash = nsec3_hash(&wire("example"));
        let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, b"\x07example\x00");
        assert_eq!(hash, sha1.as_ref());
        let rdata = nsec3_rdata(&hash, false, [2]);
        assert_eq!(rdata, [&[1, 0, 0, 0, 0, 20][..], &hash, &[0, 1, 0x20]].concat());
        assert_eq!(nsec3_rdata(&hash, true, [])[..6], [1, 1, 0, 0, 0, 20]);
        assert_eq!(nsec3_rdata(&hash, true, []).len(), 26);
        let owner = nsec3_owner(&hash, b"\x07example\x00").unwrap();
        assert_eq!((owner[0], owner.len()), (32, 42));
        assert_eq!(nsec3_owner(&hash, &[1; MAX_NSEC3_APEX_OCTETS + 1]), None);
        assert_eq!(nsec3param_rdata(), [1, 0, 0, 0, 0]);
    }

    /// The types of a bitmap, by the letter of RFC 4034 §4.1.2.
    fn types_of(mut bitmap: &[u8]) -> BTreeSet<u16> {
        let mut types = BTreeSet::new();
        let mut last = None;
        while let [window, len, rest @ ..] = bitmap {
            assert!((1..=32).contains(len) && last.is_none_or(|last| last < *window));
            let (bits, rest) = rest.split_at(usize::from(*len));
            assert_ne!(*bits.last().unwrap(), 0, "trailing zero octets must be left out");
            for bit in (0..bits.len() * 8).filter(|bit| bits[bit / 8] & 0x80 >> (bit % 8) != 0) {
                types.insert(u16::from(*window) << 8 | bit as u16);
            }
            last = Some(*window);
            bitmap = rest;
        }
        types
    }

    proptest! {
        #[test]
        fn bitmaps_say_what_they_were_given(types in prop::collection::vec(any::<u16>(), 0..40)) {
            prop_assert_eq!(types_of(&type_bitmap(types.iter().copied())), types.into_iter().collect());
        }
    }
}
