//! The certificate of the HTTP side: what the daemon itself publishes of one of its identities.
//!
//! The SDK makes a rustls config of each generation, as for every other service, so chains, trust, revocation and SPIFFE IDs are judged
//! here as there. The next handshake uses the latest; a connection is for one request, so none has to be moved.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use evercert::source::{Outcome, Report, Source, SourceState};
use evercert::tls::ServerTls;
use evercert::{ClientCertificates, HttpVersions, Identity, TlsVersions};
use evercert_core::finding::{Check, Finding, Severity};
use evercert_core::identity::{IdentityId, IdentityName};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::publication::{Claim, KeyClaims, Store};
use crate::serve::{DaemonInfo, HttpPart};

/// How long nobody is told that there is no certificate yet: the first reading takes a moment.
const FIRST_READ: Duration = Duration::from_secs(5);

/// The config of the next handshake; absent while there is no certificate.
pub(crate) type Configs = watch::Receiver<Option<Arc<ServerConfig>>>;

/// Follows one identity.
pub(crate) struct Certificate {
    name: IdentityName,
    tls: ServerTls,
    store: Arc<Store>,
    key_claims: Arc<KeyClaims>,
    info: watch::Sender<DaemonInfo>,
    configs: watch::Sender<Option<Arc<ServerConfig>>>,
}

impl Certificate {
    /// The certificate of the node's identity called `name`; with `client_certificates`, whoever connects has to show one that its bundle vouches for.
    pub(crate) fn new(
        name: IdentityName,
        client_certificates: bool,
        (store, key_claims): (Arc<Store>, Arc<KeyClaims>),
        info: watch::Sender<DaemonInfo>,
    ) -> Self {
        let clients = if client_certificates { ClientCertificates::Required } else { ClientCertificates::None };
        let tls = ServerTls::default()
            .versions(TlsVersions::Tls12And13)
            .http_versions(HttpVersions::Http1)
            .client_certificates(clients);
        Self { name, tls, store, key_claims, info, configs: watch::Sender::new(None) }
    }

    /// The configs that come of it.
    pub(crate) fn configs(&self) -> Configs {
        self.configs.subscribe()
    }

    /// Follows it until `shutdown`.
    pub(crate) async fn follow(self, shutdown: CancellationToken) {
        let id = IdentityId::node(self.name.clone());
        // The key is in memory for as long as this runs, whatever the mode of the daemon.
        let mut claim = self.key_claims.claim(id.clone());
        let (delivered, delivery) = watch::channel(SourceState::default());
        let (reported, mut reports) = watch::channel(None);
        let source = Arc::new(Published { delivery, reported });
        let mut identity = match Identity::from_source(self.name.as_str(), source).start_pending() {
            Ok(identity) => identity,
            Err(error) => {
                error!(%error, "the certificate of the HTTP side cannot be followed");
                return shutdown.cancelled().await;
            }
        };
        let mut changes = self.store.changes();
        let mut patience = pin!(sleep(FIRST_READ));
        let mut trouble = Some(format!("identity {} has nothing published yet", self.name));
        let mut is_patient = true;
        let mut told: Option<String> = None;
        loop {
            self.deliver(&id, &delivered, &mut claim);
            if !is_patient && told != trouble {
                self.tell(trouble.as_deref());
                told.clone_from(&trouble);
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = &mut patience, if is_patient => is_patient = false,
                Ok(()) = changes.changed() => {}
                generation = identity.changed() => match identity.server_config(&self.tls) {
                    Ok(config) => {
                        self.configs.send_replace(Some(config.into()));
                        (is_patient, trouble) = (false, None);
                        info!(identity = %self.name, generation = generation.snapshot().generation(), "the HTTP side presents this certificate");
                    }
                    Err(refused) => trouble = Some(format!("identity {} cannot be used for it: {refused}", self.name)),
                },
                Ok(()) = reports.changed() => if let Some(Report { outcome: Outcome::Refused(refusal), .. }) = &*reports.borrow() {
                    trouble = Some(format!("what identity {} publishes cannot be used: {refusal}", self.name));
                },
            }
        }
    }

    /// Passes on what is published, once its key is in memory.
    fn deliver(&self, id: &IdentityId, delivered: &watch::Sender<SourceState>, claim: &mut Claim) {
        let state = self.store.get(id);
        let Some(snapshot) = state.and_then(|state| state.snapshot.clone()) else { return };
        if snapshot.credential().is_some_and(|credential| credential.key().is_some()) {
            delivered.send_if_modified(|known| {
                let is_known = known.snapshot.as_ref().is_some_and(|known| Arc::ptr_eq(known, &snapshot));
                *known = SourceState::delivered(snapshot);
                !is_known
            });
        } else {
            // An identity that was not kept yet, or is kept anew, has not heard the claim that was made before.
            *claim = self.key_claims.claim(id.clone());
        }
    }

    fn tell(&self, trouble: Option<&str>) {
        let finding = trouble.map(|trouble| {
            let then = match &*self.configs.borrow() {
                Some(_) => "the former certificate is still presented",
                None => "connections are closed until then",
            };
            let sentence = format!(
                "`listen` of [http] presents the certificate that `identity` of [http] names, and {trouble}; {then}: see `evercertd status`"
            );
            Finding::new(Check::HttpUnavailable, Severity::Warn, sentence)
        });
        if let Some(finding) = &finding {
            warn!("{}", finding.sentence);
        }
        self.info.send_modify(|info| info.tell(HttpPart::Certificate, finding));
    }
}

/// The daemon's own publications as a source of the SDK's.
struct Published {
    delivery: watch::Receiver<SourceState>,
    reported: watch::Sender<Option<Report>>,
}

impl Source for Published {
    fn state(&self) -> watch::Receiver<SourceState> {
        self.delivery.clone()
    }

    fn report(&self, report: Report) {
        self.reported.send_replace(Some(report));
    }
}
