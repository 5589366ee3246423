//! What beside counts decides over a verdict, in the engine: hastened probes, warm-up, and whether a pool counts as up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::adoption::{often, switched};
use super::rig::*;
use super::{pool, tcp_monitor};
use crate::config::model::{Discipline, Monitor, Probe, UpWhen};
use crate::state::health_table::State;

#[test]
fn verdict_in_doubt_is_found_at_the_retry_interval() {
    let on = Arc::new(AtomicBool::new(true));
    let server = switched(&on);
    let soon = Discipline { retry_interval: Some(Duration::from_millis(100)), ..Discipline::default() };
    // The interval itself is an hour: what comes after the first probe comes because of the retry interval.
    let slow =
        Monitor { rise: 3, discipline: soon, ..(*super::monitor(Probe::Http(http(server.port())))).clone() };
    let rig = Rig::start(&[pool("a", Arc::new(slow), &["127.0.0.1"])]);
    let status = rig.wait("the first verdict", |s| s.pools[0].members[0].word.state() == State::Up);
    assert_eq!(status.pools[0].members[0].health.succeeded, 3);
    assert!(status.pools[0].word.is_up);
}

#[test]
fn recovered_member_warms_up_step_by_step_and_its_pool_counts_it_whole() {
    let on = Arc::new(AtomicBool::new(true));
    let server = switched(&on);
    let warmup = Discipline { warmup: Duration::from_millis(900), ..Discipline::default() };
    let monitor = Monitor { discipline: warmup, ..(*often(Probe::Http(http(server.port())), 0, 1)).clone() };
    let mut pools = [pool("a", Arc::new(monitor), &["127.0.0.1"])];
    pools[0].up_when = UpWhen { min_up: 1, weight_percent: 100 };
    let rig = Rig::start(&pools);
    let member = |status: &crate::health::Status| status.pools[0].members[0].word;
    let status = rig.wait("UP", |s| member(s).state() == State::Up);
    assert_eq!(member(&status).permille(), 1000, "a first verdict is taken as it is");
    on.store(false, Ordering::SeqCst);
    let status = rig.wait("DOWN", |s| member(s).state() == State::Down);
    assert!(!status.pools[0].word.is_up);
    on.store(true, Ordering::SeqCst);
    let before = rig.table.sequence(0).unwrap();
    let status = rig.wait("UP again", |s| member(s).state() == State::Up);
    assert!(member(&status).permille() < 1000 && status.pools[0].word.is_up);
    rig.wait("all of its weight", |s| member(s).permille() == 1000);
    let writes = (rig.table.sequence(0).unwrap() - before) / 2;
    assert!((10..=20).contains(&writes), "{writes} writes");
}

#[test]
fn pool_with_too_few_up_does_not_count_as_up() {
    let server = Server::start(mute);
    let mut pools = [pool("a", tcp_monitor(server.port()), &["127.0.0.1", "127.255.255.254"])];
    pools[0].up_when = UpWhen { min_up: 2, weight_percent: 0 };
    let rig = Rig::start(&pools);
    let status = rig.first_outcomes();
    let up = status.pools[0].members.iter().filter(|m| m.word.state() == State::Up).count();
    assert_eq!((up, status.pools[0].word.is_up), (1, false));
}
