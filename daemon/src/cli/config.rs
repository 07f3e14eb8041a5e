//! `evercertd config`.

mod looking;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use evercert_core::text;

use crate::cli::output::printed;
use crate::cli::runtime::{NoRuntime, block_on};
use crate::cli::{Status, report};
use crate::config::{Config, DEFAULT};
use crate::host::names;
use crate::inventory::Accounts;
use crate::inventory::sources::{self, Stay};

/// The name of standard input.
const STDIN: &str = "-";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  evercertd config > /etc/evercert/evercertd.toml          start from the defaults
  evercertd config --check && systemctl reload evercertd   check what the daemon reads, then have it read
  evercertd config --check ./evercertd.toml                another file
  ssh node cat /etc/evercert/evercertd.toml | evercertd config --check -

All errors are told at once, in the order of the file. It looks at the watched directories and the files, too, lists the identities that it would \
load, and warns of what a start and a reload would warn of: files that are not there, names that are taken, patterns that match nothing, \
directories that can be no identity.

Exit status: 0 the configuration is taken, with warnings or without, 1 the watched directories do not answer, so that it cannot be told what it \
would load, 78 it is refused.")]
pub(crate) struct Args {
    /// Check FILE as `evercertd run` does at its start and at a reload, and say what is wrong with it; - is standard input; without FILE the
    /// one that `evercertd run` reads
    #[arg(long, value_name = "FILE")]
    check: Option<Option<PathBuf>>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let Some(file) = &args.check else { return printed(DEFAULT.as_bytes(), Status::Ok) };
    let config = match file.as_deref() {
        Some(file) if file == Path::new(STDIN) => Config::from_stdin(),
        file => Config::load(file),
    };
    let config = match config {
        Ok(config) => config,
        Err(error) => return report(&error, Status::Config),
    };
    let file = config.file.as_deref().map_or_else(|| "the defaults".to_owned(), text::path);
    let looked = block_on(async {
        let resolve = move || sources::resolve(&config, &[], Stay::All, &Accounts::default());
        let sources = looking::look(resolve).await?;
        let warnings = looking::warnings(&sources.specs).await;
        Ok::<_, Error>((sources, warnings))
    });
    let (sources, warnings) = match looked {
        Ok(looked) => looked,
        Err(error) => return report(&error, Status::Failed),
    };
    for warning in sources.warnings().chain(warnings) {
        eprintln!("warning: {}", text::plain(&warning));
    }
    for account in &sources.unknown_accounts {
        eprintln!(
            "warning: \"{account}\" of `allow` fits nobody: {place} has no such name",
            account = text::plain(&account.to_string()),
            // The static build does not know the names of a directory service.
            place = if names::FILES_ONLY { "/etc/passwd or /etc/group" } else { "this node" }
        );
    }
    let mut answer = format!("{file}: fine, {} identities now\n", sources.specs.len());
    for spec in &sources.specs {
        let files: BTreeSet<_> = spec.files.paths().map(text::path).collect();
        let files = files.into_iter().collect::<Vec<_>>().join(", ");
        // Writing to a String cannot fail.
        let _ = writeln!(answer, "  {}: {files}", text::plain(&spec.id.to_string()));
    }
    printed(answer.as_bytes(), Status::Ok)
}

/// Why it cannot be told what a configuration would load.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Silent(#[from] looking::Silent),
    #[error(transparent)]
    Runtime(#[from] NoRuntime),
}
