//! Plans following each other, shared targets, forced ones, probes that could not be made, and the engine's bounds.

use std::io::Write;
use std::net::TcpStream;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::rig::*;
use super::{forced_monitor, monitor, pool, tcp_monitor};
use crate::config::model::{Monitor, Pool, Probe};
use crate::health::probe::Script;
use crate::health::reason::{ProberFault, Reason};
use crate::health::{Engine, EngineGone, Plan};
use crate::state::health_table::{HealthTable, State};

/// Serves 200 while the switch is on, 503 otherwise.
pub(super) fn switched(on: &Arc<AtomicBool>) -> Server {
    let on = on.clone();
    Server::start(move |mut stream: TcpStream| {
        read_head(&mut stream);
        let reply: &[u8] =
            if on.load(Ordering::SeqCst) { b"HTTP/1.1 200 OK\r\n\r\n" } else { b"HTTP/1.1 503 Busy\r\n\r\n" };
        drop(stream.write_all(reply));
        drain(&mut stream);
    })
}

/// A monitor that probes as often as the configuration allows.
pub(super) fn often(probe: Probe, retries: u32, rise: u32) -> Arc<Monitor> {
    let interval = Duration::from_millis(100);
    let timeout = Duration::from_millis(100);
    Arc::new(Monitor { interval, timeout, retries, rise, ..(*monitor(probe)).clone() })
}

fn states(rig: &Rig) -> Vec<Vec<State>> {
    words(&rig.table).iter().map(|pool| pool.iter().map(|word| word.state()).collect()).collect()
}

#[test]
fn same_target_in_two_pools_is_probed_once_and_both_get_the_verdict() {
    let server = Server::start(mute);
    let pools = [
        pool("a", tcp_monitor(server.port()), &["127.0.0.1"]),
        pool("b", tcp_monitor(server.port()), &["127.0.0.1"]),
    ];
    let rig = Rig::start(&pools);
    let status = rig.first_outcomes();
    assert_eq!(states(&rig), [[State::Up], [State::Up]]);
    assert_eq!(status.pools[0].members[0].targets, status.pools[1].members[0].targets);
    assert_eq!((status.engine.targets, status.engine.started), (1, 1));
    assert_eq!(server.accepted(), 1);
    assert_eq!(status.engine.lateness.count(), 1);
}

#[test]
fn member_goes_down_and_up_with_its_backend_and_the_change_has_its_times() {
    let on = Arc::new(AtomicBool::new(true));
    let server = switched(&on);
    let rig = Rig::start(&[pool("a", often(Probe::Http(http(server.port())), 2, 2), &["127.0.0.1"])]);
    let state_is =
        |state| rig.wait("a change", |status| status.pools[0].members[0].health.state.state == state);
    let first = state_is(State::Up).pools[0].members[0].health.changed.unwrap();
    on.store(false, Ordering::SeqCst);
    let status = state_is(State::Down);
    let health = &status.pools[0].members[0].health;
    assert!(health.failed >= 3 && health.state.failures >= 3, "{health:?}");
    assert_eq!(health.reason.as_ref().unwrap().to_string(), "status 503, expected 200");
    let second = health.changed.unwrap();
    assert!(second.verdict_at > first.written_at && second.written_at >= second.verdict_at);
    assert_eq!(states(&rig), [[State::Down]]);
    on.store(true, Ordering::SeqCst);
    assert!(state_is(State::Up).pools[0].members[0].health.state.successes >= 2);
}

#[test]
fn forced_members_have_their_verdict_when_the_plan_is_published() {
    let mut rig = Rig::start(&[pool("a", forced_monitor(true), &["192.0.2.1"])]);
    assert_eq!(states(&rig), [[State::Up]]);
    let seeded = rig.adopt(&[
        pool("a", forced_monitor(false), &["192.0.2.1"]),
        pool("b", forced_monitor(true), &["192.0.2.1"]),
    ]);
    assert_eq!((seeded[0][0].state(), seeded[1][0].state()), (State::Down, State::Up));
    let status = rig.engine.status().snapshot();
    assert_eq!(verdict(&status.pools[0].members[0]), (State::Down, "forced down".to_string()));
    assert_eq!((status.engine.targets, status.engine.started), (2, 0));
}

#[test]
fn reload_keeps_state_counts_and_place_in_the_schedule_of_what_did_not_change() {
    let (server, dead) = (Server::start(mute), DeadPort::take());
    let mut rig = Rig::start(&[
        pool("a", tcp_monitor(server.port()), &["127.0.0.1"]),
        pool("b", tcp_monitor(dead.1), &["127.0.0.1"]),
    ]);
    let before = rig.first_outcomes();
    let seeded = rig.adopt(&[
        pool("b", tcp_monitor(dead.1), &["127.0.0.1"]),
        pool("c", tcp_monitor(server.port()), &["127.0.0.2", "127.0.0.1"]),
    ]);
    let seeded_states: Vec<Vec<_>> =
        seeded.iter().map(|pool| pool.iter().map(|word| word.state()).collect()).collect();
    assert_eq!(seeded_states, [vec![State::Down], vec![State::Unknown, State::Up]], "before publication");
    let after = rig.first_outcomes();
    assert_eq!(after.pools[0].members[0].health, before.pools[1].members[0].health);
    assert_eq!(after.pools[1].members[1].health, before.pools[0].members[0].health);
    // One probe for each of the three targets: the kept ones have not been probed anew.
    assert_eq!((after.engine.targets, after.engine.started), (3, 3));
}

#[test]
fn edited_parameter_keeps_the_state_and_probes_soon() {
    let server = Server::start(mute);
    let mut rig = Rig::start(&[pool("a", tcp_monitor(server.port()), &["127.0.0.1"])]);
    rig.first_outcomes();
    let edited = Monitor { rise: 3, ..(*tcp_monitor(server.port())).clone() };
    let seeded = rig.adopt(&[pool("a", Arc::new(edited), &["127.0.0.1"])]);
    assert_eq!(seeded[0][0].state(), State::Up);
    let status = rig.wait("a probe of the edited one", |status| status.engine.started == 2);
    assert_eq!(status.pools[0].members[0].health.state.state, State::Up);
}

#[test]
fn ended_targets_are_probed_no_more_and_their_late_outcomes_are_ignored() {
    let server = Server::start(mute);
    let hanging = monitor(content(server.port(), b"", "never"));
    let mut rig = Rig::start(&[pool("a", hanging, &["127.0.0.1"])]);
    rig.wait("the probe under way", |status| status.engine.in_flight == 1);
    rig.adopt(&[]);
    let status = rig.wait("the probe's end", |status| status.engine.in_flight == 0);
    assert!(status.pools.is_empty());
    assert_eq!(status.engine.targets, 0);
}

#[test]
fn publication_happens_exactly_once_a_plan_in_order() {
    let engine = Engine::start(2, 1).unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    for round in 0..50 {
        let pools = [pool("a", forced_monitor(round % 2 == 0), &["192.0.2.1", "192.0.2.2"])];
        let table = Arc::new(HealthTable::new([2]));
        let (calls, seen) = (calls.clone(), table.clone());
        let publish = move || {
            assert_eq!(calls.fetch_add(1, Ordering::SeqCst), round);
            let expected = if round % 2 == 0 { State::Up } else { State::Down };
            assert!(words(&seen)[0].iter().all(|word| word.state() == expected));
        };
        engine.adopt(Plan::new(&pools, table), Box::new(publish)).unwrap();
    }
    engine.shutdown();
    assert_eq!(calls.load(Ordering::SeqCst), 50);
}

#[test]
fn keeper_that_is_gone_is_seen_and_takes_the_other_threads_with_it() {
    let engine = Engine::start(2, 1).unwrap();
    assert!(engine.is_alive());
    assert_eq!(engine.adopt(plan(&[]), Box::new(|| ())), Ok(()));
    assert!(engine.is_alive());
    // A panic, without the noise of one.
    engine.adopt(plan(&[]), Box::new(|| resume_unwind(Box::new(())))).unwrap();
    wait_until("the keeper's end", || !engine.is_alive());
    wait_until("a refusal", || engine.adopt(plan(&[]), Box::new(|| ())) == Err(EngineGone));
    // The probers have no target, so nothing but the keeper's end can have ended them.
    let (sender, ended) = crossbeam::channel::bounded(1);
    std::thread::spawn(move || {
        engine.shutdown();
        sender.send(()).unwrap();
    });
    ended.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn probe_that_cannot_be_made_is_counted_and_changes_no_state() {
    // A pattern no configuration lets pass stands for whatever this machine lacks.
    let server = Server::start(mute);
    let mut rig = Rig::start(&[pool("a", tcp_monitor(server.port()), &["127.0.0.1"])]);
    rig.first_outcomes();
    rig.adopt(&[pool("a", often(content(server.port(), b"", "(broken"), 0, 1), &["127.0.0.1"])]);
    let status = rig.wait("some probes", |status| status.pools[0].members[0].health.inconclusive >= 3);
    let health = &status.pools[0].members[0].health;
    assert_eq!((health.state.state, health.failed, health.succeeded), (State::Up, 0, 0));
    assert_eq!(health.reason, Some(Reason::Prober(ProberFault::Pattern)));
    assert!(status.engine.inconclusive >= 3);
    assert_eq!(states(&rig), [[State::Up]]);
}

#[test]
fn reload_mends_what_this_machine_lacked_though_the_target_is_the_same() {
    let server = Server::start(mute);
    let pools = [pool("a", tcp_monitor(server.port()), &["127.0.0.1"])];
    let mut lacking = plan(&pools);
    lacking.scripts[0] = Arc::new(Script::impeded(&pools[0].monitors.list[0].monitor));
    let mut rig = Rig::over(Engine::start(1, 7).unwrap(), &[]);
    rig.adopt_plan(lacking);
    rig.first_outcomes();
    assert_eq!(states(&rig), [[State::Unknown]]);
    rig.adopt(&pools);
    let status = rig.wait("a success", |status| status.pools[0].members[0].health.succeeded == 1);
    assert_eq!(states(&rig), [[State::Up]]);
    let health = &status.pools[0].members[0].health;
    assert_eq!((health.inconclusive, health.succeeded), (1, 1), "what was counted before is kept");
}

#[test]
fn hundreds_of_hanging_targets_delay_no_others() {
    // The hanging ones accept and say nothing; all of them together must not delay the others.
    let (lively, stalled) = (Server::start(mute), Server::start(mute));
    let addresses: Vec<String> = (0..250u32).map(|n| format!("127.0.1.{}", n + 1)).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let listen_all = |port: u16| {
        let listeners: Vec<std::net::TcpListener> =
            addresses.iter().map(|ip| std::net::TcpListener::bind((*ip, port)).unwrap()).collect();
        listeners
    };
    let (_lively, _stalled) = (listen_all(lively.port()), listen_all(stalled.port()));
    let pools: [Pool; 2] = [
        pool("lively", tcp_monitor(lively.port()), &addresses),
        pool("stalled", monitor(content(stalled.port(), b"", "never")), &addresses),
    ];
    let rig = Rig::start(&pools);
    let status = rig.wait("every lively one", |status| {
        status.pools[0].members.iter().all(|member| member.health.state.state == State::Up)
    });
    assert!(status.pools[1].members.iter().all(|member| member.health.state.state == State::Unknown));
}

#[test]
fn no_more_probes_are_under_way_than_allowed_and_the_rest_has_its_turn_late() {
    let server = Server::start(mute);
    let addresses: Vec<String> = (1..=40u32).map(|n| format!("127.0.2.{n}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let _listeners: Vec<std::net::TcpListener> =
        addresses.iter().map(|ip| std::net::TcpListener::bind((*ip, server.port())).unwrap()).collect();
    let budget = Duration::from_millis(50);
    let hanging = Monitor { timeout: budget, ..(*monitor(content(server.port(), b"", "never"))).clone() };
    let pools = [pool("a", Arc::new(hanging), &addresses)];
    let rig = Rig::over(Engine::start_bounded(1, 7, 8, None).unwrap(), &pools);
    let status = rig.wait("all verdicts", |status| {
        assert!(status.engine.in_flight <= 8);
        status.pools[0].members.iter().all(|member| member.health.state.state == State::Down)
    });
    // Five rounds of eight: the last ones waited for four budgets.
    assert!(status.engine.lateness.max() >= budget * 3, "{:?}", status.engine.lateness.max());
    assert_eq!(status.engine.started, 40);
}
