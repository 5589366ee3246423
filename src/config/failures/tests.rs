//! Warnings and loads worked out by hand.

use super::*;
use crate::config::compile::demand::{Populated, number_parts};
use crate::config::tests::{loaded, warnings};

fn text(method: &str, members: &str, more: &str) -> String {
    format!(
        "globalnames: {{a.example: web}}\nserver: {{ns: [ns.example.net]}}\npools:\n  web:\n    lb_method: {method}\n    \
         members: {members}\n    monitor: forced\n    monitor_params: {{status: up}}\n{more}"
    )
}

#[test]
fn overload_by_a_single_failure_is_warned_about_once_a_pool() {
    // 300 in all, and without the first one room for 240 of it: each of the others has a quarter too much.
    let members = "{192.0.2.1: {weight: 100, capacity: 200}, 192.0.2.2: {weight: 100, capacity: 120}, \
                   192.0.2.3: {weight: 100, capacity: 120}}";
    assert_eq!(
        warnings(&text("wrr", members, "")),
        [
            "4:3: pool `web`: if `192.0.2.1` fails, `192.0.2.2` carries 150 of its 120 (the worst of 2 cases; `steerd plan \
             --n-1` shows all)"
        ]
    );
    // What one has no room for, the other takes.
    let enough = members.replacen("120", "150", 1).replace("120", "180");
    assert!(warnings(&text("wrr", &enough, "")).is_empty());
    assert_eq!(
        warnings(&text("wrr", &enough, "    demand: 660\n")),
        [
            "4:3: pool `web`: if `192.0.2.1` fails, `192.0.2.3` carries 360 of its 180 (the worst of 9 cases; `steerd plan \
             --n-1` shows all)"
        ]
    );
}

#[test]
fn failures_are_tried_within_a_bound_and_what_is_left_out_is_said() {
    let members = |count: u32| {
        let member = |at: u32| format!("10.0.{}.{}: {{capacity: 3}}", at / 256, at % 256);
        format!("{{{}}}", (1..=count).map(member).collect::<Vec<_>>().join(", "))
    };
    assert!(warnings(&text("wrr", &members(1024), "")).is_empty(), "all are tried");
    assert!(warnings(&text("hash", &members(100), "")).is_empty(), "all are tried");
    assert_eq!(
        warnings(&text("hash", &members(1024), "")),
        [
            "4:3: pool `web`: 0 of 1024 single failures were tried against the members' capacities (`steerd plan --n-1` \
             tries all)"
        ]
    );
    assert_eq!(slot_count(100), 8192);
}

#[test]
fn loads_are_those_of_the_rotation() {
    let topology = "topology: {a: [10.1.0.0/16], b: [10.2.0.0/16], c: [10.3.0.0/16]}\n";
    let members = "{10.1.0.1: {weight: 10}, 10.1.0.2: {weight: 10}, 10.2.0.1: {weight: 5}}";
    let config = loaded(&text("twrr", members, topology));
    let snapshot = crate::config::compile::compile(&config, 1);
    let (model, pool) = (&config.pools[0], &snapshot.pools[0]);
    snapshot.health.write(0, (0..3).map(|member| (member, Word::new(State::Up, 0))));
    let mut rotations = RotationTable::new(&snapshot.pools, 3);
    let populated = Populated::new(&config.topology, &snapshot.clients);
    // Outside and c count as b does: 5, 20, 5, 5 of 35.
    let members = &pool.v4.candidates[..pool.v4.fallback_at];
    let parts = number_parts(members, &pool.v4.preferences, &populated);
    assert_eq!(parts.iter().map(|part| (part * 35.0).round()).collect::<Vec<_>>(), [5.0, 20.0, 5.0, 5.0]);
    let spread = [&pool.v4, &pool.v6].map(|family| scopes(family, &populated));
    let mut trial = Trial::new(pool, &snapshot.health, &mut rotations, family_demands(model), spread);
    let mut loads = |failed: &Failed| -> Vec<f64> {
        trial.loads(failed).iter().map(|load| (load * 7.0).round()).collect()
    };
    // In units of 25 / 35 = 5 / 7: 20 of a, and 10 of the others by 10 : 10 : 5.
    assert_eq!(loads(&Failed::Nobody), [70.0, 70.0, 35.0]);
    // a to its other; outside and c by 10 : 5.
    assert_eq!(loads(&Failed::Member(0)), [0.0, 133.0, 42.0]);
    assert_eq!(loads(&Failed::Region("a".into(), vec![0, 1])), [0.0, 0.0, 175.0]);
    assert_eq!(loads(&Failed::Nobody), [70.0, 70.0, 35.0], "nothing is left of a trial");
    assert_eq!(failures(pool, &config.topology.regions).len(), 1 + 3 + 2);
}
