//! Monitors that ask this machine: `exec`, `file` and `push`, from parameters to probes.
//!
//! Looks whether a program is there, since that is worth a warning before it is run; runs none and reads no file.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::cause::{Cause, Found};
use super::super::decode::{Decoder, Field, Placed, Read};
use super::super::events::{Node, Scalar};
use super::super::model::Probe;
use super::super::report::Span;
use super::super::scalars::text_octets;
use super::super::server::join;
use super::cause::{ParameterCause, ProgramFault};
use super::{MonitorKind, Parameters, url_path};

/// Arguments of a program, itself included.
const MAX_ARGUMENTS: usize = 64;
/// Octets of one of them.
const MAX_ARGUMENT_OCTETS: usize = 4096;
/// What the kernel takes as a path.
const MAX_FILE_PATH_OCTETS: usize = 4095;
const DEFAULT_TTL: Duration = Duration::from_secs(60);

/// What a monitor's parameters need to know of where they stand.
#[derive(Clone, Copy, Debug, Default)]
pub(in super::super) struct Surroundings<'c> {
    /// The pool.
    pub(in super::super) pool: &'c str,
    /// What relative paths are relative to.
    pub(in super::super) directory: Option<&'c Path>,
}

/// Reads `command`: the path of a program and its arguments.
pub(super) fn read_command<'t>(d: &mut Decoder<'t, '_>, field: Field<'t>) -> Read<Placed<Vec<String>>> {
    let at = field.node.span();
    let mut words = Vec::new();
    if let Node::Scalar(_) = field.node {
        d.refuse(&field, super::super::cause::Kind::List)?;
        return Ok(Placed { value: words, span: at });
    }
    let mut is_whole = true;
    let count = d.list(field, "command", |d, item| {
        let is_first = words.is_empty();
        let word = d.value(item, |scalar| argument(scalar, is_first))?;
        is_whole &= word.is_some();
        words.extend(word.map(|word| word.value));
        Ok(())
    })?;
    if count.is_some_and(|count| count > MAX_ARGUMENTS) {
        d.error(at, Cause::TooMany { what: "items in `command`", limit: MAX_ARGUMENTS });
    }
    if !is_whole {
        words.clear();
    }
    Ok(Placed { value: words, span: at })
}

/// An argument: any text without a NUL; the first one is an absolute path.
fn argument(scalar: &Scalar<'_>, is_program: bool) -> Result<String, Cause> {
    let text = &*scalar.text;
    let cause = match text.contains('\0') {
        true => Some(Cause::Character { what: "an argument", character: '\0' }),
        false if text.len() > MAX_ARGUMENT_OCTETS => {
            Some(Cause::TextLength { len: text.len(), max: MAX_ARGUMENT_OCTETS, unit: "octets" })
        }
        false if is_program && !text.starts_with('/') => {
            Some(ParameterCause::NotProgram { text: Found::new(text) }.into())
        }
        false => None,
    };
    cause.map_or_else(|| Ok(text.to_owned()), Err)
}

impl Parameters {
    pub(super) fn build_exec(&self, d: &mut Decoder<'_, '_>, at: Span) -> Probe {
        let Some(command) = &self.command else {
            let section = MonitorKind::Exec.section();
            let accepted = "a program's path and its arguments, as a list";
            d.error(at, Cause::MissingKey { key: "command", section, accepted });
            return Probe::Exec { command: Vec::new() };
        };
        if let Some(program) = command.value.first()
            && let Some(fault) = fault_of(Path::new(program))
        {
            let path = Found::new(program);
            d.warning(command.span, ParameterCause::Program { path, fault }.into());
        }
        Probe::Exec { command: command.value.clone() }
    }

    pub(super) fn build_file(&self, d: &mut Decoder<'_, '_>, at: Span, around: Surroundings<'_>) -> Probe {
        let path = match &self.path {
            Some(path) => match file_path(&path.value) {
                Ok(path) => join(around.directory, &path),
                Err(cause) => {
                    d.error(path.span, cause);
                    PathBuf::new()
                }
            },
            None => {
                if self.place("path").is_none() {
                    let section = MonitorKind::File.section();
                    d.error(at, Cause::MissingKey { key: "path", section, accepted: "paths" });
                }
                PathBuf::new()
            }
        };
        Probe::File { path, missing_up: self.missing.is_some_and(|missing| missing.value) }
    }

    pub(super) fn build_push(&self, around: Surroundings<'_>) -> Probe {
        Probe::Push {
            pool: around.pool.to_owned(),
            ttl: self.ttl.map_or(DEFAULT_TTL, |ttl| ttl.value),
            silence_up: self.silence.is_some_and(|silence| silence.value),
        }
    }

    /// The request target of `http`, by either of its names.
    pub(super) fn target(&mut self, d: &mut Decoder<'_, '_>) -> Option<String> {
        let own = self.url_path.take().map(|own| own.value);
        let Some(path) = self.path.take() else { return own };
        if let Some(first) = self.place("url_path") {
            let key = Found::new("path");
            d.error(path.span, Cause::DuplicateAlias { key, other: "url_path", first_line: first.line });
        }
        match url_path(&path.value) {
            Ok(path) => Some(path),
            Err(cause) => {
                d.error(path.span, cause);
                own
            }
        }
    }
}

fn file_path(text: &str) -> Result<String, Cause> {
    match text.contains('\0') {
        true => Err(Cause::Character { what: "a path", character: '\0' }),
        false => text_octets(text, MAX_FILE_PATH_OCTETS),
    }
}

/// Why a program cannot be run, as far as that can be seen.
fn fault_of(program: &Path) -> Option<ProgramFault> {
    match std::fs::metadata(program) {
        Err(_) => Some(ProgramFault::Missing),
        Ok(metadata) if !metadata.is_file() => Some(ProgramFault::NoFile),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => Some(ProgramFault::NotExecutable),
        Ok(_) => None,
    }
}
