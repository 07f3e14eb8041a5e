//! The credentials that a volume holds, found without leaving it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evercert_core::confined::{self, LISTED, Links};
use evercert_core::layout::{
    self, Layout, TrustBundles, holds_certificates_alone, holds_key_and_chain, is_credential_bundle,
};
use evercert_core::mount::{DATA, FILE_LIMIT, ReadError, read_beneath};
use evercert_core::spec::FileSet;
use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::LookLimit;
use crate::callers::{POD_NAME_LIMIT, is_pod_name};

/// The most entries of one directory that are looked at.
const ENTRIES_LIMIT: usize = 64;

/// The most bytes of one volume read in one look: several Secrets as large as they may be. With links one large file could stand
/// for thousands.
const READ_LIMIT: u64 = 16 * FILE_LIMIT;

/// The directory that is the root of a volume, and the set of files the kubelet put there last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint {
    device: u64,
    inode: u64,
    data: Option<PathBuf>,
}

impl Fingerprint {
    /// Whether both are of one directory, whatever is in it.
    pub(super) fn is_of_same(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether nothing can have changed between both. Without a kubelet's swaps that cannot be told.
    fn tells_the_same(&self, other: &Self) -> bool {
        self.data.is_some() && self == other
    }
}

/// The credentials of a volume, by the directory in it; in its root where there is none.
pub(super) type Credentials = BTreeMap<Option<String>, Found>;

/// A volume that may hold credentials, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CredentialVolume {
    pub(super) fingerprint: Fingerprint,
    pub(super) credentials: Credentials,
    /// The limits by which something in it was not looked at.
    pub(super) limits_reached: BTreeSet<LookLimit>,
}

/// One credential, and the trust bundles beside it as the SPIFFE folder of a pod certificate has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    layout: Layout,
    trust: TrustBundles,
}

impl Found {
    /// All of its files in `directory`.
    pub(super) fn files(&self, directory: &Path) -> FileSet {
        let mut files = self.layout.files(directory);
        self.trust.put_into(&mut files, directory);
        files
    }
}

/// The files of `directory` where it is a folder of SPIFFE credentials, as a pod certificate's volume is: one file with key and chain,
/// and trust bundles beside it that are called otherwise than cert-manager's.
pub(crate) fn credential_folder(directory: &Path) -> Option<FileSet> {
    // The way to it may lead over links, which a volume's own path never does.
    let root = directory.canonicalize().ok()?;
    let Contents::Now(mut volume) = look(&root, &Sought::Credentials(None)).ok()? else { return None };
    let found = volume.credentials.remove(&None).filter(|found| found.trust != TrustBundles::default())?;
    Some(found.files(directory))
}

/// The file of a service account's volume that tells its namespace.
const NAMESPACE: &str = "namespace";

/// The content looked for in a volume.
#[derive(Debug, Clone)]
pub(super) enum Sought {
    /// Its credentials, where it is not as it was found before.
    Credentials(Option<Fingerprint>),
    /// The namespace of the service account whose token it holds.
    Namespace,
}

/// The result of looking into a volume.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Contents {
    /// It is as it was.
    Unchanged,
    /// It holds this.
    Now(CredentialVolume),
    /// It is of this namespace; absent: that is not told there, or not yet.
    Namespace(Option<Arc<str>>),
}

impl Contents {
    /// Whether all that is looked for was found, so that nobody has to hear what happens there.
    pub(super) fn is_complete(&self) -> bool {
        match self {
            Self::Unchanged => false,
            Self::Now(volume) => !volume.credentials.is_empty(),
            Self::Namespace(namespace) => namespace.is_some(),
        }
    }
}

/// Looks into the volume at `root`, whose path is free of symbolic links.
///
/// Blocks as long as the file system takes to answer, but on no FIFO. Nothing stays open.
///
/// # Errors
///
/// The root cannot be opened.
pub(super) fn look(root: &Path, sought: &Sought) -> Result<Contents, Errno> {
    let directory = confined::enter(root)?;
    match sought {
        Sought::Credentials(known) => {
            let budget = Budget { left: READ_LIMIT, is_exceeded: false };
            let look = Look { is_projected: layout::is_projected(root), budget, has_left_out_entries: false };
            look.for_credentials(&directory, known.as_ref())
        }
        Sought::Namespace => Ok(Contents::Namespace(namespace(&directory))),
    }
}

fn namespace(root: &OwnedFd) -> Option<Arc<str>> {
    let mut budget = Budget { left: POD_NAME_LIMIT as u64, is_exceeded: false };
    let content = content(root, NAMESPACE, &mut budget)?;
    std::str::from_utf8(&content).ok().filter(|text| is_pod_name(text)).map(Arc::from)
}

/// A look into one volume.
struct Look {
    /// Whether the kubelet puts pod certificates into such a volume.
    is_projected: bool,
    budget: Budget,
    /// Whether there is more in a directory than was looked at.
    has_left_out_entries: bool,
}

/// What may still be read in a volume.
struct Budget {
    /// In bytes.
    left: u64,
    /// Whether a file was not read for want of it.
    is_exceeded: bool,
}

/// The first entries of a directory, sorted, with what they are.
struct Entries {
    entries: Vec<(String, FileType)>,
    /// Whether there are more.
    is_cut: bool,
}

impl Look {
    fn for_credentials(mut self, root: &OwnedFd, known: Option<&Fingerprint>) -> Result<Contents, Errno> {
        let fingerprint = fingerprint(root)?;
        if known.is_some_and(|known| known.tells_the_same(&fingerprint)) {
            return Ok(Contents::Unchanged);
        }
        let mut credentials = Credentials::new();
        let files = if fingerprint.data.is_some() { open_directory(root, DATA)? } else { open_directory(root, ".")? };
        let Entries { entries, is_cut } = entries(&files)?;
        self.has_left_out_entries |= is_cut;
        credentials.extend(self.credential(&files, &entries).map(|credential| (None, credential)));
        for (name, _) in entries.iter().filter(|(name, kind)| kind.is_dir() && !name.starts_with('.')) {
            let Ok(directory) = open_directory(&files, name) else { continue };
            let Ok(Entries { entries, is_cut }) = self::entries(&directory) else { continue };
            let credential = self.credential(&directory, &entries);
            // Chain and key are told by their names, whatever else is there; and directories in this one are not looked for.
            let is_told_by_names = credential.as_ref().is_some_and(|found| found.layout == Layout::CertManager);
            self.has_left_out_entries |= is_cut && !is_told_by_names;
            credentials.extend(credential.map(|credential| (Some(name.clone()), credential)));
        }
        let limits_reached = self.limits_reached();
        Ok(Contents::Now(CredentialVolume { fingerprint, credentials, limits_reached }))
    }

    /// The limits by which something was left out until now.
    fn limits_reached(&self) -> BTreeSet<LookLimit> {
        let limits = [
            (LookLimit::PodVolumeEntries, self.has_left_out_entries),
            (LookLimit::PodVolumeBytes, self.budget.is_exceeded),
        ];
        limits.into_iter().filter_map(|(limit, is_reached)| is_reached.then_some(limit)).collect()
    }

    /// The credential of one directory. Of an entry that is cut from the list only its name counts.
    fn credential(&mut self, directory: &OwnedFd, entries: &[(String, FileType)]) -> Option<Found> {
        let files =
            || entries.iter().filter(|(_, kind)| kind.is_file() || kind.is_symlink()).map(|(name, _)| name.as_str());
        let budget = &mut self.budget;
        let holds_both =
            |name: &str| content(directory, name, budget).is_some_and(|content| holds_key_and_chain(&content));
        let layout = Layout::of_directory(|name| kind(directory, name).is_some(), files(), holds_both)?;
        let trust = match &layout {
            Layout::Combined(name) if kind(directory, layout::file_name::BUNDLE).is_none() => {
                self.trust(directory, name, files())
            }
            _ => TrustBundles::default(),
        };
        Some(Found { layout, trust })
    }

    /// The trust bundles beside the one file with key and chain, where none is called as cert-manager's: by their names as SPIFFE has
    /// them, else, beside a pod certificate, the one other file with certificates. Elsewhere such a file is anything: an intermediate, or
    /// a former chain. Where trust cannot be told there is none, which is for the checks to say.
    fn trust<'n>(
        &mut self,
        directory: &OwnedFd,
        credential: &OsStr,
        files: impl Iterator<Item = &'n str> + Clone,
    ) -> TrustBundles {
        let budget = &mut self.budget;
        let bundle = credential.to_str().and_then(|name| content(directory, name, budget));
        let own = bundle.as_deref().and_then(|bundle| layout::trust_domain(bundle));
        let named = TrustBundles::among(files.clone(), own.as_ref()).unwrap_or_default();
        if named.own.is_some() || !named.federated.is_empty() {
            return named;
        }
        if !self.is_projected || !bundle.is_some_and(|bundle| is_credential_bundle(&bundle)) {
            return TrustBundles::default();
        }
        let is_other = |name: &&str| OsStr::new(name) != credential;
        let mut others = files
            .filter(is_other)
            .filter(|name| content(directory, name, budget).is_some_and(|content| holds_certificates_alone(&content)));
        match (others.next(), others.next()) {
            (Some(name), None) => TrustBundles { own: Some(name.to_owned()), ..TrustBundles::default() },
            _ => TrustBundles::default(),
        }
    }
}

#[expect(clippy::useless_conversion, reason = "the types of these fields differ between architectures")]
fn fingerprint(root: &OwnedFd) -> Result<Fingerprint, Errno> {
    let stat = rustix::fs::fstat(root)?;
    let data = match rustix::fs::readlinkat(root, DATA, Vec::new()) {
        Ok(target) => Some(PathBuf::from(std::ffi::OsString::from_vec(target.into_bytes()))),
        Err(Errno::NOENT | Errno::INVAL) => None,
        Err(errno) => return Err(errno),
    };
    Ok(Fingerprint { device: stat.st_dev.into(), inode: stat.st_ino.into(), data })
}

fn open_directory(directory: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    confined::open(directory, name, LISTED, Links::Followed)
}

/// Lists a directory; no link is followed for that.
fn entries(directory: &OwnedFd) -> Result<Entries, Errno> {
    let (mut entries, mut is_cut) = (Vec::new(), false);
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name.starts_with("..") || name == "." {
            continue;
        }
        if entries.len() == ENTRIES_LIMIT {
            is_cut = true;
            break;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => kind(directory, name).unwrap_or(FileType::Unknown),
            kind => kind,
        };
        entries.push((name.to_owned(), kind));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Entries { entries, is_cut })
}

fn kind(directory: &OwnedFd, name: &str) -> Option<FileType> {
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}

/// A file of a volume, no larger than what may still be read there.
fn content(directory: &OwnedFd, name: &str, budget: &mut Budget) -> Option<Zeroizing<Vec<u8>>> {
    let read = read_beneath(directory, name, Links::Followed, &mut budget.left);
    // A file that is larger than any that is read is no matter of the budget.
    budget.is_exceeded |= matches!(read, Err(ReadError::TooLarge { size, .. }) if size <= FILE_LIMIT);
    read.ok()
}

#[cfg(test)]
mod tests;
