//! A policy of ours, as it is written.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use toml::Spanned;

use super::a43::AuditCondition;
use super::callers::Callers;
use super::list::unwritten;
use super::rule::Rule;

/// The claim that has the roles of a token where nothing else is said.
pub(super) const DEFAULT_ROLES: &str = "roles";

/// The claim that has its scopes (RFC 8693 §4.2).
pub(super) const DEFAULT_SCOPES: &str = "scope";

/// A policy of ours, as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    pub(super) name: Option<Spanned<String>>,
    pub(super) claims: ClaimPaths,
    pub(super) audit: AuditCondition,
    pub(super) dry_run: bool,
    pub(super) include: Vec<Spanned<Include>>,
    pub(super) methods: Methods,
    pub(super) deny: Vec<Spanned<Rule>>,
    pub(super) allow: Vec<Spanned<Rule>>,
}

/// Where tokens have what rules ask for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClaimPaths {
    pub(super) roles: Spanned<String>,
    pub(super) scopes: Spanned<String>,
}

impl Default for ClaimPaths {
    fn default() -> Self {
        Self { roles: unwritten(DEFAULT_ROLES.to_owned()), scopes: unwritten(DEFAULT_SCOPES.to_owned()) }
    }
}

/// A document in gRPC's own form that has to allow a call too.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Include {
    pub(super) file: Spanned<PathBuf>,
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// The table of methods and who may call them.
#[derive(Debug, Clone, Default)]
pub(super) struct Methods(pub(super) Vec<(Spanned<String>, Spanned<Callers>)>);

impl<'de> Deserialize<'de> for Methods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;

        impl<'de> Visitor<'de> for Table {
            type Value = Methods;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of methods")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Methods, A::Error> {
                let mut methods = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    methods.push(entry);
                }
                Ok(Methods(methods))
            }
        }

        deserializer.deserialize_map(Table)
    }
}
