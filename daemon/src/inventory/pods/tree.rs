//! The volumes of the node's pods, found without entering any mount, by directories alone: no symbolic link is followed.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use evercert_core::confined::{self, LISTED, Links, SEARCHED};
use evercert_core::mount::read_beneath;
use rustix::fs::{CWD, Dir, FileType, Mode};
use rustix::io::Errno;
use serde::Deserialize;

use super::Listen;
use crate::callers::is_pod_uid;

/// The most entries of one directory that are looked at: a node has some hundred pods, and a pod some dozen volumes.
pub(super) const ENTRIES_LIMIT: usize = 4096;

/// The most volumes of all pods.
const VOLUMES_LIMIT: usize = 16_384;

/// What a pod's volumes are in.
const VOLUMES: &str = "volumes";

/// What the kubelet writes beside the mount of a CSI driver, where that is, and how large it may be.
const CSI_DATA: &str = "vol_data.json";
const CSI_MOUNT: &str = "mount";
const CSI_DATA_LIMIT: u64 = 64 * 1024;

/// The volumes in which the kubelet gives every pod the token of its service account.
const SERVICE_ACCOUNT: &str = "kube-api-access-";

/// What a volume is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It may hold a key: a Secret, a projected volume, or one of a CSI driver that is allowed.
    Credential,
    /// It may hold certificates, as anchors for others, but no key: a ConfigMap.
    Trust,
}

/// What the kubelet calls the kinds of volumes that are looked at.
const PLUGINS: [(&str, Kind); 3] =
    [("kubernetes.io~secret", Kind::Credential), (PROJECTED, Kind::Credential), (CONFIG_MAP, Kind::Trust)];
const PROJECTED: &str = "kubernetes.io~projected";
const CONFIG_MAP: &str = "kubernetes.io~configmap";
const CSI_PLUGIN: &str = "kubernetes.io~csi";

/// One volume of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Volume {
    /// The pod's UID.
    pub(super) uid: Arc<str>,
    /// What the pod calls it.
    pub(super) name: String,
    /// Where its files are.
    pub(super) root: PathBuf,
    /// What it is for.
    pub(super) kind: Kind,
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
    /// Where the volume is in which the kubelet gives a pod the token of its service account; of several the first.
    pub(super) service_accounts: BTreeMap<Arc<str>, PathBuf>,
    /// Whether there is more than was looked at.
    pub(super) is_cut: bool,
}

impl Tree {
    /// Where the volume of a ConfigMap is.
    pub(super) fn config_map(&self, uid: &str, volume: &str) -> PathBuf {
        self.directory.join(uid).join(VOLUMES).join(CONFIG_MAP).join(volume)
    }
}

/// Walks the pods' directory. `listen` is told of each directory in which something may come or go.
///
/// # Errors
///
/// The pods' directory cannot be read.
pub(super) fn walk(directory: &Path, csi_drivers: &[String], listen: &dyn Listen) -> Result<Tree, Errno> {
    let mut walk = Walk { csi_drivers, listen, tree: Tree { directory: directory.to_owned(), ..Tree::default() } };
    listen.directory(directory);
    let pods = rustix::fs::openat(CWD, directory, LISTED, Mode::empty())?;
    for uid in walk.list(&pods)?.iter().filter(|name| is_pod_uid(name)) {
        let uid: Arc<str> = uid.as_str().into();
        walk.pod(&pods, &directory.join(&*uid), &uid);
        walk.tree.pods.insert(uid);
    }
    walk.tree.volumes.sort_by(|a, b| (&a.uid, &a.name).cmp(&(&b.uid, &b.name)));
    if walk.tree.volumes.len() > VOLUMES_LIMIT {
        walk.tree.volumes.truncate(VOLUMES_LIMIT);
        walk.tree.is_cut = true;
    }
    Ok(walk.tree)
}

struct Walk<'a> {
    csi_drivers: &'a [String],
    listen: &'a dyn Listen,
    tree: Tree,
}

impl Walk<'_> {
    fn pod(&mut self, pods: &OwnedFd, directory: &Path, uid: &Arc<str>) {
        // The kubelet makes each of these directories when it needs it: that of a pod is heard before the next one is looked for.
        self.listen.directory(directory);
        let Ok(pod) = enter(pods, uid) else { return };
        let directory = directory.join(VOLUMES);
        self.listen.directory(&directory);
        let Ok(volumes) = enter(&pod, VOLUMES) else { return };
        for (plugin, kind) in PLUGINS {
            for (name, root, _) in self.plugin(&volumes, &directory, plugin) {
                if name.starts_with(SERVICE_ACCOUNT) {
                    if plugin == PROJECTED {
                        self.tree.service_accounts.entry(Arc::clone(uid)).or_insert(root);
                    }
                    continue;
                }
                self.tree.volumes.push(Volume { uid: Arc::clone(uid), name, root, kind, driver: None });
            }
        }
        for (name, directory, plugin) in self.plugin(&volumes, &directory, CSI_PLUGIN) {
            if name.starts_with(SERVICE_ACCOUNT) {
                continue;
            }
            self.listen.directory(&directory);
            let Ok(volume) = enter(&plugin, &name) else { continue };
            let driver = driver(&volume).filter(|driver| self.csi_drivers.contains(driver)).map(Arc::from);
            if driver.is_some() && is_directory(&volume, CSI_MOUNT) {
                let root = directory.join(CSI_MOUNT);
                let kind = Kind::Credential;
                self.tree.volumes.push(Volume { uid: Arc::clone(uid), name, root, kind, driver });
            }
        }
    }

    /// The volumes of one kind: what they are called, where they are, and what they are in.
    fn plugin(&mut self, volumes: &OwnedFd, directory: &Path, plugin: &str) -> Vec<(String, PathBuf, Arc<OwnedFd>)> {
        let directory = directory.join(plugin);
        // Heard first, so that what comes while it is listed is not missed.
        self.listen.directory(&directory);
        let Ok(plugin) = enter(volumes, plugin) else { return Vec::new() };
        let names = self.list(&plugin).unwrap_or_default();
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
    fn list(&mut self, directory: &OwnedFd) -> Result<Vec<String>, Errno> {
        let mut names = Vec::new();
        for entry in Dir::read_from(directory)?.filter_map(Result::ok) {
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") {
                continue;
            }
            let is_directory = match entry.file_type() {
                FileType::Directory => true,
                FileType::Unknown => is_directory(directory, name),
                _ => false,
            };
            if is_directory && names.len() == ENTRIES_LIMIT {
                self.tree.is_cut = true;
                break;
            }
            if is_directory {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

fn enter(directory: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    confined::open(directory, name, LISTED, Links::Refused)
}

/// Whether `name` is a directory, or a mount, told without entering it.
fn is_directory(directory: impl AsFd, name: &str) -> bool {
    // A mount is refused before it is entered.
    match confined::open(directory, name, SEARCHED, Links::Refused) {
        Ok(_) => true,
        Err(errno) => errno == Errno::XDEV,
    }
}

/// The name of the CSI driver that a volume is of.
fn driver(volume: &OwnedFd) -> Option<String> {
    #[derive(Deserialize)]
    struct VolumeData {
        #[serde(rename = "driverName")]
        driver_name: String,
    }
    let text = read_beneath(volume, CSI_DATA, Links::Refused, &mut { CSI_DATA_LIMIT }).ok()?;
    serde_json::from_slice(&text).ok().map(|data: VolumeData| data.driver_name)
}

#[cfg(test)]
mod tests;
