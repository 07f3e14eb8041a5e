//! The files of one place, as of one moment.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::entrance::{Entered, Entrance, LookedAt};
use super::file::{self, Content, ReadError};
use super::node::NodeDirectory;
use super::place::Place;
use super::route::Route;
use super::stamp::{DirectoryStamp, FileStamp};
use super::volume::Volume;
use super::walk::ReachedFile;

/// How often a directory is opened for one read before its files are given up as torn.
const ATTEMPTS: usize = 5;

/// The outcomes of the files of one place, in the order they were asked for.
pub(super) struct DirectoryRead {
    pub(super) outcomes: Vec<FileOutcome>,
    pub(super) stamp: DirectoryStamp,
}

/// The result of reading one file.
pub(super) struct FileOutcome {
    pub(super) content: Result<Content, ReadError>,
    /// The way to it, as far as it led.
    pub(super) route: Route,
}

impl FileOutcome {
    /// Of a file that nothing is known of.
    pub(super) fn without(error: ReadError) -> Self {
        Self { content: Err(error), route: Route::default() }
    }
}

/// The files of one place, each open to be looked at, and their directory.
pub(super) struct Visit<'a> {
    place: Place<'a>,
    files: Vec<&'a Path>,
    met: Met<'a>,
    stamp: DirectoryStamp,
}

enum Met<'a> {
    Directory(Visited<NodeDirectory<'a>>),
    Volume(Visited<Volume<'a>>),
    /// A volume that cannot be entered.
    NoVolume(Errno),
}

struct Visited<E: Entrance> {
    entrance: E,
    entered: Entered<E::Opened>,
    /// Of each file, in a directory that was opened.
    sights: Vec<LookedAt>,
}

/// Looks at these files of a directory of the node's, in the way in which they are read. The reason why there is none is that of a
/// reading.
pub(super) fn looks(directory: &Path, files: &[&Path]) -> Vec<FileLook> {
    let Visited { entered: Entered { found, is_data, route }, sights, .. } =
        Visited::new(NodeDirectory(directory), files);
    if let Err(errno) = found {
        return files.iter().map(|_| (Err(NodeDirectory::refusal(errno)), route.clone(), None)).collect();
    }
    let look = |LookedAt { found, route, end }| {
        let found: Result<ReachedFile, Errno> = found;
        (found.map(|looked| (looked, is_data)).map_err(NodeDirectory::refusal_of_file), route, end)
    };
    sights.into_iter().map(look).collect()
}

/// A file as it was looked at, and whether `..data` led to it; the way to it, and where that ended.
pub(super) type FileLook = (Result<(ReachedFile, bool), ReadError>, Route, Option<PathBuf>);

impl<'a> Visit<'a> {
    /// Looks at these files of a place.
    pub(super) fn to(place: Place<'a>, files: Vec<&'a Path>) -> Self {
        let (met, stamp) = match place {
            Place::Directory(directory) => {
                let visited = Visited::new(NodeDirectory(directory), &files);
                let stamp = visited.stamp(&files);
                (Met::Directory(visited), stamp)
            }
            Place::Volume(root) => match Volume::enter(root) {
                Ok(volume) => {
                    let visited = Visited::new(volume, &files);
                    let stamp = visited.stamp(&files);
                    (Met::Volume(visited), stamp)
                }
                Err(errno) => (Met::NoVolume(errno), same(errno, &files, &Route::unknown())),
            },
        };
        Self { place, files, met, stamp }
    }

    pub(super) fn stamp(&self) -> &DirectoryStamp {
        &self.stamp
    }

    /// Reads them as one set. Where that is torn they are looked at anew.
    pub(super) fn read(self) -> DirectoryRead {
        let mut visit = self;
        let mut attempts = 1;
        loop {
            let (place, files) = (visit.place, visit.files.clone());
            match visit.attempt() {
                Attempt::Torn(_) if attempts < ATTEMPTS => attempts += 1,
                Attempt::Whole(read) | Attempt::Torn(read) => return read,
            }
            visit = Self::to(place, files);
        }
    }

    fn attempt(self) -> Attempt {
        match self.met {
            Met::Directory(visited) => visited.attempt(&self.files, self.stamp),
            Met::Volume(visited) => visited.attempt(&self.files, self.stamp),
            Met::NoVolume(errno) => refused::<Volume<'_>>(errno, &self.files, &Route::unknown(), self.stamp),
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
        let torn = read.outcomes.iter().any(|outcome| matches!(outcome.content, Err(ReadError::Torn)));
        if torn { Self::Torn(read) } else { Self::Whole(read) }
    }
}

impl<E: Entrance> Visited<E> {
    fn new(entrance: E, files: &[&Path]) -> Self {
        let entered = entrance.enter();
        Self::within(entrance, entered, files)
    }

    fn within(entrance: E, entered: Entered<E::Opened>, files: &[&Path]) -> Self {
        let sights = match &entered.found {
            Ok((directory, _)) => files.iter().map(|file| entrance.look(directory, file)).collect(),
            Err(_) => Vec::new(),
        };
        Self { entrance, entered, sights }
    }

    fn stamp(&self, files: &[&Path]) -> DirectoryStamp {
        let Entered { found, is_data, route } = &self.entered;
        match found {
            Ok((_, directory)) => {
                let mark = Route::mark(self.sights.iter().map(|sight| &sight.route));
                let looks = self.sights.iter().map(LookedAt::stamp).collect();
                match is_data {
                    true => DirectoryStamp::Kubelet(*directory, looks, mark),
                    false => DirectoryStamp::Plain(Ok(directory.id()), looks, mark),
                }
            }
            Err(errno) => same(*errno, files, route),
        }
    }

    /// Reads what was looked at.
    fn attempt(self, files: &[&Path], stamp: DirectoryStamp) -> Attempt {
        let Self { entrance, entered: Entered { found, is_data, route }, sights } = self;
        match found {
            Ok((data, looked)) if is_data => kubelet::<E>(sights, stamp, || entrance.still_leads_to(&data, &looked)),
            Ok((directory, _)) => plain(entrance, &directory, sights, files),
            Err(errno) => refused::<E>(errno, files, &route, stamp),
        }
    }
}

fn refused<E: Entrance>(errno: Errno, files: &[&Path], route: &Route, stamp: DirectoryStamp) -> Attempt {
    let outcome = |_| FileOutcome { content: Err(E::refusal(errno)), route: route.clone() };
    Attempt::of(DirectoryRead { outcomes: files.iter().map(outcome).collect(), stamp })
}

/// The stamp of files that cannot be come by, all for the same reason.
fn same(errno: Errno, files: &[&Path], route: &Route) -> DirectoryStamp {
    DirectoryStamp::Plain(Err(errno), files.iter().map(|_| Err(errno)).collect(), Route::mark([route]))
}

/// A file that is read is as it was when it was looked at, or it is torn: so its stamp stays.
fn kubelet<E: Entrance>(
    sights: Vec<LookedAt>,
    stamp: DirectoryStamp,
    still_leads_here: impl FnOnce() -> bool,
) -> Attempt {
    let mut outcomes: Vec<_> = sights.into_iter().map(|sight| read_looked_at::<E>(sight, true)).collect();
    let missing = |outcome: &FileOutcome| matches!(outcome.content, Err(ReadError::Missing));
    // After a swap the old directory is emptied file by file. A file that is missing while `..data` still leads here is
    // missing in this set.
    if outcomes.iter().any(missing) && !still_leads_here() {
        outcomes
            .iter_mut()
            .filter(|outcome| missing(outcome))
            .for_each(|outcome| outcome.content = Err(ReadError::Torn));
    }
    Attempt::of(DirectoryRead { outcomes, stamp })
}

fn plain<E: Entrance>(entrance: E, directory: &E::Opened, sights: Vec<LookedAt>, files: &[&Path]) -> Attempt {
    let read: Vec<_> = sights.into_iter().map(|sight| read_looked_at::<E>(sight, false)).collect();
    let is_stale = rustix::fs::fstat(directory).is_ok_and(|stat| file::is_stale_mount(directory.as_fd(), &stat));
    let itself = entrance.enter_itself();
    let stamp = Visited::within(entrance, itself, files).stamp(files);
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
        .map(|(read, now)| FileOutcome { content: unchanged(read.content, now), route: read.route })
        .collect();
    Attempt::of(DirectoryRead { outcomes, stamp })
}

/// Reads a file that was looked at.
fn read_looked_at<E: Entrance>(sight: LookedAt, is_kubelets: bool) -> FileOutcome {
    let LookedAt { found, route, .. } = sight;
    let content = found.map_err(E::refusal_of_file).and_then(|looked| file::read(&looked, &route, is_kubelets));
    FileOutcome { content, route }
}
