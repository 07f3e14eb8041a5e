//! The answers of a `Watch` stream, as `evercert.v1` says them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use evercert_api::{update_from_snapshot, v1};
use futures_util::Stream;
use http_body::Frame;
use tonic::body::Body;
use tonic::{Status, Streaming};
use v1::watch_request::Message as Asked;
use v1::watch_response::Message as Answer;

use super::bounds;
use super::parcels::{self, Kind, Parcels};
use crate::publication::Delivery;
use crate::serve::feed::{Feed, News, Said, What};
use crate::serve::streams::last_word;
use crate::status;

/// Makes the answers.
pub(super) struct Teller {
    /// Whether the subscriber is known; one that is taken at its word is told no more than which generation there is.
    pub(super) is_attested: bool,
    pub(super) epoch: u64,
    pub(super) deliver: Delivery,
    pub(super) parcels: Arc<Parcels>,
}

impl Teller {
    fn tell(&self, News { state, what }: &News<'_>) -> Result<Bytes, Status> {
        let findings = &state.findings;
        match what {
            What::Pending if !self.is_attested => parcels::alone(Answer::Pending(v1::Pending::default())),
            What::Findings if !self.is_attested => parcels::alone(Answer::Findings(v1::Findings::default())),
            What::Generation(snapshot) if !self.is_attested => {
                let (generation, digest) = (snapshot.generation(), snapshot.digest().as_bytes().to_vec());
                let update = v1::Update { epoch: self.epoch, generation, digest, ..v1::Update::default() };
                parcels::alone(Answer::Update(update))
            }
            What::Pending => {
                let answer = || Ok(Answer::Pending(v1::Pending { findings: status::findings(findings) }));
                self.parcels.of(state, Kind::Pending, answer)
            }
            What::Findings => {
                let answer = || Ok(Answer::Findings(v1::Findings { findings: status::findings(findings) }));
                self.parcels.of(state, Kind::Findings, answer)
            }
            What::Unchanged(snapshot) => {
                let (epoch, generation) = (self.epoch, snapshot.generation());
                parcels::alone(Answer::Unchanged(v1::Unchanged { epoch, generation }))
            }
            What::Generation(snapshot) => {
                let kind = match self.deliver {
                    Delivery::Full => Kind::Full,
                    Delivery::Digest => Kind::Digest,
                };
                self.parcels.of(state, kind, || {
                    let update = update_from_snapshot(self.epoch, snapshot, findings, self.deliver.into());
                    update.map(Answer::Update).map_err(|lacks_key| Status::internal(lacks_key.to_string()))
                })
            }
            What::Removed => {
                let reason = "the identity is no longer kept by evercertd".to_owned();
                parcels::alone(Answer::Withdrawn(v1::Withdrawn { reason }))
            }
        }
    }
}

/// The content of a request, which has to be a report of the one identity that was asked for.
pub(super) fn said(request: Result<v1::WatchRequest, Status>) -> Said {
    match request {
        Ok(v1::WatchRequest { message: Some(Asked::Report(report)) }) => match bounds::of_report(report) {
            Ok(report) => Said::Report(0, report),
            Err(refused) => Said::Wrong(refused),
        },
        Ok(_) => Said::Wrong(Status::invalid_argument("after Open every request of Watch has to be a Report")),
        Err(status) => Said::Left(status),
    }
}

/// The subscriber's messages, as its feed hears them.
pub(super) type Reports =
    futures_util::stream::Map<Streaming<v1::WatchRequest>, fn(Result<v1::WatchRequest, Status>) -> Said>;

/// The answers that `teller` makes of what `feed` has to tell, encoded.
pub(super) fn body(feed: Feed<Reports>, teller: Teller) -> Body {
    let answers = futures_util::stream::unfold((feed, teller), |(mut feed, teller)| async move {
        let message = feed.next(&mut |news: News<'_>| teller.tell(&news)).await?;
        Some((message, (feed, teller)))
    });
    Body::new(Answers { answers: Box::pin(answers), has_ended: false })
}

/// The body of the response: the answers, and in the trailers why they end.
struct Answers<S> {
    answers: Pin<Box<S>>,
    has_ended: bool,
}

impl<S: Stream<Item = Result<Bytes, Status>>> http_body::Body for Answers<S> {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let status = match ready!(self.answers.as_mut().poll_next(cx)) {
            Some(Ok(answer)) => return Poll::Ready(Some(Ok(Frame::data(answer)))),
            Some(Err(status)) => status,
            None => Status::ok(""),
        };
        self.has_ended = true;
        Poll::Ready(Some(last_word(&status)))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
    }
}
