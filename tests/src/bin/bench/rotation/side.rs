//! One that serves a certificate that is rotated, in a process of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evercert_fixtures::{Issued, KubeletVolume};
use tokio_rustls::TlsConnector;

use super::{LIMIT, leaf, shown};
use crate::greeter;
use crate::process::Process;

/// The time that it has to come up.
const UP: Duration = Duration::from_secs(30);

pub(crate) struct Side {
    name: &'static str,
    volume: Arc<KubeletVolume>,
    pub(crate) address: SocketAddr,
    _process: Process,
}

impl Side {
    /// A process that serves at this address what is in `volume`.
    pub(crate) fn new(
        name: &'static str,
        volume: &Arc<KubeletVolume>,
        (address, process): (SocketAddr, Process),
    ) -> Self {
        Self { name, volume: Arc::clone(volume), address, _process: process }
    }

    /// The greeter, which has it by this directory or socket.
    pub(crate) fn service(name: &'static str, volume: &Arc<KubeletVolume>, path: &Path) -> Self {
        Self::new(name, volume, greeter::start(path))
    }

    /// Waits until it presents this certificate.
    pub(crate) async fn is_up(&self, client: &TlsConnector, issued: &Issued) {
        let up = async {
            while shown(client, self.address).await.as_ref() != Some(&issued.leaf_der) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(UP, up).await.unwrap_or_else(|_| panic!("{} is not up after {UP:?}", self.name));
    }

    /// Has its certificate replaced by this one.
    pub(crate) async fn swap(&self, issued: &Issued) -> Instant {
        let (volume, files) = (Arc::clone(&self.volume), issued.files());
        tokio::task::spawn_blocking(move || volume.swap(&files)).await.unwrap()
    }

    /// The time from the rename of `..data` to the end of the first handshake with the new leaf; `None` where it did not come.
    pub(crate) async fn rotation(&self, client: &TlsConnector, issued: &Issued) -> Option<Duration> {
        // The kubelet goes on with its own work after the rename, beside everyone else's.
        let swap = self.swap(issued);
        let handshake = async {
            while leaf(client, self.address).await != issued.leaf_der {}
            Instant::now()
        };
        let (swapped, handshake) = tokio::time::timeout(LIMIT, async { tokio::join!(swap, handshake) }).await.ok()?;
        Some(handshake - swapped)
    }
}
