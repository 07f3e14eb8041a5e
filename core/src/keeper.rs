//! The one driver of watch, mount, check and lifecycle, for many identities: the daemon and the SDK's directory source run
//! it. It is also the only place in the crate that reads clocks.
//!
//! One task owns every identity's slot; it neither touches a disk nor parses. Each look at an identity's files is a job
//! that may block: it places the watches, compares stamps, reads, parses, and drives the identity's lifecycle, which it
//! borrows for that. One that is alone is done by the thread of the [`Reactor`], if the task runs in one; any other on a thread beside it.
//! An identity has at most one job. A job whose mount does not answer stalls nothing but its identity: it soon stops counting against
//! how many may run, and later gives the lifecycle back. Before the generation is shown, a job writes down what is retained of a
//! replaced bundle; and what identities have in common, jobs hold once.
//!
//! ```text
//! inotify ─┐                                    ┌ stamp unchanged: nothing to do
//! mounts ──┤
//! tick ────┼→ slot wants a look → Job ──────────┼ files that changed in place just now: look again when they are at rest
//! retry ───┘                                    └ read → parse → lifecycle.handle → Done → Observer, in order
//! wake_at, clock was set → Job without a look ──────────────────────┘
//! ```

mod ending;
mod job;
mod jobs;
mod key_requests;
mod mounting;
mod numbers;
mod pace;
mod slot;
mod sweep;
mod system;
mod task;
#[cfg(test)]
mod tests;
mod timers;
mod watching;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use self::ending::{REQUESTS, Request};
use self::key_requests::KeyRequests;
use self::pace::Pace;
use self::system::{Machine, System};
use self::task::{Orders, Task};
use crate::digest::Digest;
use crate::identity::IdentityId;
use crate::reactor::Reactor;
use crate::spec::IdentitySpec;

pub use self::ending::EndOverlapError;
pub use self::key_requests::KeyRetention;
pub use crate::lifecycle::{IdentityState, Reload, RetainedAnchor};
pub use crate::material::{CertificateOnDisk, CrlOnDisk};
pub use crate::state_file::StateError;
pub use crate::watch::WatchProblem;

/// Where the keeper's results go. Called from the keeper's task, in order, and must not block. Each method has to be written: one that
/// passes on to another must not swallow what it does not know.
pub trait Observer: Send + Sync + 'static {
    /// An identity has a new state. The first one comes once its files were first read.
    fn state(&self, id: &IdentityId, state: Arc<IdentityState>);
    /// An identity is no longer kept.
    fn removed(&self, id: &IdentityId);
    /// Its files were read after a hint, a tick or at the start; `took` is the time from that to here.
    fn reload(&self, id: &IdentityId, result: Reload, took: Duration);
    /// The overlap of a replaced `ca.crt` could not be written down, or read: once for each try. The identity's state has a finding until
    /// one succeeds.
    fn state_unwritten(&self, id: &IdentityId, error: &StateError);
    /// Watching failed in part or whole.
    fn watch_problem(&self, problem: WatchProblem);
    /// Every identity was looked at by the periodic tick.
    fn scanned(&self, at: SystemTime);
}

/// How the keeper works.
#[derive(Debug, Clone)]
pub struct KeeperSettings {
    /// How often every identity is looked at, hints or not.
    pub tick: Duration,
    /// Where it is remembered until when anchors of a replaced `ca.crt` stay trusted; absent: that ends with the process. The
    /// directory is this keeper's alone, and is made if it is not there, with mode 0700.
    pub state_directory: Option<PathBuf>,
    /// When private keys are kept in memory.
    pub keys: KeyRetention,
}

impl KeeperSettings {
    /// The default of [`KeeperSettings::tick`].
    pub const TICK: Duration = Duration::from_secs(30);
}

impl Default for KeeperSettings {
    fn default() -> Self {
        Self { tick: Self::TICK, state_directory: None, keys: KeyRetention::Always }
    }
}

/// A handle to a running keeper. Dropping it stops the keeper.
#[derive(Debug)]
pub struct Keeper {
    wanted: watch::Sender<DesiredState>,
    requests: mpsc::Sender<Request>,
    key_requests: Arc<KeyRequests>,
}

impl Keeper {
    /// Starts a keeper of no identity on the current tokio runtime. What may hang is done by threads beside it.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn start(settings: KeeperSettings, observer: Arc<dyn Observer>) -> Self {
        Self::start_with(Arc::new(Machine), Pace::default(), settings, observer, None)
    }

    /// Starts a keeper of no identity in a reactor. What changes while nothing else does is read by the thread that has heard of it, and so
    /// is shown sooner.
    #[must_use]
    pub fn start_in(reactor: &Reactor, settings: KeeperSettings, observer: Arc<dyn Observer>) -> Self {
        Self::start_with(Arc::new(Machine), Pace::default(), settings, observer, Some(reactor.clone()))
    }

    pub(crate) fn start_with(
        system: Arc<dyn System>,
        pace: Pace,
        settings: KeeperSettings,
        observer: Arc<dyn Observer>,
        reactor: Option<Reactor>,
    ) -> Self {
        let (wanted, wanted_now) = watch::channel(DesiredState::default());
        let (requests, asked) = mpsc::channel(REQUESTS);
        let key_requests = Arc::new(KeyRequests::default());
        let orders = Orders { wanted: wanted_now, requests: asked, key_requests: Arc::clone(&key_requests) };
        let runtime = reactor.as_ref().map_or_else(Handle::current, |reactor| reactor.handle().clone());
        runtime.spawn(Task::new(system, pace, settings, observer, orders, reactor).run());
        Self { wanted, requests, key_requests }
    }

    /// Keeps exactly these identities from now on: new ones are read at once, those not named are removed, unchanged ones
    /// are not touched. Of two with the same id the first is kept.
    pub fn keep(&self, specs: Vec<IdentitySpec>) {
        let before = Arc::clone(&self.wanted.borrow().specs);
        let before: HashMap<_, _> = before.iter().map(|spec| (&spec.id, spec)).collect();
        // One that stays as it is stays in the allocation that its slot has.
        let shared = |spec: IdentitySpec| match before.get(&spec.id) {
            Some(before) if before.as_ref() == &spec => Arc::clone(before),
            _ => Arc::new(spec),
        };
        let specs = specs.into_iter().map(shared).collect();
        self.wanted.send_modify(|wanted| wanted.specs = specs);
    }

    /// Says whether the key of an identity is wanted, where keys are kept [`KeyRetention::OnDemand`]; otherwise it changes nothing.
    /// The last word counts; saying it again changes nothing. One that is not kept has no key to be wanted, and one that is kept
    /// from now on has a key that nobody wants yet. Does not block.
    ///
    /// A key that is wanted is read again: the state is shown with the same generation once it has it. One that is wanted no
    /// longer is wiped, and the state shown without it.
    pub fn want_keys(&self, id: &IdentityId, wanted: bool) {
        self.key_requests.say(id, wanted);
    }

    /// Ends the overlap of an anchor that left a credential's own bundle, in one identity or in all that retain it: it is trusted
    /// no longer from the next generation on, which is published before this returns, and no restart brings it back.
    ///
    /// Gives the identities in which it was retained.
    ///
    /// # Errors
    ///
    /// Nobody retains it, it is in a bundle's file, there is no such identity, or that it has ended cannot be remembered.
    pub async fn end_overlap(
        &self,
        anchor: Digest,
        identity: Option<IdentityId>,
    ) -> Result<Vec<IdentityId>, EndOverlapError> {
        let (reply, answer) = oneshot::channel();
        let request = Request { anchor, identity, reply };
        self.requests.send(request).await.map_err(|_| EndOverlapError::Stopped)?;
        answer.await.unwrap_or(Err(EndOverlapError::Stopped))
    }

    /// Reads every identity's files now.
    pub fn rescan(&self) {
        self.wanted.send_modify(|wanted| wanted.rescans += 1);
    }
}

/// The state that the keeper's task brings about. Only the latest counts.
#[derive(Debug, Clone, Default)]
struct DesiredState {
    specs: Arc<[Arc<IdentitySpec>]>,
    rescans: u64,
}
