//! Blocking jobs, beside the task that decides.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use evercert_core::detached::Threads;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::hints::Ear;
use crate::config::{Config, ConfigError};
use crate::inventory::Accounts;
use crate::inventory::pods::{Discovery, Listen};
use crate::inventory::sources::{self, IdentityDirectory, Sources, Stay};
use crate::serve::Reloaded;

/// How long a file system may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// Something that reads files.
pub(super) enum Job {
    /// Look which identities there are now.
    Look {
        /// By this configuration.
        config: Arc<Config>,
        /// With the directories that are known already.
        known: Vec<IdentityDirectory>,
        /// The discovery of pods.
        pods: Arc<Discovery>,
        /// Whether to look at all that is known, too: a hint may have been lost.
        all: bool,
        /// Where to be told of further ones.
        ear: Ear,
    },
    /// Read the configuration again, and look.
    Reload {
        /// The file; absent: where it is by default.
        file: Option<PathBuf>,
        /// With the directories that are known already.
        known: Vec<IdentityDirectory>,
        /// The discovery of pods.
        pods: Arc<Discovery>,
        /// Where to be told of further directories.
        ear: Ear,
    },
}

/// The result of a job.
pub(super) enum JobOutcome {
    /// Which identities there are; absent: it took too long.
    Looked(Option<Sources>),
    /// The new configuration and its identities.
    Reloaded(Result<(Arc<Config>, Sources), ReloadError>),
}

/// The configuration was not taken over.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    /// It cannot be read, or makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file system does not answer.
    #[error("reading the configuration and its directories took longer than {} s; send SIGHUP again", DEADLINE.as_secs())]
    TooSlow,
}

/// At most one job at a time, and a reload that waits for its turn.
pub(super) struct Jobs {
    threads: Threads,
    running: Option<Running>,
    waiting: Option<Job>,
    /// Those to be told how the waiting reload ends.
    asked: Vec<Asked>,
    /// Held by the thread of a job, which may outlive the job's deadline.
    thread: Arc<()>,
    accounts: Arc<Accounts>,
}

/// A reload's answer channel. A signal waits for no answer.
pub(super) type Asked = oneshot::Sender<Reloaded>;

struct Running {
    outcome: oneshot::Receiver<JobOutcome>,
    deadline: Instant,
    is_reload: bool,
    asked: Vec<Asked>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            threads: Threads::named("sources"),
            running: None,
            waiting: None,
            asked: Vec::new(),
            thread: Arc::default(),
            accounts: Arc::default(),
        }
    }
}

impl Jobs {
    /// Starts `job`, after the one that runs; `asked` is to be told how it ends.
    pub(super) fn start(&mut self, job: Job, asked: Option<Asked>) {
        self.asked.extend(asked);
        if self.running.is_some() {
            self.waiting = Some(job);
            return;
        }
        let is_reload = matches!(job, Job::Reload { .. });
        // A thread that hangs in a file system stays where it is. One is enough: looking again would hang, too.
        let is_stuck = Arc::strong_count(&self.thread) > 1 && !is_reload;
        let (thread, accounts) = (Arc::clone(&self.thread), Arc::clone(&self.accounts));
        let outcome = self.threads.call(move || {
            let outcome = if is_stuck { JobOutcome::Looked(None) } else { job.run(&accounts) };
            drop(thread);
            outcome
        });
        self.running = Some(Running {
            outcome,
            deadline: Instant::now() + DEADLINE,
            is_reload,
            asked: std::mem::take(&mut self.asked),
        });
    }

    /// Whether there is something to wait for.
    pub(super) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// The result of the job that runs, and whom to tell it. Never ends without one; may be dropped and called again.
    pub(super) async fn finished(&mut self) -> (JobOutcome, Vec<Asked>) {
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let outcome = match timeout_at(running.deadline, &mut running.outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) if running.is_reload => JobOutcome::Reloaded(Err(ReloadError::TooSlow)),
            Ok(Err(_)) | Err(_) => JobOutcome::Looked(None),
        };
        let asked = std::mem::take(&mut running.asked);
        self.running = None;
        if let Some(job) = self.waiting.take() {
            self.start(job, None);
        }
        (outcome, asked)
    }
}

impl Job {
    fn run(self, accounts: &Accounts) -> JobOutcome {
        match self {
            Self::Look { config, known, pods, all, ear } => {
                JobOutcome::Looked(Some(look(&config, (&known, Stay::All), accounts, &pods, all, ear)))
            }
            Self::Reload { file, known, pods, ear } => {
                JobOutcome::Reloaded(Config::load(file.as_deref()).map_err(ReloadError::from).map(|config| {
                    let sources = look(&config, (&known, Stay::OutOfSight), accounts, &pods, true, ear);
                    (Arc::new(config), sources)
                }))
            }
        }
    }
}

fn look(
    config: &Config,
    (known, stay): (&[IdentityDirectory], Stay),
    accounts: &Accounts,
    pods: &Discovery,
    all: bool,
    ear: Ear,
) -> Sources {
    // Before looking, so that what appears in between is not missed.
    config.directories.iter().for_each(|watched| ear.directory(watched.pattern.parent()));
    let mut again = ear.touched();
    again.all |= all;
    let listen: Arc<dyn Listen> = Arc::new(ear);
    sources::resolve(config, known, stay, accounts).with_pods(pods.look(config, &again, &listen))
}
