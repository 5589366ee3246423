//! Members with several monitors: over a reload, and while the prober itself seems to fail.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use super::rig::*;
use super::{pool, tcp_monitor};
use crate::config::model::{Monitor, Monitors, NamedMonitor, Pool, ProberGuard};
use crate::state::health_table::{Flags, State};

/// A pool in which all of these must pass.
fn all_of(mut pool: Pool, monitors: &[Arc<Monitor>]) -> Pool {
    let named =
        |monitor: &Arc<Monitor>| NamedMonitor { name: None, monitor: monitor.clone(), monitor_ip: None };
    let pass = monitors.len() as u8;
    pool.monitors = Arc::new(Monitors { list: monitors.iter().map(named).collect(), pass });
    pool
}

/// One that fails in time, and takes three failures to say so.
fn patient(port: u16) -> Arc<Monitor> {
    Arc::new(Monitor { retries: 2, ..(*tcp_monitor(port)).clone() })
}

#[test]
fn monitor_that_is_added_flips_nobody_before_it_has_a_verdict_of_its_own() {
    let (server, dead) = (Server::start(mute), DeadPort::take());
    let one = pool("a", tcp_monitor(server.port()), &["127.0.0.1"]);
    let mut rig = Rig::start(std::slice::from_ref(&one));
    let before = rig.first_outcomes().pools[0].members[0].clone();
    assert_eq!(before.word.state(), State::Up);
    let both = all_of(one.clone(), &[one.monitors.list[0].monitor.clone(), patient(dead.1)]);
    let published = rig.adopt(std::slice::from_ref(&both));
    assert_eq!(
        (published[0][0].state(), published[0][0].since_secs()),
        (State::Up, before.word.since_secs())
    );
    let status = rig.wait("the first failure", |status| status.pools[0].members[0].health.failed > 0);
    let member = &status.pools[0].members[0];
    assert_eq!((member.word.state(), member.targets.len(), member.monitors.len()), (State::Up, 2, 2));
    // And one that is taken away leaves the verdict of those that stay.
    assert_eq!(rig.adopt(&[one])[0][0].state(), State::Up);
}

#[test]
fn members_stay_what_they_were_while_the_prober_seems_to_fail() {
    let servers = [(); 2].map(|()| Server::start_on(Ipv4Addr::UNSPECIFIED.into(), mute));
    let quick = |port| {
        let (interval, timeout) = (Duration::from_millis(100), Duration::from_millis(100));
        Arc::new(Monitor { interval, timeout, ..(*tcp_monitor(port)).clone() })
    };
    let monitors = [quick(servers[0].port()), quick(servers[1].port())];
    let addresses: Vec<String> = (1..=8).map(|number| format!("127.0.0.{number}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let pools = [all_of(pool("a", monitors[0].clone(), &addresses), &monitors)];
    let mut rig = Rig::start(&[]);
    rig.adopt_plan(plan(&pools).guarded(Some(&ProberGuard::default())));
    let is_all = |status: &crate::health::Status, state| {
        status.pools[0].members.iter().all(|member| member.word.state() == state)
    };
    let status = rig.wait("all to be up", |status| is_all(status, State::Up));
    let since = status.pools[0].members[7].word.since_secs();
    drop(servers);
    let status = rig.wait("verdicts to be frozen", |status| status.engine.guard.frozen_since_secs.is_some());
    assert!(status.pools[0].members.iter().any(|member| member.health.failed > 0));
    let status = rig.wait("all to be what they were", |status| {
        is_all(status, State::Up)
            && status.pools[0].members.iter().all(|member| member.word.flags().has_any(Flags::FROZEN))
    });
    assert_eq!(status.pools[0].members[7].word.since_secs(), since, "for as long as ever");
}
