//! Files that are read again when they change; what they last held well stays.
//!
//! Each has a thread of its own, so that one on a dead mount holds up no other, and none depends on a runtime: what is followed may be
//! kept in a static. It looks once in [`INTERVAL`], through whatever links lead there, so a kubelet's swap of `..data` is seen like any
//! other change.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use evercert_core::text;
use parking_lot::{Condvar, Mutex};
use rustix::fs::OFlags;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::telemetry::{Event, FileKind, Recorder};

/// The time between two looks at a file.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// The least time between two looks that were asked for by [`Followed::look`].
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// What the files hold, as of the last time that all of it could be used.
pub(crate) struct Followed<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    kind: FileKind,
    path: PathBuf,
    current: ArcSwap<T>,
    recorder: OnceLock<Arc<dyn Recorder>>,
    wake: Mutex<Wake>,
    woken: Condvar,
    /// The number of looks that have ended.
    looks: watch::Sender<u64>,
}

#[derive(Default)]
struct Wake {
    asked: bool,
    dropped: bool,
    /// The number of looks that have begun.
    looks: u64,
}

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

impl<T: Send + Sync + 'static> Followed<T> {
    /// What `read` makes of the file at `path`, and of those that it names, now and from now on.
    ///
    /// # Errors
    ///
    /// What is there now cannot be used, or there is no thread to follow it.
    pub(crate) fn open<E, F>(kind: FileKind, path: &Path, read: F) -> Result<Self, FollowError<E>>
    where
        E: std::error::Error + Send + 'static,
        F: Fn(&mut Files, &Path) -> Result<T, E> + Send + 'static,
    {
        let mut files = Files::new();
        let first = read(&mut files, path).map_err(FollowError::Unusable)?;
        let shared = Arc::new(Shared {
            kind,
            path: path.to_owned(),
            current: ArcSwap::from_pointee(first),
            recorder: OnceLock::new(),
            wake: Mutex::default(),
            woken: Condvar::new(),
            looks: watch::Sender::new(0),
        });
        let weak = Arc::downgrade(&shared);
        let thread = thread::Builder::new().name("evercert-file".to_owned());
        thread
            .spawn(move || follow(&weak, &read, files))
            .map_err(|source| FollowError::NoThread { path: path.to_owned(), source })?;
        Ok(Self { shared })
    }

    /// What they hold.
    pub(crate) fn current(&self) -> Guard<Arc<T>> {
        self.shared.current.load()
    }

    /// Has a look taken soon, without waiting for it.
    pub(crate) fn look(&self) {
        self.shared.wake.lock().asked = true;
        self.shared.woken.notify_one();
    }

    /// Completes when a look has ended that began after this was called; never where the file is on a mount that is dead.
    pub(crate) async fn looked(&self) {
        let mut looks = self.shared.looks.subscribe();
        let next = {
            let mut wake = self.shared.wake.lock();
            wake.asked = true;
            wake.looks + 1
        };
        self.shared.woken.notify_one();
        // The sender lives as long as this.
        _ = looks.wait_for(|ended| *ended >= next).await;
    }

    /// Has this recorder told of what is read from now on; the first one that is given stays.
    pub(crate) fn record_to(&self, recorder: Arc<dyn Recorder>) {
        _ = self.shared.recorder.set(recorder);
    }
}

fn follow<T, E: fmt::Display>(
    shared: &Weak<Shared<T>>,
    read: &impl Fn(&mut Files, &Path) -> Result<T, E>,
    mut files: Files,
) {
    // What failed at first may be half of what is being written, so it is said once it is found again.
    let (mut failed, mut is_said) = (None::<Vec<(PathBuf, Option<Stamp>)>>, false);
    loop {
        let Some((shared, look)) = wait(shared) else { return };
        if files.are_as_found() {
            shared.looks.send_replace(look);
            continue;
        }
        let mut now = Files::new();
        match read(&mut now, &shared.path) {
            Ok(value) => {
                shared.current.store(Arc::new(value));
                tracing::info!(path = %text::path(&shared.path), file = shared.kind.as_str(), "read again");
                shared.record(true);
                (files, failed, is_said) = (now, None, false);
            }
            Err(error) if failed.as_ref() == Some(&now.found) => {
                if !is_said {
                    let (path, file) = (text::path(&shared.path), shared.kind.as_str());
                    tracing::error!(path, file, %error, "cannot be used; what was read before stays");
                    shared.record(false);
                }
                is_said = true;
            }
            Err(_) => (failed, is_said) = (Some(now.found), false),
        }
        shared.looks.send_replace(look);
    }
}

/// Waits until it is time to look, for which look of all; `None` once nobody follows the file any more.
fn wait<T>(shared: &Weak<Shared<T>>) -> Option<(Arc<Shared<T>>, u64)> {
    let shared = shared.upgrade()?;
    let (begin, mut wake) = (Instant::now(), shared.wake.lock());
    while !wake.dropped {
        let limit = if wake.asked { LEAST_INTERVAL } else { INTERVAL };
        let left = limit.saturating_sub(begin.elapsed());
        if left.is_zero() {
            wake.asked = false;
            wake.looks += 1;
            let look = wake.looks;
            drop(wake);
            return Some((shared, look));
        }
        shared.woken.wait_for(&mut wake, left);
    }
    None
}

impl<T> Shared<T> {
    fn record(&self, is_used: bool) {
        if let Some(recorder) = self.recorder.get() {
            recorder.tell(&Event::Reloaded { file: self.kind, is_used });
        }
    }
}

impl<T> Drop for Followed<T> {
    fn drop(&mut self) {
        self.shared.wake.lock().dropped = true;
        self.shared.woken.notify_one();
    }
}

impl<T> fmt::Debug for Followed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed").field("path", &self.shared.path).finish_non_exhaustive()
    }
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

    fn are_as_found(&self) -> bool {
        self.found.iter().all(|(path, stamp)| stamp_at(path).ok() == *stamp)
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

/// A file that cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError<E> {
    /// What is there now cannot be used.
    #[error(transparent)]
    Unusable(E),
    /// There is no thread to follow it.
    #[error("{}: there is no thread to follow it: {source}", text::path(.path))]
    NoThread {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use evercert_fixtures::wait;

    use super::*;

    fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
        wait::blocking(|| is_so().then_some(()), || what.to_owned());
    }

    #[derive(Debug, thiserror::Error)]
    enum Odd {
        #[error(transparent)]
        File(#[from] FileError),
        #[error("it is odd")]
        Odd,
    }

    fn length(files: &mut Files, path: &Path) -> Result<usize, Odd> {
        let length = files.read(path, 8)?.len();
        if length % 2 == 1 { Err(Odd::Odd) } else { Ok(length) }
    }

    fn open(path: &Path) -> Result<Followed<usize>, FollowError<Odd>> {
        Followed::open(FileKind::Keys, path, length)
    }

    #[test]
    fn a_swap_of_the_directory_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (name, content) in [("one", "11"), ("two", "2222")] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("file"), content).unwrap();
        }
        symlink("one", at("..data")).unwrap();
        symlink("..data/file", at("file")).unwrap();
        let followed = open(&at("file")).unwrap();
        assert_eq!(**followed.current(), 2);
        symlink("two", at("..next")).unwrap();
        fs::rename(at("..next"), at("..data")).unwrap();
        followed.look();
        wait_until("the swap is seen", || **followed.current() == 4);
    }

    #[test]
    fn what_cannot_be_used_leaves_the_last_good_one_and_is_told_once() {
        struct Count(Mutex<Vec<bool>>);
        impl Recorder for Count {
            fn record(&self, event: &Event<'_>) {
                if let Event::Reloaded { is_used, .. } = event {
                    self.0.lock().push(*is_used);
                }
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "11").unwrap();
        let (followed, count) = (open(&path).unwrap(), Arc::new(Count(Mutex::default())));
        followed.record_to(count.clone());
        fs::write(&path, "333").unwrap();
        wait_until("it is told", || {
            followed.look();
            *count.0.lock() == [false]
        });
        assert_eq!(**followed.current(), 2);
        fs::remove_file(&path).unwrap();
        wait_until("its absence is told", || {
            followed.look();
            *count.0.lock() == [false, false]
        });
        fs::write(&path, "4444").unwrap();
        wait_until("it is used", || {
            followed.look();
            **followed.current() == 4
        });
        assert_eq!(*count.0.lock(), [false, false, true]);
    }

    #[test]
    fn at_first_what_cannot_be_read_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let said = |path: &Path| open(path).unwrap_err().to_string();
        assert!(said(&path).contains("file: cannot be read"), "{}", said(&path));
        fs::write(&path, "123456789").unwrap();
        assert!(said(&path).ends_with("has more than 8 bytes, which is more than is read"), "{}", said(&path));
        assert!(said(directory.path()).ends_with("is not a regular file"), "{}", said(directory.path()));
    }

    #[test]
    fn its_thread_ends_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "11").unwrap();
        let followed = open(&path).unwrap();
        let shared = Arc::downgrade(&followed.shared);
        drop(followed);
        wait_until("its thread has ended", || shared.strong_count() == 0);
    }
}
