//! A rule, as it is written.

use serde::Deserialize;
use toml::Spanned;

use super::caller::Caller;
use super::callers::Callers;
use super::list::{List, add, unwritten};

/// A rule with a name: what it allows or denies, and whom.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub(super) name: Spanned<String>,
    pub(super) methods: List,
    pub(super) callers: Option<Spanned<Callers>>,
    #[serde(default)]
    pub(super) dry_run: bool,
}

impl Rule {
    /// A rule of this name, which is unique in a policy and is told in logs and audit events, never to callers. It is for nobody and
    /// about nothing yet.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: unwritten(name.into()), methods: None, callers: None, dry_run: false }
    }

    /// Methods that it is about, beside those given before: `/package.Service/Method`, `/package.Service/*`, or `/*` for all.
    #[must_use]
    pub fn methods<T: Into<String>>(mut self, methods: impl IntoIterator<Item = T>) -> Self {
        add(&mut self.methods, methods);
        self
    }

    /// Those whom it is about. Of several callers it is about each. A rule that denies is about anyone without one, and one that allows
    /// has to have one.
    #[must_use]
    pub fn caller(mut self, caller: Caller) -> Self {
        self.callers.get_or_insert_with(|| unwritten(Callers::default())).get_mut().0.push(unwritten(caller));
        self
    }

    /// Only told, not enforced: what it would allow or deny is logged and counted.
    #[must_use]
    pub fn dry_run(self) -> Self {
        Self { dry_run: true, ..self }
    }
}
