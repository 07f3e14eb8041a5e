//! `allow`: who may have an identity.

use std::str::FromStr;

use toml::Spanned;

use super::error::Problem;
use super::{at, file};
use crate::attest::{Policy, Rule};

/// Who may have the identity of one `[[identity]]`. Names of users and groups are not looked up yet.
pub(super) fn policy(entry: &file::Identity) -> Result<Policy, Spanned<Problem>> {
    let Some(texts) = &entry.allow else { return Ok(Policy::default()) };
    if texts.is_empty() {
        return Err(at(&entry.name, Problem::AllowNobody));
    }
    let mut rules = Vec::with_capacity(texts.len());
    for text in texts {
        let rule = Rule::from_str(text.get_ref()).map_err(|error| at(text, error.into()))?;
        if rules.contains(&rule) {
            return Err(at(text, Problem::RuleTwice));
        }
        rules.push(rule);
    }
    Ok(Policy(rules.into()))
}
