//! What is answered: every row of the table of DNS behaviour, over UDP and TCP, with what is counted.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use steerd::wire::message::{Class, FLAG_RD, Rtype};

#[path = "../common/mod.rs"]
mod common;
mod edns;

use common::dns::{Query, UdpClient, Via};
use common::{Server, config};

const ANSWER: (&str, u64) = ("steerd_responses_total{result=\"answer\"}", 1);
const NODATA: (&str, u64) = ("steerd_responses_total{result=\"nodata\"}", 1);
const NXDOMAIN: (&str, u64) = ("steerd_responses_total{result=\"nxdomain\"}", 1);
const REFUSED: (&str, u64) = ("steerd_responses_total{result=\"refused\"}", 1);
const FORMERR: (&str, u64) = ("steerd_responses_total{result=\"formerr\"}", 1);
const NOTIMP: (&str, u64) = ("steerd_responses_total{result=\"notimp\"}", 1);
const BADVERS: (&str, u64) = ("steerd_responses_total{result=\"badvers\"}", 1);
const TRUNCATED: (&str, u64) = ("steerd_responses_total{result=\"truncated\"}", 1);
const FROM_UP: (&str, u64) = ("steerd_pool_answers_total{source=\"up\"}", 1);
const FROM_FALLBACK: (&str, u64) = ("steerd_pool_answers_total{source=\"fallback\"}", 1);
const FROM_NONE: (&str, u64) = ("steerd_pool_answers_total{source=\"none\"}", 1);
const UDP: (&str, u64) = ("steerd_queries_total{transport=\"udp\"}", 1);
const EDNS: (&str, u64) = ("steerd_edns_queries_total", 1);
const SUBNET: (&str, u64) = ("steerd_client_subnet_queries_total", 1);

/// SOA of example.com below, as a record and as it stands in negative answers.
const SOA: &str = "SOA ns1.example.net. admin.example.com. 7 7200 900 1209600 60";

const CONFIG: &str = "
globalnames:
  WWW.Example.com.: {pool: one, ttl: 30}
  v4.example.com: {pool: four, ttl: 20}
  deep.ent.example.com: {pool: one}
  alone.example.net: {pool: one, ttl: 5}
  a.b.ALONE.example.net.: {pool: four, ttl: 6}
  any.test: any
  refuse.test: refuse
  nodata.test: nodata
  addresses.test: {pool: addresses, ttl: 9}
  closed.example.com: refuse
  zero.test: zero
pools:
  one:
    lb_method: fogroup
    members: {192.0.2.1: {}, '2001:db8::1': {}}
    monitor: forced
    monitor_params: {status: up}
  four: {lb_method: wrr, members: [192.0.2.4], monitor: forced, monitor_params: {status: up}}
  any: {lb_method: fogroup, fallback: any, members: [192.0.2.5, 192.0.2.6], max_addrs_returned: 2, monitor: forced, monitor_params: {status: down}}
  refuse: {lb_method: wrr, fallback: refuse, members: [192.0.2.7], monitor: forced, monitor_params: {status: down}}
  nodata: {lb_method: wrr, fallback: nodata, members: [192.0.2.8], monitor: forced, monitor_params: {status: down}}
  addresses: {lb_method: wrr, fallback: [192.0.2.99], members: [192.0.2.9], monitor: forced, monitor_params: {status: down}}
  zero: {lb_method: wrr, fallback: nodata, members: {192.0.2.10: {weight: 0}}, monitor: forced, monitor_params: {status: up}}
zones:
  Example.COM.: {ns: [ns1.example.net, ns2.example.net], ns_ttl: 300, soa: {rname: admin.example.com, serial: 7, minimum: 60, ttl: 600}}
";

#[test]
fn addresses_are_answered_with_the_question_as_asked() {
    let server = Server::start(CONFIG);
    server.expect(
        &Query::a("wWw.eXaMpLe.CoM"),
        "NOERROR aa rd
         an wWw.eXaMpLe.CoM. 30 A 192.0.2.1",
        &[ANSWER, FROM_UP],
    );
    server.expect(
        &Query::new("www.example.com", Rtype::AAAA).flags(0),
        "NOERROR aa
         an www.example.com. 30 AAAA 2001:db8::1",
        &[ANSWER, FROM_UP],
    );
}

#[test]
fn reply_is_known_to_the_last_octet() {
    let server = Server::start(CONFIG);
    for via in [Via::Udp, Via::Tcp] {
        // AD, CD, RA and Z set in the query: only RD comes back.
        let query = Query::a("wwW.example.com").flags(0x01F0).edns(4096).edns_flags(0x8000);
        let mut expected = query.id.to_be_bytes().to_vec();
        expected.extend_from_slice(b"\x85\x00\x00\x01\x00\x01\x00\x00\x00\x01");
        expected.extend_from_slice(b"\x03wwW\x07example\x03com\x00\x00\x01\x00\x01");
        expected.extend_from_slice(b"\xC0\x0C\x00\x01\x00\x01\x00\x00\x00\x1E\x00\x04\xC0\x00\x02\x01");
        expected.extend_from_slice(b"\x00\x00\x29\x04\xD0\x00\x00\x80\x00\x00\x00");
        assert_eq!(server.ask(via, &query).octets, expected);
    }
}

#[test]
fn missing_type_is_nodata_with_the_smaller_of_the_soas_times() {
    let server = Server::start(CONFIG);
    let negative = format!("NOERROR aa rd\nns example.com. 60 {SOA}");
    server.expect(&Query::new("v4.example.com", Rtype::AAAA), &negative, &[NODATA]);
    server.expect(&Query::new("v4.example.com", Rtype::TXT), &negative, &[NODATA]);
    server.expect(&Query::new("www.example.com", Rtype::SOA), &negative, &[NODATA]);
    // The SOA's own TTL may be the smaller one.
    let short = CONFIG.replace("minimum: 60, ttl: 600", "minimum: 600, ttl: 50");
    let server = Server::start(&short);
    let soa = SOA.replace("1209600 60", "1209600 600");
    let negative = format!("NOERROR aa rd\nns example.com. 50 {soa}");
    server.expect(&Query::new("v4.example.com", Rtype::AAAA), &negative, &[NODATA]);
}

#[test]
fn apex_owns_soa_and_ns() {
    let server = Server::start(CONFIG);
    server.expect(
        &Query::new("example.com", Rtype::SOA),
        &format!("NOERROR aa rd\nan example.com. 600 {SOA}"),
        &[ANSWER],
    );
    server.expect(
        &Query::new("EXAMPLE.com", Rtype::NS),
        "NOERROR aa rd
         an EXAMPLE.com. 300 NS ns1.example.net.
         an EXAMPLE.com. 300 NS ns2.example.net.",
        &[ANSWER],
    );
    server.expect(&Query::a("example.com"), &format!("NOERROR aa rd\nns example.com. 60 {SOA}"), &[NODATA]);
}

#[test]
fn names_that_do_not_exist_are_nxdomain_and_empty_non_terminals_are_not() {
    let server = Server::start(CONFIG);
    let soa = format!("ns example.com. 60 {SOA}");
    for name in ["no.example.com", "below.www.example.com", "beside.ent.example.com", "a.b.c.d.example.com"] {
        server.expect(&Query::a(name), &format!("NXDOMAIN aa rd\n{soa}"), &[NXDOMAIN]);
    }
    for (qtype, counter) in [(Rtype::A, NODATA), (Rtype::NS, NODATA), (Rtype::ANY, NODATA)] {
        server.expect(&Query::new("ent.example.com", qtype), &format!("NOERROR aa rd\n{soa}"), &[counter]);
    }
}

#[test]
fn names_outside_every_zone_are_refused() {
    let server = Server::start(CONFIG);
    for name in ["example.net", "com", ".", "www.example.org", "xexample.com", "net"] {
        for qtype in [Rtype::A, Rtype::SOA, Rtype::ANY] {
            server.expect(&Query::new(name, qtype), "REFUSED rd", &[REFUSED]);
        }
    }
}

#[test]
fn globalname_outside_every_zone_is_its_own_apex() {
    let server = Server::start(CONFIG);
    let soa = "SOA ns.invalid. hostmaster.alone.example.net. 1 7200 900 1209600 60";
    server.expect(
        &Query::a("alone.example.net"),
        "NOERROR aa rd\nan alone.example.net. 5 A 192.0.2.1",
        &[ANSWER, FROM_UP],
    );
    server.expect(
        &Query::new("alone.example.net", Rtype::SOA),
        &format!("NOERROR aa rd\nan alone.example.net. 3600 {soa}"),
        &[ANSWER],
    );
    server.expect(
        &Query::new("alone.example.net", Rtype::NS),
        "NOERROR aa rd\nan alone.example.net. 86400 NS ns.invalid.",
        &[ANSWER],
    );
    let negative = format!("ns alone.example.net. 60 {soa}");
    server.expect(
        &Query::new("alone.example.net", Rtype::TXT),
        &format!("NOERROR aa rd\n{negative}"),
        &[NODATA],
    );
    server.expect(&Query::a("x.alone.example.net"), &format!("NXDOMAIN aa rd\n{negative}"), &[NXDOMAIN]);
    // Nested below it: an apex of its own, with an empty non-terminal between the two.
    server.expect(&Query::a("b.alone.example.net"), &format!("NOERROR aa rd\n{negative}"), &[NODATA]);
    server.expect(
        &Query::a("a.b.alone.example.net"),
        "NOERROR aa rd\nan a.b.alone.example.net. 6 A 192.0.2.4",
        &[ANSWER, FROM_UP],
    );
    let soa = "SOA ns.invalid. hostmaster.a.b.alone.example.net. 1 7200 900 1209600 60";
    server.expect(
        &Query::new("a.b.alone.example.net", Rtype::AAAA),
        &format!("NOERROR aa rd\nns a.b.alone.example.net. 60 {soa}"),
        &[NODATA],
    );
    server.expect(
        &Query::a("c.a.b.alone.example.net"),
        &format!("NXDOMAIN aa rd\nns a.b.alone.example.net. 60 {soa}"),
        &[NXDOMAIN],
    );
}

#[test]
fn synthesized_apexes_take_ns_and_soa_from_the_server_section() {
    let server = Server::start(&config(
        "workers: 1, ns: [a.ns.test, b.ns.test], soa: {mname: m.ns.test, rname: r.ns.test, serial: 3, minimum: 7}",
        CONFIG,
    ));
    server.expect(
        &Query::new("alone.example.net", Rtype::NS),
        "NOERROR aa rd
         an alone.example.net. 86400 NS a.ns.test.
         an alone.example.net. 86400 NS b.ns.test.",
        &[ANSWER],
    );
    server.expect(
        &Query::new("alone.example.net", Rtype::TXT),
        "NOERROR aa rd\nns alone.example.net. 7 SOA m.ns.test. r.ns.test. 3 7200 900 1209600 7",
        &[NODATA],
    );
}

#[test]
fn pool_without_a_drawable_member_answers_its_fallback() {
    let server = Server::start(CONFIG);
    for via in [Via::Udp, Via::Tcp] {
        let before = server.metrics();
        let mut addresses = server.ask(via, &Query::a("any.test")).addresses();
        addresses.sort();
        assert_eq!(addresses, ["192.0.2.5", "192.0.2.6"], "all members, in whatever order");
        let transport =
            format!("steerd_queries_total{{transport=\"{}\"}}", if via == Via::Udp { "udp" } else { "tcp" });
        server.assert_counted(&before, &[(&transport, 1), ANSWER, FROM_FALLBACK]);
    }
    server.expect(
        &Query::a("addresses.test"),
        "NOERROR aa rd\nan addresses.test. 9 A 192.0.2.99",
        &[ANSWER, FROM_FALLBACK],
    );
    let soa = |name: &str| format!("ns {name} 60 SOA ns.invalid. hostmaster.{name} 1 7200 900 1209600 60");
    server.expect(
        &Query::a("nodata.test"),
        &format!("NOERROR aa rd\n{}", soa("nodata.test.")),
        &[NODATA, FROM_NONE],
    );
    server.expect(
        &Query::a("zero.test"),
        &format!("NOERROR aa rd\n{}", soa("zero.test.")),
        &[NODATA, FROM_NONE],
    );
    server.expect(
        &Query::new("addresses.test", Rtype::AAAA),
        &format!("NOERROR aa rd\n{}", soa("addresses.test.")),
        &[NODATA],
    );
}

#[test]
fn refusing_pool_refuses_everything_at_its_synthesized_apex_but_not_the_zone_it_lives_in() {
    let server = Server::start(CONFIG);
    server.expect(&Query::a("refuse.test"), "REFUSED rd", &[REFUSED, FROM_NONE]);
    for qtype in [Rtype::AAAA, Rtype::SOA, Rtype::NS, Rtype::TXT, Rtype::ANY] {
        server.expect(&Query::new("refuse.test", qtype), "REFUSED rd", &[REFUSED]);
    }
    server.expect(&Query::a("below.refuse.test"), "REFUSED rd", &[REFUSED]);
    server.expect(&Query::a("closed.example.com"), "REFUSED rd", &[REFUSED, FROM_NONE]);
    server.expect(
        &Query::new("closed.example.com", Rtype::TXT),
        &format!("NOERROR aa rd\nns example.com. 60 {SOA}"),
        &[NODATA],
    );
}

#[test]
fn any_is_answered_with_hinfo() {
    let server = Server::start(CONFIG);
    for name in ["www.example.com", "example.com", "alone.example.net", "any.test"] {
        server.expect(
            &Query::new(name, Rtype::ANY),
            &format!("NOERROR aa rd\nan {name}. 3600 HINFO \"RFC8482\" \"\""),
            &[ANSWER],
        );
    }
}

#[test]
fn classes_other_than_in_are_refused_unless_configured() {
    let names = ["version.bind", "version.server", "id.server", "hostname.bind"];
    let server = Server::start(CONFIG);
    for name in names {
        server.expect(&Query::new(name, Rtype::TXT).class(Class::CH), "REFUSED rd", &[REFUSED]);
    }
    for class in [Class(4), Class(254), Class(255), Class(0)] {
        server.expect(&Query::a("www.example.com").class(class), "REFUSED rd", &[REFUSED]);
    }
    let server = Server::start(&config("workers: 1, version: 'steerd x', id: pop1", CONFIG));
    for (name, text) in names.iter().zip(["steerd x", "steerd x", "pop1", "pop1"]) {
        server.expect(
            &Query::new(name, Rtype::TXT).class(Class::CH),
            &format!("NOERROR aa rd\nan {name}. 0 CH TXT \"{text}\""),
            &[ANSWER],
        );
        server.expect(&Query::new(name, Rtype::TXT), "REFUSED rd", &[REFUSED]);
    }
    server.expect(&Query::new("other.bind", Rtype::TXT).class(Class::CH), "REFUSED rd", &[REFUSED]);
    server.expect(&Query::a("version.bind").class(Class::CH), "REFUSED rd", &[REFUSED]);
}

#[test]
fn zone_transfers_are_refused() {
    let server = Server::start(CONFIG);
    for qtype in [Rtype::AXFR, Rtype::IXFR] {
        server.expect(&Query::new("example.com", qtype), "REFUSED rd", &[REFUSED]);
    }
}

#[test]
fn other_opcodes_get_notimp_with_the_question_and_nothing_else() {
    let server = Server::start(CONFIG);
    for opcode in [1u16, 2, 4, 5, 15] {
        let query = Query::a("www.example.com").flags(opcode << 11 | FLAG_RD);
        for via in [Via::Udp, Via::Tcp] {
            let reply = server.expect_via(via, &query, "NOTIMP rd", &[NOTIMP]);
            assert_eq!(reply.octets.len(), query.octets().len(), "header and question");
        }
    }
}

#[test]
fn broken_questions_are_formerr() {
    let server = Server::start(CONFIG);
    let whole = Query::a("www.example.com").octets();
    let with = |at: usize, octets: &[u8]| {
        let mut message = whole.clone();
        message[at..at + octets.len()].copy_from_slice(octets);
        Query::raw(&message)
    };
    for (query, why) in [
        (with(4, &[0, 0]), "no question"),
        (with(4, &[0, 2]), "two questions"),
        (Query::raw(&whole[..12]), "the header alone"),
        (Query::raw(&whole[..whole.len() - 1]), "a question cut short"),
        (Query::raw(&whole[..20]), "a name cut short"),
        (with(12, &[0xC0, 0x0C]), "a name that points to itself"),
        (with(12, &[0x40]), "a label of unknown kind"),
        (with(6, &[0, 1]), "an answer that is not there"),
        (with(10, &[0, 1]), "an additional record that is not there"),
        (Query::new("www.example.com", Rtype::OPT), "a question for OPT"),
    ] {
        for via in [Via::Udp, Via::Tcp] {
            let reply = server.ask(via, &query);
            assert_eq!(reply.text(), "FORMERR rd\n", "{why}");
        }
    }
    server.expect(&with(4, &[0, 0]), "FORMERR rd", &[FORMERR]);
}

#[test]
fn octets_behind_the_message_are_passed_over() {
    let server = Server::start(CONFIG);
    let query = Query::a("www.example.com");
    let longer = Query::raw(&[&query.octets()[..], b"behind"].concat());
    server.expect(&longer, "NOERROR aa rd\nan www.example.com. 30 A 192.0.2.1", &[ANSWER, FROM_UP]);
}

#[test]
fn short_packets_and_replies_get_no_reply_at_all() {
    let server = Server::start(CONFIG);
    let client = UdpClient::new(server.dns());
    let whole = Query::a("www.example.com").octets();
    let mut response = whole.clone();
    response[2] |= 0x80;
    let before = server.metrics();
    for octets in [&[][..], &whole[..1], &whole[..11], &response, &response[..12]] {
        client.send(octets);
    }
    // The socket's own queue keeps order: had one of them been answered, that reply would come first.
    assert_eq!(client.ask(&Query::a("www.example.com")).addresses(), ["192.0.2.1"]);
    server.assert_counted(
        &before,
        &[
            ("steerd_queries_total{transport=\"udp\"}", 6),
            ("steerd_dropped_total{reason=\"short\"}", 3),
            ("steerd_dropped_total{reason=\"response\"}", 2),
            ANSWER,
            FROM_UP,
        ],
    );
    client.socket.set_nonblocking(true).unwrap();
    assert!(client.socket.recv(&mut [0; 512]).is_err(), "nothing more comes");
}

#[test]
fn soa_of_an_apex_without_room_for_a_mailbox_names_none() {
    let apex = |last: usize| format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(last));
    for (last, mailbox) in [(50, format!("hostmaster.{}.", apex(50))), (51, ".".to_owned())] {
        let name = apex(last);
        let pool = "pools: {p: {lb_method: wrr, members: [192.0.2.1], monitor: forced, monitor_params: {status: up}}}";
        let globalname = Server::start(&format!("globalnames: {{{name}: {{pool: p}}}}\n{pool}"));
        let zone = Server::start(&format!("zones: {{{name}: {{ns: ns1.example.net}}}}\n{pool}"));
        for server in [globalname, zone] {
            for qtype in [Rtype::SOA, Rtype::TXT] {
                let reply = server.ask(Via::Udp, &Query::new(&name, qtype).edns(1232)).text();
                assert!(reply.contains(&format!(" {mailbox} 1 7200")), "{last}: {reply}");
            }
        }
    }
}

/// A pool of this many members, all answered at once.
fn large_pool(members: usize) -> String {
    let members: Vec<String> =
        (0..members).map(|n| format!("198.51.{}.{}", 100 + n / 250, 1 + n % 250)).collect();
    format!(
        "globalnames: {{big.test: {{pool: big, ttl: 5}}}}
pools:
  big: {{lb_method: wrr, max_addrs_returned: 100, members: [{}], monitor: forced, monitor_params: {{status: up}}}}
",
        members.join(", ")
    )
}

#[test]
fn what_does_not_fit_into_udp_is_truncated_whole_and_comes_over_tcp() {
    let server = Server::start(&large_pool(100));
    let query = || Query::a("big.test");
    server.expect_via(Via::Udp, &query(), "NOERROR aa tc rd", &[TRUNCATED]);
    for offered in [0, 511, 512, 1232, 4096, 65_535] {
        server.expect_via(Via::Udp, &query().edns(offered), "NOERROR aa tc rd\nopt 1232", &[TRUNCATED, EDNS]);
    }
    for query in [query(), query().edns(512)] {
        let reply = server.ask(Via::Tcp, &query);
        assert!(!reply.is_truncated());
        let addresses: BTreeSet<String> = reply.addresses().into_iter().collect();
        assert_eq!((addresses.len(), reply.header.ancount), (100, 100), "every address once");
    }
}

#[test]
fn udp_size_is_512_without_edns_and_the_smaller_of_both_sides_with_it() {
    // 12 + 14 + 16 n octets, and 11 for OPT.
    for (members, without, at_600, at_1232) in [
        (30, true, true, true),
        (31, false, true, true),
        (35, false, true, true),
        (36, false, false, true),
        (74, false, false, true),
        (75, false, false, false),
    ] {
        let server = Server::start(&large_pool(members));
        let fits = |query: &Query| !server.ask(Via::Udp, query).is_truncated();
        let query = || Query::a("big.test");
        assert_eq!(fits(&query()), without, "{members} members without EDNS");
        assert_eq!(fits(&query().edns(600)), at_600, "{members} members in 600 octets");
        assert_eq!(fits(&query().edns(1232)), at_1232, "{members} members in 1232 octets");
        assert_eq!(fits(&query().edns(4096)), at_1232, "{members} members, the server's limit");
        // 512 octets hold 29 with OPT; a smaller offer counts as 512 (RFC 6891 §6.2.3).
        assert_eq!(fits(&query().edns(100)), members <= 29);
    }
    let server = Server::start(&config("workers: 1, edns_udp_size: 600", &large_pool(36)));
    server.expect_via(
        Via::Udp,
        &Query::a("big.test").edns(1232),
        "NOERROR aa tc rd\nopt 600",
        &[TRUNCATED, EDNS],
    );
}

const PLACES: &str = "
globalnames: {geo.test: geo, flat.test: flat}
pools:
  geo: {lb_method: twrr, members: {192.0.2.1: {}, 198.51.100.1: {}}, monitor: forced, monitor_params: {status: up}}
  flat: {lb_method: fogroup, members: [192.0.2.1], monitor: forced, monitor_params: {status: up}}
topology:
  east: [192.0.2.0/24, 10.0.0.0/8]
  west: [198.51.100.0/24, 10.1.0.0/16]
";

#[test]
fn region_without_a_member_up_is_answered_from_all() {
    let server = Server::start(&PLACES.replace("198.51.100.1: {}", "203.0.113.1: {}"));
    let west = Query::a("geo.test").edns(1232).subnet4(Ipv4Addr::new(10, 1, 2, 0), 24);
    let seen: BTreeSet<_> = (0..2).flat_map(|_| server.ask(Via::Udp, &west).addresses()).collect();
    assert_eq!(seen.len(), 2, "both members in two draws: {seen:?}");
}

/// One pool `w` with these members for `w.test`.
fn weighted(members: &str, max: u32) -> String {
    format!(
        "globalnames: {{w.test: w}}
pools:
  w: {{lb_method: wrr, max_addrs_returned: {max}, members: {{{members}}}, monitor: forced, monitor_params: {{status: up}}}}
"
    )
}

#[test]
fn one_worker_draws_in_exact_proportion_to_weight() {
    let server = Server::start(&weighted("192.0.2.1: {weight: 3}, 192.0.2.2: {weight: 1}", 1));
    let client = UdpClient::new(server.dns());
    let mut counts = BTreeMap::<String, u32>::new();
    for _ in 0..4000 {
        let addresses = client.ask(&Query::a("w.test")).addresses();
        assert_eq!(addresses.len(), 1);
        *counts.entry(addresses[0].clone()).or_default() += 1;
    }
    assert!(counts["192.0.2.1"].abs_diff(3000) <= 1 && counts["192.0.2.2"].abs_diff(1000) <= 1, "{counts:?}");
    let drawn = |address: &str| {
        let name =
            format!("steerd_member_answers_total{{pool=\"w\",member=\"{address}\",address=\"{address}\"}}");
        server.metric(&name) as u32
    };
    for (address, count) in &counts {
        assert_eq!(drawn(address), *count, "what was counted is what was answered");
    }
}

#[test]
fn all_workers_together_draw_within_half_a_percent() {
    let text = weighted("192.0.2.1: {weight: 3}, 192.0.2.2: {weight: 1}", 1);
    let server = Server::start(&config("workers: 4", &text));
    let mut first = 0u32;
    // Many sockets, so that the kernel spreads them over the workers.
    for _ in 0..200 {
        let client = UdpClient::new(server.dns());
        for _ in 0..20 {
            first += u32::from(client.ask(&Query::a("w.test")).addresses() == ["192.0.2.1"]);
        }
    }
    assert!(first.abs_diff(3000) <= 20, "{first} of 4000 where 3000 are due");
}

#[test]
fn two_addresses_of_one_answer_are_always_distinct() {
    let server = Server::start(&weighted("192.0.2.1: {weight: 10}, 192.0.2.2: {weight: 1}", 2));
    let client = UdpClient::new(server.dns());
    let mut led = 0u32;
    for _ in 0..1100 {
        let addresses = client.ask(&Query::a("w.test")).addresses();
        assert_eq!(addresses.iter().collect::<BTreeSet<_>>().len(), 2, "{addresses:?}");
        led += u32::from(addresses[0] == "192.0.2.1");
    }
    assert!(led.abs_diff(1000) <= 1, "{led} of 1100 led by the heavier one");
}
