//! `push`: state and weight as they are pushed, silence, restarts, and what is refused.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Server, config, steerd};
use crate::room::{expect, member};

const POOLS: &str = "globalnames: {web.test: web, api.test: api, tcp.test: tcp}
pools:
  web: {lb_method: wrr, fallback: nodata, members: {192.0.2.1: {name: web1}, 192.0.2.2: {name: web2}}, monitor: push, monitor_params: {ttl: TTL}}
  api: {lb_method: wrr, members: {192.0.2.1: {name: api1}, 192.0.2.8: {name: twin}, 192.0.2.9: {name: twin}}, monitors: [{monitor: push, monitor_params: {ttl: 24h, silence: up}}, {monitor: forced, monitor_params: {status: up}}]}
  tcp: {lb_method: wrr, members: {192.0.2.3: {name: tcp1}}, monitor: forced, monitor_params: {status: up}}
";

fn text(ttl: &str, state: &Path) -> String {
    config(&format!("workers: 1, state_dir: '{}'", state.display()), &POOLS.replace("TTL", ttl))
}

fn push(state: &Path, arguments: &[&str]) -> Output {
    steerd().arg("push").args(arguments).arg("--state-dir").arg(state).output().unwrap()
}

#[track_caller]
fn pushed(state: &Path, arguments: &[&str]) {
    let output = push(state, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 pushed\n");
}

#[track_caller]
fn refused(state: &Path, arguments: &[&str], error: &str) {
    let output = push(state, arguments);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("steerd: {error}\n"));
}

#[test]
fn what_is_pushed_is_what_a_member_is() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let server = Server::start(&text("1h", state));
    assert_eq!(member(&server, "web1")["state"], "unknown", "nobody has said anything yet");
    pushed(state, &["web", "web1", "up", "75%", "--reason", "all well"]);
    expect(&server, "web1", "up", "pushed: up 75% (all well)");
    assert_eq!(member(&server, "web1")["weight_permille"], 750);
    pushed(state, &["web", "192.0.2.2", "drain"]);
    expect(&server, "web2", "up", "pushed: drain");
    assert_eq!(member(&server, "web2")["draining"], true);
    pushed(state, &["web", "web1", "maint"]);
    expect(&server, "web1", "down", "pushed: maint");
    assert_eq!(
        member(&server, "api1")["state"],
        "unknown",
        "the same address in another pool is another member"
    );
    pushed(state, &["api", "api1", "down"]);
    expect(&server, "api1", "down", "1 of 2 monitors up, 2 needed: push \"pushed: down\"");

    refused(state, &["wbe", "web1", "up"], "push 1: there is no pool `wbe`");
    refused(state, &["web", "web9", "up"], "push 1: the pool `web` has no member `web9`");
    refused(state, &["tcp", "tcp1", "up"], "push 1: the pool `tcp` has no `push` monitor");
    refused(
        state,
        &["api", "twin", "up"],
        "push 1: the pool `api` has several members `twin`: name one by its address",
    );
    let words = "accepted are up, down, drain, maint, ready and a share such as 75%";
    refused(state, &["web", "web1", "fine"], &format!("push 1: `fine` is not understood: {words}"));
    let output = push(state, &["web", "web1", "up", "--ttl", "25h"]);
    assert_eq!(output.status.code(), Some(2), "wrong usage");
    let nobody =
        steerd().args(["push", "web", "web1", "up", "--state-dir", "/nonexistent"]).output().unwrap();
    assert!(
        String::from_utf8_lossy(&nobody.stderr).contains("no server answers at /nonexistent/control.sock")
    );
}

#[test]
fn many_are_pushed_at_once_all_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let server = Server::start(&text("1h", state));
    let lines = |text: &str| {
        let mut command = steerd();
        command.args(["push", "-", "--state-dir"]).arg(state);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = lines("web web1 up\nweb web9 up\n");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "steerd: push 2: the pool `web` has no member `web9`\n"
    );
    assert_eq!(member(&server, "web1")["state"], "unknown", "not even the first of them");
    let many = "web web1 down\nweb web2 up 10% ttl=30s # slowly\n".repeat(1500);
    let output = lines(&many);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "3000 pushed\n");
    expect(&server, "web1", "down", "pushed: down");
    expect(&server, "web2", "up", "pushed: up 10% (slowly)");
}

#[test]
fn silence_is_the_configured_verdict_and_a_start_waits_as_long() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let server = Server::start(&text("2s", state));
    let begun = Instant::now();
    assert_eq!(member(&server, "web1")["state"], "unknown");
    expect(&server, "web1", "down", "nothing pushed for 2 s");
    assert!(begun.elapsed() > Duration::from_millis(1500), "not before its time");
    pushed(state, &["web", "web1", "up", "50%", "--ttl", "1s"]);
    expect(&server, "web1", "up", "pushed: up 50%");
    expect(&server, "web1", "down", "nothing pushed for 1 s");
    assert_eq!(member(&server, "web1")["weight_permille"], 1000, "what was said holds no more");

    // A reload goes on as it was; so does a restart, which then waits for a time to live.
    pushed(state, &["web", "web1", "up", "--ttl", "1h"]);
    pushed(state, &["web", "web2", "down", "--ttl", "1h"]);
    server.reload(&text("2s", state).replace("tcp1", "tcp2"));
    // Longer than the pool's own time to live.
    std::thread::park_timeout(Duration::from_millis(2500));
    expect(&server, "web1", "up", "pushed: up");
    server.reload(&text("3s", state));
    expect(&server, "web1", "up", "pushed: up");
    assert!(server.stop().success());
    let server = Server::start(&text("3s", state));
    assert_eq!(member(&server, "web1")["state"], "up", "what the last run knew");
    assert_eq!(member(&server, "web2")["state"], "down");
    expect(&server, "web1", "down", "nothing pushed for 3 s");
}
