//! Why an outcome is what it is where this machine was asked: programs, files, and what is pushed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::fmt_os_error;

/// Why an outcome is what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Local {
    /// A program has ended.
    Exited {
        /// Its exit code; 0 is a success.
        code: i32,
        /// The first line of what it said, fit to be shown; empty: nothing.
        said: Arc<str>,
    },
    /// A signal ended a program.
    Killed {
        /// Its number.
        signal: i32,
        /// As for a program that has ended.
        said: Arc<str>,
    },
    /// A program could not be started.
    NotStarted {
        /// Its path.
        program: Arc<str>,
        /// The operating system's error.
        number: i32,
    },
    /// A program says more than anybody reads.
    Verbose {
        /// How much was read.
        limit_octets: usize,
    },
    /// A file's line.
    FileSays {
        /// The line, fit to be shown.
        line: Arc<str>,
    },
    /// No word of a file is known.
    FileUnknown {
        /// Its line, fit to be shown.
        line: Arc<str>,
    },
    /// There is no file, and the verdict is configured.
    FileMissing,
    /// A file is too long.
    FileLong {
        /// How long it may be.
        limit_octets: u64,
    },
    /// A file cannot be read.
    FileUnreadable {
        /// The operating system's error.
        number: i32,
    },
    /// A folder or a device, say.
    NoFile,
    /// Somebody says so.
    Pushed {
        /// In which words.
        line: Arc<str>,
        /// Why; empty: that was not said.
        why: Arc<str>,
    },
    /// Nobody has said anything for this time, and the verdict is configured.
    Silent {
        /// For how long what was said last held.
        ttl: Duration,
    },
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = |f: &mut fmt::Formatter<'_>, said: &str| match said {
            "" => Ok(()),
            said => write!(f, ": {said}"),
        };
        match self {
            Local::Exited { code, said } => {
                write!(f, "exit {code}")?;
                with(f, said)
            }
            Local::Killed { signal, said } => {
                write!(f, "ended by signal {signal}")?;
                with(f, said)
            }
            Local::NotStarted { program, number } => {
                write!(f, "cannot run {program}: ")?;
                fmt_os_error(f, *number)
            }
            Local::Verbose { limit_octets } => write!(f, "the program says more than {limit_octets} octets"),
            Local::FileSays { line } => write!(f, "file: {line}"),
            Local::FileUnknown { line } => write!(f, "file: not understood: `{line}`"),
            Local::FileMissing => f.write_str("there is no file"),
            Local::FileLong { limit_octets } => write!(f, "file: longer than {limit_octets} octets"),
            Local::FileUnreadable { number } => {
                f.write_str("file: ")?;
                fmt_os_error(f, *number)
            }
            Local::NoFile => f.write_str("file: not a regular file"),
            Local::Pushed { line, why } => {
                write!(f, "pushed: {line}")?;
                if why.is_empty() { Ok(()) } else { write!(f, " ({why})") }
            }
            Local::Silent { ttl } => write!(f, "nothing pushed for {} s", ttl.as_secs()),
        }
    }
}
