//! Whatever `evercertd check` is given: a kubeconfig, PEM, DER or anything else is judged without a panic, nothing is clean of which a part was
//! not read, and each form of the report tells of every finding.
#![no_main]

use std::time::{Duration, SystemTime};

use evercertd::{Reports, reports_of};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// The BEGIN line of a certificate in PEM.
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// What levels of SARIF there are.
const LEVELS: [&str; 4] = ["none", "note", "warning", "error"];

fuzz_target!(|content: &[u8]| {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let Reports { json, sarif, text } = reports_of(content, at, at + Duration::from_secs(400 * 24 * 3600));
    let inputs = json["inputs"].as_array().expect("an array");
    assert!(!inputs.is_empty(), "nothing was judged");
    let begun = match content {
        // In DER the same bytes may be the content of a name.
        [0x30, ..] => 0,
        text => text.windows(BEGIN.len()).filter(|window| *window == BEGIN).count(),
    };
    let read: usize = inputs.iter().map(|input| array(&input["certificates"]).len()).sum();
    let is_good = |input: &Value| ["clean", "warned"].contains(&input["verdict"].as_str().expect("a word"));
    assert!(read >= begun || !inputs.iter().all(is_good), "{read} of {begun} certificates, and nothing is rejected: {text}");
    let run = &sarif["runs"][0];
    let ids: Vec<_> = array(&run["tool"]["driver"]["rules"]).iter().map(|rule| &rule["id"]).collect();
    for result in array(&run["results"]) {
        assert!(ids.contains(&&result["ruleId"]), "{result}");
        assert!(LEVELS.contains(&result["level"].as_str().expect("a word")), "{result}");
        assert!(result["message"]["text"].as_str().is_some_and(|text| !text.is_empty()), "{result}");
        let line = &result["locations"][0]["physicalLocation"]["region"]["startLine"];
        assert!(line.is_null() || line.as_u64().is_some_and(|line| line > 0), "{result}");
    }
    for input in inputs {
        let rejects = |finding: &Value| finding["severity"] == "reject";
        let is_rejected = array(&input["findings"]).iter().any(rejects);
        assert!(!is_rejected || !is_good(input), "{input}");
        for finding in array(&input["findings"]) {
            assert!(array(&run["results"]).iter().any(|result| result["ruleId"] == finding["check"]), "{finding}");
            assert!(text.contains(finding["check"].as_str().expect("a word")), "{finding}");
        }
    }
});

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
