//! What the C library's allocator does with large blocks.
//!
//! Called at start-up alone.

/// From how many octets on a block has pages of its own: records of zone files come in blocks of 1 MiB, indexes whole.
#[cfg(target_env = "gnu")]
const OWN_PAGES_OCTETS: libc::c_int = 256 << 10;

/// Has large blocks go back to the kernel as soon as they are freed. Left alone, glibc raises the size from which on it does so
/// to 32 MiB with what was freed, and puts what is kept between what is free: after reloads of a million names a server had
/// 60 MiB that it did not use. Takes effect for what is allocated from now on.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "mallopt is a foreign function")]
pub fn give_back_large_blocks() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        // SAFETY: takes two numbers, and holds the lock of the heap while it notes them. It is unsafe beside another mallopt
        // (mallopt(3)), which `ONCE` excludes. A refusal changes nothing.
        let _is_taken = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_PAGES_OCTETS) };
    });
}

/// Nothing: only glibc keeps large blocks.
#[cfg(not(target_env = "gnu"))]
pub fn give_back_large_blocks() {}
