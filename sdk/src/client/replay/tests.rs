use std::convert::Infallible;
use std::task::Waker;

use http_body::Body as _;
use hyper::rt::Executor as _;

use super::super::scheduling::Tasks;
use super::*;

/// A body of these frames, which knows its length and where it ends.
struct Frames(VecDeque<Frame<Bytes>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum())
    }
}

fn request(frames: impl IntoIterator<Item = Frame<Bytes>>) -> Request<Body> {
    let body = Body::new(Frames(frames.into_iter().collect()));
    Request::post("https://api.internal/a.A/A").header("x-id", "7").body(body).unwrap()
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

fn trailers() -> Frame<Bytes> {
    Frame::trailers(HeaderMap::from_iter([("x-sum".parse().unwrap(), "2".parse().unwrap())]))
}

fn next(request: &mut Request<ReplayBody>) -> Option<Result<String, Status>> {
    let frame = Pin::new(request.body_mut()).poll_frame(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(frame) = frame else { panic!("pending") };
    frame.map(|frame| {
        frame.map(|frame| match frame.into_data() {
            Ok(data) => String::from_utf8(data.to_vec()).unwrap(),
            Err(frame) => format!("{:?}", frame.into_trailers().unwrap()),
        })
    })
}

fn rest(request: &mut Request<ReplayBody>) -> Vec<String> {
    std::iter::from_fn(|| next(request)).map(Result::unwrap).collect()
}

#[test]
fn every_attempt_sends_the_whole_request_however_far_the_one_before_it_came() {
    let whole = ["one".to_owned(), "two".to_owned(), r#"{"x-sum": "2"}"#.to_owned()];
    for read in 0..=3 {
        let (mut first, kept) = keep(request([data("one"), data("two"), trailers()]), 1024);
        assert_eq!((0..read).map(|_| next(&mut first).unwrap().unwrap()).collect::<Vec<_>>(), whole[..read]);
        let mut second = kept.again().unwrap();
        assert_eq!((second.method(), second.uri()), (first.method(), first.uri()));
        assert_eq!(second.headers(), first.headers());
        assert_eq!(second.body().size_hint().exact(), Some(6), "after {read}");
        assert!(!second.body().is_end_stream());
        assert_eq!(rest(&mut second), whole, "after {read}");
        assert!(second.body().is_end_stream());
    }
}

#[test]
fn an_attempt_that_was_given_up_gets_nothing_more() {
    let (mut first, kept) = keep(request([data("one"), data("two")]), 1024);
    next(&mut first);
    let mut second = kept.again().unwrap();
    assert!(next(&mut first).unwrap().is_err());
    assert_eq!(rest(&mut second), ["one", "two"]);
}

#[test]
fn whether_an_attempt_was_asked_for_its_body_is_told_even_of_an_empty_one() {
    let (mut first, kept) = keep(request([]), 0);
    assert!(!kept.begun() && !first.body().is_end_stream());
    assert!(next(&mut first).is_none());
    assert!(kept.begun() && first.body().is_end_stream());
    kept.again().unwrap();
    assert!(!kept.begun());
}

#[test]
fn nothing_beyond_the_limit_is_kept_and_the_body_goes_on() {
    let long: &str = "x".repeat(100).leak();
    for (limit, again) in [(200, true), (199, false), (0, false)] {
        let (mut first, kept) = keep(request([data(long), data(long)]), limit);
        assert_eq!(rest(&mut first).concat(), long.repeat(2));
        assert_eq!(kept.again().is_some(), again, "{limit}");
        assert_eq!(kept.body.lock().pieces.len(), if again { 2 } else { 0 });
    }
    let (mut first, kept) = keep(request((0..100).map(|_| data("x"))), LEAST_PIECE * 50);
    assert_eq!(rest(&mut first).len(), 100);
    assert!(kept.again().is_none(), "many small pieces cost more than their bytes");
}

#[test]
fn once_the_response_began_only_what_is_still_to_be_sent_is_held() {
    let (mut first, kept) = keep(request([data("one"), data("two"), data("three")]), 1024);
    next(&mut first);
    next(&mut first);
    let mut second = kept.again().unwrap();
    assert_eq!(next(&mut second).unwrap().unwrap(), "one");
    let production = Arc::clone(&kept.body);
    assert!(kept.forget().is_none());
    assert_eq!(production.lock().pieces.len(), 1);
    assert_eq!(rest(&mut second), ["two", "three"]);
    assert!(production.lock().pieces.is_empty());
}

#[test]
fn what_is_kept_is_shared_and_not_copied() {
    let payload = Bytes::from(vec![7; 4096]);
    let (mut first, kept) = keep(request([Frame::data(payload.clone())]), 64 * 1024);
    let address = |request: &mut Request<ReplayBody>| {
        let frame = Pin::new(request.body_mut()).poll_frame(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(Some(Ok(frame))) = frame else { panic!("no frame") };
        frame.into_data().unwrap().as_ptr()
    };
    assert_eq!(address(&mut first), payload.as_ptr());
    assert_eq!(address(&mut kept.again().unwrap()), payload.as_ptr());
}

#[tokio::test]
async fn the_task_that_sends_a_body_ends_with_its_call_whichever_of_the_two_comes_first() {
    for call_ends_first in [true, false] {
        let (request, kept) = keep(request([data("one")]), 1024);
        let task = tokio::spawn(std::future::pending::<()>());
        let production = request.body().production.clone();
        if call_ends_first {
            drop(kept);
            production.is_sent_by(task.abort_handle());
        } else {
            production.is_sent_by(task.abort_handle());
            drop(kept);
        }
        assert!(task.await.unwrap_err().is_cancelled());
    }
}

#[tokio::test]
async fn once_the_response_began_the_task_ends_with_whoever_reads_it() {
    let (request, kept) = keep(request([data("one")]), 1024);
    let task = tokio::spawn(std::future::pending::<()>());
    request.body().production.is_sent_by(task.abort_handle());
    let sending = kept.forget();
    tokio::task::yield_now().await;
    assert!(!task.is_finished());
    drop(sending);
    assert!(task.await.unwrap_err().is_cancelled());
}

#[tokio::test]
async fn only_a_task_that_follows_on_the_first_frame_of_a_body_is_the_one_that_sends_it() {
    for (whole, sent_by_task) in [(false, true), (true, false)] {
        let (mut request, kept) = keep(request([data("one"), data("two")]), 1024);
        let tasks = Tasks::default();
        tasks.execute(std::future::pending());
        next(&mut request);
        if whole {
            drop(request);
        }
        tasks.execute(std::future::pending());
        assert_eq!(kept.forget().is_some(), sent_by_task);
    }
}
