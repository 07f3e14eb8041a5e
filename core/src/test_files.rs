//! The files of an identity as they are read, with no file system, for the tests of this crate.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use evercert_fixtures::Entity;
use zeroize::Zeroizing;

use crate::bundle::Bundle;
use crate::identity::IdentityId;
use crate::material::Material;
use crate::mount::{Access, Directory, FileRead, KeyAccess, ReadError, Reading, Route};
use crate::spec::{BundleFile, CredentialFiles, Expectations, FileSet, IdentitySpec};
use crate::spiffe::TrustDomain;

pub(crate) fn bundle(anchors: &[&Entity]) -> Bundle {
    Bundle::new(anchors.iter().map(|anchor| anchor.der()).collect(), Vec::new())
}

/// An identity with cert-manager's files in `/tls`.
pub(crate) fn spec() -> IdentitySpec {
    IdentitySpec {
        id: IdentityId::node("id".parse().unwrap()),
        files: FileSet::cert_manager(Path::new("/tls")),
        expectations: Expectations::default(),
        overlap: IdentitySpec::OVERLAP,
    }
}

/// [`spec`] with `ca.crt` as a bundle of its own.
pub(crate) fn dedicated() -> IdentitySpec {
    let mut spec = spec();
    spec.files.bundle = Some(BundleFile::Dedicated("/trust/ca.crt".into()));
    spec
}

/// The content of an identity's files; a file without content is missing.
#[derive(Clone, Default)]
pub(crate) struct Files {
    pub(crate) chain: Option<Vec<u8>>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) bundle: Option<Vec<u8>>,
    pub(crate) crl: Option<Vec<u8>>,
    pub(crate) federated: BTreeMap<TrustDomain, Vec<u8>>,
    /// The permissions to read each of them.
    pub(crate) access: Option<KeyAccess>,
}

impl Files {
    pub(crate) fn of(leaf: &Entity, issuers: &[&Entity], anchors: &[&Entity]) -> Self {
        let concat = |entities: &[&Entity]| entities.iter().map(|entity| entity.pem()).collect::<String>().into_bytes();
        Self {
            chain: Some([leaf.pem().into_bytes(), concat(issuers)].concat()),
            key: Some(leaf.key.serialize_pem().into_bytes()),
            bundle: if anchors.is_empty() { None } else { Some(concat(anchors)) },
            ..Self::default()
        }
    }

    pub(crate) fn with_chain(self, chain: impl Into<Vec<u8>>) -> Self {
        Self { chain: Some(chain.into()), ..self }
    }

    pub(crate) fn with_key(self, key: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    pub(crate) fn with_bundle(self, bundle: impl Into<Vec<u8>>) -> Self {
        Self { bundle: Some(bundle.into()), ..self }
    }

    /// The mode of every file, and its group.
    pub(crate) fn with_mode(self, mode: u32, group: u32) -> Self {
        let access = Access { owner: 0, group, mode, acl: None };
        Self { access: Some(KeyAccess { access, filesystem: 0, is_kubelets: false, route: Route::default() }), ..self }
    }

    /// The mode of every directory on the way to every file, whose mode was said before.
    pub(crate) fn in_directories(mut self, modes: &[u32]) -> Self {
        let mut last = None;
        for (mode, inode) in modes.iter().zip(1..) {
            let access = Access { owner: 0, group: 0, mode: *mode, acl: None };
            last = Some(Arc::new(Directory::new(last, OsStr::new("directory"), 0, (1, inode), access)));
        }
        let route = Route::new(&Vec::from_iter(last), false);
        self.access = self.access.map(|access| KeyAccess { route, ..access });
        self
    }

    /// The content of every file of CRLs.
    pub(crate) fn with_crl(self, crl: impl Into<Vec<u8>>) -> Self {
        Self { crl: Some(crl.into()), ..self }
    }

    /// The content of the bundle of a federated trust domain.
    pub(crate) fn with_federated(mut self, trust_domain: &str, bundle: impl Into<Vec<u8>>) -> Self {
        self.federated.insert(trust_domain.parse().unwrap(), bundle.into());
        self
    }

    /// The same as a directory of cert-manager's files has them.
    pub(crate) fn on_disk(&self) -> evercert_fixtures::Files {
        let named = [("tls.crt", &self.chain), ("tls.key", &self.key), ("ca.crt", &self.bundle), ("ca.crl", &self.crl)];
        let there = named.into_iter().filter_map(|(name, content)| Some((name, content.as_ref()?)));
        there.fold(evercert_fixtures::Files::new(), |files, (name, content)| files.with(name, content))
    }

    /// Parses these files for `spec`.
    pub(crate) fn read(&self, spec: &IdentitySpec) -> Material {
        let file = |path: &Path, content: &Option<Vec<u8>>| {
            let outcome = content.clone().map(Zeroizing::new).ok_or(ReadError::Missing);
            let access = outcome.as_ref().ok().and_then(|_| self.access.clone()).map(Arc::new);
            let route = access.as_ref().map(|access| access.route.clone()).unwrap_or_default();
            Some(FileRead { path: path.to_owned(), outcome, access, route, is_stale_mount: false })
        };
        let stamp = crate::mount::visit(&FileSet::default()).stamp().clone();
        let mut reading =
            Reading { chain: None, key: None, bundle: None, crls: Vec::new(), federated: Vec::new(), stamp };
        match &spec.files.credential {
            Some(CredentialFiles::Pair { chain, key }) => {
                (reading.chain, reading.key) = (file(chain, &self.chain), file(key, &self.key));
            }
            Some(CredentialFiles::Combined(path) | CredentialFiles::Chain(path)) => {
                reading.chain = file(path, &self.chain)
            }
            None => {}
        }
        reading.bundle = spec.files.bundle.as_ref().and_then(|bundle| file(bundle.path(), &self.bundle));
        reading.crls = spec.files.crls.iter().filter_map(|crl| file(crl.path(), &self.crl)).collect();
        let federated = spec.files.federated.iter();
        let federated = federated.filter_map(|(domain, path)| file(path, &self.federated.get(domain).cloned()));
        reading.federated = federated.collect();
        Material::parse(spec, reading)
    }
}
