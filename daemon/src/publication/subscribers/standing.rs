//! How a subscriber stands to what is published, by its last report.

use serde::Serialize;

use super::report::{Delivery, Outcome, Report};
use crate::publication::Publication;

/// How much of a digest is said, in hexadecimal digits: enough to tell the generations of one identity apart.
const DIGEST: usize = 12;

/// A subscriber's last report, judged by what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SubscriberState {
    /// Nothing is published that it could acknowledge.
    Pending,
    /// It has not acknowledged the published generation.
    Behind,
    /// It cannot use the published generation, and keeps what it had.
    Refused,
    /// Its new handshakes use the published generation.
    Current,
    /// And none of its connections is older.
    Settled,
}

impl SubscriberState {
    /// Whether the published generation waits for it.
    #[must_use]
    pub(crate) fn is_behind(self) -> bool {
        matches!(self, Self::Behind | Self::Refused)
    }

    /// Whether something of it still uses an older generation than the published one, or may.
    #[must_use]
    pub(crate) fn is_unsettled(self) -> bool {
        self.is_behind() || self == Self::Current
    }

    /// As it is told.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Behind => "behind",
            Self::Refused => "refused",
            Self::Current => "current",
            Self::Settled => "settled",
        }
    }

    pub(super) fn of(deliver: Delivery, report: Option<&Report>, publication: Option<&Publication>) -> Self {
        let Some(publication) = publication else { return Self::Pending };
        let Some(report) = report.filter(|report| is_about(deliver, report, publication)) else { return Self::Behind };
        match &report.outcome {
            Some(Outcome::Refused(_)) => Self::Refused,
            Some(Outcome::Current) => Self::Current,
            Some(Outcome::Settled) => Self::Settled,
            None => Self::Behind,
        }
    }
}

/// Whether `report` speaks of `publication` and no other.
fn is_about(deliver: Delivery, report: &Report, publication: &Publication) -> bool {
    let is_its_content = report.digest == Some(publication.digest);
    match deliver {
        // Content not read to the end has no digest: it is what is mounted.
        Delivery::Digest => {
            is_its_content || report.digest.is_none() && matches!(report.outcome, Some(Outcome::Refused(_)))
        }
        Delivery::Full => {
            is_its_content && report.epoch == publication.epoch && report.generation == publication.generation
        }
    }
}

/// Why a subscriber with this report is behind of `publication`.
pub(super) fn reason(report: Option<&Report>, publication: &Publication) -> String {
    let Some(report) = report else { return "it has not reported yet".to_owned() };
    let other = report.digest.filter(|digest| *digest != publication.digest).map(|digest| digest.to_string());
    let other = other.as_ref().map(|digest| &digest[..DIGEST]);
    match (&report.outcome, other) {
        (Some(Outcome::Refused(refused)), other) => {
            let detail = if refused.detail.is_empty() { "no reason given" } else { &refused.detail };
            let refusal = format!("{detail} [{}]", refused.code.as_str());
            other.map_or_else(|| refusal.clone(), |digest| format!("it refused {digest}: {refusal}"))
        }
        (Some(Outcome::Current | Outcome::Settled), Some(digest)) => format!("it still serves {digest}"),
        (Some(Outcome::Current | Outcome::Settled) | None, _) => {
            "it has not reported on this generation yet".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use evercert_core::digest::Digest;

    use super::super::report::{Refused, RefusedCode};
    use super::*;

    #[test]
    fn who_reads_its_own_mount_is_compared_by_content_and_nobody_else() {
        use SubscriberState::{Behind, Current};
        let publication = publication();
        for (deliver, epoch, digest, state) in [
            (Delivery::Digest, 0, 1, Current),
            (Delivery::Digest, 7, 1, Current),
            (Delivery::Digest, 7, 2, Behind),
            (Delivery::Full, 7, 1, Current),
            (Delivery::Full, 0, 1, Behind),
        ] {
            let report = Report { epoch, generation: 3, ..serving(digest) };
            let found = SubscriberState::of(deliver, Some(&report), Some(&publication));
            assert_eq!(found, state, "{deliver:?} {epoch} {digest}");
        }
        let nothing = SubscriberState::of(Delivery::Digest, Some(&serving(1)), None);
        assert_eq!(nothing, SubscriberState::Pending);
    }

    #[test]
    fn a_mount_that_is_rejected_is_refused_and_so_is_the_published_generation_and_no_other() {
        for (digest, state) in [
            (None, SubscriberState::Refused),
            (Some([1; 32].into()), SubscriberState::Refused),
            (Some([2; 32].into()), SubscriberState::Behind),
        ] {
            let report = Report { digest, ..refusing() };
            assert_eq!(SubscriberState::of(Delivery::Digest, Some(&report), Some(&publication())), state);
        }
        let found = SubscriberState::of(Delivery::Full, Some(&refusing()), Some(&publication()));
        assert_eq!(found, SubscriberState::Behind, "who is sent all of it always has a digest");
    }

    #[test]
    fn the_reason_is_what_it_reported_last() {
        let reason = |report: Option<&Report>| reason(report, &publication());
        assert_eq!(reason(None), "it has not reported yet");
        assert_eq!(reason(Some(&serving(0xab))), "it still serves abababababab");
        assert_eq!(reason(Some(&serving(1))), "it has not reported on this generation yet");
        assert_eq!(reason(Some(&refusing())), "no name [credential]");
        let other = Report { digest: Some([0xab; 32].into()), ..refusing() };
        assert_eq!(reason(Some(&other)), "it refused abababababab: no name [credential]");
    }

    fn publication() -> Publication {
        Publication {
            epoch: 7,
            generation: 3,
            digest: Digest::from([1; 32]),
            published_at: SystemTime::UNIX_EPOCH,
            stored: Instant::now(),
        }
    }

    fn serving(digest: u8) -> Report {
        Report { digest: Some([digest; 32].into()), outcome: Some(Outcome::Current), ..Report::default() }
    }

    fn refusing() -> Report {
        let refused = Refused { code: RefusedCode::Credential, detail: "no name".to_owned() };
        Report { outcome: Some(Outcome::Refused(refused)), ..Report::default() }
    }
}
