//! Between the wire and core's types.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use evercert_core::bundle::{Bundle, Bundles};
use evercert_core::certificate::CertificateFacts;
use evercert_core::credential::{Credential, CredentialError, PrivateKey, PrivateKeyError};
use evercert_core::digest::{Digest, InvalidDigest};
use evercert_core::finding::{Finding, Severity};
use evercert_core::snapshot::Snapshot;
use evercert_core::spiffe::InvalidTrustDomain;
use evercert_core::text;
use zeroize::Zeroizing;

use crate::v1;

/// The update that carries `snapshot`; without the key where `deliver` says so.
///
/// # Errors
///
/// The key is to be delivered and is not in memory.
pub fn update_from_snapshot(
    epoch: u64,
    snapshot: &Snapshot,
    findings: &[Finding],
    deliver: v1::Deliver,
) -> Result<v1::Update, KeyNotInMemory> {
    let credential = snapshot.credential();
    let key = match (deliver, credential) {
        (v1::Deliver::Digest, _) | (_, None) => None,
        (v1::Deliver::Full | v1::Deliver::Unspecified, Some(credential)) => {
            let key = credential.key().ok_or(KeyNotInMemory { generation: snapshot.generation() })?;
            Some(v1::update::Key::Pkcs8(Bytes::from_owner(KeyBytes(Arc::clone(key)))))
        }
    };
    Ok(v1::Update {
        epoch,
        generation: snapshot.generation(),
        digest: snapshot.digest().as_bytes().to_vec(),
        chain: credential.map(|c| c.chain().iter().map(|der| der.to_vec()).collect()).unwrap_or_default(),
        key,
        bundle: snapshot.bundles().own.as_deref().map(v1::Bundle::from),
        federated: snapshot
            .bundles()
            .federated
            .iter()
            .map(|(trust_domain, bundle)| (trust_domain.to_string(), v1::Bundle::from(&**bundle)))
            .collect(),
        not_before: credential.map(|c| c.leaf().not_before.into()),
        not_after: credential.map(|c| c.leaf().not_after.into()),
        renewal_due: snapshot.renewal_due().map(Into::into),
        findings: findings.iter().map(v1::Finding::from).collect(),
    })
}

/// A snapshot's key was to be delivered and is not in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the private key of generation {generation} is not in memory: it has to be wanted before it can be delivered")]
pub struct KeyNotInMemory {
    /// The snapshot's generation.
    pub generation: u64,
}

/// The bytes of a key where they are: what a message holds of it is no copy that would be left unwiped.
///
/// So a key is wiped everywhere from the reading of its file to here. The daemon encodes the message into a buffer that it wipes
/// too, and HTTP/2 sends from that; what HTTP/2 copies, which are the small ends of messages, is wiped by the daemon's allocator
/// when it is freed. A subscriber's transport buffers are its own to wipe, as the SDK does; the kernel's socket
/// buffers hold a copy until it is read.
struct KeyBytes(Arc<PrivateKey>);

impl AsRef<[u8]> for KeyBytes {
    fn as_ref(&self) -> &[u8] {
        self.0.pkcs8()
    }
}

/// The snapshot that `update` carries. Its key is copied out of the message once, and that copy is wiped with the snapshot.
///
/// # Errors
///
/// The content is not what the wire promises, or its digest is not the one of the content.
pub fn snapshot_from_update(update: v1::Update) -> Result<Snapshot, MalformedUpdate> {
    let key = update.key.map(|v1::update::Key::Pkcs8(der)| Zeroizing::new(der.to_vec()));
    let chain: Vec<_> = update.chain.into_iter().map(Into::into).collect();
    let credential = match (chain.is_empty(), key) {
        (true, None) => None,
        (true, Some(_)) => return Err(MalformedUpdate::KeyWithoutChain),
        (false, None) => return Err(MalformedUpdate::ChainWithoutKey),
        (false, Some(key)) => Some(Arc::new(Credential::new(chain, PrivateKey::from_pkcs8(key)?)?)),
    };
    let federated = update.federated.into_iter();
    let federated = federated.map(|(name, bundle)| Ok((name.parse()?, Arc::new(bundle.into()))));
    let bundles = Bundles {
        own: update.bundle.map(|bundle| Arc::new(Bundle::from(bundle))),
        federated: federated.collect::<Result<_, InvalidTrustDomain>>()?,
    };
    let renewal_due = update.renewal_due.and_then(|due| SystemTime::try_from(due).ok());
    let snapshot = Snapshot::new(update.generation, credential, bundles, renewal_due);
    let promised = Digest::try_from(&update.digest[..])?;
    if snapshot.digest() != promised {
        return Err(MalformedUpdate::DigestMismatch { promised, found: snapshot.digest() });
    }
    Ok(snapshot)
}

/// An update that does not keep what the wire promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MalformedUpdate {
    /// A key, but no chain.
    #[error("the update carries a key without a chain")]
    KeyWithoutChain,
    /// A chain, but no key, although one was asked for.
    #[error("the update carries a chain without its key")]
    ChainWithoutKey,
    /// The key is not PKCS#8.
    #[error("the update's key is {0}")]
    Key(#[from] PrivateKeyError),
    /// The leaf cannot be parsed.
    #[error("the update's chain: {0}")]
    Chain(#[from] CredentialError),
    /// A federated bundle is of no trust domain.
    #[error("the update's federated bundles: {0}")]
    TrustDomain(#[from] InvalidTrustDomain),
    /// The digest has the wrong length.
    #[error("the update's digest: {0}")]
    Digest(#[from] InvalidDigest),
    /// The digest is not the one of the content.
    #[error("the update promises the digest {promised} and carries {found}")]
    DigestMismatch {
        /// The message's digest.
        promised: Digest,
        /// The digest of its content.
        found: Digest,
    },
}

impl From<&Bundle> for v1::Bundle {
    fn from(bundle: &Bundle) -> Self {
        Self {
            anchors: bundle.anchors().iter().map(|der| der.to_vec()).collect(),
            crls: bundle.crls().iter().map(|der| der.to_vec()).collect(),
        }
    }
}

impl From<v1::Bundle> for Bundle {
    fn from(bundle: v1::Bundle) -> Self {
        Self::new(
            bundle.anchors.into_iter().map(Into::into).collect(),
            bundle.crls.into_iter().map(Into::into).collect(),
        )
    }
}

impl From<&Finding> for v1::Finding {
    fn from(finding: &Finding) -> Self {
        Self {
            check: finding.check.as_str().to_owned(),
            severity: v1::Severity::from(finding.severity).into(),
            sentence: text::sentence(&finding.sentence),
            file: finding.file.as_deref().map(text::path).unwrap_or_default(),
            found: finding.found.as_deref().map(text::sentence).unwrap_or_default(),
            expected: finding.expected.as_deref().map(text::sentence).unwrap_or_default(),
        }
    }
}

impl From<Severity> for v1::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Warn => Self::Warn,
            Severity::Reject => Self::Reject,
        }
    }
}

impl From<&CertificateFacts> for v1::CertificateFacts {
    fn from(facts: &CertificateFacts) -> Self {
        Self {
            subject: facts.subject.text.clone(),
            issuer: facts.issuer.text.clone(),
            serial: facts.serial.clone(),
            sha256: facts.fingerprint.as_bytes().to_vec(),
            not_before: Some(facts.not_before.into()),
            not_after: Some(facts.not_after.into()),
            dns_names: facts.names.dns.clone(),
            ip_addresses: facts.names.ip.iter().map(ToString::to_string).collect(),
            uris: facts.names.uris.clone(),
        }
    }
}

impl fmt::Debug for v1::Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Update")
            .field("epoch", &self.epoch)
            .field("generation", &self.generation)
            .field("digest", &Digest::try_from(&self.digest[..]))
            .field("chain", &self.chain.len())
            .field("key", &self.key.as_ref().map(|_| "redacted"))
            .field("bundle", &self.bundle.as_ref().map(|bundle| bundle.anchors.len()))
            .field("federated", &self.federated.len())
            .field("findings", &self.findings)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for v1::update::Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(redacted)")
    }
}
