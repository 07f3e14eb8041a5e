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
use super::setting::{Contradiction, Setting};
use super::snapshot::Policy;

/// Decides calls by a policy, as it was last read well. A cheap clone.
#[derive(Debug, Clone)]
pub struct Authorizer {
    policy: InForce,
    /// What is read is held against it before it decides.
    setting: Arc<Mutex<Setting>>,
}

#[derive(Debug, Clone)]
enum InForce {
    Fixed(Arc<Policy>),
    Followed(Arc<Followed<Policy>>),
}

impl Authorizer {
    /// One by a policy that stays.
    pub(super) fn fixed(policy: Policy, setting: Setting) -> Result<Self, InvalidPolicy> {
        policy.fits(setting)?;
        Notice::of(&policy).tell();
        Ok(Self { policy: InForce::Fixed(Arc::new(policy)), setting: Arc::new(Mutex::new(setting)) })
    }

    /// One by the policy in a file, whatever that becomes.
    pub(super) fn following(
        path: &Path,
        descriptors: Option<Descriptors>,
        setting: Setting,
    ) -> Result<Self, InvalidPolicy> {
        let setting = Arc::new(Mutex::new(setting));
        let held = Arc::clone(&setting);
        let read = move |files: &mut _, path: &Path| {
            let policy = document::read(files, path, descriptors.as_ref())?;
            let setting = *held.lock();
            policy.fits(setting)?;
            Ok(policy)
        };
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
        Ok(Self { policy: InForce::Followed(Arc::new(followed)), setting })
    }

    /// Whether this call may be made. It neither waits nor reads a file.
    #[must_use]
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        match &self.policy {
            InForce::Fixed(policy) => policy.decide(question),
            InForce::Followed(policy) => policy.current().decide(question),
        }
    }

    /// The policy as it is now, which does not change any more.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        match &self.policy {
            InForce::Fixed(policy) => Arc::clone(policy),
            InForce::Followed(policy) => Arc::clone(&policy.current()),
        }
    }

    /// Holds the policy, and what it becomes, to a server that asks clients for no certificates.
    ///
    /// # Errors
    ///
    /// It asks for them.
    pub(crate) fn without_certificates(&self) -> Result<(), Contradiction> {
        let setting = {
            let mut setting = self.setting.lock();
            setting.takes_certificates = false;
            *setting
        };
        self.policy().fits(setting)
    }

    /// Has this recorder told of each time that the file is read again; the first one that is given stays.
    pub(crate) fn record_to(&self, recorder: Arc<dyn Recorder>) {
        if let InForce::Followed(policy) = &self.policy {
            policy.record_to(recorder);
        }
    }
}
