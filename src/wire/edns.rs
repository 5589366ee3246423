//! EDNS: the OPT record, its options, and the client-subnet option (RFC 6891, RFC 7871).
//!
//! Unknown options and flag bits are passed over, as RFC 6891 §6.1.2 and §6.1.4 ask.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::error::WireError;
use super::message::Rtype;
use super::record::Record;

/// Octets of an OPT record without options: root owner, type, class, TTL, length.
pub const OPT_FIXED_OCTETS: usize = 11;
/// Flag bit DO in the low half of the OPT record's TTL (RFC 3225 §3).
pub const FLAG_DO: u16 = 0x8000;
/// Smallest UDP payload size there is; smaller offers count as this (RFC 6891 §6.2.3).
pub const MIN_UDP_SIZE: u16 = 512;
/// Option code of the client subnet (RFC 7871 §6).
pub const OPTION_CLIENT_SUBNET: u16 = 8;
/// Most octets of a client-subnet option with its code and length: 4 + 4 + 16.
pub const CLIENT_SUBNET_MAX_OCTETS: usize = 24;

/// What a query's OPT record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns<'a> {
    /// Largest UDP reply the sender takes, at least 512.
    pub udp_size: u16,
    /// Version; only 0 is known.
    pub version: u8,
    /// Whether the sender wants DNSSEC records; copied into the reply.
    pub dnssec_ok: bool,
    /// The options, undecoded.
    pub options: &'a [u8],
}

impl<'a> Edns<'a> {
    /// Takes the fields out of an OPT record.
    ///
    /// # Errors
    /// [`WireError::Opt`] when the owner is not the root.
    pub fn from_record(record: &Record<'a>) -> Result<Edns<'a>, WireError> {
        if !record.owner_is_root {
            return Err(WireError::Opt);
        }
        Ok(Edns {
            udp_size: record.class.0.max(MIN_UDP_SIZE),
            version: (record.ttl >> 16) as u8,
            dnssec_ok: record.ttl as u16 & FLAG_DO != 0,
            options: record.rdata,
        })
    }

    /// Reads octets that are exactly one OPT record: what nearly every query has behind its question. `None` for anything
    /// else, which is then for a walk over the records to judge.
    #[inline]
    pub fn alone(octets: &'a [u8]) -> Option<Edns<'a>> {
        let (fixed, options) = octets.split_first_chunk::<OPT_FIXED_OCTETS>()?;
        let field = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        if fixed[0] != 0 || field(1) != Rtype::OPT.0 || usize::from(field(9)) != options.len() {
            return None;
        }
        Some(Edns {
            udp_size: field(3).max(MIN_UDP_SIZE),
            version: fixed[6],
            dnssec_ok: field(7) & FLAG_DO != 0,
            options,
        })
    }

    /// Finds the client-subnet option; every option's length is checked on the way. The first one counts.
    ///
    /// # Errors
    /// [`WireError::OptionLength`] when an option runs past the record, [`WireError::ClientSubnet`] when the
    /// option is malformed.
    pub fn client_subnet(&self) -> Result<Option<ClientSubnet>, WireError> {
        let mut found = None;
        let mut rest = self.options;
        while !rest.is_empty() {
            let (head, tail) = rest.split_first_chunk::<4>().ok_or(WireError::OptionLength)?;
            let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let (data, tail) = tail.split_at_checked(len).ok_or(WireError::OptionLength)?;
            if u16::from_be_bytes([head[0], head[1]]) == OPTION_CLIENT_SUBNET && found.is_none() {
                found = Some(ClientSubnet::read(data)?);
            }
            rest = tail;
        }
        Ok(found)
    }
}

/// The network a resolver asks for (RFC 7871 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientSubnet {
    /// Address family as sent: 1 IPv4, 2 IPv6, and 0 where the client tells nothing.
    family: u16,
    /// Source prefix length.
    source_len: u8,
    /// Address octets as sent, zeros behind; only the first ceil(source_len / 8) are meaningful.
    address: [u8; 16],
}

impl ClientSubnet {
    /// Reads the option's data as found in a query.
    ///
    /// # Errors
    /// [`WireError::ClientSubnet`]: unknown family, scope other than 0, too long a prefix, too many or too few
    /// octets, or bits set behind the prefix (RFC 7871 §6 and §7.1.2, all "MUST").
    pub fn read(data: &[u8]) -> Result<ClientSubnet, WireError> {
        let (head, octets) = data.split_first_chunk::<4>().ok_or(WireError::ClientSubnet)?;
        let family = u16::from_be_bytes([head[0], head[1]]);
        let (source_len, scope_len) = (head[2], head[3]);
        let max_len = match family {
            // Family 0 with an empty prefix is how some clients (BIND's dig +subnet=0) opt out.
            0 => 0,
            1 => 32,
            2 => 128,
            _ => return Err(WireError::ClientSubnet),
        };
        if source_len > max_len || scope_len != 0 || octets.len() != usize::from(source_len).div_ceil(8) {
            return Err(WireError::ClientSubnet);
        }
        let mut address = [0; 16];
        address[..octets.len()].copy_from_slice(octets);
        let spare_bits = octets.len() * 8 - usize::from(source_len);
        let spare_mask = (1u8 << spare_bits) - 1;
        if octets.last().is_some_and(|last| last & spare_mask != 0) {
            return Err(WireError::ClientSubnet);
        }
        Ok(ClientSubnet { family, source_len, address })
    }

    /// The network's address; `None` where the prefix is empty, which asks for an answer that fits everyone.
    pub fn address(&self) -> Option<IpAddr> {
        match (self.family, self.source_len) {
            (_, 0) => None,
            (1, _) => {
                let [a, b, c, d, ..] = self.address;
                Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
            }
            _ => Some(IpAddr::V6(Ipv6Addr::from(self.address))),
        }
    }

    /// Length in octets of [`Self::write`]'s output: at most [`CLIENT_SUBNET_MAX_OCTETS`].
    pub fn len_octets(&self) -> usize {
        8 + usize::from(self.source_len).div_ceil(8)
    }

    /// Writes the option as it goes into the reply, code and length first: the query's with the scope filled in.
    ///
    /// Returns the octets written, or `None` when `into` is too short.
    pub fn write(&self, scope_len: u8, into: &mut [u8]) -> Option<usize> {
        let len = self.len_octets();
        let into = into.get_mut(..len)?;
        into[0..2].copy_from_slice(&OPTION_CLIENT_SUBNET.to_be_bytes());
        into[2..4].copy_from_slice(&((len - 4) as u16).to_be_bytes());
        into[4..6].copy_from_slice(&self.family.to_be_bytes());
        into[6] = self.source_len;
        // An empty source prefix is answered with an empty scope (RFC 7871 §7.2.1: the answer fits every address).
        into[7] = if self.source_len == 0 { 0 } else { scope_len };
        into[8..].copy_from_slice(&self.address[..len - 8]);
        Some(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn subnet_is_read_and_echoed_with_its_scope() {
        let subnet = ClientSubnet::read(&[0, 1, 20, 0, 192, 0, 0x20]).unwrap();
        assert_eq!(subnet.address(), Some("192.0.32.0".parse().unwrap()));
        let mut out = [0; 32];
        assert_eq!(subnet.write(18, &mut out), Some(11));
        assert_eq!(out[..11], [0, 8, 0, 7, 0, 1, 20, 18, 192, 0, 0x20]);
        assert_eq!(subnet.write(18, &mut out[..10]), None);
    }

    #[test]
    fn subnet_faults_are_refused() {
        for bad in [
            &[][..],
            &[0, 1, 24],
            &[0, 3, 0, 0],
            &[0, 1, 24, 24, 192, 0, 2],
            &[0, 1, 33, 0, 1, 2, 3, 4, 128],
            &[0, 1, 24, 0, 192, 0],
            &[0, 1, 24, 0, 192, 0, 2, 0],
            &[0, 1, 20, 0, 192, 0, 0x21],
            &[0, 0, 8, 0, 1],
        ] {
            assert_eq!(ClientSubnet::read(bad), Err(WireError::ClientSubnet), "{bad:?}");
        }
        assert_eq!(ClientSubnet::read(&[0, 0, 0, 0]).unwrap().address(), None);
        assert_eq!(ClientSubnet::read(&[0, 1, 0, 0]).unwrap().address(), None);
        assert!(ClientSubnet::read(&[0, 1, 32, 0, 1, 2, 3, 255]).is_ok());
        assert!(ClientSubnet::read(&[0, 2, 1, 0, 0x80]).is_ok());
    }

    #[test]
    fn options_are_walked_to_the_end() {
        let edns = |options| Edns { udp_size: 1232, version: 0, dnssec_ok: false, options };
        assert_eq!(edns(&[]).client_subnet(), Ok(None));
        assert_eq!(edns(&[0, 10, 0, 2, 1, 2]).client_subnet(), Ok(None));
        assert_eq!(edns(&[0, 10, 0, 3, 1, 2]).client_subnet(), Err(WireError::OptionLength));
        assert_eq!(edns(&[0, 10, 0]).client_subnet(), Err(WireError::OptionLength));
        let found = edns(&[0, 10, 0, 1, 1, 0, 8, 0, 5, 0, 1, 8, 0, 10]).client_subnet().unwrap();
        assert_eq!(found.unwrap().address(), Some("10.0.0.0".parse().unwrap()));
        assert_eq!(edns(&[0, 8, 0, 4, 0, 1, 0, 0, 0, 9]).client_subnet(), Err(WireError::OptionLength));
    }

    proptest! {
        #[test]
        fn record_alone_is_read_as_the_walk_reads_it(fixed in any::<[u8; 8]>(), options in prop::collection::vec(any::<u8>(), 0..30), cut in 0usize..3) {
            let mut octets = vec![0, 0, 41];
            octets.extend(&fixed[..6]);
            octets.extend((options.len() as u16).to_be_bytes());
            octets.extend(&options);
            octets.truncate(octets.len() - cut.min(options.len()));
            let walked = Record::read(&octets, 0).and_then(|record| Edns::from_record(&record)).ok();
            prop_assert_eq!(Edns::alone(&octets), walked);
        }

        #[test]
        fn accepted_subnet_is_echoed_octet_for_octet_but_for_its_scope(
            data in prop::collection::vec(any::<u8>(), 0..24), family in 0u8..3, source in 0u8..130,
        ) {
            let mut data = data;
            if data.len() >= 4 { data[0] = 0; data[1] = family; data[2] = source; data[3] = 0; }
            if let Ok(subnet) = ClientSubnet::read(&data) {
                let mut out = [0; CLIENT_SUBNET_MAX_OCTETS];
                let len = subnet.write(0, &mut out).unwrap();
                prop_assert_eq!(&out[4..len], &data[..]);
            }
        }
    }
}
