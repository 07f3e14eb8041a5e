//! A policy in a file.

use std::collections::HashSet;
use std::path::Path;

use evercert_core::document::{self, LineColumn};
use toml::Spanned;

use crate::auth::exemption::{HEALTH, SERVICE_OF_HEALTH};
use crate::auth::followed::Files;

use super::a43::{self, A43Policy, AuditCondition, Pattern};
use super::compile::{self, Placed};
use super::descriptors::Descriptors;
use super::error::{Fault, InvalidPolicy, Problem, named};
use super::pattern::MethodPattern;
use super::rules::{Compiled, Rules};
use super::snapshot::{Included, Policy};
use super::written::{Include, Written};
use super::{DEFAULT_NAME, DOCUMENT_LIMIT, INCLUDES_LIMIT};

/// Keys of lists of tables.
const LISTS: &[&str] = &["allow", "deny", "include"];

/// The most faults of a document of gRPC's own form whose lines are looked for.
const PLACES_LIMIT: usize = 100;

/// The language that a policy of ours is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Toml,
    Yaml,
}

/// The text of a document and where it is from, to place faults in; there is none for what is written in Rust.
#[derive(Default)]
struct Origin<'a> {
    file: Option<&'a Path>,
    text: Option<&'a str>,
}

impl Origin<'_> {
    fn fault(&self, problem: Placed) -> Fault {
        let place = self.text.map(|text| LineColumn::of(text, problem.span().start));
        let problem = match (problem.into_inner(), self.text) {
            (Problem::RuleTwice { name, first: Some(first) }, Some(text)) => {
                Problem::RuleTwice { name, first: Some(LineColumn::of(text, first).line) }
            }
            (other, _) => other,
        };
        Fault {
            file: self.file.map(ToOwned::to_owned),
            place: place.map(|place| (place.line, place.column)),
            problem: Box::new(problem),
        }
    }

    fn faults(&self, problems: impl IntoIterator<Item = Placed>) -> InvalidPolicy {
        let mut faults: Vec<_> = problems.into_iter().map(|problem| self.fault(problem)).collect();
        faults.sort_by_key(Fault::place);
        InvalidPolicy::Faults(faults)
    }
}

/// The policy in the file at `path`.
///
/// # Errors
///
/// It cannot be read, or makes no sense.
pub(super) fn read(files: &mut Files, path: &Path, known: Option<&Descriptors>) -> Result<Policy, InvalidPolicy> {
    let content = files.read(path, DOCUMENT_LIMIT)?;
    let whole = |problem| {
        InvalidPolicy::Faults(vec![Fault { file: Some(path.to_owned()), place: None, problem: Box::new(problem) }])
    };
    match path.extension().and_then(|ending| ending.to_str()) {
        Some(ending @ ("toml" | "yaml" | "yml")) => match str::from_utf8(&content) {
            Ok(text) => {
                let language = if ending == "toml" { Language::Toml } else { Language::Yaml };
                in_file(files, path, language, text, known)
            }
            Err(_) => Err(whole(Problem::NotText)),
        },
        Some("json") => {
            let policy = a43(path, &content, known)?;
            let mut policy = Policy {
                name: policy.name().into(),
                rules: None,
                included: Box::new([Included { name: policy.name().into(), policy, is_dry_run: false }]),
                audit: AuditCondition::Never,
                is_dry_run: false,
                unruled: None,
                known: paths(known),
            };
            policy.unruled = known.map(|known| without_rule(known, &policy));
            Ok(policy)
        }
        _ => Err(whole(Problem::Ending)),
    }
}

fn in_file(
    files: &mut Files,
    path: &Path,
    language: Language,
    text: &str,
    known: Option<&Descriptors>,
) -> Result<Policy, InvalidPolicy> {
    let origin = Origin { file: Some(path), text: Some(text) };
    let written = written(language, text, &origin)?;
    let included = included(files, path, &written.include, &origin, known)?;
    policy(&written, included, &origin, known)
}

/// The policy in a text that is in no file.
///
/// # Errors
///
/// It is too long, includes others, or makes no sense.
pub(super) fn of_text(language: Language, text: &str, known: Option<&Descriptors>) -> Result<Policy, InvalidPolicy> {
    let origin = Origin { file: None, text: Some(text) };
    if text.len() > DOCUMENT_LIMIT {
        return Err(origin.faults([Spanned::new(0..0, Problem::TooLong)]));
    }
    let written = written(language, text, &origin)?;
    if let Some(include) = written.include.first() {
        return Err(origin.faults([Spanned::new(include.span(), Problem::IncludeInText)]));
    }
    policy(&written, Box::default(), &origin, known)
}

fn written(language: Language, text: &str, origin: &Origin<'_>) -> Result<Written, InvalidPolicy> {
    let read = match language {
        Language::Toml => document::read(text, LISTS),
        Language::Yaml => document::read_yaml(text),
    };
    read.map_err(|problem| origin.faults([Spanned::new(problem.span(), problem.into_inner().into())]))
}

/// The policy that is written in Rust.
///
/// # Errors
///
/// It makes no sense.
pub(super) fn of_written(written: &Written, known: Option<&Descriptors>) -> Result<Policy, InvalidPolicy> {
    policy(written, Box::default(), &Origin::default(), known)
}

fn policy(
    written: &Written,
    included: Box<[Included]>,
    origin: &Origin<'_>,
    known: Option<&Descriptors>,
) -> Result<Policy, InvalidPolicy> {
    let rules = compile::rules(written).map_err(|problem| origin.faults([problem]))?;
    let name = compile::name(written.name.as_ref()).map_err(|problem| origin.faults([problem]))?;
    let misnamed = |rule: &Spanned<Compiled>| {
        let problem = |method| of_health(method).or_else(|| known?.unknown(method));
        let problems = rule.get_ref().methods.iter().filter_map(problem);
        let name = &rule.get_ref().name;
        problems.map(|problem| Spanned::new(rule.span(), problem.in_rule(name))).collect::<Vec<_>>()
    };
    let misnamed: Vec<_> = rules.iter().flat_map(misnamed).collect();
    if !misnamed.is_empty() {
        return Err(origin.faults(misnamed));
    }
    let mut policy = Policy {
        name: name.unwrap_or(DEFAULT_NAME).into(),
        rules: Some(Rules::new(rules.into_iter().map(Spanned::into_inner).collect())),
        included,
        audit: written.audit,
        is_dry_run: written.dry_run,
        unruled: None,
        known: paths(known),
    };
    policy.unruled = known.map(|known| without_rule(known, &policy));
    Ok(policy)
}

/// The problem of a pattern that is about health checks. What is said of all methods there are is not.
fn of_health(pattern: &MethodPattern) -> Option<Problem> {
    let is_of_health = match pattern {
        MethodPattern::Method(path) => HEALTH.contains(&&**path),
        MethodPattern::Service(service) => SERVICE_OF_HEALTH.prefix == format!("/{service}/"),
        MethodPattern::All => false,
    };
    is_of_health.then(|| Problem::Health(pattern.to_string()))
}

/// The methods that there are, as far as that is known.
fn paths(known: Option<&Descriptors>) -> Box<[String]> {
    known.into_iter().flat_map(Descriptors::paths).map(ToOwned::to_owned).collect()
}

/// The methods that nobody may call.
fn without_rule(known: &Descriptors, policy: &Policy) -> Box<[String]> {
    let is_allowed = |path: &&str| {
        let own = policy.rules.as_ref().is_none_or(|rules| rules.may_allow(path));
        own && policy.included.iter().all(|included| included.is_dry_run || included.policy.has_rule_for(path))
    };
    known.paths().filter(|path| !is_allowed(path)).map(ToOwned::to_owned).collect()
}

/// The documents that one includes, by names that are relative to where it is.
fn included(
    files: &mut Files,
    path: &Path,
    includes: &[Spanned<Include>],
    origin: &Origin<'_>,
    known: Option<&Descriptors>,
) -> Result<Box<[Included]>, InvalidPolicy> {
    if let Some(extra) = includes.get(INCLUDES_LIMIT) {
        return Err(origin.faults([Spanned::new(extra.span(), Problem::TooManyIncludes)]));
    }
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut names = HashSet::new();
    let include = |include: &Spanned<Include>| {
        let Include { file, dry_run } = include.get_ref();
        if file.get_ref().extension().is_none_or(|ending| ending != "json") {
            return Err(origin.faults([Spanned::new(file.span(), Problem::IncludeEnding)]));
        }
        let path = directory.join(file.get_ref());
        let policy = a43(&path, &files.read(&path, DOCUMENT_LIMIT)?, known)?;
        if !names.insert(policy.name().to_owned()) {
            return Err(origin.faults([Spanned::new(file.span(), Problem::IncludeTwice(named(policy.name())))]));
        }
        Ok(Included { name: policy.name().into(), policy, is_dry_run: *dry_run })
    };
    includes.iter().map(include).collect()
}

/// The policy of gRPC's own form in a file.
fn a43(path: &Path, content: &[u8], known: Option<&Descriptors>) -> Result<A43Policy, InvalidPolicy> {
    let json = str::from_utf8(content).unwrap_or_default();
    let fault = |offset: Option<usize>, problem| {
        let place = offset.map(|offset| LineColumn::of(json, offset));
        Fault {
            file: Some(path.to_owned()),
            place: place.map(|place| (place.line, place.column)),
            problem: Box::new(problem),
        }
    };
    let policy = A43Policy::parse(content)
        .map_err(|error| InvalidPolicy::Faults(vec![fault(a43::place::of_error(json, &error), error.into())]))?;
    let of_health = policy.denied_paths().filter(|(_, pattern)| pattern.may_fit(&SERVICE_OF_HEALTH));
    let of_health =
        of_health.map(|(rule, pattern)| (rule, pattern, Problem::DeniedHealth(named(&pattern.to_string()))));
    let unknown = |(rule, pattern)| known?.unknown_path(pattern).map(|problem| (rule, pattern, problem));
    let misnamed = of_health.chain(policy.paths().filter_map(unknown)).enumerate();
    let faults = misnamed.map(|(number, (rule, pattern, problem)): (_, (&str, &Pattern, _))| {
        let is_placed = number < PLACES_LIMIT;
        let offset = is_placed.then(|| a43::place::text(json, &pattern.to_string())).flatten();
        fault(offset, problem.in_rule(rule))
    });
    let faults: Vec<_> = faults.collect();
    if faults.is_empty() { Ok(policy) } else { Err(InvalidPolicy::Faults(faults)) }
}
