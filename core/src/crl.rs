//! Certificate revocation lists (RFC 5280 §5), as admission and validation read them.
//!
//! A list is read strictly, to its last entry: a reader that stopped at the first entry it does not understand would let in whoever comes
//! after it. A list is taken at its word wherever its issuer's key has signed it: a certificate that is listed is revoked, whatever
//! distribution point the list is for. Those decide where to look for a certificate that is not listed, and here every list there is has
//! been looked at.

mod error;
mod name;
mod parse;

use std::fmt;
use std::time::SystemTime;

use rustls_pki_types::CertificateRevocationListDer;

pub(crate) use error::CrlError;
pub(crate) use name::NormalName;
use parse::{Signed, Span};

use crate::crypto::{self, Signature};

/// One certificate revocation list.
pub(crate) struct Crl {
    der: CertificateRevocationListDer<'static>,
    /// The issuer's name, without the header of its sequence.
    issuer: Vec<u8>,
    normal_issuer: NormalName,
    this_update: SystemTime,
    next_update: Option<SystemTime>,
    /// Big-endian and without leading zeros; absent if there is none that can be read.
    number: Option<Vec<u8>>,
    /// The identifier of the key that signed it, where it tells.
    authority_key: Option<Vec<u8>>,
    scope: Scope,
    /// How many entries are about certificates of other issuers (RFC 5280 §5.3.3).
    of_others: usize,
    /// How many entries of a delta take a certificate back that its base lists (RFC 5280 §5.3.1).
    taken_back: usize,
    /// The serial numbers of the revoked, without leading zeros, sorted by their octets.
    revoked: Vec<Span>,
    signed: Signed,
}

/// The issue time and number of a list: the newer of two lists has the greater. Lists of one second are told apart by their numbers, which
/// only grow (RFC 5280 §5.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Age<'a> {
    this_update: SystemTime,
    /// How many digits the number has, and which.
    number: Option<(usize, &'a [u8])>,
}

impl<'a> Age<'a> {
    /// The number is given by its digits, of whatever base, without leading zeros.
    pub(crate) fn new(this_update: SystemTime, number: Option<&'a [u8]>) -> Self {
        Self { this_update, number: number.map(|digits| (digits.len(), digits)) }
    }
}

/// The scope of a list (RFC 5280 §5.2.4, §5.2.5). Of two lists by one key with an equal scope the newer replaces the older.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Scope {
    /// The kind of certificates that it lists.
    pub(crate) subjects: Subjects,
    /// It only tells what changed since another one.
    pub(crate) is_delta: bool,
    /// The issuing distribution point as DER; absent for a list of all that was revoked.
    distribution_point: Option<Vec<u8>>,
}

/// The kind of certificates that a list lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Subjects {
    /// All.
    #[default]
    All,
    /// Leaves.
    Leaves,
    /// CAs.
    Authorities,
}

impl Crl {
    /// Reads a list.
    ///
    /// # Errors
    ///
    /// The DER is no certificate revocation list, or it holds what has to be understood for it to be used and is not.
    pub(crate) fn from_der(der: &CertificateRevocationListDer<'_>) -> Result<Self, CrlError> {
        parse::parse(der)
    }

    /// The issuer's name, for [`X509Name`](x509_parser::prelude::X509Name): without the header of its sequence.
    pub(crate) fn issuer(&self) -> &[u8] {
        &self.issuer
    }

    pub(crate) fn normal_issuer(&self) -> &NormalName {
        &self.normal_issuer
    }

    pub(crate) fn this_update(&self) -> SystemTime {
        self.this_update
    }

    /// The time by which the next one was promised; absent if that was left open, and it is never stale.
    pub(crate) fn next_update(&self) -> Option<SystemTime> {
        self.next_update
    }

    /// Its number (RFC 5280 §5.2.3), big-endian.
    pub(crate) fn number(&self) -> Option<&[u8]> {
        self.number.as_deref()
    }

    pub(crate) fn authority_key(&self) -> Option<&[u8]> {
        self.authority_key.as_deref()
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    pub(crate) fn revoked(&self) -> usize {
        self.revoked.len()
    }

    pub(crate) fn of_others(&self) -> usize {
        self.of_others
    }

    pub(crate) fn taken_back(&self) -> usize {
        self.taken_back
    }

    /// Whether it lists the certificate of its issuer with this serial number, given as the content of its DER.
    pub(crate) fn revokes(&self, serial: &[u8]) -> bool {
        let serial = without_leading_zeros(serial);
        self.revoked.binary_search_by(|revoked| revoked.of(&self.der).cmp(serial)).is_ok()
    }

    /// Whether it may list a CA's certificate, or a leaf's.
    pub(crate) fn covers(&self, is_authority: bool) -> bool {
        match self.scope.subjects {
            Subjects::All => true,
            Subjects::Leaves => !is_authority,
            Subjects::Authorities => is_authority,
        }
    }

    pub(crate) fn age(&self) -> Age<'_> {
        Age::new(self.this_update, self.number())
    }

    /// Verifies its signature with this key, a `SubjectPublicKeyInfo` as DER.
    pub(crate) fn signature_by(&self, public_key: &[u8]) -> Signature {
        let Signed { message, algorithm, signature } = self.signed;
        crypto::verify(public_key, algorithm.of(&self.der), message.of(&self.der), signature.of(&self.der))
    }

    /// The name of the algorithm of its signature, if no signature by that is accepted.
    pub(crate) fn unsupported_algorithm(&self) -> Option<String> {
        let algorithm = self.signed.algorithm.of(&self.der);
        (!crypto::accepts_signature(algorithm)).then(|| crypto::signature_name(algorithm))
    }
}

impl fmt::Debug for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crl")
            .field("this_update", &self.this_update)
            .field("scope", &self.scope)
            .field("revoked", &self.revoked.len())
            .finish_non_exhaustive()
    }
}

fn without_leading_zeros(integer: &[u8]) -> &[u8] {
    let zeros = integer.iter().take_while(|octet| **octet == 0).count();
    &integer[zeros..]
}

#[cfg(test)]
mod tests;
