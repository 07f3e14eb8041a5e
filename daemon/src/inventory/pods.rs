//! The pods of the node, as the kubelet's directories tell of them: each volume that holds a certificate is an identity of its pod,
//! and goes with it.
//!
//! ```text
//! <directory>/<uid>/volumes/<plugin>/<volume> ─ tree, entering no mount ─→ Volume ─ probe: contents, on threads of their own ─→ Credential
//! <logs>/<namespace>_<name>_<uid> ─ names ⇄ memory ─→ PodNames                [[pods]] ─ rules ─→ IdentitySpec of Scope::Pod(uid)
//! ```
//!
//! A volume is a mount that somebody else may unmount at any time, and that may be dead. So nothing stays open in one; one that
//! is known is not entered again unless something happened in it; and whoever enters one may get stuck there alone.

mod contents;
mod discovery;
mod memory;
mod mounts;
mod names;
mod probe;
mod rules;
mod tree;

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use evercert_core::spec::IdentitySpec;

pub(crate) use contents::credential_folder;
pub(crate) use discovery::Discovery;
pub(crate) use memory::remembered as remembered_names;
#[cfg(test)]
pub(crate) use names::Naming;
pub(crate) use names::{Contested, Doubt, PodNames};

use super::LookLimit;

/// Listens for further changes. Called before what it names is looked at; may block as long as that does.
pub(crate) trait Listen: Send + Sync {
    /// To entries that come to this directory, or leave it.
    fn directory(&self, directory: &Path);
    /// To changes in the root of this volume.
    fn volume(&self, root: &Path);
    /// No longer to changes there: whoever keeps its identities hears it.
    fn unlisten(&self, root: &Path);
}

/// The known volumes to look into again.
#[derive(Debug, Default)]
pub(crate) struct Again {
    /// All of them, as a hint may have been lost.
    pub(crate) all: bool,
    /// Those in whose roots something happened.
    pub(crate) touched: HashSet<PathBuf>,
}

/// The result of discovery.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Found {
    /// The identities of pods.
    pub(crate) specs: Vec<IdentitySpec>,
    /// The names of the pods.
    pub(crate) names: PodNames,
    /// The number of pods of which more than one name is told.
    pub(crate) contested: Contested,
    /// The number of their volumes that are not looked into.
    pub(crate) silent: Silent,
    /// The limits by which something was left out.
    pub(crate) limits_reached: BTreeSet<LookLimit>,
}

/// The number of volumes of pods that are not looked into, as they or others do not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Silent {
    /// Those in which a thread is stuck.
    pub(crate) stuck: usize,
    /// Those not asked, since too many others of their pod or CSI driver do not answer.
    pub(crate) crowded_out: usize,
    /// Those not asked for lack of time; they are the next time.
    pub(crate) postponed: usize,
}

/// A fault of the kubelet's directories as a whole. Each is told once, until it has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trouble {
    /// There are more entries in a directory than are looked at.
    TooMany,
    /// The pods' directory cannot be read.
    Directory,
    /// Directories of some pods cannot be read.
    Unread,
    /// The log directory cannot be read.
    Logs,
    /// Names are told of more pods than are known.
    TooManyNames,
    /// There are rules with a namespace, and nothing that tells one.
    NoNames,
    /// There is more in some volumes than is looked at.
    CutVolumes,
    /// Volumes did not answer.
    Dead,
    /// So many volumes did not answer that others are not asked.
    CrowdedOut,
}
