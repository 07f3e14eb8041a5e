//! The end of calls that nobody waits for any more, and of those that take longer than they may.

use std::time::Duration;

use bytes::Bytes;
use evercert::Channel;
use evercert::client::Endpoint;
use evercert_fixtures::Authority;
use futures_util::stream;
use http::Request;
use http_body::{Body as _, Frame};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tower::Service;

use crate::duplex::talk;
use crate::peers::{ALLOWED, DEADLINE, Publisher, Server, call};
use crate::wire::{CANCEL, Calling, Hand, Received, Wire, fed, outcome, send, send_body};

/// More than a server allows at a time.
const ABANDONED: usize = 128;

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

async fn connected(endpoint: Endpoint, ca: &Authority) -> evercert::Channel {
    endpoint.connect_lazy(&Publisher::of(ca).identity().await)
}

/// The next frame of a response.
async fn frame(body: &mut Body) -> Option<Result<Frame<Bytes>, Status>> {
    let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_frame(cx));
    tokio::time::timeout(DEADLINE, frame).await.expect("a frame in time")
}

/// The error that a response ends with.
async fn end(body: &mut Body) -> Status {
    let ending = async {
        loop {
            if let Err(status) = frame(body).await.expect("the response goes on until its error") {
                return status;
            }
        }
    };
    tokio::time::timeout(DEADLINE, ending).await.expect("an error in time")
}

/// A call whose request goes on: the server has the first piece of it.
struct HalfSent {
    channel: Channel,
    feed: mpsc::UnboundedSender<Frame<Bytes>>,
    call: Calling,
    wire: Wire,
    request: Received,
}

async fn half_sent(ca: &Authority) -> HalfSent {
    let (hand, endpoint) = Hand::start(ca).await;
    let channel = connected(endpoint, ca).await;
    let (feed, body) = fed();
    let call = send_body(&channel, body);
    feed.send(data("one")).unwrap();
    let mut wire = hand.accept().await;
    let request = wire.request_with("one").await;
    HalfSent { channel, feed, call, wire, request }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_is_dropped_cancels_its_call_though_the_request_goes_on() {
    let ca = Authority::new("ca");
    let HalfSent { channel: _channel, feed, call, mut wire, request } = half_sent(&ca).await;
    wire.begin_answer(request.stream).await;
    drop(outcome(call).await.unwrap());
    assert_eq!(wire.reset_by_client().await, (request.stream, CANCEL));
    tokio::time::timeout(DEADLINE, feed.closed()).await.expect("the request's body is dropped too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_does_where_the_server_reads_nothing_more_of_the_request() {
    let ca = Authority::new("ca");
    // The window closes between two pieces, in the middle of one, and in the last one.
    for (pieces, more) in
        [(["0123456789", "more"], true), (["0123456789+", "more"], true), (["01234", "56789+"], false)]
    {
        let (hand, endpoint) = Hand::start(&ca).await;
        let channel = connected(endpoint, &ca).await;
        let (feed, body) = fed();
        let call = send_body(&channel, body);
        for piece in pieces {
            feed.send(data(piece)).unwrap();
        }
        let _more = more.then_some(feed);
        let mut wire = hand.accept_reading(10).await;
        let request = wire.request_with("0123456789").await;
        wire.begin_answer(request.stream).await;
        drop(outcome(call).await.unwrap());
        assert_eq!(wire.reset_by_client().await, (request.stream, CANCEL), "{pieces:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_dropped_before_its_response_is_cancelled_too() {
    let ca = Authority::new("ca");
    let HalfSent { channel, feed: _feed, call, mut wire, request } = half_sent(&ca).await;
    call.abort();
    assert_eq!(wire.reset_by_client().await, (request.stream, CANCEL));

    let call = send(&channel, "whole");
    let request = wire.request_with("whole").await;
    call.abort();
    assert_eq!(wire.reset_by_client().await, (request.stream, CANCEL));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_ended_lets_go_of_a_request_that_has_not() {
    let ca = Authority::new("ca");
    let HalfSent { channel: _channel, feed, call, mut wire, request } = half_sent(&ca).await;
    wire.answer(request.stream).await;
    outcome(call).await.unwrap();
    assert_eq!(wire.reset_by_client().await, (request.stream, CANCEL));
    tokio::time::timeout(DEADLINE, feed.closed()).await.expect("the request's body is dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_holds_to_the_end_of_the_response_whoever_set_it() {
    const LIMIT: Duration = Duration::from_millis(500);
    let ca = Authority::new("ca");
    for by_call in [false, true] {
        let (hand, endpoint) = Hand::start(&ca).await;
        let endpoint = if by_call { endpoint } else { endpoint.timeout(LIMIT) };
        let mut channel = connected(endpoint, &ca).await;
        let (_feed, body) = fed();
        let mut request = Request::post("/test.v1.Test/Call");
        if by_call {
            request = request.header("grpc-timeout", "500m");
        }
        let call = tokio::spawn(channel.call(request.body(body).unwrap()));
        let mut wire = hand.accept().await;
        let taken = wire.begun().await;
        wire.begin_answer(taken.stream).await;
        let mut response = call.await.unwrap().unwrap().into_body();
        let status = end(&mut response).await;
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        assert!(status.message().contains("500ms"), "{status}");
        // Both halves are still held.
        assert_eq!(wire.reset_by_client().await, (taken.stream, CANCEL));
        assert!(frame(&mut response).await.is_none() && response.is_end_stream());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_that_never_pauses_has_the_same_deadline() {
    let ca = Authority::new("ca");
    let (hand, endpoint) = Hand::start(&ca).await;
    let channel = connected(endpoint.timeout(Duration::from_millis(500)), &ca).await;
    let call = send(&channel, "call");
    let mut wire = hand.accept().await;
    let request = wire.request().await.unwrap();
    wire.begin_answer(request.stream).await;
    let mut response = outcome(call).await.unwrap().into_body();
    let answering = async {
        loop {
            wire.go_on(request.stream, "x").await;
            tokio::task::yield_now().await;
        }
    };
    let status = tokio::select! {
        status = end(&mut response) => status,
        () = answering => unreachable!(),
    };
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert_eq!(wire.reset_by_client().await, (request.stream, CANCEL));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_is_one_though_the_server_is_the_first_to_act_on_it() {
    const LIMIT: Duration = Duration::from_secs(1);
    let ca = Authority::new("ca");
    let (hand, endpoint) = Hand::start(&ca).await;
    let channel = connected(endpoint.timeout(LIMIT), &ca).await;
    let start = tokio::time::Instant::now();
    let call = send(&channel, "late");
    let mut wire = hand.accept().await;
    let request = wire.request().await.unwrap();
    wire.begin_answer(request.stream).await;
    let mut response = outcome(call).await.unwrap().into_body();
    wire.reset(request.stream, CANCEL).await;
    // Once the next call has its answer, the reset has been read.
    let call = send(&channel, "next");
    let next = wire.request().await.unwrap();
    wire.answer(next.stream).await;
    outcome(call).await.unwrap();
    tokio::time::sleep_until(start + LIMIT + LIMIT).await;
    assert_eq!(end(&mut response).await.code(), Code::DeadlineExceeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_response_is_a_whole_response_under_a_deadline_too() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let endpoint = server.endpoint().timeout(Duration::from_secs(60));
    let channel = endpoint.connect(&Publisher::of(&ca).identity().await).await.unwrap();
    for _ in 0..ABANDONED {
        call(&channel).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_were_dropped_leave_their_room_to_others() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let channel = server.endpoint().connect(&Publisher::of(&ca).identity().await).await.unwrap();
    // The requests of all of them go on.
    let mut feeds = Vec::new();
    for _ in 0..ABANDONED {
        let (feed, requests) = mpsc::unbounded_channel();
        feed.send(HealthCheckRequest::default()).unwrap();
        feeds.push(feed);
        let talking = talk(&channel, UnboundedReceiverStream::new(requests));
        let mut talk = tokio::time::timeout(DEADLINE, talking).await.expect("there is room for the call").unwrap();
        talk.message().await.unwrap().unwrap();
    }
    tokio::time::timeout(DEADLINE, call(&channel)).await.expect("there is room for a call").unwrap();
    server.duplex.until_running(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_dropped_all_at_once_leave_their_room_at_once() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let channel = server.endpoint().connect(&Publisher::of(&ca).identity().await).await.unwrap();
    for _ in 0..3 {
        let mut talks = Vec::new();
        // A client leaves one stream unused.
        for _ in 1..ALLOWED {
            let mut talk = talk(&channel, stream::pending()).await.unwrap();
            talk.message().await.unwrap().unwrap();
            talks.push(talk);
        }
        server.duplex.until_running(ALLOWED as usize - 1).await;
        drop(talks);
        tokio::time::timeout(DEADLINE, call(&channel)).await.expect("there is room for a call").unwrap();
        server.duplex.until_running(0).await;
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_past_their_deadline_leave_their_room_to_others_though_their_responses_are_held() {
    let ca = Authority::new("ca");
    let server = Server::start(&ca).await;
    let endpoint = server.endpoint().timeout(Duration::from_millis(500));
    let channel = endpoint.connect(&Publisher::of(&ca).identity().await).await.unwrap();
    let talks: Vec<_> = (0..ABANDONED)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move {
                let mut talk = talk(&channel, stream::pending()).await?;
                while talk.message().await?.is_some() {}
                Ok::<_, Status>(talk)
            })
        })
        .collect();
    for talk in talks {
        let status = outcome_of(talk).await.expect_err("no end but the deadline");
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    }
    call(&channel).await.unwrap();
    server.duplex.until_running(0).await;
}

async fn outcome_of<T>(call: tokio::task::JoinHandle<Result<T, Status>>) -> Result<T, Status> {
    tokio::time::timeout(DEADLINE, call).await.expect("the call ends").unwrap()
}
