//! Files as they were found, and whether they are whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evercert_core::text;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

/// A file that was written to this long ago is not being written to.
const OLD: Duration = Duration::from_secs(2);

/// The files that are read for one value, each of them as it was found.
pub(crate) struct Files {
    found: Vec<(PathBuf, Option<Stamp>)>,
}

/// Another stamp is another content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Files {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self { found: Vec::new() }
    }

    /// The whole of a regular file of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is none.
    pub(crate) fn read(&mut self, path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, FileError> {
        let found = read(path, limit);
        let stamp = found.as_ref().map(|(_, stamp)| *stamp).or_else(|_| stamp_at(path)).ok();
        self.found.push((path.to_owned(), stamp));
        let problem = match found {
            Ok((content, _)) => return Ok(content),
            Err(problem) => problem,
        };
        Err(FileError { path: path.to_owned(), problem })
    }

    pub(super) fn are_as_found(&self) -> bool {
        self.found.iter().all(|(path, stamp)| stamp_at(path).ok() == *stamp)
    }

    /// Whether each was found here as it was there.
    pub(super) fn are_as_in(&self, other: &Self) -> bool {
        self.found == other.found
    }

    /// Whether all are whole, and of one time: none has changed since it was read, nor since the look `before`, or else for [`OLD`].
    pub(super) fn rest(&self, before: Option<&Self>, now: SystemTime) -> bool {
        self.are_as_found() && (before.is_some_and(|before| self.are_as_in(before)) || self.are_old(now))
    }

    fn are_old(&self, now: SystemTime) -> bool {
        self.found.iter().all(|(_, stamp)| stamp.is_some_and(|stamp| stamp.is_old(now)))
    }
}

fn stamp_at(path: &Path) -> io::Result<Stamp> {
    std::fs::metadata(path).map(|metadata| Stamp::of(&metadata))
}

fn read(path: &Path, limit: usize) -> Result<(Zeroizing<Vec<u8>>, Stamp), FileProblem> {
    // Without waiting for whoever would write to a FIFO.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(FileProblem::NotAFile);
    }
    let content = bounded(&file, metadata.len(), limit)?;
    Ok((content, Stamp::of(&metadata)))
}

/// The content, in one allocation, so that no copy of it is left behind.
fn bounded(mut file: &File, size: u64, limit: usize) -> Result<Zeroizing<Vec<u8>>, FileProblem> {
    let size = usize::try_from(size).ok().filter(|size| *size <= limit).ok_or(FileProblem::TooLarge { limit })?;
    let mut content = Zeroizing::new(vec![0; size + 1]);
    let mut filled = 0;
    while filled < content.len() {
        match file.read(&mut content[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    if filled > size {
        return Err(FileProblem::Written);
    }
    content.truncate(filled);
    Ok(content)
}

impl Stamp {
    fn of(metadata: &std::fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_old(self, now: SystemTime) -> bool {
        let limit = now.checked_sub(OLD).and_then(|limit| limit.duration_since(UNIX_EPOCH).ok());
        let limit = limit.and_then(|limit| Some((i64::try_from(limit.as_secs()).ok()?, limit.subsec_nanos().into())));
        limit.is_some_and(|limit| self.modified.max(self.changed) < limit)
    }
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", text::path(.path))]
#[non_exhaustive]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    #[source]
    problem: FileProblem,
}

#[derive(Debug, thiserror::Error)]
enum FileProblem {
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("is not a regular file")]
    NotAFile,
    #[error("has more than {limit} bytes, which is more than is read")]
    TooLarge { limit: usize },
    #[error("is being written to")]
    Written,
}
