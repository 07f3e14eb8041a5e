//! What a handler may demand of a principal.

use evercert_core::digest::Digest;
use evercert_core::spiffe::{SpiffeId, TrustDomain};
use tonic::Status;

use super::Principal;
use crate::auth::claims::Claims;
use crate::peer::{NO_CERTIFICATE, NOT_THE_ONE, PeerIdentity};

/// What a caller is told that has proven nothing.
const NOBODY: &str = "a certificate or a token is required";

/// What a caller is told that sends no token where one is needed.
const NO_TOKEN: &str = "a bearer token is required";

/// For handlers: each of these fails with `UNAUTHENTICATED` where what is asked for is missing and could be brought, and with
/// `PERMISSION_DENIED` where it is another. The caller is not told what would have been right.
///
/// ```
/// # fn handler(request: tonic::Request<()>) -> Result<(), tonic::Status> {
/// use evercert::auth::Principal;
///
/// let principal = Principal::required(&request)?;
/// principal.require_text("roles", "admin")?;
/// # Ok(())
/// # }
/// ```
impl Principal {
    /// The principal of a request that was authenticated.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED`: the caller has proven nothing, or nobody asked it to.
    pub fn required<T>(request: &tonic::Request<T>) -> Result<&Self, Status> {
        Self::of(request).ok_or_else(|| Status::unauthenticated(NOBODY))
    }

    /// Demands a certificate.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED`: it has shown none.
    pub fn require_certificate(&self) -> Result<&PeerIdentity, Status> {
        self.certificate().ok_or_else(|| Status::unauthenticated(NO_CERTIFICATE))
    }

    /// Demands a token.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED`: it has sent none.
    pub fn require_claims(&self) -> Result<&Claims, Status> {
        self.claims().ok_or_else(|| Status::unauthenticated(NO_TOKEN))
    }

    /// Demands this SPIFFE ID, of its certificate or else of a JWT-SVID.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED`: neither has one and there is no certificate; `PERMISSION_DENIED`: it is another one.
    pub fn require_spiffe_id(&self, wanted: &SpiffeId) -> Result<(), Status> {
        self.require_id(|id| id == wanted)
    }

    /// Demands a SPIFFE ID of this trust domain, of its certificate or else of a JWT-SVID.
    ///
    /// # Errors
    ///
    /// As of [`Principal::require_spiffe_id`].
    pub fn require_trust_domain(&self, wanted: &TrustDomain) -> Result<(), Status> {
        self.require_id(|id| id.trust_domain() == wanted)
    }

    fn require_id(&self, is_wanted: impl FnOnce(&SpiffeId) -> bool) -> Result<(), Status> {
        match self.spiffe_id() {
            Some(id) if is_wanted(id) => Ok(()),
            None if self.certificate().is_none() => Err(Status::unauthenticated(NO_CERTIFICATE)),
            _ => Err(Status::permission_denied(NOT_THE_ONE)),
        }
    }

    /// Demands a certificate with this DNS name: [`PeerIdentity::require_dns_name`].
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED`: there is no certificate; `PERMISSION_DENIED`: it does not have the name.
    pub fn require_dns_name(&self, wanted: &str) -> Result<(), Status> {
        self.require_certificate()?.require_dns_name(wanted)
    }

    /// Demands this certificate.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED`: there is no certificate; `PERMISSION_DENIED`: it is another one.
    pub fn require_fingerprint(&self, wanted: Digest) -> Result<(), Status> {
        self.require_certificate()?.require_fingerprint(wanted)
    }

    /// Demands a token whose claim at `path` has this text among its own, as [`Claims::texts_at`] finds them: a role.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED`: there is no token; `PERMISSION_DENIED`: it does not have the text.
    pub fn require_text(&self, path: &str, wanted: &str) -> Result<(), Status> {
        let mut texts = self.require_claims()?.texts_at(path);
        if texts.any(|text| text == wanted) { Ok(()) } else { Err(Status::permission_denied(NOT_THE_ONE)) }
    }

    /// Demands a token with this scope: the claim `scope` (RFC 8693 §4.2).
    ///
    /// # Errors
    ///
    /// As of [`Principal::require_text`].
    pub fn require_scope(&self, wanted: &str) -> Result<(), Status> {
        self.require_scope_at("scope", wanted)
    }

    /// Demands a token with this scope in the claim at `path`, among those that [`Claims::scopes_at`] finds: for an issuer that has them in
    /// `scp`, say.
    ///
    /// # Errors
    ///
    /// As of [`Principal::require_text`].
    pub fn require_scope_at(&self, path: &str, wanted: &str) -> Result<(), Status> {
        let mut scopes = self.require_claims()?.scopes_at(path);
        if scopes.any(|scope| scope == wanted) { Ok(()) } else { Err(Status::permission_denied(NOT_THE_ONE)) }
    }

    /// Demands a token with this role: the claim `roles`. Where an issuer has it elsewhere, [`Principal::require_text`] takes its path.
    ///
    /// # Errors
    ///
    /// As of [`Principal::require_text`].
    pub fn require_role(&self, wanted: &str) -> Result<(), Status> {
        self.require_text("roles", wanted)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use serde_json::json;
    use tonic::{Code, Request};

    use super::*;

    fn by_token(all: serde_json::Value, spiffe_id: Option<&str>) -> Principal {
        let serde_json::Value::Object(all) = all else { panic!("no object") };
        let expires = SystemTime::now() + Duration::from_secs(60);
        let spiffe_id = spiffe_id.map(|id| id.parse().unwrap());
        let claims = Claims::verified("https://issuer.example.org".into(), "alice".into(), expires, spiffe_id, all);
        Principal::new(None, Some(claims)).unwrap()
    }

    #[test]
    fn a_role_is_found_where_the_issuer_has_it() {
        let principal =
            by_token(json!({"roles": ["admin"], "scope": "read write", "realm_access": {"roles": ["x"]}}), None);
        assert!(principal.require_role("admin").is_ok());
        assert!(principal.require_scope("write").is_ok());
        assert!(principal.require_text("realm_access.roles", "x").is_ok());
        for wrong in
            [principal.require_role("Admin"), principal.require_scope("read write"), principal.require_role("")]
        {
            assert_eq!(wrong.unwrap_err().code(), Code::PermissionDenied);
        }
    }

    #[test]
    fn a_text_is_one_role_and_its_words_are_scopes_as_for_a_policy() {
        let text = "guest admin";
        let principal = by_token(json!({"roles": text, "scope": text, "scp": text, "groups": [text]}), None);
        assert!(principal.require_role(text).is_ok() && principal.require_text("groups", text).is_ok());
        assert!(principal.require_scope("admin").is_ok() && principal.require_scope_at("scp", "guest").is_ok());
        for wrong in [
            principal.require_role("admin"),
            principal.require_text("roles", "guest"),
            principal.require_text("scope", "admin"),
            principal.require_scope_at("groups", "admin"),
            principal.require_scope(text),
        ] {
            assert_eq!(wrong.unwrap_err().code(), Code::PermissionDenied);
        }
    }

    #[test]
    fn what_could_be_brought_is_unauthenticated_and_what_is_another_is_denied() {
        let (id, other) = ("spiffe://example.org/a".parse().unwrap(), "spiffe://example.org/b".parse().unwrap());
        let svid = by_token(json!({}), Some("spiffe://example.org/a"));
        assert!(svid.require_spiffe_id(&id).is_ok());
        assert_eq!(svid.require_spiffe_id(&other).unwrap_err().code(), Code::PermissionDenied);
        let user = by_token(json!({}), None);
        for missing in [user.require_spiffe_id(&id), user.require_dns_name("a.example.org")] {
            assert_eq!(missing.unwrap_err().code(), Code::Unauthenticated);
        }
        assert_eq!(Principal::required(&Request::new(())).unwrap_err().code(), Code::Unauthenticated);
    }

    #[test]
    fn its_claims_are_read_as_a_type_of_ones_own() {
        #[derive(serde::Deserialize)]
        struct Own {
            tenant: String,
        }
        let own: Own = by_token(json!({"tenant": "t1"}), None).require_claims().unwrap().deserialize().unwrap();
        assert_eq!(own.tenant, "t1");
    }

    #[test]
    fn it_is_written_into_logs_on_one_line() {
        let expires = SystemTime::now();
        let claims = Claims::verified("i".into(), "a\nb".into(), expires, None, serde_json::Map::new());
        let principal = Principal::new(None, Some(claims)).unwrap();
        assert_eq!(principal.key().to_string(), "i/a\\nb");
    }
}
