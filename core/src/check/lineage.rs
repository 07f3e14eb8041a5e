//! The issuers of certificates, by name and signature: to say which certificate of which file a path fails at, and which a path needs. The
//! validator says what a path is worth.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::time::SystemTime;

use x509_parser::prelude::X509Certificate;

use crate::certificate::{Name, is_self_issued, system_time};
use crate::crypto::{self, Signature};
use crate::path::Role;

/// How many signatures are verified to tell certificates of one name apart, as in path validation. Beyond it the name alone decides.
const MAX_SIGNATURES: usize = 100;

/// The leaf and all that may have issued it, directly or not, the nearest first.
pub(super) struct Lineage<'a> {
    members: Vec<Member<'a>>,
    links: Vec<Link>,
}

/// A certificate of the lineage. It is displayed by its position and subject, as a sentence names it.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    pub(super) certificate: &'a X509Certificate<'a>,
    pub(super) position: Position,
    /// How many steps it is above the leaf, by the shortest way.
    pub(super) height: usize,
    file: &'a Path,
}

/// The position of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// In the chain, counted from 1: the leaf.
    Chain(usize),
    /// In the bundle.
    Bundle(usize),
}

/// A pair of members, one of which has the name of the other's issuer.
struct Link {
    issued: usize,
    issuer: usize,
    /// Whether the issuer signed it.
    signature: Signature,
}

/// The certificates of one file.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) certificates: &'a [X509Certificate<'a>],
    pub(super) file: &'a Path,
}

impl<'a> Lineage<'a> {
    /// The lineage of a leaf within the certificates after it in its chain and, where there is one, a bundle.
    pub(super) fn of(leaf: &'a X509Certificate<'a>, issuers: Source<'a>, bundle: Option<Source<'a>>) -> Self {
        let numbered = issuers
            .certificates
            .iter()
            .zip(2..)
            .map(|(certificate, number)| (certificate, Position::Chain(number), issuers.file));
        let anchors = bundle.into_iter().flat_map(|source| {
            source.certificates.iter().enumerate().map(move |(i, anchor)| (anchor, Position::Bundle(i), source.file))
        });
        let candidates: Vec<_> = numbered.chain(anchors).collect();
        let leaf = Member { certificate: leaf, position: Position::Chain(1), height: 0, file: issuers.file };
        let mut lineage = Self { members: vec![leaf], links: Vec::new() };
        let mut signatures = MAX_SIGNATURES;
        let mut to_visit = VecDeque::from([0]);
        while let Some(visited) = to_visit.pop_front() {
            let issued = lineage.members[visited];
            let (name, key) = (issued.certificate.issuer().as_raw(), issued.certificate.public_key());
            // A certificate of the same CA under the same key is the same issuer once more, not one above it.
            let is_own_name = is_self_issued(issued.certificate);
            let named = candidates.iter().filter(|(candidate, position, _)| {
                candidate.subject().as_raw() == name
                    && *position != issued.position
                    && !(is_own_name && !issued.is_leaf() && candidate.public_key() == key)
            });
            let mut found = Vec::new();
            for (candidate, position, file) in named {
                let signature = signatures.checked_sub(1).map_or(Signature::Unsupported, |left| {
                    signatures = left;
                    crypto::verify_certificate(issued.certificate, candidate.public_key())
                });
                let height = issued.height + 1;
                found.push((Member { certificate: candidate, position: *position, height, file }, signature));
            }
            // A namesake under another key is of interest where there is nothing better; in the bundle always, as it may be what was to be
            // the issuer. A self-issued certificate needs none.
            let is_issued = is_own_name || found.iter().any(|(_, signature)| *signature != Signature::Invalid);
            found.retain(|(member, signature)| {
                *signature != Signature::Invalid || !is_issued || matches!(member.position, Position::Bundle(_))
            });
            for (member, signature) in found {
                let known = lineage.members.iter().position(|known| known.position == member.position);
                let issuer = known.unwrap_or_else(|| {
                    lineage.members.push(member);
                    lineage.members.len() - 1
                });
                // Above an anchor, or a namesake, there is nothing to look for.
                let is_new =
                    !lineage.links.iter().any(|link| link.issuer == issuer && link.signature != Signature::Invalid);
                if signature != Signature::Invalid && is_new && matches!(member.position, Position::Chain(_)) {
                    to_visit.push_back(issuer);
                }
                lineage.links.push(Link { issued: visited, issuer, signature });
            }
        }
        lineage
    }

    /// The leaf.
    pub(super) fn leaf(&self) -> &Member<'a> {
        &self.members[0]
    }

    /// All but the leaf.
    pub(super) fn issuers(&self) -> &[Member<'a>] {
        &self.members[1..]
    }

    /// All of them.
    pub(super) fn members(&self) -> &[Member<'a>] {
        &self.members
    }

    /// Those of the bundle that issued the leaf, or one of those that did.
    pub(super) fn anchors(&self) -> impl Iterator<Item = &Member<'a>> {
        let is_issuer = |position: usize| {
            self.links.iter().any(|link| link.issuer == position && link.signature != Signature::Invalid)
        };
        let anchors = self.members.iter().enumerate().filter(move |(position, _)| is_issuer(*position));
        anchors.map(|(_, anchor)| anchor).filter(|anchor| matches!(anchor.position, Position::Bundle(_)))
    }

    /// The members that another with their issuer's name did not sign, and those.
    pub(super) fn not_signed(&self) -> impl Iterator<Item = (&Member<'a>, &Member<'a>)> {
        let links = self.links.iter().filter(|link| link.signature == Signature::Invalid);
        links.map(|link| (&self.members[link.issued], &self.members[link.issuer]))
    }

    /// Those of the chain, but for the leaf, whose issuer is not there.
    pub(super) fn tops(&self) -> impl Iterator<Item = &Member<'a>> {
        let tops = self.members.iter().enumerate().filter(|(position, _)| self.issuers_of(*position).next().is_none());
        tops.map(|(_, top)| top).filter(|top| matches!(top.position, Position::Chain(number) if number > 1))
    }

    /// Those directly under a top.
    pub(super) fn under_tops(&self) -> impl Iterator<Item = &Member<'a>> {
        let under = self.members.iter().enumerate().skip(1).filter(|(position, _)| {
            let mut issuers = self.issuers_of(*position).peekable();
            issuers.peek().is_some() && issuers.all(|issuer| self.issuers_of(issuer).next().is_none())
        });
        under.map(|(_, member)| member)
    }

    fn issuers_of(&self, member: usize) -> impl Iterator<Item = usize> {
        let links = self.links.iter().filter(move |link| link.issued == member && link.signature != Signature::Invalid);
        links.map(|link| link.issuer)
    }

    /// The last that was found on the way up: the one whose issuer is looked for, where there is none.
    pub(super) fn last(&self) -> &Member<'a> {
        self.tops().last().unwrap_or_else(|| self.leaf())
    }
}

impl Member<'_> {
    pub(super) fn is_leaf(&self) -> bool {
        self.position == Position::Chain(1)
    }

    pub(super) fn begins(&self) -> SystemTime {
        system_time(self.certificate.validity().not_before)
    }

    pub(super) fn ends(&self) -> SystemTime {
        system_time(self.certificate.validity().not_after)
    }

    /// How many intermediates it allows below it (RFC 5280 §4.2.1.9), where it limits them.
    pub(super) fn path_length(&self) -> Option<u32> {
        path_length(self.certificate)
    }

    /// Whether its extended key usage, if it has one, is for the role.
    pub(super) fn allows(&self, role: Role) -> bool {
        is_for(self.certificate, role)
    }

    pub(super) fn constrains_names(&self) -> bool {
        !matches!(self.certificate.name_constraints(), Ok(None))
    }

    /// The file it is in.
    pub(super) fn file(&self) -> &Path {
        self.file
    }
}

impl fmt::Display for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Position::Chain(1) => f.write_str("the leaf"),
            Position::Chain(number) => f.write_str(&name_in_chain(self.certificate, number, self.file)),
            Position::Bundle(_) => {
                write!(f, "the anchor {} of {}", Name::of(self.certificate.subject()), file_name(self.file))
            }
        }
    }
}

/// How many intermediates a certificate allows below it (RFC 5280 §4.2.1.9), where it limits them.
pub(super) fn path_length(certificate: &X509Certificate<'_>) -> Option<u32> {
    certificate.basic_constraints().ok().flatten().and_then(|constraints| constraints.value.path_len_constraint)
}

/// Whether the extended key usage of a certificate, if it has one, is for a role.
pub(super) fn is_for(certificate: &X509Certificate<'_>, role: Role) -> bool {
    certificate.extended_key_usage().ok().flatten().is_none_or(|usage| match role {
        Role::Server => usage.value.server_auth,
        Role::Client => usage.value.client_auth,
    })
}

/// How a sentence names a certificate of a chain, counted from 1.
pub(super) fn name_in_chain(certificate: &X509Certificate<'_>, number: usize, file: &Path) -> String {
    format!("certificate {number} of {} ({})", file_name(file), Name::of(certificate.subject()))
}

/// How a sentence names a file.
pub(super) fn file_name(file: &Path) -> Cow<'_, str> {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy()
}
