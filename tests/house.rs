//! The rules of the house, read off the sources: who imports whom, where `unsafe` may stand, how files begin.

#![allow(clippy::unwrap_used, reason = "test helpers fail by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Every source file with its path below `src/`.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                files.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(files.len() > 30, "the sources were found");
    files.sort();
    files
}

/// The room a file belongs to: its first folder, or the file itself at the top.
fn room(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap()
}

/// The lines of a file without the items under `#[cfg(test)]`. An item ends with the first line of its own indent that
/// closes something, which is how rustfmt leaves every file.
fn outside_tests(text: &str) -> Vec<&str> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut kept = Vec::new();
    let mut skipping = None;
    for line in text.lines() {
        if line.trim() == "#[cfg(test)]" {
            skipping = skipping.or(Some(indent(line)));
        } else if let Some(at) = skipping {
            let is_own =
                !line.trim().is_empty() && indent(line) == at && !line.trim().starts_with(['#', '/']);
            if is_own && line.trim_end().ends_with([';', ',', '}']) {
                skipping = None;
            }
        } else {
            kept.push(line);
        }
    }
    kept
}

/// The modules from the crate's root down to the one a file holds.
fn module(file: &str) -> Vec<&str> {
    let names = file.trim_end_matches(".rs").split('/');
    names.filter(|name| !["mod", "lib", "main"].contains(name)).collect()
}

/// What a file imports from the crate outside test code, as `room` or `room::file`; empty is the root as a whole. A
/// `super` is counted from the file: what stands in a module inside of it is taken to reach one further than it does.
fn imports(file: &str, text: &str) -> Vec<String> {
    let is_of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    for line in outside_tests(text) {
        let line = line.split("//").next().unwrap_or_default();
        let mut end = 0;
        while let Some(at) = line[end..].find(is_of_path).map(|at| end + at) {
            let (before, rest) = line.split_at(at);
            let path = rest.split(|c| !is_of_path(c)).next().unwrap_or_default();
            end = at + path.len();
            // Who may see an item, not what it sees.
            if before.ends_with("pub(") || before.ends_with("pub(in ") {
                continue;
            }
            let mut words = path.split("::").filter(|word| !word.is_empty() && *word != "self").peekable();
            let mut place = module(file);
            match words.peek() {
                Some(&"crate") => place.clear(),
                Some(&"steerd") if path.contains("::") => place.clear(),
                Some(&"super") => {}
                _ => continue,
            }
            for word in words {
                match word {
                    "crate" | "steerd" => {}
                    "super" => drop(place.pop()),
                    word => place.push(word),
                }
            }
            place.truncate(2);
            found.push(place.join("::"));
        }
    }
    found
}

#[test]
fn an_import_is_seen_however_it_is_written() {
    for (file, text, expected) in [
        ("wire/name.rs", "use crate::state::pool::Pool;", &["state::pool"][..]),
        ("wire/name.rs", "    let x = crate::state::pool::y();", &["state::pool"]),
        ("main.rs", "steerd::cli::run()", &["cli::run"]),
        ("wire/name.rs", "use super::super::state::pool::Pool;", &["state::pool"]),
        ("wire/mod.rs", "use super::state;", &["state"]),
        ("wire/mod.rs", "use super::super::state;", &["state"]),
        ("wire/name.rs", "use super::error::WireError;", &["wire::error"]),
        ("health/probe/tls.rs", "use super::super::plan::Target;", &["health::plan"]),
        ("health/probe/tls.rs", "use super::super::super::config::model;", &["config::model"]),
        // The root as a whole is nobody's to import.
        ("wire/name.rs", "use super::super as root;", &[""]),
        ("wire/name.rs", "use crate as root;", &[""]),
        ("wire/name.rs", "use crate::{\n    state,\n};", &[""]),
        // Who may see an item is no import.
        ("wire/mod.rs", "pub(super) fn f() {}\npub(in crate::state) fn g() {}\npub(crate) fn h() {}", &[]),
        ("wire/name.rs", "/// See [`crate::state`].\nfn f() {} // as crate::state does", &[]),
        // Only the item below the attribute is test code.
        (
            "wire/name.rs",
            "#[cfg(test)]\nuse crate::io;\nuse crate::sys;\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n    use crate::cli;\n}\n\
             use crate::state;",
            &["sys", "state"],
        ),
        (
            "wire/name.rs",
            "impl A {\n    #[cfg(test)]\n    fn f(\n        a: crate::io::A,\n    ) -> u8 {\n        crate::io::f()\n    }\n    fn \
             g(a: crate::sys::A) {}\n}",
            &["sys::A"],
        ),
    ] {
        assert_eq!(imports(file, text), expected, "{file}: {text}");
    }
}

#[test]
fn rooms_import_only_what_the_plan_allows() {
    // ARCHITECTURE.md, "Who may import whom". A name with `::` allows that file alone.
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("wire", &[][..]),
        ("sys", &[]),
        ("io", &["sys"]),
        ("state", &["wire"]),
        ("dataplane", &["io", "wire", "state"]),
        ("dnssec", &["wire"]),
        ("config", &["wire", "state", "dnssec"]),
        ("health", &["sys::process", "wire", "state", "config::model"]),
        ("control", &["wire", "state", "io", "dataplane", "config", "dnssec", "health"]),
        ("cli", &["control", "config", "dnssec", "wire::name"]),
        ("main", &["cli"]),
        ("lib", &[]),
    ]);
    let mut faults = Vec::new();
    for (file, text) in sources() {
        let own = room(&file).to_owned();
        let may = allowed.get(own.as_str()).unwrap_or_else(|| panic!("no rule for the room of {file}"));
        for import in imports(&file, &text) {
            let target = import.split("::").next().unwrap_or_default();
            if target != own && !may.contains(&target) && !may.contains(&import.as_str()) {
                faults.push(format!("{file} imports {import}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn unsafe_stands_only_in_sys_and_each_block_says_why_it_is_sound() {
    for (file, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if !code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe") {
                continue;
            }
            assert!(file.starts_with("sys/"), "{file}:{}: unsafe outside sys/", at + 1);
            // clippy's undocumented_unsafe_blocks holds every block to its comment; this holds the room to its reason.
            assert!(text.contains("SAFETY:"), "{file}: unsafe without a SAFETY comment");
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_stays_readable() {
    for (file, text) in sources() {
        assert!(text.starts_with("//!"), "{file} does not begin by saying what it is");
        let lines = text.lines().count();
        assert!(lines <= 600, "{file} has {lines} lines");
    }
}

#[test]
fn packet_path_turns_its_lints_on() {
    for module in ["dataplane/mod.rs", "wire/mod.rs"] {
        let (_, text) = sources().into_iter().find(|(file, _)| file == module).unwrap();
        for lint in ["disallowed_types", "disallowed_methods", "disallowed_macros"] {
            assert!(text.contains(&format!("clippy::{lint}")), "{module} leaves {lint} off");
        }
        let packed: String = text.split_whitespace().collect();
        assert!(packed.contains("#![cfg_attr(not(test),deny("), "{module}: denied, and outside tests only");
    }
}

#[test]
fn nothing_is_left_for_later() {
    for (file, text) in sources() {
        // Put together here, so that this file does not find itself.
        for mark in [["TO", "DO"], ["FIX", "ME"], ["todo", "!("], ["unimplemented", "!("]] {
            assert!(!text.contains(&mark.concat()), "{file} contains {}", mark.concat());
        }
    }
}

/// Whether a text is a whole configuration, not a piece of one or a topology: it has pools at the top level.
fn is_whole_configuration(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("pools:"))
}

#[test]
fn every_configuration_that_ships_loads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    let texts: Vec<_> = paths.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect();
    let (whole, pieces): (Vec<_>, Vec<_>) = texts.iter().partition(|(_, text)| is_whole_configuration(text));
    assert!(whole.len() >= 3, "the configurations were found");
    for (path, _) in &whole {
        let loaded = steerd::config::load(path, None).unwrap_or_else(|report| panic!("{report}"));
        for zone in &loaded.zones {
            assert!(zone.faults.is_empty(), "{:?}", zone.faults);
        }
        drop(steerd::config::compile::compile(&loaded.config, 1));
    }
    for (path, _) in pieces {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(whole.iter().any(|(_, text)| text.contains(name)), "{name} belongs to no configuration");
    }
}

#[test]
fn every_configuration_in_the_readme_loads() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(path).expect("README.md");
    let mut count = 0;
    // The zone file is a block of its own, and stands behind the configuration that names it.
    let zone = readme.split("```\n").find(|block| block.starts_with("$TTL")).expect("a zone file");
    // Every second piece between fences is inside of them.
    for (index, block) in readme.split("```").skip(1).step_by(2).enumerate() {
        let Some(text) = block.strip_prefix("yaml\n") else { continue };
        if is_whole_configuration(text) {
            let name = format!("README.md, block {}", index + 1);
            let folder = tempfile::tempdir().expect("a folder");
            std::fs::write(folder.path().join("example.com.zone"), zone).expect("a file");
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("a file");
            let loaded = steerd::config::load(&path, None).unwrap_or_else(|report| panic!("{report}"));
            let faults: Vec<_> = loaded.zones.iter().flat_map(|zone| &zone.faults).collect();
            assert!(faults.is_empty(), "{faults:?}");
            count += 1;
        }
    }
    assert!(count > 0, "README.md shows no whole configuration");
}
