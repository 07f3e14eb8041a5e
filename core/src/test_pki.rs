//! A PKI made at run time, for the tests of this crate.

pub(crate) mod crl;
pub(crate) mod odd;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64ct::{Base64, Encoding as _};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use zeroize::Zeroizing;

use crate::bundle::Bundle;
use crate::identity::IdentityId;
use crate::material::Material;
use crate::mount::{Access, Directory, FileRead, KeyAccess, ReadError, Reading, Route};
use crate::spec::{BundleFile, CredentialFiles, Expectations, FileSet, IdentitySpec};
use crate::spiffe::TrustDomain;

/// The instant that tests take for now unless they say otherwise: 2026-01-01T00:00:00Z.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// A CA, or a leaf: a certificate and its key.
pub(crate) struct Entity {
    pub(crate) certificate: Certificate,
    pub(crate) key: KeyPair,
    params: CertificateParams,
}

impl Entity {
    /// A root CA, valid from 100 days ago to 1000 days from now.
    pub(crate) fn root(name: &str) -> Self {
        Self::root_with(name, |_| {})
    }

    pub(crate) fn root_with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (params, key) = (ca(name, change), key());
        Self { certificate: params.self_signed(&key).unwrap(), key, params }
    }

    /// A CA below this one.
    pub(crate) fn sub_ca(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        self.sign(ca(name, change), key())
    }

    /// A leaf for `localhost` that both roles may use, valid from 10 days ago to 80 days from now.
    pub(crate) fn leaf(&self) -> Self {
        self.leaf_with(|_| {})
    }

    pub(crate) fn leaf_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        self.leaf_of(key(), change)
    }

    pub(crate) fn leaf_of(&self, key: KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Self {
        self.sign(leaf(change), key)
    }

    /// This CA once more, under the same key with another key identifier, by `issuer`.
    pub(crate) fn again(&self, issuer: &Self, key_identifier_method: KeyIdMethod) -> Self {
        self.again_with(issuer, |ca| ca.key_identifier_method = key_identifier_method)
    }

    /// This CA once more, under the same key, by `issuer`, with a change.
    pub(crate) fn again_with(&self, issuer: &Self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::try_from(self.key.serialize_der()).unwrap();
        let mut params = self.params.clone();
        change(&mut params);
        issuer.sign(params, key)
    }

    fn sign(&self, params: CertificateParams, key: KeyPair) -> Self {
        let issuer = Issuer::from_params(&self.params, &self.key);
        Self { certificate: params.signed_by(&key, &issuer).unwrap(), key, params }
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A CRL of `this_update` that revokes these serial numbers, with the next update a day later.
    pub(crate) fn crl(&self, revoked: &[u64], this_update: SystemTime) -> CertificateRevocationListDer<'static> {
        self.crl_number(1, revoked, this_update)
    }

    /// The same, with this number.
    pub(crate) fn crl_number(
        &self,
        number: u64,
        revoked: &[u64],
        this_update: SystemTime,
    ) -> CertificateRevocationListDer<'static> {
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: this_update.into(),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: this_update.into(),
            next_update: (this_update + DAY).into(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer()).unwrap().der().clone()
    }

    /// A leaf with this serial number.
    pub(crate) fn leaf_number(&self, serial: u64) -> Self {
        self.leaf_with(|leaf| leaf.serial_number = Some(SerialNumber::from(serial)))
    }

    pub(crate) fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}

/// A self-signed certificate with a leaf's parameters.
pub(crate) fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> Entity {
    let (params, key) = (leaf(change), key());
    Entity { certificate: params.self_signed(&key).unwrap(), key, params }
}

pub(crate) fn bundle(anchors: &[&Entity]) -> Bundle {
    Bundle::new(anchors.iter().map(|anchor| anchor.der()).collect(), Vec::new())
}

pub(crate) fn key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

fn ca(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (now() - 100 * DAY).into();
    params.not_after = (now() + 1000 * DAY).into();
    change(&mut params);
    params
}

fn leaf(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.distinguished_name = common_name("leaf");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = (now() - 10 * DAY).into();
    params.not_after = (now() + 80 * DAY).into();
    change(&mut params);
    params
}

pub(crate) fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
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
            Some(CredentialFiles::Combined(path)) => reading.chain = file(path, &self.chain),
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

/// A PEM block.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let mut buffer = vec![0; der.len().div_ceil(3) * 4];
    let base64 = Base64::encode(der, &mut buffer).unwrap();
    let lines = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap());
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.collect::<Vec<_>>().join("\n"))
}
