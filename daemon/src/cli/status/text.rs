//! The status as people read it.

use std::fmt::Write as _;
use std::time::SystemTime;

use evercert_core::text::{self, item};

use crate::cli::moment::{absolute, relative};
use crate::publication::{Delivery, SubscriberState};
use crate::status::{Certificate, Crl, Finding, Identity, Moment, Pod, StatusReport, Subscriber, Tally};

/// How much of a digest is shown: enough to tell the generations of one identity apart.
const DIGEST: usize = 12;

/// A line about the daemon and how many identities it has, and below it what is to be said of the daemon as a whole.
pub(super) fn head(report: &StatusReport, now: SystemTime) -> String {
    let mut text = String::new();
    let started = report.started.0.map_or_else(String::new, |started| format!(", started {}", relative(started, now)));
    let tally = Tally::of_report(report, now);
    line(&mut text, &format!("evercertd {} ({}): {tally}{started}", report.version, report.mode.as_str()));
    if let Some(error) = &report.config_error {
        line(&mut text, &format!("the configuration was not reloaded: {error}"));
    }
    for finding in &report.findings {
        line(&mut text, &format!("{}: {}", finding.severity, sentence(finding)));
    }
    for pod in &report.pods_in_doubt {
        line(&mut text, &format!("pod {}: {}", pod.uid, pod.doubt().unwrap_or_default()));
    }
    text
}

/// A block for each identity, each behind an empty line.
pub(super) fn blocks(report: &StatusReport, now: SystemTime) -> String {
    let mut text = String::new();
    for identity in &report.identities {
        text.push('\n');
        block(&mut text, identity, now);
    }
    text
}

fn block(text: &mut String, identity: &Identity, now: SystemTime) {
    line(text, &identity.title());
    if let Some(doubt) = identity.pod.as_ref().and_then(Pod::doubt) {
        field(text, "pod", &doubt);
    }
    let generation = match (identity.generation, identity.digest) {
        (Some(generation), Some(digest)) => {
            let digest = &digest.to_string()[..DIGEST];
            let published =
                identity.published.0.map_or_else(String::new, |at| format!(", published {}", relative(at, now)));
            format!("{generation}, digest {digest}{published}")
        }
        _ => "nothing is published yet".to_owned(),
    };
    field(text, "generation", &generation);
    if let Some(leaf) = &identity.leaf {
        field(text, "subject", if leaf.subject.is_empty() { "none" } else { &leaf.subject });
        field(text, "names", &names(leaf));
        field(text, "issuer", &leaf.issuer);
        field(text, "serial", &leaf.serial);
        let renewal =
            identity.renewal_due.0.map_or_else(String::new, |due| format!("; renewal due {}", relative(due, now)));
        field(text, "expires", &format!("{}{renewal}", expiry(leaf.not_after, now)));
    }
    if identity.generation.is_some() {
        let plural = if identity.anchors == 1 { "" } else { "s" };
        field(text, "trusts", &format!("{} anchor{plural}", identity.anchors));
    }
    for anchor in &identity.retained {
        field(text, "retains", &format!("{} until {}", anchor.anchor.subject, until(anchor.until, now)));
    }
    for trust_domain in &identity.federated {
        let plural = if trust_domain.anchors == 1 { "" } else { "s" };
        let trust = format!("{}: {} anchor{plural}", trust_domain.trust_domain, trust_domain.anchors);
        field(text, "federated", &trust);
    }
    for crl in &identity.crls {
        field(text, "crl", &revocations(crl, now));
    }
    for finding in &identity.findings {
        field(text, finding.severity.as_str(), &sentence(finding));
    }
    field(text, "subscribers", &counts(&identity.subscribers));
    for subscriber in &identity.subscribers {
        line(text, &format!("    {}: {}", who(subscriber), doing(subscriber, now)));
    }
}

/// `in 29 days (2026-12-22 10:00 UTC)`, or `expired 3 hours ago (…)`.
pub(crate) fn expiry(end: Moment, now: SystemTime) -> String {
    let Some(end) = end.0 else { return "not known".to_owned() };
    let expired = if end < now { "expired " } else { "" };
    format!("{expired}{} ({})", relative(end, now), absolute(end))
}

/// `2026-12-22 10:00 UTC, in 29 days`.
pub(crate) fn until(end: Moment, now: SystemTime) -> String {
    end.0.map_or_else(|| "not known".to_owned(), |end| format!("{}, {}", absolute(end), relative(end, now)))
}

/// The list's issuer, what it holds and until when.
fn revocations(crl: &Crl, now: SystemTime) -> String {
    let number = crl.number.as_ref().map_or_else(String::new, |number| format!(" number {number}"));
    let update = match crl.next_update.0 {
        Some(at) if at < now => format!("stale since {}", absolute(at)),
        Some(at) => format!("next update {}", relative(at, now)),
        None => "no next update".to_owned(),
    };
    format!("{}{number}: {} revoked, {update} [{}]", crl.issuer, crl.revoked, crl.file)
}

/// A finding in one line, with the values it is about.
pub(crate) fn sentence(finding: &Finding) -> String {
    let values = finding.values().map_or_else(String::new, |values| format!(" ({values})"));
    let file = finding.file.as_ref().map_or_else(String::new, |file| format!(" [{file}]"));
    format!("{}: {}{values}{file}", finding.check, finding.sentence)
}

/// A pod, and whether its name is in doubt.
fn whereabouts(pod: &Pod) -> String {
    pod.doubt().map_or_else(|| pod.title(), |doubt| format!("{}, {doubt}", pod.title()))
}

/// A subscriber's name in one line.
pub(crate) fn who(subscriber: &Subscriber) -> String {
    let command = if subscriber.command.is_empty() { "?" } else { &subscriber.command };
    let pod = subscriber.pod.as_ref().map(whereabouts).or_else(|| subscriber.unit.clone());
    if subscriber.unattested {
        let pod = pod.map_or_else(String::new, |place| format!(" that says it is in {place}"));
        return format!("unattested process of uid {}{pod}", subscriber.uid);
    }
    let pod = pod.map_or_else(String::new, |place| format!(" in {place}"));
    format!("{command} (pid {}, uid {}){pod}", subscriber.pid, subscriber.uid)
}

/// A subscriber's use of what is published, now or when it was last heard.
pub(crate) fn doing(subscriber: &Subscriber, now: SystemTime) -> String {
    let Some(lost) = subscriber.lost_since.0 else { return serving(subscriber, now) };
    let reported = match (&subscriber.report, subscriber.deliver) {
        (None, _) => ", has never reported".to_owned(),
        // Those that read for themselves know no generation of the daemon's.
        (Some(_), Delivery::Digest) => String::new(),
        (Some(report), Delivery::Full) => format!(", last reported generation {}", report.generation),
    };
    format!("lost since {}: stopped answering{reported}; {}", relative(lost, now), serving(subscriber, now))
}

fn serving(subscriber: &Subscriber, now: SystemTime) -> String {
    let since = subscriber.behind_since.0.map_or_else(String::new, |since| format!(" since {}", relative(since, now)));
    match subscriber.state {
        SubscriberState::Behind => {
            let why = subscriber.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            format!("behind{since}{why}")
        }
        SubscriberState::Refused => {
            let why = subscriber.reason.as_deref().or_else(|| subscriber.refused());
            format!("refused{since}: {}", why.unwrap_or("no reason given"))
        }
        SubscriberState::Current if subscriber.connections_on_older() > 0 => {
            format!("current, settling: {}", older(subscriber.connections_on_older().into()))
        }
        SubscriberState::Settled => "settled: no connection is older".to_owned(),
        state @ (SubscriberState::Current | SubscriberState::Pending) => state.as_str().to_owned(),
    }
}

/// How many connections have not moved yet.
fn older(connections: u64) -> String {
    let plural =
        if connections == 1 { "connection on an older generation" } else { "connections on older generations" };
    format!("{connections} {plural}")
}

/// How many there are, by state, the worst first.
pub(crate) fn counts(subscribers: &[Subscriber]) -> String {
    if subscribers.is_empty() {
        return "none".to_owned();
    }
    let mut text = subscribers.len().to_string();
    use SubscriberState::{Behind, Current, Pending, Refused, Settled};
    let counted = [Refused, Behind, Pending, Current, Settled]
        .map(|state| (subscribers.iter().filter(|subscriber| subscriber.state == state).count(), state.as_str()));
    for (i, (count, state)) in counted.into_iter().filter(|(count, _)| *count > 0).enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{} {count} {state}", if i == 0 { ":" } else { "," });
    }
    let lost = subscribers.iter().filter(|subscriber| subscriber.is_lost()).count();
    let unattested = subscribers.iter().filter(|subscriber| subscriber.unattested).count();
    for (count, state) in [(lost, "lost"), (unattested, "unattested")].into_iter().filter(|(count, _)| *count > 0) {
        let _ = write!(text, "; {count} {state}");
    }
    let connections: u64 = subscribers.iter().map(|subscriber| u64::from(subscriber.connections_on_older())).sum();
    if connections > 0 {
        let _ = write!(text, "; {}", older(connections));
    }
    text
}

fn names(leaf: &Certificate) -> String {
    let dns = leaf.dns_names.iter().map(|name| format!("DNS:{}", item(name)));
    let ip = leaf.ip_addresses.iter().map(|address| format!("IP:{address}"));
    let uris = leaf.uris.iter().map(|uri| format!("URI:{}", item(uri)));
    let names: Vec<_> = dns.chain(ip).chain(uris).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn field(text: &mut String, name: &str, value: &str) {
    line(text, &format!("  {name:<12}{value}"));
}

/// Adds one line: what of others is in it neither ends it nor acts on the terminal.
fn line(all: &mut String, line: &str) {
    all.push_str(&text::line(line));
    all.push('\n');
}

#[cfg(test)]
pub(super) mod tests;
