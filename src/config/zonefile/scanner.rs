//! One record at a time through the reader of the `domain` crate: the words of an entry on one line, without comments and
//! parentheses, and what it makes of them.
//!
//! It is told a type and data; owners, TTLs and directives are not its business. It names no places; the word it stopped
//! at is found out from its own.

use std::fmt::Write as _;

use bytes::Bytes;
use domain::base::iana::Class;
use domain::base::name::Name as DomainName;
use domain::base::rdata::ComposeRecordData;
use domain::zonefile::inplace::{Entry, Error, Zonefile};

use super::text::Word;
use crate::wire::message::Rtype;
use crate::wire::name::{Name, fmt_wire};

/// Octets of the buffer that `domain` reads from; it takes a new one when this is used up.
const BUFFER_OCTETS: usize = 64 << 10;
/// Why a record was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScanFault {
    /// Number of the word; `None` where there are no words.
    pub(super) word: Option<usize>,
    /// What `domain` says.
    pub(super) reason: String,
}

/// What is written in the place of a word that `domain` does not read as it is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Substitute {
    /// A number.
    Number(u32),
    /// The origin: `domain` knows `@` as an owner, and takes it for a label elsewhere (RFC 1035 §5.1).
    Origin,
}

/// The reader of `domain`, with an origin.
pub(super) struct Scanner {
    zonefile: Zonefile,
    origin: DomainName<Bytes>,
    /// Lines given to `zonefile`.
    lines: usize,
    line: Vec<u8>,
    /// Where each word of the data begins in `line`.
    begins: Vec<usize>,
}

impl Scanner {
    /// A reader with this origin.
    pub(super) fn new(origin: &Name) -> Scanner {
        let origin = to_domain(origin);
        let zonefile = fresh(&origin);
        Scanner { zonefile, origin, lines: 0, line: Vec::new(), begins: Vec::new() }
    }

    /// Changes the origin.
    pub(super) fn set_origin(&mut self, origin: &Name) {
        self.origin = to_domain(origin);
        self.zonefile.set_origin(self.origin.clone());
    }

    /// Reads the data of a record; appends it to `into` in wire form. `substitutes` replace words.
    pub(super) fn data(
        &mut self,
        rtype: Rtype,
        words: &[Word<'_>],
        substitutes: &[(usize, Substitute)],
        into: &mut Vec<u8>,
    ) -> Result<(), ScanFault> {
        self.line.clear();
        self.begins.clear();
        // Cannot fail: the text is a vector's.
        let _ = write!(Text(&mut self.line), "@ IN TYPE{}", rtype.0);
        for (index, word) in words.iter().enumerate() {
            if !word.glued || index == 0 {
                self.line.push(b' ');
            }
            self.begins.push(self.line.len());
            match substitutes.iter().find(|(number, _)| *number == index) {
                Some((_, Substitute::Number(value))) => {
                    let _ = write!(Text(&mut self.line), "{value}");
                }
                Some((_, Substitute::Origin)) => {
                    let origin = std::fmt::from_fn(|f| fmt_wire(self.origin.as_slice(), f));
                    let _ = write!(Text(&mut self.line), "{origin}");
                }
                None => self.word(word),
            }
        }
        self.run(into)
    }

    fn word(&mut self, word: &Word<'_>) {
        if !word.quoted {
            return self.line.extend_from_slice(word.octets);
        }
        self.line.push(b'"');
        for octet in word.octets {
            match octet {
                // Tabs stand for themselves between quotation marks, but not for `domain`.
                b'\t' => self.line.extend_from_slice(b"\\009"),
                octet => self.line.push(*octet),
            }
        }
        self.line.push(b'"');
    }

    /// Gives the line to `domain`.
    fn run(&mut self, into: &mut Vec<u8>) -> Result<(), ScanFault> {
        self.line.push(b'\n');
        self.zonefile.extend_from_slice(&self.line);
        self.lines += 1;
        let fault = match self.zonefile.next_entry() {
            Ok(Some(Entry::Record(record))) => {
                // Cannot fail: a vector takes what comes.
                let _ = record.data().compose_rdata(into);
                return Ok(());
            }
            Ok(_) => ScanFault { word: None, reason: "it is no record".to_owned() },
            Err(error) => self.explain(&error),
        };
        // What is left after a fault is not defined.
        (self.zonefile, self.lines) = (fresh(&self.origin), 0);
        Err(fault)
    }

    /// Takes "LINE:COLUMN: reason" apart. The column is that behind what was read last, perhaps of the line behind.
    fn explain(&self, error: &Error) -> ScanFault {
        let text = error.to_string();
        let mut parts = text.splitn(3, ':');
        let mut number = || parts.next()?.trim().parse::<usize>().ok();
        let (line, column) = (number(), number());
        let reason = parts.next().unwrap_or(&text).trim().to_owned();
        let word = match (line, column) {
            (Some(line), Some(column)) if line == self.lines => {
                // A word too many is told before it is read.
                let read = usize::from(reason != "trailing tokens");
                self.begins.iter().rposition(|begin| begin + read < column)
            }
            _ => self.begins.len().checked_sub(1),
        };
        ScanFault { word, reason }
    }
}

/// A vector that text can be written to.
struct Text<'t>(&'t mut Vec<u8>);

impl std::fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn fresh(origin: &DomainName<Bytes>) -> Zonefile {
    let mut zonefile = Zonefile::with_capacity(BUFFER_OCTETS);
    zonefile.set_origin(origin.clone());
    zonefile.set_default_class(Class::IN);
    zonefile
}

fn to_domain(name: &Name) -> DomainName<Bytes> {
    // Both have the same rules, so the root never stands in for anything.
    DomainName::from_octets(Bytes::copy_from_slice(name.as_wire())).unwrap_or_else(|_| DomainName::root())
}
