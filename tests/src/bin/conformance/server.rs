//! The server under test, behind a whole security.

use evercert::auth::policy::{Caller, Rule};
use evercert::auth::{MethodPolicy, Security, Web};
use evercert::{ClientCertificates, Server};
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::messages::{identity, read, write};
use crate::service::Conformance;
use crate::trailers::WithTrailers;
use crate::v1::conformance_service_server::ConformanceServiceServer;
use crate::v1::{Protocol, ServerCompatRequest, ServerCompatResponse};

/// Serves as the runner says, until it ends this program.
pub(crate) async fn run() {
    let asked: ServerCompatRequest = read(&mut std::io::stdin()).unwrap();
    assert!(asked.use_tls, "the SDK serves nothing in the clear");
    let own = asked.server_creds.clone().unwrap();
    let with_certificates = !asked.client_tls_cert.is_empty();
    let trusted = if with_certificates { &asked.client_tls_cert } else { &own.cert };
    let directory = tempfile::tempdir().unwrap();
    let identity = identity(directory.path(), Some(&own), trusted).await;

    let (certificates, caller) = if with_certificates {
        (ClientCertificates::Required, Caller::authenticated().certificate())
    } else {
        (ClientCertificates::None, Caller::anyone())
    };
    let rule = Rule::named("everything").methods(["/*"]).caller(caller);
    let mut security = Security::builder().policy(MethodPolicy::builder().allow(rule));
    if asked.protocol() == Protocol::GrpcWeb {
        security = security.web(Web::any_origin());
    }
    let server = Server::new(&identity).client_certificates(certificates).security(security.build().unwrap());

    let mut service = ConformanceServiceServer::new(Conformance);
    if asked.message_receive_limit > 0 {
        service = service.max_decoding_message_size(asked.message_receive_limit as usize);
    }
    let routes = Routes::new(WithTrailers(service));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer =
        ServerCompatResponse { host: address.ip().to_string(), port: address.port().into(), pem_cert: own.cert };
    write(&answer);
    server.serve(routes, listener, std::future::pending()).await.unwrap();
}
