//! Complete rustls configs of one generation.
//!
//! Sessions that can be resumed are kept in memory, in a store of the config's own, also those of TLS 1.3 tickets. Tickets that carry
//! the session themselves would have to be good until their key is thrown away, with every peer's at once: here a session is used
//! once (RFC 8446 §8.1), ends with its generation, and can be forgotten.

use std::sync::Arc;
use std::time::SystemTime;

use evercert_core::crypto;
use http::Version;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, ResolvesClientCert};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, ConfigSide, HandshakeKind, ServerConfig, ServerConnection,
    SignatureScheme, WantsVerifier,
};
use rustls_pki_types::ServerName;

use crate::refusal::Refusal;
use crate::tls::apart::ExpensiveChains;
use crate::tls::generation::Generation;
use crate::tls::sessions::{CLIENT_SESSIONS, ServerSessions, TICKETS};
use crate::tls::settings::{ClientCertificates, ClientTls, HttpVersions, Resumption, ServerTls, TlsVersions};
use crate::tls::verifier::{ClientVerifier, ServerVerifier, unix_time};

/// The TLS of one generation as a server: the config with everything of its own, and how a client that resumed is looked at again.
#[derive(Debug)]
pub(crate) struct ServerHandshakes {
    pub(crate) config: Arc<ServerConfig>,
    http_versions: HttpVersions,
    verifier: Option<Arc<ClientVerifier>>,
    sessions: Option<Arc<ServerSessions>>,
}

impl ServerHandshakes {
    /// Builds the config.
    ///
    /// # Errors
    ///
    /// The generation has no credential, or no bundle to verify clients by.
    pub(crate) fn new(
        generation: &Generation,
        tls: &ServerTls,
        expensive_chains: ExpensiveChains,
    ) -> Result<Self, Refusal> {
        let Some(certified_key) = generation.certified_key() else {
            return Err(Refusal::Incomplete("a credential, which a server presents to its clients".to_owned()));
        };
        let verifier = match (tls.client_certificates, generation.trust()) {
            (ClientCertificates::None, _) if tls.allowed_peers.is_some() => {
                return Err(Refusal::Settings(
                    "a list of allowed peers needs their certificates, and clients are not asked for any",
                ));
            }
            (ClientCertificates::None, _) => None,
            (certificates, Some(trust)) => {
                let verifier = ClientVerifier::new(Arc::clone(trust), certificates);
                let allowed = tls.allowed_peers.clone();
                verifier
                    .map(|verifier| Arc::new(verifier.with_expensive_chains(expensive_chains).with_allowed(allowed)))
            }
            (_, None) => {
                return Err(Refusal::Incomplete(
                    "a bundle, which a server verifies client certificates by; without one, set client certificates to none"
                        .to_owned(),
                ));
            }
        };
        let builder = builder(ServerConfig::builder_with_provider(crypto::provider()), tls.versions);
        let builder = match &verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier) as _),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Presented(Arc::clone(certified_key))));
        config.alpn_protocols = tls.http_versions.offered();
        // Early data can be replayed.
        config.max_early_data_size = 0;
        let sessions = match tls.resumption {
            Resumption::Off => None,
            Resumption::PerGeneration => Some(Arc::new(ServerSessions::default())),
        };
        config.session_storage = match &sessions {
            Some(sessions) => Arc::clone(sessions) as _,
            None => Arc::new(NoServerSessionStorage {}),
        };
        config.send_tls13_tickets = if sessions.is_some() { TICKETS } else { 0 };
        config.max_tls13_tickets = 0;
        Ok(Self { config: config.into(), http_versions: tls.http_versions, verifier, sessions })
    }

    /// The version of HTTP that a client is to be served with; none where it did not agree on one that the server lets in.
    pub(crate) fn http_version(&self, connection: &ServerConnection) -> Option<Version> {
        self.http_versions.agreed(connection.alpn_protocol())
    }

    /// Verifies a client that resumed a session as if it had shaken hands in full at `now`: rustls restores its chain from the session
    /// and looks at none of it. Where it fails all sessions are forgotten; else a client that has a better certificate by now would
    /// go on to resume the session that is refused.
    ///
    /// # Errors
    ///
    /// Why it is not accepted.
    pub(crate) fn verify_resumed(&self, connection: &ServerConnection, now: SystemTime) -> Result<(), rustls::Error> {
        let (Some(HandshakeKind::Resumed), Some(verifier)) = (connection.handshake_kind(), &self.verifier) else {
            return Ok(());
        };
        let verified = match connection.peer_certificates() {
            Some([leaf, intermediates @ ..]) => {
                verifier.verify_client_cert(leaf, intermediates, unix_time(now)).map(drop)
            }
            _ if verifier.client_auth_mandatory() => Err(rustls::Error::NoCertificatesPresented),
            _ => Ok(()),
        };
        if let (Err(_), Some(sessions)) = (&verified, &self.sessions) {
            sessions.forget();
        }
        verified
    }
}

/// The TLS of one generation as a client: the config with everything of its own, and how a server that resumed is looked at again.
#[derive(Debug)]
pub(crate) struct ClientHandshakes {
    pub(crate) config: Arc<ClientConfig>,
    verifier: Arc<ServerVerifier>,
    sessions: Option<Arc<ClientSessionMemoryCache>>,
}

impl ClientHandshakes {
    /// Builds the config.
    ///
    /// # Errors
    ///
    /// The generation has no bundle.
    pub(crate) fn new(generation: &Generation, tls: &ClientTls) -> Result<Self, Refusal> {
        let Some(trust) = generation.trust() else {
            return Err(Refusal::Incomplete("a bundle, which a client verifies servers by".to_owned()));
        };
        let verifier = Arc::new(ServerVerifier::new(Arc::clone(trust), tls.verification.clone()));
        let builder = builder(ClientConfig::builder_with_provider(crypto::provider()), tls.versions)
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _);
        let mut config = match generation.certified_key() {
            Some(certified_key) => builder.with_client_cert_resolver(Arc::new(Presented(Arc::clone(certified_key)))),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = tls.http_versions.offered();
        config.enable_early_data = false;
        let sessions = match tls.resumption {
            Resumption::Off => None,
            Resumption::PerGeneration => Some(Arc::new(ClientSessionMemoryCache::new(CLIENT_SESSIONS))),
        };
        config.resumption = match &sessions {
            Some(sessions) => rustls::client::Resumption::store(Arc::clone(sessions) as _),
            None => rustls::client::Resumption::disabled(),
        };
        Ok(Self { config: config.into(), verifier, sessions })
    }

    /// Verifies a server that resumed a session as if it had shaken hands in full at `now`, and as `name`: rustls restores its chain
    /// from the session and looks at none of it. Where it fails the sessions with it are forgotten; else the next handshake would
    /// resume the one that is refused, though the server may have a better certificate by now.
    ///
    /// # Errors
    ///
    /// Why it is not accepted.
    pub(crate) fn verify_resumed(
        &self,
        connection: &ClientConnection,
        name: &ServerName<'static>,
        now: SystemTime,
    ) -> Result<(), rustls::Error> {
        if connection.handshake_kind() != Some(HandshakeKind::Resumed) {
            return Ok(());
        }
        let verified = match connection.peer_certificates() {
            Some([leaf, intermediates @ ..]) => {
                self.verifier.verify_server_cert(leaf, intermediates, name, &[], unix_time(now)).map(drop)
            }
            _ => Err(rustls::Error::NoCertificatesPresented),
        };
        if let (Err(_), Some(sessions)) = (&verified, &self.sessions) {
            sessions.remove_tls12_session(name);
            while sessions.take_tls13_ticket(name).is_some() {}
        }
        verified
    }
}

fn builder<S: ConfigSide>(
    builder: ConfigBuilder<S, rustls::WantsVersions>,
    versions: TlsVersions,
) -> ConfigBuilder<S, WantsVerifier> {
    #[expect(clippy::expect_used, reason = "both providers know suites and key exchange groups of TLS 1.2 and 1.3")]
    builder.with_protocol_versions(versions.supported()).expect("the provider supports the versions")
}

/// Presents one credential, to whoever asks.
#[derive(Debug)]
struct Presented(Arc<CertifiedKey>);

impl ResolvesServerCert for Presented {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl ResolvesClientCert for Presented {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
