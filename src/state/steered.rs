//! What names are steered to beside addresses: aliases, hosts of services and mail, service bindings (RFC 1035 §3.3.1, §3.3.9,
//! RFC 2782, RFC 9460), as far as it can be put into wire form ahead.
//!
//! Immutable, shared by all workers; read where answers take the long way alone (`dataplane/resolve`).

use super::rrset::POINTER_TO_QNAME;
use super::ttl::Ttl;
use crate::wire::message::{Class, Rtype};

/// Octets of a record before its data, its owner a pointer.
pub const HEAD_OCTETS: usize = 12;
/// No host: of a member without name.
pub const NO_HOST: u16 = u16::MAX;

/// What a name is steered to, where that is more than addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steered {
    /// Index of the pool.
    pub pool: u32,
    /// TTL of the answers.
    pub ttl: Ttl,
    /// Index of the name's signatures; 0: its zone is not signed.
    pub signed: u32,
    /// What it is steered to.
    pub to: To,
}

/// What a name is steered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// Addresses, or aliases in their place.
    Addresses,
    /// Addresses, and service bindings beside them.
    Service(Service),
    /// The hosts of a service, and no addresses.
    Srv {
        /// Their port.
        port: u16,
        /// Priority of the first of them.
        priority: u16,
    },
    /// The hosts that take mail, and no addresses.
    Mx {
        /// Preference of the first of them.
        preference: u16,
    },
}

impl To {
    /// The type that is steered beside addresses or in their place.
    pub fn rtype(&self) -> Option<Rtype> {
        match self {
            To::Addresses => None,
            To::Service(service) => Some(service.rtype),
            To::Srv { .. } => Some(Rtype::SRV),
            To::Mx { .. } => Some(Rtype::MX),
        }
    }

    /// Whether the name has the pool's addresses.
    pub fn has_addresses(&self) -> bool {
        matches!(self, To::Addresses | To::Service(_))
    }
}

/// The data of an HTTPS or SVCB record but for its hints (RFC 9460 §2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// HTTPS or SVCB.
    pub rtype: Rtype,
    /// Priority, target, and the parameters with smaller keys than hints have.
    pub head: Box<[u8]>,
    /// Whether the pool's addresses are hinted at.
    pub hints: bool,
    /// Parameters with larger keys.
    pub tail: Box<[u8]>,
}

/// The names that members of a pool have, or are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolNames {
    /// Hosts, each once, in listed order, in wire form.
    pub hosts: Box<[Box<[u8]>]>,
    /// By member the index of its host, or [`NO_HOST`].
    pub host_of: Box<[u16]>,
    /// Of members that are names: by member.
    pub members: Box<[Option<AliasRecord>]>,
    /// What stands for the pool when nobody can be drawn.
    pub fallback: Option<AliasRecord>,
}

impl PoolNames {
    /// Whether any member is a name.
    pub fn has_name_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// The alias that is a member.
    pub fn alias(&self, member: u16) -> Option<&AliasRecord> {
        self.members.get(usize::from(member))?.as_ref()
    }
}

/// A CNAME record of the query name, its TTL 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliasRecord(Box<[u8]>);

impl AliasRecord {
    /// To a target in lower-case wire form.
    pub fn new(target: &[u8]) -> AliasRecord {
        let mut octets = Vec::with_capacity(HEAD_OCTETS + target.len());
        octets.extend(head(Rtype::CNAME, 0, target.len()));
        octets.extend_from_slice(target);
        AliasRecord(octets.into())
    }

    /// All of it.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// The target.
    pub fn target(&self) -> &[u8] {
        self.0.get(HEAD_OCTETS..).unwrap_or_default()
    }
}

/// A record of the query name before its data, which has so many octets.
#[inline]
pub fn head(rtype: Rtype, ttl_secs: u32, rdata_len: usize) -> [u8; HEAD_OCTETS] {
    let [owner_high, owner_low] = POINTER_TO_QNAME;
    let [type_high, type_low] = rtype.0.to_be_bytes();
    let [class_high, class_low] = Class::IN.0.to_be_bytes();
    let [t0, t1, t2, t3] = ttl_secs.to_be_bytes();
    let [len_high, len_low] = (rdata_len as u16).to_be_bytes();
    [owner_high, owner_low, type_high, type_low, class_high, class_low, t0, t1, t2, t3, len_high, len_low]
}
