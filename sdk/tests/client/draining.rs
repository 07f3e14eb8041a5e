//! A server that drains every connection (GOAWAY, RFC 9113 §6.8) once it has taken some calls on it.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;

use evercert::client::Endpoint;
use evercert_fixtures::Authority;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

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
        let mut connection = pin!(
            server.max_concurrent_streams(allowed).serve_connection(TokioIo::new(Lingering(Some(stream))), service)
        );
        tokio::select! {
            _ = connection.as_mut() => return,
            () = full.notified() => connection.as_mut().graceful_shutdown(),
        }
        self.drained.fetch_add(1, SeqCst);
        _ = connection.await;
    }
}

/// A stream that is closed only once the client has closed it too: closing a socket that something unread is in resets it, and answers that
/// the kernel has not sent yet are lost.
struct Lingering(Option<TlsStream<TcpStream>>);

impl Lingering {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut TlsStream<TcpStream>> {
        Pin::new(self.get_mut().0.as_mut().unwrap())
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let (mut stream, _) = self.0.take().unwrap().into_inner();
        tokio::spawn(async move { while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {} });
    }
}

impl AsyncRead for Lingering {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}
