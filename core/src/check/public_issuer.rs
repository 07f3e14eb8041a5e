//! Public CAs stop to issue for clients: the root programs of browsers allow their hierarchies for servers alone. A client whose leaf is
//! of one loses its role at a renewal, and nothing else about the leaf changes.

use x509_parser::prelude::X509Certificate;

use super::Case;
use super::findings::Findings;
use crate::certificate::{self, Name};
use crate::credential::Credential;
use crate::finding::{Check, Finding, Severity};
use crate::spec::Usage;

/// The organisations in the names of the CAs that public certificates are issued by. They are told by name, since the certificates of their
/// intermediates change from month to month; a private CA that takes one of these names has a warning too many.
const ORGANISATIONS: [&str; 22] = [
    "Actalis S.p.A.",
    "Amazon",
    "Apple Inc.",
    "Asseco Data Systems S.A.",
    "Buypass AS-983163327",
    "Certainly",
    "Deutsche Telekom Security GmbH",
    "DigiCert Inc",
    "DigiCert, Inc.",
    "Entrust, Inc.",
    "GlobalSign nv-sa",
    "GoDaddy.com, Inc.",
    "Google Trust Services",
    "Google Trust Services LLC",
    "Hellenic Academic and Research Institutions CA",
    "IdenTrust",
    "Internet Security Research Group",
    "Let's Encrypt",
    "Microsoft Corporation",
    "SSL Corporation",
    "Sectigo Limited",
    "ZeroSSL",
];

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    if !case.spec.expectations.usages.contains(&Usage::ClientAuth) {
        return;
    }
    let Some(organisation) = case.certificates.iter().find_map(public_issuer) else { return };
    let sentence = format!(
        "the leaf is of {organisation}, a public CA, and is to be for client auth, which public CAs stop to issue: it is lost with a \
         renewal; have certificates of clients issued by a CA of your own"
    );
    findings.add(Finding::new(Check::ClientAuthEnding, Severity::Warn, sentence).in_file(case.files.chain()));
}

/// Whether a public CA issued some of a chain, told by the organisation in its issuers' names: it is trusted by what no bundle holds.
#[must_use]
pub fn is_of_public_ca(credential: &Credential) -> bool {
    let mut parsed = credential.chain().iter().filter_map(|der| certificate::parse(der).ok());
    parsed.any(|certificate| public_issuer(&certificate).is_some())
}

fn public_issuer(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    let issuer = Name::of(certificate.issuer()).organization;
    ORGANISATIONS.into_iter().find(|organisation| *organisation == issuer)
}
