//! A peer that heeds no limit: it opens and resets streams on one connection as fast as the server reads.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::stage;

/// The connection preface and empty SETTINGS (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const GOAWAY: u8 = 0x7;
const END_HEADERS: u8 = 0x4;
const CANCEL: u32 = 0x8;

/// How many streams go out in one write.
const BATCH: usize = 64;

/// The abuse of each stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flood {
    /// It is opened, and left so.
    Open,
    /// It is opened, and reset at once.
    Reset,
}

/// The fate of the connections of a flood.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outcome {
    pub(super) streams: usize,
    pub(super) connections: usize,
    /// How many the server told to go, and why the last one (RFC 9113 §7).
    goaways: usize,
    code: u32,
}

impl Outcome {
    pub(super) fn json(self) -> Value {
        json!({
            "streams": self.streams, "connections": self.connections, "goaways": self.goaways, "last_goaway_code": self.code,
        })
    }

    pub(super) fn add(&mut self, other: Self) {
        self.streams += other.streams;
        self.connections += other.connections;
        self.goaways += other.goaways;
        self.code = other.code.max(self.code);
    }
}

/// Floods the server with as many streams: on one connection until the server ends it, then on the next.
pub(super) async fn flood(server: SocketAddr, config: &Arc<ClientConfig>, flood: Flood, streams: usize) -> Outcome {
    let mut outcome = Outcome::default();
    while outcome.streams < streams {
        let (sent, goaway) = connection(server, config, flood, streams - outcome.streams).await;
        outcome.add(Outcome {
            streams: sent,
            connections: 1,
            goaways: goaway.is_some().into(),
            code: goaway.unwrap_or(0),
        });
    }
    outcome
}

async fn connection(
    server: SocketAddr,
    config: &Arc<ClientConfig>,
    flood: Flood,
    streams: usize,
) -> (usize, Option<u32>) {
    let stream = TcpStream::connect(server).await.unwrap();
    let name = ServerName::try_from(stage::NAME).unwrap();
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await.unwrap();
    let (read, mut write) = tokio::io::split(stream);
    let goaway = tokio::spawn(goaway(read));
    let mut sent = 0;
    let mut frames = PREFACE.to_vec();
    while sent < streams && !goaway.is_finished() {
        for number in sent..streams.min(sent + BATCH) {
            let id = 2 * number as u32 + 1;
            frame(&mut frames, HEADERS, END_HEADERS, id, &headers());
            if flood == Flood::Reset {
                frame(&mut frames, RST_STREAM, 0, id, &CANCEL.to_be_bytes());
            }
        }
        if write.write_all(&frames).await.is_err() || write.flush().await.is_err() {
            break;
        }
        sent = streams.min(sent + BATCH);
        frames.clear();
    }
    if sent < streams {
        return (sent.max(1), goaway.await.unwrap());
    }
    // All of it went out; what the server makes of it shows when the connection is closed.
    _ = write.shutdown().await;
    (sent, goaway.await.unwrap())
}

/// Reads to the end, and gives the code of the server's GOAWAY.
async fn goaway(mut read: impl AsyncRead + Unpin) -> Option<u32> {
    loop {
        let mut head = [0; 9];
        read.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        read.read_exact(&mut payload).await.ok()?;
        if head[3] == GOAWAY {
            return Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
    }
}

fn frame(frames: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    frames.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    frames.extend_from_slice(&[kind, flags]);
    frames.extend_from_slice(&stream.to_be_bytes());
    frames.extend_from_slice(payload);
}

/// A unary call's headers, without use of the dynamic table (RFC 7541 §6.2.2).
fn headers() -> Vec<u8> {
    // :method POST and :scheme https, of the static table.
    let mut block = vec![0x83, 0x87];
    let mut literal = |name: &[u8], value: &str| {
        block.extend_from_slice(name);
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    };
    literal(&[0x04], "/greeter.v1.Greeter/SayHello");
    literal(&[0x01], stage::NAME);
    literal(&[0x0f, 0x10], "application/grpc");
    literal(b"\x00\x02te", "trailers");
    block
}
