//! A server that asks who calls, and callers of all kinds.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use evercert::auth::{MethodPolicy, Security, SecurityBuilder, Tokens};
use evercert::client::Endpoint;
use evercert::source::DirectorySettings;
use evercert::tls::OwnCertificate;
use evercert::{Channel, ClientCertificates, Identity, Server};
use evercert_examples::GreeterService;
use evercert_examples::v1::greeter_server::GreeterServer;
use evercert_fixtures::{Authority, Issued, KubeletVolume, TokenIssuer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::{Code, Request};

use crate::counted::{Counted, KEEP_OPEN};
use crate::side::leaf;
use crate::testing::test_service_client::TestServiceClient;
use crate::testing::test_service_server::TestServiceServer;
use crate::testing::{Empty, SimpleRequest, StreamingInputCallRequest, StreamingOutputCallRequest};

/// Whose tokens are taken.
pub const ISSUER: &str = "https://issuer.example.org";
/// Whom they have to be for.
pub const AUDIENCE: &str = "testing";
/// The SPIFFE ID on the certificate of callers that have one.
pub const CALLER: &str = "spiffe://example.org/ns/testing/sa/caller";

/// The rules of [`Method::expected`], as a policy is written.
pub const POLICY: &str = r#"
[methods]
"/grpc.testing.TestService/EmptyCall" = "authenticated"
"/grpc.testing.TestService/UnaryCall" = ["caller", "admin"]
"/grpc.testing.TestService/StreamingOutputCall" = { spiffe_ids = ["spiffe://example.org/ns/testing/sa/caller"] }
"/grpc.testing.TestService/StreamingInputCall" = { trust_domains = ["example.org"], roles = ["caller"] }
"/grpc.testing.TestService/FullDuplexCall" = { scopes = ["talk"] }
"#;

/// The files of a server and its callers, and who issues them.
#[derive(Debug)]
pub struct Stage {
    authority: Authority,
    issuer: TokenIssuer,
    server: KubeletVolume,
    caller: KubeletVolume,
    documents: TempDir,
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Guarded {
    /// The calls that reached its handlers.
    pub counted: Counted,
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Stage {
    /// With a policy of [`POLICY`].
    #[must_use]
    pub fn new() -> Self {
        let authority = Authority::new("root");
        let volume = |issued: &Issued| KubeletVolume::new(&issued.files());
        let stage = Self {
            server: volume(&authority.issue(leaf())),
            caller: volume(&authority.issue(leaf().uri(CALLER))),
            issuer: TokenIssuer::es256("first"),
            documents: tempfile::tempdir().unwrap(),
            authority,
        };
        stage.write(&stage.policy_file(), POLICY);
        stage.write(&stage.keys_file(), &stage.issuer.jwks());
        stage
    }

    /// Replaces a document as a whole, as operators and the kubelet do.
    pub fn write(&self, path: &Path, content: &str) {
        let next = self.documents.path().join("next");
        std::fs::write(&next, content).unwrap();
        std::fs::rename(next, path).unwrap();
    }

    /// The file of the policy.
    #[must_use]
    pub fn policy_file(&self) -> PathBuf {
        self.documents.path().join("policy.toml")
    }

    /// The file of the keys.
    #[must_use]
    pub fn keys_file(&self) -> PathBuf {
        self.documents.path().join("jwks.json")
    }

    /// What callers have mounted.
    #[must_use]
    pub fn caller_directory(&self) -> DirectorySettings {
        DirectorySettings::new(self.caller.path())
    }

    /// The issuer whose keys are in the file at first.
    #[must_use]
    pub fn issuer(&self) -> &TokenIssuer {
        &self.issuer
    }

    /// The authority of all certificates.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Mounts new certificates for the server and for callers.
    pub fn rotate(&self) {
        self.server.swap(&self.authority.issue(leaf()).files());
        self.caller.swap(&self.authority.issue(leaf().uri(CALLER)).files());
    }

    /// A security of the files, before it is built.
    pub fn security(&self) -> SecurityBuilder {
        let tokens = Tokens::jwks_file(self.keys_file()).issuer(ISSUER).audience(AUDIENCE).leeway(Duration::ZERO);
        Security::builder().tokens(tokens).policy(MethodPolicy::file(self.policy_file()))
    }

    /// Serves with it: certificates are asked for, and not demanded.
    pub async fn serve(&self, security: Security) -> Guarded {
        self.serve_with(|server| server.security(security)).await
    }

    /// Serves with settings of one's own.
    pub async fn serve_with(&self, settings: impl FnOnce(Server) -> Server) -> Guarded {
        let identity = Identity::from_directory(DirectorySettings::new(self.server.path())).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counted = Counted::default();
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
        let routes = Routes::new(TestServiceServer::new(counted.clone()))
            .add_service(GreeterServer::new(GreeterService))
            .add_service(health);
        let server = settings(Server::new(&identity).client_certificates(ClientCertificates::Optional));
        let task = tokio::spawn(async move {
            server.serve(routes, listener, std::future::pending()).await.unwrap();
        });
        Guarded { counted, address, task }
    }

    /// A channel of a caller with a certificate, or without.
    pub async fn channel(&self, server: &Guarded, has_certificate: bool) -> Channel {
        let identity = Identity::from_directory(DirectorySettings::new(self.caller.path())).await.unwrap();
        let certificate = if has_certificate { OwnCertificate::Presented } else { OwnCertificate::Withheld };
        let endpoint = Endpoint::new(format!("https://{}", server.address)).unwrap();
        endpoint.client_certificate(certificate).connect(&identity).await.unwrap()
    }

    /// A channel of a caller with this certificate.
    pub async fn channel_of(&self, server: &Guarded, issued: &Issued) -> Channel {
        let volume = KubeletVolume::new(&issued.files());
        let identity = Identity::from_directory(DirectorySettings::new(volume.path())).await.unwrap();
        Endpoint::new(format!("https://{}", server.address)).unwrap().connect(&identity).await.unwrap()
    }

    /// A token of this kind.
    #[must_use]
    pub fn token(&self, kind: Token) -> Option<String> {
        Self::token_by(&self.issuer, kind)
    }

    /// The same by another issuer.
    #[must_use]
    pub fn token_by(issuer: &TokenIssuer, kind: Token) -> Option<String> {
        let now = SystemTime::now();
        let claims =
            |issuer, audience| evercert_fixtures::claims(issuer, audience, "alice", now, Duration::from_secs(3600));
        let with_role = |mut claims: Value| {
            claims["roles"] = json!(["caller"]);
            claims["scope"] = "read talk".into();
            claims
        };
        let good = with_role(claims(ISSUER, AUDIENCE));
        Some(match kind {
            Token::None => return None,
            Token::Garbage => "a.b.c".to_owned(),
            Token::Forged => TokenIssuer::es256(issuer.kid()).sign(&good),
            Token::Expired => {
                let mut claims = good;
                claims["exp"] = json!(1_500_000_000);
                issuer.sign(&claims)
            }
            Token::WrongAudience => issuer.sign(&with_role(claims(ISSUER, "billing"))),
            Token::WrongIssuer => issuer.sign(&with_role(claims("https://other.example.org", AUDIENCE))),
            Token::WithoutRole => issuer.sign(&claims(ISSUER, AUDIENCE)),
            Token::Good => issuer.sign(&good),
        })
    }
}

impl Stage {
    /// A token that may do everything, for this long.
    #[must_use]
    pub fn token_for(&self, lifetime: Duration) -> String {
        let mut claims = evercert_fixtures::claims(ISSUER, AUDIENCE, "alice", SystemTime::now(), lifetime);
        claims["roles"] = json!(["caller"]);
        claims["scope"] = "talk".into();
        self.issuer.sign(&claims)
    }
}

/// A token as a caller may send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Token {
    None,
    Garbage,
    /// By another key of the same name.
    Forged,
    Expired,
    WrongAudience,
    WrongIssuer,
    /// One that is valid, of somebody who may do little.
    WithoutRole,
    Good,
}

impl Token {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Garbage,
        Self::Forged,
        Self::Expired,
        Self::WrongAudience,
        Self::WrongIssuer,
        Self::WithoutRole,
        Self::Good,
    ];

    fn is_valid(self) -> bool {
        matches!(self, Self::WithoutRole | Self::Good)
    }
}

/// A method, one of each kind and one without a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Method {
    Empty,
    Unary,
    ServerStreaming,
    ClientStreaming,
    Bidirectional,
    Unruled,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Empty, Self::Unary, Self::ServerStreaming, Self::ClientStreaming, Self::Bidirectional, Self::Unruled];

    /// What a call has to end with, by the words of [`POLICY`].
    #[must_use]
    pub fn expected(self, token: Token, has_certificate: bool) -> Code {
        let (is_known, has_role) = (has_certificate || token.is_valid(), token == Token::Good);
        if token != Token::None && !token.is_valid() || !is_known {
            return Code::Unauthenticated;
        }
        let (lacks, is_wrong) = match self {
            Self::Empty => (false, false),
            Self::Unary | Self::Bidirectional => (!token.is_valid(), !has_role),
            Self::ServerStreaming => (!has_certificate, false),
            Self::ClientStreaming => (!has_certificate || !token.is_valid(), !has_role),
            Self::Unruled => (false, true),
        };
        match (lacks, is_wrong) {
            // Whose token is wrong is helped by no certificate.
            (true, true) if token.is_valid() => Code::PermissionDenied,
            (true, _) => Code::Unauthenticated,
            (false, true) => Code::PermissionDenied,
            (false, false) => Code::Ok,
        }
    }

    /// Makes such a call to its end.
    pub async fn call(self, channel: &Channel, token: Option<&str>) -> Code {
        let mut client = TestServiceClient::new(channel.clone());
        let outcome = match self {
            Self::Empty => client.empty_call(with(Empty {}, token)).await.map(drop),
            Self::Unary => client.unary_call(with(SimpleRequest::default(), token)).await.map(drop),
            Self::ServerStreaming => {
                let request = with(StreamingOutputCallRequest::default(), token);
                match client.streaming_output_call(request).await {
                    Ok(replies) => to_the_end(replies.into_inner()).await,
                    Err(status) => Err(status),
                }
            }
            Self::ClientStreaming => {
                let requests = tokio_stream::iter(vec![StreamingInputCallRequest::default(); 2]);
                client.streaming_input_call(with(requests, token)).await.map(drop)
            }
            Self::Bidirectional => {
                let requests = tokio_stream::iter(vec![StreamingOutputCallRequest::default(); 2]);
                match client.full_duplex_call(with(requests, token)).await {
                    Ok(replies) => to_the_end(replies.into_inner()).await,
                    Err(status) => Err(status),
                }
            }
            Self::Unruled => {
                let mut client = evercert_examples::v1::greeter_client::GreeterClient::new(channel.clone());
                let request = evercert_examples::v1::HelloRequest { name: "x".into() };
                client.say_hello(with(request, token)).await.map(drop)
            }
        };
        outcome.map_or_else(|status| status.code(), |()| Code::Ok)
    }
}

async fn to_the_end<T>(mut replies: tonic::Streaming<T>) -> Result<(), tonic::Status> {
    while replies.message().await?.is_some() {}
    Ok(())
}

/// A request with this token.
pub fn with<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    request
}

/// The same for a call that is kept open.
pub fn kept_open<T>(message: T, token: Option<&str>) -> Request<T> {
    let mut request = with(message, token);
    request.metadata_mut().insert(KEEP_OPEN, "yes".parse().unwrap());
    request
}
