//! Several identities behind one listener, told apart by the name that a client asks for.

use std::io;
use std::sync::Arc;

use evercert::server::{Hosts, IncomingSettings, InvalidHost, ServedBy, UnknownHost};
use evercert::tls::{AllowedPeers, PeerList};
use evercert::{Identity, Server};
use evercert_core::bundle::Bundles;
use evercert_fixtures::wait::until_so;
use evercert_fixtures::{Authority, Issued, Leaf};
use hyper_util::rt::TokioIo;
use rustls::AlertDescription;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_stream::StreamExt as _;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tower::service_fn;

use super::clients::{alert, client, serial, tcp};
use super::draining::NOW;
use super::patient::{Patient, check, goes_on, watch};
use super::serving::listen;
use super::support::{DEADLINE, Script, credential, snapshot, soon};

/// An identity with a CA of its own, which its clients' leaves are of too.
struct Party {
    ca: Authority,
    leaf: Issued,
    script: Arc<Script>,
    identity: Identity,
}

impl Party {
    /// The leaf is good for whatever name these tests ask for.
    fn leaf(ca: &Authority) -> Issued {
        let names = ["example.org", "api.example.org", "www.example.org", "other.example.org"];
        let leaf = names.iter().fold(Leaf::new("server"), |leaf, name| leaf.dns(name));
        ca.issue(leaf.dns("a.apps.example.org").dns("deep.a.apps.example.org").ip([127, 0, 0, 1].into()))
    }

    async fn new(name: &str) -> Self {
        let ca = Authority::new(name);
        let leaf = Self::leaf(&ca);
        let script = Script::of(snapshot(1, &leaf, &[&ca]));
        let identity = Identity::from_source(name, script.clone()).timeout(DEADLINE).await.unwrap();
        script.report().await;
        Self { ca, leaf, script, identity }
    }

    fn serial(&self) -> u64 {
        self.leaf.serial_number()
    }

    /// A handshake with a client of this party that asks for `name`, until the server has accepted it.
    async fn connect(&self, port: u16, name: &str) -> io::Result<TlsStream<TcpStream>> {
        self.connect_as(Leaf::for_dns("client.example.org"), port, name).await
    }

    async fn connect_as(&self, leaf: Leaf, port: u16, name: &str) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::new(client(&self.ca, Some(&self.ca.issue(leaf))));
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut stream = soon(TlsConnector::from(config).connect(name, tcp(port).await)).await?;
        soon(tokio::io::AsyncBufReadExt::fill_buf(&mut stream)).await?;
        Ok(stream)
    }

    async fn channel(&self, port: u16, name: &'static str) -> Channel {
        let config = Arc::new(client(&self.ca, Some(&self.ca.issue_dns("client.example.org"))));
        let connector = service_fn(move |_| {
            let config = Arc::clone(&config);
            async move {
                let name = ServerName::try_from(name).unwrap();
                let stream = TlsConnector::from(config).connect(name, tcp(port).await).await?;
                Ok::<_, io::Error>(TokioIo::new(stream))
            }
        });
        let endpoint = Endpoint::from_shared(format!("http://{name}")).unwrap();
        soon(endpoint.connect_with_connector(connector)).await.unwrap()
    }

    async fn connections(&self, wanted: u64) {
        until_so("so many connections", || self.identity.status().connections == wanted).await;
    }
}

/// A server with the default identity, one for `api.example.org`, and one for `*.apps.example.org` and `www.example.org`.
struct Stage {
    default: Party,
    api: Party,
    apps: Party,
    port: u16,
    stop: oneshot::Sender<()>,
}

impl Stage {
    async fn new(routes: Routes, turn: impl FnOnce(Server) -> Server) -> Self {
        let (default, api, apps) = (Party::new("default").await, Party::new("api").await, Party::new("apps").await);
        let server = Server::new(&default.identity)
            .identity_for("API.example.org", &api.identity)
            .and_then(|server| server.identity_for("*.apps.example.org", &apps.identity))
            .and_then(|server| server.identity_for("www.example.org.", &apps.identity));
        let (listener, port) = listen().await;
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(turn(server.unwrap()).serve(routes, listener, async { drop(stopped.await) }));
        Self { default, api, apps, port, stop }
    }

    async fn served(&self, party: &Party, name: &str) -> u64 {
        serial(&party.connect(self.port, name).await.unwrap())
    }
}

#[tokio::test]
async fn each_name_is_answered_by_its_identity_and_every_other_by_the_default_one() {
    let stage = Stage::new(Patient::new().routes(), |server| server).await;
    let Stage { default, api, apps, .. } = &stage;
    assert_eq!(stage.served(api, "api.example.org").await, api.serial());
    assert_eq!(stage.served(apps, "www.example.org").await, apps.serial());
    assert_eq!(stage.served(apps, "a.apps.example.org").await, apps.serial());
    // An asterisk is one label, and an address is no name that is asked for.
    for name in ["deep.a.apps.example.org", "example.org", "other.example.org", "127.0.0.1"] {
        assert_eq!(stage.served(default, name).await, default.serial(), "{name}");
    }
}

#[tokio::test]
async fn peers_are_verified_by_the_bundle_of_the_identity_they_ask_for() {
    let stage = Stage::new(Patient::new().routes(), |server| server).await;
    let mut foreign = client(&stage.api.ca, Some(&stage.default.ca.issue_dns("client.example.org")));
    foreign.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(foreign));
    let name = ServerName::try_from("api.example.org").unwrap();
    let refused = async {
        let mut stream = connector.connect(name, tcp(stage.port).await).await?;
        tokio::io::AsyncBufReadExt::fill_buf(&mut stream).await.map(drop)
    };
    assert_eq!(alert(soon(refused).await), AlertDescription::UnknownCA);
    stage.api.connect(stage.port, "api.example.org").await.unwrap();
}

#[tokio::test]
async fn clients_that_ask_for_no_known_name_are_refused_where_that_is_set() {
    let stage = Stage::new(Patient::new().routes(), |server| server.unknown_hosts(UnknownHost::Refuse)).await;
    let Stage { default, api, .. } = &stage;
    assert_eq!(stage.served(api, "api.example.org").await, api.serial());
    for name in ["example.org", "deep.a.apps.example.org", "127.0.0.1"] {
        assert_eq!(alert(default.connect(stage.port, name).await), AlertDescription::UnrecognisedName, "{name}");
    }
}

#[tokio::test]
async fn a_rotation_and_a_change_of_trust_concern_one_identitys_connections_alone() {
    let stage = Stage::new(Patient::new().routes(), |server| server.drain_policy(NOW)).await;
    let Stage { default, api, apps, port, .. } = &stage;
    let [one, two, three] = [
        default.channel(*port, "example.org").await,
        api.channel(*port, "api.example.org").await,
        apps.channel(*port, "www.example.org").await,
    ];
    let (mut of_default, mut of_apps) = (watch(&one).await, watch(&three).await);
    check(&two).await.unwrap();
    for party in [default, api, apps] {
        party.connections(1).await;
    }
    // Idle, it is drained at once.
    api.script.publish(snapshot(2, &Party::leaf(&api.ca), &[&api.ca])).await;
    api.connections(0).await;
    // The peer's CA is not trusted any more, by this identity alone.
    let other = Authority::new("other");
    let leaf = Party::leaf(&other);
    api.script.publish(snapshot(3, &leaf, &[&other])).await;
    assert_eq!(alert(api.connect_trusting(&other, *port).await), AlertDescription::UnknownCA);
    assert!(goes_on(&mut of_default).await && goes_on(&mut of_apps).await);
    for party in [default, apps] {
        let status = party.identity.status();
        assert_eq!((status.connections, status.connections_on_older, status.settled), (1, 0, true));
    }
}

impl Party {
    /// A handshake with a client of this party for `api.example.org`, where the server's leaf is of another CA.
    async fn connect_trusting(&self, server: &Authority, port: u16) -> io::Result<()> {
        let config = Arc::new(client(server, Some(&self.ca.issue_dns("client.example.org"))));
        let name = ServerName::try_from("api.example.org").unwrap();
        let mut stream = soon(TlsConnector::from(config).connect(name, tcp(port).await)).await?;
        soon(tokio::io::AsyncBufReadExt::fill_buf(&mut stream)).await.map(drop)
    }
}

#[tokio::test]
async fn an_identity_without_a_generation_closes_its_connections_and_no_other() {
    let (ready, late) = (Party::new("ready").await, Script::new());
    let pending = Identity::from_source("late", late.clone()).start_pending().unwrap();
    let server = Server::new(&ready.identity).identity_for("api.example.org", &pending).unwrap();
    let (listener, port) = listen().await;
    tokio::spawn(server.serve(Patient::new().routes(), listener, std::future::pending()));
    ready.connect(port, "example.org").await.unwrap();
    assert!(ready.connect(port, "api.example.org").await.is_err());
    late.publish(snapshot(1, &ready.leaf, &[&ready.ca])).await;
    ready.connect(port, "api.example.org").await.unwrap();
}

#[tokio::test]
async fn a_shutdown_drains_the_connections_of_all_identities() {
    let patient = Patient::new();
    let stage = Stage::new(patient.routes(), |server| server).await;
    let Stage { default, api, apps, port, stop } = stage;
    let channels = [default.channel(port, "example.org").await, api.channel(port, "api.example.org").await];
    let mut streams = Vec::new();
    for channel in &channels {
        streams.push(watch(channel).await);
    }
    let idle = apps.channel(port, "www.example.org").await;
    check(&idle).await.unwrap();
    drop(stop);
    apps.connections(0).await;
    for stream in &mut streams {
        assert!(goes_on(stream).await);
    }
    patient.end.cancel();
    for party in [&default, &api] {
        party.connections(0).await;
    }
}

/// Answers by which identity a call was served.
struct ByWhom;

#[tonic::async_trait]
impl Health for ByWhom {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Err(Status::aborted(ServedBy::of(&request).map_or("the only one", ServedBy::name)))
    }

    type WatchStream = tokio_stream::Pending<Result<HealthCheckResponse, Status>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(tokio_stream::pending()))
    }
}

#[tokio::test]
async fn a_service_sees_by_which_identity_it_is_called() {
    let stage = Stage::new(Routes::new(HealthServer::new(ByWhom)), |server| server).await;
    for (party, name) in [(&stage.default, "example.org"), (&stage.api, "api.example.org")] {
        let mut health = HealthClient::new(party.channel(stage.port, name).await);
        let status = soon(health.check(HealthCheckRequest::default())).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Aborted, &**party.identity.name()));
    }
}

#[tokio::test]
async fn two_identities_that_claim_one_name_and_what_is_no_name_are_refused() {
    let (one, other) = (Party::new("one").await, Party::new("other").await);
    let server = || Server::new(&one.identity).identity_for("api.example.org", &one.identity).unwrap();
    let claimed = server().identity_for("API.example.org.", &other.identity).unwrap_err();
    assert!(matches!(&claimed, InvalidHost::Claimed { .. }));
    let words = claimed.to_string();
    assert!(words.contains("API.example.org.") && words.contains("one and other"), "{words}");
    for (name, taken) in [("*.example.org", false), ("api.example.org", false), ("*", true), ("", true)] {
        assert_eq!(server().identity_for(name, &one.identity).is_err(), taken, "{name:?}");
    }
}

#[tokio::test]
async fn two_identities_of_one_name_are_refused_and_never_served_together() {
    let ([one, two], other) = ([Party::new("certs").await, Party::new("certs").await], Party::new("other").await);
    let beside_the_default = Server::new(&one.identity).identity_for("api.example.org", &two.identity).unwrap_err();
    let beside_another = Server::new(&other.identity)
        .identity_for("api.example.org", &one.identity)
        .and_then(|server| server.identity_for("www.example.org", &two.identity))
        .unwrap_err();
    for refused in [beside_the_default, beside_another] {
        assert_eq!(refused, InvalidHost::Namesakes("certs".into()));
        assert!(refused.to_string().contains("give one of them another name"), "{refused}");
    }

    let hosts = Hosts::default().identity_for("api.example.org", &two.identity).unwrap();
    let (listener, port) = listen().await;
    let mut incoming = one.identity.incoming_with(listener, IncomingSettings::default().hosts(hosts));
    let accepted = tokio::spawn(async move { incoming.next().await });
    two.connect(port, "api.example.org").await.unwrap_err();
    let config = Arc::new(client(&one.ca, Some(&one.ca.issue_dns("client.example.org"))));
    let name = ServerName::try_from("example.org").unwrap();
    let _one = soon(TlsConnector::from(config).connect(name, tcp(port).await)).await.unwrap();
    assert_eq!(soon(accepted).await.unwrap().unwrap().unwrap().served_by().name(), "certs");
}

fn billing() -> Leaf {
    Leaf::for_dns("client.example.org").uri("spiffe://example.org/billing")
}

fn only_billing() -> AllowedPeers {
    AllowedPeers::new(PeerList::default().spiffe_id("spiffe://example.org/billing".parse().unwrap()))
}

#[tokio::test]
async fn the_servers_list_is_its_default_identitys_and_lets_in_nobody_of_anothers_ca() {
    let allowed = only_billing();
    let stage = Stage::new(Patient::new().routes(), |server| server.allowed_peers(&allowed)).await;
    let Stage { default, api, port, .. } = &stage;
    default.connect_as(billing(), *port, "example.org").await.unwrap();
    assert_eq!(alert(default.connect(*port, "example.org").await), AlertDescription::AccessDenied);
    assert_eq!(allowed.refused(), 1);
    assert_eq!(alert(api.connect_as(billing(), *port, "api.example.org").await), AlertDescription::AccessDenied);
    assert_eq!(allowed.refused(), 1, "it is not this list that was asked");
}

#[tokio::test]
async fn another_identity_has_a_list_of_its_own_at_all_its_names_and_others_are_none_the_wiser() {
    let (ours, theirs) = (only_billing(), AllowedPeers::new(PeerList::default()));
    let [default, api, apps] = [Party::new("default").await, Party::new("api").await, Party::new("apps").await];
    let server = Server::new(&default.identity)
        .allowed_peers_of(&api.identity, &theirs)
        .identity_for("api.example.org", &api.identity)
        .and_then(|server| server.identity_for("other.example.org", &api.identity))
        .and_then(|server| server.identity_for("www.example.org", &apps.identity))
        .unwrap()
        .allowed_peers_of(&api.identity, &ours);
    let (listener, port) = listen().await;
    tokio::spawn(server.serve(Patient::new().routes(), listener, std::future::pending()));
    for name in ["api.example.org", "other.example.org"] {
        api.connect_as(billing(), port, name).await.unwrap();
        assert_eq!(alert(api.connect(port, name).await), AlertDescription::AccessDenied);
    }
    assert_eq!((ours.refused(), theirs.refused()), (2, 0));
    default.connect(port, "example.org").await.unwrap();
    apps.connect(port, "www.example.org").await.unwrap();
}

#[tokio::test]
async fn a_server_does_not_start_with_an_identity_that_it_cannot_serve() {
    let ready = Party::new("ready").await;
    let presenting = evercert_core::snapshot::Snapshot::new(1, credential(&ready.leaf), Bundles::default(), None);
    let without_bundle = Script::of(presenting).identity().await;
    let server = Server::new(&ready.identity).identity_for("api.example.org", &without_bundle).unwrap();
    let (listener, _) = listen().await;
    let refused = soon(server.serve(Patient::new().routes(), listener, std::future::pending())).await.unwrap_err();
    assert!(refused.to_string().contains("bundle"), "{refused}");
}

#[tokio::test]
async fn a_list_for_an_identity_that_is_not_served_is_refused_since_it_would_keep_out_nobody() {
    let [served, again] = [Party::new("served").await, Party::new("again").await];
    let server = || Server::new(&served.identity).allowed_peers_of(&again.identity, &only_billing());
    let (listener, _) = listen().await;
    let refused = soon(server().serve(Patient::new().routes(), listener, std::future::pending())).await.unwrap_err();
    assert!(refused.to_string().contains("allowed_peers_of"), "{refused}");

    let hosts = Hosts::default().allowed_peers_of(&again.identity, &only_billing());
    let (listener, port) = listen().await;
    let _incoming = served.identity.incoming_with(listener, IncomingSettings::default().hosts(hosts));
    served.connect_as(billing(), port, "example.org").await.unwrap_err();
}
