//! The CRLs of a bundle, prepared for validation.
//!
//! webpki takes the first list that carries the name of a certificate's issuer, and fails the path if that list is not signed by the
//! issuer's key. So the newest list comes first, and one by another key of the same name (a CA that was renewed under a new key)
//! is kept from anchors that did not sign it: it would fail every peer under them.

use std::cmp::Reverse;

use rustls_pki_types::{CertificateRevocationListDer, TrustAnchor, UnixTime};
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate, X509Extension};
use x509_parser::revocation_list::CertificateRevocationList;

use super::error::unix_time;
use crate::bundle::Bundle;
use crate::certificate::{parse, system_time};

pub(super) struct Crls {
    /// The newest first.
    lists: Vec<CertRevocationList<'static>>,
    /// The lists that an anchor with this public key did not sign although they carry its name.
    foreign: Vec<(Vec<u8>, usize)>,
    /// When each list is to be replaced, the soonest first.
    next_updates: Vec<UnixTime>,
    /// Those no anchor of their issuer's name can have signed, by their place in the bundle.
    pub(super) unusable: Vec<usize>,
}

impl Crls {
    pub(super) fn new(bundle: &Bundle) -> Result<Self, webpki::Error> {
        let anchors = if bundle.crls().is_empty() { [].as_slice() } else { bundle.anchors() };
        let anchors: Vec<X509Certificate<'_>> = anchors.iter().filter_map(|anchor| parse(anchor).ok()).collect();
        let mut prepared = Vec::with_capacity(bundle.crls().len());
        let mut unusable = Vec::new();
        for (place, der) in bundle.crls().iter().enumerate() {
            let list = CertRevocationList::from(OwnedCertRevocationList::from_der(der)?);
            let Some(issued) = Issued::of(der, &anchors) else { continue };
            if issued.by_nobody {
                unusable.push(place);
            } else {
                prepared.push((list, issued));
            }
        }
        prepared.sort_by_key(|(_, issued)| Reverse(issued.this_update));
        let mut next_updates: Vec<_> = prepared.iter().filter_map(|(_, issued)| issued.next_update).collect();
        next_updates.sort();
        let foreign = prepared.iter().enumerate();
        let foreign = foreign.flat_map(|(list, (_, issued))| issued.not_by.iter().map(move |key| (key.clone(), list)));
        Ok(Self {
            foreign: foreign.collect(),
            lists: prepared.into_iter().map(|(list, _)| list).collect(),
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

    pub(super) fn all(&self) -> Vec<&CertRevocationList<'static>> {
        self.lists.iter().collect()
    }

    /// Those for a path to this anchor.
    pub(super) fn of(&self, anchor: &TrustAnchor<'_>) -> Vec<&CertRevocationList<'static>> {
        // The anchor's key is without the header of its structure.
        let key = anchor.subject_public_key_info.as_ref();
        let foreign = |list| self.foreign.iter().any(|(not_by, of)| *of == list && not_by.ends_with(key));
        self.lists.iter().enumerate().filter(|(list, _)| !foreign(*list)).map(|(_, list)| list).collect()
    }

    /// The next instant at which a list is stale.
    pub(super) fn stale_after(&self, now: UnixTime) -> Option<UnixTime> {
        let after = self.next_updates.partition_point(|next_update| *next_update < now);
        self.next_updates.get(after).copied()
    }
}

/// By whom a list was issued, as far as it can be told from its name and key identifier.
struct Issued {
    this_update: UnixTime,
    next_update: Option<UnixTime>,
    /// The public keys of anchors with the issuer's name that did not sign it, or may not.
    not_by: Vec<Vec<u8>>,
    /// And there is none else of that name.
    by_nobody: bool,
}

impl Issued {
    fn of(der: &CertificateRevocationListDer<'_>, anchors: &[X509Certificate<'_>]) -> Option<Self> {
        let (_, list) = CertificateRevocationList::from_der(der).ok()?;
        let named: Vec<_> =
            anchors.iter().filter(|anchor| anchor.subject().as_raw() == list.issuer().as_raw()).collect();
        let not_by: Vec<_> = named
            .iter()
            .filter(|anchor| !may_have_signed(anchor, &list))
            .map(|anchor| anchor.public_key().raw.to_vec())
            .collect();
        Some(Self {
            this_update: unix_time(system_time(list.last_update())),
            next_update: list.next_update().map(|at| unix_time(system_time(at))),
            by_nobody: !named.is_empty() && not_by.len() == named.len(),
            not_by,
        })
    }
}

/// RFC 5280 §5.2.1 and §4.2.1.3: the key identifiers match where both are there, and the key usage allows it.
fn may_have_signed(anchor: &X509Certificate<'_>, list: &CertificateRevocationList<'_>) -> bool {
    let may_sign = anchor.key_usage().ok().flatten().is_none_or(|usage| usage.value.crl_sign());
    let same_key = match (subject_key(anchor.extensions()), authority_key(list.extensions())) {
        (Some(subject), Some(authority)) => subject == authority,
        _ => true,
    };
    may_sign && same_key
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
