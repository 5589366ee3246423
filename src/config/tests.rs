//! Tests of whole configurations: the seed's example, many mistakes in one file, files that cannot be read, and any text.

use super::*;
use proptest::prelude::*;
use std::fs;

const SEED: &str = include_str!("../../tests/data/seed-polaris.yaml");
const SEED_TOPOLOGY: &str = include_str!("../../tests/data/seed-polaris-topology.yaml");

/// The configuration of a text that has no errors.
pub(super) fn loaded(text: &str) -> Config {
    load_str("f", text).map(|loaded| loaded.config).unwrap_or_else(|report| panic!("{report}"))
}

/// `line:column: words` of each warning of a text that has no errors. That an apex of its own has no name servers, which
/// is true of most short texts, is left out.
pub(super) fn warnings(text: &str) -> Vec<String> {
    let loaded = load_str("f", text).unwrap_or_else(|report| panic!("{report}"));
    let is_of_interest = |w: &&Diagnostic| !matches!(w.cause, Cause::NoNameServers { .. });
    loaded.warnings.iter().filter(is_of_interest).map(shown).collect()
}

#[test]
fn an_apex_of_its_own_without_name_servers_is_warned_about() {
    let rest = "pools: {p: {lb_method: wrr, members: [192.0.2.1], monitor: forced, monitor_params: {status: up}}}\n\
                zones: {example.com: {ns: ns1.example.net}}\n";
    let count = |top: &str| {
        let loaded = load_str("f", &format!("{top}{rest}")).unwrap_or_else(|report| panic!("{report}"));
        loaded.warnings.iter().filter(|w| matches!(w.cause, Cause::NoNameServers { .. })).count()
    };
    assert_eq!(count("globalnames: {a.example.com: p, a.example.org: p, b.example.org: p}\n"), 1);
    assert_eq!(count("globalnames: {a.example.com: p}\n"), 0);
    assert_eq!(count("globalnames: {a.example.org: p}\nserver: {ns: ns1.example.net}\n"), 0);
}

/// `line:column: words` of each error of a text that has some.
pub(super) fn errors(text: &str) -> Vec<String> {
    let report = load_str("f", text).expect_err("errors");
    let errors = report.diagnostics().iter().filter(|d| d.severity == report::Severity::Error);
    errors.map(shown).collect()
}

fn shown(diagnostic: &Diagnostic) -> String {
    diagnostic.brief().to_string().trim_start_matches("f:").trim_start().to_owned()
}

/// Writes files into a directory that is removed afterwards.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

#[test]
fn the_seeds_example_reports_exactly_its_two_mistakes() {
    let files = directory(&[("lb.yaml", SEED), ("topology.yaml", SEED_TOPOLOGY)]);
    let (lb, topology) = (files.path().join("lb.yaml"), files.path().join("topology.yaml"));
    let report = load(&lb, Some(&topology)).unwrap_err();
    assert_eq!((report.error_count(), report.warning_count()), (2, 1));
    let text = report.to_string();
    let prefix = format!("{}/", files.path().display());
    let text = text.replace(&prefix, "");
    assert!(
        text.contains(
            "error: pool `wiki` is not defined\n  --> lb.yaml:3:15\n   |\n 3 |         pool: wiki\n   |               ^^^^ known pools are `myapp`\n"
        ),
        "{text}"
    );
    assert!(
        text.contains(
            "error: `10.1.1.0/16` has host bits set: did you mean `10.1.0.0/16` or `10.1.1.0/24`?\n  --> topology.yaml:4:7\n   |\n 4 |     - 10.1.1.0/16\n   |       ^^^^^^^^^^^"
        ),
        "{text}"
    );
}

#[test]
fn the_seeds_example_mended_loads_unchanged() {
    let lb = SEED.replace("pool: wiki", "pool: myapp");
    let files = directory(&[
        ("lb.yaml", &lb),
        ("topology.yaml", &SEED_TOPOLOGY.replace("10.1.1.0/16", "10.1.0.0/16")),
    ]);
    let (lb, topology) = (files.path().join("lb.yaml"), files.path().join("topology.yaml"));
    let Loaded { config, warnings, .. } =
        load(&lb, Some(&topology)).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(config.files, [lb, topology]);
    let pool = &config.pools[0];
    let members: Vec<String> =
        pool.members.iter().map(|m| format!("{} {} {}", m.ip, m.name, m.weight)).collect();
    assert_eq!(members, ["172.16.1.1 wiki1-dc1 3", "10.1.1.2 wiki2-dc2 2", "10.1.1.1 wiki3-dc2 3"]);
    assert_eq!(
        (pool.method.clone(), &pool.fallback, pool.max_addrs_returned),
        (model::Method::Twrr { next: None }, &model::Fallback::Any, 2)
    );
    let model::Probe::Http(http) = &pool.monitors.list[0].monitor.probe else { panic!("no http") };
    assert_eq!(
        (http.path.as_str(), http.host.as_deref(), http.port),
        ("/healthcheck?check_all=1", Some("wiki.myco.com"), 81)
    );
    assert_eq!(
        (pool.monitors.list[0].monitor.interval.as_secs(), pool.monitors.list[0].monitor.timeout.as_secs()),
        (5, 1)
    );
    assert_eq!(config.topology.regions, ["datacenter1", "datacenter2"]);
    let shown: Vec<String> = warnings.iter().map(|w| w.cause.to_string()).collect();
    assert_eq!(
        shown,
        [
            "`wiki.myco.com.` is an apex of its own, but `server.ns` names no name servers",
            "a TTL of 1 s: nearly every query will reach this server"
        ]
    );
}

#[test]
fn flow_style_of_everything_loads() {
    let config = loaded(
        "server: {listen: [\"127.0.0.1:5300\", \"[::1]:5300\"], workers: auto, admin: \"127.0.0.1:8053\"}\n\
         globalnames: {www.example.com: {pool: web, ttl: 30}}\n\
         pools: {web: {lb_method: twrr, fallback: any, max_addrs_returned: 2, members: {192.0.2.1: {name: web1-dc1, weight: \
         3}, 2001:db8::1: {name: web1-dc1-v6, weight: 3}}, monitor: http, monitor_params: {hostname: www.example.com, \
         url_path: /healthz, port: 80, expected_codes: [200], interval: 10, timeout: 5, retries: 2, rise: 1}}}\n\
         topology: {dc1: [192.0.2.0/24]}\n\
         zones: {example.com: {ns: [ns1.example.net], soa: {mname: ns1.example.net, rname: hostmaster.example.com, \
         minimum: 60}}}\n",
    );
    let members: Vec<String> = config.pools[0].members.iter().map(|member| member.ip.to_string()).collect();
    assert_eq!(members, ["192.0.2.1", "2001:db8::1"]);
}

#[test]
fn twelve_mistakes_are_twelve_errors_in_one_run() {
    let text = "\
servr: {}
server:
  listen: 127.0.0.1:dns
  workers: many
globalnames:
  www.example.com: {pool: wbe, ttl: 30}
  www.example.com.: web
pools:
  web:
    lb_method: round
    members: {192.0.2.1: {weight: -1}}
    monitor: http
    monitor_params: {intervall: 5, port: 80800, timeout: 20}
topology:
  dc1: [10.1.1.0/16]
zones:
  example.com: {}
";
    let lines: Vec<String> = errors(text).iter().map(|e| e.split(": ").next().unwrap().to_owned()).collect();
    assert_eq!(
        lines,
        ["1:1", "3:11", "4:12", "6:27", "7:3", "10:16", "11:35", "13:22", "13:42", "13:58", "15:9", "17:3"]
    );
}

#[test]
fn an_error_before_broken_yaml_is_reported_with_it() {
    let errors = errors("servr: 1\npools:\n  web: [a\nglobalnames: {}\n");
    assert_eq!(errors[0], "1:1: unknown key `servr` in the file (did you mean `server`?)");
    assert!(errors.last().unwrap().contains("this is not YAML"), "{errors:?}");
}

#[test]
fn broken_indentation_does_not_make_keys_missing() {
    let text = "pools:\n  web:\n    lb_method: wrr\n   fallback: any\nglobalnames: {a.example: web}\n";
    let errors = errors(text);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("4:4: this is not YAML") && errors[0].contains("indented"), "{errors:?}");
}

#[test]
fn files_without_content_have_nothing_to_serve() {
    assert_eq!(errors(""), ["the file has no content"]);
    assert_eq!(errors("# a comment\n"), ["the file has no content"]);
    let nothing = "1:1: there is nothing to serve (give `globalnames` and their `pools`, or `zones`)";
    assert_eq!(errors("---\n"), [nothing.replace("1:1", "2:1")]);
    assert_eq!(errors("{}\n"), [nothing]);
    assert_eq!(errors("pools: {}\nglobalnames:\n"), [nothing]);
    assert_eq!(errors("globalnames: {a.example: web}\n"), ["1:1: `pools` is missing in the file"]);
    assert_eq!(errors("- a\n"), ["1:1: expected a mapping, found a list"]);
}

#[test]
fn an_unreadable_file_is_one_clear_line() {
    let report = load(Path::new("none/such.yaml"), None).unwrap_err();
    assert_eq!(
        report.to_string(),
        "error: the file cannot be read: No such file or directory (os error 2)\n  --> none/such.yaml\n"
    );
}

#[test]
fn a_topology_file_is_relative_to_the_main_file() {
    let main = "globalnames: {a.example: p}\ntopology_file: t.yaml\npools: {p: {lb_method: twrr, members: [192.0.2.1], \
                monitor: forced, monitor_params: {status: up}}}\n";
    let files = directory(&[("main.yaml", main), ("t.yaml", "dc1: 192.0.2.0/24\n")]);
    let path = files.path().join("main.yaml");
    let config = load(&path, None).unwrap().config;
    assert_eq!((config.topology.regions.len(), config.files.len()), (1, 2));
    fs::remove_file(files.path().join("t.yaml")).unwrap();
    let report = load(&path, None).unwrap_err();
    assert!(report.to_string().contains("main.yaml:2:16"), "{report}");
    assert!(report.to_string().contains("cannot be read: No such file"), "{report}");
    assert_eq!(
        (report.error_count(), report.warning_count()),
        (1, 1),
        "the warning is of the apex of its own"
    );
}

#[test]
fn a_report_names_every_file_that_was_read_or_tried() {
    let main = "globalnames: {a.example: p}\ntopology_file: t.yaml\npools: {}\n";
    let files = directory(&[("main.yaml", main)]);
    let (path, topology) = (files.path().join("main.yaml"), files.path().join("t.yaml"));
    assert_eq!(
        load(&path, None).unwrap_err().files(),
        [path.clone(), topology.clone()],
        "it is not there yet"
    );
    fs::write(&topology, "dc1: nonsense\n").unwrap();
    assert_eq!(load(&path, None).unwrap_err().files(), [path.clone(), topology.clone()]);
    let other = files.path().join("other.yaml");
    assert_eq!(load(&path, Some(&other)).unwrap_err().files(), [path.clone(), other.clone()]);
    // Only a change of this file can mend it.
    fs::write(&path, "topology_file: t.yaml\npools: [a\n").unwrap();
    assert_eq!(load(&path, None).unwrap_err().files(), [path.as_path()]);
    fs::remove_file(&path).unwrap();
    assert_eq!(load(&path, Some(&other)).unwrap_err().files(), [path, other]);
    assert!(load_str("f", "").unwrap_err().files().is_empty());
}

#[test]
fn a_topology_file_that_is_no_regular_file_is_reported_where_it_is_named() {
    let main = "zones: {example.com: {ns: ns1.example.net}}\ntopology_file: /dev/zero\n";
    let files = directory(&[("main.yaml", main)]);
    let path = files.path().join("main.yaml");
    let report = load(&path, None).unwrap_err().to_string();
    assert!(report.contains("error: the topology file `/dev/zero` is not a regular file"), "{report}");
    assert!(report.contains("main.yaml:2:16"), "{report}");
    let report = load(&path, Some(Path::new("/dev/zero"))).unwrap_err().to_string();
    assert!(report.contains("error: the file is not a regular file\n  --> /dev/zero"), "{report}");
}

#[test]
fn the_command_lines_topology_replaces_the_files() {
    let main = "zones: {example.com: {ns: ns1.example.net}}\ntopology: {a: 10.0.0.0/8}\n";
    let files = directory(&[("main.yaml", main), ("t.yaml", "dc1: 192.0.2.0/24\n")]);
    let Loaded { config, warnings, .. } =
        load(&files.path().join("main.yaml"), Some(&files.path().join("t.yaml"))).unwrap();
    assert_eq!(config.topology.regions, ["dc1"]);
    assert_eq!(warnings[0].cause, Cause::TopologyReplaced);
    assert_eq!(
        errors(&format!("{main}topology_file: t.yaml\n"))[0],
        "3:1: `topology` and `topology_file` are both given (keep one of them)"
    );
}

#[test]
fn pools_may_share_anchored_parameters() {
    let config = loaded(
        "globalnames: {a.example: p, b.example: q}\npools:\n  p: &p\n    lb_method: wrr\n    members: [192.0.2.1]\n    \
         monitor: forced\n    monitor_params: {status: up}\n  q:\n    <<: *p\n    lb_method: fogroup\n",
    );
    assert_eq!(config.pools[1].method, model::Method::Fogroup { first: 1 });
    assert_eq!(config.pools[1].members, config.pools[0].members);
}

#[test]
fn a_mistake_in_an_anchored_value_is_reported_once() {
    let text = "globalnames: {a.example: &g {pool: p, ttl: x}, b.example: *g, c.example: *g}\npools:\n  p: {lb_method: wrr, \
                members: [192.0.2.1], monitor: forced, monitor_params: {status: up}}\n";
    assert_eq!(errors(text), ["1:44: `x` is not a whole number (accepted are 0 to 2147483647)"]);
}

#[test]
fn a_way_of_denial_is_nsec_or_nsec3() {
    let text = |apex: &str, denial: &str| {
        format!("zones: {{{apex}: {{ns: ns.example.net, dnssec: {{keys: k, denial: {denial}}}}}}}\n")
    };
    for (written, read) in [("nsec", model::Denial::Nsec), ("nsec3", model::Denial::Nsec3)] {
        let loaded = load_str("f", &text("example.com", written)).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(loaded.config.zones[0].dnssec.as_ref().unwrap().denial, read);
    }
    let wrong = errors(&text("example.com", "opt-out"));
    assert!(wrong[0].contains("`opt-out`") && wrong[0].contains("`nsec`, `nsec3`"), "{wrong:?}");
    let label = "a".repeat(62);
    let long = [&label[..], &label, &label, &label[..32]].join(".");
    assert!(load_str("f", &text(&long, "nsec")).is_ok());
    let refused = errors(&text(&long, "nsec3"));
    assert_eq!(refused.len(), 1);
    assert!(refused[0].contains("222 octets") && refused[0].contains("`nsec`"), "{refused:?}");
    assert!(load_str("f", &text(&long[1..], "nsec3")).is_ok());
}

#[test]
fn every_example_configuration_loads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // A topology file is loaded by the main file that names it.
        if !name.ends_with(".yaml") || name.ends_with("topology.yaml") {
            continue;
        }
        load(&path, None).unwrap_or_else(|report| panic!("{report}"));
        count += 1;
    }
    assert!(count >= 3);
}

#[test]
fn the_reference_example_has_every_key_and_no_warning() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let text = fs::read_to_string(folder.join("full.yaml")).unwrap();
    let loaded = load(&folder.join("full.yaml"), None).unwrap_or_else(|report| panic!("{report}"));
    let warnings: Vec<String> = loaded.warnings.iter().map(shown).collect();
    assert_eq!(warnings, Vec::<String>::new());
    let sections = [
        &file::FILE,
        &server::SERVER,
        &topology::REGION,
        &guard::COOKIES,
        &guard::RRL,
        &prober_guard::PROBER_GUARD,
        &names::GLOBALNAME,
        &steered::SRV,
        &steered::MX,
        &steered::HTTPS,
        &steered::SVCB,
        &names::TTL,
        &pools::POOL,
        &members::LISTED_MEMBER,
        &pool_names::FALLBACK,
        &monitors::MONITOR,
        &monitor::PARAMETERS,
        &discipline::DAMPING,
        &zones::ZONE,
        &zones::SOA,
        &dnssec::DNSSEC,
    ];
    for key in sections.iter().flat_map(|section| section.keys) {
        let written = text.contains(&format!("{}:", key.name));
        assert!(written, "full.yaml does not show `{}`", key.name);
    }
}

/// A text with a few of its characters replaced, removed or doubled.
fn mutated(text: &'static str) -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0usize..4, "[ \\n\\t:{}\\[\\],&*!|>'\"#%@`a-z0-9.\\-/é\u{0}]");
    prop::collection::vec(edit, 1..12).prop_map(move |edits| {
        let mut chars: Vec<char> = text.chars().collect();
        for (index, kind, new) in edits {
            let at = index.index(chars.len().max(1));
            match kind {
                _ if chars.is_empty() => {}
                0 => _ = chars.remove(at),
                1 => chars[at] = new.chars().next().unwrap_or(' '),
                2 => chars.insert(at, new.chars().next().unwrap_or(' ')),
                _ => chars.truncate(at.max(1)),
            }
        }
        chars.into_iter().collect()
    })
}

/// What must hold for any text: a report has errors, and each that has a place has one inside the text.
fn check_any(text: &str) {
    if let Err(report) = load_str("f", text) {
        assert!(report.error_count() > 0);
        let lines = text.replace("\r\n", "\n").replace('\r', "\n").matches('\n').count() as u32 + 1;
        for diagnostic in report.diagnostics() {
            let line = diagnostic.span.map_or(1, |span| span.line);
            assert!((1..=lines).contains(&line), "{diagnostic}");
            assert!(!diagnostic.to_string().contains(|c: char| c.is_control() && c != '\n'));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_loads_or_is_reported(text in "\\PC{0,200}|[ \\n:{}\\[\\],&*a-c<\\-?|>'\"#]{0,200}") {
        check_any(&text);
    }

    #[test]
    fn any_change_to_an_example_loads_or_is_reported(text in mutated(include_str!("../../config/full.yaml"))) {
        check_any(&text);
    }

    #[test]
    fn any_change_to_the_seed_loads_or_is_reported(text in mutated(SEED)) {
        check_any(&text);
    }
}
