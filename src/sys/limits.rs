//! Limits of the process: how many files it may hold open, and how to tell that one of them was hit.
//!
//! Called at start-up and after a failed accept; never for a query.

use std::io;

/// Raises the soft limit of open files to the hard one and returns the limit now in force.
///
/// # Errors
/// What getrlimit or setrlimit reported; the limit is then as it was.
#[expect(unsafe_code, reason = "getrlimit and setrlimit are foreign functions")]
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a live, exclusive local of the type the call fills.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: `limit` is a live local, only read by the call.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

/// Whether `error` says that files or memory have run out: trying again at once would fail again.
pub fn is_shortage(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_limit_is_raised_to_the_hard_limit_and_stays_there() {
        let first = raise_file_limit().unwrap();
        assert!(first > 0);
        assert_eq!(raise_file_limit().unwrap(), first);
    }

    #[test]
    fn running_out_of_files_is_a_shortage_and_a_reset_is_not() {
        assert!(is_shortage(&io::Error::from_raw_os_error(libc::EMFILE)));
        assert!(!is_shortage(&io::Error::from_raw_os_error(libc::ECONNABORTED)));
    }
}
