//! Programs that this process starts: when one has ended, told without taking its exit status away, and the end of all of its
//! group.
//!
//! A program that has ended keeps its number until its parent has waited for it; whoever calls here does that afterwards, so a
//! number is never another program's.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A descriptor that becomes readable when this child has ended (pidfd_open(2), Linux 5.3).
///
/// # Errors
/// What the kernel reported; a child that was waited for already is ESRCH.
#[expect(unsafe_code, reason = "pidfd_open has no wrapper in libc")]
pub fn watch(child: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes two plain numbers, and returns a number; no memory is shared.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(child), 0 as libc::c_long) };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just made this descriptor for the caller, and nobody else knows of it. It is close-on-exec.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether the child behind such a descriptor has ended.
#[expect(unsafe_code, reason = "poll is a foreign function")]
pub fn has_ended(watched: BorrowedFd<'_>) -> bool {
    let mut one = libc::pollfd { fd: watched.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: `one` is a live, exclusive local, and the only element of what is passed; a timeout of 0 never waits.
    let count = unsafe { libc::poll(&raw mut one, 1, 0) };
    count > 0 && one.revents & libc::POLLIN != 0
}

/// Ends every process of the group that this child leads, at once. The caller has not waited for the child yet.
#[expect(unsafe_code, reason = "kill is a foreign function")]
pub fn kill_group(leader: u32) {
    // Groups 0 and 1 would be one's own and, with the sign, everybody.
    let Some(group) = i32::try_from(leader).ok().filter(|group| *group > 1) else { return };
    // SAFETY: takes plain numbers. The group exists and is the child's: its leader was not waited for, so its number is still
    // its own. An error (all have ended) is none.
    unsafe { libc::kill(-group, libc::SIGKILL) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    use std::process::Command;

    #[test]
    fn child_that_is_killed_with_its_group_is_seen_to_end_and_keeps_its_status() {
        let mut child = Command::new("/bin/sleep").arg("600").process_group(0).spawn().unwrap();
        let watched = watch(child.id()).unwrap();
        assert!(!has_ended(watched.as_fd()));
        kill_group(child.id());
        while !has_ended(watched.as_fd()) {
            std::thread::yield_now();
        }
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(watch(child.id()).is_err(), "nobody has that number any more");
    }
}
