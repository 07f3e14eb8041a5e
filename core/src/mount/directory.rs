//! The files of one directory, as of one moment.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::file::{self, ReadError};
use super::stamp::{self, DirectoryStamp, FileStamp};

/// The symlink that a kubelet swaps.
pub(crate) const DATA: &str = "..data";

/// How often a directory is opened for one read before its files are given up as torn.
const ATTEMPTS: usize = 5;

/// What the files of one directory gave, in the order they were asked for.
pub(super) struct DirectoryRead {
    pub(super) outcomes: Vec<Result<Zeroizing<Vec<u8>>, ReadError>>,
    pub(super) stamp: DirectoryStamp,
}

/// The directory whose files change together with this one: its own, but for a path through `..data`, which would be
/// pinned to one swap.
pub(crate) fn directory_of(file: &Path) -> &Path {
    let parent = file.parent().unwrap_or(file);
    if parent.file_name() == Some(OsStr::new(DATA)) { parent.parent().unwrap_or(parent) } else { parent }
}

/// Reads these files of a directory as one set.
pub(super) fn read(directory: &Path, files: &[&Path]) -> DirectoryRead {
    let mut attempts = 1;
    loop {
        match attempt(directory, files) {
            Attempt::Torn(_) if attempts < ATTEMPTS => attempts += 1,
            Attempt::Whole(read) | Attempt::Torn(read) => return read,
        }
    }
}

enum Attempt {
    /// One moment's files, present or not.
    Whole(DirectoryRead),
    /// Something was swapped or written meanwhile.
    Torn(DirectoryRead),
}

impl Attempt {
    fn of(read: DirectoryRead) -> Self {
        let torn = read.outcomes.iter().any(|outcome| matches!(outcome, Err(ReadError::Torn)));
        if torn { Self::Torn(read) } else { Self::Whole(read) }
    }
}

fn attempt(directory: &Path, files: &[&Path]) -> Attempt {
    match open(directory.join(DATA)) {
        Ok((data, stamp)) => kubelet(directory, &data, stamp, files),
        Err(Errno::NOENT | Errno::NOTDIR) => match open(directory.to_owned()) {
            Ok((directory, _)) => plain(&directory, files),
            Err(errno) => Attempt::Whole(refused(errno, files)),
        },
        Err(errno) => Attempt::Whole(refused(errno, files)),
    }
}

/// Opens a directory without the need to be allowed to list it.
fn open(path: PathBuf) -> Result<(OwnedFd, FileStamp), Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
    let stamp = FileStamp::of(&rustix::fs::fstat(&directory)?);
    Ok((directory, stamp))
}

fn refused(errno: Errno, files: &[&Path]) -> DirectoryRead {
    DirectoryRead {
        outcomes: files.iter().map(|_| Err(errno.into())).collect(),
        stamp: DirectoryStamp::Plain(files.iter().map(|_| Err(errno)).collect()),
    }
}

fn kubelet(directory: &Path, data: &OwnedFd, stamp: FileStamp, files: &[&Path]) -> Attempt {
    let mut outcomes: Vec<_> = files.iter().map(|file| Ok(read_in(data, file)?.0)).collect();
    let missing = |outcome: &Result<_, _>| matches!(outcome, Err(ReadError::Missing));
    // After a swap the old directory is emptied file by file. A file that is missing while `..data` still leads here is
    // missing in this set.
    if outcomes.iter().any(missing) && !open(directory.join(DATA)).is_ok_and(|(_, current)| current.is_same(&stamp)) {
        outcomes.iter_mut().filter(|outcome| missing(outcome)).for_each(|outcome| *outcome = Err(ReadError::Torn));
    }
    Attempt::of(DirectoryRead { outcomes, stamp: DirectoryStamp::Kubelet(stamp) })
}

fn plain(directory: &OwnedFd, files: &[&Path]) -> Attempt {
    let read: Vec<_> = files.iter().map(|file| read_in(directory, file)).collect();
    let stamps = stamp::plain(files);
    let unchanged = |read: Result<(_, FileStamp), ReadError>, now: &Result<FileStamp, Errno>| match (read, now) {
        (Ok((content, read)), Ok(now)) if read == *now => Ok(content),
        (Ok(_), _) | (Err(ReadError::Missing), Ok(_)) => Err(ReadError::Torn),
        (Err(error), _) => Err(error),
    };
    let outcomes = read.into_iter().zip(&stamps).map(|(read, now)| unchanged(read, now)).collect();
    Attempt::of(DirectoryRead { outcomes, stamp: DirectoryStamp::Plain(stamps) })
}

fn read_in(directory: &OwnedFd, file: &Path) -> Result<(Zeroizing<Vec<u8>>, FileStamp), ReadError> {
    let name = file.file_name().ok_or(ReadError::NotRegular)?;
    file::read(directory.as_fd(), name)
}
