//! Complete rustls configs of one generation.

use std::sync::Arc;

use evercert_core::crypto;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ConfigBuilder, ConfigSide, ServerConfig, SignatureScheme, WantsVerifier};

use crate::source::Refusal;
use crate::tls::generation::Generation;
use crate::tls::settings::{ClientCertificates, ClientTls, ServerTls, TlsVersions};
use crate::tls::verifier::{ClientVerifier, ServerVerifier};

/// HTTP/2 over TLS (RFC 9113 §3.2): the only protocol gRPC runs on.
pub(crate) const ALPN_H2: &[u8] = b"h2";

/// A server's config with everything of its own: verifier, resolver, and no store to resume a session from.
///
/// # Errors
///
/// The generation has no credential, or no bundle to verify clients by.
pub(crate) fn server_config(generation: &Generation, tls: &ServerTls) -> Result<ServerConfig, Refusal> {
    let Some(certified_key) = generation.certified_key() else {
        return Err(Refusal::Incomplete("a credential, which a server presents to its clients".to_owned()));
    };
    let verifier = match (tls.client_certificates, generation.trust()) {
        (ClientCertificates::None, _) => None,
        (certificates, Some(trust)) => ClientVerifier::new(Arc::clone(trust), certificates),
        (_, None) => {
            return Err(Refusal::Incomplete(
                "a bundle, which a server verifies client certificates by; without one, set client certificates to none"
                    .to_owned(),
            ));
        }
    };
    let builder = builder(ServerConfig::builder_with_provider(crypto::provider()), tls.versions);
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(Arc::new(verifier)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(Presented(Arc::clone(certified_key))));
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_tls13_tickets = 0;
    Ok(config)
}

/// A client's config with everything of its own: verifier, resolver, and no session kept to resume.
///
/// # Errors
///
/// The generation has no bundle.
pub(crate) fn client_config(generation: &Generation, tls: &ClientTls) -> Result<ClientConfig, Refusal> {
    let Some(trust) = generation.trust() else {
        return Err(Refusal::Incomplete("a bundle, which a client verifies servers by".to_owned()));
    };
    let verifier = ServerVerifier::new(Arc::clone(trust), tls.verification.clone());
    let builder = builder(ClientConfig::builder_with_provider(crypto::provider()), tls.versions)
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match generation.certified_key() {
        Some(certified_key) => builder.with_client_cert_resolver(Arc::new(Presented(Arc::clone(certified_key)))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
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
