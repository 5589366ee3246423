//! Which version of each zone is served: the one in its file, else the last good one; and globalnames beside its records.
//!
//! A file that cannot be read takes nothing with it: not the zone that is served, and no other. Only where a globalname fits no
//! version of its zone is the configuration refused.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use super::assemble::name_text;
use super::keep::{Read, ZoneKeep, any_error};
use super::{ZoneData, findings};
use crate::config::cause::{Cause, Found};
use crate::config::compile::Apexes;
use crate::config::model::{OwnerName, ZoneRecords};
use crate::config::names::Names;
use crate::config::report::{FileId, Findings, Span};
use crate::config::steered::Takes;
use crate::config::zonefile::ZoneFault;
use crate::config::zones::ReadZone;

/// What became of a zone with a file.
#[derive(Clone, Debug)]
pub struct ZoneReport {
    /// The zone.
    pub apex: OwnerName,
    /// Which records are served.
    pub served: Served,
    /// What is wrong with the file, or suspicious.
    pub faults: Vec<ZoneFault>,
}

/// Which version of a zone is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// The one in its file.
    Current,
    /// An older one: the file cannot be used.
    LastGood,
    /// None: the file cannot be used, and never could. Only globalnames are answered.
    Nothing,
}

impl ZoneReport {
    /// Whether the file can be used.
    pub fn is_usable(&self) -> bool {
        !any_error(&self.faults)
    }
}

/// Reads the files of zones, and chooses what is served of each. Appends the files to `files`.
pub(in crate::config) fn choose(
    zones: &mut [ReadZone],
    names: &Names,
    keep: &mut ZoneKeep,
    files: &mut Vec<PathBuf>,
    findings: &mut Findings,
) -> Vec<ZoneReport> {
    let steered = find_steered(zones, names, findings);
    let mut reports = Vec::new();
    for (id, read) in zones.iter_mut().enumerate() {
        let Some(path) = &read.file else { continue };
        let apex = read.zone.apex.clone();
        let Read { now, good, mut faults, files: of_zone } = keep.read(&apex, path, read.given);
        files.extend(of_zone);
        let no_names = BTreeMap::new();
        let beside = steered.get(&(id as u32)).unwrap_or(&no_names);
        let clashes_of = |data: &Arc<ZoneData>| clashes(data, apex.as_wire(), beside);
        let clashes_now = now.as_ref().map(clashes_of);
        let (records, served) = match (now, good) {
            (Some(now), _) if clashes_now.as_ref().is_some_and(Vec::is_empty) => {
                faults.extend(findings::find(
                    &now,
                    &read.zone,
                    beside.iter().map(|(labels, (_, takes))| (*labels, *takes)),
                ));
                (ZoneRecords::Loaded(now), Served::Current)
            }
            (now, Some(good)) => {
                let clashes_good = clashes_of(&good);
                // Told of the version in the file, if there is one: that is what can be mended.
                let clashes = clashes_now.filter(|_| now.is_some()).unwrap_or_else(|| clashes_good.clone());
                let report = |(span, cause): (Span, Cause)| match clashes_good.is_empty() {
                    true => findings.warning(FileId(0), span, cause),
                    false => findings.error(FileId(0), span, cause),
                };
                clashes.into_iter().for_each(report);
                (ZoneRecords::Loaded(good), Served::LastGood)
            }
            (Some(_), None) => {
                for (span, cause) in clashes_now.into_iter().flatten() {
                    findings.error(FileId(0), span, cause);
                }
                (ZoneRecords::Failed, Served::Nothing)
            }
            (None, None) => (ZoneRecords::Failed, Served::Nothing),
        };
        read.zone.records = records;
        reports.push(ZoneReport { apex, served, faults });
    }
    reports
}

/// Notes what is served from now on.
pub(in crate::config) fn remember(zones: &[crate::config::model::Zone], keep: &mut ZoneKeep) {
    for zone in zones {
        if let ZoneRecords::Loaded(data) = &zone.records {
            keep.serve(&zone.apex, data);
        }
    }
    keep.keep_only(|apex| zones.iter().any(|zone| zone.apex == *apex));
}

/// The globalnames of each zone with a file, as labels below its apex, each with its place. Wildcards outside every zone are
/// reported on the way.
fn find_steered<'n>(
    zones: &[ReadZone],
    names: &'n Names,
    findings: &mut Findings,
) -> HashMap<u32, BTreeMap<&'n [u8], (Span, Takes)>> {
    let apexes = Apexes::new(zones.iter().map(|read| &read.zone.apex));
    let any_file = zones.iter().any(|read| read.file.is_some());
    let mut steered: HashMap<u32, BTreeMap<&[u8], (Span, Takes)>> = HashMap::new();
    for (name, span, takes) in names.with_places() {
        let is_wildcard = name.as_wire().starts_with(b"\x01*");
        if !is_wildcard && !any_file {
            continue;
        }
        match apexes.above(name.as_wire()) {
            Some((zone, apex_len)) if zones[zone as usize].file.is_some() => {
                let labels = name.as_wire().len() - usize::from(apex_len);
                steered.entry(zone).or_default().insert(&name.as_wire()[..labels], (span, takes));
            }
            Some(_) => {}
            None if is_wildcard => {
                let name = Found::new(&name.to_string());
                findings.error(FileId(0), span, Cause::WildcardOutside { name });
            }
            None => {}
        }
    }
    steered
}

/// Globalnames that a zone's records leave no room for.
fn clashes(data: &ZoneData, apex: &[u8], steered: &BTreeMap<&[u8], (Span, Takes)>) -> Vec<(Span, Cause)> {
    if steered.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (labels, (span, _)) in steered {
        let above = if data.is_cut(labels) { Some(*labels) } else { data.hidden_below(labels) };
        if let Some(above) = above {
            let rtype = if data.is_cut(above) { "NS" } else { "DNAME" };
            let name = Found::new(&name_text(labels, apex));
            found.push((
                *span,
                Cause::SteeredHidden { name, above: Found::new(&name_text(above, apex)), rtype },
            ));
        }
    }
    let mut last: Option<&[u8]> = None;
    for record in data.records() {
        let beside = steered.get(record.owner).filter(|_| last != Some(record.owner));
        let Some((span, _)) = beside.filter(|(_, takes)| takes.takes(record.rtype)) else { continue };
        last = Some(record.owner);
        let (file, line) = data.place(&record);
        let name = Found::new(&name_text(record.owner, apex));
        let rtype = domain::base::Rtype::from_int(record.rtype.0).to_string();
        found.push((*span, Cause::SteeredBesideStatic { name, rtype, place: format!("{file}:{line}") }));
    }
    found
}
