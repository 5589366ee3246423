//! Zones with a file: what is answered from records, beside globalnames and where one leads to the other, over UDP and TCP.
//! What becomes of a zone whose file changes or breaks is `files`.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::path::Path;

use steerd::wire::message::Rtype;

#[path = "../common/mod.rs"]
mod common;
mod files;
mod steered;

use common::dns::{Query, Via};
use common::{Server, config};

const ANSWER: (&str, u64) = ("steerd_responses_total{result=\"answer\"}", 1);
const NODATA: (&str, u64) = ("steerd_responses_total{result=\"nodata\"}", 1);
const NXDOMAIN: (&str, u64) = ("steerd_responses_total{result=\"nxdomain\"}", 1);
const REFERRAL: (&str, u64) = ("steerd_responses_total{result=\"referral\"}", 1);
const REFUSED: (&str, u64) = ("steerd_responses_total{result=\"refused\"}", 1);
const SERVFAIL: (&str, u64) = ("steerd_responses_total{result=\"servfail\"}", 1);
const YXDOMAIN: (&str, u64) = ("steerd_responses_total{result=\"yxdomain\"}", 1);
const TRUNCATED: (&str, u64) = ("steerd_responses_total{result=\"truncated\"}", 1);
const FROM_UP: (&str, u64) = ("steerd_pool_answers_total{source=\"up\"}", 1);
const FROM_FALLBACK: (&str, u64) = ("steerd_pool_answers_total{source=\"fallback\"}", 1);
const FROM_NONE: (&str, u64) = ("steerd_pool_answers_total{source=\"none\"}", 1);
const EDNS: (&str, u64) = ("steerd_edns_queries_total", 1);
const SUBNET: (&str, u64) = ("steerd_client_subnet_queries_total", 1);

/// SOA and NS of a zone, relative to its apex; NXDOMAIN and NODATA then have [`negative`].
const HEAD: &str = "$TTL 300\n@ SOA ns1 host 1 7200 900 1209600 60\n@ NS ns1\nns1 A 192.0.2.53\n";

/// The SOA record of such a zone in negative answers.
fn negative(apex: &str) -> String {
    format!("ns {apex} 60 SOA ns1.{apex} host.{apex} 1 7200 900 1209600 60")
}

/// Starts a server with zone files beside its configuration.
#[track_caller]
fn start(text: &str, zones: &[(&str, &str)]) -> Server {
    start_with("workers: 1", text, zones)
}

/// The same with settings of the `server` section.
#[track_caller]
fn start_with(settings: &str, text: &str, zones: &[(&str, &str)]) -> Server {
    Server::start_with(&config(settings, text), |folder: &Path| {
        for (name, text) in zones {
            std::fs::write(folder.join(name), text).unwrap();
        }
        Vec::new()
    })
}

/// One zone, `example`, with [`HEAD`] and these records.
#[track_caller]
fn start_zone(records: &str) -> Server {
    start("zones: {example: {file: z}}", &[("z", &format!("{HEAD}{records}"))])
}

/// The zone of RFC 4592 §2.2.1, and the whole table of responses there.
#[test]
fn wildcards_answer_as_in_the_table_of_rfc_4592() {
    let zone = "$ORIGIN example.
example.                 3600 IN  SOA   ns.example.com. host.example. 1 7200 900 1209600 60
example.                 3600     NS    ns.example.com.
example.                 3600     NS    ns.example.net.
*.example.               3600     TXT   \"this is a wildcard\"
*.example.               3600     MX    10 host1.example.
sub.*.example.           3600     TXT   \"this is not a wildcard\"
host1.example.           3600     A     192.0.2.1
_ssh._tcp.host1.example. 3600     SRV   0 0 22 host1.example.
_ssh._tcp.host2.example. 3600     SRV   0 0 22 host1.example.
subdel.example.          3600     NS    ns.example.com.
subdel.example.          3600     NS    ns.example.net.
";
    let server = start("zones: {example: {file: z}}", &[("z", zone)]);
    let soa = "ns example. 60 SOA ns.example.com. host.example. 1 7200 900 1209600 60";
    // Synthesized from a wildcard.
    server.expect(
        &Query::new("host3.example", Rtype::MX),
        "NOERROR aa rd\nan host3.example. 3600 MX 10 host1.example.",
        &[ANSWER],
    );
    server.expect(&Query::a("host3.example"), &format!("NOERROR aa rd\n{soa}"), &[NODATA]);
    server.expect(
        &Query::new("foo.bar.example", Rtype::TXT),
        "NOERROR aa rd\nan foo.bar.example. 3600 TXT \"this is a wildcard\"",
        &[ANSWER],
    );
    // Not from any: the name exists, an encloser between exists, a delegation stands in between, no encloser has one.
    for (name, rtype) in [("host1.example", Rtype::MX), ("sub.*.example", Rtype::MX)] {
        server.expect(&Query::new(name, rtype), &format!("NOERROR aa rd\n{soa}"), &[NODATA]);
    }
    for (name, rtype) in [("_telnet._tcp.host1.example", Rtype::SRV), ("ghost.*.example", Rtype::MX)] {
        server.expect(&Query::new(name, rtype), &format!("NXDOMAIN aa rd\n{soa}"), &[NXDOMAIN]);
    }
    server.expect(
        &Query::a("host.subdel.example"),
        "NOERROR rd
         ns subdel.example. 3600 NS ns.example.com.
         ns subdel.example. 3600 NS ns.example.net.",
        &[REFERRAL],
    );
    // And what follows from its text: the wildcard asked for by its own name, and the names that exist by what is below.
    server.expect(
        &Query::new("*.example", Rtype::TXT),
        "NOERROR aa rd\nan *.example. 3600 TXT \"this is a wildcard\"",
        &[ANSWER],
    );
    for name in ["_tcp.host1.example", "host2.example", "_tcp.host2.example"] {
        server.expect(&Query::new(name, Rtype::TXT), &format!("NOERROR aa rd\n{soa}"), &[NODATA]);
    }
    server.expect(&Query::new("x.host2.example", Rtype::TXT), &format!("NXDOMAIN aa rd\n{soa}"), &[NXDOMAIN]);
}

#[test]
fn wildcard_that_exists_by_what_is_below_it_stands_for_names_that_own_nothing() {
    let server = start_zone("sub.*.w A 192.0.2.1\n");
    let soa = negative("example.");
    for name in ["*.w.example", "x.w.example", "y.x.w.example"] {
        server.expect(&Query::a(name), &format!("NOERROR aa rd\n{soa}"), &[NODATA]);
    }
    server.expect(&Query::a("x.*.w.example"), &format!("NXDOMAIN aa rd\n{soa}"), &[NXDOMAIN]);
    server.expect(
        &Query::a("sub.*.w.example"),
        "NOERROR aa rd\nan sub.*.w.example. 300 A 192.0.2.1",
        &[ANSWER],
    );
}

#[test]
fn names_are_found_whatever_the_order_of_the_file() {
    // Owners behind what lies below them, and in pieces.
    let server = start_zone(
        "a.b.c A 192.0.2.1\nb.c TXT \"b\"\n*.w.c A 192.0.2.2\nc A 192.0.2.3\nw.c TXT \"w\"\nb.c A 192.0.2.4\n\
         c TXT \"c\"\nx.y.d.e A 192.0.2.5\nd.e DNAME host1\ne MX 10 c\nx.f A 192.0.2.6\nf CNAME c\n",
    );
    for (name, rtype, answer) in [
        ("a.b.c", Rtype::A, "A 192.0.2.1"),
        ("b.c", Rtype::TXT, "TXT \"b\""),
        ("b.c", Rtype::A, "A 192.0.2.4"),
        ("c", Rtype::A, "A 192.0.2.3"),
        ("c", Rtype::TXT, "TXT \"c\""),
        ("w.c", Rtype::TXT, "TXT \"w\""),
        ("q.w.c", Rtype::A, "A 192.0.2.2"),
        ("d.e", Rtype::DNAME, "DNAME host1.example."),
        ("e", Rtype::MX, "MX 10 c.example."),
        ("x.f", Rtype::A, "A 192.0.2.6"),
    ] {
        server.expect(
            &Query::new(&format!("{name}.example"), rtype),
            &format!("NOERROR aa rd\nan {name}.example. 300 {answer}"),
            &[ANSWER],
        );
    }
    server.expect(
        &Query::a("f.example"),
        "NOERROR aa rd\nan f.example. 300 CNAME c.example.\nan c.example. 300 A 192.0.2.3",
        &[ANSWER],
    );
}

#[test]
fn case_is_kept_where_it_was_written_and_where_it_was_asked() {
    let server = start_zone(
        "WwW CNAME HoSt.ExAmPlE.\nhOsT A 192.0.2.1\nMail MX 10 MX1.Other.\nUp NS NS.Up\nNS.Up A 192.0.2.9\n",
    );
    server.expect(
        &Query::a("wWw.eXAMPLE"),
        "NOERROR aa rd\nan wWw.eXAMPLE. 300 CNAME HoSt.eXAMPLE.\nan HoSt.eXAMPLE. 300 A 192.0.2.1",
        &[ANSWER],
    );
    server.expect(
        &Query::new("MAIL.example", Rtype::MX),
        "NOERROR aa rd\nan MAIL.example. 300 MX 10 MX1.Other.",
        &[ANSWER],
    );
    server.expect(
        &Query::a("X.uP.Example"),
        "NOERROR rd\nns uP.Example. 300 NS NS.Up.Example.\nar NS.Up.Example. 300 A 192.0.2.9",
        &[REFERRAL],
    );
}

#[test]
fn dname_gives_names_below_it_another_name() {
    // RFC 6672 §2.3, its table: the owner itself is not renamed, what lies below it is, and what is not below it is not.
    let long = format!("{}.{}.{}.long-enough.target.", "a".repeat(60), "b".repeat(60), "c".repeat(60));
    let zone = format!(
        "$TTL 300\n@ SOA ns1 host 1 7200 900 1209600 60\n@ NS ns1\nns1 A 192.0.2.53\ndn DNAME example.net.\n\
         in DNAME host\nwww.host A 192.0.2.1\nhost A 192.0.2.2\nlong DNAME {long}\nself DNAME self.self\nalias CNAME a.in\n\
         dn A 192.0.2.3\n*.wild DNAMES\n"
    )
    .replace("*.wild DNAMES\n", "*.wild CNAME www.in\n");
    let server = start("zones: {example.com: {file: z}}", &[("z", &zone)]);
    let soa = negative("example.com.");
    // `com.` below `example.com.` and the like of the table lie in no zone here; these are the rows with an answer.
    for (asked, target) in [
        ("x.dn.example.com", "x.example.net."),
        ("x.y.dn.example.com", "x.y.example.net."),
        ("dn.example.net.dn.example.com", "dn.example.net.example.net."),
    ] {
        let expected = format!(
            "NOERROR aa rd\nan dn.example.com. 300 DNAME example.net.\nan {asked}. 300 CNAME {target}"
        );
        server.expect(&Query::a(asked), &expected, &[ANSWER]);
        server.expect(&Query::new(asked, Rtype::CNAME), &expected, &[ANSWER]);
    }
    server.expect(
        &Query::new("dn.example.com", Rtype::DNAME),
        "NOERROR aa rd\nan dn.example.com. 300 DNAME example.net.",
        &[ANSWER],
    );
    server.expect(
        &Query::a("dn.example.com"),
        "NOERROR aa rd\nan dn.example.com. 300 A 192.0.2.3",
        &[ANSWER],
    );
    server.expect(&Query::a("xdn.example.com"), &format!("NXDOMAIN aa rd\n{soa}"), &[NXDOMAIN]);
    // Within the zone it is followed, to data, to none, and to no name.
    server.expect(
        &Query::a("www.in.example.com"),
        "NOERROR aa rd
         an in.example.com. 300 DNAME host.example.com.
         an www.in.example.com. 300 CNAME www.host.example.com.
         an www.host.example.com. 300 A 192.0.2.1",
        &[ANSWER],
    );
    let renamed =
        "an in.example.com. 300 DNAME host.example.com.\nan a.in.example.com. 300 CNAME a.host.example.com.";
    server.expect(&Query::a("a.in.example.com"), &format!("NXDOMAIN aa rd\n{renamed}\n{soa}"), &[NXDOMAIN]);
    server.expect(
        &Query::a("alias.example.com"),
        &format!("NXDOMAIN aa rd\nan alias.example.com. 300 CNAME a.in.example.com.\n{renamed}\n{soa}"),
        &[NXDOMAIN],
    );
    server.expect(
        &Query::new("q.wild.example.com", Rtype::TXT),
        &format!(
            "NOERROR aa rd
             an q.wild.example.com. 300 CNAME www.in.example.com.
             an in.example.com. 300 DNAME host.example.com.
             an www.in.example.com. 300 CNAME www.host.example.com.
             {soa}"
        ),
        &[NODATA],
    );
    // Too long a name is told so (RFC 6672 §2.2), and the DNAME record says why.
    let asked = format!("{}.long.example.com", "d".repeat(63));
    server.expect(
        &Query::a(&asked),
        &format!("YXDOMAIN aa rd\nan long.example.com. 300 DNAME {long}"),
        &[YXDOMAIN],
    );
    let fits = format!("{}.long.example.com", "d".repeat(20));
    server.expect(
        &Query::a(&fits),
        &format!(
            "NOERROR aa rd\nan long.example.com. 300 DNAME {long}\nan {fits}. 300 CNAME {}.{long}",
            "d".repeat(20)
        ),
        &[ANSWER],
    );
    // One that leads below itself ends after as many names as are followed, and is in the answer once.
    let reply = server.ask(Via::Tcp, &Query::a("x.self.example.com"));
    let text = reply.text();
    assert_eq!(text.matches(" DNAME ").count(), 1, "{text}");
    assert!(text.starts_with("NOERROR aa rd") && text.matches(" CNAME ").count() == 9, "{text}");
}

#[test]
fn dname_at_the_apex_renames_all_below_it() {
    let zones = "zones: {example: {file: z}, example.net: {file: n}}";
    let zone = "$TTL 300\n@ SOA ns1.example.net. host.example.net. 1 7200 900 1209600 60\n@ NS ns1.example.net.\n\
                @ DNAME example.net.\n@ MX 10 ns1\n";
    let server = start(zones, &[("z", zone), ("n", HEAD)]);
    let renamed = "an example. 300 DNAME example.net.";
    server.expect(
        &Query::a("ns1.example"),
        &format!(
            "NOERROR aa rd
             {renamed}
             an ns1.example. 300 CNAME ns1.example.net.
             an ns1.example.net. 300 A 192.0.2.53"
        ),
        &[ANSWER],
    );
    server.expect(
        &Query::a("x.example"),
        &format!(
            "NXDOMAIN aa rd\n{renamed}\nan x.example. 300 CNAME x.example.net.\n{}",
            negative("example.net.")
        ),
        &[NXDOMAIN],
    );
    server.expect(&Query::new("example", Rtype::DNAME), &format!("NOERROR aa rd\n{renamed}"), &[ANSWER]);
    server.expect(
        &Query::new("example", Rtype::MX),
        "NOERROR aa rd\nan example. 300 MX 10 ns1.example.",
        &[ANSWER],
    );
}

#[test]
fn ds_is_the_parents_on_whichever_side_it_is_asked() {
    let ds = "4242 13 2 b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17";
    let hex = "10920d02b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17";
    let parent = format!(
        "{HEAD}kid NS ns.kid\nkid DS {ds}\nns.kid A 192.0.2.9\nplain NS ns.plain\nns.plain A 192.0.2.8\nfar NS ns.far\nns.far A 192.0.2.7\nfar DS {ds}\n"
    );
    let kid = format!("{HEAD}to-apex CNAME @\nto-to-apex CNAME to-apex\n@ A 192.0.2.66\n");
    let zones = "zones: {example: {file: p}, kid.example: {file: k}, plain.example: {file: l}}";
    let server = start(zones, &[("p", &parent), ("k", &kid), ("l", HEAD)]);
    // Both zones are here.
    let at_kid = format!("NOERROR aa rd\nan kid.example. 300 DS {hex}");
    server.expect(&Query::new("kid.example", Rtype::DS), &at_kid, &[ANSWER]);
    server.expect(
        &Query::new("kid.example", Rtype::NS),
        "NOERROR aa rd\nan kid.example. 300 NS ns1.kid.example.\nar ns1.kid.example. 300 A 192.0.2.53",
        &[ANSWER],
    );
    let none = format!("NOERROR aa rd\n{}", negative("example."));
    server.expect(&Query::new("plain.example", Rtype::DS), &none, &[NODATA]);
    // The child is elsewhere: DS is still answered here, all else is referred.
    server.expect(
        &Query::new("far.example", Rtype::DS),
        &format!("NOERROR aa rd\nan far.example. 300 DS {hex}"),
        &[ANSWER],
    );
    server.expect(
        &Query::new("far.example", Rtype::NS),
        "NOERROR rd\nns far.example. 300 NS ns.far.example.\nar ns.far.example. 300 A 192.0.2.7",
        &[REFERRAL],
    );
    // Behind an alias for the apex.
    server.expect(
        &Query::new("to-apex.kid.example", Rtype::DS),
        &format!(
            "NOERROR aa rd\nan to-apex.kid.example. 300 CNAME kid.example.\nan kid.example. 300 DS {hex}"
        ),
        &[ANSWER],
    );
    server.expect(
        &Query::new("to-to-apex.kid.example", Rtype::DS),
        &format!(
            "NOERROR aa rd
             an to-to-apex.kid.example. 300 CNAME to-apex.kid.example.
             an to-apex.kid.example. 300 CNAME kid.example.
             an kid.example. 300 DS {hex}"
        ),
        &[ANSWER],
    );
    // The parent is not here: the child says that it has none.
    let server = start("zones: {kid.example: {file: k}}", &[("k", &kid)]);
    let none = format!("NOERROR aa rd\n{}", negative("kid.example."));
    server.expect(&Query::new("kid.example", Rtype::DS), &none, &[NODATA]);
}

#[test]
fn ds_that_is_not_there_is_denied_by_the_parent_behind_an_alias_too() {
    let parent = format!("{HEAD}kid NS ns1.kid\n");
    let kid = format!("{HEAD}to-apex CNAME @\nto-to-apex CNAME to-apex\n");
    let server = start("zones: {example: {file: p}, kid.example: {file: k}}", &[("p", &parent), ("k", &kid)]);
    let soa = negative("example.");
    server.expect(
        &Query::new("to-apex.kid.example", Rtype::DS),
        &format!("NOERROR aa rd\nan to-apex.kid.example. 300 CNAME kid.example.\n{soa}"),
        &[NODATA],
    );
    server.expect(
        &Query::new("to-to-apex.kid.example", Rtype::DS),
        &format!(
            "NOERROR aa rd
             an to-to-apex.kid.example. 300 CNAME to-apex.kid.example.
             an to-apex.kid.example. 300 CNAME kid.example.
             {soa}"
        ),
        &[NODATA],
    );
}

#[test]
fn what_signing_made_is_neither_served_nor_a_name() {
    let server = start_zone(
        "a A 192.0.2.1\na NSEC b A NSEC\nb.c NSEC a A\n0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 1 0 - 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR A\n",
    );
    let soa = negative("example.");
    for rtype in [Rtype::NSEC, Rtype::RRSIG] {
        server.expect(&Query::new("a.example", rtype), &format!("NOERROR aa rd\n{soa}"), &[NODATA]);
    }
    for name in ["0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example", "b.c.example", "c.example"] {
        server.expect(&Query::a(name), &format!("NXDOMAIN aa rd\n{soa}"), &[NXDOMAIN]);
    }
}

#[test]
fn names_between_a_cut_and_a_zone_far_below_it_are_referred() {
    let parent = format!("{HEAD}cut NS ns.cut\nns.cut A 192.0.2.9\ndn DNAME other\n");
    let zones = "zones: {example: {file: p}, z.b.cut.example: {file: k}, z.b.dn.example: {file: k}}";
    let server = start(zones, &[("p", &parent), ("k", &format!("{HEAD}up CNAME @\n"))]);
    let referral = "NOERROR rd\nns cut.example. 300 NS ns.cut.example.\nar ns.cut.example. 300 A 192.0.2.9";
    for name in ["cut.example", "b.cut.example", "x.b.cut.example", "ns.cut.example"] {
        server.expect(&Query::a(name), referral, &[REFERRAL]);
    }
    // DS is asked of the zone right above, which is another server's; also behind an alias for the apex.
    server.expect(&Query::new("z.b.cut.example", Rtype::DS), referral, &[REFERRAL]);
    server.expect(
        &Query::new("up.z.b.cut.example", Rtype::DS),
        "NOERROR aa rd
         an up.z.b.cut.example. 300 CNAME z.b.cut.example.
         ns cut.example. 300 NS ns.cut.example.
         ar ns.cut.example. 300 A 192.0.2.9",
        &[REFERRAL],
    );
    for zone in ["z.b.cut.example", "z.b.dn.example"] {
        server.expect(
            &Query::a(&format!("ns1.{zone}")),
            &format!("NOERROR aa rd\nan ns1.{zone}. 300 A 192.0.2.53"),
            &[ANSWER],
        );
    }
    server.expect(
        &Query::a("b.dn.example"),
        &format!(
            "NXDOMAIN aa rd
             an dn.example. 300 DNAME other.example.
             an b.dn.example. 300 CNAME b.other.example.
             {}",
            negative("example.")
        ),
        &[NXDOMAIN],
    );
}

#[test]
fn aliases_lead_from_zone_to_zone_and_stop_where_nobody_is_at_home() {
    let one = format!(
        "{HEAD}a CNAME b.two.test.\nout CNAME www.elsewhere.test.\ncut CNAME x.cut.two.test.\ngone CNAME gone.two.test.\n"
    );
    let two = format!("{HEAD}b CNAME c.one.test.\ncut NS ns.cut\nns.cut A 192.0.2.9\n");
    let one = format!("{one}c A 192.0.2.1\nback CNAME back.two.test.\n");
    let two = format!("{two}back CNAME back.one.test.\n");
    let server = start("zones: {one.test: {file: 1}, two.test: {file: 2}}", &[("1", &one), ("2", &two)]);
    server.expect(
        &Query::a("a.one.test"),
        "NOERROR aa rd
         an a.one.test. 300 CNAME b.two.test.
         an b.two.test. 300 CNAME c.one.test.
         an c.one.test. 300 A 192.0.2.1",
        &[ANSWER],
    );
    server.expect(
        &Query::a("out.one.test"),
        "NOERROR aa rd\nan out.one.test. 300 CNAME www.elsewhere.test.",
        &[ANSWER],
    );
    // The last name decides (RFC 6604 §3), and AA is about the first (RFC 1035 §4.1.1).
    server.expect(
        &Query::a("cut.one.test"),
        "NOERROR aa rd
         an cut.one.test. 300 CNAME x.cut.two.test.
         ns cut.two.test. 300 NS ns.cut.two.test.
         ar ns.cut.two.test. 300 A 192.0.2.9",
        &[REFERRAL],
    );
    server.expect(
        &Query::a("gone.one.test"),
        &format!("NXDOMAIN aa rd\nan gone.one.test. 300 CNAME gone.two.test.\n{}", negative("two.test.")),
        &[NXDOMAIN],
    );
    server.expect(
        &Query::a("back.one.test"),
        "NOERROR aa rd
         an back.one.test. 300 CNAME back.two.test.
         an back.two.test. 300 CNAME back.one.test.",
        &[ANSWER],
    );
}

/// The text of a reply that was truncated: its first line, without the flags' order mattering.
#[track_caller]
fn expect_truncated(server: &Server, query: &Query, expected: &str) {
    let before = server.metrics();
    let reply = server.ask(Via::Udp, query);
    let expected: Vec<&str> = expected.lines().map(str::trim).collect();
    assert_eq!(reply.text().lines().collect::<Vec<_>>(), expected);
    let edns = if query.has_edns() { &[EDNS][..] } else { &[] };
    let counted = [&[("steerd_queries_total{transport=\"udp\"}", 1), TRUNCATED][..], edns].concat();
    server.assert_counted(&before, &counted);
}

#[test]
fn what_has_no_room_is_left_out_whole_and_comes_over_tcp() {
    let text = |at: u32| format!("\"{at:0>99}\"");
    let mut records = String::from("alias CNAME big\nok CNAME small\n");
    for at in 0..12 {
        records += &format!("big TXT {}\n", text(at));
    }
    for at in 0..4 {
        records += &format!("small TXT {}\n", text(at));
    }
    let server = start_zone(&records);
    let all = |name: &str, count: u32| -> String {
        (0..count).map(|at| format!("an {name}.example. 300 TXT {}\n", text(at))).collect()
    };
    // 12 × 112 octets fit in neither, 4 × 112 in both.
    expect_truncated(&server, &Query::new("big.example", Rtype::TXT), "NOERROR aa tc rd");
    expect_truncated(
        &server,
        &Query::new("big.example", Rtype::TXT).edns(4096),
        "NOERROR aa tc rd\nopt 1232",
    );
    expect_truncated(
        &server,
        &Query::new("alias.example", Rtype::TXT),
        "NOERROR aa tc rd\nan alias.example. 300 CNAME big.example.",
    );
    server.expect_via(
        Via::Tcp,
        &Query::new("alias.example", Rtype::TXT),
        &format!("NOERROR aa rd\nan alias.example. 300 CNAME big.example.\n{}", all("big", 12)),
        &[ANSWER],
    );
    server.expect(
        &Query::new("small.example", Rtype::TXT),
        &format!("NOERROR aa rd\n{}", all("small", 4)),
        &[ANSWER],
    );
    // The same behind an alias has no room in 512 octets, and in 1232 it has.
    let longer = Query::new("ok.example", Rtype::TXT);
    let whole = format!("NOERROR aa rd\nan ok.example. 300 CNAME small.example.\n{}", all("small", 4));
    server.expect_via(Via::Udp, &longer.clone().edns(1232), &format!("{whole}opt 1232"), &[ANSWER, EDNS]);
    server.expect_via(Via::Tcp, &longer, &whole, &[ANSWER]);
}

#[test]
fn referral_without_room_for_its_glue_is_truncated() {
    let mut records = String::new();
    for at in 0..9 {
        records += &format!("cut NS ns{at}.cut\nns{at}.cut A 192.0.2.{at}\nns{at}.cut AAAA 2001:db8::{at}\n");
        records +=
            &format!("sib NS ns{at}.other\nns{at}.other A 192.0.2.{at}\nns{at}.other AAAA 2001:db8::{at}\n");
    }
    let server = start_zone(&records);
    let lines = |reply: &str, kind: &str| reply.lines().filter(|line| line.starts_with(kind)).count();
    // 9 NS records, and 9 × (16 + 28) octets of glue below the cut: TC if not all of it goes along (RFC 9471 §3.1).
    let query = Query::a("www.cut.example");
    let reply = server.ask(Via::Udp, &query);
    assert!(reply.is_truncated(), "{}", reply.text());
    assert_eq!(lines(&reply.text(), "ns "), 9);
    let reply = server.ask(Via::Udp, &query.clone().edns(1232));
    assert!(!reply.is_truncated());
    assert_eq!((lines(&reply.text(), "ns "), lines(&reply.text(), "ar ")), (9, 18));
    let reply = server.ask(Via::Tcp, &query);
    assert_eq!((reply.is_truncated(), lines(&reply.text(), "ar ")), (false, 18));
    // Glue of siblings goes along as far as it has room, and no more is said about it.
    let query = Query::a("www.sib.example");
    let reply = server.ask(Via::Udp, &query);
    assert!(!reply.is_truncated(), "{}", reply.text());
    assert!((1..18).contains(&lines(&reply.text(), "ar ")), "{}", reply.text());
    let reply = server.ask(Via::Tcp, &query);
    assert_eq!((reply.is_truncated(), lines(&reply.text(), "ar ")), (false, 18));
}

#[test]
fn transfers_are_refused_and_any_is_answered_in_short() {
    let server = start_zone(
        "host A 192.0.2.1\nhost TXT \"x\"\n*.w A 192.0.2.2\nalias CNAME host\ncut NS ns.elsewhere.test.\n",
    );
    for name in ["example", "host.example", "missing.example", "cut.example"] {
        for rtype in [Rtype::AXFR, Rtype::IXFR] {
            server.expect(&Query::new(name, rtype), "REFUSED rd", &[REFUSED]);
        }
    }
    for name in ["example", "host.example", "q.w.example", "alias.example"] {
        server.expect(
            &Query::new(name, Rtype::ANY),
            &format!("NOERROR aa rd\nan {name}. 3600 HINFO \"RFC8482\" \"\""),
            &[ANSWER],
        );
    }
    let soa = negative("example.");
    server.expect(&Query::new("w.example", Rtype::ANY), &format!("NOERROR aa rd\n{soa}"), &[NODATA]);
}

#[test]
fn answers_that_are_not_minimal_tell_servers_and_addresses() {
    let zone =
        format!("{HEAD}host A 192.0.2.1\nhost AAAA 2001:db8::1\n@ MX 10 host\n_s._tcp SRV 1 2 3 host\n");
    let server =
        start_with("workers: 1, minimal_responses: off", "zones: {example: {file: z}}", &[("z", &zone)]);
    let servers = "ns example. 300 NS ns1.example.";
    let glue = "ar ns1.example. 300 A 192.0.2.53";
    let addresses = "ar host.example. 300 A 192.0.2.1\nar host.example. 300 AAAA 2001:db8::1";
    server.expect(
        &Query::a("host.example"),
        &format!("NOERROR aa rd\nan host.example. 300 A 192.0.2.1\n{servers}\n{glue}"),
        &[ANSWER],
    );
    let reply = server.ask(Via::Udp, &Query::new("example", Rtype::MX)).text();
    for part in ["an example. 300 MX 10 host.example.", servers, glue, addresses] {
        assert!(reply.contains(part), "{reply}");
    }
    // What was asked for is not said twice.
    server.expect(
        &Query::a("ns1.example"),
        &format!("NOERROR aa rd\nan ns1.example. 300 A 192.0.2.53\n{servers}"),
        &[ANSWER],
    );
}
