//! Where clients are: regions by prefixes, files and databases, members by distance and by latency, as the server answers them.
#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use steerd::config::compile::compile;
use steerd::state::coordinates::Coordinates;

mod common;

use common::dns::{Query, Via};
use common::mmdb::{self, Writer};
use common::{Server, config, run_steerd, run_tool, wait_until};

/// Cities of the databases below: prefix, continent, country, subdivision, number and name, place.
type City = (&'static str, [&'static str; 3], (u32, &'static str), (f64, f64));
const CITIES: [City; 6] = [
    ("10.1.0.0/16", ["EU", "DE", "BE"], (2_950_159, "Berlin"), (52.5244, 13.4105)),
    ("10.2.0.0/16", ["EU", "FR", "IDF"], (2_988_507, "Paris"), (48.8534, 2.3488)),
    ("10.3.0.0/16", ["NA", "US", "CA"], (5_391_959, "San Francisco"), (37.7749, -122.4194)),
    ("10.4.0.0/16", ["NA", "US", "NY"], (5_128_581, "New York"), (40.7143, -74.006)),
    ("10.5.0.0/16", ["AS", "JP", "13"], (1_850_147, "Tokyo"), (35.6895, 139.6917)),
    ("2001:db8:1::/48", ["SA", "BR", "SP"], (3_448_439, "São Paulo"), (-23.5475, -46.6361)),
];

/// A database of those cities.
fn cities() -> Writer {
    let mut writer = Writer::new(true);
    for (prefix, [continent, country, part], name, place) in CITIES {
        writer.insert(prefix, &mmdb::city(continent, country, part, name, place));
    }
    writer.alias("::ffff:0:0/96").alias("2002::/16");
    writer
}

/// A database of autonomous systems.
fn systems() -> Writer {
    let mut writer = Writer::new(true);
    writer.insert("10.1.128.0/17", &mmdb::asn(64500)).insert("10.4.0.0/24", &mmdb::asn(64501));
    writer.insert("10.9.0.0/16", &mmdb::asn(64500));
    writer
}

/// Starts a server with files beside its configuration.
fn start(text: &str, files: &[(&str, &[u8])]) -> Server {
    Server::start_with(&config("workers: 1", text), |folder: &Path| {
        for (name, octets) in files {
            std::fs::write(folder.join(name), octets).unwrap();
        }
        Vec::new()
    })
}

/// What `dig` prints of a query with this client subnet.
fn dig(server: &Server, arguments: &[&str], subnet: &str) -> String {
    let port = server.dns().port().to_string();
    let subnet = format!("+subnet={subnet}");
    run_tool("dig", &[&["@127.0.0.1", "-p", &port, &subnet], arguments].concat())
}

/// The addresses of a name for clients in a network.
fn answer(server: &Server, name: &str, subnet: &str) -> String {
    dig(server, &["+short", name], subnet).trim().to_owned()
}

/// The scope that goes with it.
fn scope(server: &Server, name: &str, subnet: &str) -> u8 {
    let text = dig(server, &[name], subnet);
    let line = text.lines().find(|line| line.contains("CLIENT-SUBNET")).unwrap_or_else(|| panic!("{text}"));
    line.rsplit('/').next().unwrap().trim().parse().unwrap()
}

#[test]
fn a_database_written_here_is_read_by_mmdblookup() {
    let folder = tempfile::tempdir().unwrap();
    for size in [24, 28, 32] {
        let path = folder.path().join(format!("{size}.mmdb"));
        std::fs::write(&path, cities().finish("Test-City", size)).unwrap();
        let path = path.to_str().unwrap();
        let look = |address: &str, of: &[&str]| {
            run_tool("mmdblookup", &[&["--file", path, "--ip", address], of].concat())
        };
        for (prefix, [_, country, part], (id, name), (latitude, longitude)) in CITIES {
            let address = prefix.split('/').next().unwrap();
            assert!(look(address, &["country", "iso_code"]).contains(&format!("\"{country}\"")), "{address}");
            assert!(look(address, &["subdivisions", "0", "iso_code"]).contains(&format!("\"{part}\"")));
            assert!(look(address, &["city", "geoname_id"]).contains(&id.to_string()));
            assert!(look(address, &["city", "names", "en"]).contains(name));
            assert!(look(address, &["location", "latitude"]).contains(&format!("{latitude:.6}")));
            assert!(look(address, &["location", "longitude"]).contains(&format!("{longitude:.6}")));
        }
        assert!(look("::ffff:10.5.0.1", &["country", "iso_code"]).contains("JP"), "by its alias");
    }
    let only_ipv4 = Writer::new(false).insert("10.0.0.0/8", &mmdb::asn(64500)).finish("Test-ASN", 28);
    std::fs::write(folder.path().join("4.mmdb"), only_ipv4).unwrap();
    let path = folder.path().join("4.mmdb");
    let found = run_tool("mmdblookup", &["--file", path.to_str().unwrap(), "--ip", "10.200.0.1"]);
    assert!(found.contains("64500"), "{found}");
}

#[test]
fn the_database_of_the_reference_example_is_what_is_written_here() {
    let mut writer = Writer::new(true);
    for (prefix, country, name, place) in [
        ("192.0.2.0/24", ["EU", "DE", "BE"], (2_950_159, "Berlin"), (52.5244, 13.4105)),
        ("203.0.113.0/25", ["EU", "CZ", "10"], (3_067_696, "Prague"), (50.088, 14.4208)),
        ("203.0.113.128/25", ["EU", "AT", "9"], (2_761_369, "Vienna"), (48.2085, 16.3721)),
        ("2001:db8::/32", ["NA", "US", "CA"], (5_391_959, "San Francisco"), (37.7749, -122.4194)),
    ] {
        let [continent, country, part] = country;
        writer.insert(prefix, &mmdb::city(continent, country, part, name, place));
    }
    let octets = writer.finish("Example-City", 24);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/example.mmdb");
    if std::env::var_os("STEERD_WRITE_EXAMPLES").is_some() {
        std::fs::write(&path, &octets).unwrap();
    }
    assert!(std::fs::read(&path).unwrap() == octets, "write it anew with STEERD_WRITE_EXAMPLES=1");
}

/// A pool by region whose members lie each in one; the answer's last number tells the region.
const BY_REGION: &str = "
globalnames: {www.test: web}
pools:
  web:
    lb_method: twrr
    members: [127.77.0.1, 127.77.0.2, 127.77.0.3, 127.77.0.4, 127.77.0.5, 127.77.0.6]
    monitor: forced
    monitor_params: {status: up}
";

#[test]
fn the_most_specific_of_what_is_known_of_a_client_decides_over_its_region() {
    let topology = "
topology:
  by-prefix: {prefixes: [127.77.0.1, 10.1.200.0/24]}
  by-city: {prefixes: [127.77.0.2], city: [Berlin, 3448439]}
  by-part: {prefixes: [127.77.0.3], subdivision: [us-ca, de-be]}
  by-asn: {prefixes: [127.77.0.4], asn: [AS64500, 64501]}
  by-country: {prefixes: [127.77.0.5], country: [DE, US]}
  by-continent: {prefixes: [127.77.0.6], continent: [EU, NA, SA]}
geo_databases: [city.mmdb, asn.mmdb]
";
    let files =
        [("city.mmdb", cities().finish("Test-City", 24)), ("asn.mmdb", systems().finish("Test-ASN", 32))];
    let files = files.each_ref().map(|(name, octets)| (*name, &**octets));
    let server = start(&format!("{BY_REGION}{topology}"), &files);
    for (subnet, member, expected_scope) in [
        ("10.1.200.0/24", 1, 24),
        ("10.1.0.0/24", 2, 17),
        ("10.1.130.0/24", 2, 18),
        ("10.3.7.0/24", 3, 16),
        ("10.4.0.0/24", 4, 24),
        ("10.4.1.0/24", 5, 24),
        ("10.4.128.0/24", 5, 17),
        ("10.9.1.0/24", 4, 16),
        ("10.2.0.0/24", 6, 16),
        ("2001:db8:1::/56", 2, 48),
    ] {
        assert_eq!(answer(&server, "www.test", subnet), format!("127.77.0.{member}"), "{subnet}");
        assert_eq!(scope(&server, "www.test", subnet), expected_scope, "{subnet}");
    }
    // Japan is of no region: everybody is answered in turn. What an alias leads to is not looked at.
    for subnet in ["10.5.0.0/24", "2002:0a01::/48", "::ffff:10.1.0.0/120"] {
        let answers: Vec<String> = (0..6).map(|_| answer(&server, "www.test", subnet)).collect();
        let distinct: std::collections::BTreeSet<&String> = answers.iter().collect();
        assert_eq!(distinct.len(), 6, "{subnet}: {answers:?}");
    }
}

#[test]
fn files_that_a_topology_names_are_watched_and_a_broken_one_changes_nothing() {
    let topology = "
topology:
  one: {prefixes: [127.77.0.1], prefix_file: one}
  two: {prefixes: [127.77.0.2], country: FR}
topology_prefixes: all
geo_databases: city.mmdb
";
    let city = cities().finish("Test-City", 28);
    let files: [(&str, &[u8]); 3] = [
        ("one", b"10.20.0.0/16\n"),
        ("all", b"127.77.0.3 three\n10.30.0.0/16 three\n"),
        ("city.mmdb", &city),
    ];
    let server = start(&format!("{BY_REGION}{topology}"), &files);
    let expect = |subnet: &str, member: u8| {
        let wanted = format!("127.77.0.{member}");
        wait_until(&format!("{wanted} for {subnet}"), || answer(&server, "www.test", subnet) == wanted);
    };
    expect("10.20.1.0/24", 1);
    expect("10.30.1.0/24", 3);
    expect("10.2.1.0/24", 2);

    // Without a signal: each of them is watched.
    server.write_file("one", "10.20.0.0/17\n10.21.0.0/16\n");
    expect("10.21.1.0/24", 1);
    server.write_file("all", "127.77.0.3 three\n10.31.0.0/16 three\n");
    expect("10.31.1.0/24", 3);
    let mut other = cities();
    other.insert("10.40.0.0/16", &mmdb::city("EU", "FR", "IDF", (1, "Elsewhere"), (48.0, 2.0)));
    server.write_octets("city.mmdb", &other.finish("Test-City", 24));
    expect("10.40.1.0/24", 2);

    for (name, broken, whole, said) in [
        (
            "one",
            &b"10.21.0.0/16\n10.21.0.1/16\n"[..],
            &b"10.21.0.0/16\n"[..],
            "one:2:1: `10.21.0.1/16` has host bits set",
        ),
        (
            "all",
            b"10.31.0.0/16\n",
            b"10.31.0.0/16 three\n127.77.0.3 three\n",
            "all:1:13: `REGION` is missing",
        ),
        ("city.mmdb", b"half of it", &city, "city.mmdb` cannot be used"),
    ] {
        let failed = server.metric("steerd_config_reload_failures_total");
        server.write_octets(name, broken);
        wait_until("the refusal", || server.metric("steerd_config_reload_failures_total") > failed);
        server.process.errors.wait(&[said]);
        expect("10.21.1.0/24", 1);
        expect("10.31.1.0/24", 3);
        expect("10.2.1.0/24", 2);
        let reloads = server.metric("steerd_config_reloads_total");
        server.write_octets(name, whole);
        wait_until("the next one", || server.metric("steerd_config_reloads_total") > reloads);
    }
}

#[test]
fn nearest_members_are_answered_and_behind_them_the_next_nearest() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().to_str().unwrap();
    let text = "
globalnames: {www.test: web}
pools:
  web:
    lb_method: nearest
    members:
      127.77.0.1: {name: frankfurt}
      127.77.0.2: {name: london, coordinates: [51.5074, -0.1278]}
      127.77.0.3: {name: dallas, coordinates: [32.7767, -96.797]}
      127.77.0.4: {name: nowhere}
    monitor: forced
    monitor_params: {status: up}
topology:
  frankfurt: {prefixes: [127.77.0.1, 192.168.0.0/16], coordinates: [50.1109, 8.6821]}
  corrected: {prefixes: [10.5.6.0/24], coordinates: [40.0, -100]}
  asia: {continent: AS, coordinates: [0, 100]}
geo_databases: city.mmdb
";
    let octets = cities().finish("Test-City", 24);
    let text = config(&format!("state_dir: {folder}"), text);
    let server = Server::start_with(&text, |folder: &Path| {
        std::fs::write(folder.join("city.mmdb"), &octets).unwrap();
        Vec::new()
    });
    for (subnet, member) in [
        ("10.1.1.0/24", 1),
        ("10.2.1.0/24", 2),
        ("10.3.1.0/24", 3),
        ("10.4.1.0/24", 3),
        ("10.5.1.0/24", 1),
        ("10.5.6.0/24", 3),
        ("192.168.3.0/24", 1),
        ("2001:db8:1::/56", 3),
    ] {
        assert_eq!(answer(&server, "www.test", subnet), format!("127.77.0.{member}"), "{subnet}");
    }
    assert_eq!(scope(&server, "www.test", "10.5.6.0/24"), 24);
    assert_eq!(scope(&server, "www.test", "10.1.1.0/24"), 16);
    let unknown: std::collections::BTreeSet<String> =
        (0..8).map(|_| answer(&server, "www.test", "203.0.113.0/24")).collect();
    assert_eq!(unknown.len(), 4, "who is nowhere gets all: {unknown:?}");

    let why = |arguments: &[&str]| {
        let output = run_steerd(&[&["why", "--state-dir", folder, "www.test"], arguments].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let told = why(&["--ecs", "10.1.1.0/24"]);
    assert!(told.contains("in no region, at 52.5244, 13.4105 by a database, as all of its /16"), "{told}");
    // Distances by the spherical law of cosines.
    assert!(
        told.contains(
            "frankfurt (424 km), 51.5074/-0.1278 (932 km), 32.7767/-96.797 (8378 km), then anywhere"
        ),
        "{told}"
    );
    let told = why(&["--ecs", "192.168.3.0/24"]);
    assert!(told.contains("region frankfurt, at 50.1109, 8.6821 by its region, as all of its /16"), "{told}");
    assert!(told.contains("frankfurt (0 km)"), "{told}");

    for (down, member) in [("frankfurt", 2), ("london", 3), ("dallas", 4)] {
        let output = run_steerd(&["override", "add", "down", &format!("web/{down}"), "--state-dir", folder]);
        assert!(output.status.success());
        assert_eq!(
            answer(&server, "www.test", "10.1.1.0/24"),
            format!("127.77.0.{member}"),
            "without {down}"
        );
    }
}

/// A little generator of numbers (Marsaglia 2003): tests are the same every time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Evenly over the globe.
    fn place(&mut self) -> (f64, f64) {
        let mut unit = || (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((2.0 * unit() - 1.0).asin().to_degrees(), 360.0 * unit() - 180.0)
    }
}

/// By the spherical law of cosines, which is not how the server does it.
fn distance_km(a: (f64, f64), b: (f64, f64)) -> f64 {
    let [(a, x), (b, y)] =
        [a, b].map(|(latitude, longitude)| (latitude.to_radians(), longitude.to_radians()));
    6371.0088 * (a.sin() * b.sin() + a.cos() * b.cos() * (x - y).cos()).clamp(-1.0, 1.0).acos()
}

/// A configuration of `nearest` with these members, and clients of a database.
fn nearest_text(members: &[(f64, f64)]) -> String {
    let member = |(index, (latitude, longitude)): (usize, &(f64, f64))| {
        format!("      127.77.1.{index}: {{coordinates: [{latitude:.4}, {longitude:.4}]}}\n")
    };
    let members: String = members.iter().enumerate().map(member).collect();
    format!(
        "globalnames: {{www.test: web}}\npools:\n  web:\n    lb_method: nearest\n    monitor: forced\n    monitor_params: {{status: up}}\n    \
         members:\n{members}geo_databases: city.mmdb\n"
    )
}

#[test]
fn every_client_is_sent_to_the_member_that_is_nearest_by_another_formula() {
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    let members: Vec<(f64, f64)> = (0..20).map(|_| numbers.place()).collect();
    let clients: Vec<(f64, f64)> = (0..300).map(|_| numbers.place()).collect();
    let mut writer = Writer::new(true);
    for (index, place) in clients.iter().enumerate() {
        let prefix = format!("10.{}.{}.0/24", index / 256, index % 256);
        writer.insert(&prefix, &mmdb::city("EU", "DE", "BE", (1, "x"), *place));
    }
    let server = start(&nearest_text(&members), &[("city.mmdb", &writer.finish("Test-City", 24))]);
    let mut compared = 0;
    for (index, client) in clients.iter().enumerate() {
        let mut order: Vec<(f64, usize)> =
            members.iter().map(|member| distance_km(*client, *member)).zip(0..).collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0));
        if order[1].0 - order[0].0 < 0.1 {
            continue;
        }
        compared += 1;
        let subnet = Ipv4Addr::new(10, (index / 256) as u8, (index % 256) as u8, 0);
        let reply = server.ask(Via::Udp, &Query::a("www.test").edns(1232).subnet4(subnet, 24));
        assert_eq!(reply.addresses(), [format!("127.77.1.{}", order[0].1)], "{subnet} at {client:?}");
    }
    assert!(compared > 290, "{compared}");
}

#[test]
fn more_places_than_there_are_numbers_share_the_cells_of_a_grid() {
    let mut numbers = Numbers(7);
    let members: Vec<(f64, f64)> = (0..12).map(|_| numbers.place()).collect();
    let mut writer = Writer::new(true);
    let clients: Vec<(f64, f64)> = (0..70_000).map(|_| numbers.place()).collect();
    for (index, (latitude, longitude)) in clients.iter().enumerate() {
        let prefix = format!("{}.{}.{}.0/24", 11 + (index >> 16), index >> 8 & 255, index & 255);
        let place =
            [("latitude", mmdb::Data::Double(*latitude)), ("longitude", mmdb::Data::Double(*longitude))];
        writer.insert(&prefix, &mmdb::map(&[("location", mmdb::map(&place))]));
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("city.mmdb"), writer.finish("Test-City", 28)).unwrap();
    std::fs::write(folder.path().join("c"), nearest_text(&members)).unwrap();
    let loaded =
        steerd::config::load(&folder.path().join("c"), None).unwrap_or_else(|report| panic!("{report}"));
    let snapshot = compile(&loaded.config, 1);
    let known = &snapshot.clients;
    assert!(known.class_count() > 30_000 && known.class_count() <= 65_534, "{}", known.class_count());
    assert!(known.error_km() > 0.0 && known.error_km() < 50.0, "{} km", known.error_km());
    assert_eq!(known.unnumbered(), 0);
    let preferences = &snapshot.pools[0].v4.preferences;
    assert!(preferences.distinct().len() <= 1024, "{}", preferences.distinct().len());
    for (index, client) in clients.iter().enumerate().step_by(7) {
        let address = Ipv4Addr::new(11 + (index >> 16) as u8, (index >> 8) as u8, index as u8, 9);
        let found = snapshot.topology.lookup(IpAddr::from(address)).region.unwrap();
        let (at, _) = known.get(found).unwrap().location.unwrap();
        let said = Coordinates::new(client.0, client.1).unwrap();
        assert!(at.distance_km(said) <= known.error_km() + 0.01, "{said} moved to {at}");
        // Whoever is the first is the nearest, as far as that can be told.
        let preference = &preferences.distinct()[preferences.scope_of(found) - 1];
        let first = usize::from(preference.regions[0].0);
        let best = members.iter().map(|member| distance_km(*client, *member)).fold(f64::INFINITY, f64::min);
        assert!(distance_km(*client, members[first]) <= best + 2.0 * known.error_km() + 0.1);
    }
}

#[test]
fn the_region_of_the_lowest_latency_is_answered_and_stays_until_another_is_better_by_more() {
    let text = "
globalnames: {www.test: web, exact.test: exact}
pools:
  web: &pool
    lb_method: latency
    table: latencies
    hysteresis: 10ms
    members: [127.77.0.1, 127.77.0.2, 127.77.0.3, 127.77.0.9]
    monitor: forced
    monitor_params: {status: up}
  exact: {<<: *pool, hysteresis: 0%}
topology:
  east: [127.77.0.1, 10.1.0.0/16]
  west: [127.77.0.2, 10.2.0.0/16]
  north: [127.77.0.3]
  idle: [10.9.0.0/16]
";
    let before = "east east 5\neast west 20\nwest west 5\nwest east 20\n10.2.7.0/24 north 30\n10.2.7.0/24 east 25\n\
                  2001:db8::/32 north 1\n";
    let server = start(text, &[("latencies", before.as_bytes())]);
    for (subnet, member, expected_scope) in
        [("10.1.1.0/24", 1, 16), ("10.2.1.0/24", 2, 22), ("10.2.7.0/24", 1, 24), ("2001:db8::/56", 3, 32)]
    {
        for name in ["www.test", "exact.test"] {
            assert_eq!(answer(&server, name, subnet), format!("127.77.0.{member}"), "{name} {subnet}");
            assert_eq!(scope(&server, name, subnet), expected_scope, "{subnet}");
        }
    }
    let everybody: BTreeMap<String, u32> = (0..8).fold(BTreeMap::new(), |mut counts, _| {
        *counts.entry(answer(&server, "www.test", "10.9.1.0/24")).or_default() += 1;
        counts
    });
    assert_eq!(
        everybody.values().copied().collect::<Vec<_>>(),
        [2, 2, 2, 2],
        "the table has no line of them"
    );

    let next = |table: &str, expected: [(&str, &str, u8); 4]| {
        let reloads = server.metric("steerd_config_reloads_total");
        server.write_file("latencies", table);
        wait_until("the table", || server.metric("steerd_config_reloads_total") > reloads);
        for (name, subnet, member) in expected {
            assert_eq!(
                answer(&server, name, subnet),
                format!("127.77.0.{member}"),
                "{name} {subnet}: {table}"
            );
        }
    };
    // Better by 10 ms is not better by more than 10 ms.
    next(
        "east east 20\neast west 10\n10.2.7.0/24 north 15.5\n10.2.7.0/24 east 25\n",
        [
            ("www.test", "10.1.1.0/24", 1),
            ("exact.test", "10.1.1.0/24", 2),
            ("www.test", "10.2.7.0/24", 1),
            ("exact.test", "10.2.7.0/24", 3),
        ],
    );
    // What was kept is kept on, whatever the order in between said.
    next(
        "east east 20\neast west 10\n10.2.7.0/24 north 14.9\n10.2.7.0/24 east 25\n",
        [
            ("www.test", "10.1.1.0/24", 1),
            ("exact.test", "10.1.1.0/24", 2),
            ("www.test", "10.2.7.0/24", 3),
            ("exact.test", "10.2.7.0/24", 3),
        ],
    );
    next(
        "east east 20.1\neast west 10\n10.2.7.0/24 north 34.9\n10.2.7.0/24 east 25\n",
        [
            ("www.test", "10.1.1.0/24", 2),
            ("exact.test", "10.1.1.0/24", 2),
            ("www.test", "10.2.7.0/24", 3),
            ("exact.test", "10.2.7.0/24", 1),
        ],
    );
    // A broken table is refused, and the one before stays.
    let failed = server.metric("steerd_config_reload_failures_total");
    server.write_file("latencies", "east east fast\n");
    wait_until("the refusal", || server.metric("steerd_config_reload_failures_total") > failed);
    server.process.errors.wait(&["latencies:1:11: `fast` is not a latency"]);
    assert_eq!(answer(&server, "www.test", "10.1.1.0/24"), "127.77.0.2");
}

#[test]
fn why_tells_latencies() {
    let folder = tempfile::tempdir().unwrap();
    let text = "
globalnames: {www.test: web}
pools:
  web: {lb_method: latency, table: t, members: [127.77.0.1, 127.77.0.2], monitor: forced, monitor_params: {status: up}}
topology: {east: [127.77.0.1, 10.1.0.0/16], west: [127.77.0.2]}
";
    let file: PathBuf = folder.path().join("c");
    std::fs::write(&file, text).unwrap();
    std::fs::write(folder.path().join("t"), "east east 1.5\neast west 20\n10.1.2.0/24 west 3\n").unwrap();
    let why = |subnet: &str| {
        let arguments = ["why", "-c", file.to_str().unwrap(), "www.test", "--ecs", subnet];
        let output = run_steerd(&arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(why("10.1.1.0/24").contains("looked for in east (1.5 ms), west (20 ms), then anywhere"));
    assert!(why("10.1.2.0/24").contains("region east, as all of its /24"), "{}", why("10.1.2.0/24"));
    assert!(why("10.1.2.0/24").contains("looked for in west (3 ms), then anywhere"));
}
