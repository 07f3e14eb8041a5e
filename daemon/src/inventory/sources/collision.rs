//! Two identities of one name.

use std::path::PathBuf;

use evercert_core::finding::{Check, Finding, Severity};
use evercert_core::identity::IdentityId;
use evercert_core::text;

/// An identity that is left out because its name is taken: a finding on the identity that stays, whenever it is found, and no
/// concern of the others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "two identities are named {}: the one of {} stays, and the directory {} is left out; names are unique on a node: rename one, or leave it \
     out of `directories` in [watch]", id.name, text::path(kept), text::path(other)
)]
pub(crate) struct Collision {
    /// The identity that has the name.
    pub(crate) id: IdentityId,
    /// A file of it.
    pub(crate) kept: PathBuf,
    /// The directory that is left out.
    pub(crate) other: PathBuf,
}

impl Collision {
    /// The finding for the identity that stays.
    pub(super) fn finding(&self) -> Finding {
        let other = text::path(&self.other);
        let sentence =
            format!("the directory {other} would be an identity of the same name and is left out; rename one of them");
        Finding::new(Check::NameCollision, Severity::Warn, sentence).in_file(&self.kept).found(other)
    }
}
