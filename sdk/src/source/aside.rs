//! Messages that go round HTTP/2, since they carry keys.
//!
//! HTTP/2 and gRPC read into buffers of their own, which are neither wiped nor ours to wipe: a key would stay in them long after it is out
//! of use. So what messages hold is taken out of what was read before they see it. They see as many zeros, keep their frames, windows and
//! lengths by them, and hand out the zeros in the end; the codec then gives what was taken out.
//!
//! ```text
//! socket ─→ Diverting ─ frames, with zeros for messages ─→ HTTP/2 ─→ gRPC ─ so many zeros ─→ AsideCodec ─→ message
//!               └──────── messages, in buffers that wipe themselves ─→ Aside ────────────────────┘
//! ```
//!
//! There is no way to tell streams apart behind HTTP/2, so such a connection is for one stream.

mod diverting;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use evercert_api::v1;
use parking_lot::Mutex;
use prost::Message as _;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstEncoder};
use zeroize::Zeroizing;

pub(super) use diverting::Diverting;

/// The messages of one connection that have been taken out of what was read, in their order. HTTP/2's windows bound how much that is.
#[derive(Clone, Default)]
pub(super) struct Aside(Arc<Mutex<VecDeque<Taken>>>);

/// A message's content; wiped when it is dropped.
type Taken = Zeroizing<Vec<u8>>;

impl Aside {
    fn put(&self, message: Taken) {
        self.0.lock().push_back(message);
    }

    fn take(&self) -> Option<Taken> {
        self.0.lock().pop_front()
    }
}

/// Decodes what was put aside.
pub(super) struct AsideCodec(Aside);

impl AsideCodec {
    /// A codec for the one stream of a connection from which messages are taken out.
    pub(super) fn new(aside: Aside) -> Self {
        Self(aside)
    }
}

impl Codec for AsideCodec {
    type Encode = v1::WatchRequest;
    type Decode = v1::WatchResponse;
    type Encoder = ProstEncoder<v1::WatchRequest>;
    type Decoder = AsideDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<v1::WatchRequest, v1::WatchResponse>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        AsideDecoder(self.0.clone())
    }
}

/// The decoder of an [`AsideCodec`].
pub(super) struct AsideDecoder(Aside);

impl Decoder for AsideDecoder {
    type Item = v1::WatchResponse;
    type Error = Status;

    fn decode(&mut self, zeros: &mut DecodeBuf<'_>) -> Result<Option<v1::WatchResponse>, Status> {
        let length = zeros.remaining();
        zeros.advance(length);
        let message = self.0.take().filter(|message| message.len() == length);
        let message = message.ok_or_else(|| Status::internal("a message is not the one that was put aside"))?;
        // A key in the message is a part of these bytes, and no copy.
        let message = v1::WatchResponse::decode(Bytes::from_owner(message));
        message.map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
