//! Configuration: YAML files to a validated model, every mistake of them reported in one run.
//!
//! The way of a file: text (`source`) to nodes (`events`, fast by `subset`) to keys and values (`decode`, `scalars`) to
//! sections (`file` and below) to a `model::Config`; what is wrong on the way is collected in `report`. A configuration
//! with one error is refused as a whole. Nothing here opens a socket or probes anything.

/// The model to a snapshot.
pub mod compile;
/// Why a configuration is refused, in words.
pub mod cause;
/// Nodes to mappings with known keys, lists and values.
mod decode;
/// `dnssec` of a zone.
pub(crate) mod dnssec;
/// Equal items in long lists.
mod duplicates;
/// Text to a stream of YAML nodes with their places.
mod events;
/// What each single failure puts on the other members of a pool.
pub mod failures;
/// The top level of the main file, and checks that span sections.
mod file;
/// The validated model.
pub mod model;
/// `server.cookies` and `server.rrl`.
pub mod guard;
/// A pool's method and its options.
mod method;
/// `monitor` and `monitor_params` of a pool.
mod monitor;
/// How a pool's members are probed.
mod monitors;
/// What beside counts decides over a verdict.
mod discipline;
/// `globalnames`.
mod names;
/// Members of a pool.
mod members;
/// Pools among the members of pools.
mod nested;
/// Names in pools.
mod pool_names;
/// Where clients are, by files and databases.
mod place;
/// `pools`.
mod pools;
/// `server.prober_guard`.
mod prober_guard;
/// How a diagnostic is drawn.
mod render;
/// Diagnostics with their places.
pub mod report;
/// Single values to numbers, durations, names and addresses.
mod scalars;
/// `server`.
mod server;
/// What globalnames are steered to beside addresses.
mod steered;
/// Files to text.
mod source;
/// What of a file tells that it is another.
mod mark;
/// The part of YAML that large files keep to, read fast.
mod subset;
/// "Did you mean".
mod suggest;
/// `topology`, in the main file or one of its own.
mod topology;
/// Zones with a file.
pub mod zone;
/// Zone files to records.
mod zonefile;
/// `zones`.
mod zones;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cause::{Cause, FileKind, Found};
use decode::{Decoder, Placed};
use file::{MainFile, Tables, link, read_main};
pub use mark::Mark;
use model::{Config, LatencyTable};
use place::{ReadTopology, Texts, complete, latency::read_table, numbers};
pub use report::{Diagnostic, Report};
use report::{FileId, Findings};
use source::BadSource;
use zone::choose::{ZoneReport, choose, remember};
use zone::keep::ZoneKeep;
pub use zonefile::{DataFault, ZoneCause, ZoneFault};

/// A configuration that can be used, and what is suspicious about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings by file and place.
    pub warnings: Vec<Diagnostic>,
    /// What became of each zone with a file. One that cannot be read forbids nothing else.
    pub zones: Vec<ZoneReport>,
}

/// Reads a configuration from its main file; `topology` names a topology file that replaces the one configured.
///
/// # Errors
/// [`Report`] with everything that is wrong in any of the files.
pub fn load(path: &Path, topology: Option<&Path>) -> Result<Loaded, Report> {
    load_again(path, topology, &mut ZoneKeep::default())
}

/// The same with the zones of the last time: what did not change is not read again, and what cannot be read any more is served
/// as it was.
///
/// # Errors
/// As for [`load`].
pub fn load_again(path: &Path, topology: Option<&Path>, keep: &mut ZoneKeep) -> Result<Loaded, Report> {
    let name = path.display().to_string();
    run(&name, source::read(path), Some(path), topology, keep)
}

/// Reads a configuration from text that is no file; `name` stands for one in diagnostics. Relative paths in it are
/// relative to the working directory.
///
/// # Errors
/// [`Report`] with everything that is wrong.
pub fn load_str(name: &str, text: &str) -> Result<Loaded, Report> {
    run(name, source::check(text.to_owned()), None, None, &mut ZoneKeep::default())
}

/// A file of a run: its name in diagnostics, and its text or what can be shown of it.
struct Source {
    name: Arc<str>,
    text: String,
    readable: bool,
}

impl Source {
    /// Takes a text, or reports why there is none.
    fn new(name: &str, file: FileId, text: Result<String, BadSource>, findings: &mut Findings) -> Source {
        let name = Arc::from(name);
        match text {
            Ok(text) => Source { name, text, readable: true },
            Err(BadSource { cause, span, text }) => {
                findings.error(file, span, cause);
                Source { name, text, readable: false }
            }
        }
    }
}

/// Reads the main file and the topology, checks them together, and turns findings into a result.
fn run(
    name: &str,
    text: Result<String, BadSource>,
    path: Option<&Path>,
    topology_override: Option<&Path>,
    keep: &mut ZoneKeep,
) -> Result<Loaded, Report> {
    let mut findings = Findings::default();
    let main_source = Source::new(name, FileId(0), text, &mut findings);
    let directory = path.and_then(Path::parent);
    let main = match main_source.readable {
        true => read_main(&main_source.text, directory, &mut findings),
        false => None,
    };
    let mut files: Vec<PathBuf> = path.map(Path::to_path_buf).into_iter().collect();
    let topology_path = topology_path(main.as_ref(), topology_override, &mut findings);
    let mut sources = vec![main_source];
    let separate = topology_path.and_then(|path| {
        let directory = path.value.parent().map(Path::to_owned);
        let source = open_topology(path, topology_override.is_some(), &mut files, &mut findings)?;
        let read = read_separate_topology(&source, directory.as_deref(), &mut findings);
        sources.push(source);
        Some(read)
    });
    let secrets = main
        .as_ref()
        .and_then(|main| main.secret_file.clone())
        .and_then(|path| guard::open_secrets(path, &mut files, &mut findings));
    let mut zones = Vec::new();
    let config = main.map(|mut main| {
        zones = choose(&mut main.zones, &main.names, keep, &mut files, &mut findings);
        main.server.cookies.secrets = secrets;
        let given = main.locates_clients() || topology_override.is_some();
        let inline = main.topology.take().unwrap_or_default();
        let mut texts = Texts { sources: &mut sources, files: &mut files };
        let topology = complete(
            separate.unwrap_or(inline),
            main.topology_prefixes.as_ref(),
            &main.geo_databases,
            main.wants_coordinates(),
            &mut texts,
            &mut findings,
        );
        let tables = read_tables(&main, directory, &numbers(&topology), &mut texts, &mut findings);
        link(main, (topology, tables), given, files.clone(), &mut findings)
    });
    let texts: Vec<(Arc<str>, &str)> =
        sources.iter().map(|source| (source.name.clone(), source.text.as_str())).collect();
    let usable = findings.no_errors();
    let report = findings.finish(&texts);
    match config {
        Some(config) if usable => {
            remember(&config.zones, keep);
            Ok(Loaded { config, warnings: report.into_warnings(), zones })
        }
        _ => Err(report.of_files(files)),
    }
}

/// Which topology file is to be read, and where the main file names it.
fn topology_path(
    main: Option<&MainFile>,
    topology_override: Option<&Path>,
    findings: &mut Findings,
) -> Option<Placed<PathBuf>> {
    if let Some(path) = topology_override {
        if let Some(span) = main.and_then(MainFile::topology_place) {
            findings.warning(FileId(0), span, Cause::TopologyReplaced);
        }
        return Some(Placed { value: path.to_path_buf(), span: report::Span::default() });
    }
    main?.topology_file.clone()
}

/// Reads the topology file's text. What the main file names and the system does not give is reported where it is named.
fn open_topology(
    path: Placed<PathBuf>,
    overridden: bool,
    files: &mut Vec<PathBuf>,
    findings: &mut Findings,
) -> Option<Source> {
    let name = path.value.display().to_string();
    let text = source::read(&path.value);
    files.push(path.value);
    let cause = match &text {
        Err(BadSource { cause: Cause::Unreadable { kind, os_error }, .. }) if !overridden => {
            Cause::TopologyUnreadable { path: Found::new(&name), kind: *kind, os_error: *os_error }
        }
        Err(BadSource { cause: Cause::NotRegularFile, .. }) if !overridden => {
            Cause::TopologyNotRegularFile { path: Found::new(&name) }
        }
        _ => return Some(Source::new(&name, FileId(1), text, findings)),
    };
    findings.error(FileId(0), path.span, cause);
    None
}

/// Reads a topology file.
fn read_separate_topology(
    source: &Source,
    directory: Option<&Path>,
    findings: &mut Findings,
) -> ReadTopology {
    if !source.readable {
        return ReadTopology::default();
    }
    let mut decoder = Decoder::new(&source.text, FileId(1), findings);
    let topology = decoder.root().and_then(|root| topology::read_topology(&mut decoder, root, directory));
    // What was missing has been reported.
    topology.and_then(|topology| decoder.finish().map(|()| topology)).unwrap_or_default()
}

/// Reads the tables of latencies that pools name, each once.
fn read_tables(
    main: &MainFile,
    directory: Option<&Path>,
    regions: &HashMap<&str, u16>,
    texts: &mut Texts<'_>,
    findings: &mut Findings,
) -> Tables {
    let mut tables = Tables::new();
    for named in main.tables() {
        if tables.iter().any(|(known, _)| *known == named.value) {
            continue;
        }
        let path = Placed { value: server::join(directory, &named.value), span: named.span };
        let table = match texts.open(&path, FileId(0), FileKind::Latencies, findings) {
            Some(file) => read_table(&path.value, &texts.sources[file.0].text, regions, file, findings),
            None => LatencyTable::default(),
        };
        tables.push((named.value.clone(), Arc::new(table)));
    }
    tables
}

/// Both readers of YAML held against each other.
#[cfg(any(test, fuzzing))]
mod agreement;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use agreement::agree;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use zonefile::zone_agrees;
#[cfg(test)]
mod subset_tests;
#[cfg(test)]
mod tests;
