//! More calls than a server allows at a time, and how that shows.

use evercert_fixtures::Authority;
use evercert_fixtures::wait::until_so;

use super::peers::{Publisher, until};
use super::wire::{Hand, NO_ERROR, outcome, send};

#[tokio::test]
async fn the_state_says_while_calls_wait_for_room() {
    let ca = Authority::new("ca");
    let (hand, endpoint) = Hand::start(&ca).await;
    let channel = endpoint.connect_lazy(&Publisher::of(&ca).identity().await);
    let mut changes = channel.state();
    // Of three streams a client leaves one unused.
    let running = [send(&channel, "one"), send(&channel, "two")];
    let mut wire = hand.accept_allowing(3).await;
    let taken = wire.requests(2).await;
    assert!(!changes.borrow_and_update().saturated, "there is room for all");

    let waiting = [send(&channel, "three"), send(&channel, "four")];
    until(&channel, |state| state.saturated).await;
    wire.answer(taken[0].stream).await;
    let third = wire.request().await.unwrap();
    assert!(channel.state().borrow().saturated, "one waits still");
    wire.answer(taken[1].stream).await;
    let fourth = wire.request().await.unwrap();
    until(&channel, |state| !state.saturated && state.generation.is_some()).await;
    for request in [third, fourth] {
        wire.answer(request.stream).await;
    }
    for call in running.into_iter().chain(waiting) {
        outcome(call).await.unwrap();
    }
    // A call that runs while there is room changes nothing.
    changes.borrow_and_update();
    let fifth = send(&channel, "five");
    let request = wire.request().await.unwrap();
    wire.answer(request.stream).await;
    outcome(fifth).await.unwrap();
    assert!(!changes.has_changed().unwrap());
}

#[tokio::test]
async fn calls_that_wait_when_the_connection_ends_or_are_dropped_wait_no_longer() {
    let ca = Authority::new("ca");
    let (hand, endpoint) = Hand::start(&ca).await;
    let channel = endpoint.connect_lazy(&Publisher::of(&ca).identity().await);
    let calls: Vec<_> = (0..4).map(|n| send(&channel, n.to_string())).collect();
    let mut wire = hand.accept_allowing(3).await;
    wire.requests(2).await;
    until(&channel, |state| state.saturated).await;
    for call in &calls {
        call.abort();
    }
    until(&channel, |state| !state.saturated).await;

    let calls: Vec<_> = (0..4).map(|n| send(&channel, n.to_string())).collect();
    until(&channel, |state| state.saturated).await;
    wire.go_away(0, NO_ERROR).await;
    let next = tokio::spawn(async move { hand.accept().await.serve().await });
    for call in calls {
        outcome(call).await.unwrap();
    }
    assert!(!channel.state().borrow().saturated);
    drop(channel);
    next.await.unwrap();
}

#[tokio::test]
async fn calls_of_a_balanced_channel_wait_in_turn_where_no_endpoint_has_room() {
    let ca = Authority::new("ca");
    let (hand, endpoint) = Hand::start(&ca).await;
    let channel = Publisher::of(&ca).identity().await.channel_balanced(vec![endpoint]);
    let first = send(&channel, "first");
    let mut wire = hand.accept_allowing(2).await;
    let mut running = wire.request_with("first").await;
    let mut calls = vec![first];
    for n in 0..5 {
        calls.push(send(&channel, n.to_string()));
        // The next comes when this one has its turn to wait for.
        until_so("its turn to wait for", || channel.state().endpoints[0].saturated).await;
    }
    for _ in 0..5 {
        wire.answer(running.stream).await;
        running = wire.request().await.unwrap();
    }
    wire.answer(running.stream).await;
    for call in calls {
        outcome(call).await.unwrap();
    }
    assert!(!channel.state().endpoints[0].saturated);
}
