//! What is known of the pods, from one look to the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use tracing::{debug, warn};

use super::contents::{Contents, Credentials, Fingerprint, Sought};
use super::memory::Memory;
use super::mounts::{self, Mount};
use super::names::{self, Names, PodNames, Sight};
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
    memory: Option<Memory>,
}

#[derive(Default)]
struct Known {
    tree: Tree,
    volumes: BTreeMap<PathBuf, Looked>,
    service_accounts: BTreeMap<PathBuf, ServiceAccount>,
    names: Names,
    /// What is in the memory of names, once that was read.
    remembered: Option<PodNames>,
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

/// A pod's volume with the token of its service account that was looked into.
#[derive(Debug, Clone)]
struct ServiceAccount {
    mount: Option<Mount>,
    /// The pod's UID.
    pod: Arc<str>,
    /// Absent: it was not told there.
    namespace: Option<Arc<str>>,
}

impl Discovery {
    /// Nothing is known yet, but for what is remembered in the state directory.
    pub(crate) fn new(state_directory: Option<&Path>) -> Self {
        Self { known: Mutex::default(), probe: Probe::new(), memory: state_directory.map(Memory::new) }
    }

    /// Looks which identities the pods have now. Blocks: as long as the kubelet's own directories do, and for a moment for volumes
    /// that do not answer.
    pub(crate) fn look(&self, config: &Config, again: &Again, listen: &Arc<dyn Listen>) -> Found {
        let mut known = self.lock();
        if config.kubelet.directory.as_os_str().is_empty() {
            *known = Known::default();
            return Found::default();
        }
        let looked = self.volumes(&mut known, &config.kubelet, again, listen);
        let is_told_who_is_there = looked.is_ok() && !known.tree.is_cut;
        match looked {
            Ok(()) => known.passed(Trouble::Directory),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The default is on every node, whether it has a kubelet or not.
                if config.kubelet.directory != Kubelet::default().directory && known.is_new(Trouble::Directory) {
                    let directory = config.kubelet.directory.display();
                    warn!(%directory, "there is no such directory of pods; see `directory` in [kubelet]");
                }
                (known.tree, known.silent) = (Tree::default(), Silent::default());
                (known.volumes, known.service_accounts) = (BTreeMap::new(), BTreeMap::new());
            }
            Err(error) => {
                if known.is_new(Trouble::Directory) {
                    let directory = config.kubelet.directory.display();
                    warn!(%directory, %error, "cannot read the directory of pods; what is known of them stays");
                }
            }
        }
        let are_names_told = self.names(&mut known, &config.kubelet.logs, is_told_who_is_there, &**listen);
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
        let mut service_accounts: BTreeMap<PathBuf, (Option<Mount>, Owner)> = BTreeMap::new();
        for (uid, root) in &known.tree.service_accounts {
            let owner = Owner { driver: None, pod: Arc::clone(uid) };
            service_accounts.insert(root.clone(), (mounts.get(root).cloned(), owner));
        }
        // What was found in another mount, or in a directory that is gone, is no more.
        known.volumes.retain(|root, looked| roots.get(root).is_some_and(|(mount, _)| *mount == looked.mount));
        known
            .service_accounts
            .retain(|root, looked| service_accounts.get(root).is_some_and(|(mount, _)| *mount == looked.mount));
        let request = |root: &PathBuf, (mount, owner): &(Option<Mount>, Owner), sought| {
            let (root, mount, owner) = (root.clone(), mount.clone(), owner.clone());
            Request { root, mount, owner, sought }
        };
        let credentials = roots.iter().filter_map(|(root, at)| {
            let looked = known.volumes.get(root);
            let sought = || Sought::Credentials(looked.map(|looked| looked.fingerprint.clone()));
            is_due(root, looked, again).then(|| request(root, at, sought()))
        });
        // Behind them: of each pod the first volume has its turn first.
        let namespaces = service_accounts.iter().filter_map(|(root, at)| {
            let is_due = known.service_accounts.get(root).is_none_or(|looked| looked.is_due(root, again));
            is_due.then(|| request(root, at, Sought::Namespace))
        });
        let requests = credentials.chain(namespaces).collect();
        let Answers { answers, silent } = self.probe.answers(requests, listen);
        known.tell(silent);
        for Answer { root, contents } in answers {
            if let Some((mount, owner)) = service_accounts.remove(&root) {
                known.answered_namespace(root, contents, mount, owner.pod);
            } else {
                let mount = roots.remove(&root).and_then(|(mount, _)| mount);
                known.answered(Answer { root, contents }, mount);
            }
        }
        Ok(())
    }

    /// Brings the names of pods up to date, and what is remembered of them; says whether there is anything that tells them.
    fn names(&self, known: &mut Known, logs: &Path, is_told_who_is_there: bool, listen: &dyn Listen) -> bool {
        if logs.as_os_str().is_empty() {
            (known.names, known.remembered) = (Names::default(), None);
            return false;
        }
        if let Some(memory) = &self.memory {
            known.recall(memory);
        }
        let are_told = known.read_names(logs, is_told_who_is_there, listen);
        if let Some(memory) = &self.memory {
            known.remember(memory);
        }
        are_told
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

impl ServiceAccount {
    /// Whether it is to be looked into again. A namespace that was found stays as it is for as long as the mount does.
    fn is_due(&self, root: &Path, again: &Again) -> bool {
        self.namespace.is_none() && (again.all || self.mount.is_none() || again.touched.contains(root))
    }
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
            Ok(Contents::Unchanged | Contents::Namespace(_)) => {}
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

    fn answered_namespace(
        &mut self,
        root: PathBuf,
        contents: Result<Contents, Errno>,
        mount: Option<Mount>,
        pod: Arc<str>,
    ) {
        match contents {
            Ok(Contents::Namespace(namespace)) => {
                self.service_accounts.insert(root, ServiceAccount { mount, pod, namespace });
            }
            Ok(_) => {}
            Err(error) => debug!(volume = %root.display(), %error, "the volume cannot be looked into"),
        }
    }

    /// Takes in what is remembered of names, once.
    fn recall(&mut self, memory: &Memory) {
        if self.remembered.is_some() {
            return;
        }
        match memory.read() {
            Ok(remembered) => {
                self.passed(Trouble::Unread);
                self.names.recall(&remembered);
                self.remembered = Some(remembered);
            }
            Err(error) => {
                if self.is_new(Trouble::Unread) {
                    warn!(%error, "what was remembered of the names of pods is not known: the first ones that are told now count until it is");
                }
            }
        }
    }

    /// Remembers what is known of names, where that changed or could not be written before.
    fn remember(&mut self, memory: &Memory) {
        let lasting = self.names.lasting();
        // What is there and was not read is not replaced.
        if self.remembered.as_ref().is_none_or(|remembered| *remembered == lasting) {
            return;
        }
        match memory.write(&lasting) {
            Ok(()) => {
                self.passed(Trouble::Unwritten);
                self.remembered = Some(lasting);
            }
            Err(error) => {
                if self.is_new(Trouble::Unwritten) {
                    warn!(
                        %error,
                        "what pods are called is forgotten when the daemon ends: whoever may write the pods' log directory could call them \
                         something else then; it is tried again"
                    );
                }
            }
        }
    }

    /// Reads the names of pods; says whether there is anything that tells them.
    fn read_names(&mut self, logs: &Path, is_told_who_is_there: bool, listen: &dyn Listen) -> bool {
        listen.directory(logs);
        let seen = names::read(logs);
        match &seen {
            Ok(_) => self.passed(Trouble::Logs),
            Err(error) => {
                if self.is_new(Trouble::Logs) {
                    warn!(directory = %logs.display(), %error, "cannot read the pods' log directory; the names of new pods are not known");
                }
            }
        }
        let namespaces = self.service_accounts.values();
        let namespaces = namespaces.filter_map(|at| Some((Arc::clone(&at.pod), Arc::clone(at.namespace.as_ref()?))));
        // A directory that somebody moved away makes nobody nameless, and names nobody anew.
        let has_room = self.names.see(Sight {
            pods: is_told_who_is_there.then_some(&self.tree.pods),
            logs: seen.as_ref().ok().and_then(Option::as_ref),
            namespaces: &namespaces.collect(),
        });
        if has_room {
            self.passed(Trouble::TooManyNames);
        } else if self.is_new(Trouble::TooManyNames) {
            warn!(
                directory = %logs.display(),
                "log directories tell the names of more pods than are known; those of new pods are not; find out who may write there"
            );
        }
        let are_told = !matches!(seen, Ok(None)) || !self.names.known().is_empty();
        if are_told {
            self.passed(Trouble::NoNames);
        }
        are_told
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
