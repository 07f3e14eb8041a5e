//! A drain, frame by frame, with a client that writes as gRPC's C core does.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::clients::{client, connect};
use super::draining::{NOW, Stage};
use super::support::soon;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame (RFC 9113 §4.1).
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Frame {
    fn new(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Self {
        Self { kind, flags, stream, payload: payload.to_vec() }
    }

    fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[self.kind, self.flags], &self.stream.to_be_bytes(), &self.payload].concat()
    }

    async fn read(stream: &mut TlsStream<TcpStream>) -> Self {
        let mut header = [0; 9];
        soon(stream.read_exact(&mut header)).await.unwrap();
        let [a, b, c, kind, flags, id @ ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        soon(stream.read_exact(&mut payload)).await.unwrap();
        Self { kind, flags, stream: u32::from_be_bytes(id), payload }
    }
}

/// A call of gRPC health, with an empty message, whose answer may be long.
fn call(stream: u32, method: &str) -> Vec<u8> {
    // HPACK (RFC 7541): POST and https by their index, the others as literals that are not indexed.
    let mut block = vec![0x83, 0x87];
    let mut literal = |name: &[u8], value: &str| {
        block.extend_from_slice(name);
        block.push(value.len().try_into().unwrap());
        block.extend_from_slice(value.as_bytes());
    };
    literal(&[0x04], &format!("/grpc.health.v1.Health/{method}"));
    literal(&[0x01], "server.example.org");
    literal(&[0x0f, 0x10], "application/grpc");
    literal(b"\x00\x02te", "trailers");
    [
        Frame::new(HEADERS, END_HEADERS, stream, &block),
        Frame::new(DATA, END_STREAM, stream, &[0; 5]),
        Frame::new(WINDOW_UPDATE, 0, stream, &1000_u32.to_be_bytes()),
    ]
    .map(|frame| frame.bytes())
    .concat()
}

#[tokio::test]
async fn a_call_behind_the_answer_to_the_last_ping_is_served_and_ends_no_other() {
    let stage = Stage::new(|server| server.drain_policy(NOW), &[]).await;
    let config = client(&stage.ca, Some(&stage.ca.issue_dns("client.example.org")));
    let mut stream = connect(config, stage.port).await.unwrap();
    let settings = Frame::new(SETTINGS, 0, 0, &[]).bytes();
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], &call(1, "Watch")].concat();
    stream.write_all(&preface).await.unwrap();
    while Frame::read(&mut stream).await.stream != 1 {}

    stage.rotate(2).await;
    let ping = loop {
        let frame = Frame::read(&mut stream).await;
        if frame.kind == PING && frame.flags & ACK == 0 {
            break frame;
        }
    };
    // In one flight: the GOAWAY was read only after the call had begun.
    let answer = Frame::new(PING, ACK, 0, &ping.payload).bytes();
    stream.write_all(&[answer, call(3, "Check")].concat()).await.unwrap();

    let (mut answered, mut last) = (false, None);
    while !(answered && last.is_some()) {
        let frame = Frame::read(&mut stream).await;
        answered |= frame.kind == HEADERS && frame.stream == 3 && frame.flags & END_STREAM != 0;
        if frame.kind == GOAWAY {
            assert_eq!(frame.payload[4..8], [0; 4], "the connection ends with an error: {frame:?}");
            last = Some(u32::from_be_bytes(frame.payload[..4].try_into().unwrap()));
        }
    }
    assert_eq!(last, Some(3));
    let frame = Frame::read(&mut stream).await;
    assert_eq!((frame.kind, frame.stream), (DATA, 1), "the long call goes on");
}
