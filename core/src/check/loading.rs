//! A credential that cannot be loaded is not published, be it the TLS stack that would present it or one that would receive it.

use std::borrow::Cow;

use webpki::{DerTypeId, Error};
use x509_parser::prelude::X509Certificate;

use super::Case;
use super::findings::{Consequences, Findings};
use crate::finding::{Check, Finding, Severity};
use crate::loading::{self, LoadError, MAX_CERTIFICATE_MESSAGE};
use crate::path::words;

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    if let Err(LoadError::TooLong { length }) = loading::message(case.chain()) {
        let sentence = "the chain is too long for a handshake, and no peer is sure to receive it; leave out what did not issue the leaf";
        let finding = Finding::new(Check::Unloadable, Severity::Reject, sentence).in_file(case.files.chain());
        let finding = finding.found(format!("{length} octets")).expected(format!("at most {MAX_CERTIFICATE_MESSAGE}"));
        findings.add_fatal(finding, Consequences::Of(&[]));
    }
    let Some(Err(error)) = case.chain().first().map(loading::leaf) else { return };
    let Some(sentence) = sentence(&error, case.leaf) else { return };
    let (check, consequences) = match &error {
        LoadError::NoRole | LoadError::Leaf(Error::EmptyEkuExtension) => (Check::ExtendedKeyUsage, OF_USAGES),
        LoadError::Leaf(Error::UnsupportedCertVersion) => (Check::Unloadable, OF_VERSION),
        LoadError::DoubledExtension { oid } => (Check::Unloadable, of_extension(oid)),
        LoadError::KeyUsage => (Check::Unloadable, of_extension(loading::KEY_USAGE)),
        LoadError::Names => (Check::Unloadable, of_extension(loading::SUBJECT_ALT_NAME)),
        _ => (Check::Unloadable, OF_PATH),
    };
    let finding = Finding::new(check, Severity::Reject, sentence).in_file(case.files.chain());
    findings.add_fatal(finding, Consequences::Of(consequences));
}

/// The cause and the advice; none for an error that is not of the leaf alone.
fn sentence(error: &LoadError, leaf: &X509Certificate<'_>) -> Option<Cow<'static, str>> {
    Some(match error {
        LoadError::NoRole => "the leaf's extended key usage allows neither server auth nor client auth, and no peer takes it for either; \
                              have it issued with one of them"
            .into(),
        LoadError::Leaf(Error::EmptyEkuExtension) => {
            "the leaf's extended key usage lists nothing, and no peer takes it for any role; have it issued with server auth or client auth"
                .into()
        }
        LoadError::DoubledExtension { oid } => format!(
            "the leaf has the extension {oid} more than once, which no certificate may; have it issued with each extension once"
        )
        .into(),
        LoadError::CriticalExtension { oid } => format!(
            "the leaf's extension {oid} is critical and not understood, so no peer may pass over it; have the leaf issued without it, or \
             with it not marked critical"
        )
        .into(),
        LoadError::Leaf(Error::UnsupportedCertVersion) => {
            "the leaf is not of X.509 version 3, and peers take no other; have it issued as version 3, with its names".into()
        }
        LoadError::Leaf(Error::BadDerTime | Error::TrailingData(DerTypeId::Time)) => {
            "a time of the leaf's validity is not written as RFC 5280 §4.1.2.5 demands, to the second and in UTC, and peers cannot read it; \
             have it issued again"
                .into()
        }
        LoadError::SerialNumber => {
            "the leaf's serial number is empty, or padded with octets that it does not need, and peers cannot read it; have it issued again"
                .into()
        }
        LoadError::KeyUsage => {
            "the leaf's key usage is no bit string, as RFC 5280 §4.2.1.3 demands, and peers cannot read it; have it issued again".into()
        }
        LoadError::Names => {
            "the leaf's subject alternative names cannot be read to their end, since one is of no kind that there is or is cut off; have it \
             issued again"
                .into()
        }
        LoadError::Leaf(_) if leaf.issuer_uid.is_some() || leaf.subject_uid.is_some() => {
            "the leaf has a unique identifier of its issuer or subject, and peers with rustls cannot read it; have it issued without".into()
        }
        LoadError::Leaf(why) => {
            format!("no peer can use the leaf, since {}; have it issued again", words::of(why)).into()
        }
        _ => return None,
    })
}

/// The path breaks where the leaf does.
const OF_PATH: &[Check] = &[Check::ChainUntrusted];

/// A leaf that is for neither role is for none that is wanted.
const OF_USAGES: &[Check] = &[Check::ExtendedKeyUsage, Check::ChainUntrusted];

/// A leaf of another version has no extensions, and so no names and no usages.
const OF_VERSION: &[Check] =
    &[Check::NoSan, Check::NameMissing, Check::KeyUsage, Check::ExtendedKeyUsage, Check::ChainUntrusted];

/// The checks that miss what an extension says that is there twice, and so cannot be read.
fn of_extension(oid: &str) -> &'static [Check] {
    match oid {
        loading::KEY_USAGE => &[Check::KeyUsage, Check::LeafAuthority, Check::ChainUntrusted],
        loading::SUBJECT_ALT_NAME => &[Check::NoSan, Check::NameMissing, Check::NameUnusable, Check::ChainUntrusted],
        loading::BASIC_CONSTRAINTS => &[Check::LeafIsCa, Check::ChainUntrusted],
        loading::EXTENDED_KEY_USAGE => OF_USAGES,
        _ => OF_PATH,
    }
}
