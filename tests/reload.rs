//! A configuration replaced under way: what changes, what stays, and that nobody notices.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

mod common;

use common::backend::{Backend, Manner};
use common::dns::{Query, Reply, UdpClient, Via};
use common::{Server, config, http, wait_until};

/// `www.test` answered with one address.
fn single(address: &str) -> String {
    config(
        "workers: 1",
        &format!(
            "globalnames: {{www.test: web}}\npools: {{web: {{lb_method: wrr, members: [{address}], monitor: forced, monitor_params: {{status: up}}}}}}\n"
        ),
    )
}

#[test]
fn sighup_puts_a_new_configuration_in_force() {
    let server = Server::start(&single("192.0.2.1"));
    assert_eq!(server.addresses("www.test"), ["192.0.2.1"]);
    server.write_config(&single("192.0.2.2"));
    server.process.signal("HUP");
    wait_until("the new answer", || server.addresses("www.test") == ["192.0.2.2"]);
    server.log_line(&[("message", "configuration in force"), ("generation", "2")]);
    wait_until("the count", || server.metric("steerd_config_generation") == 2.0);
    assert_eq!(server.metric("steerd_config_adopted"), 1.0);
}

#[test]
fn changed_file_is_noticed_without_a_signal() {
    let server = Server::start(&single("192.0.2.1"));
    server.write_config(&single("192.0.2.2"));
    wait_until("the new answer", || server.addresses("www.test") == ["192.0.2.2"]);
    // Written in place instead of replaced.
    std::fs::write(server.file("steerd.yaml"), single("192.0.2.33")).unwrap();
    wait_until("the next answer", || server.addresses("www.test") == ["192.0.2.33"]);
}

#[test]
fn bad_configuration_changes_nothing_and_every_error_is_logged_with_its_place() {
    let server = Server::start(&single("192.0.2.1"));
    let path = server.file("steerd.yaml").display().to_string();
    let bad = "globalnames:\n  www.test: wbe\npools:\n  web:\n    lb_method: wrx\n    members: [192.0.2.2]\n    monitor: forced\n    monitor_params: {status: up}\n";
    server.write_config(bad);
    server.process.signal("HUP");
    let refused = server.log_line(&[("message", "the configuration is refused; the one in force stays")]);
    assert_eq!(refused["errors"], 2);
    assert_eq!(server.metric("steerd_config_reload_failures_total"), 1.0);
    let errors: Vec<String> = server
        .log()
        .iter()
        .filter(|event| event["level"] == "ERROR")
        .map(|event| event["message"].as_str().unwrap().to_owned())
        .collect();
    for (place, what) in [(":2:13: ", "`wbe`"), (":5:16: ", "`wrx`")] {
        let found = errors.iter().any(|e| e.starts_with(&format!("{path}{place}")) && e.contains(what));
        assert!(found, "no line {path}{place}{what} among {errors:#?}");
    }
    assert_eq!(server.addresses("www.test"), ["192.0.2.1"]);
    assert_eq!(server.metric("steerd_config_generation"), 1.0);
    // A file that is not there is refused too, and what comes after is taken.
    std::fs::remove_file(server.file("steerd.yaml")).unwrap();
    server.process.signal("HUP");
    wait_until("the second refusal", || server.metric("steerd_config_reload_failures_total") >= 2.0);
    server.write_config(&single("192.0.2.3"));
    wait_until("the new answer", || server.addresses("www.test") == ["192.0.2.3"]);
}

#[test]
fn rotation_and_counters_go_on_where_they_were() {
    let text = |extra: &str| {
        config(
            "workers: 1",
            &format!(
                "globalnames: {{www.test: web, other.test: other}}
pools:
{extra}  web: {{lb_method: wrr, members: {{192.0.2.1: {{weight: 5}}, 192.0.2.2: {{weight: 3}}, 192.0.2.3: {{weight: 1}}}}, monitor: forced, monitor_params: {{status: up}}}}
  other: {{lb_method: wrr, members: [192.0.2.9], monitor: forced, monitor_params: {{status: up}}}}
"
            ),
        )
    };
    // What one worker answers without any reload: every cycle of nine draws is the same.
    let server = Server::start(&text(""));
    let cycle: Vec<_> = (0..9).map(|_| server.addresses("www.test").remove(0)).collect();
    let mut drawn = 9;
    for round in 0..6 {
        let extra = "  before: {lb_method: wrr, members: [192.0.2.8], monitor: forced, monitor_params: {status: up}}\n";
        // A pool put in front moves every number inside; names decide what is the same.
        server.reload(&text(if round % 2 == 0 { extra } else { "" }));
        for _ in 0..5 {
            assert_eq!(server.addresses("www.test"), [cycle[drawn % 9].clone()], "draw {drawn}");
            drawn += 1;
        }
    }
    let metrics = server.metrics();
    let answers =
        metrics.iter().filter(|(name, _)| name.starts_with("steerd_member_answers_total{pool=\"web\""));
    assert_eq!(answers.map(|(_, count)| *count as usize).sum::<usize>(), drawn);
}

#[test]
fn unchanged_members_keep_their_verdicts() {
    let (one, two, new) =
        (Ipv4Addr::new(127, 78, 0, 1), Ipv4Addr::new(127, 78, 0, 2), Ipv4Addr::new(127, 78, 0, 3));
    let mut backends = Backend::start_all(&[one, two, new], Manner::Http(200));
    backends[1].close();
    let port = backends[0].port();
    let text = |members: &str, interval: &str| {
        config(
            "workers: 1",
            &format!(
                "globalnames: {{www.test: web}}
pools: {{web: {{lb_method: fogroup, fallback: nodata, members: [{members}], monitor: http, monitor_params: {{port: {port}, interval: {interval}, timeout: 100ms, retries: 0}}}}}}
"
            ),
        )
    };
    let server = Server::start(&text("127.78.0.2, 127.78.0.1", "100ms"));
    server.change("127.78.0.1", "up", "status 200");
    server.change("127.78.0.2", "down", "connect: refused");
    let lines = server.log().len();
    server.reload(&text("127.78.0.2, 127.78.0.3, 127.78.0.1", "100ms"));
    wait_until("the new member to be drawn", || server.addresses("www.test") == ["127.78.0.3"]);
    // An answer may be here before its log line, which takes the way of a queue and another thread.
    server.change("127.78.0.3", "up", "status 200");
    let changes: Vec<_> = server.log()[lines..]
        .iter()
        .filter(|event| event["member"].is_string())
        .map(|event| event["member"].clone())
        .collect();
    assert_eq!(changes, ["127.78.0.3"], "only the new member changed its state");
}

#[test]
fn topology_file_is_watched_like_the_configuration() {
    let text = config(
        "workers: 1",
        "globalnames: {geo.test: geo}
pools: {geo: {lb_method: twrr, members: [192.0.2.1, 198.51.100.1], monitor: forced, monitor_params: {status: up}}}
",
    );
    let server = Server::start_with(&text, |folder| {
        let path = folder.join("places.yaml");
        std::fs::write(&path, "east: [192.0.2.0/24, 127.0.0.0/8]\nwest: [198.51.100.0/24]\n").unwrap();
        vec!["--topology".to_owned(), path.display().to_string()]
    });
    for _ in 0..4 {
        assert_eq!(server.addresses("geo.test"), ["192.0.2.1"]);
    }
    server.write_file("places.yaml", "east: [192.0.2.0/24]\nwest: [198.51.100.0/24, 127.0.0.0/8]\n");
    wait_until("the new topology", || server.metric("steerd_config_generation") == 2.0);
    for _ in 0..4 {
        assert_eq!(server.addresses("geo.test"), ["198.51.100.1"]);
    }
}

#[test]
fn what_only_a_restart_changes_is_said() {
    let server = Server::start(&single("192.0.2.1"));
    server.reload(
        &single("192.0.2.2")
            .replace("listen: '127.0.0.1:0'", "listen: '127.0.0.2:0'")
            .replace("workers: 1", "workers: 2"),
    );
    server.log_line(&[
        ("level", "WARN"),
        ("settings", "server.listen, server.workers"),
        ("message", "changed, but in force only after a restart"),
    ]);
    assert_eq!(server.addresses("www.test"), ["192.0.2.2"], "the rest is in force");
}

#[test]
fn nothing_is_lost_or_wrong_under_load_while_files_change_and_a_member_flaps() {
    const SECS: u64 = 5;
    let (one, two) = (Ipv4Addr::new(127, 79, 0, 1), Ipv4Addr::new(127, 79, 0, 2));
    let backends = Backend::start_all(&[one, two], Manner::Http(200));
    let text = |round: u64| {
        config(
            "workers: 2",
            &format!(
                "globalnames: {{www.test: {{pool: web, ttl: {}}}, fixed.test: fixed}}
pools:
  web: {{lb_method: wrr, members: [127.79.0.1, 127.79.0.2], monitor: http, monitor_params: {{port: {}, interval: 100ms, timeout: 100ms, retries: 0}}}}
  fixed: {{lb_method: wrr, members: [192.0.2.1], monitor: forced, monitor_params: {{status: up}}}}
",
                30 + round % 2,
                backends[0].port()
            ),
        )
    };
    let server = Server::start(&text(0));
    server.wait_state("127.79.0.1", "up");
    server.wait_state("127.79.0.2", "up");
    let stop = AtomicBool::new(false);
    let asked = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for via in [Via::Udp, Via::Udp, Via::Udp, Via::Tcp] {
            let (server, stop, asked) = (&server, &stop, &asked);
            scope.spawn(move || {
                // A reply that does not come ends the read with an error: a lost query fails the test.
                let udp = UdpClient::new(server.dns());
                let mut tcp = common::dns::TcpClient::new(server.dns());
                let mut ask = |query: &Query| -> Reply {
                    match via {
                        Via::Udp => udp.ask(query),
                        Via::Tcp => tcp.ask(query),
                    }
                };
                while !stop.load(Ordering::Relaxed) {
                    let addresses = ask(&Query::a("www.test")).addresses();
                    let right = ["127.79.0.1", "127.79.0.2"];
                    assert!(addresses.len() == 1 && right.contains(&&*addresses[0]), "{addresses:?}");
                    assert_eq!(ask(&Query::a("fixed.test")).addresses(), ["192.0.2.1"]);
                    let negative = ask(&Query::a("no.fixed.test")).text();
                    assert!(negative.starts_with("NXDOMAIN aa rd\nns fixed.test. 60 SOA"), "{negative}");
                    asked.fetch_add(3, Ordering::Relaxed);
                }
            });
        }
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let until = Instant::now() + Duration::from_secs(SECS);
            let mut round = 0;
            while Instant::now() < until {
                round += 1;
                server.reload(&text(round));
                let (status, state) = if round % 2 == 0 { (200, "up") } else { (503, "down") };
                backends[1].behave(Manner::Http(status));
                server.wait_state("127.79.0.2", state);
            }
            assert!(round >= 5, "only {round} reloads");
        }));
        stop.store(true, Ordering::Relaxed);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    let metrics = server.metrics();
    let dropped: f64 = metrics
        .iter()
        .filter(|(name, _)| name.starts_with("steerd_dropped_total"))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(dropped, 0.0);
    let replies = |name: &str| metrics[&format!("steerd_responses_total{{result=\"{name}\"}}")] as u64;
    assert_eq!(
        replies("answer") + replies("nxdomain"),
        asked.load(Ordering::Relaxed),
        "each was answered once"
    );
}

#[test]
fn topology_file_that_appears_late_is_taken() {
    let server = Server::start(&single("192.0.2.1"));
    let text = config(
        "workers: 1",
        "globalnames: {www.test: web}\ntopology_file: late.yaml\npools: {web: {lb_method: twrr, members: [192.0.2.2], \
         monitor: forced, monitor_params: {status: up}}}\n",
    );
    server.write_config(&text);
    wait_until("the refusal", || server.metric("steerd_config_reload_failures_total") >= 1.0);
    assert_eq!(server.addresses("www.test"), ["192.0.2.1"]);
    server.write_file("late.yaml", "here: [127.0.0.0/8]\n");
    wait_until("the new answer", || server.addresses("www.test") == ["192.0.2.2"]);
}

#[test]
fn health_check_stays_good_through_reloads() {
    let server = Server::start(&single("192.0.2.1"));
    let stop = AtomicBool::new(false);
    let checks = AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // Fails for any status but 200.
                assert_eq!(http(server.admin, "GET", "/healthz"), "ok\n");
                checks.fetch_add(1, Ordering::Relaxed);
            }
        });
        for round in 0..20 {
            server.reload(&single(&format!("192.0.2.{}", 1 + round)));
        }
        wait_until("checks", || checks.load(Ordering::Relaxed) > 20);
        stop.store(true, Ordering::Relaxed);
    });
}

/// Replaces a file of secrets as a careful operator does: never open to others, whole, by renaming.
fn write_secrets(server: &Server, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    let new = server.file("cookie.new");
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode)).unwrap();
    std::fs::rename(new, server.file("cookie.secrets")).unwrap();
}

#[test]
fn cookie_secrets_are_exchanged_under_way_and_a_bad_file_changes_nothing() {
    const ONE: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    const TWO: &str = "445536bcd2513298075a5d379663c962";
    let server = Server::start(&single("192.0.2.1"));
    let query = |cookie: &[u8]| Query::a("www.test").edns(1232).option(10, cookie);
    // The option of a reply as text, and its cookies.
    let told = |cookie: &[u8]| -> (String, Vec<u8>) {
        let text = server.ask(Via::Udp, &query(cookie)).text();
        let hex = text.split("000a0018").nth(1).unwrap_or_else(|| panic!("no cookie in {text}"));
        let octets = (0..48).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        (text, octets)
    };
    let generation = |number: f64| {
        wait_until("the generation", || server.metric("steerd_config_generation") == number);
    };
    let failures = |number: f64| {
        wait_until("the refusal", || server.metric("steerd_config_reload_failures_total") >= number);
        assert_eq!(server.metric("steerd_config_adopted"), 1.0);
    };
    let (_, own) = told(b"12345678");
    // The process's own secret outlives a reload.
    server.reload(&single("192.0.2.1"));
    assert_eq!(told(&own).1, own);
    write_secrets(&server, ONE, 0o600);
    let settings = "workers: 1, cookies: {secret_file: cookie.secrets, require: always}";
    server.write_config(&single("192.0.2.1").replace("workers: 1", settings));
    generation(3.0);
    let (text, of_one) = told(&own);
    assert!(text.starts_with("BADCOOKIE"), "{text}");
    assert!(told(&of_one).0.starts_with("NOERROR"));
    for (wrong, mode, number) in [("nothing of use", 0o600, 1.0), (TWO, 0o644, 2.0)] {
        write_secrets(&server, wrong, mode);
        failures(number);
        assert_eq!(told(&of_one).1, of_one, "the secret in force stays");
    }
    // No signal: the file is watched, and was while it was wrong.
    write_secrets(&server, &format!("{TWO}\n{ONE}\n"), 0o600);
    generation(4.0);
    let (text, of_two) = told(&of_one);
    assert!(text.starts_with("NOERROR") && of_two != of_one, "{text}");
    write_secrets(&server, TWO, 0o400);
    generation(5.0);
    assert_eq!(told(&of_two).1, of_two);
    assert!(told(&of_one).0.starts_with("BADCOOKIE"));
    let secrets = [ONE, TWO];
    assert!(
        !server.log().iter().any(|line| secrets.iter().any(|secret| line.to_string().contains(&secret[4..])))
    );
}
