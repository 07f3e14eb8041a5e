//! Hints that files may have changed.
//!
//! One inotify instance watches *directories*, not recursively: a watch on a file, or on `..data`, dies at the first swap. Of an
//! identity's files every directory is watched in which a name on the way to them is looked up (`route`): those of links and of
//! what they lead to, and the ancestors of each. An event is a hint and never data: it only says which identity to look at. It
//! concerns those whose way goes through that name, so what else happens in `/tmp` concerns nobody. The kernel's queue is the one
//! buffer, bounded and merging equal events; when it overflows, everything is looked at.
//!
//! Adding a watch looks a path up and so blocks on a dead mount. It is therefore done by the job that reads the same files
//! (`Inotify::place`), before it reads them, so that a change in between is not missed.

mod route;
mod table;

use std::ffi::OsStr;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::mem::MaybeUninit;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest as Readiness;
use tokio::io::unix::AsyncFd;

pub(crate) use table::Table;

use crate::spec::FileSet;

/// The size of the buffer that events are read into, in bytes: some 400 events.
const BUFFER: usize = 16 * 1024;

/// How many buffers are read in one go before others get their turn: some 1,600 events, a few milliseconds.
const BATCH: usize = 4;

/// The kernel's number of a watch.
pub type Watch = i32;

/// The part of a watched directory that something happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Subject {
    /// The directory itself.
    Directory,
    /// A name in it, of which this is the hash: two names that share one cost a look that finds nothing.
    Name(NonZeroU32),
}

/// Something that is to be heard of one watched directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Interest {
    pub(crate) watch: Watch,
    pub(crate) subject: Subject,
}

/// An inotify instance. A cheap clone.
#[derive(Debug, Clone)]
pub struct Inotify(Arc<Instance>);

#[derive(Debug)]
struct Instance {
    descriptor: OwnedFd,
    /// Hashes names. Nobody else can tell which two share a hash.
    names: RandomState,
}

/// The watches that were placed for one identity.
#[derive(Debug, Default)]
pub(crate) struct Placed {
    /// The events that are heard for it, each once.
    pub(crate) interests: Vec<Interest>,
    /// Why something is not heard.
    pub(crate) problem: Option<WatchProblem>,
}

/// A failure of watching; the periodic tick carries on.
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
pub enum Event<'a> {
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
    pub fn open() -> io::Result<Self> {
        let descriptor = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self(Arc::new(Instance { descriptor, names: RandomState::new() })))
    }

    /// Has everything heard that may change what a read of these files gives. Blocks as long as the file system takes to answer.
    /// Placing again what is in place changes nothing.
    ///
    /// Of a volume the root is watched, and the directories in it that no link out of it leads to.
    pub(crate) fn place(&self, files: &FileSet) -> Placed {
        route::place(self, files)
    }

    /// Something that happens to this name in a watched directory.
    pub(crate) fn name(&self, watch: Watch, name: &OsStr) -> Interest {
        let hash = self.0.names.hash_one(name.as_bytes());
        #[expect(clippy::cast_possible_truncation, reason = "half of a hash is one")]
        let subject = Subject::Name(NonZeroU32::new(hash as u32).unwrap_or(NonZeroU32::MIN));
        Interest { watch, subject }
    }

    /// Watches a directory. Where it is watched already, `what` takes the place of what was heard, and the number stays. Blocks as long as
    /// the file system takes to answer.
    ///
    /// # Errors
    ///
    /// As of inotify_add_watch(2): it is not there, or no further watch can be had (`fs.inotify.max_user_watches`, ENOSPC).
    pub fn add(&self, directory: &Path, what: WatchFlags) -> Result<Watch, Errno> {
        inotify::add_watch(self, directory, what)
    }

    /// Ends a watch.
    pub fn remove(&self, watch: Watch) {
        // It may have ended by itself.
        let _ = inotify::remove_watch(self, watch);
    }

    /// Whether both are the same instance.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.descriptor.as_fd()
    }
}

impl AsRawFd for Inotify {
    fn as_raw_fd(&self) -> RawFd {
        self.0.descriptor.as_raw_fd()
    }
}

/// The events of an instance.
#[derive(Debug)]
pub struct Events {
    inotify: AsyncFd<Inotify>,
    buffer: Box<[MaybeUninit<u8>]>,
}

impl Events {
    /// The events of `inotify`, on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// The runtime cannot take one more descriptor.
    pub fn new(inotify: Inotify) -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe, and asks for what holds here: the descriptor is owned, and stays the same"
        )]
        let inotify = AsyncFd::with_interest(inotify, Readiness::READABLE)?;
        Ok(Self { inotify, buffer: vec![MaybeUninit::uninit(); BUFFER].into() })
    }

    /// The instance they are of.
    pub fn inotify(&self) -> &Inotify {
        self.inotify.get_ref()
    }

    /// Waits until there are events.
    ///
    /// # Errors
    ///
    /// The runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        self.inotify.readable().await.map(drop)
    }

    /// Hands over the events that there are; after very many, the rest is left for the next call.
    ///
    /// # Errors
    ///
    /// The instance cannot be read.
    pub fn drain(&mut self, mut hear: impl FnMut(Event<'_>)) -> io::Result<()> {
        for _ in 0..BATCH {
            let buffer = &mut self.buffer;
            match self.inotify.try_io(Readiness::READABLE, |inotify| read(inotify, buffer, &mut hear)) {
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
