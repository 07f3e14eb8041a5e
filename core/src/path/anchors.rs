//! The anchors of a bundle, sorted by what they may do, and prepared so that a validation copies none of them.

use std::borrow::Cow;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, Der, TrustAnchor, UnixTime};
use webpki::anchor_from_trusted_cert;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{X509Certificate, X509Version};

use super::error::{PathError, UnusableAnchor};
use super::{keys, words};
use crate::certificate::{is_self_issued, parse, system_time};
use crate::clock::unix_time;
use crate::digest::Digest;

/// The anchors of one bundle.
pub(super) struct Anchors {
    /// Those that may issue; the first to expire are at the front.
    issuing: Vec<TrustAnchor<'static>>,
    /// The validity of each of `issuing`, in the same order.
    validity: Vec<Validity>,
    /// How many of `issuing` share one name, at the most.
    pub(super) namesakes: usize,
    /// When the last of `issuing` becomes valid.
    latest_not_before: UnixTime,
    /// Those that vouch for nobody but themselves, sorted by their DER.
    pinned: Vec<(CertificateDer<'static>, TrustAnchor<'static>)>,
    /// Those that take no part.
    pub(super) unusable: Vec<(Digest, UnusableAnchor)>,
    /// The subjects of `unusable`, in the same order.
    unusable_subjects: Vec<Vec<u8>>,
}

#[derive(Clone, Copy)]
pub(super) struct Validity {
    pub(super) not_before: UnixTime,
    pub(super) not_after: UnixTime,
}

impl Validity {
    fn holds_at(self, now: UnixTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

impl Anchors {
    /// Prepares `certificates`, which are sorted by their DER.
    pub(super) fn new(certificates: &[CertificateDer<'static>]) -> Self {
        let mut issuing = Vec::with_capacity(certificates.len());
        let mut pinned = Vec::new();
        let (mut unusable, mut unusable_subjects) = (Vec::new(), Vec::new());
        for certificate in certificates {
            match prepare(certificate) {
                Ok((Vouches::ForOthers, validity, anchor)) => issuing.push((validity, anchor)),
                Ok((Vouches::ForItself, _, anchor)) => pinned.push((certificate.clone(), anchor)),
                Err(reason) => {
                    unusable.push((Digest::fingerprint(certificate), reason));
                    let subject = parse(certificate).map(|parsed| parsed.subject().as_raw().to_vec());
                    unusable_subjects.push(subject.unwrap_or_default());
                }
            }
        }
        issuing.sort_by_key(|(validity, _)| validity.not_after);
        let (validity, issuing): (Vec<Validity>, Vec<_>) = issuing.into_iter().unzip();
        let latest_not_before =
            validity.iter().map(|v| v.not_before).max().unwrap_or(UnixTime::since_unix_epoch(Duration::ZERO));
        let namesakes = most_of_one_name(&issuing);
        Self { issuing, validity, namesakes, latest_not_before, pinned, unusable, unusable_subjects }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.issuing.is_empty() && self.pinned.is_empty()
    }

    /// Why none of them can be used.
    pub(super) fn none_usable(&self) -> PathError {
        match self.unusable.first() {
            Some((_, reason)) => PathError::NoUsableAnchor { first: reason.clone() },
            None => PathError::NoAnchor,
        }
    }

    /// Those that take no part, with their subjects.
    pub(super) fn unusable_with_subjects(&self) -> impl Iterator<Item = (&Vec<u8>, &UnusableAnchor)> {
        self.unusable_subjects.iter().zip(self.unusable.iter().map(|(_, reason)| reason))
    }

    /// The name constraints of the issuing anchors with one of these subjects, both without their headers.
    pub(super) fn constraints<'a>(&'a self, subjects: &'a [&[u8]]) -> impl Iterator<Item = &'a [u8]> {
        let named = self.issuing.iter().filter(|anchor| subjects.contains(&anchor.subject.as_ref()));
        named.filter_map(|anchor| anchor.name_constraints.as_ref().map(AsRef::as_ref))
    }

    pub(super) fn len(&self) -> usize {
        self.issuing.len() + self.pinned.len()
    }

    /// The issuing anchors that are valid at `now`: webpki looks at no anchor's validity. Borrowed whole but for the rare
    /// bundle with an anchor that becomes valid later.
    pub(super) fn valid_at(&self, now: UnixTime) -> Cow<'_, [TrustAnchor<'_>]> {
        let first = self.validity.partition_point(|validity| validity.not_after < now);
        if self.latest_not_before <= now {
            return Cow::Borrowed(&self.issuing[first..]);
        }
        let anchors = self.issuing.iter().zip(&self.validity).skip(first);
        Cow::Owned(anchors.filter(|(_, validity)| validity.holds_at(now)).map(|(anchor, _)| borrow(anchor)).collect())
    }

    /// The issuing anchors that are not valid at `now`, and the validity of each.
    pub(super) fn invalid_at(&self, now: UnixTime) -> (Vec<TrustAnchor<'_>>, Vec<Validity>) {
        let anchors = self.issuing.iter().map(borrow).zip(self.validity.iter().copied());
        anchors.filter(|(_, validity)| !validity.holds_at(now)).unzip()
    }

    /// The next instant at which an issuing anchor becomes valid or has expired.
    pub(super) fn changes_after(&self, now: UnixTime) -> Option<UnixTime> {
        let expiry = |not_after: UnixTime| UnixTime::since_unix_epoch(Duration::from_secs(not_after.as_secs() + 1));
        let instants = self.validity.iter().flat_map(|validity| [validity.not_before, expiry(validity.not_after)]);
        instants.filter(|instant| *instant > now).min()
    }

    /// The anchor that is `leaf` itself and may not issue.
    pub(super) fn pinned(&self, leaf: &CertificateDer<'_>) -> Option<&TrustAnchor<'static>> {
        let found = self.pinned.binary_search_by(|(certificate, _)| certificate.as_ref().cmp(leaf.as_ref())).ok()?;
        Some(&self.pinned[found].1)
    }
}

fn most_of_one_name(anchors: &[TrustAnchor<'_>]) -> usize {
    let mut names: Vec<&[u8]> = anchors.iter().map(|anchor| anchor.subject.as_ref()).collect();
    names.sort_unstable();
    names.chunk_by(|one, other| one == other).map(<[_]>::len).max().unwrap_or_default()
}

/// The certificates that an anchor vouches for.
enum Vouches {
    /// Those that it issues.
    ForOthers,
    ForItself,
}

fn prepare(der: &CertificateDer<'static>) -> Result<(Vouches, Validity, TrustAnchor<'static>), UnusableAnchor> {
    let certificate = parse(der).map_err(|error| UnusableAnchor::Malformed(error.to_string()))?;
    for extension in certificate.extensions().iter().filter(|extension| extension.critical) {
        if matches!(
            extension.parsed_extension(),
            ParsedExtension::UnsupportedExtension { .. }
                | ParsedExtension::ParseError { .. }
                | ParsedExtension::Unparsed
        ) {
            return Err(UnusableAnchor::CriticalExtension(extension.oid.to_id_string()));
        }
    }
    if certificate.subject().iter().next().is_none() {
        return Err(UnusableAnchor::EmptySubject);
    }
    if let Some(key) = keys::unsupported(certificate.public_key()) {
        return Err(UnusableAnchor::Key(key));
    }
    let vouches = if may_issue(&certificate)? {
        Vouches::ForOthers
    } else if is_self_issued(&certificate) {
        Vouches::ForItself
    } else {
        return Err(UnusableAnchor::NotCa);
    };
    let anchor =
        anchor_from_trusted_cert(der).map_err(|error| UnusableAnchor::Malformed(words::of(&error).to_owned()))?;
    let validity = Validity {
        not_before: unix_time(system_time(certificate.validity().not_before)),
        not_after: unix_time(system_time(certificate.validity().not_after)),
    };
    Ok((vouches, validity, anchor.to_owned()))
}

/// Whether a certificate may issue others: a version 1 certificate, which cannot say, or a CA whose key usage allows it.
/// webpki would let the holder of any certificate in the bundle issue.
fn may_issue(certificate: &X509Certificate<'_>) -> Result<bool, UnusableAnchor> {
    // No other error is left: what is in an extension was parsed with the certificate.
    let malformed = |_| UnusableAnchor::Malformed("an extension is there twice".to_owned());
    if certificate.version() == X509Version::V1 {
        return Ok(true);
    }
    let is_ca = certificate.basic_constraints().map_err(malformed)?.is_some_and(|constraints| constraints.value.ca);
    let may_sign = certificate.key_usage().map_err(malformed)?.is_none_or(|usage| usage.value.key_cert_sign());
    Ok(is_ca && may_sign)
}

fn borrow<'a>(anchor: &'a TrustAnchor<'static>) -> TrustAnchor<'a> {
    TrustAnchor {
        subject: Der::from_slice(&anchor.subject),
        subject_public_key_info: Der::from_slice(&anchor.subject_public_key_info),
        name_constraints: anchor.name_constraints.as_ref().map(|constraints| Der::from_slice(constraints)),
    }
}
