//! The demands on the identities of pods: the first rule that fits makes them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use evercert_core::identity::{IdentityId, IdentityName};
use evercert_core::spec::{BundleFile, Expectations, FileSet, IdentitySpec};
use tracing::debug;

use super::PodNames;
use super::contents::{Credentials, Found};
use super::tree::{Tree, Volume};
use crate::config::{PodBundle, PodRule, PodSettings};

/// The known pods.
pub(super) struct Pods<'a> {
    /// Their volumes.
    pub(super) tree: &'a Tree,
    /// Their names.
    pub(super) names: &'a PodNames,
    /// Whether the name of each is told sooner or later.
    pub(super) are_names_told: bool,
}

/// A credential as the rules select it.
enum Selection<'a> {
    /// It is an identity, of which this is asked.
    Kept(Option<&'a PodSettings>),
    /// It is left alone.
    Ignored,
    /// It depends on the pod's name, which is not known.
    Unknown,
}

/// The identities of the pods, by what is known of their volumes' `credentials`.
pub(super) fn specs<'a>(
    rules: &[PodRule],
    pods: &Pods<'_>,
    credentials: impl Fn(&Path) -> Option<&'a Credentials>,
) -> Vec<IdentitySpec> {
    let mut specs: Vec<IdentitySpec> = Vec::new();
    let mut last = None;
    for volume in &pods.tree.volumes {
        let Some(credentials) = credentials(&volume.root).filter(|credentials| !credentials.is_empty()) else {
            continue;
        };
        // Two volumes of one name there are not in a pod; what a kubelet may leave behind is not the pod's.
        let name = Some((&volume.uid, &volume.name));
        if std::mem::replace(&mut last, name) == name {
            continue;
        }
        for (directory, found) in credentials {
            let Some(id) = id(volume, directory.as_deref()) else { continue };
            match pods.selection(rules, volume, directory.as_deref()) {
                Selection::Kept(settings) => {
                    specs.push(pods.spec(id, volume, directory.as_deref(), found, settings));
                }
                Selection::Ignored => {}
                Selection::Unknown => debug!(identity = %id, "waits for its pod's name"),
            }
        }
    }
    specs
}

/// None where the volume or the directory is called what no identity can be called.
fn id(volume: &Volume, directory: Option<&str>) -> Option<IdentityId> {
    let text = match directory {
        None => volume.name.clone(),
        Some(directory) => format!("{}/{directory}", volume.name),
    };
    let name: Result<IdentityName, _> = text.parse();
    name.inspect_err(|error| debug!(volume = %volume.root.display(), %error, "left out"))
        .ok()
        .map(|name| IdentityId::pod(Arc::clone(&volume.uid), name))
}

impl Pods<'_> {
    fn selection<'a>(&self, rules: &'a [PodRule], volume: &Volume, directory: Option<&str>) -> Selection<'a> {
        for rule in rules.iter().filter(|rule| rule.means(&volume.name, directory)) {
            let fits = match (rule.namespace(), self.names.get(&volume.uid)) {
                (None, _) => true,
                (Some(glob), Some(pod)) => glob.matches(pod.namespace.as_bytes()),
                (Some(_), None) if self.are_names_told => return Selection::Unknown,
                (Some(_), None) => false,
            };
            if fits {
                return rule.settings().map_or(Selection::Ignored, |settings| Selection::Kept(Some(settings)));
            }
        }
        Selection::Kept(None)
    }

    fn spec(
        &self,
        id: IdentityId,
        volume: &Volume,
        directory: Option<&str>,
        found: &Found,
        settings: Option<&PodSettings>,
    ) -> IdentitySpec {
        let at = directory.map_or_else(|| volume.root.clone(), |directory| volume.root.join(directory));
        let mut files = FileSet { volumes: vec![volume.root.clone()], ..found.files(&at) };
        match settings.and_then(|settings| settings.bundle.as_ref()) {
            None => {}
            Some(PodBundle::Nobody) => (files.bundle, files.crls) = (None, Vec::new()),
            Some(PodBundle::OfNode(path)) => files.bundle = Some(BundleFile::Dedicated(path.clone())),
            Some(PodBundle::OfPod { volume: name, file }) => {
                let root = self.root(volume, name);
                files.bundle = Some(BundleFile::Dedicated(root.join(file)));
                if !files.volumes.contains(&root) {
                    files.volumes.push(root);
                }
            }
        }
        IdentitySpec {
            id,
            files,
            expectations: settings.map_or_else(Expectations::default, |settings| settings.expectations.clone()),
            overlap: settings.map_or(IdentitySpec::OVERLAP, |settings| settings.overlap),
        }
    }

    /// The root of another volume of the same pod; while there is none of that name, the one it would have as a ConfigMap.
    fn root(&self, volume: &Volume, name: &str) -> PathBuf {
        let wanted = (&volume.uid, name);
        let index = self.tree.volumes.partition_point(|other| (&other.uid, other.name.as_str()) < wanted);
        match self.tree.volumes.get(index).filter(|other| (&other.uid, other.name.as_str()) == wanted) {
            Some(found) => found.root.clone(),
            None => self.tree.config_map(&volume.uid, name),
        }
    }
}
