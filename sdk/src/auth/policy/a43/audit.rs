//! Which decisions a policy wants audited, and by what (A59).

use serde::Deserialize;
use serde_json::{Map, Value};

use super::document::{Audit, Logger};
use super::error::InvalidA43;
use super::object::Read;

/// The logger that every implementation of gRPC has: events as JSON lines on the standard output.
pub const STDOUT_LOGGER: &str = "stdout_logger";

/// The `audit_logging_options` of a policy: which decisions are audited, and where events go.
#[derive(Debug, Clone, Default)]
pub struct AuditOptions {
    condition: AuditCondition,
    loggers: Vec<AuditLoggerConfig>,
}

/// Which decisions are audited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "kebab-case")]
pub enum AuditCondition {
    /// None of them.
    #[default]
    #[serde(rename = "none")]
    Never,
    /// Those that deny.
    OnDeny,
    /// Those that allow.
    OnAllow,
    /// All of them.
    #[serde(rename = "on-deny-and-allow")]
    Always,
}

impl AuditCondition {
    /// Whether it is about a decision that allows, or about one that denies.
    #[must_use]
    pub fn concerns(self, is_allowed: bool) -> bool {
        match self {
            Self::Never => false,
            Self::OnDeny => !is_allowed,
            Self::OnAllow => is_allowed,
            Self::Always => true,
        }
    }
}

/// A logger of audit events, as a policy asks for it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AuditLoggerConfig {
    /// Its name: [`STDOUT_LOGGER`].
    pub name: String,
    /// Its configuration. The standard output has none, and leaves it unread.
    pub config: Map<String, Value>,
}

impl AuditOptions {
    /// Which decisions are audited, if there is a logger.
    #[must_use]
    pub fn condition(&self) -> AuditCondition {
        self.condition
    }

    /// Where each event goes. Optional loggers that are not known are left out.
    #[must_use]
    pub fn loggers(&self) -> &[AuditLoggerConfig] {
        &self.loggers
    }

    /// Whether a decision that allows, or one that denies, is to be audited.
    #[must_use]
    pub fn concern(&self, is_allowed: bool) -> bool {
        self.condition.concerns(is_allowed) && !self.loggers.is_empty()
    }

    pub(super) fn of(audit: Audit) -> Result<Self, InvalidA43> {
        let condition = match &*audit.condition {
            "" | "NONE" => AuditCondition::Never,
            "ON_DENY" => AuditCondition::OnDeny,
            "ON_ALLOW" => AuditCondition::OnAllow,
            "ON_DENY_AND_ALLOW" => AuditCondition::Always,
            _ => return Err(InvalidA43::UnknownCondition { condition: audit.condition }),
        };
        let mut loggers = Vec::new();
        for (index, Read(logger)) in audit.loggers.into_iter().enumerate() {
            let Logger { name, config, is_optional } = logger;
            // The name is the end of a type's URL, of which what is before the last slash does not count.
            match name.rsplit('/').next().unwrap_or_default() {
                "" => return Err(InvalidA43::LoggerWithoutName { index }),
                STDOUT_LOGGER => loggers.push(AuditLoggerConfig { name: STDOUT_LOGGER.to_owned(), config: config.0 }),
                _ if is_optional => {}
                _ => return Err(InvalidA43::UnknownLogger { logger: name }),
            }
        }
        Ok(Self { condition, loggers })
    }
}
