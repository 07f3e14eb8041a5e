//! A moment between a peer's word that it has read our GOAWAY and our last word on which of its streams we take.
//!
//! A graceful end of HTTP/2 (RFC 9113 §6.8) tells the peer to begin nothing more, waits a round trip, and then says which stream was
//! the last. h2 measures the round trip by a PING, and has its last word the moment it reads the answer. But behind the answer, in
//! the same flight, may be what the peer had begun before it read the GOAWAY: gRPC's C core writes so. Those calls would be refused,
//! and worse: to h2 a WINDOW_UPDATE for such a stream is one for a stream that never was, and it ends the connection with all its calls.
//! So the answer is passed on a little later than what came behind it.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::time::{Sleep, sleep};

/// The time the answer is withheld: a flight is read within it on a busy machine too, and nobody misses it.
const LULL: Duration = Duration::from_millis(100);

/// The answer to the PING with which h2 measures the round trip: a frame of type PING with the flag ACK and h2's own payload. Were that
/// another one, nothing would be withheld.
const ANSWER: [u8; 17] = [0, 0, 8, 6, 1, 0, 0, 0, 0, 0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

/// The length of a frame's header (RFC 9113 §4.1).
const HEADER_LENGTH: usize = 9;

/// A peer's bytes, followed from frame to frame until the answer has come and gone.
#[derive(Debug)]
pub(super) enum Lull {
    /// The answer has not come.
    Awaiting(Frames),
    /// It has, and is withheld.
    Withheld(Frames, Pin<Box<Sleep>>),
    /// This much of it is to be passed on before anything else.
    Passing(&'static [u8]),
    /// It was passed on. There is one for a connection.
    Over,
}

impl Lull {
    /// For a connection whose first bytes are no frame but a preface of this length.
    pub(super) fn after(preface: usize) -> Self {
        Self::Awaiting(Frames { rest: preface, header: [0; HEADER_LENGTH], known: 0 })
    }

    /// Passes the answer on, if that is due; asked before each reading.
    pub(super) fn pass_on(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> bool {
        if let Self::Withheld(frames, until) = self
            && until.as_mut().poll(cx).is_ready()
            && frames.between()
        {
            *self = Self::Passing(&ANSWER);
        }
        let Self::Passing(left) = self else { return false };
        let (now, later) = left.split_at(left.len().min(buf.remaining()));
        buf.put_slice(now);
        *self = if later.is_empty() { Self::Over } else { Self::Passing(later) };
        true
    }

    /// Follows what was read, and takes the answer out if it is there; gives how much is left. An answer in two pieces is left where it
    /// is: it takes a full buffer for that.
    pub(super) fn follow(&mut self, read: &mut [u8]) -> usize {
        match self {
            Self::Awaiting(frames) => {
                let Some(at) = frames.find(read) else { return read.len() };
                let behind = at + ANSWER.len();
                frames.skip(&read[behind..]);
                read.copy_within(behind.., at);
                *self = Self::Withheld(*frames, Box::pin(sleep(LULL)));
                read.len() - ANSWER.len()
            }
            Self::Withheld(frames, _) => {
                frames.skip(read);
                read.len()
            }
            Self::Passing(_) | Self::Over => read.len(),
        }
    }
}

/// The position of reading in a sequence of frames.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frames {
    /// Bytes missing of the current frame's payload.
    rest: usize,
    /// The next frame's header, as far as it is known.
    header: [u8; HEADER_LENGTH],
    known: usize,
}

impl Frames {
    /// Whether a frame has ended and the next has not begun.
    fn between(&self) -> bool {
        self.rest == 0 && self.known == 0
    }

    /// Reads up to the answer, and gives where it begins; to the end, if it is not there.
    fn find(&mut self, read: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < read.len() {
            if self.between() && read[at..].starts_with(&ANSWER) {
                return Some(at);
            }
            at += self.step(&read[at..]);
        }
        None
    }

    fn skip(&mut self, mut read: &[u8]) {
        while !read.is_empty() {
            read = &read[self.step(read)..];
        }
    }

    /// Reads the rest of a payload, or of a header; gives how much that was.
    fn step(&mut self, read: &[u8]) -> usize {
        if self.rest > 0 {
            let length = self.rest.min(read.len());
            self.rest -= length;
            return length;
        }
        let length = (HEADER_LENGTH - self.known).min(read.len());
        self.header[self.known..self.known + length].copy_from_slice(&read[..length]);
        self.known += length;
        if self.known == HEADER_LENGTH {
            let [a, b, c, ..] = self.header;
            self.rest = u32::from_be_bytes([0, a, b, c]) as usize;
            self.known = 0;
        }
        length
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    /// DATA on stream 1 whose payload is the answer.
    const DATA: &[u8] =
        &[0, 0, 17, 0, 0, 0, 0, 0, 1, 0, 0, 8, 6, 1, 0, 0, 0, 0, 0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

    /// The part of `bytes` passed on when read in pieces of this length, while the lull lasts and after it.
    async fn passed_on(bytes: &[u8], piece: usize) -> (Vec<u8>, Vec<u8>) {
        let mut lull = Lull::after(PREFACE.len());
        let mut now = Vec::new();
        for piece in bytes.chunks(piece) {
            let mut read = piece.to_vec();
            let length = lull.follow(&mut read);
            now.extend_from_slice(&read[..length]);
        }
        (now, rest(&mut lull).await)
    }

    async fn rest(lull: &mut Lull) -> Vec<u8> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut later = Vec::new();
        for _ in 0..2 {
            let mut bytes = [0; 10];
            let mut buf = ReadBuf::new(&mut bytes);
            while lull.pass_on(&mut cx, &mut buf) {
                later.extend_from_slice(buf.filled());
                buf.clear();
            }
            tokio::time::advance(LULL + Duration::from_millis(1)).await;
        }
        later
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_comes_after_what_was_behind_it() {
        let bytes = [PREFACE, SETTINGS, DATA, &ANSWER, DATA, SETTINGS].concat();
        let others = [PREFACE, SETTINGS, DATA, DATA, SETTINGS].concat();
        assert_eq!(passed_on(&bytes, bytes.len()).await, (others, ANSWER.to_vec()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_only_looks_like_it_or_comes_in_pieces_is_left_where_it_is() {
        let data = [PREFACE, SETTINGS, DATA, SETTINGS].concat();
        for piece in 1..data.len() {
            assert_eq!(passed_on(&data, piece).await, (data.clone(), Vec::new()));
        }
        let whole = [PREFACE, &ANSWER, SETTINGS].concat();
        assert_eq!(passed_on(&whole, PREFACE.len() + 5).await, (whole, Vec::new()));
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_comes_within_a_frame() {
        let mut lull = Lull::after(0);
        let mut read = [&ANSWER, &DATA[..12]].concat();
        assert_eq!(lull.follow(&mut read), 12);
        assert!(rest(&mut lull).await.is_empty());
        assert_eq!(lull.follow(&mut DATA[12..].to_vec()), DATA.len() - 12);
        assert_eq!(rest(&mut lull).await, ANSWER);
    }
}
