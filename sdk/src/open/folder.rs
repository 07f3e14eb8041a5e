//! A SPIFFE credential folder: where pod certificates are mounted by the draft of SPIFFE's filesystem delivery.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use evercert_core::layout::{self, CREDENTIAL_BUNDLES, TrustBundles};
use evercert_core::mount::FILE_LIMIT;
use rustix::fs::{Mode, OFlags};
use zeroize::Zeroizing;

use crate::settings::CredentialFolderError;
use crate::source::DirectorySettings;

/// The most files of a folder that are looked at.
const ENTRIES_LIMIT: usize = 1024;

/// The settings of the identity in `folder`. Which files count is decided here, once; what is in them swaps.
pub(super) fn settings(folder: &Path) -> Result<DirectorySettings, CredentialFolderError> {
    let unreadable =
        |error: io::Error| CredentialFolderError::Unreadable { folder: folder.to_owned(), cause: error.kind() };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)?.take(ENTRIES_LIMIT) {
        if let Ok(name) = entry.map_err(unreadable)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    let mut credentials = CREDENTIAL_BUNDLES.into_iter().filter(|known| names.iter().any(|name| name == known));
    let credential = match (credentials.next(), credentials.next()) {
        (Some(credential), None) => credential,
        (Some(first), Some(second)) => {
            return Err(CredentialFolderError::TwoCredentials { folder: folder.to_owned(), first, second });
        }
        (None, _) => return Err(CredentialFolderError::NoCredential { folder: folder.to_owned() }),
    };
    let file = folder.join(credential);
    let (opened, found) = open(&file).map_err(unreadable)?;
    if !found.is_file() {
        return Err(CredentialFolderError::NotRegular { file });
    }
    if found.len() > FILE_LIMIT {
        return Err(CredentialFolderError::TooLarge { file, size: found.len() });
    }
    // Never moved while it grows: what is left behind would not be wiped.
    let mut content = Zeroizing::new(Vec::with_capacity(FILE_LIMIT.try_into().unwrap_or(usize::MAX)));
    opened.take(FILE_LIMIT).read_to_end(&mut content).map_err(unreadable)?;
    let own = layout::trust_domain(&content);
    let bundles = TrustBundles::among(names.iter().map(String::as_str), own.as_ref())
        .map_err(|source| CredentialFolderError::TwoTrustBundles { folder: folder.to_owned(), source })?;
    let Some(bundle) = bundles.own else {
        let domain = own.map_or_else(String::new, |own| format!(" {own}"));
        return Err(CredentialFolderError::NoTrustBundle { folder: folder.to_owned(), domain });
    };
    let settings = DirectorySettings::new(folder).combined(credential).dedicated_bundle(bundle);
    Ok(bundles
        .federated
        .into_iter()
        .fold(settings, |settings, (domain, file)| settings.federated(domain.as_str(), file)))
}

/// Whether nobody has mounted anything there: a kubelet's volume without files has its own entries alone.
pub(super) fn is_empty(folder: &Path) -> bool {
    let is_of_the_kubelet = |entry: fs::DirEntry| entry.file_name().as_encoded_bytes().starts_with(b"..");
    fs::read_dir(folder)
        .is_ok_and(|entries| entries.take(ENTRIES_LIMIT).all(|entry| entry.is_ok_and(is_of_the_kubelet)))
}

/// Opens a file without waiting for the other end of what is none.
fn open(file: &Path) -> io::Result<(fs::File, fs::Metadata)> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = fs::File::from(rustix::fs::open(file, flags, Mode::empty())?);
    let found = file.metadata()?;
    Ok((file, found))
}

#[cfg(test)]
mod tests {
    use evercert_fixtures::{Authority, Files, KubeletVolume, Leaf, make_fifo};

    use super::*;

    fn credential(authority: &Authority) -> String {
        let issued = authority.issue(Leaf::for_dns("a").uri("spiffe://own.example.org/a"));
        issued.key_pem.clone() + &issued.chain_pem
    }

    #[test]
    fn the_own_trust_domains_bundle_is_the_trust_and_every_other_is_federated() {
        let (own, partner) = (Authority::new("own"), Authority::new("partner"));
        for name in CREDENTIAL_BUNDLES {
            for end in ["spiffe-trust-bundle.pem", "spiffe-trust-bundle.x509.pem", "x509.pem"] {
                let [home, abroad] = ["own", "partner"].map(|domain| format!("{domain}.example.org.{end}"));
                let files = Files::new().with(name, credential(&own)).with("hints.json", "{}");
                let volume = KubeletVolume::new(&files.with(&home, own.ca_pem()).with(&abroad, partner.ca_pem()));
                let expected = DirectorySettings::new(volume.path()).combined(name).dedicated_bundle(home);
                assert_eq!(settings(volume.path()).unwrap(), expected.federated("partner.example.org", abroad));
            }
        }
    }

    #[test]
    fn a_folder_in_which_it_cannot_be_told_what_is_meant_is_refused_with_what_to_do() {
        let own = Authority::new("own");
        let bundle = |files: Files, name: &str| files.with(name, own.ca_pem());
        let with = || Files::new().with("credential-bundle.pem", credential(&own));
        for (files, says) in [
            (
                Files::new(),
                "holds no credential bundle: have the volume's credentialBundlePath be credential-bundle.private-key.pem",
            ),
            (with(), "no trust bundle of the credential's own trust domain own.example.org"),
            (
                bundle(with(), "partner.example.org.x509.pem"),
                "no trust bundle of the credential's own trust domain own.example.org",
            ),
            (
                with().with("credential-bundle.private-key.pem", credential(&own)),
                "holds credential-bundle.private-key.pem and credential-bundle.pem",
            ),
            (
                bundle(bundle(with(), "own.example.org.x509.pem"), "own.example.org.spiffe-trust-bundle.pem"),
                "are both the trust bundle of own.example.org",
            ),
        ] {
            let volume = KubeletVolume::new(&files);
            let error = settings(volume.path()).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains(&*volume.path().to_string_lossy()), "{error}");
        }
        let home = tempfile::tempdir().unwrap();
        make_fifo(home.path().join("credential-bundle.pem"));
        let fifo = settings(home.path()).unwrap_err().to_string();
        assert!(fifo.contains("is not a regular file"), "{fifo}");
        let volume = KubeletVolume::new(&Files::new().with("credential-bundle.pem", "x".repeat(1024 * 1024 + 1)));
        let large = settings(volume.path()).unwrap_err().to_string();
        assert!(large.contains("has 1048577 bytes, and 1048576 are read"), "{large}");
        let missing = settings(Path::new("/nowhere/at/all")).unwrap_err().to_string();
        assert!(missing.contains("/nowhere/at/all cannot be read"), "{missing}");
    }
}
