//! The other side of a channel, good or evil, and all that it gets to see.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use evercert::Identity;
use evercert::client::Endpoint;
use evercert::source::{Report, Source, SourceState};
use evercert_core::bundle::{Bundle, Bundles};
use evercert_core::credential::{Credential, PrivateKey};
use evercert_core::snapshot::Snapshot;
use evercert_fixtures::{Authority, Issued, Leaf, TokenIssuer};
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, Response};
use parking_lot::Mutex;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

pub(crate) const SERVER: &str = "api.internal";
pub(crate) const SERVER_ID: &str = "spiffe://example.org/api";

/// The answer to a call; a message that is empty follows one that is a gRPC success.
pub(crate) type Answer = dyn Fn(&Request<RecvStream>) -> Response<()> + Send + Sync;

/// What a peer does with a connection.
#[derive(Clone)]
pub(crate) enum Manner {
    /// It speaks without TLS: this first, whatever it is told.
    Plaintext(Vec<u8>),
    /// It shakes hands, and answers calls.
    Tls(TlsAcceptor, Arc<Answer>),
    /// It shakes hands, and says nothing.
    Silent(TlsAcceptor),
}

/// All that a peer has seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// What was on the wire.
    raw: Mutex<Vec<u8>>,
    /// What was in it, where it is TLS.
    clear: Mutex<Vec<u8>>,
    /// Each call's `authorization`s, joined.
    authorizations: Mutex<Vec<String>>,
    early_data: AtomicUsize,
    resumed: AtomicUsize,
    connections: watch::Sender<usize>,
    ended: watch::Sender<usize>,
}

pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    live: Arc<Mutex<Vec<AbortOnDropHandle<()>>>>,
    _task: AbortOnDropHandle<()>,
}

impl Peer {
    pub(crate) async fn start(manner: Manner) -> Self {
        Self::start_at(manner, ([127, 0, 0, 1], 0).into()).await
    }

    pub(crate) async fn start_at(manner: Manner, address: SocketAddr) -> Self {
        let listener =
            evercert_fixtures::wait::until("the address is free", || async { TcpListener::bind(address).await.ok() })
                .await;
        let (address, seen) = (listener.local_addr().unwrap(), Arc::<Seen>::default());
        let (shown, live) = (Arc::clone(&seen), Arc::<Mutex<Vec<_>>>::default());
        let connections = Arc::clone(&live);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (manner, seen) = (manner.clone(), Arc::clone(&shown));
                seen.connections.send_modify(|count| *count += 1);
                connections.lock().push(AbortOnDropHandle::new(tokio::spawn(async move {
                    _ = manner.serve(stream, &seen).await;
                    seen.ended.send_modify(|count| *count += 1);
                })));
            }
        });
        Self { address, seen, live, _task: AbortOnDropHandle::new(task) }
    }

    /// Ends the connections that there are.
    pub(crate) fn cut(&self) {
        self.live.lock().clear();
    }

    /// A good one, that answers so.
    pub(crate) async fn good(
        ca: &Authority,
        answer: impl Fn(&Request<RecvStream>) -> Response<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start(Manner::Tls(acceptor(&ca.issue(leaf()), b"h2", None), Arc::new(answer))).await
    }

    /// The endpoint by address, checked against [`SERVER`]; its attempts come soon.
    pub(crate) fn endpoint(&self) -> Endpoint {
        let endpoint = Endpoint::new(format!("https://{}", self.address)).unwrap().server_name(SERVER).unwrap();
        endpoint.backoff(Endpoint::LEAST_BACKOFF, Endpoint::LEAST_BACKOFF).handshake_timeout(Duration::from_millis(300))
    }
}

impl Manner {
    async fn serve(self, stream: TcpStream, seen: &Arc<Seen>) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = Tap { stream, seen: Arc::clone(seen), to: |seen| &seen.raw };
        match self {
            Self::Plaintext(greeting) => {
                stream.write_all(&greeting).await?;
                read_all(&mut stream).await
            }
            Self::Silent(acceptor) => {
                let stream = acceptor.accept(stream).await?;
                read_all(&mut Tap { stream, seen: Arc::clone(seen), to: |seen| &seen.clear }).await
            }
            Self::Tls(acceptor, answer) => {
                let mut stream = acceptor.accept(stream).await?;
                let tls = stream.get_mut().1;
                seen.early_data.fetch_add(usize::from(tls.early_data().is_some()), Ordering::Relaxed);
                if tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
                    seen.resumed.fetch_add(1, Ordering::Relaxed);
                }
                let stream = Tap { stream, seen: Arc::clone(seen), to: |seen| &seen.clear };
                let mut connection = h2::server::handshake(stream).await.map_err(io::Error::other)?;
                while let Some(call) = connection.accept().await {
                    let (request, respond) = call.map_err(io::Error::other)?;
                    let values: Vec<_> = request.headers().get_all(AUTHORIZATION).iter().collect();
                    let values: Vec<_> = values.into_iter().map(|value| value.to_str().unwrap()).collect();
                    seen.authorizations.lock().push(values.join(" | "));
                    let answer = answer(&request);
                    give(respond, answer);
                }
                Ok(())
            }
        }
    }
}

fn give(mut respond: SendResponse<Bytes>, answer: Response<()>) {
    let is_whole = answer.headers().contains_key("grpc-status") || answer.status() != 200;
    let Ok(mut body) = respond.send_response(answer, is_whole) else { return };
    if !is_whole {
        _ = body.send_data(Bytes::from_static(&[0; 5]), false);
        let status = ("grpc-status".parse().unwrap(), HeaderValue::from_static("0"));
        _ = body.send_trailers(HeaderMap::from_iter([status]));
    }
}

async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

impl Seen {
    /// What was on the wire, and in it.
    pub(crate) fn all(&self) -> Vec<u8> {
        [self.raw.lock().as_slice(), self.clear.lock().as_slice()].concat()
    }

    pub(crate) fn raw(&self) -> Vec<u8> {
        self.raw.lock().clone()
    }

    pub(crate) fn clear(&self) -> Vec<u8> {
        self.clear.lock().clone()
    }

    pub(crate) fn authorizations(&self) -> Vec<String> {
        self.authorizations.lock().clone()
    }

    pub(crate) fn resumed(&self) -> usize {
        self.resumed.load(Ordering::Relaxed)
    }

    pub(crate) fn early_data(&self) -> usize {
        self.early_data.load(Ordering::Relaxed)
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.borrow()
    }

    /// Waits until as many connections have ended.
    pub(crate) async fn until_ended(&self, least: usize) {
        evercert_fixtures::wait::until_shown(self.ended.subscribe(), |ended| *ended >= least).await;
    }
}

/// Notes what is read.
struct Tap<S> {
    stream: S,
    seen: Arc<Seen>,
    to: fn(&Seen) -> &Mutex<Vec<u8>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        (self.to)(&self.seen).lock().extend_from_slice(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The names of a good server.
pub(crate) fn leaf() -> Leaf {
    Leaf::for_dns(SERVER).uri(SERVER_ID)
}

/// A server's TLS, which takes early data and gives tickets. Clients need certificates of `clients`, if that is set.
pub(crate) fn acceptor(issued: &Issued, alpn: &[u8], clients: Option<&Authority>) -> TlsAcceptor {
    let provider = evercert_core::crypto::provider();
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.ca_der().to_vec().into()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let key = PrivateKeyDer::Pkcs8(issued.key_der.clone().into());
    let mut config = builder.with_single_cert(vec![issued.leaf_der.clone().into()], key).unwrap();
    config.alpn_protocols = if alpn.is_empty() { vec![] } else { vec![alpn.to_vec()] };
    config.max_early_data_size = u32::MAX;
    Arc::new(config).into()
}

/// A source that publishes what it is told to.
pub(crate) struct Publisher {
    state: watch::Sender<SourceState>,
    next: AtomicUsize,
}

impl Publisher {
    /// Whoever trusts these, without a credential unless there is one.
    pub(crate) fn new(trusted: &[&Authority], issued: Option<&Issued>) -> Arc<Self> {
        let this = Arc::new(Self { state: watch::Sender::default(), next: AtomicUsize::new(1) });
        this.publish(trusted, issued);
        this
    }

    pub(crate) fn publish(&self, trusted: &[&Authority], issued: Option<&Issued>) {
        let credential = issued.map(|issued| {
            let key = PrivateKey::from_pkcs8(issued.key_der.clone().into()).unwrap();
            Arc::new(Credential::new(vec![issued.leaf_der.clone().into()], key).unwrap())
        });
        let anchors = trusted.iter().map(|ca| ca.ca_der().to_vec().into()).collect();
        let bundles = Bundles { own: Some(Arc::new(Bundle::new(anchors, vec![]))), ..Bundles::default() };
        let generation = self.next.fetch_add(1, Ordering::Relaxed) as u64;
        self.state.send_replace(SourceState::delivered(Snapshot::new(generation, credential, bundles, None)));
    }

    pub(crate) async fn identity(self: &Arc<Self>) -> Identity {
        Identity::from_source("client", Arc::clone(self) as _).await.unwrap()
    }
}

impl Source for Publisher {
    fn state(&self) -> watch::Receiver<SourceState> {
        self.state.subscribe()
    }

    fn report(&self, _report: Report) {}
}

/// A JWT that ends so long from now; of two none is like the other.
pub(crate) fn jwt(life: Duration) -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let exp = (SystemTime::now() + life).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    TokenIssuer::es256("key")
        .sign(&json!({ "iss": "https://issuer.example.org", "sub": number.to_string(), "exp": exp }))
}

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
