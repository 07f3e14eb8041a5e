//! An issuer at a URL: a real server of HTTPS, which counts what it is asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use evercert::Identity;
use evercert::auth::{TokenVerifier, Tokens};
use evercert_fixtures::{Authority, Leaf, PlainDirectory, TokenIssuer};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::service::AUDIENCE;

const DOCUMENT: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/keys";

/// What an issuer answers with.
#[derive(Clone)]
pub(crate) enum Answer {
    Text(String),
    /// The same, after a while.
    Late(String, Duration),
    Status(StatusCode),
    Redirect(&'static str),
    /// Nothing, ever.
    Silence,
}

/// An issuer on a runtime of its own.
pub(crate) struct Site {
    pub(crate) url: String,
    pub(crate) ca: Arc<Authority>,
    state: Arc<State>,
    serving: Option<Runtime>,
}

struct State {
    document: Mutex<Answer>,
    keys: Mutex<Answer>,
    asked: AtomicUsize,
    fetched: AtomicUsize,
    elsewhere: AtomicUsize,
    /// How many connections showed a certificate.
    shown: AtomicUsize,
}

impl Site {
    pub(crate) fn new(keys: &TokenIssuer) -> Self {
        Self::speaking(&[b"h2", b"http/1.1"], keys)
    }

    pub(crate) fn speaking(alpn: &[&[u8]], keys: &TokenIssuer) -> Self {
        Self::of(Arc::new(Authority::new("ca")), alpn, keys)
    }

    /// Another one, at another port, that is vouched for by the same authority.
    pub(crate) fn beside(&self, keys: &TokenIssuer) -> Self {
        Self::of(Arc::clone(&self.ca), &[b"h2"], keys)
    }

    fn of(ca: Arc<Authority>, alpn: &[&[u8]], keys: &TokenIssuer) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = url(listener.local_addr().unwrap());
        let document = json!({"issuer": url, "jwks_uri": format!("{url}{KEYS}")}).to_string();
        let state = Arc::new(State {
            document: Mutex::new(Answer::Text(document)),
            keys: Mutex::new(Answer::Text(keys.jwks())),
            asked: AtomicUsize::new(0),
            fetched: AtomicUsize::new(0),
            elsewhere: AtomicUsize::new(0),
            shown: AtomicUsize::new(0),
        });
        let serving = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        listener.set_nonblocking(true).unwrap();
        let acceptor = acceptor(&ca, alpn);
        serving.spawn(serve(listener, acceptor, Arc::clone(&state)));
        Self { url, ca, state, serving: Some(serving) }
    }

    pub(crate) fn set_keys<'a>(&self, keys: impl IntoIterator<Item = &'a TokenIssuer>) {
        self.answer(Answer::Text(TokenIssuer::jwks_of(keys)));
    }

    pub(crate) fn answer(&self, keys: Answer) {
        *self.state.keys.lock() = keys;
    }

    pub(crate) fn describe(&self, document: Answer) {
        *self.state.document.lock() = document;
    }

    pub(crate) fn describe_with(&self, change: impl FnOnce(&mut Value)) {
        let mut document = json!({"issuer": self.url, "jwks_uri": format!("{}{KEYS}", self.url)});
        change(&mut document);
        self.describe(Answer::Text(document.to_string()));
    }

    /// How often its keys were fetched.
    pub(crate) fn fetched(&self) -> usize {
        self.state.fetched.load(SeqCst)
    }

    /// How often it was asked about itself.
    pub(crate) fn asked(&self) -> usize {
        self.state.asked.load(SeqCst)
    }

    /// How often it was asked for what nobody has to ask for.
    pub(crate) fn elsewhere(&self) -> usize {
        self.state.elsewhere.load(SeqCst)
    }

    /// How many connections showed a client's certificate.
    pub(crate) fn shown(&self) -> usize {
        self.state.shown.load(SeqCst)
    }

    pub(crate) async fn identity(&self) -> Identity {
        identity(&self.ca).await
    }

    pub(crate) async fn tokens(&self) -> Tokens {
        Tokens::discover(&self.url, &self.identity().await).audience(AUDIENCE)
    }

    pub(crate) async fn verifier(&self) -> TokenVerifier {
        self.tokens().await.build().unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Without waiting, which a test on a runtime must not do.
        if let Some(serving) = self.serving.take() {
            serving.shutdown_background();
        }
    }
}

/// An identity that trusts this authority.
pub(crate) async fn identity(ca: &Authority) -> Identity {
    let directory = PlainDirectory::new(&ca.issue_dns("client.example.org").files());
    Identity::from_directory(directory.path()).await.unwrap()
}

fn url(address: SocketAddr) -> String {
    format!("https://{address}")
}

fn acceptor(ca: &Authority, alpn: &[&[u8]]) -> TlsAcceptor {
    let issued = ca.issue(Leaf::for_dns("localhost").ip([127, 0, 0, 1].into()));
    let key = PrivateKeyDer::Pkcs8(issued.key_der.clone().into());
    let mut config = ServerConfig::builder_with_provider(evercert_core::crypto::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(client_verifier(ca))
        .with_single_cert(vec![issued.leaf_der.clone().into()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config).into()
}

/// Asks for a client's certificate, and takes clients without.
fn client_verifier(ca: &Authority) -> Arc<dyn ClientCertVerifier> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.ca_der().to_vec().into()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), evercert_core::crypto::provider());
    verifier.allow_unauthenticated().build().unwrap()
}

async fn serve(listener: std::net::TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            if stream.get_ref().1.peer_certificates().is_some() {
                state.shown.fetch_add(1, SeqCst);
            }
            let service = service_fn(move |request| answered(request, Arc::clone(&state)));
            _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answered(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<BoxBody<Bytes, std::convert::Infallible>>, std::convert::Infallible> {
    let (count, answer) = match request.uri().path() {
        DOCUMENT => (&state.asked, state.document.lock().clone()),
        KEYS => (&state.fetched, state.keys.lock().clone()),
        _ => (&state.elsewhere, Answer::Status(StatusCode::NOT_FOUND)),
    };
    count.fetch_add(1, SeqCst);
    let response = Response::builder();
    let response = match answer {
        Answer::Text(text) => response.body(Full::new(Bytes::from(text)).boxed()),
        Answer::Late(text, wait) => {
            tokio::time::sleep(wait).await;
            response.body(Full::new(Bytes::from(text)).boxed())
        }
        Answer::Status(status) => response.status(status).body(Empty::new().boxed()),
        Answer::Redirect(to) => response.status(302).header(header::LOCATION, to).body(Empty::new().boxed()),
        Answer::Silence => std::future::pending().await,
    };
    Ok(response.unwrap())
}
