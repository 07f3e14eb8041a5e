//! The crypto provider, chosen when the crate is built and always passed on explicitly: never rustls' process default,
//! which another dependency may set.

use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::sign::SigningKey;

use crate::credential::PrivateKey;

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
compile_error!("evercert-core needs a crypto provider: turn on the feature `aws-lc-rs` or `ring`");

/// The provider this build uses: aws-lc-rs where the feature `aws-lc-rs` is on, ring otherwise.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        #[cfg(feature = "aws-lc-rs")]
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        #[cfg(not(feature = "aws-lc-rs"))]
        let provider = rustls::crypto::ring::default_provider();
        Arc::new(provider)
    });
    Arc::clone(&PROVIDER)
}

/// The key as rustls signs with it. Unlike the provider's own loader this borrows: no copy of the key is left behind.
///
/// # Errors
///
/// The provider cannot use a key of this kind.
pub fn signing_key(key: &PrivateKey) -> Result<Arc<dyn SigningKey>, rustls::Error> {
    #[cfg(feature = "aws-lc-rs")]
    let load = rustls::crypto::aws_lc_rs::sign::any_supported_type;
    #[cfg(not(feature = "aws-lc-rs"))]
    let load = rustls::crypto::ring::sign::any_supported_type;
    load(&key.as_der())
}
