//! Private key and leaf belong together (RFC 8446 §4.4.3).

use super::lineage::name_in_chain;
use super::report::{Consequences, Report};
use super::{Case, Check, Finding, Severity, public_key};
use crate::crypto;
use crate::digest::Digest;

pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    let files = case.files;
    let Some(of_key) = case.keyed.public_key else {
        let sentence = "the private key is of a kind or size that is not supported; use RSA of 2048 to 8192 bits, ECDSA \
                        with P-256, P-384 or P-521, or Ed25519";
        return report.reject(Check::KeyUnsupported, files.key(), sentence);
    };
    let of_leaf = case.keyed.leaf_public_key;
    if of_key == of_leaf {
        return;
    }
    let leaf = case.issuers.iter().zip(2..).find(|(issuer, _)| public_key(issuer) == of_key);
    match leaf {
        Some((leaf, number)) => {
            let sentence = format!(
                "the private key belongs to {}, which is the leaf; put that first, then its issuers in order",
                name_in_chain(leaf, number, files.chain())
            );
            let finding = Finding::new(Check::LeafNotFirst, Severity::Reject, sentence).in_file(files.chain());
            // All else that is said is said of a certificate that is not the leaf.
            report.add_cause(finding.found(of_key).expected(of_leaf), Consequences::Rest);
        }
        None if crypto::writes_key_of(case.leaf.public_key(), |written| Digest::fingerprint(written) == of_key) => {
            let sentence = "the leaf has the private key's public key, but written as rustls and other peers do not take it, such as with an \
                            explicit curve or for RSASSA-PSS alone; have it issued for a key that names its curve, or plain RSA";
            let finding = Finding::new(Check::KeyUnsupported, Severity::Reject, sentence).in_file(files.chain());
            report.add(finding.found(of_leaf).expected(of_key));
        }
        None => {
            let sentence = "the private key is not the leaf's; write both from the same issuance (public keys are told as \
                            SHA-256 of their SubjectPublicKeyInfo)";
            let finding = Finding::new(Check::KeyMismatch, Severity::Reject, sentence).in_file(files.key());
            report.add(finding.found(of_key).expected(of_leaf));
        }
    }
}
