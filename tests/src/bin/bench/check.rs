//! `evercertd check` of many certificates.

use std::fs;
use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};

use crate::stage;

/// How long ten thousand files may take, in milliseconds.
const PROMISE_MS: u64 = 2000;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many files there are, each with a key and a chain
    #[arg(long, default_value_t = 10_000)]
    files: usize,
}

pub(crate) fn run(args: &Args) -> Value {
    let directory = tempfile::tempdir().unwrap();
    for (number, issued) in stage::certificates(args.files).iter().enumerate() {
        fs::write(directory.path().join(format!("{number}.pem")), issued.combined_pem()).unwrap();
        fs::write(directory.path().join("ca.pem"), &issued.ca_pem).unwrap();
    }
    let bundle = directory.path().join("ca.pem");
    let start = Instant::now();
    let mut check = crate::daemon();
    check.arg("check").arg(directory.path()).arg("--bundle").arg(bundle).args(["--format", "json"]);
    let output = check.stderr(Stdio::inherit()).output().unwrap();
    let took = u64::try_from(start.elapsed().as_millis()).unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    json!({
        "scenario": "check",
        "settings": { "files": args.files },
        "took_ms": took,
        "summary": report["summary"],
        "kept": took * 10_000 <= PROMISE_MS * args.files as u64,
    })
}
