//! The held snapshot, and each daemon message's effect on it. Without IO.

use std::fmt;
use std::sync::Arc;

use evercert_api::{snapshot_from_update, v1};
use evercert_core::digest::Digest;
use evercert_core::snapshot::Snapshot;
use evercert_core::text;

use super::AgentSettings;
use crate::source::Report;

/// The snapshot that is held, and what the daemon of now calls it.
#[derive(Debug)]
pub(super) struct Holding {
    subscription: Subscription,
    snapshot: Option<Arc<Snapshot>>,
    /// Epoch and generation under which the daemon publishes what is held; absent while it publishes nothing, or something that
    /// could not be taken up: then there is nothing a report could speak of.
    publication: Option<PublishedAs>,
    trouble: Option<Arc<str>>,
}

#[derive(Debug, Clone, Copy)]
struct PublishedAs {
    epoch: u64,
    generation: u64,
}

impl Holding {
    pub(super) fn new(settings: &AgentSettings) -> Self {
        Self { subscription: Subscription::new(settings), snapshot: None, publication: None, trouble: None }
    }

    pub(super) fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    pub(super) fn snapshot(&self) -> Option<&Arc<Snapshot>> {
        self.snapshot.as_ref()
    }

    pub(super) fn trouble(&self) -> Option<&Arc<str>> {
        self.trouble.as_ref()
    }

    /// The digest for the first request of a stream.
    pub(super) fn held_digest(&self) -> Option<Digest> {
        self.snapshot.as_ref().map(|snapshot| snapshot.digest())
    }

    /// The stream is over: what the daemon called the snapshot is void, the snapshot is not.
    pub(super) fn disconnected(&mut self, trouble: String) {
        self.publication = None;
        self.trouble = Some(trouble.into());
    }

    /// Takes one message; gives the answer to it where one is due now. `reported` is the last word on a snapshot of this source.
    pub(super) fn receive(&mut self, message: v1::WatchResponse, reported: Option<&Report>) -> Option<v1::Report> {
        use v1::watch_response::Message;
        match message.message? {
            Message::Update(update) => self.update(update, reported),
            Message::Unchanged(v1::Unchanged { epoch, generation }) => {
                if self.snapshot.is_none() {
                    self.trouble =
                        Some(format!("{} says that nothing changed, and nothing is held", self.subscription).into());
                    return None;
                }
                self.publication = Some(PublishedAs { epoch, generation });
                self.trouble = None;
                self.report(reported?)
            }
            Message::Pending(v1::Pending { findings }) => {
                self.publication = None;
                self.trouble = Some(self.unpublished(&findings));
                None
            }
            Message::Findings(v1::Findings { findings }) => {
                self.trouble = match self.publication {
                    Some(_) => self.rejected(&findings),
                    None => Some(self.unpublished(&findings)),
                };
                None
            }
            Message::Withdrawn(v1::Withdrawn { reason }) => {
                self.publication = None;
                self.trouble = Some(
                    format!("{} withdrew it: {}{}", self.subscription, text::sentence(&reason), self.kept()).into(),
                );
                None
            }
        }
    }

    /// `report` as the daemon of now understands it; nothing where it speaks of another snapshot than the one held.
    pub(super) fn report(&self, report: &Report) -> Option<v1::Report> {
        let publication = self.publication?;
        (self.held_digest()? == report.digest).then(|| v1::Report {
            epoch: publication.epoch,
            generation: publication.generation,
            digest: report.digest.as_bytes().to_vec(),
            outcome: Some(report.outcome.on_the_wire()),
            connections_on_older: u32::try_from(report.connections_on_older).unwrap_or(u32::MAX),
            not_after: report.not_after.map(Into::into),
        })
    }

    fn update(&mut self, update: v1::Update, reported: Option<&Report>) -> Option<v1::Report> {
        let publication = PublishedAs { epoch: update.epoch, generation: update.generation };
        let digest = update.digest.clone();
        let rejected = self.rejected(&update.findings);
        match snapshot_from_update(update) {
            Ok(snapshot) => {
                self.publication = Some(publication);
                self.trouble = rejected;
                if self.held_digest() == Some(snapshot.digest()) {
                    return self.report(reported?);
                }
                self.snapshot = Some(Arc::new(snapshot));
                None
            }
            Err(malformed) => {
                self.publication = None;
                self.trouble =
                    Some(format!("{} sent what cannot be read: {malformed}{}", self.subscription, self.kept()).into());
                let refused = v1::Refused { code: v1::RefusedCode::Malformed.into(), detail: malformed.to_string() };
                let leaf =
                    self.snapshot.as_ref().and_then(|snapshot| snapshot.credential()).map(|c| c.leaf().not_after);
                Some(v1::Report {
                    epoch: publication.epoch,
                    generation: publication.generation,
                    digest,
                    outcome: Some(v1::report::Outcome::Refused(refused)),
                    connections_on_older: 0,
                    not_after: leaf.map(Into::into),
                })
            }
        }
    }

    fn unpublished(&self, findings: &[v1::Finding]) -> Arc<str> {
        let why = if findings.is_empty() { "nothing was read yet".to_owned() } else { sentences(findings.iter()) };
        format!("{} has nothing to publish: {why}{}", self.subscription, self.kept()).into()
    }

    /// The reasons against publishing the files on disk, beside what is published.
    fn rejected(&self, findings: &[v1::Finding]) -> Option<Arc<str>> {
        let mut rejecting = findings.iter().filter(|finding| finding.severity() == v1::Severity::Reject).peekable();
        rejecting.peek()?;
        Some(format!("{} does not publish what it read last: {}", self.subscription, sentences(rejecting)).into())
    }

    fn kept(&self) -> &'static str {
        if self.snapshot.is_some() { "; the last good is kept" } else { "" }
    }
}

/// Socket and identity: the subject of every sentence of trouble.
#[derive(Debug, Clone)]
pub(super) struct Subscription {
    settings: AgentSettings,
}

impl Subscription {
    fn new(settings: &AgentSettings) -> Self {
        Self { settings: settings.clone() }
    }
}

impl fmt::Display for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { settings } = self;
        write!(f, "evercertd at {}, asked for {:?},", settings.socket.path.display(), settings.identity)
    }
}

fn sentences<'a>(findings: impl Iterator<Item = &'a v1::Finding>) -> String {
    let sentence = |finding: &v1::Finding| match finding.file.as_str() {
        file if finding.sentence.contains(file) => finding.sentence.clone(),
        file => format!("{file}: {}", finding.sentence),
    };
    text::sentence(&findings.map(sentence).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use evercert_api::update_from_snapshot;
    use evercert_core::bundle::{Bundle, Bundles};
    use evercert_fixtures::Authority;

    use super::*;
    use crate::source::Outcome;

    #[test]
    fn a_report_on_a_generation_that_is_no_longer_held_is_not_sent() {
        let mut holding = Holding::new(&AgentSettings::new("web"));
        let (first, second) = (trusting(1), trusting(2));
        let report = report_on(&first);
        assert_eq!(holding.receive(update(7, &first), None), None, "nothing was said of it yet");
        assert_eq!(holding.report(&report).map(|report| (report.epoch, report.generation)), Some((7, 1)));
        holding.receive(update(7, &second), Some(&report));
        assert_eq!(holding.report(&report), None);
    }

    #[test]
    fn between_streams_there_is_no_publication_to_report_on() {
        let mut holding = Holding::new(&AgentSettings::new("web"));
        let snapshot = trusting(1);
        holding.receive(update(7, &snapshot), None);
        holding.disconnected("gone".into());
        assert_eq!(holding.report(&report_on(&snapshot)), None);
        assert_eq!(holding.held_digest(), Some(snapshot.digest()));
    }

    #[test]
    fn unchanged_without_anything_held_is_trouble_and_no_panic() {
        let mut holding = Holding::new(&AgentSettings::new("web"));
        let unchanged = v1::watch_response::Message::Unchanged(v1::Unchanged { epoch: 1, generation: 1 });
        assert_eq!(holding.receive(v1::WatchResponse { message: Some(unchanged) }, None), None);
        assert!(holding.trouble().unwrap().contains("nothing is held"));
    }

    #[test]
    fn a_message_of_a_later_daemon_is_passed_over() {
        let mut holding = Holding::new(&AgentSettings::new("web"));
        assert_eq!(holding.receive(v1::WatchResponse { message: None }, None), None);
        assert_eq!(holding.trouble(), None);
    }

    fn trusting(generation: u64) -> Snapshot {
        let bundle = Bundle::new(vec![Authority::new("Test CA").ca_der().to_vec().into()], Vec::new());
        Snapshot::new(generation, None, Bundles { own: Some(Arc::new(bundle)), ..Bundles::default() }, None)
    }

    fn update(epoch: u64, snapshot: &Snapshot) -> v1::WatchResponse {
        let update = update_from_snapshot(epoch, snapshot, &[], v1::Deliver::Full).unwrap();
        v1::WatchResponse { message: Some(v1::watch_response::Message::Update(update)) }
    }

    fn report_on(snapshot: &Snapshot) -> Report {
        Report {
            generation: snapshot.generation(),
            digest: snapshot.digest(),
            outcome: Outcome::Current,
            connections_on_older: 0,
            not_after: None,
        }
    }
}
