//! Messages in the body of a request or response, each with the flag that says whether it is compressed (gRPC over HTTP/2,
//! "Length-Prefixed-Message"). tonic compresses all messages of a stream or none, and shows no flag; the cases ask for both.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::{Extensions, HeaderMap, HeaderValue};
use http_body::Frame;
use parking_lot::Mutex;
use tonic::Status;
use tonic::body::Body;

const ENCODING: &str = "grpc-encoding";
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
const GZIP: &str = "gzip";
/// The flag and the length.
const PREFIX: usize = 5;

/// Which of the messages of a request or response are sent compressed, in its extensions.
#[derive(Debug, Clone)]
pub(crate) struct Compress(pub(crate) Vec<bool>);

/// Whether the messages that came were compressed, in the extensions of their request or response.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<VecDeque<bool>>>);

impl Seen {
    /// Whether the next message was; the caller has read it.
    pub(crate) fn next(&self) -> Option<bool> {
        self.0.lock().pop_front()
    }
}

/// A body that is sent.
pub(crate) fn outgoing(headers: &mut HeaderMap, extensions: &mut Extensions, body: Body) -> Body {
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(GZIP));
    let Some(Compress(which)) = extensions.remove() else { return body };
    headers.insert(ENCODING, HeaderValue::from_static(GZIP));
    let mut which = which.into_iter();
    Body::new(Recoded::new(body, move |message| match which.next() {
        Some(true) => Message { compressed: true, bytes: compress(&message.bytes) },
        _ => message,
    }))
}

/// A body that is received.
pub(crate) fn incoming(headers: &mut HeaderMap, extensions: &mut Extensions, body: Body) -> Body {
    headers.remove(ENCODING);
    let seen = Seen::default();
    extensions.insert(seen.clone());
    Body::new(Recoded::new(body, move |message| {
        seen.0.lock().push_back(message.compressed);
        let bytes = if message.compressed { decompress(&message.bytes) } else { message.bytes };
        Message { compressed: false, bytes }
    }))
}

fn compress(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().into()
}

fn decompress(bytes: &[u8]) -> Bytes {
    let mut whole = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut whole).unwrap();
    whole.into()
}

struct Message {
    compressed: bool,
    bytes: Bytes,
}

/// A body whose messages are changed one by one.
struct Recoded<F> {
    body: Body,
    buffer: BytesMut,
    recode: F,
}

impl<F: FnMut(Message) -> Message + Send + Unpin> Recoded<F> {
    fn new(body: Body, recode: F) -> Self {
        Self { body, buffer: BytesMut::new(), recode }
    }

    /// All whole messages there are.
    fn messages(&mut self) -> Option<Bytes> {
        let mut messages = BytesMut::new();
        while let Some((prefix, _)) = self.buffer.split_first_chunk::<PREFIX>() {
            let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
            if self.buffer.len() < PREFIX + length {
                break;
            }
            let compressed = prefix[0] == 1;
            self.buffer.advance(PREFIX);
            let message = (self.recode)(Message { compressed, bytes: self.buffer.split_to(length).freeze() });
            messages.put_u8(message.compressed.into());
            messages.put_u32(message.bytes.len().try_into().unwrap());
            messages.put(message.bytes);
        }
        (!messages.is_empty()).then(|| messages.freeze())
    }
}

impl<F: FnMut(Message) -> Message + Send + Unpin> http_body::Body for Recoded<F> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)).transpose()? else {
                return Poll::Ready(None);
            };
            match frame.into_data() {
                Ok(data) => self.buffer.extend_from_slice(&data),
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
            if let Some(messages) = self.messages() {
                return Poll::Ready(Some(Ok(Frame::data(messages))));
            }
        }
    }
}
