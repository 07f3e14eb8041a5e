//! The changes between two states of an identity, in words.

use std::time::SystemTime;

use crate::cli::status::text::{counts, doing, expiry, sentence, who};
use crate::status::{Identity, Subscriber};

/// One line for each change; where nothing was known before, one that sums the state up and one for each finding.
pub(super) fn between(before: Option<&Identity>, after: &Identity, now: SystemTime) -> Vec<String> {
    let mut lines = Vec::new();
    let Some(before) = before else {
        lines.push(format!("{}; subscribers: {}", published(after, now), counts(&after.subscribers)));
        lines.extend(after.findings.iter().map(|finding| format!("{} {}", finding.severity, sentence(finding))));
        return lines;
    };
    if (after.generation, after.digest) != (before.generation, before.digest) {
        lines.push(published(after, now));
    }
    let came = after.findings.iter().filter(|finding| !before.findings.contains(finding));
    lines.extend(came.map(|finding| format!("{} {}", finding.severity, sentence(finding))));
    let went = before.findings.iter().filter(|finding| !after.findings.iter().any(|now| now.check == finding.check));
    lines.extend(went.map(|finding| format!("no longer: {} {}", finding.severity, finding.check)));
    for subscriber in &after.subscribers {
        let known = before.subscribers.iter().find(|known| known.id == subscriber.id);
        if known.is_none_or(|known| is_news(known, subscriber)) {
            let verb = if known.is_none() { "connected: " } else { "" };
            lines.push(format!("{} {verb}{}", who(subscriber), doing(subscriber, now)));
        }
    }
    let gone = before.subscribers.iter().filter(|known| !after.subscribers.iter().any(|now| now.id == known.id));
    lines.extend(gone.map(|subscriber| format!("{} disconnected", who(subscriber))));
    lines
}

fn is_news(before: &Subscriber, after: &Subscriber) -> bool {
    (before.state, &before.reason, before.connections_on_older(), before.is_lost())
        != (after.state, &after.reason, after.connections_on_older(), after.is_lost())
}

fn published(identity: &Identity, now: SystemTime) -> String {
    match (identity.generation, &identity.leaf) {
        (None, _) => "nothing is published".to_owned(),
        (Some(generation), None) => format!("generation {generation} of {} anchors", identity.anchors),
        (Some(generation), Some(leaf)) => {
            let (subject, serial) = (&leaf.subject, &leaf.serial);
            format!("generation {generation}: {subject}, serial {serial}, expires {}", expiry(leaf.not_after, now))
        }
    }
}

#[cfg(test)]
mod tests {
    use evercert_api::v1;

    use super::*;

    fn identity(generation: u64, checks: &[&str], subscribers: &[(u64, v1::SubscriberState)]) -> Identity {
        let finding = |check: &&str| v1::Finding {
            check: (*check).to_owned(),
            severity: v1::Severity::Warn.into(),
            sentence: "look".to_owned(),
            ..v1::Finding::default()
        };
        let subscriber = |(id, state): &(u64, v1::SubscriberState)| v1::Subscriber {
            id: *id,
            pid: 7,
            command: "greeter".to_owned(),
            state: (*state).into(),
            ..v1::Subscriber::default()
        };
        Identity::from(v1::IdentityStatus {
            identity: "x".to_owned(),
            generation,
            digest: vec![1],
            anchors: 2,
            findings: checks.iter().map(finding).collect(),
            subscribers: subscribers.iter().map(subscriber).collect(),
            ..v1::IdentityStatus::default()
        })
    }

    #[test]
    fn only_what_changed_is_told() {
        use v1::SubscriberState::{Behind, Current, Settled};
        let now = SystemTime::UNIX_EPOCH;
        let first = identity(1, &["expired"], &[(1, Current)]);
        assert_eq!(
            between(None, &first, now),
            ["generation 1 of 2 anchors; subscribers: 1: 1 current", "warn expired: look"]
        );
        assert!(between(Some(&first), &first, now).is_empty());
        let second = identity(2, &["no-san"], &[(1, Behind), (2, Settled)]);
        assert_eq!(
            between(Some(&first), &second, now),
            [
                "generation 2 of 2 anchors",
                "warn no-san: look",
                "no longer: warn expired",
                "greeter (pid 7, uid 0) behind",
                "greeter (pid 7, uid 0) connected: settled: no connection is older",
            ]
        );
        let third = identity(2, &["no-san"], &[(2, Settled)]);
        assert_eq!(between(Some(&second), &third, now), ["greeter (pid 7, uid 0) disconnected"]);
    }

    #[test]
    fn why_a_subscriber_is_behind_is_told_and_when_that_changes() {
        let behind = |reason: &str| {
            let mut identity = identity(2, &[], &[(1, v1::SubscriberState::Behind)]);
            identity.subscribers[0].reason = Some(reason.to_owned());
            identity
        };
        let (serving, stopped) = (behind("it still serves ab"), behind("its process is stopped (SIGSTOP)"));
        assert_eq!(
            between(Some(&serving), &stopped, SystemTime::UNIX_EPOCH),
            ["greeter (pid 7, uid 0) behind: its process is stopped (SIGSTOP)"]
        );
        assert!(between(Some(&stopped), &stopped, SystemTime::UNIX_EPOCH).is_empty());
    }

    #[test]
    fn that_a_subscriber_is_lost_is_told_although_it_is_current() {
        let before = identity(2, &[], &[(1, v1::SubscriberState::Current)]);
        let mut after = before.clone();
        after.subscribers[0].lost_since = crate::status::Moment(Some(SystemTime::UNIX_EPOCH));
        assert_eq!(
            between(Some(&before), &after, SystemTime::UNIX_EPOCH),
            ["greeter (pid 7, uid 0) lost since in 0 seconds: stopped answering, has never reported; current"]
        );
    }

    #[test]
    fn settling_is_told_until_it_is_done() {
        let now = SystemTime::UNIX_EPOCH;
        let identity = |state: v1::SubscriberState, connections_on_older| {
            let report = v1::Report { connections_on_older, ..v1::Report::default() };
            let subscriber =
                v1::Subscriber { id: 1, state: state.into(), report: Some(report), ..v1::Subscriber::default() };
            Identity::from(v1::IdentityStatus { subscribers: vec![subscriber], ..v1::IdentityStatus::default() })
        };
        let mut before = identity(v1::SubscriberState::Behind, 0);
        for (state, older, told) in [
            (v1::SubscriberState::Current, 2, "current, settling: 2 connections on older generations"),
            (v1::SubscriberState::Current, 1, "current, settling: 1 connection on an older generation"),
            (v1::SubscriberState::Settled, 0, "settled: no connection is older"),
        ] {
            let after = identity(state, older);
            assert_eq!(between(Some(&before), &after, now), [format!("? (pid 0, uid 0) {told}")]);
            before = after;
        }
    }
}
