//! Limits of the process: how many files it may hold open, how to tell that one of them was hit, and which threads go first
//! and where.
//!
//! Called at start-up, when a thread starts, and after a failed accept; never for a query.

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

/// How much nicer than the workers a thread is that nobody waits for: a tenth of their weight.
const BACKGROUND_NICE: libc::c_int = 10;

/// Lets the workers go before the calling thread: for what takes long and may take longer, such as reading a new
/// configuration. Not for probes, whose verdicts are waited for.
#[expect(unsafe_code, reason = "nice is a foreign function")]
pub fn stand_back() {
    // SAFETY: takes and returns plain numbers. On Linux it is the calling thread that is meant (nice(2), "C library/kernel
    // differences"); going down needs no privilege and stops at the lowest priority, so there is no error to report.
    unsafe { libc::nice(BACKGROUND_NICE) };
}

/// Has the calling thread, and those it starts from now on, run on these cores alone.
///
/// # Errors
/// InvalidInput for a core that a set has no room for (1,024 and above); else what sched_setaffinity reported.
#[expect(unsafe_code, reason = "sched_setaffinity and what fills its set are foreign")]
pub fn confine(cores: impl IntoIterator<Item = usize>) -> io::Result<()> {
    // SAFETY: cpu_set_t is an array of integers, for which all zeros are a value: the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for core in cores {
        if core >= 8 * size_of::<libc::cpu_set_t>() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: the bit of `core` lies in the set, as was just checked.
        unsafe { libc::CPU_SET(core, &mut set) };
    }
    // SAFETY: 0 is the calling thread; `set` is a live local of the size that is told, only read by the call.
    match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
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
    fn only_the_calling_thread_stands_back() {
        // Field 19 of stat is the nice value (proc(5)); two of the fields before it are put aside with the name.
        let nice = || -> i32 {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let fields = stat.rsplit_once(") ").unwrap().1;
            fields.split(' ').nth(16).unwrap().parse().unwrap()
        };
        let before = nice();
        let lowered = std::thread::spawn(move || {
            stand_back();
            nice()
        });
        assert_eq!(lowered.join().unwrap(), (before + BACKGROUND_NICE).min(19));
        assert_eq!(nice(), before);
    }

    #[test]
    fn running_out_of_files_is_a_shortage_and_a_reset_is_not() {
        assert!(is_shortage(&io::Error::from_raw_os_error(libc::EMFILE)));
        assert!(!is_shortage(&io::Error::from_raw_os_error(libc::ECONNABORTED)));
    }
}
