//! What a configuration says about who is answered: cookies and response rates. Part of a snapshot.
//!
//! Plain data; `dataplane/guard` acts on it.

use std::net::IpAddr;

use super::topology::Topology;
use crate::wire::cookie::Secrets;

/// Cookies that are read and given.
pub struct CookiePolicy {
    /// What they are made with.
    pub secrets: Secrets,
    /// When a client that speaks of cookies must have a valid one to be answered over UDP.
    pub require: Require,
    /// UDP queries a second without a valid cookie, of one worker, above which it is under load.
    pub load_qps: u32,
}

/// When a client that sends a COOKIE option must have a valid server cookie in it to be answered over UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Require {
    /// Never: it is answered, and given one on the way.
    Never,
    /// While the worker is under load.
    UnderLoad,
    /// Always.
    Always,
}

/// What a reply is to its client: each class has its own rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ResponseClass {
    /// NOERROR with an answer.
    Answer,
    /// NOERROR without one.
    NoData,
    /// NXDOMAIN.
    NxDomain,
    /// A delegation to other servers.
    Referral,
    /// Any other response code.
    Error,
    /// More than 512 octets, whatever it says.
    Large,
}

impl ResponseClass {
    /// Number of classes.
    pub const COUNT: usize = 6;
}

/// How many replies over UDP one client network gets.
pub struct RatePolicy {
    /// Replies a second by class; 0: not limited. At most [`super::buckets::MAX_RATE`].
    pub rates: [u32; ResponseClass::COUNT],
    /// Of so many replies over the rate one is sent truncated, or as BADCOOKIE; 0: none.
    pub slip: u8,
    /// Leading bits that make a network of IPv4, 1..=32.
    pub prefix_v4: u8,
    /// The same of IPv6, 1..=64.
    pub prefix_v6: u8,
    /// Who is not limited: addresses that have a region.
    pub exempt: Topology,
    /// Whether what is over the rate is counted only, and sent all the same.
    pub log_only: bool,
}

impl RatePolicy {
    /// The network that a client counts with: its leading bits, and whether they are IPv6.
    #[inline]
    pub fn network(&self, client: IpAddr) -> (u64, bool) {
        match client {
            IpAddr::V4(v4) => (u64::from(v4.to_bits() >> (32 - u32::from(self.prefix_v4))), false),
            IpAddr::V6(v6) => ((v6.to_bits() >> (128 - u32::from(self.prefix_v6))) as u64, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_is_the_leading_bits_of_the_address() {
        let policy = |prefix_v4, prefix_v6| RatePolicy {
            rates: [1; ResponseClass::COUNT],
            slip: 2,
            prefix_v4,
            prefix_v6,
            exempt: Topology::new(&[]),
            log_only: false,
        };
        let network = |v4, v6, client: &str| policy(v4, v6).network(client.parse().unwrap());
        assert_eq!(network(24, 56, "192.0.2.77"), (0xC0_0002, false));
        assert_eq!(network(32, 56, "255.255.255.255"), (0xFFFF_FFFF, false));
        assert_eq!(network(1, 56, "192.0.2.77"), (1, false));
        assert_eq!(network(24, 56, "2001:db8:1:2ff:9::1"), (0x20_010d_b800_0102, true));
        assert_eq!(network(24, 64, "2001:db8:1:2ff:9::1"), (0x2001_0db8_0001_02ff, true));
    }
}
