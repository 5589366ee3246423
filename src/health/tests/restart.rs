//! States over a restart of the engine.

use std::sync::Arc;
use std::time::Duration;

use super::rig::*;
use super::{pool, tcp_monitor};
use crate::config::model::{Discipline, Monitor};
use crate::health::{Engine, Memory};
use crate::state::health_table::{HealthTable, State};

/// Nobody listens there, and DOWN takes three failures, of which the next process can see one.
fn forgiving(port: u16) -> Arc<Monitor> {
    Arc::new(Monitor { retries: 2, discipline: Discipline::default(), ..(*tcp_monitor(port)).clone() })
}

fn engine(folder: &tempfile::TempDir, max_age_secs: u64) -> Engine {
    let memory = Memory { folder: folder.path().into(), max_age: Duration::from_secs(max_age_secs) };
    Engine::start_with(1, 7, Some(memory)).unwrap()
}

#[test]
fn restarted_engine_goes_on_with_states_and_counts_and_one_probe_flips_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(mute);
    let pools = [pool("a", forgiving(server.port()), &["127.0.0.1"])];
    let rig = Rig::over(engine(&folder, 3600), &pools);
    let before = rig.first_outcomes();
    assert_eq!(before.pools[0].members[0].word.state(), State::Up);
    rig.engine.shutdown();
    drop(server);
    for failures in 1..=2 {
        let mut rig = Rig { engine: engine(&folder, 3600), table: Arc::new(HealthTable::new([])) };
        let published = rig.adopt(&pools);
        assert_eq!(published[0][0].state(), State::Up, "before any probe");
        let member = rig.first_outcomes().pools[0].members[0].clone();
        assert_eq!((member.word.state(), member.health.state.failures), (State::Up, failures));
        assert_eq!(member.health.since_secs, before.pools[0].members[0].health.since_secs);
        rig.engine.shutdown();
    }
    let rig = Rig::over(engine(&folder, 3600), &pools);
    let member = rig.first_outcomes().pools[0].members[0].clone();
    assert_eq!(member.word.state(), State::Down, "the third in a row");
}

#[test]
fn torn_file_is_as_good_as_none_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("health.state");
    std::fs::write(&file, "steerd-health 1\nsaved 1").unwrap();
    let server = Server::start(mute);
    let pools = [pool("a", tcp_monitor(server.port()), &["127.0.0.1"])];
    let mut rig = Rig { engine: engine(&folder, 3600), table: Arc::new(HealthTable::new([])) };
    assert_eq!(rig.adopt(&pools)[0][0].state(), State::Unknown);
    rig.first_outcomes();
    rig.engine.shutdown();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(" 127.0.0.1 up "), "{text}");
    assert!(!folder.path().join("health.state.new").exists());
}
