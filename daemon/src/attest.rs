//! Who is calling, and what it may have: an identity goes to whom the file system would give its key file.
//!
//! The rule is called `readers`. The caller's user and groups, as the kernel recorded them when it connected, are held against
//! owner, group, mode and POSIX ACL of the key file (of the bundle file, where an identity has no key) and against the search
//! permission of every directory on the way to it, symbolic links followed as they are now. Root may have everything. Nothing is
//! remembered: every decision looks at the file system anew, since a mode may change between two generations.
//!
//! Not evaluated: capabilities other than root's, a Linux security module, idmapped mounts.

mod caller;
mod peer_groups;
mod permissions;
mod policy;
mod route;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use evercert_core::check::Check;
use evercert_core::identity::IdentityId;
use evercert_core::keeper::IdentityState;
use evercert_core::spec::{BundleFile, CredentialFiles, FileSet};
use tokio::sync::Semaphore;

pub(crate) use caller::{Caller, Party};
use permissions::{Permissions, Wish};
pub(crate) use policy::{Policy, Rule, RuleError};
use route::Route;

/// How long a file system may take to say who may read a file. A caller waits no longer for a decision.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// How many looks at file systems run at once.
const LOOKS: usize = 8;

/// How long a look counts as one of [`LOOKS`]: one that takes longer waits for its file system, not for a processor.
const COUNTED: Duration = Duration::from_millis(200);

/// How many threads looks may hold, most of them at file systems that do not answer. The runtime has more.
pub(crate) const THREADS: usize = 64;

/// Decides which caller may have which identity.
pub(crate) struct Attestor {
    observer: Arc<dyn DecisionObserver>,
    look: Arc<Look>,
    deadline: Duration,
    looks: Semaphore,
    threads: Arc<Semaphore>,
    /// One look at a time for each identity: a hung mount costs one thread, however many callers wait for it.
    turns: Mutex<HashMap<IdentityId, Arc<tokio::sync::Mutex<()>>>>,
}

/// Is told of every decision where it is made; must not block.
pub(crate) trait DecisionObserver: Send + Sync + 'static {
    /// It took `took` to decide for `reason`.
    fn decided(&self, reason: Reason, took: Duration);
}

/// Looks at the file system; blocks.
type Look = dyn Fn(&Path) -> io::Result<Route> + Send + Sync;

impl Attestor {
    /// An attestor that looks at the real file system and tells `observer` of every decision.
    pub(crate) fn new(observer: Arc<dyn DecisionObserver>) -> Self {
        Self::looking_with(observer, Arc::new(Route::to), ANSWER_DEADLINE)
    }

    fn looking_with(observer: Arc<dyn DecisionObserver>, look: Arc<Look>, deadline: Duration) -> Self {
        let (looks, threads) = (Semaphore::new(LOOKS), Arc::new(Semaphore::new(THREADS)));
        Self { observer, look, deadline, looks, threads, turns: Mutex::default() }
    }

    /// Whether `caller` may have the identity whose state is `state`, as its files are on disk now.
    ///
    /// # Errors
    ///
    /// It may not, or that could not be found out in time.
    pub(crate) async fn decide(&self, caller: &Caller, state: &IdentityState) -> Result<Reason, Denial> {
        let started = Instant::now();
        let decision = self.decide_now(caller, state).await;
        let reason = decision.as_ref().map_or_else(Denial::reason, |reason| *reason);
        self.observer.decided(reason, started.elapsed());
        decision
    }

    async fn decide_now(&self, caller: &Caller, state: &IdentityState) -> Result<Reason, Denial> {
        if caller.is_root() {
            return Ok(Reason::Root);
        }
        if caller.is_of_another_user_namespace() {
            return Err(Denial::UnknownUser { uid: caller.uid() });
        }
        let Some(file) = deciding_file(&state.spec.files) else { return Err(Denial::NoFile) };
        let unanswered = || Denial::Unanswered { file: file.to_owned(), deadline: self.deadline };
        // The keeper has waited for this mount already: another thread would hang as its own does.
        if state.findings.iter().any(|finding| finding.check == Check::MountUnresponsive) {
            return Err(unanswered());
        }
        let route = tokio::time::timeout(self.deadline, self.route(&state.spec.id, file)).await;
        match route {
            Err(_) => Err(unanswered()),
            Ok(Err(error)) => Err(Denial::Failed { file: file.to_owned(), error }),
            Ok(Ok(route)) => route.decide(caller),
        }
    }

    async fn route(&self, id: &IdentityId, file: &Path) -> io::Result<Route> {
        let turn = Arc::clone(self.turns().entry(id.clone()).or_default());
        let turn = turn.lock_owned().await;
        let place = self.looks.acquire().await.map_err(io::Error::other)?;
        let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(io::Error::other)?;
        let (look, file) = (Arc::clone(&self.look), file.to_owned());
        let mut looking = tokio::task::spawn_blocking(move || {
            let route = look(&file);
            // Kept until here even where nobody waits any more.
            drop((turn, thread));
            route
        });
        let looked = match tokio::time::timeout(COUNTED, &mut looking).await {
            Ok(looked) => looked,
            Err(_) => {
                drop(place);
                looking.await
            }
        };
        let route = looked.map_err(io::Error::other)?;
        // Of callers that wait for the same turn the last one clears the place.
        if let Entry::Occupied(turn) = self.turns().entry(id.clone())
            && Arc::strong_count(turn.get()) == 1
        {
            turn.remove();
        }
        route
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<IdentityId, Arc<tokio::sync::Mutex<()>>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file whose readers may have the identity: the key, or the bundle where there is no key.
fn deciding_file(files: &FileSet) -> Option<&Path> {
    files.credential.as_ref().map(CredentialFiles::key).or(files.bundle.as_ref().map(BundleFile::path))
}

impl Route {
    fn decide(&self, caller: &Caller) -> Result<Reason, Denial> {
        let refusal = |path: &Path, permissions: &Permissions, wish| Denial::NotAReader {
            caller: caller.clone(),
            wish,
            path: path.to_owned(),
            permissions: permissions.clone(),
        };
        for (directory, permissions) in &self.directories {
            if !permissions.grant(caller, Wish::Search) {
                return Err(refusal(directory, permissions, Wish::Search));
            }
        }
        match &self.permissions {
            None => Err(Denial::Missing { file: self.file.clone() }),
            Some(permissions) if permissions.grant(caller, Wish::Read) => Ok(Reason::Readers),
            Some(permissions) => Err(refusal(&self.file, permissions, Wish::Read)),
        }
    }
}

/// Why a caller is not given an identity. Each sentence names the rule that decided.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denial {
    /// The file system would not let it read the file.
    #[error("readers: {caller} may not {wish} {} ({permissions})", path.display())]
    NotAReader {
        caller: Caller,
        wish: Wish,
        /// The file, or the directory on the way to it that stops the caller.
        path: PathBuf,
        permissions: Permissions,
    },
    /// It lives in a user namespace whose users have no number here.
    #[error("readers: uid {uid} stands for every user of a foreign user namespace, so it may read nothing")]
    UnknownUser { uid: u32 },
    /// The file is not there, and the caller could see that for itself.
    #[error("readers: {} is not there, so nobody but root may read it", file.display())]
    Missing { file: PathBuf },
    /// The identity has no file to judge by.
    #[error("readers: the identity has no file that could be read")]
    NoFile,
    /// The file system did not answer in time.
    #[error("readers: {} could not be looked at within {deadline:?}", file.display())]
    Unanswered { file: PathBuf, deadline: Duration },
    /// Looking failed.
    #[error("readers: evercertd cannot tell who may read {}: {error}", file.display())]
    Failed { file: PathBuf, error: io::Error },
}

impl Denial {
    fn reason(&self) -> Reason {
        match self {
            Self::NotAReader { .. } => Reason::NotAReader,
            Self::UnknownUser { .. } => Reason::UnknownUser,
            Self::Missing { .. } => Reason::Missing,
            Self::Unanswered { .. } => Reason::Unanswered,
            Self::NoFile | Self::Failed { .. } => Reason::Failed,
        }
    }
}

/// Why a caller may or may not have an identity: the value of a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reason {
    /// It is root.
    Root,
    /// It may read the file.
    Readers,
    /// It may not read the file, or not search a directory on the way to it.
    NotAReader,
    /// It lives in another user namespace, so its user is not known here.
    UnknownUser,
    /// The file is not there.
    Missing,
    /// The file system did not answer in time.
    Unanswered,
    /// Looking at the file failed otherwise.
    Failed,
}

impl Reason {
    /// Every reason.
    pub(crate) const ALL: [Self; 7] =
        [Self::Root, Self::Readers, Self::NotAReader, Self::UnknownUser, Self::Missing, Self::Unanswered, Self::Failed];

    /// Whether the caller may have the identity.
    #[must_use]
    pub(crate) fn allows(self) -> bool {
        matches!(self, Self::Root | Self::Readers)
    }

    /// The metric label.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Readers => "readers",
            Self::NotAReader => "not_a_reader",
            Self::UnknownUser => "unknown_user",
            Self::Missing => "missing",
            Self::Unanswered => "unanswered",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests;
