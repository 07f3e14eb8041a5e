//! Errors in a configuration: where, and what to write instead.
//!
//! Nothing that is written in a configuration is ever quoted but names of settings, known ones and what is almost one: it may be a file
//! with a key, or hold one where none belongs. The place says enough.

use std::io;
use std::path::PathBuf;

use evercert_core::document::{self, LineColumn};
use evercert_core::finding::SeverityError;
use evercert_core::identity::NAME_LIMIT;
use evercert_core::spec::UnknownUsage;

use super::pattern::PatternError;
use crate::policy::RuleError;

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
    /// Settings make no sense.
    #[error("{}", problems.iter().map(|problem| format!("{}:{problem}", file.display())).collect::<Vec<_>>().join("\n"))]
    Invalid {
        /// The file.
        file: PathBuf,
        /// What is wrong, in the order of the file.
        problems: Vec<Placed>,
    },
}

/// An error in a setting, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub(crate) struct Placed {
    /// Where in the file.
    pub(super) place: LineColumn,
    /// The problem, and what to write instead.
    pub(super) problem: Problem,
}

/// An error in a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    /// It is not written as it has to be.
    #[error(transparent)]
    Document(#[from] document::Problem),
    /// A path that depends on where the daemon was started.
    #[error("`{key}` is a relative path; write an absolute one, starting with /")]
    RelativePath {
        /// The key.
        key: &'static str,
    },
    /// A relative name with nothing to be relative to.
    #[error("`{key}` is a relative name, but there is no `path` it could be in; write an absolute path, or add `path`")]
    NoDirectory {
        /// The key.
        key: &'static str,
    },
    /// A relative name that leads out of its directory.
    #[error(
        "`{key}` is no name of a file; beside `path` write the name of one file in it, such as {example:?}, or an absolute path without \
         `path`"
    )]
    NotAFileName {
        /// The key.
        key: &'static str,
        /// A name that would do.
        example: &'static str,
    },
    /// Two ways to say where a file is.
    #[error(
        "`path` is set and `{key}` is absolute: they contradict each other; keep `path` and write `{key}` as a file name \
         in it, or remove `path`"
    )]
    PathAndAbsolute {
        /// The key.
        key: &'static str,
    },
    /// A file with key and chain, and files of their own besides.
    #[error(
        "`path` is one file with key and chain, and `{key}` names another: they contradict each other; remove \
         `{key}`, or let `path` be the directory of both"
    )]
    FileAndKey {
        /// The key.
        key: &'static str,
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
    #[error("the identity names no file; set `path` to the directory of its tls.crt, tls.key and ca.crt")]
    NoFiles,
    /// Demands on a leaf that there is not.
    #[error("`{0}` is a demand on a leaf, but this identity only has a `bundle`; remove `{0}`, or set `path`")]
    NoLeaf(&'static str),
    #[error("not where a server listens: write \"host:port\"")]
    Serves,
    #[error("an identity is looked at in at most {0} places: leave the others out")]
    TooManyEndpoints(usize),
    /// Revocations of peers that nobody vouches for.
    #[error("`{0}` is about peers, but this identity trusts nobody; add a `bundle`, or remove `{0}`")]
    NobodyTrusted(&'static str),
    /// One file in a list twice.
    #[error("`{key}` holds this file twice; remove one")]
    FileTwice {
        /// The key.
        key: &'static str,
    },
    /// No name of a trust domain.
    #[error(
        "`federated` holds a name that is no trust domain: write lowercase letters, digits, '.', '-' and '_', without spiffe:// \
         and path, such as \"partner.example.org\""
    )]
    TrustDomain,
    /// The own trust domain as a foreign one.
    #[error("`federated` names what by `uris` is this identity's own trust domain; whom that trusts is in `bundle`")]
    OwnTrustDomain,
    /// Two identities of one name.
    #[error("the name is used twice, first on line {first}; names are unique on a node: rename or remove one")]
    NameTwice {
        /// Where it was used first: a byte offset until the place is known, then a line.
        first: usize,
    },
    /// No identity name.
    #[error(
        "`name` is no identity name: use 1 to {NAME_LIMIT} ASCII letters, digits, '.', '_' or '-', starting with a letter or digit"
    )]
    Name,
    /// No usage.
    #[error("`usages`: {0}")]
    Usage(#[from] UnknownUsage),
    /// No check.
    #[error("`severities` names no check; {}", known_check(*nearest))]
    Check {
        /// The check that it looks like.
        nearest: Option<&'static str>,
    },
    /// A severity that a check cannot have.
    #[error("`severities`: {0}")]
    Severity(#[from] SeverityError),
    /// No IP address.
    #[error("`ip_addresses` holds what is no IP address; write one such as \"192.0.2.1\" or \"2001:db8::1\"")]
    IpAddress,
    /// An empty or padded name.
    #[error("`{key}` holds a name that is empty or has blanks; write one without, or remove it")]
    Blank {
        /// The key.
        key: &'static str,
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
    #[error("`name` holds a '/', as only the names of directories in volumes of pods do; write another character")]
    SlashInName,
    /// No rule of access that is understood.
    #[error("`allow`: {0}")]
    Rule(#[from] RuleError),
    /// One rule of access twice.
    #[error("`allow` holds this rule twice; remove one")]
    RuleTwice,
    /// No one allowed.
    #[error("`allow` is empty: nobody could use the identity; write allow = [\"readers\"], or remove the key")]
    AllowNobody,
    /// No address.
    #[error("`listen` is no address; write an IP address and a port, such as \"127.0.0.1:9793\", or \"off\"")]
    Listen,
    /// No address for probes.
    #[error("`probes` is no address; write an IP address and a port, such as \"0.0.0.0:9794\", or \"off\"")]
    Probes,
    /// Probes and everything else at one address.
    #[error(
        "`probes` and `listen` are the same address; give `probes` a port of its own, or remove it: `listen` answers probes, too"
    )]
    SameAddress,
    /// TLS without a way for probes that know none.
    #[error(
        "`identity` has `listen` speak TLS, which probes of the kubelet's cannot verify; set `probes` to an address for them, such as \
         \"0.0.0.0:9794\", or to \"off\""
    )]
    NoProbes,
    /// Certificates of clients without TLS.
    #[error("`client_certificates` is about TLS, and there is none without `identity`; set `identity`, or remove it")]
    ClientsWithoutTls,
    /// The identity of the HTTP side is none.
    #[error("`identity` of [http] names no identity of this file; write the `name` of an [[identity]]")]
    HttpIdentity,
    /// The identity of the HTTP side has no certificate.
    #[error("`identity` of [http] names an identity that only trusts; write the name of one with a certificate")]
    HttpTrustOnly,
    /// The identity of the HTTP side trusts nobody.
    #[error(
        "`client_certificates` needs a bundle to verify them by, and the identity of [http] has `bundle = \"none\"`; set one"
    )]
    ClientsWithoutBundle,
    /// The page where anybody may be who connects.
    #[error(
        "`page = \"on\"` shows what there is to whoever connects; set `identity` and `client_certificates = true`, or write \"loopback\" or \
         \"off\""
    )]
    PageForAnybody,
    /// No level, nor directives.
    #[error(
        "`level` is no log level; write error, warn, info, debug, trace, or directives such as \"info,evercertd=debug\""
    )]
    Level,
    /// A file of another kind.
    #[error("this is a certificate or key and not a configuration; `evercertd config` prints one to start from")]
    NoConfiguration,
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
        "`bundle` is no file of a volume; write a file of another volume of the same pod, such as \"trust/ca.crt\", an absolute path of \
         the node, or \"none\" for nobody"
    )]
    PodBundle,
    /// Demands on what is ignored.
    #[error("`ignore = true` and `{0}` contradict each other; remove one")]
    IgnoreAnd(&'static str),
    /// Endpoints of many pods.
    #[error(
        "`serves` is for an [[identity]]: an entry of [[pods]] is about volumes of many pods, whose addresses the daemon does not know, as it asks \
         no API server; remove it, and see by the subscribers which pod serves what"
    )]
    PodServes,
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

fn known_check(nearest: Option<&str>) -> String {
    match nearest {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => "`evercertd check --list` has them all".to_owned(),
    }
}
