//! Why a document is no policy.

use std::fmt;

use evercert_core::text;

use crate::auth::policy::DOCUMENT_LIMIT;

/// A document that is no policy of A43's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidA43 {
    /// It is longer than any that is read.
    #[error("has {length} bytes, and a policy may have {DOCUMENT_LIMIT}: split it")]
    TooLong {
        /// How long it is.
        length: usize,
    },
    /// It is no JSON, or something stands where something else belongs, or is there twice.
    #[error("{}", text::sentence(&.0.to_string()))]
    Json(#[from] serde_json::Error),
    /// It has no name.
    #[error("has no `name`: give it one")]
    NoName,
    /// It allows nothing to anyone.
    #[error("has no `allow_rules`: without one, no call is allowed")]
    NoAllowRules,
    /// A rule has no name.
    #[error("{list}: rule {index}, counted from 0, has no `name`: give it one")]
    RuleWithoutName {
        /// Where it is.
        list: RuleList,
        /// Its place there, counted from 0.
        index: usize,
    },
    /// Two rules of a list have one name: an event could mean either, and grpc-go forgets the first one.
    #[error("{list}: two rules are called {}: give each a name of its own", text::item(.rule))]
    DuplicateRule {
        /// Where they are.
        list: RuleList,
        /// What both are called.
        rule: String,
    },
    /// A header has no key.
    #[error("{list}: rule {}: header {index}, counted from 0, has no `key`", text::item(.rule))]
    HeaderWithoutKey {
        /// Where the rule is.
        list: RuleList,
        /// The rule's name.
        rule: String,
        /// Its place in the rule, counted from 0.
        index: usize,
    },
    /// A header is none that a rule may name: it is of the connection, or of gRPC's own.
    #[error("{list}: rule {}: no rule may ask for the header {}, which is not the caller's to choose", text::item(.rule), text::item(.key))]
    UnsupportedHeader {
        /// Where the rule is.
        list: RuleList,
        /// The rule's name.
        rule: String,
        /// The key.
        key: String,
    },
    /// The key of a header is none that a call could have: the rule would never fit, which a rule that denies must not.
    #[error("{list}: rule {}: {} is not the key of any header", text::item(.rule), text::item(.key))]
    ImpossibleHeader {
        /// Where the rule is.
        list: RuleList,
        /// The rule's name.
        rule: String,
        /// The key.
        key: String,
    },
    /// A header has no values.
    #[error("{list}: rule {}: the header {} has no `values`: for any value, write \"*\"", text::item(.rule), text::item(.key))]
    HeaderWithoutValues {
        /// Where the rule is.
        list: RuleList,
        /// The rule's name.
        rule: String,
        /// The key.
        key: String,
    },
    /// The condition of the audit is none.
    #[error("audit_logging_options: `audit_condition` is {}: use NONE, ON_DENY, ON_ALLOW or ON_DENY_AND_ALLOW", text::item(.condition))]
    UnknownCondition {
        /// What stands there.
        condition: String,
    },
    /// A logger has no name.
    #[error("audit_logging_options: logger {index}, counted from 0, has no `name`")]
    LoggerWithoutName {
        /// Its place, counted from 0.
        index: usize,
    },
    /// A logger is not known, and not optional.
    #[error("audit_logging_options: there is no logger {}: use `stdout_logger`, or set `is_optional`", text::item(.logger))]
    UnknownLogger {
        /// Its name.
        logger: String,
    },
}

/// One of a policy's two lists of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleList {
    /// What is denied, whatever is allowed.
    Deny,
    /// What is allowed.
    Allow,
}

impl fmt::Display for RuleList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deny => "deny_rules",
            Self::Allow => "allow_rules",
        })
    }
}
