//! SHA-1 (RFC 3174), for the owner names of NSEC3 records alone (RFC 5155 §5): the packet path hashes a name for a proof, and
//! allocates nothing.
//!
//! No security depends on it. What a zone says is vouched for by its signatures; the hash only puts names into an order, and
//! two names of a zone with the same hash are refused when the zone is signed.

/// Octets of a hash.
pub const SHA1_OCTETS: usize = 20;
/// Octets that are hashed at a time.
const BLOCK: usize = 64;
/// Where the number of bits stands in the last block.
const LENGTH_AT: usize = BLOCK - 8;
/// The state before the first block (RFC 3174 §6.1).
const FIRST: [u32; 5] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];

/// The hash of these octets.
pub fn sha1(octets: &[u8]) -> [u8; SHA1_OCTETS] {
    let (blocks, rest) = octets.as_chunks::<BLOCK>();
    let state = blocks.iter().fold(FIRST, add_block);
    let bits = (octets.len() as u64).wrapping_mul(8).to_be_bytes();
    let mut last = [0; BLOCK];
    // What is left is shorter than a block: there is room for one octet more.
    if let Some((to, behind)) = last.split_at_mut_checked(rest.len()) {
        to.copy_from_slice(rest);
        behind.iter_mut().take(1).for_each(|end| *end = 0x80);
    }
    let state = if rest.len() < LENGTH_AT {
        last[LENGTH_AT..].copy_from_slice(&bits);
        add_block(state, &last)
    } else {
        let mut behind = [0; BLOCK];
        behind[LENGTH_AT..].copy_from_slice(&bits);
        add_block(add_block(state, &last), &behind)
    };
    let mut hash = [0; SHA1_OCTETS];
    for (to, word) in hash.as_chunks_mut().0.iter_mut().zip(state) {
        *to = word.to_be_bytes();
    }
    hash
}

/// The state behind a block (RFC 3174 §6.1).
fn add_block(state: [u32; 5], block: &[u8; BLOCK]) -> [u32; 5] {
    let mut words = [0; 80];
    for (word, octets) in words.iter_mut().zip(block.as_chunks().0) {
        *word = u32::from_be_bytes(*octets);
    }
    for at in 16..80 {
        words[at] = (words[at - 3] ^ words[at - 8] ^ words[at - 14] ^ words[at - 16]).rotate_left(1);
    }
    let mut turned = state;
    let (quarters, _) = words.as_chunks::<20>();
    if let [first, second, third, fourth] = quarters {
        turned = turn(turned, first, 0x5A82_7999, |b, c, d| d ^ (b & (c ^ d)));
        turned = turn(turned, second, 0x6ED9_EBA1, |b, c, d| b ^ c ^ d);
        turned = turn(turned, third, 0x8F1B_BCDC, |b, c, d| (b & c) | (d & (b | c)));
        turned = turn(turned, fourth, 0xCA62_C1D6, |b, c, d| b ^ c ^ d);
    }
    std::array::from_fn(|at| state[at].wrapping_add(turned[at]))
}

/// Twenty of the eighty steps, which have a constant and a function in common.
#[inline(always)]
fn turn(
    state: [u32; 5],
    words: &[u32; 20],
    constant: u32,
    function: impl Fn(u32, u32, u32) -> u32,
) -> [u32; 5] {
    let [mut a, mut b, mut c, mut d, mut e] = state;
    for word in words {
        let mixed = a.rotate_left(5).wrapping_add(function(b, c, d)).wrapping_add(e);
        (a, b, c, d, e) = (mixed.wrapping_add(*word).wrapping_add(constant), a, b.rotate_left(30), c, d);
    }
    [a, b, c, d, e]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

    fn hex(octets: &[u8]) -> String {
        sha1(octets).iter().map(|octet| format!("{octet:02x}")).collect()
    }

    #[test]
    fn rfc_3174_section_7_3_vectors() {
        assert_eq!(hex(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let two = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(hex(two), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
        assert_eq!(hex(&vec![b'a'; 1_000_000]), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
        assert_eq!(hex(&b"01234567".repeat(80)), "dea356a2cddd90c7a7ecedc5ebb563934f460452");
    }

    #[test]
    fn every_length_up_to_300_is_hashed_as_elsewhere() {
        let octets: Vec<u8> = (0..=300u16).map(|at| (at * 7) as u8).collect();
        for len in 0..=300 {
            let theirs = digest(&SHA1_FOR_LEGACY_USE_ONLY, &octets[..len]);
            assert_eq!(sha1(&octets[..len]), theirs.as_ref(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_hashed_as_elsewhere(octets in prop::collection::vec(any::<u8>(), 0..=300)) {
            let theirs = digest(&SHA1_FOR_LEGACY_USE_ONLY, &octets);
            prop_assert_eq!(&sha1(&octets)[..], theirs.as_ref());
        }
    }
}
