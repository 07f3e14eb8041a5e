//! Name constraints on URIs (RFC 5280 §4.2.1.10), which SPIFFE's CAs are constrained by. webpki refuses every path under one that has a
//! URI in it.
//!
//! So where webpki refused a path for a constraint, it is asked once more with those on URIs taken out of what it is shown, and they
//! are evaluated here, over the path that it found. It verifies every signature all the same: over the certificate as it was signed,
//! which [`Restored`] puts back in the place of what was shown.

use der::asn1::{AnyRef, OctetStringRef};
use der::{Decode, Encode, Reader, SliceReader, Tag, TagNumber, Tagged};
use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, Der, InvalidSignature, SignatureVerificationAlgorithm, TrustAnchor,
};
use webpki::{Cert, EndEntityCert, VerifiedPath};

use super::constraints::{Constraints, URI, names_of};
use crate::elements::content;
use crate::extensions::{EXTENSIONS, NAME_CONSTRAINTS};

/// The certificates of a path without their constraints on URIs, and those constraints.
pub(super) struct WithoutUris<'p> {
    pub(super) intermediates: Vec<CertificateDer<'p>>,
    pub(super) anchors: Vec<TrustAnchor<'p>>,
    /// The messages that were signed, each beside the one that is shown in its place.
    signed: Vec<(Vec<u8>, &'p [u8])>,
    /// The content of the constraints of each intermediate that has any on URIs, by the certificate as it is shown.
    of_intermediates: Vec<(CertificateDer<'static>, &'p [u8])>,
    /// The same of each anchor, in their order.
    of_anchors: Vec<Option<&'p [u8]>>,
}

impl<'p> WithoutUris<'p> {
    /// Nothing, if none of them has a constraint on URIs.
    pub(super) fn of(intermediates: &'p [CertificateDer<'p>], anchors: &'p [TrustAnchor<'p>]) -> Option<Self> {
        let shown: Vec<_> = intermediates.iter().map(|der| Unconstrained::of(der)).collect();
        let of_anchor = |anchor: &'p TrustAnchor<'p>| {
            let constraints: &'p [u8] = anchor.name_constraints.as_ref()?;
            Some((constraints, reduced(constraints).ok()??))
        };
        let constrains = |anchor: &'p TrustAnchor<'p>| of_anchor(anchor).is_some();
        if shown.iter().all(Option::is_none) && !anchors.iter().any(constrains) {
            return None;
        }
        let mut without = Self {
            intermediates: Vec::with_capacity(intermediates.len()),
            anchors: Vec::with_capacity(anchors.len()),
            signed: Vec::new(),
            of_intermediates: Vec::new(),
            of_anchors: Vec::with_capacity(anchors.len()),
        };
        for (der, shown) in intermediates.iter().zip(shown) {
            without.intermediates.push(match shown {
                Some(Unconstrained { certificate, message, signed, constraints }) => {
                    let certificate = CertificateDer::from(certificate);
                    without.signed.push((message, signed));
                    without.of_intermediates.push((certificate.clone(), constraints));
                    certificate
                }
                None => CertificateDer::from(der.as_ref()),
            });
        }
        for anchor in anchors {
            let (constraints, left) = of_anchor(anchor).unzip();
            without.of_anchors.push(constraints);
            let name_constraints = match left {
                Some(left) if left.is_empty() => None,
                Some(left) => Some(Der::from(left)),
                None => anchor.name_constraints.as_ref().map(|constraints| Der::from_slice(constraints)),
            };
            without.anchors.push(TrustAnchor {
                subject: Der::from_slice(&anchor.subject),
                subject_public_key_info: Der::from_slice(&anchor.subject_public_key_info),
                name_constraints,
            });
        }
        Some(without)
    }

    /// The algorithms, each verifying what was signed where it is given what is shown.
    pub(super) fn restoring<'a>(&'a self, algorithms: &[&'a dyn SignatureVerificationAlgorithm]) -> Vec<Restored<'a>> {
        algorithms.iter().map(|algorithm| Restored { algorithm: *algorithm, signed: &self.signed }).collect()
    }

    /// Whether every URI of a path is inside the constraints of every issuer above it.
    pub(super) fn hold(&self, path: &VerifiedPath<'_>) -> bool {
        let end_entity: &Cert<'_> = path.end_entity();
        let mut below = vec![end_entity.der()];
        for issuer in path.intermediate_certificates() {
            let shown = issuer.der();
            let constraints = self.of_intermediates.iter().find(|(certificate, _)| *certificate == shown);
            if !constraints.is_none_or(|(_, constraints)| inside(&below, constraints)) {
                return false;
            }
            below.push(shown);
        }
        let anchor = self.anchors.iter().position(|anchor| std::ptr::eq(anchor, path.anchor()));
        let constraints = anchor.and_then(|anchor| self.of_anchors.get(anchor).copied().flatten());
        constraints.is_none_or(|constraints| inside(&below, constraints))
    }
}

/// Whether the URIs of these certificates are inside of constraints; what cannot be read is not.
fn inside(certificates: &[CertificateDer<'_>], constraints: &[u8]) -> bool {
    let Ok(constraints) = Constraints::of(constraints) else { return false };
    certificates.iter().all(|certificate| {
        names_of(certificate).is_some_and(|mut names| {
            names.retain(|name| name.kind == URI);
            !constraints.are_broken_by(&names)
        })
    })
}

/// A certificate without its constraints on URIs.
struct Unconstrained<'a> {
    certificate: Vec<u8>,
    /// The part of what is shown that webpki takes for the one that was signed.
    message: Vec<u8>,
    /// The part of it that was signed.
    signed: &'a [u8],
    /// The content of its name constraints, all of them.
    constraints: &'a [u8],
}

impl<'a> Unconstrained<'a> {
    /// Nothing of one without constraints on URIs, or that webpki does not take for a certificate: written anew, it might.
    fn of(der: &'a CertificateDer<'_>) -> Option<Self> {
        EndEntityCert::try_from(der).ok()?;
        Self::rewrite(der).ok().flatten()
    }

    fn rewrite(der: &'a [u8]) -> der::Result<Option<Self>> {
        let mut parts = SliceReader::new(AnyRef::from_der(der)?.value())?;
        let signed = parts.tlv_bytes()?;
        let mut fields = SliceReader::new(content(signed))?;
        let (mut message, mut constraints) = (Vec::with_capacity(signed.len()), None);
        while !fields.is_finished() {
            let field = fields.tlv_bytes()?;
            if AnyRef::from_der(field)?.tag() != EXTENSIONS {
                message.extend_from_slice(field);
                continue;
            }
            let mut extensions = SliceReader::new(content(content(field)))?;
            let mut left = Vec::with_capacity(field.len());
            while !extensions.is_finished() {
                let extension = extensions.tlv_bytes()?;
                match constrained(extension)? {
                    Some((found, shown)) => {
                        constraints = Some(found);
                        left.extend(shown);
                    }
                    None => left.extend_from_slice(extension),
                }
            }
            let extensions = AnyRef::new(Tag::Sequence, &left)?.to_der()?;
            message.extend(AnyRef::new(AnyRef::from_der(field)?.tag(), &extensions)?.to_der()?);
        }
        let Some(constraints) = constraints else { return Ok(None) };
        let message = AnyRef::new(Tag::Sequence, &message)?.to_der()?;
        let rest = parts.read_slice(parts.remaining_len())?;
        let certificate = AnyRef::new(Tag::Sequence, &[message.as_slice(), rest].concat())?.to_der()?;
        Ok(Some(Self { certificate, message, signed, constraints }))
    }
}

/// Of an extension that constrains URIs: the content of its constraints, and the extension without those, which may be nothing.
fn constrained(extension: &[u8]) -> der::Result<Option<(&[u8], Vec<u8>)>> {
    let mut fields = SliceReader::new(content(extension))?;
    let oid = fields.tlv_bytes()?;
    if const_oid::ObjectIdentifier::from_der(oid)? != NAME_CONSTRAINTS {
        return Ok(None);
    }
    let before = fields.tlv_bytes()?;
    // The second field is whether it is critical, where it is.
    let (critical, value) = if fields.is_finished() { (&[][..], before) } else { (before, fields.tlv_bytes()?) };
    let constraints = content(<&OctetStringRef>::from_der(value)?.as_bytes());
    let Some(left) = reduced(constraints)? else { return Ok(None) };
    if left.is_empty() {
        return Ok(Some((constraints, Vec::new())));
    }
    let value = AnyRef::new(Tag::OctetString, &AnyRef::new(Tag::Sequence, &left)?.to_der()?)?.to_der()?;
    let extension = AnyRef::new(Tag::Sequence, &[oid, critical, &value].concat())?.to_der()?;
    Ok(Some((constraints, extension)))
}

/// Name constraints without those on URIs, both without the header; `None` if there are none on URIs.
fn reduced(constraints: &[u8]) -> der::Result<Option<Vec<u8>>> {
    let mut fields = SliceReader::new(constraints)?;
    let (mut left, mut found) = (Vec::with_capacity(constraints.len()), false);
    while !fields.is_finished() {
        let field = AnyRef::decode(&mut fields)?;
        let mut subtrees = SliceReader::new(field.value())?;
        let mut of_field = Vec::with_capacity(field.value().len());
        while !subtrees.is_finished() {
            let subtree = subtrees.tlv_bytes()?;
            let mut base = SliceReader::new(content(subtree))?;
            match AnyRef::decode(&mut base)?.tag() {
                Tag::ContextSpecific { number: TagNumber(URI), .. } => found = true,
                _ => of_field.extend_from_slice(subtree),
            }
        }
        if !of_field.is_empty() {
            left.extend(AnyRef::new(field.tag(), &of_field)?.to_der()?);
        }
    }
    Ok(found.then_some(left))
}

/// A signature algorithm that is given what is shown of a certificate, and verifies what was signed.
#[derive(Debug)]
pub(super) struct Restored<'a> {
    algorithm: &'a dyn SignatureVerificationAlgorithm,
    signed: &'a [(Vec<u8>, &'a [u8])],
}

impl SignatureVerificationAlgorithm for Restored<'_> {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let signed = self.signed.iter().find(|(shown, _)| shown == message);
        self.algorithm.verify_signature(public_key, signed.map_or(message, |(_, signed)| signed), signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

#[cfg(test)]
mod tests;
