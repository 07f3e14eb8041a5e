//! The policy of an identity of the node: `allow`, as it is configured. Callers are matched with rules where they are attested.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::callers::PodName;

/// The suffix of a unit that may be named.
const SERVICE: &str = ".service";

/// The number that stands for no user and no group.
const NOBODY: u32 = u32::MAX;

/// The whole list of who may have an identity; the first rule that fits lets a caller in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy(pub(crate) Arc<[Rule]>);

/// One entry of `allow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Callers that owner, group, mode and ACL of the key file let read it.
    Readers,
    /// A user, by number or name; a name that nobody has on this node fits nobody.
    User { name: Option<Arc<str>>, uid: Option<u32> },
    /// A group, by number or name.
    Group { name: Option<Arc<str>>, gid: Option<u32> },
    /// A service of the system manager's, such as `payments.service`.
    Unit(Arc<str>),
    /// A pod, by what it is called.
    Pod { namespace: Arc<str>, name: Arc<str> },
}

impl Default for Policy {
    fn default() -> Self {
        Self([Rule::Readers].into())
    }
}

/// A text that is no rule. Carries nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuleError {
    /// It begins with nothing that is known.
    #[error(
        "this is no rule; there are \"readers\", \"uid:NUMBER\", \"user:NAME\", \"gid:NUMBER\", \"group:NAME\", \
         \"unit:NAME.service\" and \"pod:NAMESPACE/NAME\""
    )]
    Unknown,
    /// Nothing here stands for several.
    #[error("this rule holds a wildcard; a rule names one user, group, unit or pod: write one rule for each")]
    Wildcard,
    /// No number of a user or group.
    #[error(
        "this rule names no number; write one from 0 to 4294967294, such as \"uid:1001\", or a name, such as \"user:payments\""
    )]
    Number,
    /// No name of a user or group.
    #[error(
        "this rule names nobody; write a name without blanks and without {forbidden}, or the number: \"{number}:1001\""
    )]
    Name {
        /// Characters no name holds.
        forbidden: &'static str,
        /// The word for a rule with a number.
        number: &'static str,
    },
    /// A number where a name belongs.
    #[error("this rule names a number; write it as \"{number}:NUMBER\"")]
    NumberAsName {
        /// The word for a rule with a number.
        number: &'static str,
    },
    /// No name of a service.
    #[error("this rule names no service; write the unit's whole name, such as \"unit:payments.service\"")]
    Unit,
    /// No name of a pod.
    #[error("this rule names no pod; write its namespace and its name, such as \"pod:shop/payments-0\"")]
    Pod,
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(rule: &str) -> Result<Self, RuleError> {
        if rule == "readers" {
            return Ok(Self::Readers);
        }
        let (kind, value) = rule.split_once(':').ok_or(RuleError::Unknown)?;
        let known = ["uid", "user", "gid", "group", "unit", "pod"];
        if !known.contains(&kind) {
            return Err(RuleError::Unknown);
        }
        if value.contains(['*', '?', '[']) {
            return Err(RuleError::Wildcard);
        }
        match kind {
            "uid" => Ok(Self::User { name: None, uid: Some(number(value)?) }),
            "user" => Ok(Self::User { name: Some(account(value, "uid")?), uid: None }),
            "gid" => Ok(Self::Group { name: None, gid: Some(number(value)?) }),
            "group" => Ok(Self::Group { name: Some(account(value, "gid")?), gid: None }),
            "unit" if is_service(value) => Ok(Self::Unit(value.into())),
            "unit" => Err(RuleError::Unit),
            _ => match value.split_once('/').and_then(|(namespace, name)| PodName::new(namespace, name)) {
                Some(PodName { namespace, name }) => Ok(Self::Pod { namespace, name }),
                None => Err(RuleError::Pod),
            },
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Readers => f.write_str("readers"),
            Self::User { name: Some(name), .. } => write!(f, "user:{name}"),
            Self::User { name: None, uid } => write!(f, "uid:{}", uid.unwrap_or(NOBODY)),
            Self::Group { name: Some(name), .. } => write!(f, "group:{name}"),
            Self::Group { name: None, gid } => write!(f, "gid:{}", gid.unwrap_or(NOBODY)),
            Self::Unit(unit) => write!(f, "unit:{unit}"),
            Self::Pod { namespace, name } => write!(f, "pod:{namespace}/{name}"),
        }
    }
}

fn number(value: &str) -> Result<u32, RuleError> {
    let is_plain = value.bytes().all(|b| b.is_ascii_digit());
    value.parse().ok().filter(|number| is_plain && *number != NOBODY).ok_or(RuleError::Number)
}

/// The name of a user or group, of whatever shape the databases of the node allow.
fn account(value: &str, number: &'static str) -> Result<Arc<str>, RuleError> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Err(RuleError::NumberAsName { number });
    }
    if value.is_empty() || value.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | '/')) {
        return Err(RuleError::Name { forbidden: "':' and '/'", number });
    }
    Ok(value.into())
}

/// systemd.unit(5): the characters of a unit's name.
fn is_service(name: &str) -> bool {
    let is_known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'-' | b'_' | b'.' | b'\\' | b'@');
    name.strip_suffix(SERVICE).is_some_and(|prefix| !prefix.is_empty() && prefix.bytes().all(is_known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_written_as_it_is_read() {
        for rule in [
            "readers",
            "uid:0",
            "uid:4294967294",
            "user:payments",
            "user:CORP\\jane.doe@example.org",
            "gid:7",
            "group:tls",
            "unit:payments@2.service",
            "unit:dbus-org.x\\x2d1.service",
            "pod:shop/payments-0",
        ] {
            assert_eq!(rule.parse::<Rule>().unwrap().to_string(), rule);
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_with_what_to_write() {
        for (rule, sentence) in [
            ("reader", "there are \"readers\", \"uid:NUMBER\""),
            ("", "there are \"readers\""),
            ("Uid:1", "there are"),
            ("*", "there are"),
            ("uid:*", "holds a wildcard"),
            ("user:pay*", "write one rule for each"),
            ("pod:shop/*", "holds a wildcard"),
            ("uid:", "names no number"),
            ("uid:+1", "names no number"),
            ("uid:-1", "names no number"),
            ("gid:4294967295", "from 0 to 4294967294"),
            ("user:", "names nobody"),
            ("group:a b", "names nobody"),
            ("user:1000", "names a number; write it as \"uid:NUMBER\""),
            ("group:5", "write it as \"gid:NUMBER\""),
            ("unit:payments", "the unit's whole name, such as \"unit:payments.service\""),
            ("unit:.service", "names no service"),
            ("unit:user.slice", "names no service"),
            ("unit:a/b.service", "names no service"),
            ("pod:payments-0", "its namespace and its name"),
            ("pod:shop/", "names no pod"),
            ("pod:shop/a/b", "names no pod"),
            ("pod:Shop/a", "names no pod"),
        ] {
            let error = rule.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(sentence), "{rule}: {error}");
        }
    }
}
