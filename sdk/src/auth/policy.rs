//! Who may call what.
//!
//! A policy is a table of methods and the roles that may call them, rules where that does not do, or both. It is written in Rust
//! ([`MethodPolicy::builder`]), in YAML (below), or in TOML:
//!
//! ```toml
//! [methods]
//! "/myapp.v1.UserService/GetUser"    = ["user:read", "admin"]   # one of these roles
//! "/myapp.v1.UserService/DeleteUser" = ["admin"]
//! "/myapp.v1.DataService/*"          = ["data:export", { scopes = ["export"], spiffe_ids = ["spiffe://example.org/ns/etl/*"] }]
//! "/myapp.v1.Status/Get"             = "anyone"                 # public; "authenticated" is anyone who has proven something
//! ```
//!
//! A path is of exactly this form, `/package.Service/Method`, or `/package.Service/*` for all of a service; a method's own row stands in
//! place of its service's. Those who may call, the
//! *callers*, are `"anyone"`, `"authenticated"`, a table of what a caller has to prove, or a list of roles and such tables, of which
//! one has to fit. All that a table names has to be proven, and of each list in it one element:
//!
//! | key | the caller has to have | by |
//! |---|---|---|
//! | `roles`, `scopes` | one of these | token |
//! | `request_principals` | `ISSUER/SUBJECT`, or `ISSUER/*` | token |
//! | `spiffe_ids` | an ID, or one beneath a path with `/*` at its end | certificate, or else JWT-SVID |
//! | `trust_domains` | an ID of one of these | the same |
//! | `namespaces` | an ID of the form `/ns/NAMESPACE/sa/ACCOUNT`; `trust_domains` or `spiffe_ids` have to be beside it | the same |
//! | `dns_names` | one of these names, whole; a rule that denies fits wildcards for them too | certificate |
//! | `certificate = true`, `token = true` | any | |
//! | `when` | `[{ key = "request.auth.claims[a.b]", values = ["x"] }]`; `not_values`; other keys are `source.namespace`, `request.headers[x]` | |
//!
//! A rule has a name, which is told in logs and audit events, and it may deny:
//!
//! ```toml
//! name = "users"                       # of the policy; `policy` without one
//! audit = "on-deny"                    # none, on-deny, on-allow or on-deny-and-allow
//!
//! [claims]
//! roles = "realm_access.roles"         # where a token has its roles; `roles` without it
//! scopes = "scope"                     # where it has its scopes: a list, or words in one text
//!
//! [[allow]]
//! name = "gateway"
//! methods = ["/myapp.v1.UserService/*"]
//! callers = { spiffe_ids = ["spiffe://example.org/ns/web/sa/gateway"], roles = ["user:read"] }   # certificate and token
//!
//! [[deny]]
//! name = "not-from-tests"
//! methods = ["/*"]                     # all there are
//! callers = { namespaces = ["test"] }  # all callers without it
//! dry_run = true                       # told, not enforced
//! ```
//!
//! Any rule that denies and fits denies; else any that allows and fits allows; else the call is denied. In doubt, of a claim that is no
//! text or a header that is there twice, a rule that allows does not fit and one that denies does. A method that no rule names is
//! denied to everybody.
//!
//! A rule that denies by what is proven denies those who prove it. Whoever keeps the certificate or the token back is not denied by it, so
//! the rules that allow have to ask for it: `certificate = true` or `token = true`, or a server that requires client certificates. Where
//! one does not, it is told in the log when the policy is read, and by `evercert-policy check`. A rule that allows those who are meant is
//! safer than one that denies the others. Documents of gRPC's own form are not looked at for it.
//!
//! Health checks, `Check` and `Watch` of `grpc.health.v1.Health`, are answered whoever asks, and no policy is asked about them: a rule
//! that names them is an error. One that is about `"/*"` is not about them.
//!
//! A policy that asks for tokens, certificates or reflection of a server that does not have them is an error, at start and when the file
//! is read again: what was read before stays then.
//!
//! # Documents of gRPC's own form
//!
//! A file that ends in `.json` is a policy of gRPC's own form ([`a43`]) and is decided as grpc-go decides it. A policy of ours may
//! include such documents, by names that are relative to its own place:
//!
//! ```toml
//! include = [{ file = "authz.json" }, { file = "next.json", dry_run = true }]
//! ```
//!
//! Each of them has to allow a call *too*: a document that other servers enforce stays the most that can be allowed, whatever is
//! written here, and a rule there cannot open what is closed here. Where such a document alone is to decide, write a rule that allows
//! `"/*"` to `"authenticated"`.
//!
//! # YAML
//!
//! A file that ends in `.yaml` or `.yml` says the same in YAML, with the same keys:
//!
//! ```yaml
//! audit: on-deny
//! methods:
//!   /myapp.v1.UserService/GetUser: [user:read, admin]
//!   /myapp.v1.DataService/*:
//!     - data:export
//!     - { scopes: [export], spiffe_ids: ["spiffe://example.org/ns/etl/*"] }
//!   /myapp.v1.Status/Get: anyone
//! deny:
//!   - name: not-from-tests
//!     methods: ["/*"]
//!     callers: { namespaces: [test] }
//!     dry_run: true
//! ```
//!
//! What readers of YAML differ about is refused: anchors and aliases, tags, directives, a second document, a key without a value or one
//! that is there twice, and words without quotes that some take for a number, a date, a truth value or nothing, such as `on`, `no` and
//! `2026-01-01`. `true` and `false` are the two truth values.
//!
//! # Dry runs
//!
//! What a rule or an included document of a dry run would have decided is logged and counted, and has no effect. `dry_run = true` for a
//! whole policy lets every caller through *who has proven who they are*; callers who prove nothing are still held to the rules.

pub mod a43;
mod authorizer;
mod builder;
mod caller;
mod callers;
mod compile;
mod condition;
mod decision;
mod descriptors;
mod document;
mod error;
mod escape;
mod explanation;
mod istio;
mod list;
mod notice;
mod pattern;
mod question;
mod rule;
mod rules;
mod setting;
mod snapshot;
mod supposed;
#[cfg(test)]
mod tests;
mod written;

#[doc(inline)]
pub use a43::{A43Decision, A43Policy, AuditCondition, InvalidA43};
pub use authorizer::Authorizer;
pub use builder::{MethodPolicy, PolicyBuilder};
pub use caller::Caller;
pub use decision::{Decision, DryRun};
pub use error::{Fault, InvalidPolicy};
pub use escape::Escape;
pub use explanation::{Considered, Explanation};
pub use istio::{IstioGap, IstioResource, NotExpressible};
pub use question::Question;
pub use rule::Rule;
pub use setting::Contradiction;
pub(crate) use setting::Setting;
pub use snapshot::Policy;
pub use supposed::{NotClaims, Supposed};

/// The longest document that is read, in bytes.
pub const DOCUMENT_LIMIT: usize = 1024 * 1024;

/// The most rules of a document, each row of its table of methods among them.
pub const RULES_LIMIT: usize = 10_000;

/// The most documents that one includes.
pub const INCLUDES_LIMIT: usize = 16;

/// The longest name of a policy or a rule, in bytes.
pub const NAME_LIMIT: usize = 256;

/// What a policy is called that has no name.
const DEFAULT_NAME: &str = "policy";
