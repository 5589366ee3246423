//! The main file: its top level, in any order of sections, and what can only be checked once all of it is read.
//!
//! Opens no file: a `topology_file` is returned as a path for `config::load` to read.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cause::{Cause, Found};
use super::compile::{Apexes, largest_ttls};
use super::decode::{Decoder, Field, Placed, Read, Section, Seen, key};
use super::dnssec::check_lifetimes;
use super::failures::warn_of_overload;
use super::model::{
    Config, Fallback, GlobalNames, LatencyTable, Member, Method, NamedMonitor, OwnerName, OwnerNameRef, Pool,
    Server, Topology, Zone,
};
use super::monitor::ParameterCause;
use super::names::{Names, read_names, resolve};
use super::nested::nest;
use super::place::ReadTopology;
use super::place::cause::PlaceCause;
use super::pools::{ReadPool, read_pools};
use super::report::{FileId, Findings, Span};
use super::scalars::text_octets;
use super::server::{default_server, join, read_server};
use super::steered;
use super::topology::read_topology;
use super::zones::{MAX_PATH_OCTETS, ReadZone, read_zones};

pub(super) static FILE: Section = Section {
    title: "the file",
    keys: &[
        key("server"),
        key("globalnames"),
        key("pools"),
        key("topology"),
        key("topology_file"),
        key("topology_prefixes"),
        key("geo_databases"),
        key("zones"),
    ],
    may_be_empty: true,
};

/// Most databases: of places, of autonomous systems, and of what one knows better.
const MAX_DATABASES: usize = 8;

/// The main file as read: complete, but with nothing that spans sections checked.
#[derive(Debug)]
pub(super) struct MainFile {
    pub(super) server: Server,
    pub(super) names: Names,
    pools: Vec<ReadPool>,
    pub(super) zones: Vec<ReadZone>,
    /// The topology that stands in this file.
    pub(super) topology: Option<ReadTopology>,
    /// The path of a topology in a file of its own.
    pub(super) topology_file: Option<Placed<PathBuf>>,
    /// The path of prefixes of all regions.
    pub(super) topology_prefixes: Option<Placed<PathBuf>>,
    /// The paths of databases.
    pub(super) geo_databases: Vec<Placed<PathBuf>>,
    /// The path of the secrets of cookies.
    pub(super) secret_file: Option<Placed<PathBuf>>,
    seen: Seen,
}

impl MainFile {
    /// Where this file speaks of topology at all.
    pub(super) fn topology_place(&self) -> Option<Span> {
        self.seen.place("topology").or(self.seen.place("topology_file"))
    }

    /// Whether it says anything of where clients are.
    pub(super) fn locates_clients(&self) -> bool {
        self.topology_place().is_some() || self.topology_prefixes.is_some() || !self.geo_databases.is_empty()
    }

    /// Whether any pool goes by places on the globe.
    pub(super) fn wants_coordinates(&self) -> bool {
        self.pools.iter().any(|pool| pool.method.nearest_at().is_some())
    }

    /// The files of tables of latencies as pools name them.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Placed<String>> {
        self.pools.iter().filter_map(|pool| pool.method.table())
    }
}

/// Reads the main file; `directory` is what its relative paths are relative to. `None`: it could not be read to its end.
pub(super) fn read_main(text: &str, directory: Option<&Path>, findings: &mut Findings) -> Option<MainFile> {
    let mut decoder = Decoder::new(text, FileId(0), findings);
    let root = decoder.root().ok()?;
    let main = read_top(&mut decoder, root, directory).ok()?;
    decoder.finish().ok()?;
    main
}

fn read_top<'t>(
    d: &mut Decoder<'t, '_>,
    root: Field<'t>,
    directory: Option<&Path>,
) -> Read<Option<MainFile>> {
    let mut server = default_server();
    let mut names = Names::default();
    let mut pools = Vec::new();
    let (mut zones, mut any_zone) = (Vec::new(), false);
    let mut topology = None;
    let (mut topology_file, mut topology_prefixes) = (None, None);
    let mut geo_databases = Vec::new();
    let mut secret_file = None;
    let at = root.at;
    let seen = d.section(root, &FILE, |d, name, field| {
        match name {
            "server" => server = read_server(d, field, directory, &mut secret_file)?,
            "globalnames" => names = read_names(d, field)?,
            "pools" => pools = read_pools(d, field, directory)?,
            "topology" => topology = Some(read_topology(d, field, directory)?),
            "topology_file" => topology_file = read_path(d, field, directory)?,
            "topology_prefixes" => topology_prefixes = read_path(d, field, directory)?,
            "geo_databases" => {
                let at = field.at;
                d.list(field, "geo_databases", |d, item| {
                    geo_databases.extend(read_path(d, item, directory)?);
                    Ok(())
                })?;
                if geo_databases.len() > MAX_DATABASES {
                    d.error(at, Cause::TooMany { what: "databases", limit: MAX_DATABASES });
                }
            }
            "zones" => (zones, any_zone) = read_zones(d, field, directory)?,
            _ => d.skip(&field.node)?,
        }
        Ok(())
    })?;
    let Some(seen) = seen else { return Ok(None) };
    if seen.place("topology").is_some()
        && let Some(span) = seen.place("topology_file")
    {
        d.error(span, Cause::TopologyTwice);
    }
    if !names.any && !any_zone {
        d.error(at, Cause::NothingToServe);
    }
    names.note_aliases(&pools);
    Ok(Some(MainFile {
        server,
        names,
        pools,
        zones,
        topology,
        topology_file,
        topology_prefixes,
        geo_databases,
        secret_file,
        seen,
    }))
}

/// A path relative to the configuration.
fn read_path<'t>(
    d: &mut Decoder<'t, '_>,
    field: Field<'t>,
    directory: Option<&Path>,
) -> Read<Option<Placed<PathBuf>>> {
    let path = d.value(field, |scalar| text_octets(&scalar.text, MAX_PATH_OCTETS))?;
    Ok(path.map(|path| Placed { value: join(directory, &path.value), span: path.span }))
}

/// Checks what spans sections, and builds the configuration. Worth nothing when `findings` has errors afterwards.
/// `topology_given`: whether there should be one.
pub(super) fn link(
    main: MainFile,
    (topology, latencies): (Topology, Tables),
    topology_given: bool,
    files: Vec<PathBuf>,
    findings: &mut Findings,
) -> Config {
    let MainFile { server, names, pools, zones, seen, .. } = main;
    let file = FileId(0);
    check_name_servers(&zones, &names, findings);
    let mut pools = pools;
    let mut is_member = vec![false; pools.len()];
    // One that has errors, or could not be read, is not missing.
    let topology_known = !topology_given || findings.no_errors();
    if topology.prefixes.is_empty() && topology.located.is_none() && topology_known {
        for at in pools.iter().filter_map(|pool| pool.method.by_region_at()) {
            findings.warning(file, at, Cause::TwrrWithoutTopology);
        }
    }
    let regions: HashMap<&str, u16> = topology.regions.iter().map(String::as_str).zip(0..).collect();
    if topology_known {
        give_orders(&mut pools, &regions, findings);
        give_tables(&mut pools, &latencies);
        check_coordinates(&pools, &topology, findings);
        nest(&mut pools, &regions, &mut is_member, findings);
    }
    steered::check(&names, &zones, &pools, findings);
    let pools_missing = names.any && seen.place("pools").is_none();
    let pool_names: Vec<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
    let globalnames = if pools_missing {
        let at = seen.place("globalnames");
        findings.error(file, at, Cause::MissingKey { key: "pools", section: FILE.title, accepted: "" });
        GlobalNames::default()
    } else {
        let (globalnames, used) = resolve(names, &pool_names, findings);
        let is_unused = |(used, is_member): (&bool, &bool)| topology_known && !used && !is_member;
        for (pool, _) in pools.iter().zip(used.iter().zip(&is_member)).filter(|(_, one)| is_unused(*one)) {
            findings.warning(file, pool.at, Cause::UnusedPool { pool: Found::new(&pool.name) });
        }
        if server.ns.is_empty() {
            check_own_apexes(&globalnames, &zones, seen.place("globalnames"), findings);
        }
        globalnames
    };
    check_pushed(&pools, &server, findings);
    check_signed(&zones, &server, &globalnames, &pools, seen.place("globalnames"), findings);
    let places: Vec<Span> = pools.iter().map(|pool| pool.at).collect();
    let latencies = latencies.into_iter().map(|(_, table)| table).collect();
    let pools: Vec<Pool> = pools.into_iter().filter_map(|pool| pool.pool).collect();
    let zones: Vec<Zone> = zones.into_iter().map(|zone| zone.zone).collect();
    let choices = Arc::default();
    let config = Config { server, globalnames, pools, topology, zones, files, latencies, choices };
    if findings.no_errors() {
        warn_of_overload(&config, &places, |at, cause| findings.warning(file, at, cause));
    }
    config
}

/// Tables of latencies under the paths by which pools name them.
pub(super) type Tables = Vec<(String, Arc<LatencyTable>)>;

/// Gives pools the tables that they have by name.
fn give_tables(pools: &mut [ReadPool], tables: &Tables) {
    for ReadPool { method, pool, .. } in pools {
        let Some(Pool { method: Method::Latency { table, .. }, .. }) = pool else { continue };
        let number =
            method.table().and_then(|path| tables.iter().position(|(known, _)| *known == path.value));
        *table = number.unwrap_or(0) as u32;
    }
}

/// Warns about pools whose members are nowhere, where that counts.
fn check_coordinates(pools: &[ReadPool], topology: &Topology, findings: &mut Findings) {
    let mut regions = None;
    for ReadPool { method, pool, .. } in pools.iter().filter(|pool| pool.nested.is_empty()) {
        let (Some(at), Some(pool)) = (method.nearest_at(), pool) else { continue };
        let regions = regions.get_or_insert_with(|| topology.region_partition());
        let is_located = |member: &&Member| {
            let region = u16::try_from(regions.value_at(member.ip)).ok();
            member.coordinates.is_some()
                || region.is_some_and(|region| topology.coordinates.contains_key(&region))
        };
        let located = pool.members.iter().filter(is_located).count();
        if located == 0 {
            let cause = PlaceCause::NobodyHasCoordinates { pool: Found::new(&pool.name) };
            findings.warning(FileId(0), at, cause.into());
        } else if let Some(nowhere) = pool.members.iter().find(|member| !is_located(member)) {
            let cause = PlaceCause::MemberWithoutCoordinates { member: Found::new(&nowhere.name) };
            findings.warning(FileId(0), at, cause.into());
        }
    }
}

/// Gives pools the orders of regions that they have by name.
fn give_orders(pools: &mut [ReadPool], regions: &HashMap<&str, u16>, findings: &mut Findings) {
    for ReadPool { method, pool, .. } in pools {
        let orders = method.orders(regions, |span, cause| findings.error(FileId(0), span, cause));
        if let Some(Pool { method: Method::Twrr { next }, .. }) = pool {
            *next = orders;
        }
    }
}

/// Warns of pools whose members nobody can say anything of.
fn check_pushed(pools: &[ReadPool], server: &Server, findings: &mut Findings) {
    let is_pushed = |pool: &Pool| pool.monitors.list.iter().any(NamedMonitor::is_pushed);
    let pushed = pools.iter().filter(|read| read.pool.as_ref().is_some_and(is_pushed));
    for read in pushed.filter(|_| server.state_dir.is_none()) {
        let pool = Found::new(&read.name);
        findings.warning(FileId(0), read.at, ParameterCause::NoSocket { pool }.into());
    }
}

/// What signed zones need: a place for their keys, time to roll them, and pools that always have an answer.
fn check_signed(
    zones: &[ReadZone],
    server: &Server,
    globalnames: &GlobalNames,
    pools: &[ReadPool],
    place: Option<Span>,
    findings: &mut Findings,
) {
    let mut any = false;
    let largest = largest_ttls(zones.iter().map(|read| &read.zone), globalnames);
    for (read, largest) in zones.iter().zip(&largest) {
        let Some(dnssec) = &read.zone.dnssec else { continue };
        any = true;
        check_lifetimes(dnssec, read.lifetimes_at, *largest, findings);
        if dnssec.keys.is_none() && server.state_dir.is_none() {
            findings.error(FileId(0), read.dnssec_at, Cause::NoKeyFolder);
        }
    }
    if !any {
        return;
    }
    let apexes = Apexes::new(zones.iter().map(|zone| &zone.zone.apex));
    for global in globalnames.iter() {
        let home = apexes.above(global.name.as_wire());
        let is_signed = home.is_some_and(|(zone, _)| zones[zone as usize].zone.dnssec.is_some());
        let pool = pools.get(global.pool as usize).and_then(|read| read.pool.as_ref());
        if is_signed && pool.is_some_and(|pool| pool.fallback == Fallback::Nodata) {
            let name = Found::new(&global.name.to_string());
            findings.error(FileId(0), place, Cause::SignedNodata { name });
        }
    }
}

/// Warns about the first name outside every zone: a delegation to it would meet an NS record that never resolves.
fn check_own_apexes(
    globalnames: &GlobalNames,
    zones: &[ReadZone],
    place: Option<Span>,
    findings: &mut Findings,
) {
    let apexes = Apexes::new(zones.iter().map(|zone| &zone.zone.apex));
    if let Some(outside) = globalnames.iter().find(|global| apexes.above(global.name.as_wire()).is_none()) {
        let name = Found::new(&outside.name.to_string());
        findings.warning(FileId(0), place, Cause::NoNameServers { name });
    }
}

/// Warns about name servers inside their own zone that have no address there.
fn check_name_servers(zones: &[ReadZone], names: &Names, findings: &mut Findings) {
    let mut inside: Vec<(OwnerName, Span)> = Vec::new();
    // Of a zone with a file its records are asked too.
    for ReadZone { zone, name_servers, .. } in zones.iter().filter(|read| read.file.is_none()) {
        for server in name_servers {
            let owner = OwnerName::new(&server.value);
            if crate::wire::name::suffixes(owner.as_wire()).any(|suffix| suffix == zone.apex.as_wire()) {
                inside.push((owner, server.span));
            }
        }
    }
    if inside.is_empty() {
        return;
    }
    // One walk over the names, however many there are.
    let known: HashSet<&[u8]> = {
        let wanted: HashSet<&[u8]> = inside.iter().map(|(owner, _)| owner.as_wire()).collect();
        names.iter().map(OwnerNameRef::as_wire).filter(|name| wanted.contains(name)).collect()
    };
    for (owner, span) in inside.iter().filter(|(owner, _)| !known.contains(owner.as_wire())) {
        findings.warning(FileId(0), *span, Cause::NsWithoutAddress { name: Found::new(&owner.to_string()) });
    }
}
