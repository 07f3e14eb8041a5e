//! What Istio calls the source of a request, and its further conditions.

use std::collections::BTreeSet;

use evercert_core::spiffe::SCHEME;
use serde_json::{Value, json};

use super::gap::IstioGap;
use crate::auth::policy::condition::{Attribute, ClaimTexts, Condition, Effect, When};
use crate::auth::policy::pattern::{RequestPrincipal, SpiffePattern, namespace};
use crate::auth::policy::written::DEFAULT_SCOPES;

/// Who fits: a source, if one is asked for, and conditions that have to hold beside it.
type Fitting = (Option<Value>, Vec<Value>);

/// The sources that fit where all these conditions hold: one of them has to.
///
/// # Errors
///
/// Istio has no words for one of the conditions.
pub(super) fn of(conditions: &[Condition], effect: Effect) -> Result<Vec<Fitting>, IstioGap> {
    let mut names = Names::default();
    let (mut when, mut is_token, mut is_any) = (Vec::new(), false, false);
    let mut request_principals = None;
    for condition in conditions {
        match condition {
            // In doubt our rules deny and Istio's do not.
            _ if effect == Effect::Deny && condition.is_about_spiffe_id() => {
                return Err(IstioGap::DeniedSpiffeIds);
            }
            Condition::Roles(_) | Condition::Scopes(_) if effect == Effect::Deny => {
                return Err(IstioGap::DeniedRoles);
            }
            Condition::Authenticated => is_any = true,
            Condition::Certificate => names.is_asked_for = true,
            Condition::Token => is_token = true,
            Condition::SpiffeIds(ids) => names.ids = Some(ids),
            Condition::TrustDomains(domains) => {
                names.trust_domains = Some(domains.iter().map(|domain| domain.as_str()).collect());
            }
            Condition::Namespaces(namespaces) => {
                names.namespaces = Some(namespaces.iter().map(|name| &**name).collect())
            }
            Condition::DnsNames(_) => return Err(IstioGap::DnsNames),
            Condition::Roles(texts) | Condition::Scopes(texts) => {
                is_token = true;
                when.push(claim(texts)?);
            }
            Condition::RequestPrincipals(principals) => request_principals = Some(principals),
            Condition::When(demand) => {
                is_token |= matches!(demand.attribute, Attribute::Claim(_));
                when.push(attribute(demand, effect)?);
            }
        }
    }
    let principals = names.principals()?;
    let source = |principals: Option<&BTreeSet<String>>, of_token: Option<&str>| {
        let mut source = json!({});
        if let Some(principals) = principals {
            source["principals"] = json!(principals);
        }
        if let Some(of_token) = of_token {
            source["requestPrincipals"] = json!([of_token]);
        }
        source.as_object().is_some_and(|fields| !fields.is_empty()).then_some(source)
    };
    if let Some(request_principals) = request_principals {
        let each = |principal: &RequestPrincipal| {
            let mut when = when.clone();
            // Istio compares issuer and subject as one text; the issuer by itself tells which part is which. What denies does so however
            // the text could be read.
            if effect == Effect::Deny {
                return Ok((source(principals.as_ref(), Some(principal.as_str())), when));
            }
            when.push(json!({ "key": "request.auth.claims[iss]", "values": [plain(principal.issuer())?] }));
            Ok((source(principals.as_ref(), Some(principal.as_str())), when))
        };
        return request_principals.iter().map(each).collect();
    }
    let of_token = is_token.then_some("*");
    if is_any && principals.is_none() && of_token.is_none() {
        let any = BTreeSet::from(["*".to_owned()]);
        return Ok(vec![(source(Some(&any), None), when.clone()), (source(None, Some("*")), when)]);
    }
    Ok(vec![(source(principals.as_ref(), of_token), when)])
}

/// What is asked of the SPIFFE ID in a certificate.
#[derive(Default)]
struct Names<'a> {
    is_asked_for: bool,
    ids: Option<&'a [SpiffePattern]>,
    trust_domains: Option<Vec<&'a str>>,
    namespaces: Option<Vec<&'a str>>,
}

impl Names<'_> {
    /// Istio's principals, which are SPIFFE IDs without their scheme; `None` where nothing is asked.
    fn principals(&self) -> Result<Option<BTreeSet<String>>, IstioGap> {
        let is_of_domain = |pattern: &&SpiffePattern| {
            let domain = pattern.trust_domain().as_str();
            self.trust_domains.as_ref().is_none_or(|domains| domains.contains(&domain))
        };
        let bare = |pattern: &SpiffePattern| pattern.to_string().trim_start_matches(SCHEME).to_owned();
        let principals: BTreeSet<_> = match (self.ids, &self.trust_domains, &self.namespaces) {
            (Some(ids), _, None) => ids.iter().filter(is_of_domain).map(bare).collect(),
            (Some(ids), _, Some(namespaces)) => {
                let is_in = |pattern: &SpiffePattern| match pattern {
                    SpiffePattern::Id(id) => Ok(namespace(id).is_some_and(|name| namespaces.contains(&name))),
                    SpiffePattern::Beneath { .. } => Err(IstioGap::NamespacesBeneath),
                };
                let mut principals = BTreeSet::new();
                for pattern in ids.iter().filter(is_of_domain) {
                    if is_in(pattern)? {
                        principals.insert(bare(pattern));
                    }
                }
                principals
            }
            (None, Some(domains), None) => domains.iter().map(|domain| format!("{domain}/*")).collect(),
            (None, Some(domains), Some(namespaces)) => domains
                .iter()
                .flat_map(|domain| namespaces.iter().map(move |name| format!("{domain}/ns/{name}/sa/*")))
                .collect(),
            (None, None, Some(_)) => return Err(IstioGap::NamespacesAlone),
            (None, None, None) if self.is_asked_for => BTreeSet::from(["*".to_owned()]),
            (None, None, None) => return Ok(None),
        };
        if principals.is_empty() { Err(IstioGap::Contradiction) } else { Ok(Some(principals)) }
    }
}

fn claim(texts: &ClaimTexts) -> Result<Value, IstioGap> {
    if texts.is_words && &*texts.path != DEFAULT_SCOPES {
        return Err(IstioGap::Words);
    }
    Ok(json!({ "key": claim_key(&texts.path), "values": plain_all(&texts.any_of)? }))
}

fn attribute(when: &When, effect: Effect) -> Result<Value, IstioGap> {
    let key = match &when.attribute {
        Attribute::Namespace => "source.namespace".to_owned(),
        // Istio lets pass what it cannot compare.
        _ if effect == Effect::Deny => {
            return Err(IstioGap::DeniedAttributes);
        }
        Attribute::Claim(path) => claim_key(path),
        Attribute::Header(name) => format!("request.headers[{name}]"),
    };
    let values = plain_all(&when.values)?;
    Ok(match (when.is_negated, effect) {
        (false, _) => json!({ "key": key, "values": values }),
        (true, Effect::Deny) => json!({ "key": key, "notValues": values }),
        // What is not there is no other value here.
        (true, Effect::Allow) => json!({ "key": key, "values": ["*"], "notValues": values }),
    })
}

fn claim_key(path: &str) -> String {
    format!("request.auth.claims[{}]", path.replace('.', "]["))
}

fn plain_all(texts: &[Box<str>]) -> Result<Vec<&str>, IstioGap> {
    texts.iter().map(|text| plain(text)).collect()
}

/// A text that is itself and no pattern.
fn plain(text: &str) -> Result<&str, IstioGap> {
    if text.starts_with('*') || text.ends_with('*') {
        return Err(IstioGap::Pattern);
    }
    Ok(text)
}
