//! A process, as `/proc` shows it. A number may go to another process at any time: what is read here is evidence only between
//! two proofs that it did not.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};

/// The most that is read of one file, in bytes: as many groups as a process can have (NGROUPS_MAX) take 700 KiB.
const FILE_LIMIT: u64 = 1024 * 1024;

/// When a process started and what it does: the line of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// In clock ticks since the machine started.
    pub(crate) started: u64,
    /// The letter of its first thread's state (proc(5)).
    pub(crate) state: char,
    threads: u64,
}

/// A process's user and groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The effective user and group. Those for file systems are not told: a process may always go back to these.
    pub(crate) ids: (u32, u32),
    /// The supplementary groups, sorted.
    pub(crate) groups: Vec<u32>,
}

/// Which directory a process takes for the root of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Root {
    device: (u32, u32),
    inode: u64,
    /// Of what is mounted there; absent where the kernel does not tell (before 5.8).
    mount: Option<u64>,
}

/// The directory of one process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proc(pub(crate) u32);

impl Proc {
    pub(crate) fn stat(self) -> io::Result<Stat> {
        let text = self.read("stat")?;
        Stat::parse(&text).ok_or_else(|| malformed("stat"))
    }

    /// Those of its first thread.
    pub(crate) fn credentials(self) -> io::Result<Credentials> {
        Credentials::parse(&self.read("status")?).ok_or_else(|| malformed("status"))
    }

    pub(crate) fn cgroup(self) -> io::Result<String> {
        self.read("cgroup")
    }

    /// Which namespace of this kind it lives in.
    pub(crate) fn namespace(self, kind: &str) -> io::Result<PathBuf> {
        std::fs::read_link(format!("/proc/{}/ns/{kind}", self.0))
    }

    /// Where its root is, seen from this process's own.
    pub(crate) fn place_of_root(self) -> io::Result<PathBuf> {
        std::fs::read_link(format!("/proc/{}/root", self.0))
    }

    /// Its root. Of a file system that does not answer it may have to be waited for.
    pub(crate) fn root(self) -> io::Result<Root> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(format!("/proc/{}/root", self.0), flags, Mode::empty())?;
        let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
        let stat = rustix::fs::statx(root, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, wanted)?;
        let tells_mount = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID);
        Ok(Root {
            device: (stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            mount: tells_mount.then_some(stat.stx_mnt_id),
        })
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

impl Credentials {
    fn parse(status: &str) -> Option<Self> {
        let line = |label: &str| status.lines().find_map(|line| line.strip_prefix(label));
        // The second number: after the real one, before the saved one and that of file systems.
        let effective = |label| line(label)?.split_whitespace().nth(1)?.parse().ok();
        let groups: Result<Vec<u32>, _> = line("Groups:")?.split_whitespace().map(str::parse).collect();
        let mut groups = groups.ok()?;
        groups.sort_unstable();
        Some(Self { ids: (effective("Uid:")?, effective("Gid:")?), groups })
    }
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
    fn the_effective_ids_are_the_second_of_four_and_the_groups_all_of_their_line() {
        let status = "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nFDSize:\t64\nGroups:\t9 7 8 \n";
        assert_eq!(Credentials::parse(status), Some(Credentials { ids: (2, 6), groups: vec![7, 8, 9] }));
        let alone = status.replace("9 7 8 ", " ");
        assert_eq!(Credentials::parse(&alone), Some(Credentials { ids: (2, 6), groups: vec![] }));
        for bad in [status.replace("\t2\t3\t4", ""), status.replace("Groups:", "x:"), status.replace("9 7", "9 x")] {
            assert_eq!(Credentials::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn this_process_is_what_it_is() {
        let own = Proc(std::process::id());
        let ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        assert_eq!(own.credentials().unwrap().ids, ids);
        assert_eq!(own.root().unwrap(), own.root().unwrap());
        assert_eq!(own.place_of_root().unwrap(), PathBuf::from("/"));
        // How many threads it has is the other tests' doing.
        assert_eq!(own.stat().unwrap().started, own.stat().unwrap().started);
        assert!(!own.stat().unwrap().is_over());
        assert_eq!(own.namespace("mnt").unwrap(), std::fs::read_link("/proc/self/ns/mnt").unwrap());
    }
}
