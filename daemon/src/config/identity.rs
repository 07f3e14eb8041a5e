//! One `[[identity]]`: where its files are, and what is expected of them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use evercert_core::document;
use evercert_core::finding::{Check, Severities, Severity};
use evercert_core::identity::{IdentityId, IdentityName};
use evercert_core::layout::{self, Layout, file_name};
use evercert_core::spec::{
    Admission, BundleFile, CredentialFiles, Expectations, FileSet, IdentitySpec, Renewal, RequireChain, Usage,
};
use toml::Spanned;

use super::duration::RenewBefore;
use super::endpoint::Endpoint;
use super::error::Problem;
use super::problems::Problems;
use super::spanned::{absolute, at, beside};
use super::{file, trust};

/// The value of `bundle` where nobody is to be trusted, not even by a `ca.crt` beside the credential.
const NOBODY: &str = "none";

/// The longest skew between this clock and an issuer's that can be set.
const CLOCK_SKEW_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// The shortest `max_lifetime`: certificates of service meshes live for an hour.
const MAX_LIFETIME_LEAST: Duration = Duration::from_secs(3600);

/// The keeper's spec for one `[[identity]]`.
pub(super) fn spec(entry: &file::Identity, problems: &mut Problems) -> Option<IdentitySpec> {
    let name = problems.note(name(&entry.name));
    let files = problems.note(files(entry)).and_then(|mut files| {
        if files.credential.is_none() {
            problems.note(no_leaf(entry));
        }
        files.crls = problems.note(trust::crls(entry, &files))?;
        Some(files)
    });
    let federated = problems.note(trust::federated(entry));
    let expectations = problems.note(expectations(&entry.expectations()));
    let overlap = problems.note(trust::overlap(entry.overlap.as_ref()));
    let files = FileSet { federated: federated?, ..files? };
    Some(IdentitySpec { id: IdentityId::node(name?), files, expectations: expectations?, overlap: overlap? })
}

fn name(written: &Spanned<String>) -> Result<IdentityName, Spanned<Problem>> {
    let name = IdentityName::from_str(written.get_ref()).map_err(|_| at(written, Problem::Name))?;
    if name.as_str().contains('/') { Err(at(written, Problem::SlashInName)) } else { Ok(name) }
}

fn files(entry: &file::Identity) -> Result<FileSet, Spanned<Problem>> {
    match (&entry.path, &entry.chain, &entry.key) {
        (Some(path), chain, key) => in_path(entry, path, chain.as_ref(), key.as_ref()),
        (None, Some(chain), Some(key)) => {
            let chain = anywhere(chain, "chain")?;
            let key = anywhere(key, "key")?;
            let bundle = entry.bundle.as_ref().filter(|bundle| !is_nobody(bundle));
            let bundle = bundle.map(|bundle| anywhere(bundle, "bundle")).transpose()?;
            Ok(FileSet {
                credential: Some(CredentialFiles::new(chain, key)),
                bundle: bundle.map(BundleFile::Dedicated),
                ..FileSet::default()
            })
        }
        (None, Some(chain), None) => Err(at(chain, Problem::HalfACredential { present: "chain", absent: "key" })),
        (None, None, Some(key)) => Err(at(key, Problem::HalfACredential { present: "key", absent: "chain" })),
        (None, None, None) => match &entry.bundle {
            Some(bundle) if !is_nobody(bundle) => {
                Ok(FileSet { bundle: Some(BundleFile::Dedicated(anywhere(bundle, "bundle")?)), ..FileSet::default() })
            }
            _ => Err(at(&entry.name, Problem::NoFiles)),
        },
    }
}

fn in_path(
    entry: &file::Identity,
    path: &Spanned<PathBuf>,
    chain: Option<&Spanned<PathBuf>>,
    key: Option<&Spanned<PathBuf>>,
) -> Result<FileSet, Spanned<Problem>> {
    let path = absolute(path, "path")?;
    let (directory, layout) = Layout::of_path(&path);
    let credential = match (&layout, chain, key) {
        (Layout::Combined(_), Some(chain), _) => return Err(at(chain, Problem::FileAndKey { key: "chain" })),
        (Layout::Combined(_), None, Some(key)) => return Err(at(key, Problem::FileAndKey { key: "key" })),
        (layout, None, None) => layout.credential(directory),
        (Layout::CertManager, Some(chain), Some(key)) => CredentialFiles::new(
            directory.join(beside(chain, "chain", "fullchain.pem")?),
            directory.join(beside(key, "key", "privkey.pem")?),
        ),
        (Layout::CertManager, Some(chain), None) => {
            return Err(at(chain, Problem::HalfACredential { present: "chain", absent: "key" }));
        }
        (Layout::CertManager, None, Some(key)) => {
            return Err(at(key, Problem::HalfACredential { present: "key", absent: "chain" }));
        }
    };
    let bundle = match &entry.bundle {
        None => Some(layout::bundle(directory)),
        Some(bundle) if is_nobody(bundle) => None,
        Some(bundle) if bundle.get_ref().is_absolute() => Some(BundleFile::Dedicated(bundle.get_ref().clone())),
        Some(bundle) => Some(BundleFile::OfCredential(directory.join(beside(bundle, "bundle", file_name::BUNDLE)?))),
    };
    Ok(FileSet { credential: Some(credential), bundle, ..FileSet::default() })
}

/// Whether a `bundle` says that nobody is trusted.
pub(super) fn is_nobody(bundle: &Spanned<PathBuf>) -> bool {
    bundle.get_ref() == Path::new(NOBODY)
}

/// An absolute path, where no `path` is given.
fn anywhere(value: &Spanned<PathBuf>, key: &'static str) -> Result<PathBuf, Spanned<Problem>> {
    let path = value.get_ref();
    if path.is_absolute() { Ok(path.clone()) } else { Err(at(value, Problem::NoDirectory { key })) }
}

/// Parses what is expected of a credential.
pub(super) fn expectations(written: &file::WrittenExpectations<'_>) -> Result<Expectations, Spanned<Problem>> {
    let usages =
        written.usages.iter().map(|word| Usage::from_str(word.get_ref()).map_err(|error| at(word, error.into())));
    let ip_addresses = written
        .ip_addresses
        .iter()
        .map(|text| IpAddr::from_str(text.get_ref()).map_err(|_| at(text, Problem::IpAddress)));
    let mut expected = Expectations::default();
    expected.usages = usages.collect::<Result<_, _>>()?;
    expected.dns_names = names(written.dns_names, "dns_names")?;
    expected.ip_addresses = ip_addresses.collect::<Result<_, _>>()?;
    expected.uris = names(written.uris, "uris")?;
    expected.admission = match written.admission {
        file::Admission::Enforce => Admission::Enforce,
        file::Admission::Observe => Admission::Observe,
    };
    expected.require_chain = match written.require_chain {
        None => RequireChain::Auto,
        Some(true) => RequireChain::Always,
        Some(false) => RequireChain::Never,
    };
    expected.renewal = match written.renew_before.map(|written| (written, written.get_ref())) {
        Some((written, RenewBefore::Span(Duration::ZERO))) => {
            return Err(at(written, Problem::OutOfRange { key: "renew_before", least: "1s", most: "the lifetime" }));
        }
        Some((_, RenewBefore::Span(span))) => Renewal::Before(*span),
        Some((_, RenewBefore::Never)) => Renewal::Never,
        None => Renewal::default(),
    };
    expected.max_lifetime = match written.max_lifetime {
        Some(span) if span.get_ref().0 < MAX_LIFETIME_LEAST => {
            return Err(at(span, Problem::OutOfRange { key: "max_lifetime", least: "1h", most: "any" }));
        }
        span => span.map_or(Expectations::MAX_LIFETIME, |span| span.get_ref().0),
    };
    expected.clock_skew = match written.clock_skew {
        Some(span) if span.get_ref().0 > CLOCK_SKEW_LIMIT => {
            return Err(at(span, Problem::OutOfRange { key: "clock_skew", least: "0s", most: "24h" }));
        }
        span => span.map_or(Expectations::CLOCK_SKEW, |span| span.get_ref().0),
    };
    expected.severities = severities(written.severities)?;
    Ok(expected)
}

/// The severities that differ from the table's.
fn severities(written: &BTreeMap<Spanned<String>, Spanned<file::Severity>>) -> Result<Severities, Spanned<Problem>> {
    let mut severities = Severities::default();
    for (name, severity) in written {
        let check = Check::named(name.get_ref()).ok_or_else(|| {
            let known = Check::ALL.iter().map(|check| check.as_str());
            at(name, Problem::Check { nearest: document::nearest(name.get_ref(), known) })
        })?;
        let wanted = match severity.get_ref() {
            file::Severity::Info => Severity::Info,
            file::Severity::Warn => Severity::Warn,
            file::Severity::Reject => Severity::Reject,
        };
        severities.set(check, wanted).map_err(|error| at(severity, error.into()))?;
    }
    Ok(severities)
}

fn names(values: &[Spanned<String>], key: &'static str) -> Result<Vec<String>, Spanned<Problem>> {
    let blank = |value: &String| value.is_empty() || value.contains(char::is_whitespace);
    values
        .iter()
        .map(|value| match value.get_ref() {
            text if blank(text) => Err(at(value, Problem::Blank { key })),
            text => Ok(text.clone()),
        })
        .collect()
}

/// The most endpoints of one identity that are looked at.
const ENDPOINTS: usize = 16;

/// Where one `[[identity]]` is served; absent where that is not said.
pub(super) fn serves(entry: &file::Identity) -> Result<Option<(IdentityId, Vec<Endpoint>)>, Spanned<Problem>> {
    if let Some(over) = entry.serves.get(ENDPOINTS) {
        return Err(at(over, Problem::TooManyEndpoints(ENDPOINTS)));
    }
    let parsed = |text: &Spanned<String>| text.get_ref().parse().map_err(|_| at(text, Problem::Serves));
    let mut endpoints = entry.serves.iter().map(parsed).collect::<Result<Vec<Endpoint>, _>>()?;
    endpoints.sort();
    endpoints.dedup();
    let name = IdentityName::from_str(entry.name.get_ref()).map_err(|_| at(&entry.name, Problem::Name))?;
    Ok(Some((IdentityId::node(name), endpoints)).filter(|(_, endpoints)| !endpoints.is_empty()))
}

fn no_leaf(entry: &file::Identity) -> Result<(), Spanned<Problem>> {
    let lists = [
        ("usages", &entry.usages),
        ("dns_names", &entry.dns_names),
        ("ip_addresses", &entry.ip_addresses),
        ("uris", &entry.uris),
        ("serves", &entry.serves),
    ];
    if let Some((key, value)) = lists.iter().find_map(|(key, values)| values.first().map(|value| (*key, value))) {
        return Err(at(value, Problem::NoLeaf(key)));
    }
    if let Some(span) = &entry.max_lifetime {
        return Err(at(span, Problem::NoLeaf("max_lifetime")));
    }
    match &entry.renew_before {
        Some(span) => Err(at(span, Problem::NoLeaf("renew_before"))),
        None => Ok(()),
    }
}
