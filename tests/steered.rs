//! What names are steered to beside addresses: aliases in place of a pool and of its members, SRV, MX, HTTPS and SVCB, as other
//! programs read them.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use common::dns::{Query, Via};
use common::unbound::start_unbound;
use common::{Server, config, run_steerd, run_tool};
use steerd::wire::message::Rtype;

const HTTPS: Rtype = Rtype(65);

/// Members with a state of their own: a pool each monitor, since a monitor is the pool's.
fn forced(status: &str) -> String {
    format!("monitor: forced, monitor_params: {{status: {status}}}")
}

/// What a program says that asks a server, a line a record, without what differs from run to run.
fn dig(program: &str, server: SocketAddr, arguments: &[&str]) -> Vec<String> {
    let (ip, port) = (format!("@{}", server.ip()), server.port().to_string());
    let all = [&[ip.as_str(), "-p", port.as_str(), "+short"], arguments].concat();
    let mut lines: Vec<String> = run_tool(program, &all).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// A server in front of a zone `example.net`, where aliases lead.
fn elsewhere() -> Server {
    Server::start(&format!(
        "globalnames: {{lb.cloud.example.net: cloud, edge.example.net: edge}}\n\
         pools:\n  cloud: {{lb_method: wrr, members: {{192.0.2.200: , '2001:db8::200': }}, {up}}}\n  \
         edge: {{lb_method: wrr, members: [192.0.2.201], {up}}}\n\
         zones: {{example.net: {{ns: ns.example.invalid}}}}\n",
        up = forced("up")
    ))
}

fn fallback_text(status: &str) -> String {
    config(
        "workers: 1",
        &format!(
            "globalnames:\n  www.example.com: {{pool: web, ttl: 20}}\n  near.example.com: {{pool: near, ttl: 20}}\n  \
             shop.example.com: {{pool: web, ttl: 20, https: {{alpn: h2}}}}\n  local.example.com: {{pool: spare, ttl: 7}}\n\
             pools:\n  web: {{lb_method: wrr, fallback: {{cname: LB.cloud.example.net}}, members: {{192.0.2.1: , '2001:db8::1': }}, {0}}}\n  \
             near: {{lb_method: wrr, fallback: {{cname: local.example.com}}, members: [192.0.2.2], {0}}}\n  \
             spare: {{lb_method: wrr, members: [192.0.2.9], {1}}}\n\
             zones: {{example.com: {{ns: ns.example.invalid}}}}\n",
            forced(status),
            forced("up")
        ),
    )
}

#[test]
fn fallback_to_a_name_makes_one_consistent_node_of_it_while_nobody_can_be_drawn() {
    let server = Server::start(&fallback_text("up"));
    for (rtype, data) in [
        ("A", "192.0.2.1"),
        ("AAAA", "2001:db8::1"),
        ("HTTPS", "1 . alpn=h2 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1"),
    ] {
        assert_eq!(dig("kdig", server.dns(), &["shop.example.com", rtype]), [data]);
    }
    for rtype in ["TXT", "CNAME", "MX"] {
        assert!(dig("kdig", server.dns(), &["www.example.com", rtype]).is_empty());
    }
    server.reload(&fallback_text("down"));
    for rtype in [Rtype::A, Rtype::AAAA, Rtype::CNAME, Rtype::TXT, Rtype::MX, HTTPS, Rtype::ANY] {
        for name in ["www.example.com", "shop.example.com"] {
            for via in [Via::Udp, Via::Tcp] {
                let text = server.ask(via, &Query::new(name, rtype)).text();
                assert_eq!(
                    text,
                    format!("NOERROR aa rd\nan {name}. 20 CNAME lb.cloud.example.net.\n"),
                    "{rtype:?}"
                );
            }
        }
    }
    // The error that goes along says why.
    let text = server.ask(Via::Udp, &Query::a("www.example.com").edns(1232)).text();
    assert!(text.contains("000f"), "{text}");
    // Behind the alias the chain goes on in what is served here, for every type.
    let chain = server.ask(Via::Udp, &Query::a("near.example.com")).text();
    assert_eq!(
        chain,
        "NOERROR aa rd\nan near.example.com. 20 CNAME local.example.com.\nan local.example.com. 7 A 192.0.2.9\n"
    );
    let chain = server.ask(Via::Udp, &Query::new("near.example.com", Rtype::AAAA)).text();
    assert!(
        chain.starts_with("NOERROR aa rd\nan near.example.com. 20 CNAME local.example.com.\nns example.com."),
        "{chain}"
    );
    let alias = server.ask(Via::Udp, &Query::new("near.example.com", Rtype::CNAME)).text();
    assert_eq!(alias, "NOERROR aa rd\nan near.example.com. 20 CNAME local.example.com.\n");
    server.reload(&fallback_text("up"));
    assert_eq!(server.addresses("www.example.com"), ["192.0.2.1"]);
}

#[test]
fn resolver_follows_the_alias_to_another_server() {
    let cloud = elsewhere();
    let server = Server::start(&fallback_text("down"));
    let folder = tempfile::tempdir().unwrap();
    let stub = format!(
        "stub-zone:\n  name: \"example.net\"\n  stub-addr: {}@{}\nserver:\n  cache-max-ttl: 0\n",
        cloud.dns().ip(),
        cloud.dns().port()
    );
    let (_unbound, at) = start_unbound(server.dns(), folder.path(), &stub, &["example.com"]);
    for (rtype, address) in [("A", "192.0.2.200"), ("AAAA", "2001:db8::200")] {
        assert_eq!(dig("dig", at, &["www.example.com", rtype]), [address, "lb.cloud.example.net."]);
    }
    server.reload(&fallback_text("up"));
    common::wait_until("the cache to forget", || dig("dig", at, &["www.example.com", "A"]) == ["192.0.2.1"]);
}

#[test]
fn members_that_are_names_have_their_share_of_both_families() {
    let server = Server::start(&format!(
        "globalnames: {{www.example.com: {{pool: mixed, ttl: 10}}, k.example.com: {{pool: many, ttl: 10}}, \
         only.example.com: {{pool: names, ttl: 10}}}}\n\
         pools:\n  mixed: {{lb_method: wrr, members: [{{ip: 192.0.2.1, weight: 5}}, {{ip: '2001:db8::1', weight: 1}}, {{cname: \
         edge.example.net, weight: 2}}, {{cname: other.example.net}}], {up}}}\n  \
         many: {{lb_method: wrr, max_addrs_returned: 2, members: [192.0.2.1, 192.0.2.2, {{ip: 192.0.2.3}}, {{cname: \
         edge.example.net}}], {up}}}\n  \
         names: {{lb_method: fogroup, members: [{{cname: first.example.com}}, {{cname: edge.example.net}}], {up}}}\n\
         zones: {{example.com: {{ns: ns.example.invalid}}}}\n",
        up = forced("up")
    ));
    let count = |name: &str, rtype, times: usize| {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..times {
            let text = server.ask(Via::Udp, &Query::new(name, rtype)).text();
            *counts.entry(text.replace(&format!("NOERROR aa rd\nan {name}. 10 "), "")).or_default() += 1;
        }
        counts
    };
    let counts = |pairs: &[(&str, usize)]| -> BTreeMap<String, usize> {
        pairs.iter().map(|(text, count)| (format!("{text}\n"), *count)).collect()
    };
    assert_eq!(
        count("www.example.com", Rtype::A, 80),
        counts(&[("A 192.0.2.1", 50), ("CNAME edge.example.net.", 20), ("CNAME other.example.net.", 10)])
    );
    assert_eq!(
        count("www.example.com", Rtype::AAAA, 40),
        counts(&[
            ("AAAA 2001:db8::1", 10),
            ("CNAME edge.example.net.", 20),
            ("CNAME other.example.net.", 10)
        ])
    );
    // A name stands alone, and never among addresses.
    let pairs = count("k.example.com", Rtype::A, 40);
    assert_eq!(pairs.get("CNAME edge.example.net.\n"), Some(&10), "{pairs:?}");
    for text in pairs.keys().filter(|text| text.contains("A 192")) {
        assert!(!text.contains("CNAME") && text.lines().count() <= 2, "{text}");
    }
    // For other types an answer is an alias where the next one will be.
    for rtype in [Rtype::TXT, Rtype::CNAME, HTTPS] {
        let text = server.ask(Via::Udp, &Query::new("only.example.com", rtype)).text();
        // What is followed ends where it leads.
        let rcode = if rtype == Rtype::CNAME { "NOERROR" } else { "NXDOMAIN" };
        let alias = format!("{rcode} aa rd\nan only.example.com. 10 CNAME first.example.com.\n");
        assert!(text.starts_with(&alias), "{text}");
    }
    // Each draw counts, and nothing but draws.
    let is_edge = |name: &str| {
        name.starts_with("steerd_member_answers")
            && name.contains("pool=\"mixed\"")
            && name.contains("address=\"edge.example.net.\"")
    };
    let drawn = server.metrics().into_iter().find(|(name, _)| is_edge(name)).map(|(_, count)| count);
    assert_eq!(drawn, Some(40.0));
}

fn hosts_text(lb_method: &str, second: &str, minimal: &str) -> String {
    config(
        &format!("workers: 1, minimal_responses: {minimal}"),
        &format!(
            "globalnames:\n  _sip._tcp.example.com: {{pool: sip, ttl: 60, srv: {{port: 5060, priority: 10}}}}\n  \
             example.com: {{pool: sip, ttl: 60, mx: {{preference: 20}}}}\n  sip1.example.com: {{pool: one, ttl: 5}}\n\
             pools:\n  sip:\n    lb_method: {lb_method}\n    members:\n      192.0.2.1: {{hostname: sip1.example.com, weight: 10}}\n      \
             '2001:db8::1': {{hostname: SIP1.example.com, weight: 10}}\n      192.0.2.2: {{hostname: sip2.example.net, weight: 30, \
             enabled: {second}}}\n      192.0.2.3: {{hostname: sip3.example.net, weight: 65535}}\n    {up}\n  \
             one: {{lb_method: wrr, members: {{192.0.2.1: , '2001:db8::1': }}, {inline}}}\n\
             zones: {{example.com: {{ns: ns.example.invalid}}}}\n",
            up = "monitor: forced\n    monitor_params: {status: up}",
            inline = forced("up"),
        ),
    )
}

#[test]
fn hosts_of_a_service_are_those_that_can_be_drawn_with_their_weights() {
    let server = Server::start(&hosts_text("wrr", "on", "on"));
    for program in ["dig", "kdig"] {
        assert_eq!(
            dig(program, server.dns(), &["_sip._tcp.example.com", "SRV"]),
            [
                "10 10 5060 sip1.example.com.",
                "10 30 5060 sip2.example.net.",
                "10 65535 5060 sip3.example.net."
            ]
        );
        assert_eq!(
            dig(program, server.dns(), &["example.com", "MX"]),
            ["20 sip1.example.com.", "20 sip2.example.net.", "20 sip3.example.net."]
        );
    }
    let soa = "ns example.com. 60 SOA";
    for query in [Query::a("_sip._tcp.example.com"), Query::new("example.com", Rtype::AAAA)] {
        let text = server.ask(Via::Udp, &query).text();
        assert!(text.starts_with(&format!("NOERROR aa rd\n{soa}")), "{text}");
    }
    server.reload(&hosts_text("wrr", "off", "on"));
    assert_eq!(
        dig("dig", server.dns(), &["_sip._tcp.example.com", "SRV"]),
        ["10 10 5060 sip1.example.com.", "10 65535 5060 sip3.example.net."]
    );
    // In order, all that are UP are told, the later ones for later.
    server.reload(&hosts_text("fogroup", "on", "off"));
    let text = server.ask(Via::Udp, &Query::new("_sip._tcp.example.com", Rtype::SRV)).text();
    assert_eq!(
        text,
        "NOERROR aa rd\nan _sip._tcp.example.com. 60 SRV 10 10 5060 sip1.example.com.\n\
         an _sip._tcp.example.com. 60 SRV 20 30 5060 sip2.example.net.\n\
         an _sip._tcp.example.com. 60 SRV 30 65535 5060 sip3.example.net.\n\
         ar sip1.example.com. 5 A 192.0.2.1\nar sip1.example.com. 5 AAAA 2001:db8::1\n"
    );
    let text = server.ask(Via::Udp, &Query::new("example.com", Rtype::MX)).text();
    assert!(
        text.contains("MX 20 sip1") && text.contains("MX 30 sip2") && text.contains("MX 40 sip3"),
        "{text}"
    );
}

#[test]
fn hosts_without_anybody_up_follow_the_fallback() {
    let text = |fallback: &str| {
        config(
            "workers: 1",
            &format!(
                "globalnames: {{s.example.com: {{pool: p, srv: {{port: 1}}}}}}\n\
                 pools: {{p: {{lb_method: wrr, fallback: {fallback}, members: {{192.0.2.1: {{hostname: a.example.net}}}}, {}}}}}\n\
                 zones: {{example.com: {{ns: ns.example.invalid}}}}\n",
                forced("down")
            ),
        )
    };
    let server = Server::start(&text("any"));
    let ask = || server.ask(Via::Udp, &Query::new("s.example.com", Rtype::SRV)).text();
    assert_eq!(ask(), "NOERROR aa rd\nan s.example.com. 30 SRV 10 1 1 a.example.net.\n");
    server.reload(&text("refuse"));
    assert_eq!(ask(), "REFUSED rd\n");
    for fallback in ["nodata", "192.0.2.99", "{cname: a.example.org}"] {
        server.reload(&text(fallback));
        assert!(ask().starts_with("NOERROR aa rd\nns example.com."), "{fallback}: {}", ask());
    }
}

#[test]
fn answers_of_many_hosts_fit_or_are_truncated_whole() {
    let members: String = (0..60)
        .map(|n| format!("192.0.2.{n}: {{hostname: a-long-name-of-a-host-{n}.example.net}}, "))
        .collect();
    let server = Server::start(&format!(
        "globalnames: {{s.example.com: {{pool: p, srv: {{port: 1}}}}, h.example.com: {{pool: h, https: {{alpn: [h2, h3]}}}}}}\n\
         pools:\n  p: {{lb_method: wrr, members: {{{members}}}, {up}}}\n  \
         h: {{lb_method: wrr, max_addrs_returned: 1024, members: {{{members}}}, {up}}}\n\
         zones: {{example.com: {{ns: ns.example.invalid}}}}\n",
        up = forced("up")
    ));
    let small = server.ask(Via::Udp, &Query::new("s.example.com", Rtype::SRV).edns(1232));
    assert!(small.is_truncated());
    assert_eq!(small.header.ancount, 0, "{}", small.text());
    assert_eq!(server.ask(Via::Tcp, &Query::new("s.example.com", Rtype::SRV)).header.ancount, 60);
    assert!(!server.ask(Via::Udp, &Query::new("h.example.com", HTTPS)).is_truncated());
    let hints = dig("kdig", server.dns(), &["h.example.com", "HTTPS"]);
    assert_eq!(hints[0].matches("192.0.2.").count(), 60, "{hints:?}");
}

fn service_text(members: &str, status: &str) -> String {
    config(
        "workers: 1",
        &format!(
            "globalnames:\n  www.example.com:\n    pool: web\n    ttl: 30\n    https: {{priority: 1, target: '.', alpn: [h2, h3], port: 8443, \
             hints: on}}\n  _dns.example.com: {{pool: web, svcb: {{target: dns.example.net, alpn: [h2], dohpath: '/q{{?dns}}', hints: \
             off}}}}\n  alias.example.com: {{pool: web, https: {{priority: 0, target: svc.example.net}}}}\n\
             pools: {{web: {{lb_method: wrr, fallback: nodata, members: [{members}], {}}}}}\n\
             zones: {{example.com: {{ns: ns.example.invalid}}}}\n",
            forced(status)
        ),
    )
}

#[test]
fn hints_follow_the_pool_and_are_what_the_next_answer_has() {
    let server = Server::start(&service_text("192.0.2.1, 192.0.2.2, 192.0.2.3, '2001:db8::1'", "up"));
    for _ in 0..9 {
        let hints = dig("kdig", server.dns(), &["www.example.com", "HTTPS"]);
        assert_eq!(
            hints,
            dig("kdig", server.dns(), &["www.example.com", "HTTPS"]),
            "asking alone moves nothing"
        );
        let address = server.addresses("www.example.com").remove(0);
        assert_eq!(hints, [format!("1 . alpn=h2,h3 port=8443 ipv4hint={address} ipv6hint=2001:db8::1")]);
    }
    // Older ones have no name for the key.
    let path = dig("kdig", server.dns(), &["_dns.example.com", "SVCB"]).remove(0);
    let path = path.replace('"', "").replace("key7", "dohpath");
    assert_eq!(path, "1 dns.example.net. alpn=h2 dohpath=/q{?dns}");
    assert_eq!(dig("kdig", server.dns(), &["alias.example.com", "HTTPS"]), ["0 svc.example.net."]);
    // BIND and ldns read the same.
    let bind = dig("dig", server.dns(), &["www.example.com", "HTTPS"]);
    assert!(bind[0].starts_with("1 . alpn=\"h2,h3\" port=8443 ipv4hint=192.0.2."), "{bind:?}");
    let at = server.dns();
    let drill = run_tool(
        "drill",
        &["-p", &at.port().to_string(), &format!("@{}", at.ip()), "www.example.com", "HTTPS"],
    );
    assert!(drill.contains("HTTPS\t1 .") && drill.contains("ipv6hint=2001:db8::1"), "{drill}");
    server.reload(&service_text("192.0.2.7", "up"));
    assert_eq!(
        dig("kdig", server.dns(), &["www.example.com", "HTTPS"]),
        ["1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.7"]
    );
    server.reload(&service_text("192.0.2.7", "down"));
    assert!(dig("kdig", server.dns(), &["www.example.com", "HTTPS"]).is_empty());
    // Without hints the binding does not hang on anybody.
    assert_eq!(dig("kdig", server.dns(), &["_dns.example.com", "SVCB"]).len(), 1);
}

#[test]
fn hints_follow_members_that_stop_answering() {
    let [one, two] =
        ["127.0.0.1", "127.0.0.2"].map(|address| std::net::TcpListener::bind((address, 0)).unwrap());
    let (first, second) = (one.local_addr().unwrap().port(), two.local_addr().unwrap().port());
    // Two pools would need two ports; an address that is probed elsewhere keeps the one.
    drop(two);
    let two = std::net::TcpListener::bind(("127.0.0.2", first)).unwrap_or_else(|_| panic!("{second}"));
    let server = Server::start(&format!(
        "globalnames:\n  www.example.com: {{pool: web, https: {{alpn: h2}}}}\n  _x._tcp.example.com: {{pool: web, srv: {{port: 9}}}}\n\
         pools:\n  web:\n    lb_method: wrr\n    max_addrs_returned: 2\n    members: [{{ip: 127.0.0.1, name: one, hostname: one.example.net}}, \
         {{ip: 127.0.0.2, name: two, hostname: two.example.net}}]\n    monitor: tcp\n    \
         monitor_params: {{port: {first}, interval: 100ms, timeout: 100ms, retries: 0}}\n\
         zones: {{example.com: {{ns: ns.example.invalid}}}}\n"
    ));
    server.wait_state("one", "up");
    server.wait_state("two", "up");
    let hints = || dig("kdig", server.dns(), &["www.example.com", "HTTPS"]).remove(0);
    common::wait_until("both", || hints().contains("127.0.0.1") && hints().contains("127.0.0.2"));
    drop(two);
    server.wait_state("two", "down");
    common::wait_until("one alone", || hints() == "1 . alpn=h2 ipv4hint=127.0.0.1");
    common::wait_until("one host alone", || {
        dig("dig", server.dns(), &["_x._tcp.example.com", "SRV"]) == ["10 1 9 one.example.net."]
    });
    drop(one);
}

#[test]
fn steered_types_stand_beside_a_file_and_as_wildcards() {
    let folder_text = "globalnames: {www.example: {pool: p, https: {alpn: h2}}, '*.apps.example': {pool: p, https: {}}, \
         _s._tcp.example: {pool: p, srv: {port: 7}}, example: {pool: p, https: {}}}\n\
         pools: {p: {lb_method: wrr, members: {192.0.2.1: {hostname: h.example}}, monitor: forced, monitor_params: {status: up}}}\n\
         zones: {example: {file: z}}\n";
    let zone = "$TTL 300\n@ SOA ns1 host 1 7200 900 1209600 60\n@ NS ns1\nns1 A 192.0.2.53\nh A 192.0.2.80\nwww TXT here\n";
    let server = Server::start_with(&config("workers: 1, minimal_responses: off", folder_text), |folder| {
        std::fs::write(folder.join("z"), zone).unwrap();
        Vec::new()
    });
    let ask = |name: &str, rtype| server.ask(Via::Udp, &Query::new(name, rtype)).text();
    assert_eq!(
        ask("www.example", HTTPS),
        "NOERROR aa rd\nan www.example. 30 HTTPS 0001000001000302683200040004c0000201\n"
    );
    assert!(ask("www.example", Rtype::TXT).contains("an www.example. 300 TXT \"here\""));
    assert_eq!(
        ask("x.apps.example", HTTPS),
        "NOERROR aa rd\nan x.apps.example. 30 HTTPS 00010000040004c0000201\n"
    );
    assert!(ask("example", HTTPS).contains("HTTPS 0001000004"));
    assert!(ask("example", Rtype::SOA).contains("an example. 300 SOA"));
    assert_eq!(
        ask("_s._tcp.example", Rtype::SRV),
        "NOERROR aa rd\nan _s._tcp.example. 30 SRV 10 1 7 h.example.\nar h.example. 300 A 192.0.2.80\n"
    );
}

#[test]
fn why_explains_what_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("steerd.yaml");
    let why = |text: &str, name: &str, rtype: &str| {
        std::fs::write(&file, text).unwrap();
        let path = file.to_str().unwrap();
        let output = |more: &[&str]| {
            let output = run_steerd(&[&["why", name, rtype, "-c", path], more].concat());
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        (output(&[]), serde_json::from_str::<serde_json::Value>(&output(&["--json"])).unwrap())
    };
    let hosts = hosts_text("wrr", "on", "on");
    let (text, json) = why(&hosts, "_sip._tcp.example.com", "SRV");
    assert!(text.contains("answered with SRV records made of who can be drawn"), "{text}");
    assert!(text.contains("answer: _sip._tcp.example.com. 60 IN SRV 10 30 5060 sip2.example.net."), "{text}");
    assert_eq!(text.matches("pool sip, ").count(), 2, "both families: {text}");
    let steps: Vec<&str> =
        json["steps"].as_array().unwrap().iter().map(|s| s["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["name", "client", "draw", "client", "draw", "made"]);
    assert_eq!(json["reply"]["answer"][0]["data"], "10 10 5060 sip1.example.com.");
    let (text, _) = why(&hosts, "example.com", "MX");
    assert!(text.contains("answer: example.com. 60 IN MX 20 sip1.example.com."), "{text}");
    let members = "192.0.2.1, '2001:db8::1'";
    let (text, json) = why(&service_text(members, "up"), "www.example.com", "HTTPS");
    let data = "1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.1 ipv6hint=2001:db8::1";
    assert!(text.contains(data), "{text}");
    assert_eq!(json["reply"]["answer"][0]["data"], data);
    let (text, json) = why(&service_text(members, "down"), "www.example.com", "HTTPS");
    assert!(
        text.contains("nobody of pool web can be drawn: fallback nodata") && text.contains("NODATA"),
        "{text}"
    );
    assert_eq!(json["reply"]["answer"].as_array().map(Vec::len), Some(0));
    let (text, json) = why(&fallback_text("down"), "www.example.com", "CNAME");
    assert!(
        text.contains("nobody of pool web can be drawn: fallback cname lb.cloud.example.net.")
            && text.contains("an alias leads on")
            && text.contains("answer: www.example.com. 20 IN CNAME lb.cloud.example.net."),
        "{text}"
    );
    let steps: Vec<&str> =
        json["steps"].as_array().unwrap().iter().map(|s| s["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["name", "client", "draw", "exhausted", "client", "draw", "exhausted", "alias"]);
    let mixed = "globalnames: {www.example.com: p}\npools: {p: {lb_method: fogroup, members: [{cname: edge.example.net}, \
                 192.0.2.1], monitor: forced, monitor_params: {status: up}}}\nzones: {example.com: {ns: ns.example.net}}\n";
    let (text, json) = why(mixed, "www.example.com", "A");
    assert!(text.contains("drawn from members that are up: edge.example.net."), "{text}");
    assert_eq!(json["steps"][2]["drawn"][0]["address"], "edge.example.net.");
}

#[test]
fn clients_get_the_hosts_of_their_region_and_what_they_are_told_is_scoped() {
    let server = Server::start(
        "globalnames: {_s._tcp.example.com: {pool: p, srv: {port: 7}}, www.example.com: {pool: p, https: {}}}\n\
         pools: {p: {lb_method: twrr, members: {192.0.2.1: {hostname: east.example.net}, 198.51.100.1: {hostname: \
         west.example.net}}, monitor: forced, monitor_params: {status: up}}}\n\
         topology: {east: [192.0.2.0/24, 10.1.0.0/16], west: [198.51.100.0/24, 10.2.0.0/16]}\n\
         zones: {example.com: {ns: ns.example.net}}\n",
    );
    let ask = |name: &str, rtype, subnet: [u8; 4]| {
        let query = Query::new(name, rtype).edns(1232).subnet4(subnet.into(), 24);
        server.ask(Via::Udp, &query).text()
    };
    for (subnet, host, hint) in [([10, 1, 3, 0], "east", "c0000201"), ([10, 2, 3, 0], "west", "c6336401")] {
        let text = ask("_s._tcp.example.com", Rtype::SRV, subnet);
        assert!(
            text.contains(&format!("SRV 10 1 7 {host}.example.net.")) && text.matches(" SRV ").count() == 1,
            "{text}"
        );
        // Option 8 with a source of 24 bits, and the 16 that are alike.
        let scope = "00011810";
        assert!(text.contains(scope), "{text}");
        let text = ask("www.example.com", HTTPS, subnet);
        assert!(text.contains(&format!("HTTPS 00010000040004{hint}")) && text.contains(scope), "{text}");
    }
    let text = ask("_s._tcp.example.com", Rtype::SRV, [172, 16, 0, 0]);
    assert_eq!(text.matches(" SRV ").count(), 2, "{text}");
}

fn signed_text(folder: &std::path::Path, denial: &str, status: &str) -> String {
    config(
        &format!("workers: 1, state_dir: {}", folder.display()),
        &format!(
            "globalnames: {{www.t.example: {{pool: web, ttl: 20}}, '*.apps.t.example': {{pool: web, ttl: 20}}, spare.t.example: spare}}\n\
             pools:\n  web: {{lb_method: wrr, fallback: {{cname: spare.t.example}}, members: [192.0.2.1, 192.0.2.2], {}}}\n  \
             spare: {{lb_method: wrr, members: [192.0.2.9], {}}}\n\
             zones: {{t.example: {{ns: ns.example.net, dnssec: {{denial: {denial}}}}}}}\n",
            forced(status),
            forced("up")
        ),
    )
}

#[test]
fn alias_in_place_of_a_pool_is_signed_ahead() {
    for denial in ["nsec", "nsec3"] {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(&signed_text(folder.path(), denial, "up"));
        let keys = dig("dig", server.dns(), &["t.example", "DNSKEY"]);
        let key = keys.iter().find(|key| key.starts_with("257 ")).unwrap();
        let settings = format!(
            "  module-config: \"validator iterator\"\n  val-log-level: 2\n  cache-max-ttl: 0\n  cache-max-negative-ttl: 0\n  \
             trust-anchor: \"t.example. DNSKEY {key}\"\n"
        );
        let (_unbound, at) = start_unbound(server.dns(), folder.path(), &settings, &["t.example"]);
        let ask = |name: &str, rtype: &str| {
            let port = at.port().to_string();
            let whole =
                run_tool("dig", &[&format!("@{}", at.ip()), "-p", &port, "+dnssec", "+tries=1", name, rtype]);
            assert!(whole.contains("flags: qr rd ra ad"), "{name} {rtype} is not validated: {whole}");
            whole
        };
        let names = ["www.t.example", "shop.apps.t.example"];
        for name in names {
            assert!(ask(name, "A").contains("192.0.2."));
            for rtype in ["AAAA", "TXT", "CNAME"] {
                let denied = ask(name, rtype);
                assert!(denied.contains("NOERROR") && denied.contains("ANSWER: 0"), "{denied}");
            }
        }
        server.reload(&signed_text(folder.path(), denial, "down"));
        for name in names {
            common::wait_until("the cache to forget", || ask(name, "A").contains("CNAME"));
            let followed = ask(name, "A");
            assert!(followed.contains("192.0.2.9") && followed.contains("RRSIG\tCNAME"), "{followed}");
            for rtype in ["AAAA", "TXT", "CNAME"] {
                // Until then the chain may deny other types out of the cache (RFC 8198).
                common::wait_until("the cache to forget the chain", || {
                    ask(name, rtype).contains("CNAME\tspare.t.example.")
                });
            }
        }
        // Nobody who asks without signatures gets any.
        assert_eq!(
            server.ask(Via::Udp, &Query::a("www.t.example")).text(),
            "NOERROR aa rd\nan www.t.example. 20 CNAME spare.t.example.\nan spare.t.example. 30 A 192.0.2.9\n"
        );
    }
}

#[test]
fn proof_of_a_wildcard_stands_before_addresses_of_the_hosts_it_leads_to() {
    let folder = tempfile::tempdir().unwrap();
    let zone = folder.path().join("s.zone");
    std::fs::write(
        &zone,
        "$TTL 60\n@ SOA ns.plain.example. h.plain.example. 1 2 3 4 60\n@ NS ns.plain.example.\n* CNAME _sip._tcp.plain.example.\n",
    )
    .unwrap();
    let server = Server::start(&config(
        &format!("workers: 1, minimal_responses: off, state_dir: {}", folder.path().display()),
        &format!(
            "globalnames: {{_sip._tcp.plain.example: {{pool: phones, srv: {{port: 5060}}}}, h.plain.example: phones}}\n\
             pools: {{phones: {{lb_method: wrr, members: {{192.0.2.7: {{hostname: h.plain.example}}}}, {}}}}}\n\
             zones: {{s.example: {{file: {}, dnssec: {{}}}}, plain.example: {{ns: ns.example.net}}}}\n",
            forced("up"),
            zone.display()
        ),
    ));
    let at = server.dns();
    let port = at.port().to_string();
    let server_at = format!("@{}", at.ip());
    let whole = run_tool(
        "dig",
        &[&server_at, "-p", &port, "+dnssec", "+norecurse", "+tries=1", "x.s.example", "SRV"],
    );
    let section = |name: &str| {
        let begin = whole.find(&format!(";; {name} SECTION:")).unwrap_or_else(|| panic!("{name}: {whole}"));
        whole[begin..].split("\n\n").next().unwrap_or_default().to_owned()
    };
    assert!(section("ANSWER").contains("SRV\t10 1 5060 h.plain.example."), "{whole}");
    assert!(section("AUTHORITY").contains("NSEC"), "{whole}");
    assert!(section("ADDITIONAL").contains("A\t192.0.2.7"), "{whole}");
}
