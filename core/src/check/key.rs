//! Private key and leaf belong together (RFC 8446 §4.4.3).

use x509_parser::prelude::X509Certificate;

use super::findings::{Consequences, Findings};
use super::lineage::{file_name, name_in_chain};
use super::{Case, public_key};
use crate::bundle::Bundle;
use crate::certificate::{self, is_ca, is_issued_leaf};
use crate::crypto;
use crate::digest::Digest;
use crate::finding::{Check, Finding, Severity};
use crate::material::KeyedCredential;
use crate::path::unsupported_key;
use crate::spec::CredentialFiles;

/// The sentence about a key that no handshake here can use.
pub(super) fn unsupported(which: &str) -> String {
    format!(
        "{which} is of a kind or size that is not supported; use RSA of 2048 to 8192 bits, ECDSA with P-256, P-384 or P-521, or Ed25519 \
         (ML-DSA where the crypto provider is aws-lc-rs)"
    )
}

/// Whether the leaf that the private key belongs to is in the bundle, and a CA in its place.
pub(super) fn is_swapped(keyed: &KeyedCredential, bundle: &Bundle) -> bool {
    let of_key = keyed.public_key.filter(|of_key| *of_key != keyed.leaf_public_key);
    let (Some(of_key), Some(first)) = (of_key, keyed.credential.chain().first()) else { return false };
    let is_leaf = |certificate: &X509Certificate<'_>| public_key(certificate) == of_key && !is_ca(certificate);
    certificate::parse(first).is_ok_and(|first| is_ca(&first))
        && bundle.anchors().iter().any(|der| certificate::parse(der).is_ok_and(|certificate| is_leaf(&certificate)))
}

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let files = case.files;
    let Some(of_key) = case.keyed.public_key else {
        return findings.reject(Check::KeyUnsupported, files.key(), unsupported("the private key"));
    };
    let of_leaf = case.keyed.leaf_public_key;
    if of_key == of_leaf {
        if let (CredentialFiles::Chain(_), true) = (files, is_ca(case.leaf))
            && let Some((leaf, number)) = case.issuers.iter().zip(2..).find(|(issuer, _)| is_issued_leaf(issuer))
        {
            let sentence = format!(
                "{} is a leaf, and comes after a CA's; in a chain put it first, then its issuers in order; leave it out of a bundle",
                name_in_chain(leaf, number, files.chain())
            );
            let finding = Finding::new(Check::LeafNotFirst, Severity::Reject, sentence).in_file(files.chain());
            return findings.add_cause(finding.about(leaf.as_raw()), Consequences::Rest);
        }
        // Of a chain that is judged without its key, the leaf alone tells what that is.
        if let Some(kind) = unsupported_key(case.leaf.public_key()) {
            let sentence = unsupported("the leaf's public key");
            let finding = Finding::new(Check::KeyUnsupported, Severity::Reject, sentence).in_file(files.chain());
            findings.add(finding.found(kind).expected("a key by which signatures are accepted"));
        }
        return;
    }
    if let Some(bundle) = case.swapped_with {
        let sentence = format!(
            "{} holds a CA certificate, and {} the leaf that the private key belongs to: the two are swapped; exchange them",
            file_name(files.chain()),
            file_name(bundle)
        );
        let finding = Finding::new(Check::KeyMismatch, Severity::Reject, sentence).in_file(files.chain());
        return findings.add_cause(finding.found(of_leaf).expected(of_key), Consequences::Rest);
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
            findings.add_cause(finding.found(of_key).expected(of_leaf), Consequences::Rest);
        }
        None if crypto::writes_key_of(case.leaf.public_key(), |written| Digest::fingerprint(written) == of_key) => {
            let sentence = "the leaf has the private key's public key, but written as rustls and other peers do not take it, such as with an \
                            explicit curve or for RSASSA-PSS alone; have it issued for a key that names its curve, or plain RSA";
            let finding = Finding::new(Check::KeyUnsupported, Severity::Reject, sentence).in_file(files.chain());
            findings.add(finding.found(of_leaf).expected(of_key));
        }
        None => {
            let sentence = "the private key is not the leaf's; write both from the same issuance (public keys are told as \
                            SHA-256 of their SubjectPublicKeyInfo)";
            let finding = Finding::new(Check::KeyMismatch, Severity::Reject, sentence).in_file(files.key());
            findings.add(finding.found(of_key).expected(of_leaf));
        }
    }
}
