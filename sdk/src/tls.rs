//! TLS by generations.
//!
//! A generation owns everything a handshake depends on: the credential, the verifier and, in each rustls config that is built
//! from it, the session store. Nothing is shared between generations. Swapping only the verifier or the certificate inside a
//! long-lived config would leave the old trust in force: a peer resumes its session and is accepted although its CA is gone,
//! and keeps seeing our previous identity. So a whole config is built per generation and swapped as one, which costs a few
//! microseconds a rotation and nothing in a handshake.

pub(crate) mod allowed;
pub(crate) mod apart;
pub(crate) mod config;
pub mod generation;
pub(crate) mod outcome;
pub(crate) mod roots;
pub(crate) mod session;
pub(crate) mod sessions;
pub mod settings;
pub mod trust;
pub mod verifier;

pub use allowed::{AllowedPeers, PeerList};
pub use generation::Generation;
#[cfg(feature = "native-roots")]
pub use roots::InvalidRoots;
pub use roots::Roots;
pub use settings::{
    ClientCertificates, ClientTls, HttpVersions, InvalidServerName, OwnCertificate, Resumption, ServerTls,
    ServerVerification, TlsVersions,
};
pub use trust::Trust;
pub use verifier::{ClientVerifier, ServerVerifier};
