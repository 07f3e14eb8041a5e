//! Why a decision is as it is: in full, and as a metric label.

use std::fmt;

use crate::policy::Rule;

/// Grounds to give a caller an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Grant {
    /// It is root of the node.
    Root,
    /// The identity is of its own pod.
    OwnPod,
    /// A rule of the identity's.
    Rule(Rule),
}

impl Grant {
    /// The metric label.
    pub(crate) fn reason(&self) -> DecisionReason {
        match self {
            Self::Root => DecisionReason::Root,
            Self::OwnPod => DecisionReason::OwnPod,
            Self::Rule(Rule::Readers) => DecisionReason::Readers,
            Self::Rule(Rule::User { .. }) => DecisionReason::User,
            Self::Rule(Rule::Group { .. }) => DecisionReason::Group,
            Self::Rule(Rule::Unit(_)) => DecisionReason::Unit,
            Self::Rule(Rule::Pod { .. }) => DecisionReason::Pod,
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => fmt::Display::fmt(rule, f),
            Self::Root | Self::OwnPod => f.write_str(self.reason().as_str()),
        }
    }
}

/// Why a caller may or may not have an identity: the value of a metric label, and never whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DecisionReason {
    /// It is root of the node.
    Root,
    /// The identity is of its own pod.
    OwnPod,
    /// It may read the file.
    Readers,
    /// A rule names its user.
    User,
    /// A rule names a group of its.
    Group,
    /// A rule names its unit.
    Unit,
    /// A rule names its pod.
    Pod,
    /// It cannot be seen, and may say what it serves to an observer.
    Unattested,
    /// It may not read the file, or not search a directory on the way to it.
    NotAReader,
    /// It lives in another user namespace, so its user is not known here.
    UnknownUser,
    /// It sees other files than the node does, or with other users.
    OtherView,
    /// The file is on a file system of which it cannot be told who may read there.
    FileSystem,
    /// The file is not there.
    Missing,
    /// The file system did not answer in time.
    Unanswered,
    /// Looking at the file failed otherwise.
    Failed,
    /// No rule names it.
    NotNamed,
    /// The identity is of another pod.
    OtherPod,
    /// It cannot be told where the caller belongs.
    Unclear,
    /// It ended, changed, or cannot be seen.
    Gone,
    /// There is no such identity for it.
    UnknownName,
}

impl DecisionReason {
    /// Every reason.
    pub(crate) const ALL: [Self; 20] = [
        Self::Root,
        Self::OwnPod,
        Self::Readers,
        Self::User,
        Self::Group,
        Self::Unit,
        Self::Pod,
        Self::Unattested,
        Self::NotAReader,
        Self::UnknownUser,
        Self::OtherView,
        Self::FileSystem,
        Self::Missing,
        Self::Unanswered,
        Self::Failed,
        Self::NotNamed,
        Self::OtherPod,
        Self::Unclear,
        Self::Gone,
        Self::UnknownName,
    ];

    /// Whether the caller may have the identity.
    #[must_use]
    pub(crate) fn allows(self) -> bool {
        use DecisionReason::{Group, OwnPod, Pod, Readers, Root, Unattested, Unit, User};
        matches!(self, Root | OwnPod | Readers | User | Group | Unit | Pod | Unattested)
    }

    /// The metric label.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::OwnPod => "own_pod",
            Self::Readers => "readers",
            Self::User => "user",
            Self::Group => "group",
            Self::Unit => "unit",
            Self::Pod => "pod",
            Self::Unattested => "unattested",
            Self::NotAReader => "not_a_reader",
            Self::UnknownUser => "unknown_user",
            Self::OtherView => "other_view",
            Self::FileSystem => "file_system",
            Self::Missing => "missing",
            Self::Unanswered => "unanswered",
            Self::Failed => "failed",
            Self::NotNamed => "not_named",
            Self::OtherPod => "other_pod",
            Self::Unclear => "unclear",
            Self::Gone => "gone",
            Self::UnknownName => "unknown_name",
        }
    }
}
