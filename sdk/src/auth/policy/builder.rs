//! Where a policy is from.

use std::path::PathBuf;

use crate::auth::followed::Files;

use super::a43::AuditCondition;
use super::authorizer::Authorizer;
use super::caller::Caller;
use super::callers::Callers;
use super::descriptors::Descriptors;
use super::document::{self, Language};
use super::error::InvalidPolicy;
use super::list::unwritten;
use super::pattern::MethodPattern;
use super::rule::Rule;
use super::setting::Setting;
use super::snapshot::Policy;
use super::written::Written;

/// What the policy is called that lets everybody in who is known, and its rule.
const ANY_AUTHENTICATED: &str = "any-authenticated";

/// A policy that is written in Rust: made by [`MethodPolicy::builder`].
///
/// ```
/// use evercert::auth::{MethodPolicy, policy::{Caller, Rule}};
///
/// let policy = MethodPolicy::builder()
///     .method("/myapp.v1.UserService/GetUser", ["user:read", "admin"])
///     .method("/myapp.v1.UserService/DeleteUser", ["admin"])
///     .method("/myapp.v1.DataService/*", ["data:export", "admin"])
///     .allow(
///         Rule::named("gateway")
///             .methods(["/myapp.v1.UserService/*"])
///             .caller(Caller::authenticated().spiffe_ids(["spiffe://example.org/ns/web/sa/gateway"]).roles(["user:read"])),
///     )
///     .build()?;
/// # Ok::<(), evercert::auth::policy::InvalidPolicy>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "it decides nothing until it is built"]
pub struct PolicyBuilder {
    written: Written,
    descriptors: Vec<Vec<u8>>,
}

impl PolicyBuilder {
    /// Allows this method, `/package.Service/Method`, or those of a service, `/package.Service/*`, to whoever has one of these roles.
    pub fn method<T: Into<String>>(mut self, method: impl Into<String>, roles: impl IntoIterator<Item = T>) -> Self {
        let callers = Callers(vec![unwritten(Caller::authenticated().roles(roles))]);
        self.written.methods.0.push((unwritten(method.into()), unwritten(callers)));
        self
    }

    /// Allows what this rule says.
    pub fn allow(mut self, rule: Rule) -> Self {
        self.written.allow.push(unwritten(rule));
        self
    }

    /// Denies what this rule says, whatever allows it.
    pub fn deny(mut self, rule: Rule) -> Self {
        self.written.deny.push(unwritten(rule));
        self
    }

    /// The name of the policy in logs and audit events; `policy` without one.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.written.name = Some(unwritten(name.into()));
        self
    }

    /// The path of the claim that has a token's roles, such as `realm_access.roles`; `roles` without one. Where it is the path of the
    /// scopes too, a text there is several words, as in `scope`.
    pub fn roles_at(mut self, path: impl Into<String>) -> Self {
        self.written.claims.roles = unwritten(path.into());
        self
    }

    /// The path of the claim that has a token's scopes; `scope` without one.
    pub fn scopes_at(mut self, path: impl Into<String>) -> Self {
        self.written.claims.scopes = unwritten(path.into());
        self
    }

    /// The decisions that are audited; none without this.
    pub fn audit(mut self, audit: AuditCondition) -> Self {
        self.written.audit = audit;
        self
    }

    /// Has the policy decide, and its denials told, but not enforced: whoever has proven who they are is allowed everything.
    pub fn dry_run(mut self) -> Self {
        self.written.dry_run = true;
        self
    }

    /// Holds the names of methods against these descriptors: see [`MethodPolicy::checked_against`].
    pub fn checked_against(mut self, file_descriptor_set: &[u8]) -> Self {
        self.descriptors.push(file_descriptor_set.to_owned());
        self
    }

    /// The policy, ready to decide.
    ///
    /// # Errors
    ///
    /// Something in it makes no sense.
    pub fn build(self) -> Result<Authorizer, InvalidPolicy> {
        MethodPolicy::from(self).build()
    }
}

/// Who may call what: in a file, or written in Rust.
///
/// A file whose name ends in `.toml`, `.yaml` or `.yml` is a policy of ours ([`policy`](super) shows its form), one that ends in `.json` a
/// policy of gRPC's own (gRFC A43), as it is. It is read again when it changes; where it cannot be used then, what was read last goes on deciding.
///
/// Half of a policy may allow more than the whole of it, so a file is used once it rests, with those that it includes: two looks have found
/// the same, 100 ms apart. Whoever writes it in place, slower than that, has its half used. Write it to another name and rename it, or swap a
/// directory as the kubelet does.
#[derive(Debug, Clone)]
#[must_use = "it decides nothing until it is built"]
pub struct MethodPolicy {
    source: PolicySource,
    descriptors: Vec<Vec<u8>>,
}

#[derive(Debug, Clone)]
enum PolicySource {
    File(PathBuf),
    Text(Language, String),
    Written(Box<Written>),
}

impl MethodPolicy {
    /// The policy in this file, followed from then on.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { source: PolicySource::File(path.into()), descriptors: Vec::new() }
    }

    /// The policy in this text of TOML, as a program has it with it by `include_str!`. It includes no other documents, since it is in no
    /// place that their names could be relative to.
    pub fn text(toml: impl Into<String>) -> Self {
        Self { source: PolicySource::Text(Language::Toml, toml.into()), descriptors: Vec::new() }
    }

    /// The same in a text of YAML.
    pub fn yaml(yaml: impl Into<String>) -> Self {
        Self { source: PolicySource::Text(Language::Yaml, yaml.into()), descriptors: Vec::new() }
    }

    /// A policy that is written in Rust, empty yet.
    pub fn builder() -> PolicyBuilder {
        PolicyBuilder::default()
    }

    /// Whoever has proven who they are may call everything.
    pub fn any_authenticated() -> Self {
        let rule = Rule::named(ANY_AUTHENTICATED).methods([MethodPattern::ALL]).caller(Caller::authenticated());
        Self::builder().name(ANY_AUTHENTICATED).allow(rule).into()
    }

    /// Holds the names of methods against the descriptors of the services: a `FileDescriptorSet`, as tonic-prost-build and protoc write
    /// it. Of several sets a method may be in any. A name that none has is refused, and methods without a rule, which nobody may call,
    /// are told in the log. Without descriptors no name is checked, which is told too.
    pub fn checked_against(mut self, file_descriptor_set: &[u8]) -> Self {
        self.descriptors.push(file_descriptor_set.to_owned());
        self
    }

    /// The policy as it is now, not followed: for checks.
    ///
    /// # Errors
    ///
    /// It cannot be read, or makes no sense.
    pub fn read(self) -> Result<Policy, InvalidPolicy> {
        let descriptors = self.known()?;
        match self.source {
            PolicySource::File(path) => document::read(&mut Files::new(), &path, descriptors.as_ref()),
            PolicySource::Text(language, text) => document::of_text(language, &text, descriptors.as_ref()),
            PolicySource::Written(written) => document::of_written(&written, descriptors.as_ref()),
        }
    }

    /// The policy, ready to decide.
    ///
    /// # Errors
    ///
    /// It cannot be read or followed, or makes no sense.
    pub fn build(self) -> Result<Authorizer, InvalidPolicy> {
        self.build_for(Setting::UNKNOWN)
    }

    /// The policy, ready to decide for a server of this setting. What it becomes goes on going with it.
    ///
    /// # Errors
    ///
    /// It does not go with it; or as of [`MethodPolicy::build`].
    pub(crate) fn build_for(self, setting: Setting) -> Result<Authorizer, InvalidPolicy> {
        match self.source {
            PolicySource::File(ref path) => Authorizer::following(path, self.known()?, setting),
            PolicySource::Text(..) | PolicySource::Written(_) => Authorizer::fixed(self.read()?, setting),
        }
    }

    fn known(&self) -> Result<Option<Descriptors>, InvalidPolicy> {
        if self.descriptors.is_empty() {
            return Ok(None);
        }
        Ok(Some(Descriptors::decode(self.descriptors.iter().map(Vec::as_slice))?))
    }
}

impl From<PolicyBuilder> for MethodPolicy {
    fn from(builder: PolicyBuilder) -> Self {
        Self { source: PolicySource::Written(Box::new(builder.written)), descriptors: builder.descriptors }
    }
}
