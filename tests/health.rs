//! Members that are really probed: what brings them down and up, what is said about it, and what is answered.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::net::Ipv4Addr;

mod common;

use common::backend::{Backend, DeadPort, Manner};
use common::{Server, config, wait_for, wait_until};

const ONE: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);
const TWO: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 2);

/// `www.test` from an ordered pool of both addresses: the answer tells which one is UP.
fn ordered(monitor: &str, parameters: &str) -> String {
    format!(
        "globalnames: {{www.test: web}}
pools:
  web:
    lb_method: fogroup
    fallback: nodata
    members: {{127.77.0.1: {{name: one}}, 127.77.0.2: {{name: two}}}}
    monitor: {monitor}
    monitor_params: {{interval: 100ms, timeout: 100ms, retries: 0, {parameters}}}
"
    )
}

#[track_caller]
fn wait_answer(server: &Server, expected: &[&str]) {
    wait_until(&format!("the answer {expected:?}"), || server.addresses("www.test") == expected);
}

/// Brings the first member down by `fail` and up again by `heal`; checks reasons and answers.
fn fails_over(server: &Server, up_reason: &str, down_reason: &str, fail: impl FnOnce(), heal: impl FnOnce()) {
    server.change("one", "up", up_reason);
    server.change("two", "up", up_reason);
    wait_answer(server, &["127.77.0.1"]);
    fail();
    let down = server.change("one", "down", down_reason);
    assert_eq!(down["previous_state"], "up");
    assert_eq!(down["level"], "WARN");
    assert_eq!((&down["pool"], &down["address"]), (&"web".into(), &"127.77.0.1".into()));
    wait_answer(server, &["127.77.0.2"]);
    heal();
    server.log_line(&[("member", "one"), ("state", "up"), ("previous_state", "down"), ("reason", up_reason)]);
    wait_answer(server, &["127.77.0.1"]);
}

#[test]
fn http_member_fails_over_on_a_wrong_status_and_comes_back() {
    let backends = Backend::start_all(&[ONE, TWO], Manner::Http(200));
    let server = Server::start(&ordered(
        "http",
        &format!("port: {}, url_path: /ok?x=1, hostname: probe.test", backends[0].port()),
    ));
    fails_over(
        &server,
        "status 200",
        "status 503, expected 200",
        || backends[0].behave(Manner::Http(503)),
        || backends[0].behave(Manner::Http(200)),
    );
    let request = backends[0].requests()[0].clone();
    assert!(request.starts_with("GET /ok?x=1 HTTP/1."), "{request}");
    assert!(request.contains("\r\nHost: probe.test"), "{request}");
}

#[test]
fn expected_codes_may_be_ranges() {
    let backends = Backend::start_all(&[ONE, TWO], Manner::Http(302));
    let parameters = format!("port: {}, expected_codes: [200, 300-399]", backends[0].port());
    let server = Server::start(&ordered("http_status", &parameters));
    server.change("one", "up", "status 302");
    backends[0].behave(Manner::Http(404));
    server.change("one", "down", "status 404, expected 200, 300-399");
    wait_answer(&server, &["127.77.0.2"]);
}

#[test]
fn refused_connection_brings_a_tcp_member_down() {
    let mut backends = Backend::start_all(&[ONE, TWO], Manner::Mute);
    let server = Server::start(&ordered("tcp", &format!("port: {}", backends[0].port())));
    let one = std::cell::RefCell::new(&mut backends[0]);
    fails_over(
        &server,
        "connected",
        "connect: refused",
        || one.borrow_mut().close(),
        || one.borrow_mut().reopen(),
    );
}

#[test]
fn dead_member_is_never_answered() {
    let dead = DeadPort::take(ONE);
    let server = Server::start(&ordered("tcp", &format!("port: {}", dead.address.port())));
    server.change("one", "down", "connect: refused");
    server.change("two", "down", "connect: refused");
    wait_answer(&server, &[]);
}

#[test]
fn https_member_is_probed_through_tls() {
    let backends = Backend::start_all(&[ONE, TWO], Manner::Https(200));
    let parameters = format!("port: {}, hostname: probe.test", backends[0].port());
    // TLS in a debug build needs more than the other probes.
    let text =
        ordered("https", &parameters).replace("interval: 100ms, timeout: 100ms", "interval: 1s, timeout: 1s");
    let server = Server::start(&text);
    fails_over(
        &server,
        "status 200",
        "status 500, expected 200",
        || backends[0].behave(Manner::Https(500)),
        || backends[0].behave(Manner::Https(200)),
    );
}

#[test]
fn tls_handshake_that_hangs_is_named_with_the_budget() {
    let backends = Backend::start_all(&[ONE, TWO], Manner::Mute);
    let parameters = format!("port: {}, use_ssl: true", backends[0].port());
    let text = ordered("http", &parameters)
        .replace("interval: 100ms, timeout: 100ms", "interval: 400ms, timeout: 300ms");
    let server = Server::start(&text);
    server.change("one", "down", "timeout after 300 ms in TLS handshake");
}

#[test]
fn http_server_that_says_nothing_or_nonsense_is_down() {
    let backends = Backend::start_all(&[ONE, TWO], Manner::Mute);
    backends[1].behave(Manner::Says("SSH-2.0-nonsense\r\n"));
    let server = Server::start(&ordered("http", &format!("port: {}", backends[0].port())));
    server.change("one", "down", "timeout after 100 ms in receive");
    server.change("two", "down", "reply is not HTTP/1");
}

#[test]
fn tcp_content_matches_what_the_server_says() {
    let backends = Backend::start_all(&[ONE, TWO], Manner::Says("220 Ready to serve\r\n"));
    let parameters = format!("port: {}, match_re: '^220 READY'", backends[0].port());
    let server = Server::start(&ordered("tcp_content", &parameters));
    fails_over(
        &server,
        "reply matches `^220 READY`",
        "reply does not match `^220 READY`",
        || backends[0].behave(Manner::Says("421 overloaded\r\n")),
        || backends[0].behave(Manner::Says("220 ready\r\n")),
    );
}

#[test]
fn failures_are_forgiven_up_to_retries_and_success_must_repeat_up_to_rise() {
    let backends = Backend::start_all(&[ONE, TWO], Manner::Http(200));
    let text = ordered("http", &format!("port: {}, rise: 3", backends[0].port()))
        .replace("retries: 0", "retries: 2");
    let server = Server::start(&text);
    server.change("one", "up", "status 200");
    assert!(backends[0].accepted() >= 3, "three successes make UP");
    backends[0].behave(Manner::Http(503));
    let before = backends[0].accepted();
    server.change("one", "down", "status 503, expected 200");
    assert!(
        backends[0].accepted() >= before + 2,
        "three failures make DOWN, of which one may have been under way"
    );
}

#[test]
fn same_target_in_two_pools_is_probed_once() {
    let backend = Backend::start(ONE, Manner::Http(200));
    let pool = |name: &str| {
        format!(
            "  {name}: {{lb_method: wrr, members: [127.77.0.1], monitor: http, monitor_params: {{port: {}, interval: 100ms, timeout: 100ms}}}}\n",
            backend.port()
        )
    };
    let text = format!("globalnames: {{www.test: a, two.test: b}}\npools:\n{}{}", pool("a"), pool("b"));
    let server = Server::start(&text);
    for pool in ["a", "b"] {
        server.log_line(&[("pool", pool), ("state", "up"), ("reason", "status 200")]);
    }
    assert_eq!(server.metric("steerd_probe_targets"), 1.0);
    let started = server.metric("steerd_probes_started_total");
    wait_until("ten more probes", || server.metric("steerd_probes_started_total") >= started + 10.0);
    // Read first: every connection was a probe that had been counted before it was made, or was about to be.
    let accepted = backend.accepted() as f64;
    wait_until("every connection to be a counted probe", || {
        server.metric("steerd_probes_started_total") >= accepted
    });
}

#[test]
fn member_of_weight_zero_is_probed_and_never_drawn() {
    let backends = Backend::start_all(&[ONE, TWO], Manner::Http(200));
    let text = ordered("http", &format!("port: {}", backends[0].port()))
        .replace("{name: one}", "{name: one, weight: 0}");
    let server = Server::start(&text);
    server.change("one", "up", "status 200");
    server.change("two", "up", "status 200");
    wait_answer(&server, &["127.77.0.2"]);
    backends[1].behave(Manner::Http(500));
    server.change("two", "down", "status 500, expected 200");
    wait_answer(&server, &[]);
}

#[test]
fn disabled_member_is_probed_and_never_drawn() {
    let backends = Backend::start_all(&[ONE, TWO], Manner::Http(200));
    let text = ordered("http", &format!("port: {}", backends[0].port()))
        .replace("{name: one}", "{name: one, enabled: false}");
    let server = Server::start(&text);
    server.wait_state("one", "up");
    wait_answer(&server, &["127.77.0.2"]);
    assert!(backends[0].accepted() > 0);
}

#[test]
fn forced_members_are_what_the_configuration_says() {
    let pool = |status: &str| {
        format!(
            "globalnames: {{www.test: web}}
pools: {{web: {{lb_method: wrr, fallback: nodata, members: {{192.0.2.1: {{name: one}}}}, monitor: forced, monitor_params: {{status: {status}}}}}}}
"
        )
    };
    let server = Server::start(&config("workers: 1", &pool("down")));
    server.change("one", "down", "forced down");
    assert!(server.addresses("www.test").is_empty());
    server.reload(&config("workers: 1", &pool("up")));
    server.change("one", "up", "forced up");
    wait_answer(&server, &["192.0.2.1"]);
}

#[test]
fn member_without_a_verdict_is_answered_only_while_none_is_up() {
    let backends = Backend::start_all(&[ONE, TWO], Manner::Http(200));
    // Three hundred successes in a row: the first member has no verdict while this test runs.
    let text = ordered("http", &format!("port: {}, rise: 100", backends[0].port()));
    let server = Server::start(&text.replace("interval: 100ms", "interval: 10s"));
    let answer = wait_for("an answer", || Some(server.addresses("www.test")).filter(|a| !a.is_empty()));
    assert_eq!(answer, ["127.77.0.1"]);
    assert!(server.metric("steerd_pool_answers_total{source=\"unknown\"}") >= 1.0);
}

#[test]
fn state_page_tells_members_with_their_reasons() {
    let dead = DeadPort::take(ONE);
    let server = Server::start(&ordered("tcp", &format!("port: {}", dead.address.port())));
    server.wait_state("one", "down");
    let state: serde_json::Value =
        serde_json::from_str(&common::http(server.admin, "GET", "/state")).unwrap();
    let member = &state["pools"][0]["members"][0];
    assert_eq!((&member["state"], &member["reason"]), (&"down".into(), &"connect: refused".into()));
    assert_eq!(member["address"], "127.77.0.1");
    assert_eq!(common::http(server.admin, "GET", "/healthz"), "ok\n");
}
