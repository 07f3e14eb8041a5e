//! Where connections come from.

use std::fmt;
use std::future::{Future, pending};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::Connected;

/// A source of connections to make TLS with: tokio's `TcpListener` or `UnixListener`, a stream of what is connected already
/// ([`from_stream`]), or a type of one's own, say for vsock or for what a proxy says in front of a connection (the PROXY protocol).
///
/// It is dropped when the server closes, and no connection is accepted then.
pub trait Listener: Send + 'static {
    /// Its connections. Their `ConnectInfo` is what requests carry as `TlsConnectInfo<ConnectInfo>`, and so should say who the peer
    /// is. With tonic's `TcpConnectInfo`, `Request::remote_addr` works, and with that or `UdsConnectInfo` `Request::peer_certs` does.
    type Io: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static;

    /// Accepts one connection; with the peer's address where it tells peers apart: [`AcceptLimits`](super::AcceptLimits) count by it.
    /// Cancel safe. All connections come through here one after the other, so it must never await what a peer sends: do that on tasks
    /// of the listener's own, with a limit and a deadline, and give out here what is ready.
    ///
    /// # Errors
    ///
    /// Errors are taken for those of one connection and passed over, up to 64 in a row; behind those the accept loop pauses for a moment, and
    /// the first of a row is logged. So it does at once where descriptors or memory have run out (EMFILE, ENFILE, ENOBUFS, ENOMEM).
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Io, Option<IpAddr>)>> + Send;

    /// Makes room for the connections that come faster than they are accepted; called once, before the first is. It does nothing unless
    /// it is written. Those of tokio have the kernel keep as many of them as it may (`net.core.somaxconn`): tokio's
    /// `bind` asks for 128, and a peer that finds no room tries again only after a second, and then after two, and four.
    fn grow_backlog(&mut self) {}
}

/// The most connections that the kernel keeps until they are accepted. The kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = i32::MAX;

/// listen(2) of a socket that listens already changes its backlog alone.
fn grow_backlog(listener: impl AsFd) {
    if let Err(error) = rustix::net::listen(listener, BACKLOG) {
        tracing::debug!(%error, "the kernel keeps as many connections until they are accepted as it did");
    }
}

impl Listener for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, Option<IpAddr>)> {
        let (stream, peer) = Self::accept(self).await?;
        // It fails only on a connection that is gone already, which the handshake will notice.
        let _ = stream.set_nodelay(true);
        Ok((stream, Some(peer.ip())))
    }

    fn grow_backlog(&mut self) {
        grow_backlog(self);
    }
}

impl Listener for UnixListener {
    type Io = UnixStream;

    async fn accept(&mut self) -> io::Result<(UnixStream, Option<IpAddr>)> {
        Self::accept(self).await.map(|(stream, _)| (stream, None))
    }

    fn grow_backlog(&mut self) {
        grow_backlog(self);
    }
}

/// A listener that takes its connections from a stream, such as tonic's `TcpIncoming` or a channel of tokio's `DuplexStream`s in a
/// test. The server goes on when the stream ends: it is a shutdown that ends it.
///
/// Peers are not told apart unless [`FromStream::with_peer`] says how, and the limits for one peer hold for none then.
///
/// ```no_run
/// # async fn serve(
/// #     identity: evercert::Identity,
/// #     routes: tonic::service::Routes,
/// #     shutdown: impl std::future::Future<Output = ()>,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// use evercert::Server;
/// use evercert::server::from_stream;
/// use tokio_stream::wrappers::ReceiverStream;
///
/// let (connect, connected) = tokio::sync::mpsc::channel(16);
/// let (_client, server) = tokio::io::duplex(64 * 1024);
/// connect.send(Ok(server)).await?;
/// Server::new(&identity).serve(routes, from_stream(ReceiverStream::new(connected)), shutdown).await?;
/// # Ok(())
/// # }
/// ```
pub fn from_stream<S, IO>(stream: S) -> FromStream<S, IO>
where
    S: Stream<Item = io::Result<IO>> + Send + 'static,
{
    FromStream { stream: Some(Box::pin(stream)), peer: |_| None }
}

/// The listener of [`from_stream`].
pub struct FromStream<S, IO> {
    /// Nothing once it has ended.
    stream: Option<Pin<Box<S>>>,
    peer: fn(&IO) -> Option<IpAddr>,
}

impl<S, IO> FromStream<S, IO> {
    /// Has `peer` give the address by which peers are told apart.
    #[must_use]
    pub fn with_peer(self, peer: fn(&IO) -> Option<IpAddr>) -> Self {
        Self { peer, ..self }
    }
}

impl<S, IO> Listener for FromStream<S, IO>
where
    S: Stream<Item = io::Result<IO>> + Send + 'static,
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    type Io = IO;

    async fn accept(&mut self) -> io::Result<(IO, Option<IpAddr>)> {
        let next = match &mut self.stream {
            Some(stream) => stream.next().await,
            None => None,
        };
        match next {
            Some(io) => io.map(|io| {
                let peer = (self.peer)(&io);
                (io, peer)
            }),
            None => {
                self.stream = None;
                pending().await
            }
        }
    }
}

impl<S, IO> fmt::Debug for FromStream<S, IO> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromStream").field("ended", &self.stream.is_none()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use evercert_fixtures::wait::soon;
    use futures_util::FutureExt as _;
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    #[tokio::test]
    async fn a_stream_gives_its_connections_and_errors_and_the_peers_that_are_told_apart() {
        let address = IpAddr::from([192, 0, 2, 1]);
        let stream = || tokio_stream::iter([Ok(duplex(1).0), Err(io::ErrorKind::ConnectionReset.into())]);
        let mut anonymous = from_stream(stream());
        let mut told_apart = from_stream(stream()).with_peer(|_: &DuplexStream| Some([192, 0, 2, 1].into()));
        assert_eq!(anonymous.accept().await.unwrap().1, None);
        assert_eq!(told_apart.accept().await.unwrap().1, Some(address));
        for listener in [&mut anonymous, &mut told_apart] {
            assert_eq!(listener.accept().await.map(drop).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            assert!(listener.accept().now_or_never().is_none(), "the end of the stream is not the server's");
            assert!(listener.accept().now_or_never().is_none());
        }
    }

    #[tokio::test]
    async fn the_kernel_keeps_a_thousand_connections_that_nobody_accepts_yet() {
        let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.grow_backlog();
        let address = listener.local_addr().unwrap();
        let connecting: Vec<_> = (0..1000).map(|_| tokio::spawn(TcpStream::connect(address))).collect();
        let mut connected = Vec::new();
        for connection in connecting {
            connected.push(soon("a place in the kernel's queue", connection).await.unwrap().unwrap());
        }
        assert_eq!(connected.len(), 1000);
    }
}
