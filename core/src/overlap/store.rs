//! Overlaps, remembered beyond the process: one small file per identity.
//!
//! A restart must neither end an overlap nor begin it anew. The files hold certificates, CRLs and deadlines, no keys.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use base64ct::{Base64, Encoding as _};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Overlap;
use crate::digest::Digest;
use crate::identity::IdentityId;
use crate::spec::{BundleFile, IdentitySpec};
use crate::state_file::{self, State, StateError, TEMPORARY, Unusable};

/// A file's name is the prefix, a digest of the identity's name, and the suffix.
const PREFIX: &str = "overlap-";
const SUFFIX: &str = ".json";

/// The directory of the files.
#[derive(Debug)]
pub(crate) struct OverlapStore {
    directory: PathBuf,
    /// Held while a file is replaced or removed.
    writing: Mutex<()>,
}

/// The reason why a file's content is not used.
#[derive(Debug, thiserror::Error)]
enum UnusableOverlap {
    #[error(transparent)]
    Unusable(#[from] Unusable),
    #[error("it is about another identity")]
    OfAnother,
    #[error("it holds what is no certificate or CRL")]
    NoCertificate,
}

#[derive(Serialize, Deserialize)]
struct StoredOverlap {
    identity: String,
    /// The file that the anchors left.
    bundle: PathBuf,
    anchors: Vec<StoredAnchor>,
    crls: Vec<String>,
}

impl State for StoredOverlap {
    const VERSION: u32 = 1;
    /// All that an overlap may hold, and more.
    const LIMIT: u64 = 64 << 20;
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

    /// The remembered overlap of an identity; none, where it is not to be believed. One of another file than is wanted by now is forgotten
    /// for good, as it is where that changes in a running process: wanting the first file again must not bring it back.
    ///
    /// # Errors
    ///
    /// It cannot be told now: the file cannot be read.
    pub(crate) fn load(&self, spec: &IdentitySpec) -> Result<Overlap, StateError> {
        let path = self.path(&spec.id);
        let Some(BundleFile::OfCredential(bundle)) = &spec.files.bundle else { return Ok(self.forget(&path)) };
        let overlap = match state_file::read::<StoredOverlap>(&path) {
            Err(Unusable::Unreadable(error)) => return Err(error),
            Ok(Some(state)) if state.identity != spec.id.to_string() => Err(UnusableOverlap::OfAnother),
            Ok(Some(state)) if state.bundle != *bundle => Ok(self.forget(&path)),
            Ok(Some(state)) => state.overlap(),
            Ok(None) => Ok(Overlap::default()),
            Err(error) => Err(error.into()),
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
        let _writing = self.writing.lock();
        match &spec.files.bundle {
            Some(bundle) if !overlap.is_empty() => {
                state_file::write(&path, &StoredOverlap::new(&spec.id, bundle.path(), overlap))
            }
            _ => state_file::remove(&path),
        }
    }

    /// Removes the files whose anchors have all come to their end, also of identities that are gone, and what an interrupted write
    /// left.
    pub(crate) fn sweep(&self, now: SystemTime) {
        let Ok(entries) = fs::read_dir(&self.directory) else { return };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let _writing = self.writing.lock();
            let has_ended = path.extension().is_some_and(|extension| extension == TEMPORARY)
                || rest.ends_with(SUFFIX)
                    && matches!(state_file::read::<StoredOverlap>(&path), Ok(Some(state)) if state.anchors.iter().all(|anchor| anchor.until() <= now));
            if has_ended
                && let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "an outdated state file cannot be removed");
            }
        }
    }

    fn forget(&self, path: &Path) -> Overlap {
        let _writing = self.writing.lock();
        if let Err(StateError { source: error, .. }) = state_file::remove(path) {
            tracing::warn!(path = %path.display(), %error, "a state file about another bundle cannot be removed; remove it");
        }
        Overlap::default()
    }

    fn path(&self, id: &IdentityId) -> PathBuf {
        self.directory.join(format!("{PREFIX}{}{SUFFIX}", Digest::fingerprint(id.to_string().as_bytes())))
    }
}

impl StoredOverlap {
    fn new(id: &IdentityId, bundle: &Path, overlap: &Overlap) -> Self {
        let anchors = overlap.anchors().map(|(der, until)| StoredAnchor {
            until_unix_ms: unix_ms(until),
            certificate: Base64::encode_string(der),
        });
        let crls = overlap.crls().iter().map(|crl| Base64::encode_string(crl));
        Self { identity: id.to_string(), bundle: bundle.to_owned(), anchors: anchors.collect(), crls: crls.collect() }
    }

    fn overlap(self) -> Result<Overlap, UnusableOverlap> {
        let der = |text: &str| Base64::decode_vec(text).map_err(|_| UnusableOverlap::NoCertificate);
        let anchors = self.anchors.iter().map(|anchor| Ok((der(&anchor.certificate)?.into(), anchor.until())));
        let anchors = anchors.collect::<Result<Vec<_>, UnusableOverlap>>()?;
        let crls = self.crls.iter().map(|crl| Ok(der(crl)?.into())).collect::<Result<Vec<_>, UnusableOverlap>>()?;
        // A list that cannot be used would have every peer refused.
        if crls.iter().any(|crl: &rustls_pki_types::CertificateRevocationListDer<'_>| {
            webpki::BorrowedCertRevocationList::from_der(crl).is_err()
        }) {
            return Err(UnusableOverlap::NoCertificate);
        }
        Overlap::remembered(anchors, crls).map_err(|_| UnusableOverlap::NoCertificate)
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
