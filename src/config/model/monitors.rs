//! The monitors of a pool, and how many of them a member must pass.
//!
//! Values only, as validated; nothing here probes or decides.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Member, Monitor, Probe};

/// How the members of a pool are probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitors {
    /// 1..=8.
    pub list: Vec<NamedMonitor>,
    /// How many of them must say UP. 1..=their number.
    pub pass: u8,
}

/// One of a pool's monitors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedMonitor {
    /// What it is called in reasons; `None`: by its kind.
    pub name: Option<String>,
    /// How is probed. Two equal monitors of the same address are one probe, whatever they are called.
    pub monitor: Arc<Monitor>,
    /// The address that is probed in place of each member's that has none of its own.
    pub monitor_ip: Option<IpAddr>,
}

impl Monitors {
    /// One alone.
    pub fn single(monitor: Arc<Monitor>, monitor_ip: Option<IpAddr>) -> Monitors {
        Monitors { list: vec![NamedMonitor { name: None, monitor, monitor_ip }], pass: 1 }
    }
}

impl NamedMonitor {
    /// Whether it probes nothing: somebody says what it says.
    pub fn is_pushed(&self) -> bool {
        matches!(self.monitor.probe, Probe::Push { .. })
    }

    /// The address that is probed for a member.
    pub fn address_of(&self, member: &Member) -> IpAddr {
        match self.monitor.probe {
            // What is pushed is said of the member, wherever its other monitors look.
            Probe::Push { .. } => member.ip,
            _ => member.monitor_ip.or(self.monitor_ip).unwrap_or(member.ip),
        }
    }
}
