//! `evercertd check`.

mod catalogue;
mod progress;
mod when;

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::SystemTime;

use evercert_core::spec::{Expectations, UnknownUsage, Usage};

use super::json;
use super::output::{print, printed};
use crate::check::{Question, Report, Style, TooMany, Verdict, judge, sarif, text};
use catalogue::CheckName;
use progress::Progress;
use when::When;

/// The exit status of a report with warnings, where they count.
const WARNED: u8 = 1;
/// The exit status where something is rejected.
const REJECTED: u8 = 2;
/// The exit status where something cannot be read, or the arguments cannot be followed.
pub(super) const UNREADABLE: u8 = 3;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A directory is judged as that of an identity: tls.crt, tls.key, ca.crt and ca.crl. Of one that has none of these, the directories and the \
files of certificates in it are judged, each by itself. A file is taken for what it holds: key and chain together for an identity, with the \
ca.crt and the ca.crl beside it; certificates that begin with a CA's and hold no leaf for a bundle, others for a chain whose key is elsewhere; keys and \
certificate revocation lists for themselves. Of a kubeconfig, the client's certificate and the cluster's CAs of every context are judged.

Examples:
  evercertd check /etc/tls/grpc-server                          what the daemon would say of it
  evercertd check '/etc/evercert/certs/*' --until +30d          what fails within 30 days, the first first
  kubectl get secret web -o jsonpath='{.data.tls\\.crt}' | base64 -d | evercertd check - --host web.example.org
  evercertd check --format json certs/ | jq '.inputs[] | select(.verdict != \"clean\") | .input'

Exit status: 0 nothing is rejected (with --strict: nothing is warned of either), 1 there are warnings, with --strict, 2 something is \
rejected, or will be by --until, 3 something cannot be read, the arguments are wrong, or the report cannot be written. The highest counts.")]
pub(crate) struct Args {
    /// Directories, files in PEM or DER, kubeconfigs, patterns in quotes, or - for standard input
    #[arg(value_name = "PATH", required_unless_present_any = ["list", "explain"])]
    paths: Vec<OsString>,

    /// A DNS name, IP address or URI that every leaf has to be for; may be repeated
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,

    /// A use that every leaf has to allow, in cert-manager's words, such as "client auth", or server or client for short; may be repeated
    #[arg(long, value_name = "USAGE", value_parser = usage)]
    usage: Vec<Usage>,

    /// The bundle that every chain has to lead to, instead of the ca.crt beside it
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,

    /// Judge as if it were TIME: RFC 3339, such as 2027-03-01T00:00:00Z, or a span from now, such as +30d
    #[arg(long, value_name = "TIME")]
    at: Option<When>,

    /// Tell what fails until TIME, as in --at, the first first; a span is counted from --at
    #[arg(long, value_name = "TIME")]
    until: Option<When>,

    /// How the report is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// End with status 1 where there are warnings
    #[arg(long)]
    strict: bool,

    /// List what is checked: name, severities and meaning
    #[arg(long, conflicts_with_all = ["paths", "explain"])]
    list: bool,

    /// With --list: for programs, with clauses and pages
    #[arg(long, requires = "list")]
    json: bool,

    /// Print the page about a check: what it finds, why that matters, and what to do
    #[arg(long, value_name = "CHECK", conflicts_with = "paths")]
    explain: Option<CheckName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people, coloured on a terminal unless NO_COLOR is set
    Text,
    /// For programs: times are RFC 3339 in UTC, absent values are null, new fields may be added
    Json,
    /// For code scanners: SARIF 2.1.0, whose rules are the checks
    Sarif,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    if let Some(CheckName(check)) = args.explain {
        return printed(catalogue::page(check).as_bytes(), ExitCode::SUCCESS);
    }
    if args.list {
        let list = if args.json { json::pretty(&catalogue::entries()) } else { catalogue::list() };
        return printed(list.as_bytes(), ExitCode::SUCCESS);
    }
    let progress = Progress::new();
    let judged = args.question().and_then(|question| Ok(judge(&args.paths, &question, &|all| progress.step(all))?));
    progress.end();
    let report = match judged {
        Ok(report) => report,
        Err(error) => {
            super::report(&error, super::Status::Failed);
            return ExitCode::from(UNREADABLE);
        }
    };
    let told = match args.format {
        Format::Text => text(&report, style()),
        Format::Json => json::pretty(&report),
        Format::Sarif => json::pretty(&sarif(&report, &std::env::current_dir().unwrap_or_default())),
    };
    match print(told.as_bytes()) {
        Ok(()) => ExitCode::from(args.status(&report)),
        Err(error) => {
            super::report(&error, super::Status::Failed);
            ExitCode::from(UNREADABLE)
        }
    }
}

impl Args {
    fn question(&self) -> Result<Question, Error> {
        let now = SystemTime::now();
        let at = self.at.map_or(now, |at| at.after(now));
        let mut expectations = Expectations::default();
        expectations.usages.clone_from(&self.usage);
        for name in &self.host {
            match IpAddr::from_str(name) {
                Ok(address) => expectations.ip_addresses.push(address),
                Err(_) if name.contains("://") => expectations.uris.push(name.clone()),
                Err(_) => expectations.dns_names.push(name.clone()),
            }
        }
        let until = self.until.map(|until| until.after(at));
        if until.is_some_and(|until| until < at) {
            return Err(Error::Backwards);
        }
        let bundle = self.bundle.as_deref().map(std::path::absolute).transpose()?;
        Ok(Question { expectations, bundle, at, until })
    }

    fn status(&self, report: &Report) -> u8 {
        match report.verdict() {
            Verdict::Unreadable => UNREADABLE,
            Verdict::Rejected => REJECTED,
            Verdict::Warned if self.strict => WARNED,
            Verdict::Warned | Verdict::Clean => 0,
        }
    }
}

/// Why nothing is judged.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the bundle's path cannot be made absolute: {0}")]
    Bundle(#[from] io::Error),
    #[error("--until is before the time for which is judged: write a later one, or a span, such as +30d")]
    Backwards,
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

fn usage(word: &str) -> Result<Usage, UnknownUsage> {
    match word {
        "server" => Ok(Usage::ServerAuth),
        "client" => Ok(Usage::ClientAuth),
        words => words.parse(),
    }
}

/// Colours are for a terminal, and for whoever has not said otherwise (no-color.org).
fn style() -> Style {
    let is_unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stdout().is_terminal() && !is_unwanted { Style::Coloured } else { Style::Plain }
}
