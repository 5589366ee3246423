//! Zones as they were last read: what did not change is not read again, and what is broken keeps its last good version.
//!
//! One for the life of a server; a check begins with an empty one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::ZoneData;
use super::assemble::{Given, assemble};
use crate::config::mark::Mark;
use crate::config::model::OwnerName;
use crate::config::report::Severity;
use crate::config::zonefile::{self, Faults, ZoneFault};

/// What was read of each zone.
#[derive(Debug, Default)]
pub struct ZoneKeep {
    zones: HashMap<OwnerName, Kept>,
}

/// One zone as it was last read.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    given: Given,
    /// All files that were read or should have been; none where one may have changed meanwhile.
    marks: Vec<(PathBuf, Option<Mark>)>,
    /// What reading it came to.
    read: Option<Arc<ZoneData>>,
    faults: Vec<ZoneFault>,
    /// The version that was last served.
    good: Option<Arc<ZoneData>>,
}

/// What became of a zone's file.
#[derive(Debug)]
pub(in crate::config) struct Read {
    /// The records as they are in the files now, if they can be used.
    pub(in crate::config) now: Option<Arc<ZoneData>>,
    /// The version that was last served.
    pub(in crate::config) good: Option<Arc<ZoneData>>,
    /// What is wrong, or suspicious.
    pub(in crate::config) faults: Vec<ZoneFault>,
    /// All files that were read, or should have been.
    pub(in crate::config) files: Vec<PathBuf>,
}

impl ZoneKeep {
    /// Reads a zone's file, unless it is as it was.
    pub(in crate::config) fn read(&mut self, apex: &OwnerName, path: &Path, given: Given) -> Read {
        let known = self.zones.get(apex).filter(|kept| kept.path == path && kept.given == given);
        let is_unchanged = |kept: &&Kept| {
            let same = |(file, mark): &(PathBuf, Option<Mark>)| mark.is_some() && Mark::of(file) == *mark;
            !kept.marks.is_empty() && kept.marks.iter().all(same)
        };
        if let Some(kept) = known.filter(is_unchanged) {
            return kept.outcome();
        }
        let good = self.zones.remove(apex).and_then(|kept| kept.good);
        let began = SystemTime::now();
        let mut faults = Faults::default();
        let (read, files) = match zonefile::read(path, apex.as_wire()) {
            Ok(mut raw) => {
                let files = raw.files.clone();
                std::mem::take(&mut raw.warnings).into_iter().for_each(|fault| faults.add(fault));
                (assemble(raw, apex.as_wire(), given, &mut faults), files)
            }
            Err(unread) => {
                unread.faults.into_iter().for_each(|fault| faults.add(fault));
                (None, unread.files)
            }
        };
        let mark = |file: &PathBuf| Mark::of(file).filter(|mark| !mark.may_be_newer_than(began));
        let marks = files.iter().map(|file| (file.clone(), mark(file))).collect();
        let read = read.map(Arc::new);
        let kept = Kept { path: path.to_owned(), given, marks, read, faults: faults.finish(), good };
        let outcome = kept.outcome();
        self.zones.insert(apex.clone(), kept);
        outcome
    }

    /// Notes which version of a zone is served from now on.
    pub(in crate::config) fn serve(&mut self, apex: &OwnerName, data: &Arc<ZoneData>) {
        if let Some(kept) = self.zones.get_mut(apex) {
            kept.good = Some(data.clone());
        }
    }

    /// Forgets all zones but these.
    pub(in crate::config) fn keep_only(&mut self, is_served: impl Fn(&OwnerName) -> bool) {
        self.zones.retain(|apex, _| is_served(apex));
    }
}

impl Kept {
    fn outcome(&self) -> Read {
        Read {
            now: self.read.clone(),
            good: self.good.clone(),
            faults: self.faults.clone(),
            files: self.marks.iter().map(|(file, _)| file.clone()).collect(),
        }
    }
}

/// Whether any of these forbids using the zone.
pub(in crate::config) fn any_error(faults: &[ZoneFault]) -> bool {
    faults.iter().any(|fault| fault.severity == Severity::Error)
}
