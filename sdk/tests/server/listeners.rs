//! Servers over listeners of the user's own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use evercert::Server;
use evercert::server::{AcceptLimits, Listener, UnknownHost, from_stream};
use evercert_fixtures::Authority;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufWriter, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::service::Routes;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::HealthServer;
use tower::service_fn;

use super::clients::{alert, client, connect, tcp};
use super::serving::{Recorder, listen};
use super::support::{DEADLINE, NAME, Script, server_leaf, snapshot, soon};

/// A listener behind a proxy, which says before each connection who its peer is: the PROXY protocol, versions 1 and 2. Only the proxy may
/// reach such a port, since anybody who does can say anything.
struct ProxyProtocol {
    listener: TcpListener,
    /// The connections whose header is awaited, each with a deadline, and no more than [`HEADERS`] of them.
    headers: JoinSet<io::Result<Proxied>>,
}

const HEADERS: usize = 1024;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection behind its header.
struct Proxied {
    io: TcpStream,
    peer: SocketAddr,
}

impl Listener for ProxyProtocol {
    type Io = Proxied;

    async fn accept(&mut self) -> io::Result<(Proxied, Option<IpAddr>)> {
        loop {
            tokio::select! {
                Some(header) = self.headers.join_next() => {
                    let proxied = header??;
                    let peer = proxied.peer.ip();
                    return Ok((proxied, Some(peer)));
                }
                accepted = self.listener.accept(), if self.headers.len() < HEADERS => {
                    let (io, _) = accepted?;
                    self.headers.spawn(async move {
                        timeout(HEADER_TIMEOUT, Proxied::read(io)).await.map_err(|_| io::ErrorKind::TimedOut)?
                    });
                }
            }
        }
    }
}

impl Proxied {
    const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
    /// Of version 1, with its line break.
    const LONGEST: usize = 107;

    /// Reads not a byte beyond the header. What cannot be read is an error of that connection alone.
    async fn read(mut io: TcpStream) -> io::Result<Self> {
        // No header of either version is shorter.
        let mut header = vec![0; Self::SIGNATURE.len()];
        io.read_exact(&mut header).await?;
        let peer = if header == Self::SIGNATURE {
            let mut rest = [0; 4];
            io.read_exact(&mut rest).await?;
            let mut addresses = vec![0; u16::from_be_bytes([rest[2], rest[3]]).into()];
            io.read_exact(&mut addresses).await?;
            Self::version_2([rest[0], rest[1]], &addresses)
        } else {
            while !header.ends_with(b"\r\n") && header.len() < Self::LONGEST {
                header.push(io.read_u8().await?);
            }
            str::from_utf8(&header).ok().and_then(Self::version_1)
        };
        let peer = peer.ok_or(io::ErrorKind::ConnectionAborted)?;
        Ok(Self { io, peer })
    }

    fn version_1(line: &str) -> Option<SocketAddr> {
        let mut words = line.strip_prefix("PROXY TCP")?.strip_suffix("\r\n")?.split(' ').skip(1);
        let (peer, _own, port) = (words.next()?, words.next()?, words.next()?);
        Some(SocketAddr::new(peer.parse().ok()?, port.parse().ok()?))
    }

    fn version_2(kind: [u8; 2], addresses: &[u8]) -> Option<SocketAddr> {
        // Version 2 of a connection that is passed on, over TCP.
        match kind {
            [0x21, 0x11] => {
                let (peer, port) = (addresses.first_chunk::<4>()?, addresses.get(8..10)?);
                Some(SocketAddr::new((*peer).into(), u16::from_be_bytes(port.try_into().ok()?)))
            }
            [0x21, 0x21] => {
                let (peer, port) = (addresses.first_chunk::<16>()?, addresses.get(32..34)?);
                Some(SocketAddr::new((*peer).into(), u16::from_be_bytes(port.try_into().ok()?)))
            }
            _ => None,
        }
    }
}

/// With the true peer, so that `Request::remote_addr` gives it.
impl Connected for Proxied {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        TcpConnectInfo { local_addr: self.io.local_addr().ok(), remote_addr: Some(self.peer) }
    }
}

impl AsyncRead for Proxied {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Proxied {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A channel over one connection that is there already.
async fn over<IO>(config: Arc<ClientConfig>, io: IO) -> Result<HealthClient<Channel>, tonic::transport::Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut io = Some(io);
    let connector = service_fn(move |_| {
        let (config, io) = (Arc::clone(&config), io.take());
        async move {
            let io = io.ok_or(io::ErrorKind::NotConnected)?;
            let name = ServerName::try_from(NAME).unwrap();
            Ok::<_, io::Error>(TokioIo::new(TlsConnector::from(config).connect(name, io).await?))
        }
    });
    let endpoint = Endpoint::from_static("http://server.example.org");
    Ok(HealthClient::new(soon(endpoint.connect_with_connector(connector)).await?))
}

#[tokio::test]
async fn connections_in_memory_are_served_and_the_peer_is_seen() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let (connect, connected) = mpsc::unbounded_channel::<io::Result<DuplexStream>>();
    let listener = from_stream(UnboundedReceiverStream::new(connected));
    let (sender, mut seen) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let routes = Routes::new(HealthServer::new(Recorder(sender)));
    let serving = tokio::spawn(Server::new(&identity).serve(routes, listener, async { drop(stopped.await) }));

    let config = Arc::new(client(&ca, Some(&ca.issue_dns("client.example.org"))));
    let mut clients = Vec::new();
    // An error of the stream ends nothing, and neither does its end.
    connect.send(Err(io::ErrorKind::ConnectionReset.into())).unwrap();
    for _ in 0..3 {
        let (io, accepted) = tokio::io::duplex(16 * 1024);
        connect.send(Ok(accepted)).unwrap();
        clients.push(over(Arc::clone(&config), io).await.unwrap());
    }
    drop(connect);
    for client in &mut clients {
        soon(client.check(HealthCheckRequest::default())).await.unwrap();
        assert_eq!(soon(seen.recv()).await.unwrap().peer.unwrap().dns_names(), ["client.example.org"]);
    }
    assert!(!serving.is_finished());
    drop(stop);
    soon(serving).await.unwrap().unwrap();
}

/// The header of version 1 or 2 that a proxy puts before the connection of this peer.
fn header(version: u8, peer: SocketAddr) -> Vec<u8> {
    let own = SocketAddr::from((Ipv4Addr::LOCALHOST, 443));
    match (version, peer) {
        (1, SocketAddr::V4(_)) => format!("PROXY TCP4 {} {} {} 443\r\n", peer.ip(), own.ip(), peer.port()).into_bytes(),
        (1, SocketAddr::V6(_)) => format!("PROXY TCP6 {} ::1 {} 443\r\n", peer.ip(), peer.port()).into_bytes(),
        (_, SocketAddr::V4(peer)) => {
            let ports = [peer.port().to_be_bytes(), own.port().to_be_bytes()].concat();
            let addresses = [&peer.ip().octets()[..], &[127, 0, 0, 1], &ports].concat();
            [&Proxied::SIGNATURE[..], &[0x21, 0x11, 0, 12], &addresses].concat()
        }
        (_, SocketAddr::V6(peer)) => {
            let ports = [peer.port().to_be_bytes(), own.port().to_be_bytes()].concat();
            let addresses = [&peer.ip().octets()[..], &[0; 16], &ports].concat();
            [&Proxied::SIGNATURE[..], &[0x21, 0x21, 0, 36], &addresses].concat()
        }
    }
}

#[tokio::test]
async fn the_peer_that_a_proxy_names_is_the_one_that_requests_and_limits_see() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let (listener, port) = listen().await;
    let listener = ProxyProtocol { listener, headers: JoinSet::new() };
    let (sender, mut seen) = mpsc::unbounded_channel();
    let limits = AcceptLimits::default().unfinished_per_peer(1);
    let server = Server::new(&identity).accept_limits(limits);
    tokio::spawn(server.serve(Routes::new(HealthServer::new(Recorder(sender))), listener, std::future::pending()));

    let config = Arc::new(client(&ca, Some(&ca.issue_dns("client.example.org"))));
    let proxied = async |version, peer: &str| {
        let mut io = tcp(port).await;
        io.write_all(&header(version, peer.parse().unwrap())).await.unwrap();
        io
    };
    let _without_a_header = tcp(port).await;
    tcp(port).await.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    for (version, peer) in
        [(1, "192.0.2.7:4711"), (2, "192.0.2.8:4712"), (1, "[2001:db8::7]:4713"), (2, "[2001:db8::8]:4714")]
    {
        let mut client = over(Arc::clone(&config), proxied(version, peer).await).await.unwrap();
        soon(client.check(HealthCheckRequest::default())).await.unwrap();
        let call = soon(seen.recv()).await.unwrap();
        assert_eq!(call.address, Some(peer.parse().unwrap()));
        assert_eq!(call.peer.unwrap().dns_names(), ["client.example.org"]);
    }

    // One that stalls keeps its own address from another connection, and no other address.
    let _stalling = proxied(2, "192.0.2.9:1").await;
    let second = proxied(2, "192.0.2.9:2").await;
    let second = tokio::spawn(over(Arc::clone(&config), second));
    let mut other = over(Arc::clone(&config), proxied(2, "192.0.2.10:1").await).await.unwrap();
    soon(other.check(HealthCheckRequest::default())).await.unwrap();
    let second = timeout(Duration::from_millis(300), second).await;
    assert!(second.is_err() || second.unwrap().unwrap().is_err(), "the stalling peer's second connection was served");
}

/// A connection that keeps what is written until it is flushed, and ends where nothing is read for long.
struct Buffered {
    io: BufWriter<TcpStream>,
    idle: Option<Pin<Box<Sleep>>>,
}

impl Connected for Buffered {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Buffered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if read.is_ready() {
            self.idle = None;
            return read;
        }
        let idle = self.idle.get_or_insert_with(|| Box::pin(sleep(DEADLINE)));
        idle.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Buffered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The port of a server over such connections, and what its clients are verified by.
async fn buffered(turn: impl FnOnce(Server) -> Server) -> (ClientConfig, u16) {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let (listener, port) = listen().await;
    let connections = futures_util::stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await;
        Some((accepted.map(|(io, _)| Buffered { io: BufWriter::new(io), idle: None }), listener))
    });
    let server = turn(Server::new(&identity));
    tokio::spawn(server.serve(Routes::default(), from_stream(connections), std::future::pending()));
    (client(&ca, Some(&ca.issue_dns("client.example.org"))), port)
}

#[tokio::test]
async fn a_connection_may_make_timers_although_the_services_runtime_has_but_one_thread() {
    let (config, port) = buffered(|server| server).await;
    connect(config, port).await.unwrap();
}

#[tokio::test]
async fn the_alert_to_who_asks_for_an_unknown_name_is_sent_by_a_connection_that_buffers() {
    let (config, port) = buffered(|server| server.unknown_hosts(UnknownHost::Refuse)).await;
    assert_eq!(alert(connect(config, port).await), AlertDescription::UnrecognisedName);
}

/// A listener with a fault.
struct Faulty;

impl Listener for Faulty {
    type Io = DuplexStream;

    async fn accept(&mut self) -> io::Result<(DuplexStream, Option<IpAddr>)> {
        panic!("on purpose")
    }
}

#[tokio::test]
async fn a_listener_that_panics_takes_its_server_with_it() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let serving =
        tokio::spawn(
            async move { Server::new(&identity).serve(Routes::default(), Faulty, std::future::pending()).await },
        );
    assert!(soon(serving).await.unwrap_err().is_panic());
}
