//! Our client before a foreign server.

use std::net::SocketAddr;

use evercert::client::Endpoint;
use evercert::source::DirectorySettings;
use evercert::{Channel, Identity};
use evercert_fixtures::{Authority, wait};
use evercert_tests::load::{Load, Shape, said};
use evercert_tests::side::Side;
use evercert_tests::stranger;
use serde_json::{Value, json};

use crate::Settings;
use crate::foreign::Foreign;

pub(crate) async fn run(settings: Settings) -> Value {
    let mut authority = Authority::new("first");
    let (mut ours, mut theirs) = (Side::new(&authority), Side::new(&authority));
    let mut server = Foreign::start(&settings.command, theirs.path(), "");
    let line = server.says().await;
    let port: u16 = line.strip_prefix("listening ").unwrap().parse().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));

    let mounted = DirectorySettings::new(ours.path()).dedicated_bundle("ca.crt");
    let identity = Identity::from_directory(mounted).await.unwrap();
    let channel = Endpoint::new(format!("https://{address}")).unwrap().connect(&identity).await.unwrap();
    // Streams end by themselves: one that is older than a rollover would be cut, as it should.
    let shape = Shape { streams: 2, replies: 100, ..Shape::default() };
    let load = Load::start(&channel, shape);
    load.calls(settings.calls).await;

    for _ in 0..settings.rotations {
        theirs.mount(&authority, &[&authority]);
        until_shown(address, &theirs, &ours, &[&authority]).await;
        ours.mount(&authority, &[&authority]);
        until_moved(&ours, &identity, &channel).await;
        load.calls(settings.calls).await;
    }
    for rollover in 0..settings.rollovers {
        let next = Authority::new(&format!("rollover {rollover}"));
        let both = [&authority, &next];
        for (issuer, trusted) in [(&authority, &both[..]), (&next, &both[..]), (&next, &both[1..])] {
            for turn in 0..2 {
                if turn == rollover % 2 {
                    theirs.mount(issuer, trusted);
                    until_shown(address, &theirs, &ours, &both).await;
                } else {
                    ours.mount(issuer, trusted);
                    until_moved(&ours, &identity, &channel).await;
                }
                load.calls(settings.calls).await;
            }
            // Streams that began before this step end before the next one.
            load.streams(2 * shape.streams as u64).await;
        }
        authority = next;
    }
    let outcome = load.stop().await;
    let served = server.end().await;
    json!({
        "scenario": "our client, a foreign server",
        "settings": { "rotations": settings.rotations, "rollovers": settings.rollovers },
        "failed": outcome.failed.len(),
        "first_failure": outcome.failed.first().map(said),
        "calls": outcome.calls,
        "streams": outcome.streams,
        "replies": outcome.replies,
        "server": served,
        "generation": identity.status().generation,
    })
}

/// Waits until a new handshake shows the server's certificate.
async fn until_shown(server: SocketAddr, theirs: &Side, ours: &Side, trusted: &[&Authority]) {
    wait::until("the server shows what is mounted", || async {
        let shown = stranger::handshake(server, ours.issued(), trusted).await.ok()?;
        (shown == theirs.issued().leaf_der).then_some(())
    })
    .await;
}

/// Waits until new calls of the channel use what is mounted.
async fn until_moved(ours: &Side, identity: &Identity, channel: &Channel) {
    ours.until_served_by(identity).await;
    let generation = identity.status().generation;
    wait::until("the channel moves", || async { (channel.state().borrow().generation == generation).then_some(()) })
        .await;
}
