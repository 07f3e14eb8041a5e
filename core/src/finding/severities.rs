//! The severities that one identity's findings have where they differ from the table's.

use std::collections::BTreeMap;

use super::{Check, Finding, Severity, Subject};

/// The severities of findings where something else is wanted than the table says: a value of this holds nothing that would be no
/// sound wish.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Severities(BTreeMap<Check, Severity>);

/// A severity that a check cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SeverityError {
    /// Nobody could use what would be admitted.
    #[error("{0} always rejects, since no handshake can use what it finds; remove it, or write \"reject\"")]
    Fatal(Check),
    /// A bundle or list would be refused that can be used, and an older one stay in force.
    #[error(
        "{0} is about files or about trust, and what can be used of them is not rejected; write \"info\" or \"warn\""
    )]
    NotRejected(Check),
    /// It is told of the node, not of one identity's files.
    #[error("{0} is not judged for one identity, so its severity stays; remove it")]
    OfNode(Check),
}

impl Severities {
    /// Lets the findings of a check have this severity.
    ///
    /// # Errors
    ///
    /// [`SeverityError::OfNode`] if the check is not judged for one identity, [`SeverityError::Fatal`] if what it finds cannot be
    /// used whatever is wanted, and [`SeverityError::NotRejected`] if it is of trust or of files that are used without what it finds.
    pub fn set(&mut self, check: Check, severity: Severity) -> Result<(), SeverityError> {
        match check.subject() {
            Subject::Node => return Err(SeverityError::OfNode(check)),
            _ if check.is_fatal() && severity < Severity::Reject => return Err(SeverityError::Fatal(check)),
            Subject::Files | Subject::Trust if !check.is_fatal() && severity == Severity::Reject => {
                return Err(SeverityError::NotRejected(check));
            }
            _ => {}
        }
        self.0.insert(check, severity);
        Ok(())
    }

    /// The finding with the severity that it is to have. What rejects files or trust cannot be used, and rejects whatever is wanted.
    #[must_use]
    pub fn applied(&self, mut finding: Finding) -> Finding {
        let is_unusable = finding.check.subject() != Subject::Credential && finding.severity == Severity::Reject;
        if let Some(severity) = self.0.get(&finding.check).filter(|_| !is_unusable) {
            finding.severity = *severity;
        }
        finding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_severity_is_what_is_wanted_unless_that_would_admit_what_nobody_can_use_or_reject_trust() {
        let set = |check, severity| Severities::default().set(check, severity);
        assert_eq!(set(Check::ChainOrder, Severity::Reject), Ok(()));
        assert_eq!(set(Check::NameMissing, Severity::Info), Ok(()));
        assert_eq!(set(Check::KeyMismatch, Severity::Reject), Ok(()));
        assert_eq!(set(Check::AnchorExpired, Severity::Info), Ok(()));
        for severity in [Severity::Info, Severity::Warn] {
            assert_eq!(set(Check::KeyMismatch, severity), Err(SeverityError::Fatal(Check::KeyMismatch)));
        }
        assert_eq!(set(Check::AnchorExpired, Severity::Reject), Err(SeverityError::NotRejected(Check::AnchorExpired)));
        assert_eq!(set(Check::NameCollision, Severity::Info), Err(SeverityError::OfNode(Check::NameCollision)));
    }

    #[test]
    fn a_bundle_that_is_of_no_use_rejects_whatever_is_wanted() {
        let mut severities = Severities::default();
        severities.set(Check::AnchorUnusable, Severity::Info).unwrap();
        let applied =
            |severity| severities.applied(Finding::new(Check::AnchorUnusable, severity, "A sentence.")).severity;
        assert_eq!(applied(Severity::Warn), Severity::Info);
        assert_eq!(applied(Severity::Reject), Severity::Reject);
    }
}
