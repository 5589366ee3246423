//! Walking over resource records (RFC 1035 §4.1.3) without looking into them.

use super::error::WireError;
use super::message::{Class, Rtype};
use super::name;

/// Octets of a record between its owner and its data: type, class, TTL and length.
pub const RECORD_FIXED_OCTETS: usize = 10;

/// One record of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// True when the owner is the root, written as one zero octet.
    pub owner_is_root: bool,
    /// The type.
    pub rtype: Rtype,
    /// The class (in OPT the sender's UDP payload size).
    pub class: Class,
    /// The TTL in seconds (in OPT extended code, version and flags).
    pub ttl: u32,
    /// The data.
    pub rdata: &'a [u8],
    /// Offset behind the record.
    pub end: usize,
}

impl<'a> Record<'a> {
    /// Reads the record at `offset`.
    ///
    /// # Errors
    /// [`WireError`] when the owner is no name or the message ends inside the record.
    pub fn read(message: &'a [u8], offset: usize) -> Result<Record<'a>, WireError> {
        let fixed_at = name::skip(message, offset)?;
        let fixed: &[u8; RECORD_FIXED_OCTETS] =
            message.get(fixed_at..).and_then(|rest| rest.first_chunk()).ok_or(WireError::Truncated)?;
        let rdata_at = fixed_at + RECORD_FIXED_OCTETS;
        let end = rdata_at + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
        Ok(Record {
            owner_is_root: message[offset] == 0,
            rtype: Rtype(u16::from_be_bytes([fixed[0], fixed[1]])),
            class: Class(u16::from_be_bytes([fixed[2], fixed[3]])),
            ttl: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            rdata: message.get(rdata_at..end).ok_or(WireError::Truncated)?,
            end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn record_is_read_with_its_end() {
        let message = b"\x01a\x00\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01rest";
        let record = Record::read(message, 0).unwrap();
        assert_eq!((record.rtype, record.class, record.ttl, record.end), (Rtype::A, Class::IN, 60, 17));
        assert_eq!(record.rdata, [192, 0, 2, 1]);
        assert!(!record.owner_is_root);
        assert_eq!(Record::read(&message[..16], 0), Err(WireError::Truncated));
    }

    proptest! {
        #[test]
        fn walk_always_moves_forward_and_stays_inside(octets in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut at = 0;
            while let Ok(record) = Record::read(&octets, at) {
                prop_assert!(record.end > at && record.end <= octets.len());
                at = record.end;
            }
        }
    }
}
