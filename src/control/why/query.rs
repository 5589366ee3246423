//! What is asked, and as which octets.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::dataplane::turn::Transport;
use crate::wire::edns::{OPT_FIXED_OCTETS, OPTION_CLIENT_SUBNET, OPTION_HEAD_OCTETS};
use crate::wire::message::{Class, HEADER_OCTETS, Header, QUESTION_TAIL_OCTETS, Rtype};
use crate::wire::name::{Name, NameTextError};

/// Octets of a datagram that the query says it takes: no less than any server's limit.
const UDP_OCTETS: u16 = 4096;

/// A query to be explained.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The name.
    pub name: Name,
    /// The type.
    pub rtype: Rtype,
    /// The address that the packet comes from.
    pub client: IpAddr,
    /// The network in its client-subnet option, if it has one.
    pub subnet: Option<IpNet>,
    /// Whether it comes over TCP.
    pub is_tcp: bool,
}

/// Why something cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Not a name.
    #[error("`{text}` is no name: {error}")]
    Name {
        /// What was given.
        text: String,
        /// What is wrong.
        error: NameTextError,
    },
    /// Not a type.
    #[error(
        "`{0}` is no record type (accepted are A, AAAA, NS and all others by name, or TYPE with a number)"
    )]
    Type(String),
}

impl Asked {
    /// A query of class IN.
    ///
    /// # Errors
    /// [`AskError`]
    pub fn new(name: &str, rtype: &str, client: IpAddr) -> Result<Asked, AskError> {
        let read = Name::from_text(name);
        Ok(Asked {
            name: read.map_err(|error| AskError::Name { text: name.to_owned(), error })?,
            rtype: rtype_of(rtype).ok_or_else(|| AskError::Type(rtype.to_owned()))?,
            client,
            subnet: None,
            is_tcp: false,
        })
    }

    /// Name and type as text.
    pub(super) fn question(&self) -> [String; 2] {
        [self.name.to_string(), TypeName(self.rtype).to_string()]
    }

    /// How it comes.
    pub fn transport(&self) -> Transport {
        if self.is_tcp { Transport::Tcp } else { Transport::Udp }
    }

    /// The message: with an OPT record, so that extended errors are told.
    pub fn to_octets(&self) -> Vec<u8> {
        let header = Header { id: 0, flags: 0, qdcount: 1, ancount: 0, nscount: 0, arcount: 1 };
        let option = self.subnet.map(client_subnet).unwrap_or_default();
        let len = HEADER_OCTETS + self.name.as_wire().len() + QUESTION_TAIL_OCTETS + OPT_FIXED_OCTETS;
        let mut octets = Vec::with_capacity(len + option.len());
        octets.extend(header.to_octets());
        octets.extend(self.name.as_wire());
        octets.extend(self.rtype.0.to_be_bytes());
        octets.extend(Class::IN.0.to_be_bytes());
        octets.push(0);
        octets.extend(Rtype::OPT.0.to_be_bytes());
        octets.extend(UDP_OCTETS.to_be_bytes());
        octets.extend([0; 4]);
        octets.extend((option.len() as u16).to_be_bytes());
        octets.extend(option);
        octets
    }
}

/// A client-subnet option (RFC 7871 §6): as many octets of the address as its prefix needs, those behind it 0.
fn client_subnet(net: IpNet) -> Vec<u8> {
    let net = net.trunc();
    let (family, octets) = match net.addr() {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let sent = &octets[..usize::from(net.prefix_len()).div_ceil(8)];
    let mut option = Vec::with_capacity(OPTION_HEAD_OCTETS + 4 + sent.len());
    option.extend(OPTION_CLIENT_SUBNET.to_be_bytes());
    option.extend((4 + sent.len() as u16).to_be_bytes());
    option.extend([0, family, net.prefix_len(), 0]);
    option.extend(sent);
    option
}

fn rtype_of(text: &str) -> Option<Rtype> {
    let found = domain::base::Rtype::from_str(&text.to_ascii_uppercase()).ok()?;
    Some(Rtype(found.to_int()))
}

/// A type by its name, or its number.
pub(super) struct TypeName(pub(super) Rtype);

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        domain::base::Rtype::from_int(self.0.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_by_name_and_number() {
        for (text, number) in [("A", 1), ("aaaa", 28), ("HTTPS", 65), ("TYPE65280", 65280), ("any", 255)] {
            assert_eq!(rtype_of(text), Some(Rtype(number)), "{text}");
        }
        assert_eq!(rtype_of("nonsense"), None);
        assert_eq!(
            (TypeName(Rtype::A).to_string(), TypeName(Rtype(65_280)).to_string()),
            ("A".into(), "TYPE65280".into())
        );
    }

    #[test]
    fn subnet_is_sent_with_no_more_octets_than_it_has() {
        let option = |text: &str| client_subnet(text.parse().unwrap());
        assert_eq!(option("10.1.255.1/17"), [0, 8, 0, 7, 0, 1, 17, 0, 10, 1, 128]);
        assert_eq!(option("0.0.0.0/0"), [0, 8, 0, 4, 0, 1, 0, 0]);
        assert_eq!(option("2001:db8::/32"), [0, 8, 0, 8, 0, 2, 32, 0, 0x20, 1, 0xd, 0xb8]);
    }
}
