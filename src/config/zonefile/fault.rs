//! What can be wrong with a zone file, or suspicious about it, at its place; one variant a cause, and each says what would
//! be accepted.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::super::cause::Found;
use super::super::report::Severity;
use super::types::DataFault;
use crate::wire::name::NameTextError;

/// Most faults of one run; reading ends with as many errors. Whoever has mended these runs the check again.
pub(super) const MAX_FAULTS: usize = 50;

/// One thing that is wrong with a zone file, or suspicious, at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneFault {
    /// The file as shown.
    pub file: Arc<str>,
    /// The line, from 1; 0 where the file as a whole is meant.
    pub line: u32,
    /// The column in characters, from 1; 0 where the line as a whole is meant.
    pub column: u32,
    /// Whether the zone can be served in spite of it.
    pub severity: Severity,
    /// What it is.
    pub cause: ZoneCause,
}

impl fmt::Display for ZoneFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        write!(f, ": {}", self.cause)
    }
}

/// Why a zone file is refused, or what about it is suspicious.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields of a variant are the blanks of the sentence above it")]
pub enum ZoneCause {
    // --- files
    /// The system would not give us the file.
    #[error("the zone file cannot be read: {}", io_text(*.kind, *.os_error))]
    Unreadable { kind: io::ErrorKind, os_error: Option<i32> },
    /// A FIFO, a socket or a device: reading it could wait for ever.
    #[error("the zone file is not a regular file")]
    NotRegularFile,
    /// The same, of a file that is included.
    #[error("the included file {path} cannot be read: {}", io_text(*.kind, *.os_error))]
    IncludeUnreadable { path: Found, kind: io::ErrorKind, os_error: Option<i32> },
    /// The same, of a file that is included.
    #[error("the included file {path} is not a regular file")]
    IncludeNotRegularFile { path: Found },
    /// A file that includes itself, over however many others.
    #[error("{path} is included from itself; each file may include others that do not lead back to it")]
    IncludeCycle { path: Found },
    /// Includes inside of includes.
    #[error("files include each other more than {limit} deep")]
    IncludeDepth { limit: usize },
    /// Includes beside each other.
    #[error("the zone includes files more than {limit} times")]
    TooManyIncludes { limit: usize },
    /// A relative path in a text that is no file.
    #[error("{path} is relative, but this text is no file: give the path from the root")]
    IncludeFromText { path: Found },
    /// More than can be addressed.
    #[error("the zone holds more than 4 GiB of records")]
    TooLarge,

    // --- entries
    /// `(` without `)`.
    #[error("this parenthesis is never closed: a `)` is missing")]
    OpenParenthesis,
    /// `)` without `(`.
    #[error("this parenthesis was never opened: remove the `)`, or write `\\)` where it is meant as text")]
    CloseParenthesis,
    /// `"` without its other half on the line.
    #[error(
        "this quotation mark has no other half on its line: add the `\"`, or write `\\\"` where it is meant as text"
    )]
    OpenQuote,
    /// A control character, or an octet outside ASCII.
    #[error(
        "the octet 0x{octet:02x} is not printable ASCII: write it as `\\{octet:03}`, and international names in their \
         `xn--` form"
    )]
    Octet { octet: u8 },
    /// A backslash that escapes nothing.
    #[error("a backslash must be followed by a character or by three digits up to 255")]
    Escape,
    /// Thousands of lines between two parentheses.
    #[error("this entry has more than {limit_octets} octets")]
    EntryTooLong { limit_octets: usize },
    /// `"$TTL"`, `"IN"`.
    #[error("{text} must be written without quotation marks here")]
    Quoted { text: Found },

    // --- directives
    /// BIND's own extension.
    #[error(
        "`$GENERATE` is not supported: write the records out, or include a file made from it with named-compilezone"
    )]
    Generate,
    /// `$` and a word nobody knows.
    #[error("the directive {text} is not known: accepted are `$ORIGIN`, `$TTL` and `$INCLUDE`")]
    UnknownDirective { text: Found },
    /// Too much or too little behind a directive.
    #[error("`{directive}` takes {accepted}")]
    DirectiveArguments { directive: &'static str, accepted: &'static str },

    // --- the head of a record
    /// An indented line before any name.
    #[error(
        "this record has no owner: the first record of a file must begin with its name, or `@`, in the first column"
    )]
    NoOwner,
    /// An owner and nothing behind it.
    #[error("the record has no type")]
    NoType,
    /// A word where TTL, class or type are expected.
    #[error(
        "{text} is no TTL, class or record type: accepted are `300`, `1h30m`, `IN` and types such as `A` or `TYPE65400`"
    )]
    NotType { text: Found },
    /// A class other than IN.
    #[error("the class {text} is not served: accepted is `IN`")]
    Class { text: Found },
    /// A word that begins like a TTL.
    #[error("{text} is no TTL: accepted are seconds (`300`) and numbers with units (`1h30m`, `1d`, `2w`)")]
    NotTtl { text: Found },
    /// RFC 2181 §8.
    #[error("the TTL {text} is too large: accepted are 0 to 2147483647 seconds")]
    TtlRange { text: Found },
    /// Neither the record nor anything before it.
    #[error("the record has no TTL: give it one, or put `$TTL 3600` before it")]
    NoTtl,
    /// Types that are never stored in a zone.
    #[error("records of the type {text} cannot stand in a zone")]
    MetaType { text: Found },

    // --- data
    /// A domain name.
    #[error("{text} is not a domain name: {error}")]
    NotName { text: Found, error: NameTextError },
    /// What the reader of the type says.
    #[error("the data of this {rtype} record cannot be read: {reason}; accepted is {form}")]
    Data { rtype: Found, reason: Box<str>, form: &'static str },
    /// A type without a reader.
    #[error("{rtype} has no text form here: write the data as `\\# LENGTH HEX` (RFC 3597)")]
    NoTextForm { rtype: Found },
    /// `\#` with something else than a number and hexadecimal digits.
    #[error(
        "this is not generic data: accepted is `\\#`, the number of octets and two hexadecimal digits for each"
    )]
    NotGeneric,
    /// `\# 4 0a00`.
    #[error("the data has {found} octets where `\\# {stated}` says {stated}")]
    GenericLength { stated: u16, found: usize },
    /// `\#` of a type whose data has a form.
    #[error("these octets are no data of a {rtype} record: {fault}")]
    GenericData { rtype: Found, fault: DataFault },
    /// Longer than RDLENGTH can say.
    #[error("the data of a record has at most 65535 octets")]
    DataTooLong,

    // --- the zone
    /// An SOA record below the apex.
    #[error("the SOA record stands at {owner}, but the zone is {apex}")]
    SoaOwner { owner: Found, apex: Found },
    /// Another SOA record.
    #[error("this is a second SOA record: a zone has one, and the first stands at {first}")]
    SecondSoa { first: Found },

    /// What is wrong with the zone as a whole.
    #[error(transparent)]
    Whole(#[from] crate::config::zone::cause::WholeCause),

    // --- warnings
    /// A name of another zone.
    #[error("{owner} is not in the zone {apex}: the record is ignored (is a final dot missing or too many?)")]
    OutOfZone { owner: Found, apex: Found },
    /// RFC 2308 §4.
    #[error(
        "there is no TTL: the SOA record's minimum, {ttl_secs} s, is used; say so with `$TTL {ttl_secs}`"
    )]
    SoaMinimumTtl { ttl_secs: u32 },
    /// Warnings left out.
    #[error("and {count} more warnings")]
    Omitted { count: usize },
}

/// The system's own words where there is a number for them.
fn io_text(kind: io::ErrorKind, os_error: Option<i32>) -> String {
    match os_error {
        Some(number) => io::Error::from_raw_os_error(number).to_string(),
        None => kind.to_string(),
    }
}

/// Collects the faults of one run: errors up to the bound, and warnings as far as it leaves room.
#[derive(Debug, Default)]
pub(in crate::config) struct Faults {
    found: Vec<ZoneFault>,
    errors: usize,
    omitted_warnings: usize,
}

impl Faults {
    /// Takes a fault.
    pub(in crate::config) fn add(&mut self, fault: ZoneFault) {
        match fault.severity {
            Severity::Error => {
                self.errors += 1;
                if self.found.len() == MAX_FAULTS {
                    // Errors are what has to be mended: the last warning gives way.
                    let Some(last) = self.found.iter().rposition(|fault| fault.severity == Severity::Warning)
                    else {
                        return;
                    };
                    self.found.remove(last);
                }
                self.found.push(fault);
            }
            Severity::Warning if self.found.len() < MAX_FAULTS => self.found.push(fault),
            Severity::Warning => self.omitted_warnings += 1,
        }
    }

    /// Whether any of them forbids using the zone.
    pub(in crate::config) fn any_error(&self) -> bool {
        self.errors > 0
    }

    /// Whether another error could not be taken.
    pub(super) fn is_full(&self) -> bool {
        self.errors >= MAX_FAULTS
    }

    /// All that was kept, in the order of reading; a last one says how many warnings are left out of a run without errors.
    pub(in crate::config) fn finish(mut self) -> Vec<ZoneFault> {
        if let Some(last) = self.found.last().filter(|_| self.omitted_warnings > 0 && self.errors == 0) {
            let cause = ZoneCause::Omitted { count: self.omitted_warnings };
            let file = last.file.clone();
            self.found.push(ZoneFault { file, line: 0, column: 0, severity: Severity::Warning, cause });
        }
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: u32, severity: Severity) -> ZoneFault {
        ZoneFault { file: "z".into(), line, column: 3, severity, cause: ZoneCause::NoTtl }
    }

    #[test]
    fn errors_displace_warnings_and_both_are_bounded() {
        let mut faults = Faults::default();
        for line in 1..=60 {
            faults.add(fault(line, Severity::Warning));
        }
        faults.add(fault(61, Severity::Error));
        let found = faults.finish();
        assert_eq!(found.len(), MAX_FAULTS);
        assert_eq!(found.last().unwrap().severity, Severity::Error);
    }

    #[test]
    fn warnings_left_out_are_counted() {
        let mut faults = Faults::default();
        for line in 1..=60 {
            faults.add(fault(line, Severity::Warning));
        }
        let found = faults.finish();
        assert_eq!(found.len(), MAX_FAULTS + 1);
        assert_eq!(found.last().unwrap().to_string(), "z: and 10 more warnings");
        assert_eq!(found[0].to_string().split(": ").next(), Some("z:1:3"));
    }
}
