//! What the pods are called, by the names of their log directories: `NAMESPACE_NAME_UID`.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::uid::is_uid;

/// The most log directories that are looked at: those of pods that are gone stay for a while.
const LIMIT: usize = 16_384;

/// The longest name of a pod or namespace, in bytes: that of a DNS subdomain.
const NAME_LIMIT: usize = 253;

/// What a pod is called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PodName {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

/// The names of the node's pods, by UID, as far as they are known.
pub(crate) type PodNames = BTreeMap<Arc<str>, PodName>;

impl PodName {
    /// Absent where Kubernetes allows no such name or namespace.
    pub(crate) fn new(namespace: &str, name: &str) -> Option<Self> {
        (is_name(namespace) && is_name(name)).then(|| Self { namespace: namespace.into(), name: name.into() })
    }
}

impl fmt::Display for PodName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The names that `logs` tells; absent: there is no such directory.
///
/// # Errors
///
/// It cannot be listed.
pub(super) fn read(logs: &Path) -> io::Result<Option<PodNames>> {
    let entries = match fs::read_dir(logs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    let mut names = PodNames::new();
    let mut ambiguous = HashSet::new();
    for entry in entries.take(LIMIT) {
        let entry = entry?;
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let Some((uid, name)) = entry.file_name().to_str().and_then(parse) else { continue };
        if names.insert(Arc::clone(&uid), name).is_some() {
            ambiguous.insert(uid);
        }
    }
    // A pod has one name; which of two is its own cannot be told.
    names.retain(|uid, _| !ambiguous.contains(uid));
    Ok(Some(names))
}

/// None of the three parts holds an underscore.
fn parse(directory: &str) -> Option<(Arc<str>, PodName)> {
    let parts: Vec<_> = directory.split('_').collect();
    let [namespace, name, uid] = parts[..] else { return None };
    let name = PodName::new(namespace, name)?;
    is_uid(uid).then(|| (uid.into(), name))
}

/// A DNS subdomain, as Kubernetes demands it.
fn is_name(text: &str) -> bool {
    let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
    is_end(text.bytes().next()) && is_end(text.bytes().last()) && text.len() <= NAME_LIMIT && text.bytes().all(is_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "2c48913c-b29f-11e7-9350-020968147796";
    const STATIC: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn the_names_of_log_directories_tell_namespace_pod_and_uid() {
        let logs = tempfile::tempdir().unwrap();
        let good = [format!("shop_payments-5d_{UID}"), format!("kube-system_etcd-node.1_{STATIC}")];
        let bad = [
            format!("shop_{UID}"),
            format!("a_shop_payments_{UID}"),
            format!("Shop_payments_{UID}"),
            format!("shop__{UID}"),
            format!("-shop_payments_{UID}"),
            "shop_payments_1".to_owned(),
        ];
        good.iter().chain(&bad).for_each(|name| fs::create_dir(logs.path().join(name)).unwrap());
        fs::write(logs.path().join(format!("a_file_{}", UID.replace('2', "3"))), "").unwrap();
        std::os::unix::fs::symlink(&good[0], logs.path().join(format!("a_link_{}", UID.replace('2', "4")))).unwrap();

        let names = read(logs.path()).unwrap().unwrap();
        let told: Vec<_> = names.iter().map(|(uid, pod)| format!("{uid} {pod}")).collect();
        assert_eq!(told, [format!("{STATIC} kube-system/etcd-node.1"), format!("{UID} shop/payments-5d")]);
    }

    #[test]
    fn a_uid_with_two_names_has_none() {
        let logs = tempfile::tempdir().unwrap();
        ["a_x", "b_x"].iter().for_each(|name| fs::create_dir(logs.path().join(format!("{name}_{UID}"))).unwrap());
        assert_eq!(read(logs.path()).unwrap(), Some(PodNames::new()));
        assert_eq!(read(&logs.path().join("none")).unwrap(), None);
    }
}
