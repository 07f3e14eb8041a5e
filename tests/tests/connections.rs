//! How connections are counted.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use evercert::source::DirectorySettings;
use evercert::{ClientCertificates, Identity, Server};
use evercert_examples::GreeterService;
use evercert_examples::v1::HelloRequest;
use evercert_examples::v1::greeter_client::GreeterClient;
use evercert_examples::v1::greeter_server::GreeterServer;
use evercert_fixtures::{Authority, wait};
use evercert_tests::connections::Connections;
use evercert_tests::side::{NAME, Side};
use evercert_tests::stranger;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::net::{TcpListener, TcpSocket};
use tokio_rustls::TlsConnector;
use tonic::Request;
use tonic::service::Routes;
use tonic::transport::Endpoint;
use tower::service_fn;

#[tokio::test]
async fn a_client_that_comes_back_from_the_same_port_has_a_connection_more() {
    let authority = Authority::new("root");
    let (ours, theirs) = (Side::new(&authority), Side::new(&authority));
    let identity = Identity::from_directory(DirectorySettings::new(ours.path())).await.unwrap();
    let seen = Arc::new(Mutex::new((Connections::default(), Vec::new())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    let note = Arc::clone(&seen);
    let greeter = GreeterServer::with_interceptor(GreeterService, move |call: Request<()>| {
        let (connections, addresses) = &mut *note.lock();
        connections.note(&call);
        addresses.push(call.remote_addr().unwrap());
        Ok(call)
    });
    let serving = Server::new(&identity).client_certificates(ClientCertificates::Required);
    tokio::spawn(serving.serve(Routes::new(greeter), listener, std::future::pending()));

    let mut port = 0;
    for connections in 1..=3 {
        call_twice(server, port, &theirs, &authority).await;
        let (seen, addresses) = &*seen.lock();
        assert_eq!((seen.count(), addresses.len()), (connections, 2 * connections));
        port = addresses[0].port();
        assert!(addresses.iter().all(|address| *address == addresses[0]), "{addresses:?}");
    }
}

/// Calls twice over one connection from this port, and leaves without a trace, so that the port can be had again at once.
async fn call_twice(server: SocketAddr, port: u16, side: &Side, authority: &Authority) {
    let tls = TlsConnector::from(Arc::new(stranger::config(side.issued(), &[authority])));
    let connect = service_fn(move |_| {
        let tls = tls.clone();
        async move {
            let stream = wait::until("the port is free", || async {
                let socket = TcpSocket::new_v4().unwrap();
                socket.set_reuseaddr(true).unwrap();
                socket.bind((Ipv4Addr::LOCALHOST, port).into()).ok()?;
                socket.connect(server).await.ok()
            });
            let stream = stream.await;
            stream.set_zero_linger().unwrap();
            tls.connect(ServerName::try_from(NAME).unwrap(), stream).await.map(TokioIo::new)
        }
    });
    let channel = Endpoint::from_static("http://localhost").connect_with_connector(connect).await.unwrap();
    let mut greeter = GreeterClient::new(channel);
    for _ in 0..2 {
        greeter.say_hello(HelloRequest::default()).await.unwrap();
    }
}
