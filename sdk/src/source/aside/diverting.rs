//! Taking messages out of what is read.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zeroize::{Zeroize as _, Zeroizing};

use super::{Aside, Taken};
use crate::source::stream::MESSAGE_LIMIT;

/// The length of a frame's header (RFC 9113 §4.1).
const FRAME_HEADER: usize = 9;
/// The type of frames that carry messages (RFC 9113 §6.1).
const DATA: u8 = 0;
/// The flag of such a frame that begins and ends with padding.
const PADDED: u8 = 0x8;
/// The prefix of a message: whether it is compressed, and its length ("Length-Prefixed-Message" in gRPC over HTTP/2).
const MESSAGE_PREFIX: usize = 5;

/// A connection with one stream, whose messages are put aside as they are read. The reader sees zeros in their place.
pub(in crate::source) struct Diverting<IO> {
    io: IO,
    frames: Frames,
}

impl<IO> Diverting<IO> {
    /// The connection, and where its messages are put.
    pub(in crate::source) fn new(io: IO) -> (Self, Aside) {
        let aside = Aside::default();
        (Self { io, frames: Frames::new(aside.clone()) }, aside)
    }
}

/// Bytes read, by frames.
struct Frames {
    frame: Frame,
    messages: Messages,
}

/// The position of reading in a frame.
enum Frame {
    Header(Partial<FRAME_HEADER>),
    Payload { carries_messages: bool, left: usize },
}

/// The content of data frames, by messages.
struct Messages {
    message: Message,
    aside: Aside,
}

/// The position of reading in a message.
enum Message {
    Prefix(Partial<MESSAGE_PREFIX>),
    /// One that is longer than is accepted is refused behind HTTP/2, by its prefix: nothing of it is kept.
    Content {
        taken: Option<Taken>,
        left: usize,
    },
}

/// A piece of a fixed length that may come in parts.
struct Partial<const LENGTH: usize> {
    octets: [u8; LENGTH],
    filled: usize,
}

impl Frames {
    fn new(aside: Aside) -> Self {
        Self { frame: Frame::header(), messages: Messages { message: Message::prefix(), aside } }
    }

    /// Goes on with what was read, and leaves zeros for what it put aside.
    fn divert(&mut self, mut read: &mut [u8]) -> io::Result<()> {
        while !read.is_empty() {
            match &mut self.frame {
                Frame::Header(header) => {
                    let (used, whole) = header.fill(read);
                    read = &mut read[used..];
                    if let Some([a, b, c, kind, flags, ..]) = whole {
                        if kind == DATA && flags & PADDED != 0 {
                            // A reader would find what follows.
                            read.zeroize();
                            return Err(io::Error::new(io::ErrorKind::InvalidData, Padded));
                        }
                        self.frame = Frame::payload(kind == DATA, usize_of([0, a, b, c]));
                    }
                }
                Frame::Payload { carries_messages, left } => {
                    let (payload, next) = read.split_at_mut(read.len().min(*left));
                    read = next;
                    if *carries_messages {
                        self.messages.divert(payload);
                    }
                    *left -= payload.len();
                    if *left == 0 {
                        self.frame = Frame::header();
                    }
                }
            }
        }
        Ok(())
    }
}

impl Messages {
    fn divert(&mut self, mut data: &mut [u8]) {
        while !data.is_empty() {
            match &mut self.message {
                Message::Prefix(prefix) => {
                    let (used, whole) = prefix.fill(data);
                    data = &mut data[used..];
                    if let Some([_, a, b, c, d]) = whole {
                        self.message = Message::content(usize_of([a, b, c, d]));
                    }
                }
                Message::Content { taken, left } => {
                    let (content, next) = data.split_at_mut(data.len().min(*left));
                    data = next;
                    if let Some(taken) = taken {
                        taken.extend_from_slice(content);
                    }
                    content.zeroize();
                    *left -= content.len();
                }
            }
            // Also for a message that is empty: nothing more comes of it.
            if let Message::Content { taken, left: 0 } = &mut self.message {
                if let Some(taken) = taken.take() {
                    self.aside.put(taken);
                }
                self.message = Message::prefix();
            }
        }
    }
}

impl Frame {
    fn header() -> Self {
        Self::Header(Partial::default())
    }

    fn payload(carries_messages: bool, length: usize) -> Self {
        if length == 0 { Self::header() } else { Self::Payload { carries_messages, left: length } }
    }
}

impl Message {
    fn prefix() -> Self {
        Self::Prefix(Partial::default())
    }

    fn content(length: usize) -> Self {
        // Of its full size at once: a vector that grows leaves behind what it held.
        let taken = (length <= MESSAGE_LIMIT).then(|| Zeroizing::new(Vec::with_capacity(length)));
        Self::Content { taken, left: length }
    }
}

impl<const LENGTH: usize> Default for Partial<LENGTH> {
    fn default() -> Self {
        Self { octets: [0; LENGTH], filled: 0 }
    }
}

impl<const LENGTH: usize> Partial<LENGTH> {
    /// The number of octets of `read` that belong to it, and the whole once that is there.
    fn fill(&mut self, read: &[u8]) -> (usize, Option<[u8; LENGTH]>) {
        let missing = &mut self.octets[self.filled..];
        let used = missing.len().min(read.len());
        missing[..used].copy_from_slice(&read[..used]);
        self.filled += used;
        (used, (self.filled == LENGTH).then_some(self.octets))
    }
}

fn usize_of(octets: [u8; 4]) -> usize {
    usize::try_from(u32::from_be_bytes(octets)).unwrap_or(usize::MAX)
}

#[derive(Debug, thiserror::Error)]
#[error("the daemon pads its frames, which this SDK does not expect of it")]
struct Padded;

impl<IO: AsyncRead + Unpin> AsyncRead for Diverting<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        Poll::Ready(this.frames.divert(&mut buf.filled_mut()[before..]))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Diverting<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, buf)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
