//! Parameters of every monitor: defaults, ranges, aliases, and what is said of a bad one.

use super::super::model::{DnsProbe, HttpProbe, TlsProbe};
use super::super::tests::{errors, loaded};
use super::*;

/// A configuration whose one pool has the monitor of these lines.
fn with(monitor: &str, parameters: &str) -> String {
    format!(
        "globalnames: {{a.example: p}}\npools:\n  p:\n    lb_method: wrr\n    members: {{127.0.0.1: }}\n    \
         monitor: {monitor}\n    monitor_params: {parameters}\n"
    )
}

fn monitor(kind: &str, parameters: &str) -> Monitor {
    (*loaded(&with(kind, parameters)).pools[0].monitors.list[0].monitor).clone()
}

#[test]
fn every_monitor_has_its_defaults() {
    let tcp = monitor("tcp_connect", "{port: 25}");
    assert_eq!(tcp.probe, Probe::Tcp { port: 25 });
    assert_eq!((tcp.interval, tcp.timeout, tcp.retries, tcp.rise), (DEFAULT_INTERVAL, DEFAULT_TIMEOUT, 2, 1));
    let http = HttpProbe {
        port: 80,
        tls: None,
        method: "GET".into(),
        path: "/".into(),
        host: None,
        expected_codes: vec![(200, 200)],
        headers: Vec::new(),
        body: None,
        match_re: None,
        match_limit: 65_536,
    };
    assert_eq!(monitor("http", "").probe, Probe::Http(http.clone()));
    let tls = Some(TlsProbe::default());
    assert_eq!(
        monitor("https_status", "{}").probe,
        Probe::Http(HttpProbe { port: 443, tls: tls.clone(), ..http.clone() })
    );
    assert_eq!(monitor("http", "{use_ssl: on}").probe, Probe::Http(HttpProbe { port: 443, tls, ..http }));
    assert_eq!(monitor("forced", "{status: down}").probe, Probe::Forced { up: false });
}

#[test]
fn every_parameter_is_read() {
    let content = monitor(
        "tcp_content",
        r#"{port: 25, send_string: "EHLO x\r\n", match: '^250', frequency: 2, timeout: 500ms, retries: 0, rise: 3}"#,
    );
    let probe = Probe::TcpContent { port: 25, send: b"EHLO x\r\n".to_vec(), match_re: Some("^250".into()) };
    assert_eq!(content.probe, probe);
    assert_eq!((content.interval, content.timeout), (Duration::from_secs(2), Duration::from_millis(500)));
    assert_eq!((content.retries, content.rise), (0, 3));
    let https = monitor(
        "https",
        "{hostname: 'www.example.com:8443', path: health?a=1, method: HEAD, verify: true, expected_codes: [204, 300-399]}",
    );
    let Probe::Http(http) = https.probe else { panic!("no http") };
    assert_eq!(
        (http.host.as_deref(), http.path.as_str(), http.method.as_str()),
        (Some("www.example.com:8443"), "/health?a=1", "HEAD")
    );
    assert_eq!(
        http.tls,
        Some(TlsProbe { verify: true, server_name: Some("www.example.com".into()), ..TlsProbe::default() })
    );
    assert_eq!(http.expected_codes, [(204, 204), (300, 399)]);
}

#[test]
fn an_address_is_never_sent_as_server_name() {
    for host in ["192.0.2.1", "'192.0.2.1:8443'", "'[2001:db8::1]:8443'", "'2001:db8::1'"] {
        let Probe::Http(http) = monitor("https", &format!("{{hostname: {host}}}")).probe else {
            panic!("no http")
        };
        assert_eq!(http.tls, Some(TlsProbe::default()), "{host}");
    }
}

#[test]
fn a_short_interval_shortens_the_default_timeout() {
    assert_eq!(monitor("tcp", "{port: 1, interval: 2}").timeout, Duration::from_secs(2));
}

#[test]
fn each_bad_parameter_is_an_error_at_its_place() {
    for (kind, parameters, expected) in [
        (
            "tcp",
            "{}",
            "3:3: `port` is missing in the parameters of a `tcp` monitor (accepted are 1 to 65535)",
        ),
        (
            "forced",
            "{}",
            "3:3: `status` is missing in the parameters of a `forced` monitor (accepted are `up` and `down`)",
        ),
        (
            "tcp",
            "{port: 1, interval: 5, timeout: 6}",
            "7:53: the timeout (6 s) is longer than the interval (5 s): probes would overlap (accepted are 10 ms to 5 s)",
        ),
        ("tcp", "{port: 0}", "7:28: `0` is out of range (accepted are 1 to 65535)"),
        (
            "tcp",
            "{port: 1, hostname: a}",
            "7:31: the monitor `tcp` takes no `hostname` (it is a parameter of `http` and `https`)",
        ),
        (
            "http",
            "{intervall: 1}",
            "7:22: unknown key `intervall` in `monitor_params` (did you mean `interval`?)",
        ),
        (
            "http",
            "{interval: 1, frequency: 1}",
            "7:35: `frequency` and `interval` are the same key (first given on line 7)",
        ),
        (
            "http",
            "{interval: 50ms}",
            "7:32: the duration `50ms` is out of range (accepted are 100 ms to 3600 s)",
        ),
        (
            "http",
            "{verify: true}",
            "7:30: `verify` needs TLS, which this monitor does not use (use the monitor `https`, or set `use_ssl: true`)",
        ),
        (
            "https",
            "{use_ssl: no}",
            "7:31: the monitor `https` always uses TLS, but `use_ssl` is false (use the monitor `http`)",
        ),
        ("http", r#"{path: "/a b"}"#, "7:28: a path must not contain the character ' '"),
        ("http", r#"{hostname: "a\r\nb"}"#, "7:32: a hostname must not contain the character '\\r'"),
        ("http", "{method: 'GE T'}", "7:30: a method must not contain the character ' '"),
        (
            "https",
            "{hostname: -a-}",
            "7:32: `-a-` cannot be the server name of a TLS connection (accepted is a domain name, without underscores at its ends)",
        ),
        (
            "http",
            "{expected_codes: [99]}",
            "7:39: `99` is neither a status code nor a range of them (accepted are `200` and `200-299`, each code 100 to 599)",
        ),
        (
            "http",
            "{expected_codes: [299-200]}",
            "7:39: `299-200` is neither a status code nor a range of them (accepted are `200` and `200-299`, each code 100 to 599)",
        ),
        (
            "http",
            "{expected_codes: [200,201,202,203,204,205,206,207,208]}",
            "7:22: more than 8 items in `expected_codes`",
        ),
        (
            "tcp_content",
            "{port: 1, match_re: '(a'}",
            "7:41: the regular expression `(a` does not compile: unclosed group",
        ),
        (
            "ftp",
            "{}",
            "6:14: `ftp` is not accepted here (accepted are `tcp`, `tcp_content`, `http`, `https`, `tls`, `dns`, `icmp`, `agent`, `exec`, `file`, `push` and `forced`)",
        ),
    ] {
        assert_eq!(errors(&with(kind, parameters)), [expected], "{kind} {parameters}");
    }
}

/// Parameters of each kind that are enough.
const KINDS: [(&str, MonitorKind, &str); 12] = [
    ("tcp", MonitorKind::Tcp, "port: 1"),
    ("tcp_content", MonitorKind::TcpContent, "port: 1"),
    ("http", MonitorKind::Http, ""),
    ("https", MonitorKind::Https, ""),
    ("tls", MonitorKind::Tls, ""),
    ("dns", MonitorKind::Dns, "query_name: a.example"),
    ("icmp", MonitorKind::Icmp, ""),
    ("agent", MonitorKind::Agent, "port: 1"),
    ("exec", MonitorKind::Exec, "command: [/bin/true]"),
    ("file", MonitorKind::File, "path: a"),
    ("push", MonitorKind::Push, ""),
    ("forced", MonitorKind::Forced, "status: up"),
];

#[test]
fn each_parameter_is_taken_by_those_that_the_message_names() {
    for key in PARAMETERS.keys.iter().filter(|key| key.name != "warmup") {
        let named = takers(key.name);
        for (word, kind, _) in KINDS {
            let is_named = named.contains(&format!("`{word}`")) != named.contains("every monitor but");
            assert_eq!(kind.takes(key.name), is_named, "{} of {word}", key.name);
        }
    }
}

#[test]
fn monitors_that_ask_this_machine_are_read() {
    let exec = monitor("exec", r#"{command: [/bin/true, "-H", "{ip}", ""], interval: 1}"#);
    let command = ["/bin/true", "-H", "{ip}", ""].map(str::to_owned).to_vec();
    assert_eq!((exec.probe, exec.retries), (Probe::Exec { command }, 2));
    let file = monitor("file", "{path: states/x.txt}");
    assert_eq!(file.probe, Probe::File { path: "states/x.txt".into(), missing_up: false });
    assert_eq!((file.retries, file.rise), (0, 1), "what a file says is no measurement");
    let file = monitor("file", "{path: '/run/{ip}', missing: up, retries: 1}");
    assert_eq!((file.probe, file.retries), (Probe::File { path: "/run/{ip}".into(), missing_up: true }, 1));
    let push = |ttl, silence_up| Probe::Push { pool: "p".into(), ttl: Duration::from_secs(ttl), silence_up };
    assert_eq!(monitor("push", "").probe, push(60, false));
    assert_eq!(monitor("push", "{ttl: 24h, silence: up, warmup: 5}").probe, push(86_400, true));
}

#[test]
fn each_fault_of_what_asks_this_machine_is_told_at_its_place() {
    for (kind, parameters, expected) in [
        (
            "exec",
            "{}",
            "3:3: `command` is missing in the parameters of an `exec` monitor (accepted are a program's path and its arguments, as a list)",
        ),
        (
            "exec",
            "{command: [check_http]}",
            "7:32: `check_http` is not the path of a program (accepted is an absolute path: no shell looks for it)",
        ),
        ("exec", "{command: /bin/true}", "7:31: expected a list, found a single value"),
        ("exec", "{command: []}", "7:31: `command` is empty"),
        (
            "exec",
            "{command: [/bin/true], source: 127.0.0.1}",
            "7:44: the monitor `exec` takes no `source` (it is a parameter of every monitor but `exec`, `file`, `push` and `forced`)",
        ),
        ("file", "{}", "3:3: `path` is missing in the parameters of a `file` monitor (accepted are paths)"),
        (
            "file",
            "{path: a, missing: maybe}",
            "7:40: `maybe` is not accepted here (accepted are `up` and `down`)",
        ),
        (
            "push",
            "{interval: 1}",
            "7:22: the monitor `push` takes no `interval` (it is a parameter of every monitor but `push`)",
        ),
        ("push", "{ttl: 25h}", "7:27: the duration `25h` is out of range (accepted are 1 s to 86400 s)"),
        (
            "http",
            "{url_path: /a, path: /b}",
            "7:42: `path` and `url_path` are the same key (first given on line 7)",
        ),
    ] {
        assert_eq!(errors(&with(kind, parameters)), [expected], "{kind} {parameters}");
    }
    for (program, fault) in [
        ("/nonexistent/check", "there is no such file"),
        ("/etc", "it is no file"),
        ("/etc/passwd", "nobody may execute it"),
    ] {
        let expected = format!(
            "7:31: the program `{program}` cannot be run: {fault} (until it can be, each run of it is a failure)"
        );
        assert_eq!(
            super::super::tests::warnings(&with("exec", &format!("{{command: [{program}]}}"))),
            [expected]
        );
    }
}

#[test]
fn new_monitors_have_their_defaults() {
    assert_eq!(monitor("tls", "").probe, Probe::Tls { port: 443, tls: TlsProbe::default() });
    let dns = DnsProbe {
        port: 53,
        qname: Name::from_text("www.example.com").unwrap(),
        qtype: Rtype::A,
        transport: DnsTransport::Udp,
        rcodes: vec![Rcode::NOERROR],
        addresses: Vec::new(),
    };
    assert_eq!(monitor("dns", "{qname: WWW.example.com.}").probe, Probe::Dns(dns));
    assert_eq!(monitor("ping", "").probe, Probe::Icmp);
    assert_eq!(monitor("agent", "{port: 9}").probe, Probe::Agent { port: 9, send: Vec::new() });
    for (word, _, parameters) in KINDS {
        assert_eq!(monitor(word, &format!("{{{parameters}}}")).source, Sources::default());
    }
}

#[test]
fn every_new_parameter_is_read() {
    let hex =
        "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff";
    let base64 = "sha256//ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=";
    let octets: Vec<u8> = (0..32).map(|n| (n % 16) * 0x11).collect();
    let tls = TlsProbe {
        verify: true,
        server_name: Some("a.example".into()),
        min_days_left: Some(14),
        pins: vec![octets.clone().try_into().unwrap(), octets.try_into().unwrap()],
    };
    let parameters = format!(
        "{{port: 8443, verify: on, sni: a.example., min_days_left: 14, pinned_sha256: ['{hex}', '{base64}']}}"
    );
    assert_eq!(monitor("tls", &parameters).probe, Probe::Tls { port: 8443, tls: tls.clone() });
    let Probe::Http(https) = monitor(
        "https",
        &parameters.replace(
            '}',
            ", hostname: b.example, headers: {X-A: b c, Accept: text/plain}, body: 'a=b', match_re: ok, body_limit: 100}",
        ),
    )
    .probe
    else {
        panic!("no http")
    };
    assert_eq!((https.tls, https.host.as_deref()), (Some(tls), Some("b.example")));
    assert_eq!((https.method.as_str(), https.body.as_deref()), ("POST", Some(&b"a=b"[..])));
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(https.headers, [own("X-A", "b c"), own("Accept", "text/plain")]);
    assert_eq!((https.match_re.as_deref(), https.match_limit), (Some("ok"), 100));
    let Probe::Dns(dns) = monitor(
        "dns",
        "{port: 5353, query_name: ., qtype: aaaa, transport: tcp, expected_rcodes: [noerror, NXDOMAIN], expected_address: '::1'}",
    )
    .probe
    else {
        panic!("no dns")
    };
    assert_eq!((dns.port, dns.qtype, dns.transport), (5353, Rtype::AAAA, DnsTransport::Tcp));
    assert_eq!((dns.qname, dns.rcodes), (Name::ROOT, vec![Rcode::NOERROR, Rcode::NXDOMAIN]));
    assert_eq!(dns.addresses, ["::1".parse::<IpAddr>().unwrap()]);
    let Probe::Dns(dns) = monitor("dns", "{query_name: a, query_type: TYPE65280}").probe else {
        panic!("no dns")
    };
    assert_eq!(dns.qtype, Rtype(65_280));
    let agent = monitor("agent", r#"{port: 9, send: "state\n"}"#);
    assert_eq!(agent.probe, Probe::Agent { port: 9, send: b"state\n".to_vec() });
}

#[test]
fn member_is_probed_where_it_says_else_where_the_monitor_says_else_at_its_address() {
    let text = "globalnames: {a.example: p}
pools:
  p:
    lb_method: wrr
    members: {127.0.0.1: {monitor_ip: '::1'}, 127.0.0.2: }
    monitor: tcp
    monitor_params: {port: 1, source: ['::2', 127.9.9.9]MORE}
";
    let pool = |more: &str| loaded(&text.replace("MORE", more)).pools.remove(0);
    let probed = |more: &str| {
        let pool = pool(more);
        let first = &pool.monitors.list[0];
        pool.members.iter().map(|member| first.address_of(member).to_string()).collect::<Vec<_>>()
    };
    assert_eq!(probed(""), ["::1", "127.0.0.2"]);
    assert_eq!(probed(", monitor_ip: 127.0.0.9"), ["::1", "127.0.0.9"]);
    let source = pool("").monitors.list[0].monitor.source;
    assert_eq!((source.v4, source.v6), (Some([127, 9, 9, 9].into()), Some("::2".parse().unwrap())));
    assert_eq!(
        errors(&text.replace("['::2', 127.9.9.9]MORE", "127.9.9.9")),
        [
            "7:31: `source` has no IPv6 address, but ::1 is probed (give a list of one IPv4 and one IPv6 address)"
        ]
    );
    assert_eq!(
        errors(
            &text
                .replace("'::2'", "127.9.9.8")
                .replace("MORE", ", monitor_ip: 127.0.0.9")
                .replace("'::1'", "127.0.0.8")
        ),
        ["7:51: `source` has a second IPv4 address (accepted are one IPv4 and one IPv6 address)"]
    );
    assert_eq!(
        errors(&text.replace("MORE", "").replace("'::1'", "224.0.0.1")),
        [
            "5:39: `224.0.0.1` is not an address of one machine (accepted are unicast addresses that need no interface beside them)"
        ]
    );
}

#[test]
fn each_bad_new_parameter_is_an_error_at_its_place() {
    for (kind, parameters, expected) in [
        (
            "dns",
            "{}",
            "3:3: `query_name` is missing in the parameters of a `dns` monitor (accepted are domain names)",
        ),
        (
            "agent",
            "{}",
            "3:3: `port` is missing in the parameters of an `agent` monitor (accepted are 1 to 65535)",
        ),
        (
            "icmp",
            "{port: 1}",
            "7:22: the monitor `icmp` takes no `port` (it is a parameter of `tcp`, `tcp_content`, `http`, `https`, `tls`, `dns` and `agent`)",
        ),
        (
            "forced",
            "{status: up, source: 127.0.0.1}",
            "7:34: the monitor `forced` takes no `source` (it is a parameter of every monitor but `exec`, `file`, `push` and `forced`)",
        ),
        (
            "tls",
            "{url_path: /}",
            "7:22: the monitor `tls` takes no `url_path` (it is a parameter of `http` and `https`)",
        ),
        ("http", "{min_days_left: 5}", "7:22: `min_days_left` needs TLS, which this monitor does not use"),
        ("tls", "{min_days_left: 3651}", "7:37: `3651` is out of range (accepted are 0 to 3650)"),
        (
            "tls",
            "{pinned_sha256: abc}",
            "7:37: `abc` is not a SHA-256 (accepted are 64 hexadecimal digits, with or without colons, and 44 characters of base64)",
        ),
        (
            "tls",
            "{server_name: 192.0.2.1}",
            "7:35: `192.0.2.1` cannot be the server name of a TLS connection (accepted is a domain name, without underscores at its ends)",
        ),
        (
            "http",
            "{headers: {Host: a}}",
            "7:32: the header `Host` is set by the monitor itself (use the parameter `hostname`)",
        ),
        ("http", "{headers: {a b: c}}", "7:32: a header's name must not contain the character ' '"),
        (
            "http",
            r#"{headers: {a: "b\r\nc"}}"#,
            "7:35: a header's value must not contain the character '\\r'",
        ),
        ("http", "{headers: {a: b, A: c}}", "7:38: the header `A` is given twice (first given on line 7)"),
        ("http", "{headers: [a]}", "7:31: expected a mapping, found a list"),
        (
            "http",
            "{body: x, method: GET}",
            "7:22: `body` needs a method that carries one, such as POST or PUT",
        ),
        (
            "http",
            "{match_re: x, method: HEAD}",
            "7:22: `match_re` needs a reply with a body, which the method HEAD never has",
        ),
        ("http", "{match_limit: 5}", "7:22: `match_limit` needs a `match_re`"),
        (
            "http",
            "{match_re: x, match_limit: 65537}",
            "7:48: `65537` is out of range (accepted are 1 to 65536)",
        ),
        (
            "dns",
            "{query_name: a..b}",
            "7:34: `a..b` is not a domain name: the name has an empty label (two dots in a row)",
        ),
        (
            "dns",
            "{query_name: a, query_type: AXFR}",
            "7:49: `AXFR` is not accepted here (accepted are A, AAAA, SOA, NS and other types of data; any by its number, as TYPE65280)",
        ),
        (
            "dns",
            "{query_name: a, query_type: TYPE41}",
            "7:49: `TYPE41` is not accepted here (accepted are A, AAAA, SOA, NS and other types of data; any by its number, as TYPE65280)",
        ),
        (
            "dns",
            "{query_name: a, expected_rcode: NOEROR}",
            "7:53: `NOEROR` is not accepted here (did you mean `NOERROR`?)",
        ),
        (
            "dns",
            "{query_name: a, transport: quic}",
            "7:48: `quic` is not accepted here (accepted are `udp` and `tcp`)",
        ),
        (
            "dns",
            "{query_name: a, expected_addresses: '::1'}",
            "7:37: `expected_addresses` needs a `query_type` that has them: A for IPv4, AAAA for IPv6",
        ),
        (
            "dns",
            "{query_nam: a, query_name: b}",
            "7:22: unknown key `query_nam` in `monitor_params` (did you mean `query_name`?)",
        ),
        ("dsn", "{}", "6:14: `dsn` is not accepted here (did you mean `dns`?)"),
    ] {
        assert_eq!(errors(&with(kind, parameters)), [expected], "{kind} {parameters}");
    }
}
