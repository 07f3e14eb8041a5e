//! Notes the connections that come to a server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::net::TcpStream;

use crate::stage;

/// A proxy before the server that notes when connections come.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    comings: Arc<Mutex<Vec<Instant>>>,
}

impl Door {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let (listener, address) = stage::listener().await;
        let comings = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&comings);
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                noted.lock().push(Instant::now());
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    client.set_nodelay(true).unwrap();
                    server.set_nodelay(true).unwrap();
                    // How it ends is for both ends to say.
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { address, comings }
    }

    pub(crate) fn count(&self) -> usize {
        self.comings.lock().len()
    }

    /// Those noted since the last time.
    pub(crate) fn drain(&self) -> Vec<Instant> {
        std::mem::take(&mut *self.comings.lock())
    }
}
