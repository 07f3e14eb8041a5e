//! `evercert-policy check`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use evercert::auth::MethodPolicy;
use evercert::auth::policy::{Explanation, Policy};
use evercert::telemetry::code_name;

use crate::error::Error;
use crate::supposed::{Call, read};

/// Reads a policy as a server would, says what an operator has to know of it, and explains what it decides
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The policy: .toml, .yaml or .yml, or .json for one of gRPC's own form
    file: PathBuf,
    /// The methods there are: a FileDescriptorSet, as protoc writes it with --descriptor_set_out; may be given several times
    #[arg(long, value_name = "SET")]
    descriptors: Vec<PathBuf>,
    #[command(flatten)]
    call: Call,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let mut policy = MethodPolicy::file(&args.file);
    for set in &args.descriptors {
        policy = policy.checked_against(&read(set)?);
    }
    let policy = policy.read()?;
    let call = args.call.supposed()?;
    let mut out = io::stdout().lock();
    match call.map(|call| policy.explain(&call)) {
        None => {
            summary(&mut out, &policy)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(explanation) => {
            explain(&mut out, &explanation)?;
            Ok(if explanation.decision().is_allowed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn summary(out: &mut impl Write, policy: &Policy) -> Result<(), Error> {
    writeln!(out, "policy {:?}: {}", policy.name(), count(policy.rule_count(), "rule"))?;
    match policy.unruled() {
        None => writeln!(out, "names of methods are not checked: no --descriptors were given")?,
        Some([]) => writeln!(out, "every method has a rule")?,
        Some(unruled) => {
            let verb = if unruled.len() == 1 { "has" } else { "have" };
            writeln!(out, "{} {verb} no rule, so that nobody may call:", count(unruled.len(), "method"))?;
            unruled.iter().try_for_each(|method| writeln!(out, "  {method}"))?;
        }
    }
    let public = policy.public();
    if !public.is_empty() {
        writeln!(out, "public, without a proof of who calls:")?;
        for (rule, methods) in public {
            writeln!(out, "  {} by rule {rule:?}", methods.join(", "))?;
        }
    }
    let escapes = policy.escapes();
    if !escapes.is_empty() {
        writeln!(out, "denials that callers can escape by showing less:")?;
        escapes.iter().try_for_each(|escape| writeln!(out, "  {escape}"))?;
    }
    let dry_runs = policy.dry_runs();
    if !dry_runs.is_empty() {
        writeln!(out, "told and not enforced, as a dry run:")?;
        dry_runs.iter().try_for_each(|name| writeln!(out, "  {name:?}"))?;
    }
    Ok(())
}

fn explain(out: &mut impl Write, explanation: &Explanation) -> Result<(), Error> {
    let decision = explanation.decision();
    if let Some(exemption) = explanation.exemption() {
        writeln!(out, "{exemption}")?;
    }
    if explanation.is_exempt() {
        return Ok(());
    }
    let by = decision.rule().map_or_else(|| "no rule".to_owned(), |rule| format!("rule {rule:?}"));
    let policy = decision.policy();
    match decision.is_allowed() {
        true => writeln!(out, "allowed, by {by} of policy {policy:?}")?,
        false => writeln!(out, "denied with {}, by {by} of policy {policy:?}", code_name(decision.code()))?,
    }
    if let Some(dry_run) = decision.dry_run() {
        let would = if dry_run.is_allowed() { "allowed" } else { "denied" };
        let by = dry_run.rule().map_or_else(|| "no rule".to_owned(), |rule| format!("rule {rule:?}"));
        writeln!(out, "but for a dry run it would be {would}, by {by} of policy {:?}", dry_run.policy())?;
    }
    if explanation.considered().is_empty() {
        writeln!(out, "  no rule is about this method")?;
    }
    explanation.considered().iter().try_for_each(|considered| writeln!(out, "  {}", considered.sentence))?;
    Ok(())
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
