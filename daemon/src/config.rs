//! The configuration file: TOML, refused as a whole when one setting makes no sense.
//!
//! `file` is what a person writes, `identity` and `trust` turn one `[[identity]]` into what the keeper wants, `pods` one `[[pods]]`
//! into a rule. `node` lets serde read TOML, `document` places errors in the text, `error` says what is wrong and what to write instead.
//! `default.toml` documents every key; `evercertd config` prints it.

mod allow;
mod document;
mod duration;
mod endpoint;
mod error;
mod file;
mod glob;
mod http;
mod identity;
mod kubelet;
mod limits;
mod log;
mod pattern;
mod pods;
mod problems;
mod spanned;
mod trust;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use evercert_core::identity::IdentityId;
use evercert_core::spec::IdentitySpec;
use toml::Spanned;

pub(crate) use endpoint::Endpoint;
pub(crate) use error::ConfigError;
pub(crate) use file::{Mode, Process};
pub(crate) use glob::Glob;
pub(crate) use http::{Http, HttpTls, PageAt};
pub(crate) use kubelet::Kubelet;
pub(crate) use limits::Limits;
pub(crate) use log::{InvalidLevel, Log, LogFormat, level_filter};
pub(crate) use pattern::Pattern;
use pattern::PatternError;
pub(crate) use pods::{PodBundle, PodRule, PodSettings};

use crate::policy::Policy;
use document::Document;
use error::Problem;
use problems::Problems;
use spanned::{absolute, at};

/// Why `evercertd config --check` refuses a configuration of this text; absent where it takes it.
#[must_use]
pub fn refusal(text: &str) -> Option<String> {
    Config::parse(Path::new("standard input"), text).err().map(|error| error.to_string())
}

/// Where the configuration is looked for when none is named.
pub(crate) const DEFAULT_FILE: &str = "/etc/evercert/evercertd.toml";

/// The default configuration, with every key documented.
pub(crate) const DEFAULT: &str = include_str!("config/default.toml");

/// The largest configuration file, in bytes.
const FILE_LIMIT: u64 = 16 * 1024 * 1024;

/// The longest path of a socket, in bytes: what the kernel's `sockaddr_un` has room for.
const SOCKET_PATH: usize = 107;

/// The shortest and the longest tick.
const TICK: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(3600)];

/// A configuration that makes sense.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    /// The file it was read from; absent: the defaults.
    pub(crate) file: Option<PathBuf>,
    /// The identities that are named one by one.
    pub(crate) identities: Vec<IdentitySpec>,
    /// Directories each of which is an identity named by its base name.
    pub(crate) directories: Vec<Directories>,
    /// How often every identity is looked at, hints or not.
    pub(crate) tick: Duration,
    /// Where the Unix sockets are.
    pub(crate) sockets: SocketPaths,
    /// Where is kept what has to survive a restart; absent: where the service manager says, else at the default place.
    pub(crate) state: Option<PathBuf>,
    /// Where metrics, liveness and readiness are served.
    pub(crate) http: Http,
    /// The log.
    pub(crate) log: Log,
    /// The process as a whole.
    pub(crate) process: Process,
    /// The limits on callers.
    pub(crate) limits: Limits,
    /// The policies of identities that are named one by one.
    pub(crate) policies: HashMap<IdentityId, Policy>,
    /// Where identities that are named one by one are served, as far as that is to be looked at.
    pub(crate) serves: BTreeMap<IdentityId, Vec<Endpoint>>,
    /// The daemon's purpose.
    pub(crate) mode: Mode,
    /// Where the kubelet's directories are.
    pub(crate) kubelet: Kubelet,
    /// The rules for volumes of pods; the first that fits counts.
    pub(crate) pods: Vec<PodRule>,
}

/// Directories that are identities, and who may have those. The first that means a directory decides.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Directories {
    pub(crate) pattern: Pattern,
    pub(crate) policy: Policy,
}

/// Where the Unix sockets are, as absolute paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SocketPaths {
    /// The workload socket.
    pub(crate) agent: PathBuf,
    /// The admin socket.
    pub(crate) admin: PathBuf,
}

impl Config {
    /// Reads `file`; without one, [`DEFAULT_FILE`] where it exists and the defaults where it does not.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or a setting in it makes no sense.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let unreadable = |source| ConfigError::Unreadable { file: path.to_owned(), source };
        let metadata = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => return Self::defaults(),
            other => other.map_err(unreadable)?,
        };
        if !metadata.is_file() {
            return Err(unreadable(io::Error::other("not a regular file")));
        }
        Self::parse(path, &File::open(path).and_then(bounded).map_err(unreadable)?)
    }

    /// Reads what standard input holds.
    ///
    /// # Errors
    ///
    /// It cannot be read, or a setting in it makes no sense.
    pub(crate) fn from_stdin() -> Result<Self, ConfigError> {
        let path = Path::new("standard input");
        let text = bounded(io::stdin()).map_err(|source| ConfigError::Unreadable { file: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// The configuration without a file.
    ///
    /// # Errors
    ///
    /// None, as a test proves.
    pub(crate) fn defaults() -> Result<Self, ConfigError> {
        Ok(Self { file: None, ..Self::parse(Path::new("the defaults"), "")? })
    }

    /// Reads `text`, the content of `path`.
    ///
    /// # Errors
    ///
    /// A setting in it makes no sense.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let document = Document { path, text };
        let mut problems = Problems::default();
        let file: Option<file::File> = document.read(&mut problems);
        let is_whole = problems.is_empty();
        let config = file.and_then(|file| Self::check(path, &file, is_whole, &mut problems));
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(document.error(problems)),
        }
    }

    /// The settings in which `new` differs that take effect at the start of a daemon alone.
    pub(crate) fn differing(&self, new: &Self) -> Vec<&'static str> {
        let settings = [
            ("[sockets]", new.sockets != self.sockets),
            ("[state]", new.state != self.state),
            ("[http]", new.http != self.http),
            ("[log]", new.log != self.log),
            ("[process]", new.process != self.process),
            ("[limits]", new.limits != self.limits),
            ("cgroup_prefixes of [kubelet]", new.kubelet.cgroup_prefixes != self.kubelet.cgroup_prefixes),
            ("tick of [watch]", new.tick != self.tick),
            ("mode", new.mode != self.mode),
        ];
        settings.into_iter().filter(|(_, differs)| *differs).map(|(setting, _)| setting).collect()
    }

    /// Checks `file`, of which parts are missing where it is not whole: nothing is said then that those may be the cause of.
    fn check(path: &Path, file: &file::File, is_whole: bool, problems: &mut Problems) -> Option<Self> {
        let tick = &file.watch.tick;
        if !(TICK[0]..=TICK[1]).contains(&tick.get_ref().0) {
            problems.add(at(tick, Problem::OutOfRange { key: "tick", least: "100ms", most: "1h" }));
        }
        let agent = problems.note(socket(&file.sockets.agent, "agent"));
        let admin = problems.note(socket(&file.sockets.admin, "admin"));
        if agent.is_some() && agent == admin {
            problems.add(at(&file.sockets.admin, Problem::SameSocket));
        }
        let (identities, policies) = identities(&file.identity, problems);
        let names_all = is_whole && identities.len() == file.identity.len();
        let http = http::http(&file.http, &identities, !file.watch.directories.is_empty() || !names_all);
        let serves = file.identity.iter().map(identity::serves).filter_map(Result::transpose);
        let serves = problems.note_each(serves).into_iter().collect();
        let directories = problems.note_each(file.watch.directories.iter().map(directories));
        let state = file.state.directory.as_ref().map(|path| absolute(path, "directory")).transpose();
        let (http, state) = (problems.note(http), problems.note(state));
        let (log, limits) = (problems.note(file.log.check()), problems.note(file.limits.check()));
        let kubelet = problems.note(pods::kubelet(&file.kubelet));
        let pods = problems.note_each(file.pods.iter().map(pods::rule));
        Some(Self {
            file: Some(path.to_owned()),
            identities,
            directories,
            tick: tick.get_ref().0,
            sockets: SocketPaths { agent: agent?, admin: admin? },
            state: state?,
            http: http?,
            log: log?,
            process: file.process.clone(),
            limits: limits?,
            policies,
            serves,
            mode: file.mode,
            kubelet: kubelet?,
            pods,
        })
    }
}

/// The text of a configuration, which has an end.
fn bounded(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(FILE_LIMIT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_LIMIT {
        return Err(io::Error::other(format!("larger than {FILE_LIMIT} bytes")));
    }
    Ok(text)
}

/// Identities to keep, and their policies.
type Identities = (Vec<IdentitySpec>, HashMap<IdentityId, Policy>);

fn identities(entries: &[file::Identity], problems: &mut Problems) -> Identities {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut specs, mut policies) = (Vec::with_capacity(entries.len()), HashMap::with_capacity(entries.len()));
    for entry in entries {
        if let Some(first) = first.get(entry.name.get_ref().as_str()) {
            problems.add(at(&entry.name, Problem::NameTwice { first: *first }));
        } else {
            first.insert(entry.name.get_ref(), entry.name.span().start);
        }
        let policy = problems.note(allow::policy(entry.allow.as_deref(), &entry.name));
        if let (Some(spec), Some(policy)) = (identity::spec(entry, problems), policy) {
            policies.insert(spec.id.clone(), policy);
            specs.push(spec);
        }
    }
    (specs, policies)
}

fn directories(entry: &Spanned<file::Directories>) -> Result<Directories, Spanned<Problem>> {
    let (path, allow) = match entry.get_ref() {
        file::Directories::Path(path) => (Spanned::new(entry.span(), path.clone()), None),
        file::Directories::Table(table) => (table.path.clone(), table.allow.as_deref()),
    };
    let pattern = Pattern::new(path.get_ref()).map_err(|error| at(&path, Problem::Pattern(error)))?;
    // Whoever writes the directory of many means those in it.
    if matches!(entry.get_ref(), file::Directories::Path(_)) && pattern.literal().is_some() {
        return Err(at(&path, Problem::Pattern(PatternError::NoWildcard)));
    }
    Ok(Directories { pattern, policy: allow::policy(allow, &path)? })
}

fn socket(path: &Spanned<PathBuf>, key: &'static str) -> Result<PathBuf, Spanned<Problem>> {
    match path.get_ref().as_os_str().len() {
        bytes if bytes > SOCKET_PATH => Err(at(path, Problem::LongSocket { key, bytes })),
        _ => absolute(path, key),
    }
}

#[cfg(test)]
mod tests;
