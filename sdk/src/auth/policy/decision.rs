//! What a policy decides.

use std::sync::Arc;

use tonic::Code;

/// Whether a call may be made, why, and what is to be told of it: to those who run the service, never to the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub(super) is_allowed: bool,
    pub(super) code: Code,
    pub(super) policy: Arc<str>,
    pub(super) rule: Option<Arc<str>>,
    pub(super) dry_run: Option<DryRun>,
    pub(super) is_audited: bool,
}

/// What would have been decided otherwise but for a dry run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    pub(super) is_allowed: bool,
    pub(super) policy: Arc<str>,
    pub(super) rule: Option<Arc<str>>,
}

impl Decision {
    /// About a call that this policy is not asked about.
    pub(super) fn exempt(policy: Arc<str>) -> Self {
        Self { is_allowed: true, code: Code::Ok, policy, rule: None, dry_run: None, is_audited: false }
    }

    /// Whether the call may be made.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.is_allowed
    }

    /// The status to answer: `Ok` for what is allowed, `Unauthenticated` where a certificate or token that the caller did not bring could
    /// have changed it, and otherwise `PermissionDenied`.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// The name of the policy that decided.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// The name of the rule that decided; `None` where no rule fits.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// What would have been decided but for a dry run, where that is another decision.
    #[must_use]
    pub fn dry_run(&self) -> Option<&DryRun> {
        self.dry_run.as_ref()
    }

    /// Whether the policy wants it audited.
    #[must_use]
    pub fn is_audited(&self) -> bool {
        self.is_audited
    }
}

impl DryRun {
    /// Whether the call would have been allowed.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.is_allowed
    }

    /// The name of the policy that would have decided.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// The name of the rule that would have; `None` where none fits.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }
}
