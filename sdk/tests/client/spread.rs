//! When channels move.

use std::time::{Duration, Instant};

use evercert_fixtures::Authority;
use tokio::task::JoinSet;

use crate::peers::{DEADLINE, Publisher, Server, call, server_leaf, stream, until_generation, until_trouble};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_channels_of_an_identity_move_evenly_over_the_span() {
    const CHANNELS: usize = 100;
    const SPAN: Duration = Duration::from_secs(5);
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let publisher = Publisher::of(&ca);
    let identity = publisher.identity().await;
    let mut channels = Vec::new();
    for _ in 0..CHANNELS {
        channels.push(server.endpoint().rotation_spread(SPAN).connect(&identity).await.unwrap());
    }
    let start = Instant::now();
    let generation = publisher.publish(&ca.issue_dns("client"), Some(&ca));
    let mut moves = JoinSet::new();
    for channel in channels.clone() {
        moves.spawn(async move {
            until_generation(&channel, generation).await;
            start.elapsed()
        });
    }
    let mut fifths = [0; 5];
    for moved in moves.join_all().await {
        fifths[(moved.as_millis() * 5 / SPAN.as_millis()).min(4) as usize] += 1;
    }
    // Even is twenty each; where the machine has no time for this process, most of a fifth comes with the next one.
    assert!(fifths.iter().all(|moved| (1..=50).contains(moved)), "{fifths:?}");
    assert_eq!(server.connections(), 2 * CHANNELS as u64);
    for channel in &channels {
        call(channel).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_that_follow_each_other_put_no_move_off() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let publisher = Publisher::of(&ca);
    let identity = publisher.identity().await;
    let channel = server.endpoint().rotation_spread(Duration::from_secs(1)).connect(&identity).await.unwrap();
    let start = Instant::now();
    while server.connections() < 3 {
        publisher.publish(&ca.issue_dns("client"), Some(&ca));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(start.elapsed() < DEADLINE, "the channel does not move");
        call(&channel).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_is_settled_once_the_last_stream_on_an_older_connection_has_ended() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let publisher = Publisher::of(&ca);
    let identity = publisher.identity().await;
    let channel = server.endpoint().rotation_spread(Duration::ZERO).connect(&identity).await.unwrap();
    let counts = || {
        let status = identity.status();
        (status.connections, status.connections_on_older, status.settled)
    };
    let until = async |wanted| {
        let start = Instant::now();
        while counts() != wanted {
            assert!(start.elapsed() < DEADLINE, "{:?} instead of {wanted:?}", counts());
            tokio::task::yield_now().await;
        }
    };
    until((1, 0, true)).await;
    let running = stream(&channel).await;
    let generation = publisher.publish(&ca.issue_dns("client"), Some(&ca));
    until_generation(&channel, generation).await;
    until((2, 1, false)).await;
    drop(running);
    until((1, 0, true)).await;
    drop(channel);
    until((0, 0, true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_beyond_all_time_are_no_end_and_end_no_channel() {
    let (ca, other) = (Authority::new("ca"), Authority::new("other"));
    let server = Server::showing(&ca, &other.issue(server_leaf())).await;
    let publisher = Publisher::new();
    publisher.publish_trusting(&ca.issue_dns("client"), &[&ca, &other]);
    let long = Duration::MAX;
    let endpoint = server.endpoint().rotation_spread(long).untrusted_timeout(long).expiry_window(long).timeout(long);
    let endpoint = endpoint.connect_timeout(long).handshake_timeout(long);
    let endpoint = endpoint.keep_alive_interval(long).keep_alive_timeout(long).keep_alive_while_idle(true);
    let channel = endpoint.connect(&publisher.identity().await).await.unwrap();
    publisher.publish_trusting(&ca.issue_dns("client"), &[&ca, &other]);
    call(&channel).await.unwrap();
    publisher.publish_trusting(&ca.issue_dns("client"), &[&ca]);
    until_trouble(&channel).await;
    let restored = publisher.publish_trusting(&ca.issue_dns("client"), &[&ca, &other]);
    until_generation(&channel, restored).await;
    call(&channel).await.unwrap();
}
