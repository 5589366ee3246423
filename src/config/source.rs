//! Files to text: bounded, UTF-8, without control characters. Opens regular files only, and so never waits for a writer.
//! Knows no YAML.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::cause::Cause;
use super::report::Span;

/// Largest file read. Ten million names are about half a gigabyte of YAML, and twice that once served; a file beyond
/// twenty million is more likely a mistake.
const MAX_FILE_OCTETS: u64 = 1 << 30;
/// Octets checked at a time.
const CHECKED_OCTETS: usize = 4096;

/// Why a file is no text, where in it, and as much of the text as can be shown.
#[derive(Debug)]
pub(super) struct BadSource {
    pub(super) cause: Cause,
    pub(super) span: Option<Span>,
    pub(super) text: String,
}

impl BadSource {
    fn nowhere(cause: Cause) -> BadSource {
        BadSource { cause, span: None, text: String::new() }
    }
}

/// Reads a whole file as text, a leading byte order mark left out.
pub(super) fn read(path: &Path) -> Result<String, BadSource> {
    read_at_most(path, MAX_FILE_OCTETS)
}

/// Reads a whole file that is no text.
pub(super) fn read_octets(path: &Path) -> Result<Vec<u8>, BadSource> {
    octets_at_most(path, MAX_FILE_OCTETS)
}

fn octets_at_most(path: &Path, limit_octets: u64) -> Result<Vec<u8>, BadSource> {
    // Opening a FIFO waits for a writer, and the supervisor with it; a directory has words of the system's own.
    let kind = std::fs::metadata(path).map_err(|error| BadSource::nowhere(unreadable(&error)))?;
    if !kind.is_file() && !kind.is_dir() {
        return Err(BadSource::nowhere(Cause::NotRegularFile));
    }
    let mut octets = Vec::new();
    let read = File::open(path).and_then(|file| {
        // The exact size at once: growing by doubling would hold a large file twice.
        octets.reserve_exact(file.metadata()?.len().min(limit_octets) as usize + 1);
        file.take(limit_octets + 1).read_to_end(&mut octets)
    });
    if let Err(error) = read {
        return Err(BadSource::nowhere(unreadable(&error)));
    }
    if octets.len() as u64 > limit_octets {
        return Err(BadSource::nowhere(Cause::TooLarge { limit_octets }));
    }
    Ok(octets)
}

fn read_at_most(path: &Path, limit_octets: u64) -> Result<String, BadSource> {
    match String::from_utf8(octets_at_most(path, limit_octets)?) {
        Ok(text) => check(without_bom(text)),
        Err(error) => {
            let offset = error.utf8_error().valid_up_to();
            let text = without_bom(String::from_utf8_lossy(error.as_bytes()).into_owned());
            let before = String::from_utf8_lossy(&error.as_bytes()[..offset]).into_owned();
            let span = Some(end_of(&without_bom(before)));
            Err(BadSource { cause: Cause::NotUtf8 { offset }, span, text })
        }
    }
}

/// Checks text that is no file of its own.
pub(super) fn check(text: String) -> Result<String, BadSource> {
    let refused = |octet: &u8| matches!(octet, 0..=8 | 11 | 12 | 14..=31 | 127);
    // Whole blocks first: without an early end inside, the compiler looks at many octets at a time.
    let refused_in = |block: &[u8]| block.iter().fold(false, |any, octet| any | refused(octet));
    let block = text.as_bytes().chunks(CHECKED_OCTETS).position(refused_in);
    let place = block.and_then(|block| {
        let begin = block * CHECKED_OCTETS;
        text.as_bytes()[begin..].iter().position(refused).map(|at| begin + at)
    });
    match place {
        None => Ok(text),
        Some(at) => {
            let cause = Cause::ControlCharacter(char::from(text.as_bytes()[at]));
            let span = Some(end_of(&text[..at]));
            Err(BadSource { cause, span, text })
        }
    }
}

fn unreadable(error: &io::Error) -> Cause {
    Cause::Unreadable { kind: error.kind(), os_error: error.raw_os_error() }
}

fn without_bom(mut text: String) -> String {
    if text.starts_with('\u{FEFF}') {
        text.drain(..'\u{FEFF}'.len_utf8());
    }
    text
}

/// The place right behind `text`; line breaks are those of YAML 1.2 §5.4.
fn end_of(text: &str) -> Span {
    let unified = text.replace("\r\n", "\n").replace('\r', "\n");
    let line = unified.matches('\n').count() + 1;
    let column = unified.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Span { line: line as u32, column: column as u32, len: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn read_octets(octets: &[u8]) -> Result<String, BadSource> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        fs::write(&path, octets).unwrap();
        read(&path)
    }

    #[test]
    fn a_byte_order_mark_is_left_out() {
        assert_eq!(read_octets("\u{FEFF}a: b".as_bytes()).unwrap(), "a: b");
    }

    #[test]
    fn octets_that_are_no_utf8_have_a_place() {
        let bad = read_octets(b"a: b\r\nc: \xff\xfe\n").unwrap_err();
        assert_eq!(bad.cause, Cause::NotUtf8 { offset: 9 });
        assert_eq!(bad.span, Some(Span { line: 2, column: 4, len: 1 }));
    }

    #[test]
    fn a_nul_does_not_end_the_file_in_silence() {
        let bad = read_octets(b"a: b\nc:\0 d\n").unwrap_err();
        assert_eq!(bad.cause, Cause::ControlCharacter('\0'));
        assert_eq!(bad.span, Some(Span { line: 2, column: 3, len: 1 }));
    }

    #[test]
    fn a_missing_file_and_a_directory_are_one_clear_line() {
        let directory = tempfile::tempdir().unwrap();
        let missing = read(&directory.path().join("none.yaml")).unwrap_err();
        assert_eq!(
            missing.cause.to_string(),
            "the file cannot be read: No such file or directory (os error 2)"
        );
        let folder = read(directory.path()).unwrap_err();
        assert_eq!(folder.cause.to_string(), "the file cannot be read: Is a directory (os error 21)");
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        fs::write(&path, [b'#'; 17]).unwrap();
        assert_eq!(read_at_most(&path, 16).unwrap_err().cause, Cause::TooLarge { limit_octets: 16 });
        assert_eq!(read_at_most(&path, 17).unwrap().len(), 17);
    }

    #[test]
    fn what_could_wait_for_ever_is_never_opened() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo.yaml");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let socket = directory.path().join("socket.yaml");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = directory.path().join("link.yaml");
        std::os::unix::fs::symlink(&fifo, &link).unwrap();
        for path in [&fifo, &socket, &link, Path::new("/dev/zero")] {
            let bad = read(path).unwrap_err();
            assert_eq!(bad.cause.to_string(), "the file is not a regular file", "{}", path.display());
        }
    }
}
