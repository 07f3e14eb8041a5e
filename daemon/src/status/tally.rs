//! How many identities there are, and how many of them need somebody's attention: that all are served is not that all is well.

use std::fmt;
use std::time::SystemTime;

use evercert_core::finding::{Check, Severity};
use evercert_core::keeper::IdentityState;

use super::{Identity, StatusReport};

/// The counts with which `evercertd status` and `/readyz` begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    all: usize,
    served: usize,
    expired: usize,
    held: usize,
    rejected: usize,
}

/// What counts of one identity.
struct Standing {
    is_served: bool,
    is_expired: bool,
    /// What is on disk waits for its begin.
    is_held: bool,
    /// What is on disk was rejected for another reason.
    is_rejected: bool,
}

impl Standing {
    /// Of an identity with these findings, by their names, whose leaf ends then.
    fn new<'a>(
        is_served: bool,
        end: Option<SystemTime>,
        findings: impl Iterator<Item = (&'a str, Severity)> + Clone,
        now: SystemTime,
    ) -> Self {
        let mut rejecting = findings.filter(|(_, severity)| *severity == Severity::Reject).map(|(check, _)| check);
        Self {
            is_served,
            is_expired: end.is_some_and(|end| end < now),
            is_held: rejecting.clone().any(|check| check == Check::NotYetValid.as_str()),
            is_rejected: rejecting.any(|check| check != Check::NotYetValid.as_str()),
        }
    }
}

impl Tally {
    /// Of what a report tells of.
    pub(crate) fn of_report(report: &StatusReport, now: SystemTime) -> Self {
        let standing = |identity: &Identity| {
            let end = identity.leaf.as_ref().and_then(|leaf| leaf.not_after.0);
            let findings = identity.findings.iter().map(|finding| (&*finding.check, finding.severity));
            Standing::new(identity.generation.is_some(), end, findings, now)
        };
        report.identities.iter().map(standing).collect()
    }

    /// Of identities in these states; absent: its files were not read yet.
    pub(crate) fn of_states<'a>(states: impl Iterator<Item = Option<&'a IdentityState>>, now: SystemTime) -> Self {
        let standing = |state: Option<&IdentityState>| {
            let snapshot = state.and_then(|state| state.snapshot.as_ref());
            let end = snapshot.and_then(|snapshot| snapshot.credential()).map(|credential| credential.leaf().not_after);
            let findings = state.into_iter().flat_map(|state| state.findings.iter());
            let findings = findings.map(|finding| (finding.check.as_str(), finding.severity));
            Standing::new(snapshot.is_some(), end, findings, now)
        };
        states.map(standing).collect()
    }
}

impl FromIterator<Standing> for Tally {
    fn from_iter<T: IntoIterator<Item = Standing>>(standings: T) -> Self {
        standings.into_iter().fold(Self::default(), |tally, standing| Self {
            all: tally.all + 1,
            served: tally.served + usize::from(standing.is_served),
            expired: tally.expired + usize::from(standing.is_expired),
            held: tally.held + usize::from(standing.is_held),
            rejected: tally.rejected + usize::from(standing.is_rejected),
        })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { all, served, expired, held, rejected } = self;
        let plural = if *all == 1 { "identity" } else { "identities" };
        write!(f, "{served} of {all} {plural} served, {expired} expired, {held} held back, {rejected} rejected")
    }
}
