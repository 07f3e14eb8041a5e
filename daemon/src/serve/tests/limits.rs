use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::serve::patience::Patience;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn impatient() -> Limits {
    let (preface, silence) = (Duration::from_millis(50), Duration::from_millis(300));
    let mut limits = generous();
    limits.patience = Patience { preface, silence };
    limits
}

/// Reads until the other side closes.
async fn closed(mut stream: UnixStream) {
    soon("the end", async { while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {} }).await;
}

#[tokio::test]
async fn a_peer_that_never_finishes_its_preface_is_cut_off() {
    let node = Node::start_with(impatient());
    let mut stream = UnixStream::connect(node.socket()).await.unwrap();
    stream.write_all(&PREFACE[..10]).await.unwrap();
    closed(stream).await;
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_cut_off() {
    let node = Node::start_with(impatient());
    let mut stream = UnixStream::connect(node.socket()).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    closed(stream).await;
}

#[tokio::test]
async fn a_peer_that_answers_pings_stays() {
    let node = Node::start_with(impatient());
    let mut kept = node.keep("x", &files());
    let mut watched = node.watch("x").await;
    watched.update().await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    kept.swap(&files());
    assert_eq!(watched.update().await.generation, 2);
}

#[tokio::test]
async fn a_connection_too_many_is_closed_at_once() {
    let node = Node::start_with(Limits { connections: Cap { in_all: 100, per_caller: 2 }, ..generous() });
    let mut first = [node.agent().await, node.agent().await];
    for agent in &mut first {
        agent.list(v1::ListRequest {}).await.unwrap();
    }
    closed(UnixStream::connect(node.socket()).await.unwrap()).await;
    drop(first);
    until("there is room again", || true).await;
    soon("a connection", async {
        loop {
            let stream = UnixStream::connect(node.socket()).await.unwrap();
            let endpoint = AgentClient::new(channel(stream).await).list(v1::ListRequest {}).await;
            if endpoint.is_ok() {
                break;
            }
        }
    })
    .await;
}
