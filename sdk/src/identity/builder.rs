//! Starting an identity.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use evercert_core::path::{PathPolicy, SigningLeaves, StaleCrls};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::status::State;
use super::{ExpiryPolicy, Identity, Inner, Shared, task};
use crate::refusal::Refusal;
use crate::runtime;
use crate::source::Source;
use crate::telemetry::Recorder;

/// The time [`IdentityBuilder::start`] waits for the first generation unless set: longer than a restart of the daemon,
/// shorter than what orchestrators give a start.
pub const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a source cannot be opened.
pub type OpenError = Box<dyn std::error::Error + Send + Sync>;

type Open = Box<dyn FnOnce() -> Result<(Arc<str>, Arc<dyn Source>), OpenError> + Send>;

/// An identity about to be started. Awaiting it is [`IdentityBuilder::start`].
#[must_use = "an identity does nothing until it is started"]
pub struct IdentityBuilder {
    open: Open,
    timeout: Duration,
    expiry: ExpiryPolicy,
    path_policy: PathPolicy,
    recorder: Option<Arc<dyn Recorder>>,
}

impl IdentityBuilder {
    /// `open` gives the identity's name and its source. It runs at the start, inside the runtime of identities.
    pub(crate) fn new(open: impl FnOnce() -> Result<(Arc<str>, Arc<dyn Source>), OpenError> + Send + 'static) -> Self {
        Self {
            open: Box::new(open),
            timeout: START_TIMEOUT,
            expiry: ExpiryPolicy::default(),
            path_policy: PathPolicy::default(),
            recorder: None,
        }
    }

    /// The time to wait for the first generation; [`START_TIMEOUT`] unless set.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The policy for servers and channels when the own leaf has expired; [`ExpiryPolicy::Retain`] unless set.
    pub fn expiry_policy(mut self, policy: ExpiryPolicy) -> Self {
        self.expiry = policy;
        self
    }

    /// The policy for peers whose issuer's CRL should have been replaced by a newer one; [`StaleCrls::Accept`] unless set. It holds
    /// for handshakes and for connections that exist.
    pub fn stale_crls(mut self, answer: StaleCrls) -> Self {
        self.path_policy.stale_crls = answer;
        self
    }

    /// The answer to peers whose leaf may sign certificates or CRLs by its key usage, or constrains names; [`SigningLeaves::Accept`]
    /// unless set. It holds for handshakes and for connections that exist.
    pub fn signing_leaves(mut self, answer: SigningLeaves) -> Self {
        self.path_policy.signing_leaves = answer;
        self
    }

    /// The recorder that the identity's servers, channels and connectors tell what happens, those that name none of their own.
    pub fn recorder(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Starts the identity and waits for its first generation.
    ///
    /// # Errors
    ///
    /// The source cannot be opened, or no usable generation came in time. The error says what the source or the generation
    /// lacked.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn start(self) -> Result<Identity, StartError> {
        let timeout = self.timeout;
        let mut identity = self.start_pending()?;
        if tokio::time::timeout(timeout, identity.changed()).await.is_ok() {
            return Ok(identity);
        }
        let status = identity.status();
        Err(match status.refused {
            Some(refused) => StartError::Refused { name: status.name, waited: timeout, refusal: refused.refusal },
            None => StartError::NoGeneration { name: status.name, waited: timeout, trouble: status.trouble },
        })
    }

    /// Starts the identity without waiting. Until the first generation comes, servers close connections unanswered, channels
    /// do not connect and health says NOT_SERVING; then all of it recovers by itself.
    ///
    /// It needs no tokio runtime, and does not end with one: identities follow their sources on a runtime of their own, one in each
    /// process. So an identity may be kept in a static.
    ///
    /// ```no_run
    /// # use std::sync::LazyLock;
    /// use evercert::Identity;
    ///
    /// static IDENTITY: LazyLock<Identity> =
    ///     LazyLock::new(|| Identity::from_env().start_pending().expect("the environment names an identity"));
    /// ```
    ///
    /// # Errors
    ///
    /// The source cannot be opened.
    ///
    /// # Panics
    ///
    /// The process can have no further thread, and this is called outside of a tokio runtime.
    pub fn start_pending(self) -> Result<Identity, StartError> {
        self.start_pending_on(&runtime::of_identities())
    }

    pub(super) fn start_pending_on(self, runtime: &Handle) -> Result<Identity, StartError> {
        let _sources_are_there_too = runtime.enter();
        let (name, source) = (self.open)().map_err(StartError::Open)?;
        let (sender, state) = watch::channel(State::default());
        let shared = Arc::new(Shared {
            name,
            source,
            state: sender,
            consumers: Mutex::default(),
            expiry: self.expiry,
            path_policy: self.path_policy,
            recorder: self.recorder,
            tally: Arc::default(),
            untallied: AtomicBool::new(false),
        });
        let task = AbortOnDropHandle::new(runtime.spawn(task::run(Arc::clone(&shared))));
        Ok(Identity { inner: Arc::new(Inner { shared, _task: task }), state, seen: 0 })
    }
}

impl IntoFuture for IdentityBuilder {
    type Output = Result<Identity, StartError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

impl fmt::Debug for IdentityBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityBuilder")
            .field("timeout", &self.timeout)
            .field("expiry", &self.expiry)
            .finish_non_exhaustive()
    }
}

/// An identity that did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The source cannot be opened.
    #[error(transparent)]
    Open(OpenError),
    /// The source delivered nothing.
    #[error("identity {name} has no generation after {} s{}", waited.as_secs_f32(), reason(trouble.as_deref()))]
    NoGeneration {
        /// The identity.
        name: Arc<str>,
        /// The time waited.
        waited: Duration,
        /// The fault the source reports.
        trouble: Option<Arc<str>>,
    },
    /// The source delivered only what cannot be used.
    #[error("identity {name} has no usable generation after {} s: {refusal}", waited.as_secs_f32())]
    Refused {
        /// The identity.
        name: Arc<str>,
        /// The time waited.
        waited: Duration,
        /// The fault in the newest generation.
        refusal: Refusal,
    },
}

fn reason(trouble: Option<&str>) -> String {
    trouble.map(|trouble| format!(": {trouble}")).unwrap_or_default()
}
