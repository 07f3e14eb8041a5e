//! The volumes of the node's pods, found without entering any mount, by directories alone: no symbolic link is followed.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evercert_core::confined::{self, LISTED, Links, SEARCHED};
use evercert_core::identity::is_pod_uid;
use evercert_core::layout::PROJECTED;
use evercert_core::mount::{ReadError, read_beneath};
use rustix::fs::{CWD, Dir, FileType, Mode};
use rustix::io::Errno;
use serde::Deserialize;

use super::{Listen, LookLimit};

/// The most entries of one directory that are looked at: a node has some hundred pods, and a pod some dozen volumes.
pub(super) const ENTRIES_LIMIT: usize = 4096;

/// The most volumes of all pods, without those of service accounts, of which a pod has one.
const VOLUMES_LIMIT: usize = 16_384;

/// The directory of a pod's volumes.
const VOLUMES: &str = "volumes";

/// The file that the kubelet writes beside the mount of a CSI driver, the mount's name, and the file's size limit.
const CSI_DATA: &str = "vol_data.json";
const CSI_MOUNT: &str = "mount";
const CSI_DATA_LIMIT: u64 = 64 * 1024;

/// The volumes in which the kubelet gives every pod the token of its service account.
const SERVICE_ACCOUNT: &str = "kube-api-access-";

/// The purpose of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VolumeKind {
    /// It may hold a key: a Secret, a projected volume, or one of a CSI driver that is allowed.
    Credential,
    /// It may hold certificates, as anchors for others, but no key: a ConfigMap.
    Trust,
    /// The kubelet gives the pod the token of its service account in it; of several the first.
    ServiceAccount,
}

/// The kubelet's names for the kinds of volumes that are looked at.
const PLUGINS: [(&str, VolumeKind); 3] = [
    ("kubernetes.io~secret", VolumeKind::Credential),
    (PROJECTED, VolumeKind::Credential),
    (CONFIG_MAP, VolumeKind::Trust),
];
const CONFIG_MAP: &str = "kubernetes.io~configmap";
const CSI_PLUGIN: &str = "kubernetes.io~csi";

/// One volume of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Volume {
    /// The pod's UID.
    pub(super) uid: Arc<str>,
    /// Its name in the pod.
    pub(super) name: String,
    /// The directory of its files.
    pub(super) root: PathBuf,
    /// Its purpose.
    pub(super) kind: VolumeKind,
    /// The CSI driver that it is of; absent: the kubelet itself filled it.
    pub(super) driver: Option<Arc<str>>,
}

/// The pods and their volumes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tree {
    /// The pods' directory.
    directory: PathBuf,
    /// The UIDs of the pods.
    pub(super) pods: BTreeSet<Arc<str>>,
    /// The volumes, sorted by pod and name.
    pub(super) volumes: Vec<Volume>,
    /// The limits by which something was left out.
    pub(super) limits_reached: BTreeSet<LookLimit>,
    /// Whether `pods` are all that there are. Where their list was cut, or was not read to its end, one may be there that is not in it.
    pub(super) lists_all_pods: bool,
    /// Why some directories could not be read; what was known of their pods stays.
    pub(super) unread: Option<Errno>,
}

impl Tree {
    /// The path of a ConfigMap's volume.
    pub(super) fn config_map(&self, uid: &str, volume: &str) -> PathBuf {
        self.directory.join(uid).join(VOLUMES).join(CONFIG_MAP).join(volume)
    }

    fn volumes_of(&self, uid: &str) -> &[Volume] {
        let begin = self.volumes.partition_point(|volume| *volume.uid < *uid);
        let end = self.volumes.partition_point(|volume| *volume.uid <= *uid);
        &self.volumes[begin..end]
    }
}

/// Walks the pods' directory. `listen` is told of each directory in which something may come or go. Volumes found `before` stay where
/// it cannot be told now what is there.
///
/// # Errors
///
/// The pods' directory cannot be opened.
pub(super) fn walk(
    directory: &Path,
    csi_drivers: &[String],
    before: &Tree,
    listen: &dyn Listen,
) -> Result<Tree, Errno> {
    listen.directory(directory);
    let pods = rustix::fs::openat(CWD, directory, LISTED, Mode::empty())?;
    let nothing = Tree::default();
    let before = if before.directory == directory { before } else { &nothing };
    let tree = Tree { directory: directory.to_owned(), ..Tree::default() };
    let mut walk = Walk { csi_drivers, listen, tree, unread: None };
    walk.list_pods(&pods, before, |walk| walk.list(&pods));
    for uid in walk.tree.pods.clone() {
        walk.tree.unread = walk.unread.take().or(walk.tree.unread);
        let found = walk.tree.volumes.len();
        walk.pod(&pods, &directory.join(&*uid), &uid);
        if walk.unread.is_some() {
            let is_missing = |volume: &&Volume| walk.tree.volumes[found..].iter().all(|now| now.root != volume.root);
            let known = before.volumes_of(&uid).iter().filter(|volume| walk.is_allowed(volume.driver.as_deref()));
            let missing: Vec<_> = known.filter(is_missing).cloned().collect();
            walk.tree.volumes.extend(missing);
        }
    }
    walk.tree.unread = walk.unread.take().or(walk.tree.unread);
    walk.tree.volumes.sort_by(|a, b| (&a.uid, &a.name).cmp(&(&b.uid, &b.name)));
    walk.cut_volumes();
    Ok(walk.tree)
}

struct Walk<'a> {
    csi_drivers: &'a [String],
    listen: &'a dyn Listen,
    tree: Tree,
    /// Why something could not be read, since that was last asked.
    unread: Option<Errno>,
}

impl Walk<'_> {
    /// Finds the UIDs of the pods by what `list` gives. Where that is not all, those that were there `before` are looked for by name.
    fn list_pods(&mut self, pods: &OwnedFd, before: &Tree, list: impl FnOnce(&mut Self) -> Vec<String>) {
        let names = list(self).into_iter();
        self.tree.pods = names.filter(|name| is_pod_uid(name)).map(Arc::from).collect();
        self.tree.lists_all_pods = self.tree.limits_reached.is_empty() && self.unread.is_none();
        if self.unread.is_some() {
            let may_be_there = |uid: &&Arc<str>| is_directory(FileType::Unknown, || look(pods, uid)) != Ok(false);
            self.tree.pods.extend(before.pods.iter().filter(may_be_there).cloned());
        }
    }

    fn pod(&mut self, pods: &OwnedFd, directory: &Path, uid: &Arc<str>) {
        // The kubelet makes each of these directories when it needs it: that of a pod is heard before the next one is looked for.
        self.listen.directory(directory);
        let Some(pod) = self.told(enter(pods, uid)) else { return };
        let directory = directory.join(VOLUMES);
        self.listen.directory(&directory);
        let Some(volumes) = self.told(enter(&pod, VOLUMES)) else { return };
        let mut has_service_account = false;
        for (plugin, kind) in PLUGINS {
            for (name, root, _) in self.plugin(&volumes, &directory, plugin) {
                let kind = match name.starts_with(SERVICE_ACCOUNT) {
                    false => kind,
                    true if plugin == PROJECTED && !has_service_account => {
                        has_service_account = true;
                        VolumeKind::ServiceAccount
                    }
                    true => continue,
                };
                self.tree.volumes.push(Volume { uid: Arc::clone(uid), name, root, kind, driver: None });
            }
        }
        for (name, directory, plugin) in self.plugin(&volumes, &directory, CSI_PLUGIN) {
            if name.starts_with(SERVICE_ACCOUNT) {
                continue;
            }
            self.listen.directory(&directory);
            let Some(volume) = self.told(enter(&plugin, &name)) else { continue };
            let driver = self.told(driver(&volume)).flatten();
            let Some(driver) = driver.filter(|driver| self.is_allowed(Some(driver))) else { continue };
            if self.is_directory(FileType::Unknown, &volume, CSI_MOUNT) {
                let (root, kind, driver) = (directory.join(CSI_MOUNT), VolumeKind::Credential, Some(driver.into()));
                self.tree.volumes.push(Volume { uid: Arc::clone(uid), name, root, kind, driver });
            }
        }
    }

    /// Whether volumes of this CSI driver are looked at, or of the kubelet where there is none.
    fn is_allowed(&self, driver: Option<&str>) -> bool {
        driver.is_none_or(|driver| self.csi_drivers.iter().any(|allowed| allowed == driver))
    }

    /// The names, paths and parent directory of the volumes of one kind.
    fn plugin(&mut self, volumes: &OwnedFd, directory: &Path, plugin: &str) -> Vec<(String, PathBuf, Arc<OwnedFd>)> {
        let directory = directory.join(plugin);
        // Heard first, so that what comes while it is listed is not missed.
        self.listen.directory(&directory);
        let Some(plugin) = self.told(enter(volumes, plugin)) else { return Vec::new() };
        let names = self.list(&plugin);
        let plugin = Arc::new(plugin);
        names
            .into_iter()
            .map(|name| {
                let root = directory.join(&name);
                (name, root, Arc::clone(&plugin))
            })
            .collect()
    }

    /// The directories in a directory. Those whose names are no text are nobody's.
    fn list(&mut self, directory: &OwnedFd) -> Vec<String> {
        let mut names = Vec::new();
        for entry in self.told(Dir::read_from(directory)).into_iter().flatten() {
            let Some(entry) = self.told(entry) else { continue };
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") || !self.is_directory(entry.file_type(), directory, name) {
                continue;
            }
            if names.len() == ENTRIES_LIMIT {
                self.tree.limits_reached.insert(LookLimit::PodDirectoryEntries);
                break;
            }
            names.push(name.to_owned());
        }
        names.sort();
        names
    }

    fn is_directory(&mut self, kind: FileType, directory: &OwnedFd, name: &str) -> bool {
        self.told(is_directory(kind, || look(directory, name))).unwrap_or(false)
    }

    /// The value of `outcome`; none where there is no such thing, or where it cannot be told.
    fn told<T>(&mut self, outcome: Result<T, Errno>) -> Option<T> {
        match outcome {
            Ok(told) => Some(told),
            Err(errno) => {
                if !is_absence(errno) {
                    self.unread = Some(errno);
                }
                None
            }
        }
    }

    fn cut_volumes(&mut self) {
        let mut count = 0;
        self.tree.volumes.retain(|volume| {
            count += usize::from(volume.kind != VolumeKind::ServiceAccount);
            volume.kind == VolumeKind::ServiceAccount || count <= VOLUMES_LIMIT
        });
        if count > VOLUMES_LIMIT {
            self.tree.limits_reached.insert(LookLimit::PodVolumes);
        }
    }
}

/// Whether an error means that there is no such directory, or something else in its place: a link, or a mount. Any other one, as where
/// descriptors are short, tells nothing of what is there.
pub(super) fn is_absence(errno: Errno) -> bool {
    [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::XDEV].contains(&errno)
}

fn enter(directory: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    confined::open(directory, name, LISTED, Links::Refused)
}

fn look(directory: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    confined::open(directory, name, SEARCHED, Links::Refused)
}

/// Whether an entry is a directory, or a mount, told without entering it; `look` opens it where its kind is unknown.
fn is_directory(kind: FileType, look: impl FnOnce() -> Result<OwnedFd, Errno>) -> Result<bool, Errno> {
    match kind {
        FileType::Directory => Ok(true),
        FileType::Unknown => match look() {
            // A mount is refused before it is entered.
            Ok(_) | Err(Errno::XDEV) => Ok(true),
            Err(errno) if is_absence(errno) => Ok(false),
            Err(errno) => Err(errno),
        },
        _ => Ok(false),
    }
}

/// The name of the CSI driver that a volume is of.
///
/// # Errors
///
/// It cannot be told now.
fn driver(volume: &OwnedFd) -> Result<Option<String>, Errno> {
    #[derive(Deserialize)]
    struct VolumeData {
        #[serde(rename = "driverName")]
        driver_name: String,
    }
    match read_beneath(volume, CSI_DATA, Links::Refused, &mut { CSI_DATA_LIMIT }) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok().map(|data: VolumeData| data.driver_name)),
        Err(ReadError::Io(error)) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests;
