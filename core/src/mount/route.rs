//! The directories that names were looked up in on the way to a file, and who may do so.

use std::ffi::OsStr;
use std::fmt;
use std::hash::{BuildHasher as _, DefaultHasher, Hash, Hasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;

use super::access::Access;
use super::stamp::RouteMark;
use crate::intern::Pool;

/// The most directories that a [`Route`] ends in. One reading of an identity has a few; only somebody who changes links all the time,
/// while something is served that was read before, gets near it.
const ENDS: usize = 64;

/// A directory in which a name was looked up, as it was then.
#[derive(Clone, PartialEq, Eq)]
pub struct Directory {
    /// The one that its name was looked up in. Absent for the root, and for where a relative path begins.
    parent: Option<Arc<Self>>,
    /// Its name there, and of one without a parent its path.
    name: Box<OsStr>,
    device: u64,
    inode: u64,
    filesystem: u32,
    access: Access,
}

/// Directories in use, so that equal ones share an allocation.
#[derive(Debug, Default)]
pub(crate) struct Directories {
    /// By a hash, which is small and made quickly.
    pool: Pool<u64, Directory>,
    hasher: RandomState,
}

/// Every directory that was searched on the way to a file, links followed: as it was then, and not as it is. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route(Arc<Searched>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Searched {
    /// The directories behind which nothing was searched. With the parents of each they are all there are.
    ends: Box<[Arc<Directory>]>,
    /// Whether it led through a link.
    is_linked: bool,
    /// Whether it is known to its end.
    is_whole: bool,
}

impl Directory {
    pub(crate) fn new(
        parent: Option<Arc<Self>>,
        name: &OsStr,
        filesystem: u32,
        id: (u64, u64),
        access: Access,
    ) -> Self {
        Self { parent, name: name.into(), device: id.0, inode: id.1, filesystem, access }
    }

    /// Its path when it was searched, free of links.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.with_parents().into_iter().map(|directory| &*directory.name).collect()
    }

    /// Its owner and permissions when it was searched.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The kind of its file system, by its magic number (statfs(2)).
    #[must_use]
    pub fn filesystem(&self) -> u32 {
        self.filesystem
    }

    pub(super) fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    /// The numbers of its file system and of itself there.
    pub(super) fn id(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// It after those that its name was found through, the first one first.
    fn with_parents(&self) -> Vec<&Self> {
        let mut all: Vec<_> = std::iter::successors(Some(self), |directory| directory.parent.as_deref()).collect();
        all.reverse();
        all
    }

    /// Whether one took the place of the other by a kubelet's swap, and lets the same callers through.
    fn is_swapped_for(&self, other: &Self) -> bool {
        let is_kubelets = |directory: &Self| directory.name.as_encoded_bytes().starts_with(b"..");
        let in_one_place = match (&self.parent, &other.parent) {
            (Some(own), Some(others)) => Arc::ptr_eq(own, others) || own == others,
            _ => false,
        };
        in_one_place
            && is_kubelets(self)
            && is_kubelets(other)
            && (&self.access, self.filesystem) == (&other.access, other.filesystem)
    }

    /// It and its parents, with who may search them as those of `known` have it that are the same.
    fn as_of(self: &Arc<Self>, known: &[&Self]) -> Arc<Self> {
        let parent = self.parent.as_ref().map(|parent| parent.as_of(known));
        let now = known.iter().find(|now| now.id() == self.id());
        let access = now.map_or(&self.access, |now| &now.access);
        let is_unchanged = match (&parent, &self.parent) {
            (Some(now), Some(then)) => Arc::ptr_eq(now, then),
            _ => true,
        };
        if is_unchanged && *access == self.access {
            return Arc::clone(self);
        }
        Arc::new(Self { parent, access: access.clone(), ..Self::clone(self) })
    }

    /// The same, with its parents in the allocations that others hold.
    fn below(self: &Arc<Self>, held: &Directories) -> Arc<Self> {
        let parent = self.parent.as_ref().map(|parent| held.share(&parent.below(held)));
        Arc::new(Self { parent, ..Self::clone(self) })
    }
}

impl Directories {
    /// The same directory, whose parent is in the allocation that others hold, in that which others hold of it.
    fn share(&self, directory: &Arc<Directory>) -> Arc<Directory> {
        self.pool.share(self.hasher.hash_one(directory), directory)
    }
}

impl Hash for Directory {
    /// Hashes what differs between most directories; `==` decides.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let parent = self.parent.as_deref();
        (self.id(), self.filesystem, &self.access, &self.name, parent.map(Self::id)).hash(state);
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Access { owner, group, mode, .. } = self.access;
        write!(f, "{} ({owner}:{group} {mode:04o})", self.path().display())
    }
}

impl Default for Route {
    /// Nothing was searched.
    fn default() -> Self {
        Self::new(&[], false)
    }
}

impl Route {
    pub(crate) fn new(ends: &[Arc<Directory>], is_linked: bool) -> Self {
        Self::of(ends.into(), is_linked, true)
    }

    fn of(ends: Box<[Arc<Directory>]>, is_linked: bool, is_whole: bool) -> Self {
        Self(Arc::new(Searched { ends, is_linked, is_whole }))
    }

    /// A route of which not every directory is known.
    #[must_use]
    pub(crate) fn unknown() -> Self {
        Self::of(Box::default(), false, false)
    }

    /// Whether all of its directories are known. Where not, nobody can be said to be let through.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.is_whole
    }

    /// The directories, each once and after those that it was found through.
    pub fn directories(&self) -> impl Iterator<Item = &Directory> {
        let mut all: Vec<&Directory> = Vec::new();
        for end in &self.0.ends {
            for directory in end.with_parents() {
                if !all.contains(&directory) {
                    all.push(directory);
                }
            }
        }
        all.into_iter()
    }

    /// The way to all files of an identity: that to the file whose readers may have it, and those to others as far as they lead through
    /// links. The path of another file, which an operator wrote, is named to all; the target of a link is the word of whoever may write
    /// there.
    #[must_use]
    pub(crate) fn of_set<'a>(deciding: &Self, others: impl IntoIterator<Item = &'a Self>) -> Self {
        others.into_iter().filter(|other| other.0.is_linked).fold(deciding.clone(), |all, other| all.and(other))
    }

    /// The same way, with who may search its directories as `now` has it where it leads through them too.
    #[must_use]
    pub(crate) fn as_of(&self, now: &Self) -> Self {
        if self.is(now) {
            return self.clone();
        }
        let known: Vec<_> = now.directories().collect();
        let ends = self.0.ends.iter().map(|end| end.as_of(&known)).collect();
        Self::of(ends, self.0.is_linked, self.0.is_whole)
    }

    /// Both ways.
    #[must_use]
    pub(crate) fn and(&self, other: &Self) -> Self {
        if self.is(other) {
            return self.clone();
        }
        let (own, others) = (&*self.0, &*other.0);
        // Of others it is not enough that they let the same callers through now: one may be opened while the other stays closed.
        let is_known =
            |own: &Arc<Directory>, end: &Arc<Directory>| Arc::ptr_eq(own, end) || own == end || own.is_swapped_for(end);
        let is_new = |end: &&Arc<Directory>| !own.ends.iter().any(|own| is_known(own, end));
        let new: Vec<_> = others.ends.iter().filter(is_new).cloned().collect();
        let (is_linked, is_whole) = (own.is_linked || others.is_linked, own.is_whole && others.is_whole);
        if own.ends.len() + new.len() > ENDS {
            return Self::of(own.ends.clone(), is_linked, false);
        }
        if new.is_empty() && (is_linked, is_whole) == (own.is_linked, own.is_whole) {
            return self.clone();
        }
        Self::of(own.ends.iter().cloned().chain(new).collect(), is_linked, is_whole)
    }

    /// Whether both are one allocation.
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The same directories as `held`, in the allocation of that.
    pub(crate) fn shared_with(&mut self, held: &Self) {
        if self == held {
            *self = held.clone();
        }
    }

    /// Lets go of what other identities hold already.
    pub(crate) fn intern(&mut self, held: &Directories) {
        // The last directory is that of one identity or two; its parents are shared by all.
        let ends = self.0.ends.iter().map(|end| end.below(held)).collect();
        *self = Self::of(ends, self.0.is_linked, self.0.is_whole);
    }

    /// A mark that is another one when somebody else is let through.
    pub(super) fn mark<'a>(routes: impl IntoIterator<Item = &'a Self>) -> RouteMark {
        let mut hasher = DefaultHasher::new();
        let mut before: Option<&Self> = None;
        for route in routes {
            // Most files of a place have one way.
            if !before.is_some_and(|before| before.is(route)) {
                for directory in route.directories() {
                    (directory.filesystem, &directory.access).hash(&mut hasher);
                }
            }
            before = Some(route);
        }
        RouteMark(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(parent: Option<&Arc<Directory>>, name: &str, inode: u64, mode: u32) -> Arc<Directory> {
        let access = Access { owner: 0, group: 0, mode, acl: None };
        Arc::new(Directory::new(parent.cloned(), OsStr::new(name), 1, (1, inode), access))
    }

    fn modes(route: &Route) -> Vec<u32> {
        route.directories().map(|directory| directory.access().mode).collect()
    }

    #[test]
    fn two_ways_are_all_directories_of_both_and_a_kubelets_swap_adds_none() {
        let root = directory(None, "/", 1, 0o755);
        let route = |name, inode, mode| Route::new(&[directory(Some(&root), name, inode, mode)], false);
        let (data, next, closed) = (route("..1", 2, 0o755), route("..2", 3, 0o755), route("closed", 4, 0o700));
        assert_eq!(modes(&data.and(&closed)), [0o755, 0o755, 0o700]);
        assert_eq!(data.and(&next), data, "a kubelet's swap adds nothing");
        let many = (0..).map(|group| {
            let access = Access { owner: 0, group, mode: 0o755, acl: None };
            Route::new(&[Arc::new(Directory::new(None, OsStr::new("/"), 1, (1, 1), access))], true)
        });
        let all = many.take(ENDS + 1).fold(data.clone(), |all, route| all.and(&route));
        assert!(!all.is_whole(), "what is not on record lets nobody through");
        assert!(!data.and(&Route::unknown()).is_whole());
    }

    #[test]
    fn a_directory_that_stays_closed_closes_a_way_beside_one_that_was_opened() {
        let root = directory(None, "/", 1, 0o755);
        let route = |name, inode, mode| Route::new(&[directory(Some(&root), name, inode, mode)], true);
        let then = route("a", 2, 0o700).and(&route("b", 3, 0o700));
        assert_eq!(modes(&then.as_of(&route("a", 2, 0o755))), [0o755, 0o755, 0o700]);
    }

    #[test]
    fn a_directory_that_is_opened_by_now_closes_no_way_that_led_through_it() {
        let (was, now) = (directory(None, "/", 1, 0o700), directory(None, "/", 1, 0o755));
        let then =
            Route::new(&[directory(Some(&was), "..1", 2, 0o755), directory(Some(&was), "closed", 4, 0o700)], true);
        let now = Route::new(&[directory(Some(&now), "..2", 3, 0o755)], true);
        assert_eq!(modes(&then.as_of(&now).and(&now)), [0o755, 0o755, 0o700], "it closes the one that is not open");
    }

    #[test]
    fn only_links_make_the_way_to_another_file_one_that_counts() {
        let (own, other) = (directory(None, "/", 1, 0o755), directory(None, "/", 1, 0o700));
        let own = Route::new(&[own], false);
        let named = Route::new(&[Arc::clone(&other)], false);
        assert_eq!(modes(&Route::of_set(&own, [&named])), [0o755]);
        assert_eq!(modes(&Route::of_set(&own, [&Route::new(&[other], true)])), [0o755, 0o700]);
    }

    #[test]
    fn parents_that_are_equal_are_one_allocation() {
        let held = Directories::default();
        let way = || {
            let root = directory(None, "/", 1, 0o755);
            let parent = directory(Some(&root), "certs", 2, 0o755);
            let mut route = Route::new(&[directory(Some(&parent), "x", 3, 0o755)], false);
            route.intern(&held);
            route
        };
        let (one, other) = (way(), way());
        assert_eq!(one, other);
        let parent = |route: &Route| Arc::clone(route.0.ends[0].parent().unwrap());
        assert!(Arc::ptr_eq(&parent(&one), &parent(&other)));
    }
}
