//! A process of this program's own, from outside.

use std::fs;
use std::process::Child;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The unit of CPU time in `/proc`: USER_HZ, which is 100 on every architecture Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A child that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Process(pub(crate) Child);

impl Process {
    /// The CPU time used so far, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        cpu(self.0.id())
    }

    /// A size of proc_pid_status(5), in MiB.
    pub(crate) fn memory(&self, name: &str) -> f64 {
        memory(self.0.id(), name)
    }

    /// How many file descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0.id())).unwrap().count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// The CPU time that a process has used so far, in seconds (proc_pid_stat(5): utime and stime).
pub(crate) fn cpu(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    ticks as f64 / TICKS_PER_SECOND
}

/// A size of proc_pid_status(5) of a process, in MiB.
pub(crate) fn memory(pid: u32, name: &str) -> f64 {
    let kib = evercert_tests::memory::size_kib(pid, name) as f64;
    (kib / 1024.0 * 10.0).round() / 10.0
}

/// Lets this process, and those it starts, have as many descriptors as they may: a scenario may hold both ends of thousands of
/// connections.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}
