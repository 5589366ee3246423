//! Where clients are, beyond the prefixes that stand in the configuration: files of prefixes, databases, tables of latencies.
//!
//! Reads the files that `topology` and its siblings name, checks them against each other, and makes the model's topology of it
//! all. Looks nothing up and orders nothing; that is `config/compile`.

/// Why it is refused, in words.
pub(super) mod cause;
/// Databases of places by address.
pub(super) mod database;
/// Tables of latencies.
pub(super) mod latency;
/// Files of lines with fields.
mod lines;
/// Files of prefixes.
mod prefix_file;
/// What of a region's clients databases know.
pub(super) mod selectors;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use cause::{FileKind, PlaceCause};
use ipnet::IpNet;
use selectors::Selectors;

use super::Source;
use super::cause::{Cause, Found};
use super::decode::Placed;
use super::duplicates::repeated;
use super::model::{Located, Topology};
use super::report::{FileId, Findings, Span};
use super::source::{self, BadSource};

/// Most prefixes, of all files: eight times what all of the internet announces.
const MAX_PREFIXES: usize = 16_000_000;
/// Most regions; a region's number is 16 bits wide, and two values are kept for "none".
pub(super) const MAX_REGIONS: usize = 65_534;
/// The name we use for clients outside every region.
pub(super) const RESERVED_REGION: &str = "_default";

/// A topology as it stands in the configuration, its files yet to be read.
#[derive(Debug, Default)]
pub(super) struct ReadTopology {
    /// Regions, their coordinates, and the prefixes that stand there.
    pub(super) topology: Topology,
    /// Where each prefix stands.
    pub(super) places: Vec<(FileId, Span)>,
    /// What databases tell of regions.
    pub(super) selectors: Selectors,
    /// Files with prefixes of one region, by the region's number.
    pub(super) prefix_files: Vec<(u16, Placed<PathBuf>)>,
    /// The file that names them.
    pub(super) file: Option<FileId>,
}

/// The texts of a run, by [`FileId`].
pub(super) struct Texts<'r> {
    /// As they were opened.
    pub(super) sources: &'r mut Vec<Source>,
    /// Their paths, and those of files that are no text.
    pub(super) files: &'r mut Vec<PathBuf>,
}

impl Texts<'_> {
    /// Opens a file that a configuration names; one that the system does not give is reported where it is named.
    pub(super) fn open(
        &mut self,
        path: &Placed<PathBuf>,
        named_in: FileId,
        kind: FileKind,
        findings: &mut Findings,
    ) -> Option<FileId> {
        let name = path.value.display().to_string();
        let text = source::read(&path.value);
        self.follow(&path.value);
        match unavailable(&text, kind, &name) {
            Some(cause) => {
                findings.error(named_in, path.span, cause.into());
                None
            }
            None => {
                let file = FileId(self.sources.len());
                self.sources.push(Source::new(&name, file, text, findings));
                self.sources[file.0].readable.then_some(file)
            }
        }
    }

    fn follow(&mut self, path: &PathBuf) {
        if !self.files.contains(path) {
            self.files.push(path.clone());
        }
    }
}

/// What the system says of a file that it does not give.
fn unavailable<T>(read: &Result<T, BadSource>, kind: FileKind, name: &str) -> Option<PlaceCause> {
    let path = || Found::new(name);
    match read {
        Err(BadSource { cause: Cause::Unreadable { kind: error, os_error }, .. }) => {
            Some(PlaceCause::Unreadable { kind, path: path(), error: *error, os_error: *os_error })
        }
        Err(BadSource { cause: Cause::NotRegularFile, .. }) => {
            Some(PlaceCause::NotRegularFile { kind, path: path() })
        }
        _ => None,
    }
}

/// Reads what a topology consists of besides what stands there, and checks it as a whole.
pub(super) fn complete(
    mut read: ReadTopology,
    prefixes: Option<&Placed<PathBuf>>,
    databases: &[Placed<PathBuf>],
    wants_coordinates: bool,
    texts: &mut Texts<'_>,
    findings: &mut Findings,
) -> Topology {
    let named_in = read.file.unwrap_or(FileId(0));
    for (region, path) in std::mem::take(&mut read.prefix_files) {
        if let Some(file) = texts.open(&path, named_in, FileKind::Prefixes, findings) {
            prefix_file::read(&mut read, Some(region), &texts.sources[file.0].text, file, findings);
        }
    }
    if let Some(path) = prefixes
        && let Some(file) = texts.open(path, FileId(0), FileKind::Prefixes, findings)
    {
        prefix_file::read(&mut read, None, &texts.sources[file.0].text, file, findings);
    }
    if read.topology.prefixes.len() > MAX_PREFIXES {
        findings.error(named_in, None, Cause::TooMany { what: "prefixes", limit: MAX_PREFIXES });
    }
    check_repeated(&read, texts.sources, findings);
    let ReadTopology { mut topology, selectors, .. } = read;
    selectors.report_unusable(databases.is_empty(), named_in, findings);
    topology.located = locate(&selectors, databases, wants_coordinates, texts, findings).map(Arc::new);
    topology
}

/// Reports prefixes that are given twice.
fn check_repeated(read: &ReadTopology, sources: &[Source], findings: &mut Findings) {
    let prefixes = &read.topology.prefixes;
    for (again, first) in repeated(prefixes.iter().map(|(prefix, _)| *prefix)) {
        let (prefix, region) = prefixes[first];
        let region = Found::new(&read.topology.regions[usize::from(region)]);
        let ((file, span), (first_file, first)) = (read.places[again], read.places[first]);
        let cause = if file == first_file {
            Cause::DuplicatePrefix { prefix, region, first_line: first.line }
        } else {
            let name = sources.get(first_file.0).map_or("", |source| &*source.name);
            let first = Found::new(&format!("{name}:{}", first.line));
            PlaceCause::PrefixOfTwoFiles { prefix, region, first }.into()
        };
        findings.error(file, span, cause);
    }
}

/// What the databases say of addresses, as far as anybody wants to know.
fn locate(
    selectors: &Selectors,
    databases: &[Placed<PathBuf>],
    wants_coordinates: bool,
    texts: &mut Texts<'_>,
    findings: &mut Findings,
) -> Option<Located> {
    let mut layers = Vec::new();
    for path in databases {
        texts.follow(&path.value);
        let name = path.value.display().to_string();
        let octets = source::read_octets(&path.value);
        if let Some(cause) = unavailable(&octets, FileKind::Database, &name) {
            findings.error(FileId(0), path.span, cause.into());
            continue;
        }
        let read = match octets {
            Ok(octets) => database::read(octets, selectors, wants_coordinates),
            Err(BadSource { cause, .. }) => {
                findings.error(FileId(0), path.span, cause);
                continue;
            }
        };
        match read {
            Ok(layer) => layers.push(layer),
            Err(fault) => {
                let cause = PlaceCause::Database { path: Found::new(&name), fault };
                findings.error(FileId(0), path.span, cause.into());
            }
        }
    }
    if layers.is_empty() || selectors.is_empty() && !wants_coordinates {
        return None;
    }
    Some(database::join(layers))
}

/// Adds a prefix, and where it stands.
pub(super) fn add(read: &mut ReadTopology, prefix: IpNet, region: u16, place: (FileId, Span)) {
    read.topology.prefixes.push((prefix, region));
    read.places.push(place);
}

/// The numbers of regions by their names.
pub(super) fn numbers(topology: &Topology) -> HashMap<&str, u16> {
    topology.regions.iter().map(String::as_str).zip(0..).collect()
}

#[cfg(test)]
mod tests;
