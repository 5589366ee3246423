//! `source` and `monitor_ip`: where probes come from, and where they go.

use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::mpsc::channel;

use crate::common::backend::{Backend, Manner};
use crate::common::{Server, wait_until};
use crate::room::{Room, expect, pool, serve};

#[test]
fn probes_leave_from_the_source_of_their_target_s_family() {
    let Some(room) = Room::enter() else { return };
    room.permit_echo(true);
    let (sender, receiver) = channel::<(&str, IpAddr)>();
    for address in ["127.0.0.1:7001", "[::1]:7001"] {
        let (listener, sender) = (TcpListener::bind(address).unwrap(), sender.clone());
        std::thread::spawn(move || {
            while let Ok((_, peer)) = listener.accept() {
                sender.send(("tcp", peer.ip())).unwrap_or_default();
            }
        });
    }
    let (socket, udp_sender) = (UdpSocket::bind("127.0.0.1:7002").unwrap(), sender);
    std::thread::spawn(move || {
        while let Ok((_, peer)) = socket.recv_from(&mut [0; 512]) {
            udp_sender.send(("udp", peer.ip())).unwrap_or_default();
        }
    });
    let source = "source: [127.9.9.9, 'fd77::1']";
    let server = serve(&[
        pool("four", "127.0.0.1", "tcp", &format!("port: 7001, {source}")),
        pool("six", "::1", "tcp", &format!("port: 7001, {source}")),
        pool("dns", "127.0.0.1", "dns", &format!("port: 7002, query_name: a.test, timeout: 300ms, {source}")),
        pool("echo", "127.0.0.1", "icmp", source),
        pool("foreign", "127.0.0.1", "tcp", "port: 7001, source: 192.0.2.1"),
    ]);
    expect(&server, "four", "up", "connected");
    expect(&server, "six", "up", "connected");
    expect(&server, "echo", "up", "echo reply");
    expect(&server, "dns", "down", "timeout after 300 ms in receive");
    // An address that this machine does not have says nothing of the target.
    expect(&server, "foreign", "unknown", "prober: no local address or port");
    drop(server);
    let mut seen: Vec<_> = receiver.try_iter().map(|(kind, ip)| format!("{kind} {ip}")).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["tcp 127.9.9.9", "tcp fd77::1", "udp 127.9.9.9"]);
}

#[test]
fn members_probed_at_one_address_share_a_probe_and_are_answered_as_themselves() {
    let Some(_room) = Room::enter() else { return };
    let backend = Backend::start([127, 0, 0, 1].into(), Manner::Http(200));
    let text = format!(
        "globalnames: {{www.test: web, two.test: two}}
pools:
  web:
    lb_method: wrr
    fallback: nodata
    max_addrs_returned: 2
    members: {{192.0.2.1: {{name: one}}, 192.0.2.2: {{name: other, monitor_ip: 127.0.0.3}}}}
    monitor: http
    monitor_params: {{port: {port}, interval: 200ms, timeout: 200ms, retries: 0, monitor_ip: 127.0.0.1}}
  two:
    lb_method: wrr
    members: {{127.0.0.1: {{name: two}}}}
    monitor: http
    monitor_params: {{port: {port}, interval: 200ms, timeout: 200ms, retries: 0}}
",
        port = backend.port()
    );
    let server = Server::start(&text);
    expect(&server, "one", "up", "status 200");
    expect(&server, "two", "up", "status 200");
    expect(&server, "other", "down", "connect: refused");
    assert_eq!(server.metric("steerd_probe_targets"), 2.0);
    wait_until("the answer", || server.addresses("www.test") == ["192.0.2.1"]);
    backend.behave(Manner::Http(500));
    expect(&server, "one", "down", "status 500, expected 200");
    wait_until("no answer", || server.addresses("www.test").is_empty());
}
