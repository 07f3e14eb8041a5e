//! `evercertd run`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use crate::cli::{Status, report};
use crate::config::Config;
use crate::daemon::{self, StartError};
use crate::host::systemd::Activation;
use crate::host::{allocator, hardening, logging};

/// The threads that serve all but the workload socket, which is served by the thread that publishes. Two do for ten thousand identities, and every further one costs memory.
const WORKER_THREADS: usize = 2;

/// The most threads of the runtime that may block. Calls that may hang have their own.
const BLOCKING_THREADS: usize = 16;

/// How long a thread that is not idle any more is kept.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(2);

/// How long tasks that do not end by themselves are waited for at the end.
const LAST_TASKS: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  evercertd run                            with /etc/evercert/evercertd.toml, or the defaults
  evercertd run --config ./evercertd.toml
  EVERCERT_LOG=debug evercertd run

Signals:
  HUP         reads the configuration again; a bad one keeps the old
  TERM, INT   stop the daemon, within 2 s

Files:
  /etc/evercert/evercertd.toml             the configuration
  /etc/evercert/certs/*                    a directory for each identity, by default
  /run/evercert/agent/agent.sock           where workloads connect
  /run/evercert-admin/admin.sock           where `evercertd status` connects

Exit status:
  0 stopped by a signal, 1 it could not start or go on, 78 the configuration is refused")]
pub(crate) struct Args {
    /// The configuration; without it /etc/evercert/evercertd.toml, and where that is missing the defaults
    #[arg(long, short, value_name = "FILE", env = "EVERCERT_CONFIG")]
    config: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> ExitCode {
    allocator::keep_little();
    let config = match Config::load(args.config.as_deref()) {
        Ok(config) => config,
        Err(error) => return report(&error, Status::Config),
    };
    let lost_lines = match logging::start(&config.log) {
        Ok(lost) => lost,
        Err(error) => return report(&error, Status::Config),
    };
    if let Err(error) = hardening::apply(&config.process) {
        return report(&error, Status::Config);
    }
    let activation = match Activation::take() {
        Ok(activation) => activation,
        Err(error) => return report(&error, Status::Failed),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .thread_name("evercertd")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return report(&StartError::Runtime(error), Status::Failed),
    };
    let result = runtime.block_on(daemon::run(args.config, config, activation, lost_lines));
    // A file system that hangs holds its thread; it must not hold the exit.
    runtime.shutdown_timeout(LAST_TASKS);
    match result {
        Ok(()) => Status::Ok.into(),
        Err(error) => report(&error, Status::Failed),
    }
}
