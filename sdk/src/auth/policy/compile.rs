//! From rules as they are written to rules that decide.

use std::collections::{HashMap, HashSet};

use evercert_core::text;
use http::HeaderName;
use http::header::AUTHORIZATION;
use toml::Spanned;

use super::caller::{Caller, Proven, Who, WrittenWhen};
use super::callers::{ANYONE, AUTHENTICATED, Callers};
use super::condition::{Attribute, ClaimTexts, Condition, Effect, When};
use super::error::{Problem, named};
use super::list::List;
use super::pattern::{MethodPattern, RequestPrincipal, SpiffePattern};
use super::rule::Rule;
use super::rules::{Alternative, Compiled};
use super::written::{ClaimPaths, Written};
use super::{NAME_LIMIT, RULES_LIMIT};

/// What is wrong, and where.
pub(super) type Placed = Spanned<Problem>;

/// What is said of a list, if it is there at all.
type Found<T> = Result<Option<Box<[T]>>, Placed>;

/// The rules that are written.
///
/// # Errors
///
/// One of them makes no sense, or all of them together allow nothing.
pub(super) fn rules(written: &Written) -> Result<Box<[Spanned<Compiled>]>, Placed> {
    let paths = &written.claims;
    claim_path("roles", &paths.roles)?;
    claim_path("scopes", &paths.scopes)?;
    let mut rules = Vec::new();
    for rule in &written.deny {
        rules.push(rule_of(rule.get_ref(), Effect::Deny, paths)?);
    }
    for (method, callers) in &written.methods.0 {
        rules.push(row(method, callers, paths)?);
    }
    for rule in &written.allow {
        rules.push(rule_of(rule.get_ref(), Effect::Allow, paths)?);
    }
    if let Some(extra) = rules.get(RULES_LIMIT) {
        return Err(Spanned::new(extra.span(), Problem::TooManyRules));
    }
    let mut names = HashMap::new();
    for rule in &rules {
        if let Some(first) = names.insert(&*rule.get_ref().name, rule.span().start) {
            let problem = Problem::RuleTwice {
                name: named(&rule.get_ref().name),
                first: (!rule.span().is_empty()).then_some(first),
            };
            return Err(Spanned::new(rule.span(), problem));
        }
    }
    if !rules.iter().any(|rule| rule.get_ref().effect == Effect::Allow && !rule.get_ref().is_dry_run) {
        return Err(Spanned::new(0..0, Problem::NothingAllowed));
    }
    reachable(&rules)?;
    Ok(rules.into())
}

/// Holds that nobody is allowed what everybody is denied.
fn reachable(rules: &[Spanned<Compiled>]) -> Result<(), Placed> {
    let deny_all: Vec<_> =
        rules.iter().map(Spanned::get_ref).filter(|rule| rule.effect == Effect::Deny && rule.is_for_anyone()).collect();
    for rule in rules.iter().filter(|rule| rule.get_ref().effect == Effect::Allow) {
        for method in &rule.get_ref().methods {
            let denies = |deny: &&&Compiled| !deny.is_dry_run && deny.methods.iter().any(|this| this.covers(method));
            if let Some(deny) = deny_all.iter().find(denies) {
                let problem = Problem::NeverAllowed { method: method.to_string(), deny: named(&deny.name) };
                return Err(Spanned::new(rule.span(), problem));
            }
        }
    }
    Ok(())
}

/// A row of the table of methods: a rule that is called as its method.
fn row(method: &Spanned<String>, callers: &Spanned<Callers>, paths: &ClaimPaths) -> Result<Spanned<Compiled>, Placed> {
    let pattern: MethodPattern = method.get_ref().parse().map_err(|problem| at(method, problem))?;
    if pattern == MethodPattern::All {
        return Err(at(method, Problem::AllInTable(MethodPattern::ALL)));
    }
    let name = method.get_ref().as_str();
    let alternatives =
        alternatives(Some(callers), Effect::Allow, paths, method.span()).map_err(|problem| in_rule(problem, name))?;
    let rule = Compiled {
        name: name.into(),
        effect: Effect::Allow,
        is_dry_run: false,
        is_row: true,
        methods: Box::new([pattern]),
        alternatives,
    };
    Ok(Spanned::new(method.span(), rule))
}

fn rule_of(rule: &Rule, effect: Effect, paths: &ClaimPaths) -> Result<Spanned<Compiled>, Placed> {
    let name = rule.name.get_ref().as_str();
    named_well(&rule.name)?;
    let compiled = || {
        let methods = methods(&rule.methods, &rule.name)?;
        let alternatives = alternatives(rule.callers.as_ref(), effect, paths, rule.name.span())?;
        Ok(Compiled { name: name.into(), effect, is_dry_run: rule.dry_run, is_row: false, methods, alternatives })
    };
    compiled().map(|compiled| Spanned::new(rule.name.span(), compiled)).map_err(|problem| in_rule(problem, name))
}

/// The name of a policy, where it has one.
pub(super) fn name(name: Option<&Spanned<String>>) -> Result<Option<&str>, Placed> {
    name.map(|name| named_well(name).map(|()| name.get_ref().as_str())).transpose()
}

fn named_well(name: &Spanned<String>) -> Result<(), Placed> {
    let text = name.get_ref();
    let is_name = (1..=NAME_LIMIT).contains(&text.len()) && !text.contains(text::is_unseen);
    if is_name { Ok(()) } else { Err(at(name, Problem::Name)) }
}

fn in_rule(problem: Placed, name: &str) -> Placed {
    Spanned::new(problem.span(), problem.into_inner().in_rule(name))
}

fn methods(list: &List, name: &Spanned<String>) -> Result<Box<[MethodPattern]>, Placed> {
    let patterns = texts("methods", list, |method| Ok(method.parse::<MethodPattern>()?))?
        .ok_or_else(|| at(name, Problem::NoMethods))?;
    let mut known = HashSet::new();
    let twice =
        patterns.iter().zip(list.iter().flat_map(|list| list.get_ref())).find(|(pattern, _)| !known.insert(*pattern));
    match twice {
        Some((pattern, written)) => Err(at(written, Problem::MethodTwice(pattern.to_string()))),
        None => Ok(patterns),
    }
}

fn alternatives(
    callers: Option<&Spanned<Callers>>,
    effect: Effect,
    paths: &ClaimPaths,
    span: std::ops::Range<usize>,
) -> Result<Box<[Alternative]>, Placed> {
    let Some(callers) = callers else {
        return match effect {
            Effect::Allow => Err(Spanned::new(span, Problem::NoCallers)),
            Effect::Deny => Ok(Box::new([Alternative::anyone()])),
        };
    };
    if callers.get_ref().0.is_empty() {
        return Err(at(callers, Problem::Empty("callers")));
    }
    let alternative = |caller: &Spanned<Caller>| match &caller.get_ref().0 {
        Who::Anyone => Ok(Alternative::anyone()),
        Who::Authenticated => Ok(Alternative(Box::new([Condition::Authenticated]))),
        Who::Proven(proven) => {
            let place = if caller.span().is_empty() { callers.span() } else { caller.span() };
            proven_by(proven, effect, paths, place).map(Alternative)
        }
    };
    callers.get_ref().0.iter().map(alternative).collect()
}

/// What has to be proven, cheapest first.
fn proven_by(
    proven: &Proven,
    effect: Effect,
    paths: &ClaimPaths,
    span: std::ops::Range<usize>,
) -> Result<Box<[Condition]>, Placed> {
    let mut conditions = Vec::new();
    conditions.extend(proven.certificate.then_some(Condition::Certificate));
    conditions.extend(proven.token.then_some(Condition::Token));
    let trust_domains = texts("trust_domains", &proven.trust_domains, |name| Ok(name.parse()?))?;
    let ids = texts("spiffe_ids", &proven.spiffe_ids, |id| SpiffePattern::parse(id)?.ok_or(Problem::NoPath))?;
    if let (Some(domains), Some(ids)) = (&trust_domains, &ids)
        && !ids.iter().any(|id| domains.contains(id.trust_domain()))
    {
        return Err(Spanned::new(span, Problem::OtherTrustDomain));
    }
    let is_bound = effect == Effect::Deny || trust_domains.is_some() || ids.is_some();
    conditions.extend(trust_domains.map(Condition::TrustDomains));
    conditions.extend(ids.map(Condition::SpiffeIds));
    if let Some(namespaces) = texts("namespaces", &proven.namespaces, |name| Ok(name.into()))? {
        if !is_bound {
            return Err(Spanned::new(span, Problem::Namespace));
        }
        conditions.push(Condition::Namespaces(namespaces));
    }
    conditions.extend(texts("dns_names", &proven.dns_names, dns_name)?.map(Condition::DnsNames));
    let claim = |key, list: &List, path: &Spanned<String>| {
        let path = path.get_ref().as_str();
        let any_of = texts(key, list, |text| Ok(text.into()))?;
        Ok(any_of.map(|any_of| ClaimTexts { path: path.into(), is_words: path == paths.scopes.get_ref(), any_of }))
    };
    if let Some(roles) = &proven.roles {
        let word = roles
            .get_ref()
            .iter()
            .find_map(|role| [ANYONE, AUTHENTICATED].into_iter().find(|word| *word == role.get_ref()));
        if let Some(word) = word {
            return Err(at(roles, Problem::WordInList(word)));
        }
    }
    conditions.extend(claim("roles", &proven.roles, &paths.roles)?.map(Condition::Roles));
    conditions.extend(claim("scopes", &proven.scopes, &paths.scopes)?.map(Condition::Scopes));
    let principal = |text: &str| RequestPrincipal::parse(text).ok_or(Problem::RequestPrincipal);
    let principals = texts("request_principals", &proven.request_principals, principal)?;
    conditions.extend(principals.map(Condition::RequestPrincipals));
    for when in &proven.when {
        let when = when_of(when)?;
        if when.attribute == Attribute::Namespace && !is_bound {
            return Err(Spanned::new(span, Problem::Namespace));
        }
        conditions.push(Condition::When(when));
    }
    if conditions.is_empty() {
        return Err(Spanned::new(span, Problem::NoCallers));
    }
    Ok(conditions.into())
}

fn when_of(when: &Spanned<WrittenWhen>) -> Result<When, Placed> {
    let WrittenWhen { key, values, not_values } = when.get_ref();
    let attribute = attribute(key.get_ref()).ok_or_else(|| at(key, Problem::WhenKey))?;
    let text = |text: &str| Ok(text.into());
    match (texts("values", values, text)?, texts("not_values", not_values, text)?) {
        (Some(values), None) => Ok(When { attribute, is_negated: false, values }),
        (None, Some(values)) => Ok(When { attribute, is_negated: true, values }),
        _ => Err(at(when, Problem::WhenValues)),
    }
}

/// The attribute of this name, as Istio calls it; a claim within others by `[a.b]` or `[a][b]`.
fn attribute(key: &str) -> Option<Attribute> {
    if key == "source.namespace" {
        return Some(Attribute::Namespace);
    }
    let (kind, name) = key.strip_suffix(']')?.split_once('[')?;
    match kind {
        "request.auth.claims" => {
            let path = name.replace("][", ".");
            is_claim_path(&path).then(|| Attribute::Claim(path.into()))
        }
        // What is a secret has no place in a policy.
        "request.headers" => {
            let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| *name != AUTHORIZATION);
            name.map(Attribute::Header)
        }
        _ => None,
    }
}

fn claim_path(key: &'static str, path: &Spanned<String>) -> Result<(), Placed> {
    if is_claim_path(path.get_ref()) { Ok(()) } else { Err(at(path, Problem::ClaimPath(key))) }
}

fn is_claim_path(path: &str) -> bool {
    !path.contains(text::is_unseen) && !path.contains(['[', ']']) && path.split('.').all(|name| !name.is_empty())
}

fn dns_name(name: &str) -> Result<Box<str>, Problem> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if name.len() <= 253 && name.split('.').all(is_label) {
        Ok(name.to_ascii_lowercase().into())
    } else {
        Err(Problem::DnsName)
    }
}

/// What each text of a list is, none of which is empty.
fn texts<T>(key: &'static str, list: &List, parse: impl Fn(&str) -> Result<T, Problem>) -> Found<T> {
    let Some(list) = list else { return Ok(None) };
    if list.get_ref().is_empty() {
        return Err(at(list, Problem::Empty(key)));
    }
    let one = |text: &Spanned<String>| match text.get_ref().as_str() {
        "" => Err(at(text, Problem::Blank(key))),
        written => parse(written).map_err(|problem| at(text, problem)),
    };
    list.get_ref().iter().map(one).collect::<Result<_, _>>().map(Some)
}

fn at<T>(value: &Spanned<T>, problem: impl Into<Problem>) -> Placed {
    Spanned::new(value.span(), problem.into())
}
