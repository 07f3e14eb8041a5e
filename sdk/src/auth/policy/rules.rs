//! Rules that decide, found by the method they are about.

use std::collections::HashMap;
use std::sync::Arc;

use crate::auth::method::Method;

use super::condition::{Condition, Effect, Fit, Proof};
use super::pattern::MethodPattern;
use super::question::Question;

/// Rules, by what they are about. A decision looks at those that are about its method, however many others there are.
#[derive(Debug)]
pub(super) struct Rules {
    all: Box<[Compiled]>,
    by_method: HashMap<Box<str>, Places>,
    by_service: HashMap<Box<str>, Places>,
    everywhere: Places,
}

/// Where rules are in the list of all, those that deny apart from those that allow.
#[derive(Debug, Default)]
struct Places {
    deny: Vec<usize>,
    allow: Vec<usize>,
}

/// A rule, ready to be held against calls.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) name: Arc<str>,
    pub(super) effect: Effect,
    pub(super) is_dry_run: bool,
    /// Whether it is a row of the table of methods, where a method's own stands in place of its service's.
    pub(super) is_row: bool,
    pub(super) methods: Box<[MethodPattern]>,
    /// It fits whoever fits one of them.
    pub(super) alternatives: Box<[Alternative]>,
}

/// Demands that have to hold all together.
#[derive(Debug)]
pub(super) struct Alternative(pub(super) Box<[Condition]>);

/// What rules come to.
#[derive(Debug)]
pub(super) struct Outcome<'a> {
    pub(super) is_allowed: bool,
    /// The rule that decided, if one did.
    pub(super) rule: Option<&'a Arc<str>>,
    /// Whether a proof that is not there could have allowed it.
    pub(super) lacks: Option<Proof>,
    /// The first rule that would have decided but for its dry run.
    pub(super) dry_run: Option<&'a Compiled>,
}

impl Alternative {
    /// No demands.
    pub(super) fn anyone() -> Self {
        Self(Box::default())
    }

    pub(super) fn fit(&self, question: &Question<'_>, effect: Effect) -> Fit {
        let mut fit = Fit::Fits;
        for condition in &self.0 {
            match condition.fit(question, effect) {
                Fit::Differs => return Fit::Differs,
                Fit::Lacks(proof) => fit = Fit::Lacks(proof),
                Fit::Fits => {}
            }
        }
        fit
    }
}

impl Compiled {
    /// How it fits a caller; its methods are those of the call already.
    pub(super) fn fit(&self, question: &Question<'_>) -> Fit {
        let mut fit = Fit::Differs;
        for alternative in &self.alternatives {
            match alternative.fit(question, self.effect) {
                Fit::Fits => return Fit::Fits,
                Fit::Lacks(proof) => fit = Fit::Lacks(proof),
                Fit::Differs => {}
            }
        }
        fit
    }

    /// Whether one of its callers needs to prove nothing, nor anything else about a call.
    pub(super) fn is_for_anyone(&self) -> bool {
        self.alternatives.iter().any(|alternative| alternative.0.is_empty())
    }

    /// Whether some callers get by without a proof.
    pub(super) fn is_public(&self) -> bool {
        let needs_none = |alternative: &Alternative| alternative.0.iter().all(|condition| condition.proof().is_none());
        self.alternatives.iter().any(needs_none)
    }
}

impl Rules {
    pub(super) fn new(all: Box<[Compiled]>) -> Self {
        let mut rules =
            Self { by_method: HashMap::new(), by_service: HashMap::new(), everywhere: Places::default(), all };
        for (place, rule) in rules.all.iter().enumerate() {
            for method in &rule.methods {
                let places = match method {
                    MethodPattern::Method(path) => rules.by_method.entry(path.clone()).or_default(),
                    MethodPattern::Service(service) => rules.by_service.entry(service.clone()).or_default(),
                    MethodPattern::All => &mut rules.everywhere,
                };
                match rule.effect {
                    Effect::Deny => places.deny.push(place),
                    Effect::Allow => places.allow.push(place),
                }
            }
        }
        rules
    }

    pub(super) fn all(&self) -> &[Compiled] {
        &self.all
    }

    /// Those about a method: what names it comes before what names its service, and that before what is about all.
    pub(super) fn about<'a>(&'a self, method: Method<'_>, effect: Effect) -> impl Iterator<Item = &'a Compiled> {
        let of_effect = move |places: &'a Places| match effect {
            Effect::Deny => &*places.deny,
            Effect::Allow => &*places.allow,
        };
        let at = |places: &'a [usize]| places.iter().filter_map(|place| self.all.get(*place));
        let own = self.by_method.get(method.path()).map_or(&[][..], of_effect);
        let of_service = self.by_service.get(method.service()).map_or(&[][..], of_effect);
        let has_row = at(own).any(|rule| rule.is_row);
        at(own)
            .chain(at(of_service).filter(move |rule| !(has_row && rule.is_row)))
            .chain(at(of_effect(&self.everywhere)))
    }

    /// The methods of a service that have rows of their own beside its row.
    pub(super) fn rows_beside(&self, row: &Compiled) -> Vec<&str> {
        let [MethodPattern::Service(service)] = &*row.methods else { return Vec::new() };
        let is_beside = |path: &&str| Method::of_path(path).is_some_and(|method| method.service() == &**service);
        let rows = self.all.iter().filter(|rule| row.is_row && rule.is_row);
        let paths = rows.flat_map(|rule| &rule.methods).filter_map(|pattern| match pattern {
            MethodPattern::Method(path) => Some(&**path),
            _ => None,
        });
        paths.filter(is_beside).collect()
    }

    /// Whether a rule allows this path to someone.
    pub(super) fn may_allow(&self, path: &str) -> bool {
        Method::of_path(path).is_some_and(|method| self.about(method, Effect::Allow).any(|rule| !rule.is_dry_run))
    }

    /// Any rule that denies comes first, then any that allows.
    pub(super) fn decide(&self, method: Method<'_>, question: &Question<'_>) -> Outcome<'_> {
        let mut outcome = Outcome { is_allowed: false, rule: None, lacks: None, dry_run: None };
        for rule in self.about(method, Effect::Deny) {
            if rule.fit(question) != Fit::Fits {
                continue;
            }
            if !rule.is_dry_run {
                outcome.rule = Some(&rule.name);
                return outcome;
            }
            outcome.dry_run.get_or_insert(rule);
        }
        for rule in self.about(method, Effect::Allow) {
            match rule.fit(question) {
                Fit::Fits if rule.is_dry_run => _ = outcome.dry_run.get_or_insert(rule),
                Fit::Fits => {
                    // What would have been allowed besides makes no difference.
                    let dry_run = outcome.dry_run.filter(|dry| dry.effect == Effect::Deny);
                    return Outcome { is_allowed: true, rule: Some(&rule.name), lacks: None, dry_run };
                }
                Fit::Lacks(proof) if !rule.is_dry_run => outcome.lacks = Some(proof),
                Fit::Lacks(_) | Fit::Differs => {}
            }
        }
        outcome.dry_run = outcome.dry_run.filter(|dry| dry.effect == Effect::Allow);
        outcome
    }
}
