//! The files of one place, as of one moment.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::file::{self, Content, ReadError};
use super::place::{DATA, Place};
use super::route::Route;
use super::stamp::{DirectoryStamp, FileStamp};
use super::volume::Volume;
use super::walk::{Looked, Standing, THROUGH_PROCFS, Walk};

/// How often a directory is opened for one read before its files are given up as torn.
const ATTEMPTS: usize = 5;

/// What the files of one place gave, in the order they were asked for.
pub(super) struct DirectoryRead {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) stamp: DirectoryStamp,
}

/// What one file gave.
pub(super) struct Outcome {
    pub(super) content: Result<Content, ReadError>,
    /// The way to it, as far as it led.
    pub(super) route: Route,
}

impl Outcome {
    /// Of a file that nothing is known of.
    pub(super) fn without(error: ReadError) -> Self {
        Self { content: Err(error), route: Route::default() }
    }
}

/// How the files of a place are come by.
pub(super) trait Entrance {
    /// A directory that is open to be searched.
    type Directory: AsFd;

    /// Opens the directory that `..data` leads to, or where there is none the directory itself.
    fn enter(&self) -> Entered<Self::Directory>;

    /// Opens the directory itself.
    fn enter_itself(&self) -> Entered<Self::Directory>;

    /// Looks at a file in one of the two.
    fn look(&self, directory: &Self::Directory, file: &Path) -> Sight;

    /// Why there is no file in a directory that cannot be opened.
    fn refusal(errno: Errno) -> ReadError;

    /// Why a file cannot be looked at.
    fn refusal_of_file(errno: Errno) -> ReadError;
}

/// A directory that was opened, or why it was not.
pub(super) struct Entered<D> {
    found: Result<(D, FileStamp), Errno>,
    /// Whether `..data` led to it.
    is_data: bool,
    /// The way to it, as far as it led.
    route: Route,
}

/// A file that was looked at, or why it was not.
pub(super) struct Sight {
    pub(super) found: Result<Looked, Errno>,
    /// The way to it, as far as it led.
    pub(super) route: Route,
    /// Where that ended.
    pub(super) end: Option<PathBuf>,
}

impl Sight {
    fn stamp(&self) -> Result<FileStamp, Errno> {
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
        Place::Volume(root) => Volume::enter(root)
            .map_or_else(|errno| same(errno, files, &Route::unknown()), |volume| stamp_through(&volume, files)),
    }
}

/// What of a file was looked at, and whether `..data` led to it; the way to it, and where that ended.
pub(super) type Look = (Result<(Looked, bool), ReadError>, Route, Option<PathBuf>);

/// Looks at these files of a directory of the node's, in the way in which they are read. The reason why there is none is that of a reading.
pub(super) fn look(directory: &Path, files: &[&Path]) -> Vec<Look> {
    let entrance = Directory(directory);
    let Entered { found, is_data, route } = entrance.enter();
    match found {
        Ok((directory, _)) => files
            .iter()
            .map(|file| entrance.look(&directory, file))
            .map(|Sight { found, route, end }| {
                (found.map(|looked| (looked, is_data)).map_err(Directory::refusal_of_file), route, end)
            })
            .collect(),
        Err(errno) => files.iter().map(|_| (Err(Directory::refusal(errno)), route.clone(), None)).collect(),
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
        let torn = read.outcomes.iter().any(|outcome| matches!(outcome.content, Err(ReadError::Torn)));
        if torn { Self::Torn(read) } else { Self::Whole(read) }
    }
}

fn attempt(place: Place<'_>, files: &[&Path]) -> Attempt {
    match place {
        Place::Directory(directory) => attempt_through(&Directory(directory), files),
        Place::Volume(root) => match Volume::enter(root) {
            Ok(volume) => attempt_through(&volume, files),
            Err(errno) => refused::<Volume<'_>>(errno, files, &Route::unknown()),
        },
    }
}

fn attempt_through<E: Entrance>(entrance: &E, files: &[&Path]) -> Attempt {
    let Entered { found, is_data, route } = entrance.enter();
    match found {
        Ok((data, stamp)) if is_data => kubelet(entrance, &data, stamp, files),
        Ok((directory, _)) => plain(entrance, &directory, files),
        Err(errno) => refused::<E>(errno, files, &route),
    }
}

fn stamp_through(entrance: &impl Entrance, files: &[&Path]) -> DirectoryStamp {
    let entered = entrance.enter();
    match entered.found {
        Ok((data, stamp)) if entered.is_data => {
            let sights: Vec<_> = files.iter().map(|file| entrance.look(&data, file)).collect();
            let mark = Route::mark(sights.iter().map(|sight| &sight.route));
            DirectoryStamp::Kubelet(stamp, sights.iter().map(Sight::stamp).collect(), mark)
        }
        _ => plain_looks(entrance, entered, files),
    }
}

/// The stamps of the files of the directory itself, as of now.
fn plain_looks<E: Entrance>(entrance: &E, entered: Entered<E::Directory>, files: &[&Path]) -> DirectoryStamp {
    match entered.found {
        Ok((directory, stamp)) => {
            let sights: Vec<_> = files.iter().map(|file| entrance.look(&directory, file)).collect();
            let mark = Route::mark(sights.iter().map(|sight| &sight.route));
            DirectoryStamp::Plain(Ok(stamp.id()), sights.iter().map(Sight::stamp).collect(), mark)
        }
        Err(errno) => same(errno, files, &entered.route),
    }
}

fn refused<E: Entrance>(errno: Errno, files: &[&Path], route: &Route) -> Attempt {
    let outcome = |_| Outcome { content: Err(E::refusal(errno)), route: route.clone() };
    Attempt::of(DirectoryRead { outcomes: files.iter().map(outcome).collect(), stamp: same(errno, files, route) })
}

/// The stamp of files that cannot be come by, all for the same reason.
fn same(errno: Errno, files: &[&Path], route: &Route) -> DirectoryStamp {
    DirectoryStamp::Plain(Err(errno), files.iter().map(|_| Err(errno)).collect(), Route::mark([route]))
}

fn kubelet<E: Entrance>(entrance: &E, data: &E::Directory, stamp: FileStamp, files: &[&Path]) -> Attempt {
    let (mut outcomes, looks): (Vec<_>, Vec<_>) = files.iter().map(|file| read_in(entrance, data, file, true)).unzip();
    let missing = |outcome: &Outcome| matches!(outcome.content, Err(ReadError::Missing));
    let still_leads_here = || entrance.enter().found.is_ok_and(|(_, current)| current.id() == stamp.id());
    // After a swap the old directory is emptied file by file. A file that is missing while `..data` still leads here is
    // missing in this set.
    if outcomes.iter().any(missing) && !still_leads_here() {
        outcomes
            .iter_mut()
            .filter(|outcome| missing(outcome))
            .for_each(|outcome| outcome.content = Err(ReadError::Torn));
    }
    let mark = Route::mark(outcomes.iter().map(|outcome| &outcome.route));
    Attempt::of(DirectoryRead { outcomes, stamp: DirectoryStamp::Kubelet(stamp, looks.into(), mark) })
}

fn plain<E: Entrance>(entrance: &E, directory: &E::Directory, files: &[&Path]) -> Attempt {
    let read: Vec<_> = files.iter().map(|file| read_in(entrance, directory, file, false).0).collect();
    let is_stale = rustix::fs::fstat(directory).is_ok_and(|stat| file::is_stale_mount(directory.as_fd(), &stat));
    let stamp = plain_looks(entrance, entrance.enter_itself(), files);
    let looks = stamp.files();
    let unchanged = |read: Result<Content, ReadError>, now: &Result<FileStamp, Errno>| match (read, now) {
        (Ok(content), Ok(now)) if content.stamp == *now => Ok(content),
        (Ok(_), _) | (Err(ReadError::Missing), Ok(_)) => Err(ReadError::Torn),
        (Err(ReadError::Missing), Err(_)) if is_stale => Err(ReadError::StaleMount),
        (Err(error), _) => Err(error),
    };
    let outcomes = read
        .into_iter()
        .zip(looks)
        .map(|(read, now)| Outcome { content: unchanged(read.content, now), route: read.route })
        .collect();
    Attempt::of(DirectoryRead { outcomes, stamp })
}

/// What a file gave, and what it looked like.
fn read_in<E: Entrance>(
    entrance: &E,
    directory: &E::Directory,
    file: &Path,
    is_kubelets: bool,
) -> (Outcome, Result<FileStamp, Errno>) {
    let sight = entrance.look(directory, file);
    let stamp = sight.stamp();
    let content =
        sight.found.map_err(E::refusal_of_file).and_then(|looked| file::read(&looked, &sight.route, is_kubelets));
    // If it changed since, the next look will tell.
    let stamp = content.as_ref().map(|content| content.stamp).or(stamp);
    (Outcome { content, route: sight.route }, stamp)
}

/// A directory of the node's.
struct Directory<'a>(&'a Path);

/// One that was entered, and the way to it and into it.
struct Within {
    standing: Standing,
    walk: Walk,
    route: Route,
}

impl Within {
    fn new(standing: Standing, mut walk: Walk) -> Self {
        walk.search_in(&standing);
        let route = walk.route();
        Self { standing, walk, route }
    }
}

impl AsFd for Within {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.standing.descriptor().as_fd()
    }
}

impl Directory<'_> {
    fn entered(standing: Result<Standing, Errno>, walk: Walk, is_data: bool) -> Entered<Within> {
        match standing {
            Ok(standing) => {
                let within = Within::new(standing, walk);
                let route = within.route.clone();
                Entered::new(Ok(within), is_data, route)
            }
            Err(errno) => Entered::new(Err(errno), is_data, walk.route()),
        }
    }
}

impl Entrance for Directory<'_> {
    type Directory = Within;

    fn enter(&self) -> Entered<Within> {
        let mut walk = Walk::default();
        let itself = match walk.enter(self.0) {
            Ok(itself) => itself,
            Err(errno) => return Self::entered(Err(errno), walk, false),
        };
        let mut further = walk.clone();
        match further.directory(&itself, Path::new(DATA)) {
            Err(Errno::NOENT | Errno::NOTDIR) => Self::entered(Ok(itself), walk, false),
            data => Self::entered(data, further, true),
        }
    }

    fn enter_itself(&self) -> Entered<Within> {
        let mut walk = Walk::default();
        let itself = walk.enter(self.0);
        Self::entered(itself, walk, false)
    }

    fn look(&self, within: &Within, file: &Path) -> Sight {
        let Some(name) = file.file_name() else {
            return Sight { found: Err(Errno::ISDIR), route: within.route.clone(), end: None };
        };
        let mut walk = within.walk.clone();
        let found = walk.file(&within.standing, name);
        let is_direct = walk.links() == within.walk.links();
        let route = if is_direct { within.route.clone() } else { walk.route() };
        Sight { found, route, end: walk.end() }
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
