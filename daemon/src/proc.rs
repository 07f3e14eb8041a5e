//! What `/proc` says of a process. A number may go to another process at any time: what is read here is evidence only between
//! two proofs that it did not.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

/// The most that is read of one file, in bytes.
const FILE_LIMIT: u64 = 128 * 1024;

/// When a process started and what it does: the line of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// In clock ticks since the machine started.
    pub(crate) started: u64,
    /// The letter of its first thread's state (proc(5)).
    pub(crate) state: char,
    threads: u64,
}

/// The directory of one process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proc(pub(crate) u32);

impl Proc {
    pub(crate) fn stat(self) -> io::Result<Stat> {
        let text = self.read("stat")?;
        Stat::parse(&text).ok_or_else(|| malformed("stat"))
    }

    /// The effective user and group.
    pub(crate) fn effective_ids(self) -> io::Result<(u32, u32)> {
        let text = self.read("status")?;
        effective(&text, "Uid:").zip(effective(&text, "Gid:")).ok_or_else(|| malformed("status"))
    }

    pub(crate) fn cgroup(self) -> io::Result<String> {
        self.read("cgroup")
    }

    /// Which namespace of this kind it lives in.
    pub(crate) fn namespace(self, kind: &str) -> io::Result<PathBuf> {
        std::fs::read_link(format!("/proc/{}/ns/{kind}", self.0))
    }

    fn read(self, name: &str) -> io::Result<String> {
        let mut bytes = Vec::new();
        File::open(format!("/proc/{}/{name}", self.0))?.take(FILE_LIMIT).read_to_end(&mut bytes)?;
        // The name of a command may be anything; nothing that counts here is.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name of the command is in brackets and may hold any character.
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // The state is the third field of the line and the first here.
        let field = |number: usize| fields.get(number - 3).copied();
        let state = field(3)?.chars().next()?;
        Some(Self { started: field(22)?.parse().ok()?, state, threads: field(20)?.parse().ok()? })
    }

    /// Whether every thread of it has ended, though its parent may not have asked for it. The first may have ended alone.
    pub(crate) fn is_over(self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x') && self.threads <= 1
    }
}

/// The second number: after the real one, before the saved one and that of file systems.
fn effective(status: &str, label: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn malformed(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("/proc/PID/{name} is not as it should be"))
}

/// The process behind a pidfd of this process's, as kernels before 6.13 tell it; nothing once it is reaped.
pub(crate) fn pid_behind(pidfd: i32) -> io::Result<Option<u32>> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{pidfd}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pid:")).ok_or_else(|| malformed("fdinfo"))?;
    Ok(line.trim().parse().ok().filter(|pid| *pid > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_is_read_whatever_the_command_is_called() {
        let line = "7 (a) R 9 (b\n) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0\n";
        assert_eq!(Stat::parse(line), Some(Stat { started: 4711, state: 'S', threads: 1 }));
        assert!(!Stat::parse(line).unwrap().is_over());
        assert!(Stat::parse(&line.replace(" S ", " Z ")).unwrap().is_over());
        let with_threads = line.replace(" S ", " Z ").replace(" 20 0 1 0 ", " 20 0 2 0 ");
        assert!(!Stat::parse(&with_threads).unwrap().is_over());
        assert_eq!(Stat::parse("7 (a"), None);
        assert_eq!(Stat::parse("7 (a) S 1"), None);
    }

    #[test]
    fn the_effective_ids_are_the_second_of_four() {
        let status = "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n";
        assert_eq!((effective(status, "Uid:"), effective(status, "Gid:")), (Some(2), Some(6)));
        assert_eq!(effective("Uid:\t1\n", "Uid:"), None);
    }

    #[test]
    fn this_process_is_what_it_is() {
        let own = Proc(std::process::id());
        let ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        assert_eq!(own.effective_ids().unwrap(), ids);
        assert_eq!(own.stat().unwrap(), own.stat().unwrap());
        assert!(!own.stat().unwrap().is_over());
        assert_eq!(own.namespace("mnt").unwrap(), std::fs::read_link("/proc/self/ns/mnt").unwrap());
    }
}
