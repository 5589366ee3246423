//! What the OPT record brings: versions, flags, options asked for and told, the client subnet.

use super::*;

/// Octets of a text as replies show an option's data.
fn hex(text: &str) -> String {
    text.bytes().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn edns_versions_flags_and_options_are_handled() {
    let server = Server::start(CONFIG);
    let query = || Query::a("www.example.com");
    let answer = "an www.example.com. 30 A 192.0.2.1";
    server.expect(
        &query().edns(1232).edns_version(1).edns_flags(0x8000),
        "BADVERS rd\nopt 1232 do",
        &[BADVERS, EDNS],
    );
    server.expect(&query().edns(4096).edns_version(255), "BADVERS rd\nopt 1232", &[BADVERS, EDNS]);
    server.expect(
        &query().edns(4096).edns_flags(0x8000),
        &format!("NOERROR aa rd\n{answer}\nopt 1232 do"),
        &[ANSWER, FROM_UP, EDNS],
    );
    // All flags but DO, an option nobody knows, NSID where there is none: all passed over; padding over UDP as well.
    let odd = query().edns(512).edns_flags(0x7FFF).option(65_001, b"odd").option(3, b"");
    server.expect_via(
        Via::Udp,
        &odd.clone().option(12, &[0; 20]),
        &format!("NOERROR aa rd\n{answer}\nopt 1232"),
        &[ANSWER, FROM_UP, EDNS],
    );
    server.expect(&odd, &format!("NOERROR aa rd\n{answer}\nopt 1232"), &[ANSWER, FROM_UP, EDNS]);
    // An error is no longer than question, header and OPT; that one is not authoritative is told there (RFC 8914 §4.21).
    server.expect(
        &Query::new("www.example.org", Rtype::A).edns(1232).option(65_001, &[0; 300]),
        "REFUSED rd\nopt 1232 000f00020014",
        &[REFUSED, EDNS],
    );
}

#[test]
fn server_tells_its_identifier_to_who_asks() {
    let asks = Query::a("www.example.com").edns(1232).option(3, b"");
    let answer = "NOERROR aa rd\nan www.example.com. 30 A 192.0.2.1\nopt 1232";
    let server = Server::start(&config("workers: 1, nsid: pop7", CONFIG));
    server.expect(&asks, &format!("{answer} 00030004{}", hex("pop7")), &[ANSWER, FROM_UP, EDNS]);
    server.expect(&Query::a("www.example.com").edns(1232), answer, &[ANSWER, FROM_UP, EDNS]);
    let subnet_too = asks.clone().subnet4(Ipv4Addr::new(10, 1, 2, 0), 24);
    let both = format!("{answer} 00080007000118000a010200030004{}", hex("pop7"));
    server.expect(&subnet_too, &both, &[ANSWER, FROM_UP, EDNS, SUBNET]);
    let missing = server.ask(Via::Udp, &Query::a("no.example.com").edns(512).option(3, b"")).text();
    assert!(missing.ends_with(&format!("opt 1232 00030004{}\n", hex("pop7"))), "{missing}");

    let longest = "x".repeat(64);
    let server = Server::start(&config(&format!("workers: 1, nsid: {longest}"), CONFIG));
    let longest_name = format!("{0}.{0}.{0}.{1}.example.com", "a".repeat(63), "a".repeat(48));
    let reply = server.ask(Via::Udp, &Query::a(&longest_name).edns(512).option(3, b""));
    assert!(reply.text().contains("NXDOMAIN"), "{}", reply.text());
    assert!(reply.octets.len() <= 512, "{} octets", reply.octets.len());
    let silent = Server::start(CONFIG);
    silent.expect(&asks, answer, &[ANSWER, FROM_UP, EDNS]);
}

/// The COOKIE option of a reply's text, as octets.
fn cookie_of(reply: &str) -> Vec<u8> {
    let hex = reply.split("000a0018").nth(1).unwrap_or_else(|| panic!("no cookie in {reply}"));
    (0..48).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn cookies_are_given_kept_and_asked_for_over_udp_alone() {
    const NEW: (&str, u64) = ("steerd_cookies_total{result=\"new\"}", 1);
    const VALID: (&str, u64) = ("steerd_cookies_total{result=\"valid\"}", 1);
    const BAD: (&str, u64) = ("steerd_cookies_total{result=\"bad\"}", 1);
    const BADCOOKIE: (&str, u64) = ("steerd_responses_total{result=\"badcookie\"}", 1);
    let answer = "an www.example.com. 30 A 192.0.2.1\nopt 1232 ";
    let asks = |cookie: &[u8]| Query::a("www.example.com").edns(1232).option(10, cookie);
    for require in ["never", "always"] {
        let server = Server::start(&config(&format!("workers: 1, cookies: {{require: {require}}}"), CONFIG));
        let given = cookie_of(&server.ask(Via::Tcp, &asks(b"12345678")).text());
        let hex: String = given.iter().map(|octet| format!("{octet:02x}")).collect();
        assert!(given.starts_with(b"12345678\x01\0\0\0"), "version and reserved octets (RFC 9018 §4.1)");
        let expected = format!("NOERROR aa rd\n{answer}000a0018{hex}");
        server.expect(&asks(&given), &expected, &[ANSWER, FROM_UP, EDNS, VALID]);
        for (cookie, result) in [(&b"12345678"[..], NEW), (b"12345678foreign, or old", BAD)] {
            let before = server.metrics();
            let reply = server.ask(Via::Udp, &asks(cookie)).text();
            let (start, counters) = match require {
                "never" => {
                    (format!("NOERROR aa rd\n{answer}000a0018"), &[UDP, ANSWER, FROM_UP, EDNS, result][..])
                }
                _ => ("BADCOOKIE rd\nopt 1232 000a0018".to_owned(), &[UDP, BADCOOKIE, EDNS, result][..]),
            };
            assert!(reply.starts_with(&start), "{reply}");
            server.assert_counted(&before, counters);
            let again = server.ask(Via::Udp, &asks(&cookie_of(&reply))).text();
            assert!(again.starts_with("NOERROR aa"), "{again}");
            let reply = server.ask(Via::Tcp, &asks(cookie)).text();
            assert!(reply.starts_with(&format!("NOERROR aa rd\n{answer}000a0018")), "{reply}");
        }
        server.expect(&asks(&[7; 12]), "FORMERR rd\nopt 1232", &[FORMERR, EDNS]);
    }
    let off = Server::start(&config("workers: 1, cookies: {enabled: off}", CONFIG));
    off.expect(&asks(&[7; 12]), &format!("NOERROR aa rd\n{}", answer.trim_end()), &[ANSWER, FROM_UP, EDNS]);
}

#[test]
fn response_rates_hold_over_udp_and_are_counted() {
    let server = Server::start(&config("workers: 1, rrl: {responses: 1, slip: 1}", CONFIG));
    let query = Query::a("www.example.com").edns(1232);
    let answer = "NOERROR aa rd\nan www.example.com. 30 A 192.0.2.1\nopt 1232\n";
    let told = "NOERROR aa tc rd\nopt 1232\n";
    let before = server.metrics();
    let replies: Vec<String> = (0..200).map(|_| server.ask(Via::Udp, &query).text()).collect();
    let whole = replies.iter().filter(|reply| *reply == answer).count();
    let slipped = replies.iter().filter(|reply| *reply == told).count();
    // As many as seconds have passed: the first is one of them.
    assert!(whole >= 1 && slipped > 100 && whole + slipped == 200, "{whole} whole, {slipped} slipped");
    let counted = server.metrics()["steerd_rrl_slipped_total{class=\"answer\"}"];
    assert_eq!((counted, before["steerd_rrl_slipped_total{class=\"answer\"}"]), (slipped as f64, 0.0));
    (0..50).for_each(|_| assert_eq!(server.ask(Via::Tcp, &query).text(), answer));
}

#[test]
fn reply_is_padded_over_tcp_to_who_asks() {
    let server = Server::start(CONFIG);
    let reply = server.ask(Via::Tcp, &Query::a("www.example.com").edns(1232).option(12, b""));
    assert_eq!(reply.octets.len(), 468);
    let padding = 468 - (12 + 17 + 4 + 16 + 11) - 4;
    let expected = format!("opt 1232 000c{padding:04x}{}\n", "00".repeat(padding));
    assert!(reply.text().ends_with(&expected), "{}", reply.text());
}

#[test]
fn idle_timeout_is_told_over_tcp_alone() {
    let server = Server::start(&config("workers: 1, tcp_idle_timeout: 12s", CONFIG));
    let asks = Query::a("www.example.com").edns(1232).option(11, b"");
    let reply = server.ask(Via::Tcp, &asks).text();
    // 120 times 100 ms (RFC 7828 §3.1).
    assert!(reply.ends_with("opt 1232 000b00020078\n"), "{reply}");
    let reply = server.ask(Via::Udp, &asks).text();
    assert!(reply.ends_with("opt 1232\n"), "{reply}");
    let reply = server.ask(Via::Tcp, &Query::a("www.example.com").edns(1232)).text();
    assert!(reply.ends_with("opt 1232\n"), "{reply}");
}

#[test]
fn answer_for_want_of_members_says_so_where_there_is_an_opt_record() {
    let server = Server::start(CONFIG);
    let told = format!("opt 1232 000f0011{}\n", "0000".to_owned() + &hex("no member is up"));
    for name in ["any.test", "refuse.test", "nodata.test", "addresses.test", "closed.example.com"] {
        for via in [Via::Udp, Via::Tcp] {
            let reply = server.ask(via, &Query::a(name).edns(1232)).text();
            assert!(reply.ends_with(&told), "{name}: {reply}");
        }
        let reply = server.ask(Via::Udp, &Query::a(name)).text();
        assert!(!reply.contains("opt"), "{name}: {reply}");
    }
    // The other families and types of the same names are none of the pool's trouble.
    for (name, qtype) in
        [("nodata.test", Rtype::AAAA), ("nodata.test", Rtype::TXT), ("www.example.com", Rtype::A)]
    {
        let reply = server.ask(Via::Udp, &Query::new(name, qtype).edns(1232)).text();
        assert!(reply.ends_with("opt 1232\n"), "{name}: {reply}");
    }
}

#[test]
fn second_opt_and_opt_below_a_name_are_formerr() {
    let server = Server::start(CONFIG);
    let query = Query::a("www.example.com").edns(1232);
    let mut octets = query.octets();
    octets[11] = 2;
    octets.extend_from_slice(&[0, 0, 41, 4, 0xD0, 0, 0, 0, 0, 0, 0]);
    server.expect(&Query::raw(&octets), "FORMERR rd\nopt 1232", &[FORMERR, EDNS]);
    let mut octets = Query::a("www.example.com").octets();
    octets[11] = 1;
    octets.extend_from_slice(&[1, b'a', 0, 0, 41, 4, 0xD0, 0, 0, 0, 0, 0, 0]);
    server.expect(&Query::raw(&octets), "FORMERR rd", &[FORMERR]);
}

#[test]
fn client_subnet_chooses_the_region_and_gets_its_scope() {
    let server = Server::start(PLACES);
    let counters = [ANSWER, FROM_UP, EDNS, SUBNET];
    for (address, len, expected, echoed) in [
        // 10.1.0.0/16 is cut out of 10.0.0.0/8: 10.2 lies in 10.2.0.0/15, 10.1 is its own /16.
        ([10, 1, 2, 0], 24, "198.51.100.1", "0008000700011810".to_owned() + "0a0102"),
        ([10, 2, 2, 0], 24, "192.0.2.1", "000800070001180f".to_owned() + "0a0202"),
        ([10, 255, 2, 0], 24, "192.0.2.1", "0008000700011809".to_owned() + "0aff02"),
        ([10, 1, 2, 3], 32, "198.51.100.1", "0008000800012010".to_owned() + "0a010203"),
    ] {
        server.expect(
            &Query::a("geo.test").edns(1232).subnet4(Ipv4Addr::from(address), len),
            &format!("NOERROR aa rd\nan geo.test. 30 A {expected}\nopt 1232 {echoed}"),
            &counters,
        );
    }
    // A pool that does not look at places: the same for everyone, scope 0.
    server.expect(
        &Query::a("flat.test").edns(1232).subnet4(Ipv4Addr::new(10, 1, 2, 0), 24),
        "NOERROR aa rd\nan flat.test. 30 A 192.0.2.1\nopt 1232 00080007000118000a0102",
        &counters,
    );
    // A client that wants none used: /0 is echoed with scope 0.
    let reply = server.ask(Via::Udp, &Query::a("geo.test").edns(1232).option(8, &[0, 1, 0, 0]));
    assert!(reply.text().ends_with("opt 1232 0008000400010000\n"), "{}", reply.text());
}

#[test]
fn client_subnet_of_a_mapped_address_is_an_ipv6_one() {
    let server = Server::start(PLACES);
    // ::ffff:10.1.2.0/120. A scope counted in IPv4's 32 bits would hand the region of 10.1/16 to all of ::/16.
    let mut data = vec![0, 2, 120, 0];
    data.extend([0; 10]);
    data.extend([0xFF, 0xFF, 10, 1, 2]);
    let reply = server.ask(Via::Udp, &Query::a("geo.test").edns(1232).option(8, &data));
    let echoed = format!("opt 1232 0008001300027800{}ffff0a0102\n", "00".repeat(10));
    assert!(reply.text().ends_with(&echoed), "{}", reply.text());
}

#[test]
fn malformed_client_subnet_is_formerr() {
    let server = Server::start(PLACES);
    for bad in [
        &[][..],
        &[0, 1, 24],
        &[0, 3, 0, 0],
        &[0, 1, 24, 24, 10, 1, 2],
        &[0, 1, 33, 0, 10, 1, 2, 3, 0],
        &[0, 1, 24, 0, 10, 1],
        &[0, 1, 24, 0, 10, 1, 2, 0],
        &[0, 1, 20, 0, 10, 1, 0x21],
    ] {
        server.expect(
            &Query::a("geo.test").edns(1232).option(8, bad),
            "FORMERR rd\nopt 1232",
            &[FORMERR, EDNS],
        );
    }
}

#[test]
fn client_subnet_is_neither_used_nor_echoed_when_off() {
    let server = Server::start(&config("workers: 1, ecs: off", &PLACES.replace("10.0.0.0/8", "127.0.0.0/8")));
    for subnet in [&[0, 1, 16, 0, 10, 1][..], &[0, 9, 9, 9]] {
        server.expect(
            &Query::a("geo.test").edns(1232).option(8, subnet),
            "NOERROR aa rd\nan geo.test. 30 A 192.0.2.1\nopt 1232",
            &[ANSWER, FROM_UP, EDNS],
        );
    }
}
