//! The engine against real sockets on loopback.
use std::sync::Arc;
use std::time::Duration;

use crate::config::model::{
    Discipline, Fallback, Member, Method, Monitor, Monitors, Pool, Probe, Sources, UpWhen,
};

/// A monitor with these parts, quick enough for tests.
pub(super) fn monitor(probe: Probe) -> Arc<Monitor> {
    Arc::new(Monitor {
        probe,
        interval: Duration::from_secs(3600),
        timeout: Duration::from_secs(10),
        retries: 0,
        rise: 1,
        source: Sources::default(),
        discipline: Discipline::default(),
    })
}

pub(super) fn tcp_monitor(port: u16) -> Arc<Monitor> {
    monitor(Probe::Tcp { port })
}

pub(super) fn forced_monitor(up: bool) -> Arc<Monitor> {
    monitor(Probe::Forced { up })
}

/// A pool whose members have these addresses.
pub(super) fn pool(name: &str, monitor: Arc<Monitor>, addresses: &[&str]) -> Pool {
    let member = |(index, address): (usize, &&str)| Member {
        ip: address.parse().unwrap(),
        cname: None,
        hostname: None,
        name: format!("{name}-{index}"),
        weight: 1,
        capacity: None,
        enabled: true,
        monitor_ip: None,
        coordinates: None,
    };
    Pool {
        name: name.into(),
        method: Method::Wrr,
        fallback: Fallback::Any,
        max_addrs_returned: 1,
        members: addresses.iter().enumerate().map(member).collect(),
        demand: None,
        monitors: Arc::new(Monitors::single(monitor, None)),
        up_when: UpWhen::default(),
        tree: None,
    }
}

/// Plans following each other, shared targets, forced ones.
mod adoption;
/// Hastened probes, warm-up, pools that count as up.
mod discipline;
/// States over a restart.
mod restart;
/// Members with several monitors.
mod several;
/// Servers that behave as told, and the engine under test.
mod rig;
/// Verdicts of every monitor, right and wrong, hanging at every step.
mod verdicts;
