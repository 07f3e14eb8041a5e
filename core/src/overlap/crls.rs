//! The CRLs that are retained: of each signer the latest.

use std::collections::HashSet;

use rustls_pki_types::CertificateRevocationListDer;

use crate::crl::{Crl, NormalName, Scope};

/// How many CRLs are retained at the most: of more, those that were issued first are let go of.
const MAX_RETAINED_CRLS: usize = 1_000;

/// One list for each signer, the latest, as a list by a known key takes the place of an earlier one; sorted.
pub(super) fn latest(crls: Vec<CertificateRevocationListDer<'static>>) -> Vec<CertificateRevocationListDer<'static>> {
    // A list that was admitted can be read.
    let mut read: Vec<_> = crls.into_iter().filter_map(|der| Some((Crl::from_der(&der).ok()?, der))).collect();
    read.sort_by(|(a, _), (b, _)| b.age().cmp(&a.age()));
    let mut signers = HashSet::new();
    read.retain(|(crl, _)| Signer::of(crl).is_none_or(|signer| signers.insert(signer)));
    read.truncate(MAX_RETAINED_CRLS);
    let mut crls: Vec<_> = read.into_iter().map(|(_, der)| der).collect();
    crls.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
    crls.dedup();
    crls
}

/// The issuer, key and scope of a list (RFC 5280 §5.2.1, §5.2.5).
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Signer {
    issuer: NormalName,
    /// The identifier of the key.
    key: Vec<u8>,
    scope: Scope,
}

impl Signer {
    /// Unknown for a list that does not tell its key.
    pub(super) fn of(crl: &Crl) -> Option<Self> {
        let key = crl.authority_key()?.to_vec();
        Some(Self { issuer: crl.normal_issuer().clone(), key, scope: crl.scope().clone() })
    }
}
