//! A chain and its private key, which is in memory only while somebody wants it.

mod private_key;

use std::fmt;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;

pub(crate) use private_key::{EC_PUBLIC_KEY, RSA_ENCRYPTION};
pub use private_key::{PrivateKey, PrivateKeyError};

use crate::certificate::{CertificateFacts, NotACertificate};

/// A certificate chain, leaf first, and the private key of the leaf. Admission has to prove that they belong together.
///
/// The key may be absent: of an identity whose key nobody asks for, the chain alone stays in memory.
pub struct Credential {
    chain: Arc<[CertificateDer<'static>]>,
    key: Option<Arc<PrivateKey>>,
    leaf: Arc<CertificateFacts>,
}

impl Credential {
    /// A credential; the leaf's facts are read here.
    ///
    /// # Errors
    ///
    /// The chain is empty, or its first certificate cannot be parsed.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKey) -> Result<Self, CredentialError> {
        let leaf = CertificateFacts::from_der(chain.first().ok_or(CredentialError::EmptyChain)?)?;
        Ok(Self::of_leaf(leaf.into(), chain).with_key(key))
    }

    /// A chain that begins with this leaf, and whose key is not here.
    pub(crate) fn of_leaf(leaf: Arc<CertificateFacts>, chain: Vec<CertificateDer<'static>>) -> Self {
        Self { chain: chain.into(), key: None, leaf }
    }

    /// The same credential with a key.
    pub(crate) fn with_key(self, key: PrivateKey) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// The same credential without its key: it shares the chain. The key is wiped once nobody holds it any more.
    #[must_use]
    pub fn without_key(&self) -> Self {
        Self { chain: Arc::clone(&self.chain), key: None, leaf: Arc::clone(&self.leaf) }
    }

    /// The chain, leaf first; never empty.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The private key; absent while it is not in memory.
    #[must_use]
    pub fn key(&self) -> Option<&Arc<PrivateKey>> {
        self.key.as_ref()
    }

    /// The facts of the leaf.
    #[must_use]
    pub fn leaf(&self) -> &CertificateFacts {
        &self.leaf
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("leaf", &self.leaf.fingerprint)
            .field("chain", &self.chain.len())
            .field("key", &self.key)
            .finish()
    }
}

/// A chain that makes no credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// No certificate at all.
    #[error("the chain holds no certificate")]
    EmptyChain,
    /// The first certificate cannot be parsed.
    #[error("the leaf is {0}")]
    Leaf(#[from] NotACertificate),
}
