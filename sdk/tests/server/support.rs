//! A source that hands out what a test gives it, and the snapshots to give.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use evercert::Identity;
use evercert::source::{Outcome, Report, Source, SourceState};
use evercert_core::bundle::{Bundle, Bundles};
use evercert_core::credential::{Credential, PrivateKey};
use evercert_core::snapshot::Snapshot;
pub(crate) use evercert_fixtures::wait::DEADLINE;
use evercert_fixtures::{Authority, Issued, Leaf, wait};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::{Mutex, mpsc, watch};
use zeroize::Zeroizing;

/// The name that servers of these tests have.
pub(crate) const NAME: &str = "server.example.org";

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    wait::soon("what the test does", future).await
}

/// A source under the test's hands. Of a generation it is told once whether it was taken up; how older connections go is not told.
pub(crate) struct Script {
    taken_up: parking_lot::Mutex<Option<Report>>,
    state: watch::Sender<SourceState>,
    sent: mpsc::UnboundedSender<Report>,
    reports: Mutex<mpsc::UnboundedReceiver<Report>>,
}

impl Script {
    pub(crate) fn new() -> Arc<Self> {
        let (sent, reports) = mpsc::unbounded_channel();
        Arc::new(Self {
            taken_up: parking_lot::Mutex::default(),
            state: watch::Sender::default(),
            sent,
            reports: Mutex::new(reports),
        })
    }

    pub(crate) fn of(snapshot: Snapshot) -> Arc<Self> {
        let script = Self::new();
        script.deliver(snapshot);
        script
    }

    pub(crate) fn deliver(&self, snapshot: Snapshot) {
        self.state.send_replace(SourceState::delivered(snapshot));
    }

    pub(crate) fn lose(&self, trouble: &str) {
        self.state.send_modify(|state| {
            state.connected = false;
            state.trouble = Some(trouble.into());
        });
    }

    /// Delivers, and waits for the report.
    pub(crate) async fn publish(&self, snapshot: Snapshot) -> Report {
        self.deliver(snapshot);
        self.report().await
    }

    pub(crate) async fn report(&self) -> Report {
        soon(async { self.reports.lock().await.recv().await.unwrap() }).await
    }

    pub(crate) async fn no_report(&self) -> bool {
        self.reports.lock().await.try_recv().is_err()
    }

    /// Until nobody follows any more.
    pub(crate) async fn abandoned(&self) {
        soon(self.state.closed()).await;
    }

    pub(crate) async fn identity(self: &Arc<Self>) -> Identity {
        let identity = Identity::from_source("test", self.clone()).timeout(DEADLINE).await.unwrap();
        self.report().await;
        identity
    }
}

impl Source for Script {
    fn state(&self) -> watch::Receiver<SourceState> {
        self.state.subscribe()
    }

    fn report(&self, report: Report) {
        let first = self.taken_up.lock().replace(taken_up(&report)) != Some(taken_up(&report));
        if first {
            let _ = self.sent.send(taken_up(&report));
        }
    }
}

pub(crate) fn credential(issued: &Issued) -> Option<Arc<Credential>> {
    let key = PrivateKey::from_pkcs8(Zeroizing::new(issued.key_der.clone())).unwrap();
    let chain = CertificateDer::pem_slice_iter(issued.chain_pem.as_bytes()).collect::<Result<_, _>>().unwrap();
    Some(Arc::new(Credential::new(chain, key).unwrap()))
}

pub(crate) fn bundle(authorities: &[&Authority]) -> Bundles {
    let anchors = authorities.iter().map(|authority| CertificateDer::from(authority.ca_der().to_vec())).collect();
    Bundles { own: Some(Arc::new(Bundle::new(anchors, Vec::new()))), federated: BTreeMap::new() }
}

pub(crate) fn snapshot(generation: u64, issued: &Issued, trusted: &[&Authority]) -> Snapshot {
    Snapshot::new(generation, credential(issued), bundle(trusted), None)
}

fn taken_up(report: &Report) -> Report {
    let outcome = match &report.outcome {
        Outcome::Settled => Outcome::Current,
        other => other.clone(),
    };
    let mut taken_up = Report::new(report.generation, report.digest, outcome);
    taken_up.not_after = report.not_after;
    taken_up
}

/// A leaf for [`NAME`].
pub(crate) fn server_leaf(authority: &Authority) -> Issued {
    authority.issue(Leaf::for_dns(NAME))
}
