//! One side of a connection, with what is mounted for it.

use std::path::{Path, PathBuf};

use evercert::Identity;
use evercert_core::bundle::Bundle;
use evercert_fixtures::{Authority, Files, Issued, KubeletVolume, Leaf};

use evercert_fixtures::wait;

/// The name on every certificate of a side.
pub const NAME: &str = "localhost";

/// A leaf for [`NAME`] and the loopback address, for servers and clients alike.
#[must_use]
pub fn leaf() -> Leaf {
    Leaf::for_dns(NAME).ip([127, 0, 0, 1].into())
}

/// A certificate and the bundle of the peers, in one volume. The bundle is meant as one of its own: what leaves it is gone at once.
#[derive(Debug)]
pub struct Side {
    volume: KubeletVolume,
    issued: Issued,
    trusted: Bundle,
}

impl Side {
    /// A certificate of this authority, which is also the one that is trusted.
    #[must_use]
    pub fn new(authority: &Authority) -> Self {
        let (issued, trusted) = (authority.issue(leaf()), bundle(&[authority]));
        let volume = KubeletVolume::new(&files(&issued, &[authority]));
        Self { volume, issued, trusted }
    }

    /// The mounted directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.volume.path()
    }

    /// The bundle's file.
    #[must_use]
    pub fn bundle(&self) -> PathBuf {
        self.volume.file("ca.crt")
    }

    /// The certificate that is mounted.
    #[must_use]
    pub fn issued(&self) -> &Issued {
        &self.issued
    }

    /// Mounts a new certificate of `issuer`, and these authorities as the bundle.
    pub fn mount(&mut self, issuer: &Authority, trusted: &[&Authority]) {
        self.mount_issued(issuer.issue(leaf()), trusted);
    }

    /// Mounts these authorities as the bundle, beside the certificate that is there.
    pub fn trust(&mut self, trusted: &[&Authority]) {
        self.mount_issued(self.issued.clone(), trusted);
    }

    /// Mounts this certificate, and these authorities as the bundle.
    pub fn mount_issued(&mut self, issued: Issued, trusted: &[&Authority]) {
        self.volume.swap(&files(&issued, trusted));
        self.trusted = bundle(trusted);
        self.issued = issued;
    }

    /// Waits until new handshakes of `identity` use what is mounted.
    pub async fn until_served_by(&self, identity: &Identity) {
        let serial = self.issued.serial_number().to_string();
        wait::until("the SDK serves what is mounted", || async {
            let current = identity.current()?;
            let snapshot = current.snapshot();
            let served = snapshot.credential()?.leaf().serial == serial;
            (served && snapshot.bundles().own.as_deref() == Some(&self.trusted)).then_some(())
        })
        .await;
    }
}

fn files(issued: &Issued, trusted: &[&Authority]) -> Files {
    issued.files().with("ca.crt", trusted.iter().map(|authority| authority.ca_pem()).collect::<String>())
}

fn bundle(trusted: &[&Authority]) -> Bundle {
    Bundle::new(trusted.iter().map(|authority| authority.ca_der().to_vec().into()).collect(), vec![])
}
