//! A clock that the test sets, for programs that are to live through days.
//!
//! By libfaketime (Debian: faketime): every program that is started with it sees the same time of day, as a file says it; timers go on as they are.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian's package `libfaketime` puts the library.
const LIBRARY: &str = "faketime/libfaketime.so.1";

/// A clock that is ahead of the machine's.
pub struct FakeClock {
    file: PathBuf,
    library: PathBuf,
    ahead_secs: u64,
}

impl FakeClock {
    /// Not ahead yet; says how far in a file of this folder.
    pub fn new(folder: &Path) -> FakeClock {
        let folders = std::fs::read_dir("/usr/lib").unwrap();
        let library = folders
            .flatten()
            .map(|entry| entry.path().join(LIBRARY))
            .find(|path| path.is_file())
            .expect("libfaketime is not installed: apt-get install -y faketime");
        let clock = FakeClock { file: folder.join("clock"), library, ahead_secs: 0 };
        clock.write();
        clock
    }

    /// Gives a program this clock.
    pub fn give(&self, mut command: Command) -> Command {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            // Looked at whenever the time is asked for.
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command
    }

    /// Puts the clock forward.
    pub fn forward(&mut self, secs: u64) {
        self.ahead_secs += secs;
        self.write();
    }

    fn write(&self) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("+{}s\n", self.ahead_secs)).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }
}
