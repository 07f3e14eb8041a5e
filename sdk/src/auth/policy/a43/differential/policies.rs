//! Policies: those that were thought of, and others by chance.

use serde_json::{Value, json};

use super::calls::{self, ForeignCall, KEYS, PATHS, VALUES};
use super::peers::Peer;
use super::random::Random;
use super::written::{refused, rule, same};

/// How many policies are made by chance, and how many calls are decided by each.
const RANDOM_POLICIES: usize = 200;
const CALLS: usize = 200;

/// How many policies are damaged by chance, and how many calls are decided by those that can still be read.
const DAMAGED_POLICIES: usize = 3_000;
const CALLS_OF_DAMAGED: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Both read it, or neither does.
    Same,
    /// It is refused, though grpc-go reads it.
    Refused,
    /// It may be refused for what grpc-go does not refuse, but only for that.
    Damaged,
}

pub(super) struct Case {
    pub(super) kind: Kind,
    pub(super) policy: Vec<u8>,
    pub(super) calls: Vec<ForeignCall>,
}

pub(super) fn all(peers: &[Peer]) -> Vec<Case> {
    let mut random = Random(2);
    let mut cases = Vec::new();
    for policy in same() {
        let calls = (0..CALLS).map(|_| calls::random(&mut random, peers, &KEYS[..0])).collect();
        cases.push(Case { kind: Kind::Same, policy, calls });
    }
    for policy in refused() {
        cases.push(Case { kind: Kind::Refused, policy, calls: Vec::new() });
    }
    let asks_for_bytes = rule(r#""request": {"headers": [{"key": "x-bin", "values": ["a"]}]}"#);
    cases.push(Case { kind: Kind::Same, policy: asks_for_bytes.into(), calls: vec![calls::with_bits_left()] });
    for nth in 0..RANDOM_POLICIES {
        // Long ones are among them, and such as ask for audits.
        let policy = random_policy(&mut random, peers, nth % 8).to_string();
        let asked = asked(&policy);
        let calls = (0..CALLS).map(|_| calls::random(&mut random, peers, &asked)).collect();
        cases.push(Case { kind: Kind::Same, policy: policy.into(), calls });
    }
    let whole = cases.iter().filter(|case| case.kind == Kind::Same).map(|case| case.policy.clone()).collect::<Vec<_>>();
    for _ in 0..DAMAGED_POLICIES {
        let policy = damaged(&mut random, &whole);
        let calls = (0..CALLS_OF_DAMAGED).map(|_| calls::random(&mut random, peers, &[])).collect();
        cases.push(Case { kind: Kind::Damaged, policy, calls });
    }
    cases
}

/// The keys of bytes that a policy asks for.
fn asked(policy: &str) -> Vec<&'static str> {
    KEYS.into_iter()
        .filter(|key| key.ends_with("-bin") && policy.to_lowercase().contains(&format!("\"{key}\"")))
        .collect()
}

fn random_policy(random: &mut Random, peers: &[Peer], form: usize) -> Value {
    let some = |random: &mut Random, make: &dyn Fn(&mut Random) -> String| {
        let mut all = random.some(3, make);
        all.push(make(random));
        all
    };
    let rule = |random: &mut Random, nth: usize| {
        let mut rule = json!({ "name": format!("r{nth}") });
        if random.once_in(2) {
            rule["source"] = json!({ "principals": some(random, &|random| principal(random, peers)) });
        }
        if !random.once_in(4) {
            rule["request"] = json!({ "paths": some(random, &|random| pattern_of_one(&PATHS, random)) });
        }
        if random.once_in(3) {
            let headers = random.some(2, |random| {
                let key = *random.one(&KEYS);
                let key = if random.once_in(2) { key.to_uppercase() } else { key.to_owned() };
                json!({ "key": key, "values": some(random, &|random| pattern_of_one(&VALUES, random)) })
            });
            rule["request"]["headers"] = json!(headers);
        }
        rule
    };
    let limit = if form == 0 { 60 } else { 5 };
    let deny = (0..random.below(limit / 2 + 1)).map(|nth| rule(random, nth)).collect::<Vec<_>>();
    let allow = (0..=random.below(limit)).map(|nth| rule(random, nth)).collect::<Vec<_>>();
    let mut policy = json!({ "name": format!("p{form}"), "deny_rules": deny, "allow_rules": allow });
    if form > 2 {
        let condition = *random.one(&["", "NONE", "ON_DENY", "ON_ALLOW", "ON_DENY_AND_ALLOW"]);
        let loggers = random.some(2, |_| json!({ "name": "stdout_logger" }));
        policy["audit_logging_options"] = json!({ "audit_condition": condition, "audit_loggers": loggers });
    }
    policy
}

fn principal(random: &mut Random, peers: &[Peer]) -> String {
    let limit = if random.once_in(2) { 80 } else { peers.len() };
    let names = peers[random.below(limit)].names();
    let name = if names.is_empty() { "" } else { random.one(names) };
    pattern(name, random)
}

fn pattern_of_one(texts: &[&str], random: &mut Random) -> String {
    let text = *random.one(texts);
    pattern(text, random)
}

/// A pattern that has to do with a text.
fn pattern(text: &str, random: &mut Random) -> String {
    let at = text.char_indices().map(|(at, _)| at).collect::<Vec<_>>();
    let (start, end) = text.split_at(if at.is_empty() { 0 } else { *random.one(&at) });
    match random.below(10) {
        0..4 => text.to_owned(),
        4 | 5 => format!("{start}*"),
        6 => format!("*{end}"),
        7 => format!("*{text}*"),
        8 => (*random.one(&["*", "**", "", "***", "*a*", "a"])).to_owned(),
        _ => format!("{start}*{end}"),
    }
}

/// A policy of which a part is missing, there twice, or another one's.
fn damaged(random: &mut Random, whole: &[Vec<u8>]) -> Vec<u8> {
    let mut policy = random.one(whole).clone();
    policy.truncate(4096);
    for _ in 0..=random.below(2) {
        if policy.is_empty() {
            break;
        }
        let at = random.below(policy.len());
        let end = (at + 1 + random.below(8)).min(policy.len());
        match random.below(5) {
            0 => drop(policy.drain(at..end)),
            1 => policy[at] = *random.one(b"{}[]:,\"\\ /*-0aenu\0\n\xff"),
            2 => policy.insert(at, *random.one(b"{}[]:,\"\\ /*-0aenu\0\n\xff")),
            3 => {
                let part = policy[at..end].to_vec();
                policy.splice(at..at, part);
            }
            _ => policy[at] = policy[at].to_ascii_uppercase(),
        }
    }
    policy
}
