use super::*;

fn invalid(origin: &str) -> InvalidOrigin {
    match Web::origins([origin]).build() {
        Err(InvalidWeb::Origin { origin: named, reason }) => {
            assert_eq!(named, origin);
            reason
        }
        other => panic!("{origin:?}: {other:?}"),
    }
}

#[test]
fn origins_are_taken_as_browsers_write_them() {
    for origin in [
        "https://app.example.org",
        "https://app.example.org:8443",
        "https://localhost",
        "http://localhost:8080",
        "http://127.0.0.1:3000",
        "https://[2001:db8::1]",
        "https://[::1]:8443",
        "https://xn--bcher-kva.example.org",
        "http://app.example.org",
        "app-scheme://shell",
    ] {
        assert!(Web::origins([origin]).build().is_ok(), "{origin}");
    }
}

#[test]
fn what_no_browser_would_write_is_an_error() {
    for (origin, reason) in [
        ("", InvalidOrigin::NoScheme),
        ("null", InvalidOrigin::NoScheme),
        ("app.example.org", InvalidOrigin::NoScheme),
        ("//app.example.org", InvalidOrigin::NoScheme),
        ("://app.example.org", InvalidOrigin::NoScheme),
        ("HTTPS://app.example.org", InvalidOrigin::NoScheme),
        (" https://app.example.org", InvalidOrigin::NoScheme),
        ("*", InvalidOrigin::Pattern),
        ("https://*.example.org", InvalidOrigin::Pattern),
        ("https://app.example.org/", InvalidOrigin::Path),
        ("https://app.example.org/page", InvalidOrigin::Path),
        ("https://app.example.org?a", InvalidOrigin::Path),
        ("https://app.example.org#a", InvalidOrigin::Path),
        ("https://", InvalidOrigin::Host),
        ("https://App.example.org", InvalidOrigin::Host),
        ("https://bücher.example.org", InvalidOrigin::Host),
        ("https://user@app.example.org", InvalidOrigin::Host),
        ("https://app..example.org", InvalidOrigin::Host),
        ("https://app.example.org ", InvalidOrigin::Host),
        ("https://app.example.org,https:", InvalidOrigin::Host),
        ("https://[::0001]", InvalidOrigin::Host),
        ("https://[::1", InvalidOrigin::Host),
        ("https://2001:db8::1", InvalidOrigin::Host),
        ("https://app.example.org:", InvalidOrigin::Port),
        ("https://app.example.org:0", InvalidOrigin::Port),
        ("https://app.example.org:08443", InvalidOrigin::Port),
        ("https://app.example.org:+8443", InvalidOrigin::Port),
        ("https://app.example.org:65536", InvalidOrigin::Port),
        ("https://app.example.org:443", InvalidOrigin::OwnPort),
        ("http://app.example.org:80", InvalidOrigin::OwnPort),
    ] {
        assert_eq!(invalid(origin), reason, "{origin:?}");
    }
}

#[test]
fn a_wildcard_with_credentials_cannot_be_made() {
    assert_eq!(Web::any_origin().allow_credentials().build().unwrap_err(), InvalidWeb::CredentialsOfAnyOrigin);
    assert!(Web::any_origin().build().is_ok());
    assert!(matches!(Web::origins(["*"]).allow_credentials().build(), Err(InvalidWeb::Origin { .. })));
}

#[test]
fn pages_that_come_unencrypted_are_not_given_the_browsers_credentials() {
    for origin in ["http://app.example.org", "http://128.0.0.1", "http://localhost.example.org", "http://[::2]"] {
        let credentials = Web::origins([origin]).allow_credentials().build();
        assert_eq!(credentials.unwrap_err(), InvalidWeb::CredentialsInTheClear { origin: origin.into() });
    }
    for origin in ["https://app.example.org", "http://localhost:8080", "http://127.0.0.2", "http://[::1]:8080"] {
        assert!(Web::origins([origin]).allow_credentials().build().is_ok(), "{origin}");
    }
}

#[test]
fn grpc_web_for_nobody_is_an_error() {
    assert_eq!(Web::origins(Vec::<String>::new()).build().unwrap_err(), InvalidWeb::NoOrigin);
}

#[test]
fn headers_are_named_in_full() {
    for name in ["*", "", "x tenant", "x-tenant, x-user", "x-\n"] {
        let origins = || Web::origins(["https://app.example.org"]);
        let expected = InvalidWeb::Header { name: name.into() };
        assert_eq!(origins().allow_headers([name]).build().unwrap_err(), expected);
        assert_eq!(origins().expose_headers([name]).build().unwrap_err(), expected);
    }
    let names = header_names(ALLOWED_HEADERS, &["X-Tenant".into(), "Authorization".into(), "x-tenant".into()]).unwrap();
    assert_eq!(names[ALLOWED_HEADERS.len()..], [HeaderName::from_static("x-tenant")]);
}
