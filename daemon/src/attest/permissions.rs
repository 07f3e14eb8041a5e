//! Discretionary access control, as the kernel evaluates it: owner, group and mode, or the POSIX ACL where there is one.

use std::fmt;
use std::io;

use evercert_core::mount::Access;

use crate::callers::Caller;

/// A caller's wish for a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Read a file.
    Read,
    /// Look a name up in a directory.
    Search,
}

impl Wish {
    fn bit(self) -> u8 {
        match self {
            Self::Read => 0o4,
            Self::Search => 0o1,
        }
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Search => "search",
        })
    }
}

/// The permissions of one file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permissions {
    pub(super) owner: u32,
    pub(super) group: u32,
    /// The permission bits. With an ACL its group bits are the ACL's mask, and say nothing of the owning group.
    pub(super) mode: u32,
    pub(super) acl: Option<Acl>,
}

impl Permissions {
    /// The permissions that were noted. An ACL that cannot be understood lets nobody do anything.
    pub(super) fn of(access: &Access) -> Self {
        let acl = access.acl.as_deref().map(|bytes| Acl::parse(bytes).unwrap_or_default());
        Self { owner: access.owner, group: access.group, mode: access.mode, acl }
    }

    /// Whether `caller`, who is not root, may do what it wishes. The first class that fits the caller decides, even where a
    /// later one would give more.
    pub(super) fn grant(&self, caller: &Caller, wish: Wish) -> bool {
        let class = |shift: u32| (self.mode >> shift) as u8 & 0o7;
        let granted = match &self.acl {
            Some(acl) => return acl.grant(self, caller, wish),
            None if caller.uid() == self.owner => class(6),
            None if caller.is_in(self.group) => class(3),
            None if caller.may_be_in(self.group) => class(3) & class(0),
            None => class(0),
        };
        granted & wish.bit() != 0
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "owner {}:{}, mode {:04o}", self.owner, self.group, self.mode)?;
        if self.acl.is_some() { f.write_str(", with an ACL") } else { Ok(()) }
    }
}

/// A POSIX access ACL (acl(5)).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Acl {
    owner: u8,
    users: Vec<(u32, u8)>,
    owning_group: u8,
    groups: Vec<(u32, u8)>,
    mask: Option<u8>,
    other: u8,
}

impl Acl {
    /// The layout of the extended attribute (`linux/posix_acl_xattr.h`): a version, then entries of tag, permissions and id,
    /// little-endian.
    pub(super) fn parse(bytes: &[u8]) -> io::Result<Self> {
        const VERSION: [u8; 4] = 2_u32.to_le_bytes();
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "its ACL is not in the known format");
        let entries = bytes.strip_prefix(&VERSION).filter(|entries| entries.len() % 8 == 0).ok_or_else(malformed)?;
        let mut acl = Self::default();
        for entry in entries.chunks_exact(8) {
            let permissions = entry[2] & 0o7;
            let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
            match u16::from_le_bytes([entry[0], entry[1]]) {
                0x01 => acl.owner = permissions,
                0x02 => acl.users.push((id, permissions)),
                0x04 => acl.owning_group = permissions,
                0x08 => acl.groups.push((id, permissions)),
                0x10 => acl.mask = Some(permissions),
                0x20 => acl.other = permissions,
                _ => return Err(malformed()),
            }
        }
        Ok(acl)
    }

    /// acl(5), "Access check algorithm".
    fn grant(&self, file: &Permissions, caller: &Caller, wish: Wish) -> bool {
        let bit = wish.bit();
        let mask = self.mask.unwrap_or(0o7);
        if caller.uid() == file.owner {
            return self.owner & bit != 0;
        }
        if let Some((_, permissions)) = self.users.iter().find(|(uid, _)| *uid == caller.uid()) {
            return permissions & mask & bit != 0;
        }
        let owning = caller.is_in(file.group).then_some(self.owning_group);
        let named = self.groups.iter().filter(|(gid, _)| caller.is_in(*gid)).map(|(_, permissions)| *permissions);
        let mut groups = owning.into_iter().chain(named).peekable();
        if groups.peek().is_none() {
            let listed = self.groups.iter().copied().chain([(file.group, self.owning_group)]);
            let mut unsure = listed.filter(|(gid, _)| caller.may_be_in(*gid));
            return self.other & bit != 0 && unsure.all(|(_, permissions)| permissions & mask & bit != 0);
        }
        groups.any(|permissions| permissions & mask & bit != 0)
    }
}
