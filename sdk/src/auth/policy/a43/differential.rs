//! Holds what is decided here against what grpc-go decides. `tests/foreign/authz.sh` runs it.

mod calls;
mod peers;
mod policies;
mod random;
mod written;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::{env, thread};

use base64ct::{Base64, Encoding as _};
use evercert_core::certificate::CertificateFacts;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use self::calls::ForeignCall;
use self::peers::Peer;
use self::policies::{Case, Kind};
use super::*;

/// The path of the program of `tests/foreign/grpc-go/authz`.
const PROGRAM: &str = "EVERCERT_TEST_GRPC_GO_AUTHZ";

#[derive(Deserialize)]
struct ForeignNames {
    names: Option<Vec<String>>,
    error: String,
}

#[derive(Deserialize)]
struct Verdict {
    error: String,
    decisions: Option<Vec<ForeignDecision>>,
}

#[derive(Deserialize)]
struct ForeignDecision {
    code: String,
    events: Vec<ForeignEvent>,
}

#[derive(Deserialize)]
struct ForeignEvent {
    rule: String,
    authorized: bool,
}

/// What was compared, and what came out otherwise.
#[derive(Default)]
struct Comparison {
    policies: usize,
    decisions: usize,
    allowed: usize,
    events: usize,
    refusals: usize,
    differences: Vec<String>,
}

#[test]
#[ignore = "needs grpc-go: tests/foreign/authz.sh runs it"]
fn decisions_are_grpc_gos() {
    let peers = peers::all();
    let cases = policies::all(&peers);
    let (names, verdicts) = ask(&peers, &cases);
    let mut comparison = Comparison::default();
    for (peer, foreign) in peers.iter().zip(&names) {
        comparison.names(peer, foreign);
    }
    for (case, verdict) in cases.iter().zip(&verdicts) {
        comparison.policy(&peers, case, verdict);
    }
    comparison.differences.iter().take(20).for_each(|difference| println!("DIFFERENCE: {difference}"));
    let Comparison { policies, decisions, allowed, events, refusals, differences } = comparison;
    println!(
        "{policies} policies, {decisions} decisions, {} differences ({} leaves, {} of them unreadable; {allowed} calls allowed, \
         {events} events, {refusals} refusals beyond grpc-go's)",
        differences.len(),
        peers.len() - 2,
        names.iter().filter(|foreign| !foreign.error.is_empty()).count(),
    );
    assert!(differences.is_empty());
    assert!(policies >= 60 && decisions >= 200 * policies.min(60) && allowed >= decisions / 10);
}

/// What grpc-go calls the peers, and what it says of the policies.
fn ask(peers: &[Peer], cases: &[Case]) -> (Vec<ForeignNames>, Vec<Verdict>) {
    let program = env::var_os(PROGRAM).unwrap_or_else(|| panic!("{PROGRAM} is not set: run tests/foreign/authz.sh"));
    let mut program = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let case = |case: &Case| {
        let calls = case.calls.iter().map(ForeignCall::to_json).collect::<Vec<_>>();
        json!({ "policy": Base64::encode_string(&case.policy), "calls": calls })
    };
    let input = json!({
        "peers": peers.iter().map(Peer::to_json).collect::<Vec<_>>(),
        "cases": cases.iter().map(case).collect::<Vec<_>>(),
    });
    let mut stdin = program.stdin.take().unwrap();
    let writer = thread::spawn(move || stdin.write_all(input.to_string().as_bytes()).unwrap());
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let names = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let verdicts = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect::<Vec<_>>();
    writer.join().unwrap();
    assert!(program.wait().unwrap().success());
    assert_eq!(verdicts.len(), cases.len());
    (names, verdicts)
}

impl Comparison {
    fn names(&mut self, peer: &Peer, foreign: &ForeignNames) {
        if !peer.is_understood() && foreign.error.is_empty() {
            // Go passes over names of kinds that it has no use for, whatever is in them.
            match &peer.leaf {
                Some(leaf) if CertificateFacts::from_der(leaf).is_ok() => self.refusals += 1,
                _ => self
                    .differences
                    .push(format!("{peer:?} is not understood, and grpc-go calls it {:?}", foreign.names)),
            }
            return;
        }
        let ours = peer.identity.as_ref().map(|identity| identity.grpc_names());
        let same = match (ours, &foreign.names, &*foreign.error) {
            (None, None, "") => peer.leaf.is_none(),
            (None | Some(None), None, error) => !error.is_empty(),
            (Some(Some(ours)), Some(theirs), "") => ours == theirs,
            _ => false,
        };
        if !same {
            self.differences.push(format!("{peer:?}: {ours:?}, grpc-go: {:?}, {}", foreign.names, foreign.error));
        }
    }

    fn policy(&mut self, peers: &[Peer], case: &Case, verdict: &Verdict) {
        self.policies += 1;
        let text = String::from_utf8_lossy(&case.policy);
        let policy = match (A43Policy::parse(&case.policy), &*verdict.error) {
            (Ok(policy), "") if case.kind != Kind::Refused => policy,
            (Err(_), "") if case.kind == Kind::Refused => return self.refusals += 1,
            (Err(error), "") if case.kind == Kind::Damaged && is_beyond(&error) => return self.refusals += 1,
            (Err(_), theirs) if !theirs.is_empty() && case.kind != Kind::Refused => return,
            (ours, theirs) => {
                self.differences.push(format!("{text}: {ours:?}, grpc-go: {theirs:?}"));
                return;
            }
        };
        let decisions = verdict.decisions.as_deref().unwrap_or_default();
        assert_eq!(decisions.len(), case.calls.len(), "{text}");
        for (call, theirs) in case.calls.iter().zip(decisions) {
            // No policy is asked about those: authentication refuses them.
            if !peers[call.peer].is_understood() {
                continue;
            }
            self.decisions += 1;
            self.allowed += usize::from(theirs.code == "OK");
            self.events += theirs.events.len();
            let headers = call.headers();
            let Peer { is_tls, principal, .. } = &peers[call.peer];
            let question =
                Question { path: &call.path, headers: &headers, principal: principal.as_ref(), is_tls: *is_tls };
            let ours = policy.decide(&question);
            if ours.allowed != (theirs.code == "OK") && call.is_refused && !ours.allowed {
                self.refusals += 1;
            } else if ours.allowed != (theirs.code == "OK") || call.is_refused {
                self.differences.push(format!("{text}: {question:?}: {ours:?}, grpc-go: {}", theirs.code));
            } else if matches!(&*theirs.code, "OK" | "PermissionDenied") {
                self.events(&policy, &text, &question, ours, &theirs.events);
            }
        }
    }

    /// Which of several rules that fit grpc-go names is left to chance.
    fn events(
        &mut self,
        policy: &A43Policy,
        text: &str,
        question: &Question<'_>,
        ours: A43Decision<'_>,
        theirs: &[ForeignEvent],
    ) {
        let audit = policy.audit();
        let expected = if audit.concern(ours.allowed) { audit.loggers().len() } else { 0 };
        let are_same = theirs.len() == expected
            && theirs.iter().all(|event| {
                event.authorized == ours.allowed
                    && (ours.rule.unwrap_or_default() == event.rule
                        || would_fit(text, policy, ours.allowed, &event.rule, question))
            });
        if !are_same {
            let theirs = theirs.iter().map(|event| (&event.rule, event.authorized)).collect::<Vec<_>>();
            self.differences.push(format!("{text}: {question:?}: {ours:?}, audited as {theirs:?}"));
        }
    }
}

/// Whether one rule of the list that decided fits a call, were it the only one.
fn would_fit(text: &str, policy: &A43Policy, is_allowed: bool, rule: &str, question: &Question<'_>) -> bool {
    let Ok(document) = serde_json::from_str::<Value>(text) else { return false };
    let list = member(&document, if is_allowed { "allow_rules" } else { "deny_rules" });
    let mut rules = list.and_then(Value::as_array).into_iter().flatten();
    let name = |one| member(one, "name").and_then(Value::as_str);
    let alone = rules.find(|one| name(one).is_some_and(|name| format!("{}_{name}", policy.name()) == rule));
    alone.is_some_and(|alone| {
        let alone = json!({ "name": policy.name(), "allow_rules": [alone] });
        A43Policy::parse(alone.to_string().as_bytes()).unwrap().decide(question).allowed
    })
}

/// A member of an object, whose key Go finds in any case.
fn member<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    let folded = |key: &str| key.to_uppercase().to_lowercase();
    object.as_object()?.iter().find(|(name, _)| folded(name) == key).map(|(_, value)| value)
}

/// Whether an error is of what is refused beyond what grpc-go refuses.
fn is_beyond(error: &InvalidA43) -> bool {
    match error {
        InvalidA43::TooLong { .. } | InvalidA43::DuplicateRule { .. } | InvalidA43::ImpossibleHeader { .. } => true,
        InvalidA43::Json(error) => {
            let beyond = [
                "duplicate field",
                "trailing characters",
                "surrogate",
                "hex escape",
                "invalid unicode",
                "recursion limit",
            ];
            beyond.iter().any(|beyond| error.to_string().contains(beyond))
        }
        _ => false,
    }
}

impl ForeignCall {
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (key, value) in &self.pairs {
            let key = HeaderName::from_bytes(key.as_bytes()).unwrap();
            headers.append(key, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    fn to_json(&self) -> Value {
        let header = |(key, value): &(String, Vec<u8>)| json!({ "key": key, "value": Base64::encode_string(value) });
        json!({
            "peer": self.peer,
            "path": self.path,
            "headers": self.pairs.iter().map(header).collect::<Vec<_>>(),
        })
    }
}
