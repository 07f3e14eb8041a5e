//! Swaps server and client certificates and trust roots live inside tonic, without dropping a connection.

mod backoff;
pub mod client;
pub mod identity;
mod open;
pub mod server;
pub mod settings;
pub mod source;
pub mod spiffe;
pub mod tls;

pub use client::Channel;
pub use identity::Identity;
pub use server::Server;
pub use tls::{ClientCertificates, ServerVerification, TlsVersions};
