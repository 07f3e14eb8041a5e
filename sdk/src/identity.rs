//! An identity of this process: its current generation, and everything in the process that uses it.
//!
//! ```text
//! Source ─ state ─→ the identity's one task: load → every consumer prepares → all commit → current, changed()
//!    ↑                                        └ one refuses: nothing is swapped, the previous generation stays
//!    └─ report: current, then settled | refused, with the reason
//! ```
//!
//! Servers, channels and certifiers are consumers. They prepare what they need of a generation (a rustls config) before any of
//! them puts it to use, so a process never serves one generation here and another there because one part could not load it. A
//! consumer that could not use the generation it found has none to keep, and so no say in the next one.
//!
//! The task, and those of its source, run on a runtime that all identities of the process share, and not on the runtime of whoever starts one:
//! they follow rotations whatever becomes of that runtime, and however busy it is.

mod builder;
mod certifier;
mod change;
mod clock;
mod policy;
#[cfg(test)]
mod scripted;
mod status;
mod tally;
mod task;
mod usable;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustls::{ClientConfig, ServerConfig};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use evercert_core::path::PathPolicy;
#[doc(inline)]
pub use evercert_core::path::{SigningLeaves, StaleCrls};

pub use builder::{IdentityBuilder, OpenError, START_TIMEOUT, StartError};
pub use certifier::ResolvingCertifier;
pub(crate) use clock::{CLOCK_CHECK, now};
pub use policy::ExpiryPolicy;
pub use status::{IdentityStatus, RefusedGeneration};
pub(crate) use tally::{Member, Tally};
pub(crate) use usable::Usable;

use crate::refusal::Refusal;
use crate::source::Source;
use crate::telemetry::Recorder;
use crate::tls::apart::ExpensiveChains;
use crate::tls::config::{ClientHandshakes, ServerHandshakes};
use crate::tls::{ClientTls, Generation, Resumption, ServerTls};
use status::State;

/// One identity: a cheap clone of a handle on its current generation. Servers, channels and certifiers made from it swap by
/// themselves; its task ends with the last of them and the last clone.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
    state: watch::Receiver<State>,
    /// The count of swaps that this clone has seen.
    seen: u64,
}

/// Uses a generation. Prepared under the identity's lock, so preparing is quick and neither blocks nor calls the identity.
pub(crate) trait Consumer: Send + Sync {
    /// Builds what it needs of the generation and changes nothing yet; the commit, which cannot fail, puts it to use.
    fn prepare(&self, generation: &Arc<Generation>) -> Result<Commit, Refusal>;

    /// The own leaf has expired and the policy is to fail closed: no handshake until the next commit.
    fn withdraw(&self, refusal: &Refusal);

    /// Whether it enters its connections into the tally.
    fn tallies(&self) -> bool {
        true
    }
}

/// The second of a consumer's two phases.
pub(crate) type Commit = Box<dyn FnOnce() + Send>;

impl Identity {
    /// An identity whose snapshots come from `source`; `name` is what logs and errors call it. All other ways to open one end
    /// here.
    pub fn from_source(name: impl Into<Arc<str>>, source: Arc<dyn Source>) -> IdentityBuilder {
        let name = name.into();
        IdentityBuilder::new(move || Ok((name, source)))
    }

    /// The identity's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.inner.shared.name
    }

    /// The generation that new handshakes use; `None` before the first one.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Generation>> {
        self.state.borrow().current.clone()
    }

    /// Waits until a generation is in use that this clone has not seen yet, and gives it. Generations in between are skipped.
    /// Cancel safe.
    pub async fn changed(&mut self) -> Arc<Generation> {
        loop {
            if let Ok(state) = self.state.wait_for(|state| state.swaps != self.seen).await {
                self.seen = state.swaps;
                if let Some(generation) = &state.current {
                    return Arc::clone(generation);
                }
            } else {
                // The sender lives as long as this handle does.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The identity's status.
    #[must_use]
    pub fn status(&self) -> IdentityStatus {
        self.inner.shared.status()
    }

    /// The identity's credential for a rustls config of the user's own; [`ResolvingCertifier`] says what is lost that way.
    ///
    /// # Errors
    ///
    /// The current generation has no credential.
    pub fn certifier(&self) -> Result<ResolvingCertifier, Refusal> {
        ResolvingCertifier::attach(self)
    }

    /// Whether both are handles on one identity.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The connections of the identity's servers and channels.
    pub(crate) fn tally(&self) -> &Arc<Tally> {
        &self.inner.shared.tally
    }

    /// The current generation as a server's complete rustls config, for those who swap it themselves on [`Identity::changed`].
    /// Never change trust or credential inside it, and never share its session store with another: build a new one. Sessions are not
    /// resumed, whatever the settings say: nobody would verify the peer again.
    ///
    /// # Errors
    ///
    /// There is no generation yet, or it lacks what the settings need.
    pub fn server_config(&self, tls: &ServerTls) -> Result<ServerConfig, ConfigError> {
        let tls = ServerTls { resumption: Resumption::Off, ..tls.clone() };
        Ok(Arc::unwrap_or_clone(ServerHandshakes::new(&*self.generation()?, &tls, ExpensiveChains::InPlace)?.config))
    }

    /// The current generation as a client's complete rustls config, as [`Identity::server_config`].
    ///
    /// # Errors
    ///
    /// There is no generation yet, or it lacks what the settings need.
    pub fn client_config(&self, tls: &ClientTls) -> Result<ClientConfig, ConfigError> {
        let tls = ClientTls { resumption: Resumption::Off, ..tls.clone() };
        let generation = self.generation()?.of_client(&tls)?;
        Ok(Arc::unwrap_or_clone(ClientHandshakes::new(&generation, &tls)?.config))
    }

    fn generation(&self) -> Result<Arc<Generation>, ConfigError> {
        let state = self.state.borrow();
        if let Some(refusal) = &state.withdrawn {
            return Err(refusal.clone().into());
        }
        let generation = state.current.clone().ok_or_else(|| ConfigError::Pending(Arc::clone(self.name())))?;
        self.inner.shared.untallied.store(true, Ordering::Relaxed);
        Ok(generation)
    }

    /// The recorder of servers and channels that name none of their own.
    pub(crate) fn recorder(&self) -> Option<&Arc<dyn Recorder>> {
        self.inner.shared.recorder.as_ref()
    }

    /// Adds a consumer for as long as it lives. The current generation, where there is one, is prepared and committed before this
    /// returns; later ones follow.
    ///
    /// # Errors
    ///
    /// The consumer refused the current generation. It stays attached and is offered the next one; dropping it detaches it.
    pub(crate) fn attach(&self, consumer: Weak<dyn Consumer>) -> Result<(), Refusal> {
        if consumer.upgrade().is_some_and(|consumer| !consumer.tallies()) {
            self.inner.shared.untallied.store(true, Ordering::Relaxed);
        }
        let mut consumers = self.inner.shared.consumers.lock();
        let (current, withdrawn) = {
            let state = self.state.borrow();
            (state.current.clone(), state.withdrawn.clone())
        };
        let outcome = match (current, consumer.upgrade()) {
            (Some(generation), Some(consumer)) => match withdrawn {
                Some(refusal) => {
                    consumer.withdraw(&refusal);
                    Err(refusal)
                }
                None => consumer.prepare(&generation).map(|commit| commit()),
            },
            _ => Ok(()),
        };
        // Swaps may be months apart, and what is detached keeps its memory while it is listed.
        if consumers.len() == consumers.capacity() {
            consumers.retain(Attached::is_alive);
        }
        consumers.push(Attached { consumer, idle: outcome.is_err() });
        outcome
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// A rustls config that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The identity was started without a generation and has none yet.
    #[error("identity {0} has no generation yet; await Identity::changed")]
    Pending(Arc<str>),
    /// The generation lacks what the config needs.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// State of the task and all clones.
struct Shared {
    name: Arc<str>,
    source: Arc<dyn Source>,
    /// The only writer is the task, under the lock of `consumers`.
    state: watch::Sender<State>,
    consumers: Mutex<Vec<Attached>>,
    expiry: ExpiryPolicy,
    path_policy: PathPolicy,
    recorder: Option<Arc<dyn Recorder>>,
    tally: Arc<Tally>,
    /// Whether a rustls config of the user's own may use the identity: its connections are in no tally.
    untallied: AtomicBool,
}

struct Attached {
    consumer: Weak<dyn Consumer>,
    /// It refused the generation it found and has used none since.
    idle: bool,
}

impl Attached {
    fn is_alive(&self) -> bool {
        self.consumer.strong_count() > 0
    }
}

struct Inner {
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

#[cfg(test)]
mod tests {
    use evercert_fixtures::Authority;

    use super::scripted::{Scripted, started, uncertified};
    use super::*;

    #[tokio::test]
    async fn consumers_that_come_and_go_between_two_swaps_are_not_kept() {
        let source = Scripted::new(uncertified(1, &[&Authority::new("root")]));
        let identity = started(Identity::from_source("test", source)).await;
        for _ in 0..1000 {
            drop(identity.channel("https://server.example.org").unwrap());
        }
        let kept = identity.inner.shared.consumers.lock().len();
        assert!(kept <= 16, "{kept} are kept");
    }
}
