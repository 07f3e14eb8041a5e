//! A policy as it was read last.

use std::sync::Arc;

use tonic::Code;

use crate::auth::method::Method;

use super::a43::{A43Policy, AuditCondition, Pattern};
use super::condition::Effect;
use super::decision::{Decision, DryRun};
use super::pattern::MethodPattern;
use super::question::Question;
use super::rules::{Compiled, Rules};

/// A policy as it was read once. It does not change, so that what is decided by it is decided by one version of it.
#[derive(Debug)]
pub struct Policy {
    pub(super) name: Arc<str>,
    /// There are none in a document of gRPC's own form.
    pub(super) rules: Option<Rules>,
    /// Each of them has to allow a call too.
    pub(super) included: Box<[Included]>,
    pub(super) audit: AuditCondition,
    pub(super) is_dry_run: bool,
    /// The methods that nobody may call, for want of a rule; `None` where it is not known which there are.
    pub(super) unruled: Option<Box<[String]>>,
    /// The methods that the descriptors have; none without descriptors.
    pub(super) known: Box<[String]>,
}

/// A document of gRPC's own form.
#[derive(Debug)]
pub(super) struct Included {
    pub(super) policy: A43Policy,
    pub(super) name: Arc<str>,
    pub(super) is_dry_run: bool,
}

/// What one part of a policy says of a call.
struct Verdict {
    is_allowed: bool,
    code: Code,
    policy: Arc<str>,
    rule: Option<Arc<str>>,
}

impl Policy {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this call may be made.
    #[must_use]
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        let missing = question.principal.is_none();
        let code = if missing { Code::Unauthenticated } else { Code::PermissionDenied };
        let Some(method) = Method::of_path(question.path) else {
            // No server has a method of any other form, so there is nothing that a dry run could let through.
            let policy = Arc::clone(&self.name);
            return self.decision(Verdict { is_allowed: false, code, policy, rule: None }, None);
        };
        let (mut verdict, mut dry_run) = self.by_own_rules(method, question, code);
        for included in &self.included {
            if !verdict.is_allowed {
                break;
            }
            let decision = included.policy.decide(question);
            let rule = decision.rule.map(Arc::from);
            match (decision.allowed, included.is_dry_run) {
                (true, _) if self.rules.is_none() => verdict.rule = rule,
                (true, _) => {}
                (false, true) => {
                    _ = dry_run.get_or_insert(DryRun { is_allowed: false, policy: Arc::clone(&included.name), rule })
                }
                // grpc-go answers so whether there is a certificate or none.
                (false, false) => {
                    let (code, policy) = (Code::PermissionDenied, Arc::clone(&included.name));
                    verdict = Verdict { is_allowed: false, code, policy, rule };
                }
            }
        }
        if self.is_dry_run && !verdict.is_allowed && !missing {
            let denied = DryRun { is_allowed: false, policy: verdict.policy, rule: verdict.rule };
            let verdict = Verdict { is_allowed: true, code: Code::Ok, policy: Arc::clone(&self.name), rule: None };
            return self.decision(verdict, Some(denied));
        }
        let dry_run = dry_run.filter(|dry_run| dry_run.is_allowed != verdict.is_allowed);
        self.decision(verdict, dry_run)
    }

    fn by_own_rules(&self, method: Method<'_>, question: &Question<'_>, code: Code) -> (Verdict, Option<DryRun>) {
        let policy = Arc::clone(&self.name);
        let Some(rules) = &self.rules else {
            return (Verdict { is_allowed: true, code: Code::Ok, policy, rule: None }, None);
        };
        let outcome = rules.decide(method, question);
        let dry_run = outcome.dry_run.map(|rule| DryRun {
            is_allowed: rule.effect == Effect::Allow,
            policy: Arc::clone(&self.name),
            rule: Some(Arc::clone(&rule.name)),
        });
        let code = match outcome {
            _ if outcome.is_allowed => Code::Ok,
            _ if outcome.lacks.is_some() => Code::Unauthenticated,
            _ => code,
        };
        (Verdict { is_allowed: outcome.is_allowed, code, policy, rule: outcome.rule.map(Arc::clone) }, dry_run)
    }

    fn decision(&self, verdict: Verdict, dry_run: Option<DryRun>) -> Decision {
        let Verdict { is_allowed, code, policy, rule } = verdict;
        let is_audited = self.audit.concerns(is_allowed)
            || self.included.iter().any(|included| included.policy.audit().concern(is_allowed));
        Decision { is_allowed, code, policy, rule, dry_run, is_audited }
    }

    /// The methods that its rules name, each by itself, and those of the descriptors.
    pub(crate) fn methods(&self) -> impl Iterator<Item = &str> {
        let patterns = self.rules.iter().flat_map(Rules::all).flat_map(|rule| &rule.methods);
        let own = patterns.filter_map(|pattern| match pattern {
            MethodPattern::Method(path) => Some(&**path),
            MethodPattern::Service(_) | MethodPattern::All => None,
        });
        let included = self.included.iter().flat_map(|included| included.policy.paths());
        let included = included.filter_map(|(_, pattern)| match pattern {
            Pattern::Exact(path) => Method::of_path(path).map(Method::path),
            _ => None,
        });
        own.chain(included).chain(self.known.iter().map(String::as_str))
    }

    /// The methods that nobody may call, since no rule allows them to anyone; `None` without descriptors, where it is not known which
    /// methods there are.
    #[must_use]
    pub fn unruled(&self) -> Option<&[String]> {
        self.unruled.as_deref()
    }

    /// The rules that allow something to callers who prove nothing, with the methods that they are about.
    #[must_use]
    pub fn public(&self) -> Vec<(&str, Vec<String>)> {
        let Some(rules) = &self.rules else {
            return self.included.iter().flat_map(|included| included.policy.public()).collect();
        };
        let is_public = |rule: &&Compiled| rule.effect == Effect::Allow && !rule.is_dry_run && rule.is_public();
        let public = rules.all().iter().filter(is_public);
        public.map(|rule| (&*rule.name, rule.methods.iter().map(ToString::to_string).collect())).collect()
    }

    /// What is told and not enforced: rules, included documents, or the policy itself, by name.
    #[must_use]
    pub fn dry_runs(&self) -> Vec<&str> {
        let whole = self.is_dry_run.then_some(&*self.name);
        let rules = self.rules.iter().flat_map(Rules::all).filter(|rule| rule.is_dry_run).map(|rule| &*rule.name);
        let included = self.included.iter().filter(|included| included.is_dry_run).map(|included| &*included.name);
        whole.into_iter().chain(rules).chain(included).collect()
    }

    /// How many rules it has, those of included documents among them.
    #[must_use]
    pub fn rule_count(&self) -> usize {
        let included = self.included.iter().map(|included| included.policy.rules().count()).sum::<usize>();
        self.rules.as_ref().map_or(0, |rules| rules.all().len()) + included
    }
}
