//! What a globalname is bound to beside addresses, or in their place.
//!
//! Values only, as validated.

use super::OwnerName;

/// What a name is steered to other than the addresses of its pool alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Extra {
    /// The hosts of a service, and no addresses (`srv`).
    Srv {
        /// Port of the service, 1..=65535.
        port: u16,
        /// Priority of the hosts, of `fogroup` of the first of them.
        priority: u16,
    },
    /// Hosts that take mail, and no addresses (`mx`).
    Mx {
        /// Preference of the hosts, of `fogroup` of the first of them.
        preference: u16,
    },
    /// A service binding beside the addresses (`https`, `svcb`).
    Service(ServiceBinding),
}

/// A service binding (RFC 9460).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceBinding {
    /// HTTPS, else SVCB.
    pub is_https: bool,
    /// 0 is an alias, which has no parameters.
    pub priority: u16,
    /// The root stands for the name itself.
    pub target: OwnerName,
    /// Protocols, each 1..=255 octets; at most 16.
    pub alpn: Vec<String>,
    /// Port, where it is another than the usual one. 1..=65535.
    pub port: Option<u16>,
    /// Whether the pool's addresses are hinted at.
    pub hints: bool,
    /// Path of DNS over HTTPS, a URI template (RFC 9461). At most 1024 octets.
    pub dohpath: Option<String>,
}
