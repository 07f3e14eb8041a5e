//! Which files are read together.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::spec::FileSet;

/// The symlink that a kubelet swaps, beside the links of the files.
pub const DATA: &str = "..data";

/// Where files are that change together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// A directory of the node's. Links are followed wherever they lead, and the way is noted with what is read: whoever made them may
    /// not be let go there himself.
    Directory(&'a Path),
    /// The root of a volume, which no file in it leads out of.
    Volume(&'a Path),
}

/// The files of one place, by their number among all.
pub(super) struct Group<'a> {
    pub(super) place: Place<'a>,
    pub(super) files: Vec<usize>,
}

/// The files in the order of [`FileSet::paths`], by place.
pub(super) fn groups<'a>(files: &'a FileSet, paths: &[&'a Path]) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::with_capacity(1);
    for (file, path) in paths.iter().enumerate() {
        let place = Place::of(path, &files.volumes);
        match groups.iter_mut().find(|group| group.place == place) {
            Some(group) => group.files.push(file),
            None => groups.push(Group { place, files: vec![file] }),
        }
    }
    groups
}

/// The files, by place.
pub(crate) fn by_place(files: &FileSet) -> Vec<(Place<'_>, Vec<&Path>)> {
    let paths: Vec<&Path> = files.paths().collect();
    groups(files, &paths).into_iter().map(|group| (group.place, group.paths(&paths))).collect()
}

/// Whether some of the files are not in a volume.
pub(crate) fn is_on_the_node(files: &FileSet) -> bool {
    files.paths().any(|path| matches!(Place::of(path, &files.volumes), Place::Directory(_)))
}

impl<'a> Place<'a> {
    /// The place of a file. Of volumes within each other it is the innermost.
    fn of(file: &'a Path, volumes: &'a [PathBuf]) -> Self {
        let roots = volumes.iter().filter(|root| file.starts_with(root));
        match roots.max_by_key(|root| root.components().count()) {
            Some(root) => Self::Volume(root),
            None => Self::Directory(directory_of(file)),
        }
    }

    /// Its path.
    pub(crate) fn path(self) -> &'a Path {
        match self {
            Self::Directory(path) | Self::Volume(path) => path,
        }
    }
}

impl Group<'_> {
    pub(super) fn paths<'p>(&self, paths: &[&'p Path]) -> Vec<&'p Path> {
        self.files.iter().map(|file| paths[*file]).collect()
    }
}

/// The directory whose files change together with this one: its own, but for a path through `..data`, which would be
/// pinned to one swap.
fn directory_of(file: &Path) -> &Path {
    let parent = file.parent().unwrap_or(file);
    if parent.file_name() == Some(OsStr::new(DATA)) { parent.parent().unwrap_or(parent) } else { parent }
}
