//! Who is calling, and what it may have: what its user and groups may read on disk.

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
