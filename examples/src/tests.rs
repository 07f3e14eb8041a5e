//! What the guide shows of policies.

use evercert::auth::MethodPolicy;
use evercert::auth::policy::Supposed;

const GUIDE: &str = include_str!("../../docs/grpc-security.md");

/// The first block of the guide in this language that begins with this line.
fn shown(language: &str, first: &str) -> String {
    let (_, after) = GUIDE.split_once(&format!("```{language}\n{first}\n")).expect("the guide shows it");
    let (rest, _) = after.split_once("```").expect("a block ends");
    format!("{first}\n{rest}")
}

#[test]
fn the_table_of_the_guide_decides_alike_in_toml_and_in_yaml() {
    let toml = MethodPolicy::text(shown("toml", "[methods]")).read().expect("a policy");
    let yaml = MethodPolicy::yaml(shown("yaml", "methods:")).read().expect("a policy");
    for (method, role, is_allowed) in [
        ("/myapp.v1.UserService/GetUser", "user:read", true),
        ("/myapp.v1.UserService/GetUser", "data:export", false),
        ("/myapp.v1.UserService/DeleteUser", "admin", true),
        ("/myapp.v1.UserService/DeleteUser", "user:read", false),
        ("/myapp.v1.DataService/Export", "data:export", true),
        ("/myapp.v1.DataService/Import", "admin", false),
    ] {
        let claims = format!(r#"{{ "iss": "https://issuer.example.org", "sub": "alice", "roles": ["{role}"] }}"#);
        let call = Supposed::call(method).by_claims(claims.as_bytes()).expect("claims");
        for policy in [&toml, &yaml] {
            assert_eq!(policy.explain(&call).decision().is_allowed(), is_allowed, "{method} by {role}");
        }
    }
}
