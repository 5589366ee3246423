//! Which version of a zone is served, from load to load.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::config::load_again;
use crate::config::model::ZoneRecords;
use crate::config::zone::ZoneData;
use crate::config::zone::choose::Served;
use crate::config::zone::keep::ZoneKeep;

const TWO: &str = "zones: {one.test: {file: one}, two.test: {file: two}}\n";

/// A server's life: a folder, and what is kept from load to load.
struct Life {
    folder: TempDir,
    keep: ZoneKeep,
}

/// A zone as it was loaded: what is served, and the data if any.
type Zone = (Served, Option<Arc<ZoneData>>);

impl Life {
    fn new(config: &str, files: &[(&str, &str)]) -> Life {
        let life = Life { folder: folder(config, files), keep: ZoneKeep::default() };
        for (name, _) in files {
            life.age(name);
        }
        life
    }

    /// Writes a file, as if some time ago: one just written may change once more without a trace.
    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
        self.age(name);
    }

    /// Waits until a file is older than any time of change can err.
    fn age(&self, name: &str) {
        let path = self.folder.path().join(name);
        let mark = crate::config::Mark::of(&path).unwrap();
        while mark.may_be_newer_than(SystemTime::now()) {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn load(&mut self) -> Result<Vec<Zone>, Report> {
        let loaded = load_again(&self.folder.path().join("c"), None, &mut self.keep)?;
        let data = loaded.config.zones.iter().map(|zone| match &zone.records {
            ZoneRecords::Loaded(data) => Some(data.clone()),
            ZoneRecords::None | ZoneRecords::Failed => None,
        });
        Ok(loaded.zones.iter().map(|report| report.served).zip(data).collect())
    }

    #[track_caller]
    fn served(&mut self) -> Vec<Zone> {
        self.load().unwrap_or_else(|report| panic!("{report}"))
    }
}

/// Whether both are the very same records, read once.
fn same(one: &Zone, other: &Zone) -> bool {
    match (&one.1, &other.1) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}

#[test]
fn unchanged_zone_is_not_read_again() {
    let mut life = Life::new(
        TWO,
        &[("one", HEAD), ("two", &format!("{HEAD}$INCLUDE part\n")), ("part", "a A 192.0.2.1\n")],
    );
    let first = life.served();
    let second = life.served();
    assert!(same(&first[0], &second[0]) && same(&first[1], &second[1]));
    // Of three files one changes: the zone it belongs to is read.
    life.write("part", "a A 192.0.2.2\n");
    let third = life.served();
    assert!(same(&first[0], &third[0]) && !same(&first[1], &third[1]));
    assert_eq!(third.iter().map(|zone| zone.0).collect::<Vec<_>>(), [Served::Current; 2]);
    // The configuration of the zone counts as well: what it gives, and which file it names.
    life.write("c", &TWO.replace("{file: one}", "{file: one, soa: {minimum: 5}}"));
    assert!(!same(&third[0], &life.served()[0]));
    life.write("c", &TWO.replace("file: one", "file: two"));
    assert!(!same(&third[0], &life.served()[0]));
}

#[test]
fn file_that_may_change_without_a_trace_is_read_again() {
    let mut life = Life::new(TWO, &[("one", HEAD), ("two", HEAD)]);
    let path = life.folder.path().join("one");
    let first = loop {
        fs::write(&path, HEAD).unwrap();
        let before = crate::config::Mark::of(&path).unwrap();
        let first = life.served();
        // Read within the step of the clock, as is nearly always so.
        if before.may_be_newer_than(SystemTime::now() - Duration::from_millis(1)) {
            break first;
        }
    };
    assert!(!same(&first[0], &life.served()[0]));
}

#[test]
fn broken_file_leaves_the_last_good_version_and_is_not_read_again_either() {
    let mut life = Life::new(TWO, &[("one", HEAD), ("two", HEAD)]);
    let good = life.served();
    life.write("one", "nonsense\n");
    let broken = life.served();
    assert_eq!((broken[0].0, broken[1].0), (Served::LastGood, Served::Current));
    assert!(same(&good[0], &broken[0]) && same(&good[1], &broken[1]));
    assert_eq!(life.served()[0].0, Served::LastGood);
    fs::remove_file(life.folder.path().join("one")).unwrap();
    let gone = life.served();
    assert!(gone[0].0 == Served::LastGood && same(&good[0], &gone[0]));
    life.write("one", HEAD);
    let mended = life.served();
    assert!(mended[0].0 == Served::Current && !same(&good[0], &mended[0]));
    // What was mended is what is kept from then on.
    life.write("one", "nonsense\n");
    let broken = life.served();
    assert!(broken[0].0 == Served::LastGood && same(&mended[0], &broken[0]));
}

#[test]
fn file_that_never_could_be_used_leaves_nothing() {
    let mut life = Life::new(TWO, &[("one", "nonsense\n"), ("two", HEAD)]);
    let first = life.served();
    assert_eq!((first[0].0, first[1].0), (Served::Nothing, Served::Current));
    assert!(first[0].1.is_none());
}

#[test]
fn zone_that_was_taken_out_is_forgotten() {
    let mut life = Life::new(TWO, &[("one", HEAD), ("two", HEAD)]);
    life.served();
    life.write("c", "zones: {two.test: {file: two}}\n");
    life.served();
    life.write("one", "nonsense\n");
    life.write("c", TWO);
    assert_eq!(life.served()[0].0, Served::Nothing);
}

#[test]
fn refused_configuration_changes_nothing_of_what_is_kept() {
    let mut life = Life::new(TWO, &[("one", HEAD), ("two", HEAD)]);
    let good = life.served();
    // A new version that no configuration has gone live with is not a good one yet.
    life.write("one", &format!("{HEAD}a A 192.0.2.1\n"));
    life.write("c", &format!("globalnames: {{a.one.test: nowhere}}\n{TWO}"));
    assert!(life.load().is_err());
    life.write("one", "nonsense\n");
    life.write("c", TWO);
    let kept = life.served();
    assert!(kept[0].0 == Served::LastGood && same(&good[0], &kept[0]));
}

/// The first words of all diagnostics, the folder left out.
fn said_of(report: &Report, life: &Life) -> Vec<String> {
    let folder = format!("{}/", life.folder.path().display());
    report.diagnostics().iter().map(|d| d.brief().to_string().replace(&folder, "")).collect()
}

#[test]
fn globalnames_that_fit_no_version_refuse_the_configuration() {
    let config = |names: &str| format!("globalnames: {{{names}}}\n{POOL}{TWO}");
    let zone = format!("{HEAD}a A 192.0.2.1\ncut NS ns.test.\nd DNAME x.test.\n");
    let mut life = Life::new(
        &config("a.one.test: p, x.cut.one.test: p, y.d.one.test: p, '*.cut.one.test': p"),
        &[("one", &zone), ("two", HEAD)],
    );
    let report = life.load().unwrap_err();
    let said = said_of(&report, &life);
    for part in [
        "c:1:15: `a.one.test.` is answered from a pool, but one:6 gives it A records of its own (remove one of the two)",
        "c:1:30: `x.cut.one.test.` is answered from a pool, but lies at or below `cut.one.test.`, whose NS records lead elsewhere (remove those records, or the globalname)",
        "c:1:49: `y.d.one.test.` is answered from a pool, but lies at or below `d.one.test.`, whose DNAME records lead elsewhere (remove those records, or the globalname)",
        "c:1:66: `*.cut.one.test.` is answered from a pool, but lies at or below `cut.one.test.`, whose NS records lead elsewhere (remove those records, or the globalname)",
    ] {
        assert!(said.iter().any(|line| line == part), "no {part} in {said:#?}");
    }
    // One that only the last good version has room for goes live with that, and is warned about.
    life.write("c", &config("w.one.test: p"));
    let good = life.served();
    life.write("one", &format!("{zone}w CNAME a\n"));
    let loaded = load_again(&life.folder.path().join("c"), None, &mut life.keep).unwrap();
    assert_eq!(loaded.zones[0].served, Served::LastGood);
    assert!(
        loaded.warnings.iter().any(|w| w.brief().to_string().contains("gives it CNAME records of its own"))
    );
    assert!(same(&good[0], &life.served()[0]));
    // The other way round the file's version fits, and is served.
    life.write("c", &config("a.one.test: p"));
    life.write("one", HEAD);
    assert_eq!(life.served()[0].0, Served::Current);
}

#[test]
fn wildcards_outside_every_zone_are_refused() {
    let mut life =
        Life::new(&format!("globalnames: {{'*.test': p}}\n{POOL}{TWO}"), &[("one", HEAD), ("two", HEAD)]);
    let report = life.load().unwrap_err();
    let said = said_of(&report, &life);
    let expected = "c:1:15: the wildcard name `*.test.` lies in no zone (name the zone in `zones`)";
    assert!(said.iter().any(|line| line == expected), "{said:#?}");
}
