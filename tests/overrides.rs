//! What an operator decides over members: at once in force, shown, kept over a restart, ended by itself.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

mod common;

use common::{Server, config, run_steerd, wait_until};

/// `www.test` from an ordered pool of two members that are UP.
fn text(state_dir: &Path) -> String {
    config(
        &format!("state_dir: {}", state_dir.display()),
        "globalnames: {www.test: web}
topology: {dc2: 127.77.0.2}
pools:
  web:
    lb_method: fogroup
    fallback: nodata
    members: {127.77.0.1: {name: one}, 127.77.0.2: {name: two}}
    monitor: forced
    monitor_params: {status: up}
",
    )
}

/// What the command prints; panics where it fails.
fn decide(state_dir: &Path, arguments: &[&str]) -> String {
    let folder = state_dir.to_str().unwrap();
    let output = run_steerd(&[&["override"], arguments, &["--state-dir", folder]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What the command says when it fails.
fn refused(state_dir: &Path, arguments: &[&str]) -> String {
    let folder = state_dir.to_str().unwrap();
    let output = run_steerd(&[&["override"], arguments, &["--state-dir", folder]].concat());
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn decisions_hold_at_once_and_over_a_restart_until_they_are_taken_back() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path();
    let server = Server::start(&text(folder));
    let mode = folder.join("control.sock").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(server.addresses("www.test"), ["127.77.0.1"]);
    assert_eq!(decide(folder, &["list"]), "no overrides\n");

    let added = decide(folder, &["add", "down", "web/on?", "--reason", "a new disk", "--owner", "ana"]);
    assert_eq!(added, "1 down web/on? (1 members), owner: ana, reason: a new disk\n");
    assert_eq!(server.addresses("www.test"), ["127.77.0.2"], "in force when the command returns");
    let member = "pool=\"web\",member=\"one\",address=\"127.77.0.1\"";
    assert!((server.metric(&format!("steerd_member_override{{{member},order=\"down\"}}")) - 1.0).abs() < 0.5);
    assert!(server.stop().success());
    assert!(refused(folder, &["list"]).contains("is steerd running"));

    let server = Server::start(&text(folder));
    assert_eq!(server.addresses("www.test"), ["127.77.0.2"], "from the first answer on");
    assert!(decide(folder, &["add", "drain", "region:dc2"]).contains("\n2 drain region:dc2 (1 members)\n"));
    assert_eq!(
        server.addresses("www.test"),
        Vec::<String>::new(),
        "nobody is left, and the fallback is nodata"
    );
    assert!(refused(folder, &["remove", "7"]).contains("there is no override 7"));
    decide(folder, &["remove", "1"]);
    assert_eq!(server.addresses("www.test"), ["127.77.0.1"]);
    decide(folder, &["add", "disable", "127.77.0.1"]);
    decide(folder, &["remove", "2"]);
    assert_eq!(server.addresses("www.test"), ["127.77.0.2"]);
    // A reload makes new tables, and the decision holds in them.
    server.reload(&format!("{}# again\n", text(folder)));
    assert_eq!(server.addresses("www.test"), ["127.77.0.2"]);
    decide(folder, &["remove", "3"]);
    assert_eq!(server.addresses("www.test"), ["127.77.0.1"]);
}

#[test]
fn decision_ends_by_itself() {
    let state = tempfile::tempdir().unwrap();
    let server = Server::start(&text(state.path()));
    decide(state.path(), &["add", "weight=0", "one", "--expires", "2s"]);
    assert_eq!(server.addresses("www.test"), ["127.77.0.2"]);
    wait_until("the end of the decision", || server.addresses("www.test") == ["127.77.0.1"]);
    assert_eq!(decide(state.path(), &["list"]), "no overrides\n");
}
