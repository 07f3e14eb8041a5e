//! ML-DSA (FIPS 204): TLS stacks that do not know it end the handshake, whomever they trust.

use super::Case;
use super::findings::Findings;
use super::lineage::name_in_chain;
use crate::crypto;
use crate::finding::{Check, Finding, Severity};

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let of_key = crypto::ml_dsa_name(case.leaf.public_key().algorithm.algorithm.as_bytes());
    let mut signed = case.certificates.iter().zip(1..).filter_map(|(certificate, number)| {
        let name = crypto::ml_dsa_name(certificate.signature_algorithm.algorithm.as_bytes())?;
        Some((certificate, number, name))
    });
    let (what, algorithm) = match (of_key, signed.next()) {
        (Some(algorithm), _) => ("the leaf's key".to_owned(), algorithm),
        (None, Some((_, 1, algorithm))) => ("the leaf's signature".to_owned(), algorithm),
        (None, Some((certificate, number, algorithm))) => {
            (format!("the signature of {}", name_in_chain(certificate, number, case.files.chain())), algorithm)
        }
        (None, None) => return,
    };
    let sentence = format!(
        "{what} is of {algorithm}, which peers without it refuse in every handshake (rustls with ring, OpenSSL before 3.5); see that all \
         of them have it, or serve a credential with ECDSA"
    );
    findings.add(Finding::new(Check::PostQuantum, Severity::Info, sentence).in_file(case.files.chain()));
}
