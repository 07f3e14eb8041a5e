//! `allow`: who may have an identity.

use std::str::FromStr;

use toml::Spanned;

use super::error::Problem;
use super::spanned::at;
use crate::policy::{Policy, Rule};

/// The policy of an identity, by the `allow` beside `named`. Names of users and groups are not looked up yet.
pub(super) fn policy(allow: Option<&[Spanned<String>]>, named: &Spanned<String>) -> Result<Policy, Spanned<Problem>> {
    let Some(texts) = allow else { return Ok(Policy::default()) };
    if texts.is_empty() {
        return Err(at(named, Problem::AllowNobody));
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
