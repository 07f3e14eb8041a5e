//! The way to a file, as the kernel would go it: every directory that is searched, symbolic links followed.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use evercert_core::mount::{DATA, FileId, KeyAccess};

use super::caller::Caller;
use super::denial::Refusal;
use super::filesystem::Filesystem;
use super::permissions::{Permissions, Wish};

/// The most symbolic links on one way, as in the kernel.
const LINKS_LIMIT: usize = 40;

/// The directories that are searched on the way to a file, and who may do what with them and it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) directories: Vec<(PathBuf, Permissions)>,
    /// Where the way ends: the file behind all links, or the first name that is not there.
    pub(super) file: PathBuf,
    /// Absent where the file is not there.
    pub(super) permissions: Option<Permissions>,
    /// Which file it is; absent where it is not there.
    pub(super) id: Option<FileId>,
    /// The first file system on the way whose permissions are not what decides, and what is there.
    pub(super) foreign: Option<(PathBuf, Filesystem)>,
}

/// The file systems on a way.
#[derive(Default)]
struct Crossed {
    /// The device of what was passed last.
    device: Option<u64>,
    foreign: Option<(PathBuf, Filesystem)>,
}

impl Crossed {
    /// Looks at the file system of `path`, which is no symbolic link, where it is another one than the last.
    fn pass(&mut self, path: &Path, device: u64) -> io::Result<()> {
        if self.device.replace(device) != Some(device) && self.foreign.is_none() {
            let filesystem = Filesystem::of(path)?;
            self.foreign = (!filesystem.is_local()).then(|| (path.to_owned(), filesystem));
        }
        Ok(())
    }
}

impl Route {
    /// The way to the absolute `path` as the file system is now. In a volume of the kubelet's it goes through `..data`, as the
    /// reading of the file does: the file's own link may not be there yet. Blocks for as long as the file system does.
    ///
    /// # Errors
    ///
    /// What is there cannot be looked at, or `path` leads to something else than a regular file.
    pub(super) fn to(path: &Path) -> io::Result<Self> {
        let through_current = path.parent().zip(path.file_name()).and_then(|(directory, name)| {
            let current = directory.join(DATA);
            fs::symlink_metadata(&current).is_ok_and(|found| found.is_symlink()).then(|| current.join(name))
        });
        Self::follow(through_current.as_deref().unwrap_or(path))
    }

    fn follow(path: &Path) -> io::Result<Self> {
        let mut here = PathBuf::from("/");
        let root = fs::symlink_metadata(&here)?;
        let mut crossed = Crossed::default();
        crossed.pass(&here, root.dev())?;
        let mut directories = vec![(here.clone(), Permissions::of(&here, &root)?)];
        let mut ahead = Vec::new();
        push(&mut ahead, path);
        let mut links = 0;
        while let Some(step) = ahead.pop() {
            let Step::Down(name) = step else {
                // Whatever was passed on the way here was searched already.
                here.pop();
                continue;
            };
            let next = here.join(name);
            let metadata = match fs::symlink_metadata(&next) {
                Ok(metadata) => metadata,
                Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    return Ok(Self { directories, file: next, permissions: None, id: None, foreign: crossed.foreign });
                }
                Err(error) => return Err(error),
            };
            if metadata.is_symlink() {
                links += 1;
                if links > LINKS_LIMIT {
                    return Err(io::Error::other("too many symbolic links"));
                }
                let target = fs::read_link(&next)?;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                push(&mut ahead, &target);
                continue;
            }
            crossed.pass(&next, metadata.dev())?;
            let permissions = Permissions::of(&next, &metadata)?;
            if metadata.is_dir() {
                directories.push((next.clone(), permissions));
                here = next;
            } else if metadata.is_file() && ahead.is_empty() {
                let (permissions, id, foreign) = (Some(permissions), Some(FileId::of(&metadata)), crossed.foreign);
                return Ok(Self { directories, file: next, permissions, id, foreign });
            } else {
                break;
            }
        }
        Err(io::Error::other("not a regular file"))
    }
}

impl Route {
    /// Whether the way and the file at its end let `caller`, who is not root, read. What is served was read from the file that is
    /// in `record`: where that is not the one that is there now, both have to let the caller read.
    pub(super) fn decide(&self, caller: &Caller, record: &KeyAccess) -> Result<(), Refusal> {
        self.decide_now(caller)?;
        if self.id.is_some_and(|id| id.is_certainly(&record.id)) {
            return Ok(());
        }
        let permissions = Permissions::on_record(&record.access);
        if permissions.grant(caller, Wish::Read) {
            return Ok(());
        }
        Err(Refusal::NotAReaderThen {
            caller: caller.clone().into(),
            path: self.file.clone(),
            permissions: permissions.into(),
        })
    }

    /// Whether the way and the file that is there now let `caller` read.
    pub(super) fn decide_now(&self, caller: &Caller) -> Result<(), Refusal> {
        let refusal = |path: &Path, permissions: &Permissions, wish| Refusal::NotAReader {
            caller: caller.clone().into(),
            wish,
            path: path.to_owned(),
            permissions: permissions.clone().into(),
        };
        for (directory, permissions) in &self.directories {
            if !permissions.grant(caller, Wish::Search) {
                return Err(refusal(directory, permissions, Wish::Search));
            }
        }
        if let Some((path, filesystem)) = &self.foreign {
            return Err(Refusal::FileSystem { path: path.clone(), filesystem: *filesystem });
        }
        match &self.permissions {
            None => Err(Refusal::Missing { file: self.file.clone() }),
            Some(permissions) if permissions.grant(caller, Wish::Read) => Ok(()),
            Some(permissions) => Err(refusal(&self.file, permissions, Wish::Read)),
        }
    }
}

enum Step {
    Up,
    Down(OsString),
}

/// Puts the steps of `path` before those that are ahead; the next one is the last.
fn push(ahead: &mut Vec<Step>, path: &Path) {
    ahead.extend(path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(Step::Down(name.to_owned())),
        Component::ParentDir => Some(Step::Up),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    }));
}
