//! What `evercertd check` says of a directory is what a daemon that runs says and does with it.

use std::collections::BTreeMap;
use std::path::Path;

use evercert_fixtures::{KubeletVolume, PlainDirectory, every_kind};
use serde_json::Value;

use crate::home::{Home, evercertd, until};

/// The identities of what `status --json` prints.
fn status(home: &Home) -> Vec<Value> {
    let (_, json, error) = home.ask(&["status", "--json"]);
    let status: Value = serde_json::from_str(&json).expect(&error);
    status["identities"].as_array().unwrap().clone()
}

/// The inputs of what `check --format json` prints of what the pattern matches.
pub(crate) fn check(pattern: &Path) -> Vec<Value> {
    let output = evercertd().args(["check", "--format", "json"]).arg(pattern).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    report["inputs"].as_array().unwrap().clone()
}

/// The directory's own name, which is the identity's.
fn name_of(judged: &Value) -> &str {
    judged["input"].as_str().unwrap().rsplit('/').next().unwrap()
}

/// The findings, without what only a report of files has, in an order of their own.
fn told(judged: &Value) -> Vec<String> {
    let mut told: Vec<_> = judged["findings"].as_array().unwrap().clone();
    for finding in &mut told {
        let finding = finding.as_object_mut().unwrap();
        finding.remove("line");
        finding.remove("certificate");
    }
    let mut told: Vec<_> = told.iter().map(Value::to_string).collect();
    told.sort();
    told
}

#[test]
fn what_check_says_of_every_kind_of_directory_is_what_status_says_of_it() {
    let root = tempfile::tempdir().unwrap();
    let kinds = every_kind();
    for (name, files) in &kinds {
        let _ = PlainDirectory::at(&root.path().join(name), files);
        let _ = KubeletVolume::at(&root.path().join(format!("volume-{name}")), files);
    }
    let home = Home::new(&format!("[watch]\ndirectories = [\"{}/*\"]\n", root.path().display()));
    let daemon = home.start();
    // Every kind is either published or has a finding that says why not.
    let is_judged = |identity: &Value| !identity["published"].is_null() || !told(identity).is_empty();
    // What shows beside the others is told once all were read.
    let is_compared = |identity: &Value| {
        !identity["name"].as_str().unwrap().ends_with("without-a-bundle-that-knows-it")
            || told(identity).iter().any(|finding| finding.contains("issuer-untrusted"))
    };
    let is_told = |identity: &Value| is_judged(identity) && is_compared(identity);
    let all = || Some(status(&home)).filter(|all| all.len() == 2 * kinds.len() && all.iter().all(is_told));
    let identities = until("every directory", all, || daemon.log());
    let judged: BTreeMap<_, _> =
        check(&root.path().join("*")).into_iter().map(|judged| (name_of(&judged).to_owned(), judged)).collect();
    assert_eq!(judged.len(), identities.len());
    for identity in &identities {
        let judged = &judged[identity["name"].as_str().unwrap()];
        assert_eq!(told(judged), told(identity), "{}", identity["name"]);
        assert_eq!(judged["published"], !identity["published"].is_null(), "{}", identity["name"]);
    }
    let published = identities.iter().filter(|identity| !identity["published"].is_null()).count();
    assert!(published > 30 && identities.len() - published > 30, "{published} published: both are to be seen");
}
