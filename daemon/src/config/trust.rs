//! The part of one `[[identity]]` that says whom it trusts besides its bundle, and whom no longer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use evercert_core::layout::{self, file_name};
use evercert_core::spec::{CrlFile, FileSet, IdentitySpec};
use evercert_core::spiffe::{SpiffeId, TrustDomain};
use toml::Spanned;

use super::duration::Span;
use super::error::Problem;
use super::file;
use super::spanned::{absolute, at, beside};

/// The certificate revocation lists: those that are named, and a `ca.crl` beside the credential; an empty list names none at all.
pub(super) fn crls(entry: &file::Identity, files: &FileSet) -> Result<Vec<CrlFile>, Spanned<Problem>> {
    let of_chain = files.credential.as_ref().and_then(|files| files.chain().parent());
    // A bare name is a file of the `path`.
    let directory = of_chain.filter(|_| entry.path.is_some());
    // Of peers that nobody vouches for nobody is revoked.
    let beside = of_chain.filter(|_| files.bundle.is_some());
    let beside = beside.map(layout::crl);
    let Some(written) = &entry.crls else { return Ok(beside.into_iter().collect()) };
    let mut crls: Vec<CrlFile> = Vec::new();
    for value in written {
        if files.bundle.is_none() {
            return Err(at(value, Problem::NobodyTrusted("crls")));
        }
        let crl = crl(value, directory)?;
        if crls.iter().any(|other| other.path() == crl.path()) {
            return Err(at(value, Problem::FileTwice { key: "crls" }));
        }
        crls.push(crl);
    }
    let unnamed = beside.filter(|beside| !crls.is_empty() && crls.iter().all(|crl| crl.path() != beside.path()));
    crls.extend(unnamed);
    Ok(crls)
}

fn crl(value: &Spanned<PathBuf>, directory: Option<&Path>) -> Result<CrlFile, Spanned<Problem>> {
    let path = value.get_ref();
    match directory {
        _ if path.is_absolute() => Ok(CrlFile::Dedicated(path.clone())),
        Some(directory) => {
            let name = beside(value, "crls", file_name::CRL)?;
            Ok(CrlFile::OfCredential(directory.join(name)))
        }
        None => Err(at(value, Problem::NoDirectory { key: "crls" })),
    }
}

/// The bundles of federated trust domains.
pub(super) fn federated(entry: &file::Identity) -> Result<BTreeMap<TrustDomain, PathBuf>, Spanned<Problem>> {
    let own: Vec<SpiffeId> = entry.uris.iter().filter_map(|uri| uri.get_ref().parse().ok()).collect();
    entry
        .federated
        .iter()
        .map(|(name, file)| {
            let trust_domain = name.get_ref().parse().map_err(|_| at(name, Problem::TrustDomain))?;
            if own.iter().any(|id| *id.trust_domain() == trust_domain) {
                return Err(at(name, Problem::OwnTrustDomain));
            }
            Ok((trust_domain, absolute(file, "federated")?))
        })
        .collect()
}

/// For how long anchors that left the credential's `ca.crt` stay trusted.
pub(super) fn overlap(written: Option<&Spanned<Span>>) -> Result<Duration, Spanned<Problem>> {
    match written {
        None => Ok(IdentitySpec::OVERLAP),
        Some(span) if span.get_ref().0 > IdentitySpec::OVERLAP => {
            Err(at(span, Problem::OutOfRange { key: "overlap", least: "0s", most: "24h" }))
        }
        Some(span) => Ok(span.get_ref().0),
    }
}
