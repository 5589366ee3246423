//! One phase of a run: its time, and the process's memory behind it. Prints; measures nothing else.

use std::time::Instant;

/// Runs a phase and prints a line: milliseconds, resident memory, its most so far, in MiB.
pub(crate) fn timed<T>(phase: &str, run: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = run();
    let ms = started.elapsed().as_secs_f64() * 1000.0;
    println!("{phase:<28} {ms:>9.1} {:>13.1} {:>13.1}", memory_mib("VmRSS:"), memory_mib("VmHWM:"));
    result
}

/// A line of /proc/self/status (proc(5)); 0 where it is not there.
fn memory_mib(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
