//! The way into a directory of the node: a walk from `/`, links followed by hand.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::entrance::{Entered, Entrance, LookedAt};
use super::file::ReadError;
use super::place::DATA;
use super::route::Route;
use super::stamp::FileStamp;
use super::walk::{OpenDirectory, THROUGH_PROCFS, Walk};

/// A directory of the node's.
pub(super) struct NodeDirectory<'a>(pub(super) &'a Path);

/// One that was entered, and the way to it and into it.
pub(super) struct Within {
    standing: OpenDirectory,
    /// The directory whose `..data` led to it.
    data_of: Option<OpenDirectory>,
    walk: Walk,
    route: Route,
}

impl Within {
    fn new(standing: OpenDirectory, data_of: Option<OpenDirectory>, mut walk: Walk) -> Self {
        walk.search_in(&standing);
        let route = walk.route();
        Self { standing, data_of, walk, route }
    }
}

impl AsFd for Within {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.standing.descriptor().as_fd()
    }
}

impl NodeDirectory<'_> {
    fn entered(standing: Result<OpenDirectory, Errno>, data_of: Option<OpenDirectory>, walk: Walk) -> Entered<Within> {
        let is_data = data_of.is_some();
        match standing {
            Ok(standing) => {
                let within = Within::new(standing, data_of, walk);
                let route = within.route.clone();
                Entered::new(Ok(within), is_data, route)
            }
            Err(errno) => Entered::new(Err(errno), is_data, walk.route()),
        }
    }
}

impl Entrance for NodeDirectory<'_> {
    type Opened = Within;

    fn enter(&self) -> Entered<Within> {
        let mut walk = Walk::default();
        let itself = match walk.enter(self.0) {
            Ok(itself) => itself,
            Err(errno) => return Self::entered(Err(errno), None, walk),
        };
        let mut further = walk.clone();
        match further.directory(&itself, Path::new(DATA)) {
            Err(Errno::NOENT | Errno::NOTDIR) => Self::entered(Ok(itself), None, walk),
            data => Self::entered(data, Some(itself), further),
        }
    }

    fn enter_itself(&self) -> Entered<Within> {
        let mut walk = Walk::default();
        let itself = walk.enter(self.0);
        Self::entered(itself, None, walk)
    }

    fn still_leads_to(&self, data: &Within, stamp: &FileStamp) -> bool {
        // The kernel may follow it: nothing is opened, and no other directory is the same one.
        let now = data.data_of.as_ref().map(|itself| rustix::fs::statat(itself.descriptor(), DATA, AtFlags::empty()));
        now.is_some_and(|now| now.is_ok_and(|now| FileStamp::of(&now).id() == stamp.id()))
    }

    fn look(&self, within: &Within, file: &Path) -> LookedAt {
        let Some(name) = file.file_name() else {
            return LookedAt { found: Err(Errno::ISDIR), route: within.route.clone(), end: None };
        };
        let mut walk = within.walk.clone();
        let found = walk.file(&within.standing, name);
        let is_direct = walk.links() == within.walk.links();
        let route = if is_direct { within.route.clone() } else { walk.route() };
        LookedAt { found, route, end: walk.end() }
    }

    fn refusal(errno: Errno) -> ReadError {
        match errno {
            Errno::NOTDIR => ReadError::NotADirectory,
            errno => Self::refusal_of_file(errno),
        }
    }

    fn refusal_of_file(errno: Errno) -> ReadError {
        match errno {
            THROUGH_PROCFS => ReadError::ThroughProcfs,
            Errno::AGAIN => ReadError::Torn,
            Errno::ISDIR => ReadError::NotRegular,
            errno => errno.into(),
        }
    }
}
