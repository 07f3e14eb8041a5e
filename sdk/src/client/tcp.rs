//! TCP connections, as an endpoint wants them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpSocket, TcpStream};

/// The settings of an endpoint's TCP connections; unset ones are the system's.
#[derive(Debug, Clone, Default)]
pub(super) struct TcpSettings {
    pub(super) local_address: Option<IpAddr>,
    pub(super) keepalive: Option<Duration>,
    pub(super) keepalive_interval: Option<Duration>,
    pub(super) keepalive_retries: Option<u32>,
}

impl TcpSettings {
    pub(super) async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(local) = self.local_address {
            socket.bind((local, 0).into())?;
        }
        // Calls are small writes; a failure costs latency alone.
        _ = socket.set_nodelay(true);
        self.keep_alive(&socket)?;
        socket.connect(address).await
    }

    fn keep_alive(&self, socket: &TcpSocket) -> io::Result<()> {
        let Some(idle) = self.keepalive else { return Ok(()) };
        sockopt::set_socket_keepalive(socket, true)?;
        sockopt::set_tcp_keepidle(socket, idle)?;
        if let Some(interval) = self.keepalive_interval {
            sockopt::set_tcp_keepintvl(socket, interval)?;
        }
        if let Some(retries) = self.keepalive_retries {
            sockopt::set_tcp_keepcnt(socket, retries)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_comes_from_the_address_and_is_probed_as_it_is_said() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = TcpSettings {
            local_address: Some([127, 0, 0, 9].into()),
            keepalive: Some(Duration::from_secs(70)),
            keepalive_interval: Some(Duration::from_secs(7)),
            keepalive_retries: Some(3),
        };
        let stream = settings.connect(listener.local_addr().unwrap()).await.unwrap();
        let (_accepted, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip(), IpAddr::from([127, 0, 0, 9]));
        assert!(stream.nodelay().unwrap() && sockopt::socket_keepalive(&stream).unwrap());
        let times =
            [sockopt::tcp_keepidle(&stream), sockopt::tcp_keepintvl(&stream)].map(|time| time.unwrap().as_secs());
        assert_eq!((times, sockopt::tcp_keepcnt(&stream).unwrap()), ([70, 7], 3));
    }

    #[tokio::test]
    async fn unless_it_is_said_a_connection_is_not_probed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpSettings::default().connect(listener.local_addr().unwrap()).await.unwrap();
        assert!(!sockopt::socket_keepalive(&stream).unwrap());
    }
}
