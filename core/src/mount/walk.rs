//! The walk to a file, one component after the other, as the kernel goes it.
//!
//! The permissions to search a directory are noted from the very descriptor in which the next name is looked up. Symbolic links are read
//! and followed by hand. So what is noted is the way that was gone, whoever exchanges names meanwhile. Only directories are opened on the
//! way, which changes nothing in them (whoever watches them for being opened hears of it), and what is at its end is known before it is
//! opened for reading: a device or a FIFO never is.
//!
//! Procfs is no way to a file: its links lead to where another process has its root or its files, which no permission on the way says
//! anything about.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::access::Access;
use super::route::{Directory, Route};

/// How many links the way to one file may lead through: as many as the kernel follows.
const LINKS: usize = 40;

/// How something is opened to be looked at: nothing happens to it, and a link is not followed.
pub(super) const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How a directory is opened that may be listed. Nothing else is opened so, and who may search it is read from the descriptor itself.
const LISTED: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How one is opened that may only be searched. As by [`LISTED`] an automount is mounted, which [`LOOK`] alone does not do.
const SEARCHED: OFlags = LOOK.union(OFlags::DIRECTORY);

/// PROC_SUPER_MAGIC.
const PROC: u32 = 0x9fa0;

/// How a way that leads through procfs is refused.
pub(super) const THROUGH_PROCFS: Errno = Errno::XDEV;

/// The mode bits of a directory like `/tmp`: everybody may write there, and remove only what is one's own.
const SHARED: u32 = 0o1002;

/// A directory that was reached.
#[derive(Clone)]
pub(super) struct OpenDirectory {
    descriptor: Arc<OwnedFd>,
    directory: Arc<Directory>,
}

/// A file that was reached, open only to be looked at.
pub(super) struct ReachedFile {
    pub(super) descriptor: Arc<OwnedFd>,
    pub(super) stat: Stat,
    /// The kind of its file system, by its magic number (statfs(2)).
    pub(super) filesystem: u32,
}

/// The target of a name.
enum Met {
    Directory(OpenDirectory, Stat),
    Link { target: OsString },
    File(ReachedFile),
}

/// The kind of file wanted at the end of a way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ExpectedKind {
    Directory,
    Any,
}

/// A way that is being gone.
#[derive(Clone, Default)]
pub(super) struct Walk {
    ends: Vec<Arc<Directory>>,
    links: usize,
    /// The last name that was looked up, and where.
    last: Option<(Arc<Directory>, OsString)>,
}

impl OpenDirectory {
    /// Where a path begins.
    fn at_start_of(path: &Path) -> Result<Self, Errno> {
        let start = if path.is_absolute() { "/" } else { "." };
        let descriptor = open_directory(CWD, start)?;
        let stat = rustix::fs::fstat(&descriptor)?;
        Self::new(None, OsStr::new(start), descriptor, &stat)
    }

    fn new(parent: Option<&Arc<Directory>>, name: &OsStr, descriptor: OwnedFd, stat: &Stat) -> Result<Self, Errno> {
        let filesystem = filesystem(parent, &descriptor, stat)?;
        let access = Access::of(&descriptor, stat);
        let directory = Directory::new(parent.cloned(), name, filesystem, id(stat), access);
        Ok(Self { descriptor: descriptor.into(), directory: directory.into() })
    }

    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// The target of the name in it; a link is not followed.
    fn meet(&self, name: &OsStr, expected: ExpectedKind) -> Result<Met, Errno> {
        let look = || rustix::fs::openat(&*self.descriptor, name, LOOK, Mode::empty());
        let found = match expected {
            ExpectedKind::Directory => match open_directory(&*self.descriptor, name) {
                // Of a link, which may lead to one, the same is said.
                Err(Errno::NOTDIR) => look(),
                found => found,
            },
            ExpectedKind::Any => look(),
        }?;
        let stat = rustix::fs::fstat(&found)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Ok(Met::Directory(Self::new(Some(&self.directory), name, found, &stat)?, stat)),
            FileType::Symlink => {
                filesystem(Some(&self.directory), &found, &stat)?;
                self.lets_follow(&stat)?;
                let target = rustix::fs::readlinkat(&found, "", Vec::new())?;
                Ok(Met::Link { target: OsString::from_vec(target.into_bytes()) })
            }
            _ => {
                let filesystem = filesystem(Some(&self.directory), &found, &stat)?;
                Ok(Met::File(ReachedFile { descriptor: found.into(), stat, filesystem }))
            }
        }
    }

    /// The kernel's rule for a link where everybody may make one (`fs.protected_symlinks`, proc_sys_fs(5)), whether it is set or not.
    fn lets_follow(&self, link: &Stat) -> Result<(), Errno> {
        let Access { mode, owner, .. } = *self.directory.access();
        let is_own = link.st_uid == owner || link.st_uid == rustix::process::geteuid().as_raw();
        if mode & SHARED == SHARED && !is_own { Err(Errno::ACCESS) } else { Ok(()) }
    }

    /// The directory that this one is in.
    fn leave(&self) -> Result<Self, Errno> {
        let descriptor = open_directory(&*self.descriptor, "..")?;
        let stat = rustix::fs::fstat(&descriptor)?;
        match self.directory.parent() {
            Some(parent) if parent.id() == id(&stat) => {
                Ok(Self { descriptor: descriptor.into(), directory: Arc::clone(parent) })
            }
            // It was moved meanwhile, so the way that was noted is not the one to there.
            Some(_) => Err(Errno::AGAIN),
            None if self.directory.id() == id(&stat) => Ok(self.clone()),
            None => Self::new(None, self.directory.path().join("..").as_os_str(), descriptor, &stat),
        }
    }
}

impl Walk {
    /// The directories searched so far.
    pub(super) fn route(&self) -> Route {
        Route::new(&self.ends, self.links > 0)
    }

    /// How many links it led through.
    pub(super) fn links(&self) -> usize {
        self.links
    }

    /// Where it ended: what it led to, or the first name that leads nowhere.
    pub(super) fn end(&self) -> Option<PathBuf> {
        self.last.as_ref().map(|(directory, name)| directory.path().join(name))
    }

    /// The directory that a path leads to.
    pub(super) fn enter(&mut self, path: &Path) -> Result<OpenDirectory, Errno> {
        let start = OpenDirectory::at_start_of(path)?;
        self.directory(&start, path.strip_prefix("/").unwrap_or(path))
    }

    /// The directory that a path leads to from another one.
    pub(super) fn directory(&mut self, from: &OpenDirectory, path: &Path) -> Result<OpenDirectory, Errno> {
        match self.follow(from, path, ExpectedKind::Directory)? {
            Met::Directory(directory, _) => Ok(directory),
            Met::File(_) | Met::Link { .. } => Err(Errno::NOTDIR),
        }
    }

    /// The target of a name in a directory; nothing has been done to it.
    pub(super) fn file(&mut self, from: &OpenDirectory, name: &OsStr) -> Result<ReachedFile, Errno> {
        match self.follow(from, Path::new(name), ExpectedKind::Any)? {
            Met::File(looked) => Ok(looked),
            Met::Directory(directory, stat) => {
                let filesystem = directory.directory.filesystem();
                Ok(ReachedFile { descriptor: directory.descriptor, stat, filesystem })
            }
            Met::Link { .. } => Err(Errno::LOOP),
        }
    }

    /// Goes to where a path leads.
    fn follow(&mut self, from: &OpenDirectory, path: &Path, expected: ExpectedKind) -> Result<Met, Errno> {
        let mut here = from.clone();
        let mut ahead = Vec::new();
        push(&mut ahead, path);
        while let Some(name) = ahead.pop() {
            match name.as_encoded_bytes() {
                // Where the walk begins, unless a link leads there.
                b"/" => here = OpenDirectory::at_start_of(Path::new("/"))?,
                b"." => {}
                b".." => {
                    self.search(&here.directory);
                    here = here.leave()?;
                }
                _ => {
                    self.search(&here.directory);
                    let is_last = ahead.is_empty();
                    let met = match here.meet(&name, if is_last { expected } else { ExpectedKind::Directory }) {
                        Ok(Met::Link { .. }) if self.links == LINKS => Err(Errno::LOOP),
                        Ok(Met::Link { target }) => {
                            self.links += 1;
                            push(&mut ahead, Path::new(&target));
                            continue;
                        }
                        Ok(Met::Directory(directory, _)) if !is_last => {
                            here = directory;
                            continue;
                        }
                        Ok(Met::File(_)) if !is_last => Err(Errno::NOTDIR),
                        met => met,
                    };
                    self.last = Some((Arc::clone(&here.directory), name));
                    return met;
                }
            }
        }
        let stat = rustix::fs::fstat(&*here.descriptor)?;
        Ok(Met::Directory(here, stat))
    }

    /// Names are looked up in this directory.
    pub(super) fn search_in(&mut self, standing: &OpenDirectory) {
        self.search(&standing.directory);
    }

    fn search(&mut self, directory: &Arc<Directory>) {
        let goes_on = |end: &Arc<Directory>| directory.parent().is_some_and(|parent| Arc::ptr_eq(parent, end));
        if let Some(end) = self.ends.last_mut().filter(|end| goes_on(end)) {
            *end = Arc::clone(directory);
        } else if !self.ends.iter().any(|end| leads_through(end, directory)) {
            self.ends.push(Arc::clone(directory));
        }
    }
}

/// Opens a directory to be searched. It need not be one that may be listed.
fn open_directory(at: impl AsFd, name: impl rustix::path::Arg + Copy) -> Result<OwnedFd, Errno> {
    let open = |flags| rustix::fs::openat(&at, name, flags, Mode::empty());
    match open(LISTED) {
        Err(Errno::ACCESS | Errno::PERM) => open(SEARCHED),
        opened => opened,
    }
}

/// Whether a directory is this one, or was found through it.
fn leads_through(end: &Arc<Directory>, directory: &Arc<Directory>) -> bool {
    std::iter::successors(Some(end), |end| end.parent()).any(|end| Arc::ptr_eq(end, directory) || end == directory)
}

/// The kind of a file system, by its magic number.
fn filesystem(parent: Option<&Arc<Directory>>, file: &OwnedFd, stat: &Stat) -> Result<u32, Errno> {
    let known = parent.filter(|parent| parent.id().0 == id(stat).0).map(|parent| parent.filesystem());
    let filesystem = match known {
        Some(known) => known,
        // The magic number has 32 bits, whatever the width of the field.
        None => rustix::fs::fstatfs(file)?.f_type as u32,
    };
    if filesystem == PROC { Err(THROUGH_PROCFS) } else { Ok(filesystem) }
}

#[expect(clippy::useless_conversion, reason = "the types of these fields differ between architectures")]
fn id(stat: &Stat) -> (u64, u64) {
    (stat.st_dev.into(), stat.st_ino.into())
}

/// The names of a path before those that are ahead already, the next one last.
fn push(ahead: &mut Vec<OsString>, path: &Path) {
    ahead.extend(path.components().rev().map(|component| match component {
        Component::Prefix(_) => OsString::from("."),
        component => component.as_os_str().to_owned(),
    }));
}

#[cfg(test)]
mod tests;
