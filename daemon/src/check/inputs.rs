//! What is meant by what was written: directories, files, patterns of both, and standard input.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use evercert_core::layout::{FILE_EXTENSIONS, file_name};

use crate::config::Glob;
use crate::inventory::pods::credential_folder;

/// The most inputs of one call.
pub(super) const INPUTS: usize = 100_000;

/// What is written for standard input.
const STANDARD: &str = "-";

/// Files of these names make a directory that of an identity.
const OF_IDENTITY: [&str; 4] = [file_name::CHAIN, file_name::KEY, file_name::BUNDLE, file_name::CRL];

/// In a directory that is no identity's, files whose names end in one of these are judged, besides those of [`FILE_EXTENSIONS`]: they hold
/// certificates, a key or revocation lists, but no identity by themselves.
const MORE_EXTENSIONS: [&str; 4] = ["der", "crl", "p7b", "p7c"];

/// One thing to be judged; its path is as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// Standard input.
    Standard,
    /// The directory of an identity.
    Directory(PathBuf),
    /// A file, there or not.
    File(PathBuf),
    /// A pattern that nothing matches.
    Unmatched(PathBuf),
}

impl Input {
    fn at(path: PathBuf) -> Self {
        if path.is_dir() { Self::Directory(path) } else { Self::File(path) }
    }
}

/// More is meant than is judged at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {INPUTS} files and directories are meant; name fewer of them at once")]
pub(crate) struct TooMany;

/// All that is meant, each once and in the order in which it was written.
pub(super) fn expand(written: &[OsString]) -> Result<Vec<Input>, TooMany> {
    let mut inputs = Vec::new();
    let mut known = BTreeSet::new();
    for word in written {
        for input in meant(word)? {
            let is_new = match &input {
                Input::Standard => known.insert(PathBuf::from(STANDARD)),
                Input::Directory(path) | Input::File(path) | Input::Unmatched(path) => known.insert(path.clone()),
            };
            if is_new {
                inputs.push(input);
            }
            if inputs.len() > INPUTS {
                return Err(TooMany);
            }
        }
    }
    Ok(inputs)
}

fn meant(word: &OsStr) -> Result<Vec<Input>, TooMany> {
    let path = Path::new(word);
    if word == STANDARD {
        return Ok(vec![Input::Standard]);
    }
    // What is there is meant, whatever characters are in its name.
    if fs::symlink_metadata(path).is_ok() || !Glob::new(word.to_string_lossy()).is_wild() {
        return Ok(of_path(path));
    }
    Ok(match matches(path)? {
        none if none.is_empty() => vec![Input::Unmatched(path.to_owned())],
        // Whoever writes a pattern means what it matches, and not what is in that.
        found => found.into_iter().map(Input::at).collect(),
    })
}

fn of_path(path: &Path) -> Vec<Input> {
    if !path.is_dir() {
        return vec![Input::File(path.to_owned())];
    }
    let directory = || vec![Input::Directory(path.to_owned())];
    if is_of_identity(path) || credential_folder(path).is_some() {
        return directory();
    }
    let is_file_of_certificates = |path: &Path| {
        let mut known = FILE_EXTENSIONS.iter().chain(&MORE_EXTENSIONS);
        path.extension().is_some_and(|extension| known.any(|known| extension.eq_ignore_ascii_case(known)))
    };
    let is_meant = |name: &OsStr| {
        let path = path.join(name);
        !is_hidden(name) && (is_file_of_certificates(&path) || path.is_dir())
    };
    let within: Vec<_> = entries(path, is_meant).into_iter().map(|name| Input::at(path.join(name))).collect();
    // Of an empty one it is said which files the daemon misses in it.
    if within.is_empty() { directory() } else { within }
}

/// Whether a directory is an identity's by the names in it.
pub(super) fn is_of_identity(directory: &Path) -> bool {
    OF_IDENTITY.iter().any(|name| fs::symlink_metadata(directory.join(name)).is_ok())
}

/// What a pattern matches, in the order of names. A wildcard may be in any part of it, and matches no leading dot. Where a part matches more
/// than is judged at once, none of it is left out in silence.
fn matches(pattern: &Path) -> Result<Vec<PathBuf>, TooMany> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let glob = match part {
            Component::Normal(name) => Some(Glob::new(name.to_string_lossy())).filter(Glob::is_wild),
            _ => None,
        };
        found = match glob {
            None => found.into_iter().map(|path| path.join(part)).collect(),
            Some(glob) => found.iter().flat_map(|directory| named(directory, &glob)).take(INPUTS + 1).collect(),
        };
        if found.len() > INPUTS {
            return Err(TooMany);
        }
    }
    found.retain(|path| fs::symlink_metadata(path).is_ok());
    Ok(found)
}

fn named(directory: &Path, glob: &Glob) -> Vec<PathBuf> {
    let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let is_meant = |name: &OsStr| (glob.as_str().starts_with('.') || !is_hidden(name)) && glob.matches(name.as_bytes());
    entries(here, is_meant).into_iter().map(|name| directory.join(name)).collect()
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b".")
}

/// The names in a directory that are meant, sorted: of too many, one more than is judged at once. None where it cannot be listed.
fn entries(directory: &Path, is_meant: impl Fn(&OsStr) -> bool) -> Vec<OsString> {
    let listed = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name());
    // What is not meant does not count.
    let mut names: Vec<_> = listed.filter(|name| is_meant(name)).take(INPUTS + 1).collect();
    names.sort();
    names
}
