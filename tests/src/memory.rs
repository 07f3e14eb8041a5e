//! The memory of a process: its size and its content.

use std::fmt::Display;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use evercert_fixtures::Issued;

/// A size of a process, in KiB, by its name in proc_pid_status(5); the process is a number, or `self`.
#[must_use]
pub fn size_kib(process: impl Display, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
    size.trim().trim_end_matches(" kB").parse().unwrap()
}

/// How often each of these keys is in the memory of a process, wherever that can be written.
#[must_use]
pub fn copies_of_keys(pid: u32, keys: &[Issued]) -> Vec<usize> {
    let content = writable(pid);
    keys.iter().map(|issued| content.iter().map(|range| count(range, secret(issued))).sum()).collect()
}

/// The secret number of a P-256 key.
#[must_use]
pub fn secret(issued: &Issued) -> &[u8] {
    // It stands at a fixed place of the PKCS#8.
    &issued.key_der[36..68]
}

fn count(range: &[u8], secret: &[u8]) -> usize {
    range.windows(secret.len()).filter(|window| *window == secret).count()
}

fn writable(pid: u32) -> Vec<Vec<u8>> {
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let writable =
        maps.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(|mode| mode.starts_with("rw")));
    let ranges = writable.filter_map(|line| {
        let (from, to) = line.split_whitespace().next()?.split_once('-')?;
        Some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
    });
    let read = |(from, to): (u64, u64)| {
        let mut content = vec![0; usize::try_from(to - from).unwrap()];
        // A range unmapped meanwhile holds nothing.
        let read = memory.read_at(&mut content, from).unwrap_or(0);
        content.truncate(read);
        content
    };
    ranges.map(read).collect()
}
