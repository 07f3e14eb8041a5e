//! What nobody can load is not published: neither the TLS stack that would present the chain nor one that would receive it.

use webpki::{DerTypeId, Error};

use super::report::{Consequences, Report};
use super::{Case, Check, Finding, Severity};
use crate::loading::{self, LoadError, MAX_CERTIFICATE_MESSAGE};
use crate::path::words;

pub(super) fn check(case: &Case<'_>, report: &mut Report) {
    if let Err(LoadError::TooLong { length }) = loading::message(case.chain()) {
        let sentence = "the chain is too long for a handshake, and no peer is sure to receive it; leave out what did not issue the leaf";
        let finding = Finding::new(Check::Unloadable, Severity::Reject, sentence).in_file(case.files.chain());
        let finding = finding.found(format!("{length} octets")).expected(format!("at most {MAX_CERTIFICATE_MESSAGE}"));
        report.add_fatal(finding, Consequences::Of(&[]));
    }
    let Some(Err(error)) = case.chain().first().map(loading::leaf) else { return };
    let (check, sentence, consequences) = match &error {
        LoadError::NoRole => (
            Check::ExtendedKeyUsage,
            "the leaf's extended key usage allows neither server auth nor client auth, and no peer takes it for either; have it \
             issued with one of them"
                .into(),
            Consequences::Of(&[Check::ExtendedKeyUsage, Check::ChainUntrusted]),
        ),
        LoadError::Leaf(Error::EmptyEkuExtension) => (
            Check::ExtendedKeyUsage,
            "the leaf's extended key usage lists nothing, and no peer takes it for any role; have it issued with server auth or \
             client auth"
                .into(),
            Consequences::Of(&[Check::ExtendedKeyUsage, Check::ChainUntrusted]),
        ),
        LoadError::DoubledExtension { oid } => (
            Check::Unloadable,
            format!(
                "the leaf has the extension {oid} more than once, which no certificate may; have it issued with each extension once"
            ),
            of_extension(oid),
        ),
        LoadError::CriticalExtension { oid } => (
            Check::Unloadable,
            format!(
                "the leaf's extension {oid} is critical and not understood, so no peer may pass over it; have the leaf issued \
                 without it, or with it not marked critical"
            ),
            Consequences::Of(OF_PATH),
        ),
        // It has no extension at all.
        LoadError::Leaf(Error::UnsupportedCertVersion) => (
            Check::Unloadable,
            "the leaf is not of X.509 version 3, and peers take no other; have it issued as version 3, with its names".into(),
            Consequences::Of(OF_VERSION),
        ),
        LoadError::Leaf(Error::BadDerTime | Error::TrailingData(DerTypeId::Time)) => (
            Check::Unloadable,
            "a time of the leaf's validity is not written as RFC 5280 §4.1.2.5 demands, to the second and in UTC, and peers \
             cannot read it; have it issued again"
                .into(),
            Consequences::Of(OF_PATH),
        ),
        LoadError::Leaf(_) if case.leaf.issuer_uid.is_some() || case.leaf.subject_uid.is_some() => (
            Check::Unloadable,
            "the leaf has a unique identifier of its issuer or subject, and peers with rustls cannot read it; have it issued without"
                .into(),
            Consequences::Of(OF_PATH),
        ),
        LoadError::Leaf(why) => (
            Check::Unloadable,
            format!("no peer can use the leaf, since {}; have it issued again", words::of(why)),
            Consequences::Of(OF_PATH),
        ),
        // Nothing else is of the leaf alone.
        _ => return,
    };
    let finding = Finding::new(check, Severity::Reject, sentence).in_file(case.files.chain());
    report.add_fatal(finding, consequences);
}

/// The path breaks where the leaf does.
const OF_PATH: &[Check] = &[Check::ChainUntrusted];

/// A leaf without extensions has no names and no usages.
const OF_VERSION: &[Check] =
    &[Check::NoSan, Check::NameMissing, Check::KeyUsage, Check::ExtendedKeyUsage, Check::ChainUntrusted];

/// What an extension that is there twice, and so cannot be read, is missed by.
fn of_extension(oid: &str) -> Consequences {
    Consequences::Of(match oid {
        "2.5.29.15" => &[Check::KeyUsage, Check::LeafAuthority, Check::ChainUntrusted],
        "2.5.29.17" => &[Check::NoSan, Check::NameMissing, Check::NameUnusable, Check::ChainUntrusted],
        "2.5.29.19" => &[Check::LeafIsCa, Check::ChainUntrusted],
        "2.5.29.37" => &[Check::ExtendedKeyUsage, Check::ChainUntrusted],
        _ => OF_PATH,
    })
}
