//! The files of one place, as of one moment.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::file::{self, Content, ReadError};
use super::place::{DATA, Place};
use super::stamp::{DirectoryId, DirectoryStamp, FileStamp};
use super::volume::Volume;

/// How often a directory is opened for one read before its files are given up as torn.
const ATTEMPTS: usize = 5;

/// How a directory is opened, without the need to be allowed to list it.
pub(super) const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// What the files of one place gave, in the order they were asked for.
pub(super) struct DirectoryRead {
    pub(super) outcomes: Vec<Result<Content, ReadError>>,
    pub(super) stamp: DirectoryStamp,
}

/// How the files of a place are come by.
pub(super) trait Entrance {
    /// Opens the directory that `..data` leads to.
    fn data(&self) -> Result<OwnedFd, Errno>;

    /// Opens the directory itself.
    fn directory(&self) -> Result<OwnedFd, Errno>;

    /// Opens a file for reading in one of the two.
    fn file(&self, directory: BorrowedFd<'_>, file: &Path) -> Result<OwnedFd, ReadError>;

    /// What a file looks like in one of the two.
    fn stamp(&self, directory: BorrowedFd<'_>, file: &Path) -> Result<FileStamp, Errno>;

    /// Why there is no file in a directory that cannot be opened.
    fn refusal(errno: Errno) -> ReadError;
}

/// Reads these files of a place as one set.
pub(super) fn read(place: Place<'_>, files: &[&Path]) -> DirectoryRead {
    let mut attempts = 1;
    loop {
        match attempt(place, files) {
            Attempt::Torn(_) if attempts < ATTEMPTS => attempts += 1,
            Attempt::Whole(read) | Attempt::Torn(read) => return read,
        }
    }
}

/// What these files of a place look like.
pub(super) fn stamp(place: Place<'_>, files: &[&Path]) -> DirectoryStamp {
    match place {
        Place::Directory(directory) => stamp_through(&Directory(directory), files),
        Place::Volume(root) => {
            Volume::enter(root).map_or_else(|errno| same(errno, files), |volume| stamp_through(&volume, files))
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

fn attempt(place: Place<'_>, files: &[&Path]) -> Attempt {
    match place {
        Place::Directory(directory) => attempt_through(&Directory(directory), files),
        Place::Volume(root) => match Volume::enter(root) {
            Ok(volume) => attempt_through(&volume, files),
            Err(errno) => refused::<Volume<'_>>(errno, files),
        },
    }
}

fn attempt_through<E: Entrance>(entrance: &E, files: &[&Path]) -> Attempt {
    match opened(entrance.data()) {
        Ok((data, stamp)) => kubelet(entrance, &data, stamp, files),
        Err(Errno::NOENT | Errno::NOTDIR) => match entrance.directory() {
            Ok(directory) => plain(entrance, &directory, files),
            Err(errno) => refused::<E>(errno, files),
        },
        Err(errno) => refused::<E>(errno, files),
    }
}

fn stamp_through(entrance: &impl Entrance, files: &[&Path]) -> DirectoryStamp {
    match opened(entrance.data()) {
        Ok((data, stamp)) => {
            let files = files.iter().map(|file| entrance.stamp(data.as_fd(), file)).collect();
            DirectoryStamp::Kubelet(stamp, files)
        }
        Err(Errno::NOENT | Errno::NOTDIR) => {
            let (directory, files) = plain_looks(entrance, files);
            DirectoryStamp::Plain(directory, files)
        }
        Err(errno) => same(errno, files),
    }
}

/// The directory itself, and the stamps of its files.
type Looks = (Result<DirectoryId, Errno>, Box<[Result<FileStamp, Errno>]>);

/// The stamps of the files of the directory itself, as of now.
fn plain_looks(entrance: &impl Entrance, files: &[&Path]) -> Looks {
    match opened(entrance.directory()) {
        Ok((directory, stamp)) => {
            (Ok(stamp.id()), files.iter().map(|file| entrance.stamp(directory.as_fd(), file)).collect())
        }
        Err(errno) => (Err(errno), files.iter().map(|_| Err(errno)).collect()),
    }
}

fn opened(directory: Result<OwnedFd, Errno>) -> Result<(OwnedFd, FileStamp), Errno> {
    let directory = directory?;
    let stamp = FileStamp::of(&rustix::fs::fstat(&directory)?);
    Ok((directory, stamp))
}

fn refused<E: Entrance>(errno: Errno, files: &[&Path]) -> Attempt {
    let outcomes = files.iter().map(|_| Err(E::refusal(errno))).collect();
    Attempt::of(DirectoryRead { outcomes, stamp: same(errno, files) })
}

/// The stamp of files that cannot be come by, all for the same reason.
fn same(errno: Errno, files: &[&Path]) -> DirectoryStamp {
    DirectoryStamp::Plain(Err(errno), files.iter().map(|_| Err(errno)).collect())
}

fn kubelet(entrance: &impl Entrance, data: &OwnedFd, stamp: FileStamp, files: &[&Path]) -> Attempt {
    let mut outcomes: Vec<_> = files.iter().map(|file| read_in(entrance, data, file)).collect();
    let missing = |outcome: &Result<_, _>| matches!(outcome, Err(ReadError::Missing));
    // After a swap the old directory is emptied file by file. A file that is missing while `..data` still leads here is
    // missing in this set.
    if outcomes.iter().any(missing) && !opened(entrance.data()).is_ok_and(|(_, current)| current.id() == stamp.id()) {
        outcomes.iter_mut().filter(|outcome| missing(outcome)).for_each(|outcome| *outcome = Err(ReadError::Torn));
    }
    let look = |(file, outcome): (&&Path, &Result<Content, _>)| match outcome {
        // If it changed since, the next look will tell.
        Ok(content) => Ok(content.stamp),
        Err(_) => entrance.stamp(data.as_fd(), file),
    };
    let looks = files.iter().zip(&outcomes).map(look).collect();
    Attempt::of(DirectoryRead { outcomes, stamp: DirectoryStamp::Kubelet(stamp, looks) })
}

fn plain(entrance: &impl Entrance, directory: &OwnedFd, files: &[&Path]) -> Attempt {
    let read: Vec<_> = files.iter().map(|file| read_in(entrance, directory, file)).collect();
    let is_stale = rustix::fs::fstat(directory).is_ok_and(|stat| file::is_stale_mount(directory.as_fd(), &stat));
    let (directory, looks) = plain_looks(entrance, files);
    let unchanged = |read: Result<Content, ReadError>, now: &Result<FileStamp, Errno>| match (read, now) {
        (Ok(content), Ok(now)) if content.stamp == *now => Ok(content),
        (Ok(_), _) | (Err(ReadError::Missing), Ok(_)) => Err(ReadError::Torn),
        (Err(ReadError::Missing), Err(_)) if is_stale => Err(ReadError::StaleMount),
        (Err(error), _) => Err(error),
    };
    let outcomes = read.into_iter().zip(&looks).map(|(read, now)| unchanged(read, now)).collect();
    Attempt::of(DirectoryRead { outcomes, stamp: DirectoryStamp::Plain(directory, looks) })
}

fn read_in(entrance: &impl Entrance, directory: &OwnedFd, file: &Path) -> Result<Content, ReadError> {
    file::read(&entrance.file(directory.as_fd(), file)?.into())
}

/// A directory of the node's.
struct Directory<'a>(&'a Path);

impl Entrance for Directory<'_> {
    fn data(&self) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(CWD, self.0.join(DATA), DIRECTORY, Mode::empty())
    }

    fn directory(&self) -> Result<OwnedFd, Errno> {
        rustix::fs::openat(CWD, self.0, DIRECTORY, Mode::empty())
    }

    fn file(&self, directory: BorrowedFd<'_>, file: &Path) -> Result<OwnedFd, ReadError> {
        let name = file.file_name().ok_or(ReadError::NotRegular)?;
        Ok(rustix::fs::openat(directory, name, file::READ, Mode::empty())?)
    }

    fn stamp(&self, directory: BorrowedFd<'_>, file: &Path) -> Result<FileStamp, Errno> {
        let name = file.file_name().ok_or(Errno::ISDIR)?;
        rustix::fs::statat(directory, name, AtFlags::empty()).map(|stat| FileStamp::of(&stat))
    }

    fn refusal(errno: Errno) -> ReadError {
        match errno {
            Errno::NOTDIR => ReadError::NotADirectory,
            errno => errno.into(),
        }
    }
}
