//! Noticing that a configuration file has changed: a look at each file's metadata at every tick of the supervisor.
//!
//! Polling instead of inotify: it sees through symbolic links that are switched (as Kubernetes does with mounted
//! configuration), works on network file systems, and costs one `stat` a file and tick.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::config::Mark;

/// Looks in a row that may find a file changing before it is taken as it is: a file that never rests is read too, and
/// if that caught it half-written, it is refused and read again at its next change.
const RESTLESS_LOOKS: u32 = 3;

/// The files of a configuration, as last seen.
pub(super) struct Watch {
    files: Vec<(PathBuf, Option<Mark>)>,
    /// Looks in a row that found a change.
    restless: u32,
}

impl Watch {
    /// Watches these files from what they are now on.
    pub(super) fn new(files: &[PathBuf]) -> Watch {
        let files = files.iter().map(|path| (path.clone(), Mark::of(path))).collect();
        Watch { files, restless: 0 }
    }

    /// Takes the files as they are now for seen: they are about to be read.
    pub(super) fn see(&mut self) {
        for (path, seen) in &mut self.files {
            *seen = Mark::of(path);
        }
        self.restless = 0;
    }

    /// Watches these files too; what was changed since `began` counts as a change, for it may have been read before.
    pub(super) fn follow(&mut self, files: &[PathBuf], began: SystemTime) {
        for path in files {
            if self.files.iter().any(|(known, _)| known == path) {
                continue;
            }
            let now = Mark::of(path);
            self.files.push((path.clone(), now.filter(|mark| !mark.may_be_newer_than(began))));
        }
    }

    /// Stops watching all files but these.
    pub(super) fn keep_only(&mut self, files: &[PathBuf]) {
        self.files.retain(|(path, _)| files.contains(path));
    }

    /// Looks at the files; true when they have changed and are at rest since the last look, so that a file is not read
    /// while an editor is still writing it; or when they would not rest for some looks.
    pub(super) fn has_settled_change(&mut self) -> bool {
        let mut moved = false;
        for (path, seen) in &mut self.files {
            let now = Mark::of(path);
            if now != *seen {
                *seen = now;
                moved = true;
            }
        }
        let settled = !moved && self.restless > 0 || self.restless >= RESTLESS_LOOKS;
        self.restless = if moved && !settled { self.restless + 1 } else { 0 };
        settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;

    #[test]
    fn change_is_told_once_and_only_when_the_file_is_at_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        fs::write(&path, "one").unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&path));
        assert!(!watch.has_settled_change());
        fs::write(&path, "longer").unwrap();
        assert!(!watch.has_settled_change(), "seen, but it may still be written");
        fs::write(&path, "longer still").unwrap();
        assert!(!watch.has_settled_change());
        assert!(watch.has_settled_change());
        assert!(!watch.has_settled_change());
    }

    #[test]
    fn change_that_is_about_to_be_read_is_not_told_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        fs::write(&path, "one").unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&path));
        fs::write(&path, "longer").unwrap();
        watch.see();
        assert!(!watch.has_settled_change() && !watch.has_settled_change());
        fs::write(&path, "longer still").unwrap();
        assert!(!watch.has_settled_change() && watch.has_settled_change());
    }

    #[test]
    fn file_followed_later_counts_as_changed_if_it_changed_since_the_load_began() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("topology.yaml");
        fs::write(&path, "one").unwrap();
        let day = Duration::from_secs(86_400);
        for (began, changed) in [(SystemTime::now() + day, false), (SystemTime::now() - day, true)] {
            let mut watch = Watch::new(&[]);
            watch.follow(std::slice::from_ref(&path), began);
            assert!(!watch.has_settled_change());
            assert_eq!(watch.has_settled_change(), changed);
        }
        let mut watch = Watch::new(std::slice::from_ref(&path));
        watch.keep_only(&[]);
        fs::write(&path, "longer").unwrap();
        assert!(!watch.has_settled_change() && !watch.has_settled_change());
    }

    #[test]
    fn replaced_and_missing_files_count_as_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        fs::write(&path, "one").unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&path));
        fs::write(folder.path().join("b.yaml"), "one").unwrap();
        fs::rename(folder.path().join("b.yaml"), &path).unwrap();
        assert!(!watch.has_settled_change() && watch.has_settled_change());
        for (look, content) in ["1", "22", "333", "4444"].into_iter().enumerate() {
            fs::write(&path, content).unwrap();
            assert_eq!(
                watch.has_settled_change(),
                look == 3,
                "a file that never rests is taken after some looks"
            );
        }
        fs::remove_file(&path).unwrap();
        assert!(!watch.has_settled_change() && watch.has_settled_change());
    }
}
