//! What is wrong with a configuration: where, and what to write instead.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use evercert_core::identity::{IdentityName, InvalidName};
use evercert_core::spec::UnknownUsage;
use toml::Spanned;

use super::pattern::PatternError;
use crate::attest::RuleError;

/// How like a known key an unknown one has to be to be taken for it, of 1.
const LIKENESS: f64 = 0.7;

/// A configuration that is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// There is no reading it.
    #[error("cannot read the configuration {}: {source}; `evercertd config` prints one to start from", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A setting makes no sense.
    #[error("{file}:{place}: {problem}", file = file.display())]
    Invalid {
        /// The file.
        file: PathBuf,
        /// Where in it.
        place: Place,
        /// What is wrong, and what to write instead.
        problem: Box<Problem>,
    },
}

/// A line and column of a file, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    line: usize,
    column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Problem {
    /// A key that there is not.
    #[error("unknown key `{key}`; {}", advice(nearest.as_deref(), known))]
    UnknownKey {
        /// The key.
        key: String,
        /// The known key it looks like.
        nearest: Option<String>,
        /// What is known there.
        known: Vec<String>,
    },
    /// Anything that TOML or the type of a setting does not allow.
    #[error("{}{message}", key.iter().map(|key| format!("`{key}`: ")).collect::<String>())]
    Toml {
        /// The key, where the error is in a line that sets one.
        key: Option<String>,
        /// What the parser says.
        message: String,
    },
    /// A path that depends on where the daemon was started.
    #[error("`{key}` is the relative path {path:?}; write an absolute one, starting with /")]
    RelativePath {
        /// The key.
        key: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// A relative name with nothing to be relative to.
    #[error(
        "`{key}` is the relative name {path:?}, but there is no `path` it could be in; write an absolute path, or add `path`"
    )]
    NoDirectory {
        /// The key.
        key: &'static str,
        /// The name.
        path: PathBuf,
    },
    /// A relative name that leads out of its directory.
    #[error(
        "`{key}` is {path:?}; beside `path` write the name of one file in it, such as {example:?}, or an absolute path without `path`"
    )]
    NotAFileName {
        /// The key.
        key: &'static str,
        /// What was written.
        path: PathBuf,
        /// A name that would do.
        example: &'static str,
    },
    /// Two ways to say where a file is.
    #[error(
        "`path` is {path:?} and `{key}` is absolute: they contradict each other; keep `path` and write `{key}` as a file name \
         in it, or remove `path`"
    )]
    PathAndAbsolute {
        /// The key.
        key: &'static str,
        /// The value of `path`.
        path: PathBuf,
    },
    /// A file with key and chain, and files of their own besides.
    #[error(
        "`path` is {path:?}, one file with key and chain, and `{key}` names another: they contradict each other; remove \
         `{key}`, or let `path` be the directory of both"
    )]
    FileAndKey {
        /// The key.
        key: &'static str,
        /// The value of `path`.
        path: PathBuf,
    },
    /// Half a credential.
    #[error(
        "`{present}` is set without `{absent}`; set both, or only `path`: a directory with tls.crt and tls.key, or one file \
         with key and chain"
    )]
    HalfACredential {
        /// The key that is there.
        present: &'static str,
        /// The key that is not.
        absent: &'static str,
    },
    /// Neither credential nor bundle.
    #[error("the identity {0:?} names no file; set `path` to the directory of its tls.crt, tls.key and ca.crt")]
    NoFiles(String),
    /// Demands on a leaf that there is not.
    #[error("`{0}` is a demand on a leaf, but this identity only has a `bundle`; remove `{0}`, or set `path`")]
    NoLeaf(&'static str),
    /// Revocations of peers that nobody vouches for.
    #[error("`{0}` is about peers, but this identity trusts nobody; add a `bundle`, or remove `{0}`")]
    NobodyTrusted(&'static str),
    /// One file in a list twice.
    #[error("`{key}` holds {path:?} twice; remove one")]
    FileTwice {
        /// The key.
        key: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// No name of a trust domain.
    #[error(
        "`federated` names {0:?}, which is no trust domain: write lowercase letters, digits, '.', '-' and '_', without spiffe:// \
         and path, such as \"partner.example.org\""
    )]
    TrustDomain(String),
    /// The own trust domain as a foreign one.
    #[error(
        "`federated` names {0:?}, which by `uris` is this identity's own trust domain; whom that trusts is in `bundle`"
    )]
    OwnTrustDomain(String),
    /// Two identities of one name.
    #[error("the name {name:?} is used twice, first on line {first}; names are unique on a node: rename or remove one")]
    NameTwice {
        /// The name.
        name: IdentityName,
        /// Where it was used first: a byte offset until the place is known, then a line.
        first: usize,
    },
    /// No identity name.
    #[error("`name`: {0}")]
    Name(#[from] InvalidName),
    /// No usage.
    #[error("`usages`: {0}")]
    Usage(#[from] UnknownUsage),
    /// No IP address.
    #[error("`ip_addresses` holds {0:?}, which is no IP address; write one such as \"192.0.2.1\" or \"2001:db8::1\"")]
    IpAddress(String),
    /// An empty or padded name.
    #[error("`{key}` holds {value:?}; write a name without blanks, or remove it")]
    Blank {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
    },
    /// A number or span outside of its bounds.
    #[error("`{key}` is out of range; write a value from {least} to {most}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// The least value.
        least: &'static str,
        /// The greatest value.
        most: &'static str,
    },
    /// A name that only a volume of a pod can have.
    #[error("`name` is \"{0}\"; only the names of directories in volumes of pods hold a '/': write another character")]
    SlashInName(IdentityName),
    /// No rule of access that is understood.
    #[error("`allow`: {0}")]
    Rule(#[from] RuleError),
    /// One rule of access twice.
    #[error("`allow` holds \"{0}\" twice; remove one")]
    RuleTwice(String),
    /// No one allowed.
    #[error("`allow` is empty: nobody could use the identity; write allow = [\"readers\"], or remove the key")]
    AllowNobody,
    /// No address.
    #[error("`listen` is {0:?}; write an IP address and a port, such as \"127.0.0.1:9793\", or \"off\"")]
    Listen(String),
    /// No level, nor directives.
    #[error("`level` is {0}")]
    Level(String),
    /// A table where a list of tables is meant.
    #[error("`[identity]` is one of a list; write [[identity]]")]
    NotAList,
    /// A path that no socket can have.
    #[error("`{key}` has {bytes} bytes, too many for a socket's path: the kernel allows 107; write a shorter one")]
    LongSocket {
        /// The key.
        key: &'static str,
        /// The length of the path.
        bytes: usize,
    },
    /// Neither a file of a volume nor one of the node.
    #[error(
        "`bundle` is {0:?}; write a file of another volume of the same pod, such as \"trust/ca.crt\", or an absolute path of the node"
    )]
    PodBundle(PathBuf),
    /// Demands on what is ignored.
    #[error("`ignore = true` and `{0}` contradict each other; remove one")]
    IgnoreAnd(&'static str),
    /// One path for both sockets.
    #[error("`admin` and `agent` are the same path; give each socket a path, in directories of their own")]
    SameSocket,
    /// A share above the whole.
    #[error("`{per_caller}` is {share}, more than the {whole} of `{key}`; lower it, or raise `{key}`")]
    ShareAboveWhole {
        /// The key of the share.
        per_caller: &'static str,
        /// Its value.
        share: u32,
        /// The key of the whole.
        key: &'static str,
        /// Its value.
        whole: u32,
    },
    /// No pattern of directories.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// A configuration's text and where it is from, to place errors in.
pub(super) struct Document<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

impl Document<'_> {
    /// The error of a setting that makes no sense.
    pub(super) fn problem(&self, problem: Spanned<Problem>) -> ConfigError {
        let place = self.place(problem.span().start);
        let problem = match problem.into_inner() {
            Problem::NameTwice { name, first } => Problem::NameTwice { name, first: self.place(first).line },
            other => other,
        };
        ConfigError::Invalid { file: self.path.to_owned(), place, problem: Box::new(problem) }
    }

    /// The error of the parser.
    pub(super) fn toml(&self, error: &toml::de::Error) -> ConfigError {
        let start = error.span().map_or(0, |span| span.start);
        self.problem(Spanned::new(
            start..start,
            unknown_key(error.message()).unwrap_or_else(|| self.foreign(start, error)),
        ))
    }

    fn foreign(&self, offset: usize, error: &toml::de::Error) -> Problem {
        let start = before(self.text, offset).rfind('\n').map_or(0, |newline| newline + 1);
        let line = self.text[start..].lines().next().unwrap_or_default();
        if line.trim_start().starts_with("[identity]") {
            return Problem::NotAList;
        }
        // Only where the error lies in the value: before the `=` the key itself may be what is wrong.
        let key = line.split_once('=').filter(|(key, _)| start + key.len() < offset).map(|(key, _)| key.trim());
        let key = key.filter(|key| !key.is_empty() && !key.starts_with('#')).map(str::to_owned);
        Problem::Toml { key, message: error.message().to_owned() }
    }

    fn place(&self, offset: usize) -> Place {
        let before = before(self.text, offset);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place { line: before.matches('\n').count() + 1, column: before[start..].chars().count() + 1 }
    }
}

/// `text` up to `offset`, or to the character before it where that is in the middle of one.
fn before(text: &str, offset: usize) -> &str {
    (0..=offset.min(text.len())).rev().find_map(|end| text.get(..end)).unwrap_or_default()
}

/// serde's sentence for an unknown field, taken apart: "unknown field `x`, expected one of `a`, `b`".
fn unknown_key(message: &str) -> Option<Problem> {
    let mut quoted = message.strip_prefix("unknown field ")?.split('`').skip(1).step_by(2).map(str::to_owned);
    let key = quoted.next()?;
    let known: Vec<_> = quoted.collect();
    let likeness = |known: &str| strsim::jaro_winkler(known, &key.to_lowercase().replace('-', "_"));
    let nearest = known.iter().map(|known| (likeness(known), known)).max_by(|a, b| a.0.total_cmp(&b.0));
    let nearest = nearest.filter(|(likeness, _)| *likeness >= LIKENESS).map(|(_, known)| known.clone());
    Some(Problem::UnknownKey { key, nearest, known })
}

fn advice(nearest: Option<&str>, known: &[String]) -> String {
    let known = known.join(", ");
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`? Keys here are: {known}"),
        None => format!("keys here are: {known}"),
    }
}
