//! The attestation of callers, and what they may have.
//!
//! A pod's mounted identities are for the containers of that pod, and for nobody else. An identity of the node is for whom one of
//! its rules names, `allow` in the configuration, and for root of the node. A process in a pod fits the rule `pod:` alone,
//! whatever its user.
//!
//! The rule `readers` gives an identity to whom the file system would give its key file: the caller's user and groups, as the
//! kernel recorded them when it connected, are held against owner, group, mode and POSIX ACL of the key file (of the bundle file,
//! where an identity has no key) and against the search permission of every directory on the way to it, symbolic links followed.
//! The check is done twice: with the way by which what is served was read, noted while it was read, and with the way that there is now,
//! since a mode may change between two generations. A caller has to be let through by both, and by every directory behind a link in
//! the place of another file of the identity; it is told of none that is behind one that it may not search. It says nothing of callers
//! with mounts or users of their own, and nothing of files on other file systems than local ones, whose modes are not what decides.
//!
//! Not evaluated: capabilities other than root's, a Linux security module, idmapped mounts.

mod audit;
mod denial;
mod filesystem;
mod fits;
mod permissions;
mod reason;
mod route;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evercert_core::detached::{Calls, Threads};
use evercert_core::finding::Check;
use evercert_core::identity::{IdentityId, Scope};
use evercert_core::intern::Pool;
use evercert_core::keeper::IdentityState;
use evercert_core::mount::{self, Sight};
use evercert_core::spec::{FileSet, IdentitySpec};

use crate::callers::{Caller, Namespaces, Origin, ProcessError};
use crate::inventory::Wanted;
use crate::inventory::pods::PodNames;
use crate::policy::{Policy, Rule};
pub(crate) use audit::Audit;
pub(crate) use denial::Denial;
use denial::{NamedOrigin, RuleMismatch};
pub(crate) use reason::{DecisionReason, Grant};

/// How long a file system may take to say who may read a file. A caller waits no longer for a decision.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// How many looks at file systems run at once.
const LOOKS: usize = 8;

/// How long a look counts as one of [`LOOKS`]: one that takes longer waits for its file system, not for a processor.
const COUNTED: Duration = Duration::from_millis(200);

/// How many threads looks may hold, most of them at file systems that do not answer.
const THREADS: usize = 64;

/// Decides which caller may have which identity.
pub(crate) struct Attestor {
    observer: Arc<dyn DecisionObserver>,
    audit: Audit,
    look: Arc<LookFn>,
    deadline: Duration,
    looks: Calls,
    /// One look at a time for each identity: a hung mount costs one thread, however many callers wait for it.
    turns: Pool<IdentityId, tokio::sync::Mutex<()>>,
}

/// Is told of every decision where it is made; must not block.
pub(crate) trait DecisionObserver: Send + Sync + 'static {
    /// It took `took` to decide for `reason`.
    fn decided(&self, reason: DecisionReason, took: Duration);
    /// A line of the log of decisions was held back, and is told later as one of a number.
    fn line_left_out(&self);
}

/// Looks at the file system; blocks.
type LookFn = dyn Fn(&FileSet) -> Option<Sight> + Send + Sync;

impl Attestor {
    /// An attestor that looks at the real file system and tells `observer` of every decision.
    pub(crate) fn new(observer: Arc<dyn DecisionObserver>) -> Self {
        Self::looking_with(observer, Arc::new(mount::look), ANSWER_DEADLINE)
    }

    fn looking_with(observer: Arc<dyn DecisionObserver>, look: Arc<LookFn>, deadline: Duration) -> Self {
        let looks = Calls::new(Threads::named("looks"), LOOKS, COUNTED, THREADS);
        let audit = Audit::new(Arc::clone(&observer));
        Self { observer, audit, look, deadline, looks, turns: Pool::default() }
    }

    /// Whether `caller` may have the identity whose state is `state`, by its rules in `wanted` and as its files are on disk now.
    /// The decision is about what is in `state`, its key and its findings, and holds for no other state: whoever sends something
    /// passes the state that it was taken from, as late as can be, and then [`Attestor::confirm`]s the caller. The decision is told to the
    /// observer, a denial also to the log.
    ///
    /// # Errors
    ///
    /// It may not, or that could not be found out in time.
    pub(crate) async fn decide(
        &self,
        caller: &Caller,
        state: &IdentityState,
        wanted: &Wanted,
    ) -> Result<Grant, Denial> {
        let started = Instant::now();
        let decision = self.judge(caller, state, wanted).await;
        let reason = decision.as_ref().map_or_else(Denial::reason, Grant::reason);
        self.observer.decided(reason, started.elapsed());
        // A caller that waits for a file has not been denied it yet.
        if let Some(denial) = decision.as_ref().err().filter(|denial| !denial.is_missing()) {
            self.audit.denied(caller, Some(&state.spec.id), denial, &wanted.pods);
        }
        decision
    }

    /// Checks that `caller` is still the process that connected, and is what it was then. To be asked after everything else and
    /// before anything is given: a decision may take a while.
    ///
    /// # Errors
    ///
    /// It is not.
    pub(crate) fn confirm(&self, caller: &Caller) -> Result<(), Denial> {
        let started = Instant::now();
        caller.confirm().map_err(Denial::from).inspect_err(|denial| {
            self.observer.decided(denial.reason(), started.elapsed());
            self.audit.denied(caller, None, denial, &PodNames::new());
        })
    }

    /// `caller` asked for an identity that there is not for it.
    pub(crate) fn unknown(&self, caller: &Caller, name: &str, pods: &PodNames) {
        self.observer.decided(DecisionReason::UnknownName, Duration::ZERO);
        self.audit.unknown(caller, name, pods);
    }

    /// A caller that cannot be seen is taken at its word, as it is given nothing for it.
    pub(crate) fn unattested(&self) {
        self.observer.decided(DecisionReason::Unattested, Duration::ZERO);
    }

    /// `caller` is given the key of `id` for the first time, as `grant` allows.
    pub(crate) fn granted(&self, caller: &Caller, id: &IdentityId, grant: &Grant, pods: &PodNames) {
        self.audit.granted(caller, id, grant, pods);
    }

    /// The log of decisions.
    pub(crate) fn audit(&self) -> &Audit {
        &self.audit
    }

    /// As [`Attestor::decide`], where nobody asked for this identity: it is no decision that is told to anyone.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) async fn judge(&self, caller: &Caller, state: &IdentityState, wanted: &Wanted) -> Result<Grant, Denial> {
        if caller.is_hidden() {
            return Err(ProcessError::Unseen.into());
        }
        if *caller.origin() == Origin::Unclear {
            return Err(Denial::Unclear { pid: caller.pid() });
        }
        match &state.spec.id.scope {
            Scope::Pod(uid) => match caller.origin() {
                Origin::Pod(own) if own == uid => Ok(Grant::OwnPod),
                _ => Err(Denial::OtherPod { caller: NamedOrigin::of(caller, &wanted.pods) }),
            },
            Scope::Node => self.by_rules(caller, state, &wanted.policy(&state.spec.id), &wanted.pods).await,
        }
    }

    async fn by_rules(
        &self,
        caller: &Caller,
        state: &IdentityState,
        policy: &Policy,
        pods: &PodNames,
    ) -> Result<Grant, Denial> {
        if caller.is_root() && sees_what_the_node_sees(caller) {
            return Ok(Grant::Root);
        }
        let mut mismatches = Vec::new();
        // Rules that need no file system first: the answer is the same, and a mount that hangs holds up nobody else.
        for rule in policy.0.iter().filter(|rule| **rule != Rule::Readers) {
            match fits::fits(rule, caller, pods) {
                Ok(()) => return Ok(Grant::Rule(rule.clone())),
                Err(mismatch) => mismatches.push(mismatch),
            }
        }
        if policy.0.contains(&Rule::Readers) {
            match self.by_readers(caller, state, pods).await {
                Ok(()) => return Ok(Grant::Rule(Rule::Readers)),
                Err(mismatch) => mismatches.insert(0, mismatch),
            }
        }
        Err(Denial::of(mismatches, policy, caller, pods))
    }

    async fn by_readers(&self, caller: &Caller, state: &IdentityState, pods: &PodNames) -> Result<(), RuleMismatch> {
        if !matches!(caller.origin(), Origin::Host { .. }) {
            return Err(RuleMismatch::Contained { caller: NamedOrigin::of(caller, pods) });
        }
        if caller.is_of_another_user_namespace() {
            return Err(RuleMismatch::UnknownUser { rule: Rule::Readers, uid: caller.uid() });
        }
        if !sees_what_the_node_sees(caller) {
            return Err(RuleMismatch::OtherView { namespaces: caller.namespaces() });
        }
        let Some(file) = state.spec.files.deciding() else { return Err(RuleMismatch::NoFile) };
        let unanswered = || RuleMismatch::Unanswered { file: file.to_owned(), deadline: self.deadline };
        // The keeper has waited for this mount already: another thread would hang as its own does.
        if state.findings.iter().any(|finding| finding.check == Check::MountUnresponsive) {
            return Err(unanswered());
        }
        match tokio::time::timeout(self.deadline, self.sight(&state.spec)).await {
            Err(_) => Err(unanswered()),
            Ok(Err(error)) => Err(RuleMismatch::Failed { file: file.to_owned(), error }),
            Ok(Ok(None)) => Err(RuleMismatch::NoFile),
            Ok(Ok(Some(sight))) => route::decide(caller, &sight, state),
        }
    }

    /// Looks at the way to an identity's files.
    async fn sight(&self, spec: &Arc<IdentitySpec>) -> io::Result<Option<Sight>> {
        let turn = self.turns.get_or_make(spec.id.clone(), |_| true, Arc::default).lock_owned().await;
        let (look, looked_for) = (Arc::clone(&self.look), Arc::clone(spec));
        let looking = self.looks.call(move || {
            let sight = look(&looked_for.files);
            // Kept until here even where nobody waits any more.
            drop(turn);
            sight
        });
        looking.await.map_err(io::Error::other)
    }
}

/// Whether the caller is in the host's mount and user namespaces: it sees the files that evercertd sees, as the users that they are
/// there.
fn sees_what_the_node_sees(caller: &Caller) -> bool {
    matches!(caller.origin(), Origin::Host { .. })
        && !caller.is_of_another_user_namespace()
        && caller.namespaces() == Namespaces::Host
}

#[cfg(test)]
pub(crate) mod tests;
