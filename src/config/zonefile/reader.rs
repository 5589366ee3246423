//! Entries to records: directives, owners, TTLs and classes, includes, and what can be said of a record by itself.
//!
//! Reading goes on behind a faulty entry, with the origin, owner and TTL there were, until there are as many errors as are
//! kept. Opens regular files only, and so never waits for a writer.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::cause::Found;
use super::super::report::Severity;
use super::Unread;
use super::entries::{Entry, Splitter, Token};
use super::fault::{Faults, ZoneCause, ZoneFault};
use super::line::{self, Plain};
use super::raw::{RawRecord, RawZone};
use super::record::{Place, Placed, found, read_data, read_head, read_ttl};
use super::scanner::Scanner;
use super::text::{read_name, unescape};
use super::units::MAX_TTL_SECS;
use crate::wire::message::Rtype;
use crate::wire::name::{Name, fmt_wire, suffixes};

/// Deepest includes.
const MAX_INCLUDE_DEPTH: usize = 10;
/// Most includes of a zone. Ten levels of files that each include a few others would otherwise never end.
const MAX_INCLUDES: usize = 10_000;

/// How lines are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Usual lines the fast way.
    Fast,
    /// All of them the general way, for comparison.
    #[cfg(any(test, fuzzing))]
    General,
}

/// Reads a zone from its file.
pub(super) fn read(path: &Path, apex: &[u8]) -> Result<RawZone, Unread> {
    let mut reader = Reader::new(apex, Pace::Fast);
    let name = path.display().to_string();
    let file = reader.zone.add_file(path.to_path_buf(), &name).unwrap_or_default();
    match open(path) {
        Ok((input, id)) => {
            reader.open.push(id);
            reader.file(input, file, path.parent());
        }
        Err(Closed::Io(error)) => reader.unreadable(file, &error),
        Err(Closed::NotRegular) => {
            reader.fault(file, (0, 0), Severity::Error, ZoneCause::NotRegularFile);
        }
    }
    reader.finish()
}

/// Reads a zone from text that is no file.
#[cfg(any(test, fuzzing))]
pub(super) fn read_text(
    name: &str,
    text: &[u8],
    directory: Option<&Path>,
    apex: &[u8],
    pace: Pace,
) -> Result<RawZone, Unread> {
    let mut reader = Reader::new(apex, pace);
    let file = reader.zone.add_file(PathBuf::from(name), name).unwrap_or_default();
    // No file has this number.
    reader.open.push((u64::MAX, u64::MAX));
    reader.file(text, file, directory);
    reader.finish()
}

/// Why a file cannot be read.
enum Closed {
    Io(io::Error),
    NotRegular,
}

/// Opens a file, and tells which one it is, however it is called.
fn open(path: &Path) -> Result<(File, (u64, u64)), Closed> {
    // Opening a FIFO waits for a writer; a directory has words of the system's own.
    let kind = std::fs::metadata(path).map_err(Closed::Io)?;
    if !kind.is_file() && !kind.is_dir() {
        return Err(Closed::NotRegular);
    }
    let file = File::open(path).map_err(Closed::Io)?;
    Ok((file, (kind.dev(), kind.ino())))
}

/// Whose the next record is if it names no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// No record has named one.
    None,
    /// The one named was none, which has been told.
    Faulty,
    /// A name of another zone.
    Outside,
    /// A name of this zone: its labels below the apex are the first octets of `Reader::owner_wire`.
    Inside(usize),
}

/// What has been read so far, and what the next entry depends on.
struct Reader<'a> {
    apex: &'a [u8],
    zone: RawZone,
    faults: Faults,
    origin: Name,
    scanner: Scanner,
    owner: Owner,
    /// The owner's wire form in lower case.
    owner_wire: Vec<u8>,
    /// `$TTL`, or the SOA record's minimum.
    default_ttl_secs: Option<u32>,
    /// The last TTL that a record gave.
    last_ttl_secs: Option<u32>,
    /// Where the SOA record stands.
    soa: Option<Found>,
    /// The files that are open, each inside the one before.
    open: Vec<(u64, u64)>,
    includes: usize,
    pace: Pace,
    /// Data of the record being read.
    rdata: Vec<u8>,
    /// Owner of a line that is perhaps a usual one.
    line_owner: Vec<u8>,
    /// Nothing more is to be read.
    stopped: bool,
}

impl<'a> Reader<'a> {
    fn new(apex: &'a [u8], pace: Pace) -> Reader<'a> {
        // Names of zones were checked when the configuration was read.
        let origin = Name::from_wire(apex).unwrap_or(Name::ROOT);
        Reader {
            apex,
            zone: RawZone::default(),
            faults: Faults::default(),
            origin,
            scanner: Scanner::new(&origin),
            owner: Owner::None,
            owner_wire: Vec::new(),
            default_ttl_secs: None,
            last_ttl_secs: None,
            soa: None,
            open: Vec::new(),
            includes: 0,
            pace,
            rdata: Vec::new(),
            line_owner: Vec::new(),
            stopped: false,
        }
    }

    fn finish(mut self) -> Result<RawZone, Unread> {
        if self.faults.any_error() {
            return Err(Unread { faults: self.faults.finish(), files: self.zone.files });
        }
        self.zone.warnings = self.faults.finish();
        self.zone.shrink();
        Ok(self.zone)
    }

    fn fault(&mut self, file: u16, (line, column): Place, severity: Severity, cause: ZoneCause) {
        let file = self.zone.names()[usize::from(file)].clone();
        self.faults.add(ZoneFault { file, line, column, severity, cause });
        self.stopped |= self.faults.is_full();
    }

    fn unreadable(&mut self, file: u16, error: &io::Error) {
        let cause = ZoneCause::Unreadable { kind: error.kind(), os_error: error.raw_os_error() };
        self.fault(file, (0, 0), Severity::Error, cause);
    }

    /// Reads a file to its end. `directory` is where it lies.
    fn file(&mut self, input: impl Read, file: u16, directory: Option<&Path>) {
        let mut splitter = Splitter::new(input);
        while !self.stopped {
            match self.step(&mut splitter, file, directory) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return self.unreadable(file, &error),
            }
        }
    }

    /// Reads a line or an entry; false at the end.
    fn step<R: Read>(
        &mut self,
        splitter: &mut Splitter<R>,
        file: u16,
        directory: Option<&Path>,
    ) -> io::Result<bool> {
        if self.pace == Pace::Fast
            && let Some((line, number)) = splitter.line()?
            && let Some(plain) = self.plain(line)
        {
            let octets = line.len();
            splitter.take(octets);
            let begin = (number, plain.column);
            self.last_ttl_secs = plain.ttl_secs.or(self.last_ttl_secs);
            let rdata = std::mem::take(&mut self.rdata);
            let kept = self.keep(file, number, begin, plain.rtype, plain.ttl_secs, &rdata);
            self.rdata = rdata;
            if let Err((place, cause)) = kept {
                self.fault(file, place, Severity::Error, cause);
            }
            return Ok(true);
        }
        let Some(entry) = splitter.entry()? else { return Ok(false) };
        if let Err((place, cause)) = self.entry(&entry, file, directory) {
            self.fault(file, place, Severity::Error, cause);
        }
        Ok(true)
    }

    /// Reads a usual line: its owner is the current one, its data is in `rdata`.
    fn plain(&mut self, line: &[u8]) -> Option<Plain> {
        let plain = line::read(line, self.origin.as_wire(), &mut self.line_owner, &mut self.rdata)?;
        if plain.has_owner {
            std::mem::swap(&mut self.owner_wire, &mut self.line_owner);
            self.place_owner();
        } else if self.owner == Owner::None {
            return None;
        }
        Some(plain)
    }

    /// Reads a directive or a record.
    fn entry(&mut self, entry: &Entry<'_>, file: u16, directory: Option<&Path>) -> Result<(), Placed> {
        let first = entry.tokens().first().filter(|_| !entry.indented);
        if let Some((at, cause)) = entry.fault {
            self.keep_owner(entry, first);
            return Err((entry.place_at(at), cause.clone()));
        }
        match first {
            Some(token) if !token.quoted && entry.octets(*token).first() == Some(&b'$') => {
                self.directive(entry, *token, directory)
            }
            _ => self.record(entry, first, file).inspect_err(|_| self.keep_owner(entry, first)),
        }
    }

    /// After a faulty record: its owner is that of indented records behind it, if it can be read.
    fn keep_owner(&mut self, entry: &Entry<'_>, first: Option<&Token>) {
        let name = first.map(|token| read_name(entry.octets(*token), &self.origin));
        match name {
            Some(Ok(name)) => self.set_owner(&name),
            Some(Err(_)) => self.owner = Owner::Faulty,
            // That there is none is told once.
            None if self.owner == Owner::None => self.owner = Owner::Faulty,
            None => {}
        }
    }

    fn set_owner(&mut self, name: &Name) {
        self.owner_wire.clear();
        self.owner_wire.extend_from_slice(name.as_wire());
        self.place_owner();
    }

    /// Finds out where the owner stands.
    fn place_owner(&mut self) {
        // Length octets are at most 63 and so never look like letters.
        self.owner_wire.make_ascii_lowercase();
        let below = self.owner_wire.len().checked_sub(self.apex.len());
        let at_apex = |below: &usize| {
            self.owner_wire[*below..] == *self.apex
                && suffixes(&self.owner_wire).any(|suffix| suffix.len() == self.apex.len())
        };
        self.owner = below.filter(at_apex).map_or(Owner::Outside, Owner::Inside);
    }

    /// Reads a record.
    fn record(&mut self, entry: &Entry<'_>, first: Option<&Token>, file: u16) -> Result<(), Placed> {
        let begin = entry.place(entry.tokens()[0]);
        if let Some(&token) = first {
            if token.quoted {
                return Err((begin, ZoneCause::Quoted { text: found(entry, token) }));
            }
            let name = read_name(entry.octets(token), &self.origin);
            let name =
                name.map_err(|error| (begin, ZoneCause::NotName { text: found(entry, token), error }))?;
            self.set_owner(&name);
        } else if self.owner == Owner::None {
            return Err((begin, ZoneCause::NoOwner));
        }
        let head = read_head(entry, usize::from(first.is_some()))?;
        // Whatever else is wrong: a TTL that was given holds for the records behind.
        self.last_ttl_secs = head.ttl_secs.or(self.last_ttl_secs);
        let mut rdata = std::mem::take(&mut self.rdata);
        let read = read_data(entry, head, &self.origin, &mut self.scanner, &mut rdata);
        let kept = read.and_then(|()| self.keep(file, entry.line, begin, head.rtype, head.ttl_secs, &rdata));
        self.rdata = rdata;
        kept
    }

    /// Takes a record of the current owner.
    fn keep(
        &mut self,
        file: u16,
        line: u32,
        begin: Place,
        rtype: Rtype,
        ttl_secs: Option<u32>,
        rdata: &[u8],
    ) -> Result<(), Placed> {
        if rtype == Rtype::SOA {
            self.check_soa(file, line).map_err(|cause| (begin, cause))?;
        }
        let ttl_secs = match ttl_secs.or(self.default_ttl_secs).or(self.last_ttl_secs) {
            Some(ttl_secs) => ttl_secs,
            None => self.missing_ttl(file, begin, rtype, rdata)?,
        };
        let below = match self.owner {
            Owner::Inside(below) => below,
            Owner::Outside => {
                let cause = ZoneCause::OutOfZone { owner: shown(&self.owner_wire), apex: shown(self.apex) };
                self.fault(file, begin, Severity::Warning, cause);
                return Ok(());
            }
            Owner::None | Owner::Faulty => return Ok(()),
        };
        let record = RawRecord { owner: &self.owner_wire[..below], rtype, ttl_secs, rdata, file, line };
        self.zone.push(&record).map_err(|_| {
            self.stopped = true;
            (begin, ZoneCause::TooLarge)
        })
    }

    /// RFC 1035 §5.2: one SOA record, at the apex.
    fn check_soa(&mut self, file: u16, line: u32) -> Result<(), ZoneCause> {
        if matches!(self.owner, Owner::Outside | Owner::Inside(1..)) {
            return Err(ZoneCause::SoaOwner { owner: shown(&self.owner_wire), apex: shown(self.apex) });
        }
        if let Some(first) = &self.soa {
            return Err(ZoneCause::SecondSoa { first: first.clone() });
        }
        let name = &self.zone.names()[usize::from(file)];
        self.soa = Some(Found::new(&format!("{name}:{line}")));
        Ok(())
    }

    /// The TTL of a record before which none was given: an SOA record has one for negative answers (RFC 2308 §4).
    fn missing_ttl(&mut self, file: u16, begin: Place, rtype: Rtype, rdata: &[u8]) -> Result<u32, Placed> {
        let minimum = rdata.last_chunk().filter(|_| rtype == Rtype::SOA);
        let Some(minimum) = minimum else {
            // Told once, not of each record behind.
            self.default_ttl_secs = Some(0);
            return Err((begin, ZoneCause::NoTtl));
        };
        let ttl_secs = u32::from_be_bytes(*minimum).min(MAX_TTL_SECS);
        self.default_ttl_secs = Some(ttl_secs);
        self.fault(file, begin, Severity::Warning, ZoneCause::SoaMinimumTtl { ttl_secs });
        Ok(ttl_secs)
    }

    /// Follows `$ORIGIN`, `$TTL` or `$INCLUDE`.
    fn directive(&mut self, entry: &Entry<'_>, token: Token, directory: Option<&Path>) -> Result<(), Placed> {
        let place = entry.place(token);
        let word = entry.octets(token);
        let arguments = &entry.tokens()[1..];
        let misused =
            |directive, accepted| Err((place, ZoneCause::DirectiveArguments { directive, accepted }));
        if word.eq_ignore_ascii_case(b"$ORIGIN") {
            let [argument] = arguments else { return misused("$ORIGIN", "one domain name") };
            self.origin = self.name(entry, *argument)?;
            self.scanner.set_origin(&self.origin);
            Ok(())
        } else if word.eq_ignore_ascii_case(b"$TTL") {
            let [argument] = arguments else {
                return misused("$TTL", "one number of seconds, or with units");
            };
            let ttl_secs = read_ttl(entry.octets(*argument));
            self.default_ttl_secs = Some(ttl_secs.as_ref().map_or(0, |secs| *secs));
            ttl_secs.map(drop).map_err(|cause| (entry.place(*argument), cause))
        } else if word.eq_ignore_ascii_case(b"$INCLUDE") {
            let [path, origin @ ..] = arguments else { return misused("$INCLUDE", INCLUDE_ARGUMENTS) };
            let origin = match origin {
                [] => self.origin,
                [origin] => self.name(entry, *origin)?,
                _ => return misused("$INCLUDE", INCLUDE_ARGUMENTS),
            };
            self.include(entry, *path, origin, directory)
        } else if word.eq_ignore_ascii_case(b"$GENERATE") {
            Err((place, ZoneCause::Generate))
        } else {
            Err((place, ZoneCause::UnknownDirective { text: found(entry, token) }))
        }
    }

    /// A name behind a directive.
    fn name(&self, entry: &Entry<'_>, token: Token) -> Result<Name, Placed> {
        let name = read_name(entry.octets(token), &self.origin);
        name.map_err(|error| (entry.place(token), ZoneCause::NotName { text: found(entry, token), error }))
    }

    /// Reads another file in the place of the directive. Origin and owner are afterwards what they were (RFC 1035 §5.1);
    /// TTLs that were given hold on.
    fn include(
        &mut self,
        entry: &Entry<'_>,
        token: Token,
        origin: Name,
        directory: Option<&Path>,
    ) -> Result<(), Placed> {
        let place = entry.place(token);
        let shown = found(entry, token);
        let octets = unescape(entry.octets(token)).ok_or((place, ZoneCause::Escape))?;
        let mut path = PathBuf::from(OsStr::from_bytes(&octets));
        if path.is_relative() {
            let Some(directory) = directory else {
                return Err((place, ZoneCause::IncludeFromText { path: shown }));
            };
            path = directory.join(path);
        }
        if self.open.len() > MAX_INCLUDE_DEPTH {
            return Err((place, ZoneCause::IncludeDepth { limit: MAX_INCLUDE_DEPTH }));
        }
        self.includes += 1;
        let name = path.display().to_string();
        let number = self.zone.add_file(path.clone(), &name).filter(|_| self.includes <= MAX_INCLUDES);
        let Some(number) = number else {
            self.stopped = true;
            return Err((place, ZoneCause::TooManyIncludes { limit: MAX_INCLUDES }));
        };
        let path_shown = Found::new(&name);
        let (input, id) = open(&path).map_err(|closed| match closed {
            Closed::Io(error) => {
                let (kind, os_error) = (error.kind(), error.raw_os_error());
                (place, ZoneCause::IncludeUnreadable { path: path_shown.clone(), kind, os_error })
            }
            Closed::NotRegular => (place, ZoneCause::IncludeNotRegularFile { path: path_shown.clone() }),
        })?;
        if self.open.contains(&id) {
            return Err((place, ZoneCause::IncludeCycle { path: path_shown }));
        }
        let kept = (self.origin, self.owner, std::mem::take(&mut self.owner_wire));
        (self.origin, self.owner) = (origin, Owner::None);
        self.scanner.set_origin(&self.origin);
        self.open.push(id);
        self.file(input, number, path.parent());
        self.open.pop();
        (self.origin, self.owner, self.owner_wire) = kept;
        self.scanner.set_origin(&self.origin);
        Ok(())
    }
}

/// What stands behind `$INCLUDE`.
const INCLUDE_ARGUMENTS: &str = "a path, quoted where it has spaces, and perhaps an origin";

/// A name in wire form, for a message.
fn shown(wire: &[u8]) -> Found {
    Found::new(&std::fmt::from_fn(|f| fmt_wire(wire, f)).to_string())
}
