//! Why files of prefixes, databases and tables of latencies are refused, in words.
//!
//! One variant a cause; knows no places in files.

use std::io;

use ipnet::IpNet;

use super::super::cause::{Cause, Found};
use super::database::DatabaseFault;

/// What a file is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// `prefix_file` or `topology_prefixes`.
    Prefixes,
    /// One of `geo_databases`.
    Database,
    /// `table`.
    Latencies,
}

impl std::fmt::Display for FileKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FileKind::Prefixes => "prefix file",
            FileKind::Database => "database",
            FileKind::Latencies => "latency table",
        })
    }
}

/// What else a topology, or a method that goes by places, can be refused for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields of a variant are the blanks of the sentence above it")]
pub enum PlaceCause {
    /// The system would not give us the file.
    #[error("the {kind} {path} cannot be read: {}", super::super::cause::io_text(*.error, *.os_error))]
    Unreadable { kind: FileKind, path: Found, error: io::ErrorKind, os_error: Option<i32> },
    /// A FIFO, a socket or a device.
    #[error("the {kind} {path} is not a regular file")]
    NotRegularFile { kind: FileKind, path: Found },
    /// Too few fields in a line.
    #[error("`{field}` is missing in this line")]
    MissingField { field: &'static str, accepted: &'static str },
    /// Too many fields in a line.
    #[error("{text} is one field too many")]
    ExtraField { text: Found, accepted: &'static str },
    /// Another region than the one that names the file.
    #[error("the line is of the region {region}, but the file of {owner}")]
    RegionOfOther { region: Found, owner: Found },
    /// A prefix in two files.
    #[error("the prefix `{prefix}` is given twice (first given for the region {region} in {first})")]
    PrefixOfTwoFiles { prefix: IpNet, region: Found, first: Found },
    /// A database that cannot be used.
    #[error("the database {path} cannot be used: {fault}")]
    Database { path: Found, fault: DatabaseFault },
    /// Regions by country and the like, and nobody to tell.
    #[error("`{key}` needs a database that knows it")]
    NoDatabase { key: &'static str },
    /// No code of that kind.
    #[error("{text} is no {what}")]
    NotSelector { text: Found, what: &'static str, accepted: &'static str },
    /// One selector for two regions.
    #[error("the {what} {item} is given twice (first given for the region {region} on line {first_line})")]
    SelectorTwice { what: &'static str, item: Found, region: Found, first_line: u32 },
    /// No place on the globe.
    #[error("{text} is no {what} in degrees")]
    NotDegrees { text: Found, what: &'static str, limit: u16 },
    /// One number, or three.
    #[error("coordinates are two numbers, found {count}")]
    NotTwo { count: usize },
    /// No time in a table.
    #[error("{text} is not a latency")]
    NotLatency { text: Found },
    /// No hysteresis.
    #[error("{text} is not a hysteresis")]
    NotHysteresis { text: Found },
    /// Neither a region nor a prefix.
    #[error("{text} is neither a region nor a prefix")]
    NotClient { text: Found, closest: Option<Found> },
    /// A line twice.
    #[error("the latency from {client} to {region} is given twice")]
    LatencyTwice { client: Found, region: Found, first_line: u32 },
    /// `latency` without its table.
    #[error("the method `latency` needs a `table`")]
    NoTable,
    /// `nearest`, and nobody is anywhere.
    #[error("no member of the pool {pool} has coordinates: `nearest` is then the same as `wrr`")]
    NobodyHasCoordinates { pool: Found },
    /// `nearest`, and some are nowhere.
    #[error("the member {member} has no coordinates: it is answered only when nobody who has any is up")]
    MemberWithoutCoordinates { member: Found },
}

impl PlaceCause {
    /// What would be accepted, or what to do.
    pub(in crate::config) fn help(&self) -> Option<String> {
        Some(match self {
            PlaceCause::MissingField { accepted, .. } | PlaceCause::ExtraField { accepted, .. } => {
                format!("accepted is `{accepted}`")
            }
            PlaceCause::RegionOfOther { owner, .. } => {
                format!("leave it out, or write {owner}; `topology_prefixes` names a file of all regions")
            }
            PlaceCause::Database { .. } => {
                "accepted are files in the MaxMind DB format, version 2".to_owned()
            }
            PlaceCause::NoDatabase { .. } => "name one in `geo_databases`".to_owned(),
            PlaceCause::NotSelector { accepted, .. } => format!("accepted are {accepted}"),
            PlaceCause::NotDegrees { limit, .. } => format!("accepted are -{limit} to {limit}"),
            PlaceCause::NotTwo { .. } => "accepted are degrees north and east, as `[52.52, 13.4]`".to_owned(),
            PlaceCause::NotLatency { .. } => {
                "accepted are milliseconds, 0 to 60000, as `12` or `0.25`".to_owned()
            }
            PlaceCause::NotHysteresis { .. } => {
                "accepted are `10ms` (0 to 1 min) and `20%` (0% to 99%)".to_owned()
            }
            PlaceCause::NotClient { closest: Some(closest), .. } => format!("did you mean {closest}?"),
            PlaceCause::NotClient { closest: None, .. } => {
                "accepted are regions of the topology and prefixes such as `192.0.2.0/24`".to_owned()
            }
            PlaceCause::LatencyTwice { first_line, .. } => format!("first given on line {first_line}"),
            PlaceCause::NoTable => "name a file of lines `CLIENT REGION MILLISECONDS`".to_owned(),
            PlaceCause::NobodyHasCoordinates { .. } | PlaceCause::MemberWithoutCoordinates { .. } => {
                "give `coordinates` to members or their regions".to_owned()
            }
            PlaceCause::Unreadable { .. }
            | PlaceCause::NotRegularFile { .. }
            | PlaceCause::PrefixOfTwoFiles { .. }
            | PlaceCause::SelectorTwice { .. } => return None,
        })
    }
}

impl From<PlaceCause> for Cause {
    fn from(cause: PlaceCause) -> Cause {
        Cause::Place(Box::new(cause))
    }
}
