//! How the C library keeps what is freed: a daemon that runs for months has to give back what it needed for a moment.
#![cfg_attr(target_env = "gnu", expect(unsafe_code, reason = "no crate wraps mallopt(3)"))]

/// How many arenas there are. By default each of the threads that look at mounts would have its own, up to eight for each core, and what one
/// of them has left over serves no other.
#[cfg(target_env = "gnu")]
const ARENAS: i32 = 2;

/// What is at least as large, in bytes, is mapped by itself and unmapped when it is freed. It is the default at the start, which grows to
/// 32 MiB with what is freed, unless it is set: tables of ten thousand identities would stay.
#[cfg(target_env = "gnu")]
const MAPPED_BY_ITSELF: i32 = 128 * 1024;

/// Bounds what is kept, before there are threads.
pub(crate) fn keep_little() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [(libc::M_ARENA_MAX, ARENAS), (libc::M_MMAP_THRESHOLD, MAPPED_BY_ITSELF)] {
        // SAFETY: it takes numbers alone, and no other thread is there. What it refuses stays as it was, which costs memory and nothing else.
        unsafe { libc::mallopt(parameter, value) };
    }
}
