//! `file`: what a file says, in the words of `agent`.
//!
//! Each look is a `stat`, and the file is read where that tells that it is another. What is missing or not understood must be so
//! at two looks, since editors truncate and remove before they write; what a file says counts at once.
//!
//! # Bounds
//! `FILE_MAX_OCTETS` are read. Only regular files are, so no look waits for a writer; a file system that is stuck stops the
//! thread of files and nothing else.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::Conclusion;
use super::agent::{Words, read_words};
use crate::health::machine::Outcome;
use crate::health::reason::{Local, Reason, peer_text};

/// Longest file: a line and some words about it.
const FILE_MAX_OCTETS: u64 = 4096;
/// A file that was written so shortly before it was read may be written again without looking another.
const COARSEST_CLOCK: Duration = Duration::from_secs(2);
/// Time between two looks where none is configured.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// The file as configured.
pub(super) struct Script {
    path: PathBuf,
    missing_up: bool,
    /// Whether the path has the probed address in it.
    is_aimed: bool,
}

/// What a `stat` tells: the same for the same octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark([u64; 3], [i64; 4]);

impl Mark {
    fn of(metadata: &Metadata) -> Mark {
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        Mark([metadata.dev(), metadata.ino(), metadata.size()], times)
    }
}

/// What is known of a target's file.
#[derive(Default)]
pub(in crate::health) struct Seen {
    /// As it was when it was read; `None`: it may have changed since.
    mark: Option<Mark>,
    /// What was made of it.
    conclusion: Option<Conclusion>,
    /// Looks in a row that found it missing or not understood.
    doubts: u32,
}

impl Script {
    pub(super) fn new(path: &Path, missing_up: bool) -> Script {
        let is_aimed = path.to_str().is_some_and(|path| path.contains("{ip}"));
        Script { path: path.to_owned(), missing_up, is_aimed }
    }

    /// Time between two looks.
    pub(super) fn pause(retry_interval: Option<Duration>, interval: Duration) -> Duration {
        retry_interval.unwrap_or(LOOK_PAUSE).min(interval)
    }

    /// Looks once.
    pub(super) fn look(&self, address: IpAddr, seen: &mut Seen, now: SystemTime) -> Conclusion {
        let aimed = self.is_aimed.then(|| self.path.to_string_lossy().replace("{ip}", &address.to_string()));
        let path = aimed.as_deref().map_or(&*self.path, Path::new);
        let (fresh, mark) = match std::fs::metadata(path) {
            Ok(metadata) => {
                let mark = Mark::of(&metadata);
                if let Some(known) = seen.conclusion.as_ref().filter(|_| seen.mark == Some(mark)) {
                    return known.clone();
                }
                let is_settled = metadata
                    .modified()
                    .is_ok_and(|modified| now.duration_since(modified).is_ok_and(|age| age > COARSEST_CLOCK));
                (read(path, &metadata), is_settled.then_some(mark))
            }
            Err(error) => (Err(error), None),
        };
        let fresh = fresh.unwrap_or_else(|error| self.judge_error(&error));
        let is_doubtful =
            matches!(fresh.reason, Reason::Local(Local::FileMissing | Local::FileUnknown { .. }));
        seen.doubts = if is_doubtful { seen.doubts.saturating_add(1) } else { 0 };
        match &seen.conclusion {
            Some(known) if seen.doubts == 1 => known.clone(),
            Some(_) | None => {
                (seen.mark, seen.conclusion) = (mark, Some(fresh.clone()));
                fresh
            }
        }
    }

    fn judge_error(&self, error: &io::Error) -> Conclusion {
        if error.kind() == io::ErrorKind::NotFound {
            let outcome = if self.missing_up { Outcome::Success } else { Outcome::Failure };
            // Nothing is advised any more.
            let advice = Some(Default::default());
            return Conclusion { outcome, reason: Reason::Local(Local::FileMissing), advice };
        }
        let number = error.raw_os_error().unwrap_or(0);
        let shortage = Reason::of_local_shortage(error);
        Conclusion::failure(shortage.unwrap_or(Reason::Local(Local::FileUnreadable { number })))
    }
}

/// Reads a file and judges its first line that is not blank.
fn read(path: &Path, metadata: &Metadata) -> io::Result<Conclusion> {
    if !metadata.is_file() {
        return Ok(Conclusion::failure(Reason::Local(Local::NoFile)));
    }
    let mut octets = Vec::new();
    // Whatever has taken its place since is not waited for.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(Conclusion::failure(Reason::Local(Local::NoFile)));
    }
    file.take(FILE_MAX_OCTETS + 1).read_to_end(&mut octets)?;
    if octets.len() as u64 > FILE_MAX_OCTETS {
        let limit_octets = FILE_MAX_OCTETS;
        return Ok(Conclusion::failure(Reason::Local(Local::FileLong { limit_octets })));
    }
    let mut lines = octets.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii);
    let line = lines.find(|line| !line.is_empty() && !line.starts_with(b"#")).unwrap_or_default();
    let text = peer_text(line);
    Ok(match read_words(line) {
        Some(Words { outcome, advice }) => Conclusion {
            outcome,
            reason: Reason::Local(Local::FileSays { line: text }),
            advice: Some(advice),
        },
        None => Conclusion::failure(Reason::Local(Local::FileUnknown { line: text })),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn later() -> SystemTime {
        SystemTime::now() + Duration::from_secs(60)
    }

    #[test]
    fn file_says_state_and_weight_and_is_read_when_it_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let script = Script::new(&path, false);
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut seen = Seen::default();
        let mut look = || {
            let conclusion = script.look(address, &mut seen, later());
            let weight = conclusion.advice.and_then(|advice| advice.weight_permille);
            (conclusion.outcome, conclusion.reason.to_string(), weight)
        };
        assert_eq!(look(), (Outcome::Failure, "there is no file".into(), None));
        for (text, outcome, reason, weight) in [
            ("up\n", Outcome::Success, "file: up", None),
            ("# for people\n\n  75% \n down", Outcome::Success, "file: 75%", Some(750)),
            ("down # until noon", Outcome::Failure, "file: down # until noon", None),
            ("drain", Outcome::Success, "file: drain", None),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(look(), (outcome, reason.into(), weight), "{text}");
        }
        // Half-written, and then whole again.
        fs::write(&path, "").unwrap();
        assert_eq!(look().1, "file: drain");
        fs::write(&path, "up").unwrap();
        assert_eq!(look().1, "file: up");
        fs::write(&path, "nonsense").unwrap();
        assert_eq!(look().1, "file: up");
        assert_eq!(look(), (Outcome::Failure, "file: not understood: `nonsense`".into(), None));
        fs::remove_file(&path).unwrap();
        look();
        assert_eq!(look().1, "there is no file");
        fs::write(&path, "u".repeat(4097)).unwrap();
        assert_eq!(look().1, "file: longer than 4096 octets");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(look().1, "file: not a regular file");
    }

    #[test]
    fn path_may_have_the_address_and_what_is_missing_may_be_up() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("192.0.2.1"), "down").unwrap();
        let script = Script::new(&folder.path().join("{ip}"), true);
        let look = |address: &str| script.look(address.parse().unwrap(), &mut Seen::default(), later());
        assert_eq!(look("192.0.2.1").reason.to_string(), "file: down");
        let missing = look("2001:db8::1");
        assert_eq!((missing.outcome, missing.reason), (Outcome::Success, Reason::Local(Local::FileMissing)));
    }

    #[test]
    fn file_that_was_just_written_is_read_again_though_it_looks_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let script = Script::new(&path, false);
        let mut seen = Seen::default();
        fs::write(&path, "up").unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        script.look([0, 0, 0, 0].into(), &mut seen, modified);
        assert_eq!(seen.mark, None);
        script.look([0, 0, 0, 0].into(), &mut seen, modified + Duration::from_secs(3));
        assert!(seen.mark.is_some());
    }
}
