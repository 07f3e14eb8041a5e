//! `evercertd config`.

use std::path::PathBuf;
use std::process::ExitCode;

use evercert_core::text;

use crate::cli::output::printed;
use crate::cli::{Status, report};
use crate::config::{Config, DEFAULT};
use crate::host::names;
use crate::inventory::Accounts;
use crate::inventory::sources::{self, Stay};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  evercertd config > /etc/evercert/evercertd.toml          start from the defaults
  evercertd config --check && systemctl reload evercertd   check what the daemon reads, then have it read
  evercertd config --check ./evercertd.toml                another file

It looks at the watched directories, too, and warns of what a start and a reload would warn of: names that are taken, patterns that match
nothing, directories that can be no identity.

Exit status: 0 the configuration is taken, with warnings or without, 78 it is refused.")]
pub(crate) struct Args {
    /// Check FILE as `evercertd run` does at its start and at a reload, and say what is wrong with it; without FILE the one that
    /// `evercertd run` reads
    #[arg(long, value_name = "FILE")]
    check: Option<Option<PathBuf>>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let Some(file) = &args.check else {
        return printed(DEFAULT.as_bytes(), Status::Ok);
    };
    let config = match Config::load(file.as_deref()) {
        Ok(config) => config,
        Err(error) => return report(&error, Status::Config),
    };
    let sources = sources::resolve(&config, &[], Stay::All, &Accounts::default());
    for warning in sources.warnings() {
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
    let file = config.file.as_deref().map_or_else(|| "the defaults".to_owned(), text::path);
    printed(format!("{file}: fine, {} identities now\n", sources.specs.len()).as_bytes(), Status::Ok)
}
