//! The names in a SPIFFE credential folder.

use std::collections::BTreeMap;
use std::path::Path;

use crate::spec::{BundleFile, FileSet};
use crate::spiffe::TrustDomain;

/// The names of the file with key and chain in a SPIFFE credential folder: as its draft had it first and as it has it now, with the suffix
/// that trust bundles were given, and with the prefix that one provider writes.
pub const CREDENTIAL_BUNDLES: [&str; 4] = [
    "credential-bundle.private-key.pem",
    "credential-bundle.pem",
    "credential-bundle.private-key.x509.pem",
    "x509.credential-bundle.private-key.pem",
];

/// The ends of the names of trust bundles in such a folder, behind the trust domain; a longer one before its own end.
const TRUST_BUNDLES: [&str; 3] = [".spiffe-trust-bundle.x509.pem", ".spiffe-trust-bundle.pem", ".x509.pem"];

/// The trust bundles beside a credential: one file a trust domain, never merged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustBundles {
    /// That of the credential's own trust domain.
    pub own: Option<String>,
    /// Those of others.
    pub federated: BTreeMap<TrustDomain, String>,
}

/// Two files are the trust bundle of one trust domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{first} and {second} are both the trust bundle of {trust_domain}; which one counts cannot be told: leave one of them"
)]
pub struct TwoTrustBundles {
    /// The trust domain.
    pub trust_domain: TrustDomain,
    /// One file.
    pub first: String,
    /// The other.
    pub second: String,
}

impl TrustBundles {
    /// Those among the files called `names`, beside a credential of the trust domain `own`; where that is not known and there is one
    /// bundle, it is that one's.
    ///
    /// # Errors
    ///
    /// One trust domain has two.
    pub fn among<'n>(
        names: impl IntoIterator<Item = &'n str>,
        own: Option<&TrustDomain>,
    ) -> Result<Self, TwoTrustBundles> {
        let mut all: BTreeMap<TrustDomain, String> = BTreeMap::new();
        for name in names.into_iter().filter(|name| !CREDENTIAL_BUNDLES.contains(name)) {
            let Some(domain) = TRUST_BUNDLES.iter().find_map(|end| name.strip_suffix(end)) else { continue };
            let Ok(trust_domain) = domain.parse::<TrustDomain>() else { continue };
            if let Some(first) = all.insert(trust_domain.clone(), name.to_owned()) {
                return Err(TwoTrustBundles { trust_domain, first, second: name.to_owned() });
            }
        }
        let only = all.keys().next().filter(|_| all.len() == 1).cloned();
        let own = own.cloned().or(only).and_then(|own| all.remove(&own));
        Ok(Self { own, federated: all })
    }

    /// Has the credential of `files` in `directory` trust by these bundles, where there is one of its own.
    pub fn put_into(&self, files: &mut FileSet, directory: &Path) {
        if let Some(own) = &self.own {
            files.bundle = Some(BundleFile::Dedicated(directory.join(own)));
            let federated = self.federated.iter().map(|(domain, name)| (domain.clone(), directory.join(name)));
            files.federated = federated.collect();
        }
    }
}
