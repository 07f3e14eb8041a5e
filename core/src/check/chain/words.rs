//! The words for a path that does not hold: which certificate it fails at, and what mends that.

use rustls_pki_types::CertificateDer;
use webpki::Error;
use x509_parser::prelude::{X509Certificate, X509Name};

use super::super::lineage::{Lineage, Member, Position};
use crate::bundle::Bundle;
use crate::certificate::{Name, is_ca, is_self_issued};
use crate::clock::rfc3339;
use crate::crl::NormalName;
use crate::crypto;
use crate::digest::Digest;
use crate::loading;
use crate::path::{PathError, Role, UnusableAnchor, outside_of, words};
use crate::spec::Usage;

/// The advice for a CA whose key is not accepted.
const ANOTHER_KEY: &str = "replace that CA by one with RSA of 2048 bits or more, or ECDSA with P-256 or P-384";

/// The advice for a CA's certificate with a critical extension that is not understood.
const NOT_CRITICAL: &str = "have that CA's certificate issued again without it, or with it not marked critical";

/// All that an issuer is looked for in, beside the lineage, where names are compared as they are written.
#[derive(Clone, Copy)]
pub(super) struct AtHand<'a> {
    /// The certificates after the leaf.
    pub(super) issuers: &'a [X509Certificate<'a>],
    /// The bundle, if there is one.
    pub(super) bundle: Option<&'a Bundle>,
    /// The certificates of the bundle that can be nobody's anchor.
    pub(super) unusable: &'a [(Digest, UnusableAnchor)],
}

/// One sentence about the cause, with the advice that fits it.
pub(super) fn of(error: &PathError, lineage: &Lineage<'_>, at_hand: AtHand<'_>) -> String {
    use PathError as E;
    let named = |is: &dyn Fn(&Member<'_>) -> bool| {
        lineage
            .members()
            .iter()
            .find(|member| is(member))
            .map_or_else(|| "a certificate of the path".to_owned(), Member::to_string)
    };
    let with_subject = |name: &str| {
        let issuer = lineage.issuers().iter().find(|issuer| Name::of(issuer.certificate.subject()).text == name);
        issuer.map_or_else(|| format!("the issuer {name}"), Member::to_string)
    };
    match error {
        E::UnknownIssuer | E::NoAnchor | E::NoUsableAnchor { .. } | E::IssuerUnusable { .. } => {
            unknown_issuer(lineage, at_hand)
        }
        E::BadSignature => bad_signature(lineage),
        E::Expired { not_after, .. } => format!(
            "{} ended at {}, and the leaf is good only as long as its issuers are; renew that CA and send its new certificate",
            named(&|member| !member.is_leaf() && member.ends() == *not_after),
            rfc3339(*not_after)
        ),
        E::NotYetValid { not_before, .. } => format!(
            "{} begins only at {}; wait for that, or set the clock if it is wrong",
            named(&|member| !member.is_leaf() && member.begins() == *not_before),
            rfc3339(*not_before)
        ),
        E::AnchorNotValid { not_before, not_after, .. } => format!(
            "{}, which the path ends in, is valid only from {} to {}; renew that CA and put its new certificate into the bundle",
            named(&|member| {
                matches!(member.position, Position::Bundle(_))
                    && (member.begins(), member.ends()) == (*not_before, *not_after)
            }),
            rfc3339(*not_before),
            rfc3339(*not_after)
        ),
        E::UnsupportedSignature { algorithm } => format!(
            "{} is signed with {algorithm}, which peers do not accept; have it issued again with SHA-256",
            named(&|member| {
                matches!(member.position, Position::Chain(_))
                    && !crypto::accepts_signature(crypto::signature_algorithm(member.certificate))
            })
        ),
        E::UnsupportedKey { issuer: name, key } => {
            format!("{} has a key of a kind or size that peers do not accept, {key}; {ANOTHER_KEY}", with_subject(name))
        }
        E::ExtendedKeyUsage { role, .. } => format!(
            "{} has an extended key usage without {}, which holds for all it issues; have the leaf issued by a CA without that \
             limit",
            named(&|member| !member.is_leaf() && !member.allows(*role)),
            usage(*role)
        ),
        E::LeafIsCa | E::LeafMaySign | E::LeafConstrainsNames => {
            format!("{error}; have one issued that is no authority")
        }
        E::IssuerIsNoCa => format!(
            "{} is no CA certificate, and what it signed is not accepted; have the leaf issued by a CA",
            named(&|member| !member.is_leaf() && !is_ca(member.certificate))
        ),
        E::IssuerMayNotSign { issuer: name } => format!(
            "{} may not sign certificates, since its key usage lacks \"cert sign\"; have that CA's certificate issued again with it",
            with_subject(name)
        ),
        E::TooLong => too_long(lineage),
        E::NameConstraint => name_constraint(lineage),
        E::UnsupportedNameConstraint { kind } => format!(
            "{} constrains {kind}, and constraints of that kind are not supported: whether the leaf is inside of them cannot be told; \
             use constraints on DNS names, or another CA",
            named(&|member| !member.is_leaf() && member.constrains_names())
        ),
        E::CriticalExtension => critical_extension(lineage),
        E::Malformed(why) => malformed(lineage, why),
        E::Crl(why) => format!("a CRL that covers the path {why}; replace it"),
        E::TooComplex => {
            "the chain needs more work to validate than peers spend on one; leave out of it what did not issue the leaf"
                .to_owned()
        }
        other => format!("{other}; have the leaf issued again"),
    }
}

fn name_constraint(lineage: &Lineage<'_>) -> String {
    let leaf = lineage.leaf().certificate;
    let broken = lineage.issuers().iter().find_map(|issuer| Some((issuer, outside_of(issuer.certificate, leaf)?)));
    let (name, issuer) = match broken {
        Some((issuer, name)) => (format!("the name {name} of the leaf"), issuer.to_string()),
        None => {
            let constrains = lineage.issuers().iter().find(|issuer| issuer.constrains_names());
            ("a name of the leaf".to_owned(), constrains.map_or_else(|| "an issuer".to_owned(), Member::to_string))
        }
    };
    format!(
        "{name} is outside of what {issuer} allows by its name constraints; have the leaf issued for names inside of them, or by another CA"
    )
}

fn critical_extension(lineage: &Lineage<'_>) -> String {
    let mut issuers = lineage.issuers().iter();
    let found = issuers.find_map(|issuer| Some((issuer, loading::unknown_critical(issuer.certificate)?)));
    let extension = match found {
        Some((issuer, oid)) => format!("the extension {oid} of {issuer}"),
        None => "an extension of an issuer".to_owned(),
    };
    format!("{extension} is critical and not understood, so no peer may pass over it; {NOT_CRITICAL}")
}

fn malformed(lineage: &Lineage<'_>, why: &Error) -> String {
    let issuer = lineage.issuers().iter().find(|issuer| loading::issuer(&issuer.certificate.as_raw().into()).is_err());
    let issuer = issuer.map_or_else(|| "an issuer of the leaf".to_owned(), Member::to_string);
    format!("{issuer} cannot be read by peers, since {}; have it issued again", words::of(why))
}

/// The issuer that is looked for is nowhere, or it is in the bundle and of no use there.
fn unknown_issuer(lineage: &Lineage<'_>, at_hand: AtHand<'_>) -> String {
    let anchor = lineage.issuers().iter().find_map(|member| match member.position {
        Position::Bundle(_) => {
            let fingerprint = Digest::fingerprint(member.certificate.as_raw());
            at_hand.unusable.iter().find(|(anchor, _)| *anchor == fingerprint).map(|(_, reason)| (member, reason))
        }
        Position::Chain(_) => None,
    });
    if let Some((anchor, reason)) = anchor {
        return format!("{anchor} issued it, but can be nobody's anchor: {reason}; {}", mend(reason));
    }
    let last = lineage.last();
    let name = Name::of(last.certificate.issuer());
    if last.certificate.issuer().iter().next().is_none() {
        return format!(
            "{last} has an empty issuer, and no CA is found by that; have it issued by a CA that has a name"
        );
    }
    if is_self_issued(last.certificate) {
        return format!(
            "{last} is self-signed and not in the bundle; add it to the bundle if its owner is to be trusted"
        );
    }
    if let Some(place) = at_hand.namesake_of(last.certificate.issuer()) {
        return format!(
            "the issuer of {last}, {name}, is in {place}, but writes its name in another string type, case or spacing there, and most TLS \
             stacks take the two for different; have {last} issued again by that CA, with the name as its own certificate has it"
        );
    }
    format!(
        "the issuer of {last}, {name}, is neither in the bundle nor in the chain; add that CA to the bundle, or send the missing \
         intermediates"
    )
}

impl AtHand<'_> {
    /// The place of a certificate with this subject, compared as RFC 5280 §7.1 has it.
    fn namesake_of(&self, issuer: &X509Name<'_>) -> Option<&'static str> {
        let wanted = NormalName::of_sequence(issuer.as_raw());
        let is_named = |issuer: &X509Certificate<'_>| NormalName::of_sequence(issuer.subject().as_raw()) == wanted;
        if self.issuers.iter().any(is_named) {
            return Some("the chain");
        }
        let mut anchors = self.bundle.into_iter().flat_map(Bundle::anchors);
        let is_anchor = |anchor: &CertificateDer<'_>| {
            webpki::anchor_from_trusted_cert(anchor).is_ok_and(|anchor| NormalName::of(&anchor.subject) == wanted)
        };
        anchors.any(is_anchor).then_some("the bundle")
    }
}

/// The advice for a certificate of a bundle that can be nobody's anchor.
pub(in super::super) fn mend(reason: &UnusableAnchor) -> &'static str {
    match reason {
        UnusableAnchor::CriticalExtension(_) => NOT_CRITICAL,
        UnusableAnchor::Key(_) => ANOTHER_KEY,
        UnusableAnchor::EmptySubject => "have that CA's certificate issued again with a subject",
        UnusableAnchor::NotCa => "put the certificate of the issuing CA in its place",
        _ => "put another certificate of that CA in its place",
    }
}

fn bad_signature(lineage: &Lineage<'_>) -> String {
    match lineage.not_signed().next() {
        Some((issued, issuer)) if matches!(issuer.position, Position::Bundle(_)) => format!(
            "{issued} is not signed with the key of {issuer}, which has its issuer's name: that CA has another key by now; have the \
             leaf issued again, or add the CA's certificate for the other key to the bundle"
        ),
        Some((issued, issuer)) => format!(
            "{issued} is not signed with the key of {issuer}, which has its issuer's name; send the certificate of the CA that \
             did sign it"
        ),
        None => "a signature of the path is not its issuer's; have the leaf issued again".to_owned(),
    }
}

fn too_long(lineage: &Lineage<'_>) -> String {
    let over = lineage.issuers().iter().find_map(|member| {
        let limit = member.path_length()?;
        let below = member.height.saturating_sub(1);
        (below > usize::try_from(limit).ok()?).then_some((member, limit, below))
    });
    match over {
        Some((issuer, limit, below)) => format!(
            "{issuer} allows {limit} intermediate{} below it (pathLenConstraint), and there {}; have the leaf issued by it directly, or \
             that CA's certificate issued again with another limit",
            plural(usize::try_from(limit).unwrap_or(usize::MAX)),
            if below == 1 { "is 1".to_owned() } else { format!("are {below}") }
        ),
        None => "there are more intermediates between the leaf and its anchor than are followed; have the leaf issued by a CA nearer to \
                 the anchor"
            .to_owned(),
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// The word of configuration for the usage that a role needs.
pub(super) fn usage(role: Role) -> &'static str {
    match role {
        Role::Server => Usage::ServerAuth.as_str(),
        Role::Client => Usage::ClientAuth.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use evercert_fixtures::Entity;

    use super::super::super::lineage::Source;
    use super::*;
    use crate::certificate;
    use crate::path::CrlProblem;

    /// The sentence about an error of the path from a leaf over `sub` to `root`.
    fn told(error: &PathError) -> String {
        let root = Entity::root("root");
        let sub = root.sub_ca("sub", |_| {});
        let ders: Vec<CertificateDer<'_>> = vec![sub.leaf().der(), sub.der(), root.der()];
        let parsed: Vec<_> = ders.iter().map(|der| certificate::parse(der).unwrap()).collect();
        let issuers = Source { certificates: &parsed[1..2], file: Path::new("/tls/tls.crt") };
        let anchors = Source { certificates: &parsed[2..], file: Path::new("/tls/ca.crt") };
        of(
            error,
            &Lineage::of(&parsed[0], issuers, Some(anchors)),
            AtHand { issuers: &[], bundle: None, unusable: &[] },
        )
    }

    #[test]
    fn each_cause_is_told_with_its_certificate_and_its_own_advice() {
        let (issuer, key) = ("CN=root".to_owned(), "RSA of 1024 bits".to_owned());
        let weak = told(&PathError::UnsupportedKey { issuer, key });
        assert!(weak.starts_with("the anchor CN=root of ca.crt has a key") && weak.contains("1024"), "{weak}");
        let silent = told(&PathError::IssuerMayNotSign { issuer: "CN=sub".to_owned() });
        assert!(silent.starts_with("certificate 2 of tls.crt (CN=sub) may not sign"), "{silent}");
        let elsewhere = told(&PathError::IssuerMayNotSign { issuer: "CN=other".to_owned() });
        assert!(elsewhere.starts_with("the issuer CN=other may not sign"), "{elsewhere}");
        let constraint = told(&PathError::UnsupportedNameConstraint { kind: "e-mail addresses" });
        assert!(
            constraint.contains("constrains e-mail addresses") && constraint.contains("not supported"),
            "{constraint}"
        );
        let busy = told(&PathError::TooComplex);
        assert!(busy.contains("leave out"), "{busy}");
        let crl = told(&PathError::Crl(CrlProblem::Unusable));
        assert_eq!(crl, "a CRL that covers the path cannot be used; replace it");
    }
}
