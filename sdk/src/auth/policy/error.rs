//! A policy that is not used, and why.
//!
//! What is quoted of a document is what it names: methods, rules and keys, each in the form that such a name has.

use std::fmt;
use std::path::PathBuf;

use evercert_core::spiffe::{InvalidSpiffeId, InvalidTrustDomain};
use evercert_core::text;

use crate::auth::followed::{FileError, FollowError};

use super::pattern::InvalidMethodPattern;
use super::setting::Contradiction;
use super::{DOCUMENT_LIMIT, INCLUDES_LIMIT, NAME_LIMIT, RULES_LIMIT};

/// A policy that is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPolicy {
    /// One of its files cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no thread to follow its file.
    #[error(transparent)]
    Follow(Box<FollowError<InvalidPolicy>>),
    /// What it says makes no sense; each of these is a fault of its own.
    #[error("{}", sentence(.0))]
    Faults(Vec<Fault>),
    /// It does not go with the server that it is for.
    #[error(transparent)]
    Contradiction(#[from] Contradiction),
    /// What it is to be checked against is no set of descriptors.
    #[error(
        "what the policy is to be checked against is no FileDescriptorSet: {0}; give what protoc writes with --descriptor_set_out, or tonic-prost-build with file_descriptor_set_path"
    )]
    Descriptors(#[from] prost::DecodeError),
}

/// A fault of a policy, and where it is.
#[derive(Debug)]
pub struct Fault {
    /// The document; `None` for what is in no file.
    pub(super) file: Option<PathBuf>,
    /// Where it is in there, where that is known.
    pub(super) place: Option<(usize, usize)>,
    pub(super) problem: Box<Problem>,
}

impl Fault {
    /// Its line and column, each counted from 1, where they are known.
    #[must_use]
    pub fn place(&self) -> Option<(usize, usize)> {
        self.place
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.place) {
            (Some(file), Some((line, column))) => write!(f, "{}:{line}:{column}: ", text::path(file))?,
            (Some(file), None) => write!(f, "{}: ", text::path(file))?,
            (None, Some((line, column))) => write!(f, "line {line}, column {column}: ")?,
            (None, None) => {}
        }
        self.problem.fmt(f)
    }
}

fn sentence(faults: &[Fault]) -> String {
    faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("; ")
}

/// What is wrong in a policy, and what to write instead.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error(transparent)]
    Written(#[from] evercert_core::document::Problem),
    #[error(transparent)]
    A43(#[from] super::a43::InvalidA43),
    #[error(
        "`include` names what does not end in .json, as a policy of gRPC's own form does; rules of ours go into the document itself"
    )]
    IncludeEnding,
    #[error("`include` names two policies that are called {0}; rename one, so that events can tell them apart")]
    IncludeTwice(String),
    #[error("the text has more than {DOCUMENT_LIMIT} bytes, which is more than is read")]
    TooLong,
    #[error("`include` is for policies in files, whose place the names are relative to; use MethodPolicy::file")]
    IncludeInText,
    #[error("is no text; write TOML or YAML, in UTF-8")]
    NotText,
    #[error(
        "its name ends neither in .toml, .yaml or .yml, as a policy of ours does, nor in .json, as one of gRPC's own does; rename it"
    )]
    Ending,
    #[error("rule {rule}: {problem}")]
    InRule { rule: String, problem: Box<Problem> },
    #[error("this is no name: write 1 to {NAME_LIMIT} bytes, without characters that are not seen")]
    Name,
    #[error("two rules are called {name}{}; rename or remove one", lines(.first))]
    RuleTwice { name: String, first: Option<usize> },
    #[error("the rule names no method; list some in `methods`, or write \"/*\" for all")]
    NoMethods,
    #[error(transparent)]
    MethodPattern(#[from] InvalidMethodPattern),
    #[error("`methods` holds {0} twice; remove one")]
    MethodTwice(String),
    #[error(
        "the table `methods` holds {0}: what holds for all methods is for a rule with a name; write it as [[allow]]"
    )]
    AllInTable(&'static str),
    #[error(
        "health checks are answered whoever asks, and no policy is asked about {0}; leave it out, and name grpc.health.v1.Health/List by \
         itself if it is meant"
    )]
    Health(String),
    #[error(
        "it denies {0}, and health checks are answered whoever asks; deny what does not fit grpc.health.v1.Health/Check and Watch"
    )]
    DeniedHealth(String),
    #[error("there is no {kind} {name}{}", did_you_mean(.nearest.as_deref()))]
    Unknown { kind: &'static str, name: String, nearest: Option<String> },
    #[error(
        "it is not said who may call; name `callers`: \"authenticated\", roles, or what a caller has to prove, or \"anyone\" to make it public"
    )]
    NoCallers,
    #[error("`{0}` is empty, so that nobody would fit; name at least one, or remove it")]
    Empty(&'static str),
    #[error("`{0}` holds a text that is empty; write one, or remove it")]
    Blank(&'static str),
    #[error("{0:?} is a word of its own and no role; write callers = {0:?}, without a list")]
    WordInList(&'static str),
    #[error("`spiffe_ids` holds what is neither a SPIFFE ID nor one with \"/*\" at its end, for all beneath it: {0}")]
    SpiffeId(#[from] InvalidSpiffeId),
    #[error(
        "`spiffe_ids` holds a trust domain alone; write \"/*\" behind it for all of its IDs, or use `trust_domains`"
    )]
    NoPath,
    #[error("`trust_domains`: {0}")]
    TrustDomain(#[from] InvalidTrustDomain),
    #[error("`trust_domains` allows none of the `spiffe_ids` beside it, so that nobody would fit; remove one of them")]
    OtherTrustDomain,
    #[error(
        "a namespace means something within its trust domain alone, and another one's may have the same name; name `trust_domains` beside it"
    )]
    Namespace,
    #[error("`dns_names` holds what is no DNS name; write a whole one, such as \"api.example.org\", without wildcards")]
    DnsName,
    #[error("`request_principals` holds what is no ISSUER/SUBJECT, nor ISSUER/* for all of an issuer")]
    RequestPrincipal,
    #[error(
        "`when` has a key that there is not; write request.auth.claims[NAME], source.namespace or request.headers[NAME]"
    )]
    WhenKey,
    #[error("a `when` has to have either `values` or `not_values`")]
    WhenValues,
    #[error("`{0}` is no path to a claim; write names that are separated by dots, such as realm_access.roles")]
    ClaimPath(&'static str),
    #[error("no rule allows anything, so that all calls would be denied; add one")]
    NothingAllowed,
    #[error("{method} can never be allowed: rule {deny} denies it to everybody; remove one of them")]
    NeverAllowed { method: String, deny: String },
    #[error(
        "there are more than {RULES_LIMIT} rules, which is more than are read; put services into policies of their own"
    )]
    TooManyRules,
    #[error("`include` names more than {INCLUDES_LIMIT} documents, which is more than are read")]
    TooManyIncludes,
}

impl Problem {
    /// The same, said of this rule.
    pub(super) fn in_rule(self, rule: &str) -> Self {
        match self {
            Self::InRule { .. } | Self::RuleTwice { .. } => self,
            other => Self::InRule { rule: named(rule), problem: Box::new(other) },
        }
    }
}

/// The name as it is quoted.
pub(super) fn named(name: &str) -> String {
    format!("{:?}", text::word(name))
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(
        || " in the descriptors; write one that is there, or give the descriptors that have it".to_owned(),
        |nearest| format!(" in the descriptors; did you mean {nearest}?"),
    )
}

fn lines(first: &Option<usize>) -> String {
    first.map_or_else(String::new, |line| format!(", the first on line {line}"))
}
