//! Certificates that path validation takes, and that cannot be read.

use std::sync::Arc;

use bytes::Bytes;
use evercert::auth::policy::{Caller, Rule};
use evercert::auth::{MethodPolicy, Security};
use evercert::{ClientCertificates, Server};
use evercert_fixtures::{Issued, Leaf, odd};
use evercert_tests::guarded::{Guarded, Stage};
use evercert_tests::stranger;
use http::Request;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The status of a call by whoever has this certificate.
async fn call(stage: &Stage, server: &Guarded, leaf: Vec<u8>, issued: &Issued) -> String {
    let shown = Issued { leaf_der: leaf, ..issued.clone() };
    let config = stranger::config(&shown, &[stage.authority()]);
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
    let (sender, connection) = h2::client::handshake(tls).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("https://localhost/grpc.testing.TestService/EmptyCall")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let mut sender = sender.ready().await.unwrap();
    let (response, mut body) = sender.send_request(request.body(()).unwrap(), false).unwrap();
    body.send_data(Bytes::from_static(&[0; 5]), true).unwrap();
    let response = response.await.unwrap();
    let said = |headers: &http::HeaderMap| Some(headers.get("grpc-status")?.to_str().unwrap().to_owned());
    if let Some(status) = said(response.headers()) {
        return status;
    }
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        data.unwrap();
    }
    said(&body.trailers().await.unwrap().unwrap()).unwrap()
}

#[tokio::test]
async fn names_that_cannot_be_read_get_around_no_rule_that_denies() {
    let stage = Stage::new();
    let everywhere = |name, caller| Rule::named(name).methods(["/*"]).caller(caller);
    let policy = MethodPolicy::builder()
        .allow(everywhere("anybody", Caller::anyone()))
        .deny(everywhere("the one", Caller::authenticated().dns_names(["denied.example.org"])));
    let security = Security::builder().policy(policy).build().unwrap();
    let required = |server: Server| server.client_certificates(ClientCertificates::Required).security(security);
    let server = stage.serve_with(required).await;
    let issued = stage.authority().issue(Leaf::for_dns("denied.example.org"));
    let denied = call(&stage, &server, issued.leaf_der.clone(), &issued).await;
    assert_eq!(denied, "7", "the rule denies what is understood");
    // Another name behind it is cut off, is no text, or is no address.
    let name = odd::element(0x82, b"denied.example.org");
    let with_names =
        |names: &[u8]| stage.authority().altered(&issued, odd::value_of(odd::SUBJECT_ALT_NAME, false, names));
    let unreadable: [&[u8]; 3] = [&[0x82, 9], &odd::element(0x82, &[0xff]), &odd::element(0x87, &[10, 0, 0])];
    for name_behind in unreadable {
        let names = odd::element(0x30, &[&name, name_behind].concat());
        assert_eq!(call(&stage, &server, with_names(&names), &issued).await, "16", "{name_behind:?}");
    }
    assert_eq!(server.counted.reached(), 0);
}
