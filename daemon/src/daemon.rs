//! The daemon's wiring: from a configuration to everything that runs, and back.
//!
//! One task owns configuration, sources and keeper, and decides in [`Daemon::run`]; whatever may block (reading the configuration,
//! listing directories) runs beside it, one job at a time, under a deadline.

mod job;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::identity::IdentityId;
use evercert_core::keeper::{Keeper, KeeperSettings};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::collisions::Collisions;
use crate::config::Config;
use crate::http::{self, Pages};
use crate::metrics::{Measured, Metrics};
use crate::readiness::Readiness;
use crate::serve::{self, Context, DaemonInfo};
use crate::sockets::{OwnedSocket, SocketError};
use crate::sources::{Collision, Sources};
use crate::store::Store;
use crate::subscribers::Subscribers;
use crate::systemd::{self, Activation};

use job::{Job, Jobs, Outcome};

/// How long streams and connections are waited for at the end. With what the runtime takes, an exit stays under 2 s.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(1);

/// How long changes are gathered before the daemon's own state is worked out anew.
const SETTLE: Duration = Duration::from_millis(100);

/// How many ticks the keeper may be silent before the daemon counts as dead, and how much longer at least.
const SILENT_TICKS: u32 = 3;
const SILENCE_AT_LEAST: Duration = Duration::from_secs(30);

/// The daemon does not start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// No runtime.
    #[error("cannot start threads: {0}")]
    Runtime(#[source] io::Error),
    /// No signal handlers.
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] io::Error),
    /// Two identities of one name.
    #[error(transparent)]
    Collision(#[from] Collision),
    /// A socket cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A listener cannot be used.
    #[error("cannot use the {name} socket: {source}")]
    Listener {
        /// Which one.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The HTTP address cannot be had.
    #[error("cannot listen on {address}: {source}; set `listen` of [http] to another address, or to \"off\"")]
    Http {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No random number.
    #[error("cannot get a random number: {0}")]
    Random(#[from] getrandom::Error),
    /// The metrics do not fit together.
    #[error("cannot set up metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// A server is gone.
    #[error("a server ended by itself; this is a bug")]
    ServerEnded,
}

/// Runs the daemon until a signal ends it.
///
/// # Errors
///
/// It cannot start, or one of its servers is gone.
pub(crate) async fn run(file: Option<PathBuf>, config: Config, activation: Activation) -> Result<(), StartError> {
    let signals = Signals::listen()?;
    let mut jobs = Jobs::default();
    let sources = first_sources(&mut jobs, &config).await?;
    let sockets = Sockets::bind(&config, activation).await?;
    let daemon = Daemon::start(file, config, sources, jobs, sockets)?;
    daemon.run(signals).await
}

/// What the configuration asks for now. A file system that does not answer delays the start for a moment, not for ever: what it
/// holds is picked up when it does.
async fn first_sources(jobs: &mut Jobs, config: &Config) -> Result<Sources, StartError> {
    jobs.start(Job::Look { config: config.clone(), known: Vec::new() });
    let Outcome::Looked(Some(sources)) = jobs.finished().await else {
        warn!("directories did not answer in time; starting without what they hold");
        return Ok(Sources { specs: config.identities.clone(), ..Sources::default() });
    };
    match sources.collisions.first() {
        Some(collision) => Err(collision.clone().into()),
        None => Ok(sources),
    }
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, StartError> {
        let listen = |kind| signal(kind).map_err(StartError::Signals);
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }
}

/// What the daemon listens on.
struct Sockets {
    agent: UnixListener,
    admin: UnixListener,
    http: Option<TcpListener>,
    /// Removes the sockets that nobody handed over.
    owned: Vec<OwnedSocket>,
}

impl Sockets {
    async fn bind(config: &Config, activation: Activation) -> Result<Self, StartError> {
        let mut owned = Vec::new();
        let mut listener = |name, handed_over: Option<std::os::unix::net::UnixListener>, path| {
            let failed = |source| StartError::Listener { name, source };
            let listener = match handed_over {
                Some(listener) => listener,
                None => {
                    let socket = OwnedSocket::bind(path)?;
                    let listener = socket.listener().map_err(failed)?;
                    owned.push(socket);
                    listener
                }
            };
            listener.set_nonblocking(true).and_then(|()| UnixListener::from_std(listener)).map_err(failed)
        };
        let agent = listener("agent", activation.agent, &config.sockets.agent)?;
        let admin = listener("admin", activation.admin, &config.sockets.admin)?;
        let http = match (activation.metrics, config.http) {
            (Some(listener), _) => {
                let failed = |source| StartError::Listener { name: "metrics", source };
                listener.set_nonblocking(true).map_err(failed)?;
                Some(TcpListener::from_std(listener).map_err(failed)?)
            }
            (None, Some(address)) => {
                let failed = |source| StartError::Http { address, source };
                Some(TcpListener::bind(address).await.map_err(failed)?)
            }
            (None, None) => None,
        };
        Ok(Self { agent, admin, http, owned })
    }
}

/// Everything that runs.
struct Daemon {
    file: Option<PathBuf>,
    config: Config,
    sources: Sources,
    jobs: Jobs,
    keeper: Keeper,
    collisions: Arc<Collisions>,
    wanted: watch::Sender<Arc<[IdentityId]>>,
    info: watch::Sender<DaemonInfo>,
    pages: Pages,
    store: Arc<Store>,
    servers: JoinSet<()>,
    shutdown: CancellationToken,
    _owned: Vec<OwnedSocket>,
}

impl Daemon {
    fn start(
        file: Option<PathBuf>,
        config: Config,
        sources: Sources,
        jobs: Jobs,
        sockets: Sockets,
    ) -> Result<Self, StartError> {
        let store = Store::new(getrandom::u64()?);
        let metrics = Metrics::new()?;
        let subscribers = Subscribers::new(Arc::clone(&store), Arc::clone(&metrics) as _);
        let collisions = Arc::new(Collisions::new(Arc::clone(&store)));
        let observer = Measured::new(Arc::clone(&metrics), Arc::clone(&collisions) as _);
        let keeper = Keeper::start(KeeperSettings { tick: config.tick }, Arc::new(observer));
        let (wanted, wanted_now) = watch::channel(Arc::default());
        let readiness = Readiness::new(wanted_now, Arc::clone(&store));
        let (info, info_now) = watch::channel(DaemonInfo {
            version: env!("CARGO_PKG_VERSION"),
            started: SystemTime::now(),
            ready: false,
            config_error: None,
        });
        let silence_limit = (config.tick * SILENT_TICKS).max(SILENCE_AT_LEAST);
        let pages = Pages { metrics, readiness, subscribers: Arc::clone(&subscribers), silence_limit };
        let shutdown = CancellationToken::new();
        let mut servers = JoinSet::new();
        let context = Context { store: Arc::clone(&store), subscribers, info: info_now };
        let limits = serve::Limits::new(config.limits.connections(), config.limits.connections_per_uid());
        servers.spawn(serve::workload(sockets.agent, context.clone(), limits, shutdown.clone()));
        servers.spawn(serve::admin(sockets.admin, context, shutdown.clone()));
        if let Some(listener) = sockets.http {
            servers.spawn(http::serve(listener, pages.clone(), shutdown.clone()));
        }
        let mut daemon = Self {
            file,
            config,
            sources: Sources::default(),
            jobs,
            keeper,
            collisions,
            wanted,
            info,
            pages,
            store,
            servers,
            shutdown,
            _owned: sockets.owned,
        };
        daemon.keep(sources);
        Ok(daemon)
    }

    async fn run(mut self, mut signals: Signals) -> Result<(), StartError> {
        let mut changes = self.store.changes();
        let mut look = every(self.config.tick);
        let mut watchdog = systemd::watchdog_interval().map(every);
        let mut settle: Option<Pin<Box<tokio::time::Sleep>>> = None;
        let identities = self.sources.specs.len();
        info!(identities, agent = %self.config.sockets.agent.display(), "serving");
        systemd::ready(&self.status());
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                _ = signals.hangup.recv() => {
                    systemd::reloading();
                    self.jobs.start(Job::Reload { file: self.file.clone() });
                }
                outcome = self.jobs.finished(), if self.jobs.is_running() => self.finish(outcome),
                _ = look.tick() => {
                    if !self.jobs.is_running() {
                        let (config, known) = (self.config.clone(), self.sources.directories.clone());
                        self.jobs.start(Job::Look { config, known });
                    }
                }
                () = tick(watchdog.as_mut()) => {
                    // A keeper that is dead is worth a restart; the watchdog gives one to a daemon that says nothing.
                    if self.pages.is_alive() {
                        systemd::alive();
                    }
                }
                Ok(()) = changes.changed(), if settle.is_none() => settle = Some(Box::pin(sleep(SETTLE))),
                () = wait(settle.as_mut()) => {
                    settle = None;
                    systemd::status(&self.status());
                }
                _ = self.servers.join_next() => return Err(StartError::ServerEnded),
            }
        }
        self.stop().await;
        Ok(())
    }

    /// Ends every stream and connection; those that do not end are cut when the runtime goes.
    async fn stop(mut self) {
        info!("stopping");
        systemd::stopping();
        self.shutdown.cancel();
        let ended = async { while self.servers.join_next().await.is_some() {} };
        if tokio::time::timeout(SHUTDOWN_DEADLINE, ended).await.is_err() {
            warn!("a server did not end in time; its connections are cut");
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Looked(Some(sources)) => self.keep(sources),
            Outcome::Looked(None) => warn!("directories did not answer in time; what is known of them stays"),
            Outcome::Reloaded(Ok((config, sources))) => {
                self.warn_of_unchangeable(&config);
                self.config = *config;
                self.keep(sources);
                self.reloaded(None);
            }
            Outcome::Reloaded(Err(error)) => {
                error!(%error, "the configuration is refused; the old one stays");
                self.reloaded(Some(error.to_string()));
            }
        }
    }

    fn reloaded(&self, config_error: Option<String>) {
        self.pages.metrics.config_reloaded(config_error.is_none());
        if config_error.is_none() {
            info!(identities = self.sources.specs.len(), "the configuration was read again");
        }
        self.info.send_modify(|info| info.config_error = config_error);
        systemd::ready(&self.status());
    }

    fn keep(&mut self, sources: Sources) {
        for collision in sources.collisions.iter().filter(|new| !self.sources.collisions.contains(new)) {
            warn!("{collision}");
        }
        if sources.specs != self.sources.specs {
            self.wanted.send_replace(sources.specs.iter().map(|spec| spec.id.clone()).collect());
            self.keeper.keep(sources.specs.clone());
        }
        self.collisions.replace(&sources.collisions);
        self.sources = sources;
    }

    /// What is in the file but not in force until the next start.
    fn warn_of_unchangeable(&self, new: &Config) {
        let old = &self.config;
        for (section, changed) in [
            ("sockets", new.sockets != old.sockets),
            ("http", new.http != old.http),
            ("log", new.log != old.log),
            ("process", new.process != old.process),
            ("limits", new.limits != old.limits),
            ("watch (tick)", new.tick != old.tick),
        ] {
            if changed {
                warn!("what changed in [{section}] takes effect when the daemon is started again");
            }
        }
    }

    /// Works out whether everything is published, tells the admin socket, and says it in one line.
    fn status(&self) -> String {
        let (published, all) = self.pages.readiness.count();
        let ready = published == all;
        self.info.send_if_modified(|info| std::mem::replace(&mut info.ready, ready) != ready);
        match &self.info.borrow().config_error {
            None => format!("{published} of {all} identities published"),
            Some(_) => format!("{published} of {all} identities published; the configuration was refused, see the log"),
        }
    }
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn tick(interval: Option<&mut tokio::time::Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

async fn wait(sleep: Option<&mut Pin<Box<tokio::time::Sleep>>>) {
    match sleep {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    }
}
