//! `evercert-policy export`.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use evercert::auth::MethodPolicy;
use evercert::auth::policy::IstioResource;

use crate::error::Error;

/// Prints a policy in another form
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    form: Form,
}

#[derive(Debug, Subcommand)]
enum Form {
    /// As Istio's AuthorizationPolicy, in YAML. What Istio cannot be told is an error that names the rule; what is printed allows nothing
    /// that the policy does not. Tokens are Istio's to verify: it takes a RequestAuthentication beside it
    Istio(Istio),
}

#[derive(Debug, clap::Args)]
struct Istio {
    /// The policy, in TOML or YAML
    file: PathBuf,
    /// The name of the resource; the policy's own without it
    #[arg(long)]
    name: Option<String>,
    /// Its namespace
    #[arg(long)]
    namespace: Option<String>,
    /// A label of the pods it is for; may be given several times. All of the namespace without one
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let Form::Istio(args) = &args.form;
    let policy = MethodPolicy::file(&args.file).read()?;
    let resource = IstioResource {
        name: args.name.clone().unwrap_or_else(|| policy.name().to_owned()),
        namespace: args.namespace.clone(),
        labels: args.labels.clone(),
    };
    io::stdout().lock().write_all(policy.to_istio(&resource)?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
