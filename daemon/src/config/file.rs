//! The configuration as it is written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use toml::Spanned;

use super::duration::{RenewBefore, Span};
use super::http::PageAt;
use super::kubelet;
use super::limits::Limits;
use super::log::Log;
use super::pattern::DEFAULT_DIRECTORIES;
use super::spanned::unwritten;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) watch: Watch,
    pub(super) sockets: Sockets,
    pub(super) state: State,
    pub(super) http: Http,
    pub(super) log: Log,
    pub(super) process: Process,
    pub(super) limits: Limits,
    pub(super) identity: Vec<Identity>,
    pub(super) mode: Mode,
    pub(super) kubelet: Kubelet,
    pub(super) pods: Vec<PodRule>,
}

/// The daemon's purpose.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// It hands keys to those who may have them.
    #[default]
    Publisher,
    /// It hands keys to nobody and keeps none.
    Observer,
}

impl Mode {
    /// As it is written.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::Observer => "observer",
        }
    }
}

/// `[kubelet]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Kubelet {
    pub(super) directory: Spanned<PathBuf>,
    pub(super) logs: Spanned<PathBuf>,
    pub(super) csi_drivers: Vec<Spanned<String>>,
    pub(super) cgroup_prefixes: Vec<String>,
}

impl Default for Kubelet {
    fn default() -> Self {
        let default = kubelet::Kubelet::default();
        Self {
            directory: unwritten(default.directory),
            logs: unwritten(default.logs),
            csi_drivers: default.csi_drivers.into_iter().map(unwritten).collect(),
            cgroup_prefixes: default.cgroup_prefixes,
        }
    }
}

/// One `[[pods]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PodRule {
    pub(super) namespace: Option<Spanned<String>>,
    pub(super) volume: Option<Spanned<String>>,
    pub(super) ignore: Option<Spanned<bool>>,
    pub(super) bundle: Option<Spanned<PathBuf>>,
    pub(super) overlap: Option<Spanned<Span>>,
    #[serde(default)]
    pub(super) usages: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) dns_names: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) ip_addresses: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) uris: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) admission: Admission,
    pub(super) require_chain: Option<bool>,
    pub(super) renew_before: Option<Spanned<RenewBefore>>,
    pub(super) max_lifetime: Option<Spanned<Span>>,
    pub(super) clock_skew: Option<Spanned<Span>>,
    #[serde(default)]
    pub(super) severities: BTreeMap<Spanned<String>, Spanned<Severity>>,
    /// Known so that it is told why it cannot be said here.
    pub(super) serves: Option<Spanned<IgnoredAny>>,
}

impl PodRule {
    /// The expectations of the credential.
    pub(super) fn expectations(&self) -> WrittenExpectations<'_> {
        WrittenExpectations {
            usages: &self.usages,
            dns_names: &self.dns_names,
            ip_addresses: &self.ip_addresses,
            uris: &self.uris,
            admission: self.admission,
            require_chain: self.require_chain,
            renew_before: self.renew_before.as_ref(),
            max_lifetime: self.max_lifetime.as_ref(),
            clock_skew: self.clock_skew.as_ref(),
            severities: &self.severities,
        }
    }
}

/// The expectations of a credential, as they are written.
pub(super) struct WrittenExpectations<'a> {
    pub(super) usages: &'a [Spanned<String>],
    pub(super) dns_names: &'a [Spanned<String>],
    pub(super) ip_addresses: &'a [Spanned<String>],
    pub(super) uris: &'a [Spanned<String>],
    pub(super) admission: Admission,
    pub(super) require_chain: Option<bool>,
    pub(super) renew_before: Option<&'a Spanned<RenewBefore>>,
    pub(super) max_lifetime: Option<&'a Spanned<Span>>,
    pub(super) clock_skew: Option<&'a Spanned<Span>>,
    pub(super) severities: &'a BTreeMap<Spanned<String>, Spanned<Severity>>,
}

/// One `[[identity]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    pub(super) name: Spanned<String>,
    pub(super) path: Option<Spanned<PathBuf>>,
    pub(super) chain: Option<Spanned<PathBuf>>,
    pub(super) key: Option<Spanned<PathBuf>>,
    pub(super) bundle: Option<Spanned<PathBuf>>,
    pub(super) crls: Option<Vec<Spanned<PathBuf>>>,
    #[serde(default)]
    pub(super) federated: BTreeMap<Spanned<String>, Spanned<PathBuf>>,
    pub(super) overlap: Option<Spanned<Span>>,
    #[serde(default)]
    pub(super) usages: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) dns_names: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) ip_addresses: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) uris: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) admission: Admission,
    pub(super) require_chain: Option<bool>,
    pub(super) renew_before: Option<Spanned<RenewBefore>>,
    pub(super) max_lifetime: Option<Spanned<Span>>,
    pub(super) clock_skew: Option<Spanned<Span>>,
    #[serde(default)]
    pub(super) severities: BTreeMap<Spanned<String>, Spanned<Severity>>,
    pub(super) allow: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    pub(super) serves: Vec<Spanned<String>>,
}

impl Identity {
    /// The expectations of the credential.
    pub(super) fn expectations(&self) -> WrittenExpectations<'_> {
        WrittenExpectations {
            usages: &self.usages,
            dns_names: &self.dns_names,
            ip_addresses: &self.ip_addresses,
            uris: &self.uris,
            admission: self.admission,
            require_chain: self.require_chain,
            renew_before: self.renew_before.as_ref(),
            max_lifetime: self.max_lifetime.as_ref(),
            clock_skew: self.clock_skew.as_ref(),
            severities: &self.severities,
        }
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Admission {
    #[default]
    Enforce,
    Observe,
}

/// The severity of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Info,
    Warn,
    Reject,
}

/// One entry of `directories`.
#[derive(Debug)]
pub(super) enum Directories {
    /// A pattern alone.
    Path(String),
    /// One with more to say.
    Table(DirectoriesTable),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DirectoriesTable {
    pub(super) path: Spanned<String>,
    pub(super) allow: Option<Vec<Spanned<String>>>,
}

impl<'de> Deserialize<'de> for Directories {
    // Not an untagged enum: that forgets where an error is.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;
        impl<'de> Visitor<'de> for Entry {
            type Value = Directories;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path, or a table of `path` and `allow`")
            }

            fn visit_str<E: de::Error>(self, path: &str) -> Result<Directories, E> {
                Ok(Directories::Path(path.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Directories, A::Error> {
                DirectoriesTable::deserialize(MapAccessDeserializer::new(map)).map(Directories::Table)
            }
        }
        deserializer.deserialize_any(Entry)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Watch {
    pub(super) directories: Vec<Spanned<Directories>>,
    pub(super) tick: Spanned<Span>,
}

impl Default for Watch {
    fn default() -> Self {
        let tick = Span(evercert_core::keeper::KeeperSettings::TICK);
        Self { directories: vec![unwritten(Directories::Path(DEFAULT_DIRECTORIES.to_owned()))], tick: unwritten(tick) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Sockets {
    pub(super) agent: Spanned<PathBuf>,
    pub(super) admin: Spanned<PathBuf>,
}

impl Default for Sockets {
    fn default() -> Self {
        Self {
            agent: unwritten("/run/evercert/agent/agent.sock".into()),
            admin: unwritten("/run/evercert-admin/admin.sock".into()),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct State {
    pub(super) directory: Option<Spanned<PathBuf>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http {
    pub(super) listen: Spanned<String>,
    pub(super) identity: Option<Spanned<String>>,
    pub(super) client_certificates: Option<Spanned<bool>>,
    pub(super) probes: Option<Spanned<String>>,
    pub(super) metrics_limit: Spanned<u32>,
    pub(super) page: Spanned<PageAt>,
}

impl Default for Http {
    fn default() -> Self {
        let listen = unwritten("127.0.0.1:9793".to_owned());
        let (metrics_limit, page) = (unwritten(50_000), unwritten(PageAt::Loopback));
        Self { listen, identity: None, client_certificates: None, probes: None, metrics_limit, page }
    }
}

/// The process as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Process {
    /// Whether core dumps, and debuggers of the same user, may have the process' memory.
    pub(crate) dumpable: bool,
    /// Whether the process' memory is kept from being swapped out.
    pub(crate) lock_memory: bool,
}
