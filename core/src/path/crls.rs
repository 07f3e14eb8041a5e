//! The CRLs of a bundle, prepared for validation.
//!
//! webpki takes the first list that carries the name of a certificate's issuer, and fails the path if that list is not signed by the
//! issuer's key. So the newest list comes first, and one by another key of the same name (a CA that was renewed under a new key)
//! is kept from anchors and intermediates that did not sign it: it would fail every peer under them.

use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, CertificateRevocationListDer, SignatureVerificationAlgorithm, TrustAnchor,
    UnixTime,
};
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::extensions::ParsedExtension;
use x509_parser::num_bigint::BigUint;
use x509_parser::prelude::{FromDer, X509Certificate, X509Extension};
use x509_parser::revocation_list::CertificateRevocationList;

use super::error::unix_time;
use crate::bundle::Bundle;
use crate::certificate::{parse, system_time};
use crate::crypto;

/// How many intermediates of one name a list is verified against: a peer chooses what it sends, and a list may be megabytes long. Where
/// there are more, the list is held against the path.
const MOST_OF_ONE_NAME: usize = 4;

pub(super) struct Crls {
    /// The newest first.
    lists: Vec<CertRevocationList<'static>>,
    /// The lists that an anchor with this public key did not sign although they carry its name.
    foreign: Vec<(Vec<u8>, usize)>,
    /// The lists whose issuer's name no anchor has: only an intermediate can have signed them.
    of_intermediates: Vec<OfIntermediate>,
    /// When each list is to be replaced, the soonest first.
    next_updates: Vec<UnixTime>,
    /// Those no anchor of their issuer's name can have signed, by their place in the bundle.
    pub(super) unusable: Vec<usize>,
}

/// A list that only an intermediate can have signed. It is held against the intermediates that each peer shows, and may be megabytes
/// long: so what tells it apart in nearly every case is kept beside it, and the list is parsed in the others alone.
struct OfIntermediate {
    /// Its place in [`Crls::lists`].
    place: usize,
    issuer: Vec<u8>,
    authority_key: Option<Vec<u8>>,
    der: CertificateRevocationListDer<'static>,
}

impl Crls {
    pub(super) fn new(bundle: &Bundle) -> Result<Self, webpki::Error> {
        let anchors = if bundle.crls().is_empty() { [].as_slice() } else { bundle.anchors() };
        let anchors: Vec<X509Certificate<'_>> = anchors.iter().filter_map(|anchor| parse(anchor).ok()).collect();
        let mut prepared = Vec::with_capacity(bundle.crls().len());
        let mut unusable = Vec::new();
        for (place, der) in bundle.crls().iter().enumerate() {
            let list = CertRevocationList::from(OwnedCertRevocationList::from_der(der)?);
            // To pass over a list would be to accept whom it revokes.
            let issued = Issued::of(der, &anchors).ok_or(webpki::Error::BadDer)?;
            if issued.by_nobody {
                unusable.push(place);
            } else {
                prepared.push((list, issued, der));
            }
        }
        // Lists of one second are told apart by their numbers, which only grow (RFC 5280 §5.2.3).
        prepared.sort_by(|(_, a, _), (_, b, _)| (b.this_update, &b.number).cmp(&(a.this_update, &a.number)));
        let mut next_updates: Vec<_> = prepared.iter().filter_map(|(_, issued, _)| issued.next_update).collect();
        next_updates.sort();
        let foreign = prepared.iter().enumerate();
        let foreign =
            foreign.flat_map(|(list, (_, issued, _))| issued.not_by.iter().map(move |key| (key.clone(), list)));
        let of_intermediates = prepared.iter().enumerate().filter(|(_, (_, issued, _))| issued.by_no_anchor);
        let of_intermediates = of_intermediates.filter_map(|(place, (_, _, der))| OfIntermediate::new(place, der));
        Ok(Self {
            foreign: foreign.collect(),
            of_intermediates: of_intermediates.collect(),
            lists: prepared.into_iter().map(|(list, _, _)| list).collect(),
            next_updates,
            unusable,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.lists.len()
    }

    /// Whether every list may be held against a path to any anchor.
    pub(super) fn suit_every_anchor(&self) -> bool {
        self.foreign.is_empty()
    }

    /// The lists by another key of an intermediate's name.
    pub(super) fn foreign_to(&self, intermediates: &[CertificateDer<'_>]) -> Vec<usize> {
        if self.of_intermediates.is_empty() {
            return Vec::new();
        }
        let intermediates: Vec<_> = intermediates.iter().filter_map(|der| parse(der).ok()).collect();
        let foreign = self.of_intermediates.iter().filter(|list| list.is_foreign_to(&intermediates));
        foreign.map(|list| list.place).collect()
    }

    pub(super) fn all_but(&self, foreign: &[usize]) -> Vec<&CertRevocationList<'static>> {
        self.lists.iter().enumerate().filter(|(list, _)| !foreign.contains(list)).map(|(_, list)| list).collect()
    }

    /// Those for a path to this anchor, but for `foreign`.
    pub(super) fn of(&self, anchor: &TrustAnchor<'_>, foreign: &[usize]) -> Vec<&CertRevocationList<'static>> {
        // The anchor's key is without the header of its structure.
        let key = anchor.subject_public_key_info.as_ref();
        let not_its = self.foreign.iter().filter(|(not_by, _)| not_by.ends_with(key)).map(|(_, list)| *list);
        self.all_but(&not_its.chain(foreign.iter().copied()).collect::<Vec<_>>())
    }

    /// The next instant at which a list is stale.
    pub(super) fn stale_after(&self, now: UnixTime) -> Option<UnixTime> {
        let after = self.next_updates.partition_point(|next_update| *next_update <= now);
        self.next_updates.get(after).copied()
    }
}

impl OfIntermediate {
    fn new(place: usize, der: &CertificateRevocationListDer<'static>) -> Option<Self> {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        let issuer = list.issuer().as_raw().to_vec();
        let authority_key = authority_key(list.extensions()).map(<[u8]>::to_vec);
        Some(Self { place, issuer, authority_key, der: der.clone() })
    }

    /// Whether there are intermediates with the issuer's name, and none of them signed it.
    fn is_foreign_to(&self, intermediates: &[X509Certificate<'_>]) -> bool {
        let named: Vec<_> = named(intermediates, &self.issuer).collect();
        if named.is_empty() || named.iter().any(|issuer| has_key(issuer, self.authority_key.as_deref())) {
            return false;
        }
        if named.len() > MOST_OF_ONE_NAME {
            return false;
        }
        let Ok((_, list)) = CertificateRevocationList::from_der(&self.der) else { return false };
        !named.iter().any(|issuer| is_signed_by(&list, issuer))
    }
}

/// By whom a list was issued, as far as it can be told from its name and key identifier.
struct Issued {
    this_update: UnixTime,
    next_update: Option<UnixTime>,
    number: Option<BigUint>,
    /// The public keys of anchors with the issuer's name that did not sign it, or may not.
    not_by: Vec<Vec<u8>>,
    /// And there is none else of that name.
    by_nobody: bool,
    /// No anchor has the issuer's name.
    by_no_anchor: bool,
}

impl Issued {
    fn of(der: &CertificateRevocationListDer<'_>, anchors: &[X509Certificate<'_>]) -> Option<Self> {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        let named: Vec<_> = named(anchors, list.issuer().as_raw()).collect();
        let not_by: Vec<_> = named
            .iter()
            .filter(|anchor| !may_have_signed(anchor, &list))
            .map(|anchor| anchor.public_key().raw.to_vec())
            .collect();
        Some(Self {
            this_update: unix_time(system_time(list.last_update())),
            next_update: list.next_update().map(|at| unix_time(system_time(at))),
            number: list.crl_number().cloned(),
            by_nobody: !named.is_empty() && not_by.len() == named.len(),
            by_no_anchor: named.is_empty(),
            not_by,
        })
    }
}

/// Those with this name.
fn named<'c, 'd>(
    certificates: &'c [X509Certificate<'d>],
    name: &[u8],
) -> impl Iterator<Item = &'c X509Certificate<'d>> {
    certificates.iter().filter(move |certificate| certificate.subject().as_raw() == name)
}

/// RFC 5280 §4.2.1.3: the key usage allows it, and the key is the one that signed it.
fn may_have_signed(anchor: &X509Certificate<'_>, list: &CertificateRevocationList<'_>) -> bool {
    let may_sign = anchor.key_usage().ok().flatten().is_none_or(|usage| usage.value.crl_sign());
    may_sign && (has_key(anchor, authority_key(list.extensions())) || is_signed_by(list, anchor))
}

/// Whether the key identifiers (RFC 5280 §5.2.1) match. Where they do not the signature decides: a certificate that is issued again
/// for the same key may have another identifier, and a list may have none.
fn has_key(issuer: &X509Certificate<'_>, authority_key: Option<&[u8]>) -> bool {
    authority_key.is_some() && subject_key(issuer.extensions()) == authority_key
}

/// Whether the signature is by that key, or of a kind that cannot be verified here.
fn is_signed_by(list: &CertificateRevocationList<'_>, issuer: &X509Certificate<'_>) -> bool {
    let (key, signature) = (issuer.public_key(), &list.signature_algorithm.algorithm);
    let algorithms = crypto::provider().signature_verification_algorithms.all;
    let of_kind = |algorithm: &&&dyn SignatureVerificationAlgorithm| {
        object_identifier(&algorithm.signature_alg_id()) == Some(signature.as_bytes())
            && object_identifier(&algorithm.public_key_alg_id()) == Some(key.algorithm.algorithm.as_bytes())
    };
    let is_known = algorithms
        .iter()
        .any(|algorithm| object_identifier(&algorithm.signature_alg_id()) == Some(signature.as_bytes()));
    let mut candidates = algorithms.iter().filter(of_kind);
    !is_known
        || candidates.any(|algorithm| {
            let (message, signature) = (list.tbs_cert_list.as_ref(), &list.signature_value.data);
            algorithm.verify_signature(&key.subject_public_key.data, message, signature).is_ok()
        })
}

/// Of an `AlgorithmIdentifier` without its header, whose first element that is.
fn object_identifier(algorithm: &AlgorithmIdentifier) -> Option<&[u8]> {
    match algorithm.as_ref() {
        [6, length, rest @ ..] => rest.get(..usize::from(*length)),
        _ => None,
    }
}

fn subject_key<'a>(extensions: &'a [X509Extension<'_>]) -> Option<&'a [u8]> {
    extensions.iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    })
}

fn authority_key<'a>(extensions: &'a [X509Extension<'_>]) -> Option<&'a [u8]> {
    extensions.iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    })
}
