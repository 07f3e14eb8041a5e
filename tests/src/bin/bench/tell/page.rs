//! The updates of the page at `/`, followed as a browser does.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The most often that the page tells of changes: what changes sooner after another change waits until then.
const INTERVAL: Duration = Duration::from_secs(1);

/// How old a stream is replaced: the daemon ends it ten seconds later, and a browser would ask again in a second.
const OLD: Duration = Duration::from_secs(40);

/// A stream of updates.
pub(super) struct Page {
    address: SocketAddr,
    stream: TcpStream,
    opened: Instant,
    /// What was read and not taken yet.
    read: String,
}

impl Page {
    /// Opens it, and takes what it tells at first.
    pub(super) async fn open(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /updates HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut page = Self { address, stream, opened: Instant::now(), read: String::new() };
        while page.next().await["complete"] != true {}
        page
    }

    /// Waits until the page tells of the next change at once.
    pub(super) async fn rest(&mut self) {
        if self.opened.elapsed() > OLD {
            *self = Self::open(self.address).await;
        }
        tokio::time::sleep(INTERVAL).await;
    }

    /// The next update.
    pub(super) async fn next(&mut self) -> Value {
        loop {
            if let Some((_, rest)) = self.read.split_once("data: ")
                && let Some((data, rest)) = rest.split_once("\n\n")
            {
                let update = serde_json::from_str(data).unwrap();
                self.read = rest.to_owned();
                return update;
            }
            let mut part = [0; 64 * 1024];
            let count = self.stream.read(&mut part).await.unwrap();
            assert!(count > 0, "the stream has ended: {}", self.read);
            self.read += str::from_utf8(&part[..count]).unwrap();
        }
    }
}
