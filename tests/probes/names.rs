//! `dns` against unbound: codes, addresses, truncation, TCP, silence.

use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use crate::common::{Process, tool};
use crate::room::{NOBODY, Room, expect, pool, serve, start_listening};

/// unbound on 127.0.0.1:5353 with a few names of its own and nobody to ask.
fn unbound(folder: &Path) -> Process {
    let many: String =
        (1..=60).map(|n| format!("  local-data: \"many.probe.test. A 192.0.2.{n}\"\n")).collect();
    let text = format!(
        "server:\n  interface: 127.0.0.1\n  port: 5353\n  do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n  \
         use-syslog: no\n  do-ip6: no\n  access-control: 127.0.0.0/8 allow\n  module-config: \"iterator\"\n  \
         local-zone: \"probe.test.\" static\n  local-data: \"probe.test. SOA ns.probe.test. root.probe.test. 1 2 3 4 5\"\n  \
         local-data: \"www.probe.test. A 192.0.2.1\"\n  local-data: \"www.probe.test. A 192.0.2.2\"\n  \
         local-data: \"www.probe.test. AAAA 2001:db8::1\"\n  local-zone: \"refused.test.\" refuse\n{many}"
    );
    let file = folder.join("unbound.conf");
    std::fs::write(&file, text).unwrap();
    start_listening(tool("unbound").arg("-d").arg("-c").arg(file), "127.0.0.1:5353")
}

#[test]
fn unbound_is_judged_by_code_and_addresses_over_both_transports() {
    let Some(_room) = Room::enter() else { return };
    let folder = tempfile::tempdir().unwrap();
    let unbound = unbound(folder.path());
    let dns =
        |name: &str, parameters: &str| pool(name, "127.0.0.1", "dns", &format!("port: 5353, {parameters}"));
    let server = serve(&[
        dns("plain", "query_name: WWW.probe.test"),
        dns("overtcp", "query_name: www.probe.test, transport: tcp"),
        dns("addresses", "query_name: www.probe.test, expected_addresses: [192.0.2.2, 192.0.2.1]"),
        dns("lacking", "query_name: www.probe.test, expected_addresses: [192.0.2.2, 192.0.2.9]"),
        dns("six", "query_name: www.probe.test, query_type: AAAA, expected_addresses: ['2001:db8::1']"),
        dns("truncated", "query_name: many.probe.test, expected_addresses: [192.0.2.1, 192.0.2.60]"),
        dns("soa", "query_name: probe.test, query_type: SOA"),
        dns("nothing", "query_name: no.probe.test"),
        dns("wanted", "query_name: no.probe.test, expected_rcode: [NXDOMAIN, NOERROR]"),
        dns("refused", "query_name: refused.test, transport: tcp"),
        dns("bytype", "query_name: www.probe.test, query_type: TYPE65280"),
    ]);
    for (name, state, reason) in [
        ("plain", "up", "NOERROR, 2 answers"),
        ("overtcp", "up", "NOERROR, 2 answers"),
        ("addresses", "up", "NOERROR, 2 answers"),
        ("lacking", "down", "answer lacks 192.0.2.9"),
        ("six", "up", "NOERROR, 1 answer"),
        ("truncated", "up", "NOERROR, 60 answers"),
        ("soa", "up", "NOERROR, 1 answer"),
        ("nothing", "down", "rcode NXDOMAIN, expected NOERROR"),
        ("wanted", "up", "NXDOMAIN, 0 answers"),
        ("refused", "down", "rcode REFUSED, expected NOERROR"),
        ("bytype", "up", "NOERROR, 0 answers"),
    ] {
        expect(&server, name, state, reason);
    }
    drop(unbound);
    expect(&server, "plain", "down", "receive: port unreachable");
    expect(&server, "overtcp", "down", "connect: refused");
}

#[test]
fn silence_is_named_by_its_phase_whatever_the_transport() {
    let Some(_room) = Room::enter() else { return };
    let udp = UdpSocket::bind("127.0.0.1:5301").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:5302").unwrap();
    // Truncates over UDP, and then has nothing to say over TCP.
    let both = UdpSocket::bind("127.0.0.1:5303").unwrap();
    let _silent = TcpListener::bind("127.0.0.1:5303").unwrap();
    // The same where nobody listens over TCP.
    let alone = UdpSocket::bind("127.0.0.1:5304").unwrap();
    for socket in [both, alone] {
        std::thread::spawn(move || {
            let mut octets = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut octets) {
                octets[2] |= 0x82;
                // What is not of this probe is passed over: another identifier first.
                octets[0] ^= 1;
                drop(socket.send_to(&octets[..length], from));
                octets[0] ^= 1;
                drop(socket.send_to(&octets[..length], from));
            }
        });
    }
    let dns = |name: &str, port: u16, more: &str| {
        let parameters = format!("port: {port}, query_name: a.test, timeout: 300ms{more}");
        pool(name, "127.0.0.1", "dns", &parameters)
    };
    let server = serve(&[
        dns("udp", 5301, ""),
        dns("tcp", 5302, ", transport: tcp"),
        dns("both", 5303, ""),
        dns("alone", 5304, ""),
        pool("nobody", NOBODY, "dns", "query_name: a.test, timeout: 300ms"),
        pool("nobodytcp", NOBODY, "dns", "query_name: a.test, transport: tcp, timeout: 300ms"),
    ]);
    for (name, reason) in [
        ("udp", "timeout after 300 ms in receive"),
        ("tcp", "timeout after 300 ms in receive"),
        ("both", "timeout after 300 ms in receive"),
        ("alone", "connect: refused"),
        ("nobody", "timeout after 300 ms in receive"),
        ("nobodytcp", "timeout after 300 ms in connect"),
    ] {
        expect(&server, name, "down", reason);
    }
    drop((udp, tcp));
}
