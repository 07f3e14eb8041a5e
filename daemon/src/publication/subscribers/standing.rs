//! How a subscriber stands to what is published, by its last report.

use std::fmt::Write as _;

use evercert_api::v1;
use v1::report::Outcome;

use crate::publication::Publication;

/// How much of a digest is said, in bytes: enough to tell the generations of one identity apart.
const DIGEST: usize = 6;

/// What a subscriber's last report means for what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

    pub(super) fn of(deliver: v1::Deliver, report: Option<&v1::Report>, publication: Option<&Publication>) -> Self {
        let Some(publication) = publication else { return Self::Pending };
        let Some(report) = report.filter(|report| names(deliver, report, publication)) else { return Self::Behind };
        match &report.outcome {
            Some(Outcome::Refused(_)) => Self::Refused,
            Some(Outcome::Stage(stage)) => match v1::Stage::try_from(*stage) {
                Ok(v1::Stage::Current) => Self::Current,
                Ok(v1::Stage::Settled) => Self::Settled,
                Ok(v1::Stage::Unspecified) | Err(_) => Self::Behind,
            },
            None => Self::Behind,
        }
    }
}

/// Whether `report` speaks of `publication` and no other.
fn names(deliver: v1::Deliver, report: &v1::Report, publication: &Publication) -> bool {
    let is_its_content = report.digest == publication.digest.as_bytes();
    match deliver {
        // What it could not read to the end has no digest: it is what is mounted.
        v1::Deliver::Digest => {
            is_its_content || report.digest.is_empty() && matches!(report.outcome, Some(Outcome::Refused(_)))
        }
        v1::Deliver::Full | v1::Deliver::Unspecified => {
            is_its_content && report.epoch == publication.epoch && report.generation == publication.generation
        }
    }
}

/// Why a subscriber with this report is behind of `publication`.
pub(super) fn reason(report: Option<&v1::Report>, publication: &Publication) -> String {
    let Some(report) = report else { return "it has not reported yet".to_owned() };
    match &report.outcome {
        Some(Outcome::Refused(refused)) => {
            let detail = if refused.detail.is_empty() { "no reason given" } else { &refused.detail };
            let refusal = format!("{detail} [{}]", code(refused.code()));
            match &report.digest[..] {
                digest if digest.is_empty() || digest == publication.digest.as_bytes() => refusal,
                digest => format!("it refused {}: {refusal}", short(digest)),
            }
        }
        Some(Outcome::Stage(_)) if report.digest != publication.digest.as_bytes() => {
            format!("it still serves {}", short(&report.digest))
        }
        Some(Outcome::Stage(_)) | None => "it has not reported on this generation yet".to_owned(),
    }
}

fn code(code: v1::RefusedCode) -> &'static str {
    match code {
        v1::RefusedCode::Malformed => "malformed",
        v1::RefusedCode::Credential => "credential",
        v1::RefusedCode::Bundle => "bundle",
        v1::RefusedCode::Incomplete => "incomplete",
        v1::RefusedCode::Unspecified => "no code",
    }
}

fn short(digest: &[u8]) -> String {
    digest.iter().take(DIGEST).fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use evercert_core::digest::Digest;

    use super::*;

    #[test]
    fn who_reads_its_own_mount_is_compared_by_content_and_nobody_else() {
        use SubscriberState::{Behind, Current};
        let publication = publication();
        for (deliver, epoch, digest, state) in [
            (v1::Deliver::Digest, 0, 1, Current),
            (v1::Deliver::Digest, 7, 1, Current),
            (v1::Deliver::Digest, 7, 2, Behind),
            (v1::Deliver::Full, 7, 1, Current),
            (v1::Deliver::Full, 0, 1, Behind),
            (v1::Deliver::Unspecified, 0, 1, Behind),
        ] {
            let report = v1::Report { epoch, generation: 3, ..serving(digest) };
            let found = SubscriberState::of(deliver, Some(&report), Some(&publication));
            assert_eq!(found, state, "{deliver:?} {epoch} {digest}");
        }
        let nothing = SubscriberState::of(v1::Deliver::Digest, Some(&serving(1)), None);
        assert_eq!(nothing, SubscriberState::Pending);
    }

    #[test]
    fn a_mount_that_is_rejected_is_refused_and_so_is_the_published_generation_and_no_other() {
        for (digest, state) in [
            (Vec::new(), SubscriberState::Refused),
            (vec![1; 32], SubscriberState::Refused),
            (vec![2; 32], SubscriberState::Behind),
        ] {
            let report = v1::Report { digest, ..refusing() };
            assert_eq!(SubscriberState::of(v1::Deliver::Digest, Some(&report), Some(&publication())), state);
        }
        let found = SubscriberState::of(v1::Deliver::Full, Some(&refusing()), Some(&publication()));
        assert_eq!(found, SubscriberState::Behind, "who is sent all of it always has a digest");
    }

    #[test]
    fn the_reason_is_what_it_reported_last() {
        let reason = |report: Option<&v1::Report>| reason(report, &publication());
        assert_eq!(reason(None), "it has not reported yet");
        assert_eq!(reason(Some(&serving(0xab))), "it still serves abababababab");
        assert_eq!(reason(Some(&serving(1))), "it has not reported on this generation yet");
        assert_eq!(reason(Some(&refusing())), "no name [credential]");
        let other = v1::Report { digest: vec![0xab; 32], ..refusing() };
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

    fn serving(digest: u8) -> v1::Report {
        let outcome = Some(Outcome::Stage(v1::Stage::Current.into()));
        v1::Report { digest: vec![digest; 32], outcome, ..v1::Report::default() }
    }

    fn refusing() -> v1::Report {
        let refused = v1::Refused { code: v1::RefusedCode::Credential.into(), detail: "no name".to_owned() };
        v1::Report { outcome: Some(Outcome::Refused(refused)), ..v1::Report::default() }
    }
}
