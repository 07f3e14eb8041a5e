//! From a configuration, and what was found by it, to everything that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::keeper::{Keeper, KeeperSettings};
use evercert_core::reactor::Reactor;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::job::Jobs;
use super::listeners::Listeners;
use super::{Daemon, Looking, StartError};
use crate::callers::Processes;
use crate::config::{Config, HttpTls};
use crate::inventory::sources::Sources;
use crate::publication::{Journal, KeyClaims, Neighbours, Readiness, Store, Subscribers, Surroundings};
use crate::serve::{self, Context, Control, DaemonInfo, HttpPart};
use crate::served;
use crate::web::certificate::Certificate;
use crate::web::http::{self, Pages, Scope};
use crate::web::liveness::Liveness;
use crate::web::metrics::{Limit, Measured, Metrics};
use crate::web::page::Page;

/// How many ticks the keeper may be silent before the daemon counts as dead, and how much longer at least.
const SILENT_TICKS: u32 = 3;
const SILENCE_AT_LEAST: Duration = Duration::from_secs(30);

impl Daemon {
    /// Has everything run that serves `sources`.
    ///
    /// # Errors
    ///
    /// There is no randomness to be had, or no further thread.
    pub(super) fn start(
        file: Option<PathBuf>,
        config: Arc<Config>,
        settings: KeeperSettings,
        listeners: Listeners,
        jobs: Jobs,
        looking: Looking,
        sources: Sources,
    ) -> Result<Self, StartError> {
        // Known before anyone can ask: a daemon that wants nothing yet would be ready.
        let (wanted, wanted_now) = watch::channel(Arc::new(sources.wanted()));
        let store = Store::new(getrandom::u64()?);
        let metrics = Metrics::new(config.http.metrics_limit, settings.state_directory.as_deref())?;
        let surroundings = Arc::new(Surroundings::new(Arc::clone(&store)));
        let counted = Arc::clone(&metrics);
        let left_out = move || counted.limit_reached(Limit::LogLines);
        let journal = Arc::new(Journal::new(Arc::clone(&surroundings) as _, wanted_now.clone(), left_out));
        let observer = Arc::new(Measured::new(Arc::clone(&metrics), Arc::clone(&journal) as _));
        let reactor = Reactor::start("evercert-keeper").map_err(StartError::Runtime)?;
        let keeper = Arc::new(Keeper::start_in(&reactor, settings, observer));
        let key_claims = KeyClaims::new(Arc::clone(&keeper) as _);
        let subscriber_journal = Arc::new(journal.of_subscribers(Arc::clone(&metrics) as _));
        let subscribers = Subscribers::new(Arc::clone(&store), subscriber_journal, Arc::clone(&key_claims));
        let readiness = Readiness::new(wanted_now.clone(), Arc::clone(&store));
        let (info, info_now) = watch::channel(DaemonInfo {
            version: env!("CARGO_PKG_VERSION"),
            started: SystemTime::now(),
            ready: false,
            config_error: None,
            findings: BTreeMap::new(),
        });
        let silence_limit = (config.tick * SILENT_TICKS).max(SILENCE_AT_LEAST);
        let liveness = Liveness::new(Arc::clone(&metrics), silence_limit);
        let neighbours = Neighbours::new(Arc::clone(&store));
        let pages = Pages {
            metrics,
            readiness,
            subscribers: Arc::clone(&subscribers),
            neighbours: Arc::clone(&neighbours),
            liveness,
        };
        let shutdown = CancellationToken::new();
        let mut servers = JoinSet::new();
        let (decisions, door) = (Arc::clone(&pages.metrics) as _, Arc::clone(&pages.metrics) as _);
        let (control, orders) = Control::new();
        let processes = Arc::new(Processes::new(config.kubelet.cgroup_prefixes.clone()));
        let context = Context {
            processes,
            store: Arc::clone(&store),
            subscribers,
            decisions,
            door,
            neighbours: Arc::clone(&neighbours),
            wanted: wanted_now,
            info: info_now,
            control,
            mode: config.mode,
        };
        let limits = &config.limits;
        let limits = serve::Limits::new(limits.connections(), limits.streams(), limits.requests());
        let observer = Arc::clone(&pages.metrics) as _;
        servers.spawn(served::watch(context.wanted.clone(), Arc::clone(&store), observer, shutdown.clone()));
        servers.spawn(serve::admin(listeners.admin, context.clone(), shutdown.clone()));
        // On the thread that publishes, so that no other one wakes up on the way of a rotation.
        let compared = neighbours.compare(pages.readiness.clone(), Arc::clone(&surroundings), shutdown.clone());
        servers.spawn_on(compared, reactor.handle());
        servers.spawn_on(serve::workload(listeners.agent, context.clone(), limits, shutdown.clone()), reactor.handle());
        let certificate = config.http.tls.clone().filter(|_| listeners.http.is_some()).map(|tls| {
            let HttpTls { identity, client_certificates } = tls;
            Certificate::new(identity, client_certificates, (Arc::clone(&store), key_claims), info.clone())
        });
        let configs = certificate.as_ref().map(Certificate::configs);
        if let Some(certificate) = certificate {
            servers.spawn(certificate.follow(shutdown.clone()));
        }
        let page = Box::new(Page { context, at: config.http.page });
        let scopes = [
            (listeners.http, HttpPart::Listen, Scope::Everything(configs, page)),
            (listeners.probes, HttpPart::Probes, Scope::Probes),
        ];
        for (listener, part, scope) in scopes {
            let Some(listener) = listener else { continue };
            let (info, pages, shutdown) = (info.clone(), pages.clone(), shutdown.clone());
            servers.spawn(async move {
                let listener = shutdown.run_until_cancelled(listener.listener(part, &info)).await;
                if let Some(listener) = listener {
                    http::serve(listener, scope, pages, shutdown.clone()).await;
                }
            });
        }
        let mut daemon = Self {
            file,
            started_with: Arc::clone(&config),
            needs_restart: Vec::new(),
            config,
            directories: Vec::new(),
            warnings: BTreeSet::new(),
            jobs,
            look_again: None,
            looking,
            keeper,
            surroundings,
            wanted,
            info,
            orders,
            pages,
            store,
            servers,
            shutdown,
            _owned: listeners.owned,
        };
        daemon.keep(sources);
        Ok(daemon)
    }
}
