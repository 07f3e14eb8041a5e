//! Small files in which a process remembers something beyond its end.
//!
//! They are replaced whole and durably: a reader finds what was written last, or what was written before that. Anyone who may write one
//! decides what is remembered, so one is believed only where nobody but this process's user and root may.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The extension of a file that is being written.
pub(crate) const TEMPORARY: &str = "tmp";

/// The suffix added to the name of a file that is put aside.
const NOT_BELIEVED: &str = ".not-believed";

/// The content of a state file: a JSON object, to whose members `version` is added.
pub trait State: Serialize + DeserializeOwned {
    /// The version of the file. One of another version is not believed.
    const VERSION: u32;
    /// The largest file that is read, in bytes.
    const LIMIT: u64;
}

/// A state file that could not be written, or not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be {}: {source}; {}", if *.reading { "read" } else { "written" }, advice(.source))]
pub struct StateError {
    /// The file.
    pub path: PathBuf,
    /// Whether it was to be read.
    pub reading: bool,
    /// Why.
    pub source: io::Error,
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room on the file system of the state directory"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "mount the file system of the state directory read-write, or choose another directory"
        }
        _ => "see that the state directory exists, is this process's to write, and that its file system is sound",
    }
}

/// A state file that is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// It cannot be told: the file cannot be read now.
    #[error(transparent)]
    Unreadable(#[from] StateError),
    /// It is a link, a device or a FIFO.
    #[error("it is no regular file")]
    NotAFile,
    /// Somebody else may have written it.
    #[error("others than its owner may write it, or its owner is neither this process's user nor root")]
    OthersMayWrite,
    /// It is larger than one that was written by this process.
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    /// It was cut off, or changed. The parser's own message is not passed on: it quotes what it read.
    #[error("it is not what was written there, in line {line}, column {column}")]
    Malformed {
        /// Where, from 1.
        line: usize,
        /// Where in the line, from 1.
        column: usize,
    },
    /// Another version of the program wrote it.
    #[error("its version is {found}, not {known}")]
    Version {
        /// Of the file.
        found: u32,
        /// [`State::VERSION`].
        known: u32,
    },
}

impl From<serde_json::Error> for Unusable {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed { line: error.line(), column: error.column() }
    }
}

/// A state file as it is written.
#[derive(Serialize)]
struct Versioned<'a, S> {
    version: u32,
    #[serde(flatten)]
    state: &'a S,
}

/// The part of a state file that is read first.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Reads the file; nothing, where there is none.
///
/// # Errors
///
/// The file is not believed, or cannot be read now.
pub fn read<S: State>(path: &Path) -> Result<Option<S>, Unusable> {
    let unreadable = |source| StateError { path: path.to_owned(), reading: true, source };
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Err(error) if is_absence(&error) => return Ok(None),
        // A link, or what cannot be opened without waiting: nothing that was written here.
        Err(error)
            if [Errno::LOOP, Errno::NXIO].map(|errno| Some(errno.raw_os_error())).contains(&error.raw_os_error()) =>
        {
            return Err(Unusable::NotAFile);
        }
        opened => opened.map_err(unreadable)?,
    };
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Unusable::NotAFile);
    }
    let is_owned = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
    if !is_owned || metadata.mode() & 0o022 != 0 {
        return Err(Unusable::OthersMayWrite);
    }
    let mut bytes = Vec::new();
    file.take(S::LIMIT + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > S::LIMIT {
        return Err(Unusable::TooLarge(S::LIMIT));
    }
    // First: what another version means by the other members is not known.
    let Version { version: found } = serde_json::from_slice(&bytes)?;
    if found != S::VERSION {
        return Err(Unusable::Version { found, known: S::VERSION });
    }
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// Puts the file in its place, durably; makes its directory where it is missing. One writer of a file at a time.
///
/// # Errors
///
/// It cannot be written. The former file stays.
pub fn write<S: State>(path: &Path, state: &S) -> Result<(), StateError> {
    let write = || {
        let directory = directory(path);
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let temporary = path.with_extension(TEMPORARY);
        // Left by a write that was interrupted, with a mode of whoever made it.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        replace(path, &temporary, state).inspect_err(|_| {
            // A partly written file must not take the room that the next try needs.
            let _ = fs::remove_file(&temporary);
        })?;
        sync(directory)
    };
    write().map_err(|source| StateError { path: path.to_owned(), reading: false, source })
}

/// Removes the file, durably, where there is one.
///
/// # Errors
///
/// It cannot be removed.
pub fn remove(path: &Path) -> Result<(), StateError> {
    let remove = || {
        // Asked first: where nothing can be removed, nothing has to be that is not there.
        if fs::symlink_metadata(path).is_err_and(|error| is_absence(&error)) {
            return Ok(());
        }
        match fs::remove_file(path) {
            Ok(()) => sync(directory(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    };
    remove().map_err(|source| StateError { path: path.to_owned(), reading: false, source })
}

/// Puts a file that is not believed aside, for those who are to find out who wrote it. Only the first one is kept: whoever writes such
/// files must not make more and more of them. Returns where that is.
///
/// # Errors
///
/// It cannot be told whether there is one already, or the file cannot be renamed.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(NOT_BELIEVED);
    let aside = PathBuf::from(aside);
    match fs::symlink_metadata(&aside) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(path, &aside)?,
        Err(error) => return Err(error),
    }
    Ok(aside)
}

fn directory(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// Makes a rename or removal durable.
fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Whether there is no such file.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Writes a file beside `path`, durably, and puts it in that place.
fn replace<S: State>(path: &Path, temporary: &Path, state: &S) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(&serde_json::to_vec(&Versioned { version: S::VERSION, state })?)?;
    file.sync_all()?;
    fs::rename(temporary, path)
}

#[cfg(test)]
mod tests;
