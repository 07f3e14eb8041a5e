//! The way into a place, be it a directory of the node or a volume that somebody else may write.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::file::ReadError;
use super::route::Route;
use super::stamp::FileStamp;
use super::walk::ReachedFile;

/// How the files of a place are come by.
pub(super) trait Entrance {
    /// A directory that is open to be searched.
    type Opened: AsFd;

    /// Opens the directory that `..data` leads to, or where there is none the directory itself.
    fn enter(&self) -> Entered<Self::Opened>;

    /// Opens the directory itself.
    fn enter_itself(&self) -> Entered<Self::Opened>;

    /// Whether `..data` leads to this directory still.
    fn still_leads_to(&self, data: &Self::Opened, stamp: &FileStamp) -> bool;

    /// Looks at a file in one of the two.
    fn look(&self, directory: &Self::Opened, file: &Path) -> LookedAt;

    /// Why there is no file in a directory that cannot be opened.
    fn refusal(errno: Errno) -> ReadError;

    /// Why a file cannot be looked at.
    fn refusal_of_file(errno: Errno) -> ReadError;
}

/// A directory that was opened, or why it was not.
pub(super) struct Entered<D> {
    pub(super) found: Result<(D, FileStamp), Errno>,
    /// Whether `..data` led to it.
    pub(super) is_data: bool,
    /// The way to it, as far as it led.
    pub(super) route: Route,
}

/// A file that was looked at, or why it was not.
pub(super) struct LookedAt {
    pub(super) found: Result<ReachedFile, Errno>,
    /// The way to it, as far as it led.
    pub(super) route: Route,
    /// Where that ended.
    pub(super) end: Option<PathBuf>,
}

impl LookedAt {
    pub(super) fn stamp(&self) -> Result<FileStamp, Errno> {
        self.found.as_ref().map(|looked| FileStamp::of(&looked.stat)).map_err(|errno| *errno)
    }
}

impl<D: AsFd> Entered<D> {
    pub(super) fn new(directory: Result<D, Errno>, is_data: bool, route: Route) -> Self {
        let stamped = |directory: D| {
            let stamp = FileStamp::of(&rustix::fs::fstat(&directory)?);
            Ok((directory, stamp))
        };
        Self { found: directory.and_then(stamped), is_data, route }
    }
}
