//! The machine, as far as the keeper needs it.

use std::io;
use std::time::{Instant, SystemTime};

use crate::clock::Now;
use crate::mount::{self, Reading, Visit};
use crate::mounts::MountChanges;
use crate::spec::FileSet;
use crate::watch::{Inotify, Placed};

/// Clocks and disk. A seam, so that a test can set the clock and hang a mount.
pub(crate) trait System: Send + Sync + 'static {
    /// Both clocks.
    fn now(&self) -> Now;

    /// A new inotify instance.
    fn inotify(&self) -> io::Result<Inotify>;

    /// Hears of changes of the list of mounts.
    fn mounts(&self) -> io::Result<MountChanges>;

    /// [`Inotify::place`]. Blocks.
    fn place(&self, inotify: &Inotify, files: &FileSet) -> Placed;

    /// [`mount::visit`]. Blocks.
    fn visit<'a>(&self, files: &'a FileSet) -> Visit<'a>;

    /// [`Visit::read`]. Blocks.
    fn read(&self, visit: Visit<'_>) -> Reading;
}

/// The machine itself.
#[derive(Debug)]
pub(crate) struct Machine;

impl System for Machine {
    fn now(&self) -> Now {
        Now { wall: SystemTime::now(), monotonic: Instant::now() }
    }

    fn inotify(&self) -> io::Result<Inotify> {
        Inotify::open()
    }

    fn mounts(&self) -> io::Result<MountChanges> {
        MountChanges::open()
    }

    fn place(&self, inotify: &Inotify, files: &FileSet) -> Placed {
        inotify.place(files)
    }

    fn visit<'a>(&self, files: &'a FileSet) -> Visit<'a> {
        mount::visit(files)
    }

    fn read(&self, visit: Visit<'_>) -> Reading {
        visit.read()
    }
}
