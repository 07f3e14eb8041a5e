//! `evercertd completions`.

use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::output::printed;
use super::{Cli, Status};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Packages install these scripts where the shells look for them. By hand:

Examples:
  evercertd completions bash > /usr/share/bash-completion/completions/evercertd
  evercertd completions zsh > /usr/local/share/zsh/site-functions/_evercertd
  evercertd completions fish > ~/.config/fish/completions/evercertd.fish
  source <(evercertd completions bash)     only in this shell")]
pub(crate) struct Args {
    /// The shell that is to run the script
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    printed(&script(args.shell), Status::Ok)
}

/// The script for `shell`.
pub(super) fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "evercertd", &mut script);
    script
}
