//! Globalnames in zones with a file: beside static records, as wildcards, and behind aliases.

use std::net::Ipv4Addr;

use super::*;

/// Pools of every kind; `near` tells clients apart.
const POOLS: &str = "
pools:
  up: {lb_method: fogroup, members: {192.0.2.1: {}, '2001:db8::1': {}}, monitor: forced, monitor_params: {status: up}}
  two: {lb_method: wrr, max_addrs_returned: 2, members: [192.0.2.2, 192.0.2.3], monitor: forced, monitor_params: {status: up}}
  refuse: {lb_method: wrr, fallback: refuse, members: [192.0.2.7], monitor: forced, monitor_params: {status: down}}
  nodata: {lb_method: wrr, fallback: nodata, members: [192.0.2.8], monitor: forced, monitor_params: {status: down}}
  addresses: {lb_method: wrr, fallback: [192.0.2.99], members: [192.0.2.9], monitor: forced, monitor_params: {status: down}}
  near: {lb_method: twrr, members: [192.0.2.11, 198.51.100.11], monitor: forced, monitor_params: {status: up}}
topology: {east: [192.0.2.0/24, 10.1.0.0/16], west: [198.51.100.0/24, 10.2.0.0/16]}
";

fn start_steered(globalnames: &str, records: &str) -> Server {
    let text = format!("globalnames: {{{globalnames}}}\n{POOLS}zones: {{example: {{file: z}}}}\n");
    start(&text, &[("z", &format!("{HEAD}{records}"))])
}

#[test]
fn steered_name_has_its_other_types_from_the_file() {
    let server = start_steered(
        "www.example: {pool: up, ttl: 20}",
        "www MX 10 mail\nwww TXT \"text\"\nwww CAA 0 issue \"ca\"\nwww HTTPS 1 . alpn=h2\nx.www TXT \"below\"\n",
    );
    server.expect(
        &Query::a("www.example"),
        "NOERROR aa rd\nan www.example. 20 A 192.0.2.1",
        &[ANSWER, FROM_UP],
    );
    server.expect(
        &Query::new("www.example", Rtype::AAAA),
        "NOERROR aa rd\nan www.example. 20 AAAA 2001:db8::1",
        &[ANSWER, FROM_UP],
    );
    for (rtype, answer) in [
        (Rtype::MX, "MX 10 mail.example."),
        (Rtype::TXT, "TXT \"text\""),
        (Rtype(257), "CAA 000569737375656361"),
        (Rtype(65), "HTTPS 00010000010003026832"),
    ] {
        server.expect(
            &Query::new("www.example", rtype),
            &format!("NOERROR aa rd\nan www.example. 300 {answer}"),
            &[ANSWER],
        );
    }
    let soa = negative("example.");
    for rtype in [Rtype::SRV, Rtype::NS, Rtype::CNAME, Rtype::DS] {
        server.expect(&Query::new("www.example", rtype), &format!("NOERROR aa rd\n{soa}"), &[NODATA]);
    }
    server.expect(
        &Query::new("x.www.example", Rtype::TXT),
        "NOERROR aa rd\nan x.www.example. 300 TXT \"below\"",
        &[ANSWER],
    );
    server.expect(&Query::a("y.www.example"), &format!("NXDOMAIN aa rd\n{soa}"), &[NXDOMAIN]);
}

#[test]
fn steered_apex_keeps_the_records_of_its_file() {
    let server = start_steered("example: two", "@ MX 10 ns1\n");
    server.expect(
        &Query::new("example", Rtype::MX),
        "NOERROR aa rd\nan example. 300 MX 10 ns1.example.",
        &[ANSWER],
    );
    server.expect(
        &Query::new("example", Rtype::SOA),
        "NOERROR aa rd\nan example. 300 SOA ns1.example. host.example. 1 7200 900 1209600 60",
        &[ANSWER],
    );
    server.expect(
        &Query::new("example", Rtype::NS),
        "NOERROR aa rd\nan example. 300 NS ns1.example.\nar ns1.example. 300 A 192.0.2.53",
        &[ANSWER],
    );
    let mut addresses = server.addresses("example");
    addresses.sort();
    assert_eq!(addresses, ["192.0.2.2", "192.0.2.3"]);
    let soa = negative("example.");
    server.expect(&Query::new("example", Rtype::AAAA), &format!("NOERROR aa rd\n{soa}"), &[NODATA]);
    server.expect(&Query::new("example", Rtype::TXT), &format!("NOERROR aa rd\n{soa}"), &[NODATA]);
}

#[test]
fn steered_wildcard_stands_for_what_does_not_exist_below_it() {
    let server = start_steered(
        "'*.apps.example': {pool: up, ttl: 20}, fixed.apps.example: {pool: two, ttl: 10}, '*.bare.example': up",
        "*.apps TXT \"any\"\nstatic.apps TXT \"static\"\na.b.ent.apps TXT \"deep\"\n",
    );
    let soa = negative("example.");
    for name in ["x.apps.example", "y.x.apps.example", "*.apps.example", "q.bare.example"] {
        let ttl = if name.contains("bare") { 30 } else { 20 };
        server.expect(
            &Query::a(name),
            &format!("NOERROR aa rd\nan {name}. {ttl} A 192.0.2.1"),
            &[ANSWER, FROM_UP],
        );
        server.expect(
            &Query::new(name, Rtype::AAAA),
            &format!("NOERROR aa rd\nan {name}. {ttl} AAAA 2001:db8::1"),
            &[ANSWER, FROM_UP],
        );
        server.expect(&Query::new(name, Rtype::MX), &format!("NOERROR aa rd\n{soa}"), &[NODATA]);
    }
    server.expect(
        &Query::new("x.apps.example", Rtype::TXT),
        "NOERROR aa rd\nan x.apps.example. 300 TXT \"any\"",
        &[ANSWER],
    );
    // The wildcard's name exists, and so do those above it.
    for name in ["apps.example", "bare.example"] {
        server.expect(&Query::a(name), &format!("NOERROR aa rd\n{soa}"), &[NODATA]);
    }
    server.expect(&Query::a("x.*.apps.example"), &format!("NXDOMAIN aa rd\n{soa}"), &[NXDOMAIN]);
    // Blocked by a name that exists, steered or not, and by what exists for what is below it.
    assert_eq!(server.addresses("fixed.apps.example").len(), 2);
    server.expect(&Query::new("fixed.apps.example", Rtype::TXT), &format!("NOERROR aa rd\n{soa}"), &[NODATA]);
    for name in ["static.apps.example", "ent.apps.example", "b.ent.apps.example"] {
        server.expect(&Query::a(name), &format!("NOERROR aa rd\n{soa}"), &[NODATA]);
    }
    for name in
        ["x.static.apps.example", "x.fixed.apps.example", "x.ent.apps.example", "x.b.ent.apps.example"]
    {
        server.expect(&Query::a(name), &format!("NXDOMAIN aa rd\n{soa}"), &[NXDOMAIN]);
    }
}

#[test]
fn aliases_lead_to_steered_names_and_steered_wildcards() {
    let server = start_steered(
        "www.example: {pool: up, ttl: 20}, '*.apps.example': {pool: two, ttl: 10}, alone.test: {pool: up, ttl: 5}",
        "a CNAME b\nb CNAME WWW\nwild CNAME shop.apps\nout CNAME alone.test.\n*.w CNAME www\ndn DNAME apps\nwww TXT \"x\"\n",
    );
    server.expect(
        &Query::a("a.example"),
        "NOERROR aa rd
         an a.example. 300 CNAME b.example.
         an b.example. 300 CNAME WWW.example.
         an WWW.example. 20 A 192.0.2.1",
        &[ANSWER, FROM_UP],
    );
    server.expect(
        &Query::new("b.example", Rtype::TXT),
        "NOERROR aa rd\nan b.example. 300 CNAME WWW.example.\nan WWW.example. 300 TXT \"x\"",
        &[ANSWER],
    );
    server.expect(
        &Query::new("q.w.example", Rtype::AAAA),
        "NOERROR aa rd\nan q.w.example. 300 CNAME www.example.\nan www.example. 20 AAAA 2001:db8::1",
        &[ANSWER, FROM_UP],
    );
    server.expect(
        &Query::a("out.example"),
        "NOERROR aa rd\nan out.example. 300 CNAME alone.test.\nan alone.test. 5 A 192.0.2.1",
        &[ANSWER, FROM_UP],
    );
    for (name, head) in [
        ("wild.example", "an wild.example. 300 CNAME shop.apps.example.\n"),
        (
            "shop.dn.example",
            "an dn.example. 300 DNAME apps.example.\nan shop.dn.example. 300 CNAME shop.apps.example.\n",
        ),
    ] {
        for via in [Via::Udp, Via::Tcp] {
            let text = server.ask(via, &Query::a(name)).text();
            assert!(text.starts_with(&format!("NOERROR aa rd\n{head}")), "{text}");
            for address in ["192.0.2.2", "192.0.2.3"] {
                let line = format!("an shop.apps.example. 10 A {address}\n");
                assert_eq!(text.matches(&line).count(), 1, "{text}");
            }
        }
    }
    server.expect(
        &Query::new("wild.example", Rtype::AAAA),
        &format!("NOERROR aa rd\nan wild.example. 300 CNAME shop.apps.example.\n{}", negative("example.")),
        &[NODATA],
    );
}

#[test]
fn client_subnet_is_honoured_behind_aliases_and_wildcards() {
    let server = start_steered(
        "near.example: {pool: near, ttl: 20}, '*.near.example': near",
        "alias CNAME near\nwild CNAME x.near\nhost A 192.0.2.5\nhost-alias CNAME host\n",
    );
    // Option 8, family 1, source and scope, three octets of the network.
    let echo = |second: u8, scope: u8| format!("opt 1232 00080007000118{scope:02x}0a{second:02x}02");
    for (second, address) in [(1, "192.0.2.11"), (2, "198.51.100.11")] {
        let asked = |name: &str| Query::a(name).edns(1232).subnet4(Ipv4Addr::new(10, second, 2, 0), 24);
        for (name, answer) in [
            ("near.example", format!("an near.example. 20 A {address}")),
            ("q.near.example", format!("an q.near.example. 30 A {address}")),
            (
                "alias.example",
                format!("an alias.example. 300 CNAME near.example.\nan near.example. 20 A {address}"),
            ),
            (
                "wild.example",
                format!("an wild.example. 300 CNAME x.near.example.\nan x.near.example. 30 A {address}"),
            ),
        ] {
            server.expect(
                &asked(name),
                &format!("NOERROR aa rd\n{answer}\n{}", echo(second, 16)),
                &[ANSWER, FROM_UP, EDNS, SUBNET],
            );
        }
        // What is the same for everybody has scope 0.
        server.expect(
            &asked("host-alias.example"),
            &format!(
                "NOERROR aa rd\nan host-alias.example. 300 CNAME host.example.\nan host.example. 300 A 192.0.2.5\n{}",
                echo(second, 0)
            ),
            &[ANSWER, EDNS, SUBNET],
        );
    }
}

#[test]
fn fallbacks_behind_an_alias_answer_as_much_as_can_be_said() {
    let names =
        "refuse.example: refuse, nodata.example: nodata, addresses.example: {pool: addresses, ttl: 9}";
    let names = format!("{names}, '*.refuse.example': refuse, alone.test: refuse");
    let server = start_steered(
        &names,
        "to-refuse CNAME refuse\nto-nodata CNAME nodata\nto-addresses CNAME addresses\nto-wild CNAME x.refuse\nto-alone CNAME alone.test.\n",
    );
    let soa = negative("example.");
    server.expect(&Query::a("refuse.example"), "REFUSED rd", &[REFUSED, FROM_NONE]);
    server.expect(&Query::a("x.refuse.example"), "REFUSED rd", &[REFUSED, FROM_NONE]);
    // Where a zone holds it, what else it has goes on.
    server.expect(&Query::new("refuse.example", Rtype::MX), &format!("NOERROR aa rd\n{soa}"), &[NODATA]);
    for (name, target) in [("to-refuse", "refuse"), ("to-wild", "x.refuse")] {
        server.expect(
            &Query::a(&format!("{name}.example")),
            &format!("NOERROR aa rd\nan {name}.example. 300 CNAME {target}.example."),
            &[ANSWER, FROM_NONE],
        );
    }
    server.expect(
        &Query::a("to-alone.example"),
        "NOERROR aa rd\nan to-alone.example. 300 CNAME alone.test.",
        &[ANSWER],
    );
    server.expect(&Query::a("nodata.example"), &format!("NOERROR aa rd\n{soa}"), &[NODATA, FROM_NONE]);
    server.expect(
        &Query::a("to-nodata.example"),
        &format!("NOERROR aa rd\nan to-nodata.example. 300 CNAME nodata.example.\n{soa}"),
        &[NODATA, FROM_NONE],
    );
    server.expect(
        &Query::a("to-addresses.example"),
        "NOERROR aa rd
         an to-addresses.example. 300 CNAME addresses.example.
         an addresses.example. 9 A 192.0.2.99",
        &[ANSWER, FROM_FALLBACK],
    );
}
