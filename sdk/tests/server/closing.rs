//! The end of a connection that the server closes.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use evercert_fixtures::Authority;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt;

use super::clients::client;
use super::serving::{listen, nobody_asked};
use super::support::{NAME, Script, server_leaf, snapshot, soon};

/// More than the peer has room for, so that some of it is still on this side when the connection is closed.
const ANSWER: usize = 256 * 1024;

#[tokio::test]
async fn what_was_answered_reaches_a_peer_that_was_still_sending() {
    let ca = Authority::new("root");
    let identity = Script::of(snapshot(1, &server_leaf(&ca), &[&ca])).identity().await;
    let (listener, port) = listen().await;
    let mut incoming = identity.incoming_with(listener, nobody_asked());
    let (closing, closed) = oneshot::channel();
    let server = tokio::spawn(async move {
        let mut io = incoming.next().await.unwrap().unwrap();
        io.read_exact(&mut [0; 1]).await.unwrap();
        io.write_all(&vec![7; ANSWER]).await.unwrap();
        closing.send(()).unwrap();
        io.shutdown().await.unwrap();
    });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let stream = soon(socket.connect((Ipv4Addr::LOCALHOST, port).into())).await.unwrap();
    let connector = TlsConnector::from(Arc::new(client(&ca, None)));
    let mut stream = soon(connector.connect(ServerName::try_from(NAME).unwrap(), stream)).await.unwrap();
    // Most of it stays unread.
    soon(stream.write_all(&vec![0; 64 * 1024])).await.unwrap();
    soon(closed).await.unwrap();
    // Time for a reset to do its harm, if there were one.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut answer = Vec::new();
    soon(stream.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer.len(), ANSWER);
    drop(stream);
    soon(server).await.unwrap();
}
