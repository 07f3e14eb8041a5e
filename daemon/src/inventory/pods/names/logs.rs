//! The names that log directories tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::callers::PodName;
use evercert_core::identity::is_pod_uid;

/// The names that are seen of each pod; two where there are more.
pub(in crate::inventory::pods) type Seen = BTreeMap<Arc<str>, BTreeSet<PodName>>;

/// The names that log directories tell.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::inventory::pods) struct Logs {
    /// By the UIDs of pods.
    pub(in crate::inventory::pods) names: Seen,
    /// Whether there are log directories of more pods than are looked at.
    pub(in crate::inventory::pods) is_cut: bool,
}

/// The names that `logs` tells; absent: there is no such directory. Only of pods that are not known there is a `limit`, so that directories
/// that somebody makes there hide none of a pod that is.
///
/// # Errors
///
/// It cannot be listed to its end.
pub(in crate::inventory::pods) fn read(
    logs: &Path,
    limit: usize,
    is_known: impl Fn(&str) -> bool,
) -> io::Result<Option<Logs>> {
    let entries = match fs::read_dir(logs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    let (mut seen, mut strangers, mut is_cut) = (Seen::new(), 0, false);
    for entry in entries {
        let entry = entry?;
        let Some((uid, name)) = entry.file_name().to_str().and_then(parse) else { continue };
        let is_stranger = !seen.contains_key(&uid) && !is_known(&uid);
        if is_stranger && strangers == limit {
            is_cut = true;
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => continue,
        }
        strangers += usize::from(is_stranger);
        let names = seen.entry(uid).or_default();
        names.insert(name);
        // The first and the last: whichever is known already, one of them is another.
        while names.len() > 2 {
            let second = names.iter().nth(1).cloned();
            second.map(|second| names.remove(&second));
        }
    }
    Ok(Some(Logs { names: seen, is_cut }))
}

/// None of the three parts holds an underscore.
fn parse(directory: &str) -> Option<(Arc<str>, PodName)> {
    let parts: Vec<_> = directory.split('_').collect();
    let [namespace, name, uid] = parts[..] else { return None };
    let name = PodName::new(namespace, name)?;
    is_pod_uid(uid).then(|| (uid.into(), name))
}
