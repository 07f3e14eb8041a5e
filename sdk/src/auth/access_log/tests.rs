use std::convert::Infallible;
use std::future::pending;

use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use parking_lot::Mutex;
use tonic::{Code, Status};
use tower::service_fn;

use super::*;
use crate::telemetry::{Event, OTHER_METHOD};

#[derive(Default)]
struct Recorded(Mutex<Vec<(String, Code)>>);

impl Recorder for Recorded {
    fn record(&self, event: &Event<'_>) {
        if let Event::Call { method, code, .. } = event {
            self.0.lock().push(((*method).to_owned(), *code));
        }
    }
}

fn request(path: &str) -> Request<Body> {
    Request::builder().uri(format!("https://localhost{path}")).body(Body::empty()).unwrap()
}

fn streamed(frames: Vec<Result<Frame<Bytes>, Status>>) -> Body {
    Body::new(StreamBody::new(tokio_stream::iter(frames)))
}

fn trailers(code: Code) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    Status::new(code, "").add_header(&mut trailers).unwrap();
    Frame::trailers(trailers)
}

/// What is recorded of calls to these handlers, each read to its end.
async fn recorded(path: &str, answers: Vec<Response<Body>>) -> Vec<(String, Code)> {
    let recorder = Arc::new(Recorded::default());
    let layer = AccessLogLayer::recording(AccessLog::default(), recorder.clone());
    for answer in answers {
        let answer = Mutex::new(Some(answer));
        let mut service = layer.layer(service_fn(|_: Request<Body>| {
            let answer = answer.lock().take().unwrap();
            async { Ok::<_, Infallible>(answer) }
        }));
        drop(service.call(request(path)).await.unwrap().into_body().collect().await);
    }
    recorder.0.lock().clone()
}

#[tokio::test]
async fn a_call_is_told_of_once_with_the_status_at_its_end() {
    let data = || Ok(Frame::data(Bytes::from_static(b"x")));
    let answers = vec![
        Response::new(streamed(vec![data(), Ok(trailers(Code::Ok))])),
        Response::new(streamed(vec![data(), Ok(trailers(Code::NotFound))])),
        Status::internal("no").into_http(),
        Response::new(streamed(vec![data(), Err(Status::aborted("no"))])),
    ];
    let recorded = recorded("/a.B/C", answers).await;
    let codes: Vec<_> = recorded.iter().map(|(_, code)| *code).collect();
    assert_eq!(codes, [Code::Ok, Code::NotFound, Code::Internal, Code::Aborted]);
    assert!(recorded.iter().all(|(method, _)| method == "/a.B/C"));
}

#[tokio::test]
async fn a_method_that_is_not_there_has_no_name_of_its_own() {
    let recorded = recorded("/a.B/C", vec![Status::unimplemented("").into_http()]).await;
    assert_eq!(recorded, [(OTHER_METHOD.to_owned(), Code::Unimplemented)]);
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled_whether_it_was_answered_or_not() {
    let recorder = Arc::new(Recorded::default());
    let layer = AccessLogLayer::recording(AccessLog::off(), recorder.clone());
    let mut silent = layer.layer(service_fn(|_: Request<Body>| pending::<Result<Response<Body>, Infallible>>()));
    drop(silent.call(request("/a.B/C")));
    let mut endless = layer.layer(service_fn(async |_: Request<Body>| {
        let body = StreamBody::new(tokio_stream::pending::<Result<Frame<Bytes>, Infallible>>());
        Ok::<_, Infallible>(Response::new(Body::new(body)))
    }));
    drop(endless.call(request("/a.B/C")).await.unwrap());
    let codes: Vec<_> = recorder.0.lock().iter().map(|(_, code)| *code).collect();
    assert_eq!(codes, [Code::Cancelled; 2]);
}
