//! The connections that a server's calls come over.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use tonic::Request;

/// The connections that calls came over, from clients that show a certificate.
///
/// An address does not tell one from the next: a client that comes back may get the port that it had. The chain that it showed does:
/// it is the same `Arc` in all calls of one connection, and no other can have its place in memory as long as it is held here.
#[derive(Debug, Default)]
pub struct Connections(Vec<Arc<Vec<CertificateDer<'static>>>>);

impl Connections {
    /// Takes note of the connection of this call.
    pub fn note<T>(&mut self, call: &Request<T>) {
        if let Some(chain) = call.peer_certs()
            && !self.0.iter().any(|known| Arc::ptr_eq(known, &chain))
        {
            self.0.push(chain);
        }
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}
