//! The names of an identity's files, which tell what a path or a directory holds.
//!
//! Names decide first, whatever they lead to: a file that cannot be used is a finding about an identity, and not an identity that is
//! passed over in silence. Of a file of any other name its content tells whether it holds both key and chain.

mod credential_folder;

use std::ffi::{OsStr, OsString};
use std::path::Path;

pub use credential_folder::{CREDENTIAL_BUNDLES, TrustBundles, TwoTrustBundles};

use crate::pem;
use crate::spec::{BundleFile, CredentialFiles, CrlFile, FileSet};
use crate::spiffe::TrustDomain;

/// The file names cert-manager gives to the keys of a TLS Secret.
pub mod file_name {
    /// The chain, leaf first.
    pub const CHAIN: &str = "tls.crt";
    /// The private key.
    pub const KEY: &str = "tls.key";
    /// The trust anchors.
    pub const BUNDLE: &str = "ca.crt";
    /// The certificate revocation lists. cert-manager writes none; whoever does may put them beside the rest.
    pub const CRL: &str = "ca.crl";
}

/// Names of files that may hold both key and chain end in one of these, in whatever case; those of directories do not. DER, PKCS#7 and
/// revocation lists cannot hold both, so a path that ends as theirs do means a directory.
pub const FILE_EXTENSIONS: [&str; 4] = ["pem", "crt", "cer", "key"];

/// Which files of a directory are its credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// `tls.crt` and `tls.key`, as cert-manager names them.
    CertManager,
    /// One file of this name, with key and chain.
    Combined(OsString),
}

impl Layout {
    /// The directory that a path means, and the layout of it: the path is of the directory, or of the one file with key and chain.
    ///
    /// That is told by the path alone. So a configuration means the same whether or not there is anything, and a mount that hangs cannot
    /// stall its reading.
    #[must_use]
    pub fn of_path(path: &Path) -> (&Path, Self) {
        let is_directory = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        let is_known = |extension: &OsStr| FILE_EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known));
        match (path.parent(), path.file_name(), path.extension()) {
            (Some(directory), Some(file), Some(extension)) if !is_directory && is_known(extension) => {
                (directory, Self::Combined(file.to_owned()))
            }
            _ => (path, Self::CertManager),
        }
    }

    /// The layout of a directory by the names in it: `has` tells whether there is one, `files` are those of its files, and
    /// `holds_both` tells of one whether it [holds a key and a chain](holds_key_and_chain). Absent: it holds no credential, or several
    /// files do, of which none can be told to be meant.
    #[must_use]
    pub fn of_directory<'n>(
        has: impl Fn(&str) -> bool,
        files: impl IntoIterator<Item = &'n str>,
        mut holds_both: impl FnMut(&str) -> bool,
    ) -> Option<Self> {
        if [file_name::CHAIN, file_name::KEY].into_iter().all(has) {
            return Some(Self::CertManager);
        }
        let mut combined = files.into_iter().filter(|name| holds_both(name));
        match (combined.next(), combined.next()) {
            (Some(name), None) => Some(Self::Combined(name.into())),
            _ => None,
        }
    }

    /// Chain and key in `directory`.
    #[must_use]
    pub fn credential(&self, directory: &Path) -> CredentialFiles {
        match self {
            Self::CertManager => {
                CredentialFiles::Pair { chain: directory.join(file_name::CHAIN), key: directory.join(file_name::KEY) }
            }
            Self::Combined(name) => CredentialFiles::Combined(directory.join(name)),
        }
    }

    /// All files in `directory`: the credential, and what may be beside it.
    #[must_use]
    pub fn files(&self, directory: &Path) -> FileSet {
        FileSet {
            credential: Some(self.credential(directory)),
            bundle: Some(bundle(directory)),
            crls: vec![crl(directory)],
            ..FileSet::default()
        }
    }
}

impl FileSet {
    /// `tls.crt`, `tls.key` and `ca.crt` in `directory`, as cert-manager names them, and a `ca.crl` if there is one.
    #[must_use]
    pub fn cert_manager(directory: &Path) -> Self {
        Layout::CertManager.files(directory)
    }
}

/// The bundle beside a credential in `directory`.
#[must_use]
pub fn bundle(directory: &Path) -> BundleFile {
    BundleFile::OfCredential(directory.join(file_name::BUNDLE))
}

/// The certificate revocation lists beside a credential in `directory`.
#[must_use]
pub fn crl(directory: &Path) -> CrlFile {
    CrlFile::OfCredential(directory.join(file_name::CRL))
}

/// Whether a path leads through one of a pod's projected volumes, in which alone the kubelet writes pod certificates.
#[must_use]
pub fn is_projected(path: &Path) -> bool {
    path.components().any(|component| component.as_os_str() == PROJECTED)
}

/// The kubelet's name for projected volumes.
pub const PROJECTED: &str = "kubernetes.io~projected";

/// Whether a text is a credential bundle as the kubelet writes it: the key, then certificates and nothing else (KEP-4317).
#[must_use]
pub fn is_credential_bundle(text: &[u8]) -> bool {
    let mut labels = pem::labels(text);
    labels.next() == Some(b"PRIVATE KEY".as_slice()) && {
        let mut certificates = labels.peekable();
        certificates.peek().is_some() && certificates.all(|label| label == b"CERTIFICATE")
    }
}

/// The trust domain of the leaf in a text with PEM blocks, where that has a SPIFFE ID.
#[must_use]
pub fn trust_domain(text: &[u8]) -> Option<TrustDomain> {
    let mut blocks = pem::blocks(text).map_while(Result::ok);
    let leaf = blocks.find(|block| block.label == "CERTIFICATE")?;
    TrustDomain::claimed_by(&leaf.der)
}

/// Whether a text has PEM blocks of certificates and of no private key.
#[must_use]
pub fn holds_certificates_alone(text: &[u8]) -> bool {
    let mut labels = pem::labels(text).peekable();
    labels.peek().is_some() && labels.all(|label| label == b"CERTIFICATE")
}

/// Whether a text has PEM blocks of both a private key and a certificate, whatever is in them.
#[must_use]
pub fn holds_key_and_chain(text: &[u8]) -> bool {
    let (mut key, mut chain) = (false, false);
    for label in pem::labels(text) {
        key |= label.ends_with(b"PRIVATE KEY");
        chain |= label == b"CERTIFICATE";
        if key && chain {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combined(name: &str) -> Layout {
        Layout::Combined(name.into())
    }

    #[test]
    fn a_path_is_of_a_file_where_its_extension_says_so_and_else_of_a_directory() {
        for (path, directory, layout) in [
            ("/etc/tls", "/etc/tls", Layout::CertManager),
            ("/etc/tls.d", "/etc/tls.d", Layout::CertManager),
            ("/etc/a.pem/", "/etc/a.pem/", Layout::CertManager),
            ("/etc/.pem", "/etc/.pem", Layout::CertManager),
            ("/", "/", Layout::CertManager),
            ("/etc/a.pem", "/etc", combined("a.pem")),
            ("/a.CRT", "/", combined("a.CRT")),
        ] {
            assert_eq!(Layout::of_path(Path::new(path)), (Path::new(directory), layout), "{path}");
        }
    }

    #[test]
    fn names_decide_before_any_content_and_of_two_files_with_both_none_is_meant() {
        let of = |names: &[&'static str], both: &[&str]| {
            Layout::of_directory(|name| names.contains(&name), names.iter().copied(), |name| both.contains(&name))
        };
        assert_eq!(of(&["tls.crt", "tls.key", "a.pem"], &["a.pem"]), Some(Layout::CertManager));
        assert_eq!(of(&["tls.crt", "a.pem", "b.pem"], &["a.pem"]), Some(combined("a.pem")));
        assert_eq!(of(&["a.pem", "b.pem"], &["a.pem", "b.pem"]), None);
        assert_eq!(of(&["tls.crt"], &[]), None);
    }

    #[test]
    fn a_text_holds_both_where_the_labels_of_its_blocks_say_so() {
        let [key, chain] = ["EC PRIVATE KEY", "CERTIFICATE"]
            .map(|label| format!("-----BEGIN {label}-----\nAA==\n-----END {label}-----\n"));
        assert!(
            holds_key_and_chain(format!("{key}{chain}").as_bytes())
                && holds_key_and_chain((chain.clone() + &key).as_bytes())
        );
        let ends = format!("{key}{chain}").replace("BEGIN", "END");
        for text in [key.as_str(), &chain, &ends, "PRIVATE KEY CERTIFICATE"] {
            assert!(!holds_key_and_chain(text.as_bytes()), "{text}");
        }
    }
}
