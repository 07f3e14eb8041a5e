//! A server of gRPC and gRPC-Web that counts what reaches its handlers, and a browser's side of it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};

use bytes::Bytes;
use evercert::auth::{Security, Web};
use evercert::{ClientCertificates, HttpVersions, Identity, Server};
use evercert_core::crypto::provider;
use evercert_fixtures::{Authority, Issued, KubeletVolume, wait};
use http::{HeaderMap, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower::Service;

/// The name of the server.
pub(crate) const NAME: &str = "api.example.org";
/// The origin of the pages that may call.
pub(crate) const APP: &str = "https://app.example.org";
/// A unary method, and one with a stream of replies that ends with an error.
pub(crate) const CHECK: &str = "/testing.v1.Pages/Check";
pub(crate) const WATCH: &str = "/testing.v1.Pages/Watch";
/// An empty message, with the five octets before it.
pub(crate) const MESSAGE: &[u8] = &[0; 5];
/// The reply: one field of one octet.
pub(crate) const REPLY: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

pub(crate) const BOTH: [Version; 2] = [Version::HTTP_11, Version::HTTP_2];

struct Counting(Arc<AtomicUsize>);

#[tonic::async_trait]
impl Health for Counting {
    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        self.0.fetch_add(1, SeqCst);
        if request.metadata().contains_key("forever") {
            std::future::pending::<()>().await;
        }
        match request.metadata().get("authorization") {
            Some(_) => Ok(tonic::Response::new(HealthCheckResponse { status: 1 })),
            None => Err(Status::unauthenticated("bring a token, and then some: ü")),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        self.0.fetch_add(1, SeqCst);
        let reply = || Ok(HealthCheckResponse { status: 1 });
        if request.metadata().contains_key("forever") {
            let replies = tokio_stream::iter([reply(), reply()]).chain(tokio_stream::pending());
            return Ok(tonic::Response::new(Box::pin(replies)));
        }
        let replies = [reply(), reply(), Err(Status::unauthenticated("the token has expired"))];
        Ok(tonic::Response::new(Box::pin(tokio_stream::iter(replies))))
    }
}

/// The service under a name that is not exempt from anything.
#[derive(Clone)]
struct Pages(HealthServer<Counting>);

impl NamedService for Pages {
    const NAME: &'static str = "testing.v1.Pages";
}

impl Service<Request<Body>> for Pages {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <HealthServer<Counting> as Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.0, cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let path = request.uri().path().replace(Self::NAME, "grpc.health.v1.Health");
        *request.uri_mut() = path.parse().unwrap();
        self.0.call(request)
    }
}

pub(crate) struct Stage {
    ca: Authority,
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
    _volume: KubeletVolume,
}

impl Stage {
    /// With pages of [`APP`].
    pub(crate) async fn new() -> Self {
        Self::with(Web::origins([APP])).await
    }

    pub(crate) async fn with(web: Web) -> Self {
        let layer = web.build().unwrap();
        Self::of(|server, routes, listener| async move {
            let server = server.http_versions(HttpVersions::Http1And2).layer(layer);
            server.serve(routes, listener, std::future::pending()).await.unwrap();
        })
        .await
    }

    /// Behind a security.
    pub(crate) async fn secured(security: Security) -> Self {
        Self::of(|server, routes, listener| async move {
            server.security(security).serve(routes, listener, std::future::pending()).await.unwrap();
        })
        .await
    }

    /// Served as `serve` does it.
    async fn of<F>(serve: impl FnOnce(Server, Routes, TcpListener) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let ca = Authority::new("root");
        let volume = KubeletVolume::new(&ca.issue_dns(NAME).files());
        let identity = Identity::from_directory(volume.path()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::<AtomicUsize>::default();
        let routes = Routes::new(Pages(HealthServer::new(Counting(Arc::clone(&calls)))));
        let server = Server::new(&identity).client_certificates(ClientCertificates::Optional);
        let serving = tokio::spawn(serve(server, routes, listener));
        Self { ca, address, calls, serving, _volume: volume }
    }

    /// How many calls have reached a handler.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    /// A client as browsers are: without a certificate.
    pub(crate) async fn connect(&self, version: Version) -> Client {
        self.try_connect(version).await.unwrap()
    }

    pub(crate) async fn try_connect(&self, version: Version) -> std::io::Result<Client> {
        self.connect_as(version, None).await
    }

    /// A client with a certificate of a user's.
    pub(crate) async fn connect_as_user(&self, version: Version) -> Client {
        self.connect_as(version, Some(self.ca.issue_dns("user.example.org"))).await.unwrap()
    }

    async fn connect_as(&self, version: Version, own: Option<Issued>) -> std::io::Result<Client> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.ca.ca_der())).unwrap();
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_webpki_verifier(verifier);
        let mut config = match own {
            Some(own) => {
                let key = PrivatePkcs8KeyDer::from(own.key_der).into();
                config.with_client_auth_cert(vec![own.leaf_der.into()], key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![if version == Version::HTTP_2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let tcp = TcpStream::connect(self.address).await?;
        let connecting = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(NAME).unwrap(), tcp);
        let io = TokioIo::new(wait::soon("the handshake", connecting).await?);
        Ok(if version == Version::HTTP_2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
            tokio::spawn(connection);
            Client::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            Client::Http1(sender)
        })
    }

    /// One request over a connection of its own.
    pub(crate) async fn ask(&self, version: Version, request: Ask) -> Answer {
        self.connect(version).await.ask(request).await
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A request, before it is one of a version of HTTP.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    method: http::Method,
    path: &'static str,
    headers: HeaderMap,
    body: Bytes,
}

impl Ask {
    pub(crate) fn new(method: http::Method, path: &'static str) -> Self {
        Self { method, path, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A call by gRPC-Web, with a token, of no page.
    pub(crate) fn call(path: &'static str) -> Self {
        Self::new(http::Method::POST, path)
            .with("content-type", "application/grpc-web+proto")
            .with("authorization", "Bearer of-the-test")
            .body(MESSAGE)
    }

    /// A preflight for such a call of a page.
    pub(crate) fn preflight(origin: &str) -> Self {
        Self::new(http::Method::OPTIONS, CHECK)
            .with("origin", origin)
            .with("access-control-request-method", "POST")
            .with("access-control-request-headers", "authorization,content-type,x-grpc-web,x-user-agent,grpc-timeout")
    }

    /// With one more header, beside others of its name.
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(name, value.parse().unwrap());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Bytes::copy_from_slice(body.as_ref());
        self
    }
}

pub(crate) enum Client {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    pub(crate) async fn ask(&mut self, ask: Ask) -> Answer {
        let mut request = Request::new(Full::from(ask.body));
        *request.method_mut() = ask.method;
        *request.headers_mut() = ask.headers;
        let answer = match self {
            Self::Http1(sender) => {
                *request.uri_mut() = ask.path.parse().unwrap();
                request.headers_mut().insert(header::HOST, NAME.parse().unwrap());
                wait::soon("the answer", sender.send_request(request)).await.unwrap()
            }
            Self::Http2(sender) => {
                *request.uri_mut() = format!("https://{NAME}{}", ask.path).parse().unwrap();
                wait::soon("the answer", sender.send_request(request)).await.unwrap()
            }
        };
        let (head, body) = answer.into_parts();
        let body = wait::soon("the body", body.collect()).await.unwrap();
        let trailers = body.trailers().cloned();
        Answer { status: head.status, headers: head.headers, body: body.to_bytes(), trailers }
    }
}

#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The names in a header that lists some, sorted.
    pub(crate) fn names(&self, name: &str) -> Vec<&str> {
        let mut names: Vec<_> = self.header(name).unwrap_or_default().split(',').map(str::trim).collect();
        names.sort_unstable();
        names
    }

    /// What a page gets of a call: its status and message, from the trailers in the body or, where the call brought no reply, from the
    /// headers that are exposed; and the bytes of the replies.
    pub(crate) fn outcome(&self) -> (Code, String, &[u8]) {
        assert_eq!((self.status, &self.trailers), (StatusCode::OK, &None), "a page is shown no trailers of HTTP's");
        let mut replies = 0;
        while self.body.get(replies).is_some_and(|flags| flags & 0x80 == 0) {
            let length = u32::from_be_bytes(self.body[replies + 1..replies + 5].try_into().unwrap());
            replies += 5 + length as usize;
        }
        let (replies, trailers) = self.body.split_at(replies);
        let field = |name: &str| {
            let text = std::str::from_utf8(trailers.get(5..).unwrap_or_default()).unwrap();
            let in_body = text
                .lines()
                .find_map(|line| line.split_once(':').filter(|(key, _)| *key == name))
                .map(|(_, value)| value);
            in_body.or_else(|| {
                assert!(self.names("access-control-expose-headers").contains(&name), "{name} is not exposed");
                self.header(name)
            })
        };
        let code = Code::from_bytes(field("grpc-status").unwrap().as_bytes());
        let message = if code == Code::Ok { String::new() } else { field("grpc-message").unwrap_or_default().into() };
        (code, message, replies)
    }
}
