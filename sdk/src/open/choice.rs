//! The choice of the source an identity is opened from.

use std::ffi::{OsStr, OsString};
#[cfg(feature = "directory")]
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(feature = "directory")]
use super::folder;
use crate::identity::OpenError;
#[cfg(feature = "directory")]
use crate::settings::CREDENTIAL_FOLDER;
use crate::settings::{SettingsError, env};
use crate::source::{AgentSettings, AgentSource, Source};
#[cfg(feature = "directory")]
use crate::source::{DirectorySettings, ObservedSource};

/// The source that settings name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    Agent(AgentSettings),
    #[cfg(feature = "directory")]
    Directory(Box<DirectorySettings>),
}

impl Choice {
    /// The choice that the variables state which `variable` looks up; the table is that of [`settings`](crate::settings).
    pub(super) fn from_env(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, SettingsError> {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let text = |name: &'static str| set(name).map(|value| utf8(name, &value)).transpose();
        if let Some(directory) = set(env::DIR) {
            return Self::directory(PathBuf::from(directory), set);
        }
        let Some(identity) = text(env::IDENTITY)? else { return Self::folder(set) };
        let mut settings = AgentSettings::new(identity);
        if let Some(socket) = set(env::SOCKET) {
            settings = settings.socket(PathBuf::from(socket));
        }
        if let Some(owner) = text(env::SOCKET_OWNER)? {
            settings = settings.socket_owner(uid(owner)?);
        }
        Ok(Self::Agent(settings))
    }

    /// Starts the source; gives the name of the identity with it.
    pub(super) fn open(self) -> Result<(Arc<str>, Arc<dyn Source>), OpenError> {
        match self {
            Self::Agent(settings) => {
                let name = settings.identity().into();
                Ok((name, AgentSource::start(settings)?))
            }
            #[cfg(feature = "directory")]
            Self::Directory(settings) => Ok((settings.identity().into(), ObservedSource::start(&settings)?)),
        }
    }

    #[cfg(feature = "directory")]
    fn directory(directory: PathBuf, set: impl Fn(&'static str) -> Option<OsString>) -> Result<Self, SettingsError> {
        Self::of_directory(DirectorySettings::new(directory), set)
    }

    /// The SPIFFE credential folder that is named, else the one in its usual place, where there is one.
    #[cfg(feature = "directory")]
    fn folder(set: impl Fn(&'static str) -> Option<OsString>) -> Result<Self, SettingsError> {
        Self::folder_or(Path::new(CREDENTIAL_FOLDER), set)
    }

    /// As [`Self::folder`], with the usual place. A folder there with nothing in it is as none.
    #[cfg(feature = "directory")]
    fn folder_or(usual: &Path, set: impl Fn(&'static str) -> Option<OsString>) -> Result<Self, SettingsError> {
        let usual = || Some(usual.to_owned()).filter(|folder| folder.is_dir() && !folder::is_empty(folder));
        let folder = set(env::CREDENTIAL_FOLDER).map(PathBuf::from).or_else(usual).ok_or(SettingsError::NothingSet)?;
        Self::of_directory(folder::settings(&folder)?, set)
    }

    #[cfg(not(feature = "directory"))]
    fn folder(_: impl Fn(&'static str) -> Option<OsString>) -> Result<Self, SettingsError> {
        Err(SettingsError::NothingSet)
    }

    #[cfg(feature = "directory")]
    fn of_directory(
        mut settings: DirectorySettings,
        set: impl Fn(&'static str) -> Option<OsString>,
    ) -> Result<Self, SettingsError> {
        let text = |name: &'static str| set(name).map(|value| utf8(name, &value)).transpose();
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
        if let Some(uid) = text(env::POD_UID)? {
            settings = settings.in_pod(uid);
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
        let pod = [(env::DIR, "/etc/tls/web"), (env::POD_UID, "7c11")];
        assert_eq!(choose(&pod), Ok(Choice::Directory(Box::new(settings.clone().in_pod("7c11")))));
        let state = [(env::DIR, "/etc/tls/web"), (env::STATE_DIR, "/var/lib/web")];
        assert_eq!(choose(&state), Ok(Choice::Directory(Box::new(settings.state_directory("/var/lib/web")))));
    }

    #[cfg(feature = "directory")]
    #[test]
    fn with_nothing_else_set_the_credential_folder_that_is_named_counts_and_what_it_lacks_is_said() {
        let error = choose(&[(env::CREDENTIAL_FOLDER, "/nowhere/at/all")]).unwrap_err();
        assert!(matches!(error, SettingsError::CredentialFolder(_)), "{error}");
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
        let both = [(env::CREDENTIAL_FOLDER, "/nowhere/at/all"), (env::IDENTITY, "web")];
        assert_eq!(choose(&both), Ok(Choice::Agent(AgentSettings::new("web"))));
    }

    #[cfg(feature = "directory")]
    #[test]
    fn the_usual_credential_folder_without_anything_in_it_is_as_none_and_one_without_a_credential_is_an_error() {
        use evercert_fixtures::{Files, KubeletVolume};

        let home = tempfile::tempdir().unwrap();
        let empty = KubeletVolume::new(&Files::new());
        for usual in [home.path(), empty.path(), &home.path().join("gone")] {
            assert_eq!(Choice::folder_or(usual, |_| None), Err(SettingsError::NothingSet), "{}", usual.display());
        }
        let others = KubeletVolume::new(&Files::new().with("own.example.org.x509.pem", "x"));
        let error = Choice::folder_or(others.path(), |_| None).unwrap_err();
        assert!(matches!(error, SettingsError::CredentialFolder(_)), "{error}");
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
