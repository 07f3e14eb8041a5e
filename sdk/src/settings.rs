//! The settings by which a service says where its identity comes from.
//!
//! | `EVERCERT_DIR` | `EVERCERT_IDENTITY` | `EVERCERT_SOCKET` | what [`Identity::from_env`](crate::Identity::from_env) gives |
//! |---|---|---|---|
//! | set | any | any | the mount in that directory, whether a daemon runs or not |
//! | unset | set | unset | that identity from the daemon at [`DEFAULT_SOCKET`] |
//! | unset | set | set | that identity from the daemon at that socket |
//! | unset | unset | any | the pod certificate in the SPIFFE credential folder: that of `SPIFFE_CREDENTIAL_FOLDER`, else [`CREDENTIAL_FOLDER`]; without one, or with an empty one in the usual place, an error that names the variables |
//!
//! A credential folder holds one file with key and chain (`credential-bundle.private-key.pem`, `credential-bundle.pem`,
//! `credential-bundle.private-key.x509.pem` or `x509.credential-bundle.private-key.pem`) and a trust bundle for each trust domain
//! (`<trust domain>.spiffe-trust-bundle.pem`, `….spiffe-trust-bundle.x509.pem` or `<trust domain>.x509.pem`). That of the credential's own
//! trust domain is whom the identity trusts; every other is a federated one, and none is merged with another. Which files there are is
//! looked up once, when the identity is opened; what is in them is swapped live.
//!
//! With a directory no key crosses the socket, and the service starts without a daemon. Where there is one, it is told what the service
//! serves, and nothing it answers changes that:
//!
//! | beside `EVERCERT_DIR` | what it means |
//! |---|---|
//! | `EVERCERT_IDENTITY` | the identity's name in logs and status, and the daemon's identity that is reported on; unset: the directory's name, and the one with the same content |
//! | `EVERCERT_SOCKET` | where the daemon is told; unset: [`DEFAULT_SOCKET`] |
//! | `EVERCERT_OBSERVE` | `off`: no daemon is told; `on`, or unset: one is, where there is one |
//! | `EVERCERT_POD_UID` | the UID of the pod (`metadata.uid` of the downward API), for a daemon that cannot see the process; unset: it is told by where the kubelet mounted `/etc/hosts` from |
//! | `EVERCERT_STATE_DIR` | where it is remembered until when the anchors of a replaced `ca.crt` stay trusted; unset, that ends with the process |
//!
//! `EVERCERT_SOCKET_OWNER`, with any socket: the uid that may serve it besides root and the process's own. An empty variable is an
//! unset one.

#[cfg(feature = "directory")]
mod credential_folder;

use std::path::PathBuf;

#[doc(inline)]
#[cfg(feature = "directory")]
pub use credential_folder::{CredentialFolderError, TwoTrustBundles};
pub use evercert_core::identity::InvalidName;
use evercert_core::spiffe::InvalidTrustDomain;

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
    /// The UID of the pod that the process is in, by the downward API (`metadata.uid`).
    pub const POD_UID: &str = "EVERCERT_POD_UID";
    /// The folder with a pod certificate and its trust bundles, by the draft of SPIFFE's filesystem delivery.
    pub const CREDENTIAL_FOLDER: &str = "SPIFFE_CREDENTIAL_FOLDER";
    /// The uid, a number, that may serve the socket besides root and this process's own uid.
    pub const SOCKET_OWNER: &str = "EVERCERT_SOCKET_OWNER";
    /// The directory in which a mount's overlap of anchors survives a restart of the process.
    pub const STATE_DIR: &str = "EVERCERT_STATE_DIR";
}

/// The daemon's workload socket unless something else is said.
pub const DEFAULT_SOCKET: &str = "/run/evercert/agent/agent.sock";

/// The usual place of a SPIFFE credential folder.
pub const CREDENTIAL_FOLDER: &str = "/run/secrets/workload-spiffe-credentials";

/// Settings no source can be started with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Neither a directory nor an identity is named.
    #[error(
        "no identity is named: set {identity} to the name evercertd publishes, or {dir} to the directory the certificate \
         is mounted in; there is no pod certificate in {folder} either",
        identity = env::IDENTITY,
        dir = env::DIR,
        folder = CREDENTIAL_FOLDER
    )]
    NothingSet,
    /// It cannot be told what is meant in the SPIFFE credential folder.
    #[cfg(feature = "directory")]
    #[error(transparent)]
    CredentialFolder(#[from] CredentialFolderError),
    /// The name is none that a daemon can publish.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The name is no trust domain's.
    #[error(transparent)]
    TrustDomain(#[from] InvalidTrustDomain),
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
