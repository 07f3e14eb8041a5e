//! What is known of the pods, from one look to the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::{debug, warn};

use super::contents::{Contents, Credentials, Fingerprint};
use super::mounts::{self, Mount};
use super::names::{self, Names};
use super::probe::{Answer, Answers, Owner, Probe, Request};
use super::rules::{self, Pods};
use super::tree::{self, Kind, Tree};
use super::{Again, Found, Listen, Silent, Trouble};
use crate::config::{Config, Kubelet};

/// The most credentials of one volume, with those that it held once: whoever writes it could give them new names again and again.
const CREDENTIALS_LIMIT: usize = 64;

/// The pods of the node, as far as they are known. One look at a time.
pub(crate) struct Discovery {
    known: Mutex<Known>,
    probe: Probe,
}

#[derive(Default)]
struct Known {
    tree: Tree,
    volumes: BTreeMap<PathBuf, Looked>,
    names: Names,
    silent: Silent,
    told: BTreeSet<Trouble>,
}

/// A volume that was looked into.
#[derive(Debug, Clone)]
struct Looked {
    /// What is mounted there; absent where nothing is.
    mount: Option<Mount>,
    fingerprint: Fingerprint,
    credentials: Credentials,
}

impl Discovery {
    /// Nothing is known yet.
    pub(crate) fn new() -> Self {
        Self { known: Mutex::default(), probe: Probe::new() }
    }

    /// Looks which identities the pods have now. Blocks: as long as the kubelet's own directories do, and for a moment for volumes
    /// that do not answer.
    pub(crate) fn look(&self, config: &Config, again: &Again, listen: &Arc<dyn Listen>) -> Found {
        let mut known = self.lock();
        if config.kubelet.directory.as_os_str().is_empty() {
            *known = Known::default();
            return Found::default();
        }
        match self.volumes(&mut known, &config.kubelet, again, listen) {
            Ok(()) => known.passed(Trouble::Directory),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The default is on every node, whether it has a kubelet or not.
                if config.kubelet.directory != Kubelet::default().directory && known.is_new(Trouble::Directory) {
                    let directory = config.kubelet.directory.display();
                    warn!(%directory, "there is no such directory of pods; see `directory` in [kubelet]");
                }
                (known.tree, known.volumes, known.silent) = (Tree::default(), BTreeMap::new(), Silent::default());
            }
            Err(error) => {
                if known.is_new(Trouble::Directory) {
                    let directory = config.kubelet.directory.display();
                    warn!(%directory, %error, "cannot read the directory of pods; what is known of them stays");
                }
            }
        }
        let are_names_told = known.read_names(&config.kubelet.logs, &**listen);
        if !are_names_told
            && config.pods.iter().any(|rule| rule.namespace().is_some())
            && known.is_new(Trouble::NoNames)
        {
            let logs = config.kubelet.logs.display();
            warn!(%logs, "nothing tells the names of pods: [[pods]] with a `namespace` never match; see `logs` in [kubelet]");
        }
        let pods = Pods { tree: &known.tree, names: known.names.known(), are_names_told };
        let credentials = |root: &Path| known.volumes.get(root).map(|looked| &looked.credentials);
        Found {
            specs: rules::specs(&config.pods, &pods, credentials),
            names: known.names.known().clone(),
            contested: known.names.contested(),
            silent: known.silent,
        }
    }

    /// Brings the volumes up to date.
    fn volumes(&self, known: &mut Known, kubelet: &Kubelet, again: &Again, listen: &Arc<dyn Listen>) -> io::Result<()> {
        // The kernel tells of mounts without links.
        let directory = kubelet.directory.canonicalize()?;
        // Before the volumes: a mount that comes in between is heard of, and looked at again.
        let mounts = mounts::below(&directory).unwrap_or_else(|error| {
            debug!(%error, "the mounts are not told; every volume is looked at each time");
            HashMap::new()
        });
        known.tree = tree::walk(&directory, &kubelet.csi_drivers, &**listen)?;
        if !known.tree.is_cut {
            known.passed(Trouble::TooMany);
        } else if known.is_new(Trouble::TooMany) {
            warn!(directory = %directory.display(), "there are more pods or volumes than are looked at; the rest are left out");
        }
        let mut roots: BTreeMap<PathBuf, (Option<Mount>, Owner)> = BTreeMap::new();
        for volume in known.tree.volumes.iter().filter(|volume| volume.kind == Kind::Credential) {
            let owner = Owner { driver: volume.driver.clone(), pod: Arc::clone(&volume.uid) };
            roots.insert(volume.root.clone(), (mounts.get(&volume.root).cloned(), owner));
        }
        // What was found in another mount, or in a directory that is gone, is no more.
        known.volumes.retain(|root, looked| roots.get(root).is_some_and(|(mount, _)| *mount == looked.mount));
        let request = |(root, (mount, owner)): (&PathBuf, &(Option<Mount>, Owner))| {
            let (root, mount, owner) = (root.clone(), mount.clone(), owner.clone());
            let looked = known.volumes.get(&root);
            is_due(&root, looked, again).then(|| {
                let known = looked.map(|looked| looked.fingerprint.clone());
                Request { root, mount, owner, known }
            })
        };
        let requests = roots.iter().filter_map(request).collect();
        let Answers { answers, silent } = self.probe.answers(requests, listen);
        known.tell(silent);
        for answer in answers {
            let mount = roots.remove(&answer.root).and_then(|(mount, _)| mount);
            known.answered(answer, mount);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Whatever is half known after a panic is looked at again.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a volume is to be looked into; not one that is known. Its mount is left alone then: whoever is in one while it is to be unmounted
/// makes that fail. One that held no credential is asked again when something happened in it; one that did, with all others.
fn is_due(root: &Path, looked: Option<&Looked>, again: &Again) -> bool {
    let is_touched = |looked: &Looked| looked.credentials.is_empty() && again.touched.contains(root);
    let is_due = |looked: &Looked| again.all || looked.mount.is_none() || is_touched(looked);
    looked.is_none_or(is_due)
}

impl Known {
    /// Says what did not answer, where that is news.
    fn tell(&mut self, silent: Silent) {
        self.silent = silent;
        let Silent { stuck, crowded_out, postponed } = silent;
        if stuck + postponed == 0 {
            self.passed(Trouble::Dead);
        } else if self.is_new(Trouble::Dead) {
            warn!(
                stuck,
                postponed,
                "volumes of pods do not answer; they are looked at again later, and what is known of them stays"
            );
        }
        if crowded_out == 0 {
            self.passed(Trouble::CrowdedOut);
        } else if self.is_new(Trouble::CrowdedOut) {
            warn!(
                stuck,
                crowded_out,
                "so many volumes do not answer that others of the same pods or CSI drivers are not looked at; see to those drivers on \
                 this node, or take them out of `csi_drivers` in [kubelet]"
            );
        }
    }

    fn answered(&mut self, Answer { root, contents }: Answer, mount: Option<Mount>) {
        match contents {
            Ok(Contents::Unchanged) => {}
            Ok(Contents::Now(fingerprint, mut credentials)) => {
                // What the volume held once is expected there for as long as it lasts: what is missing now is a finding.
                if let Some(before) = self.volumes.remove(&root)
                    && before.fingerprint.is_of_same(&fingerprint)
                {
                    let missing = before.credentials.into_iter().filter(|(at, _)| !credentials.contains_key(at));
                    let room = CREDENTIALS_LIMIT.saturating_sub(credentials.len());
                    credentials.extend(missing.take(room).collect::<Vec<_>>());
                }
                self.volumes.insert(root, Looked { mount, fingerprint, credentials });
            }
            Err(error) => {
                debug!(volume = %root.display(), %error, "the volume cannot be looked into");
                self.volumes.remove(&root);
            }
        }
    }

    /// Reads the names of pods; says whether there is anything that tells them.
    fn read_names(&mut self, logs: &Path, listen: &dyn Listen) -> bool {
        if logs.as_os_str().is_empty() {
            self.names = Names::default();
            return false;
        }
        listen.directory(logs);
        match names::read(logs) {
            Ok(seen) => {
                self.passed(Trouble::Logs);
                // A directory that somebody moved away makes nobody nameless, and names nobody anew.
                self.names.see(seen.as_ref().unwrap_or(&names::Seen::new()), &self.tree.pods);
                let are_told = seen.is_some() || !self.names.known().is_empty();
                if are_told {
                    self.passed(Trouble::NoNames);
                }
                are_told
            }
            Err(error) => {
                if self.is_new(Trouble::Logs) {
                    warn!(directory = %logs.display(), %error, "cannot read the pods' log directory; the names of new pods are not known");
                }
                true
            }
        }
    }

    fn is_new(&mut self, trouble: Trouble) -> bool {
        self.told.insert(trouble)
    }

    fn passed(&mut self, trouble: Trouble) {
        self.told.remove(&trouble);
    }
}

#[cfg(test)]
pub(super) mod tests;
