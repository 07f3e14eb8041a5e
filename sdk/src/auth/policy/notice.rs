//! What an operator has to know of a policy, in the log.

use evercert_core::text;

use super::snapshot::Policy;

/// What is worth a line of the log when a policy is read, and again when it has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Notice {
    policy: String,
    unruled: Option<Box<[String]>>,
    public: Vec<(String, String)>,
    dry_runs: Vec<String>,
    escapes: Vec<String>,
}

impl Notice {
    pub(super) fn of(policy: &Policy) -> Self {
        let public = policy.public().into_iter();
        Self {
            policy: text::word(policy.name()),
            unruled: policy.unruled().map(Into::into),
            public: public.map(|(rule, methods)| (text::word(rule), text::sentence(&methods.join(", ")))).collect(),
            dry_runs: policy.dry_runs().into_iter().map(ToOwned::to_owned).collect(),
            escapes: policy.escapes().iter().map(|escape| text::sentence(&escape.to_string())).collect(),
        }
    }

    pub(super) fn tell(&self) {
        let policy = &self.policy;
        match self.unruled.as_deref() {
            None => tracing::warn!(policy, "names of methods are not checked: no descriptors were given"),
            Some([]) => tracing::info!(policy, "every method has a rule"),
            Some(unruled) => {
                let (count, methods) = (unruled.len(), text::sentence(&unruled.join(", ")));
                tracing::warn!(policy, count, methods, "methods without a rule, which nobody may call");
            }
        }
        for (rule, methods) in &self.public {
            tracing::info!(policy, rule, methods, "public: no proof is asked of who calls");
        }
        for escape in &self.escapes {
            tracing::warn!(policy, escape, "a denial that callers can escape by showing less");
        }
        if !self.dry_runs.is_empty() {
            let names = text::sentence(&self.dry_runs.join(", "));
            tracing::warn!(policy, names, "told and not enforced, as a dry run");
        }
    }
}
