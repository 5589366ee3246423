//! Signed answers of several addresses from a whole server: what one member of many that fails and comes back costs, and that no
//! answer waits for a signature.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use steerd::wire::message::{Header, Rtype};
use steerd::wire::name::Name;
use steerd::wire::record::Record;

mod common;

use common::backend::{Backend, Manner};
use common::{Server, config, run_tool, wait_until};

const MEMBERS: u8 = 32;

/// Asks for the addresses of a name with DO or without; gives them, and how many signatures came along.
fn ask(server: SocketAddr, name: &str, dnssec_ok: bool) -> (Vec<Ipv4Addr>, usize) {
    let header = Header { id: 7, flags: 0, qdcount: 1, ancount: 0, nscount: 0, arcount: 1 };
    let mut octets = header.to_octets().to_vec();
    octets.extend(Name::from_text(name).unwrap().as_wire());
    octets.extend([0, 1, 0, 1, 0, 0, 41, 0x04, 0xD0, 0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.send(&octets).unwrap();
    let mut buffer = [0; 4096];
    let len = socket.recv(&mut buffer).expect("a reply");
    let reply = &buffer[..len];
    let header = Header::read(reply).unwrap();
    assert_eq!(header.flags & 0xF, 0);
    let (mut addresses, mut signatures) = (Vec::new(), 0);
    let mut at = octets.len() - 11;
    for _ in 0..header.ancount {
        let record = Record::read(reply, at).unwrap();
        at = record.end;
        match record.rtype {
            Rtype::A => {
                let octets: [u8; 4] = reply[record.end - 4..record.end].try_into().unwrap();
                addresses.push(Ipv4Addr::from(octets));
            }
            Rtype::RRSIG => signatures += 1,
            other => panic!("{other:?} in the answer"),
        }
    }
    addresses.sort();
    (addresses, signatures)
}

#[test]
fn member_that_flaps_makes_signatures_once_and_no_failover_waits_for_one() {
    let addresses: Vec<Ipv4Addr> = (1..=MEMBERS).map(|n| Ipv4Addr::new(127, 84, 0, n)).collect();
    let backends = Backend::start_all(&addresses, Manner::Http(200));
    let folder = tempfile::tempdir().unwrap();
    let members: Vec<String> = addresses
        .iter()
        .zip(1..)
        .map(|(ip, n)| format!("{ip}: {{name: m{n}, weight: {}}}", n % 5 + 1))
        .collect();
    let server = Server::start(&config(
        &format!("workers: 1, state_dir: {}", folder.path().join("state").display()),
        &format!(
            "globalnames:\n  www.t.example: {{pool: web, ttl: 30}}\n  '*.t.example': {{pool: web, ttl: 30}}\npools:\n  web:\n    \
             lb_method: wrr\n    max_addrs_returned: 3\n    members: {{{}}}\n    monitor: http\n    monitor_params: \
             {{port: {}, url_path: /, interval: 250ms, timeout: 100ms, retries: 0}}\nzones:\n  \
             t.example: {{ns: [ns.other.example], dnssec: {{}}}}\n",
            members.join(", "),
            backends[0].port(),
        ),
    ));
    let dns = server.dns();
    wait_until("all members to be drawn", || server.metric("steerd_set_signatures_waiting") == 0.0);
    server.wait_state("m1", "up");
    wait_until("signed answers of three addresses", || ask(dns, "www.t.example", true).0.len() == 3);
    for n in 2..=MEMBERS {
        server.wait_state(&format!("m{n}"), "up");
    }
    wait_until("every set to be signed", || server.metric("steerd_set_signatures_waiting") == 0.0);
    // Validated by somebody else.
    let key = run_tool(
        "dig",
        &[
            &format!("@{}", dns.ip()),
            "-p",
            &dns.port().to_string(),
            "t.example",
            "DNSKEY",
            "+short",
            "+norecurse",
        ],
    );
    let data: Vec<&str> = key.split_whitespace().collect();
    let anchor = folder.path().join("anchor");
    let text = format!(
        "trust-anchors {{ t.example. static-key {} {} {} \"{}\"; }};\n",
        data[0],
        data[1],
        data[2],
        data[3..].concat()
    );
    std::fs::write(&anchor, text).unwrap();
    for name in ["www.t.example", "any.t.example"] {
        let told = run_tool(
            "delv",
            &[
                &format!("@{}", dns.ip()),
                "-p",
                &dns.port().to_string(),
                "-a",
                &anchor.display().to_string(),
                "+root=t.example",
                name,
                "A",
            ],
        );
        assert!(told.contains("; fully validated") && told.matches("\tA\t127.84.0.").count() == 3, "{told}");
    }

    let flapping = &addresses[0];
    let mut single = 0;
    let mut asked = 0;
    // The first two times the sets of both states are signed, then no more.
    let mut made_at_first = 0.0;
    let flaps = 8;
    let began = Instant::now();
    for flap in 0..flaps {
        let goes_down = flap % 2 == 0;
        backends[0].behave(Manner::Http(if goes_down { 500 } else { 200 }));
        let state = if goes_down { "down" } else { "up" };
        let end = began + Duration::from_millis(500 * (flap + 1));
        let mut has_moved = false;
        while Instant::now() < end || !has_moved {
            // What is answered unsigned, and right after it signed: no later does the signed one leave a member out.
            let (unsigned, _) = ask(dns, "www.t.example", false);
            assert_eq!(unsigned.len(), 3);
            let told = format!(
                "steerd_member_state{{pool=\"web\",member=\"m1\",address=\"{flapping}\",state=\"{state}\"}}"
            );
            has_moved = has_moved || server.metrics().contains_key(&told);
            let is_out = has_moved && goes_down;
            let (signed, signatures) = ask(dns, "any.t.example", true);
            asked += 1;
            single += usize::from(signed.len() == 1);
            assert_eq!(signatures, 1);
            assert!(matches!(signed.len(), 1 | 3), "{signed:?}");
            assert!(!(is_out && signed.contains(flapping)), "a member that is down was answered");
            assert!(Instant::now() < end + Duration::from_secs(20), "m1 does not become {state}");
        }
        if flap == 1 {
            wait_until("every set to be signed", || server.metric("steerd_set_signatures_waiting") == 0.0);
            made_at_first = server.metric("steerd_set_signatures_made_total");
        }
    }
    let made = server.metric("steerd_set_signatures_made_total");
    let secs = began.elapsed().as_secs_f64();
    eprintln!(
        "{flaps} flaps of one of {MEMBERS} members in {secs:.1} s: {made} signatures over sets in all, {} of them after the first \
         two flaps; {single} of {asked} answers were of one address meanwhile",
        made - made_at_first,
    );
    assert_eq!(made, made_at_first, "sets that come back were signed anew");
}

#[test]
fn pool_without_anybody_up_refuses_a_signed_name_whole() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&config(
        &format!("workers: 1, state_dir: {}", folder.path().join("state").display()),
        "globalnames:\n  www.t.example: {pool: closed, ttl: 30}\n  up.t.example: {pool: open, ttl: 30}\npools:\n  closed:\n    \
         lb_method: wrr\n    fallback: refuse\n    max_addrs_returned: 2\n    members: [192.0.2.1, 192.0.2.2, 192.0.2.3]\n    \
         monitor: forced\n    monitor_params: {status: down}\n  open:\n    lb_method: wrr\n    max_addrs_returned: 2\n    \
         members: [192.0.2.1, 192.0.2.2, 192.0.2.3]\n    monitor: forced\n    monitor_params: {status: up}\nzones:\n  \
         t.example: {ns: [ns.other.example], dnssec: {}}\n",
    ));
    let dns = server.dns();
    // By then the sets of both pools, the empty ones among them, are seen to.
    wait_until("signed answers of two addresses", || ask(dns, "up.t.example", true).0.len() == 2);
    let port = dns.port().to_string();
    for dnssec in ["+nodnssec", "+dnssec"] {
        let told = run_tool(
            "dig",
            &[&format!("@{}", dns.ip()), "-p", &port, "+norecurse", "+ignore", dnssec, "www.t.example", "A"],
        );
        assert!(told.contains("status: REFUSED") && !told.contains(" tc"), "{told}");
    }
}
