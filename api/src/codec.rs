//! How messages of `evercert.v1` are taken from their stream.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// The size of the buffer that a stream's messages are taken from, in bytes. It grows with a larger message. tonic's own has 8 KiB, which a
/// daemon would keep for every subscriber, whose reports have a hundred bytes.
const BUFFER: usize = 1024;

/// tonic's own, but for that buffer.
#[derive(Debug)]
pub(crate) struct SmallBuffers<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SmallBuffers<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SmallBuffers<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        // Of the two only the size is of a decoder.
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER, BUFFER))
    }
}
