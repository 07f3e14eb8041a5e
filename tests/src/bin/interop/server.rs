//! Our server under a foreign client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use evercert::server::{DrainPolicy, Superseded};
use evercert::source::DirectorySettings;
use evercert::{ClientCertificates, Identity, Server};
use evercert_examples::GreeterService;
use evercert_examples::v1::greeter_server::GreeterServer;
use evercert_fixtures::{Authority, wait};
use evercert_tests::connections::Connections;
use evercert_tests::side::Side;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::Request;
use tonic::service::Routes;

use crate::Settings;
use crate::foreign::Foreign;

/// The span over which superseded connections are drained.
const DRAIN_OVER: Duration = Duration::from_millis(200);

/// The server's counts.
#[derive(Debug, Default)]
struct Seen {
    calls: u64,
    connections: Connections,
}

pub(crate) async fn run(settings: Settings) -> Value {
    let mut authority = Authority::new("first");
    let (mut ours, mut theirs) = (Side::new(&authority), Side::new(&authority));
    let mounted = DirectorySettings::new(ours.path()).dedicated_bundle("ca.crt");
    let identity = Identity::from_directory(mounted).await.unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let address = serve(&identity, Arc::clone(&seen)).await;
    let mut client = Foreign::start(&settings.command, theirs.path(), &address.to_string());
    calls(&seen, settings.calls).await;

    for _ in 0..settings.rotations {
        let connections = seen.lock().connections.count();
        ours.mount(&authority, &[&authority]);
        ours.until_served_by(&identity).await;
        // The drained client comes back.
        let back = || async { (seen.lock().connections.count() > connections).then_some(()) };
        wait::until("the client makes a new connection", back).await;
        calls(&seen, settings.calls).await;
    }
    for rollover in 0..settings.rollovers {
        let next = Authority::new(&format!("rollover {rollover}"));
        let both = [&authority, &next];
        for (issuer, trusted) in [(&authority, &both[..]), (&next, &both[..]), (&next, &both[1..])] {
            // A client that moves last is one that the server has drained already, and the other way round.
            for turn in 0..2 {
                if turn == rollover % 2 {
                    ours.mount(issuer, trusted);
                    ours.until_served_by(&identity).await;
                } else {
                    theirs.mount(issuer, trusted);
                    assert_eq!(client.says().await, "moved");
                }
                calls(&seen, settings.calls).await;
            }
        }
        authority = next;
    }
    let outcome = client.end().await;
    let Seen { calls, connections } = &*seen.lock();
    json!({
        "scenario": "our server, a foreign client",
        "settings": { "rotations": settings.rotations, "rollovers": settings.rollovers },
        "failed": outcome["failed"],
        "client": outcome,
        "calls": calls,
        "connections": connections.count(),
        "generation": identity.status().generation,
    })
}

async fn serve(identity: &Identity, seen: Arc<Mutex<Seen>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let greeter = GreeterServer::with_interceptor(GreeterService, move |call: Request<()>| {
        let mut seen = seen.lock();
        seen.calls += 1;
        seen.connections.note(&call);
        Ok(call)
    });
    let policy = DrainPolicy::default().superseded(Superseded::Drain { over: DRAIN_OVER });
    let serving = Server::new(identity).client_certificates(ClientCertificates::Required).drain_policy(policy).serve(
        Routes::new(greeter),
        listener,
        std::future::pending(),
    );
    tokio::spawn(serving);
    address
}

/// Waits until as many calls more have come.
async fn calls(seen: &Mutex<Seen>, more: u64) {
    let goal = seen.lock().calls + more;
    wait::until("the client goes on", || async { (seen.lock().calls >= goal).then_some(()) }).await;
}
