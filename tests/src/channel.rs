//! tonic's channels over Unix sockets.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tonic::transport::{Channel, Endpoint};

/// A channel to a socket; `None` while nobody listens.
pub async fn connect(socket: impl AsRef<Path>) -> Option<Channel> {
    Endpoint::from_shared(format!("unix:{}", socket.as_ref().display())).unwrap().connect().await.ok()
}

/// A channel over a connection that there is, which is not made again.
#[must_use]
pub fn over(stream: UnixStream) -> Channel {
    stream.set_nonblocking(true).unwrap();
    let stream = Mutex::new(Some(tokio::net::UnixStream::from_std(stream).unwrap()));
    Endpoint::from_static("http://unix.invalid").connect_with_connector_lazy(tower::service_fn(move |_| {
        let stream = stream.lock().take().ok_or_else(|| io::Error::other("the connection has ended"));
        std::future::ready(stream.map(TokioIo::new))
    }))
}
