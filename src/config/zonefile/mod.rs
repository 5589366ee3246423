//! Zone files (RFC 1035 §5, RFC 2308 §4, RFC 3597) to records in wire form, each with its place; every mistake in one run.
//!
//! The way of a file: octets to entries (`entries`), entries to words with a meaning (`reader`), data to wire form by
//! the `domain` crate (`scanner`) or, for the types it does not read, from a table of fields (`text`, `types`), and into an
//! arena (`raw`). Usual lines take a shorter way (`line`) that may only say the same, or nothing.
//!
//! What the records mean together, such as a CNAME beside other data or a missing SOA, is not judged here.

/// Text to entries with their places.
mod entries;
/// What is wrong, and where.
mod fault;
/// Usual lines, fast.
mod line;
/// LOC.
mod location;
/// APL.
mod prefixes;
/// The records, packed.
mod raw;
/// The head and the data of one record.
mod record;
/// Files to records: directives, owners, TTLs, includes.
mod reader;
/// The `domain` crate, a record at a time.
mod scanner;
/// Text forms that crate does not know.
mod text;
/// What the data of each type consists of.
mod types;
/// TTLs in text.
mod units;

use std::path::{Path, PathBuf};

pub(super) use fault::Faults;
pub use fault::{ZoneCause, ZoneFault};
pub(super) use raw::RawRecord;
pub(super) use raw::RawZone;
pub(super) use text::shown_type;
pub use types::DataFault;
pub(super) use types::{canonical_rdata, names_in};

/// A zone that cannot be used.
#[derive(Clone, Debug)]
pub(super) struct Unread {
    /// Everything that was found, errors and warnings.
    pub(super) faults: Vec<ZoneFault>,
    /// Every file that was opened or should have been.
    pub(super) files: Vec<PathBuf>,
}

/// Reads the zone file of `apex`, a name in wire form and lower case, and all that it includes. Relative paths of
/// `$INCLUDE` are relative to the file that includes.
///
/// # Errors
/// [`Unread`] when anything found is an error.
pub(super) fn read(path: &Path, apex: &[u8]) -> Result<RawZone, Unread> {
    reader::read(path, apex)
}

/// Reads a zone from text that is no file; `name` stands for one in diagnostics, and relative paths of `$INCLUDE` are
/// relative to `directory`.
///
/// # Errors
/// [`Unread`] when anything found is an error.
#[cfg(test)]
pub(super) fn read_text(
    name: &str,
    text: &[u8],
    directory: Option<&Path>,
    apex: &[u8],
) -> Result<RawZone, Unread> {
    reader::read_text(name, text, directory, apex, reader::Pace::Fast)
}

/// The fast way held against the general one.
#[cfg(any(test, fuzzing))]
mod agreement;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use agreement::zone_agrees;
#[cfg(test)]
mod tests;
