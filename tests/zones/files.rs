//! Files that cannot be read, change, break and are mended: what is served meanwhile, and what is said of it.

use super::*;
use crate::common::wait_until;

/// A zone with one TXT record that tells its version.
fn version(text: &str) -> String {
    format!("{HEAD}v TXT \"{text}\"\n")
}

const POOL: &str =
    "pools: {up: {lb_method: wrr, members: [192.0.2.1], monitor: forced, monitor_params: {status: up}}}\n";

/// `v` of a zone, in one word: its text, or the response code.
fn seen(server: &Server, zone: &str) -> String {
    let text = server.ask(Via::Udp, &Query::new(&format!("v.{zone}"), Rtype::TXT)).text();
    match text.split('"').nth(1) {
        Some(version) => version.to_owned(),
        None => text.split_whitespace().next().unwrap().to_owned(),
    }
}

/// Whether this version of a zone's file is served, and no other.
#[track_caller]
fn assert_served(server: &Server, zone: &str, version: &str) {
    let metrics = server.metrics();
    let found: Vec<&str> = ["current", "last_good", "none"]
        .into_iter()
        .filter(|version| {
            let name = format!("steerd_zone_file{{zone=\"{zone}.\",version=\"{version}\"}}");
            metrics.get(&name) == Some(&1.0)
        })
        .collect();
    assert_eq!(found, [version]);
}

/// What a zone's file was complained about.
fn complaints(server: &Server, zone: &str) -> Vec<String> {
    let log = server.log();
    let own = log.iter().filter(|event| event["zone"] == format!("{zone}.") && event["level"] == "ERROR");
    own.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn zone_that_cannot_be_read_at_start_takes_nothing_else_with_it() {
    let text = format!(
        "globalnames: {{www.bad.test: up, '*.apps.bad.test': up, www.good.test: up}}\n{POOL}\
         zones: {{bad.test: {{file: bad}}, gone.test: {{file: gone}}, good.test: {{file: good}}, below.bad.test: {{file: good}}}}\n"
    );
    let zones = [
        ("bad", "@ SOA ns1 host 1 2 3\n".to_owned()),
        ("good", format!("{}to-bad CNAME v.bad.test.\nto-pool CNAME www.bad.test.\n", version("good"))),
    ];
    let zones: Vec<(&str, &str)> = zones.iter().map(|(name, text)| (*name, &text[..])).collect();
    let server = start(&text, &zones);
    for zone in ["bad.test", "gone.test"] {
        assert_served(&server, zone, "none");
        for (name, rtype) in [("", Rtype::SOA), ("v.", Rtype::TXT), ("x.y.", Rtype::A), ("", Rtype::DS)] {
            let query = Query::new(&format!("{name}{zone}"), rtype);
            server.expect(&query, "SERVFAIL rd", &[SERVFAIL]);
            // 15: an extended error; 14: not ready (RFC 8914 §4.15).
            let text = server.ask(Via::Udp, &query.edns(1232)).text();
            let told: String =
                "the zone could not be read".bytes().map(|octet| format!("{octet:02x}")).collect();
            assert_eq!(text, format!("SERVFAIL rd\nopt 1232 000f001c000e{told}\n"));
        }
        assert!(
            complaints(&server, zone).contains(
                &"the zone file cannot be used: all but globalnames is answered with SERVFAIL until it can"
                    .to_owned()
            )
        );
    }
    assert!(
        complaints(&server, "gone.test")[0]
            .contains("gone: the zone file cannot be read: No such file or directory"),
        "{:?}",
        complaints(&server, "gone.test")
    );
    // Its pools answer, and other zones.
    for name in ["www.bad.test", "x.apps.bad.test", "www.good.test"] {
        assert_eq!(server.addresses(name), ["192.0.2.1"], "{name}");
    }
    server.expect(&Query::new("www.bad.test", Rtype::MX), "SERVFAIL rd", &[SERVFAIL]);
    for zone in ["good.test", "below.bad.test"] {
        assert_eq!(seen(&server, zone), "good");
        assert_served(&server, zone, "current");
    }
    // A chain that leads there ends before it, and DS of a zone below it is its to know.
    server.expect(
        &Query::new("to-bad.good.test", Rtype::TXT),
        "NOERROR aa rd\nan to-bad.good.test. 300 CNAME v.bad.test.",
        &[ANSWER],
    );
    server.expect(&Query::new("below.bad.test", Rtype::DS), "SERVFAIL rd", &[SERVFAIL]);
    // Mending goes live by itself, a file that appears as well.
    for (zone, file) in [("bad.test", "bad"), ("gone.test", "gone")] {
        server.write_file(file, &version("mended"));
        wait_until("the mended zone", || seen(&server, zone) == "mended");
        assert_served(&server, zone, "current");
    }
}

#[test]
fn broken_file_keeps_the_last_good_version_while_another_zone_changes() {
    let zones = "zones: {one.test: {file: one}, two.test: {file: two}}";
    let server = start(zones, &[("one", &version("1")), ("two", &version("1"))]);
    server.write_file("one", &version("2").replace("192.0.2.53", "192.0.2.553"));
    wait_until("the complaint", || complaints(&server, "one.test").len() == 2);
    let [fault, kept] = &complaints(&server, "one.test")[..] else { panic!("two lines") };
    assert!(fault.contains("/one:4:7: ") && fault.contains("`A`"), "{fault}");
    assert_eq!(kept, "the zone file cannot be used: its last good version is served");
    assert_eq!((seen(&server, "one.test"), seen(&server, "two.test")), ("1".into(), "1".into()));
    assert_served(&server, "one.test", "last_good");
    server.write_file("two", &version("2"));
    wait_until("the other zone's change", || seen(&server, "two.test") == "2");
    assert_eq!(seen(&server, "one.test"), "1");
    // A file that goes is no reason to forget the zone either, nor is one that fits no longer as a whole.
    std::fs::remove_file(server.file("one")).unwrap();
    wait_until("the loss", || {
        complaints(&server, "one.test").iter().any(|line| line.contains("No such file or directory"))
    });
    server.write_file("one", &version("3").replace("@ NS ns1\n", ""));
    wait_until("the next", || {
        complaints(&server, "one.test").iter().any(|line| line.contains("no NS records"))
    });
    assert_eq!(seen(&server, "one.test"), "1");
    assert_served(&server, "one.test", "last_good");
    server.write_file("one", &version("4"));
    wait_until("the mended zone", || seen(&server, "one.test") == "4");
    assert_served(&server, "one.test", "current");
    assert_served(&server, "two.test", "current");
    assert_eq!(server.metric("steerd_config_reload_failures_total"), 0.0);
}

#[test]
fn change_of_an_included_file_goes_live() {
    let server = start(
        "zones: {one.test: {file: one}}",
        &[
            ("one", &format!("{HEAD}$INCLUDE part\n")),
            ("part", "v TXT \"1\"\n$INCLUDE deeper sub\n"),
            ("deeper", "w TXT \"1\"\n"),
        ],
    );
    assert_eq!(seen(&server, "one.test"), "1");
    server.write_file("part", "v TXT \"2\"\n$INCLUDE deeper sub\n");
    wait_until("the included change", || seen(&server, "one.test") == "2");
    server.write_file("deeper", "v TXT \"deep\"\n");
    wait_until("the deeper change", || seen(&server, "sub.one.test") == "deep");
    std::fs::remove_file(server.file("deeper")).unwrap();
    wait_until("the loss", || !complaints(&server, "one.test").is_empty());
    assert_eq!((seen(&server, "sub.one.test"), seen(&server, "one.test")), ("deep".into(), "2".into()));
    server.write_file("deeper", "v TXT \"again\"\n");
    wait_until("its return", || seen(&server, "sub.one.test") == "again");
}

#[test]
fn globalname_that_clashes_with_its_zone_changes_nothing() {
    let good = format!("globalnames: {{www.one.test: up}}\n{POOL}zones: {{one.test: {{file: one}}}}\n");
    let zone = format!("{}a A 192.0.2.9\nc CNAME a\ncut NS ns.other.\ndn DNAME other.\n", version("1"));
    let server = start(&good, &[("one", &zone)]);
    let mut failures = 0.0;
    for (name, what) in [
        ("a.one.test", "`a.one.test.` is answered from a pool, but PLACE:6 gives it A records of its own"),
        (
            "c.one.test",
            "`c.one.test.` is answered from a pool, but PLACE:7 gives it CNAME records of its own",
        ),
        (
            "cut.one.test",
            "`cut.one.test.` is answered from a pool, but lies at or below `cut.one.test.`, whose NS records lead elsewhere",
        ),
        (
            "x.cut.one.test",
            "`x.cut.one.test.` is answered from a pool, but lies at or below `cut.one.test.`, whose NS records lead elsewhere",
        ),
        (
            "x.y.dn.one.test",
            "`x.y.dn.one.test.` is answered from a pool, but lies at or below `dn.one.test.`, whose DNAME records lead elsewhere",
        ),
    ] {
        let text = good.replace("{www.one.test: up}", &format!("{{www.one.test: up, {name}: up}}"));
        server.write_config(&config("workers: 1", &text));
        server.process.signal("HUP");
        failures += 1.0;
        wait_until("the refusal", || server.metric("steerd_config_reload_failures_total") >= failures);
        failures = server.metric("steerd_config_reload_failures_total");
        let place = server.file("one").display().to_string();
        let what = what.replace("PLACE", &place);
        let config_place = format!("{}:2:", server.file("steerd.yaml").display());
        wait_until(&what, || {
            server.log().iter().any(|event| {
                let line = event["message"].as_str().unwrap();
                event["level"] == "ERROR" && line.starts_with(&config_place) && line.contains(&what)
            })
        });
        assert_eq!(
            (seen(&server, "one.test"), server.addresses("www.one.test")),
            ("1".into(), vec!["192.0.2.1".to_owned()])
        );
    }
    // DNAME's owner itself may be steered.
    let text = good.replace("{www.one.test: up}", "{www.one.test: up, dn.one.test: up}");
    server.reload(&config("workers: 1", &text));
    assert_eq!(server.addresses("dn.one.test"), ["192.0.2.1"]);
    // A file that comes to clash is as good as a broken one: the last good version stays, and that is said.
    server.write_file("one", &format!("{zone}www AAAA 2001:db8::9\n").replace("\"1\"", "\"2\""));
    wait_until("the word", || {
        server.log().iter().any(|event| {
            event["level"] == "WARN"
                && event["message"].as_str().unwrap().contains("gives it AAAA records of its own")
        })
    });
    wait_until("the version", || {
        server.metrics().contains_key("steerd_zone_file{zone=\"one.test.\",version=\"last_good\"}")
    });
    assert_eq!(
        (seen(&server, "one.test"), server.addresses("www.one.test")),
        ("1".into(), vec!["192.0.2.1".to_owned()])
    );
    // At the start there is nothing to keep: the configuration is refused.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("one"), format!("{zone}www A 192.0.2.9\n")).unwrap();
    let path = folder.path().join("steerd.yaml");
    std::fs::write(&path, &good).unwrap();
    let output = crate::common::run_steerd(&["serve", "-c", path.to_str().unwrap()]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for part in ["steerd.yaml:1:15", "/one:10 gives it A records of its own", "remove one of the two"] {
        assert!(errors.contains(part), "no {part} in {errors}");
    }
}
