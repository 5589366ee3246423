//! Verdicts of every monitor, right and wrong, hanging at every step.

use std::io::Write;
use std::net::{IpAddr, Ipv6Addr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crossbeam::channel::unbounded;

use super::rig::*;
use super::{monitor, pool, tcp_monitor};
use crate::config::model::{Monitor, Probe};
use crate::health::probe::tls::tests::server_config;
use crate::state::health_table::State::{self, Down, Up};

/// The first verdict on 127.0.0.1 with this monitor.
fn verdict_of(monitor: Arc<Monitor>) -> (State, String) {
    verdict_at("127.0.0.1", monitor)
}

fn verdict_at(address: &str, monitor: Arc<Monitor>) -> (State, String) {
    let rig = Rig::start(&[pool("web", monitor, &[address])]);
    let status = rig.first_outcomes();
    let member = &status.pools[0].members[0];
    let verdict = verdict(member);
    let word = words(&rig.table)[0][0];
    assert_eq!(
        (word.state(), word.since_secs()),
        (verdict.0, member.health.since_secs),
        "table and board agree"
    );
    rig.engine.shutdown();
    verdict
}

/// A short budget, and what became of it: the reason, and that the budget was used up but not by far.
fn verdict_in_time(probe: Probe) -> (State, String) {
    let budget = Duration::from_millis(300);
    let monitor = Monitor { timeout: budget, ..(*monitor(probe)).clone() };
    let rig = Rig::start(&[pool("web", Arc::new(monitor), &["127.0.0.1"])]);
    let status = rig.first_outcomes();
    let took = status.pools[0].members[0].health.last_duration.unwrap();
    assert!(took >= budget && took < budget + Duration::from_secs(10), "{took:?}");
    verdict(&status.pools[0].members[0])
}

fn up(reason: &str) -> (State, String) {
    (Up, reason.into())
}

fn down(reason: &str) -> (State, String) {
    (Down, reason.into())
}

#[test]
fn tcp_port_that_opens_is_up_and_a_closed_one_is_refused() {
    let server = Server::start(mute);
    assert_eq!(verdict_of(tcp_monitor(server.port())), up("connected"));
    let dead = DeadPort::take();
    assert_eq!(verdict_of(tcp_monitor(dead.1)), down("connect: refused"));
}

#[test]
fn listener_with_a_full_backlog_times_out_in_connect() {
    let port = DeadPort::take();
    port.listen(0);
    // The kernel takes one or two more than the backlog says; the first that does not come through has filled it.
    let address = ([127, 0, 0, 1], port.1).into();
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        held.push(stream);
        assert!(held.len() < 100, "a backlog of nothing fills");
    }
    assert_eq!(verdict_in_time(Probe::Tcp { port: port.1 }), down("timeout after 300 ms in connect"));
}

#[test]
fn http_status_decides() {
    type Case = (&'static [&'static [u8]], Result<&'static str, &'static str>);
    const CASES: &[Case] = &[
        (&[b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"], Ok("status 200")),
        (&[b"HTTP/1.1 200\r\n"], Ok("status 200")),
        (&[b"HTTP/1.0 200 OK\r\n"], Ok("status 200")),
        (&[b"H", b"TTP/1", b".", b"1 2", b"00", b" ", b"OK", b"\r", b"\n"], Ok("status 200")),
        (&[b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"], Ok("status 200")),
        (&[b"HTTP/1.1 503 Service Unavailable\r\n\r\n"], Err("status 503, expected 200")),
        (&[b"HTTP/1.1 301 Moved\r\nLocation: /x\r\n\r\n"], Err("status 301, expected 200")),
        (&[b"SSH-2.0-OpenSSH_9.2\r\n"], Err("reply is not HTTP/1")),
    ];
    for (reply, verdict) in CASES {
        let server = Server::start(says(reply));
        let expected = verdict.map_or_else(down, up);
        assert_eq!(verdict_of(monitor(Probe::Http(http(server.port())))), expected, "{reply:?}");
    }
}

#[test]
fn http_connection_that_ends_early_has_no_status_line() {
    let server = Server::start(|mut stream| {
        read_head(&mut stream);
        drop(stream.write_all(b"HTTP/1.1 20"));
    });
    let expected = down("connection closed before a status line");
    assert_eq!(verdict_of(monitor(Probe::Http(http(server.port())))), expected);
    let server = Server::start(drop);
    assert_eq!(verdict_of(monitor(Probe::Http(http(server.port())))), expected);
}

#[test]
fn http_server_that_drips_or_says_nothing_times_out_in_receive() {
    let server = Server::start(mute);
    let expected = down("timeout after 300 ms in receive");
    assert_eq!(verdict_in_time(Probe::Http(http(server.port()))), expected);
    let server = Server::start(|mut stream| {
        read_head(&mut stream);
        let mut octets = b"HTTP/1.1 200 ".iter().chain(b"OK".iter().cycle());
        while octets.next().is_some_and(|octet| stream.write_all(&[*octet]).is_ok()) {
            std::thread::park_timeout(Duration::from_millis(5));
        }
    });
    assert_eq!(verdict_in_time(Probe::Http(http(server.port()))), expected);
}

#[test]
fn endless_head_is_cut_off() {
    let server = Server::start(|mut stream| {
        read_head(&mut stream);
        while stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").is_ok() {}
    });
    let verdict = verdict_of(monitor(Probe::Http(http(server.port()))));
    assert_eq!(verdict, down("no final status line in 16384 octets"));
}

#[test]
fn http_request_arrives_octet_for_octet() {
    let (sender, receiver) = unbounded();
    let server = Server::start_on(IpAddr::V6(Ipv6Addr::LOCALHOST), move |mut stream| {
        sender.send(read_head(&mut stream)).unwrap();
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
    });
    assert_eq!(verdict_at("::1", monitor(Probe::Http(http(server.port())))), up("status 200"));
    let expected = format!(
        "GET /healthz HTTP/1.1\r\nHost: [::1]\r\nUser-Agent: steerd/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(String::from_utf8(receiver.recv().unwrap()).unwrap(), expected);
}

/// A TLS server that answers every request with 200.
fn tls_server() -> Server {
    let (config, _) = server_config("www.example.com");
    Server::start(move |stream| {
        let tls = rustls::ServerConnection::new(config.clone()).unwrap();
        let mut stream = rustls::StreamOwned::new(tls, stream);
        if !read_head(&mut stream).is_empty() {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n"));
        }
        drain(&mut stream.sock);
    })
}

#[test]
fn https_takes_any_certificate_unless_told_to_verify() {
    let server = tls_server();
    assert_eq!(verdict_of(monitor(https(server.port(), false))), up("status 200"));

    let rig = Rig::start(&[pool("web", monitor(https(server.port(), true)), &["127.0.0.1"])]);
    let (state, reason) = verdict(&rig.first_outcomes().pools[0].members[0]);
    // Without roots of its own this machine cannot tell.
    let refused = state == Down && reason.starts_with("tls: certificate ");
    assert!(refused || reason.starts_with("prober: no trusted roots"), "{reason}");
}

#[test]
fn https_to_a_server_without_tls_fails_in_tls() {
    let server = Server::start(says_and_closes(&[b"HTTP/1.1 400 Bad Request\r\n\r\n"]));
    let (state, reason) = verdict_of(monitor(https(server.port(), false)));
    assert!(state == Down && reason.starts_with("tls: "), "{reason}");
    let server = Server::start(drop);
    let (state, reason) = verdict_of(monitor(https(server.port(), false)));
    assert_eq!((state, reason.as_str()), (Down, "tls: connection closed in the handshake"));
}

#[test]
fn https_server_that_never_answers_times_out_in_the_handshake() {
    let server = Server::start(mute);
    let expected = down("timeout after 300 ms in TLS handshake");
    assert_eq!(verdict_in_time(https(server.port(), false)), expected);
}

#[test]
fn content_is_matched_across_segments_ignoring_case_in_any_octets() {
    let server = Server::start(says(&[b"\xff\xfe220 m", b"x re", b"ADY\r\n"]));
    let probe = content(server.port(), b"EHLO\r\n\r\n", "^(?-u:..)220 .* ready");
    assert_eq!(verdict_of(monitor(probe)), up("reply matches `^(?-u:..)220 .* ready`"));
}

#[test]
fn content_that_ends_stalls_or_floods_without_a_match_says_so() {
    let server = Server::start(says_and_closes(&[b"421 busy\r\n"]));
    let verdict = verdict_of(monitor(content(server.port(), b"", "^220")));
    assert_eq!(verdict, down("reply does not match `^220`"));
    let server = Server::start(drop);
    let (state, reason) = verdict_of(monitor(content(server.port(), b"", "^220")));
    assert_eq!((state, reason.as_str()), (Down, "connection closed without a reply"));
    let server = Server::start(|mut stream| while stream.write_all(&[b'x'; 4096]).is_ok() {});
    let verdict = verdict_of(monitor(content(server.port(), b"", "^220")));
    assert_eq!(verdict, down("reply does not match `^220`"));
    let server = Server::start(|mut stream| {
        drop(stream.write_all(b"22"));
        drain(&mut stream);
    });
    let verdict = verdict_in_time(content(server.port(), b"", "^220"));
    assert_eq!(verdict, down("reply does not match `^220` within 300 ms"));
    let server = Server::start(mute);
    assert_eq!(verdict_in_time(content(server.port(), b"", "^220")), down("timeout after 300 ms in receive"));
}

#[test]
fn what_is_sent_without_a_pattern_arrives_whole() {
    let (sender, receiver) = unbounded();
    let server = Server::start(move |mut stream| sender.send(drain(&mut stream)).unwrap());
    let octets: Vec<u8> = (0..4096u32).map(|n| n as u8).collect();
    let probe = Probe::TcpContent { port: server.port(), send: octets.clone(), match_re: None };
    assert_eq!(verdict_of(monitor(probe)), up("connected and sent"));
    assert_eq!(receiver.recv().unwrap(), octets);
}
