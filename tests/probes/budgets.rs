//! What hangs is given up when its budget is spent: not before, and at most 50 ms later, at whatever step.
//!
//! Measured is what the server itself reports of its probes; the median of several counts, so that one moment in which
//! this machine was busy decides nothing.

use std::io::Write;
use std::net::{TcpListener, UdpSocket};

use crate::common::backend::{Backend, Manner};
use crate::common::wait_for;
use crate::room::{NOBODY, Room, member, pool, serve};

const BUDGET_MS: f64 = 300.0;
const ALLOWED_MS: f64 = 50.0;
const TRIES: usize = 7;

#[test]
fn every_monitor_that_hangs_keeps_its_budget() {
    let Some(room) = Room::enter() else { return };
    room.permit_echo(true);
    let local = [127, 0, 0, 1].into();
    let mute = Backend::start(local, Manner::Mute);
    let udp = UdpSocket::bind("127.0.0.1:5301").unwrap();
    let drips = TcpListener::bind("127.0.0.1:5302").unwrap();
    std::thread::spawn(move || {
        for mut stream in drips.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut octets =
                    b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n".iter().chain(b"x".iter().cycle());
                while octets.next().is_some_and(|octet| stream.write_all(&[*octet]).is_ok()) {
                    std::thread::park_timeout(std::time::Duration::from_millis(2));
                }
            });
        }
    });
    // Truncates over UDP after half of the budget, and then has nothing to say over TCP.
    let truncates = UdpSocket::bind(("127.0.0.1", mute.port())).unwrap();
    std::thread::spawn(move || {
        let mut octets = [0; 512];
        while let Ok((length, from)) = truncates.recv_from(&mut octets) {
            std::thread::park_timeout(std::time::Duration::from_millis(150));
            octets[2] |= 0x82;
            truncates.send_to(&octets[..length], from).unwrap_or_default();
        }
    });
    let port = mute.port();
    let hangs: [(&str, &str, &str, String); 13] = [
        ("tcpconnect", NOBODY, "tcp", "port: 80".into()),
        ("httpconnect", NOBODY, "http", String::new()),
        ("httpreceive", "127.0.0.1", "http", format!("port: {port}")),
        ("httpdrip", "127.0.0.1", "http", "port: 5302, match_re: y".into()),
        ("httpsstall", "127.0.0.1", "https", format!("port: {port}")),
        ("tlsconnect", NOBODY, "tls", String::new()),
        ("tlsstall", "127.0.0.1", "tls", format!("port: {port}")),
        ("content", "127.0.0.1", "tcp_content", format!("port: {port}, match_re: x")),
        ("dnsudp", "127.0.0.1", "dns", "port: 5301, query_name: a.test".into()),
        ("dnstcp", "127.0.0.1", "dns", format!("port: {port}, query_name: a.test, transport: tcp")),
        ("dnsboth", "127.0.0.1", "dns", format!("port: {port}, query_name: a.test")),
        ("echo", NOBODY, "icmp", String::new()),
        ("agent", "127.0.0.1", "agent", format!("port: {port}")),
    ];
    let pools: Vec<String> = hangs
        .iter()
        .map(|(name, address, monitor, parameters)| {
            let comma = if parameters.is_empty() { "" } else { ", " };
            pool(name, address, monitor, &format!("timeout: 300ms{comma}{parameters}"))
                .replace("interval: 1s", "interval: 400ms")
        })
        .collect();
    let server = serve(&pools);
    for (name, ..) in &hangs {
        let mut durations: Vec<f64> = Vec::new();
        let mut counted = 0;
        wait_for(&format!("{TRIES} probes of {name}"), || {
            let member = member(&server, name);
            let failed = member["probes_failed"].as_u64().unwrap();
            if failed > counted {
                counted = failed;
                assert!(
                    member["reason"].as_str().unwrap().starts_with("timeout after 300 ms in "),
                    "{member}"
                );
                durations.push(member["last_probe_ms"].as_f64().unwrap());
            }
            (durations.len() >= TRIES).then_some(())
        });
        durations.sort_by(f64::total_cmp);
        let median = durations[TRIES / 2];
        println!("{name}: median {median:.1} ms of {durations:.1?}");
        assert!(durations[0] >= BUDGET_MS, "{name} is given up too early: {durations:?}");
        assert!(median <= BUDGET_MS + ALLOWED_MS, "{name} is given up too late: {durations:?}");
    }
    drop(udp);
}
