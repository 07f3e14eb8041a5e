//! The way to an identity's files: every directory in which a name is looked up.
//!
//! Links are followed by hand, one component after the other, as the kernel would: at each, the directory is watched before the
//! name is looked up in it, so what changes after the look is heard. Where a name is missing the way ends, and goes on from there
//! once the name appears. Nothing is opened or read, but for the directories of a volume, in which the kernel keeps the way.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::CWD;
use rustix::fs::inotify::WatchFlags;
use rustix::io::Errno;

use super::{Inotify, Interest, Placed, Subject, Watch, WatchProblem};
use crate::mount::{self, DATA, Place};
use crate::spec::FileSet;

/// How many links the way to one file may lead through: as many as the kernel follows.
const LINKS: usize = 40;

/// The longest target that a link can have, in bytes (PATH_MAX).
const TARGET: usize = 4096;

/// How many directories are watched for one identity. A change beyond is found at the tick.
const DIRECTORIES: usize = 256;

/// How often a volume that appears while its ancestors are looked for is looked for again.
const ROUNDS: usize = 5;

/// The events of every directory on the way: names that come, go or get other permissions.
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::ONLYDIR);

/// The events of a directory that holds none of the files: in `/tmp` and the like it must not wake anybody for each file that is written.
/// One that is watched for files besides keeps what is heard for them.
const WAY: WatchFlags = NAMES.union(WatchFlags::MASK_ADD);

/// The events of a directory of files: also that they were written, and its own end; not that files are opened or read: every
/// look would cause the next.
const FILES: WatchFlags =
    NAMES.union(WatchFlags::CLOSE_WRITE).union(WatchFlags::DELETE_SELF).union(WatchFlags::MOVE_SELF);

/// The events of the directory behind `..data`, and in a volume of those in it, that are not a kubelet's doing. Removals are left out: a
/// kubelet empties the former directory, which would wake this process at every rotation for nothing; a file that somebody else removes
/// there is found missing at the tick.
const BEHIND_DATA: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::MASK_ADD);

/// The purpose that a directory is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    /// A name in it is on the way to further names.
    Way,
    /// A file is looked up in it.
    Files,
    /// The same, and a kubelet replaces it as a whole.
    BehindData,
}

impl Purpose {
    fn heard(self) -> WatchFlags {
        match self {
            Self::Way => WAY,
            Self::Files => FILES,
            Self::BehindData => BEHIND_DATA,
        }
    }
}

/// Has the way to these files heard.
pub(super) fn place(inotify: &Inotify, files: &FileSet) -> Placed {
    let mut route = Route { inotify, placed: Placed::default(), watched: HashMap::new() };
    for (place, files) in mount::by_place(files) {
        match place {
            Place::Directory(directory) => route.directory(directory, &files),
            Place::Volume(root) => route.volume(root, &files),
        }
    }
    let mut placed = route.placed;
    placed.interests.sort_unstable();
    placed.interests.dedup();
    placed
}

struct Route<'a> {
    inotify: &'a Inotify,
    placed: Placed,
    /// The directories that were met, free of links; with what each is watched for, or why it is not.
    watched: HashMap<PathBuf, (Purpose, Result<Watch, Errno>)>,
}

impl Route<'_> {
    /// The way to files of one directory, through `..data` where there is one.
    fn directory(&mut self, directory: &Path, files: &[&Path]) {
        let Some(directory) = self.follow(PathBuf::from("."), directory, Purpose::Way) else { return };
        let data = self.follow(directory.clone(), Path::new(DATA), Purpose::Files);
        let data =
            data.filter(|data| !matches!(self.watch(data, Purpose::BehindData), Err(Errno::NOTDIR | Errno::NOENT)));
        let directory = data.unwrap_or(directory);
        for name in files.iter().filter_map(|file| file.file_name()) {
            self.follow(directory.clone(), Path::new(name), Purpose::Files);
        }
    }

    /// The target of a path from a directory that is free of links, free of links itself; none where a name is missing. The directory that
    /// its last name, or a link in its place, is looked up in is watched as `last` says.
    fn follow(&mut self, from: PathBuf, path: &Path, last: Purpose) -> Option<PathBuf> {
        let (mut at, mut links) = (from, 0);
        let mut ahead: Vec<OsString> = Vec::new();
        push(&mut ahead, path);
        while let Some(name) = ahead.pop() {
            match name.as_encoded_bytes() {
                b"/" => at = PathBuf::from("/"),
                b"." => {}
                b".." => leave(&mut at),
                _ => {
                    let purpose = if ahead.is_empty() { last } else { Purpose::Way };
                    self.listen(&at, &name, purpose);
                    at.push(&name);
                    let mut buffer = [MaybeUninit::uninit(); TARGET];
                    match rustix::fs::readlinkat_raw(CWD, &at, &mut buffer) {
                        Ok((target, _)) if links < LINKS => {
                            links += 1;
                            at.pop();
                            push(&mut ahead, Path::new(OsStr::from_bytes(target)));
                        }
                        // It is no link.
                        Err(Errno::INVAL) => {}
                        // It is missing, may not be looked up, or is one link too many.
                        Ok(_) | Err(_) => return None,
                    }
                }
            }
        }
        Some(at)
    }

    /// The way to files in a volume. Its root is watched as it is, and waited for where it is missing or a link.
    fn volume(&mut self, root: &Path, files: &[&Path]) {
        for _ in 0..ROUNDS {
            match self.inotify.add(root, FILES | WatchFlags::DONT_FOLLOW) {
                Ok(watch) => {
                    self.directory_itself(watch);
                    self.name(watch, OsStr::new(DATA));
                    return mount::lookups(root, files, |directory, names| self.within(directory, names));
                }
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => return self.fail(Purpose::Files, errno),
            }
            let (Some(parent), Some(name)) = (root.parent(), root.file_name()) else { return };
            let Some(parent) = self.follow(PathBuf::from("."), parent, Purpose::Way) else { return };
            self.listen(&parent, name, Purpose::Way);
            // It may have come before its parent was watched.
            if !rustix::fs::lstat(root).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir()) {
                return;
            }
        }
    }

    /// Names of an open directory of a volume.
    fn within(&mut self, directory: BorrowedFd<'_>, names: &[&OsStr]) {
        let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
        match self.inotify.add(Path::new(&path), BEHIND_DATA) {
            Ok(watch) => names.iter().for_each(|name| self.name(watch, name)),
            Err(errno) => self.fail(Purpose::Files, errno),
        }
    }

    /// Has a name heard in a directory that is free of links.
    fn listen(&mut self, directory: &Path, name: &OsStr, purpose: Purpose) {
        if let Ok(watch) = self.watch(directory, purpose) {
            self.name(watch, name);
        }
    }

    fn watch(&mut self, directory: &Path, purpose: Purpose) -> Result<Watch, Errno> {
        let known = self.watched.get(directory).copied();
        if let Some((_, result)) = known.filter(|(known, _)| *known >= purpose) {
            return result;
        }
        if known.is_none() && self.watched.len() == DIRECTORIES {
            self.placed.problem.get_or_insert(WatchProblem::Other);
            return Err(Errno::NOSPC);
        }
        let result = self.inotify.add(directory, purpose.heard());
        match result {
            Ok(watch) if purpose == Purpose::Files => self.directory_itself(watch),
            Ok(_) => {}
            Err(errno) => self.fail(purpose, errno),
        }
        self.watched.insert(directory.to_owned(), (purpose, result));
        result
    }

    fn directory_itself(&mut self, watch: Watch) {
        self.placed.interests.push(Interest { watch, subject: Subject::Directory });
    }

    fn name(&mut self, watch: Watch, name: &OsStr) {
        self.placed.interests.push(self.inotify.name(watch, name));
    }

    fn fail(&mut self, purpose: Purpose, errno: Errno) {
        let problem = match errno {
            // It was removed meanwhile, which is heard in its parent.
            Errno::NOENT | Errno::NOTDIR => return,
            // Passing through a directory takes no permission to list it, watching it does.
            Errno::ACCESS if purpose == Purpose::Way => return,
            Errno::NOSPC | Errno::NOMEM => WatchProblem::Exhausted,
            _ => WatchProblem::Other,
        };
        self.placed.problem = Some(problem);
    }
}

/// The names of a path before those that are ahead already, the next one last.
fn push(ahead: &mut Vec<OsString>, path: &Path) {
    ahead.extend(path.components().rev().map(|component| component.as_os_str().to_owned()));
}

/// Goes to the parent of a directory that is free of links.
fn leave(at: &mut PathBuf) {
    match at.components().next_back() {
        Some(Component::Normal(_)) => _ = at.pop(),
        Some(Component::RootDir | Component::Prefix(_)) => {}
        // It is relative to where the process is.
        Some(Component::CurDir | Component::ParentDir) | None => at.push(".."),
    }
}
