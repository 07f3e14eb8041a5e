//! With what the server is called.

use std::path::{Path, PathBuf};
use std::time::Duration;

use evercert::Identity;
use evercert::identity::StartError;
use evercert::source::{AgentSettings, DirectorySettings};

/// With what the server is called.
#[derive(Debug)]
pub(super) enum Credentials {
    /// Nothing: there is no TLS.
    None,
    /// What vouches for the server, and the client's certificate and key.
    Files { roots: PathBuf, pair: Option<(PathBuf, PathBuf)> },
    /// What cert-manager has put into a directory.
    Directory(PathBuf),
    /// An identity of the daemon's.
    Daemon { name: String, socket: PathBuf },
}

/// The file with the system's roots, or the one that `SSL_CERT_FILE` names.
pub(super) fn roots_of_the_system() -> Option<PathBuf> {
    openssl_probe::probe().cert_file
}

impl Credentials {
    /// The identity, once it can be used; none without TLS.
    ///
    /// # Errors
    ///
    /// It cannot be used by then.
    pub(super) async fn identity(&self, limit: Duration) -> Result<Option<Identity>, NoIdentity> {
        let directory = |settings: DirectorySettings| Identity::from_directory(settings.observed(false));
        let starting = match self {
            Self::None => return Ok(None),
            Self::Files { roots, pair: None } => {
                directory(DirectorySettings::new("/").name("probe").trust_only().dedicated_bundle(absolute(roots)))
            }
            Self::Files { roots, pair: Some((chain, key)) } => {
                let settings = DirectorySettings::new("/").name("probe").pair(absolute(chain), absolute(key));
                directory(settings.dedicated_bundle(absolute(roots)))
            }
            Self::Directory(path) => directory(DirectorySettings::new(path)),
            Self::Daemon { name, socket } => Identity::from_agent(AgentSettings::new(name).socket(socket)),
        };
        let started = starting.timeout(limit).start().await;
        started.map(Some).map_err(|error| match self {
            Self::Daemon { name, .. } => NoIdentity::OfDaemon { name: name.clone(), source: error },
            _ => NoIdentity::OfFiles(error),
        })
    }
}

/// Settings take a relative path for one in their directory.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Nothing to call the server with.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoIdentity {
    #[error("the certificates cannot be used: {0}")]
    OfFiles(#[source] StartError),
    #[error("the daemon does not give the identity {name:?}: {source}")]
    OfDaemon { name: String, source: StartError },
}
