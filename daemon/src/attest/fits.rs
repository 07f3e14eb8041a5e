//! Whether a rule fits a caller.

use super::denial::{NamedOrigin, RuleMismatch, Who};
use crate::callers::{Caller, Origin};
use crate::inventory::pods::PodNames;
use crate::policy::Rule;

/// Whether `rule`, which is not `readers`, names `caller`.
///
/// # Errors
///
/// It does not.
pub(super) fn fits(rule: &Rule, caller: &Caller, pods: &PodNames) -> Result<(), RuleMismatch> {
    let origin = || Who::At(NamedOrigin::of(caller, pods));
    // In a container with the node's users its root may claim to be any; in one with users of its own none is the node's but
    // those it was given. In a pod anyone may claim any.
    let has_account = match caller.origin() {
        Origin::Host { .. } => true,
        Origin::Container => caller.namespaces().has_own_users(),
        Origin::Pod(_) | Origin::Unclear => false,
    };
    let fits = match (rule, caller.origin()) {
        (Rule::User { .. } | Rule::Group { .. }, _) if !has_account => false,
        (Rule::User { uid: None, .. } | Rule::Group { gid: None, .. }, _) => {
            return Err(RuleMismatch::Nobody { rule: rule.clone() });
        }
        (Rule::User { uid: Some(uid), .. }, _) => {
            if caller.is_of_another_user_namespace() {
                return Err(RuleMismatch::UnknownUser { rule: rule.clone(), uid: caller.uid() });
            }
            caller.uid() == *uid
        }
        (Rule::Group { gid: Some(gid), .. }, _) => caller.is_in(*gid),
        (Rule::Unit(wanted), Origin::Host { unit: Some(unit) }) => wanted == unit,
        (Rule::Pod { namespace, name }, Origin::Pod(uid)) => {
            pods.get(uid).is_some_and(|pod| pod.namespace == *namespace && pod.name == *name)
        }
        (Rule::Unit(_) | Rule::Pod { .. } | Rule::Readers, _) => false,
    };
    let is_account = matches!(rule, Rule::User { .. } | Rule::Group { .. }) && has_account;
    match fits {
        true => Ok(()),
        false if is_account => {
            Err(RuleMismatch::Other { rule: rule.clone(), caller: Who::Account(caller.clone().into()) })
        }
        false => Err(RuleMismatch::Other { rule: rule.clone(), caller: origin() }),
    }
}
