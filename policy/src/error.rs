//! Why there is no answer.

use std::io;
use std::path::PathBuf;

use evercert::auth::InvalidPolicy;
use evercert::auth::policy::{NotClaims, NotExpressible};
use evercert::peer::NotACertificate;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Policy(#[from] InvalidPolicy),
    #[error(transparent)]
    NotExpressible(#[from] NotExpressible),
    #[error("{}: cannot be read: {source}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("{}: has more than {limit} bytes, which is more than is read", file.display())]
    TooLarge { file: PathBuf, limit: u64 },
    #[error("{}: {source}", file.display())]
    Claims { file: PathBuf, source: NotClaims },
    #[error("{}: is no certificate: {source}; give the leaf, in PEM or DER", file.display())]
    Certificate { file: PathBuf, source: NotACertificate },
    #[error("cannot write the answer: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// Each fault on a line of its own.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Policy(InvalidPolicy::Faults(faults)) => faults.iter().map(ToString::to_string).collect(),
            other => vec![other.to_string()],
        }
    }
}
