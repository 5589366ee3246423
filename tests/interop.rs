//! Programs that nobody here wrote: clients, a resolver, a load generator and a web server.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::net::{Ipv4Addr, SocketAddr};

mod common;

use common::backend::{Backend, Manner};
use common::unbound::start_unbound;
use common::{Process, Server, config, run_tool, tool, wait_for, wait_until};

const CONFIG: &str = "
globalnames:
  www.example.com: {pool: web, ttl: 30}
  a.b.example.com: {pool: web, ttl: 30}
  big.example.com: big
pools:
  web: {lb_method: twrr, members: ['192.0.2.1', '2001:db8::1'], monitor: forced, monitor_params: {status: up}}
  big: {lb_method: wrr, max_addrs_returned: 100, members: [MEMBERS], monitor: forced, monitor_params: {status: up}}
zones:
  example.com: {ns: [ns1.example.net]}
topology:
  east: [192.0.2.0/24, 10.1.0.0/16]
";

fn start() -> Server {
    let members: Vec<String> = (1..=100).map(|n| format!("198.51.100.{n}")).collect();
    Server::start(&config(
        "workers: 2, version: steerd, nsid: here",
        &CONFIG.replace("MEMBERS", &members.join(", ")),
    ))
}

/// dig's whole output; nothing in the message may look odd to it.
#[track_caller]
fn dig(server: SocketAddr, arguments: &[&str]) -> String {
    let (at, port) = (format!("@{}", server.ip()), server.port().to_string());
    let output =
        run_tool("dig", &[&[&*at, "-p", &port, "+norecurse", "+tries=1", "+time=10"], arguments].concat());
    for sign in ["WARNING", "Warning", "malformed", "MBZ", "mismatch", "extra bytes", "timed out"] {
        assert!(!output.contains(sign), "{output}");
    }
    output
}

/// An output with every run of white space as one blank.
fn squeezed(output: &str) -> String {
    output.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn assert_has(output: &str, parts: &[&str]) {
    for part in parts {
        assert!(squeezed(output).contains(part), "no {part:?} in\n{output}");
    }
}

#[test]
fn dig_understands_every_kind_of_answer() {
    let server = start();
    let address = server.dns();
    let answer = "www.example.com. 30 IN A 192.0.2.1";
    let found = ["status: NOERROR", "flags: qr aa;", answer];
    assert_has(&dig(address, &["www.example.com"]), &found);
    assert_has(&dig(address, &["www.example.com", "+tcp"]), &found);
    assert_has(&dig(address, &["www.example.com", "+noedns"]), &found);
    assert_has(&dig(address, &["www.example.com", "+dnssec"]), &["flags: do; udp: 1232", answer]);
    assert_has(
        &dig(address, &["www.example.com", "+nsid", "+cookie=0123456789abcdef", "+padding=64"]),
        &found,
    );
    assert_has(&dig(address, &["www.example.com", "+ednsopt=65001:00ff", "+ednsflags=0x40"]), &found);
    assert_has(&dig(address, &["wWw.ExAmPlE.cOm"]), &["wWw.ExAmPlE.cOm. 30 IN A 192.0.2.1"]);
    let subnet = dig(address, &["www.example.com", "+subnet=10.1.2.0/24"]);
    assert_has(&subnet, &["CLIENT-SUBNET: 10.1.2.0/24/16", answer]);
    assert_has(&dig(address, &["www.example.com", "+subnet=0"]), &["CLIENT-SUBNET: 0.0.0.0/0/0", answer]);
    assert_has(&dig(address, &["www.example.com", "AAAA"]), &["30 IN AAAA 2001:db8::1"]);
    assert_has(&dig(address, &["www.example.com", "ANY", "+notcp"]), &["IN HINFO \"RFC8482\" \"\""]);
    assert_has(
        &dig(address, &["example.com", "SOA"]),
        &["IN SOA ns1.example.net. hostmaster.example.com. 1 7200"],
    );
    assert_has(&dig(address, &["example.com", "NS"]), &["example.com. 3600 IN NS ns1.example.net."]);
    assert_has(
        &dig(address, &["b.example.com"]),
        &["status: NOERROR", "ANSWER: 0, AUTHORITY: 1", "60 IN SOA"],
    );
    assert_has(&dig(address, &["no.example.com"]), &["status: NXDOMAIN", "AUTHORITY: 1", "60 IN SOA"]);
    let refused = ["status: REFUSED", "ANSWER: 0, AUTHORITY: 0", "EDE: 20 (Not Authoritative)"];
    assert_has(&dig(address, &["example.org"]), &refused);
    assert_has(&dig(address, &["www.example.com", "+nsid"]), &["(\"here\")", answer]);
    assert_has(
        &dig(address, &["www.example.com", "+tcp", "+keepalive"]),
        &["TCP KEEPALIVE: 10.0 secs", answer],
    );
    assert_has(&dig(address, &["+edns=1", "+noednsneg", "www.example.com"]), &["status: BADVERS"]);
    assert_has(
        &dig(address, &["+opcode=NOTIFY", "www.example.com"]),
        &["status: NOTIMP", "EDNS: version: 0"],
    );
    assert_has(&dig(address, &["version.bind", "CH", "TXT"]), &["version.bind. 0 CH TXT \"steerd\""]);
    assert_has(&dig(address, &["+header-only", "+noedns"]), &["status: FORMERR"]);
}

#[test]
fn dig_asks_again_over_tcp_when_the_answer_is_truncated() {
    let server = start();
    for bufsize in ["512", "1232", "4096"] {
        let output = dig(server.dns(), &["big.example.com", &format!("+bufsize={bufsize}")]);
        assert_has(&output, &["Truncated, retrying in TCP mode", "ANSWER: 100"]);
    }
    let output = dig(server.dns(), &["big.example.com", "+ignore"]);
    assert_has(&output, &["flags: qr aa tc;", "ANSWER: 0"]);
}

#[test]
fn kdig_and_drill_understand_the_answers_too() {
    let server = start();
    let port = server.dns().port().to_string();
    let answer = "www.example.com. 30 IN A 192.0.2.1";
    for extra in ["+notcp", "+tcp", "+edns", "+nsid", "+subnet=10.1.2.0/24"] {
        let output = run_tool("kdig", &["@127.0.0.1", "-p", &port, "www.example.com", "A", extra]);
        assert_has(&output, &["status: NOERROR", "Flags: qr aa rd;", answer]);
        assert!(!output.contains("WARNING") && !output.contains(";; ERROR"), "{output}");
    }
    let output = run_tool(
        "kdig",
        &["@127.0.0.1", "-p", &port, "no.example.com", "A", "+tcp", "+keepopen", "www.example.com", "A"],
    );
    assert_has(&output, &["status: NXDOMAIN", "status: NOERROR", answer]);
    for extra in ["-u", "-t"] {
        let output = run_tool("drill", &["-p", &port, extra, "www.example.com", "@127.0.0.1", "A"]);
        assert_has(&output, &["rcode: NOERROR", "flags: qr aa rd ;", answer]);
        let output = run_tool("drill", &["-p", &port, extra, "-D", "no.example.com", "@127.0.0.1", "A"]);
        assert_has(&output, &["rcode: NXDOMAIN", "hostmaster.example.com."]);
    }
}

#[test]
fn clients_take_a_bad_cookie_as_a_call_to_come_again() {
    for require in ["never", "always"] {
        let server = Server::start(&config(
            &format!("workers: 1, cookies: {{require: {require}}}"),
            &CONFIG.replace("MEMBERS", "198.51.100.1"),
        ));
        let answer = "www.example.com. 30 IN A 192.0.2.1";
        let cookie = ["www.example.com", "+cookie=0123456789abcdef"];
        let output = dig(server.dns(), &cookie);
        assert_has(&output, &["status: NOERROR", "; COOKIE: 0123456789abcdef01000000", "(good)", answer]);
        assert_eq!(output.contains("BADCOOKIE, retrying"), require == "always", "{output}");
        let output = dig(server.dns(), &[&cookie[..], &["+tcp"]].concat());
        assert_has(&output, &["(good)", answer]);
        assert!(!output.contains("BADCOOKIE"), "{output}");
        let output = dig(server.dns(), &[&cookie[..], &["+nobadcookie"]].concat());
        let status = if require == "always" { "status: BADCOOKIE" } else { "status: NOERROR" };
        assert_has(&output, &[status, "(good)"]);
        // A cookie without a question (RFC 7873 §5.4).
        assert_has(
            &dig(server.dns(), &["+header-only", "+cookie"]),
            &["status: NOERROR", "(good)", "QUERY: 0"],
        );
        let port = server.dns().port().to_string();
        let kdig =
            |extra: &str| run_tool("kdig", &["@127.0.0.1", "-p", &port, "www.example.com", "A", extra]);
        let output = kdig("+cookie");
        assert_has(&output, &["status: NOERROR", "COOKIE:", answer]);
        assert!(!output.contains("WARNING") && !output.contains(";; ERROR"), "{output}");
    }
}

#[test]
fn padding_is_understood() {
    let server = start();
    let port = server.dns().port().to_string();
    let answer = "www.example.com. 30 IN A 192.0.2.1";
    for (program, arguments) in [
        ("kdig", &["@127.0.0.1", "-p", &port, "www.example.com", "A", "+tcp", "+padding", "+nsid"][..]),
        ("dig", &["@127.0.0.1", "-p", &port, "www.example.com", "A", "+tcp", "+padding=64", "+nsid"]),
    ] {
        let output = run_tool(program, arguments);
        assert_has(&output, &["NOERROR", answer]);
        let size = if program == "kdig" { "468 B" } else { "MSG SIZE rcvd: 468" };
        assert!(squeezed(&output).contains(size) && output.to_uppercase().contains("PAD"), "{output}");
    }
}

#[test]
fn delv_resolves_where_a_cookie_is_required() {
    let server = Server::start(&config(
        "workers: 1, cookies: {require: always}, rrl: {responses: 5}",
        &CONFIG.replace("MEMBERS", "198.51.100.1"),
    ));
    let port = server.dns().port().to_string();
    let output =
        run_tool("delv", &["@127.0.0.1", "-p", &port, "+nodnssec", "+noroot", "-i", "www.example.com", "A"]);
    assert_has(&output, &["www.example.com.", "IN A 192.0.2.1"]);
}

/// What Unbound does besides: it asks label by label, in mixed case, and remembers next to nothing.
const UNBOUND: &str = "  qname-minimisation: yes
  module-config: \"iterator\"
  use-caps-for-id: yes
  cache-max-ttl: 1
  cache-max-negative-ttl: 1
";

#[test]
fn unbound_resolves_through_the_server_and_follows_a_failover() {
    let (one, two) = (Ipv4Addr::new(127, 80, 0, 1), Ipv4Addr::new(127, 80, 0, 2));
    let backends = Backend::start_all(&[one, two], Manner::Http(200));
    let server = Server::start(&config(
        "workers: 2",
        &format!(
            "globalnames:
  www.example.com: {{pool: web, ttl: 1}}
  deep.ent.example.com: {{pool: web, ttl: 1}}
  alone.example.net: {{pool: web, ttl: 1}}
  x.y.alone.example.net: {{pool: web, ttl: 1}}
pools:
  web: {{lb_method: fogroup, members: [127.80.0.1, 127.80.0.2], monitor: http, monitor_params: {{port: {}, interval: 100ms, timeout: 100ms, retries: 0}}}}
zones:
  example.com: {{ns: [ns1.example.com]}}
",
            backends[0].port()
        )
        .replace("pools:", "  ns1.example.com: web\npools:"),
    ));
    server.wait_state("127.80.0.1", "up");
    let folder = tempfile::tempdir().unwrap();
    let (_process, resolver) =
        start_unbound(server.dns(), folder.path(), UNBOUND, &["example.com", "alone.example.net"]);
    let (at, port) = (format!("@{}", resolver.ip()), resolver.port().to_string());
    let ask = |name: &str, qtype: &str| run_tool("dig", &[&at, "-p", &port, name, qtype, "+tries=3"]);
    for name in ["www.example.com", "deep.ent.example.com", "alone.example.net", "x.y.alone.example.net"] {
        assert_has(&ask(name, "A"), &["status: NOERROR", &format!("{name}. 1 IN A 127.80.0.1")]);
    }
    for name in ["ent.example.com", "y.alone.example.net"] {
        assert_has(&ask(name, "A"), &["status: NOERROR", "ANSWER: 0", "IN SOA"]);
    }
    assert_has(&ask("www.example.com", "AAAA"), &["status: NOERROR", "ANSWER: 0"]);
    for name in ["no.example.com", "a.b.c.no.example.com", "no.alone.example.net"] {
        assert_has(&ask(name, "A"), &["status: NXDOMAIN", "IN SOA"]);
    }
    assert_has(&ask("example.com", "NS"), &["status: NOERROR", "IN NS ns1.example.com."]);
    backends[0].behave(Manner::Http(503));
    wait_until("the resolver to give the second member", || {
        ask("www.example.com", "A").contains("127.80.0.2")
    });
    backends[0].behave(Manner::Http(200));
    wait_until("the resolver to give the first member", || {
        ask("www.example.com", "A").contains("127.80.0.1")
    });
}

#[test]
fn dnsperf_loses_nothing() {
    let server = start();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("queries");
    std::fs::write(&data, "www.example.com A\nwww.example.com AAAA\na.b.example.com A\nexample.com SOA\n")
        .unwrap();
    for mode in ["udp", "tcp"] {
        let port = server.dns().port().to_string();
        let output = run_tool(
            "dnsperf",
            &[
                "-s",
                "127.0.0.1",
                "-p",
                &port,
                "-m",
                mode,
                "-d",
                data.to_str().unwrap(),
                "-l",
                "2",
                "-Q",
                "2000",
                "-c",
                "4",
                "-e",
            ],
        );
        assert_has(&output, &["Queries lost: 0 (0.00%)"]);
        let codes = output.lines().find(|line| line.contains("Response codes:")).unwrap();
        assert!(squeezed(codes).ends_with("(100.00%)") && codes.contains("NOERROR"), "{output}");
    }
}

/// nginx on a port of its own that answers 204, or 503 while the file `down` is in its folder.
fn nginx(address: Ipv4Addr, folder: &std::path::Path) -> (Process, u16) {
    const ATTEMPTS: usize = 5;
    for _ in 0..ATTEMPTS {
        let port = std::net::TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port();
        let path = folder.display();
        let text = format!(
            "daemon off;
master_process off;
pid {path}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {path}/body;
  proxy_temp_path {path}/proxy;
  fastcgi_temp_path {path}/fastcgi;
  uwsgi_temp_path {path}/uwsgi;
  scgi_temp_path {path}/scgi;
  server {{
    listen {address}:{port};
    server_name probe.test;
    location = /healthz {{ if (-f {path}/down) {{ return 503; }} return 204; }}
  }}
}}
"
        );
        std::fs::write(folder.join("nginx.conf"), text).unwrap();
        let mut command = tool("nginx");
        command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).args(["-e", "stderr"]);
        let mut process = Process::start(&mut command);
        let started = wait_for("nginx to start or to end", || {
            let started = std::net::TcpStream::connect((address, port)).is_ok();
            (started || !process.is_running()).then_some(started)
        });
        if started {
            return (process, port);
        }
        eprintln!("nginx: {:#?}", process.errors.all());
    }
    panic!("nginx does not start");
}

#[test]
fn nginx_is_probed_and_steered_around() {
    let folder = tempfile::tempdir().unwrap();
    let address = Ipv4Addr::new(127, 80, 1, 1);
    let (nginx, port) = nginx(address, folder.path());
    let server = Server::start(&format!(
        "globalnames: {{www.test: web}}
pools: {{web: {{lb_method: wrr, fallback: nodata, members: {{127.80.1.1: {{name: nginx}}}}, monitor: http, monitor_params: {{port: {port}, hostname: probe.test, url_path: /healthz, expected_codes: [200-204], interval: 200ms, timeout: 200ms, retries: 0}}}}}}
"
    ));
    server.change("nginx", "up", "status 204");
    wait_until("the answer", || server.addresses("www.test") == ["127.80.1.1"]);
    std::fs::write(folder.path().join("down"), "").unwrap();
    server.change("nginx", "down", "status 503, expected 200-204");
    wait_until("no answer", || server.addresses("www.test").is_empty());
    std::fs::remove_file(folder.path().join("down")).unwrap();
    wait_until("the answer again", || server.addresses("www.test") == ["127.80.1.1"]);
    drop(nginx);
    server.change("nginx", "down", "connect: refused");
}
