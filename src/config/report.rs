//! What was found wrong with a configuration, and where: diagnostics with file, line and column, in the order of the files.
//!
//! All findings of one run are collected before anything is shown. Nothing here reads a file or knows a key's meaning; how
//! a source line is drawn is `render`'s.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::cause::Cause;
use super::render::{Excerpt, write_diagnostic};

/// Errors kept of one run; a file of a million broken lines must not cost a gigabyte of diagnostics.
const MAX_KEPT_ERRORS: usize = 10_000;
/// Warnings kept of one run.
const MAX_KEPT_WARNINGS: usize = 1_000;
/// Errors shown; whoever has mended these runs the check again.
const MAX_SHOWN_ERRORS: usize = 100;
/// Warnings shown, and handed to whoever loads.
const MAX_SHOWN_WARNINGS: usize = 50;

/// A place in a file. Lines and columns count from 1; columns and the length count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Line.
    pub line: u32,
    /// Column of the first character.
    pub column: u32,
    /// Number of characters; at least 1 is underlined, and none beyond the line's end.
    pub len: u32,
}

/// Whether a configuration can be used in spite of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can.
    Warning,
}

/// One thing that is wrong, and where. `Display` draws it over several lines, the source line included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// The file as it was named.
    pub file: Arc<str>,
    /// The place, where it has one.
    pub span: Option<Span>,
    /// What is wrong.
    pub cause: Cause,
    /// The source line, cut to a window around the place.
    pub(super) excerpt: Option<Excerpt>,
}

impl Diagnostic {
    /// The same on one line, for logs: `lb.yaml:3:15: pool `wiki` is not defined (known pools are `myapp`)`.
    pub fn brief(&self) -> impl fmt::Display {
        fmt::from_fn(|f| {
            f.write_str(&self.file)?;
            if let Some(span) = self.span {
                write!(f, ":{}:{}", span.line, span.column)?;
            }
            write!(f, ": {}", self.cause)?;
            match self.cause.help() {
                Some(help) => write!(f, " ({help})"),
                None => Ok(()),
            }
        })
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_diagnostic(self, f)
    }
}

/// Everything that was found in one run that failed: at least one error; warnings stand between them, by place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    diagnostics: Vec<Diagnostic>,
    omitted_errors: usize,
    omitted_warnings: usize,
    files: Vec<PathBuf>,
}

impl Report {
    /// Every file that was read or tried, the main file first: a change of any of them, or its appearance, may mend what is
    /// wrong. Empty for a text that is no file.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The same report, of a run over these files.
    pub(super) fn of_files(self, files: Vec<PathBuf>) -> Report {
        Report { files, ..self }
    }

    /// The diagnostics shown, by file and place.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Number of errors, those not shown included.
    pub fn error_count(&self) -> usize {
        self.omitted_errors + self.count(Severity::Error)
    }

    /// Number of warnings, those not shown included.
    pub fn warning_count(&self) -> usize {
        self.omitted_warnings + self.count(Severity::Warning)
    }

    /// The warnings of a run without errors; a last one says how many are left out.
    pub(super) fn into_warnings(self) -> Vec<Diagnostic> {
        let Report { mut diagnostics, omitted_warnings: count, .. } = self;
        if let Some(last) = diagnostics.last().filter(|_| count > 0) {
            let (file, cause) = (last.file.clone(), Cause::Omitted { count });
            diagnostics.push(Diagnostic {
                severity: Severity::Warning,
                file,
                span: None,
                cause,
                excerpt: None,
            });
        }
        diagnostics
    }

    fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|d| d.severity == severity).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            writeln!(f, "{diagnostic}")?;
        }
        for (count, what) in [(self.omitted_errors, "errors"), (self.omitted_warnings, "warnings")] {
            if count > 0 {
                writeln!(f, "\nand {count} more {what}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

/// Which file of a run: the main file is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(pub(super) usize);

/// A finding before its source line is attached.
#[derive(Debug)]
struct Finding {
    file: FileId,
    span: Option<Span>,
    severity: Severity,
    cause: Cause,
}

/// Collects the findings of one run, up to a bound; beyond it they are counted.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
    errors: usize,
    warnings: usize,
}

impl Findings {
    /// Adds an error.
    pub(super) fn error(&mut self, file: FileId, span: impl Into<Option<Span>>, cause: Cause) {
        self.errors += 1;
        if self.errors <= MAX_KEPT_ERRORS {
            self.found.push(Finding { file, span: span.into(), severity: Severity::Error, cause });
        }
    }

    /// Adds a warning.
    pub(super) fn warning(&mut self, file: FileId, span: impl Into<Option<Span>>, cause: Cause) {
        self.warnings += 1;
        if self.warnings <= MAX_KEPT_WARNINGS {
            self.found.push(Finding { file, span: span.into(), severity: Severity::Warning, cause });
        }
    }

    /// Takes back the keys just reported as missing: where YAML breaks, the parser first ends what was open, and what
    /// would have followed was never read.
    pub(super) fn forget_last_missing(&mut self) {
        while self.found.pop_if(|last| matches!(last.cause, Cause::MissingKey { .. })).is_some() {
            self.errors -= 1;
        }
    }

    /// True when nothing found so far forbids using the configuration.
    pub(super) fn no_errors(&self) -> bool {
        self.errors == 0
    }

    /// Everything found, in order and with source lines. `files` are name and text, by [`FileId`].
    pub(super) fn finish(mut self, files: &[(Arc<str>, &str)]) -> Report {
        self.found.sort_by_key(|finding| (finding.file, finding.span));
        // An alias replays its anchor's lines: what is wrong there is wrong once.
        self.found.dedup_by(|a, b| (a.file, a.span, &a.cause) == (b.file, b.span, &b.cause));
        let mut unshown_errors = self.errors.saturating_sub(MAX_KEPT_ERRORS);
        let mut unshown_warnings = self.warnings.saturating_sub(MAX_KEPT_WARNINGS);
        let (mut errors, mut warnings) = (0, 0);
        self.found.retain(|finding| {
            let (shown, unshown, limit) = match finding.severity {
                Severity::Error => (&mut errors, &mut unshown_errors, MAX_SHOWN_ERRORS),
                Severity::Warning => (&mut warnings, &mut unshown_warnings, MAX_SHOWN_WARNINGS),
            };
            let keep = *shown < limit;
            *if keep { shown } else { unshown } += 1;
            keep
        });
        let diagnostics = attach_excerpts(self.found, files);
        Report {
            diagnostics,
            omitted_errors: unshown_errors,
            omitted_warnings: unshown_warnings,
            files: Vec::new(),
        }
    }
}

/// Finds the source line of each finding in one walk over each file.
fn attach_excerpts(found: Vec<Finding>, files: &[(Arc<str>, &str)]) -> Vec<Diagnostic> {
    let mut lines = None;
    found
        .into_iter()
        .map(|Finding { file, mut span, severity, cause }| {
            let (name, text) = &files[file.0];
            let excerpt = span.as_mut().map(|span| {
                let (walked, walk) = lines.get_or_insert_with(|| (file, LineWalk::new(text)));
                if *walked != file {
                    (*walked, *walk) = (file, LineWalk::new(text));
                }
                let (number, line) = walk.line(span.line);
                if number != span.line {
                    // The parser may say that something is missing on a line behind the last: that is the end of the last.
                    *span = Span { line: number, column: line.chars().count() as u32 + 1, len: 1 };
                }
                Excerpt::new(line, *span)
            });
            Diagnostic { severity, file: name.clone(), span, cause, excerpt }
        })
        .collect()
}

/// Walks over the lines of a text; asked for ascending line numbers only, so the whole walk is one pass.
struct LineWalk<'t> {
    rest: &'t str,
    /// Number of the line `rest` begins with.
    number: u32,
}

impl<'t> LineWalk<'t> {
    fn new(text: &'t str) -> LineWalk<'t> {
        LineWalk { rest: text, number: 1 }
    }

    /// The line, or the last one, without its break, and its number; line breaks are those of YAML 1.2 §5.4.
    fn line(&mut self, wanted: u32) -> (u32, &'t str) {
        let end = |rest: &str| memchr::memchr2(b'\n', b'\r', rest.as_bytes());
        while self.number < wanted
            && let Some(at) = end(self.rest)
        {
            let behind = at + if self.rest[at..].starts_with("\r\n") { 2 } else { 1 };
            self.rest = &self.rest[behind..];
            self.number += 1;
        }
        (self.number, &self.rest[..end(self.rest).unwrap_or(self.rest.len())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(line: u32, column: u32, len: u32) -> Option<Span> {
        Some(Span { line, column, len })
    }

    #[test]
    fn findings_are_sorted_by_place_and_equal_ones_shown_once() {
        let mut findings = Findings::default();
        findings.error(FileId(1), span(1, 1, 1), Cause::Empty);
        findings.error(FileId(0), span(3, 1, 1), Cause::Tag);
        findings.warning(FileId(0), span(2, 1, 1), Cause::TwrrWithoutTopology);
        findings.error(FileId(0), span(3, 1, 1), Cause::Tag);
        let report = findings.finish(&[("a".into(), "x\ny\nz"), ("b".into(), "q")]);
        let places: Vec<_> = report.diagnostics().iter().map(|d| d.brief().to_string()).collect();
        assert_eq!(
            places,
            [
                "a:2:1: `twrr` without any topology is the same as `wrr` (give `topology` or `topology_file`, or use `wrr`)",
                "a:3:1: tags are not supported (remove the `!…`: what a value is depends on its key)",
                "b:1:1: the file has no content",
            ]
        );
        assert_eq!((report.error_count(), report.warning_count()), (2, 1));
    }

    #[test]
    fn a_flood_of_errors_is_bounded_and_counted() {
        let mut findings = Findings::default();
        for line in 1..=50_000 {
            findings.error(FileId(0), span(line, 1, 1), Cause::Tag);
            findings.warning(FileId(0), span(line, 1, 1), Cause::TopologyReplaced);
        }
        let report = findings.finish(&[("a".into(), &"\n".repeat(50_000))]);
        assert_eq!(report.diagnostics().len(), MAX_SHOWN_ERRORS + MAX_SHOWN_WARNINGS);
        assert_eq!((report.error_count(), report.warning_count()), (50_000, 50_000));
        assert!(report.to_string().contains("and 49900 more errors"));
    }

    #[test]
    fn warnings_left_out_are_counted_in_a_last_one() {
        let mut findings = Findings::default();
        for line in 1..=60 {
            findings.warning(FileId(0), span(line, 1, 1), Cause::TwrrWithoutTopology);
        }
        let warnings = findings.finish(&[("a".into(), &"\n".repeat(50_000))]).into_warnings();
        assert_eq!(warnings.len(), MAX_SHOWN_WARNINGS + 1);
        assert_eq!(warnings[MAX_SHOWN_WARNINGS].cause, Cause::Omitted { count: 10 });
    }

    #[test]
    fn every_yaml_line_break_counts() {
        let mut walk = LineWalk::new("a\nb\r\nc\rd");
        let lines = [1, 2, 3, 4, 9].map(|wanted| walk.line(wanted));
        assert_eq!(lines, [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (4, "d")]);
    }
}
