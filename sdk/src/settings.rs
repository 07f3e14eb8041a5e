//! How a service says where its identity comes from.
//!
//! | `EVERCERT_DIR` | `EVERCERT_IDENTITY` | `EVERCERT_SOCKET` | what [`Identity::from_env`](crate::Identity::from_env) gives |
//! |---|---|---|---|
//! | set | any | any | the mount in that directory, whether a daemon runs or not |
//! | unset | set | unset | that identity from the daemon at [`DEFAULT_SOCKET`] |
//! | unset | set | set | that identity from the daemon at that socket |
//! | unset | unset | any | an error that names the two variables |
//!
//! With a directory no key crosses the socket, and the service starts without a daemon. Where there is one, it is told what the service
//! serves, and nothing it answers changes that:
//!
//! | beside `EVERCERT_DIR` | what it means |
//! |---|---|
//! | `EVERCERT_IDENTITY` | the identity's name in logs and status, and the daemon's identity that is reported on; unset: the directory's name, and the one with the same content |
//! | `EVERCERT_SOCKET` | where the daemon is told; unset: [`DEFAULT_SOCKET`] |
//! | `EVERCERT_OBSERVE` | `off`: no daemon is told; `on`, or unset: one is, where there is one |
//! | `EVERCERT_STATE_DIR` | where it is remembered until when the anchors of a replaced `ca.crt` stay trusted; unset, that ends with the process |
//!
//! `EVERCERT_SOCKET_OWNER`, with any socket: the uid that may serve it besides root and the process's own. An empty variable is an
//! unset one.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use evercert_core::identity::InvalidName;

use crate::source::AgentSettings;
#[cfg(feature = "directory")]
use crate::source::DirectorySettings;

/// The names of the environment variables.
pub mod env {
    /// The absolute path of the daemon's workload socket; unset: [`DEFAULT_SOCKET`](super::DEFAULT_SOCKET).
    pub const SOCKET: &str = "EVERCERT_SOCKET";
    /// The name of the identity, as the daemon publishes it.
    pub const IDENTITY: &str = "EVERCERT_IDENTITY";
    /// The directory the certificate is mounted in.
    pub const DIR: &str = "EVERCERT_DIR";
    /// Whether the daemon is told what is served from a directory: `on` or `off`.
    pub const OBSERVE: &str = "EVERCERT_OBSERVE";
    /// The uid, a number, that may serve the socket besides root and this process's own uid.
    pub const SOCKET_OWNER: &str = "EVERCERT_SOCKET_OWNER";
    /// The directory in which a mount's overlap of anchors survives a restart of the process.
    pub const STATE_DIR: &str = "EVERCERT_STATE_DIR";
}

/// Where the daemon's workload socket is unless something else is said.
pub const DEFAULT_SOCKET: &str = "/run/evercert/agent/agent.sock";

/// The source that settings name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    Agent(AgentSettings),
    #[cfg(feature = "directory")]
    Directory(Box<DirectorySettings>),
}

impl Choice {
    /// What the variables that `variable` looks up say; the table of this module.
    pub(crate) fn from_env(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, SettingsError> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let text = |name: &'static str| set(name).map(|value| utf8(name, &value)).transpose();
        if let Some(directory) = set(env::DIR) {
            return Self::directory(PathBuf::from(directory), set);
        }
        let mut settings = AgentSettings::new(text(env::IDENTITY)?.ok_or(SettingsError::NothingSet)?);
        if let Some(socket) = set(env::SOCKET) {
            settings = settings.socket(PathBuf::from(socket));
        }
        if let Some(owner) = text(env::SOCKET_OWNER)? {
            settings = settings.socket_owner(uid(owner)?);
        }
        Ok(Self::Agent(settings))
    }

    #[cfg(feature = "directory")]
    fn directory(directory: PathBuf, set: impl Fn(&'static str) -> Option<OsString>) -> Result<Self, SettingsError> {
        let text = |name: &'static str| set(name).map(|value| utf8(name, &value)).transpose();
        let mut settings = DirectorySettings::new(directory);
        if let Some(state) = set(env::STATE_DIR) {
            settings = settings.state_directory(PathBuf::from(state));
        }
        if let Some(identity) = text(env::IDENTITY)? {
            settings = settings.name(identity);
        }
        if let Some(socket) = set(env::SOCKET) {
            settings = settings.socket(PathBuf::from(socket));
        }
        if let Some(owner) = text(env::SOCKET_OWNER)? {
            settings = settings.socket_owner(uid(owner)?);
        }
        settings = match text(env::OBSERVE)?.as_deref() {
            None | Some("on") => settings,
            Some("off") => settings.observed(false),
            Some(other) => return Err(SettingsError::Observe(other.to_owned())),
        };
        Ok(Self::Directory(Box::new(settings)))
    }

    #[cfg(not(feature = "directory"))]
    fn directory(_: PathBuf, _: impl Fn(&'static str) -> Option<OsString>) -> Result<Self, SettingsError> {
        Err(SettingsError::NoDirectoryFeature)
    }
}

fn utf8(name: &'static str, value: &OsStr) -> Result<String, SettingsError> {
    value.to_str().map(str::to_owned).ok_or(SettingsError::NotUtf8(name))
}

fn uid(text: String) -> Result<u32, SettingsError> {
    text.parse().map_err(|_| SettingsError::SocketOwner(text))
}

/// Settings no source can be started with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Neither a directory nor an identity is named.
    #[error(
        "no identity is named: set {identity} to the name evercertd publishes, or {dir} to the directory the certificate \
         is mounted in",
        identity = env::IDENTITY,
        dir = env::DIR
    )]
    NothingSet,
    /// The name is none that a daemon can publish.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The socket's path is relative.
    #[error("the socket {0:?} is not an absolute path: set {socket} to one, such as {DEFAULT_SOCKET}", socket = env::SOCKET)]
    RelativeSocket(PathBuf),
    /// The directory cannot be made absolute, since the working directory is gone.
    #[error("the directory {0:?} cannot be made absolute: give an absolute path")]
    RelativeDirectory(PathBuf),
    /// The owner is no number.
    #[error("{owner}={0:?} is not a uid: write the number", owner = env::SOCKET_OWNER)]
    SocketOwner(String),
    /// Whether the daemon is to be told is neither on nor off.
    #[error("{observe}={0:?} is not understood: write on or off", observe = env::OBSERVE)]
    Observe(String),
    /// A variable that must be text is not.
    #[error("the value of {0} is not UTF-8")]
    NotUtf8(&'static str),
    /// A directory is asked for, and the build cannot read one.
    #[error(
        "{dir} is set, and this program is built without the feature `directory` of the crate evercert: turn it on, or unset \
         {dir}",
        dir = env::DIR
    )]
    NoDirectoryFeature,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(variables: &[(&str, &str)]) -> Result<Choice, SettingsError> {
        Choice::from_env(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn without_an_identity_or_a_directory_the_error_names_both() {
        for variables in [&[][..], &[(env::SOCKET, "/run/a.sock")], &[(env::IDENTITY, ""), (env::DIR, "")]] {
            let error = choose(variables).unwrap_err();
            assert_eq!(error, SettingsError::NothingSet);
            assert!(error.to_string().contains(env::IDENTITY) && error.to_string().contains(env::DIR), "{error}");
        }
    }

    #[test]
    fn an_identity_comes_from_the_daemon() {
        assert_eq!(choose(&[(env::IDENTITY, "web")]), Ok(Choice::Agent(AgentSettings::new("web"))));
        let variables = [(env::IDENTITY, "web"), (env::SOCKET, "/tmp/a.sock"), (env::SOCKET_OWNER, "65534")];
        let settings = AgentSettings::new("web").socket("/tmp/a.sock").socket_owner(65534);
        assert_eq!(choose(&variables), Ok(Choice::Agent(settings)));
    }

    #[test]
    fn an_owner_that_is_no_number_is_named() {
        let error = choose(&[(env::IDENTITY, "web"), (env::SOCKET_OWNER, "root")]).unwrap_err();
        assert_eq!(error.to_string(), "EVERCERT_SOCKET_OWNER=\"root\" is not a uid: write the number");
    }

    #[cfg(feature = "directory")]
    #[test]
    fn a_directory_is_the_source_even_beside_a_socket() {
        let all = [(env::DIR, "/etc/tls/web"), (env::IDENTITY, "front"), (env::SOCKET, "/tmp/a.sock")];
        let settings = DirectorySettings::new("/etc/tls/web");
        assert_eq!(choose(&all[..1]), Ok(Choice::Directory(Box::new(settings.clone()))));
        let named = settings.clone().name("front").socket("/tmp/a.sock");
        assert_eq!(choose(&all), Ok(Choice::Directory(Box::new(named))));
        let state = [(env::DIR, "/etc/tls/web"), (env::STATE_DIR, "/var/lib/web")];
        assert_eq!(choose(&state), Ok(Choice::Directory(Box::new(settings.state_directory("/var/lib/web")))));
    }

    #[cfg(feature = "directory")]
    #[test]
    fn nobody_is_told_of_a_directory_where_that_is_off() {
        let choose = |value| choose(&[(env::DIR, "/etc/tls/web"), (env::OBSERVE, value)]);
        let settings = DirectorySettings::new("/etc/tls/web");
        assert_eq!(choose("on"), Ok(Choice::Directory(Box::new(settings.clone()))));
        assert_eq!(choose("off"), Ok(Choice::Directory(Box::new(settings.observed(false)))));
        let error = choose("no").unwrap_err();
        assert_eq!(error.to_string(), "EVERCERT_OBSERVE=\"no\" is not understood: write on or off");
    }

    #[cfg(not(feature = "directory"))]
    #[test]
    fn a_directory_that_this_build_cannot_read_is_no_reason_to_ask_a_daemon() {
        let both = [(env::DIR, "/etc/tls/web"), (env::IDENTITY, "web")];
        assert_eq!(choose(&both), Err(SettingsError::NoDirectoryFeature));
    }
}
