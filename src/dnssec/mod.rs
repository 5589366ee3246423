//! DNSSEC: keys, signatures, proofs of denial and rollovers (RFC 4034, RFC 4035, RFC 5155, RFC 7344, RFC 7583, RFC 9276).
//!
//! Pure but for `keystore` and `sigfile`, which read and write files of keys and signatures: time, randomness and key material arrive
//! as arguments. Names are lower-case uncompressed wire form, records are wire-form rdata, times are seconds since 1970.
//!
//! How a server goes about it: `Keystore::advance` with its policy gives state and keys; `KeySet::new` says what to publish
//! and who signs; `sign_rrset` signs, with times of `Policy::validity`, what `Policy::is_of_pass` says. Once that is served,
//! `advance` again with `State::served`, for waits begin there; and again at `wake_at`, or when the state's file has changed.
//! After `KeySetError`, or while `Advance::may_sign` is false, the signatures there are stay until they expire.
//!
//! Nothing here opens a socket, logs, knows what a pool is, or runs while a query is answered. What cannot be done safely
//! is refused: no function here makes an unsigned zone out of a signed one.

/// Key pairs, key tags, DNSKEY and DS data.
pub mod key;
/// BIND's key files: text to keys and back.
pub mod keyfile;
/// The folder of a zone's keys and of the state of its rollovers.
pub mod keystore;
/// Canonical order and form of names and records.
pub mod canonical;
/// Signatures over RRsets.
pub mod rrsig;
/// NSEC and NSEC3: bitmaps, hashes, record data.
pub mod denial;
/// How long signatures and keys live; jitter.
pub mod policy;
/// Which keys publish and sign, and when that changes.
pub mod rollover;
/// What the keys publish and sign now.
pub mod keyset;
/// Signatures on disk, for a start that need not sign again.
pub mod sigfile;
/// Times as key files write them.
pub mod timestamp;

/// Record types of DNSSEC, by number (RFC 4034, RFC 5155, RFC 7344).
#[expect(missing_docs, reason = "the names are those of the IANA registry of RFC 6895 §3.1")]
pub mod rtype {
    pub const DS: u16 = 43;
    pub const RRSIG: u16 = 46;
    pub const NSEC: u16 = 47;
    pub const DNSKEY: u16 = 48;
    pub const NSEC3: u16 = 50;
    pub const NSEC3PARAM: u16 = 51;
    pub const CDS: u16 = 59;
    pub const CDNSKEY: u16 = 60;
}
