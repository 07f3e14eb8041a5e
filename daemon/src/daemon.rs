//! The daemon's wiring: from a configuration to everything that runs, and back.
//!
//! One task owns configuration, sources and keeper, and decides in [`Daemon::run`]; whatever may block (reading the
//! configuration, listing directories) runs beside it, one job at a time, under a deadline.

mod error;
mod hints;
mod job;
mod listeners;
mod remembered;
mod signals;
mod start;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use evercert_core::keeper::{Keeper, KeeperSettings, KeyRetention};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, Sleep, interval_at, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{Config, Mode};
use crate::host::logging::LostLines;
use crate::host::sockets::OwnedSocket;
use crate::host::state;
use crate::host::systemd::{self, Activation};
use crate::inventory::Wanted;
use crate::inventory::pods::Discovery;
use crate::inventory::sources::{IdentityDirectory, Sources};
use crate::publication::{Store, Surroundings};
use crate::serve::{DaemonInfo, Order, Reloaded};
use crate::web::http::Pages;
use crate::web::metrics::Limit;

pub(crate) use error::StartError;
pub use remembered::{Remembered, remembered};

use hints::Hints;
use job::{Asked, Job, JobOutcome, Jobs};
use listeners::Listeners;
use signals::Signals;

/// How long streams and connections are waited for at the end. With what the runtime takes, an exit stays under 2 s.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(1);

/// How long changes are gathered before what follows from them is worked out.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Runs the daemon until a signal ends it.
///
/// # Errors
///
/// It cannot start, or one of its servers is gone.
pub(crate) async fn run(
    file: Option<PathBuf>,
    config: Config,
    activation: Activation,
    lost_lines: LostLines,
) -> Result<(), StartError> {
    let config = Arc::new(config);
    let mut signals = Signals::listen()?;
    let mut jobs = Jobs::default();
    let first_look = async {
        // First: what was remembered of pods counts before what is found.
        let state_directory = state::directory(config.state.as_deref()).await;
        let pods = Arc::new(Discovery::new(state_directory.as_deref()));
        let looking = Looking { hints: Hints::new(), pods };
        let sources = first_sources(&mut jobs, &config, &looking).await;
        (state_directory, looking, sources)
    };
    let (state_directory, looking, sources) = tokio::select! {
        found = first_look => found,
        // Nothing is open yet that would have to be closed.
        () = signals.end() => return Ok(()),
    };
    let listeners = Listeners::bind(&config, activation).await?;
    let settings = KeeperSettings {
        tick: config.tick,
        state_directory,
        keys: match config.mode {
            Mode::Publisher => KeyRetention::OnDemand,
            // Nobody claims a key then but the HTTP side, that of its own certificate.
            Mode::Observer if config.http.tls.is_some() => KeyRetention::OnDemand,
            Mode::Observer => KeyRetention::Never,
        },
    };
    let daemon = Daemon::start(file, config, settings, listeners, jobs, looking, sources)?;
    let metrics = Arc::clone(&daemon.pages.metrics);
    lost_lines.tell(move || metrics.limit_reached(Limit::JournalLines));
    daemon.run(signals).await
}

/// The sources that are configured now. A file system that does not answer delays the start for a moment, not for
/// ever: what it holds is picked up when it does.
async fn first_sources(jobs: &mut Jobs, config: &Arc<Config>, looking: &Looking) -> Sources {
    jobs.start(looking.job(Arc::clone(config), Vec::new(), true), None);
    let (JobOutcome::Looked(Some(sources)), _) = jobs.finished().await else {
        warn!("directories did not answer in time; starting without what they hold");
        let (specs, policies) = (config.identities.clone(), config.policies.clone());
        return Sources { specs, policies, serves: config.serves.clone(), ..Sources::default() };
    };
    sources
}

/// The means to look for identities.
struct Looking {
    hints: Hints,
    pods: Arc<Discovery>,
}

impl Looking {
    fn job(&self, config: Arc<Config>, known: Vec<IdentityDirectory>, all: bool) -> Job {
        Job::Look { config, known, pods: Arc::clone(&self.pods), all, ear: self.hints.ear() }
    }
}

/// Everything that runs.
struct Daemon {
    file: Option<PathBuf>,
    config: Arc<Config>,
    /// The configuration at the start, of which some settings stay in force until the end.
    started_with: Arc<Config>,
    /// Those of them that are different by now.
    needs_restart: Vec<&'static str>,
    /// The directories in which identities were found.
    directories: Vec<IdentityDirectory>,
    /// The warnings about names and directories, so that each is given once.
    warnings: BTreeSet<String>,
    jobs: Jobs,
    /// Whether to look when the job that runs is done, and if so, whether at all that is known, too.
    look_again: Option<bool>,
    looking: Looking,
    keeper: Arc<Keeper>,
    surroundings: Arc<Surroundings>,
    wanted: watch::Sender<Arc<Wanted>>,
    info: watch::Sender<DaemonInfo>,
    orders: mpsc::Receiver<Order>,
    pages: Pages,
    store: Arc<Store>,
    servers: JoinSet<()>,
    shutdown: CancellationToken,
    _owned: Vec<OwnedSocket>,
}

impl Daemon {
    async fn run(mut self, mut signals: Signals) -> Result<(), StartError> {
        let mut presence = self.store.presence();
        let mut look = every(self.config.tick);
        let mut watchdog = systemd::watchdog_interval().map(every);
        let (mut debounce, mut look_at): (Option<Pin<Box<Sleep>>>, _) = (None, None);
        info!(identities = self.wanted.borrow().ids.len(), "serving");
        systemd::ready(&self.status());
        loop {
            self.pages.liveness.turned();
            tokio::select! {
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                _ = signals.hangup.recv() => {
                    info!("a signal has the configuration read again");
                    self.reload(None);
                }
                Some(order) = self.orders.recv() => self.answer(order),
                (outcome, asked) = self.jobs.finished(), if self.jobs.is_running() => self.finish(outcome, asked),
                // The pause gathers what a mount or a deployment does at once.
                () = self.looking.hints.heard(), if look_at.is_none() => look_at = Some(Box::pin(sleep(DEBOUNCE))),
                () = wait(look_at.as_mut()) => {
                    look_at = None;
                    self.look(false);
                }
                _ = look.tick() => self.look(true),
                () = tick(watchdog.as_mut()) => {
                    // A keeper that is dead is worth a restart; the watchdog gives one to a daemon that says nothing.
                    if self.pages.liveness.is_alive() {
                        systemd::alive();
                    }
                }
                Ok(()) = presence.changed(), if debounce.is_none() => debounce = Some(Box::pin(sleep(DEBOUNCE))),
                () = wait(debounce.as_mut()) => {
                    debounce = None;
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

    /// Looks which identities there are now, also at `all` that is known; after the job that runs, which may have looked too early.
    fn look(&mut self, all: bool) {
        if self.jobs.is_running() {
            self.look_again = Some(all | self.look_again.unwrap_or_default());
            return;
        }
        self.jobs.start(self.looking.job(Arc::clone(&self.config), self.directories.clone(), all), None);
    }

    fn answer(&mut self, order: Order) {
        match order {
            Order::Reload(answer) => self.reload(Some(answer)),
            Order::EndOverlap { anchor, identity, answer } => {
                let keeper = Arc::clone(&self.keeper);
                // It waits for a mount or a disk, which must hold up nothing else here. The receiver may be gone.
                tokio::spawn(async move { drop(answer.send(keeper.end_overlap(anchor, identity).await)) });
            }
        }
    }

    fn reload(&mut self, asked: Option<Asked>) {
        systemd::reloading();
        let (pods, ear) = (Arc::clone(&self.looking.pods), self.looking.hints.ear());
        let known = self.directories.clone();
        self.jobs.start(Job::Reload { file: self.file.clone(), known, pods, ear }, asked);
    }

    fn finish(&mut self, outcome: JobOutcome, asked: Vec<Asked>) {
        match outcome {
            JobOutcome::Looked(Some(sources)) => {
                self.keep(sources);
                // Directories that went away are no change of the store's.
                systemd::status(&self.status());
            }
            JobOutcome::Looked(None) => warn!("directories did not answer in time; what is known of them stays"),
            JobOutcome::Reloaded(Ok((config, sources))) => {
                self.needs_restart = self.started_with.differing(&config);
                for setting in &self.needs_restart {
                    warn!(setting, "what changed in {setting} takes effect when the daemon is started again");
                }
                self.config = config;
                self.keep(sources);
                self.reloaded(None, asked);
            }
            JobOutcome::Reloaded(Err(error)) => {
                error!(%error, "the configuration is refused; the old one stays");
                self.reloaded(Some(error.to_string()), asked);
            }
        }
        if let Some(all) = self.look_again.take() {
            self.look(all);
        }
    }

    fn reloaded(&self, config_error: Option<String>, asked: Vec<Asked>) {
        // A reload does not rely on events having been enough, whatever becomes of the configuration.
        self.keeper.rescan();
        self.pages.metrics.config_reloaded(config_error.is_none());
        if config_error.is_none() {
            info!(identities = self.wanted.borrow().ids.len(), "the configuration was read again");
        }
        let reloaded = Reloaded {
            config_error: config_error.clone(),
            identities: self.wanted.borrow().ids.len(),
            needs_restart: self.needs_restart.clone(),
        };
        self.info.send_modify(|info| info.config_error = config_error);
        // Before the answers: who asked may be the service manager's own command, whose end is the end of the reload.
        systemd::ready(&self.status());
        for answer in asked {
            // The receiver may be gone.
            let _ = answer.send(reloaded.clone());
        }
    }

    fn keep(&mut self, sources: Sources) {
        let warnings: BTreeSet<_> = sources.warnings().collect();
        warnings.difference(&self.warnings).for_each(|warning| warn!("{warning}"));
        self.warnings = warnings;
        self.pages.metrics.pods_looked_at(sources.silent, sources.contested);
        sources.limits_reached.iter().for_each(|limit| self.pages.metrics.limit_reached((*limit).into()));
        let wanted = sources.wanted();
        self.wanted.send_if_modified(|now| {
            let is_new = **now != wanted;
            if is_new {
                *now = Arc::new(wanted);
            }
            is_new
        });
        // It tells by itself what changed.
        self.keeper.keep(sources.specs);
        self.surroundings.replace(sources.findings);
        self.directories = sources.directories;
    }

    /// Works out whether everything is published, tells the admin socket, and says it in one line.
    fn status(&self) -> String {
        let counts = self.pages.readiness.count();
        let ready = counts.is_ready();
        self.info.send_if_modified(|info| std::mem::replace(&mut info.ready, ready) != ready);
        match &self.info.borrow().config_error {
            None => counts.to_string(),
            Some(error) => format!("{counts}; the configuration was refused, the old one stays: {error}"),
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn tick(interval: Option<&mut Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

async fn wait(sleep: Option<&mut Pin<Box<Sleep>>>) {
    match sleep {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    }
}
