//! A mounted directory as a source: core's keeper with one identity, in this process, with no daemon.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[doc(inline)]
pub use evercert_core::finding::{Check, Finding, Severities, Severity, SeverityError, Subject};
use evercert_core::identity::{IdentityId, IdentityName};
use evercert_core::keeper::{IdentityState, Keeper, KeeperSettings, Observer, Reload, StateError, WatchProblem};
use evercert_core::layout::{self, Layout};
#[doc(inline)]
pub use evercert_core::spec::{Admission, Expectations, Renewal, RequireChain, UnknownUsage, Usage};
use evercert_core::spec::{BundleFile, CredentialFiles, CrlFile, FileSet, IdentitySpec};
use evercert_core::spiffe::InvalidTrustDomain;
use tokio::sync::watch;

use super::socket::Socket;
use super::{Report, Source, SourceState};
use crate::runtime::reactor_of_identities;
use crate::settings::SettingsError;

/// The name of an identity whose directory's name is none for an identity.
const FALLBACK_NAME: &str = "directory";

/// The files of a directory that make the identity, and what is expected of them. Without further settings: `tls.crt`, `tls.key`,
/// `ca.crt` and, if there is one, `ca.crl`, as cert-manager names them, and no demands but those every handshake makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectorySettings {
    directory: PathBuf,
    name: Option<String>,
    /// Relative to the directory, as is the bundle.
    credential: Option<CredentialFiles>,
    bundle: BundleFile,
    crls: Vec<PathBuf>,
    federated: BTreeMap<String, PathBuf>,
    expectations: Expectations,
    overlap: Duration,
    state_directory: Option<PathBuf>,
    tick: Duration,
    pod_uid: Option<String>,
    pub(super) is_observed: bool,
    pub(super) socket: Socket,
}

impl DirectorySettings {
    /// The files that cert-manager puts into `directory`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            name: None,
            credential: Some(Layout::CertManager.credential(Path::new(""))),
            bundle: layout::bundle(Path::new("")),
            crls: Vec::new(),
            federated: BTreeMap::new(),
            expectations: Expectations::default(),
            overlap: IdentitySpec::OVERLAP,
            state_directory: None,
            tick: KeeperSettings::TICK,
            pod_uid: None,
            is_observed: true,
            socket: Socket::default(),
        }
    }

    /// The identity's name in logs and status, and the one that is asked of the daemon; unset: the directory's own name, and the
    /// daemon's identity with the same content.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The files that hold chain and key, relative to the directory.
    #[must_use]
    pub fn pair(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.credential = Some(CredentialFiles::Pair { chain: chain.into(), key: key.into() });
        self
    }

    /// The one file that holds key and chain, relative to the directory: cert-manager's `tls-combined.pem`, or a pod certificate's
    /// credential bundle.
    #[must_use]
    pub fn combined(mut self, file: impl Into<PathBuf>) -> Self {
        self.credential = Some(CredentialFiles::Combined(file.into()));
        self
    }

    /// No credential: an identity that only trusts.
    #[must_use]
    pub fn trust_only(mut self) -> Self {
        self.credential = None;
        self
    }

    /// The file with the trust anchors that came with the credential, relative to the directory. It may be missing.
    #[must_use]
    pub fn bundle(mut self, file: impl Into<PathBuf>) -> Self {
        self.bundle = BundleFile::OfCredential(file.into());
        self
    }

    /// A bundle of its own, such as trust-manager's ConfigMap mounted elsewhere, which alone decides whom to trust. A relative path
    /// is relative to the directory.
    #[must_use]
    pub fn dedicated_bundle(mut self, file: impl Into<PathBuf>) -> Self {
        self.bundle = BundleFile::Dedicated(file.into());
        self
    }

    /// A file with certificate revocation lists, besides a `ca.crl` in the directory, which may be missing. Nothing is served before this
    /// one was there. A relative path is relative to the directory.
    #[must_use]
    pub fn crl(mut self, file: impl Into<PathBuf>) -> Self {
        self.crls.push(file.into());
        self
    }

    /// The file with the trust anchors of a federated trust domain: they vouch for peers with a SPIFFE ID of that trust domain, and for
    /// nobody else. A relative path is relative to the directory.
    #[must_use]
    pub fn federated(mut self, trust_domain: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        self.federated.insert(trust_domain.into(), file.into());
        self
    }

    /// The most time that anchors that left the credential's `ca.crt` stay trusted beside those that replaced them; they go
    /// when the leaf that was served until then has expired. 24 h unless set; zero: not at all.
    #[must_use]
    pub fn overlap(mut self, overlap: Duration) -> Self {
        self.overlap = overlap;
        self
    }

    /// A directory that remembers how long such anchors stay trusted. Unless set, that ends with the process. Each process, and in it each
    /// of several identities of one name, needs a directory of its own: they would forget for each other.
    #[must_use]
    pub fn state_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.state_directory = Some(directory.into());
        self
    }

    /// Expectations of the certificate: usages, names, how strictly.
    #[must_use]
    pub fn expectations(mut self, expectations: Expectations) -> Self {
        self.expectations = expectations;
        self
    }

    /// The interval of looks at the files even if the kernel reports no change: 30 s unless set.
    #[must_use]
    pub fn tick(mut self, tick: Duration) -> Self {
        self.tick = tick;
        self
    }

    /// Whether the node's daemon, where there is one, is told what is served. It is unless unset; no key crosses the socket for it, and
    /// what is served does not depend on it.
    #[must_use]
    pub fn observed(mut self, observed: bool) -> Self {
        self.is_observed = observed;
        self
    }

    /// The UID of the pod that this process is in (`metadata.uid`), for a daemon in a pod of its own that cannot see the process: it shows
    /// the process beside its pod's volume, as unattested. Unless set it is told by where the kubelet mounted `/etc/hosts` from.
    #[must_use]
    pub fn in_pod(mut self, uid: impl Into<String>) -> Self {
        self.pod_uid = Some(uid.into());
        self
    }

    /// The daemon's workload socket, an absolute path; [`DEFAULT_SOCKET`](crate::settings::DEFAULT_SOCKET) unless set.
    #[must_use]
    pub fn socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.socket.path = path.into();
        self
    }

    /// Accepts a socket that this uid serves, besides root and this process's own uid.
    #[must_use]
    pub fn socket_owner(mut self, uid: u32) -> Self {
        self.socket.owner = Some(uid);
        self
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn identity(&self) -> &str {
        self.set_name().or(self.own_name()).unwrap_or(FALLBACK_NAME)
    }

    pub(super) fn set_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn pod_uid(&self) -> Option<&str> {
        self.pod_uid.as_deref()
    }

    /// The directory's own name, where it is one for an identity.
    pub(super) fn own_name(&self) -> Option<&str> {
        let name = self.directory.file_name().and_then(|name| name.to_str());
        name.filter(|name| name.parse::<IdentityName>().is_ok())
    }

    fn spec(&self) -> Result<IdentitySpec, SettingsError> {
        let directory = std::path::absolute(&self.directory)
            .map_err(|_| SettingsError::RelativeDirectory(self.directory.clone()))?;
        let credential = self.credential.as_ref().map(|files| match files {
            CredentialFiles::Pair { chain, key } => {
                CredentialFiles::Pair { chain: directory.join(chain), key: directory.join(key) }
            }
            CredentialFiles::Combined(file) => CredentialFiles::Combined(directory.join(file)),
            CredentialFiles::Chain(file) => CredentialFiles::Chain(directory.join(file)),
        });
        let bundle = match &self.bundle {
            // With no credential the bundle is all there is, so it must be there.
            BundleFile::OfCredential(file) if credential.is_some() => BundleFile::OfCredential(directory.join(file)),
            BundleFile::OfCredential(file) | BundleFile::Dedicated(file) => BundleFile::Dedicated(directory.join(file)),
        };
        let mut crls: Vec<_> = self.crls.iter().map(|file| CrlFile::Dedicated(directory.join(file))).collect();
        let beside = layout::crl(&directory);
        if crls.iter().all(|crl| crl.path() != beside.path()) {
            crls.push(beside);
        }
        let federated = self.federated.iter().map(|(domain, file)| Ok((domain.parse()?, directory.join(file))));
        let federated = federated.collect::<Result<_, InvalidTrustDomain>>()?;
        Ok(IdentitySpec {
            id: IdentityId::node(self.identity().parse()?),
            files: FileSet { credential, bundle: Some(bundle), crls, federated, ..FileSet::default() },
            expectations: self.expectations.clone(),
            overlap: self.overlap,
        })
    }
}

impl<T: Into<PathBuf>> From<T> for DirectorySettings {
    fn from(directory: T) -> Self {
        Self::new(directory)
    }
}

/// Keeps one directory's certificate: reads, watches and checks it as the daemon does. Dropping it ends that.
#[derive(Debug)]
pub struct DirectorySource {
    state: watch::Receiver<SourceState>,
    rejection: watch::Receiver<Option<Rejection>>,
    _keeper: Keeper,
}

/// Why what the mount holds cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rejection {
    /// Whether it is for the files with trust alone; else for the credential.
    pub(super) is_of_trust: bool,
    pub(super) sentence: Arc<str>,
}

impl DirectorySource {
    /// Starts on the thread of the process's identities. A directory that is not there is no error: it is waited for.
    ///
    /// # Errors
    ///
    /// The name is no identity's, a federated trust domain's is none, or the directory is relative to a working directory that is gone.
    ///
    /// # Panics
    ///
    /// The process can have no further thread, and this is called outside of a tokio runtime.
    pub fn start(settings: &DirectorySettings) -> Result<Arc<Self>, SettingsError> {
        let spec = settings.spec()?;
        let origin = format!("the mount {} of {:?}", settings.directory.display(), spec.id.name);
        let unread =
            SourceState { trouble: Some(format!("{origin} was not read yet").into()), ..SourceState::default() };
        let (state, states) = watch::channel(unread);
        let (rejection, rejections) = watch::channel(None);
        let kept = KeeperSettings {
            tick: settings.tick,
            state_directory: settings.state_directory.clone(),
            ..KeeperSettings::default()
        };
        let observer = Arc::new(Mounted { origin, state, rejection });
        let keeper = match reactor_of_identities() {
            Some(reactor) => Keeper::start_in(reactor, kept, observer),
            None => Keeper::start(kept, observer),
        };
        keeper.keep(vec![spec]);
        Ok(Arc::new(Self { state: states, rejection: rejections, _keeper: keeper }))
    }

    pub(super) fn rejection(&self) -> watch::Receiver<Option<Rejection>> {
        self.rejection.clone()
    }
}

impl Source for DirectorySource {
    fn state(&self) -> watch::Receiver<SourceState> {
        self.state.clone()
    }

    /// Nobody to tell: the identity's own status says it.
    fn report(&self, _report: Report) {}
}

/// Turns what the keeper knows into the state of a source.
struct Mounted {
    origin: String,
    state: watch::Sender<SourceState>,
    rejection: watch::Sender<Option<Rejection>>,
}

impl Observer for Mounted {
    fn state(&self, _id: &IdentityId, state: Arc<IdentityState>) {
        let trouble = self.trouble(&state);
        let rejection = trouble.clone().and_then(|sentence| rejection(&state, sentence));
        self.state.send_if_modified(|known| {
            if known.trouble != trouble
                && let Some(trouble) = &trouble
            {
                tracing::warn!("{trouble}");
            }
            let next = SourceState { snapshot: state.snapshot.clone(), connected: true, trouble };
            let same = known.connected
                && known.trouble == next.trouble
                && known.snapshot.as_ref().map(|s| s.generation()) == next.snapshot.as_ref().map(|s| s.generation());
            *known = next;
            !same
        });
        self.rejection.send_if_modified(|known| std::mem::replace(known, rejection.clone()) != rejection);
    }

    fn removed(&self, _id: &IdentityId) {}

    fn reload(&self, _: &IdentityId, _: Reload, _: Duration) {}

    fn state_unwritten(&self, _: &IdentityId, _: &StateError) {}

    fn watch_problem(&self, _: WatchProblem) {}

    fn scanned(&self, _: SystemTime) {}
}

impl Mounted {
    fn trouble(&self, state: &IdentityState) -> Option<Arc<str>> {
        let rejecting = |finding: &&Finding| finding.severity == Severity::Reject;
        let text = match &state.snapshot {
            None => format!("{} has nothing to serve: {}", self.origin, sentences(state.findings.iter())),
            Some(_) if state.findings.iter().any(|finding| rejecting(&finding)) => format!(
                "{} holds what cannot be used: {}; the last good is kept",
                self.origin,
                sentences(state.findings.iter().filter(rejecting))
            ),
            Some(_) => return None,
        };
        Some(text.into())
    }
}

fn rejection(state: &IdentityState, sentence: Arc<str>) -> Option<Rejection> {
    let files = &state.spec.files;
    let is_of_credential = |finding: &Finding| match (&finding.file, &files.credential) {
        (Some(file), Some(CredentialFiles::Pair { chain, key })) => [chain, key].contains(&file),
        (Some(file), Some(CredentialFiles::Combined(one) | CredentialFiles::Chain(one))) => one == file,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    let mut rejecting = state.findings.iter().filter(|finding| finding.severity == Severity::Reject).peekable();
    rejecting.peek()?;
    Some(Rejection { is_of_trust: !rejecting.any(is_of_credential), sentence })
}

fn sentences<'a>(findings: impl Iterator<Item = &'a Finding>) -> String {
    let sentence = |finding: &Finding| match &finding.file {
        Some(file) if !finding.sentence.contains(&*file.to_string_lossy()) => {
            format!("{}: {}", file.display(), finding.sentence)
        }
        _ => finding.sentence.clone(),
    };
    findings.map(sentence).collect::<Vec<_>>().join("; ")
}
