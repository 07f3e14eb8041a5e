//! Where the kubelet keeps what the daemon looks at.

use std::path::PathBuf;

/// Where the kubelet's directories are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kubelet {
    /// The pods' directory; empty: no pods.
    pub(crate) directory: PathBuf,
    /// Where the names of pods are told by those of their log directories; empty: nowhere.
    pub(crate) logs: PathBuf,
    /// The CSI drivers whose volumes are looked at.
    pub(crate) csi_drivers: Vec<String>,
    /// Allowed prefixes of `kubepods` in the path of a control group.
    pub(crate) cgroup_prefixes: Vec<String>,
}

impl Default for Kubelet {
    fn default() -> Self {
        Self {
            directory: "/var/lib/kubelet/pods".into(),
            logs: "/var/log/pods".into(),
            csi_drivers: vec!["csi.cert-manager.io".to_owned(), "spiffe.csi.cert-manager.io".to_owned()],
            cgroup_prefixes: Vec::new(),
        }
    }
}
