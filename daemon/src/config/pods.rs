//! `[kubelet]`, and what one `[[pods]]` says of volumes of pods.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use evercert_core::spec::Expectations;
use toml::Spanned;

use super::error::Problem;
use super::glob::Glob;
use super::kubelet::Kubelet;
use super::spanned::{absolute, at};
use super::{file, identity, trust};

/// A rule for some volumes of pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodRule {
    namespace: Option<Glob>,
    volume: Option<VolumeGlob>,
    settings: Option<PodSettings>,
}

impl PodRule {
    /// The namespaces it is about; absent: any.
    pub(crate) fn namespace(&self) -> Option<&Glob> {
        self.namespace.as_ref()
    }

    /// Whether it is about a credential in this directory of this volume, whatever the pod.
    pub(crate) fn means(&self, volume: &str, directory: Option<&str>) -> bool {
        self.volume.as_ref().is_none_or(|glob| glob.matches(volume, directory))
    }

    /// Absent: the volume is left alone.
    pub(crate) fn settings(&self) -> Option<&PodSettings> {
        self.settings.as_ref()
    }
}

/// A volume, and a directory in it where one is named. A wildcard matches no `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct VolumeGlob {
    volume: Glob,
    directory: Option<Glob>,
}

impl VolumeGlob {
    fn new(text: &str) -> Self {
        match text.split_once('/') {
            None => Self { volume: Glob::new(text), directory: None },
            Some((volume, directory)) => Self { volume: Glob::new(volume), directory: Some(Glob::new(directory)) },
        }
    }

    fn matches(&self, volume: &str, directory: Option<&str>) -> bool {
        let is_in = |glob: &Glob| directory.is_some_and(|directory| glob.matches(directory.as_bytes()));
        self.volume.matches(volume.as_bytes()) && self.directory.as_ref().is_none_or(is_in)
    }
}

/// The settings of an identity of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PodSettings {
    /// Of its credential.
    pub(crate) expectations: Expectations,
    /// For how long anchors that left its `ca.crt` stay trusted.
    pub(crate) overlap: Duration,
    /// Its bundle; absent: the `ca.crt` beside its credential.
    pub(crate) bundle: Option<PodBundle>,
}

/// A bundle of its own for an identity of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PodBundle {
    /// Nobody is trusted.
    Nobody,
    /// A file in a volume of the same pod.
    OfPod {
        /// The volume.
        volume: String,
        /// The file in it.
        file: PathBuf,
    },
    /// A file of the node.
    OfNode(PathBuf),
}

/// `[kubelet]`, where it makes sense.
pub(super) fn kubelet(entry: &file::Kubelet) -> Result<Kubelet, Spanned<Problem>> {
    let driver = |name: &Spanned<String>| match name.get_ref() {
        text if text.is_empty() || text.contains(char::is_whitespace) => {
            Err(at(name, Problem::Blank { key: "csi_drivers" }))
        }
        text => Ok(text.clone()),
    };
    Ok(Kubelet {
        directory: absolute_or_off(&entry.directory, "directory")?,
        logs: absolute_or_off(&entry.logs, "logs")?,
        csi_drivers: entry.csi_drivers.iter().map(driver).collect::<Result<_, _>>()?,
        cgroup_prefixes: entry.cgroup_prefixes.clone(),
    })
}

fn absolute_or_off(path: &Spanned<PathBuf>, key: &'static str) -> Result<PathBuf, Spanned<Problem>> {
    if path.get_ref().as_os_str().is_empty() { Ok(PathBuf::new()) } else { absolute(path, key) }
}

/// One `[[pods]]`, where it makes sense.
pub(super) fn rule(entry: &file::PodRule) -> Result<PodRule, Spanned<Problem>> {
    if let Some(serves) = &entry.serves {
        return Err(at(serves, Problem::PodServes));
    }
    let filter = |text: &Option<Spanned<String>>, key| match text {
        Some(text) if text.get_ref().is_empty() || text.get_ref().contains(char::is_whitespace) => {
            Err(at(text, Problem::Blank { key }))
        }
        text => Ok(text.as_ref().map(|text| text.get_ref().clone())),
    };
    let (namespace, volume) = (filter(&entry.namespace, "namespace")?, filter(&entry.volume, "volume")?);
    let settings = PodSettings {
        expectations: identity::expectations(&entry.expectations())?,
        overlap: trust::overlap(entry.overlap.as_ref())?,
        bundle: entry.bundle.as_ref().map(bundle).transpose()?,
    };
    let is_ignored = match &entry.ignore {
        Some(ignore) if *ignore.get_ref() => match other_key(entry) {
            Some(key) => return Err(at(ignore, Problem::IgnoreAnd(key))),
            None => true,
        },
        _ => false,
    };
    Ok(PodRule {
        namespace: namespace.map(Glob::new),
        volume: volume.as_deref().map(VolumeGlob::new),
        settings: (!is_ignored).then_some(settings),
    })
}

fn bundle(path: &Spanned<PathBuf>) -> Result<PodBundle, Spanned<Problem>> {
    if identity::is_nobody(path) {
        return Ok(PodBundle::Nobody);
    }
    let invalid = || at(path, Problem::PodBundle);
    let written: &Path = path.get_ref();
    if written.is_absolute() {
        return Ok(PodBundle::OfNode(written.to_owned()));
    }
    let mut components = written.components();
    let Some(Component::Normal(volume)) = components.next() else { return Err(invalid()) };
    let file = components.as_path();
    let is_inside = file.components().all(|component| matches!(component, Component::Normal(_)));
    match volume.to_str() {
        Some(volume) if is_inside && !file.as_os_str().is_empty() => {
            Ok(PodBundle::OfPod { volume: volume.to_owned(), file: file.to_owned() })
        }
        _ => Err(invalid()),
    }
}

/// The first demand in an entry, if any.
fn other_key(entry: &file::PodRule) -> Option<&'static str> {
    let keys = [
        ("bundle", entry.bundle.is_some()),
        ("overlap", entry.overlap.is_some()),
        ("usages", !entry.usages.is_empty()),
        ("dns_names", !entry.dns_names.is_empty()),
        ("ip_addresses", !entry.ip_addresses.is_empty()),
        ("uris", !entry.uris.is_empty()),
        ("admission", entry.admission != file::Admission::default()),
        ("require_chain", entry.require_chain.is_some()),
        ("renew_before", entry.renew_before.is_some()),
        ("max_lifetime", entry.max_lifetime.is_some()),
        ("clock_skew", entry.clock_skew.is_some()),
        ("severities", !entry.severities.is_empty()),
    ];
    keys.iter().find(|(_, is_set)| *is_set).map(|(key, _)| *key)
}
