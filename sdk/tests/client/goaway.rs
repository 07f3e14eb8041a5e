//! The fate of calls when servers end connections and streams: what was not processed is sent again, and nothing else ever is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::Bytes;
use evercert::client::Endpoint;
use evercert_fixtures::Authority;
use http::HeaderMap;
use http_body::{Body as _, Frame};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tonic::Code;

use crate::draining::Draining;
use crate::peers::{DEADLINE, Publisher};
use crate::wire::{
    CANCEL, ENHANCE_YOUR_CALM, Hand, INTERNAL_ERROR, LAST, NO_ERROR, REFUSED_STREAM, fed, outcome, send, send_body,
};

/// Longer than it takes a client to send again what it would send again.
const A_WHILE: Duration = Duration::from_millis(300);

async fn connected(endpoint: Endpoint, ca: &Authority) -> evercert::Channel {
    endpoint.connect_lazy(&Publisher::of(ca).identity().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_above_the_last_stream_are_answered_on_the_next_connection_and_those_below_are_never_sent_again() {
    let ca = Authority::new("ca");
    for code in [NO_ERROR, ENHANCE_YOUR_CALM] {
        let (hand, endpoint) = Hand::start(&ca).await;
        let channel = connected(endpoint, &ca).await;
        let mut calls: BTreeMap<_, _> = (0..10).map(|n| (n.to_string(), send(&channel, n.to_string()))).collect();

        let mut first = hand.accept().await;
        let taken = first.requests(10).await;
        // The streams of a client are 1, 3, 5 …
        let last = 9;
        first.go_away(last, code).await;
        let second = tokio::spawn(async move { hand.accept().await.serve().await });
        let (answered, lost): (Vec<_>, Vec<_>) =
            taken.iter().filter(|request| request.stream <= last).partition(|request| request.stream <= 3);
        for request in &answered {
            first.answer(request.stream).await;
            outcome(calls.remove(&request.body).unwrap()).await.unwrap();
        }
        for request in taken.iter().filter(|request| request.stream > last) {
            outcome(calls.remove(&request.body).unwrap()).await.unwrap();
        }
        first.close().await;
        assert_eq!((answered.len(), lost.len()), (2, 3));
        for request in &lost {
            let status = outcome(calls.remove(&request.body).unwrap()).await.unwrap_err();
            assert_eq!(status.code(), Code::Unavailable, "{status}");
        }
        drop(channel);
        let mut again = second.await.unwrap();
        again.sort();
        let mut above: Vec<_> = taken.iter().filter(|request| request.stream > last).map(|r| r.body.clone()).collect();
        above.sort();
        assert_eq!(again, above, "no call is processed twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_drains_may_still_answer_what_it_has_and_gets_no_more() {
    let ca = Authority::new("ca");
    let (hand, endpoint) = Hand::start(&ca).await;
    let channel = connected(endpoint, &ca).await;
    let before = send(&channel, "before");
    let mut first = hand.accept().await;
    let taken = first.request().await.unwrap();
    first.go_away(LAST, NO_ERROR).await;

    let mut second = hand.accept().await;
    let after = send(&channel, "after");
    let moved = second.request().await.unwrap();
    assert_eq!(moved.body, "after");
    second.answer(moved.stream).await;
    outcome(after).await.unwrap();
    first.answer(taken.stream).await;
    outcome(before).await.unwrap();
    assert_eq!(first.request().await, None, "the client closes what has nothing left to do");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_call_is_sent_again_a_few_times_and_not_for_ever() {
    let ca = Authority::new("ca");
    let (hand, endpoint) = Hand::start(&ca).await;
    let channel = connected(endpoint, &ca).await;
    let call = send(&channel, "call");
    let mut wire = hand.accept().await;
    for _ in 0..2 {
        let refused = wire.request().await.unwrap();
        assert_eq!(refused.body, "call");
        wire.reset(refused.stream, REFUSED_STREAM).await;
    }
    let taken = wire.request().await.unwrap();
    wire.answer(taken.stream).await;
    outcome(call).await.unwrap();

    let call = send(&channel, "call");
    let mut attempts = 0;
    let refusing = async {
        loop {
            let refused = wire.request().await.unwrap();
            attempts += 1;
            wire.reset(refused.stream, REFUSED_STREAM).await;
        }
    };
    let status = tokio::select! {
        outcome = outcome(call) => outcome.unwrap_err(),
        () = refusing => unreachable!(),
    };
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(attempts, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_may_have_been_processed_is_never_sent_again() {
    let ca = Authority::new("ca");
    let (hand, endpoint) = Hand::start(&ca).await;
    let channel = connected(endpoint, &ca).await;
    let first = send(&channel, "first");
    let mut wire = hand.accept().await;
    let taken = wire.request().await.unwrap();
    wire.answer(taken.stream).await;
    outcome(first).await.unwrap();

    for code in [NO_ERROR, INTERNAL_ERROR, CANCEL, ENHANCE_YOUR_CALM] {
        let call = send(&channel, "reset");
        let taken = wire.request().await.unwrap();
        wire.reset(taken.stream, code).await;
        outcome(call).await.unwrap_err();
    }
    // Its response began: whatever follows proves nothing.
    let call = send(&channel, "begun");
    let taken = wire.request().await.unwrap();
    wire.begin_answer(taken.stream).await;
    let response = outcome(call).await.unwrap();
    wire.reset(taken.stream, REFUSED_STREAM).await;
    let mut body = response.into_body();
    let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await;
    assert!(frame.unwrap().is_err());
    assert!(tokio::time::timeout(A_WHILE, wire.request()).await.is_err(), "a call was sent again");

    let lost = send(&channel, "lost");
    wire.request().await.unwrap();
    wire.close().await;
    let status = outcome(lost).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let mut next = hand.accept().await;
    assert!(tokio::time::timeout(A_WHILE, next.request()).await.is_err(), "a call was sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_every_connection_turns_away_fails_after_a_few_and_says_so() {
    let ca = Authority::new("ca");
    let (hand, endpoint) = Hand::start(&ca).await;
    let channel = connected(endpoint.wait_for_ready(true), &ca).await;
    let call = send(&channel, "call");
    let (count, mut counted) = mpsc::unbounded_channel();
    let turning_away = tokio::spawn(async move {
        loop {
            let mut wire = hand.accept().await;
            if wire.request().await.is_some() {
                count.send(()).unwrap();
            }
            wire.go_away(0, NO_ERROR).await;
        }
    });
    let status = outcome(call).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("was not processed"), "{status}");
    turning_away.abort();
    let mut attempts = 0;
    while counted.recv().await.is_some() {
        attempts += 1;
    }
    assert_eq!(attempts, 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_kept_up_to_the_limit_and_not_beyond() {
    let ca = Authority::new("ca");
    let (hand, endpoint) = Hand::start(&ca).await;
    let channel = connected(endpoint, &ca).await;
    let (kept, beyond) = ("k".repeat(Endpoint::REPLAY_LIMIT), "b".repeat(Endpoint::REPLAY_LIMIT + 1));
    let calls = (send(&channel, &*kept), send(&channel, &*beyond));
    let mut first = hand.accept().await;
    first.requests(2).await;
    first.go_away(0, NO_ERROR).await;
    let second = tokio::spawn(async move { hand.accept().await.serve().await });
    outcome(calls.0).await.unwrap();
    let status = outcome(calls.1).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("replay_limit"), "{status}");
    drop(channel);
    assert!(second.await.unwrap() == [kept]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_was_begun_goes_on_where_its_call_goes_with_its_trailers() {
    let ca = Authority::new("ca");
    let (hand, endpoint) = Hand::start(&ca).await;
    let channel = connected(endpoint, &ca).await;
    let (feed, body) = fed();
    let call = send_body(&channel, body);
    feed.send(Frame::data(Bytes::from_static(b"one,"))).unwrap();
    let mut first = hand.accept().await;
    first.request_with("one,").await;
    first.go_away(0, NO_ERROR).await;

    let mut second = hand.accept().await;
    second.request_with("one,").await;
    feed.send(Frame::data(Bytes::from_static(b"two"))).unwrap();
    second.request_with("one,two").await;
    feed.send(Frame::trailers(HeaderMap::from_iter([("x-sum".parse().unwrap(), "2".parse().unwrap())]))).unwrap();
    let whole = second.request().await.unwrap();
    assert!(whole.trailers);
    second.go_away(0, NO_ERROR).await;

    let mut third = hand.accept().await;
    let again = third.request().await.unwrap();
    assert_eq!((again.body.as_str(), again.trailers), ("one,two", true));
    third.answer(again.stream).await;
    outcome(call).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_again_after_its_deadline() {
    let ca = Authority::new("ca");
    let (hand, endpoint) = Hand::start(&ca).await;
    let channel = connected(endpoint.timeout(Duration::from_secs(1)), &ca).await;
    let call = send(&channel, "call");
    let mut wire = hand.accept().await;
    wire.request().await.unwrap();
    assert_eq!(outcome(call).await.unwrap_err().code(), Code::DeadlineExceeded);
    wire.go_away(0, NO_ERROR).await;
    let mut next = hand.accept().await;
    assert!(tokio::time::timeout(A_WHILE, next.request()).await.is_err(), "a call was sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_beyond_what_a_server_allows_at_a_time_survive_its_goaway() {
    const ALLOWED: usize = 5;
    /// A client leaves one stream unused.
    const USED: usize = ALLOWED - 1;
    const CALLS: usize = 60;
    let ca = Authority::new("ca");
    let (hand, endpoint) = Hand::start(&ca).await;
    let channel = connected(endpoint, &ca).await;
    let calls: Vec<_> = (0..CALLS).map(|n| send(&channel, n.to_string())).collect();
    let serving = tokio::spawn(async move {
        let mut processed = BTreeMap::<String, u32>::new();
        while processed.len() < CALLS {
            let mut wire = hand.accept_allowing(ALLOWED as u32).await;
            let taken = wire.requests(USED.min(CALLS - processed.len())).await;
            // It keeps half of those it has, and turns the others away.
            let last = taken[taken.len() / 2].stream;
            wire.go_away(last, NO_ERROR).await;
            for request in taken.into_iter().filter(|request| request.stream <= last) {
                *processed.entry(request.body).or_default() += 1;
                wire.answer(request.stream).await;
            }
            tokio::spawn(async move { while wire.request().await.is_some() {} });
        }
        processed
    });
    for call in calls {
        outcome(call).await.unwrap();
    }
    let processed = tokio::time::timeout(DEADLINE, serving).await.unwrap().unwrap();
    assert!(processed.values().all(|times| *times == 1), "{processed:?}");
}

#[tokio::test]
async fn a_goaway_is_heeded_though_a_write_learns_first_that_the_connection_is_gone() {
    let ca = Arc::new(Authority::new("ca"));
    // The server has a thread of its own: it goes on while this one, with the channel, sees nothing.
    let (ready, endpoint) = oneshot::channel();
    let (begun, has_begun) = oneshot::channel();
    let (go, may_go) = std::sync::mpsc::channel();
    let (gone, is_gone) = std::sync::mpsc::channel();
    let authority = Arc::clone(&ca);
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let (hand, endpoint) = Hand::start(&authority).await;
            ready.send(endpoint).unwrap();
            let mut first = hand.accept().await;
            let answered = first.request().await.unwrap();
            first.answer(answered.stream).await;
            first.request_with("one").await;
            begun.send(()).unwrap();
            may_go.recv().unwrap();
            first.go_away(answered.stream, NO_ERROR).await;
            first.abort();
            gone.send(()).unwrap();
            hand.accept().await.serve().await
        })
    });
    let channel = connected(endpoint.await.unwrap(), &ca).await;
    outcome(send(&channel, "zero")).await.unwrap();
    let (feed, body) = fed();
    let call = send_body(&channel, body);
    feed.send(Frame::data(Bytes::from_static(b"one"))).unwrap();
    has_begun.await.unwrap();
    go.send(()).unwrap();
    is_gone.recv().unwrap();
    feed.send(Frame::data(Bytes::from_static(b",two"))).unwrap();
    drop(feed);
    outcome(call).await.unwrap();
    drop(channel);
    let served = tokio::task::spawn_blocking(|| server.join().unwrap()).await.unwrap();
    assert_eq!(served, ["one,two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drains_under_load_fail_no_call_and_none_is_processed_twice() {
    drains(1 << 16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drains_of_a_server_that_allows_fewer_calls_at_a_time_than_there_are_fail_none() {
    drains(8).await;
}

/// Thirty connections of a server that drains each one while calls are under way.
async fn drains(allowed: u32) {
    const CONNECTIONS: u64 = 30;
    let ca = Authority::new("ca");
    let (server, endpoint) = Draining::start(&ca, allowed).await;
    let channel = connected(endpoint, &ca).await;
    let mut workers = JoinSet::new();
    for worker in 0..32 {
        let (channel, drained) = (channel.clone(), server.drained());
        workers.spawn(async move {
            let mut calls = 0_u64;
            while drained.load(SeqCst) < CONNECTIONS {
                outcome(send(&channel, format!("{worker}/{calls}"))).await.unwrap();
                calls += 1;
            }
            calls
        });
    }
    let calls = workers.join_all().await;
    assert_eq!(server.processed(), calls.iter().sum::<u64>(), "each call is processed once");
}
