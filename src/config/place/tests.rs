//! What of files of prefixes, selectors, coordinates and tables is read, and what is said of the rest.

use proptest::prelude::*;

use super::super::load;
use super::super::model::{Hysteresis, Method};
use super::super::tests::{errors, loaded, warnings};
use super::*;
use crate::state::coordinates::Coordinates;

impl Source {
    fn of(name: &str, text: &str) -> Source {
        Source { name: name.into(), text: text.into(), readable: true }
    }
}

const REST: &str = "globalnames: {a.example: p}\n";

/// A configuration with a pool of this method and this topology.
fn with(method: &str, topology: &str) -> String {
    format!(
        "{REST}pools:\n  p: {{{method}, members: [192.0.2.1, 198.51.100.1], monitor: forced, monitor_params: {{status: up}}}}\n{topology}"
    )
}

/// Loads `main` beside these files; what is wrong without the folder's name.
fn run(main: &str, files: &[(&str, &str)]) -> Result<super::super::model::Config, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files.iter().chain([&("c", main)]) {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let prefix = format!("{}/", folder.path().display());
    load(&folder.path().join("c"), None).map(|loaded| loaded.config).map_err(|report| {
        let errors =
            report.diagnostics().iter().filter(|d| d.severity == super::super::report::Severity::Error);
        errors.map(|d| d.brief().to_string().replace(&prefix, "")).collect()
    })
}

#[test]
fn prefixes_come_from_files_beside_those_that_stand_there() {
    let topology = "topology:\n  east: {prefixes: 10.0.0.0/8, prefix_file: east}\n  west: [10.2.0.0/16]\ntopology_prefixes: all\n";
    let files = [
        ("east", "# ours\n10.1.0.0/16\n2001:db8::/32 east # named once more\n"),
        ("all", "10.3.0.0/16 west\r\n10.4.0.0/16 north\n10.5.0.0/16 north\n"),
    ];
    let config = run(&with("lb_method: twrr", topology), &files).unwrap();
    let shown = |(net, region): &(ipnet::IpNet, u16)| {
        format!("{net} {}", config.topology.regions[usize::from(*region)])
    };
    let mut shown: Vec<String> = config.topology.prefixes.iter().map(shown).collect();
    shown.sort();
    let expected = [
        "10.0.0.0/8 east",
        "10.1.0.0/16 east",
        "10.2.0.0/16 west",
        "10.3.0.0/16 west",
        "10.4.0.0/16 north",
        "10.5.0.0/16 north",
        "2001:db8::/32 east",
    ];
    assert_eq!(shown, expected);
    assert_eq!(config.files.len(), 3, "{:?}", config.files);
}

#[test]
fn each_bad_line_of_a_prefix_file_is_an_error_at_its_place() {
    let topology = "topology:\n  east: {prefixes: 10.0.0.0/8, prefix_file: east}\n  west: {prefix_file: none}\ntopology_prefixes: all\n";
    let files = [
        ("east", "10.1.0.0/16 west\n10.1.0.0/8\n10.2.0.0/16 east x\n\n10.4.0.0/16\n  10.4.0.0/16\n"),
        ("all", "10.0.0.0/8 west\n10.9.0.0/16\n10.9.0.0/16 _default\nx y\n"),
    ];
    assert_eq!(
        run(&with("lb_method: twrr", topology), &files).unwrap_err(),
        [
            "c:6:23: the prefix file `none` cannot be read: No such file or directory (os error 2)",
            "east:1:13: the line is of the region `west`, but the file of `east` (leave it out, or write `east`; `topology_prefixes` names a file of all regions)",
            "east:2:1: `10.1.0.0/8` has host bits set: did you mean `10.0.0.0/8` or `10.1.0.0/16`?",
            "east:3:18: `x` is one field too many (accepted is `PREFIX`)",
            "east:6:3: the prefix `10.4.0.0/16` is given twice (first given for the region `east` on line 5)",
            "all:1:1: the prefix `10.0.0.0/8` is given twice (first given for the region `east` in `c:5`)",
            "all:2:12: `REGION` is missing in this line (accepted is `PREFIX REGION`)",
            "all:3:13: the region name `_default` is reserved",
            "all:4:1: `x` is not a prefix (accepted are `192.0.2.0/24`, `2001:db8::/32` and single addresses)",
        ]
    );
}

#[test]
fn selectors_are_checked_and_need_a_database() {
    let topology = "topology:\n  a: {country: [de, DEU], continent: EUR, subdivision: [US-CA, USCA], asn: [AS64500, 0]}\n  b: {country: DE, asn: 64500}\n";
    assert_eq!(
        errors(&with("lb_method: twrr", topology)),
        [
            "5:17: `country` needs a database that knows it (name one in `geo_databases`)",
            "5:21: `DEU` is no code of a country (accepted are two letters of ISO 3166-1, as `DE`)",
            "5:38: `EUR` is no code of a continent (accepted are `AF`, `AN`, `AS`, `EU`, `NA`, `OC` and `SA`)",
            "5:57: `subdivision` needs a database that knows it (name one in `geo_databases`)",
            "5:64: `USCA` is no code of a subdivision (accepted are codes of ISO 3166-2, as `US-CA`)",
            "5:77: `asn` needs a database that knows it (name one in `geo_databases`)",
            "5:86: `0` is no number of an autonomous system (accepted are 1 to 4294967295, as `64500` or `AS64500`)",
            "6:16: the country `DE` is given twice (first given for the region `a` on line 5)",
            "6:25: the autonomous system `64500` is given twice (first given for the region `a` on line 5)",
        ]
    );
    assert_eq!(
        warnings(&format!(
            "{REST}{}",
            &with("lb_method: twrr", "topology: {a: 10.0.0.0/8, b: {}}\n")[REST.len()..]
        )),
        ["4:27: the region `b` has no prefixes"]
    );
    assert_eq!(
        errors(&with("lb_method: wrr", "geo_databases: [none.mmdb]\n")),
        ["4:17: the database `none.mmdb` cannot be read: No such file or directory (os error 2)"]
    );
    let bad = run(&with("lb_method: wrr", "geo_databases: bad\n"), &[("bad", "no database")]).unwrap_err();
    assert!(bad.len() == 1 && bad[0].starts_with("c:4:16: the database `bad` cannot be used: "), "{bad:?}");
}

#[test]
fn coordinates_are_of_regions_and_members() {
    let topology = "topology: {a: {prefixes: 192.0.2.0/24, coordinates: [52.5, 13.4]}}\n";
    let config = loaded(&with("lb_method: nearest", topology));
    assert_eq!(config.topology.coordinates[&0], Coordinates::new(52.5, 13.4).unwrap());
    assert_eq!(config.pools[0].method, Method::Nearest);
    assert_eq!(
        warnings(&with("lb_method: nearest", topology)),
        [
            "3:18: the member `198.51.100.1` has no coordinates: it is answered only when nobody who has any is up (give `coordinates` to members or their regions)"
        ]
    );
    assert_eq!(
        warnings(&with("lb_method: nearest", "")),
        [
            "3:18: no member of the pool `p` has coordinates: `nearest` is then the same as `wrr` (give `coordinates` to members or their regions)"
        ]
    );
    for (text, expected) in [
        ("[91, 0]", "4:39: `91` is no latitude in degrees (accepted are -90 to 90)"),
        ("[0, x]", "4:42: `x` is no longitude in degrees (accepted are -180 to 180)"),
        (
            "[0, 1, 2]",
            "4:25: coordinates are two numbers, found 3 (accepted are degrees north and east, as `[52.52, 13.4]`)",
        ),
        (
            "5",
            "4:25: coordinates are two numbers, found 1 (accepted are degrees north and east, as `[52.52, 13.4]`)",
        ),
        ("[nan, 0]", "4:39: `nan` is no latitude in degrees (accepted are -90 to 90)"),
    ] {
        let topology = format!("topology: {{a: {{asn: 1,  coordinates: {text}}}}}\n");
        let found = errors(&with("lb_method: nearest", &topology));
        assert!(found.contains(&expected.to_owned()), "{text}: {found:?}");
    }
}

#[test]
fn tables_of_latencies_are_read_and_each_bad_line_is_an_error_at_its_place() {
    let topology = "topology: {east: 192.0.2.0/24, west: 198.51.100.0/24}\n";
    let method = "lb_method: latency, table: t, hysteresis: 20%";
    let table = "# client region ms\neast east 1\neast west 80.5\n10.0.0.0/8 west 3\n10.0.0.0/8 east 2.25\n";
    let config = run(&with(method, topology), &[("t", table)]).unwrap();
    assert_eq!(config.pools[0].method, Method::Latency { table: 0, hysteresis: Hysteresis::Percent(20) });
    let read = &config.latencies[0];
    assert_eq!(read.rows, [vec![(0, 1000), (1, 80_500)], vec![(0, 2250), (1, 3000)]]);
    assert_eq!((read.by_region[&0], read.by_prefix[0].1), (0, 1));
    let table = "east\neast west\neast wets 1\nwes west 1\n10.0.0.1/8 west 1\neast west -1\neast west 1e3\neast west 70000\neast west 1 ms\neast west 1\neast west 2\n";
    assert_eq!(
        run(&with(method, topology), &[("t", table)]).unwrap_err(),
        [
            "t:1:5: `REGION` is missing in this line (accepted is `CLIENT REGION MILLISECONDS`)",
            "t:2:10: `MILLISECONDS` is missing in this line (accepted is `CLIENT REGION MILLISECONDS`)",
            "t:3:6: the topology has no region `wets` (did you mean `west`?)",
            "t:4:1: `wes` is neither a region nor a prefix (did you mean `west`?)",
            "t:5:1: `10.0.0.1/8` has host bits set: did you mean `10.0.0.0/8` or `10.0.0.1/32`?",
            "t:6:11: `-1` is not a latency (accepted are milliseconds, 0 to 60000, as `12` or `0.25`)",
            "t:7:11: `1e3` is not a latency (accepted are milliseconds, 0 to 60000, as `12` or `0.25`)",
            "t:8:11: `70000` is not a latency (accepted are milliseconds, 0 to 60000, as `12` or `0.25`)",
            "t:9:13: `ms` is one field too many (accepted is `CLIENT REGION MILLISECONDS`)",
            "t:11:1: the latency from `east` to `west` is given twice (first given on line 10)",
        ]
    );
}

#[test]
fn options_of_the_method_latency_are_checked() {
    let topology = "topology: {east: 192.0.2.0/24}\n";
    for (method, expected) in [
        (
            "lb_method: latency",
            "3:18: the method `latency` needs a `table` (name a file of lines `CLIENT REGION MILLISECONDS`)",
        ),
        (
            "lb_method: wrr, table: t",
            "3:23: `table` is an option of the method `latency` alone (leave it out, or use `latency`)",
        ),
        (
            "lb_method: latency, table: none",
            "3:34: the latency table `none` cannot be read: No such file or directory (os error 2)",
        ),
        (
            "lb_method: latency, hysteresis: 100%, table: none",
            "3:39: `100%` is not a hysteresis (accepted are `10ms` (0 to 1 min) and `20%` (0% to 99%))",
        ),
    ] {
        let found = errors(&with(method, topology));
        assert!(found.contains(&expected.to_owned()), "{method}: {found:#?}");
    }
}

/// A line of a file, mostly of things that such files have.
fn line() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("10.0.0.0/8".to_owned()),
        Just("east".to_owned()),
        Just("2001:db8::/32".to_owned()),
        Just("12.5".to_owned()),
        "[0-9a-f.:/]{0,20}",
        "\\PC{0,10}",
    ];
    prop::collection::vec(word, 0..5).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn any_lines_are_read_or_reported_at_a_place_inside_of_them(lines in prop::collection::vec(line(), 0..12)) {
        let text = lines.join("\n");
        let mut sources = vec![Source::of("main", ""), Source::of("file", &text)];
        let mut findings = Findings::default();
        let mut read = ReadTopology::default();
        read.topology.regions = vec!["east".into(), "west".into()];
        prefix_file::read(&mut read, Some(0), &text, FileId(1), &mut findings);
        prefix_file::read(&mut read, None, &text, FileId(1), &mut findings);
        prop_assert_eq!(read.topology.prefixes.len(), read.places.len());
        check_repeated(&read, &sources, &mut findings);
        let table = latency::read_table("t".as_ref(), &text, &numbers(&read.topology), FileId(1), &mut findings);
        let rows = table.by_region.values().chain(table.by_prefix.iter().map(|(_, row)| row));
        prop_assert_eq!(rows.count(), table.rows.len());
        let texts: Vec<_> = sources.drain(..).map(|source| (source.name.clone(), source.text)).collect();
        let texts: Vec<_> = texts.iter().map(|(name, text)| (name.clone(), text.as_str())).collect();
        for diagnostic in findings.finish(&texts).diagnostics() {
            let line = diagnostic.span.map_or(1, |span| span.line) as usize;
            prop_assert!(line <= text.split('\n').count(), "{}", diagnostic);
        }
    }

    #[test]
    fn any_change_to_a_database_is_read_or_reported(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8), cut in any::<prop::sample::Index>(), whole in any::<bool>(),
    ) {
        let mut octets = include_bytes!("../../../config/example.mmdb").to_vec();
        if !whole {
            octets.truncate(cut.index(octets.len()));
        }
        for (at, octet) in edits.iter().take(octets.len()) {
            let at = at.index(octets.len());
            octets[at] = *octet;
        }
        let mut selectors = Selectors::default();
        selectors.countries.insert("DE".into(), (0, Span::default()));
        selectors.city_names.insert("Prague".into(), (1, Span::default()));
        selectors.subdivisions.insert("US-CA".into(), (1, Span::default()));
        if let Ok(layer) = database::read(octets, &selectors, true) {
            let located = database::join(vec![layer]);
            prop_assert!(located.records.iter().all(|record| record.region.is_none_or(|region| region < 2)));
        }
    }
}
