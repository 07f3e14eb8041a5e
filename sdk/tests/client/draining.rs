//! A server that drains every connection (GOAWAY, RFC 9113 §6.8) once it has taken some calls on it.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use evercert::client::Endpoint;
use evercert_fixtures::Authority;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::peers::{SERVER, acceptor, server_leaf};

/// How many calls a connection takes before it is drained.
const CALLS: u64 = 40;

#[derive(Clone, Default)]
pub(crate) struct Draining {
    drained: Arc<AtomicU64>,
    processed: Arc<AtomicU64>,
}

impl Draining {
    /// A server that allows so many calls at a time.
    pub(crate) async fn start(ca: &Authority, allowed: u32) -> (Self, Endpoint) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::new(format!("https://{}", listener.local_addr().unwrap())).unwrap();
        let acceptor = acceptor(ca, &ca.issue(server_leaf()), &[b"h2"]);
        let server = Self::default();
        let accepting = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                tokio::spawn(accepting.clone().serve(acceptor.clone(), stream, allowed));
            }
        });
        (server, endpoint.server_name(SERVER).unwrap())
    }

    /// How many connections it has drained.
    pub(crate) fn drained(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.drained)
    }

    /// How many calls it has processed.
    pub(crate) fn processed(&self) -> u64 {
        self.processed.load(SeqCst)
    }

    async fn serve(self, acceptor: TlsAcceptor, stream: TcpStream, allowed: u32) {
        let stream = acceptor.accept(stream).await.unwrap();
        let (taken, full) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
        let (processed, notify) = (Arc::clone(&self.processed), Arc::clone(&full));
        let service = service_fn(move |_: Request<Incoming>| {
            processed.fetch_add(1, SeqCst);
            if taken.fetch_add(1, SeqCst) + 1 == CALLS {
                notify.notify_one();
            }
            async {
                // Others come meanwhile.
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok::<_, Infallible>(Response::new(String::new()))
            }
        });
        let mut server = http2::Builder::new(TokioExecutor::new());
        let mut connection =
            pin!(server.max_concurrent_streams(allowed).serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            _ = connection.as_mut() => return,
            () = full.notified() => connection.as_mut().graceful_shutdown(),
        }
        self.drained.fetch_add(1, SeqCst);
        _ = connection.await;
    }
}
