//! A policy as an `AuthorizationPolicy` of Istio's, as far as that can say the same.
//!
//! What is written allows nothing that the policy does not: where Istio would read something otherwise, it is narrower or refused.

mod gap;
mod source;

use std::fmt::Write as _;

use serde_json::{Value, json};

pub use gap::IstioGap;

use super::condition::Effect;
use super::rules::{Compiled, Rules};
use super::snapshot::Policy;

/// Where the resource belongs.
#[derive(Debug, Clone, Default)]
pub struct IstioResource {
    /// Its name, and the beginning of those of the others that a policy takes.
    pub name: String,
    /// Its namespace, if it is to be written.
    pub namespace: Option<String>,
    /// The labels of the pods that it is for; all of the namespace without any.
    pub labels: Vec<(String, String)>,
}

/// A policy, or a rule of it, that Istio cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotExpressible {
    /// A rule asks for what Istio does not have.
    #[error("rule {rule:?} cannot be told to Istio: {gap}")]
    #[non_exhaustive]
    Rule {
        /// Its name.
        rule: String,
        /// What is in the way, and what to do about it.
        gap: IstioGap,
    },
    /// All of it is a dry run.
    #[error(
        "the policy is a dry run as a whole, in which callers are let through who have proven who they are and all others are held to it; \
         Istio can have each rule enforced or not. Remove `dry_run`, or set it on rules"
    )]
    DryRun,
    /// It includes or is a document of gRPC's own form.
    #[error(
        "documents of gRPC's own form cannot be told to Istio, since of several policies there any one allows; export a policy without \
         `include`"
    )]
    Included,
}

impl Policy {
    /// The resources of Istio that say the same, as YAML: one for what is denied, one for what is allowed, and each again for dry runs.
    ///
    /// # Errors
    ///
    /// Something in the policy cannot be said there.
    pub fn to_istio(&self, resource: &IstioResource) -> Result<String, NotExpressible> {
        let Some(rules) = self.rules.as_ref().filter(|_| self.included.is_empty()) else {
            return Err(NotExpressible::Included);
        };
        if self.is_dry_run {
            return Err(NotExpressible::DryRun);
        }
        let mut text = String::new();
        for (effect, action, suffix) in [(Effect::Deny, "DENY", "-deny"), (Effect::Allow, "ALLOW", "-allow")] {
            for is_dry_run in [false, true] {
                let written = written(rules, effect, is_dry_run)?;
                if written.is_empty() {
                    continue;
                }
                let suffix = format!("{suffix}{}", if is_dry_run { "-dry-run" } else { "" });
                let document = document(resource, &suffix, action, is_dry_run, &written);
                // Writing to a text does not fail.
                _ = write!(text, "{}{}", if text.is_empty() { "" } else { "---\n" }, yaml(&document));
            }
        }
        Ok(text)
    }
}

fn written(rules: &Rules, effect: Effect, is_dry_run: bool) -> Result<Vec<Value>, NotExpressible> {
    let of_kind = |rule: &&Compiled| rule.effect == effect && rule.is_dry_run == is_dry_run;
    let mut all = Vec::new();
    for rule in rules.all().iter().filter(of_kind) {
        let paths: Vec<_> = rule.methods.iter().map(ToString::to_string).collect();
        let not_expressible = |gap| NotExpressible::Rule { rule: rule.name.to_string(), gap };
        for alternative in &rule.alternatives {
            for (from, when) in source::of(&alternative.0, effect).map_err(not_expressible)? {
                let mut written = json!({ "to": [{ "operation": { "paths": paths } }] });
                let beside = rules.rows_beside(rule);
                if !beside.is_empty() {
                    written["to"][0]["operation"]["notPaths"] = json!(beside);
                }
                if let Some(source) = from {
                    written["from"] = json!([{ "source": source }]);
                }
                if !when.is_empty() {
                    written["when"] = Value::Array(when);
                }
                all.push(written);
            }
        }
    }
    Ok(all)
}

fn document(resource: &IstioResource, suffix: &str, action: &str, is_dry_run: bool, rules: &[Value]) -> Value {
    let mut metadata = json!({ "name": format!("{}{suffix}", resource.name) });
    if let Some(namespace) = &resource.namespace {
        metadata["namespace"] = json!(namespace);
    }
    if is_dry_run {
        metadata["annotations"] = json!({ "istio.io/dry-run": "true" });
    }
    let mut spec = json!({ "action": action, "rules": rules });
    if !resource.labels.is_empty() {
        let labels: serde_json::Map<_, _> =
            resource.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        spec["selector"] = json!({ "matchLabels": labels });
    }
    json!({ "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec })
}

/// The value in YAML's block style, of which every text is in quotes as JSON has them: each such text is one in YAML too.
fn yaml(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0, false);
    text
}

/// Writes a value of which the first line is begun already where it is the element of a list.
fn block(text: &mut String, value: &Value, depth: usize, is_element: bool) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (number, (key, value)) in fields.iter().enumerate() {
                let indent = if is_element && number == 0 { "" } else { &indent };
                text.push_str(indent);
                text.push_str(&key_text(key));
                text.push(':');
                child(text, value, depth);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                text.push_str(&indent);
                text.push_str("- ");
                if element.is_object() {
                    block(text, element, depth + 1, true);
                } else {
                    _ = writeln!(text, "{element}");
                }
            }
        }
        scalar => _ = writeln!(text, "{indent}{scalar}"),
    }
}

fn child(text: &mut String, value: &Value, depth: usize) {
    if value.is_object() || value.is_array() {
        text.push('\n');
        block(text, value, depth + 1, false);
    } else {
        _ = writeln!(text, " {value}");
    }
}

fn key_text(key: &str) -> String {
    let is_plain = key.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_plain { key.to_owned() } else { Value::from(key).to_string() }
}
