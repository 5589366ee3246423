//! Facts about this process, read from /proc (proc(5)).

use std::fs;

/// Resident memory in octets; 0 where /proc does not tell.
pub(super) fn resident_octets() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Processor time of all threads in seconds, user and system together; 0 where /proc does not tell.
pub(super) fn cpu_secs() -> f64 {
    // Ticks are 1/100 s on every Linux that /proc reports to user space (USER_HZ).
    const TICKS_PER_SEC: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The command's name, in parentheses, may hold blanks: fields are counted from behind it, where state is the third.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS_PER_SEC
}

/// Open file descriptors.
pub(super) fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_knows_itself() {
        assert!(resident_octets() > 1 << 20);
        assert!(open_files() >= 3);
        assert!(cpu_secs() >= 0.0);
    }
}
