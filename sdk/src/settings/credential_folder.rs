//! What keeps a SPIFFE credential folder from being used.

use std::io;
use std::path::PathBuf;

use evercert_core::layout::CREDENTIAL_BUNDLES;
pub use evercert_core::layout::TwoTrustBundles;
use evercert_core::mount::FILE_LIMIT;

/// What keeps a SPIFFE credential folder from being used: it is none, or it cannot be told what is meant in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialFolderError {
    /// The folder, or the credential bundle in it, cannot be read.
    #[error(
        "the credential folder {folder} cannot be read: {cause}; is the volume with the pod's certificate mounted there?",
        folder = folder.display()
    )]
    Unreadable {
        /// The folder.
        folder: PathBuf,
        /// The kind of the system's error.
        cause: io::ErrorKind,
    },
    /// The credential bundle is a directory, a FIFO or the like.
    #[error("the credential bundle {file} is not a regular file", file = file.display())]
    NotRegular {
        /// The credential bundle.
        file: PathBuf,
    },
    /// The credential bundle is too large.
    #[error("the credential bundle {file} has {size} bytes, and {FILE_LIMIT} are read", file = file.display())]
    TooLarge {
        /// The credential bundle.
        file: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// None of the names of a credential bundle is in it.
    #[error(
        "the credential folder {folder} holds no credential bundle: have the volume's credentialBundlePath be {name}",
        folder = folder.display(),
        name = CREDENTIAL_BUNDLES[0]
    )]
    NoCredential {
        /// The folder.
        folder: PathBuf,
    },
    /// It has two credential bundles.
    #[error(
        "the credential folder {folder} holds {first} and {second}, and which one counts cannot be told: leave one of them",
        folder = folder.display()
    )]
    TwoCredentials {
        /// The folder.
        folder: PathBuf,
        /// The name of one.
        first: &'static str,
        /// The name of the other.
        second: &'static str,
    },
    /// It has two trust bundles of one trust domain.
    #[error("the credential folder {folder}: {source}", folder = folder.display())]
    TwoTrustBundles {
        /// The folder.
        folder: PathBuf,
        /// The two.
        source: TwoTrustBundles,
    },
    /// Nothing in it says whom the credential trusts.
    #[error(
        "the credential folder {folder} holds no trust bundle of the credential's own trust domain{domain}: mount its ClusterTrustBundle there as \
         <trust domain>.spiffe-trust-bundle.pem",
        folder = folder.display()
    )]
    NoTrustBundle {
        /// The folder.
        folder: PathBuf,
        /// The trust domain behind a space, where the credential has one.
        domain: String,
    },
}
