//! Knowledge of the pods, kept from one look to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;
use tracing::{debug, warn};

use super::contents::{Contents, CredentialVolume, Sought};
use super::memory;
use super::mounts::{self, Mount};
use super::names::{Evidence, LOGS_LIMIT, NameKeeping, PodNames, logs};
use super::probe::{Answer, Answers, Owner, Probe, Request};
use super::rules::{self, Pods};
use super::tree::{self, Tree, Volume, VolumeKind};
use super::{Again, Found, Listen, LookLimit, Silent, Trouble};
use crate::config::{Config, Kubelet};
use crate::host::memory::Memory;

/// The most credentials of one volume, with those that it held once: whoever writes it could give them new names again and again.
const CREDENTIALS_LIMIT: usize = 64;

/// The pods of the node, as far as they are known. One look at a time.
pub(crate) struct Discovery {
    known: Mutex<Known>,
    probe: Probe,
    memory: Option<Memory<PodNames>>,
}

#[derive(Default)]
struct Known {
    tree: Tree,
    /// The volumes that were looked into.
    volumes: BTreeMap<PathBuf, InspectedVolume>,
    names: NameKeeping,
    /// Whether what is remembered of names is among them.
    has_recalled: bool,
    silent: Silent,
    /// Whether the look of this moment forgot credentials that a volume held once, as it holds too many others.
    has_forgotten: bool,
    told: BTreeSet<Trouble>,
}

/// A volume that was looked into.
#[derive(Debug, Clone)]
struct InspectedVolume {
    /// The mount there; absent where there is none.
    mount: Option<Mount>,
    /// The pod's UID.
    pod: Arc<str>,
    held: Held,
}

/// The content of a volume.
#[derive(Debug, Clone)]
enum Held {
    Credentials(CredentialVolume),
    /// The namespace of the service account whose token it holds; absent: it was not told there.
    Namespace(Option<Arc<str>>),
}

impl Discovery {
    /// Nothing is known yet, but for what is remembered in the state directory.
    pub(crate) fn new(state_directory: Option<&Path>) -> Self {
        Self { known: Mutex::default(), probe: Probe::new(), memory: state_directory.map(memory::of) }
    }

    /// Looks which identities the pods have now. Blocks: as long as the kubelet's own directories do, and for a moment for volumes
    /// that do not answer.
    pub(crate) fn look(&self, config: &Config, again: &Again, listen: &Arc<dyn Listen>) -> Found {
        let mut known = self.known.lock();
        if config.kubelet.directory.as_os_str().is_empty() {
            *known = Known::default();
            return Found::default();
        }
        let looked = self.update_volumes(&mut known, &config.kubelet, again, listen);
        let is_told_who_is_there = looked.is_ok() && known.tree.lists_all_pods;
        match looked {
            Ok(()) => known.passed(Trouble::Directory),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // The default is on every node, whether it has a kubelet or not.
                if config.kubelet.directory != Kubelet::default().directory && known.is_new(Trouble::Directory) {
                    let directory = config.kubelet.directory.display();
                    warn!(%directory, "there is no such directory of pods; see `directory` in [kubelet]");
                }
                (known.tree, known.silent, known.volumes) = (Tree::default(), Silent::default(), BTreeMap::new());
            }
            Err(error) => {
                if known.is_new(Trouble::Directory) {
                    let directory = config.kubelet.directory.display();
                    warn!(%directory, %error, "cannot read the directory of pods; what is known of them stays");
                }
            }
        }
        let are_names_told = self.update_names(&mut known, &config.kubelet.logs, is_told_who_is_there, &**listen);
        if !are_names_told
            && config.pods.iter().any(|rule| rule.namespace().is_some())
            && known.is_new(Trouble::NoNames)
        {
            let logs = config.kubelet.logs.display();
            warn!(%logs, "nothing tells the names of pods: [[pods]] with a `namespace` never match; see `logs` in [kubelet]");
        }
        let limits_reached = known.limits_reached();
        let pods = Pods { tree: &known.tree, names: known.names.known(), are_names_told };
        let credentials = |root: &Path| match &known.volumes.get(root)?.held {
            Held::Credentials(volume) => Some(&volume.credentials),
            Held::Namespace(_) => None,
        };
        Found {
            specs: rules::specs(&config.pods, &pods, credentials),
            names: known.names.known().clone(),
            contested: known.names.contested(),
            silent: known.silent,
            limits_reached,
        }
    }

    /// Brings the volumes up to date.
    fn update_volumes(
        &self,
        known: &mut Known,
        kubelet: &Kubelet,
        again: &Again,
        listen: &Arc<dyn Listen>,
    ) -> io::Result<()> {
        known.has_forgotten = false;
        // The kernel tells of mounts without links.
        let directory = kubelet.directory.canonicalize()?;
        // Before the volumes: a mount that comes in between is heard of, and looked at again.
        let mounts = mounts::below(&directory)
            .inspect_err(|error| debug!(%error, "the mounts are not told; those that are known are taken to be there"))
            .ok();
        known.tree = tree::walk(&directory, &kubelet.csi_drivers, &known.tree, &**listen)?;
        known.tell_of_tree(&directory);
        let mut roots: BTreeMap<PathBuf, (Option<Mount>, Owner)> = BTreeMap::new();
        for volume in known.tree.volumes.iter().filter(|volume| volume.kind != VolumeKind::Trust) {
            let owner = Owner { driver: volume.driver.clone(), pod: Arc::clone(&volume.uid) };
            let mount = match &mounts {
                Some(mounts) => mounts.get(&volume.root).cloned(),
                None => known.volumes.get(&volume.root).and_then(|looked| looked.mount.clone()),
            };
            roots.insert(volume.root.clone(), (mount, owner));
        }
        // Content of another mount, or of a directory that is gone, is no more.
        known.volumes.retain(|root, looked| roots.get(root).is_some_and(|(mount, _)| *mount == looked.mount));
        let Answers { answers, silent } = self.probe.answers(known.requests(&roots, again), listen);
        known.tell(silent);
        for Answer { root, contents } in answers {
            if let Some((mount, owner)) = roots.remove(&root) {
                known.answered(root, contents, mount, owner.pod);
            }
        }
        known.tell_of_volumes();
        Ok(())
    }

    /// Brings the names of pods up to date, and what is remembered of them; says whether there is anything that tells them.
    fn update_names(&self, known: &mut Known, logs: &Path, is_told_who_is_there: bool, listen: &dyn Listen) -> bool {
        if logs.as_os_str().is_empty() {
            (known.names, known.has_recalled) = (NameKeeping::default(), false);
            known.passed(Trouble::TooManyNames);
            return false;
        }
        let Some(memory) = &self.memory else { return known.read_names(logs, is_told_who_is_there, listen) };
        if !known.has_recalled
            && let Some(remembered) = memory.recall()
        {
            known.names.recall(&remembered);
            known.has_recalled = true;
        }
        let are_told = known.read_names(logs, is_told_who_is_there, listen);
        // A file that is there and was not read is not replaced.
        if known.has_recalled {
            memory.remember(known.names.lasting());
        }
        are_told
    }
}

impl InspectedVolume {
    /// The limits by which something in it was not looked at.
    fn limits_reached(&self) -> &BTreeSet<LookLimit> {
        static NONE: BTreeSet<LookLimit> = BTreeSet::new();
        match &self.held {
            Held::Credentials(volume) => &volume.limits_reached,
            Held::Namespace(_) => &NONE,
        }
    }

    /// Whether the volume is to be looked into again; not where what is looked for was found. Its mount is left alone then: whoever is in
    /// one while it is to be unmounted makes that fail. One that lacked it is asked again when something happened in it. Credentials
    /// are looked for again with all others; a namespace stays as it is for as long as the mount does.
    fn is_due(&self, root: &Path, again: &Again) -> bool {
        let (is_found, is_for_good) = match &self.held {
            Held::Credentials(volume) => (!volume.credentials.is_empty(), false),
            Held::Namespace(namespace) => (namespace.is_some(), namespace.is_some()),
        };
        let is_touched = !is_found && again.touched.contains(root);
        !is_for_good && (again.all || self.mount.is_none() || is_touched)
    }
}

impl Known {
    /// The volumes that are to be looked into. Those of service accounts are last, as of each pod the first volume has its turn first.
    fn requests(&self, roots: &BTreeMap<PathBuf, (Option<Mount>, Owner)>, again: &Again) -> Vec<Request> {
        let of = |kind: VolumeKind| self.tree.volumes.iter().filter(move |volume| volume.kind == kind);
        let request = |volume: &Volume| {
            let looked = self.volumes.get(&volume.root);
            if looked.is_some_and(|looked| !looked.is_due(&volume.root, again)) {
                return None;
            }
            let sought = match (volume.kind, looked.map(|looked| &looked.held)) {
                (VolumeKind::ServiceAccount, _) => Sought::Namespace,
                (_, Some(Held::Credentials(volume))) => Sought::Credentials(Some(volume.fingerprint.clone())),
                _ => Sought::Credentials(None),
            };
            let (mount, owner) = roots.get(&volume.root)?.clone();
            Some(Request { root: volume.root.clone(), mount, owner, sought })
        };
        of(VolumeKind::Credential).chain(of(VolumeKind::ServiceAccount)).filter_map(request).collect()
    }

    /// Says what of the kubelet's directories is not known, where that is news.
    fn tell_of_tree(&mut self, directory: &Path) {
        let directory = directory.display();
        if self.tree.limits_reached.is_empty() {
            self.passed(Trouble::TooMany);
        } else if self.is_new(Trouble::TooMany) {
            warn!(%directory, "there are more pods or volumes than are looked at; the rest are left out");
        }
        let Some(errno) = self.tree.unread else { return self.passed(Trouble::Unread) };
        if self.is_new(Trouble::Unread) {
            let error = io::Error::from(errno);
            warn!(%directory, %error, "cannot read some directories of pods; what is known of those pods stays");
        }
    }

    /// Says in which volumes there is more than is looked at, where that is news.
    fn tell_of_volumes(&mut self) {
        let cut = self.volumes.iter().filter(|(_, looked)| !looked.limits_reached().is_empty());
        let (volumes, first) = (cut.clone().count(), cut.map(|(root, _)| root.clone()).next());
        let Some(first) = first else { return self.passed(Trouble::CutVolumes) };
        if self.is_new(Trouble::CutVolumes) {
            let volume = first.display();
            warn!(
                volumes, %volume,
                "volumes of pods, such as this one, hold more files, or larger ones, than are looked at; the rest are left out"
            );
        }
    }

    /// The limits by which this look left something out.
    fn limits_reached(&self) -> BTreeSet<LookLimit> {
        let mut limits = self.tree.limits_reached.clone();
        limits.extend(self.volumes.values().flat_map(InspectedVolume::limits_reached));
        limits.extend(self.has_forgotten.then_some(LookLimit::PodVolumeCredentials));
        limits.extend(self.told.contains(&Trouble::TooManyNames).then_some(LookLimit::PodLogs));
        limits
    }

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

    fn answered(&mut self, root: PathBuf, contents: Result<Contents, Errno>, mount: Option<Mount>, pod: Arc<str>) {
        let held = match contents {
            Ok(Contents::Unchanged) => return,
            Ok(Contents::Namespace(namespace)) => Held::Namespace(namespace),
            Ok(Contents::Now(mut now)) => {
                // Credentials the volume held once are expected there for as long as it lasts: what is missing now is a finding.
                if let Some(InspectedVolume { held: Held::Credentials(before), .. }) = self.volumes.remove(&root)
                    && before.fingerprint.is_of_same(&now.fingerprint)
                {
                    let mut missing = before.credentials;
                    missing.retain(|at, _| !now.credentials.contains_key(at));
                    let room = CREDENTIALS_LIMIT.saturating_sub(now.credentials.len());
                    self.has_forgotten |= missing.len() > room;
                    now.credentials.extend(missing.into_iter().take(room));
                }
                Held::Credentials(now)
            }
            Err(errno) => {
                debug!(volume = %root.display(), error = %io::Error::from(errno), "the volume cannot be looked into");
                if tree::is_absence(errno) {
                    self.volumes.remove(&root);
                }
                return;
            }
        };
        self.volumes.insert(root, InspectedVolume { mount, pod, held });
    }

    /// Reads the names of pods; says whether there is anything that tells them.
    fn read_names(&mut self, logs: &Path, is_told_who_is_there: bool, listen: &dyn Listen) -> bool {
        listen.directory(logs);
        let Self { names, tree, .. } = &*self;
        let seen = logs::read(logs, LOGS_LIMIT, |uid| tree.pods.contains(uid) || names.known().contains(uid));
        match &seen {
            Ok(_) => self.passed(Trouble::Logs),
            Err(error) => {
                if self.is_new(Trouble::Logs) {
                    warn!(directory = %logs.display(), %error, "cannot read the pods' log directory; the names of new pods are not known");
                }
            }
        }
        let namespaces = self.volumes.values().filter_map(|looked| match &looked.held {
            Held::Namespace(namespace) => Some((Arc::clone(&looked.pod), Arc::clone(namespace.as_ref()?))),
            Held::Credentials(..) => None,
        });
        let seen_logs = seen.as_ref().ok().and_then(Option::as_ref);
        // A directory that somebody moved away makes nobody nameless, and names nobody anew.
        let has_room = self.names.see(Evidence {
            pods: is_told_who_is_there.then_some(&self.tree.pods),
            logs: seen_logs.map(|logs| &logs.names),
            namespaces: &namespaces.collect(),
        });
        let has_room = has_room && seen_logs.is_none_or(|logs| !logs.is_cut);
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
