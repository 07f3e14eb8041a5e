//! What one file holds.

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;
use zeroize::Zeroizing;

use crate::credential::{PrivateKey, PrivateKeyError};
use crate::pem::{self, Block, PemError};

/// The certificates, CRLs and keys of one file, each in its order.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) crls: Vec<CertificateRevocationListDer<'static>>,
    pub(super) keys: Vec<Result<PrivateKey, PrivateKeyError>>,
}

/// Why a file's content means nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ContentError {
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error("it is neither PEM nor DER")]
    Unknown,
}

impl Contents {
    /// Reads PEM or, where there is no PEM block, DER. White space alone is a file without content.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ContentError> {
        let mut contents = Self::default();
        if pem::is_pem(bytes) {
            for block in pem::blocks(bytes) {
                match block {
                    Ok(block) => contents.take(block),
                    Err(PemError::Encrypted(_)) => contents.keys.push(Err(PrivateKeyError::Encrypted)),
                    Err(error) => return Err(error.into()),
                }
            }
        } else if !bytes.trim_ascii().is_empty() {
            contents.take_der(bytes)?;
        }
        Ok(contents)
    }

    fn take(&mut self, Block { label, mut der }: Block) {
        match label.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" => self.certificates.push(std::mem::take(&mut *der).into()),
            "X509 CRL" => self.crls.push(std::mem::take(&mut *der).into()),
            "PRIVATE KEY" => self.keys.push(PrivateKey::from_pkcs8(der)),
            "RSA PRIVATE KEY" => self.keys.push(PrivateKey::from_pkcs1(&der)),
            "EC PRIVATE KEY" => self.keys.push(PrivateKey::from_sec1(&der)),
            "ENCRYPTED PRIVATE KEY" => self.keys.push(Err(PrivateKeyError::Encrypted)),
            label if label.ends_with("PRIVATE KEY") => self.keys.push(Err(PrivateKeyError::Unsupported)),
            // EC PARAMETERS, DH PARAMETERS, requests: lawful company of what is wanted.
            _ => {}
        }
    }

    /// One certificate after the other, one CRL after the other, or one key.
    fn take_der(&mut self, bytes: &[u8]) -> Result<(), ContentError> {
        let mut rest = bytes;
        while let Ok((after, _)) = X509Certificate::from_der(rest) {
            self.certificates.push(rest[..rest.len() - after.len()].to_vec().into());
            rest = after;
        }
        while let Ok((after, _)) = CertificateRevocationList::from_der(rest) {
            self.crls.push(rest[..rest.len() - after.len()].to_vec().into());
            rest = after;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let key = PrivateKey::from_pkcs8(Zeroizing::new(bytes.to_vec()))
            .or_else(|_| PrivateKey::from_sec1(bytes))
            .or_else(|error| match error {
                PrivateKeyError::NoCurve => Err(error),
                _ => PrivateKey::from_pkcs1(bytes),
            });
        match key {
            Ok(_) | Err(PrivateKeyError::NoCurve) => self.keys.push(key),
            Err(_) => return Err(ContentError::Unknown),
        }
        Ok(())
    }
}
