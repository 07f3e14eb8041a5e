//! The current credential inside a rustls config of the user's own.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Commit, Consumer, Identity};
use crate::refusal::Refusal;
use crate::tls::Generation;

/// Presents the identity's current credential inside a rustls config that the user built and keeps. Every full handshake
/// presents the credential of its moment; before the first generation it presents none.
///
/// Only the credential moves. The rest, which an [`Incoming`] or a channel would do, stays as the user built it:
///
/// * **Trust roots are not swapped.** The config's verifier keeps the roots it was built with, for as long as the config lives.
/// * **Resumption must be off.** A resumed session (RFC 8446 §2.2, RFC 5246 §7.3) skips the resolver and the verifier: the peer
///   goes on with our previous credential, and a peer whose CA has been dropped is still accepted. On a server set
///   `session_storage` to `NoServerSessionStorage` and `send_tls13_tickets` to 0; on a client set `resumption` to
///   `Resumption::disabled()`.
/// * **Older connections are not known here**, so they are neither drained nor counted: the identity reports that new
///   handshakes use a generation, and never that no connection is older.
/// * ALPN, protocol versions and time limits of the handshake are the config's and the accept loop's.
///
/// [`Incoming`]: crate::server::Incoming
#[derive(Clone)]
pub struct ResolvingCertifier {
    current_key: Arc<CurrentKey>,
    // Keeps the identity's task going for as long as somebody presents its credential.
    _identity: Identity,
}

impl ResolvingCertifier {
    pub(crate) fn attach(identity: &Identity) -> Result<Self, Refusal> {
        let current_key = Arc::new(CurrentKey::default());
        let weak = Arc::downgrade(&current_key);
        identity.attach(weak)?;
        Ok(Self { current_key, _identity: identity.clone() })
    }
}

impl ResolvesServerCert for ResolvingCertifier {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current_key.current.load_full()
    }
}

impl ResolvesClientCert for ResolvingCertifier {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.current_key.current.load_full()
    }

    fn has_certs(&self) -> bool {
        self.current_key.current.load().is_some()
    }
}

impl fmt::Debug for ResolvingCertifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolvingCertifier").field("certified", &self.has_certs()).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct CurrentKey {
    current: Arc<ArcSwapOption<CertifiedKey>>,
}

impl Consumer for CurrentKey {
    fn prepare(&self, generation: &Arc<Generation>) -> Result<Commit, Refusal> {
        let Some(certified_key) = generation.certified_key().cloned() else {
            return Err(Refusal::Incomplete("a credential, which a certifier presents".to_owned()));
        };
        let current = Arc::clone(&self.current);
        Ok(Box::new(move || current.store(Some(certified_key))))
    }

    fn withdraw(&self, _refusal: &Refusal) {
        self.current.store(None);
    }

    fn tallies(&self) -> bool {
        false
    }
}
