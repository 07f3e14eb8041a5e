//! The configuration as it is written.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::duration::Span;
use super::error::Problem;
use super::limits::Limits;
use crate::logging;

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

/// What the daemon is for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// It hands keys to those who may have them.
    #[default]
    Publisher,
    /// It hands keys to nobody and keeps none.
    Observer,
}

/// Where the kubelet's directories are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Kubelet {
    /// The pods' directory; empty: no pods.
    pub(crate) directory: PathBuf,
    /// Where the names of pods are told by those of their log directories; empty: nowhere.
    pub(crate) logs: PathBuf,
    /// The CSI drivers whose volumes are looked at.
    pub(crate) csi_drivers: Vec<String>,
    /// What may stand before `kubepods` in the path of a control group.
    pub(crate) cgroup_prefixes: Vec<String>,
}

impl Default for Kubelet {
    fn default() -> Self {
        Self {
            directory: "/var/lib/kubelet/pods".into(),
            logs: "/var/log/pods".into(),
            csi_drivers: vec!["csi.cert-manager.io".to_owned(), "spiffe.csi.cert-manager.io".to_owned()],
            cgroup_prefixes: Vec::new(),
        }
    }
}

/// One `[[pods]]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PodRule {
    /// The namespace, with the wildcards * and ?; absent: any.
    pub(crate) namespace: Option<String>,
    /// The volume, or the volume and the directory in it, with the wildcards; absent: any.
    pub(crate) volume: Option<String>,
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
    pub(super) renew_before: Option<Spanned<Span>>,
    pub(super) clock_skew: Option<Spanned<Span>>,
    #[serde(default)]
    pub(super) allow: Option<Vec<Spanned<String>>>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Admission {
    #[default]
    Enforce,
    Observe,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Watch {
    pub(super) directories: Vec<Spanned<String>>,
    pub(super) tick: Spanned<Span>,
}

impl Default for Watch {
    fn default() -> Self {
        let tick = Span(evercert_core::keeper::KeeperSettings::TICK);
        Self { directories: vec![unwritten("/etc/evercert/certs/*".to_owned())], tick: unwritten(tick) }
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
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: unwritten("127.0.0.1:9793".to_owned()) }
    }
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    level: Spanned<String>,
    /// How it looks.
    pub(crate) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: unwritten("info".to_owned()), format: LogFormat::Text }
    }
}

impl Log {
    /// What is logged, as the directives of `tracing-subscriber`'s `EnvFilter`.
    pub(crate) fn level(&self) -> &str {
        self.level.get_ref()
    }

    pub(super) fn check(&self) -> Result<Self, Spanned<Problem>> {
        match logging::filter(self.level()) {
            Ok(_) => Ok(self.clone()),
            Err(error) => Err(super::at(&self.level, Problem::Level(error.to_string()))),
        }
    }
}

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The process as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Process {
    /// Whether core dumps, and debuggers of the same user, may have the process' memory.
    pub(crate) dumpable: bool,
}

/// A default, which stands nowhere in the file.
pub(super) fn unwritten<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}
