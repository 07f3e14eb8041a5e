//! The daemon's view of the certificate, and what it is told of it. Without IO.

use std::sync::Arc;

use evercert_api::v1;
use evercert_core::digest::Digest;

use crate::source::Report;
use crate::source::directory::Rejection;

/// The daemon's publication, as far as this stream has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Published {
    epoch: u64,
    generation: u64,
    digest: Digest,
}

/// One stream's account.
#[derive(Debug)]
pub(super) struct View {
    /// The digest at its opening.
    held: Option<Digest>,
    published: Option<Published>,
    /// Why there is nothing published.
    pub(super) trouble: Option<String>,
}

impl View {
    pub(super) fn new(held: Option<Digest>) -> Self {
        Self { held, published: None, trouble: None }
    }

    /// Takes one message. Nothing of it but what the daemon calls which digest is of use here.
    pub(super) fn receive(&mut self, message: v1::WatchResponse) {
        use v1::watch_response::Message;
        match message.message {
            Some(Message::Update(v1::Update { epoch, generation, digest, .. })) => {
                let digest = Digest::try_from(&digest[..]).ok();
                self.published = digest.map(|digest| Published { epoch, generation, digest });
                self.trouble = None;
            }
            Some(Message::Unchanged(v1::Unchanged { epoch, generation })) => {
                self.published = self.held.map(|digest| Published { epoch, generation, digest });
                self.trouble = None;
            }
            Some(Message::Pending(v1::Pending { .. })) => {
                self.published = None;
                self.trouble = Some("has nothing to publish".to_owned());
            }
            Some(Message::Withdrawn(v1::Withdrawn { reason })) => {
                self.published = None;
                self.trouble = Some(format!("withdrew it: {reason}"));
            }
            Some(Message::Findings(_)) | None => {}
        }
    }

    /// The report to the daemon now. `held` is the digest of what was read last from the mount and could be used, `rejection` why
    /// what the mount holds now cannot be.
    pub(super) fn report(
        &self,
        held: Option<Digest>,
        rejection: Option<&Rejection>,
        reported: Option<&Report>,
    ) -> Option<v1::Report> {
        let mut report = v1::Report {
            connections_on_older: reported.map_or(0, |own| own.connections_on_older.try_into().unwrap_or(u32::MAX)),
            not_after: reported.and_then(|own| own.not_after).map(Into::into),
            ..v1::Report::default()
        };
        // Where the daemon keeps what is held here, it rejects the files too, and nobody is behind.
        let rejection =
            rejection.filter(|_| held.is_none() || held != self.published.map(|published| published.digest));
        if let Some(Rejection { is_of_trust, sentence }) = rejection {
            let code = if *is_of_trust { v1::RefusedCode::Bundle } else { v1::RefusedCode::Credential };
            let refused = v1::Refused { code: code.into(), detail: sentence.to_string() };
            report.outcome = Some(v1::report::Outcome::Refused(refused));
            return Some(report);
        }
        let own = reported?;
        if let Some(Published { epoch, generation, .. }) = self.published.filter(|known| known.digest == own.digest) {
            (report.epoch, report.generation) = (epoch, generation);
        }
        report.digest = own.digest.as_bytes().to_vec();
        report.outcome = Some(own.outcome.on_the_wire());
        Some(report)
    }
}

/// The identity that is the directory's, among those the daemon permits: the one with the same content; of several, or where there is
/// none, the one named like the directory. The only one there is may be of another directory, whose rotations this process will never show.
pub(super) fn choose(
    identities: &[v1::IdentitySummary],
    held: Option<Digest>,
    own_name: Option<&str>,
) -> Option<Arc<str>> {
    let is_held = |one: &&v1::IdentitySummary| held.is_some_and(|held| one.digest == held.as_bytes());
    let is_named = |one: &&v1::IdentitySummary| Some(one.identity.as_str()) == own_name;
    let mut same = identities.iter().filter(is_held);
    let chosen = same.clone().find(is_named).or_else(|| same.next()).or_else(|| identities.iter().find(is_named))?;
    Some(chosen.identity.as_str().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Refusal;
    use crate::source::Outcome;

    #[test]
    fn a_report_is_on_the_own_digest_and_names_the_publication_where_that_is_the_same() {
        let mut view = View::new(None);
        view.receive(update(7, 3, digest(1)));
        let same = view.report(Some(digest(1)), None, Some(&report(1))).unwrap();
        assert_eq!((same.epoch, same.generation, same.digest), (7, 3, digest(1).as_bytes().to_vec()));
        let older = view.report(Some(digest(2)), None, Some(&report(2))).unwrap();
        assert_eq!((older.epoch, older.generation, older.digest), (0, 0, digest(2).as_bytes().to_vec()));
        assert_eq!(older.outcome, Some(v1::report::Outcome::Stage(v1::Stage::Current.into())));
    }

    #[test]
    fn unchanged_speaks_of_what_the_stream_was_opened_with() {
        let mut view = View::new(Some(digest(1)));
        let unchanged = v1::watch_response::Message::Unchanged(v1::Unchanged { epoch: 7, generation: 2 });
        view.receive(v1::WatchResponse { message: Some(unchanged) });
        assert_eq!(view.report(Some(digest(1)), None, Some(&report(1))).unwrap().generation, 2);
        assert_eq!(view.report(Some(digest(2)), None, Some(&report(2))).unwrap().generation, 0);
    }

    #[test]
    fn what_the_mount_holds_and_this_process_rejects_is_refused_unless_the_daemon_keeps_the_same() {
        let rejection = Rejection { is_of_trust: false, sentence: "tls.crt lacks a name".into() };
        let mut view = View::new(None);
        view.receive(update(7, 3, digest(1)));
        let keeping = view.report(Some(digest(1)), Some(&rejection), Some(&report(1))).unwrap();
        assert_eq!(keeping.outcome, Some(v1::report::Outcome::Stage(v1::Stage::Current.into())));
        view.receive(update(7, 4, digest(2)));
        let refusing = view.report(Some(digest(1)), Some(&rejection), Some(&report(1))).unwrap();
        let refused =
            v1::Refused { code: v1::RefusedCode::Credential.into(), detail: "tls.crt lacks a name".to_owned() };
        assert_eq!(refusing.outcome, Some(v1::report::Outcome::Refused(refused)));
        assert_eq!((refusing.epoch, refusing.digest), (0, Vec::new()));
        assert!(View::new(None).report(None, Some(&rejection), None).is_some(), "nothing served yet is told too");
    }

    #[test]
    fn what_the_identity_refuses_is_told_with_its_reason() {
        let mut view = View::new(None);
        view.receive(update(7, 3, digest(1)));
        let refusal = Refusal::Incomplete("a bundle".to_owned());
        let own = Report { outcome: Outcome::Refused(refusal.clone()), ..report(1) };
        let Some(v1::report::Outcome::Refused(refused)) =
            view.report(Some(digest(1)), None, Some(&own)).unwrap().outcome
        else {
            panic!("not refused")
        };
        assert_eq!((refused.code(), refused.detail), (v1::RefusedCode::Incomplete, refusal.to_string()));
    }

    #[test]
    fn the_identity_with_the_same_content_is_the_directorys_then_the_one_of_its_name_and_no_other() {
        let all = [summary("a", 1), summary("b", 2), summary("c", 2)];
        let chosen = |all: &[_], held, name| choose(all, held, name).map(|name| name.to_string());
        assert_eq!(chosen(&all, Some(digest(2)), Some("a")).as_deref(), Some("b"));
        assert_eq!(chosen(&all, Some(digest(2)), Some("c")).as_deref(), Some("c"));
        assert_eq!(chosen(&all, Some(digest(9)), Some("a")).as_deref(), Some("a"));
        assert_eq!(chosen(&all, None, Some("x")), None);
        assert_eq!(chosen(&all[..1], Some(digest(9)), Some("x")), None);
        assert_eq!(chosen(&[], None, None), None);
    }

    fn digest(byte: u8) -> Digest {
        Digest::from([byte; 32])
    }

    fn summary(name: &str, byte: u8) -> v1::IdentitySummary {
        v1::IdentitySummary { identity: name.to_owned(), digest: vec![byte; 32], ..v1::IdentitySummary::default() }
    }

    fn update(epoch: u64, generation: u64, digest: Digest) -> v1::WatchResponse {
        let update = v1::Update { epoch, generation, digest: digest.as_bytes().to_vec(), ..v1::Update::default() };
        v1::WatchResponse { message: Some(v1::watch_response::Message::Update(update)) }
    }

    fn report(byte: u8) -> Report {
        Report {
            generation: 1,
            digest: digest(byte),
            outcome: Outcome::Current,
            connections_on_older: 0,
            not_after: None,
        }
    }
}
