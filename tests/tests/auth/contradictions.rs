//! Settings that contradict each other, before any call is made.

use std::num::NonZeroU32;
use std::time::Duration;

use evercert::auth::policy::{Caller, Contradiction, InvalidPolicy, Rule};
use evercert::auth::{InvalidSecurity, MethodPolicy, RateLimit, Reflection, Security, SecurityBuilder, Unfit};
use evercert::server::ServeError;
use evercert::{ClientCertificates, Identity, Server};
use evercert_fixtures::PlainDirectory;
use evercert_tests::guarded::Stage;
use tokio::net::TcpListener;
use tonic::service::Routes;

fn by_certificate() -> SecurityBuilder {
    let rule = Rule::named("mesh").methods(["/*"]).caller(Caller::authenticated().certificate());
    Security::builder().policy(MethodPolicy::builder().allow(rule))
}

#[test]
fn tokens_without_a_policy_are_an_error_that_says_how_to_let_everybody_in() {
    for security in [Security::builder(), Security::builder().tokens(tokens(&Stage::new()))] {
        let error = security.build().unwrap_err();
        assert!(matches!(error, InvalidSecurity::NoPolicy));
        assert!(error.to_string().contains("MethodPolicy::any_authenticated()"), "{error}");
    }
}

fn tokens(stage: &Stage) -> evercert::auth::Tokens {
    evercert::auth::Tokens::jwks_file(stage.keys_file()).issuer("https://issuer.example.org").audience("a")
}

#[test]
fn a_policy_that_asks_for_roles_needs_tokens() {
    let policy = MethodPolicy::builder().method("/a.B/C", ["admin"]);
    let error = Security::builder().policy(policy).build().unwrap_err();
    assert!(matches!(error, InvalidSecurity::Policy(InvalidPolicy::Contradiction(Contradiction::Tokens))), "{error}");
}

#[test]
fn a_policy_about_reflection_needs_reflection() {
    let method = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let rule = || Rule::named("tools").methods([method]).caller(Caller::authenticated());
    let security = || Security::builder().policy(MethodPolicy::builder().allow(rule()));
    for reflection in [Reflection::Off, Reflection::Authenticated] {
        let error = security().reflection(reflection).build().unwrap_err();
        assert!(
            matches!(error, InvalidSecurity::Policy(InvalidPolicy::Contradiction(Contradiction::Reflection))),
            "{error}"
        );
    }
    security().reflection(Reflection::ByPolicy).build().unwrap();
}

#[test]
fn a_rate_limit_that_is_none_is_an_error() {
    let limit = RateLimit::per_principal(NonZeroU32::MAX, Duration::from_millis(1));
    let error = by_certificate().rate_limit(limit).build().unwrap_err();
    assert!(matches!(error, InvalidSecurity::RateLimit(_)), "{error}");
}

/// What a server without client certificates says of this security.
async fn served(stage: &Stage, security: SecurityBuilder) -> Result<(), ServeError> {
    let identity = Identity::from_directory(stage.caller_directory()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::new(&identity).client_certificates(ClientCertificates::None);
    server.security(security.build().unwrap()).serve(Routes::default(), listener, std::future::ready(())).await
}

#[tokio::test]
async fn a_server_of_several_identities_has_no_security() {
    let stage = Stage::new();
    let directory = tempfile::tempdir().unwrap();
    let identity = |name: &str| {
        let path = directory.path().join(name);
        _ = PlainDirectory::at(&path, &stage.authority().issue_dns("localhost").files());
        Identity::from_directory(path)
    };
    let (one, other) = (identity("one").await.unwrap(), identity("other").await.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::new(&one).identity_for("other.example.org", &other).unwrap();
    let server = server.security(stage.security().build().unwrap());
    match server.serve(Routes::default(), listener, std::future::ready(())).await {
        Err(ServeError::Unfit(unfit)) => assert_eq!(unfit, Unfit::SeveralIdentities),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_asks_for_no_certificates_is_told_what_it_rules_out() {
    let stage = Stage::new();
    let any = || Security::builder().policy(MethodPolicy::any_authenticated());
    let limit = RateLimit::per_principal(NonZeroU32::MIN, Duration::from_secs(1));
    let tokens = || tokens(&stage);
    for (security, expected) in [
        (by_certificate().tokens(tokens()), Unfit::Policy(Contradiction::Certificates)),
        (any().tokens(tokens().require_bound()), Unfit::BoundTokens),
        (any().rate_limit(limit), Unfit::NobodyToLimit),
        (any(), Unfit::NobodyKnown),
    ] {
        match served(&stage, security).await {
            Err(ServeError::Unfit(unfit)) => assert_eq!(unfit, expected),
            other => panic!("{other:?}"),
        }
    }
    served(&stage, any().tokens(tokens()).rate_limit(limit)).await.unwrap();
}
