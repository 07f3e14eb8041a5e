//! The policy that decides now.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::auth::followed::{FollowError, Followed};
use crate::telemetry::{FileKind, Recorder};

use super::decision::Decision;
use super::descriptors::Descriptors;
use super::document;
use super::error::InvalidPolicy;
use super::notice::Notice;
use super::question::Question;
use super::snapshot::Policy;

/// Decides calls by a policy, as it was last read well. A cheap clone.
#[derive(Debug, Clone)]
pub struct Authorizer(Source);

#[derive(Debug, Clone)]
enum Source {
    Fixed(Arc<Policy>),
    Followed(Arc<Followed<Policy>>),
}

impl Authorizer {
    /// One by a policy that stays.
    pub(super) fn fixed(policy: Policy) -> Self {
        Notice::of(&policy).tell();
        Self(Source::Fixed(Arc::new(policy)))
    }

    /// One by the policy in a file, whatever that becomes.
    pub(super) fn following(path: &Path, descriptors: Option<Descriptors>) -> Result<Self, InvalidPolicy> {
        let read = move |files: &mut _, path: &Path| document::read(files, path, descriptors.as_ref());
        let told = Mutex::new(None);
        let used = move |policy: &Policy| {
            let notice = Some(Notice::of(policy));
            let mut told = told.lock();
            if *told != notice {
                notice.iter().for_each(Notice::tell);
                *told = notice;
            }
        };
        let followed = Followed::open(FileKind::Policy, path, read, used).map_err(|error| match error {
            FollowError::Unusable(error) => error,
            error => InvalidPolicy::Follow(Box::new(error)),
        })?;
        Ok(Self(Source::Followed(Arc::new(followed))))
    }

    /// Whether this call may be made. It neither waits nor reads a file.
    #[must_use]
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        match &self.0 {
            Source::Fixed(policy) => policy.decide(question),
            Source::Followed(followed) => followed.current().decide(question),
        }
    }

    /// The policy as it is now, which does not change any more.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        match &self.0 {
            Source::Fixed(policy) => Arc::clone(policy),
            Source::Followed(followed) => Arc::clone(&followed.current()),
        }
    }

    /// Has this recorder told of each time that the file is read again; the first one that is given stays.
    pub(crate) fn record_to(&self, recorder: Arc<dyn Recorder>) {
        if let Source::Followed(followed) = &self.0 {
            followed.record_to(recorder);
        }
    }
}
