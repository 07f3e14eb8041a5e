//! The first bytes of a connection, by which the peer begins to speak the version of HTTP that it agreed on.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use http::Version;
use tokio::time::{Sleep, sleep};

/// The HTTP/2 connection preface of a client (RFC 9113 §3.4). No request of HTTP/1.1 begins with it.
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose peer has not begun yet, and the time it has for that.
#[derive(Debug)]
pub(super) struct Opening {
    version: Version,
    /// The rest of the preface that has not come, or that must not come under HTTP/1.1.
    preface: &'static [u8],
    timeout: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl Opening {
    pub(super) fn new(version: Version, timeout: Duration) -> Self {
        Self { version, preface: PREFACE, timeout, deadline: Box::pin(sleep(timeout)) }
    }

    /// Follows what was read; gives whether the peer speaks its version by now. Under HTTP/2 the bytes are only counted, since HTTP/2
    /// itself refuses another preface. Under HTTP/1.1 nobody else refuses the preface: hyper would serve HTTP/2, which was not agreed on.
    ///
    /// # Errors
    ///
    /// The peer speaks HTTP/2 under HTTP/1.1.
    pub(super) fn follow(&mut self, read: &[u8]) -> io::Result<bool> {
        let (now, later) = self.preface.split_at(read.len().min(self.preface.len()));
        if self.version != Version::HTTP_2 && !read.starts_with(now) {
            return Ok(true);
        }
        self.preface = later;
        match (later, self.version) {
            ([], Version::HTTP_2) => Ok(true),
            ([], _) => Err(io::Error::new(io::ErrorKind::InvalidData, OpeningError::OtherVersion)),
            _ => Ok(false),
        }
    }

    /// Asked where reading would wait.
    ///
    /// # Errors
    ///
    /// The time is over.
    pub(super) fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.deadline.as_mut().poll(cx).is_pending() {
            return Ok(());
        }
        let error = match self.version {
            Version::HTTP_2 => OpeningError::NoPreface(self.timeout),
            _ => OpeningError::NoRequest(self.timeout),
        };
        Err(io::Error::new(io::ErrorKind::TimedOut, error))
    }
}

/// A peer that did not begin as it agreed to.
#[derive(Debug, thiserror::Error)]
enum OpeningError {
    #[error("no HTTP/2 connection preface within {0:?} of the handshake")]
    NoPreface(Duration),
    #[error("no request within {0:?} of the handshake")]
    NoRequest(Duration),
    #[error("the peer speaks HTTP/2, and agreed on HTTP/1.1")]
    OtherVersion,
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] = b"POST /a HTTP/1.1\r\nhost: a\r\n\r\n";

    /// The outcome of following `bytes` in pieces of this length, and how many of them it took.
    fn followed(version: Version, bytes: &[u8], piece: usize) -> (Result<bool, io::ErrorKind>, usize) {
        let mut opening = Opening::new(version, Duration::from_secs(1));
        let mut at = 0;
        for piece in bytes.chunks(piece) {
            at += piece.len();
            match opening.follow(piece) {
                Ok(false) => {}
                decided => return (decided.map_err(|error| error.kind()), at),
            }
        }
        (Ok(false), at)
    }

    #[tokio::test]
    async fn http_2_has_begun_when_as_much_as_the_preface_has_come() {
        for piece in 1..24 {
            let (begun, after) = followed(Version::HTTP_2, &PREFACE.repeat(2), piece);
            assert_eq!((begun, after), (Ok(true), 24_usize.next_multiple_of(piece).min(48)));
            assert_eq!(followed(Version::HTTP_2, &PREFACE[..23], piece).0, Ok(false));
        }
    }

    #[tokio::test]
    async fn http_1_1_has_begun_with_the_first_octet_that_is_not_of_the_preface() {
        assert_eq!(followed(Version::HTTP_11, REQUEST, 1), (Ok(true), 2));
        assert_eq!(followed(Version::HTTP_11, REQUEST, 100), (Ok(true), REQUEST.len()));
        assert_eq!(followed(Version::HTTP_11, b"PRI * HTTP/1.1\r\n\r\n", 1), (Ok(true), 12));
        assert_eq!(followed(Version::HTTP_11, b"P", 1).0, Ok(false));
    }

    #[tokio::test]
    async fn http_2_is_not_spoken_where_http_1_1_was_agreed_on() {
        for piece in 1..30 {
            assert_eq!(followed(Version::HTTP_11, &PREFACE.repeat(2), piece).0, Err(io::ErrorKind::InvalidData));
        }
    }
}
