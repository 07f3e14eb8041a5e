//! The CRLs that are retained: of each signer the latest.

use std::collections::HashSet;

use rustls_pki_types::CertificateRevocationListDer;
use x509_parser::extensions::ParsedExtension;
use x509_parser::num_bigint::BigUint;
use x509_parser::oid_registry::OID_X509_EXT_ISSUER_DISTRIBUTION_POINT;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

/// How many CRLs are retained at the most: of more, those that were issued first are let go of.
const MAX_RETAINED_CRLS: usize = 1_000;

/// One list for each signer, the latest, as a list by a known key takes the place of an earlier one; sorted.
pub(super) fn latest(crls: Vec<CertificateRevocationListDer<'static>>) -> Vec<CertificateRevocationListDer<'static>> {
    let mut issues: Vec<_> = crls.into_iter().map(|crl| (Issue::of(&crl), crl)).collect();
    issues.sort_by(|(a, _), (b, _)| b.age.cmp(&a.age));
    let mut signers = HashSet::new();
    issues.retain(|(issue, _)| issue.signer.as_ref().is_none_or(|signer| signers.insert(signer.clone())));
    issues.truncate(MAX_RETAINED_CRLS);
    let mut crls: Vec<_> = issues.into_iter().map(|(_, crl)| crl).collect();
    crls.sort_by(|a, b| a.as_ref().cmp(b.as_ref()));
    crls.dedup();
    crls
}

/// Whose list one is, and which of theirs.
#[derive(Default)]
pub(super) struct Issue {
    /// The issuer's name, as DER.
    pub(super) issuer: Vec<u8>,
    /// Unknown for a list that does not tell its key.
    pub(super) signer: Option<Signer>,
    /// When it was issued, in seconds, and its number.
    age: (i64, Option<BigUint>),
}

/// Who signs which of their lists (RFC 5280 §5.2.1, §5.2.5).
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Signer {
    issuer: Vec<u8>,
    /// The identifier of the key.
    key: Vec<u8>,
    /// The issuing distribution point, as DER; absent for a list of all that was revoked.
    scope: Option<Vec<u8>>,
}

impl Issue {
    pub(super) fn of(crl: &CertificateRevocationListDer<'_>) -> Self {
        // What was admitted was parsed.
        let Ok((_, crl)) = CertificateRevocationList::from_der(crl) else { return Self::default() };
        let issuer = crl.issuer().as_raw().to_vec();
        let key = crl.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|key| key.0.to_vec()),
            _ => None,
        });
        let scope = crl.extensions().iter().find(|extension| extension.oid == OID_X509_EXT_ISSUER_DISTRIBUTION_POINT);
        let scope = scope.map(|scope| scope.value.to_vec());
        Self {
            signer: key.map(|key| Signer { issuer: issuer.clone(), key, scope }),
            issuer,
            age: (crl.last_update().timestamp(), crl.crl_number().cloned()),
        }
    }
}
