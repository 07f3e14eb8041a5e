//! Where in a document something is, as far as the texts in it tell.

use super::error::{InvalidA43, RuleList};

/// Where what this error is about begins, in bytes; `None` where no text of the document tells.
pub(in crate::auth::policy) fn of_error(json: &str, error: &InvalidA43) -> Option<usize> {
    let list = |list: &RuleList| key(json, &list.to_string());
    let rule = |of: &RuleList, rule: &str| text_after(json, list(of).unwrap_or(0), rule);
    match error {
        // The parser says it in words.
        InvalidA43::Json(_) | InvalidA43::TooLong { .. } | InvalidA43::NoName | InvalidA43::NoAllowRules => None,
        InvalidA43::RuleWithoutName { list: of, .. } => list(of),
        InvalidA43::DuplicateRule { list: of, rule: name } => {
            let first = rule(of, name)?;
            text_after(json, first + 1, name).or(Some(first))
        }
        InvalidA43::HeaderWithoutKey { list: of, rule: name, .. } => rule(of, name),
        InvalidA43::UnsupportedHeader { list: of, rule: name, key }
        | InvalidA43::ImpossibleHeader { list: of, rule: name, key }
        | InvalidA43::HeaderWithoutValues { list: of, rule: name, key } => {
            let rule = rule(of, name);
            text_after(json, rule.unwrap_or(0), key).or(rule)
        }
        InvalidA43::UnknownCondition { condition } => text(json, condition),
        InvalidA43::LoggerWithoutName { .. } => key(json, "audit_loggers"),
        InvalidA43::UnknownLogger { logger } => text(json, logger),
    }
}

/// Where a value first is that is this text.
pub(in crate::auth::policy) fn text(json: &str, text: &str) -> Option<usize> {
    text_after(json, 0, text)
}

fn text_after(json: &str, start: usize, text: &str) -> Option<usize> {
    quoted(json, start, text, false)
}

fn key(json: &str, key: &str) -> Option<usize> {
    quoted(json, 0, key, true)
}

/// Where this text is in quotes, as a key or as a value. One that is written with other escapes than are needed is not found.
fn quoted(json: &str, start: usize, text: &str, is_key: bool) -> Option<usize> {
    let quoted = serde_json::to_string(text).ok()?;
    let rest = json.get(start..)?;
    let is_one = |at: &usize| rest[at + quoted.len()..].trim_start().starts_with(':') == is_key;
    rest.match_indices(&quoted).map(|(at, _)| at).find(is_one).map(|at| start + at)
}
