//! What the pods are called, by the names of their log directories: `NAMESPACE_NAME_UID`.
//!
//! Some pods may write there, such as those that collect logs. So the first name that is seen of a pod stays for as long as the pod is
//! there, whatever its directory is called later; a pod with two names at first has none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing::warn;

use super::uid::is_uid;

/// The most log directories that are looked at: those of pods that are gone stay for a while.
const LIMIT: usize = 16_384;

/// How many pods are named in the log after one look; the others are counted.
const WARNINGS: usize = 8;

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

/// Pods that more than one name is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Contested {
    /// Which have no name, as it cannot be told which of two is theirs.
    pub(crate) in_doubt: usize,
    /// Which keep the name that was seen first.
    pub(crate) first_stays: usize,
}

/// The names that are known, from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The first of each pod that has one.
    first: PodNames,
    in_doubt: BTreeSet<Arc<str>>,
    /// Those of another name than the first.
    renamed: BTreeSet<Arc<str>>,
}

impl Names {
    pub(super) fn known(&self) -> &PodNames {
        &self.first
    }

    pub(super) fn contested(&self) -> Contested {
        Contested { in_doubt: self.in_doubt.len(), first_stays: self.renamed.len() }
    }

    /// Takes in what was seen. Of pods that are neither `there` nor seen everything is forgotten.
    pub(super) fn see(&mut self, seen: &Seen, there: &BTreeSet<Arc<str>>) {
        let stays = |uid: &Arc<str>| there.contains(uid) || seen.contains_key(uid);
        self.first.retain(|uid, _| stays(uid));
        self.in_doubt.retain(stays);
        self.renamed.retain(stays);
        let mut news = 0;
        for (uid, names) in seen {
            if self.in_doubt.contains(uid) {
                continue;
            }
            let mut told = names.iter();
            match (self.first.get(uid), told.next(), told.next()) {
                (None, Some(name), None) => _ = self.first.insert(Arc::clone(uid), name.clone()),
                (None, ..) => {
                    self.in_doubt.insert(Arc::clone(uid));
                    news += 1;
                    if news <= WARNINGS {
                        let names = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
                        warn!(
                            pod = %uid, %names,
                            "two log directories tell the name of one pod: it has no name, and nothing is allowed by one; find out who \
                             may write the pods' log directory, and start the pod anew"
                        );
                    }
                }
                (Some(first), ..) => {
                    let Some(other) = names.iter().find(|name| *name != first) else { continue };
                    if self.renamed.insert(Arc::clone(uid)) {
                        news += 1;
                        if news <= WARNINGS {
                            warn!(
                                pod = %uid, name = %first, %other,
                                "a log directory tells another name of a pod than the first one, which stays; find out who may write the \
                                 pods' log directory"
                            );
                        }
                    }
                }
            }
        }
        if news > WARNINGS {
            warn!(pods = news - WARNINGS, "the log directories tell several names of further pods");
        }
    }
}

/// The names that are seen of each pod; two where there are more.
pub(super) type Seen = BTreeMap<Arc<str>, BTreeSet<PodName>>;

/// The names that `logs` tells; absent: there is no such directory.
///
/// # Errors
///
/// It cannot be listed.
pub(super) fn read(logs: &Path) -> io::Result<Option<Seen>> {
    let entries = match fs::read_dir(logs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    let mut seen = Seen::new();
    for entry in entries.take(LIMIT) {
        let entry = entry?;
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let Some((uid, name)) = entry.file_name().to_str().and_then(parse) else { continue };
        let names = seen.entry(uid).or_default();
        names.insert(name);
        // The first and the last: whichever is known already, one of them is another.
        while names.len() > 2 {
            let second = names.iter().nth(1).cloned();
            second.map(|second| names.remove(&second));
        }
    }
    Ok(Some(seen))
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
        let told: Vec<_> =
            names.iter().flat_map(|(uid, pods)| pods.iter().map(move |pod| format!("{uid} {pod}"))).collect();
        assert_eq!(told, [format!("{STATIC} kube-system/etcd-node.1"), format!("{UID} shop/payments-5d")]);
    }

    fn seen(names: &[&str]) -> Seen {
        let names = names.iter().map(|name| PodName::new("shop", name).unwrap()).collect();
        [(UID.into(), names)].into()
    }

    fn name(names: &Names) -> Option<String> {
        names.known().get(UID).map(ToString::to_string)
    }

    #[test]
    fn a_pod_with_two_names_at_first_has_none_for_as_long_as_it_is_there() {
        let logs = tempfile::tempdir().unwrap();
        ["shop_a", "shop_b", "shop_c"]
            .iter()
            .for_each(|name| fs::create_dir(logs.path().join(format!("{name}_{UID}"))).unwrap());
        assert_eq!(read(logs.path()).unwrap().unwrap()[UID].len(), 2);
        assert_eq!(read(&logs.path().join("none")).unwrap(), None);

        let (mut names, there) = (Names::default(), [UID.into()].into());
        names.see(&seen(&["a", "b"]), &there);
        assert_eq!((name(&names), names.contested()), (None, Contested { in_doubt: 1, first_stays: 0 }));
        names.see(&seen(&["a"]), &there);
        assert_eq!(name(&names), None, "that the other one is gone again proves nothing");
        names.see(&Seen::new(), &BTreeSet::new());
        names.see(&seen(&["a"]), &there);
        assert_eq!(name(&names).as_deref(), Some("shop/a"));
    }

    #[test]
    fn the_first_name_of_a_pod_stays_for_as_long_as_it_is_there() {
        let (mut names, there) = (Names::default(), [UID.into()].into());
        names.see(&seen(&["a"]), &there);
        for later in [&["a", "b"][..], &["b"], &[]] {
            names.see(&seen(later), &there);
            assert_eq!(name(&names).as_deref(), Some("shop/a"), "{later:?}");
            assert_eq!(names.contested(), Contested { in_doubt: 0, first_stays: 1 });
        }
        names.see(&Seen::new(), &there);
        assert_eq!(name(&names).as_deref(), Some("shop/a"));
    }
}
