//! What is retained, remembered beyond the process: one small file per identity.
//!
//! A restart must neither end an overlap nor begin it anew. The files hold certificates, CRLs and deadlines, no keys; but whoever
//! may write them decides whom to trust, so they are believed only where nobody else may.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use base64ct::{Base64, Encoding as _};
use rustix::fs::OFlags;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::Overlap;
use crate::digest::Digest;
use crate::identity::IdentityId;
use crate::spec::{BundleFile, IdentitySpec};

/// The version of the files.
const VERSION: u32 = 1;

/// The largest file that is read: all that an overlap may hold, and more.
const FILE_LIMIT: u64 = 64 << 20;

/// A file's name is the prefix, a digest of the identity's name, and the suffix.
const PREFIX: &str = "overlap-";
const SUFFIX: &str = ".json";
/// The extension of a file that is being written.
const TEMPORARY: &str = "tmp";

/// The directory of the files.
#[derive(Debug)]
pub(crate) struct OverlapStore {
    directory: PathBuf,
    /// Held while a file is replaced or removed.
    writing: Mutex<()>,
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
enum Unusable {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is no regular file")]
    NotAFile,
    #[error("others than its owner may write it, or its owner is neither this process's user nor root")]
    OthersMayWrite,
    #[error("it is larger than {FILE_LIMIT} bytes")]
    TooLarge,
    /// The parser's own message is not passed on: it quotes what it read.
    #[error("it is not what was written there, in line {line}, column {column}")]
    Malformed { line: usize, column: usize },
    #[error("its version is {0}, not {VERSION}")]
    Version(u32),
    #[error("it is about another identity")]
    OfAnother,
    #[error("it holds what is no certificate or CRL")]
    NoCertificate,
}

#[derive(Serialize, Deserialize)]
struct StateFile {
    version: u32,
    identity: String,
    /// The file that the anchors left.
    bundle: PathBuf,
    anchors: Vec<StoredAnchor>,
    crls: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredAnchor {
    /// Milliseconds since 1970.
    until_unix_ms: u64,
    /// DER in base64.
    certificate: String,
}

impl OverlapStore {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, writing: Mutex::new(()) }
    }

    /// What is remembered of an identity: nothing, where that is not to be believed. What is about another file than is wanted by now
    /// is forgotten for good, as it is where that changes in a running process: wanting the first one again must not bring it back.
    ///
    /// # Errors
    ///
    /// It cannot be told now: the file cannot be read.
    pub(crate) fn load(&self, spec: &IdentitySpec) -> Result<Overlap, StateError> {
        let path = self.path(&spec.id);
        let Some(BundleFile::OfCredential(bundle)) = &spec.files.bundle else { return Ok(self.forget(&path)) };
        let overlap = match read(&path) {
            Err(Unusable::Io(source)) => {
                return Err(StateError { path, reading: true, source });
            }
            Ok(Some(state)) if state.identity != spec.id.to_string() => Err(Unusable::OfAnother),
            Ok(Some(state)) if state.bundle != *bundle => Ok(self.forget(&path)),
            Ok(Some(state)) => state.overlap(),
            Ok(None) => Ok(Overlap::default()),
            Err(error) => Err(error),
        };
        Ok(overlap.unwrap_or_else(|error| {
            let path = path.display();
            tracing::warn!(identity = %spec.id, %path, %error, "what it says of anchors that left a bundle is not used; remove it");
            Overlap::default()
        }))
    }

    /// Remembers what is retained of an identity, durably.
    ///
    /// # Errors
    ///
    /// The file cannot be written, or not be removed where nothing is retained.
    pub(crate) fn save(&self, spec: &IdentitySpec, overlap: &Overlap) -> Result<(), StateError> {
        let path = self.path(&spec.id);
        let _writing = self.writing();
        let result = match &spec.files.bundle {
            Some(bundle) if !overlap.is_empty() => self.write(&path, &StateFile::new(&spec.id, bundle.path(), overlap)),
            _ => self.remove(&path),
        };
        result.map_err(|source| StateError { path, reading: false, source })
    }

    /// Removes the files whose anchors have all come to their end, also of identities that are gone, and what an interrupted write
    /// left.
    pub(crate) fn sweep(&self, now: SystemTime) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let _writing = self.writing();
            let has_ended = path.extension().is_some_and(|extension| extension == TEMPORARY)
                || rest.ends_with(SUFFIX)
                    && matches!(read(&path), Ok(Some(state)) if state.anchors.iter().all(|anchor| anchor.until() <= now));
            if has_ended
                && let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "an outdated state file cannot be removed");
            }
        }
    }

    fn forget(&self, path: &Path) -> Overlap {
        let _writing = self.writing();
        if let Err(error) = self.remove(path) {
            tracing::warn!(path = %path.display(), %error, "a state file about another bundle cannot be removed; remove it");
        }
        Overlap::default()
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, id: &IdentityId) -> PathBuf {
        self.directory.join(format!("{PREFIX}{}{SUFFIX}", Digest::fingerprint(id.to_string().as_bytes())))
    }

    fn write(&self, path: &Path, state: &StateFile) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let temporary = path.with_extension(TEMPORARY);
        // Left by a write that was interrupted, with a mode of whoever made it.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        replace(path, &temporary, state).inspect_err(|_| {
            // What was written of it must not take the room that the next try needs.
            let _ = fs::remove_file(&temporary);
        })?;
        self.sync()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        // Asked first: where nothing can be removed, nothing has to be that is not there.
        if fs::symlink_metadata(path).is_err_and(|error| is_absence(&error)) {
            return Ok(());
        }
        match fs::remove_file(path) {
            Ok(()) => self.sync(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes a rename or removal durable.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

/// Whether there is no such file.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Writes a file beside `path`, durably, and puts it in that place.
fn replace(path: &Path, temporary: &Path, state: &StateFile) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(&serde_json::to_vec(state)?)?;
    file.sync_all()?;
    fs::rename(temporary, path)
}

/// Nothing, where there is no file.
fn read(path: &Path) -> Result<Option<StateFile>, Unusable> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Err(error) if is_absence(&error) => return Ok(None),
        // A link, or what cannot be opened without waiting: nothing that was written here.
        Err(error)
            if [Errno::LOOP, Errno::NXIO].map(|errno| Some(errno.raw_os_error())).contains(&error.raw_os_error()) =>
        {
            return Err(Unusable::NotAFile);
        }
        opened => opened?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Unusable::NotAFile);
    }
    let is_owned = [0, rustix::process::geteuid().as_raw()].contains(&metadata.uid());
    if !is_owned || metadata.mode() & 0o022 != 0 {
        return Err(Unusable::OthersMayWrite);
    }
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(Unusable::TooLarge);
    }
    let malformed = |error: serde_json::Error| Unusable::Malformed { line: error.line(), column: error.column() };
    let state: StateFile = serde_json::from_slice(&bytes).map_err(malformed)?;
    if state.version == VERSION { Ok(Some(state)) } else { Err(Unusable::Version(state.version)) }
}

impl StateFile {
    fn new(id: &IdentityId, bundle: &Path, overlap: &Overlap) -> Self {
        let anchors = overlap.anchors().map(|(der, until)| StoredAnchor {
            until_unix_ms: unix_ms(until),
            certificate: Base64::encode_string(der),
        });
        let crls = overlap.crls().iter().map(|crl| Base64::encode_string(crl));
        Self {
            version: VERSION,
            identity: id.to_string(),
            bundle: bundle.to_owned(),
            anchors: anchors.collect(),
            crls: crls.collect(),
        }
    }

    fn overlap(self) -> Result<Overlap, Unusable> {
        let der = |text: &str| Base64::decode_vec(text).map_err(|_| Unusable::NoCertificate);
        let anchors = self.anchors.iter().map(|anchor| Ok((der(&anchor.certificate)?.into(), anchor.until())));
        let anchors = anchors.collect::<Result<Vec<_>, Unusable>>()?;
        let crls = self.crls.iter().map(|crl| Ok(der(crl)?.into())).collect::<Result<Vec<_>, Unusable>>()?;
        // A list that cannot be used would have every peer refused.
        if crls.iter().any(|crl: &rustls_pki_types::CertificateRevocationListDer<'_>| {
            webpki::BorrowedCertRevocationList::from_der(crl).is_err()
        }) {
            return Err(Unusable::NoCertificate);
        }
        Overlap::remembered(anchors, crls).map_err(|_| Unusable::NoCertificate)
    }
}

impl StoredAnchor {
    fn until(&self) -> SystemTime {
        // Beyond what a clock can show: longer than any overlap, and cut to one.
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.until_unix_ms)).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// Rounded down: what is remembered ends no later than what is retained.
fn unix_ms(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
