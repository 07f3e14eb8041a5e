//! The moment a server accepts a connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// Length of an HTTP/2 frame header (RFC 9113 §4.1).
const FRAME_HEADER: usize = 9;
/// The offset of the frame's type in it, and the type SETTINGS.
const FRAME_TYPE: usize = 3;
const SETTINGS: u8 = 4;

/// A stream that tells once whether the first frame from the server is its SETTINGS, the server's part of the connection
/// preface (RFC 9113 §3.4). Nothing is held back: what is read goes through at once, so that the client's own preface is
/// sent meanwhile, and servers that wait for it are served.
#[derive(Debug)]
pub(super) struct FirstFrame<S> {
    stream: S,
    watching: Option<Watching>,
}

#[derive(Debug)]
struct Watching {
    header: Vec<u8>,
    tell: oneshot::Sender<io::Result<()>>,
}

impl<S> FirstFrame<S> {
    /// The stream, and what is told of its first frame.
    pub(super) fn new(stream: S) -> (Self, oneshot::Receiver<io::Result<()>>) {
        let (tell, told) = oneshot::channel();
        let watching = Watching { header: Vec::with_capacity(FRAME_HEADER), tell };
        (Self { stream, watching: Some(watching) }, told)
    }

    /// Looks at one read, and returns what the reader gets.
    fn observe(&mut self, read: io::Result<()>, bytes: &[u8]) -> io::Result<()> {
        let Some(mut watching) = self.watching.take() else { return read };
        let verdict = match read {
            // The reader gets the kind alone: the error itself, with the server's alert, goes to whoever waits.
            Err(error) => {
                let kind = error.kind();
                _ = watching.tell.send(Err(error));
                return Err(kind.into());
            }
            Ok(()) if bytes.is_empty() => {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection before its SETTINGS"))
            }
            Ok(()) => {
                let missing = FRAME_HEADER - watching.header.len();
                watching.header.extend_from_slice(&bytes[..missing.min(bytes.len())]);
                match watching.header.get(FRAME_TYPE) {
                    None => {
                        self.watching = Some(watching);
                        return Ok(());
                    }
                    Some(&SETTINGS) => Ok(()),
                    Some(_) => Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "its first frame is not SETTINGS: it does not speak HTTP/2",
                    )),
                }
            }
        };
        _ = watching.tell.send(verdict);
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstFrame<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.watching.is_none() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let before = buf.filled().len();
        Pin::new(&mut self.stream).poll_read(cx, buf).map(|read| {
            // The frame's type is among its first four bytes; HTTP/2 readers never ask for none.
            self.observe(read, &buf.filled()[before..])
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstFrame<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn told_after(pieces: &[&[u8]]) -> io::Result<()> {
        let (mut server, client) = tokio::io::duplex(64);
        let (mut stream, told) = FirstFrame::new(client);
        for piece in pieces {
            server.write_all(piece).await.unwrap();
            let mut read = vec![0; piece.len()];
            stream.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, piece, "nothing is held back");
        }
        drop(server);
        _ = stream.read(&mut [0]).await;
        told.await.unwrap()
    }

    #[tokio::test]
    async fn settings_are_recognised_however_they_are_cut() {
        told_after(&[&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]]).await.unwrap();
        told_after(&[&[0], &[0, 0], &[SETTINGS], &[0, 0, 0, 0, 0]]).await.unwrap();
    }

    #[tokio::test]
    async fn another_first_frame_is_not_an_acceptance() {
        assert_eq!(told_after(&[b"HTTP/1.1 400"]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(told_after(&[&[0, 0, 8, 7, 0, 0, 0, 0, 0]]).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn an_end_is_not_an_acceptance() {
        assert_eq!(told_after(&[]).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(told_after(&[&[0, 0]]).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
