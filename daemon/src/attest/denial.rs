//! Why a caller is not given an identity, in words: the rules that decided, and what would allow it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::filesystem::Filesystem;
use super::permissions::{Permissions, Wish};
use super::reason::DecisionReason;
use crate::callers::{Caller, Namespaces, Origin, PodName, ProcessError};
use crate::inventory::pods::PodNames;
use crate::policy::{Policy, Rule};

/// The most rules a sentence goes into.
const RULES: usize = 3;

/// Why a caller is not given an identity.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denial {
    /// No rule of the identity's fits.
    #[error("{}{}", sentences(mismatches), advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default())]
    NoRuleFits {
        /// Why each does not, in the order they were tried.
        mismatches: Vec<RuleMismatch>,
        /// The way to let the caller in.
        advice: Option<Advice>,
    },
    /// The identity is a volume of a pod that the caller is not in.
    #[error("pod: what is mounted in a pod is for that pod's containers alone, and the caller is {caller}")]
    OtherPod {
        /// Where it is.
        caller: NamedOrigin,
    },
    /// Its control groups say nothing that can be trusted.
    #[error(
        "cgroup: the control groups of the caller (process {pid}) do not tell which pod, container or unit it is in, so it may have nothing"
    )]
    Unclear {
        /// The process.
        pid: u32,
    },
    /// It is no process that can be answered for.
    #[error("process: {0}")]
    Process(#[from] ProcessError),
}

/// Why one rule does not let a caller in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuleMismatch {
    /// The file system would not let it read the file.
    #[error("readers: {caller} may not {wish} {} ({permissions})", path.display())]
    NotAReader {
        caller: Box<Caller>,
        wish: Wish,
        /// The file, or the directory on the way to it that stops the caller.
        path: PathBuf,
        permissions: Box<Permissions>,
    },
    /// It could not have read what is served.
    #[error(
        "readers: {caller} could not {wish} {} when what is served was read ({permissions}); it is read anew when who may do so changes",
        path.display()
    )]
    NotAReaderThen {
        caller: Box<Caller>,
        wish: Wish,
        /// The directory that stopped the caller then; or the file that is there now, where it was the file that did.
        path: PathBuf,
        permissions: Box<Permissions>,
    },
    /// It is not known who could have read what is served.
    #[error("readers: there is no record of who could read {} when it was read", file.display())]
    NoRecord { file: PathBuf },
    /// It lives in a user namespace whose users have no number here.
    #[error("{rule}: uid {uid} stands for every user of a foreign user namespace, so it is nobody's")]
    UnknownUser { rule: Rule, uid: u32 },
    /// It does not see what the node sees.
    #[error("readers: {namespaces}, so what the node's files allow says nothing of it")]
    OtherView { namespaces: Namespaces },
    /// A container that is not looked at as a reader.
    #[error("readers: the caller is {caller}, so what the node's files allow says nothing of it")]
    Contained {
        /// Where it is.
        caller: NamedOrigin,
    },
    /// Read access there is not decided here.
    #[error("readers: {} is on the file system {filesystem}, of which evercertd cannot tell who may read there", path.display())]
    FileSystem { path: PathBuf, filesystem: Filesystem },
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
    /// There is something that cannot be read by anybody, and the caller could see that for itself.
    #[error("readers: nobody is a reader of {}: {error}", file.display())]
    Unreadable { file: PathBuf, error: String },
    /// The rule names somebody else.
    #[error("{rule}: the caller is {caller}")]
    Other { rule: Rule, caller: Who },
    /// The rule names somebody who is not there.
    #[error("{rule}: this node has nobody of that name")]
    Nobody { rule: Rule },
}

/// A caller, as far as a rule is concerned.
#[derive(Debug)]
pub(crate) enum Who {
    /// This user, with these groups.
    Account(Box<Caller>),
    /// Where it belongs.
    At(NamedOrigin),
}

/// Where a caller belongs.
#[derive(Debug)]
pub(crate) enum NamedOrigin {
    Pod { uid: Arc<str>, name: Option<PodName> },
    Unit(Arc<str>),
    Host,
    Container,
    Unclear,
}

/// The way to let a caller in.
#[derive(Debug)]
pub(crate) struct Advice {
    policy: Policy,
    rule: Rule,
}

impl Denial {
    /// Nothing lets `caller` in: none of the rules of `policy`, for these reasons.
    pub(super) fn of(mismatches: Vec<RuleMismatch>, policy: &Policy, caller: &Caller, pods: &PodNames) -> Self {
        let advice = Advice::to(caller, pods).map(|rule| Advice { policy: policy.clone(), rule });
        Self::NoRuleFits { mismatches, advice }
    }

    /// The metric label: of several mismatches that of the first.
    pub(super) fn reason(&self) -> DecisionReason {
        match self {
            Self::NoRuleFits { mismatches, .. } => {
                mismatches.first().map_or(DecisionReason::NotNamed, RuleMismatch::reason)
            }
            Self::OtherPod { .. } => DecisionReason::OtherPod,
            Self::Unclear { .. } => DecisionReason::Unclear,
            Self::Process(_) => DecisionReason::Gone,
        }
    }

    /// Whether the caller might be a reader of a file that is not there. It could see that for itself: it may know why it waits.
    pub(crate) fn is_missing(&self) -> bool {
        self.mismatches().iter().any(|mismatch| matches!(mismatch, RuleMismatch::Missing { .. }))
    }

    /// Whether the process that connected has ended: nobody is there any more to be told what it may have.
    pub(crate) fn is_of_the_dead(&self) -> bool {
        matches!(self, Self::Process(ProcessError::Ended))
    }

    /// Whether a file system did not answer that might let the caller in, or evercertd has no descriptor left to find out who calls.
    pub(crate) fn is_unanswered(&self) -> bool {
        matches!(self, Self::Process(error) if error.is_for_want_of_descriptors())
            || self.mismatches().iter().any(|mismatch| matches!(mismatch, RuleMismatch::Unanswered { .. }))
    }

    fn mismatches(&self) -> &[RuleMismatch] {
        match self {
            Self::NoRuleFits { mismatches, .. } => mismatches,
            Self::OtherPod { .. } | Self::Unclear { .. } | Self::Process(_) => &[],
        }
    }
}

impl RuleMismatch {
    pub(super) fn reason(&self) -> DecisionReason {
        match self {
            Self::NotAReader { .. } | Self::NotAReaderThen { .. } => DecisionReason::NotAReader,
            Self::UnknownUser { .. } => DecisionReason::UnknownUser,
            Self::OtherView { .. } | Self::Contained { .. } => DecisionReason::OtherView,
            Self::FileSystem { .. } => DecisionReason::FileSystem,
            Self::Missing { .. } => DecisionReason::Missing,
            Self::Unanswered { .. } => DecisionReason::Unanswered,
            Self::NoFile | Self::NoRecord { .. } | Self::Failed { .. } | Self::Unreadable { .. } => {
                DecisionReason::Failed
            }
            Self::Other { .. } | Self::Nobody { .. } => DecisionReason::NotNamed,
        }
    }
}

/// The first few mismatches, and how many more there are.
fn sentences(mismatches: &[RuleMismatch]) -> String {
    let told = mismatches.iter().take(RULES).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    match mismatches.len().saturating_sub(RULES) {
        0 => told,
        1 => format!("{told}; nor does 1 more rule fit"),
        more => format!("{told}; nor do {more} more rules fit"),
    }
}

impl NamedOrigin {
    pub(super) fn of(caller: &Caller, pods: &PodNames) -> Self {
        match caller.origin() {
            Origin::Pod(uid) => Self::Pod { uid: Arc::clone(uid), name: pods.get(uid).cloned() },
            Origin::Host { unit: Some(unit) } => Self::Unit(Arc::clone(unit)),
            Origin::Host { unit: None } => Self::Host,
            Origin::Container => Self::Container,
            Origin::Unclear => Self::Unclear,
        }
    }
}

impl fmt::Display for NamedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod { name: Some(pod), .. } => write!(f, "in pod {pod}"),
            Self::Pod { uid, name: None } => write!(f, "in the pod with UID {uid}, whose name is not known here"),
            Self::Unit(unit) => write!(f, "in the unit {unit}"),
            Self::Host => f.write_str("in no pod and no unit"),
            Self::Container => f.write_str("in a container that is of no pod"),
            Self::Unclear => f.write_str("in nothing that can be told"),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(caller) => fmt::Display::fmt(caller, f),
            Self::At(origin) => fmt::Display::fmt(origin, f),
        }
    }
}

impl Advice {
    /// The narrowest rule that names the caller. None for root of a container: that rule would name root of every other one.
    fn to(caller: &Caller, pods: &PodNames) -> Option<Rule> {
        let user = || {
            let is_named = caller.uid() != 0 && !caller.is_of_another_user_namespace();
            is_named.then(|| Rule::User { name: None, uid: Some(caller.uid()) })
        };
        match caller.origin() {
            Origin::Pod(uid) => pods
                .get(uid)
                .map(|pod| Rule::Pod { namespace: Arc::clone(&pod.namespace), name: Arc::clone(&pod.name) }),
            Origin::Host { unit: Some(unit) } => Some(Rule::Unit(Arc::clone(unit))),
            Origin::Host { unit: None } => user(),
            Origin::Container if caller.namespaces().has_own_users() => user(),
            Origin::Container | Origin::Unclear => None,
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.policy.0.len() > RULES {
            return write!(f, "to allow it: add \"{}\" to `allow` of its [[identity]]", self.rule);
        }
        f.write_str("to allow it: allow = [")?;
        for rule in self.policy.0.iter() {
            write!(f, "\"{rule}\", ")?;
        }
        write!(f, "\"{}\"] in its [[identity]]", self.rule)
    }
}
