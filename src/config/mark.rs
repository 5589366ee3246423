//! What of a file tells that it is another: its identity, size and times.
//!
//! Looks at metadata alone; opens nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Times of files are those of the last tick of the kernel's clock, which may be this long ago.
const CLOCK_STEP: Duration = Duration::from_millis(10);

/// A file as it was when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    /// Looks at a file; `None` where there is none.
    pub fn of(path: &Path) -> Option<Mark> {
        let metadata = fs::metadata(path).ok()?;
        Some(Mark {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// Whether the file may have been changed, in any way, since `then`.
    pub fn may_be_newer_than(&self, then: SystemTime) -> bool {
        let (secs, nanos) = self.changed;
        let changed_at = UNIX_EPOCH + Duration::new(secs.max(0) as u64, nanos.clamp(0, 999_999_999) as u32);
        changed_at + CLOCK_STEP >= then
    }
}
