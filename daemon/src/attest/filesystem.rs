//! On which kind of file system a file is: only of some can it be told from here who may read there.

use std::fmt;

/// The kind of a file system, by its magic number (statfs(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filesystem(u32);

/// Local file systems whose owners, modes and ACLs are what the kernel decides by. On others a server decides, or a process.
const LOCAL: [(u32, &str); 14] = [
    (0x0000_ef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0x794c_7630, "overlayfs"),
    (0xf2f5_2010, "f2fs"),
    (0x2fc1_2fc1, "zfs"),
    (0xca45_1a4e, "bcachefs"),
    (0x7371_7368, "squashfs"),
    (0xe0f5_e1e2, "erofs"),
    (0x3153_464a, "jfs"),
    (0x5265_4973, "reiserfs"),
    (0x0000_3434, "nilfs"),
];

/// Others that are known by name.
const FOREIGN: [(u32, &str); 7] = [
    (0x0000_6969, "nfs"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "ceph"),
    (0x6573_5546, "fuse"),
    (0x0000_4d44, "vfat"),
];

impl Filesystem {
    /// The one with this magic number.
    pub(super) fn numbered(magic: u32) -> Self {
        Self(magic)
    }

    pub(super) fn is_local(self) -> bool {
        LOCAL.iter().any(|(magic, _)| *magic == self.0)
    }
}

impl fmt::Display for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match LOCAL.iter().chain(&FOREIGN).find(|(magic, _)| *magic == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_not_a_file_system_to_judge_readers_by_and_a_network_is_none_either() {
        let proc = Filesystem::numbered(0x9fa0);
        assert!(!proc.is_local());
        assert_eq!(proc.to_string(), "0x9fa0");
        for (magic, name) in FOREIGN {
            assert!(!Filesystem(magic).is_local());
            assert_eq!(Filesystem(magic).to_string(), name);
        }
        assert!(Filesystem(0xef53).is_local());
    }
}
