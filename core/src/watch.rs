//! Hints that files may have changed.
//!
//! One inotify instance watches the *directories* of all identities, not recursively: a watch on a file, or on `..data`, dies
//! at the first swap. An event is a hint and never data: it only says which identity to look at. The kernel's queue is the one
//! buffer, bounded and merging equal events; when it overflows, everything is looked at.
//!
//! Adding a watch looks a path up and so blocks on a dead mount. It is therefore done by the job that reads the same files
//! ([`Inotify::place`]), before it reads them, so that a change in between is not missed.

mod table;

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

pub(crate) use table::Table;

use crate::mount::{Place, places};
use crate::spec::FileSet;

/// What of a directory is heard: names that come, go, are written or get other permissions, and its own end. Not that files
/// are opened or read: every look would cause the next.
const HEARD: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// How often a directory that appears while its ancestors are looked for is looked for again.
const ROUNDS: usize = 5;

/// The size of the buffer that events are read into, in bytes: some 400 events.
const BUFFER: usize = 16 * 1024;

/// How many buffers are read in one go before others get their turn.
const BATCH: usize = 16;

/// The kernel's number of a watch.
pub(crate) type Watch = i32;

/// An inotify instance. A cheap clone.
#[derive(Debug, Clone)]
pub(crate) struct Inotify(Arc<OwnedFd>);

/// The watches that were placed for one identity.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    /// They are on its directories, or on what is nearest to them.
    pub(crate) watches: Vec<Watch>,
    /// Why some directory is not watched.
    pub(crate) problem: Option<WatchProblem>,
}

/// What went wrong with watching; the periodic tick carries on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WatchProblem {
    /// The kernel's queue overflowed: everything is read again.
    Overflow,
    /// No further inotify watch or instance can be had (ENOSPC, EMFILE).
    Exhausted,
    /// Any other error.
    Other,
}

/// Something that was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// The queue overflowed: anything may have happened.
    Overflow,
    /// This watch is no more.
    Ended(Watch),
    /// Something happened to this name in the watched directory.
    Name(Watch, &'a OsStr),
    /// Something happened to the watched directory itself.
    Directory(Watch),
}

impl Inotify {
    /// A new instance.
    ///
    /// # Errors
    ///
    /// The user has as many instances (`fs.inotify.max_user_instances`), or the process as many descriptors, as it may.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self(Arc::new(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?)))
    }

    /// Watches the directories of these files. One that is not there is waited for in its nearest ancestor. Blocks as long as
    /// the file system takes to answer. Placing again what is in place changes nothing.
    ///
    /// Of a volume the root is watched and nothing that a link in it, or the root itself, leads to. What a kubelet swaps is heard
    /// there; what is written in place further down is left to the tick.
    pub(crate) fn place(&self, files: &FileSet) -> Placed {
        let mut placed = Placed::default();
        for place in places(files) {
            self.place_directory(place, &mut placed);
        }
        placed
    }

    /// Ends a watch.
    pub(crate) fn remove(&self, watch: Watch) {
        // It may have ended by itself.
        let _ = inotify::remove_watch(&*self.0, watch);
    }

    /// Whether both are the same instance.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn place_directory(&self, place: Place<'_>, placed: &mut Placed) {
        for _ in 0..ROUNDS {
            let mut below = None;
            for ancestor in place.path().ancestors() {
                let is_root = below.is_none() && matches!(place, Place::Volume(_));
                let heard = if is_root { HEARD | WatchFlags::DONT_FOLLOW } else { HEARD };
                match inotify::add_watch(&*self.0, ancestor, heard) {
                    Ok(watch) => {
                        placed.push(watch);
                        break;
                    }
                    Err(Errno::NOENT | Errno::NOTDIR) => below = Some(ancestor),
                    Err(errno) => return placed.fail(errno),
                }
            }
            match below {
                None => {
                    if let Place::Directory(directory) = place {
                        self.place_beside_symlink(directory, placed);
                    }
                    return;
                }
                // What is missing may have come before its ancestor was watched.
                Some(missing) if rustix::fs::lstat(missing).is_err() => return,
                Some(_) => {}
            }
        }
    }

    /// A watch follows symlinks, and hears nothing when one is replaced; its directory does.
    fn place_beside_symlink(&self, directory: &Path, placed: &mut Placed) {
        if let (Ok(_), Some(parent)) = (rustix::fs::readlink(directory, Vec::new()), directory.parent()) {
            match inotify::add_watch(&*self.0, parent, HEARD) {
                Ok(watch) => placed.push(watch),
                Err(errno) => placed.fail(errno),
            }
        }
    }
}

impl Placed {
    fn push(&mut self, watch: Watch) {
        if !self.watches.contains(&watch) {
            self.watches.push(watch);
        }
    }

    fn fail(&mut self, errno: Errno) {
        self.problem = Some(match errno {
            Errno::NOSPC | Errno::NOMEM => WatchProblem::Exhausted,
            _ => WatchProblem::Other,
        });
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Inotify {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// The events of an instance.
#[derive(Debug)]
pub(crate) struct Events {
    inotify: AsyncFd<Inotify>,
    buffer: Box<[MaybeUninit<u8>]>,
}

impl Events {
    /// The events of `inotify`, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// The runtime cannot take one more descriptor.
    pub(crate) fn new(inotify: Inotify) -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe, and asks for what holds here: the descriptor is owned, and stays the same"
        )]
        let inotify = AsyncFd::with_interest(inotify, Interest::READABLE)?;
        Ok(Self { inotify, buffer: vec![MaybeUninit::uninit(); BUFFER].into() })
    }

    /// The instance they are of.
    pub(crate) fn inotify(&self) -> &Inotify {
        self.inotify.get_ref()
    }

    /// Waits until there are events.
    ///
    /// # Errors
    ///
    /// The runtime is shutting down.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.inotify.readable().await.map(drop)
    }

    /// Hands over the events that there are; after very many, the rest is left for the next call.
    ///
    /// # Errors
    ///
    /// The instance cannot be read.
    pub(crate) fn drain(&mut self, mut hear: impl FnMut(Event<'_>)) -> io::Result<()> {
        for _ in 0..BATCH {
            let buffer = &mut self.buffer;
            match self.inotify.try_io(Interest::READABLE, |inotify| read(inotify, buffer, &mut hear)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => result?,
            }
        }
        Ok(())
    }
}

/// Reads one buffer of events.
fn read(inotify: &Inotify, buffer: &mut [MaybeUninit<u8>], hear: &mut impl FnMut(Event<'_>)) -> io::Result<()> {
    let mut reader = Reader::new(inotify, buffer);
    loop {
        let event = reader.next()?;
        let (watch, flags) = (event.wd(), event.events());
        hear(if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
            Event::Overflow
        } else if flags.contains(ReadFlags::IGNORED) {
            Event::Ended(watch)
        } else if let Some(name) = event.file_name() {
            Event::Name(watch, OsStr::from_bytes(name.to_bytes()))
        } else {
            Event::Directory(watch)
        });
        if reader.is_buffer_empty() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
